/* llama_write.h: what a model writes, token by token, as text: whole UTF-8 sequences only,
 * malformed bytes replaced by U+FFFD, ending before the first stop string wherever the
 * borders of tokens are. */
#ifndef TL_ENGINE_LLAMA_WRITE_H
#define TL_ENGINE_LLAMA_WRITE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct tl_llama_writer {
    struct tl_str raw;    /* bytes at the end that are no whole sequence yet */
    struct tl_str text;   /* well-formed; from `ready` on it may be the start of a stop string */
    size_t ready;         /* bytes of text that are certain */
    size_t taken;         /* of those, bytes that the caller has passed on */
    char **stops;         /* owned */
    size_t stop_count;
    bool stopped;         /* a stop string was written: text ends before it */
};

void tl_llama_writer_init(struct tl_llama_writer *writer);
void tl_llama_writer_fini(struct tl_llama_writer *writer);
void tl_llama_writer_add_stop(struct tl_llama_writer *writer, const char *stop); /* empty ones are ignored */
/* Appends a token's bytes; sets stopped. */
void tl_llama_writer_put(struct tl_llama_writer *writer, const char *bytes, size_t length);
/* Nothing more comes: all of text is certain, an unfinished sequence is dropped. */
void tl_llama_writer_end(struct tl_llama_writer *writer);
/* Certain text that was not taken yet; marks it taken. */
const char *tl_llama_writer_take(struct tl_llama_writer *writer, size_t *length);

#endif

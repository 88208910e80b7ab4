/* tokenizer.h: a model's own tokenizer, for whoever counts tokens without computing:
 * the chunker, prompt checks. Loads the vocabulary only. Implemented in engine/llama.
 * Safe for use from several threads at once. */
#ifndef TL_ENGINE_TOKENIZER_H
#define TL_ENGINE_TOKENIZER_H

#include <stddef.h>
#include <stdint.h>

#include "teola/status.h"

struct tl_tokenizer;

enum tl_status tl_tokenizer_open(const char *model_path, struct tl_tokenizer **tokenizer, struct tl_error *error);
void tl_tokenizer_close(struct tl_tokenizer *tokenizer); /* NULL is allowed */

/* Number of tokens of the text, without special tokens; never parses special tokens in it. */
size_t tl_tokenizer_count(const struct tl_tokenizer *tokenizer, const char *text, size_t length);

/* Writes at most `capacity` ids; returns how many there are (may be more than capacity). */
size_t tl_tokenizer_encode(const struct tl_tokenizer *tokenizer, const char *text, size_t length, int32_t *ids,
                           size_t capacity);

#endif

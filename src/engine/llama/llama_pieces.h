/* llama_pieces.h: the bytes of every token of a vocabulary, laid out once: what formats the model's
 * output looks at tokens by the thousand, and a call of the library for each would cost more than
 * the rest. Control tokens have no bytes. */
#ifndef TL_ENGINE_LLAMA_PIECES_H
#define TL_ENGINE_LLAMA_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llama.h"
#include "schema/tools.h"

struct tl_llama_pieces {
    const struct llama_vocab *vocab; /* borrowed */
    size_t count;                    /* tokens */
    uint32_t *begins;                /* count + 1 offsets into bytes */
    char *bytes;
    bool *ends;                      /* per token: it says that nothing more comes */
    enum tl_tools_style style;       /* in which the model calls tools; PLAIN until who knows its template sets it */
};

void tl_llama_pieces_init(struct tl_llama_pieces *pieces, const struct llama_vocab *vocab);
void tl_llama_pieces_fini(struct tl_llama_pieces *pieces); /* also of a zeroed one */

/* The token's bytes; of an id outside the vocabulary none. */
static inline const char *tl_llama_piece(const struct tl_llama_pieces *pieces, llama_token id, size_t *length) {
    if (id < 0 || (size_t)id >= pieces->count) {
        *length = 0;
        return "";
    }
    *length = pieces->begins[id + 1] - pieces->begins[id];
    return pieces->bytes + pieces->begins[id];
}

/* Whether the token ends what is written. */
static inline bool tl_llama_piece_ends(const struct tl_llama_pieces *pieces, llama_token id) {
    return id >= 0 && (size_t)id < pieces->count && pieces->ends[id];
}

#endif

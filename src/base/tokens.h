/* tokens.h: how many tokens a text has where no tokenizer has counted, one for every four bytes begun, and into how many
 * passages a document is cut. Plans, schedules, simulations and emulated engines all reckon so, or what is predicted of a
 * document would not be what happens to it. */
#ifndef TL_BASE_TOKENS_H
#define TL_BASE_TOKENS_H

#include <stdint.h>

enum { TL_TOKEN_BYTES = 4 };

static inline uint64_t tl_tokens_of_bytes(uint64_t bytes) {
    return bytes / TL_TOKEN_BYTES + (bytes % TL_TOKEN_BYTES > 0);
}

/* Tokens from the beginning of a passage to that of the next, of at least one token each. */
static inline uint64_t tl_passage_step(uint64_t size, uint64_t overlap) {
    return size > overlap ? size - overlap : 1;
}

/* Passages of `size` tokens, of which the last one may be shorter. */
static inline uint64_t tl_passages_of_tokens(uint64_t tokens, uint64_t size, uint64_t step) {
    return tokens <= size ? tokens > 0 : 1 + (tokens - size + step - 1) / step;
}

#endif

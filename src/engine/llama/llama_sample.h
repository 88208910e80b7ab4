/* llama_sample.h: from a row of logits to a token.
 *
 * Temperature 0 takes the largest logit (the lowest id among equals). Otherwise: the top_k
 * largest; of those the fewest whose probabilities add up to top_p; of those whose probability
 * is at least min_p times the largest; then a draw at the given temperature. Candidates whose
 * probability is below e^-30 of the largest are never drawn.
 * The caller may refuse a token; then the next best, or another draw, is offered. Asking about
 * the one candidate costs nothing, where masking the vocabulary costs as much as the decode. */
#ifndef TL_ENGINE_LLAMA_SAMPLE_H
#define TL_ENGINE_LLAMA_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llama.h"

struct tl_llama_sampler {
    double temperature, top_p, min_p;
    size_t top_k;    /* 0: all */
    uint64_t random; /* state; set from the seed */
};

struct tl_llama_candidate {
    llama_token id;
    float logit;
    double probability;
};

/* Scratch, one per engine. Zeroed: empty. */
struct tl_llama_candidates {
    struct tl_llama_candidate *items;
    size_t count, capacity;
};

void tl_llama_candidates_fini(struct tl_llama_candidates *candidates);

/* True when the token may be taken. */
typedef bool (*tl_llama_allows)(void *context, llama_token id);

#define TL_LLAMA_SAMPLE_NAN (-2)     /* the logits hold a NaN, or nothing finite */
#define TL_LLAMA_SAMPLE_REFUSED (-1) /* every candidate offered was refused (256 of them) */

/* Returns a token id or one of the above. Writes to logits (refused ones become -INFINITY). */
llama_token tl_llama_sample(struct tl_llama_sampler *sampler, struct tl_llama_candidates *scratch, float *logits,
                            size_t count, tl_llama_allows allows, void *context);

#endif

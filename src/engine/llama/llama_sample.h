/* llama_sample.h: from a row of logits to a token.
 *
 * First the row is adjusted: logit_bias is added, and what was written before is made less likely. For a token that
 * stands in the prompt or was written, a positive logit is divided by `repetition` and a negative one multiplied; for
 * one that was written n times, `frequency` x n and `presence` are subtracted.
 * Temperature 0 takes the largest logit (the lowest id among equals). Otherwise: the top_k largest; of those the
 * fewest whose probabilities add up to top_p; of those whose probability is at least min_p times the largest; then a
 * draw at the given temperature. Candidates whose probability is below e^-30 of the largest are never drawn.
 * The vocabulary is never sorted: a histogram over the logits tells which few can be among the kept ones.
 *
 * The caller may refuse tokens. The likeliest, or the one drawn, is asked about first, which costs nothing; only when
 * it is refused are others asked about, and never more of them than can matter: asking about the whole vocabulary
 * costs as much as computing the row. With `asks_all` that is done all the same, before anything is chosen, to measure
 * what it costs. Greedy, the same token is chosen both ways; else the same random number meets other candidates, and
 * top_k, top_p and min_p then count among the allowed ones only.
 *
 * What is drawn depends on the row and the state here alone. */
#ifndef TL_ENGINE_LLAMA_SAMPLE_H
#define TL_ENGINE_LLAMA_SAMPLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "llama.h"

struct tl_llama_bias {
    llama_token id;
    float bias;
};

/* A token that stands in the prompt or was written. */
struct tl_llama_seen {
    llama_token id;   /* -1: this place of the table is free */
    uint32_t written; /* times; 0: it stands in the prompt only */
};

struct tl_llama_sampler {
    double temperature, top_p, min_p;
    size_t top_k;    /* 0: all */
    uint64_t random; /* state; set from the seed */
    double repetition;          /* 0 and 1: none */
    double frequency, presence; /* 0: none */
    struct tl_llama_bias *biases; /* owned */
    size_t bias_count;
    struct tl_llama_seen *seen; /* owned; a hash table, its size a power of two, at most half full */
    size_t seen_count, seen_size;
    bool asks_all;           /* the whole vocabulary is asked about, not the preferred token first */
    uint64_t asked, refused; /* tokens asked about; choices in which the preferred token was refused. With asks_all that is
                                the likeliest, else the one that was drawn first */
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
void tl_llama_sampler_fini(struct tl_llama_sampler *sampler); /* also of a zeroed one */

/* Tells of tokens of the prompt, or of one that was written. Does nothing when nothing depends on it. */
void tl_llama_sampler_saw(struct tl_llama_sampler *sampler, const llama_token *ids, size_t count, bool written);
void tl_llama_sampler_adjust(const struct tl_llama_sampler *sampler, float *logits, size_t count);

/* True when the token may be taken. */
typedef bool (*tl_llama_allows)(void *context, llama_token id);

#define TL_LLAMA_SAMPLE_NAN (-2)     /* the logits hold a NaN, or nothing finite */
#define TL_LLAMA_SAMPLE_REFUSED (-1) /* every token is refused */

/* Returns a token id or one of the above. May change logits: refused ones become -INFINITY. */
llama_token tl_llama_sample(struct tl_llama_sampler *sampler, struct tl_llama_candidates *scratch, float *logits,
                            size_t count, tl_llama_allows allows, void *context);

/* Fills scratch with what may be drawn at a temperature above 0, probabilities not normalised. `top` is the largest
 * logit. For tests. */
void tl_llama_shortlist(const struct tl_llama_sampler *sampler, struct tl_llama_candidates *scratch,
                        const float *logits, size_t count, float top);

#endif

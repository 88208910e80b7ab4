/* llama_sample.c: see llama_sample.h. */
#include "engine/llama/llama_sample.h"

#include <math.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/mem.h"

#define MOST_REFUSALS 256
#define NEGLIGIBLE 30.0f /* natural logarithm of the ratio below which candidates are dropped */

void tl_llama_candidates_fini(struct tl_llama_candidates *candidates) {
    tl_mem_free(candidates->items);
    *candidates = (struct tl_llama_candidates){0};
}

/* Index of the largest; TL_LLAMA_SAMPLE_NAN when there is a NaN or nothing finite. */
static llama_token largest(const float *logits, size_t count) {
    llama_token best = TL_LLAMA_SAMPLE_NAN;
    float best_logit = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (logits[i] > best_logit) {
            best_logit = logits[i];
            best = (llama_token)i;
        } else if (isnan(logits[i])) {
            return TL_LLAMA_SAMPLE_NAN;
        }
    }
    return isfinite(best_logit) ? best : TL_LLAMA_SAMPLE_NAN;
}

static int by_logit(const void *a, const void *b) {
    const struct tl_llama_candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

/* Fills scratch with the candidates that may be drawn, their weights in probability. */
static void shortlist(const struct tl_llama_sampler *sampler, struct tl_llama_candidates *scratch, const float *logits,
                      size_t count, float top) {
    float lowest = top - NEGLIGIBLE * (float)fmax(1, sampler->temperature);
    scratch->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(logits[i] >= lowest))
            continue;
        scratch->items = tl_mem_grow(scratch->items, &scratch->capacity, scratch->count + 1, sizeof *scratch->items);
        scratch->items[scratch->count++] = (struct tl_llama_candidate){(llama_token)i, logits[i], 0};
    }
    qsort(scratch->items, scratch->count, sizeof *scratch->items, by_logit);
    if (sampler->top_k > 0 && scratch->count > sampler->top_k)
        scratch->count = sampler->top_k;
    double sum = 0;
    for (size_t i = 0; i < scratch->count; i++)
        sum += scratch->items[i].probability = exp((double)scratch->items[i].logit - top);
    double reached = 0;
    size_t kept = 0;
    while (kept < scratch->count && (kept == 0 || reached < sampler->top_p * sum))
        reached += scratch->items[kept++].probability;
    while (kept > 1 && scratch->items[kept - 1].probability < sampler->min_p) /* the first has probability 1 here */
        kept--;
    scratch->count = kept;
    for (size_t i = 0; i < kept; i++)
        scratch->items[i].probability = exp(((double)scratch->items[i].logit - top) / sampler->temperature);
}

/* A number in [0, 1) from 53 bits. */
static double draw(struct tl_llama_sampler *sampler) {
    sampler->random = tl_hash_u64(sampler->random + UINT64_C(0x9e3779b97f4a7c15), 0);
    return (double)(sampler->random >> 11) * 0x1p-53;
}

static llama_token draw_candidate(struct tl_llama_sampler *sampler, const struct tl_llama_candidates *scratch) {
    double sum = 0;
    for (size_t i = 0; i < scratch->count; i++)
        sum += scratch->items[i].probability;
    double at = draw(sampler) * sum;
    for (size_t i = 0; i + 1 < scratch->count; i++) {
        at -= scratch->items[i].probability;
        if (at < 0)
            return scratch->items[i].id;
    }
    return scratch->items[scratch->count - 1].id;
}

llama_token tl_llama_sample(struct tl_llama_sampler *sampler, struct tl_llama_candidates *scratch, float *logits,
                            size_t count, tl_llama_allows allows, void *context) {
    for (int refusals = 0; refusals < MOST_REFUSALS; refusals++) {
        llama_token id = largest(logits, count);
        if (id < 0)
            return refusals > 0 ? TL_LLAMA_SAMPLE_REFUSED : TL_LLAMA_SAMPLE_NAN;
        if (sampler->temperature > 0) {
            shortlist(sampler, scratch, logits, count, logits[id]);
            id = draw_candidate(sampler, scratch);
        }
        if (!allows || allows(context, id))
            return id;
        logits[id] = -INFINITY;
    }
    return TL_LLAMA_SAMPLE_REFUSED;
}

/* llama_sample.c: see llama_sample.h. */
#include "engine/llama/llama_sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

#define NEGLIGIBLE 30.0 /* natural logarithm of the ratio below which candidates are dropped */
#define BUCKETS 256
#define DRAWS 8         /* refused ones, before all that matter are asked about */

void tl_llama_candidates_fini(struct tl_llama_candidates *candidates) {
    tl_mem_free(candidates->items);
    *candidates = (struct tl_llama_candidates){0};
}

void tl_llama_sampler_fini(struct tl_llama_sampler *sampler) {
    tl_mem_free(sampler->biases);
    tl_mem_free(sampler->seen);
    *sampler = (struct tl_llama_sampler){0};
}

/* ---- what was written before ---- */

static bool repeats_count(const struct tl_llama_sampler *sampler) {
    return sampler->repetition > 0 && sampler->repetition != 1;
}

/* The token's place in the table, or the free one where it belongs. */
static struct tl_llama_seen *place_of(const struct tl_llama_sampler *sampler, llama_token id) {
    size_t mask = sampler->seen_size - 1, at = (size_t)tl_hash_u64((uint64_t)id, 5) & mask;
    while (sampler->seen[at].id >= 0 && sampler->seen[at].id != id)
        at = (at + 1) & mask;
    return &sampler->seen[at];
}

static void make_room(struct tl_llama_sampler *sampler) {
    if (2 * (sampler->seen_count + 1) <= sampler->seen_size)
        return;
    struct tl_llama_seen *former = sampler->seen;
    size_t former_size = sampler->seen_size;
    sampler->seen_size = former_size ? 2 * former_size : 64;
    sampler->seen = tl_mem_alloc(sampler->seen_size * sizeof *sampler->seen);
    for (size_t i = 0; i < sampler->seen_size; i++)
        sampler->seen[i] = (struct tl_llama_seen){.id = -1};
    for (size_t i = 0; i < former_size; i++)
        if (former[i].id >= 0)
            *place_of(sampler, former[i].id) = former[i];
    tl_mem_free(former);
}

void tl_llama_sampler_saw(struct tl_llama_sampler *sampler, const llama_token *ids, size_t count, bool written) {
    bool wanted = repeats_count(sampler) || (written && (sampler->frequency != 0 || sampler->presence != 0));
    for (size_t i = 0; wanted && i < count; i++) {
        if (ids[i] < 0)
            continue;
        make_room(sampler);
        struct tl_llama_seen *seen = place_of(sampler, ids[i]);
        sampler->seen_count += seen->id < 0;
        seen->id = ids[i];
        seen->written += written;
    }
}

void tl_llama_sampler_adjust(const struct tl_llama_sampler *sampler, float *logits, size_t count) {
    for (size_t i = 0; i < sampler->bias_count; i++)
        if ((size_t)sampler->biases[i].id < count)
            logits[sampler->biases[i].id] += sampler->biases[i].bias;
    for (size_t i = 0; i < sampler->seen_size; i++) {
        const struct tl_llama_seen *seen = &sampler->seen[i];
        if (seen->id < 0 || (size_t)seen->id >= count)
            continue;
        float *logit = &logits[seen->id];
        if (repeats_count(sampler))
            *logit = (float)(*logit > 0 ? *logit / sampler->repetition : *logit * sampler->repetition);
        if (seen->written > 0)
            *logit -= (float)(sampler->frequency * seen->written + sampler->presence);
    }
}

/* ---- asking ---- */

/* Who may refuse tokens, and the sampler that counts. */
struct asking {
    struct tl_llama_sampler *sampler;
    tl_llama_allows allows; /* NULL: nothing is refused */
    void *context;
};

static bool ask(const struct asking *asking, llama_token id) {
    if (!asking->allows)
        return true;
    asking->sampler->asked++;
    return asking->allows(asking->context, id);
}

/* ---- the likeliest ---- */

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

/* The largest that is allowed, or TL_LLAMA_SAMPLE_REFUSED. Asks only about those above the best so far. */
static llama_token largest_allowed(const struct asking *asking, const float *logits, size_t count) {
    llama_token best = TL_LLAMA_SAMPLE_REFUSED;
    float best_logit = -INFINITY;
    for (size_t i = 0; i < count; i++)
        if (logits[i] > best_logit && ask(asking, (llama_token)i)) {
            best_logit = logits[i];
            best = (llama_token)i;
        }
    return best;
}

/* Makes everything that is not allowed impossible; returns the largest that is left, or TL_LLAMA_SAMPLE_REFUSED. */
static llama_token mask_all(const struct asking *asking, float *logits, size_t count) {
    llama_token best = TL_LLAMA_SAMPLE_REFUSED;
    float best_logit = -INFINITY;
    for (size_t i = 0; i < count; i++) {
        if (!ask(asking, (llama_token)i))
            logits[i] = -INFINITY;
        if (logits[i] > best_logit) {
            best_logit = logits[i];
            best = (llama_token)i;
        }
    }
    return best;
}

/* ---- those that may be drawn ---- */

static int by_logit(const void *a, const void *b) {
    const struct tl_llama_candidate *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit < y->logit ? 1 : -1;
    return (x->id > y->id) - (x->id < y->id);
}

static void collect(struct tl_llama_candidates *scratch, const float *logits, size_t count, float lowest) {
    scratch->count = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(logits[i] >= lowest))
            continue;
        scratch->items = tl_mem_grow(scratch->items, &scratch->capacity, scratch->count + 1, sizeof *scratch->items);
        scratch->items[scratch->count++] = (struct tl_llama_candidate){(llama_token)i, logits[i], 0};
    }
}

/* The probabilities of all, and a logit that no kept candidate is below, for top_k and top_p. */
static float bound_by_histogram(const struct tl_llama_sampler *sampler, const float *logits, size_t count, float top,
                                double span, double *sum) {
    struct {
        size_t count;
        double sum;
        float least;
    } buckets[BUCKETS] = {{0, 0, 0}};
    float scale = (float)(BUCKETS / span), lowest = top - (float)span;
    bool by_sum = sampler->top_k == 0;
    *sum = 0;
    for (size_t i = 0; i < count; i++) {
        if (!(logits[i] >= lowest))
            continue;
        size_t at = (size_t)((top - logits[i]) * scale);
        at = at < BUCKETS ? at : BUCKETS - 1;
        if (buckets[at].count++ == 0 || logits[i] < buckets[at].least)
            buckets[at].least = logits[i];
        if (by_sum)
            buckets[at].sum += expf(logits[i] - top);
    }
    for (size_t i = 0; i < BUCKETS; i++)
        *sum += buckets[i].sum;
    size_t reached = 0;
    double reached_sum = 0;
    for (size_t i = 0; i < BUCKETS; i++) {
        reached += buckets[i].count;
        reached_sum += buckets[i].sum;
        if (buckets[i].count > 0 &&
            (by_sum ? reached_sum >= sampler->top_p * *sum * (1 + 1e-6) : reached >= sampler->top_k))
            return buckets[i].least;
    }
    return lowest;
}

/* Sorts what was collected and keeps what top_k and top_p keep. `sum` is of all probabilities, when top_k is 0. */
static void cut(const struct tl_llama_sampler *sampler, struct tl_llama_candidates *scratch, float top, double sum) {
    qsort(scratch->items, scratch->count, sizeof *scratch->items, by_logit);
    if (sampler->top_k > 0) {
        if (scratch->count > sampler->top_k)
            scratch->count = sampler->top_k;
        sum = 0;
        for (size_t i = 0; i < scratch->count; i++)
            sum += expf(scratch->items[i].logit - top);
    }
    double reached = 0;
    size_t kept = 0;
    while (kept < scratch->count && (kept == 0 || sampler->top_p >= 1 || reached < sampler->top_p * sum))
        reached += expf(scratch->items[kept++].logit - top);
    scratch->count = kept;
}

void tl_llama_shortlist(const struct tl_llama_sampler *sampler, struct tl_llama_candidates *scratch,
                        const float *logits, size_t count, float top) {
    double temperature = sampler->temperature;
    if (sampler->top_k == 0 && sampler->top_p >= 1) {
        collect(scratch, logits, count, top - (float)(NEGLIGIBLE * temperature));
    } else {
        double sum, span = NEGLIGIBLE * fmax(1, temperature);
        collect(scratch, logits, count, bound_by_histogram(sampler, logits, count, top, span, &sum));
        cut(sampler, scratch, top, sum);
    }
    size_t kept = 0;
    for (size_t i = 0; i < scratch->count; i++) {
        struct tl_llama_candidate candidate = scratch->items[i];
        if (candidate.logit < top && exp((double)candidate.logit - top) < sampler->min_p)
            continue;
        candidate.probability = exp(((double)candidate.logit - top) / temperature);
        scratch->items[kept++] = candidate;
    }
    scratch->count = kept;
}

/* ---- drawing ---- */

/* A number in [0, 1) from 53 bits. */
static double draw(struct tl_llama_sampler *sampler) {
    sampler->random = tl_hash_u64(sampler->random + UINT64_C(0x9e3779b97f4a7c15), 0);
    return (double)(sampler->random >> 11) * 0x1p-53;
}

/* Position in scratch of one drawn by its probability. */
static size_t draw_candidate(struct tl_llama_sampler *sampler, const struct tl_llama_candidates *scratch) {
    double sum = 0;
    for (size_t i = 0; i < scratch->count; i++)
        sum += scratch->items[i].probability;
    double at = draw(sampler) * sum;
    for (size_t i = 0; i + 1 < scratch->count; i++) {
        at -= scratch->items[i].probability;
        if (at < 0)
            return i;
    }
    return scratch->count - 1;
}

/* Makes everything that could be drawn and is not allowed impossible; returns the likeliest that is left. */
static llama_token mask(const struct asking *asking, float *logits, size_t count) {
    llama_token best = largest_allowed(asking, logits, count);
    if (best < 0)
        return best;
    float top = logits[best], lowest = top - (float)(NEGLIGIBLE * fmax(1, asking->sampler->temperature));
    for (size_t i = 0; i < count; i++) {
        bool above = logits[i] > top || (logits[i] == top && (llama_token)i < best); /* asked about before */
        if (above || (logits[i] >= lowest && (llama_token)i != best && !ask(asking, (llama_token)i)))
            logits[i] = -INFINITY;
    }
    return best;
}

/* One of the shortlist that is allowed. `best` is the likeliest. */
static llama_token draw_allowed(const struct asking *asking, struct tl_llama_candidates *scratch, float *logits,
                                size_t count, llama_token best) {
    struct tl_llama_sampler *sampler = asking->sampler;
    tl_llama_shortlist(sampler, scratch, logits, count, logits[best]);
    for (int draws = 0; draws < DRAWS && scratch->count > 0; draws++) {
        size_t at = draw_candidate(sampler, scratch);
        if (ask(asking, scratch->items[at].id))
            return scratch->items[at].id;
        sampler->refused += draws == 0;
        logits[scratch->items[at].id] = -INFINITY;
        memmove(&scratch->items[at], &scratch->items[at + 1], (--scratch->count - at) * sizeof *scratch->items);
    }
    best = mask(asking, logits, count);
    if (best < 0)
        return best;
    tl_llama_shortlist(sampler, scratch, logits, count, logits[best]);
    return scratch->items[draw_candidate(sampler, scratch)].id;
}

llama_token tl_llama_sample(struct tl_llama_sampler *sampler, struct tl_llama_candidates *scratch, float *logits,
                            size_t count, tl_llama_allows allows, void *context) {
    struct asking asking = {sampler, allows, context};
    llama_token preferred = largest(logits, count), best = preferred;
    if (best < 0)
        return best;
    if (allows && sampler->asks_all) {
        best = mask_all(&asking, logits, count);
        sampler->refused += best != preferred;
        if (best < 0)
            return best;
        asking.allows = NULL; /* of what is left everything is allowed */
    }
    if (sampler->temperature > 0)
        return draw_allowed(&asking, scratch, logits, count, best);
    if (ask(&asking, best))
        return best;
    sampler->refused++;
    return largest_allowed(&asking, logits, count);
}

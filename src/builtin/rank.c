/* rank.c: putting several rankings together: fuse, and aggregate "top".
 *
 * Both use reciprocal rank fusion (Cormack, Clarke, Buettcher: "Reciprocal Rank Fusion outperforms Condorcet
 * and individual Rank Learning Methods", SIGIR 2009):
 *
 *     score(d) = sum over rankings r of 1 / (k + rank of d in r)      ranks from 1, k = 60
 *
 * It needs no scores that compare between rankings, only places, so it joins cosine with bm25, and lanes of
 * different queries with each other.
 *
 * fuse joins lists of hits that answer one query in different ways. With more list levels it does so at each
 * position: lists of lanes give a list of lanes.
 *
 * aggregate "top" joins lanes: every innermost list of hits is one. Hits of the same chunk are one hit, ranked
 *     retrieval   by reciprocal rank over the hit's rank in each lane that has it
 *     score       by its best reranker's score; hits without a score come after all others
 *     fused       by reciprocal rank over its places in those two orders
 * Where two are equal the chunk's id decides, so the result depends on the values alone, never on the order in
 * which they were made.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "builtin/builtin_impl.h"

#define RECIPROCAL_RANK_K 60

/* A chunk found, over all rankings. */
struct candidate {
    struct tl_value *chunk; /* borrowed */
    uint64_t hash;          /* of its id */
    double retrieval;       /* sum of reciprocal ranks */
    bool scored;
    double score;
    size_t retrieval_place; /* in the retrieval order, from 0 */
    double fused;
};

struct candidates {
    struct candidate *items;
    size_t count, capacity;
    uint32_t *places;   /* by hash, then the next free one: position in items + 1; 0: free. Ids are not copied: this is done
                           for every query */
    size_t place_count; /* a power of two, at least twice `count` */
};

static void candidates_fini(struct candidates *found) {
    tl_mem_free(found->places);
    tl_mem_free(found->items);
}

/* Where the chunk's position stands, or is to stand. */
static uint32_t *place_of(const struct candidates *found, const char *id, uint64_t hash) {
    size_t at = (size_t)hash & (found->place_count - 1);
    for (;; at = (at + 1) & (found->place_count - 1)) {
        uint32_t *place = &found->places[at];
        const struct candidate *candidate = *place ? &found->items[*place - 1] : NULL;
        if (!candidate || (candidate->hash == hash && strcmp(candidate->chunk->as.chunk.id, id) == 0)) {
            return place;
        }
    }
}

static void make_room(struct candidates *found) {
    if (2 * (found->count + 1) <= found->place_count) {
        return;
    }
    tl_mem_free(found->places);
    found->place_count = found->place_count ? 2 * found->place_count : 64;
    found->places = tl_mem_zalloc(found->place_count * sizeof *found->places);
    for (size_t i = 0; i < found->count; i++) {
        *place_of(found, found->items[i].chunk->as.chunk.id, found->items[i].hash) = (uint32_t)i + 1;
    }
}

/* Counts one place of a hit in one ranking. */
static void add_place(struct candidates *found, const struct tl_hit *hit, double rank, double k) {
    const char *id = hit->chunk->as.chunk.id;
    uint64_t hash = tl_hash_string(id, 13);
    make_room(found);
    uint32_t *place = place_of(found, id, hash);
    if (*place == 0) {
        found->items = tl_mem_grow(found->items, &found->capacity, found->count + 1, sizeof *found->items);
        found->items[found->count++] = (struct candidate){.chunk = hit->chunk, .hash = hash};
        *place = (uint32_t)found->count;
    }
    struct candidate *candidate = &found->items[*place - 1];
    candidate->retrieval += 1 / (k + rank);
    if (hit->scored && !isnan(hit->score) && (!candidate->scored || hit->score > candidate->score)) {
        candidate->scored = true;
        candidate->score = hit->score;
    }
}

static int by_id(const struct candidate *a, const struct candidate *b) {
    return strcmp(a->chunk->as.chunk.id, b->chunk->as.chunk.id);
}

static int by_retrieval(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    if (a->retrieval != b->retrieval) {
        return a->retrieval > b->retrieval ? -1 : 1;
    }
    return by_id(a, b);
}

static int by_score(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    if (a->scored != b->scored) {
        return a->scored ? -1 : 1;
    }
    if (a->scored && a->score != b->score) {
        return a->score > b->score ? -1 : 1;
    }
    return by_id(a, b);
}

static int by_fused(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    if (a->fused != b->fused) {
        return a->fused > b->fused ? -1 : 1;
    }
    return by_id(a, b);
}

static void sort(struct candidates *found, int (*compare)(const void *, const void *)) {
    if (found->count > 1) {
        qsort(found->items, found->count, sizeof *found->items, compare);
    }
}

/* Puts the candidates into retrieval order and notes the place of each. */
static void order_by_retrieval(struct candidates *found) {
    sort(found, by_retrieval);
    for (size_t i = 0; i < found->count; i++) {
        found->items[i].retrieval_place = i;
    }
}

/* From retrieval order into fused order. */
static void order_by_both(struct candidates *found) {
    sort(found, by_score);
    for (size_t i = 0; i < found->count; i++) {
        struct candidate *candidate = &found->items[i];
        candidate->fused = 1.0 / (RECIPROCAL_RANK_K + (double)candidate->retrieval_place + 1);
        candidate->fused += candidate->scored ? 1.0 / (RECIPROCAL_RANK_K + (double)i + 1) : 0;
    }
    sort(found, by_fused);
}

/* The first `keep` candidates (0: all) as a list of hits; NULL when memory is out. */
static struct tl_value *make_hits(const struct candidates *found, size_t keep) {
    size_t count = keep == 0 || keep > found->count ? found->count : keep;
    struct tl_value **hits = tl_mem_alloc((count + 1) * sizeof *hits);
    size_t made = 0;
    for (; made < count; made++) {
        const struct candidate *candidate = &found->items[made];
        hits[made] = tl_value_hit(&(struct tl_hit){
            .chunk = candidate->chunk,
            .retrieval = candidate->retrieval,
            .rank = (uint32_t)candidate->retrieval_place,
            .scored = candidate->scored,
            .score = candidate->score,
        });
        if (hits[made] == NULL) {
            break;
        }
    }
    struct tl_value *list = NULL;
    if (made == count) {
        list = tl_value_list(TL_TYPE_OF(HIT, 0), hits, count);
    } else {
        for (size_t i = 0; i < made; i++) {
            tl_value_unref(hits[i]);
        }
    }
    tl_mem_free(hits);
    return list;
}

/* Reads an attribute that must not be negative. */
static enum tl_status read_count(const struct tl_item *item, const char *name, int64_t otherwise, size_t *count,
                                 struct tl_error *error) {
    int64_t value = tl_attributes_integer(item->attributes, name, otherwise);
    if (value < 0) {
        return tl_error_set(error, TL_ERR_INVALID, "the attribute `%s` is %lld; expected 0 or more", name,
                            (long long)value);
    }
    *count = (size_t)value;
    return TL_OK;
}

static enum tl_status check_hits(const struct tl_item *item, struct tl_error *error) {
    for (size_t i = 0; i < item->input_count; i++) {
        if (item->inputs[i]->type.base != TL_TYPE_HIT) {
            char type[24];
            return tl_error_set(error, TL_ERR_INVALID, "input `%s` has type %s; expected hits", item->input_names[i],
                                tl_type_print(item->inputs[i]->type, type));
        }
    }
    return TL_OK;
}

/* ---- fuse ---- */

/* Joins lists of hits, or at each position lists of lists. All have the same depth, at least 1. */
static enum tl_status fuse(struct tl_value *const *lists, size_t list_count, size_t keep, double k,
                           struct tl_value **output, struct tl_error *error) {
    if (lists[0]->type.depth == 1) {
        struct candidates found = {0};
        for (size_t i = 0; i < list_count; i++) {
            for (size_t rank = 0; rank < lists[i]->as.list.count; rank++) {
                add_place(&found, &lists[i]->as.list.items[rank]->as.hit, (double)rank + 1, k);
            }
        }
        order_by_retrieval(&found);
        enum tl_status status = tl_builtin_finish(make_hits(&found, keep), output, error);
        candidates_fini(&found);
        return status;
    }
    size_t lanes = lists[0]->as.list.count;
    for (size_t i = 1; i < list_count; i++) {
        if (lists[i]->as.list.count != lanes) {
            return tl_error_set(error, TL_ERR_INVALID, "lists of %zu and of %zu lanes cannot be fused lane by lane",
                                lanes, lists[i]->as.list.count);
        }
    }
    struct tl_value **fused = tl_mem_alloc((lanes + 1) * sizeof *fused);
    struct tl_value **lane = tl_mem_alloc(list_count * sizeof *lane);
    enum tl_status status = TL_OK;
    size_t made = 0;
    for (; made < lanes && status == TL_OK; made++) {
        for (size_t i = 0; i < list_count; i++) {
            lane[i] = lists[i]->as.list.items[made];
        }
        status = fuse(lane, list_count, keep, k, &fused[made], error);
    }
    if (status == TL_OK) {
        status = tl_builtin_finish(tl_value_list(tl_type_element(lists[0]->type), fused, lanes), output, error);
    } else {
        for (size_t i = 0; i + 1 < made; i++) {
            tl_value_unref(fused[i]);
        }
    }
    tl_mem_free(lane);
    tl_mem_free(fused);
    return status;
}

enum tl_status tl_builtin_fuse(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    size_t keep = 0, k = 0;
    enum tl_status status = check_hits(item, error);
    if (status != TL_OK || (status = read_count(item, "count", 16, &keep, error)) != TL_OK ||
        (status = read_count(item, "constant", RECIPROCAL_RANK_K, &k, error)) != TL_OK) {
        return status;
    }
    if (item->input_count == 0) {
        return tl_error_set(error, TL_ERR_INVALID, "nothing to fuse: it has no inputs");
    }
    for (size_t i = 0; i < item->input_count; i++) {
        if (item->inputs[i]->type.depth == 0 || item->inputs[i]->type.depth != item->inputs[0]->type.depth) {
            return tl_error_set(error, TL_ERR_INVALID, "input `%s` is not a list of as many levels as the first one",
                                item->input_names[i]);
        }
    }
    return fuse(item->inputs, item->input_count, keep, (double)k, output, error);
}

/* ---- top ---- */

static void add_lanes(struct candidates *found, const struct tl_value *value) {
    if (value->type.depth == 0) {
        add_place(found, &value->as.hit, (double)value->as.hit.rank + 1, RECIPROCAL_RANK_K);
        return;
    }
    for (size_t i = 0; i < value->as.list.count; i++) {
        add_lanes(found, value->as.list.items[i]);
    }
}

static bool is_any_scored(const struct candidates *found) {
    for (size_t i = 0; i < found->count; i++) {
        if (found->items[i].scored) {
            return true;
        }
    }
    return false;
}

enum tl_status tl_builtin_top(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    size_t keep = 0;
    enum tl_status status = check_hits(item, error);
    if (status != TL_OK || (status = read_count(item, "count", 0, &keep, error)) != TL_OK) {
        return status;
    }
    struct candidates found = {0};
    for (size_t i = 0; i < item->input_count; i++) {
        add_lanes(&found, item->inputs[i]);
    }
    const char *by = tl_attributes_string(item->attributes, "by", is_any_scored(&found) ? "fused" : "retrieval");
    order_by_retrieval(&found);
    if (strcmp(by, "score") == 0) {
        sort(&found, by_score);
    } else if (strcmp(by, "fused") == 0) {
        order_by_both(&found);
    } else if (strcmp(by, "retrieval") != 0) {
        status =
            tl_error_set(error, TL_ERR_INVALID, "the attribute `by` is \"%s\"; expected retrieval, score or fused", by);
    }
    if (status == TL_OK) {
        status = tl_builtin_finish(make_hits(&found, keep), output, error);
    }
    candidates_fini(&found);
    return status;
}

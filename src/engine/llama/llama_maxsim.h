/* llama_maxsim.h: late interaction. A text is the set of its tokens' vectors, and
 *
 *     score(query, passage) = 1/|query| * sum over query tokens q of max over passage tokens p of cos(q, p)
 *
 * which is ColBERT's MaxSim (Khattab and Zaharia, SIGIR 2020), divided by the number of query
 * tokens so that scores of different questions compare. Special tokens take no part. A text
 * without tokens scores 0.
 *
 * Vectors are kept as int8 with one scale each (about 75 KB for a chunk of 190 tokens), which
 * a cache of the passages seen last holds: questions come back to the same chunks. Scores are
 * computed from the int8 form always, so that a cached passage scores the same as a new one. */
#ifndef TL_ENGINE_LLAMA_MAXSIM_H
#define TL_ENGINE_LLAMA_MAXSIM_H

#include <stddef.h>
#include <stdint.h>

#include "base/map.h"

/* The token vectors of one text; counted references, one thread. */
struct tl_llama_vectors {
    uint32_t references;
    uint32_t rows, dimension;
    size_t bytes;          /* of this block */
    float *scales;         /* rows of them: vector = scale * values */
    int8_t *values;        /* rows * dimension */
    char *key;             /* in the cache; NULL: not cached; owned */
    struct tl_llama_vectors *newer, *older; /* the cache's list */
};

/* Normalises and quantises `rows` vectors. Returns owned, or NULL when memory is out. */
struct tl_llama_vectors *tl_llama_vectors_create(const float *const *rows, size_t count, uint32_t dimension);
void tl_llama_vectors_unref(struct tl_llama_vectors *vectors); /* NULL is allowed */
double tl_llama_maxsim(const struct tl_llama_vectors *query, const struct tl_llama_vectors *passage);

/* Least recently used out first, never more than `limit` bytes. */
struct tl_llama_vectors_cache {
    struct tl_map entries; /* key to struct tl_llama_vectors */
    struct tl_llama_vectors *newest, *oldest;
    size_t bytes, limit;
    uint64_t hits, misses, evictions;
};

void tl_llama_vectors_cache_init(struct tl_llama_vectors_cache *cache, size_t limit);
void tl_llama_vectors_cache_fini(struct tl_llama_vectors_cache *cache);
/* A reference of the caller's own, or NULL. */
struct tl_llama_vectors *tl_llama_vectors_cache_get(struct tl_llama_vectors_cache *cache, const char *key);
/* Adds a reference of its own; does nothing when the key is there or the vectors are larger than the limit. */
void tl_llama_vectors_cache_put(struct tl_llama_vectors_cache *cache, const char *key,
                                struct tl_llama_vectors *vectors);

#endif

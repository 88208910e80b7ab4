/* llama_maxsim.c: see llama_maxsim.h. */
#include "engine/llama/llama_maxsim.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static void quantise(const float *vector, uint32_t dimension, int8_t *values, float *scale) {
    double square = 0;
    float largest = 0;
    for (uint32_t i = 0; i < dimension; i++) {
        square += (double)vector[i] * vector[i];
        largest = fmaxf(largest, fabsf(vector[i]));
    }
    if (square <= 0) {
        memset(values, 0, dimension);
        *scale = 0;
        return;
    }
    float step = largest / 127;
    for (uint32_t i = 0; i < dimension; i++)
        values[i] = (int8_t)lrintf(vector[i] / step);
    *scale = (float)(step / sqrt(square)); /* of the normalised vector */
}

struct tl_llama_vectors *tl_llama_vectors_create(const float *const *rows, size_t count, uint32_t dimension) {
    size_t bytes = sizeof(struct tl_llama_vectors) + count * (sizeof(float) + dimension);
    struct tl_llama_vectors *vectors = tl_mem_try_alloc(bytes);
    if (!vectors)
        return NULL;
    *vectors =
        (struct tl_llama_vectors){.references = 1, .rows = (uint32_t)count, .dimension = dimension, .bytes = bytes};
    vectors->scales = (float *)(void *)(vectors + 1);
    vectors->values = (int8_t *)(vectors->scales + count);
    for (size_t i = 0; i < count; i++)
        quantise(rows[i], dimension, vectors->values + i * dimension, &vectors->scales[i]);
    return vectors;
}

void tl_llama_vectors_unref(struct tl_llama_vectors *vectors) {
    if (!vectors || --vectors->references > 0)
        return;
    tl_mem_free(vectors->key);
    tl_mem_free(vectors);
}

static int32_t dot(const int8_t *a, const int8_t *b, uint32_t count) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += (int32_t)a[i] * b[i];
    return sum;
}

double tl_llama_maxsim(const struct tl_llama_vectors *query, const struct tl_llama_vectors *passage) {
    if (query->rows == 0 || passage->rows == 0)
        return 0;
    double sum = 0;
    for (uint32_t q = 0; q < query->rows; q++) {
        const int8_t *values = query->values + (size_t)q * query->dimension;
        double best = -1;
        for (uint32_t p = 0; p < passage->rows; p++) {
            int32_t product = dot(values, passage->values + (size_t)p * passage->dimension, passage->dimension);
            double cosine = (double)product * query->scales[q] * passage->scales[p];
            if (cosine > best)
                best = cosine;
        }
        sum += best;
    }
    return sum / query->rows;
}

/* ---- cache ---- */

void tl_llama_vectors_cache_init(struct tl_llama_vectors_cache *cache, size_t limit) {
    *cache = (struct tl_llama_vectors_cache){.limit = limit};
    tl_map_init(&cache->entries);
}

static void unlink_entry(struct tl_llama_vectors_cache *cache, struct tl_llama_vectors *vectors) {
    if (vectors->newer)
        vectors->newer->older = vectors->older;
    else
        cache->newest = vectors->older;
    if (vectors->older)
        vectors->older->newer = vectors->newer;
    else
        cache->oldest = vectors->newer;
    vectors->newer = vectors->older = NULL;
}

static void link_newest(struct tl_llama_vectors_cache *cache, struct tl_llama_vectors *vectors) {
    vectors->older = cache->newest;
    if (cache->newest)
        cache->newest->newer = vectors;
    else
        cache->oldest = vectors;
    cache->newest = vectors;
}

static void evict_oldest(struct tl_llama_vectors_cache *cache) {
    struct tl_llama_vectors *vectors = cache->oldest;
    unlink_entry(cache, vectors);
    tl_map_remove(&cache->entries, vectors->key);
    cache->bytes -= vectors->bytes;
    tl_mem_free(vectors->key);
    vectors->key = NULL;
    tl_llama_vectors_unref(vectors);
}

void tl_llama_vectors_cache_fini(struct tl_llama_vectors_cache *cache) {
    while (cache->oldest)
        evict_oldest(cache);
    tl_map_fini(&cache->entries);
}

struct tl_llama_vectors *tl_llama_vectors_cache_get(struct tl_llama_vectors_cache *cache, const char *key) {
    struct tl_llama_vectors *vectors = tl_map_get(&cache->entries, key);
    if (!vectors) {
        cache->misses++;
        return NULL;
    }
    cache->hits++;
    unlink_entry(cache, vectors);
    link_newest(cache, vectors);
    vectors->references++;
    return vectors;
}

void tl_llama_vectors_cache_put(struct tl_llama_vectors_cache *cache, const char *key,
                                struct tl_llama_vectors *vectors) {
    if (vectors->bytes > cache->limit || tl_map_has(&cache->entries, key))
        return;
    while (cache->bytes + vectors->bytes > cache->limit) {
        evict_oldest(cache);
        cache->evictions++;
    }
    vectors->references++;
    vectors->key = tl_mem_strdup(key);
    tl_map_set(&cache->entries, key, vectors);
    link_newest(cache, vectors);
    cache->bytes += vectors->bytes;
}

/* cache.c: plans by key, least recently used first out. A doubly linked list in order of use
 * over a table with open addressing; every operation takes constant time. Guarded by a mutex,
 * which is held for no longer than that. */
#include <pthread.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "plan/plan.h"

#define NONE UINT32_MAX

struct entry {
    struct tl_plan_key key;
    struct tl_plan *plan; /* one reference */
    uint32_t newer, older;
};

struct tl_plan_cache {
    pthread_mutex_t mutex; /* guards all of it */
    struct entry *entries;
    uint32_t count, capacity;
    uint32_t newest, oldest;
    uint32_t *table; /* entry + 1; 0: free. Linear probing */
    uint32_t mask;
    uint64_t hits, misses;
};

struct tl_plan_cache *tl_plan_cache_create(size_t capacity) {
    struct tl_plan_cache *cache = tl_mem_zalloc(sizeof *cache);
    pthread_mutex_init(&cache->mutex, NULL);
    cache->capacity = capacity < 1 ? 1 : capacity > 1u << 20 ? 1u << 20
                                                             : (uint32_t)capacity;
    cache->entries = tl_mem_zalloc(cache->capacity * sizeof *cache->entries);
    uint32_t size = 4;
    while (size < 2 * cache->capacity)
        size *= 2;
    cache->mask = size - 1;
    cache->table = tl_mem_zalloc(size * sizeof *cache->table);
    cache->newest = cache->oldest = NONE;
    return cache;
}

void tl_plan_cache_destroy(struct tl_plan_cache *cache) {
    if (cache == NULL)
        return;
    for (uint32_t i = 0; i < cache->count; i++)
        tl_plan_unref(cache->entries[i].plan);
    pthread_mutex_destroy(&cache->mutex);
    tl_mem_free(cache->entries);
    tl_mem_free(cache->table);
    tl_mem_free(cache);
}

/* Both halves are hashed over everything, with seeds of their own: 128 bits that differ for all origins that do. */
struct tl_plan_key tl_plan_key(const struct tl_plan_origin *origin) {
    uint64_t halves[2];
    for (uint64_t half = 0; half < 2; half++) {
        uint64_t hash = tl_hash_string(origin->workflow, half + 1);
        hash = tl_hash_u64(((uint64_t)origin->level << 1) | origin->collection, hash);
        hash = tl_hash_u64(origin->cost_version, hash);
        hash = tl_hash_u64(origin->load, hash);
        hash = tl_hash_u64(origin->engines_version, hash);
        hash = tl_hash_u64(origin->given_count, hash);
        for (size_t i = 0; i < origin->given_count; i++)
            hash = tl_hash_string(origin->given[i], hash);
        for (size_t i = 0; i < origin->pass_count; i++)
            hash = tl_hash_string(origin->passes[i], hash);
        halves[half] = hash;
    }
    return (struct tl_plan_key){halves[0], halves[1]};
}

static uint32_t home_of(const struct tl_plan_cache *cache, struct tl_plan_key key) {
    return (uint32_t)key.low & cache->mask;
}

/* The place in the table of this key, or the free one where it would stand. */
static uint32_t find(const struct tl_plan_cache *cache, struct tl_plan_key key) {
    uint32_t place = home_of(cache, key);
    for (; cache->table[place] != 0; place = (place + 1) & cache->mask) {
        const struct entry *entry = &cache->entries[cache->table[place] - 1];
        if (entry->key.high == key.high && entry->key.low == key.low)
            break;
    }
    return place;
}

/* Frees a place, moving back those that had to step over it. */
static void erase(struct tl_plan_cache *cache, uint32_t hole) {
    for (uint32_t next = (hole + 1) & cache->mask; cache->table[next] != 0; next = (next + 1) & cache->mask) {
        const struct entry *entry = &cache->entries[cache->table[next] - 1];
        uint32_t home = home_of(cache, entry->key);
        if (((next - home) & cache->mask) < ((next - hole) & cache->mask))
            continue;
        cache->table[hole] = cache->table[next];
        hole = next;
    }
    cache->table[hole] = 0;
}

static void unlink_entry(struct tl_plan_cache *cache, uint32_t position) {
    struct entry *entry = &cache->entries[position];
    *(entry->newer == NONE ? &cache->newest : &cache->entries[entry->newer].older) = entry->older;
    *(entry->older == NONE ? &cache->oldest : &cache->entries[entry->older].newer) = entry->newer;
}

static void link_newest(struct tl_plan_cache *cache, uint32_t position) {
    struct entry *entry = &cache->entries[position];
    entry->newer = NONE;
    entry->older = cache->newest;
    *(cache->newest == NONE ? &cache->oldest : &cache->entries[cache->newest].newer) = position;
    cache->newest = position;
}

struct tl_plan *tl_plan_cache_get(struct tl_plan_cache *cache, struct tl_plan_key key) {
    struct tl_plan *plan = NULL;
    pthread_mutex_lock(&cache->mutex);
    uint32_t found = cache->table[find(cache, key)];
    if (found != 0) {
        plan = tl_plan_ref(cache->entries[found - 1].plan);
        unlink_entry(cache, found - 1);
        link_newest(cache, found - 1);
        cache->hits++;
    } else {
        cache->misses++;
    }
    pthread_mutex_unlock(&cache->mutex);
    return plan;
}

void tl_plan_cache_put(struct tl_plan_cache *cache, struct tl_plan_key key, struct tl_plan *plan) {
    struct tl_plan *former = NULL;
    tl_plan_ref(plan);
    pthread_mutex_lock(&cache->mutex);
    uint32_t place = find(cache, key), position;
    if (cache->table[place] != 0) {
        position = cache->table[place] - 1;
        former = cache->entries[position].plan;
        unlink_entry(cache, position);
    } else if (cache->count < cache->capacity) {
        position = cache->count++;
        cache->table[place] = position + 1;
    } else {
        position = cache->oldest;
        struct entry *oldest = &cache->entries[position];
        former = oldest->plan;
        unlink_entry(cache, position);
        erase(cache, find(cache, oldest->key));
        cache->table[find(cache, key)] = position + 1;
    }
    struct entry *entry = &cache->entries[position];
    entry->key = key;
    entry->plan = plan;
    link_newest(cache, position);
    pthread_mutex_unlock(&cache->mutex);
    tl_plan_unref(former); /* outside the lock: it may free a whole plan */
}

void tl_plan_cache_counters(struct tl_plan_cache *cache, uint64_t *hits, uint64_t *misses, size_t *entries) {
    pthread_mutex_lock(&cache->mutex);
    *hits = cache->hits;
    *misses = cache->misses;
    *entries = cache->count;
    pthread_mutex_unlock(&cache->mutex);
}

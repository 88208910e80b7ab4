#include "base/map.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

void tl_map_init(struct tl_map *map) {
    *map = (struct tl_map){0};
}

void tl_map_fini(struct tl_map *map) {
    for (size_t i = 0; i < map->used; i++)
        tl_mem_free(map->entries[i].key);
    tl_mem_free(map->entries);
    tl_mem_free(map->slots);
    tl_map_init(map);
}

/* The entry with this key, or NULL. A slot of a removed entry keeps the probe going. */
static struct tl_map_entry *find(const struct tl_map *map, const char *key, uint64_t hash) {
    if (map->count == 0)
        return NULL;
    size_t mask = map->slot_count - 1;
    for (size_t i = (size_t)hash & mask; map->slots[i] != 0; i = (i + 1) & mask) {
        struct tl_map_entry *entry = &map->entries[map->slots[i] - 1];
        if (entry->key != NULL && entry->hash == hash && strcmp(entry->key, key) == 0)
            return entry;
    }
    return NULL;
}

static void fill_slot(struct tl_map *map, size_t index) {
    size_t mask = map->slot_count - 1;
    size_t i = (size_t)map->entries[index].hash & mask;
    while (map->slots[i] != 0)
        i = (i + 1) & mask;
    map->slots[i] = (uint32_t)(index + 1);
}

/* Closes the holes, makes room for one more entry and builds the slots anew. */
static void rebuild(struct tl_map *map) {
    size_t live = 0;
    for (size_t i = 0; i < map->used; i++)
        if (map->entries[i].key != NULL)
            map->entries[live++] = map->entries[i];
    map->used = live;
    if (live >= UINT32_MAX / 4)
        TL_BUG("a map of %zu entries", live);
    map->entries = tl_mem_grow(map->entries, &map->capacity, live + 1, sizeof *map->entries);

    size_t slot_count = 16;
    while (slot_count < 4 * (live + 1)) /* so that as many again fit before the next rebuild */
        slot_count *= 2;
    tl_mem_free(map->slots);
    map->slots = tl_mem_zalloc(slot_count * sizeof *map->slots);
    map->slot_count = slot_count;
    for (size_t i = 0; i < live; i++)
        fill_slot(map, i);
}

void *tl_map_get(const struct tl_map *map, const char *key) {
    const struct tl_map_entry *entry = find(map, key, tl_hash_string(key, 0));
    return entry == NULL ? NULL : entry->value;
}

bool tl_map_has(const struct tl_map *map, const char *key) {
    return find(map, key, tl_hash_string(key, 0)) != NULL;
}

void *tl_map_set(struct tl_map *map, const char *key, void *value) {
    uint64_t hash = tl_hash_string(key, 0);
    struct tl_map_entry *entry = find(map, key, hash);
    if (entry != NULL) {
        void *former = entry->value;
        entry->value = value;
        return former;
    }
    char *copy = tl_mem_strdup(key);
    if (map->used == map->capacity || 2 * (map->used + 1) > map->slot_count)
        rebuild(map);
    map->entries[map->used] = (struct tl_map_entry){.key = copy, .value = value, .hash = hash};
    fill_slot(map, map->used);
    map->used++;
    map->count++;
    return NULL;
}

void *tl_map_remove(struct tl_map *map, const char *key) {
    struct tl_map_entry *entry = find(map, key, tl_hash_string(key, 0));
    if (entry == NULL)
        return NULL;
    void *former = entry->value;
    tl_mem_free(entry->key);
    entry->key = NULL;
    entry->value = NULL;
    map->count--;
    return former;
}

bool tl_map_next(const struct tl_map *map, size_t *cursor, const char **key, void **value) {
    while (*cursor < map->used) {
        const struct tl_map_entry *entry = &map->entries[(*cursor)++];
        if (entry->key == NULL)
            continue;
        if (key != NULL)
            *key = entry->key;
        if (value != NULL)
            *value = entry->value;
        return true;
    }
    return false;
}

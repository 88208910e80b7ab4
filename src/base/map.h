/* map.h: a hash map from strings to pointers, open addressing, insertion-ordered when
 * iterated. Keys are copied; values are borrowed. Not for hot paths of the scheduler. */
#ifndef TL_BASE_MAP_H
#define TL_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tl_map_entry {
    char *key;     /* owned; NULL: removed */
    void *value;
    uint64_t hash;
};

struct tl_map {
    struct tl_map_entry *entries; /* in order of insertion, with holes where removed */
    size_t used, capacity;        /* of entries, holes included */
    size_t count;                 /* live entries */
    uint32_t *slots;              /* index + 1 into entries; 0: free */
    size_t slot_count;            /* a power of two, at least twice `used` */
};

void tl_map_init(struct tl_map *map);
void tl_map_fini(struct tl_map *map);
void *tl_map_get(const struct tl_map *map, const char *key); /* NULL when absent */
bool tl_map_has(const struct tl_map *map, const char *key);
void *tl_map_set(struct tl_map *map, const char *key, void *value);  /* returns the former value or NULL */
void *tl_map_remove(struct tl_map *map, const char *key);            /* returns the former value or NULL */
/* Iterates: start with *cursor = 0; false at the end. */
bool tl_map_next(const struct tl_map *map, size_t *cursor, const char **key, void **value);

#endif

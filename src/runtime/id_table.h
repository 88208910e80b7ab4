/* id_table.h: a hash table from 64-bit ids to pointers. Open addressing with backward shift on
 * removal, so there are no tombstones; at most half full. Id 0 marks a free slot: it is never a key. */
#ifndef TL_RUNTIME_ID_TABLE_H
#define TL_RUNTIME_ID_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct tl_id_slot {
    uint64_t id; /* 0: free */
    void *value;
};

struct tl_id_table {
    struct tl_id_slot *slots;
    size_t slot_count; /* 0 or a power of two */
    size_t count;
};

void tl_id_table_init(struct tl_id_table *table);
void tl_id_table_fini(struct tl_id_table *table); /* values are borrowed */
void tl_id_table_set(struct tl_id_table *table, uint64_t id, void *value); /* value must not be NULL */
void *tl_id_table_get(const struct tl_id_table *table, uint64_t id);       /* NULL when absent */
void *tl_id_table_remove(struct tl_id_table *table, uint64_t id);          /* the value, or NULL when absent */
/* Iterates in no order: start with *cursor = 0; NULL at the end. The table must not change meanwhile. */
void *tl_id_table_next(const struct tl_id_table *table, size_t *cursor);

#endif

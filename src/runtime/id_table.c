/* id_table.c: see id_table.h. */
#include "runtime/id_table.h"

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#define FEWEST_SLOTS 16

void tl_id_table_init(struct tl_id_table *table) {
    *table = (struct tl_id_table){0};
}

void tl_id_table_fini(struct tl_id_table *table) {
    tl_mem_free(table->slots);
    tl_id_table_init(table);
}

static size_t home(const struct tl_id_table *table, uint64_t id) {
    return tl_hash_u64(id, 0) & (table->slot_count - 1);
}

/* The slot of the id, or the free one where it belongs. */
static size_t find(const struct tl_id_table *table, uint64_t id) {
    size_t at = home(table, id);
    while (table->slots[at].id != 0 && table->slots[at].id != id)
        at = (at + 1) & (table->slot_count - 1);
    return at;
}

static void grow(struct tl_id_table *table) {
    struct tl_id_table larger = {.slot_count = table->slot_count ? 2 * table->slot_count : FEWEST_SLOTS,
                                 .count = table->count};
    larger.slots = tl_mem_zalloc(larger.slot_count * sizeof *larger.slots);
    for (size_t i = 0; i < table->slot_count; i++)
        if (table->slots[i].id != 0)
            larger.slots[find(&larger, table->slots[i].id)] = table->slots[i];
    tl_mem_free(table->slots);
    *table = larger;
}

void tl_id_table_set(struct tl_id_table *table, uint64_t id, void *value) {
    TL_ASSERT(id != 0 && value);
    if (2 * (table->count + 1) > table->slot_count)
        grow(table);
    struct tl_id_slot *slot = &table->slots[find(table, id)];
    table->count += slot->id == 0;
    *slot = (struct tl_id_slot){id, value};
}

void *tl_id_table_get(const struct tl_id_table *table, uint64_t id) {
    return table->count > 0 && id != 0 ? table->slots[find(table, id)].value : NULL;
}

void *tl_id_table_remove(struct tl_id_table *table, uint64_t id) {
    if (table->count == 0 || id == 0)
        return NULL;
    size_t hole = find(table, id), mask = table->slot_count - 1;
    void *value = table->slots[hole].value;
    if (table->slots[hole].id == 0)
        return NULL;
    /* Later members of the probe sequence move up, unless that were before their home. */
    for (size_t at = (hole + 1) & mask; table->slots[at].id != 0; at = (at + 1) & mask) {
        size_t from_home = (at - home(table, table->slots[at].id)) & mask;
        if (from_home >= ((at - hole) & mask)) {
            table->slots[hole] = table->slots[at];
            hole = at;
        }
    }
    table->slots[hole] = (struct tl_id_slot){0};
    table->count--;
    return value;
}

void *tl_id_table_next(const struct tl_id_table *table, size_t *cursor) {
    while (*cursor < table->slot_count) {
        const struct tl_id_slot *slot = &table->slots[(*cursor)++];
        if (slot->id != 0)
            return slot->value;
    }
    return NULL;
}

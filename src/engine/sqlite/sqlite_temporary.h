/* sqlite_temporary.h: a query's own collection: a store in memory that lives as long as the
 * index values that stand for it.
 *
 * Each index value holds one resource, each resource one reference; the last one closes the
 * store where it happens to go. That needs neither the engine nor its executor: nobody else can
 * be using the store then, and closing memory waits for nothing (0.1 ms for 48 chunks of 384
 * dimensions; the pages of 10 MB are freed in about 1 ms). */
#ifndef TL_ENGINE_SQLITE_SQLITE_TEMPORARY_H
#define TL_ENGINE_SQLITE_SQLITE_TEMPORARY_H

#include "base/value.h"
#include "engine/sqlite/store.h"

struct tl_sqlite_temporary;

/* Makes an empty one. Returns it with one reference. */
enum tl_status tl_sqlite_temporary_create(const char *vec0, struct tl_sqlite_temporary **temporary,
                                          struct tl_error *error);
void tl_sqlite_temporary_ref(struct tl_sqlite_temporary *temporary);
void tl_sqlite_temporary_unref(struct tl_sqlite_temporary *temporary); /* NULL is allowed */

/* An index value for it, with a reference of its own; NULL when memory is out. */
struct tl_value *tl_sqlite_temporary_index(struct tl_sqlite_temporary *temporary, const void *owner);

/* What an index value of tl_sqlite_temporary_index stands for; borrowed. */
struct tl_sqlite_temporary *tl_sqlite_temporary_of(const struct tl_resource *resource);

/* Its collection; NULL while nothing has been ingested. */
struct tl_collection *tl_sqlite_temporary_collection(struct tl_sqlite_temporary *temporary);
/* The same, made for vectors of this dimension when there is none yet. */
enum tl_status tl_sqlite_temporary_prepare(struct tl_sqlite_temporary *temporary, uint32_t dimension,
                                           struct tl_collection **collection, struct tl_error *error);

/* How many there are in this process, for tests. */
unsigned tl_sqlite_temporary_count(void);

#endif

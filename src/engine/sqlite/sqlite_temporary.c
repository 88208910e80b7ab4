#include "engine/sqlite/sqlite_temporary.h"

#include <stdatomic.h>

#include "base/mem.h"

#define COLLECTION_NAME "temporary"

struct tl_sqlite_temporary {
    _Atomic unsigned references;
    struct tl_store *store;
    struct tl_collection *collection; /* NULL: nothing ingested yet, so the dimension is not known */
};

/* What an index value carries; the engine's handle is the temporary itself. */
struct temporary_resource {
    struct tl_resource base;
    struct tl_sqlite_temporary *temporary;
};

static _Atomic unsigned alive;

enum tl_status tl_sqlite_temporary_create(const char *vec0, struct tl_sqlite_temporary **out, struct tl_error *error) {
    *out = NULL;
    struct tl_store *store = NULL;
    const struct tl_store_options options = {.path = ":memory:", .vec0 = vec0, .create = true};
    enum tl_status status = tl_store_open(&options, &store, error);
    if (status != TL_OK)
        return status;
    struct tl_sqlite_temporary *temporary = tl_mem_zalloc(sizeof *temporary);
    temporary->references = 1;
    temporary->store = store;
    atomic_fetch_add(&alive, 1);
    *out = temporary;
    return TL_OK;
}

void tl_sqlite_temporary_ref(struct tl_sqlite_temporary *temporary) {
    atomic_fetch_add_explicit(&temporary->references, 1, memory_order_relaxed);
}

void tl_sqlite_temporary_unref(struct tl_sqlite_temporary *temporary) {
    if (!temporary || atomic_fetch_sub_explicit(&temporary->references, 1, memory_order_acq_rel) != 1)
        return;
    tl_store_close(temporary->store);
    tl_mem_free(temporary);
    atomic_fetch_sub(&alive, 1);
}

static void release(struct tl_resource *self) {
    struct temporary_resource *resource = (struct temporary_resource *)self;
    tl_sqlite_temporary_unref(resource->temporary);
    tl_mem_free(resource);
}

struct tl_value *tl_sqlite_temporary_index(struct tl_sqlite_temporary *temporary, const void *owner) {
    struct temporary_resource *resource = tl_mem_alloc(sizeof *resource);
    *resource = (struct temporary_resource){
        .base = {.release = release, .handle = (uint64_t)(uintptr_t)temporary, .owner = owner},
        .temporary = temporary,
    };
    tl_sqlite_temporary_ref(temporary);
    uint64_t version = 0;
    if (temporary->collection) {
        struct tl_collection_info info;
        tl_collection_describe(temporary->collection, &info);
        version = info.version;
    }
    return tl_value_index("", &resource->base, version);
}

struct tl_sqlite_temporary *tl_sqlite_temporary_of(const struct tl_resource *resource) {
    return ((const struct temporary_resource *)resource)->temporary;
}

struct tl_collection *tl_sqlite_temporary_collection(struct tl_sqlite_temporary *temporary) {
    return temporary->collection;
}

enum tl_status tl_sqlite_temporary_prepare(struct tl_sqlite_temporary *temporary, uint32_t dimension,
                                           struct tl_collection **collection, struct tl_error *error) {
    enum tl_status status = TL_OK;
    if (!temporary->collection) {
        const struct tl_collection_spec spec = {.name = COLLECTION_NAME, .dimension = dimension};
        status = tl_collection_create(temporary->store, &spec, &temporary->collection, error);
    }
    *collection = temporary->collection;
    return status;
}

unsigned tl_sqlite_temporary_count(void) { return atomic_load(&alive); }

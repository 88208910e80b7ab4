/* llama_sequence.c: KV in and out of the context, as engine/llm says, and the handles that stand for prefixes.
 *
 * Two layouts (setting kv). In `stream` each sequence has cells of its own: attention runs over these alone, and KV
 * goes from one sequence to another through host memory (llama_state_seq_get_data and set_data, some 2 ms for 512
 * tokens, where computing them takes 800; llama_memory_seq_cp between streams is carried out only at the next decode,
 * when the source may have been overwritten). In `unified` all sequences share the cells: a prefix is shared without
 * copying, and attention runs over whatever is resident. */
#include <string.h>

#include "base/mem.h"
#include "engine/llama/llama_internal.h"

/* ---- storage ---- */

struct snapshot {
    size_t bytes;
    uint8_t data[];
};

static void empty(const struct tl_llama_engine *engine, uint32_t sequence) {
    llama_memory_seq_rm(engine->memory, (llama_seq_id)sequence, -1, -1); /* of a whole sequence: never fails */
}

static void *save(void *context, uint32_t sequence, size_t length, uint64_t *bytes) {
    struct tl_llama_engine *engine = context;
    (void)length;
    size_t size = llama_state_seq_get_size(engine->context, (llama_seq_id)sequence);
    struct snapshot *snapshot = size > 0 ? tl_mem_try_alloc(sizeof *snapshot + size) : NULL;
    if (!snapshot)
        return NULL;
    snapshot->bytes = size;
    if (llama_state_seq_get_data(engine->context, snapshot->data, size, (llama_seq_id)sequence) != size) {
        tl_mem_free(snapshot);
        return NULL;
    }
    *bytes = sizeof *snapshot + size;
    return snapshot;
}

static bool load(void *context, uint32_t sequence, const void *saved, size_t length) {
    struct tl_llama_engine *engine = context;
    const struct snapshot *snapshot = saved;
    (void)length;
    if (llama_state_seq_set_data(engine->context, snapshot->data, snapshot->bytes, (llama_seq_id)sequence) ==
        snapshot->bytes)
        return true;
    empty(engine, sequence);
    return false;
}

static void drop(void *context, void *saved) {
    (void)context;
    tl_mem_free(saved);
}

static bool trim(void *context, uint32_t sequence, size_t length) {
    struct tl_llama_engine *engine = context;
    if (length > 0 && llama_memory_seq_rm(engine->memory, (llama_seq_id)sequence, (llama_pos)length, -1))
        return true;
    empty(engine, sequence);
    return length == 0;
}

static bool share(void *context, uint32_t from, uint32_t to, size_t length) {
    struct tl_llama_engine *engine = context;
    llama_memory_seq_cp(engine->memory, (llama_seq_id)from, (llama_seq_id)to, 0, (llama_pos)length);
    return true;
}

struct tl_llm_storage tl_llama_storage(struct tl_llama_engine *engine) {
    bool shares = engine->kv && strcmp(engine->kv, "unified") == 0;
    return (struct tl_llm_storage){engine, save, load, drop, trim, shares ? share : NULL};
}

/* ---- handles ---- */

struct tl_llama_released *tl_llama_released_create(void) {
    struct tl_llama_released *list = tl_mem_zalloc(sizeof *list);
    pthread_mutex_init(&list->lock, NULL);
    list->references = 1;
    return list;
}

/* Called with the lock held; gives it up. */
static void unref_and_unlock(struct tl_llama_released *list) {
    bool last = --list->references == 0;
    pthread_mutex_unlock(&list->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&list->lock);
    tl_mem_free(list);
}

static void release_handle(struct tl_resource *resource) {
    struct tl_llama_handle *handle = (struct tl_llama_handle *)resource;
    struct tl_llama_released *list = handle->list;
    pthread_mutex_lock(&list->lock);
    if (!list->closed) {
        handle->next = list->first;
        list->first = handle;
        pthread_mutex_unlock(&list->lock);
        return;
    }
    tl_mem_free(handle->row);
    tl_mem_free(handle);
    unref_and_unlock(list);
}

void tl_llama_drain(struct tl_llama_engine *engine) {
    struct tl_llama_released *list = engine->released;
    pthread_mutex_lock(&list->lock);
    struct tl_llama_handle *handle = list->first;
    list->first = NULL;
    pthread_mutex_unlock(&list->lock);
    while (handle) {
        struct tl_llama_handle *next = handle->next;
        tl_llm_handle_release(engine->core, handle->prefix);
        engine->rows -= handle->row != NULL;
        tl_mem_free(handle->row);
        tl_mem_free(handle);
        pthread_mutex_lock(&list->lock);
        unref_and_unlock(list);
        handle = next;
    }
}

void tl_llama_released_close(struct tl_llama_released *list) {
    pthread_mutex_lock(&list->lock);
    list->closed = true;
    unref_and_unlock(list);
}

struct tl_resource *tl_llama_handle_create(struct tl_llama_engine *engine, const struct tl_llm_request *request,
                                           float *row) {
    struct tl_llama_handle *handle = tl_mem_zalloc(sizeof *handle);
    handle->row = row;
    handle->prefix = tl_llm_handle_create(engine->core, request);
    handle->resource = (struct tl_resource){release_handle, (uint64_t)(uintptr_t)handle->prefix, engine};
    handle->list = engine->released;
    pthread_mutex_lock(&engine->released->lock);
    engine->released->references++;
    pthread_mutex_unlock(&engine->released->lock);
    return &handle->resource;
}

#include "engine/llm/handles.h"

#include <pthread.h>

#include "base/mem.h"

struct handle {
    struct tl_resource resource; /* first */
    struct tl_llm_handles *handles;
    struct tl_llm_handle *prefix; /* dangling once the handles are closed: then not looked at */
    void *attached;               /* NULL: nothing */
    struct handle *next;          /* of those released */
};

struct tl_llm_handles {
    struct tl_llm_core *core;
    const void *owner;
    uint64_t *alive;
    pthread_mutex_t lock;
    struct handle *released; /* guarded by lock */
    uint32_t references;     /* the engine and each handle; guarded by lock */
    bool closed;             /* guarded by lock */
};

struct tl_llm_handles *tl_llm_handles_create(struct tl_llm_core *core, const void *owner, uint64_t *alive) {
    struct tl_llm_handles *handles = tl_mem_zalloc(sizeof *handles);
    pthread_mutex_init(&handles->lock, NULL);
    handles->core = core;
    handles->owner = owner;
    handles->alive = alive;
    handles->references = 1;
    return handles;
}

/* Called with the lock held; gives it up. */
static void unref_and_unlock(struct tl_llm_handles *handles) {
    bool last = --handles->references == 0;
    pthread_mutex_unlock(&handles->lock);
    if (!last)
        return;
    pthread_mutex_destroy(&handles->lock);
    tl_mem_free(handles);
}

static void free_handle(struct handle *handle) {
    tl_mem_free(handle->attached);
    tl_mem_free(handle);
}

static void release(struct tl_resource *resource) {
    struct handle *handle = (struct handle *)resource;
    struct tl_llm_handles *handles = handle->handles;
    if (handles->alive)
        --*handles->alive;
    pthread_mutex_lock(&handles->lock);
    if (handles->closed) {
        free_handle(handle);
        unref_and_unlock(handles);
        return;
    }
    handle->next = handles->released;
    handles->released = handle;
    pthread_mutex_unlock(&handles->lock);
}

bool tl_llm_handles_are_released(struct tl_llm_handles *handles) {
    pthread_mutex_lock(&handles->lock);
    bool released = handles->released != NULL;
    pthread_mutex_unlock(&handles->lock);
    return released;
}

size_t tl_llm_handles_drain(struct tl_llm_handles *handles) {
    size_t attached = 0;
    pthread_mutex_lock(&handles->lock);
    struct handle *handle = handles->released;
    handles->released = NULL;
    for (const struct handle *each = handle; each; each = each->next)
        handles->references--; /* never the last: that is the engine's */
    pthread_mutex_unlock(&handles->lock);
    for (struct handle *next; handle; handle = next) {
        next = handle->next;
        tl_llm_handle_release(handles->core, handle->prefix);
        attached += handle->attached != NULL;
        free_handle(handle);
    }
    return attached;
}

void tl_llm_handles_close(struct tl_llm_handles *handles) {
    tl_llm_handles_drain(handles);
    pthread_mutex_lock(&handles->lock);
    /* What is released from here on, on other threads, waits for the lock and finds it closed. */
    handles->closed = true;
    struct handle *handle = handles->released;
    while (handle) {
        struct handle *next = handle->next;
        free_handle(handle);
        handles->references--;
        handle = next;
    }
    unref_and_unlock(handles);
}

struct tl_resource *tl_llm_handles_add(struct tl_llm_handles *handles, const struct tl_llm_request *request,
                                       void *attached) {
    struct handle *handle = tl_mem_zalloc(sizeof *handle);
    handle->attached = attached;
    handle->prefix = tl_llm_handle_create(handles->core, request);
    handle->resource = (struct tl_resource){release, (uint64_t)(uintptr_t)handle->prefix, handles->owner};
    handle->handles = handles;
    if (handles->alive)
        ++*handles->alive;
    pthread_mutex_lock(&handles->lock);
    handles->references++;
    pthread_mutex_unlock(&handles->lock);
    return &handle->resource;
}

const struct tl_llm_handle *tl_llm_handles_prefix(const struct tl_resource *resource) {
    return ((const struct handle *)resource)->prefix;
}

const void *tl_llm_handles_attached(const struct tl_resource *resource) {
    return ((const struct handle *)resource)->attached;
}

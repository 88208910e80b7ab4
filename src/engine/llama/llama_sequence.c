/* llama_sequence.c: where KV lives.
 *
 * The context has a stream per sequence (measured: attention over a unified cache runs over
 * everything resident), so KV is shared by copying. Three rules keep copies rare:
 *   - Decoding only appends, so an item works in the span of the prefix that it was given, and
 *     what it appended is removed when it ends: one user after another costs nothing.
 *   - Only who comes while the span is in use, or wants to go on differently than a longer
 *     prefix in it, gets a copy.
 *   - A span that nobody computes in may be parked in host memory when its sequence is wanted:
 *     so a prefix never holds a sequence that a running item needs.
 * Copies go through a snapshot (llama_state_seq_get_data and set_data, about 2 ms for 512 tokens,
 * where computing them takes 800): llama_memory_seq_cp between streams is carried out only at the
 * next decode, and the source may have been overwritten by then. */
#include "engine/llama/llama_internal.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"

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
    tl_mem_free(handle);
    unref_and_unlock(list);
}

static void destroy_if_unused(struct tl_llama_engine *engine, struct tl_llama_prefix *prefix);

void tl_llama_drain(struct tl_llama_engine *engine) {
    struct tl_llama_released *list = engine->released;
    pthread_mutex_lock(&list->lock);
    struct tl_llama_handle *handle = list->first;
    list->first = NULL;
    pthread_mutex_unlock(&list->lock);
    while (handle) {
        struct tl_llama_handle *next = handle->next;
        handle->prefix->released = true;
        destroy_if_unused(engine, handle->prefix);
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

/* ---- spans ---- */

static struct tl_llama_span *create_span(struct tl_llama_engine *engine, int32_t sequence) {
    struct tl_llama_span *span = tl_mem_zalloc(sizeof *span);
    span->sequence = sequence;
    span->used = engine->steps;
    span->next = engine->spans;
    if (span->next)
        span->next->before = span;
    engine->spans = span;
    engine->resident[sequence] = span;
    return span;
}

/* Takes the span's KV off its sequence, which is free then. */
static void vacate(struct tl_llama_engine *engine, struct tl_llama_span *span) {
    if (span->sequence < 0)
        return;
    llama_memory_seq_rm(engine->memory, span->sequence, -1, -1); /* of a whole sequence: never fails */
    engine->resident[span->sequence] = NULL;
    span->sequence = -1;
}

static void forget_snapshot(struct tl_llama_engine *engine, struct tl_llama_span *span) {
    engine->counters.parked_bytes -= span->parked_bytes;
    tl_mem_free(span->parked);
    span->parked = NULL;
    span->parked_bytes = 0;
}

/* The prefixes of a span lose their KV; they keep their tokens. */
static void unanchor_all(struct tl_llama_span *span) {
    while (span->prefixes) {
        struct tl_llama_prefix *prefix = span->prefixes;
        span->prefixes = prefix->next_anchored;
        prefix->next_anchored = NULL;
        prefix->span = NULL;
        prefix->cached = 0;
    }
}

static void destroy_span(struct tl_llama_engine *engine, struct tl_llama_span *span) {
    unanchor_all(span);
    vacate(engine, span);
    forget_snapshot(engine, span);
    if (span->before)
        span->before->next = span->next;
    else
        engine->spans = span->next;
    if (span->next)
        span->next->before = span->before;
    tl_mem_free(span);
}

/* Removes what is behind `length` tokens. A model that cannot (a recurrent state) loses all. */
static void truncate_span(struct tl_llama_engine *engine, struct tl_llama_span *span, size_t length) {
    if (span->length <= length || span->sequence < 0)
        return;
    if (llama_memory_seq_rm(engine->memory, span->sequence, (llama_pos)length, -1)) {
        span->length = length;
        return;
    }
    llama_memory_seq_rm(engine->memory, span->sequence, -1, -1);
    span->length = 0;
    unanchor_all(span);
}

void tl_llama_span_repair(struct tl_llama_engine *engine, struct tl_llama_span *span) {
    size_t length = span->length++;
    truncate_span(engine, span, length);
}

static size_t longest_anchored(const struct tl_llama_span *span) {
    size_t longest = 0;
    for (const struct tl_llama_prefix *prefix = span->prefixes; prefix; prefix = prefix->next_anchored)
        if (prefix->cached > longest)
            longest = prefix->cached;
    return longest;
}

/* After a user or a prefix has gone: keeps what the remaining prefixes need. */
static void settle(struct tl_llama_engine *engine, struct tl_llama_span *span) {
    if (span->user)
        return;
    if (span->prefixes)
        truncate_span(engine, span, longest_anchored(span));
    if (!span->prefixes)
        destroy_span(engine, span);
}

/* ---- parking ---- */

/* Makes room for a snapshot by dropping the parked span that was not used for the longest time. */
static bool drop_one_parked(struct tl_llama_engine *engine, const struct tl_llama_span *keep) {
    struct tl_llama_span *oldest = NULL;
    for (struct tl_llama_span *span = engine->spans; span; span = span->next)
        if (span->parked && span != keep && (!oldest || span->used < oldest->used))
            oldest = span;
    if (!oldest)
        return false;
    engine->counters.drops++;
    destroy_span(engine, oldest);
    return true;
}

/* A snapshot of a resident span, owned; NULL when there is no memory or the library refuses. */
static uint8_t *snapshot(struct tl_llama_engine *engine, const struct tl_llama_span *span, size_t *bytes) {
    *bytes = llama_state_seq_get_size(engine->context, span->sequence);
    uint8_t *data = *bytes > 0 ? tl_mem_try_alloc(*bytes) : NULL;
    if (data && llama_state_seq_get_data(engine->context, data, *bytes, span->sequence) != *bytes) {
        tl_mem_free(data);
        data = NULL;
    }
    return data;
}

/* Moves an idle span to host memory, or drops it when there is no room. Does not touch `keep`,
 * unless that is the span itself. */
static void park(struct tl_llama_engine *engine, struct tl_llama_span *span, const struct tl_llama_span *keep) {
    size_t limit = (size_t)engine->park_bytes;
    size_t bytes = llama_state_seq_get_size(engine->context, span->sequence);
    while (engine->counters.parked_bytes + bytes > limit && drop_one_parked(engine, keep)) {
    }
    uint8_t *data = engine->counters.parked_bytes + bytes <= limit ? snapshot(engine, span, &bytes) : NULL;
    if (!data) {
        engine->counters.drops++;
        destroy_span(engine, span);
        return;
    }
    vacate(engine, span);
    span->parked = data;
    span->parked_bytes = bytes;
    engine->counters.parked_bytes += bytes;
    engine->counters.parks++;
}

/* A free sequence, parking the idle span not used for the longest time if need be, but not
 * `keep`; -1: none. */
static int32_t free_sequence(struct tl_llama_engine *engine, const struct tl_llama_span *keep) {
    struct tl_llama_span *oldest = NULL;
    for (uint32_t i = 0; i < engine->sequences; i++) {
        struct tl_llama_span *span = engine->resident[i];
        if (!span)
            return (int32_t)i;
        if (!span->user && span != keep && (!oldest || span->used < oldest->used))
            oldest = span;
    }
    if (!oldest)
        return -1;
    int32_t sequence = oldest->sequence;
    park(engine, oldest, keep);
    return sequence;
}

/* Loads a snapshot into an empty sequence. On failure the sequence stays empty. */
static bool load(struct tl_llama_engine *engine, int32_t sequence, const uint8_t *data, size_t bytes) {
    if (data && llama_state_seq_set_data(engine->context, data, bytes, sequence) == bytes)
        return true;
    llama_memory_seq_rm(engine->memory, sequence, -1, -1);
    return false;
}

/* ---- an item's span ---- */

size_t tl_llama_reusable(const struct tl_llama_item *held, size_t most) {
    const struct tl_llama_prefix *source = held->source;
    if (!source || !source->span)
        return 0;
    size_t limit = source->cached < most ? source->cached : most;
    if (held->tokens.count < limit)
        limit = held->tokens.count;
    size_t same = 0;
    while (same < limit && held->tokens.ids[same] == source->tokens.ids[same])
        same++;
    return same;
}

/* Moves a parked span, which has no user, back into a sequence. */
static bool restore(struct tl_llama_engine *engine, struct tl_llama_span *span, int32_t sequence) {
    bool loaded = load(engine, sequence, span->parked, span->parked_bytes);
    forget_snapshot(engine, span);
    span->sequence = sequence;
    engine->resident[sequence] = span;
    engine->counters.restores++;
    if (!loaded) {
        span->length = 0;
        unanchor_all(span);
    }
    return loaded;
}

/* A new span in `sequence` with a copy of the source span's KV. */
static struct tl_llama_span *fork_span(struct tl_llama_engine *engine, const struct tl_llama_span *from,
                                       int32_t sequence) {
    struct tl_llama_span *span = create_span(engine, sequence);
    size_t bytes = from->parked_bytes;
    uint8_t *copy = from->parked ? NULL : snapshot(engine, from, &bytes);
    if (load(engine, sequence, from->parked ? from->parked : copy, bytes))
        span->length = from->length;
    tl_mem_free(copy);
    engine->counters.forks++;
    return span;
}

bool tl_llama_span_acquire(struct tl_llama_engine *engine, struct tl_llama_item *held, size_t most) {
    size_t reuse = tl_llama_reusable(held, most);
    struct tl_llama_span *from = reuse > 0 ? held->source->span : NULL;
    struct tl_llama_span *span = NULL;
    bool in_place = from && !from->user && longest_anchored(from) <= reuse;
    if (in_place && from->sequence >= 0) {
        span = from;
    } else {
        int32_t sequence = free_sequence(engine, from);
        if (sequence < 0 && from && !from->user && from->sequence >= 0) { /* it holds the only idle one */
            sequence = from->sequence;
            park(engine, from, from);
            from = held->source->span; /* NULL when there was no room to park it */
        }
        if (sequence < 0)
            return false;
        if (in_place && from) {
            restore(engine, from, sequence);
            span = from;
        } else {
            span = from ? fork_span(engine, from, sequence) : create_span(engine, sequence);
        }
    }
    span->user = held;
    span->used = engine->steps;
    truncate_span(engine, span, reuse);
    held->span = span;
    held->reused = span->length;
    return true;
}

void tl_llama_span_release(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    struct tl_llama_span *span = held->span;
    if (!span)
        return;
    held->span = NULL;
    span->user = NULL;
    span->used = engine->steps;
    settle(engine, span);
}

/* ---- prefixes ---- */

static void unanchor(struct tl_llama_engine *engine, struct tl_llama_prefix *prefix) {
    struct tl_llama_span *span = prefix->span;
    if (!span)
        return;
    struct tl_llama_prefix **link = &span->prefixes;
    while (*link != prefix)
        link = &(*link)->next_anchored;
    *link = prefix->next_anchored;
    prefix->span = NULL;
    settle(engine, span);
}

static void destroy_prefix(struct tl_llama_engine *engine, struct tl_llama_prefix *prefix) {
    unanchor(engine, prefix);
    if (prefix->before)
        prefix->before->next = prefix->next;
    else
        engine->prefixes = prefix->next;
    if (prefix->next)
        prefix->next->before = prefix->before;
    tl_llama_tokens_fini(&prefix->tokens);
    tl_mem_free(prefix);
}

static void destroy_if_unused(struct tl_llama_engine *engine, struct tl_llama_prefix *prefix) {
    if (prefix->released && prefix->users == 0)
        destroy_prefix(engine, prefix);
}

void tl_llama_prefix_use(struct tl_llama_prefix *prefix) {
    prefix->users++;
}

void tl_llama_prefix_leave(struct tl_llama_engine *engine, struct tl_llama_prefix *prefix) {
    TL_ASSERT(prefix->users > 0);
    prefix->users--;
    destroy_if_unused(engine, prefix);
}

struct tl_resource *tl_llama_handle_create(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    struct tl_llama_prefix *prefix = tl_mem_zalloc(sizeof *prefix);
    tl_llama_tokens_append(&prefix->tokens, held->tokens.ids, held->tokens.count);
    prefix->open = held->open;
    /* An item whose tokens are all in its source's span never got one of its own. */
    struct tl_llama_span *span = held->span ? held->span : held->target > 0 && held->source ? held->source->span : NULL;
    if (span) {
        prefix->span = span;
        prefix->cached = held->target;
        prefix->next_anchored = span->prefixes;
        span->prefixes = prefix;
    }
    prefix->next = engine->prefixes;
    if (prefix->next)
        prefix->next->before = prefix;
    engine->prefixes = prefix;
    struct tl_llama_handle *handle = tl_mem_zalloc(sizeof *handle);
    handle->resource = (struct tl_resource){release_handle, (uint64_t)(uintptr_t)prefix, engine};
    handle->list = engine->released;
    handle->prefix = prefix;
    pthread_mutex_lock(&engine->released->lock);
    engine->released->references++;
    pthread_mutex_unlock(&engine->released->lock);
    return &handle->resource;
}

void tl_llama_sequences_close(struct tl_llama_engine *engine) {
    while (engine->prefixes)
        destroy_prefix(engine, engine->prefixes);
    while (engine->spans)
        destroy_span(engine, engine->spans);
}

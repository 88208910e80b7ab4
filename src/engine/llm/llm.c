/* llm.c: the core's life, its requests and handles; see llm.h. */
#include "engine/llm/llm.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/llm/llm_impl.h"

/* ---- life ---- */

struct tl_llm_core *tl_llm_create(const struct tl_llm_limits *limits, const struct tl_llm_storage *storage) {
    TL_ASSERT(limits->sequences > 0 && limits->context_tokens > 0 && limits->chunk > 0);
    TL_ASSERT(limits->call_tokens >= limits->chunk);
    struct tl_llm_core *core = tl_mem_zalloc(sizeof *core);
    core->limits = *limits;
    core->storage = *storage;
    if (core->limits.running == 0 || core->limits.running > limits->sequences)
        core->limits.running = limits->sequences;
    if (core->limits.patience == 0)
        core->limits.patience = 32;
    if (core->limits.chunk_least == 0 || core->limits.chunk_least > limits->chunk)
        core->limits.chunk_least = limits->chunk;
    if (core->limits.whole_only)
        core->limits.draft = 0;
    if (core->limits.draft > TL_LLM_MOST_DRAFTED)
        core->limits.draft = TL_LLM_MOST_DRAFTED;
    if (core->limits.cells > 0 && core->limits.cells < limits->context_tokens)
        core->limits.cells = limits->context_tokens;
    core->resident = tl_mem_zalloc(limits->sequences * sizeof(struct tl_llm_copy *));
    core->ranges = tl_mem_zalloc(limits->sequences * sizeof *core->ranges);
    return core;
}

void tl_llm_clear(struct tl_llm_core *core, bool pinned) {
    for (struct tl_llm_copy *copy = core->copies, *next; copy; copy = next) {
        next = copy->next;
        if (!copy->user && (pinned || !copy->pinned))
            tl_llm_copy_drop(core, copy);
    }
}

void tl_llm_destroy(struct tl_llm_core *core) {
    if (!core)
        return;
    TL_ASSERT(!core->first);
    while (core->handles)
        tl_llm_handle_release(core, core->handles);
    tl_llm_clear(core, true);
    tl_llm_tree_fini(&core->tree);
    tl_mem_free(core->resident);
    tl_mem_free(core->ranges);
    tl_mem_free(core->order);
    tl_mem_free(core);
}

/* ---- requests ---- */

static void append(struct tl_llm_tokens *tokens, const int32_t *ids, size_t count) {
    if (count == 0)
        return;
    tokens->ids = tl_mem_grow(tokens->ids, &tokens->capacity, tokens->count + count, sizeof *tokens->ids);
    memcpy(tokens->ids + tokens->count, ids, count * sizeof *ids);
    tokens->count += count;
}

struct tl_llm_request *tl_llm_submit(struct tl_llm_core *core, const struct tl_llm_ask *ask) {
    size_t forced = ask->decode ? ask->forced_count : 0, context = core->limits.context_tokens;
    if ((ask->decode && ask->count == 0) || ask->count > context || forced > context - ask->count ||
        (ask->decode && ask->count + forced == context))
        return NULL;
    struct tl_llm_request *request = tl_mem_zalloc(sizeof *request);
    request->user = ask->user;
    request->decode = ask->decode;
    request->open = ask->open && !ask->decode;
    request->row = ask->row && !request->open && ask->count > 0;
    request->salt = ask->salt;
    request->arrival = core->arrivals++;
    request->rank = request->effective_rank = ask->rank;
    size_t known = ask->count + forced, reserve = ask->decode ? ask->reserve : 0;
    if (known > 0) /* what is written has room, but not more than there will be */
        request->tokens.ids = tl_mem_grow(NULL, &request->tokens.capacity,
                                          known + (reserve < context - known ? reserve : context - known),
                                          sizeof *request->tokens.ids);
    append(&request->tokens, ask->ids, ask->count);
    append(&request->tokens, ask->forced, forced);
    request->prompt_count = ask->count;
    request->target = ask->count - (!request->open && !request->row && ask->count > 0);
    request->pin = ask->pin < request->target ? ask->pin : request->target;
    request->reserve = reserve;
    request->kept = ask->decode ? request->target : 0;
    request->acceptance = TL_LLM_ACCEPTANCE;
    request->promise.kind = TL_LLM_TARGET;
    request->hold = (struct tl_llm_mark){.kind = TL_LLM_HOLD, .length = request->target};
    tl_llm_tree_insert(&core->tree, request->salt, request->tokens.ids, &request->hold);
    request->before = core->last;
    if (core->last)
        core->last->next = request;
    else
        core->first = request;
    core->last = request;
    core->changes++;
    core->counters.requests++;
    core->counters.asked += ask->count;
    return request;
}

struct tl_llm_request *tl_llm_first(const struct tl_llm_core *core) {
    return core->first;
}

static void enter(struct tl_llm_core *core, struct tl_llm_request *request, enum tl_llm_state state) {
    core->filled += state == TL_LLM_FILLED;
    core->filled -= request->state == TL_LLM_FILLED;
    request->state = state;
}

void tl_llm_end(struct tl_llm_core *core, struct tl_llm_request *request) {
    core->changes++;
    enter(core, request, TL_LLM_WAITING);
    tl_llm_tree_remove(&core->tree, &request->promise);
    tl_llm_tree_remove(&core->tree, &request->hold);
    if (request->copy)
        tl_llm_copy_leave(core, request->copy);
    if (core->limits.held_only)
        tl_llm_drop_unheld(core, request->salt, &request->tokens);
    if (request->before)
        request->before->next = request->next;
    else
        core->first = request->next;
    if (request->next)
        request->next->before = request->before;
    else
        core->last = request->before;
    core->counters.requests--;
    tl_mem_free(request->tokens.ids);
    tl_mem_free(request);
}

/* ---- what becomes of a request ---- */

/* Tokens [filled .. target) are to be computed, if there are any. */
static void fill_on(struct tl_llm_core *core, struct tl_llm_request *request) {
    if (request->filled >= request->target) {
        enter(core, request, request->decode ? TL_LLM_WRITING : TL_LLM_FILLED);
        return;
    }
    enter(core, request, TL_LLM_FILLING);
    request->promise.length = request->target;
    tl_llm_tree_insert(&core->tree, request->salt, request->tokens.ids, &request->promise);
}

static void count_lost(struct tl_llm_core *core, struct tl_llm_request *request) {
    if (request->filled < request->kept)
        core->counters.lost += request->kept - request->filled;
    request->kept = 0;
}

void tl_llm_begin(struct tl_llm_core *core, struct tl_llm_request *request) {
    core->changes++;
    request->placed = core->step;
    if (!request->began) {
        request->began = true;
        request->reused = request->filled;
        core->counters.reused += request->filled;
    }
    count_lost(core, request);
    fill_on(core, request);
    tl_llm_pin(core, request);
}

void tl_llm_preempt(struct tl_llm_core *core, struct tl_llm_request *request) {
    core->changes++;
    request->tokens.count -= request->drafted; /* proposals that were not computed */
    request->drafted = 0;
    if (request->state == TL_LLM_WRITING)
        request->target = request->filled;
    request->kept = request->filled;
    tl_llm_tree_remove(&core->tree, &request->promise);
    tl_llm_tree_move(&core->tree, &request->hold, request->tokens.ids, request->target);
    tl_llm_copy_leave(core, request->copy);
    enter(core, request, TL_LLM_WAITING);
    request->filled = 0;
    request->preempted++;
    core->counters.preemptions++;
    tl_llm_overtake(core, request, core->limits.patience / 4 + 1);
}

static void set_filled(struct tl_llm_core *core, struct tl_llm_request *request, size_t filled) {
    request->filled = filled;
    tl_llm_copy_length(core, request->copy, filled);
}

void tl_llm_computed(struct tl_llm_core *core, struct tl_llm_request *request, size_t count) {
    size_t prompt = request->filled < request->prompt_count ? request->prompt_count - request->filled : 0;
    if (prompt > count || request->state == TL_LLM_FILLING)
        prompt = count;
    core->counters.computed += prompt;
    core->counters.written += count - prompt;
    request->computed += count;
    request->calls += request->state == TL_LLM_WRITING;
    set_filled(core, request, request->filled + count);
    if (request->state != TL_LLM_FILLING)
        return;
    if (request->filled >= request->target) {
        tl_llm_tree_remove(&core->tree, &request->promise);
        fill_on(core, request);
    }
    if (request->filled >= request->pin)
        tl_llm_pin(core, request);
}

/* Removes what is behind the request's first `length` tokens; when that cannot be done it begins anew. */
static void cut(struct tl_llm_core *core, struct tl_llm_request *request, size_t length) {
    uint32_t sequence = (uint32_t)request->copy->sequence;
    core->changes++;
    bool possible = !core->limits.whole_only || length == 0;
    if (core->storage.trim(core->storage.context, sequence, possible ? length : 0) && possible) {
        set_filled(core, request, length);
        return;
    }
    if (request->state == TL_LLM_WRITING)
        request->target = length;
    request->kept = length;
    set_filled(core, request, 0);
    count_lost(core, request);
    tl_llm_tree_remove(&core->tree, &request->promise);
    fill_on(core, request);
}

void tl_llm_broken(struct tl_llm_core *core, struct tl_llm_request *request) {
    cut(core, request, request->filled);
}

void tl_llm_append(struct tl_llm_core *core, struct tl_llm_request *request, const int32_t *ids, size_t count,
                   size_t drafted) {
    TL_ASSERT(request->decode && request->copy && request->tokens.count + count <= core->limits.context_tokens);
    append(&request->tokens, ids, count);
    size_t fed = request->filled > request->target ? request->filled : request->target;
    TL_ASSERT(drafted == 0 || (drafted <= count && request->tokens.count - fed <= core->limits.call_tokens));
    request->drafted = drafted;
}

void tl_llm_reject(struct tl_llm_core *core, struct tl_llm_request *request, size_t count) {
    TL_ASSERT(count <= request->drafted && request->filled == request->tokens.count);
    tl_llm_note_drafted(core, request, request->drafted - count, request->drafted);
    request->drafted = 0;
    if (count == 0)
        return;
    request->tokens.count -= count;
    core->counters.trims++;
    cut(core, request, request->tokens.count);
}

/* ---- handles ---- */

struct tl_llm_handle *tl_llm_handle_create(struct tl_llm_core *core, const struct tl_llm_request *request) {
    struct tl_llm_handle *handle = tl_mem_zalloc(sizeof *handle);
    append(&handle->tokens, request->tokens.ids, request->prompt_count);
    handle->open = request->open;
    handle->salt = request->salt;
    handle->hold = (struct tl_llm_mark){.kind = TL_LLM_HOLD, .length = request->hold.length};
    tl_llm_tree_insert_like(&handle->hold, &request->hold);
    handle->next = core->handles;
    if (handle->next)
        handle->next->before = handle;
    core->handles = handle;
    core->changes++;
    core->counters.handles++;
    return handle;
}

void tl_llm_handle_release(struct tl_llm_core *core, struct tl_llm_handle *handle) {
    core->changes++;
    tl_llm_tree_remove(&core->tree, &handle->hold);
    if (core->limits.held_only)
        tl_llm_drop_unheld(core, handle->salt, &handle->tokens);
    if (handle->before)
        handle->before->next = handle->next;
    else
        core->handles = handle->next;
    if (handle->next)
        handle->next->before = handle->before;
    core->counters.handles--;
    tl_mem_free(handle->tokens.ids);
    tl_mem_free(handle);
}

/* ---- looking at it ---- */

struct tl_llm_counters tl_llm_count(const struct tl_llm_core *core) {
    struct tl_llm_counters counters = core->counters;
    for (const struct tl_llm_copy *copy = core->copies; copy; copy = copy->next) {
        counters.resident += copy->sequence >= 0;
        counters.saved += copy->sequence < 0;
        counters.pinned += copy->pinned;
    }
    return counters;
}

static void check_copy(const struct tl_llm_core *core, const struct tl_llm_copy *copy) {
    TL_ASSERT((copy->sequence >= 0) != (copy->saved != NULL));
    TL_ASSERT(copy->mark.node && copy->mark.length <= core->limits.context_tokens);
    TL_ASSERT(copy->sequence < 0 || ((uint32_t)copy->sequence < core->top && core->resident[copy->sequence] == copy));
    TL_ASSERT(copy->saved ? copy->saved_length >= copy->mark.length && !copy->user : !copy->pinned);
    if (copy->user)
        TL_ASSERT(copy->user->copy == copy && copy->user->filled == copy->mark.length &&
                  copy->user->salt == copy->salt);
    else
        TL_ASSERT(copy->mark.length > 0);
}

static void check_request(const struct tl_llm_request *request) {
    bool computes = request->state == TL_LLM_FILLING || request->state == TL_LLM_WRITING;
    TL_ASSERT(!computes || request->copy);
    TL_ASSERT(request->state != TL_LLM_WAITING || !request->copy);
    TL_ASSERT((request->promise.node != NULL) == (request->state == TL_LLM_FILLING));
    TL_ASSERT(request->hold.node && request->hold.length <= request->tokens.count);
    TL_ASSERT(request->filled <= request->tokens.count);
    TL_ASSERT(request->state != TL_LLM_WRITING || request->filled >= request->target);
    TL_ASSERT(request->state != TL_LLM_FILLING || request->filled < request->target);
}

void tl_llm_check(const struct tl_llm_core *core) {
    tl_llm_tree_check(&core->tree);
    uint64_t saved = 0, pinned = 0;
    size_t requests = 0, filled = 0, running = 0;
    for (const struct tl_llm_copy *copy = core->copies; copy; copy = copy->next) {
        check_copy(core, copy);
        *(copy->pinned ? &pinned : &saved) += copy->bytes;
        running += copy->user != NULL;
    }
    for (const struct tl_llm_request *request = core->first; request; request = request->next) {
        check_request(request);
        requests++;
        filled += request->state == TL_LLM_FILLED;
    }
    TL_ASSERT(saved == core->counters.saved_bytes && pinned == core->counters.pinned_bytes);
    TL_ASSERT(saved <= core->limits.cache_bytes && pinned <= core->limits.pin_bytes);
    TL_ASSERT(requests == core->counters.requests && filled == core->filled && running == core->running);
    TL_ASSERT(running <= core->limits.running);
}

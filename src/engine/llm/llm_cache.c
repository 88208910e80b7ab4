/* llm_cache.c: copies of KV: which one a request begins with, what is saved, what is dropped; see llm.h. */
#include "base/error.h"
#include "base/mem.h"
#include "engine/llm/llm_impl.h"

/* Fewer tokens than this are not worth a copy of their own: saving and loading takes as long as computing them. */
#define LEAST_SAVED 16

/* ---- copies ---- */

static struct tl_llm_copy *copy_of(struct tl_llm_mark *mark) {
    return (struct tl_llm_copy *)((char *)mark - offsetof(struct tl_llm_copy, mark));
}

static struct tl_llm_copy *link_copy(struct tl_llm_core *core, uint64_t salt, int32_t sequence) {
    struct tl_llm_copy *copy = tl_mem_zalloc(sizeof *copy);
    copy->mark.kind = TL_LLM_COPY;
    copy->salt = salt;
    copy->sequence = sequence;
    copy->used = core->step;
    core->changes++;
    copy->next = core->copies;
    if (copy->next)
        copy->next->before = copy;
    core->copies = copy;
    return copy;
}

static uint64_t *bytes_of_kind(struct tl_llm_core *core, const struct tl_llm_copy *copy) {
    return copy->pinned ? &core->counters.pinned_bytes : &core->counters.saved_bytes;
}

void tl_llm_copy_drop(struct tl_llm_core *core, struct tl_llm_copy *copy) {
    TL_ASSERT(!copy->user);
    core->changes++;
    core->counters.evicted += copy->mark.length - tl_llm_tree_shared(&copy->mark);
    tl_llm_tree_remove(&core->tree, &copy->mark);
    if (copy->sequence >= 0) {
        core->storage.trim(core->storage.context, (uint32_t)copy->sequence, 0);
        core->resident[copy->sequence] = NULL;
        while (core->top > 0 && !core->resident[core->top - 1])
            core->top--;
    } else {
        core->storage.drop(core->storage.context, copy->saved);
        *bytes_of_kind(core, copy) -= copy->bytes;
        core->counters.drops++;
    }
    if (copy->before)
        copy->before->next = copy->next;
    else
        core->copies = copy->next;
    if (copy->next)
        copy->next->before = copy->before;
    tl_mem_free(copy);
}

void tl_llm_copy_length(struct tl_llm_core *core, struct tl_llm_copy *copy, size_t length) {
    tl_llm_tree_move(&core->tree, &copy->mark, copy->user->tokens.ids, length);
    copy->used = core->step;
}

/* Whether somebody alive needs tokens of the copy behind its first `length`. */
static bool is_held(const struct tl_llm_copy *copy, size_t length) {
    return tl_llm_tree_reaches(&copy->mark, length, TL_LLM_HOLD);
}

void tl_llm_copy_leave(struct tl_llm_core *core, struct tl_llm_copy *copy) {
    copy->user->copy = NULL;
    copy->user = NULL;
    copy->used = core->step;
    core->running--;
    if (copy->mark.length == 0 || (core->limits.held_only && !is_held(copy, tl_llm_tree_shared(&copy->mark))))
        tl_llm_copy_drop(core, copy);
}

/* An idle copy that nobody holds, among those that share a token with what was let go: only they can have become such.
 * NULL: none. */
static struct tl_llm_copy *find_unheld(const struct tl_llm_core *core, uint64_t salt,
                                       const struct tl_llm_tokens *tokens) {
    struct tl_llm_match match = tl_llm_tree_find(&core->tree, salt, tokens->ids, tokens->count > 0, TL_LLM_COPY);
    for (struct tl_llm_mark *mark = NULL;
         match.node && (mark = tl_llm_tree_next(match.node, TL_LLM_COPY, mark)) != NULL;) {
        struct tl_llm_copy *copy = copy_of(mark);
        if (!copy->user && !copy->pinned && !is_held(copy, tl_llm_tree_shared(mark)))
            return copy;
    }
    return NULL;
}

void tl_llm_drop_unheld(struct tl_llm_core *core, uint64_t salt, const struct tl_llm_tokens *tokens) {
    for (struct tl_llm_copy *copy; (copy = find_unheld(core, salt, tokens)) != NULL;)
        tl_llm_copy_drop(core, copy);
}

/* ---- dropping ---- */

/* What keeps a copy. What nobody holds goes first. Then counts what is lost for the memory it frees: tokens that only this
 * copy has, per token that it holds, the less the longer it was not used. */
struct worth {
    bool held;
    double kept;
    uint64_t used;
};

static struct worth worth_of(const struct tl_llm_core *core, const struct tl_llm_copy *copy) {
    size_t shared = tl_llm_tree_shared(&copy->mark), length = copy->mark.length;
    return (struct worth){
        .held = is_held(copy, shared),
        .kept = (double)(length - shared) / (double)(length + 1) / (double)(core->step - copy->used + 1),
        .used = copy->used,
    };
}

static bool goes_before(const struct worth *a, const struct worth *b) {
    if (a->held != b->held)
        return b->held;
    return a->kept < b->kept || (!(b->kept < a->kept) && a->used < b->used);
}

/* Drops saved copies, but not `keep`, until the others are within cache_bytes. */
static void shrink(struct tl_llm_core *core, const struct tl_llm_copy *keep) {
    while (core->counters.saved_bytes > core->limits.cache_bytes) {
        struct tl_llm_copy *worst = NULL;
        struct worth least = {0};
        for (struct tl_llm_copy *copy = core->copies; copy; copy = copy->next) {
            if (!copy->saved || copy->pinned || copy == keep)
                continue;
            struct worth worth = worth_of(core, copy);
            if (worst && !goes_before(&worth, &least))
                continue;
            worst = copy;
            least = worth;
        }
        if (!worst)
            return;
        tl_llm_copy_drop(core, worst);
    }
}

/* ---- saving ---- */

/* A saved copy of the first `length` tokens of a resident one; NULL when it cannot be had. */
static struct tl_llm_copy *save(struct tl_llm_core *core, const struct tl_llm_copy *from, size_t length) {
    uint64_t bytes = 0;
    void *saved = core->storage.save(core->storage.context, (uint32_t)from->sequence, from->mark.length, &bytes);
    if (!saved)
        return NULL;
    struct tl_llm_copy *copy = link_copy(core, from->salt, -1);
    copy->saved = saved;
    copy->saved_length = from->mark.length;
    copy->bytes = bytes;
    copy->mark.length = length;
    tl_llm_tree_insert_like(&copy->mark, &from->mark);
    core->counters.saved_bytes += bytes;
    core->counters.saves++;
    core->token_bytes = (double)bytes / (double)from->mark.length;
    return copy;
}

/* Saves what would be lost when the copy is cut to `length` tokens, if that is worth it. */
static void save_rest(struct tl_llm_core *core, const struct tl_llm_copy *copy, size_t length) {
    size_t shared = tl_llm_tree_shared(&copy->mark);
    if (shared > length)
        length = shared;
    bool worth = is_held(copy, length) || (!core->limits.held_only && copy->mark.length >= length + LEAST_SAVED);
    if (worth && core->token_bytes * (double)copy->mark.length <= (double)core->limits.cache_bytes)
        save(core, copy, copy->mark.length);
}

/* A saved copy of exactly the request's pinned prefix: pinned, or pinned once. NULL: there is none. */
static struct tl_llm_copy *saved_pin(const struct tl_llm_core *core, const struct tl_llm_request *request) {
    struct tl_llm_match match =
        tl_llm_tree_find(&core->tree, request->salt, request->tokens.ids, request->pin, TL_LLM_COPY);
    struct tl_llm_copy *found = NULL;
    struct tl_llm_mark *mark = NULL;
    while (match.length == request->pin && (mark = tl_llm_tree_next(match.node, TL_LLM_COPY, mark)) != NULL)
        if (mark->length == request->pin && copy_of(mark)->saved && (!found || copy_of(mark)->pinned))
            found = copy_of(mark);
    return found;
}

static bool may_pin(const struct tl_llm_core *core, const struct tl_llm_request *request) {
    return request->pin >= LEAST_SAVED && core->token_bytes * (double)request->pin <= (double)core->limits.pin_bytes;
}

bool tl_llm_pin_wanted(const struct tl_llm_core *core, const struct tl_llm_request *request) {
    return may_pin(core, request) && !saved_pin(core, request);
}

/* Pins a saved copy. Beyond the bound, the one not used for the longest is pinned no more. */
static void pin(struct tl_llm_core *core, struct tl_llm_copy *copy) {
    core->counters.saved_bytes -= copy->bytes;
    core->counters.pinned_bytes += copy->bytes;
    copy->pinned = true;
    while (core->counters.pinned_bytes > core->limits.pin_bytes) {
        struct tl_llm_copy *oldest = NULL;
        for (copy = core->copies; copy; copy = copy->next)
            if (copy->pinned && (!oldest || copy->used < oldest->used))
                oldest = copy;
        core->counters.pinned_bytes -= oldest->bytes;
        core->counters.saved_bytes += oldest->bytes;
        oldest->pinned = false;
        if (core->limits.held_only && !is_held(oldest, tl_llm_tree_shared(&oldest->mark)))
            tl_llm_copy_drop(core, oldest);
    }
    shrink(core, NULL);
}

void tl_llm_pin(struct tl_llm_core *core, struct tl_llm_request *request) {
    bool there = request->copy && request->filled >= request->pin;
    if (!there || !may_pin(core, request))
        return;
    struct tl_llm_copy *copy = saved_pin(core, request);
    if (copy)
        copy->used = core->step;
    else if (!core->limits.whole_only || request->filled == request->pin)
        copy = save(core, request->copy, request->pin);
    if (copy && !copy->pinned)
        pin(core, copy);
}

size_t tl_llm_pin_missing(const struct tl_llm_core *core, const struct tl_llm_request *request) {
    size_t cached = may_pin(core, request) ? tl_llm_cached(core, request) : request->pin;
    return cached < request->pin ? request->pin - cached : 0;
}

void tl_llm_pin_give(struct tl_llm_core *core, const struct tl_llm_request *request, void *saved, uint64_t bytes) {
    struct tl_llm_copy *copy = link_copy(core, request->salt, -1);
    copy->saved = saved;
    copy->saved_length = copy->mark.length = request->pin;
    copy->bytes = bytes;
    tl_llm_tree_insert(&core->tree, request->salt, request->tokens.ids, &copy->mark);
    core->counters.saved_bytes += bytes;
    core->counters.given += request->pin;
    pin(core, copy);
}

const struct tl_llm_copy *tl_llm_next_pinned(const struct tl_llm_core *core, const struct tl_llm_copy *copy) {
    copy = copy ? copy->next : core->copies;
    while (copy && !copy->pinned)
        copy = copy->next;
    return copy;
}

/* ---- taking from a copy ---- */

static int32_t empty_sequence(const struct tl_llm_core *core) {
    for (uint32_t i = 0; i < core->top; i++)
        if (!core->resident[i])
            return (int32_t)i;
    return core->top < core->limits.sequences ? (int32_t)core->top : -1;
}

/* How cheap it is to begin with this copy; less is better.
 *   0  idle, exactly what is wanted: works in place
 *   1  idle, longer, where no sequence is empty: the rest is saved, and it works in place. Or shared without copying
 *   2  saved
 *   3  idle, longer
 *   4  somebody computes in it: saved first */
static int expense(const struct tl_llm_core *core, const struct tl_llm_copy *copy, size_t length, bool empty) {
    if (copy->saved)
        return 2;
    if (!copy->user && copy->mark.length == length)
        return 0;
    if ((core->storage.share && empty) || (!copy->user && !empty))
        return 1;
    return copy->user ? 4 : 3;
}

/* The best copy that has the first *length tokens of the request's, as many as any copy has. NULL: none. */
static struct tl_llm_copy *find_source(const struct tl_llm_core *core, const struct tl_llm_request *request,
                                       size_t *length) {
    const int32_t *ids = request->tokens.ids;
    size_t most = tl_llm_taken_at_most(request);
    *length = 0;
    if (core->limits.whole_only) {
        struct tl_llm_mark *mark =
            tl_llm_tree_find_whole(&core->tree, request->salt, ids, most, TL_LLM_COPY);
        *length = mark ? mark->length : 0;
        return mark ? copy_of(mark) : NULL;
    }
    struct tl_llm_match match = tl_llm_tree_find(&core->tree, request->salt, ids, most, TL_LLM_COPY);
    struct tl_llm_copy *best = NULL;
    bool empty = empty_sequence(core) >= 0;
    int least = 0;
    for (struct tl_llm_mark *mark = NULL; (mark = tl_llm_tree_next(match.node, TL_LLM_COPY, mark)) != NULL;) {
        struct tl_llm_copy *copy = copy_of(mark);
        if (mark->length < match.length)
            continue;
        int expensive = expense(core, copy, match.length, empty);
        bool better = !best || expensive < least;
        if (best && expensive == least) /* the smallest to load, the oldest to cut */
            better = copy->saved ? copy->saved_length < best->saved_length : copy->used < best->used;
        if (better) {
            best = copy;
            least = expensive;
        }
    }
    *length = match.length;
    return best;
}

size_t tl_llm_taken_at_most(const struct tl_llm_request *request) {
    return request->target - (request->row && !request->decode);
}

size_t tl_llm_cached(const struct tl_llm_core *core, const struct tl_llm_request *request) {
    if (!core->limits.whole_only)
        return tl_llm_tree_find(&core->tree, request->salt, request->tokens.ids, tl_llm_taken_at_most(request),
                                TL_LLM_COPY)
            .length;
    size_t length;
    find_source(core, request, &length);
    return length;
}

/* Puts the first `length` tokens of the source into an empty sequence; returns how many are there, 0 when it failed. */
static size_t fill_from(struct tl_llm_core *core, struct tl_llm_copy *source, uint32_t sequence, size_t length) {
    void *context = core->storage.context;
    source->used = core->step;
    if (!source->saved && core->storage.share) {
        core->counters.shares++;
        return core->storage.share(context, (uint32_t)source->sequence, sequence, length) ? length : 0;
    }
    if (!source->saved)
        source = save(core, source, source->mark.length);
    if (!source)
        return 0;
    core->counters.loads++;
    if (!core->storage.load(context, sequence, source->saved, source->saved_length))
        return 0;
    if (source->saved_length == length)
        return length;
    core->counters.trims++;
    return core->storage.trim(context, sequence, length) ? length : 0;
}

/* ---- sequences ---- */

/* Tokens of KV that a request may come to. */
static uint64_t cells_of(const struct tl_llm_request *request) {
    uint64_t cells = request->tokens.count > request->target ? request->tokens.count : request->target;
    uint64_t most = request->prompt_count + request->reserve;
    return most > cells ? most : cells;
}

static bool fits(const struct tl_llm_core *core, const struct tl_llm_request *request,
                 const struct tl_llm_copy *except) {
    if (core->limits.cells == 0)
        return true;
    uint64_t cells = cells_of(request);
    for (uint32_t i = 0; i < core->top; i++) {
        const struct tl_llm_copy *copy = core->resident[i];
        if (copy && copy != except)
            cells += copy->user ? cells_of(copy->user) : copy->mark.length;
    }
    return cells <= core->limits.cells;
}

/* Empties the sequence of an idle copy other than `keep`, what is worth it saved: one whose tokens others have, else
 * the one not used for the longest. False: there is none. */
static bool vacate_one(struct tl_llm_core *core, const struct tl_llm_copy *keep) {
    struct tl_llm_copy *oldest = NULL;
    bool oldest_spare = false;
    for (uint32_t i = 0; i < core->top; i++) {
        struct tl_llm_copy *copy = core->resident[i];
        if (!copy || copy->user || copy == keep)
            continue;
        bool spare = tl_llm_tree_shared(&copy->mark) == copy->mark.length;
        if (!oldest || (spare && !oldest_spare) || (spare == oldest_spare && copy->used < oldest->used)) {
            oldest = copy;
            oldest_spare = spare;
        }
    }
    if (!oldest)
        return false;
    save_rest(core, oldest, 0);
    tl_llm_copy_drop(core, oldest);
    shrink(core, keep);
    return true;
}

void tl_llm_cool(struct tl_llm_core *core) {
    for (uint32_t i = 0; i < core->top && core->limits.idle_steps > 0; i++) {
        struct tl_llm_copy *copy = core->resident[i];
        if (!copy || copy->user || core->step - copy->used <= core->limits.idle_steps)
            continue;
        save_rest(core, copy, 0);
        tl_llm_copy_drop(core, copy);
        shrink(core, NULL);
    }
}

/* Whether the one gives way to the other: its rank is enough below; or it only works ahead, for a prompt that is not
 * whole yet, where the other could write. */
static bool gives_way(const struct tl_llm_core *core, const struct tl_llm_request *user,
                      const struct tl_llm_request *request) {
    double margin = core->limits.preempt_margin;
    return (margin >= 0 && request->rank > user->effective_rank + margin) || (user->open && request->decode);
}

/* Preempts the last in order of those that give way to the request. */
static bool preempt_one(struct tl_llm_core *core, const struct tl_llm_request *request) {
    struct tl_llm_request *last = NULL;
    for (uint32_t i = 0; i < core->top; i++) {
        struct tl_llm_request *user = core->resident[i] ? core->resident[i]->user : NULL;
        bool computes = user && (user->state == TL_LLM_FILLING || user->state == TL_LLM_WRITING);
        if (!computes || user->placed == core->step || user->aged || !gives_way(core, user, request))
            continue;
        if (!last || tl_llm_precedes(last, user))
            last = user;
    }
    if (!last)
        return false;
    tl_llm_preempt(core, last);
    return true;
}

/* Makes it so that one more request may run; an idle source stays. Who is preempted may leave nothing of the source that it
 * computed in, so that is looked for anew each time. */
static bool make_room(struct tl_llm_core *core, const struct tl_llm_request *request) {
    while (core->running >= core->limits.running)
        if (!preempt_one(core, request))
            return false;
    for (;;) {
        size_t length;
        const struct tl_llm_copy *source = find_source(core, request, &length);
        if (fits(core, request, source && !source->user ? source : NULL))
            return true;
        if (!vacate_one(core, source) && !preempt_one(core, request))
            return false;
    }
}

/* An empty sequence, or that of the source when it is idle and there is no other. -1: none. */
static int32_t find_sequence(struct tl_llm_core *core, const struct tl_llm_request *request,
                             struct tl_llm_copy **source, size_t *length) {
    for (;;) {
        int32_t sequence = empty_sequence(core);
        if (sequence >= 0)
            return sequence;
        if (vacate_one(core, *source))
            continue;
        if (*source && (*source)->sequence >= 0 && !(*source)->user)
            return (*source)->sequence;
        if (!preempt_one(core, request))
            return -1;
        *source = find_source(core, request, length);
    }
}

/* Makes an idle copy the request's own, cut to `length`. What is cut off is saved if it is worth it; all of it when
 * sequences cannot be cut, since there is no way back from what comes behind it. */
static void take_over(struct tl_llm_core *core, struct tl_llm_copy *copy, size_t length) {
    if (copy->mark.length > length || core->limits.whole_only)
        save_rest(core, copy, core->limits.whole_only ? 0 : length);
    if (copy->mark.length == length)
        return;
    core->counters.trims++;
    if (!core->storage.trim(core->storage.context, (uint32_t)copy->sequence, length))
        length = 0;
    tl_llm_tree_move(&core->tree, &copy->mark, NULL, length);
}

bool tl_llm_place(struct tl_llm_core *core, struct tl_llm_request *request) {
    if (!make_room(core, request))
        return false;
    size_t length;
    struct tl_llm_copy *source = find_source(core, request, &length), *copy = NULL;
    bool idle = source && source->sequence >= 0 && !source->user;
    /* Room was made for the request alone: beside an idle source, which stays when it is shared from, only if that fits. */
    bool in_place = idle && (source->mark.length == length || !core->storage.share || empty_sequence(core) < 0 ||
                             !fits(core, request, NULL));
    int32_t sequence = in_place ? source->sequence : find_sequence(core, request, &source, &length);
    if (sequence < 0)
        return false;
    if (source && source->sequence == sequence) {
        take_over(core, source, length);
        copy = source;
    } else {
        if (source)
            length = fill_from(core, source, (uint32_t)sequence, length);
        copy = link_copy(core, request->salt, sequence);
        copy->mark.length = length;
        tl_llm_tree_insert(&core->tree, request->salt, request->tokens.ids, &copy->mark);
        core->resident[sequence] = copy;
        if (core->top <= (uint32_t)sequence)
            core->top = (uint32_t)sequence + 1;
    }
    copy->user = request;
    copy->used = core->step;
    request->copy = copy;
    request->filled = copy->mark.length;
    core->running++;
    shrink(core, NULL);
    tl_llm_begin(core, request);
    return true;
}

/* llm_compose.c: a step: who gets a sequence, whose rows are computed; see llm.h. */
#include <stdlib.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/llm/llm_impl.h"

/* Who goes first waits for a prefix that somebody computes only if it saves so many tokens. The others lose nothing by
 * waiting: their turn comes later. */
#define LEAST_AWAITED 16
/* Calls of a size count as measured after so many. */
#define ENOUGH_SAMPLES 16
/* Every so many steps, what was found to be slower is tried again. */
#define TRY_AGAIN 128
/* So many joint calls of a size are made to know what they take, once calls of the one and the other kind are known. */
#define TRIED 8
/* A joint call is worth it when it takes less than this share of two calls: what is written is known
 * later by it. */
#define WORTH_JOINING 0.97
/* A sample of a joint call counts at most for this share: one disturbance does not decide. */
#define MOST_SHARE 2.0
/* So many rows more cost less than a call in two parts: with 7 of 8 sequences, 42 ms in two parts and 30 with one row more
 * (SmolLM2 Q8_0, two cores). */
#define WIDEST_GAP 2
/* Prompt calls of fewer rows say little about the usual ones. */
#define LEAST_TIMED 16

bool tl_llm_precedes(const struct tl_llm_request *a, const struct tl_llm_request *b) {
    if (a->aged != b->aged)
        return a->aged;
    if (!a->aged && (a->effective_rank > b->effective_rank || a->effective_rank < b->effective_rank))
        return a->effective_rank > b->effective_rank;
    return a->arrival < b->arrival;
}

void tl_llm_overtake(struct tl_llm_core *core, struct tl_llm_request *request, uint32_t times) {
    request->overtaken += times;
    request->aged |= request->overtaken >= core->limits.patience;
}

/* ---- arranging ---- */

static int by_precedence(const void *a, const void *b) {
    const struct tl_llm_request *const *x = a, *const *y = b;
    return tl_llm_precedes(*x, *y) ? -1 : 1;
}

/* Who computes more of the request's prompt right now than is cached of it; NULL: nobody. */
static struct tl_llm_request *awaited(const struct tl_llm_core *core, const struct tl_llm_request *request,
                                      size_t cached) {
    if (core->limits.whole_only)
        return NULL;
    struct tl_llm_match match =
        tl_llm_tree_find(&core->tree, request->salt, request->tokens.ids, tl_llm_taken_at_most(request), TL_LLM_TARGET);
    if (match.length <= cached)
        return NULL;
    struct tl_llm_request *first = NULL;
    for (struct tl_llm_mark *mark = NULL; (mark = tl_llm_tree_next(match.node, TL_LLM_TARGET, mark)) != NULL;) {
        struct tl_llm_request *other =
            (struct tl_llm_request *)((char *)mark - offsetof(struct tl_llm_request, promise));
        if (mark->length >= match.length && (!first || other->filled > first->filled))
            first = other;
    }
    return match.length < cached + LEAST_AWAITED && tl_llm_precedes(request, first) ? NULL : first;
}

static size_t collect_waiting(struct tl_llm_core *core) {
    size_t count = 0;
    core->order = tl_mem_grow(core->order, &core->order_capacity, core->counters.requests,
                              sizeof(struct tl_llm_request *));
    for (struct tl_llm_request *request = core->first; request; request = request->next) {
        request->effective_rank = request->rank;
        if (request->state == TL_LLM_WAITING)
            core->order[count++] = request;
    }
    if (count > 1)
        qsort(core->order, count, sizeof(struct tl_llm_request *), by_precedence);
    return count;
}

/* The request got what older ones still wait for. */
static void note_overtaken(struct tl_llm_core *core, const struct tl_llm_request *served, enum tl_llm_state state) {
    for (struct tl_llm_request *request = core->first; request != served; request = request->next)
        if (request->state == state)
            tl_llm_overtake(core, request, 1);
}

static size_t count_writing(const struct tl_llm_core *core) {
    size_t count = 0;
    for (uint32_t i = 0; i < core->top; i++)
        count += core->resident[i] && core->resident[i]->user && core->resident[i]->user->state == TL_LLM_WRITING;
    return count;
}

bool tl_llm_arrange(struct tl_llm_core *core) {
    core->step++;
    core->counters.steps++;
    core->changes_before = core->changes;
    core->filled_some = false;
    tl_llm_cool(core);
    size_t count = collect_waiting(core);
    bool full = false; /* strictly in order: who cannot be placed is not overtaken */
    for (size_t i = 0; i < count; i++) {
        struct tl_llm_request *request = core->order[i];
        size_t cached = tl_llm_cached(core, request);
        if (!request->decode && cached >= request->target) {
            request->filled = request->target;
            tl_llm_begin(core, request);
            continue;
        }
        struct tl_llm_request *other = awaited(core, request, cached);
        if (other) {
            if (request->effective_rank > other->effective_rank)
                other->effective_rank = request->effective_rank;
            other->aged |= request->aged;
            core->counters.waits += !request->waited;
            request->waited = true;
            continue;
        }
        full = full || !tl_llm_place(core, request);
        if (!full)
            note_overtaken(core, request, TL_LLM_WAITING);
    }
    core->budget = tl_llm_chunk(core, count_writing(core));
    return core->first != NULL;
}

struct tl_llm_request *tl_llm_next_filled(struct tl_llm_core *core) {
    struct tl_llm_request *request = core->filled > 0 ? core->first : NULL;
    while (request && request->state != TL_LLM_FILLED)
        request = request->next;
    return request;
}

static size_t pending(const struct tl_llm_request *request) {
    return request->tokens.count - request->filled;
}

struct tl_llm_request *tl_llm_next_ready(struct tl_llm_core *core) {
    for (uint32_t i = 0; i < core->limits.sequences; i++) {
        struct tl_llm_request *user = core->resident[i] ? core->resident[i]->user : NULL;
        if (user && user->state == TL_LLM_WRITING && pending(user) == 0)
            return user;
    }
    return NULL;
}

/* ---- calls ---- */

/* Whether writing rows one by one is faster than `count` of them in one call: few rows are not on a CPU. */
static bool singly(const struct tl_llm_core *core, size_t count) {
    if (count < 2 || count > TL_LLM_TIMED_ROWS || core->step % TRY_AGAIN == 0)
        return false;
    const struct tl_llm_average *one = &core->writing[1], *all = &core->writing[count];
    return one->samples >= ENOUGH_SAMPLES && all->samples >= ENOUGH_SAMPLES &&
           (double)count * one->ms * 1.05 < all->ms;
}

static bool writes_now(const struct tl_llm_core *core, const struct tl_llm_copy *copy) {
    const struct tl_llm_request *user = copy ? copy->user : NULL;
    return user && user->state == TL_LLM_WRITING && user->served != core->step && pending(user) > 0;
}

static struct tl_llm_request *first_filling(const struct tl_llm_core *core) {
    struct tl_llm_request *first = NULL;
    for (uint32_t i = 0; i < core->top; i++) {
        struct tl_llm_request *user = core->resident[i] ? core->resident[i]->user : NULL;
        if (user && user->state == TL_LLM_FILLING && (!first || tl_llm_precedes(user, first)))
            first = user;
    }
    return first;
}

/* What so many rows that write take, in one call or one by one, as it would be; 0: not known. */
static double writing_ms(const struct tl_llm_core *core, size_t count) {
    if (count > TL_LLM_TIMED_ROWS)
        return core->writing[0].samples < ENOUGH_SAMPLES ? 0 : core->writing[0].ms * (double)count;
    if (core->writing[count].samples < ENOUGH_SAMPLES)
        return 0;
    double single = core->writing[1].samples < ENOUGH_SAMPLES ? 0 : core->writing[1].ms * (double)count;
    return single > 0 && single < core->writing[count].ms ? single : core->writing[count].ms;
}

static struct tl_llm_average *joint_of(struct tl_llm_core *core, size_t writers) {
    return &core->joint[writers <= TL_LLM_TIMED_ROWS ? writers : 0];
}

/* Whether the first prompt goes with `writers` rows that write, in one call. */
static bool joins(struct tl_llm_core *core, size_t writers) {
    if (writers == 0 || core->budget == 0 || writers >= core->limits.call_tokens || !first_filling(core))
        return false;
    if (core->limits.joined)
        return true;
    const struct tl_llm_average *joint = joint_of(core, writers);
    if (!(writing_ms(core, writers) > 0) || core->prompt_token.samples < TRIED)
        return false;
    if (joint->samples < TRIED)
        return true;
    bool faster = joint->ms < WORTH_JOINING;
    return ++core->joinable % TRY_AGAIN == 0 ? !faster : faster;
}

/* A prompt of which a token can be computed now, and one later: with the last of it more is to be done. */
static bool can_bridge(const struct tl_llm_copy *copy) {
    const struct tl_llm_request *user = copy ? copy->user : NULL;
    return user && user->state == TL_LLM_FILLING && user->target - user->filled > 1;
}

/* Fills the gap between two neighbours in the call, if all of it can be filled. `rows`: those still to come. */
static void bridge(struct tl_llm_core *core, struct tl_llm_call *call, uint32_t from, uint32_t to, size_t rows) {
    size_t gap = to - from - 1;
    if (gap > WIDEST_GAP || core->budget < gap || call->rows + gap + rows > core->limits.call_tokens)
        return;
    for (uint32_t i = from + 1; i < to; i++)
        if (!can_bridge(core->resident[i]))
            return;
    for (uint32_t i = from + 1; i < to; i++) {
        struct tl_llm_request *request = core->resident[i]->user;
        call->ranges[call->count++] =
            (struct tl_llm_range){.request = request, .sequence = i, .first = request->filled, .count = 1};
    }
    call->rows += gap;
    call->bridges += gap;
    core->budget -= gap;
}

static void compose_writing(struct tl_llm_core *core, struct tl_llm_call *call, bool *joint) {
    size_t eligible = 0, tokens = 0;
    for (uint32_t i = 0; i < core->top; i++)
        if (writes_now(core, core->resident[i])) {
            eligible++;
            tokens += pending(core->resident[i]->user);
        }
    *joint = tokens == eligible && joins(core, eligible);
    size_t most = !*joint && tokens == eligible && singly(core, eligible) ? 1 : eligible;
    bool bridges = core->limits.streams && !*joint && tokens == eligible;
    for (uint32_t i = 0; i < core->top && call->writers < most; i++) {
        if (!writes_now(core, core->resident[i]))
            continue;
        struct tl_llm_request *request = core->resident[i]->user;
        size_t count = pending(request), room = core->limits.call_tokens - call->rows;
        if (count > room && (call->rows > 0 || request->drafted > 0)) /* in a call of its own; proposals in one */
            continue;
        bool all = count <= room;
        if (bridges && call->writers > 0)
            bridge(core, call, call->ranges[call->count - 1].sequence, i, eligible - call->writers);
        request->served = core->step;
        call->ranges[call->count++] = (struct tl_llm_range){.request = request,
                                                            .sequence = i,
                                                            .first = request->filled,
                                                            .count = all ? count : room,
                                                            .logits = all ? 1 + request->drafted : 0,
                                                            .writes = true};
        call->rows += all ? count : room;
        call->writers++;
    }
}

/* One prompt a call: in a layout of streams, sequences of different lengths are computed one after the other anyway. */
static void compose_filling(struct tl_llm_core *core, struct tl_llm_call *call) {
    struct tl_llm_request *request = first_filling(core);
    if (!request || core->budget == 0)
        return;
    size_t missing = request->target - request->filled, take = core->budget;
    size_t room = core->limits.call_tokens - call->rows;
    if (core->filled_some && take < core->limits.chunk_least && take < missing)
        return; /* what is left of the step is too little for a call */
    size_t more = take / 4 > core->limits.chunk_least ? take / 4 : core->limits.chunk_least;
    if (missing <= take + more && missing <= core->limits.chunk)
        take = missing; /* a small rest would cost a call */
    else if (missing < take)
        take = missing;
    if (request->filled < request->pin && request->filled + take > request->pin && tl_llm_pin_wanted(core, request))
        take = request->pin - request->filled;
    take = take < room ? take : room;
    core->budget -= take < core->budget ? take : core->budget;
    core->filled_some = true;
    request->served = core->step;
    note_overtaken(core, request, TL_LLM_FILLING);
    call->ranges[call->count++] = (struct tl_llm_range){.request = request,
                                                        .sequence = (uint32_t)request->copy->sequence,
                                                        .first = request->filled,
                                                        .count = take,
                                                        .logits = request->row && !request->decode && take == missing};
    call->rows += take;
}

bool tl_llm_next_call(struct tl_llm_core *core, struct tl_llm_call *call) {
    bool joint;
    *call = (struct tl_llm_call){.ranges = core->ranges};
    compose_writing(core, call, &joint);
    if (call->count == 0 || joint)
        compose_filling(core, call);
    if (call->count == 0)
        return false;
    core->counters.write_calls += call->writers + call->bridges == call->count;
    core->counters.fill_calls += call->writers == 0;
    core->counters.joint_calls += call->writers > 0 && call->writers + call->bridges < call->count;
    core->counters.bridges += call->bridges;
    return true;
}

/* ---- steps alike ---- */

static bool is_alike(const struct tl_llm_request *request) {
    if (request->state == TL_LLM_WAITING)
        return request->target <= request->prompt_count; /* else it was preempted while it wrote */
    return request->state == TL_LLM_WRITING && pending(request) == 1 && request->drafted == 0 &&
           request->filled >= request->prompt_count;
}

bool tl_llm_is_steady(const struct tl_llm_core *core) {
    bool timed = core->limits.idle_steps > 0 || core->limits.draft > 0 || core->writing[1].samples > 0;
    if (core->changes != core->changes_before || core->running == 0 || timed)
        return false;
    for (const struct tl_llm_request *request = core->first; request; request = request->next)
        if (!is_alike(request))
            return false;
    return true;
}

void tl_llm_catch_up(struct tl_llm_core *core, size_t steps) {
    core->step += steps;
    core->counters.steps += steps;
    core->counters.write_calls += steps;
    for (uint32_t i = 0; i < core->top; i++) {
        struct tl_llm_request *user = core->resident[i] ? core->resident[i]->user : NULL;
        if (!user)
            continue;
        TL_ASSERT(user->state == TL_LLM_WRITING && pending(user) == steps + 1);
        user->served = core->step;
        tl_llm_computed(core, user, steps);
    }
}

/* ---- time ---- */

static void add_sample(struct tl_llm_average *average, double ms) {
    if (average->samples < UINT32_MAX)
        average->samples++;
    double weight = average->samples < 8 ? 1.0 / average->samples : 1.0 / 8;
    average->ms += (ms - average->ms) * weight;
}

static void measured_joint(struct tl_llm_core *core, const struct tl_llm_call *call, double ms) {
    size_t prompt = call->rows - call->writers; /* a row for each that writes: others are not joined */
    double apart = writing_ms(core, call->writers);
    if (prompt < LEAST_TIMED || !(apart > 0))
        return;
    double share = ms / (apart + core->prompt_token.ms * (double)prompt);
    add_sample(joint_of(core, call->writers), share < MOST_SHARE ? share : MOST_SHARE);
}

void tl_llm_measured(struct tl_llm_core *core, const struct tl_llm_call *call, double ms) {
    if (call->writers == 0) {
        if (call->rows >= LEAST_TIMED)
            add_sample(&core->prompt_token, ms / (double)call->rows);
        return;
    }
    if (call->writers + call->bridges < call->count) {
        measured_joint(core, call, ms);
        return;
    }
    if (call->count == 1 && call->rows <= TL_LLM_MOST_DRAFTED + 1)
        add_sample(&core->alone[call->rows], ms);
    if (call->rows != call->count)
        return;
    if (call->writers <= TL_LLM_TIMED_ROWS) {
        add_sample(&core->writing[call->writers], ms);
    } else {
        add_sample(&core->writing[0], ms / (double)call->writers);
    }
}

size_t tl_llm_chunk(const struct tl_llm_core *core, size_t writing) {
    const struct tl_llm_limits *limits = &core->limits;
    if (!(limits->quantum_ms > 0) || core->prompt_token.samples == 0 || !(core->prompt_token.ms > 0))
        return limits->chunk;
    double ms = limits->quantum_ms;
    ms -= writing <= TL_LLM_TIMED_ROWS ? writing > 0 ? core->writing[writing].ms : 0
                                       : core->writing[0].ms * (double)writing;
    double tokens = ms / core->prompt_token.ms;
    if (!(tokens < limits->chunk))
        return limits->chunk;
    return tokens > limits->chunk_least ? (size_t)tokens : limits->chunk_least;
}

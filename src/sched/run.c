/* run.c: the life of a run: submitted, ended, freed; deadlines. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

/* ---- table by id ---- */

static struct run **bucket_of(const struct tl_sched *sched, uint64_t id) {
    return &sched->buckets[tl_hash_u64(id, 0) & (sched->bucket_count - 1)];
}

struct run *tl_run_find(const struct tl_sched *sched, uint64_t id) {
    struct run *run = *bucket_of(sched, id);
    while (run && run->id != id) run = run->next_in_bucket;
    return run;
}

static void table_insert(struct tl_sched *sched, struct run *run) {
    if (sched->run_count >= sched->bucket_count) {
        tl_mem_free(sched->buckets);
        sched->bucket_count *= 2;
        sched->buckets = tl_mem_zalloc(sched->bucket_count * sizeof *sched->buckets);
        for (struct run *other = sched->runs; other; other = other->next) {
            struct run **bucket = bucket_of(sched, other->id);
            other->next_in_bucket = *bucket;
            *bucket = other;
        }
    }
    struct run **bucket = bucket_of(sched, run->id);
    run->next_in_bucket = *bucket;
    *bucket = run;
    run->next = sched->runs;
    if (sched->runs) sched->runs->previous = run;
    sched->runs = run;
    sched->run_count++;
}

static void table_remove(struct tl_sched *sched, struct run *run) {
    struct run **link = bucket_of(sched, run->id);
    while (*link != run) link = &(*link)->next_in_bucket;
    *link = run->next_in_bucket;
    if (run->previous)
        run->previous->next = run->next;
    else
        sched->runs = run->next;
    if (run->next) run->next->previous = run->previous;
    sched->run_count--;
}

/* ---- heap by deadline: position + 1 is kept in the run ---- */

static void heap_place(struct tl_sched *sched, size_t position, struct run *run) {
    sched->heap[position] = run;
    run->heap_position = position + 1;
}

static void heap_up(struct tl_sched *sched, size_t position) {
    struct run *run = sched->heap[position];
    while (position > 0 && run->deadline < sched->heap[(position - 1) / 2]->deadline) {
        heap_place(sched, position, sched->heap[(position - 1) / 2]);
        position = (position - 1) / 2;
    }
    heap_place(sched, position, run);
}

static void heap_down(struct tl_sched *sched, size_t position) {
    struct run *run = sched->heap[position];
    for (;;) {
        size_t child = 2 * position + 1;
        if (child >= sched->heap_count) break;
        if (child + 1 < sched->heap_count && sched->heap[child + 1]->deadline < sched->heap[child]->deadline) child++;
        if (run->deadline <= sched->heap[child]->deadline) break;
        heap_place(sched, position, sched->heap[child]);
        position = child;
    }
    heap_place(sched, position, run);
}

static void heap_insert(struct tl_sched *sched, struct run *run) {
    sched->heap = tl_mem_grow(sched->heap, &sched->heap_capacity, sched->heap_count + 1, sizeof *sched->heap);
    sched->heap[sched->heap_count++] = run;
    heap_up(sched, sched->heap_count - 1);
}

static void heap_remove(struct tl_sched *sched, struct run *run) {
    if (run->heap_position == 0) return;
    size_t position = run->heap_position - 1;
    run->heap_position = 0;
    struct run *last = sched->heap[--sched->heap_count];
    if (last == run) return;
    heap_place(sched, position, last);
    heap_down(sched, position);
    heap_up(sched, last->heap_position - 1);
}

/* ---- submit ---- */

/* Finds the group of each engine of the plan; false when the run was ended because one is missing. */
static bool resolve_engines(struct run *run) {
    struct tl_sched *sched = run->sched;
    run->groups = tl_arena_alloc(&run->arena, (run->plan->engine_count + 1) * sizeof *run->groups);
    for (uint32_t i = 0; i < run->plan->engine_count; i++) {
        uintptr_t known = (uintptr_t)tl_map_get(&sched->group_names, run->plan->engines[i]);
        if (!known) {
            tl_run_fail(run, TL_ERR_NOT_FOUND, "engine \"%s\" is not configured", run->plan->engines[i]);
            return false;
        }
        run->groups[i] = (uint32_t)(known - 1);
    }
    for (uint32_t b = 0; b < run->plan->body_count; b++) {
        const struct tl_plan_body *body = run->plan->bodies[b];
        for (uint32_t n = 0; n < body->node_count; n++) {
            const struct tl_plan_node *node = &body->nodes[n];
            if (node->engine == TL_PLAN_NO_ENGINE) continue;
            if (node->capability == TL_CAPABILITY_STORE && (node->flags & TL_EFFECTFUL)) run->changes_store = true;
            const struct group *group = &sched->groups[run->groups[node->engine]];
            for (size_t i = 0; i < group->instance_count; i++) {
                const struct instance *instance = &sched->instances[group->instances[i]];
                if (!(instance->description.capabilities & (1u << node->capability))) {
                    tl_run_fail(run, TL_ERR_UNSUPPORTED, "engine \"%s\" cannot execute %s (%s)", group->name,
                                tl_primitive_info(node->op)->name, node->label);
                    return false;
                }
            }
        }
    }
    return true;
}

/* What the run asks of each of its engines, with all that stands beside it. */
static void sum_claims(struct run *run) {
    const struct tl_plan *plan = run->plan;
    run->claims = tl_arena_alloc(&run->arena, (plan->engine_count + 1) * sizeof *run->claims);
    for (uint32_t i = 0; i < plan->engine_count; i++) {
        const struct group *group = &run->sched->groups[run->groups[i]];
        for (uint32_t k = 0; k < plan->engine_count; k++)
            for (size_t b = 0; b < group->beside_count; b++)
                if (group->beside[b] == run->groups[k]) run->claims[i] += plan->work_ms[k];
    }
}

/* Nothing of a refused run is kept. */
static bool refuse(struct tl_sched *sched, const struct tl_event *event) {
    const char *what = NULL, *tenant = event->as.submitted.tenant ? event->as.submitted.tenant : "";
    double after = tl_limit_refuses(sched, tenant, event->as.submitted.plan->critical_ms, &what);
    if (after <= 0) return false;
    struct tl_action *finished = tl_sched_act(sched, TL_ACTION_RUN_FINISHED);
    uint64_t ms = (uint64_t)after + 1;
    char message[160];
    snprintf(message, sizeof message, "%s; try again after %llu ms", what, (unsigned long long)ms);
    finished->as.finished.run = event->as.submitted.run;
    finished->as.finished.status = TL_ERR_BUSY;
    finished->as.finished.message = tl_run_keep_text(sched, message);
    finished->as.finished.retry_after_ms = ms;
    for (size_t i = 0; i < event->as.submitted.input_count; i++) tl_value_unref(event->as.submitted.inputs[i]);
    tl_plan_unref(event->as.submitted.plan);
    sched->counters.runs_refused++;
    return true;
}

void tl_run_submit(struct tl_sched *sched, const struct tl_event *event) {
    TL_ASSERT(tl_run_find(sched, event->as.submitted.run) == NULL);
    sched->counters.runs_submitted++;
    if (refuse(sched, event)) return;
    struct run *run = tl_mem_zalloc(sizeof *run);
    tl_arena_init(&run->arena);
    run->sched = sched;
    run->plan = event->as.submitted.plan;
    run->id = event->as.submitted.run;
    run->arrival = event->now;
    run->deadline = event->as.submitted.deadline;
    run->priority = event->as.submitted.priority;
    const char *tenant = event->as.submitted.tenant ? event->as.submitted.tenant : "";
    run->tenant = tl_arena_strndup(&run->arena, tenant, strlen(tenant));
    tl_limit_enter(sched, run);
    if (sched->policy->depths) tl_depths_measure(run);
    table_insert(sched, run);

    const struct tl_plan_body *root = run->plan->root;
    size_t count = event->as.submitted.input_count;
    TL_ASSERT(count == root->parameter_count);
    run->root = tl_instance_create(run, root, NULL, NULL, 0, 0);
    for (size_t i = 0; i < count; i++) tl_instance_set_slot(run->root, (uint32_t)i, event->as.submitted.inputs[i]);
    if (run->deadline && run->deadline <= sched->now) {
        tl_run_end(run, TL_ERR_DEADLINE, "the deadline had passed before the run began", NULL);
        return;
    }
    if (!resolve_engines(run)) return;
    sum_claims(run);
    if (run->deadline) heap_insert(sched, run);
    tl_instance_start(run->root);
}

/* ---- end ---- */

static void count_end(struct tl_sched *sched, enum tl_status status) {
    if (status == TL_OK)
        sched->counters.runs_done++;
    else if (status == TL_ERR_CANCELLED)
        sched->counters.runs_cancelled++;
    else if (status == TL_ERR_DEADLINE)
        sched->counters.runs_expired++;
    else
        sched->counters.runs_failed++;
}

void tl_run_end(struct run *run, enum tl_status status, const char *message, struct tl_value **outputs) {
    struct tl_sched *sched = run->sched;
    TL_ASSERT(run->phase == RUN_LIVE);
    run->phase = RUN_ENDED;
    heap_remove(sched, run);
    tl_limit_leave(sched, run);
    tl_engine_drop_queued(run);
    tl_recall_end_run(run);
    for (struct sched_item *item = run->held; item; item = item->next) {
        if (item->cancelling) continue;
        item->cancelling = true;
        struct tl_action *cancel = tl_sched_act(sched, TL_ACTION_CANCEL_ITEM);
        cancel->as.cancel.instance = item->instance;
        cancel->as.cancel.item = &item->item;
    }
    count_end(sched, status);
    struct tl_action *finished = tl_sched_act(sched, TL_ACTION_RUN_FINISHED);
    finished->as.finished.run = run->id;
    finished->as.finished.status = status;
    finished->as.finished.message = tl_run_keep_text(sched, message);
    sched->departed->outputs = outputs;
    finished->as.finished.outputs = outputs;
    finished->as.finished.output_count = outputs ? run->plan->root->result_count : 0;
    tl_run_may_be_over(run);
}

void tl_run_fail(struct run *run, enum tl_status status, const char *format, ...) {
    struct tl_error error; /* cut between characters where it is too long */
    va_list args;
    va_start(args, format);
    tl_error_setv(&error, status, format, args);
    va_end(args);
    tl_run_end(run, status, error.message, NULL);
}

void tl_run_expire(struct tl_sched *sched) {
    while (sched->heap_count && sched->heap[0]->deadline <= sched->now) {
        struct run *run = sched->heap[0];
        tl_run_fail(run, TL_ERR_DEADLINE, "the deadline passed after %.3f s",
                    (double)(sched->now - run->arrival) / 1e9);
    }
}

/* ---- free ---- */

static void free_run(struct run *run) {
    struct tl_sched *sched = run->sched;
    for (struct body_instance *instance = run->instances; instance; instance = instance->next) {
        for (uint32_t i = 0; i < instance->body->slot_count; i++) {
            struct slot *slot = &instance->slots[i];
            tl_value_unref(slot->value);
            for (size_t p = 0; p < slot->piece_count; p++) tl_value_unref(slot->pieces[p]);
            tl_mem_free(slot->pieces);
        }
        for (uint32_t i = 0; i < instance->body->node_count; i++) tl_region_fini(&instance->nodes[i]);
    }
    tl_recall_free_run(run);
    table_remove(sched, run);
    tl_plan_unref(run->plan);
    tl_arena_fini(&run->arena);
    tl_mem_free(run);
}

/* Frees the ended runs of which no engine holds an item any more. A run gets onto the list when it ends
 * and whenever an item of it comes back after that. */
void tl_run_reap(struct tl_sched *sched) {
    while (sched->reap) {
        struct run *run = sched->reap;
        sched->reap = run->next_reap;
        run->reaping = false;
        if (run->held_count == 0) free_run(run);
    }
}

void tl_run_may_be_over(struct run *run) {
    if (run->phase != RUN_ENDED || run->reaping) return;
    run->reaping = true;
    run->next_reap = run->sched->reap;
    run->sched->reap = run;
}

const char *tl_run_keep_text(struct tl_sched *sched, const char *text) {
    struct departed *departed = tl_mem_zalloc(sizeof *departed);
    departed->message = tl_mem_strdup(text);
    departed->next = sched->departed;
    sched->departed = departed;
    return departed->message;
}

void tl_run_forget_departed(struct tl_sched *sched) {
    while (sched->departed) {
        struct departed *departed = sched->departed;
        sched->departed = departed->next;
        tl_mem_free(departed->message);
        tl_mem_free(departed->outputs);
        tl_mem_free(departed);
    }
}

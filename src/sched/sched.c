/* sched.c: one step of the state machine, and what there is to run on. */
#include "sched/sched.h"

#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

void tl_actions_init(struct tl_actions *actions) { memset(actions, 0, sizeof *actions); }

void tl_actions_fini(struct tl_actions *actions) {
    tl_mem_free(actions->items);
    memset(actions, 0, sizeof *actions);
}

struct tl_action *tl_sched_act(struct tl_sched *sched, enum tl_action_kind kind) {
    struct tl_actions *actions = sched->actions;
    actions->items = tl_mem_grow(actions->items, &actions->capacity, actions->count + 1, sizeof *actions->items);
    struct tl_action *action = &actions->items[actions->count++];
    memset(action, 0, sizeof *action);
    action->kind = kind;
    return action;
}

struct tl_sched *tl_sched_create(const struct tl_sched_config *config) {
    struct tl_sched *sched = tl_mem_zalloc(sizeof *sched);
    sched->config = *config;
    sched->policy = config->policy ? config->policy : tl_policy_at(0);
    if (sched->config.most_instances == 0) sched->config.most_instances = 100000;
    sched->memo = config->memo_bytes ? tl_memo_create(config->memo_bytes) : NULL;
    sched->hash = config->memo_bytes ? tl_sha256_create() : NULL;
    tl_map_init(&sched->group_names);
    tl_map_init(&sched->tenant_names);
    sched->bucket_count = 64;
    sched->buckets = tl_mem_zalloc(sched->bucket_count * sizeof *sched->buckets);
    return sched;
}

void tl_sched_destroy(struct tl_sched *sched) {
    if (!sched) return;
    TL_ASSERT(sched->run_count == 0);
    tl_run_forget_departed(sched);
    tl_memo_destroy(sched->memo);
    tl_sha256_destroy(sched->hash);
    for (size_t i = 0; i < sched->device_count; i++) {
        tl_mem_free(sched->devices[i].name);
        tl_mem_free(sched->devices[i].instances);
    }
    for (size_t i = 0; i < sched->instance_count; i++) {
        tl_mem_free(sched->instances[i].batch);
        tl_mem_free(sched->instances[i].times);
        tl_lane_fini(&sched->instances[i].lane);
    }
    for (size_t i = 0; i < sched->group_count; i++) {
        tl_mem_free(sched->groups[i].name);
        tl_mem_free(sched->groups[i].instances);
        tl_mem_free(sched->groups[i].beside);
        tl_lane_fini(&sched->groups[i].lane);
    }
    tl_map_fini(&sched->group_names);
    tl_tenant_fini(sched);
    tl_mem_free(sched->devices);
    tl_mem_free(sched->instances);
    tl_mem_free(sched->alone);
    tl_mem_free(sched->groups);
    tl_mem_free(sched->buckets);
    tl_mem_free(sched->heap);
    tl_mem_free(sched->tasks);
    tl_mem_free(sched->offered);
    tl_mem_free(sched->reasons);
    tl_mem_free(sched->passed);
    tl_mem_free(sched->turns);
    tl_mem_free(sched);
}

uint32_t tl_sched_add_device(struct tl_sched *sched, const char *name) {
    sched->devices =
        tl_mem_grow(sched->devices, &sched->device_capacity, sched->device_count + 1, sizeof *sched->devices);
    sched->devices[sched->device_count] = (struct device){.name = tl_mem_strdup(name)};
    return (uint32_t)sched->device_count++;
}

static uint32_t find_or_add_group(struct tl_sched *sched, const char *name) {
    uintptr_t known = (uintptr_t)tl_map_get(&sched->group_names, name);
    if (known) return (uint32_t)(known - 1);
    sched->groups = tl_mem_grow(sched->groups, &sched->group_capacity, sched->group_count + 1, sizeof *sched->groups);
    sched->groups[sched->group_count] =
        (struct group){.name = tl_mem_strdup(name), .written = 1, .iterations = 32};
    sched->group_count++;
    tl_map_set(&sched->group_names, name, (void *)(uintptr_t)sched->group_count);
    return (uint32_t)(sched->group_count - 1);
}

static void append_index(uint32_t **array, size_t *count, size_t *capacity, uint32_t value) {
    *array = tl_mem_grow(*array, capacity, *count + 1, sizeof **array);
    (*array)[(*count)++] = value;
}

static void add_beside(struct group *group, uint32_t other) {
    for (size_t i = 0; i < group->beside_count; i++)
        if (group->beside[i] == other) return;
    append_index(&group->beside, &group->beside_count, &group->beside_capacity, other);
}

/* They have a device in common. */
static void stand_beside(struct tl_sched *sched, uint32_t a, uint32_t b) {
    add_beside(&sched->groups[a], b);
    add_beside(&sched->groups[b], a);
}

uint32_t tl_sched_add_instance(struct tl_sched *sched, const char *engine,
                               const struct tl_engine_description *description, uint32_t device, const void *owner) {
    TL_ASSERT((description->executor == TL_EXECUTOR_DEVICE) == (device != TL_SCHED_NO_DEVICE));
    TL_ASSERT(device == TL_SCHED_NO_DEVICE || device < sched->device_count);
    uint32_t number = (uint32_t)sched->instance_count;
    uint32_t group = find_or_add_group(sched, engine);
    sched->instances =
        tl_mem_grow(sched->instances, &sched->instance_capacity, sched->instance_count + 1, sizeof *sched->instances);
    sched->instances[sched->instance_count++] =
        (struct instance){.description = *description, .group = group, .device = device, .owner = owner, .speed = 1};
    struct group *g = &sched->groups[group];
    add_beside(g, group);
    append_index(&g->instances, &g->instance_count, &g->instance_capacity, number);
    if (device == TL_SCHED_NO_DEVICE) append_index(&sched->alone, &sched->alone_count, &sched->alone_capacity, number);
    if (device != TL_SCHED_NO_DEVICE) {
        struct device *d = &sched->devices[device];
        for (size_t i = 0; i < d->instance_count; i++)
            stand_beside(sched, group, sched->instances[d->instances[i]].group);
        append_index(&d->instances, &d->instance_count, &d->instance_capacity, number);
    }
    return number;
}

void tl_sched_set_times(struct tl_sched *sched, uint32_t instance, const char *name) {
    tl_mem_free(sched->instances[instance].times);
    sched->instances[instance].times = tl_mem_strdup(name);
}

void tl_sched_set_owner(struct tl_sched *sched, uint32_t instance, const void *owner) {
    TL_ASSERT(sched->instances[instance].lost);
    sched->instances[instance].owner = owner;
}

static void set_wake(struct tl_sched *sched) {
    uint64_t next = sched->heap_count ? sched->heap[0]->deadline : 0;
    if (sched->look_again && (next == 0 || sched->look_again < next)) next = sched->look_again;
    if (sched->watch_at && (next == 0 || sched->watch_at < next)) next = sched->watch_at;
    if (next == sched->wake) return;
    sched->wake = next;
    tl_sched_act(sched, TL_ACTION_WAKE)->as.wake.at = next;
}

void tl_sched_step(struct tl_sched *sched, const struct tl_event *event, struct tl_actions *actions) {
    TL_ASSERT(event->now >= sched->now);
    sched->now = event->now;
    sched->actions = actions;
    actions->count = 0;
    tl_run_forget_departed(sched);
    /* An item whose outcome is here is not cancelled any more, even if its run ends now. */
    if (event->kind == TL_EVENT_ITEM_DONE) ((struct sched_item *)event->as.done.item)->cancelling = true;
    if (event->kind == TL_EVENT_ITEM_FAILED) ((struct sched_item *)event->as.failed.item)->cancelling = true;
    /* What has expired by now is ended before the event is looked at, so that an outcome that comes after
     * the deadline starts nothing. */
    tl_run_expire(sched);
    switch (event->kind) {
    case TL_EVENT_RUN_SUBMITTED: tl_run_submit(sched, event); break;
    case TL_EVENT_ITEM_DONE:
    case TL_EVENT_ITEM_FAILED:
    case TL_EVENT_ITEM_PIECE: tl_item_outcome(sched, event); break;
    case TL_EVENT_STEP_DONE: tl_engine_step_done(sched, event->as.step.instance, event->as.step.more); break;
    case TL_EVENT_CANCEL: {
        struct run *run = tl_run_find(sched, event->as.cancel.run);
        if (run && run->phase == RUN_LIVE) tl_run_end(run, TL_ERR_CANCELLED, "cancelled", NULL);
        break;
    }
    case TL_EVENT_INSTANCE_LOST: tl_fault_lose(sched, event->as.step.instance); break;
    case TL_EVENT_INSTANCE_BACK: tl_fault_find(sched, event->as.step.instance); break;
    case TL_EVENT_TIME: break;
    }
    tl_watch_look(sched);
    tl_sched_drain(sched);
    sched->undispatched = event->follows;
    if (!event->follows) tl_sched_dispatch(sched);
    tl_run_reap(sched);
    set_wake(sched);
    sched->actions = NULL;
}

static const struct sched_item *of_item(const struct tl_item *item) { return (const struct sched_item *)item; }

uint64_t tl_sched_item_run(const struct tl_item *item) { return of_item(item)->ready.run; }

uint64_t tl_sched_item_ready(const struct tl_item *item) { return of_item(item)->ready.ready; }

uint64_t tl_sched_item_started(const struct tl_item *item) { return of_item(item)->started; }

uint32_t tl_sched_item_instance(const struct tl_item *item) { return of_item(item)->instance; }

const char *tl_sched_item_reason(const struct tl_item *item) { return tl_reason_text(of_item(item)->reason); }

const char *tl_sched_item_step_id(const struct tl_item *item) { return of_item(item)->node->plan->step; }

bool tl_sched_item_is_wanted(const struct tl_item *item) { return !of_item(item)->abandoned; }

size_t tl_sched_queued(const struct tl_sched *sched, uint32_t instance) {
    return sched->groups[sched->instances[instance].group].queued;
}

void tl_sched_get_counters(const struct tl_sched *sched, struct tl_sched_counters *counters) {
    *counters = sched->counters;
    counters->runs_live = sched->run_count;
    tl_memo_get_counters(sched->memo, &counters->memo);
}

/* batch.c: what an instance takes of a queue: items are offered to the policy in its order, those left to an instance
 * that will be done with them earlier excepted. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/clock.h"
#include "sched/sched_impl.h"

/* The most items that are offered to a policy at once, and the most that are left to other instances on the way. */
enum { OFFER_LIMIT = 256,
       PASSED_LIMIT = 8 };

/* How many units the instance has left: UINT32_MAX when it has no bound, 0 when it is full. What holds nothing takes
 * at least one item, however large. */
static uint32_t free_units(const struct instance *instance) {
    uint32_t most = instance->description.batch_units;
    if (most == 0) return UINT32_MAX;
    return instance->held_units >= most ? 0 : most - instance->held_units;
}

static struct sched_item *first_of(const struct tl_sched *sched, uint32_t number) {
    const struct instance *instance = &sched->instances[number];
    return tl_lane_front(sched, tl_lane_first(sched, &sched->groups[instance->group].lane),
                         tl_lane_first(sched, &instance->lane));
}

bool tl_batch_is_open(const struct tl_sched *sched, uint32_t number, struct sched_item **first) {
    const struct instance *instance = &sched->instances[number];
    *first = NULL;
    if (instance->declined == sched->groups[instance->group].changes && instance->waits_until > sched->now)
        return false;
    *first = free_units(instance) > 0 ? first_of(sched, number) : NULL;
    return *first != NULL;
}

/* The item stands outside of its lane until it is held or put back. Its tenant is charged at once, so that the next one
 * is chosen as if it had been served. */
static void take_out(struct tl_sched *sched, struct sched_item *item) {
    tl_lane_remove(sched, tl_engine_lane(sched, item), item);
    sched->tenants[item->ready.tenant].served += item->ready.share;
}

static void put_back(struct tl_sched *sched, struct sched_item *item) {
    tl_lane_push(sched, tl_engine_lane(sched, item), item);
    sched->tenants[item->ready.tenant].served -= item->ready.share;
}

static void forget_passed(struct tl_sched *sched, const struct group *group) {
    for (size_t i = 0; i < group->instance_count; i++) sched->instances[group->instances[i]].passed_ms = 0;
}

static struct sched_item *of_ready(const struct tl_ready *ready) { return (struct sched_item *)ready->item; }

/* Takes what is to be offered out of the queue into sched->offered; what goes elsewhere into sched->passed. */
static size_t offer(struct tl_sched *sched, uint32_t number, size_t *passed) {
    const struct instance *instance = &sched->instances[number];
    struct group *group = &sched->groups[instance->group];
    uint32_t room = free_units(instance), look_behind = sched->policy->look_behind;
    uint64_t units = 0;
    size_t count = 0;
    *passed = 0;
    forget_passed(sched, group);
    while (count < OFFER_LIMIT && *passed < PASSED_LIMIT) {
        struct sched_item *item = first_of(sched, number);
        if (!item || (units >= room && look_behind-- == 0)) break;
        if (count > 0 && of_ready(sched->offered[0])->overtaken >= MOST_OVERTAKEN) break;
        uint32_t best = item->pinned ? number : tl_predict_best(sched, item, number);
        take_out(sched, item);
        if (best == number) {
            sched->offered =
                tl_mem_grow(sched->offered, &sched->offered_capacity, count + 1, sizeof(struct tl_ready *));
            sched->offered[count++] = &item->ready;
            units += item->ready.units;
            sched->instances[number].passed_ms += tl_predict_share(sched, item, number);
        } else {
            sched->passed =
                tl_mem_grow(sched->passed, &sched->passed_capacity, *passed + 1, sizeof(struct sched_item *));
            sched->passed[(*passed)++] = item;
            if (best != NO_INSTANCE) sched->instances[best].passed_ms += tl_predict_share(sched, item, best);
        }
    }
    forget_passed(sched, group);
    return count;
}

static const struct tl_ready *first_call_held(const struct instance *instance) {
    const struct tl_ready *first = NULL;
    for (const struct sched_item *item = instance->held; item; item = item->next_here)
        if (item->item.op != TL_OP_DECODE && item->item.op != TL_OP_PARTIAL_DECODE &&
            (!first || tl_ready_before(&item->ready, first)))
            first = &item->ready;
    return first;
}

/* Asks the policy; sched->reasons says what is taken. */
static uint64_t choose(struct tl_sched *sched, uint32_t number, size_t count) {
    const struct instance *instance = &sched->instances[number];
    const struct group *group = &sched->groups[instance->group];
    sched->reasons = tl_mem_grow(sched->reasons, &sched->reasons_capacity, count + 1, sizeof *sched->reasons);
    memset(sched->reasons, 0, count * sizeof *sched->reasons);
    struct tl_choice choice = {.reasons = sched->reasons};
    const struct tl_item *first = sched->offered[0]->item;
    struct tl_offer offer = {
        .items = sched->offered,
        .count = count,
        .behind = group->lane.count + instance->lane.count,
        .now = sched->now,
        .free_units = free_units(instance),
        .efficient_units = tl_cost_batch(sched->config.cost, group->name, first->op),
        .continuous = instance->description.sequences > 0,
        .held = instance->held_items,
        .first_held = instance->calls_held ? first_call_held(instance) : NULL,
        .calls_held = instance->calls_held,
    };
    sched->policy->take(&offer, &choice);
    bool any = false;
    for (size_t i = 0; i < count && !any; i++) any = sched->reasons[i] != TL_REASON_NONE;
    if (!any && instance->held_items == 0 && choice.wait_until <= sched->now) sched->reasons[0] = TL_REASON_FIRST;
    return any ? 0 : choice.wait_until;
}

/* When to look again although nothing happens: when the better instance should be done, or a little later. */
static void wait_for_better(struct tl_sched *sched, struct instance *instance) {
    instance->waits_until = sched->now + 10 * TL_NS_PER_MS;
    for (size_t i = 0; i < sched->groups[instance->group].instance_count; i++) {
        const struct instance *other = &sched->instances[sched->groups[instance->group].instances[i]];
        if (other == instance || other->calls_held == 0) continue;
        uint64_t late = sched->now > other->done_at ? sched->now - other->done_at : 0;
        uint64_t done = late ? sched->now + late : other->done_at;
        if (done > instance->waits_until) instance->waits_until = done;
    }
}

size_t tl_batch_form(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    struct sched_item *first;
    size_t passed = 0, taken = 0;
    instance->batch_count = 0;
    if (!tl_batch_is_open(sched, number, &first)) return 0;
    instance->waits_until = instance->declined = 0;
    size_t count = offer(sched, number, &passed);
    if (count > 0) instance->waits_until = choose(sched, number, count);
    for (size_t i = 0; i < passed; i++) put_back(sched, sched->passed[i]);
    for (size_t i = 0; i < count; i++) {
        struct sched_item *item = of_ready(sched->offered[i]);
        if (sched->reasons[i] == TL_REASON_NONE) {
            put_back(sched, item);
            continue;
        }
        item->reason = sched->reasons[i];
        tl_engine_hold(sched, number, item);
        taken++;
    }
    if (taken > 0 && sched->reasons[0] == TL_REASON_NONE) of_ready(sched->offered[0])->overtaken++;
    if (taken == 0 && passed > 0 && instance->waits_until == 0) wait_for_better(sched, instance);
    if (taken == 0) instance->declined = sched->groups[instance->group].changes;
    if (taken > 0) sched->counters.batches++;
    return taken;
}

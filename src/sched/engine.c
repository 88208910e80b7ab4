/* engine.c: the engine tier (a sorted queue per engine, batches by the policy) and the device tier
 * (one quantum at a time on a device). */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

/* The most items that are offered to a policy at once. */
enum { OFFER_LIMIT = 256 };

/* ---- queues ---- */

/* An input that stands for something an instance holds binds the item to that instance. */
static void pin_item(struct tl_sched *sched, struct sched_item *item) {
    const struct group *group = &sched->groups[item->group];
    for (size_t i = 0; i < item->item.input_count; i++) {
        const struct tl_value *value = item->item.inputs[i];
        const struct tl_resource *resource = NULL;
        if (value && value->type.depth == 0 && value->type.base == TL_TYPE_KV)
            resource = value->as.kv.resource;
        else if (value && value->type.depth == 0 && value->type.base == TL_TYPE_INDEX)
            resource = value->as.index.resource;
        if (!resource) continue;
        for (size_t k = 0; k < group->instance_count; k++) {
            if (sched->instances[group->instances[k]].owner == resource->owner) {
                item->pinned = true;
                item->instance = group->instances[k];
                return;
            }
        }
    }
}

static void queue_insert(struct tl_sched *sched, struct sched_item *item) {
    struct group *group = &sched->groups[item->group];
    group->queue = tl_mem_grow(group->queue, &group->queue_capacity, group->queued + 1, sizeof *group->queue);
    size_t low = 0, high = group->queued;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (sched->policy->before(&item->ready, &group->queue[middle]->ready))
            high = middle;
        else
            low = middle + 1;
    }
    memmove(group->queue + low + 1, group->queue + low, (group->queued - low) * sizeof *group->queue);
    group->queue[low] = item;
    group->queued++;
    sched->counters.items_queued++;
}

void tl_engine_enqueue(struct node_state *node) {
    struct body_instance *instance = node->instance;
    struct run *run = instance->run;
    struct tl_sched *sched = run->sched;
    const struct tl_plan_node *plan = node->plan;
    struct sched_item *item = tl_arena_alloc(&run->arena, sizeof *item);
    struct tl_value **inputs = tl_arena_alloc(&run->arena, (plan->input_count + 1) * sizeof *inputs);
    for (uint32_t i = 0; i < plan->input_count; i++)
        inputs[i] = plan->inputs[i].slot == TL_PLAN_NO_SLOT ? NULL : tl_instance_slot(instance, plan->inputs[i])->value;
    item->item = (struct tl_item){
        .id = ++sched->next_item,
        .op = plan->op,
        .attributes = plan->attributes,
        .label = tl_node_label(node),
        .inputs = inputs,
        .input_names = plan->input_names,
        .input_count = plan->input_count,
        .deadline = run->deadline,
        .rank = plan->rank + run->priority,
        .stream = tl_node_streams_to_user(node),
        .pieces = plan->pieces,
    };
    size_t units = plan->input_count && inputs[0] ? tl_value_units(inputs[0]) : 1;
    item->ready = (struct tl_ready){
        .item = &item->item,
        .run = run->id,
        .run_arrival = run->arrival,
        .ready = sched->now,
        .sequence = ++sched->next_sequence,
        .deadline = run->deadline,
        .rank = item->item.rank,
        .units = units == 0           ? 1
                 : units > UINT32_MAX ? UINT32_MAX
                                      : (uint32_t)units,
    };
    item->node = node;
    item->group = run->groups[plan->engine];
    pin_item(sched, item);
    node->item = item;
    node->phase = NODE_QUEUED;
    run->queued_count++;
    queue_insert(sched, item);
}

void tl_engine_drop_queued(struct run *run) {
    if (run->queued_count == 0) return;
    struct tl_sched *sched = run->sched;
    for (size_t g = 0; g < sched->group_count; g++) {
        struct group *group = &sched->groups[g];
        size_t kept = 0;
        for (size_t i = 0; i < group->queued; i++)
            if (group->queue[i]->node->instance->run != run) group->queue[kept++] = group->queue[i];
        sched->counters.items_queued -= group->queued - kept;
        group->queued = kept;
    }
    run->queued_count = 0;
}

/* ---- items with engines ---- */

static void hold(struct tl_sched *sched, uint32_t number, struct sched_item *item) {
    struct instance *instance = &sched->instances[number];
    struct run *run = item->node->instance->run;
    TL_ASSERT(run->phase == RUN_LIVE && item->node->phase == NODE_QUEUED);
    item->node->phase = NODE_HELD;
    item->instance = number;
    item->previous_held = NULL;
    item->next_held = run->held;
    if (run->held) run->held->previous_held = item;
    run->held = item;
    run->held_count++;
    run->queued_count--;
    instance->held_items++;
    instance->held_units += item->ready.units;
    sched->counters.items_queued--;
    sched->counters.items_held++;
    sched->counters.items_started++;
    instance->batch =
        tl_mem_grow(instance->batch, &instance->batch_capacity, instance->batch_count + 1, sizeof *instance->batch);
    instance->batch[instance->batch_count++] = &item->item;
}

void tl_engine_item_back(struct sched_item *item) {
    struct run *run = item->node->instance->run;
    struct tl_sched *sched = run->sched;
    struct instance *instance = &sched->instances[item->instance];
    if (item->previous_held)
        item->previous_held->next_held = item->next_held;
    else
        run->held = item->next_held;
    if (item->next_held) item->next_held->previous_held = item->previous_held;
    run->held_count--;
    instance->held_items--;
    instance->held_units -= item->ready.units;
    if (instance->held_items == 0) instance->more = false; /* what it had left has been cancelled */
    sched->counters.items_held--;
}

void tl_engine_step_done(struct tl_sched *sched, uint32_t number, bool more) {
    struct instance *instance = &sched->instances[number];
    TL_ASSERT(instance->busy);
    TL_ASSERT(!more || instance->held_items > 0);
    instance->busy = false;
    instance->more = more;
    if (instance->device != TL_SCHED_NO_DEVICE) {
        struct device *device = &sched->devices[instance->device];
        TL_ASSERT(device->busy == number + 1);
        device->busy = 0;
    }
}

/* ---- batches ---- */

/* Collects what the instance may take, in queue order, into sched->offered; returns how many. */
static size_t offer(struct tl_sched *sched, uint32_t number) {
    const struct group *group = &sched->groups[sched->instances[number].group];
    size_t count = 0;
    sched->offered = tl_mem_grow(sched->offered, &sched->offered_capacity, OFFER_LIMIT, sizeof *sched->offered);
    sched->offered_positions = tl_mem_grow(sched->offered_positions, &sched->offered_positions_capacity, OFFER_LIMIT,
                                           sizeof *sched->offered_positions);
    for (size_t i = 0; i < group->queued && count < OFFER_LIMIT; i++) {
        struct sched_item *item = group->queue[i];
        if (item->pinned && item->instance != number) continue;
        sched->offered[count] = &item->ready;
        sched->offered_positions[count++] = i;
    }
    return count;
}

/* How many units the instance has left: UINT32_MAX when it has no bound, 0 when it is full. */
static uint32_t free_units(const struct instance *instance) {
    if (instance->description.batch_units == 0) return UINT32_MAX;
    return instance->held_units >= instance->description.batch_units
               ? 0
               : instance->description.batch_units - instance->held_units;
}

/* How many of the offered items the policy takes now; whatever holds nothing takes at least one. */
static size_t decide(struct tl_sched *sched, uint32_t number, size_t offered) {
    const struct instance *instance = &sched->instances[number];
    uint32_t left = free_units(instance);
    if (offered == 0 || (left == 0 && instance->held_items > 0)) return 0;
    size_t taken = sched->policy->take(sched->offered, offered, left == UINT32_MAX ? 0 : left);
    TL_ASSERT(taken <= offered);
    return taken == 0 && instance->held_items == 0 ? 1 : taken;
}

static void run_instance(struct tl_sched *sched, uint32_t number, size_t taken) {
    struct instance *instance = &sched->instances[number];
    struct group *group = &sched->groups[instance->group];
    instance->batch_count = 0;
    for (size_t i = 0; i < taken; i++) hold(sched, number, group->queue[sched->offered_positions[i]]);
    if (taken > 0) {
        size_t kept = sched->offered_positions[0], next = 0;
        for (size_t i = kept; i < group->queued; i++) {
            if (next < taken && sched->offered_positions[next] == i)
                next++;
            else
                group->queue[kept++] = group->queue[i];
        }
        group->queued = kept;
        sched->counters.batches++;
    }
    if (instance->description.executor != TL_EXECUTOR_LOOP) {
        instance->busy = true;
        instance->more = false; /* until the quantum says so again */
        instance->last_served = ++sched->next_quantum;
        if (instance->device != TL_SCHED_NO_DEVICE) sched->devices[instance->device].busy = number + 1;
        sched->counters.quanta++;
    }
    struct tl_action *action = tl_sched_act(sched, TL_ACTION_RUN);
    action->as.run.instance = number;
    action->as.run.items = instance->batch;
    action->as.run.count = instance->batch_count;
}

/* Items that wait for an instance go on while it can take them; an instance of its own thread (POOL) gets one
 * quantum at a time like a device of one. */
static void dispatch_alone(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    if (instance->busy) return;
    if (sched->groups[instance->group].queued == 0 && !instance->more) return;
    size_t taken = decide(sched, number, offer(sched, number));
    if (taken > 0 || instance->more) run_instance(sched, number, taken);
}

static void add_turn(struct tl_sched *sched, uint32_t number, size_t *count) {
    const struct instance *instance = &sched->instances[number];
    size_t offered = sched->groups[instance->group].queued > 0 ? offer(sched, number) : 0;
    if (!instance->more && decide(sched, number, offered) == 0) return;
    struct tl_turn turn = {
        .instance = number,
        .last_served = instance->last_served,
        .rank = offered ? sched->offered[0]->rank : 0,
        .oldest = offered ? sched->offered[0]->sequence : UINT64_MAX,
        .holds = instance->more,
    };
    for (size_t i = 1; i < offered; i++) {
        if (sched->offered[i]->rank > turn.rank) turn.rank = sched->offered[i]->rank;
        if (sched->offered[i]->sequence < turn.oldest) turn.oldest = sched->offered[i]->sequence;
    }
    sched->turns = tl_mem_grow(sched->turns, &sched->turn_capacity, *count + 1, sizeof *sched->turns);
    sched->turns[(*count)++] = turn;
}

static void dispatch_device(struct tl_sched *sched, struct device *device) {
    if (device->busy) return;
    size_t count = 0;
    for (size_t i = 0; i < device->instance_count; i++) add_turn(sched, device->instances[i], &count);
    if (count == 0) return;
    size_t chosen = sched->policy->turn(sched->turns, count);
    TL_ASSERT(chosen < count);
    uint32_t number = sched->turns[chosen].instance;
    run_instance(sched, number, decide(sched, number, offer(sched, number)));
}

void tl_sched_dispatch(struct tl_sched *sched) {
    for (size_t i = 0; i < sched->device_count; i++) dispatch_device(sched, &sched->devices[i]);
    for (uint32_t i = 0; i < sched->instance_count; i++)
        if (sched->instances[i].device == TL_SCHED_NO_DEVICE) dispatch_alone(sched, i);
}

/* engine.c: the engine tier (ready items stand in queues until an instance takes them, see batch.c) and the device tier
 * (one quantum at a time on a device). */
#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

/* ---- queued items ---- */

static const struct tl_resource *resource_of(const struct tl_value *value) {
    if (!value || value->type.depth > 0) return NULL;
    return value->type.base == TL_TYPE_KV      ? value->as.kv.resource
           : value->type.base == TL_TYPE_INDEX ? value->as.index.resource
                                               : NULL;
}

/* An input that stands for something an instance holds binds the item to that instance. A prompt's prefix does not: what
 * is to be prefilled carries its whole prompt, so that another instance can compute the prefix again. */
static void find_place(struct tl_sched *sched, struct sched_item *item) {
    const struct group *group = &sched->groups[item->group];
    item->near = item->avoid = NO_INSTANCE;
    for (size_t i = 0; i < item->item.input_count; i++) {
        const struct tl_resource *resource = resource_of(item->item.inputs[i]);
        if (!resource) continue;
        for (size_t k = 0; k < group->instance_count; k++) {
            uint32_t number = group->instances[k];
            if (sched->instances[number].owner != resource->owner) continue;
            bool prefix = item->item.inputs[0]->type.base == TL_TYPE_PROMPT;
            item->near = prefix ? number : NO_INSTANCE;
            item->pinned = !prefix;
            item->instance = number;
            return;
        }
    }
}

struct lane *tl_engine_lane(struct tl_sched *sched, const struct sched_item *item) {
    return item->pinned ? &sched->instances[item->instance].lane : &sched->groups[item->group].lane;
}

static void list_insert(struct sched_item **list, struct sched_item *item) {
    item->previous = NULL;
    item->next = *list;
    if (*list) (*list)->previous = item;
    *list = item;
}

static void list_remove(struct sched_item **list, struct sched_item *item) {
    if (item->previous)
        item->previous->next = item->next;
    else
        *list = item->next;
    if (item->next) item->next->previous = item->previous;
}

/* Calls that an instance must make before others can have it. */
static double pinned_ms(const struct sched_item *item) {
    return item->pinned && item->row <= 0 ? item->ready.share : 0;
}

static void enter_queue(struct tl_sched *sched, struct sched_item *item) {
    struct run *run = item->node->instance->run;
    tl_lane_push(sched, tl_engine_lane(sched, item), item);
    sched->groups[item->group].changes++;
    if (item->pinned) sched->instances[item->instance].pinned_ms += pinned_ms(item);
    list_insert(&run->queued, item);
    run->queued_count++;
    sched->counters.items_queued++;
}

/* The item is in no lane any more. */
static void leave_queue(struct tl_sched *sched, struct sched_item *item) {
    struct run *run = item->node->instance->run;
    if (item->pinned) {
        struct instance *instance = &sched->instances[item->instance];
        instance->pinned_ms = instance->lane.count ? instance->pinned_ms - pinned_ms(item) : 0;
    }
    list_remove(&run->queued, item);
    run->queued_count--;
    sched->counters.items_queued--;
}

static uint32_t depth_of(const struct node_state *node) {
    const struct body_instance *instance = node->instance;
    uint32_t **depths = instance->run->depths;
    return depths ? depths[instance->body->number][node->plan - instance->body->nodes] : 0;
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
    if (tl_recall_part(node)) inputs[0] = tl_recall_part(node);
    item->item = (struct tl_item){
        .id = ++sched->next_item,
        .op = plan->op,
        .attributes = plan->attributes,
        .label = tl_node_label(node),
        .inputs = inputs,
        .input_names = plan->input_names,
        .input_count = plan->input_count,
        .deadline = run->deadline,
        .tenant = run->tenant,
        .stream = tl_node_streams_to_user(node),
        .pieces = plan->pieces,
    };
    size_t units = plan->input_count && inputs[0] ? tl_value_units(inputs[0]) : 1;
    item->ready = (struct tl_ready){
        .item = &item->item,
        .step = plan->step,
        .run = run->id,
        .run_arrival = run->arrival,
        .ready = sched->now,
        .sequence = ++sched->next_sequence,
        .deadline = run->deadline,
        .priority = run->priority,
        .rank = plan->rank,
        .claim = run->claims[plan->engine],
        .depth = depth_of(node),
        .units = units == 0           ? 1
                 : units > UINT32_MAX ? UINT32_MAX
                                      : (uint32_t)units,
        .tenant = run->tenant_number,
        .continues = plan->continues,
    };
    item->node = node;
    item->group = run->groups[plan->engine];
    find_place(sched, item);
    tl_predict_item(sched, item);
    sched->policy->order(&item->ready);
    item->item.rank = -item->ready.key;
    node->item = item;
    node->phase = NODE_QUEUED;
    enter_queue(sched, item);
    tl_fault_cannot_run(item);
}

void tl_engine_requeue(struct tl_sched *sched, struct sched_item *item) {
    item->node->phase = NODE_QUEUED;
    enter_queue(sched, item);
    tl_fault_cannot_run(item);
}

void tl_engine_hasten(struct node_state *node, const struct node_state *other) {
    const struct run *run = other->instance->run;
    struct tl_sched *sched = run->sched;
    struct sched_item *item = node->item;
    if (node->phase != NODE_QUEUED) return;
    struct tl_ready ready = item->ready;
    ready.run_arrival = run->arrival;
    ready.deadline = run->deadline;
    ready.priority = run->priority;
    ready.rank = other->plan->rank;
    ready.claim = run->claims[other->plan->engine];
    ready.depth = depth_of(other);
    sched->policy->order(&ready);
    if (!tl_ready_before(&ready, &item->ready)) return;
    struct lane *lane = tl_engine_lane(sched, item);
    tl_lane_remove(sched, lane, item);
    item->ready.key = ready.key;
    item->ready.tie = ready.tie;
    item->item.rank = -ready.key;
    tl_lane_push(sched, lane, item);
}

void tl_engine_drop_queued(struct run *run) {
    struct tl_sched *sched = run->sched;
    while (run->queued) {
        struct sched_item *item = run->queued;
        tl_lane_remove(sched, tl_engine_lane(sched, item), item);
        leave_queue(sched, item);
    }
}

/* ---- items with engines ---- */

/* While other runs are there, a long batch lets others in after each slice; all its slices together take at most 2 %
 * longer than the batch. */
static uint32_t slice_of(const struct tl_sched *sched, const struct sched_item *item) {
    const double longer = 0.02;
    double slices = 1 + longer * item->ready.share / (item->ready.base + 1e-6);
    if (!sched->policy->slices || sched->run_count < 2 || slices < 2) return 0;
    return (uint32_t)((double)item->ready.units / slices) + 1;
}

void tl_engine_hold(struct tl_sched *sched, uint32_t number, struct sched_item *item) {
    struct instance *instance = &sched->instances[number];
    struct run *run = item->node->instance->run;
    TL_ASSERT(run->phase == RUN_LIVE && item->node->phase == NODE_QUEUED);
    leave_queue(sched, item);
    item->node->phase = NODE_HELD;
    item->instance = number;
    item->item.slice = slice_of(sched, item);
    list_insert(&run->held, item);
    run->held_count++;
    item->previous_here = NULL;
    item->next_here = instance->held;
    if (instance->held) instance->held->previous_here = item;
    instance->held = item;
    instance->held_items++;
    instance->held_units += item->ready.units;
    tl_predict_started(sched, item, instance->batch_count == 0);
    sched->counters.items_held++;
    sched->counters.items_started++;
    instance->batch =
        tl_mem_grow(instance->batch, &instance->batch_capacity, instance->batch_count + 1, sizeof(struct tl_item *));
    instance->batch[instance->batch_count++] = &item->item;
}

void tl_engine_item_back(struct sched_item *item, const struct tl_usage *usage) {
    struct run *run = item->node->instance->run;
    struct tl_sched *sched = run->sched;
    struct instance *instance = &sched->instances[item->instance];
    list_remove(&run->held, item);
    run->held_count--;
    if (item->previous_here)
        item->previous_here->next_here = item->next_here;
    else
        instance->held = item->next_here;
    if (item->next_here) item->next_here->previous_here = item->previous_here;
    instance->held_items--;
    instance->held_units -= item->ready.units;
    sched->groups[instance->group].changes++;
    if (!item->abandoned) tl_predict_ended(sched, item, usage);
    if (instance->held_items == 0) instance->more = false; /* what it had left has been cancelled */
    sched->counters.items_held--;
    tl_watch_instance(sched, item->instance);
}

void tl_engine_step_done(struct tl_sched *sched, uint32_t number, bool more) {
    struct instance *instance = &sched->instances[number];
    TL_ASSERT(instance->busy);
    TL_ASSERT(!more || instance->held_items > 0);
    TL_ASSERT(instance->device == TL_SCHED_NO_DEVICE || sched->devices[instance->device].busy == number + 1);
    instance->busy = false;
    tl_watch_release_device(sched, instance->device);
    if (instance->hung) return; /* it is opened anew: what it would go on with is dropped */
    instance->more = more;
    sched->groups[instance->group].changes++;
    instance->quantum_ended = sched->now;
    double took = (double)(sched->now - instance->quantum_began) * 1e-6;
    instance->quantum += (took - instance->quantum) * (instance->quantum > 0 ? 0.2 : 1);
    tl_watch_instance(sched, number);
}

/* ---- whose turn it is ---- */

/* True when something came of it: a batch was taken, or the instance goes on with what it holds. */
static bool run_instance(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    size_t taken = tl_batch_form(sched, number);
    if (instance->waits_until > sched->last_wait) sched->last_wait = instance->waits_until;
    if (taken == 0 && !instance->more) return false;
    if (instance->description.executor != TL_EXECUTOR_LOOP) {
        instance->busy = true;
        instance->more = false; /* until the quantum says so again */
        instance->last_served = ++sched->next_quantum;
        instance->quantum_began = sched->now;
        if (instance->device != TL_SCHED_NO_DEVICE) sched->devices[instance->device].busy = number + 1;
        sched->counters.quanta++;
        tl_watch_instance(sched, number);
    }
    struct tl_action *action = tl_sched_act(sched, TL_ACTION_RUN);
    action->as.run.instance = number;
    action->as.run.items = instance->batch;
    action->as.run.count = instance->batch_count;
    return true;
}

/* Whether the instance has, or might take, anything to do. */
static bool wants(const struct tl_sched *sched, uint32_t number, struct sched_item **first) {
    if (sched->instances[number].lost) return false;
    bool open = tl_batch_is_open(sched, number, first);
    return open || sched->instances[number].more;
}

static bool add_turn(struct tl_sched *sched, uint32_t number, size_t count) {
    const struct instance *instance = &sched->instances[number];
    struct sched_item *first;
    if (!wants(sched, number, &first)) return false;
    bool waiting = first != NULL;
    for (struct sched_item *item = instance->held; instance->more && item; item = item->next_here)
        first = tl_lane_earlier(sched, first, item);
    uint64_t since = waiting && !instance->more ? first->ready.ready : instance->quantum_ended;
    sched->turns = tl_mem_grow(sched->turns, &sched->turn_capacity, count + 1, sizeof *sched->turns);
    sched->turns[count] = (struct tl_turn){
        .instance = number,
        .now = sched->now,
        .last_served = instance->last_served,
        .waits_since = since > instance->quantum_ended ? since : instance->quantum_ended,
        .key = first->ready.key,
        .tie = first->ready.tie,
        .oldest = first->ready.sequence,
        .quantum = instance->quantum,
        .holds = instance->more,
    };
    return true;
}

static void dispatch_device(struct tl_sched *sched, struct device *device) {
    if (device->busy) return;
    struct sched_item *first;
    uint32_t last = 0;
    size_t count = 0;
    for (size_t i = 0; i < device->instance_count; i++)
        if (wants(sched, device->instances[i], &first)) {
            last = device->instances[i];
            count++;
        }
    if (count == 1) run_instance(sched, last); /* nothing to choose: the usual case */
    if (count < 2) return;
    count = 0;
    for (size_t i = 0; i < device->instance_count; i++) count += add_turn(sched, device->instances[i], count);
    while (count > 0) {
        size_t chosen = count == 1 ? 0 : sched->policy->turn(sched->turns, count);
        TL_ASSERT(chosen < count);
        if (run_instance(sched, sched->turns[chosen].instance)) return;
        sched->turns[chosen] = sched->turns[--count]; /* the policy lets it wait */
    }
}

/* Items that wait for an instance go on while it can take them; an instance of its own thread (POOL) gets one
 * quantum at a time like a device of one. */
static void dispatch_alone(struct tl_sched *sched, uint32_t number) {
    struct sched_item *first;
    const struct instance *instance = &sched->instances[number];
    if (!instance->busy && wants(sched, number, &first)) run_instance(sched, number);
}

void tl_sched_dispatch(struct tl_sched *sched) {
    for (size_t i = 0; i < sched->device_count; i++) dispatch_device(sched, &sched->devices[i]);
    for (size_t i = 0; i < sched->alone_count; i++) dispatch_alone(sched, sched->alone[i]);
    sched->look_again = 0;
    for (size_t i = 0; i < sched->instance_count && sched->last_wait > sched->now; i++) {
        const struct instance *instance = &sched->instances[i];
        if (!instance->busy && instance->waits_until > sched->now &&
            (sched->look_again == 0 || instance->waits_until < sched->look_again))
            sched->look_again = instance->waits_until;
    }
}

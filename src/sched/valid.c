/* valid.c: the scheduler's invariants, checked over the whole state. For tests. */
#include <math.h>
#include <string.h>

#include "sched/sched_impl.h"

struct check {
    const struct tl_sched *sched;
    struct tl_str *why;
    size_t queued, held, awaiting, findings;
};

__attribute__((format(printf, 2, 3))) static void finding(struct check *check, const char *format, ...) {
    check->findings++;
    if (!check->why) return;
    va_list args;
    va_start(args, format);
    tl_str_vprintf(check->why, format, args);
    va_end(args);
    tl_str_putc(check->why, '\n');
}

static bool input_there(const struct node_state *node, uint32_t input) {
    struct tl_plan_source source = node->plan->inputs[input];
    if (source.slot == TL_PLAN_NO_SLOT) return true;
    if (tl_region_opens_without(node->plan, input) && !(node->region && node->region->ending)) return true;
    return tl_instance_slot(node->instance, source)->ready;
}

static uint32_t still_missing(const struct node_state *node) {
    uint32_t missing = 0;
    if (node->region && node->region->ending && node->region->begun == 0)
        for (uint32_t i = 0; i < node->plan->capture_count; i++)
            missing += !tl_instance_slot(node->instance, node->plan->captures[i])->ready;
    for (uint32_t i = 0; i < node->plan->input_count; i++) missing += !input_there(node, i);
    for (uint32_t i = 0; i < node->plan->wait_count; i++)
        missing += node->instance->nodes[node->plan->waits[i]].phase != NODE_COMPLETE;
    return missing;
}

/* What is not there is computed by the node's item, will be by its next, or is claimed and awaited. */
static void check_recall(struct check *check, const struct node_state *node) {
    const struct recall *recall = node->recall;
    bool out = node->phase == NODE_QUEUED || node->phase == NODE_HELD;
    uint32_t missing = 0, mine = 0;
    for (uint32_t i = 0; i < recall->count; i++) {
        missing += !recall->values[i];
        mine += tl_memo_produces(&recall->claims[i]);
        if (!recall->values[i] != (recall->claims[i].entry != NULL))
            finding(check, "element %u of %s is neither there nor claimed, or both", i, node->plan->label);
    }
    if (missing != recall->missing)
        finding(check, "%s counts %u missing elements but has %u", node->plan->label, recall->missing, missing);
    if (mine != recall->out_count + recall->todo_count || out != (recall->part != NULL) ||
        out != (recall->out_count > 0))
        finding(check, "%s is to compute %u elements, but its item %u and its next %u", node->plan->label, mine,
                recall->out_count, recall->todo_count);
    if (node->phase == NODE_AWAITING && (missing == 0 || mine > 0))
        finding(check, "%s awaits %u elements, of which it is to compute %u", node->plan->label, missing, mine);
}

static void check_node(struct check *check, const struct node_state *node) {
    uint32_t missing = still_missing(node);
    if (missing != node->missing)
        finding(check, "%s counts %u missing things but %u are missing", node->plan->label, node->missing, missing);
    if (node->phase == NODE_WAITING && missing == 0)
        finding(check, "%s waits for nothing but is not ready", node->plan->label);
    if (node->phase != NODE_WAITING && missing > 0)
        finding(check, "%s went on with %u things missing", node->plan->label, missing);
    if (node->phase == NODE_READY) finding(check, "%s was left on the task list", node->plan->label);
    if (node->phase == NODE_QUEUED || node->phase == NODE_HELD)
        for (size_t i = 0; i < node->item->item.input_count; i++)
            if (node->plan->inputs[i].slot != TL_PLAN_NO_SLOT && !node->item->item.inputs[i])
                finding(check, "%s lost input %zu while it waits or runs", node->plan->label, i);
    check->queued += node->phase == NODE_QUEUED;
    check->held += node->phase == NODE_HELD;
    check->awaiting += node->phase == NODE_AWAITING;
    if (node->recall && node->phase != NODE_COMPLETE) check_recall(check, node);
}

static void check_slots(struct check *check, const struct body_instance *instance) {
    for (uint32_t i = 0; i < instance->body->slot_count; i++) {
        const struct slot *slot = &instance->slots[i];
        uint32_t uses = 0;
        for (uint32_t n = 0; n < instance->body->node_count; n++) {
            const struct node_state *node = &instance->nodes[n];
            if (node->phase == NODE_COMPLETE) continue;
            for (uint32_t k = 0; k < node->plan->input_count; k++)
                uses += node->plan->inputs[k].up == 0 && node->plan->inputs[k].slot == i;
            for (uint32_t k = 0; k < node->plan->capture_count; k++)
                uses += node->plan->captures[k].up == 0 && node->plan->captures[k].slot == i;
        }
        for (uint32_t r = 0; !instance->complete && r < instance->body->result_count; r++)
            uses += instance->body->results[r].up == 0 && instance->body->results[r].slot == i;
        if (uses != slot->uses)
            finding(check, "slot \"%s\" of %s counts %u uses but has %u", instance->body->slots[i].name,
                    instance->owner ? instance->owner->plan->label : "the root", slot->uses, uses);
        if (slot->uses == 0 && slot->value)
            finding(check, "slot \"%s\" holds a value after its last use", instance->body->slots[i].name);
        if (slot->uses > 0 && slot->ready && !slot->value)
            finding(check, "slot \"%s\" lost its value before its last use", instance->body->slots[i].name);
    }
}

static void check_run(struct check *check, const struct run *run) {
    size_t queued = check->queued, held = check->held, awaiting = check->awaiting;
    uint32_t instances = 0;
    for (const struct body_instance *instance = run->instances; instance; instance = instance->next) {
        instances++;
        if (run->phase == RUN_LIVE) {
            check_slots(check, instance);
            for (uint32_t n = 0; n < instance->body->node_count; n++) check_node(check, &instance->nodes[n]);
        } else {
            for (uint32_t n = 0; n < instance->body->node_count; n++)
                check->held += instance->nodes[n].item && instance->nodes[n].phase == NODE_HELD;
        }
    }
    /* In an ended run nodes keep the phase they had; what engines gave back is known by the list alone. So is what was
     * given up: its node goes on with another item. */
    size_t listed = 0, abandoned = 0;
    for (const struct sched_item *item = run->held; item; item = item->next) {
        listed++;
        abandoned += item->abandoned;
        if (item->abandoned && !item->cancelling)
            finding(check, "item %s was given up but may be cancelled", item->item.label);
        if (run->phase == RUN_LIVE && item->abandoned != (item->node->item != item))
            finding(check, "item %s was given up and is still its node's, or neither", item->item.label);
        if (run->phase == RUN_ENDED && !item->cancelling)
            finding(check, "item %s of an ended run was not cancelled", item->item.label);
    }
    check->held += abandoned;
    if (run->phase == RUN_ENDED) check->held = held + listed;
    if (instances != run->instance_count)
        finding(check, "run %llu counts %u instances but has %u", (unsigned long long)run->id, run->instance_count,
                instances);
    if (check->queued - queued != run->queued_count)
        finding(check, "run %llu counts %zu queued items but has %zu", (unsigned long long)run->id, run->queued_count,
                check->queued - queued);
    if (listed != run->held_count || check->held - held != listed)
        finding(check, "run %llu counts %zu held items, lists %zu and has %zu", (unsigned long long)run->id,
                run->held_count, listed, check->held - held);
    if (run->phase == RUN_ENDED && run->held_count == 0)
        finding(check, "run %llu has ended and holds nothing but was not freed", (unsigned long long)run->id);
    if (run->phase == RUN_LIVE && run->held_count == abandoned && run->queued_count == 0 && check->awaiting == awaiting)
        finding(check, "run %llu is live but nothing of it is queued or running", (unsigned long long)run->id);
    if (run->phase == RUN_LIVE && run->deadline && run->deadline <= check->sched->now)
        finding(check, "run %llu is live after its deadline", (unsigned long long)run->id);
}

/* Each item in a queue, and that the queue is a heap. Returns how many. */
static size_t check_lane(struct check *check, const struct lane *lane, const char *name) {
    size_t count = 0, active = 0;
    for (size_t q = 0; q < lane->queue_count; q++) {
        const struct queue *queue = &lane->queues[q];
        count += queue->count;
        active += queue->count > 0;
        for (size_t i = 0; i < queue->count; i++) {
            const struct sched_item *item = queue->items[i];
            if (item->node->phase != NODE_QUEUED || item->node->instance->run->phase != RUN_LIVE)
                finding(check, "%s is in a queue but not queued", item->item.label);
            if (item->overtaken > MOST_OVERTAKEN)
                finding(check, "%s was overtaken %u times", item->item.label, item->overtaken);
            if (item->place != i) finding(check, "%s does not know its place in the queue", item->item.label);
            if (i > 0 && tl_lane_ahead(item, queue->items[(i - 1) / 2]))
                finding(check, "the queue of %s is out of order at %zu", name, i);
        }
    }
    if (count != lane->count || active != lane->active_count)
        finding(check, "%zu items of %zu tenants stand in the queue of %s, %zu of %zu are counted", count, active, name,
                lane->count, lane->active_count);
    return count;
}

static void check_idle(struct check *check, uint32_t number) {
    const struct tl_sched *sched = check->sched;
    const struct instance *instance = &sched->instances[number];
    const struct group *group = &sched->groups[instance->group];
    bool device_busy = instance->device != TL_SCHED_NO_DEVICE && sched->devices[instance->device].busy;
    if (instance->description.batch_units && instance->held_items > 1 &&
        instance->held_units > instance->description.batch_units)
        finding(check, "instance %u of %s holds %u units, but has room for %u", number, group->name,
                instance->held_units, instance->description.batch_units);
    bool lent = instance->hung || instance->stuck; /* it may have what it had */
    if (instance->lost && ((instance->busy && !instance->hung) || (instance->held_items > 0 && !lent) ||
                           instance->lane.count > 0))
        finding(check, "instance %u of %s is lost but has work", number, group->name);
    if (instance->busy || instance->lost || device_busy || instance->held_items > 0 || sched->undispatched) return;
    if (group->lane.count + instance->lane.count > 0 && instance->waits_until <= sched->now)
        finding(check, "instance %u of %s is idle while %zu items are ready", number, group->name,
                group->lane.count + instance->lane.count);
}

static void check_queues(struct check *check) {
    const struct tl_sched *sched = check->sched;
    size_t queued = 0, held = 0;
    for (size_t g = 0; g < sched->group_count; g++)
        queued += check_lane(check, &sched->groups[g].lane, sched->groups[g].name);
    for (uint32_t i = 0; i < sched->instance_count; i++) {
        const struct instance *instance = &sched->instances[i];
        queued += check_lane(check, &instance->lane, sched->groups[instance->group].name);
        check_idle(check, i);
        held += instance->held_items;
        if (instance->more && instance->held_items == 0) finding(check, "instance %u wants a quantum for nothing", i);
    }
    if (queued != sched->counters.items_queued || queued != check->queued)
        finding(check, "%zu items stand in queues, %zu are counted, %zu nodes are queued", queued,
                sched->counters.items_queued, check->queued);
    if (held != sched->counters.items_held || held != check->held)
        finding(check, "engines hold %zu items, %zu are counted, runs know of %zu", held, sched->counters.items_held,
                check->held);
}

/* What is expected of whom by when; nobody is late, nobody waits for one that is given up. */
static void check_watch(struct check *check) {
    const struct tl_sched *sched = check->sched;
    size_t watched = 0;
    for (uint32_t i = 0; i < sched->instance_count; i++) {
        const struct instance *instance = &sched->instances[i];
        bool stuck = instance->device != TL_SCHED_NO_DEVICE && sched->devices[instance->device].hung &&
                     sched->devices[instance->device].busy != i + 1;
        watched += instance->answer_by > 0;
        if (tl_watch_is_due(sched, instance) != (instance->answer_by > 0))
            finding(check, "instance %u has to answer and is not watched, or the reverse", i);
        if (instance->answer_by > 0 && instance->answer_by <= sched->now)
            finding(check, "instance %u should have answered and was not given up", i);
        if (instance->answer_by > 0 && (sched->watch_at == 0 || sched->watch_at > instance->answer_by))
            finding(check, "nobody looks whether instance %u has answered", i);
        if ((instance->hung || instance->stuck || stuck) && !instance->lost)
            finding(check, "instance %u does not answer but is not lost", i);
        if (instance->stuck && !stuck) finding(check, "instance %u is stuck although its device is not", i);
        for (const struct sched_item *item = instance->held; item; item = item->next_here)
            if (instance->lost && item->node->instance->run->phase == RUN_LIVE && !item->abandoned)
                finding(check, "%s waits for instance %u, which does not answer", item->item.label, i);
    }
    if (watched != sched->watched || (watched == 0) != (sched->watch_at == 0))
        finding(check, "%zu instances are watched, %zu are counted", watched, sched->watched);
}

static void check_devices(struct check *check) {
    const struct tl_sched *sched = check->sched;
    for (size_t d = 0; d < sched->device_count; d++) {
        size_t busy = 0;
        for (size_t i = 0; i < sched->devices[d].instance_count; i++)
            busy += sched->instances[sched->devices[d].instances[i]].busy;
        if (busy != (sched->devices[d].busy != 0))
            finding(check, "device %s runs %zu quanta at once", sched->devices[d].name, busy);
        if (sched->devices[d].hung && !(busy && sched->instances[sched->devices[d].busy - 1].hung))
            finding(check, "device %s is held up by nobody", sched->devices[d].name);
    }
}

static void check_claim(void *context, const struct tl_memo_claim *claim, bool produces) {
    struct check *check = context;
    const struct recall *recall = claim->owner;
    const struct node_state *node = recall->node;
    if (node->instance->run->phase != RUN_LIVE)
        finding(check, "%s of an ended run still %s a value", node->plan->label, produces ? "produces" : "awaits");
    else if (claim != &recall->claims[claim->position] || recall->values[claim->position])
        finding(check, "%s has a claim on what it has", node->plan->label);
    else if (produces && node->phase != NODE_QUEUED && node->phase != NODE_HELD)
        finding(check, "%s is to produce a value but has no item", node->plan->label);
}

/* What limits and shares go by. */
static void check_accounts(struct check *check) {
    const struct tl_sched *sched = check->sched;
    size_t live = 0, of_tenants = 0;
    double work = 0, tenant_work = 0;
    for (const struct run *run = sched->runs; run; run = run->next) {
        live += run->phase == RUN_LIVE;
        work += run->phase == RUN_LIVE ? run->work : 0;
    }
    for (size_t i = 0; i < sched->tenant_count; i++) {
        of_tenants += sched->tenants[i].runs;
        tenant_work += sched->tenants[i].work;
    }
    if (live != sched->live_runs || live != of_tenants)
        finding(check, "%zu runs are live, %zu are counted, %zu for tenants", live, sched->live_runs, of_tenants);
    if (fabs(work - sched->live_work) > 1e-3 || fabs(work - tenant_work) > 1e-3)
        finding(check, "live runs have %f ms of work, %f are counted, %f for tenants", work, sched->live_work,
                tenant_work);
}

bool tl_sched_is_valid(const struct tl_sched *sched, struct tl_str *why) {
    struct check check = {.sched = sched, .why = why};
    size_t runs = 0;
    for (const struct run *run = sched->runs; run; run = run->next) {
        runs++;
        check_run(&check, run);
    }
    if (runs != sched->run_count) finding(&check, "%zu runs are listed, %zu are counted", runs, sched->run_count);
    check_queues(&check);
    check_devices(&check);
    check_watch(&check);
    check_accounts(&check);
    if (sched->memo && !tl_memo_is_valid(sched->memo, why, check_claim, &check)) check.findings++;
    return check.findings == 0;
}

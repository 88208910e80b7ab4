/* fault.c: items that failed and may be tried again, and instances that are lost.
 *
 * A failed item is handed out again, to another instance where there is one, when its primitive is pure, the failure is the
 * engine's (not the input's) and nothing of its output has gone on: no list item, no text for the user. It keeps its place
 * in the order.
 *
 * What a lost instance held comes back at once, as if it had failed. What lives there (prefixes, temporary collections) is
 * gone: a prompt can be computed elsewhere, but what decodes from such a prefix or searches such a collection fails, and its
 * run with it. When no instance of an engine is left, runs that need it fail instead of waiting for one to come back. */
#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

static bool is_engines_fault(enum tl_status status) {
    return status == TL_ERR_ENGINE || status == TL_ERR_IO || status == TL_ERR_BUSY;
}

bool tl_fault_retry(struct sched_item *item, enum tl_status status) {
    struct run *run = item->node->instance->run;
    struct tl_sched *sched = run->sched;
    const struct tl_plan_node *plan = item->node->plan;
    if (item->tries >= sched->config.retries || item->shown || !(plan->flags & TL_PURE) || !is_engines_fault(status))
        return false;
    if (item->pinned && sched->instances[item->instance].lost) return false;
    item->tries++;
    item->avoid = item->instance;
    item->cancelling = false;
    sched->counters.items_retried++;
    tl_engine_requeue(sched, item);
    return true;
}

bool tl_fault_is_gone(const struct tl_sched *sched, const struct group *group) {
    for (size_t i = 0; i < group->instance_count; i++)
        if (!sched->instances[group->instances[i]].lost) return false;
    return true;
}

static void fail_item(struct sched_item *item, const char *why) {
    const struct run *run = item->node->instance->run;
    tl_run_fail(item->node->instance->run, TL_ERR_ENGINE, "%s (%s on \"%s\"): %s", item->item.label,
                tl_primitive_info(item->item.op)->name, run->sched->groups[item->group].name, why);
}

bool tl_fault_cannot_run(struct sched_item *item) {
    const struct tl_sched *sched = item->node->instance->run->sched;
    if (item->pinned && sched->instances[item->instance].lost)
        fail_item(item, "the instance that holds what it needs was lost");
    else if (tl_fault_is_gone(sched, &sched->groups[item->group]))
        fail_item(item, "all instances of the engine are lost");
    else
        return false;
    return true;
}

/* Ends the runs of all items that stand in the lane. */
static void fail_lane(struct lane *lane) {
    while (lane->count > 0) tl_fault_cannot_run(lane->queues[lane->active[0]].items[0]);
}

void tl_fault_lose(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    if (instance->lost) return;
    size_t count = 0;
    struct sched_item **held = tl_mem_alloc((instance->held_items + 1) * sizeof(struct sched_item *));
    instance->lost = true;
    while (instance->held) {
        held[count++] = instance->held;
        instance->held->cancelling = true; /* nobody is there to be told */
        tl_engine_item_back(instance->held, NULL);
    }
    if (instance->busy && instance->device != TL_SCHED_NO_DEVICE) sched->devices[instance->device].busy = 0;
    instance->busy = instance->more = false;
    instance->waits_until = 0;
    for (size_t i = count; i-- > 0;) { /* in the order in which it got them */
        struct run *run = held[i]->node->instance->run;
        if (run->phase != RUN_LIVE) {
            tl_run_may_be_over(run);
            continue;
        }
        sched->counters.items_failed++;
        if (!tl_fault_retry(held[i], TL_ERR_ENGINE)) fail_item(held[i], "the instance that executed it was lost");
    }
    tl_mem_free(held);
    fail_lane(&instance->lane);
    if (tl_fault_is_gone(sched, &sched->groups[instance->group])) fail_lane(&sched->groups[instance->group].lane);
}

void tl_fault_find(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    instance->lost = false;
    sched->groups[instance->group].changes++;
    instance->speed = 1;
    instance->quantum = 0;
}

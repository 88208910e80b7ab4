/* fault.c: items that failed and may be tried again, and instances that are lost.
 *
 * A failed item is handed out again, to another instance where there is one, when its primitive is pure, the failure is the
 * engine's (not the input's) and nothing of its output has gone on: no list item, no text for the user. It keeps its place
 * in the order.
 *
 * What a lost instance held comes back at once, as if it had failed. What lives there (prefixes, temporary collections) is
 * gone: a prompt can be computed elsewhere, but what decodes from such a prefix or searches such a collection fails, and its
 * run with it. When no instance of an engine is left, runs that need it fail instead of waiting for one to come back.
 *
 * An instance that does not answer is lost, too, but it may still read what it was given: watch.c. */
#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

static bool is_engines_fault(enum tl_status status) {
    return status == TL_ERR_ENGINE || status == TL_ERR_IO || status == TL_ERR_BUSY;
}

bool tl_fault_may_retry(const struct sched_item *item, enum tl_status status) {
    const struct tl_sched *sched = item->node->instance->run->sched;
    if (item->tries >= sched->config.retries || item->shown || !is_engines_fault(status)) return false;
    return (item->node->plan->flags & TL_PURE) && !(item->pinned && sched->instances[item->instance].lost);
}

bool tl_fault_retry(struct sched_item *item, enum tl_status status) {
    struct tl_sched *sched = item->node->instance->run->sched;
    if (!tl_fault_may_retry(item, status)) return false;
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

void tl_fault_fail(struct sched_item *item, const char *why, uint32_t number) {
    struct run *run = item->node->instance->run;
    struct tl_str more = TL_STR_INIT;
    tl_watch_explain(run->sched, number, &more);
    tl_run_fail(run, TL_ERR_ENGINE, "%s (%s on \"%s\"): %s%s", item->item.label,
                tl_primitive_info(item->item.op)->name, run->sched->groups[item->group].name, why, more.data);
    tl_str_fini(&more);
}

/* The instance of the group of which there is most to say: one that does not answer, if any. */
static uint32_t silent_instance(const struct tl_sched *sched, const struct group *group) {
    for (size_t i = 0; i < group->instance_count; i++) {
        const struct instance *instance = &sched->instances[group->instances[i]];
        if (instance->hung || instance->stuck) return group->instances[i];
    }
    return group->instances[0];
}

bool tl_fault_cannot_run(struct sched_item *item) {
    const struct tl_sched *sched = item->node->instance->run->sched;
    if (item->pinned && sched->instances[item->instance].lost)
        tl_fault_fail(item, "the instance that holds what it needs was lost", item->instance);
    else if (tl_fault_is_gone(sched, &sched->groups[item->group]))
        tl_fault_fail(item, "all instances of the engine are lost",
                      silent_instance(sched, &sched->groups[item->group]));
    else
        return false;
    return true;
}

/* Ends the runs of all items that stand in the lane. */
static void fail_lane(struct lane *lane) {
    while (lane->count > 0) tl_fault_cannot_run(lane->queues[lane->active[0]].items[0]);
}

void tl_fault_fail_queued(struct tl_sched *sched, uint32_t number) {
    struct group *group = &sched->groups[sched->instances[number].group];
    fail_lane(&sched->instances[number].lane);
    if (tl_fault_is_gone(sched, group)) fail_lane(&group->lane);
}

void tl_fault_lose(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    if (instance->lost && !instance->hung && !instance->stuck) return;
    size_t count = 0;
    struct sched_item **held = tl_mem_alloc((instance->held_items + 1) * sizeof(struct sched_item *));
    instance->lost = true;
    instance->hung = instance->stuck = false;
    while (instance->held) {
        held[count++] = instance->held;
        instance->held->cancelling = true; /* nobody is there to be told */
        tl_engine_item_back(instance->held, NULL);
    }
    if (instance->busy) tl_watch_release_device(sched, instance->device);
    instance->busy = instance->more = false;
    instance->waits_until = 0;
    tl_watch_instance(sched, number);
    for (size_t i = count; i-- > 0;) { /* in the order in which it got them */
        struct run *run = held[i]->node->instance->run;
        if (held[i]->abandoned) {
            tl_watch_forget(held[i]);
            continue;
        }
        if (run->phase != RUN_LIVE) {
            tl_run_may_be_over(run);
            continue;
        }
        sched->counters.items_failed++;
        if (!tl_fault_retry(held[i], TL_ERR_ENGINE))
            tl_fault_fail(held[i], "the instance that executed it was lost", number);
    }
    tl_mem_free(held);
    tl_fault_fail_queued(sched, number);
}

void tl_fault_find(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    if (!instance->lost || instance->busy || instance->held_items > 0) return;
    instance->hung = false;
    instance->stuck = instance->device != TL_SCHED_NO_DEVICE && sched->devices[instance->device].hung;
    instance->lost = instance->stuck;
    sched->groups[instance->group].changes++;
    instance->speed = 1;
    instance->quantum = 0;
}

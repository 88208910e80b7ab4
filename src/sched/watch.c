/* watch.c: instances that do not answer.
 *
 * A call that does not return cannot be taken back from its thread. What can be done is not to wait for it any more. An
 * instance that was given a quantum has answered when the quantum is over; one that holds items and asks for no further
 * quantum has answered when the last of them is back. It is given up, it has *hung*, when it has not answered for
 *
 *     hang_after + 20 x the longest of: what the calls that it holds should take, what its quanta take lately,
 *                                       an iteration of the decodes that it holds
 *
 * Being wrong costs more than being late: what was computed is thrown away, and a model is loaded again. So the bound is far
 * from what is usual: predictions are sometimes off by ten before anything was measured, machines swap, and hang_after
 * alone is longer than any quantum should be (a chunk of a prompt, a batch of texts). Work that is slow because there is
 * much of it is predicted to be, and has 20 times that. And when nobody looked in time, because the whole program stood
 * still, the instance has the same time once more. Instances that only wait on the event loop (LOOP) have no quanta and hold
 * no thread; their calls have time limits of their own.
 *
 * An instance that has hung is lost as far as work goes (fault.c): what can be tried again elsewhere is, the rest fails. But
 * what it was lent stays. The engine may still read its items and their inputs until it reports their outcomes, and that may
 * be never, so nothing of that is freed before: an item that is given up (`abandoned`) keeps its place in the lists of what
 * its instance and its run hold, like an item of a run that ended, and has references of its own to its inputs; the node
 * goes on with a copy. The outcome that comes in the end is dropped. A hung instance is told of no cancels, since it is
 * opened anew before it could hear them.
 *
 * The device of a call that does not return stays busy, since it has one thread. Its other instances are *stuck*: nothing is
 * wrong with them, and they go on when the call returns, but until then they are as good as lost. What they hold is given up,
 * too, and cancelled. */
#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

static const double patience = 20, longest_ms = 1e9, ms_to_ns = 1e6;

static double ms_between(uint64_t from, uint64_t to) { return to > from ? (double)(to - from) / ms_to_ns : 0; }

/* ns that the instance may be silent from now on. */
static uint64_t patience_for(const struct tl_sched *sched, const struct instance *instance) {
    double expected = instance->calls_held ? ms_between(sched->now, instance->done_at) : 0;
    if (instance->quantum > expected) expected = instance->quantum;
    if (instance->rows > expected) expected = instance->rows;
    double ms = sched->config.hang_after_ms + patience * expected;
    return (uint64_t)((ms < longest_ms ? ms : longest_ms) * ms_to_ns);
}

bool tl_watch_is_due(const struct tl_sched *sched, const struct instance *instance) {
    if (sched->config.hang_after_ms <= 0 || instance->lost || instance->description.executor == TL_EXECUTOR_LOOP)
        return false;
    return instance->busy || (instance->held_items > 0 && !instance->more);
}

void tl_watch_instance(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    bool due = tl_watch_is_due(sched, instance), was = instance->answer_by > 0;
    sched->watched += due;
    sched->watched -= was;
    if (due) instance->silent_since = sched->now;
    instance->answer_by = due ? sched->now + patience_for(sched, instance) : 0;
    if (sched->watched == 0)
        sched->watch_at = 0;
    else if (due && (sched->watch_at == 0 || instance->answer_by < sched->watch_at))
        sched->watch_at = instance->answer_by;
}

/* ---- giving up ---- */

/* From now on the item is the engine's alone. */
static void abandon(struct tl_sched *sched, struct sched_item *item) {
    tl_predict_ended(sched, item, NULL);
    for (size_t i = 0; i < item->item.input_count; i++)
        if (item->item.inputs[i]) tl_value_ref(item->item.inputs[i]);
    item->abandoned = true;
}

void tl_watch_forget(struct sched_item *item) {
    for (size_t i = 0; i < item->item.input_count; i++) tl_value_unref(item->item.inputs[i]);
    tl_run_may_be_over(item->node->instance->run);
}

/* What the node goes on with. */
static struct sched_item *copy_of(struct tl_sched *sched, struct sched_item *item) {
    struct sched_item *copy = tl_arena_alloc(&item->node->instance->run->arena, sizeof *copy);
    *copy = *item;
    copy->item.id = ++sched->next_item;
    copy->item.engine_data = NULL;
    copy->ready.item = &copy->item;
    copy->abandoned = copy->cancelling = false;
    copy->node->item = copy;
    return copy;
}

/* What the instance holds is tried again elsewhere, or its run fails. `told`: the engine is told that it is not wanted any
 * more. */
static void give_up(struct tl_sched *sched, uint32_t number, bool told) {
    const struct instance *instance = &sched->instances[number];
    size_t count = 0;
    struct sched_item **held = tl_mem_alloc((instance->held_items + 1) * sizeof(struct sched_item *));
    for (struct sched_item *item = instance->held; item; item = item->next_here) {
        if (item->node->instance->run->phase == RUN_LIVE && !item->abandoned) held[count++] = item;
        if (!told) item->cancelling = true;
    }
    for (size_t i = count; i-- > 0;) { /* in the order in which it got them */
        struct sched_item *item = held[i];
        if (item->node->instance->run->phase != RUN_LIVE) continue; /* it ended by an item before */
        abandon(sched, item);
        sched->counters.items_failed++;
        if (!tl_fault_may_retry(item, TL_ERR_ENGINE)) {
            tl_fault_fail(item, "the instance that executed it was lost", number);
            continue;
        }
        if (!item->cancelling) {
            item->cancelling = true;
            struct tl_action *cancel = tl_sched_act(sched, TL_ACTION_CANCEL_ITEM);
            cancel->as.cancel.instance = number;
            cancel->as.cancel.item = &item->item;
        }
        tl_fault_retry(copy_of(sched, item), TL_ERR_ENGINE);
    }
    tl_mem_free(held);
}

static void hang(struct tl_sched *sched, uint32_t number) {
    struct instance *instance = &sched->instances[number];
    struct device *device = instance->device == TL_SCHED_NO_DEVICE ? NULL : &sched->devices[instance->device];
    struct tl_action *hung = tl_sched_act(sched, TL_ACTION_INSTANCE_HUNG);
    hung->as.hung.instance = number;
    hung->as.hung.silent = sched->now - instance->silent_since;
    instance->lost = instance->hung = true;
    instance->more = false;
    instance->waits_until = 0;
    tl_watch_instance(sched, number);
    sched->counters.instances_hung++;
    if (device && instance->busy) device->hung = true;
    for (size_t i = 0; device && device->hung && i < device->instance_count; i++) {
        struct instance *other = &sched->instances[device->instances[i]];
        if (other->lost) continue;
        other->lost = other->stuck = true;
        other->waits_until = 0;
        tl_watch_instance(sched, device->instances[i]);
    }
    give_up(sched, number, false);
    tl_fault_fail_queued(sched, number);
    for (size_t i = 0; device && device->hung && i < device->instance_count; i++)
        if (sched->instances[device->instances[i]].stuck) {
            give_up(sched, device->instances[i], true);
            tl_fault_fail_queued(sched, device->instances[i]);
        }
}

void tl_watch_look(struct tl_sched *sched) {
    if (sched->watch_at == 0 || sched->now < sched->watch_at) return;
    for (uint32_t i = 0; i < sched->instance_count; i++) {
        struct instance *instance = &sched->instances[i];
        if (instance->answer_by == 0 || instance->answer_by > sched->now) continue;
        uint64_t given = instance->answer_by - instance->silent_since, late = sched->now - instance->answer_by;
        if (late > given / 2)
            instance->answer_by = sched->now + given;
        else
            hang(sched, i);
    }
    sched->watch_at = 0;
    for (size_t i = 0; i < sched->instance_count; i++) {
        uint64_t by = sched->instances[i].answer_by;
        if (by && (sched->watch_at == 0 || by < sched->watch_at)) sched->watch_at = by;
    }
}

/* ---- answers that come after all ---- */

void tl_watch_release_device(struct tl_sched *sched, uint32_t number) {
    if (number == TL_SCHED_NO_DEVICE) return;
    struct device *device = &sched->devices[number];
    device->busy = 0;
    if (!device->hung) return;
    device->hung = false;
    for (size_t i = 0; i < device->instance_count; i++) {
        struct instance *instance = &sched->instances[device->instances[i]];
        if (!instance->stuck) continue;
        instance->stuck = instance->lost = false;
        instance->quantum_ended = sched->now;
        sched->groups[instance->group].changes++;
        tl_watch_instance(sched, device->instances[i]);
    }
}

/* ---- words ---- */

/* As the configuration calls it: "llm", or "llm#2" of several. */
static void put_name(const struct tl_sched *sched, uint32_t number, struct tl_str *out) {
    const struct group *group = &sched->groups[sched->instances[number].group];
    size_t position = 0;
    while (group->instances[position] != number) position++;
    tl_str_puts(out, group->name);
    if (group->instance_count > 1) tl_str_printf(out, "#%zu", position + 1);
}

static void put_silence(const struct tl_sched *sched, uint32_t number, struct tl_str *out) {
    put_name(sched, number, out);
    tl_str_printf(out, " has not answered for %.1f s",
                  (double)(sched->now - sched->instances[number].silent_since) / 1e9);
}

void tl_watch_explain(const struct tl_sched *sched, uint32_t number, struct tl_str *out) {
    const struct instance *instance = &sched->instances[number];
    if (instance->hung) {
        tl_str_puts(out, ": ");
        put_silence(sched, number, out);
    } else if (instance->stuck) {
        const struct device *device = &sched->devices[instance->device];
        tl_str_puts(out, ": ");
        put_name(sched, number, out);
        tl_str_printf(out, " waits for the device \"%s\", where ", device->name);
        put_silence(sched, device->busy - 1, out);
    }
}

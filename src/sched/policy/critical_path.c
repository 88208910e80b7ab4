/* critical_path.c: the default: queries in order of arrival, those that ask for little a little sooner; in each what its end
 * hangs on first.
 *
 * Order. A run's place in a queue is its arrival and what it is predicted to ask, in all, of this engine and of those that
 * share a device with it: what others would wait for. So a query that asks for little overtakes one that came just before
 * and asks for much, and none that has waited as long as it asks for more: that is the ageing. Work on other devices does
 * not count: where two need this engine for equally long, one would lose by being overtaken what the other gains. A
 * deadline moves an item forward to the last moment at which it may start (least slack), never back. A priority of 1 is
 * worth a second. Within a run the item with the longest way to the end goes first. Tenants take turns by the service that
 * they had; the order above is that within a tenant.
 *
 * Batches. The first item goes at once. Another one joins when that delays what is in the batch already by no more than
 * it saves: its own call's fixed part, for itself and for each that waits behind it. So a short question slips into a
 * batch of passages, which it hardly delays; passages do not join a question, which they would delay for long, unless so
 * much waits that the fixed parts add up. Items of one step of the first one's run, as near to the end as it is, join in
 * any case: the run needs all of them. Where that costs hardly anything, long batches are cut into slices while other runs
 * are there, so that what comes meanwhile waits for a slice.
 *
 * Turns. The device goes to the instance with the first item in order; one that has waited for ten times its usual
 * quantum, and for a tenth of a second, goes before.
 */
#include "base/clock.h"
#include "sched/policy.h"

static double ms_of(uint64_t ns) { return (double)ns / (double)TL_NS_PER_MS; }

static void critical_path_order(struct tl_ready *ready) {
    double place = ms_of(ready->run_arrival) + ready->claim;
    if (ready->deadline) {
        double latest = ms_of(ready->deadline) - ready->rank;
        if (latest < place) place = latest;
    }
    ready->key = place - 1000 * ready->priority;
    ready->tie = -ready->rank;
}

static bool is_decode(const struct tl_ready *ready) {
    return ready->item->op == TL_OP_DECODE || ready->item->op == TL_OP_PARTIAL_DECODE;
}

/* The same run needs both, and neither more than the other. */
static bool are_siblings(const struct tl_ready *a, const struct tl_ready *b) {
    return a->run == b->run && a->item->op == b->item->op && a->step == b->step && a->rank >= b->rank;
}

static void critical_path_take(const struct tl_offer *offer, struct tl_choice *choice) {
    const struct tl_ready *lead = offer->first_held;
    size_t members = offer->calls_held, waiting = offer->count + offer->behind;
    uint32_t left = offer->free_units;
    for (size_t i = 0; i < offer->count; i++) {
        const struct tl_ready *ready = offer->items[i];
        enum tl_reason reason = TL_REASON_NONE;
        bool fits = ready->units <= left;
        if (offer->held == 0 && i == 0)
            reason = TL_REASON_FIRST; /* whatever its size */
        else if (fits && (is_decode(ready) || !lead))
            reason = TL_REASON_FITS;
        else if (fits && tl_ready_before(ready, lead))
            reason = TL_REASON_FIRST;
        else if (fits && are_siblings(ready, lead))
            reason = TL_REASON_SIBLING;
        else if (fits && (double)ready->share * (double)members <= (double)ready->base * (double)waiting)
            reason = TL_REASON_SAVES;
        choice->reasons[i] = reason;
        if (reason == TL_REASON_NONE) continue;
        if (left != UINT32_MAX) left -= fits ? ready->units : left;
        waiting--;
        if (is_decode(ready)) continue;
        if (!lead || tl_ready_before(ready, lead)) lead = ready;
        if (reason != TL_REASON_SIBLING) members++;
    }
}

static bool is_starving(const struct tl_turn *turn) {
    double waited = ms_of(turn->now - turn->waits_since);
    return waited > 100 && waited > 10 * turn->quantum;
}

static size_t critical_path_turn(const struct tl_turn *turns, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++) {
        const struct tl_turn *turn = &turns[i], *other = &turns[best];
        bool starving = is_starving(turn), first;
        if (starving != is_starving(other))
            first = starving;
        else if (starving)
            first = turn->waits_since < other->waits_since;
        else if (turn->key != other->key)
            first = turn->key < other->key;
        else if (turn->tie != other->tie)
            first = turn->tie < other->tie;
        else
            first = turn->last_served < other->last_served;
        if (first) best = i;
    }
    return best;
}

const struct tl_policy tl_policy_critical_path = {
    .name = "critical_path",
    .description = "queries as they come, small ones sooner, in each what its end hangs on first; tenants share fairly",
    .fair = true,
    .slices = true,
    .look_behind = 8,
    .order = critical_path_order,
    .take = critical_path_take,
    .turn = critical_path_turn,
};

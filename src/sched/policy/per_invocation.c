/* per_invocation.c: one call of a workflow step at a time on an engine instance, as frameworks do that hand an engine one
 * request and wait for it (the paper's baseline PO).
 *
 * A request is all that one step of one run has ready: its items go together, nothing of another step or run joins them,
 * and the next request begins when the instance is empty. What a language model has prefilled is decoded before another
 * prompt begins. Requests go in the order in which they became ready.
 *
 * Fairness: as fifo; but short requests wait for all of a long one. For comparison, not for use.
 */
#include "sched/policy.h"

static bool is_decode(const struct tl_ready *ready) {
    return ready->item->op == TL_OP_DECODE || ready->item->op == TL_OP_PARTIAL_DECODE;
}

static void per_invocation_order(struct tl_ready *ready) {
    ready->key = is_decode(ready) ? 0 : 1;
    ready->tie = 0;
}

static void per_invocation_take(const struct tl_offer *offer, struct tl_choice *choice) {
    if (offer->held > 0) return;
    uint32_t left = offer->free_units;
    const struct tl_ready *first = offer->items[0];
    for (size_t i = 0; i < offer->count; i++) {
        const struct tl_ready *ready = offer->items[i];
        bool same = ready->run == first->run && ready->step == first->step && ready->item->op == first->item->op;
        if (!same || (i > 0 && ready->units > left)) continue;
        choice->reasons[i] = i == 0 ? TL_REASON_FIRST : TL_REASON_SIBLING;
        if (left != UINT32_MAX) left -= ready->units < left ? ready->units : left;
    }
}

const struct tl_policy tl_policy_per_invocation = {
    .name = "per_invocation",
    .description = "one request of one step at a time on an engine, as frameworks do (for comparison)",
    .order = per_invocation_order,
    .take = per_invocation_take,
    .turn = tl_policy_turn_in_turn,
};

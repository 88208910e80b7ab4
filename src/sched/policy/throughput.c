/* throughput.c: batches as large as pay, whatever is in them (the paper's baseline TO).
 *
 * Items leave a queue in the order in which they became ready, up to the largest efficient batch: the power of two
 * beyond which twice as many would hardly be faster for each. A batch that is not full waits for more, but no longer
 * than the fixed part of a call takes: a fuller batch could not save more than that. What decodes takes in everything at
 * once, because it batches by iteration.
 *
 * Fairness: as fifo, and that wait. Deadlines and what follows are not looked at.
 */
#include "base/clock.h"
#include "sched/policy.h"

static void throughput_order(struct tl_ready *ready) { ready->key = ready->tie = 0; }

static void throughput_take(const struct tl_offer *offer, struct tl_choice *choice) {
    if (offer->continuous || offer->efficient_units == 0) {
        tl_policy_take_in_order(offer, choice);
        return;
    }
    uint32_t most = offer->efficient_units < offer->free_units ? offer->efficient_units : offer->free_units;
    uint64_t units = 0;
    for (size_t i = 0; i < offer->count; i++) units += offer->items[i]->units;
    uint64_t until = offer->items[0]->ready + (uint64_t)((double)offer->items[0]->base * (double)TL_NS_PER_MS);
    if (units < most && offer->now < until) {
        choice->wait_until = until;
        return;
    }
    enum tl_reason reason = units < most ? TL_REASON_WAITED : TL_REASON_FULL;
    uint64_t taken = 0;
    for (size_t i = 0; i < offer->count && taken + offer->items[i]->units <= offer->free_units; i++) {
        if (i > 0 && taken + offer->items[i]->units > most) break;
        taken += offer->items[i]->units;
        choice->reasons[i] = reason;
    }
}

const struct tl_policy tl_policy_throughput = {
    .name = "throughput",
    .description = "batches as large as pay, with a short wait to fill them (for comparison)",
    .order = throughput_order,
    .take = throughput_take,
    .turn = tl_policy_turn_in_turn,
};

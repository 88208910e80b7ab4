/* fifo.c: first come, first served.
 *
 * Items leave a queue in the order in which they became ready, as many as fit. On a shared device the
 * instance that was served longest ago goes next, so that engines take turns quantum by quantum: a long
 * decode delays an embedding by one iteration, not by the whole answer.
 *
 * Fairness: an item waits for those that became ready before it, never for later ones; an instance waits
 * for at most one quantum of each other instance of its device. Neither deadlines nor the length of what
 * follows are looked at: other policies do.
 */
#include "sched/policy.h"

static bool fifo_before(const struct tl_ready *a, const struct tl_ready *b) { return a->sequence < b->sequence; }

static size_t fifo_take(const struct tl_ready *const *offered, size_t count, uint32_t free_units) {
    if (free_units == 0) return count;
    uint32_t left = free_units;
    size_t taken = 0;
    while (taken < count && offered[taken]->units <= left) {
        left -= offered[taken]->units;
        taken++;
    }
    return taken;
}

static size_t fifo_turn(const struct tl_turn *turns, size_t count) {
    size_t best = 0;
    for (size_t i = 1; i < count; i++)
        if (turns[i].last_served < turns[best].last_served ||
            (turns[i].last_served == turns[best].last_served && turns[i].oldest < turns[best].oldest))
            best = i;
    return best;
}

const struct tl_policy tl_policy_fifo = {
    .name = "fifo",
    .description = "first come, first served; engines of one device take turns",
    .before = fifo_before,
    .take = fifo_take,
    .turn = fifo_turn,
};

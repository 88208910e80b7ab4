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

static void fifo_order(struct tl_ready *ready) { ready->key = ready->tie = 0; }

const struct tl_policy tl_policy_fifo = {
    .name = "fifo",
    .description = "first come, first served; engines of one device take turns",
    .order = fifo_order,
    .take = tl_policy_take_in_order,
    .turn = tl_policy_turn_in_turn,
};

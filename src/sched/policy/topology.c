/* topology.c: the paper's Algorithm 2: the earliest query first, in it the deepest primitive first.
 *
 * Each query is a bucket; buckets go by arrival, items of a bucket by depth: the number of primitives on the longest way
 * from the item to the query's end. Items that stand side by side have the same depth, so they share batches. Items are
 * taken in that order until the instance is full.
 *
 * Fairness: an early query never waits for a later one, except for batches under way; a short query waits for all that
 * came before it.
 */
#include "sched/policy.h"

static void topology_order(struct tl_ready *ready) {
    ready->key = (double)ready->run_arrival;
    ready->tie = -(double)ready->depth;
}

const struct tl_policy tl_policy_topology = {
    .name = "topology",
    .description = "the earliest query first, in it the deepest primitive first (the paper's)",
    .depths = true,
    .order = topology_order,
    .take = tl_policy_take_in_order,
    .turn = tl_policy_turn_in_turn,
};

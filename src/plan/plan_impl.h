/* plan_impl.h: what the files that freeze a graph share; for this folder only.
 *
 *     estimate.c   how much each node has to do, and the ms that takes
 *     rank.c       upward ranks, and the critical path
 *     prefix.c     what all prompts of the workflow begin with
 *     freeze.c     writes the plan */
#ifndef TL_PLAN_PLAN_IMPL_H
#define TL_PLAN_PLAN_IMPL_H

#include "cost/cost.h"
#include "plan/plan.h"

/* What is predicted of a node; in an array by the nodes' numbers. */
struct tl_prediction {
    double cost;     /* ms; of regions: of opening it, the rest is its body's */
    uint32_t rounds; /* of regions whose instances follow one another: how many; else 1 */
    double times;    /* how often it is executed in a run, in all instances of its body */
    double rank;
};

/* Fills `cost`, `rounds` and `times`. */
void tl_plan_estimate(const struct tl_graph *graph, const struct tl_cost *cost, struct tl_prediction *predictions);

struct tl_critical_node {
    const struct tl_node *node;
    uint32_t times;
};

struct tl_critical_link {
    const struct tl_node *from, *to; /* NULL: the start, the end */
};

struct tl_critical_path {
    struct tl_critical_node *nodes; /* in the order in which they begin; owned */
    size_t count, capacity;
    struct tl_critical_link *links; /* who comes right after whom, each pair once; owned */
    size_t link_count, link_capacity;
    const struct tl_node *last; /* on the way so far */
};

void tl_critical_path_fini(struct tl_critical_path *path);

/* Fills `rank` from the others and appends the longest way to `path`. */
void tl_plan_rank(const struct tl_graph *graph, struct tl_prediction *predictions, struct tl_critical_path *path);

/* Fills plan->prefixes; plan->engines must be there. */
void tl_plan_find_prefixes(struct tl_plan *plan);

#endif

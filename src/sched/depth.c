/* depth.c: how many nodes stand on the longest way from a node to the end of its run. */
#include "base/error.h"
#include "sched/sched_impl.h"

static void at_least(uint32_t *depth, uint32_t other) {
    if (*depth < other) *depth = other;
}

static bool takes(const struct tl_plan_node *node, uint32_t slot) {
    for (uint32_t i = 0; i < node->input_count; i++)
        if (node->inputs[i].up == 0 && node->inputs[i].slot == slot) return true;
    for (uint32_t i = 0; i < node->capture_count; i++)
        if (node->captures[i].up == 0 && node->captures[i].slot == slot) return true;
    return false;
}

static bool follows(const struct tl_plan_node *node, const struct tl_plan_node *later, uint32_t later_number) {
    for (uint32_t i = 0; i < node->waiter_count; i++)
        if (node->waiters[i] == later_number) return true;
    for (uint32_t i = 0; i < node->output_count; i++)
        if (takes(later, node->first_output + i)) return true;
    return false;
}

/* `after`: nodes on the longest way from the end of the body. Nodes come after all that they need. Returns the longest
 * way through the body and on. */
static uint32_t measure(const struct tl_plan_body *body, uint32_t after, uint32_t **depths) {
    uint32_t *depth = depths[body->number], longest = after;
    for (uint32_t n = body->node_count; n-- > 0;) {
        const struct tl_plan_node *node = &body->nodes[n];
        uint32_t rest = after;
        for (uint32_t later = n + 1; later < body->node_count; later++)
            if (follows(node, &body->nodes[later], later)) at_least(&rest, depth[later]);
        depth[n] = rest + 1;
        for (size_t b = 0; b < 2 && node->bodies[b]; b++)
            at_least(&depth[n], measure(node->bodies[b], rest, depths) + 1);
        at_least(&longest, depth[n]);
    }
    return longest;
}

void tl_depths_measure(struct run *run) {
    const struct tl_plan *plan = run->plan;
    run->depths = tl_arena_alloc(&run->arena, plan->body_count * sizeof(uint32_t *));
    for (uint32_t b = 0; b < plan->body_count; b++)
        run->depths[b] = tl_arena_alloc(&run->arena, plan->bodies[b]->node_count * sizeof(uint32_t));
    measure(plan->root, 0, run->depths);
}

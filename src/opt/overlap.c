/* overlap.c: a primitive and its only consumer on the same engine go through it as one.
 *
 *   before   prefill ──► (back to the queue, behind whatever is first by then) ──► decode
 *   after    prefill ══► decode                the decode takes over the place that the prefill gives up
 *
 * What the first one makes (the KV of a prompt) lives in the instance that made it and takes room there until the second
 * has used it. So the second gains nothing by waiting: when all places of the instance are taken, every other item that
 * got in between would lengthen the query by its whole stay, and find less room besides. The consumer is marked
 * (`continues`), and the scheduler gives it the place in the same dispatch in which its producer comes back: a query holds
 * its place from the first prompt token to the last word, as if both had been one request.
 *
 * Applies where the producer's only use is the consumer, both are served by the same capability of the same engine, the
 * consumer needs nothing else (no other input, no wait) and neither changes anything outside. Does not apply to a second
 * consumer's sake: with two decodes of one prompt the prefix stays anyway, and neither has a claim to the one place. Nor
 * to values that other instances can have as well, such as texts, vectors, or the prefix of a prompt that goes on.
 */
#include <string.h>

#include "opt/pass.h"

static bool lives_in_instance(struct tl_type type) { return type.base == TL_TYPE_KV && type.depth == 0; }

struct use {
    const struct tl_node *consumer;
    bool only;
};

static void look_at_use(void *context, struct tl_node *user, size_t input, struct tl_body *result_of, size_t result) {
    (void)input, (void)result_of, (void)result;
    struct use *use = context;
    use->only = use->only && user == use->consumer;
}

static bool can_continue(const struct tl_node *node) {
    if (node->engine == NULL || node->input_count != 1 || node->wait_count > 0) return false;
    struct tl_ref from = node->inputs[0].from;
    struct tl_node *producer = from.node;
    const struct tl_primitive_info *mine = tl_graph_info(node), *its = tl_graph_info(producer);
    if (producer->body != node->body || producer->engine == NULL || !lives_in_instance(tl_graph_type(from)) ||
        mine->capability != its->capability || strcmp(node->engine, producer->engine) != 0 ||
        (mine->flags & TL_EFFECTFUL) || (its->flags & TL_EFFECTFUL))
        return false;
    struct use use = {.consumer = node, .only = true};
    tl_graph_each_use(producer, look_at_use, &use);
    return use.only;
}

static bool visit(struct tl_body *body, const struct tl_pass_ctx *ctx) {
    bool changed = false;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        for (size_t r = 0; r < 2 && node->regions[r]; r++) changed = visit(node->regions[r], ctx) || changed;
        bool marked = tl_attributes_bool(&node->attributes, "continues", false), can = can_continue(node);
        if (can == marked) continue;
        tl_attributes_set_bool(&node->attributes, &body->graph->arena, "continues", can);
        if (can) tl_opt_note(ctx, "%s: goes on where %s ends", node->label, node->inputs[0].from.node->label);
        changed = true;
    }
    return changed;
}

bool tl_pass_overlap(struct tl_graph *graph, const struct tl_pass_ctx *ctx) { return visit(graph->root, ctx); }

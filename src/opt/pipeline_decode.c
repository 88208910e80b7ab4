/* pipeline_decode.c: the items of a list go on while the model still writes the next ones.
 *
 *   before   decode ──► embed all ──► search all ──► score all ──► top
 *   after    decode ──► map over items as they come { embed ──► search ──► score } ──► top
 *
 * A decode whose output is a list (splittable: each item has a meaning of its own) feeds a streamed map with all the
 * work on single items that follows (lanes.h says what can be taken in). A lane starts when the item's last token is
 * there. How many items the model writes does not matter: fewer, more or none give as many lanes. The join after the
 * map sees the lanes' results in the order of the items, whichever lane was first, so the result is the same.
 *
 * A map over the list that is there already takes its items as they come, unless it changes something outside: were the
 * list to break off, it might have done so for a run that fails.
 *
 * Any other consumer of the list keeps its edge and gets the whole list.
 *
 * Texts that a map writes, each by a decode of its own, are such a list too. What follows goes on in the map's instances:
 *
 *   before   map { decode } ──► distinct ──► embed all ──► search all ──► top
 *   after    map { decode ──► embed ──► search } ──► distinct ──► top
 */
#include "opt/pass.h"

#include "base/mem.h"
#include "opt/lanes.h"

static bool writes_list(const struct tl_node *node) {
    return (node->op == TL_OP_DECODE || node->op == TL_OP_PARTIAL_DECODE) && node->output_count > 0 &&
           node->outputs[0].type.depth > 0;
}

static bool writes_texts(const struct tl_node *node) {
    for (size_t i = 0; node->op == TL_OP_MAP && i < node->regions[0]->node_count; i++)
        if (node->regions[0]->nodes[i]->op == TL_OP_DECODE) return true;
    return false;
}

static bool is_effectful(const struct tl_body *body) {
    bool effectful = false;
    for (size_t i = 0; i < body->node_count; i++) {
        effectful = effectful || (tl_graph_info(body->nodes[i])->flags & TL_EFFECTFUL);
        for (size_t r = 0; r < 2 && body->nodes[i]->regions[r]; r++)
            effectful = effectful || is_effectful(body->nodes[i]->regions[r]);
    }
    return effectful;
}

static bool may_stream(const struct tl_node *node) {
    return node->op == TL_OP_MAP && !tl_attributes_find(&node->attributes, "slice") &&
           !tl_attributes_bool(&node->attributes, "streamed", false) && !is_effectful(node->regions[0]);
}

/* Maps over the list take its items as they come from now on. */
static bool stream_maps(const struct tl_node *writer, const struct tl_pass_ctx *ctx) {
    struct tl_body *body = writer->body;
    bool changed = false;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        if (!may_stream(node) || node->inputs[0].from.node != writer || node->inputs[0].from.port != 0) continue;
        tl_attributes_set_bool(&node->attributes, &body->graph->arena, "streamed", true);
        tl_opt_note(ctx, "%s: begins with each item of %s as soon as it is written", node->label, writer->label);
        changed = true;
    }
    return changed;
}

/* Whether what follows was taken in; *taken is how much. */
static bool pass_on(struct tl_node *node, size_t *taken) {
    struct tl_lanes_options options = {.name = "items", .streamed = true};
    if (writes_list(node)) return tl_opt_lanes(tl_graph_output(node, 0), &options, taken) != NULL;
    return writes_texts(node) && tl_opt_lanes_into(node, taken);
}

/* What in the body may be passed on from; doing it neither removes one nor adds one. */
static size_t find_writers(const struct tl_body *body, struct tl_node ***writers) {
    size_t count = 0;
    *writers = tl_mem_alloc((body->node_count + 1) * sizeof **writers);
    for (size_t i = 0; i < body->node_count; i++)
        if (writes_list(body->nodes[i]) || writes_texts(body->nodes[i])) (*writers)[count++] = body->nodes[i];
    return count;
}

static bool visit(struct tl_body *body, const struct tl_pass_ctx *ctx) {
    bool changed = false;
    for (size_t i = 0; i < body->node_count; i++)
        for (size_t r = 0; r < 2 && body->nodes[i]->regions[r]; r++)
            changed = visit(body->nodes[i]->regions[r], ctx) || changed;
    struct tl_node **writers;
    size_t count = find_writers(body, &writers);
    for (size_t i = 0, unchanged = 0; unchanged < count; i = (i + 1) % count) {
        size_t taken = 0;
        if (pass_on(writers[i], &taken)) {
            tl_opt_note(ctx, "%s: %zu primitives go on with each item as soon as it is written", writers[i]->label,
                        taken);
            changed = true;
            unchanged = 0;
        } else {
            unchanged++;
        }
    }
    for (size_t i = 0; i < count; i++)
        if (writes_list(writers[i])) changed = stream_maps(writers[i], ctx) || changed;
    tl_mem_free(writers);
    return changed;
}

bool tl_pass_pipeline_decode(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    return visit(graph->root, ctx);
}

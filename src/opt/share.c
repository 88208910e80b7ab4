/* share.c: equal pure primitives are done once within a graph.
 *
 *   before   embed(question) ──► search        after   embed(question) ─┬─► search
 *            embed(question) ──► score                                  └─► score
 *
 * Two primitives are equal when operation, engine, attributes and inputs are. The later one is dropped for the
 * earlier one, which stands in the same body or in one around it (before the region that the later one is in): then
 * it is complete, or on its way, whenever the later one could begin. What reads a collection is only shared within its
 * body: before a region begins the collection may have changed. Only PURE primitives that wait for nothing
 * but their inputs are looked at: a control edge is the user's word. For the same reason one that others wait for is only
 * shared within its body, where they wait for the earlier one instead: a region does not wait for what its body uses.
 *
 * What is equal between queries is shared at run time: see sched/memo.h.
 */
#include "opt/change.h"
#include "opt/pass.h"

#include <string.h>

#include "base/mem.h"

struct sharer {
    const struct tl_pass_ctx *ctx;
    struct tl_node **seen; /* in scope: of this body so far, and of those around it */
    size_t count, capacity;
    bool changed;
};

static bool equal(const struct tl_node *a, const struct tl_node *b) {
    if (a->op != b->op || a->input_count != b->input_count || a->output_count != b->output_count) return false;
    if ((a->engine != NULL) != (b->engine != NULL) || (a->engine && strcmp(a->engine, b->engine) != 0)) return false;
    for (size_t i = 0; i < a->input_count; i++)
        if (a->inputs[i].from.node != b->inputs[i].from.node || a->inputs[i].from.port != b->inputs[i].from.port ||
            strcmp(a->inputs[i].name, b->inputs[i].name) != 0)
            return false;
    return tl_attributes_equal(&a->attributes, &b->attributes);
}

/* What a collection holds may change before a region begins, so a search inside is not the one outside. */
static bool reads_collection(const struct tl_node *node) {
    for (size_t i = 0; i < node->input_count; i++)
        if (tl_graph_type(node->inputs[i].from).base == TL_TYPE_INDEX) return true;
    return false;
}

static bool may_share(const struct tl_node *node) {
    return (tl_graph_info(node)->flags & TL_PURE) && !node->regions[0] && node->wait_count == 0;
}

static bool is_waited_for(const struct tl_node *node) {
    for (size_t i = 0; i < node->body->node_count; i++)
        for (size_t k = 0; k < node->body->nodes[i]->wait_count; k++)
            if (node->body->nodes[i]->waits[k].node == node) return true;
    return false;
}

/* Whether `node` may be left to an equal one of a body around it. */
static bool may_leave_body(const struct tl_node *node) { return !reads_collection(node) && !is_waited_for(node); }

static void share_body(struct sharer *sharer, struct tl_body *body) {
    size_t scope = sharer->count;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        for (size_t r = 0; r < 2 && node->regions[r]; r++) share_body(sharer, node->regions[r]);
        if (!may_share(node)) continue;
        struct tl_node *same = NULL;
        for (size_t k = 0; k < sharer->count && !same; k++)
            if (equal(sharer->seen[k], node) && (sharer->seen[k]->body == body || may_leave_body(node)))
                same = sharer->seen[k];
        if (!same) {
            sharer->seen = tl_mem_grow(sharer->seen, &sharer->capacity, sharer->count + 1, sizeof *sharer->seen);
            sharer->seen[sharer->count++] = node;
            continue;
        }
        tl_opt_note(sharer->ctx, "%s: the same as %s, done once", node->label, same->label);
        for (uint32_t port = 0; port < node->output_count; port++)
            tl_graph_replace_uses(tl_graph_output(node, port), tl_graph_output(same, port));
        if (same->body == body) tl_opt_replace_waits(node, same);
        tl_graph_remove(node);
        i--;
        sharer->changed = true;
    }
    sharer->count = scope;
}

bool tl_pass_share(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    struct sharer sharer = {.ctx = ctx};
    share_body(&sharer, graph->root);
    tl_mem_free(sharer.seen);
    return sharer.changed;
}

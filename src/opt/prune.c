/* prune.c: drops edges that only repeat the order in which the steps were written.
 *
 *     index/ingest ~~> expand/prefill            index/ingest     expand/prefill
 *          |                |            =>           |                |
 *          v                v                         v                v
 *     search/search <-- expand/decode            search/search <-- expand/decode
 *
 * Steps stand one after the other in a file because a file has an order, not because each needs the
 * one before. What a primitive needs it says by data edges, what the user insists on by `after:`
 * (control edges); both stay. All order edges could go, were it not for primitives that change what
 * others see: two tool calls must not change places, nor a search and an ingest into the same
 * collection. So for each pair of which one changes something that the other meets, the order
 * stays: if nothing else keeps it, the pair gets an order edge of its own, though the way from one
 * to the other may have led through primitives that now run whenever they like.
 *
 * Who meets whom (deliberately cautious; a region counts as all that is in it):
 *   - two that both change something outside the values of the run. An ingest into a new
 *     collection of the run does not: nobody else knows the collection
 *   - one that changes a collection and one that uses the same. Collections are told apart by the
 *     value that they come from, through any number of ingests `into`
 */
#include <string.h>

#include "base/mem.h"
#include "opt/pass.h"

/* What a node changes and uses, its regions included. */
struct touch {
    struct tl_node *node;
    size_t position;
    bool changes_world;        /* something outside the run */
    struct tl_ref *changed;    /* collections */
    size_t changed_count, changed_capacity;
    struct tl_ref *used;       /* collections; the changed ones too */
    size_t used_count, used_capacity;
};

static void add_ref(struct tl_ref **refs, size_t *count, size_t *capacity, struct tl_ref ref) {
    for (size_t i = 0; i < *count; i++)
        if ((*refs)[i].node == ref.node && (*refs)[i].port == ref.port)
            return;
    *refs = tl_mem_grow(*refs, capacity, *count + 1, sizeof **refs);
    (*refs)[(*count)++] = ref;
}

/* Where a collection comes from: an ingest gives back the one that it put its rows into. */
static struct tl_ref origin(struct tl_ref ref) {
    while (ref.node->op == TL_OP_INGEST) {
        const struct tl_input *last = &ref.node->inputs[ref.node->input_count - 1];
        if (strcmp(last->name, "into") != 0)
            break;
        ref = last->from;
    }
    return ref;
}

/* A new collection of the run, which nobody outside knows. */
static bool is_new(struct tl_ref ref) {
    return ref.node->op == TL_OP_COLLECTION ||
           (ref.node->op == TL_OP_INGEST && tl_attributes_find(&ref.node->attributes, "collection") == NULL);
}

/* The root's parameters and collections with a name may be one and the same under two names; one that
 * comes out of a region, or into its body, may be any. */
static bool may_be_same(struct tl_ref a, struct tl_ref b) {
    if (a.node == b.node && a.port == b.port)
        return true;
    bool a_inside = a.node->body->owner != NULL, b_inside = b.node->body->owner != NULL;
    bool a_new = is_new(a) && !a_inside, b_new = is_new(b) && !b_inside;
    bool a_given = a.node->op == TL_OP_PARAMETERS && !a_inside, b_given = b.node->op == TL_OP_PARAMETERS && !b_inside;
    return !(a_new && b_new) && !(a_new && b_given) && !(a_given && b_new);
}

static void look_at(struct tl_node *node, struct touch *touch) {
    bool effectful = (tl_graph_info(node)->flags & TL_EFFECTFUL) != 0;
    bool local = is_new(tl_graph_output(node, 0));
    if (node->op == TL_OP_INGEST && !local) {
        add_ref(&touch->used, &touch->used_count, &touch->used_capacity, tl_graph_output(node, 0));
        add_ref(&touch->changed, &touch->changed_count, &touch->changed_capacity, tl_graph_output(node, 0));
    }
    for (size_t i = 0; i < node->input_count; i++) {
        struct tl_ref from = node->inputs[i].from;
        if (tl_graph_type(from).base != TL_TYPE_INDEX)
            continue;
        from = origin(from);
        add_ref(&touch->used, &touch->used_count, &touch->used_capacity, from);
        if (!effectful)
            continue;
        add_ref(&touch->changed, &touch->changed_count, &touch->changed_capacity, from);
        local = local && is_new(from);
    }
    touch->changes_world |= effectful && !local;
    for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
        for (size_t i = 0; i < node->regions[r]->node_count; i++)
            look_at(node->regions[r]->nodes[i], touch);
}

static bool changes_what_is_used(const struct touch *by, const struct touch *other) {
    for (size_t i = 0; i < by->changed_count; i++)
        for (size_t k = 0; k < other->used_count; k++)
            if (may_be_same(by->changed[i], other->used[k]))
                return true;
    return false;
}

static const char *why_ordered(const struct touch *a, const struct touch *b) {
    if (a->changes_world && b->changes_world)
        return "both change things outside the run";
    if (changes_what_is_used(a, b) || changes_what_is_used(b, a))
        return "one changes a collection that the other uses";
    return NULL;
}

/* ---- one body ---- */

struct edge {
    struct tl_node *from, *to;
    const char *why; /* it stays, or is needed */
};

struct pruner {
    const struct tl_pass_ctx *ctx;
    struct tl_body *body;
    size_t *positions; /* by node number */
    struct touch *touches;
    size_t touch_count, touch_capacity;
    struct edge *needed;
    size_t needed_count, needed_capacity;
    bool *reached; /* by position: before the node at hand */
};

static bool is_streamed(const struct tl_node *node) {
    return node->op == TL_OP_MAP && tl_attributes_bool(&node->attributes, "streamed", false);
}

static bool is_carried(struct tl_ref ref) {
    return ref.node->op == TL_OP_PARAMETERS && strcmp(ref.node->outputs[ref.port].name, "carried") == 0;
}

static bool touches_anything(struct tl_node *node) {
    struct touch touch = {.node = node};
    look_at(node, &touch);
    bool any = touch.changes_world || touch.used_count > 0;
    tl_mem_free(touch.changed);
    tl_mem_free(touch.used);
    return any;
}

/* Whether all that the instances of a fold touch comes after `carried`, and thus after `initial`. */
static bool touches_after_initial(const struct tl_node *fold) {
    const struct tl_body *body = fold->regions[0];
    bool *after = tl_mem_zalloc(body->graph->next_number * sizeof *after), all = fold->op == TL_OP_FOLD;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->input_count; k++) {
            struct tl_ref from = node->inputs[k].from;
            bool carried = from.node == body->parameters ? is_carried(from) : after[from.node->number];
            after[node->number] |= carried && !tl_graph_is_late_input(node, k);
        }
        for (size_t k = 0; k < node->wait_count; k++)
            after[node->number] |= after[node->waits[k].node->number];
        all = all && (after[node->number] || !touches_anything(node));
    }
    struct tl_ref result = body->results[0].from; /* what the next instance is given */
    all = all && (result.node == body->parameters ? is_carried(result) : after[result.node->number]);
    tl_mem_free(after);
    return all;
}

/* Which of the things that a node waits for. A streamed map starts as soon as its sources do, a fold or reduce before
 * `initial` is there; what only the inside of a region uses does not keep the region from starting. */
enum before {
    BEFORE_END,   /* all */
    BEFORE_START, /* what it cannot start without; and `initial` */
    BEFORE_TOUCH, /* what it cannot touch anything without */
};

static void mark_before(struct pruner *pruner, const struct tl_node *node, enum before what) {
    for (size_t i = 0; i < node->input_count; i++) {
        struct tl_node *used = node->inputs[i].from.node;
        if (used->body != node->body || used->op == TL_OP_PARAMETERS)
            continue;
        if (what == BEFORE_TOUCH && tl_graph_is_late_input(node, i) && !touches_after_initial(node))
            continue;
        if (what != BEFORE_END && is_streamed(node))
            mark_before(pruner, used, what);
        else
            pruner->reached[pruner->positions[used->number]] = true;
    }
    for (size_t i = 0; i < node->wait_count; i++)
        pruner->reached[pruner->positions[node->waits[i].node->number]] = true;
}

/* Marks all that must be complete before what is marked in front of `end`. */
static void reach_on(struct pruner *pruner, size_t end) {
    for (size_t i = end; i-- > 0;)
        if (pruner->reached[i])
            mark_before(pruner, pruner->body->nodes[i], BEFORE_END);
}

/* Marks all that must be complete before `node` can do what is asked. */
static void reach_back(struct pruner *pruner, const struct tl_node *node, enum before what) {
    memset(pruner->reached, 0, pruner->body->node_count * sizeof *pruner->reached);
    mark_before(pruner, node, what);
    reach_on(pruner, pruner->positions[node->number]);
}

static void find_touches(struct pruner *pruner) {
    for (size_t i = 0; i < pruner->body->node_count; i++) {
        struct touch touch = {.node = pruner->body->nodes[i], .position = i};
        look_at(touch.node, &touch);
        if (!touch.changes_world && touch.used_count == 0)
            continue;
        pruner->touches = tl_mem_grow(pruner->touches, &pruner->touch_capacity, pruner->touch_count + 1,
                                      sizeof *pruner->touches);
        pruner->touches[pruner->touch_count++] = touch;
    }
}

/* The pairs whose order must stay, nearest first for each later node. */
static void find_needed(struct pruner *pruner) {
    for (size_t later = 0; later < pruner->touch_count; later++) {
        const struct touch *to = &pruner->touches[later];
        reach_back(pruner, to->node, BEFORE_START);
        for (size_t earlier = later; earlier-- > 0;) {
            const struct touch *from = &pruner->touches[earlier];
            const char *why = pruner->reached[from->position] ? why_ordered(from, to) : NULL;
            if (why == NULL)
                continue;
            pruner->needed = tl_mem_grow(pruner->needed, &pruner->needed_capacity, pruner->needed_count + 1,
                                         sizeof *pruner->needed);
            pruner->needed[pruner->needed_count++] = (struct edge){from->node, to->node, why};
        }
    }
}

static bool has_order_edge(const struct edge *edges, size_t count, const struct edge *wanted) {
    for (size_t i = 0; i < count; i++)
        if (edges[i].from == wanted->from && edges[i].to == wanted->to)
            return true;
    return false;
}

/* Takes all order edges out; returns them. */
static size_t take_order_edges(struct tl_body *body, struct edge **edges) {
    size_t count = 0, capacity = 0;
    *edges = NULL;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        for (size_t k = node->wait_count; k-- > 0;) {
            struct tl_node *on = node->waits[k].node;
            if (!tl_graph_unwait(node, on, TL_EDGE_ORDER))
                continue;
            *edges = tl_mem_grow(*edges, &capacity, count + 1, sizeof **edges);
            (*edges)[count++] = (struct edge){.from = on, .to = node};
        }
    }
    return count;
}

static bool put_back_needed(struct pruner *pruner, struct edge *former, size_t former_count) {
    bool changed = false;
    for (size_t i = 0; i < pruner->needed_count; i++) {
        const struct edge *edge = &pruner->needed[i];
        size_t from = pruner->positions[edge->from->number];
        if (i == 0 || pruner->needed[i - 1].to != edge->to) /* those to one node stand together */
            reach_back(pruner, edge->to, BEFORE_TOUCH);
        if (pruner->reached[from])
            continue;
        bool kept = has_order_edge(former, former_count, edge);
        tl_graph_wait(edge->to, edge->from, TL_EDGE_ORDER);
        pruner->reached[from] = true;
        reach_on(pruner, from + 1);
        tl_opt_note(pruner->ctx, "%s order edge %s -> %s: %s", kept ? "kept" : "made", edge->from->label,
                    edge->to->label, edge->why);
        changed |= !kept;
    }
    return changed;
}

static void note_control_edges(const struct pruner *pruner) {
    for (size_t i = 0; i < pruner->body->node_count; i++) {
        const struct tl_node *node = pruner->body->nodes[i];
        for (size_t k = 0; k < node->wait_count; k++)
            if (node->waits[k].kind == TL_EDGE_CONTROL)
                tl_opt_note(pruner->ctx, "kept control edge %s -> %s: the workflow says after",
                            node->waits[k].node->label, node->label);
    }
}

static bool prune_order(struct pruner *pruner) {
    struct tl_body *body = pruner->body;
    for (size_t i = 0; i < body->node_count; i++)
        pruner->positions[body->nodes[i]->number] = i;
    find_touches(pruner);
    find_needed(pruner);
    struct edge *former;
    size_t former_count = take_order_edges(body, &former);
    bool changed = put_back_needed(pruner, former, former_count);
    for (size_t i = 0; i < former_count; i++) {
        bool still = false;
        for (size_t k = 0; k < former[i].to->wait_count; k++)
            still |= former[i].to->waits[k].node == former[i].from;
        if (!still)
            tl_opt_note(pruner->ctx, "dropped order edge %s -> %s", former[i].from->label, former[i].to->label);
        changed |= !still;
    }
    if (changed)
        note_control_edges(pruner);
    tl_mem_free(former);
    return changed;
}

static bool prune_body(struct tl_body *body, const struct tl_pass_ctx *ctx) {
    bool changed = false, any = false;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->wait_count; k++)
            any |= node->waits[k].kind == TL_EDGE_ORDER;
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            changed |= prune_body(node->regions[r], ctx);
    }
    if (!any)
        return changed;
    struct pruner pruner = {.ctx = ctx, .body = body};
    pruner.positions = tl_mem_zalloc(body->graph->next_number * sizeof *pruner.positions);
    pruner.reached = tl_mem_zalloc(body->node_count * sizeof *pruner.reached);
    changed |= prune_order(&pruner);
    for (size_t i = 0; i < pruner.touch_count; i++) {
        tl_mem_free(pruner.touches[i].changed);
        tl_mem_free(pruner.touches[i].used);
    }
    tl_mem_free(pruner.touches);
    tl_mem_free(pruner.needed);
    tl_mem_free(pruner.positions);
    tl_mem_free(pruner.reached);
    return changed;
}

bool tl_pass_prune(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    return prune_body(graph->root, ctx);
}

#include "equivalence/mutate.h"

#include <string.h>

#include "base/mem.h"
#include "graph/random_test_support.h"

struct places {
    struct tl_node **nodes;
    size_t count, capacity;
};

static void collect(struct tl_body *body, bool (*fits)(const struct tl_node *node), struct places *places) {
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        if (fits(node)) {
            places->nodes = tl_mem_grow(places->nodes, &places->capacity, places->count + 1, sizeof *places->nodes);
            places->nodes[places->count++] = node;
        }
        for (size_t r = 0; r < 2 && node->regions[r]; r++) collect(node->regions[r], fits, places);
    }
}

static bool same_type(struct tl_ref a, struct tl_ref b) { return tl_type_equal(tl_graph_type(a), tl_graph_type(b)); }

static struct tl_input *input(const struct tl_node *node, const char *name) {
    for (size_t i = 0; i < node->input_count; i++)
        if (strcmp(node->inputs[i].name, name) == 0) return &node->inputs[i];
    return NULL;
}

/* ---- a wait is lost ---- */

static bool orders_effect(const struct tl_node *node) {
    if (node->op != TL_OP_INGEST && node->op != TL_OP_SEARCH && node->op != TL_OP_MATCH) return false;
    for (size_t i = 0; i < node->wait_count; i++) {
        enum tl_primitive op = node->waits[i].node->op;
        if (op == TL_OP_INGEST || (node->op == TL_OP_INGEST && (op == TL_OP_SEARCH || op == TL_OP_MATCH))) return true;
    }
    return false;
}

static bool drop_waits(struct tl_node *node, struct tl_random *random) {
    (void)random;
    while (node->wait_count > 0) tl_graph_unwait(node, node->waits[0].node, node->waits[0].kind);
    return true;
}

/* ---- a search goes to the collection as it was before its last ingest ---- */

/* The collection that this one is with more rows in it; NULL: none. */
static struct tl_input *collection_before(const struct tl_node *filled) {
    return filled->op == TL_OP_INGEST ? input(filled, "into")
           : filled->op == TL_OP_FOLD ? input(filled, "initial")
                                      : NULL;
}

static bool searches_filled(const struct tl_node *node) {
    const struct tl_input *index = input(node, "index");
    return (node->op == TL_OP_SEARCH || node->op == TL_OP_MATCH) && index && collection_before(index->from.node);
}

static bool search_early(struct tl_node *node, struct tl_random *random) {
    (void)random;
    struct tl_input *index = input(node, "index");
    index->from = collection_before(index->from.node)->from;
    return drop_waits(node, random);
}

/* ---- two inputs change places, a join takes its lanes in another order ---- */

static bool joins(const struct tl_node *node) {
    if (node->op != TL_OP_AGGREGATE || node->input_count < 2) return false;
    const char *mode = tl_attributes_string(&node->attributes, "mode", "");
    return strcmp(mode, "top") != 0 && same_type(node->inputs[0].from, node->inputs[node->input_count - 1].from) &&
           node->inputs[0].from.node != node->inputs[node->input_count - 1].from.node;
}

static bool renders_two(const struct tl_node *node) {
    for (size_t i = 1; node->op == TL_OP_RENDER && i < node->input_count; i++)
        if (same_type(node->inputs[0].from, node->inputs[i].from) &&
            node->inputs[0].from.node != node->inputs[i].from.node)
            return true;
    return false;
}

static bool swap_inputs(struct tl_node *node, struct tl_random *random) {
    (void)random;
    for (size_t i = node->input_count; i-- > 1;) {
        struct tl_ref first = node->inputs[0].from;
        if (!same_type(first, node->inputs[i].from) || first.node == node->inputs[i].from.node) continue;
        node->inputs[0].from = node->inputs[i].from;
        node->inputs[i].from = first;
        return true;
    }
    return false;
}

/* ---- a lane works on something else than its own item ---- */

static struct tl_ref parameter_like(const struct tl_body *root, struct tl_ref ref) {
    for (uint32_t i = 0; i < root->parameters->output_count; i++)
        if (same_type(tl_graph_output(root->parameters, i), ref)) return tl_graph_output(root->parameters, i);
    return (struct tl_ref){0};
}

static bool has_lanes(const struct tl_node *node) {
    if (node->op != TL_OP_MAP || tl_attributes_find(&node->attributes, "slice")) return false;
    struct tl_ref item = tl_graph_output(node->regions[0]->parameters, 0);
    return tl_graph_use_count(item) > 0 && parameter_like(node->body->graph->root, item).node;
}

static bool take_the_same_in_each_lane(struct tl_node *node, struct tl_random *random) {
    (void)random;
    struct tl_ref item = tl_graph_output(node->regions[0]->parameters, 0);
    tl_graph_replace_uses(item, parameter_like(node->body->graph->root, item));
    return true;
}

/* ---- unequal primitives are taken for equal ---- */

static bool has_unequal(const struct tl_node *node) {
    const struct tl_body *body = node->body;
    if (!(tl_graph_info(node)->flags & TL_PURE) || node->regions[0] || node->op == TL_OP_CONSTANT) return false;
    for (size_t i = 0; i < body->node_count && body->nodes[i] != node; i++) {
        const struct tl_node *other = body->nodes[i];
        if (other->op == node->op && other->output_count == 1 && node->output_count == 1 &&
            tl_type_equal(other->outputs[0].type, node->outputs[0].type) && other->input_count == node->input_count &&
            (!tl_attributes_equal(&other->attributes, &node->attributes) ||
             (node->input_count > 0 && other->inputs[0].from.node != node->inputs[0].from.node)))
            return true;
    }
    return false;
}

static bool share_unequal(struct tl_node *node, struct tl_random *random) {
    (void)random;
    struct tl_body *body = node->body;
    for (size_t i = 0; i < body->node_count && body->nodes[i] != node; i++) {
        struct tl_node *other = body->nodes[i];
        if (other->op != node->op || other->output_count != 1 || other->input_count != node->input_count ||
            !tl_type_equal(other->outputs[0].type, node->outputs[0].type))
            continue;
        if (tl_attributes_equal(&other->attributes, &node->attributes) &&
            (node->input_count == 0 || other->inputs[0].from.node == node->inputs[0].from.node))
            continue;
        tl_graph_replace_uses(tl_graph_output(node, 0), tl_graph_output(other, 0));
        return true;
    }
    return false;
}

/* ---- a prompt is cut at the wrong place ---- */

static bool is_cut(const struct tl_node *node) {
    return node->op == TL_OP_RENDER && tl_attributes_integer(&node->attributes, "parts", 0) > 0 &&
           node->input_count > 0;
}

static bool cut_too_far(struct tl_node *node, struct tl_random *random) {
    (void)random;
    int64_t parts = tl_attributes_integer(&node->attributes, "parts", 0);
    tl_attributes_set_integer(&node->attributes, &node->body->graph->arena, "parts", parts + 2);
    return true;
}

static bool prefill_other_prompt(struct tl_node *node, struct tl_random *random) {
    (void)random;
    for (size_t i = 0; i < node->input_count; i++) {
        struct tl_ref other = parameter_like(node->body->graph->root, node->inputs[i].from);
        if (!other.node || (other.node == node->inputs[i].from.node && other.port == node->inputs[i].from.port))
            continue;
        node->inputs[i].from = other;
        return true;
    }
    return false;
}

/* ---- a fold begins with the wrong value ---- */

static bool has_initial(const struct tl_node *node) {
    const struct tl_input *initial = node->op == TL_OP_FOLD ? input(node, "initial") : NULL;
    return initial && tl_graph_type(initial->from).base == TL_TYPE_TEXT;
}

static bool begin_with_other(struct tl_node *node, struct tl_random *random) {
    (void)random;
    struct tl_input *initial = input(node, "initial");
    struct tl_ref other = parameter_like(node->body->graph->root, initial->from);
    bool same = other.node == initial->from.node && other.port == initial->from.port;
    initial->from = other;
    return !same;
}

/* ---- a decode goes on from another prompt ---- */

static struct tl_ref other_prefix(const struct tl_node *node) {
    const struct tl_body *body = node->body;
    for (size_t i = 0; i < body->node_count && body->nodes[i] != node; i++)
        if (body->nodes[i] != node->inputs[0].from.node &&
            (body->nodes[i]->op == TL_OP_PREFILL || body->nodes[i]->op == TL_OP_FULL_PREFILL))
            return tl_graph_output(body->nodes[i], 0);
    return (struct tl_ref){0};
}

static bool continues_one_of_two(const struct tl_node *node) {
    return tl_attributes_bool(&node->attributes, "continues", false) && other_prefix(node).node;
}

static bool continue_other(struct tl_node *node, struct tl_random *random) {
    (void)random;
    node->inputs[0].from = other_prefix(node);
    return true;
}

/* ---- what went through the lanes is not chosen from ---- */

static bool chooses_after(const struct tl_node *node) {
    return node->op == TL_OP_AGGREGATE && node->input_count == 2 &&
           strcmp(tl_attributes_string(&node->attributes, "mode", ""), "distinct") == 0;
}

static bool keep_all(struct tl_node *node, struct tl_random *random) {
    (void)random;
    tl_graph_replace_uses(tl_graph_output(node, 0), node->inputs[1].from);
    return true;
}

/* ---- all ---- */

static const struct {
    const char *name, *description;
    bool (*fits)(const struct tl_node *node);
    bool (*apply)(struct tl_node *node, struct tl_random *random);
} table[MUTATIONS] = {
    {"drop_wait", "an edge between an ingest and a search is dropped", orders_effect, drop_waits},
    {"search_early", "a search does not wait for the last ingest", searches_filled, search_early},
    {"join_order", "a join takes its inputs in another order", joins, swap_inputs},
    {"swap_parts", "two inputs of a prompt change places", renders_two, swap_inputs},
    {"same_item", "each lane works on the same value", has_lanes, take_the_same_in_each_lane},
    {"share_unequal", "unequal primitives are taken for equal", has_unequal, share_unequal},
    {"cut_too_far", "a prompt is cut after what is known", is_cut, cut_too_far},
    {"initial", "a fold begins with another value", has_initial, begin_with_other},
    {"continue_other", "a decode goes on from another prompt", continues_one_of_two, continue_other},
    {"other_prefix", "a prefix of another prompt is prefilled", is_cut, prefill_other_prompt},
    {"keep_all", "what repeats or is empty stays in a list", chooses_after, keep_all},
};

const char *mutation_name(size_t mutation) { return table[mutation].name; }

const char *mutation_description(size_t mutation) { return table[mutation].description; }

bool mutate(struct tl_graph *graph, size_t mutation, uint64_t seed) {
    struct tl_random random = {seed};
    struct places places = {0};
    collect(graph->root, table[mutation].fits, &places);
    bool done = places.count > 0 &&
                table[mutation].apply(places.nodes[tl_random_below(&random, (uint32_t)places.count)], &random);
    tl_mem_free(places.nodes);
    return done;
}

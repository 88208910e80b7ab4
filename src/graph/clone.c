/* clone.c: a deep copy, made so that a pass can fail without harm. Node numbers are kept. */
#include "base/mem.h"
#include "graph/graph_impl.h"

struct cloner {
    struct tl_graph *graph;
    struct tl_node **copies; /* by number; parameters nodes included */
};

static struct tl_ref copy_ref(const struct cloner *cloner, struct tl_ref ref) {
    if (ref.node != NULL)
        ref.node = cloner->copies[ref.node->number];
    return ref;
}

static struct tl_body *copy_nodes(struct cloner *cloner, const struct tl_body *body, struct tl_node *owner);

static struct tl_node *copy_node(struct cloner *cloner, const struct tl_node *node, struct tl_body *body) {
    struct tl_arena *arena = &cloner->graph->arena;
    struct tl_node *copy = tl_arena_alloc(arena, sizeof *copy);
    *copy = (struct tl_node){.number = node->number, .op = node->op, .body = body};
    copy->step = tl_arena_strdup(arena, node->step);
    copy->label = tl_arena_strdup(arena, node->label);
    copy->engine = tl_arena_strdup(arena, node->engine);
    tl_attributes_copy(&copy->attributes, arena, &node->attributes);
    for (size_t i = 0; i < node->output_count; i++)
        tl_graph_add_output(copy, node->outputs[i].name, node->outputs[i].type);
    cloner->copies[node->number] = copy;
    for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
        copy->regions[r] = copy_nodes(cloner, node->regions[r], copy);
    return copy;
}

static struct tl_body *copy_nodes(struct cloner *cloner, const struct tl_body *body, struct tl_node *owner) {
    struct tl_arena *arena = &cloner->graph->arena;
    struct tl_body *copy = tl_arena_alloc(arena, sizeof *copy);
    copy->graph = cloner->graph;
    copy->owner = owner;
    copy->parameters = copy_node(cloner, body->parameters, copy);
    copy->nodes = tl_arena_grow(arena, NULL, &copy->node_capacity, body->node_count, sizeof *copy->nodes);
    copy->node_count = body->node_count;
    for (size_t i = 0; i < body->node_count; i++)
        copy->nodes[i] = copy_node(cloner, body->nodes[i], copy);
    return copy;
}

/* Second walk: edges, when every node has its copy, so that a graph that breaks the order clones too. */
static void copy_edges(struct cloner *cloner, const struct tl_body *body, struct tl_body *copy) {
    struct tl_arena *arena = &cloner->graph->arena;
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        struct tl_node *to = copy->nodes[i];
        to->inputs = tl_arena_grow(arena, NULL, &to->input_capacity, node->input_count, sizeof *to->inputs);
        to->input_count = node->input_count;
        for (size_t k = 0; k < node->input_count; k++) {
            to->inputs[k].name = tl_arena_strdup(arena, node->inputs[k].name);
            to->inputs[k].from = copy_ref(cloner, node->inputs[k].from);
        }
        to->waits = tl_arena_grow(arena, NULL, &to->wait_capacity, node->wait_count, sizeof *to->waits);
        to->wait_count = node->wait_count;
        for (size_t k = 0; k < node->wait_count; k++) {
            to->waits[k].kind = node->waits[k].kind;
            to->waits[k].node = cloner->copies[node->waits[k].node->number];
        }
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            copy_edges(cloner, node->regions[r], to->regions[r]);
    }
    for (size_t i = 0; i < body->result_count; i++)
        tl_graph_add_result(copy, body->results[i].name, copy_ref(cloner, body->results[i].from));
}

struct tl_graph *tl_graph_clone(const struct tl_graph *graph) {
    struct cloner cloner = {.graph = tl_mem_zalloc(sizeof *cloner.graph)};
    cloner.copies = tl_mem_zalloc(graph->next_number * sizeof *cloner.copies);
    tl_arena_init(&cloner.graph->arena);
    cloner.graph->name = tl_arena_strdup(&cloner.graph->arena, graph->name);
    cloner.graph->next_number = graph->next_number;
    cloner.graph->root = copy_nodes(&cloner, graph->root, NULL);
    copy_edges(&cloner, graph->root, cloner.graph->root);
    tl_mem_free(cloner.copies);
    return cloner.graph;
}

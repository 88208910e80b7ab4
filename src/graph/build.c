/* build.c: making a graph, node by node. Building never fails half-way: what does not fit is
 * built as asked and found by tl_graph_infer or tl_graph_verify, which can say all that is wrong. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "graph/graph_impl.h"

static struct tl_node *new_node(struct tl_body *body, enum tl_primitive op, const char *step, const char *label) {
    struct tl_arena *arena = &body->graph->arena;
    struct tl_node *node = tl_arena_alloc(arena, sizeof *node);
    node->number = body->graph->next_number++;
    node->op = op;
    node->step = tl_arena_strdup(arena, step);
    node->label = tl_arena_strdup(arena, label);
    node->body = body;
    return node;
}

static struct tl_body *new_body(struct tl_graph *graph, struct tl_node *owner) {
    struct tl_body *body = tl_arena_alloc(&graph->arena, sizeof *body);
    body->graph = graph;
    body->owner = owner;
    body->parameters = new_node(body, TL_OP_PARAMETERS, "", "parameters");
    return body;
}

struct tl_graph *tl_graph_create(const char *name) {
    struct tl_graph *graph = tl_mem_zalloc(sizeof *graph);
    tl_arena_init(&graph->arena);
    graph->name = tl_arena_strdup(&graph->arena, name);
    graph->root = new_body(graph, NULL);
    return graph;
}

void tl_graph_destroy(struct tl_graph *graph) {
    if (graph == NULL)
        return;
    tl_arena_fini(&graph->arena);
    tl_mem_free(graph);
}

struct tl_ref tl_graph_add_parameter(struct tl_body *body, const char *name, struct tl_type type) {
    return tl_graph_add_output(body->parameters, name, type);
}

/* "step/label", unless the label says so already or there is no step. */
static const char *full_label(struct tl_arena *arena, const char *step, const char *label) {
    size_t length = strlen(step);
    if (length == 0 || (strncmp(label, step, length) == 0 && label[length] == '/'))
        return label;
    return tl_arena_printf(arena, "%s/%s", step, label);
}

struct tl_node *tl_graph_add(struct tl_body *body, enum tl_primitive op, const char *step, const char *label,
                             const char *engine) {
    TL_ASSERT(op != TL_OP_PARAMETERS && (unsigned)op < TL_OP_COUNT);
    struct tl_graph *graph = body->graph;
    step = step == NULL ? "" : step;
    struct tl_node *node = new_node(body, op, step, full_label(&graph->arena, step, label));
    node->engine = tl_arena_strdup(&graph->arena, engine);
    if (tl_primitive_info(op)->capability == TL_CAPABILITY_REGION)
        node->regions[0] = new_body(graph, node);
    if (op == TL_OP_COND)
        node->regions[1] = new_body(graph, node);
    body->nodes = tl_arena_grow(&graph->arena, body->nodes, &body->node_capacity, body->node_count + 1,
                                sizeof *body->nodes);
    body->nodes[body->node_count++] = node;
    return node;
}

void tl_graph_connect(struct tl_node *node, const char *input, struct tl_ref from) {
    struct tl_arena *arena = &node->body->graph->arena;
    const struct tl_signature *signature = tl_signature_of(node->op);
    size_t rank = tl_signature_find_input(signature, input);
    node->inputs = tl_arena_grow(arena, node->inputs, &node->input_capacity, node->input_count + 1,
                                 sizeof *node->inputs);
    size_t place = node->input_count++;
    for (; place > 0 && tl_signature_find_input(signature, node->inputs[place - 1].name) > rank; place--)
        node->inputs[place] = node->inputs[place - 1];
    node->inputs[place] = (struct tl_input){.name = tl_arena_strdup(arena, input), .from = from};
}

struct tl_ref tl_graph_add_output(struct tl_node *node, const char *name, struct tl_type type) {
    struct tl_arena *arena = &node->body->graph->arena;
    node->outputs = tl_arena_grow(arena, node->outputs, &node->output_capacity, node->output_count + 1,
                                  sizeof *node->outputs);
    node->outputs[node->output_count] = (struct tl_output){.name = tl_arena_strdup(arena, name), .type = type};
    return tl_graph_output(node, (uint32_t)node->output_count++);
}

struct tl_ref tl_graph_output(struct tl_node *node, uint32_t port) {
    return (struct tl_ref){.node = node, .port = port};
}

struct tl_type tl_graph_type(struct tl_ref ref) {
    TL_ASSERT(ref.node != NULL && ref.port < ref.node->output_count);
    return ref.node->outputs[ref.port].type;
}

void tl_graph_wait(struct tl_node *node, struct tl_node *on, enum tl_edge_kind kind) {
    TL_ASSERT(kind == TL_EDGE_CONTROL || kind == TL_EDGE_ORDER);
    for (size_t i = 0; i < node->wait_count; i++) {
        if (node->waits[i].node != on)
            continue;
        if (kind == TL_EDGE_CONTROL)
            node->waits[i].kind = kind;
        return;
    }
    node->waits = tl_arena_grow(&node->body->graph->arena, node->waits, &node->wait_capacity, node->wait_count + 1,
                                sizeof *node->waits);
    node->waits[node->wait_count++] = (struct tl_wait){.node = on, .kind = kind};
}

bool tl_graph_unwait(struct tl_node *node, struct tl_node *on, enum tl_edge_kind kind) {
    for (size_t i = 0; i < node->wait_count; i++) {
        if (node->waits[i].node != on || node->waits[i].kind != kind)
            continue;
        memmove(&node->waits[i], &node->waits[i + 1], (node->wait_count - i - 1) * sizeof *node->waits);
        node->wait_count--;
        return true;
    }
    return false;
}

void tl_graph_add_result(struct tl_body *body, const char *name, struct tl_ref from) {
    struct tl_arena *arena = &body->graph->arena;
    body->results = tl_arena_grow(arena, body->results, &body->result_capacity, body->result_count + 1,
                                  sizeof *body->results);
    body->results[body->result_count++] = (struct tl_result){.name = tl_arena_strdup(arena, name), .from = from};
}

/* Gives `node` exactly these outputs; uses of a port keep their port. */
static void set_outputs(struct tl_node *node, const struct tl_output *outputs, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (i < node->output_count) {
            node->outputs[i].name = tl_arena_strdup(&node->body->graph->arena, outputs[i].name);
            node->outputs[i].type = outputs[i].type;
        } else {
            tl_graph_add_output(node, outputs[i].name, outputs[i].type);
        }
    }
    node->output_count = count;
}

/* Moves the first finding into `error`. */
static enum tl_status report(struct tl_diagnostics *findings, bool good, struct tl_error *error) {
    enum tl_status status = TL_OK;
    if (!good)
        status = tl_error_set(error, TL_ERR_INVALID, "%s", findings->items[0].message);
    tl_diagnostics_fini(findings);
    return status;
}

enum tl_status tl_graph_infer(struct tl_node *node, struct tl_error *error) {
    const struct tl_signature *signature = tl_signature_of(node->op);
    struct tl_type types[TL_SIGNATURE_PORTS];
    struct tl_diagnostics findings = {0};
    bool good = tl_graph_check_inputs(node, 0, &findings, types);
    if (good && !signature->outputs_by_builder) {
        struct tl_output outputs[TL_SIGNATURE_PORTS];
        for (size_t i = 0; i < signature->output_count; i++)
            outputs[i] = (struct tl_output){.name = signature->outputs[i].name, .type = types[i]};
        set_outputs(node, outputs, signature->output_count);
    }
    return report(&findings, good, error);
}

enum tl_status tl_graph_begin_region(struct tl_node *region, struct tl_error *error) {
    TL_ASSERT(region->regions[0] != NULL && region->regions[0]->parameters->output_count == 0);
    enum tl_status status = tl_graph_infer(region, error);
    if (status != TL_OK)
        return status;
    struct tl_region_port ports[TL_REGION_PORTS];
    size_t count = tl_graph_region_parameters(region, ports);
    for (size_t i = 0; i < count; i++)
        tl_graph_add_parameter(region->regions[0], ports[i].name, ports[i].type);
    return TL_OK;
}

enum tl_status tl_graph_end_region(struct tl_node *region, struct tl_error *error) {
    struct tl_diagnostics findings = {0};
    bool good = tl_graph_check_results(region, 0, &findings);
    if (good && tl_signature_of(region->op)->outputs_by_builder) {
        const struct tl_body *body = region->regions[0];
        struct tl_output *outputs = tl_mem_alloc((body->result_count + 1) * sizeof *outputs);
        for (size_t i = 0; i < body->result_count; i++) {
            struct tl_type type = tl_graph_type(body->results[i].from);
            outputs[i].name = body->results[i].name;
            outputs[i].type = region->op == TL_OP_MAP ? tl_type_list(type) : type;
        }
        set_outputs(region, outputs, body->result_count);
        tl_mem_free(outputs);
    }
    return report(&findings, good, error);
}

/* verify.c: is a graph what graph.h says? Every finding is collected, none stops the search; a
 * finding's line is that of its node in the printed graph. What is checked, in this order for
 * each node: membership, names and label, engine, uses (defined before, in this body or around
 * it), inputs and their types, outputs, waits, attributes (attribute.c), regions. */
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "graph/graph_impl.h"

enum seen {
    UNSEEN,
    VISIBLE,
    OUT_OF_SCOPE,
};

struct verifier {
    const struct tl_graph *graph;
    struct tl_diagnostics *findings;
    unsigned *lines; /* by node number */
    uint8_t *seen;   /* by node number: enum seen */
};

static unsigned line_of(const struct verifier *verifier, const struct tl_node *node) {
    return node->number < verifier->graph->next_number ? verifier->lines[node->number] : 0;
}

#define FIND(verifier, node, format, ...) \
    tl_diagnostics_add((verifier)->findings, TL_SEVERITY_ERROR, line_of(verifier, node), 0, "%s \"%s\": " format, \
                       tl_graph_info(node)->name, (node)->label, __VA_ARGS__)

static bool is_visible(const struct verifier *verifier, const struct tl_node *node) {
    return node != NULL && node->body->graph == verifier->graph && node->number < verifier->graph->next_number &&
           verifier->seen[node->number] == VISIBLE;
}

/* Says why a use is not allowed; `at` is the node that the finding is about. */
static void find_bad_use(struct verifier *verifier, const struct tl_node *at, const char *what, const char *name,
                         const struct tl_node *used) {
    if (used == NULL || is_visible(verifier, used))
        return; /* unconnected ones are found with the types */
    if (used->body->graph != verifier->graph || used->number >= verifier->graph->next_number)
        FIND(verifier, at, "%s \"%s\" uses a node of another graph", what, name);
    else if (verifier->seen[used->number] == OUT_OF_SCOPE)
        FIND(verifier, at, "%s \"%s\" uses \"%s\", which is inside a region that this is not in", what, name,
             used->label);
    else
        FIND(verifier, at, "%s \"%s\" uses \"%s\" before it is defined", what, name, used->label);
}

static void check_label(struct verifier *verifier, const struct tl_node *node) {
    size_t step = strlen(node->step);
    const char *slash = strchr(node->label, '/');
    bool good = step == 0 ? slash == NULL
                          : slash == node->label + step && strncmp(node->label, node->step, step) == 0;
    if (!good)
        FIND(verifier, node, "the label does not begin with its step \"%s\"", node->step);
    if (node->label[0] == '\0')
        FIND(verifier, node, "the label is %s", "empty");
}

static void check_engine(struct verifier *verifier, const struct tl_node *node) {
    enum tl_capability capability = tl_graph_info(node)->capability;
    bool needed = capability != TL_CAPABILITY_BUILTIN && capability != TL_CAPABILITY_REGION;
    if (needed && node->engine == NULL)
        FIND(verifier, node, "it has no engine (needs one for %s)", tl_capability_name(capability));
    else if (!needed && node->engine != NULL)
        FIND(verifier, node, "it has the engine \"%s\" but needs none", node->engine);
    else if (node->engine != NULL && !tl_graph_name_valid(node->engine))
        FIND(verifier, node, "\"%s\" is no name for an engine", node->engine);
}

/* Every name in `node`'s own lists can be printed and read back. */
static void check_port_names(struct verifier *verifier, const struct tl_node *node) {
    for (size_t i = 0; i < node->input_count; i++)
        if (!tl_graph_name_valid(node->inputs[i].name))
            FIND(verifier, node, "\"%s\" is no name for an input", node->inputs[i].name);
    for (size_t i = 0; i < node->output_count; i++) {
        const char *name = node->outputs[i].name;
        if (!tl_graph_name_valid(name))
            FIND(verifier, node, "\"%s\" is no name for an output", name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(node->outputs[k].name, name) == 0)
                FIND(verifier, node, "two outputs are called \"%s\"", name);
    }
}

static void check_output(struct verifier *verifier, const struct tl_node *node, size_t port, const char *name,
                         struct tl_type type) {
    char is[24], expected[24];
    const struct tl_output *output = &node->outputs[port];
    if (strcmp(output->name, name) != 0)
        FIND(verifier, node, "output %zu is called \"%s\", expected \"%s\"", port, output->name, name);
    if (!tl_type_equal(output->type, type))
        FIND(verifier, node, "output \"%s\" is %s, but its inputs make it %s", output->name,
             tl_type_print(output->type, is), tl_type_print(type, expected));
}

static void check_outputs(struct verifier *verifier, const struct tl_node *node, const struct tl_type *types) {
    const struct tl_signature *signature = tl_signature_of(node->op);
    if (signature->outputs_by_builder) {
        tl_graph_check_built_outputs(node, line_of(verifier, node), verifier->findings);
        return;
    }
    if (node->output_count != signature->output_count) {
        FIND(verifier, node, "it has %zu outputs, expected %u", node->output_count, signature->output_count);
        return;
    }
    for (size_t i = 0; i < node->output_count; i++)
        check_output(verifier, node, i, signature->outputs[i].name, types[i]);
}

static void check_waits(struct verifier *verifier, const struct tl_node *node) {
    for (size_t i = 0; i < node->wait_count; i++) {
        const struct tl_wait *wait = &node->waits[i];
        if (wait->node == NULL || wait->node->body != node->body)
            FIND(verifier, node, "it waits for \"%s\", which is not in the same body",
                 wait->node == NULL ? "" : wait->node->label);
        else if (!is_visible(verifier, wait->node) || wait->node->op == TL_OP_PARAMETERS)
            FIND(verifier, node, "it waits for \"%s\", which is not before it", wait->node->label);
        if (wait->kind != TL_EDGE_CONTROL && wait->kind != TL_EDGE_ORDER)
            FIND(verifier, node, "wait %zu is neither a control nor an order edge", i);
        for (size_t k = 0; k < i; k++)
            if (node->waits[k].node == wait->node)
                FIND(verifier, node, "it waits for \"%s\" twice", wait->node->label);
    }
}

static void check_parameters(struct verifier *verifier, const struct tl_node *region) {
    struct tl_region_port ports[TL_REGION_PORTS];
    size_t count = tl_graph_region_parameters(region, ports);
    for (size_t r = 0; r < 2 && region->regions[r] != NULL; r++) {
        const struct tl_node *parameters = region->regions[r]->parameters;
        if (parameters->output_count != count) {
            FIND(verifier, region, "its body has %zu parameters, expected %zu", parameters->output_count, count);
            continue;
        }
        for (size_t i = 0; i < count; i++) {
            const struct tl_output *parameter = &parameters->outputs[i];
            char is[24], expected[24];
            if (strcmp(parameter->name, ports[i].name) != 0)
                FIND(verifier, region, "parameter %zu of its body is called \"%s\", expected \"%s\"", i,
                     parameter->name, ports[i].name);
            else if (!tl_type_equal(parameter->type, ports[i].type))
                FIND(verifier, region, "parameter \"%s\" of its body is %s, expected %s", parameter->name,
                     tl_type_print(parameter->type, is), tl_type_print(ports[i].type, expected));
        }
    }
}

static void check_region_outputs(struct verifier *verifier, const struct tl_node *region) {
    const struct tl_body *body = region->regions[0];
    if (!tl_graph_check_results(region, line_of(verifier, region), verifier->findings) ||
        !tl_signature_of(region->op)->outputs_by_builder)
        return;
    if (region->output_count != body->result_count) {
        FIND(verifier, region, "it has %zu outputs but its body %zu results", region->output_count,
             body->result_count);
        return;
    }
    for (size_t i = 0; i < body->result_count; i++) {
        struct tl_type type = tl_graph_type(body->results[i].from);
        check_output(verifier, region, i, body->results[i].name, region->op == TL_OP_MAP ? tl_type_list(type) : type);
    }
}

static void verify_body(struct verifier *verifier, const struct tl_body *body, unsigned nesting);

static void verify_regions(struct verifier *verifier, const struct tl_node *node, bool inputs_good, unsigned nesting) {
    size_t expected = tl_graph_info(node)->capability != TL_CAPABILITY_REGION ? 0 : node->op == TL_OP_COND ? 2
                                                                                                           : 1;
    size_t count = (size_t)(node->regions[0] != NULL) + (node->regions[1] != NULL);
    if (count != expected || (count == 1 && node->regions[0] == NULL)) {
        FIND(verifier, node, "it has %zu bodies, expected %zu", count, expected);
        return;
    }
    if (count == 0)
        return;
    if (inputs_good)
        check_parameters(verifier, node);
    for (size_t r = 0; r < count; r++) {
        if (node->regions[r]->owner != node || node->regions[r]->graph != verifier->graph)
            FIND(verifier, node, "body %zu does not belong to it", r);
        else
            verify_body(verifier, node->regions[r], nesting + 1);
    }
    if (inputs_good)
        check_region_outputs(verifier, node);
}

static void verify_node(struct verifier *verifier, const struct tl_node *node, unsigned nesting) {
    check_label(verifier, node);
    check_engine(verifier, node);
    check_port_names(verifier, node);
    for (size_t i = 0; i < node->input_count; i++)
        find_bad_use(verifier, node, "input", node->inputs[i].name, node->inputs[i].from.node);
    struct tl_type types[TL_SIGNATURE_PORTS];
    bool inputs_good = tl_graph_check_inputs(node, line_of(verifier, node), verifier->findings, types);
    if (inputs_good && tl_graph_info(node)->capability != TL_CAPABILITY_REGION)
        check_outputs(verifier, node, types);
    check_waits(verifier, node);
    tl_graph_check_attributes(node, line_of(verifier, node), verifier->findings);
    verify_regions(verifier, node, inputs_good, nesting);
    if (inputs_good && node->op != TL_OP_MAP && node->op != TL_OP_COND && node->regions[0] != NULL)
        check_outputs(verifier, node, types);
}

static void check_results(struct verifier *verifier, const struct tl_body *body) {
    const struct tl_node *at = body->owner != NULL ? body->owner : body->parameters;
    for (size_t i = 0; i < body->result_count; i++) {
        const struct tl_result *result = &body->results[i];
        find_bad_use(verifier, at, "result", result->name, result->from.node);
        if (!tl_graph_name_valid(result->name))
            FIND(verifier, at, "\"%s\" is no name for a result", result->name);
        for (size_t k = 0; k < i; k++)
            if (strcmp(body->results[k].name, result->name) == 0)
                FIND(verifier, at, "two results are called \"%s\"", result->name);
        if (body->owner == NULL && (result->from.node == NULL || result->from.port >= result->from.node->output_count))
            FIND(verifier, at, "result \"%s\" is connected to nothing", result->name);
    }
}

/* A node is visible from its definition to the end of its body, regions inside included. */
static void verify_body(struct verifier *verifier, const struct tl_body *body, unsigned nesting) {
    const struct tl_node *at = body->owner != NULL ? body->owner : body->parameters;
    if (nesting > TL_GRAPH_MOST_NESTING) {
        FIND(verifier, at, "regions are nested more than %d deep", TL_GRAPH_MOST_NESTING);
        return;
    }
    struct tl_map labels;
    tl_map_init(&labels);
    check_port_names(verifier, body->parameters);
    verifier->seen[body->parameters->number] = VISIBLE;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        if (node->body != body || node->number >= verifier->graph->next_number ||
            verifier->seen[node->number] != UNSEEN || node->op == TL_OP_PARAMETERS) {
            FIND(verifier, node, "it stands in a body that it does not belong %s", "to");
            continue;
        }
        if (tl_map_set(&labels, node->label, node) != NULL)
            FIND(verifier, node, "another node of the same body has the same %s", "label");
        verify_node(verifier, node, nesting);
        verifier->seen[node->number] = VISIBLE;
    }
    check_results(verifier, body);
    for (size_t i = 0; i < body->node_count; i++)
        if (body->nodes[i]->number < verifier->graph->next_number)
            verifier->seen[body->nodes[i]->number] = OUT_OF_SCOPE;
    verifier->seen[body->parameters->number] = OUT_OF_SCOPE;
    tl_map_fini(&labels);
}

static void verify(const struct tl_graph *graph, unsigned *lines, struct tl_diagnostics *findings) {
    struct verifier verifier = {.graph = graph, .findings = findings, .lines = lines};
    verifier.seen = tl_mem_zalloc(graph->next_number * sizeof *verifier.seen);
    verify_body(&verifier, graph->root, 0);
    if (graph->root->result_count == 0)
        tl_diagnostics_add(findings, TL_SEVERITY_ERROR, 1, 0, "the graph has no results");
    tl_mem_free(verifier.seen);
}

/* Lines are known only when the graph is printed, which takes longer than verifying it. So they are
 * found out when there is something to say, and everything is said a second time. */
bool tl_graph_verify(const struct tl_graph *graph, struct tl_diagnostics *findings) {
    size_t errors = findings->errors;
    struct tl_diagnostics first = {0};
    unsigned *lines = tl_mem_zalloc(graph->next_number * sizeof *lines);
    verify(graph, lines, &first);
    if (first.count > 0) {
        struct tl_str text = TL_STR_INIT;
        tl_graph_print_lines(graph, &text, lines);
        tl_str_fini(&text);
        verify(graph, lines, findings);
    }
    tl_diagnostics_fini(&first);
    tl_mem_free(lines);
    return findings->errors == errors;
}

/* infer.c: do a node's inputs fit its signature, and which types do its outputs have?
 *
 * A primitive marked ELEMENTWISE takes its first input with d more list levels than the
 * signature says (all inputs of a variadic first port alike); its outputs then have d more
 * levels too. `search` of vector[] gives hit[][]: a list of hits for each vector.
 * A type variable ('T) is bound by the first port that uses it and must agree from then on. */
#include <string.h>

#include "base/error.h"
#include "graph/graph_impl.h"

#define VARIABLES 26

struct state {
    const struct tl_node *node;
    unsigned line;
    struct tl_diagnostics *findings;
    bool good;
    bool depth_known;
    uint8_t depth; /* list levels more than the signature says */
    bool bound[VARIABLES];
    struct tl_type variables[VARIABLES]; /* by letter */
};

#define COMPLAIN(state, format, ...) \
    ((state)->good = false, \
     tl_diagnostics_add((state)->findings, TL_SEVERITY_ERROR, (state)->line, 0, "%s \"%s\": " format, \
                        tl_graph_info((state)->node)->name, (state)->node->label, __VA_ARGS__))

const struct tl_input *tl_graph_find_input(const struct tl_node *node, const char *name) {
    for (size_t i = 0; i < node->input_count; i++)
        if (strcmp(node->inputs[i].name, name) == 0)
            return &node->inputs[i];
    return NULL;
}

/* Writes what `port` accepts, such as "text or chunk". */
static void print_expected(const struct tl_signature_port *port, const struct state *state, bool elementwise,
                           struct tl_str *out) {
    char text[24];
    for (size_t i = 0; i < port->type_count; i++) {
        struct tl_type type = port->types[i];
        if (elementwise && state->depth_known && type.depth + state->depth <= TL_TYPE_MAX_DEPTH)
            type.depth = (uint8_t)(type.depth + state->depth);
        tl_str_printf(out, "%s%s", i == 0 ? "" : " or ", tl_type_print(type, text));
    }
    if (elementwise && !state->depth_known)
        tl_str_puts(out, ", or lists of it");
    if (port->variable == 0)
        return;
    struct tl_type bound = state->variables[port->variable - 'A'];
    if (!state->bound[port->variable - 'A']) {
        tl_str_puts(out, "a list");
    } else if (bound.depth + port->variable_depth <= TL_TYPE_MAX_DEPTH) {
        bound.depth = (uint8_t)(bound.depth + port->variable_depth);
        tl_str_puts(out, tl_type_print(bound, text));
    }
}

static bool matches(const struct tl_signature_port *port, struct tl_type type, bool elementwise, struct state *state) {
    if (port->variable != 0) {
        size_t letter = (size_t)(port->variable - 'A');
        if (type.depth < port->variable_depth)
            return false;
        struct tl_type inner = {type.base, (uint8_t)(type.depth - port->variable_depth)};
        if (state->bound[letter])
            return tl_type_equal(inner, state->variables[letter]);
        state->bound[letter] = true;
        state->variables[letter] = inner;
        return true;
    }
    if (port->type_count == 0)
        return true;
    for (size_t i = 0; i < port->type_count; i++) {
        struct tl_type accepted = port->types[i];
        if (type.base != accepted.base || type.depth < accepted.depth)
            continue;
        uint8_t more = (uint8_t)(type.depth - accepted.depth);
        if (!elementwise && more > 0)
            continue;
        if (elementwise && state->depth_known && more != state->depth)
            continue;
        if (elementwise) {
            state->depth_known = true;
            state->depth = more;
        }
        return true;
    }
    return false;
}

static void check_input(const struct tl_input *input, const struct tl_signature_port *port, bool elementwise,
                        struct state *state) {
    struct tl_ref from = input->from;
    if (from.node == NULL) {
        COMPLAIN(state, "input \"%s\" is connected to nothing", input->name);
        return;
    }
    if (from.port >= from.node->output_count) {
        COMPLAIN(state, "input \"%s\" takes output %u of \"%s\", which has %zu", input->name, from.port,
                 from.node->label, from.node->output_count);
        return;
    }
    struct tl_type type = tl_graph_type(from);
    if (matches(port, type, elementwise, state))
        return;
    struct tl_str expected = TL_STR_INIT;
    char text[24];
    print_expected(port, state, elementwise, &expected);
    COMPLAIN(state, "input \"%s\" is %s, expected %s", input->name, tl_type_print(type, text), expected.data);
    tl_str_fini(&expected);
}

/* Unknown names and names given twice. */
static void check_names(struct state *state, const struct tl_signature *signature) {
    const struct tl_node *node = state->node;
    for (size_t i = 0; i < node->input_count; i++) {
        const char *name = node->inputs[i].name;
        if (tl_signature_find_input(signature, name) == signature->input_count)
            COMPLAIN(state, "there is no input \"%s\"; the ports are: %s", name, tl_graph_info(node)->signature);
        else if (tl_graph_find_input(node, name) != &node->inputs[i])
            COMPLAIN(state, "input \"%s\" is connected twice", name);
    }
}

bool tl_graph_check_inputs(const struct tl_node *node, unsigned line, struct tl_diagnostics *findings,
                           struct tl_type outputs[TL_SIGNATURE_PORTS]) {
    const struct tl_signature *signature = tl_signature_of(node->op);
    bool node_elementwise = (tl_graph_info(node)->flags & TL_ELEMENTWISE) != 0;
    struct state state = {.node = node, .line = line, .findings = findings, .good = true};
    check_names(&state, signature);
    for (size_t p = 0; p < signature->input_count; p++) {
        const struct tl_signature_port *port = &signature->inputs[p];
        bool found = false;
        for (size_t i = 0; i < node->input_count; i++) {
            if (tl_signature_find_input(signature, node->inputs[i].name) != p)
                continue;
            found = true;
            check_input(&node->inputs[i], port, node_elementwise && p == 0, &state);
        }
        if (!found && !port->optional && !port->variadic)
            COMPLAIN(&state, "input \"%s\" is missing", port->name);
    }
    for (size_t p = 0; state.good && !signature->outputs_by_builder && p < signature->output_count; p++) {
        const struct tl_signature_port *port = &signature->outputs[p];
        struct tl_type type = port->variable != 0 ? state.variables[port->variable - 'A'] : port->types[0];
        size_t depth = type.depth + (size_t)(port->variable != 0 ? port->variable_depth : state.depth);
        if (depth > TL_TYPE_MAX_DEPTH) {
            COMPLAIN(&state, "output \"%s\" would have %zu list levels, the limit is %d", port->name, depth,
                     TL_TYPE_MAX_DEPTH);
            break;
        }
        type.depth = (uint8_t)depth;
        outputs[p] = type;
    }
    return state.good;
}

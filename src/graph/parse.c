/* parse.c: reads the text form (see graph.h) by recursive descent. It checks the form and that what
 * is named exists; whether the graph makes sense is for tl_graph_verify. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "base/mem.h"
#include "graph/graph_impl.h"
#include "graph/lexer.h"

struct parser {
    struct tl_lexer lexer;
    struct tl_graph *graph;
    struct tl_map nodes; /* "12" → the node printed as %12 */
    struct tl_str text;  /* the token at hand */
};

static bool parse_type(struct parser *parser, struct tl_type *type) {
    struct tl_lexer *lexer = &parser->lexer;
    struct tl_lexer start = *lexer;
    if (!tl_lexer_name(lexer, "a type", &parser->text))
        return false;
    while (tl_lexer_take(lexer, '[')) {
        if (!tl_lexer_need(lexer, ']'))
            return false;
        tl_str_puts(&parser->text, "[]");
    }
    if (tl_type_parse(parser->text.data, type))
        return true;
    *lexer = start;
    return tl_lexer_fail(lexer, "there is no type \"%s\"", parser->text.data);
}

static struct tl_node *find_node(struct parser *parser, uint32_t number) {
    char key[16];
    snprintf(key, sizeof key, "%u", number);
    return tl_map_get(&parser->nodes, key);
}

/* "$name", "$^name": a parameter of this body or of one around it. */
static bool parse_parameter_ref(struct parser *parser, struct tl_body *body, struct tl_ref *ref) {
    struct tl_lexer *lexer = &parser->lexer;
    size_t skip = 0;
    while (tl_lexer_take(lexer, '^'))
        skip++;
    struct tl_lexer start = *lexer;
    if (!tl_lexer_name(lexer, "the name of a parameter", &parser->text))
        return false;
    for (;; body = body->owner->body) {
        struct tl_node *parameters = body->parameters;
        for (size_t i = 0; i < parameters->output_count; i++) {
            if (strcmp(parameters->outputs[i].name, parser->text.data) != 0 || skip-- > 0)
                continue;
            *ref = tl_graph_output(parameters, (uint32_t)i);
            return true;
        }
        if (body->owner == NULL)
            break;
    }
    *lexer = start;
    return tl_lexer_fail(lexer, "there is no parameter \"%s\" here", parser->text.data);
}

static bool parse_node_number(struct parser *parser, struct tl_node **node) {
    struct tl_lexer *lexer = &parser->lexer;
    struct tl_lexer start = *lexer;
    uint32_t number;
    if (!tl_lexer_need(lexer, '%') || !tl_lexer_unsigned(lexer, "the number of a node", &number))
        return false;
    *node = find_node(parser, number);
    if (*node != NULL)
        return true;
    *lexer = start;
    return tl_lexer_fail(lexer, "there is no node %%%u before this", number);
}

static bool parse_ref(struct parser *parser, struct tl_body *body, struct tl_ref *ref) {
    struct tl_lexer *lexer = &parser->lexer;
    if (tl_lexer_take(lexer, '$'))
        return parse_parameter_ref(parser, body, ref);
    if (!tl_lexer_peek(lexer, '%'))
        return tl_lexer_expected(lexer, "a value (%number or $parameter)");
    struct tl_lexer start = *lexer;
    if (!parse_node_number(parser, &ref->node))
        return false;
    ref->port = 0;
    if (!tl_lexer_peek(lexer, '.')) {
        if (ref->node->output_count == 1)
            return tl_lexer_skip(lexer);
        *lexer = start;
        return tl_lexer_fail(lexer, "\"%s\" has %zu outputs: say which", ref->node->label, ref->node->output_count);
    }
    tl_lexer_take(lexer, '.');
    if (!tl_lexer_name(lexer, "the name of an output", &parser->text))
        return false;
    for (; ref->port < ref->node->output_count; ref->port++)
        if (strcmp(ref->node->outputs[ref->port].name, parser->text.data) == 0)
            return true;
    *lexer = start;
    return tl_lexer_fail(lexer, "\"%s\" has no output \"%s\"", ref->node->label, parser->text.data);
}

static bool parse_inputs(struct parser *parser, struct tl_node *node) {
    struct tl_lexer *lexer = &parser->lexer;
    struct tl_str name = TL_STR_INIT;
    bool good = tl_lexer_need(lexer, '(');
    while (good && !tl_lexer_take(lexer, ')')) {
        struct tl_ref from;
        good = (node->input_count == 0 || tl_lexer_need(lexer, ',')) &&
               tl_lexer_name(lexer, "the name of an input", &name) && tl_lexer_need(lexer, ':') &&
               parse_ref(parser, node->body, &from);
        if (good)
            tl_graph_connect(node, name.data, from);
    }
    tl_str_fini(&name);
    return good;
}

static bool parse_waits(struct parser *parser, struct tl_node *node) {
    struct tl_lexer *lexer = &parser->lexer;
    for (;;) {
        enum tl_edge_kind kind;
        if (tl_lexer_take_word(lexer, "after"))
            kind = TL_EDGE_CONTROL;
        else if (tl_lexer_take_word(lexer, "order"))
            kind = TL_EDGE_ORDER;
        else
            return !lexer->failed;
        do {
            struct tl_node *on;
            if (!parse_node_number(parser, &on))
                return false;
            tl_lexer_skip(lexer);
            tl_graph_wait(node, on, kind);
        } while (tl_lexer_take(lexer, ','));
    }
}

static bool set_scalar(struct parser *parser, struct tl_node *node, const char *name) {
    struct tl_lexer *lexer = &parser->lexer;
    struct tl_arena *arena = &parser->graph->arena;
    struct tl_lexer start = *lexer;
    if (!tl_lexer_scalar(lexer, "a value (number, true, false or string)", &parser->text))
        return false;
    const char *text = parser->text.data;
    char *end;
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        tl_attributes_set_bool(&node->attributes, arena, name, text[0] == 't');
        return true;
    }
    errno = 0;
    long long integer = strtoll(text, &end, 10);
    if (*end == '\0' && errno == 0) {
        tl_attributes_set_integer(&node->attributes, arena, name, integer);
        return true;
    }
    double number = strtod(text, &end);
    if (*end == '\0') {
        tl_attributes_set_number(&node->attributes, arena, name, number);
        return true;
    }
    *lexer = start;
    return tl_lexer_fail(lexer, "expected a value (number, true, false or string), found \"%s\"", text);
}

static bool parse_attributes(struct parser *parser, struct tl_node *node) {
    struct tl_lexer *lexer = &parser->lexer;
    struct tl_str name = TL_STR_INIT;
    bool good = true;
    do {
        good = tl_lexer_name(lexer, "the name of an attribute", &name) && tl_lexer_need(lexer, '=');
        if (good && tl_lexer_peek(lexer, '"')) {
            good = tl_lexer_string(lexer, "a string", &parser->text);
            if (good)
                tl_attributes_set_string(&node->attributes, &parser->graph->arena, name.data, parser->text.data);
        } else if (good) {
            good = set_scalar(parser, node, name.data);
        }
    } while (good && tl_lexer_take(lexer, ','));
    tl_str_fini(&name);
    return good && tl_lexer_need(lexer, '}');
}

static bool parse_body(struct parser *parser, struct tl_body *body, unsigned nesting);

/* What stands behind the waits: attributes, then the bodies of a region, each with its brace taken. */
static bool parse_braces(struct parser *parser, struct tl_node *node, unsigned nesting) {
    struct tl_lexer *lexer = &parser->lexer;
    bool brace = tl_lexer_take(lexer, '{');
    if (brace && tl_lexer_peek_name_before(lexer, '=')) {
        if (!parse_attributes(parser, node))
            return false;
        brace = node->regions[0] != NULL && tl_lexer_take(lexer, '{');
    }
    if (node->regions[0] == NULL)
        return !brace || tl_lexer_expected(lexer, "the name of an attribute");
    if (!brace)
        return tl_lexer_expected(lexer, "\"{\" and the body of the region");
    if (!parse_body(parser, node->regions[0], nesting + 1))
        return false;
    if (node->regions[1] == NULL)
        return true;
    if (!tl_lexer_take_word(lexer, "else"))
        return tl_lexer_expected(lexer, "\"else\" and the other body");
    return tl_lexer_need(lexer, '{') && parse_body(parser, node->regions[1], nesting + 1);
}

struct outputs {
    struct tl_output *items; /* names are NULL where none was given */
    size_t count, capacity;
};

/* ": type name, type name". */
static bool parse_outputs(struct parser *parser, struct outputs *outputs) {
    struct tl_lexer *lexer = &parser->lexer;
    if (!tl_lexer_take(lexer, ':'))
        return true;
    do {
        struct tl_output output = {0};
        if (!parse_type(parser, &output.type))
            return false;
        if (!tl_lexer_peek(lexer, '=') && !tl_lexer_peek(lexer, ',')) {
            if (!tl_lexer_name(lexer, "\"=\", or the name of the output", &parser->text))
                return false;
            output.name = tl_arena_strdup(&parser->graph->arena, parser->text.data);
        }
        outputs->items = tl_mem_grow(outputs->items, &outputs->capacity, outputs->count + 1, sizeof *outputs->items);
        outputs->items[outputs->count++] = output;
    } while (tl_lexer_take(lexer, ','));
    return true;
}

static bool parse_op(struct parser *parser, enum tl_primitive *op) {
    struct tl_lexer start = parser->lexer;
    if (!tl_lexer_name(&parser->lexer, "the name of a primitive", &parser->text))
        return false;
    *op = tl_primitive_find(parser->text.data);
    if (*op != TL_OP_COUNT && *op != TL_OP_PARAMETERS)
        return true;
    const char *names[TL_OP_COUNT];
    for (unsigned i = 0; i < TL_OP_COUNT; i++)
        names[i] = tl_primitive_info((enum tl_primitive)i)->name;
    const char *nearest = tl_str_nearest(parser->text.data, names, TL_OP_COUNT);
    parser->lexer = start;
    return tl_lexer_fail(&parser->lexer, "there is no primitive \"%s\"%s%s%s", parser->text.data,
                         nearest == NULL ? "" : "; did you mean \"", nearest == NULL ? "" : nearest,
                         nearest == NULL ? "" : "\"?");
}

/* `op "step/name" @engine`: makes the node. The step is what stands before the first slash. */
static struct tl_node *parse_head(struct parser *parser, struct tl_body *body) {
    struct tl_lexer *lexer = &parser->lexer;
    enum tl_primitive op;
    struct tl_str label = TL_STR_INIT, step = TL_STR_INIT;
    struct tl_node *node = NULL;
    bool good = tl_lexer_need(lexer, '=') && parse_op(parser, &op) &&
                tl_lexer_string(lexer, "a label in quotes", &label);
    bool engine = good && tl_lexer_take(lexer, '@');
    if (good && (!engine || tl_lexer_name(lexer, "the name of an engine", &parser->text))) {
        size_t length = strcspn(label.data, "/");
        if (length < label.length)
            tl_str_append(&step, label.data, length);
        node = tl_graph_add(body, op, step.data, label.data, engine ? parser->text.data : NULL);
    }
    tl_str_fini(&label);
    tl_str_fini(&step);
    return node;
}

static bool parse_node(struct parser *parser, struct tl_body *body, unsigned nesting) {
    struct tl_lexer *lexer = &parser->lexer;
    struct tl_lexer start = *lexer;
    uint32_t number;
    if (!tl_lexer_need(lexer, '%') || !tl_lexer_unsigned(lexer, "the number of the node", &number))
        return false;
    if (find_node(parser, number) != NULL) {
        *lexer = start;
        return tl_lexer_fail(lexer, "there are two nodes %%%u", number);
    }
    tl_lexer_skip(lexer);
    struct outputs outputs = {0};
    struct tl_node *node = NULL;
    bool good = parse_outputs(parser, &outputs) && (node = parse_head(parser, body)) != NULL &&
                parse_inputs(parser, node) && parse_waits(parser, node) && parse_braces(parser, node, nesting);
    for (size_t i = 0; good && i < outputs.count; i++) {
        const char *name = outputs.items[i].name;
        tl_graph_add_output(node, name == NULL ? "" : name, outputs.items[i].type);
        if (name == NULL && outputs.count > 1)
            good = tl_lexer_fail(lexer, "\"%s\" has %zu outputs: each needs a name", node->label, outputs.count);
        else if (name == NULL)
            node->outputs[0].name = tl_arena_strdup(&parser->graph->arena, tl_graph_usual_output_name(node));
    }
    tl_mem_free(outputs.items);
    if (good) {
        char key[16];
        snprintf(key, sizeof key, "%u", number);
        tl_map_set(&parser->nodes, key, node);
    }
    return good;
}

static bool parse_parameters(struct parser *parser, struct tl_body *body) {
    struct tl_lexer *lexer = &parser->lexer;
    struct tl_str name = TL_STR_INIT;
    bool good = tl_lexer_need(lexer, '(');
    while (good && !tl_lexer_take(lexer, ')')) {
        struct tl_type type;
        good = (body->parameters->output_count == 0 || tl_lexer_need(lexer, ',')) &&
               tl_lexer_name(lexer, "the name of a parameter", &name) && tl_lexer_need(lexer, ':') &&
               parse_type(parser, &type);
        if (good)
            tl_graph_add_parameter(body, name.data, type);
    }
    tl_str_fini(&name);
    return good;
}

static bool parse_results(struct parser *parser, struct tl_body *body) {
    struct tl_lexer *lexer = &parser->lexer;
    struct tl_str name = TL_STR_INIT;
    bool good = tl_lexer_need(lexer, '(');
    while (good && !tl_lexer_take(lexer, ')')) {
        struct tl_ref from;
        good = (body->result_count == 0 || tl_lexer_need(lexer, ',')) &&
               tl_lexer_name(lexer, "the name of a result", &name) && tl_lexer_need(lexer, ':') &&
               parse_ref(parser, body, &from);
        if (good)
            tl_graph_add_result(body, name.data, from);
    }
    tl_str_fini(&name);
    return good;
}

/* parameters, nodes, results and the closing brace. */
static bool parse_body(struct parser *parser, struct tl_body *body, unsigned nesting) {
    struct tl_lexer *lexer = &parser->lexer;
    if (nesting > TL_GRAPH_MOST_NESTING)
        return tl_lexer_fail(lexer, "regions are nested more than %d deep", TL_GRAPH_MOST_NESTING);
    if (tl_lexer_take_word(lexer, "parameters") && !parse_parameters(parser, body))
        return false;
    while (tl_lexer_peek(lexer, '%'))
        if (!parse_node(parser, body, nesting))
            return false;
    if (tl_lexer_take_word(lexer, "results") && !parse_results(parser, body))
        return false;
    return tl_lexer_take(lexer, '}') || tl_lexer_expected(lexer, "a node (%number ...), \"results\" or \"}\"");
}

struct tl_graph *tl_graph_parse(const char *text, struct tl_diagnostics *findings) {
    struct parser parser = {.text = TL_STR_INIT};
    struct tl_lexer *lexer = &parser.lexer;
    tl_lexer_init(lexer, text, findings);
    tl_map_init(&parser.nodes);
    bool good = (tl_lexer_take_word(lexer, "graph") || tl_lexer_expected(lexer, "\"graph\"")) &&
                tl_lexer_string(lexer, "the graph's name in quotes", &parser.text);
    if (good) {
        parser.graph = tl_graph_create(parser.text.data);
        good = tl_lexer_need(lexer, '{') && parse_body(&parser, parser.graph->root, 0) &&
               (tl_lexer_at_end(lexer) || tl_lexer_expected(lexer, "the end of the text"));
    }
    if (!good) {
        tl_graph_destroy(parser.graph);
        parser.graph = NULL;
    }
    tl_map_fini(&parser.nodes);
    tl_str_fini(&parser.text);
    return parser.graph;
}

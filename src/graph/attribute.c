/* attribute.c: what the attributes of a primitive may be, and what follows from them for the
 * outputs of primitives whose outputs the builder sets. The table repeats the list at the end
 * of base/primitive.h, which says what each means. */
#include <string.h>

#include "graph/graph_impl.h"
#include "schema/schema.h"

struct known_attribute {
    enum tl_primitive op;
    const char *name;
    enum tl_attribute_kind kind;
    int64_t least;       /* of integers */
    const char *choices; /* of strings: " one two "; NULL: any */
};

static const struct known_attribute table[] = {
    {TL_OP_CONSTANT, "value", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_CONSTANT, "values", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_RENDER, "template", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_RENDER, "trim", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_RENDER, "parts", TL_ATTRIBUTE_INTEGER, 0, NULL},
    {TL_OP_CONDITION, "is", TL_ATTRIBUTE_STRING, 0, " nonempty true equals "},
    {TL_OP_CONDITION, "to", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_AGGREGATE, "mode", TL_ATTRIBUTE_STRING, 0, " concat top join distinct flatten "},
    {TL_OP_AGGREGATE, "count", TL_ATTRIBUTE_INTEGER, 0, NULL},
    {TL_OP_AGGREGATE, "by", TL_ATTRIBUTE_STRING, 0, " retrieval score fused "},
    {TL_OP_AGGREGATE, "separator", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_FUSE, "count", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_FUSE, "constant", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_CHUNK, "size", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_CHUNK, "overlap", TL_ATTRIBUTE_INTEGER, 0, NULL},
    {TL_OP_INGEST, "collection", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_SEARCH, "count", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_MATCH, "count", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_DECODE, "max_tokens", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_DECODE, "temperature", TL_ATTRIBUTE_NUMBER, 0, NULL},
    {TL_OP_DECODE, "top_p", TL_ATTRIBUTE_NUMBER, 0, NULL},
    {TL_OP_DECODE, "top_k", TL_ATTRIBUTE_INTEGER, 0, NULL},
    {TL_OP_DECODE, "min_p", TL_ATTRIBUTE_NUMBER, 0, NULL},
    {TL_OP_DECODE, "seed", TL_ATTRIBUTE_INTEGER, INT64_MIN, NULL},
    {TL_OP_DECODE, "stop", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_DECODE, "ignore_eos", TL_ATTRIBUTE_BOOL, 0, NULL},
    {TL_OP_DECODE, "repetition_penalty", TL_ATTRIBUTE_NUMBER, 0, NULL},
    {TL_OP_DECODE, "frequency_penalty", TL_ATTRIBUTE_NUMBER, 0, NULL},
    {TL_OP_DECODE, "presence_penalty", TL_ATTRIBUTE_NUMBER, 0, NULL},
    {TL_OP_DECODE, "logit_bias", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_DECODE, "logprobs", TL_ATTRIBUTE_INTEGER, 0, NULL},
    {TL_OP_DECODE, "schema", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_DECODE, "choices", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_DECODE, "tools", TL_ATTRIBUTE_STRING, 0, NULL},
    {TL_OP_DECODE, "tool_choice", TL_ATTRIBUTE_STRING, 0, " required auto "},
    {TL_OP_DECODE, "format", TL_ATTRIBUTE_STRING, 0, " text list json choice tool_call "},
    {TL_OP_DECODE, "items", TL_ATTRIBUTE_INTEGER, 0, NULL},
    {TL_OP_DECODE, "min_items", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_DECODE, "item_tokens", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_DECODE, "continues", TL_ATTRIBUTE_BOOL, 0, NULL},
    {TL_OP_DECODE, "on_error", TL_ATTRIBUTE_STRING, 0, " skip fail "},
    {TL_OP_PARSE, "on_error", TL_ATTRIBUTE_STRING, 0, " skip fail "},
    {TL_OP_MAP, "streamed", TL_ATTRIBUTE_BOOL, 0, NULL},
    {TL_OP_MAP, "slice", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_FOLD, "slice", TL_ATTRIBUTE_INTEGER, 1, NULL},
    {TL_OP_REDUCE, "arity", TL_ATTRIBUTE_INTEGER, 2, NULL},
    {TL_OP_LOOP, "limit", TL_ATTRIBUTE_INTEGER, 1, NULL},
};

static const char *const kind_names[] = {"an integer", "a number", "a bool", "a string"};

struct check {
    const struct tl_node *node;
    unsigned line;
    struct tl_diagnostics *findings;
};

#define FIND(check, severity, format, ...) \
    tl_diagnostics_add((check)->findings, severity, (check)->line, 0, "%s \"%s\": " format, \
                       tl_graph_info((check)->node)->name, (check)->node->label, __VA_ARGS__)
#define ERROR(check, ...) FIND(check, TL_SEVERITY_ERROR, __VA_ARGS__)

/* A partial decode takes what a decode takes. */
static const struct known_attribute *find_known(enum tl_primitive op, const char *name) {
    if (op == TL_OP_PARTIAL_DECODE)
        op = TL_OP_DECODE;
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (table[i].op == op && strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

static bool is_choice(const char *choices, const char *value) {
    size_t length = strlen(value);
    for (const char *at = choices; length > 0 && (at = strstr(at, value)) != NULL; at++)
        if (at[-1] == ' ' && at[length] == ' ')
            return true;
    return false;
}

static void check_attribute(const struct check *check, const struct tl_attribute *attribute) {
    const struct known_attribute *known = find_known(check->node->op, attribute->name);
    if (!tl_graph_name_valid(attribute->name)) {
        ERROR(check, "\"%s\" is no name for an attribute", attribute->name);
        return;
    }
    if (known == NULL) {
        FIND(check, TL_SEVERITY_WARNING, "the attribute \"%s\" means nothing to it", attribute->name);
        return;
    }
    bool fits = attribute->kind == known->kind ||
                (attribute->kind == TL_ATTRIBUTE_INTEGER && known->kind == TL_ATTRIBUTE_NUMBER);
    if (!fits)
        ERROR(check, "attribute \"%s\" is %s, expected %s", attribute->name, kind_names[attribute->kind],
              kind_names[known->kind]);
    else if (attribute->kind == TL_ATTRIBUTE_INTEGER && known->kind == TL_ATTRIBUTE_INTEGER &&
             attribute->as.integer < known->least)
        ERROR(check, "attribute \"%s\" is %lld, the least is %lld", attribute->name,
              (long long)attribute->as.integer, (long long)known->least);
    else if (known->choices != NULL && !is_choice(known->choices, attribute->as.string))
        ERROR(check, "attribute \"%s\" is \"%s\", expected one of:%s", attribute->name, attribute->as.string,
              known->choices);
}

void tl_graph_check_attributes(const struct tl_node *node, unsigned line, struct tl_diagnostics *findings) {
    struct check check = {.node = node, .line = line, .findings = findings};
    for (size_t i = 0; i < node->attributes.count; i++)
        check_attribute(&check, &node->attributes.items[i]);
}

/* Its first input says by texts which elements of the last one are kept; both may be the same. */
static void check_distinct(const struct check *check) {
    const struct tl_node *node = check->node;
    char text[24], expected[24];
    if (node->input_count == 0 || node->input_count > 2) {
        ERROR(check, "it has %zu inputs, expected texts, or texts and a list", node->input_count);
        return;
    }
    struct tl_type texts = tl_graph_type(node->inputs[0].from);
    struct tl_type list = tl_graph_type(node->inputs[node->input_count - 1].from);
    if (!tl_type_equal(texts, TL_TYPE_OF(TEXT, 1)) || list.depth == 0)
        ERROR(check, "input \"%s\" is %s, which does not go with mode distinct",
              node->inputs[list.depth == 0 ? node->input_count - 1 : 0].name,
              tl_type_print(list.depth == 0 ? list : texts, text));
    else if (!tl_type_equal(node->outputs[0].type, list))
        ERROR(check, "its output is %s, expected %s", tl_type_print(node->outputs[0].type, text),
              tl_type_print(list, expected));
}

static void check_flatten(const struct check *check) {
    const struct tl_node *node = check->node;
    char text[24];
    if (node->input_count != 1) {
        ERROR(check, "it has %zu inputs, expected a list of lists", node->input_count);
        return;
    }
    struct tl_type lists = tl_graph_type(node->inputs[0].from), output = node->outputs[0].type;
    if (lists.depth < 2)
        ERROR(check, "input \"%s\" is %s, which does not go with mode flatten", node->inputs[0].name,
              tl_type_print(lists, text));
    else if (lists.base != output.base || lists.depth != output.depth + 1)
        ERROR(check, "its output is %s, which does not go with its input", tl_type_print(output, text));
}

/* concat: each input is of the output's type or of its elements'; top: hits; join: texts. */
static void check_aggregate(const struct check *check) {
    const struct tl_node *node = check->node;
    struct tl_type output = node->outputs[0].type;
    const char *mode = tl_attributes_string(&node->attributes, "mode", "");
    char text[24];
    bool concat = strcmp(mode, "concat") == 0, top = strcmp(mode, "top") == 0, join = strcmp(mode, "join") == 0;
    if (strcmp(mode, "distinct") == 0) {
        check_distinct(check);
        return;
    }
    if (strcmp(mode, "flatten") == 0) {
        check_flatten(check);
        return;
    }
    if (!concat && !top && !join) {
        ERROR(check, "it needs the attribute \"%s\": concat, top, join, distinct or flatten", "mode");
        return;
    }
    if ((concat && output.depth == 0) || (top && !tl_type_equal(output, TL_TYPE_OF(HIT, 1))) ||
        (join && !tl_type_equal(output, TL_TYPE_OF(TEXT, 0))))
        ERROR(check, "its output is %s, expected %s", tl_type_print(output, text),
              concat ? "a list" : top ? "hit[]"
                                      : "text");
    for (size_t i = 0; i < node->input_count; i++) {
        struct tl_type input = tl_graph_type(node->inputs[i].from);
        bool fits = (concat && input.base == output.base &&
                     (input.depth == output.depth || input.depth + 1 == output.depth)) ||
                    (top && input.base == TL_TYPE_HIT && input.depth > 0) ||
                    (join && input.base == TL_TYPE_TEXT && input.depth <= 1);
        if (!fits)
            ERROR(check, "input \"%s\" is %s, which does not go with mode %s", node->inputs[i].name,
                  tl_type_print(input, text), mode);
    }
}

/* Whether the schema is one of an array, whose elements are then the output; findings when it is none. */
static bool is_array_schema(const struct check *check, const char *text) {
    struct tl_error error = {0};
    struct tl_schema *schema = NULL;
    json_t *json = json_loads(text, 0, NULL);
    if (json == NULL)
        ERROR(check, "attribute \"%s\" is no JSON", "schema");
    else if (tl_schema_compile(json, "schema", &schema, &error) != TL_OK)
        ERROR(check, "%s", error.message);
    bool array = schema != NULL && tl_schema_is_array(schema);
    tl_schema_free(schema);
    json_decref(json);
    return array;
}

static void check_decode(const struct check *check) {
    const struct tl_node *node = check->node;
    const char *format = tl_attributes_string(&node->attributes, "format", "text");
    const char *schema = tl_attributes_string(&node->attributes, "schema", NULL);
    struct tl_type expected = TL_TYPE_OF(TEXT, 0), output = node->outputs[0].type;
    if (strcmp(format, "list") == 0)
        expected = TL_TYPE_OF(TEXT, 1);
    else if (strcmp(format, "tool_call") == 0)
        expected = TL_TYPE_OF(JSON, 0);
    else if (strcmp(format, "json") == 0)
        expected = TL_TYPE_OF(JSON, schema != NULL && is_array_schema(check, schema));
    char found[24], wanted[24];
    if (!tl_type_equal(output, expected))
        ERROR(check, "its output is %s, expected %s", tl_type_print(output, found), tl_type_print(expected, wanted));
    if (node->output_count > 1 && !tl_type_equal(node->outputs[1].type, TL_TYPE_OF(JSON, 0)))
        ERROR(check, "its second output, the log probabilities, is %s, expected json",
              tl_type_print(node->outputs[1].type, found));
}

/* A decode that tells log probabilities has them as a second output. */
static size_t outputs_expected(const struct tl_node *node) {
    bool decode = node->op == TL_OP_DECODE || node->op == TL_OP_PARTIAL_DECODE;
    return decode && tl_attributes_find(&node->attributes, "logprobs") != NULL ? 2 : 1;
}

/* One text, or a list of them. */
static void check_constant(const struct check *check) {
    const struct tl_attributes *attributes = &check->node->attributes;
    struct tl_type output = check->node->outputs[0].type;
    const char *values = tl_attributes_string(attributes, "values", NULL);
    char found[24], wanted[24];
    struct tl_type expected = values != NULL ? TL_TYPE_OF(TEXT, 1) : TL_TYPE_OF(TEXT, 0);
    if (values != NULL && tl_attributes_find(attributes, "value") != NULL)
        ERROR(check, "it has both attributes, \"%s\" and \"values\"", "value");
    if (!tl_type_equal(output, expected))
        ERROR(check, "its output is %s, expected %s", tl_type_print(output, found), tl_type_print(expected, wanted));
}

void tl_graph_check_built_outputs(const struct tl_node *node, unsigned line, struct tl_diagnostics *findings) {
    struct check check = {.node = node, .line = line, .findings = findings};
    if (node->output_count != outputs_expected(node))
        ERROR(&check, "it has %zu outputs, expected %zu", (size_t)node->output_count, outputs_expected(node));
    else if (node->op == TL_OP_CONSTANT)
        check_constant(&check);
    else if (node->op == TL_OP_AGGREGATE)
        check_aggregate(&check);
    else if (node->op == TL_OP_DECODE || node->op == TL_OP_PARTIAL_DECODE)
        check_decode(&check);
}

/* yaml.c: see yaml.h. libyaml's document gives nodes with marks; this turns them into JSON. */
#include "runtime/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/str.h"

#define MOST_DEPTH 32
#define MOST_VALUES 20000 /* after anchors are expanded */

struct conversion {
    struct tl_yaml *yaml;
    yaml_document_t document;
    struct tl_diagnostics *findings;
    size_t values;
    bool full; /* MOST_VALUES was reported */
};

static bool is_integer(const char *text) {
    const char *at = text + (*text == '-' || *text == '+');
    if (*at == '\0' || (*at == '0' && at[1] != '\0'))
        return false;
    return at[strspn(at, "0123456789")] == '\0';
}

static bool is_decimal(const char *text) {
    const char *at = text + (*text == '-' || *text == '+');
    size_t whole = strspn(at, "0123456789");
    at += whole;
    size_t fraction = 0;
    if (*at == '.') {
        at++;
        fraction = strspn(at, "0123456789");
        at += fraction;
    }
    if (whole + fraction == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '-' || *at == '+';
        size_t exponent = strspn(at, "0123456789");
        if (exponent == 0)
            return false;
        at += exponent;
    }
    return *at == '\0';
}

json_t *tl_yaml_scalar(const char *text) {
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    for (size_t i = 0; i < sizeof nulls / sizeof nulls[0]; i++)
        if (strcmp(text, nulls[i]) == 0)
            return json_null();
    if (strcmp(text, "true") == 0 || strcmp(text, "True") == 0 || strcmp(text, "TRUE") == 0)
        return json_true();
    if (strcmp(text, "false") == 0 || strcmp(text, "False") == 0 || strcmp(text, "FALSE") == 0)
        return json_false();
    if (is_integer(text)) {
        errno = 0;
        long long value = strtoll(text, NULL, 10);
        if (errno == 0)
            return json_integer(value);
    }
    if (is_decimal(text)) {
        double value = strtod(text, NULL);
        if (isfinite(value))
            return json_real(value);
    }
    json_t *string = json_string(text);
    return string ? string : json_null(); /* libyaml hands out valid UTF-8 only */
}

static void remember(struct conversion *conversion, const char *path, const yaml_node_t *node) {
    struct tl_yaml_mark *mark = tl_arena_alloc(&conversion->yaml->arena, sizeof *mark);
    mark->line = (unsigned)node->start_mark.line + 1;
    mark->column = (unsigned)node->start_mark.column + 1;
    tl_map_set(&conversion->yaml->marks, path, mark);
}

static void complain(struct conversion *conversion, const yaml_node_t *node, const char *message) {
    tl_diagnostics_add(conversion->findings, TL_SEVERITY_ERROR, (unsigned)node->start_mark.line + 1,
                       (unsigned)node->start_mark.column + 1, "%s", message);
}

static json_t *convert(struct conversion *conversion, int index, struct tl_str *path, unsigned depth);

static json_t *convert_mapping(struct conversion *conversion, const yaml_node_t *node, struct tl_str *path, unsigned depth) {
    json_t *object = json_object();
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start; pair < node->data.mapping.pairs.top; pair++) {
        const yaml_node_t *key = yaml_document_get_node(&conversion->document, pair->key);
        if (key->type != YAML_SCALAR_NODE) {
            complain(conversion, key, "a key must be a plain word, not a list or mapping");
            continue;
        }
        const char *name = (const char *)key->data.scalar.value;
        if (json_object_get(object, name)) {
            tl_diagnostics_add(conversion->findings, TL_SEVERITY_ERROR, (unsigned)key->start_mark.line + 1,
                               (unsigned)key->start_mark.column + 1, "'%s' is written twice", name);
            continue;
        }
        size_t length = path->length;
        tl_str_printf(path, "/%s", name);
        json_object_set_new(object, name, convert(conversion, pair->value, path, depth + 1));
        tl_str_truncate(path, length);
    }
    return object;
}

static json_t *convert_sequence(struct conversion *conversion, const yaml_node_t *node, struct tl_str *path, unsigned depth) {
    json_t *array = json_array();
    for (const yaml_node_item_t *item = node->data.sequence.items.start; item < node->data.sequence.items.top; item++) {
        size_t length = path->length;
        tl_str_printf(path, "/%zu", json_array_size(array));
        json_array_append_new(array, convert(conversion, *item, path, depth + 1));
        tl_str_truncate(path, length);
    }
    return array;
}

static json_t *convert(struct conversion *conversion, int index, struct tl_str *path, unsigned depth) {
    const yaml_node_t *node = yaml_document_get_node(&conversion->document, index);
    if (++conversion->values > MOST_VALUES || depth > MOST_DEPTH) {
        if (!conversion->full)
            complain(conversion, node, depth > MOST_DEPTH ? "nested more than 32 levels deep"
                                                          : "more than 20,000 values (anchors expanded)");
        conversion->full = true;
        return json_null();
    }
    remember(conversion, path->data, node);
    switch (node->type) {
    case YAML_SCALAR_NODE:
        if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
            return tl_yaml_scalar((const char *)node->data.scalar.value);
        return json_stringn((const char *)node->data.scalar.value, node->data.scalar.length);
    case YAML_SEQUENCE_NODE:
        return convert_sequence(conversion, node, path, depth);
    case YAML_MAPPING_NODE:
        return convert_mapping(conversion, node, path, depth);
    default:
        return json_null();
    }
}

bool tl_yaml_parse(struct tl_yaml *yaml, const char *text, size_t length, struct tl_diagnostics *findings) {
    size_t before = findings->errors;
    tl_arena_init(&yaml->arena);
    tl_map_init(&yaml->marks);
    yaml->root = NULL;

    struct conversion conversion = {.yaml = yaml, .findings = findings};
    yaml_parser_t parser;
    yaml_parser_initialize(&parser);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, length);
    if (!yaml_parser_load(&parser, &conversion.document)) {
        tl_diagnostics_add(findings, TL_SEVERITY_ERROR, (unsigned)parser.problem_mark.line + 1,
                           (unsigned)parser.problem_mark.column + 1, "this is not YAML: %s%s%s",
                           parser.problem ? parser.problem : "unreadable", parser.context ? ", " : "",
                           parser.context ? parser.context : "");
    } else {
        yaml_node_t *root = yaml_document_get_root_node(&conversion.document);
        struct tl_str path = TL_STR_INIT;
        if (root)
            yaml->root = convert(&conversion, (int)(root - conversion.document.nodes.start) + 1, &path, 0);
        tl_str_fini(&path);
        yaml_document_delete(&conversion.document);
    }
    yaml_parser_delete(&parser);
    if (!yaml->root)
        yaml->root = json_null();
    return findings->errors == before;
}

void tl_yaml_fini(struct tl_yaml *yaml) {
    json_decref(yaml->root);
    yaml->root = NULL;
    tl_map_fini(&yaml->marks);
    tl_arena_fini(&yaml->arena);
}

struct tl_yaml_mark tl_yaml_where(const struct tl_yaml *yaml, const char *path) {
    struct tl_str at = TL_STR_INIT;
    tl_str_puts(&at, path);
    const struct tl_yaml_mark *mark;
    while (!(mark = tl_map_get(&yaml->marks, at.data)) && at.length > 0) {
        const char *slash = strrchr(at.data, '/');
        tl_str_truncate(&at, slash ? (size_t)(slash - at.data) : 0);
    }
    tl_str_fini(&at);
    return mark ? *mark : (struct tl_yaml_mark){0, 0};
}

/* compile.c: JSON Schema → nodes. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "schema/compile_impl.h"

#define MOST_LEVELS 64        /* schemas within each other */
#define MOST_NODES 4096
#define MOST_COUNT 1000000000 /* of minLength and the like */

/* ---- keywords ---- */

static const char *const describing[] = {"title", "description", "default", "examples", "$schema", "$id", "$comment",
                                         "$defs", "definitions", "deprecated", "readOnly", "writeOnly", "format"};
static const char *const constraining[] = {
    "type", "enum", "const", "properties", "required", "additionalProperties", "items",
    "minItems", "maxItems", "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum",
    "exclusiveMaximum"};
static const char *const combining[] = {"anyOf", "oneOf", "allOf", "$ref"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static bool among(const char *name, const char *const *names, size_t count) {
    for (size_t i = 0; i < count; i++)
        if (strcmp(names[i], name) == 0)
            return true;
    return false;
}

/* Every keyword must be one that is kept; beside one that combines others, none may constrain. */
static bool check_keywords(const struct tl_schema_compile *compile, const json_t *json,
                           const struct tl_schema_place *place) {
    const char *combines = NULL;
    for (size_t i = 0; i < COUNT(combining) && !combines; i++)
        combines = json_object_get(json, combining[i]) ? combining[i] : NULL;
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json, name, value) {
        if (among(name, describing, COUNT(describing)))
            continue;
        bool combining_one = among(name, combining, COUNT(combining));
        if (!combining_one && !among(name, constraining, COUNT(constraining))) {
            tl_schema_fail(compile, place, "the keyword '%.64s' is not supported", name);
            return false;
        }
        if (combines && strcmp(name, combines) != 0) {
            tl_schema_fail(compile, place, "'%s' beside '%s' is not supported", name, combines);
            return false;
        }
    }
    return true;
}

/* A count such as minItems; false after a message. */
static bool read_count(const struct tl_schema_compile *compile, const json_t *json, const struct tl_schema_place *place,
                       const char *name, uint64_t otherwise, uint64_t *count) {
    const json_t *value = json_object_get(json, name);
    *count = otherwise;
    if (!value)
        return true;
    struct tl_schema_place here = tl_schema_member(place, name);
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number <= MOST_COUNT) || number != (double)(uint64_t)number) {
        tl_schema_fail(compile, &here, "expected a whole number from 0 to %d", MOST_COUNT);
        return false;
    }
    *count = (uint64_t)number;
    return true;
}

static bool read_counts(const struct tl_schema_compile *compile, const json_t *json,
                        const struct tl_schema_place *place, const char *const names[2], uint64_t *least,
                        uint64_t *most) {
    if (!read_count(compile, json, place, names[0], 0, least) ||
        !read_count(compile, json, place, names[1], TL_SCHEMA_UNLIMITED, most))
        return false;
    if (*least <= *most)
        return true;
    tl_schema_fail(compile, place, "%s is %llu and %s only %llu", names[0], (unsigned long long)*least, names[1],
                   (unsigned long long)*most);
    return false;
}

/* ---- one type each ---- */

uint32_t tl_schema_compile_node(struct tl_schema_compile *compile, const json_t *json,
                                const struct tl_schema_place *place);

static bool compile_string(struct tl_schema_compile *compile, uint32_t index, const json_t *json,
                           const struct tl_schema_place *place) {
    static const char *const names[2] = {"minLength", "maxLength"};
    struct tl_schema_node *node = tl_schema_node_at(compile, index);
    node->kind = TL_SCHEMA_STRING;
    return read_counts(compile, json, place, names, &node->as.string.least, &node->as.string.most);
}

static bool compile_number(struct tl_schema_compile *compile, uint32_t index, const json_t *json,
                           const struct tl_schema_place *place, bool whole) {
    static const char *const names[4] = {"minimum", "exclusiveMinimum", "maximum", "exclusiveMaximum"};
    const json_t *bounds[4];
    for (size_t i = 0; i < 4; i++) {
        bounds[i] = json_object_get(json, names[i]);
        struct tl_schema_place here = tl_schema_member(place, names[i]);
        if (bounds[i] && !json_is_number(bounds[i])) {
            tl_schema_fail(compile, &here, "expected a number");
            return false;
        }
    }
    struct tl_schema_node *node = tl_schema_node_at(compile, index);
    node->kind = TL_SCHEMA_NUMBER;
    node->as.number.whole = whole;
    if (tl_schema_number_bound(node, bounds[0], bounds[1], bounds[2], bounds[3]))
        return true;
    tl_schema_fail(compile, place, "no %s is within these bounds (%s)", whole ? "integer" : "number",
                   whole ? "at most 15 digits are written"
                         : "at most 12 digits before the point and 6 behind it are written");
    return false;
}

static bool compile_array(struct tl_schema_compile *compile, uint32_t index, const json_t *json,
                          const struct tl_schema_place *place) {
    static const char *const names[2] = {"minItems", "maxItems"};
    uint64_t least, most;
    if (!read_counts(compile, json, place, names, &least, &most))
        return false;
    const json_t *items = json_object_get(json, "items");
    struct tl_schema_place here = tl_schema_member(place, "items");
    uint32_t item = items ? tl_schema_compile_node(compile, items, &here) : tl_schema_anything(compile);
    struct tl_schema_node *node = tl_schema_node_at(compile, index);
    node->kind = TL_SCHEMA_ARRAY;
    node->as.array.item = item;
    node->as.array.least = least;
    node->as.array.most = most;
    return item != TL_SCHEMA_NONE;
}

/* Names that `required` lists, as a bool each; NULL after a message. */
static bool *read_required(struct tl_schema_compile *compile, const json_t *json, const json_t *properties,
                           const struct tl_schema_place *place) {
    size_t count = json_object_size(properties), i;
    bool *required = tl_arena_alloc(&compile->schema->arena, count + 1);
    const json_t *list = json_object_get(json, "required");
    struct tl_schema_place here = tl_schema_member(place, "required");
    json_t *wanted;
    if (list && !json_is_array(list)) {
        tl_schema_fail(compile, &here, "expected an array of names");
        return NULL;
    }
    json_array_foreach((json_t *)list, i, wanted) {
        struct tl_schema_place at = tl_schema_element(&here, i);
        const char *name;
        json_t *value;
        size_t position = 0;
        bool found = false;
        json_object_foreach((json_t *)properties, name, value) {
            bool same = json_is_string(wanted) && strcmp(name, json_string_value(wanted)) == 0;
            required[position++] |= same;
            found |= same;
        }
        if (!found) {
            tl_schema_fail(compile, &at, "expected the name of a member of 'properties'");
            return NULL;
        }
    }
    return required;
}

static bool compile_members(struct tl_schema_compile *compile, uint32_t index, const json_t *json,
                            const json_t *properties, const struct tl_schema_place *place) {
    struct tl_arena *arena = &compile->schema->arena;
    struct tl_schema_place here = tl_schema_member(place, "properties");
    size_t count = json_object_size(properties), i = 0;
    if (count > TL_SCHEMA_PROPERTIES_MAX) {
        tl_schema_fail(compile, &here, "there are %zu properties; at most %d are supported", count,
                       TL_SCHEMA_PROPERTIES_MAX);
        return false;
    }
    bool *required = read_required(compile, json, properties, place);
    if (!required)
        return false;
    uint32_t *values = tl_arena_alloc(arena, (count + 1) * sizeof *values);
    char **names = tl_arena_alloc(arena, (count + 1) * sizeof *names);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)properties, name, value) {
        struct tl_schema_place at = tl_schema_member(&here, name);
        names[i] = tl_schema_quoted(compile, name);
        values[i] = tl_schema_compile_node(compile, value, &at);
        if (values[i++] == TL_SCHEMA_NONE)
            return false;
    }
    tl_schema_set_object(compile, index, names, values, required, count);
    return true;
}

static bool compile_object(struct tl_schema_compile *compile, uint32_t index, const json_t *json,
                           const struct tl_schema_place *place) {
    const json_t *properties = json_object_get(json, "properties");
    const json_t *others = json_object_get(json, "additionalProperties");
    struct tl_schema_place here = tl_schema_member(place, properties ? "properties" : "additionalProperties");
    if (properties && !json_is_object(properties)) {
        tl_schema_fail(compile, &here, "expected an object with a schema for each name");
        return false;
    }
    if (json_object_size(properties) > 0 || json_is_false(others)) /* members that are only allowed are not written */
        return compile_members(compile, index, json, properties, place);
    if (json_array_size(json_object_get(json, "required")) > 0) {
        tl_schema_fail(compile, place, "'required' without 'properties' is not supported");
        return false;
    }
    uint32_t key = tl_schema_add_string(compile, 1, TL_SCHEMA_UNLIMITED);
    uint32_t value = others ? tl_schema_compile_node(compile, others, &here) : tl_schema_anything(compile);
    struct tl_schema_node *node = tl_schema_node_at(compile, index);
    node->kind = TL_SCHEMA_MAP;
    node->as.map.key = key;
    node->as.map.value = value;
    return value != TL_SCHEMA_NONE;
}

static bool compile_type(struct tl_schema_compile *compile, uint32_t index, const json_t *json, const char *type,
                         const struct tl_schema_place *place) {
    struct tl_schema_literal words[] = {tl_schema_literal_of("null", 0), tl_schema_literal_of("true", 0),
                                        tl_schema_literal_of("false", 0)};
    if (strcmp(type, "object") == 0)
        return compile_object(compile, index, json, place);
    if (strcmp(type, "array") == 0)
        return compile_array(compile, index, json, place);
    if (strcmp(type, "string") == 0)
        return compile_string(compile, index, json, place);
    if (strcmp(type, "integer") == 0 || strcmp(type, "number") == 0)
        return compile_number(compile, index, json, place, type[0] == 'i');
    bool null = strcmp(type, "null") == 0;
    if (!null && strcmp(type, "boolean") != 0) {
        struct tl_schema_place here = tl_schema_member(place, "type");
        tl_schema_fail(compile, &here,
                       "expected object, array, string, number, integer, boolean or null, found '%.64s'", type);
        return false;
    }
    struct tl_schema_node *node = tl_schema_node_at(compile, index);
    node->kind = TL_SCHEMA_LITERALS;
    node->as.literals = tl_schema_literals_make(&compile->schema->arena, null ? words : words + 1, null ? 1 : 2);
    return true;
}

/* ---- what combines others ---- */

static bool compile_any_of(struct tl_schema_compile *compile, uint32_t index, const json_t *list, const char *name,
                           const struct tl_schema_place *place) {
    struct tl_schema_place here = tl_schema_member(place, name);
    size_t count = json_array_size(list), most = strcmp(name, "allOf") == 0 ? 1 : TL_SCHEMA_WAYS;
    if (count < 1 || count > most) {
        tl_schema_fail(compile, &here, "expected an array of 1 to %zu schemas", most);
        return false;
    }
    uint32_t nodes[TL_SCHEMA_WAYS];
    for (size_t i = 0; i < count; i++) {
        struct tl_schema_place at = tl_schema_element(&here, i);
        nodes[i] = tl_schema_compile_node(compile, json_array_get(list, i), &at);
        if (nodes[i] == TL_SCHEMA_NONE)
            return false;
    }
    tl_schema_set_any_of(compile, index, nodes, count);
    return true;
}

/* A type that is a list: a node for each. */
static bool compile_types(struct tl_schema_compile *compile, uint32_t index, const json_t *json, const json_t *types,
                          const struct tl_schema_place *place) {
    struct tl_schema_place here = tl_schema_member(place, "type");
    size_t count = json_array_size(types);
    uint32_t nodes[7];
    if (count < 1 || count > COUNT(nodes)) {
        tl_schema_fail(compile, &here, "expected a type, or an array of 1 to %zu types", COUNT(nodes));
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        struct tl_schema_place at = tl_schema_element(&here, i);
        const char *type = json_string_value(json_array_get(types, i));
        nodes[i] = tl_schema_add_node(compile, TL_SCHEMA_ANY_OF);
        if (!type)
            return tl_schema_fail(compile, &at, "expected a type's name") != TL_SCHEMA_NONE;
        if (!compile_type(compile, nodes[i], json, type, place))
            return false;
    }
    tl_schema_set_any_of(compile, index, nodes, count);
    return true;
}

/* What "#", "#/$defs/name" or a longer path points at; NULL: nothing. */
static const json_t *resolve(const json_t *document, const char *path) {
    if (path[0] != '#')
        return NULL;
    const json_t *at = document;
    for (path++; at && path[0] == '/';) {
        size_t length = strcspn(++path, "/");
        struct tl_str name = TL_STR_INIT;
        for (size_t i = 0; i < length; i++) { /* ~1 stands for a slash, ~0 for itself */
            bool escaped = path[i] == '~' && i + 1 < length && (path[i + 1] == '0' || path[i + 1] == '1');
            tl_str_putc(&name, !escaped ? path[i] : path[i + 1] == '1' ? '/'
                                                                       : '~');
            i += escaped;
        }
        at = json_is_object(at) ? json_object_get(at, name.data) : json_array_get(at, strtoul(name.data, NULL, 10));
        tl_str_fini(&name);
        path += length;
    }
    return path[0] == '\0' ? at : NULL;
}

static bool compile_reference(struct tl_schema_compile *compile, uint32_t index, const json_t *reference,
                              const struct tl_schema_place *place) {
    struct tl_schema_place here = tl_schema_member(place, "$ref");
    const char *path = json_string_value(reference);
    const json_t *target = path ? resolve(compile->document, path) : NULL;
    if (!target)
        return tl_schema_fail(compile, &here, "expected a path in this document such as '#/$defs/name', found '%.64s'",
                              path ? path : "no text") != TL_SCHEMA_NONE;
    uint32_t node = tl_schema_compile_node(compile, target, &here);
    if (node != TL_SCHEMA_NONE)
        tl_schema_set_any_of(compile, index, &node, 1);
    return node != TL_SCHEMA_NONE;
}

/* ---- any schema ---- */

static bool compile_schema(struct tl_schema_compile *compile, uint32_t index, const json_t *json,
                           const struct tl_schema_place *place) {
    if (!check_keywords(compile, json, place))
        return false;
    if (json_object_get(json, "$ref"))
        return compile_reference(compile, index, json_object_get(json, "$ref"), place);
    for (size_t i = 0; i < 3; i++)
        if (json_object_get(json, combining[i]))
            return compile_any_of(compile, index, json_object_get(json, combining[i]), combining[i], place);
    if (json_object_get(json, "const") || json_object_get(json, "enum"))
        return tl_schema_compile_values(compile, index, json, place);
    const json_t *type = json_object_get(json, "type");
    if (json_is_string(type))
        return compile_type(compile, index, json, json_string_value(type), place);
    if (type)
        return compile_types(compile, index, json, type, place);
    if (json_object_get(json, "properties"))
        return compile_object(compile, index, json, place);
    if (json_object_get(json, "items"))
        return compile_array(compile, index, json, place);
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)json, name, value) {
        if (among(name, constraining, COUNT(constraining)))
            return tl_schema_fail(compile, place, "'%s' without 'type' is not supported", name) != TL_SCHEMA_NONE;
    }
    uint32_t any = tl_schema_anything(compile);
    tl_schema_set_any_of(compile, index, &any, 1);
    return true;
}

uint32_t tl_schema_compile_node(struct tl_schema_compile *compile, const json_t *json,
                                const struct tl_schema_place *place) {
    if (json_is_true(json))
        return tl_schema_anything(compile);
    if (!json_is_object(json))
        return tl_schema_fail(compile, place, "expected a schema, which is an object");
    for (size_t i = 0; i < compile->known_count; i++)
        if (compile->known[i].json == json)
            return compile->known[i].node;
    if (place->level > MOST_LEVELS || compile->schema->node_count > MOST_NODES)
        return tl_schema_fail(compile, place, "the schema is too large: at most %d levels and %d values are supported",
                              MOST_LEVELS, MOST_NODES);
    uint32_t index = tl_schema_add_node(compile, TL_SCHEMA_ANY_OF);
    compile->known = tl_mem_grow(compile->known, &compile->known_capacity, compile->known_count + 1,
                                 sizeof *compile->known);
    compile->known[compile->known_count++] = (struct tl_schema_known){json, index};
    return compile_schema(compile, index, json, place) ? index : TL_SCHEMA_NONE;
}

/* ---- a whole one ---- */

void tl_schema_compile_begin(struct tl_schema_compile *compile, struct tl_error *error) {
    struct tl_schema *schema = tl_mem_zalloc(sizeof *schema);
    tl_arena_init(&schema->arena);
    *compile = (struct tl_schema_compile){.schema = schema, .anything = TL_SCHEMA_NONE, .error = error};
}

static bool has_room(struct tl_schema_compile *compile, uint32_t root, const struct tl_schema_place *place) {
    compile->schema->root = root;
    tl_schema_measure(compile->schema);
    uint32_t depth = compile->schema->nodes[root].depth;
    if (depth == TL_SCHEMA_NONE)
        tl_schema_fail(compile, place, "a value of it would never end, because it contains itself");
    else if (depth > TL_SCHEMA_NESTING)
        tl_schema_fail(compile, place, "a value of it has %u levels, at most %d are supported", depth,
                       TL_SCHEMA_NESTING);
    return depth <= TL_SCHEMA_NESTING;
}

enum tl_status tl_schema_compile_end(struct tl_schema_compile *compile, uint32_t root,
                                     const struct tl_schema_place *place, struct tl_schema **schema) {
    bool good = root != TL_SCHEMA_NONE && has_room(compile, root, place);
    tl_mem_free(compile->known);
    *schema = good ? compile->schema : NULL;
    if (!good)
        tl_schema_free(compile->schema);
    return good ? TL_OK : TL_ERR_INVALID;
}

enum tl_status tl_schema_compile(const json_t *json, const char *name, struct tl_schema **schema,
                                 struct tl_error *error) {
    struct tl_schema_compile compile;
    struct tl_schema_place place = {.name = name};
    tl_schema_compile_begin(&compile, error);
    compile.document = json;
    return tl_schema_compile_end(&compile, tl_schema_compile_node(&compile, json, &place), &place, schema);
}

void tl_schema_free(struct tl_schema *schema) {
    if (!schema)
        return;
    tl_arena_fini(&schema->arena);
    tl_mem_free(schema);
}

bool tl_schema_is_array(const struct tl_schema *schema) {
    const struct tl_schema_node *root = &schema->nodes[schema->root];
    if (root->kind == TL_SCHEMA_ANY_OF && root->as.any_of.count == 1)
        root = &schema->nodes[root->as.any_of.nodes[0]];
    return root->kind == TL_SCHEMA_ARRAY;
}

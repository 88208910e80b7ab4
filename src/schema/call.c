/* call.c: schemas that are not written as JSON Schema: a choice of texts, and calls of tools. */
#include <string.h>

#include "schema/compile_impl.h"

enum tl_status tl_schema_compile_choice(const char *const *texts, size_t count, struct tl_schema **schema,
                                        struct tl_error *error) {
    struct tl_schema_compile compile;
    struct tl_schema_place place = {.name = "choices"};
    tl_schema_compile_begin(&compile, error);
    uint32_t root = 0;
    if (count < 1 || count > TL_SCHEMA_VALUES_MAX)
        root = tl_schema_fail(&compile, &place, "expected 1 to %d texts", TL_SCHEMA_VALUES_MAX);
    struct tl_arena *arena = &compile.schema->arena;
    struct tl_schema_literal *items = root != TL_SCHEMA_NONE ? tl_arena_alloc(arena, count * sizeof *items) : NULL;
    for (size_t i = 0; i < count && root != TL_SCHEMA_NONE; i++) {
        struct tl_schema_place at = tl_schema_element(&place, i);
        items[i] = tl_schema_literal_of(tl_arena_strdup(arena, texts[i]), 0);
        if (items[i].length < 1 || items[i].length > TL_SCHEMA_VALUE_BYTES_MAX)
            root = tl_schema_fail(&compile, &at, "expected a text of 1 to %d bytes", TL_SCHEMA_VALUE_BYTES_MAX);
    }
    if (root != TL_SCHEMA_NONE)
        root = tl_schema_add_literals(&compile, items, count);
    return tl_schema_compile_end(&compile, root, &place, schema);
}

/* ---- calls of tools ---- */

/* {"name": "<name>", "<arguments>": <parameters>} */
static uint32_t add_call(struct tl_schema_compile *compile, const json_t *tool, const char *arguments,
                         const struct tl_schema_place *place) {
    const json_t *function = json_object_get(tool, "function");
    struct tl_schema_place inside = function ? tl_schema_member(place, "function") : *place;
    function = function ? function : tool;
    const char *name = json_string_value(json_object_get(function, "name"));
    struct tl_schema_place name_place = tl_schema_member(&inside, "name"),
                           parameters_place = tl_schema_member(&inside, "parameters");
    if (!name || !name[0] || strlen(name) > TL_SCHEMA_VALUE_BYTES_MAX / 2)
        return tl_schema_fail(compile, &name_place, "expected the tool's name");
    const json_t *parameters = json_object_get(function, "parameters");
    compile->document = parameters;
    uint32_t index = tl_schema_add_node(compile, TL_SCHEMA_OBJECT), value;
    if (parameters) {
        value = tl_schema_compile_node(compile, parameters, &parameters_place);
        if (value == TL_SCHEMA_NONE)
            return TL_SCHEMA_NONE;
    } else {
        struct tl_schema_literal empty = tl_schema_literal_of("{}", 0);
        value = tl_schema_add_literals(compile, &empty, 1);
    }
    uint32_t *values = tl_arena_alloc(&compile->schema->arena, 2 * sizeof *values);
    struct tl_schema_literal literal = tl_schema_literal_of(tl_schema_quoted(compile, name), 0);
    values[0] = tl_schema_add_literals(compile, &literal, 1);
    values[1] = value;
    char *names[2] = {"\"name\"", tl_schema_quoted(compile, arguments)};
    const bool required[2] = {true, true};
    tl_schema_set_object(compile, index, names, values, required, 2);
    return index;
}

enum tl_status tl_schema_compile_call(const json_t *tools, const char *arguments, struct tl_schema **schema,
                                      struct tl_error *error) {
    struct tl_schema_compile compile;
    struct tl_schema_place place = {.name = "tools"};
    tl_schema_compile_begin(&compile, error);
    size_t count = json_array_size(tools);
    uint32_t nodes[TL_SCHEMA_WAYS], root = tl_schema_add_node(&compile, TL_SCHEMA_ANY_OF);
    if (count < 1 || count > TL_SCHEMA_WAYS)
        root = tl_schema_fail(&compile, &place, "expected an array of 1 to %d tools", TL_SCHEMA_WAYS);
    for (size_t i = 0; i < count && root != TL_SCHEMA_NONE; i++) {
        struct tl_schema_place at = tl_schema_element(&place, i);
        nodes[i] = add_call(&compile, json_array_get(tools, i), arguments, &at);
        root = nodes[i] == TL_SCHEMA_NONE ? TL_SCHEMA_NONE : root;
    }
    if (root != TL_SCHEMA_NONE)
        tl_schema_set_any_of(&compile, root, nodes, count);
    return tl_schema_compile_end(&compile, root, &place, schema);
}

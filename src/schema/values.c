/* values.c: enum and const. */
#include <stdlib.h>
#include <string.h>

#include "schema/compile_impl.h"

/* ---- values listed ---- */

static bool has_type(const json_t *value, const char *type) {
    switch (json_typeof(value)) {
    case JSON_OBJECT: return strcmp(type, "object") == 0;
    case JSON_ARRAY: return strcmp(type, "array") == 0;
    case JSON_STRING: return strcmp(type, "string") == 0;
    case JSON_INTEGER: return strcmp(type, "integer") == 0 || strcmp(type, "number") == 0;
    case JSON_REAL: return strcmp(type, "number") == 0;
    case JSON_TRUE:
    case JSON_FALSE: return strcmp(type, "boolean") == 0;
    default: return strcmp(type, "null") == 0;
    }
}

static bool allowed_by_type(const json_t *value, const json_t *type) {
    if (!type || json_is_string(type))
        return !type || has_type(value, json_string_value(type));
    size_t i;
    json_t *one;
    json_array_foreach((json_t *)type, i, one) {
        if (json_is_string(one) && has_type(value, json_string_value(one)))
            return true;
    }
    return false;
}

/* The value as it will be written, in the arena; numbers by the shortest digits that are exact. NULL: too long. */
static const char *text_of(struct tl_schema_compile *compile, const json_t *value) {
    char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(15));
    json_t *again = text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    if (!again || !json_equal((json_t *)value, again)) {
        free(text);
        text = json_dumps(value, JSON_ENCODE_ANY);
    }
    json_decref(again);
    const char *kept =
        text && strlen(text) <= TL_SCHEMA_VALUE_BYTES_MAX ? tl_arena_strdup(&compile->schema->arena, text) : NULL;
    free(text);
    return kept;
}

bool tl_schema_compile_values(struct tl_schema_compile *compile, uint32_t index, const json_t *json,
                              const struct tl_schema_place *place) {
    const json_t *one = json_object_get(json, "const"), *many = json_object_get(json, "enum");
    struct tl_schema_place here = tl_schema_member(place, one ? "const" : "enum");
    size_t count = one ? 1 : json_array_size(many);
    if (count < 1 || count > TL_SCHEMA_VALUES_MAX || (one && many)) {
        tl_schema_fail(compile, &here, "expected an array of 1 to %d values, or 'const' alone", TL_SCHEMA_VALUES_MAX);
        return false;
    }
    struct tl_schema_literal *items = tl_arena_alloc(&compile->schema->arena, count * sizeof *items);
    for (size_t i = 0; i < count; i++) {
        const json_t *value = one ? one : json_array_get(many, i);
        struct tl_schema_place at = tl_schema_element(&here, i);
        const char *text = text_of(compile, value);
        if (!allowed_by_type(value, json_object_get(json, "type")) || !text) {
            tl_schema_fail(compile, &at,
                           text ? "the value is not of the type that 'type' names" : "the value is too long");
            return false;
        }
        items[i] = tl_schema_literal_of(text, 0);
    }
    struct tl_schema_node *node = tl_schema_node_at(compile, index);
    node->kind = TL_SCHEMA_LITERALS;
    node->as.literals = tl_schema_literals_make(&compile->schema->arena, items, count);
    return true;
}

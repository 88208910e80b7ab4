/* emulated_format.c: what an emulated decode writes where a form is asked for: the shortest JSON that the schema
 * allows, a choice by hash, a call of the tool by hash. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "engine/emulated/emulated.h"
#include "schema/schema.h"
#include "schema/tools.h"

static json_t *json_of(const struct tl_attributes *attributes, const char *name) {
    const char *text = tl_attributes_string(attributes, name, NULL);
    return text ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
}

/* The shortest text of the schema, which is freed. */
static void write_shortest(struct tl_schema *schema, struct tl_str *text) {
    struct tl_schema_state state;
    tl_schema_state_init(&state, schema);
    tl_schema_close(&state, text);
    tl_schema_state_fini(&state);
    tl_schema_free(schema);
}

static enum tl_status write_json(const struct tl_attributes *attributes, struct tl_str *text, bool *array,
                                 struct tl_error *error) {
    struct tl_schema *schema;
    json_t *json = tl_attributes_find(attributes, "schema") ? json_of(attributes, "schema")
                                                            : json_pack("{s:s}", "type", "object");
    enum tl_status status = tl_schema_compile(json, "schema", &schema, error);
    json_decref(json);
    if (status != TL_OK)
        return status;
    *array = tl_schema_is_array(schema);
    write_shortest(schema, text);
    return TL_OK;
}

/* One of the elements of an array attribute, alone in an array: owned. */
static json_t *one_of(const struct tl_attributes *attributes, const char *name, uint64_t hash) {
    json_t *json = json_of(attributes, name), *one = json_array();
    if (json_array_size(json) > 0)
        json_array_append(one, json_array_get(json, (size_t)(hash % json_array_size(json))));
    json_decref(json);
    return one;
}

static struct tl_value *list_of(json_t *array) {
    size_t count = json_array_size(array);
    struct tl_value **items = tl_mem_try_alloc((count + 1) * sizeof(struct tl_value *));
    size_t made = 0;
    while (items && made < count && (items[made] = tl_value_json(json_incref(json_array_get(array, made)))) != NULL)
        made++;
    struct tl_value *list = items && made == count ? tl_value_list(TL_TYPE_OF(JSON, 0), items, count) : NULL;
    for (size_t i = 0; !list && i < made; i++)
        tl_value_unref(items[i]);
    tl_mem_free(items);
    json_decref(array);
    return list;
}

static enum tl_status write_call(const struct tl_attributes *attributes, uint64_t hash, struct tl_str *text,
                                 struct tl_value **value, struct tl_error *error) {
    struct tl_schema *schema;
    json_t *tool = one_of(attributes, "tools", hash);
    enum tl_status status = tl_schema_compile_call(tool, "arguments", &schema, error);
    if (status == TL_OK) {
        write_shortest(schema, text);
        *value = tl_value_json(tl_tools_read(text->data, text->length, tool));
    }
    json_decref(tool);
    return status;
}

enum tl_status tl_emulated_formatted(const struct tl_attributes *attributes, uint64_t hash, struct tl_value **value,
                                     uint64_t *tokens, struct tl_error *error) {
    const char *format = tl_attributes_string(attributes, "format", "text");
    struct tl_str text = TL_STR_INIT;
    enum tl_status status = TL_OK;
    bool array = false, written = true;
    *value = NULL;
    if (strcmp(format, "json") == 0) {
        status = write_json(attributes, &text, &array, error);
        json_t *json = status == TL_OK ? json_loadb(text.data, text.length, JSON_DECODE_ANY, NULL) : NULL;
        if (json)
            *value = array ? list_of(json) : tl_value_json(json);
    } else if (strcmp(format, "choice") == 0) {
        json_t *choice = one_of(attributes, "choices", hash);
        const char *chosen = json_string_value(json_array_get(choice, 0));
        if (chosen)
            tl_str_puts(&text, chosen);
        else
            status = tl_error_set(error, TL_ERR_INVALID, "format choice needs the attribute choices");
        *value = chosen ? tl_value_text(text.data, text.length) : NULL;
        json_decref(choice);
    } else if (strcmp(format, "tool_call") == 0) {
        status = write_call(attributes, hash, &text, value, error);
    } else {
        written = false;
    }
    *tokens = tl_tokens_of_bytes(text.length);
    tl_str_fini(&text);
    if (status == TL_OK && written && !*value)
        status = tl_error_set(error, TL_ERR_NO_MEMORY, "no memory for the output");
    return status;
}

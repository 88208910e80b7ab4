/* builtin.c: which function executes a primitive without an engine; constants and conditions. */
#include "builtin/builtin.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/mem.h"
#include "builtin/builtin_impl.h"

enum tl_status tl_builtin_finish(struct tl_value *value, struct tl_value **output, struct tl_error *error) {
    if (value == NULL) {
        return tl_error_set(error, TL_ERR_NO_MEMORY, "out of memory for a result");
    }
    *output = value;
    return TL_OK;
}

static bool is_blank(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (strchr(" \t\r\n\f\v", text[i]) == NULL || text[i] == '\0') {
            return false;
        }
    }
    return true;
}

static bool is_json_empty(const json_t *json) {
    switch (json_typeof(json)) {
    case JSON_NULL:
    case JSON_FALSE:
        return true;
    case JSON_STRING:
        return is_blank(json_string_value(json), json_string_length(json));
    case JSON_ARRAY:
        return json_array_size(json) == 0;
    case JSON_OBJECT:
        return json_object_size(json) == 0;
    case JSON_INTEGER:
    case JSON_REAL:
        return json_number_value(json) == 0;
    default:
        return false;
    }
}

bool tl_builtin_is_empty(const struct tl_value *value) {
    if (value->type.depth > 0) {
        return value->as.list.count == 0;
    }
    switch ((enum tl_base_type)value->type.base) {
    case TL_TYPE_TEXT:
        return is_blank(value->as.text.data, value->as.text.length);
    case TL_TYPE_BOOL:
        return !value->as.boolean;
    case TL_TYPE_NUMBER:
        return value->as.number == 0;
    case TL_TYPE_JSON:
        return is_json_empty(value->as.json);
    default:
        return false;
    }
}

/* The texts of a JSON array. */
static enum tl_status make_texts(const char *json, struct tl_value **output, struct tl_error *error) {
    json_t *array = json_loads(json, 0, NULL);
    size_t count = json_array_size(array), made = 0;
    bool texts = json_is_array(array);
    for (size_t i = 0; i < count && texts; i++)
        texts = json_is_string(json_array_get(array, i));
    if (!texts) {
        json_decref(array);
        return tl_error_set(error, TL_ERR_INVALID, "the attribute `values` is no JSON array of texts");
    }
    struct tl_value **items = tl_mem_zalloc((count + 1) * sizeof *items);
    for (; made < count; made++) {
        const json_t *text = json_array_get(array, made);
        items[made] = tl_value_text(json_string_value(text), json_string_length(text));
        if (items[made] == NULL)
            break;
    }
    struct tl_value *list = made == count ? tl_value_list(TL_TYPE_OF(TEXT, 0), items, count) : NULL;
    for (size_t i = 0; i < made && made < count; i++)
        tl_value_unref(items[i]);
    tl_mem_free(items);
    json_decref(array);
    return tl_builtin_finish(list, output, error);
}

static enum tl_status execute_constant(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    const char *texts = tl_attributes_string(item->attributes, "values", NULL);
    if (texts != NULL)
        return make_texts(texts, output, error);
    const char *text = tl_attributes_string(item->attributes, "value", NULL);
    if (text == NULL) {
        return tl_error_set(error, TL_ERR_INVALID, "the attribute `value` is missing");
    }
    return tl_builtin_finish(tl_value_text(text, strlen(text)), output, error);
}

/* Whether the value is the word `word`: text and JSON strings by their text without white space around it and
 * without regard to case (models write "Yes"), other scalars as JSON writes them. */
static bool is_word(const struct tl_value *value, const char *word) {
    char number[32];
    const char *text = NULL;
    size_t length = 0;
    if (value->type.depth > 0) {
        return false;
    }
    if (value->type.base == TL_TYPE_TEXT) {
        text = value->as.text.data;
        length = value->as.text.length;
    } else if (value->type.base == TL_TYPE_JSON && json_is_string(value->as.json)) {
        text = json_string_value(value->as.json);
        length = json_string_length(value->as.json);
    } else if (value->type.base == TL_TYPE_BOOL ||
               (value->type.base == TL_TYPE_JSON && json_is_boolean(value->as.json))) {
        bool holds = value->type.base == TL_TYPE_BOOL ? value->as.boolean : json_is_true(value->as.json);
        text = holds ? "true" : "false";
        length = strlen(text);
    } else if (value->type.base == TL_TYPE_NUMBER ||
               (value->type.base == TL_TYPE_JSON && json_is_number(value->as.json))) {
        double found = value->type.base == TL_TYPE_NUMBER ? value->as.number : json_number_value(value->as.json);
        length = (size_t)snprintf(number, sizeof number, "%.12g", found);
        text = number;
    } else {
        return false;
    }
    while (length > 0 && is_blank(text, 1)) {
        text++;
        length--;
    }
    while (length > 0 && is_blank(text + length - 1, 1)) {
        length--;
    }
    return length == strlen(word) && strncasecmp(text, word, length) == 0;
}

static enum tl_status execute_condition(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    const char *is = tl_attributes_string(item->attributes, "is", "nonempty");
    const struct tl_value *value = item->inputs[0];
    bool holds;
    if (strcmp(is, "nonempty") == 0) {
        holds = !tl_builtin_is_empty(value);
    } else if (strcmp(is, "true") == 0) {
        holds = is_word(value, "true");
    } else if (strcmp(is, "equals") == 0) {
        const char *to = tl_attributes_string(item->attributes, "to", NULL);
        if (to == NULL) {
            return tl_error_set(error, TL_ERR_INVALID, "the attribute `to` is missing");
        }
        holds = is_word(value, to);
    } else {
        return tl_error_set(error, TL_ERR_INVALID, "the attribute `is` is \"%s\"; expected nonempty, true or equals",
                            is);
    }
    return tl_builtin_finish(tl_value_bool(holds), output, error);
}

static enum tl_status execute_aggregate(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    const char *mode = tl_attributes_string(item->attributes, "mode", "concat");
    if (strcmp(mode, "concat") == 0) {
        return tl_builtin_concat(item, output, error);
    }
    if (strcmp(mode, "top") == 0) {
        return tl_builtin_top(item, output, error);
    }
    if (strcmp(mode, "join") == 0) {
        return tl_builtin_join(item, output, error);
    }
    if (strcmp(mode, "distinct") == 0) {
        return tl_builtin_distinct(item, output, error);
    }
    if (strcmp(mode, "flatten") == 0) {
        return tl_builtin_flatten(item, output, error);
    }
    return tl_error_set(error, TL_ERR_INVALID,
                        "the attribute `mode` is \"%s\"; expected concat, top, join, distinct or flatten", mode);
}

enum tl_status tl_builtin_execute(const struct tl_item *item, struct tl_value **outputs, size_t count,
                                  struct tl_error *error) {
    TL_ASSERT(count == 1);
    for (size_t i = 0; i < item->input_count; i++) {
        TL_ASSERT(item->inputs[i] != NULL);
    }
    switch (item->op) {
    case TL_OP_RENDER:
        return tl_builtin_render(item, outputs, error);
    case TL_OP_PARSE:
        return tl_builtin_parse(item, outputs, error);
    case TL_OP_CONDITION:
        return execute_condition(item, outputs, error);
    case TL_OP_AGGREGATE:
        return execute_aggregate(item, outputs, error);
    case TL_OP_FUSE:
        return tl_builtin_fuse(item, outputs, error);
    case TL_OP_CONSTANT:
        return execute_constant(item, outputs, error);
    default:
        TL_BUG("%s is not a builtin primitive", tl_primitive_info(item->op)->name);
    }
}

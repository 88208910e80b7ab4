/* check_json.c: a setting that is JSON: written in YAML, which has the same values, or in a file.
 *
 * A scalar without quotes is a number, true, false or null where it reads like one, as in JSON; else a text. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "workflow/workflow_impl.h"

static json_t *scalar(const struct tl_yaml_node *source) {
    const char *text = source->text;
    if (!source->plain)
        return json_string(text);
    if (tl_yaml_is_nothing(source))
        return json_null();
    json_t *value = json_loads(text, JSON_DECODE_ANY, NULL); /* objects and arrays are no plain scalars */
    if (value != NULL && (json_is_number(value) || json_is_boolean(value)))
        return value;
    json_decref(value);
    return json_string(text);
}

/* Depth and size are bounded by the reading of YAML. */
static json_t *convert(const struct tl_yaml_node *source) {
    if (source->kind == TL_YAML_SCALAR)
        return scalar(source);
    json_t *value = source->kind == TL_YAML_LIST ? json_array() : json_object();
    for (size_t i = 0; i < source->count; i++) {
        if (source->kind == TL_YAML_LIST)
            json_array_append_new(value, convert(source->items[i]));
        else
            json_object_set_new(value, source->entries[i].key->text, convert(source->entries[i].value));
    }
    return value;
}

static json_t *load_file(struct tl_check *check, const struct tl_yaml_node *file, const char *what) {
    struct tl_str text = TL_STR_INIT;
    json_error_t where;
    json_t *value = NULL;
    const char *name = tl_check_text(check, file, what, "the path of a JSON file");
    if (name != NULL && tl_check_read_file(check, file, what, name, &text)) {
        value = json_loadb(text.data, text.length, JSON_DECODE_ANY | JSON_REJECT_DUPLICATES, &where);
        if (value == NULL)
            tl_check_error(check, file, "%s: the file '%.128s' is no JSON: line %d, column %d: %s", what, name,
                           where.line, where.column, where.text);
    }
    tl_str_fini(&text);
    return value;
}

void tl_check_json(struct tl_check *check, const char *what, struct tl_setting_value *value) {
    const struct tl_yaml_node *source = value->source;
    const struct tl_yaml_node *file = source->kind == TL_YAML_MAP ? tl_yaml_get(source, "file") : NULL;
    json_t *json = file != NULL && source->count == 1 ? load_file(check, file, what) : convert(source);
    char *text = json != NULL ? json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    value->string = tl_arena_strdup(&check->workflow->arena, text);
    free(text);
    json_decref(json);
}

/* list.c: joining lists, joining texts, and reading the list that a model wrote. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "builtin/builtin_impl.h"

/* A growing array of values, one reference held to each. */
struct values {
    struct tl_value **items;
    size_t count, capacity;
};

static void add_value(struct values *values, struct tl_value *value) {
    values->items = tl_mem_grow(values->items, &values->capacity, values->count + 1, sizeof *values->items);
    values->items[values->count++] = value;
}

/* Makes the list, or with `complete` false drops what was gathered and returns NULL. */
static struct tl_value *finish_list(struct values *values, struct tl_type element, bool complete) {
    struct tl_value *list = NULL;
    if (complete) {
        list = tl_value_list(element, values->items, values->count);
    } else {
        for (size_t i = 0; i < values->count; i++) {
            tl_value_unref(values->items[i]);
        }
    }
    tl_mem_free(values->items);
    return list;
}

/* Inputs have the depth of the deepest (a list each) or one less (an element each); when none is a list
 * the result is a list of them. */
enum tl_status tl_builtin_concat(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    if (item->input_count == 0) {
        return tl_error_set(error, TL_ERR_INVALID, "nothing to concatenate: it has no inputs");
    }
    struct tl_type list = item->inputs[0]->type;
    for (size_t i = 1; i < item->input_count; i++) {
        if (item->inputs[i]->type.depth > list.depth) {
            list.depth = item->inputs[i]->type.depth;
        }
    }
    if (list.depth == 0) {
        list.depth = 1;
    }
    struct values all = {0};
    enum tl_status status = TL_OK;
    for (size_t i = 0; i < item->input_count && status == TL_OK; i++) {
        struct tl_value *input = item->inputs[i];
        if (input->type.base != list.base || input->type.depth + 1 < list.depth) {
            char found[24], wanted[24];
            status = tl_error_set(error, TL_ERR_INVALID, "input `%s` has type %s; expected %s or an element of it",
                                  item->input_names[i], tl_type_print(input->type, found), tl_type_print(list, wanted));
        } else if (input->type.depth < list.depth) {
            add_value(&all, tl_value_ref(input));
        } else {
            for (size_t k = 0; k < input->as.list.count; k++) {
                add_value(&all, tl_value_ref(input->as.list.items[k]));
            }
        }
    }
    struct tl_value *made = finish_list(&all, tl_type_element(list), status == TL_OK);
    return status == TL_OK ? tl_builtin_finish(made, output, error) : status;
}

/* What stands in the lists of a list, one list after the other. */
enum tl_status tl_builtin_flatten(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    if (item->input_count != 1 || item->inputs[0]->type.depth < 2) {
        return tl_error_set(error, TL_ERR_INVALID, "it expects one input, a list of lists");
    }
    const struct tl_value *lists = item->inputs[0];
    struct values all = {0};
    for (size_t i = 0; i < lists->as.list.count; i++) {
        const struct tl_value *list = lists->as.list.items[i];
        for (size_t k = 0; k < list->as.list.count; k++) {
            add_value(&all, tl_value_ref(list->as.list.items[k]));
        }
    }
    struct tl_type element = tl_type_element(tl_type_element(lists->type));
    return tl_builtin_finish(finish_list(&all, element, true), output, error);
}

static enum tl_status put_texts(struct tl_str *out, const struct tl_value *value, const char *separator, bool *first,
                                struct tl_error *error) {
    if (value->type.base != TL_TYPE_TEXT) {
        char type[24];
        return tl_error_set(error, TL_ERR_INVALID, "a value of type %s cannot be joined; expected texts",
                            tl_type_print(value->type, type));
    }
    if (value->type.depth == 0) {
        tl_str_puts(out, *first ? "" : separator);
        tl_str_append(out, value->as.text.data, value->as.text.length);
        *first = false;
        return TL_OK;
    }
    for (size_t i = 0; i < value->as.list.count; i++) {
        enum tl_status status = put_texts(out, value->as.list.items[i], separator, first, error);
        if (status != TL_OK) {
            return status;
        }
    }
    return TL_OK;
}

/* All texts of all inputs and levels in order, with the attribute `separator` (a newline) between them. */
enum tl_status tl_builtin_join(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    const char *separator = tl_attributes_string(item->attributes, "separator", "\n");
    struct tl_str text = TL_STR_INIT;
    enum tl_status status = TL_OK;
    bool first = true;
    for (size_t i = 0; i < item->input_count && status == TL_OK; i++) {
        status = put_texts(&text, item->inputs[i], separator, &first, error);
    }
    if (status == TL_OK) {
        status = tl_builtin_finish(tl_value_text(text.data, text.length), output, error);
    }
    tl_str_fini(&text);
    return status;
}

/* Strips white space, and list marks such as "-", "*", "3." and "(3)" from the start of a line. */
static void strip(const char **text, size_t *length) {
    const char *begin = *text, *end = begin + *length;
    while (begin < end && strchr(" \t\r", *begin) != NULL) {
        begin++;
    }
    while (end > begin && strchr(" \t\r", end[-1]) != NULL) {
        end--;
    }
    const char *at = begin;
    if (at < end && (*at == '-' || *at == '*')) {
        at++;
    } else {
        at += at < end && *at == '(' ? 1 : 0;
        const char *digits = at;
        while (at < end && *at >= '0' && *at <= '9') {
            at++;
        }
        bool mark = at > digits && at < end && (*at == '.' || *at == ')');
        at = mark ? at + 1 : begin;
    }
    /* Without a space after it, it is the text's own: "-1", "3.5". */
    if (at > begin && at < end && *at == ' ') {
        begin = at;
        while (begin < end && *begin == ' ') {
            begin++;
        }
    }
    *text = begin;
    *length = (size_t)(end - begin);
}

static bool add_text(struct values *items, const char *text, size_t length) {
    struct tl_value *value = tl_value_text(text, length);
    if (value != NULL) {
        add_value(items, value);
    }
    return value != NULL;
}

static bool add_json(struct values *items, const json_t *element) {
    if (json_is_string(element)) {
        return add_text(items, json_string_value(element), json_string_length(element));
    }
    char *dumped = json_dumps(element, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    bool added = dumped != NULL && add_text(items, dumped, strlen(dumped));
    free(dumped);
    return added;
}

static size_t skip_space(const char *text, size_t length, size_t at) {
    while (at < length && strchr(" \t\r\n", text[at]) != NULL && text[at] != '\0') {
        at++;
    }
    return at;
}

enum reading { READ_WHOLE, READ_BROKEN, READ_NO_LIST, READ_NO_MEMORY };

/* Adds the elements of the JSON array that `text` begins with, up to its end or to where it breaks off: an element is
 * whole when a comma or the closing bracket follows, a string also without. What does not begin like an array of JSON
 * is none: "[sic]". */
static enum reading add_array(struct values *items, const char *text, size_t length) {
    size_t at = skip_space(text, length, 1);
    if (at < length && text[at] == ']') {
        return READ_WHOLE;
    }
    for (bool first = true;; first = false) {
        json_error_t end;
        json_t *element = json_loadb(text + at, length - at,
                                     JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK | JSON_ALLOW_NUL, &end);
        if (element == NULL) {
            if (!first && at < length && text[at] == ']') { /* a comma too many */
                return READ_WHOLE;
            }
            bool cut = at == length || text[at] == '"' || text[at] == '{' || text[at] == '[';
            return first && !cut ? READ_NO_LIST : READ_BROKEN;
        }
        at = skip_space(text, length, at + (size_t)end.position);
        bool goes_on = at < length && text[at] == ',', ends = at < length && text[at] == ']';
        bool whole = goes_on || ends || json_is_string(element);
        bool added = !whole || add_json(items, element);
        json_decref(element);
        if (!added) {
            return READ_NO_MEMORY;
        }
        if (!goes_on) {
            return ends ? READ_WHOLE : READ_BROKEN;
        }
        at = skip_space(text, length, at + 1);
    }
}

static bool add_lines(struct values *items, const char *text, size_t length) {
    for (size_t at = 0; at < length;) {
        const char *end = memchr(text + at, '\n', length - at);
        size_t line_length = end != NULL ? (size_t)(end - (text + at)) : length - at;
        const char *line = text + at;
        at += line_length + 1;
        strip(&line, &line_length);
        if (line_length > 0 && !add_text(items, line, line_length)) {
            return false;
        }
    }
    return true;
}

/* The first JSON array in the text gives the items (strings as they are, else as JSON). Text without one is
 * read line by line: list marks and empty lines are dropped. No text, no items; nothing of this is an error, because
 * models write what they write. An array that breaks off, or goes on as no JSON does, is broken: the attribute `on_error`
 * says whether its whole items are taken ("skip") or it is a failure ("fail"). */
enum tl_status tl_builtin_parse(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    const struct tl_text *text = &item->inputs[0]->as.text;
    const char *bracket = memchr(text->data, '[', text->length);
    struct values items = {0};
    enum reading reading = READ_NO_LIST;
    if (bracket != NULL) {
        reading = add_array(&items, bracket, text->length - (size_t)(bracket - text->data));
    }
    if (reading == READ_NO_LIST) {
        reading = add_lines(&items, text->data, text->length) ? READ_WHOLE : READ_NO_MEMORY;
    }
    if (reading == READ_BROKEN && strcmp(tl_attributes_string(item->attributes, "on_error", "skip"), "fail") == 0) {
        tl_error_set(error, TL_ERR_ENGINE, "the list that the model wrote breaks off after %zu whole items",
                     items.count);
        finish_list(&items, TL_TYPE_OF(TEXT, 0), false);
        return TL_ERR_ENGINE;
    }
    return tl_builtin_finish(finish_list(&items, TL_TYPE_OF(TEXT, 0), reading != READ_NO_MEMORY), output, error);
}

/* inputs.c: see inputs.h. */
#include "runtime/inputs.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- from JSON ---- */

static enum tl_status refuse_unknown(const struct tl_workflow *workflow, const char *name, struct tl_error *error) {
    size_t count = tl_workflow_input_count(workflow);
    const char **names = tl_mem_alloc((count + 1) * sizeof *names);
    struct tl_str known = TL_STR_INIT;
    for (size_t i = 0; i < count; i++) {
        names[i] = tl_workflow_input(workflow, i)->name;
        tl_str_printf(&known, "%s%s", i ? ", " : "", names[i]);
    }
    const char *nearest = tl_str_nearest(name, names, count);
    enum tl_status status = nearest
                                ? tl_error_set(error, TL_ERR_USAGE, "workflow %s has no input '%s'; did you mean '%s'?",
                                               tl_workflow_name(workflow), name, nearest)
                                : tl_error_set(error, TL_ERR_USAGE, "workflow %s has no input '%s'; it has: %s",
                                               tl_workflow_name(workflow), name, known.data);
    tl_mem_free(names);
    tl_str_fini(&known);
    return status;
}

static bool has_input(const struct tl_workflow *workflow, const char *name) {
    for (size_t i = 0; i < tl_workflow_input_count(workflow); i++)
        if (strcmp(tl_workflow_input(workflow, i)->name, name) == 0)
            return true;
    return false;
}

enum tl_status tl_inputs_parse(const struct tl_workflow *workflow, const char *text, json_t **inputs,
                               struct tl_error *error) {
    json_error_t where;
    size_t length = text ? strlen(text) : 0;
    *inputs = NULL;
    if (length > TL_INPUT_MOST_BYTES)
        return tl_error_set(error, TL_ERR_LIMIT, "the inputs have %zu bytes; at most %zu are taken", length,
                            TL_INPUT_MOST_BYTES);
    json_t *parsed = text ? json_loadb(text, length, JSON_REJECT_DUPLICATES, &where) : json_object();
    if (!parsed)
        return tl_error_set(error, TL_ERR_USAGE, "the inputs are not JSON: %s (line %d, column %d)", where.text,
                            where.line, where.column);
    enum tl_status status = TL_OK;
    if (!json_is_object(parsed))
        status = tl_error_set(error, TL_ERR_USAGE, "the inputs must be a JSON object such as {\"question\": \"...\"}");
    const char *name;
    json_t *value;
    json_object_foreach(parsed, name, value) {
        if (status == TL_OK && !has_input(workflow, name))
            status = refuse_unknown(workflow, name, error);
    }
    if (status != TL_OK) {
        json_decref(parsed);
        return status;
    }
    *inputs = parsed;
    return TL_OK;
}

static enum tl_status wrong_kind(const char *name, struct tl_type type, const json_t *json, struct tl_error *error) {
    static const char *const kinds[] = {
        [JSON_OBJECT] = "an object", [JSON_ARRAY] = "a list", [JSON_STRING] = "a string", [JSON_INTEGER] = "a number",
        [JSON_REAL] = "a number",    [JSON_TRUE] = "true",    [JSON_FALSE] = "false",     [JSON_NULL] = "null"};
    char expected[24];
    return tl_error_set(error, TL_ERR_USAGE, "input '%s' is %s, but must be of type %s", name, kinds[json_typeof(json)],
                        tl_type_print(type, expected));
}

static bool is_blank(const char *text, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (!isspace((unsigned char)text[i]))
            return false;
    return true;
}

static enum tl_status text_value(const char *name, const json_t *json, struct tl_value **value,
                                 struct tl_error *error) {
    if (!json_is_string(json))
        return wrong_kind(name, TL_TYPE_OF(TEXT, 0), json, error);
    if (is_blank(json_string_value(json), json_string_length(json)))
        return tl_error_set(error, TL_ERR_USAGE, "input '%s' is empty", name);
    *value = tl_value_text(json_string_value(json), json_string_length(json));
    return TL_OK;
}

/* 0: there is no such file; who reads it will say so. */
static size_t size_of_file(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (size_t)info.st_size : 0;
}

static enum tl_status document_value(const char *name, const json_t *json, struct tl_value **value,
                                     struct tl_error *error) {
    struct tl_document document = {.uri = json_string_value(json)};
    if (json_is_object(json)) {
        const json_t *text = json_object_get(json, "text");
        document.uri = json_string_value(json_object_get(json, "uri"));
        document.media_type = json_string_value(json_object_get(json, "media_type"));
        document.data = json_string_value(text);
        document.length = json_string_length(text);
    }
    if (!document.uri || !*document.uri || (json_is_object(json) && !document.data))
        return tl_error_set(error, TL_ERR_USAGE,
                            "input '%s': a document must be a path, or an object with \"uri\" and \"text\"", name);
    if (!document.data)
        document.length = size_of_file(document.uri);
    *value = tl_value_document(&document);
    return TL_OK;
}

static enum tl_status list_value(const char *name, struct tl_type type, const json_t *json, struct tl_value **value,
                                 struct tl_error *error) {
    if (!json_is_array(json))
        return wrong_kind(name, type, json, error);
    size_t count = json_array_size(json), made = 0;
    struct tl_type element = tl_type_element(type);
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *));
    enum tl_status status = TL_OK;
    while (made < count && status == TL_OK) {
        status = tl_inputs_value(name, element, json_array_get(json, made), &items[made], error);
        made += status == TL_OK;
    }
    *value = status == TL_OK ? tl_value_list(element, items, count) : NULL;
    if (status == TL_OK && !*value)
        status = TL_ERR_NO_MEMORY;
    for (size_t i = 0; status != TL_OK && i < made; i++)
        tl_value_unref(items[i]);
    tl_mem_free(items);
    return status;
}

enum tl_status tl_inputs_value(const char *name, struct tl_type type, const json_t *json, struct tl_value **value,
                               struct tl_error *error) {
    enum tl_status status = TL_OK;
    char printed[24];
    *value = NULL;
    if (type.depth > 0) {
        status = list_value(name, type, json, value, error);
    } else {
        switch (type.base) {
        case TL_TYPE_TEXT:
            status = text_value(name, json, value, error);
            break;
        case TL_TYPE_DOCUMENT:
            status = document_value(name, json, value, error);
            break;
        case TL_TYPE_BOOL:
            if (!json_is_boolean(json))
                return wrong_kind(name, type, json, error);
            *value = tl_value_bool(json_is_true(json));
            break;
        case TL_TYPE_NUMBER:
            if (!json_is_number(json))
                return wrong_kind(name, type, json, error);
            *value = tl_value_number(json_number_value(json));
            break;
        case TL_TYPE_JSON:
            *value = tl_value_json(json_deep_copy(json));
            break;
        default:
            return tl_error_set(error, TL_ERR_UNSUPPORTED, "input '%s' has type %s, which cannot be given with a query",
                                name, tl_type_print(type, printed));
        }
    }
    if (status == TL_OK && !*value)
        return tl_error_set(error, TL_ERR_NO_MEMORY, "no memory for input '%s'", name);
    return status;
}

/* ---- from paths ---- */

struct walk {
    struct tl_value **items;
    size_t count, capacity;
    struct tl_error *error;
};

static enum tl_status add_file(struct walk *walk, const char *path, off_t size) {
    if (walk->count >= TL_INPUT_MOST_DOCUMENTS)
        return tl_error_set(walk->error, TL_ERR_LIMIT,
                            "more than %d documents; put them into a collection with teola index",
                            TL_INPUT_MOST_DOCUMENTS);
    walk->items = tl_mem_grow(walk->items, &walk->capacity, walk->count + 1, sizeof(struct tl_value *));
    struct tl_value *value = tl_value_document(&(struct tl_document){.uri = path, .length = (size_t)size});
    if (!value)
        return tl_error_set(walk->error, TL_ERR_NO_MEMORY, "no memory for the list of documents");
    walk->items[walk->count++] = value;
    return TL_OK;
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static int by_name(const struct dirent **a, const struct dirent **b) {
    return strcmp((*a)->d_name, (*b)->d_name);
}

static enum tl_status add_directory(struct walk *walk, struct tl_str *path, unsigned depth) {
    if (depth > TL_INPUT_MOST_DEPTH)
        return tl_error_set(walk->error, TL_ERR_LIMIT, "%s: more than %d directories deep", path->data,
                            TL_INPUT_MOST_DEPTH);
    struct dirent **entries;
    int count = scandir(path->data, &entries, is_visible, by_name);
    if (count < 0)
        return tl_error_set(walk->error, TL_ERR_IO, "%s: %s", path->data, strerror(errno));
    enum tl_status status = TL_OK;
    size_t length = path->length;
    for (int i = 0; i < count; i++) {
        struct stat info;
        tl_str_printf(path, "%s%s", length > 0 && path->data[length - 1] == '/' ? "" : "/", entries[i]->d_name);
        bool there = status == TL_OK && lstat(path->data, &info) == 0;
        bool link = there && S_ISLNK(info.st_mode);
        if (link)
            there = stat(path->data, &info) == 0 && S_ISREG(info.st_mode);
        if (there && S_ISREG(info.st_mode))
            status = add_file(walk, path->data, info.st_size);
        else if (there && S_ISDIR(info.st_mode))
            status = add_directory(walk, path, depth + 1);
        tl_str_truncate(path, length);
        free(entries[i]);
    }
    free(entries);
    return status;
}

static enum tl_status add_path(struct walk *walk, const char *given) {
    struct stat info;
    if (stat(given, &info) != 0)
        return tl_error_set(walk->error, errno == ENOENT ? TL_ERR_NOT_FOUND : TL_ERR_IO, "%s: %s", given,
                            strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return add_file(walk, given, info.st_size);
    struct tl_str path = TL_STR_INIT;
    tl_str_puts(&path, given);
    while (path.length > 1 && path.data[path.length - 1] == '/')
        tl_str_truncate(&path, path.length - 1);
    enum tl_status status = add_directory(walk, &path, 0);
    tl_str_fini(&path);
    return status;
}

enum tl_status tl_inputs_documents(const char *const *paths, size_t count, struct tl_value **documents,
                                   struct tl_error *error) {
    struct walk walk = {.error = error};
    enum tl_status status = TL_OK;
    *documents = NULL;
    for (size_t i = 0; i < count && status == TL_OK; i++)
        status = add_path(&walk, paths[i]);
    if (status == TL_OK && walk.count == 0)
        status =
            tl_error_set(error, TL_ERR_INVALID, "%s: there are no documents in it", count ? paths[0] : "(nothing)");
    if (status == TL_OK && !(*documents = tl_value_list(TL_TYPE_OF(DOCUMENT, 0), walk.items, walk.count)))
        status = tl_error_set(error, TL_ERR_NO_MEMORY, "no memory for the list of documents");
    for (size_t i = 0; status != TL_OK && i < walk.count; i++)
        tl_value_unref(walk.items[i]);
    tl_mem_free(walk.items);
    return status;
}

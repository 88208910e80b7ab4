/* tools.c: see tools.h. */
#include "schema/tools.h"

#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define SPACES " \n\r\t"

enum tl_tools_style tl_tools_style_of(const char *chat_template) {
    if (!chat_template)
        return TL_TOOLS_PLAIN;
    if (strstr(chat_template, "[TOOL_CALLS]"))
        return TL_TOOLS_MISTRAL;
    if (strstr(chat_template, "<tool_call>"))
        return TL_TOOLS_HERMES;
    if (strstr(chat_template, "<|python_tag|>") || strstr(chat_template, "<|start_header_id|>"))
        return TL_TOOLS_LLAMA;
    return TL_TOOLS_PLAIN;
}

const char *tl_tools_opening(enum tl_tools_style style) {
    static const char *const openings[] = {[TL_TOOLS_PLAIN] = "",
                                           [TL_TOOLS_HERMES] = "<tool_call>\n",
                                           [TL_TOOLS_MISTRAL] = "[TOOL_CALLS][",
                                           [TL_TOOLS_LLAMA] = ""};
    return openings[style];
}

const char *tl_tools_arguments(enum tl_tools_style style) {
    return style == TL_TOOLS_LLAMA ? "parameters" : "arguments";
}

/* ---- reading ---- */

struct reading {
    const json_t *tools;
    json_t *calls;
    struct tl_str content;
};

static const char *skip_spaces(const char *at) {
    return at + strspn(at, SPACES);
}

static bool is_tool(const json_t *tools, const char *name) {
    size_t i;
    json_t *tool;
    json_array_foreach((json_t *)tools, i, tool) {
        json_t *function = json_object_get(tool, "function");
        const char *its = json_string_value(json_object_get(function ? function : tool, "name"));
        if (its && strcmp(its, name) == 0)
            return true;
    }
    return false;
}

/* Adds a call. Arguments may be an object, the text of one (as in the OpenAI API), or missing. */
static bool add_call(struct reading *reading, const char *name, json_t *arguments) {
    if (!name || !is_tool(reading->tools, name))
        return false;
    json_t *object = json_is_string(arguments) ? json_loads(json_string_value(arguments), 0, NULL)
                     : arguments               ? json_incref(arguments)
                                               : json_object();
    if (!json_is_object(object)) {
        json_decref(object);
        return false;
    }
    json_array_append_new(reading->calls, json_pack("{s:s, s:o}", "name", name, "arguments", object));
    return true;
}

/* Adds {"name", "arguments" or "parameters"}, or all of an array of them; false: it is something else. */
static bool add_calls(struct reading *reading, json_t *json) {
    if (json_is_object(json)) {
        json_t *function = json_object_get(json, "function");
        json_t *call = json_is_object(function) ? function : json;
        json_t *arguments = json_object_get(call, "arguments");
        return add_call(reading, json_string_value(json_object_get(call, "name")),
                        arguments ? arguments : json_object_get(call, "parameters"));
    }
    size_t i, before = json_array_size(reading->calls);
    json_t *one;
    json_array_foreach(json, i, one) {
        if (!json_is_object(one) || !add_calls(reading, one)) {
            while (json_array_size(reading->calls) > before)
                json_array_remove(reading->calls, before);
            return false;
        }
    }
    return json_array_size(json) > 0;
}

/* The JSON value at the beginning of the text; *end is set behind it. NULL: there is none. */
static json_t *load_at(const char *text, const char **end) {
    json_error_t where;
    json_t *json = json_loads(text, JSON_DISABLE_EOF_CHECK, &where);
    if (json)
        *end = text + where.position;
    return json;
}

/* Calls from JSON at `text`, one or several with ';' or white space between; returns what is behind them, or NULL. */
static const char *read_json(struct reading *reading, const char *text) {
    const char *behind = NULL;
    for (const char *at = skip_spaces(text), *end; *at == '{' || *at == '['; at = skip_spaces(end)) {
        json_t *json = load_at(at, &end);
        bool good = json && add_calls(reading, json);
        json_decref(json);
        if (!good)
            break;
        behind = end;
        if (*skip_spaces(end) == ';')
            end = skip_spaces(end) + 1;
    }
    return behind;
}

/* "name[ARGS]{...}" or "name{...}"; returns what is behind it, or NULL. */
static const char *read_named(struct reading *reading, const char *text) {
    const char *at = skip_spaces(text), *end = at + strcspn(at, "[{" SPACES), *behind;
    char *name = tl_mem_strndup(at, (size_t)(end - at));
    end = tl_str_starts_with(end, "[ARGS]") ? end + strlen("[ARGS]") : end;
    json_t *arguments = *end == '{' ? load_at(end, &behind) : NULL;
    bool good = arguments && add_call(reading, name, arguments);
    json_decref(arguments);
    tl_mem_free(name);
    return good ? behind : NULL;
}

/* What a mark begins; NULL: no call. */
static const char *read_marked(struct reading *reading, const char *at) {
    static const char hermes[] = "<tool_call>", hermes_end[] = "</tool_call>", mistral[] = "[TOOL_CALLS]",
                      llama[] = "<|python_tag|>";
    const char *behind = NULL;
    if (tl_str_starts_with(at, hermes)) {
        behind = read_json(reading, at + strlen(hermes));
        if (behind && tl_str_starts_with(skip_spaces(behind), hermes_end))
            behind = skip_spaces(behind) + strlen(hermes_end);
    } else if (tl_str_starts_with(at, mistral)) {
        behind = read_json(reading, at + strlen(mistral));
        behind = behind ? behind : read_named(reading, at + strlen(mistral));
    } else if (tl_str_starts_with(at, llama)) {
        behind = read_json(reading, at + strlen(llama));
    }
    return behind;
}

/* The whole text as JSON, perhaps fenced as Markdown code. */
static bool read_whole(struct reading *reading, const char *text) {
    const char *at = skip_spaces(text);
    bool fenced = tl_str_starts_with(at, "```");
    if (fenced)
        at += strcspn(at, "\n");
    const char *behind = read_json(reading, at);
    if (!behind)
        return false;
    behind = skip_spaces(behind);
    behind = skip_spaces(fenced && tl_str_starts_with(behind, "```") ? behind + 3 : behind);
    if (*behind == '\0')
        return true;
    json_array_clear(reading->calls); /* JSON in the middle of an answer is text */
    return false;
}

static void trim(struct tl_str *text) {
    size_t begin = strspn(text->data, SPACES);
    while (text->length > begin && strchr(SPACES, text->data[text->length - 1]))
        tl_str_truncate(text, text->length - 1);
    struct tl_str trimmed = TL_STR_INIT;
    tl_str_append(&trimmed, text->data + begin, text->length - begin);
    tl_str_fini(text);
    *text = trimmed;
}

json_t *tl_tools_read(const char *text, size_t length, const json_t *tools) {
    struct reading reading = {.tools = tools, .calls = json_array(), .content = TL_STR_INIT};
    struct tl_str copy = TL_STR_INIT;
    tl_str_append(&copy, text, length); /* with its NUL */
    if (!read_whole(&reading, copy.data)) {
        for (const char *at = copy.data; *at;) {
            const char *behind = *at == '<' || *at == '[' ? read_marked(&reading, at) : NULL;
            if (!behind)
                tl_str_putc(&reading.content, *at);
            at = behind ? behind : at + 1;
        }
        if (json_array_size(reading.calls) > 0)
            trim(&reading.content);
    }
    json_t *content = json_stringn(reading.content.data, reading.content.length);
    tl_str_fini(&copy);
    tl_str_fini(&reading.content);
    return json_pack("{s:o, s:o}", "content", content ? content : json_string(""), "tool_calls", reading.calls);
}

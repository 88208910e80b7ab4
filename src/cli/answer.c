/* answer.c: see answer.h. */
#include "cli/answer.h"

#include <stdlib.h>
#include <string.h>

/* The first output that is a text: what the workflow answers. */
static const json_t *answer_of(const json_t *result) {
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(result, "outputs"), name, value) {
        if (json_is_string(value))
            return value;
    }
    return NULL;
}

static bool is_hit(const json_t *value) {
    return json_is_object(value) && json_is_object(json_object_get(value, "chunk"));
}

/* Whether a list, of any depth, holds hits (at least one). */
static bool holds_hits(const json_t *value) {
    if (is_hit(value))
        return true;
    for (size_t i = 0; i < json_array_size(value); i++)
        if (holds_hits(json_array_get(value, i)))
            return true;
    return false;
}

/* Other outputs, as JSON, one a line: "name: value". */
static void put_others(const json_t *result, const json_t *answer, struct tl_str *out) {
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(result, "outputs"), name, value) {
        if (value == answer || holds_hits(value) || (json_is_array(value) && json_array_size(value) == 0))
            continue;
        char *text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
        tl_str_printf(out, "%s: %s\n", name, json_is_string(value) ? json_string_value(value) : text ? text : "?");
        free(text);
    }
}

void tl_answer_rest(const json_t *result, const struct tl_str *streamed, struct tl_str *out) {
    const json_t *answer = answer_of(result);
    const char *text = answer ? json_string_value(answer) : "";
    if (tl_str_starts_with(text, streamed->data))
        tl_str_puts(out, text + streamed->length);
    else if (answer)
        tl_str_printf(out, "\n\n%s", text); /* what was streamed was not the last word */
    if (streamed->length + out->length > 0)
        tl_str_putc(out, '\n');
    put_others(result, answer, out);
}

static const char *text_of(const json_t *object, const char *name) {
    const char *text = json_string_value(json_object_get(object, name));
    return text ? text : "";
}

/* Names of files and titles may hold anything: nothing of it is a command to the terminal. */
static void put_name(const char *name, struct tl_str *out) {
    for (const char *c = name; *c; c++) {
        bool c1 = (unsigned char)c[0] == 0xc2 && (unsigned char)c[1] < 0xa0; /* U+0080 to U+009F */
        c += c1;
        if ((unsigned char)*c < 0x20 || *c == 0x7f || c1)
            tl_str_printf(out, "\\x%02x", (unsigned char)*c);
        else
            tl_str_putc(out, *c);
    }
}

static void put_source(const json_t *hit, unsigned number, bool color, struct tl_str *out) {
    const json_t *chunk = json_object_get(hit, "chunk");
    const char *title = text_of(chunk, "title"), *heading = text_of(chunk, "heading");
    tl_str_printf(out, "  [%u] %s", number, color ? "\033[1m" : "");
    put_name(*title ? title : text_of(chunk, "uri"), out);
    tl_str_puts(out, color ? "\033[0m" : "");
    if (*heading && strcmp(heading, title) != 0) {
        tl_str_puts(out, ": ");
        put_name(heading, out);
    }
    tl_str_printf(out, "\n      %s", color ? "\033[2m" : "");
    put_name(text_of(chunk, "uri"), out);
    tl_str_printf(out, ", bytes %lld-%lld%s\n", (long long)json_integer_value(json_object_get(chunk, "begin")),
                  (long long)json_integer_value(json_object_get(chunk, "end")), color ? "\033[0m" : "");
}

static void put_sources(const json_t *value, unsigned *number, bool color, struct tl_str *out) {
    if (is_hit(value))
        put_source(value, ++*number, color, out);
    for (size_t i = 0; i < json_array_size(value); i++)
        put_sources(json_array_get(value, i), number, color, out);
}

void tl_answer_sources(const json_t *result, bool color, struct tl_str *out) {
    const char *name;
    json_t *value;
    unsigned number = 0;
    json_object_foreach(json_object_get(result, "outputs"), name, value) {
        if (!holds_hits(value))
            continue;
        tl_str_printf(out, "\n%c%s:\n", name[0] >= 'a' && name[0] <= 'z' ? name[0] - 'a' + 'A' : name[0], name + 1);
        put_sources(value, &number, color, out);
    }
}

/* template.c: reads prompt templates; the language is described in template.h. */
#include "builtin/template.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

/* State while one message is read. */
struct reader {
    struct tl_template *parsed;
    uint32_t message;
    const char *text;
    size_t length, at;
    const char *sections[TL_TEMPLATE_SECTION_DEPTH];
    size_t section_starts[TL_TEMPLATE_SECTION_DEPTH]; /* where each was opened, for messages */
    uint32_t section_count;
    struct tl_str literal; /* run of literal text so far */
    struct tl_error *error;
};

/* Fails at byte `at` of the message. */
static enum tl_status fail_at(const struct reader *reader, size_t at, const char *what) {
    unsigned line = 1, column = 1;
    for (size_t i = 0; i < at && i < reader->length; i++) {
        if (reader->text[i] == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)reader->text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    return tl_error_set(reader->error, TL_ERR_INVALID, "prompt message %u, line %u, column %u: %s", reader->message + 1,
                        line, column, what);
}

static bool is_name_start(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_name_part(char c) {
    return is_name_start(c) || (c >= '0' && c <= '9') || c == '-';
}

/* The template's one copy of a name; remembers it at its first use. */
static const char *intern(struct tl_template *parsed, const char *name, size_t length) {
    for (size_t i = 0; i < parsed->name_count; i++) {
        if (strlen(parsed->names[i]) == length && memcmp(parsed->names[i], name, length) == 0) {
            return parsed->names[i];
        }
    }
    parsed->names = tl_arena_grow(&parsed->arena, parsed->names, &parsed->name_capacity, parsed->name_count + 1,
                                  sizeof *parsed->names);
    return parsed->names[parsed->name_count++] = tl_arena_strndup(&parsed->arena, name, length);
}

/* Appends a segment that stands in the sections now open. `name` NULL: literal text. */
static void add_segment(struct reader *reader, const char *text, size_t length, const char *name) {
    struct tl_template *parsed = reader->parsed;
    parsed->segments = tl_arena_grow(&parsed->arena, parsed->segments, &parsed->segment_capacity,
                                     parsed->segment_count + 1, sizeof *parsed->segments);
    uint32_t need_count = reader->section_count + (name != NULL ? 1 : 0);
    const char **needs = tl_arena_alloc(&parsed->arena, (need_count + 1) * sizeof *needs);
    for (uint32_t i = 0; i < reader->section_count; i++) {
        needs[i] = reader->sections[i];
    }
    if (name != NULL) {
        needs[reader->section_count] = name;
    }
    parsed->segments[parsed->segment_count++] = (struct tl_segment){
        .message = reader->message,
        .text = name != NULL ? NULL : tl_arena_strndup(&parsed->arena, text, length),
        .length = length,
        .needs = needs,
        .need_count = need_count,
        .section_count = reader->section_count,
    };
}

static void end_literal(struct reader *reader) {
    if (reader->literal.length > 0) {
        add_segment(reader, reader->literal.data, reader->literal.length, NULL);
        tl_str_clear(&reader->literal);
    }
}

/* Reads {name}, {#name} or {/name}; reader->at stands on the brace. */
static enum tl_status read_tag(struct reader *reader) {
    size_t start = reader->at, at = start + 1;
    char kind = ' ';
    if (at < reader->length && (reader->text[at] == '#' || reader->text[at] == '/')) {
        kind = reader->text[at++];
    }
    size_t name_start = at;
    while (at < reader->length &&
           (at == name_start ? is_name_start(reader->text[at]) : is_name_part(reader->text[at]))) {
        at++;
    }
    size_t name_length = at - name_start;
    if (name_length == 0 || at >= reader->length || reader->text[at] != '}') {
        return fail_at(reader, start, "'{' must begin {name}, {#name} or {/name}; write {{ for the character itself");
    }
    if (name_length > TL_TEMPLATE_NAME_LENGTH) {
        return fail_at(reader, start, "the name in braces is longer than 64 characters");
    }
    reader->at = at + 1;
    end_literal(reader);
    if (kind == '/') {
        if (reader->section_count == 0) {
            return fail_at(reader, start, "{/name} ends a section that was not begun with {#name}");
        }
        const char *open = reader->sections[reader->section_count - 1];
        if (strlen(open) != name_length || memcmp(open, reader->text + name_start, name_length) != 0) {
            char what[256];
            snprintf(what, sizeof what, "{/%.*s} stands where {/%s} was expected: sections end in reverse order",
                     (int)name_length, reader->text + name_start, open);
            return fail_at(reader, start, what);
        }
        reader->section_count--;
        return TL_OK;
    }
    const char *name = intern(reader->parsed, reader->text + name_start, name_length);
    if (kind == ' ') {
        add_segment(reader, NULL, 0, name);
        return TL_OK;
    }
    if (reader->section_count == TL_TEMPLATE_SECTION_DEPTH) {
        return fail_at(reader, start, "more than 8 sections within each other");
    }
    reader->section_starts[reader->section_count] = start;
    reader->sections[reader->section_count++] = name;
    return TL_OK;
}

static enum tl_status read_message(struct reader *reader) {
    while (reader->at < reader->length) {
        char c = reader->text[reader->at];
        bool twice = reader->at + 1 < reader->length && reader->text[reader->at + 1] == c;
        if ((c == '{' || c == '}') && twice) {
            tl_str_putc(&reader->literal, c);
            reader->at += 2;
        } else if (c == '{') {
            enum tl_status status = read_tag(reader);
            if (status != TL_OK) {
                return status;
            }
        } else if (c == '}') {
            return fail_at(reader, reader->at, "'}' has no '{' before it; write }} for the character itself");
        } else {
            size_t end = reader->at + 1;
            while (end < reader->length && reader->text[end] != '{' && reader->text[end] != '}') {
                end++;
            }
            tl_str_append(&reader->literal, reader->text + reader->at, end - reader->at);
            reader->at = end;
        }
    }
    end_literal(reader);
    if (reader->section_count > 0) {
        char what[192];
        snprintf(what, sizeof what, "the section {#%s} is not ended with {/%s}",
                 reader->sections[reader->section_count - 1], reader->sections[reader->section_count - 1]);
        return fail_at(reader, reader->section_starts[reader->section_count - 1], what);
    }
    return TL_OK;
}

static bool parse_role(const char *name, enum tl_role *role) {
    static const char *const names[] = {"system", "user", "assistant"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strcmp(name, names[i]) == 0) {
            *role = (enum tl_role)i;
            return true;
        }
    }
    return false;
}

static enum tl_status read_messages(struct tl_template *parsed, const json_t *json, struct tl_error *error) {
    parsed->message_count = (uint32_t)json_array_size(json);
    parsed->roles = tl_arena_alloc(&parsed->arena, (parsed->message_count + 1) * sizeof *parsed->roles);
    for (uint32_t i = 0; i < parsed->message_count; i++) {
        const json_t *message = json_array_get(json, i);
        const char *role = json_string_value(json_array_get(message, 0));
        const json_t *text = json_array_get(message, 1);
        if (json_array_size(message) != 2 || role == NULL || !json_is_string(text) ||
            !parse_role(role, &parsed->roles[i])) {
            return tl_error_set(error, TL_ERR_INVALID,
                                "prompt message %u: expected [role, text] with role system, user or assistant", i + 1);
        }
        struct reader reader = {
            .parsed = parsed,
            .message = i,
            .text = json_string_value(text),
            .length = json_string_length(text),
            .literal = TL_STR_INIT,
            .error = error,
        };
        enum tl_status status = read_message(&reader);
        tl_str_fini(&reader.literal);
        if (status != TL_OK) {
            return status;
        }
    }
    return TL_OK;
}

enum tl_status tl_template_parse(const char *json, struct tl_template **parsed, struct tl_error *error) {
    *parsed = NULL;
    json_error_t problem;
    json_t *root = json_loads(json, 0, &problem);
    if (root == NULL) {
        return tl_error_set(error, TL_ERR_INVALID, "the template is not JSON: %s", problem.text);
    }
    struct tl_template *made = tl_mem_zalloc(sizeof *made);
    tl_arena_init(&made->arena);
    enum tl_status status;
    if (!json_is_array(root) || json_array_size(root) == 0 || json_array_size(root) > TL_TEMPLATE_MESSAGES) {
        status =
            tl_error_set(error, TL_ERR_INVALID, "a template is a JSON array of 1 to %d messages, each [role, text]",
                         TL_TEMPLATE_MESSAGES);
    } else {
        status = read_messages(made, root, error);
    }
    json_decref(root);
    if (status != TL_OK) {
        tl_template_destroy(made);
        return status;
    }
    *parsed = made;
    return TL_OK;
}

void tl_template_destroy(struct tl_template *parsed) {
    if (parsed != NULL) {
        tl_arena_fini(&parsed->arena);
        tl_mem_free(parsed);
    }
}

size_t tl_template_names(const struct tl_template *parsed, const char *const **names) {
    *names = parsed->names;
    return parsed->name_count;
}

size_t tl_template_segments(const struct tl_template *parsed) {
    return parsed->segment_count;
}

size_t tl_template_needs(const struct tl_template *parsed, size_t position, const char *const **names) {
    TL_ASSERT(position < parsed->segment_count);
    *names = parsed->segments[position].needs;
    return parsed->segments[position].need_count;
}

size_t tl_template_literal(const struct tl_template *parsed, size_t position) {
    TL_ASSERT(position < parsed->segment_count);
    return parsed->segments[position].text != NULL ? parsed->segments[position].length : 0;
}

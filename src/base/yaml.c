/* yaml.c: libyaml's events to a tree with places; see yaml.h. */
#include "base/yaml.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/utf8.h"

/* A mapping or list that is being read. */
struct open_node {
    struct tl_yaml_node *node;
    struct tl_yaml_node *key; /* of a mapping: read, its value not yet */
};

struct reader {
    struct tl_arena *arena;
    struct tl_diagnostics *findings;
    struct open_node stack[TL_YAML_DEPTH];
    size_t depth, nodes;
    struct tl_yaml_node *root;
    bool failed;
};

static void fail(struct reader *reader, size_t line, size_t column, const char *what) {
    tl_diagnostics_add(reader->findings, TL_SEVERITY_ERROR, (unsigned)line, (unsigned)column, "%s", what);
    reader->failed = true;
}

static void fail_at(struct reader *reader, const yaml_mark_t *mark, const char *what) {
    fail(reader, mark->line + 1, mark->column + 1, what);
}

static struct tl_yaml_node *new_node(struct reader *reader, enum tl_yaml_kind kind, const yaml_mark_t *mark) {
    struct tl_yaml_node *node = tl_arena_alloc(reader->arena, sizeof *node);
    node->kind = kind;
    node->line = (unsigned)mark->line + 1;
    node->column = (unsigned)mark->column + 1;
    if (++reader->nodes > TL_YAML_NODES)
        fail_at(reader, mark, "too many values in one file; expected at most 100000");
    return node;
}

static void take_key(struct reader *reader, struct open_node *top, struct tl_yaml_node *key, const yaml_mark_t *mark) {
    if (key->kind != TL_YAML_SCALAR) {
        fail_at(reader, mark, "a mapping or list stands where a key was expected");
        return;
    }
    if (top->node->count == TL_YAML_KEYS) {
        fail_at(reader, mark, "the mapping has more than 1000 keys");
        return;
    }
    for (size_t i = 0; i < top->node->count; i++) {
        const struct tl_yaml_node *former = top->node->entries[i].key;
        if (strcmp(former->text, key->text) == 0)
            tl_yaml_error(reader->findings, key, "the key '%.64s' is here a second time; the first is in line %u",
                          key->text, former->line);
    }
    top->key = key;
}

/* Puts a node where it belongs: into the list or mapping that is open, or at the root. */
static void place(struct reader *reader, struct tl_yaml_node *node, const yaml_mark_t *mark) {
    if (reader->depth == 0) {
        reader->root = node;
        return;
    }
    struct open_node *top = &reader->stack[reader->depth - 1];
    struct tl_yaml_node *parent = top->node;
    if (parent->kind == TL_YAML_LIST) {
        parent->items = tl_arena_grow(reader->arena, parent->items, &parent->capacity, parent->count + 1,
                                      sizeof *parent->items);
        parent->items[parent->count++] = node;
    } else if (top->key == NULL) {
        take_key(reader, top, node, mark);
    } else {
        parent->entries = tl_arena_grow(reader->arena, parent->entries, &parent->capacity, parent->count + 1,
                                        sizeof *parent->entries);
        parent->entries[parent->count++] = (struct tl_yaml_entry){.key = top->key, .value = node};
        top->key = NULL;
    }
}

static void open_node(struct reader *reader, enum tl_yaml_kind kind, const yaml_event_t *event) {
    struct tl_yaml_node *node = new_node(reader, kind, &event->start_mark);
    if (reader->depth == TL_YAML_DEPTH) {
        fail_at(reader, &event->start_mark, "lists and mappings are nested more than 64 deep");
        return;
    }
    place(reader, node, &event->start_mark);
    reader->stack[reader->depth++] = (struct open_node){.node = node};
}

static void take_scalar(struct reader *reader, const yaml_event_t *event) {
    const char *text = (const char *)event->data.scalar.value;
    size_t length = event->data.scalar.length;
    if (memchr(text, '\0', length) != NULL) {
        fail_at(reader, &event->start_mark, "the text contains a NUL character, which no text here may");
        return;
    }
    struct tl_yaml_node *node = new_node(reader, TL_YAML_SCALAR, &event->start_mark);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = tl_arena_strndup(reader->arena, text, length);
    place(reader, node, &event->start_mark);
}

static const yaml_char_t *tag_of(const yaml_event_t *event) {
    switch (event->type) {
    case YAML_SCALAR_EVENT: return event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT: return event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT: return event->data.mapping_start.tag;
    default: return NULL;
    }
}

static void take_event(struct reader *reader, const yaml_event_t *event) {
    if (tag_of(event) != NULL) {
        fail_at(reader, &event->start_mark, "YAML tags ('!...') are not supported here");
        return;
    }
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (reader->root != NULL)
            fail_at(reader, &event->start_mark,
                    "a second YAML document begins here; expected one document in the file");
        break;
    case YAML_ALIAS_EVENT:
        fail_at(reader, &event->start_mark, "YAML aliases ('*name') are not supported here: write the value out");
        break;
    case YAML_SCALAR_EVENT:
        take_scalar(reader, event);
        break;
    case YAML_SEQUENCE_START_EVENT:
        open_node(reader, TL_YAML_LIST, event);
        break;
    case YAML_MAPPING_START_EVENT:
        open_node(reader, TL_YAML_MAP, event);
        break;
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        reader->depth--;
        break;
    default:
        break;
    }
}

/* Line and column, from 1, of a byte. */
static void find_place(const char *text, size_t length, size_t offset, size_t *line, size_t *column) {
    *line = *column = 1;
    for (size_t i = 0; i < offset && i < length; i++) {
        *column = text[i] == '\n' ? 1 : *column + 1;
        *line += text[i] == '\n' ? 1 : 0;
    }
}

static void report_syntax(struct reader *reader, const yaml_parser_t *parser, const char *text, size_t length) {
    size_t line = parser->problem_mark.line + 1, column = parser->problem_mark.column + 1;
    if (parser->error == YAML_READER_ERROR)
        find_place(text, length, parser->problem_offset, &line, &column);
    struct tl_str message = TL_STR_INIT;
    tl_str_printf(&message, "this is not YAML: %s", parser->problem != NULL ? parser->problem : "the reader gave up");
    if (parser->context != NULL)
        tl_str_printf(&message, " (%s that begins in line %zu)", parser->context, parser->context_mark.line + 1);
    fail(reader, line, column, message.data);
    tl_str_fini(&message);
}

static void read_events(struct reader *reader, yaml_parser_t *parser, const char *text, size_t length) {
    yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(parser, (const unsigned char *)text, length);
    for (bool ended = false; !ended && !reader->failed;) {
        yaml_event_t event;
        if (!yaml_parser_parse(parser, &event)) {
            report_syntax(reader, parser, text, length);
            break;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        take_event(reader, &event);
        yaml_event_delete(&event);
    }
}

const struct tl_yaml_node *tl_yaml_read(struct tl_arena *arena, const char *text, size_t length,
                                        struct tl_diagnostics *findings) {
    struct reader reader = {.arena = arena, .findings = findings};
    if (length > TL_YAML_BYTES) {
        tl_yaml_error(findings, NULL, "the file has %zu bytes; expected at most 1 MiB", length);
        return NULL;
    }
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        tl_yaml_error(findings, NULL, "out of memory for the YAML reader");
        return NULL;
    }
    read_events(&reader, &parser, text, length);
    yaml_parser_delete(&parser);
    if (!reader.failed && reader.root == NULL) {
        reader.root = new_node(&reader, TL_YAML_SCALAR, &(yaml_mark_t){0});
        reader.root->plain = true;
        reader.root->text = "";
    }
    return reader.failed ? NULL : reader.root;
}

const struct tl_yaml_node *tl_yaml_get(const struct tl_yaml_node *map, const char *key) {
    for (size_t i = 0; map->kind == TL_YAML_MAP && i < map->count; i++)
        if (strcmp(map->entries[i].key->text, key) == 0)
            return map->entries[i].value;
    return NULL;
}

bool tl_yaml_is_nothing(const struct tl_yaml_node *node) {
    if (node->kind != TL_YAML_SCALAR || !node->plain)
        return false;
    return node->text[0] == '\0' || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0;
}

/* Whether an unquoted text is a number or a truth value, which are shown without quotes. */
static bool is_literal(const char *text) {
    char *end;
    strtod(text, &end);
    return (*end == '\0' && end != text) || strcmp(text, "true") == 0 || strcmp(text, "false") == 0;
}

void tl_yaml_describe(const struct tl_yaml_node *node, struct tl_str *out) {
    enum { SHOWN = 40 };
    if (node->kind == TL_YAML_LIST) {
        tl_str_puts(out, node->count == 0 ? "an empty list" : "a list");
    } else if (node->kind == TL_YAML_MAP) {
        tl_str_puts(out, node->count == 0 ? "an empty mapping" : "a mapping");
    } else if (tl_yaml_is_nothing(node)) {
        tl_str_puts(out, "nothing");
    } else if (node->plain && is_literal(node->text) && strlen(node->text) <= SHOWN) {
        tl_str_puts(out, node->text);
    } else {
        size_t length = strlen(node->text), shown = length;
        if (length > SHOWN)
            shown = tl_utf8_border(node->text, length, SHOWN);
        tl_str_puts(out, "the text ");
        tl_str_put_json(out, node->text, shown);
        tl_str_puts(out, shown < length ? "..." : "");
    }
}

void tl_yaml_error(struct tl_diagnostics *findings, const struct tl_yaml_node *at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_diagnostics_add_list(findings, TL_SEVERITY_ERROR, at != NULL ? at->line : 0, at != NULL ? at->column : 0, format,
                            args);
    va_end(args);
}

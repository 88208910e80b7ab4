/* render.c: fills a prompt template with values.
 *
 * Each segment that is rendered becomes one part of the prompt, so that an engine can reuse what came
 * before: literal text outside of sections is STATIC, inputs named in `trim` are TRIMMABLE. A message
 * whose segments are all left out is left out itself; one whose text is empty stays, as an empty part.
 *
 * How values read:
 *   text           as it is                    text[]          a numbered line each: "1. ..."
 *   number, bool   as in JSON                  json            compact; a JSON string as its text
 *   hit, chunk     a passage: title and heading on a line, then the text
 *   hit[], chunk[] passages numbered "[1]", with an empty line between them; "(none)" when there is none
 * Lists of lists are read as one list.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "builtin/builtin_impl.h"
#include "builtin/template.h"

bool tl_template_takes(struct tl_type type) {
    switch ((enum tl_base_type)type.base) {
    case TL_TYPE_TEXT:
    case TL_TYPE_NUMBER:
    case TL_TYPE_BOOL:
    case TL_TYPE_JSON:
    case TL_TYPE_CHUNK:
    case TL_TYPE_HIT:
        return true;
    default:
        return false;
    }
}

static void put_passage(struct tl_str *out, const struct tl_chunk *chunk) {
    bool title = chunk->title[0] != '\0';
    bool heading = chunk->heading[0] != '\0' && strcmp(chunk->heading, chunk->title) != 0;
    if (title) {
        tl_str_puts(out, chunk->title);
    }
    if (heading) {
        tl_str_puts(out, title ? ": " : "");
        tl_str_puts(out, chunk->heading);
    }
    if (title || heading) {
        tl_str_putc(out, '\n');
    }
    tl_str_append(out, chunk->text, chunk->length);
}

static void put_number(struct tl_str *out, double number) {
    if (isfinite(number) && number == floor(number) && fabs(number) < 1e15) {
        tl_str_printf(out, "%.0f", number);
    } else {
        tl_str_printf(out, "%.12g", number);
    }
}

static void put_json(struct tl_str *out, const json_t *json) {
    if (json_is_string(json)) {
        tl_str_append(out, json_string_value(json), json_string_length(json));
        return;
    }
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    if (text != NULL) {
        tl_str_puts(out, text);
        free(text);
    }
}

static void put_one(struct tl_str *out, const struct tl_value *value) {
    switch ((enum tl_base_type)value->type.base) {
    case TL_TYPE_TEXT:
        tl_str_append(out, value->as.text.data, value->as.text.length);
        break;
    case TL_TYPE_NUMBER:
        put_number(out, value->as.number);
        break;
    case TL_TYPE_BOOL:
        tl_str_puts(out, value->as.boolean ? "true" : "false");
        break;
    case TL_TYPE_JSON:
        put_json(out, value->as.json);
        break;
    case TL_TYPE_CHUNK:
        put_passage(out, &value->as.chunk);
        break;
    case TL_TYPE_HIT:
        put_passage(out, &value->as.hit.chunk->as.chunk);
        break;
    default:
        TL_BUG("a value of type %s in a prompt", tl_base_type_name((enum tl_base_type)value->type.base));
    }
}

/* Appends the elements of a list, of lists too, numbered on from *number. */
static void put_items(struct tl_str *out, const struct tl_value *value, size_t *number) {
    if (value->type.depth > 0) {
        for (size_t i = 0; i < value->as.list.count; i++) {
            put_items(out, value->as.list.items[i], number);
        }
        return;
    }
    bool passage = value->type.base == TL_TYPE_HIT || value->type.base == TL_TYPE_CHUNK;
    if (*number > 0) {
        tl_str_puts(out, passage ? "\n\n" : "\n");
    }
    ++*number;
    tl_str_printf(out, passage ? "[%zu] " : "%zu. ", *number);
    put_one(out, value);
}

static void put_value(struct tl_str *out, const struct tl_value *value) {
    if (value->type.depth == 0) {
        put_one(out, value);
        return;
    }
    size_t number = 0;
    put_items(out, value, &number);
    if (number == 0 && (value->type.base == TL_TYPE_HIT || value->type.base == TL_TYPE_CHUNK)) {
        tl_str_puts(out, "(none)");
    }
}

/* The prompt while it is filled. Texts lie in `text` one after the other; parts know their lengths. */
struct filling {
    const struct tl_item *item;
    const char *trim;
    struct tl_str text;
    struct tl_prompt_part *parts; /* their text is set at the end, when `text` has stopped moving */
    size_t part_count;
};

static enum tl_status find_input(const struct tl_item *item, const char *name, const struct tl_value **value,
                                 struct tl_error *error) {
    for (size_t i = 0; i < item->input_count; i++) {
        if (item->inputs[i] != NULL && strcmp(item->input_names[i], name) == 0) {
            if (!tl_template_takes(item->inputs[i]->type)) {
                char type[24];
                return tl_error_set(error, TL_ERR_INVALID, "{%s} is a value of type %s, which cannot stand in a prompt",
                                    name, tl_type_print(item->inputs[i]->type, type));
            }
            *value = item->inputs[i];
            return TL_OK;
        }
    }
    return tl_error_set(error, TL_ERR_INVALID, "the prompt uses {%s}, which is not among its inputs", name);
}

/* Whether `name` is in the comma-separated list. */
static bool is_listed(const char *list, const char *name) {
    size_t length = strlen(name);
    for (const char *at = list; *at != '\0';) {
        size_t word = strcspn(at, ",");
        if (word == length && memcmp(at, name, length) == 0) {
            return true;
        }
        at += word + (at[word] == ',' ? 1 : 0);
    }
    return false;
}

/* Whether all sections around the segment are to be shown. */
static enum tl_status is_shown(const struct filling *filling, const struct tl_segment *segment, bool *shown,
                               struct tl_error *error) {
    *shown = true;
    for (uint32_t i = 0; i < segment->section_count && *shown; i++) {
        const struct tl_value *value;
        enum tl_status status = find_input(filling->item, segment->needs[i], &value, error);
        if (status != TL_OK) {
            return status;
        }
        *shown = !tl_builtin_is_empty(value);
    }
    return TL_OK;
}

static struct tl_prompt_part *add_part(struct filling *filling, enum tl_role role, uint32_t message, uint32_t flags) {
    struct tl_prompt_part *part = &filling->parts[filling->part_count++];
    *part = (struct tl_prompt_part){.role = role, .message = message, .flags = flags};
    return part;
}

static enum tl_status fill_segment(struct filling *filling, const struct tl_template *template,
                                   const struct tl_segment *segment, struct tl_error *error) {
    bool shown;
    enum tl_status status = is_shown(filling, segment, &shown, error);
    if (status != TL_OK || !shown) {
        return status;
    }
    size_t start = filling->text.length;
    uint32_t flags = 0;
    if (segment->text != NULL) {
        tl_str_append(&filling->text, segment->text, segment->length);
        flags = segment->section_count == 0 ? TL_PART_STATIC : 0;
    } else {
        const struct tl_value *value;
        const char *name = segment->needs[segment->need_count - 1];
        status = find_input(filling->item, name, &value, error);
        if (status != TL_OK) {
            return status;
        }
        put_value(&filling->text, value);
        flags = is_listed(filling->trim, name) ? TL_PART_TRIMMABLE : 0;
    }
    size_t length = filling->text.length - start;
    bool first = filling->part_count == 0 || filling->parts[filling->part_count - 1].message != segment->message;
    /* An empty insertion adds nothing, but a message must have a part to be there. */
    if (length > 0 || first) {
        add_part(filling, template->roles[segment->message], segment->message, flags)->length = length;
    }
    return TL_OK;
}

static enum tl_status fill(struct filling *filling, const struct tl_template *template, size_t wanted,
                           struct tl_error *error) {
    for (size_t i = 0; i < wanted; i++) {
        enum tl_status status = fill_segment(filling, template, &template->segments[i], error);
        if (status != TL_OK) {
            return status;
        }
    }
    if (wanted < template->segment_count) {
        if (filling->part_count == 0) {
            uint32_t message = template->segments[0].message;
            add_part(filling, template->roles[message], message, 0);
        }
        filling->parts[filling->part_count - 1].flags |= TL_PART_OPEN;
    }
    size_t at = 0;
    for (size_t i = 0; i < filling->part_count; i++) {
        filling->parts[i].text = filling->text.data + at;
        at += filling->parts[i].length;
    }
    return TL_OK;
}

enum tl_status tl_builtin_render(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    const char *json = tl_attributes_string(item->attributes, "template", NULL);
    if (json == NULL) {
        return tl_error_set(error, TL_ERR_INVALID, "the attribute `template` is missing");
    }
    struct tl_template *template;
    enum tl_status status = tl_template_parse(json, &template, error);
    if (status != TL_OK) {
        return status;
    }
    size_t segments = template->segment_count;
    int64_t wanted = tl_attributes_integer(item->attributes, "parts", (int64_t)segments);
    struct filling filling = {
        .item = item,
        .trim = tl_attributes_string(item->attributes, "trim", ""),
        .text = TL_STR_INIT,
        .parts = tl_mem_zalloc((segments + 1) * sizeof *filling.parts),
    };
    if (wanted < 0) {
        status =
            tl_error_set(error, TL_ERR_INVALID, "the attribute `parts` is %lld; expected 0 or more", (long long)wanted);
    } else {
        status = fill(&filling, template, (uint64_t)wanted < segments ? (size_t)wanted : segments, error);
    }
    if (status == TL_OK) {
        status = tl_builtin_finish(tl_value_prompt(filling.parts, filling.part_count), output, error);
    }
    tl_mem_free(filling.parts);
    tl_str_fini(&filling.text);
    tl_template_destroy(template);
    return status;
}

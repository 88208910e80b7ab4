/* check_setting.c: the settings of a step against its module's table: known, present, of the right kind,
 * in range, and belonging to the mode that the step works in. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "workflow/workflow_impl.h"

#define WHAT_SIZE 192 /* "step '<id>': <setting>", ids and names are at most 64 characters */

const struct tl_setting_value *tl_step_value(const struct tl_step *step, const char *name) {
    for (size_t i = 0; i < step->module->setting_count; i++)
        if (strcmp(step->module->settings[i].name, name) == 0)
            return &step->values[i];
    TL_BUG("module %s has no setting '%s'", step->module->name, name);
}

/* ---- numbers ---- */

static bool parse_integer(const char *text, int64_t *value) {
    char *end;
    if (strspn(text, "-0123456789") != strlen(text))
        return false;
    errno = 0;
    *value = strtoll(text, &end, 10);
    return end != text && *end == '\0' && errno == 0;
}

static bool parse_number(const char *text, double *value) {
    char *end;
    if (strspn(text, "+-.0123456789eE") != strlen(text))
        return false;
    *value = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*value);
}

static void read_number(struct tl_check *check, const struct tl_setting *setting, const char *what,
                        struct tl_setting_value *value) {
    const struct tl_yaml_node *source = value->source;
    bool whole = setting->kind == TL_SETTING_INTEGER, good = false;
    if (source->kind == TL_YAML_SCALAR && source->plain && whole) {
        good = parse_integer(source->text, &value->integer);
        value->number = (double)value->integer;
    } else if (source->kind == TL_YAML_SCALAR && source->plain) {
        good = parse_number(source->text, &value->number);
    }
    if (good && value->number >= setting->least && value->number <= setting->most)
        return;
    char expected[96];
    snprintf(expected, sizeof expected, "%s from %.12g to %.12g", whole ? "a whole number" : "a number", setting->least,
             setting->most);
    tl_check_expected(check, source, what, expected);
}

static void read_bool(struct tl_check *check, const char *what, struct tl_setting_value *value) {
    const struct tl_yaml_node *source = value->source;
    bool plain = source->kind == TL_YAML_SCALAR && source->plain;
    value->integer = plain && strcmp(source->text, "true") == 0;
    if (!plain || (value->integer == 0 && strcmp(source->text, "false") != 0))
        tl_check_expected(check, source, what, "true or false");
}

/* ---- words and texts ---- */

static void read_choice(struct tl_check *check, const struct tl_setting *setting, const char *what,
                        struct tl_setting_value *value) {
    size_t count = 0;
    struct tl_str expected = TL_STR_INIT;
    for (; setting->choices[count] != NULL; count++)
        tl_str_printf(&expected, "%s%s",
                      count == 0                            ? ""
                      : setting->choices[count + 1] != NULL ? ", "
                                                            : " or ",
                      setting->choices[count]);
    const char *text = tl_check_text(check, value->source, what, expected.data);
    for (size_t i = 0; text != NULL && i < count; i++)
        if (strcmp(setting->choices[i], text) == 0)
            value->string = setting->choices[i];
    if (text != NULL && value->string == NULL) {
        const char *nearest = tl_str_nearest(text, setting->choices, count);
        if (nearest != NULL)
            tl_str_printf(&expected, " (did you mean '%s'?)", nearest);
        tl_check_expected(check, value->source, what, expected.data);
    }
    tl_str_fini(&expected);
}

/* A JSON array of the text or texts. */
static void read_strings(struct tl_check *check, const char *what, struct tl_setting_value *value) {
    const struct tl_yaml_node *source = value->source;
    bool list = source->kind == TL_YAML_LIST;
    struct tl_str json = TL_STR_INIT;
    tl_str_putc(&json, '[');
    for (size_t i = 0; i < (list ? source->count : 1); i++) {
        const char *text = tl_check_text(check, list ? source->items[i] : source, what, "a text or a list of texts");
        tl_str_puts(&json, i > 0 ? "," : "");
        if (text != NULL && text[0] == '\0')
            tl_check_expected(check, list ? source->items[i] : source, what, "a text that is not empty");
        else if (text != NULL)
            tl_str_put_json(&json, text, strlen(text));
    }
    tl_str_putc(&json, ']');
    value->string = tl_arena_strdup(&check->workflow->arena, json.data);
    tl_str_fini(&json);
}

/* ---- references ---- */

static void read_reference(struct tl_check *check, const struct tl_step *step, const struct tl_setting *setting,
                           const char *what, struct tl_setting_value *value) {
    value->reference_count = tl_check_references(check, step, value->source, what, &value->references);
    tl_check_accepted(check, value->source, what, setting->accepts, setting->single, value->references,
                      value->reference_count);
}

static void add_input(struct tl_check *check, const struct tl_step *step, const struct tl_setting *setting,
                      const struct tl_yaml_entry *entry, struct tl_setting_value *value) {
    char what[WHAT_SIZE];
    snprintf(what, sizeof what, "step '%s': %s: %.64s", step->id, setting->name, entry->key->text);
    if (!tl_check_is_name(entry->key->text))
        tl_check_error(check, entry->key,
                       "%s: expected a name of letters, digits and '_', not a digit first, at most 64", what);
    struct tl_reference *references;
    size_t count = tl_check_references(check, step, entry->value, what, &references);
    if (value->reference_count + count > TL_WORKFLOW_REFERENCES_MAX) {
        tl_check_error(check, entry->value, "%s: there are more than %d references", what, TL_WORKFLOW_REFERENCES_MAX);
        return;
    }
    tl_check_accepted(check, entry->value, what, setting->accepts, setting->single, references, count);
    for (size_t i = 0; i < count; i++) {
        references[i].name = entry->key->text;
        value->references[value->reference_count++] = references[i];
    }
}

static void read_inputs(struct tl_check *check, const struct tl_step *step, const struct tl_setting *setting,
                        const char *what, struct tl_setting_value *value) {
    const struct tl_yaml_node *source = value->source;
    if (source->kind != TL_YAML_MAP) {
        tl_check_expected(check, source, what, "a mapping from names to references, such as question: $question");
        return;
    }
    value->references = tl_arena_alloc(&check->workflow->arena, TL_WORKFLOW_REFERENCES_MAX * sizeof *value->references);
    for (size_t i = 0; i < source->count; i++)
        add_input(check, step, setting, &source->entries[i], value);
}

/* ---- one setting, all settings ---- */

static bool belongs_to_mode(const struct tl_setting *setting, const char *mode) {
    if (setting->modes == NULL || mode == NULL)
        return true;
    for (const char *at = setting->modes; *at != '\0';) {
        size_t length = strcspn(at, " ");
        if (strlen(mode) == length && memcmp(at, mode, length) == 0)
            return true;
        at += length + strspn(at + length, " ");
    }
    return false;
}

static void take_default(const struct tl_setting *setting, struct tl_setting_value *value) {
    value->string = setting->otherwise;
    if (setting->otherwise == NULL)
        return;
    if (setting->kind == TL_SETTING_INTEGER)
        TL_ASSERT(parse_integer(setting->otherwise, &value->integer));
    if (setting->kind == TL_SETTING_BOOL)
        value->integer = strcmp(setting->otherwise, "true") == 0;
    if (setting->kind == TL_SETTING_INTEGER || setting->kind == TL_SETTING_NUMBER)
        TL_ASSERT(parse_number(setting->otherwise, &value->number));
}

static const char *expected_kind(const struct tl_setting *setting) {
    switch (setting->kind) {
    case TL_SETTING_REFERENCE: return "a reference, such as $question or $search.hits";
    case TL_SETTING_INPUTS: return "a mapping from names to references, such as question: $question";
    case TL_SETTING_PROMPT: return "a text, or a mapping with system and user";
    default: return "a value";
    }
}

static void read_setting(struct tl_check *check, const struct tl_step *step, const struct tl_setting *setting,
                         struct tl_setting_value *value) {
    char what[WHAT_SIZE];
    snprintf(what, sizeof what, "step '%s': %s", step->id, setting->name);
    switch (setting->kind) {
    case TL_SETTING_INTEGER:
    case TL_SETTING_NUMBER: read_number(check, setting, what, value); break;
    case TL_SETTING_BOOL: read_bool(check, what, value); break;
    case TL_SETTING_STRING: value->string = tl_check_text(check, value->source, what, "a text"); break;
    case TL_SETTING_STRINGS: read_strings(check, what, value); break;
    case TL_SETTING_CHOICE: read_choice(check, setting, what, value); break;
    case TL_SETTING_REFERENCE: read_reference(check, step, setting, what, value); break;
    case TL_SETTING_INPUTS: read_inputs(check, step, setting, what, value); break;
    case TL_SETTING_PROMPT: tl_check_prompt(check, step, setting, what, value); break;
    case TL_SETTING_JSON: tl_check_json(check, what, value); break;
    }
}

/* Reads setting `position`; `mode` is the step's, NULL when its module has none or it is wrong. */
static void check_setting(struct tl_check *check, struct tl_step *step, size_t position, const char *mode) {
    const struct tl_setting *setting = &step->module->settings[position];
    struct tl_setting_value *value = &step->values[position];
    bool belongs = belongs_to_mode(setting, mode);
    value->source = tl_yaml_get(step->source, setting->name);
    if (value->source != NULL && !belongs) {
        struct tl_str modes = TL_STR_INIT;
        tl_setting_put_modes(setting, &modes);
        const char *selector = tl_module_selector(step->module);
        tl_check_error(check, value->source, "step '%s': %s: this belongs to %s %s, and the %s of the step is %s",
                       step->id, setting->name, selector, modes.data, selector, mode);
        tl_str_fini(&modes);
    } else if (value->source != NULL) {
        read_setting(check, step, setting, value);
    } else if (setting->required) {
        tl_check_error(check, step->source, "step '%s': the setting '%s' is missing; expected %s", step->id,
                       setting->name, expected_kind(setting));
    } else if (setting->kind != TL_SETTING_PROMPT) {
        take_default(setting, value);
    } else if (belongs) {
        tl_check_prompt(check, step, setting, "", value);
    }
}

/* Reports keys that are neither settings of the module nor known to every step. */
static void check_keys(struct tl_check *check, const struct tl_step *step) {
    enum { KEYS = 64 };
    const char *keys[KEYS];
    size_t count = 0;
    const struct tl_module *module = step->module;
    TL_ASSERT(4 + module->setting_count <= KEYS);
    keys[count++] = "id";
    keys[count++] = "module";
    keys[count++] = "after";
    keys[count++] = "engines";
    for (size_t i = 0; i < module->setting_count; i++)
        keys[count++] = module->settings[i].name;
    char what[WHAT_SIZE];
    snprintf(what, sizeof what, "step '%s': the module %s has no setting", step->id, module->name);
    tl_check_keys(check, step->source, what, "its settings", keys, count);
}

/* The workflow's engines, but for those that the step names itself. */
static void check_step_engines(struct tl_check *check, struct tl_step *step) {
    const struct tl_yaml_node *source = tl_yaml_get(step->source, "engines");
    memcpy(step->engines, check->workflow->engines, sizeof step->engines);
    if (source == NULL)
        return;
    char where[WHAT_SIZE];
    snprintf(where, sizeof where, "step '%s': ", step->id);
    tl_check_engines(check, source, where, step->module->roles, step->engines);
}

void tl_check_settings(struct tl_check *check, struct tl_step *step) {
    const struct tl_module *module = step->module;
    step->values = tl_arena_alloc(&check->workflow->arena, module->setting_count * sizeof *step->values);
    check_keys(check, step);
    check_step_engines(check, step);
    size_t mode_position = 0;
    while (mode_position < module->setting_count &&
           strcmp(module->settings[mode_position].name, tl_module_selector(module)) != 0)
        mode_position++;
    const char *mode = NULL;
    if (mode_position < module->setting_count) {
        check_setting(check, step, mode_position, NULL);
        mode = step->values[mode_position].string;
    }
    for (size_t i = 0; i < module->setting_count; i++)
        if (i != mode_position)
            check_setting(check, step, i, mode);
}

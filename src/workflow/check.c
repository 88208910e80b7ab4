/* check.c: the tree of a workflow file → struct tl_workflow. Checking goes on after an error, so that all are
 * shown at once; what hangs on something wrong is left alone, so that one mistake is shown once. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "workflow/workflow_impl.h"

/* ---- reporting ---- */

static void report(struct tl_check *check, enum tl_severity severity, const struct tl_yaml_node *at, const char *format,
                   va_list args) {
    if (!tl_check_is_enough(check))
        tl_diagnostics_add_list(check->findings, severity, at->line, at->column, format, args);
    check->errors += severity == TL_SEVERITY_ERROR ? 1 : 0;
}

bool tl_check_is_enough(const struct tl_check *check) {
    return check->errors >= TL_WORKFLOW_ERRORS_MAX;
}

void tl_check_error(struct tl_check *check, const struct tl_yaml_node *at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report(check, TL_SEVERITY_ERROR, at, format, args);
    va_end(args);
}

void tl_check_warning(struct tl_check *check, const struct tl_yaml_node *at, const char *format, ...) {
    va_list args;
    va_start(args, format);
    report(check, TL_SEVERITY_WARNING, at, format, args);
    va_end(args);
}

void tl_check_expected(struct tl_check *check, const struct tl_yaml_node *source, const char *what,
                       const char *expected) {
    struct tl_str found = TL_STR_INIT;
    tl_yaml_describe(source, &found);
    tl_check_error(check, source, "%s: expected %s, found %s", what, expected, found.data);
    tl_str_fini(&found);
}

void tl_check_suggest(struct tl_str *out, const char *name, const char *title, const char *const *candidates,
                      size_t count) {
    const char *nearest = tl_str_nearest(name, candidates, count);
    if (nearest != NULL)
        tl_str_printf(out, "; did you mean '%s'?", nearest);
    tl_str_printf(out, "%s %s:", nearest != NULL ? "" : ";", title);
    for (size_t i = 0; i < count; i++)
        tl_str_printf(out, "%s%s", i > 0 ? ", " : " ", candidates[i]);
}

bool tl_check_is_name(const char *text) {
    size_t length = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789");
    return length > 0 && length <= 64 && text[length] == '\0' && !(text[0] >= '0' && text[0] <= '9');
}

const char *tl_check_text(struct tl_check *check, const struct tl_yaml_node *source, const char *what,
                          const char *expected) {
    if (source->kind == TL_YAML_SCALAR && !tl_yaml_is_nothing(source))
        return source->text;
    tl_check_expected(check, source, what, expected);
    return NULL;
}

void tl_check_keys(struct tl_check *check, const struct tl_yaml_node *map, const char *what, const char *title,
                   const char *const *keys, size_t count) {
    for (size_t i = 0; i < map->count; i++) {
        const struct tl_yaml_node *key = map->entries[i].key;
        bool known = false;
        for (size_t k = 0; k < count && !known; k++)
            known = strcmp(keys[k], key->text) == 0;
        if (known)
            continue;
        struct tl_str help = TL_STR_INIT;
        tl_check_suggest(&help, key->text, title, keys, count);
        tl_check_error(check, key, "%s '%.64s'%s", what, key->text, help.data);
        tl_str_fini(&help);
    }
}

/* The value of a required key, or NULL after a finding at the mapping. */
static const struct tl_yaml_node *need(struct tl_check *check, const struct tl_yaml_node *map, const char *key,
                                       const char *expected) {
    const struct tl_yaml_node *value = tl_yaml_get(map, key);
    if (value == NULL)
        tl_check_error(check, map, "the key '%s' is missing; expected %s", key, expected);
    return value;
}

/* ---- name, inputs, engines ---- */

static void check_name(struct tl_check *check, const struct tl_yaml_node *root) {
    const char *expected = "a name of letters, digits, '.', '_' and '-', at most 64";
    struct tl_workflow *workflow = check->workflow;
    workflow->name = workflow->description = "";
    const struct tl_yaml_node *source = need(check, root, "name", expected);
    const char *name = source != NULL ? tl_check_text(check, source, "name", expected) : NULL;
    if (name != NULL) {
        size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-");
        if (name[length] != '\0' || length > 64)
            tl_check_expected(check, source, "name", expected);
        else
            workflow->name = name;
    }
    source = tl_yaml_get(root, "description");
    if (source != NULL) {
        const char *description = tl_check_text(check, source, "description", "a text");
        workflow->description = description != NULL ? description : "";
    }
}

/* The types that a person can give. */
static const char *const input_types[] = {"text", "texts", "documents", "number", "bool", "json"};

static bool read_input_type(struct tl_check *check, const struct tl_yaml_node *source, const char *what,
                            struct tl_type *type) {
    const char *expected = "a type: text, texts, documents, number, bool or json";
    const char *text = tl_check_text(check, source, what, expected);
    if (text == NULL)
        return false;
    for (size_t i = 0; i < sizeof input_types / sizeof input_types[0]; i++)
        if (strcmp(text, input_types[i]) == 0)
            return tl_type_parse(text, type);
    struct tl_str help = TL_STR_INIT;
    tl_check_suggest(&help, text, "types", input_types, sizeof input_types / sizeof input_types[0]);
    tl_check_error(check, source, "%s: unknown type '%.64s'%s", what, text, help.data);
    tl_str_fini(&help);
    return false;
}

/* Reads true or false; anything else is a finding and counts as false. */
static bool read_bool(struct tl_check *check, const struct tl_yaml_node *source, const char *what) {
    bool is_true = source->kind == TL_YAML_SCALAR && source->plain && strcmp(source->text, "true") == 0;
    bool is_false = source->kind == TL_YAML_SCALAR && source->plain && strcmp(source->text, "false") == 0;
    if (!is_true && !is_false)
        tl_check_expected(check, source, what, "true or false");
    return is_true;
}

static void check_input(struct tl_check *check, const struct tl_yaml_entry *entry, struct tl_workflow_input *input) {
    static const char *const keys[] = {"type", "optional", "description"};
    char what[96], part[128];
    snprintf(what, sizeof what, "input '%.64s'", entry->key->text);
    input->name = entry->key->text;
    input->type = TL_TYPE_OF(CONTROL, 0); /* not known */
    if (!tl_check_is_name(input->name))
        tl_check_error(check, entry->key,
                       "%s: expected a name of letters, digits and '_', not a digit first, at most 64", what);
    else if (strcmp(input->name, "collection") == 0)
        tl_check_error(check, entry->key,
                       "input 'collection': this name is taken by the collection that a query names; "
                       "expected another");
    struct tl_type type;
    if (entry->value->kind == TL_YAML_SCALAR) {
        if (read_input_type(check, entry->value, what, &type))
            input->type = type;
        return;
    }
    if (entry->value->kind != TL_YAML_MAP) {
        tl_check_expected(check, entry->value, what, "a type, or a mapping with type, optional and description");
        return;
    }
    snprintf(part, sizeof part, "%s: unknown key", what);
    tl_check_keys(check, entry->value, part, "expected one of", keys, sizeof keys / sizeof keys[0]);
    const struct tl_yaml_node *source = tl_yaml_get(entry->value, "type");
    if (source == NULL)
        tl_check_error(check, entry->value,
                       "%s: the key 'type' is missing; expected text, texts, documents, number, bool or json", what);
    else if (read_input_type(check, source, what, &type))
        input->type = type;
    if ((source = tl_yaml_get(entry->value, "description")) != NULL) {
        snprintf(part, sizeof part, "%s: description", what);
        tl_check_text(check, source, part, "a text");
    }
    if ((source = tl_yaml_get(entry->value, "optional")) == NULL)
        return;
    snprintf(part, sizeof part, "%s: optional", what);
    input->optional = read_bool(check, source, part);
    bool can = input->type.base == TL_TYPE_DOCUMENT || (input->type.base == TL_TYPE_TEXT && input->type.depth == 0);
    if (input->optional && !can && input->type.base != TL_TYPE_CONTROL)
        tl_check_error(check, source, "%s: only a text (then empty) or documents (then a collection) can be left out; "
                       "expected optional: false", what);
}

static void check_inputs(struct tl_check *check, const struct tl_yaml_node *root) {
    struct tl_workflow *workflow = check->workflow;
    const struct tl_yaml_node *map =
        need(check, root, "inputs", "a mapping from names to types, such as question: text");
    if (map == NULL)
        return;
    if (map->kind != TL_YAML_MAP || map->count == 0) {
        tl_check_expected(check, map, "inputs", "a mapping from names to types, such as question: text");
        return;
    }
    workflow->inputs = tl_arena_alloc(&workflow->arena, map->count * sizeof *workflow->inputs);
    workflow->input_sources = tl_arena_alloc(&workflow->arena, map->count * sizeof *workflow->input_sources);
    workflow->inputs_used = tl_arena_alloc(&workflow->arena, map->count * sizeof *workflow->inputs_used);
    workflow->input_count = map->count;
    for (size_t i = 0; i < map->count; i++) {
        workflow->input_sources[i] = map->entries[i].key;
        check_input(check, &map->entries[i], &workflow->inputs[i]);
    }
}

static bool is_engine_name(const char *name) {
    size_t length = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz_0123456789.-");
    return length > 0 && length <= 64 && name[length] == '\0' && strchr("0123456789.-", name[0]) == NULL;
}

void tl_check_engines(struct tl_check *check, const struct tl_yaml_node *map, const char *where, uint32_t roles,
                      const char *engines[TL_ROLE_COUNT]) {
    const char *expected =
        "the name of an engine: letters, digits, '_', '-' and '.', beginning with a letter or '_', at most 64";
    const char *names[TL_ROLE_COUNT];
    size_t count = 0;
    char what[192];
    snprintf(what, sizeof what, "%sengines", where);
    if (map->kind != TL_YAML_MAP) {
        tl_check_expected(check, map, what, "a mapping from roles to names of engines, such as llm: big");
        return;
    }
    for (size_t i = 0; i < TL_ROLE_COUNT; i++)
        if ((roles & 1u << i) != 0)
            names[count++] = tl_engine_roles[i].name;
    snprintf(what, sizeof what, "%sengines: unknown key", where);
    tl_check_keys(check, map, what, "expected one of", names, count);
    for (size_t i = 0; i < TL_ROLE_COUNT; i++) {
        const struct tl_yaml_node *source = (roles & 1u << i) != 0 ? tl_yaml_get(map, tl_engine_roles[i].name) : NULL;
        if (source == NULL)
            continue;
        snprintf(what, sizeof what, "%sengines: %s", where, tl_engine_roles[i].name);
        const char *name = tl_check_text(check, source, what, expected);
        if (name != NULL && is_engine_name(name))
            engines[i] = name;
        else if (name != NULL)
            tl_check_expected(check, source, what, expected);
    }
}

static void check_on_error(struct tl_check *check, const struct tl_yaml_node *source) {
    check->workflow->on_error = "skip";
    if (source == NULL)
        return;
    const char *text = tl_check_text(check, source, "on_error", "skip or fail");
    if (text != NULL && strcmp(text, "skip") != 0 && strcmp(text, "fail") != 0)
        tl_check_expected(check, source, "on_error", "skip or fail");
    else if (text != NULL)
        check->workflow->on_error = text;
}

/* ---- steps ---- */

static void check_id(struct tl_check *check, struct tl_step *step) {
    struct tl_workflow *workflow = check->workflow;
    const struct tl_yaml_node *source = tl_yaml_get(step->source, "id");
    const struct tl_yaml_node *at = source != NULL ? source : step->source;
    char what[64];
    snprintf(what, sizeof what, "step %zu", step->position + 1);
    if (source != NULL) {
        const char *id =
            tl_check_text(check, source, "id", "a name of letters, digits and '_', not a digit first, at most 64");
        if (id != NULL && !tl_check_is_name(id))
            tl_check_expected(check, source, "id", "a name of letters, digits and '_', not a digit first, at most 64");
        step->id = id != NULL && tl_check_is_name(id) ? id : tl_arena_strdup(&workflow->arena, what);
    } else {
        step->id = step->module != NULL ? step->module->name : tl_arena_strdup(&workflow->arena, what);
    }
    for (size_t i = 0; i < step->position; i++)
        if (strcmp(workflow->steps[i].id, step->id) == 0)
            tl_check_error(check, at, "there are two steps '%s'; the first is in line %u: give each an id of its own",
                           step->id, workflow->steps[i].source->line);
    for (size_t i = 0; i < workflow->input_count; i++)
        if (strcmp(workflow->inputs[i].name, step->id) == 0)
            tl_check_error(check, at, "the step '%s' has the name of an input; expected another id", step->id);
}

static void check_module(struct tl_check *check, struct tl_step *step) {
    const struct tl_yaml_node *source = tl_yaml_get(step->source, "module");
    if (source == NULL) {
        tl_check_error(check, step->source,
                       "step %zu: the key 'module' is missing; expected the name of a module, such as "
                       "search",
                       step->position + 1);
        return;
    }
    const char *name = tl_check_text(check, source, "module", "the name of a module");
    if (name == NULL || (step->module = tl_module_find(name)) != NULL)
        return;
    const char *names[32];
    TL_ASSERT(tl_module_count <= 32);
    for (size_t i = 0; i < tl_module_count; i++)
        names[i] = tl_modules[i]->name;
    struct tl_str help = TL_STR_INIT;
    tl_check_suggest(&help, name, "modules", names, tl_module_count);
    tl_check_error(check, source, "unknown module '%.64s'%s", name, help.data);
    tl_str_fini(&help);
}

/* Ids and modules of all steps, so that a reference to a later one is known for what it is. */
static bool collect_steps(struct tl_check *check, const struct tl_yaml_node *root) {
    struct tl_workflow *workflow = check->workflow;
    const struct tl_yaml_node *list = need(check, root, "steps", "a list of steps, each with a module");
    if (list == NULL)
        return false;
    if (list->kind != TL_YAML_LIST || list->count == 0) {
        tl_check_expected(check, list, "steps", "a list of steps, each with a module");
        return false;
    }
    if (list->count > TL_WORKFLOW_STEPS_MAX) {
        tl_check_error(check, list, "steps: expected at most %d, found %zu", TL_WORKFLOW_STEPS_MAX, list->count);
        return false;
    }
    workflow->steps = tl_arena_alloc(&workflow->arena, list->count * sizeof *workflow->steps);
    for (size_t i = 0; i < list->count; i++) {
        struct tl_step *step = &workflow->steps[workflow->step_count];
        if (list->items[i]->kind != TL_YAML_MAP) {
            tl_check_expected(check, list->items[i], "steps", "a mapping with id, module and settings");
            continue;
        }
        *step = (struct tl_step){.workflow = workflow, .source = list->items[i], .position = workflow->step_count};
        check_module(check, step);
        check_id(check, step);
        workflow->step_count++;
    }
    return true;
}

/* Adds the step's engines to those that the workflow uses. */
static void note_roles(struct tl_workflow *workflow, const struct tl_step *step) {
    for (size_t r = 0; r < TL_ROLE_COUNT; r++) {
        bool known = (step->module->roles & 1u << r) == 0;
        for (size_t i = 0; i < workflow->role_count && !known; i++)
            known = workflow->roles[i].role == r && strcmp(workflow->roles[i].engine, step->engines[r]) == 0;
        if (!known)
            workflow->roles[workflow->role_count++] =
                (struct tl_workflow_role){.role = (enum tl_engine_role)r, .engine = step->engines[r]};
    }
}

static void check_steps(struct tl_check *check, const struct tl_yaml_node *root) {
    struct tl_workflow *workflow = check->workflow;
    if (!collect_steps(check, root))
        return;
    workflow->roles = tl_arena_alloc(&workflow->arena, workflow->step_count * TL_ROLE_COUNT * sizeof *workflow->roles);
    for (size_t i = 0; i < workflow->step_count; i++) {
        struct tl_step *step = &workflow->steps[i];
        tl_check_after(check, step);
        if (step->module == NULL)
            continue;
        size_t errors = check->errors;
        tl_check_settings(check, step);
        note_roles(workflow, step);
        if (check->errors == errors && step->module->check != NULL)
            step->module->check(check, step);
        if (check->errors == errors)
            step->module->lanes(step, step->lanes);
    }
}

/* ---- outputs ---- */

static void check_result(struct tl_check *check, const struct tl_yaml_entry *entry,
                         struct tl_workflow_result *result) {
    const uint32_t accepted = TL_ACCEPTS(TEXT) | TL_ACCEPTS(HIT) | TL_ACCEPTS(JSON) | TL_ACCEPTS(NUMBER) |
                              TL_ACCEPTS(BOOL) | TL_ACCEPTS(VECTOR);
    char what[96];
    snprintf(what, sizeof what, "output '%.64s'", entry->key->text);
    result->name = entry->key->text;
    if (!tl_check_is_name(result->name))
        tl_check_error(check, entry->key,
                       "%s: expected a name of letters, digits and '_', not a digit first, at most 64", what);
    result->reference_count = tl_check_references(check, NULL, entry->value, what, &result->references);
    tl_check_accepted(check, entry->value, what, accepted, false, result->references, result->reference_count);
}

static void check_results(struct tl_check *check, const struct tl_yaml_node *root) {
    struct tl_workflow *workflow = check->workflow;
    const char *expected = "a mapping from names to references, such as answer: $answer.answer";
    const struct tl_yaml_node *map = need(check, root, "outputs", expected);
    if (map == NULL)
        return;
    if (map->kind != TL_YAML_MAP || map->count == 0) {
        tl_check_expected(check, map, "outputs", expected);
        return;
    }
    workflow->results = tl_arena_alloc(&workflow->arena, map->count * sizeof *workflow->results);
    workflow->result_count = map->count;
    for (size_t i = 0; i < map->count; i++)
        check_result(check, &map->entries[i], &workflow->results[i]);
}

/* What is written and does nothing is probably a mistake. */
static void warn_unused(struct tl_check *check) {
    const struct tl_workflow *workflow = check->workflow;
    for (size_t i = 0; i < workflow->input_count; i++)
        if (!workflow->inputs_used[i])
            tl_check_warning(check, workflow->input_sources[i], "nothing uses the input '%s'",
                             workflow->inputs[i].name);
    for (size_t i = 0; i < workflow->step_count; i++)
        if (!workflow->steps[i].used)
            tl_check_warning(check, workflow->steps[i].source, "nothing uses what the step '%s' gives",
                             workflow->steps[i].id);
}

void tl_check_workflow(struct tl_check *check, const struct tl_yaml_node *root) {
    static const char *const keys[] = {"name", "description", "inputs", "engines", "on_error", "steps", "outputs"};
    if (tl_yaml_is_nothing(root)) {
        tl_check_error(check, root, "the file is empty; expected a workflow with name, inputs, steps and outputs");
        return;
    }
    if (root->kind != TL_YAML_MAP) {
        tl_check_expected(check, root, "workflow", "a mapping with name, inputs, steps and outputs");
        return;
    }
    tl_check_keys(check, root, "unknown key", "expected one of", keys, sizeof keys / sizeof keys[0]);
    check_name(check, root);
    check_inputs(check, root);
    for (size_t i = 0; i < TL_ROLE_COUNT; i++)
        check->workflow->engines[i] = tl_engine_roles[i].name;
    check_on_error(check, tl_yaml_get(root, "on_error"));
    const struct tl_yaml_node *engines = tl_yaml_get(root, "engines");
    if (engines != NULL)
        tl_check_engines(check, engines, "", (1u << TL_ROLE_COUNT) - 1, check->workflow->engines);
    check_steps(check, root);
    check_results(check, root);
    if (check->errors == 0)
        warn_unused(check);
    if (check->errors > TL_WORKFLOW_ERRORS_MAX)
        tl_diagnostics_add(check->findings, TL_SEVERITY_ERROR, 0, 0, "there are %zu errors; these are the first %d",
                           check->errors, TL_WORKFLOW_ERRORS_MAX);
}

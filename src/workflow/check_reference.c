/* check_reference.c: `$input` and `$step.output`: does it exist, does it stand earlier, is it of the type
 * that is wanted there? And `after:`, which names steps. */
#include <stdio.h>
#include <string.h>

#include "workflow/workflow_impl.h"

static const struct tl_step *find_step(const struct tl_workflow *workflow, const char *id, size_t length) {
    for (size_t i = 0; i < workflow->step_count; i++)
        if (strlen(workflow->steps[i].id) == length && memcmp(workflow->steps[i].id, id, length) == 0)
            return &workflow->steps[i];
    return NULL;
}

static size_t find_input(const struct tl_workflow *workflow, const char *name) {
    size_t i = 0;
    while (i < workflow->input_count && strcmp(workflow->inputs[i].name, name) != 0)
        i++;
    return i;
}

/* ---- what could have been meant ---- */

struct names {
    const char **items;
    size_t count, capacity;
};

static void add_name(struct tl_check *check, struct names *names, const char *name) {
    names->items =
        tl_arena_grow(&check->workflow->arena, names->items, &names->capacity, names->count + 1, sizeof *names->items);
    names->items[names->count++] = name;
}

/* All references that may be written in `step` (NULL: in the outputs). */
static void list_references(struct tl_check *check, const struct tl_step *step, struct names *names) {
    const struct tl_workflow *workflow = check->workflow;
    struct tl_arena *arena = &check->workflow->arena;
    size_t steps = step != NULL ? step->position : workflow->step_count;
    for (size_t i = 0; i < workflow->input_count; i++)
        add_name(check, names, tl_arena_printf(arena, "$%s", workflow->inputs[i].name));
    for (size_t i = 0; i < steps; i++) {
        const struct tl_step *earlier = &workflow->steps[i];
        if (earlier->module == NULL || !tl_check_is_name(earlier->id))
            continue;
        for (size_t o = 0; o < earlier->module->output_count; o++)
            add_name(check, names, tl_arena_printf(arena, "$%s.%s", earlier->id, earlier->module->outputs[o].name));
    }
}

static void report_unknown(struct tl_check *check, const struct tl_step *step, const struct tl_yaml_node *source,
                           const char *what) {
    if (tl_check_is_enough(check))
        return;
    struct names names = {0};
    struct tl_str help = TL_STR_INIT;
    list_references(check, step, &names);
    if (names.count > 0)
        tl_check_suggest(&help, source->text, "what can be referred to here", names.items, names.count);
    tl_check_error(check, source, "%s: there is no input or step for '%.128s'%s", what, source->text, help.data);
    tl_str_fini(&help);
}

/* ---- cycles ---- */

/* A search for a way from one step to another along what is written: references, and `after`. */
struct search {
    struct tl_check *check;
    const struct tl_step *to;
    bool *seen;        /* per step */
    struct names path; /* ids on the way found, last first */
};

#define REFERENCE_DEPTH 3 /* a reference stands in a setting, a list in it, or a mapping in it */

static bool reaches(struct search *search, const struct tl_step *from);

/* Whether anything written in `source` names a step from which the goal is reached. */
static bool reaches_through(struct search *search, const struct tl_yaml_node *source, bool after, int depth) {
    if (source->kind == TL_YAML_SCALAR) {
        const char *name = source->text;
        if (!after && *name++ != '$')
            return false;
        const struct tl_step *next = find_step(search->check->workflow, name, strcspn(name, "."));
        return next != NULL && reaches(search, next);
    }
    for (size_t i = 0; depth > 0 && i < source->count; i++) {
        bool is_list = source->kind == TL_YAML_LIST;
        const struct tl_yaml_node *inner = is_list ? source->items[i] : source->entries[i].value;
        bool is_after = after || (!is_list && strcmp(source->entries[i].key->text, "after") == 0);
        if (reaches_through(search, inner, is_after, depth - 1))
            return true;
    }
    return false;
}

/* Whether `from` is the goal or uses it, directly or not. */
static bool reaches(struct search *search, const struct tl_step *from) {
    if (search->seen[from->position])
        return false;
    search->seen[from->position] = true;
    if (from != search->to && !reaches_through(search, from->source, false, REFERENCE_DEPTH))
        return false;
    add_name(search->check, &search->path, from->id);
    return true;
}

/* `step` uses `later`, which stands after it (or is it): a cycle, or only the wrong order. */
static void report_later(struct tl_check *check, const struct tl_step *step, const struct tl_yaml_node *source,
                         const char *what, const struct tl_step *later) {
    struct tl_workflow *workflow = check->workflow;
    if (later == step) {
        tl_check_error(check, source, "%s: the step refers to itself; expected an earlier step or an input", what);
        return;
    }
    if (tl_check_is_enough(check))
        return;
    struct search search = {.check = check, .to = step};
    search.seen = tl_arena_alloc(&workflow->arena, workflow->step_count * sizeof *search.seen);
    if (reaches(&search, later)) {
        struct tl_str cycle = TL_STR_INIT;
        tl_str_puts(&cycle, step->id);
        for (size_t i = search.path.count; i > 0; i--)
            tl_str_printf(&cycle, " -> %s", search.path.items[i - 1]);
        tl_check_error(check, source, "%s: this makes a cycle: %s (-> means: uses)", what, cycle.data);
        tl_str_fini(&cycle);
    } else {
        tl_check_error(check, source,
                       "%s: the step '%s' stands later, in line %u; a step can use only what stands before it", what,
                       later->id, later->source->line);
    }
}

/* ---- references ---- */

static bool resolve_output(struct tl_check *check, const struct tl_yaml_node *source, const char *what,
                           struct tl_reference *reference, const char *output) {
    const struct tl_module *module = reference->step->module;
    const char *names[TL_MODULE_OUTPUTS_MAX];
    if (module == NULL)
        return false;
    for (size_t i = 0; i < module->output_count; i++) {
        names[i] = module->outputs[i].name;
        if (output != NULL && strcmp(names[i], output) == 0) {
            reference->output = i;
            return true;
        }
    }
    if (output == NULL) {
        tl_check_error(check, source, "%s: '%s' names a step; expected one of its outputs, such as $%s.%s", what,
                       source->text, reference->step->id, names[0]);
        return false;
    }
    struct tl_str help = TL_STR_INIT;
    tl_check_suggest(&help, output, "its outputs", names, module->output_count);
    tl_check_error(check, source, "%s: the step '%s' (module %s) has no output '%.64s'%s", what, reference->step->id,
                   module->name, output, help.data);
    tl_str_fini(&help);
    return false;
}

void tl_check_reference(struct tl_check *check, const struct tl_step *step, const struct tl_yaml_node *source,
                        const char *what, struct tl_reference *reference) {
    struct tl_workflow *workflow = check->workflow;
    *reference = (struct tl_reference){.source = source, .name = ""};
    if (source->kind != TL_YAML_SCALAR || source->text[0] != '$') {
        tl_check_expected(check, source, what, "a reference such as $question or $search.hits");
        return;
    }
    const char *name = source->text + 1, *dot = strchr(name, '.');
    size_t length = dot != NULL ? (size_t)(dot - name) : strlen(name);
    char *input = tl_arena_strndup(&workflow->arena, name, length);
    reference->input = find_input(workflow, input);
    bool is_input = reference->input < workflow->input_count && dot == NULL;
    reference->step = is_input ? NULL : find_step(workflow, name, length);
    if (reference->step != NULL) {
        workflow->steps[reference->step->position].used |= reference->step != step;
        if (step != NULL && reference->step->position >= step->position)
            report_later(check, step, source, what, reference->step);
        else
            reference->known = resolve_output(check, source, what, reference, dot != NULL ? dot + 1 : NULL);
        return;
    }
    if (reference->input == workflow->input_count) {
        report_unknown(check, step, source, what);
        return;
    }
    workflow->inputs_used[reference->input] = true;
    if (dot != NULL)
        tl_check_error(check, source, "%s: '%s' is an input, which has no outputs; expected $%s", what, input, input);
    reference->known = dot == NULL;
}

size_t tl_check_references(struct tl_check *check, const struct tl_step *step, const struct tl_yaml_node *source,
                           const char *what, struct tl_reference **references) {
    size_t count = source->kind == TL_YAML_LIST ? source->count : 1;
    *references = NULL;
    if (count == 0 || count > TL_WORKFLOW_REFERENCES_MAX) {
        tl_check_error(check, source, "%s: expected 1 to %d references, found %zu", what, TL_WORKFLOW_REFERENCES_MAX,
                       count);
        return 0;
    }
    *references = tl_arena_alloc(&check->workflow->arena, count * sizeof **references);
    for (size_t i = 0; i < count; i++)
        tl_check_reference(check, step, source->kind == TL_YAML_LIST ? source->items[i] : source, what,
                           &(*references)[i]);
    return count;
}

/* ---- types ---- */

bool tl_reference_lanes(const struct tl_workflow *workflow, const struct tl_reference *references, size_t count,
                        struct tl_lanes *lanes) {
    lanes->count = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tl_reference *reference = &references[i];
        struct tl_lanes input = {.count = 0};
        const struct tl_lanes *more = &input;
        if (reference->known && reference->step != NULL) {
            more = &reference->step->lanes[reference->output];
        } else if (reference->known && workflow->inputs[reference->input].type.base != TL_TYPE_CONTROL) {
            input.types[0] = workflow->inputs[reference->input].type;
            input.count = 1;
        }
        bool fits = lanes->count + more->count <= TL_LANES_MAX;
        if (more->count == 0 || !fits) {
            lanes->count = 0;
            return fits;
        }
        memcpy(&lanes->types[lanes->count], more->types, more->count * sizeof more->types[0]);
        lanes->count += more->count;
    }
    return true;
}

static const char *type_name(enum tl_base_type base, bool many) {
    switch (base) {
    case TL_TYPE_TEXT: return many ? "texts" : "a text";
    case TL_TYPE_DOCUMENT: return "documents";
    case TL_TYPE_VECTOR: return many ? "vectors" : "a vector";
    case TL_TYPE_HIT: return "hits";
    case TL_TYPE_INDEX: return many ? "collections" : "a collection";
    case TL_TYPE_NUMBER: return many ? "numbers" : "a number";
    case TL_TYPE_BOOL: return many ? "bools" : "true or false";
    case TL_TYPE_JSON: return "JSON";
    default: return tl_base_type_name(base);
    }
}

static void put_accepted(uint32_t accepts, bool single, struct tl_str *out) {
    bool first = true;
    for (unsigned base = 0; base < TL_TYPE_COUNT; base++) {
        if ((accepts & 1u << base) == 0)
            continue;
        tl_str_printf(out, "%s%s", first ? "" : " or ", type_name((enum tl_base_type)base, !single));
        first = false;
    }
}

static bool is_accepted(uint32_t accepts, bool single, const struct tl_lanes *lanes) {
    if (single && (lanes->count > 1 || lanes->types[0].depth > 0))
        return false;
    for (size_t i = 0; i < lanes->count; i++)
        if ((accepts & 1u << lanes->types[i].base) == 0 || lanes->types[i].base != lanes->types[0].base)
            return false;
    return true;
}

void tl_check_accepted(struct tl_check *check, const struct tl_yaml_node *source, const char *what, uint32_t accepts,
                       bool single, const struct tl_reference *references, size_t count) {
    struct tl_lanes lanes;
    if (!tl_reference_lanes(check->workflow, references, count, &lanes)) {
        tl_check_error(check, source, "%s: these are too many values at once; expected at most %d", what, TL_LANES_MAX);
        return;
    }
    if (lanes.count == 0 || is_accepted(accepts, single, &lanes))
        return;
    bool many = lanes.count > 1 || lanes.types[0].depth > 0;
    struct tl_str expected = TL_STR_INIT, found = TL_STR_INIT;
    put_accepted(accepts, single, &expected);
    for (size_t i = 0; i < lanes.count; i++) {
        bool again = false;
        for (size_t k = 0; k < i && !again; k++)
            again = lanes.types[k].base == lanes.types[i].base;
        if (!again)
            tl_str_printf(&found, "%s%s", i > 0 ? " and " : "",
                          type_name((enum tl_base_type)lanes.types[i].base, many));
    }
    const char *written = source->kind == TL_YAML_SCALAR ? source->text : "the list";
    tl_check_error(check, source, "%s: expected %s, but %s gives %s", what, expected.data, written, found.data);
    tl_str_fini(&expected);
    tl_str_fini(&found);
}

/* ---- after ---- */

static void add_after(struct tl_check *check, struct tl_step *step, const struct tl_yaml_node *source) {
    struct tl_workflow *workflow = check->workflow;
    char what[96];
    snprintf(what, sizeof what, "step '%s': after", step->id);
    const char *id = tl_check_text(check, source, what, "the id of an earlier step");
    if (id == NULL)
        return;
    const struct tl_step *other = find_step(workflow, id, strlen(id));
    if (other == NULL && tl_check_is_enough(check))
        return;
    if (other == NULL) {
        struct names names = {0};
        struct tl_str help = TL_STR_INIT;
        for (size_t i = 0; i < step->position; i++)
            add_name(check, &names, workflow->steps[i].id);
        if (names.count > 0)
            tl_check_suggest(&help, id, "earlier steps", names.items, names.count);
        tl_check_error(check, source, "%s: there is no step '%.64s'%s", what, id, help.data);
        tl_str_fini(&help);
        return;
    }
    if (other->position >= step->position) {
        report_later(check, step, source, what, other);
        return;
    }
    workflow->steps[other->position].used = true;
    step->after[step->after_count++] = other->position;
}

void tl_check_after(struct tl_check *check, struct tl_step *step) {
    const struct tl_yaml_node *source = tl_yaml_get(step->source, "after");
    step->after_source = source;
    if (source == NULL)
        return;
    size_t count = source->kind == TL_YAML_LIST ? source->count : 1;
    step->after = tl_arena_alloc(&check->workflow->arena, (count + 1) * sizeof *step->after);
    if (source->kind != TL_YAML_LIST)
        add_after(check, step, source);
    for (size_t i = 0; source->kind == TL_YAML_LIST && i < count; i++)
        add_after(check, step, source->items[i]);
}

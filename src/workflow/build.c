/* build.c: what the modules build their nodes with. Checking has made sure that everything fits, so
 * whatever does not is a defect of ours. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "builtin/builtin.h"
#include "workflow/workflow_impl.h"

static void must(const struct tl_node *node, enum tl_status status, const struct tl_error *error) {
    if (status != TL_OK)
        TL_BUG("a checked workflow gives a node that does not fit: %s: %s", node->label, error->message);
}

static struct tl_node *add_node(const struct tl_step *step, struct tl_body *body, enum tl_primitive op,
                                const char *label, const char *engine) {
    return tl_graph_add(body, op, step != NULL ? step->id : NULL, label, engine);
}

struct tl_node *tl_build_node(const struct tl_step *step, struct tl_body *body, enum tl_primitive op, const char *label,
                              size_t lane, enum tl_engine_role role) {
    if (lane > 0)
        label = tl_arena_printf(&body->graph->arena, "%s_%zu", label, lane + 1);
    return add_node(step, body, op, label, role != TL_ROLE_COUNT ? step->engines[role] : NULL);
}

struct tl_ref tl_build_finish(struct tl_node *node) {
    struct tl_error error;
    must(node, tl_graph_infer(node, &error), &error);
    return tl_graph_output(node, 0);
}

void tl_build_begin_region(struct tl_node *region) {
    struct tl_error error;
    must(region, tl_graph_begin_region(region, &error), &error);
}

struct tl_ref tl_build_end_region(struct tl_node *region) {
    struct tl_error error;
    must(region, tl_graph_end_region(region, &error), &error);
    return tl_graph_output(region, 0);
}

void tl_build_set_integer(struct tl_node *node, const char *name, int64_t value) {
    tl_attributes_set_integer(&node->attributes, &node->body->graph->arena, name, value);
}

void tl_build_set_number(struct tl_node *node, const char *name, double value) {
    tl_attributes_set_number(&node->attributes, &node->body->graph->arena, name, value);
}

void tl_build_set_string(struct tl_node *node, const char *name, const char *value) {
    tl_attributes_set_string(&node->attributes, &node->body->graph->arena, name, value);
}

/* ---- lanes ---- */

static void add_lanes(const struct tl_build *build, const struct tl_reference *reference, struct tl_bundle *bundle) {
    if (reference->step == NULL) {
        TL_ASSERT(bundle->count < TL_LANES_MAX);
        bundle->lanes[bundle->count++] = build->inputs[reference->input];
        return;
    }
    const struct tl_bundle *output =
        &build->outputs[reference->step->position * TL_MODULE_OUTPUTS_MAX + reference->output];
    TL_ASSERT(bundle->count + output->count <= TL_LANES_MAX);
    memcpy(&bundle->lanes[bundle->count], output->lanes, output->count * sizeof output->lanes[0]);
    bundle->count += output->count;
}

void tl_build_bundle(const struct tl_build *build, const struct tl_step *step, const char *setting,
                     struct tl_bundle *bundle) {
    const struct tl_setting_value *value = tl_step_value(step, setting);
    bundle->count = 0;
    for (size_t i = 0; i < value->reference_count; i++)
        add_lanes(build, &value->references[i], bundle);
}

struct tl_ref tl_build_top(const struct tl_step *step, struct tl_body *body, const char *label,
                           const struct tl_bundle *hits, int64_t keep, const char *by) {
    struct tl_node *top = add_node(step, body, TL_OP_AGGREGATE, label, NULL);
    for (size_t i = 0; i < hits->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "lane_%zu", i + 1);
        tl_graph_connect(top, name, hits->lanes[i]);
    }
    tl_build_set_string(top, "mode", "top");
    tl_build_set_integer(top, "count", keep);
    if (by != NULL)
        tl_build_set_string(top, "by", by);
    tl_build_finish(top);
    return tl_graph_add_output(top, "hits", TL_TYPE_OF(HIT, 1));
}

/* One list of all values; single values count as lists of one. */
static struct tl_ref concatenate(const struct tl_build *build, const struct tl_step *step, const char *label,
                                 const struct tl_bundle *bundle) {
    struct tl_node *concat = add_node(step, build->root, TL_OP_AGGREGATE, label, NULL);
    for (size_t i = 0; i < bundle->count; i++) {
        char name[32];
        snprintf(name, sizeof name, "lane_%zu", i + 1);
        tl_graph_connect(concat, name, bundle->lanes[i]);
    }
    tl_build_set_string(concat, "mode", "concat");
    tl_build_finish(concat);
    struct tl_type type = tl_graph_type(bundle->lanes[0]);
    for (size_t i = 1; i < bundle->count; i++)
        if (tl_graph_type(bundle->lanes[i]).depth > type.depth)
            type.depth = tl_graph_type(bundle->lanes[i]).depth;
    return tl_graph_add_output(concat, "all", type.depth == 0 ? tl_type_list(type) : type);
}

struct tl_ref tl_build_merge(const struct tl_build *build, const struct tl_step *step, const char *name,
                             const struct tl_bundle *bundle) {
    struct tl_type type = tl_graph_type(bundle->lanes[0]);
    bool hits = type.base == TL_TYPE_HIT;
    if (bundle->count == 1 && (!hits || type.depth == 1))
        return bundle->lanes[0];
    const char *label = tl_arena_printf(&build->root->graph->arena, step != NULL ? "merge_%s" : "output_%s", name);
    return hits ? tl_build_top(step, build->root, label, bundle, 0, NULL) : concatenate(build, step, label, bundle);
}

struct tl_ref tl_build_single(const struct tl_build *build, const struct tl_step *step, const char *setting) {
    struct tl_bundle bundle;
    tl_build_bundle(build, step, setting, &bundle);
    return tl_build_merge(build, step, setting, &bundle);
}

struct tl_ref tl_build_references(const struct tl_build *build, const char *name, const struct tl_reference *references,
                                  size_t count) {
    struct tl_bundle bundle = {.count = 0};
    for (size_t i = 0; i < count; i++)
        add_lanes(build, &references[i], &bundle);
    return tl_build_merge(build, NULL, name, &bundle);
}

size_t tl_build_named(const struct tl_build *build, const struct tl_step *step, const struct tl_setting_value *inputs,
                      const char *names[TL_WORKFLOW_REFERENCES_MAX], struct tl_ref values[TL_WORKFLOW_REFERENCES_MAX]) {
    size_t count = 0;
    for (size_t i = 0; i < inputs->reference_count;) {
        const char *name = inputs->references[i].name;
        struct tl_bundle bundle = {.count = 0};
        for (; i < inputs->reference_count && strcmp(inputs->references[i].name, name) == 0; i++)
            add_lanes(build, &inputs->references[i], &bundle);
        names[count] = name;
        values[count++] = tl_build_merge(build, step, name, &bundle);
    }
    return count;
}

/* ---- prompts and text ---- */

struct tl_ref tl_build_constant(const struct tl_step *step, struct tl_body *body, const char *label, const char *text) {
    struct tl_node *constant = add_node(step, body, TL_OP_CONSTANT, label, NULL);
    tl_build_set_string(constant, "value", text);
    tl_build_finish(constant);
    return tl_graph_add_output(constant, "value", TL_TYPE_OF(TEXT, 0));
}

bool tl_build_uses(const char *template, const char *name) {
    struct tl_template *parsed;
    if (tl_template_parse(template, &parsed, NULL) != TL_OK)
        TL_BUG("a checked workflow holds a prompt that cannot be read");
    const char *const *names;
    size_t count = tl_template_names(parsed, &names);
    bool found = false;
    for (size_t i = 0; i < count && !found; i++)
        found = strcmp(names[i], name) == 0;
    tl_template_destroy(parsed);
    return found;
}

struct tl_node *tl_build_render(const struct tl_step *step, struct tl_body *body, const char *template,
                                const char *trim) {
    struct tl_node *render = tl_build_node(step, body, TL_OP_RENDER, "render", 0, TL_ROLE_COUNT);
    tl_build_set_string(render, "template", template);
    if (trim != NULL && trim[0] != '\0')
        tl_build_set_string(render, "trim", trim);
    return render;
}

struct tl_ref tl_build_prefill(const struct tl_step *step, struct tl_node *render) {
    struct tl_ref prompt = tl_build_finish(render);
    struct tl_node *prefill = tl_build_node(step, render->body, TL_OP_PREFILL, "prefill", 0, TL_ROLE_LLM);
    tl_graph_connect(prefill, "prompt", prompt);
    return tl_build_finish(prefill);
}

void tl_build_set_sampling(const struct tl_step *step, struct tl_node *decode) {
    static const char *const numbers[] = {"temperature",        "top_p",             "min_p",
                                          "repetition_penalty", "frequency_penalty", "presence_penalty"};
    static const char *const integers[] = {"top_k", "seed"};
    /* Defaults are left out of the graph: they are those of `decode` too. */
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (tl_step_value(step, numbers[i])->source != NULL)
            tl_build_set_number(decode, numbers[i], tl_step_value(step, numbers[i])->number);
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++)
        if (tl_step_value(step, integers[i])->source != NULL)
            tl_build_set_integer(decode, integers[i], tl_step_value(step, integers[i])->integer);
    tl_build_set_integer(decode, "max_tokens", tl_step_value(step, "max_tokens")->integer);
    static const char *const strings[] = {"stop", "logit_bias"};
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (tl_step_value(step, strings[i])->string != NULL)
            tl_build_set_string(decode, strings[i], tl_step_value(step, strings[i])->string);
}

struct tl_node *tl_build_decode(const struct tl_step *step, struct tl_body *body, struct tl_ref kv) {
    struct tl_node *decode = tl_build_node(step, body, TL_OP_DECODE, "decode", 0, TL_ROLE_LLM);
    tl_graph_connect(decode, "kv", kv);
    tl_build_set_sampling(step, decode);
    tl_build_finish(decode);
    return decode;
}

struct tl_ref tl_build_text(const struct tl_step *step, struct tl_body *body, struct tl_ref kv) {
    return tl_graph_add_output(tl_build_decode(step, body, kv), "text", TL_TYPE_OF(TEXT, 0));
}

/* prefix.c: what the prompts of a workflow begin with whatever the query: the literal text up to the first thing that a
 * query brings. An LLM engine may keep it computed; the second query of a workflow then finds it there. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "builtin/builtin.h"
#include "plan/plan_impl.h"

/* The prompt that a prefill is given; NULL when it is not rendered here. A prefill's prompt comes first. */
static const struct tl_node *render_of(const struct tl_node *node) {
    bool prefills = node->op == TL_OP_PREFILL || node->op == TL_OP_PARTIAL_PREFILL || node->op == TL_OP_FULL_PREFILL;
    if (!prefills || node->input_count == 0 || node->inputs[0].from.node->op != TL_OP_RENDER)
        return NULL;
    return node->inputs[0].from.node;
}

/* How many segments at the start need no input. */
static size_t static_segments(const struct tl_node *render) {
    struct tl_template *parsed;
    if (tl_template_parse(tl_attributes_string(&render->attributes, "template", "[]"), &parsed, NULL) != TL_OK)
        return 0;
    size_t count = tl_template_segments(parsed), segments = 0;
    int64_t wanted = tl_attributes_integer(&render->attributes, "parts", (int64_t)count);
    const char *const *names;
    while (segments < count && (int64_t)segments < wanted && tl_template_needs(parsed, segments, &names) == 0)
        segments++;
    tl_template_destroy(parsed);
    return segments;
}

/* The prompt of these segments, as the render itself would make it. */
static struct tl_value *render_prefix(const struct tl_node *render, size_t segments) {
    struct tl_arena arena;
    struct tl_attributes attributes = {0};
    struct tl_value *prompt = NULL;
    tl_arena_init(&arena);
    tl_attributes_copy(&attributes, &arena, &render->attributes);
    tl_attributes_set_integer(&attributes, &arena, "parts", (int64_t)segments);
    const struct tl_item item = {.op = TL_OP_RENDER, .attributes = &attributes, .label = render->label};
    if (tl_builtin_execute(&item, &prompt, 1, NULL) != TL_OK)
        prompt = NULL;
    tl_arena_fini(&arena);
    return prompt;
}

static uint32_t engine_of(const struct tl_plan *plan, const struct tl_node *node) {
    for (uint32_t i = 0; i < plan->engine_count; i++)
        if (strcmp(plan->engines[i], node->engine) == 0)
            return i;
    TL_BUG("the plan lacks engine %s", node->engine);
}

/* A template that some prefill's prompt is rendered from, and the most of its segments that are static. */
struct beginning {
    const struct tl_node *render;
    const char *text;
    uint32_t engine;
    size_t segments;
};

struct finder {
    struct tl_plan *plan;
    struct beginning *beginnings;
    size_t count, capacity;
};

static void note(struct finder *finder, const struct tl_node *prefill, const struct tl_node *render) {
    struct beginning found = {
        .render = render,
        .text = tl_attributes_string(&render->attributes, "template", "[]"),
        .engine = engine_of(finder->plan, prefill),
    };
    size_t i = 0;
    while (i < finder->count && (finder->beginnings[i].engine != found.engine ||
                                 strcmp(finder->beginnings[i].text, found.text) != 0))
        i++;
    found.segments = static_segments(render);
    if (i == finder->count && found.segments > 0) {
        finder->beginnings =
            tl_mem_grow(finder->beginnings, &finder->capacity, finder->count + 1, sizeof *finder->beginnings);
        finder->beginnings[finder->count++] = found;
    } else if (i < finder->count && found.segments > finder->beginnings[i].segments) {
        finder->beginnings[i] = found;
    }
}

static void search_body(struct finder *finder, const struct tl_body *body) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i], *render = render_of(node);
        if (render != NULL)
            note(finder, node, render);
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            search_body(finder, node->regions[r]);
    }
}

static bool is_known(const struct tl_plan_prefix *prefixes, size_t count, uint32_t engine,
                     const struct tl_value *prompt) {
    for (size_t i = 0; i < count; i++)
        if (prefixes[i].engine == engine && tl_value_equal(prefixes[i].prompt, prompt))
            return true;
    return false;
}

void tl_plan_find_prefixes(struct tl_plan *plan) {
    struct finder finder = {.plan = plan};
    search_body(&finder, plan->graph->root);
    plan->prefixes = tl_arena_alloc(&plan->arena, finder.count * sizeof *plan->prefixes);
    for (size_t i = 0; i < finder.count; i++) {
        struct beginning *beginning = &finder.beginnings[i];
        struct tl_value *prompt = render_prefix(beginning->render, beginning->segments);
        if (prompt == NULL || is_known(plan->prefixes, plan->prefix_count, beginning->engine, prompt))
            tl_value_unref(prompt);
        else
            plan->prefixes[plan->prefix_count++] = (struct tl_plan_prefix){beginning->engine, prompt};
    }
    tl_mem_free(finder.beginnings);
}

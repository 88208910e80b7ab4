/* split_prefill.c: prompt parts that are known earlier are prefilled earlier.
 *
 *   before   fold over hits { render(question, hit, draft) ──► prefill ──► decode }
 *
 *   after    render(… question) ──► partial_prefill            at the start, once for all
 *            fold over hits {
 *              render(… question, hit) ──► partial_prefill     as soon as the hit is known
 *              render(all) ──► full_prefill ──► decode }       when the draft is there: its few tokens only
 *
 * A cut is made by availability, not by position alone: going through the prompt's segments in order, wherever one
 * becomes known strictly later than all before it, or is a region's own while all before it serve every instance
 * of the region. So there are as many cuts as distinct moments at which more of the prompt's beginning is known, and
 * none in a prompt that is known at once and used once.
 *
 * Tokens do not change: each partial prefill is given the prompt up to its cut, left open; the full prefill is given
 * the whole prompt, which the engine tokenises as one text and of which it takes over the longest common prefix.
 *
 * A partial prefill stands in the outermost body where its inputs are known, so that one serves all instances of a
 * region. It goes out of a body only past regions that run it anyway (map, fold, reduce, not cond and loop) and that
 * wait for nothing: a control edge holds for the partial prefills too.
 *
 * Moments. The moment of a value is the number of engine primitives on the longest way to it. What the instances of a
 * fold or loop carry, and the groups of a reduce, are later than anything else of their body.
 */
#include "opt/pass.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "builtin/builtin.h"
#include "opt/change.h"

enum { LATE = 1000000 };

struct splitter {
    struct tl_graph *graph;
    const struct tl_pass_ctx *ctx;
    int64_t *moments; /* by node number; -1: not yet known */
    bool changed;
};

/* ---- moments ---- */

static int64_t moment_of(struct splitter *splitter, struct tl_ref ref);

static int64_t latest_of_body(struct splitter *splitter, const struct tl_body *body) {
    int64_t latest = 0;
    for (size_t i = 0; i < body->result_count; i++) {
        int64_t moment = moment_of(splitter, body->results[i].from);
        if (moment > latest) latest = moment;
    }
    return latest;
}

/* `all`: also the input that a region may begin without. */
static int64_t latest_input(struct splitter *splitter, const struct tl_node *node, bool all) {
    int64_t latest = 0;
    for (size_t i = 0; i < node->input_count; i++) {
        if (!all && tl_graph_is_late_input(node, i)) continue;
        int64_t moment = moment_of(splitter, node->inputs[i].from);
        if (moment > latest) latest = moment;
    }
    for (size_t i = 0; i < node->wait_count; i++) {
        int64_t moment = moment_of(splitter, (struct tl_ref){node->waits[i].node, 0});
        if (moment > latest) latest = moment;
    }
    return latest;
}

static int64_t parameter_moment(struct splitter *splitter, struct tl_ref ref) {
    const struct tl_node *region = ref.node->body->owner;
    if (!region) return 0;
    const char *name = ref.node->outputs[ref.port].name;
    bool carried = strcmp(name, "carried") == 0 || strcmp(name, "group") == 0 || strcmp(name, "level") == 0;
    return carried || region->op == TL_OP_LOOP ? latest_input(splitter, region, true) + LATE
                                               : latest_input(splitter, region, false);
}

static int64_t moment_of(struct splitter *splitter, struct tl_ref ref) {
    struct tl_node *node = ref.node;
    if (node->op == TL_OP_PARAMETERS) return parameter_moment(splitter, ref);
    int64_t *known = &splitter->moments[node->number];
    if (*known >= 0) return *known;
    int64_t moment = latest_input(splitter, node, true);
    for (size_t r = 0; r < 2 && node->regions[r]; r++) {
        int64_t inner = latest_of_body(splitter, node->regions[r]);
        if (inner > moment) moment = inner;
    }
    enum tl_capability capability = tl_graph_info(node)->capability;
    if (capability != TL_CAPABILITY_BUILTIN && capability != TL_CAPABILITY_REGION) moment++;
    return *known = moment;
}

/* ---- cuts ---- */

static int64_t segment_moment(struct splitter *splitter, const struct tl_node *render, const struct tl_template *parsed,
                              size_t segment) {
    const char *const *names;
    size_t count = tl_template_needs(parsed, segment, &names);
    int64_t moment = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tl_input *input = tl_graph_find_input(render, names[i]);
        int64_t at = input ? moment_of(splitter, input->from) : 0;
        if (at > moment) moment = at;
    }
    return moment;
}

static bool may_leave(const struct tl_node *region) {
    return (region->op == TL_OP_MAP || region->op == TL_OP_FOLD || region->op == TL_OP_REDUCE) &&
           region->wait_count == 0;
}

/* The outermost body in which all that the first `segments` need is known. */
static struct tl_body *body_for(struct tl_node *prefill, const struct tl_node *render, const struct tl_template *parsed,
                                size_t segments, struct tl_ref kv) {
    struct tl_body *body = prefill->body;
    if (prefill->wait_count > 0 || render->wait_count > 0) return body;
    while (body->owner && may_leave(body->owner)) {
        bool inner = kv.node && kv.node->body == body;
        for (size_t s = 0; s < segments && !inner; s++) {
            const char *const *names;
            size_t count = tl_template_needs(parsed, s, &names);
            for (size_t i = 0; i < count; i++) {
                const struct tl_input *input = tl_graph_find_input(render, names[i]);
                inner = inner || (input && input->from.node->body == body);
            }
        }
        if (inner) break;
        body = body->owner->body;
    }
    return body;
}

static int depth_of(const struct tl_body *body) {
    int depth = 0;
    for (; body->owner; body = body->owner->body) depth++;
    return depth;
}

/* Where more of the prompt becomes known later, or for fewer; returns how many, *cuts is owned by the caller. */
static size_t find_cuts(struct splitter *splitter, struct tl_node *prefill, const struct tl_node *render,
                        const struct tl_template *parsed, size_t **cuts) {
    size_t segments = tl_template_segments(parsed), count = 0;
    *cuts = tl_mem_zalloc((segments + 1) * sizeof **cuts);
    int64_t known = 0;
    int depth = depth_of(body_for(prefill, render, parsed, 0, (struct tl_ref){0}));
    for (size_t s = 0; s < segments; s++) {
        int64_t moment = segment_moment(splitter, render, parsed, s);
        int own = depth_of(body_for(prefill, render, parsed, s + 1, (struct tl_ref){0}));
        if (moment <= known && own <= depth) continue;
        if (s > 0) (*cuts)[count++] = s;
        known = moment > known ? moment : known;
        depth = own;
    }
    return count;
}

/* ---- building ---- */

/* The region of `body` that contains `node`, or the node itself when it stands in `body`. */
static struct tl_node *standing_in(struct tl_node *node, const struct tl_body *body) {
    while (node->body != body) node = node->body->owner;
    return node;
}

static void copy_waits(struct tl_node *to, const struct tl_node *from) {
    for (size_t i = 0; i < from->wait_count; i++) tl_graph_wait(to, from->waits[i].node, from->waits[i].kind);
}

static void infer(struct tl_node *node) {
    struct tl_error error;
    if (tl_graph_infer(node, &error) != TL_OK) TL_BUG("split_prefill: %s", error.message);
}

static struct tl_ref add_partial(struct splitter *splitter, struct tl_node *prefill, struct tl_node *render,
                                 const struct tl_template *parsed, size_t segments, size_t number, struct tl_ref kv) {
    struct tl_arena *arena = &splitter->graph->arena;
    struct tl_body *body = body_for(prefill, render, parsed, segments, kv);
    struct tl_node *before = standing_in(prefill, body);

    const char *label = tl_opt_unique_label(body, tl_arena_printf(arena, "%s-part%zu", render->label, number));
    struct tl_node *part = tl_graph_add(body, TL_OP_RENDER, render->step, label, NULL);
    tl_attributes_copy(&part->attributes, arena, &render->attributes);
    tl_attributes_set_integer(&part->attributes, arena, "parts", (int64_t)segments);
    for (size_t i = 0; i < render->input_count; i++) {
        bool needed = false;
        for (size_t s = 0; s < segments && !needed; s++) {
            const char *const *names;
            size_t count = tl_template_needs(parsed, s, &names);
            for (size_t k = 0; k < count; k++) needed = needed || strcmp(names[k], render->inputs[i].name) == 0;
        }
        if (needed) tl_graph_connect(part, render->inputs[i].name, render->inputs[i].from);
    }
    infer(part);
    label = tl_opt_unique_label(body, tl_arena_printf(arena, "%s-part%zu", prefill->label, number));
    struct tl_node *partial = tl_graph_add(body, TL_OP_PARTIAL_PREFILL, prefill->step, label, prefill->engine);
    tl_attributes_copy(&partial->attributes, arena, &prefill->attributes);
    tl_graph_connect(partial, "prompt", tl_graph_output(part, 0));
    if (kv.node) tl_graph_connect(partial, "kv", kv);
    infer(partial);
    tl_graph_move(part, body, before);
    tl_graph_move(partial, body, before);
    if (body == prefill->body) {
        copy_waits(partial, prefill);
        copy_waits(partial, render);
    }
    return tl_graph_output(partial, 0);
}

static bool is_left_whole(const struct splitter *splitter, const struct tl_node *prefill) {
    const struct tl_opt_options *options = splitter->ctx->options;
    bool whole = false;
    for (size_t i = 0; i < options->whole_count && !whole; i++) whole = strcmp(options->whole[i], prefill->label) == 0;
    return whole;
}

static void split(struct splitter *splitter, struct tl_node *prefill) {
    struct tl_node *render = prefill->inputs[0].from.node;
    if (is_left_whole(splitter, prefill)) return;
    if (render->op != TL_OP_RENDER || render->body != prefill->body || tl_attributes_find(&render->attributes, "parts"))
        return;
    struct tl_template *parsed;
    struct tl_error error;
    if (tl_template_parse(tl_attributes_string(&render->attributes, "template", "[]"), &parsed, &error) != TL_OK)
        return;
    size_t *cuts;
    size_t count = find_cuts(splitter, prefill, render, parsed, &cuts);
    struct tl_ref kv = {0};
    for (size_t i = 0; i < count; i++) kv = add_partial(splitter, prefill, render, parsed, cuts[i], i + 1, kv);
    if (count > 0) {
        tl_opt_note(splitter->ctx, "%s: prefilled in %zu parts, as they become known", prefill->label, count + 1);
        prefill->op = TL_OP_FULL_PREFILL;
        tl_graph_connect(prefill, "kv", kv);
        infer(prefill);
        splitter->changed = true;
    }
    tl_mem_free(cuts);
    tl_template_destroy(parsed);
}

static void visit(struct splitter *splitter, struct tl_body *body) {
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        for (size_t r = 0; r < 2 && node->regions[r]; r++) visit(splitter, node->regions[r]);
        /* Splitting puts nodes in front of this one, also while a body inside is visited. */
        while (body->nodes[i] != node) i++;
        if (node->op != TL_OP_PREFILL) continue;
        split(splitter, node);
        while (body->nodes[i] != node) i++;
    }
}

static void find_moments(struct splitter *splitter, const struct tl_body *body) {
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        moment_of(splitter, (struct tl_ref){node, 0});
        for (size_t r = 0; r < 2 && node->regions[r]; r++) find_moments(splitter, node->regions[r]);
    }
}

bool tl_pass_split_prefill(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    struct splitter splitter = {.graph = graph, .ctx = ctx};
    splitter.moments = tl_mem_alloc((graph->next_number + 1) * sizeof *splitter.moments);
    for (uint32_t i = 0; i <= graph->next_number; i++) splitter.moments[i] = -1;
    find_moments(&splitter, graph->root); /* before anything is added: the new nodes have none */
    visit(&splitter, graph->root);
    tl_mem_free(splitter.moments);
    return splitter.changed;
}

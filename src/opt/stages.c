/* stages.c: work on a long list is cut into stages that follow one another like in a pipeline.
 *
 *   before   chunks ──► embed all ──► ingest all ──► search
 *   after    chunks ──► fold over slices of chunks, into a new collection { embed ──► ingest } ──► search
 *
 * An ingest waits for all vectors although it could take the first ones while the next are made. So the list is cut
 * into slices as large as the engine's largest efficient batch (no larger: that would wait longer; no smaller: each
 * batch has a fixed cost), at run time, from the list that is really there: one slice when it is short, none when it
 * is empty. Embeddings of all slices are ready at once; the ingests follow one another because each is given the
 * collection by the former one (the carried value), and what searches the collection has the fold's result, which is
 * there after the last ingest.
 *
 * A list of queries is cut in the same way where nothing is put into a collection. What is made of its elements goes on
 * slice by slice (lanes.h says what can be taken in), and the results are one list again:
 *
 *   before   queries ──► embed all ──► search all ──► score all ──► top
 *   after    queries ──► map over slices { embed ──► search ──► score } ──► flatten ──► top
 *
 * That needs two engines at least, or nothing would be done at the same time, and one result: who takes the vectors too
 * would get them later. Any other consumer of the list keeps its edge. A list whose items are passed on while it is
 * written is left to `pipeline_decode`, which runs before.
 *
 * The first kind applies to an effectful batchable primitive with an input `into` (it can go on with what an earlier one
 * has made) whose other inputs are the list itself and what batchable primitives make of it element by element; where
 * the engine of the first of these has a known batch. Does not apply when what is made of the list is used elsewhere too:
 * then the whole list is needed anyway. Waits of what is taken in become waits of the fold; what waited for the last of
 * it waits for the fold.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "opt/change.h"
#include "opt/lanes.h"
#include "opt/pass.h"

/* What makes the sink's inputs of the list: in order, the sink last. */
struct stage {
    struct tl_ref list;
    struct tl_node *sink;
    struct tl_node **taken;
    size_t count, capacity;
    bool *inside; /* by number */
};

static bool same_ref(struct tl_ref a, struct tl_ref b) { return a.node == b.node && a.port == b.port; }

static bool is_sink(const struct tl_node *node) {
    uint32_t flags = tl_graph_info(node)->flags;
    if (!(flags & TL_EFFECTFUL) || !(flags & TL_BATCHABLE) || node->input_count < 2) return false;
    const struct tl_signature *signature = tl_signature_of(node->op);
    const struct tl_signature_port *last = &signature->inputs[signature->input_count - 1];
    return last->optional && strcmp(last->name, "into") == 0 && tl_graph_type(node->inputs[0].from).depth == 1;
}

static bool adds_into(const struct tl_node *sink) {
    return strcmp(sink->inputs[sink->input_count - 1].name, "into") == 0;
}

/* Takes in `node` and what it is made of, back to the list. False when something is in the way. */
static bool take_in(struct stage *stage, struct tl_node *node) {
    if (stage->inside[node->number]) return true;
    const struct tl_primitive_info *info = tl_graph_info(node);
    if (node->body != stage->sink->body || node->regions[0] || !(info->flags & TL_BATCHABLE) ||
        (info->flags & TL_EFFECTFUL) || node->input_count == 0)
        return false;
    if (tl_graph_type(node->inputs[0].from).depth == 0) return false;
    if (!same_ref(node->inputs[0].from, stage->list) && !take_in(stage, node->inputs[0].from.node)) return false;
    for (size_t i = 1; i < node->input_count; i++)
        if (same_ref(node->inputs[i].from, stage->list) || stage->inside[node->inputs[i].from.node->number])
            return false;
    stage->inside[node->number] = true;
    stage->taken = tl_mem_grow(stage->taken, &stage->capacity, stage->count + 1, sizeof *stage->taken);
    stage->taken[stage->count++] = node;
    return true;
}

struct uses {
    const struct stage *stage;
    bool elsewhere;
};

static void look_at_use(void *context, struct tl_node *user, size_t input, struct tl_body *result_of, size_t result) {
    (void)input, (void)result_of, (void)result;
    struct uses *uses = context;
    if (!user || (user != uses->stage->sink && !uses->stage->inside[user->number])) uses->elsewhere = true;
}

/* Whether the list and all that is made of it goes into the sink and nowhere else, and nothing waits inside. */
static bool is_closed(const struct stage *stage) {
    const struct tl_body *body = stage->sink->body;
    struct uses uses = {.stage = stage};
    for (size_t i = 0; i < stage->count; i++) tl_graph_each_use(stage->taken[i], look_at_use, &uses);
    for (size_t i = 0; i < body->node_count; i++)
        for (size_t k = 0; k < body->nodes[i]->wait_count; k++)
            if (stage->inside[body->nodes[i]->waits[k].node->number]) uses.elsewhere = true;
    return !uses.elsewhere;
}

static void move_into(struct stage *stage, struct tl_node *node, struct tl_node *fold) {
    struct tl_body *inner = fold->regions[0];
    tl_opt_move_waits(node, fold);
    tl_graph_move(node, inner, NULL);
    for (size_t i = 0; i < node->input_count; i++)
        if (same_ref(node->inputs[i].from, stage->list)) node->inputs[i].from = (struct tl_ref){inner->parameters, 0};
}

static void must(enum tl_status status, const struct tl_error *error) {
    if (status != TL_OK) TL_BUG("stages: %s", error->message);
}

static void build(struct stage *stage, int64_t slice) {
    struct tl_node *sink = stage->sink;
    struct tl_body *body = sink->body;
    struct tl_arena *arena = &body->graph->arena;
    struct tl_error error;
    struct tl_ref target;
    if (adds_into(sink)) {
        target = sink->inputs[sink->input_count - 1].from;
    } else {
        const char *label = tl_opt_unique_label(body, tl_arena_printf(arena, "%s/collection", sink->step));
        struct tl_node *made = tl_graph_add(body, TL_OP_COLLECTION, sink->step, label, sink->engine);
        must(tl_graph_infer(made, &error), &error);
        target = tl_graph_output(made, 0);
    }
    const char *label = tl_opt_unique_label(body, tl_arena_printf(arena, "%s/stages", sink->step));
    struct tl_node *fold = tl_graph_add(body, TL_OP_FOLD, sink->step, label, NULL);
    tl_attributes_set_integer(&fold->attributes, arena, "slice", slice);
    tl_graph_connect(fold, "items", stage->list);
    tl_graph_connect(fold, "initial", target);
    must(tl_graph_begin_region(fold, &error), &error);
    tl_opt_replace_waits(sink, fold);
    struct tl_node *stand_in = tl_graph_add(body, TL_OP_COLLECTION, sink->step, "", sink->engine);
    must(tl_graph_infer(stand_in, &error), &error);
    tl_graph_replace_uses(tl_graph_output(sink, 0), tl_graph_output(stand_in, 0));
    for (size_t i = 0; i < stage->count; i++) move_into(stage, stage->taken[i], fold);
    move_into(stage, sink, fold);
    struct tl_ref carried = {fold->regions[0]->parameters, 2};
    if (adds_into(sink))
        sink->inputs[sink->input_count - 1].from = carried;
    else
        tl_graph_connect(sink, "into", carried);
    must(tl_graph_infer(sink, &error), &error);
    tl_graph_add_result(fold->regions[0], "carried", tl_graph_output(sink, 0));
    must(tl_graph_end_region(fold, &error), &error);
    tl_graph_replace_uses(tl_graph_output(stand_in, 0), tl_graph_output(fold, 0));
    tl_graph_remove(stand_in);
    tl_opt_sort(body);
}

/* Whether the value is a list of `body` that is a slice already. */
static bool is_slice(const struct tl_body *body, struct tl_ref list) {
    return body->owner && list.node == body->parameters && tl_attributes_find(&body->owner->attributes, "slice");
}

static bool stage_sink(struct tl_node *sink, const struct tl_pass_ctx *ctx) {
    struct stage stage = {.sink = sink, .list = sink->inputs[0].from};
    if (is_slice(sink->body, stage.list)) return false; /* it is not cut again */
    /* A collection with a name is made by its first ingest, not handed from stage to stage. */
    if (!adds_into(sink) && tl_attributes_find(&sink->attributes, "collection")) return false;
    stage.inside = tl_mem_zalloc((sink->body->graph->next_number + 1) * sizeof *stage.inside);
    bool good = true;
    size_t inputs = sink->input_count - (adds_into(sink) ? 1 : 0);
    for (size_t i = 1; i < inputs && good; i++) good = take_in(&stage, sink->inputs[i].from.node);
    uint32_t slice = good && stage.count > 0 && ctx->options->batch
                         ? ctx->options->batch(ctx->options->context, stage.taken[0]->engine)
                         : 0;
    bool staged = slice > 0 && is_closed(&stage);
    if (staged) {
        tl_opt_note(ctx, "%s: follows %s in stages of %u", sink->label, stage.taken[0]->label, slice);
        build(&stage, slice);
    }
    tl_mem_free(stage.taken);
    tl_mem_free(stage.inside);
    return staged;
}

/* The first that works on the elements of the list, on an engine; NULL: there is none. */
static const struct tl_node *first_stage(const struct tl_body *body, struct tl_ref list) {
    const struct tl_node *first = NULL;
    for (size_t i = 0; i < body->node_count && !first; i++) {
        const struct tl_node *node = body->nodes[i];
        if (node->engine && node->input_count > 0 && (tl_graph_info(node)->flags & TL_BATCHABLE) &&
            same_ref(node->inputs[0].from, list))
            first = node;
    }
    return first;
}

static bool slice_list(struct tl_body *body, struct tl_ref list, const struct tl_pass_ctx *ctx) {
    if (tl_graph_type(list).depth != 1 || is_slice(body, list) || !ctx->options->batch) return false;
    const struct tl_node *first = first_stage(body, list);
    uint32_t slice = first ? ctx->options->batch(ctx->options->context, first->engine) : 0;
    const struct tl_lanes_options options = {.name = "slices", .slice = slice, .engines = 2};
    size_t taken;
    if (slice == 0 || !tl_opt_lanes(list, &options, &taken)) return false;
    tl_opt_note(ctx, "%s: %zu primitives go on in stages of %u", first->label, taken, slice);
    return true;
}

static bool slice_lists(struct tl_body *body, const struct tl_pass_ctx *ctx) {
    bool changed = false;
    for (uint32_t port = 0; port < body->parameters->output_count; port++)
        changed = slice_list(body, tl_graph_output(body->parameters, port), ctx) || changed;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        for (uint32_t port = 0; port < node->output_count; port++) {
            if (!slice_list(body, tl_graph_output(node, port), ctx)) continue;
            changed = true;
            i = SIZE_MAX; /* the body was reordered */
            break;
        }
    }
    return changed;
}

static bool visit(struct tl_body *body, const struct tl_pass_ctx *ctx) {
    bool changed = false;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        for (size_t r = 0; r < 2 && node->regions[r]; r++) changed = visit(node->regions[r], ctx) || changed;
        if (!is_sink(node) || !stage_sink(node, ctx)) continue;
        changed = true;
        i = SIZE_MAX; /* the body was reordered */
    }
    return slice_lists(body, ctx) || changed;
}

bool tl_pass_stages(struct tl_graph *graph, const struct tl_pass_ctx *ctx) { return visit(graph->root, ctx); }

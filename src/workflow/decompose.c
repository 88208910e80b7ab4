/* decompose.c: a workflow and what the query brings → the p-graph.
 *
 * Modules add their steps' nodes in the order written; references become data edges by themselves. Then the
 * chain: the nodes of a step that wait for no other one in it wait for the nodes of the former step that have
 * no successor in it (order edges), or of the steps in `after:` (control edges). A step without nodes, such as
 * `index` when the query names a collection, hands on what it would have waited for. An order edge that says
 * no more than a data edge between the same two nodes is left out. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "workflow/workflow_impl.h"

/* What a step's first nodes wait for. */
struct wait_list {
    struct tl_wait *items;
    size_t count, capacity;
};

/* A step's nodes: root->nodes[first..end), and the waits that it hands on when there are none. */
struct span {
    size_t first, end;
    struct wait_list incoming;
};

static void add_wait(struct wait_list *list, struct tl_node *node, enum tl_edge_kind kind) {
    for (size_t i = 0; i < list->count; i++) {
        if (list->items[i].node == node) {
            if (kind == TL_EDGE_CONTROL)
                list->items[i].kind = kind;
            return;
        }
    }
    list->items = tl_mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = (struct tl_wait){.node = node, .kind = kind};
}

/* Whether `user`, or anything in its bodies, takes data from `node`. */
static bool takes_from(const struct tl_node *user, const struct tl_node *node) {
    for (size_t i = 0; i < user->input_count; i++)
        if (user->inputs[i].from.node == node)
            return true;
    for (size_t r = 0; r < 2 && user->regions[r] != NULL; r++) {
        const struct tl_body *body = user->regions[r];
        for (size_t i = 0; i < body->node_count; i++)
            if (takes_from(body->nodes[i], node))
                return true;
        for (size_t i = 0; i < body->result_count; i++)
            if (body->results[i].from.node == node)
                return true;
    }
    return false;
}

/* Whether nothing of the step keeps the node from beginning. What the bodies of a region use, and the input that it may
 * begin without, do not: then the region has to wait for itself. */
static bool is_first(const struct tl_body *root, const struct span *span, size_t position) {
    const struct tl_node *node = root->nodes[position];
    for (size_t k = 0; k < node->input_count; k++)
        for (size_t i = span->first; i < position && !tl_graph_is_late_input(node, k); i++)
            if (node->inputs[k].from.node == root->nodes[i])
                return false;
    return true;
}

static bool is_last(const struct tl_body *root, const struct span *span, size_t position) {
    for (size_t i = position + 1; i < span->end; i++)
        if (takes_from(root->nodes[i], root->nodes[position]))
            return false;
    return true;
}

/* Waits for the end of `former`, which may be the end of what that itself waited for. */
static void wait_for(const struct tl_body *root, const struct span *former, enum tl_edge_kind kind,
                     struct wait_list *list) {
    for (size_t i = former->first; i < former->end; i++)
        if (is_last(root, former, i))
            add_wait(list, root->nodes[i], kind);
    if (former->first == former->end)
        for (size_t i = 0; i < former->incoming.count; i++) {
            bool control = kind == TL_EDGE_CONTROL && former->incoming.items[i].kind == TL_EDGE_CONTROL;
            add_wait(list, former->incoming.items[i].node, control ? TL_EDGE_CONTROL : TL_EDGE_ORDER);
        }
}

static void chain(const struct tl_body *root, const struct tl_step *step, struct span *spans) {
    struct span *span = &spans[step->position];
    for (size_t i = 0; i < step->after_count; i++)
        wait_for(root, &spans[step->after[i]], TL_EDGE_CONTROL, &span->incoming);
    if (step->after_source == NULL && step->position > 0)
        wait_for(root, &spans[step->position - 1], TL_EDGE_ORDER, &span->incoming);
    for (size_t i = span->first; i < span->end; i++) {
        if (!is_first(root, span, i))
            continue;
        for (size_t k = 0; k < span->incoming.count; k++) {
            const struct tl_wait *wait = &span->incoming.items[k];
            if (wait->kind == TL_EDGE_CONTROL || !takes_from(root->nodes[i], wait->node))
                tl_graph_wait(root->nodes[i], wait->node, wait->kind);
        }
    }
}

/* ---- what the query brings ---- */

static bool is_given(const struct tl_query_shape *shape, const char *name) {
    for (size_t i = 0; i < shape->given_count; i++)
        if (strcmp(shape->given[i], name) == 0)
            return true;
    return false;
}

static void put_inputs(const struct tl_workflow *workflow, struct tl_str *out) {
    for (size_t i = 0; i < workflow->input_count; i++)
        tl_str_printf(out, "%s%s", i > 0 ? ", " : "", workflow->inputs[i].name);
}

/* Inputs that the query gives and the workflow lacks, and the reverse. */
static bool check_given(const struct tl_workflow *workflow, const struct tl_query_shape *shape,
                        struct tl_diagnostics *findings) {
    size_t errors = findings->errors;
    for (size_t g = 0; g < shape->given_count; g++) {
        bool known = false;
        for (size_t i = 0; i < workflow->input_count && !known; i++)
            known = strcmp(workflow->inputs[i].name, shape->given[g]) == 0;
        if (!known) {
            struct tl_str all = TL_STR_INIT;
            put_inputs(workflow, &all);
            tl_diagnostics_add(findings, TL_SEVERITY_ERROR, 0, 0,
                               "the query gives '%s', but the workflow has no such input; its inputs are: %s",
                               shape->given[g], all.data);
            tl_str_fini(&all);
        }
    }
    for (size_t i = 0; i < workflow->input_count; i++) {
        const struct tl_workflow_input *input = &workflow->inputs[i];
        char type[24];
        if (!input->optional && !is_given(shape, input->name))
            tl_diagnostics_add(findings, TL_SEVERITY_ERROR, workflow->input_sources[i]->line,
                               workflow->input_sources[i]->column,
                               "the query does not give '%s' (%s), which the workflow needs", input->name,
                               tl_type_print(input->type, type));
    }
    return findings->errors == errors;
}

/* Every `index` step has documents, or the query names a collection. */
static bool check_collection(const struct tl_workflow *workflow, const struct tl_query_shape *shape,
                             struct tl_diagnostics *findings) {
    bool good = true;
    for (size_t i = 0; i < workflow->step_count && !shape->collection; i++) {
        const struct tl_step *step = &workflow->steps[i];
        if (strcmp(step->module->name, "index") != 0)
            continue;
        const struct tl_setting_value *documents = tl_step_value(step, "documents");
        bool given = false;
        for (size_t k = 0; k < documents->reference_count; k++)
            given = given || is_given(shape, workflow->inputs[documents->references[k].input].name);
        if (!given) {
            tl_diagnostics_add(findings, TL_SEVERITY_ERROR, step->source->line, step->source->column,
                               "step '%s' has nothing to index: give documents with the query, or name a collection",
                               step->id);
            good = false;
        }
    }
    return good;
}

static void add_parameters(struct tl_build *build, const struct tl_query_shape *shape) {
    const struct tl_workflow *workflow = build->workflow;
    for (size_t i = 0; i < workflow->input_count; i++) {
        const struct tl_workflow_input *input = &workflow->inputs[i];
        if (is_given(shape, input->name))
            build->inputs[i] = tl_graph_add_parameter(build->root, input->name, input->type);
        else if (input->type.base == TL_TYPE_TEXT)
            build->inputs[i] = tl_build_constant(
                NULL, build->root, tl_arena_printf(&build->root->graph->arena, "input_%s", input->name), "");
    }
    if (shape->collection)
        build->collection = tl_graph_add_parameter(build->root, "collection", TL_TYPE_OF(INDEX, 0));
}

static void add_results(struct tl_build *build) {
    for (size_t i = 0; i < build->workflow->result_count; i++) {
        const struct tl_workflow_result *result = &build->workflow->results[i];
        struct tl_ref from = tl_build_references(build, result->name, result->references, result->reference_count);
        tl_graph_add_result(build->root, result->name, from);
    }
}

struct tl_graph *tl_workflow_decompose(const struct tl_workflow *workflow, const struct tl_query_shape *shape,
                                       struct tl_diagnostics *findings) {
    if (!check_given(workflow, shape, findings) || !check_collection(workflow, shape, findings))
        return NULL;
    struct tl_graph *graph = tl_graph_create(workflow->name);
    struct tl_build build = {
        .workflow = workflow,
        .root = graph->root,
        .inputs = tl_mem_zalloc((workflow->input_count + 1) * sizeof *build.inputs),
        .outputs = tl_mem_zalloc(workflow->step_count * TL_MODULE_OUTPUTS_MAX * sizeof *build.outputs),
    };
    struct span *spans = tl_mem_zalloc(workflow->step_count * sizeof *spans);
    add_parameters(&build, shape);
    for (size_t i = 0; i < workflow->step_count; i++) {
        const struct tl_step *step = &workflow->steps[i];
        spans[i].first = graph->root->node_count;
        step->module->build(&build, step, &build.outputs[i * TL_MODULE_OUTPUTS_MAX]);
        spans[i].end = graph->root->node_count;
        chain(graph->root, step, spans);
    }
    add_results(&build);
    for (size_t i = 0; i < workflow->step_count; i++)
        tl_mem_free(spans[i].incoming.items);
    tl_mem_free(spans);
    tl_mem_free(build.inputs);
    tl_mem_free(build.outputs);

    struct tl_diagnostics defects;
    tl_diagnostics_init(&defects, workflow->name);
    if (!tl_graph_verify(graph, &defects)) {
        struct tl_str text = TL_STR_INIT;
        tl_graph_print_findings(graph, &text);
        TL_BUG("a checked workflow gives a wrong graph:\n%s", text.data);
    }
    tl_diagnostics_fini(&defects);
    return graph;
}

/* planning.c: from a workflow and what a query brings to a plan: from the cache, or decomposed, optimised and frozen.
 * On the caller's thread. */
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "opt/opt.h"
#include "runtime/runtime_impl.h"

static enum tl_status decompose(const struct tl_workflow *workflow, const struct tl_query_shape *shape,
                                struct tl_graph **graph, struct tl_error *error) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, tl_workflow_name(workflow));
    *graph = tl_workflow_decompose(workflow, shape, &findings);
    if (!*graph) {
        struct tl_str text = TL_STR_INIT;
        for (size_t i = 0; i < findings.count; i++)
            tl_str_printf(&text, "%s%s", i ? "\n" : "", findings.items[i].message);
        tl_error_set(error, TL_ERR_USAGE, "workflow %s: %s", tl_workflow_name(workflow), text.data);
        tl_str_fini(&text);
    }
    tl_diagnostics_fini(&findings);
    return *graph ? TL_OK : TL_ERR_USAGE;
}

/* The passes of the configuration, then those of the request, which has the last word. options->passes is owned. */
static struct tl_opt_options options_of(const struct tl_runtime *runtime, enum tl_optimize optimize,
                                        const char *const *passes, size_t pass_count) {
    struct tl_opt_options options = tl_opt_defaults();
    size_t configured;
    const char *const *first = tl_config_passes(runtime->config, &configured);
    const char **all = tl_mem_alloc((configured + pass_count + 1) * sizeof *all);
    for (size_t i = 0; i < configured + pass_count; i++)
        all[i] = i < configured ? first[i] : passes[i - configured];
    options.level = optimize == TL_OPTIMIZE_DEFAULT ? tl_config_optimize(runtime->config) : optimize;
    options.passes = all;
    options.pass_count = configured + pass_count;
    options.batch = tl_choice_slice;
    options.context = runtime->cost;
    return options;
}

/* Takes the graph. `steps` may be NULL. */
static enum tl_status optimise(const struct tl_runtime *runtime, struct tl_graph *graph,
                               const struct tl_opt_options *options, const struct tl_choice_load *load,
                               struct tl_plan **plan, struct tl_plan_steps *steps, struct tl_error *error) {
    enum tl_status status;
    if (options->level == TL_OPTIMIZE_COST) {
        status = tl_choice_make(graph, options, &runtime->machine, load, plan, steps ? &steps->choice : NULL, error);
        tl_graph_destroy(graph);
        if (steps) {
            steps->passes = steps->choice.passes;
            tl_opt_report_init(&steps->choice.passes);
        }
        return status;
    }
    status = tl_opt_run(&graph, options, steps ? &steps->passes : NULL, error);
    if (status == TL_OK)
        return tl_plan_freeze(graph, runtime->cost, plan, error);
    tl_graph_destroy(graph);
    return status;
}

enum tl_status tl_runtime_plan(struct tl_runtime *runtime, tl_workflow_id id, const struct tl_query_shape *shape,
                               enum tl_optimize optimize, const char *const *passes, size_t pass_count,
                               struct tl_plan_steps *steps, struct tl_error *error) {
    *steps = (struct tl_plan_steps){0};
    const struct tl_workflow *workflow = tl_runtime_workflow(runtime, id);
    if (!workflow)
        return tl_error_set(error, TL_ERR_NOT_FOUND, "there is no workflow %u", id);
    struct tl_graph *graph;
    enum tl_status status = decompose(workflow, shape, &graph, error);
    if (status != TL_OK)
        return status;
    status = tl_plan_freeze(tl_graph_clone(graph), runtime->cost, &steps->written, error);
    struct tl_opt_options options = options_of(runtime, optimize, passes, pass_count);
    const struct tl_choice_load unknown = {0};
    if (status == TL_OK)
        status = optimise(runtime, graph, &options, &unknown, &steps->plan, steps, error);
    else
        tl_graph_destroy(graph);
    if (status != TL_OK)
        tl_plan_steps_fini(steps);
    tl_mem_free((void *)options.passes);
    return status;
}

void tl_plan_steps_fini(struct tl_plan_steps *steps) {
    tl_choice_report_fini(&steps->choice);
    tl_plan_unref(steps->written);
    tl_plan_unref(steps->plan);
    tl_opt_report_fini(&steps->passes);
    *steps = (struct tl_plan_steps){0};
}

static enum tl_status make_plan(struct tl_runtime *runtime, const struct tl_workflow *workflow,
                                const struct tl_query_shape *shape, const struct tl_opt_options *options,
                                const struct tl_choice_load *load, struct tl_plan **plan, struct tl_error *error) {
    struct tl_graph *graph;
    enum tl_status status = decompose(workflow, shape, &graph, error);
    if (status == TL_OK)
        status = optimise(runtime, graph, options, load, plan, NULL, error);
    if (status == TL_OK)
        (*plan)->shares = tl_opt_allows(options, "share");
    return status;
}

static void keep_plan(struct tl_runtime *runtime, struct tl_plan_key key, struct tl_plan *plan) {
    tl_plan_cache_put(runtime->plans, key, plan);
    if (plan->prefix_count > 0 && tl_config_prewarm(runtime->config))
        tl_runtime_post(runtime, &(struct tl_message){.kind = TL_MESSAGE_PREWARM, .plan = tl_plan_ref(plan)});
}

enum tl_status tl_runtime_plan_for(struct tl_runtime *runtime, const struct tl_workflow *workflow,
                                   const struct tl_query_shape *shape, const struct tl_request *request,
                                   const struct tl_choice_load *load, struct tl_plan **plan, struct tl_error *error) {
    struct tl_opt_options options = options_of(runtime, request->optimize, request->passes, request->pass_count);
    const struct tl_plan_origin origin = {
        .workflow = tl_workflow_digest(workflow),
        .given = shape->given,
        .given_count = shape->given_count,
        .collection = shape->collection,
        .level = (int)options.level,
        .passes = options.passes,
        .pass_count = options.pass_count,
        .cost_version = tl_cost_version(runtime->cost),
        .load = options.level == TL_OPTIMIZE_COST ? tl_choice_class_hash(load) : 0,
        .engines_version = atomic_load_explicit(&runtime->engines_version, memory_order_acquire),
    };
    struct tl_plan_key key = tl_plan_key(&origin);
    enum tl_status status = TL_OK;
    *plan = tl_plan_cache_get(runtime->plans, key);
    if (!*plan) {
        status = make_plan(runtime, workflow, shape, &options, load, plan, error);
        if (status == TL_OK)
            keep_plan(runtime, key, *plan);
    }
    tl_mem_free((void *)options.passes);
    return status;
}

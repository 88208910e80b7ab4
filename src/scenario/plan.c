/* plan.c: from a load's workflow or graph to the plan that its queries run on, by the optimizer and the predictions of
 * the engines that are simulated. */
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "choice/choice.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "runtime/machine.h"
#include "scenario/scenario_impl.h"
#include "workflow/workflow.h"

#define GRAPH_BYTES ((size_t)16 << 20)

static enum tl_status found(struct tl_diagnostics *findings, struct tl_error *error) {
    struct tl_str text = TL_STR_INIT;
    tl_diagnostics_print(findings, &text);
    while (text.length > 0 && text.data[text.length - 1] == '\n')
        tl_str_truncate(&text, text.length - 1);
    tl_error_set(error, TL_ERR_INVALID, "%s", text.data);
    tl_str_fini(&text);
    return TL_ERR_INVALID;
}

/* Every input is given, but for documents when queries name a collection. */
static struct tl_graph *decompose(const struct tl_workflow *workflow, const struct tl_scenario_load *load,
                                  struct tl_diagnostics *findings) {
    size_t count = tl_workflow_input_count(workflow);
    const char **given = tl_mem_alloc((count + 1) * sizeof *given);
    struct tl_query_shape shape = {.given = given, .collection = load->collection != NULL};
    for (size_t i = 0; i < count; i++) {
        const struct tl_workflow_input *input = tl_workflow_input(workflow, i);
        if (!(load->collection && tl_type_equal(input->type, TL_TYPE_OF(DOCUMENT, 1))))
            given[shape.given_count++] = input->name;
    }
    struct tl_graph *graph = tl_workflow_decompose(workflow, &shape, findings);
    tl_mem_free(given);
    return graph;
}

static enum tl_status graph_of(const struct tl_scenario_load *load, struct tl_graph **graph, struct tl_error *error) {
    struct tl_diagnostics findings;
    struct tl_str text = TL_STR_INIT;
    enum tl_status status = TL_OK;
    tl_diagnostics_init(&findings, load->workflow ? load->workflow : load->graph);
    *graph = NULL;
    if (load->workflow) {
        struct tl_workflow *workflow = tl_workflow_load(load->workflow, &findings);
        *graph = workflow ? decompose(workflow, load, &findings) : NULL;
        tl_workflow_destroy(workflow);
    } else {
        status = tl_file_read(load->graph, GRAPH_BYTES, &text, error);
        if (status == TL_OK)
            *graph = tl_graph_parse(text.data, &findings);
    }
    if (status == TL_OK && !*graph)
        status = found(&findings, error);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&text);
    return status;
}

/* As the runtime would, for what the load's queries bring. */
static enum tl_status choose(const struct tl_scenario *scenario, const struct tl_scenario_load *load, uint32_t runs,
                             const struct tl_opt_options *options, struct tl_cost *cost, const struct tl_graph *graph,
                             struct tl_plan **plan, struct tl_error *error) {
    uint32_t chunks = load->chunk_count * load->chunk_tokens, documents = load->document_count * load->document_tokens;
    const struct tl_choice_load brought = {
        .text_tokens = load->question_tokens,
        .documents = load->document_count,
        .document_tokens = load->workflow ? documents : chunks, /* graphs begin behind the cutting of documents */
        .runs = runs,
    };
    struct tl_choice_machine machine;
    tl_runtime_machine_init(&machine, scenario->config, cost);
    machine.policy = tl_policy_find(scenario->policy);
    enum tl_status status = tl_choice_make(graph, options, &machine, &brought, plan, NULL, error);
    tl_runtime_machine_fini(&machine);
    return status;
}

static enum tl_status optimize(const struct tl_scenario *scenario, const struct tl_scenario_load *load, uint32_t runs,
                               struct tl_cost *cost, struct tl_graph *graph, struct tl_plan **plan,
                               struct tl_error *error) {
    struct tl_opt_options options = tl_opt_defaults();
    size_t count = scenario->pass_count + load->pass_count;
    const char **passes = tl_mem_alloc((count + 1) * sizeof *passes);
    for (size_t i = 0; i < count; i++)
        passes[i] = i < scenario->pass_count ? scenario->passes[i] : load->passes[i - scenario->pass_count];
    options.level = load->optimize == TL_OPTIMIZE_DEFAULT ? scenario->optimize : load->optimize;
    options.passes = passes;
    options.pass_count = count;
    options.batch = tl_choice_slice;
    options.context = cost;
    enum tl_status status;
    if (options.level == TL_OPTIMIZE_COST) {
        status = choose(scenario, load, runs, &options, cost, graph, plan, error);
        tl_graph_destroy(graph);
    } else if ((status = tl_opt_run(&graph, &options, NULL, error)) == TL_OK) {
        status = tl_plan_freeze(graph, cost, plan, error);
    } else {
        tl_graph_destroy(graph);
    }
    if (status == TL_OK)
        (*plan)->shares = tl_opt_allows(&options, "share");
    tl_mem_free(passes);
    return status;
}

/* What the plan needs and the scenario does not have. */
static enum tl_status check(const struct tl_scenario *scenario, const struct tl_scenario_load *load,
                            const struct tl_plan *plan, struct tl_error *error) {
    char type[24];
    for (uint32_t i = 0; i < plan->engine_count; i++)
        if (!tl_config_find_engine(scenario->config, plan->engines[i]))
            return tl_error_set(error, TL_ERR_INVALID, "it asks for engine '%s', which the cluster does not have",
                                plan->engines[i]);
    for (uint16_t i = 0; i < plan->root->parameter_count; i++) {
        struct tl_value *value = tl_scenario_value(load, plan->root->slots[i].type, 0);
        if (!value)
            return tl_error_set(error, TL_ERR_UNSUPPORTED, "its input '%s' is of type %s, which cannot be made up",
                                plan->root->slots[i].name, tl_type_print(plan->root->slots[i].type, type));
        tl_value_unref(value);
    }
    return TL_OK;
}

enum tl_status tl_scenario_plan(const struct tl_scenario *scenario, const struct tl_scenario_load *load, uint32_t runs,
                                struct tl_cost *cost, struct tl_plan **plan, struct tl_error *error) {
    struct tl_graph *graph;
    *plan = NULL;
    enum tl_status status = graph_of(load, &graph, error);
    if (status == TL_OK)
        status = optimize(scenario, load, runs, cost, graph, plan, error);
    if (status == TL_OK)
        status = check(scenario, load, *plan, error);
    if (status == TL_OK)
        return TL_OK;
    tl_plan_unref(*plan);
    *plan = NULL;
    return tl_error_prefix(error, "%s: load '%s'", scenario->file, load->name);
}

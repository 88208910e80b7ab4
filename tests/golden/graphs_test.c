/* Each graph-NAME.txt is read, printed back, pruned, explained (graph-NAME.explain) and drawn
 * (graph-NAME.dot). graphviz must take every drawing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "opt/opt.h"
#include "plan/plan.h"
#include "workflow/golden.h"

static const char *const names[] = {"map", "fold", "reduce", "cond", "loop", "edges", "slices"};

static struct tl_graph *read_graph(const char *name, struct tl_str *text) {
    char path[256];
    struct tl_diagnostics findings;
    struct tl_str report = TL_STR_INIT;
    snprintf(path, sizeof path, "tests/golden/graph-%s.txt", name);
    tl_diagnostics_init(&findings, path);
    golden_read(path, text);
    struct tl_graph *graph = tl_graph_parse(text->data, &findings);
    if (graph != NULL)
        tl_graph_verify(graph, &findings);
    tl_diagnostics_print(&findings, &report);
    assert_string_equal(report.data, "");
    tl_str_fini(&report);
    tl_diagnostics_fini(&findings);
    return graph;
}

/* Latencies of round numbers, so that the files stay as they are when defaults change. */
static struct tl_cost *make_cost(void) {
    static const char *const engines[] = {"embedder", "store", "reranker", "llm"};
    struct tl_cost *cost = tl_cost_create();
    json_t *settings = json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "embed_ms", 10.0, "embed_token_ms", 0.1,
                                 "score_ms", 10.0, "score_token_ms", 0.1, "search_ms", 5.0, "search_query_ms", 1.0,
                                 "iteration_ms", 10.0, "prompt_token_ms", 0.5);
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        tl_cost_add_emulated(cost, engines[i], settings);
    json_decref(settings);
    return cost;
}

static void check_explained(const char *name, struct tl_graph *graph) {
    char path[256];
    struct tl_opt_options options = tl_opt_defaults();
    struct tl_opt_report report;
    struct tl_str text = TL_STR_INIT;
    struct tl_plan *plan;
    options.check = true;
    options.passes = (const char *const[]){"-all", "+prune"};
    options.pass_count = 2;
    tl_opt_report_init(&report);
    assert_int_equal(tl_opt_run(&graph, &options, &report, NULL), TL_OK);
    tl_opt_report_print(&report, &text);
    tl_opt_report_fini(&report);
    struct tl_cost *cost = make_cost();
    assert_int_equal(tl_plan_freeze(graph, cost, &plan, NULL), TL_OK);
    tl_cost_unref(cost);
    tl_plan_explain(plan, &text);
    snprintf(path, sizeof path, "tests/golden/graph-%s.explain", name);
    golden_check(path, text.data);
    tl_plan_unref(plan);
    tl_str_fini(&text);
}

/* The picture of the graph with its plan. */
static void check_drawn(const char *name, const struct tl_graph *graph) {
    char path[256];
    struct tl_str dot = TL_STR_INIT, svg = TL_STR_INIT;
    struct tl_error error = {.message = ""};
    struct tl_plan *plan;
    struct tl_cost *cost = make_cost();
    assert_int_equal(tl_plan_freeze(tl_graph_clone(graph), cost, &plan, NULL), TL_OK);
    const struct tl_drawing drawing = {plan->graph, plan, name};
    tl_graph_draw_dot(&drawing, 1, &dot);
    snprintf(path, sizeof path, "tests/golden/graph-%s.dot", name);
    golden_check(path, dot.data);
    tl_graph_draw_svg(&drawing, 1, &svg, &error);
    assert_string_equal(error.message, "");
    assert_non_null(strstr(svg.data, "<svg"));
    assert_non_null(strstr(svg.data, "</svg>"));
    tl_plan_unref(plan);
    tl_cost_unref(cost);
    tl_str_fini(&dot);
    tl_str_fini(&svg);
}

static void graphs_are_as_ever(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct tl_str text = TL_STR_INIT, printed = TL_STR_INIT;
        struct tl_graph *graph = read_graph(names[i], &text);
        tl_graph_print(graph, &printed);
        assert_string_equal(printed.data, text.data);
        check_drawn(names[i], graph);
        check_explained(names[i], graph); /* takes the graph */
        tl_str_fini(&text);
        tl_str_fini(&printed);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(graphs_are_as_ever)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

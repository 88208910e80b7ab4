/* The runner: passes that fail, lie or break the graph leave it as it was; names choose passes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "opt/pass.h"

static struct tl_graph *make_graph(void) {
    struct tl_graph *graph = tl_graph_create("g");
    struct tl_ref question = tl_graph_add_parameter(graph->root, "question", TL_TYPE_OF(TEXT, 0));
    struct tl_node *first = tl_graph_add(graph->root, TL_OP_EMBED, "a", "embed", "embedder");
    tl_graph_connect(first, "input", question);
    assert_int_equal(tl_graph_infer(first, NULL), TL_OK);
    struct tl_node *second = tl_graph_add(graph->root, TL_OP_EMBED, "b", "embed", "embedder");
    tl_graph_connect(second, "input", question);
    assert_int_equal(tl_graph_infer(second, NULL), TL_OK);
    tl_graph_wait(second, first, TL_EDGE_ORDER);
    tl_graph_add_result(graph->root, "first", tl_graph_output(first, 0));
    tl_graph_add_result(graph->root, "second", tl_graph_output(second, 0));
    return graph;
}

static bool nothing(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    (void)graph;
    tl_opt_note(ctx, "not worth a word");
    return false;
}

/* Counts to 3 in an attribute: reaches its fixpoint in three rounds. */
static bool counts(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    struct tl_node *node = graph->root->nodes[0];
    int64_t count = tl_attributes_integer(&node->attributes, "times", 0);
    if (count == 3)
        return false;
    tl_attributes_set_integer(&node->attributes, &graph->arena, "times", count + 1);
    tl_opt_note(ctx, "counted %d", (int)count + 1);
    return true;
}

static bool gives_up(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    tl_opt_note(ctx, "begun");
    graph->root->node_count = 0;
    return tl_opt_fail(ctx, "no room for \"%s\"", "it");
}

static bool breaks(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    (void)ctx;
    graph->root->nodes[1]->engine = NULL;
    return true;
}

static bool lies(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    (void)ctx;
    tl_attributes_set_integer(&graph->root->nodes[0]->attributes, &graph->arena, "lie", 1);
    return false;
}

static bool never_rests(struct tl_graph *graph, const struct tl_pass_ctx *ctx) {
    (void)ctx;
    struct tl_node *node = graph->root->nodes[0];
    int64_t count = tl_attributes_integer(&node->attributes, "times", 0);
    tl_attributes_set_integer(&node->attributes, &graph->arena, "times", count + 1);
    return true;
}

static struct tl_opt_options options_with(const char *const *passes, size_t count) {
    struct tl_opt_options options = tl_opt_defaults();
    options.check = true;
    options.passes = passes;
    options.pass_count = count;
    return options;
}

static void run(const struct tl_pass *passes, size_t count, const struct tl_opt_options *options,
                struct tl_graph **graph, const char *said) {
    struct tl_opt_report report;
    struct tl_str text = TL_STR_INIT;
    tl_opt_report_init(&report);
    assert_int_equal(tl_opt_run_passes(passes, count, graph, options, &report, NULL), TL_OK);
    tl_opt_report_print(&report, &text);
    assert_string_equal(text.data, said);
    tl_str_fini(&text);
    tl_opt_report_fini(&report);
}

static void passes_run_until_nothing_changes(void **state) {
    (void)state;
    const struct tl_pass passes[] = {{"nothing", nothing, ""}, {"counts", counts, ""}};
    struct tl_graph *graph = make_graph();
    struct tl_opt_options options = options_with(NULL, 0);
    run(passes, 2, &options, &graph,
        "counts\n  counted 1\ncounts (round 2)\n  counted 2\ncounts (round 3)\n  counted 3\n");
    assert_int_equal(tl_attributes_integer(&graph->root->nodes[0]->attributes, "times", 0), 3);
    run(passes, 2, &options, &graph, "");
    tl_graph_destroy(graph);
}

static void bad_passes_leave_the_graph(void **state) {
    (void)state;
    const struct tl_pass passes[] = {{"gives_up", gives_up, ""}, {"breaks", breaks, ""}, {"lies", lies, ""}};
    struct tl_graph *graph = make_graph(), *former = graph;
    uint64_t hash = tl_graph_hash(graph);
    struct tl_opt_options options = options_with(NULL, 0);
    run(passes, 3, &options, &graph,
        "gives_up: failed, the graph is as before\n"
        "  no room for \"it\"\n"
        "breaks: failed, the graph is as before\n"
        "  it left a graph that is wrong: embed \"b/embed\": it has no engine (needs one for embed)\n"
        "lies: failed, the graph is as before\n"
        "  it changed the graph and said that it did not\n");
    assert_ptr_equal(graph, former);
    assert_int_equal(tl_graph_hash(graph), hash);
    tl_graph_destroy(graph);
}

static void restless_passes_end(void **state) {
    (void)state;
    const struct tl_pass passes[] = {{"never_rests", never_rests, ""}};
    struct tl_graph *graph = make_graph();
    struct tl_opt_options options = options_with(NULL, 0);
    assert_int_equal(tl_opt_run_passes(passes, 1, &graph, &options, NULL, NULL), TL_OK);
    assert_int_equal(tl_attributes_integer(&graph->root->nodes[0]->attributes, "times", 0), 16);
    tl_graph_destroy(graph);
}

static void names_choose_passes(void **state) {
    (void)state;
    struct tl_graph *graph = make_graph();
    uint64_t hash = tl_graph_hash(graph);
    struct tl_error error;
    struct tl_opt_options options = options_with((const char *const[]){"-prune"}, 1);
    assert_int_equal(tl_opt_run(&graph, &options, NULL, NULL), TL_OK);
    assert_int_equal(tl_graph_hash(graph), hash);

    options = options_with((const char *const[]){"-prun"}, 1);
    assert_int_equal(tl_opt_run(&graph, &options, NULL, &error), TL_ERR_USAGE);
    assert_non_null(strstr(error.message, "\"-prun\" is no pass"));
    assert_non_null(strstr(error.message, "prune"));

    options = options_with(NULL, 0);
    options.level = TL_OPTIMIZE_OFF;
    assert_int_equal(tl_opt_run(&graph, &options, NULL, NULL), TL_OK);
    assert_int_equal(tl_graph_hash(graph), hash);

    options = options_with((const char *const[]){"-all", "+prune"}, 2);
    assert_int_equal(tl_opt_run(&graph, &options, NULL, NULL), TL_OK);
    assert_int_not_equal(tl_graph_hash(graph), hash);
    tl_graph_destroy(graph);
}

static void wrong_graphs_are_refused(void **state) {
    (void)state;
    struct tl_graph *graph = make_graph();
    struct tl_error error;
    struct tl_opt_options options = options_with(NULL, 0);
    graph->root->nodes[0]->engine = NULL;
    assert_int_equal(tl_opt_run(&graph, &options, NULL, &error), TL_ERR_INVALID);
    assert_string_equal(error.message, "graph \"g\": embed \"a/embed\": it has no engine (needs one for embed)");
    tl_graph_destroy(graph);
}

static void trace_shows_the_graph(void **state) {
    (void)state;
    char *text = NULL;
    size_t length = 0;
    struct tl_graph *graph = make_graph();
    struct tl_opt_options options = options_with((const char *const[]){"-all", "+prune"}, 2);
    options.trace = open_memstream(&text, &length);
    assert_int_equal(tl_opt_run(&graph, &options, NULL, NULL), TL_OK);
    fclose(options.trace);
    assert_string_equal(text, "# pass prune, round 1\n"
                              "#   dropped order edge a/embed -> b/embed\n"
                              "graph \"g\" {\n"
                              "  parameters (question: text)\n"
                              "  %1: vector = embed \"a/embed\" @embedder (input: $question)\n"
                              "  %2: vector = embed \"b/embed\" @embedder (input: $question)\n"
                              "  results (first: %1, second: %2)\n"
                              "}\n");
    free(text);
    tl_graph_destroy(graph);
}

/* `count` tool calls and as many lists that are written and embedded, each after the one before. */
static struct tl_graph *make_long_graph(unsigned count) {
    struct tl_graph *graph = tl_graph_create("long");
    struct tl_ref call = tl_graph_add_parameter(graph->root, "call", TL_TYPE_OF(JSON, 0));
    struct tl_ref kv = tl_graph_add_parameter(graph->root, "kv", TL_TYPE_OF(KV, 0));
    struct tl_node *before = NULL;
    for (unsigned i = 0; i < 3 * count; i++) {
        static const enum tl_primitive ops[] = {TL_OP_TOOL, TL_OP_DECODE, TL_OP_EMBED};
        static const char *const inputs[] = {"call", "kv", "input"};
        char step[16];
        snprintf(step, sizeof step, "s%u", i);
        struct tl_node *node = tl_graph_add(graph->root, ops[i % 3], step, "do", "engine");
        tl_graph_connect(node, inputs[i % 3], i % 3 == 0 ? call : i % 3 == 1 ? kv : tl_graph_output(before, 0));
        if (i % 3 == 1) {
            tl_attributes_set_string(&node->attributes, &graph->arena, "format", "list");
            tl_graph_add_output(node, "items", TL_TYPE_OF(TEXT, 1));
        } else {
            assert_int_equal(tl_graph_infer(node, NULL), TL_OK);
        }
        if (before) tl_graph_wait(node, before, TL_EDGE_ORDER);
        if (i % 3 != 1) tl_graph_add_result(graph->root, step, tl_graph_output(node, 0));
        before = node;
    }
    return graph;
}

/* The work of a pass grows with the square of the graph's length at most: with its cube this would take minutes. */
static void long_graphs_are_optimised(void **state) {
    (void)state;
    enum { COUNT = 1000 };
    struct tl_graph *graph = make_long_graph(COUNT);
    struct tl_opt_options options = tl_opt_defaults();
    options.check = false;
    assert_int_equal(tl_opt_run(&graph, &options, NULL, NULL), TL_OK);
    size_t lanes = 0, ordered = 0;
    for (size_t i = 0; i < graph->root->node_count; i++) {
        const struct tl_node *node = graph->root->nodes[i];
        lanes += node->op == TL_OP_MAP;
        ordered += node->op == TL_OP_TOOL && node->wait_count == 1 && node->waits[0].node->op == TL_OP_TOOL;
    }
    assert_int_equal(lanes, COUNT);
    assert_int_equal(ordered, COUNT - 1);
    tl_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_run_until_nothing_changes),
        cmocka_unit_test(bad_passes_leave_the_graph),
        cmocka_unit_test(restless_passes_end),
        cmocka_unit_test(names_choose_passes),
        cmocka_unit_test(wrong_graphs_are_refused),
        cmocka_unit_test(trace_shows_the_graph),
        cmocka_unit_test(long_graphs_are_optimised),
    };
    tl_log_set_level(TL_LOG_ERROR);
    return cmocka_run_group_tests(tests, NULL, NULL);
}

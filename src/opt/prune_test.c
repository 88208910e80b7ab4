/* prune, rule by rule: graphs before and after as text; over random graphs: no data or control edge is
 * lost, no order between effects is lost, a second run changes nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "graph/graph_test_support.h"
#include "graph/random_test_support.h"
#include "opt/opt.h"

static void run(struct tl_graph **graph, struct tl_str *notes) {
    struct tl_opt_options options = tl_opt_defaults();
    struct tl_opt_report report;
    struct tl_error error = {.message = ""};
    options.check = true;
    options.passes = (const char *const[]){"-all", "+prune"};
    options.pass_count = 2;
    tl_opt_report_init(&report);
    enum tl_status status = tl_opt_run(graph, &options, &report, &error);
    if (status != TL_OK)
        print_error("%s\n", error.message);
    assert_int_equal(status, TL_OK);
    for (size_t i = 0; i < report.count; i++) {
        assert_int_not_equal(report.entries[i].outcome, TL_OPT_FAILED);
        if (report.entries[i].round > 1)
            assert_int_equal(report.entries[i].outcome, TL_OPT_UNCHANGED);
    }
    if (notes != NULL)
        tl_opt_report_print(&report, notes);
    tl_opt_report_fini(&report);
}

static void check(const char *before, const char *after, const char *notes) {
    struct tl_graph *graph = tl_graph_test_parse(before);
    struct tl_str text = TL_STR_INIT, said = TL_STR_INIT;
    run(&graph, &said);
    tl_graph_print(graph, &text);
    assert_string_equal(text.data, after);
    assert_string_equal(said.data, notes);
    tl_str_fini(&text);
    tl_str_fini(&said);
    tl_graph_destroy(graph);
}

static void order_goes_data_and_control_stay(void **state) {
    (void)state;
    check("graph \"g\" {\n"
          "  parameters (question: text, index: index)\n"
          "  %1: vector = embed \"search/embed\" @e (input: $question)\n"
          "  %2: hit[] = search \"search/search\" @s (query: %1, index: $index)\n"
          "  %3: vector = embed \"other/embed\" @e (input: $question) order %2\n"
          "  %4: hit[] = search \"other/search\" @s (query: %3, index: $index) after %2 order %1\n"
          "  results (hits: %4, more: %2)\n"
          "}\n",
          "graph \"g\" {\n"
          "  parameters (question: text, index: index)\n"
          "  %1: vector = embed \"search/embed\" @e (input: $question)\n"
          "  %2: hit[] = search \"search/search\" @s (query: %1, index: $index)\n"
          "  %3: vector = embed \"other/embed\" @e (input: $question)\n"
          "  %4: hit[] = search \"other/search\" @s (query: %3, index: $index) after %2\n"
          "  results (hits: %4, more: %2)\n"
          "}\n",
          "prune\n"
          "  dropped order edge search/search -> other/embed\n"
          "  dropped order edge search/embed -> other/search\n"
          "  kept control edge search/search -> other/search: the workflow says after\n");
}

/* Two tools keep their order although the step between them is set free. */
static void effects_keep_their_order(void **state) {
    (void)state;
    check("graph \"g\" {\n"
          "  parameters (call: json, question: text)\n"
          "  %1: json = tool \"a/tool\" @t (call: $call)\n"
          "  %2: vector = embed \"b/embed\" @e (input: $question) order %1\n"
          "  %3: json = tool \"c/tool\" @t (call: $call) order %2\n"
          "  %4: json = tool \"d/tool\" @t (call: $call) order %3\n"
          "  results (v: %2)\n"
          "}\n",
          "graph \"g\" {\n"
          "  parameters (call: json, question: text)\n"
          "  %1: json = tool \"a/tool\" @t (call: $call)\n"
          "  %2: vector = embed \"b/embed\" @e (input: $question)\n"
          "  %3: json = tool \"c/tool\" @t (call: $call) order %1\n"
          "  %4: json = tool \"d/tool\" @t (call: $call) order %3\n"
          "  results (v: %2)\n"
          "}\n",
          "prune\n"
          "  made order edge a/tool -> c/tool: both change things outside the run\n"
          "  kept order edge c/tool -> d/tool: both change things outside the run\n"
          "  dropped order edge a/tool -> b/embed\n"
          "  dropped order edge b/embed -> c/tool\n");
}

/* A new collection is nobody else's business; what goes into a given one is seen by its searches. */
static void collections_are_told_apart(void **state) {
    (void)state;
    check("graph \"g\" {\n"
          "  parameters (chunks: chunk[], vectors: vector[], vector: vector, given: index)\n"
          "  %1: index = ingest \"a/new\" @s (chunks: $chunks, vectors: $vectors)\n"
          "  %2: hit[] = search \"b/search\" @s (query: $vector, index: $given) order %1\n"
          "  %3: index = ingest \"c/given\" @s (chunks: $chunks, vectors: $vectors, into: $given) order %2\n"
          "  %4: hit[] = search \"d/given\" @s (query: $vector, index: $given) order %3\n"
          "  %5: hit[] = search \"d/new\" @s (query: $vector, index: %1) order %3\n"
          "  results (a: %2, b: %4, c: %5)\n"
          "}\n",
          "graph \"g\" {\n"
          "  parameters (chunks: chunk[], vectors: vector[], vector: vector, given: index)\n"
          "  %1: index = ingest \"a/new\" @s (chunks: $chunks, vectors: $vectors)\n"
          "  %2: hit[] = search \"b/search\" @s (query: $vector, index: $given)\n"
          "  %3: index = ingest \"c/given\" @s (chunks: $chunks, vectors: $vectors, into: $given) order %2\n"
          "  %4: hit[] = search \"d/given\" @s (query: $vector, index: $given) order %3\n"
          "  %5: hit[] = search \"d/new\" @s (query: $vector, index: %1)\n"
          "  results (a: %2, b: %4, c: %5)\n"
          "}\n",
          "prune\n"
          "  kept order edge b/search -> c/given: one changes a collection that the other uses\n"
          "  kept order edge c/given -> d/given: one changes a collection that the other uses\n"
          "  dropped order edge a/new -> b/search\n"
          "  dropped order edge c/given -> d/new\n");
}

/* A region counts as what is in it; that its inside uses a value does not keep it from starting. */
static void regions_count_as_their_content(void **state) {
    (void)state;
    check("graph \"g\" {\n"
          "  parameters (calls: json[], call: json)\n"
          "  %1: json = tool \"a/tool\" @t (call: $call)\n"
          "  %2: json[] first, json[] second = map \"b/each\" (items: $calls) order %1 {\n"
          "    parameters (item: json, index: number)\n"
          "    %3: json = tool \"b/one\" @t (call: $item)\n"
          "    %4: json = tool \"b/two\" @t (call: %1) order %3\n"
          "    results (first: %3, second: %4)\n"
          "  }\n"
          "  %5: text = constant \"c/text\" () order %2 {value=\"x\"}\n"
          "  results (first: %2.first, text: %5)\n"
          "}\n",
          "graph \"g\" {\n"
          "  parameters (calls: json[], call: json)\n"
          "  %1: json = tool \"a/tool\" @t (call: $call)\n"
          "  %2: json[] first, json[] second = map \"b/each\" (items: $calls) order %1 {\n"
          "    parameters (item: json, index: number)\n"
          "    %3: json = tool \"b/one\" @t (call: $item)\n"
          "    %4: json = tool \"b/two\" @t (call: %1) order %3\n"
          "    results (first: %3, second: %4)\n"
          "  }\n"
          "  %5: text = constant \"c/text\" () {value=\"x\"}\n"
          "  results (first: %2.first, text: %5)\n"
          "}\n",
          "prune\n"
          "  kept order edge b/one -> b/two: both change things outside the run\n"
          "  kept order edge a/tool -> b/each: both change things outside the run\n"
          "  dropped order edge b/each -> c/text\n");
}

/* An ingest into a collection that others know is seen outside the run, one into a new collection is not. */
static void only_effects_outside_are_barriers(void **state) {
    (void)state;
    check("graph \"g\" {\n"
          "  parameters (chunks: chunk[], vectors: vector[], given: index, call: json)\n"
          "  %1: index = ingest \"a/new\" @s (chunks: $chunks, vectors: $vectors)\n"
          "  %2: json = tool \"b/tool\" @t (call: $call) order %1\n"
          "  %3: index = ingest \"c/more\" @s (chunks: $chunks, vectors: $vectors, into: %1) order %2\n"
          "  %4: index = ingest \"d/given\" @s (chunks: $chunks, vectors: $vectors, into: $given) order %2\n"
          "  %5: index = ingest \"e/named\" @s (chunks: $chunks, vectors: $vectors) order %2 {collection=\"n\"}\n"
          "  results (new: %3, given: %4, named: %5)\n"
          "}\n",
          "graph \"g\" {\n"
          "  parameters (chunks: chunk[], vectors: vector[], given: index, call: json)\n"
          "  %1: index = ingest \"a/new\" @s (chunks: $chunks, vectors: $vectors)\n"
          "  %2: json = tool \"b/tool\" @t (call: $call)\n"
          "  %3: index = ingest \"c/more\" @s (chunks: $chunks, vectors: $vectors, into: %1)\n"
          "  %4: index = ingest \"d/given\" @s (chunks: $chunks, vectors: $vectors, into: $given) order %2\n"
          "  %5: index = ingest \"e/named\" @s (chunks: $chunks, vectors: $vectors) order %2 {collection=\"n\"}\n"
          "  results (new: %3, given: %4, named: %5)\n"
          "}\n",
          "prune\n"
          "  kept order edge b/tool -> d/given: both change things outside the run\n"
          "  kept order edge b/tool -> e/named: both change things outside the run\n"
          "  dropped order edge a/new -> b/tool\n"
          "  dropped order edge b/tool -> c/more\n");
}

/* A streamed map starts before its list is whole: an effect before the list is complete is not yet before the map. */
static void streamed_maps_start_early(void **state) {
    (void)state;
    static const char *const text = "graph \"g\" {\n"
                                    "  parameters (calls: json[])\n"
                                    "  %1: json[] = map \"a/first\" (items: $calls) {\n"
                                    "    parameters (item: json, index: number)\n"
                                    "    %2: json = tool \"a/tool\" @t (call: $item)\n"
                                    "    results (json: %2)\n"
                                    "  }\n"
                                    "  %3: json[] = map \"b/second\" (items: %1) order %1 {streamed=true} {\n"
                                    "    parameters (item: json, index: number)\n"
                                    "    %4: json = tool \"b/tool\" @t (call: $item)\n"
                                    "    results (json: %4)\n"
                                    "  }\n"
                                    "  results (json: %3)\n"
                                    "}\n";
    check(text, text, "");
}

/* ---- random graphs ---- */

static size_t count_edges(const struct tl_body *body, enum tl_edge_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        count += kind == TL_EDGE_DATA ? node->input_count : 0;
        for (size_t k = 0; k < node->wait_count; k++)
            count += node->waits[k].kind == kind;
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            count += count_edges(node->regions[r], kind);
    }
    return count;
}

static void mark(void *context, struct tl_node *before, enum tl_edge_kind kind) {
    (void)kind;
    bool *reached = context;
    reached[before->number] = true;
}

/* Is the tool `to` in the root body always after the tool `from`? Both are plain nodes. */
static bool comes_after(const struct tl_graph *graph, const struct tl_node *to, const struct tl_node *from) {
    bool *reached = tl_mem_zalloc(graph->next_number);
    reached[to->number] = true;
    for (size_t i = graph->root->node_count; i-- > 0;)
        if (reached[graph->root->nodes[i]->number])
            tl_graph_each_predecessor(graph->root->nodes[i], mark, reached);
    bool result = reached[from->number];
    tl_mem_free(reached);
    return result;
}

static struct tl_node *named(const struct tl_graph *graph, const char *label) {
    for (size_t i = 0; i < graph->root->node_count; i++)
        if (strcmp(graph->root->nodes[i]->label, label) == 0)
            return graph->root->nodes[i];
    return NULL;
}

static void random_graphs_keep_what_matters(void **state) {
    (void)state;
    size_t pairs = 0, dropped = 0;
    for (uint64_t seed = 0; seed < 400; seed++) {
        struct tl_random_shape shape = {.nodes = 4 + (unsigned)(seed % 40), .nesting = (unsigned)(seed % 4)};
        struct tl_graph *before = tl_random_graph(seed, &shape), *after = tl_graph_clone(before);
        run(&after, NULL);
        assert_int_equal(count_edges(after->root, TL_EDGE_DATA), count_edges(before->root, TL_EDGE_DATA));
        assert_int_equal(count_edges(after->root, TL_EDGE_CONTROL), count_edges(before->root, TL_EDGE_CONTROL));
        dropped += count_edges(before->root, TL_EDGE_ORDER) > count_edges(after->root, TL_EDGE_ORDER);
        for (size_t i = 0; i < before->root->node_count; i++)
            for (size_t k = 0; k < i; k++) {
                struct tl_node *to = before->root->nodes[i], *from = before->root->nodes[k];
                if (to->op != TL_OP_TOOL || from->op != TL_OP_TOOL || !comes_after(before, to, from))
                    continue;
                assert_true(comes_after(after, named(after, to->label), named(after, from->label)));
                pairs++;
            }
        tl_graph_destroy(before);
        tl_graph_destroy(after);
    }
    assert_true(pairs > 20 && dropped > 300); /* else the graphs say nothing */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(order_goes_data_and_control_stay),
        cmocka_unit_test(effects_keep_their_order),
        cmocka_unit_test(collections_are_told_apart),
        cmocka_unit_test(regions_count_as_their_content),
        cmocka_unit_test(only_effects_outside_are_barriers),
        cmocka_unit_test(streamed_maps_start_early),
        cmocka_unit_test(random_graphs_keep_what_matters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Building and changing graphs: types that follow, list levels, regions, uses, waits, moves. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "graph/graph_test_support.h"

static void check_text(const struct tl_graph *graph, const char *expected) {
    struct tl_str text = TL_STR_INIT;
    tl_graph_print(graph, &text);
    assert_string_equal(text.data, expected);
    tl_str_fini(&text);
}

static struct tl_ref infer(struct tl_node *node) {
    struct tl_error error = {.message = ""};
    if (tl_graph_infer(node, &error) != TL_OK)
        print_error("%s\n", error.message);
    assert_string_equal(error.message, "");
    return tl_graph_output(node, 0);
}

static void assert_type(struct tl_ref ref, const char *expected) {
    char text[24];
    assert_string_equal(tl_type_print(tl_graph_type(ref), text), expected);
}

static void signatures_are_read(void **state) {
    (void)state;
    for (unsigned op = 0; op < TL_OP_COUNT; op++)
        assert_non_null(tl_signature_of((enum tl_primitive)op));
    const struct tl_signature *ingest = tl_signature_of(TL_OP_INGEST);
    assert_int_equal(ingest->input_count, 3);
    assert_string_equal(ingest->inputs[2].name, "into");
    assert_true(ingest->inputs[2].optional);
    assert_int_equal(tl_signature_find_input(ingest, "vectors"), 1);
    assert_int_equal(tl_signature_find_input(ingest, "other"), 3);
    const struct tl_signature *fold = tl_signature_of(TL_OP_FOLD);
    assert_int_equal(fold->inputs[0].variable, 'T');
    assert_int_equal(fold->inputs[0].variable_depth, 1);
    assert_int_equal(fold->inputs[1].variable, 'U');
    assert_int_equal(fold->outputs[0].variable, 'U');
    const struct tl_signature *render = tl_signature_of(TL_OP_RENDER);
    assert_true(render->inputs[0].variadic && render->inputs[0].type_count == 0);
    assert_int_equal(tl_signature_find_input(render, "anything"), 0);
    assert_int_equal(tl_signature_of(TL_OP_EMBED)->inputs[0].type_count, 2);
    assert_true(tl_signature_of(TL_OP_DECODE)->outputs_by_builder);
}

static void types_follow_from_inputs(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_create("g");
    struct tl_ref queries = tl_graph_add_parameter(graph->root, "queries", TL_TYPE_OF(TEXT, 1));
    struct tl_ref question = tl_graph_add_parameter(graph->root, "question", TL_TYPE_OF(TEXT, 0));
    struct tl_ref index = tl_graph_add_parameter(graph->root, "index", TL_TYPE_OF(INDEX, 0));
    struct tl_node *embed = tl_graph_add(graph->root, TL_OP_EMBED, "search", "embed", "embedder");
    tl_graph_connect(embed, "input", queries);
    struct tl_ref vectors = infer(embed);
    assert_type(vectors, "vector[]");

    /* Inputs come to stand in the order of the signature. */
    struct tl_node *search = tl_graph_add(graph->root, TL_OP_SEARCH, "search", "search/search", "store");
    tl_graph_connect(search, "index", index);
    tl_graph_connect(search, "query", vectors);
    struct tl_ref hits = infer(search);
    assert_type(hits, "hit[][]");
    assert_string_equal(search->inputs[0].name, "query");
    assert_string_equal(search->label, "search/search");
    assert_string_equal(embed->label, "search/embed");

    /* All inputs of an elementwise variadic port have the same number of levels. */
    struct tl_node *fuse = tl_graph_add(graph->root, TL_OP_FUSE, "search", "fuse", NULL);
    tl_graph_connect(fuse, "b", hits);
    tl_graph_connect(fuse, "a", hits);
    assert_string_equal(fuse->inputs[0].name, "b");
    assert_type(infer(fuse), "hit[][]");

    struct tl_error error;
    struct tl_node *bad = tl_graph_add(graph->root, TL_OP_SCORE, "x", "score", "reranker");
    tl_graph_connect(bad, "hits", hits);
    tl_graph_connect(bad, "query", queries);
    assert_int_equal(tl_graph_infer(bad, &error), TL_ERR_INVALID);
    assert_string_equal(error.message, "score \"x/score\": input \"query\" is text[], expected text");

    /* Inferring again after a change corrects the type in place. */
    embed->inputs[0].from = question;
    assert_type(infer(embed), "vector");
    assert_int_equal(embed->output_count, 1);
    tl_graph_destroy(graph);
    tl_graph_destroy(NULL);
}

static void regions_get_their_ports(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_create("g");
    struct tl_error error = {.message = ""};
    struct tl_ref hits = tl_graph_add_parameter(graph->root, "hits", TL_TYPE_OF(HIT, 1));
    struct tl_ref text = tl_graph_add_parameter(graph->root, "text", TL_TYPE_OF(TEXT, 0));

    struct tl_node *map = tl_graph_add(graph->root, TL_OP_MAP, "", "map", NULL);
    tl_graph_connect(map, "items", hits);
    assert_int_equal(tl_graph_begin_region(map, &error), TL_OK);
    struct tl_node *parameters = map->regions[0]->parameters;
    assert_type(tl_graph_output(parameters, 0), "hit");
    assert_string_equal(parameters->outputs[1].name, "index");
    tl_graph_add_result(map->regions[0], "same", tl_graph_output(parameters, 0));
    tl_graph_add_result(map->regions[0], "outer", hits);
    assert_int_equal(tl_graph_end_region(map, &error), TL_OK);
    assert_int_equal(map->output_count, 2);
    assert_type(tl_graph_output(map, 1), "hit[][]");

    struct tl_node *slices = tl_graph_add(graph->root, TL_OP_MAP, "", "slices", NULL);
    tl_attributes_set_integer(&slices->attributes, &graph->arena, "slice", 16);
    tl_graph_connect(slices, "items", hits);
    assert_int_equal(tl_graph_begin_region(slices, &error), TL_OK);
    assert_type(tl_graph_output(slices->regions[0]->parameters, 0), "hit[]");
    assert_int_equal(tl_graph_end_region(slices, &error), TL_OK);
    assert_int_equal(slices->output_count, 0);

    struct tl_node *fold = tl_graph_add(graph->root, TL_OP_FOLD, "", "fold", NULL);
    tl_graph_connect(fold, "initial", text);
    tl_graph_connect(fold, "items", hits);
    assert_int_equal(tl_graph_begin_region(fold, &error), TL_OK);
    assert_type(tl_graph_output(fold->regions[0]->parameters, 2), "text");
    tl_graph_add_result(fold->regions[0], "carried", hits);
    assert_int_equal(tl_graph_end_region(fold, &error), TL_ERR_INVALID);
    assert_string_equal(error.message, "fold \"fold\": result \"carried\" of its body is hit[], expected text");
    fold->regions[0]->results[0].from = text;
    assert_int_equal(tl_graph_end_region(fold, &error), TL_OK);
    assert_type(tl_graph_output(fold, 0), "text");

    struct tl_node *reduce = tl_graph_add(graph->root, TL_OP_REDUCE, "", "reduce", NULL);
    tl_graph_connect(reduce, "items", hits);
    tl_graph_connect(reduce, "initial", text);
    assert_int_equal(tl_graph_begin_region(reduce, &error), TL_ERR_INVALID);
    assert_string_equal(error.message, "reduce \"reduce\": input \"initial\" is text, expected hit");
    tl_graph_destroy(graph);
}

/* ---- changes ---- */

static const char *const nested = "graph \"g\" {\n"
                                  "  parameters (texts: text[], question: text)\n"
                                  "  %1: text = constant \"a\" ()\n"
                                  "  %2: text = constant \"b\" ()\n"
                                  "  %3: text[] = map \"m\" (items: $texts) after %1 {\n"
                                  "    parameters (item: text, index: number)\n"
                                  "    %4: prompt = render \"r\" (a: %1, b: %1, c: $item)\n"
                                  "    results (prompt: %4, a: %1)\n"
                                  "  }\n"
                                  "  results (a: %1, q: $question)\n"
                                  "}\n";

static void collect_use(void *context, struct tl_node *user, size_t input, struct tl_body *result_of, size_t result) {
    struct tl_str *out = context;
    if (user != NULL)
        tl_str_printf(out, "%s.%zu ", user->label, input);
    else
        tl_str_printf(out, "%s:%zu ", result_of->owner == NULL ? "root" : result_of->owner->label, result);
}

static void collect_predecessor(void *context, struct tl_node *before, enum tl_edge_kind kind) {
    tl_str_printf(context, "%s%d ", before->label, (int)kind);
}

static void uses_are_found_everywhere(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_test_parse(nested);
    struct tl_node *a = graph->root->nodes[0], *b = graph->root->nodes[1], *map = graph->root->nodes[2];
    struct tl_str text = TL_STR_INIT;
    tl_graph_each_use(a, collect_use, &text);
    assert_string_equal(text.data, "r.0 r.1 m:1 root:0 ");
    assert_int_equal(tl_graph_use_count(tl_graph_output(a, 0)), 4);
    assert_int_equal(tl_graph_use_count(tl_graph_output(b, 0)), 0);
    assert_int_equal(tl_graph_use_count(tl_graph_output(graph->root->parameters, 0)), 1);
    tl_str_clear(&text);
    tl_graph_each_predecessor(map, collect_predecessor, &text);
    assert_string_equal(text.data, "a0 a0 a0 a1 ");
    tl_str_fini(&text);
    assert_true(tl_graph_body_contains(graph->root, map->regions[0]));
    assert_true(tl_graph_body_contains(map->regions[0], map->regions[0]));
    assert_false(tl_graph_body_contains(map->regions[0], graph->root));

    tl_graph_replace_uses(tl_graph_output(a, 0), tl_graph_output(b, 0));
    assert_int_equal(tl_graph_use_count(tl_graph_output(a, 0)), 0);
    assert_int_equal(tl_graph_use_count(tl_graph_output(b, 0)), 4);
    tl_graph_destroy(graph);
}

static void removing_passes_waits_on(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_test_parse("graph \"g\" {\n"
                                                 "  parameters (question: text)\n"
                                                 "  %1: text = constant \"a\" ()\n"
                                                 "  %2: text = constant \"b\" ()\n"
                                                 "  %3: text = constant \"c\" () after %1 order %2\n"
                                                 "  %4: text = constant \"d\" () after %3\n"
                                                 "  %5: text = constant \"e\" () order %3\n"
                                                 "  results (q: $question)\n"
                                                 "}\n");
    tl_graph_remove(graph->root->nodes[2]);
    check_text(graph, "graph \"g\" {\n"
                      "  parameters (question: text)\n"
                      "  %1: text = constant \"a\" ()\n"
                      "  %2: text = constant \"b\" ()\n"
                      "  %3: text = constant \"d\" () after %1 order %2\n"
                      "  %4: text = constant \"e\" () order %1, %2\n"
                      "  results (q: $question)\n"
                      "}\n");
    tl_graph_destroy(graph);
}

static void moving_between_bodies(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_test_parse(nested);
    struct tl_node *map = graph->root->nodes[2], *render = map->regions[0]->nodes[0];
    render->input_count = 2;
    tl_graph_move(graph->root->nodes[1], map->regions[0], render);
    tl_graph_move(render, graph->root, map);
    check_text(graph, "graph \"g\" {\n"
                      "  parameters (texts: text[], question: text)\n"
                      "  %1: text = constant \"a\" ()\n"
                      "  %2: prompt = render \"r\" (a: %1, b: %1)\n"
                      "  %3: text[] = map \"m\" (items: $texts) after %1 {\n"
                      "    parameters (item: text, index: number)\n"
                      "    %4: text = constant \"b\" ()\n"
                      "    results (prompt: %2, a: %1)\n"
                      "  }\n"
                      "  results (a: %1, q: $question)\n"
                      "}\n");
    tl_graph_move(graph->root->nodes[0], graph->root, NULL);
    assert_string_equal(graph->root->nodes[2]->label, "a");
    tl_graph_destroy(graph);
}

static void one_wait_for_each_node(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_test_parse(nested);
    struct tl_node *a = graph->root->nodes[0], *b = graph->root->nodes[1];
    tl_graph_wait(b, a, TL_EDGE_ORDER);
    tl_graph_wait(b, a, TL_EDGE_CONTROL);
    tl_graph_wait(b, a, TL_EDGE_ORDER);
    assert_int_equal(b->wait_count, 1);
    assert_int_equal(b->waits[0].kind, TL_EDGE_CONTROL);
    assert_false(tl_graph_unwait(b, a, TL_EDGE_ORDER));
    assert_true(tl_graph_unwait(b, a, TL_EDGE_CONTROL));
    assert_int_equal(b->wait_count, 0);
    tl_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(signatures_are_read),
        cmocka_unit_test(types_follow_from_inputs),
        cmocka_unit_test(regions_get_their_ports),
        cmocka_unit_test(uses_are_found_everywhere),
        cmocka_unit_test(removing_passes_waits_on),
        cmocka_unit_test(moving_between_bodies),
        cmocka_unit_test(one_wait_for_each_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

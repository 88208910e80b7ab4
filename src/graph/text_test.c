/* Random graphs verify, and keep their meaning through print, parse, clone and hash; what is no
 * graph is refused with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "graph/graph_test_support.h"
#include "graph/random_test_support.h"

#define GRAPHS 300

static struct tl_graph *graph_of(uint64_t seed) {
    struct tl_random_shape shape = {.nodes = 4 + (unsigned)(seed % 24), .nesting = (unsigned)(seed % 5)};
    return tl_random_graph(seed, &shape);
}

static void random_graphs_verify(void **state) {
    (void)state;
    bool seen[TL_OP_COUNT] = {false};
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        struct tl_graph *graph = graph_of(seed);
        struct tl_diagnostics findings;
        tl_diagnostics_init(&findings, "random");
        bool good = tl_graph_verify(graph, &findings);
        if (!good || findings.count > 0) {
            struct tl_str text = TL_STR_INIT;
            tl_graph_print_findings(graph, &text);
            print_error("%s", text.data);
            tl_str_fini(&text);
        }
        assert_int_equal(findings.count, 0);
        tl_diagnostics_fini(&findings);
        for (size_t i = 0; i < graph->root->node_count; i++)
            seen[graph->root->nodes[i]->op] = true;
        tl_graph_destroy(graph);
    }
    for (unsigned op = TL_OP_PARAMETERS + 1; op < TL_OP_COUNT; op++)
        if (!seen[op])
            fail_msg("no random graph has a %s", tl_primitive_info((enum tl_primitive)op)->name);
}

static void text_is_read_back(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        struct tl_graph *graph = graph_of(seed);
        struct tl_str first = TL_STR_INIT, second = TL_STR_INIT;
        tl_graph_print(graph, &first);
        struct tl_graph *again = tl_graph_test_parse(first.data);
        tl_graph_print(again, &second);
        assert_string_equal(first.data, second.data);
        assert_int_equal(tl_graph_hash(graph), tl_graph_hash(again));
        struct tl_diagnostics findings = {0};
        assert_true(tl_graph_verify(again, &findings));
        tl_diagnostics_fini(&findings);
        tl_graph_destroy(graph);
        tl_graph_destroy(again);
        tl_str_fini(&first);
        tl_str_fini(&second);
    }
}

static void clones_are_equal_and_independent(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < GRAPHS; seed++) {
        struct tl_graph *graph = graph_of(seed), *clone = tl_graph_clone(graph);
        struct tl_str first = TL_STR_INIT, second = TL_STR_INIT;
        tl_graph_print(graph, &first);
        uint64_t hash = tl_graph_hash(graph);
        assert_int_equal(tl_graph_hash(clone), hash);
        assert_int_equal(clone->next_number, graph->next_number);
        struct tl_node *last = clone->root->nodes[clone->root->node_count - 1];
        tl_attributes_set_integer(&last->attributes, &clone->arena, "changed", 1);
        assert_int_not_equal(tl_graph_hash(clone), hash);
        assert_int_equal(tl_graph_hash(graph), hash);
        tl_graph_destroy(graph); /* the clone must not need it */
        tl_attributes_remove(&last->attributes, "changed");
        tl_graph_print(clone, &second);
        assert_string_equal(first.data, second.data);
        tl_graph_destroy(clone);
        tl_str_fini(&first);
        tl_str_fini(&second);
    }
}

static void findings_are_comments(void **state) {
    (void)state;
    const char *text = "graph \"g\" { # a remark\n"
                       "  parameters (question: text)\n"
                       "  %7: vector = embed \"a/embed\" (input: $question)\n"
                       "! error: embed \"a/embed\": it has no engine\n"
                       "  results (v: %7)\n}\n";
    struct tl_graph *graph = tl_graph_test_parse(text);
    struct tl_str printed = TL_STR_INIT;
    tl_graph_print_findings(graph, &printed);
    assert_string_equal(printed.data, "graph \"g\" {\n"
                                      "  parameters (question: text)\n"
                                      "  %1: vector = embed \"a/embed\" (input: $question)\n"
                                      "! error: embed \"a/embed\": it has no engine (needs one for embed)\n"
                                      "  results (v: %1)\n}\n");
    struct tl_graph *again = tl_graph_test_parse(printed.data);
    assert_int_equal(tl_graph_hash(graph), tl_graph_hash(again));
    tl_str_fini(&printed);
    tl_graph_destroy(graph);
    tl_graph_destroy(again);
}

/* Names that are hidden by a parameter of the same name inside can still be used. */
static void hidden_parameters_are_told_apart(void **state) {
    (void)state;
    const char *text = "graph \"g\" {\n"
                       "  parameters (lists: text[][])\n"
                       "  %1: text[][][] = map \"outer\" (items: $lists) {\n"
                       "    parameters (item: text[], index: number)\n"
                       "    %2: text[][] = map \"inner\" (items: $item) {\n"
                       "      parameters (item: text, index: number)\n"
                       "      %3: text[] = aggregate \"both\" (all: $^item, one: $item) {mode=\"concat\"}\n"
                       "      results (both: %3)\n"
                       "    }\n"
                       "    results (both: %2)\n"
                       "  }\n"
                       "  results (both: %1)\n"
                       "}\n";
    struct tl_graph *graph = tl_graph_test_parse(text);
    struct tl_diagnostics findings = {0};
    struct tl_str printed = TL_STR_INIT;
    assert_true(tl_graph_verify(graph, &findings));
    tl_graph_print(graph, &printed);
    assert_string_equal(printed.data, text);
    tl_str_fini(&printed);
    tl_graph_destroy(graph);
}

static void mistakes_are_placed(void **state) {
    (void)state;
    static const struct {
        const char *text, *finding;
    } cases[] = {
        {"", "t:1:1: error: expected \"graph\", found the end of the text\n"},
        {"graph x", "t:1:7: error: expected the graph's name in quotes, found \"x\"\n"},
        {"graph \"g\" {\n  %1: vektor = embed \"e\" ()\n}", "t:2:7: error: there is no type \"vektor\"\n"},
        {"graph \"g\" {\n  %1: vector = embbed \"e\" ()\n}",
         "t:2:16: error: there is no primitive \"embbed\"; did you mean \"embed\"?\n"},
        {"graph \"g\" {\n  %1: vector = embed \"e\" (input: $q)\n}",
         "t:2:35: error: there is no parameter \"q\" here\n"},
        {"graph \"g\" {\n  %1: vector = embed \"e\" (input: %2)\n}",
         "t:2:34: error: there is no node %2 before this\n"},
        {"graph \"g\" {\n  %1: vector = embed \"e\" (input %2)\n}", "t:2:33: error: expected \":\", found \"%\"\n"},
        {"graph \"g\" {\n  %1: text = constant \"c\" () {value=\"x}\n}",
         "t:2:40: error: expected the end of the string, found the byte 0x0a\n"},
        {"graph \"g\" {\n  %1: text = constant \"c\" () {value=12x}\n}",
         "t:2:37: error: expected a value (number, true, false or string), found \"12x\"\n"},
        {"graph \"g\" {\n  %1: text = constant \"c\" ()\n  %1: text = constant \"d\" ()\n}",
         "t:3:3: error: there are two nodes %1\n"},
        {"graph \"g\" {\n  %1: text[] = map \"m\" ()\n}",
         "t:3:1: error: expected \"{\" and the body of the region, found \"}\"\n"},
        {"graph \"g\" {\n  results (a: $b\n}", "t:2:16: error: there is no parameter \"b\" here\n"},
        {"graph \"g\" {\n}\nmore", "t:3:1: error: expected the end of the text, found \"more\"\n"},
        {"graph \"g\" {\n\x01",
         "t:2:1: error: expected a node (%number ...), \"results\" or \"}\", found the byte 0x01\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tl_diagnostics findings;
        struct tl_str report = TL_STR_INIT;
        tl_diagnostics_init(&findings, "t");
        assert_null(tl_graph_parse(cases[i].text, &findings));
        tl_diagnostics_print(&findings, &report);
        assert_string_equal(report.data, cases[i].finding);
        tl_str_fini(&report);
        tl_diagnostics_fini(&findings);
    }
}

/* Cut, doubled and changed bytes: refused or read, never a crash; what is read prints and verifies safely. */
static void damaged_text_does_no_harm(void **state) {
    (void)state;
    struct tl_random random = {1};
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct tl_graph *graph = graph_of(seed);
        struct tl_str text = TL_STR_INIT;
        tl_graph_print(graph, &text);
        tl_graph_destroy(graph);
        for (unsigned i = 0; i < 20; i++) {
            struct tl_str damaged = TL_STR_INIT;
            size_t at = tl_random_below(&random, (uint32_t)text.length);
            tl_str_append(&damaged, text.data, at);
            tl_str_putc(&damaged, "%$({}):=,\"\\[0 \n^."[tl_random_below(&random, 17)]);
            tl_str_puts(&damaged, text.data + at + tl_random_below(&random, 2));
            struct tl_diagnostics findings;
            tl_diagnostics_init(&findings, "damaged");
            graph = tl_graph_parse(damaged.data, &findings);
            assert_true((graph == NULL) == (findings.errors > 0));
            if (graph != NULL) {
                struct tl_str printed = TL_STR_INIT;
                tl_graph_print_findings(graph, &printed);
                tl_str_fini(&printed);
            }
            tl_graph_destroy(graph);
            tl_diagnostics_fini(&findings);
            tl_str_fini(&damaged);
        }
        tl_str_fini(&text);
    }
}

static void deep_nesting_is_refused(void **state) {
    (void)state;
    struct tl_str text = TL_STR_INIT;
    tl_str_puts(&text, "graph \"g\" {\n");
    for (unsigned i = 1; i < 100000; i++)
        tl_str_printf(&text, "%%%u = cond \"c\" () {\n", i);
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "deep");
    assert_null(tl_graph_parse(text.data, &findings));
    assert_string_equal(findings.items[0].message, "regions are nested more than 64 deep");
    tl_diagnostics_fini(&findings);
    tl_str_fini(&text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_verify),
        cmocka_unit_test(text_is_read_back),
        cmocka_unit_test(clones_are_equal_and_independent),
        cmocka_unit_test(findings_are_comments),
        cmocka_unit_test(hidden_parameters_are_told_apart),
        cmocka_unit_test(mistakes_are_placed),
        cmocka_unit_test(damaged_text_does_no_harm),
        cmocka_unit_test(deep_nesting_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

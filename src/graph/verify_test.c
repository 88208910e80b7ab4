/* What the verifier finds: each rule broken once, in text where text can say it, else by hand; all
 * findings of one graph at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph.h"
#include "graph/graph_test_support.h"

static struct tl_graph *parse(const char *body) {
    struct tl_str text = TL_STR_INIT;
    tl_str_printf(
        &text,
        "graph \"g\" {\n"
        "parameters (question: text, texts: text[], hits: hit[], index: index, call: json, deep: text[][][][])\n"
        "%s\nresults (q: $question)\n}",
        body);
    struct tl_graph *graph = tl_graph_test_parse(text.data);
    tl_str_fini(&text);
    return graph;
}

/* All messages, a line each. */
static void check(struct tl_graph *graph, const char *expected) {
    struct tl_diagnostics findings;
    struct tl_str text = TL_STR_INIT;
    tl_diagnostics_init(&findings, "g");
    bool good = tl_graph_verify(graph, &findings);
    assert_int_equal(good, findings.errors == 0);
    for (size_t i = 0; i < findings.count; i++)
        tl_str_printf(&text, "%s%s\n", findings.items[i].severity == TL_SEVERITY_WARNING ? "warning: " : "",
                      findings.items[i].message);
    assert_string_equal(text.data, expected);
    tl_str_fini(&text);
    tl_diagnostics_fini(&findings);
    tl_graph_destroy(graph);
}

static void rules_in_text(void **state) {
    (void)state;
    static const struct {
        const char *body, *expected;
    } cases[] = {
        {"", ""},
        /* inputs */
        {"%1: vector = embed \"e\" @e ()", "embed \"e\": input \"input\" is missing\n"},
        {"%1: vector = embed \"e\" @e (input: $call)",
         "embed \"e\": input \"input\" is json, expected text or chunk, or lists of it\n"},
        {"%1: vector = embed \"e\" @e (input: $question, more: $question)",
         "embed \"e\": there is no input \"more\"; the ports are: input:text|chunk -> vector:vector\n"},
        {"%1: vector = embed \"e\" @e (input: $question, input: $question)",
         "embed \"e\": input \"input\" is connected twice\n"},
        {"%1: hit[] = score \"s\" @r (hits: $hits, query: $texts)",
         "score \"s\": input \"query\" is text[], expected text\n"},
        {"%1: hit[] = fuse \"f\" (a: $hits, b: $question)", "fuse \"f\": input \"b\" is text, expected hit[]\n"},
        {"%1: text = fold \"f\" (items: $question, initial: $question) {\nresults (carried: $question)\n}",
         "fold \"f\": input \"items\" is text, expected a list\n"},
        {"%1: text = reduce \"r\" (items: $hits, initial: $question) {\nresults (result: $question)\n}",
         "reduce \"r\": input \"initial\" is text, expected hit\n"},
        /* outputs */
        {"%1: vector = embed \"e\" @e (input: $texts)",
         "embed \"e\": output \"vector\" is vector, but its inputs make it vector[]\n"},
        {"%1: vector v, vector w = embed \"e\" @e (input: $question)", "embed \"e\": it has 2 outputs, expected 1\n"},
        {"%1: vector v = embed \"e\" @e (input: $question)",
         "embed \"e\": output 0 is called \"v\", expected \"vector\"\n"},
        {"%1: text = aggregate \"a\" (a: $texts) {mode=\"concat\"}",
         "aggregate \"a\": its output is text, expected a list\naggregate \"a\": input \"a\" is text[], which does not "
         "go "
         "with mode concat\n"},
        {"%1: text[] = aggregate \"a\" (a: $hits, b: $question, c: $texts) {mode=\"concat\"}",
         "aggregate \"a\": input \"a\" is hit[], which does not go with mode concat\n"},
        {"%1: hit[] = aggregate \"a\" (a: $hits)",
         "aggregate \"a\": it needs the attribute \"mode\": concat, top, join, distinct or flatten\n"},
        {"%1: text[] = constant \"a\" () {value=\"x\"}", "constant \"a\": its output is text[], expected text\n"},
        {"%1: text = constant \"a\" () {values=\"[]\"}", "constant \"a\": its output is text, expected text[]\n"},
        {"%1: text[] = constant \"a\" () {value=\"x\", values=\"[]\"}",
         "constant \"a\": it has both attributes, \"value\" and \"values\"\n"},
        {"%1: text[] = aggregate \"a\" () {mode=\"flatten\"}",
         "aggregate \"a\": it has 0 inputs, expected a list of lists\n"},
        {"%1: text[] = aggregate \"a\" (a: $texts) {mode=\"flatten\"}",
         "aggregate \"a\": input \"a\" is text[], which does not go with mode flatten\n"},
        {"%1: text[] = aggregate \"a\" () {mode=\"distinct\"}",
         "aggregate \"a\": it has 0 inputs, expected texts, or texts and a list\n"},
        {"%1: text[] = aggregate \"a\" (a: $question) {mode=\"distinct\"}",
         "aggregate \"a\": input \"a\" is text, which does not go with mode distinct\n"},
        {"%1: hit[] = aggregate \"a\" (a: $hits) {mode=\"distinct\"}",
         "aggregate \"a\": input \"a\" is hit[], which does not go with mode distinct\n"},
        {"%1: text[] = aggregate \"a\" (a: $texts, b: $hits) {mode=\"distinct\"}",
         "aggregate \"a\": its output is text[], expected hit[]\n"},
        {"%1: text = constant \"c\" ()\n%2: prompt = render \"r\" ()\n%3: kv = prefill \"p\" @l (prompt: %2)\n"
         "%4: text = decode \"d\" @l (kv: %3) {format=\"list\"}",
         "decode \"d\": its output is text, expected text[]\n"},
        /* engines and labels */
        {"%1: vector = embed \"e\" (input: $question)", "embed \"e\": it has no engine (needs one for embed)\n"},
        {"%1: text = constant \"c\" @llm ()", "constant \"c\": it has the engine \"llm\" but needs none\n"},
        {"%1: text = constant \"a/c\" ()\n%2: text = constant \"a/c\" ()",
         "constant \"a/c\": another node of the same body has the same label\n"},
        /* attributes */
        {"%1: text = constant \"c\" () {value=3}",
         "constant \"c\": attribute \"value\" is an integer, expected a string\n"},
        {"%1: text = constant \"c\" () {colour=\"red\"}",
         "warning: constant \"c\": the attribute \"colour\" means nothing to it\n"},
        {"%1: text[] = map \"m\" (items: $texts) {slice=0} {\nparameters (item: text[], index: number)\n"
         "results (t: $question)\n}",
         "map \"m\": attribute \"slice\" is 0, the least is 1\n"},
        {"%1: text = reduce \"r\" (items: $texts, initial: $question) {arity=1} {\n"
         "parameters (group: text[], level: number)\nresults (result: $question)\n}",
         "reduce \"r\": attribute \"arity\" is 1, the least is 2\n"},
        {"%1: bool = condition \"c\" (value: $question) {is=\"full\"}",
         "condition \"c\": attribute \"is\" is \"full\", expected one of: nonempty true equals \n"},
        /* regions */
        {"%1: text[] = map \"m\" (items: $texts) {\nparameters (item: hit, index: number)\nresults (t: $question)\n}",
         "map \"m\": parameter \"item\" of its body is hit, expected text\n"},
        {"%1: text[] = map \"m\" (items: $texts) {\nparameters (item: text)\nresults (t: $question)\n}",
         "map \"m\": its body has 1 parameters, expected 2\n"},
        {"%1: text = map \"m\" (items: $texts) {\nparameters (item: text, index: number)\nresults (t: $question)\n}",
         "map \"m\": output \"t\" is text, but its inputs make it text[]\n"},
        {"%1: text = fold \"f\" (items: $texts, initial: $question) {\n"
         "parameters (item: text, index: number, carried: text)\nresults (carried: $index)\n}",
         "fold \"f\": result \"carried\" of its body is number, expected text\n"},
        {"%1: text = loop \"l\" (initial: $question) {\nparameters (carried: text, index: number)\n"
         "results (carried: $carried)\n}",
         "loop \"l\": its body has 1 results, expected 2 (\"carried\" and \"again\")\n"},
        {"%1: bool = condition \"c\" (value: $question)\n%2: text = cond \"d\" (holds: %1) {\nresults (a: $question)\n"
         "} else {\nresults (b: $question)\n}",
         "cond \"d\": its body has a result \"b\" where \"a\" is expected\n"},
        {"%1: bool = condition \"c\" (value: $question)\n%2: text = cond \"d\" (holds: %1) {\nresults (a: $question)\n"
         "} else {\n}",
         "cond \"d\": one branch has 1 results, the other 0\n"},
        {"%1: text[][][][] = map \"m\" (items: $deep) {\nparameters (item: text[][][], index: number)\n"
         "results (t: $deep)\n}",
         "map \"m\": a list of its result \"t\" would have more than 4 list levels\n"},
        /* uses and waits across bodies */
        {"%1: text[] = map \"m\" (items: $texts) {\nparameters (item: text, index: number)\n"
         "%2: text = constant \"inside\" ()\nresults (t: %2)\n}\n%3: prompt = render \"r\" (t: %2)",
         "render \"r\": input \"t\" uses \"inside\", which is inside a region that this is not in\n"},
        {"%1: text = constant \"c\" ()\n%2: text[] = map \"m\" (items: $texts) {\n"
         "parameters (item: text, index: number)\n%3: text = constant \"inside\" () after %1\nresults (t: %3)\n}",
         "constant \"inside\": it waits for \"c\", which is not in the same body\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(parse(cases[i].body), cases[i].expected);
}

/* ---- what text cannot say ---- */

static struct tl_node *constant(struct tl_graph *graph, const char *label) {
    struct tl_node *node = tl_graph_add(graph->root, TL_OP_CONSTANT, "", label, NULL);
    tl_graph_add_output(node, "text", TL_TYPE_OF(TEXT, 0));
    return node;
}

static void order_of_definition(void **state) {
    (void)state;
    struct tl_graph *graph = parse("%1: text = constant \"a\" ()\n%2: prompt = render \"b\" (a: %1) after %1");
    tl_graph_move(graph->root->nodes[1], graph->root, graph->root->nodes[0]);
    check(graph, "render \"b\": input \"a\" uses \"a\" before it is defined\n"
                 "render \"b\": it waits for \"a\", which is not before it\n");
}

static void things_out_of_place(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_create("g"), *other = tl_graph_create("other");
    check(graph, "the graph has no results\n");

    graph = tl_graph_create("g");
    struct tl_node *node = constant(graph, "a"), *stranger = constant(other, "stranger");
    tl_graph_add_result(graph->root, "a", tl_graph_output(stranger, 0));
    tl_graph_add_result(graph->root, "a", tl_graph_output(node, 3));
    tl_graph_add_result(graph->root, "no name", (struct tl_ref){0});
    tl_graph_wait(node, stranger, TL_EDGE_CONTROL);
    check(graph, "constant \"a\": it waits for \"stranger\", which is not in the same body\n"
                 "parameters \"parameters\": result \"a\" uses a node of another graph\n"
                 "parameters \"parameters\": two results are called \"a\"\n"
                 "parameters \"parameters\": result \"a\" is connected to nothing\n"
                 "parameters \"parameters\": \"no name\" is no name for a result\n"
                 "parameters \"parameters\": result \"no name\" is connected to nothing\n");

    graph = parse("%1: prompt = render \"r\" (q: $question)");
    node = graph->root->nodes[0];
    node->inputs[0].from.port = 9;
    node->label = "x/r";
    node->engine = NULL;
    check(graph, "render \"x/r\": the label does not begin with its step \"\"\n"
                 "render \"x/r\": input \"q\" takes output 9 of \"parameters\", which has 6\n");

    graph = parse("%1: prompt = render \"r\" (q: $question)");
    node = graph->root->nodes[0];
    node->inputs[0].from.node = NULL;
    node->inputs[0].name = "two words";
    tl_graph_add_output(node, "prompt", TL_TYPE_OF(PROMPT, 0));
    check(graph, "render \"r\": \"two words\" is no name for an input\n"
                 "render \"r\": two outputs are called \"prompt\"\n"
                 "render \"r\": input \"two words\" is connected to nothing\n");

    graph = parse("%1: text = constant \"c\" ()");
    graph->root->nodes[0]->body = other->root;
    check(graph, "constant \"c\": it stands in a body that it does not belong to\n");
    tl_graph_destroy(other);
}

static void findings_stand_below_their_nodes(void **state) {
    (void)state;
    struct tl_graph *graph = parse("%1: vector = embed \"e\" (input: $call)\n%2: text = constant \"c\" () {value=1}");
    struct tl_str text = TL_STR_INIT;
    tl_graph_print_findings(graph, &text);
    assert_string_equal(text.data,
                        "graph \"g\" {\n"
                        "  parameters (question: text, texts: text[], hits: hit[], index: index, call: json, "
                        "deep: text[][][][])\n"
                        "  %1: vector = embed \"e\" (input: $call)\n"
                        "! error: embed \"e\": it has no engine (needs one for embed)\n"
                        "! error: embed \"e\": input \"input\" is json, expected text or chunk, or lists of it\n"
                        "  %2: text = constant \"c\" () {value=1}\n"
                        "! error: constant \"c\": attribute \"value\" is an integer, expected a string\n"
                        "  results (q: $question)\n"
                        "}\n");
    tl_str_fini(&text);
    tl_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rules_in_text),
        cmocka_unit_test(order_of_definition),
        cmocka_unit_test(things_out_of_place),
        cmocka_unit_test(findings_stand_below_their_nodes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

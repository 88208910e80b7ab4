/* Tests what the checked workflow says of itself, its prompt files, and the edges of its p-graph: data, control, order,
 * steps without nodes, merged lanes, inputs that are not given. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "workflow/workflow.h"

static struct tl_workflow *parse(const char *text, const char *directory) {
    struct tl_diagnostics findings = {0};
    struct tl_workflow *workflow = tl_workflow_parse(text, strlen(text), "x.yaml", directory, &findings);
    if (workflow == NULL) {
        struct tl_str messages = TL_STR_INIT;
        tl_diagnostics_print(&findings, &messages);
        fail_msg("%s", messages.data);
    }
    tl_diagnostics_fini(&findings);
    return workflow;
}

/* The messages for a text that is refused; returns owned. */
static char *refuse(const char *text, const char *directory) {
    struct tl_diagnostics findings = {0};
    assert_null(tl_workflow_parse(text, strlen(text), "x.yaml", directory, &findings));
    struct tl_str messages = TL_STR_INIT;
    tl_diagnostics_print(&findings, &messages);
    tl_diagnostics_fini(&findings);
    return tl_str_detach(&messages);
}

static struct tl_graph *decompose(const struct tl_workflow *workflow, const char *given, bool collection) {
    const char *names[8];
    char copy[256];
    size_t count = 0;
    snprintf(copy, sizeof copy, "%s", given);
    for (char *at = copy; *at != '\0';) {
        names[count++] = at;
        at += strcspn(at, " ");
        if (*at != '\0')
            *at++ = '\0';
    }
    struct tl_query_shape shape = {.given = names, .given_count = count, .collection = collection};
    struct tl_diagnostics findings = {0};
    struct tl_graph *graph = tl_workflow_decompose(workflow, &shape, &findings);
    assert_non_null(graph);
    assert_int_equal(findings.count, 0);
    tl_diagnostics_fini(&findings);
    return graph;
}

static const struct tl_node *find(const struct tl_graph *graph, const char *label) {
    for (size_t i = 0; i < graph->root->node_count; i++)
        if (strcmp(graph->root->nodes[i]->label, label) == 0)
            return graph->root->nodes[i];
    fail_msg("there is no node %s", label);
    return NULL;
}

/* The waits of a node as "order a/b control c/d". */
static const char *waits(const struct tl_graph *graph, const char *label) {
    static char text[512];
    const struct tl_node *node = find(graph, label);
    size_t at = 0;
    text[0] = '\0';
    for (size_t i = 0; i < node->wait_count; i++)
        at +=
            (size_t)snprintf(text + at, sizeof text - at, "%s%s %s", i > 0 ? " " : "",
                             node->waits[i].kind == TL_EDGE_CONTROL ? "control" : "order", node->waits[i].node->label);
    return text;
}

static const char *from(const struct tl_graph *graph, const char *label, const char *input) {
    const struct tl_node *node = find(graph, label);
    for (size_t i = 0; i < node->input_count; i++)
        if (strcmp(node->inputs[i].name, input) == 0)
            return node->inputs[i].from.node->label;
    return "nothing";
}

static const char search_yaml[] =
    "name: finder\n"
    "description: Finds.\n"
    "inputs: {question: text, hint: {type: text, optional: true},\n"
    "         documents: {type: documents, optional: true}}\n"
    "engines: {store: sqlite}\n"
    "steps:\n"
    "- {module: index, documents: $documents}\n"
    "- {module: expand, question: $question}\n"
    "- {module: search, queries: [$expand.queries, $hint], collection: $index.collection}\n"
    "outputs: {hits: $search.hits, queries: $expand.queries}\n";

static void test_questions(void **state) {
    (void)state;
    struct tl_workflow *workflow = parse(search_yaml, NULL);
    assert_string_equal(tl_workflow_name(workflow), "finder");
    assert_string_equal(tl_workflow_description(workflow), "Finds.");
    assert_int_equal(strlen(tl_workflow_digest(workflow)), 64);
    assert_int_equal(tl_workflow_input_count(workflow), 3);
    assert_string_equal(tl_workflow_input(workflow, 1)->name, "hint");
    assert_true(tl_workflow_input(workflow, 1)->optional);
    assert_true(tl_type_equal(tl_workflow_input(workflow, 2)->type, TL_TYPE_OF(DOCUMENT, 1)));
    assert_int_equal(tl_workflow_output_count(workflow), 2);
    assert_string_equal(tl_workflow_output(workflow, 0), "hits");
    assert_int_equal(tl_workflow_engine_count(workflow), 4);
    bool store = false;
    for (size_t i = 0; i < 4; i++) {
        const char *role, *engine;
        enum tl_capability capability;
        tl_workflow_engine(workflow, i, &role, &engine, &capability);
        if (strcmp(role, "store") == 0) {
            store = true;
            assert_string_equal(engine, "sqlite");
            assert_int_equal(capability, TL_CAPABILITY_STORE);
        } else {
            assert_string_equal(engine, role);
        }
    }
    assert_true(store);
    tl_workflow_destroy(workflow);
}

static void test_lanes(void **state) {
    (void)state;
    struct tl_workflow *workflow = parse(search_yaml, NULL);
    struct tl_graph *graph = decompose(workflow, "question hint documents", false);
    assert_int_equal(graph->root->parameters->output_count, 3);
    /* Each lane has an embed of its own; the list of rewrites gives lists of hits. */
    assert_string_equal(from(graph, "search/embed", "input"), "parameters");
    assert_string_equal(from(graph, "search/embed_2", "input"), "expand/decode");
    assert_string_equal(from(graph, "search/embed_3", "input"), "parameters");
    assert_int_equal(tl_graph_type(tl_graph_output((struct tl_node *)find(graph, "search/fuse_2"), 0)).depth, 2);
    /* Outputs are one value: hits one ranking, texts one list. */
    assert_string_equal(graph->root->results[0].from.node->label, "output_hits");
    assert_true(tl_type_equal(tl_graph_type(graph->root->results[0].from), TL_TYPE_OF(HIT, 1)));
    assert_true(tl_type_equal(tl_graph_type(graph->root->results[1].from), TL_TYPE_OF(TEXT, 1)));
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
}

static void test_order(void **state) {
    (void)state;
    struct tl_workflow *workflow = parse(search_yaml, NULL);
    struct tl_graph *graph = decompose(workflow, "question documents", false);
    assert_string_equal(waits(graph, "index/chunk"), "");
    assert_string_equal(waits(graph, "expand/render"), "order index/ingest");
    assert_string_equal(waits(graph, "search/embed"), "order expand/decode");
    assert_string_equal(waits(graph, "search/embed_2"), ""); /* the data edge says it */
    assert_string_equal(waits(graph, "search/fuse"), "");
    /* A text that is not given is empty. */
    assert_string_equal(from(graph, "search/match_3", "query"), "input_hint");
    tl_graph_destroy(graph);

    /* With a collection `index` has no nodes, and nothing waits for it. */
    graph = decompose(workflow, "question", true);
    assert_string_equal(graph->root->parameters->outputs[1].name, "collection");
    assert_string_equal(waits(graph, "expand/render"), "");
    assert_string_equal(from(graph, "search/search", "index"), "parameters");
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
}

static const char after_yaml[] =
    "name: after\n"
    "inputs: {q: text, documents: {type: documents, optional: true}}\n"
    "steps:\n"
    "- {id: one, module: generate, inputs: {q: $q}, prompt: '{q}'}\n"
    "- {id: two, module: generate, inputs: {q: $q}, prompt: '{q}'}\n"
    "- {module: index, documents: $documents, after: one}\n"
    "- {id: three, module: generate, inputs: {q: $q}, prompt: '{q}', after: [two, index]}\n"
    "- {id: four, module: generate, inputs: {q: $q}, prompt: '{q}', after: []}\n"
    "- {id: five, module: generate, inputs: {q: $four.text}, prompt: '{q}', after: four}\n"
    "- {module: search, queries: $five.text, collection: $index.collection}\n"
    "outputs: {a: $five.text, b: $search.hits}\n";

static void test_after(void **state) {
    (void)state;
    struct tl_workflow *workflow = parse(after_yaml, NULL);
    struct tl_graph *graph = decompose(workflow, "q documents", false);
    assert_string_equal(waits(graph, "two/render"), "order one/decode");
    assert_string_equal(waits(graph, "index/chunk"), "control one/decode");
    assert_string_equal(waits(graph, "three/render"), "control two/decode control index/ingest");
    assert_string_equal(waits(graph, "four/render"), "");
    assert_string_equal(waits(graph, "five/render"), "control four/decode"); /* asked for, though the data say it too */
    tl_graph_destroy(graph);

    /* `index` hands on what it would have waited for. */
    graph = decompose(workflow, "q", true);
    assert_string_equal(waits(graph, "three/render"), "control two/decode control one/decode");
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
}

/* A region begins as soon as its items are there, so it waits for itself and not for what it is begun with. */
static void test_regions_wait_for_themselves(void **state) {
    (void)state;
    struct tl_workflow *workflow =
        parse("name: regions\n"
              "inputs: {q: text}\n"
              "steps:\n"
              "- {module: index}\n"
              "- {module: search, queries: $q, collection: $index.collection}\n"
              "- {id: say, module: generate, inputs: {q: $q}, prompt: '{q}'}\n"
              "- {id: answer, module: synthesize, mode: refine, question: $q, hits: $search.hits}\n"
              "- {id: tree, module: synthesize, mode: tree, question: $q, hits: $search.hits, after: say}\n"
              "outputs: {a: $say.text, b: $answer.answer, c: $tree.answer}\n",
              NULL);
    struct tl_graph *graph = decompose(workflow, "q", true);
    assert_string_equal(waits(graph, "answer/initial"), "order say/decode");
    assert_string_equal(waits(graph, "answer/refine"), "order say/decode");
    assert_string_equal(waits(graph, "tree/each"), "control say/decode");
    assert_string_equal(waits(graph, "tree/combine"), "");
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
}

static const char *on_error_of(const char *top, const char *step) {
    static char kept[16];
    struct tl_str yaml = TL_STR_INIT;
    tl_str_printf(&yaml,
                  "name: broken\n"
                  "inputs: {q: text}\n%s"
                  "steps:\n"
                  "- {module: expand, question: $q%s}\n"
                  "outputs: {a: $expand.queries}\n",
                  top, step);
    struct tl_workflow *workflow = parse(yaml.data, NULL);
    struct tl_graph *graph = decompose(workflow, "q", false);
    const struct tl_node *decode = find(graph, "expand/decode");
    const char *text = tl_attributes_string(&decode->attributes, "on_error", NULL);
    snprintf(kept, sizeof kept, "%s", text ? text : "");
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
    tl_str_fini(&yaml);
    return kept;
}

/* A broken list fails the run where the file says so: for all steps, or for one. */
static void test_on_error(void **state) {
    (void)state;
    assert_string_equal(on_error_of("", ""), "");
    assert_string_equal(on_error_of("on_error: skip\n", ""), "");
    assert_string_equal(on_error_of("on_error: fail\n", ""), "fail");
    assert_string_equal(on_error_of("", ", on_error: fail"), "fail");
    assert_string_equal(on_error_of("on_error: fail\n", ", on_error: skip"), "");
}

static void expect_not_decomposed(const struct tl_workflow *workflow, struct tl_query_shape shape,
                                  const char *message) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "x.yaml");
    assert_null(tl_workflow_decompose(workflow, &shape, &findings));
    struct tl_str messages = TL_STR_INIT;
    tl_diagnostics_print(&findings, &messages);
    assert_string_equal(messages.data, message);
    tl_str_fini(&messages);
    tl_diagnostics_fini(&findings);
}

static void test_what_the_query_lacks(void **state) {
    (void)state;
    struct tl_workflow *workflow = parse(search_yaml, NULL);
    static const char *const given[] = {"hint", "colour"};
    expect_not_decomposed(
        workflow, (struct tl_query_shape){.given = given, .given_count = 2},
        "x.yaml: error: the query gives 'colour', but the workflow has no such input; its inputs are: "
        "question, hint, documents\n"
        "x.yaml:3:10: error: the query does not give 'question' (text), which the workflow needs\n");
    static const char *const question[] = {"question"};
    expect_not_decomposed(
        workflow, (struct tl_query_shape){.given = question, .given_count = 1},
        "x.yaml:7:3: error: step 'index' has nothing to index: give documents with the query, or name a "
        "collection\n");
    tl_workflow_destroy(workflow);
}

/* ---- prompt files ---- */

static void write_file(const char *directory, const char *name, const char *data, size_t length) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    assert_int_equal(tl_file_write_atomic(path, data, length, NULL), TL_OK);
}

static const char prompt_yaml[] = "name: prompts\n"
                                  "inputs: {q: text}\n"
                                  "steps:\n"
                                  "- {module: generate, inputs: {q: $q}, prompt: {system: {file: %s}, user: '{q}'}}\n"
                                  "outputs: {a: $generate.text}\n";

static void test_prompt_files(void **state) {
    (void)state;
    char directory[] = "/tmp/teola-workflow-XXXXXX", inside[64], text[512], path[512];
    assert_non_null(mkdtemp(directory));
    snprintf(inside, sizeof inside, "%s/in", directory);
    assert_int_equal(mkdir(inside, 0700), 0);
    write_file(inside, "a.txt", "\n  Be brief, {q}.\n\n", 19);
    write_file(inside, "bytes.txt", "a\xff", 2);
    write_file(inside, "nul.txt", "a\0b", 3);
    write_file(directory, "secret.txt", "secret", 6);
    snprintf(path, sizeof path, "%s/link.txt", inside);
    assert_int_equal(symlink("../secret.txt", path), 0);

    snprintf(text, sizeof text, prompt_yaml, "a.txt");
    struct tl_workflow *workflow = parse(text, inside);
    struct tl_graph *graph = decompose(workflow, "q", false);
    assert_string_equal(tl_attributes_string(&find(graph, "generate/render")->attributes, "template", ""),
                        "[[\"system\",\"Be brief, {q}.\"],[\"user\",\"{q}\"]]");
    tl_graph_destroy(graph);

    /* The digest covers the files. */
    char before[65];
    snprintf(before, sizeof before, "%s", tl_workflow_digest(workflow));
    tl_workflow_destroy(workflow);
    workflow = parse(text, inside);
    assert_string_equal(tl_workflow_digest(workflow), before);
    tl_workflow_destroy(workflow);
    write_file(inside, "a.txt", "Be long.", 8);
    workflow = parse(text, inside);
    assert_string_not_equal(tl_workflow_digest(workflow), before);
    tl_workflow_destroy(workflow);

    static const struct {
        const char *file, *message;
    } refused[] = {
        {"../secret.txt", "the file '../secret.txt' is outside the directory of the workflow; expected a path in it"},
        {"link.txt", "the file 'link.txt' is outside the directory of the workflow; expected a path in it"},
        {".", "the file '.' is outside the directory of the workflow; expected a path in it"},
        {"gone.txt", "there is no file 'gone.txt' in the directory of the workflow"},
        {"bytes.txt", "the file 'bytes.txt' is not UTF-8 text"},
        {"nul.txt", "the file 'nul.txt' is not UTF-8 text"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
        snprintf(text, sizeof text, prompt_yaml, refused[i].file);
        char *messages = refuse(text, inside);
        assert_non_null(strstr(messages, refused[i].message));
        free(messages);
    }
    snprintf(text, sizeof text, prompt_yaml, "a.txt");
    char *messages = refuse(text, NULL);
    assert_non_null(strstr(messages, "files cannot be read here; expected the text itself"));
    free(messages);

    static const char *const files[] = {"in/a.txt", "in/bytes.txt", "in/nul.txt", "in/link.txt", "secret.txt", "in",
                                        ""};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        snprintf(path, sizeof path, "%s/%s", directory, files[i]);
        assert_int_equal(remove(path), 0);
    }
}

static void test_load(void **state) {
    (void)state;
    struct tl_diagnostics findings = {0};
    assert_null(tl_workflow_load("/nowhere/at-all.yaml", &findings));
    assert_int_equal(findings.errors, 1);
    tl_diagnostics_fini(&findings);
}

/* Braces that stand for themselves stay so when {count} becomes a number. */
static void test_count_is_literal(void **state) {
    (void)state;
    struct tl_workflow *workflow = parse("name: x\ninputs: {q: text}\nsteps:\n"
                                         "- {module: expand, question: $q, count: 5,\n"
                                         "   prompt: 'Give {count}, not {{count}}: {question}'}\n"
                                         "outputs: {a: $expand.queries}\n",
                                         NULL);
    struct tl_graph *graph = decompose(workflow, "q", false);
    assert_string_equal(tl_attributes_string(&find(graph, "expand/render")->attributes, "template", ""),
                        "[[\"user\",\"Give 5, not {{count}}: {question}\"]]");
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
}

static int64_t integer(const struct tl_node *node, const char *name) {
    return tl_attributes_integer(&node->attributes, name, -1);
}

/* The items of a parallel list: a map over the numbers from 1, whose prompts differ in the number alone. */
static void test_parallel_list(void **state) {
    (void)state;
    struct tl_workflow *workflow = parse("name: x\ninputs: {q: text}\nsteps:\n"
                                         "- {module: expand, question: $q, count: 3, parallel: true, item_tokens: 20,\n"
                                         "   stop: ['.'], prompt: 'Of {count} for {question}, number {number}:'}\n"
                                         "- {module: embed, texts: $expand.queries}\n"
                                         "outputs: {a: $embed.vectors}\n",
                                         NULL);
    struct tl_graph *graph = decompose(workflow, "q", false);
    assert_string_equal(tl_attributes_string(&find(graph, "expand/numbers")->attributes, "values", ""),
                        "[\"1\",\"2\",\"3\"]");
    const struct tl_node *map = find(graph, "expand/each");
    assert_int_equal(map->op, TL_OP_MAP);
    assert_string_equal(from(graph, "expand/each", "items"), "expand/numbers");
    const struct tl_body *body = map->regions[0];
    assert_int_equal(body->node_count, 3);
    const struct tl_node *render = body->nodes[0], *decode = body->nodes[2];
    assert_string_equal(tl_attributes_string(&render->attributes, "template", ""),
                        "[[\"user\",\"Of 3 for {question}, number {number}:\"]]");
    assert_ptr_equal(render->inputs[0].from.node, graph->root->parameters);
    assert_ptr_equal(render->inputs[1].from.node, body->parameters);
    assert_int_equal(integer(decode, "max_tokens"), 20);
    assert_string_equal(tl_attributes_string(&decode->attributes, "stop", ""), "[\".\",\"\\n\"]");
    assert_string_equal(tl_attributes_string(&decode->attributes, "format", "text"), "text");
    assert_string_equal(from(graph, "expand/distinct", "texts"), "expand/each");
    assert_string_equal(from(graph, "embed/embed_2", "input"), "expand/distinct");
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
}

static void test_parallel_generate(void **state) {
    (void)state;
    struct tl_workflow *workflow =
        parse("name: x\ninputs: {q: text}\nsteps:\n"
              "- {module: generate, inputs: {q: $q}, format: list, items: 4, parallel: true,\n"
              "   max_tokens: 8, prompt: '{q}: {number} of {count}'}\n"
              "outputs: {a: $generate.text}\n",
              NULL);
    struct tl_graph *graph = decompose(workflow, "q", false);
    const struct tl_body *body = find(graph, "generate/each")->regions[0];
    assert_string_equal(tl_attributes_string(&body->nodes[0]->attributes, "template", ""),
                        "[[\"user\",\"{q}: {number} of 4\"]]");
    assert_int_equal(integer(body->nodes[2], "max_tokens"), 8);
    assert_string_equal(tl_attributes_string(&body->nodes[2]->attributes, "stop", ""), "[\"\\n\"]");
    assert_true(tl_type_equal(tl_graph_type(graph->root->results[0].from), TL_TYPE_OF(TEXT, 1)));
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
}

/* What is said of settings that do nothing, without their places. */
static void check_warnings(const char *step, const char *expected) {
    char text[512];
    snprintf(text, sizeof text, "name: x\ninputs: {q: text}\nsteps:\n- {id: s, %s}\noutputs: {a: $s.%s}\n", step,
             strstr(step, "expand") != NULL ? "queries" : "text");
    struct tl_diagnostics findings = {0};
    struct tl_workflow *workflow = tl_workflow_parse(text, strlen(text), "x.yaml", NULL, &findings);
    assert_non_null(workflow);
    struct tl_str all = TL_STR_INIT;
    for (size_t i = 0; i < findings.count; i++) {
        assert_int_equal(findings.items[i].severity, TL_SEVERITY_WARNING);
        assert_int_equal(findings.items[i].line, 4);
        assert_true(findings.items[i].column > 5);
        tl_str_printf(&all, "%s\n", findings.items[i].message);
    }
    assert_string_equal(all.data, expected);
    tl_str_fini(&all);
    tl_diagnostics_fini(&findings);
    tl_workflow_destroy(workflow);
}

static void test_settings_that_do_nothing(void **state) {
    (void)state;
    check_warnings("module: expand, question: $q, parallel: true", "");
    check_warnings("module: expand, question: $q, parallel: false, on_error: fail", "");
    check_warnings("module: expand, question: $q, parallel: true, on_error: fail",
                   "step 's': on_error: this does nothing: a list that is written in parallel never breaks off\n");
    check_warnings("module: expand, question: $q, parallel: true, prompt: '{question} {count}'",
                   "step 's': prompt: the prompt does not use {number}\n");
    check_warnings("module: generate, inputs: {q: $q}, format: list, parallel: true, prompt: '{q} {number}'", "");
    check_warnings("module: generate, inputs: {q: $q}, format: list, parallel: true, min_items: 2, prompt: '{q}'",
                   "step 's': prompt: the prompt does not use {number}\n"
                   "step 's': min_items: this does nothing in a list that is written in parallel\n");
    check_warnings("module: generate, inputs: {q: $q}, prompt: '{q}', n: 2, temperature: 1", "");
    check_warnings("module: generate, inputs: {q: $q}, prompt: '{q}', n: 2",
                   "step 's': n: all answers will be the same, because the temperature is 0\n");
}

/* Several answers go on from one prefill, with seeds of their own, which begin again after the last one. */
static void test_n(void **state) {
    (void)state;
    struct tl_workflow *workflow =
        parse("name: x\ninputs: {q: text}\nsteps:\n"
              "- {module: generate, inputs: {q: $q}, prompt: '{q}', n: 3, temperature: 0.7,\n"
              "   seed: 4294967294, format: choice, choices: [a, b]}\n"
              "outputs: {a: $generate.text}\n",
              NULL);
    struct tl_graph *graph = decompose(workflow, "q", false);
    static const char *const decodes[] = {"generate/decode", "generate/decode_2", "generate/decode_3"};
    static const int64_t seeds[] = {4294967294, 4294967295, 0};
    for (size_t i = 0; i < 3; i++) {
        const struct tl_node *decode = find(graph, decodes[i]);
        assert_string_equal(from(graph, decodes[i], "kv"), "generate/prefill");
        assert_int_equal(integer(decode, "seed"), seeds[i]);
        assert_string_equal(tl_attributes_string(&decode->attributes, "choices", ""), "[\"a\",\"b\"]");
    }
    const struct tl_node *all = find(graph, "generate/merge_answers");
    assert_int_equal(all->input_count, 3);
    for (size_t i = 0; i < 3; i++)
        assert_string_equal(all->inputs[i].from.node->label, decodes[i]);
    assert_true(tl_type_equal(tl_graph_type(graph->root->results[0].from), TL_TYPE_OF(TEXT, 1)));
    tl_graph_destroy(graph);
    tl_workflow_destroy(workflow);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_questions),
        cmocka_unit_test(test_lanes),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_after),
        cmocka_unit_test(test_on_error),
        cmocka_unit_test(test_regions_wait_for_themselves),
        cmocka_unit_test(test_what_the_query_lacks),
        cmocka_unit_test(test_prompt_files),
        cmocka_unit_test(test_load),
        cmocka_unit_test(test_count_is_literal),
        cmocka_unit_test(test_parallel_list),
        cmocka_unit_test(test_parallel_generate),
        cmocka_unit_test(test_settings_that_do_nothing),
        cmocka_unit_test(test_n),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

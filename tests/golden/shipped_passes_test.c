/* Golden graphs of the workflows that come with Teola, before and after each pass: tests/golden/shipped/NAME.SHAPE.txt
 * has the graph as written, then, for each pass in the order in which they run, what it said and the graph with it and all
 * before it. SHAPE is what the query brings: `documents`, or a `collection` instead of them. Long strings are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "opt/opt.h"
#include "workflow/golden.h"
#include "workflow/workflow_impl.h"

enum { MOST_PASSES = 32,
       MOST_INPUTS = 16,

       LONGEST_STRING = 60 };

static uint32_t batch_of(void *context, const char *engine) {
    (void)context;
    return strcmp(engine, "embedder") == 0 ? 64 : 0;
}

/* Appends the text with what stands between quotes cut after LONGEST_STRING characters. */
static void put_shortened(const char *text, struct tl_str *out) {
    size_t inside = 0; /* characters of the present string; 0: outside */
    for (; *text; text++) {
        bool quote = *text == '"', escape = *text == '\\' && inside > 0;
        if (quote) inside = inside > 0 ? 0 : 1;
        if (inside == LONGEST_STRING) tl_str_puts(out, "...");
        if (inside < LONGEST_STRING) tl_str_putc(out, *text);
        if (escape && inside < LONGEST_STRING - 1) tl_str_putc(out, text[1]);
        if (escape) text++;
        inside += inside > 0;
    }
}

static struct tl_graph *decompose(const struct tl_workflow *workflow, bool collection) {
    const char *given[MOST_INPUTS];
    size_t count = 0;
    for (size_t i = 0; i < workflow->input_count; i++) {
        assert_in_range(count, 0, MOST_INPUTS - 1);
        if (!collection || workflow->inputs[i].type.base != TL_TYPE_DOCUMENT) given[count++] = workflow->inputs[i].name;
    }
    struct tl_query_shape shape = {.given = given, .given_count = count, .collection = collection};
    struct tl_diagnostics findings = {0};
    struct tl_graph *graph = tl_workflow_decompose(workflow, &shape, &findings);
    assert_non_null(graph);
    tl_diagnostics_fini(&findings);
    return graph;
}

static void put_graph(const struct tl_graph *graph, struct tl_str *last, struct tl_str *out) {
    struct tl_str text = TL_STR_INIT;
    tl_graph_print(graph, &text);
    if (last->length > 0 && strcmp(last->data, text.data) == 0)
        tl_str_puts(out, "(no change)\n");
    else
        put_shortened(text.data, out);
    tl_str_clear(last);
    tl_str_puts(last, text.data);
    tl_str_fini(&text);
}

/* The first `count` passes of the table; what the last of them said. */
static void put_pass(const struct tl_workflow *workflow, bool collection, size_t count, struct tl_str *last,
                     struct tl_str *out) {
    struct tl_graph *graph = decompose(workflow, collection);
    const char *passes[MOST_PASSES + 1] = {"-all"};
    char names[MOST_PASSES][40];
    struct tl_opt_options options = tl_opt_defaults();
    struct tl_opt_report report;
    struct tl_error error = {0};
    assert_in_range(count, 1, MOST_PASSES);
    for (size_t i = 0; i < count; i++) {
        snprintf(names[i], sizeof names[i], "+%s", tl_opt_pass_name(i));
        passes[i + 1] = names[i];
    }
    options.level = TL_OPTIMIZE_PAPER;
    options.batch = batch_of;
    options.check = true;
    options.passes = passes;
    options.pass_count = count + 1;
    tl_opt_report_init(&report);
    if (tl_opt_run(&graph, &options, &report, &error) != TL_OK) fail_msg("%s", error.message);
    tl_str_printf(out, "\n== after %s\n", tl_opt_pass_name(count - 1));
    for (size_t i = 0; i < report.count; i++) {
        assert_int_not_equal(report.entries[i].outcome, TL_OPT_FAILED);
        if (strcmp(report.entries[i].pass, tl_opt_pass_name(count - 1)) == 0)
            tl_str_puts(out, report.entries[i].notes.data);
    }
    put_graph(graph, last, out);
    tl_opt_report_fini(&report);
    tl_graph_destroy(graph);
}

static void check_shape(const struct tl_workflow *workflow, bool collection) {
    struct tl_str out = TL_STR_INIT, last = TL_STR_INIT;
    struct tl_graph *graph = decompose(workflow, collection);
    tl_str_puts(&out, "== as written\n");
    put_graph(graph, &last, &out);
    tl_graph_destroy(graph);
    for (size_t i = 1; i <= tl_opt_pass_count(); i++) put_pass(workflow, collection, i, &last, &out);
    char path[256];
    snprintf(path, sizeof path, "tests/golden/shipped/%s.%s.txt", workflow->name,
             collection ? "collection" : "documents");
    golden_check(path, out.data);
    tl_str_fini(&out);
    tl_str_fini(&last);
}

static void test_passes_of_shipped_workflows(void **state) {
    (void)state;
    DIR *directory = opendir(golden_path("workflows"));
    assert_non_null(directory);
    size_t count = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!tl_str_ends_with(entry->d_name, ".yaml")) continue;
        char path[300];
        snprintf(path, sizeof path, "workflows/%s", entry->d_name);
        struct tl_diagnostics findings = {0};
        struct tl_workflow *workflow = tl_workflow_load(golden_path(path), &findings);
        assert_non_null(workflow);
        bool documents = false;
        for (size_t i = 0; i < workflow->input_count; i++)
            documents = documents || workflow->inputs[i].type.base == TL_TYPE_DOCUMENT;
        check_shape(workflow, false);
        if (documents) check_shape(workflow, true);
        tl_workflow_destroy(workflow);
        tl_diagnostics_fini(&findings);
        count++;
    }
    closedir(directory);
    assert_true(count >= 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_passes_of_shipped_workflows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The workflows that come with Teola: they are read without a finding, become the graphs in tests/golden, and use the
 * prompts that their modules have anyway. And what is made from the modules' tables is current: the JSON Schema and
 * the reference part of docs/workflow.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "workflow/golden.h"
#include "workflow/workflow_impl.h"

static struct tl_workflow *load(const char *file) {
    struct tl_diagnostics findings = {0};
    struct tl_workflow *workflow = tl_workflow_load(golden_path(file), &findings);
    struct tl_str text = TL_STR_INIT;
    tl_diagnostics_print(&findings, &text);
    assert_string_equal(text.data, "");
    assert_non_null(workflow);
    tl_str_fini(&text);
    tl_diagnostics_fini(&findings);
    return workflow;
}

static void check_graph(const struct tl_workflow *workflow, const struct tl_query_shape *shape, const char *golden) {
    struct tl_diagnostics findings = {0};
    struct tl_graph *graph = tl_workflow_decompose(workflow, shape, &findings);
    assert_non_null(graph);
    struct tl_str text = TL_STR_INIT;
    tl_graph_print(graph, &text);
    golden_check(golden, text.data);

    struct tl_graph *again = tl_graph_parse(text.data, &findings);
    assert_non_null(again);
    assert_int_equal(tl_graph_hash(graph), tl_graph_hash(again));
    tl_graph_destroy(again);
    tl_graph_destroy(graph);
    tl_str_fini(&text);
    tl_diagnostics_fini(&findings);
}

static void check_graphs(const char *name) {
    static const char *const given[] = {"question", "documents"};
    char file[256];
    snprintf(file, sizeof file, "workflows/%s.yaml", name);
    struct tl_workflow *workflow = load(file);
    assert_string_equal(tl_workflow_name(workflow), name);
    snprintf(file, sizeof file, "tests/golden/%s.documents.txt", name);
    check_graph(workflow, &(struct tl_query_shape){.given = given, .given_count = 2}, file);
    snprintf(file, sizeof file, "tests/golden/%s.collection.txt", name);
    check_graph(workflow, &(struct tl_query_shape){.given = given, .given_count = 1, .collection = true}, file);
    tl_workflow_destroy(workflow);
}

static void test_naive(void **state) {
    (void)state;
    check_graphs("naive-rag");
}

static void test_advanced(void **state) {
    (void)state;
    check_graphs("advanced-rag");
}

/* A workflow without its prompts is the same workflow. */
static void check_defaults(const char *file) {
    struct tl_workflow *workflow = load(file);
    for (size_t i = 0; i < workflow->step_count; i++) {
        const struct tl_step *step = &workflow->steps[i];
        for (size_t k = 0; k < step->module->setting_count; k++) {
            const struct tl_setting *setting = &step->module->settings[k];
            if (setting->kind != TL_SETTING_PROMPT || step->values[k].source == NULL)
                continue;
            struct tl_check check = {.workflow = workflow};
            struct tl_setting_value otherwise = {.source = NULL};
            tl_check_prompt(&check, step, setting, "", &otherwise);
            assert_string_equal(step->values[k].string, otherwise.string);
        }
    }
    tl_workflow_destroy(workflow);
}

static void test_prompts_are_the_modules_own(void **state) {
    (void)state;
    check_defaults("workflows/naive-rag.yaml");
    check_defaults("workflows/advanced-rag.yaml");
}

static void test_schema_is_current(void **state) {
    (void)state;
    struct tl_str schema = TL_STR_INIT;
    tl_workflow_schema(&schema);
    golden_check("docs/workflow.schema.json", schema.data);
    tl_str_fini(&schema);
}

/* docs/workflow.md between the two comments is the modules' reference. */
static void test_reference_is_current(void **state) {
    (void)state;
    static const char begin[] = "<!-- modules: made from src/workflow/module_*.c -->\n";
    static const char end[] = "<!-- end of modules -->\n";
    struct tl_str document = TL_STR_INIT, expected = TL_STR_INIT;
    golden_read("docs/workflow.md", &document);
    const char *from = strstr(document.data, begin), *to = strstr(document.data, end);
    assert_non_null(from);
    assert_non_null(to);
    tl_str_append(&expected, document.data, (size_t)(from - document.data));
    tl_str_puts(&expected, begin);
    tl_str_putc(&expected, '\n');
    tl_module_reference(&expected);
    tl_str_puts(&expected, to);
    golden_check("docs/workflow.md", expected.data);
    tl_str_fini(&document);
    tl_str_fini(&expected);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_naive),
        cmocka_unit_test(test_advanced),
        cmocka_unit_test(test_prompts_are_the_modules_own),
        cmocka_unit_test(test_schema_is_current),
        cmocka_unit_test(test_reference_is_current),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

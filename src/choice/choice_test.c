#include "choice/choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "runtime/config.h"
#include "runtime/costs.h"
#include "runtime/machine.h"
#include "workflow/workflow.h"

/* ---- a configuration, and what is chosen for it ---- */

struct fixture {
    struct tl_config *config;
    struct tl_cost *cost;
    struct tl_choice_machine machine;
    struct tl_choice_report report;
    struct tl_plan *plan;
};

static const struct tl_choice_load unknown = {0};

static void set_up_configuration(struct fixture *fixture, const struct tl_config_options *options) {
    struct tl_diagnostics findings;
    struct tl_str notices = TL_STR_INIT;
    tl_diagnostics_init(&findings, "");
    *fixture = (struct fixture){0};
    fixture->config = tl_config_load(options, &findings);
    assert_non_null(fixture->config);
    fixture->cost = tl_runtime_costs(fixture->config, "", &notices);
    tl_runtime_machine_init(&fixture->machine, fixture->config, fixture->cost);
    tl_choice_report_init(&fixture->report);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&notices);
}

/* `file`: in the repository; NULL: the configuration that is built in, all on one processor. */
static void set_up(struct fixture *fixture, const char *file) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", getenv("TEOLA_SOURCE_DIR"), file ? file : "");
    set_up_configuration(fixture, &(struct tl_config_options){.path = file ? path : "",
                                                              .text = file ? NULL : "",
                                                              .no_environment = true});
}

static void forget(struct fixture *fixture) {
    tl_choice_report_fini(&fixture->report);
    tl_plan_unref(fixture->plan);
    fixture->plan = NULL;
}

static void tear_down(struct fixture *fixture) {
    forget(fixture);
    tl_runtime_machine_fini(&fixture->machine);
    tl_cost_unref(fixture->cost);
    tl_config_destroy(fixture->config);
}

static struct tl_graph *shipped(const char *name, bool collection) {
    static const char *const given[] = {"question", "documents"};
    char path[256];
    struct tl_diagnostics findings;
    snprintf(path, sizeof path, "%s/workflows/%s.yaml", getenv("TEOLA_SOURCE_DIR"), name);
    tl_diagnostics_init(&findings, path);
    struct tl_workflow *workflow = tl_workflow_load(path, &findings);
    assert_non_null(workflow);
    const struct tl_query_shape shape = {
        .given = given, .given_count = collection ? 1 : 2, .collection = collection};
    struct tl_graph *graph = tl_workflow_decompose(workflow, &shape, &findings);
    assert_non_null(graph);
    tl_workflow_destroy(workflow);
    tl_diagnostics_fini(&findings);
    return graph;
}

static void choose(struct fixture *fixture, struct tl_graph *graph, const char *const *passes, size_t count,
                   const struct tl_choice_load *load) {
    struct tl_opt_options options = tl_opt_defaults();
    struct tl_error error;
    options.passes = passes;
    options.pass_count = count;
    forget(fixture);
    tl_choice_report_init(&fixture->report);
    if (tl_choice_make(graph, &options, &fixture->machine, load, &fixture->plan, &fixture->report, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_graph_destroy(graph);
}

static const struct tl_choice_candidate *find(const struct fixture *fixture, const char *name) {
    for (size_t i = 0; i < fixture->report.count; i++)
        if (strcmp(fixture->report.candidates[i].name, name) == 0)
            return &fixture->report.candidates[i];
    return NULL;
}

static const struct tl_choice_candidate *chosen(const struct fixture *fixture) {
    return &fixture->report.candidates[fixture->report.chosen];
}

static const char *const workflows[] = {"advanced-rag", "naive-rag"};
enum { WORKFLOWS = sizeof workflows / sizeof workflows[0] };

/* ---- tests ---- */

/* All engines take turns on one processor: what starts earlier makes something else wait. */
static void test_one_processor(void **state) {
    (void)state;
    struct fixture fixture;
    set_up(&fixture, NULL);
    for (size_t i = 0; i < 2 * WORKFLOWS; i++) {
        choose(&fixture, shipped(workflows[i / 2], i % 2), NULL, 0, &unknown);
        const struct tl_choice_candidate *off = find(&fixture, "off"), *paper = find(&fixture, "paper");
        assert_null(off->failure);
        assert_null(paper->failure);
        assert_true(off->ms > 100);
        assert_true(chosen(&fixture)->ms <= off->ms * (1 + TL_CHOICE_TIE));
        assert_true(chosen(&fixture)->ms <= paper->ms * (1 + TL_CHOICE_TIE));
        assert_true(chosen(&fixture)->busy_ms < paper->busy_ms); /* cutting prompts costs calls and gains nothing */
    }
    tear_down(&fixture);
}

/* Each engine has a card of its own: nearly all that the rules do is a gain. */
static void test_cards(void **state) {
    (void)state;
    struct fixture fixture;
    set_up(&fixture, "profiles/rtx3090.yaml");
    for (size_t i = 0; i < 2 * WORKFLOWS; i++) {
        choose(&fixture, shipped(workflows[i / 2], i % 2), NULL, 0, &unknown);
        const struct tl_choice_candidate *off = find(&fixture, "off"), *paper = find(&fixture, "paper");
        assert_true(chosen(&fixture)->ms <= paper->ms * (1 + TL_CHOICE_TIE));
        assert_true(chosen(&fixture)->ms < off->ms);
    }
    tear_down(&fixture);
}

/* The same twice; and the report agrees with the plan. */
static void test_equal_choices(void **state) {
    (void)state;
    struct fixture fixture;
    struct tl_str first = TL_STR_INIT, second = TL_STR_INIT;
    set_up(&fixture, "profiles/rtx3090.yaml");
    choose(&fixture, shipped("advanced-rag", false), NULL, 0, &unknown);
    tl_choice_report_print(&fixture.report, &first);
    uint64_t hash = fixture.plan->hash;
    uint32_t nodes = 0;
    for (uint32_t b = 0; b < fixture.plan->body_count; b++)
        nodes += fixture.plan->bodies[b]->node_count;
    assert_int_equal(chosen(&fixture)->nodes, nodes);
    choose(&fixture, shipped("advanced-rag", false), NULL, 0, &unknown);
    tl_choice_report_print(&fixture.report, &second);
    assert_string_equal(first.data, second.data);
    assert_int_equal(hash, fixture.plan->hash);
    json_t *json = tl_choice_report_to_json(&fixture.report);
    assert_string_equal(json_string_value(json_object_get(json, "chosen")), chosen(&fixture)->name);
    assert_int_equal(json_array_size(json_object_get(json, "candidates")), fixture.report.count);
    json_decref(json);
    tl_str_fini(&first);
    tl_str_fini(&second);
    tear_down(&fixture);
}

static bool says(const struct fixture *fixture, const char *text) {
    bool found = false;
    for (size_t i = 0; i < fixture->report.passes.count; i++)
        found = found || strcmp(fixture->report.passes.entries[i].pass, text) == 0;
    return found;
}

/* What the user leaves out is in no form. */
static void test_left_out(void **state) {
    (void)state;
    static const char *const passes[] = {"-split_prefill", "-prune"};
    struct fixture fixture;
    set_up(&fixture, "profiles/rtx3090.yaml");
    choose(&fixture, shipped("naive-rag", true), NULL, 0, &unknown);
    assert_true(says(&fixture, "split_prefill"));
    choose(&fixture, shipped("naive-rag", true), passes, 2, &unknown);
    assert_false(says(&fixture, "split_prefill"));
    assert_false(says(&fixture, "prune"));
    tear_down(&fixture);
}

/* Forms that are one graph are simulated once, and say so. */
static void test_same_plans(void **state) {
    (void)state;
    static const char *const none[] = {"-all"};
    struct fixture fixture;
    set_up(&fixture, NULL);
    choose(&fixture, shipped("naive-rag", true), none, 1, &unknown);
    assert_int_equal(fixture.report.count, 3);
    assert_int_equal(fixture.report.candidates[1].same_as, 0);
    assert_int_equal(fixture.report.candidates[2].same_as, 0);
    assert_int_equal(fixture.report.chosen, 0);
    tear_down(&fixture);
}

/* A machine without the engines: what there is without a choice. */
static void test_no_prediction(void **state) {
    (void)state;
    struct fixture fixture;
    struct tl_str text = TL_STR_INIT;
    set_up(&fixture, NULL);
    size_t count = fixture.machine.count;
    fixture.machine.count = 0;
    choose(&fixture, shipped("naive-rag", true), NULL, 0, &unknown);
    fixture.machine.count = count;
    assert_non_null(fixture.plan);
    assert_int_equal(fixture.report.count, 1);
    assert_non_null(strstr(chosen(&fixture)->failure, "there is no engine"));
    tl_choice_report_print(&fixture.report, &text);
    assert_non_null(strstr(text.data, "kept: paper, since nothing could be predicted"));
    tl_str_fini(&text);
    tear_down(&fixture);
}

/* More work takes longer; loads that are alike are equal. */
static void test_loads(void **state) {
    (void)state;
    const struct tl_choice_load small = {.text_tokens = 10, .documents = 1, .document_tokens = 900};
    const struct tl_choice_load alike = {.text_tokens = 9, .documents = 1, .document_tokens = 1100};
    const struct tl_choice_load large = {.text_tokens = 10, .documents = 1, .document_tokens = 9000};
    const struct tl_choice_load several = {.text_tokens = 10, .documents = 1, .document_tokens = 900, .runs = 3};
    const struct tl_choice_load huge = {1u << 31, 1u << 31, 1u << 31, 1u << 31};
    assert_int_equal(tl_choice_class_hash(&small), tl_choice_class_hash(&alike));
    assert_int_not_equal(tl_choice_class_hash(&small), tl_choice_class_hash(&large));
    assert_int_not_equal(tl_choice_class_hash(&small), tl_choice_class_hash(&several));
    assert_true(tl_choice_class(&huge).document_tokens < 1u << 16);
    struct tl_choice_load again = tl_choice_class(&huge), class = tl_choice_class(&again);
    assert_memory_equal(&again, &class, sizeof class);
    struct fixture fixture;
    set_up(&fixture, NULL);
    choose(&fixture, shipped("naive-rag", false), NULL, 0, &small);
    double ms = chosen(&fixture)->ms;
    choose(&fixture, shipped("naive-rag", false), NULL, 0, &large);
    assert_true(chosen(&fixture)->ms > 1.2 * ms);
    choose(&fixture, shipped("naive-rag", false), NULL, 0, &several);
    assert_true(chosen(&fixture)->ms > 1.2 * ms);
    tear_down(&fixture);
}

/* ms that the naive query is predicted to take over a collection of an emulated store with such a setting. */
static double predicted_for(const char *setting) {
    struct fixture fixture;
    struct tl_str text = TL_STR_INIT;
    static const char *const roles[] = {"llm", "embedder"};
    tl_str_puts(&text, "engines:\n");
    for (size_t i = 0; i < 2; i++)
        tl_str_printf(&text, "  %s: {type: emulated, device: %s}\n", roles[i], roles[i]);
    tl_str_printf(&text, "  store: {type: emulated, device: store, %s}\n", setting);
    set_up_configuration(&fixture, &(struct tl_config_options){.path = "", .text = text.data, .no_environment = true});
    choose(&fixture, shipped("naive-rag", true), NULL, 0, &unknown);
    double ms = chosen(&fixture)->ms;
    tear_down(&fixture);
    tl_str_fini(&text);
    return ms;
}

/* What is found is as long as the engine will make it, and no more is found than it has. */
static void test_passages(void **state) {
    (void)state;
    const double usual = predicted_for("collection_words: 64"), ms_of_token = 0.24;
    double longer = predicted_for("collection_words: 164"), fewer = predicted_for("collection_chunks: 1");
    assert_true(predicted_for("collection_chunks: 64") == usual); /* both are as without a setting */
    assert_true(longer - usual >= 100 * ms_of_token && longer - usual <= 300 * ms_of_token);
    assert_true(fewer < usual - 64 * ms_of_token);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_processor), cmocka_unit_test(test_cards),      cmocka_unit_test(test_equal_choices),
        cmocka_unit_test(test_left_out),      cmocka_unit_test(test_same_plans), cmocka_unit_test(test_no_prediction),
        cmocka_unit_test(test_loads),         cmocka_unit_test(test_passages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

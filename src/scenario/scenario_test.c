/* scenario_test.c: scenarios as they are written: what is refused and how it is said, what each fault and limit does to
 * runs, that results repeat. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "scenario/result.h"
#include "scenario/scenario_impl.h"

#define CLUSTER                                                                     \
    "engines:\n"                                                                    \
    "  embedder: {type: emulated, serves: [embed], device: [gpu0, gpu1]}\n"         \
    "  store: {type: emulated, serves: [store], device: store}\n"                   \
    "  llm: {type: emulated, serves: [llm], device: [gpu2, gpu3]}\n"                \
    "profile: none\n"
#define LOAD "load:\n  - {graph: bench/emulated/naive.graph, rate: 0.5, chunks: {count: 4, tokens: 64}"

static struct tl_scenario *read_text(const char *text, struct tl_str *said) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "");
    struct tl_scenario *scenario =
        tl_scenario_read(&(struct tl_scenario_options){.path = "x.yaml", .text = text}, &findings);
    tl_diagnostics_print(&findings, said);
    tl_diagnostics_fini(&findings);
    return scenario;
}

/* ---- what is refused ---- */

/* A message without its last line break is the beginning of what is said. */
static void refuses(const char *text, const char *message) {
    struct tl_str said = TL_STR_INIT;
    struct tl_scenario *scenario = read_text(text, &said);
    assert_null(scenario);
    if (!tl_str_starts_with(said.data, message) || (tl_str_ends_with(message, "\n") && strcmp(said.data, message) != 0))
        fail_msg("said:\n%s\nexpected:\n%s", said.data, message);
    tl_str_fini(&said);
}

static void wrong_scenarios_are_refused_at_their_place(void **state) {
    (void)state;
    refuses("[]", "x.yaml:1:1: error: a scenario is a mapping with 'load' and 'config' or 'engines'\n");
    refuses("seed: 1\n", "x.yaml:1:1: error: a scenario needs 'load', a list of what arrives\n"
                         "x.yaml:1:1: error: a scenario needs 'config', the file of a configuration, or 'engines'\n");
    refuses(CLUSTER LOAD "}\nduraton: 5s\n",
            "x.yaml:8:1: error: a scenario has no 'duraton'; did you mean 'duration'?\n");
    refuses(CLUSTER LOAD ", rat: 3}\n", "x.yaml:7:84: error: a load has no 'rat'; did you mean 'rate'?\n");
    refuses(CLUSTER LOAD "}\nwarmup: soon\n",
            "x.yaml:8:9: error: 'warmup': expected a time such as 500ms, 30s or 5m, found the text \"soon\"\n");
    refuses(CLUSTER LOAD "}\nruns: 0\n",
            "x.yaml:8:7: error: 'runs': expected a whole number from 1 to 100000000, found 0\n");
    refuses(CLUSTER LOAD "}\nruns: 5\nduration: 5s\n",
            "x.yaml:8:7: error: 'duration' and 'runs' both say when arrivals end: give one of them\n");
    refuses(CLUSTER LOAD "}\nwarmup: 10m\n", "x.yaml:8:9: error: 'warmup' must end before 'duration' does\n");
    refuses(CLUSTER "load: [{rate: 1}]\n",
            "x.yaml:6:8: error: a load needs 'workflow', a name or path, or 'graph', a path\n");
    refuses(CLUSTER "load: [{graph: bench/emulated/naive.graph}]\n",
            "x.yaml:6:8: error: a load needs 'rate', queries a second\n");
    refuses(CLUSTER LOAD ", arrivals: gamma}\n",
            "x.yaml:7:94: error: 'arrivals: gamma' needs 'variation', such as 2\n");
    refuses(CLUSTER LOAD ", arrivals: sometimes}\n",
            "x.yaml:7:94: error: 'arrivals': expected poisson, gamma, even or {trace: FILE}, found the text "
            "\"sometimes\"\n");
    refuses(CLUSTER LOAD ", passes: [-shear]}\n",
            "x.yaml:7:93: error: \"-shear\" is no pass: write \"-name\" or \"+name\"");
    refuses("config: none.yaml\n" CLUSTER LOAD "}\n",
            "x.yaml:3:3: error: engines are given twice: here, and by the configuration 'none.yaml'\n");
    refuses(CLUSTER LOAD "}\nseed: 1\npolicy: fastest\n",
            "x.yaml:9:9: error: there is no policy 'fastest'; there are critical_path, "
            "fifo, topology, throughput, per_invocation\n");
}

static void wrong_faults_are_refused_at_their_place(void **state) {
    (void)state;
    refuses(CLUSTER LOAD "}\nfaults: [{engine: embeder, fail: 0.1}]\n",
            "x.yaml:8:19: error: there is no engine 'embeder'; did you mean 'embedder'?\n");
    refuses(CLUSTER LOAD "}\nfaults: [{engine: llm, instance: 2, fail: 0.1}]\n",
            "x.yaml:8:34: error: engine 'llm' has instances 0 to 1, not 2\n");
    refuses(CLUSTER LOAD "}\nfaults: [{engine: llm, fail: 0.1, slow: 2}]\n",
            "x.yaml:8:10: error: a fault is of one kind, not 'fail' and 'slow'\n");
    refuses(CLUSTER LOAD "}\nfaults: [{engine: llm, fail: 2}]\n",
            "x.yaml:8:30: error: 'fail': expected a number from 0 to 1, found 2\n");
    refuses(CLUSTER LOAD "}\nfaults: [{engine: llm, lost: 5s, back: 4s}]\n",
            "x.yaml:8:10: error: 'back' must come after 'lost'\n");
    refuses(CLUSTER LOAD "}\nfaults: [{engine: llm}]\n",
            "x.yaml:8:10: error: a fault needs one of 'fail', 'hang', 'slow', 'lost'\n");
}

/* ---- running ---- */

static struct tl_scenario *scenario_of(const char *rest) {
    struct tl_str text = TL_STR_INIT, said = TL_STR_INIT;
    tl_str_puts(&text, CLUSTER);
    tl_str_puts(&text, rest);
    struct tl_scenario *scenario = read_text(text.data, &said);
    if (!scenario)
        fail_msg("%s", said.data);
    tl_str_fini(&text);
    tl_str_fini(&said);
    return scenario;
}

static struct tl_scenario_result *result_of(const struct tl_scenario *scenario) {
    struct tl_scenario_result *result = NULL;
    struct tl_error error;
    if (tl_scenario_run(scenario, NULL, &result, &error) != TL_OK)
        fail_msg("%s", error.message);
    uint64_t ended = 0;
    for (size_t i = 0; i < ENDINGS; i++)
        ended += result->all.endings[i];
    assert_int_equal(ended, result->all.arrived);
    return result;
}

/* How 20 runs end with such an addition to the load and such lines below. */
struct outcome {
    uint64_t endings[ENDINGS];
    double mean, end;
    char failure[200];
};

static struct outcome outcome_of(const char *load, const char *lines) {
    struct tl_str text = TL_STR_INIT;
    struct outcome outcome = {0};
    tl_str_printf(&text, LOAD ", arrivals: even%s}\nruns: 20\n%s\n", load, lines);
    struct tl_scenario *scenario = scenario_of(text.data);
    struct tl_scenario_result *result = result_of(scenario);
    memcpy(outcome.endings, result->all.endings, sizeof outcome.endings);
    outcome.mean = tl_numbers_mean(&result->all.latencies);
    outcome.end = (double)result->end / 1e9;
    snprintf(outcome.failure, sizeof outcome.failure, "%s", result->all.failure ? result->all.failure : "");
    tl_scenario_result_destroy(result);
    tl_scenario_destroy(scenario);
    tl_str_fini(&text);
    return outcome;
}

static void faults_end_as_they_should(void **state) {
    (void)state;
    struct outcome usual = outcome_of("", "");
    assert_int_equal(usual.endings[DONE], 20);
    struct outcome failing = outcome_of("", "faults: [{engine: embedder, fail: 1}]\nretries: 0");
    assert_int_equal(failing.endings[FAILED], 20);
    assert_non_null(strstr(failing.failure, "an injected failure"));
    struct outcome one_fails = outcome_of("", "faults: [{engine: embedder, instance: 0, fail: 1}]\nretries: 3");
    assert_int_equal(one_fails.endings[DONE], 20); /* the other instance did it */
    struct outcome hanging = outcome_of(", timeout: 5s", "faults: [{engine: embedder, hang: 1, for: 10s}]");
    assert_int_equal(hanging.endings[EXPIRED], 20);
    struct outcome hung = outcome_of("", "faults: [{engine: embedder, hang: 1, for: 10s, to: 1s}]");
    assert_int_equal(hung.endings[DONE], 20);
    assert_true(hung.mean > usual.mean);
#define HANGS "faults: [{engine: embedder, instance: 0, hang: 1, for: 10m, to: 20s}]\n"
    struct outcome waited = outcome_of("", HANGS "hang_after: none"), watched = outcome_of("", HANGS "hang_after: 2s");
#undef HANGS
    assert_int_equal(watched.endings[DONE], 20); /* given up, and the other instance did it */
    assert_true(watched.mean < waited.mean / 5);
    struct outcome slow = outcome_of("", "faults: [{engine: llm, slow: 4, from: 1s}]");
    assert_int_equal(slow.endings[DONE], 20);
    assert_true(slow.mean > 2 * usual.mean);
    struct outcome lost = outcome_of("", "faults: [{engine: embedder, lost: 10s}]");
    assert_true(lost.endings[FAILED] > 0 && lost.endings[DONE] > 0);
    assert_int_equal(lost.endings[FAILED] + lost.endings[DONE], 20);
    struct outcome one_lost = outcome_of("", "faults: [{engine: embedder, instance: 1, lost: 10s, back: 20s}]");
    assert_int_equal(one_lost.endings[DONE], 20);
}

static void clients_leave_and_limits_refuse(void **state) {
    (void)state;
    struct outcome left = outcome_of(", leave: {share: 1, after: 200ms}", "");
    assert_int_equal(left.endings[CANCELLED], 20);
    struct outcome some = outcome_of(", leave: {share: 0.5, after: 200ms}", "");
    assert_in_range(some.endings[CANCELLED], 4, 16);
    assert_int_equal(some.endings[CANCELLED] + some.endings[DONE], 20);
    struct outcome late = outcome_of(", timeout: 500ms", "");
    assert_int_equal(late.endings[EXPIRED], 20);
    struct outcome refused = outcome_of("", "limits: {runs: 1}\nfaults: [{engine: llm, slow: 20}]");
    assert_true(refused.endings[REFUSED] > 5 && refused.endings[DONE] > 0);
}

static char *json_of(uint64_t seed) {
    struct tl_scenario *scenario = scenario_of(
        LOAD ", goal: 2s}\n  - {graph: bench/emulated/naive.graph, rate: 0.5, arrivals: gamma, variation: 2}\n"
             "duration: 60s\nwarmup: 5s\njitter: 0.1\nfaults: [{engine: llm, fail: 0.02}, {engine: embedder, hang: "
             "0.01}]\n");
    scenario->seed = seed;
    struct tl_scenario_result *result = result_of(scenario);
    json_t *json = tl_scenario_to_json(result);
    assert_non_null(json_object_get(json, "speed"));
    json_object_del(json, "speed");
    char *text = json_dumps(json, JSON_INDENT(1) | JSON_SORT_KEYS);
    json_decref(json);
    tl_scenario_result_destroy(result);
    tl_scenario_destroy(scenario);
    return text;
}

static void results_repeat(void **state) {
    (void)state;
    char *first = json_of(7), *again = json_of(7), *other = json_of(8);
    assert_string_equal(first, again);
    assert_string_not_equal(first, other);
    free(first);
    free(again);
    free(other);
}

static void arrivals_follow_a_trace(void **state) {
    (void)state;
    char path[] = "/tmp/teola-trace-XXXXXX";
    struct tl_str text = TL_STR_INIT, said = TL_STR_INIT;
    int file = mkstemp(path);
    assert_true(file >= 0);
    static const char times[] = "# seconds\n0.5\n\n2   # two at once\n2.0\n30\n";
    assert_int_equal(write(file, times, sizeof times - 1), (ssize_t)sizeof times - 1);
    tl_str_printf(&text, "load:\n  - {graph: bench/emulated/naive.graph, arrivals: {trace: %s}}\nduration: 10s\n",
                  path);
    struct tl_scenario *scenario = scenario_of(text.data);
    assert_int_equal(scenario->loads[0].arrivals.count, 4);
    struct tl_scenario_result *result = result_of(scenario);
    assert_int_equal(result->all.arrived, 3); /* within the duration */
    assert_true(result->all.arrivals.items[0] == 0.5);
    assert_int_equal(tl_scenario_set_rate(scenario, 1, NULL), TL_ERR_USAGE);
    tl_scenario_result_destroy(result);
    tl_scenario_destroy(scenario);

    assert_int_equal(pwrite(file, "# seconds\n5.5", 13, 0), 13);
    tl_str_clear(&text);
    tl_str_printf(&text, CLUSTER "load: [{graph: bench/emulated/naive.graph, arrivals: {trace: %s}}]\n", path);
    assert_null(read_text(text.data, &said));
    assert_non_null(strstr(said.data, ":4: 2 is before the arrival in the line above"));
    close(file);
    unlink(path);
    tl_str_fini(&text);
    tl_str_fini(&said);
}

static void rates_keep_their_proportions(void **state) {
    (void)state;
    struct tl_scenario *scenario = scenario_of(LOAD "}\n  - {graph: bench/emulated/naive.graph, rate: 1.5}\n");
    assert_int_equal(tl_scenario_set_rate(scenario, 4, NULL), TL_OK);
    assert_true(fabs(scenario->loads[0].arrivals.rate - 1) < 1e-9 && fabs(scenario->loads[1].arrivals.rate - 3) < 1e-9);
    assert_int_equal(tl_scenario_add_pass(scenario, "-shear", NULL), TL_ERR_USAGE);
    assert_int_equal(tl_scenario_add_pass(scenario, "-share", NULL), TL_OK);
    assert_string_equal(scenario->loads[1].passes[0], "-share");
    tl_scenario_destroy(scenario);
}

/* What is counted: little before, nothing of the warm-up. */
static void figures_add_up(void **state) {
    (void)state;
    struct tl_scenario *scenario = scenario_of(LOAD ", arrivals: even, goal: 1h}\nduration: 100s\nwarmup: 20s\n");
    struct tl_scenario_result *result = result_of(scenario);
    assert_int_equal(result->all.arrived, 40); /* 0.5 a second for 80 s */
    assert_int_equal(result->all.within_goal, 40);
    assert_true(tl_result_seconds(result) == 80);
    for (size_t i = 0; i < result->instance_count; i++)
        assert_true(result->instances[i].busy <= 80e9);
    /* As many in flight as arrive a second times how long they stay. */
    double in_flight = result->in_flight / 80e9, expected = 0.5 * tl_numbers_mean(&result->all.latencies);
    assert_true(fabs(in_flight / expected - 1) < 0.05);
    struct tl_str page = TL_STR_INIT;
    tl_scenario_put_html(result, &page);
    assert_true(tl_str_starts_with(page.data, "<!DOCTYPE html>") && tl_str_ends_with(page.data, "</html>\n"));
    assert_null(strstr(page.data, "http:"));
    assert_null(strstr(page.data, "https:"));
    assert_null(strstr(page.data, "nan"));
    tl_str_fini(&page);
    tl_scenario_result_destroy(result);
    tl_scenario_destroy(scenario);
}

static void what_cannot_be_simulated_is_said(void **state) {
    (void)state;
    struct tl_str said = TL_STR_INIT;
    struct tl_error error;
    struct tl_scenario_result *result;
    struct tl_scenario *scenario =
        read_text("engines:\n  embedder: {type: emulated}\nprofile: none\n" LOAD "}\n", &said);
    assert_non_null(scenario);
    assert_int_equal(tl_scenario_run(scenario, NULL, &result, &error), TL_ERR_INVALID);
    assert_string_equal(error.message,
                        "x.yaml: engine 'store' of type sqlite cannot be simulated: nothing was measured "
                        "of it (teola profile measures); or give it 'type: emulated'");
    tl_scenario_destroy(scenario);
    tl_str_fini(&said);
}

/* The mean latency when embedding is measured to take `ms` a call. */
static double mean_when_measured(const char *path, double ms) {
    struct tl_str text = TL_STR_INIT, said = TL_STR_INIT;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fprintf(
        file,
        "{\"version\": 1, \"engines\": {\"embedder\": {\"type\": \"embed\", \"device\": \"cpu\", \"model_digest\": "
        "\"abc\", \"threads\": 2, \"written\": \"2026-01-02T03:04:05Z\", \"settings\": {}, \"kinds\": {\"embed\": "
        "{\"fit\": {\"base\": %g, \"unit\": 0, \"token\": 0}, \"limit\": 64, \"samples\": 40, \"median_error\": 0.05, "
        "\"points\": []}}}}}",
        ms);
    fclose(file);
    tl_str_printf(&text,
                  "engines:\n  embedder: {type: embed, model: /none.gguf}\n  store: {type: emulated, serves: [store]}\n"
                  "  llm: {type: emulated, serves: [llm], device: gpu}\nprofile: %s\n" LOAD ", arrivals: even}\n"
                  "runs: 3\nmemo_bytes: 0\n",
                  path);
    struct tl_scenario *scenario = read_text(text.data, &said);
    if (!scenario)
        fail_msg("%s", said.data);
    scenario->loads[0].arrivals.rate = 0.01;
    struct tl_scenario_result *result = result_of(scenario);
    assert_int_equal(result->all.endings[DONE], 3);
    double mean = tl_numbers_mean(&result->all.latencies);
    tl_scenario_result_destroy(result);
    tl_scenario_destroy(scenario);
    tl_str_fini(&text);
    tl_str_fini(&said);
    return mean;
}

static void measured_engines_take_what_was_measured(void **state) {
    (void)state;
    char path[] = "/tmp/teola-profile-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    /* The chunks' call is 1 s longer; the question's may go on beside it or after it. */
    double longer = mean_when_measured(path, 4000) - mean_when_measured(path, 3000);
    unlink(path);
    assert_true(longer > 0.99 && longer < 2.01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_scenarios_are_refused_at_their_place),
        cmocka_unit_test(wrong_faults_are_refused_at_their_place),
        cmocka_unit_test(faults_end_as_they_should),
        cmocka_unit_test(clients_leave_and_limits_refuse),
        cmocka_unit_test(results_repeat),
        cmocka_unit_test(arrivals_follow_a_trace),
        cmocka_unit_test(rates_keep_their_proportions),
        cmocka_unit_test(figures_add_up),
        cmocka_unit_test(what_cannot_be_simulated_is_said),
        cmocka_unit_test(measured_engines_take_what_was_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

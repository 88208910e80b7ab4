/* cmd_sim_test.c: the command as a user meets it: output, exit statuses, messages. Runs the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/cli_test_support.h"

static struct tl_str output = TL_STR_INIT;

/* Runs `teola sim ARGUMENTS`; what it prints (both streams) is in `output`. Returns its exit status. */
static int run(const char *arguments) {
    return tl_cli_test_command("sim", arguments, &output);
}

static void ends_with(int status, const char *arguments, const char *words) {
    int found = run(arguments);
    if (found != status || !strstr(output.data, words))
        fail_msg("sim %s: status %d, \"%s\"; expected %d and \"%s\"", arguments, found, output.data, status, words);
}

static void wrong_use_is_said(void **state) {
    (void)state;
    ends_with(2, "", "which scenario?");
    ends_with(2, "a b", "one scenario at a time");
    ends_with(2, "profiles/none.yaml", "No such file or directory");
    ends_with(2, "profiles/rtx3090.yaml", "a scenario needs 'load'");
    ends_with(2, "profiles/rtx3090-load.yaml --policy fastest",
              "there is no policy 'fastest'; there are: critical_path");
    ends_with(2, "profiles/rtx3090-load.yaml --optimize much", "--optimize is off, paper or cost, not 'much'");
    ends_with(2, "profiles/rtx3090-load.yaml --rate 0", "--rate '0': expected queries a second");
    ends_with(2, "profiles/rtx3090-load.yaml --seed x", "--seed 'x': expected a whole number");
    ends_with(2, "profiles/rtx3090-load.yaml --runs 0", "--runs '0': expected a whole number above 0");
    ends_with(2, "profiles/rtx3090-load.yaml --runs 9 --duration 90s", "both say when arrivals end");
    ends_with(2, "profiles/rtx3090-load.yaml --pass=-shear", "\"-shear\" is no pass");
    ends_with(2, "profiles/rtx3090-load.yaml --duration 30s", "ends before the scenario's warm-up of 60 s does");
    ends_with(2, "profiles/rtx3090-load.yaml --limit soon", "--limit 'soon': expected a time");
    ends_with(2, "profiles/rtx3090-load.yaml --format xml", "--format is text or json");
    ends_with(2, "profiles/rtx3090-load.yaml --formt xml", "did you mean --format?");
    ends_with(1, "profiles/rtx3090-load.yaml --duration 61s --html /none/x.html", "/none/x.html");
    ends_with(0, "--help", "Usage: teola sim SCENARIO.yaml");
}

static json_t *result_of(const char *arguments) {
    json_error_t where;
    assert_int_equal(run(arguments), 0);
    json_t *json = json_loads(output.data, 0, &where);
    if (!json)
        fail_msg("%s: %s", where.text, output.data);
    json_object_del(json, "speed");
    return json;
}

static double mean_of(const json_t *json) {
    return json_number_value(json_object_get(json_object_get(json_object_get(json, "all"), "latency_s"), "mean"));
}

static void the_same_command_gives_the_same_result(void **state) {
    (void)state;
    const char *command = "profiles/rtx3090-load.yaml --duration 100s --format json";
    json_t *first = result_of(command), *again = result_of(command);
    json_t *other = result_of("profiles/rtx3090-load.yaml --duration 100s --format json --seed 2");
    assert_true(json_equal(first, again));
    assert_false(json_equal(first, other));
    json_decref(first);
    json_decref(again);
    json_decref(other);
}

static void options_have_their_effect(void **state) {
    (void)state;
    json_t *usual = result_of("profiles/rtx3090-load.yaml --duration 200s --format json");
    json_t *baseline = result_of("profiles/rtx3090-load.yaml --duration 200s --format json --optimize off --policy "
                                 "per_invocation --limit 5s");
    json_t *loaded = result_of("profiles/rtx3090-load.yaml --duration 200s --format json --rate 0.6");
    assert_true(mean_of(baseline) > mean_of(usual));
    assert_true(mean_of(loaded) > mean_of(usual));
    assert_string_equal(json_string_value(json_object_get(baseline, "policy")), "per_invocation");
    assert_true(json_number_value(json_object_get(json_object_get(baseline, "all"), "goal_s")) == 5);
    json_decref(usual);
    json_decref(baseline);
    json_decref(loaded);
}

static void the_page_is_written(void **state) {
    (void)state;
    char path[] = "/tmp/teola-sim-XXXXXX", command[200];
    struct tl_str page = TL_STR_INIT;
    struct tl_error error;
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    snprintf(command, sizeof command, "profiles/rtx3090-load.yaml --duration 80s --html %s", path);
    ends_with(0, command, "advanced-rag");
    assert_int_equal(tl_file_read(path, 16 << 20, &page, &error), TL_OK);
    assert_non_null(strstr(page.data, "Gantt chart"));
    tl_str_fini(&page);
    unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_use_is_said),
        cmocka_unit_test(the_same_command_gives_the_same_result),
        cmocka_unit_test(options_have_their_effect),
        cmocka_unit_test(the_page_is_written),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tl_str_fini(&output);
    return failed;
}

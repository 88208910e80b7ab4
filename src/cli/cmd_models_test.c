/* cmd_models_test.c: the command as a user meets it: output, exit statuses, messages. Runs the program. */
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

#include "base/file_test_support.h"
#include "cli/cli_test_support.h"

static struct tl_str output = TL_STR_INIT;

/* Runs `teola models ARGUMENTS`; what it prints (both streams) is in `output`. Returns its exit status. */
static int run(const char *arguments) {
    return tl_cli_test_command("models", arguments, &output);
}

static bool says(const char *text) {
    return strstr(output.data, text) != NULL;
}

static void wrong_use(void **state) {
    (void)state;
    static const char *const wrong[] = {"",       "frobnicate",        "pull",       "path", "path a b",
                                        "list x", "list --format xml", "list --what"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(run(wrong[i]), 2);
        assert_true(says("--help"));
    }
    assert_int_equal(run("--help"), 0);
    assert_true(says("Usage: teola models list"));
}

static void list(void **state) {
    (void)state;
    assert_int_equal(run("list"), 0);
    assert_true(says("all-minilm-l6-v2-f16"));
    assert_true(says("Apache-2.0"));
    assert_int_equal(run("list --format json"), 0);
    json_t *all = json_loadb(output.data, output.length, 0, NULL), *model;
    size_t index, ready = 0;
    assert_true(json_is_array(all));
    json_array_foreach(all, index, model) {
        const char *state_name = json_string_value(json_object_get(model, "state"));
        if (strcmp(state_name, "ready") == 0)
            ready++;
        assert_non_null(json_string_value(json_object_get(model, "licence")));
    }
    assert_true(ready >= 2);
    json_decref(all);
}

static void path_and_verify(void **state) {
    (void)state;
    assert_int_equal(run("path all-minilm-l6-v2-f16"), 0);
    assert_true(says("/all-minilm-l6-v2-f16.gguf\n"));
    assert_int_equal(run("verify all-minilm-l6-v2-f16"), 0);
    assert_string_equal(output.data, "all-minilm-l6-v2-f16: right\n");
    assert_int_equal(run("path all-minilm"), 1);
    assert_true(says("no model is named \"all-minilm\""));
    assert_int_equal(run("verify --format json all-minilm-l6-v2-f16 nothing"), 1);
    json_t *all = json_loadb(output.data, output.length, 0, NULL);
    assert_int_equal(json_array_size(all), 2);
    assert_true(json_is_true(json_object_get(json_array_get(all, 0), "right")));
    assert_true(json_is_false(json_object_get(json_array_get(all, 1), "right")));
    json_decref(all);
}

static void pull_of_what_is_here(void **state) {
    (void)state;
    assert_int_equal(run("pull all-minilm-l6-v2-f16"), 0);
    assert_string_equal(output.data, "all-minilm-l6-v2-f16: was ready\n");
    assert_int_equal(run("pull --quiet all-minilm-l6-v2-f16"), 0);
    assert_string_equal(output.data, "");
    assert_int_equal(run("pull hf:noslash"), 2);
    assert_int_equal(run("pull nothing"), 1);
}

/* A folder of its own, with the one model that needs no record. */
static void tune(void **state) {
    (void)state;
    char folder[] = "/tmp/teola-tune-XXXXXX", from[1024], to[1024], options[512];
    const char *models = getenv("TEOLA_TEST_MODELS"), *name = "smollm2-135m-instruct-q4_1";
    assert_non_null(mkdtemp(folder));
    snprintf(from, sizeof from, "%s/%s.gguf", models, name);
    snprintf(to, sizeof to, "%s/%s.gguf", folder, name);
    assert_int_equal(symlink(from, to), 0);
    setenv("TEOLA_MODELS", folder, 1);
    assert_int_equal(run("tune --formats q9 smollm2-135m-instruct-q4_1"), 2);
    assert_true(says("the weight format \"q9\" is unknown, expected one of f16, "));

    /* Whatever is measured: at most a 1000 percent loss lets all be chosen, none only what is not worse. */
    snprintf(options, sizeof options,
             "tune --formats q8_0 --rounds 1 --threads 1 --max-loss 1000%% --format json -q %s", name);
    assert_int_equal(run(options), 0);
    json_t *report = json_loadb(output.data, output.length, 0, NULL);
    const json_t *formats = json_object_get(report, "formats");
    assert_int_equal(json_array_size(formats), 2);
    assert_true(json_is_true(json_object_get(json_array_get(formats, 0), "as_is")));
    for (size_t i = 0; i < 2; i++) {
        assert_true(json_number_value(json_object_get(json_array_get(formats, i), "perplexity")) > 1);
        assert_true(json_number_value(json_object_get(json_array_get(formats, i), "prefill")) > 0);
    }
    bool tuned = json_is_true(json_object_get(report, "tuned"));
    assert_string_equal(json_string_value(json_object_get(report, "used")), tuned ? "q8_0" : "q4_1");
    json_decref(report);
    assert_int_equal(run("path smollm2-135m-instruct-q4_1"), 0);
    assert_int_equal(says(".tuned.gguf"), tuned);

    /* The same again is not measured again; going back removes what was made. */
    assert_int_equal(run(options), 0);
    assert_true(says("\"measured_before\": true"));
    assert_int_equal(run("tune --undo smollm2-135m-instruct-q4_1"), 0);
    assert_true(says(tuned ? "as it is again" : "was used as it is"));
    assert_int_equal(run("path smollm2-135m-instruct-q4_1"), 0);
    assert_false(says(".tuned.gguf"));
    snprintf(to, sizeof to, "%s/.work-%s.tuned", folder, name);
    assert_int_equal(access(to, F_OK), -1);
    assert_int_equal(tl_file_test_remove(folder), 0);
    setenv("TEOLA_MODELS", models, 1);
}

static int set_up(void **state) {
    (void)state;
    const char *models = getenv("TEOLA_TEST_MODELS");
    unsetenv("TEOLA_MODELS_MANIFEST");
    setenv("TEOLA_OFFLINE", "1", 1); /* nothing here may fetch */
    return models == NULL || setenv("TEOLA_MODELS", models, 1);
}

static int tear_down(void **state) {
    (void)state;
    tl_str_fini(&output);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_use),
        cmocka_unit_test(list),
        cmocka_unit_test(path_and_verify),
        cmocka_unit_test(pull_of_what_is_here),
        cmocka_unit_test(tune),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

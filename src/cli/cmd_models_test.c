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
#include <sys/wait.h>

#include "base/str.h"

static struct tl_str output = TL_STR_INIT;

/* Runs `teola models ARGUMENTS`; what it prints (both streams) is in `output`. Returns its exit status. */
static int run(const char *arguments) {
    const char *program = getenv("TEOLA_PROGRAM");
    struct tl_str line = TL_STR_INIT;
    char buffer[4096];
    assert_non_null(program);
    tl_str_printf(&line, "'%s' models %s 2>&1", program, arguments);
    FILE *pipe = popen(line.data, "r");
    assert_non_null(pipe);
    tl_str_clear(&output);
    for (size_t got; (got = fread(buffer, 1, sizeof buffer, pipe)) > 0;)
        tl_str_append(&output, buffer, got);
    int result = pclose(pipe);
    tl_str_fini(&line);
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
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
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* cmd_models_test.c: the command as a user meets it: output, exit statuses, messages. Runs the program. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/str.h"

extern char **environ;

static struct tl_str output = TL_STR_INIT;

/* Runs `teola models ARGUMENTS` (words between spaces); what it prints (both streams) is in `output`.
 * Returns its exit status. */
static int run(const char *arguments) {
    char *program = getenv("TEOLA_PROGRAM"), name[] = "models", words[256], buffer[4096];
    char *argv[16] = {program, name};
    int ends[2], result;
    pid_t child;
    assert_non_null(program);
    snprintf(words, sizeof words, "%s", arguments);
    size_t count = 2;
    for (char *word = words; *word != '\0' && count < 15; count++) {
        argv[count] = word;
        word += strcspn(word, " ");
        if (*word == ' ')
            *word++ = '\0';
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    assert_int_equal(posix_spawn(&child, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    tl_str_clear(&output);
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
        tl_str_append(&output, buffer, (size_t)got);
    close(ends[0]);
    assert_int_equal(waitpid(child, &result, 0), child);
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

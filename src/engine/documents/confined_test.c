/* confined_test.c: what a confined program can and cannot do, shown with ordinary programs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/documents/confined.h"

static enum tl_status run(const char *program, const char *const *argv, const char *input, size_t input_length,
                          unsigned seconds, struct tl_confined_result *result, struct tl_error *error) {
    struct tl_confined confined = {program, argv, input, input_length, seconds, (size_t)256 << 20, 1 << 20};
    return tl_confined_run(&confined, result, error);
}

static void run_shell(const char *script, struct tl_confined_result *result) {
    const char *const argv[] = {"sh", "-c", script, NULL};
    struct tl_error error = {TL_OK, ""};
    if (run("/bin/sh", argv, "", 0, 20, result, &error) != TL_OK)
        fail_msg("%s", error.message);
}

static void test_input_and_output(void **state) {
    (void)state;
    static const char *const argv[] = {"cat", NULL};
    char input[300000];
    for (size_t i = 0; i < sizeof input; i++)
        input[i] = (char)i;
    struct tl_confined_result result;
    assert_int_equal(run("/bin/cat", argv, input, sizeof input, 20, &result, NULL), TL_OK);
    assert_int_equal(result.exit_code, 0);
    assert_int_equal(result.length, sizeof input);
    assert_memory_equal(result.output, input, sizeof input);
    free(result.output);
}

static void test_empty_environment(void **state) {
    (void)state;
    static const char *const argv[] = {"env", NULL};
    struct tl_confined_result result;
    assert_int_equal(run("/usr/bin/env", argv, "", 0, 20, &result, NULL), TL_OK);
    assert_string_equal(result.output, "LANG=C.UTF-8\n");
    free(result.output);
}

static void test_no_files(void **state) {
    (void)state;
    struct tl_confined_result result;
    assert_int_equal(dup2(0, 40), 40); /* open in this process, and not to be closed by exec */
    run_shell("[ -e /proc/$$/fd/40 ] && echo leaked; pwd; ulimit -c", &result);
    assert_string_equal(result.output, "/\n0\n");
    free(result.output);
    close(40);

    char path[] = "/tmp/teola-confined-XXXXXX", script[64];
    int file = mkstemp(path);
    assert_true(file >= 0);
    snprintf(script, sizeof script, "echo text > %s", path);
    run_shell(script, &result);
    assert_int_equal(lseek(file, 0, SEEK_END), 0);
    assert_int_equal(result.exit_code, -1);
    free(result.output);
    unlink(path);
    close(file);
}

static void test_exit_and_complaint(void **state) {
    (void)state;
    struct tl_confined_result result;
    run_shell("echo what is wrong >&2; exit 3", &result);
    assert_int_equal(result.exit_code, 3);
    assert_string_equal(result.complaint, "what is wrong\n");
    assert_int_equal(result.length, 0);
    free(result.output);
    run_shell("kill -SEGV $$", &result);
    assert_int_equal(result.exit_code, -1);
    free(result.output);
    run_shell("i=0; while [ $i -lt 5000 ]; do echo a long complaint that never ends >&2; i=$((i+1)); done; echo out",
              &result);
    assert_string_equal(result.output, "out\n");
    assert_int_equal(strlen(result.complaint), sizeof result.complaint - 1);
    free(result.output);
}

static void test_endless_output(void **state) {
    (void)state;
    static const char *const argv[] = {"yes", NULL};
    struct tl_confined_result result;
    struct tl_error error;
    assert_int_equal(run("/usr/bin/yes", argv, "", 0, 60, &result, &error), TL_ERR_LIMIT);
    assert_string_equal(error.message, "holds more than 1048576 bytes of text");
    assert_null(result.output);
}

/* One that hangs, one that has closed its output and hangs, and one whose descendant holds the pipe. */
static void test_hanging(void **state) {
    (void)state;
    static const char *const scripts[] = {"sleep 1000", "exec >&- 2>&-; sleep 1000", "sleep 1000 & echo done"};
    for (size_t i = 0; i < 3; i++) {
        const char *const argv[] = {"sh", "-c", scripts[i], NULL};
        struct tl_confined_result result;
        struct tl_error error;
        assert_int_equal(run("/bin/sh", argv, "", 0, 1, &result, &error), TL_ERR_LIMIT);
        assert_string_equal(error.message, "took longer than 1 seconds");
    }
}

static void test_missing(void **state) {
    (void)state;
    static const char *const argv[] = {"x", NULL};
    struct tl_confined_result result;
    struct tl_error error;
    assert_int_equal(run("/nonexistent/program", argv, "", 0, 1, &result, &error), TL_ERR_NOT_FOUND);
    char path[256];
    assert_true(tl_confined_find("sh", path, sizeof path));
    assert_false(tl_confined_find("no-such-program", path, sizeof path));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input_and_output), cmocka_unit_test(test_empty_environment),
        cmocka_unit_test(test_no_files),         cmocka_unit_test(test_exit_and_complaint),
        cmocka_unit_test(test_endless_output),   cmocka_unit_test(test_hanging),
        cmocka_unit_test(test_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* log_test.c: a message is one line, whatever it quotes; the level rules. */
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

/* Logs with stderr turned into a pipe and returns what was written. */
static size_t capture(enum tl_log_level level, const char *text, char *out, size_t size) {
    int ends[2], keep = dup(STDERR_FILENO);
    assert_int_equal(pipe(ends), 0);
    assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
    tl_log(level, "%s", text);
    assert_true(dup2(keep, STDERR_FILENO) >= 0);
    close(keep);
    close(ends[1]);
    ssize_t got = read(ends[0], out, size - 1);
    close(ends[0]);
    assert_true(got >= 0);
    out[got] = '\0';
    return (size_t)got;
}

static void one_line(void **state) {
    (void)state;
    char out[256];
    capture(TL_LOG_WARN, "a\nb\033[2J", out, sizeof out);
    assert_string_equal(out, "teola: warning: a?b?[2J\n");
    assert_int_equal(capture(TL_LOG_INFO, "quiet", out, sizeof out), 0);
    tl_log_set_level(TL_LOG_DEBUG);
    assert_int_equal(tl_log_get_level(), TL_LOG_DEBUG);
    capture(TL_LOG_DEBUG, "loud", out, sizeof out);
    assert_string_equal(out, "teola: debug: loud\n");
    tl_log_set_level(TL_LOG_WARN);
}

static void the_clock_does_not_go_back(void **state) {
    (void)state;
    uint64_t last = tl_clock_now();
    assert_true(last > 0);
    for (int i = 0; i < 1000; i++) {
        uint64_t now = tl_clock_now();
        assert_true(now >= last);
        last = now;
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_line), cmocka_unit_test(the_clock_does_not_go_back)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

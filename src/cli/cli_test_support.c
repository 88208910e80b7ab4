/* cli_test_support.c: see cli_test_support.h. */
#include "cli/cli_test_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_WORDS = 48 };

extern char **environ;

int tl_cli_test_run(const char *const *words, enum tl_cli_test_streams streams, struct tl_str *output) {
    char *program = getenv("TEOLA_PROGRAM"), *argv[MOST_WORDS + 2] = {program}, buffer[4096];
    int ends[2], result;
    pid_t child;
    assert_non_null(program);
    for (size_t i = 0; words[i]; i++) {
        assert_true(i < MOST_WORDS);
        argv[1 + i] = (char *)words[i];
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    if (streams == TL_CLI_TEST_BOTH_STREAMS)
        posix_spawn_file_actions_adddup2(&actions, ends[1], STDERR_FILENO);
    assert_int_equal(posix_spawn(&child, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    tl_str_clear(output);
    for (ssize_t got; (got = read(ends[0], buffer, sizeof buffer)) > 0;)
        tl_str_append(output, buffer, (size_t)got);
    close(ends[0]);
    assert_int_equal(waitpid(child, &result, 0), child);
    assert_true(WIFEXITED(result));
    return WEXITSTATUS(result);
}

int tl_cli_test_command(const char *command, const char *arguments, struct tl_str *output) {
    const char *words[MOST_WORDS + 1] = {command};
    char text[512];
    assert_true((size_t)snprintf(text, sizeof text, "%s", arguments) < sizeof text);
    size_t count = 1;
    for (char *word = text; *word != '\0'; count++) {
        assert_true(count < MOST_WORDS);
        words[count] = word;
        word += strcspn(word, " ");
        if (*word == ' ')
            *word++ = '\0';
    }
    return tl_cli_test_run(words, TL_CLI_TEST_BOTH_STREAMS, output);
}

/* cli_test_support.h: runs the program as a user does, for the tests of commands. */
#ifndef TL_CLI_TEST_SUPPORT_H
#define TL_CLI_TEST_SUPPORT_H

#include "base/str.h"

enum tl_cli_test_streams { TL_CLI_TEST_OUTPUT, TL_CLI_TEST_BOTH_STREAMS };

/* Runs `teola WORDS...` (NULL ends them) with this process's environment, to its end. What it prints, to the standard
 * output or to both streams, is what `output` holds then. Returns its exit status. */
int tl_cli_test_run(const char *const *words, enum tl_cli_test_streams streams, struct tl_str *output);

/* The same for `teola COMMAND ARGUMENTS`, with one space between arguments, and both streams. */
int tl_cli_test_command(const char *command, const char *arguments, struct tl_str *output);

#endif

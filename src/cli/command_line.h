/* command_line.h: what the commands share: exit statuses, options, finding workflows, output. */
#ifndef TL_CLI_COMMAND_LINE_H
#define TL_CLI_COMMAND_LINE_H

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/str.h"
#include "runtime/runtime.h"
#include "teola/status.h"

enum { TL_EXIT_DONE = 0, TL_EXIT_FAILED = 1, TL_EXIT_USAGE = 2, TL_EXIT_INTERRUPTED = 130 };

/* Says what is wrong with the use of a command, and where its help is. Returns TL_EXIT_USAGE. */
int tl_cli_wrong_use(const char *command, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* After getopt_long gave '?' or ':' (with opterr = 0 and an option string that starts with ':'):
 * names the option that is not known, ambiguous or lacks its value, and the nearest known one.
 * Returns TL_EXIT_USAGE. */
int tl_cli_wrong_option(const char *command, int result, char **argv, const struct option *options);

/* Prints "teola COMMAND: MESSAGE"; returns the exit status that fits the error. */
int tl_cli_fail(const char *command, const struct tl_error *error);

/* A list of strings given by a repeated option; borrows the strings. */
struct tl_cli_list {
    const char **items;
    size_t count, capacity;
};
void tl_cli_list_add(struct tl_cli_list *list, const char *item);
void tl_cli_list_fini(struct tl_cli_list *list);

/* Appends the path of a workflow: a path as it is; a name is looked up in ./workflows, in the
 * user's configuration folder, and among those installed with the program.
 * TL_ERR_NOT_FOUND lists the names there are. */
enum tl_status tl_cli_find_workflow(const char *name_or_path, struct tl_str *path, struct tl_error *error);

/* Opens a runtime by --config and --set. */
enum tl_status tl_cli_open_runtime(const char *config, const struct tl_cli_list *settings, struct tl_runtime **runtime,
                                   struct tl_error *error);

/* Finds and loads a workflow; findings go to stderr. Returns TL_EXIT_DONE or the exit status. */
int tl_cli_load_workflow(const char *command, struct tl_runtime *runtime, const char *name_or_path, tl_workflow_id *id);

bool tl_cli_is_terminal(FILE *stream);
bool tl_cli_has_color(FILE *stream); /* a terminal, and NO_COLOR is not set */
bool tl_cli_is_ascii(void);          /* the locale's characters are not UTF-8 */

/* Writes `length` bytes to the file (NULL or "-": standard output). */
enum tl_status tl_cli_write(const char *path, const char *data, size_t length, struct tl_error *error);

#endif

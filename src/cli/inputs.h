/* inputs.h: inputs of a workflow as a command line gives them. */
#ifndef TL_CLI_INPUTS_H
#define TL_CLI_INPUTS_H

#include <jansson.h>

#include "teola/status.h"
#include "workflow/workflow.h"

/* The largest input that is read from a file or from standard input. */
#define TL_CLI_LARGEST_INPUT ((size_t)16 << 20)

/* By name; NULL when there is none. */
const struct tl_workflow_input *tl_cli_find_input(const struct tl_workflow *workflow, const char *name);

/* Adds an input to the object. Text inputs take the value as it is; others, and names that there are not, as JSON if it
 * is some. */
enum tl_status tl_cli_add_input(const struct tl_workflow *workflow, json_t *inputs, const char *name, const char *value,
                                size_t length, struct tl_error *error);

/* "NAME=VALUE", or "NAME=@FILE". */
enum tl_status tl_cli_add_given_input(const struct tl_workflow *workflow, json_t *inputs, const char *given,
                                      struct tl_error *error);

#endif

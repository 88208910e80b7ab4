/* shape.h: the options by which `explain` and `draw` are told what a query would bring, and the plan for it. */
#ifndef TL_CLI_SHAPE_H
#define TL_CLI_SHAPE_H

#include "cli/command_line.h"

struct tl_cli_shape {
    bool collection; /* the query names a collection; else it brings documents */
    enum tl_optimize optimize;
    struct tl_cli_list passes;
    const char *config;
    struct tl_cli_list settings;
};

/* Their long options: --docs, --collection, --optimize, --pass, --config, --set. */
#define TL_CLI_SHAPE_OPTIONS                          \
    {"docs", no_argument, NULL, 1001},                \
    {"collection", no_argument, NULL, 1002},          \
    {"optimize", required_argument, NULL, 1003},      \
    {"pass", required_argument, NULL, 1004},          \
    {"config", required_argument, NULL, 1005},        \
    {"set", required_argument, NULL, 1006}

#define TL_CLI_SHAPE_HELP                                                                            \
    "      --docs            the query brings documents (default)\n"                                 \
    "      --collection      the query names a collection\n"                                         \
    "      --optimize=LEVEL  off, paper or cost (default: as configured, else cost)\n"                \
    "      --pass=-NAME      leave a pass out; may be repeated\n"                                    \
    "      --config FILE     configuration (default: $TEOLA_CONFIG, ./teola.yaml, the user's)\n"     \
    "      --set E.S=VALUE   one setting of the configuration, as llm.model=NAME; may be repeated\n"

/* Takes one of these options; TL_EXIT_DONE, or the exit status; -1 when it is none of them. */
int tl_cli_shape_option(const char *command, int option, const char *value, struct tl_cli_shape *shape);

/* Loads the workflow and plans it without running. Messages go to stderr. Returns TL_EXIT_DONE or
 * the exit status; then nothing is left to free but the shape. On success the caller closes the runtime. */
int tl_cli_shape_plan(const char *command, const char *workflow, const struct tl_cli_shape *shape,
                      struct tl_runtime **runtime, struct tl_plan_steps *steps);

void tl_cli_shape_fini(struct tl_cli_shape *shape);

#endif

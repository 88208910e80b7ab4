/* bench_arm.h: one of the ways that `teola bench workflow` compares: how far graphs are rewritten, and settings. */
#ifndef TL_CLI_BENCH_ARM_H
#define TL_CLI_BENCH_ARM_H

#include "cli/command_line.h"

struct tl_cli_arm {
    char *name;  /* as it was given; owned */
    char *words; /* that the lists borrow; owned */
    enum tl_optimize optimize;
    struct tl_cli_list passes, settings; /* "-name" or "+name"; "engine.setting=value" or "policy=name" */
};

/* Words between commas: a level (off, paper, cost), -PASS or +PASS, SETTING=VALUE. Returns TL_EXIT_DONE, or the exit
 * status after saying what is wrong; fini in any case. */
int tl_cli_arm_parse(const char *command, const char *text, struct tl_cli_arm *arm);
void tl_cli_arm_fini(struct tl_cli_arm *arm);

#endif

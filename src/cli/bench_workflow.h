/* bench_workflow.h: the options of `teola bench workflow`. */
#ifndef TL_CLI_BENCH_WORKFLOW_H
#define TL_CLI_BENCH_WORKFLOW_H

#include "cli/bench_arm.h"
#include "cli/shape.h"

enum { TL_BENCH_MOST_POINTS = 32, TL_BENCH_MOST_ARMS = 16, TL_BENCH_MOST_REQUESTS = 1000000 };

struct tl_bench_workflow_options {
    struct tl_cli_shape shape;
    const char *workflow, *collection, *file;
    struct tl_cli_list docs, inputs, questions;
    struct tl_str lines; /* of the file; the questions borrow them */
    double points[TL_BENCH_MOST_POINTS]; /* rates, or numbers of clients */
    size_t point_count;
    bool closed;
    struct tl_cli_arm arms[TL_BENCH_MOST_ARMS];
    size_t arm_count;
    char *policy; /* the setting; owned */
    uint64_t timeout_ms, duration_ms;
    uint32_t requests, warmup, repeats, seed;
    bool json, each, quiet;
};

/* -1: go on; else the exit status, after saying why. Fini in any case. */
int tl_bench_workflow_read(int argc, char **argv, struct tl_bench_workflow_options *options);
void tl_bench_workflow_fini(struct tl_bench_workflow_options *options);

#endif

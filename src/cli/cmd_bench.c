/* cmd_bench.c: `teola bench`: finds the benchmark and runs it. One is a row of the table here and a file
 * cmd_bench_<name>.c. */
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "cli/command_line.h"
#include "cli/commands.h"

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *description;
} benchmarks[] = {
    {"llm", tl_cmd_bench_llm, "a language model under load: this program's engine, or a server over HTTP"},
    {"workflow", tl_cmd_bench_workflow, "whole queries: latency at given rates, settings compared"},
};

enum { BENCHMARKS = sizeof benchmarks / sizeof *benchmarks };

static int print_help(void) {
    fputs("Usage: teola bench WHAT [OPTIONS]\n"
          "\n"
          "Measures throughput and latency on this machine.\n"
          "\n",
          stdout);
    for (size_t i = 0; i < BENCHMARKS; i++)
        printf("  %-10s %s\n", benchmarks[i].name, benchmarks[i].description);
    fputs("\n"
          "teola bench WHAT --help lists the options of one.\n",
          stdout);
    return TL_EXIT_DONE;
}

int tl_cmd_bench(int argc, char **argv) {
    const char *names[BENCHMARKS];
    if (argc < 2)
        return tl_cli_wrong_use("bench", "say what to measure: llm or workflow");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return print_help();
    for (size_t i = 0; i < BENCHMARKS; i++) {
        names[i] = benchmarks[i].name;
        if (strcmp(argv[1], names[i]) == 0)
            return benchmarks[i].run(argc - 1, argv + 1);
    }
    const char *nearest = tl_str_nearest(argv[1], names, BENCHMARKS);
    if (nearest)
        return tl_cli_wrong_use("bench", "there is no benchmark '%s'; did you mean '%s'?", argv[1], nearest);
    return tl_cli_wrong_use("bench", "there is no benchmark '%s', expected llm or workflow", argv[1]);
}

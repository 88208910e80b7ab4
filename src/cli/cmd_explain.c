/* cmd_explain.c: `teola explain`: a workflow's graph, what the passes do to it, the plan. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/shape.h"

static const char help[] =
    "Usage: teola explain WORKFLOW [OPTIONS]\n"
    "\n"
    "Prints the workflow's graph of primitives as written, what each pass changes, and the plan that would run.\n"
    "Loads no model. The text is the same on every machine.\n"
    "\n"
    "      --passes          what each pass did and why, and nothing else\n"
    TL_CLI_SHAPE_HELP
    "  -o FILE               write there instead of standard output\n"
    "  -h, --help            this text\n";

static const struct option long_options[] = {
    {"passes", no_argument, NULL, 'p'},
    {"output", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    TL_CLI_SHAPE_OPTIONS,
    {NULL, 0, NULL, 0},
};

static void heading(struct tl_str *out, const char *text) {
    tl_str_printf(out, "%s-- %s\n\n", out->length ? "\n" : "", text);
}

static void explain(const struct tl_plan_steps *steps, bool passes_only, struct tl_str *out) {
    if (!passes_only) {
        heading(out, "p-graph: the workflow as written");
        tl_graph_print(steps->before, out);
        heading(out, "passes");
    }
    tl_str_puts(out, steps->passes.length ? steps->passes.data : "no pass changed anything\n");
    if (!passes_only) {
        heading(out, "plan: what runs");
        tl_plan_explain(steps->plan, out);
    }
}

int tl_cmd_explain(int argc, char **argv) {
    struct tl_cli_shape shape = {0};
    bool passes_only = false;
    const char *output = NULL;
    int result = -1;
    opterr = 0;
    for (int option; result < 0 && (option = getopt_long(argc, argv, ":o:h", long_options, NULL)) != -1;) {
        int taken = tl_cli_shape_option("explain", option, optarg, &shape);
        if (taken > 0)
            result = taken;
        if (taken >= 0)
            continue;
        switch (option) {
        case 'p': passes_only = true; break;
        case 'o': output = optarg; break;
        case 'h':
            fputs(help, stdout);
            result = TL_EXIT_DONE;
            break;
        default: result = tl_cli_wrong_option("explain", option, argv, long_options); break;
        }
    }
    if (result < 0 && argc - optind != 1)
        result = tl_cli_wrong_use("explain", optind == argc ? "which workflow?" : "one workflow at a time");
    struct tl_runtime *runtime;
    struct tl_plan_steps steps;
    if (result < 0 && (result = tl_cli_shape_plan("explain", argv[optind], &shape, &runtime, &steps)) == TL_EXIT_DONE) {
        struct tl_str out = TL_STR_INIT;
        struct tl_error error;
        explain(&steps, passes_only, &out);
        if (tl_cli_write(output, out.data, out.length, &error) != TL_OK)
            result = tl_cli_fail("explain", &error);
        tl_str_fini(&out);
        tl_plan_steps_fini(&steps);
        tl_runtime_close(runtime);
    }
    tl_cli_shape_fini(&shape);
    return result;
}

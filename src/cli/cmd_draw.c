/* cmd_draw.c: `teola draw`: a workflow's graph, as written and as it runs, as a picture. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/shape.h"

static const char help[] =
    "Usage: teola draw WORKFLOW [OPTIONS]\n"
    "\n"
    "Draws the workflow's graph of primitives, as written and as it would run, side by side.\n"
    "\n"
    "  -o FILE               write there instead of standard output; .svg or .dot says the format\n"
    "      --format FORM     svg (default; needs graphviz) or dot\n"
    "      --only WHICH      written or plan: one graph instead of both\n"
    TL_CLI_SHAPE_HELP
    "  -h, --help            this text\n";

static const struct option long_options[] = {
    {"output", required_argument, NULL, 'o'},
    {"format", required_argument, NULL, 'f'},
    {"only", required_argument, NULL, 'y'},
    {"help", no_argument, NULL, 'h'},
    TL_CLI_SHAPE_OPTIONS,
    {NULL, 0, NULL, 0},
};

struct drawing {
    const char *output, *format, *only;
};

static int draw(const struct drawing *drawing, const struct tl_plan_steps *steps) {
    const struct tl_graph *graphs[] = {steps->before, steps->plan->graph};
    static const char *const titles[] = {"as written", "as it runs"};
    size_t first = drawing->only && strcmp(drawing->only, "plan") == 0, count = drawing->only ? 1 : 2;
    struct tl_str dot = TL_STR_INIT, svg = TL_STR_INIT;
    struct tl_error error;
    tl_graph_draw_dot(graphs + first, titles + first, count, &dot);
    bool as_dot = strcmp(drawing->format, "dot") == 0;
    enum tl_status status = as_dot ? TL_OK : tl_graph_draw_svg(dot.data, dot.length, &svg, &error);
    const struct tl_str *out = as_dot ? &dot : &svg;
    if (status == TL_OK)
        status = tl_cli_write(drawing->output, out->data, out->length, &error);
    tl_str_fini(&dot);
    tl_str_fini(&svg);
    return status == TL_OK ? TL_EXIT_DONE : tl_cli_fail("draw", &error);
}

int tl_cmd_draw(int argc, char **argv) {
    struct tl_cli_shape shape = {0};
    struct drawing drawing = {0};
    int result = -1;
    opterr = 0;
    for (int option; result < 0 && (option = getopt_long(argc, argv, ":o:h", long_options, NULL)) != -1;) {
        int taken = tl_cli_shape_option("draw", option, optarg, &shape);
        if (taken > 0)
            result = taken;
        if (taken >= 0)
            continue;
        switch (option) {
        case 'o': drawing.output = optarg; break;
        case 'f': drawing.format = optarg; break;
        case 'y': drawing.only = optarg; break;
        case 'h':
            fputs(help, stdout);
            result = TL_EXIT_DONE;
            break;
        default: result = tl_cli_wrong_option("draw", option, argv, long_options); break;
        }
    }
    if (!drawing.format)
        drawing.format = drawing.output && tl_str_ends_with(drawing.output, ".dot") ? "dot" : "svg";
    if (result < 0 && strcmp(drawing.format, "svg") != 0 && strcmp(drawing.format, "dot") != 0)
        result = tl_cli_wrong_use("draw", "--format is svg or dot, not '%s'", drawing.format);
    if (result < 0 && drawing.only && strcmp(drawing.only, "written") != 0 && strcmp(drawing.only, "plan") != 0)
        result = tl_cli_wrong_use("draw", "--only is written or plan, not '%s'", drawing.only);
    if (result < 0 && argc - optind != 1)
        result = tl_cli_wrong_use("draw", optind == argc ? "which workflow?" : "one workflow at a time");
    struct tl_runtime *runtime;
    struct tl_plan_steps steps;
    if (result < 0 && (result = tl_cli_shape_plan("draw", argv[optind], &shape, &runtime, &steps)) == TL_EXIT_DONE) {
        result = draw(&drawing, &steps);
        tl_plan_steps_fini(&steps);
        tl_runtime_close(runtime);
    }
    tl_cli_shape_fini(&shape);
    return result;
}

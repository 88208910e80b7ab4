/* cmd_draw.c: `teola draw`: a workflow's graph, as written and as it runs, as a picture. */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/shape.h"

static const char help[] =
    "Usage: teola draw WORKFLOW [OPTIONS]\n"
    "\n"
    "Draws the workflow's graph of primitives, as written and as it would run, side by side, with the predicted times\n"
    "and the critical path.\n"
    "\n"
    "  -o FILE               write there instead of standard output; .svg, .html or .dot says the format\n"
    "      --format FORM     svg (default), html (a page that needs nothing else) or dot; the first two need graphviz\n"
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

static enum tl_status put_drawing(const char *format, const struct tl_drawing *drawings, size_t count,
                                  const struct tl_opt_report *passes, struct tl_str *out, struct tl_error *error) {
    if (strcmp(format, "svg") == 0)
        return tl_graph_draw_svg(drawings, count, out, error);
    if (strcmp(format, "dot") == 0) {
        tl_graph_draw_dot(drawings, count, out);
        return TL_OK;
    }
    struct tl_str notes = TL_STR_INIT;
    tl_opt_report_print(passes, &notes);
    enum tl_status status =
        tl_graph_draw_html(drawings, count, notes.length ? notes.data : "no pass changed anything\n", out, error);
    tl_str_fini(&notes);
    return status;
}

static int draw(const struct drawing *drawing, const struct tl_plan_steps *steps) {
    const struct tl_drawing drawings[] = {
        {steps->written->graph, steps->written, "as written"},
        {steps->plan->graph, steps->plan, "as it runs"},
    };
    size_t first = drawing->only && strcmp(drawing->only, "plan") == 0, count = drawing->only ? 1 : 2;
    struct tl_str out = TL_STR_INIT;
    struct tl_error error;
    enum tl_status status = put_drawing(drawing->format, drawings + first, count, &steps->passes, &out, &error);
    if (status == TL_OK)
        status = tl_cli_write(drawing->output, out.data, out.length, &error);
    tl_str_fini(&out);
    return status == TL_OK ? TL_EXIT_DONE : tl_cli_fail("draw", &error);
}

/* As asked for, else by the file's name. */
static const char *format_of(const struct drawing *drawing) {
    static const char *const formats[] = {"svg", "html", "dot"};
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        char ending[8];
        snprintf(ending, sizeof ending, ".%s", formats[i]);
        bool chosen = drawing->format ? strcmp(drawing->format, formats[i]) == 0
                                      : drawing->output && tl_str_ends_with(drawing->output, ending);
        if (chosen)
            return formats[i];
    }
    return drawing->format ? NULL : "svg";
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
    const char *format = format_of(&drawing);
    if (result < 0 && !format)
        result = tl_cli_wrong_use("draw", "--format is svg, html or dot, not '%s'", drawing.format);
    drawing.format = format;
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

/* cmd_explain.c: `teola explain`: a workflow's graph, what the passes do to it, the plan. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/shape.h"

static const char help[] =
    "Usage: teola explain WORKFLOW [OPTIONS]\n"
    "\n"
    "Prints the workflow's graph of primitives as written, what each pass changes, and the plan that would run with\n"
    "its critical path: the chain of primitives that decides how long a query takes. Loads no model. Times are\n"
    "predicted from what was measured here, else from defaults that are the same on every machine.\n"
    "\n"
    "      --passes          what each pass did and why, and nothing else\n"
    "      --format FORM     text (default) or json\n"
    TL_CLI_SHAPE_HELP
    "  -o FILE               write there instead of standard output\n"
    "  -h, --help            this text\n";

static const struct option long_options[] = {
    {"passes", no_argument, NULL, 'p'},
    {"format", required_argument, NULL, 'f'},
    {"output", required_argument, NULL, 'o'},
    {"help", no_argument, NULL, 'h'},
    TL_CLI_SHAPE_OPTIONS,
    {NULL, 0, NULL, 0},
};

static void heading(struct tl_str *out, const char *text) {
    tl_str_printf(out, "%s-- %s\n\n", out->length ? "\n" : "", text);
}

static void put_passes(const struct tl_opt_report *report, struct tl_str *out) {
    size_t before = out->length;
    tl_opt_report_print(report, out);
    if (out->length == before)
        tl_str_puts(out, "no pass changed anything\n");
}

static void explain(const struct tl_plan_steps *steps, struct tl_str *out) {
    heading(out, "p-graph: the workflow as written");
    tl_graph_print(steps->written->graph, out);
    if (steps->choice.count > 0) {
        heading(out, "forms that were compared");
        tl_choice_report_print(&steps->choice, out);
        tl_str_puts(out, "times: ");
        tl_plan_put_basis(steps->plan, out);
        tl_str_putc(out, '\n');
    }
    heading(out, "passes");
    put_passes(&steps->passes, out);
    heading(out, "plan: what runs");
    tl_plan_explain(steps->plan, out);
    tl_str_printf(out, "as written: %.0f ms\n", steps->written->critical_ms);
}

static json_t *passes_json(const struct tl_opt_report *report) {
    json_t *passes = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct tl_opt_entry *entry = &report->entries[i];
        if (entry->outcome == TL_OPT_UNCHANGED)
            continue;
        json_t *notes = json_array();
        for (const char *line = entry->notes.data; *line;) {
            size_t length = strcspn(line, "\n");
            json_array_append_new(notes, json_stringn(line, length));
            line += length + (line[length] == '\n');
        }
        json_array_append_new(passes, json_pack("{s:s, s:i, s:b, s:o}", "pass", entry->pass, "round",
                                                (int)entry->round, "failed", entry->outcome == TL_OPT_FAILED, "notes",
                                                notes));
    }
    return passes;
}

static void explain_json(const struct tl_plan_steps *steps, bool passes_only, struct tl_str *out) {
    json_t *object = json_pack("{s:o}", "passes", passes_json(&steps->passes));
    if (!passes_only) {
        json_object_set_new(object, "written", tl_plan_to_json(steps->written));
        json_object_set_new(object, "plan", tl_plan_to_json(steps->plan));
        if (steps->choice.count > 0)
            json_object_set_new(object, "choice", tl_choice_report_to_json(&steps->choice));
    }
    char *text = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(6));
    tl_str_printf(out, "%s\n", text ? text : "{}");
    free(text);
    json_decref(object);
}

int tl_cmd_explain(int argc, char **argv) {
    struct tl_cli_shape shape = {0};
    bool passes_only = false;
    const char *output = NULL, *format = "text";
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
        case 'f': format = optarg; break;
        case 'o': output = optarg; break;
        case 'h':
            fputs(help, stdout);
            result = TL_EXIT_DONE;
            break;
        default: result = tl_cli_wrong_option("explain", option, argv, long_options); break;
        }
    }
    bool json = strcmp(format, "json") == 0;
    if (result < 0 && !json && strcmp(format, "text") != 0)
        result = tl_cli_wrong_use("explain", "--format is text or json, not '%s'", format);
    if (result < 0 && argc - optind != 1)
        result = tl_cli_wrong_use("explain", optind == argc ? "which workflow?" : "one workflow at a time");
    struct tl_runtime *runtime;
    struct tl_plan_steps steps;
    if (result < 0 && (result = tl_cli_shape_plan("explain", argv[optind], &shape, &runtime, &steps)) == TL_EXIT_DONE) {
        struct tl_str out = TL_STR_INIT;
        struct tl_error error;
        if (json)
            explain_json(&steps, passes_only, &out);
        else if (passes_only)
            put_passes(&steps.passes, &out);
        else
            explain(&steps, &out);
        if (tl_cli_write(output, out.data, out.length, &error) != TL_OK)
            result = tl_cli_fail("explain", &error);
        tl_str_fini(&out);
        tl_plan_steps_fini(&steps);
        tl_runtime_close(runtime);
    }
    tl_cli_shape_fini(&shape);
    return result;
}

/* cmd_validate.c: `teola validate`: checks workflow files and says everything that is wrong with them. */
#include <stdio.h>
#include <string.h>

#include "base/diagnostics.h"
#include "cli/command_line.h"
#include "cli/commands.h"
#include "workflow/workflow.h"

static const char help[] =
    "Usage: teola validate WORKFLOW...\n"
    "\n"
    "Checks workflow files (paths, or names of installed ones) and prints what is wrong, a line for each finding:\n"
    "FILE:LINE:COLUMN: error: MESSAGE. All findings of all files are shown at once.\n"
    "\n"
    "      --schema   print the JSON Schema of workflow files, for editors, and do nothing else\n"
    "  -q, --quiet    findings only\n"
    "  -h, --help     this text\n"
    "\n"
    "Exit status: 0 all are good, 2 not all are.\n";

static const struct option long_options[] = {
    {"schema", no_argument, NULL, 's'},
    {"quiet", no_argument, NULL, 'q'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int validate(const char *name_or_path, bool quiet) {
    struct tl_str path = TL_STR_INIT, text = TL_STR_INIT;
    struct tl_error error;
    int result = TL_EXIT_DONE;
    if (tl_cli_find_workflow(name_or_path, &path, &error) != TL_OK) {
        result = tl_cli_fail("validate", &error);
    } else {
        struct tl_diagnostics findings;
        tl_diagnostics_init(&findings, path.data);
        struct tl_workflow *workflow = tl_workflow_load(path.data, &findings);
        tl_diagnostics_print(&findings, &text);
        fputs(text.data, stderr);
        if (!workflow)
            result = TL_EXIT_USAGE;
        else if (!quiet)
            printf("%s: workflow %s is valid\n", path.data, tl_workflow_name(workflow));
        tl_workflow_destroy(workflow);
        tl_diagnostics_fini(&findings);
    }
    tl_str_fini(&path);
    tl_str_fini(&text);
    return result;
}

int tl_cmd_validate(int argc, char **argv) {
    bool quiet = false;
    struct tl_str schema = TL_STR_INIT;
    opterr = 0;
    for (int option; (option = getopt_long(argc, argv, ":qh", long_options, NULL)) != -1;) {
        switch (option) {
        case 's':
            tl_workflow_schema(&schema);
            puts(schema.data);
            tl_str_fini(&schema);
            return TL_EXIT_DONE;
        case 'q': quiet = true; break;
        case 'h': fputs(help, stdout); return TL_EXIT_DONE;
        default: return tl_cli_wrong_option("validate", option, argv, long_options);
        }
    }
    if (optind == argc)
        return tl_cli_wrong_use("validate", "which workflow?");
    int result = TL_EXIT_DONE;
    for (int i = optind; i < argc; i++)
        if (validate(argv[i], quiet) != TL_EXIT_DONE)
            result = TL_EXIT_USAGE;
    return result;
}

/* Golden graphs: each file tests/golden/passes/NAME.txt shows one rule of a pass, or one exception to it:
 *
 *     # passes: split_prefill share          (in this order, to a fixpoint)
 *     # what it shows
 *     graph ...
 *     =>
 *     what the passes said
 *     graph ...
 *
 * TEOLA_UPDATE_GOLDEN=1 writes what comes out behind "=>". */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/file.h"
#include "opt/pass.h"

static const struct tl_pass known[] = {
    {"prune", tl_pass_prune, ""},
    {"share", tl_pass_share, ""},
    {"stages", tl_pass_stages, ""},
    {"pipeline_decode", tl_pass_pipeline_decode, ""},
    {"split_prefill", tl_pass_split_prefill, ""},
    {"overlap", tl_pass_overlap, ""},
};

enum { KNOWN = sizeof known / sizeof *known };

static uint32_t batch_of(void *context, const char *engine) {
    (void)context;
    return strcmp(engine, "embedder") == 0 ? 16 : 0;
}

static size_t passes_of(const char *line, struct tl_pass passes[KNOWN]) {
    size_t count = 0;
    for (const char *at = line; *at && *at != '\n';) {
        size_t length = strcspn(at, " \n");
        for (size_t i = 0; i < KNOWN && length > 0; i++)
            if (strlen(known[i].name) == length && strncmp(known[i].name, at, length) == 0) passes[count++] = known[i];
        at += length + (at[length] == ' ');
    }
    return count;
}

static void run_passes(const char *path, const char *text, const struct tl_pass *passes, size_t count,
                       struct tl_str *out) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, path);
    struct tl_graph *graph = tl_graph_parse(text, &findings);
    if (!graph) {
        struct tl_str shown = TL_STR_INIT;
        tl_diagnostics_print(&findings, &shown);
        fail_msg("%s", shown.data);
    }
    struct tl_opt_options options = {.level = TL_OPTIMIZE_PAPER, .check = true, .batch = batch_of};
    struct tl_opt_report report;
    tl_opt_report_init(&report);
    struct tl_error error = {0};
    if (tl_opt_run_passes(passes, count, &graph, &options, &report, &error) != TL_OK)
        fail_msg("%s: %s", path, error.message);
    for (size_t i = 0; i < report.count; i++) assert_int_not_equal(report.entries[i].outcome, TL_OPT_FAILED);
    tl_opt_report_print(&report, out);
    tl_graph_print(graph, out);
    tl_opt_report_fini(&report);

    /* The result is a fixpoint. */
    tl_opt_report_init(&report);
    assert_int_equal(tl_opt_run_passes(passes, count, &graph, &options, &report, &error), TL_OK);
    for (size_t i = 0; i < report.count; i++) assert_int_equal(report.entries[i].outcome, TL_OPT_UNCHANGED);
    tl_opt_report_fini(&report);
    tl_graph_destroy(graph);
    tl_diagnostics_fini(&findings);
}

static void check_file(const char *path) {
    struct tl_str file = TL_STR_INIT, before = TL_STR_INIT, out = TL_STR_INIT;
    struct tl_error error = {0};
    if (tl_file_read(path, 1 << 20, &file, &error) != TL_OK) fail_msg("%s", error.message);
    struct tl_pass passes[KNOWN];
    assert_true(tl_str_starts_with(file.data, "# passes: "));
    size_t count = passes_of(file.data + strlen("# passes: "), passes);
    assert_true(count > 0);
    const char *graph = strstr(file.data, "\ngraph "), *arrow = strstr(file.data, "\n=>\n");
    assert_non_null(graph);
    const char *end = arrow ? arrow + 1 : file.data + file.length;
    tl_str_append(&before, graph + 1, (size_t)(end - graph - 1));
    run_passes(path, before.data, passes, count, &out);
    if (getenv("TEOLA_UPDATE_GOLDEN")) {
        tl_str_truncate(&file, (size_t)(end - file.data));
        tl_str_puts(&file, "=>\n");
        tl_str_puts(&file, out.data);
        assert_int_equal(tl_file_write_atomic(path, file.data, file.length, &error), TL_OK);
    } else {
        assert_non_null(arrow);
        if (strcmp(out.data, arrow + 4) != 0) fail_msg("%s: expected\n%s\nfound\n%s", path, arrow + 4, out.data);
    }
    tl_str_fini(&file);
    tl_str_fini(&before);
    tl_str_fini(&out);
}

static void test_golden_graphs(void **state) {
    (void)state;
    const char *source = getenv("TEOLA_SOURCE_DIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/golden/passes", source ? source : ".");
    DIR *directory = opendir(path);
    assert_non_null(directory);
    size_t files = 0;
    for (struct dirent *entry; (entry = readdir(directory));) {
        if (!tl_str_ends_with(entry->d_name, ".txt")) continue;
        char file[4096 + 300];
        snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
        check_file(file);
        files++;
    }
    closedir(directory);
    assert_true(files >= 12);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden_graphs)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* opt.c: the table of passes, and the runner (see opt.h). */
#include "opt/opt.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "opt/pass.h"

/* In the order in which they run. */
static const struct tl_pass table[] = {
    {"prune", tl_pass_prune, "drops edges that only repeat the order in which the steps were written"},
    {"share", tl_pass_share, "does equal pure work once"},
    {"pipeline_decode", tl_pass_pipeline_decode, "passes list items on while the model still writes"},
    {"stages", tl_pass_stages, "cuts work on long lists into stages that follow one another"},
    {"split_prefill", tl_pass_split_prefill, "prefills prompt parts as soon as they are known"},
    {"overlap", tl_pass_overlap, "lets a primitive take over the place of the one before it on the same engine"},
};

#define PASSES (sizeof table / sizeof *table)

/* Passes that undo each other would go round for ever: that is a defect, not a reason to hang. */
#define MOST_ROUNDS 16

size_t tl_opt_pass_count(void) {
    return PASSES;
}

const char *tl_opt_pass_name(size_t position) {
    TL_ASSERT(position < PASSES);
    return table[position].name;
}

const char *tl_opt_pass_description(size_t position) {
    TL_ASSERT(position < PASSES);
    return table[position].description;
}

struct tl_opt_options tl_opt_defaults(void) {
    struct tl_opt_options options = {.level = TL_OPTIMIZE_DEFAULT};
#ifndef NDEBUG
    options.check = true;
#endif
    const char *trace = getenv("TEOLA_PASS_TRACE");
    if (trace != NULL && trace[0] != '\0' && strcmp(trace, "0") != 0)
        options.trace = stderr;
    return options;
}

/* ---- report ---- */

void tl_opt_report_init(struct tl_opt_report *report) {
    *report = (struct tl_opt_report){0};
}

void tl_opt_report_fini(struct tl_opt_report *report) {
    for (size_t i = 0; i < report->count; i++)
        tl_str_fini(&report->entries[i].notes);
    tl_mem_free(report->entries);
    *report = (struct tl_opt_report){0};
}

static void print_notes(const struct tl_opt_entry *entry, const char *before, struct tl_str *out) {
    for (const char *line = entry->notes.data; *line != '\0';) {
        size_t length = strcspn(line, "\n");
        tl_str_printf(out, "%s%.*s\n", before, (int)length, line);
        line += length + (line[length] == '\n');
    }
}

void tl_opt_report_print(const struct tl_opt_report *report, struct tl_str *out) {
    for (size_t i = 0; i < report->count; i++) {
        const struct tl_opt_entry *entry = &report->entries[i];
        if (entry->outcome == TL_OPT_UNCHANGED)
            continue;
        tl_str_puts(out, entry->pass);
        if (entry->round > 1)
            tl_str_printf(out, " (round %u)", entry->round);
        tl_str_puts(out, entry->outcome == TL_OPT_FAILED ? ": failed, the graph is as before\n" : "\n");
        print_notes(entry, "  ", out);
    }
}

void tl_opt_note(const struct tl_pass_ctx *ctx, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_str_vprintf(ctx->notes, format, args);
    va_end(args);
    tl_str_putc(ctx->notes, '\n');
}

bool tl_opt_fail(const struct tl_pass_ctx *ctx, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_str_clear(ctx->notes);
    tl_str_vprintf(ctx->notes, format, args);
    va_end(args);
    tl_str_putc(ctx->notes, '\n');
    *ctx->failed = true;
    return false;
}

/* ---- runner ---- */

struct runner {
    const struct tl_pass *passes;
    size_t count;
    const struct tl_opt_options *options;
    struct tl_opt_report *report;
    bool *enabled; /* by position in `passes` */
};

/* Does `text` put this pass back or leave it out? */
static bool means(const char *text, const struct tl_pass *pass) {
    return (text[0] == '-' || text[0] == '+') && (strcmp(text + 1, "all") == 0 || strcmp(text + 1, pass->name) == 0);
}

static enum tl_status no_such_pass(const struct tl_pass *passes, size_t count, const char *text,
                                   struct tl_error *error) {
    struct tl_str names = TL_STR_INIT;
    for (size_t i = 0; i < count; i++)
        tl_str_printf(&names, "%s%s", i == 0 ? "" : ", ", passes[i].name);
    tl_error_set(error, TL_ERR_USAGE, "\"%s\" is no pass: write \"-name\" or \"+name\", where the name is all, %s",
                 text, names.data);
    tl_str_fini(&names);
    return TL_ERR_USAGE;
}

static enum tl_status choose_passes(struct runner *runner, struct tl_error *error) {
    for (size_t i = 0; i < runner->count; i++)
        runner->enabled[i] = true;
    for (size_t s = 0; s < runner->options->pass_count; s++) {
        const char *text = runner->options->passes[s];
        bool found = false;
        for (size_t i = 0; i < runner->count; i++) {
            if (!means(text, &runner->passes[i]))
                continue;
            runner->enabled[i] = text[0] == '+';
            found = true;
        }
        if (!found)
            return no_such_pass(runner->passes, runner->count, text, error);
    }
    return TL_OK;
}

enum tl_status tl_opt_check_pass(const char *text, struct tl_error *error) {
    for (size_t i = 0; i < PASSES; i++)
        if (means(text, &table[i]))
            return TL_OK;
    return no_such_pass(table, PASSES, text, error);
}

/* Does `graph` verify? Else the first error and the graph with all of them go to `why`. */
static bool verify(const struct tl_graph *graph, struct tl_str *why) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, graph->name);
    bool good = tl_graph_verify(graph, &findings);
    for (size_t i = 0; i < findings.count && !good; i++) {
        if (findings.items[i].severity == TL_SEVERITY_WARNING)
            continue;
        tl_str_printf(why, "%s\n", findings.items[i].message);
        break;
    }
    tl_diagnostics_fini(&findings);
    return good;
}

/* Is the graph's text read back as the same graph, and its clone equal to it? */
static bool survives_round_trip(const struct tl_graph *graph, struct tl_str *why) {
    struct tl_str text = TL_STR_INIT;
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, graph->name);
    tl_graph_print(graph, &text);
    struct tl_graph *parsed = tl_graph_parse(text.data, &findings), *clone = tl_graph_clone(graph);
    bool good = parsed != NULL && tl_graph_hash(parsed) == tl_graph_hash(graph) &&
                tl_graph_hash(clone) == tl_graph_hash(graph);
    if (!good)
        tl_str_printf(why, "its text or its clone is another graph%s%s\n", findings.count > 0 ? ": " : "",
                      findings.count > 0 ? findings.items[0].message : "");
    tl_graph_destroy(parsed);
    tl_graph_destroy(clone);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&text);
    return good;
}

static void trace(const struct runner *runner, const struct tl_pass *pass, const struct tl_graph *graph,
                  const struct tl_opt_entry *entry) {
    if (runner->options->trace == NULL || entry->outcome == TL_OPT_UNCHANGED)
        return;
    struct tl_str text = TL_STR_INIT;
    tl_str_printf(&text, "# pass %s, round %u%s\n", pass->name, entry->round,
                  entry->outcome == TL_OPT_FAILED ? ", failed" : "");
    print_notes(entry, "#   ", &text); /* all but the graph is a comment: the trace of one pass can be parsed */
    tl_graph_print_findings(graph, &text);
    fputs(text.data, runner->options->trace);
    tl_str_fini(&text);
}

static void keep(struct tl_opt_report *report, struct tl_opt_entry *entry) {
    if (report == NULL) {
        tl_str_fini(&entry->notes);
        return;
    }
    report->entries = tl_mem_grow(report->entries, &report->capacity, report->count + 1, sizeof *report->entries);
    report->entries[report->count++] = *entry;
}

/* Runs one pass on a clone of *graph and puts the clone in its place when all is well. */
static bool run_pass(const struct runner *runner, const struct tl_pass *pass, unsigned round, struct tl_graph **graph) {
    struct tl_opt_entry entry = {.pass = pass->name, .round = round, .notes = TL_STR_INIT};
    bool failed = false, check = runner->options->check;
    struct tl_pass_ctx ctx = {.pass = pass->name, .options = runner->options, .notes = &entry.notes, .failed = &failed};
    ctx.level = runner->options->level == TL_OPTIMIZE_PAPER ? TL_OPTIMIZE_PAPER : TL_OPTIMIZE_COST;
    uint64_t start = tl_clock_now();
    struct tl_graph *clone = tl_graph_clone(*graph);
    bool changed = pass->function(clone, &ctx);
    if (!failed && !changed && check && tl_graph_hash(clone) != tl_graph_hash(*graph))
        tl_opt_fail(&ctx, "it changed the graph and said that it did not");
    struct tl_str why = TL_STR_INIT;
    if (!failed && changed && (!verify(clone, &why) || (check && !survives_round_trip(clone, &why))))
        tl_opt_fail(&ctx, "it left a graph that is wrong: %.*s", (int)strcspn(why.data, "\n"), why.data);
    tl_str_fini(&why);
    entry.nanoseconds = tl_clock_now() - start;
    entry.outcome = failed ? TL_OPT_FAILED : changed ? TL_OPT_CHANGED
                                                     : TL_OPT_UNCHANGED;
    trace(runner, pass, clone, &entry);
    if (failed)
        tl_log(TL_LOG_WARN, "optimizer: pass %s failed on graph \"%s\": %.*s; the graph is used as it was before",
               pass->name, (*graph)->name, (int)strcspn(entry.notes.data, "\n"), entry.notes.data);
    if (entry.outcome == TL_OPT_CHANGED) {
        struct tl_graph *former = *graph;
        *graph = clone;
        clone = former;
    }
    if (entry.outcome == TL_OPT_UNCHANGED)
        tl_str_clear(&entry.notes);
    tl_graph_destroy(clone);
    keep(runner->report, &entry);
    return entry.outcome == TL_OPT_CHANGED;
}

static void run_rounds(struct runner *runner, struct tl_graph **graph) {
    size_t unchanged = 0; /* passes in a row that changed nothing: when it is all of them, nothing will */
    for (unsigned round = 1; round <= MOST_ROUNDS; round++) {
        for (size_t i = 0; i < runner->count; i++) {
            if (unchanged == runner->count)
                return;
            bool changed = runner->enabled[i] && run_pass(runner, &runner->passes[i], round, graph);
            unchanged = changed ? 0 : unchanged + 1;
        }
    }
    if (unchanged < runner->count)
        tl_log(TL_LOG_WARN, "optimizer: graph \"%s\" still changes after %d rounds", (*graph)->name, MOST_ROUNDS);
}

enum tl_status tl_opt_run_passes(const struct tl_pass *passes, size_t count, struct tl_graph **graph,
                                 const struct tl_opt_options *options, struct tl_opt_report *report,
                                 struct tl_error *error) {
    struct runner runner = {.passes = passes, .count = count, .options = options, .report = report};
    struct tl_str why = TL_STR_INIT;
    runner.enabled = tl_mem_zalloc((count + 1) * sizeof *runner.enabled);
    enum tl_status status = choose_passes(&runner, error);
    if (status == TL_OK && !verify(*graph, &why))
        status = tl_error_set(error, TL_ERR_INVALID, "graph \"%s\": %.*s", (*graph)->name,
                              (int)strcspn(why.data, "\n"), why.data);
    if (status == TL_OK && options->level != TL_OPTIMIZE_OFF)
        run_rounds(&runner, graph);
    tl_str_fini(&why);
    tl_mem_free(runner.enabled);
    return status;
}

enum tl_status tl_opt_run(struct tl_graph **graph, const struct tl_opt_options *options, struct tl_opt_report *report,
                          struct tl_error *error) {
    return tl_opt_run_passes(table, PASSES, graph, options, report, error);
}

bool tl_opt_allows(const struct tl_opt_options *options, const char *pass) {
    bool allowed = options->level != TL_OPTIMIZE_OFF;
    for (size_t i = 0; i < options->pass_count && options->level != TL_OPTIMIZE_OFF; i++) {
        const char *text = options->passes[i];
        if (strcmp(text + 1, "all") == 0 || strcmp(text + 1, pass) == 0)
            allowed = text[0] == '+';
    }
    return allowed;
}

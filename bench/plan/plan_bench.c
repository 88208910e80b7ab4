/* plan_bench: what it costs to make a plan, step by step, and to find one that has been made.
 *
 *     plan_bench [WORKFLOW...]     workflow files; those that are shipped when none is named
 *
 * Prints medians of many rounds in microseconds. docs/measurements.md says what they were. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "choice/choice.h"
#include "cost/cost.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "workflow/workflow.h"

enum { ROUNDS = 1000, HITS = 1000, MOST_ROWS = 32 };

struct row {
    char name[48];
    double us[ROUNDS];
    size_t count;
};

struct table {
    struct row rows[MOST_ROWS];
    size_t count;
};

static void add(struct table *table, const char *name, double us) {
    size_t i = 0;
    while (i < table->count && strcmp(table->rows[i].name, name) != 0)
        i++;
    if (i == MOST_ROWS)
        return;
    if (i == table->count) {
        snprintf(table->rows[i].name, sizeof table->rows[i].name, "%s", name);
        table->rows[i].count = 0;
        table->count++;
    }
    if (table->rows[i].count < ROUNDS)
        table->rows[i].us[table->rows[i].count++] = us;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print(struct table *table, const char *workflow) {
    printf("%s\n", workflow);
    for (size_t i = 0; i < table->count; i++) {
        struct row *row = &table->rows[i];
        qsort(row->us, row->count, sizeof *row->us, ascending);
        printf("  %-32s %9.2f us   (best %.2f, of %zu)\n", row->name, row->us[row->count / 2], row->us[0], row->count);
    }
}

static double since(uint64_t start) {
    return (double)(tl_clock_now() - start) / 1000;
}

static void fail(const char *what, const char *why) {
    fprintf(stderr, "plan_bench: %s: %s\n", what, why);
    exit(1);
}

/* Every engine works best with so many units, so that each pass has something to do. */
static uint32_t batch_of(void *context, const char *engine) {
    (void)context;
    (void)engine;
    return 64;
}

/* From the workflow to the plan, as a query that no plan is there for would do it. */
static struct tl_plan *make_plan(const struct tl_workflow *workflow, const struct tl_query_shape *shape,
                                 const struct tl_cost *cost, struct table *table) {
    struct tl_diagnostics findings;
    struct tl_error error;
    struct tl_opt_report report;
    struct tl_plan *plan;
    struct tl_opt_options options = tl_opt_defaults();
    tl_diagnostics_init(&findings, "");
    tl_opt_report_init(&report);
    options.check = false;
    options.batch = batch_of;
    uint64_t start = tl_clock_now();
    struct tl_graph *graph = tl_workflow_decompose(workflow, shape, &findings);
    double decomposed = since(start);
    if (!graph)
        fail("decompose", findings.items[0].message);
    if (tl_opt_run(&graph, &options, &report, &error) != TL_OK)
        fail("optimize", error.message);
    double optimised = since(start);
    if (tl_plan_freeze(graph, cost, &plan, &error) != TL_OK)
        fail("freeze", error.message);
    double all = since(start);
    add(table, "all", all);
    add(table, "decompose", decomposed);
    add(table, "optimize", optimised - decomposed);
    for (size_t i = 0; i < report.count; i++) {
        char name[48];
        snprintf(name, sizeof name, "  round %u %s", report.entries[i].round, report.entries[i].pass);
        add(table, name, (double)report.entries[i].nanoseconds / 1000);
    }
    add(table, "freeze", all - optimised);
    tl_opt_report_fini(&report);
    tl_diagnostics_fini(&findings);
    return plan;
}

/* As --optimize=cost does it for the engines that are built in, all on one processor. */
static void choose_plan(const struct tl_workflow *workflow, const struct tl_query_shape *shape, struct tl_cost *cost,
                        struct table *table) {
    static const char *const names[] = {"documents", "embedder", "store", "reranker", "llm"}, *const cpu[] = {"cpu"};
    enum { ENGINES = sizeof names / sizeof names[0] };
    struct tl_choice_engine engines[ENGINES];
    for (size_t i = 0; i < ENGINES; i++)
        engines[i] =
            (struct tl_choice_engine){.name = names[i], .devices = cpu, .device_count = 1, .instances = 1};
    const struct tl_choice_machine machine = {.engines = engines, .count = ENGINES, .cost = cost};
    struct tl_diagnostics findings;
    struct tl_opt_options options = tl_opt_defaults();
    struct tl_plan *plan;
    struct tl_error error;
    tl_diagnostics_init(&findings, "");
    options.check = false;
    uint64_t start = tl_clock_now();
    struct tl_graph *graph = tl_workflow_decompose(workflow, shape, &findings);
    if (!graph)
        fail("decompose", findings.items[0].message);
    if (tl_choice_make(graph, &options, &machine, &(struct tl_choice_load){0}, &plan, NULL, &error) != TL_OK)
        fail("choose", error.message);
    add(table, "all, chosen by prediction", since(start));
    tl_graph_destroy(graph);
    tl_plan_unref(plan);
    tl_diagnostics_fini(&findings);
}

/* Making the key, finding the plan, giving it back. */
static void find_plan(const struct tl_plan_origin *origin, struct tl_plan *plan, struct table *table) {
    struct tl_plan_cache *cache = tl_plan_cache_create(256);
    tl_plan_cache_put(cache, tl_plan_key(origin), plan);
    uint64_t start = tl_clock_now();
    for (int i = 0; i < HITS; i++)
        tl_plan_unref(tl_plan_cache_get(cache, tl_plan_key(origin)));
    add(table, "hit", since(start) / HITS);
    tl_plan_cache_destroy(cache);
}

static void measure(const char *path) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, path);
    struct tl_workflow *workflow = tl_workflow_load(path, &findings);
    if (!workflow)
        fail(path, findings.items[0].message);
    const char *given[16];
    struct tl_query_shape shape = {.given = given};
    for (size_t i = 0; i < tl_workflow_input_count(workflow) && i < 16; i++)
        given[shape.given_count++] = tl_workflow_input(workflow, i)->name;
    struct tl_cost *cost = tl_cost_create();
    const struct tl_plan_origin origin = {
        .workflow = tl_workflow_digest(workflow),
        .given = given,
        .given_count = shape.given_count,
        .cost_version = tl_cost_version(cost),
    };
    static struct table table;
    table.count = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct tl_plan *plan = make_plan(workflow, &shape, cost, &table);
        if (i % 10 == 0)
            find_plan(&origin, plan, &table);
        if (i % 25 == 0)
            choose_plan(workflow, &shape, cost, &table);
        tl_plan_unref(plan);
    }
    print(&table, tl_workflow_name(workflow));
    tl_cost_unref(cost);
    tl_workflow_destroy(workflow);
    tl_diagnostics_fini(&findings);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        measure(argv[i]);
    if (argc == 1) {
        measure(TEOLA_SOURCE_DIR "/workflows/advanced-rag.yaml");
        measure(TEOLA_SOURCE_DIR "/workflows/naive-rag.yaml");
    }
    return 0;
}

/* emulated_table: what each pass does for the latency of one query, on emulated engines in virtual time.
 *
 *     emulated_table                  the table of each query, beside the least time that its work can take (bound.py)
 *     emulated_table --why [QUERY]    the way that the last primitive of `paper` waited for, step by step
 *     emulated_table --graph QUERY    the graph as `paper` makes it
 *     emulated_table --cost QUERY     the forms that `cost` compares, and which it keeps
 *
 * Queries are bench/emulated/QUERY.graph, engines bench/emulated/rtx3090.json, each instance on a device of its own. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "choice/choice.h"
#include "emulated/profile_machine.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "sim/sim.h"

static const char *const queries[] = {"advanced", "advanced-parallel", "naive"};
enum { QUERIES = sizeof queries / sizeof queries[0],
       CHUNKS = 48,
       CHUNK_TOKENS = 256,
       QUESTION_TOKENS = 20,
       BYTES_PER_TOKEN = 4,
       MEMO_BYTES = 64 << 20 };

static char *path_of(const char *query, const char *ending) {
    struct tl_str path = TL_STR_INIT;
    tl_str_printf(&path, "%s/bench/emulated/%s%s", TEOLA_SOURCE_DIR, query, ending);
    return tl_str_detach(&path);
}

/* ---- inputs ---- */

/* Words of three letters: a token each. `salt` makes texts differ. */
static struct tl_str words(unsigned tokens, unsigned salt) {
    static const char *const known[] = {"ash", "bay", "cay", "den", "elm", "fen", "gap", "hut", "ice", "jet", "key"};
    struct tl_str text = TL_STR_INIT;
    uint32_t state = salt * 2654435761u + 1;
    for (unsigned i = 0; i < tokens; i++) {
        state = state * 1664525u + 1013904223u;
        tl_str_printf(&text, "%s ", known[(state >> 16) % (sizeof known / sizeof known[0])]);
    }
    TL_ASSERT(text.length == (size_t)tokens * BYTES_PER_TOKEN);
    return text;
}

static struct tl_value *question(unsigned number) {
    struct tl_str text = words(QUESTION_TOKENS, number);
    struct tl_value *value = tl_value_text(text.data, text.length);
    tl_str_fini(&text);
    return value;
}

static struct tl_value *chunks(void) {
    struct tl_value *items[CHUNKS];
    for (unsigned i = 0; i < CHUNKS; i++) {
        struct tl_str text = words(CHUNK_TOKENS, 100 + i);
        char id[24];
        snprintf(id, sizeof id, "%016x:%u", 1u, i);
        items[i] = tl_value_chunk(&(struct tl_chunk){.id = id,
                                                     .uri = "document",
                                                     .title = "",
                                                     .heading = "",
                                                     .text = text.data,
                                                     .length = text.length,
                                                     .ordinal = i,
                                                     .tokens = CHUNK_TOKENS});
        tl_str_fini(&text);
    }
    return tl_value_list(TL_TYPE_OF(CHUNK, 0), items, CHUNKS);
}

/* ---- one run ---- */

static json_t *load_profile(void) {
    char *path = path_of("rtx3090", ".json");
    json_error_t where;
    json_t *profile = json_load_file(path, 0, &where);
    if (!profile) TL_BUG("%s:%d: %s", path, where.line, where.text);
    tl_mem_free(path);
    return profile;
}

/* The largest efficient batch: these models gain from every unit more, up to the limit. */
static uint32_t batch_of(void *profile, const char *engine) {
    const json_t *settings = json_object_get(json_object_get(profile, engine), "settings");
    return (uint32_t)json_integer_value(json_object_get(settings, "batch"));
}

static struct tl_graph *read_graph(const char *query) {
    struct tl_diagnostics findings;
    struct tl_error error;
    struct tl_str text = TL_STR_INIT;
    char *path = path_of(query, ".graph");
    if (tl_file_read(path, 1 << 20, &text, &error) != TL_OK) TL_BUG("%s", error.message);
    tl_diagnostics_init(&findings, path);
    struct tl_graph *graph = tl_graph_parse(text.data, &findings);
    if (!graph) TL_BUG("%s: %s", path, findings.items[0].message);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&text);
    tl_mem_free(path);
    return graph;
}

static struct tl_plan *make_plan(const char *query, enum tl_optimize level, const char *const *passes, size_t count) {
    struct tl_error error;
    struct tl_plan *plan;
    struct tl_graph *graph = read_graph(query);
    struct tl_opt_options options = tl_opt_defaults();
    json_t *profile = load_profile();
    options.level = level;
    options.batch = batch_of;
    options.context = profile;
    options.passes = passes;
    options.pass_count = count;
    if (tl_opt_run(&graph, &options, NULL, &error) != TL_OK || tl_plan_freeze(graph, NULL, &plan, &error) != TL_OK)
        TL_BUG("%s", error.message);
    json_decref(profile);
    return plan;
}

/* What `cost` keeps, with each instance on a device of its own. */
static struct tl_plan *choose_plan(const char *query, struct tl_choice_report *report) {
    struct profile_machine furnished;
    struct tl_cost *cost = tl_cost_create();
    json_t *profile = load_profile(), *engine;
    const char *name;
    json_object_foreach(profile, name, engine) tl_cost_add_emulated(cost, name, json_object_get(engine, "settings"));
    profile_machine_init(&furnished, profile, cost);
    struct tl_graph *graph = read_graph(query);
    struct tl_opt_options options = tl_opt_defaults();
    struct tl_plan *plan;
    struct tl_error error;
    if (tl_choice_make(graph, &options, &furnished.machine, &(struct tl_choice_load){0}, &plan, report, &error) != TL_OK)
        TL_BUG("%s", error.message);
    tl_graph_destroy(graph);
    tl_cost_unref(cost);
    json_decref(profile);
    return plan;
}

static struct tl_sim *furnished(void) {
    struct tl_sim *sim =
        tl_sim_create(&(struct tl_sim_config){.seed = 1, .record = true, .memo_bytes = MEMO_BYTES});
    json_t *profile = load_profile(), *engine;
    const char *name;
    json_object_foreach(profile, name, engine) {
        struct tl_error error;
        for (json_int_t i = 0; i < json_integer_value(json_object_get(engine, "instances")); i++)
            if (tl_sim_add_engine(sim, name, json_object_get(engine, "settings"), tl_sim_add_device(sim, name),
                                  &error) != TL_OK)
                TL_BUG("%s", error.message);
    }
    json_decref(profile);
    return sim;
}

/* Asks the question when nothing else runs. */
static const struct tl_sim_result *ask(struct tl_sim *sim, struct tl_plan *plan, unsigned number) {
    struct tl_value *inputs[] = {question(number), chunks()};
    uint64_t run = tl_sim_submit(
        sim, &(struct tl_sim_request){.at = tl_sim_now(sim), .plan = plan, .inputs = inputs, .input_count = 2});
    tl_sim_run(sim);
    const struct tl_sim_result *result = tl_sim_result(sim, run);
    if (result->status != TL_OK || tl_sim_violation(sim)[0])
        TL_BUG("the run failed: %s %s", result->message ? result->message : "", tl_sim_violation(sim));
    return result;
}

/* Runs the query alone; the caller destroys the simulation. */
static struct tl_sim *simulate(struct tl_plan *plan) {
    struct tl_sim *sim = furnished();
    ask(sim, plan, 1);
    return sim;
}

/* A question to documents that have been asked another one before. */
static double latency_of_second(const char *query) {
    struct tl_plan *plan = make_plan(query, TL_OPTIMIZE_PAPER, NULL, 0);
    struct tl_sim *sim = furnished();
    plan->shares = true;
    ask(sim, plan, 1);
    const struct tl_sim_result *result = ask(sim, plan, 2);
    double ms = (double)(result->ended - result->submitted) / 1e6;
    tl_sim_destroy(sim);
    tl_plan_unref(plan);
    return ms;
}

/* Takes the plan. */
static double latency(struct tl_plan *plan) {
    struct tl_sim *sim = simulate(plan);
    double ms = (double)tl_sim_result(sim, 1)->ended / 1e6;
    tl_sim_destroy(sim);
    tl_plan_unref(plan);
    return ms;
}

/* ---- the table ---- */

static void put_cost_row(const double *bounds) {
    printf("| %-28s |", "cost");
    for (size_t q = 0; q < QUERIES; q++) {
        double ms = latency(choose_plan(queries[q], NULL));
        printf(" %6.0f | %5.2f |", ms, ms / bounds[q]);
    }
    printf("\n");
}

static void put_choice(const char *query) {
    struct tl_choice_report report;
    struct tl_str text = TL_STR_INIT;
    tl_choice_report_init(&report);
    uint64_t start = tl_clock_now();
    tl_plan_unref(choose_plan(query, &report));
    uint64_t took = tl_clock_now() - start;
    tl_choice_report_print(&report, &text);
    printf("%s%zu forms compared in %.1f ms\n", text.data, report.count, (double)took / 1e6);
    tl_choice_report_fini(&report);
    tl_str_fini(&text);
}

/* By the independent script. */
static double bound(const char *work) {
    struct tl_str command = TL_STR_INIT;
    double ms = 0;
    tl_str_printf(&command, "python3 '%s/bench/emulated/bound.py' '%s/bench/emulated/rtx3090.json' '%s/bench/emulated/%s.work'",
                  TEOLA_SOURCE_DIR, TEOLA_SOURCE_DIR, TEOLA_SOURCE_DIR, work);
    FILE *pipe = popen(command.data, "r");
    if (!pipe || fscanf(pipe, "%lf", &ms) != 1) TL_BUG("cannot run %s", command.data);
    pclose(pipe);
    tl_str_fini(&command);
    return ms;
}

static void put_row(const char *name, enum tl_optimize level, const char *const *passes, size_t count,
                    const double *bounds) {
    printf("| %-28s |", name);
    for (size_t q = 0; q < QUERIES; q++) {
        double ms = latency(make_plan(queries[q], level, passes, count));
        printf(" %6.0f | %5.2f |", ms, ms / bounds[q]);
    }
    printf("\n");
}

/* Questions to documents that are known already. */
static void put_known_rows(void) {
    static const char *const works[QUERIES] = {"advanced-known", "advanced-parallel-known", "naive-known"};
    double bounds[QUERIES];
    printf("| %-28s |", "bound, documents known");
    for (size_t q = 0; q < QUERIES; q++) {
        bounds[q] = bound(works[q]);
        printf(" %6.0f | %5.2f |", bounds[q], 1.0);
    }
    printf("\n| %-28s |", "paper, documents known");
    for (size_t q = 0; q < QUERIES; q++) {
        double ms = latency_of_second(queries[q]);
        printf(" %6.0f | %5.2f |", ms, ms / bounds[q]);
    }
    printf("\n");
}

static void put_table(void) {
    double bounds[QUERIES];
    printf("| %-28s |", "ms");
    for (size_t q = 0; q < QUERIES; q++) printf(" %s | / bound |", queries[q]);
    printf("\n|---|");
    for (size_t q = 0; q < QUERIES; q++) printf("--:|--:|");
    printf("\n| %-28s |", "bound");
    for (size_t q = 0; q < QUERIES; q++) {
        bounds[q] = bound(queries[q]);
        printf(" %6.0f | %5.2f |", bounds[q], 1.0);
    }
    printf("\n");
    put_row("off", TL_OPTIMIZE_OFF, NULL, 0, bounds);
    put_row("paper", TL_OPTIMIZE_PAPER, NULL, 0, bounds);
    put_cost_row(bounds);
    for (size_t i = 0; i < tl_opt_pass_count(); i++) {
        struct tl_str name = TL_STR_INIT, flag = TL_STR_INIT;
        tl_str_printf(&name, "%s alone", tl_opt_pass_name(i));
        tl_str_printf(&flag, "+%s", tl_opt_pass_name(i));
        put_row(name.data, TL_OPTIMIZE_PAPER, (const char *const[]){"-all", flag.data}, 2, bounds);
        tl_str_fini(&name);
        tl_str_fini(&flag);
    }
    for (size_t i = 1; i < tl_opt_pass_count(); i++) {
        struct tl_str name = TL_STR_INIT, flag = TL_STR_INIT;
        tl_str_printf(&name, "prune and %s", tl_opt_pass_name(i));
        tl_str_printf(&flag, "+%s", tl_opt_pass_name(i));
        put_row(name.data, TL_OPTIMIZE_PAPER, (const char *const[]){"-all", "+prune", flag.data}, 3, bounds);
        tl_str_fini(&name);
        tl_str_fini(&flag);
    }
    for (size_t i = 0; i < tl_opt_pass_count(); i++) {
        struct tl_str name = TL_STR_INIT, flag = TL_STR_INIT;
        tl_str_printf(&name, "paper without %s", tl_opt_pass_name(i));
        tl_str_printf(&flag, "-%s", tl_opt_pass_name(i));
        put_row(name.data, TL_OPTIMIZE_PAPER, (const char *const[]){flag.data}, 1, bounds);
        tl_str_fini(&name);
        tl_str_fini(&flag);
    }
    put_known_rows();
}

/* ---- why it takes so long ---- */

/* What made `item` ready: the primitive that ended then, or one that passed on a list item then. */
static const struct tl_sim_item *cause_of(const struct tl_sim_item *items, size_t count,
                                          const struct tl_sim_item *item) {
    const struct tl_sim_item *streams = NULL;
    for (size_t i = 0; i < count; i++) {
        if (items[i].end == item->ready && &items[i] != item) return &items[i];
        if (items[i].pieces && items[i].start < item->ready && item->ready < items[i].end) streams = &items[i];
    }
    return streams;
}

static void put_item(const struct tl_sim *sim, const struct tl_sim_item *item) {
    (void)sim;
    printf("  %8.1f %8.1f %8.1f %8.1f  %u  %s (%" PRIu64 " units, %" PRIu64 " tokens in, %" PRIu64 " reused, %" PRIu64
           " out, batch of %u)\n",
           (double)item->ready / 1e6, (double)(item->start - item->ready) / 1e6, (double)item->start / 1e6,
           (double)item->end / 1e6, item->instance, item->label, item->usage.units, item->usage.tokens_in,
           item->usage.tokens_reused, item->usage.tokens_out, item->usage.batch_units);
}

static void put_why(const char *query) {
    struct tl_plan *plan = make_plan(query, TL_OPTIMIZE_PAPER, NULL, 0);
    struct tl_sim *sim = simulate(plan);
    size_t count;
    const struct tl_sim_item *items = tl_sim_items(sim, &count), *at = &items[0];
    printf("%s, all primitives in order of their start (ms)\n     ready   waited    start      end  instance\n", query);
    for (size_t i = 0; i < count; i++) {
        put_item(sim, &items[i]);
        if (items[i].end > at->end) at = &items[i];
    }
    printf("the way to the last one, backwards\n");
    for (; at; at = cause_of(items, count, at)) put_item(sim, at);
    tl_sim_destroy(sim);
    tl_plan_unref(plan);
}

int main(int argc, char **argv) {
    if (argc == 1) {
        put_table();
    } else if (argc <= 3 && strcmp(argv[1], "--why") == 0) {
        for (size_t q = 0; q < QUERIES; q++)
            if (argc == 2 || strcmp(argv[2], queries[q]) == 0) put_why(queries[q]);
    } else if (argc == 3 && strcmp(argv[1], "--graph") == 0) {
        struct tl_plan *plan = make_plan(argv[2], TL_OPTIMIZE_PAPER, NULL, 0);
        struct tl_str text = TL_STR_INIT;
        tl_graph_print(plan->graph, &text);
        fputs(text.data, stdout);
        tl_str_fini(&text);
        tl_plan_unref(plan);
    } else if (argc == 3 && strcmp(argv[1], "--cost") == 0) {
        put_choice(argv[2]);
    } else {
        fprintf(stderr, "usage: emulated_table [--why [QUERY] | --graph QUERY | --cost QUERY]\n");
        return 2;
    }
    return 0;
}

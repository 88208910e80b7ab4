/* equivalence: optimised and unoptimised runs give the same results.
 *
 *     equivalence [--from SEED] [--count N] [--given]   random workflows, each run in several ways; fails at a difference;
 *                                                --given: never in the form that is chosen by prediction
 *     equivalence --seed N                       one of them: prints its graphs and what came of each way
 *     equivalence --mutations [--count N]        bugs put in after the passes must be found within N workflows
 *
 * Each workflow is run without passes (the reference); with all passes; with some of them; and again without, each
 * on other devices with other speeds, batch sizes and instances; some also in the form that is chosen by
 * prediction. Results must be equal as JSON. Then with failures, deadlines and clients that leave: each run ends exactly
 * once, for a reason that was given, with equal results when it is done; and nothing is left, neither items nor prefixes
 * nor collections. The same with a memory that runs share, among them runs that ask for part of the same, that belong
 * to others, or that take no part. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "choice/choice.h"
#include "equivalence/generate.h"
#include "equivalence/mutate.h"
#include "graph/random_test_support.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "sim/sim.h"

/* A workflow whose reference needs more is left out; a way that needs eight times as many is wrong. */
#define MOST_EVENTS 8000
#define MOST_PASSES 64

/* ---- one way to run a workflow ---- */

struct way {
    const char *name;
    enum tl_optimize level;
    bool reference;
    bool some_passes;   /* leave some out */
    bool chooses;       /* by prediction, for devices that have nothing to do with those that it runs on */
    bool faults;
    bool shares;        /* results are remembered: by most of the runs, and by others that ask for part of the same */
    unsigned runs;      /* at once; 1 for workflows that change what other runs see */
    size_t mutation;    /* MUTATIONS: none */
    uint64_t world;     /* seed of devices, speeds, times */
};

struct outcome {
    bool applied;       /* the mutation had a place */
    bool rejected;      /* the graph did not verify any more */
    bool too_large;     /* lists of lists of lists: not run to its end */
    enum tl_status status;
    json_t *outputs;
    uint64_t latency, trace;
    uint32_t items;
    uint64_t remembered; /* results that no engine had to compute again */
    uint64_t changed;   /* by which passes the graph was: a bit each */
    struct tl_str wrong; /* what is wrong whatever the reference says */
};

static void outcome_fini(struct outcome *outcome) {
    json_decref(outcome->outputs);
    tl_str_fini(&outcome->wrong);
}

static uint32_t batch_of(void *context, const char *engine) {
    (void)engine;
    return *(const uint32_t *)context;
}

static const char *const engine_names[] = {"documents", "embed", "rerank", "store", "llm", "web", "tool"};
enum { ENGINES = sizeof engine_names / sizeof engine_names[0] };

/* The choice is never predicted to be worse than `off` and `paper`, which are among the forms. */
static void check_choice(const struct tl_choice_report *report, struct tl_str *wrong) {
    const struct tl_choice_candidate *chosen = &report->candidates[report->chosen];
    for (size_t i = 0; i < report->count; i++) {
        const struct tl_choice_candidate *candidate = &report->candidates[i];
        if (!candidate->failure && (chosen->failure || chosen->ms > candidate->ms * (1 + TL_CHOICE_TIE)))
            tl_str_printf(wrong, "%s (%.3f ms) was chosen, but %s takes %.3f ms\n", chosen->name, chosen->ms,
                          candidate->name, candidate->ms);
    }
}

/* The graph goes. */
static struct tl_graph *choose(struct tl_graph *graph, const struct tl_opt_options *options, struct tl_random *random,
                               struct outcome *outcome) {
    static const char *const devices[] = {"a", "b", "c", "d"};
    struct tl_choice_engine engines[ENGINES];
    const struct tl_choice_machine machine = {.engines = engines, .count = ENGINES, .cost = tl_cost_create()};
    const struct tl_choice_load load = {.runs = 1 + tl_random_below(random, 2), .document_tokens = 400};
    struct tl_choice_report report;
    struct tl_plan *plan;
    struct tl_error error;
    for (size_t i = 0; i < ENGINES; i++) {
        uint32_t first = tl_random_below(random, 4);
        engines[i] = (struct tl_choice_engine){.name = engine_names[i],
                                               .emulated = tl_random_chance(random, 50),
                                               .devices = devices + first,
                                               .device_count = 1 + tl_random_below(random, 4 - first),
                                               .instances = 1 + tl_random_below(random, 2)};
        if (engines[i].emulated) tl_cost_add_emulated(machine.cost, engines[i].name, NULL);
    }
    tl_choice_report_init(&report);
    enum tl_status status = tl_choice_make(graph, options, &machine, &load, &plan, &report, &error);
    tl_graph_destroy(graph);
    if (status != TL_OK) TL_BUG("%s", error.message);
    check_choice(&report, &outcome->wrong);
    graph = tl_graph_clone(plan->graph);
    tl_choice_report_fini(&report);
    tl_plan_unref(plan);
    tl_cost_unref(machine.cost);
    return graph;
}

static struct tl_plan *make_plan(const struct generated *generated, const struct way *way, struct tl_random *random,
                                 struct outcome *outcome, struct tl_str *text) {
    struct tl_graph *graph = tl_graph_clone(generated->graph);
    struct tl_opt_options options = tl_opt_defaults();
    const char *left_out[MOST_PASSES];
    char names[MOST_PASSES][40];
    struct tl_error error;
    struct tl_plan *plan = NULL;
    uint32_t batch = tl_random_below(random, 5); /* small: lists here are short */
    options.level = way->level;
    options.batch = batch_of;
    options.context = &batch;
    options.check = false; /* the text form has tests of its own */
    for (size_t i = 0; way->some_passes && i < tl_opt_pass_count() && i < MOST_PASSES; i++) {
        if (!tl_random_chance(random, 40)) continue;
        snprintf(names[i], sizeof names[i], "-%s", tl_opt_pass_name(i));
        left_out[options.pass_count++] = names[i];
    }
    options.passes = left_out;
    struct tl_opt_report report;
    tl_opt_report_init(&report);
    if (way->chooses)
        graph = choose(graph, &options, random, outcome);
    else if (tl_opt_run(&graph, &options, &report, &error) != TL_OK)
        tl_str_printf(&outcome->wrong, "the optimizer failed: %s\n", error.message);
    for (size_t i = 0; i < report.count; i++) {
        const struct tl_opt_entry *entry = &report.entries[i];
        if (entry->outcome == TL_OPT_FAILED)
            tl_str_printf(&outcome->wrong, "pass %s failed: %s\n", entry->pass, entry->notes.data);
        for (size_t p = 0; p < tl_opt_pass_count() && entry->outcome == TL_OPT_CHANGED; p++)
            if (strcmp(tl_opt_pass_name(p), entry->pass) == 0) outcome->changed |= UINT64_C(1) << p;
    }
    tl_opt_report_fini(&report);
    outcome->applied = way->mutation == MUTATIONS || mutate(graph, way->mutation, way->world);
    if (text) tl_graph_print(graph, text);
    if (tl_plan_freeze(graph, NULL, &plan, &error) != TL_OK) {
        outcome->rejected = true;
        if (way->mutation == MUTATIONS)
            tl_str_printf(&outcome->wrong, "it cannot be made a plan: %s\n", error.message);
    }
    return plan;
}

/* Devices and engines of any shape; what decides results (lengths, dimensions) follows from the workflow's seed. */
static void furnish(struct tl_sim *sim, uint64_t seed, const struct generated *generated, struct tl_random *random) {
    unsigned devices = 1 + tl_random_below(random, 4);
    for (unsigned i = 0; i < devices; i++) tl_sim_add_device(sim, "device");
    for (size_t e = 0; e < ENGINES; e++) {
        bool one = strcmp(engine_names[e], "store") == 0 && generated->changes_world;
        unsigned instances = one ? 1 : 1 + tl_random_below(random, 2);
        bool pool = tl_random_chance(random, 30);
        for (unsigned i = 0; i < instances; i++) {
            struct tl_error error;
            json_t *settings =
                json_pack("{s:[s], s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:i, s:f, s:i, s:i, s:i, s:s}", "serves",
                          engine_names[e], "dimension", 16, "context_tokens", 10000000, "host_tokens", 1000000000,
                          "collection_chunks", 12, "document_chunks", 1 + (int)(seed % 3), "answer_tokens", 8,
                          "list_tokens", 5, "list_spread", (int)(seed % 4), "list_broken", seed % 5 < 2 ? 3 : 0,
                          "scale", 0.01 + tl_random_below(random, 300) / 100.0, "batch",
                          1 << tl_random_below(random, 7), "sequences", 1 << tl_random_below(random, 6),
                          "iteration_tokens", 16 << tl_random_below(random, 8), "executor", pool ? "pool" : "device");
            if (tl_sim_add_engine(sim, engine_names[e], settings, tl_random_below(random, devices), &error) != TL_OK)
                TL_BUG("%s", error.message);
            json_decref(settings);
        }
    }
}

/* A list without its first items. */
static struct tl_value *part_of(const struct tl_value *list, size_t without) {
    size_t count = list->as.list.count;
    without = without < count ? without : count;
    for (size_t i = without; i < count; i++) tl_value_ref(list->as.list.items[i]);
    return tl_value_list(tl_type_element(list->type), list->as.list.items + without, count - without);
}

/* `other`: asks for part of the same. Collections have a version, so that what is found in them may be remembered. */
static void submit(struct tl_sim *sim, struct tl_plan *plan, const struct generated *generated, const struct way *way,
                   bool other, uint64_t usual, struct tl_random *random) {
    struct tl_value *inputs[8];
    for (size_t i = 0; i < generated->input_count; i++) {
        struct tl_value *input = generated->inputs[i];
        if (input->type.depth > 0 && other)
            inputs[i] = part_of(input, tl_random_below(random, 3));
        else if (input->type.depth == 0 && input->type.base == TL_TYPE_INDEX && !input->as.index.resource)
            inputs[i] = tl_value_index(input->as.index.collection, NULL, 1);
        else
            inputs[i] = tl_value_ref(input);
    }
    struct tl_sim_request request = {
        .plan = plan,
        .inputs = inputs,
        .input_count = generated->input_count,
        .at = way->runs > 1 ? (uint64_t)tl_random_below(random, 100) * TL_NS_PER_MS : 0,
        .tenant = way->shares && tl_random_chance(random, 10) ? "another" : NULL,
    };
    if (way->faults && tl_random_chance(random, 30)) request.timeout = 1 + tl_random_next(random) % (2 * usual + 1);
    if (way->faults && tl_random_chance(random, 30)) request.leave = 1 + tl_random_next(random) % (2 * usual + 1);
    tl_sim_submit(sim, &request);
}

/* A prefix that was prefilled ahead must be one of the prompt that it was prefilled for. It is there still: these engines
 * have memory for all of them. */
static void check_prefixes(struct tl_sim *sim, struct tl_str *wrong) {
    size_t count;
    const struct tl_sim_item *items = tl_sim_items(sim, &count);
    for (size_t i = 0; i < count; i++) {
        bool prefill = items[i].op == TL_OP_PARTIAL_PREFILL || items[i].op == TL_OP_FULL_PREFILL;
        if (prefill && items[i].status == TL_OK && items[i].usage.tokens_reused + 1 < items[i].prefix)
            tl_str_printf(wrong, "%s took over %" PRIu64 " of the %u tokens prefilled ahead\n", items[i].label,
                          items[i].usage.tokens_reused, items[i].prefix);
    }
}

/* A list that breaks off where the workflow wants to fail then. */
static bool broke_off(const struct tl_sim_result *result) {
    return result->status == TL_ERR_ENGINE && strstr(result->message, "breaks off") != NULL;
}

static void check_ends(struct tl_sim *sim, const struct way *way, struct outcome *outcome) {
    for (unsigned run = 1; run <= way->runs; run++) {
        const struct tl_sim_result *result = tl_sim_result(sim, run);
        if (result->endings != 1) continue; /* tl_sim_violation says so */
        bool expected = result->status == TL_OK || broke_off(result) ||
                        (way->faults && (result->status == TL_ERR_ENGINE || result->status == TL_ERR_DEADLINE ||
                                         result->status == TL_ERR_CANCELLED));
        if (!expected && way->mutation == MUTATIONS)
            tl_str_printf(&outcome->wrong, "run %u ended as %s: %s\n", run, tl_status_name(result->status),
                          result->message);
        if (result->status != TL_OK) continue;
        if (outcome->outputs && !json_equal(outcome->outputs, result->outputs))
            tl_str_puts(&outcome->wrong, "two runs at once gave different results\n");
        if (!outcome->outputs) outcome->outputs = json_incref(result->outputs);
    }
}

static struct tl_plan *copy_of(const struct tl_plan *plan) {
    struct tl_plan *copy;
    struct tl_error error;
    if (tl_plan_freeze(tl_graph_clone(plan->graph), NULL, &copy, &error) != TL_OK) TL_BUG("%s", error.message);
    return copy;
}

static void run(uint64_t seed, const struct generated *generated, const struct way *way, uint64_t usual,
                struct outcome *outcome, struct tl_str *text) {
    struct tl_random random = {way->world};
    memset(outcome, 0, sizeof *outcome);
    tl_str_init(&outcome->wrong);
    struct tl_plan *plan = make_plan(generated, way, &random, outcome, text);
    if (!plan || !outcome->applied) {
        tl_plan_unref(plan);
        return;
    }
    struct tl_sim_config config = {
        .seed = way->world,
        .jitter = tl_random_chance(&random, 50) ? 0.9 : 0,
        .failure = way->faults && tl_random_chance(&random, 50) ? 0.05 : 0,
        .memo_bytes = !way->shares ? 0 : tl_random_chance(&random, 30) ? 2000 : 1 << 20,
        .record = true,
        .check = seed % 8 == 0 ? 16 : 0,
    };
    struct tl_plan *apart = copy_of(plan);
    plan->shares = way->shares;
    struct tl_sim *sim = tl_sim_create(&config);
    furnish(sim, seed, generated, &random);
    unsigned others = way->shares && !generated->changes_world ? 1 : 0;
    for (unsigned i = 0; i < way->runs + others; i++)
        submit(sim, way->shares && tl_random_chance(&random, 20) ? apart : plan, generated, way, i >= way->runs, usual,
               &random);
    for (unsigned events = 0; tl_sim_advance(sim);)
        if (++events > MOST_EVENTS * (way->runs + others) * (way->reference ? 1 : 8)) {
            outcome->too_large = true;
            break;
        }
    const struct tl_sim_result *first = tl_sim_result(sim, 1);
    outcome->status = first->status;
    outcome->latency = first->ended - first->submitted;
    outcome->items = first->items;
    outcome->trace = tl_sim_trace_hash(sim);
    if (!outcome->too_large) {
        check_ends(sim, way, outcome);
        check_prefixes(sim, &outcome->wrong);
    }
    tl_str_puts(&outcome->wrong, tl_sim_violation(sim));
    struct tl_sched_counters counters;
    tl_sim_get_counters(sim, &counters);
    outcome->remembered = counters.memo.hits + counters.memo.shared;
    tl_sim_destroy(sim);
    tl_plan_unref(plan);
    tl_plan_unref(apart);
}

/* ---- one workflow ---- */

struct totals {
    uint64_t workflows, too_large, runs, primitives, largest, faulty, ended_early, remembered;
    uint64_t changed[MOST_PASSES]; /* workflows that each pass changed */
};

static void print_difference(const json_t *expected, const json_t *found, struct tl_str *out) {
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)expected, name, value) {
        json_t *other = json_object_get(found, name);
        if (json_equal(value, other)) continue;
        char *a = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS);
        char *b = other ? json_dumps(other, JSON_ENCODE_ANY | JSON_COMPACT | JSON_SORT_KEYS) : NULL;
        tl_str_printf(out, "result %s differs\n    expected %.400s\n    found    %.400s\n", name, a ? a : "",
                      b ? b : "nothing");
        free(a);
        free(b);
    }
}

static void compare(const struct outcome *expected, const struct way *way, struct outcome *found) {
    if (found->too_large) tl_str_puts(&found->wrong, "it takes much more events than the reference\n");
    if (found->outputs && expected->outputs && !json_equal(expected->outputs, found->outputs))
        print_difference(expected->outputs, found->outputs, &found->wrong);
    if (found->status != expected->status && !found->too_large && !way->faults && !found->rejected)
        tl_str_printf(&found->wrong, "it ended as %s, the reference as %s\n", tl_status_name(found->status),
                      tl_status_name(expected->status));
}

enum { WAYS = 8 };

static void choose_ways(uint64_t seed, bool alone, struct way *ways) {
    struct tl_random random = {seed ^ UINT64_C(0x5bd1e995)};
    unsigned two = alone ? 1 : 2;
    ways[0] = (struct way){.name = "off (reference)", .level = TL_OPTIMIZE_OFF, .reference = true, .runs = 1};
    ways[1] = (struct way){.name = "all passes", .level = TL_OPTIMIZE_PAPER, .runs = two};
    ways[2] = (struct way){.name = "some passes", .level = TL_OPTIMIZE_PAPER, .some_passes = true, .runs = 1};
    ways[3] = (struct way){.name = "off", .level = TL_OPTIMIZE_OFF, .runs = two};
    ways[4] = (struct way){.name = "all passes, faults", .level = TL_OPTIMIZE_PAPER, .faults = true, .runs = two};
    ways[5] = (struct way){.name = "all passes, memory", .level = TL_OPTIMIZE_PAPER, .shares = true, .runs = two};
    ways[6] = (struct way){
        .name = "memory, faults", .level = TL_OPTIMIZE_PAPER, .shares = true, .faults = true, .runs = two};
    ways[7] = (struct way){.name = "chosen", .level = TL_OPTIMIZE_COST, .chooses = true, .runs = two};
    for (size_t i = 0; i < WAYS; i++) {
        ways[i].world = tl_random_next(&random);
        ways[i].mutation = MUTATIONS;
    }
}

static size_t node_count(const struct tl_body *body) {
    size_t count = body->node_count;
    for (size_t i = 0; i < body->node_count; i++)
        for (size_t r = 0; r < 2 && body->nodes[i]->regions[r]; r++) count += node_count(body->nodes[i]->regions[r]);
    return count;
}

static bool check(uint64_t seed, bool show, bool given, struct totals *totals) {
    struct generated generated;
    struct way ways[WAYS];
    struct outcome outcomes[WAYS];
    bool good = true;
    generate(seed, &generated);
    choose_ways(seed, generated.changes_world, ways);
    /* Choosing runs a workflow in some ten forms: it is done for one in sixteen. */
    size_t size = node_count(generated.graph->root), ways_run = show || (!given && seed % 16 == 3) ? WAYS : WAYS - 1;
    totals->workflows++;
    totals->primitives += size;
    totals->largest = size > totals->largest ? size : totals->largest;
    for (size_t i = 0; i < ways_run; i++) {
        struct tl_str text = TL_STR_INIT;
        run(seed, &generated, &ways[i], outcomes[0].latency, &outcomes[i], show ? &text : NULL);
        if (outcomes[0].too_large) {
            totals->too_large++;
            ways_run = i + 1;
            tl_str_fini(&text);
            break;
        }
        totals->runs += ways[i].runs;
        totals->remembered += outcomes[i].remembered;
        for (size_t p = 0; i == 1 && p < tl_opt_pass_count() && p < MOST_PASSES; p++)
            totals->changed[p] += outcomes[i].changed >> p & 1;
        totals->faulty += ways[i].faults;
        totals->ended_early += ways[i].faults && outcomes[i].status != TL_OK;
        if (i > 0) compare(&outcomes[0], &ways[i], &outcomes[i]);
        if ((i == 1 || (ways[i].shares && ways[i].faults)) && seed % 16 == 0) { /* the same again */
            struct outcome again;
            run(seed, &generated, &ways[i], outcomes[0].latency, &again, NULL);
            if (again.trace != outcomes[i].trace)
                tl_str_puts(&outcomes[i].wrong, "the same seed gave another trace\n");
            outcome_fini(&again);
        }
        if (show)
            printf("== %s\n%s-- %s, %u items, %.3f ms, trace %016" PRIx64 "\n", ways[i].name, text.data,
                   tl_status_name(outcomes[i].status), outcomes[i].items, (double)outcomes[i].latency / 1e6,
                   outcomes[i].trace);
        if (outcomes[i].wrong.length > 0) {
            printf("seed %" PRIu64 ", %s: %s", seed, ways[i].name, outcomes[i].wrong.data);
            good = false;
        }
        tl_str_fini(&text);
    }
    for (size_t i = 0; i < ways_run; i++) outcome_fini(&outcomes[i]);
    generated_fini(&generated);
    return good;
}

static bool check_all(uint64_t from, uint64_t count, bool given) {
    struct totals totals = {0};
    uint64_t failed = 0, begin = tl_clock_now();
    for (uint64_t seed = from; seed < from + count; seed++) {
        if (check(seed, false, given, &totals)) continue;
        printf("    replay: equivalence --seed %" PRIu64 "\n", seed);
        if (++failed == 10) break;
    }
    printf("%" PRIu64 " workflows of %.0f primitives (at most %" PRIu64 "), %" PRIu64
           " of them too long to run; %" PRIu64 " runs, %" PRIu64 " of %" PRIu64 " with faults ended early: %" PRIu64
           " differ, %.1f s\n",
           totals.workflows, (double)totals.primitives / (double)totals.workflows, totals.largest, totals.too_large,
           totals.runs, totals.ended_early, totals.faulty, failed, (double)(tl_clock_now() - begin) / 1e9);
    printf("    %" PRIu64 " results came from memory\n", totals.remembered);
    for (size_t p = 0; p < tl_opt_pass_count() && p < MOST_PASSES; p++)
        printf("    %s changed %" PRIu64 "\n", tl_opt_pass_name(p), totals.changed[p]);
    return failed == 0;
}

/* ---- mutations ---- */

/* Whether the check finds the mutation in this workflow: 1 found, 0 not, -1 no place for it. */
static int try_mutation(uint64_t seed, size_t mutation) {
    struct generated generated;
    struct way ways[WAYS];
    struct outcome expected, found;
    int result = -1;
    generate(seed, &generated);
    choose_ways(seed, generated.changes_world, ways);
    ways[1].mutation = mutation;
    run(seed, &generated, &ways[1], 0, &found, NULL);
    if (found.applied) {
        run(seed, &generated, &ways[0], 0, &expected, NULL);
        compare(&expected, &ways[1], &found);
        if (!expected.too_large) result = found.wrong.length > 0 || found.rejected;
        outcome_fini(&expected);
    }
    outcome_fini(&found);
    generated_fini(&generated);
    return result;
}

static bool check_mutations(uint64_t count) {
    bool all = true;
    for (size_t mutation = 0; mutation < MUTATIONS; mutation++) {
        uint64_t first = 0, places = 0, found = 0;
        for (uint64_t seed = 1; seed <= count; seed++) {
            int result = try_mutation(seed, mutation);
            places += result >= 0;
            found += result > 0;
            if (result > 0 && !first) first = seed;
        }
        printf("%-14s %-48s in %3" PRIu64 " of %" PRIu64 " workflows, found in %3" PRIu64, mutation_name(mutation),
               mutation_description(mutation), places, count, found);
        printf(first ? ", first by seed %" PRIu64 "\n" : "\n", first);
        all = all && first;
    }
    return all;
}

int main(int argc, char **argv) {
    uint64_t from = 1, count = 2000, seed = 0;
    bool mutations = false, given = false;
    for (int i = 1; i < argc; i++) {
        uint64_t *number = strcmp(argv[i], "--from") == 0    ? &from
                           : strcmp(argv[i], "--count") == 0 ? &count
                           : strcmp(argv[i], "--seed") == 0  ? &seed
                                                             : NULL;
        if (strcmp(argv[i], "--mutations") == 0) {
            mutations = true;
        } else if (strcmp(argv[i], "--given") == 0) {
            given = true;
        } else if (number && i + 1 < argc) {
            *number = strtoull(argv[++i], NULL, 10);
        } else {
            fprintf(stderr,
                    "usage: equivalence [--from SEED] [--count N] [--given] | --seed N | --mutations [--count N]\n");
            return 2;
        }
    }
    struct totals totals = {0};
    bool good = mutations ? check_mutations(count) : seed ? check(seed, true, false, &totals)
                                                          : check_all(from, count, given);
    return good ? EXIT_SUCCESS : EXIT_FAILURE;
}

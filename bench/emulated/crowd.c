/* crowd: what the pass `overlap` gives when more queries come at once than the engine has places for.
 *
 *     crowd            the table: mean time of 100 queries, and prompt prefixes alive at once, with the pass and without
 *
 * Each query is one call (400 tokens, 40 written), or two of which the second uses the first one's answer. Two emulated
 * instances of the profile's LLM in virtual time; all queries come at the same time. Averages of ten runs in which each
 * iteration takes up to a fifth more or less. */
#include <stdio.h>

#include "base/error.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "sched/policy.h"
#include "sim/sim.h"

enum { QUERIES = 100,
       TOKENS = 400,
       INSTANCES = 2,
       SEEDS = 10 };

static const char one_call[] =
    "graph \"one call\" {\n"
    "  parameters (question: text)\n"
    "  %1: prompt = render \"a/render\" (question: $question) {template=\"[[\\\"user\\\",\\\"{question}\\\"]]\"}\n"
    "  %2: kv = prefill \"a/prefill\" @llm (prompt: %1)\n"
    "  %3: text = decode \"a/decode\" @llm (kv: %2) {max_tokens=40}\n"
    "  results (answer: %3)\n"
    "}\n";

static const char two_calls[] =
    "graph \"two calls\" {\n"
    "  parameters (question: text)\n"
    "  %1: prompt = render \"a/render\" (question: $question) {template=\"[[\\\"user\\\",\\\"{question}\\\"]]\"}\n"
    "  %2: kv = prefill \"a/prefill\" @llm (prompt: %1)\n"
    "  %3: text = decode \"a/decode\" @llm (kv: %2) {max_tokens=40}\n"
    "  %4: prompt = render \"b/render\" (q: $question, a: %3) {template=\"[[\\\"user\\\",\\\"{q}{a}\\\"]]\"}\n"
    "  %5: kv = prefill \"b/prefill\" @llm (prompt: %4)\n"
    "  %6: text = decode \"b/decode\" @llm (kv: %5) {max_tokens=40}\n"
    "  results (answer: %6)\n"
    "}\n";

static struct tl_plan *make_plan(const char *text, bool overlap) {
    struct tl_diagnostics findings;
    struct tl_error error;
    struct tl_plan *plan;
    tl_diagnostics_init(&findings, "graph");
    struct tl_graph *graph = tl_graph_parse(text, &findings);
    if (!graph) TL_BUG("%s", findings.items[0].message);
    struct tl_opt_options options = tl_opt_defaults();
    options.level = TL_OPTIMIZE_PAPER;
    options.passes = (const char *const[]){"-overlap"};
    options.pass_count = overlap ? 0 : 1;
    if (tl_opt_run(&graph, &options, NULL, &error) != TL_OK || tl_plan_freeze(graph, NULL, &plan, &error) != TL_OK)
        TL_BUG("%s", error.message);
    tl_diagnostics_fini(&findings);
    return plan;
}

static struct tl_value *question(unsigned number) {
    struct tl_str text = TL_STR_INIT;
    for (unsigned i = 0; i < TOKENS; i++) tl_str_printf(&text, "%03u ", (number * 7 + i) % 1000);
    struct tl_value *value = tl_value_text(text.data, text.length);
    tl_str_fini(&text);
    return value;
}

/* Sums over the seeds. */
struct sums {
    double mean, last, prefixes;
};

static void run(struct tl_plan *plan, const struct tl_policy *policy, int places, uint64_t seed, struct sums *sums) {
    struct tl_sim *sim = tl_sim_create(&(struct tl_sim_config){.seed = seed, .policy = policy, .jitter = 0.2});
    for (int i = 0; i < INSTANCES; i++) {
        struct tl_error error;
        json_t *settings = json_pack("{s:[s], s:i, s:i, s:i, s:b}", "serves", "llm", "sequences", places, "batch", 1,
                                     "answer_tokens", 40, "prefix_cache", false);
        if (tl_sim_add_engine(sim, "llm", settings, tl_sim_add_device(sim, "card"), &error) != TL_OK)
            TL_BUG("%s", error.message);
        json_decref(settings);
    }
    for (unsigned i = 0; i < QUERIES; i++) {
        struct tl_value *inputs[] = {question(i)};
        tl_sim_submit(sim, &(struct tl_sim_request){.plan = plan, .inputs = inputs, .input_count = 1});
    }
    uint64_t most = 0;
    while (tl_sim_advance(sim))
        if (tl_sim_resources(sim) > most) most = tl_sim_resources(sim);
    double last = 0;
    for (unsigned i = 1; i <= QUERIES; i++) {
        const struct tl_sim_result *result = tl_sim_result(sim, i);
        if (result->status != TL_OK) TL_BUG("%s", result->message);
        double ms = (double)(result->ended - result->submitted) / 1e6;
        sums->mean += ms / QUERIES;
        last = ms > last ? ms : last;
    }
    sums->last += last;
    sums->prefixes += (double)most;
    tl_sim_destroy(sim);
}

static void put(const char *graph, const struct tl_policy *policy, int places, bool overlap) {
    struct tl_plan *plan = make_plan(graph, overlap);
    struct sums sums = {0};
    for (uint64_t seed = 1; seed <= SEEDS; seed++) run(plan, policy, places, seed, &sums);
    printf(" %6.0f | %6.0f | %4.0f |", sums.mean / SEEDS, sums.last / SEEDS, sums.prefixes / SEEDS);
    tl_plan_unref(plan);
}

int main(void) {
    static const char *const graphs[] = {one_call, two_calls}, *const names[] = {"one call", "two calls"};
    printf("| queries   | policy         | places | mean, ms | last | prefixes | with overlap: mean | last | prefixes |\n"
           "|---|---|--:|--:|--:|--:|--:|--:|--:|\n");
    for (size_t g = 0; g < 2; g++)
        for (size_t p = 0; tl_policy_at(p); p++)
            for (int places = 4; places <= 32; places *= 8) {
                printf("| %-9s | %-14s | %6d |", names[g], tl_policy_at(p)->name, places);
                put(graphs[g], tl_policy_at(p), places, false);
                put(graphs[g], tl_policy_at(p), places, true);
                printf("\n");
            }
    return 0;
}

/* Properties of the scheduler over random workflows, policies and faults, each seed a world of its own: engines that fail,
 * stand still, are slow or are lost; clients that leave; deadlines, tenants, priorities, limits. After every step the
 * invariants hold (tl_sched_is_valid); at the end each run has ended once, what is done has the results that its inputs
 * say, nothing is left; and the same seed gives the same trace.
 *
 *     sched_property_test               1,000 seeds
 *     sched_property_test FROM TO       those seeds: to replay one that is named, or to run many */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "graph/random_test_support.h"
#include "sched/policy.h"
#include "sched/world_test_support.h"

enum { RUNS = 6,
       PLANS = 2,
       PARAMETERS = 16 };

static uint64_t first_seed = 1, last_seed = 1000;

struct totals {
    uint64_t runs, done, failed, expired, cancelled, refused, retried, overtaking, hung;
};

static struct tl_plan *random_plan(uint64_t seed) {
    struct tl_graph *graph = tl_random_graph(seed, &(struct tl_random_shape){.nodes = 9, .nesting = 2});
    struct tl_plan *plan = NULL;
    struct tl_error error = {0};
    if (tl_plan_freeze(graph, NULL, &plan, &error) != TL_OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, error.message);
    return plan;
}

/* The engines of all plans. */
static size_t engines_of(struct tl_plan *const *plans, const char **names) {
    size_t count = 0;
    for (size_t p = 0; p < PLANS; p++)
        for (uint32_t e = 0; e < plans[p]->engine_count; e++) {
            size_t i = 0;
            while (i < count && strcmp(names[i], plans[p]->engines[e]) != 0) i++;
            if (i == count) names[count++] = plans[p]->engines[e];
        }
    return count;
}

static struct world_options options_of(uint64_t seed, const char *const *engines, size_t count) {
    struct tl_random random = {.state = tl_hash_u64(seed, 77)};
    struct world_options options = {
        .seed = seed,
        .engines = engines,
        .engine_count = count,
        .check = true,
        .policy = tl_policy_at((size_t)(seed % 5)),
        .devices = 1 + tl_random_below(&random, 3),
        .instances = 1 + tl_random_below(&random, 3),
        .batch_units = tl_random_below(&random, 6),
        .keep = tl_random_chance(&random, 60),
        .slow = tl_random_chance(&random, 30),
        .retries = tl_random_below(&random, 3),
    };
    if (tl_random_chance(&random, 40)) options.failure = 0.02;
    if (tl_random_chance(&random, 30)) options.hang = 0.01;
    if (tl_random_chance(&random, 30)) {
        options.hang = 0.04;
        options.mute = 0.02;
        options.hang_after_ms = 0.05;
    }
    if (tl_random_chance(&random, 40)) options.losses = 1 + tl_random_below(&random, 4);
    if (tl_random_chance(&random, 20)) options.limits.runs = 1 + tl_random_below(&random, 6);
    if (tl_random_chance(&random, 20)) options.limits.tenant_runs = 1 + tl_random_below(&random, 4);
    if (tl_random_chance(&random, 10)) options.limits.work_ms = 1 + tl_random_below(&random, 3000);
    return options;
}

static uint64_t submit(struct world *world, struct tl_plan *plan, uint64_t deadline) {
    const struct tl_plan_body *root = plan->root;
    struct tl_value *inputs[PARAMETERS];
    assert_true(root->parameter_count <= PARAMETERS);
    for (uint32_t i = 0; i < root->parameter_count; i++)
        inputs[i] = world_value(root->slots[i].type, tl_hash_u64(plan->hash, i));
    return world_submit(world, plan, inputs, root->parameter_count, deadline);
}

static void count_end(struct totals *totals, enum tl_status status) {
    totals->runs++;
    totals->done += status == TL_OK;
    totals->expired += status == TL_ERR_DEADLINE;
    totals->cancelled += status == TL_ERR_CANCELLED;
    totals->refused += status == TL_ERR_BUSY;
    totals->failed +=
        status != TL_OK && status != TL_ERR_DEADLINE && status != TL_ERR_CANCELLED && status != TL_ERR_BUSY;
}

/* Runs the world of the seed; returns its trace. */
static uint64_t live(uint64_t seed, struct totals *totals) {
    static const char *const tenants[] = {"", "left", "right"};
    struct tl_plan *plans[PLANS];
    const char *engines[PLANS * 16];
    char *expected[PLANS] = {0};
    unsigned kind[RUNS];
    uint64_t deadlines[RUNS];
    for (size_t p = 0; p < PLANS; p++) plans[p] = random_plan(tl_hash_u64(seed, p));
    size_t count = engines_of(plans, engines);
    struct world_options options = options_of(seed, engines, count);
    struct tl_cost *cost = tl_cost_create();
    json_t *settings = json_pack("{s:f}", "scale", 1e-5); /* the world's times are below a microsecond */
    for (size_t i = 0; i < count && seed % 3 > 0; i++) tl_cost_add_emulated(cost, engines[i], settings);
    json_decref(settings);
    options.cost = cost;
    struct world *world = world_create(&options);
    struct tl_random random = {.state = tl_hash_u64(seed, 78)};
    for (unsigned i = 0; i < RUNS; i++) {
        kind[i] = tl_random_below(&random, PLANS);
        deadlines[i] = tl_random_chance(&random, 25) ? world_now(world) + 1 + tl_random_below(&random, 20000) : 0;
        world_set_tenant(world, tenants[tl_random_below(&random, 3)]);
        world_set_priority(world, tl_random_chance(&random, 20) ? (double)tl_random_below(&random, 5) - 2 : 0);
        submit(world, plans[kind[i]], deadlines[i]);
        for (unsigned k = tl_random_below(&random, 12); k > 0; k--) world_advance(world);
        if (tl_random_chance(&random, 10)) world_cancel(world, 1 + tl_random_below(&random, i + 1));
    }
    world_run(world);
    for (unsigned i = 0; i < RUNS; i++) {
        const struct world_outcome *outcome = world_result(world, i + 1);
        if (!outcome->finished) fail_msg("seed %llu: run %u never ended", (unsigned long long)seed, i + 1);
        if (deadlines[i] && outcome->at > deadlines[i])
            fail_msg("seed %llu: run %u ended after its deadline", (unsigned long long)seed, i + 1);
        if ((outcome->status == TL_ERR_BUSY) != (outcome->retry_after_ms > 0))
            fail_msg("seed %llu: run %u was %s", (unsigned long long)seed, i + 1, outcome->message);
        count_end(totals, outcome->status);
        if (outcome->status != TL_OK) continue;
        char **slot = &expected[kind[i]];
        if (!*slot) *slot = tl_mem_strdup(outcome->outputs);
        if (strcmp(*slot, outcome->outputs) != 0)
            fail_msg("seed %llu: run %u has other results", (unsigned long long)seed, i + 1);
    }
    struct tl_sched_counters counters;
    tl_sched_get_counters(world_sched(world), &counters);
    totals->retried += counters.items_retried;
    totals->hung += counters.instances_hung;
    if (counters.runs_done + counters.runs_failed + counters.runs_cancelled + counters.runs_expired +
            counters.runs_refused != counters.runs_submitted)
        fail_msg("seed %llu: the counters of runs do not add up", (unsigned long long)seed);
    uint64_t trace = world_trace(world);
    world_destroy(world);
    tl_cost_unref(cost);
    for (size_t p = 0; p < PLANS; p++) {
        tl_mem_free(expected[p]);
        tl_plan_unref(plans[p]);
    }
    return trace;
}

static void properties_hold_for_all_seeds(void **state) {
    (void)state;
    struct totals totals = {0};
    for (uint64_t seed = first_seed; seed <= last_seed; seed++) {
        uint64_t trace = live(seed, &totals);
        if (seed % 16 == 0 && trace != live(seed, &totals))
            fail_msg("seed %llu gives another trace", (unsigned long long)seed);
    }
    printf("%llu runs: %llu done, %llu failed, %llu expired, %llu cancelled, %llu refused; %llu items tried again; "
           "%llu instances hung\n",
           (unsigned long long)totals.runs, (unsigned long long)totals.done, (unsigned long long)totals.failed,
           (unsigned long long)totals.expired, (unsigned long long)totals.cancelled, (unsigned long long)totals.refused,
           (unsigned long long)totals.retried, (unsigned long long)totals.hung);
    if (last_seed - first_seed < 100) return;
    /* Else the seeds would show nothing. */
    assert_true(totals.done > totals.runs / 4);
    assert_true(totals.failed && totals.expired && totals.cancelled && totals.refused && totals.retried && totals.hung);
}

int main(int argc, char **argv) {
    if (argc == 3) {
        first_seed = strtoull(argv[1], NULL, 10);
        last_seed = strtoull(argv[2], NULL, 10);
    }
    const struct CMUnitTest tests[] = {cmocka_unit_test(properties_hold_for_all_seeds)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of runs that use the memo, in virtual time; the scheduler's invariants are checked after every step. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "plan/plan_test_support.h"
#include "sched/policy.h"
#include "sched/world_test_support.h"

static const char *const engines[] = {"embedder", "store", "reranker", "llm"};

static struct tl_plan *plan_of(const char *text, bool shares) {
    struct tl_plan *plan = tl_plan_test_parse(text);
    plan->shares = shares;
    return plan;
}

static const char retrieve[] = "graph \"retrieve\" {\n"
                               "  parameters (texts:text[], question:text, index:index)\n"
                               "  %1: vector[] = embed \"embed\" @embedder (input: $texts)\n"
                               "  %2: hit[][] = search \"search\" @store (query: %1, index: $index) {count=3}\n"
                               "  %3: hit[][] = score \"score\" @reranker (hits: %2, query: $question)\n"
                               "  %4: vector = embed \"question\" @embedder (input: $question)\n"
                               "  results (hits: %3, vectors: %1, question: %4)\n"
                               "}\n";

static const char embed_only[] = "graph \"embed\" {\n"
                                 "  parameters (texts:text[])\n"
                                 "  %1: vector[] = embed \"embed\" @embedder (input: $texts)\n"
                                 "  results (vectors: %1)\n"
                                 "}\n";

static const char twice[] = "graph \"twice\" {\n"
                            "  parameters (texts:text[])\n"
                            "  %1: vector[] = embed \"one\" @embedder (input: $texts)\n"
                            "  %2: vector[] = embed \"two\" @embedder (input: $texts)\n"
                            "  results (one: %1, two: %2)\n"
                            "}\n";

static const char ingests[] = "graph \"ingests\" {\n"
                              "  parameters (chunks:chunk[], vectors:vector[], query:vector, index:index)\n"
                              "  %1: index = ingest \"ingest\" @store (chunks: $chunks, vectors: $vectors) "
                              "{collection=\"c\"}\n"
                              "  %2: hit[] = search \"search\" @store (query: $query, index: $index) after %1\n"
                              "  results (hits: %2, index: %1)\n"
                              "}\n";

static const char streamed[] = "graph \"streamed\" {\n"
                               "  parameters (texts:text[], collection:index)\n"
                               "  %1: vector[] = embed \"embed\" @embedder (input: $texts)\n"
                               "  %2: hit[][] hits = map \"each\" (items: %1) {streamed=true} {\n"
                               "    parameters (item:vector, index:number)\n"
                               "    %3: hit[] = search \"search\" @store (query: $item, index: $collection) {count=3}\n"
                               "    results (hits: %3)\n"
                               "  }\n"
                               "  results (hits: %2)\n"
                               "}\n";

/* texts[i] is "t<from + i>", modulo `modulus` unless that is 0. */
static struct tl_value *texts(unsigned from, unsigned count, unsigned modulus) {
    struct tl_value *items[64];
    for (unsigned i = 0; i < count; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "t%u", modulus ? (from + i) % modulus : from + i);
        items[i] = tl_value_text(text, (size_t)length);
    }
    return tl_value_list(TL_TYPE_OF(TEXT, 0), items, count);
}

static struct world *world_with(uint64_t seed, size_t memo_bytes, double failure) {
    return world_create(&(struct world_options){.seed = seed,
                                                .engines = engines,
                                                .engine_count = 4,
                                                .check = true,
                                                .devices = 2,
                                                .instances = 1 + (unsigned)(seed % 2),
                                                .batch_units = 8,
                                                .failure = failure,
                                                .losses = failure > 0 && seed % 3 == 0 ? 2 : 0,
                                                .mute = failure > 0 && seed % 3 == 1 ? 0.1 : 0,
                                                .hang = failure > 0 && seed % 3 == 1 ? 0.1 : 0,
                                                .hang_after_ms = failure > 0 ? 0.05 : 0,
                                                .retries = (uint32_t)(seed % 3),
                                                .memo_bytes = memo_bytes});
}

static uint64_t submit_embed(struct world *world, struct tl_plan *plan, unsigned from, unsigned count) {
    struct tl_value *input = texts(from, count, 0);
    return world_submit(world, plan, &input, 1, 0);
}

static struct tl_memo_counters counters_of(const struct world *world) {
    struct tl_sched_counters counters;
    tl_sched_get_counters(world_sched(world), &counters);
    return counters.memo;
}

static void test_only_what_is_new_is_computed(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(embed_only, true);
    struct world *world = world_with(1, 1 << 20, 0);
    submit_embed(world, plan, 0, 40);
    world_run(world);
    assert_int_equal(world_units(world), 40);
    uint64_t second = submit_embed(world, plan, 8, 40); /* 32 known, 8 new */
    world_run(world);
    assert_int_equal(world_units(world), 48);
    uint64_t third = submit_embed(world, plan, 0, 48); /* all known: no engine, no time */
    assert_true(world_result(world, third)->finished);
    assert_int_equal(world_units(world), 48);
    struct tl_memo_counters counters = counters_of(world);
    assert_int_equal(counters.hits, 32 + 48);
    assert_int_equal(counters.misses, 48);
    assert_int_equal(counters.shared, 0);
    assert_true(counters.ms_saved > 0);

    struct world *plain = world_with(1, 0, 0);
    uint64_t same = submit_embed(plain, plan, 8, 40), all = submit_embed(plain, plan, 0, 48);
    world_run(plain);
    assert_string_equal(world_result(world, second)->outputs, world_result(plain, same)->outputs);
    assert_string_equal(world_result(world, third)->outputs, world_result(plain, all)->outputs);
    world_destroy(plain);
    world_destroy(world);
    tl_plan_unref(plan);
}

static void test_what_is_under_way_is_waited_for(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(embed_only, true), *two = plan_of(twice, true);
    struct world *world = world_with(2, 1 << 20, 0);
    uint64_t first = submit_embed(world, plan, 0, 10), second = submit_embed(world, plan, 5, 10);
    world_run(world);
    assert_int_equal(world_units(world), 15);
    assert_int_equal(counters_of(world).shared, 5);
    assert_int_equal(world_result(world, first)->status, TL_OK);
    assert_int_equal(world_result(world, second)->status, TL_OK);
    submit_embed(world, two, 100, 10); /* two nodes of one run */
    world_run(world);
    assert_int_equal(world_units(world), 25);
    struct tl_value *items[12]; /* equal elements of one list */
    for (size_t i = 0; i < 12; i++) items[i] = tl_value_text(&"abc"[i % 3], 1);
    struct tl_value *same = tl_value_list(TL_TYPE_OF(TEXT, 0), items, 12);
    world_submit(world, plan, &same, 1, 0);
    world_run(world);
    assert_int_equal(world_units(world), 28);
    world_destroy(world);
    tl_plan_unref(plan);
    tl_plan_unref(two);
}

static void test_waiters_take_over_from_the_cancelled(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(embed_only, true);
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *world = world_with(seed, 1 << 20, 0);
        uint64_t runs[4];
        for (unsigned i = 0; i < 4; i++) runs[i] = submit_embed(world, plan, i * 3, 10);
        for (uint64_t i = 0; i < seed % 7 && world_advance(world); i++)
            ;
        bool late = world_result(world, runs[0])->finished;
        world_cancel(world, runs[0]);
        world_cancel(world, runs[2]);
        world_run(world);
        assert_int_equal(world_result(world, runs[0])->status, late ? TL_OK : TL_ERR_CANCELLED);
        assert_int_equal(world_result(world, runs[1])->status, TL_OK);
        assert_int_equal(world_result(world, runs[3])->status, TL_OK);
        world_destroy(world);
    }
    tl_plan_unref(plan);
}

/* Who takes over all elements, in another order than its own, still has each result at its place. */
static void test_what_is_taken_over_keeps_its_place(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(embed_only, true);
    struct world *world = world_with(1, 1 << 20, 0), *plain = world_with(1, 0, 0);
    struct tl_value *items[6];
    for (unsigned i = 0; i < 6; i++) {
        char text[16];
        items[i] = tl_value_text(text, (size_t)snprintf(text, sizeof text, "t%u", 5 - i));
    }
    struct tl_value *backwards = tl_value_list(TL_TYPE_OF(TEXT, 0), items, 6);
    uint64_t first = world_submit(world, plan, &backwards, 1, 0), heir = submit_embed(world, plan, 0, 6);
    world_cancel(world, first);
    world_run(world);
    uint64_t same = submit_embed(plain, plan, 0, 6);
    world_run(plain);
    assert_int_equal(world_result(world, first)->status, TL_ERR_CANCELLED);
    assert_string_equal(world_result(world, heir)->outputs, world_result(plain, same)->outputs);
    world_destroy(plain);
    world_destroy(world);
    tl_plan_unref(plan);
}

static struct tl_plan *labelled(const char *label) {
    struct tl_str text = TL_STR_INIT;
    tl_str_printf(
        &text,
        "graph \"embed\" {\n  parameters (texts:text[])\n  %%1: vector[] = embed \"%s\" @embedder (input: $texts)\n"
        "  results (vectors: %%1)\n}\n",
        label);
    struct tl_plan *plan = plan_of(text.data, true);
    tl_str_fini(&text);
    return plan;
}

/* What stands in a queue moves forward when a run that may not wait so long awaits it. */
static void test_the_urgent_hasten_what_they_await(void **state) {
    (void)state;
    struct tl_plan *plans[] = {labelled("block"), labelled("early"), labelled("late")};
    for (int urgent = 0; urgent < 2; urgent++) {
        struct world_options options = {.seed = 5,
                                        .engines = engines,
                                        .engine_count = 4,
                                        .check = true,
                                        .batch_units = 8,
                                        .policy = &tl_policy_critical_path,
                                        .memo_bytes = 1 << 20};
        struct world *world = world_create(&options);
        for (unsigned i = 0; i < 3; i++) submit_embed(world, plans[i], i * 100, 10);
        struct tl_value *same = texts(200, 10, 0);
        if (urgent) world_submit(world, plans[0], &same, 1, world_now(world) + 1000000);
        else tl_value_unref(same);
        world_run(world);
        assert_string_equal(world_order(world), urgent ? "block late early" : "block early late");
        world_destroy(world);
    }
    for (size_t i = 0; i < 3; i++) tl_plan_unref(plans[i]);
}

static void test_tenants_and_plans_are_kept_apart(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(embed_only, true), *apart = plan_of(embed_only, false);
    struct world *world = world_with(3, 1 << 20, 0);
    submit_embed(world, plan, 0, 10);
    world_run(world);
    world_set_tenant(world, "another");
    submit_embed(world, plan, 0, 10);
    world_run(world);
    assert_int_equal(world_units(world), 20);
    world_set_tenant(world, NULL);
    submit_embed(world, apart, 0, 10);
    world_run(world);
    assert_int_equal(world_units(world), 30);
    submit_embed(world, plan, 0, 10);
    world_run(world);
    assert_int_equal(world_units(world), 30);
    world_destroy(world);
    tl_plan_unref(plan);
    tl_plan_unref(apart);
}

static uint64_t submit_retrieve(struct world *world, struct tl_plan *plan, unsigned from, unsigned count,
                                uint64_t version, uint64_t deadline) {
    char question[16];
    int length = snprintf(question, sizeof question, "t%u", from % 4);
    struct tl_value *inputs[] = {texts(from, count, 12), tl_value_text(question, (size_t)length),
                                 tl_value_index("c", NULL, version)};
    return world_submit(world, plan, inputs, 3, deadline);
}

static void test_searches_go_by_version(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(retrieve, true), *writes = plan_of(ingests, true);
    struct world *world = world_with(4, 1 << 20, 0);
    submit_retrieve(world, plan, 0, 4, 7, 0);
    world_run(world);
    uint64_t units = world_units(world);
    submit_retrieve(world, plan, 0, 4, 7, 0);
    world_run(world);
    assert_int_equal(world_units(world), units);
    submit_retrieve(world, plan, 0, 4, 8, 0); /* the collection has changed: searched anew */
    world_run(world);
    assert_int_equal(world_units(world), units + 4);
    for (int i = 0; i < 2; i++) { /* not known: each time */
        submit_retrieve(world, plan, 0, 4, 0, 0);
        world_run(world);
    }
    assert_int_equal(world_units(world), units + 4 + 2 * 4);
    units = world_units(world);
    for (int i = 0; i < 2; i++) { /* the version is older than what the plan itself puts in */
        struct tl_value *inputs[] = {world_value(TL_TYPE_OF(CHUNK, 1), 3), world_value(TL_TYPE_OF(VECTOR, 1), 3),
                                     world_value(TL_TYPE_OF(VECTOR, 0), 3), tl_value_index("c", NULL, 7)};
        uint64_t before = world_units(world);
        world_submit(world, writes, inputs, 4, 0);
        world_run(world);
        assert_true(world_units(world) > before);
        if (i == 1) assert_int_equal(world_units(world) - before, before - units);
    }
    world_destroy(world);
    tl_plan_unref(plan);
    tl_plan_unref(writes);
}

/* A region that takes list items as they come gets what is known first, and what engines announce in its place. */
static void test_known_items_are_passed_on(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(streamed, true), *apart = plan_of(streamed, false);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct world *world = world_with(seed, 1 << 20, 0), *plain = world_with(seed, 0, 0);
        uint64_t runs[4], expected[4];
        for (unsigned i = 0; i < 4; i++) {
            struct tl_value *inputs[] = {texts(i % 2 ? 7 - 2 * i : 2 * i, 6 + i, 0), tl_value_index("c", NULL, 1)};
            struct tl_value *again[] = {tl_value_ref(inputs[0]), tl_value_ref(inputs[1])};
            runs[i] = world_submit(world, plan, inputs, 2, 0);
            expected[i] = world_submit(plain, apart, again, 2, 0);
            for (uint64_t steps = seed % 9; steps > 0 && world_advance(world); steps--)
                ;
        }
        if (seed % 3 == 0) world_cancel(world, runs[seed % 4]);
        world_run(world);
        world_run(plain);
        for (unsigned i = 0; i < 4; i++) {
            const struct world_outcome *outcome = world_result(world, runs[i]);
            if (outcome->status == TL_ERR_CANCELLED && seed % 3 == 0 && i == seed % 4) continue;
            assert_string_equal(outcome->outputs, world_result(plain, expected[i])->outputs);
        }
        world_destroy(world);
        world_destroy(plain);
    }
    /* All are known: the searches begin at once. */
    struct world *world = world_with(1, 1 << 20, 0);
    for (int i = 0; i < 2; i++) {
        struct tl_value *inputs[] = {texts(0, 5, 0), tl_value_index("c", NULL, (uint64_t)i + 1)};
        world_submit(world, plan, inputs, 2, 0);
        if (i == 1) assert_true(world_units(world) > 10);
        world_run(world);
        assert_int_equal(world_units(world), i == 0 ? 10 : 15);
    }
    world_destroy(world);
    tl_plan_unref(plan);
    tl_plan_unref(apart);
}

/* ---- many runs at once ---- */

static uint64_t mix(uint64_t *state) { return *state = tl_hash_u64(*state, 17); }

enum { RUNS = 12 };

struct shape {
    unsigned from, count, version, tenant;
};

static char *expected_of(struct tl_plan *plan, const struct shape *shape) {
    struct world *world = world_with(99, 0, 0);
    uint64_t run = submit_retrieve(world, plan, shape->from, shape->count, shape->version, 0);
    world_run(world);
    char *outputs = tl_mem_strdup(world_result(world, run)->outputs);
    world_destroy(world);
    return outputs;
}

/* Runs over lists that overlap, submitted, cancelled and failing at any moment. Returns the trace. */
static uint64_t crowd(uint64_t seed, struct tl_plan *plan, struct tl_plan *apart, uint64_t *shared, uint64_t *hung) {
    static const char *const tenants[] = {"", "a"};
    uint64_t random = seed;
    bool faults = seed % 2;
    size_t bytes = seed % 3 == 0 ? 3000 : 1 << 20; /* too little for all of it, or enough */
    struct world *world = world_with(seed, bytes, faults && seed % 4 == 1 ? 0.1 : 0);
    struct shape shapes[RUNS];
    bool cancelled[RUNS] = {false};
    for (unsigned i = 0; i < RUNS; i++) {
        struct shape *shape = &shapes[i];
        *shape = (struct shape){(unsigned)(mix(&random) % 12), (unsigned)(mix(&random) % 9),
                                (unsigned)(mix(&random) % 3), (unsigned)(mix(&random) % 2)};
        world_set_tenant(world, tenants[shape->tenant]);
        uint64_t deadline = faults && mix(&random) % 5 == 0 ? world_now(world) + 1 + mix(&random) % 4000 : 0;
        submit_retrieve(world, mix(&random) % 5 ? plan : apart, shape->from, shape->count, shape->version, deadline);
        for (uint64_t steps = mix(&random) % 6; steps > 0 && world_advance(world); steps--)
            ;
        if (faults && mix(&random) % 3 == 0) {
            unsigned victim = (unsigned)(mix(&random) % (i + 1));
            cancelled[victim] = true;
            world_cancel(world, victim + 1);
        }
    }
    world_run(world);
    struct tl_sched_counters counters;
    tl_sched_get_counters(world_sched(world), &counters);
    uint64_t failed = 0;
    for (unsigned i = 0; i < RUNS; i++) {
        const struct world_outcome *outcome = world_result(world, i + 1);
        failed += outcome->status == TL_ERR_ENGINE;
        if (outcome->status == TL_ERR_CANCELLED) assert_true(cancelled[i]);
        if (!faults) assert_int_equal(outcome->status, TL_OK);
        if (outcome->status != TL_OK) continue;
        char *expected = expected_of(plan, &shapes[i]);
        if (strcmp(expected, outcome->outputs) != 0)
            fail_msg("seed %llu, run %u gave\n%s\ninstead of\n%s", (unsigned long long)seed, i + 1, outcome->outputs,
                     expected);
        tl_mem_free(expected);
    }
    if (seed % 3 == 2) assert_true(failed <= counters.items_failed); /* each by its own; else engines were lost or hung */
    *shared += counters.memo.shared;
    *hung += counters.instances_hung;
    uint64_t trace = world_trace(world);
    world_destroy(world);
    return trace;
}

static void test_crowds_share_and_agree(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(retrieve, true), *apart = plan_of(retrieve, false);
    uint64_t shared = 0, hung = 0;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        uint64_t trace = crowd(seed, plan, apart, &shared, &hung);
        if (seed % 10 == 0) assert_true(trace == crowd(seed, plan, apart, &shared, &hung));
    }
    assert_true(shared > 100 && hung > 10);
    tl_plan_unref(plan);
    tl_plan_unref(apart);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_new_is_computed),
        cmocka_unit_test(test_what_is_under_way_is_waited_for),
        cmocka_unit_test(test_waiters_take_over_from_the_cancelled),
        cmocka_unit_test(test_what_is_taken_over_keeps_its_place),
        cmocka_unit_test(test_the_urgent_hasten_what_they_await),
        cmocka_unit_test(test_tenants_and_plans_are_kept_apart),
        cmocka_unit_test(test_searches_go_by_version),
        cmocka_unit_test(test_known_items_are_passed_on),
        cmocka_unit_test(test_crowds_share_and_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

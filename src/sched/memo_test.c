/* Tests of the memo: the table by itself, then runs that use it in virtual time. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "sched/memo.h"
#include "sched/world_test_support.h"

/* ---- the table ---- */

static struct tl_memo_key key_of(unsigned number) {
    struct tl_memo_key key;
    char text[16];
    struct tl_sha256 *hash = tl_sha256_create();
    tl_sha256_update(hash, text, (size_t)snprintf(text, sizeof text, "%u", number));
    tl_sha256_digest(hash, key.bytes);
    tl_sha256_destroy(hash);
    return key;
}

static void ignore(void *context, const struct tl_memo_claim *claim, bool produces) {
    (void)context, (void)claim, (void)produces;
}

static void check(const struct tl_memo *memo) {
    struct tl_str why = TL_STR_INIT;
    if (!tl_memo_is_valid(memo, &why, ignore, NULL)) fail_msg("%s", why.data);
    tl_str_fini(&why);
}

static enum tl_memo_state claim_of(struct tl_memo *memo, unsigned number, double ms, struct tl_memo_claim *claim) {
    struct tl_memo_key key = key_of(number);
    struct tl_value *value = NULL;
    enum tl_memo_state state = tl_memo_claim(memo, &key, ms, claim, &value);
    assert_int_equal(value != NULL, state == TL_MEMO_KNOWN);
    if (value) assert_int_equal((int)value->as.number, (int)number);
    tl_value_unref(value);
    return state;
}

/* Computes it when nobody has; false when it was known. */
static bool use(struct tl_memo *memo, unsigned number, double ms) {
    struct tl_memo_claim claim = {0};
    if (claim_of(memo, number, ms, &claim) == TL_MEMO_KNOWN) return false;
    struct tl_value *value = tl_value_number(number);
    assert_null(tl_memo_produce(memo, &claim, value));
    tl_value_unref(value);
    check(memo);
    return true;
}

static void test_claims(void **state) {
    (void)state;
    struct tl_memo *memo = tl_memo_create(1 << 16);
    struct tl_memo_claim claims[5] = {0};
    assert_int_equal(claim_of(memo, 1, 10, &claims[0]), TL_MEMO_MINE);
    for (size_t i = 1; i < 5; i++) assert_int_equal(claim_of(memo, 1, 10, &claims[i]), TL_MEMO_AWAITED);
    check(memo);
    assert_null(tl_memo_give_up(memo, &claims[2])); /* one that waits */
    assert_ptr_equal(tl_memo_give_up(memo, &claims[0]), &claims[1]); /* the producer: the next in order takes over */
    assert_true(tl_memo_produces(&claims[1]));
    assert_false(tl_memo_produces(&claims[3]));
    check(memo);
    struct tl_value *value = tl_value_number(1);
    assert_ptr_equal(tl_memo_produce(memo, &claims[1], value), &claims[3]);
    assert_ptr_equal(claims[3].next, &claims[4]);
    assert_null(claims[4].next);
    tl_value_unref(value);
    check(memo);
    struct tl_memo_claim late = {0};
    assert_int_equal(claim_of(memo, 1, 10, &late), TL_MEMO_KNOWN);
    struct tl_memo_counters counters;
    tl_memo_get_counters(memo, &counters);
    assert_int_equal(counters.hits, 1);
    assert_int_equal(counters.misses, 2);
    assert_int_equal(counters.shared, 2);
    assert_int_equal(counters.entries, 1);
    assert_true(counters.ms_saved > 29.9 && counters.ms_saved < 30.1);
    /* Nobody is left: the entry goes. */
    assert_int_equal(claim_of(memo, 2, 10, &late), TL_MEMO_MINE);
    assert_null(tl_memo_give_up(memo, &late));
    assert_int_equal(claim_of(memo, 2, 10, &late), TL_MEMO_MINE);
    assert_null(tl_memo_give_up(memo, &late));
    check(memo);
    tl_memo_destroy(memo);
}

static void test_what_is_dear_and_used_stays(void **state) {
    (void)state;
    struct tl_memo *memo = tl_memo_create(20000);
    use(memo, 1, 1000);
    for (unsigned i = 2; i < 2000; i++) { /* far more than there is room for */
        use(memo, i, 1);
        if (i % 10 == 0) assert_false(use(memo, 1, 1000));
    }
    assert_false(use(memo, 1999, 1));
    assert_true(use(memo, 2, 1)); /* gone */
    struct tl_memo_counters counters;
    tl_memo_get_counters(memo, &counters);
    assert_true(counters.evictions > 1000);
    assert_true(counters.bytes <= 20000);
    assert_true(counters.entries > 20);
    /* It is not asked for any more: what is asked for pushes it out in time, however cheap. */
    for (unsigned round = 0; round < 1000; round++)
        for (unsigned i = 10000; i < 10300; i++) use(memo, i, 100);
    assert_true(use(memo, 1, 1000));
    tl_memo_destroy(memo);
}

static void test_what_is_too_large_is_passed_on_only(void **state) {
    (void)state;
    struct tl_memo *memo = tl_memo_create(1000);
    struct tl_memo_claim claims[2] = {0};
    char text[2000];
    memset(text, 'x', sizeof text);
    struct tl_value *value = tl_value_text(text, sizeof text);
    assert_int_equal(claim_of(memo, 1, 1, &claims[0]), TL_MEMO_MINE);
    assert_int_equal(claim_of(memo, 1, 1, &claims[1]), TL_MEMO_AWAITED);
    assert_ptr_equal(tl_memo_produce(memo, &claims[0], value), &claims[1]);
    tl_value_unref(value);
    check(memo);
    assert_int_equal(claim_of(memo, 1, 1, &claims[0]), TL_MEMO_MINE);
    tl_memo_give_up(memo, &claims[0]);
    tl_memo_destroy(memo);
}

/* ---- keys ---- */

static bool about_of(struct tl_memo_about about, struct tl_memo_key *key) {
    static const struct tl_attributes none;
    struct tl_sha256 *hash = tl_sha256_create();
    if (!about.attributes) about.attributes = &none;
    if (!about.tenant) about.tenant = "";
    if (!about.engine) about.engine = "store";
    about.op = about.op ? about.op : TL_OP_SEARCH;
    bool good = tl_memo_about_key(hash, &about, key);
    tl_sha256_destroy(hash);
    return good;
}

static void test_keys_tell_apart_what_matters(void **state) {
    (void)state;
    struct tl_arena arena;
    tl_arena_init(&arena);
    struct tl_attributes three = {0}, four = {0};
    tl_attributes_set_integer(&three, &arena, "count", 3);
    tl_attributes_set_integer(&four, &arena, "count", 4);
    struct tl_value *index[] = {NULL, tl_value_index("a", NULL, 1)}, *newer[] = {NULL, tl_value_index("a", NULL, 2)},
                    *other[] = {NULL, tl_value_index("b", NULL, 1)};
    const struct tl_memo_about abouts[] = {
        {.inputs = index, .input_count = 2},
        {.inputs = newer, .input_count = 2},
        {.inputs = other, .input_count = 2},
        {.inputs = index, .input_count = 2, .attributes = &three},
        {.inputs = index, .input_count = 2, .attributes = &four},
        {.inputs = index, .input_count = 2, .tenant = "t"},
        {.inputs = index, .input_count = 2, .engine = "storet"},
        {.inputs = index, .input_count = 2, .model = "m"},
        {.inputs = index, .input_count = 2, .model_digest = "m"},
        {.inputs = index, .input_count = 2, .op = TL_OP_MATCH},
        {.inputs = index, .input_count = 2, .element = 1},
    };
    enum { ABOUTS = sizeof abouts / sizeof abouts[0] };
    struct tl_memo_key keys[ABOUTS], again;
    for (size_t i = 0; i < ABOUTS; i++) {
        assert_true(about_of(abouts[i], &keys[i]));
        assert_true(about_of(abouts[i], &again));
        assert_memory_equal(&keys[i], &again, sizeof again);
        for (size_t k = 0; k < i; k++) assert_memory_not_equal(&keys[i], &keys[k], sizeof again);
    }
    for (size_t i = 0; i < 3; i++) tl_value_unref((struct tl_value *[]){index[1], newer[1], other[1]}[i]);
    tl_arena_fini(&arena);
}

static bool element_of(struct tl_value *value, struct tl_memo_key *key) {
    static const struct tl_memo_key about;
    struct tl_sha256 *hash = tl_sha256_create();
    bool good = tl_memo_element_key(hash, &about, value, key);
    tl_sha256_destroy(hash);
    tl_value_unref(value);
    return good;
}

static struct tl_value *pair(const char *a, const char *b) {
    struct tl_value *items[] = {tl_value_text(a, strlen(a)), tl_value_text(b, strlen(b))};
    return tl_value_list(TL_TYPE_OF(TEXT, 0), items, 2);
}

static struct tl_value *chunk(const char *title, const char *heading) {
    return tl_value_chunk(
        &(struct tl_chunk){.id = "i", .uri = "u", .title = title, .heading = heading, .text = "x", .length = 1});
}

static void test_keys_of_elements(void **state) {
    (void)state;
    static const float up[] = {0, 1}, down[] = {0, -1};
    struct tl_value *values[] = {pair("a", "bc"), pair("ab", "c"), tl_value_text("abc", 3), chunk("t", "h"),
                                 chunk("th", ""), tl_value_vector(up, 2), tl_value_vector(down, 2),
                                 tl_value_document(&(struct tl_document){.uri = "u", .data = "abc", .length = 3})};
    enum { VALUES = sizeof values / sizeof values[0] };
    struct tl_memo_key keys[VALUES];
    for (size_t i = 0; i < VALUES; i++) {
        assert_true(element_of(values[i], &keys[i]));
        for (size_t k = 0; k < i; k++) assert_memory_not_equal(&keys[i], &keys[k], sizeof keys[i]);
    }
    /* What may change, or lives in an engine. */
    assert_false(element_of(tl_value_index("a", NULL, 0), &keys[0]));
    assert_false(element_of(tl_value_document(&(struct tl_document){.uri = "/file"}), &keys[0]));
    assert_false(element_of(tl_value_kv(NULL, 3), &keys[0]));
    assert_true(element_of(pair("a", "bc"), &keys[1])); /* a refused key leaves nothing behind */
    assert_true(element_of(pair("a", "bc"), &keys[2]));
    assert_memory_equal(&keys[1], &keys[2], sizeof keys[1]);
}

/* ---- runs ---- */

static const char *const engines[] = {"embedder", "store", "reranker", "llm"};

static struct tl_plan *plan_of(const char *text, bool shares) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "graph");
    struct tl_graph *graph = tl_graph_parse(text, &findings);
    if (!graph) fail_msg("%s", findings.items[0].message);
    tl_diagnostics_fini(&findings);
    struct tl_plan *plan = NULL;
    struct tl_error error = {0};
    if (tl_plan_freeze(graph, NULL, &plan, &error) != TL_OK) fail_msg("%s", error.message);
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
static uint64_t crowd(uint64_t seed, struct tl_plan *plan, struct tl_plan *apart, uint64_t *shared) {
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
    assert_true(failed <= counters.items_failed); /* each fails by an item of its own */
    *shared += counters.memo.shared;
    uint64_t trace = world_trace(world);
    world_destroy(world);
    return trace;
}

static void test_crowds_share_and_agree(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(retrieve, true), *apart = plan_of(retrieve, false);
    uint64_t shared = 0;
    for (uint64_t seed = 1; seed <= 120; seed++) {
        uint64_t trace = crowd(seed, plan, apart, &shared);
        if (seed % 10 == 0) assert_true(trace == crowd(seed, plan, apart, &shared));
    }
    assert_true(shared > 100);
    tl_plan_unref(plan);
    tl_plan_unref(apart);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_what_is_dear_and_used_stays),
        cmocka_unit_test(test_what_is_too_large_is_passed_on_only),
        cmocka_unit_test(test_keys_tell_apart_what_matters),
        cmocka_unit_test(test_keys_of_elements),
        cmocka_unit_test(test_only_what_is_new_is_computed),
        cmocka_unit_test(test_what_is_under_way_is_waited_for),
        cmocka_unit_test(test_waiters_take_over_from_the_cancelled),
        cmocka_unit_test(test_tenants_and_plans_are_kept_apart),
        cmocka_unit_test(test_searches_go_by_version),
        cmocka_unit_test(test_crowds_share_and_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of the scheduler in virtual time: graphs as text, engines with seeded delays; the invariants are
 * checked after every step by the world. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "plan/plan_test_support.h"
#include "sched/policy.h"
#include "sched/world_test_support.h"

static const char *const engines[] = {"embedder", "store", "llm", "reranker", "documents"};

static struct world *world_of(uint64_t seed) {
    return world_create(&(struct world_options){
        .seed = seed, .engines = engines, .engine_count = 5, .check = true, .devices = 1, .batch_units = 4});
}

static struct tl_value *texts(size_t count) {
    struct tl_value *items[64];
    for (size_t i = 0; i < count; i++) {
        char text[16];
        int length = snprintf(text, sizeof text, "t%zu", i);
        items[i] = tl_value_text(text, (size_t)length);
    }
    return tl_value_list(TL_TYPE_OF(TEXT, 0), items, count);
}

static const char chain[] = "graph \"chain\" {\n"
                            "  parameters (question:text, index:index)\n"
                            "  %1: vector = embed \"search/embed\" @embedder (input: $question)\n"
                            "  %2: hit[] = search \"search/search\" @store (query: %1, index: $index) {count=3}\n"
                            "  results (hits: %2)\n"
                            "}\n";

static uint64_t submit_chain(struct world *world, struct tl_plan *plan, uint64_t deadline) {
    struct tl_value *inputs[] = {tl_value_text("why", 3), tl_value_index("c", NULL, 0)};
    return world_submit(world, plan, inputs, 2, deadline);
}

static void test_chain_runs_in_order(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(chain);
    struct world *world = world_of(1);
    uint64_t run = submit_chain(world, plan, 0);
    world_run(world);
    assert_int_equal(world_result(world, run)->status, TL_OK);
    assert_string_equal(world_order(world), "search/embed search/search");
    struct tl_sched_counters counters;
    tl_sched_get_counters(world_sched(world), &counters);
    assert_int_equal(counters.runs_live, 0);
    assert_int_equal(counters.items_done, 2);
    world_destroy(world);
    tl_plan_unref(plan);
}

/* Each region kind over 0, 1, 2, 5 and 9 items. */
static const char map_simple[] = "graph \"map\" {\n"
                                 "  parameters (items:text[])\n"
                                 "  %1: vector[] vectors = map \"m/map\" (items: $items) {\n"
                                 "    parameters (item:text, index:number)\n"
                                 "    %2: vector = embed \"m/embed\" @embedder (input: $item)\n"
                                 "    results (vectors: %2)\n"
                                 "  }\n"
                                 "  results (vectors: %1)\n"
                                 "}\n";

static const char map_slices[] = "graph \"slices\" {\n"
                                 "  parameters (items:text[])\n"
                                 "  %1: vector[][] vectors = map \"m/map\" (items: $items) {slice=4} {\n"
                                 "    parameters (item:text[], index:number)\n"
                                 "    %2: vector[] = embed \"m/embed\" @embedder (input: $item)\n"
                                 "    results (vectors: %2)\n"
                                 "  }\n"
                                 "  results (vectors: %1)\n"
                                 "}\n";

static const char fold_graph[] =
    "graph \"fold\" {\n"
    "  parameters (items:text[], start:text)\n"
    "  %1: text result = fold \"f/fold\" (items: $items, initial: $start) {\n"
    "    parameters (item:text, index:number, carried:text)\n"
    "    %2: prompt = render \"f/render\" (item: $item, carried: $carried) {template=\"x\"}\n"
    "    %3: kv = prefill \"f/prefill\" @llm (prompt: %2)\n"
    "    %4: text text = decode \"f/decode\" @llm (kv: %3)\n"
    "    results (carried: %4)\n"
    "  }\n"
    "  results (text: %1)\n"
    "}\n";

static const char reduce_graph[] =
    "graph \"reduce\" {\n"
    "  parameters (items:text[], start:text)\n"
    "  %1: text result = reduce \"r/reduce\" (items: $items, initial: $start) {arity=3} {\n"
    "    parameters (group:text[], level:number)\n"
    "    %2: prompt = render \"r/render\" (group: $group) {template=\"x\"}\n"
    "    %3: kv = prefill \"r/prefill\" @llm (prompt: %2)\n"
    "    %4: text text = decode \"r/decode\" @llm (kv: %3)\n"
    "    results (result: %4)\n"
    "  }\n"
    "  results (text: %1)\n"
    "}\n";

/* Runs the graph over `count` texts; returns the outputs (owned). Items started go to *started. */
static char *run_over(const char *graph, size_t count, bool with_start, uint64_t seed, uint64_t *started) {
    struct tl_plan *plan = tl_plan_test_parse(graph);
    struct world *world = world_of(seed);
    struct tl_value *inputs[] = {texts(count), with_start ? tl_value_text("start", 5) : NULL};
    uint64_t run = world_submit(world, plan, inputs, with_start ? 2 : 1, 0);
    world_run(world);
    const struct world_outcome *outcome = world_result(world, run);
    if (outcome->status != TL_OK) fail_msg("%s", outcome->message);
    char *outputs = tl_mem_strdup(outcome->outputs);
    struct tl_sched_counters counters;
    tl_sched_get_counters(world_sched(world), &counters);
    *started = counters.items_started;
    world_destroy(world);
    tl_plan_unref(plan);
    return outputs;
}

/* Number of reduce groups that need work for n items at the arity. */
static uint64_t groups_of(size_t n, size_t arity) {
    uint64_t groups = 0;
    while (n > 1) {
        groups += n / arity + (n % arity > 1);
        n = (n + arity - 1) / arity;
    }
    return groups;
}

static void test_regions_over_any_number_of_items(void **state) {
    (void)state;
    static const size_t counts[] = {0, 1, 2, 3, 5, 9, 10};
    for (size_t c = 0; c < sizeof counts / sizeof counts[0]; c++) {
        size_t n = counts[c];
        struct {
            const char *graph;
            bool start;
            uint64_t items;
        } cases[] = {
            {map_simple, false, n},
            {map_slices, false, (n + 3) / 4},
            {fold_graph, true, 2 * n},
            {reduce_graph, true, 2 * groups_of(n, 3)},
        };
        for (size_t k = 0; k < 4; k++) {
            char *first = NULL;
            for (uint64_t seed = 1; seed <= 12; seed++) {
                uint64_t started = 0;
                char *outputs = run_over(cases[k].graph, n, cases[k].start, seed, &started);
                assert_int_equal(started, cases[k].items);
                if (!first) first = tl_mem_strdup(outputs);
                assert_string_equal(outputs, first); /* whatever the order of arrival */
                tl_mem_free(outputs);
            }
            if (n == 0 && cases[k].start) assert_string_equal(first, "[\"start\"]");
            if (n == 1 && cases[k].graph == reduce_graph) assert_string_equal(first, "[\"t0\"]");
            tl_mem_free(first);
        }
    }
}

static const char cond_graph[] = "graph \"cond\" {\n"
                                 "  parameters (holds:bool, question:text)\n"
                                 "  %1: text answer = cond \"c/cond\" (holds: $holds) {\n"
                                 "    parameters ()\n"
                                 "    %2: prompt = render \"c/yes\" (question: $question) {template=\"yes\"}\n"
                                 "    %3: kv = prefill \"c/yes-prefill\" @llm (prompt: %2)\n"
                                 "    %4: text text = decode \"c/yes-decode\" @llm (kv: %3)\n"
                                 "    results (answer: %4)\n"
                                 "  } else {\n"
                                 "    parameters ()\n"
                                 "    results (answer: $question)\n"
                                 "  }\n"
                                 "  results (answer: %1)\n"
                                 "}\n";

static void test_cond_runs_one_branch(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(cond_graph);
    for (int holds = 0; holds < 2; holds++) {
        struct world *world = world_of(3);
        struct tl_value *inputs[] = {tl_value_bool(holds), tl_value_text("q", 1)};
        uint64_t run = world_submit(world, plan, inputs, 2, 0);
        world_run(world);
        assert_int_equal(world_result(world, run)->status, TL_OK);
        assert_string_equal(world_order(world), holds ? "c/yes-prefill c/yes-decode" : "");
        world_destroy(world);
    }
    tl_plan_unref(plan);
}

static const char loop_graph[] =
    "graph \"loop\" {\n"
    "  parameters (start:text, flag:bool)\n"
    "  %1: text result = loop \"l/loop\" (initial: $start) {limit=4} {\n"
    "    parameters (carried:text, index:number)\n"
    "    %2: prompt = render \"l/render\" (text: $carried, index: $index) {template=\"x\"}\n"
    "    %3: kv = prefill \"l/prefill\" @llm (prompt: %2)\n"
    "    %4: text text = decode \"l/decode\" @llm (kv: %3)\n"
    "    results (carried: %4, again: $flag)\n"
    "  }\n"
    "  results (text: %1)\n"
    "}\n";

static void test_loop_stops_by_predicate_and_by_limit(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(loop_graph);
    for (int again = 0; again < 2; again++) {
        struct world *world = world_of(4);
        struct tl_value *inputs[] = {tl_value_text("s", 1), tl_value_bool(again)};
        uint64_t run = world_submit(world, plan, inputs, 2, 0);
        world_run(world);
        assert_int_equal(world_result(world, run)->status, TL_OK);
        struct tl_sched_counters counters;
        tl_sched_get_counters(world_sched(world), &counters);
        assert_int_equal(counters.items_done, again ? 8 : 2);
        world_destroy(world);
    }
    tl_plan_unref(plan);
}

static const char waits[] = "graph \"waits\" {\n"
                            "  parameters (a:text, b:text)\n"
                            "  %1: vector = embed \"x/first\" @embedder (input: $a)\n"
                            "  %2: vector = embed \"y/second\" @embedder (input: $b) after %1\n"
                            "  results (a: %1, b: %2)\n"
                            "}\n";

static void test_control_edges_hold(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(waits);
    for (uint64_t seed = 1; seed < 30; seed++) {
        struct world *world = world_of(seed);
        struct tl_value *inputs[] = {tl_value_text("a", 1), tl_value_text("b", 1)};
        world_submit(world, plan, inputs, 2, 0);
        assert_string_equal(world_order(world), "x/first"); /* although the second has all its inputs */
        world_run(world);
        assert_string_equal(world_order(world), "x/first y/second");
        world_destroy(world);
    }
    tl_plan_unref(plan);
}

static const char streamed[] = "graph \"streamed\" {\n"
                               "  parameters (prompt:prompt, corpus:index)\n"
                               "  %1: kv = prefill \"e/prefill\" @llm (prompt: $prompt)\n"
                               "  %2: text[] items = decode \"e/decode\" @llm (kv: %1) {format=\"list\"}\n"
                               "  %3: hit[][] hits = map \"s/map\" (items: %2) {streamed=true} {\n"
                               "    parameters (item:text, index:number)\n"
                               "    %4: vector = embed \"s/embed\" @embedder (input: $item)\n"
                               "    %5: hit[] = search \"s/search\" @store (query: %4, index: $corpus)\n"
                               "    results (hits: %5)\n"
                               "  }\n"
                               "  results (hits: %3, queries: %2)\n"
                               "}\n";

static char *run_streamed(const char *graph, uint64_t seed) {
    struct tl_plan *plan = tl_plan_test_parse(graph);
    struct world *world = world_of(seed);
    struct tl_value *inputs[] = {world_value(TL_TYPE_OF(PROMPT, 0), 11), tl_value_index("c", NULL, 0)};
    uint64_t run = world_submit(world, plan, inputs, 2, 0);
    world_run(world);
    if (world_result(world, run)->status != TL_OK)
        fail_msg("seed %llu: %s", (unsigned long long)seed, world_result(world, run)->message);
    char *outputs = tl_mem_strdup(world_result(world, run)->outputs);
    world_destroy(world);
    tl_plan_unref(plan);
    return outputs;
}

static char *without(const char *text, const char *part) {
    struct tl_str out = TL_STR_INIT;
    const char *at = strstr(text, part);
    assert_non_null(at);
    tl_str_append(&out, text, (size_t)(at - text));
    tl_str_puts(&out, at + strlen(part));
    return tl_str_detach(&out);
}

static void test_streaming_gives_the_same_result(void **state) {
    (void)state;
    char *whole = without(streamed, " {streamed=true}");
    char *expected = run_streamed(whole, 1);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        char *outputs = run_streamed(streamed, seed);
        assert_string_equal(outputs, expected);
        tl_mem_free(outputs);
    }
    tl_mem_free(expected);
    tl_mem_free(whole);
}

static const char tree_graph[] = "graph \"tree\" {\n"
                                 "  parameters (items:text[], start:text)\n"
                                 "  %1: text[] answers = map \"t/map\" (items: $items) {\n"
                                 "    parameters (item:text, index:number)\n"
                                 "    %2: prompt = render \"t/render\" (item: $item) {template=\"x\"}\n"
                                 "    %3: kv = prefill \"t/prefill\" @llm (prompt: %2)\n"
                                 "    %4: text answer = decode \"t/decode\" @llm (kv: %3)\n"
                                 "    results (answers: %4)\n"
                                 "  }\n"
                                 "  %5: text result = reduce \"r/reduce\" (items: %1, initial: $start) {arity=3} {\n"
                                 "    parameters (group:text[], level:number)\n"
                                 "    %6: prompt = render \"r/render\" (group: $group) {template=\"x\"}\n"
                                 "    %7: kv = prefill \"r/prefill\" @llm (prompt: %6)\n"
                                 "    %8: text text = decode \"r/decode\" @llm (kv: %7)\n"
                                 "    results (result: %8)\n"
                                 "  }\n"
                                 "  results (text: %5)\n"
                                 "}\n";

/* The text that the user sees as it is written is the one that becomes the answer, and no other. */
static void test_only_the_answer_streams(void **state) {
    (void)state;
    static const struct {
        const char *graph;
        size_t items;
        const char *streams;
    } cases[] = {
        {fold_graph, 3, "f/decode[2]"},
        {fold_graph, 1, "f/decode[0]"},
        {reduce_graph, 3, "r/decode[0.0]"},
        {reduce_graph, 9, "r/decode[1.0]"},
        {tree_graph, 3, "r/decode[0.0]"},
        {tree_graph, 1, "t/decode[0]"},
        {tree_graph, 0, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct tl_plan *plan = tl_plan_test_parse(cases[i].graph);
        struct world *world = world_of(5);
        struct tl_value *inputs[] = {texts(cases[i].items), tl_value_text("s", 1)};
        world_submit(world, plan, inputs, 2, 0);
        world_run(world);
        assert_string_equal(world_streams(world), cases[i].streams);
        world_destroy(world);
        tl_plan_unref(plan);
    }
}

static const char empty_graph[] = "graph \"empty\" {\n"
                                  "  parameters (items:text[], other:text, corpus:index)\n"
                                  "  %1: vector = embed \"x/slow\" @embedder (input: $other)\n"
                                  "  %2: hit[][] hits = map \"m/map\" (items: $items) {\n"
                                  "    parameters (item:text, index:number)\n"
                                  "    %3: hit[] = search \"m/search\" @store (query: %1, index: $corpus)\n"
                                  "    results (hits: %3)\n"
                                  "  }\n"
                                  "  %4: hit[] = match \"y/after\" @store (query: $other, index: $corpus) after %2\n"
                                  "  results (hits: %2, last: %4)\n"
                                  "}\n";

/* What comes after a region may count on what its body uses, also when there was nothing to do. */
static void test_region_without_items_waits_for_what_it_uses(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(empty_graph);
    for (uint64_t seed = 1; seed < 20; seed++) {
        struct world *world = world_of(seed);
        struct tl_value *inputs[] = {texts(0), tl_value_text("o", 1), tl_value_index("c", NULL, 0)};
        uint64_t run = world_submit(world, plan, inputs, 3, 0);
        assert_string_equal(world_order(world), "x/slow");
        world_run(world);
        assert_int_equal(world_result(world, run)->status, TL_OK);
        assert_string_equal(world_order(world), "x/slow y/after");
        world_destroy(world);
    }
    tl_plan_unref(plan);
}

static void test_failure_names_primitive_inputs_and_cause(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(chain);
    struct world *world = world_create(
        &(struct world_options){.seed = 1, .engines = engines, .engine_count = 5, .check = true, .failure = 1});
    uint64_t run = submit_chain(world, plan, 0);
    world_run(world);
    assert_int_equal(world_result(world, run)->status, TL_ERR_ENGINE);
    assert_string_equal(world_result(world, run)->message,
                        "search/embed (embed on \"embedder\"): injected failure [input: text of 3 bytes]");
    world_destroy(world);
    tl_plan_unref(plan);
}

/* What is too long for a message is cut between characters: a run's result is JSON, which takes nothing else. */
static void test_long_failure_stays_text(void **state) {
    (void)state;
    for (int shift = 0; shift < 2; shift++) {
        struct tl_str text = TL_STR_INIT;
        tl_str_puts(&text, "graph \"long\" {\n  parameters (question:text)\n  %1: vector = embed \"");
        for (int i = 0; i < TL_ERROR_MESSAGE_MAX / 2; i++) tl_str_puts(&text, i < shift ? "x" : "\xc3\xa9");
        tl_str_puts(&text, "\" @embedder (input: $question)\n  results (v: %1)\n}\n");
        struct tl_plan *plan = tl_plan_test_parse(text.data);
        struct world *world = world_create(
            &(struct world_options){.seed = 1, .engines = engines, .engine_count = 5, .check = true, .failure = 1});
        struct tl_value *inputs[] = {tl_value_text("why", 3)};
        uint64_t run = world_submit(world, plan, inputs, 1, 0);
        world_run(world);
        const char *message = world_result(world, run)->message;
        assert_true(tl_utf8_is_valid(message, strlen(message)));
        assert_true(tl_str_ends_with(message, "..."));
        world_destroy(world);
        tl_plan_unref(plan);
        tl_str_fini(&text);
    }
}

static void test_unknown_engine_fails_before_anything_runs(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(chain);
    static const char *const few[] = {"embedder"};
    struct world *world =
        world_create(&(struct world_options){.seed = 1, .engines = few, .engine_count = 1, .check = true});
    uint64_t run = submit_chain(world, plan, 0);
    world_run(world);
    assert_int_equal(world_result(world, run)->status, TL_ERR_NOT_FOUND);
    assert_string_equal(world_result(world, run)->message, "engine \"store\" is not configured");
    assert_string_equal(world_order(world), "");
    world_destroy(world);
    tl_plan_unref(plan);
}

/* A cancel after every possible number of events: one outcome, nothing left, nothing started after it. */
static void test_cancel_at_every_moment(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(fold_graph);
    for (uint64_t seed = 1; seed <= 4; seed++) {
        for (unsigned moment = 0;; moment++) {
            struct world *world = world_of(seed);
            struct tl_value *inputs[] = {texts(3), tl_value_text("s", 1)};
            uint64_t run = world_submit(world, plan, inputs, 2, 0);
            bool over = false;
            for (unsigned i = 0; i < moment && !over; i++) over = !world_advance(world);
            bool finished = world_result(world, run)->finished;
            world_cancel(world, run);
            size_t started = strlen(world_order(world));
            world_run(world);
            assert_true(world_result(world, run)->finished);
            assert_int_equal(strlen(world_order(world)), started);
            assert_int_equal(world_result(world, run)->status, finished ? TL_OK : TL_ERR_CANCELLED);
            world_destroy(world);
            if (over) break;
        }
    }
    tl_plan_unref(plan);
}

static void test_deadline_ends_the_run_on_time(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(fold_graph);
    unsigned expired = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *world = world_of(seed);
        struct tl_value *inputs[] = {texts(5), tl_value_text("s", 1)};
        uint64_t deadline = 2000 + seed * 300;
        uint64_t run = world_submit(world, plan, inputs, 2, deadline);
        world_run(world);
        const struct world_outcome *outcome = world_result(world, run);
        if (outcome->status == TL_ERR_DEADLINE) {
            assert_int_equal(outcome->at, deadline);
            expired++;
        } else {
            assert_int_equal(outcome->status, TL_OK);
            assert_true(outcome->at <= deadline);
        }
        world_destroy(world);
    }
    assert_true(expired > 5 && expired < 40);
    tl_plan_unref(plan);
}

static void test_runaway_workflow_is_bounded(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(map_simple);
    struct tl_value **items = tl_mem_zalloc(100001 * sizeof *items);
    for (size_t i = 0; i < 100001; i++) items[i] = tl_value_text("x", 1);
    struct world *world =
        world_create(&(struct world_options){.seed = 1, .engines = engines, .engine_count = 5, .check = false});
    struct tl_value *inputs[] = {tl_value_list(TL_TYPE_OF(TEXT, 0), items, 100001)};
    uint64_t run = world_submit(world, plan, inputs, 1, 0);
    world_run(world);
    assert_int_equal(world_result(world, run)->status, TL_ERR_LIMIT);
    assert_non_null(strstr(world_result(world, run)->message, "more than 100000 region instances"));
    world_destroy(world);
    tl_mem_free(items);
    tl_plan_unref(plan);
}

/* Many runs of several plans at once, with failures, cancels and deadlines: each ends once, equal runs that are
 * done have equal results, nothing is left. The same seed gives the same trace. */
static uint64_t crowd(uint64_t seed, struct tl_plan **plans, char **expected) {
    struct world *world = world_create(&(struct world_options){.seed = seed,
                                                               .engines = engines,
                                                               .engine_count = 5,
                                                               .check = true,
                                                               .devices = 1 + (unsigned)(seed % 3),
                                                               .instances = 1 + (unsigned)(seed % 2),
                                                               .batch_units = (uint32_t)(seed % 5),
                                                               .failure = seed % 4 == 0 ? 0.02 : 0,
                                                               .policy = tl_policy_at(seed % 5)});
    unsigned kind[24];
    for (unsigned i = 0; i < 24; i++) {
        kind[i] = (unsigned)((seed * 31 + i * 7) % 3);
        struct tl_value *inputs[] = {texts(1 + i % 3), kind[i] > 0 ? tl_value_text("start", 5) : NULL};
        uint64_t deadline = i % 6 == 5 ? world_now(world) + 1500 : 0;
        world_submit(world, plans[kind[i]], inputs, kind[i] > 0 ? 2 : 1, deadline);
        for (unsigned k = 0; k < i % 5; k++) world_advance(world);
        if (i % 7 == 6) world_cancel(world, 1 + (seed + i) % (i + 1));
    }
    world_run(world);
    for (unsigned i = 0; i < 24; i++) {
        const struct world_outcome *outcome = world_result(world, i + 1);
        assert_true(outcome->finished);
        if (outcome->status != TL_OK) continue;
        char **slot = &expected[kind[i] * 3 + i % 3];
        if (!*slot) *slot = tl_mem_strdup(outcome->outputs);
        assert_string_equal(outcome->outputs, *slot);
    }
    uint64_t trace = world_trace(world);
    world_destroy(world);
    return trace;
}

static void test_crowds_keep_results_and_replay(void **state) {
    (void)state;
    struct tl_plan *plans[] = {tl_plan_test_parse(map_simple), tl_plan_test_parse(fold_graph),
                               tl_plan_test_parse(reduce_graph)};
    char *expected[9] = {0};
    for (uint64_t seed = 1; seed <= 150; seed++) {
        uint64_t trace = crowd(seed, plans, expected);
        if (seed % 10 == 0) assert_true(trace == crowd(seed, plans, expected));
    }
    for (size_t i = 0; i < 9; i++) {
        assert_non_null(expected[i]);
        tl_mem_free(expected[i]);
    }
    for (size_t i = 0; i < 3; i++) tl_plan_unref(plans[i]);
}

/* Two engines on one device: an embedding that comes during a long decode waits for one quantum. */
static void test_engines_of_a_device_take_turns(void **state) {
    (void)state;
    struct tl_sched *sched = tl_sched_create(&(struct tl_sched_config){0});
    uint32_t device = tl_sched_add_device(sched, "cpu");
    struct tl_engine_description description = {
        .capabilities = UINT32_MAX, .executor = TL_EXECUTOR_DEVICE, .model = "", .model_digest = ""};
    uint32_t embedder = tl_sched_add_instance(sched, "embedder", &description, device, NULL);
    uint32_t llm = tl_sched_add_instance(sched, "llm", &description, device, NULL);
    struct tl_plan *embed =
        tl_plan_test_parse("graph \"e\" {\n  parameters (t:text)\n  %1: vector = embed \"e/embed\" @embedder "
                           "(input: $t)\n  results (v: %1)\n}\n");
    struct tl_plan *prefill =
        tl_plan_test_parse("graph \"p\" {\n  parameters (p:prompt)\n  %1: kv = prefill \"p/prefill\" @llm "
                           "(prompt: $p)\n  results (kv: %1)\n}\n");
    struct tl_actions actions;
    tl_actions_init(&actions);

    struct tl_value *prompt = world_value(TL_TYPE_OF(PROMPT, 0), 1);
    struct tl_event event = {.kind = TL_EVENT_RUN_SUBMITTED, .now = 1};
    event.as.submitted.run = 1;
    event.as.submitted.plan = prefill; /* takes our reference */
    event.as.submitted.inputs = &prompt;
    event.as.submitted.input_count = 1;
    tl_sched_step(sched, &event, &actions);
    assert_int_equal(actions.count, 1);
    assert_int_equal(actions.items[0].as.run.instance, llm);
    struct tl_item *long_item = actions.items[0].as.run.items[0];

    struct tl_value *text = tl_value_text("x", 1);
    event.as.submitted.run = 2;
    event.as.submitted.plan = embed;
    event.as.submitted.inputs = &text;
    tl_sched_step(sched, &event, &actions);
    assert_int_equal(actions.count, 0); /* the device is busy */

    struct tl_event over = {.kind = TL_EVENT_STEP_DONE, .now = 2};
    over.as.step.instance = llm;
    over.as.step.more = true;
    tl_sched_step(sched, &over, &actions);
    assert_int_equal(actions.count, 1);
    assert_int_equal(actions.items[0].as.run.instance, embedder);
    struct tl_item *short_item = actions.items[0].as.run.items[0];

    struct tl_value *vector = tl_value_vector(&(float){1}, 1);
    struct tl_event done = {.kind = TL_EVENT_ITEM_DONE, .now = 3};
    done.as.done.item = short_item;
    done.as.done.outputs = &vector;
    done.as.done.count = 1;
    tl_sched_step(sched, &done, &actions);
    assert_int_equal(actions.items[0].kind, TL_ACTION_RUN_FINISHED);
    tl_value_unref(actions.items[0].as.finished.outputs[0]);

    over.as.step.instance = embedder;
    over.as.step.more = false;
    over.now = 4;
    tl_sched_step(sched, &over, &actions);
    assert_int_equal(actions.count, 1);
    assert_int_equal(actions.items[0].as.run.instance, llm); /* its second quantum, nothing new */
    assert_int_equal(actions.items[0].as.run.count, 0);

    struct tl_value *kv = tl_value_kv(NULL, 3);
    done.now = 5;
    done.as.done.item = long_item;
    done.as.done.outputs = &kv;
    tl_sched_step(sched, &done, &actions);
    assert_int_equal(actions.items[0].kind, TL_ACTION_RUN_FINISHED);
    tl_value_unref(actions.items[0].as.finished.outputs[0]);
    over.as.step.instance = llm;
    over.now = 6;
    tl_sched_step(sched, &over, &actions);
    assert_int_equal(actions.count, 0);
    tl_actions_fini(&actions);
    tl_sched_destroy(sched);
}

/* The place of a run's first item in the order, when it arrives at 0. */
static double place_of_first(bool shared, const struct tl_plan **plan) {
    static const char *const text =
        "graph \"g\" {\n  parameters (t: text, p: prompt)\n  %1: vector = embed \"e/embed\" @embedder (input: $t)\n"
        "  %2: kv = prefill \"p/prefill\" @llm (prompt: $p)\n  results (v: %1, kv: %2)\n}\n";
    struct tl_sched *sched = tl_sched_create(&(struct tl_sched_config){0});
    struct tl_engine_description description = {
        .capabilities = UINT32_MAX, .executor = TL_EXECUTOR_DEVICE, .model = "", .model_digest = ""};
    uint32_t first = tl_sched_add_device(sched, "first"), second = tl_sched_add_device(sched, "second");
    tl_sched_add_instance(sched, "embedder", &description, first, NULL);
    tl_sched_add_instance(sched, "embedder", &description, first, NULL);
    tl_sched_add_instance(sched, "llm", &description, shared ? first : second, NULL);
    struct tl_value *inputs[] = {tl_value_text("x", 1), world_value(TL_TYPE_OF(PROMPT, 0), 1)};
    struct tl_event event = {.kind = TL_EVENT_RUN_SUBMITTED};
    struct tl_actions actions;
    struct tl_plan *made = tl_plan_test_parse(text);
    tl_actions_init(&actions);
    event.as.submitted.run = 1;
    event.as.submitted.plan = tl_plan_ref(made);
    event.as.submitted.inputs = inputs;
    event.as.submitted.input_count = 2;
    tl_sched_step(sched, &event, &actions);
    assert_true(actions.count > 0 && actions.items[0].kind == TL_ACTION_RUN);
    double place = -actions.items[0].as.run.items[0]->rank;
    struct tl_event failed = {.kind = TL_EVENT_ITEM_FAILED};
    struct tl_item *held[2];
    size_t count = 0;
    for (size_t i = 0; i < actions.count; i++)
        if (actions.items[i].kind == TL_ACTION_RUN) held[count++] = actions.items[i].as.run.items[0];
    for (size_t i = 0; i < count; i++) {
        failed.as.failed.item = held[i];
        failed.as.failed.status = TL_ERR_INVALID;
        failed.as.failed.message = "of no use";
        tl_sched_step(sched, &failed, &actions);
    }
    tl_actions_fini(&actions);
    tl_sched_destroy(sched);
    *plan = made;
    return place;
}

/* What a run asks of an engine counts, and what it asks of those that take turns with it, once each. */
static void test_claims_are_those_on_common_devices(void **state) {
    (void)state;
    const struct tl_plan *plan;
    double apart = place_of_first(false, &plan);
    assert_true(apart > 0 && apart == plan->work_ms[0]);
    tl_plan_unref((struct tl_plan *)plan);
    double shared = place_of_first(true, &plan);
    assert_true(plan->work_ms[1] > 0 && shared == plan->work_ms[0] + plan->work_ms[1]);
    tl_plan_unref((struct tl_plan *)plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chain_runs_in_order),
        cmocka_unit_test(test_regions_over_any_number_of_items),
        cmocka_unit_test(test_cond_runs_one_branch),
        cmocka_unit_test(test_loop_stops_by_predicate_and_by_limit),
        cmocka_unit_test(test_control_edges_hold),
        cmocka_unit_test(test_streaming_gives_the_same_result),
        cmocka_unit_test(test_only_the_answer_streams),
        cmocka_unit_test(test_region_without_items_waits_for_what_it_uses),
        cmocka_unit_test(test_failure_names_primitive_inputs_and_cause),
        cmocka_unit_test(test_long_failure_stays_text),
        cmocka_unit_test(test_unknown_engine_fails_before_anything_runs),
        cmocka_unit_test(test_cancel_at_every_moment),
        cmocka_unit_test(test_deadline_ends_the_run_on_time),
        cmocka_unit_test(test_runaway_workflow_is_bounded),
        cmocka_unit_test(test_crowds_keep_results_and_replay),
        cmocka_unit_test(test_engines_of_a_device_take_turns),
        cmocka_unit_test(test_claims_are_those_on_common_devices),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

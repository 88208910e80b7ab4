/* ahead_test.c: what is computed ahead of its time shows nowhere (engine/emulated/emulated_ahead.c): random clusters under
 * random load, with faults, deadlines and clients that leave, once with each iteration computed when it is due and once
 * without. All that there is to see is equal: every event and its time, outputs, the story of each item, all counters. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/mem.h"
#include "plan/plan_test_support.h"
#include "sched/policy.h"
#include "sim/sim_impl.h"

#define MS TL_NS_PER_MS

enum { WORLDS = 160,
       RUNS = 40,
       PLANS = 4 };

static const char *const graphs[PLANS] = {
    "graph \"question\" {\n"
    "  parameters (question: text, library: index)\n"
    "  %1: vector = embed \"search/embed\" @embedder (input: $question)\n"
    "  %2: hit[] = search \"search/search\" @store (query: %1, index: $library) {count=2}\n"
    "  %3: prompt = render \"answer/render\" (question: $question, hits: %2) "
    "{template=\"[[\\\"user\\\",\\\"{question} {hits}\\\"]]\"}\n"
    "  %4: kv = prefill \"answer/prefill\" @llm (prompt: %3)\n"
    "  %5: text = decode \"answer/decode\" @llm (kv: %4) {max_tokens=120}\n"
    "  results (answer: %5, hits: %2)\n"
    "}\n",
    "graph \"list\" {\n"
    "  parameters (question: text, library: index)\n"
    "  %1: prompt = render \"expand/render\" (question: $question) {template=\"[[\\\"system\\\",\\\"Write a list of "
    "searches that would find the answer to the question.\\\"],[\\\"user\\\",\\\"{question}\\\"]]\"}\n"
    "  %2: kv = prefill \"expand/prefill\" @llm (prompt: %1)\n"
    "  %3: text[] items = decode \"expand/decode\" @llm (kv: %2) {format=\"list\", item_tokens=15, items=4}\n"
    "  %4: vector[] vector = map \"search/each\" (items: %3) {streamed=true} {\n"
    "    parameters (item: text, index: number)\n"
    "    %5: vector = embed \"search/embed\" @embedder (input: $item)\n"
    "    results (vector: %5)\n"
    "  }\n"
    "  results (vectors: %4)\n"
    "}\n",
    /* From one prompt the same text twice, once cut short. */
    "graph \"twice\" {\n"
    "  parameters (question: text, library: index)\n"
    "  %1: prompt = render \"a/render\" (question: $question) {template=\"[[\\\"user\\\",\\\"{question}\\\"]]\"}\n"
    "  %2: kv = prefill \"a/prefill\" @llm (prompt: %1)\n"
    "  %3: text = decode \"a/long\" @llm (kv: %2) {max_tokens=90}\n"
    "  %4: text = decode \"a/short\" @llm (kv: %2) {max_tokens=35}\n"
    "  %5: text[] = decode \"a/list\" @llm (kv: %2) {format=\"list\", item_tokens=8, items=3}\n"
    "  results (long: %3, short: %4, list: %5)\n"
    "}\n",
    "graph \"parts\" {\n"
    "  parameters (question: text, library: index)\n"
    "  %1: vector = embed \"search/embed\" @embedder (input: $question)\n"
    "  %2: hit[] = search \"search/search\" @store (query: %1, index: $library) {count=3}\n"
    "  %3: prompt = render \"a/head\" (question: $question) {template=\"[[\\\"user\\\",\\\"{question}\\\"]]\", "
    "parts=1}\n"
    "  %4: kv = partial_prefill \"a/part\" @llm (prompt: %3)\n"
    "  %5: text[] list = map \"a/map\" (items: %2) {\n"
    "    parameters (item: hit, index: number)\n"
    "    %6: prompt = render \"a/render\" (question: $question, item: $item) "
    "{template=\"[[\\\"user\\\",\\\"{question}{item}\\\"]]\"}\n"
    "    %7: kv = full_prefill \"a/full\" @llm (prompt: %6, kv: %4)\n"
    "    %8: text = decode \"a/decode\" @llm (kv: %7) {max_tokens=60}\n"
    "    results (list: %8)\n"
    "  }\n"
    "  results (list: %5)\n"
    "}\n",
};

static struct tl_plan *plans[PLANS];
static uint64_t random_state;

static uint64_t draw(uint64_t below) {
    random_state = tl_hash_u64(random_state, 17);
    return random_state % below;
}

static bool chance(uint64_t percent) { return draw(100) < percent; }

/* ---- a random world: the same for the same seed ---- */

static json_t *random_settings(const char *serves) {
    json_t *settings = json_pack("{s:[s], s:i}", "serves", serves, "collection_chunks", 4);
    if (chance(20)) json_array_append_new(json_object_get(settings, "serves"), json_string("web"));
    if (strcmp(serves, "llm") != 0) return settings;
    static const double times[] = {18, 7.3, 1, 0};
    json_object_set_new(settings, "iteration_ms", json_real(times[draw(4)]));
    json_object_set_new(settings, "sequence_ms", json_real(times[draw(4)] / 16));
    json_object_set_new(settings, "transfer_token_ms", json_real((double)draw(3) / 100));
    json_object_set_new(settings, "sequences", json_integer((json_int_t)(1 + draw(6))));
    json_object_set_new(settings, "batch", json_integer((json_int_t)(1 + draw(20))));
    json_object_set_new(settings, "context_tokens", json_integer(500));
    json_object_set_new(settings, "kv_tokens", json_integer((json_int_t)(500 + draw(1500))));
    json_object_set_new(settings, "host_tokens", json_integer((json_int_t)(draw(4) * 500)));
    json_object_set_new(settings, "iteration_tokens", json_integer((json_int_t)(16 + draw(200))));
    json_object_set_new(settings, "answer_tokens", json_integer((json_int_t)(1 + draw(120))));
    json_object_set_new(settings, "list_spread", json_integer((json_int_t)draw(3)));
    json_object_set_new(settings, "list_broken", json_integer((json_int_t)draw(8)));
    json_object_set_new(settings, "prefix_cache", json_boolean(chance(70)));
    if (chance(50)) json_object_set_new(settings, "preempt_margin", json_integer((json_int_t)draw(200)));
    if (chance(10)) json_object_set_new(settings, "fail_every", json_integer(20));
    return settings;
}

static void add_engine(struct tl_sim *sim, const char *name, const char *serves, uint32_t device) {
    struct tl_error error;
    json_t *settings = random_settings(serves);
    if (tl_sim_add_engine(sim, name, settings, device, &error) != TL_OK) fail_msg("%s", error.message);
    json_decref(settings);
}

static void add_engines(struct tl_sim *sim) {
    uint32_t devices[3];
    for (int i = 0; i < 3; i++) devices[i] = tl_sim_add_device(sim, "gpu");
    for (uint64_t i = 1 + draw(3); i > 0; i--) add_engine(sim, "llm", "llm", devices[draw(3)]);
    for (uint64_t i = 1 + draw(2); i > 0; i--) add_engine(sim, "embedder", "embed", devices[draw(3)]);
    add_engine(sim, "store", "store", devices[draw(3)]);
}

static void add_faults(struct tl_sim *sim) {
    for (uint64_t i = draw(5); i > 0; i--) {
        uint64_t at = draw(4000) * MS;
        tl_sim_break(sim, &(struct tl_sim_fault){.kind = (enum tl_sim_fault_kind)draw(5),
                                                 .instance = (uint32_t)draw(sim->instance_count),
                                                 .at = at,
                                                 .until = at + draw(800) * MS,
                                                 .factor = 0.5 + (double)draw(5),
                                                 .probability = 0.2,
                                                 .stall = 130 * MS});
    }
}

static void add_runs(struct tl_sim *sim) {
    uint64_t at = 0, gap = chance(50) ? 300 : 40;
    for (int i = 0; i < RUNS; i++) {
        static const char *const tenants[] = {NULL, NULL, "a", "b"};
        char question[64];
        int length = snprintf(question, sizeof question, "ash bay cay den elm %llu ", (unsigned long long)draw(12));
        struct tl_value *inputs[] = {tl_value_text(question, (size_t)length), tl_value_index("library", NULL, 0)};
        if (chance(70)) at += draw(gap) * MS; /* else at once with the one before */
        tl_sim_submit(sim, &(struct tl_sim_request){.at = at,
                                                    .plan = plans[draw(PLANS)],
                                                    .inputs = inputs,
                                                    .input_count = 2,
                                                    .timeout = chance(20) ? (1 + draw(3000)) * MS : 0,
                                                    .leave = chance(20) ? (1 + draw(2000)) * MS : 0,
                                                    .priority = chance(20) ? (double)draw(5) : 0,
                                                    .tenant = tenants[draw(4)]});
    }
}

static struct tl_sim *world_of(uint64_t seed, bool each) {
    random_state = seed;
    struct tl_cost *cost = NULL;
    if (chance(30)) {
        cost = tl_cost_create(); /* what is not measured has times that grow with the context */
        tl_cost_add_default(cost, "llm");
    }
    struct tl_sim *sim = tl_sim_create(&(struct tl_sim_config){
        .seed = seed,
        .policy = tl_policy_at(draw(5)),
        .cost = cost,
        .jitter = chance(30) ? 0.3 : 0,
        .failure = chance(30) ? 0.02 : 0,
        .retries = (uint32_t)draw(3),
        .memo_bytes = chance(50) ? 1 << 20 : 0,
        .limits = {.runs = chance(20) ? 12 : 0},
        .each = each,
        .record = true,
        .check = 64,
    });
    tl_cost_unref(cost);
    add_engines(sim);
    add_faults(sim);
    add_runs(sim);
    return sim;
}

/* ---- equal ---- */

static void assert_equal_results(struct tl_sim *a, struct tl_sim *b) {
    for (uint64_t run = 1; run <= RUNS; run++) {
        const struct tl_sim_result *x = tl_sim_result(a, run), *y = tl_sim_result(b, run);
        assert_int_equal(x->endings, 1);
        assert_int_equal(x->status, y->status);
        assert_string_equal(x->message, y->message);
        assert_int_equal(x->ended, y->ended);
        assert_int_equal(x->first_text, y->first_text);
        assert_int_equal(x->items, y->items);
        assert_int_equal(x->retry_after_ms, y->retry_after_ms);
        assert_true(json_equal(x->outputs, y->outputs) || (!x->outputs && !y->outputs));
    }
}

static void assert_equal_usage(const struct tl_usage *x, const struct tl_usage *y) {
    assert_int_equal(x->units, y->units);
    assert_int_equal(x->tokens_in, y->tokens_in);
    assert_int_equal(x->tokens_reused, y->tokens_reused);
    assert_int_equal(x->tokens_computed, y->tokens_computed);
    assert_int_equal(x->tokens_out, y->tokens_out);
    assert_int_equal(x->batch_units, y->batch_units);
}

static void assert_equal_items(struct tl_sim *a, struct tl_sim *b) {
    size_t count, other;
    const struct tl_sim_item *x = tl_sim_items(a, &count), *y = tl_sim_items(b, &other);
    assert_int_equal(count, other);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(x[i].run, y[i].run);
        assert_string_equal(x[i].label, y[i].label);
        assert_int_equal(x[i].instance, y[i].instance);
        assert_int_equal(x[i].ready, y[i].ready);
        assert_int_equal(x[i].start, y[i].start);
        assert_int_equal(x[i].end, y[i].end);
        assert_int_equal(x[i].status, y[i].status);
        assert_int_equal(x[i].pieces, y[i].pieces);
        assert_int_equal(x[i].prefix, y[i].prefix);
        assert_equal_usage(&x[i].usage, &y[i].usage);
    }
}

/* What the instances have done and keep. Returns how many iterations were computed late. */
static uint64_t assert_equal_instances(struct tl_sim *a, struct tl_sim *b) {
    uint64_t postponed = 0;
    size_t count;
    const struct tl_sim_instance *x = tl_sim_instances(a, &count), *y = tl_sim_instances(b, &count);
    for (size_t i = 0; i < count; i++) {
        struct tl_emulated_kv kv, other;
        assert_int_equal(x[i].busy, y[i].busy);
        assert_int_equal(x[i].quanta, y[i].quanta);
        assert_int_equal(x[i].items, y[i].items);
        tl_emulated_get_kv(a->instances[i].engine, &kv);
        tl_emulated_get_kv(b->instances[i].engine, &other);
        assert_int_equal(kv.postponed, 0);
        postponed += other.postponed;
        assert_int_equal(kv.tokens, other.tokens);
        assert_int_equal(kv.most, other.most);
        assert_memory_equal(&kv.work, &other.work, sizeof kv.work);
    }
    return postponed;
}

static void nothing_shows_of_what_is_computed_ahead(void **state) {
    (void)state;
    uint64_t postponed = 0, steps = 0;
    for (int i = 0; i < PLANS; i++) plans[i] = tl_plan_test_parse(graphs[i]);
    for (uint64_t seed = 1; seed <= WORLDS; seed++) {
        struct tl_sim *each = world_of(seed, true), *ahead = world_of(seed, false);
        /* Up to somewhere in between, so that something is owed, then to the end. */
        uint64_t middle = draw(3000) * MS;
        tl_sim_run_until(each, middle);
        tl_sim_run_until(ahead, middle);
        if (chance(50)) assert_equal_instances(each, ahead);
        tl_sim_run(each);
        tl_sim_run(ahead);
        if (tl_sim_trace_hash(each) != tl_sim_trace_hash(ahead)) print_message("seed %llu\n", (unsigned long long)seed);
        assert_int_equal(tl_sim_now(each), tl_sim_now(ahead));
        assert_equal_items(each, ahead);
        assert_equal_results(each, ahead);
        postponed += assert_equal_instances(each, ahead);
        assert_int_equal(tl_sim_trace_hash(each), tl_sim_trace_hash(ahead));
        struct tl_sched_counters x, y;
        tl_sim_get_counters(each, &x);
        tl_sim_get_counters(ahead, &y);
        assert_memory_equal(&x, &y, sizeof x);
        steps += x.quanta;
        assert_string_equal(tl_sim_violation(each), "");
        assert_string_equal(tl_sim_violation(ahead), "");
        tl_sim_destroy(each);
        tl_sim_destroy(ahead);
    }
    print_message("%llu of %llu quanta computed ahead\n", (unsigned long long)postponed, (unsigned long long)steps);
    assert_true(postponed > steps / 4);
    for (int i = 0; i < PLANS; i++) tl_plan_unref(plans[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_shows_of_what_is_computed_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* sim_test.c: virtual time: latencies are those of the models, endings come when they should, the same seed gives the
 * same trace, and nothing is left. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/mem.h"
#include "plan/plan_test_support.h"
#include "sim/sim.h"

#define MS TL_NS_PER_MS

static const char question_graph[] =
    "graph \"question\" {\n"
    "  parameters (question: text, library: index)\n"
    "  %1: vector = embed \"search/embed\" @embedder (input: $question)\n"
    "  %2: hit[] = search \"search/search\" @store (query: %1, index: $library) {count=2}\n"
    "  %3: prompt = render \"answer/render\" (question: $question, hits: %2) "
    "{template=\"[[\\\"user\\\",\\\"{question} {hits}\\\"]]\"}\n"
    "  %4: kv = prefill \"answer/prefill\" @llm (prompt: %3)\n"
    "  %5: text = decode \"answer/decode\" @llm (kv: %4) {max_tokens=5}\n"
    "  results (answer: %5, hits: %2)\n"
    "}\n";

static const char list_graph[] =
    "graph \"list\" {\n"
    "  parameters (question: text, library: index)\n"
    "  %1: prompt = render \"expand/render\" (question: $question) {template=\"[[\\\"user\\\",\\\"{question}\\\"]]\"}\n"
    "  %2: kv = prefill \"expand/prefill\" @llm (prompt: %1)\n"
    "  %3: text[] items = decode \"expand/decode\" @llm (kv: %2) {format=\"list\", item_tokens=5, items=3}\n"
    "  %4: vector[] vector = map \"search/each\" (items: %3) {streamed=true} {\n"
    "    parameters (item: text, index: number)\n"
    "    %5: vector = embed \"search/embed\" @embedder (input: $item)\n"
    "    results (vector: %5)\n"
    "  }\n"
    "  results (vectors: %4)\n"
    "}\n";

/* The fold has no items, so it is complete long before what its body uses is there. */
static const char empty_graph[] =
    "graph \"empty\" {\n"
    "  parameters (question: text, library: index)\n"
    "  %0: text value = constant \"a/nothing\" () {value=\"\"}\n"
    "  %1: text[] = parse \"a/none\" (text: %0)\n"
    "  %2: text value = constant \"a/initial\" () {value=\"none\"}\n"
    "  %3: vector = embed \"b/embed\" @embedder (input: $question)\n"
    "  %4: hit[] = search \"b/search\" @store (query: %3, index: $library) {count=2}\n"
    "  %5: text = fold \"c/fold\" (items: %1, initial: %2) {\n"
    "    parameters (item: text, index: number, carried: text)\n"
    "    %6: prompt = render \"c/render\" (hits: %4, answer: $carried) "
    "{template=\"[[\\\"user\\\",\\\"{hits} {answer}\\\"]]\"}\n"
    "    %7: kv = prefill \"c/prefill\" @llm (prompt: %6)\n"
    "    %8: text = decode \"c/decode\" @llm (kv: %7)\n"
    "    results (carried: %8)\n"
    "  }\n"
    "  results (answer: %5)\n"
    "}\n";

static void add_engine(struct tl_sim *sim, const char *name, const char *serves, uint32_t device) {
    struct tl_error error;
    json_t *settings = json_pack("{s:[s], s:i}", "serves", serves, "collection_chunks", 4);
    if (tl_sim_add_engine(sim, name, settings, device, &error) != TL_OK) fail_msg("%s", error.message);
    json_decref(settings);
}

static struct tl_sim *sim_with(const struct tl_sim_config *config, bool one_device) {
    static const char *const names[] = {"embedder", "store", "llm"}, *const serves[] = {"embed", "store", "llm"};
    struct tl_sim_config checked = *config;
    checked.record = true;
    checked.check = 1;
    struct tl_sim *sim = tl_sim_create(&checked);
    uint32_t device = tl_sim_add_device(sim, "gpu");
    for (size_t i = 0; i < 3; i++)
        add_engine(sim, names[i], serves[i], one_device || i == 0 ? device : tl_sim_add_device(sim, "gpu"));
    return sim;
}

static uint64_t submit(struct tl_sim *sim, struct tl_plan *plan, uint64_t at, uint64_t timeout, uint64_t leave) {
    struct tl_value *inputs[] = {tl_value_text("ash bay cay den ", 16), tl_value_index("library", NULL, 0)};
    return tl_sim_submit(sim, &(struct tl_sim_request){.at = at,
                                                       .plan = plan,
                                                       .inputs = inputs,
                                                       .input_count = 2,
                                                       .timeout = timeout,
                                                       .leave = leave});
}

static void finish(struct tl_sim *sim) {
    assert_string_equal(tl_sim_violation(sim), "");
    assert_int_equal(tl_sim_resources(sim), 0);
    tl_sim_destroy(sim);
}

static const struct tl_sim_item *item_called(struct tl_sim *sim, const char *label) {
    size_t count;
    const struct tl_sim_item *items = tl_sim_items(sim, &count);
    for (size_t i = 0; i < count; i++)
        if (strcmp(items[i].label, label) == 0) return &items[i];
    fail_msg("no item is called %s", label);
    return NULL;
}

/* ---- */

static void time_is_that_of_the_models(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    uint64_t run = submit(sim, plan, 3 * MS, 0, 0);
    tl_sim_run(sim);
    const struct tl_sim_result *result = tl_sim_result(sim, run);
    assert_int_equal(result->endings, 1);
    assert_int_equal(result->status, TL_OK);
    assert_string_equal(result->message, "");
    assert_int_equal(json_array_size(json_object_get(result->outputs, "hits")), 2);
    assert_true(json_is_string(json_object_get(result->outputs, "answer")));
    const struct tl_sim_item *embed = item_called(sim, "search/embed"), *search = item_called(sim, "search/search");
    const struct tl_sim_item *prefill = item_called(sim, "answer/prefill"), *decode = item_called(sim, "answer/decode");
    assert_int_equal(embed->ready, 3 * MS);
    assert_int_equal(embed->end - embed->start, 25400000); /* 25 + 0.1 x 4 tokens */
    assert_int_equal(search->ready, embed->end);
    assert_int_equal(search->end - search->start, 3300000); /* 2 + 1.3 */
    uint64_t tokens = prefill->usage.tokens_in;
    assert_in_range(prefill->end - prefill->start, 18 * MS + 240000 * tokens - 1, 18 * MS + 240000 * tokens + 1);
    assert_int_equal(decode->end - decode->start, 4 * 18 * MS); /* the first of 5 came with the prefill */
    assert_int_equal(result->ended, decode->end);
    assert_int_equal(result->first_text, decode->start);
    assert_int_equal(result->items, 4);
    size_t count;
    const struct tl_sim_instance *instances = tl_sim_instances(sim, &count);
    assert_int_equal(count, 3);
    assert_string_equal(instances[0].engine, "embedder");
    assert_int_equal(instances[0].busy, 25400000);
    assert_int_equal(instances[2].quanta, 5);
    finish(sim);
    tl_plan_unref(plan);
}

static void list_items_go_on_before_the_list_is_whole(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(list_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    submit(sim, plan, 0, 0, 0);
    tl_sim_run(sim);
    const struct tl_sim_item *decode = item_called(sim, "expand/decode");
    assert_int_equal(decode->pieces, 3);
    assert_int_equal(item_called(sim, "search/embed[0]")->ready, decode->start + 4 * 18 * MS);
    assert_int_equal(item_called(sim, "search/embed[1]")->ready, decode->start + 9 * 18 * MS);
    assert_int_equal(item_called(sim, "search/embed[2]")->ready, decode->end);
    finish(sim);
    tl_plan_unref(plan);
}

static void a_region_of_no_items_does_not_wait_for_what_it_would_use(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(empty_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    uint64_t run = submit(sim, plan, 0, 0, 0);
    tl_sim_run(sim);
    const struct tl_sim_result *result = tl_sim_result(sim, run);
    assert_int_equal(result->status, TL_OK);
    assert_string_equal(json_string_value(json_object_get(result->outputs, "answer")), "none");
    finish(sim);
    tl_plan_unref(plan);
}

static uint64_t trace_of(uint64_t seed, double jitter) {
    struct tl_plan *plan = tl_plan_test_parse(list_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = seed, .jitter = jitter, .failure = 0.05}, true);
    for (uint64_t i = 0; i < 10; i++) submit(sim, plan, i * 40 * MS, 0, 0);
    tl_sim_run(sim);
    uint64_t trace = tl_sim_trace_hash(sim);
    finish(sim);
    tl_plan_unref(plan);
    return trace;
}

static void the_same_seed_gives_the_same_trace(void **state) {
    (void)state;
    assert_int_equal(trace_of(7, 0.5), trace_of(7, 0.5));
    assert_int_not_equal(trace_of(7, 0.5), trace_of(8, 0.5));
}

static void one_device_does_one_thing_at_a_time(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, true);
    for (int i = 0; i < 5; i++) submit(sim, plan, 0, 0, 0);
    tl_sim_run(sim);
    size_t count;
    const struct tl_sim_instance *instances = tl_sim_instances(sim, &count);
    uint64_t busy = 0;
    for (size_t i = 0; i < count; i++) busy += instances[i].busy;
    assert_int_equal(busy, tl_sim_now(sim)); /* never two at once, never idle */
    finish(sim);
    tl_plan_unref(plan);
}

static void a_client_leaves_within_a_quantum(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    uint64_t gone = submit(sim, plan, 0, 0, 10 * MS), stays = submit(sim, plan, 0, 0, 0);
    tl_sim_run(sim);
    assert_int_equal(tl_sim_result(sim, gone)->status, TL_ERR_CANCELLED);
    assert_int_equal(tl_sim_result(sim, gone)->ended, 10 * MS);
    assert_null(tl_sim_result(sim, gone)->outputs);
    assert_int_equal(tl_sim_result(sim, stays)->status, TL_OK);
    assert_int_equal(tl_sim_result(sim, gone)->items, 1);
    finish(sim);
    tl_plan_unref(plan);
}

static void a_deadline_ends_a_run(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    uint64_t late = submit(sim, plan, 5 * MS, 60 * MS, 0), early = submit(sim, plan, 5 * MS, 5000 * MS, 0);
    tl_sim_run(sim);
    assert_int_equal(tl_sim_result(sim, late)->status, TL_ERR_DEADLINE);
    assert_int_equal(tl_sim_result(sim, late)->ended, 65 * MS);
    assert_int_equal(tl_sim_result(sim, early)->status, TL_OK);
    finish(sim);
    tl_plan_unref(plan);
}

static void failures_are_injected(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1, .failure = 1}, false);
    uint64_t run = submit(sim, plan, 0, 0, 0);
    tl_sim_run(sim);
    const struct tl_sim_result *result = tl_sim_result(sim, run);
    assert_int_equal(result->status, TL_ERR_ENGINE);
    assert_non_null(strstr(result->message, "search/embed (embed on \"embedder\"): an injected failure"));
    assert_int_equal(item_called(sim, "search/embed")->status, TL_ERR_ENGINE);
    finish(sim);
    tl_plan_unref(plan);
}

static void a_slow_or_hanging_engine_takes_longer(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    tl_sim_break(sim, &(struct tl_sim_fault){.kind = TL_SIM_SLOW, .instance = 0, .until = 10 * MS, .factor = 3});
    tl_sim_break(sim, &(struct tl_sim_fault){.kind = TL_SIM_HANG, .instance = 1, .at = 70 * MS, .until = 200 * MS});
    uint64_t run = submit(sim, plan, 0, 0, 0);
    tl_sim_run(sim);
    const struct tl_sim_item *embed = item_called(sim, "search/embed"), *search = item_called(sim, "search/search");
    assert_int_equal(embed->end - embed->start, 3 * 25400000);
    assert_int_equal(search->end, 200 * MS);
    assert_int_equal(tl_sim_result(sim, run)->status, TL_OK);
    finish(sim);
    tl_plan_unref(plan);
}

static void a_lost_engine_gives_its_work_to_another(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1, .retries = 1}, false);
    add_engine(sim, "embedder", "embed", tl_sim_add_device(sim, "gpu"));
    tl_sim_break(sim, &(struct tl_sim_fault){.kind = TL_SIM_LOST, .instance = 0, .at = 10 * MS, .until = 500 * MS});
    uint64_t run = submit(sim, plan, 0, 0, 0), alone = submit(sim, plan, 20 * MS, 0, 0);
    tl_sim_run(sim);
    assert_int_equal(tl_sim_result(sim, run)->status, TL_OK);
    assert_int_equal(tl_sim_result(sim, alone)->status, TL_OK);
    struct tl_sched_counters counters;
    tl_sim_get_counters(sim, &counters);
    assert_int_equal(counters.items_retried, 1);
    finish(sim);
    tl_plan_unref(plan);
}

/* Of two instances the one that turns out to be slow gets what it finishes sooner, and no more. */
static void a_slow_instance_gets_less(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    add_engine(sim, "embedder", "embed", tl_sim_add_device(sim, "gpu"));
    tl_sim_break(sim, &(struct tl_sim_fault){.kind = TL_SIM_SLOW, .instance = 0, .until = 1000000 * MS, .factor = 8});
    enum { RUNS = 60 };
    for (uint64_t i = 0; i < RUNS; i++) submit(sim, plan, i * 40 * MS, 0, 0);
    tl_sim_run(sim);
    size_t count;
    const struct tl_sim_instance *instances = tl_sim_instances(sim, &count);
    assert_int_equal(instances[0].items + instances[3].items, RUNS);
    assert_true(instances[0].items < RUNS / 6 && instances[0].items > 0);
    finish(sim);
    tl_plan_unref(plan);
}

/* The same engine on two devices, of which one is known to be slower: work goes where it ends first, from the first item
 * on. An embedding of four tokens takes 25.4 ms on the fast device and 4 times that on the slow one. */
static void work_goes_where_it_ends_first(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    for (int slow_first = 0; slow_first < 2; slow_first++) {
        struct tl_sim *sim = tl_sim_create(&(struct tl_sim_config){.seed = 1, .record = true, .check = 1});
        struct tl_error error;
        for (int i = 0; i < 2; i++) {
            json_t *settings = json_pack("{s:[s], s:i, s:i}", "serves", "embed", "scale", i != slow_first ? 1 : 4,
                                         "batch", 1);
            if (tl_sim_add_engine(sim, "embedder", settings, tl_sim_add_device(sim, "d"), &error) != TL_OK)
                fail_msg("%s", error.message);
            json_decref(settings);
        }
        add_engine(sim, "store", "store", tl_sim_add_device(sim, "d"));
        add_engine(sim, "llm", "llm", tl_sim_add_device(sim, "d"));
        enum { RUNS = 10 };
        uint32_t slow = slow_first ? 1 : 0, fast = 1 - slow;
        for (uint64_t i = 0; i < RUNS; i++) submit(sim, plan, 0, 0, 0);
        tl_sim_run(sim);
        size_t count;
        const struct tl_sim_instance *instances = tl_sim_instances(sim, &count);
        assert_int_equal(instances[fast].items, 8); /* four of them while the slow one is at one */
        assert_int_equal(instances[slow].items, 2);
        finish(sim);
    }
    tl_plan_unref(plan);
}

static void beyond_the_limit_it_refuses(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1, .limits = {.runs = 1}}, false);
    uint64_t run = submit(sim, plan, 0, 0, 0), refused = submit(sim, plan, 5 * MS, 0, 0);
    tl_sim_run(sim);
    assert_int_equal(tl_sim_result(sim, run)->status, TL_OK);
    assert_int_equal(tl_sim_result(sim, refused)->status, TL_ERR_BUSY);
    assert_int_equal(tl_sim_result(sim, refused)->ended, 5 * MS);
    assert_true(tl_sim_result(sim, refused)->retry_after_ms > 0);
    finish(sim);
    tl_plan_unref(plan);
}

/* Three prompts with one prefix, two instances: one goes where it computes the prefix again, because it is done there
 * earlier than behind the other two. */
static const char siblings_graph[] = "graph \"siblings\" {\n"
                                     "  parameters (question:text, items:text[])\n"
                                     "  %1: prompt = render \"a/head\" (question: $question) "
                                     "{template=\"[[\\\"user\\\",\\\"{question}\\\"]]\", parts=1}\n"
                                     "  %2: kv = partial_prefill \"a/part\" @llm (prompt: %1)\n"
                                     "  %3: kv[] list = map \"a/map\" (items: $items) {\n"
                                     "    parameters (item:text, index:number)\n"
                                     "    %4: prompt = render \"a/render\" (question: $question, item: $item) "
                                     "{template=\"[[\\\"user\\\",\\\"{question}{item}\\\"]]\"}\n"
                                     "    %5: kv = full_prefill \"a/full\" @llm (prompt: %4, kv: %2)\n"
                                     "    results (list: %5)\n"
                                     "  }\n"
                                     "  results (list: %3)\n"
                                     "}\n";

static struct tl_value *long_text(char letter, size_t tokens) {
    char *text = tl_mem_alloc(4 * tokens);
    memset(text, letter, 4 * tokens);
    struct tl_value *value = tl_value_text(text, 4 * tokens);
    tl_mem_free(text);
    return value;
}

/* ms until all three are there, with a prefix of so many tokens. `reused`: how many had it where they were. */
static double siblings(size_t prefix, unsigned *reused) {
    struct tl_plan *plan = tl_plan_test_parse(siblings_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    add_engine(sim, "llm", "llm", tl_sim_add_device(sim, "gpu"));
    struct tl_value *items[] = {long_text('a', 256), long_text('b', 256), long_text('c', 256)};
    struct tl_value *inputs[] = {long_text('q', prefix), tl_value_list(TL_TYPE_OF(TEXT, 0), items, 3)};
    tl_sim_submit(sim, &(struct tl_sim_request){.plan = plan, .inputs = inputs, .input_count = 2});
    tl_sim_run(sim);
    assert_int_equal(tl_sim_result(sim, 1)->status, TL_OK);
    size_t count;
    const struct tl_sim_item *list = tl_sim_items(sim, &count);
    *reused = 0;
    for (size_t i = 0; i < count; i++) *reused += list[i].op == TL_OP_FULL_PREFILL && list[i].usage.tokens_reused > 0;
    double ms = (double)(tl_sim_result(sim, 1)->ended - item_called(sim, "a/part")->end) / MS;
    finish(sim);
    tl_plan_unref(plan);
    return ms;
}

static void a_prefix_pulls_but_does_not_bind(void **state) {
    (void)state;
    unsigned reused;
    double ms = siblings(200, &reused);
    assert_int_equal(reused, 2);
    assert_true(ms > 18 + 2 * 0.24 * 256 - 1 && ms < 18 + 2 * 0.24 * 256 + 4); /* two there, one with its prefix elsewhere */
    siblings(800, &reused);
    assert_int_equal(reused, 3); /* to compute that again takes longer than to wait */
}

static void it_stops_where_it_is_told_and_can_be_dropped(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(question_graph);
    struct tl_sim *sim = sim_with(&(struct tl_sim_config){.seed = 1}, false);
    uint64_t run = submit(sim, plan, 0, 0, 0);
    submit(sim, plan, 1000 * MS, 0, 0);
    tl_sim_run_until(sim, 26 * MS);
    assert_int_equal(tl_sim_now(sim), 26 * MS);
    assert_int_equal(tl_sim_result(sim, run)->endings, 0);
    assert_int_equal(tl_sim_result(sim, run)->items, 2);
    tl_sim_destroy(sim); /* one run on its way, one not yet there */
    tl_plan_unref(plan);
}

static void bad_settings_are_said(void **state) {
    (void)state;
    struct tl_error error;
    struct tl_sim *sim = tl_sim_create(&(struct tl_sim_config){.seed = 1});
    json_t *settings = json_pack("{s:s}", "speed", "high");
    assert_int_equal(tl_sim_add_engine(sim, "llm", settings, tl_sim_add_device(sim, "gpu"), &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "speed"));
    json_decref(settings);
    tl_sim_destroy(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(time_is_that_of_the_models),
        cmocka_unit_test(list_items_go_on_before_the_list_is_whole),
        cmocka_unit_test(a_region_of_no_items_does_not_wait_for_what_it_would_use),
        cmocka_unit_test(the_same_seed_gives_the_same_trace),
        cmocka_unit_test(one_device_does_one_thing_at_a_time),
        cmocka_unit_test(a_client_leaves_within_a_quantum),
        cmocka_unit_test(a_deadline_ends_a_run),
        cmocka_unit_test(failures_are_injected),
        cmocka_unit_test(a_slow_or_hanging_engine_takes_longer),
        cmocka_unit_test(a_lost_engine_gives_its_work_to_another),
        cmocka_unit_test(a_slow_instance_gets_less),
        cmocka_unit_test(work_goes_where_it_ends_first),
        cmocka_unit_test(beyond_the_limit_it_refuses),
        cmocka_unit_test(a_prefix_pulls_but_does_not_bind),
        cmocka_unit_test(it_stops_where_it_is_told_and_can_be_dropped),
        cmocka_unit_test(bad_settings_are_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

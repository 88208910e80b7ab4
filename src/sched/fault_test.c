/* Tests of what happens when engines fail or are lost, and of what is let in at all. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "plan/plan_test_support.h"
#include "sched/policy.h"
#include "sched/sched_impl.h"
#include "sched/world_test_support.h"

static const char *const engines[] = {"embedder", "store", "llm"};

static const char search[] = "graph \"search\" {\n"
                             "  parameters (question:text, index:index)\n"
                             "  %1: vector = embed \"search/embed\" @embedder (input: $question)\n"
                             "  %2: hit[] = search \"search/search\" @store (query: %1, index: $index) {count=3}\n"
                             "  results (hits: %2)\n"
                             "}\n";

static const char answer[] = "graph \"answer\" {\n"
                             "  parameters (question:text)\n"
                             "  %1: prompt = render \"answer/render\" (question: $question) {template=\"x\"}\n"
                             "  %2: kv = prefill \"answer/prefill\" @llm (prompt: %1)\n"
                             "  %3: text text = decode \"answer/decode\" @llm (kv: %2)\n"
                             "  results (answer: %3)\n"
                             "}\n";

static struct world *world_of(struct world_options options) {
    options.engines = engines;
    options.engine_count = 3;
    options.check = true;
    if (options.instances == 0) options.instances = 2;
    return world_create(&options);
}

static uint64_t submit(struct world *world, struct tl_plan *plan) {
    struct tl_value *inputs[] = {tl_value_text("why", 3), NULL};
    if (plan->root->parameter_count > 1) inputs[1] = tl_value_index("c", NULL, 0);
    return world_submit(world, plan, inputs, plan->root->parameter_count, 0);
}

static struct tl_sched_counters counters_of(const struct world *world) {
    struct tl_sched_counters counters;
    tl_sched_get_counters(world_sched(world), &counters);
    return counters;
}

/* The instance that holds an item; NO_INSTANCE: none does. */
static uint32_t busy_instance(const struct world *world) {
    const struct tl_sched *sched = world_sched(world);
    for (uint32_t i = 0; i < sched->instance_count; i++)
        if (sched->instances[i].held_items > 0) return i;
    return NO_INSTANCE;
}

static void failed_items_are_tried_again(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(search);
    unsigned done[3] = {0};
    for (uint32_t retries = 0; retries < 3; retries++)
        for (uint64_t seed = 1; seed <= 60; seed++) {
            struct world *world = world_of((struct world_options){.seed = seed, .failure = 0.3, .retries = retries});
            uint64_t run = submit(world, plan);
            world_run(world);
            done[retries] += world_result(world, run)->status == TL_OK;
            assert_true(counters_of(world).items_retried <= 2 * retries);
            world_destroy(world);
        }
    assert_true(done[0] < 40 && done[1] > done[0] && done[2] > done[1] && done[2] > 50);
    tl_plan_unref(plan);
}

static void another_instance_tries(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(search);
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *world = world_of((struct world_options){.seed = seed, .retries = 1});
        uint64_t run = submit(world, plan);
        uint32_t first = busy_instance(world);
        world_lose(world, first);
        uint32_t second = busy_instance(world);
        assert_int_not_equal(second, NO_INSTANCE);
        assert_int_not_equal(second, first);
        world_find(world, first);
        world_run(world);
        assert_int_equal(world_result(world, run)->status, TL_OK);
        world_destroy(world);
    }
    tl_plan_unref(plan);
}

static void what_writes_is_not_tried_again(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(answer);
    struct world *world = world_of((struct world_options){.seed = 1, .retries = 5, .keep = true});
    uint64_t run = submit(world, plan);
    while (counters_of(world).items_started < 2) world_advance(world); /* the decode */
    world_lose(world, busy_instance(world));
    assert_true(world_result(world, run)->finished);
    assert_int_equal(world_result(world, run)->status, TL_ERR_ENGINE);
    assert_non_null(strstr(world_result(world, run)->message,
                           "answer/decode (decode on \"llm\"): the instance that executed it was lost"));
    world_run(world);
    world_destroy(world);
    tl_plan_unref(plan);
}

/* The instance with the prefix is lost between prefill and decode: it stands in no queue then. */
static void a_lost_prefix_fails_its_decode(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(answer);
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *world =
            world_of((struct world_options){.seed = seed, .retries = 1, .keep = true, .batch_units = 1});
        uint64_t runs[6];
        for (size_t i = 0; i < 6; i++) runs[i] = submit(world, plan);
        while (counters_of(world).items_done < 3) world_advance(world);
        world_lose(world, 4); /* the first of the LLM */
        world_lose(world, 5);
        for (size_t i = 0; i < 6; i++) {
            const struct world_outcome *outcome = world_result(world, runs[i]);
            assert_true(outcome->finished); /* nobody waits for an engine of which nothing is left */
            if (outcome->status == TL_OK) continue;
            lost += strstr(outcome->message, "the instance that holds what it needs was lost") != NULL;
            assert_non_null(strstr(outcome->message, "lost"));
        }
        uint64_t late = submit(world, plan);
        assert_non_null(strstr(world_result(world, late)->message, "all instances of the engine are lost"));
        world_find(world, 4);
        uint64_t again = submit(world, plan);
        world_run(world);
        assert_int_equal(world_result(world, again)->status, TL_OK);
        world_destroy(world);
    }
    assert_true(lost > 0);
    tl_plan_unref(plan);
}

static void runs_beyond_a_limit_are_refused_at_once(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(search);
    struct world *world = world_of((struct world_options){.seed = 1, .limits = {.runs = 3, .tenant_runs = 2}});
    const struct tl_sched *sched = world_sched(world);
    world_set_tenant(world, "left");
    uint64_t first = submit(world, plan), second = submit(world, plan), items = sched->next_item;
    uint64_t third = submit(world, plan);
    assert_false(world_result(world, first)->finished);
    assert_false(world_result(world, second)->finished);
    const struct world_outcome *refused = world_result(world, third);
    assert_true(refused->finished);
    assert_int_equal(refused->at, world_now(world)); /* in the very step in which it came */
    assert_int_equal(refused->status, TL_ERR_BUSY);
    assert_int_equal(sched->run_count, 2); /* and nothing was made for it: no run, no body, no item */
    assert_int_equal(sched->next_item, items);
    assert_int_equal(counters_of(world).builtins, 0);
    assert_true(refused->retry_after_ms >= 1);
    assert_non_null(
        strstr(refused->message, "as many runs as a tenant is allowed at once are under way; try again after"));
    world_set_tenant(world, "right");
    uint64_t other = submit(world, plan), fifth = submit(world, plan);
    assert_false(world_result(world, other)->finished);
    assert_non_null(strstr(world_result(world, fifth)->message, "as many runs as are allowed at once are under way"));
    assert_int_equal(counters_of(world).runs_refused, 2);
    assert_int_equal(counters_of(world).items_started + counters_of(world).items_queued, 3); /* no work of those */
    world_run(world);
    uint64_t later = submit(world, plan);
    world_run(world);
    assert_int_equal(world_result(world, later)->status, TL_OK);
    world_destroy(world);
    tl_plan_unref(plan);
}

static void work_is_limited_by_what_is_predicted(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(answer);
    double one = plan->critical_ms;
    struct world *world = world_of((struct world_options){.seed = 1, .limits = {.work_ms = 2.5 * one}});
    uint64_t runs[3];
    for (size_t i = 0; i < 3; i++) runs[i] = submit(world, plan);
    assert_false(world_result(world, runs[1])->finished);
    assert_int_equal(world_result(world, runs[2])->status, TL_ERR_BUSY);
    world_run(world);
    world_destroy(world);
    /* One that is larger than the limit is let in when it is alone. */
    world = world_of((struct world_options){.seed = 1, .limits = {.work_ms = one / 2, .tenant_work_ms = one / 2}});
    runs[0] = submit(world, plan);
    runs[1] = submit(world, plan);
    assert_int_equal(world_result(world, runs[1])->status, TL_ERR_BUSY);
    world_run(world);
    assert_int_equal(world_result(world, runs[0])->status, TL_OK);
    world_destroy(world);
    tl_plan_unref(plan);
}

/* One tenant has brought twenty runs, another comes after them with one: it is not the last to be served. */
static void tenants_share(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(search);
    struct world *world = world_of(
        (struct world_options){.seed = 3, .instances = 1, .batch_units = 1, .policy = tl_policy_find("critical_path")});
    world_set_tenant(world, "many");
    uint64_t many[20], few;
    for (size_t i = 0; i < 20; i++) many[i] = submit(world, plan);
    for (size_t i = 0; i < 10; i++) world_advance(world);
    world_set_tenant(world, "few");
    few = submit(world, plan);
    world_run(world);
    unsigned before = 0;
    for (size_t i = 0; i < 20; i++) before += world_result(world, many[i])->at < world_result(world, few)->at;
    assert_true(before < 10);
    world_destroy(world);
    tl_plan_unref(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failed_items_are_tried_again),
        cmocka_unit_test(another_instance_tries),
        cmocka_unit_test(what_writes_is_not_tried_again),
        cmocka_unit_test(a_lost_prefix_fails_its_decode),
        cmocka_unit_test(runs_beyond_a_limit_are_refused_at_once),
        cmocka_unit_test(work_is_limited_by_what_is_predicted),
        cmocka_unit_test(tenants_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests of instances that do not answer, event by event: when they are given up, what becomes of what they held and of what
 * waited for them, and what comes of the answer that is there in the end. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "graph/graph.h"
#include "plan/plan_test_support.h"
#include "sched/sched_impl.h"

enum { MOST = 16 };

static const double HANG_AFTER_MS = 60000;

/* Two embedders on devices of their own, an llm on the first's, a store of its own thread. */
enum { EMBEDDER_1, EMBEDDER_2, LLM, STORE, INSTANCES };

struct bench {
    struct tl_sched *sched;
    struct tl_actions actions;
    uint64_t now, wake, runs;
    struct tl_item *given[INSTANCES]; /* the last item that each got */
    unsigned batches[INSTANCES], cancels[INSTANCES], hung[INSTANCES];
    struct {
        bool finished;
        enum tl_status status;
        char *message;
    } ends[MOST];
};

static enum tl_status no_builtin(const struct tl_item *item, struct tl_value **outputs, size_t count,
                                 struct tl_error *error) {
    (void)item, (void)outputs, (void)count;
    return tl_error_set(error, TL_ERR_ENGINE, "there is none");
}

static void step(struct bench *bench, struct tl_event event) {
    event.now = bench->now;
    tl_sched_step(bench->sched, &event, &bench->actions);
    for (size_t i = 0; i < bench->actions.count; i++) {
        const struct tl_action *action = &bench->actions.items[i];
        switch (action->kind) {
        case TL_ACTION_RUN:
            bench->batches[action->as.run.instance]++;
            if (action->as.run.count) bench->given[action->as.run.instance] = action->as.run.items[0];
            break;
        case TL_ACTION_CANCEL_ITEM: bench->cancels[action->as.cancel.instance]++; break;
        case TL_ACTION_INSTANCE_HUNG: bench->hung[action->as.hung.instance]++; break;
        case TL_ACTION_RUN_FINISHED: {
            uint64_t run = action->as.finished.run;
            assert_false(bench->ends[run].finished);
            bench->ends[run].finished = true;
            bench->ends[run].status = action->as.finished.status;
            bench->ends[run].message = tl_mem_strdup(action->as.finished.message);
            for (size_t k = 0; k < action->as.finished.output_count; k++)
                tl_value_unref(action->as.finished.outputs[k]);
            break;
        }
        case TL_ACTION_RECALLED: break;
        case TL_ACTION_WAKE: bench->wake = action->as.wake.at; break;
        }
    }
    struct tl_str why = TL_STR_INIT;
    if (!tl_sched_is_valid(bench->sched, &why)) fail_msg("after event %d: %s", (int)event.kind, why.data);
    tl_str_fini(&why);
}

static struct bench *open_bench(double hang_after_ms, uint32_t retries) {
    static const char *const names[INSTANCES] = {"embedder", "embedder", "llm", "store"};
    struct bench *bench = tl_mem_zalloc(sizeof *bench);
    bench->now = 1;
    tl_actions_init(&bench->actions);
    bench->sched = tl_sched_create(&(struct tl_sched_config){
        .builtin = no_builtin, .retries = retries, .hang_after_ms = hang_after_ms});
    tl_sched_add_device(bench->sched, "gpu0");
    tl_sched_add_device(bench->sched, "gpu1");
    for (uint32_t i = 0; i < INSTANCES; i++) {
        bool pool = i == STORE;
        struct tl_engine_description description = {
            .capabilities = UINT32_MAX, .executor = pool ? TL_EXECUTOR_POOL : TL_EXECUTOR_DEVICE, .batch_units = 1};
        assert_int_equal(tl_sched_add_instance(bench->sched, names[i], &description,
                                               pool ? TL_SCHED_NO_DEVICE : i == EMBEDDER_2, &bench->given[i]),
                         i);
    }
    return bench;
}

static void close_bench(struct bench *bench) {
    for (size_t i = 0; i < MOST; i++) tl_mem_free(bench->ends[i].message);
    tl_sched_destroy(bench->sched);
    tl_actions_fini(&bench->actions);
    tl_mem_free(bench);
}

/* One primitive on an engine. */
static struct tl_plan *embedding(void) {
    return tl_plan_test_parse("graph \"e\" {\n"
                              "  parameters (question:text)\n"
                              "  %1: vector = embed \"search/embed\" @embedder (input: $question)\n"
                              "  results (vector: %1)\n"
                              "}\n");
}

static struct tl_plan *decoding(void) {
    return tl_plan_test_parse("graph \"d\" {\n"
                              "  parameters (kv:kv)\n"
                              "  %1: text text = decode \"answer/decode\" @llm (kv: $kv)\n"
                              "  results (answer: %1)\n"
                              "}\n");
}

static struct tl_plan *matching(void) {
    return tl_plan_test_parse("graph \"m\" {\n"
                              "  parameters (query:text, index:index)\n"
                              "  %1: hit[] = match \"search/match\" @store (query: $query, index: $index) {count=3}\n"
                              "  results (hits: %1)\n"
                              "}\n");
}

/* Takes the plan. */
static uint64_t submit(struct bench *bench, struct tl_plan *plan, uint64_t deadline) {
    const struct tl_plan_body *root = plan->root;
    struct tl_value *inputs[2];
    for (uint32_t i = 0; i < root->parameter_count; i++)
        inputs[i] = root->slots[i].type.base == TL_TYPE_KV      ? tl_value_kv(NULL, 10)
                    : root->slots[i].type.base == TL_TYPE_INDEX ? tl_value_index("c", NULL, 0)
                                                                : tl_value_text("why", 3);
    struct tl_event event = {.kind = TL_EVENT_RUN_SUBMITTED};
    event.as.submitted.run = ++bench->runs;
    event.as.submitted.plan = plan;
    event.as.submitted.inputs = inputs;
    event.as.submitted.input_count = root->parameter_count;
    event.as.submitted.deadline = deadline;
    step(bench, event);
    return bench->runs;
}

static struct tl_value *output_of(const struct tl_item *item) {
    switch (item->op) {
    case TL_OP_EMBED: return tl_value_vector(&(float){1}, 1);
    case TL_OP_MATCH: return tl_value_list(TL_TYPE_OF(HIT, 0), NULL, 0);
    default: return tl_value_text("because", 7);
    }
}

static void done(struct bench *bench, struct tl_item *item) {
    struct tl_value *output = output_of(item);
    struct tl_event event = {.kind = TL_EVENT_ITEM_DONE};
    event.as.done.item = item;
    event.as.done.outputs = &output;
    event.as.done.count = 1;
    step(bench, event);
}

static void cancelled(struct bench *bench, struct tl_item *item) {
    struct tl_event event = {.kind = TL_EVENT_ITEM_FAILED};
    event.as.failed.item = item;
    event.as.failed.status = TL_ERR_CANCELLED;
    event.as.failed.message = "cancelled";
    step(bench, event);
}

static void of_instance(struct bench *bench, enum tl_event_kind kind, uint32_t instance, bool more) {
    struct tl_event event = {.kind = kind};
    event.as.step.instance = instance;
    event.as.step.more = more;
    step(bench, event);
}

static void wait_until(struct bench *bench, uint64_t at) {
    bench->now = at;
    step(bench, (struct tl_event){.kind = TL_EVENT_TIME});
}

/* A wake may come for what has answered meanwhile; then there is another. */
static void wait_for_hang(struct bench *bench, uint32_t instance) {
    while (!bench->hung[instance]) {
        assert_true(bench->wake > bench->now);
        wait_until(bench, bench->wake);
    }
}

static size_t live(const struct bench *bench) {
    struct tl_sched_counters counters;
    tl_sched_get_counters(bench->sched, &counters);
    return counters.runs_live;
}

static void says(const struct bench *bench, uint64_t run, const char *text) {
    assert_true(bench->ends[run].finished);
    assert_int_equal(bench->ends[run].status, TL_ERR_ENGINE);
    if (!strstr(bench->ends[run].message, text)) fail_msg("%s", bench->ends[run].message);
}

/* The run has its answer from another instance; what was lent to the silent one stays until it has answered. */
static void another_instance_answers(void **state) {
    (void)state;
    struct bench *bench = open_bench(HANG_AFTER_MS, 1);
    uint64_t run = submit(bench, embedding(), 0);
    uint32_t first = bench->given[EMBEDDER_1] ? EMBEDDER_1 : EMBEDDER_2, second = EMBEDDER_1 + EMBEDDER_2 - first;
    struct tl_item *lent = bench->given[first];
    uint64_t due = bench->wake;
    assert_true(due >= bench->now + (uint64_t)HANG_AFTER_MS * TL_NS_PER_MS);
    wait_until(bench, due - 1);
    assert_int_equal(bench->hung[first], 0);
    assert_null(bench->given[second]);
    wait_until(bench, due);
    assert_int_equal(bench->hung[first], 1);
    assert_non_null(bench->given[second]);
    assert_ptr_not_equal(bench->given[second], lent);
    assert_true(bench->given[second]->id != lent->id);
    assert_false(tl_sched_item_is_wanted(lent));
    done(bench, bench->given[second]);
    of_instance(bench, TL_EVENT_STEP_DONE, second, false);
    assert_int_equal(bench->ends[run].status, TL_OK);
    assert_int_equal(live(bench), 1); /* its memory: the silent one may read it */
    assert_int_equal(lent->inputs[0]->as.text.length, 3);
    uint64_t another = submit(bench, embedding(), 0); /* nothing goes to the silent one */
    assert_int_equal(bench->batches[first], 1);
    done(bench, bench->given[second]);
    of_instance(bench, TL_EVENT_STEP_DONE, second, false);
    assert_int_equal(bench->ends[another].status, TL_OK);
    of_instance(bench, TL_EVENT_INSTANCE_BACK, first, false); /* too early: it is ignored */
    assert_true(bench->sched->instances[first].lost);
    done(bench, lent);
    of_instance(bench, TL_EVENT_STEP_DONE, first, false);
    assert_int_equal(live(bench), 0);
    assert_true(bench->sched->instances[first].lost); /* until it is open again */
    of_instance(bench, TL_EVENT_INSTANCE_BACK, first, false);
    assert_false(bench->sched->instances[first].lost);
    assert_int_equal(bench->wake, 0);
    assert_int_equal(bench->hung[first], 1);
    assert_int_equal(bench->cancels[first], 0);
    close_bench(bench);
}

/* What it is asked to stop is asked before it is given up, else never; what it would go on with is dropped. */
static void what_may_not_be_repeated_fails(void **state) {
    (void)state;
    struct bench *bench = open_bench(HANG_AFTER_MS, 5);
    uint64_t run = submit(bench, decoding(), 0), queued = submit(bench, decoding(), 0);
    struct tl_item *lent = bench->given[LLM];
    wait_until(bench, bench->wake);
    says(bench, run, "answer/decode (decode on \"llm\"): the instance that executed it was lost: llm has not answered "
                     "for 60.");
    says(bench, queued, "answer/decode (decode on \"llm\"): all instances of the engine are lost: llm has not answered "
                        "for 60.");
    uint64_t late = submit(bench, decoding(), 0);
    says(bench, late, "all instances of the engine are lost: llm has not answered for 60.");
    assert_int_equal(live(bench), 1);
    of_instance(bench, TL_EVENT_STEP_DONE, LLM, true); /* the call returns, but the item needs more of them */
    assert_int_equal(bench->batches[LLM], 1);
    assert_int_equal(live(bench), 1);
    cancelled(bench, lent); /* as it is closed */
    assert_int_equal(live(bench), 0);
    of_instance(bench, TL_EVENT_INSTANCE_BACK, LLM, false);
    uint64_t again = submit(bench, decoding(), 0);
    done(bench, bench->given[LLM]);
    of_instance(bench, TL_EVENT_STEP_DONE, LLM, false);
    assert_int_equal(bench->ends[again].status, TL_OK);
    assert_int_equal(bench->cancels[LLM], 0);
    close_bench(bench);
}

/* The llm is well, but its device is not: what it holds between two quanta fails and is cancelled; it is not opened anew. */
static void a_device_is_held_up(void **state) {
    (void)state;
    struct bench *bench = open_bench(HANG_AFTER_MS, 1);
    uint64_t decode = submit(bench, decoding(), 0);
    struct tl_item *decoded = bench->given[LLM], *embedded;
    uint64_t embeds[2] = {submit(bench, embedding(), 0), submit(bench, embedding(), 0)};
    of_instance(bench, TL_EVENT_STEP_DONE, LLM, true);
    while (!bench->given[EMBEDDER_1]) of_instance(bench, TL_EVENT_STEP_DONE, LLM, true);
    embedded = bench->given[EMBEDDER_1];
    done(bench, bench->given[EMBEDDER_2]);
    of_instance(bench, TL_EVENT_STEP_DONE, EMBEDDER_2, false);
    wait_for_hang(bench, EMBEDDER_1);
    assert_int_equal(bench->hung[LLM], 0);
    assert_int_equal(bench->cancels[LLM], 1);
    says(bench, decode, "answer/decode (decode on \"llm\"): the instance that executed it was lost: llm waits for the "
                        "device \"gpu0\", where embedder#1 has not answered for 60.");
    assert_int_equal(bench->batches[EMBEDDER_2], 2); /* the other device goes on */
    done(bench, bench->given[EMBEDDER_2]);
    of_instance(bench, TL_EVENT_STEP_DONE, EMBEDDER_2, false);
    for (size_t i = 0; i < 2; i++) assert_int_equal(bench->ends[embeds[i]].status, TL_OK);
    unsigned quanta = bench->batches[LLM];
    uint64_t late = submit(bench, decoding(), bench->now + TL_NS_PER_S);
    says(bench, late, "all instances of the engine are lost: llm waits for the device \"gpu0\", where embedder#1");
    of_instance(bench, TL_EVENT_INSTANCE_BACK, LLM, false); /* that does not free the device */
    assert_true(bench->sched->instances[LLM].stuck);
    done(bench, embedded);
    of_instance(bench, TL_EVENT_STEP_DONE, EMBEDDER_1, false);
    assert_false(bench->sched->instances[LLM].lost);
    assert_int_equal(bench->batches[LLM], quanta + 1); /* it had asked for one, and may need it to drop the item */
    cancelled(bench, decoded);
    of_instance(bench, TL_EVENT_STEP_DONE, LLM, false);
    assert_int_equal(live(bench), 0);
    uint64_t again = submit(bench, decoding(), 0);
    done(bench, bench->given[LLM]);
    of_instance(bench, TL_EVENT_STEP_DONE, LLM, false);
    assert_int_equal(bench->ends[again].status, TL_OK);
    close_bench(bench);
}

/* It returns from its quantum, asks for no other and keeps the item; nobody would ever ask it again. */
static void one_that_keeps_what_it_has_is_given_up(void **state) {
    (void)state;
    struct bench *bench = open_bench(HANG_AFTER_MS, 1);
    uint64_t run = submit(bench, matching(), 0);
    struct tl_item *lent = bench->given[STORE];
    bench->now += TL_NS_PER_S;
    of_instance(bench, TL_EVENT_STEP_DONE, STORE, false);
    uint64_t due = bench->now + (uint64_t)HANG_AFTER_MS * TL_NS_PER_MS;
    wait_for_hang(bench, STORE);
    assert_true(bench->now >= due);
    says(bench, run, "all instances of the engine are lost: store has not answered for 80.0 s"); /* 60 and 20 x 1 */
    cancelled(bench, lent);
    of_instance(bench, TL_EVENT_INSTANCE_BACK, STORE, false);
    assert_int_equal(live(bench), 0);
    close_bench(bench);
}

/* What is predicted to take long has twenty times as long, and what took long lately, too. */
static void slow_work_is_not_given_up(void **state) {
    (void)state;
    struct bench *bench = open_bench(HANG_AFTER_MS, 1);
    submit(bench, matching(), 0);
    bench->now += 50 * TL_NS_PER_S;
    done(bench, bench->given[STORE]);
    of_instance(bench, TL_EVENT_STEP_DONE, STORE, false);
    submit(bench, matching(), 0);
    assert_true(bench->wake >= bench->now + 20 * 50 * TL_NS_PER_S);
    done(bench, bench->given[STORE]);
    of_instance(bench, TL_EVENT_STEP_DONE, STORE, false);
    close_bench(bench);
    struct tl_cost *cost = tl_cost_create();
    json_t *slow = json_pack("{s:f}", "search_ms", 30000.0);
    tl_cost_add_emulated(cost, "store", slow);
    json_decref(slow);
    bench = open_bench(HANG_AFTER_MS, 1);
    bench->sched->config.cost = cost;
    submit(bench, matching(), 0);
    assert_true(bench->wake >= bench->now + 20 * 30 * TL_NS_PER_S);
    done(bench, bench->given[STORE]);
    of_instance(bench, TL_EVENT_STEP_DONE, STORE, false);
    close_bench(bench);
    tl_cost_unref(cost);
}

/* Nobody looked when it was time, so nothing ran: the instance has the same time again. */
static void a_program_that_stood_still_blames_nobody(void **state) {
    (void)state;
    struct bench *bench = open_bench(HANG_AFTER_MS, 1);
    submit(bench, matching(), 0);
    wait_until(bench, bench->wake + 3600 * TL_NS_PER_S);
    assert_int_equal(bench->hung[STORE], 0);
    assert_true(bench->wake >= bench->now + (uint64_t)HANG_AFTER_MS * TL_NS_PER_MS);
    wait_until(bench, bench->wake);
    assert_int_equal(bench->hung[STORE], 1);
    done(bench, bench->given[STORE]);
    of_instance(bench, TL_EVENT_STEP_DONE, STORE, false);
    close_bench(bench);
}

static void nobody_watches_when_it_is_switched_off(void **state) {
    (void)state;
    struct bench *bench = open_bench(0, 1);
    submit(bench, matching(), 0);
    assert_int_equal(bench->wake, 0);
    wait_until(bench, bench->now + 100 * 3600 * TL_NS_PER_S);
    assert_int_equal(bench->hung[STORE], 0);
    done(bench, bench->given[STORE]);
    of_instance(bench, TL_EVENT_STEP_DONE, STORE, false);
    close_bench(bench);
}

/* Its run has ended already, by deadline: nobody waits, but the instance is known to be of no use. Then it is taken away for
 * good, with what it had. */
static void one_whose_run_has_ended_is_given_up_too(void **state) {
    (void)state;
    struct bench *bench = open_bench(HANG_AFTER_MS, 1);
    uint64_t run = submit(bench, matching(), bench->now + TL_NS_PER_S);
    wait_until(bench, bench->wake);
    assert_int_equal(bench->ends[run].status, TL_ERR_DEADLINE);
    assert_int_equal(bench->cancels[STORE], 1);
    wait_for_hang(bench, STORE);
    assert_int_equal(live(bench), 1);
    of_instance(bench, TL_EVENT_INSTANCE_LOST, STORE, false);
    assert_int_equal(live(bench), 0);
    of_instance(bench, TL_EVENT_INSTANCE_BACK, STORE, false);
    assert_false(bench->sched->instances[STORE].lost);
    close_bench(bench);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_instance_answers),
        cmocka_unit_test(what_may_not_be_repeated_fails),
        cmocka_unit_test(a_device_is_held_up),
        cmocka_unit_test(one_that_keeps_what_it_has_is_given_up),
        cmocka_unit_test(slow_work_is_not_given_up),
        cmocka_unit_test(a_program_that_stood_still_blames_nobody),
        cmocka_unit_test(nobody_watches_when_it_is_switched_off),
        cmocka_unit_test(one_whose_run_has_ended_is_given_up_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

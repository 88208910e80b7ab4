/* llm_compose_test.c: whether rows that write and a prompt's share one call of the model, or have one each. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/llm/llm_test_support.h"

enum { WRITERS = 3, CHUNK = 32, STEPS = 400, PROMPT = 200 };

static const struct tl_llm_limits usual = {.sequences = 4,
                                           .context_tokens = TL_LLM_TEST_CONTEXT,
                                           .call_tokens = 64,
                                           .chunk = CHUNK,
                                           .chunk_least = 8,
                                           .cache_bytes = 4096,
                                           .preempt_margin = -1};

static void write_on(struct tl_llm_test_world *world, struct tl_llm_request *request,
                     const struct tl_llm_range *range) {
    (void)range;
    int32_t id = 500000 + (int32_t)request->tokens.count;
    tl_llm_append(world->core, request, &id, 1, 0);
}

static void submit(struct tl_llm_test_world *world, int32_t number, size_t count, bool decode) {
    int32_t ids[PROMPT];
    for (size_t i = 0; i < count; i++)
        ids[i] = number * 1000 + (int32_t)i;
    tl_llm_submit(world->core, &(struct tl_llm_ask){.ids = ids, .count = count, .decode = decode, .open = !decode});
}

/* Three requests write in every step, and there is always a prompt to compute beside them. Returns the counters. */
static struct tl_llm_counters run(const struct tl_llm_limits *limits, double ms_row, double ms_joint) {
    struct tl_llm_test_world world = {.seed = 1,
                                      .wrote = write_on,
                                      .ms_row = ms_row,
                                      .ms_call = 2,
                                      .ms_joint = ms_joint};
    int32_t number = 1;
    tl_llm_test_open(&world, limits, false);
    for (; number <= WRITERS; number++)
        submit(&world, number, 20, true);
    for (size_t step = 0; step < STEPS; step++) {
        if (tl_llm_count(world.core).requests == WRITERS)
            submit(&world, number++, PROMPT, false);
        tl_llm_test_step(&world);
        size_t most = step < 10 ? CHUNK + WRITERS * 20 : CHUNK + WRITERS; /* the first ones compute their prompts, too */
        assert_true(world.rows <= most && (step < 10 || world.rows > WRITERS));
    }
    struct tl_llm_counters counters = tl_llm_count(world.core);
    while (tl_llm_first(world.core))
        tl_llm_end(world.core, tl_llm_first(world.core));
    tl_llm_test_close(&world);
    return counters;
}

/* As cells that sequences share: a joint call takes longer than its parts. It is tried, and again now and then. */
static void test_apart_where_that_is_faster(void **state) {
    (void)state;
    struct tl_llm_counters counters = run(&usual, 1, 10);
    assert_true(counters.joint_calls >= 8 && counters.joint_calls <= 8 + STEPS / 128);
    assert_true(counters.write_calls > STEPS - 20);
}

/* A call saved is time saved. Two calls are tried again now and then. */
static void test_joint_where_that_is_faster(void **state) {
    (void)state;
    struct tl_llm_counters counters = run(&usual, 0.1, 0);
    assert_true(counters.joint_calls > STEPS - 50);
    assert_true(counters.write_calls >= 16 && counters.write_calls < 50);
}

/* A saving of less than three hundredths is none. */
static void test_hardly_faster_is_not(void **state) {
    (void)state;
    struct tl_llm_counters counters = run(&usual, 5, -1.5);
    assert_true(counters.joint_calls <= 8 + STEPS / 128);
}

/* What was not measured is computed apart. */
static void test_apart_until_it_is_known(void **state) {
    (void)state;
    assert_int_equal(run(&usual, 0, 0).joint_calls, 0);
}

/* An engine whose iteration is one call, by its nature. */
static void test_always_joint(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.joined = true;
    struct tl_llm_counters counters = run(&limits, 0, 0);
    assert_true(counters.joint_calls > STEPS - 20);
}

/* The prompt takes what room the call has. */
static void test_the_bound_of_a_call(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.joined = true;
    limits.call_tokens = CHUNK;
    struct tl_llm_test_world world = {.seed = 1, .wrote = write_on};
    tl_llm_test_open(&world, &limits, false);
    for (int32_t i = 1; i <= WRITERS; i++)
        submit(&world, i, 1, true);
    tl_llm_test_step(&world);
    submit(&world, 9, PROMPT, false);
    tl_llm_test_step(&world);
    assert_int_equal(world.calls, 1);
    assert_int_equal(world.rows, CHUNK);
    assert_int_equal(world.prompt_rows, CHUNK - WRITERS);
    assert_int_equal(tl_llm_count(world.core).joint_calls, 1);
    while (tl_llm_first(world.core))
        tl_llm_end(world.core, tl_llm_first(world.core));
    tl_llm_test_close(&world);
}

/* Which of four writing requests, by sequence, have ended and made room for a prompt ('p') or for nothing (' '). Returns how
 * many tokens of the prompts go with those that still write ('w'), in the order of their sequences. */
static uint64_t bridges(const char *sequences, bool streams, size_t left) {
    struct tl_llm_limits limits = usual;
    limits.streams = streams;
    limits.idle_steps = 1; /* an idle copy leaves its sequence */
    struct tl_llm_test_world world = {.seed = 1, .wrote = write_on};
    struct tl_llm_request *requests[4];
    tl_llm_test_open(&world, &limits, false);
    for (int32_t i = 0; i < 4; i++) {
        submit(&world, i + 1, 4, true);
        tl_llm_test_step(&world);
    }
    for (struct tl_llm_request *request = tl_llm_first(world.core); request; request = request->next)
        requests[request->copy->sequence] = request;
    for (int32_t i = 0; i < 4; i++)
        if (sequences[i] != 'w')
            tl_llm_end(world.core, requests[i]);
    for (int32_t i = 0; i < 4; i++)
        if (sequences[i] == 'p')
            submit(&world, i + 11, left, false);
    tl_llm_test_step(&world);
    struct tl_llm_counters counters = tl_llm_count(world.core);
    assert_int_equal(counters.joint_calls, 0);
    while (tl_llm_first(world.core))
        tl_llm_end(world.core, tl_llm_first(world.core));
    tl_llm_test_close(&world);
    return counters.bridges;
}

/* What has no row of its own in a call divides it, but for its ends. */
static void test_bridges(void **state) {
    (void)state;
    assert_int_equal(bridges("wpww", true, PROMPT), 1);
    assert_int_equal(bridges("wppw", true, PROMPT), 2);
    assert_int_equal(bridges("wpww", false, PROMPT), 0);
    assert_int_equal(bridges("pwww", true, PROMPT), 0);
    assert_int_equal(bridges("wwwp", true, PROMPT), 0);
    assert_int_equal(bridges("w ww", true, PROMPT), 0);
    assert_int_equal(bridges("w pw", true, PROMPT), 0); /* it would stay divided */
    assert_int_equal(bridges("wpww", true, 2), 1);
    assert_int_equal(bridges("wpww", true, 1), 0); /* with its last token a prompt is complete */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_apart_where_that_is_faster), cmocka_unit_test(test_joint_where_that_is_faster),
        cmocka_unit_test(test_hardly_faster_is_not),       cmocka_unit_test(test_apart_until_it_is_known),
        cmocka_unit_test(test_always_joint),               cmocka_unit_test(test_the_bound_of_a_call),
        cmocka_unit_test(test_bridges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

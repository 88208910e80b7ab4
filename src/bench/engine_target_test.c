/* engine_target_test.c: a load against an engine of this process: the emulated one, whose counters are known. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "bench/engine_target.h"
#include "bench/summary.h"

static struct tl_bench_target *open_target(const char *settings) {
    struct tl_bench_target *target;
    struct tl_error error;
    json_t *json = json_loads(settings, 0, NULL);
    assert_non_null(json);
    if (tl_bench_engine_target_open("emulated", json, &target, &error) != TL_OK)
        fail_msg("%s", error.message);
    json_decref(json);
    return target;
}

static void run(struct tl_bench_target *target, bool pin, struct tl_bench_summary *summary) {
    const struct tl_bench_mix mix = {.requests = 9, .shared = 50, .prefixes = 3, .prompt = {10, 30}, .output = {4, 4},
                                     .concurrency = 4};
    struct tl_bench_load load;
    struct tl_bench_drive drive;
    struct tl_error error;
    assert_int_equal(tl_bench_load_make(&mix, 1, 0, &load, &error), TL_OK);
    if (pin)
        assert_int_equal(target->prepare(target, &load, &error), TL_OK);
    if (tl_bench_drive_run(&drive, &load, mix.concurrency, target, NULL, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_bench_summarize(&drive, summary);
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
}

static void test_a_load(void **state) {
    (void)state;
    struct tl_bench_target *target = open_target("{\"serves\": [\"llm\"], \"scale\": 0, \"prefix_cache\": false}");
    struct tl_bench_summary alone, pinned;
    uint64_t tokens = 0;
    assert_int_equal(target->probe(target, &tokens, NULL), TL_OK);
    assert_true(tokens > 0);
    run(target, false, &alone);
    run(target, true, &pinned);
    target->close(target);
    assert_int_equal((int)alone.requests, 9);
    assert_true(alone.written > 0 && alone.asked > 0 && (int)alone.reused == 0);
    assert_int_equal((int)pinned.asked, (int)alone.asked);
    assert_true(pinned.reused > 0 && (int)pinned.computed == (int)(pinned.asked - pinned.reused));
}

static void test_failures_are_counted(void **state) {
    (void)state;
    struct tl_bench_target *target = open_target("{\"serves\": [\"llm\"], \"scale\": 0, \"fail_every\": 4}");
    struct tl_bench_summary summary;
    run(target, false, &summary);
    target->close(target);
    assert_int_equal((int)(summary.requests + summary.failed), 9);
    assert_true(summary.failed > 0 && summary.requests > 0);
}

static void test_engines_that_do_not_fit(void **state) {
    (void)state;
    struct tl_bench_target *target;
    struct tl_error error;
    assert_int_equal(tl_bench_engine_target_open("none", NULL, &target, &error), TL_ERR_NOT_FOUND);
    json_t *settings = json_pack("{s:[s]}", "serves", "embed");
    assert_int_equal(tl_bench_engine_target_open("emulated", settings, &target, &error), TL_ERR_UNSUPPORTED);
    assert_non_null(strstr(error.message, "write no text"));
    json_decref(settings);
    settings = json_pack("{s:i}", "nonsense", 1);
    assert_int_equal(tl_bench_engine_target_open("emulated", settings, &target, &error), TL_ERR_INVALID);
    json_decref(settings);
    assert_null(target);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_load),
        cmocka_unit_test(test_failures_are_counted),
        cmocka_unit_test(test_engines_that_do_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* mix_test.c: loads that follow from a mix and a seed: lengths, what is shared, arrivals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "bench/mix.h"

static uint32_t words_of(const char *text) {
    uint32_t count = 0;
    for (const char *at = text; *at;) {
        at += strspn(at, " ");
        count += *at != '\0';
        at += strcspn(at, " ");
    }
    return count;
}

static struct tl_bench_load make(const struct tl_bench_mix *mix, uint64_t seed, uint32_t overhead) {
    struct tl_bench_load load;
    struct tl_error error;
    if (tl_bench_load_make(mix, seed, overhead, &load, &error) != TL_OK)
        fail_msg("%s", error.message);
    return load;
}

static void test_all_named_mixes(void **state) {
    (void)state;
    struct tl_bench_mix mix;
    for (size_t i = 0; tl_bench_mix_names[i]; i++) {
        assert_true(tl_bench_mix_find(tl_bench_mix_names[i], &mix));
        struct tl_bench_load load = make(&mix, 1, 20);
        assert_int_equal(load.count, mix.requests + mix.intruders);
        for (size_t k = 0; k < load.count; k++) {
            const struct tl_bench_request *request = &load.requests[k];
            uint32_t tokens = 20 + words_of(request->prefix) + words_of(request->own);
            assert_int_equal(tokens, request->intruder ? mix.intruder_prompt : mix.shared + mix.prompt.least);
            assert_int_equal(request->intruder, k >= mix.requests);
        }
        tl_bench_load_fini(&load);
    }
    assert_false(tl_bench_mix_find("none", &mix));
    assert_int_equal(words_of(tl_bench_probe()), TL_BENCH_PROBE_WORDS);
}

static void test_prefixes_in_rotation(void **state) {
    (void)state;
    const struct tl_bench_mix mix = {
        .requests = 7, .shared = 40, .prefixes = 3, .prompt = {10, 10}, .output = {5, 5}, .concurrency = 2};
    struct tl_bench_load load = make(&mix, 5, 8);
    assert_int_equal(load.prefix_count, 3);
    for (size_t i = 0; i < load.count; i++) {
        assert_string_equal(load.requests[i].prefix, load.prefixes[i % 3]);
        assert_int_equal(words_of(load.requests[i].prefix), 37); /* 8 of the template, of which 5 come behind */
        assert_int_equal(words_of(load.requests[i].own), 5);
        assert_int_equal(load.requests[i].own[0], ' ');
        for (size_t k = 0; k < i; k++)
            assert_string_not_equal(load.requests[i].own, load.requests[k].own);
    }
    assert_string_not_equal(load.prefixes[0], load.prefixes[1]);
    tl_bench_load_fini(&load);
}

static void test_a_seed_is_a_load(void **state) {
    (void)state;
    const struct tl_bench_mix mix = {.requests = 50, .prompt = {20, 90}, .output = {1, 9}, .rate = 4};
    struct tl_bench_load a = make(&mix, 3, 4), b = make(&mix, 3, 4), c = make(&mix, 4, 4);
    uint32_t least = UINT32_MAX, most = 0;
    for (size_t i = 0; i < a.count; i++) {
        uint32_t tokens = words_of(a.requests[i].own) + 4;
        least = tokens < least ? tokens : least;
        most = tokens > most ? tokens : most;
        assert_string_equal(a.requests[i].own, b.requests[i].own);
        assert_true(a.requests[i].arrival == b.requests[i].arrival && a.requests[i].output == b.requests[i].output);
        assert_string_not_equal(a.requests[i].own, c.requests[i].own);
        assert_true(a.requests[i].output >= 1 && a.requests[i].output <= 9);
    }
    assert_true(least >= 20 && least < 30 && most > 80 && most <= 90);
    tl_bench_load_fini(&a);
    tl_bench_load_fini(&b);
    tl_bench_load_fini(&c);
}

/* Gaps between arrivals are exponential: mean and deviation are both 1 / rate. */
static void test_arrivals(void **state) {
    (void)state;
    const struct tl_bench_mix mix = {.requests = 20000, .prompt = {2, 2}, .output = {1, 1}, .rate = 8};
    struct tl_bench_load load = make(&mix, 11, 0);
    double sum = 0, squares = 0;
    uint64_t before = 0;
    for (size_t i = 0; i < load.count; i++) {
        assert_true(load.requests[i].arrival >= before);
        double gap = (double)(load.requests[i].arrival - before) / (double)TL_NS_PER_S;
        before = load.requests[i].arrival;
        sum += gap;
        squares += gap * gap;
    }
    double mean = sum / (double)load.count, deviation = sqrt(squares / (double)load.count - mean * mean);
    assert_true(fabs(mean - 0.125) < 0.004 && fabs(deviation - 0.125) < 0.004);
    tl_bench_load_fini(&load);
}

static void refuse(struct tl_bench_mix mix, uint32_t overhead, const char *words) {
    struct tl_bench_load load;
    struct tl_error error;
    assert_int_equal(tl_bench_load_make(&mix, 1, overhead, &load, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, words));
    tl_bench_load_fini(&load);
}

static void test_impossible_mixes(void **state) {
    (void)state;
    struct tl_bench_mix mix = {.requests = 1, .prompt = {20, 20}, .output = {1, 1}, .concurrency = 1};
    refuse(mix, 20, "a prompt begins with 20 tokens, but the model's template alone has 20");
    mix.shared = 40;
    mix.prefixes = 1;
    mix.prompt = (struct tl_bench_range){5, 9};
    refuse(mix, 20, "own part of a prompt has 5 tokens, expected more than 5");
    mix.rate = 1;
    refuse(mix, 0, "either");
    mix.concurrency = 0;
    mix.intruders = 1;
    mix.intruder_prompt = 100;
    refuse(mix, 0, "not a rate");
    mix.requests = 0;
    refuse(mix, 0, "from 1 to");
}

static void test_ranges(void **state) {
    (void)state;
    struct tl_bench_range range;
    assert_true(tl_bench_range_parse("300", &range) && range.least == 300 && range.most == 300);
    assert_true(tl_bench_range_parse("1-1000000", &range) && range.least == 1 && range.most == 1000000);
    static const char *const wrong[] = {"", "-", "0", "5-", "-5", "9-3", "1-2-3", "1 ", "1000001", "x", "5-0"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tl_bench_range_parse(wrong[i], &range));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_named_mixes), cmocka_unit_test(test_prefixes_in_rotation),
        cmocka_unit_test(test_a_seed_is_a_load), cmocka_unit_test(test_arrivals),
        cmocka_unit_test(test_impossible_mixes), cmocka_unit_test(test_ranges),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* llama_sample_test.c: greedy, the bounds of sampling, frequencies, refusals, NaN. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/llama/llama_sample.h"

static struct tl_llama_candidates scratch;

static llama_token sample(struct tl_llama_sampler *sampler, const float *logits, size_t count) {
    float copy[16];
    memcpy(copy, logits, count * sizeof *copy);
    return tl_llama_sample(sampler, &scratch, copy, count, NULL, NULL);
}

static void test_greedy(void **state) {
    (void)state;
    struct tl_llama_sampler sampler = {.temperature = 0, .top_p = 1};
    const float logits[] = {-1, 3, 2, 3, -INFINITY};
    assert_int_equal(sample(&sampler, logits, 5), 1);
    const float nan[] = {1, NAN, 5};
    assert_int_equal(sample(&sampler, nan, 3), TL_LLAMA_SAMPLE_NAN);
    const float nothing[] = {-INFINITY, -INFINITY};
    assert_int_equal(sample(&sampler, nothing, 2), TL_LLAMA_SAMPLE_NAN);
    const float infinite[] = {0, INFINITY};
    assert_int_equal(sample(&sampler, infinite, 2), TL_LLAMA_SAMPLE_NAN);
}

static void count_draws(struct tl_llama_sampler sampler, const float *logits, size_t count, double *share) {
    memset(share, 0, count * sizeof *share);
    for (int i = 0; i < 20000; i++)
        share[sample(&sampler, logits, count)] += 1.0 / 20000;
}

static void test_frequencies(void **state) {
    (void)state;
    const float logits[] = {logf(0.5f), logf(0.3f), logf(0.15f), logf(0.05f)};
    double share[4];
    count_draws((struct tl_llama_sampler){.temperature = 1, .top_p = 1, .random = 7}, logits, 4, share);
    const double expected[] = {0.5, 0.3, 0.15, 0.05};
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs(share[i] - expected[i]) < 0.015);
    /* Temperature 0.5 squares the probabilities. */
    count_draws((struct tl_llama_sampler){.temperature = 0.5, .top_p = 1, .random = 7}, logits, 4, share);
    assert_true(fabs(share[0] - 0.25 / 0.365) < 0.015);
    count_draws((struct tl_llama_sampler){.temperature = 1, .top_p = 1, .top_k = 2, .random = 7}, logits, 4, share);
    assert_true(fabs(share[0] - 0.625) < 0.015 && share[2] == 0 && share[3] == 0);
    count_draws((struct tl_llama_sampler){.temperature = 1, .top_p = 0.6, .random = 7}, logits, 4, share);
    assert_true(share[1] > 0.3 && share[2] == 0);
    count_draws((struct tl_llama_sampler){.temperature = 1, .top_p = 1, .min_p = 0.25, .random = 7}, logits, 4, share);
    assert_true(share[2] > 0.1 && share[3] == 0);
    count_draws((struct tl_llama_sampler){.temperature = 1, .top_p = 0, .random = 7}, logits, 4, share);
    assert_true(share[0] > 0.9999); /* at least one candidate stays */
}

static void test_seed_repeats(void **state) {
    (void)state;
    const float logits[] = {0, 0, 0, 0, 0, 0, 0, 0};
    struct tl_llama_sampler a = {.temperature = 1, .top_p = 1, .random = 1}, b = a, c = a;
    c.random = 2;
    int different = 0;
    for (int i = 0; i < 100; i++) {
        llama_token drawn = sample(&a, logits, 8);
        assert_int_equal(drawn, sample(&b, logits, 8));
        different += drawn != sample(&c, logits, 8);
    }
    assert_true(different > 50);
}

static bool refuses_even(void *context, llama_token id) {
    ++*(int *)context;
    return id % 2 == 1;
}

static bool refuses_all(void *context, llama_token id) {
    (void)context;
    (void)id;
    return false;
}

static void test_refusals(void **state) {
    (void)state;
    for (double temperature = 0; temperature < 2; temperature++) {
        struct tl_llama_sampler sampler = {.temperature = temperature, .top_p = 1, .random = 3};
        float logits[] = {9, 1, 8, 2, 7, 3};
        int asked = 0;
        assert_int_equal(tl_llama_sample(&sampler, &scratch, logits, 6, refuses_even, &asked) % 2, 1);
        assert_true(asked >= 1);
        float again[] = {9, 1, 8, 2, 7, 3};
        assert_int_equal(tl_llama_sample(&sampler, &scratch, again, 6, refuses_all, NULL), TL_LLAMA_SAMPLE_REFUSED);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_seed_repeats),
        cmocka_unit_test(test_refusals),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tl_llama_candidates_fini(&scratch);
    return failed;
}

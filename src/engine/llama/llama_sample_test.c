/* llama_sample_test.c: greedy, the bounds of sampling, frequencies, refusals, NaN, bias and penalties. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
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

/* ---- against a naive sort of everything ---- */

static uint64_t random_state;

static double uniform(void) {
    random_state = tl_hash_u64(random_state + 1, 9);
    return (double)(random_state >> 11) * 0x1p-53;
}

static const float *sorted_logits;

static int by_logit(const void *a, const void *b) {
    int x = *(const int *)a, y = *(const int *)b;
    if (sorted_logits[x] != sorted_logits[y])
        return sorted_logits[x] < sorted_logits[y] ? 1 : -1;
    return (x > y) - (x < y);
}

static size_t naive_kept(const struct tl_llama_sampler *sampler, const float *logits, size_t count, int *order) {
    for (size_t i = 0; i < count; i++)
        order[i] = (int)i;
    sorted_logits = logits;
    qsort(order, count, sizeof *order, by_logit);
    size_t kept = sampler->top_k > 0 && sampler->top_k < count ? sampler->top_k : count;
    double sum = 0, reached = 0, top = logits[order[0]];
    for (size_t i = 0; i < kept; i++)
        sum += exp(logits[order[i]] - top);
    size_t most = 0;
    while (most < kept && (most == 0 || sampler->top_p >= 1 || reached < sampler->top_p * sum))
        reached += exp(logits[order[most++]] - top);
    while (most > 1 && exp(logits[order[most - 1]] - top) < sampler->min_p)
        most--;
    return most;
}

static void test_shortlist_is_that_of_a_full_sort(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    static float logits[COUNT];
    static int order[COUNT];
    static bool kept[COUNT];
    for (int round = 0; round < 300; round++) {
        random_state = (uint64_t)round;
        double width = round % 3 == 0 ? 0.5 : 12, steps = round % 2 ? 4 : 1e6; /* few different ones: many equals */
        for (size_t i = 0; i < COUNT; i++)
            logits[i] = (float)(floor(uniform() * width * steps) / steps - 3);
        struct tl_llama_sampler sampler = {.temperature = 0.2 + uniform(),
                                           .top_p = round % 5 < 2 ? 1 : uniform(),
                                           .min_p = round % 5 == 3 ? uniform() / 4 : 0,
                                           .top_k = round % 5 == 1 || round % 7 == 2 ? 1 + (size_t)(uniform() * 90)
                                                                                     : 0};
        size_t expected = naive_kept(&sampler, logits, COUNT, order);
        tl_llama_shortlist(&sampler, &scratch, logits, COUNT, logits[order[0]]);
        size_t found = scratch.count;
        memset(kept, 0, sizeof kept);
        for (size_t i = 0; i < found; i++) {
            assert_false(kept[scratch.items[i].id]);
            kept[scratch.items[i].id] = true;
        }
        /* Sums are rounded differently: at most one at the edge. */
        size_t different = found > expected ? found - expected : expected - found;
        if (sampler.top_p < 1 || (sampler.top_k == 0 && sampler.temperature < 0.5))
            assert_true(different <= 1 || (sampler.top_p >= 1 && found < expected));
        else
            assert_int_equal(different, 0);
        for (size_t i = 0; i < (found < expected ? found : expected); i++)
            assert_true(kept[order[i]]);
    }
}

/* Of the allowed ones the likeliest, or one drawn as if there were no others. */
static bool allows_high(void *context, llama_token id) {
    ++*(int *)context;
    return id >= 2000;
}

static void test_refusals_in_a_large_vocabulary(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    static float logits[COUNT];
    for (double temperature = 0; temperature < 2; temperature++) {
        double share[3] = {0};
        for (int round = 0; round < (temperature > 0 ? 3000 : 1); round++) {
            for (size_t i = 0; i < COUNT; i++)
                logits[i] = i < 2000 ? 5 : -40;
            logits[2100] = logf(0.6f);
            logits[2200] = logf(0.4f);
            struct tl_llama_sampler sampler = {.temperature = temperature, .top_p = 1, .random = (uint64_t)round};
            int asked = 0;
            llama_token id = tl_llama_sample(&sampler, &scratch, logits, COUNT, allows_high, &asked);
            share[id == 2100 ? 0 : id == 2200 ? 1
                                              : 2]++;
        }
        assert_int_equal(share[2], 0);
        if (temperature > 0)
            assert_true(fabs(share[0] / 3000 - 0.6) < 0.03);
    }
}

/* Asking about all: greedy the same token, drawn the same shares, and everything is asked about once. */
static void test_asking_about_all(void **state) {
    (void)state;
    enum { COUNT = 3000 };
    static float rows[2][COUNT];
    for (int round = 0; round < 200; round++) {
        random_state = (uint64_t)round;
        for (size_t i = 0; i < COUNT; i++)
            rows[0][i] = rows[1][i] = (float)(uniform() * 20 - 10);
        struct tl_llama_sampler first = {.top_p = 1}, all = {.top_p = 1, .asks_all = true};
        int asked[2] = {0};
        llama_token id = tl_llama_sample(&first, &scratch, rows[0], COUNT, allows_high, &asked[0]);
        assert_int_equal(tl_llama_sample(&all, &scratch, rows[1], COUNT, allows_high, &asked[1]), id);
        assert_int_equal(first.asked, asked[0]);
        assert_int_equal(all.asked, COUNT);
        assert_true(asked[0] < COUNT);
        assert_int_equal(first.refused, all.refused);
    }
    double share = 0;
    uint64_t refused = 0;
    for (int round = 0; round < 3000; round++) {
        float row[] = {logf(0.5f), logf(0.2f), logf(0.2f), logf(0.1f)};
        struct tl_llama_sampler sampler = {
            .temperature = 1, .top_p = 1, .asks_all = true, .random = (uint64_t)round};
        int asked = 0;
        share += tl_llama_sample(&sampler, &scratch, row, 4, refuses_even, &asked) == 1;
        refused += sampler.refused;
    }
    assert_true(fabs(share / 3000 - 2.0 / 3) < 0.03);
    assert_int_equal(refused, 3000); /* the likeliest may not be taken */
    float none[] = {1, 2};
    struct tl_llama_sampler sampler = {.top_p = 1, .asks_all = true};
    assert_int_equal(tl_llama_sample(&sampler, &scratch, none, 2, refuses_all, NULL), TL_LLAMA_SAMPLE_REFUSED);
}

/* ---- bias and penalties ---- */

static void test_adjustments(void **state) {
    (void)state;
    struct tl_llama_bias biases[] = {{1, 2.5f}, {3, -100}};
    struct tl_llama_sampler sampler = {.biases = biases,
                                       .bias_count = 2,
                                       .repetition = 2,
                                       .frequency = 0.5,
                                       .presence = 0.25};
    const llama_token prompt[] = {0, 2}, written[] = {2, 2, 1};
    tl_llama_sampler_saw(&sampler, prompt, 2, false);
    for (size_t i = 0; i < 3; i++)
        tl_llama_sampler_saw(&sampler, &written[i], 1, true);
    float logits[] = {4, 1.5f, -1, 7, 3};
    tl_llama_sampler_adjust(&sampler, logits, 5);
    const float expected[] = {2, 2 - 0.75f, -2 - 1.25f, -93, 3};
    for (size_t i = 0; i < 5; i++)
        assert_true(fabsf(logits[i] - expected[i]) < 1e-5f);
    sampler.biases = NULL;
    tl_llama_sampler_fini(&sampler);

    /* Without penalties nothing is kept; with one of what is written the prompt is not. */
    struct tl_llama_sampler none = {.repetition = 1}, frequency = {.frequency = 1};
    tl_llama_sampler_saw(&none, prompt, 2, true);
    assert_null(none.seen);
    tl_llama_sampler_saw(&frequency, prompt, 2, false);
    assert_null(frequency.seen);
    for (llama_token id = 0; id < 1000; id++) {
        llama_token twice[] = {id * 7, id * 7};
        tl_llama_sampler_saw(&frequency, twice, 2, true);
    }
    assert_int_equal(frequency.seen_count, 1000);
    static float many[7001];
    tl_llama_sampler_adjust(&frequency, many, 7000);
    for (size_t i = 0; i < 7000; i++)
        assert_true(many[i] == (i % 7 == 0 ? -2 : 0));
    tl_llama_sampler_fini(&frequency);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_greedy),
        cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_seed_repeats),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_shortlist_is_that_of_a_full_sort),
        cmocka_unit_test(test_refusals_in_a_large_vocabulary),
        cmocka_unit_test(test_asking_about_all),
        cmocka_unit_test(test_adjustments),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tl_llama_candidates_fini(&scratch);
    return failed;
}

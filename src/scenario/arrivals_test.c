/* arrivals_test.c: what arrivals are like in the long run, by seed; amounts over time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "scenario/arrivals.h"
#include "scenario/series.h"

enum { MANY = 20000 };

/* Mean of the gaps in s and their coefficient of variation. */
static void measure(const struct tl_arrivals *arrivals, uint64_t seed, double *mean, double *variation) {
    struct tl_arrivals_state state;
    double sum = 0, squares = 0;
    uint64_t before = 0;
    tl_arrivals_begin(&state, seed);
    for (int i = 0; i < MANY; i++) {
        uint64_t at = tl_arrivals_next(arrivals, &state);
        assert_true(at >= before);
        double gap = (double)(at - before) / 1e9;
        sum += gap;
        squares += gap * gap;
        before = at;
    }
    *mean = sum / MANY;
    *variation = sqrt(squares / MANY - *mean * *mean) / *mean;
}

static void gaps_have_the_mean_and_variation_that_was_asked_for(void **state) {
    (void)state;
    static const struct tl_arrivals cases[] = {
        {.kind = TL_ARRIVALS_POISSON, .rate = 0.5, .variation = 1},
        {.kind = TL_ARRIVALS_GAMMA, .rate = 0.5, .variation = 1},
        {.kind = TL_ARRIVALS_GAMMA, .rate = 4, .variation = 3},
        {.kind = TL_ARRIVALS_GAMMA, .rate = 100, .variation = 0.3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        for (uint64_t seed = 1; seed <= 3; seed++) {
            double mean, variation;
            measure(&cases[i], seed, &mean, &variation);
            assert_true(fabs(mean * cases[i].rate - 1) < 0.02 * (1 + 2 * cases[i].variation));
            assert_true(fabs(variation / cases[i].variation - 1) < 0.08);
        }
}

static void seeds_differ_and_repeat(void **state) {
    (void)state;
    const struct tl_arrivals poisson = {.kind = TL_ARRIVALS_POISSON, .rate = 1};
    struct tl_arrivals_state first, again, other;
    size_t equal = 0;
    tl_arrivals_begin(&first, 1);
    tl_arrivals_begin(&again, 1);
    tl_arrivals_begin(&other, 2);
    for (int i = 0; i < 100; i++) {
        uint64_t at = tl_arrivals_next(&poisson, &first);
        assert_int_equal(at, tl_arrivals_next(&poisson, &again));
        equal += at == tl_arrivals_next(&poisson, &other);
    }
    assert_int_equal(equal, 0);
}

static void even_arrivals_are_at_equal_distances(void **state) {
    (void)state;
    const struct tl_arrivals even = {.kind = TL_ARRIVALS_EVEN, .rate = 4};
    struct tl_arrivals_state at;
    tl_arrivals_begin(&at, 1);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(tl_arrivals_next(&even, &at), i * 250000000);
}

static void a_trace_ends(void **state) {
    (void)state;
    uint64_t times[] = {5, 5, 9};
    const struct tl_arrivals trace = {.kind = TL_ARRIVALS_TRACE, .times = times, .count = 3};
    struct tl_arrivals_state at;
    tl_arrivals_begin(&at, 1);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(tl_arrivals_next(&trace, &at), times[i]);
    assert_int_equal(tl_arrivals_next(&trace, &at), UINT64_MAX);
}

static void bins_keep_what_was_added_when_they_get_wider(void **state) {
    (void)state;
    const uint64_t ms = 1000000, end = 1000 * ms;
    struct series series;
    double sum = 0;
    tl_series_init(&series, 2);
    tl_series_add(&series, 1, 0, 100 * ms, 3);
    tl_series_add(&series, 1, 50 * ms, end, 1);
    for (size_t i = 0; i < SERIES_BINS && i * series.width < end; i++) {
        double from = (double)(i * series.width), to = fmin((double)((i + 1) * series.width), (double)end);
        sum += tl_series_mean(&series, 1, i, end) * (to - from);
        assert_true(tl_series_mean(&series, 0, i, end) == 0);
    }
    assert_true(fabs(sum / (double)(1250 * ms) - 1) < 1e-9);
    assert_true(fabs(tl_series_mean(&series, 1, 0, end) - 3) < 1e-9);
    tl_series_fini(&series);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gaps_have_the_mean_and_variation_that_was_asked_for),
        cmocka_unit_test(seeds_differ_and_repeat),
        cmocka_unit_test(even_arrivals_are_at_equal_distances),
        cmocka_unit_test(a_trace_ends),
        cmocka_unit_test(bins_keep_what_was_added_when_they_get_wider),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

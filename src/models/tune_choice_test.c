/* tune_choice_test.c: which format is used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/tune.h"

static void test_the_fastest_within_bounds(void **state) {
    (void)state;
    const struct tl_tune_candidate candidates[] = {
        {.size = 98, .loss = 0, .request = 2300}, {.size = 145, .loss = 0.006, .request = 1200},
        {.size = 270, .loss = -0.001, .request = 1500}, {.size = 92, .loss = 0.33, .request = 1000},
    };
    assert_int_equal(tl_tune_choose(candidates, 4, 0.02), 1);
    assert_int_equal(tl_tune_choose(candidates, 4, 0.5), 3);
    assert_int_equal(tl_tune_choose(candidates, 4, 0.005), 2);
    assert_int_equal(tl_tune_choose(candidates, 4, 0), 2); /* a gain is no loss */
    assert_int_equal(tl_tune_choose(candidates, 1, 0.02), 0);
}

/* What is hardly faster is no reason to keep another file; of what is equally fast the smallest is. */
static void test_near_ones(void **state) {
    (void)state;
    const struct tl_tune_candidate hardly[] = {{100, 0, 1000}, {90, 0.01, 975}, {80, 0.01, 980}};
    assert_int_equal(tl_tune_choose(hardly, 3, 0.02), 0);
    const struct tl_tune_candidate faster[] = {{100, 0, 1000}, {90, 0.01, 775}, {80, 0.01, 780}, {70, 0.01, 810}};
    assert_int_equal(tl_tune_choose(faster, 4, 0.02), 2);
}

/* A format that failed was not timed. */
static void test_failed_ones(void **state) {
    (void)state;
    const struct tl_tune_candidate candidates[] = {{100, 0, 1000}, {90, 0, 0}};
    assert_int_equal(tl_tune_choose(candidates, 2, 0.02), 0);
    const struct tl_tune_candidate untimed[] = {{100, 0, 0}, {90, 0, 0}};
    assert_int_equal(tl_tune_choose(untimed, 2, 0.02), 0);
}

static void test_the_request(void **state) {
    (void)state;
    assert_true(tl_tune_request_ms(512, 64) > 1999.999 && tl_tune_request_ms(512, 64) < 2000.001);
    assert_true(tl_tune_request_ms(0, 64) < 0.001 && tl_tune_request_ms(100, 0) < 0.001);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_fastest_within_bounds),
        cmocka_unit_test(test_near_ones),
        cmocka_unit_test(test_failed_ones),
        cmocka_unit_test(test_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

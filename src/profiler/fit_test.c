/* fit_test.c: the fits find what made the values, in spite of wild ones, and never a negative cost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "profiler/fit.h"

static void near(double found, double expected, double most, int line) {
    if (!(fabs(found - expected) <= most))
        fail_msg("line %d: %.6f, expected %.6f", line, found, expected);
}
#define assert_near(found, expected, most) near((found), (expected), (most), __LINE__)

static double noise(uint64_t i, double size) {
    return 1 + size * ((double)(tl_hash_u64(i, 5) % 2001) / 1000 - 1);
}

enum { POINTS = 24 };

static size_t make(struct tl_equation *equations, double base, double unit, double token, double size) {
    for (size_t i = 0; i < POINTS; i++) {
        double units = (double)(1 + i % 6), tokens = units * (double)(8 << i % 5);
        equations[i] = (struct tl_equation){{1, units, tokens}, (base + unit * units + token * tokens)};
        equations[i].value *= noise(i, size);
    }
    return POINTS;
}

static void a_fit_finds_what_made_the_values(void **state) {
    (void)state;
    struct tl_equation equations[POINTS];
    double x[TL_FIT_UNKNOWNS];
    tl_fit(equations, make(equations, 3, 0.5, 0.25, 0), x);
    assert_near(x[0], 3, 1e-6);
    assert_near(x[1], 0.5, 1e-6);
    assert_near(x[2], 0.25, 1e-6);
    tl_fit(equations, make(equations, 3, 0.5, 0.25, 0.02), x);
    assert_near(x[0], 3, 0.3);
    assert_near(x[2], 0.25, 0.02);
}

static void wild_values_count_little(void **state) {
    (void)state;
    struct tl_equation equations[POINTS];
    double x[TL_FIT_UNKNOWNS];
    make(equations, 3, 0.5, 0.25, 0.01);
    equations[2].value *= 20;
    equations[9].value *= 5;
    equations[17].value *= 8;
    tl_fit(equations, POINTS, x);
    assert_near(x[0] + x[1] + 64 * x[2], 3 + 0.5 + 16, 0.6);
}

static void no_cost_is_negative(void **state) {
    (void)state;
    /* The free solution has a base of -5: the best allowed one has none. */
    struct tl_equation equations[] = {{{1, 10, 0}, 5}, {{1, 20, 0}, 15}, {{1, 30, 0}, 25}, {{1, 40, 0}, 35}};
    double x[TL_FIT_UNKNOWNS];
    tl_fit(equations, 4, x);
    assert_near(x[0], 0, 1e-9);
    assert_near(x[1], 0.8, 0.12);
    assert_near(x[2], 0, 1e-9);
}

static void unused_and_equal_unknowns_do_no_harm(void **state) {
    (void)state;
    struct tl_equation equations[] = {{{1, 1, 0}, 7}, {{1, 1, 0}, 7}, {{1, 1, 0}, 7}};
    double x[TL_FIT_UNKNOWNS];
    tl_fit(equations, 3, x);
    assert_near(x[0] + x[1], 7, 1e-9);
    assert_near(x[2], 0, 1e-12);
    tl_fit(equations, 0, x);
    assert_near(x[0] + x[1] + x[2], 0, 1e-12);
}

static void disturbed_measurements_do_not_move_what_is_typical(void **state) {
    (void)state;
    double quiet[] = {10.2, 10, 10.1, 10.4, 10.3}, disturbed[] = {10.2, 31, 10.1, 55, 48, 10.4, 10}, one[] = {4};
    double spread;
    assert_near(tl_typical(quiet, 5, &spread), 10.1, 1e-9);
    assert_true(spread < 0.05);
    assert_near(tl_typical(disturbed, 7, &spread), 10.1, 1e-9);
    assert_near(tl_typical(one, 1, &spread), 4, 1e-9);
    assert_near(tl_typical(one, 0, &spread), 0, 1e-9);
    double far[] = {10, 20, 10, 20, 15};
    tl_typical(far, 5, &spread);
    assert_true(spread > 0.3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fit_finds_what_made_the_values),
        cmocka_unit_test(wild_values_count_little),
        cmocka_unit_test(no_cost_is_negative),
        cmocka_unit_test(unused_and_equal_unknowns_do_no_harm),
        cmocka_unit_test(disturbed_measurements_do_not_move_what_is_typical),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

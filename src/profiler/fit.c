#include "profiler/fit.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double tl_median(double *values, size_t count) {
    if (count == 0)
        return 0;
    qsort(values, count, sizeof *values, ascending);
    return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

double tl_typical(double *values, size_t count, double *spread) {
    double *distances = tl_mem_alloc((count + 1) * sizeof *distances), median = tl_median(values, count);
    for (size_t i = 0; i < count; i++)
        distances[i] = fabs(values[i] - median);
    double deviation = 1.4826 * tl_median(distances, count); /* of a normal distribution: its standard deviation */
    *spread = median > 0 ? deviation / median : 0;
    tl_mem_free(distances);
    return count ? values[(count - 1) / 4] : 0;
}

/* ---- least squares ---- */

/* Solves a x = b by elimination for the unknowns in `used`; false when they cannot be told apart. */
static bool solve(double a[TL_FIT_UNKNOWNS][TL_FIT_UNKNOWNS + 1], unsigned used, double x[TL_FIT_UNKNOWNS]) {
    for (unsigned i = 0; i < TL_FIT_UNKNOWNS; i++)
        x[i] = 0;
    for (unsigned i = 0; i < TL_FIT_UNKNOWNS; i++) {
        if (!(used & 1u << i))
            continue;
        unsigned pivot = i;
        for (unsigned k = i + 1; k < TL_FIT_UNKNOWNS; k++)
            if ((used & 1u << k) && fabs(a[k][i]) > fabs(a[pivot][i]))
                pivot = k;
        if (!(fabs(a[pivot][i]) > 1e-12))
            return false;
        for (unsigned c = 0; c <= TL_FIT_UNKNOWNS; c++) {
            double other = a[i][c];
            a[i][c] = a[pivot][c];
            a[pivot][c] = other;
        }
        for (unsigned k = 0; k < TL_FIT_UNKNOWNS; k++) {
            if (k == i || !(used & 1u << k))
                continue;
            double factor = a[k][i] / a[i][i];
            for (unsigned c = 0; c <= TL_FIT_UNKNOWNS; c++)
                a[k][c] -= factor * a[i][c];
        }
    }
    for (unsigned i = 0; i < TL_FIT_UNKNOWNS; i++)
        if (used & 1u << i)
            x[i] = a[i][TL_FIT_UNKNOWNS] / a[i][i];
    return true;
}

static double error_of(const struct tl_equation *equation, const double x[TL_FIT_UNKNOWNS]) {
    double sum = 0;
    for (unsigned i = 0; i < TL_FIT_UNKNOWNS; i++)
        sum += equation->factors[i] * x[i];
    return (sum - equation->value) / equation->value;
}

static double weighted(const struct tl_equation *equations, const double *weights, size_t count,
                       const double x[TL_FIT_UNKNOWNS]) {
    double sum = 0;
    for (size_t i = 0; i < count; i++) {
        double error = error_of(&equations[i], x);
        sum += weights[i] * error * error;
    }
    return sum;
}

/* The best of all choices of unknowns that are not 0: there are only seven. */
static void least_squares(const struct tl_equation *equations, const double *weights, size_t count,
                          double best[TL_FIT_UNKNOWNS]) {
    double least = INFINITY;
    for (unsigned used = 1; used < 1u << TL_FIT_UNKNOWNS; used++) {
        double a[TL_FIT_UNKNOWNS][TL_FIT_UNKNOWNS + 1] = {{0}}, x[TL_FIT_UNKNOWNS];
        for (size_t e = 0; e < count; e++)
            for (unsigned i = 0; i < TL_FIT_UNKNOWNS; i++) {
                double factor = weights[e] * equations[e].factors[i] / equations[e].value;
                for (unsigned k = 0; k < TL_FIT_UNKNOWNS; k++)
                    a[i][k] += factor * equations[e].factors[k] / equations[e].value;
                a[i][TL_FIT_UNKNOWNS] += factor;
            }
        bool good = solve(a, used, x);
        for (unsigned i = 0; good && i < TL_FIT_UNKNOWNS; i++)
            good = x[i] >= 0 && isfinite(x[i]);
        double sum = good ? weighted(equations, weights, count, x) : INFINITY;
        if (sum < least) {
            least = sum;
            memcpy(best, x, sizeof x);
        }
    }
}

void tl_fit(const struct tl_equation *equations, size_t count, double unknowns[TL_FIT_UNKNOWNS]) {
    enum { ROUNDS = 20 };
    const double floor = 0.02; /* errors below this are noise: they do not compete for weight */
    double *weights = tl_mem_alloc((count + 1) * sizeof *weights);
    for (size_t i = 0; i < count; i++) {
        TL_ASSERT(equations[i].value > 0);
        weights[i] = 1;
    }
    memset(unknowns, 0, TL_FIT_UNKNOWNS * sizeof *unknowns);
    for (unsigned round = 0; round < ROUNDS; round++) {
        least_squares(equations, weights, count, unknowns);
        for (size_t i = 0; i < count; i++)
            weights[i] = 1 / fmax(fabs(error_of(&equations[i], unknowns)), floor);
    }
    tl_mem_free(weights);
}

/* fit.h: robust, non-negative least squares of few unknowns, and robust statistics. */
#ifndef TL_PROFILER_FIT_H
#define TL_PROFILER_FIT_H

#include <stddef.h>

enum { TL_FIT_UNKNOWNS = 3 };

/* One equation: sum of factors x unknowns = value. */
struct tl_equation {
    double factors[TL_FIT_UNKNOWNS];
    double value; /* above 0 */
};

/* The unknowns (none below 0) whose *relative* errors are least in sum, weighted so that a few wild equations count
 * little: repeated least squares, each equation by the inverse of its former error. Unused unknowns have factors 0 and
 * become 0. */
void tl_fit(const struct tl_equation *equations, size_t count, double unknowns[TL_FIT_UNKNOWNS]);

/* Of values in any order, which are sorted; 0 when there are none. */
double tl_median(double *values, size_t count);
/* What repeated measurements of one thing say it takes: disturbances only add time, so the lower quartile. *spread: how
 * far they are apart, as a share: the median deviation from the median, as a standard deviation. Values are sorted. */
double tl_typical(double *values, size_t count, double *spread);

#endif

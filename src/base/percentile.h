/* percentile.h: quantiles of numbers, interpolated between neighbours. */
#ifndef TL_BASE_PERCENTILE_H
#define TL_BASE_PERCENTILE_H

#include <stddef.h>

void tl_percentile_sort(double *values, size_t count); /* ascending */
/* The p-quantile (0 to 1) of values in ascending order; 0 when there are none. */
double tl_percentile(const double *sorted, size_t count, double p);

#endif

/* percentile.c: see percentile.h. */
#include "base/percentile.h"

#include <stdlib.h>

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void tl_percentile_sort(double *values, size_t count) {
    if (count > 1)
        qsort(values, count, sizeof *values, compare);
}

double tl_percentile(const double *sorted, size_t count, double p) {
    if (count == 0)
        return 0;
    double at = p * (double)(count - 1);
    size_t below = (size_t)at;
    if (below + 1 >= count)
        return sorted[count - 1];
    return sorted[below] + (at - (double)below) * (sorted[below + 1] - sorted[below]);
}

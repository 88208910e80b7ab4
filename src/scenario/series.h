/* series.h: amounts over time in a fixed number of bins; for this folder only. The bins get wider as time goes on, so the
 * memory is the same however long it goes. */
#ifndef TL_SCENARIO_SERIES_H
#define TL_SCENARIO_SERIES_H

#include <stddef.h>
#include <stdint.h>

enum { SERIES_BINS = 240 };

struct series {
    uint64_t width; /* ns of one bin */
    size_t rows;
    double *cells; /* [row][bin] */
};

void tl_series_init(struct series *series, size_t rows);
void tl_series_fini(struct series *series);
/* `height` lasts from `from` to `to`: adds height x ns to the bins between. */
void tl_series_add(struct series *series, size_t row, uint64_t from, uint64_t to, double height);
/* The mean height within a bin, of which `end` may be the end of all. */
double tl_series_mean(const struct series *series, size_t row, size_t bin, uint64_t end);

#endif

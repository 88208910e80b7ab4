/* series.c: see series.h. */
#include "scenario/series.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

void tl_series_init(struct series *series, size_t rows) {
    series->width = TL_NS_PER_MS;
    series->rows = rows;
    series->cells = tl_mem_zalloc((rows + 1) * SERIES_BINS * sizeof *series->cells);
}

void tl_series_fini(struct series *series) {
    tl_mem_free(series->cells);
    *series = (struct series){0};
}

/* Two bins become one. */
static void widen(struct series *series) {
    for (size_t row = 0; row < series->rows; row++) {
        double *cells = series->cells + row * SERIES_BINS;
        for (size_t i = 0; i < SERIES_BINS / 2; i++)
            cells[i] = cells[2 * i] + cells[2 * i + 1];
        memset(cells + SERIES_BINS / 2, 0, SERIES_BINS / 2 * sizeof *cells);
    }
    series->width *= 2;
}

void tl_series_add(struct series *series, size_t row, uint64_t from, uint64_t to, double height) {
    while (to > series->width * SERIES_BINS)
        widen(series);
    double *cells = series->cells + row * SERIES_BINS;
    for (uint64_t bin = from / series->width; from < to; bin++) {
        uint64_t end = (bin + 1) * series->width;
        end = end < to ? end : to;
        cells[bin] += height * (double)(end - from);
        from = end;
    }
}

double tl_series_mean(const struct series *series, size_t row, size_t bin, uint64_t end) {
    uint64_t from = bin * series->width, to = from + series->width;
    to = to < end ? to : end;
    return to > from ? series->cells[row * SERIES_BINS + bin] / (double)(to - from) : 0;
}

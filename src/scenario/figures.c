/* figures.c: how long runs took, what waited, what was busy. */
#include "scenario/figures.h"

#include <stdio.h>

#include "base/mem.h"
#include "base/percentile.h"
#include "scenario/plot.h"

enum { CURVE_POINTS = 240,
       TIME_BINS = 60,
       MOST_POINTS = 4000 };

static void begin(struct tl_str *out, const char *title, const char *what) {
    tl_str_printf(out, "<figure><figcaption><b>%s</b> %s</figcaption>\n", title, what);
}

static void put_load_key(const struct tl_scenario_result *result, struct tl_str *out) {
    const char **names = tl_mem_alloc((result->load_count + 1) * sizeof *names);
    size_t *colours = tl_mem_alloc((result->load_count + 1) * sizeof *colours);
    for (size_t i = 0; i < result->load_count; i++) {
        names[i] = result->loads[i].name;
        colours[i] = i;
    }
    tl_plot_key(out, names, colours, result->load_count);
    tl_mem_free(names);
    tl_mem_free(colours);
}

/* ---- latencies ---- */

void tl_figure_latencies(const struct tl_scenario_result *result, struct tl_str *out) {
    struct numbers all = tl_numbers_sorted(&result->all.latencies);
    double x[CURVE_POINTS + 1], y[CURVE_POINTS + 1];
    begin(out, "Latency", "% of the answers that were there after so many seconds");
    put_load_key(result, out);
    struct plot plot = tl_plot_begin(out, "latency distribution", " s", 0, tl_numbers_quantile(&all, 1) * 1.02, 100);
    for (size_t i = 0; i < result->load_count; i++) {
        const struct load_result *load = &result->loads[i];
        struct numbers sorted = tl_numbers_sorted(&load->latencies);
        for (size_t k = 0; k <= CURVE_POINTS; k++) {
            y[k] = 100.0 * (double)k / CURVE_POINTS;
            x[k] = tl_numbers_quantile(&sorted, y[k] / 100);
        }
        if (sorted.count > 0)
            tl_plot_line(&plot, x, y, CURVE_POINTS + 1, i, false);
        if (load->goal > 0)
            tl_plot_mark(&plot, (double)load->goal / 1e9, "goal", i);
        tl_mem_free(sorted.items);
    }
    tl_plot_end(&plot);
    tl_str_puts(out, "</figure>\n");
    tl_mem_free(all.items);
}

/* The p-quantile of each bin that holds anything; returns how many do. */
static size_t quantiles(const struct load_result *load, double least, double most, double p, double *x, double *y) {
    struct numbers bins[TIME_BINS] = {0};
    size_t count = 0;
    for (size_t i = 0; i < load->latencies.count; i++) {
        double at = (load->arrivals.items[i] - least) / (most - least) * TIME_BINS;
        size_t bin = at < 0 ? 0 : at >= TIME_BINS ? TIME_BINS - 1 : (size_t)at;
        tl_numbers_add(&bins[bin], load->latencies.items[i]);
    }
    for (size_t i = 0; i < TIME_BINS; i++) {
        if (bins[i].count > 0) {
            tl_percentile_sort(bins[i].items, bins[i].count);
            x[count] = least + ((double)i + 0.5) * (most - least) / TIME_BINS;
            y[count++] = tl_numbers_quantile(&bins[i], p);
        }
        tl_mem_free(bins[i].items);
    }
    return count;
}

void tl_figure_over_time(const struct tl_scenario_result *result, struct tl_str *out) {
    struct numbers all = tl_numbers_sorted(&result->all.latencies), when = tl_numbers_sorted(&result->all.arrivals);
    double least = tl_numbers_quantile(&when, 0), most = tl_numbers_quantile(&when, 1), x[TIME_BINS], y[TIME_BINS];
    most = most > least ? most : least + 1e-3;
    begin(out, "Latency over time", "s, of runs that arrived then: each run, median (line), 95th percentile (dashed)");
    put_load_key(result, out);
    struct plot plot = tl_plot_begin(out, "latency over time", " s", least, most, tl_numbers_quantile(&all, 1) * 1.05);
    for (size_t i = 0; i < result->load_count; i++) {
        const struct load_result *load = &result->loads[i];
        if (result->all.latencies.count <= MOST_POINTS)
            tl_plot_points(&plot, load->arrivals.items, load->latencies.items, load->latencies.count, i);
        tl_plot_line(&plot, x, y, quantiles(load, least, most, 0.5, x, y), i, false);
        tl_plot_line(&plot, x, y, quantiles(load, least, most, 0.95, x, y), i, true);
    }
    tl_plot_end(&plot);
    tl_str_puts(out, "</figure>\n");
    tl_mem_free(all.items);
    tl_mem_free(when.items);
}

/* ---- what waits ---- */

/* Fills the bins up to the end; returns how many there are. */
static size_t means(const struct tl_scenario_result *result, const struct series *series, size_t row, double *x,
                    double *y, double *most) {
    size_t count = 0;
    for (; count < SERIES_BINS && count * series->width < result->end; count++) {
        x[count] = ((double)count + 0.5) * (double)series->width / 1e9;
        y[count] = tl_series_mean(series, row, count, result->end);
        *most = y[count] > *most ? y[count] : *most;
    }
    return count;
}

void tl_figure_queues(const struct tl_scenario_result *result, struct tl_str *out) {
    const char **names = tl_mem_alloc((result->engine_count + 1) * sizeof *names);
    size_t *rows = tl_mem_alloc((result->engine_count + 1) * sizeof *rows), count = 0;
    double x[SERIES_BINS], y[SERIES_BINS], most = 0;
    for (size_t i = 0; i < result->engine_count; i++)
        if (result->engines[i].used) {
            names[count] = result->engines[i].name;
            rows[count++] = i;
            means(result, &result->queues, i, x, y, &most);
        }
    begin(out, "Queues", "primitives that wait for an engine");
    tl_plot_key(out, names, rows, count);
    struct plot plot = tl_plot_begin(out, "queue lengths over time", " s", 0, (double)result->end / 1e9, most * 1.05);
    for (size_t i = 0; i < count; i++) {
        size_t bins = means(result, &result->queues, rows[i], x, y, &most);
        tl_plot_line(&plot, x, y, bins, rows[i], false);
    }
    tl_plot_end(&plot);
    tl_str_puts(out, "</figure>\n");
    tl_mem_free(names);
    tl_mem_free(rows);
}

void tl_figure_in_flight(const struct tl_scenario_result *result, struct tl_str *out) {
    double x[SERIES_BINS], y[SERIES_BINS], most = 0;
    size_t bins = means(result, &result->flights, 0, x, y, &most);
    begin(out, "In flight", "runs that have arrived and not ended");
    struct plot plot = tl_plot_begin(out, "runs in flight", " s", 0, (double)result->end / 1e9, most * 1.05);
    tl_plot_line(&plot, x, y, bins, 0, false);
    tl_plot_end(&plot);
    tl_str_puts(out, "</figure>\n");
}

/* ---- what is busy ---- */

enum { CELLS_LEFT = 110,
       CELLS_WIDTH = 1060,
       CELLS_RIGHT = 56,
       CELL_HEIGHT = 16 };

static void put_device(const struct tl_scenario_result *result, size_t device, size_t bins, double top,
                       struct tl_str *out) {
    double width = (double)CELLS_WIDTH / (double)bins, seconds = tl_result_seconds(result), begin_at = 0, last = -1;
    tl_str_printf(out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", CELLS_LEFT - 8, top + 12);
    tl_plot_text(out, result->devices[device].name);
    tl_str_printf(out, "</text><text x=\"%d\" y=\"%.1f\">%.1f %%</text>\n", CELLS_LEFT + CELLS_WIDTH + 8, top + 12,
                  seconds > 0 ? 100 * result->devices[device].busy / seconds / 1e9 : 0);
    for (size_t i = 0; i <= bins; i++) { /* equal neighbours are one rectangle */
        double mean = i < bins ? tl_series_mean(&result->device_busy, device, i, result->end) : -2;
        mean = mean > 1 ? 1 : (double)(int)(mean * 20 + 0.5) / 20;
        if (mean == last)
            continue;
        if (last > 0)
            tl_str_printf(out,
                          "<rect class=\"busy\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" "
                          "fill-opacity=\"%.2f\"/>\n",
                          CELLS_LEFT + begin_at * width, top, ((double)i - begin_at) * width + 0.15, CELL_HEIGHT - 2,
                          0.08 + 0.92 * last);
        last = mean;
        begin_at = (double)i;
    }
}

void tl_figure_utilisation(const struct tl_scenario_result *result, struct tl_str *out) {
    size_t bins = 0, rows = 0;
    while (bins < SERIES_BINS && bins * result->device_busy.width < result->end)
        bins++;
    for (size_t i = 0; i < result->device_count; i++)
        rows += result->devices[i].used;
    double height = (double)(rows * CELL_HEIGHT + 26), span = (double)bins * (double)result->device_busy.width / 1e9;
    tl_str_puts(out,
                "<figure class=\"wide\"><figcaption><b>Devices</b> share of the time that each is busy: the "
                "stronger the colour, the busier; at the right: of all that is counted</figcaption>\n");
    tl_str_printf(out, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"utilisation over time\">\n",
                  CELLS_LEFT + CELLS_WIDTH + CELLS_RIGHT, height);
    for (size_t i = 0, row = 0; i < result->device_count; i++)
        if (result->devices[i].used && bins > 0)
            put_device(result, i, bins, (double)(row++ * CELL_HEIGHT), out);
    double step = tl_plot_step(span, 10);
    for (double x = 0; bins > 0 && x <= (double)result->end / 1e9; x += step)
        tl_str_printf(out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g s</text>\n",
                      CELLS_LEFT + CELLS_WIDTH * x / span, height - 8, x);
    tl_str_puts(out, "</svg></figure>\n");
}

/* gantt.c: which primitives ran where and when, of the runs or of the time that the scenario asks for. Rows are
 * instances; what an instance does at the same time lies on top of each other. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "scenario/figures.h"
#include "scenario/plot.h"

enum { LEFT = 150,
       WIDTH = 1060,
       RIGHT = 16,
       BAR = 13,
       GAP = 6,
       MOST_LANES = 64,
       GLYPH = 6 };

struct chart {
    const struct tl_scenario_result *result;
    struct tl_str *out;
    double from, to;  /* ns */
    bool by_load;     /* colours; else by run */
    uint64_t first;   /* run */
};

static int by_instance(const void *a, const void *b) {
    const struct shown *x = a, *y = b;
    if (x->instance != y->instance)
        return x->instance < y->instance ? -1 : 1;
    if (x->start != y->start)
        return x->start < y->start ? -1 : 1;
    return (x->run > y->run) - (x->run < y->run);
}

static double across(const struct chart *chart, uint64_t at) {
    double share = ((double)at - chart->from) / (chart->to - chart->from);
    return LEFT + WIDTH * (share < 0 ? 0 : share > 1 ? 1 : share);
}

static size_t colour_of(const struct chart *chart, const struct shown *item) {
    return chart->by_load ? item->load % PLOT_COLOURS : (size_t)((item->run - chart->first) % PLOT_COLOURS);
}

static void put_bar(const struct chart *chart, const struct shown *item, double top) {
    double x = across(chart, item->start), width = across(chart, item->end) - x;
    size_t length = strlen(item->label);
    tl_str_printf(chart->out, "<g><title>");
    tl_plot_text(chart->out, item->label);
    tl_str_printf(chart->out, ", run %llu: waited %.1f ms, took %.1f ms from %.3f s on%s</title>",
                  (unsigned long long)item->run, (double)(item->start - item->ready) / 1e6,
                  (double)(item->end - item->start) / 1e6, (double)item->start / 1e9, item->failed ? ", failed" : "");
    tl_str_printf(chart->out, "<rect class=\"%s%zu\" x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" rx=\"2\"/>",
                  item->failed ? "wrong f" : "f", colour_of(chart, item), x, top, width > 0.6 ? width : 0.6, BAR - 1);
    if ((double)(length * GLYPH) + 4 < width) {
        tl_str_printf(chart->out, "<text class=\"in\" x=\"%.1f\" y=\"%.1f\">", x + 3, top + 9.5);
        tl_plot_text(chart->out, item->label);
        tl_str_puts(chart->out, "</text>");
    }
    tl_str_puts(chart->out, "</g>\n");
}

/* The items of one instance; returns the px that they take. */
static double put_instance(const struct chart *chart, const struct shown *items, size_t count, double top) {
    const struct instance_result *instance = &chart->result->instances[items[0].instance];
    uint64_t free_at[MOST_LANES] = {0};
    size_t lanes = 0;
    for (size_t i = 0; i < count; i++) {
        size_t lane = 0;
        while (lane < lanes && free_at[lane] > items[i].start)
            lane++;
        if (lane == MOST_LANES)
            continue;
        lanes = lane == lanes ? lanes + 1 : lanes;
        free_at[lane] = items[i].end;
        put_bar(chart, &items[i], top + (double)(lane * BAR));
    }
    tl_str_printf(chart->out, "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">", LEFT - 8, top + 10);
    tl_plot_text(chart->out, chart->result->engines[instance->engine].name);
    if (chart->result->engines[instance->engine].instances > 1)
        tl_str_printf(chart->out, " %u", instance->number);
    if (instance->device != TL_SCHED_NO_DEVICE) {
        tl_str_puts(chart->out, " (");
        tl_plot_text(chart->out, chart->result->devices[instance->device].name);
        tl_str_putc(chart->out, ')');
    }
    tl_str_printf(chart->out, "</text><path class=\"grid\" d=\"M%d %.1fH%d\"/>\n", LEFT,
                  top + (double)(lanes * BAR) + GAP / 2.0, LEFT + WIDTH);
    return (double)(lanes * BAR + GAP);
}

static void put_ticks(const struct chart *chart, double top) {
    double step = tl_plot_step((chart->to - chart->from) / 1e9, 10);
    for (double k = 0; k * step <= (chart->to - chart->from) / 1e9; k++)
        tl_str_printf(chart->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">+%g s</text>\n",
                      LEFT + WIDTH * k * step * 1e9 / (chart->to - chart->from), top + 12, k * step);
}

static void span(struct chart *chart, const struct shown *items, size_t count) {
    const struct tl_scenario *scenario = chart->result->scenario;
    chart->by_load = scenario->shown_to > scenario->shown_from;
    chart->from = (double)scenario->shown_from;
    chart->to = (double)scenario->shown_to;
    chart->first = UINT64_MAX;
    double least = (double)items[0].ready, most = 0;
    for (size_t i = 0; i < count; i++) {
        least = (double)items[i].ready < least ? (double)items[i].ready : least;
        most = (double)items[i].end > most ? (double)items[i].end : most;
        chart->first = items[i].run < chart->first ? items[i].run : chart->first;
    }
    if (chart->by_load)
        return;
    chart->from = least;
    chart->to = most > least ? most : least + 1;
}

static void put_key(const struct chart *chart, struct tl_str *out) {
    const struct tl_scenario_result *result = chart->result;
    size_t count = chart->by_load ? result->load_count : result->scenario->shown_runs;
    tl_str_puts(out, "<p class=\"key\">");
    for (size_t i = 0; i < count && i < 3 * PLOT_COLOURS; i++) {
        tl_str_printf(out, "<span><i class=\"f%zu\"></i>", i % PLOT_COLOURS);
        if (chart->by_load)
            tl_plot_text(out, result->loads[i].name);
        else
            tl_str_printf(out, "run %llu", (unsigned long long)(chart->first + i));
        tl_str_puts(out, "</span> ");
    }
    tl_str_puts(out, "</p>\n");
}

void tl_figure_gantt(const struct tl_scenario_result *result, struct tl_str *out) {
    struct tl_str bars = TL_STR_INIT;
    struct chart chart = {.result = result, .out = &bars};
    size_t count = result->shown_count;
    double top = 0;
    if (count == 0)
        return;
    struct shown *items = tl_mem_alloc(count * sizeof *items);
    memcpy(items, result->shown, count * sizeof *items);
    qsort(items, count, sizeof *items, by_instance);
    span(&chart, items, count);
    for (size_t begin = 0, end; begin < count; begin = end) {
        for (end = begin; end < count && items[end].instance == items[begin].instance;)
            end++;
        top += put_instance(&chart, items + begin, end - begin, top);
    }
    put_ticks(&chart, top);
    tl_str_printf(out,
                  "<figure class=\"wide\"><figcaption><b>Primitives</b> from %.3f s on, by instance%s</figcaption>\n",
                  chart.from / 1e9, result->shown_more ? "; those that were too many to show are left out" : "");
    put_key(&chart, out);
    tl_str_printf(out, "<svg viewBox=\"0 0 %d %.0f\" role=\"img\" aria-label=\"Gantt chart\">\n", LEFT + WIDTH + RIGHT,
                  top + 20);
    tl_str_append(out, bars.data, bars.length);
    tl_str_puts(out, "</svg></figure>\n");
    tl_str_fini(&bars);
    tl_mem_free(items);
}

/* html.c: a result as a page that needs nothing else, for light and dark screens. */
#include <string.h>

#include "base/mem.h"
#include "scenario/figures.h"
#include "scenario/plot.h"

static const char head[] =
    "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
    "<meta name=\"viewport\" content=\"width=device-width\">\n<style>\n"
    ":root{color-scheme:light dark;--ink:#1c1c1e;--quiet:#5f5f66;--back:#fff;--card:#f6f6f8;--line:#d9d9de;"
    "--busy:#2a6fb0;--c0:#2a6fb0;--c1:#d1661d;--c2:#2e8b57;--c3:#a8398f;--c4:#8a6d1b;--c5:#c0392b;--c6:#4f56c9;"
    "--c7:#0d8a8f}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#ececf0;--quiet:#a5a5ae;--back:#17171a;--card:#212125;--line:#"
    "3a3a40;"
    "--busy:#6cb2f2;--c0:#6cb2f2;--c1:#f39a52;--c2:#5fc98c;--c3:#e07fca;--c4:#d9b44a;--c5:#f17c6f;--c6:#9aa0ff;"
    "--c7:#4fcfd4}}\n"
    "*{box-sizing:border-box}body{margin:0 auto;max-width:1360px;padding:18px 22px;font:14px/1.45 system-ui,sans-serif;"
    "color:var(--ink);background:var(--back)}\n"
    "h1{font-size:20px;margin:0}h2{font-size:15px;margin:18px 0 6px}p{margin:2px 0;color:var(--quiet)}\n"
    ".scroll{overflow-x:auto}table{border-collapse:collapse;font-variant-numeric:tabular-nums;width:100%}"
    "th,td{text-align:right;padding:3px 8px;border-bottom:1px solid var(--line);white-space:nowrap}"
    "th{font-weight:500;color:var(--quiet)}th:first-child,td:first-child{text-align:left}"
    "tr.sum td{font-weight:600}\n"
    "main{display:grid;grid-template-columns:1fr 1fr;gap:14px;margin-top:16px}"
    "figure{margin:0;background:var(--card);border-radius:10px;padding:12px 14px;min-width:0}.wide{grid-column:1/-1}"
    "figcaption{color:var(--quiet)}figcaption b{color:var(--ink)}svg{display:block;width:100%;height:auto}\n"
    "svg text{font-size:11px;fill:var(--quiet)}svg text.in{font-size:9.5px;fill:var(--back)}"
    ".grid{stroke:var(--line);stroke-width:1;fill:none}.line{fill:none;stroke-width:1.8;stroke-linejoin:round}"
    ".dashed{stroke-dasharray:4 3;stroke-width:1.2}.points{fill:none;stroke-width:3;stroke-linecap:round;opacity:.35}"
    ".mark{fill:none;stroke-dasharray:2 3}.busy{fill:var(--busy)}.wrong{stroke:var(--ink);stroke-width:1.5}\n"
    ".key{display:flex;flex-wrap:wrap;gap:2px 14px;font-size:12.5px}.key i{display:inline-block;width:10px;height:10px;"
    "border-radius:2px;margin-right:5px}\n"
    "@media(max-width:900px){main{grid-template-columns:1fr}}\n";

static void put_style(struct tl_str *out) {
    tl_str_puts(out, head);
    for (int i = 0; i < PLOT_COLOURS; i++)
        tl_str_printf(out, ".s%d{stroke:var(--c%d)}rect.f%d{fill:var(--c%d)}i.f%d{background:var(--c%d)}\n", i, i, i,
                      i, i, i);
    tl_str_puts(out, "</style>\n");
}

static double per(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

static void put_load(const struct tl_scenario_result *result, const struct load_result *load, bool sum,
                     struct tl_str *out) {
    struct numbers sorted = tl_numbers_sorted(&load->latencies), first = tl_numbers_sorted(&load->first);
    double seconds = tl_result_seconds(result);
    tl_str_printf(out, "<tr%s><td>", sum ? " class=\"sum\"" : "");
    tl_plot_text(out, load->name);
    tl_str_printf(out, "<td>%llu", (unsigned long long)load->arrived);
    for (size_t i = 0; i < ENDINGS; i++)
        tl_str_printf(out, "<td>%llu", (unsigned long long)load->endings[i]);
    tl_str_printf(out, "<td>%.3f<td>%.3f<td>%.3f<td>%.3f<td>%.3f", tl_numbers_mean(&load->latencies),
                  tl_numbers_quantile(&sorted, 0.5), tl_numbers_quantile(&sorted, 0.95),
                  tl_numbers_quantile(&sorted, 0.99), tl_numbers_quantile(&sorted, 1));
    if (first.count > 0)
        tl_str_printf(out, "<td>%.3f<td>%.3f", tl_numbers_quantile(&first, 0.5), tl_numbers_quantile(&first, 0.95));
    else
        tl_str_puts(out, "<td>&ndash;<td>&ndash;");
    tl_str_printf(out, "<td>%.3f", per((double)load->endings[DONE], seconds));
    if (load->goal > 0)
        tl_str_printf(out, "<td>%.3f", per((double)load->within_goal, seconds));
    else
        tl_str_puts(out, "<td>&ndash;");
    tl_str_puts(out, "</tr>\n");
    tl_mem_free(sorted.items);
    tl_mem_free(first.items);
}

static void put_loads(const struct tl_scenario_result *result, struct tl_str *out) {
    tl_str_puts(out, "<h2>Runs</h2><div class=\"scroll\"><table><tr><th>load<th>arrived");
    for (size_t i = 0; i < ENDINGS; i++)
        tl_str_printf(out, "<th>%s", tl_ending_names[i]);
    tl_str_puts(out, "<th>mean, s<th>p50<th>p95<th>p99<th>max<th>first text p50<th>p95<th>done a second<th>within "
                     "goal</tr>\n");
    for (size_t i = 0; i < result->load_count; i++)
        put_load(result, &result->loads[i], false, out);
    if (result->load_count > 1)
        put_load(result, &result->all, true, out);
    tl_str_puts(out, "</table></div>\n");
    for (size_t i = 0; i < result->load_count; i++)
        if (result->loads[i].failure) {
            tl_str_puts(out, "<p>The first failure of ");
            tl_plot_text(out, result->loads[i].name);
            tl_str_puts(out, ": ");
            tl_plot_text(out, result->loads[i].failure);
            tl_str_puts(out, "</p>\n");
        }
}

static void put_engines(const struct tl_scenario_result *result, struct tl_str *out) {
    double ns = tl_result_seconds(result) * 1e9;
    tl_str_puts(out, "<h2>Engines</h2><div class=\"scroll\"><table><tr><th>engine<th>instances<th>busy<th>queue, "
                     "mean<th>max<th>wait, ms<th>primitives<th>failed<th>quanta<th>held a quantum<th>tokens in<th>of "
                     "these reused<th>tokens out</tr>\n");
    for (size_t i = 0; i < result->engine_count; i++) {
        const struct engine_result *engine = &result->engines[i];
        double busy = 0;
        if (!engine->used)
            continue;
        for (uint32_t k = 0; k < engine->instances; k++)
            busy += result->instances[engine->first + k].busy;
        tl_str_puts(out, "<tr><td>");
        tl_plot_text(out, engine->name);
        tl_str_printf(out,
                      "<td>%u<td>%.1f %%<td>%.2f<td>%zu<td>%.1f<td>%llu<td>%llu<td>%llu<td>%.2f<td>%llu<td>%.1f "
                      "%%<td>%llu</tr>\n",
                      engine->instances, 100 * per(busy, ns * engine->instances), per(engine->queued, ns),
                      engine->queued_most, per(engine->waited, (double)engine->items) / 1e6,
                      (unsigned long long)engine->items, (unsigned long long)engine->failed,
                      (unsigned long long)engine->quanta, per((double)engine->held, (double)engine->quanta),
                      (unsigned long long)engine->tokens_in,
                      100 * per((double)engine->tokens_reused, (double)engine->tokens_in),
                      (unsigned long long)engine->tokens_out);
    }
    tl_str_puts(out, "</table></div>\n");
}

void tl_scenario_put_html(const struct tl_scenario_result *result, struct tl_str *out) {
    const struct tl_scenario *scenario = result->scenario;
    put_style(out);
    tl_str_puts(out, "<title>Simulation: ");
    tl_plot_text(out, scenario->file);
    tl_str_puts(out, "</title></head><body>\n<h1>Simulation: ");
    tl_plot_text(out, scenario->file);
    tl_str_printf(
        out,
        "</h1><p>Policy %s, seed %llu; counted from %.1f s to %.1f s; the last run ended at %.1f s; in flight "
        "%.1f runs, at most %llu.</p>\n",
        scenario->policy, (unsigned long long)scenario->seed, (double)result->from / 1e9, (double)result->to / 1e9,
        (double)result->end / 1e9, per(result->in_flight, tl_result_seconds(result) * 1e9),
        (unsigned long long)result->in_flight_most);
    put_loads(result, out);
    put_engines(result, out);
    tl_str_puts(out, "<main>\n");
    tl_figure_latencies(result, out);
    tl_figure_over_time(result, out);
    tl_figure_queues(result, out);
    tl_figure_in_flight(result, out);
    tl_figure_utilisation(result, out);
    tl_figure_gantt(result, out);
    tl_str_puts(out, "</main></body></html>\n");
}

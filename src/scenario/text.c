/* text.c: a result as tables for people. */
#include <string.h>

#include "base/mem.h"
#include "scenario/result.h"

/* ---- loads ---- */

static void put_load(const struct tl_scenario_result *result, const struct load_result *load, int width,
                     struct tl_str *out) {
    struct numbers sorted = tl_numbers_sorted(&load->latencies), first = tl_numbers_sorted(&load->first);
    double seconds = tl_result_seconds(result);
    tl_str_printf(out, "  %-*s", width, load->name);
    tl_str_printf(out, " %8llu", (unsigned long long)load->arrived);
    for (size_t i = 0; i < ENDINGS; i++)
        tl_str_printf(out, " %9llu", (unsigned long long)load->endings[i]);
    tl_str_printf(out, " %8.3f %8.3f %8.3f %8.3f %8.3f", tl_numbers_mean(&load->latencies),
                  tl_numbers_quantile(&sorted, 0.5), tl_numbers_quantile(&sorted, 0.95),
                  tl_numbers_quantile(&sorted, 0.99), tl_numbers_quantile(&sorted, 1));
    if (first.count > 0)
        tl_str_printf(out, " %8.3f %8.3f", tl_numbers_quantile(&first, 0.5), tl_numbers_quantile(&first, 0.95));
    else
        tl_str_printf(out, " %8s %8s", "-", "-");
    tl_str_printf(out, " %9.3f", seconds > 0 ? (double)load->endings[DONE] / seconds : 0);
    if (load->goal > 0)
        tl_str_printf(out, " %9.3f", seconds > 0 ? (double)load->within_goal / seconds : 0);
    else
        tl_str_printf(out, " %9s", "-");
    tl_str_putc(out, '\n');
    tl_mem_free(sorted.items);
    tl_mem_free(first.items);
}

static void put_loads(const struct tl_scenario_result *result, struct tl_str *out) {
    int width = 4;
    for (size_t i = 0; i < result->load_count; i++)
        width = (int)strlen(result->loads[i].name) > width ? (int)strlen(result->loads[i].name) : width;
    tl_str_printf(out, "\n  %-*s %8s", width, "load", "arrived");
    for (size_t i = 0; i < ENDINGS; i++)
        tl_str_printf(out, " %9s", tl_ending_names[i]);
    tl_str_printf(out, " %8s %8s %8s %8s %8s %8s %8s %9s %9s\n", "mean s", "p50", "p95", "p99", "max", "1st p50",
                  "1st p95", "done/s", "in goal/s");
    for (size_t i = 0; i < result->load_count; i++)
        put_load(result, &result->loads[i], width, out);
    if (result->load_count > 1)
        put_load(result, &result->all, width, out);
    for (size_t i = 0; i < result->load_count; i++)
        if (result->loads[i].failure)
            tl_str_printf(out, "  the first failure of %s: %s\n", result->loads[i].name, result->loads[i].failure);
}

/* ---- engines ---- */

static double share(double part, double whole) {
    return whole > 0 ? (part < whole ? part / whole : 1) : 0;
}

static void put_engines(const struct tl_scenario_result *result, struct tl_str *out) {
    double ns = tl_result_seconds(result) * 1e9;
    tl_str_printf(out, "\n  %-12s %9s %6s %9s %9s %9s %11s %11s %11s %9s\n", "engine", "instances", "busy", "queue",
                  "queue max", "wait ms", "primitives", "quanta", "held/quantum", "reused");
    for (size_t i = 0; i < result->engine_count; i++) {
        const struct engine_result *engine = &result->engines[i];
        double busy = 0;
        if (!engine->used)
            continue;
        for (uint32_t k = 0; k < engine->instances; k++)
            busy += share(result->instances[engine->first + k].busy, ns) / engine->instances;
        tl_str_printf(out, "  %-12s %9u %5.1f%% %9.2f %9zu %9.1f %11llu %11llu %11.2f ", engine->name,
                      engine->instances, 100 * busy, share(1, ns) * engine->queued, engine->queued_most,
                      engine->items ? engine->waited / (double)engine->items / 1e6 : 0,
                      (unsigned long long)engine->items, (unsigned long long)engine->quanta,
                      engine->quanta ? (double)engine->held / (double)engine->quanta : 0);
        if (engine->tokens_reused > 0)
            tl_str_printf(out, "%8.1f%%\n", 100 * share((double)engine->tokens_reused, (double)engine->tokens_in));
        else
            tl_str_printf(out, "%9s\n", "-");
    }
}

static void put_devices(const struct tl_scenario_result *result, struct tl_str *out) {
    double ns = tl_result_seconds(result) * 1e9;
    size_t shown = 0;
    for (size_t i = 0; i < result->device_count; i++)
        if (result->devices[i].used)
            tl_str_printf(out, "%s%s %.1f%%", shown++ % 8 ? ", " : shown > 1 ? ",\n           " : "\n  devices: ",
                          result->devices[i].name, 100 * share(result->devices[i].busy, ns));
    tl_str_puts(out, shown ? "\n" : "");
}

void tl_scenario_put_text(const struct tl_scenario_result *result, struct tl_str *out) {
    const struct tl_scenario *scenario = result->scenario;
    const struct tl_memo_counters *memo = &result->counters.memo;
    double seconds = tl_result_seconds(result), primitives = tl_result_primitives(result);
    tl_str_printf(out, "%s: %.1f s from %.1f s on, policy %s, seed %llu\n", scenario->file, seconds,
                  (double)result->from / 1e9, scenario->policy, (unsigned long long)scenario->seed);
    put_loads(result, out);
    put_engines(result, out);
    put_devices(result, out);
    tl_str_printf(out, "\n  in flight: %.1f, at most %llu\n", share(1, seconds * 1e9) * result->in_flight,
                  (unsigned long long)result->in_flight_most);
    tl_str_printf(out, "  memory of results: %llu found, %llu shared, %llu computed, %llu dropped\n",
                  (unsigned long long)memo->hits, (unsigned long long)memo->shared, (unsigned long long)memo->misses,
                  (unsigned long long)memo->evictions);
    tl_str_printf(out,
                  "  simulated: %.1f s in %.2f s of processor time (%.0f times faster), %.0f primitives, %.2f us each, "
                  "%.0f MiB\n",
                  (double)result->end / 1e9, (double)result->cpu_ns / 1e9,
                  result->cpu_ns ? (double)result->end / (double)result->cpu_ns : 0, primitives,
                  primitives > 0 ? (double)result->cpu_ns / 1e3 / primitives : 0, (double)result->memory / 1048576);
}

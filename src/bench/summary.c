/* summary.c: see summary.h. */
#include "bench/summary.h"

#include "base/clock.h"
#include "base/mem.h"
#include "base/percentile.h"

double tl_bench_percentile(double *values, size_t count, double p) {
    tl_percentile_sort(values, count);
    return tl_percentile(values, count, p);
}

struct values {
    double *items;
    size_t count, capacity;
};

/* Adds a time between two moments, in ms. */
static void add(struct values *values, uint64_t from, uint64_t to) {
    values->items = tl_mem_grow(values->items, &values->capacity, values->count + 1, sizeof *values->items);
    values->items[values->count++] = to > from ? (double)(to - from) / (double)TL_NS_PER_MS : 0;
}

static void take(struct values *values, double *p50, double *p95) {
    *p50 = tl_bench_percentile(values->items, values->count, 0.5);
    if (p95)
        *p95 = tl_bench_percentile(values->items, values->count, 0.95);
    tl_mem_free(values->items);
}

/* Whether [from, to] overlaps the time that an intruder waits for its first text. */
static bool overlaps(const struct tl_bench_drive *drive, uint64_t from, uint64_t to) {
    for (size_t i = drive->regular; i < drive->load->count; i++) {
        const struct tl_bench_record *intruder = &drive->records[i];
        uint64_t until = intruder->first ? intruder->first : intruder->finished;
        if (intruder->sent && from < until && to > intruder->sent)
            return true;
    }
    return false;
}

void tl_bench_summarize(const struct tl_bench_drive *drive, struct tl_bench_summary *summary) {
    struct values first = {0}, latency = {0}, gaps = {0}, during = {0}, intruders = {0};
    *summary = (struct tl_bench_summary){.intruded = drive->regular < drive->load->count};
    summary->seconds = (double)(drive->end - drive->start) / (double)TL_NS_PER_S;
    for (size_t i = 0; i < drive->load->count; i++) {
        const struct tl_bench_record *record = &drive->records[i];
        summary->failed += record->failed;
        if (!record->finished || record->failed)
            continue;
        summary->requests++;
        summary->asked += (double)record->usage.asked;
        summary->reused += (double)record->usage.reused;
        summary->computed += (double)record->usage.computed;
        summary->written += (double)record->usage.written;
        if (record->intruder) {
            if (record->first)
                add(&intruders, record->intended, record->first);
            continue;
        }
        add(&latency, record->intended, record->finished);
        if (record->first)
            add(&first, record->intended, record->first);
        for (size_t k = 1; k < record->piece_count; k++) {
            add(&gaps, record->pieces[k - 1], record->pieces[k]);
            if (summary->intruded && overlaps(drive, record->pieces[k - 1], record->pieces[k]))
                add(&during, record->pieces[k - 1], record->pieces[k]);
        }
    }
    if (summary->seconds > 0) {
        summary->written_rate = summary->written / summary->seconds;
        summary->request_rate = summary->requests / summary->seconds;
    }
    take(&first, &summary->ttft_p50, &summary->ttft_p95);
    take(&latency, &summary->latency_p50, &summary->latency_p95);
    take(&gaps, &summary->gap_p50, &summary->gap_p95);
    take(&during, &summary->during_p50, &summary->during_p95);
    take(&intruders, &summary->intruder_ttft_p50, NULL);
}

void tl_bench_median(const struct tl_bench_summary *passes, size_t count, struct tl_bench_summary *median,
                     double *least_seconds, double *most_seconds) {
    double *values = tl_mem_alloc((count + 1) * sizeof *values);
    *median = (struct tl_bench_summary){.intruded = count > 0 && passes[0].intruded};
    *least_seconds = *most_seconds = count > 0 ? passes[0].seconds : 0;
    for (size_t i = 1; i < count; i++) {
        if (passes[i].seconds < *least_seconds)
            *least_seconds = passes[i].seconds;
        if (passes[i].seconds > *most_seconds)
            *most_seconds = passes[i].seconds;
    }
#define X(field, name, comment)                                                                                        \
    for (size_t i = 0; i < count; i++)                                                                                 \
        values[i] = passes[i].field;                                                                                   \
    median->field = tl_bench_percentile(values, count, 0.5);
    TL_BENCH_NUMBERS(X)
#undef X
    tl_mem_free(values);
}

json_t *tl_bench_summary_json(const struct tl_bench_summary *summary) {
    json_t *json = json_object();
#define X(field, name, comment) json_object_set_new(json, name, json_real(summary->field));
    TL_BENCH_NUMBERS(X)
#undef X
    if (!summary->intruded) {
        json_object_del(json, "gap_during_arrival_ms_p50");
        json_object_del(json, "gap_during_arrival_ms_p95");
        json_object_del(json, "intruder_ttft_ms_p50");
    }
    return json;
}

void tl_bench_summary_print(const struct tl_bench_summary *summary, struct tl_str *out) {
    tl_str_printf(out, "requests           %.0f done, %.0f failed, in %.2f s (%.2f a second)\n", summary->requests,
                  summary->failed, summary->seconds, summary->request_rate);
    tl_str_printf(out, "tokens written     %.0f, %.1f a second\n", summary->written, summary->written_rate);
    tl_str_printf(out, "prompt tokens      %.0f asked, %.0f reused, %.0f computed\n", summary->asked, summary->reused,
                  summary->computed);
    tl_str_printf(out, "first text         p50 %.0f ms, p95 %.0f ms\n", summary->ttft_p50, summary->ttft_p95);
    tl_str_printf(out, "whole answer       p50 %.0f ms, p95 %.0f ms\n", summary->latency_p50, summary->latency_p95);
    tl_str_printf(out, "between pieces     p50 %.1f ms, p95 %.1f ms\n", summary->gap_p50, summary->gap_p95);
    if (summary->intruded) {
        tl_str_printf(out, "  while one came   p50 %.1f ms, p95 %.1f ms\n", summary->during_p50, summary->during_p95);
        tl_str_printf(out, "  its first text   p50 %.0f ms\n", summary->intruder_ttft_p50);
    }
}

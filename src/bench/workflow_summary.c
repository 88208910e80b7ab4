/* workflow_summary.c: see workflow_summary.h. */
#include "bench/workflow_summary.h"

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "bench/summary.h"

static double ms_between(uint64_t from, uint64_t to) {
    return to > from ? (double)(to - from) / (double)TL_NS_PER_MS : 0;
}

static double mean_of(const double *values, size_t count) {
    double sum = 0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
    return count > 0 ? sum / (double)count : 0;
}

void tl_bench_workflow_summarize(const struct tl_bench_drive *drive, const struct tl_bench_outcome *outcomes,
                                 struct tl_bench_workflow_summary *summary) {
    size_t count = drive->load->count, done = 0, firsts = 0, sent = 0;
    double *latency = tl_mem_alloc((count + 1) * sizeof *latency), *first = tl_mem_alloc((count + 1) * sizeof *first),
           *late = tl_mem_alloc((count + 1) * sizeof *late), overhead = 0, saved = 0;
    *summary = (struct tl_bench_workflow_summary){.seconds = ms_between(drive->start, drive->end) / 1000};
    for (size_t i = 0; i < count; i++) {
        const struct tl_bench_record *record = &drive->records[i];
        enum tl_status status = outcomes[i].status;
        if (!record->finished)
            continue;
        late[sent++] = ms_between(record->intended, record->sent);
        summary->failed += status != TL_OK && status != TL_ERR_BUSY && status != TL_ERR_DEADLINE;
        summary->refused += status == TL_ERR_BUSY;
        summary->expired += status == TL_ERR_DEADLINE;
        if (status != TL_OK)
            continue;
        latency[done++] = ms_between(record->intended, record->finished);
        if (record->first)
            first[firsts++] = ms_between(record->intended, record->first);
        overhead += outcomes[i].overhead_ms;
        saved += outcomes[i].saved_ms;
        summary->remembered += (double)outcomes[i].remembered;
        summary->asked += (double)record->usage.asked;
        summary->reused += (double)record->usage.reused;
        summary->computed += (double)record->usage.computed;
        summary->written += (double)record->usage.written;
    }
    summary->done = (double)done;
    summary->rate = summary->seconds > 0 ? summary->done / summary->seconds : 0;
    summary->mean = mean_of(latency, done);
    summary->p50 = tl_bench_percentile(latency, done, 0.5);
    summary->p95 = tl_bench_percentile(latency, done, 0.95);
    summary->p99 = tl_bench_percentile(latency, done, 0.99);
    summary->first_mean = mean_of(first, firsts);
    summary->first_p50 = tl_bench_percentile(first, firsts, 0.5);
    summary->first_p95 = tl_bench_percentile(first, firsts, 0.95);
    summary->late = tl_bench_percentile(late, sent, 0.95);
    summary->overhead = done > 0 ? overhead / (double)done : 0;
    summary->saved = done > 0 ? saved / (double)done : 0;
    tl_mem_free(latency);
    tl_mem_free(first);
    tl_mem_free(late);
}

void tl_bench_workflow_median(const struct tl_bench_workflow_summary *passes, size_t count,
                              struct tl_bench_workflow_summary *median) {
    double *values = tl_mem_alloc((count + 1) * sizeof *values);
#define X(field, name, comment)                                                                                        \
    for (size_t i = 0; i < count; i++)                                                                                 \
        values[i] = passes[i].field;                                                                                   \
    median->field = tl_bench_percentile(values, count, 0.5);
    TL_BENCH_WORKFLOW_NUMBERS(X)
#undef X
    tl_mem_free(values);
}

json_t *tl_bench_workflow_summary_json(const struct tl_bench_workflow_summary *summary) {
    json_t *json = json_object();
#define X(field, name, comment) json_object_set_new(json, name, json_real(summary->field));
    TL_BENCH_WORKFLOW_NUMBERS(X)
#undef X
    return json;
}

json_t *tl_bench_workflow_each_json(const struct tl_bench_drive *drive, const struct tl_bench_outcome *outcomes) {
    json_t *all = json_array();
    for (size_t i = 0; i < drive->load->count; i++) {
        const struct tl_bench_record *record = &drive->records[i];
        json_t *query = json_pack("{s:f, s:f, s:s}", "at_ms", ms_between(drive->start, record->intended), "latency_ms",
                                  ms_between(record->intended, record->finished), "status",
                                  tl_status_name(outcomes[i].status));
        if (record->first)
            json_object_set_new(query, "first_text_ms", json_real(ms_between(record->intended, record->first)));
        json_array_append_new(all, query);
    }
    return all;
}

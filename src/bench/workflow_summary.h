/* workflow_summary.h: from what was noted of a load of queries to the numbers that are shown.
 *
 * Latencies count from the time that a query was meant to be sent, and are those of the queries that were done. Over
 * repeats, each number is the median of the passes. */
#ifndef TL_BENCH_WORKFLOW_SUMMARY_H
#define TL_BENCH_WORKFLOW_SUMMARY_H

#include <jansson.h>

#include "bench/drive.h"
#include "bench/workflow_target.h"

/*  field         JSON name                 what it is                                               */
#define TL_BENCH_WORKFLOW_NUMBERS(X)                                                                   \
    X(seconds, "seconds", "the whole load")                                                            \
    X(done, "queries_done", "")                                                                        \
    X(failed, "queries_failed", "")                                                                    \
    X(refused, "queries_refused", "by a limit")                                                        \
    X(expired, "queries_expired", "their time was over")                                               \
    X(rate, "queries_per_second", "done")                                                              \
    X(mean, "latency_ms_mean", "")                                                                     \
    X(p50, "latency_ms_p50", "")                                                                       \
    X(p95, "latency_ms_p95", "")                                                                       \
    X(p99, "latency_ms_p99", "")                                                                       \
    X(first_mean, "first_text_ms_mean", "")                                                            \
    X(first_p50, "first_text_ms_p50", "")                                                              \
    X(first_p95, "first_text_ms_p95", "")                                                              \
    X(overhead, "overhead_ms_mean", "the runtime's own work on a query")                               \
    X(late, "sent_late_ms_p95", "behind the time meant: by this program, or a machine that is busy")   \
    X(asked, "prompt_tokens_asked", "")                                                                \
    X(reused, "prompt_tokens_reused", "")                                                              \
    X(computed, "prompt_tokens_computed", "")                                                          \
    X(written, "tokens_written", "")                                                                   \
    X(remembered, "units_remembered", "texts, searches and so on that earlier queries had computed")   \
    X(saved, "ms_saved_per_query", "predicted: what was remembered would have taken so long")

struct tl_bench_workflow_summary {
#define X(field, name, comment) double field;
    TL_BENCH_WORKFLOW_NUMBERS(X)
#undef X
};

void tl_bench_workflow_summarize(const struct tl_bench_drive *drive, const struct tl_bench_outcome *outcomes,
                                 struct tl_bench_workflow_summary *summary);
void tl_bench_workflow_median(const struct tl_bench_workflow_summary *passes, size_t count,
                              struct tl_bench_workflow_summary *median);
json_t *tl_bench_workflow_summary_json(const struct tl_bench_workflow_summary *summary); /* returns owned */

/* Each query: {"at_ms", "latency_ms", "first_text_ms", "status"}, times from the start, or the time meant. Returns
 * owned. */
json_t *tl_bench_workflow_each_json(const struct tl_bench_drive *drive, const struct tl_bench_outcome *outcomes);

#endif

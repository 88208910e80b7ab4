/* summary.h: from what was noted of a load to the numbers that are shown.
 *
 * Percentiles are of all requests (of all gaps) of one pass through the load, interpolated between neighbours. Over
 * repeats, each number is the median of the passes. */
#ifndef TL_BENCH_SUMMARY_H
#define TL_BENCH_SUMMARY_H

#include <jansson.h>

#include "base/str.h"
#include "bench/drive.h"

/* The p-quantile (0 to 1) of the values; sorts them. 0 when there are none. */
double tl_bench_percentile(double *values, size_t count, double p);

/*  field          JSON name              what it is                                                      */
#define TL_BENCH_NUMBERS(X)                                                                               \
    X(seconds, "seconds", "the whole load")                                                               \
    X(requests, "requests_done", "")                                                                      \
    X(failed, "requests_failed", "")                                                                      \
    X(written, "tokens_written", "")                                                                      \
    X(asked, "prompt_tokens_asked", "")                                                                   \
    X(reused, "prompt_tokens_reused", "")                                                                 \
    X(computed, "prompt_tokens_computed", "")                                                             \
    X(written_rate, "tokens_written_per_second", "")                                                      \
    X(request_rate, "requests_per_second", "")                                                            \
    X(ttft_p50, "ttft_ms_p50", "from intended sending to the first text; intruders not counted")          \
    X(ttft_p95, "ttft_ms_p95", "")                                                                        \
    X(latency_p50, "latency_ms_p50", "from intended sending to the end")                                  \
    X(latency_p95, "latency_ms_p95", "")                                                                  \
    X(gap_p50, "gap_ms_p50", "between two pieces of one request; intruders not counted")                  \
    X(gap_p95, "gap_ms_p95", "")                                                                          \
    X(during_p50, "gap_during_arrival_ms_p50", "of these, those that overlap an intruder's time to its first text") \
    X(during_p95, "gap_during_arrival_ms_p95", "")                                                        \
    X(intruder_ttft_p50, "intruder_ttft_ms_p50", "")

struct tl_bench_summary {
#define X(field, name, comment) double field;
    TL_BENCH_NUMBERS(X)
#undef X
    bool intruded; /* the load had intruders */
};

void tl_bench_summarize(const struct tl_bench_drive *drive, struct tl_bench_summary *summary);

/* Each number's median over the passes; of `seconds`, also the least and the most. */
void tl_bench_median(const struct tl_bench_summary *passes, size_t count, struct tl_bench_summary *median,
                     double *least_seconds, double *most_seconds);

json_t *tl_bench_summary_json(const struct tl_bench_summary *summary); /* returns owned */
void tl_bench_summary_print(const struct tl_bench_summary *summary, struct tl_str *out);

#endif

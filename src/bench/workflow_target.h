/* workflow_target.h: a benchmark's target: a workflow, asked through the public API as any program would ask it.
 *
 * Request n of a load is question n, the questions in rotation; the texts of the load are not used. Times are taken on
 * the runtime's own thread, so what this thread does meanwhile delays no number. */
#ifndef TL_BENCH_WORKFLOW_TARGET_H
#define TL_BENCH_WORKFLOW_TARGET_H

#include "bench/drive.h"
#include "teola/teola.h"

/* How a request ended, and what it cost beside what tl_bench_record tells. */
struct tl_bench_outcome {
    enum tl_status status;
    double overhead_ms; /* the runtime's own work */
    double saved_ms;    /* predicted: what was remembered would have taken so long */
    uint64_t remembered; /* units that earlier runs had computed */
};

struct tl_bench_workflow {
    struct tl_runtime *runtime;
    struct tl_request request; /* workflow, documents, level and so on; inputs, flags and callbacks are set here */
    const char *const *inputs; /* a JSON object for each question */
    size_t input_count;        /* at least 1 */
};

/* All that `workflow` points to is borrowed until close. The target's prepare loads the engines, and its probe is
 * TL_ERR_UNSUPPORTED. Close it before the runtime. */
struct tl_bench_target *tl_bench_workflow_target_open(const struct tl_bench_workflow *workflow);

/* Of the latest drive, one for each of its requests; until the next drive or close. */
const struct tl_bench_outcome *tl_bench_workflow_outcomes(const struct tl_bench_target *target);

#endif

/* runtime.h: what the command line and the server may do beyond the public API (teola/teola.h):
 * look at the configuration, and at a plan without running it. */
#ifndef TL_RUNTIME_RUNTIME_H
#define TL_RUNTIME_RUNTIME_H

#include "base/diagnostics.h"
#include "base/str.h"
#include "choice/choice.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "runtime/config.h"
#include "teola/teola.h"
#include "workflow/workflow.h"

/* Borrowed; lives as long as the runtime. */
const struct tl_config *tl_runtime_config(const struct tl_runtime *runtime);

/* As tl_runtime_load_workflow, with all findings instead of one message. */
enum tl_status tl_runtime_add_workflow(struct tl_runtime *runtime, const char *path, tl_workflow_id *id,
                                       struct tl_diagnostics *findings);

/* The loaded workflow; NULL when there is none of that id. Lives as long as the runtime. */
const struct tl_workflow *tl_runtime_workflow(struct tl_runtime *runtime, tl_workflow_id id);

/* What happens to a workflow's graph before it runs, for people. */
struct tl_plan_steps {
    struct tl_plan *written; /* of the p-graph: how it would run as it was written; a reference */
    struct tl_plan *plan;    /* of the e-graph; a reference */
    struct tl_opt_report passes; /* what each pass did */
    struct tl_choice_report choice; /* at level cost: what was compared; its `passes` are empty */
};

/* Plans without running; opens no engine. `shape` as in tl_workflow_decompose. */
enum tl_status tl_runtime_plan(struct tl_runtime *runtime, tl_workflow_id id, const struct tl_query_shape *shape,
                               enum tl_optimize optimize, const char *const *passes, size_t pass_count,
                               struct tl_plan_steps *steps, struct tl_error *error);
void tl_plan_steps_fini(struct tl_plan_steps *steps);

/* Opens one engine of the configuration, as a run would; blocks while its model is loaded. */
enum tl_status tl_runtime_open_engine(struct tl_runtime *runtime, const char *name, struct tl_error *error);

struct tl_runtime_counters {
    uint64_t messages;      /* that the loop has handled */
    uint64_t wakes;         /* times that the loop woke up */
    uint64_t plans_cached;  /* plans taken from the cache */
    uint64_t plans_made;
    uint64_t prefixes_warmed; /* beginnings of prompts computed ahead */
};
void tl_runtime_get_counters(struct tl_runtime *runtime, struct tl_runtime_counters *counters);

#endif

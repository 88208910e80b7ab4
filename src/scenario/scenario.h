/* scenario.h: a load on a cluster, described in a file, and what became of it in simulation (docs/sim.md).
 *
 *     struct tl_scenario *scenario = tl_scenario_read(&options, &findings);
 *     scenario->loads[0].rate = 2;                                           (what the command line says otherwise)
 *     tl_scenario_run(scenario, &stop, &result, &error);
 *     tl_scenario_put_text(result, &out);
 *
 * Who arrives when, who leaves and what is asked follows from the file and the seed; what happens then is the
 * simulator's (sim/sim.h), so the same scenario gives the same result but for how long it took to compute. */
#ifndef TL_SCENARIO_SCENARIO_H
#define TL_SCENARIO_SCENARIO_H

#include <jansson.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diagnostics.h"
#include "base/str.h"
#include "runtime/config.h"
#include "sched/sched.h"
#include "scenario/arrivals.h"
#include "sim/sim.h"
#include "teola/status.h"
#include "teola/teola.h"

/* Queries of one kind. Times in ns. */
struct tl_scenario_load {
    const char *name;
    const char *workflow;      /* path of the file; NULL: a graph */
    const char *graph;         /* path */
    enum tl_optimize optimize; /* DEFAULT: the scenario's */
    const char **passes;       /* after the scenario's */
    size_t pass_count, pass_capacity;
    struct tl_arrivals arrivals;
    uint32_t question_tokens;
    uint32_t document_count, document_tokens; /* of inputs of type documents */
    uint32_t chunk_count, chunk_tokens;       /* of inputs of type chunk[] */
    bool same_documents;       /* each query brings the same documents and chunks */
    const char *collection;    /* that queries name; NULL: they bring documents, as far as the workflow takes any */
    uint64_t timeout, goal;    /* 0: none */
    double leave_share;        /* of the clients that leave */
    uint64_t leave_after;
    const char *tenant;
    double priority;
};

struct tl_scenario_fault {
    const char *engine;
    uint32_t instance;         /* of that engine, from 0; UINT32_MAX: each */
    struct tl_sim_fault what;  /* but for its `instance` */
};

struct tl_scenario {
    struct tl_arena arena;
    const char *file;
    struct tl_config *own, *named; /* what the file says itself; the one that it names, or NULL */
    const struct tl_config *config; /* of the two: the engines' */
    const char *policy;
    enum tl_optimize optimize;
    const char *const *passes; /* left out or put back, before each load's own */
    size_t pass_count;
    struct tl_sched_limits limits;
    uint32_t retries;
    double hang_after_ms;
    size_t memo_bytes;
    uint64_t seed;
    double jitter;
    uint64_t duration;         /* queries arrive before; 0: `runs` of them do */
    uint64_t runs;
    uint64_t warmup;           /* queries that arrive before are not counted */
    uint32_t shown_runs;       /* of the Gantt chart: so many runs, the first that are counted */
    uint64_t shown_from, shown_to; /* or all that happens between; 0, 0: `shown_runs` */
    struct tl_scenario_load *loads;
    size_t load_count, load_capacity;
    struct tl_scenario_fault *faults;
    size_t fault_count, fault_capacity;
};

struct tl_scenario_options {
    const char *path;
    const char *text; /* the scenario itself; NULL: from the file */
    /* Appends the path of a workflow known by name. NULL: workflows are given by path. */
    enum tl_status (*find_workflow)(const char *name, struct tl_str *path, struct tl_error *error);
};

/* Reads and checks everything at once; NULL with at least one error in findings, which the caller has initialised. */
struct tl_scenario *tl_scenario_read(const struct tl_scenario_options *options, struct tl_diagnostics *findings);
void tl_scenario_destroy(struct tl_scenario *scenario); /* NULL is allowed */

/* So many queries a second in all, in the loads' present proportions. TL_ERR_USAGE: arrivals come from traces alone. */
enum tl_status tl_scenario_set_rate(struct tl_scenario *scenario, double rate, struct tl_error *error);
/* Leaves a pass of the optimizer out of every load's plan ("-name"), or puts it back ("+name"). */
enum tl_status tl_scenario_add_pass(struct tl_scenario *scenario, const char *pass, struct tl_error *error);

struct tl_scenario_result;

/* Runs it. `stop` (may be NULL) is looked at now and then: TL_ERR_CANCELLED when it was set. TL_ERR_INVALID: a workflow
 * or graph that cannot be planned on this cluster, an engine that cannot be simulated. */
enum tl_status tl_scenario_run(const struct tl_scenario *scenario, const volatile sig_atomic_t *stop,
                               struct tl_scenario_result **result, struct tl_error *error);
void tl_scenario_result_destroy(struct tl_scenario_result *result); /* NULL is allowed */

/* Appends tables. */
void tl_scenario_put_text(const struct tl_scenario_result *result, struct tl_str *out);
/* All numbers, as docs/sim.md lists them; owned. What depends on the machine is under "speed". */
json_t *tl_scenario_to_json(const struct tl_scenario_result *result);
/* Appends a page that needs nothing else. */
void tl_scenario_put_html(const struct tl_scenario_result *result, struct tl_str *out);

#endif

/* sim.h: runs in virtual time: the shipped scheduler over emulated engines, without sleeping and without threads.
 *
 *     struct tl_sim *sim = tl_sim_create(&(struct tl_sim_config){.seed = 1});
 *     uint32_t gpu = tl_sim_add_device(sim, "gpu");
 *     tl_sim_add_engine(sim, "embedder", settings, gpu, &error);     (as often as there are instances)
 *     uint64_t run = tl_sim_submit(sim, &(struct tl_sim_request){.plan = plan, .inputs = inputs, .input_count = 2});
 *     tl_sim_run(sim);
 *     tl_sim_result(sim, run)->ended - tl_sim_result(sim, run)->submitted      its latency in ns
 *     tl_sim_destroy(sim);
 *
 * Nothing here decides anything: which work runs where and when is the scheduler's doing (sched/sched.h), how long
 * it takes and what comes out is the emulated engine's (engine/emulated). The simulator carries out the scheduler's
 * actions as an executor does: a quantum's outcomes come at its end; a cancel that comes during a quantum is carried
 * out after it; submit and step go to an instance one at a time; one that has hung is opened anew when its quantum ends.
 *
 * Time is in ns from 0. Events of the same time happen in the order in which they were caused. Everything random
 * follows from the seed, so the same calls give the same trace (tl_sim_trace_hash). One thread; a sim is independent
 * of any other. */
#ifndef TL_SIM_SIM_H
#define TL_SIM_SIM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sched/sched.h"

struct tl_sim;

struct tl_sim_result;
struct tl_sim_item;

/* Who is told of what happens, when it happens, instead of asking for all of it afterwards. Any may be NULL. None may
 * call back into the sim but to look. */
struct tl_sim_watch {
    void *context;
    /* Nothing changes between the two times. */
    void (*passed)(void *context, uint64_t from, uint64_t to);
    /* An instance begins a quantum, for which it was given so many items and holds so many. */
    void (*quantum)(void *context, uint32_t instance, uint64_t begin, uint64_t end, size_t given, size_t held);
    /* An item's outcome is there. `label` is borrowed, `pieces` and `prefix` are 0. */
    void (*item)(void *context, const struct tl_sim_item *item);
    /* A run has ended. It is forgotten after that: tl_sim_result knows it no more, and its outputs are not made. */
    void (*ended)(void *context, uint64_t run, const struct tl_sim_result *result);
};

struct tl_sim_config {
    uint64_t seed;                  /* of jitter and failures */
    const struct tl_policy *policy; /* NULL: the default */
    struct tl_cost *cost;           /* what engines' work takes; NULL: what their settings say. A reference is taken */
    double jitter;                  /* each quantum takes its time x (1 + jitter x r), r evenly in -1..1; below 1 */
    struct tl_sched_limits limits;  /* what is let in */
    uint32_t retries;               /* of failed items where that is safe */
    double hang_after_ms;           /* what is silent for much longer than usual, and for so long, is given up; 0: never */
    size_t memo_bytes;              /* of results kept for later runs of plans that share; 0: none are */
    double failure;                 /* probability that an item's outcome is a failure, 0..1 */
    struct tl_sim_watch watch;
    bool each;                      /* compute each iteration of a language model when it is due, instead of those of which
                                       nothing shows together: the same, but slower. For tests */
    bool record;                    /* keep each item's story (tl_sim_items); else counters and results only */
    uint32_t check;                 /* tl_sched_is_valid after every so many steps, 0: never; see tl_sim_violation */
};

struct tl_sim *tl_sim_create(const struct tl_sim_config *config);
void tl_sim_destroy(struct tl_sim *sim); /* cancels what still runs, at once */

/* ---- what there is to run on: before the first tl_sim_advance ---- */
uint32_t tl_sim_add_device(struct tl_sim *sim, const char *name);
/* One more instance of the engine called `name`, of type emulated with these settings (see
 * engine/emulated/emulated.h; NULL: the defaults). `device` is ignored when the settings say executor: pool. */
enum tl_status tl_sim_add_engine(struct tl_sim *sim, const char *name, const json_t *settings, uint32_t device,
                                 struct tl_error *error);

/* ---- faults ---- */
enum tl_sim_fault_kind {
    TL_SIM_SLOW, /* its quanta take `factor` times as long */
    TL_SIM_HANG, /* a quantum that begins then ends when the fault does */
    TL_SIM_STALL, /* a quantum that begins then takes `stall` longer, by `probability` */
    TL_SIM_FAIL, /* an item that would be done then fails, by `probability` */
    TL_SIM_LOST, /* what it holds is gone; it takes nothing until it is back */
};
struct tl_sim_fault {
    enum tl_sim_fault_kind kind;
    uint32_t instance; /* in the order of tl_sim_add_engine */
    uint64_t at, until;  /* UINT64_MAX: for good; not of HANG */
    double factor, probability;
    uint64_t stall;      /* ns */
};
void tl_sim_break(struct tl_sim *sim, const struct tl_sim_fault *fault); /* not in the past */

/* ---- load ---- */
struct tl_sim_request {
    uint64_t at;              /* when it arrives; not in the past */
    struct tl_plan *plan;     /* a reference is taken */
    struct tl_value **inputs; /* one per parameter of the plan; the references are taken, the array is not */
    size_t input_count;
    uint64_t timeout;         /* ns after its arrival; 0: none */
    uint64_t leave;           /* ns after its arrival at which the client cancels; 0: never */
    double priority;
    const char *tenant;       /* copied; NULL: "" */
};

/* Returns the run's number, from 1 in order of the calls. */
uint64_t tl_sim_submit(struct tl_sim *sim, const struct tl_sim_request *request);

/* ---- time ---- */
/* Goes to the next event and handles it. False when nothing is left to happen. */
bool tl_sim_advance(struct tl_sim *sim);
void tl_sim_run(struct tl_sim *sim);                 /* until nothing is left */
void tl_sim_run_until(struct tl_sim *sim, uint64_t at); /* handles what happens up to and at `at` */
uint64_t tl_sim_now(const struct tl_sim *sim);

/* ---- what happened ---- */
struct tl_sim_result {
    unsigned endings;       /* 1 when it has ended; anything but 0 or 1 is a scheduler's bug */
    enum tl_status status;
    char *message;          /* "" when OK; NULL before the end */
    uint64_t retry_after_ms; /* TL_ERR_BUSY: it was refused */
    json_t *outputs;        /* {"name": value}; NULL unless OK */
    uint64_t submitted;
    uint64_t first_text;    /* when the first text for the user was there; 0: none was streamed */
    uint64_t ended;
    uint32_t items;         /* given to engines */
};
/* NULL: forgotten. Valid until the next submit. */
const struct tl_sim_result *tl_sim_result(const struct tl_sim *sim, uint64_t run);

/* One item's story: when it could start, when an engine got it, when its outcome was there. */
struct tl_sim_item {
    uint64_t run;
    char *label;         /* "answer/refine[1]/decode" */
    enum tl_primitive op;
    uint32_t instance;   /* in the order of tl_sim_add_engine */
    uint64_t ready, start, end;
    enum tl_status status;
    struct tl_usage usage;
    uint32_t pieces;     /* list items that were passed on before the end */
    uint32_t prefix;     /* tokens of the prefix that it was given, if this instance holds it: a good one is reused whole
                            (usage.tokens_reused) */
};
/* In order of start; NULL and 0 unless config.record. Valid until the next advance. */
const struct tl_sim_item *tl_sim_items(const struct tl_sim *sim, size_t *count);

struct tl_sim_instance {
    const char *engine;
    uint32_t device;      /* TL_SCHED_NO_DEVICE: none */
    uint64_t busy;        /* ns of its quanta */
    uint64_t quanta, items;
};
const struct tl_sim_instance *tl_sim_instances(struct tl_sim *sim, size_t *count);

/* Items that wait for the engine of that instance. */
size_t tl_sim_queued(const struct tl_sim *sim, uint32_t instance);
/* What the engines' work takes by their own latency models: for plans. Borrowed. */
struct tl_cost *tl_sim_cost(const struct tl_sim *sim);

void tl_sim_get_counters(const struct tl_sim *sim, struct tl_sched_counters *counters);
uint64_t tl_sim_trace_hash(const struct tl_sim *sim); /* of all events and actions so far */
/* Prefixes and temporary collections that are alive: 0 when no run is left, else something leaks. */
uint64_t tl_sim_resources(const struct tl_sim *sim);
/* The first violated invariant of the scheduler and what was left over; "" when all is well. Also looks at the end:
 * when nothing is left to happen, each run must have ended once and nothing may be queued or held. */
const char *tl_sim_violation(struct tl_sim *sim);

#endif

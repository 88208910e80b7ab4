/* choice.h: `--optimize=cost`: of several forms of a query's graph the one that is predicted to be done first.
 *
 * Forms are what the optimizer's passes make of the graph, with some of them left out, with lists cut into longer or
 * shorter slices, with single prompts prefilled whole (candidates.c). Each form becomes a plan, and the plan is run:
 * by the shipped scheduler, in virtual time, on emulated engines that stand on the configured devices and take what the
 * cost model says (trial.c). So devices that take turns, batches, prefixes that are reused and waiting are in the
 * prediction because they happen in it.
 *
 * The rule: the least predicted latency. Forms within TL_CHOICE_TIE of it are equally good for a query alone; of these
 * the one whose work keeps engines busy for the least time is kept, which leaves most to others; among equals (within
 * TL_CHOICE_TIE of that too) the one with the most rules, since what changes nothing for a query alone may help among
 * others; then the one that was tried first.
 *
 * What follows from a run only (how long answers are, what is found) is assumed as for ranks (plan.h). Equal arguments
 * give equal choices. Threads may choose at the same time. */
#ifndef TL_CHOICE_CHOICE_H
#define TL_CHOICE_CHOICE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "cost/cost.h"
#include "opt/opt.h"
#include "plan/plan.h"
#include "sched/policy.h"

#define TL_CHOICE_TIE 0.001

/* An engine of the configuration. All is borrowed. */
struct tl_choice_engine {
    const char *name;
    bool emulated;              /* of type emulated: `settings` are its own; else of a real engine */
    const json_t *settings;     /* NULL: none */
    const char *const *devices; /* instance i is on devices[i % device_count] */
    uint32_t device_count, instances; /* at least 1 each */
};

/* What plans run on. */
struct tl_choice_machine {
    const struct tl_choice_engine *engines;
    size_t count;
    struct tl_cost *cost;           /* predictions; the simulations take references */
    const struct tl_policy *policy; /* NULL: the default */
};

/* What the query brings, and how many are under way. Zeros: what is assumed of a query about which nothing is known,
 * alone. */
struct tl_choice_load {
    uint32_t text_tokens;     /* of each text input */
    uint32_t documents;       /* number */
    uint32_t document_tokens; /* of all of them */
    uint32_t runs;            /* queries like it at the same time, itself included: when the last is done decides */
};

/* Rounds to powers of two, within bounds, so that similar loads are equal: what plans are cached by, and chosen for. */
struct tl_choice_load tl_choice_class(const struct tl_choice_load *load);
uint64_t tl_choice_class_hash(const struct tl_choice_load *load);

/* A form that was looked at. */
struct tl_choice_candidate {
    char *name;        /* "paper", "paper without stages, whole expand/prefill" */
    double ms;         /* predicted latency; of several queries until the last is done */
    double busy_ms;    /* of all engines together */
    uint32_t nodes;    /* of the plan, in all bodies */
    size_t same_as;    /* the position of an earlier one of the same plan, which was simulated; its own otherwise */
    char *failure;     /* it could not be planned or simulated: why; NULL */
};

struct tl_choice_report {
    struct tl_choice_candidate *candidates; /* in the order in which they were tried; none: nothing was chosen */
    size_t count, capacity;
    size_t chosen;
    struct tl_choice_load load; /* that was simulated */
    struct tl_opt_report passes; /* of the chosen form */
};

void tl_choice_report_init(struct tl_choice_report *report);
void tl_choice_report_fini(struct tl_choice_report *report);
/* A table, what was chosen and why; without anything when nothing was chosen. */
void tl_choice_report_print(const struct tl_choice_report *report, struct tl_str *out);
/* {"load", "chosen", "candidates": [{"name", "ms", "busy_ms", "nodes", "same_as", "failure"}]}; owned. */
json_t *tl_choice_report_to_json(const struct tl_choice_report *report);

/* The plan of the form of `graph` that is predicted to be best for `load`, as it is given. `options->passes` bounds the
 * forms: a pass that it leaves out is in none. `options->level` and `batch` are not looked at: slices are the cost
 * model's. Where no form can be simulated it is that of `paper`. `report` (may be NULL) has been initialised. Fails as
 * tl_opt_run and tl_plan_freeze do. */
enum tl_status tl_choice_make(const struct tl_graph *graph, const struct tl_opt_options *options,
                              const struct tl_choice_machine *machine, const struct tl_choice_load *load,
                              struct tl_plan **plan, struct tl_choice_report *report, struct tl_error *error);

/* How long lists are cut by what the cost model (`cost`, a struct tl_cost) knows of the engine: for
 * tl_opt_options.batch. */
uint32_t tl_choice_slice(void *cost, const char *engine);

#endif

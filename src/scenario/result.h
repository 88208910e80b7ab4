/* result.h: what became of a scenario; for this folder only. Times in ns. What is counted is counted from `from` to `to`:
 * runs that arrive then, work that is done then. */
#ifndef TL_SCENARIO_RESULT_H
#define TL_SCENARIO_RESULT_H

#include "scenario/scenario.h"
#include "scenario/series.h"

enum ending { DONE, FAILED, CANCELLED, EXPIRED, REFUSED, ENDINGS };
extern const char *const tl_ending_names[ENDINGS];

struct numbers {
    double *items;
    size_t count, capacity;
};

/* Runs of one load, or of all. */
struct load_result {
    const char *name;
    uint64_t goal;                /* 0: none */
    uint64_t arrived;
    uint64_t endings[ENDINGS];
    uint64_t within_goal;         /* of those with a goal */
    struct numbers arrivals, latencies; /* s; of those that are done, in the order of their ends */
    struct numbers first;         /* s until the first text, of those that stream any */
    char *failure;                /* message of the first that failed; NULL: none */
};

struct engine_result {
    const char *name;
    uint32_t first, instances;    /* in the order of the sim's */
    bool used;                    /* some plan has work for it */
    double queued;                /* items x ns */
    size_t queued_most;
    double waited;                /* ns of all items */
    uint64_t items, failed, quanta, batches, held; /* held: summed over quanta */
    uint64_t tokens_in, tokens_reused, tokens_computed, tokens_out;
};

struct instance_result {
    uint32_t engine, number, device;
    double busy; /* ns */
    uint64_t quanta, items;
};

struct device_result {
    const char *name;
    double busy;
    bool used;
};

/* A primitive of the Gantt chart. */
struct shown {
    char *label;
    uint64_t run, ready, start, end;
    uint32_t load, instance;
    bool failed;
};

struct tl_scenario_result {
    const struct tl_scenario *scenario; /* must live as long */
    uint64_t from, to, end;       /* of what is counted; when the last run ended */
    struct load_result *loads, all;
    size_t load_count;
    struct engine_result *engines;
    size_t engine_count, engine_capacity;
    struct instance_result *instances;
    size_t instance_count, instance_capacity;
    struct device_result *devices;
    size_t device_count, device_capacity;
    double in_flight;             /* runs x ns */
    uint64_t in_flight_most;
    struct series device_busy, queues, flights; /* from 0 to `end`: by device, by engine, one row */
    struct shown *shown;
    size_t shown_count, shown_capacity;
    uint64_t shown_more;          /* primitives that were too many */
    struct tl_sched_counters counters;
    uint64_t trace;
    uint64_t cpu_ns, memory;      /* processor time that it took; peak memory of the process in bytes */
};

/* The p-quantile of numbers in ascending order. */
double tl_numbers_quantile(const struct numbers *sorted, double p);
/* A sorted copy; the caller frees its items. */
struct numbers tl_numbers_sorted(const struct numbers *numbers);
double tl_numbers_mean(const struct numbers *numbers);
void tl_numbers_add(struct numbers *numbers, double number);

/* s of what is counted. */
double tl_result_seconds(const struct tl_scenario_result *result);
double tl_result_primitives(const struct tl_scenario_result *result); /* executed in all */

#endif

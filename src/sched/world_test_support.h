/* world_test_support.h: a world for the scheduler in virtual time, for tests: engines that answer after
 * seeded random delays, in any order, with outputs that depend on their inputs alone; that may fail, send
 * list items early and need several quanta. After each step the scheduler's invariants are checked. */
#ifndef TL_SCHED_WORLD_TEST_SUPPORT_H
#define TL_SCHED_WORLD_TEST_SUPPORT_H

#include "sched/sched.h"

struct world;

struct world_options {
    uint64_t seed;
    unsigned devices;          /* for the DEVICE instances */
    unsigned instances;        /* of each engine */
    uint32_t batch_units;
    double failure;            /* probability that an item fails */
    double hang;               /* probability that an instance stands still for long with an item */
    double mute;               /* probability that an item is kept and no further quantum asked for; needs hang_after_ms */
    double hang_after_ms;      /* of the scheduler's configuration: one that stands still is opened anew, once it answers */
    unsigned losses;           /* so many times an instance, chosen by seed, is lost at some time and comes back */
    bool slow;                 /* every second instance is ten times slower */
    bool keep;                 /* prefixes and collections live in the instance that made them */
    uint32_t retries;
    const struct tl_cost *cost; /* borrowed */
    struct tl_sched_limits limits;
    size_t memo_bytes;         /* 0: nothing is remembered */
    const struct tl_policy *policy;
    /* Engine names; the executor kind is chosen by seed. */
    const char *const *engines;
    size_t engine_count;
    bool check;                /* tl_sched_is_valid after each step */
};

struct world_outcome {
    bool finished;
    enum tl_status status;
    char *message;
    char *outputs;             /* JSON text of the results; NULL unless OK */
    uint64_t at;               /* virtual ns */
    uint64_t retry_after_ms;
};

struct world *world_create(const struct world_options *options);
void world_destroy(struct world *world); /* fails the test when something is left over */

/* Submits a run with given inputs (references taken) at the present virtual time. Returns its id (from 1). */
uint64_t world_submit(struct world *world, struct tl_plan *plan, struct tl_value **inputs, size_t count,
                      uint64_t deadline);
/* On whose behalf runs are submitted from now on; borrowed. */
void world_set_tenant(struct world *world, const char *tenant);
void world_set_priority(struct world *world, double priority); /* of runs that are submitted from now on */
/* The instance is lost now; world_find: it is back. */
void world_lose(struct world *world, uint32_t instance);
void world_find(struct world *world, uint32_t instance);
void world_cancel(struct world *world, uint64_t run);
/* Lets the next thing happen; false when nothing is left to happen. */
bool world_advance(struct world *world);
void world_run(struct world *world); /* until nothing is left */
uint64_t world_now(const struct world *world);
const struct world_outcome *world_result(const struct world *world, uint64_t run);
const struct tl_sched *world_sched(const struct world *world);
/* Hash over all actions and events so far: the same seed must give the same. */
uint64_t world_trace(const struct world *world);
/* The labels of items in the order in which engines got them, separated by spaces. */
const char *world_order(const struct world *world);

/* How many units (list items of the first input, or 1) engines have got. */
uint64_t world_units(const struct world *world);

/* The labels of those among them whose text goes to the user. */
const char *world_streams(const struct world *world);

/* A deterministic value of the type for a root parameter. */
struct tl_value *world_value(struct tl_type type, uint64_t seed);

#endif

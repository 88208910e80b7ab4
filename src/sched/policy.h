/* policy.h: what a scheduling policy decides; a policy is one file and one const struct.
 *
 * The engine tier keeps, for each engine, a queue of ready items sorted by `before`. When an instance
 * can take work, `take` says how many of the items offered to it (in queue order) form its next batch.
 * The device tier asks `turn` which of the instances that want a free device gets the next quantum.
 * Policies look; they change nothing and keep no state of their own.
 */
#ifndef TL_SCHED_POLICY_H
#define TL_SCHED_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine_impl.h"

/* A ready item as a policy sees it. */
struct tl_ready {
    const struct tl_item *item;
    uint64_t run;
    uint64_t run_arrival;  /* ns */
    uint64_t ready;        /* ns */
    uint64_t sequence;     /* order of becoming ready, unique */
    uint64_t deadline;     /* of the run; 0: none */
    double rank;           /* upward rank + priority */
    uint32_t units;        /* size: texts, rows, pairs; at least 1 */
};

/* An instance that wants its device. */
struct tl_turn {
    uint32_t instance;
    uint64_t last_served;  /* sequence number of its last quantum; 0: never */
    double rank;           /* highest rank among what it holds or would take */
    uint64_t oldest;       /* smallest `sequence` among those */
    bool holds;            /* it has unfinished items of earlier batches */
};

struct tl_policy {
    const char *name;
    const char *description;
    /* Strict order of the queue; must be total (use `sequence` last). */
    bool (*before)(const struct tl_ready *a, const struct tl_ready *b);
    /* How many of offered[0..count) to take now; `free_units` is what the instance has left (0: no bound).
     * Taking none although it could is only allowed when something of the instance is still running. */
    size_t (*take)(const struct tl_ready *const *offered, size_t count, uint32_t free_units);
    /* Index into turns[0..count), count >= 1. */
    size_t (*turn)(const struct tl_turn *turns, size_t count);
};

extern const struct tl_policy tl_policy_fifo;

/* By name; NULL when there is none. */
const struct tl_policy *tl_policy_find(const char *name);

#endif

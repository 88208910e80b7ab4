/* policy.h: what a scheduling policy decides; a policy is one file and one const struct.
 *
 * The engine tier keeps ready items in queues. `order` gives each item its place when it becomes ready, once:
 * smaller keys first, then smaller ties, then the order of becoming ready. When an instance can take work, `take`
 * chooses which of the items offered to it (in that order) go to it now. The device tier asks `turn` which of the
 * instances that want a free device gets the next quantum.
 *
 * Policies look; they change nothing and keep no state of their own. What they need to know of the past (service that
 * tenants had, since when an instance waits) the scheduler keeps and shows them. Each choice has a reason, which
 * traces show.
 */
#ifndef TL_SCHED_POLICY_H
#define TL_SCHED_POLICY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine_impl.h"

/* Why an item was given to an engine when it was. */
enum tl_reason {
    TL_REASON_NONE,
    TL_REASON_FIRST,     /* first in order */
    TL_REASON_FITS,      /* the next in order, and there was room */
    TL_REASON_SIBLING,   /* of the same step of the same run as the first */
    TL_REASON_FULL,      /* the batch was worth waiting for and is full */
    TL_REASON_WAITED,    /* the wait for a fuller batch was over */
    TL_REASON_SAVES,     /* joining saves more than it delays those before it */
    TL_REASON_COUNT
};
const char *tl_reason_text(enum tl_reason reason); /* "first in order"; "" for NONE */

/* A ready item as a policy sees it. Times in ns where they are integers, in ms where they are not. */
struct tl_ready {
    const struct tl_item *item;
    const char *step;      /* workflow step; one pointer per step of a plan */
    uint64_t run;
    uint64_t run_arrival;
    uint64_t ready;
    uint64_t sequence;     /* order of becoming ready, unique */
    uint64_t deadline;     /* of the run; 0: none */
    double priority;       /* of the run */
    double rank;           /* upward rank: predicted from its start to the run's end */
    double claim;          /* predicted work of the whole run on its engine, and on those that share its devices */
    uint32_t depth;        /* nodes on the longest way from it to the end, itself included; 0 unless `depths` */
    uint32_t units;        /* size: texts, rows, pairs; at least 1 */
    uint32_t tenant;       /* number */
    bool continues;        /* it takes over a place: offered before all that do not, whatever the policy */
    float base, share;     /* predicted: a call for it alone takes base + share, joining one that is made anyway share */
    double key, tie;       /* set by the policy's `order` */
};

/* What an instance that can take work is offered. */
struct tl_offer {
    const struct tl_ready *const *items; /* in order */
    size_t count;
    size_t behind;                /* items in the queue behind those */
    uint64_t now;
    uint32_t free_units;          /* what the instance has left; UINT32_MAX: no bound; at least 1 */
    uint32_t efficient_units;     /* the largest efficient batch; 0: not known */
    bool continuous;              /* it takes new items in between the iterations of those that it holds (LLM) */
    size_t held;                  /* items that it holds */
    const struct tl_ready *first_held; /* the first in order of those whose call is not a decode; NULL: none */
    size_t calls_held;            /* items like that */
};

/* The policy's answer; prepared as "none, without a wait". */
struct tl_choice {
    enum tl_reason *reasons; /* per offered item; anything but NONE: it is taken */
    uint64_t wait_until;     /* when nothing is taken: ask again then at the latest; 0: at the next event */
};

/* An instance that wants its device. */
struct tl_turn {
    uint32_t instance;
    uint64_t now;
    uint64_t last_served;  /* sequence number of its last quantum; 0: never */
    uint64_t waits_since;  /* since when it could have used the device */
    double key, tie;       /* of the first in order among what it holds or would take */
    uint64_t oldest;       /* `sequence` of that one */
    double quantum;        /* ms, what its quanta took lately; 0: not known */
    bool holds;            /* it has unfinished items of earlier batches */
};

struct tl_policy {
    const char *name;
    const char *description;
    /* Tenants with less service go first; `order` rules among the items of one tenant. */
    bool fair;
    /* How many items behind those that fill the instance are offered too, so that small ones can go into gaps. */
    uint32_t look_behind;
    /* Long batches are cut into slices while other runs are there. */
    bool slices;
    bool depths; /* `order` looks at depths */
    void (*order)(struct tl_ready *ready);
    /* Taking none although the instance holds nothing needs a wait_until, else the first is taken. */
    void (*take)(const struct tl_offer *offer, struct tl_choice *choice);
    /* Index into turns[0..count), count >= 1. */
    size_t (*turn)(const struct tl_turn *turns, size_t count);
};

extern const struct tl_policy tl_policy_critical_path, tl_policy_fifo, tl_policy_topology, tl_policy_throughput,
    tl_policy_per_invocation;

/* By name; NULL when there is none. */
const struct tl_policy *tl_policy_find(const char *name);
/* All of them, the default first; NULL at the end of the list. */
const struct tl_policy *tl_policy_at(size_t index);

/* ---- for policies ---- */
/* Takes what fits, in order; stops at the first that does not. */
void tl_policy_take_in_order(const struct tl_offer *offer, struct tl_choice *choice);
/* The instance that was served longest ago. */
size_t tl_policy_turn_in_turn(const struct tl_turn *turns, size_t count);
/* True when a comes before b. */
bool tl_ready_before(const struct tl_ready *a, const struct tl_ready *b);

#endif

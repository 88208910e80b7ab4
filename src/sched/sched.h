/* sched.h: the scheduler: a pure state machine over plans, runs, engines and devices.
 *
 *     tl_sched_step(sched, event, actions)
 *
 * takes one event and appends the actions that follow from it. It does no I/O, reads no clock
 * (every event carries the time), starts no thread and calls nobody but the builtin function of
 * its configuration. The same code runs under the real loop, in tests and in simulation.
 *
 * Three tiers:
 *   graph tier   (instance.c)  body instances, slots, in-degree counting: which nodes are ready; what has been
 *                              computed before comes from the memo (memo.h) instead of an engine
 *   engine tier  (engine.c)    queues of ready items per engine name; the policy forms the next batch of an instance
 *                              (batch.c), of items that no other instance would be done with earlier (predict.c)
 *   device tier  (engine.c)    one quantum at a time on a device; the policy chooses whose turn it is
 *
 * Words. A *run* is one query on one plan. A *body instance* is one instantiation of a body of the plan
 * with a slot for each value. An *item* is one node of one body instance that an engine executes.
 *
 * Life of a run: refused at once when a limit is reached (RUN_FINISHED with TL_ERR_BUSY, before any work), or
 * running → done | failed | cancelled | expired. When it ends early its waiting items are dropped, those that engines
 * hold are cancelled, RUN_FINISHED is emitted at once, and its memory goes when the last item has come back. Nothing of
 * it starts after its end.
 *
 * Life of an instance that hangs: it has not answered for far longer than it should have taken (watch.c), INSTANCE_HUNG is
 * emitted, and it is lost: what it held is tried again elsewhere or fails, nobody waits for it. When its call returns after
 * all, its outcomes and its STEP_DONE come as events like any others and change nothing; then it is opened anew and is back.
 * A device whose call does not return is out of use with all its instances until it does.
 *
 * Invariants (tl_sched_is_valid checks them; tests call it after each step):
 *   1. an item is handed to an engine only when all its inputs are there and all nodes it waits for are complete
 *   2. each item has exactly one committed outcome; each submitted run exactly one RUN_FINISHED
 *   3. nothing of a run is handed to an engine after its end or its deadline
 *   4. a device, and an instance with a step function, has at most one quantum in flight
 *   5. no instance is idle while its queue holds an item that it could take, unless its device is busy, or it waits
 *      for a fuller batch or for a better instance to be free, until a stated time
 *   6. a slot's value is freed when its last use is over; when all runs are gone no value is held but by the memo
 *   7. what was lent to an instance that has hung, the item, its inputs and its run's memory, stays until the item's outcome
 *      has come, however late, although the node has gone on and the run has ended; nobody else waits for that
 *   8. what a node awaits from another's computing is being computed by a node of a live run (memo.h)
 *
 * Ownership. Values in events are taken. Items belong to the scheduler and are borrowed by engines until their outcome
 * event, or until INSTANCE_LOST (the caller then makes sure that nobody reads them any more). Actions are valid until
 * the next step; a RUN_FINISHED action's outputs are the caller's to unref (their references are given).
 */
#ifndef TL_SCHED_SCHED_H
#define TL_SCHED_SCHED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/value.h"
#include "cost/cost.h"
#include "engine/engine_impl.h"
#include "plan/plan.h"
#include "sched/memo.h"
#include "teola/status.h"

struct tl_sched;
struct tl_policy;

/* How much may be under way at once; 0: no bound. What a run adds to the work is what its plan predicts for it alone. */
struct tl_sched_limits {
    size_t runs, tenant_runs;
    double work_ms, tenant_work_ms;
};

struct tl_sched_config {
    const struct tl_policy *policy; /* NULL: the default, critical_path */
    /* Executes a builtin primitive (render, aggregate, ...) inside the step: pure, microseconds. Writes one
     * reference per output port. */
    enum tl_status (*builtin)(const struct tl_item *item, struct tl_value **outputs, size_t count,
                              struct tl_error *error);
    const struct tl_cost *cost; /* predicts how long work takes; borrowed until destroy; NULL: the defaults */
    struct tl_sched_limits limits;
    double hang_after_ms;       /* an instance that is silent for much longer than usual, and for so long, has hung
                                   (watch.c has the formula); 0: never */
    uint32_t retries;           /* how often a failed item is tried again where that is safe (fault.c) */
    uint32_t most_instances; /* body instances of one run, a bound against runaway workflows; 0: 100,000 */
    size_t memo_bytes;       /* of results kept for later runs of plans that share (memo.h); 0: none are */
};

struct tl_sched *tl_sched_create(const struct tl_sched_config *config);
/* All runs must have ended and all items come back, else it is a bug. */
void tl_sched_destroy(struct tl_sched *sched);

/* ---- what there is to run on: before the first run ---- */
uint32_t tl_sched_add_device(struct tl_sched *sched, const char *name);
#define TL_SCHED_NO_DEVICE UINT32_MAX
/* An instance of the engine called `engine`. `owner` is the pointer that its resources carry (the
 * struct tl_engine), so that items go where their handles live. device: of TL_EXECUTOR_DEVICE engines. */
uint32_t tl_sched_add_instance(struct tl_sched *sched, const char *engine,
                               const struct tl_engine_description *description, uint32_t device, const void *owner);
/* What the instance does takes another time than on its engine's first: the cost model knows it under a name of its
 * own. */
void tl_sched_set_times(struct tl_sched *sched, uint32_t instance, const char *name);
/* What was lost comes back as another object: before INSTANCE_BACK. */
void tl_sched_set_owner(struct tl_sched *sched, uint32_t instance, const void *owner);

/* ---- events ---- */
enum tl_event_kind {
    TL_EVENT_RUN_SUBMITTED,
    TL_EVENT_ITEM_DONE,
    TL_EVENT_ITEM_FAILED,
    TL_EVENT_ITEM_PIECE,
    TL_EVENT_STEP_DONE,  /* the quantum that a RUN action asked for is over; after the outcomes it produced */
    TL_EVENT_CANCEL,     /* unknown runs are ignored */
    TL_EVENT_INSTANCE_LOST, /* what it held is taken back: no events of those items may come any more */
    TL_EVENT_INSTANCE_BACK, /* it takes work again; nothing of what it had is there. Of one that has hung: all that it held
                               has come back before, else this is ignored */
    TL_EVENT_TIME,       /* deadlines are looked at (also at every other event) */
};

struct tl_event {
    enum tl_event_kind kind;
    uint64_t now; /* ns; never less than in the event before */
    bool follows; /* another event comes right after it: what both make ready is handed to engines together, after the
                     last one, so that outcomes of one batch are not torn apart. False is always right */
    union {
        struct {
            uint64_t run;                  /* chosen by the caller, never reused */
            struct tl_plan *plan;          /* a reference is taken */
            struct tl_value **inputs;      /* one per parameter of the root body; references are taken */
            size_t input_count;
            uint64_t deadline;             /* ns; 0: none */
            double priority;               /* added to ranks; 0 usual */
            const char *tenant;            /* on whose behalf: no two share what is remembered; copied; NULL: "" */
        } submitted;
        struct {
            struct tl_item *item;
            struct tl_value **outputs;     /* references are taken */
            size_t count;
            struct tl_usage usage;
        } done;
        struct {
            struct tl_item *item;
            enum tl_status status;
            const char *message;           /* borrowed for the call */
            bool shown;                    /* text of it has gone to the user: it is not tried again */
        } failed;
        struct {
            struct tl_item *item;
            size_t position;
            struct tl_value *value;        /* reference is taken */
        } piece;
        struct {
            uint32_t instance;             /* also of INSTANCE_LOST and INSTANCE_BACK */
            bool more;                     /* the engine holds items that need another quantum */
        } step;
        struct {
            uint64_t run;
        } cancel;
    } as;
};

/* ---- actions ---- */
enum tl_action_kind {
    TL_ACTION_RUN,          /* hand `items` (may be none) to the instance, then one quantum (step); answer STEP_DONE.
                               LOOP instances have no quantum and are not answered */
    TL_ACTION_CANCEL_ITEM,  /* tell the instance; the item's outcome still comes as an event */
    TL_ACTION_INSTANCE_HUNG, /* open it anew, which its executor can do when its call has returned, then INSTANCE_BACK.
                                Outcomes of all that it held, and STEP_DONE if a quantum is in flight, still come */
    TL_ACTION_RUN_FINISHED,
    TL_ACTION_RECALLED,     /* a primitive got results without an engine computing them for it: for reports */
    TL_ACTION_WAKE,         /* send TL_EVENT_TIME at `at`; replaces the former wake */
};

struct tl_action {
    enum tl_action_kind kind;
    union {
        struct {
            uint32_t instance;
            struct tl_item **items; /* memory of the scheduler, valid until the next step */
            size_t count;
        } run;
        struct {
            uint32_t instance;
            struct tl_item *item;
        } cancel;
        struct {
            uint32_t instance;
            uint64_t silent; /* ns */
        } hung;
        struct {
            uint64_t run;
            enum tl_status status;        /* TL_OK, or why it ended: ENGINE..., CANCELLED, DEADLINE, BUSY */
            const char *message; /* sentence naming primitive, sizes of its inputs and the cause; "" when OK */
            struct tl_value **outputs; /* one per root result; the caller's references; NULL unless OK */
            size_t output_count;
            uint64_t retry_after_ms; /* TL_ERR_BUSY: the run was refused before any work; when to try again */
        } finished;
        struct {
            uint64_t run;
            const char *label;
            enum tl_primitive op;
            uint64_t ready;         /* ns: when its last input was there */
            uint32_t known, shared; /* elements remembered; elements that other nodes computed meanwhile */
            double ms_saved;        /* predicted */
        } recalled;
        struct {
            uint64_t at; /* ns; 0: no wake needed */
        } wake;
    } as;
};

struct tl_actions {
    struct tl_action *items;
    size_t count, capacity;
};

void tl_actions_init(struct tl_actions *actions);
void tl_actions_fini(struct tl_actions *actions);

/* Handles one event. Clears `actions` first, then appends. */
void tl_sched_step(struct tl_sched *sched, const struct tl_event *event, struct tl_actions *actions);

/* ---- looking ---- */
uint64_t tl_sched_item_run(const struct tl_item *item); /* run id; constant while the item lives: any thread */
uint64_t tl_sched_item_ready(const struct tl_item *item); /* ns: when its last input was there */
uint64_t tl_sched_item_started(const struct tl_item *item); /* ns: when that instance got it */
uint32_t tl_sched_item_instance(const struct tl_item *item); /* that holds it */
const char *tl_sched_item_reason(const struct tl_item *item); /* why it was taken when it was: "first in order" */
bool tl_sched_item_is_wanted(const struct tl_item *item); /* false: given up with its instance; whatever comes is dropped */
const char *tl_sched_item_step_id(const struct tl_item *item); /* workflow step; "" for none */

/* Items that wait for the instance's engine: for any of its instances, this one included. */
size_t tl_sched_queued(const struct tl_sched *sched, uint32_t instance);

struct tl_sched_counters {
    uint64_t runs_submitted, runs_refused, runs_done, runs_failed, runs_cancelled, runs_expired;
    uint64_t items_started, items_done, items_failed, items_retried, builtins;
    uint64_t batches; /* RUN actions with items */
    uint64_t quanta; /* RUN actions in all */
    uint64_t instances_hung; /* so often one was given up */
    size_t runs_live; /* not yet freed, those that wait for their last items included */
    size_t items_queued, items_held;
    struct tl_memo_counters memo;
};
void tl_sched_get_counters(const struct tl_sched *sched, struct tl_sched_counters *counters);

/* Checks the invariants; appends what is wrong to `why` (may be NULL). For tests: linear in the whole state. */
bool tl_sched_is_valid(const struct tl_sched *sched, struct tl_str *why);

#endif

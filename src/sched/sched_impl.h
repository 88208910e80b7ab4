/* sched_impl.h: the scheduler's state. For this folder only.
 *
 * Call tree of one step:
 *
 *   tl_sched_step (sched.c)
 *     event → run.c (submit, end) or instance.c (an item's outcome)
 *     tl_watch_look (watch.c)          gives up instances that do not answer
 *     tl_sched_drain (instance.c)      until no task is left:
 *       node ready → builtin | region opened (region.c) | item queued (engine.c)
 *       body instance complete → its region takes the results (region.c)
 *     expire runs (run.c)
 *     tl_sched_dispatch (engine.c)     forms batches for what is free
 *     reap runs (run.c)
 *
 * Nothing recurses with the number of items: what becomes ready is put on the task list.
 *
 * Counting. A node waits for `missing` things: inputs whose slot has no value yet, and nodes it must
 * come after. A slot that is not there yet keeps a list of who waits for it. A body instance is complete
 * when all its nodes are and all its results are there; `missing` counts both.
 *
 * Values. A slot holds one reference from the moment its value is there until `uses` reaches 0. What a
 * node uses of its own body is given back when the node is complete; what the bodies of a region use of
 * outer slots is held by the region node (captures) until it is complete.
 */
#ifndef TL_SCHED_SCHED_IMPL_H
#define TL_SCHED_SCHED_IMPL_H

#include "base/arena.h"
#include "base/map.h"
#include "base/str.h"
#include "cost/cost.h"
#include "sched/memo.h"
#include "sched/policy.h"
#include "sched/sched.h"

struct run;
struct body_instance;
struct node_state;

/* Someone who waits for a slot. */
struct waiter {
    struct waiter *next;
    struct node_state *node;        /* an input of it; or */
    struct body_instance *instance; /* a result of it */
};

/* A region that opened without this input: a map takes list items as they come, a fold its `initial`. */
struct subscriber {
    struct subscriber *next;
    struct node_state *region;
};

struct slot {
    struct tl_value *value;         /* one reference; NULL before it is there and after the last use */
    struct tl_value **pieces;       /* items that came before the whole list; references; NULL where not there */
    size_t piece_count, piece_capacity;
    struct waiter *waiters;
    struct subscriber *subscribers;
    uint32_t uses;                  /* left */
    bool ready;                     /* the value is or was there */
};

enum node_phase {
    NODE_WAITING,  /* missing > 0 */
    NODE_READY,    /* on the task list */
    NODE_QUEUED,   /* its item is in an engine's queue */
    NODE_HELD,     /* an engine has its item */
    NODE_AWAITING, /* others compute what it misses, see memo_node.c */
    NODE_OPEN,     /* a region whose instances run */
    NODE_COMPLETE,
};

/* The engine-executed form of a node. `item` is first: engines hold pointers to it. */
struct sched_item {
    struct tl_item item;
    struct tl_ready ready;
    struct node_state *node;
    struct sched_item *next, *previous; /* in its run's list of queued or of held items */
    struct sched_item *next_here, *previous_here; /* in its instance's list of held items */
    size_t place;       /* in its queue */
    uint32_t group;
    uint32_t instance;  /* that holds it; or the only one that may take it while pinned */
    uint32_t near;      /* the instance where the prefix that it extends lives; NO_INSTANCE: no matter where */
    bool pinned;        /* an input's resource lives in `instance` */
    bool cancelling;    /* the engine has been told, or need not be */
    bool shown;         /* some of its output has gone on */
    bool abandoned;     /* given up with its instance, which may still read it: its outcome is dropped (watch.c) */
    uint32_t tries;     /* after the first */
    uint32_t overtaken; /* how often it was the first offered and only later ones were taken */
    uint32_t avoid;     /* an instance that failed with it; NO_INSTANCE: none */
    enum tl_reason reason;
    float far;          /* ms more where the prefix is not */
    float row;          /* a decode's: ms that it adds to an iteration */
    struct tl_cost_work work;
    uint64_t started;
    double predicted;   /* ms from `started` to its outcome */
};
#define NO_INSTANCE UINT32_MAX

struct region {
    struct tl_value *list;     /* of items, once whole; borrowed from the input's slot */
    size_t total;              /* items (or slices); meaningful when `closed` */
    bool closed;               /* total is known */
    bool ending;               /* its instances, if any, are complete, but not all is there that it may end with */
    size_t begun, finished;    /* body instances */
    struct tl_value **results; /* map: [result][item], grown as items come; fold, loop: unused */
    size_t result_capacity;    /* items of room in each row of `results` */
    struct body_instance **instances; /* fold: by position; else NULL */
    size_t instance_capacity;
    struct reduce_level *levels; /* reduce */
    size_t level_count, level_capacity;
};

/* A node whose results may come from the memo. Memory of the run. */
struct recall {
    struct recall *next;       /* all of the run */
    struct node_state *node;
    struct tl_value *input;    /* the first; borrowed from its slot */
    bool whole;                /* the input is the one element; else its list items are */
    uint32_t count, missing;   /* elements; those whose result is not there */
    struct tl_value **values;  /* results by position; references */
    struct tl_memo_claim *claims; /* by position */
    uint32_t *todo, todo_count; /* positions that it has to compute with its next item */
    uint32_t *out, out_count;  /* positions that its present item computes */
    struct tl_value *part;     /* first input of that item; a reference; NULL: no item is out */
    uint32_t passed;           /* results at the front that regions have been given early */
    uint32_t known, shared;    /* results that were there; that others computed meanwhile */
    uint64_t begun;            /* ns */
    double ms;                 /* predicted, of one element */
};

struct node_state {
    struct body_instance *instance;
    const struct tl_plan_node *plan;
    struct recall *recall;    /* of nodes that were looked up in the memo */
    struct sched_item *item;  /* of engine nodes, once ready */
    struct region *region;    /* of region nodes, once open */
    uint32_t missing;
    enum node_phase phase;
};

struct body_instance {
    const struct tl_plan_body *body;
    struct run *run;
    struct body_instance *outer;
    struct node_state *owner;  /* the region node in `outer`; NULL: root */
    struct body_instance *next; /* all of the run */
    uint32_t level, index;     /* index: position of the item, iteration or group; level: of a reduce */
    uint32_t missing;          /* nodes and results that are not there yet */
    bool complete;
    struct slot *slots;
    struct node_state *nodes;
};

enum run_phase { RUN_LIVE, RUN_ENDED /* waits for items that engines hold */ };

struct run {
    struct tl_arena arena;
    struct tl_sched *sched;
    struct tl_plan *plan;
    uint64_t id;
    uint64_t arrival, deadline;
    double priority;
    const char *tenant;        /* "" for none */
    bool changes_store;        /* the plan has a primitive that changes a collection */
    struct recall *recalls;    /* newest first */
    uint32_t tenant_number;
    double work;               /* predicted ms that it counts for */
    uint32_t **depths;         /* by body and node; NULL unless the policy looks at them */
    enum run_phase phase;
    struct body_instance *root;
    struct body_instance *instances; /* newest first */
    uint32_t instance_count;
    uint32_t *groups;          /* plan engine → group */
    double *claims;            /* plan engine → predicted ms that it asks of that and of engines on the same devices */
    struct sched_item *queued, *held; /* lists */
    size_t held_count, queued_count;
    size_t heap_position;      /* in the deadline heap + 1; 0: not there */
    struct run *next, *previous;       /* all live and ended runs */
    struct run *next_in_bucket;        /* table by id */
    struct run *next_reap;             /* list of ended runs to look at */
    bool reaping;
};

/* What a RUN_FINISHED action of the last step points to. */
struct departed {
    struct departed *next;
    char *message;
    struct tl_value **outputs;
};

/* One thing to do before the step ends; skipped when its run has ended meanwhile. */
struct task {
    struct node_state *node;        /* ready; or */
    struct body_instance *instance; /* complete */
};

/* Items in the policy's order: a binary heap; each item knows its place. */
struct queue {
    struct sched_item **items;
    size_t count, capacity;
};

/* Items that the same instances may take: a queue for each tenant when the policy is fair, else one. */
struct lane {
    struct queue *queues; /* by tenant */
    size_t queue_count, queue_capacity;
    uint32_t *active; /* tenants that have items here */
    size_t active_count, active_capacity;
    size_t count; /* items in all */
};

struct group {
    char *name;
    uint32_t *instances;
    size_t instance_count, instance_capacity;
    uint32_t *beside;          /* groups with instances on the devices of its own, itself included */
    size_t beside_count, beside_capacity;
    struct lane lane;          /* what any of them may take */
    size_t queued;             /* items in it and in its instances' lanes */
    uint64_t changes;          /* counted: items that came, quanta that ended: what was declined may be taken now */
    double written;            /* tokens that decodes write of those that they may, as a share; smoothed */
    double iterations;         /* of a decode; smoothed */
};

struct instance {
    struct tl_engine_description description;
    uint32_t group;
    uint32_t device;           /* TL_SCHED_NO_DEVICE for POOL and LOOP */
    const void *owner;
    struct lane lane;          /* what it alone may take */
    bool lost;                 /* it takes nothing until it is back */
    bool hung;                 /* lost because it does not answer */
    bool stuck;                /* lost until its device has answered, which another instance keeps busy */
    uint64_t silent_since;     /* it is watched, or hung, from then on */
    uint64_t answer_by;        /* else it has hung; 0: nothing is expected of it */
    bool busy;                 /* a quantum is in flight */
    bool more;                 /* it holds items that need a quantum */
    uint64_t last_served;
    uint64_t quantum_began, quantum_ended;
    double quantum;            /* ms that its quanta take; smoothed; 0: not known */
    uint64_t declined;         /* group's `changes` when it took nothing of what it was offered; 0: it took something */
    uint64_t waits_until;      /* idle although items are there: it is looked at again then at the latest; 0: it is not */
    uint32_t held_units;
    size_t held_items;
    size_t calls_held;         /* held items other than decodes */
    struct sched_item *held;   /* list */
    uint64_t done_at;          /* when the calls that it holds are done, predicted */
    double rows;               /* ms that the decodes that it holds add to an iteration */
    double pinned_ms;          /* of the calls in its lane */
    double passed_ms;          /* of items that another instance's batch left to it, within one look at the queue */
    double speed;              /* measured by predicted time of its calls; smoothed */
    char *times;               /* its name in the cost model when its times are not its engine's; else NULL */
    struct tl_item **batch;    /* of the last RUN action */
    size_t batch_count, batch_capacity;
};

struct tenant {
    char *name;
    size_t runs;               /* live */
    double work;               /* predicted ms of those */
    double served;             /* ms of work given to engines; of a tenant that was away, lifted to the least of those there */
};

struct device {
    char *name;
    uint32_t busy;             /* instance + 1; 0: free */
    bool hung;                 /* that one has hung */
    uint32_t *instances;
    size_t instance_count, instance_capacity;
};

struct tl_sched {
    const struct tl_policy *policy;
    struct tl_sched_config config;
    struct device *devices;
    size_t device_count, device_capacity;
    struct instance *instances;
    size_t instance_count, instance_capacity;
    uint32_t *alone;           /* instances that are on no device */
    size_t alone_count, alone_capacity;
    struct group *groups;
    size_t group_count, group_capacity;
    struct tl_map group_names; /* name → index + 1 */
    struct run *runs;          /* list */
    struct run **buckets;      /* table by id */
    size_t bucket_count, run_count;
    struct run **heap;         /* by deadline */
    size_t heap_count, heap_capacity;
    struct run *reap;          /* ended runs to look at */
    size_t live_runs;          /* that have not ended */
    double live_work;          /* predicted ms of those */
    double ms_per_run;         /* between ends of runs while some are live; smoothed; 0: not known */
    uint64_t last_end;
    struct departed *departed;
    struct tenant *tenants;
    size_t tenant_count, tenant_capacity;
    struct tl_map tenant_names; /* name → number + 1 */
    struct task *tasks;        /* ring of pending work, drained within the step */
    size_t task_head, task_count, task_capacity;
    struct tl_memo *memo;      /* NULL: nothing is remembered */
    struct tl_sha256 *hash;    /* for its keys */
    struct tl_actions *actions; /* of the present step */
    uint64_t now;
    bool undispatched; /* the last event said that another follows */
    uint64_t wake;             /* last WAKE sent; 0: none */
    uint64_t next_item, next_sequence, next_quantum;
    uint64_t look_again;       /* earliest waits_until of an instance; 0: none */
    uint64_t watch_at;         /* no later than any answer_by; 0: there is none */
    size_t watched;            /* instances that have an answer_by */
    uint64_t last_wait;        /* the latest that there ever was */
    const struct tl_ready **offered; /* scratch */
    enum tl_reason *reasons;   /* scratch, as long */
    struct sched_item **passed; /* scratch: taken out of the queue and not offered */
    size_t offered_capacity, reasons_capacity, passed_capacity;
    struct tl_turn *turns;     /* scratch */
    size_t turn_capacity;
    struct tl_sched_counters counters;
};

/* ---- sched.c ---- */
struct tl_action *tl_sched_act(struct tl_sched *sched, enum tl_action_kind kind);

/* ---- run.c ---- */
struct run *tl_run_find(const struct tl_sched *sched, uint64_t id);
void tl_run_submit(struct tl_sched *sched, const struct tl_event *event);
/* Ends a live run: drops queued items, cancels held ones, emits RUN_FINISHED. outputs (a heap array of references,
 * taken) only with TL_OK. */
void tl_run_end(struct run *run, enum tl_status status, const char *message, struct tl_value **outputs);
void tl_run_fail(struct run *run, enum tl_status status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void tl_run_expire(struct tl_sched *sched);
void tl_run_may_be_over(struct run *run);
void tl_run_reap(struct tl_sched *sched);
void tl_run_forget_departed(struct tl_sched *sched);
/* A copy that an action of this step may point to. */
const char *tl_run_keep_text(struct tl_sched *sched, const char *text);

/* ---- instance.c: graph tier ---- */
/* A new instance of `body`; parameters are set and tl_instance_start called by whoever makes it. NULL: the run has
 * reached its bound of instances and was ended. */
struct body_instance *tl_instance_create(struct run *run, const struct tl_plan_body *body, struct body_instance *outer,
                                         struct node_state *owner, uint32_t level, uint32_t index);
void tl_instance_set_slot(struct body_instance *instance, uint32_t slot, struct tl_value *value); /* takes value */
void tl_instance_start(struct body_instance *instance);
/* Lets `node`, or a result of `result_of`, wait for the slot; false when its value is there. The caller counts. */
bool tl_instance_wait(struct body_instance *instance, struct tl_plan_source source, struct node_state *node,
                      struct body_instance *result_of);
struct slot *tl_instance_slot(struct body_instance *instance, struct tl_plan_source source);
void tl_instance_piece(struct body_instance *instance, uint32_t slot, size_t position,
                       struct tl_value *value); /* takes value */
/* Puts the node on the task list. */
void tl_node_ready(struct node_state *node);
/* The node's outputs are in their slots: gives back its inputs, frees those who wait for it. */
void tl_node_complete(struct node_state *node);
void tl_sched_drain(struct tl_sched *sched);
void tl_item_outcome(struct tl_sched *sched, const struct tl_event *event);
/* The item's label with the positions of the bodies around it: "answer/decode[1]". Memory of the run. */
const char *tl_node_label(const struct node_state *node);
bool tl_node_streams_to_user(const struct node_state *node);

/* ---- memo_node.c: nodes that look into the memo ---- */
/* A node is ready: takes what is known and has the rest computed. False when its result is not one to remember: then
 * nothing has been done. */
bool tl_recall_begin(struct node_state *node);
void tl_recall_go_on(struct node_state *node); /* one that has begun is on the task list again */
/* What stands for the first input of the node's item; NULL: the input itself. */
struct tl_value *tl_recall_part(const struct node_state *node);
/* From a position in the item's list to that in the node's; false when there is none. */
bool tl_recall_position(const struct node_state *node, size_t *position);
void tl_recall_done(struct node_state *node, struct tl_value *output); /* takes output */
void tl_recall_end_run(struct run *run);
void tl_recall_free_run(struct run *run);

/* ---- region.c ---- */
void tl_region_open(struct node_state *node);
void tl_region_piece(struct node_state *node, size_t position, struct tl_value *value); /* borrows value */
/* An input that the region opened without is there. Borrows value. */
void tl_region_take(struct node_state *node, struct tl_value *value);
bool tl_region_opens_without(const struct tl_plan_node *plan, uint32_t input);
void tl_region_instance_complete(struct body_instance *instance);
bool tl_region_is_last(const struct body_instance *instance); /* of a fold or reduce: its result is the region's */
bool tl_region_is_only(const struct body_instance *instance); /* of a map: the only item of the whole list */
void tl_region_fini(struct node_state *node);

/* ---- queue.c ---- */
void tl_lane_push(struct tl_sched *sched, struct lane *lane, struct sched_item *item);
void tl_lane_remove(struct tl_sched *sched, struct lane *lane, struct sched_item *item);
/* The first in order; of a fair policy, of the tenant that was served least. NULL when empty. */
struct sched_item *tl_lane_first(const struct tl_sched *sched, const struct lane *lane);
/* Whether a stands in front of b in a queue. */
bool tl_lane_ahead(const struct sched_item *a, const struct sched_item *b);
/* Which of the two is offered first: what takes over a place, then the earlier one. Either may be NULL. */
struct sched_item *tl_lane_front(const struct tl_sched *sched, struct sched_item *a, struct sched_item *b);
/* Which of the two is earlier in order; either may be NULL. */
struct sched_item *tl_lane_earlier(const struct tl_sched *sched, struct sched_item *a, struct sched_item *b);
void tl_lane_fini(struct lane *lane);

/* ---- tenant.c ---- */
uint32_t tl_tenant_enter(struct tl_sched *sched, const char *name); /* a run of it is live */
void tl_tenant_leave(struct tl_sched *sched, uint32_t tenant);
void tl_tenant_fini(struct tl_sched *sched);

/* ---- limit.c ---- */
/* ms after which a run of so much work is worth another try, and why it is refused now; 0: it is let in. */
double tl_limit_refuses(const struct tl_sched *sched, const char *tenant, double work_ms, const char **what);
void tl_limit_enter(struct tl_sched *sched, struct run *run);
void tl_limit_leave(struct tl_sched *sched, struct run *run);

/* ---- fault.c ---- */
bool tl_fault_may_retry(const struct sched_item *item, enum tl_status status);
/* Puts a failed item back into the queue; false when it must not be tried again. */
bool tl_fault_retry(struct sched_item *item, enum tl_status status);
/* Ends the run of an item that no instance can execute any more; false when one can. */
bool tl_fault_cannot_run(struct sched_item *item);
bool tl_fault_is_gone(const struct tl_sched *sched, const struct group *group); /* no instance is left */
/* Ends the item's run; says what is known of the silence of the instance, if it is silent. */
void tl_fault_fail(struct sched_item *item, const char *why, uint32_t instance);
/* Ends the runs of items that now wait for nothing: for the lost instance alone, or for an engine of which none is left. */
void tl_fault_fail_queued(struct tl_sched *sched, uint32_t instance);
void tl_fault_lose(struct tl_sched *sched, uint32_t instance);
void tl_fault_find(struct tl_sched *sched, uint32_t instance); /* it is back */

/* ---- watch.c: instances that do not answer ---- */
/* It has been given something, has answered, or is lost: when must it answer next, if at all. */
void tl_watch_instance(struct tl_sched *sched, uint32_t instance);
bool tl_watch_is_due(const struct tl_sched *sched, const struct instance *instance); /* an answer is expected */
/* Gives up what has not answered in time. */
void tl_watch_look(struct tl_sched *sched);
/* An abandoned item has come back. */
void tl_watch_forget(struct sched_item *item);
/* The quantum on the device (TL_SCHED_NO_DEVICE: none) is over, and with it what it kept from others. */
void tl_watch_release_device(struct tl_sched *sched, uint32_t device);
/* Appends ": llm#2 has not answered for 63.0 s" when that is so, or when that is what the instance waits for. */
void tl_watch_explain(const struct tl_sched *sched, uint32_t instance, struct tl_str *out);

/* ---- depth.c ---- */
void tl_depths_measure(struct run *run);

/* ---- predict.c: how long items will take, and which instance is done first ---- */
/* Fills what the item's `ready` and `far` say about its time. */
void tl_predict_item(const struct tl_sched *sched, struct sched_item *item);
/* ms from now until the item's outcome when the instance gets it next. */
double tl_predict_end(const struct tl_sched *sched, const struct sched_item *item, uint32_t instance);
/* ms that the item adds to a call of the instance. */
double tl_predict_share(const struct tl_sched *sched, const struct sched_item *item, uint32_t instance);
/* The instance of its group where the item's outcome is there first, `instance` when no other is better; NO_INSTANCE when
 * the item must wait for one that is full. */
uint32_t tl_predict_best(const struct tl_sched *sched, const struct sched_item *item, uint32_t instance);
/* Keeps account of what the instance holds. */
void tl_predict_started(struct tl_sched *sched, struct sched_item *item, bool first);
void tl_predict_ended(struct tl_sched *sched, struct sched_item *item, const struct tl_usage *usage);

/* ---- batch.c: what an instance takes of a queue ---- */
/* An item that was overtaken so often is offered alone from then on, until the instance has room for it. */
#define MOST_OVERTAKEN 16
/* Whether the instance could take anything; then the first in order is `*first`. */
bool tl_batch_is_open(const struct tl_sched *sched, uint32_t instance, struct sched_item **first);
/* Takes the next batch of the instance out of the queue into instance->batch; returns how many. */
size_t tl_batch_form(struct tl_sched *sched, uint32_t instance);

/* ---- engine.c: engine tier and device tier ---- */
void tl_engine_enqueue(struct node_state *node);
/* `other` awaits what the node computes: while it is queued, it goes no later than an item of `other` would. */
void tl_engine_hasten(struct node_state *node, const struct node_state *other);
void tl_engine_drop_queued(struct run *run);
/* usage: of a complete one, else NULL */
void tl_engine_item_back(struct sched_item *item, const struct tl_usage *usage);
void tl_engine_hold(struct tl_sched *sched, uint32_t instance, struct sched_item *item);
void tl_engine_requeue(struct tl_sched *sched, struct sched_item *item); /* one that an instance gave back */
struct lane *tl_engine_lane(struct tl_sched *sched, const struct sched_item *item);
void tl_engine_step_done(struct tl_sched *sched, uint32_t instance, bool more);
void tl_sched_dispatch(struct tl_sched *sched);

#endif

/* sim_impl.h: the simulator's state, for this folder only. */
#ifndef TL_SIM_SIM_IMPL_H
#define TL_SIM_SIM_IMPL_H

#include "base/str.h"
#include "engine/emulated/virtual.h"
#include "sim/sim.h"

#define SIM_OUTPUTS 4 /* of one item; signatures have no more */

enum sim_event_kind { SIM_OUTCOME, SIM_PIECE, SIM_QUANTUM_OVER, SIM_SUBMIT, SIM_LEAVE, SIM_FAULT, SIM_FAULT_OVER,
                      SIM_REOPENED };

struct sim_request {
    size_t input_count;
    uint64_t timeout, leave;
    double priority;
    char *tenant; /* owned; NULL: "" */
    struct tl_value *inputs[];
};

struct sim_run {
    struct tl_sim_result result;
    struct tl_plan *plan; /* one reference */
};

struct sim_event {
    uint64_t at;
    enum sim_event_kind kind;
    uint32_t instance; /* not of SUBMIT and LEAVE */
    uint32_t epoch;    /* of that: what was to come of it before it was lost does not */
    bool more;
    struct tl_item *item; /* OUTCOME, PIECE */
    enum tl_status status;
    uint32_t count;
    struct tl_value *outputs[SIM_OUTPUTS]; /* owned; PIECE has one */
    struct tl_usage usage;
    char *message; /* owned */
    size_t position;
    uint64_t run;                /* SUBMIT, LEAVE */
    struct sim_request *request; /* SUBMIT; owned */
    enum tl_sim_fault_kind fault;
    uint64_t until, stall;
    double factor, probability;
};

/* When an event is to come: small, since the heap moves it about. */
struct sim_place {
    uint64_t at, sequence;
    uint32_t event; /* where it is among `events` */
};

struct sim_instance {
    struct tl_engine *engine;
    json_t *settings;
    struct tl_sim_instance about;
    bool computing;           /* a quantum is in flight */
    bool hung;                /* given up: to be opened anew when it is over */
    uint32_t epoch;           /* how often it was lost */
    size_t held;              /* items */
    double factor;            /* of the time of its quanta; 0: 1 */
    double failing, stalling; /* probabilities */
    uint64_t stall;           /* ns that a stalled quantum takes longer */
    uint64_t hangs_until;
    struct tl_item **cancels; /* that came during it */
    size_t cancel_count, cancel_capacity;
};

struct tl_sim {
    struct tl_sim_config config;
    struct tl_sched *sched;
    struct tl_cost *cost; /* the engines' own latency models */
    struct tl_actions actions;
    struct tl_emit emit;
    struct tl_emulated_world world;
    uint64_t steps;
    uint64_t now, spent; /* spent: by the quantum that is being computed */
    uint32_t stepping;   /* the instance that is computing it */
    bool muted;          /* a lost engine drops what it holds: nobody hears of it */
    uint64_t wake;       /* when the scheduler wants to look at deadlines; 0: never */
    uint64_t random, trace;
    struct sim_place *heap; /* by time, then in order of cause */
    size_t heap_count, heap_capacity;
    struct sim_event *events;
    uint32_t *unused; /* places in it */
    size_t event_count, event_capacity, unused_count, unused_capacity;
    uint64_t next_sequence;
    struct sim_instance *instances;
    size_t instance_count, instance_capacity;
    struct tl_sim_instance *views; /* for tl_sim_instances */
    struct sim_run **runs; /* of number - 1; NULL: forgotten */
    size_t run_count, run_capacity;
    struct tl_sim_item *items;
    size_t item_count, item_capacity;
    size_t *places; /* by the item's number: where its story is */
    size_t place_capacity;
    struct tl_str violation;
};

/* ---- events.c ---- */
void tl_sim_schedule(struct tl_sim *sim, const struct sim_event *event);
/* The first to come, NULL: none; borrowed until the next call. */
struct sim_event *tl_sim_next(const struct tl_sim *sim);
struct sim_event tl_sim_take(struct tl_sim *sim); /* takes it out */

/* ---- sim.c ---- */
void tl_sim_let_pass(void *sim, uint64_t nanoseconds); /* spend of the world */
const struct tl_emit *tl_sim_emit(struct tl_sim *sim);

/* ---- world.c ---- */
void tl_sim_forget(struct sim_request *request); /* and the inputs that it holds */
void tl_sim_forget_run(struct tl_sim *sim, uint64_t run);
void tl_sim_release(struct tl_sim *sim);

#endif

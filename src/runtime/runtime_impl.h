/* runtime_impl.h: the runtime's own structs, for this folder only.
 *
 * Who owns what. The loop thread alone touches `sched`, `actions`, `items` and the records of runs
 * that have not finished. `lock` guards everything that callers and the loop share: the tables of
 * runs and workflows, instances' states, `finished` and what comes with it. It is held for
 * moments, never while a callback, an engine or the scheduler runs.
 *
 *     caller: submit ── query.c: check, open engines, plan, values ──► inbox ──► loop.c: scheduler
 *     loop:   actions ──► orders to executors;   executors ──► messages ──► events to the scheduler
 *     loop:   RUN_FINISHED ──► runs.c: result, callback or waiting callers
 */
#ifndef TL_RUNTIME_RUNTIME_IMPL_H
#define TL_RUNTIME_RUNTIME_IMPL_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "base/str.h"
#include "choice/choice.h"
#include "plan/plan.h"
#include "runtime/config.h"
#include "runtime/executor.h"
#include "runtime/id_table.h"
#include "runtime/report.h"
#include "runtime/runtime.h"
#include "sched/sched.h"
#include "teola/teola.h"
#include "workflow/workflow.h"

/* A compute device: its executor thread, started when the first engine on it is opened. */
struct tl_runtime_device {
    const char *name; /* of the configuration */
    uint32_t number;  /* of the scheduler */
    struct tl_executor_thread *executor;
};

/* The instances of one engine of the configuration. */
struct tl_runtime_engine {
    const struct tl_config_engine *config;
    struct tl_instance *instances;
    uint64_t described; /* hash of its description, the loop's; 0: not known */
};

/* One run, from submit until its result is fetched. */
struct tl_run_record {
    uint64_t id;
    const char *workflow;   /* name; lives as long as the runtime */
    struct tl_plan *plan;   /* reference: names of the outputs */
    struct tl_value **inputs; /* references, given to the scheduler; NULL afterwards */
    size_t input_count;
    uint64_t timeout_ms;
    double priority;
    char *tenant;           /* owned */
    uint32_t flags;
    void *context;
    void (*delta)(void *context, tl_run_id run, const char *text, size_t length);
    void (*notice)(void *context, tl_run_id run, const char *message);
    void (*done)(void *context, tl_run_id run, enum tl_status status, const char *result);
    uint64_t submitted;     /* ns; when the caller asked */
    uint64_t first_text;    /* ns; 0: none yet */
    uint64_t loading;       /* ns until its engines were open */
    uint64_t overhead;      /* ns that the runtime itself worked for it: planning, scheduling, values */
    struct tl_str text;     /* what was streamed */
    struct tl_report report;
    uint64_t retry_after;   /* ms; of a refused run, else 0 */
    bool finished;          /* the lock's, with the two below */
    enum tl_status status;
    char *result;
    char *message;          /* of the failure; NULL when done */
};

/* An item that an engine holds: what the report needs when it ends. */
struct tl_runtime_item {
    uint64_t run;
    uint64_t started; /* ns, when it was handed to the executor */
    uint32_t instance;
    uint32_t batch;   /* number of the RUN action */
    uint32_t batch_items;
    bool shown;       /* text of it has gone to the user */
    struct tl_calibration_mark since;
};

/* Beginnings of prompts that are computed ahead (prewarm.c). */
struct tl_prewarm {
    struct tl_prefix *prefixes;
    size_t count, capacity, wanted; /* wanted: not computed yet */
    uint64_t run;                   /* in progress; 0: none */
    uint64_t started;
    _Atomic uint64_t warmed;
};

struct tl_runtime {
    struct tl_config *config;
    struct tl_cost *cost;   /* what work of the engines takes; the loop corrects it */
    struct tl_choice_machine machine; /* what plans are chosen for */
    pthread_mutex_t lock;
    pthread_cond_t changed; /* with lock: an instance's state, a run's end, the number of callers */
    struct tl_runtime_device *devices;
    size_t device_count;
    struct tl_runtime_engine *engines; /* as config's */
    size_t engine_count;
    struct tl_workflow **workflows; /* id - 1; each lives as long as the runtime */
    size_t workflow_count, workflow_capacity;
    struct tl_id_table runs; /* id → struct tl_run_record * */
    uint64_t next_run;
    size_t callers; /* calls in progress: close waits for them */
    _Atomic uint32_t submitting; /* of them, those that will submit a run */
    _Atomic uint32_t live; /* runs that were submitted and have not finished */
    bool closing;
    struct tl_plan_cache *plans;
    _Atomic uint64_t engines_version; /* changes when an engine describes itself in another way than before */

    struct tl_inbox inbox;
    struct tl_executor_pool *pool;
    pthread_t thread;

    /* The loop thread's. */
    uv_loop_t loop;
    uv_async_t wake;
    uv_timer_t timer;
    uint64_t wake_at; /* ns: what the timer is set for; 0: not set */
    struct tl_sched *sched;
    struct tl_actions actions;
    struct tl_instance **by_number; /* scheduler's instance number → instance */
    size_t number_count, number_capacity;
    struct tl_id_table items;       /* item id → struct tl_runtime_item * */
    uint32_t batches;
    struct tl_message *messages;    /* being handled; exchanged with the inbox */
    size_t message_capacity;
    bool follows;                   /* the message being handled is not the last one that steps the scheduler */
    struct tl_prewarm prewarm;
    size_t open_instances;
    uv_timer_t repair;   /* for the next broken instance to be opened again */
    uv_timer_t patience; /* how long the end waits for engines that do not answer */
    bool patient;        /* that is set */
    size_t left;         /* instances that the end did not wait for: their threads and all that those may touch stay */
    bool shutting_down;
    bool cancelling_all; /* closing has begun: what is still submitted is cancelled at once */
    bool engines_closing;
    _Atomic uint64_t wakes, handled;
};

/* ---- engines.c ---- */
void tl_runtime_engines_init(struct tl_runtime *runtime);
void tl_runtime_engines_fini(struct tl_runtime *runtime); /* after the loop has ended */
struct tl_runtime_engine *tl_runtime_find_engine(struct tl_runtime *runtime, const char *name);
/* Opens those that are not open, all at once, and waits for them. Any thread but the loop's. */
enum tl_status tl_runtime_open_engines(struct tl_runtime *runtime, struct tl_runtime_engine *const *engines,
                                       size_t count, struct tl_error *error);
/* Loop: an OPENED message. */
void tl_runtime_engine_opened(struct tl_runtime *runtime, struct tl_instance *instance, enum tl_status status);

/* ---- loop.c ---- */
enum tl_status tl_runtime_loop_start(struct tl_runtime *runtime, struct tl_error *error);
void tl_runtime_loop_join(struct tl_runtime *runtime);
void tl_runtime_post(struct tl_runtime *runtime, const struct tl_message *message);
/* Loop: one event of the runtime's own through the scheduler. */
void tl_runtime_step(struct tl_runtime *runtime, struct tl_event *event);

/* ---- shutdown.c: on the loop but for the last ---- */
void tl_runtime_shutdown_init(struct tl_runtime *runtime);
/* Closes engines and ends the loop when the time has come; call after anything has happened. */
void tl_runtime_shutdown_go_on(struct tl_runtime *runtime);
void tl_runtime_closed(struct tl_runtime *runtime, struct tl_instance *instance); /* a CLOSED message */
/* After the loop has ended: true when threads remain that do not come back. They may still read and write what the runtime
 * has, so it is not to be freed. */
bool tl_runtime_leaves_threads(struct tl_runtime *runtime);

/* ---- repair.c: on the loop: engines that broke are opened again ---- */
void tl_runtime_repair_init(struct tl_runtime *runtime);
void tl_runtime_repair_stop(struct tl_runtime *runtime);
/* A BROKEN message. */
void tl_runtime_broken(struct tl_runtime *runtime, struct tl_instance *instance, const char *why);
/* After an outcome or a quantum of the instance: when it is broken and has nothing any more, it is lost. */
bool tl_runtime_lose_broken(struct tl_runtime *runtime, struct tl_instance *instance);
/* The scheduler has given it up. */
void tl_runtime_hung(struct tl_runtime *runtime, struct tl_instance *instance, uint64_t silent);
/* A REOPENED message. */
void tl_runtime_reopened(struct tl_runtime *runtime, struct tl_instance *instance, enum tl_status status);

/* ---- prewarm.c: on the loop ---- */
void tl_runtime_prewarm_add(struct tl_runtime *runtime, const struct tl_plan *plan);
/* Computes the next one when nothing else is to do; call after messages have been handled. */
void tl_runtime_prewarm_go_on(struct tl_runtime *runtime);
/* A query comes, or the runtime is closed: what is being computed is put off. */
void tl_runtime_prewarm_yield(struct tl_runtime *runtime);
/* Takes the end of a run of its own; false: it is a caller's. */
bool tl_runtime_prewarm_finished(struct tl_runtime *runtime, const struct tl_action *action);
void tl_runtime_prewarm_fini(struct tl_runtime *runtime);

/* ---- runs.c ---- */
struct tl_run_record *tl_runtime_record_create(void);
void tl_runtime_record_destroy(struct tl_run_record *record);
/* Loop: a run that has not finished, or NULL. Only the loop finishes runs, so the record stays. */
struct tl_run_record *tl_runtime_live_run(struct tl_runtime *runtime, uint64_t id);
/* Loop: text of the answer, and notices. */
void tl_runtime_run_delta(struct tl_run_record *record, const char *text, size_t length);
void tl_runtime_run_notice(struct tl_run_record *record, const char *label, const char *message);
/* Loop: the end; takes the references in outputs. The record may be gone afterwards. */
void tl_runtime_run_finished(struct tl_runtime *runtime, struct tl_run_record *record, enum tl_status status,
                             const char *message, struct tl_value **outputs, size_t count);

/* ---- planning.c ---- */
/* The plan from the cache, or a new one, which is put there; a reference. Of the request level and passes count; `load`
 * counts where plans are chosen. */
enum tl_status tl_runtime_plan_for(struct tl_runtime *runtime, const struct tl_workflow *workflow,
                                   const struct tl_query_shape *shape, const struct tl_request *request,
                                   const struct tl_choice_load *load, struct tl_plan **plan, struct tl_error *error);

/* ---- query.c ---- */
/* Everything before the first primitive: fills record->plan, inputs. Any thread but the loop's. */
enum tl_status tl_runtime_query(struct tl_runtime *runtime, const struct tl_request *request,
                                struct tl_run_record *record, struct tl_error *error);

/* Callers are counted, so that close can wait for them. False (and the error) when closing. */
bool tl_runtime_enter(struct tl_runtime *runtime, struct tl_error *error);
void tl_runtime_leave(struct tl_runtime *runtime);

#endif

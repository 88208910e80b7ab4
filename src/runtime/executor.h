/* executor.h: where engines run. An executor carries out orders for its engine instances one at a
 * time, in the order given: on a thread of its own (a compute device), on a thread of the bounded
 * pool (an instance of a blocking library), or right away on the event loop (engines that only wait).
 *
 * What the engines report goes as messages to the loop's inbox, in order, batched per order for
 * devices. Both queues are one mutex-protected array; the executor sleeps on a condition variable,
 * the loop in epoll on libuv's eventfd. Nothing polls.
 *
 * A cancel overtakes nothing but a quantum: it is an order like the others, and a device has at most
 * one quantum queued.
 */
#ifndef TL_RUNTIME_EXECUTOR_H
#define TL_RUNTIME_EXECUTOR_H

#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine_impl.h"
#include "runtime/calibrate.h"

struct tl_instance;
struct tl_runtime_device;

/* ---- to executors ---- */

enum tl_order_kind {
    TL_ORDER_OPEN,   /* open, then describe; answered by OPENED */
    TL_ORDER_RUN,    /* submit the items (if any), one step; answered by STEP_DONE */
    TL_ORDER_CANCEL, /* of one item */
    TL_ORDER_CLOSE,  /* close and destroy; answered by CLOSED */
    TL_ORDER_REOPEN, /* close what is broken, create and open anew; answered by REOPENED */
};

struct tl_order {
    enum tl_order_kind kind;
    struct tl_instance *instance;
    struct tl_item **items; /* RUN: owned array of borrowed items */
    size_t count;
    struct tl_item *item; /* CANCEL */
};

/* ---- to the loop ---- */

enum tl_message_kind {
    TL_MESSAGE_OPENED,
    TL_MESSAGE_DONE,
    TL_MESSAGE_FAILED,
    TL_MESSAGE_PIECE,
    TL_MESSAGE_DELTA,
    TL_MESSAGE_NOTICE,
    TL_MESSAGE_STEP_DONE,
    TL_MESSAGE_CLOSED,
    TL_MESSAGE_BROKEN,     /* by the engine; it holds nothing any more */
    TL_MESSAGE_REOPENED,
    TL_MESSAGE_OPEN,       /* a LOOP engine, which only the loop may open */
    TL_MESSAGE_SUBMIT,     /* a run, from a caller's thread */
    TL_MESSAGE_CANCEL_RUN, /* from any thread */
    TL_MESSAGE_PREWARM,    /* what the plan's prompts begin with, to be computed ahead; from a caller's thread */
    TL_MESSAGE_CANCEL_ALL, /* the runtime is being closed: no further runs */
    TL_MESSAGE_SHUT_DOWN,  /* close the engines, end the loop */
};

struct tl_message {
    enum tl_message_kind kind;
    uint64_t time; /* ns, when it was made */
    struct tl_instance *instance;
    struct tl_item *item;
    struct tl_usage usage;     /* DONE */
    struct tl_value **outputs; /* DONE: owned array, owned references */
    struct tl_value *value;    /* PIECE: owned reference */
    char *text;                /* FAILED, DELTA, NOTICE, BROKEN: owned */
    size_t size;               /* DONE: outputs; PIECE: position; DELTA: bytes */
    enum tl_status status;     /* FAILED, OPENED, REOPENED */
    bool more;                 /* STEP_DONE */
    uint64_t run;              /* CANCEL_RUN */
    void *record;              /* SUBMIT: struct tl_run_record */
    void *plan;                /* PREWARM: struct tl_plan; a reference */
};

/* The loop's queue. `wake` is called after messages were put into an empty queue; any thread. */
struct tl_inbox {
    pthread_mutex_t lock;
    struct tl_message *messages;
    size_t count, capacity;
    void (*wake)(void *context);
    void *context;
};

void tl_inbox_init(struct tl_inbox *inbox, void (*wake)(void *), void *context);
void tl_inbox_fini(struct tl_inbox *inbox);
void tl_inbox_post(struct tl_inbox *inbox, const struct tl_message *messages, size_t count);
/* Nobody takes messages any more: what is still posted stays there, and wakes nobody. */
void tl_inbox_close(struct tl_inbox *inbox);
/* Exchanges the queue's content with an empty array of the caller's. Returns the number of messages. */
size_t tl_inbox_take(struct tl_inbox *inbox, struct tl_message **messages, size_t *capacity);

/* ---- executors ---- */

/* Starts a thread with all signals blocked: they are for the program's own threads. A thread that
 * cannot be started is the end of the program. */
void tl_executor_start_thread(pthread_t *thread, void *(*function)(void *), void *argument, const char *name);

struct tl_executor_pool;
struct tl_executor_pool *tl_executor_pool_create(unsigned most_threads);
void tl_executor_pool_destroy(struct tl_executor_pool *pool); /* waits for its threads; no order may be left */
/* One of its threads is in a call that does not return: there may be one more. */
void tl_executor_pool_widen(struct tl_executor_pool *pool);
void tl_executor_pool_leave(struct tl_executor_pool *pool); /* its threads end when they can, and its memory stays */

struct tl_executor_thread; /* an executor */
struct tl_executor_thread *tl_executor_create_thread(const char *name, struct tl_inbox *inbox);
struct tl_executor_thread *tl_executor_create_pooled(struct tl_executor_pool *pool, struct tl_inbox *inbox);
struct tl_executor_thread *tl_executor_create_inline(struct tl_inbox *inbox); /* orders come from the loop only */
void tl_executor_destroy(struct tl_executor_thread *executor);               /* carries out what is queued, then ends */
/* Instead of destroying one whose present order does not come to an end: what is queued is dropped. Should the order end
 * after all, its thread reports to the inbox and ends, so that and the executor stay for good. */
void tl_executor_leave(struct tl_executor_thread *executor);

/* Takes order->items. Never blocks for longer than a queue operation (but inline: see above). */
void tl_executor_order(struct tl_executor_thread *executor, const struct tl_order *order);

/* ---- an engine instance, as executors see it ---- */

struct tl_instance {
    const struct tl_engine_ops *ops;
    struct tl_engine *engine;
    struct tl_engine **former;                /* that broke and were closed: what they gave out may still point to them */
    size_t former_count, former_capacity;
    json_t *settings;                         /* to create it with; owned */
    struct tl_executor_thread *executor;
    char *name;                               /* "llm", or "llm#2" when there are several */
    const char *engine_name;                  /* of the configuration */
    const char *times;                        /* its name in the cost model: the engine's, or its own */
    uint32_t position;                        /* among its engine's instances */
    struct tl_runtime_device *device;         /* of the configuration, for one that computes */
    enum tl_executor kind;
    struct tl_engine_description description; /* after OPENED */
    struct tl_error error;                    /* why opening failed */
    uint32_t number;                          /* of the scheduler */
    struct tl_calibration calibration;        /* the loop's, as what follows */
    uint32_t held;                            /* items */
    bool stepping;                            /* a quantum is not answered yet */
    bool broken;                              /* it has said so; nothing goes to it until it is open again */
    bool lost;                                /* the scheduler knows */
    bool hung;                                /* the scheduler has given it up; until it is open again */
    bool closed;                              /* CLOSED has come */
    uint32_t repairs;                         /* tried since it last did anything */
    uint64_t repair_at;                       /* ns; 0: none is due */
    /* FAILED: it could not be opened; BROKEN: it was open, and is opened again */
    enum { TL_INSTANCE_CLOSED, TL_INSTANCE_OPENING, TL_INSTANCE_OPEN, TL_INSTANCE_FAILED, TL_INSTANCE_BROKEN }
        state; /* the runtime's lock */
};

/* The functions by which an engine on this executor reports; borrowed, valid until it is destroyed. */
const struct tl_emit *tl_executor_emit(struct tl_executor_thread *executor);

#endif

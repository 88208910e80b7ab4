/* executor.c: see executor.h. */
#include "runtime/executor.h"

#include <signal.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

/* ---- inbox ---- */

void tl_inbox_init(struct tl_inbox *inbox, void (*wake)(void *), void *context) {
    *inbox = (struct tl_inbox){.wake = wake, .context = context};
    pthread_mutex_init(&inbox->lock, NULL);
}

void tl_inbox_fini(struct tl_inbox *inbox) {
    pthread_mutex_destroy(&inbox->lock);
    tl_mem_free(inbox->messages);
}

void tl_inbox_post(struct tl_inbox *inbox, const struct tl_message *messages, size_t count) {
    if (count == 0)
        return;
    pthread_mutex_lock(&inbox->lock);
    bool was_empty = inbox->count == 0;
    inbox->messages = tl_mem_grow(inbox->messages, &inbox->capacity, inbox->count + count, sizeof *messages);
    memcpy(&inbox->messages[inbox->count], messages, count * sizeof *messages);
    inbox->count += count;
    /* Under the lock: whoever takes the last message may end the loop and with it what wake needs. */
    if (was_empty && inbox->wake)
        inbox->wake(inbox->context);
    pthread_mutex_unlock(&inbox->lock);
}

void tl_inbox_close(struct tl_inbox *inbox) {
    pthread_mutex_lock(&inbox->lock);
    inbox->wake = NULL;
    pthread_mutex_unlock(&inbox->lock);
}

size_t tl_inbox_take(struct tl_inbox *inbox, struct tl_message **messages, size_t *capacity) {
    pthread_mutex_lock(&inbox->lock);
    struct tl_message *full = inbox->messages;
    size_t count = inbox->count, size = inbox->capacity;
    inbox->messages = *messages;
    inbox->capacity = *capacity;
    inbox->count = 0;
    pthread_mutex_unlock(&inbox->lock);
    *messages = full;
    *capacity = size;
    return count;
}

/* ---- pool ---- */

struct tl_executor_pool {
    pthread_mutex_t lock;
    pthread_cond_t work;
    struct tl_executor_thread *first, *last; /* executors with orders that nobody carries out yet */
    pthread_t *threads;
    size_t thread_capacity;
    unsigned waiting;                        /* how many those are */
    unsigned thread_count, most_threads;
    unsigned idle; /* threads that wait, or were woken and have not looked yet */
    bool stop;
};

struct tl_executor_thread {
    struct tl_inbox *inbox;
    struct tl_executor_pool *pool; /* NULL: a thread of its own, or inline */
    bool is_inline;
    pthread_mutex_t lock;
    pthread_cond_t work;         /* own thread: orders have come; pool: the last order is done */
    struct tl_order *orders;     /* guarded by lock */
    size_t count, capacity;
    bool stop;                   /* guarded by lock */
    bool scheduled;              /* pool: in the pool's list or on one of its threads; guarded by lock */
    struct tl_executor_thread *next; /* in the pool's list; guarded by the pool's lock */
    pthread_t thread;
    char name[16];
    struct tl_emit emit;
    struct tl_instance *current; /* whose order is being carried out; this and below: the executing thread's */
    struct tl_message *outbox;
    size_t outbox_count, outbox_capacity;
};

void tl_executor_start_thread(pthread_t *thread, void *(*function)(void *), void *argument, const char *name) {
    sigset_t all, former;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &former);
    int failed = pthread_create(thread, NULL, function, argument);
    pthread_sigmask(SIG_SETMASK, &former, NULL);
    if (failed)
        TL_BUG("the thread \"%s\" cannot be started: %s", name, strerror(failed));
}

/* ---- what engines report ---- */

static void flush(struct tl_executor_thread *executor) {
    tl_inbox_post(executor->inbox, executor->outbox, executor->outbox_count);
    executor->outbox_count = 0;
}

static struct tl_message *message(struct tl_executor_thread *executor, enum tl_message_kind kind,
                                  struct tl_item *item) {
    executor->outbox =
        tl_mem_grow(executor->outbox, &executor->outbox_capacity, executor->outbox_count + 1, sizeof *executor->outbox);
    struct tl_message *added = &executor->outbox[executor->outbox_count++];
    *added = (struct tl_message){.kind = kind, .time = tl_clock_now(), .item = item, .instance = executor->current};
    return added;
}

/* A device reports once per quantum; a blocking library may be at it for seconds and reports at once. */
static void reported(struct tl_executor_thread *executor) {
    if (executor->pool || executor->is_inline)
        flush(executor);
}

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    struct tl_message *added = message(context, TL_MESSAGE_DONE, item);
    added->outputs = tl_mem_alloc((count + 1) * sizeof *outputs);
    if (count > 0)
        memcpy(added->outputs, outputs, count * sizeof *outputs);
    added->size = count;
    if (usage)
        added->usage = *usage;
    reported(context);
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *text) {
    struct tl_message *added = message(context, TL_MESSAGE_FAILED, item);
    added->status = status;
    added->text = tl_mem_strdup(text);
    reported(context);
}

static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    struct tl_message *added = message(context, TL_MESSAGE_PIECE, item);
    added->value = value;
    added->size = position;
    reported(context);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    struct tl_message *added = message(context, TL_MESSAGE_DELTA, item);
    added->text = tl_mem_strndup(text, length);
    added->size = length;
    reported(context);
}

static void on_notice(void *context, struct tl_item *item, const char *text) {
    struct tl_message *added = message(context, TL_MESSAGE_NOTICE, item);
    added->text = tl_mem_strdup(text);
    reported(context);
}

static void on_broken(void *context, const char *text) {
    message(context, TL_MESSAGE_BROKEN, NULL)->text = tl_mem_strdup(text);
    reported(context);
}

/* ---- carrying out ---- */

static enum tl_status open_instance(struct tl_executor_thread *executor, struct tl_instance *instance) {
    const struct tl_engine_ops *ops = instance->engine->ops;
    enum tl_status status = ops->open(instance->engine, &executor->emit, &instance->error);
    if (status == TL_OK) {
        memset(&instance->description, 0, sizeof instance->description);
        ops->describe(instance->engine, &instance->description);
    } else {
        instance->error.status = status;
        ops->destroy(instance->engine);
        instance->engine = NULL;
    }
    return status;
}

/* The former one stays until the end, so that what it gave out is never taken for the new one's. */
static enum tl_status reopen_instance(struct tl_executor_thread *executor, struct tl_instance *instance) {
    const struct tl_engine_ops *ops = instance->ops;
    if (instance->engine) {
        ops->close(instance->engine);
        instance->former = tl_mem_grow(instance->former, &instance->former_capacity, instance->former_count + 1,
                                       sizeof(struct tl_engine *));
        instance->former[instance->former_count++] = instance->engine;
        instance->engine = NULL;
    }
    enum tl_status status = ops->create(instance->name, instance->settings, &instance->engine, &instance->error);
    return status == TL_OK ? open_instance(executor, instance) : status;
}

static void close_instance(struct tl_instance *instance) {
    const struct tl_engine_ops *ops = instance->ops;
    if (instance->engine) {
        ops->close(instance->engine);
        ops->destroy(instance->engine);
        instance->engine = NULL;
    }
    for (size_t i = 0; i < instance->former_count; i++)
        ops->destroy(instance->former[i]);
    tl_mem_free(instance->former);
    instance->former = NULL;
    instance->former_count = instance->former_capacity = 0;
}

static void carry_out(struct tl_executor_thread *executor, struct tl_order *order) {
    struct tl_instance *instance = order->instance;
    struct tl_engine *engine = instance->engine;
    executor->current = instance;
    switch (order->kind) {
    case TL_ORDER_OPEN:
        message(executor, TL_MESSAGE_OPENED, NULL)->status = open_instance(executor, instance);
        break;
    case TL_ORDER_REOPEN:
        message(executor, TL_MESSAGE_REOPENED, NULL)->status = reopen_instance(executor, instance);
        break;
    case TL_ORDER_RUN: {
        if (order->count > 0)
            engine->ops->submit(engine, order->items, order->count);
        bool more = engine->ops->step && engine->ops->step(engine);
        if (engine->ops->step)
            message(executor, TL_MESSAGE_STEP_DONE, NULL)->more = more;
        break;
    }
    case TL_ORDER_CANCEL:
        engine->ops->cancel(engine, order->item);
        break;
    case TL_ORDER_CLOSE:
        close_instance(instance);
        message(executor, TL_MESSAGE_CLOSED, NULL);
        break;
    }
    tl_mem_free(order->items);
    flush(executor);
}

/* Takes the next order; false when there is none. */
static bool take(struct tl_executor_thread *executor, struct tl_order *order) {
    if (executor->count == 0)
        return false;
    *order = executor->orders[0];
    executor->count--;
    memmove(&executor->orders[0], &executor->orders[1], executor->count * sizeof *order);
    return true;
}

static void *thread_main(void *argument) {
    struct tl_executor_thread *executor = argument;
    struct tl_order order;
    pthread_setname_np(pthread_self(), executor->name);
    pthread_mutex_lock(&executor->lock);
    for (;;) {
        if (take(executor, &order)) {
            pthread_mutex_unlock(&executor->lock);
            carry_out(executor, &order);
            pthread_mutex_lock(&executor->lock);
        } else if (executor->stop) {
            break;
        } else {
            pthread_cond_wait(&executor->work, &executor->lock);
        }
    }
    pthread_mutex_unlock(&executor->lock);
    return NULL;
}

/* Under the pool's lock. */
static void line_up(struct tl_executor_pool *pool, struct tl_executor_thread *executor) {
    executor->next = NULL;
    if (pool->last)
        pool->last->next = executor;
    else
        pool->first = executor;
    pool->last = executor;
    pool->waiting++;
}

/* One order of an executor, then the executor goes to the end of the line. */
static void serve(struct tl_executor_pool *pool, struct tl_executor_thread *executor) {
    struct tl_order order;
    pthread_mutex_lock(&executor->lock);
    bool any = take(executor, &order);
    pthread_mutex_unlock(&executor->lock);
    if (any)
        carry_out(executor, &order);
    pthread_mutex_lock(&pool->lock);
    pthread_mutex_lock(&executor->lock);
    if (executor->count > 0) {
        line_up(pool, executor);
    } else {
        executor->scheduled = false;
        pthread_cond_broadcast(&executor->work);
    }
    pthread_mutex_unlock(&executor->lock);
    pthread_mutex_unlock(&pool->lock);
}

static void *pool_main(void *argument) {
    struct tl_executor_pool *pool = argument;
    pthread_setname_np(pthread_self(), "teola-pool");
    pthread_mutex_lock(&pool->lock);
    for (;;) {
        struct tl_executor_thread *executor = pool->first;
        if (executor) {
            pool->first = executor->next;
            if (!pool->first)
                pool->last = NULL;
            pool->waiting--;
            pthread_mutex_unlock(&pool->lock);
            serve(pool, executor);
            pthread_mutex_lock(&pool->lock);
        } else if (pool->stop) {
            break;
        } else {
            pool->idle++;
            pthread_cond_wait(&pool->work, &pool->lock);
            pool->idle--;
        }
    }
    pthread_mutex_unlock(&pool->lock);
    return NULL;
}

struct tl_executor_pool *tl_executor_pool_create(unsigned most_threads) {
    struct tl_executor_pool *pool = tl_mem_zalloc(sizeof *pool);
    pthread_mutex_init(&pool->lock, NULL);
    pthread_cond_init(&pool->work, NULL);
    pool->most_threads = most_threads;
    return pool;
}

void tl_executor_pool_destroy(struct tl_executor_pool *pool) {
    if (!pool)
        return;
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->lock);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    tl_mem_free(pool->threads);
    tl_mem_free(pool);
}

/* Under the pool's lock: somebody is there for each in the list, as far as there may be threads. One that was woken for
 * another is not there for this one. */
static void see_to_it(struct tl_executor_pool *pool) {
    if (pool->idle < pool->waiting && pool->thread_count < pool->most_threads) {
        pool->threads = tl_mem_grow(pool->threads, &pool->thread_capacity, pool->thread_count + 1, sizeof(pthread_t));
        tl_executor_start_thread(&pool->threads[pool->thread_count++], pool_main, pool, "pool");
    }
    pthread_cond_signal(&pool->work);
}

static void schedule(struct tl_executor_pool *pool, struct tl_executor_thread *executor) {
    line_up(pool, executor);
    see_to_it(pool);
}

void tl_executor_pool_widen(struct tl_executor_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->most_threads++;
    if (pool->first)
        see_to_it(pool);
    pthread_mutex_unlock(&pool->lock);
}

void tl_executor_pool_leave(struct tl_executor_pool *pool) {
    pthread_mutex_lock(&pool->lock);
    pool->stop = true;
    pthread_cond_broadcast(&pool->work);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_detach(pool->threads[i]);
    pthread_mutex_unlock(&pool->lock);
}

/* ---- life ---- */

static struct tl_executor_thread *create(struct tl_inbox *inbox) {
    struct tl_executor_thread *executor = tl_mem_zalloc(sizeof *executor);
    executor->inbox = inbox;
    executor->emit = (struct tl_emit){executor, on_done, on_fail, on_piece, on_delta, on_notice, on_broken};
    pthread_mutex_init(&executor->lock, NULL);
    pthread_cond_init(&executor->work, NULL);
    return executor;
}

struct tl_executor_thread *tl_executor_create_thread(const char *name, struct tl_inbox *inbox) {
    struct tl_executor_thread *executor = create(inbox);
    strncpy(executor->name, name, sizeof executor->name - 1);
    tl_executor_start_thread(&executor->thread, thread_main, executor, name);
    return executor;
}

struct tl_executor_thread *tl_executor_create_pooled(struct tl_executor_pool *pool, struct tl_inbox *inbox) {
    struct tl_executor_thread *executor = create(inbox);
    executor->pool = pool;
    return executor;
}

struct tl_executor_thread *tl_executor_create_inline(struct tl_inbox *inbox) {
    struct tl_executor_thread *executor = create(inbox);
    executor->is_inline = true;
    return executor;
}

void tl_executor_destroy(struct tl_executor_thread *executor) {
    if (!executor)
        return;
    pthread_mutex_lock(&executor->lock);
    executor->stop = true;
    if (executor->pool) {
        while (executor->scheduled)
            pthread_cond_wait(&executor->work, &executor->lock);
    } else {
        pthread_cond_broadcast(&executor->work);
    }
    pthread_mutex_unlock(&executor->lock);
    if (!executor->pool && !executor->is_inline)
        pthread_join(executor->thread, NULL);
    pthread_cond_destroy(&executor->work);
    pthread_mutex_destroy(&executor->lock);
    tl_mem_free(executor->orders);
    tl_mem_free(executor->outbox);
    tl_mem_free(executor);
}

void tl_executor_leave(struct tl_executor_thread *executor) {
    pthread_mutex_lock(&executor->lock);
    for (size_t i = 0; i < executor->count; i++)
        tl_mem_free(executor->orders[i].items);
    executor->count = 0;
    executor->stop = true;
    pthread_cond_broadcast(&executor->work);
    pthread_mutex_unlock(&executor->lock);
    if (!executor->pool && !executor->is_inline)
        pthread_detach(executor->thread);
}

void tl_executor_order(struct tl_executor_thread *executor, const struct tl_order *order) {
    if (executor->is_inline) {
        struct tl_order copy = *order;
        carry_out(executor, &copy);
        return;
    }
    struct tl_executor_pool *pool = executor->pool;
    if (pool)
        pthread_mutex_lock(&pool->lock); /* always before the executor's */
    pthread_mutex_lock(&executor->lock);
    executor->orders = tl_mem_grow(executor->orders, &executor->capacity, executor->count + 1, sizeof *order);
    executor->orders[executor->count++] = *order;
    if (pool && !executor->scheduled) {
        executor->scheduled = true;
        schedule(pool, executor);
    } else if (!pool) {
        pthread_cond_signal(&executor->work);
    }
    pthread_mutex_unlock(&executor->lock);
    if (pool)
        pthread_mutex_unlock(&pool->lock);
}

const struct tl_emit *tl_executor_emit(struct tl_executor_thread *executor) {
    return &executor->emit;
}

/* loop.c: the loop thread: messages become events of the scheduler, its actions become orders.
 * It sleeps in epoll until an executor or a caller posts a message or the scheduler's timer fires. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "runtime/runtime_impl.h"

#define TL_NS_ROUND_UP_MS(ns) (((ns) + TL_NS_PER_MS - 1) / TL_NS_PER_MS)

/* ---- actions ---- */

static void act_run(struct tl_runtime *runtime, const struct tl_action *action, uint64_t now) {
    struct tl_instance *instance = runtime->by_number[action->as.run.instance];
    size_t count = action->as.run.count;
    struct tl_order order = {.kind = TL_ORDER_RUN, .instance = instance, .count = count};
    if (instance->kind != TL_EXECUTOR_LOOP)
        instance->stepping = true;
    instance->held += (uint32_t)count;
    if (count > 0) {
        runtime->batches++;
        order.items = tl_mem_alloc(count * sizeof(struct tl_item *));
        memcpy(order.items, action->as.run.items, count * sizeof(struct tl_item *));
        for (size_t i = 0; i < count; i++) {
            struct tl_runtime_item *item = tl_mem_alloc(sizeof *item);
            *item = (struct tl_runtime_item){
                .run = tl_sched_item_run(order.items[i]),
                .started = now,
                .instance = action->as.run.instance,
                .batch = runtime->batches,
                .batch_items = (uint32_t)count,
                .since = instance->calibration.sum,
            };
            tl_id_table_set(&runtime->items, order.items[i]->id, item);
        }
    }
    if (instance->kind != TL_EXECUTOR_LOOP)
        tl_calibration_ordered(&instance->calibration, order.items, count, now);
    tl_executor_order(instance->executor, &order);
}

static void act_cancel(struct tl_runtime *runtime, const struct tl_action *action) {
    struct tl_instance *instance = runtime->by_number[action->as.cancel.instance];
    tl_executor_order(
        instance->executor,
        &(struct tl_order){.kind = TL_ORDER_CANCEL, .instance = instance, .item = action->as.cancel.item});
}

static void act_finished(struct tl_runtime *runtime, const struct tl_action *action) {
    if (tl_runtime_prewarm_finished(runtime, action))
        return;
    struct tl_run_record *record = tl_runtime_live_run(runtime, action->as.finished.run);
    TL_ASSERT(record);
    record->retry_after = action->as.finished.retry_after_ms;
    tl_runtime_run_finished(runtime, record, action->as.finished.status, action->as.finished.message,
                            action->as.finished.outputs, action->as.finished.output_count);
}

static void act_recalled(struct tl_runtime *runtime, const struct tl_action *action, uint64_t now) {
    struct tl_run_record *record = tl_runtime_live_run(runtime, action->as.recalled.run);
    if (!record)
        return;
    uint64_t zero = record->submitted, ready = action->as.recalled.ready;
    tl_report_add_remembered(&record->report, action->as.recalled.label,
                             tl_primitive_info(action->as.recalled.op)->name,
                             (uint64_t)action->as.recalled.known + action->as.recalled.shared,
                             ready > zero ? ready - zero : 0, now > zero ? now - zero : 0,
                             action->as.recalled.ms_saved);
}

static void on_timer(uv_timer_t *timer);

/* libuv counts whole milliseconds, so a timer may fire up to one early: never before `at`, at most two late. */
static void act_wake(struct tl_runtime *runtime, uint64_t at, uint64_t now) {
    runtime->wake_at = at;
    if (at == 0) {
        uv_timer_stop(&runtime->timer);
        return;
    }
    uv_update_time(&runtime->loop);
    uv_timer_start(&runtime->timer, on_timer, at > now ? TL_NS_ROUND_UP_MS(at - now) + 1 : 0, 0);
}

/* One event through the scheduler. `record` (may be NULL) is charged with the time it took. */
static void step(struct tl_runtime *runtime, struct tl_event *event, struct tl_run_record *record) {
    uint64_t now = tl_clock_now();
    event->now = now;
    event->follows = runtime->follows;
    tl_sched_step(runtime->sched, event, &runtime->actions);
    if (record)
        record->overhead += tl_clock_now() - now;
    for (size_t i = 0; i < runtime->actions.count; i++) {
        const struct tl_action *action = &runtime->actions.items[i];
        switch (action->kind) {
        case TL_ACTION_RUN: act_run(runtime, action, now); break;
        case TL_ACTION_CANCEL_ITEM: act_cancel(runtime, action); break;
        case TL_ACTION_INSTANCE_HUNG:
            tl_runtime_hung(runtime, runtime->by_number[action->as.hung.instance], action->as.hung.silent);
            break;
        case TL_ACTION_RUN_FINISHED: act_finished(runtime, action); break;
        case TL_ACTION_RECALLED: act_recalled(runtime, action, now); break;
        case TL_ACTION_WAKE: act_wake(runtime, action->as.wake.at, now); break;
        }
    }
}

void tl_runtime_step(struct tl_runtime *runtime, struct tl_event *event) {
    step(runtime, event, NULL);
}

/* ---- messages from executors ---- */

/* The run that an item belongs to; NULL when the run has ended. */
static struct tl_run_record *record_of(struct tl_runtime *runtime, const struct tl_item *item) {
    return tl_runtime_live_run(runtime, tl_sched_item_run(item));
}

/* What waits on the loop has no quanta: its time is that from its start to its end. What a server writes at one time
 * with others says nothing of one call. */
static void calibrate(struct tl_runtime *runtime, const struct tl_runtime_item *held,
                      const struct tl_message *message) {
    struct tl_instance *instance = runtime->by_number[held->instance];
    bool failed = message->kind == TL_MESSAGE_FAILED || !tl_sched_item_is_wanted(message->item);
    if (instance->kind != TL_EXECUTOR_LOOP) {
        tl_calibration_outcome(&instance->calibration, message->item, &message->usage, failed, held->since);
    } else if (!failed && tl_primitive_info(message->item->op)->capability != TL_CAPABILITY_LLM) {
        struct tl_cost_work work = tl_calibration_work(message->item, &message->usage);
        tl_cost_observe(runtime->cost, instance->times, &work, 1,
                        (double)(message->time - held->started) / (double)TL_NS_PER_MS);
    }
}

/* Before the scheduler frees the item. True when text of it has gone to the user. */
static bool record_outcome(struct tl_runtime *runtime, struct tl_run_record *record, const struct tl_message *message) {
    struct tl_runtime_item *held = tl_id_table_remove(&runtime->items, message->item->id);
    TL_ASSERT(held);
    bool wanted = tl_sched_item_is_wanted(message->item);
    calibrate(runtime, held, message);
    if (record) {
        uint64_t ready = tl_sched_item_ready(message->item), zero = record->submitted;
        struct tl_report_item item = {
            .label = (char *)message->item->label,
            .op = tl_primitive_info(message->item->op)->name,
            .engine = runtime->by_number[held->instance]->name,
            .ready = ready > zero ? ready - zero : 0,
            .start = held->started > zero ? held->started - zero : 0,
            .end = message->time > zero ? message->time - zero : 0,
            .batch = held->batch,
            .batch_items = held->batch_items,
            .failed = message->kind == TL_MESSAGE_FAILED || !wanted,
            .reason = tl_sched_item_reason(message->item),
            .usage = message->usage,
        };
        tl_report_add(&record->report, &item);
    }
    struct tl_instance *instance = runtime->by_number[held->instance];
    instance->held--;
    if (message->kind == TL_MESSAGE_DONE && wanted)
        instance->repairs = 0;
    bool shown = held->shown;
    tl_mem_free(held);
    return shown;
}

static void on_shown(struct tl_runtime *runtime, const struct tl_item *item) {
    struct tl_runtime_item *held = tl_id_table_get(&runtime->items, item->id);
    if (held)
        held->shown = true;
}

static void on_outcome(struct tl_runtime *runtime, struct tl_message *message) {
    struct tl_run_record *record = record_of(runtime, message->item);
    bool shown = record_outcome(runtime, record, message);
    struct tl_event event = {.kind = TL_EVENT_ITEM_DONE};
    if (message->kind == TL_MESSAGE_DONE) {
        event.as.done.item = message->item;
        event.as.done.outputs = message->outputs;
        event.as.done.count = message->size;
        event.as.done.usage = message->usage;
    } else {
        event.kind = TL_EVENT_ITEM_FAILED;
        event.as.failed.item = message->item;
        event.as.failed.status = message->status;
        event.as.failed.message = message->text;
        event.as.failed.shown = shown;
    }
    struct tl_instance *instance = runtime->by_number[tl_sched_item_instance(message->item)];
    step(runtime, &event, record);
    tl_runtime_lose_broken(runtime, instance);
    tl_mem_free(message->outputs);
}

static void on_piece(struct tl_runtime *runtime, const struct tl_message *message) {
    struct tl_event event = {.kind = TL_EVENT_ITEM_PIECE};
    event.as.piece.item = message->item;
    event.as.piece.position = message->size;
    event.as.piece.value = message->value;
    step(runtime, &event, record_of(runtime, message->item));
}

static void on_step_done(struct tl_runtime *runtime, const struct tl_message *message) {
    struct tl_event event = {.kind = TL_EVENT_STEP_DONE};
    event.as.step.instance = message->instance->number;
    event.as.step.more = message->more;
    if (!message->instance->hung)
        tl_calibration_stepped(&message->instance->calibration, runtime->cost, message->instance->times,
                               message->time);
    message->instance->stepping = false;
    if (!tl_runtime_lose_broken(runtime, message->instance))
        step(runtime, &event, NULL);
}

/* ---- messages from callers ---- */

static void cancel_run(struct tl_runtime *runtime, uint64_t run) {
    struct tl_event event = {.kind = TL_EVENT_CANCEL};
    event.as.cancel.run = run;
    step(runtime, &event, NULL);
}

static void on_submit(struct tl_runtime *runtime, struct tl_run_record *record) {
    tl_runtime_prewarm_yield(runtime);
    struct tl_event event = {.kind = TL_EVENT_RUN_SUBMITTED};
    tl_run_id run = record->id; /* the record may be gone after the step */
    event.as.submitted.run = record->id;
    event.as.submitted.plan = tl_plan_ref(record->plan);
    event.as.submitted.inputs = record->inputs;
    event.as.submitted.input_count = record->input_count;
    event.as.submitted.deadline = record->timeout_ms ? record->submitted + record->timeout_ms * TL_NS_PER_MS : 0;
    event.as.submitted.priority = record->priority;
    event.as.submitted.tenant = record->tenant;
    struct tl_value **inputs = record->inputs;
    record->inputs = NULL;
    step(runtime, &event, record);
    tl_mem_free(inputs);
    if (runtime->cancelling_all) /* its caller came in before closing began */
        cancel_run(runtime, run);
}

static void cancel_all(struct tl_runtime *runtime) {
    pthread_mutex_lock(&runtime->lock);
    uint64_t *ids = tl_mem_alloc((runtime->runs.count + 1) * sizeof *ids);
    size_t count = 0, cursor = 0;
    for (struct tl_run_record *record; (record = tl_id_table_next(&runtime->runs, &cursor));)
        if (!record->finished)
            ids[count++] = record->id;
    pthread_mutex_unlock(&runtime->lock);
    for (size_t i = 0; i < count; i++)
        cancel_run(runtime, ids[i]);
    tl_mem_free(ids);
}

/* ---- the loop ---- */

static void handle(struct tl_runtime *runtime, struct tl_message *message) {
    struct tl_run_record *record;
    switch (message->kind) {
    case TL_MESSAGE_DONE:
    case TL_MESSAGE_FAILED:
        on_outcome(runtime, message);
        break;
    case TL_MESSAGE_PIECE:
        on_piece(runtime, message);
        break;
    case TL_MESSAGE_DELTA:
        on_shown(runtime, message->item);
        if (tl_sched_item_is_wanted(message->item) && (record = record_of(runtime, message->item)))
            tl_runtime_run_delta(record, message->text, message->size);
        break;
    case TL_MESSAGE_NOTICE:
        if (tl_sched_item_is_wanted(message->item) && (record = record_of(runtime, message->item)))
            tl_runtime_run_notice(record, message->item->label, message->text);
        break;
    case TL_MESSAGE_STEP_DONE:
        on_step_done(runtime, message);
        break;
    case TL_MESSAGE_OPEN:
        tl_executor_order(message->instance->executor,
                          &(struct tl_order){.kind = TL_ORDER_OPEN, .instance = message->instance});
        break;
    case TL_MESSAGE_OPENED:
        tl_runtime_engine_opened(runtime, message->instance, message->status);
        break;
    case TL_MESSAGE_BROKEN:
        tl_runtime_broken(runtime, message->instance, message->text);
        break;
    case TL_MESSAGE_REOPENED:
        tl_runtime_reopened(runtime, message->instance, message->status);
        break;
    case TL_MESSAGE_CLOSED:
        tl_runtime_closed(runtime, message->instance);
        break;
    case TL_MESSAGE_SUBMIT:
        on_submit(runtime, message->record);
        break;
    case TL_MESSAGE_CANCEL_RUN:
        cancel_run(runtime, message->run);
        break;
    case TL_MESSAGE_CANCEL_ALL:
        runtime->cancelling_all = true;
        tl_runtime_prewarm_yield(runtime);
        cancel_all(runtime);
        break;
    case TL_MESSAGE_PREWARM:
        tl_runtime_prewarm_add(runtime, message->plan);
        tl_plan_unref(message->plan);
        break;
    case TL_MESSAGE_SHUT_DOWN:
        runtime->shutting_down = true;
        break;
    }
    tl_mem_free(message->text);
}

/* Whether handling the message leads to a step of the scheduler, whatever has happened before. */
static bool steps(const struct tl_message *message) {
    switch (message->kind) {
    case TL_MESSAGE_DONE:
    case TL_MESSAGE_FAILED:
    case TL_MESSAGE_PIECE:
    case TL_MESSAGE_STEP_DONE:
    case TL_MESSAGE_SUBMIT:
    case TL_MESSAGE_CANCEL_RUN:
        return true;
    default:
        return false;
    }
}

static void handle_all(struct tl_runtime *runtime) {
    size_t count = tl_inbox_take(&runtime->inbox, &runtime->messages, &runtime->message_capacity);
    size_t last_step = count; /* the last message that leads to a step; before it, another step follows */
    while (last_step > 0 && !steps(&runtime->messages[last_step - 1]))
        last_step--;
    for (size_t i = 0; i < count; i++) {
        runtime->follows = i + 1 < last_step;
        handle(runtime, &runtime->messages[i]);
    }
    runtime->follows = false;
    atomic_fetch_add_explicit(&runtime->handled, count, memory_order_relaxed);
    tl_runtime_prewarm_go_on(runtime);
    tl_runtime_shutdown_go_on(runtime);
}

static void on_wake(uv_async_t *wake) {
    struct tl_runtime *runtime = wake->data;
    atomic_fetch_add_explicit(&runtime->wakes, 1, memory_order_relaxed);
    handle_all(runtime);
}

/* What has come by now is not late: it is looked at first. The scheduler asks for a wake once: one that came too early would
 * be the last. */
static void on_timer(uv_timer_t *timer) {
    struct tl_runtime *runtime = timer->data;
    handle_all(runtime);
    uint64_t now = tl_clock_now();
    if (now < runtime->wake_at)
        act_wake(runtime, runtime->wake_at, now);
    else
        step(runtime, &(struct tl_event){.kind = TL_EVENT_TIME}, NULL);
    tl_runtime_shutdown_go_on(runtime);
}

static void wake_loop(void *context) {
    uv_async_send(context);
}

void tl_runtime_post(struct tl_runtime *runtime, const struct tl_message *message) {
    tl_inbox_post(&runtime->inbox, message, 1);
}

static void *loop_main(void *argument) {
    struct tl_runtime *runtime = argument;
    pthread_setname_np(pthread_self(), "teola-loop");
    uv_run(&runtime->loop, UV_RUN_DEFAULT);
    return NULL;
}

enum tl_status tl_runtime_loop_start(struct tl_runtime *runtime, struct tl_error *error) {
    tl_inbox_init(&runtime->inbox, wake_loop, &runtime->wake);
    int failed = uv_loop_init(&runtime->loop);
    if (failed)
        return tl_error_set(error, TL_ERR_IO, "the event loop cannot be made: %s", uv_strerror(failed));
    failed = uv_async_init(&runtime->loop, &runtime->wake, on_wake);
    if (failed) {
        uv_loop_close(&runtime->loop);
        return tl_error_set(error, TL_ERR_IO, "the event loop cannot be woken: %s", uv_strerror(failed));
    }
    uv_timer_init(&runtime->loop, &runtime->timer);
    tl_runtime_repair_init(runtime);
    tl_runtime_shutdown_init(runtime);
    runtime->wake.data = runtime->timer.data = runtime;
    tl_actions_init(&runtime->actions);
    tl_id_table_init(&runtime->items);
    tl_executor_start_thread(&runtime->thread, loop_main, runtime, "loop");
    return TL_OK;
}

void tl_runtime_loop_join(struct tl_runtime *runtime) {
    pthread_join(runtime->thread, NULL);
    if (uv_loop_close(&runtime->loop) != 0)
        TL_BUG("the event loop ended with handles left");
    TL_ASSERT(runtime->items.count == 0 || runtime->left > 0);
    if (runtime->left == 0)
        tl_id_table_fini(&runtime->items);
    tl_actions_fini(&runtime->actions);
    tl_mem_free(runtime->messages);
    tl_mem_free(runtime->by_number);
}

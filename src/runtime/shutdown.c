/* shutdown.c: the end of the loop. Engines are closed when they have given back all that they hold, and the loop ends when
 * all are closed.
 *
 * That waits for calls as long as the scheduler does: one that it has given up is only waited for a moment, in case it
 * returns just now. A close that takes longer than `hang_after` is not waited for either. Then the thread is left behind in
 * its call. It may read and write what it was lent at any later time, so all that it can reach stays: its executor, its
 * instances with their engines, the inbox, the scheduler with the runs, which is why the runtime as a whole is not freed.
 * The other engines are closed and their threads ended as always. */
#include "base/log.h"
#include "runtime/runtime_impl.h"

#define HUNG_PATIENCE_MS 1000u

static void on_patience(uv_timer_t *timer);

void tl_runtime_shutdown_init(struct tl_runtime *runtime) {
    uv_timer_init(&runtime->loop, &runtime->patience);
    runtime->patience.data = runtime;
}

static void set_patience(struct tl_runtime *runtime, uint64_t ms) {
    runtime->patient = ms > 0;
    uv_timer_stop(&runtime->patience);
    if (ms == 0)
        return;
    uv_update_time(&runtime->loop);
    uv_timer_start(&runtime->patience, on_patience, ms, 0);
}

static void end_loop(struct tl_runtime *runtime) {
    for (size_t i = 0; i < runtime->number_count; i++)
        runtime->left += !runtime->by_number[i]->closed;
    tl_inbox_close(&runtime->inbox);
    uv_close((uv_handle_t *)&runtime->wake, NULL);
    uv_close((uv_handle_t *)&runtime->timer, NULL);
    uv_close((uv_handle_t *)&runtime->repair, NULL);
    uv_close((uv_handle_t *)&runtime->patience, NULL);
}

/* Whether the instance's executor is in a call that was given up. */
static bool is_out_of_reach(const struct tl_runtime *runtime, const struct tl_instance *instance) {
    for (size_t i = 0; i < runtime->number_count; i++) {
        const struct tl_instance *other = runtime->by_number[i];
        if (other->hung && other->stepping && other->executor == instance->executor)
            return true;
    }
    return false;
}

/* Those that do not answer are not waited for: one that can be reached gives all back when it is closed. */
static bool all_is_back(const struct tl_runtime *runtime, bool *all_in_reach) {
    *all_in_reach = true;
    for (size_t i = 0; i < runtime->number_count; i++) {
        const struct tl_instance *instance = runtime->by_number[i];
        bool reachable = !is_out_of_reach(runtime, instance);
        *all_in_reach = *all_in_reach && reachable;
        if (reachable && !instance->hung && (instance->held > 0 || instance->stepping))
            return false;
    }
    return true;
}

static void close_engines(struct tl_runtime *runtime) {
    runtime->engines_closing = true;
    tl_runtime_repair_stop(runtime);
    runtime->open_instances = 0;
    for (size_t i = 0; i < runtime->number_count; i++)
        runtime->open_instances += !is_out_of_reach(runtime, runtime->by_number[i]);
    set_patience(runtime, tl_config_hang_after_ms(runtime->config));
    if (runtime->open_instances == 0) {
        end_loop(runtime);
        return;
    }
    for (size_t i = 0; i < runtime->number_count; i++)
        if (!is_out_of_reach(runtime, runtime->by_number[i]))
            tl_executor_order(runtime->by_number[i]->executor,
                              &(struct tl_order){.kind = TL_ORDER_CLOSE, .instance = runtime->by_number[i]});
}

static void on_patience(uv_timer_t *timer) {
    struct tl_runtime *runtime = timer->data;
    if (runtime->engines_closing)
        end_loop(runtime);
    else
        close_engines(runtime);
}

void tl_runtime_shutdown_go_on(struct tl_runtime *runtime) {
    bool all_in_reach;
    if (!runtime->shutting_down || runtime->engines_closing || !all_is_back(runtime, &all_in_reach))
        return;
    if (all_in_reach)
        close_engines(runtime);
    else if (!runtime->patient)
        set_patience(runtime, HUNG_PATIENCE_MS);
}

void tl_runtime_closed(struct tl_runtime *runtime, struct tl_instance *instance) {
    instance->closed = true;
    if (--runtime->open_instances == 0)
        end_loop(runtime);
}

/* ---- after the loop ---- */

/* False: the executor's thread is in a call. */
static bool is_idle(const struct tl_runtime *runtime, const struct tl_executor_thread *executor) {
    for (size_t i = 0; i < runtime->engine_count; i++)
        for (uint32_t k = 0; k < runtime->engines[i].config->instances; k++) {
            const struct tl_instance *instance = &runtime->engines[i].instances[k];
            bool opened = instance->state == TL_INSTANCE_OPEN || instance->state == TL_INSTANCE_BROKEN;
            if (instance->executor == executor && opened && !instance->closed)
                return false;
        }
    return true;
}

bool tl_runtime_leaves_threads(struct tl_runtime *runtime) {
    bool pool_is_idle = true;
    if (runtime->left == 0)
        return false;
    for (size_t i = 0; i < runtime->engine_count; i++)
        for (uint32_t k = 0; k < runtime->engines[i].config->instances; k++) {
            struct tl_instance *instance = &runtime->engines[i].instances[k];
            if (instance->executor && !is_idle(runtime, instance->executor))
                tl_log(TL_LOG_ERROR,
                       "engine %s is not closed: its thread is in a call that does not return, and is left behind",
                       instance->name);
            if (!instance->executor || instance->kind == TL_EXECUTOR_DEVICE)
                continue;
            if (is_idle(runtime, instance->executor)) {
                tl_executor_destroy(instance->executor);
            } else {
                tl_executor_leave(instance->executor);
                pool_is_idle = pool_is_idle && instance->kind != TL_EXECUTOR_POOL;
            }
        }
    for (size_t i = 0; i < runtime->device_count; i++)
        if (is_idle(runtime, runtime->devices[i].executor))
            tl_executor_destroy(runtime->devices[i].executor);
        else
            tl_executor_leave(runtime->devices[i].executor);
    if (pool_is_idle)
        tl_executor_pool_destroy(runtime->pool);
    else
        tl_executor_pool_leave(runtime->pool);
    return true;
}

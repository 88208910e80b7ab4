/* repair.c: engines that are broken as a whole (emit->broken) are lost for the scheduler, closed, and opened again: at once,
 * and, while they do nothing between breaking, after half a second, a second, ... a minute.
 *
 * So are those that the scheduler has given up because they do not answer. The order to open one again waits behind the call
 * that does not return; when it does, its outcomes come first, then closing fails what the engine still holds, then it is
 * opened: when it is open again nothing that was lent to the former one is out any more. */
#include "base/clock.h"
#include "base/log.h"
#include "runtime/runtime_impl.h"

#define FIRST_DELAY_MS 500u
#define MOST_DELAY_MS 60000u

static void on_repair(uv_timer_t *timer);

/* While it is not OPEN no caller asks the engine anything. */
static void set_state(struct tl_runtime *runtime, struct tl_instance *instance, bool open) {
    pthread_mutex_lock(&runtime->lock);
    instance->state = open ? TL_INSTANCE_OPEN : TL_INSTANCE_BROKEN;
    pthread_mutex_unlock(&runtime->lock);
}

static uint64_t delay_ms(uint32_t repairs) {
    if (repairs == 0)
        return 0;
    uint64_t ms = FIRST_DELAY_MS << (repairs < 8 ? repairs - 1 : 7);
    return ms < MOST_DELAY_MS ? ms : MOST_DELAY_MS;
}

/* Opens what is due, and sets the timer for what is not. */
static void look(struct tl_runtime *runtime) {
    uint64_t now = tl_clock_now(), next = 0;
    for (size_t i = 0; i < runtime->number_count && !runtime->engines_closing; i++) {
        struct tl_instance *instance = runtime->by_number[i];
        if (instance->repair_at == 0)
            continue;
        if (instance->repair_at <= now) {
            instance->repair_at = 0;
            instance->repairs++;
            tl_executor_order(instance->executor, &(struct tl_order){.kind = TL_ORDER_REOPEN, .instance = instance});
        } else if (next == 0 || instance->repair_at < next) {
            next = instance->repair_at;
        }
    }
    if (next > 0) {
        uv_update_time(&runtime->loop);
        uv_timer_start(&runtime->repair, on_repair, (next - now) / TL_NS_PER_MS + 1, 0);
    }
}

static void on_repair(uv_timer_t *timer) {
    look(timer->data);
}

static void plan_repair(struct tl_runtime *runtime, struct tl_instance *instance) {
    instance->repair_at = tl_clock_now() + delay_ms(instance->repairs) * TL_NS_PER_MS;
    look(runtime);
}

void tl_runtime_repair_init(struct tl_runtime *runtime) {
    uv_timer_init(&runtime->loop, &runtime->repair);
    runtime->repair.data = runtime;
}

void tl_runtime_repair_stop(struct tl_runtime *runtime) {
    uv_timer_stop(&runtime->repair);
}

void tl_runtime_broken(struct tl_runtime *runtime, struct tl_instance *instance, const char *why) {
    tl_log(TL_LOG_WARN, "engine %s is broken: %s; it is opened again", instance->name, why);
    instance->broken = true;
    tl_runtime_lose_broken(runtime, instance);
}

bool tl_runtime_lose_broken(struct tl_runtime *runtime, struct tl_instance *instance) {
    if (!instance->broken || instance->lost || instance->held > 0 || instance->stepping)
        return false;
    struct tl_event event = {.kind = TL_EVENT_INSTANCE_LOST};
    event.as.step.instance = instance->number;
    instance->lost = true;
    set_state(runtime, instance, false);
    tl_runtime_step(runtime, &event);
    plan_repair(runtime, instance);
    return true;
}

void tl_runtime_hung(struct tl_runtime *runtime, struct tl_instance *instance, uint64_t silent) {
    tl_log(TL_LOG_WARN, "engine %s has not answered for %.1f s: it is given up, and opened again when its call returns",
           instance->name, (double)silent / (double)TL_NS_PER_S);
    instance->broken = instance->lost = instance->hung = true;
    set_state(runtime, instance, false);
    if (instance->kind == TL_EXECUTOR_POOL && instance->stepping)
        tl_executor_pool_widen(runtime->pool);
    plan_repair(runtime, instance);
}

void tl_runtime_reopened(struct tl_runtime *runtime, struct tl_instance *instance, enum tl_status status) {
    if (runtime->engines_closing) /* and the executor is at it already */
        return;
    if (status != TL_OK) {
        tl_log(TL_LOG_WARN, "engine %s cannot be opened again: %s", instance->name, instance->error.message);
        plan_repair(runtime, instance);
        return;
    }
    tl_log(TL_LOG_INFO, "engine %s is open again", instance->name);
    struct tl_event event = {.kind = TL_EVENT_INSTANCE_BACK};
    event.as.step.instance = instance->number;
    instance->broken = instance->lost = instance->hung = false;
    set_state(runtime, instance, true);
    instance->calibration = (struct tl_calibration){.spoiled = true};
    tl_sched_set_owner(runtime->sched, instance->number, instance->engine);
    tl_runtime_step(runtime, &event);
}

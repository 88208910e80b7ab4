/* workflow_target.c: see workflow_target.h. The runtime's thread notes the time and the result of what has ended in a
 * list; this thread takes them from there and tells the drive. */
#include "bench/workflow_target.h"

#include <jansson.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"

/* A signal does not end the wait for a result, so the drive is let look for one as often. */
static const uint64_t LONGEST_WAIT = 200 * TL_NS_PER_MS;

struct workflow_target;

struct call {
    struct workflow_target *target;
    struct call *next; /* of those that have ended */
    struct call *next_running;
    size_t number;
    tl_run_id run;
    uint64_t first, ended;
    enum tl_status status;
    char *result;
};

struct workflow_target {
    struct tl_bench_target base;
    struct tl_bench_workflow workflow;
    struct tl_bench_drive *drive; /* to which the outcomes belong */
    struct tl_bench_outcome *outcomes;
    struct call *running; /* all that are submitted and not told yet */
    uint64_t reported;    /* when that happened which the drive is being told; 0: nothing */
    pthread_mutex_t lock; /* of what follows and, until a call has ended, of its first, ended, status and result */
    pthread_cond_t changed;
    struct call *ended, **ended_end;
};

static struct workflow_target *target_of(const struct tl_bench_target *target) {
    return (struct workflow_target *)target;
}

/* What happened is told later than it happened. */
static uint64_t now(struct tl_bench_target *base) {
    struct workflow_target *target = target_of(base);
    return target->reported ? target->reported : tl_clock_now();
}

/* ---- on the runtime's thread ---- */

static void on_delta(void *context, tl_run_id run, const char *text, size_t length) {
    struct call *call = context;
    (void)run, (void)text, (void)length;
    if (call->first == 0)
        call->first = tl_clock_now();
}

static void on_done(void *context, tl_run_id run, enum tl_status status, const char *result) {
    struct call *call = context;
    struct workflow_target *target = call->target;
    (void)run;
    call->ended = tl_clock_now();
    call->status = status;
    call->result = tl_mem_strdup(result);
    pthread_mutex_lock(&target->lock);
    *target->ended_end = call;
    target->ended_end = &call->next;
    pthread_cond_signal(&target->changed);
    pthread_mutex_unlock(&target->lock);
}

/* ---- on the caller's ---- */

/* Waits until something has ended or the time has come. NULL: nothing has. */
static struct call *next_ended(struct workflow_target *target, uint64_t until) {
    struct timespec at = {.tv_sec = (time_t)(until / TL_NS_PER_S), .tv_nsec = (long)(until % TL_NS_PER_S)};
    int result = 0;
    pthread_mutex_lock(&target->lock);
    while (!target->ended && result == 0)
        result = pthread_cond_timedwait(&target->changed, &target->lock, &at);
    struct call *call = target->ended;
    if (call) {
        target->ended = call->next;
        if (!target->ended)
            target->ended_end = &target->ended;
    }
    pthread_mutex_unlock(&target->lock);
    return call;
}

static void free_call(struct call *call) {
    struct call **link = &call->target->running;
    while (*link != call)
        link = &(*link)->next_running;
    *link = call->next_running;
    tl_mem_free(call->result);
    tl_mem_free(call);
}

static uint64_t count_of(const json_t *object, const char *name) {
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

static void tell(struct workflow_target *target, const struct call *call) {
    json_t *result = json_loads(call->result, 0, NULL);
    const json_t *usage = json_object_get(result, "usage"), *timings = json_object_get(result, "timings");
    const char *message = json_string_value(json_object_get(json_object_get(result, "error"), "message"));
    target->outcomes[call->number] = (struct tl_bench_outcome){
        .status = call->status,
        .overhead_ms = json_number_value(json_object_get(timings, "overhead_ms")),
        .saved_ms = json_number_value(json_object_get(usage, "ms_saved")),
        .remembered = count_of(usage, "units_remembered"),
    };
    target->reported = call->first;
    if (call->first)
        tl_bench_drive_piece(target->drive, call->number);
    target->reported = call->ended;
    if (call->status == TL_OK)
        tl_bench_drive_done(target->drive, call->number,
                            &(struct tl_bench_usage){.asked = count_of(usage, "tokens_in"),
                                                     .reused = count_of(usage, "tokens_reused"),
                                                     .computed = count_of(usage, "tokens_computed"),
                                                     .written = count_of(usage, "tokens_out")});
    else
        tl_bench_drive_failed(target->drive, call->number, message ? message : tl_status_name(call->status));
    target->reported = 0;
    json_decref(result);
}

static void start(struct tl_bench_target *base, struct tl_bench_drive *drive, size_t number) {
    struct workflow_target *target = target_of(base);
    const struct tl_bench_workflow *workflow = &target->workflow;
    if (target->drive != drive || number == 0) {
        tl_mem_free(target->outcomes);
        target->outcomes = tl_mem_zalloc((drive->load->count + 1) * sizeof *target->outcomes);
        target->drive = drive;
    }
    struct call *call = tl_mem_zalloc(sizeof *call);
    *call = (struct call){.target = target, .number = number, .next_running = target->running};
    target->running = call;
    struct tl_request request = workflow->request;
    struct tl_error error;
    request.size = sizeof request;
    request.inputs = workflow->inputs[number % workflow->input_count];
    request.flags = 0;
    request.context = call;
    request.delta = on_delta;
    request.notice = NULL;
    request.done = on_done;
    enum tl_status status = tl_runtime_submit(workflow->runtime, &request, &call->run, &error);
    if (status == TL_OK)
        return;
    target->outcomes[number].status = status;
    tl_bench_drive_failed(drive, number, error.message);
    free_call(call);
}

static enum tl_status wait(struct tl_bench_target *base, struct tl_bench_drive *drive, uint64_t until,
                           struct tl_error *error) {
    (void)drive, (void)error;
    struct workflow_target *target = target_of(base);
    uint64_t latest = tl_clock_now() + LONGEST_WAIT;
    for (struct call *call = next_ended(target, until < latest ? until : latest); call; call = next_ended(target, 0)) {
        tell(target, call);
        free_call(call);
    }
    return TL_OK;
}

static void abandon(struct tl_bench_target *base) {
    struct workflow_target *target = target_of(base);
    for (struct call *call = target->running; call; call = call->next_running)
        tl_runtime_cancel(target->workflow.runtime, call->run);
    while (target->running) {
        struct call *call = next_ended(target, tl_clock_now() + LONGEST_WAIT);
        if (call)
            free_call(call);
    }
}

static enum tl_status prepare(struct tl_bench_target *base, const struct tl_bench_load *load, struct tl_error *error) {
    (void)load;
    const struct tl_bench_workflow *workflow = &target_of(base)->workflow;
    return tl_runtime_prepare(workflow->runtime, workflow->request.workflow, error);
}

static enum tl_status probe(struct tl_bench_target *base, uint64_t *tokens, struct tl_error *error) {
    (void)base;
    *tokens = 0;
    return tl_error_set(error, TL_ERR_UNSUPPORTED, "a workflow has no prompt of its own to measure");
}

static void close_target(struct tl_bench_target *base) {
    struct workflow_target *target = target_of(base);
    abandon(base);
    pthread_cond_destroy(&target->changed);
    pthread_mutex_destroy(&target->lock);
    tl_mem_free(target->outcomes);
    tl_mem_free(target);
}

struct tl_bench_target *tl_bench_workflow_target_open(const struct tl_bench_workflow *workflow) {
    struct workflow_target *target = tl_mem_zalloc(sizeof *target);
    pthread_condattr_t attributes;
    target->base = (struct tl_bench_target){start, wait, abandon, prepare, probe, now, close_target};
    target->workflow = *workflow;
    target->ended_end = &target->ended;
    pthread_mutex_init(&target->lock, NULL);
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&target->changed, &attributes);
    pthread_condattr_destroy(&attributes);
    return &target->base;
}

const struct tl_bench_outcome *tl_bench_workflow_outcomes(const struct tl_bench_target *target) {
    return target_of(target)->outcomes;
}

/* pace.h: emulated engines in real time on the thread of an event loop, without sleeping.
 *
 * An instance computes its quantum at once and keeps what came of it until the time that the quantum takes is over: then
 * the outcomes are told and the next quantum begins, at the moment when the former was due and not when its timer
 * happened to fire, so lateness does not add up. What arrives during a quantum is part of the next one, as in an engine
 * that batches by itself. Web searches and tools run side by side, each from its arrival.
 *
 * One thread: that of the event base. */
#ifndef TL_SERVER_PACE_H
#define TL_SERVER_PACE_H

#include <event2/event.h>
#include <jansson.h>
#include <stddef.h>

#include "base/attributes.h"
#include "base/primitive.h"
#include "base/value.h"
#include "engine/engine_impl.h"
#include "teola/status.h"

struct tl_pace;
struct tl_pace_job;

struct tl_pace *tl_pace_create(struct event_base *base);
void tl_pace_destroy(struct tl_pace *pace); /* jobs in progress are dropped without an answer */

/* One more instance of the engine `name`, of type emulated with these settings. */
enum tl_status tl_pace_add(struct tl_pace *pace, const char *name, const json_t *settings, struct tl_error *error);

struct tl_pace_request {
    enum tl_primitive op;
    const char *engine;                      /* NULL, or a name that serves it not: the first that serves `op` */
    const struct tl_attributes *attributes;  /* borrowed until the end of the job */
    struct tl_value *inputs[3];              /* references are taken */
    size_t input_count;
    bool stream;                             /* text is told as it comes */
    void *context;
    void (*delta)(void *context, const char *text, size_t length);
    /* The end: output (borrowed) or, when it is NULL, status and message. The job is gone afterwards. */
    void (*done)(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                 const char *message);
};

/* Begins a job, on the instance that a kv input belongs to, else on the one with the fewest jobs. `done` is never
 * called from within. TL_ERR_UNSUPPORTED: no engine serves the primitive. */
enum tl_status tl_pace_submit(struct tl_pace *pace, const struct tl_pace_request *request, struct tl_pace_job **job,
                              struct tl_error *error);
/* Nobody waits for it any more: its instance forgets it at the end of the present quantum. */
void tl_pace_cancel(struct tl_pace_job *job);

/* Whether some engine serves the primitive. */
bool tl_pace_serves(const struct tl_pace *pace, enum tl_primitive op);
/* [{"engine", "instance", "jobs", "quanta", "busy_ms", "units", "tokens_in", "tokens_reused", "tokens_out", "late_ms_p50",
 * "late_ms_p99", "late_ms_most"}]; owned. late_ms: how much later than due the ends of quanta were told. */
json_t *tl_pace_counters(const struct tl_pace *pace);

#endif

#include "server/pace.h"

#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/emulated/virtual.h"
#include "engine/engines.h"

/* What the engine said: told when the time of its quantum is over, or at once when it was said before that began. */
struct said {
    struct said *next;
    struct tl_pace_job *job;
    bool end;
    struct tl_value *output; /* of the end; one reference; NULL: it failed */
    struct tl_usage usage;
    enum tl_status status;
    char *text; /* of a delta, or the failure's message */
    size_t length;
};

struct tl_pace_job {
    struct tl_item item; /* first: the engine's view */
    struct station *station;
    struct tl_pace_job *next, **link; /* of its station */
    struct tl_value *inputs[3];
    void *context;
    void (*delta)(void *context, const char *text, size_t length);
    void (*done)(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                 const char *message);
    bool submitted; /* the engine has, or had, it */
    bool ended;     /* the engine has reported its outcome */
    bool cancelled; /* nobody is told */
};

/* A quantum whose time is running. */
struct quantum {
    struct quantum *next;
    struct station *station;
    struct event *timer;
    uint64_t due; /* ns */
    bool more;    /* the engine holds jobs that need another */
    struct said *first, **end;
    struct event *at_once;
    struct said *accepted; /* what was said when jobs came and went, before any time passed: told at once */
};

/* How late quanta's ends were told, in steps of 10 us; the last place has all that was later. */
enum { LATENESS_STEP = 10 * 1000, LATENESS_PLACES = 1000 };

struct lateness {
    uint64_t counts[LATENESS_PLACES + 1];
    uint64_t count, most; /* most: ns */
};

/* An instance. */
struct station {
    struct tl_pace *pace;
    struct tl_engine *engine;
    char *name;
    uint32_t number;
    bool side_by_side; /* quanta overlap: web and tools */
    bool asleep;       /* no quantum is running */
    struct tl_pace_job *jobs;
    size_t job_count;
    uint64_t quanta, busy, units, tokens_in, tokens_reused, tokens_out, finished;
    struct lateness lateness;
};

struct tl_pace {
    struct event_base *base;
    struct tl_emulated_world world;
    struct tl_emit emit;
    struct station **stations;
    size_t count, capacity;
    struct quantum *quanta;    /* running */
    struct quantum *composing; /* the engine is in one of its functions: where what it says goes */
    uint64_t spent;            /* by the quantum that is being computed */
    uint64_t jobs;
};

/* ---- what engines say ---- */

static void let_pass(void *context, uint64_t nanoseconds) {
    ((struct tl_pace *)context)->spent += nanoseconds;
}

static struct said *say(struct tl_pace *pace, struct tl_item *item) {
    struct said *said = tl_mem_zalloc(sizeof *said);
    said->job = (struct tl_pace_job *)item;
    *pace->composing->end = said;
    pace->composing->end = &said->next;
    return said;
}

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    TL_ASSERT(count == 1);
    struct said *said = say(context, item);
    said->end = said->job->ended = true;
    said->output = outputs[0];
    said->usage = *usage;
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    struct said *said = say(context, item);
    said->end = said->job->ended = true;
    said->status = status;
    said->text = tl_mem_strdup(message);
}

static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    (void)context, (void)item, (void)position;
    tl_value_unref(value);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    struct said *said = say(context, item);
    said->text = tl_mem_strndup(text, length);
    said->length = length;
}

static void on_notice(void *context, struct tl_item *item, const char *message) {
    (void)context, (void)item, (void)message;
}

/* ---- quanta ---- */

static void free_job(struct tl_pace_job *job) {
    *job->link = job->next;
    if (job->next)
        job->next->link = job->link;
    job->station->job_count--;
    for (size_t i = 0; i < job->item.input_count; i++)
        tl_value_unref(job->inputs[i]);
    tl_mem_free(job);
}

/* Tells the job's owner, when there still is one, and frees what was said. */
static void tell(struct said *said) {
    struct tl_pace_job *job = said->job;
    if (!said->end) {
        if (!job->cancelled && job->delta)
            job->delta(job->context, said->text, said->length);
    } else {
        struct station *station = job->station;
        station->finished++;
        station->units += said->usage.units;
        station->tokens_in += said->usage.tokens_in;
        station->tokens_reused += said->usage.tokens_reused;
        station->tokens_out += said->usage.tokens_out;
        if (!job->cancelled)
            job->done(job->context, said->output, &said->usage, said->status, said->text ? said->text : "");
        tl_value_unref(said->output);
        free_job(job);
    }
    tl_mem_free(said->text);
    tl_mem_free(said);
}

static void tell_all(struct said *said) {
    for (struct said *next; said; said = next) {
        next = said->next;
        tell(said);
    }
}

static void on_accepted(evutil_socket_t socket, short what, void *context) {
    (void)socket, (void)what;
    struct quantum *quantum = context;
    struct said *said = quantum->accepted;
    quantum->accepted = NULL;
    tell_all(said);
}

static void on_due(evutil_socket_t socket, short what, void *context);

static void free_quantum(struct quantum *quantum) {
    struct quantum **link = &quantum->station->pace->quanta;
    while (*link != quantum)
        link = &(*link)->next;
    *link = quantum->next;
    event_free(quantum->timer);
    if (quantum->at_once)
        event_free(quantum->at_once);
    tl_mem_free(quantum);
}

/* Gives the engine its new jobs and takes away cancelled ones, computes a quantum from `begin` on, sets its timer. */
static void compute(struct station *station, uint64_t begin) {
    struct tl_pace *pace = station->pace;
    struct tl_engine *engine = station->engine;
    struct quantum *quantum = tl_mem_zalloc(sizeof *quantum);
    quantum->station = station;
    quantum->end = &quantum->first;
    quantum->timer = evtimer_new(pace->base, on_due, quantum);
    pace->composing = quantum;
    pace->spent = 0;
    struct tl_pace_job *next;
    for (struct tl_pace_job *job = station->jobs; job; job = next) {
        struct tl_item *item = &job->item;
        next = job->next;
        if (job->cancelled && !job->submitted) {
            free_job(job);
        } else if (job->cancelled && !job->ended) {
            engine->ops->cancel(engine, item);
        } else if (!job->submitted) {
            job->submitted = true;
            engine->ops->submit(engine, &item, 1);
        }
    }
    if (quantum->first) {
        quantum->accepted = quantum->first;
        quantum->first = NULL;
        quantum->end = &quantum->first;
        quantum->at_once = evtimer_new(pace->base, on_accepted, quantum);
        evtimer_add(quantum->at_once, &(struct timeval){0});
    }
    quantum->more = engine->ops->step(engine);
    pace->composing = NULL;
    quantum->due = begin + pace->spent;
    quantum->next = pace->quanta;
    pace->quanta = quantum;
    station->quanta++;
    station->busy += pace->spent;
    station->asleep = false;
    uint64_t now = tl_clock_now(), left = quantum->due > now ? quantum->due - now : 0;
    struct timeval rest = {.tv_sec = (time_t)(left / TL_NS_PER_S), .tv_usec = (suseconds_t)(left % TL_NS_PER_S / 1000)};
    evtimer_add(quantum->timer, &rest);
}

static bool has_news(const struct station *station) {
    for (const struct tl_pace_job *job = station->jobs; job; job = job->next)
        if (!job->submitted || (job->cancelled && !job->ended))
            return true;
    return false;
}

static void note_lateness(struct lateness *lateness, uint64_t late) {
    uint64_t place = late / LATENESS_STEP;
    lateness->counts[place < LATENESS_PLACES ? place : LATENESS_PLACES]++;
    lateness->count++;
    lateness->most = late > lateness->most ? late : lateness->most;
}

/* ms that so many of a hundred were late at most. */
static double lateness_of(const struct lateness *lateness, uint64_t hundredths) {
    uint64_t below = 0, place = 0, wanted = (lateness->count * hundredths + 99) / 100;
    while (place < LATENESS_PLACES && (below += lateness->counts[place]) < wanted)
        place++;
    uint64_t late = (place + 1) * LATENESS_STEP;
    return (double)(place < LATENESS_PLACES && late < lateness->most ? late : lateness->most) / 1e6;
}

static void on_due(evutil_socket_t socket, short what, void *context) {
    (void)socket, (void)what;
    struct quantum *quantum = context;
    struct station *station = quantum->station;
    uint64_t now = tl_clock_now(), due = quantum->due;
    note_lateness(&station->lateness, now > due ? now - due : 0);
    bool more = quantum->more;
    tell_all(quantum->accepted);
    tell_all(quantum->first);
    free_quantum(quantum);
    if (station->side_by_side)
        return;
    station->asleep = true;
    if (more || has_news(station))
        compute(station, due);
}

/* ---- jobs ---- */

static struct station *pick(const struct tl_pace *pace, const struct tl_pace_request *request) {
    uint32_t capability = 1u << tl_primitive_info(request->op)->capability;
    struct station *best = NULL;
    bool best_named = false;
    for (size_t i = 0; i < pace->count; i++) {
        struct station *station = pace->stations[i];
        struct tl_engine_description description;
        station->engine->ops->describe(station->engine, &description);
        if (!(description.capabilities & capability))
            continue;
        for (size_t k = 0; k < request->input_count; k++) {
            const struct tl_value *value = request->inputs[k];
            if (value && value->type.depth == 0 && value->type.base == TL_TYPE_KV && value->as.kv.resource &&
                value->as.kv.resource->owner == station->engine)
                return station;
        }
        bool named = request->engine && strcmp(station->name, request->engine) == 0;
        bool same = best && strcmp(station->name, best->name) == 0;
        if (!best || (named && !best_named) || (same && station->job_count < best->job_count)) {
            best = station;
            best_named = named;
        }
    }
    return best;
}

bool tl_pace_serves(const struct tl_pace *pace, enum tl_primitive op) {
    return pick(pace, &(struct tl_pace_request){.op = op}) != NULL;
}

enum tl_status tl_pace_submit(struct tl_pace *pace, const struct tl_pace_request *request, struct tl_pace_job **out,
                              struct tl_error *error) {
    struct station *station = pick(pace, request);
    if (!station) {
        for (size_t i = 0; i < request->input_count; i++)
            tl_value_unref(request->inputs[i]);
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "no engine serves %s",
                            tl_capability_name(tl_primitive_info(request->op)->capability));
    }
    struct tl_pace_job *job = tl_mem_zalloc(sizeof *job);
    job->station = station;
    for (size_t i = 0; i < request->input_count; i++)
        job->inputs[i] = request->inputs[i];
    job->item = (struct tl_item){
        .id = ++pace->jobs,
        .op = request->op,
        .attributes = request->attributes,
        .label = tl_primitive_info(request->op)->name,
        .inputs = job->inputs,
        .input_count = request->input_count,
        .stream = request->stream,
    };
    job->context = request->context;
    job->delta = request->delta;
    job->done = request->done;
    /* At the end of the list, so that engines get jobs in order of arrival. */
    struct tl_pace_job **link = &station->jobs;
    while (*link)
        link = &(*link)->next;
    *link = job;
    job->link = link;
    station->job_count++;
    *out = job;
    if (station->side_by_side || station->asleep)
        compute(station, tl_clock_now());
    return TL_OK;
}

void tl_pace_cancel(struct tl_pace_job *job) {
    job->cancelled = true;
}

/* ---- life ---- */

struct tl_pace *tl_pace_create(struct event_base *base) {
    struct tl_pace *pace = tl_mem_zalloc(sizeof *pace);
    pace->base = base;
    pace->world = (struct tl_emulated_world){.context = pace, .spend = let_pass};
    pace->emit = (struct tl_emit){pace, on_done, on_fail, on_piece, on_delta, on_notice, NULL};
    return pace;
}

enum tl_status tl_pace_add(struct tl_pace *pace, const char *name, const json_t *settings, struct tl_error *error) {
    struct tl_engine *engine = NULL;
    enum tl_status status = tl_emulated_engine.create(name, settings, &engine, error);
    if (status != TL_OK)
        return tl_error_prefix(error, "engine '%s'", name);
    tl_emulated_join(engine, &pace->world);
    status = engine->ops->open(engine, &pace->emit, error);
    if (status != TL_OK) {
        engine->ops->destroy(engine);
        return status;
    }
    struct tl_engine_description description;
    engine->ops->describe(engine, &description);
    uint32_t apart = 1u << TL_CAPABILITY_WEB | 1u << TL_CAPABILITY_TOOL, number = 0;
    for (size_t i = 0; i < pace->count; i++)
        number += strcmp(pace->stations[i]->name, name) == 0;
    struct station *station = tl_mem_zalloc(sizeof *station);
    *station = (struct station){
        .pace = pace,
        .engine = engine,
        .name = tl_mem_strdup(name),
        .number = number,
        .side_by_side = (description.capabilities & ~apart) == 0,
        .asleep = true,
    };
    pace->stations = tl_mem_grow(pace->stations, &pace->capacity, pace->count + 1, sizeof(struct station *));
    pace->stations[pace->count++] = station;
    return TL_OK;
}

static void forget(struct said *said) {
    tl_value_unref(said->output);
    tl_mem_free(said->text);
    if (said->end)
        free_job(said->job);
    tl_mem_free(said);
}

static void forget_all(struct said *said) {
    for (struct said *next; said; said = next) {
        next = said->next;
        forget(said);
    }
}

static void forget_quantum(struct quantum *quantum) {
    forget_all(quantum->accepted);
    forget_all(quantum->first);
}

void tl_pace_destroy(struct tl_pace *pace) {
    while (pace->quanta) {
        forget_quantum(pace->quanta);
        free_quantum(pace->quanta);
    }
    for (size_t i = 0; i < pace->count; i++) {
        struct station *station = pace->stations[i];
        struct quantum last = {.station = station, .end = &last.first};
        pace->composing = &last;
        station->engine->ops->close(station->engine); /* fails what it holds */
        forget_quantum(&last);
        while (station->jobs)
            free_job(station->jobs);
    }
    for (size_t i = 0; i < pace->count; i++) { /* values of one may have been inputs of another */
        pace->stations[i]->engine->ops->destroy(pace->stations[i]->engine);
        tl_mem_free(pace->stations[i]->name);
        tl_mem_free(pace->stations[i]);
    }
    tl_mem_free(pace->stations);
    tl_mem_free(pace);
}

json_t *tl_pace_counters(const struct tl_pace *pace) {
    json_t *list = json_array();
    for (size_t i = 0; i < pace->count; i++) {
        const struct station *s = pace->stations[i];
        json_array_append_new(list,
                              json_pack("{s:s, s:i, s:I, s:I, s:f, s:I, s:I, s:I, s:I, s:f, s:f, s:f}", "engine",
                                        s->name, "instance", (int)s->number, "jobs", (json_int_t)s->finished, "quanta",
                                        (json_int_t)s->quanta, "busy_ms", (double)s->busy / 1e6, "units",
                                        (json_int_t)s->units, "tokens_in", (json_int_t)s->tokens_in, "tokens_reused",
                                        (json_int_t)s->tokens_reused, "tokens_out", (json_int_t)s->tokens_out,
                                        "late_ms_p50", lateness_of(&s->lateness, 50), "late_ms_p99",
                                        lateness_of(&s->lateness, 99), "late_ms_most", (double)s->lateness.most / 1e6));
    }
    return list;
}

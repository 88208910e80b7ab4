/* measure.c: which points are measured, in which order, how often; what they become in the profile. */
#include <math.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "profiler/fit.h"
#include "profiler/profiler.h"
#include "profiler/session.h"

enum { MOST_POINTS = 80,
       MOST_ROUNDS = 9,
       MOST_ROWS = 16,
       LEAST_SAMPLES = 4 }; /* points of a kind, below which no model is fitted */

struct point {
    struct tl_shape shape;
    struct tl_sample samples[MOST_ROUNDS];
    size_t count;
    double order; /* in the first round: cheap ones of all kinds first */
    /* from the samples */
    struct tl_sample typical;
    double spread;
};

/* ---- which ---- */

/* From cheap to costly. */
static const struct tl_shape fitted[] = {
    {TL_OP_EMBED, 1, 8, 0},
    {TL_OP_EMBED, 1, 32, 0},
    {TL_OP_EMBED, 4, 16, 0},
    {TL_OP_EMBED, 1, 128, 0},
    {TL_OP_EMBED, 1, 240, 0},
    {TL_OP_EMBED, 16, 16, 0},
    {TL_OP_EMBED, 8, 64, 0},
    {TL_OP_EMBED, 4, 128, 0},
    {TL_OP_EMBED, 16, 128, 0},
    {TL_OP_SCORE, 1, 64, 0},
    {TL_OP_SCORE, 1, 240, 0},
    {TL_OP_SCORE, 4, 64, 0},
    {TL_OP_SCORE, 4, 200, 0},
    {TL_OP_SCORE, 8, 128, 0},
    {TL_OP_SCORE, 16, 64, 0},
    {TL_OP_SCORE, 16, 200, 0},
    {TL_OP_INGEST, 1, 0, 0},
    {TL_OP_INGEST, 4, 0, 0},
    {TL_OP_INGEST, 16, 0, 0},
    {TL_OP_INGEST, 48, 0, 0},
    {TL_OP_INGEST, 128, 0, 0},
    {TL_OP_SEARCH, 1, 0, 0},
    {TL_OP_SEARCH, 2, 0, 0},
    {TL_OP_SEARCH, 4, 0, 0},
    {TL_OP_SEARCH, 8, 0, 0},
    {TL_OP_SEARCH, 16, 0, 0},
    {TL_OP_MATCH, 1, 0, 0},
    {TL_OP_MATCH, 2, 0, 0},
    {TL_OP_MATCH, 4, 0, 0},
    {TL_OP_MATCH, 8, 0, 0},
    {TL_OP_MATCH, 16, 0, 0},
    {TL_OP_CHUNK, 1, 1500, 0},
    {TL_OP_CHUNK, 2, 1500, 0},
    {TL_OP_CHUNK, 4, 1500, 0},
    {TL_OP_CHUNK, 8, 1500, 0},
    {TL_OP_PREFILL, 1, 16, 0},
    {TL_OP_PREFILL, 1, 32, 0},
    {TL_OP_PREFILL, 1, 64, 0},
    {TL_OP_PREFILL, 1, 128, 0},
    {TL_OP_PREFILL, 1, 64, 512},
    {TL_OP_PREFILL, 1, 128, 512},
    {TL_OP_PREFILL, 1, 256, 0},
    {TL_OP_PREFILL, 1, 64, 1536},
    {TL_OP_PREFILL, 1, 512, 0},
    {TL_OP_PREFILL, 1, 256, 1024},
    {TL_OP_DECODE, 1, 0, 64},
    {TL_OP_DECODE, 2, 0, 64},
    {TL_OP_DECODE, 4, 0, 64},
    {TL_OP_DECODE, 1, 0, 768},
    {TL_OP_DECODE, 8, 0, 64},
    {TL_OP_DECODE, 4, 0, 768},
    {TL_OP_DECODE, 16, 0, 64},
    /* Kernels take rows four at a time and what is left singly, so three may cost more than four. */
    {TL_OP_DECODE, 3, 0, 64},
    {TL_OP_DECODE, 5, 0, 64},
    {TL_OP_DECODE, 6, 0, 64},
    {TL_OP_DECODE, 7, 0, 64},
    {TL_OP_DECODE, 12, 0, 64},
};

static const struct tl_shape fresh[] = {
    {TL_OP_EMBED, 2, 24, 0},
    {TL_OP_EMBED, 1, 180, 0},
    {TL_OP_EMBED, 6, 48, 0},
    {TL_OP_EMBED, 3, 100, 0},
    {TL_OP_EMBED, 24, 20, 0},
    {TL_OP_EMBED, 12, 90, 0},
    {TL_OP_SCORE, 2, 100, 0},
    {TL_OP_SCORE, 6, 150, 0},
    {TL_OP_SCORE, 12, 80, 0},
    {TL_OP_SCORE, 3, 220, 0},
    {TL_OP_SCORE, 10, 180, 0},
    {TL_OP_INGEST, 8, 0, 0},
    {TL_OP_INGEST, 32, 0, 0},
    {TL_OP_INGEST, 96, 0, 0},
    {TL_OP_SEARCH, 3, 0, 0},
    {TL_OP_SEARCH, 6, 0, 0},
    {TL_OP_SEARCH, 12, 0, 0},
    {TL_OP_MATCH, 3, 0, 0},
    {TL_OP_MATCH, 6, 0, 0},
    {TL_OP_MATCH, 12, 0, 0},
    {TL_OP_CHUNK, 3, 1500, 0},
    {TL_OP_CHUNK, 6, 1500, 0},
    {TL_OP_PREFILL, 1, 48, 0},
    {TL_OP_PREFILL, 1, 96, 0},
    {TL_OP_PREFILL, 1, 96, 300},
    {TL_OP_PREFILL, 1, 200, 0},
    {TL_OP_PREFILL, 1, 160, 800},
    {TL_OP_PREFILL, 1, 400, 0},
    {TL_OP_DECODE, 1, 0, 128},
    {TL_OP_DECODE, 2, 0, 256},
    {TL_OP_DECODE, 3, 0, 256},
    {TL_OP_DECODE, 6, 0, 128},
    {TL_OP_DECODE, 10, 0, 64},
    {TL_OP_DECODE, 1, 0, 400},
};

/* Those that the engine can compute. */
static size_t choose(const struct tl_session *session, const struct tl_shape *shapes, size_t count,
                     struct point *points) {
    size_t chosen = 0, of_kind[TL_OP_COUNT] = {0};
    for (size_t i = 0; i < count; i++)
        if (tl_session_fits(session, &shapes[i])) {
            TL_ASSERT(chosen < MOST_POINTS);
            points[chosen] = (struct point){.shape = shapes[i]};
            points[chosen++].order = (double)of_kind[shapes[i].op]++;
        }
    return chosen;
}

/* ---- rounds ---- */

static void place(size_t *order, const double *keys, size_t count) {
    for (size_t i = 0; i < count; i++) {
        size_t k = i;
        for (; k > 0 && keys[order[k - 1]] > keys[i]; k--)
            order[k] = order[k - 1];
        order[k] = i;
    }
}

/* The first round goes from cheap to costly, the others as chance has it. */
static void order_round(const struct point *points, size_t count, size_t round, size_t *order) {
    double keys[MOST_POINTS];
    for (size_t i = 0; i < count; i++)
        keys[i] = round == 0 ? points[i].order : (double)(tl_hash_u64(i, round) >> 11);
    place(order, keys, count);
}

static enum tl_status measure_round(struct tl_session *session, const struct tl_profiler_engine *engine,
                                    const struct tl_profiler_options *options, struct point *points, size_t count,
                                    size_t round, uint64_t begun, struct tl_error *error) {
    size_t order[MOST_POINTS];
    order_round(points, count, round, order);
    for (size_t i = 0; i < count; i++) {
        struct point *point = &points[order[i]];
        uint64_t spent = tl_clock_now() - begun;
        if (options->stop && options->stop(options->context))
            return tl_error_set(error, TL_ERR_CANCELLED, "stopped");
        /* A costly point is left out for good when the first round is late; later rounds just end. */
        if (spent > options->budget && (round > 0 || point->order >= LEAST_SAMPLES))
            continue;
        if (round > 0 && point->count == 0)
            continue;
        if (options->progress) {
            double done = ((double)round + (double)i / (double)count) / MOST_ROUNDS;
            double used = (double)spent / (double)options->budget;
            options->progress(options->context, engine->name, fmin(1, fmax(done, used)));
        }
        enum tl_status status =
            tl_session_measure(session, &point->shape, &point->samples[point->count], error);
        if (status != TL_OK)
            return status;
        point->count++;
    }
    return TL_OK;
}

static void summarize(struct point *point) {
    double ms[MOST_ROUNDS], tokens[MOST_ROUNDS], context[MOST_ROUNDS];
    for (size_t i = 0; i < point->count; i++) {
        ms[i] = point->samples[i].ms;
        tokens[i] = point->samples[i].tokens;
        context[i] = point->samples[i].context;
    }
    point->typical = (struct tl_sample){
        .ms = tl_typical(ms, point->count, &point->spread),
        .units = point->shape.units,
        .tokens = tl_median(tokens, point->count),
        .context = tl_median(context, point->count),
    };
}

/* One point of each kind is computed and forgotten first: pages are read, buffers grown, threads started. */
static enum tl_status warm_up(struct tl_session *session, const struct point *points, size_t count,
                              struct tl_error *error) {
    struct tl_sample ignored;
    enum tl_status status = TL_OK;
    for (size_t i = 0; i < count && status == TL_OK; i++)
        if (points[i].order < 1)
            status = tl_session_measure(session, &points[i].shape, &ignored, error);
    return status;
}

static enum tl_status measure_points(struct tl_session *session, const struct tl_profiler_engine *engine,
                                     const struct tl_profiler_options *options, struct point *points, size_t count,
                                     struct tl_error *error) {
    enum tl_status status = warm_up(session, points, count, error);
    uint64_t begun = tl_clock_now();
    for (size_t round = 0; round < MOST_ROUNDS && status == TL_OK; round++)
        if (round == 0 || tl_clock_now() - begun < options->budget)
            status = measure_round(session, engine, options, points, count, round, begun, error);
    for (size_t i = 0; i < count && status == TL_OK; i++)
        summarize(&points[i]);
    return status;
}

/* With what was chosen for settings that are `auto`: so it will be opened. `choices` NULL: nothing. */
static enum tl_status open_session(struct tl_session *session, const struct tl_profiler_engine *engine,
                                   const struct tl_profiler_options *options, const json_t *choices,
                                   struct tl_error *error) {
    json_t *settings = json_copy((json_t *)engine->settings);
    tl_cost_fill_choices(choices, settings);
    enum tl_status status = tl_session_open(session, engine->type, engine->name, settings, engine->dimension, error);
    session->salt = options->salt;
    json_decref(settings);
    return status;
}

/* What the engine can choose by measuring: in a quarter of the time, which the rest has less. */
static enum tl_status choose_settings(const struct tl_profiler_engine *engine, struct tl_profiler_options *options,
                                      json_t **choices, struct tl_error *error) {
    const struct tl_engine_ops *ops = tl_engine_find(engine->type);
    const struct tl_engine_trial trial = {
        .budget = options->budget / 4, .context = options->context, .stop = options->stop};
    uint64_t begun = tl_clock_now();
    *choices = NULL;
    if (!ops || !ops->choose)
        return TL_OK;
    if (options->progress)
        options->progress(options->context, engine->name, 0);
    enum tl_status status = ops->choose(engine->settings, &trial, choices, error);
    uint64_t spent = tl_clock_now() - begun;
    options->budget = spent < options->budget ? options->budget - spent : 1;
    return status;
}

/* ---- JSON ---- */

static json_t *rounded(double value) {
    char text[32];
    snprintf(text, sizeof text, "%.6g", value);
    return json_real(strtod(text, NULL));
}

static json_t *json_of_point(const struct point *point) {
    json_t *json = json_object();
    bool llm = tl_primitive_info(point->shape.op)->capability == TL_CAPABILITY_LLM;
    if (point->shape.op != TL_OP_PREFILL)
        json_object_set_new(json, llm ? "rows" : "units", json_integer(point->shape.units));
    if (point->typical.tokens > 0)
        json_object_set_new(json, "tokens", rounded(point->typical.tokens));
    if (llm)
        json_object_set_new(json, "context", rounded(point->typical.context));
    json_object_set_new(json, "ms", rounded(point->typical.ms));
    json_object_set_new(json, "spread", rounded(point->spread));
    json_object_set_new(json, "samples", json_integer((json_int_t)point->count));
    return json;
}

static struct tl_cost_work work_of(const struct point *point) {
    return (struct tl_cost_work){
        .op = point->shape.op,
        .units = point->shape.units,
        .tokens = (uint32_t)lround(point->typical.tokens),
        .context = (uint32_t)lround(point->typical.context),
        .tokens_out = 2,
    };
}

/* Median of the relative errors of the engine's model on the points of a kind. */
static double median_error(const struct tl_cost *cost, const char *engine, enum tl_primitive op,
                           const struct point *points, size_t count) {
    double errors[MOST_POINTS];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        if (points[i].shape.op != op || points[i].count == 0)
            continue;
        struct tl_cost_work work = work_of(&points[i]);
        errors[used++] = fabs(tl_cost_call(cost, engine, &work, 1) - points[i].typical.ms) / points[i].typical.ms;
    }
    return tl_median(errors, used);
}

/* ---- fits ---- */

static json_t *fit_line(const struct point *points, size_t count, enum tl_primitive op) {
    struct tl_equation equations[MOST_POINTS];
    double x[TL_FIT_UNKNOWNS];
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        if (points[i].shape.op == op && points[i].count > 0)
            equations[used++] = (struct tl_equation){{1, points[i].typical.units, points[i].typical.tokens},
                                                     points[i].typical.ms};
    tl_fit(equations, used, x);
    return json_pack("{s:o, s:o, s:o}", "base", rounded(x[0]), "unit", rounded(x[1]), "token", rounded(x[2]));
}

static json_t *fit_prefill(const struct point *points, size_t count, uint32_t iteration_tokens) {
    struct tl_equation equations[MOST_POINTS];
    double x[TL_FIT_UNKNOWNS];
    size_t used = 0;
    for (size_t i = 0; i < count; i++) {
        const struct tl_sample *typical = &points[i].typical;
        if (points[i].shape.op != TL_OP_PREFILL || points[i].count == 0)
            continue;
        double iterations = iteration_tokens ? ceil(typical->tokens / iteration_tokens) : 1;
        equations[used++] = (struct tl_equation){
            {iterations, typical->tokens, typical->tokens * (typical->context + typical->tokens / 2) / 1000},
            typical->ms};
    }
    tl_fit(equations, used, x);
    return json_pack("{s:o, s:o, s:o}", "chunk", rounded(x[0]), "prompt", rounded(x[1]), "attend", rounded(x[2]));
}

/* What each row's tokens before it cost: from pairs of points with as many rows and other contexts. */
static double fit_look(const struct point *points, size_t count) {
    double looks[MOST_POINTS];
    size_t used = 0;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < count; k++) {
            const struct point *a = &points[i], *b = &points[k];
            if (a->shape.op == TL_OP_DECODE && b->shape.op == TL_OP_DECODE && a->shape.units == b->shape.units &&
                a->count > 0 && b->count > 0 && a->typical.context < b->typical.context)
                looks[used++] = (b->typical.ms - a->typical.ms) * 1000 /
                                (a->shape.units * (b->typical.context - a->typical.context));
        }
    return fmax(0, tl_median(looks, used));
}

static json_t *fit_decode(const struct point *points, size_t count) {
    double look = fit_look(points, count);
    json_t *rows = json_array(), *step = json_array();
    for (uint32_t row = 1; row <= MOST_ROWS; row++) {
        double steps[MOST_POINTS];
        size_t used = 0;
        for (size_t i = 0; i < count; i++)
            if (points[i].shape.op == TL_OP_DECODE && points[i].shape.units == row && points[i].count > 0)
                steps[used++] = points[i].typical.ms - look * row * points[i].typical.context / 1000;
        if (used == 0)
            continue;
        json_array_append_new(rows, json_integer(row));
        json_array_append_new(step, rounded(fmax(0, tl_median(steps, used))));
    }
    return json_pack("{s:o, s:o, s:o}", "look", rounded(look), "rows", rows, "step", step);
}

static json_t *kind_of(const struct point *points, size_t count, enum tl_primitive op,
                       const struct tl_engine_description *can) {
    json_t *kind = json_object(), *list = json_array();
    size_t samples = 0, used = 0;
    for (size_t i = 0; i < count; i++)
        if (points[i].shape.op == op && points[i].count > 0) {
            samples += points[i].count;
            used++;
            json_array_append_new(list, json_of_point(&points[i]));
        }
    bool decode = op == TL_OP_DECODE;
    if (used < (decode ? 1 : LEAST_SAMPLES)) {
        json_decref(kind);
        json_decref(list);
        return NULL;
    }
    json_object_set_new(kind, "fit",
                        decode                ? fit_decode(points, count)
                        : op == TL_OP_PREFILL ? fit_prefill(points, count, can->batch_tokens)
                                              : fit_line(points, count, op));
    if (!decode && op != TL_OP_PREFILL)
        json_object_set_new(kind, "limit", json_integer(can->batch_units));
    json_object_set_new(kind, "samples", json_integer((json_int_t)samples));
    json_object_set_new(kind, "median_error", json_integer(0)); /* known when the model is read back */
    json_object_set_new(kind, "points", list);
    return kind;
}

/* ---- the engine's part of the profile ---- */

static void put_date(json_t *part) {
    char text[32];
    time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_object_set_new(part, "written", json_string(text));
}

/* The errors are those of the model as it will be read: so the part is read for them. */
static void put_errors(json_t *part, const char *name, const struct point *points, size_t count) {
    json_t *profile = json_pack("{s:i, s:{s:O}}", "version", TL_COST_PROFILE_VERSION, "engines", name, part), *kind;
    char *text = json_dumps(profile, JSON_COMPACT);
    const char *key;
    struct tl_cost *cost;
    struct tl_error error;
    if (tl_cost_parse(text, strlen(text), "the new profile", &cost, &error) != TL_OK)
        TL_BUG("%s", error.message);
    json_object_foreach(json_object_get(part, "kinds"), key, kind) {
        double share = median_error(cost, name, tl_primitive_find(key), points, count);
        json_object_set_new(kind, "median_error", rounded(share));
    }
    tl_cost_unref(cost);
    free(text);
    json_decref(profile);
}

static json_t *part_of(const struct tl_profiler_engine *engine, const struct tl_session *session, json_t *choices,
                       const struct point *points, size_t count) {
    const struct tl_engine_description *can = &session->driver.description;
    json_t *part = json_object(), *kinds = json_object();
    json_object_set_new(part, "type", json_string(engine->type));
    json_object_set_new(part, "device", json_string(engine->device));
    json_object_set_new(part, "model", json_string(can->model ? can->model : ""));
    const char *digest = json_string_value(json_object_get(engine->settings, "model_digest"));
    json_object_set_new(part, "model_digest", json_string(digest ? digest : ""));
    json_object_set_new(part, "threads", json_integer(tl_cost_threads(engine->configured)));
    json_object_set_new(part, "settings", tl_cost_relevant_settings(engine->configured));
    put_date(part);
    if (choices)
        json_object_set(part, "choices", choices);
    if (can->sequences > 0)
        json_object_set_new(part, "iteration",
                            json_pack("{s:i, s:I, s:I}", "base", 0, "tokens", (json_int_t)can->batch_tokens,
                                      "sequences", (json_int_t)can->sequences));
    for (enum tl_primitive op = 0; op < TL_OP_COUNT; op++) {
        json_t *kind = kind_of(points, count, op, can);
        if (kind)
            json_object_set_new(kinds, tl_primitive_info(op)->name, kind);
    }
    json_object_set_new(part, "kinds", kinds);
    return part;
}

enum tl_status tl_profiler_measure(const struct tl_profiler_engine *engine, const struct tl_profiler_options *asked,
                                   json_t **part, struct tl_error *error) {
    struct tl_profiler_options own = *asked, *options = &own;
    struct tl_session session;
    json_t *choices;
    size_t count = 0;
    *part = NULL;
    enum tl_status status = choose_settings(engine, options, &choices, error);
    if (status != TL_OK)
        return status;
    struct point *points = tl_mem_zalloc(MOST_POINTS * sizeof *points);
    status = open_session(&session, engine, options, choices, error);
    if (status == TL_OK) {
        count = choose(&session, fitted, sizeof fitted / sizeof fitted[0], points);
        if (count == 0)
            status = tl_error_set(error, TL_ERR_UNSUPPORTED, "it computes nothing that is measured");
    }
    if (status == TL_OK)
        status = measure_points(&session, engine, options, points, count, error);
    if (status == TL_OK) {
        *part = part_of(engine, &session, choices, points, count);
        put_errors(*part, engine->name, points, count);
    }
    tl_session_close(&session);
    tl_mem_free(points);
    json_decref(choices);
    return status;
}

double tl_profiler_spread(const json_t *part, size_t *samples) {
    double spreads[MOST_POINTS];
    *samples = MOST_ROUNDS;
    size_t used = 0, index;
    const char *key;
    json_t *kind, *point;
    json_object_foreach(json_object_get(part, "kinds"), key, kind) {
        json_array_foreach(json_object_get(kind, "points"), index, point) {
            size_t count = (size_t)json_integer_value(json_object_get(point, "samples"));
            *samples = count < *samples ? count : *samples;
            if (used < MOST_POINTS)
                spreads[used++] = json_number_value(json_object_get(point, "spread"));
        }
    }
    return tl_median(spreads, used);
}

/* ---- the check ---- */

static json_t *check_kind(const struct tl_cost *cost, const char *engine, enum tl_primitive op,
                          const struct point *points, size_t count) {
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        if (points[i].shape.op != op || points[i].count == 0)
            continue;
        struct tl_cost_work work = work_of(&points[i]);
        json_t *point = json_of_point(&points[i]);
        json_object_set_new(point, "predicted_ms", rounded(tl_cost_call(cost, engine, &work, 1)));
        json_array_append_new(list, point);
    }
    if (json_array_size(list) == 0) {
        json_decref(list);
        return NULL;
    }
    return json_pack("{s:o, s:o}", "median_error", rounded(median_error(cost, engine, op, points, count)), "points",
                     list);
}

enum tl_status tl_profiler_check(const struct tl_profiler_engine *engine, const struct tl_cost *cost,
                                 const struct tl_profiler_options *options, json_t **report, struct tl_error *error) {
    struct point *points = tl_mem_zalloc(MOST_POINTS * sizeof *points);
    struct tl_session session;
    size_t count = 0;
    *report = NULL;
    enum tl_status status = open_session(&session, engine, options, tl_cost_choices(cost, engine->name), error);
    if (status == TL_OK) {
        count = choose(&session, fresh, sizeof fresh / sizeof fresh[0], points);
        status = measure_points(&session, engine, options, points, count, error);
    }
    if (status == TL_OK) {
        json_t *kinds = json_object();
        for (enum tl_primitive op = 0; op < TL_OP_COUNT; op++) {
            json_t *kind = check_kind(cost, engine->name, op, points, count);
            if (kind)
                json_object_set_new(kinds, tl_primitive_info(op)->name, kind);
        }
        *report = json_pack("{s:o}", "kinds", kinds);
    }
    tl_session_close(&session);
    tl_mem_free(points);
    return status;
}

#include "profiler/session.h"

#include <string.h>

#include "base/arena.h"
#include "base/error.h"
#include "base/mem.h"
#include "profiler/fit.h"
#include "profiler/material.h"

enum { QUERY_TOKENS = 12,
       ROW_TOKENS = 128,
       STEPS = 14,   /* of a decode that is measured; */
       WARM_UP = 3,  /* the first ones compute what is left of the prompts */
       MARGIN = 64 };/* tokens of a template and of the answer */

enum tl_status tl_session_open(struct tl_session *session, const char *type, const char *name, const json_t *settings,
                               uint32_t dimension, struct tl_error *error) {
    memset(session, 0, sizeof *session);
    session->dimension = dimension;
    return tl_driver_open(&session->driver, type, name, settings, error);
}

void tl_session_close(struct tl_session *session) {
    tl_driver_begin(&session->driver);
    tl_value_unref(session->collection);
    for (size_t i = 0; i < session->prefix_count; i++) {
        tl_value_unref(session->prefixes[i].open);
        tl_value_unref(session->prefixes[i].closed);
        tl_str_fini(&session->prefixes[i].text);
    }
    tl_driver_close(&session->driver);
}

bool tl_session_fits(const struct tl_session *session, const struct tl_shape *shape) {
    const struct tl_engine_description *can = &session->driver.description;
    enum tl_capability capability = tl_primitive_info(shape->op)->capability;
    if (!(can->capabilities & (1u << capability)))
        return false;
    if (capability == TL_CAPABILITY_DOCUMENTS || capability == TL_CAPABILITY_STORE)
        return true;
    if (shape->op == TL_OP_DECODE && shape->units > can->sequences)
        return false;
    uint32_t tokens = shape->context + shape->tokens + MARGIN;
    return !can->context_tokens || tokens + tokens / 2 <= can->context_tokens; /* words may be more than a token */
}

/* One batch of what was added; the sum of its steps. */
static enum tl_status run(struct tl_session *session, struct tl_sample *sample, struct tl_error *error) {
    uint64_t nanoseconds;
    tl_driver_submit(&session->driver);
    enum tl_status status = tl_driver_finish(&session->driver, &nanoseconds, error);
    sample->ms = (double)nanoseconds / 1e6;
    sample->tokens = (double)session->driver.usage.tokens_computed;
    return status;
}

/* ---- stores ---- */

static enum tl_status need_collection(struct tl_session *session, struct tl_error *error) {
    struct tl_sample ignored;
    if (session->collection)
        return TL_OK;
    tl_driver_begin(&session->driver);
    tl_driver_add(&session->driver, TL_OP_INGEST, NULL, tl_material_chunks(TL_SESSION_ROWS, ROW_TOKENS, 1),
                  tl_material_vectors(TL_SESSION_ROWS, session->dimension, 1), NULL);
    enum tl_status status = run(session, &ignored, error);
    if (status == TL_OK)
        session->collection = tl_value_ref(session->driver.outputs[0]);
    return status;
}

/* ---- LLMs ---- */

static enum tl_status compute_prefix(struct tl_session *session, const char *text, bool open, struct tl_value **kv,
                                     struct tl_error *error) {
    struct tl_sample ignored;
    tl_driver_begin(&session->driver);
    tl_driver_add(&session->driver, open ? TL_OP_PARTIAL_PREFILL : TL_OP_PREFILL, NULL,
                  tl_material_prompt(text, NULL, open), NULL, NULL);
    enum tl_status status = run(session, &ignored, error);
    if (status == TL_OK)
        *kv = tl_value_ref(session->driver.outputs[0]);
    return status;
}

/* The prefix of so many tokens, its kv made. Each text is of its own, so that no prefix helps another. */
static enum tl_status need_prefix(struct tl_session *session, uint32_t context, bool open,
                                  struct tl_session_prefix **out, struct tl_error *error) {
    size_t i = 0;
    while (i < session->prefix_count && session->prefixes[i].context != context)
        i++;
    struct tl_session_prefix *prefix = *out = &session->prefixes[i];
    if (i == session->prefix_count) {
        TL_ASSERT(i < TL_SESSION_PREFIXES);
        session->prefix_count++;
        prefix->context = context;
        tl_str_init(&prefix->text);
        tl_material_words(context, 1000 + context, &prefix->text);
    }
    struct tl_value **kv = open ? &prefix->open : &prefix->closed;
    return *kv ? TL_OK : compute_prefix(session, prefix->text.data, open, kv, error);
}

static enum tl_status measure_prefill(struct tl_session *session, const struct tl_shape *shape,
                                      struct tl_sample *sample, struct tl_error *error) {
    struct tl_session_prefix *prefix = NULL;
    enum tl_status status = TL_OK;
    if (shape->context > 0)
        status = need_prefix(session, shape->context, true, &prefix, error);
    if (status != TL_OK)
        return status;
    struct tl_str words = TL_STR_INIT;
    tl_str_puts(&words, prefix ? " " : "");
    tl_material_words(shape->tokens, session->salt, &words);
    struct tl_value *prompt = prefix ? tl_material_prompt(prefix->text.data, words.data, true)
                                     : tl_material_prompt(words.data, NULL, true);
    tl_driver_begin(&session->driver);
    tl_driver_add(&session->driver, TL_OP_PARTIAL_PREFILL, NULL, prompt, prefix ? tl_value_ref(prefix->open) : NULL,
                  NULL);
    tl_str_fini(&words);
    status = run(session, sample, error);
    sample->context = (double)session->driver.usage.tokens_reused;
    return status;
}

/* All rows write at the same time, on from one prefix; an iteration's time is that of the steps between the first ones,
 * which fork it, and the last. */
static enum tl_status measure_decode(struct tl_session *session, const struct tl_shape *shape,
                                     struct tl_sample *sample, struct tl_error *error) {
    struct tl_session_prefix *prefix;
    enum tl_status status = need_prefix(session, shape->context, false, &prefix, error);
    if (status != TL_OK)
        return status;
    struct tl_driver *driver = &session->driver;
    struct tl_arena arena;
    tl_arena_init(&arena);
    struct tl_attributes attributes = {0};
    tl_attributes_set_integer(&attributes, &arena, "max_tokens", STEPS + WARM_UP + 1);
    tl_attributes_set_bool(&attributes, &arena, "ignore_eos", true);
    tl_driver_begin(driver);
    for (uint32_t i = 0; i < shape->units; i++)
        tl_driver_add(driver, TL_OP_DECODE, &attributes, tl_value_ref(prefix->closed), NULL, NULL);
    tl_driver_submit(driver);
    double steps[STEPS];
    size_t count = 0;
    for (size_t i = 0; i < WARM_UP && driver->finished == 0; i++)
        tl_driver_step(driver);
    while (count < STEPS) {
        double ms = (double)tl_driver_step(driver) / 1e6;
        if (driver->finished > 0)
            break; /* a step in which one ended has fewer rows */
        steps[count++] = ms;
    }
    uint64_t rest;
    status = tl_driver_finish(driver, &rest, error);
    if (status == TL_OK && count < 3)
        status = tl_error_set(error, TL_ERR_ENGINE, "the model wrote too few tokens to be measured");
    double spread;
    sample->ms = tl_typical(steps, count, &spread);
    sample->tokens = 0;
    sample->context = shape->context + WARM_UP + (double)count / 2;
    tl_driver_begin(driver);
    tl_arena_fini(&arena);
    return status;
}

/* ---- all ---- */

static enum tl_status measure_batch(struct tl_session *session, const struct tl_shape *shape, struct tl_sample *sample,
                                    struct tl_error *error) {
    struct tl_driver *driver = &session->driver;
    bool asks = shape->op == TL_OP_SEARCH || shape->op == TL_OP_MATCH;
    enum tl_status status = asks ? need_collection(session, error) : TL_OK;
    if (status != TL_OK)
        return status;
    tl_driver_begin(driver);
    struct tl_value *index = asks ? tl_value_ref(session->collection) : NULL;
    uint64_t salt = session->salt;
    switch (shape->op) {
    case TL_OP_EMBED:
        tl_driver_add(driver, shape->op, NULL, tl_material_texts(shape->units, shape->tokens, salt), NULL, NULL);
        break;
    case TL_OP_SCORE:
        tl_driver_add(driver, shape->op, NULL, tl_material_hits(shape->units, shape->tokens, salt),
                      tl_material_text(QUERY_TOKENS, salt + 1), NULL);
        break;
    case TL_OP_INGEST:
        tl_driver_add(driver, shape->op, NULL, tl_material_chunks(shape->units, ROW_TOKENS, salt),
                      tl_material_vectors(shape->units, session->dimension, salt), NULL);
        break;
    case TL_OP_SEARCH:
        tl_driver_add(driver, shape->op, NULL, tl_material_vectors(shape->units, session->dimension, salt), index,
                      NULL);
        break;
    case TL_OP_MATCH:
        tl_driver_add(driver, shape->op, NULL, tl_material_texts(shape->units, QUERY_TOKENS, salt), index, NULL);
        break;
    case TL_OP_CHUNK:
        tl_driver_add(driver, shape->op, NULL, tl_material_documents(shape->units, shape->tokens, salt), NULL, NULL);
        break;
    default: TL_BUG("%s is not measured", tl_primitive_info(shape->op)->name);
    }
    return run(session, sample, error);
}

enum tl_status tl_session_measure(struct tl_session *session, const struct tl_shape *shape, struct tl_sample *sample,
                                  struct tl_error *error) {
    *sample = (struct tl_sample){.units = shape->units};
    session->salt += 1000003;
    switch (shape->op) {
    case TL_OP_PREFILL: return measure_prefill(session, shape, sample, error);
    case TL_OP_DECODE: return measure_decode(session, shape, sample, error);
    default: return measure_batch(session, shape, sample, error);
    }
}

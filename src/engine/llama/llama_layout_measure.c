/* llama_layout_measure.c: times the steps of llama_layout.h in an engine of each layout. */
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/percentile.h"
#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_layout.h"

enum { MOST_WRITERS = 4,
       MOST_CHUNK = 128,
       STEPS = 4,   /* written, of each sample: of the last one a joint call */
       SAMPLES = 3, /* of an engine's life, after one that only warms it up */
       ROUNDS = 3 };

/* Of one layout: all samples so far, by what is timed. */
struct samples {
    double share[ROUNDS * SAMPLES], prompt[ROUNDS * SAMPLES], write[ROUNDS * SAMPLES], joint[ROUNDS * SAMPLES];
    double alone[TL_LLAMA_LOOKUPS][ROUNDS * SAMPLES];
    size_t count;
};

struct trial {
    const struct tl_engine_trial *asked;
    struct tl_llama_engine *engine;
    struct tl_llm_storage storage;
    uint32_t sequences, writers, filler; /* the filler is the sequence behind the writers' */
    size_t chunk;
};

static double ms_since(uint64_t begin) {
    return (double)(tl_clock_now() - begin) / (double)TL_NS_PER_MS;
}

static enum tl_status check_stop(const struct trial *trial, struct tl_error *error) {
    if (trial->asked->stop && trial->asked->stop(trial->asked->context))
        return tl_error_set(error, TL_ERR_CANCELLED, "stopped");
    return TL_OK;
}

/* ---- calls ---- */

/* `logits`: rows at the end that are sampled from. */
static void add(struct trial *trial, uint32_t sequence, size_t position, size_t count, size_t logits) {
    struct llama_batch *batch = &trial->engine->batch;
    for (size_t i = 0; i < count; i++) {
        int32_t row = batch->n_tokens++;
        TL_ASSERT((uint32_t)row < trial->engine->batch_tokens);
        /* What the tokens are makes no difference to the time. */
        batch->token[row] = (llama_token)((position + i) * 37 % trial->engine->vocabulary);
        batch->pos[row] = (llama_pos)(position + i);
        batch->n_seq_id[row] = 1;
        batch->seq_id[row][0] = (llama_seq_id)sequence;
        batch->logits[row] = count - i <= logits;
    }
}

static void add_writers(struct trial *trial, size_t step) {
    for (uint32_t sequence = 0; sequence < trial->writers; sequence++)
        add(trial, sequence, TL_LLAMA_LAYOUT_PREFIX + step, 1, 1);
}

/* Computes what was added; adds its ms. */
static enum tl_status compute(struct trial *trial, double *ms, struct tl_error *error) {
    struct tl_llama_engine *engine = trial->engine;
    enum tl_status status = check_stop(trial, error);
    uint64_t begin = tl_clock_now();
    int32_t result = status == TL_OK ? llama_decode(engine->context, engine->batch) : 0;
    llama_synchronize(engine->context);
    *ms += ms_since(begin);
    engine->batch.n_tokens = 0;
    if (result != 0)
        return tl_error_set(error, TL_ERR_ENGINE, "model file '%s': llama.cpp could not compute (%d)",
                            engine->model_path, (int)result);
    return status;
}

/* Back to the prefix alone. */
static enum tl_status cut(struct trial *trial, uint32_t sequence, struct tl_error *error) {
    if (trial->storage.trim(trial->storage.context, sequence, TL_LLAMA_LAYOUT_PREFIX))
        return TL_OK;
    return tl_error_set(error, TL_ERR_ENGINE, "model file '%s': a sequence cannot be cut back to its prefix",
                        trial->engine->model_path);
}

/* ---- steps ---- */

/* A sequence that is empty comes to begin with the first one's prefix. */
static enum tl_status copy(struct trial *trial, uint32_t to, bool may_share, double *ms, struct tl_error *error) {
    const struct tl_llm_storage *storage = &trial->storage;
    uint64_t begin = tl_clock_now(), bytes = 0;
    bool done;
    if (may_share && storage->share) {
        done = storage->share(storage->context, 0, to, TL_LLAMA_LAYOUT_PREFIX);
    } else {
        void *saved = storage->save(storage->context, 0, TL_LLAMA_LAYOUT_PREFIX, &bytes);
        done = saved && storage->load(storage->context, to, saved, TL_LLAMA_LAYOUT_PREFIX);
        if (saved)
            storage->drop(storage->context, saved);
    }
    *ms += ms_since(begin);
    if (done)
        return TL_OK;
    return tl_error_set(error, TL_ERR_NO_MEMORY, "model file '%s': a prefix could not be copied",
                        trial->engine->model_path);
}

/* Every sequence but the filler's gets a prefix in cells of its own. */
static enum tl_status fill(struct trial *trial, struct tl_error *error) {
    enum tl_status status = TL_OK;
    double ignored = 0;
    for (size_t at = 0; at < TL_LLAMA_LAYOUT_PREFIX && status == TL_OK; at += trial->chunk) {
        size_t left = TL_LLAMA_LAYOUT_PREFIX - at;
        add(trial, 0, at, left < trial->chunk ? left : trial->chunk, 0);
        status = compute(trial, &ignored, error);
    }
    for (uint32_t sequence = 1; sequence < trial->sequences && status == TL_OK; sequence++)
        if (sequence != trial->filler)
            status = copy(trial, sequence, false, &ignored, error);
    return status;
}

static enum tl_status sample(struct trial *trial, struct tl_llama_layout_times *times, struct tl_error *error) {
    const struct tl_llm_storage *storage = &trial->storage;
    *times = (struct tl_llama_layout_times){0};
    storage->trim(storage->context, trial->filler, 0);
    enum tl_status status = copy(trial, trial->filler, true, &times->share, error);
    for (size_t step = 0; step + 1 < STEPS && status == TL_OK; step++) {
        add_writers(trial, step);
        status = compute(trial, &times->write, error);
    }
    times->write /= STEPS - 1;
    if (status == TL_OK) {
        add(trial, trial->filler, TL_LLAMA_LAYOUT_PREFIX, trial->chunk, 0);
        status = compute(trial, &times->prompt, error);
    }
    if (status == TL_OK)
        status = cut(trial, trial->filler, error);
    if (status == TL_OK) {
        add_writers(trial, STEPS - 1);
        add(trial, trial->filler, TL_LLAMA_LAYOUT_PREFIX, trial->chunk, 0);
        status = compute(trial, &times->joint, error);
    }
    for (uint32_t sequence = 0; sequence <= trial->filler && status == TL_OK; sequence++)
        status = cut(trial, sequence, error);
    return status;
}

/* Calls of the first sequence alone. */
static enum tl_status sample_alone(struct trial *trial, double ms[TL_LLAMA_LOOKUPS], struct tl_error *error) {
    enum tl_status status = TL_OK;
    for (size_t i = 0; i < TL_LLAMA_LOOKUPS && status == TL_OK; i++) {
        ms[i] = 0;
        add(trial, 0, TL_LLAMA_LAYOUT_PREFIX, tl_llama_lookup_rows[i], tl_llama_lookup_rows[i]);
        status = compute(trial, &ms[i], error);
        if (status == TL_OK)
            status = cut(trial, 0, error);
    }
    return status;
}

/* ---- engines ---- */

static enum tl_status open_engine(const json_t *settings, size_t layout, struct tl_llama_engine **engine,
                                  struct tl_error *error) {
    static const struct tl_emit nobody = {0};
    struct tl_engine *made;
    json_t *own = json_copy((json_t *)settings);
    json_object_set_new(own, "kv", json_string(tl_llama_layout_names[layout]));
    json_object_set_new(own, "lookup", json_integer(-1)); /* room for the rows of proposals */
    enum tl_status status = tl_llama_engine.create("layout", own, &made, error);
    json_decref(own);
    if (status != TL_OK)
        return status;
    *engine = (struct tl_llama_engine *)made;
    status = tl_llama_engine.open(made, &nobody, error);
    if (status != TL_OK) {
        tl_llama_engine.destroy(made);
        *engine = NULL;
    }
    return status;
}

static void close_engine(struct tl_llama_engine *engine) {
    tl_llama_engine.close(&engine->base);
    tl_llama_engine.destroy(&engine->base);
}

static void set_up(struct trial *trial, struct tl_llama_engine *engine) {
    trial->engine = engine;
    trial->storage = tl_llama_storage(engine);
    trial->sequences = (uint32_t)engine->parallel;
    trial->writers = trial->sequences - 1 < MOST_WRITERS ? trial->sequences - 1 : MOST_WRITERS;
    trial->filler = trial->writers;
    size_t most = engine->batch_tokens - trial->writers;
    trial->chunk = (size_t)engine->chunk < MOST_CHUNK ? (size_t)engine->chunk : MOST_CHUNK;
    trial->chunk = trial->chunk < most ? trial->chunk : most;
}

/* Why there is no choice; NULL: there is one. */
static const char *reason_against(const struct tl_llama_engine *engine) {
    if (engine->parallel < 2)
        return "one sequence shares with nobody";
    if (llama_model_is_recurrent(engine->model) || llama_model_is_hybrid(engine->model))
        return "the model's sequences cannot be cut, so beginnings are not shared";
    if (engine->context_tokens < TL_LLAMA_LAYOUT_PREFIX + MOST_CHUNK)
        return "sequences are too short for prefixes worth sharing";
    return NULL;
}

static enum tl_status measure_once(struct trial *trial, const json_t *settings, size_t layout, struct samples *samples,
                                   const char **against, struct tl_error *error) {
    struct tl_llama_engine *engine;
    struct tl_llama_layout_times times;
    double alone[TL_LLAMA_LOOKUPS];
    enum tl_status status = check_stop(trial, error);
    if (status == TL_OK)
        status = open_engine(settings, layout, &engine, error);
    if (status != TL_OK)
        return status;
    *against = reason_against(engine);
    if (!*against) {
        set_up(trial, engine);
        status = fill(trial, error);
        if (status == TL_OK)
            status = sample(trial, &times, error);
        if (status == TL_OK)
            status = sample_alone(trial, alone, error);
    }
    for (size_t i = 0; i < SAMPLES && status == TL_OK && !*against; i++) {
        status = sample(trial, &times, error);
        if (status == TL_OK)
            status = sample_alone(trial, alone, error);
        for (size_t k = 0; k < TL_LLAMA_LOOKUPS; k++)
            samples->alone[k][samples->count] = alone[k];
        samples->share[samples->count] = times.share;
        samples->prompt[samples->count] = times.prompt;
        samples->write[samples->count] = times.write;
        samples->joint[samples->count++] = times.joint;
    }
    close_engine(engine);
    return status;
}

/* Disturbances only add time: the lower quartile. */
static double typical(double *values, size_t count) {
    tl_percentile_sort(values, count);
    return tl_percentile(values, count, 0.25);
}

static json_t *choose_layout(struct samples samples[TL_LLAMA_LAYOUTS], const struct trial *trial) {
    struct tl_llama_layout_times times[TL_LLAMA_LAYOUTS];
    for (size_t i = 0; i < TL_LLAMA_LAYOUTS; i++)
        times[i] = (struct tl_llama_layout_times){
            .share = typical(samples[i].share, samples[i].count),
            .prompt = typical(samples[i].prompt, samples[i].count),
            .write = typical(samples[i].write, samples[i].count),
            .joint = typical(samples[i].joint, samples[i].count),
        };
    return tl_llama_layout_report(times, trial->writers, trial->chunk);
}

static json_t *choose_lookup(struct samples *samples) {
    double ms[TL_LLAMA_LOOKUPS];
    for (size_t i = 0; i < TL_LLAMA_LOOKUPS; i++)
        ms[i] = typical(samples->alone[i], samples->count);
    return tl_llama_lookup_report(ms);
}

enum tl_status tl_llama_layout_measure(const json_t *settings, const struct tl_engine_trial *asked, json_t **choices,
                                       struct tl_error *error) {
    const char *written = json_string_value(json_object_get(settings, "kv")), *against = NULL;
    bool chooses_kv = !written || strcmp(written, "auto") == 0, chooses_lookup = !json_object_get(settings, "lookup");
    size_t set = written && strcmp(written, "unified") == 0 ? TL_LLAMA_UNIFIED : TL_LLAMA_STREAM;
    struct samples samples[TL_LLAMA_LAYOUTS] = {0};
    struct trial trial = {.asked = asked};
    uint64_t begin = tl_clock_now();
    *choices = NULL;
    if (!chooses_kv && !chooses_lookup)
        return TL_OK;
    enum tl_status status = TL_OK;
    size_t rounds = 0;
    do {
        for (size_t i = 0; i < TL_LLAMA_LAYOUTS && status == TL_OK && !against; i++)
            if (chooses_kv || i == set)
                status = measure_once(&trial, settings, i, &samples[i], &against, error);
    } while (++rounds < ROUNDS && status == TL_OK && !against && tl_clock_now() - begin < asked->budget);
    if (status != TL_OK)
        return status;
    *choices = json_object();
    if (chooses_kv && against)
        json_object_set_new(*choices, "kv", json_pack("{s:s, s:s}", "used", tl_llama_layout_names[TL_LLAMA_STREAM],
                                                      "because", against));
    if (chooses_kv && !against) {
        json_t *kv = choose_layout(samples, &trial);
        const char *used = json_string_value(json_object_get(kv, "used"));
        set = strcmp(used, tl_llama_layout_names[TL_LLAMA_UNIFIED]) == 0 ? TL_LLAMA_UNIFIED : TL_LLAMA_STREAM;
        json_object_set_new(*choices, "kv", kv);
    }
    if (chooses_lookup && !against)
        json_object_set_new(*choices, "lookup", choose_lookup(&samples[set]));
    return TL_OK;
}

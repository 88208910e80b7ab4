/* llama_measure.c: see llama_measure.h. One context of eight sequences serves both. */
#include "engine/llama/llama_measure.h"

#include <math.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/llama/llama_device.h"
#include "engine/llama/llama_memory.h"

enum {
    SEQUENCES = 8,
    WINDOW = 512,   /* tokens of one sequence */
    PROMPT = 256,   /* of the speed's prompt, and rows of a call */
    STEPS = 24,     /* tokens decoded for a sample, by one sequence and by eight */
    ROWS = 64,      /* rows of logits of one call: a whole window's would be a lot of memory */
    UNJUDGED = 64,  /* at the beginning of a window, where little is known yet */
    FEWEST = 128,   /* tokens worth judging by */
};

struct tl_llama_measure {
    const char *path; /* borrowed from the caller until close */
    struct llama_model *model;
    const struct llama_vocab *vocab;
    struct llama_context *context;
    struct ggml_threadpool *pool;
    struct llama_batch batch;
    int32_t vocabulary;
    bool (*stop)(void *context);
    void *stop_context;
};

void tl_llama_measure_close(struct tl_llama_measure *measure) {
    if (!measure)
        return;
    if (measure->batch.token)
        llama_batch_free(measure->batch);
    if (measure->context)
        llama_free(measure->context);
    if (measure->pool)
        ggml_threadpool_free(measure->pool);
    if (measure->model)
        llama_model_free(measure->model);
    tl_mem_free(measure);
}

static enum tl_status open_context(struct tl_llama_measure *measure, int32_t threads, struct tl_error *error) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = WINDOW * SEQUENCES;
    params.n_seq_max = SEQUENCES;
    params.n_batch = params.n_ubatch = PROMPT;
    params.n_outputs_max = ROWS;
    params.swa_full = true;
    params.no_perf = true;
    if (!llama_model_has_decoder(measure->model) || llama_model_has_encoder(measure->model))
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "model file '%s' is no model that writes text", measure->path);
    measure->context = llama_init_from_model(measure->model, params);
    if (!measure->context)
        return tl_error_set(error, TL_ERR_NO_MEMORY, "model file '%s': no context can be made for it", measure->path);
    if (!llama_get_memory(measure->context))
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "model file '%s' is no model that writes text", measure->path);
    measure->batch = llama_batch_init(PROMPT, 0, 1);
    return tl_llama_attach_pool(measure->context, threads > 0 ? threads : tl_llama_default_threads(), &measure->pool,
                                error);
}

enum tl_status tl_llama_measure_open(const char *path, int32_t threads, bool (*stop)(void *context), void *context,
                                     struct tl_llama_measure **out, struct tl_error *error) {
    static const struct tl_llama_extent extent = {
        .context_tokens = WINDOW, .sequences = SEQUENCES, .batch_tokens = PROMPT, .outputs = ROWS, .gpu_layers = -1};
    const struct tl_llama_loading loading = {.path = path, .gpu_layers = -1};
    struct tl_llama_measure *measure = tl_mem_zalloc(sizeof *measure);
    *out = NULL;
    measure->path = path;
    measure->stop = stop;
    measure->stop_context = context;
    enum tl_status status = tl_llama_memory_check(path, &extent, "choose a smaller model or format", error);
    if (status == TL_OK)
        status = tl_llama_load(&loading, &measure->model, error);
    if (status == TL_OK) {
        measure->vocab = llama_model_get_vocab(measure->model);
        measure->vocabulary = llama_vocab_n_tokens(measure->vocab);
        status = open_context(measure, threads, error);
    }
    if (status != TL_OK) {
        tl_llama_measure_close(measure);
        return status;
    }
    *out = measure;
    return TL_OK;
}

/* ---- calls ---- */

static void add(struct llama_batch *batch, llama_token id, int32_t position, llama_seq_id sequence, bool logits) {
    int32_t at = batch->n_tokens++;
    batch->token[at] = id;
    batch->pos[at] = position;
    batch->n_seq_id[at] = 1;
    batch->seq_id[at][0] = sequence;
    batch->logits[at] = logits;
}

static enum tl_status compute(struct tl_llama_measure *measure, struct tl_error *error) {
    if (measure->stop && measure->stop(measure->stop_context))
        return tl_error_set(error, TL_ERR_CANCELLED, "stopped; nothing was changed");
    int32_t result = llama_decode(measure->context, measure->batch);
    measure->batch.n_tokens = 0;
    if (result == 0)
        return TL_OK;
    return tl_error_set(error, TL_ERR_ENGINE, "model file '%s': llama.cpp could not compute (%d)", measure->path,
                        (int)result);
}

static void forget(struct tl_llama_measure *measure) {
    llama_memory_clear(llama_get_memory(measure->context), false);
}

/* ---- speed ---- */

/* Any tokens do: what they are makes no difference to the time. */
static llama_token some_token(const struct tl_llama_measure *measure, int32_t number) {
    return 100 + (number * 37) % (measure->vocabulary > 2000 ? 1500 : measure->vocabulary / 2);
}

/* STEPS calls of one token for each of the first `sequences` sequences; their tokens a second. */
static enum tl_status decode(struct tl_llama_measure *measure, int32_t sequences, int32_t position, double *rate,
                             struct tl_error *error) {
    enum tl_status status = TL_OK;
    uint64_t begin = tl_clock_now();
    for (int32_t step = 0; step < STEPS && status == TL_OK; step++) {
        for (int32_t sequence = 0; sequence < sequences; sequence++)
            add(&measure->batch, some_token(measure, step + sequence), position + step, sequence, true);
        status = compute(measure, error);
    }
    *rate = (double)STEPS * sequences * (double)TL_NS_PER_S / (double)(tl_clock_now() - begin);
    return status;
}

enum tl_status tl_llama_measure_speed(struct tl_llama_measure *measure, struct tl_llama_speed *speed,
                                      struct tl_error *error) {
    forget(measure);
    for (int32_t i = 0; i < PROMPT; i++)
        add(&measure->batch, some_token(measure, i), i, 0, i == PROMPT - 1);
    uint64_t begin = tl_clock_now();
    enum tl_status status = compute(measure, error);
    speed->prefill = (double)PROMPT * (double)TL_NS_PER_S / (double)(tl_clock_now() - begin);
    if (status == TL_OK)
        status = decode(measure, 1, PROMPT, &speed->decode, error);
    for (llama_seq_id sequence = 1; sequence < SEQUENCES && status == TL_OK; sequence++)
        llama_memory_seq_cp(llama_get_memory(measure->context), 0, sequence, -1, -1);
    if (status == TL_OK)
        status = decode(measure, SEQUENCES, PROMPT + STEPS, &speed->decode8, error);
    return status;
}

/* ---- perplexity ---- */

/* -log of the probability that the row of logits gives to the token; NAN when the row is none. */
static double surprise(const float *logits, int32_t count, llama_token next) {
    float largest = -INFINITY;
    double sum = 0;
    for (int32_t i = 0; i < count; i++)
        if (logits[i] > largest)
            largest = logits[i];
    for (int32_t i = 0; i < count; i++)
        sum += (double)expf(logits[i] - largest);
    return log(sum) + (double)largest - (double)logits[next];
}

/* Reads one window; adds to *sum and *judged. */
static enum tl_status judge(struct tl_llama_measure *measure, const llama_token *tokens, size_t count, size_t most,
                            double *sum, size_t *judged, struct tl_error *error) {
    enum tl_status status = TL_OK;
    forget(measure);
    for (size_t begin = 0; begin + 1 < count && status == TL_OK && *judged < most; begin += ROWS) {
        size_t end = begin + ROWS < count - 1 ? begin + ROWS : count - 1; /* of the last one nothing is asked */
        for (size_t i = begin; i < end; i++)
            add(&measure->batch, tokens[i], (int32_t)i, 0, true);
        status = compute(measure, error);
        for (size_t i = begin; i < end && status == TL_OK && *judged < most; i++) {
            if (i + 1 < UNJUDGED)
                continue;
            const float *logits = llama_get_logits_ith(measure->context, (int32_t)(i - begin));
            double one = logits ? surprise(logits, measure->vocabulary, tokens[i + 1]) : NAN;
            if (!isfinite(one))
                return tl_error_set(error, TL_ERR_ENGINE, "model file '%s': its output is not a number", measure->path);
            *sum += one;
            ++*judged;
        }
    }
    return status;
}

enum tl_status tl_llama_measure_perplexity(struct tl_llama_measure *measure, const char *text, size_t length,
                                           size_t most, double *perplexity, size_t *judged, struct tl_error *error) {
    struct tl_llama_tokens tokens = {0};
    double sum = 0;
    *judged = 0;
    enum tl_status status = tl_llama_tokenize(measure->vocab, text, length, false, &tokens);
    for (size_t begin = 0; begin < tokens.count && *judged < most && status == TL_OK; begin += WINDOW) {
        size_t count = tokens.count - begin < WINDOW ? tokens.count - begin : WINDOW;
        status = judge(measure, tokens.ids + begin, count, most, &sum, judged, error);
    }
    if (status == TL_OK && *judged < FEWEST)
        status = tl_error_set(error, TL_ERR_INVALID,
                              "the text is too short to judge by: it has %zu tokens, of which %zu count", tokens.count,
                              *judged);
    tl_llama_tokens_fini(&tokens);
    *perplexity = status == TL_OK ? exp(sum / (double)*judged) : 0;
    return status;
}

/* llama_encoder.c: packing texts into calls of an encoder; see llama_encoder.h. */
#include "engine/llama/llama_encoder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/llama/llama_memory.h"

#define MOST_TEXTS 64 /* of one call; more short ones are no faster (measured: best at 16 of 30 tokens) */

/* A text of the current call. */
struct placed {
    struct tl_llama_job *job;
    size_t text;
    int32_t first, count; /* its rows of the batch */
};

/* ---- opening ---- */

/* The special tokens that the model puts around a text, found by asking it to. */
static enum tl_status find_frame(struct tl_llama_encoder *encoder, const char *path, struct tl_error *error) {
    llama_token plain[8], framed[16];
    int32_t plain_count = llama_tokenize(encoder->vocab, "a", 1, plain, 8, false, false);
    int32_t framed_count = llama_tokenize(encoder->vocab, "a", 1, framed, 16, true, false);
    for (int32_t at = 0; plain_count > 0 && at + plain_count <= framed_count; at++) {
        if (memcmp(framed + at, plain, (size_t)plain_count * sizeof *plain) != 0)
            continue;
        tl_llama_tokens_append(&encoder->prefix, framed, (size_t)at);
        tl_llama_tokens_append(&encoder->suffix, framed + at + plain_count, (size_t)(framed_count - at - plain_count));
        return TL_OK;
    }
    return tl_error_set(error, TL_ERR_INVALID, "model file '%s': its tokenizer gives no tokens for plain text", path);
}

static enum tl_status open_context(struct tl_llama_encoder *encoder, const struct tl_llama_encoder_settings *settings,
                                   struct tl_error *error) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = (uint32_t)settings->batch_tokens;
    params.n_batch = (uint32_t)settings->batch_tokens;
    params.n_ubatch = (uint32_t)settings->batch_tokens;
    params.n_seq_max = MOST_TEXTS;
    params.kv_unified = true; /* else each text could have n_ctx / n_seq_max tokens only */
    params.embeddings = true;
    params.pooling_type = settings->pooling;
    params.no_perf = true;
    encoder->context = llama_init_from_model(encoder->model, params);
    if (!encoder->context)
        return tl_error_set(error, TL_ERR_ENGINE, "model file '%s': no context of %d tokens can be made for it",
                            settings->model, (int)settings->batch_tokens);
    encoder->pooling = llama_pooling_type(encoder->context);
    encoder->batch_tokens = llama_n_ubatch(encoder->context);
    if (llama_n_batch(encoder->context) < encoder->batch_tokens)
        encoder->batch_tokens = llama_n_batch(encoder->context);
    encoder->batch_texts = llama_n_seq_max(encoder->context);
    uint32_t trained = (uint32_t)llama_model_n_ctx_train(encoder->model);
    encoder->text_tokens = trained > 0 && trained < encoder->batch_tokens ? trained : encoder->batch_tokens;
    encoder->dimension = encoder->pooling == LLAMA_POOLING_TYPE_RANK ? llama_model_n_cls_out(encoder->model)
                                                                     : (uint32_t)llama_model_n_embd_out(encoder->model);
    int32_t threads = settings->threads > 0 ? (int32_t)settings->threads : tl_llama_default_threads();
    return tl_llama_attach_pool(encoder->context, threads, &encoder->pool, error);
}

/* A row of logits is kept for each token, even though an encoder has none worth looking at. */
static struct tl_llama_extent extent_of(const struct tl_llama_encoder_settings *settings) {
    return (struct tl_llama_extent){
        .context_tokens = (uint32_t)settings->batch_tokens,
        .sequences = MOST_TEXTS,
        .batch_tokens = (uint32_t)settings->batch_tokens,
        .outputs = (uint32_t)settings->batch_tokens,
        .unified = true,
        .gpu_layers = (int32_t)settings->gpu_layers,
    };
}

enum tl_status tl_llama_encoder_memory(const struct tl_llama_encoder_settings *settings,
                                       struct tl_engine_memory *memory, struct tl_error *error) {
    const struct tl_llama_extent extent = extent_of(settings);
    return tl_llama_memory_estimate(settings->model, &extent, memory, error);
}

enum tl_status tl_llama_encoder_open(struct tl_llama_encoder *encoder, const struct tl_llama_encoder_settings *settings,
                                     struct tl_error *error) {
    *encoder = (struct tl_llama_encoder){0};
    const struct tl_llama_loading loading = {
        .path = settings->model, .gpu_layers = (int32_t)settings->gpu_layers, .gpu_devices = settings->gpu_devices};
    const struct tl_llama_extent extent = extent_of(settings);
    enum tl_status status = tl_llama_memory_check(settings->model, &extent,
                                                  "lower the setting context_size, or choose a "
                                                  "smaller model",
                                                  error);
    if (status == TL_OK)
        status = tl_llama_load(&loading, &encoder->model, error);
    if (status != TL_OK)
        return status;
    encoder->vocab = llama_model_get_vocab(encoder->model);
    status = find_frame(encoder, settings->model, error);
    if (status == TL_OK)
        status = open_context(encoder, settings, error);
    if (status == TL_OK && encoder->prefix.count + encoder->suffix.count >= encoder->text_tokens)
        status = tl_error_set(error, TL_ERR_INVALID, "model file '%s': %u tokens leave no room for text",
                              settings->model, encoder->text_tokens);
    if (status != TL_OK) {
        tl_llama_encoder_close(encoder);
        return status;
    }
    encoder->batch = llama_batch_init((int32_t)encoder->batch_tokens, 0, 1);
    encoder->placed = tl_mem_alloc(encoder->batch_texts * sizeof *encoder->placed);
    encoder->rows = tl_mem_alloc(encoder->batch_tokens * sizeof *encoder->rows);
    return TL_OK;
}

void tl_llama_encoder_close(struct tl_llama_encoder *encoder) {
    if (encoder->batch.token)
        llama_batch_free(encoder->batch);
    if (encoder->context)
        llama_free(encoder->context);
    if (encoder->pool)
        ggml_threadpool_free(encoder->pool);
    if (encoder->model)
        llama_model_free(encoder->model);
    tl_llama_tokens_fini(&encoder->prefix);
    tl_llama_tokens_fini(&encoder->suffix);
    tl_mem_free(encoder->placed);
    tl_mem_free((void *)encoder->rows);
    *encoder = (struct tl_llama_encoder){0};
}

/* ---- jobs ---- */

void tl_llama_job_fini(struct tl_llama_job *job) {
    tl_llama_tokens_fini(&job->pending);
}

void tl_llama_jobs_push(struct tl_llama_jobs *jobs, struct tl_llama_job *job) {
    job->next = NULL;
    if (jobs->last)
        jobs->last->next = job;
    else
        jobs->first = job;
    jobs->last = job;
}

static void remove_job(struct tl_llama_jobs *jobs, struct tl_llama_job *job) {
    struct tl_llama_job *before = NULL;
    for (struct tl_llama_job *at = jobs->first; at != job; at = at->next)
        before = at;
    if (before)
        before->next = job->next;
    else
        jobs->first = job->next;
    if (jobs->last == job)
        jobs->last = before;
}

struct tl_llama_job *tl_llama_jobs_find(const struct tl_llama_jobs *jobs, const struct tl_item *item) {
    struct tl_llama_job *job = jobs->first;
    while (job && job->item != item)
        job = job->next;
    return job;
}

void tl_llama_job_fail(struct tl_llama_job *job, enum tl_status status, const char *message) {
    if (job->status != TL_OK)
        return;
    job->status = status;
    snprintf(job->failure, sizeof job->failure, "%s", message);
}

bool tl_llama_job_delivered(struct tl_llama_job *job) {
    job->delivered++;
    return job->delivered == (job->status == TL_OK ? job->count : job->packed);
}

void tl_llama_job_report(struct tl_llama_job *job, struct tl_llama_jobs *jobs, const struct tl_llama_encoder *encoder,
                         const struct tl_emit *emit, struct tl_value *output, size_t units) {
    const struct tl_usage usage = {
        .units = units,
        .tokens_in = job->tokens_in,
        .tokens_computed = job->tokens_computed,
        .tokens_trimmed = job->tokens_trimmed,
        .batch_units = job->batch_units,
    };
    remove_job(jobs, job);
    if (job->status != TL_OK) {
        emit->fail(emit->context, job->item, job->status, job->failure);
        return;
    }
    if (job->cut_texts > 0) {
        char notice[160];
        snprintf(notice, sizeof notice,
                 "%llu of %zu texts were longer than the %u tokens that the model reads and were cut at their end",
                 (unsigned long long)job->cut_texts, job->count, encoder->text_tokens);
        emit->notice(emit->context, job->item, notice);
    }
    emit->done(emit->context, job->item, &output, 1, &usage);
}

void tl_llama_encoder_frame(const struct tl_llama_encoder *encoder, struct tl_llama_job *job, const char *text,
                            size_t length, struct tl_llama_tokens *out) {
    size_t begin = out->count;
    tl_llama_tokens_append(out, encoder->prefix.ids, encoder->prefix.count);
    tl_llama_tokenize(encoder->vocab, text, length, false, out);
    size_t wanted = out->count - begin + encoder->suffix.count;
    if (wanted > encoder->text_tokens) {
        job->tokens_trimmed += wanted - encoder->text_tokens;
        job->cut_texts++;
        out->count = begin + encoder->text_tokens - encoder->suffix.count;
    }
    tl_llama_tokens_append(out, encoder->suffix.ids, encoder->suffix.count);
    job->tokens_in += wanted;
}

/* ---- a call ---- */

/* The next job by rank, then age, after `last` in that order (NULL: the first) that has texts left. */
static struct tl_llama_job *job_after(struct tl_llama_job *jobs, const struct tl_llama_job *last) {
    struct tl_llama_job *best = NULL;
    bool passed = last == NULL; /* whether `last` was met on the way: jobs of its rank behind it are younger */
    for (struct tl_llama_job *job = jobs; job; job = job->next) {
        bool after = last == NULL || job->rank < last->rank || (job->rank == last->rank && passed);
        if (job == last)
            passed = true;
        if (job == last || !after || job->packed >= job->count)
            continue;
        if (!best || job->rank > best->rank)
            best = job;
    }
    return best;
}

/* Places the job's next text when it fits. */
static bool place(struct tl_llama_encoder *encoder, struct tl_llama_job *job, size_t *count,
                  const struct tl_llama_encoder_owner *owner) {
    if (!job->has_pending) {
        job->pending.count = 0;
        owner->tokens(owner->context, job, job->packed, &job->pending);
        job->has_pending = true;
    }
    struct llama_batch *batch = &encoder->batch;
    if (job->pending.count > encoder->text_tokens)
        TL_BUG("a text of %zu tokens for an encoder of %u", job->pending.count, encoder->text_tokens);
    if ((size_t)batch->n_tokens + job->pending.count > encoder->batch_tokens)
        return false;
    struct placed *placed = &encoder->placed[*count];
    *placed = (struct placed){job, job->packed, batch->n_tokens, (int32_t)job->pending.count};
    for (size_t i = 0; i < job->pending.count; i++) {
        int32_t row = batch->n_tokens++;
        batch->token[row] = job->pending.ids[i];
        batch->pos[row] = (llama_pos)i;
        batch->n_seq_id[row] = 1;
        batch->seq_id[row][0] = (llama_seq_id)*count;
        batch->logits[row] = 1;
    }
    ++*count;
    job->packed++;
    job->has_pending = false;
    return true;
}

static size_t pack(struct tl_llama_encoder *encoder, struct tl_llama_job *jobs,
                   const struct tl_llama_encoder_owner *owner) {
    size_t count = 0;
    encoder->batch.n_tokens = 0;
    for (bool placed_one = true; placed_one;) {
        placed_one = false;
        for (struct tl_llama_job *job = job_after(jobs, NULL); job && count < encoder->batch_texts;
             job = job_after(jobs, job))
            placed_one |= place(encoder, job, &count, owner);
    }
    return count;
}

static int32_t compute(struct tl_llama_encoder *encoder) {
    encoder->calls++;
    if (!llama_get_memory(encoder->context))
        return llama_encode(encoder->context, encoder->batch);
    /* An embedding model made from a decoder: each call starts with an empty cache. */
    llama_memory_clear(llama_get_memory(encoder->context), false);
    return llama_decode(encoder->context, encoder->batch);
}

static bool all_finite(const float *vector, size_t dimension) {
    for (size_t i = 0; i < dimension; i++)
        if (!isfinite(vector[i]))
            return false;
    return true;
}

/* Collects the vectors of one text into encoder->rows; returns NULL or what is wrong. */
static const char *collect(struct tl_llama_encoder *encoder, size_t sequence, size_t *count) {
    const struct placed *placed = &encoder->placed[sequence];
    bool pooled = encoder->pooling != LLAMA_POOLING_TYPE_NONE;
    *count = pooled ? 1 : (size_t)placed->count;
    for (size_t i = 0; i < *count; i++) {
        const float *row = pooled ? llama_get_embeddings_seq(encoder->context, (llama_seq_id)sequence)
                                  : llama_get_embeddings_ith(encoder->context, placed->first + (int32_t)i);
        if (!row)
            return "the model gave no vector for a text";
        if (!all_finite(row, encoder->dimension))
            return "the model gave a vector with a number that is not finite";
        encoder->rows[i] = row;
    }
    return NULL;
}

bool tl_llama_encoder_step(struct tl_llama_encoder *encoder, const struct tl_llama_jobs *jobs,
                           const struct tl_llama_encoder_owner *owner) {
    size_t texts = pack(encoder, jobs->first, owner);
    if (texts == 0)
        return false;
    int32_t code = compute(encoder);
    char failure[96];
    snprintf(failure, sizeof failure, "the encoder failed on a batch of %zu texts (llama.cpp's code %d)", texts, code);
    for (size_t i = 0; i < texts; i++) {
        struct placed placed = encoder->placed[i];
        placed.job->tokens_computed += (uint64_t)placed.count;
        if (texts > placed.job->batch_units)
            placed.job->batch_units = (uint32_t)texts;
    }
    for (size_t i = 0; i < texts; i++) {
        struct placed placed = encoder->placed[i];
        size_t count = 0;
        const char *wrong = code != 0 ? failure : collect(encoder, i, &count);
        owner->deliver(owner->context, placed.job, placed.text, wrong ? NULL : encoder->rows, wrong ? 0 : count, wrong);
    }
    return true;
}

/* embed_engine.c: engine type "embed": texts and chunks to L2-normalised vectors.
 *
 * An item is a job of the encoder (llama_encoder.h), one text per leaf of its input; a step
 * is one call of the encoder, filled with texts of all items in turn. */
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/engines.h"
#include "engine/llama/llama_encoder.h"
#include "engine/llama/llama_leaves.h"
#include "engine/settings.h"

struct embed_item {
    struct tl_llama_job job; /* first: jobs are cast back */
    struct tl_value **leaves;  /* borrowed from the input; job.count of them */
    struct tl_value **vectors; /* owned, NULL where not there yet */
};

struct embed_engine {
    struct tl_engine base;
    const struct tl_emit *emit;
    struct tl_llama_encoder encoder;
    struct tl_llama_jobs jobs;       /* embed_items held */
    float *scratch;                  /* one vector */
    char *model, *model_name, *model_digest, *gpu_devices;
    char *query_prefix, *passage_prefix;
    int64_t threads, context_size, gpu_layers;
    enum llama_pooling_type pooling;
};

static struct embed_engine *engine_of(struct tl_engine *engine) {
    return (struct embed_engine *)engine;
}

/* ---- life ---- */

static void embed_destroy(struct tl_engine *base) {
    struct embed_engine *engine = engine_of(base);
    tl_llama_encoder_close(&engine->encoder);
    tl_mem_free(engine->scratch);
    tl_mem_free(engine->model);
    tl_mem_free(engine->model_name);
    tl_mem_free(engine->model_digest);
    tl_mem_free(engine->gpu_devices);
    tl_mem_free(engine->query_prefix);
    tl_mem_free(engine->passage_prefix);
    tl_mem_free(engine->base.name);
    tl_mem_free(engine);
}

static enum tl_status parse_pooling(const char *name, enum llama_pooling_type *pooling, struct tl_error *error) {
    static const struct {
        const char *name;
        enum llama_pooling_type type;
    } known[] = {{"mean", LLAMA_POOLING_TYPE_MEAN}, {"cls", LLAMA_POOLING_TYPE_CLS}, {"last", LLAMA_POOLING_TYPE_LAST}};
    *pooling = LLAMA_POOLING_TYPE_UNSPECIFIED;
    if (!name)
        return TL_OK;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i].name, name) == 0) {
            *pooling = known[i].type;
            return TL_OK;
        }
    return tl_error_set(error, TL_ERR_INVALID,
                        "engine type 'embed': setting 'pooling' is '%s', but must be mean, cls or last", name);
}

static enum tl_status embed_create(const char *name, const json_t *settings, struct tl_engine **out,
                                   struct tl_error *error) {
    struct embed_engine *engine = tl_mem_zalloc(sizeof *engine);
    engine->base.ops = &tl_embed_engine;
    engine->base.name = tl_mem_strdup(name);
    engine->context_size = 512;
    engine->gpu_layers = -1;
    char *pooling = NULL;
    const struct tl_setting table[] = {
        {.name = "model", .text = &engine->model, .required = true},
        {.name = "model_digest", .text = &engine->model_digest},
        {.name = "threads", .integer = &engine->threads, .minimum = 0, .maximum = GGML_MAX_N_THREADS},
        {.name = "context_size", .integer = &engine->context_size, .minimum = 32, .maximum = 8192},
        {.name = "gpu_layers", .integer = &engine->gpu_layers, .minimum = -1, .maximum = 10000},
        {.name = "gpu_devices", .text = &engine->gpu_devices},
        {.name = "pooling", .text = &pooling},
        {.name = "query_prefix", .text = &engine->query_prefix},
        {.name = "passage_prefix", .text = &engine->passage_prefix},
    };
    enum tl_status status = tl_settings_read("embed", settings, table, sizeof table / sizeof table[0], error);
    if (status == TL_OK)
        status = parse_pooling(pooling, &engine->pooling, error);
    tl_mem_free(pooling);
    if (status != TL_OK) {
        embed_destroy(&engine->base);
        return status;
    }
    engine->model_name = tl_llama_model_name(engine->model);
    *out = &engine->base;
    return TL_OK;
}

static struct tl_llama_encoder_settings encoder_settings(const struct embed_engine *engine) {
    return (struct tl_llama_encoder_settings){
        .model = engine->model,
        .threads = engine->threads,
        .batch_tokens = engine->context_size,
        .gpu_layers = engine->gpu_layers,
        .gpu_devices = engine->gpu_devices,
        .pooling = engine->pooling,
    };
}

static enum tl_status embed_memory(const struct tl_engine *base, struct tl_engine_memory *memory,
                                   struct tl_error *error) {
    const struct tl_llama_encoder_settings settings = encoder_settings((const struct embed_engine *)base);
    return tl_llama_encoder_memory(&settings, memory, error);
}

static enum tl_status embed_open(struct tl_engine *base, const struct tl_emit *emit, struct tl_error *error) {
    struct embed_engine *engine = engine_of(base);
    engine->emit = emit;
    const struct tl_llama_encoder_settings settings = encoder_settings(engine);
    enum tl_status status = tl_llama_encoder_open(&engine->encoder, &settings, error);
    if (status != TL_OK)
        return status;
    enum llama_pooling_type pooling = engine->encoder.pooling;
    if (pooling != LLAMA_POOLING_TYPE_MEAN && pooling != LLAMA_POOLING_TYPE_CLS && pooling != LLAMA_POOLING_TYPE_LAST)
        return tl_error_set(
            error, TL_ERR_INVALID,
            "model file '%s' does not say how its vectors are pooled: set 'pooling' to mean, cls or last, "
            "or use an embedding model",
            engine->model);
    engine->scratch = tl_mem_alloc(engine->encoder.dimension * sizeof *engine->scratch);
    return TL_OK;
}

static void embed_describe(const struct tl_engine *base, struct tl_engine_description *description) {
    const struct embed_engine *engine = (const struct embed_engine *)base;
    *description = (struct tl_engine_description){
        .capabilities = 1u << TL_CAPABILITY_EMBED,
        .executor = TL_EXECUTOR_DEVICE,
        .batch_units = engine->encoder.batch_texts,
        .batch_tokens = engine->encoder.batch_tokens,
        .context_tokens = engine->encoder.text_tokens,
        .dimension = engine->encoder.dimension,
        .model = engine->model_name,
        .model_digest = engine->model_digest ? engine->model_digest : "",
    };
}

/* ---- items ---- */

static void free_item(struct embed_item *held) {
    for (size_t i = 0; held->vectors && i < held->job.count; i++)
        tl_value_unref(held->vectors[i]);
    tl_mem_free(held->leaves);
    tl_mem_free(held->vectors);
    tl_llama_job_fini(&held->job);
    tl_mem_free(held);
}

/* Reports the item's outcome and forgets it. */
static void finish_item(struct embed_engine *engine, struct embed_item *held) {
    struct tl_value *output = NULL;
    if (held->job.status == TL_OK) {
        output = tl_llama_reshape(held->job.item->inputs[0], TL_TYPE_VECTOR, held->vectors);
        tl_mem_free(held->vectors);
        held->vectors = NULL;
        if (!output)
            tl_llama_job_fail(&held->job, TL_ERR_NO_MEMORY, "out of memory for the list of vectors");
    }
    tl_llama_job_report(&held->job, &engine->jobs, &engine->encoder, engine->emit, output, held->job.count);
    free_item(held);
}

static void submit_item(struct embed_engine *engine, struct tl_item *item) {
    const struct tl_emit *emit = engine->emit;
    if (item->op != TL_OP_EMBED) {
        emit->fail(emit->context, item, TL_ERR_UNSUPPORTED,
                   "an engine of type 'embed' serves the primitive 'embed' only");
        return;
    }
    struct tl_value *input = item->inputs[0];
    if (input->type.base != TL_TYPE_TEXT && input->type.base != TL_TYPE_CHUNK) {
        emit->fail(emit->context, item, TL_ERR_INVALID, "the input of embed must be texts or chunks");
        return;
    }
    size_t count = tl_llama_leaf_count(input);
    struct embed_item *held = tl_mem_zalloc(sizeof *held);
    held->job.item = item;
    held->job.rank = item->rank;
    held->leaves = tl_mem_try_alloc((count + 1) * sizeof(struct tl_value *));
    held->vectors = tl_mem_try_alloc((count + 1) * sizeof(struct tl_value *));
    tl_llama_jobs_push(&engine->jobs, &held->job);
    if (!held->leaves || !held->vectors) {
        tl_mem_free(held->vectors);
        held->vectors = NULL;
        tl_llama_job_fail(&held->job, TL_ERR_NO_MEMORY, "out of memory for the list of texts");
    } else {
        held->job.count = count;
        tl_llama_leaves(input, held->leaves);
        memset(held->vectors, 0, (count + 1) * sizeof(struct tl_value *));
    }
    if (held->job.count == 0)
        finish_item(engine, held);
}

static void embed_submit(struct tl_engine *base, struct tl_item **items, size_t count) {
    for (size_t i = 0; i < count; i++)
        submit_item(engine_of(base), items[i]);
}

static void embed_cancel(struct tl_engine *base, struct tl_item *item) {
    struct embed_engine *engine = engine_of(base);
    struct tl_llama_job *job = tl_llama_jobs_find(&engine->jobs, item);
    if (!job)
        return;
    tl_llama_job_fail(job, TL_ERR_CANCELLED, "cancelled before all texts were embedded");
    finish_item(engine, (struct embed_item *)job);
}

static void embed_close(struct tl_engine *base) {
    struct embed_engine *engine = engine_of(base);
    while (engine->jobs.first) {
        tl_llama_job_fail(engine->jobs.first, TL_ERR_CANCELLED, "the engine was closed before all texts were embedded");
        finish_item(engine, (struct embed_item *)engine->jobs.first);
    }
}

/* ---- computing ---- */

static void text_tokens(void *context, struct tl_llama_job *job, size_t text, struct tl_llama_tokens *out) {
    struct embed_engine *engine = context;
    const struct tl_value *leaf = ((struct embed_item *)job)->leaves[text];
    bool chunk = leaf->type.base == TL_TYPE_CHUNK;
    struct tl_str content = TL_STR_INIT;
    const char *prefix = chunk ? engine->passage_prefix : engine->query_prefix;
    if (prefix)
        tl_str_puts(&content, prefix);
    if (chunk)
        tl_llama_chunk_text(&leaf->as.chunk, &content);
    else
        tl_str_append(&content, leaf->as.text.data, leaf->as.text.length);
    tl_llama_encoder_frame(&engine->encoder, job, content.data, content.length, out);
    tl_str_fini(&content);
}

static void text_vector(void *context, struct tl_llama_job *job, size_t text, const float *const *vectors, size_t count,
                        const char *failure) {
    (void)count;
    struct embed_engine *engine = context;
    struct embed_item *held = (struct embed_item *)job;
    if (failure) {
        tl_llama_job_fail(job, TL_ERR_ENGINE, failure);
    } else if (job->status == TL_OK) {
        uint32_t dimension = engine->encoder.dimension;
        double square = 0;
        for (uint32_t i = 0; i < dimension; i++)
            square += (double)vectors[0][i] * vectors[0][i];
        double scale = square > 0 ? 1 / sqrt(square) : 0;
        for (uint32_t i = 0; i < dimension; i++)
            engine->scratch[i] = (float)(vectors[0][i] * scale);
        held->vectors[text] = tl_value_vector(engine->scratch, dimension);
        if (!held->vectors[text])
            tl_llama_job_fail(job, TL_ERR_NO_MEMORY, "out of memory for a vector");
    }
    if (tl_llama_job_delivered(job))
        finish_item(engine, held);
}

static bool embed_step(struct tl_engine *base) {
    struct embed_engine *engine = engine_of(base);
    const struct tl_llama_encoder_owner owner = {engine, text_tokens, text_vector};
    tl_llama_encoder_step(&engine->encoder, &engine->jobs, &owner);
    return engine->jobs.first != NULL;
}

const struct tl_engine_ops tl_embed_engine = {
    .type = "embed",
    .description = "embeddings of texts and chunks by a GGUF model, on this machine",
    .create = embed_create,
    .open = embed_open,
    .describe = embed_describe,
    .memory = embed_memory,
    .submit = embed_submit,
    .step = embed_step,
    .cancel = embed_cancel,
    .close = embed_close,
    .destroy = embed_destroy,
};

/* llama_engine.c: engine type "llama": the contract of engine_impl.h over the other files of
 * this folder; see llama_internal.h for who does what. */
#include "engine/llama/llama_internal.h"

#include "base/error.h"
#include "base/mem.h"
#include "engine/engines.h"
#include "engine/llama/llama_memory.h"
#include "engine/settings.h"

static struct tl_llama_engine *engine_of(struct tl_engine *engine) {
    return (struct tl_llama_engine *)engine;
}

/* ---- life ---- */

static void llama_engine_destroy(struct tl_engine *base) {
    struct tl_llama_engine *engine = engine_of(base);
    if (engine->released)
        tl_llama_released_close(engine->released);
    if (engine->batch.token)
        llama_batch_free(engine->batch);
    if (engine->context)
        llama_free(engine->context);
    if (engine->pool)
        ggml_threadpool_free(engine->pool);
    tl_llama_template_fini(&engine->template);
    if (engine->model)
        llama_model_free(engine->model);
    tl_llama_candidates_fini(&engine->candidates);
    tl_llama_pieces_fini(&engine->pieces);
    tl_mem_free(engine->resident);
    tl_mem_free(engine->model_path);
    tl_mem_free(engine->model_name);
    tl_mem_free(engine->model_digest);
    tl_mem_free(engine->gpu_devices);
    tl_mem_free(engine->base.name);
    tl_mem_free(engine);
}

static enum tl_status llama_engine_create(const char *name, const json_t *settings, struct tl_engine **out,
                                          struct tl_error *error) {
    struct tl_llama_engine *engine = tl_mem_zalloc(sizeof *engine);
    engine->base.ops = &tl_llama_engine;
    engine->base.name = tl_mem_strdup(name);
    engine->parallel = 8;
    engine->chunk = 128;
    engine->gpu_layers = -1;
    engine->reserve = 256;
    engine->park_bytes = (int64_t)1 << 30;
    const struct tl_setting table[] = {
        {.name = "model", .text = &engine->model_path, .required = true},
        {.name = "model_digest", .text = &engine->model_digest},
        {.name = "threads", .integer = &engine->threads, .minimum = 0, .maximum = GGML_MAX_N_THREADS},
        {.name = "context_size", .integer = &engine->context_size, .minimum = 64, .maximum = 1 << 20},
        {.name = "parallel", .integer = &engine->parallel, .minimum = 1, .maximum = 256},
        {.name = "chunk", .integer = &engine->chunk, .minimum = 1, .maximum = 4096},
        {.name = "gpu_layers", .integer = &engine->gpu_layers, .minimum = -1, .maximum = 10000},
        {.name = "gpu_devices", .text = &engine->gpu_devices},
        {.name = "reserve", .integer = &engine->reserve, .minimum = 1, .maximum = 1 << 20},
        {.name = "park_bytes", .integer = &engine->park_bytes, .minimum = 0, .maximum = 1e15},
    };
    enum tl_status status = tl_settings_read("llama", settings, table, sizeof table / sizeof table[0], error);
    if (status != TL_OK) {
        llama_engine_destroy(&engine->base);
        return status;
    }
    engine->model_name = tl_llama_model_name(engine->model_path);
    *out = &engine->base;
    return TL_OK;
}

/* Sequences and rows of a call, as open_context asks for them. */
static uint32_t wanted_sequences(const struct tl_llama_engine *engine) {
    size_t most = llama_max_parallel_sequences();
    return (size_t)engine->parallel > most ? (uint32_t)most : (uint32_t)engine->parallel;
}

static uint32_t wanted_batch(const struct tl_llama_engine *engine) {
    uint32_t rows = (uint32_t)engine->chunk, sequences = wanted_sequences(engine);
    if (rows < 64)
        rows = 64;
    return rows < 4 * sequences ? 4 * sequences : rows;
}

static struct tl_llama_extent extent_of(const struct tl_llama_engine *engine) {
    return (struct tl_llama_extent){
        .context_tokens = (uint32_t)engine->context_size,
        .sequences = wanted_sequences(engine),
        .batch_tokens = wanted_batch(engine),
        .outputs = wanted_sequences(engine),
        .gpu_layers = (int32_t)engine->gpu_layers,
    };
}

static enum tl_status llama_engine_memory(const struct tl_engine *base, struct tl_engine_memory *memory,
                                          struct tl_error *error) {
    const struct tl_llama_engine *engine = (const struct tl_llama_engine *)base;
    const struct tl_llama_extent extent = extent_of(engine);
    return tl_llama_memory_estimate(engine->model_path, &extent, memory, error);
}

/* Most tokens of one sequence: as set, or 4096, or what the model was trained for. */
static uint32_t wanted_context(const struct tl_llama_engine *engine) {
    if (engine->context_size > 0)
        return (uint32_t)engine->context_size;
    int32_t trained = llama_model_n_ctx_train(engine->model);
    return trained > 0 && trained < 4096 ? (uint32_t)trained : 4096;
}

static enum tl_status open_context(struct tl_llama_engine *engine, struct tl_error *error) {
    engine->sequences = wanted_sequences(engine);
    engine->context_tokens = wanted_context(engine);
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = engine->context_tokens * engine->sequences;
    params.n_seq_max = engine->sequences;
    params.n_batch = wanted_batch(engine);
    params.n_ubatch = params.n_batch;
    params.n_outputs_max = engine->sequences; /* logits are asked for where a token is sampled only */
    params.kv_unified = false;
    params.swa_full = true; /* else a sequence could not be cut back to a prefix */
    params.no_perf = true;
    engine->context = llama_init_from_model(engine->model, params);
    if (!engine->context)
        return tl_error_set(error, TL_ERR_NO_MEMORY,
                            "model file '%s': no context for %u sequences of %u tokens can be made; lower the settings "
                            "parallel or context_size",
                            engine->model_path, engine->sequences, engine->context_tokens);
    engine->memory = llama_get_memory(engine->context);
    if (!engine->memory || !llama_model_has_decoder(engine->model) || llama_model_has_encoder(engine->model))
        return tl_error_set(error, TL_ERR_INVALID, "model file '%s' is no model that writes text", engine->model_path);
    if (llama_n_ctx_seq(engine->context) < engine->context_tokens)
        engine->context_tokens = llama_n_ctx_seq(engine->context);
    engine->batch_tokens = llama_n_batch(engine->context);
    if (engine->chunk > engine->batch_tokens)
        engine->chunk = engine->batch_tokens;
    int32_t threads = engine->threads > 0 ? (int32_t)engine->threads : tl_llama_default_threads();
    return tl_llama_attach_pool(engine->context, threads, &engine->pool, error);
}

static enum tl_status llama_engine_open(struct tl_engine *base, const struct tl_emit *emit, struct tl_error *error) {
    struct tl_llama_engine *engine = engine_of(base);
    engine->emit = emit;
    const struct tl_llama_loading loading = {
        .path = engine->model_path, .gpu_layers = (int32_t)engine->gpu_layers, .gpu_devices = engine->gpu_devices};
    const struct tl_llama_extent extent = extent_of(engine);
    enum tl_status status = tl_llama_memory_check(engine->model_path, &extent, "lower the settings parallel or context_size, "
                                                  "or choose a smaller model", error);
    if (status == TL_OK)
        status = tl_llama_load(&loading, &engine->model, error);
    if (status == TL_OK)
        status = open_context(engine, error);
    if (status != TL_OK)
        return status;
    engine->vocab = llama_model_get_vocab(engine->model);
    engine->vocabulary = (size_t)llama_vocab_n_tokens(engine->vocab);
    tl_llama_pieces_init(&engine->pieces, engine->vocab);
    engine->batch = llama_batch_init((int32_t)engine->batch_tokens, 0, 1);
    engine->resident = tl_mem_zalloc(engine->sequences * sizeof(struct tl_llama_span *));
    tl_llama_template_init(&engine->template, engine->model);
    engine->released = tl_llama_released_create();
    return TL_OK;
}

static void llama_engine_describe(const struct tl_engine *base, struct tl_engine_description *description) {
    const struct tl_llama_engine *engine = (const struct tl_llama_engine *)base;
    *description = (struct tl_engine_description){
        .capabilities = 1u << TL_CAPABILITY_LLM,
        .executor = TL_EXECUTOR_DEVICE,
        .batch_units = engine->sequences,
        .batch_tokens = (uint32_t)engine->chunk,
        .sequences = engine->sequences,
        .context_tokens = engine->context_tokens,
        .streams = true,
        .keeps_kv = true,
        .model = engine->model_name,
        .model_digest = engine->model_digest ? engine->model_digest : "",
    };
}

/* ---- items ---- */

static void llama_engine_submit(struct tl_engine *base, struct tl_item **items, size_t count) {
    struct tl_llama_engine *engine = engine_of(base);
    tl_llama_drain(engine);
    for (size_t i = 0; i < count; i++)
        tl_llama_item_submit(engine, items[i]);
}

static bool llama_engine_step(struct tl_engine *base) {
    struct tl_llama_engine *engine = engine_of(base);
    tl_llama_iterate(engine);
    return engine->items != NULL;
}

static void llama_engine_cancel(struct tl_engine *base, struct tl_item *item) {
    struct tl_llama_engine *engine = engine_of(base);
    struct tl_llama_item *held = engine->items;
    while (held && held->item != item)
        held = held->next;
    if (held)
        tl_llama_item_fail(engine, held, TL_ERR_CANCELLED, "cancelled after %zu tokens were written", held->answer.written);
}

static void llama_engine_close(struct tl_engine *base) {
    struct tl_llama_engine *engine = engine_of(base);
    while (engine->items)
        tl_llama_item_fail(engine, engine->items, TL_ERR_CANCELLED, "the engine was closed before the item was done");
    tl_llama_drain(engine);
    tl_llama_sequences_close(engine);
    tl_llama_released_close(engine->released);
    engine->released = NULL;
}

struct tl_llama_counters tl_llama_count(const struct tl_llama_engine *engine) {
    struct tl_llama_counters counters = engine->counters;
    for (const struct tl_llama_prefix *prefix = engine->prefixes; prefix; prefix = prefix->next)
        counters.prefixes++;
    for (const struct tl_llama_span *span = engine->spans; span; span = span->next) {
        counters.spans++;
        counters.resident += span->sequence >= 0;
    }
    return counters;
}

const struct tl_engine_ops tl_llama_engine = {
    .type = "llama",
    .description = "a language model in a GGUF file, on this machine: prefill, decode, lists, streaming",
    .create = llama_engine_create,
    .open = llama_engine_open,
    .describe = llama_engine_describe,
    .memory = llama_engine_memory,
    .submit = llama_engine_submit,
    .step = llama_engine_step,
    .cancel = llama_engine_cancel,
    .close = llama_engine_close,
    .destroy = llama_engine_destroy,
};

/* llama_engine.c: engine type "llama": the contract of engine_impl.h over the other files of
 * this folder; see llama_internal.h for who does what. */
#include "engine/llama/llama_internal.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/engines.h"
#include "engine/llama/llama_layout.h"
#include "engine/llama/llama_memory.h"
#include "engine/settings.h"

#define MOST_PROPOSALS 15 /* setting lookup */

static struct tl_llama_engine *engine_of(struct tl_engine *engine) {
    return (struct tl_llama_engine *)engine;
}

/* ---- life ---- */

static void llama_engine_destroy(struct tl_engine *base) {
    struct tl_llama_engine *engine = engine_of(base);
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
    tl_mem_free(engine->scratch);
    tl_llama_pieces_fini(&engine->pieces);
    tl_mem_free(engine->model_path);
    tl_mem_free(engine->model_name);
    tl_mem_free(engine->model_digest);
    tl_mem_free(engine->kv);
    tl_mem_free(engine->kv_because);
    tl_mem_free(engine->layout);
    tl_mem_free(engine->lookup_because);
    tl_mem_free(engine->keep);
    tl_mem_free(engine->gpu_devices);
    tl_mem_free(engine->base.name);
    tl_mem_free(engine);
}

static enum tl_status check_keep(const char *keep, struct tl_error *error) {
    if (!keep || strcmp(keep, "all") == 0 || strcmp(keep, "held") == 0)
        return TL_OK;
    return tl_error_set(error, TL_ERR_INVALID, "llama: setting keep must be \"all\" or \"held\"; found \"%s\"", keep);
}

/* What kv comes to. `auto` is what was measured: whoever opens the engine says it instead, with its reason. Where nothing
 * was measured each sequence has its own cells (llama_layout.h says why). */
static enum tl_status choose_layout(struct tl_llama_engine *engine, struct tl_error *error) {
    bool open = !engine->kv || strcmp(engine->kv, "auto") == 0;
    engine->unified = !open && strcmp(engine->kv, "unified") == 0;
    if (!open && !engine->unified && strcmp(engine->kv, "stream") != 0)
        return tl_error_set(error, TL_ERR_INVALID,
                            "llama: setting kv must be \"auto\", \"stream\" or \"unified\"; found \"%s\"", engine->kv);
    const char *because = open                 ? "the default: not measured here, teola profile does"
                          : engine->kv_because ? engine->kv_because
                                               : "as set";
    struct tl_str text = TL_STR_INIT;
    tl_str_printf(&text, "%s (%s)", engine->unified ? "unified" : "stream", because);
    engine->layout = tl_str_detach(&text);
    return TL_OK;
}

static enum tl_status llama_engine_create(const char *name, const json_t *settings, struct tl_engine **out,
                                          struct tl_error *error) {
    struct tl_llama_engine *engine = tl_mem_zalloc(sizeof *engine);
    engine->base.ops = &tl_llama_engine;
    engine->base.name = tl_mem_strdup(name);
    engine->parallel = 8;
    engine->chunk = 256;
    engine->quantum_ms = 200;
    engine->preempt_margin = 10000;
    engine->jump_forward = -1;
    engine->ask_first = true;
    engine->gpu_layers = -1;
    engine->reserve = 256;
    engine->cache_bytes = (int64_t)512 << 20;
    engine->pin_bytes = (int64_t)128 << 20;
    engine->file_bytes = (int64_t)256 << 20;
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
        {.name = "lookup", .integer = &engine->lookup, .minimum = -1, .maximum = MOST_PROPOSALS},
        {.name = "lookup_because", .text = &engine->lookup_because},
        {.name = "jump_forward", .integer = &engine->jump_forward, .minimum = -1, .maximum = 1},
        {.name = "ask_first", .boolean = &engine->ask_first},
        {.name = "quantum_ms", .number = &engine->quantum_ms, .minimum = 0, .maximum = 1e6},
        {.name = "kv", .text = &engine->kv},
        {.name = "kv_because", .text = &engine->kv_because},
        {.name = "keep", .text = &engine->keep},
        {.name = "cache_bytes", .integer = &engine->cache_bytes, .minimum = 0, .maximum = 1e15},
        {.name = "pin_bytes", .integer = &engine->pin_bytes, .minimum = 0, .maximum = 1e15},
        {.name = "file_bytes", .integer = &engine->file_bytes, .minimum = 0, .maximum = 1e15},
        {.name = "preempt_margin", .number = &engine->preempt_margin, .minimum = -1, .maximum = 1e15},
    };
    enum tl_status status = tl_settings_read("llama", settings, table, sizeof table / sizeof table[0], error);
    if (status == TL_OK)
        status = choose_layout(engine, error);
    if (status == TL_OK)
        status = check_keep(engine->keep, error);
    if (status != TL_OK) {
        llama_engine_destroy(&engine->base);
        return status;
    }
    engine->model_name = tl_llama_model_name(engine->model_path);
    *out = &engine->base;
    return TL_OK;
}

/* Sequences that compute at once, and rows of a call, as open_context asks for them. */
static uint32_t wanted_sequences(const struct tl_llama_engine *engine) {
    size_t most = llama_max_parallel_sequences();
    return (size_t)engine->parallel > most ? (uint32_t)most : (uint32_t)engine->parallel;
}

/* Ids of sequences. Where they share the cells, there are more of them, for prefixes that nobody computes in. */
static uint32_t sequence_ids(const struct tl_llama_engine *engine) {
    size_t most = llama_max_parallel_sequences(), wanted = (size_t)wanted_sequences(engine);
    if (engine->unified)
        wanted *= 4;
    return (uint32_t)(wanted < most ? wanted : most);
}

static uint32_t wanted_batch(const struct tl_llama_engine *engine) {
    uint32_t rows = (uint32_t)engine->chunk, sequences = wanted_sequences(engine);
    if (rows < 64)
        rows = 64;
    return rows < 4 * sequences ? 4 * sequences : rows;
}

/* Rows that are sampled from in a call: one for each item that writes, and the proposals of one of them. */
static uint32_t wanted_outputs(const struct tl_llama_engine *engine) {
    return sequence_ids(engine) + (engine->lookup != 0 ? MOST_PROPOSALS : 0);
}

static struct tl_llama_extent extent_of(const struct tl_llama_engine *engine) {
    return (struct tl_llama_extent){
        .context_tokens = (uint32_t)engine->context_size,
        .sequences = wanted_sequences(engine),
        .batch_tokens = wanted_batch(engine),
        .outputs = wanted_outputs(engine),
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
    uint32_t running = wanted_sequences(engine);
    engine->sequences = sequence_ids(engine);
    engine->context_tokens = wanted_context(engine);
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = engine->context_tokens * running;
    params.n_seq_max = engine->sequences;
    params.n_batch = wanted_batch(engine);
    params.n_ubatch = params.n_batch;
    params.n_outputs_max = wanted_outputs(engine); /* logits are asked for where a token is sampled only */
    params.kv_unified = engine->unified;
    params.swa_full = true; /* else a sequence could not be cut back to a prefix */
    params.no_perf = true;
    engine->context = llama_init_from_model(engine->model, params);
    if (!engine->context)
        return tl_error_set(error, TL_ERR_NO_MEMORY,
                            "model file '%s': no context for %u sequences of %u tokens can be made; lower the settings "
                            "parallel or context_size",
                            engine->model_path, running, engine->context_tokens);
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

/* Where sequences share cells, a prefix that was not used for so many steps leaves them: all others attend to it. */
#define UNIFIED_IDLE_STEPS 32
/* ms for a token behind 400 others, in calls of 32, 64, 101 and 256: 1.76, 1.41, 1.32, 1.20 (SmolLM2 Q8_0, two cores). */
#define LEAST_CHUNK 64

static void open_core(struct tl_llama_engine *engine) {
    /* A state that has gone on cannot go back: these models are served, and share only what is whole. */
    bool whole_only = llama_model_is_recurrent(engine->model) || llama_model_is_hybrid(engine->model);
    const struct tl_llm_limits limits = {
        .sequences = engine->sequences,
        .running = wanted_sequences(engine),
        .context_tokens = engine->context_tokens,
        .cells = engine->unified ? llama_n_ctx(engine->context) : 0,
        .call_tokens = engine->batch_tokens,
        .chunk = (uint32_t)engine->chunk,
        .chunk_least = LEAST_CHUNK,
        .quantum_ms = engine->quantum_ms,
        .cache_bytes = (uint64_t)engine->cache_bytes,
        .pin_bytes = (uint64_t)engine->pin_bytes,
        .preempt_margin = engine->preempt_margin,
        .draft = engine->lookup < 0 ? MOST_PROPOSALS : (uint32_t)engine->lookup,
        .draft_always = engine->lookup > 0,
        .idle_steps = engine->unified ? UNIFIED_IDLE_STEPS : 0,
        .whole_only = whole_only,
        .held_only = engine->keep && strcmp(engine->keep, "held") == 0,
        .streams = !engine->unified && !whole_only,
    };
    const struct tl_llm_storage storage = tl_llama_storage(engine);
    engine->core = tl_llm_create(&limits, &storage);
}

static enum tl_status llama_engine_open(struct tl_engine *base, const struct tl_emit *emit, struct tl_error *error) {
    struct tl_llama_engine *engine = engine_of(base);
    engine->emit = emit;
    const struct tl_llama_loading loading = {
        .path = engine->model_path, .gpu_layers = (int32_t)engine->gpu_layers, .gpu_devices = engine->gpu_devices};
    const struct tl_llama_extent extent = extent_of(engine);
    enum tl_status status = tl_llama_memory_check(engine->model_path, &extent,
                                                  "lower the settings parallel or context_size, "
                                                  "or choose a smaller model",
                                                  error);
    if (status == TL_OK)
        status = tl_llama_load(&loading, &engine->model, error);
    if (status == TL_OK)
        status = open_context(engine, error);
    if (status != TL_OK)
        return status;
    engine->vocab = llama_model_get_vocab(engine->model);
    engine->vocabulary = (size_t)llama_vocab_n_tokens(engine->vocab);
    engine->scratch = tl_mem_alloc(engine->vocabulary * sizeof *engine->scratch);
    tl_llama_pieces_init(&engine->pieces, engine->vocab);
    engine->batch = llama_batch_init((int32_t)engine->batch_tokens, 0, 1);
    tl_llama_template_init(&engine->template, engine->model);
    engine->pieces.style = tl_tools_style_of(engine->template.text);
    tl_llama_prefix_open(engine);
    open_core(engine);
    engine->handles = tl_llm_handles_create(engine->core, engine, NULL);
    tl_log(TL_LOG_INFO, "engine %s: kv %s", engine->base.name, engine->layout);
    if (engine->lookup_because)
        tl_log(TL_LOG_INFO, "engine %s: lookup %lld (%s)", engine->base.name, (long long)engine->lookup,
               engine->lookup_because);
    return TL_OK;
}

static void llama_engine_describe(const struct tl_engine *base, struct tl_engine_description *description) {
    const struct tl_llama_engine *engine = (const struct tl_llama_engine *)base;
    *description = (struct tl_engine_description){
        .capabilities = 1u << TL_CAPABILITY_LLM,
        .executor = TL_EXECUTOR_DEVICE,
        .batch_units = 2 * wanted_sequences(engine), /* the next ones wait here: they may want what is computed now */
        .batch_tokens = (uint32_t)engine->chunk,
        .sequences = wanted_sequences(engine),
        .context_tokens = engine->context_tokens,
        .streams = true,
        .keeps_kv = true,
        .keeps_prefixes = engine->pin_bytes > 0,
        .model = engine->model_name,
        .model_digest = engine->model_digest ? engine->model_digest : "",
        .layout = engine->layout,
    };
}

/* ---- items ---- */

static void llama_engine_submit(struct tl_engine *base, struct tl_item **items, size_t count) {
    struct tl_llama_engine *engine = engine_of(base);
    engine->rows -= tl_llm_handles_drain(engine->handles);
    for (size_t i = 0; i < count; i++)
        tl_llama_item_submit(engine, items[i]);
}

static bool llama_engine_step(struct tl_engine *base) {
    struct tl_llama_engine *engine = engine_of(base);
    tl_llama_iterate(engine);
    return tl_llm_first(engine->core) != NULL;
}

static void llama_engine_cancel(struct tl_engine *base, struct tl_item *item) {
    struct tl_llama_engine *engine = engine_of(base);
    struct tl_llm_request *request = tl_llm_first(engine->core);
    while (request && ((struct tl_llama_item *)request->user)->item != item)
        request = request->next;
    if (!request)
        return;
    struct tl_llama_item *held = request->user;
    tl_llama_item_fail(engine, held, TL_ERR_CANCELLED, "cancelled after %zu tokens were written", held->answer.written);
}

/* What came of the prefix cache and of the calls, for people. */
static void log_counters(const struct tl_llama_engine *engine) {
    struct tl_llm_counters counters = tl_llm_count(engine->core);
    tl_log(TL_LOG_INFO,
           "engine %s: %" PRIu64 " prompt tokens asked, %" PRIu64 " reused, %" PRIu64 " computed, %" PRIu64
           " evicted; calls: %" PRIu64 " that write (with %" PRIu64 " tokens of prompts), %" PRIu64
           " of prompts, %" PRIu64 " of both; %" PRIu64 " proposals, %" PRIu64 " right",
           engine->base.name, counters.asked, counters.reused, counters.computed, counters.evicted,
           counters.write_calls, counters.bridges, counters.fill_calls, counters.joint_calls, counters.drafted,
           counters.accepted);
}

static void llama_engine_close(struct tl_engine *base) {
    struct tl_llama_engine *engine = engine_of(base);
    struct tl_llm_request *request;
    while ((request = tl_llm_first(engine->core)) != NULL)
        tl_llama_item_fail(engine, request->user, TL_ERR_CANCELLED, "the engine was closed before the item was done");
    tl_llama_prefix_close(engine);
    tl_llm_handles_close(engine->handles);
    engine->handles = NULL;
    log_counters(engine);
    tl_llm_destroy(engine->core);
    engine->core = NULL;
}

struct tl_llm_counters tl_llama_count(const struct tl_llama_engine *engine) {
    return tl_llm_count(engine->core);
}

const struct tl_engine_ops tl_llama_engine = {
    .type = "llama",
    .description = "a language model in a GGUF file, on this machine: prefill, decode, lists, streaming",
    .create = llama_engine_create,
    .open = llama_engine_open,
    .describe = llama_engine_describe,
    .memory = llama_engine_memory,
    .choose = tl_llama_layout_measure,
    .submit = llama_engine_submit,
    .step = llama_engine_step,
    .cancel = llama_engine_cancel,
    .close = llama_engine_close,
    .destroy = llama_engine_destroy,
};

/* llama_prefix.c: pinned beginnings of prompts in files, for the next process (setting file_bytes).
 *
 * Only what a workflow's author wrote goes into a file: the KV of parts that are the same for every query
 * (TL_PART_STATIC), and only when the copy holds nothing behind them. What items of a tenant compute is neither written
 * nor read.
 *
 * llama.cpp reads a state without doubting it. So it is given none whose checksum is wrong or whose size is not what
 * follows from the model's dimensions, and states of another size (sliding windows, several caches) are not written. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_memory.h"

/* ---- what a state is ---- */

/* Groups of cells; a state says of each how many it has. */
static uint32_t streams_of(const struct tl_llama_engine *engine) {
    return engine->unified ? 1 : engine->sequences;
}

/* The length of each head's keys or values, as the model's file says it. */
static uint64_t length_of(const struct llama_model *model, const char *name, int32_t otherwise) {
    char architecture[64], key[128], value[32];
    if (llama_model_meta_val_str(model, "general.architecture", architecture, sizeof architecture) < 0)
        return (uint64_t)otherwise;
    snprintf(key, sizeof key, "%s.attention.%s", architecture, name);
    if (llama_model_meta_val_str(model, key, value, sizeof value) < 0)
        return (uint64_t)otherwise;
    return strtoull(value, NULL, 10);
}

/* Layers, and bytes of a token in all of them, when all are alike: else no state will have the size that follows. */
static void measure(struct tl_llama_engine *engine) {
    const struct llama_model *model = engine->model;
    int32_t heads = llama_model_n_head(model), length = heads > 0 ? llama_model_n_embd(model) / heads : 0;
    uint64_t both = length_of(model, "key_length", length) + length_of(model, "value_length", length);
    engine->state_layers = (uint64_t)llama_model_n_layer(model);
    engine->state_token_bytes = engine->state_layers * (uint64_t)llama_model_n_head_kv(model) * both * 2;
}

/* Bytes of a state of `count` tokens, as LLAMA_STATE_SEQ_VERSION 3 lays it out. */
static size_t state_bytes(const struct tl_llama_engine *engine, size_t count) {
    const uint64_t head = 5 + streams_of(engine); /* magic, version, streams, of each its cells; transposed?, layers */
    const uint64_t layer = 2 * (4 + 8);           /* type and row size of keys and of values */
    const uint64_t cell = 3 * 4;                  /* position, how many sequences, which */
    return (size_t)(4 * head + engine->state_layers * layer + count * (cell + engine->state_token_bytes));
}

/* All that the numbers in a state depend on besides the tokens. */
static void identify(const struct tl_llama_engine *engine, struct tl_str *identity) {
    struct tl_llama_device_info devices[16];
    size_t count = tl_llama_devices(devices, 16);
    tl_str_printf(
        identity,
        "model %s, llama.cpp %s %s, state %d, kv %s, %u streams, %llu layers, %llu bytes, gpu_layers %lld of %s",
        engine->model_digest, llama_version(), ggml_commit(), LLAMA_STATE_SEQ_VERSION,
        engine->unified ? "unified" : "stream", streams_of(engine), (unsigned long long)engine->state_layers,
        (unsigned long long)engine->state_token_bytes, (long long)engine->gpu_layers,
        engine->gpu_devices ? engine->gpu_devices : "all");
    for (size_t i = 0; i < count && i < 16; i++)
        tl_str_printf(identity, "\n%s %s %s", devices[i].name, devices[i].backend, devices[i].description);
}

/* ---- life ---- */

void tl_llama_prefix_open(struct tl_llama_engine *engine) {
    bool whole_only = llama_model_is_recurrent(engine->model) || llama_model_is_hybrid(engine->model);
    bool named = engine->model_digest && engine->model_digest[0];
    if (engine->file_bytes == 0 || engine->pin_bytes == 0 || !named || whole_only)
        return;
    struct tl_error error;
    struct tl_str folder = TL_STR_INIT, identity = TL_STR_INIT;
    measure(engine);
    enum tl_status status = tl_file_cache_path("prefixes", &folder, &error);
    if (status == TL_OK) {
        identify(engine, &identity);
        status = tl_prefix_files_open(folder.data, (uint64_t)engine->file_bytes, identity.data, &engine->files, &error);
    }
    if (status != TL_OK) /* no folder can be had: so be it. One that is open to others should be put in order */
        tl_log(status == TL_ERR_INVALID ? TL_LOG_WARN : TL_LOG_INFO, "beginnings of prompts are not kept in files: %s",
               error.message);
    tl_str_fini(&folder);
    tl_str_fini(&identity);
}

/* ---- reading ---- */

static void read_one(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    const struct tl_llm_request *request = held->request;
    size_t size = state_bytes(engine, request->pin);
    struct tl_llama_snapshot *snapshot = tl_mem_try_alloc(sizeof *snapshot + size);
    if (!snapshot)
        return;
    struct tl_error error;
    snapshot->bytes = size;
    enum tl_status status =
        tl_prefix_files_read(engine->files, request->tokens.ids, request->pin, snapshot->data, size, &error);
    if (status == TL_OK) {
        held->loaded = tl_llm_pin_missing(engine->core, request);
        tl_llm_pin_give(engine->core, request, snapshot, sizeof *snapshot + size);
        return;
    }
    tl_mem_free(snapshot);
    if (status != TL_ERR_NOT_FOUND)
        engine->emit->notice(engine->emit->context, held->item, error.message);
}

void tl_llama_prefix_read(struct tl_llama_engine *engine) {
    if (!engine->files)
        return;
    for (struct tl_llm_request *request = tl_llm_first(engine->core); request; request = request->next) {
        struct tl_llama_item *held = request->user;
        if (held->unread && request->salt == 0 && tl_llm_pin_missing(engine->core, request) > 0)
            read_one(engine, held);
        held->unread = false;
    }
}

/* ---- writing ---- */

static void write_one(struct tl_llama_engine *engine, const struct tl_llm_copy *copy) {
    const struct tl_llama_snapshot *snapshot = copy->saved;
    size_t count = copy->mark.length;
    if (copy->salt != 0 || copy->saved_length != count || snapshot->bytes != state_bytes(engine, count))
        return;
    struct tl_error error;
    int32_t *ids = tl_mem_alloc(count * sizeof *ids);
    tl_llm_tree_spell(&copy->mark, ids);
    if (tl_prefix_files_write(engine->files, ids, count, snapshot->data, snapshot->bytes, &error) != TL_OK)
        tl_log(TL_LOG_INFO, "the beginning of a prompt is not kept in a file: %s", error.message);
    tl_mem_free(ids);
}

void tl_llama_prefix_close(struct tl_llama_engine *engine) {
    if (!engine->files)
        return;
    const struct tl_llm_copy *copy = NULL;
    while (!engine->failed && (copy = tl_llm_next_pinned(engine->core, copy)) != NULL)
        write_one(engine, copy);
    tl_prefix_files_close(engine->files);
    engine->files = NULL;
}

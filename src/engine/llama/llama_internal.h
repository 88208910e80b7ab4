/* llama_internal.h: the llama engine's own data, shared by its files and its tests.
 *
 *     llama_engine.c     the contract: settings, life, items in and out
 *     llama_item.c       one item: what it asks for, its outcome
 *     llama_iteration.c  one step: computing the rows that engine/llm has chosen
 *     llama_sequence.c   KV in and out of the context as engine/llm says; kv handles
 *     llama_prompt.c     messages to token ids, by the model file's chat template
 *     llama_answer.c     rows of logits to what a decode writes: llama_sample.c, llama_write.c, llama_list.c
 *
 * What is computed next and what KV is kept is decided in engine/llm, which knows no llama.cpp;
 * these files do as told. */
#ifndef TL_ENGINE_LLAMA_INTERNAL_H
#define TL_ENGINE_LLAMA_INTERNAL_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine_impl.h"
#include "engine/llama/llama_answer.h"
#include "engine/llama/llama_device.h"
#include "engine/llama/llama_prompt.h"
#include "engine/llm/llm.h"

struct tl_llama_engine;

/* Handles whose last reference has gone, on whatever thread; drained by the engine's next call.
 * Outlives the engine as long as a handle does. */
struct tl_llama_released {
    pthread_mutex_t lock;
    struct tl_llama_handle *first; /* guarded by lock */
    uint32_t references;           /* the engine and each handle; guarded by lock */
    bool closed;                   /* the engine has gone: handles free themselves; guarded by lock */
};

struct tl_llama_handle {
    struct tl_resource resource; /* first */
    struct tl_llama_released *list;
    struct tl_llm_handle *prefix;  /* dangling once the engine is closed: then not looked at */
    float *row;                    /* logits behind the prompt, kept for the decodes; NULL: not kept */
    struct tl_llama_handle *next;  /* in list->first */
};

/* An item that the engine holds; the user of its request. */
struct tl_llama_item {
    struct tl_item *item;
    struct tl_llm_request *request;
    size_t trimmed;          /* tokens */
    uint32_t batch_units;    /* most sequences in a call of its own */
    /* prefill only */
    float *row;              /* for the logits behind its prompt; NULL: not wanted. Its handle's in the end */
    /* decode only */
    const float *first;      /* its handle's row, which its first token is chosen by; NULL: not kept */
    struct tl_llama_answer answer;
    bool limited_by_context; /* writing ended at the context's end */
};

/* Test hooks: what goes into and comes out of the model for an item. NULL: not wanted. */
struct tl_llama_hooks {
    void *context;
    void (*fed)(void *context, const struct tl_item *item, size_t position, const llama_token *ids, size_t count);
    void (*logits)(void *context, const struct tl_item *item, const float *logits, size_t count);
    int32_t (*decode)(void *context, int32_t result); /* may replace the result of llama_decode */
};

struct tl_llama_engine {
    struct tl_engine base;
    const struct tl_emit *emit;
    /* settings */
    char *model_path, *model_name, *model_digest, *gpu_devices, *kv, *keep;
    int64_t threads, context_size, parallel, chunk, gpu_layers, reserve, cache_bytes, pin_bytes, lookup;
    double quantum_ms, preempt_margin;
    /* the library's */
    struct llama_model *model;
    const struct llama_vocab *vocab;
    struct llama_context *context;
    llama_memory_t memory;
    struct ggml_threadpool *pool;
    struct llama_batch batch;
    uint32_t context_tokens; /* of one sequence */
    uint32_t sequences, batch_tokens;
    size_t vocabulary;
    struct tl_llama_pieces pieces;
    struct tl_llama_template template;
    struct tl_llama_candidates candidates; /* scratch of the sampler */
    float *scratch;                        /* a row of logits */
    /* state */
    struct tl_llm_core *core;              /* NULL: not open */
    struct tl_llama_released *released;
    size_t rows;                           /* of logits that items and handles have */
    struct tl_llama_hooks hooks;
};

/* ---- llama_sequence.c ---- */

/* What engine/llm calls to have KV saved, loaded, cut and shared. */
struct tl_llm_storage tl_llama_storage(struct tl_llama_engine *engine);

struct tl_llama_released *tl_llama_released_create(void);
/* The engine's reference: handles alive afterwards free themselves. */
void tl_llama_released_close(struct tl_llama_released *list);
/* Takes back the handles released since the last call. */
void tl_llama_drain(struct tl_llama_engine *engine);
/* A handle on the prompt of a filled request; `row` is its own from then on. */
struct tl_resource *tl_llama_handle_create(struct tl_llama_engine *engine, const struct tl_llm_request *request,
                                           float *row);

/* ---- llama_item.c ---- */

void tl_llama_item_submit(struct tl_llama_engine *engine, struct tl_item *item);
/* Keeps the row of logits behind a prefill's prompt, which is in the batch at `index`. May fail the item. */
void tl_llama_item_keep_row(struct tl_llama_engine *engine, struct tl_llama_item *held, int32_t index);
/* The KV of a prefill's prompt is there: its outcome. */
void tl_llama_item_filled(struct tl_llama_engine *engine, struct tl_llama_item *held);
/* Takes the row that was kept with a decode's prompt. May finish the item. */
void tl_llama_item_ready(struct tl_llama_engine *engine, struct tl_llama_item *held);
/* Takes the rows of logits that followed the item's last tokens: that of the last one that is certain, and one of each
 * proposal behind it. `first` is its index in the batch. May finish the item. */
void tl_llama_item_rows(struct tl_llama_engine *engine, struct tl_llama_item *held, int32_t first, size_t count);
void tl_llama_item_fail(struct tl_llama_engine *engine, struct tl_llama_item *held, enum tl_status status,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* ---- llama_iteration.c ---- */

void tl_llama_iterate(struct tl_llama_engine *engine);

/* For tests: work done and things held. */
struct tl_llm_counters tl_llama_count(const struct tl_llama_engine *engine);

#endif

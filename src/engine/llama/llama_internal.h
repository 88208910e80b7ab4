/* llama_internal.h: the llama engine's own data, shared by its files and its tests.
 *
 *     llama_engine.c     the contract: settings, life, items in and out
 *     llama_item.c       one item: what it asks for, its outcome
 *     llama_iteration.c  one step: computing the rows that engine/llm has chosen
 *     llama_sequence.c   KV in and out of the context as engine/llm says
 *     llama_layout.c     which layout of KV is faster here: llama_layout_measure.c
 *     llama_prefix.c     pinned beginnings in files
 *     llama_prompt.c     messages to token ids, by the model file's chat template
 *     llama_answer.c     rows of logits to what a decode writes: llama_sample.c, llama_write.c, llama_list.c
 *
 * What is computed next and what KV is kept is decided in engine/llm, which knows no llama.cpp;
 * these files do as told. */
#ifndef TL_ENGINE_LLAMA_INTERNAL_H
#define TL_ENGINE_LLAMA_INTERNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/engine_impl.h"
#include "engine/llama/llama_answer.h"
#include "engine/llama/llama_device.h"
#include "engine/llama/llama_prefix_files.h"
#include "engine/llama/llama_prompt.h"
#include "engine/llm/handles.h"
#include "engine/llm/llm.h"

struct tl_llama_engine;

/* An item that the engine holds; the user of its request. */
struct tl_llama_item {
    struct tl_item *item;
    struct tl_llm_request *request;
    size_t trimmed;          /* tokens */
    uint32_t batch_units;    /* most sequences in a call of its own */
    /* prefill only */
    bool unread;             /* whether there is a file with its beginning has yet to be looked at */
    size_t loaded;           /* tokens that were read from one */
    float *row;              /* for the logits behind its prompt; NULL: not wanted. Its handle's in the end */
    /* decode only */
    const float *first;      /* its handle's row, which its first token is chosen by; NULL: not kept */
    struct tl_llama_answer answer;
    struct tl_llama_tokens certain; /* chosen, and forced behind it */
    size_t certain_fed;             /* of these went into the model, or are about to */
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
    char *model_path, *model_name, *model_digest, *gpu_devices, *kv, *kv_because, *lookup_because, *keep;
    int64_t threads, context_size, parallel, chunk, gpu_layers, reserve, cache_bytes, pin_bytes, file_bytes, lookup,
        jump_forward;
    double quantum_ms, preempt_margin;
    bool ask_first;
    bool unified;            /* sequences share the cells: what kv comes to */
    char *layout;            /* which, and why */
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
    /* beginnings in files */
    struct tl_prefix_files *files;         /* NULL: none */
    uint64_t state_layers, state_token_bytes; /* of the model: what the size of a state follows from */
    /* state */
    struct tl_llm_core *core;              /* NULL: not open */
    struct tl_llm_handles *handles;        /* each with its row, or nothing, attached */
    size_t rows;                           /* of logits that items and handles have */
    bool failed;                           /* the library computed something wrong, or not at all */
    struct tl_llama_hooks hooks;
};

/* ---- llama_sequence.c ---- */

/* What engine/llm calls to have KV saved, loaded, cut and shared. */
struct tl_llm_storage tl_llama_storage(struct tl_llama_engine *engine);

/* What is saved: KV of one sequence as llama.cpp gave it. */
struct tl_llama_snapshot {
    size_t bytes;
    uint8_t data[];
};

/* ---- llama_prefix.c ---- */

/* Before the core is there. When there can be no files it says why in the log, and all goes on without. */
void tl_llama_prefix_open(struct tl_llama_engine *engine);
/* Reads the beginnings of new items that are in files and not in the cache. May block for as long as reading takes. */
void tl_llama_prefix_read(struct tl_llama_engine *engine);
/* Writes the pinned beginnings that are not in files yet, but of an engine that has failed, and closes these. */
void tl_llama_prefix_close(struct tl_llama_engine *engine);

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

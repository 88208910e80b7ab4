/* llama_internal.h: the llama engine's own data, shared by its files and its tests.
 *
 *     llama_engine.c     the contract: settings, life, items in and out
 *     llama_item.c       one item: what it asks for, its outcome
 *     llama_iteration.c  one step: which rows are computed, and computing them
 *     llama_sequence.c   where KV lives: spans, prefixes behind kv handles, parking
 *     llama_prompt.c     messages to token ids, by the model file's chat template
 *     llama_answer.c     a decode's attributes and rows of logits to its output
 *     llama_pieces.c     the bytes of every token
 *     llama_sample.c     logits to a token
 *     llama_write.c      tokens to text: whole characters, stop strings
 *     llama_list.c       a JSON list written around what the model says
 *
 * Deciding and computing are apart: llama_iteration.c composes a step from plain state, and
 * every other file only does as told, so that an outer composer can take its place. */
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

struct tl_llama_engine;
struct tl_llama_item;

/* ---- where KV lives (llama_sequence.c) ---- */

/* The KV of a run of tokens from position 0: in a sequence of the context, or parked in host
 * memory. Prefixes anchored to it need its first tokens, each as many as it has; the one
 * item that uses it appends behind them. Freed when it has neither. */
struct tl_llama_span {
    struct tl_llama_span *next, *before; /* all spans of the engine */
    int32_t sequence;                    /* -1: parked */
    uint8_t *parked;                     /* snapshot of `length` tokens; NULL when resident */
    size_t parked_bytes;
    size_t length;                       /* tokens whose KV it holds */
    struct tl_llama_item *user;          /* item that computes in it; NULL: idle */
    struct tl_llama_prefix *prefixes;    /* anchored here, linked by next_anchored */
    uint64_t used;                       /* engine's step count at the last use */
};

/* What a kv handle stands for: token ids, with the KV of the first `cached` of them in a span.
 * Of a closed prompt the last token is left to the decode, which needs its logits. A prefix
 * whose KV was dropped (cached 0, span NULL) is computed again when it is used. */
struct tl_llama_prefix {
    struct tl_llama_prefix *next, *before; /* all prefixes of the engine */
    struct tl_llama_prefix *next_anchored;
    struct tl_llama_tokens tokens;
    bool open;                  /* the prompt goes on behind it: it cannot be decoded from */
    struct tl_llama_span *span;
    size_t cached;
    uint32_t users;             /* items that were given it */
    bool released;              /* no value refers to it any more */
};

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
    struct tl_llama_prefix *prefix; /* dangling once the engine is closed: then not looked at */
    struct tl_llama_handle *next;   /* in list->first */
};

/* ---- items (llama_item.c) ---- */

enum tl_llama_state {
    TL_LLAMA_WAITING, /* for a sequence */
    TL_LLAMA_FILLING, /* tokens[span->length .. target) are to be computed */
    TL_LLAMA_WRITING, /* decode: `pending` tokens are fed, then one is sampled */
};

struct tl_llama_item {
    struct tl_llama_item *next; /* of the engine's list, by rank, then arrival */
    struct tl_item *item;
    enum tl_llama_state state;
    bool decode;
    struct tl_llama_prefix *source;  /* given kv handle; NULL: none */
    struct tl_llama_tokens tokens;   /* prompt, and behind it what was written and is in the KV or pending */
    size_t prompt_count;             /* tokens of the prompt */
    size_t target;                   /* tokens that filling must reach */
    bool open;                       /* prefill of a prompt that goes on */
    struct tl_llama_span *span;      /* NULL while waiting */
    size_t reused;                   /* tokens found in the source's KV */
    size_t computed, trimmed;        /* tokens */
    uint32_t batch_units;            /* most sequences in a call of its own */
    /* decode only */
    struct tl_llama_answer answer;
    size_t pending;                  /* tokens at the end of `tokens` that are not in the KV yet */
    bool limited_by_context;         /* writing ended at the context's end */
};

/* ---- the engine ---- */

/* Work done so far and things held, for tests and traces. */
struct tl_llama_counters {
    uint64_t decode_calls, fill_calls;
    uint64_t forks, parks, restores, drops;
    size_t prefixes, spans, resident, items, parked_bytes; /* held now */
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
    char *model_path, *model_name, *model_digest, *gpu_devices;
    int64_t threads, context_size, parallel, chunk, gpu_layers, reserve, park_bytes;
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
    /* state */
    struct tl_llama_span **resident; /* by sequence; NULL: free */
    struct tl_llama_span *spans;
    struct tl_llama_prefix *prefixes;
    struct tl_llama_released *released;
    struct tl_llama_item *items;
    uint64_t steps;
    struct tl_llama_counters counters;
    struct tl_llama_hooks hooks;
};

/* llama_sequence.c */
struct tl_llama_released *tl_llama_released_create(void);
/* The engine's reference: handles alive afterwards free themselves. */
void tl_llama_released_close(struct tl_llama_released *list);
/* Takes back the handles released since the last call. */
void tl_llama_drain(struct tl_llama_engine *engine);
/* A prefix of the item's prompt and its handle; the item's span is anchored, and stays its own. */
struct tl_resource *tl_llama_handle_create(struct tl_llama_engine *engine, struct tl_llama_item *held);
/* Tokens of the item, at most `most`, whose KV its source holds now. */
size_t tl_llama_reusable(const struct tl_llama_item *held, size_t most);
/* Gives the item a span in a sequence that holds those tokens. False: no sequence is free, try
 * again later. */
bool tl_llama_span_acquire(struct tl_llama_engine *engine, struct tl_llama_item *held, size_t most);
/* The item needs its span no more: what no prefix needs is removed, an unneeded span freed. */
void tl_llama_span_release(struct tl_llama_engine *engine, struct tl_llama_item *held);
/* Removes what a failed call may have left behind the span's length. */
void tl_llama_span_repair(struct tl_llama_engine *engine, struct tl_llama_span *span);
void tl_llama_prefix_use(struct tl_llama_prefix *prefix);
void tl_llama_prefix_leave(struct tl_llama_engine *engine, struct tl_llama_prefix *prefix);
void tl_llama_sequences_close(struct tl_llama_engine *engine); /* frees all prefixes and spans */

/* llama_item.c */
void tl_llama_item_submit(struct tl_llama_engine *engine, struct tl_item *item);
void tl_llama_item_filled(struct tl_llama_engine *engine, struct tl_llama_item *held); /* target reached */
/* Takes the row of logits that followed the item's last token. May finish the item. */
void tl_llama_item_logits(struct tl_llama_engine *engine, struct tl_llama_item *held, float *logits);
void tl_llama_item_fail(struct tl_llama_engine *engine, struct tl_llama_item *held, enum tl_status status,
                        const char *format, ...) __attribute__((format(printf, 4, 5)));

/* llama_iteration.c */
void tl_llama_iterate(struct tl_llama_engine *engine);

/* For tests: the counters now. */
struct tl_llama_counters tl_llama_count(const struct tl_llama_engine *engine);

#endif

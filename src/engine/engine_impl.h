/* engine_impl.h: the contract between the runtime and those who write engines.
 *
 * An engine knows items, values and its own device; it knows no graph and no scheduler.
 * One instance is one `struct tl_engine`. Its functions are called in this order:
 *
 *     create → open → describe → ( submit | step | cancel )* → close → destroy
 *
 * Threads. open, describe, submit, step, cancel and close are all called on the instance's
 * executor, one at a time, so an engine needs no lock of its own. Which executor that is,
 * describe says (it is asked between create and open too, when only `executor` and `layout` must be right):
 *     TL_EXECUTOR_LOOP    the event loop: nothing may block; results come later, from callbacks
 *     TL_EXECUTOR_DEVICE  the one thread of its compute device: step may compute for at most
 *                         about one quantum (a chunk of prefill, one decode iteration, one batch
 *                         of texts), so that engines of the same device take turns and a cancel
 *                         waits for one quantum at most
 *     TL_EXECUTOR_POOL    a thread of the bounded pool for blocking libraries: step may block
 *
 * Items. submit hands over items; the engine borrows each of them until it has reported its
 * one outcome: exactly one call of emit->done or emit->fail per item, also for a cancelled
 * one (done when it was ready before the cancel was seen, else fail with TL_ERR_CANCELLED).
 * An engine may report from submit, step or cancel; a LOOP engine from its callbacks too.
 *
 * Failure. What goes wrong with one item fails that item with a sentence and leaves the
 * others alone. When the engine as a whole is broken it fails every item that it holds, fails what it is still given at
 * once, and says so (emit->broken): then it is closed, and a new instance takes its place.
 * One whose step does not return is given up after a time: what it was lent stays as it is until it has reported its outcomes,
 * which nobody waits for any more, and when step does return the next call is close.
 * Every limit of the underlying library is checked before the call that would abort.
 */
#ifndef TL_ENGINE_ENGINE_IMPL_H
#define TL_ENGINE_ENGINE_IMPL_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attributes.h"
#include "base/primitive.h"
#include "base/value.h"
#include "teola/status.h"

enum tl_executor { TL_EXECUTOR_LOOP, TL_EXECUTOR_DEVICE, TL_EXECUTOR_POOL };

/* How long measuring may take (ns; at least one round is made), and who may stop it (NULL: nobody). */
struct tl_engine_trial {
    uint64_t budget;
    void *context;
    bool (*stop)(void *context);
};

/* What an instance can do; filled by describe, constant from then on. */
struct tl_engine_description {
    uint32_t capabilities;       /* bit (1 << enum tl_capability) for each that it serves */
    enum tl_executor executor;
    uint32_t batch_units;        /* most units (texts, rows, pairs, sequences) that it takes at once; 0: no bound */
    uint32_t batch_tokens;       /* most tokens of one batch; 0: no bound. Informative: engines split what is larger */
    uint32_t sequences;          /* LLM: most prefixes and decodes alive at once; else 0 */
    uint32_t context_tokens;     /* LLM: most tokens of one sequence; embed: of one text; else 0 */
    uint32_t dimension;          /* embed: of its vectors; else 0 */
    bool streams;                /* emits deltas and pieces */
    bool keeps_kv;               /* its kv values may be extended and decoded from more than once */
    bool keeps_prefixes;         /* what prompts begin with that is static (TL_PART_STATIC) stays computed after its
                                    users have gone: worth computing before the first comes */
    const char *model;           /* name for people; borrowed, lives until destroy; "" when none */
    const char *model_digest;    /* SHA-256 of the weights, hex; "" when none */
    const char *layout;          /* LLM: how it lays out KV and why, for people; borrowed, lives until destroy; NULL when
                                    there is nothing to say */
};

/* Counters of one item, for traces, usage and tests. Zero what does not apply. */
struct tl_usage {
    uint64_t units;           /* texts, rows, pairs, items written */
    uint64_t tokens_in;       /* tokens asked for: of the prompt, of the texts */
    uint64_t tokens_reused;   /* of those, taken from a cache or a kv handle */
    uint64_t tokens_loaded;   /* of those that were reused, read from a file for this item */
    uint64_t tokens_computed; /* of those, really computed */
    uint64_t tokens_out;      /* tokens written */
    uint64_t tokens_forced;   /* of those, written by the format and not chosen by the model */
    uint64_t tokens_drafted;  /* proposed by looking up, and computed */
    uint64_t tokens_accepted; /* of those, written: what the model would have chosen */
    uint64_t tokens_asked;    /* the format was asked whether they may stand somewhere */
    uint64_t tokens_refused;  /* choices in which it refused the token that was preferred */
    uint64_t calls;           /* decode: of the model, that it took part in. One that others share counts for each of them */
    uint64_t tokens_trimmed;  /* cut from trimmable parts to fit the context */
    uint32_t batch_units;     /* units in the largest batch that this item was part of */
    const char *finish;       /* decode: why writing ended: "stop" (by itself or at a stop string) or "length"
                                 (max_tokens or the context's end); static; else NULL */
};

struct tl_item {
    uint64_t id;                       /* unique within the process; never reused */
    enum tl_primitive op;
    const struct tl_attributes *attributes; /* borrowed */
    const char *label;                 /* "answer/fold[1]/decode", for messages */
    struct tl_value *const *inputs;    /* in the order of the signature; NULL for an optional one that is absent */
    const char *const *input_names;
    size_t input_count;
    uint64_t deadline;                 /* tl_clock_now() time; 0: none */
    double rank;                       /* priority: higher first; from the scheduler */
    const char *tenant;                /* on whose behalf; NULL, "": nobody's in particular. Nothing that one tenant
                                          left in an engine's caches is found by another; borrowed */
    uint32_t slice;                    /* most of its units to compute in one quantum, so that others can get in
                                          between; 0: no bound. Engines whose quanta are shorter pay no heed */
    bool stream;                       /* deltas are wanted: this text goes to the user */
    bool pieces;                       /* pieces are wanted: a consumer takes list items as they come */
    void *engine_data;                 /* the engine's own while it holds the item */
};

/* How an engine reports. All functions may be called from the instance's executor only;
 * they never block and never call back into the engine. */
struct tl_emit {
    void *context;
    /* The item is complete. Takes the references outputs[0..count), one per output port. */
    void (*done)(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                 const struct tl_usage *usage);
    /* The item failed; message is copied. */
    void (*fail)(void *context, struct tl_item *item, enum tl_status status, const char *message);
    /* List item `position` of output 0 is complete, in order 0, 1, ...; takes value. The final
     * output must hold an equal item at that position. */
    void (*piece)(void *context, struct tl_item *item, size_t position, struct tl_value *value);
    /* More text for the user (whole UTF-8 sequences); copied. */
    void (*delta)(void *context, struct tl_item *item, const char *text, size_t length);
    /* Something that the user should know and that is no failure, such as trimmed text; copied. */
    void (*notice)(void *context, struct tl_item *item, const char *message);
    /* The engine will not work again: why. Once, when it holds nothing any more; copied. NULL: nobody asks. */
    void (*broken)(void *context, const char *message);
};

/* What an engine will take of this machine's memory, and what there is; bytes, estimated to a tenth or so. */
struct tl_engine_memory {
    uint64_t weights; /* of the model */
    uint64_t cache;   /* what it keeps of prompts while it runs */
    uint64_t work;    /* the largest call's intermediate results */
    uint64_t available;                /* of main memory, now */
    uint64_t device, device_available; /* of the above, what lies on GPUs instead (then not counted above) */
};

struct tl_engine;

struct tl_engine_ops {
    const char *type;         /* as written in the configuration: "llama" */
    const char *description;  /* one line for `teola doctor` and docs */

    /* Allocates an instance; does no I/O. `settings` is a JSON object from the configuration,
     * borrowed for the call: unknown or wrong settings are TL_ERR_INVALID with a sentence. */
    enum tl_status (*create)(const char *name, const json_t *settings, struct tl_engine **engine,
                             struct tl_error *error);

    /* Loads models, opens files. May take seconds. Borrows emit until destroy. */
    enum tl_status (*open)(struct tl_engine *engine, const struct tl_emit *emit, struct tl_error *error);

    void (*describe)(const struct tl_engine *engine, struct tl_engine_description *description);

    /* What open will need, for people who ask before they load; open itself refuses what does not fit. Called between
     * create and open; reads the head of the model's file. NULL: nothing worth saying. */
    enum tl_status (*memory)(const struct tl_engine *engine, struct tl_engine_memory *memory, struct tl_error *error);

    /* Measures, for each setting that is `auto` and that the engine can choose by measuring, which value is best on this
     * machine with these settings: {"SETTING": {"used": value, "because": a few words, "measured": [{"SETTING": value,
     * numbers}]}}, returned owned; NULL: there is nothing to choose. Called by the profiler, without an instance: makes
     * its own. Who opens an engine afterwards sets SETTING and SETTING_because accordingly (tl_cost_fill_choices).
     * NULL: it has no such settings. */
    enum tl_status (*choose)(const json_t *settings, const struct tl_engine_trial *trial, json_t **choices,
                             struct tl_error *error);

    /* Accepts items; starts nothing that blocks. */
    void (*submit)(struct tl_engine *engine, struct tl_item **items, size_t count);

    /* Computes one quantum; returns true while it holds items that need another.
     * NULL for LOOP engines. */
    bool (*step)(struct tl_engine *engine);

    /* The item is not wanted any more: its outcome must come soon. Unknown items are ignored. */
    void (*cancel)(struct tl_engine *engine, struct tl_item *item);

    /* Drops everything held; items still held are failed with TL_ERR_CANCELLED. */
    void (*close)(struct tl_engine *engine);

    /* Frees the instance; called after close, or after a failed or missing open. */
    void (*destroy)(struct tl_engine *engine);

    /* The version of a lasting collection's content now, so that results for it can be remembered until it changes; 0
     * when it is not known. Unlike the others it is called on any thread, several at once, beside the executor, between
     * open and close. NULL: versions are never known. */
    uint64_t (*version)(struct tl_engine *engine, const char *collection);
};

/* First member of every engine's own struct. */
struct tl_engine {
    const struct tl_engine_ops *ops;
    char *name; /* of the instance, from the configuration; owned by the engine */
};

/* All engine types built in, by name; NULL when there is none. */
const struct tl_engine_ops *tl_engine_find(const char *type);
const struct tl_engine_ops *const *tl_engine_types(size_t *count);

#endif

/* cost.h: what work costs: a latency model for each engine, from a measured profile, corrected while it runs.
 *
 * Who asks: the optimizer (is a rewrite worth it, how large is a slice), the plan (upward ranks, critical path), the
 * scheduler's policies (how long will this batch take, which instance is done first), admission (how much work waits).
 *
 * A model predicts the time of one *call* of an engine, in ms:
 *   batch engines   base + unit x units + token x tokens
 *   LLM             an iteration: base
 *                     + chunk + prompt x new + attend x new x before / 1000    when `new` prompt tokens are computed with
 *                                                                              `before` before them at the mean
 *                     + step(rows) + look x before / 1000 for each row         when `rows` sequences decode
 *                   step is measured at some numbers of rows and straight between them. The token after a prompt comes
 *                   with its prefill, so n tokens take n - 1 iterations.
 * The emulated engine's latency models are of this form too (chunk, attend and look are 0), so a profile can be
 * simulated.
 *
 * Honesty: a model says how many measurements it rests on and its median error (tl_cost_quality). What was not
 * measured has the stated default of its capability (cost_model.c: a small model on two CPU cores), and
 * tl_cost_is_measured is false.
 *
 * A tl_cost is built once and then shared; predictions read it without a lock from any thread; tl_cost_observe is
 * called by one thread (the loop) and corrects with atomic stores. */
#ifndef TL_COST_COST_H
#define TL_COST_COST_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/primitive.h"
#include "base/str.h"
#include "teola/status.h"

/* What one item, or a batch of them, asks of an engine. */
struct tl_cost_work {
    enum tl_primitive op;
    uint32_t units;      /* texts, pairs, rows, queries; LLM: sequences; at least 1 */
    uint32_t tokens;     /* of all units; LLM: prompt tokens that must be computed */
    uint32_t context;    /* LLM: tokens that stand before them */
    uint32_t tokens_out; /* LLM: tokens to be written, of each sequence */
};

struct tl_cost;

/* No engine known: every prediction is a default. */
struct tl_cost *tl_cost_create(void);
struct tl_cost *tl_cost_ref(struct tl_cost *cost);
void tl_cost_unref(struct tl_cost *cost); /* NULL is allowed */

/* A profile: the versioned JSON that `teola profile` writes (docs/profiles.md). TL_ERR_INVALID names the file (`name`),
 * the place in it, what was found and what was expected; TL_ERR_UNSUPPORTED: a version that this program cannot read. */
enum tl_status tl_cost_parse(const char *text, size_t length, const char *name, struct tl_cost **cost,
                             struct tl_error *error);
#define TL_COST_PROFILE_VERSION 1

/* What an engine's measurements hold for. */
struct tl_cost_identity {
    const char *type, *device;
    const char *model_digest; /* "" when it has none */
    const json_t *settings;   /* as configured; borrowed. Those that change no time are not looked at */
};
/* Settings that times depend on, without `threads`; owned. */
json_t *tl_cost_relevant_settings(const json_t *settings);
/* Threads that an engine of these settings computes with: `threads`, or else one for each processor. */
uint32_t tl_cost_threads(const json_t *settings);
/* Drops what a profile says of an engine that has changed since: true when it stays. `why` gets what has changed;
 * nothing when the profile does not know the engine. Only while the cost is being built. */
bool tl_cost_check_engine(struct tl_cost *cost, const char *engine, const struct tl_cost_identity *now,
                          struct tl_str *why);
/* The date when the engine was measured, as the profile says it, or "". */
const char *tl_cost_written(const struct tl_cost *cost, const char *engine);

/* What was chosen by measuring for settings that are `auto` (struct tl_engine_ops.choose), as far as the profile still
 * holds; borrowed, NULL: nothing. */
const json_t *tl_cost_choices(const struct tl_cost *cost, const char *engine);
/* Puts choices (NULL: none) into an engine's settings: each that is absent or "auto" becomes what was found best, and
 * "NAME_because" says why. */
void tl_cost_fill_choices(const json_t *choices, json_t *settings);

/* Latency models of an emulated engine's settings (embed_ms, prompt_token_ms, ...): exact by definition. */
void tl_cost_add_emulated(struct tl_cost *cost, const char *engine, const json_t *settings);

/* An engine without measurements: its predictions are the defaults, until tl_cost_observe corrects them. Leaves alone
 * what is known of it. */
void tl_cost_add_default(struct tl_cost *cost, const char *engine);

/* Predicted ms of one item of `engine` that is alone on it; of an LLM all its iterations. cost NULL: the defaults. */
double tl_cost_item(const struct tl_cost *cost, const char *engine, const struct tl_cost_work *work);
/* Predicted ms of one call (batch engines) or one iteration (LLM) with all of works[0..count); what is more than a
 * call or an iteration takes is as many of them as it needs. */
double tl_cost_call(const struct tl_cost *cost, const char *engine, const struct tl_cost_work *works, size_t count);
/* The largest efficient batch in units, a power of two or the engine's most units: twice as many would raise the
 * throughput by less than 10 %. Texts are taken to have TL_COST_TYPICAL_TOKENS; 0: not known. */
uint32_t tl_cost_batch(const struct tl_cost *cost, const char *engine, enum tl_primitive op);
/* Likewise for units of so many tokens: short questions gain from larger batches than passages do. */
uint32_t tl_cost_batch_of(const struct tl_cost *cost, const char *engine, enum tl_primitive op, double unit_tokens);
#define TL_COST_TYPICAL_TOKENS 256
/* Where a long list may be cut, in units: twice as many would raise the throughput by less than 1 %, so cutting costs
 * next to nothing. At least 8; 0: not known. */
uint32_t tl_cost_slice(const struct tl_cost *cost, const char *engine, enum tl_primitive op);
/* Most units of one call; of an LLM the most new prompt tokens of an iteration (PREFILL) or sequences (DECODE). 0: no
 * bound. */
uint32_t tl_cost_most(const struct tl_cost *cost, const char *engine, enum tl_primitive op);
/* True when a profile or emulated settings cover the engine. */
bool tl_cost_is_measured(const struct tl_cost *cost, const char *engine);

/* What a kind of call's model rests on; of an LLM, PREFILL and DECODE are the kinds. */
struct tl_cost_quality {
    uint32_t samples;    /* measurements; 0: a default, or exact by definition */
    double median_error; /* of the model on them, as a share: 0.08 is 8 % */
};
struct tl_cost_quality tl_cost_get_quality(const struct tl_cost *cost, const char *engine, enum tl_primitive op);
/* Changes whenever predictions may differ: part of the plan cache's key. */
uint64_t tl_cost_version(const struct tl_cost *cost);

/* A call of these works took `ms`: corrects the model (a factor per engine and kind of call, smoothed). */
void tl_cost_observe(struct tl_cost *cost, const char *engine, const struct tl_cost_work *works, size_t count,
                     double ms);

#endif

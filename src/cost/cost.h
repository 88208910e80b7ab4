/* cost.h: what work costs: a latency model for each engine, from a measured profile, corrected while it runs.
 *
 * Who asks: the optimizer (is a rewrite worth it, how large is a slice), the plan (upward ranks, critical path), the
 * scheduler's policies (how long will this batch take, which instance is done first), admission (how much work waits).
 *
 * A model predicts the time of one *call* of an engine, in ms:
 *   batch engines   base + unit x units + token x tokens
 *   LLM             an iteration: base + prompt x new prompt tokens + attend x (new prompt tokens x tokens before them) / 1000
 *                   and, when sequences decode, step(rows), measured at powers of two and straight between them
 * These are also the latency models of the emulated engine, so a profile can be simulated as it stands.
 *
 * Honesty: a model says how many measurements it rests on and its median error. With too few it is the stated default
 * (tl_cost_default), and `measured` is false.
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

/* A profile: the versioned JSON that `teola profile` writes. TL_ERR_INVALID names what was found and expected. */
enum tl_status tl_cost_parse(const char *text, size_t length, const char *name, struct tl_cost **cost,
                             struct tl_error *error);
/* Latency models of an emulated engine's settings (embed_ms, prompt_token_ms, ...): exact by definition. */
void tl_cost_add_emulated(struct tl_cost *cost, const char *engine, const json_t *settings);

/* Predicted ms of one item of `engine` that is alone on it; of an LLM all its iterations. cost NULL: the defaults. */
double tl_cost_item(const struct tl_cost *cost, const char *engine, const struct tl_cost_work *work);
/* Predicted ms of one call (batch engines) or one iteration (LLM) with all of works[0..count). */
double tl_cost_call(const struct tl_cost *cost, const char *engine, const struct tl_cost_work *works, size_t count);
/* The largest efficient batch in units: twice as many would raise the throughput by less than 10 %; 0: not known. */
uint32_t tl_cost_batch(const struct tl_cost *cost, const char *engine, enum tl_primitive op);
/* True when a profile or emulated settings cover the engine. */
bool tl_cost_is_measured(const struct tl_cost *cost, const char *engine);
/* Changes whenever predictions may differ: part of the plan cache's key. */
uint64_t tl_cost_version(const struct tl_cost *cost);

/* A call of these works took `ms`: corrects the model (a factor per engine and kind of call, smoothed). */
void tl_cost_observe(struct tl_cost *cost, const char *engine, const struct tl_cost_work *works, size_t count,
                     double ms);

#endif

/* calibrate.h: what an instance's quanta say about the cost model: which of them are measurements of something that the
 * model predicts, and of what. The loop tells it of orders, outcomes and ends of quanta; nothing here reads a clock.
 *
 * Two kinds of stretches are measurements:
 *   a batch     from when an instance that held nothing was given items until it holds nothing again, provided that
 *               nothing was added meanwhile and all went well: the sum of its quanta is a call of these works. For an
 *               LLM, when all of them are prefills.
 *   a decode    all quanta of one decode, provided that no prompt was computed in between: their mean is an iteration
 *               with as many rows as decoded at the mean. */
#ifndef TL_RUNTIME_CALIBRATE_H
#define TL_RUNTIME_CALIBRATE_H

#include "cost/cost.h"
#include "engine/engine_impl.h"

enum { TL_CALIBRATION_WORKS = 64 };

/* Sums over an instance's quanta; their differences between two moments are what happened between them. */
struct tl_calibration_mark {
    uint64_t busy;     /* ns */
    uint64_t quanta;
    uint64_t rows;     /* decodes held, summed over quanta */
    uint64_t prompts;  /* quanta in which a prefill was held */
};

struct tl_calibration {
    struct tl_calibration_mark sum;
    uint64_t ordered;                /* ns: when the quantum under way was ordered */
    uint32_t held, decodes, prompts; /* items now */
    uint32_t quantum_rows;           /* of the quantum under way */
    bool quantum_prompts;
    /* The batch since it was given items while it held none. */
    struct tl_calibration_mark begun;
    struct tl_cost_work works[TL_CALIBRATION_WORKS];
    size_t work_count;
    bool spoiled; /* it is none: something was added, failed, or did not fit */
    /* Decodes that ended in the quantum under way. */
    struct {
        struct tl_cost_work work;
        struct tl_calibration_mark since;
    } ended[TL_CALIBRATION_WORKS];
    size_t ended_count;
};

/* A quantum is ordered, with these items (there may be none) given to the instance. */
void tl_calibration_ordered(struct tl_calibration *calibration, struct tl_item *const *items, size_t count,
                            uint64_t now);
/* An item's outcome, before the end of the quantum in which it came; `since`: the sums when it was given. */
void tl_calibration_outcome(struct tl_calibration *calibration, const struct tl_item *item,
                            const struct tl_usage *usage, bool failed, struct tl_calibration_mark since);
/* The quantum has ended: what it completes is observed. */
void tl_calibration_stepped(struct tl_calibration *calibration, struct tl_cost *cost, const char *engine,
                            uint64_t now);

/* What an item has asked of its engine, by its outcome. */
struct tl_cost_work tl_calibration_work(const struct tl_item *item, const struct tl_usage *usage);

#endif

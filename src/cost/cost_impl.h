/* cost_impl.h: what the files of src/cost share; for this folder only. */
#ifndef TL_COST_COST_IMPL_H
#define TL_COST_COST_IMPL_H

#include "cost/cost.h"

/* Times of one kind of call: ms = base + unit x units + token x tokens. */
struct cost_line {
    bool known;     /* false: the default of the capability */
    double base, unit, token;
    uint32_t limit; /* most units of one call; 0: no bound */
};

enum { COST_STEPS = 16 };

/* Times of an LLM's iterations:
 *   ms = base + (chunk + prompt x new + attend x new x before / 1000 if any prompt token is new)
 *             + (step(rows) + look x rows x before / 1000       if any sequence decodes) */
struct cost_llm {
    bool known;
    double base, chunk, prompt, attend, look;
    uint32_t iteration_tokens; /* most new prompt tokens of one iteration; 0: no bound */
    uint32_t sequences;        /* most that decode at once; 0: no bound */
    size_t step_count;         /* at least 1 when known */
    uint32_t rows[COST_STEPS]; /* rising */
    double step[COST_STEPS];   /* ms on top of base; straight between, and on beyond the last two */
};

/* The corrections of one kind of call: the last ratios of measured to modelled time. */
enum { COST_OBSERVED = 15,
       COST_ENOUGH = 5 };
struct cost_factor {
    _Atomic double factor;        /* 1 until there is enough; read by every thread */
    double ratios[COST_OBSERVED]; /* the observer's alone, as all that follows */
    uint32_t count, next;
    double told;                  /* factor when the version last changed for it */
};

struct cost_engine {
    char *name;
    bool measured;
    bool exact; /* emulated: never corrected */
    struct cost_line lines[TL_OP_COUNT]; /* by primitive; of batch engines */
    struct cost_llm llm;
    struct tl_cost_quality quality[TL_OP_COUNT]; /* of an LLM: at PREFILL and DECODE */
    struct cost_factor factors[TL_OP_COUNT];     /* likewise */
    json_t *profile; /* its part of the profile; owned; NULL: not from one */
};

struct tl_cost {
    _Atomic uint32_t references;
    _Atomic uint64_t version;
    struct cost_engine **engines;
    size_t count, capacity;
};

/* ---- cost.c ---- */
/* NULL when there is none of that name; cost may be NULL. */
struct cost_engine *tl_cost_find(const struct tl_cost *cost, const char *engine);
/* A fresh one of that name; what stood under it goes. Only while the cost is being built. */
struct cost_engine *tl_cost_replace(struct tl_cost *cost, const char *engine);
void tl_cost_changed(struct tl_cost *cost, uint64_t what); /* a new version */

/* ---- cost_model.c ---- */
/* The primitive under which a kind of call is kept: PREFILL and DECODE stand for their partial forms. */
enum tl_primitive tl_cost_kind(enum tl_primitive op);
/* What a call of these works takes, by kind; each kind's part with its factor when `corrected`. */
void tl_cost_parts(const struct cost_engine *engine, const struct tl_cost_work *works, size_t count, bool corrected,
                   double parts[TL_OP_COUNT]);

#endif

/* cost_model.c: the defaults, and predictions from a model. */
#include <math.h>
#include <string.h>

#include "cost/cost_impl.h"

/* ---- defaults: a small model on two CPU cores ----
 * Orders of magnitude of an embedder of 22 million and an LLM of 135 million parameters (8-bit weights), a local
 * database of some thousand chunks, and services of the Web. They rank work; they do not promise times. */

static const struct cost_line default_lines[TL_CAPABILITY_COUNT] = {
    [TL_CAPABILITY_DOCUMENTS] = {.unit = 5, .limit = 64},             /* a document */
    [TL_CAPABILITY_EMBED] = {.base = 2, .token = 0.25, .limit = 64},  /* texts */
    [TL_CAPABILITY_RERANK] = {.base = 2, .token = 0.25, .limit = 64}, /* pairs; tokens of query and passage */
    [TL_CAPABILITY_STORE] = {.base = 0.5, .unit = 2, .limit = 64},    /* queries; of rows see default_ingest */
    [TL_CAPABILITY_WEB] = {.base = 400},
    [TL_CAPABILITY_TOOL] = {.base = 200},
};
static const struct cost_line default_ingest = {.base = 1, .unit = 0.05, .limit = 1024};
static const struct cost_line default_collection = {.base = 0.2};

static const struct cost_llm default_llm = {
    .base = 4,
    .chunk = 10,
    .prompt = 1.6,
    .attend = 0.3,
    .look = 0.6,
    .iteration_tokens = 512,
    .sequences = 16,
    .step_count = 6,
    .rows = {1, 2, 4, 8, 16, 32},
    .step = {4, 9, 13, 20, 32, 60},
};

static const struct cost_line *line_of(const struct cost_engine *engine, enum tl_primitive op) {
    if (engine && engine->lines[op].known)
        return &engine->lines[op];
    return op == TL_OP_INGEST       ? &default_ingest
           : op == TL_OP_COLLECTION ? &default_collection
                                    : &default_lines[tl_primitive_info(op)->capability];
}

static const struct cost_llm *llm_of(const struct cost_engine *engine) {
    return engine && engine->llm.known ? &engine->llm : &default_llm;
}

/* ---- calls ---- */

enum tl_primitive tl_cost_kind(enum tl_primitive op) {
    switch (op) {
    case TL_OP_PARTIAL_PREFILL:
    case TL_OP_FULL_PREFILL: return TL_OP_PREFILL;
    case TL_OP_PARTIAL_DECODE: return TL_OP_DECODE;
    default: return op;
    }
}

static double factor_of(const struct cost_engine *engine, enum tl_primitive kind) {
    return engine ? engine->factors[kind].factor : 1;
}

/* More units than a call takes are several calls. */
static double line_ms(const struct cost_line *line, double units, double tokens) {
    double calls = line->limit && units > line->limit ? ceil(units / line->limit) : 1;
    return calls * line->base + line->unit * units + line->token * tokens;
}

/* On top of the iteration's base; 0 when nothing decodes. */
static double step_ms(const struct cost_llm *llm, double rows) {
    if (rows <= 0)
        return 0;
    if (rows <= llm->rows[0] || llm->step_count == 1)
        return llm->step[0];
    size_t i = 1;
    while (i + 1 < llm->step_count && rows > llm->rows[i])
        i++;
    double slope = (llm->step[i] - llm->step[i - 1]) / (double)(llm->rows[i] - llm->rows[i - 1]);
    return llm->step[i - 1] + slope * (rows - llm->rows[i - 1]);
}

/* What an iteration is asked for. */
struct iteration {
    double prompt, attended; /* new tokens; new tokens x tokens before them */
    double rows, looked;     /* sequences decoding; tokens before them in all */
};

static void add_to_iteration(struct iteration *iteration, const struct tl_cost_work *work) {
    double units = work->units ? work->units : 1;
    if (tl_cost_kind(work->op) == TL_OP_DECODE) {
        iteration->rows += units;
        iteration->looked += units * work->context;
    } else {
        iteration->prompt += work->tokens;
        iteration->attended += (double)work->tokens * (work->context + work->tokens / 2.0);
    }
}

/* More prompt tokens than an iteration takes are several iterations. */
static void iteration_parts(const struct cost_llm *llm, const struct iteration *asked, double *prefill,
                            double *decode) {
    double iterations = 1;
    *prefill = *decode = 0;
    if (llm->iteration_tokens && asked->prompt > llm->iteration_tokens)
        iterations = ceil(asked->prompt / llm->iteration_tokens);
    if (asked->prompt > 0)
        *prefill = iterations * llm->chunk + llm->prompt * asked->prompt + llm->attend * asked->attended / 1000;
    if (asked->rows > 0)
        *decode = step_ms(llm, asked->rows) + llm->look * asked->looked / 1000;
    if (asked->prompt > 0 || asked->rows > 0)
        *(asked->rows > 0 ? decode : prefill) += iterations * llm->base;
}

void tl_cost_parts(const struct cost_engine *engine, const struct tl_cost_work *works, size_t count, bool corrected,
                   double parts[TL_OP_COUNT]) {
    double units[TL_OP_COUNT] = {0}, tokens[TL_OP_COUNT] = {0};
    bool asked[TL_OP_COUNT] = {false};
    struct iteration iteration = {0};
    for (size_t i = 0; i < count; i++) {
        if (tl_primitive_info(works[i].op)->capability == TL_CAPABILITY_LLM)
            add_to_iteration(&iteration, &works[i]);
        asked[works[i].op] = true;
        units[works[i].op] += works[i].units;
        tokens[works[i].op] += works[i].tokens;
    }
    for (enum tl_primitive op = 0; op < TL_OP_COUNT; op++) {
        bool batch = asked[op] && tl_primitive_info(op)->capability != TL_CAPABILITY_LLM;
        parts[op] = batch ? line_ms(line_of(engine, op), units[op], tokens[op]) : 0;
    }
    iteration_parts(llm_of(engine), &iteration, &parts[TL_OP_PREFILL], &parts[TL_OP_DECODE]);
    for (enum tl_primitive op = 0; corrected && op < TL_OP_COUNT; op++)
        parts[op] *= factor_of(engine, op);
}

double tl_cost_call(const struct tl_cost *cost, const char *name, const struct tl_cost_work *works, size_t count) {
    double parts[TL_OP_COUNT], ms = 0;
    tl_cost_parts(tl_cost_find(cost, name), works, count, true, parts);
    for (size_t i = 0; i < TL_OP_COUNT; i++)
        ms += parts[i];
    return ms;
}

/* ---- items ---- */

static double prefill_ms(const struct cost_llm *llm, const struct tl_cost_work *work) {
    struct iteration asked = {0};
    double prefill, decode;
    add_to_iteration(&asked, work);
    iteration_parts(llm, &asked, &prefill, &decode);
    return prefill;
}

/* The first token came with the prompt. */
static double decode_ms(const struct cost_llm *llm, const struct tl_cost_work *work) {
    if (work->tokens_out <= 1)
        return 0;
    double rows = work->units ? work->units : 1, steps = work->tokens_out - 1;
    double looked = rows * (work->context + steps / 2);
    return steps * (llm->base + step_ms(llm, rows) + llm->look * looked / 1000);
}

double tl_cost_item(const struct tl_cost *cost, const char *name, const struct tl_cost_work *work) {
    const struct cost_engine *engine = tl_cost_find(cost, name);
    enum tl_primitive kind = tl_cost_kind(work->op);
    double ms = kind == TL_OP_PREFILL  ? prefill_ms(llm_of(engine), work)
                : kind == TL_OP_DECODE ? decode_ms(llm_of(engine), work)
                                       : line_ms(line_of(engine, kind), work->units, work->tokens);
    return ms * factor_of(engine, kind);
}

/* ---- the largest efficient batch ---- */

/* Units in a ms, of a call that is as large as it has to be. */
static double throughput(const struct cost_engine *engine, enum tl_primitive kind, double units, double unit_tokens) {
    const struct cost_llm *llm = llm_of(engine);
    const struct cost_line *line = line_of(engine, kind);
    double ms = kind == TL_OP_DECODE    ? llm->base + step_ms(llm, units)
                : kind == TL_OP_PREFILL ? llm->base + llm->chunk + llm->prompt * units * unit_tokens
                                        : line->base + line->unit * units + line->token * units * unit_tokens;
    return ms > 0 ? units / ms : 0;
}

/* Rows of a decode may get cheaper only after the second or third, so the first doubling that gains little is not yet
 * the end. */
static uint32_t gaining_batch(const struct tl_cost *cost, const char *name, enum tl_primitive op, double unit_tokens,
                              double gain) {
    const uint32_t most = 1u << 12; /* where nothing bounds a batch */
    const struct cost_engine *engine = tl_cost_find(cost, name);
    enum tl_primitive kind = tl_cost_kind(op);
    bool llm = kind == TL_OP_PREFILL || kind == TL_OP_DECODE;
    if (!engine || (llm ? !engine->llm.known : !engine->lines[kind].known))
        return 0;
    uint32_t limit = llm ? engine->llm.sequences : engine->lines[kind].limit, best = 1;
    limit = limit ? limit : most;
    double former = throughput(engine, kind, 1, unit_tokens), highest = former;
    for (uint32_t units = 2; units < 2 * limit; units *= 2) {
        double now = throughput(engine, kind, units, unit_tokens);
        if (now >= gain * former && now > highest)
            best = units < limit ? units : limit;
        highest = now > highest ? now : highest;
        former = now;
    }
    return best;
}

uint32_t tl_cost_batch_of(const struct tl_cost *cost, const char *name, enum tl_primitive op, double unit_tokens) {
    return gaining_batch(cost, name, op, unit_tokens, 1.1);
}

uint32_t tl_cost_slice(const struct tl_cost *cost, const char *name, enum tl_primitive op) {
    const uint32_t least = 8; /* each slice takes its way through the scheduler */
    uint32_t batch = gaining_batch(cost, name, op, TL_COST_TYPICAL_TOKENS, 1.01);
    return batch == 0 || batch > least ? batch : least;
}

uint32_t tl_cost_most(const struct tl_cost *cost, const char *name, enum tl_primitive op) {
    const struct cost_engine *engine = tl_cost_find(cost, name);
    enum tl_primitive kind = tl_cost_kind(op);
    return kind == TL_OP_PREFILL  ? llm_of(engine)->iteration_tokens
           : kind == TL_OP_DECODE ? llm_of(engine)->sequences
                                  : line_of(engine, kind)->limit;
}

uint32_t tl_cost_batch(const struct tl_cost *cost, const char *name, enum tl_primitive op) {
    return tl_cost_batch_of(cost, name, op, TL_COST_TYPICAL_TOKENS);
}

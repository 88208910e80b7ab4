#include "runtime/calibrate.h"

static const uint64_t least_quanta = 4; /* of a decode: the first ones compute what is left of its prompt */

static bool is_llm(const struct tl_item *item) {
    return tl_primitive_info(item->op)->capability == TL_CAPABILITY_LLM;
}

static bool is_decode(const struct tl_item *item) {
    return item->op == TL_OP_DECODE || item->op == TL_OP_PARTIAL_DECODE;
}

struct tl_cost_work tl_calibration_work(const struct tl_item *item, const struct tl_usage *usage) {
    struct tl_cost_work work = {
        .op = item->op,
        .units = (uint32_t)usage->units,
        .tokens = (uint32_t)usage->tokens_computed,
    };
    if (item->op == TL_OP_CHUNK)
        work.units = (uint32_t)item->inputs[0]->as.list.count;
    if (is_llm(item)) {
        work.units = 1;
        work.context = (uint32_t)(is_decode(item) ? usage->tokens_in + usage->tokens_out / 2 : usage->tokens_reused);
        work.tokens_out = (uint32_t)usage->tokens_out;
    }
    return work;
}

void tl_calibration_ordered(struct tl_calibration *c, struct tl_item *const *items, size_t count, uint64_t now) {
    c->ordered = now;
    if (count > 0 && c->held == 0) {
        c->begun = c->sum;
        c->work_count = 0;
        c->spoiled = false;
    } else if (count > 0) {
        c->spoiled = true;
    }
    for (size_t i = 0; i < count; i++) {
        c->held++;
        c->decodes += is_decode(items[i]);
        c->prompts += is_llm(items[i]) && !is_decode(items[i]);
        c->spoiled = c->spoiled || is_decode(items[i]);
    }
    c->quantum_rows = c->decodes;
    c->quantum_prompts = c->prompts > 0;
}

void tl_calibration_outcome(struct tl_calibration *c, const struct tl_item *item, const struct tl_usage *usage,
                            bool failed, struct tl_calibration_mark since) {
    c->held--;
    c->decodes -= is_decode(item);
    c->prompts -= is_llm(item) && !is_decode(item);
    if (is_decode(item) && !failed && c->ended_count < TL_CALIBRATION_WORKS) {
        c->ended[c->ended_count].work = tl_calibration_work(item, usage);
        c->ended[c->ended_count++].since = since;
    } else if (failed || c->work_count == TL_CALIBRATION_WORKS) {
        c->spoiled = true;
    } else {
        c->works[c->work_count++] = tl_calibration_work(item, usage);
    }
}

static void observe_decode(const struct tl_calibration *c, struct tl_cost *cost, const char *engine,
                           struct tl_cost_work work, const struct tl_calibration_mark *since) {
    uint64_t quanta = c->sum.quanta - since->quanta, rows = c->sum.rows - since->rows;
    if (quanta < least_quanta || c->sum.prompts != since->prompts)
        return;
    work.units = (uint32_t)((rows + quanta / 2) / quanta);
    tl_cost_observe(cost, engine, &work, 1, (double)(c->sum.busy - since->busy) / (double)quanta / 1e6);
}

void tl_calibration_stepped(struct tl_calibration *c, struct tl_cost *cost, const char *engine, uint64_t now) {
    c->sum.busy += now > c->ordered ? now - c->ordered : 0;
    c->sum.quanta++;
    c->sum.rows += c->quantum_rows;
    c->sum.prompts += c->quantum_prompts;
    for (size_t i = 0; i < c->ended_count; i++)
        observe_decode(c, cost, engine, c->ended[i].work, &c->ended[i].since);
    c->ended_count = 0;
    if (c->held > 0)
        return;
    uint64_t asked = 0;
    for (size_t i = 0; i < c->work_count; i++)
        asked += c->works[i].units + c->works[i].tokens;
    if (!c->spoiled && asked > 0)
        tl_cost_observe(cost, engine, c->works, c->work_count, (double)(c->sum.busy - c->begun.busy) / 1e6);
    c->spoiled = true; /* until it is given items again */
}

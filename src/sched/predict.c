/* predict.c: how long items will take, and which instance is done first.
 *
 * An item's time has two parts: `base`, the fixed part of a call, and `share`, what it adds to a call that is made
 * anyway. An instance is done with the calls that it holds at `done_at`: each batch adds one base and all shares. Decodes
 * do not count there, because an LLM engine takes new prompts in between their iterations; each makes an iteration
 * longer (`rows`).
 *
 * A prediction that has proved wrong is not believed: what should be done and is not is taken to need as long again as it
 * is late. And an instance whose calls take longer than predicted, or shorter, is known by its `speed`. One that is
 * unlike its engine's others from the start (another device, other settings) has times of its own in the cost model. */
#include <math.h>

#include "base/error.h"
#include "sched/sched_impl.h"

static const double NS_TO_MS = 1e-6;

/* ---- what an item asks for ---- */

static bool is_decode(enum tl_primitive op) { return op == TL_OP_DECODE || op == TL_OP_PARTIAL_DECODE; }

static uint64_t tokens_out(const struct sched_item *item, double written) {
    const struct tl_attributes *attributes = item->item.attributes;
    int64_t most = tl_attributes_integer(attributes, "max_tokens", 256);
    int64_t items = tl_attributes_integer(attributes, "items", 0);
    if (items > 0) {
        int64_t each = tl_attributes_integer(attributes, "item_tokens", 48);
        if (each > 0 && items < most / each) most = items * each;
    }
    double tokens = (double)most * written;
    return tokens < 1 ? 1 : (uint64_t)tokens;
}

static uint32_t bounded(uint64_t number) { return number > UINT32_MAX ? UINT32_MAX : (uint32_t)number; }

static struct tl_cost_work work_of(const struct tl_sched *sched, const struct sched_item *item, uint32_t *whole) {
    struct tl_value *const *inputs = item->item.inputs;
    size_t count = item->item.input_count;
    const struct tl_value *first = count ? inputs[0] : NULL;
    struct tl_cost_work work = {.op = item->item.op, .units = 1};
    *whole = 0;
    if (tl_primitive_info(item->item.op)->capability == TL_CAPABILITY_LLM) {
        if (is_decode(item->item.op)) {
            work.context = bounded(tl_value_tokens(first));
            work.tokens_out = bounded(tokens_out(item, sched->groups[item->group].written));
        } else {
            *whole = bounded(tl_value_tokens(first));
            work.context = count > 1 ? bounded(tl_value_tokens(inputs[1])) : 0;
            if (work.context > *whole) work.context = *whole;
            work.tokens = *whole - work.context;
        }
        return work;
    }
    uint64_t units = first ? tl_value_leaves(first) : 1, tokens = tl_value_tokens(first);
    if (item->item.op == TL_OP_SCORE && count > 1) tokens += units * tl_value_tokens(inputs[1]);
    work.units = bounded(units ? units : 1);
    work.tokens = bounded(tokens);
    return work;
}

void tl_predict_item(const struct tl_sched *sched, struct sched_item *item) {
    const char *engine = sched->groups[item->group].name;
    const struct tl_cost *cost = sched->config.cost;
    uint32_t whole;
    struct tl_cost_work work = item->work = work_of(sched, item, &whole);
    /* The fixed part shows between one unit and two of them. */
    struct tl_cost_work unit[2] = {work, work};
    if (!is_decode(work.op)) {
        unit[0].tokens = work.tokens / work.units;
        unit[0].units = 1;
        unit[1] = unit[0];
    }
    double one = tl_cost_call(cost, engine, unit, 1), another = tl_cost_call(cost, engine, unit, 2) - one;
    double alone = tl_cost_item(cost, engine, &work), base = one - another;
    if (is_decode(work.op)) {
        item->row = (float)another;
        base *= work.tokens_out; /* of each iteration */
    }
    base = base < 0 ? 0 : base > alone ? alone : base;
    item->ready.base = (float)base;
    item->ready.share = (float)(alone - base);
    item->far = 0;
    if (item->near == NO_INSTANCE) return;
    struct tl_cost_work far = work;
    far.tokens = whole;
    far.context = 0;
    double more = tl_cost_item(cost, engine, &far) - alone;
    item->far = more > 0 ? (float)more : 0;
}

/* ---- instances ---- */

static double ms_between(uint64_t from, uint64_t to) { return to > from ? (double)(to - from) * NS_TO_MS : 0; }

/* ms until the instance can begin something new. */
static double wait_of(const struct tl_sched *sched, uint32_t number) {
    const struct instance *instance = &sched->instances[number];
    double wait = 0;
    if (instance->calls_held > 0)
        wait = instance->done_at > sched->now ? ms_between(sched->now, instance->done_at)
                                              : ms_between(instance->done_at, sched->now);
    if (instance->device == TL_SCHED_NO_DEVICE) return wait;
    uint32_t busy = sched->devices[instance->device].busy;
    if (busy == 0 || busy == number + 1) return wait;
    const struct instance *other = &sched->instances[busy - 1];
    double rest = other->quantum - ms_between(other->quantum_began, sched->now);
    return rest > wait ? rest : wait;
}

/* The instance's time for the item, as a multiple of its engine's: by what was known beforehand, and what it has shown. */
static double factor_of(const struct tl_sched *sched, const struct sched_item *item, uint32_t number) {
    const struct instance *instance = &sched->instances[number];
    if (!instance->times) return instance->speed;
    double usual = tl_cost_item(sched->config.cost, sched->groups[item->group].name, &item->work);
    double here = tl_cost_item(sched->config.cost, instance->times, &item->work);
    return usual > 0 && here > 0 ? instance->speed * here / usual : instance->speed;
}

double tl_predict_share(const struct tl_sched *sched, const struct sched_item *item, uint32_t number) {
    return item->ready.share * factor_of(sched, item, number);
}

double tl_predict_end(const struct tl_sched *sched, const struct sched_item *item, uint32_t number) {
    const struct instance *instance = &sched->instances[number];
    double own = item->ready.base + item->ready.share;
    if (item->near != NO_INSTANCE && item->near != number) own += item->far;
    if (!is_decode(item->item.op)) /* what follows it here, too, has iterations as long as the rows here make them */
        own += instance->rows * (1 + sched->groups[item->group].iterations);
    return wait_of(sched, number) + instance->pinned_ms + instance->passed_ms + own * factor_of(sched, item, number);
}

static bool can_take(const struct instance *instance) {
    if (instance->lost) return false;
    return instance->held_items == 0 || instance->description.batch_units == 0 ||
           instance->held_units < instance->description.batch_units;
}

/* It failed with the item before, and there are others. */
static bool must_avoid(const struct tl_sched *sched, const struct sched_item *item, uint32_t number) {
    if (item->avoid != number) return false;
    const struct group *group = &sched->groups[item->group];
    for (size_t i = 0; i < group->instance_count; i++)
        if (group->instances[i] != number && !sched->instances[group->instances[i]].lost) return true;
    return false;
}

uint32_t tl_predict_best(const struct tl_sched *sched, const struct sched_item *item, uint32_t number) {
    const struct group *group = &sched->groups[item->group];
    if (group->instance_count == 1) return number;
    bool elsewhere = must_avoid(sched, item, number);
    uint32_t best = elsewhere ? NO_INSTANCE : number;
    double end = elsewhere ? INFINITY : tl_predict_end(sched, item, number);
    for (size_t i = 0; i < group->instance_count; i++) {
        uint32_t other = group->instances[i];
        if (other == number || !can_take(&sched->instances[other]) || must_avoid(sched, item, other)) continue;
        double other_end = tl_predict_end(sched, item, other);
        if (other_end < end - 0.01) { /* 10 µs: less is no difference */
            best = other;
            end = other_end;
        }
    }
    return best;
}

void tl_predict_started(struct tl_sched *sched, struct sched_item *item, bool first) {
    struct instance *instance = &sched->instances[item->instance];
    double factor = factor_of(sched, item, item->instance);
    item->started = sched->now;
    if (is_decode(item->item.op)) {
        if (instance->times) item->row = (float)(item->row * factor / instance->speed);
        instance->rows += item->row;
        item->predicted = 0;
        return;
    }
    double own = item->ready.share + (first || instance->calls_held == 0 ? item->ready.base : 0);
    if (item->near != NO_INSTANCE && item->near != item->instance) own += item->far;
    own = own * factor + (first ? instance->rows : 0);
    uint64_t from = instance->calls_held > 0 && instance->done_at > sched->now ? instance->done_at : sched->now;
    instance->done_at = from + (uint64_t)(own / NS_TO_MS);
    instance->calls_held++;
    item->predicted = ms_between(sched->now, instance->done_at);
}

static void smooth(double *value, double sample, double weight) { *value += (sample - *value) * weight; }

static void learn_speed(struct instance *instance, const struct sched_item *item, uint64_t now) {
    double took = ms_between(item->started, now);
    if (item->predicted < 0.1 || took < 0.1) return;
    double ratio = took / item->predicted;
    ratio = ratio < 0.1 ? 0.1 : ratio > 10 ? 10 : ratio;
    double speed = instance->speed * pow(ratio, 0.2);
    instance->speed = speed < 0.01 ? 0.01 : speed > 100 ? 100 : speed;
}

void tl_predict_ended(struct tl_sched *sched, struct sched_item *item, const struct tl_usage *usage) {
    struct instance *instance = &sched->instances[item->instance];
    if (!is_decode(item->item.op)) {
        TL_ASSERT(instance->calls_held > 0);
        instance->calls_held--;
        if (usage) learn_speed(instance, item, sched->now);
        return;
    }
    instance->rows -= item->row;
    if (instance->held_items == 0) instance->rows = 0; /* what rounding left */
    if (!usage || usage->tokens_out == 0) return;
    struct group *group = &sched->groups[item->group];
    double may = (double)tokens_out(item, 1), share = (double)usage->tokens_out / may;
    smooth(&group->written, share > 1 ? 1 : share, 0.1);
    smooth(&group->iterations, (double)usage->tokens_out, 0.1);
}

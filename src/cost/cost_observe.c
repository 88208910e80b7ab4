/* cost_observe.c: calibration while the engines work.
 *
 * Each kind of call of each engine has a factor: the median of the last COST_OBSERVED ratios of measured to modelled
 * time. A median follows a lasting change after half as many calls, and one outlier (a page fault, a busy machine for
 * a moment) does not move it at all. Before COST_ENOUGH calls the factor is 1. What differs by less than `slack` from
 * the model counts as equal to it: so much may be the way to the engine's thread and back, and not the engine.
 *
 * Plans and decisions rest on factors, so the version changes only when one has moved by more than `margin` since it
 * last did. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cost/cost_impl.h"

static const double margin = 1.25;
static const double slack = 1; /* ms */
static const double farthest = 64; /* factors are within 1/64 and 64 */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *values, uint32_t count) {
    double sorted[COST_OBSERVED];
    memcpy(sorted, values, count * sizeof *sorted);
    qsort(sorted, count, sizeof *sorted, ascending);
    return count % 2 ? sorted[count / 2] : sqrt(sorted[count / 2 - 1] * sorted[count / 2]);
}

static void correct(struct tl_cost *cost, struct cost_factor *factor, double ratio) {
    ratio = ratio > farthest ? farthest : ratio < 1 / farthest ? 1 / farthest
                                                               : ratio;
    factor->ratios[factor->next] = ratio;
    factor->next = (factor->next + 1) % COST_OBSERVED;
    factor->count += factor->count < COST_OBSERVED;
    if (factor->count < COST_ENOUGH)
        return;
    double now = median(factor->ratios, factor->count);
    factor->factor = now;
    if (now > factor->told * margin || now * margin < factor->told) {
        factor->told = now;
        tl_cost_changed(cost, 3);
    }
}

void tl_cost_observe(struct tl_cost *cost, const char *name, const struct tl_cost_work *works, size_t count,
                     double ms) {
    struct cost_engine *engine = tl_cost_find(cost, name);
    if (!engine || engine->exact || !(ms > 0))
        return;
    double model[TL_OP_COUNT], corrected[TL_OP_COUNT], all = 0;
    tl_cost_parts(engine, works, count, false, model);
    tl_cost_parts(engine, works, count, true, corrected);
    for (size_t i = 0; i < TL_OP_COUNT; i++)
        all += corrected[i];
    /* Of a mixed call, the kind that it was mostly of learns: what the others are thought to have taken is taken off. */
    for (size_t i = 0; i < TL_OP_COUNT; i++) {
        double own = ms - (all - corrected[i]);
        if (corrected[i] > all / 2 && own > 0)
            correct(cost, &engine->factors[i], fabs(own - model[i]) < slack ? 1 : own / model[i]);
    }
}

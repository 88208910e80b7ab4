/* arrivals.c: see arrivals.h. Gamma variates by the method of Marsaglia and Tsang (2000). */
#include "scenario/arrivals.h"

#include <math.h>

#include "base/clock.h"
#include "base/hash.h"

double tl_arrivals_draw(uint64_t *random) {
    *random = tl_hash_u64(*random, 17);
    return (double)(*random >> 11) * 0x1p-53;
}

/* Above 0, so that it has a logarithm. */
static double draw_positive(uint64_t *random) {
    return 1 - tl_arrivals_draw(random);
}

static double draw_normal(uint64_t *random) {
    double radius = sqrt(-2 * log(draw_positive(random)));
    return radius * cos(2 * 3.14159265358979323846 * tl_arrivals_draw(random));
}

static double draw_gamma(uint64_t *random, double shape) {
    if (shape < 1)
        return draw_gamma(random, shape + 1) * pow(draw_positive(random), 1 / shape);
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = draw_normal(random), v = 1 + c * x;
        if (v <= 0)
            continue;
        v = v * v * v;
        if (log(draw_positive(random)) < x * x / 2 + d - d * v + d * log(v))
            return d * v;
    }
}

void tl_arrivals_begin(struct tl_arrivals_state *state, uint64_t seed) {
    *state = (struct tl_arrivals_state){.random = tl_hash_u64(seed, 23)};
}

static double gap(const struct tl_arrivals *arrivals, struct tl_arrivals_state *state) {
    double square = arrivals->variation * arrivals->variation;
    switch (arrivals->kind) {
    case TL_ARRIVALS_POISSON: return -log(draw_positive(&state->random)) / arrivals->rate;
    case TL_ARRIVALS_GAMMA: return draw_gamma(&state->random, 1 / square) * square / arrivals->rate;
    default: return 0;
    }
}

uint64_t tl_arrivals_next(const struct tl_arrivals *arrivals, struct tl_arrivals_state *state) {
    if (arrivals->kind == TL_ARRIVALS_TRACE)
        return state->next < arrivals->count ? arrivals->times[state->next++] : UINT64_MAX;
    if (arrivals->kind == TL_ARRIVALS_EVEN)
        return (uint64_t)((double)state->next++ / arrivals->rate * (double)TL_NS_PER_S);
    state->at += gap(arrivals, state);
    double ns = state->at * (double)TL_NS_PER_S;
    return ns < 0x1p63 ? (uint64_t)ns : UINT64_MAX;
}

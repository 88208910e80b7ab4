/* arrivals.h: when queries arrive. */
#ifndef TL_SCENARIO_ARRIVALS_H
#define TL_SCENARIO_ARRIVALS_H

#include <stddef.h>
#include <stdint.h>

enum tl_arrivals_kind {
    TL_ARRIVALS_POISSON, /* independent of one another */
    TL_ARRIVALS_GAMMA,   /* gaps with a coefficient of variation: above 1 in bursts, below 1 more regular than chance */
    TL_ARRIVALS_EVEN,    /* at equal distances */
    TL_ARRIVALS_TRACE,   /* at given times */
};

struct tl_arrivals {
    enum tl_arrivals_kind kind;
    double rate;      /* a second; not of TRACE */
    double variation; /* GAMMA */
    uint64_t *times;  /* TRACE: ns, ascending */
    size_t count;
};

struct tl_arrivals_state {
    uint64_t random;
    double at; /* s */
    size_t next;
};

void tl_arrivals_begin(struct tl_arrivals_state *state, uint64_t seed);
/* The next arrival in ns from 0; UINT64_MAX: no more come. */
uint64_t tl_arrivals_next(const struct tl_arrivals *arrivals, struct tl_arrivals_state *state);

/* Evenly in 0..1, without 1; moves the state on. */
double tl_arrivals_draw(uint64_t *random);

#endif

/* random_test_support.h: random graphs that verify, for tests of properties. Every primitive and
 * every kind of region occurs, regions inside regions too. The same seed gives the same graph. */
#ifndef TL_GRAPH_RANDOM_TEST_SUPPORT_H
#define TL_GRAPH_RANDOM_TEST_SUPPORT_H

#include "graph/graph.h"

struct tl_random_shape {
    unsigned nodes;   /* about so many in the root body; each body inside has up to 4 */
    unsigned nesting; /* most regions inside each other */
};

/* A small generator of its own, so that seeds mean the same everywhere. */
struct tl_random {
    uint64_t state;
};
uint64_t tl_random_next(struct tl_random *random);
uint32_t tl_random_below(struct tl_random *random, uint32_t bound); /* 0 when bound is 0 */
bool tl_random_chance(struct tl_random *random, uint32_t percent);

/* Returns owned. Its parameters: question:text, documents:document[], queries:text[], index:index,
 * call:json, texts:text[][]. */
struct tl_graph *tl_random_graph(uint64_t seed, const struct tl_random_shape *shape);

#endif

/* mutate.h: deliberate bugs of passes, put into a graph after the passes, to prove that the check finds them. */
#ifndef TL_TESTS_EQUIVALENCE_MUTATE_H
#define TL_TESTS_EQUIVALENCE_MUTATE_H

#include "graph/graph.h"

#define MUTATIONS 11
const char *mutation_name(size_t mutation);
const char *mutation_description(size_t mutation);
/* Puts one in at a random place. False when there is no place for it. */
bool mutate(struct tl_graph *graph, size_t mutation, uint64_t seed);

#endif

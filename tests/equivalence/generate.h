/* generate.h: random workflows as graphs that can be executed, and inputs for them.
 *
 * Unlike those of graph/random_test_support.h these compute something: templates are valid, what is searched has
 * been filled, and the result is defined whatever the timing, because whatever changes a collection stands in a
 * defined order (by data, control or order edges) to whatever uses it. Everything computed is a result, so a
 * difference anywhere shows. The same seed gives the same graph and inputs. */
#ifndef TL_TESTS_EQUIVALENCE_GENERATE_H
#define TL_TESTS_EQUIVALENCE_GENERATE_H

#include "base/value.h"
#include "graph/graph.h"

struct generated {
    struct tl_graph *graph;
    bool changes_world; /* it changes a collection that other runs see: one run at a time, one store */
    struct tl_value *inputs[8];
    size_t input_count;
};

/* Engine names in the graph are those of capabilities: "documents", "embed", "rerank", "store", "llm", "web", "tool". */
void generate(uint64_t seed, struct generated *out);
void generated_fini(struct generated *generated);

#endif

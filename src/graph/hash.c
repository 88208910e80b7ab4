/* hash.c: the structural hash is the hash of the text form: equal exactly when the texts are,
 * by construction, so that what is printed and what is keyed can never disagree. */
#include "base/hash.h"

#include "graph/graph.h"

uint64_t tl_graph_hash(const struct tl_graph *graph) {
    struct tl_str text = TL_STR_INIT;
    tl_graph_print(graph, &text);
    uint64_t hash = tl_hash_bytes(text.data, text.length, 0);
    tl_str_fini(&text);
    return hash;
}

/* graph_test_support.h: graphs that tests write as text. */
#ifndef TL_GRAPH_GRAPH_TEST_SUPPORT_H
#define TL_GRAPH_GRAPH_TEST_SUPPORT_H

#include "graph/graph.h"

/* Returns owned; fails the test, with all findings, when the text is no graph. Does not verify. */
struct tl_graph *tl_graph_test_parse(const char *text);

#endif

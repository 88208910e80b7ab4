/* graph_test_support.c: see graph_test_support.h. */
#include "graph/graph_test_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

struct tl_graph *tl_graph_test_parse(const char *text) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "graph");
    struct tl_graph *graph = tl_graph_parse(text, &findings);
    if (!graph) {
        struct tl_str report = TL_STR_INIT;
        tl_diagnostics_print(&findings, &report);
        fail_msg("%s\n%s", text, report.data);
    }
    tl_diagnostics_fini(&findings);
    return graph;
}

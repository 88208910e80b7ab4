/* plan_test_support.c: see plan_test_support.h. */
#include "plan/plan_test_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph/graph_test_support.h"

struct tl_plan *tl_plan_test_parse(const char *text) {
    struct tl_plan *plan = NULL;
    struct tl_error error = {.message = ""};
    if (tl_plan_freeze(tl_graph_test_parse(text), NULL, &plan, &error) != TL_OK)
        fail_msg("%s", error.message);
    return plan;
}

/* plan_test_support.h: plans of graphs that tests write as text. */
#ifndef TL_PLAN_PLAN_TEST_SUPPORT_H
#define TL_PLAN_PLAN_TEST_SUPPORT_H

#include "plan/plan.h"

/* Freezes the graph, with default predictions. Returns owned; fails the test when the text is no graph, or it no plan. */
struct tl_plan *tl_plan_test_parse(const char *text);

#endif

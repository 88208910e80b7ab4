/* figures.h: the figures of the page; for this folder only. Each appends a <figure>. */
#ifndef TL_SCENARIO_FIGURES_H
#define TL_SCENARIO_FIGURES_H

#include "scenario/result.h"

void tl_figure_latencies(const struct tl_scenario_result *result, struct tl_str *out);
void tl_figure_over_time(const struct tl_scenario_result *result, struct tl_str *out);
void tl_figure_queues(const struct tl_scenario_result *result, struct tl_str *out);
void tl_figure_in_flight(const struct tl_scenario_result *result, struct tl_str *out);
void tl_figure_utilisation(const struct tl_scenario_result *result, struct tl_str *out);
void tl_figure_gantt(const struct tl_scenario_result *result, struct tl_str *out);

#endif

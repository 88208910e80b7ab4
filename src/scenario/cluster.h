/* cluster.h: from a configuration's engines to a simulation; for this folder only. */
#ifndef TL_SCENARIO_CLUSTER_H
#define TL_SCENARIO_CLUSTER_H

#include "scenario/result.h"

/* Adds devices, engines and faults to the sim, and a place for each in the result. Engines that cannot be simulated are
 * left out: see tl_cluster_check. */
enum tl_status tl_cluster_build(const struct tl_scenario *scenario, const struct tl_cost *measured, struct tl_sim *sim,
                                struct tl_scenario_result *result, struct tl_error *error);
/* Whether engines other than emulated ones are simulated: then what was measured says how long work takes. */
bool tl_cluster_is_measured(const struct tl_scenario *scenario, const struct tl_cost *measured);
/* TL_ERR_INVALID when the plan has work for an engine that was left out. Marks those that it has work for. */
enum tl_status tl_cluster_check(const struct tl_scenario *scenario, const struct tl_cost *measured,
                                const struct tl_plan *plan, struct tl_scenario_result *result, struct tl_error *error);

#endif

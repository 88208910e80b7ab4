/* scenario_impl.h: what the files that read scenarios share; for this folder only. */
#ifndef TL_SCENARIO_SCENARIO_IMPL_H
#define TL_SCENARIO_SCENARIO_IMPL_H

#include "scenario/reader.h"
#include "scenario/scenario.h"

/* ---- read_load.c ---- */
void tl_scenario_read_load(struct reader *reader, struct tl_scenario *scenario,
                           const struct tl_scenario_options *options, const struct tl_yaml_node *node);

/* ---- read_fault.c: after the configuration ---- */
void tl_scenario_read_fault(struct reader *reader, struct tl_scenario *scenario, const struct tl_yaml_node *node);

/* ---- measured.c ---- */
/* Settings of an emulated engine that stands for an instance of the configured one. Owned. TL_ERR_INVALID: it is no
 * emulated one, and `cost` has not measured it. */
enum tl_status tl_scenario_emulate(const struct tl_config_engine *engine, uint32_t instance,
                                   const struct tl_cost *cost, json_t **settings, struct tl_error *error);

/* ---- plan.c ---- */
/* The plan of a load's queries when `runs` of them are under way at once. */
enum tl_status tl_scenario_plan(const struct tl_scenario *scenario, const struct tl_scenario_load *load, uint32_t runs,
                                struct tl_cost *cost, struct tl_plan **plan, struct tl_error *error);

/* ---- values.c ---- */
/* What a query brings for a parameter of the plan; NULL when nothing of its type can be made up. `salt` makes texts
 * differ. */
struct tl_value *tl_scenario_value(const struct tl_scenario_load *load, struct tl_type type, uint64_t salt);

#endif

/* costs.h: the cost model of a configuration. */
#ifndef TL_RUNTIME_COSTS_H
#define TL_RUNTIME_COSTS_H

#include "base/str.h"
#include "cost/cost.h"
#include "runtime/config.h"

/* Returns owned. `path`: the profile, "" for none; it need not be there. What of it is not used, and why, is appended
 * to `notices`, a line each. */
struct tl_cost *tl_runtime_costs(const struct tl_config *config, const char *path, struct tl_str *notices);

#endif

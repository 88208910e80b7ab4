/* profiler.h: measures what an engine's work takes on this machine, fits the models of cost/cost.h to it, and compares
 * the models with fresh measurements. docs/profiles.md says what is measured and what the file holds.
 *
 * Every point is measured several times; the rounds go through all points of an engine in another order each, so that
 * a disturbance of some seconds spoils one measurement of many points and not all of one. Disturbances only add time,
 * so a point's time is the lower quartile of its measurements. */
#ifndef TL_PROFILER_PROFILER_H
#define TL_PROFILER_PROFILER_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "cost/cost.h"
#include "teola/status.h"

struct tl_profiler_engine {
    const char *name, *type, *device;
    const json_t *settings;   /* as the engine is created with; borrowed */
    const json_t *configured; /* as written: what the measurements hold for */
    uint32_t dimension;       /* of the vectors that it stores, if it does */
};

struct tl_profiler_options {
    uint64_t budget; /* ns for the engine; at least one round is made */
    uint64_t salt;   /* another one: other texts */
    void *context;
    void (*progress)(void *context, const char *engine, double share); /* NULL: not wanted */
    bool (*stop)(void *context);                                       /* NULL: never */
};

/* What `engine` of the profile becomes: returned owned. TL_ERR_UNSUPPORTED: there is nothing to measure on this
 * machine, and why; TL_ERR_CANCELLED: stopped. */
enum tl_status tl_profiler_measure(const struct tl_profiler_engine *engine, const struct tl_profiler_options *options,
                                   json_t **part, struct tl_error *error);

/* Measures points that no model was fitted to and compares them with what `cost` predicts:
 * {"embed": {"median_error": share, "spread": share, "points": [{..., "ms", "predicted_ms"}]}}; returned owned. */
enum tl_status tl_profiler_check(const struct tl_profiler_engine *engine, const struct tl_cost *cost,
                                 const struct tl_profiler_options *options, json_t **report, struct tl_error *error);

/* How much the measurements of the same point differ, at the median of an engine's points: above TL_PROFILER_NOISY the
 * machine was busy with something else, and the errors mean little. *samples: how often the point was measured that was
 * measured least. */
double tl_profiler_spread(const json_t *part, size_t *samples);
#define TL_PROFILER_NOISY 0.1
enum { TL_PROFILER_ENOUGH = 3 }; /* measurements of a point, below which the spread says nothing */

/* Measured points and fitted models of all engines of a profile. Appends a whole SVG file. */
void tl_profiler_draw(const json_t *profile, struct tl_str *svg);

#endif

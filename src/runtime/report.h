/* report.h: what a run did, primitive by primitive: recorded by the loop as items end, given out
 * as JSON (see "Results" in teola/teola.h), as a timeline in text, as a trace file. */
#ifndef TL_RUNTIME_REPORT_H
#define TL_RUNTIME_REPORT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "engine/engine_impl.h"

/* One primitive that an engine executed. Times in ns after the run was submitted. */
struct tl_report_item {
    char *label;          /* "answer/fold[1]/decode"; owned */
    const char *op;       /* name of the primitive */
    const char *engine;   /* instance: "llm", "llm#2"; lives as long as the runtime */
    uint64_t ready;       /* its last input was there */
    uint64_t start;       /* handed to the engine */
    uint64_t end;         /* its outcome was reported */
    uint32_t batch;       /* items with the same number on the same engine were handed over together */
    uint32_t batch_items; /* how many that were */
    bool failed;
    const char *reason;   /* why the scheduler gave it out then: "first in order"; static; NULL: not known */
    struct tl_usage usage;
};

/* What stands for the engine of results that no engine computed for the run. */
#define TL_REPORT_MEMORY "memory"

struct tl_report {
    struct tl_report_item *items; /* in order of their ends */
    size_t count, capacity;
    struct tl_usage total; /* units, batch_units unused */
    uint64_t units_remembered; /* texts, pairs, searches, ... that no engine had to compute for this run */
    double ms_saved;           /* predicted: what they would have taken */
    json_t *notices;       /* array of strings; NULL: none */
};

void tl_report_init(struct tl_report *report);
void tl_report_fini(struct tl_report *report);
/* Appends; copies the label. */
void tl_report_add(struct tl_report *report, const struct tl_report_item *item);
/* `units` results of a primitive came from memory. Times as of an item. */
void tl_report_add_remembered(struct tl_report *report, const char *label, const char *op, uint64_t units,
                              uint64_t ready, uint64_t end, double ms_saved);
json_t *tl_report_items_json(const struct tl_report *report); /* returns owned */
json_t *tl_report_usage_json(const struct tl_report *report); /* returns owned */

/* Where the time went, as text: one row for a primitive (or for many of the same kind), in order of
 * start, with a bar; then the time of each engine. `result` is a run's result with "items".
 * Rows are at most 100 columns wide. */
void tl_report_timeline(const json_t *result, bool ascii, struct tl_str *out);

/* The same for chrome://tracing and ui.perfetto.dev: {"traceEvents": [...]}; returns owned. */
json_t *tl_report_trace(const json_t *result);

#endif

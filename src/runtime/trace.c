/* trace.c: a run's result as a trace in Chrome's JSON format, for ui.perfetto.dev and
 * chrome://tracing. One lane for each engine instance; items of one engine that overlap (a batch)
 * get lanes of their own below it, so that every span is seen. */
#include <string.h>

#include "base/mem.h"
#include "runtime/report.h"

#define MOST_LANES 256

/* A row of the trace viewer. */
struct lane {
    const char *engine;
    double until; /* µs: end of its last span */
};

struct trace {
    json_t *events;
    struct lane lanes[MOST_LANES];
    size_t lane_count;
};

static void name_lane(struct trace *trace, size_t lane, const char *engine, size_t nth) {
    struct tl_str name = TL_STR_INIT;
    tl_str_puts(&name, engine);
    if (nth > 0)
        tl_str_printf(&name, " (%zu)", nth + 1);
    json_array_append_new(trace->events,
                          json_pack("{s:s, s:s, s:i, s:i, s:{s:s}}", "name", "thread_name", "ph", "M", "pid", 1, "tid",
                                    (int)lane + 1, "args", "name", name.data));
    tl_str_fini(&name);
}

/* The first lane of the engine that is free at `start`; a new one when there is none. */
static size_t lane_for(struct trace *trace, const char *engine, double start, double end) {
    size_t nth = 0, last = 0;
    for (size_t i = 0; i < trace->lane_count; i++) {
        struct lane *lane = &trace->lanes[i];
        if (strcmp(lane->engine, engine) != 0)
            continue;
        if (lane->until <= start) {
            lane->until = end;
            return i;
        }
        nth++;
        last = i;
    }
    if (trace->lane_count == MOST_LANES)
        return last;
    trace->lanes[trace->lane_count] = (struct lane){engine, end};
    name_lane(trace, trace->lane_count, engine, nth);
    return trace->lane_count++;
}

static void add_span(struct trace *trace, const json_t *item) {
    const char *engine = json_string_value(json_object_get(item, "engine"));
    double start = json_number_value(json_object_get(item, "start_ms")) * 1000;
    double end = json_number_value(json_object_get(item, "end_ms")) * 1000;
    size_t lane = lane_for(trace, engine ? engine : "", start, end);
    json_t *args = json_object();
    const char *name;
    json_t *value;
    json_object_foreach((json_t *)item, name, value) {
        if (strcmp(name, "label") != 0 && strcmp(name, "engine") != 0)
            json_object_set(args, name, value);
    }
    json_array_append_new(trace->events,
                          json_pack("{s:O, s:O, s:s, s:f, s:f, s:i, s:i, s:o}", "name", json_object_get(item, "label"),
                                    "cat", json_object_get(item, "primitive"), "ph", "X", "ts", start, "dur",
                                    end - start, "pid", 1, "tid", (int)lane + 1, "args", args));
}

json_t *tl_report_trace(const json_t *result) {
    struct trace *trace = tl_mem_zalloc(sizeof *trace);
    trace->events = json_array();
    json_t *workflow = json_object_get(result, "workflow");
    json_array_append_new(trace->events,
                          json_pack("{s:s, s:s, s:i, s:{s:s}}", "name", "process_name", "ph", "M", "pid", 1, "args",
                                    "name", workflow ? json_string_value(workflow) : "teola"));
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(result, "items"), index, item) add_span(trace, item);
    json_t *object = json_pack("{s:o, s:s}", "traceEvents", trace->events, "displayTimeUnit", "ms");
    tl_mem_free(trace);
    return object;
}

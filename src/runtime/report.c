/* report.c: recording what a run did, and giving it out as JSON. */
#include "runtime/report.h"

#include "base/mem.h"

void tl_report_init(struct tl_report *report) {
    *report = (struct tl_report){0};
}

void tl_report_fini(struct tl_report *report) {
    for (size_t i = 0; i < report->count; i++)
        tl_mem_free(report->items[i].label);
    tl_mem_free(report->items);
    json_decref(report->notices);
    tl_report_init(report);
}

void tl_report_add(struct tl_report *report, const struct tl_report_item *item) {
    report->items = tl_mem_grow(report->items, &report->capacity, report->count + 1, sizeof *report->items);
    struct tl_report_item *added = &report->items[report->count++];
    *added = *item;
    added->label = tl_mem_strdup(item->label);
    report->total.tokens_in += item->usage.tokens_in;
    report->total.tokens_reused += item->usage.tokens_reused;
    report->total.tokens_loaded += item->usage.tokens_loaded;
    report->total.tokens_computed += item->usage.tokens_computed;
    report->total.tokens_out += item->usage.tokens_out;
    report->total.tokens_forced += item->usage.tokens_forced;
    report->total.tokens_drafted += item->usage.tokens_drafted;
    report->total.tokens_accepted += item->usage.tokens_accepted;
    report->total.tokens_asked += item->usage.tokens_asked;
    report->total.tokens_refused += item->usage.tokens_refused;
    report->total.calls += item->usage.calls;
    report->total.tokens_trimmed += item->usage.tokens_trimmed;
}

void tl_report_add_remembered(struct tl_report *report, const char *label, const char *op, uint64_t units,
                              uint64_t ready, uint64_t end, double ms_saved) {
    struct tl_report_item item = {.label = (char *)label,
                                  .op = op,
                                  .engine = TL_REPORT_MEMORY,
                                  .ready = ready,
                                  .start = ready,
                                  .end = end,
                                  .batch_items = 1,
                                  .reason = "known, or computed for another primitive",
                                  .usage = {.units = units}};
    tl_report_add(report, &item);
    report->units_remembered += units;
    report->ms_saved += ms_saved;
}

static void set_count(json_t *object, const char *name, uint64_t count) {
    json_object_set_new(object, name, json_integer((json_int_t)count));
}

static void set_tokens(json_t *object, const struct tl_usage *usage) {
    set_count(object, "tokens_in", usage->tokens_in);
    set_count(object, "tokens_reused", usage->tokens_reused);
    set_count(object, "tokens_loaded", usage->tokens_loaded);
    set_count(object, "tokens_computed", usage->tokens_computed);
    set_count(object, "tokens_out", usage->tokens_out);
    set_count(object, "tokens_forced", usage->tokens_forced);
    set_count(object, "tokens_drafted", usage->tokens_drafted);
    set_count(object, "tokens_accepted", usage->tokens_accepted);
    set_count(object, "tokens_asked", usage->tokens_asked);
    set_count(object, "tokens_refused", usage->tokens_refused);
    set_count(object, "calls", usage->calls);
    set_count(object, "tokens_trimmed", usage->tokens_trimmed);
}

json_t *tl_report_usage_json(const struct tl_report *report) {
    json_t *usage = json_object();
    set_tokens(usage, &report->total);
    set_count(usage, "units_remembered", report->units_remembered);
    json_object_set_new(usage, "ms_saved", json_real(report->ms_saved));
    return usage;
}

static void set_ms(json_t *object, const char *name, uint64_t ns) {
    json_object_set_new(object, name, json_real((double)ns / 1e6));
}

json_t *tl_report_items_json(const struct tl_report *report) {
    json_t *items = json_array();
    for (size_t i = 0; i < report->count; i++) {
        const struct tl_report_item *from = &report->items[i];
        json_t *item = json_object();
        json_object_set_new(item, "label", json_string(from->label));
        json_object_set_new(item, "primitive", json_string(from->op));
        json_object_set_new(item, "engine", json_string(from->engine));
        set_ms(item, "ready_ms", from->ready);
        set_ms(item, "start_ms", from->start);
        set_ms(item, "end_ms", from->end);
        set_count(item, "batch", from->batch);
        set_count(item, "batch_items", from->batch_items);
        if (from->reason && from->reason[0])
            json_object_set_new(item, "reason", json_string(from->reason));
        set_count(item, "batch_units", from->usage.batch_units);
        set_count(item, "units", from->usage.units);
        set_tokens(item, &from->usage);
        if (from->failed)
            json_object_set_new(item, "failed", json_true());
        json_array_append_new(items, item);
    }
    return items;
}

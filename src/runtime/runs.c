/* runs.c: the record of a run, from submit until its result is fetched; results as JSON. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "runtime/runtime_impl.h"

struct tl_run_record *tl_runtime_record_create(void) {
    struct tl_run_record *record = tl_mem_zalloc(sizeof *record);
    tl_str_init(&record->text);
    tl_report_init(&record->report);
    return record;
}

void tl_runtime_record_destroy(struct tl_run_record *record) {
    if (!record)
        return;
    for (size_t i = 0; record->inputs && i < record->input_count; i++)
        tl_value_unref(record->inputs[i]);
    tl_mem_free(record->inputs);
    tl_plan_unref(record->plan);
    tl_str_fini(&record->text);
    tl_report_fini(&record->report);
    tl_mem_free(record->tenant);
    tl_mem_free(record->result);
    tl_mem_free(record->message);
    tl_mem_free(record);
}

struct tl_run_record *tl_runtime_live_run(struct tl_runtime *runtime, uint64_t id) {
    pthread_mutex_lock(&runtime->lock);
    struct tl_run_record *record = tl_id_table_get(&runtime->runs, id);
    if (record && record->finished)
        record = NULL;
    pthread_mutex_unlock(&runtime->lock);
    return record;
}

void tl_runtime_run_delta(struct tl_run_record *record, const char *text, size_t length) {
    if (record->first_text == 0)
        record->first_text = tl_clock_now();
    tl_str_append(&record->text, text, length);
    if (record->delta)
        record->delta(record->context, record->id, text, length);
}

void tl_runtime_run_notice(struct tl_run_record *record, const char *label, const char *message) {
    struct tl_str text = TL_STR_INIT;
    tl_str_printf(&text, "%s: %s", label, message);
    if (!record->report.notices)
        record->report.notices = json_array();
    json_t *string = json_string(text.data);
    if (string)
        json_array_append_new(record->report.notices, string);
    if (record->notice)
        record->notice(record->context, record->id, text.data);
    tl_str_fini(&text);
}

/* ---- results ---- */

static const char *outcome_name(enum tl_status status) {
    switch (status) {
    case TL_OK: return "done";
    case TL_ERR_CANCELLED: return "cancelled";
    case TL_ERR_DEADLINE: return "expired";
    case TL_ERR_BUSY: return "refused";
    default: return "failed";
    }
}

static json_t *outputs_json(const struct tl_plan_body *root, struct tl_value **outputs, size_t count) {
    json_t *object = json_object();
    for (size_t i = 0; i < count; i++)
        json_object_set_new(object, root->result_names[i], tl_value_to_json(outputs[i]));
    return object;
}

static json_t *timings_json(const struct tl_run_record *record, uint64_t now) {
    double total = (double)(now - record->submitted) / 1e6;
    json_t *timings = json_pack("{s:f, s:f, s:f}", "total_ms", total, "loading_ms", (double)record->loading / 1e6,
                                "overhead_ms", (double)record->overhead / 1e6);
    if (record->first_text)
        json_object_set_new(timings, "first_text_ms",
                            json_real((double)(record->first_text - record->submitted) / 1e6));
    return timings;
}

static char *result_text(const struct tl_run_record *record, enum tl_status status, const char *message,
                         struct tl_value **outputs, size_t count) {
    uint64_t now = tl_clock_now();
    json_t *result = json_pack("{s:I, s:s, s:s}", "run", (json_int_t)record->id, "workflow", record->workflow, "status",
                               outcome_name(status));
    if (status != TL_OK)
        json_object_set_new(result, "error",
                            json_pack("{s:s, s:s}", "status", tl_status_name(status), "message", message));
    else
        json_object_set_new(result, "outputs", outputs_json(record->plan->root, outputs, count));
    if (record->retry_after)
        json_object_set_new(result, "retry_after_ms", json_integer((json_int_t)record->retry_after));
    json_t *text = json_stringn(record->text.data, record->text.length);
    json_object_set_new(result, "text", text ? text : json_string(""));
    json_object_set_new(result, "notices", record->report.notices ? json_incref(record->report.notices) : json_array());
    json_object_set_new(result, "usage", tl_report_usage_json(&record->report));
    json_object_set_new(result, "timings", timings_json(record, now));
    if (record->flags & TL_REQUEST_ITEMS)
        json_object_set_new(result, "items", tl_report_items_json(&record->report));
    char *dumped = json_dumps(result, JSON_COMPACT | JSON_REAL_PRECISION(9));
    json_decref(result);
    char *owned = tl_mem_strdup(dumped ? dumped : "{}");
    free(dumped);
    return owned;
}

void tl_runtime_run_finished(struct tl_runtime *runtime, struct tl_run_record *record, enum tl_status status,
                             const char *message, struct tl_value **outputs, size_t count) {
    uint64_t before = tl_clock_now();
    atomic_fetch_sub_explicit(&runtime->live, 1, memory_order_relaxed);
    char *result = result_text(record, status, message, outputs, count);
    for (size_t i = 0; i < count; i++)
        tl_value_unref(outputs[i]);
    tl_log(TL_LOG_DEBUG, "run %llu ended (%s), result made in %llu us", (unsigned long long)record->id,
           tl_status_name(status), (unsigned long long)(tl_clock_now() - before) / 1000);
    if (record->done) {
        record->done(record->context, record->id, status, result);
        tl_mem_free(result);
        pthread_mutex_lock(&runtime->lock);
        tl_id_table_remove(&runtime->runs, record->id);
        pthread_mutex_unlock(&runtime->lock);
        tl_runtime_record_destroy(record);
        return;
    }
    pthread_mutex_lock(&runtime->lock);
    record->result = result;
    record->status = status;
    record->message = status == TL_OK ? NULL : tl_mem_strdup(message);
    record->finished = true;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

/* json.c: a result as JSON; docs/sim.md lists the keys. */
#include <stdio.h>

#include "base/mem.h"
#include "scenario/result.h"

static double per(double part, double whole) {
    return whole > 0 ? part / whole : 0;
}

static json_t *whole(uint64_t number) {
    return json_integer((json_int_t)number);
}

static json_t *times(const struct numbers *numbers) {
    struct numbers sorted = tl_numbers_sorted(numbers);
    json_t *object = json_pack("{s:I, s:f, s:f, s:f, s:f, s:f}", "count", (json_int_t)sorted.count, "mean",
                               tl_numbers_mean(numbers), "p50", tl_numbers_quantile(&sorted, 0.5), "p95",
                               tl_numbers_quantile(&sorted, 0.95), "p99", tl_numbers_quantile(&sorted, 0.99), "max",
                               tl_numbers_quantile(&sorted, 1));
    tl_mem_free(sorted.items);
    return object;
}

static json_t *load_json(const struct tl_scenario_result *result, const struct load_result *load) {
    double seconds = tl_result_seconds(result);
    json_t *object = json_pack("{s:s, s:o}", "name", load->name, "arrived", whole(load->arrived));
    for (size_t i = 0; i < ENDINGS; i++)
        json_object_set_new(object, tl_ending_names[i], whole(load->endings[i]));
    json_object_set_new(object, "latency_s", times(&load->latencies));
    json_object_set_new(object, "first_text_s", times(&load->first));
    json_object_set_new(object, "throughput_per_s", json_real(per((double)load->endings[DONE], seconds)));
    json_object_set_new(object, "goal_s", load->goal ? json_real((double)load->goal / 1e9) : json_null());
    json_object_set_new(object, "goodput_per_s",
                        load->goal ? json_real(per((double)load->within_goal, seconds)) : json_null());
    json_object_set_new(object, "first_failure", load->failure ? json_string(load->failure) : json_null());
    return object;
}

static json_t *engine_json(const struct tl_scenario_result *result, const struct engine_result *engine) {
    double ns = tl_result_seconds(result) * 1e9, quanta = (double)engine->quanta;
    json_t *object = json_pack("{s:s, s:I}", "name", engine->name, "instances", (json_int_t)engine->instances);
    json_object_set_new(object, "queue_mean", json_real(per(engine->queued, ns)));
    json_object_set_new(object, "queue_max", whole(engine->queued_most));
    json_object_set_new(object, "wait_ms_mean", json_real(per(engine->waited, (double)engine->items) / 1e6));
    json_object_set_new(object, "primitives", whole(engine->items));
    json_object_set_new(object, "failed", whole(engine->failed));
    json_object_set_new(object, "quanta", whole(engine->quanta));
    json_object_set_new(object, "batches", whole(engine->batches));
    json_object_set_new(object, "batch_mean", json_real(per((double)engine->held, quanta)));
    json_object_set_new(object, "tokens_in", whole(engine->tokens_in));
    json_object_set_new(object, "tokens_reused", whole(engine->tokens_reused));
    json_object_set_new(object, "tokens_computed", whole(engine->tokens_computed));
    json_object_set_new(object, "tokens_out", whole(engine->tokens_out));
    return object;
}

static double utilisation(const struct tl_scenario_result *result, double busy) {
    double share = per(busy, tl_result_seconds(result) * 1e9);
    return share < 1 ? share : 1;
}

static json_t *engines_json(const struct tl_scenario_result *result, json_t *instances) {
    json_t *engines = json_array();
    for (size_t i = 0; i < result->engine_count; i++) {
        const struct engine_result *engine = &result->engines[i];
        if (!engine->used)
            continue;
        json_array_append_new(engines, engine_json(result, engine));
        for (uint32_t k = 0; k < engine->instances; k++) {
            const struct instance_result *instance = &result->instances[engine->first + k];
            const char *device =
                instance->device == TL_SCHED_NO_DEVICE ? NULL : result->devices[instance->device].name;
            json_array_append_new(instances,
                                  json_pack("{s:s, s:I, s:s?, s:f, s:I, s:I}", "engine", engine->name, "instance",
                                            (json_int_t)k, "device", device, "utilisation",
                                            utilisation(result, instance->busy), "quanta",
                                            (json_int_t)instance->quanta, "primitives", (json_int_t)instance->items));
        }
    }
    return engines;
}

static json_t *devices_json(const struct tl_scenario_result *result) {
    json_t *devices = json_array();
    for (size_t i = 0; i < result->device_count; i++)
        if (result->devices[i].used)
            json_array_append_new(devices, json_pack("{s:s, s:f}", "name", result->devices[i].name, "utilisation",
                                                     utilisation(result, result->devices[i].busy)));
    return devices;
}

static json_t *scheduler_json(const struct tl_scenario_result *result) {
    const struct tl_sched_counters *counters = &result->counters;
    char trace[24];
    snprintf(trace, sizeof trace, "%016llx", (unsigned long long)result->trace);
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:s}", "primitives_started", (json_int_t)counters->items_started,
                     "primitives_failed", (json_int_t)counters->items_failed, "primitives_retried",
                     (json_int_t)counters->items_retried, "builtins", (json_int_t)counters->builtins, "batches",
                     (json_int_t)counters->batches, "quanta", (json_int_t)counters->quanta, "trace_hash", trace);
}

static json_t *memo_json(const struct tl_memo_counters *memo) {
    return json_pack("{s:I, s:I, s:I, s:I, s:f}", "hits", (json_int_t)memo->hits, "shared", (json_int_t)memo->shared,
                     "misses", (json_int_t)memo->misses, "evictions", (json_int_t)memo->evictions, "ms_saved",
                     memo->ms_saved);
}

static json_t *speed_json(const struct tl_scenario_result *result) {
    double cpu = (double)result->cpu_ns / 1e9;
    return json_pack("{s:f, s:f, s:f, s:I}", "cpu_s", cpu, "virtual_s_per_cpu_s",
                     per((double)result->end / 1e9, cpu), "us_per_primitive",
                     per(cpu * 1e6, tl_result_primitives(result)), "peak_memory_bytes", (json_int_t)result->memory);
}

json_t *tl_scenario_to_json(const struct tl_scenario_result *result) {
    const struct tl_scenario *scenario = result->scenario;
    json_t *root = json_pack("{s:s, s:s, s:I, s:f, s:f, s:f}", "scenario", scenario->file, "policy", scenario->policy,
                             "seed", (json_int_t)scenario->seed, "counted_from_s", (double)result->from / 1e9,
                             "counted_to_s", (double)result->to / 1e9, "end_s", (double)result->end / 1e9);
    json_t *loads = json_array(), *instances = json_array();
    for (size_t i = 0; i < result->load_count; i++)
        json_array_append_new(loads, load_json(result, &result->loads[i]));
    json_object_set_new(root, "loads", loads);
    json_object_set_new(root, "all", load_json(result, &result->all));
    json_object_set_new(root, "engines", engines_json(result, instances));
    json_object_set_new(root, "instances", instances);
    json_object_set_new(root, "devices", devices_json(result));
    json_object_set_new(root, "in_flight_mean",
                        json_real(per(result->in_flight, tl_result_seconds(result) * 1e9)));
    json_object_set_new(root, "in_flight_max", whole(result->in_flight_most));
    json_object_set_new(root, "memo", memo_json(&result->counters.memo));
    json_object_set_new(root, "scheduler", scheduler_json(result));
    json_object_set_new(root, "speed", speed_json(result));
    return root;
}

/* cluster.c: see cluster.h. */
#include "scenario/cluster.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "scenario/scenario_impl.h"

/* Engines that name the same device share it. */
static uint32_t device_called(struct tl_sim *sim, struct tl_scenario_result *result, const char *name) {
    for (size_t i = 0; i < result->device_count; i++)
        if (strcmp(result->devices[i].name, name) == 0)
            return (uint32_t)i;
    result->devices = tl_mem_grow(result->devices, &result->device_capacity, result->device_count + 1,
                                  sizeof *result->devices);
    result->devices[result->device_count++] = (struct device_result){.name = name};
    return tl_sim_add_device(sim, name);
}

static bool is_pool(const json_t *settings) {
    const char *executor = json_string_value(json_object_get(settings, "executor"));
    return executor && strcmp(executor, "pool") == 0;
}

static enum tl_status add_instance(const struct tl_config_engine *engine, uint32_t number,
                                   const struct tl_cost *measured, struct tl_sim *sim,
                                   struct tl_scenario_result *result, struct tl_error *error) {
    json_t *settings = NULL;
    uint32_t device = TL_SCHED_NO_DEVICE;
    enum tl_status status = tl_scenario_emulate(engine, number, measured, &settings, error);
    if (status == TL_OK && !is_pool(settings))
        device = device_called(sim, result, engine->devices[number % engine->device_count]);
    if (status == TL_OK)
        status = tl_sim_add_engine(sim, engine->name, settings, device, error);
    json_decref(settings);
    if (status != TL_OK)
        return status;
    result->instances = tl_mem_grow(result->instances, &result->instance_capacity, result->instance_count + 1,
                                    sizeof *result->instances);
    result->instances[result->instance_count++] =
        (struct instance_result){.engine = (uint32_t)result->engine_count, .number = number, .device = device};
    return TL_OK;
}

static enum tl_status add_engine(const struct tl_config_engine *engine, const struct tl_cost *measured,
                                 struct tl_sim *sim, struct tl_scenario_result *result, struct tl_error *error) {
    enum tl_status status = TL_OK;
    result->engines = tl_mem_grow(result->engines, &result->engine_capacity, result->engine_count + 1,
                                  sizeof *result->engines);
    result->engines[result->engine_count] = (struct engine_result){
        .name = engine->name, .first = (uint32_t)result->instance_count, .instances = engine->instances};
    for (uint32_t i = 0; i < engine->instances && status == TL_OK; i++)
        status = add_instance(engine, i, measured, sim, result, error);
    result->engine_count++;
    return status;
}

static struct engine_result *find_engine(const struct tl_scenario_result *result, const char *name) {
    for (size_t i = 0; i < result->engine_count; i++)
        if (strcmp(result->engines[i].name, name) == 0)
            return &result->engines[i];
    return NULL;
}

static void break_instances(const struct tl_scenario_fault *fault, struct tl_sim *sim,
                            const struct tl_scenario_result *result) {
    const struct engine_result *engine = find_engine(result, fault->engine);
    for (uint32_t i = 0; engine && i < engine->instances; i++) {
        struct tl_sim_fault what = fault->what;
        if (fault->instance != UINT32_MAX && fault->instance != i)
            continue;
        what.instance = engine->first + i;
        tl_sim_break(sim, &what);
    }
}

enum tl_status tl_cluster_build(const struct tl_scenario *scenario, const struct tl_cost *measured, struct tl_sim *sim,
                                struct tl_scenario_result *result, struct tl_error *error) {
    for (size_t i = 0; i < tl_config_engine_count(scenario->config); i++) {
        const struct tl_config_engine *engine = tl_config_engine(scenario->config, i);
        json_t *settings;
        if (tl_scenario_emulate(engine, 0, measured, &settings, NULL) != TL_OK)
            continue;
        json_decref(settings);
        enum tl_status status = add_engine(engine, measured, sim, result, error);
        if (status != TL_OK)
            return status;
    }
    for (size_t i = 0; i < scenario->fault_count; i++)
        break_instances(&scenario->faults[i], sim, result);
    return TL_OK;
}

bool tl_cluster_is_measured(const struct tl_scenario *scenario, const struct tl_cost *measured) {
    for (size_t i = 0; i < tl_config_engine_count(scenario->config); i++) {
        const struct tl_config_engine *engine = tl_config_engine(scenario->config, i);
        if (strcmp(engine->type, "emulated") != 0 && tl_cost_is_measured(measured, engine->name))
            return true;
    }
    return false;
}

enum tl_status tl_cluster_check(const struct tl_scenario *scenario, const struct tl_cost *measured,
                                const struct tl_plan *plan, struct tl_scenario_result *result, struct tl_error *error) {
    for (uint32_t i = 0; i < plan->engine_count; i++) {
        struct engine_result *engine = find_engine(result, plan->engines[i]);
        json_t *settings = NULL;
        if (!engine) {
            const struct tl_config_engine *config = tl_config_find_engine(scenario->config, plan->engines[i]);
            tl_scenario_emulate(config, 0, measured, &settings, error);
            json_decref(settings);
            return tl_error_prefix(error, "%s", scenario->file);
        }
        engine->used = true;
        for (uint32_t k = 0; k < engine->instances; k++) {
            uint32_t device = result->instances[engine->first + k].device;
            if (device != TL_SCHED_NO_DEVICE)
                result->devices[device].used = true;
        }
    }
    return TL_OK;
}

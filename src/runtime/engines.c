/* engines.c: the engines of the configuration as the runtime holds them: created and opened when
 * a run first needs them, each on its executor. */
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"
#include "runtime/runtime_impl.h"

static struct tl_runtime_device *device_of(struct tl_runtime *runtime, const char *name) {
    for (size_t i = 0; i < runtime->device_count; i++)
        if (strcmp(runtime->devices[i].name, name) == 0)
            return &runtime->devices[i];
    struct tl_runtime_device *device = &runtime->devices[runtime->device_count++];
    *device = (struct tl_runtime_device){.name = name, .number = tl_sched_add_device(runtime->sched, name)};
    return device;
}

void tl_runtime_engines_init(struct tl_runtime *runtime) {
    size_t count = tl_config_engine_count(runtime->config);
    runtime->engine_count = count;
    runtime->engines = tl_mem_zalloc((count + 1) * sizeof *runtime->engines);
    size_t devices = 0;
    for (size_t i = 0; i < count; i++)
        devices += tl_config_engine(runtime->config, i)->device_count;
    runtime->devices = tl_mem_zalloc((devices + 1) * sizeof *runtime->devices);
    for (size_t i = 0; i < count; i++) {
        struct tl_runtime_engine *engine = &runtime->engines[i];
        engine->config = tl_config_engine(runtime->config, i);
        engine->instances = tl_mem_zalloc(engine->config->instances * sizeof *engine->instances);
        for (uint32_t k = 0; k < engine->config->instances; k++) {
            struct tl_str name = TL_STR_INIT;
            tl_config_instance_name(engine->config, k, &name);
            engine->instances[k].name = tl_str_detach(&name);
            engine->instances[k].engine_name = engine->config->name;
            engine->instances[k].position = k;
            engine->instances[k].times =
                engine->config->own && k > 0 ? engine->instances[k].name : engine->config->name;
            engine->instances[k].device =
                device_of(runtime, engine->config->devices[k % engine->config->device_count]);
        }
    }
}

void tl_runtime_engines_fini(struct tl_runtime *runtime) {
    for (size_t i = 0; i < runtime->engine_count; i++) {
        struct tl_runtime_engine *engine = &runtime->engines[i];
        for (uint32_t k = 0; k < engine->config->instances; k++) {
            struct tl_instance *instance = &engine->instances[k];
            TL_ASSERT(!instance->engine);
            if (instance->kind != TL_EXECUTOR_DEVICE)
                tl_executor_destroy(instance->executor);
            json_decref(instance->settings);
            tl_mem_free(instance->name);
        }
        tl_mem_free(engine->instances);
    }
    for (size_t i = 0; i < runtime->device_count; i++)
        tl_executor_destroy(runtime->devices[i].executor);
    tl_mem_free(runtime->engines);
    tl_mem_free(runtime->devices);
}

struct tl_runtime_engine *tl_runtime_find_engine(struct tl_runtime *runtime, const char *name) {
    for (size_t i = 0; i < runtime->engine_count; i++)
        if (strcmp(runtime->engines[i].config->name, name) == 0)
            return &runtime->engines[i];
    return NULL;
}

static void prefix_where(const struct tl_runtime *runtime, const struct tl_config_engine *engine,
                         struct tl_error *error) {
    struct tl_str where = TL_STR_INIT;
    tl_config_where(runtime->config, engine->name, NULL, &where);
    tl_error_prefix(error, "%sengine '%s'", where.data, engine->name);
    tl_str_fini(&where);
}

/* Under the lock. An instance keeps its executor when opening is tried again. */
static void choose_executor(struct tl_runtime *runtime, struct tl_instance *instance) {
    struct tl_engine_description description = {0};
    instance->engine->ops->describe(instance->engine, &description);
    instance->kind = description.executor;
    if (instance->executor)
        return;
    if (instance->kind == TL_EXECUTOR_POOL) {
        instance->executor = tl_executor_create_pooled(runtime->pool, &runtime->inbox);
    } else if (instance->kind == TL_EXECUTOR_LOOP) {
        instance->executor = tl_executor_create_inline(&runtime->inbox);
    } else {
        if (!instance->device->executor)
            instance->device->executor = tl_executor_create_thread(instance->device->name, &runtime->inbox);
        instance->executor = instance->device->executor;
    }
}

/* Under the lock. */
static enum tl_status start_opening(struct tl_runtime *runtime, struct tl_runtime_engine *engine,
                                    const json_t *settings, struct tl_instance *instance, struct tl_error *error) {
    const struct tl_engine_ops *ops = tl_engine_find(engine->config->type);
    json_decref(instance->settings);
    instance->ops = ops;
    instance->settings = json_copy((json_t *)settings);
    if (engine->config->own)
        json_object_update(instance->settings, (json_t *)engine->config->own[instance->position]);
    tl_cost_fill_choices(tl_cost_choices(runtime->cost, instance->times), instance->settings);
    enum tl_status status = ops->create(instance->name, instance->settings, &instance->engine, error);
    if (status != TL_OK)
        return status;
    choose_executor(runtime, instance);
    instance->state = TL_INSTANCE_OPENING;
    tl_log(TL_LOG_INFO, "opening engine %s (%s)", instance->name, engine->config->type);
    struct tl_order order = {.kind = TL_ORDER_OPEN, .instance = instance};
    if (instance->kind == TL_EXECUTOR_LOOP)
        tl_runtime_post(runtime, &(struct tl_message){.kind = TL_MESSAGE_OPEN, .instance = instance});
    else
        tl_executor_order(instance->executor, &order);
    return TL_OK;
}

static enum tl_status open_engine(struct tl_runtime *runtime, struct tl_runtime_engine *engine,
                                  struct tl_error *error) {
    bool all_open = true;
    pthread_mutex_lock(&runtime->lock);
    for (uint32_t k = 0; k < engine->config->instances; k++)
        all_open = all_open && engine->instances[k].state == TL_INSTANCE_OPEN;
    pthread_mutex_unlock(&runtime->lock);
    if (all_open)
        return TL_OK;

    json_t *settings = NULL;
    enum tl_status status = tl_config_engine_settings(runtime->config, engine->config, &settings, error);
    pthread_mutex_lock(&runtime->lock);
    for (uint32_t k = 0; k < engine->config->instances && status == TL_OK; k++) {
        struct tl_instance *instance = &engine->instances[k];
        if (instance->state == TL_INSTANCE_CLOSED || instance->state == TL_INSTANCE_FAILED)
            status = start_opening(runtime, engine, settings, instance, error);
    }
    pthread_mutex_unlock(&runtime->lock);
    json_decref(settings);
    if (status != TL_OK)
        prefix_where(runtime, engine->config, error);
    return status;
}

/* Under the lock, which is released meanwhile. The reason when the instance could not be opened. */
static enum tl_status wait_for(struct tl_runtime *runtime, struct tl_instance *instance, struct tl_error *error) {
    while (instance->state == TL_INSTANCE_OPENING)
        pthread_cond_wait(&runtime->changed, &runtime->lock);
    if (instance->state != TL_INSTANCE_FAILED)
        return TL_OK;
    return tl_error_set(error, instance->error.status, "%s", instance->error.message);
}

enum tl_status tl_runtime_open_engines(struct tl_runtime *runtime, struct tl_runtime_engine *const *engines,
                                       size_t count, struct tl_error *error) {
    enum tl_status status = TL_OK;
    for (size_t i = 0; i < count && status == TL_OK; i++)
        status = open_engine(runtime, engines[i], error);
    /* Also when one could not even begin: none is left half open behind the caller's back. */
    pthread_mutex_lock(&runtime->lock);
    for (size_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < engines[i]->config->instances; k++) {
            bool first = status == TL_OK;
            enum tl_status opened = wait_for(runtime, &engines[i]->instances[k], first ? error : NULL);
            if (first && opened != TL_OK) {
                status = opened;
                prefix_where(runtime, engines[i]->config, error);
            }
        }
    pthread_mutex_unlock(&runtime->lock);
    return status;
}

static uint64_t hash_description(const struct tl_engine_description *description) {
    const uint64_t numbers[] = {
        description->capabilities, description->executor, description->batch_units, description->batch_tokens,
        description->sequences, description->context_tokens, description->dimension, description->streams,
        description->keeps_kv, description->keeps_prefixes,
    };
    return tl_hash_string(description->model_digest, tl_hash_bytes(numbers, sizeof numbers, 1));
}

/* Plans that were made for an engine of another description are not used any more. */
static void note_description(struct tl_runtime *runtime, struct tl_runtime_engine *engine,
                             const struct tl_engine_description *description) {
    uint64_t described = hash_description(description);
    if (engine->described != 0 && engine->described != described)
        atomic_fetch_add_explicit(&runtime->engines_version, 1, memory_order_release);
    engine->described = described;
}

void tl_runtime_engine_opened(struct tl_runtime *runtime, struct tl_instance *instance, enum tl_status status) {
    if (status == TL_OK) {
        struct tl_runtime_engine *engine = tl_runtime_find_engine(runtime, instance->engine_name);
        uint32_t device =
            instance->description.executor == TL_EXECUTOR_DEVICE ? instance->device->number : TL_SCHED_NO_DEVICE;
        instance->number = tl_sched_add_instance(runtime->sched, instance->engine_name, &instance->description, device,
                                                 instance->engine);
        if (instance->times != instance->engine_name)
            tl_sched_set_times(runtime->sched, instance->number, instance->times);
        runtime->by_number = tl_mem_grow(runtime->by_number, &runtime->number_capacity, instance->number + 1,
                                         sizeof(struct tl_instance *));
        runtime->by_number[instance->number] = instance;
        runtime->number_count = instance->number + 1;
        runtime->open_instances++;
        note_description(runtime, engine, &instance->description);
    }
    pthread_mutex_lock(&runtime->lock);
    instance->state = status == TL_OK ? TL_INSTANCE_OPEN : TL_INSTANCE_FAILED;
    pthread_cond_broadcast(&runtime->changed);
    pthread_mutex_unlock(&runtime->lock);
}

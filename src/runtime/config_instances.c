/* config_instances.c: the instances of an engine: how many there are, on which devices, and what each has of its own. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "runtime/config_internal.h"

#define MOST_INSTANCES 64

/* Settings that results depend on: where something is computed must make no difference, so they are the engine's. */
static const char *const shared[] = {
    "model",         "model_digest", "tokenizer",  "path",           "context_size",      "context_tokens",
    "reserve",       "pooling",      "method",     "template",       "query_prefix",      "passage_prefix",
    "dimension",     "serves",       "list_tokens", "list_spread",   "list_broken",       "answer_tokens",
    "document_chunks", "collection_chunks", "collection_words", "vec0",
};

/* ---- devices ---- */

void tl_config_check_devices(const struct tl_config *config, struct tl_diagnostics *findings) {
    const json_t *devices = json_object_get(config->root, "devices");
    bool good = !devices || (json_is_array(devices) && json_array_size(devices) > 0);
    for (size_t i = 0; i < json_array_size(devices); i++)
        good = good && json_is_string(json_array_get(devices, i));
    if (!good) {
        tl_yaml_error(findings, tl_config_written(config, "devices", NULL, NULL),
                      "'devices' must be a list of names, such as [cpu, gpu0]");
        json_object_del(config->root, "devices");
    }
}

/* One device of an engine; `device` NULL: nothing is said of it. */
static const char *check_device(const struct tl_config *config, const char *name, const json_t *device,
                                const struct tl_yaml_node *at, struct tl_diagnostics *findings) {
    const char *text = device ? json_string_value(device) : "cpu";
    const json_t *devices = json_object_get(config->root, "devices");
    size_t count = json_array_size(devices);
    if (!text || !*text) {
        tl_yaml_error(findings, at, "engine '%s': 'device' must be the name of a device, or a list of names", name);
    } else if (count > 0) {
        const char **names = tl_mem_alloc(count * sizeof *names);
        bool known = false;
        for (size_t i = 0; i < count; i++) {
            names[i] = json_string_value(json_array_get(devices, i));
            known = known || (names[i] && strcmp(names[i], text) == 0);
        }
        if (!known && !device) {
            text = names[0]; /* without a word of the engine, the first one listed */
        } else if (!known) {
            const char *nearest = tl_str_nearest(text, names, count);
            tl_yaml_error(findings, at, "engine '%s': there is no device '%s'; did you mean '%s'?", name, text,
                          nearest ? nearest : names[0]);
        }
        tl_mem_free(names);
    }
    return text;
}

/* A name, or a list of names: memory of the config. */
static void check_engine_devices(struct tl_config *config, const json_t *device, struct tl_config_engine *engine,
                                 struct tl_diagnostics *findings) {
    const struct tl_yaml_node *at = tl_config_written(config, "engines", engine->name, "device");
    size_t count = json_array_size(device);
    const char **names = tl_arena_alloc(&config->arena, (count + 1) * sizeof *names);
    for (size_t i = 0; i < count; i++)
        names[i] = check_device(config, engine->name, json_array_get(device, i), at, findings);
    if (count == 0)
        names[count++] = check_device(config, engine->name, device, at, findings);
    engine->device = names[0];
    engine->devices = names;
    engine->device_count = (uint32_t)count;
}

/* ---- instances ---- */

static uint32_t check_instances(const struct tl_config *config, const char *name, const json_t *instances,
                                uint32_t devices, struct tl_diagnostics *findings) {
    json_int_t count = instances ? json_integer_value(instances) : devices;
    if (count >= 1 && count <= MOST_INSTANCES)
        return (uint32_t)count;
    tl_yaml_error(findings, tl_config_written(config, "engines", name, "instances"),
                  "engine '%s': 'instances' must be an integer from 1 to %d, or a list with the settings of each", name,
                  MOST_INSTANCES);
    return 1;
}

/* The members of one instance that are settings; owned. */
static const json_t *check_own(const char *name, const json_t *members, const struct tl_yaml_node *at,
                               struct tl_diagnostics *findings) {
    const char *key;
    json_t *value, *own = json_object();
    json_object_foreach((json_t *)members, key, value) {
        const struct tl_yaml_node *written = tl_yaml_get(at, key);
        bool is_shared = false;
        for (size_t i = 0; i < sizeof shared / sizeof shared[0]; i++)
            is_shared = is_shared || strcmp(key, shared[i]) == 0;
        if (is_shared)
            tl_yaml_error(findings, written,
                          "engine '%s': '%s' is the same for all instances, because results must not depend on where "
                          "they are computed; set it for the engine, or name another engine",
                          name, key);
        else if (strcmp(key, "device") != 0 && tl_config_is_engine_key(key))
            tl_yaml_error(findings, written, "engine '%s': an instance has no '%s' of its own", name, key);
        else if (strcmp(key, "device") != 0)
            json_object_set(own, key, value);
    }
    return own;
}

/* A list: a mapping for each instance. */
static void read_list(struct tl_config *config, const json_t *list, const struct tl_engine_ops *ops,
                      struct tl_config_engine *engine, struct tl_diagnostics *findings) {
    const struct tl_yaml_node *written = tl_config_written(config, "engines", engine->name, "instances");
    uint32_t count = (uint32_t)json_array_size(list);
    const char **devices = tl_arena_alloc(&config->arena, count * sizeof *devices);
    const json_t **own = tl_arena_alloc(&config->arena, count * sizeof *own);
    engine->own = own;
    engine->instances = count;
    for (uint32_t i = 0; i < count; i++) {
        const json_t *members = json_array_get(list, i), *device = json_object_get(members, "device");
        const struct tl_yaml_node *at = written->items[i];
        size_t before = findings->errors;
        devices[i] = engine->devices[i % engine->device_count];
        own[i] = NULL;
        if (!json_is_object(members)) {
            tl_yaml_error(findings, at, "engine '%s': an instance must be a mapping such as {device: gpu0}",
                          engine->name);
            continue;
        }
        if (device)
            devices[i] = check_device(config, engine->name, device, tl_yaml_get(at, "device"), findings);
        own[i] = check_own(engine->name, members, at, findings);
        json_t *settings = tl_config_instance_written(engine, i);
        if (findings->errors == before)
            tl_config_check_settings(config, engine->name, ops, settings, at, findings);
        json_decref(settings);
    }
    engine->devices = devices;
    engine->device = devices[0];
    engine->device_count = count;
}

void tl_config_read_instances(struct tl_config *config, const json_t *members, const struct tl_engine_ops *ops,
                              struct tl_config_engine *engine, struct tl_diagnostics *findings) {
    const json_t *instances = json_object_get(members, "instances");
    check_engine_devices(config, json_object_get(members, "device"), engine, findings);
    if (json_array_size(instances) >= 1 && json_array_size(instances) <= MOST_INSTANCES) {
        read_list(config, instances, ops, engine, findings);
        return;
    }
    engine->instances = check_instances(config, engine->name, instances, engine->device_count, findings);
    tl_config_check_settings(config, engine->name, ops, engine->settings, NULL, findings);
}

json_t *tl_config_instance_written(const struct tl_config_engine *engine, uint32_t instance) {
    json_t *settings = json_copy((json_t *)engine->settings);
    if (engine->own)
        json_object_update(settings, (json_t *)engine->own[instance]);
    return settings;
}

enum tl_status tl_config_instance_settings(const struct tl_config *config, const struct tl_config_engine *engine,
                                           uint32_t instance, json_t **settings, struct tl_error *error) {
    enum tl_status status = tl_config_engine_settings(config, engine, settings, error);
    if (status == TL_OK && engine->own)
        json_object_update(*settings, (json_t *)engine->own[instance]);
    return status;
}

void tl_config_instance_name(const struct tl_config_engine *engine, uint32_t instance, struct tl_str *name) {
    tl_str_puts(name, engine->name);
    if (engine->instances > 1)
        tl_str_printf(name, "#%u", instance + 1);
}

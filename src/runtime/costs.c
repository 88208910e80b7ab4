/* costs.c: what the runtime knows of its engines' work: the profile, as far as it holds for the configuration; emulated
 * engines by their settings; the defaults for all others. A profile that cannot be used is no failure: it is said, and
 * the defaults serve. */
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "runtime/costs.h"

#define PROFILE_BYTES ((size_t)16 << 20)

static struct tl_cost *load(const char *path, struct tl_str *notices) {
    struct tl_str text = TL_STR_INIT;
    struct tl_error error;
    struct tl_cost *cost = NULL;
    if (*path && tl_file_exists(path)) {
        if (tl_file_read(path, PROFILE_BYTES, &text, &error) != TL_OK ||
            tl_cost_parse(text.data, text.length, path, &cost, &error) != TL_OK)
            tl_str_printf(notices, "the profile is not used: %s\n", error.message);
    }
    tl_str_fini(&text);
    return cost ? cost : tl_cost_create();
}

/* An engine whose model is not there says so when it is opened. `name`: the engine's in the profile, or an instance's. */
static void check_engine(const struct tl_config *config, const struct tl_config_engine *engine, uint32_t instance,
                         const char *name, const json_t *written, struct tl_cost *cost, struct tl_str *notices) {
    json_t *settings = NULL;
    struct tl_str why = TL_STR_INIT;
    struct tl_error ignored;
    if (!tl_cost_is_measured(cost, name) ||
        tl_config_instance_settings(config, engine, instance, &settings, &ignored) != TL_OK)
        return;
    const char *digest = json_string_value(json_object_get(settings, "model_digest"));
    const struct tl_cost_identity now = {
        .type = engine->type,
        .device = engine->devices[instance % engine->device_count],
        .model_digest = digest ? digest : "",
        .settings = written,
    };
    if (!tl_cost_check_engine(cost, name, &now, &why))
        tl_str_printf(notices, "what the profile says of engine '%s' is not used: %s; measure again with "
                               "'teola profile --engine %s'\n",
                      name, why.data, engine->name);
    tl_str_fini(&why);
    json_decref(settings);
}

struct tl_cost *tl_runtime_costs(const struct tl_config *config, const char *path, struct tl_str *notices) {
    struct tl_cost *cost = load(path, notices);
    for (size_t i = 0; i < tl_config_engine_count(config); i++) {
        const struct tl_config_engine *engine = tl_config_engine(config, i);
        for (uint32_t k = 0; k < (engine->own ? engine->instances : 1); k++) {
            struct tl_str name = TL_STR_INIT;
            if (k == 0)
                tl_str_puts(&name, engine->name); /* what plans count with */
            else
                tl_config_instance_name(engine, k, &name);
            json_t *settings = tl_config_instance_written(engine, k);
            if (strcmp(engine->type, "emulated") == 0)
                tl_cost_add_emulated(cost, name.data, settings);
            else
                check_engine(config, engine, k, name.data, settings, cost, notices);
            tl_cost_add_default(cost, name.data);
            json_decref(settings);
            tl_str_fini(&name);
        }
    }
    return cost;
}

/* config_models.c: the settings to create an engine with: names of models become files. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "models/models.h"
#include "runtime/config_internal.h"

/* Which settings of which types name a model's file. */
static const struct {
    const char *type, *setting, *digest; /* digest: the setting that takes the file's SHA-256; NULL: none */
    const char *word;                    /* a value that stands for itself; NULL: none */
} model_settings[] = {
    {"llama", "model", "model_digest", NULL},
    {"embed", "model", "model_digest", NULL},
    {"rerank", "model", "model_digest", NULL},
    {"documents", "tokenizer", NULL, "approximate"},
};

static bool is_word(const json_t *settings, size_t position) {
    const char *value = json_string_value(json_object_get(settings, model_settings[position].setting));
    return value && model_settings[position].word && strcmp(value, model_settings[position].word) == 0;
}

/* A model that is not there is said with the place in the configuration that asks for it. */
static enum tl_status resolve(const struct tl_config *config, const char *engine, const char *setting, const char *name,
                              struct tl_str *path, char digest[TL_SHA256_HEX_SIZE], struct tl_error *error) {
    enum tl_status status = tl_models_resolve(tl_config_model(config, name), path, digest, error);
    if (status != TL_OK) {
        struct tl_str where = TL_STR_INIT;
        tl_config_where(config, engine, setting, &where);
        tl_error_prefix(error, "%s%s '%s' of engine '%s'", where.data, setting, name, engine);
        tl_str_fini(&where);
    }
    return status;
}

static enum tl_status fill_in(const struct tl_config *config, const struct tl_config_engine *engine, json_t *settings,
                              const char *setting, const char *digest_setting, struct tl_error *error) {
    const char *name = json_string_value(json_object_get(settings, setting));
    if (!name)
        return TL_OK;
    struct tl_str path = TL_STR_INIT;
    char digest[TL_SHA256_HEX_SIZE];
    enum tl_status status = resolve(config, engine->name, setting, name, &path, digest, error);
    if (status == TL_OK) {
        json_object_set_new(settings, setting, json_string(path.data));
        if (digest_setting && !json_object_get(settings, digest_setting))
            json_object_set_new(settings, digest_setting, json_string(digest));
    }
    tl_str_fini(&path);
    return status;
}

/* A store is told whose vectors it keeps, so that it refuses those of another model. */
static enum tl_status fill_in_store(const struct tl_config *config, json_t *settings, struct tl_error *error) {
    const struct tl_config_engine *embedder = tl_config_find_engine(config, "embedder");
    const char *name = embedder ? json_string_value(json_object_get(embedder->settings, "model")) : NULL;
    if (!name || strcmp(embedder->type, "embed") != 0 || json_object_get(settings, "model_digest"))
        return TL_OK;
    struct tl_str path = TL_STR_INIT;
    char digest[TL_SHA256_HEX_SIZE];
    enum tl_status status = resolve(config, "embedder", "model", name, &path, digest, error);
    if (status == TL_OK) {
        json_object_set_new(settings, "model_digest", json_string(digest));
        if (!json_object_get(settings, "model"))
            json_object_set_new(settings, "model", json_string(name));
    }
    tl_str_fini(&path);
    return status;
}

enum tl_status tl_config_engine_settings(const struct tl_config *config, const struct tl_config_engine *engine,
                                         json_t **settings, struct tl_error *error) {
    enum tl_status status = TL_OK;
    json_t *copy = json_copy((json_t *)engine->settings);
    for (size_t i = 0; i < sizeof model_settings / sizeof model_settings[0] && status == TL_OK; i++)
        if (strcmp(engine->type, model_settings[i].type) == 0 && !is_word(copy, i))
            status = fill_in(config, engine, copy, model_settings[i].setting, model_settings[i].digest, error);
    if (status == TL_OK && strcmp(engine->type, "sqlite") == 0)
        status = fill_in_store(config, copy, error);
    if (status != TL_OK) {
        json_decref(copy);
        copy = NULL;
    }
    *settings = copy;
    return status;
}

/* config_sources.c: where the configuration comes from, and how the sources are laid over one
 * another: defaults, file, environment, flags. What the values mean is config.c's. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "runtime/config_internal.h"

static const char defaults[] = "engines:\n"
                               "  llm: {type: llama, model: smollm2-135m-instruct-q8_0}\n"
                               "  embedder: {type: embed, model: all-minilm-l6-v2-f16}\n"
                               "  reranker: {type: rerank}\n"
                               "  store: {type: sqlite}\n"
                               "  documents: {type: documents}\n"
                               "optimize: cost\n"
                               "policy: critical_path\n"
                               "retries: 1\n"
                               "hang_after: 60s\n"
                               "memo_bytes: 67108864\n"
                               "prewarm: true\n";

/* Those from `optimize` on may be set by flags and the environment too. */
static const char *const top_keys[] = {"store",    "models",     "devices", "engines",   "limits",
                                       "optimize", "passes",     "policy",  "timeout",   "retries",
                                       "profile",  "memo_bytes", "prewarm", "hang_after"};
#define FIRST_SCALAR 5
static const char *const engine_keys[] = {"type", "device", "instances"};
#define TOP_KEY_COUNT (sizeof top_keys / sizeof top_keys[0])

bool tl_config_is_engine_key(const char *key) {
    for (size_t i = 0; i < sizeof engine_keys / sizeof engine_keys[0]; i++)
        if (strcmp(engine_keys[i], key) == 0)
            return true;
    return false;
}

static bool is_top_key(const char *key) {
    for (size_t i = 0; i < TOP_KEY_COUNT; i++)
        if (strcmp(top_keys[i], key) == 0)
            return true;
    return false;
}

static bool is_scalar(const char *key) {
    for (size_t i = FIRST_SCALAR; i < TOP_KEY_COUNT; i++)
        if (strcmp(top_keys[i], key) == 0)
            return true;
    return false;
}

/* ---- laying one source over another ---- */

/* Sets one member of an engine. Another type drops the settings made for the former one. */
static void set_engine_member(json_t *engine, const char *key, json_t *value) {
    const char *type = json_string_value(json_object_get(engine, "type"));
    if (strcmp(key, "type") == 0 && type && json_is_string(value) && strcmp(type, json_string_value(value)) != 0) {
        const char *name;
        json_t *former;
        void *next;
        json_object_foreach_safe(engine, next, name, former) {
            if (!tl_config_is_engine_key(name))
                json_object_del(engine, name);
        }
    }
    json_object_set(engine, key, value);
}

static json_t *engine_entry(json_t *root, const char *name) {
    json_t *engines = json_object_get(root, "engines");
    json_t *engine = json_object_get(engines, name);
    if (!json_is_object(engine)) {
        engine = json_object();
        json_object_set_new(engines, name, engine);
    }
    return engine;
}

static void lay_engines(json_t *root, json_t *engines) {
    const char *name, *key;
    json_t *members, *value;
    json_object_foreach(engines, name, members) {
        json_t *engine = engine_entry(root, name);
        json_t *type = json_object_get(members, "type");
        if (type)
            set_engine_member(engine, "type", type);
        json_object_foreach(members, key, value) set_engine_member(engine, key, value);
    }
}

static void lay_store(json_t *root, json_t *path) {
    json_object_set(engine_entry(root, "store"), "path", path);
}

static void lay_file(json_t *root, json_t *file) {
    const char *key;
    json_t *value;
    json_object_foreach(file, key, value) {
        if (strcmp(key, "engines") != 0 && strcmp(key, "store") != 0)
            json_object_set(root, key, value);
    }
    if (json_object_get(file, "store"))
        lay_store(root, json_object_get(file, "store"));
    lay_engines(root, json_object_get(file, "engines"));
}

/* ---- the file ---- */

/* The shape of the file, before anything is merged: names, and what must be a mapping. */
static void check_file(const struct tl_yaml_node *root, struct tl_diagnostics *findings) {
    if (root->kind != TL_YAML_MAP) {
        if (!tl_yaml_is_nothing(root))
            tl_yaml_error(findings, root, "expected a mapping such as 'engines: {llm: {model: NAME}}'");
        return;
    }
    for (size_t i = 0; i < root->count; i++) {
        const struct tl_yaml_node *key = root->entries[i].key, *value = root->entries[i].value;
        bool engines = strcmp(key->text, "engines") == 0;
        if (!is_top_key(key->text)) {
            const char *nearest = tl_str_nearest(key->text, top_keys, TOP_KEY_COUNT);
            tl_yaml_error(
                findings, key, "unknown setting '%s'; %s%s%s", key->text, nearest ? "did you mean '" : "there are: ",
                nearest
                    ? nearest
                    : "store, models, devices, engines, limits, optimize, passes, policy, timeout, retries, profile, "
                      "memo_bytes, prewarm, hang_after",
                nearest ? "'?" : "");
        } else if ((engines || strcmp(key->text, "models") == 0) && value->kind != TL_YAML_MAP) {
            tl_yaml_error(findings, value, "'%s' must be a mapping from names to settings", key->text);
        }
        for (size_t k = 0; engines && value->kind == TL_YAML_MAP && k < value->count; k++)
            if (value->entries[k].value->kind != TL_YAML_MAP)
                tl_yaml_error(findings, value->entries[k].value,
                              "engine '%s' must be a mapping such as {type: llama, model: NAME}",
                              value->entries[k].key->text);
    }
}

static char *find_file(const struct tl_config_options *options) {
    if (options->path)
        return tl_mem_strdup(options->path);
    const char *named = options->no_environment ? NULL : getenv("TEOLA_CONFIG");
    if (named && *named)
        return tl_mem_strdup(named);
    if (tl_file_exists("teola.yaml"))
        return tl_mem_strdup("teola.yaml");
    struct tl_str user = TL_STR_INIT;
    char *found = NULL;
    if (!options->no_environment && tl_file_config_path("teola.yaml", &user, NULL) == TL_OK &&
        tl_file_exists(user.data))
        found = tl_mem_strdup(user.data);
    tl_str_fini(&user);
    return found;
}

static void name_findings(struct tl_diagnostics *findings, const char *file) {
    tl_mem_free(findings->file);
    findings->file = tl_mem_strdup(file);
}

/* Reads and checks the file; returns its values, owned, or NULL after a finding. */
static json_t *read_file(struct tl_config *config, const struct tl_config_options *options,
                         struct tl_diagnostics *findings) {
    struct tl_str text = TL_STR_INIT;
    struct tl_error error;
    size_t before = findings->errors;
    json_t *values = NULL;
    const char *named = options->path ? options->path : "configuration";
    config->file = options->text ? tl_mem_strdup(named) : find_file(options);
    name_findings(findings, config->file ? config->file : "built-in configuration");
    if (options->text)
        tl_str_puts(&text, options->text);
    else if (config->file && tl_file_read(config->file, TL_YAML_BYTES, &text, &error) != TL_OK)
        tl_yaml_error(findings, NULL, "%s", error.message);
    if (findings->errors == before)
        config->tree = tl_yaml_read(&config->arena, text.data, text.length, findings);
    tl_str_fini(&text);
    if (findings->errors == before) {
        check_file(config->tree, findings);
        values = tl_config_json(config->tree, findings);
    }
    if (findings->errors > before) {
        json_decref(values);
        return NULL;
    }
    return values;
}

/* ---- environment and flags ---- */

static void set_limit(json_t *root, const char *key, json_t *value) {
    json_t *limits = json_object_get(root, "limits"),
           *copy = json_is_object(limits) ? json_copy(limits) : json_object();
    json_object_set(copy, key, value);
    json_object_set_new(root, "limits", copy);
}

/* "name.setting=value" or "timeout=5s". */
static void lay_flag(json_t *root, const char *setting, struct tl_diagnostics *findings) {
    const char *equals = strchr(setting, '=');
    const char *dot = equals ? memchr(setting, '.', (size_t)(equals - setting)) : NULL;
    if (!equals || equals == setting || dot == setting || (dot && dot + 1 == equals)) {
        tl_diagnostics_add(findings, TL_SEVERITY_ERROR, 0, 0,
                           "'%s' is no setting; expected ENGINE.SETTING=VALUE, such as llm.model=NAME, or timeout=30s",
                           setting);
        return;
    }
    json_t *value = tl_config_scalar(equals + 1);
    char *name = tl_mem_strndup(setting, (size_t)((dot ? dot : equals) - setting));
    if (dot) {
        char *key = tl_mem_strndup(dot + 1, (size_t)(equals - dot) - 1);
        if (strcmp(name, "limits") == 0)
            set_limit(root, key, value);
        else
            set_engine_member(engine_entry(root, name), key, value);
        tl_mem_free(key);
    } else if (strcmp(name, "store") == 0) {
        lay_store(root, value);
    } else if (is_scalar(name)) {
        json_object_set(root, name, value);
    } else {
        const char *nearest = tl_str_nearest(name, top_keys, TOP_KEY_COUNT);
        tl_diagnostics_add(
            findings, TL_SEVERITY_ERROR, 0, 0, "'%s' cannot be set here; expected ENGINE.SETTING=VALUE, or %s", setting,
            nearest ? nearest
                    : "store, optimize, passes, policy, timeout, retries, profile, memo_bytes, prewarm or hang_after");
    }
    json_decref(value);
    tl_mem_free(name);
}

static char *environment_name(const char *engine, const char *suffix) {
    struct tl_str out = TL_STR_INIT;
    tl_str_printf(&out, "TEOLA_%s%s", engine, suffix);
    for (size_t i = 6; i < out.length; i++)
        out.data[i] = isalnum((unsigned char)out.data[i]) ? (char)toupper((unsigned char)out.data[i]) : '_';
    return tl_str_detach(&out);
}

/* True when `variable` names a setting of an engine whose name is longer, such as llm_judge beside llm. */
static bool belongs_to_longer(json_t *engines, const char *variable, size_t length) {
    const char *name;
    json_t *members;
    bool longer = false;
    json_object_foreach(engines, name, members) {
        char *prefix = environment_name(name, "_");
        longer = longer || (strlen(prefix) > length && strncmp(variable, prefix, strlen(prefix)) == 0);
        tl_mem_free(prefix);
    }
    return longer;
}

static void lay_environment(json_t *root) {
    for (size_t i = FIRST_SCALAR; i < TOP_KEY_COUNT; i++) {
        char *name = environment_name(top_keys[i], "");
        const char *value = getenv(name);
        if (value && *value)
            json_object_set_new(root, top_keys[i], tl_config_scalar(value));
        tl_mem_free(name);
    }
    const char *store = getenv("TEOLA_STORE");
    if (store && *store) {
        json_t *path = json_string(store);
        lay_store(root, path);
        json_decref(path);
    }
    const char *engine;
    json_t *members, *engines = json_object_get(root, "engines");
    json_object_foreach(engines, engine, members) {
        char *prefix = environment_name(engine, "_");
        size_t length = strlen(prefix);
        for (char **entry = environ; *entry; entry++) {
            const char *equals = strchr(*entry, '=');
            if (!equals || equals[1] == '\0' || strncmp(*entry, prefix, length) != 0 || *entry + length >= equals ||
                belongs_to_longer(engines, *entry, length))
                continue;
            char *key = tl_mem_strndup(*entry + length, (size_t)(equals - *entry) - length);
            for (char *c = key; *c; c++)
                *c = (char)tolower((unsigned char)*c);
            json_t *value = tl_config_scalar(equals + 1);
            set_engine_member(members, key, value);
            json_decref(value);
            tl_mem_free(key);
        }
        tl_mem_free(prefix);
    }
}

bool tl_config_gather(struct tl_config *config, const struct tl_config_options *options,
                      struct tl_diagnostics *findings) {
    struct tl_arena arena;
    tl_arena_init(&arena);
    const struct tl_yaml_node *built_in = tl_yaml_read(&arena, defaults, sizeof defaults - 1, findings);
    if (!built_in)
        TL_BUG("the built-in configuration is malformed");
    config->root = tl_config_json(built_in, findings);
    tl_arena_fini(&arena);

    size_t before = findings->errors;
    json_t *file = read_file(config, options, findings);
    if (!file)
        return false;
    lay_file(config->root, file);
    json_decref(file);
    if (!options->no_environment)
        lay_environment(config->root);
    for (size_t i = 0; i < options->setting_count; i++)
        lay_flag(config->root, options->settings[i], findings);
    return findings->errors == before;
}

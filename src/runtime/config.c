/* config.c: what the configuration means: checks the merged values and answers questions about
 * them. Where they come from is config_sources.c's. */
#include "runtime/config.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/file.h"
#include "base/mem.h"
#include "engine/engine_impl.h"
#include "opt/opt.h"
#include "runtime/config_internal.h"
#include "sched/policy.h"

bool tl_optimize_parse(const char *text, enum tl_optimize *optimize) {
    for (int level = TL_OPTIMIZE_OFF; level <= TL_OPTIMIZE_COST; level++)
        if (strcmp(text, tl_optimize_name((enum tl_optimize)level)) == 0) {
            *optimize = (enum tl_optimize)level;
            return true;
        }
    return false;
}

const char *tl_optimize_name(enum tl_optimize optimize) {
    switch (optimize) {
    case TL_OPTIMIZE_OFF: return "off";
    case TL_OPTIMIZE_PAPER: return "paper";
    case TL_OPTIMIZE_COST: return "cost";
    default: return "default";
    }
}

bool tl_duration_parse(const char *text, uint64_t *ms) {
    static const struct {
        const char *name;
        double ms;
    } units[] = {{"ms", 1}, {"s", 1000}, {"", 1000}, {"m", 60000}, {"h", 3600000}};
    if (!strchr("0123456789.", text[0]) || text[0] == '\0')
        return false;
    char *end;
    double value = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strcmp(end, units[i].name) == 0 && value * units[i].ms < 1e15) {
            *ms = (uint64_t)(value * units[i].ms + 0.5);
            return end != text;
        }
    return false;
}

/* ---- messages ---- */

const struct tl_yaml_node *tl_config_written(const struct tl_config *config, const char *top, const char *name,
                                             const char *setting) {
    const char *const way[] = {top, name, setting};
    const struct tl_yaml_node *node = config->tree;
    for (size_t i = 0; i < 3 && way[i] && node; i++)
        node = tl_yaml_get(node, way[i]);
    return node;
}

/* Where an engine's setting is written, or else the engine; NULL: neither is. */
static const struct tl_yaml_node *nearest_written(const struct tl_config *config, const char *engine,
                                                  const char *setting) {
    const struct tl_yaml_node *node = tl_config_written(config, "engines", engine, setting);
    return node ? node : tl_config_written(config, "engines", engine, NULL);
}

void tl_config_where(const struct tl_config *config, const char *engine, const char *setting, struct tl_str *out) {
    const struct tl_yaml_node *node = nearest_written(config, engine, setting);
    if (config->file && node)
        tl_str_printf(out, "%s:%u:%u: ", config->file, node->line, node->column);
}

/* ---- engines ---- */

static const char *engine_text(const json_t *root, const char *engine, const char *key) {
    return json_string_value(json_object_get(json_object_get(json_object_get(root, "engines"), engine), key));
}

/* The reranker works with the embedder's model, and documents are counted in its tokens, unless told otherwise. */
static void derive(json_t *root) {
    const char *model = engine_text(root, "embedder", "model");
    json_t *engines = json_object_get(root, "engines");
    if (!model)
        model = "all-minilm-l6-v2-f16";
    const char *reranker = engine_text(root, "reranker", "type"), *documents = engine_text(root, "documents", "type");
    if (reranker && strcmp(reranker, "rerank") == 0 && !engine_text(root, "reranker", "model"))
        json_object_set_new(json_object_get(engines, "reranker"), "model", json_string(model));
    if (documents && strcmp(documents, "documents") == 0 && !engine_text(root, "documents", "tokenizer"))
        json_object_set_new(json_object_get(engines, "documents"), "tokenizer", json_string(model));
}

static const struct tl_engine_ops *check_type(const struct tl_config *config, const char *name, const json_t *members,
                                              struct tl_diagnostics *findings) {
    struct tl_str known = TL_STR_INIT;
    const json_t *value = json_object_get(members, "type");
    const char *type = json_string_value(value);
    const struct tl_engine_ops *ops = type ? tl_engine_find(type) : NULL;
    size_t count;
    const struct tl_engine_ops *const *types = tl_engine_types(&count);
    const char **names = tl_mem_alloc(count * sizeof *names);
    for (size_t i = 0; i < count; i++) {
        names[i] = types[i]->type;
        tl_str_printf(&known, "%s%s", i ? ", " : "", types[i]->type);
    }
    if (!ops && !value) {
        tl_yaml_error(findings, tl_config_written(config, "engines", name, NULL),
                      "engine '%s' has no type; expected 'type: ' one of %s", name, known.data);
    } else if (!ops) {
        const char *nearest = type ? tl_str_nearest(type, names, count) : NULL;
        tl_yaml_error(findings, tl_config_written(config, "engines", name, "type"),
                      "engine '%s': unknown type '%s'; %s%s%s", name, type ? type : "(not a word)",
                      nearest ? "did you mean '" : "expected one of ", nearest ? nearest : known.data,
                      nearest ? "'?" : "");
    }
    tl_mem_free(names);
    tl_str_fini(&known);
    return ops;
}

/* The setting that an engine quotes first in its complaint, to point at; NULL when it quotes none. */
static const char *quoted_setting(const json_t *settings, const char *message) {
    const char *key, *found = NULL, *earliest = NULL;
    json_t *value;
    json_object_foreach((json_t *)settings, key, value) {
        struct tl_str quoted = TL_STR_INIT;
        tl_str_printf(&quoted, "'%s'", key);
        const char *at = strstr(message, quoted.data);
        if (at && (!earliest || at < earliest)) {
            earliest = at;
            found = key;
        }
        tl_str_fini(&quoted);
    }
    return found;
}

void tl_config_check_settings(const struct tl_config *config, const char *name, const struct tl_engine_ops *ops,
                              const json_t *settings, const struct tl_yaml_node *own,
                              struct tl_diagnostics *findings) {
    struct tl_engine *engine = NULL;
    struct tl_error error = {0};
    if (ops->create(name, settings, &engine, &error) == TL_OK) {
        ops->destroy(engine);
        return;
    }
    const char *setting = quoted_setting(settings, error.message);
    const struct tl_yaml_node *at = own && setting ? tl_yaml_get(own, setting) : NULL;
    if (!at)
        at = nearest_written(config, name, setting);
    static const char *const common[] = {"type", "device", "instances"}; /* which the engine does not know of */
    bool unknown = setting && strstr(error.message, "has no setting");
    const char *meant = unknown ? tl_str_nearest(setting, common, 3) : NULL;
    if (meant)
        tl_yaml_error(findings, at, "engines.%s: engine type '%s' has no setting '%s'; did you mean '%s'?", name,
                      ops->type, setting, meant);
    else
        tl_yaml_error(findings, at, "engines.%s: %s", name, error.message);
}

/* "~/x" and, for values of the file, "./x" and "../x" become whole. */
static void whole_path(const struct tl_config *config, bool of_file, const char *path, struct tl_str *out) {
    const char *home = getenv("HOME");
    const char *slash = config->file ? strrchr(config->file, '/') : NULL;
    if (tl_str_starts_with(path, "~/") && home)
        tl_str_printf(out, "%s%s", home, path + 1);
    else if (of_file && slash && (tl_str_starts_with(path, "./") || tl_str_starts_with(path, "../")))
        tl_str_printf(out, "%.*s%s", (int)(slash - config->file + 1), config->file, path);
    else
        tl_str_puts(out, path);
}

static void whole_paths(const struct tl_config *config, const char *engine, json_t *settings) {
    const char *key;
    json_t *value;
    void *next;
    json_object_foreach_safe(settings, next, key, value) {
        const char *text = json_string_value(value);
        if (!text || (text[0] != '~' && text[0] != '.'))
            continue;
        bool of_file = tl_config_written(config, "engines", engine, key) ||
                       (strcmp(engine, "store") == 0 && tl_config_written(config, "store", NULL, NULL));
        struct tl_str path = TL_STR_INIT;
        whole_path(config, of_file, text, &path);
        json_object_set_new(settings, key, json_string(path.data));
        tl_str_fini(&path);
    }
}

static void default_store(const char *type, json_t *settings) {
    struct tl_str path = TL_STR_INIT;
    if (strcmp(type, "sqlite") == 0 && !json_object_get(settings, "path") &&
        tl_file_data_path("store.db", &path, NULL) == TL_OK)
        json_object_set_new(settings, "path", json_string(path.data));
    tl_str_fini(&path);
}

static void build_engines(struct tl_config *config, struct tl_diagnostics *findings) {
    json_t *engines = json_object_get(config->root, "engines");
    size_t most = json_object_size(engines);
    config->engines = tl_mem_zalloc((most + 1) * sizeof *config->engines);
    config->settings = tl_mem_zalloc((most + 1) * sizeof *config->settings);
    const char *name, *key;
    json_t *members, *value;
    json_object_foreach(engines, name, members) {
        const struct tl_engine_ops *ops = check_type(config, name, members, findings);
        if (!ops)
            continue;
        json_t *settings = json_object();
        json_object_foreach(members, key, value) {
            if (!tl_config_is_engine_key(key))
                json_object_set(settings, key, value);
        }
        whole_paths(config, name, settings);
        default_store(ops->type, settings);
        const struct tl_yaml_node *at = tl_config_written(config, "engines", name, NULL);
        config->settings[config->engine_count] = settings;
        struct tl_config_engine *engine = &config->engines[config->engine_count++];
        *engine = (struct tl_config_engine){
            .name = name,
            .type = ops->type,
            .settings = settings,
            .line = at ? at->line : 0,
            .column = at ? at->column : 0,
        };
        tl_config_read_instances(config, members, ops, engine, findings);
    }
}

/* ---- the rest ---- */

static void check_models(const struct tl_config *config, struct tl_diagnostics *findings) {
    const char *name;
    json_t *value;
    json_object_foreach(json_object_get(config->root, "models"), name, value) {
        if (!json_is_string(value))
            tl_yaml_error(findings, tl_config_written(config, "models", name, NULL),
                          "model '%s' must be a path or the name of a model", name);
    }
}

static void read_profile(struct tl_config *config, struct tl_diagnostics *findings) {
    const json_t *profile = json_object_get(config->root, "profile");
    const char *text = json_string_value(profile);
    struct tl_str path = TL_STR_INIT;
    if (profile && (!text || !*text))
        tl_yaml_error(findings, tl_config_written(config, "profile", NULL, NULL),
                      "'profile' must be the path of a file that 'teola profile' has written, or none");
    else if (!profile)
        tl_file_data_path("profile.json", &path, NULL);
    else if (strcmp(text, "none") != 0)
        whole_path(config, tl_config_written(config, "profile", NULL, NULL) != NULL, text, &path);
    config->profile = tl_str_detach(&path);
}

#define MOST_MEMO_BYTES ((json_int_t)1 << 40)

static void report_policy(const struct tl_config *config, struct tl_diagnostics *findings) {
    struct tl_str names = TL_STR_INIT;
    for (size_t i = 0; tl_policy_at(i); i++)
        tl_str_printf(&names, "%s%s", i ? ", " : "", tl_policy_at(i)->name);
    tl_yaml_error(findings, tl_config_written(config, "policy", NULL, NULL), "there is no policy '%s'; there are %s",
                  config->policy ? config->policy : "?", names.data);
    tl_str_fini(&names);
}

static void add_pass(struct tl_config *config, const char *text, size_t length, const struct tl_yaml_node *at,
                     struct tl_diagnostics *findings) {
    const char *pass = tl_arena_strndup(&config->arena, text, length);
    struct tl_error error;
    if (tl_opt_check_pass(pass, &error) != TL_OK)
        tl_yaml_error(findings, at, "'passes': %s", error.message);
    config->passes = tl_arena_grow(&config->arena, config->passes, &config->pass_capacity, config->pass_count + 1,
                                   sizeof *config->passes);
    config->passes[config->pass_count++] = pass;
}

/* A list of words, or one text with commas between them. */
static void read_passes(struct tl_config *config, struct tl_diagnostics *findings) {
    const json_t *passes = json_object_get(config->root, "passes");
    const struct tl_yaml_node *at = tl_config_written(config, "passes", NULL, NULL);
    bool good = !passes || json_is_null(passes) || json_is_string(passes) || json_is_array(passes);
    for (const char *text = json_string_value(passes); text && *text;) {
        size_t length = strcspn(text, ", ");
        if (length > 0)
            add_pass(config, text, length, at, findings);
        text += length + (text[length] != '\0');
    }
    for (size_t i = 0; i < json_array_size(passes) && good; i++) {
        const char *text = json_string_value(json_array_get(passes, i));
        good = text != NULL;
        if (good)
            add_pass(config, text, strlen(text), at, findings);
    }
    if (!good)
        tl_yaml_error(findings, at, "'passes' must be a list such as [-split_prefill]");
}

static void read_prewarm(struct tl_config *config, struct tl_diagnostics *findings) {
    const json_t *prewarm = json_object_get(config->root, "prewarm");
    config->prewarm = json_is_true(prewarm);
    if (!json_is_boolean(prewarm))
        tl_yaml_error(findings, tl_config_written(config, "prewarm", NULL, NULL), "'prewarm' must be true or false");
}

static void read_scalars(struct tl_config *config, struct tl_diagnostics *findings) {
    const char *optimize = json_string_value(json_object_get(config->root, "optimize"));
    /* YAML reads a bare `off` as a word since 1.2, but many write false. */
    if (json_is_false(json_object_get(config->root, "optimize")))
        optimize = "off";
    if (!optimize || !tl_optimize_parse(optimize, &config->optimize))
        tl_yaml_error(findings, tl_config_written(config, "optimize", NULL, NULL),
                      "'optimize' must be off, paper or cost, not '%s'", optimize ? optimize : "?");
    config->policy = json_string_value(json_object_get(config->root, "policy"));
    if (!config->policy || !tl_policy_find(config->policy))
        report_policy(config, findings);
    const json_t *timeout = json_object_get(config->root, "timeout");
    const char *text = json_string_value(timeout);
    double seconds = json_number_value(timeout);
    if (text ? !tl_duration_parse(text, &config->timeout_ms)
             : timeout && !json_is_null(timeout) && !(json_is_number(timeout) && seconds >= 0 && seconds < 1e9))
        tl_yaml_error(findings, tl_config_written(config, "timeout", NULL, NULL),
                      "'timeout' must be a time such as 500ms, 30s or 2m");
    else if (!text)
        config->timeout_ms = (uint64_t)(seconds * 1000);
    read_passes(config, findings);
    tl_config_read_limits(config, findings);
    read_prewarm(config, findings);
    read_profile(config, findings);
    const json_t *bytes = json_object_get(config->root, "memo_bytes");
    json_int_t most = json_integer_value(bytes);
    if (!json_is_integer(bytes) || most < 0 || most > MOST_MEMO_BYTES)
        tl_yaml_error(findings, tl_config_written(config, "memo_bytes", NULL, NULL),
                      "'memo_bytes' must be a whole number of bytes, such as 67108864, or 0 to remember nothing");
    else
        config->memo_bytes = (size_t)most;
}

struct tl_config *tl_config_load(const struct tl_config_options *options, struct tl_diagnostics *findings) {
    struct tl_config *config = tl_mem_zalloc(sizeof *config);
    config->optimize = TL_OPTIMIZE_COST;
    tl_arena_init(&config->arena);
    if (tl_config_gather(config, options, findings)) {
        size_t before = findings->errors;
        derive(config->root);
        tl_config_check_devices(config, findings);
        check_models(config, findings);
        read_scalars(config, findings);
        build_engines(config, findings);
        if (findings->errors == before)
            return config;
    }
    tl_config_destroy(config);
    return NULL;
}

void tl_config_destroy(struct tl_config *config) {
    if (!config)
        return;
    for (size_t i = 0; i < config->engine_count; i++) {
        const struct tl_config_engine *engine = &config->engines[i];
        for (uint32_t k = 0; engine->own && k < engine->instances; k++)
            json_decref((json_t *)engine->own[k]);
        json_decref(config->settings[i]);
    }
    tl_mem_free(config->settings);
    tl_mem_free(config->engines);
    json_decref(config->root);
    tl_arena_fini(&config->arena);
    tl_mem_free(config->file);
    tl_mem_free(config->profile);
    tl_mem_free(config);
}

const char *tl_config_file(const struct tl_config *config) {
    return config->file;
}

size_t tl_config_engine_count(const struct tl_config *config) {
    return config->engine_count;
}

const struct tl_config_engine *tl_config_engine(const struct tl_config *config, size_t position) {
    return &config->engines[position];
}

const struct tl_config_engine *tl_config_find_engine(const struct tl_config *config, const char *name) {
    for (size_t i = 0; i < config->engine_count; i++)
        if (strcmp(config->engines[i].name, name) == 0)
            return &config->engines[i];
    return NULL;
}

const char *tl_config_store_path(const struct tl_config *config) {
    const struct tl_config_engine *store = tl_config_find_engine(config, "store");
    const char *path = store ? json_string_value(json_object_get(store->settings, "path")) : NULL;
    return path ? path : "";
}

const char *tl_config_model(const struct tl_config *config, const char *model) {
    const char *named = json_string_value(json_object_get(json_object_get(config->root, "models"), model));
    return named ? named : model;
}

enum tl_optimize tl_config_optimize(const struct tl_config *config) {
    return config->optimize;
}

const char *const *tl_config_passes(const struct tl_config *config, size_t *count) {
    *count = config->pass_count;
    return config->passes;
}

bool tl_config_prewarm(const struct tl_config *config) {
    return config->prewarm;
}

const char *tl_config_policy(const struct tl_config *config) {
    return config->policy;
}

uint64_t tl_config_timeout_ms(const struct tl_config *config) {
    return config->timeout_ms;
}

const char *tl_config_profile(const struct tl_config *config) {
    return config->profile;
}

size_t tl_config_memo_bytes(const struct tl_config *config) {
    return config->memo_bytes;
}

/* config_internal.h: what the files config*.c share; for this folder only. */
#ifndef TL_RUNTIME_CONFIG_INTERNAL_H
#define TL_RUNTIME_CONFIG_INTERNAL_H

#include "base/arena.h"
#include "base/yaml.h"
#include "engine/engine_impl.h"
#include "runtime/config.h"

struct tl_config {
    char *file;                      /* NULL: built-in defaults */
    struct tl_arena arena;           /* the tree */
    const struct tl_yaml_node *tree; /* the file as it is written: for positions; NULL: it could not be read */
    json_t *root;                    /* everything merged; engines' settings point into it */
    struct tl_config_engine *engines;
    json_t **settings; /* per engine: owned */
    size_t engine_count;
    enum tl_optimize optimize;
    const char *policy;
    uint64_t timeout_ms;
    const char **passes; /* in the arena */
    size_t pass_count, pass_capacity;
    bool prewarm;
    char *profile; /* path; "": none */
    size_t memo_bytes;
    struct tl_sched_limits limits;
    uint32_t retries;
    uint64_t hang_after_ms;
};

/* What the file says under a top key, a name below it and a setting below that, such as "engines", "llm", "model";
 * NULL ends the way early. NULL when the file does not say it. */
const struct tl_yaml_node *tl_config_written(const struct tl_config *config, const char *top, const char *name,
                                             const char *setting);

/* Finds and reads the file or text; `config->root` becomes defaults with the file, the environment and the flags
 * laid over them. False: see findings. */
bool tl_config_gather(struct tl_config *config, const struct tl_config_options *options,
                      struct tl_diagnostics *findings);

/* Asks the type whether it likes the settings. `own` (may be NULL): where those of one instance are written. */
void tl_config_check_settings(const struct tl_config *config, const char *name, const struct tl_engine_ops *ops,
                              const json_t *settings, const struct tl_yaml_node *own,
                              struct tl_diagnostics *findings);

/* ---- config_instances.c ---- */
void tl_config_check_devices(const struct tl_config *config, struct tl_diagnostics *findings);
/* `device` and `instances` of an engine, and its settings, for each instance. */
void tl_config_read_instances(struct tl_config *config, const json_t *members, const struct tl_engine_ops *ops,
                              struct tl_config_engine *engine, struct tl_diagnostics *findings);

/* ---- config_limits.c ---- */
void tl_config_read_limits(struct tl_config *config, struct tl_diagnostics *findings);

/* Members of an engine that are not settings of its type. */
bool tl_config_is_engine_key(const char *key);

/* A tree as JSON, with ${NAME} replaced in its strings. What is not quoted follows tl_config_scalar. Returns owned. */
json_t *tl_config_json(const struct tl_yaml_node *node, struct tl_diagnostics *findings);

/* A scalar by the core schema of YAML 1.2: null, true, false, integers, decimals; all else is a string. Returns
 * owned. */
json_t *tl_config_scalar(const char *text);

#endif

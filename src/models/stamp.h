/* stamp.h: the SHA-256 of a file without reading it again each time.
 *
 * A digest once computed is kept in the cache folder with the file's path, device, inode,
 * size and times of change; as long as all of them are the same, so is the content. (A model
 * of 5 GB takes seconds to hash; that would be paid at every start.) */
#ifndef TL_MODELS_STAMP_H
#define TL_MODELS_STAMP_H

#include <stdbool.h>

#include "base/hash.h"
#include "teola/status.h"

/* *computed (may be NULL): whether the file was read. A cache that cannot be written costs
 * time only, and is no error. */
enum tl_status tl_stamp_digest(const char *path, char digest[TL_SHA256_HEX_SIZE], bool *computed,
                               struct tl_error *error);

/* Reads the file in any case and renews its stamp. */
enum tl_status tl_stamp_renew(const char *path, char digest[TL_SHA256_HEX_SIZE], struct tl_error *error);

#endif

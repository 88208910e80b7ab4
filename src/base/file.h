/* file.h: whole files, directories, atomic replacement, and where our files live. */
#ifndef TL_BASE_FILE_H
#define TL_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "teola/status.h"

/* Appends the whole file to `out`. TL_ERR_LIMIT when it is larger than `limit` bytes. */
enum tl_status tl_file_read(const char *path, size_t limit, struct tl_str *out, struct tl_error *error);

/* Writes to a temporary file in the same directory, fsyncs, renames over `path`. */
enum tl_status tl_file_write_atomic(const char *path, const void *data, size_t size, struct tl_error *error);
/* The same; only the owner may read it. */
enum tl_status tl_file_write_private(const char *path, const void *data, size_t size, struct tl_error *error);

bool tl_file_exists(const char *path);
bool tl_file_is_directory(const char *path);
enum tl_status tl_file_make_directories(const char *path, struct tl_error *error); /* as mkdir -p */

/* Appends "<base>/teola[/<name>]": $XDG_CACHE_HOME or ~/.cache; $XDG_DATA_HOME or
 * ~/.local/share; $XDG_CONFIG_HOME or ~/.config. Nothing is created. */
enum tl_status tl_file_cache_path(const char *name, struct tl_str *out, struct tl_error *error);
enum tl_status tl_file_data_path(const char *name, struct tl_str *out, struct tl_error *error);
enum tl_status tl_file_config_path(const char *name, struct tl_str *out, struct tl_error *error);

#endif

/* llama_prefix_files.h: beginnings of prompts in files: their KV, computed by one process, is read by the next.
 *
 * Here are bytes and token ids, no llama.cpp. One file for each beginning, in one folder for all models, named by a hash
 * of what it was made with and of its tokens:
 *
 *     head     magic and version, tokens, bytes of the state, SHA-256 of what the state depends on
 *     ids      the token ids
 *     state    as the library gave it
 *     digest   SHA-256 of all that
 *
 * A reader knows all but state and digest before it opens a file. It makes head and ids itself and compares, so nothing
 * in a file is ever taken for a size or a count; the state's size is the caller's, from the model's own dimensions. A
 * file that is wrong in any way, or that others than its user may have written, is removed and reported.
 *
 * A file appears whole or not at all (temporary name, fsync, rename), so any number of processes may read and write.
 * What the files together are bounded by holds after each write; the ones not used for the longest go first. One thread
 * calls. */
#ifndef TL_ENGINE_LLAMA_LLAMA_PREFIX_FILES_H
#define TL_ENGINE_LLAMA_LLAMA_PREFIX_FILES_H

#include <stddef.h>
#include <stdint.h>

#include "teola/status.h"

struct tl_prefix_files;

/* Makes the folder when it is not there. It must be this user's and closed to others. `identity` is all that a state
 * depends on besides its tokens. */
enum tl_status tl_prefix_files_open(const char *folder, uint64_t most_bytes, const char *identity,
                                    struct tl_prefix_files **files, struct tl_error *error);
void tl_prefix_files_close(struct tl_prefix_files *files); /* NULL is allowed */

/* Reads the state, which has `size` bytes, of exactly these tokens. TL_ERR_NOT_FOUND: there is no file. TL_ERR_CORRUPT: it
 * was wrong and is removed; a sentence says what. `state` is undefined then. */
enum tl_status tl_prefix_files_read(const struct tl_prefix_files *files, const int32_t *ids, size_t count, void *state,
                                    size_t size, struct tl_error *error);

/* Writes it, unless it is there; then removes others until all are within the bound. TL_ERR_LIMIT: it alone is not. */
enum tl_status tl_prefix_files_write(const struct tl_prefix_files *files, const int32_t *ids, size_t count,
                                     const void *state, size_t size, struct tl_error *error);

/* What lies in such a folder. */
void tl_prefix_files_sum(const char *folder, size_t *count, uint64_t *bytes);

#endif

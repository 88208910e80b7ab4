/* walk.h: the files below some paths, in an order that depends on their names alone.
 *
 * Entries of a directory come sorted by bytes. Names that begin with '.' are left out, unless the
 * path itself was named. Symbolic links are followed as long as they stay below the paths, so that
 * nothing is read that was not named; each directory is entered once, so loops end and
 * overlapping paths give nothing twice. Memory grows with the depth and with the
 * number of directories, not with the number of files. */
#ifndef TL_INDEXER_WALK_H
#define TL_INDEXER_WALK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "teola/status.h"

struct tl_walk_file {
    const char *path;  /* absolute, as it is named from its root; borrowed for the call */
    uint64_t size;     /* bytes */
    int64_t modified;  /* ns since 1970 */
    const char *wrong; /* NULL: a regular file; else why it cannot be read, for people */
};

/* Makes each path absolute, links resolved. TL_ERR_NOT_FOUND names the first that does not exist.
 * *roots: `count` strings and the array, owned; free with tl_walk_roots_free. */
enum tl_status tl_walk_roots(const char *const *paths, size_t count, char ***roots, struct tl_error *error);
void tl_walk_roots_free(char **roots, size_t count);

/* Calls `each` for every file below the roots; stops when it returns false, and then returns false. */
bool tl_walk(char *const *roots, size_t count, bool (*each)(void *context, const struct tl_walk_file *file),
             void *context);

/* True when `path` is a root or below one. */
bool tl_walk_is_below(char *const *roots, size_t count, const char *path);

#endif

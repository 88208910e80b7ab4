/* download.h: one file from a URL, of known size and SHA-256.
 *
 * Written to "<path>.part" and renamed when complete and right, so that `path` is never a
 * partial or wrong file. What an interrupted download left is continued (Range, If-Range with
 * the ETag kept in "<path>.part.json"); a part that belongs to other content is dropped.
 * The caller sees to it that one process at a time downloads to a path. */
#ifndef TL_MODELS_DOWNLOAD_H
#define TL_MODELS_DOWNLOAD_H

#include <stdint.h>

#include "teola/status.h"

struct tl_download {
    const char *url;
    const char *token; /* NULL: none */
    const char *path;
    uint64_t size;      /* expected, and the most that is written */
    const char *sha256; /* expected */
    unsigned attempts;       /* in a row without progress, before giving up; 0: 5 */
    unsigned first_delay_ms; /* before the second attempt; doubles up to 30 s */
    unsigned stall_seconds;  /* 0: 30 */
    void (*progress)(void *user, uint64_t done, uint64_t total); /* NULL: none */
    void *user;
};

/* What was transferred, for reports and tests. */
struct tl_download_counters {
    uint64_t received;     /* body bytes taken from the network */
    unsigned requests;     /* GETs made, redirects not counted */
    unsigned resumed;      /* of them, answered with a continuation */
    unsigned restarts;     /* parts that were dropped */
};

/* TL_ERR_CORRUPT when size or digest are not what was expected (found and expected are named). */
enum tl_status tl_download_file(const struct tl_download *download, struct tl_download_counters *counters,
                                struct tl_error *error);

#endif

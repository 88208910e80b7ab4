/* status.h: how every function of the library reports failure.
 *
 * A function that can fail returns `enum tl_status`; where a person will read the
 * reason it also takes a `struct tl_error *`, which may be NULL, and writes one
 * sentence into it: what, where, what was found, what was expected, what to do.
 */
#ifndef TEOLA_STATUS_H
#define TEOLA_STATUS_H

#ifdef __cplusplus
extern "C" {
#endif

enum tl_status {
    TL_OK = 0,
    TL_ERR_USAGE,       /* the call or option itself is wrong */
    TL_ERR_INVALID,     /* the input (file, workflow, document) is malformed */
    TL_ERR_NOT_FOUND,   /* the named thing does not exist */
    TL_ERR_IO,          /* a file, pipe or socket failed */
    TL_ERR_NO_MEMORY,   /* an input-sized allocation failed; only this request is affected */
    TL_ERR_LIMIT,       /* the input exceeds a stated limit */
    TL_ERR_BUSY,        /* try again later */
    TL_ERR_UNSUPPORTED, /* a version or engine lacks the ability */
    TL_ERR_CORRUPT,     /* stored data does not match its checksum or format */
    TL_ERR_ENGINE,      /* an engine failed while computing */
    TL_ERR_DEADLINE,    /* the deadline passed */
    TL_ERR_CANCELLED,   /* cancelled by the user */
    TL_STATUS_COUNT
};

/* Returns the lower-case name of a status, such as "not found". Never NULL. */
const char *tl_status_name(enum tl_status status);

#define TL_ERROR_MESSAGE_MAX 1024

struct tl_error {
    enum tl_status status;
    char message[TL_ERROR_MESSAGE_MAX]; /* UTF-8, NUL-terminated; cut with "..." when too long */
};

#ifdef __cplusplus
}
#endif
#endif

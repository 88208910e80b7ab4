/* http.h: one GET request, with its redirects, over libcurl.
 *
 * Rules. https everywhere; plain http is accepted for this machine (loopback) only, also as
 * the target of a redirect. The token goes to the host that was asked and to no other.
 * Proxies are taken from the environment (https_proxy, no_proxy), never for loopback.
 * A transfer that stands still for `stall_seconds` ends.
 * Failures that may pass by themselves (connection, stall, 429, 5xx, a body that breaks off)
 * are TL_ERR_BUSY; all others are final. */
#ifndef TL_MODELS_HTTP_H
#define TL_MODELS_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "teola/status.h"

struct tl_http_response {
    long status;             /* 200, 206, ... */
    char etag[256];          /* as sent, with quotes; "" when absent or too long */
    int64_t content_length;  /* of this body; -1 unknown */
    int64_t range_start;     /* of a 206; -1 unknown */
    int64_t range_total;     /* of a 206; -1 unknown */
    unsigned retry_after;    /* seconds that the server asks for; 0: none */
};

/* Who takes the body of a 200 or 206. A status other than TL_OK ends the transfer and is returned. */
struct tl_http_sink {
    enum tl_status (*begin)(void *user, const struct tl_http_response *response, struct tl_error *error);
    enum tl_status (*data)(void *user, const void *data, size_t size, struct tl_error *error);
    void *user;
};

struct tl_http_request {
    const char *url;
    const char *token;          /* for "Authorization: Bearer"; NULL: none */
    const char *const *headers; /* further "Name: value" lines, NULL-terminated; may be NULL */
    unsigned stall_seconds;     /* 0: 30 */
};

/* *response is filled also when the status is an error's. TL_ERR_INVALID: the URL given is not one, or
 * not allowed; 416 is TL_ERR_LIMIT, 404 TL_ERR_NOT_FOUND, other 4xx and a refused redirect TL_ERR_IO; the
 * message names the URL. */
enum tl_status tl_http_get(const struct tl_http_request *request, const struct tl_http_sink *sink,
                           struct tl_http_response *response, struct tl_error *error);

/* The whole body appended to `out`; TL_ERR_LIMIT when it is longer than `limit`. Tries again, up to
 * three times in all, what may pass by itself. */
enum tl_status tl_http_get_text(const struct tl_http_request *request, size_t limit, struct tl_str *out,
                                struct tl_error *error);

#endif

#define _POSIX_C_SOURCE 200809L

#include "models/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "base/mem.h"

enum { MOST_REDIRECTS = 8, CONNECT_SECONDS = 20, DEFAULT_STALL_SECONDS = 30, TEXT_ATTEMPTS = 3 };

/* One hop: the request to one URL. */
struct hop {
    const struct tl_http_sink *sink;
    struct tl_http_response *response;
    struct tl_error *error;
    struct tl_str location; /* of a redirect */
    bool begun;             /* the sink has seen the response */
    enum tl_status status;  /* what the sink said */
};

static pthread_once_t started = PTHREAD_ONCE_INIT;

static void start(void) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        TL_BUG("libcurl could not be started");
}

static bool is_loopback(const char *host) {
    struct in_addr address;
    if (strcasecmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0)
        return true;
    return inet_pton(AF_INET, host, &address) == 1 && (ntohl(address.s_addr) >> 24) == 127;
}

/* Where a URL leads: "scheme://host:port", and whether that is this machine. */
struct origin {
    char *text;
    bool loopback, https;
};

static enum tl_status find_origin(CURLU *url, const char *text, struct origin *origin, struct tl_error *error) {
    char *scheme = NULL, *host = NULL, *port = NULL, *user = NULL;
    enum tl_status status = TL_OK;
    *origin = (struct origin){0};
    if (curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_HOST, &host, 0) != CURLUE_OK ||
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) != CURLUE_OK) {
        status = tl_error_set(error, TL_ERR_INVALID, "%s: is not a URL with a host", text);
    } else if (curl_url_get(url, CURLUPART_USER, &user, 0) == CURLUE_OK) {
        status = tl_error_set(error, TL_ERR_INVALID, "a URL on %s carries a user name; give a token instead", host);
    } else {
        struct tl_str joined = TL_STR_INIT;
        tl_str_printf(&joined, "%s://%s:%s", scheme, host, port);
        origin->text = tl_str_detach(&joined);
        origin->loopback = is_loopback(host);
        origin->https = strcasecmp(scheme, "https") == 0;
        if (!origin->https && !(origin->loopback && strcasecmp(scheme, "http") == 0))
            status = tl_error_set(error, TL_ERR_INVALID,
                                  "%s: expected https (plain http is accepted for this machine only)", text);
    }
    curl_free(scheme);
    curl_free(host);
    curl_free(port);
    curl_free(user);
    return status;
}

/* `status` is what find_origin said of the target: to the caller it is the server's fault, not an invalid URL. */
static enum tl_status check_redirect(const char *from, const char *to, const struct origin *first,
                                     const struct origin *here, enum tl_status status, struct tl_error *error) {
    if (status != TL_OK)
        return tl_error_set(error, TL_ERR_IO, "%s: redirected to %s: refused, expected https", from, to);
    if (first->https && !here->https)
        return tl_error_set(error, TL_ERR_IO, "%s: redirected to %s: refused, from https to http", from, to);
    if (!first->loopback && here->loopback)
        return tl_error_set(error, TL_ERR_IO, "%s: redirected to %s: refused, it is this machine", from, to);
    return TL_OK;
}

/* The value of a header line when its name is `name`, else false. */
static bool header_value(const char *line, size_t length, const char *name, char *out, size_t size) {
    size_t name_length = strlen(name);
    if (length <= name_length || line[name_length] != ':' || strncasecmp(line, name, name_length) != 0)
        return false;
    const char *start = line + name_length + 1, *end = line + length;
    while (start < end && (*start == ' ' || *start == '\t'))
        start++;
    while (end > start && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ' || end[-1] == '\t'))
        end--;
    if ((size_t)(end - start) >= size)
        return false;
    memcpy(out, start, (size_t)(end - start));
    out[end - start] = '\0';
    return true;
}

static size_t take_header(char *line, size_t one, size_t length, void *user) {
    (void)one;
    struct hop *hop = user;
    struct tl_http_response *response = hop->response;
    char value[4096];
    if (length > 5 && strncmp(line, "HTTP/", 5) == 0) { /* a new response: an interim or a proxy's came before */
        *response = (struct tl_http_response){.content_length = -1, .range_start = -1, .range_total = -1};
        tl_str_clear(&hop->location);
        const char *space = memchr(line, ' ', length);
        if (space != NULL)
            response->status = strtol(space, NULL, 10);
    } else if (header_value(line, length, "Location", value, sizeof value)) {
        tl_str_clear(&hop->location);
        tl_str_puts(&hop->location, value);
    } else if (header_value(line, length, "ETag", value, sizeof response->etag)) {
        memcpy(response->etag, value, strlen(value) + 1);
    } else if (header_value(line, length, "Content-Length", value, sizeof value)) {
        response->content_length = strtoll(value, NULL, 10);
    } else if (header_value(line, length, "Retry-After", value, sizeof value)) {
        response->retry_after = (unsigned)strtoul(value, NULL, 10);
    } else if (header_value(line, length, "Content-Range", value, sizeof value)) {
        long long first, last, total;
        int got = sscanf(value, "bytes %lld-%lld/%lld", &first, &last, &total);
        if (got >= 2)
            response->range_start = first;
        if (got == 3)
            response->range_total = total;
    }
    return length;
}

static bool is_body(long status) {
    return status == 200 || status == 206;
}

static enum tl_status begin_once(struct hop *hop) {
    if (!hop->begun) {
        hop->begun = true;
        hop->status = hop->sink->begin(hop->sink->user, hop->response, hop->error);
    }
    return hop->status;
}

static size_t take_body(char *data, size_t one, size_t length, void *user) {
    struct hop *hop = user;
    size_t size = one * length;
    if (!is_body(hop->response->status))
        return size; /* the page of an error or a redirect: not wanted */
    if (begin_once(hop) == TL_OK)
        hop->status = hop->sink->data(hop->sink->user, data, size, hop->error);
    return hop->status == TL_OK ? size : 0;
}

static enum tl_status explain_status(const char *url, const struct tl_http_response *response, bool had_token,
                                     struct tl_error *error) {
    long status = response->status;
    switch (status) {
    case 401:
    case 403:
        return tl_error_set(error, TL_ERR_IO, "%s: access refused (HTTP %ld); %s", url, status,
                            had_token ? "the token does not allow it, or the licence was not accepted on its page"
                                      : "set HF_TOKEN to a token that may read it");
    case 404: return tl_error_set(error, TL_ERR_NOT_FOUND, "%s: not there (HTTP 404)", url);
    case 416: return tl_error_set(error, TL_ERR_LIMIT, "%s: the wanted range is not there (HTTP 416)", url);
    case 408:
    case 429: return tl_error_set(error, TL_ERR_BUSY, "%s: the server asks to come back later (HTTP %ld)", url, status);
    default:
        return tl_error_set(error, status >= 500 ? TL_ERR_BUSY : TL_ERR_IO, "%s: unexpected answer (HTTP %ld)", url,
                            status);
    }
}

static void set_options(CURL *curl, const struct tl_http_request *request, const char *url, struct hop *hop,
                        const struct origin *origin, struct curl_slist *headers, char *reason) {
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, reason);
    curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(curl, CURLOPT_HEADERDATA, hop);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, hop);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "teola");
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L); /* each hop is checked by us */
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME,
                     (long)(request->stall_seconds == 0 ? DEFAULT_STALL_SECONDS : request->stall_seconds));
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, origin->https ? "https" : "http");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, (long)(origin->https ? CURLPROTO_HTTPS : CURLPROTO_HTTP));
#endif
    if (origin->loopback)
        curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
}

static enum tl_status run_hop(const struct tl_http_request *request, const char *url, const struct origin *origin,
                              bool same_host, struct hop *hop) {
    CURL *curl = curl_easy_init();
    if (curl == NULL)
        TL_BUG("libcurl gave no handle");
    struct curl_slist *headers = NULL;
    if (request->token != NULL && same_host) {
        struct tl_str line = TL_STR_INIT;
        tl_str_printf(&line, "Authorization: Bearer %s", request->token);
        headers = curl_slist_append(headers, line.data);
        tl_str_fini(&line);
    }
    for (const char *const *line = request->headers; line != NULL && *line != NULL; line++)
        headers = curl_slist_append(headers, *line);
    char reason[CURL_ERROR_SIZE] = "";
    set_options(curl, request, url, hop, origin, headers, reason);
    CURLcode code = curl_easy_perform(curl);
    curl_slist_free_all(headers);
    curl_easy_cleanup(curl);
    if (hop->status != TL_OK)
        return hop->status;
    if (code == CURLE_OK)
        return TL_OK;
    return tl_error_set(hop->error, code == CURLE_PEER_FAILED_VERIFICATION ? TL_ERR_IO : TL_ERR_BUSY, "%s: %s", url,
                        reason[0] == '\0' ? curl_easy_strerror(code) : reason);
}

static bool is_redirect(long status) {
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

enum tl_status tl_http_get(const struct tl_http_request *request, const struct tl_http_sink *sink,
                           struct tl_http_response *response, struct tl_error *error) {
    pthread_once(&started, start);
    *response = (struct tl_http_response){.content_length = -1, .range_start = -1, .range_total = -1};
    struct hop hop = {.sink = sink, .response = response, .error = error, .location = TL_STR_INIT};
    struct origin first = {0}, here = {0};
    CURLU *url = curl_url();
    char *text = NULL;
    if (url == NULL)
        TL_BUG("libcurl gave no URL handle");
    enum tl_status status = TL_OK;
    if (curl_url_set(url, CURLUPART_URL, request->url, 0) != CURLUE_OK)
        status = tl_error_set(error, TL_ERR_INVALID, "%s: is not a URL", request->url);
    if (status == TL_OK)
        status = find_origin(url, request->url, &first, error);
    for (int hops = 0; status == TL_OK; hops++) {
        curl_free(text);
        text = NULL;
        tl_mem_free(here.text);
        here.text = NULL;
        if (curl_url_get(url, CURLUPART_URL, &text, 0) != CURLUE_OK)
            TL_BUG("libcurl lost a URL");
        status = find_origin(url, text, &here, error);
        if (hops > 0)
            status = check_redirect(request->url, text, &first, &here, status, error);
        if (status == TL_OK)
            status = run_hop(request, text, &here, strcmp(first.text, here.text) == 0, &hop);
        if (status != TL_OK)
            break;
        if (is_body(response->status)) {
            status = begin_once(&hop); /* an empty body */
            break;
        }
        if (!is_redirect(response->status) || hop.location.length == 0) {
            status = explain_status(text, response, request->token != NULL, error);
        } else if (hops == MOST_REDIRECTS) {
            status = tl_error_set(error, TL_ERR_IO, "%s: more than %d redirects", request->url, MOST_REDIRECTS);
        } else if (curl_url_set(url, CURLUPART_URL, hop.location.data, 0) != CURLUE_OK) {
            status = tl_error_set(error, TL_ERR_IO, "%s: redirected to \"%s\", which is no URL", request->url,
                                  hop.location.data);
        }
    }
    curl_free(text);
    curl_url_cleanup(url);
    tl_mem_free(first.text);
    tl_mem_free(here.text);
    tl_str_fini(&hop.location);
    return status;
}

struct text_sink {
    struct tl_str *out;
    size_t start, limit;
    const char *url;
};

static enum tl_status begin_text(void *user, const struct tl_http_response *response, struct tl_error *error) {
    (void)response;
    (void)error;
    struct text_sink *sink = user;
    tl_str_truncate(sink->out, sink->start); /* another attempt may have left something */
    return TL_OK;
}

static enum tl_status add_text(void *user, const void *data, size_t size, struct tl_error *error) {
    struct text_sink *sink = user;
    if (size > sink->limit - (sink->out->length - sink->start))
        return tl_error_set(error, TL_ERR_LIMIT, "%s: the answer is longer than %zu bytes", sink->url, sink->limit);
    tl_str_append(sink->out, data, size);
    return TL_OK;
}

enum tl_status tl_http_get_text(const struct tl_http_request *request, size_t limit, struct tl_str *out,
                                struct tl_error *error) {
    struct text_sink target = {.out = out, .start = out->length, .limit = limit, .url = request->url};
    const struct tl_http_sink sink = {.begin = begin_text, .data = add_text, .user = &target};
    struct tl_http_response response;
    enum tl_status status = TL_ERR_BUSY;
    for (int attempt = 0; attempt < TEXT_ATTEMPTS && status == TL_ERR_BUSY; attempt++)
        status = tl_http_get(request, &sink, &response, error);
    return status;
}

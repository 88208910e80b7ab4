/* server_target.c: see server_target.h. One curl transfer for each request, all driven by one multi handle. A stream is
 * events of one line each, "data: {...}"; text counts when it has come. */
#include "bench/server_target.h"

#include <curl/curl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

enum { LONGEST_LINE = 1 << 22, LONGEST_REFUSAL = 400 };

struct server_target {
    struct tl_bench_target base;
    CURLM *multi;
    struct curl_slist *headers;
    char *url, *model;
    bool completions;
    struct transfer *first; /* all that are under way */
};

struct transfer {
    struct server_target *target;
    struct transfer *next;
    struct tl_bench_drive *drive; /* NULL: a probe or a preparation */
    size_t number;
    CURL *curl;
    char *body;
    struct tl_str line;    /* what has come of the present line; of a refusal, all of it */
    struct tl_bench_usage usage;
    bool ended;            /* the stream said so */
    char problem[LONGEST_REFUSAL]; /* "" when there is none */
};

static struct server_target *target_of(struct tl_bench_target *target) {
    return (struct server_target *)target;
}

static uint64_t now(struct tl_bench_target *target) {
    (void)target;
    return tl_clock_now();
}

/* ---- what comes ---- */

static uint64_t count_of(const json_t *object, const char *name) {
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

/* llama-server's `timings` say what was computed; `usage` is what all servers have. */
static void take_usage(struct transfer *transfer, const json_t *event) {
    const json_t *usage = json_object_get(event, "usage"), *timings = json_object_get(event, "timings");
    struct tl_bench_usage *sum = &transfer->usage;
    if (json_is_object(usage)) {
        sum->asked = count_of(usage, "prompt_tokens");
        sum->written = count_of(usage, "completion_tokens");
        sum->reused = count_of(json_object_get(usage, "prompt_tokens_details"), "cached_tokens");
    }
    if (json_is_object(timings) && json_object_get(timings, "cache_n"))
        sum->reused = count_of(timings, "cache_n");
    sum->computed = sum->asked > sum->reused ? sum->asked - sum->reused : 0;
}

static void take_event(struct transfer *transfer, const char *text) {
    if (strcmp(text, "[DONE]") == 0) {
        transfer->ended = true;
        return;
    }
    json_t *event = json_loads(text, 0, NULL);
    const json_t *failure = json_object_get(event, "error");
    const json_t *choice = json_array_get(json_object_get(event, "choices"), 0);
    const char *piece = transfer->target->completions
                            ? json_string_value(json_object_get(choice, "text"))
                            : json_string_value(json_object_get(json_object_get(choice, "delta"), "content"));
    if (!event)
        snprintf(transfer->problem, sizeof transfer->problem, "an event is not JSON: %.100s", text);
    else if (failure)
        snprintf(transfer->problem, sizeof transfer->problem, "%.300s",
                 json_is_string(json_object_get(failure, "message"))
                     ? json_string_value(json_object_get(failure, "message"))
                     : text);
    if (piece && *piece && transfer->drive)
        tl_bench_drive_piece(transfer->drive, transfer->number);
    if (event)
        take_usage(transfer, event);
    json_decref(event);
}

static void take_line(struct transfer *transfer) {
    struct tl_str *line = &transfer->line;
    while (line->length > 0 && (line->data[line->length - 1] == '\r' || line->data[line->length - 1] == '\n'))
        tl_str_truncate(line, line->length - 1);
    if (tl_str_starts_with(line->data, "data:"))
        take_event(transfer, line->data + 5 + strspn(line->data + 5, " "));
    tl_str_clear(line);
}

static size_t take_body(char *data, size_t one, size_t length, void *user) {
    (void)one;
    struct transfer *transfer = user;
    long status = 0;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (transfer->line.length + length > LONGEST_LINE)
        return 0;
    if (status != 200) {
        tl_str_append(&transfer->line, data, length);
        return length;
    }
    for (size_t at = 0; at < length;) {
        const char *end = memchr(data + at, '\n', length - at);
        size_t part = end ? (size_t)(end - (data + at)) + 1 : length - at;
        tl_str_append(&transfer->line, data + at, part);
        if (end)
            take_line(transfer);
        at += part;
    }
    return length;
}

/* ---- transfers ---- */

static char *make_body(const struct server_target *target, const char *prefix, const char *own, uint32_t output) {
    struct tl_str prompt = TL_STR_INIT;
    tl_str_printf(&prompt, "%s%s", prefix, own);
    json_t *body = json_pack("{s:i, s:i, s:b, s:b, s:{s:b}}", "max_tokens", (int)output, "temperature", 0, "ignore_eos",
                             1, "stream", 1, "stream_options", "include_usage", 1);
    if (target->model)
        json_object_set_new(body, "model", json_string(target->model));
    if (target->completions)
        json_object_set_new(body, "prompt", json_string(prompt.data));
    else
        json_object_set_new(body, "messages",
                            json_pack("[{s:s, s:s}, {s:s, s:s}]", "role", "system", "content", TL_BENCH_SYSTEM, "role",
                                      "user", "content", prompt.data));
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    tl_str_fini(&prompt);
    return text;
}

static struct transfer *begin(struct server_target *target, struct tl_bench_drive *drive, size_t number,
                              const char *prefix, const char *own, uint32_t output) {
    struct transfer *transfer = tl_mem_zalloc(sizeof *transfer);
    *transfer = (struct transfer){.target = target, .next = target->first, .drive = drive, .number = number};
    target->first = transfer;
    tl_str_init(&transfer->line);
    transfer->body = make_body(target, prefix, own, output);
    transfer->curl = curl_easy_init();
    if (!transfer->curl)
        TL_BUG("libcurl could not make a handle");
    CURL *curl = transfer->curl;
    curl_easy_setopt(curl, CURLOPT_URL, target->url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, target->headers);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, transfer->body);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(curl, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(curl, CURLOPT_PROXY, ""); /* what is measured is the server */
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 20L);
    curl_multi_add_handle(target->multi, curl);
    return transfer;
}

static void end(struct transfer *transfer) {
    struct transfer **link = &transfer->target->first;
    while (*link != transfer)
        link = &(*link)->next;
    *link = transfer->next;
    curl_multi_remove_handle(transfer->target->multi, transfer->curl);
    curl_easy_cleanup(transfer->curl);
    tl_mem_free(transfer->body);
    tl_str_fini(&transfer->line);
    tl_mem_free(transfer);
}

/* Says in `problem` what went wrong, if anything did. */
static void judge(struct transfer *transfer, CURLcode code) {
    long status = 0;
    size_t size = sizeof transfer->problem;
    curl_easy_getinfo(transfer->curl, CURLINFO_RESPONSE_CODE, &status);
    if (code != CURLE_OK)
        snprintf(transfer->problem, size, "%s: %s", transfer->target->url, curl_easy_strerror(code));
    else if (status != 200)
        snprintf(transfer->problem, size, "%s: status %ld: %.200s", transfer->target->url, status,
                 transfer->line.data);
    else if (!transfer->problem[0] && !transfer->ended)
        snprintf(transfer->problem, size, "%s: the stream ended before it was complete", transfer->target->url);
}

/* The transfer that has ended; NULL when none has. */
static struct transfer *next_ended(struct server_target *target) {
    int left;
    for (CURLMsg *message; (message = curl_multi_info_read(target->multi, &left)) != NULL;) {
        char *transfer = NULL;
        if (message->msg != CURLMSG_DONE)
            continue;
        CURLcode code = message->data.result;
        curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &transfer);
        judge((struct transfer *)transfer, code);
        return (struct transfer *)transfer;
    }
    return NULL;
}

static void start(struct tl_bench_target *base, struct tl_bench_drive *drive, size_t number) {
    const struct tl_bench_request *request = &drive->load->requests[number];
    int running;
    begin(target_of(base), drive, number, request->prefix, request->own, request->output);
    curl_multi_perform(target_of(base)->multi, &running);
}

/* Lets curl work until something can be read or `until`. */
static enum tl_status pump(struct server_target *target, uint64_t until, struct tl_error *error) {
    int running, timeout = 1000;
    uint64_t at = tl_clock_now();
    if (until != UINT64_MAX && (until <= at || (until - at) / TL_NS_PER_MS < 1000))
        timeout = until > at ? (int)((until - at + TL_NS_PER_MS - 1) / TL_NS_PER_MS) : 0;
    CURLMcode code = curl_multi_poll(target->multi, NULL, 0, timeout, NULL);
    if (code == CURLM_OK)
        code = curl_multi_perform(target->multi, &running);
    return code == CURLM_OK ? TL_OK : tl_error_set(error, TL_ERR_IO, "%s: %s", target->url, curl_multi_strerror(code));
}

static enum tl_status wait(struct tl_bench_target *base, struct tl_bench_drive *drive, uint64_t until,
                           struct tl_error *error) {
    struct server_target *target = target_of(base);
    enum tl_status status = pump(target, until, error);
    for (struct transfer *ended; (ended = next_ended(target)) != NULL; end(ended))
        if (ended->problem[0])
            tl_bench_drive_failed(drive, ended->number, ended->problem);
        else
            tl_bench_drive_done(drive, ended->number, &ended->usage);
    return status;
}

static void abandon(struct tl_bench_target *base) {
    while (target_of(base)->first)
        end(target_of(base)->first);
}

/* One request alone, of one token. */
static enum tl_status ask(struct server_target *target, const char *prefix, const char *own,
                          struct tl_bench_usage *usage, struct tl_error *error) {
    struct transfer *ended = NULL;
    enum tl_status status = TL_OK;
    begin(target, NULL, 0, prefix, own, 1);
    while (status == TL_OK && (ended = next_ended(target)) == NULL)
        status = pump(target, UINT64_MAX, error);
    if (!ended) {
        abandon(&target->base);
        return status;
    }
    *usage = ended->usage;
    if (ended->problem[0])
        status = tl_error_set(error, TL_ERR_IO, "%s", ended->problem);
    else if (usage->asked == 0)
        status = tl_error_set(error, TL_ERR_UNSUPPORTED, "%s: its answers do not say how many tokens the prompt had",
                              target->url);
    end(ended);
    return status;
}

static enum tl_status probe(struct tl_bench_target *base, uint64_t *tokens, struct tl_error *error) {
    struct tl_bench_usage usage;
    enum tl_status status = ask(target_of(base), "", tl_bench_probe(), &usage, error);
    *tokens = usage.asked;
    return status;
}

static enum tl_status prepare(struct tl_bench_target *base, const struct tl_bench_load *load, struct tl_error *error) {
    struct tl_bench_usage usage;
    enum tl_status status = TL_OK;
    for (size_t i = 0; i < load->prefix_count && status == TL_OK; i++)
        status = ask(target_of(base), load->prefixes[i], "", &usage, error);
    return status;
}

/* ---- life ---- */

static void close_target(struct tl_bench_target *base) {
    struct server_target *target = target_of(base);
    abandon(base);
    if (target->multi)
        curl_multi_cleanup(target->multi);
    curl_slist_free_all(target->headers);
    tl_mem_free(target->url);
    tl_mem_free(target->model);
    tl_mem_free(target);
}

static enum tl_status check_url(const char *text, struct tl_error *error) {
    CURLU *url = curl_url();
    char *scheme = NULL;
    bool good = url && curl_url_set(url, CURLUPART_URL, text, 0) == CURLUE_OK &&
                curl_url_get(url, CURLUPART_SCHEME, &scheme, 0) == CURLUE_OK &&
                (strcmp(scheme, "http") == 0 || strcmp(scheme, "https") == 0);
    curl_free(scheme);
    curl_url_cleanup(url);
    return good ? TL_OK : tl_error_set(error, TL_ERR_INVALID, "\"%s\" is no URL such as http://127.0.0.1:8080", text);
}

enum tl_status tl_bench_server_target_open(const struct tl_bench_server *server, struct tl_bench_target **out,
                                           struct tl_error *error) {
    *out = NULL;
    enum tl_status status = check_url(server->url, error);
    if (status != TL_OK)
        return status;
    struct server_target *target = tl_mem_zalloc(sizeof *target);
    target->base = (struct tl_bench_target){start, wait, abandon, prepare, probe, now, close_target};
    target->multi = curl_multi_init();
    target->completions = server->completions;
    target->model = tl_mem_strdup(server->model);
    struct tl_str line = TL_STR_INIT;
    size_t length = strlen(server->url);
    while (length > 0 && server->url[length - 1] == '/')
        length--;
    tl_str_printf(&line, "%.*s/v1/%s", (int)length, server->url,
                  server->completions ? "completions" : "chat/completions");
    target->url = tl_str_detach(&line);
    target->headers = curl_slist_append(NULL, "Content-Type: application/json");
    target->headers = curl_slist_append(target->headers, "Expect:");
    if (server->key) {
        tl_str_printf(&line, "Authorization: Bearer %s", server->key);
        target->headers = curl_slist_append(target->headers, line.data);
    }
    tl_str_fini(&line);
    if (!target->multi || !target->headers) {
        close_target(&target->base);
        return tl_error_set(error, TL_ERR_NO_MEMORY, "libcurl could not be started");
    }
    *out = &target->base;
    return TL_OK;
}

#include "server/emulate_impl.h"

#include <errno.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/keyvalq_struct.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/mem.h"

#define MOST_BODY (64 * 1024 * 1024)

/* ---- exchanges ---- */

static void free_exchange(struct exchange *exchange) {
    struct evhttp_connection *connection = evhttp_request_get_connection(exchange->request);
    if (connection && !exchange->gone)
        evhttp_connection_set_closecb(connection, NULL, NULL);
    event_free(exchange->hang_up);
    *exchange->link = exchange->next;
    if (exchange->next)
        exchange->next->link = exchange->link;
    json_decref(exchange->body);
    tl_arena_fini(&exchange->arena);
    tl_mem_free(exchange);
}

/* A request that has lost its connection is ours; else it goes with the connection. */
static void on_client_gone(struct evhttp_connection *connection, void *context) {
    (void)connection;
    struct exchange *exchange = context;
    struct evhttp_request *request = exchange->request;
    exchange->gone = true;
    exchange->server->left++;
    if (exchange->job)
        tl_pace_cancel(exchange->job);
    free_exchange(exchange);
    if (!evhttp_request_get_connection(request))
        evhttp_request_free(request);
}

/* evhttp does not read while it waits for an answer, so it would not see this. */
static void on_hang_up(evutil_socket_t socket, short what, void *context) {
    (void)socket, (void)what;
    evhttp_connection_free(evhttp_request_get_connection(((struct exchange *)context)->request));
}

static void reply(struct exchange *exchange, int code, json_t *answer) {
    struct evhttp_request *request = exchange->request;
    char *text = json_dumps(answer, JSON_COMPACT);
    struct evbuffer *buffer = evbuffer_new();
    evbuffer_add(buffer, text, strlen(text));
    free(text);
    json_decref(answer);
    free_exchange(exchange);
    evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Type", "application/json");
    evhttp_send_reply(request, code, NULL, buffer);
    evbuffer_free(buffer);
}

void tl_exchange_answer(struct exchange *exchange, json_t *answer) {
    reply(exchange, HTTP_OK, answer);
}

void tl_exchange_fail(struct exchange *exchange, int code, const char *format, ...) {
    struct tl_str message = TL_STR_INIT;
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&message, format, args);
    va_end(args);
    exchange->server->refused++;
    json_t *answer = json_pack("{s:{s:s, s:s, s:i}}", "error", "message", message.data, "type",
                               code < 500 ? "invalid_request_error" : "server_error", "code", code);
    tl_str_fini(&message);
    if (exchange->begun) { /* headers have gone: the error is the stream's last event */
        char *text = json_dumps(answer, JSON_COMPACT);
        tl_exchange_stream(exchange, text, strlen(text));
        free(text);
        json_decref(answer);
        tl_exchange_end_stream(exchange);
        return;
    }
    reply(exchange, code, answer);
}

void tl_exchange_stream(struct exchange *exchange, const char *data, size_t length) {
    if (!exchange->begun) {
        exchange->begun = true;
        struct evkeyvalq *headers = evhttp_request_get_output_headers(exchange->request);
        evhttp_add_header(headers, "Content-Type", "text/event-stream");
        evhttp_add_header(headers, "Cache-Control", "no-cache");
        evhttp_send_reply_start(exchange->request, HTTP_OK, NULL);
    }
    struct evbuffer *buffer = evbuffer_new();
    evbuffer_add(buffer, "data: ", 6);
    evbuffer_add(buffer, data, length);
    evbuffer_add(buffer, "\n\n", 2);
    evhttp_send_reply_chunk(exchange->request, buffer);
    evbuffer_free(buffer);
}

void tl_exchange_end_stream(struct exchange *exchange) {
    struct evhttp_request *request = exchange->request;
    free_exchange(exchange);
    evhttp_send_reply_end(request);
}

void tl_exchange_submit(struct exchange *exchange, enum tl_primitive op, struct tl_value *const *inputs, size_t count,
                        bool stream,
                        void (*done)(void *context, struct tl_value *output, const struct tl_usage *usage,
                                     enum tl_status status, const char *message)) {
    struct tl_pace_request request = {
        .op = op,
        .engine = exchange->model,
        .attributes = &exchange->attributes,
        .input_count = count,
        .stream = stream,
        .context = exchange,
        .delta = tl_emulate_text_delta,
        .done = done,
    };
    struct tl_error error;
    for (size_t i = 0; i < count; i++)
        request.inputs[i] = inputs[i];
    exchange->job = NULL;
    if (tl_pace_submit(exchange->server->pace, &request, &exchange->job, &error) != TL_OK)
        tl_exchange_fail(exchange, 501, "%s", error.message);
}

/* ---- routes ---- */

static void get_models(struct exchange *exchange) {
    json_t *data = json_array();
    const struct tl_config *config = exchange->server->config;
    for (size_t i = 0; i < tl_config_engine_count(config); i++)
        if (strcmp(tl_config_engine(config, i)->type, "emulated") == 0)
            json_array_append_new(data, json_pack("{s:s, s:s, s:i, s:s}", "id", tl_config_engine(config, i)->name,
                                                  "object", "model", "created", 0, "owned_by", "teola"));
    tl_exchange_answer(exchange, json_pack("{s:s, s:o}", "object", "list", "data", data));
}

static void get_health(struct exchange *exchange) {
    tl_exchange_answer(exchange, json_pack("{s:s}", "status", "ok"));
}

static void get_counters(struct exchange *exchange) {
    const struct tl_emulate *server = exchange->server;
    tl_exchange_answer(exchange, json_pack("{s:I, s:I, s:I, s:o}", "requests", (json_int_t)server->requests, "refused",
                                           (json_int_t)server->refused, "clients_left", (json_int_t)server->left,
                                           "engines", tl_pace_counters(server->pace)));
}

static const struct route {
    const char *path;
    bool post;
    void (*handle)(struct exchange *exchange);
} routes[] = {
    {"/v1/chat/completions", true, tl_emulate_chat},
    {"/v1/completions", true, tl_emulate_completions},
    {"/v1/embeddings", true, tl_emulate_embeddings},
    {"/v1/rerank", true, tl_emulate_rerank},
    {"/rerank", true, tl_emulate_rerank},
    {"/ingest", true, tl_emulate_ingest},
    {"/search", true, tl_emulate_search},
    {"/web_search", true, tl_emulate_web_search},
    {"/tool", true, tl_emulate_tool},
    {"/v1/models", false, get_models},
    {"/health", false, get_health},
    {"/counters", false, get_counters},
};

static struct exchange *create_exchange(struct tl_emulate *server, struct evhttp_request *request) {
    struct exchange *exchange = tl_mem_zalloc(sizeof *exchange);
    exchange->server = server;
    exchange->request = request;
    exchange->number = ++server->requests;
    exchange->created = (int64_t)time(NULL);
    tl_arena_init(&exchange->arena);
    exchange->next = server->exchanges;
    exchange->link = &server->exchanges;
    if (exchange->next)
        exchange->next->link = &exchange->next;
    server->exchanges = exchange;
    struct evhttp_connection *connection = evhttp_request_get_connection(request);
    evutil_socket_t socket = bufferevent_getfd(evhttp_connection_get_bufferevent(connection));
    evhttp_connection_set_closecb(connection, on_client_gone, exchange);
    exchange->hang_up = event_new(server->base, socket, EV_CLOSED, on_hang_up, exchange);
    event_add(exchange->hang_up, NULL);
    return exchange;
}

/* False (and the exchange has failed) when the body is no JSON object. */
static bool read_body(struct exchange *exchange) {
    struct evbuffer *buffer = evhttp_request_get_input_buffer(exchange->request);
    size_t length = evbuffer_get_length(buffer);
    const char *data = length ? (const char *)evbuffer_pullup(buffer, -1) : "";
    json_error_t error;
    exchange->body = json_loadb(data, length, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(exchange->body)) {
        if (exchange->body)
            tl_exchange_fail(exchange, 400, "the body must be a JSON object");
        else
            tl_exchange_fail(exchange, 400, "the body is no JSON: line %d, column %d: %s", error.line, error.column,
                             error.text);
        return false;
    }
    exchange->model = json_string_value(json_object_get(exchange->body, "model"));
    return true;
}

static void on_request(struct evhttp_request *request, void *context) {
    struct exchange *exchange = create_exchange(context, request);
    const char *path = evhttp_uri_get_path(evhttp_request_get_evhttp_uri(request));
    bool post = evhttp_request_get_command(request) == EVHTTP_REQ_POST;
    const struct route *route = NULL;
    for (size_t i = 0; i < sizeof routes / sizeof routes[0]; i++)
        if (path && strcmp(routes[i].path, path) == 0)
            route = &routes[i];
    if (!route)
        tl_exchange_fail(exchange, HTTP_NOTFOUND, "there is no %s here", path ? path : "such path");
    else if (route->post != post)
        tl_exchange_fail(exchange, HTTP_BADMETHOD, "%s wants %s", path, route->post ? "POST" : "GET");
    else if (!post || read_body(exchange))
        route->handle(exchange);
}

/* ---- life ---- */

static void on_stop(evutil_socket_t socket, short what, void *context) {
    (void)socket, (void)what;
    event_base_loopbreak(((struct tl_emulate *)context)->base);
}

static enum tl_status add_engines(struct tl_emulate *server, struct tl_error *error) {
    size_t added = 0;
    for (size_t i = 0; i < tl_config_engine_count(server->config); i++) {
        const struct tl_config_engine *engine = tl_config_engine(server->config, i);
        if (strcmp(engine->type, "emulated") != 0)
            continue;
        added++;
        for (uint32_t k = 0; k < engine->instances; k++) {
            json_t *settings = tl_config_instance_written(engine, k);
            enum tl_status status = tl_pace_add(server->pace, engine->name, settings, error);
            json_decref(settings);
            if (status != TL_OK)
                return status;
        }
    }
    if (added == 0)
        return tl_error_set(error, TL_ERR_INVALID,
                            "the configuration has no engine of type emulated; profiles/rtx3090.yaml is an example");
    return TL_OK;
}

static enum tl_status listen_on(struct tl_emulate *server, const char *address, uint16_t port, struct tl_error *error) {
    struct evhttp_bound_socket *bound = evhttp_bind_socket_with_handle(server->http, address, port);
    if (!bound)
        return tl_error_set(error, TL_ERR_IO, "cannot listen on %s:%u: %s", address, port, strerror(errno));
    struct sockaddr_storage name;
    socklen_t size = sizeof name;
    getsockname(evhttp_bound_socket_get_fd(bound), (struct sockaddr *)&name, &size);
    uint16_t network = name.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&name)->sin6_port
                                                  : ((struct sockaddr_in *)&name)->sin_port;
    server->port = ntohs(network);
    return TL_OK;
}

enum tl_status tl_emulate_create(const struct tl_config *config, const char *address, uint16_t port,
                                 struct tl_emulate **out, struct tl_error *error) {
    struct tl_emulate *server = tl_mem_zalloc(sizeof *server);
    server->config = config;
    struct event_config *settings = event_config_new();
    event_config_set_flag(settings, EVENT_BASE_FLAG_PRECISE_TIMER);
    event_config_set_flag(settings, EVENT_BASE_FLAG_NOLOCK);
    server->base = event_base_new_with_config(settings);
    event_config_free(settings);
    server->stop_pipe[0] = server->stop_pipe[1] = -1;
    if (!server->base || pipe2(server->stop_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        tl_emulate_destroy(server);
        return tl_error_set(error, TL_ERR_IO, "the event loop cannot be made: %s", strerror(errno));
    }
    server->stop = event_new(server->base, server->stop_pipe[0], EV_READ, on_stop, server);
    event_add(server->stop, NULL);
    server->pace = tl_pace_create(server->base);
    server->http = evhttp_new(server->base);
    evhttp_set_max_body_size(server->http, MOST_BODY);
    evhttp_set_max_headers_size(server->http, 64 * 1024);
    evhttp_set_allowed_methods(server->http, EVHTTP_REQ_GET | EVHTTP_REQ_POST);
    evhttp_set_gencb(server->http, on_request, server);
    enum tl_status status = add_engines(server, error);
    if (status == TL_OK)
        status = listen_on(server, address, port, error);
    if (status != TL_OK) {
        tl_emulate_destroy(server);
        return status;
    }
    *out = server;
    return TL_OK;
}

uint16_t tl_emulate_port(const struct tl_emulate *server) {
    return server->port;
}

void tl_emulate_run(struct tl_emulate *server) {
    event_base_dispatch(server->base);
}

void tl_emulate_stop(struct tl_emulate *server) {
    ssize_t written = write(server->stop_pipe[1], "x", 1);
    (void)written; /* a full pipe has woken the loop already */
}

void tl_emulate_destroy(struct tl_emulate *server) {
    if (!server)
        return;
    if (server->pace)
        tl_pace_destroy(server->pace);
    for (struct exchange *exchange = server->exchanges, *next; exchange; exchange = next) {
        next = exchange->next;
        free_exchange(exchange); /* its request goes with the server's connections */
    }
    if (server->http)
        evhttp_free(server->http);
    if (server->stop)
        event_free(server->stop);
    if (server->base)
        event_base_free(server->base);
    for (int i = 0; i < 2; i++)
        if (server->stop_pipe[i] >= 0)
            close(server->stop_pipe[i]);
    tl_mem_free(server);
}

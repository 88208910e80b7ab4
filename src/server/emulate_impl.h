/* emulate_impl.h: the emulating server's parts, for this folder only.
 *
 *   emulate.c        listening, routes, one exchange from its request to its answer
 *   emulate_text.c   chat and completions: a prefill, then a decode, streamed or not
 *   emulate_data.c   embeddings, rerank, ingest, search, web search, tools: one job each
 */
#ifndef TL_SERVER_EMULATE_IMPL_H
#define TL_SERVER_EMULATE_IMPL_H

#include <event2/http.h>
#include <jansson.h>

#include "base/arena.h"
#include "base/attributes.h"
#include "base/str.h"
#include "server/emulate.h"
#include "server/pace.h"

/* A request that is being answered. It ends with exactly one of answer, fail and end_stream. */
struct exchange {
    struct exchange *next, **link; /* all of the server */
    struct tl_emulate *server;
    struct evhttp_request *request;
    struct event *hang_up;           /* the client has closed its side */
    json_t *body;
    struct tl_arena arena;
    struct tl_attributes attributes; /* of its job */
    struct tl_pace_job *job;         /* in progress, or NULL */
    uint64_t number;                 /* for ids in answers */
    int64_t created;                 /* Unix time */
    const char *model;               /* as asked for */
    bool gone;                       /* the client has left */
    /* chat and completions */
    bool chat, streaming, with_usage, begun;
    struct tl_usage prompt_usage;
};

struct tl_emulate {
    struct event_base *base;
    struct evhttp *http;
    struct event *stop;
    struct tl_pace *pace;
    struct exchange *exchanges;
    const struct tl_config *config;
    uint64_t requests, refused, left;
    uint16_t port;
    int stop_pipe[2];
};

/* The answer, which is taken; the exchange is gone afterwards. */
void tl_exchange_answer(struct exchange *exchange, json_t *answer);
void tl_exchange_fail(struct exchange *exchange, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* A streamed answer: events of "data: ...". */
void tl_exchange_stream(struct exchange *exchange, const char *data, size_t length);
void tl_exchange_end_stream(struct exchange *exchange);
/* Starts a job for the exchange; fails the exchange when no engine serves it. */
void tl_exchange_submit(struct exchange *exchange, enum tl_primitive op, struct tl_value *const *inputs, size_t count,
                        bool stream,
                        void (*done)(void *context, struct tl_value *output, const struct tl_usage *usage,
                                     enum tl_status status, const char *message));

void tl_emulate_chat(struct exchange *exchange);
void tl_emulate_completions(struct exchange *exchange);
/* For jobs of these exchanges: a delta goes out as an event. */
void tl_emulate_text_delta(void *context, const char *text, size_t length);

void tl_emulate_embeddings(struct exchange *exchange);
void tl_emulate_rerank(struct exchange *exchange);
void tl_emulate_ingest(struct exchange *exchange);
void tl_emulate_search(struct exchange *exchange);
void tl_emulate_web_search(struct exchange *exchange);
void tl_emulate_tool(struct exchange *exchange);

#endif

/* server_target.h: a benchmark's target: a server that speaks the OpenAI API, over HTTP with streaming. */
#ifndef TL_BENCH_SERVER_TARGET_H
#define TL_BENCH_SERVER_TARGET_H

#include "bench/drive.h"

struct tl_bench_server {
    const char *url;   /* of the server: "http://host:port"; "/v1/..." is appended */
    const char *model; /* as the server names it; NULL: none is sent */
    const char *key;   /* for "Authorization: Bearer"; NULL: none */
    bool completions;  /* /v1/completions with plain text instead of /v1/chat/completions with messages */
};

/* Connects to nothing yet. TL_ERR_INVALID when the URL is none. What is sent beside the OpenAI API's own fields:
 * ignore_eos, by which llama-server and vLLM write to the limit. */
enum tl_status tl_bench_server_target_open(const struct tl_bench_server *server, struct tl_bench_target **target,
                                           struct tl_error *error);

#endif

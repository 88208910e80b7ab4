/* emulate.h: a server that answers as the engines of an LLM application do, with the latencies of a profile and without
 * any model: an orchestrator, this one or another, can be timed against it on a machine without a GPU.
 *
 *   POST /v1/chat/completions, /v1/completions   text by a hash of the prompt; "stream": true sends each token when it is due
 *   POST /v1/embeddings, /v1/rerank              vectors and scores that follow from the texts
 *   POST /ingest    {"collection", "texts": [...], "vectors": [[...]]}       -> {"rows"}
 *   POST /search    {"collection", "query" or "queries", "vector" or "vectors", "count"}   -> {"hits": [[...]]}
 *   POST /web_search {"query"}   POST /tool {...}
 *   GET  /v1/models, /health, /counters
 *
 * Latencies, continuous batching and prefix caching are the emulated engine's (engine/emulated), paced by server/pace.h.
 * Everything runs on one thread. */
#ifndef TL_SERVER_EMULATE_H
#define TL_SERVER_EMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "runtime/config.h"
#include "teola/status.h"

struct tl_emulate;

/* Listens on `address` ("127.0.0.1") and `port` (0: any free one). The engines are those of type emulated in the
 * configuration. TL_ERR_INVALID: there is none; TL_ERR_IO: the address cannot be listened on. */
enum tl_status tl_emulate_create(const struct tl_config *config, const char *address, uint16_t port,
                                 struct tl_emulate **server, struct tl_error *error);
uint16_t tl_emulate_port(const struct tl_emulate *server);
void tl_emulate_run(struct tl_emulate *server); /* until tl_emulate_stop */
void tl_emulate_stop(struct tl_emulate *server); /* from any thread, and from a signal handler */
void tl_emulate_destroy(struct tl_emulate *server);

#endif

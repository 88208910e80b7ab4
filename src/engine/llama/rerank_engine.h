/* rerank_engine.h: the rerank engine's own state, for its tests: counters of its cache. */
#ifndef TL_ENGINE_LLAMA_RERANK_ENGINE_H
#define TL_ENGINE_LLAMA_RERANK_ENGINE_H

#include "engine/engine_impl.h"
#include "engine/llama/llama_encoder.h"
#include "engine/llama/llama_maxsim.h"

struct tl_rerank_engine_state {
    struct tl_engine base;
    const struct tl_emit *emit;
    struct tl_llama_encoder encoder;
    struct tl_llama_jobs jobs; /* items held */
    struct tl_llama_vectors_cache cache; /* of passages; method maxsim */
    bool cross;                          /* method "cross" */
    const char *pair_template;           /* of the model file, with {query} and {document}; borrowed; NULL: none */
    char *model, *model_name, *model_digest, *gpu_devices;
    int64_t threads, context_size, gpu_layers, cache_bytes;
};

#endif

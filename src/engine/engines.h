/* engines.h: the engine types built in, for the registry and for tests that drive one directly. */
#ifndef TL_ENGINE_ENGINES_H
#define TL_ENGINE_ENGINES_H

#include "engine/engine_impl.h"

extern const struct tl_engine_ops tl_documents_engine;
extern const struct tl_engine_ops tl_embed_engine;
extern const struct tl_engine_ops tl_emulated_engine;
extern const struct tl_engine_ops tl_llama_engine;
extern const struct tl_engine_ops tl_rerank_engine;
extern const struct tl_engine_ops tl_sqlite_engine;

#endif

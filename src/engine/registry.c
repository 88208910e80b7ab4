/* registry.c: the table of engine types. A new engine adds its line here and in engines.h. */
#include <string.h>

#include "engine/engines.h"

static const struct tl_engine_ops *const types[] = {
    &tl_documents_engine, &tl_embed_engine, &tl_emulated_engine, &tl_llama_engine, &tl_rerank_engine, &tl_sqlite_engine,
};

#define TYPE_COUNT (sizeof types / sizeof types[0])

const struct tl_engine_ops *tl_engine_find(const char *type) {
    for (size_t i = 0; i < TYPE_COUNT; i++)
        if (strcmp(types[i]->type, type) == 0)
            return types[i];
    return NULL;
}

const struct tl_engine_ops *const *tl_engine_types(size_t *count) {
    *count = TYPE_COUNT;
    return types;
}

#include "base/primitive.h"

#include <string.h>

#include "base/error.h"

static const struct tl_primitive_info table[TL_OP_COUNT] = {
#define X(id, word, needs, bits, ports) \
    [TL_OP_##id] = {.name = word, .capability = TL_CAPABILITY_##needs, .flags = bits, .signature = ports},
    TL_PRIMITIVES(X)
#undef X
};

static const char *const capability_names[TL_CAPABILITY_COUNT] = {
    [TL_CAPABILITY_BUILTIN] = "builtin", [TL_CAPABILITY_REGION] = "region", [TL_CAPABILITY_DOCUMENTS] = "documents",
    [TL_CAPABILITY_EMBED] = "embed",     [TL_CAPABILITY_RERANK] = "rerank", [TL_CAPABILITY_STORE] = "store",
    [TL_CAPABILITY_LLM] = "llm",         [TL_CAPABILITY_WEB] = "web",       [TL_CAPABILITY_TOOL] = "tool",
};

const struct tl_primitive_info *tl_primitive_info(enum tl_primitive op) {
    TL_ASSERT((unsigned)op < TL_OP_COUNT);
    return &table[op];
}

enum tl_primitive tl_primitive_find(const char *name) {
    for (unsigned op = 0; op < TL_OP_COUNT; op++)
        if (strcmp(table[op].name, name) == 0)
            return (enum tl_primitive)op;
    return TL_OP_COUNT;
}

const char *tl_capability_name(enum tl_capability capability) {
    TL_ASSERT((unsigned)capability < TL_CAPABILITY_COUNT);
    return capability_names[capability];
}

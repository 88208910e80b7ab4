/* module.c: the table of modules, and the roles that engines play for them. */
#include "workflow/module.h"

#include <string.h>

extern const struct tl_module tl_module_index, tl_module_embed, tl_module_search, tl_module_rerank, tl_module_expand,
    tl_module_generate, tl_module_synthesize;

const struct tl_module *const tl_modules[] = {
    &tl_module_index,  &tl_module_embed,    &tl_module_search,     &tl_module_rerank,
    &tl_module_expand, &tl_module_generate, &tl_module_synthesize,
};
const size_t tl_module_count = sizeof tl_modules / sizeof tl_modules[0];

const struct tl_engine_role_info tl_engine_roles[TL_ROLE_COUNT] = {
    [TL_ROLE_LLM] = {"llm", TL_CAPABILITY_LLM, "writes text"},
    [TL_ROLE_EMBEDDER] = {"embedder", TL_CAPABILITY_EMBED, "turns text into vectors"},
    [TL_ROLE_RERANKER] = {"reranker", TL_CAPABILITY_RERANK, "scores passages against a question"},
    [TL_ROLE_STORE] = {"store", TL_CAPABILITY_STORE, "keeps collections and searches them"},
    [TL_ROLE_DOCUMENTS] = {"documents", TL_CAPABILITY_DOCUMENTS, "reads documents and cuts them into passages"},
};

const struct tl_module *tl_module_find(const char *name) {
    for (size_t i = 0; i < tl_module_count; i++)
        if (strcmp(tl_modules[i]->name, name) == 0)
            return tl_modules[i];
    return NULL;
}

const char *tl_module_selector(const struct tl_module *module) {
    for (size_t i = 0; i < module->setting_count; i++)
        if (strcmp(module->settings[i].name, "format") == 0)
            return "format";
    return "mode";
}

void tl_setting_put_modes(const struct tl_setting *setting, struct tl_str *out) {
    for (const char *at = setting->modes; *at != '\0'; at++) {
        if (*at == ' ')
            tl_str_puts(out, " or ");
        else
            tl_str_putc(out, *at);
    }
}

/* tokenizer.c: engine/tokenizer.h over llama.cpp's vocabulary. Nothing is written after
 * open, and llama_tokenize is thread-safe, so a tokenizer may be shared by threads. */
#include "engine/tokenizer.h"

#include "base/mem.h"
#include "engine/llama/llama_device.h"

struct tl_tokenizer {
    struct llama_model *model; /* vocabulary only */
    const struct llama_vocab *vocab;
};

enum tl_status tl_tokenizer_open(const char *model_path, struct tl_tokenizer **tokenizer, struct tl_error *error) {
    *tokenizer = NULL;
    struct llama_model *model;
    const struct tl_llama_loading loading = {.path = model_path, .vocab_only = true};
    enum tl_status status = tl_llama_load(&loading, &model, error);
    if (status != TL_OK)
        return status;
    *tokenizer = tl_mem_alloc(sizeof **tokenizer);
    **tokenizer = (struct tl_tokenizer){model, llama_model_get_vocab(model)};
    return TL_OK;
}

void tl_tokenizer_close(struct tl_tokenizer *tokenizer) {
    if (!tokenizer)
        return;
    llama_model_free(tokenizer->model);
    tl_mem_free(tokenizer);
}

size_t tl_tokenizer_encode(const struct tl_tokenizer *tokenizer, const char *text, size_t length, int32_t *ids,
                           size_t capacity) {
    struct tl_llama_tokens tokens = {0};
    tl_llama_tokenize(tokenizer->vocab, text, length, false, &tokens);
    for (size_t i = 0; i < tokens.count && i < capacity; i++)
        ids[i] = tokens.ids[i];
    size_t count = tokens.count;
    tl_llama_tokens_fini(&tokens);
    return count;
}

size_t tl_tokenizer_count(const struct tl_tokenizer *tokenizer, const char *text, size_t length) {
    return tl_tokenizer_encode(tokenizer, text, length, NULL, 0);
}

#include "engine/llama/quantize.h"

#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "engine/llama/llama_device.h"
#include "engine/llama/llama_memory.h"
#include "gguf.h"

/* Bits of a weight, with its share of scales; those of mixed formats as they come out for small models, where some
 * matrices do not fit the blocks of 256. */
#define FORMATS(X)                                                                                                     \
    X("f16", LLAMA_FTYPE_MOSTLY_F16, 16.0)                                                                             \
    X("bf16", LLAMA_FTYPE_MOSTLY_BF16, 16.0)                                                                           \
    X("q8_0", LLAMA_FTYPE_MOSTLY_Q8_0, 8.5)                                                                            \
    X("q6_k", LLAMA_FTYPE_MOSTLY_Q6_K, 8.5)                                                                            \
    X("q5_1", LLAMA_FTYPE_MOSTLY_Q5_1, 7.0)                                                                            \
    X("q5_k_m", LLAMA_FTYPE_MOSTLY_Q5_K_M, 7.0)                                                                        \
    X("q5_0", LLAMA_FTYPE_MOSTLY_Q5_0, 6.6)                                                                            \
    X("q4_k_m", LLAMA_FTYPE_MOSTLY_Q4_K_M, 6.6)                                                                        \
    X("q4_1", LLAMA_FTYPE_MOSTLY_Q4_1, 6.2)                                                                            \
    X("q4_0", LLAMA_FTYPE_MOSTLY_Q4_0, 5.8)

static const struct {
    enum llama_ftype type;
    double bits;
} formats[] = {
#define X(name, type, bits) {type, bits},
    FORMATS(X)
#undef X
};

const char *const tl_llama_formats[] = {
#define X(name, type, bits) name,
    FORMATS(X)
#undef X
        NULL};

enum { FORMAT_COUNT = sizeof formats / sizeof *formats };

static enum tl_status find_format(const char *format, size_t *found, struct tl_error *error) {
    *found = 0;
    while (*found < FORMAT_COUNT && strcmp(tl_llama_formats[*found], format) != 0)
        ++*found;
    if (*found < FORMAT_COUNT)
        return TL_OK;
    struct tl_str names = TL_STR_INIT;
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        tl_str_printf(&names, "%s%s", i == 0 ? "" : ", ", tl_llama_formats[i]);
    tl_error_set(error, TL_ERR_USAGE, "the weight format \"%s\" is unknown, expected one of %s", format, names.data);
    tl_str_fini(&names);
    return TL_ERR_USAGE;
}

enum tl_status tl_llama_quantize(const char *in, const char *out, const char *format, struct tl_error *error) {
    size_t i;
    enum tl_status status = find_format(format, &i, error);
    if (status != TL_OK)
        return status;
    tl_llama_start();
    struct llama_model_quantize_params params = llama_model_quantize_default_params();
    params.nthread = tl_llama_default_threads();
    params.ftype = formats[i].type;
    params.allow_requantize = true;
    if (llama_model_quantize(in, out, &params) != 0)
        return tl_error_set(error, TL_ERR_ENGINE,
                            "%s: llama.cpp could not write it as %s to %s; TEOLA_LOG=debug shows what it said", in,
                            format, out);
    return TL_OK;
}

const char *tl_llama_format_of(const char *path) {
    tl_llama_start();
    struct gguf_context *gguf = gguf_init_from_file(path, (struct gguf_init_params){.no_alloc = true});
    if (!gguf)
        return NULL;
    int64_t key = gguf_find_key(gguf, "general.file_type");
    bool told = key >= 0 && gguf_get_kv_type(gguf, key) == GGUF_TYPE_UINT32;
    uint32_t type = told ? gguf_get_val_u32(gguf, key) : UINT32_MAX;
    gguf_free(gguf);
    for (size_t i = 0; i < FORMAT_COUNT; i++)
        if (told && (uint32_t)formats[i].type == type)
            return tl_llama_formats[i];
    return NULL;
}

enum tl_status tl_llama_quantized_size(const char *in, const char *format, uint64_t *bytes, struct tl_error *error) {
    enum { HEAD = 32 << 20 }; /* vocabulary and names */
    uint64_t matrices, others;
    size_t i;
    enum tl_status status = find_format(format, &i, error);
    if (status == TL_OK)
        status = tl_llama_memory_elements(in, &matrices, &others, error);
    if (status == TL_OK)
        *bytes = (uint64_t)((double)matrices * formats[i].bits / 8) + others * 4 + HEAD;
    return status;
}

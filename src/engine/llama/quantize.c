#include "engine/llama/quantize.h"

#include <stddef.h>
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "engine/llama/llama_device.h"

static const struct {
    const char *name;
    enum llama_ftype type;
} formats[] = {
    {"f16", LLAMA_FTYPE_MOSTLY_F16},       {"bf16", LLAMA_FTYPE_MOSTLY_BF16},     {"q4_0", LLAMA_FTYPE_MOSTLY_Q4_0},
    {"q4_1", LLAMA_FTYPE_MOSTLY_Q4_1},     {"q5_0", LLAMA_FTYPE_MOSTLY_Q5_0},     {"q5_1", LLAMA_FTYPE_MOSTLY_Q5_1},
    {"q8_0", LLAMA_FTYPE_MOSTLY_Q8_0},     {"q4_k_m", LLAMA_FTYPE_MOSTLY_Q4_K_M}, {"q5_k_m", LLAMA_FTYPE_MOSTLY_Q5_K_M},
    {"q6_k", LLAMA_FTYPE_MOSTLY_Q6_K},
};

enum { FORMATS = sizeof formats / sizeof *formats };

static enum tl_status unknown_format(const char *format, struct tl_error *error) {
    struct tl_str names = TL_STR_INIT;
    for (size_t i = 0; i < FORMATS; i++)
        tl_str_printf(&names, "%s%s", i == 0 ? "" : ", ", formats[i].name);
    tl_error_set(error, TL_ERR_USAGE, "the weight format \"%s\" is unknown, expected one of %s", format, names.data);
    tl_str_fini(&names);
    return TL_ERR_USAGE;
}

enum tl_status tl_llama_quantize(const char *in, const char *out, const char *format, struct tl_error *error) {
    size_t i = 0;
    while (i < FORMATS && strcmp(formats[i].name, format) != 0)
        i++;
    if (i == FORMATS)
        return unknown_format(format, error);
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

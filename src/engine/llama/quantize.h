/* quantize.h: writing a GGUF model anew in another weight format, by llama.cpp's quantiser. */
#ifndef TL_ENGINE_LLAMA_QUANTIZE_H
#define TL_ENGINE_LLAMA_QUANTIZE_H

#include "teola/status.h"

/* Reads the model `in` (quantised ones too) and writes `out`. Formats: f16, bf16, q4_0, q4_1, q5_0, q5_1, q8_0, q4_k_m,
 * q5_k_m, q6_k. The result does not depend on the number of threads. Uses all cores meant for computing. */
enum tl_status tl_llama_quantize(const char *in, const char *out, const char *format, struct tl_error *error);

#endif

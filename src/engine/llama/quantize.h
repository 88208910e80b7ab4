/* quantize.h: writing a GGUF model anew in another weight format, by llama.cpp's quantiser. */
#ifndef TL_ENGINE_LLAMA_QUANTIZE_H
#define TL_ENGINE_LLAMA_QUANTIZE_H

#include <stdint.h>

#include "teola/status.h"

/* Reads the model `in` (quantised ones too) and writes `out`. The result does not depend on the number of threads. Uses
 * all cores meant for computing. TL_ERR_USAGE lists the formats when `format` is none. */
enum tl_status tl_llama_quantize(const char *in, const char *out, const char *format, struct tl_error *error);

/* The formats there are, from the largest to the smallest; ends with NULL. */
extern const char *const tl_llama_formats[];

/* The format of a model file, or NULL when it is none of these. */
const char *tl_llama_format_of(const char *path);

/* About how many bytes the file `in` will have in that format: rather too many. */
enum tl_status tl_llama_quantized_size(const char *in, const char *format, uint64_t *bytes, struct tl_error *error);

#endif

/* llama_measure.h: how fast a GGUF model reads and writes on this machine, and how well it predicts a text. */
#ifndef TL_ENGINE_LLAMA_MEASURE_H
#define TL_ENGINE_LLAMA_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "teola/status.h"

struct tl_llama_measure;

/* Tokens a second. */
struct tl_llama_speed {
    double prefill; /* a prompt of 256 tokens */
    double decode;  /* one sequence behind it, token by token */
    double decode8; /* eight such sequences in one call, all together */
};

/* Loads the model. `threads` 0: as the engines do. `stop` (NULL: never) is asked between calls of the model; when it
 * returns true, what runs ends with TL_ERR_CANCELLED. TL_ERR_UNSUPPORTED when the model writes no text. */
enum tl_status tl_llama_measure_open(const char *path, int32_t threads, bool (*stop)(void *context), void *context,
                                     struct tl_llama_measure **measure, struct tl_error *error);
void tl_llama_measure_close(struct tl_llama_measure *measure); /* NULL is allowed */

/* One sample; the first after opening is slower, as pages of the file come into memory. */
enum tl_status tl_llama_measure_speed(struct tl_llama_measure *measure, struct tl_llama_speed *speed,
                                      struct tl_error *error);

/* exp of the mean negative log-likelihood of the text's tokens, in windows of 512 tokens of which the first 64 are read and
 * not judged; at most `most` tokens are judged, *judged says how many. TL_ERR_ENGINE when the model's output is no
 * number, TL_ERR_INVALID when the text is too short. */
enum tl_status tl_llama_measure_perplexity(struct tl_llama_measure *measure, const char *text, size_t length,
                                           size_t most, double *perplexity, size_t *judged, struct tl_error *error);

#endif

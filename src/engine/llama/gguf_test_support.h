/* gguf_test_support.h: small models with random weights that tests write as GGUF files. The same calls in the same order
 * give the same file. */
#ifndef TL_ENGINE_GGUF_TEST_SUPPORT_H
#define TL_ENGINE_GGUF_TEST_SUPPORT_H

#include <stddef.h>
#include <stdint.h>

#include "ggml.h"
#include "gguf.h"

struct tl_gguf_test {
    struct gguf_context *file;    /* its keys and values are set by gguf_set_... */
    struct ggml_context *tensors; /* with their data; they stay after the file is written */
    uint32_t noise;               /* state of the generator of weights */
};

/* Opens a model without keys and tensors; `bytes` is room for all of its tensors. */
void tl_gguf_test_open(struct tl_gguf_test *model, size_t bytes);
void tl_gguf_test_close(struct tl_gguf_test *model);

/* A tensor of `out` rows of `in` weights, of `in` weights when `out` is 0, each of them base +- spread. */
void tl_gguf_test_add(struct tl_gguf_test *model, const char *name, int64_t in, int64_t out, float base, float spread);

/* Writes it to a new file; `path` is a template as for mkstemp, and names the file then. */
void tl_gguf_test_write(const struct tl_gguf_test *model, char *path);

#endif

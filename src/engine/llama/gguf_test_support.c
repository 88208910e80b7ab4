/* gguf_test_support.c: see gguf_test_support.h. */
#include "engine/llama/gguf_test_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

void tl_gguf_test_open(struct tl_gguf_test *model, size_t bytes) {
    *model = (struct tl_gguf_test){.file = gguf_init_empty(), .noise = 12345};
    model->tensors = ggml_init((struct ggml_init_params){.mem_size = bytes});
    assert_non_null(model->tensors);
}

void tl_gguf_test_close(struct tl_gguf_test *model) {
    gguf_free(model->file);
    ggml_free(model->tensors);
}

void tl_gguf_test_add(struct tl_gguf_test *model, const char *name, int64_t in, int64_t out, float base, float spread) {
    struct ggml_tensor *tensor = out > 0 ? ggml_new_tensor_2d(model->tensors, GGML_TYPE_F32, in, out)
                                         : ggml_new_tensor_1d(model->tensors, GGML_TYPE_F32, in);
    ggml_set_name(tensor, name);
    float *data = ggml_get_data(tensor);
    for (int64_t i = 0; i < ggml_nelements(tensor); i++) {
        model->noise = model->noise * 1664525u + 1013904223u;
        data[i] = base + spread * ((float)(model->noise >> 8) / 8388608.0f - 1.0f);
    }
    gguf_add_tensor(model->file, tensor);
}

void tl_gguf_test_write(const struct tl_gguf_test *model, char *path) {
    int file = mkstemp(path);
    assert_true(file >= 0);
    close(file);
    assert_true(gguf_write_to_file(model->file, path, false));
}

/* conversion_test.c: proves the conversion of BERT models to GGUF: llama.cpp with the converted file gives the same
 * tokens and the same vectors as a plain numpy forward pass over the original weights (bert_forward.py), for the
 * embedder that the demo uses and for a small random model in each format. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_test_support.h"
#include "base/str.h"
#include "models/embedded.h"
#include "models/python.h"

enum { MOST_TOKENS = 256 };

static struct tl_error error;
static char folder[] = "/tmp/teola-conversion-test-XXXXXX";

struct encoder {
    struct llama_model *model;
    struct llama_context *context;
};

static struct encoder open_encoder(const char *path) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = MOST_TOKENS;
    params.embeddings = true;
    params.n_threads = params.n_threads_batch = 1;
    struct encoder encoder = {.model = llama_model_load_from_file(path, llama_model_default_params())};
    if (encoder.model == NULL)
        fail_msg("%s cannot be loaded", path);
    encoder.context = llama_init_from_model(encoder.model, params);
    assert_non_null(encoder.context);
    assert_int_equal(llama_pooling_type(encoder.context), LLAMA_POOLING_TYPE_MEAN); /* as the file says */
    return encoder;
}

static void close_encoder(struct encoder *encoder) {
    llama_free(encoder->context);
    llama_model_free(encoder->model);
}

static void assert_same_tokens(const struct encoder *encoder, const char *text, json_t *expected, llama_token *tokens) {
    int32_t count = llama_tokenize(llama_model_get_vocab(encoder->model), text, (int32_t)strlen(text), tokens,
                                   MOST_TOKENS, true, false);
    assert_int_equal(count, json_array_size(expected));
    for (int32_t i = 0; i < count; i++)
        if (tokens[i] != json_integer_value(json_array_get(expected, (size_t)i)))
            fail_msg("\"%s\": token %d is %d, expected %d", text, i, tokens[i],
                     (int)json_integer_value(json_array_get(expected, (size_t)i)));
}

static double cosine(const struct encoder *encoder, llama_token *tokens, size_t count, json_t *expected) {
    struct llama_batch batch = llama_batch_init((int32_t)count, 0, 1);
    for (size_t i = 0; i < count; i++) {
        batch.token[i] = tokens[i];
        batch.pos[i] = (llama_pos)i;
        batch.n_seq_id[i] = 1;
        batch.seq_id[i][0] = 0;
        batch.logits[i] = 1;
    }
    batch.n_tokens = (int32_t)count;
    assert_int_equal(llama_encode(encoder->context, batch), 0);
    llama_batch_free(batch);
    const float *vector = llama_get_embeddings_seq(encoder->context, 0);
    assert_non_null(vector);
    assert_int_equal(llama_model_n_embd(encoder->model), json_array_size(expected));
    double product = 0, ours = 0, theirs = 0;
    for (size_t i = 0; i < json_array_size(expected); i++) {
        double reference = json_number_value(json_array_get(expected, i));
        product += vector[i] * reference;
        ours += (double)vector[i] * vector[i];
        theirs += reference * reference;
    }
    return product / sqrt(ours * theirs);
}

static void assert_agrees(const char *model, const char *reference, double least) {
    json_t *sentences = json_load_file(reference, 0, NULL), *sentence;
    size_t index;
    if (!json_is_array(sentences))
        fail_msg("%s cannot be read", reference);
    assert_int_equal(json_array_size(sentences), 10);
    struct encoder encoder = open_encoder(model);
    json_array_foreach(sentences, index, sentence) {
        const char *text = json_string_value(json_object_get(sentence, "text"));
        json_t *expected = json_object_get(sentence, "tokens");
        llama_token tokens[MOST_TOKENS];
        assert_same_tokens(&encoder, text, expected, tokens);
        double found = cosine(&encoder, tokens, json_array_size(expected), json_object_get(sentence, "vector"));
        if (!(found >= least))
            fail_msg("%s: \"%s\": cosine %.6f, expected at least %.4f", model, text, found, least);
    }
    close_encoder(&encoder);
    json_decref(sentences);
}

static void run_script(const char *name, const char *script, const char *const *arguments) {
    if (tl_python_run(name, script, arguments, folder, &error) != TL_OK)
        fail_msg("%s", error.message);
}

static void the_embedder_agrees_with_numpy(void **state) {
    (void)state;
    char model[512], reference[512];
    const char *models = getenv("TEOLA_TEST_MODELS"), *source = getenv("TEOLA_SOURCE_DIR");
    assert_non_null(models);
    assert_non_null(source);
    snprintf(model, sizeof model, "%s/all-minilm-l6-v2-f16.gguf", models);
    snprintf(reference, sizeof reference, "%s/tests/models/minilm_reference.json", source);
    assert_agrees(model, reference, 0.999);
}

static void every_format_agrees_with_numpy(void **state) {
    (void)state;
    static const struct {
        const char *format;
        double least;
    } formats[] = {{"f32", 0.99999}, {"f16", 0.9999}, {"q8_0", 0.998}};
    char script[512], original[64], reference[64], model[64];
    struct tl_str text = TL_STR_INIT;
    snprintf(script, sizeof script, "%s/tests/models/bert_forward.py", getenv("TEOLA_SOURCE_DIR"));
    snprintf(original, sizeof original, "%s/original", folder);
    snprintf(reference, sizeof reference, "%s/reference.json", folder);
    assert_int_equal(tl_file_read(script, 1 << 20, &text, &error), TL_OK);
    const char *const make[] = {"random", original, reference, NULL};
    run_script("bert_forward", text.data, make);
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        snprintf(model, sizeof model, "%s/%s.gguf", folder, formats[i].format);
        const char *const convert[] = {original, model, formats[i].format, NULL};
        run_script("convert-bert-gguf", tl_embedded_convert_bert_gguf, convert);
        assert_agrees(model, reference, formats[i].least);
    }
    tl_str_fini(&text);
}

static void what_cannot_be_converted_is_refused(void **state) {
    (void)state;
    char original[64], config[96];
    snprintf(original, sizeof original, "%s/wrong", folder);
    snprintf(config, sizeof config, "%s/config.json", original);
    const char *const convert[] = {original, "out.gguf", "f16", NULL};
    assert_int_equal(tl_file_make_directories(original, &error), TL_OK);
    assert_int_equal(tl_python_run("convert", tl_embedded_convert_bert_gguf, convert, folder, &error), TL_ERR_IO);
    assert_non_null(strstr(error.message, "holds no config.json"));
    static const char wrong[] = "{\"model_type\": \"roberta\"}";
    assert_int_equal(tl_file_write_atomic(config, wrong, strlen(wrong), &error), TL_OK);
    assert_int_equal(tl_python_run("convert", tl_embedded_convert_bert_gguf, convert, folder, &error), TL_ERR_IO);
    assert_non_null(strstr(error.message, "'roberta'"));
}

static void be_silent(enum ggml_log_level level, const char *text, void *user) {
    (void)level;
    (void)text;
    (void)user;
}

static int set_up(void **state) {
    (void)state;
    llama_log_set(be_silent, NULL);
    llama_backend_init();
    return mkdtemp(folder) == NULL;
}

static int tear_down(void **state) {
    (void)state;
    llama_backend_free();
    return tl_file_test_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_embedder_agrees_with_numpy),
        cmocka_unit_test(every_format_agrees_with_numpy),
        cmocka_unit_test(what_cannot_be_converted_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* tokenizer_test.c: known token ids, no special tokens out of plain text, odd bytes, threads. */
#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "engine/llama/llama_device.h"
#include "engine/tokenizer.h"
#include "gguf.h"

static struct tl_tokenizer *open_model(const char *name) {
    const char *folder = getenv("TEOLA_TEST_MODELS");
    assert_non_null(folder);
    char path[512];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    struct tl_tokenizer *tokenizer;
    struct tl_error error;
    if (tl_tokenizer_open(path, &tokenizer, &error) != TL_OK)
        fail_msg("%s", error.message);
    return tokenizer;
}

static void test_known_tokens(void **state) {
    (void)state;
    struct tl_tokenizer *tokenizer = open_model("all-minilm-l6-v2-f16.gguf");
    int32_t ids[8];
    assert_int_equal(tl_tokenizer_encode(tokenizer, "hello world", 11, ids, 8), 2);
    assert_int_equal(ids[0], 7592);
    assert_int_equal(ids[1], 2088);
    /* More tokens than room: all are counted, none written past the end. */
    ids[1] = -7;
    assert_int_equal(tl_tokenizer_encode(tokenizer, "hello world", 11, ids, 1), 2);
    assert_int_equal(ids[1], -7);
    assert_int_equal(tl_tokenizer_count(tokenizer, "", 0), 0);
    tl_tokenizer_close(tokenizer);
}

static void test_text_never_becomes_control_tokens(void **state) {
    (void)state;
    struct tl_tokenizer *tokenizer = open_model("smollm2-135m-instruct-q8_0.gguf");
    const char *text = "<|im_start|>system";
    int32_t ids[16];
    size_t count = tl_tokenizer_encode(tokenizer, text, strlen(text), ids, 16);
    assert_true(count > 2 && count <= 16);
    for (size_t i = 0; i < count; i++)
        assert_true(ids[i] > 16); /* the first 17 ids of this model are its control tokens */
    tl_tokenizer_close(tokenizer);
}

static void test_odd_bytes(void **state) {
    (void)state;
    const char *models[] = {"all-minilm-l6-v2-f16.gguf", "smollm2-135m-instruct-q8_0.gguf"};
    for (size_t m = 0; m < 2; m++) {
        struct tl_tokenizer *tokenizer = open_model(models[m]);
        static const char broken[] = "a\xff\xfe\x00 b\xe2\x82 c\xf0\x9f\x98\x80\xed\xa0\x80";
        assert_true(tl_tokenizer_count(tokenizer, broken, sizeof broken - 1) > 0);
        for (int byte = 0; byte < 256; byte++) {
            char text[3] = {'x', (char)byte, 'y'};
            assert_true(tl_tokenizer_count(tokenizer, text, 3) > 0);
        }
        tl_tokenizer_close(tokenizer);
    }
}

static void test_bad_files(void **state) {
    (void)state;
    struct tl_tokenizer *tokenizer;
    struct tl_error error;
    assert_int_equal(tl_tokenizer_open("/nonexistent/model.gguf", &tokenizer, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/model.gguf"));
    assert_null(tokenizer);
    char path[] = "/tmp/teola-tokenizer-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fputs("GGUF, but not really", file);
    fclose(file);
    assert_int_equal(tl_tokenizer_open(path, &tokenizer, &error), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, path));
    /* Weights of some kind, but no tokenizer: no engine can use these either. */
    struct gguf_context *weights = gguf_init_empty();
    gguf_set_val_str(weights, "general.architecture", "bert");
    gguf_set_val_u32(weights, "bert.block_count", 1);
    gguf_set_val_u32(weights, "bert.context_length", 8);
    gguf_set_val_u32(weights, "bert.embedding_length", 8);
    gguf_set_val_u32(weights, "bert.feed_forward_length", 8);
    gguf_set_val_u32(weights, "bert.attention.head_count", 1);
    gguf_set_val_f32(weights, "bert.attention.layer_norm_epsilon", 1e-12f);
    gguf_set_val_u32(weights, "bert.vocab_size", 8);
    gguf_set_val_str(weights, "tokenizer.ggml.model", "no_vocab");
    assert_true(gguf_write_to_file(weights, path, true));
    gguf_free(weights);
    struct llama_model *model;
    assert_int_equal(tl_llama_load(&(struct tl_llama_loading){.path = path, .vocab_only = true}, &model, &error),
                     TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "no vocabulary"));
    assert_null(model);
    remove(path);
    tl_tokenizer_close(NULL);
}

static void *count_many(void *argument) {
    struct tl_tokenizer *tokenizer = argument;
    size_t sum = 0;
    for (int i = 0; i < 200; i++) {
        char text[64];
        int length = snprintf(text, sizeof text, "the %d quick brown foxes", i);
        sum += tl_tokenizer_count(tokenizer, text, (size_t)length);
    }
    return (void *)sum;
}

static void test_threads(void **state) {
    (void)state;
    struct tl_tokenizer *tokenizer = open_model("all-minilm-l6-v2-f16.gguf");
    void *expected = count_many(tokenizer);
    pthread_t threads[4];
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, count_many, tokenizer), 0);
    for (size_t i = 0; i < 4; i++) {
        void *sum;
        pthread_join(threads[i], &sum);
        assert_ptr_equal(sum, expected);
    }
    tl_tokenizer_close(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_tokens), cmocka_unit_test(test_text_never_becomes_control_tokens),
        cmocka_unit_test(test_odd_bytes),    cmocka_unit_test(test_bad_files),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* llama_recurrent_test.c: a model whose state cannot be cut back to a prefix is recognised, by a small Mamba with random
 * weights that this test writes: of what was computed only what is whole is reused, and what is written is the same. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/engines.h"
#include "engine/llama/gguf_test_support.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_layout.h"
#include "engine/llama/llama_test_support.h"

enum { WIDTH = 32, INNER = 2 * WIDTH, STATE = 8, RANK = 4, KERNEL = 4, LAYERS = 2, TRAINED = 512, WORDS = 3 + 256 };

static char path[] = "/tmp/teola-mamba-XXXXXX";
static char settings[256];

/* ---- the file ---- */

static struct tl_gguf_test model;

/* A token for each byte. */
static void write_vocabulary(struct gguf_context *file) {
    static char texts[WORDS][8] = {"<unk>", "<s>", "</s>"};
    const char *tokens[WORDS];
    int32_t types[WORDS] = {2, 3, 3}; /* unknown, control, control; */
    float scores[WORDS] = {0};
    for (size_t i = 0; i < WORDS; i++) {
        if (i >= 3) {
            snprintf(texts[i], sizeof texts[i], "<0x%02X>", (unsigned)(i - 3));
            types[i] = 6; /* bytes */
        }
        tokens[i] = texts[i];
    }
    gguf_set_val_str(file, "tokenizer.ggml.model", "llama");
    gguf_set_arr_str(file, "tokenizer.ggml.tokens", tokens, WORDS);
    gguf_set_arr_data(file, "tokenizer.ggml.scores", GGUF_TYPE_FLOAT32, scores, WORDS);
    gguf_set_arr_data(file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, WORDS);
    gguf_set_val_u32(file, "tokenizer.ggml.unknown_token_id", 0);
    gguf_set_val_u32(file, "tokenizer.ggml.bos_token_id", 1);
    gguf_set_val_u32(file, "tokenizer.ggml.eos_token_id", 2);
}

static void write_layer(int layer) {
    static const struct {
        const char *name;
        int64_t in, out;
        float base, spread;
    } parts[] = {
        {"attn_norm.weight", WIDTH, 0, 1, 0.2f},      {"ssm_in.weight", WIDTH, 2 * INNER, 0, 0.3f},
        {"ssm_conv1d.weight", KERNEL, INNER, 0, 0.5f}, {"ssm_conv1d.bias", INNER, 0, 0, 0.1f},
        {"ssm_x.weight", INNER, RANK + 2 * STATE, 0, 0.3f}, {"ssm_dt.weight", RANK, INNER, 0, 0.3f},
        {"ssm_dt.bias", INNER, 0, 0, 0.3f},           {"ssm_a", STATE, INNER, -1, 0.5f},
        {"ssm_d", INNER, 0, 1, 0.2f},                 {"ssm_out.weight", INNER, WIDTH, 0, 0.3f},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        char name[48];
        snprintf(name, sizeof name, "blk.%d.%s", layer, parts[i].name);
        tl_gguf_test_add(&model, name, parts[i].in, parts[i].out, parts[i].base, parts[i].spread);
    }
}

static void write_model(void) {
    tl_gguf_test_open(&model, 1 << 22);
    struct gguf_context *file = model.file;
    gguf_set_val_str(file, "general.architecture", "mamba");
    gguf_set_val_u32(file, "mamba.context_length", TRAINED);
    gguf_set_val_u32(file, "mamba.embedding_length", WIDTH);
    gguf_set_val_u32(file, "mamba.feed_forward_length", 0);
    gguf_set_val_u32(file, "mamba.attention.head_count", 0);
    gguf_set_val_u32(file, "mamba.block_count", LAYERS);
    gguf_set_val_u32(file, "mamba.ssm.conv_kernel", KERNEL);
    gguf_set_val_u32(file, "mamba.ssm.inner_size", INNER);
    gguf_set_val_u32(file, "mamba.ssm.state_size", STATE);
    gguf_set_val_u32(file, "mamba.ssm.time_step_rank", RANK);
    gguf_set_val_f32(file, "mamba.attention.layer_norm_rms_epsilon", 1e-5f);
    write_vocabulary(file);
    tl_gguf_test_add(&model, "token_embd.weight", WIDTH, WORDS, 0, 1);
    tl_gguf_test_add(&model, "output_norm.weight", WIDTH, 0, 1, 0.2f);
    tl_gguf_test_add(&model, "output.weight", WIDTH, WORDS, 0, 1);
    for (int layer = 0; layer < LAYERS; layer++)
        write_layer(layer);
    tl_gguf_test_write(&model, path);
}

/* ---- tests ---- */

static struct tl_conformance_subject subject = {.ops = &tl_llama_engine, .settings = settings, .kinds = 1};

static const char *const beginning = "A text with some length, which several prompts begin with. ";

/* Prefills the beginning and `own` and writes from it; the text goes to `out`. Returns how many tokens were reused. */
static uint64_t answer(struct tl_conformance *run, const char *own, struct tl_str *out) {
    const char *parts[] = {beginning, own};
    struct tl_conformance_item item;
    struct tl_conformance_held *prefill =
        tl_llama_test_prefill(run, TL_OP_PREFILL, tl_llama_test_prompt(parts, 2, false), NULL);
    tl_conformance_finish(run);
    struct tl_conformance_outcome *filled = tl_conformance_outcome(prefill);
    assert_int_equal(filled->status, TL_OK);
    uint64_t reused = filled->usage.tokens_reused;
    tl_llama_test_decode(run, tl_value_ref(filled->outputs[0]), 8, &item);
    struct tl_conformance_held *decode = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(decode)->status, TL_OK);
    const struct tl_value *text = tl_conformance_outcome(decode)->outputs[0];
    tl_str_clear(out);
    tl_str_append(out, text->as.text.data, text->as.text.length);
    tl_conformance_release(decode);
    tl_conformance_release(prefill);
    return reused;
}

static void test_only_what_is_whole_is_reused(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_str first = TL_STR_INIT, other = TL_STR_INIT, alone = TL_STR_INIT;
    assert_int_equal(answer(run, "And one end.", &first), 0);
    assert_int_equal(answer(run, "And another one.", &other), 0); /* it parts in the middle of what is there */
    tl_conformance_close(run);

    /* The same prompt with nothing before it, then with a beginning that is there as a whole. */
    run = tl_conformance_open(&subject);
    assert_int_equal(answer(run, "And another one.", &alone), 0);
    assert_string_equal(alone.data, other.data);
    tl_conformance_close(run);
    run = tl_conformance_open(&subject);
    struct tl_value *kv =
        tl_llama_test_kv(run, TL_OP_PARTIAL_PREFILL, tl_llama_test_prompt(&beginning, 1, true), NULL);
    assert_true(kv->as.kv.tokens > 16);
    assert_int_equal(answer(run, "And another one.", &alone), kv->as.kv.tokens);
    assert_string_equal(alone.data, other.data);
    tl_value_unref(kv);
    tl_conformance_close(run);
    tl_str_fini(&first);
    tl_str_fini(&other);
    tl_str_fini(&alone);
}

static void test_layouts_are_not_compared(void **state) {
    (void)state;
    const struct tl_engine_trial trial = {.budget = 1};
    json_t *json = json_loads(settings, 0, NULL), *choices;
    struct tl_error error;
    assert_int_equal(tl_llama_engine.choose(json, &trial, &choices, &error), TL_OK);
    const json_t *kv = json_object_get(choices, "kv");
    assert_string_equal(json_string_value(json_object_get(kv, "used")), "stream");
    assert_non_null(strstr(json_string_value(json_object_get(kv, "because")), "cannot be cut"));
    json_decref(choices);
    json_decref(json);
}

static int set_up(void **state) {
    (void)state;
    write_model();
    snprintf(settings, sizeof settings,
             "{\"model\": \"%s\", \"context_size\": 512, \"parallel\": 2, \"reserve\": 64, \"threads\": 1}", path);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    tl_gguf_test_close(&model);
    return unlink(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_what_is_whole_is_reused),
        cmocka_unit_test(test_layouts_are_not_compared),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

/* rerank_cross_test.c: method "cross" on a small BERT with random weights, written as a GGUF file
 * by this test, against a plain forward pass in C: the pair template, rank pooling, batching. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/conformance/conformance.h"
#include "engine/engines.h"
#include "engine/llama/gguf_test_support.h"

enum { WIDTH = 32, HEADS = 2, INNER = 64, LAYERS = 2, POSITIONS = 64, WORDS = 40, HEAD = WIDTH / HEADS };
enum { PAD, UNK, CLS, SEP, MASK, FIRST_WORD };

static const char *const words[WORDS] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "apple", "bear", "cat",
                                         "dog",   "egg",   "fish",  "goat",  "hat",    "ice",   "jam",  "king",
                                         "lamp",  "moon",  "nut",   "owl",   "pig",    "queen", "rain", "sun",
                                         "tree",  "urn",   "van",   "wolf",  "yak",    "zoo",   "red",  "green",
                                         "blue",  "one",   "two",   "three", "four",   "five",  "six",  "seven"};

static char path[] = "/tmp/teola-cross-XXXXXX";
static char settings[256];

/* ---- the file ---- */

static struct tl_gguf_test model;

static void add_linear(const char *name, int64_t in, int64_t out) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    tl_gguf_test_add(&model, full, in, out, 0, 0.35f);
    snprintf(full, sizeof full, "%s.bias", name);
    tl_gguf_test_add(&model, full, out, 0, 0, 0.2f);
}

static void add_norm(const char *name) {
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    tl_gguf_test_add(&model, full, WIDTH, 0, 1, 0.3f);
    snprintf(full, sizeof full, "%s.bias", name);
    tl_gguf_test_add(&model, full, WIDTH, 0, 0, 0.2f);
}

static void write_vocabulary(struct gguf_context *file) {
    static char texts[WORDS][16];
    const char *tokens[WORDS];
    int32_t types[WORDS];
    for (size_t i = 0; i < WORDS; i++) {
        snprintf(texts[i], sizeof texts[i], "%s%s", i < FIRST_WORD ? "" : "\xe2\x96\x81", words[i]);
        tokens[i] = texts[i];
        types[i] = i < FIRST_WORD ? 3 : 1; /* control, normal */
    }
    gguf_set_val_str(file, "tokenizer.ggml.model", "bert");
    gguf_set_val_str(file, "tokenizer.ggml.pre", "default");
    gguf_set_arr_str(file, "tokenizer.ggml.tokens", tokens, WORDS);
    gguf_set_arr_data(file, "tokenizer.ggml.token_type", GGUF_TYPE_INT32, types, WORDS);
    gguf_set_val_u32(file, "tokenizer.ggml.token_type_count", 2);
    gguf_set_val_u32(file, "tokenizer.ggml.unknown_token_id", UNK);
    gguf_set_val_u32(file, "tokenizer.ggml.seperator_token_id", SEP);
    gguf_set_val_u32(file, "tokenizer.ggml.padding_token_id", PAD);
    gguf_set_val_u32(file, "tokenizer.ggml.cls_token_id", CLS);
    gguf_set_val_u32(file, "tokenizer.ggml.mask_token_id", MASK);
    gguf_set_val_u32(file, "tokenizer.ggml.bos_token_id", CLS);
    gguf_set_val_u32(file, "tokenizer.ggml.eos_token_id", SEP);
}

static void write_model(void) {
    tl_gguf_test_open(&model, 1 << 20);
    struct gguf_context *file = model.file;
    gguf_set_val_str(file, "general.architecture", "bert");
    gguf_set_val_u32(file, "bert.block_count", LAYERS);
    gguf_set_val_u32(file, "bert.context_length", POSITIONS);
    gguf_set_val_u32(file, "bert.embedding_length", WIDTH);
    gguf_set_val_u32(file, "bert.feed_forward_length", INNER);
    gguf_set_val_u32(file, "bert.attention.head_count", HEADS);
    gguf_set_val_f32(file, "bert.attention.layer_norm_epsilon", 1e-12f);
    gguf_set_val_bool(file, "bert.attention.causal", false);
    gguf_set_val_u32(file, "bert.pooling_type", 4);
    write_vocabulary(file);
    tl_gguf_test_add(&model, "token_embd.weight", WIDTH, WORDS, 0, 1);
    tl_gguf_test_add(&model, "position_embd.weight", WIDTH, POSITIONS, 0, 0.5f);
    tl_gguf_test_add(&model, "token_types.weight", WIDTH, 2, 0, 0.5f);
    add_norm("token_embd_norm");
    for (int layer = 0; layer < LAYERS; layer++) {
        static const char *const square[] = {"attn_q", "attn_k", "attn_v", "attn_output"};
        static const char *const norms[] = {"attn_output_norm", "layer_output_norm"};
        char name[48];
        for (size_t i = 0; i < 4; i++) {
            snprintf(name, sizeof name, "blk.%d.%s", layer, square[i]);
            add_linear(name, WIDTH, WIDTH);
        }
        snprintf(name, sizeof name, "blk.%d.ffn_up", layer);
        add_linear(name, WIDTH, INNER);
        snprintf(name, sizeof name, "blk.%d.ffn_down", layer);
        add_linear(name, INNER, WIDTH);
        for (size_t i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "blk.%d.%s", layer, norms[i]);
            add_norm(name);
        }
    }
    add_linear("cls", WIDTH, WIDTH);
    add_linear("cls.output", WIDTH, 1);
    tl_gguf_test_write(&model, path);
}

/* ---- the plain forward pass ---- */

static const float *weight(const char *format, int layer, const char *part) {
    char name[64], full[80];
    snprintf(name, sizeof name, format, layer);
    snprintf(full, sizeof full, "%s.%s", name, part);
    struct ggml_tensor *tensor = ggml_get_tensor(model.tensors, full);
    assert_non_null(tensor);
    return ggml_get_data(tensor);
}

static void linear(const char *format, int layer, const double *in, size_t in_count, double *out, size_t out_count) {
    const float *w = weight(format, layer, "weight"), *bias = weight(format, layer, "bias");
    for (size_t o = 0; o < out_count; o++) {
        out[o] = bias[o];
        for (size_t i = 0; i < in_count; i++)
            out[o] += (double)w[o * in_count + i] * in[i];
    }
}

static void normalise(const char *format, int layer, double *x) {
    const float *scale = weight(format, layer, "weight"), *shift = weight(format, layer, "bias");
    double mean = 0, variance = 0;
    for (size_t i = 0; i < WIDTH; i++)
        mean += x[i] / WIDTH;
    for (size_t i = 0; i < WIDTH; i++)
        variance += (x[i] - mean) * (x[i] - mean) / WIDTH;
    for (size_t i = 0; i < WIDTH; i++)
        x[i] = (x[i] - mean) / sqrt(variance + 1e-12) * scale[i] + shift[i];
}

static double gelu(double x) {
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static void attend(int layer, double (*x)[WIDTH], size_t count) {
    static double q[POSITIONS][WIDTH], k[POSITIONS][WIDTH], v[POSITIONS][WIDTH];
    for (size_t t = 0; t < count; t++) {
        linear("blk.%d.attn_q", layer, x[t], WIDTH, q[t], WIDTH);
        linear("blk.%d.attn_k", layer, x[t], WIDTH, k[t], WIDTH);
        linear("blk.%d.attn_v", layer, x[t], WIDTH, v[t], WIDTH);
    }
    for (size_t t = 0; t < count; t++) {
        double mixed[WIDTH] = {0}, out[WIDTH];
        for (size_t head = 0; head < HEADS; head++) {
            double score[POSITIONS], sum = 0;
            for (size_t s = 0; s < count; s++) {
                double product = 0;
                for (size_t i = head * HEAD; i < (head + 1) * HEAD; i++)
                    product += q[t][i] * k[s][i];
                sum += score[s] = exp(product / sqrt(HEAD));
            }
            for (size_t s = 0; s < count; s++)
                for (size_t i = head * HEAD; i < (head + 1) * HEAD; i++)
                    mixed[i] += score[s] / sum * v[s][i];
        }
        linear("blk.%d.attn_output", layer, mixed, WIDTH, out, WIDTH);
        for (size_t i = 0; i < WIDTH; i++)
            x[t][i] += out[i];
        normalise("blk.%d.attn_output_norm", layer, x[t]);
    }
}

static double forward(const int *ids, size_t count) {
    static double x[POSITIONS][WIDTH];
    const float *embeddings = weight("token_embd", 0, "weight"), *positions = weight("position_embd", 0, "weight");
    const float *kinds = weight("token_types", 0, "weight"); /* llama.cpp reads all tokens as of the first kind */
    for (size_t t = 0; t < count; t++) {
        for (size_t i = 0; i < WIDTH; i++)
            x[t][i] = (double)embeddings[(size_t)ids[t] * WIDTH + i] + positions[t * WIDTH + i] + kinds[i];
        normalise("token_embd_norm", 0, x[t]);
    }
    for (int layer = 0; layer < LAYERS; layer++) {
        attend(layer, x, count);
        for (size_t t = 0; t < count; t++) {
            double inner[INNER], out[WIDTH];
            linear("blk.%d.ffn_up", layer, x[t], WIDTH, inner, INNER);
            for (size_t i = 0; i < INNER; i++)
                inner[i] = gelu(inner[i]);
            linear("blk.%d.ffn_down", layer, inner, INNER, out, WIDTH);
            for (size_t i = 0; i < WIDTH; i++)
                x[t][i] += out[i];
            normalise("blk.%d.layer_output_norm", layer, x[t]);
        }
    }
    double pooled[WIDTH], score;
    linear("cls", 0, x[0], WIDTH, pooled, WIDTH);
    for (size_t i = 0; i < WIDTH; i++)
        pooled[i] = tanh(pooled[i]);
    linear("cls.output", 0, pooled, WIDTH, &score, 1);
    return score;
}

/* [CLS] question [SEP] passage [SEP], texts of single spaces between words. */
static double expected_score(const char *question, const char *passage) {
    int ids[POSITIONS] = {CLS};
    size_t count = 1;
    const char *texts[] = {question, passage};
    for (size_t t = 0; t < 2; t++) {
        for (const char *at = texts[t]; *at;) {
            size_t length = strcspn(at, " ");
            int id = FIRST_WORD;
            while (strlen(words[id]) != length || strncmp(words[id], at, length) != 0)
                id++;
            ids[count++] = id;
            at += length + (at[length] == ' ');
        }
        ids[count++] = SEP;
    }
    return forward(ids, count);
}

/* ---- tests ---- */

static const char *const passages[] = {"apple bear cat", "red green blue one two three", "moon",
                                       "king queen wolf yak zoo sun rain"};
static const char *const questions[] = {"dog egg", "moon sun", "seven six five four", "owl"};

static struct tl_value *hits_value(void) {
    struct tl_value *hits[5];
    for (size_t i = 0; i < 5; i++) {
        char id[32];
        snprintf(id, sizeof id, "00000000000000aa:%zu", i % 4);
        const struct tl_chunk chunk = {.id = id, .uri = "a", .title = "", .heading = "", .text = passages[i % 4],
                                       .length = strlen(passages[i % 4])};
        struct tl_hit hit = {.chunk = tl_value_chunk(&chunk), .rank = (uint32_t)i};
        hits[i] = tl_value_hit(&hit);
        tl_value_unref(hit.chunk);
    }
    return tl_value_list(TL_TYPE_OF(HIT, 0), hits, 5);
}

static void make(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item) {
    (void)run;
    (void)kind;
    item->op = TL_OP_SCORE;
    tl_conformance_input(item, "hits", hits_value());
    tl_conformance_input(item, "query", tl_value_text(questions[variation % 4], strlen(questions[variation % 4])));
}

static bool scores_equal(const struct tl_value *a, const struct tl_value *b) {
    for (size_t i = 0; i < a->as.list.count; i++)
        if (!(fabs(a->as.list.items[i]->as.hit.score - b->as.list.items[i]->as.hit.score) < 2e-3))
            return false;
    return a->as.list.count == b->as.list.count;
}

static const struct tl_conformance_subject subject = {
    .ops = &tl_rerank_engine, .settings = settings, .kinds = 1, .make = make, .equal = scores_equal};

static void test_scores(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    double lowest = INFINITY, highest = -INFINITY;
    for (uint32_t q = 0; q < 4; q++) {
        struct tl_conformance_item item;
        tl_conformance_item_init(run, &item);
        make(run, 0, q, &item);
        struct tl_value *scored = tl_conformance_compute(run, &item);
        for (size_t i = 0; i < 5; i++) {
            double score = scored->as.list.items[i]->as.hit.score,
                   expected = expected_score(questions[q], passages[i % 4]);
            if (!(fabs(score - expected) < 0.02)) /* GELU goes through a table of halves in ggml */
                fail_msg("question %u, passage %zu: %g, expected %g", q, i % 4, score, expected);
            lowest = fmin(lowest, score);
            highest = fmax(highest, score);
        }
        tl_value_unref(scored);
    }
    assert_true(highest - lowest > 0.3); /* or the comparison would say nothing */
    tl_conformance_close(run);
}

/* A passage that does not fit is cut at its end, before the last [SEP]. */
static void test_long_passage_is_cut(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_str longer = TL_STR_INIT, fitting = TL_STR_INIT;
    for (int i = 0; i < 100; i++)
        tl_str_printf(i < POSITIONS - 5 ? &fitting : &longer, "%s%s", i ? " " : "", words[FIRST_WORD + i % 7]);
    struct tl_str whole = TL_STR_INIT;
    tl_str_printf(&whole, "%s%s", fitting.data, longer.data);
    const struct tl_chunk chunk = {.id = "a:0", .uri = "a", .title = "", .heading = "", .text = whole.data,
                                   .length = whole.length};
    struct tl_hit hit = {.chunk = tl_value_chunk(&chunk)};
    struct tl_value *value = tl_value_hit(&hit);
    tl_value_unref(hit.chunk);
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_SCORE;
    tl_conformance_input(&item, "hits", value); /* one hit alone, no list */
    tl_conformance_input(&item, "query", tl_value_text("dog egg", 7));
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    assert_int_equal(outcome->status, TL_OK);
    assert_int_equal(outcome->usage.tokens_trimmed, 100 - (POSITIONS - 5));
    assert_true(fabs(outcome->outputs[0]->as.hit.score - expected_score("dog egg", fitting.data)) < 0.02);
    tl_str_fini(&longer);
    tl_str_fini(&fitting);
    tl_str_fini(&whole);
    tl_conformance_close(run);
}

static void test_conformance(void **state) {
    (void)state;
    tl_conformance_check(&subject);
}

static int prepare(void **state) {
    (void)state;
    write_model();
    snprintf(settings, sizeof settings,
             "{\"model\": \"%s\", \"method\": \"cross\", \"context_size\": 128, \"threads\": 1}", path);
    return 0;
}

static int clean(void **state) {
    (void)state;
    tl_gguf_test_close(&model);
    return remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scores),
        cmocka_unit_test(test_long_passage_is_cut),
        cmocka_unit_test(test_conformance),
    };
    return cmocka_run_group_tests(tests, prepare, clean);
}

/* embed_engine_test.c: the conformance suite on MiniLM, and what is particular to embeddings:
 * shapes, packing, fairness, cutting, the text of a chunk. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "engine/conformance/conformance.h"
#include "engine/engines.h"

static char settings[1024];

static const char *const texts[] = {
    "How do I create an index?",
    "SQLite is a C-language library that implements a small, fast, self-contained SQL database engine.",
    "",
    "caf\xc3\xa9 \xff broken \xe2\x82",
};

static struct tl_value *text_value(const char *text) {
    return tl_value_text(text, strlen(text));
}

static struct tl_value *chunk_value(const char *title, const char *heading, const char *text) {
    const struct tl_chunk chunk = {.id = "0123456789abcdef:0",
                                   .uri = "a.html",
                                   .title = title,
                                   .heading = heading,
                                   .text = text,
                                   .length = strlen(text)};
    return tl_value_chunk(&chunk);
}

static struct tl_value *list_of_texts(size_t count, size_t from) {
    struct tl_value *items[64] = {0};
    for (size_t i = 0; i < count; i++)
        items[i] = text_value(texts[(from + i) % 4]);
    return tl_value_list(TL_TYPE_OF(TEXT, 0), items, count);
}

/* Kernels round differently by the shape of the call: measured up to 1.4e-4 here, with components of about 0.05. */
static bool vectors_equal(const struct tl_value *a, const struct tl_value *b) {
    if (!tl_type_equal(a->type, b->type))
        return false;
    if (a->type.depth > 0) {
        bool equal = a->as.list.count == b->as.list.count;
        for (size_t i = 0; equal && i < a->as.list.count; i++)
            equal = vectors_equal(a->as.list.items[i], b->as.list.items[i]);
        return equal;
    }
    if (a->as.vector.dimension != b->as.vector.dimension)
        return false;
    for (uint32_t i = 0; i < a->as.vector.dimension; i++)
        if (!(fabsf(a->as.vector.data[i] - b->as.vector.data[i]) < 1e-3f))
            return false;
    return true;
}

enum { ONE_TEXT, LIST, NESTED, EMPTY, CHUNKS, WRONG_TYPE, KINDS };

static void make(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item) {
    (void)run;
    item->op = TL_OP_EMBED;
    struct tl_value *input = NULL;
    if (kind == ONE_TEXT) {
        input = text_value(texts[variation % 4]);
    } else if (kind == LIST) {
        input = list_of_texts(3 + variation, variation);
    } else if (kind == NESTED) {
        struct tl_value *lists[] = {list_of_texts(2, 0), list_of_texts(0, 0), list_of_texts(1, variation)};
        input = tl_value_list(TL_TYPE_OF(TEXT, 1), lists, 3);
    } else if (kind == EMPTY) {
        input = tl_value_list(TL_TYPE_OF(TEXT, 0), NULL, 0);
    } else if (kind == CHUNKS) {
        struct tl_value *chunks[] = {chunk_value("A title", "", texts[1]), chunk_value("", "", texts[variation % 4])};
        input = tl_value_list(TL_TYPE_OF(CHUNK, 0), chunks, 2);
    } else {
        input = tl_value_number(7);
        item->fails = true;
    }
    tl_conformance_input(item, "input", input);
}

static const struct tl_conformance_subject subject = {
    .ops = &tl_embed_engine, .settings = settings, .kinds = KINDS, .make = make, .equal = vectors_equal};

static void test_conformance(void **state) {
    (void)state;
    tl_conformance_check(&subject);
}

static struct tl_conformance_held *embed(struct tl_conformance *run, struct tl_value *input) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_EMBED;
    tl_conformance_input(&item, "input", input);
    return tl_conformance_submit(run, &item);
}

static void test_vectors(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_value *items[] = {text_value("A cat sat on the mat."), text_value("A kitten was sitting on a rug."),
                                text_value("Stock markets fell sharply today.")};
    struct tl_conformance_held *held = embed(run, tl_value_list(TL_TYPE_OF(TEXT, 0), items, 3));
    tl_conformance_finish(run);
    const struct tl_value *list = tl_conformance_outcome(held)->outputs[0];
    assert_int_equal(list->as.list.count, 3);
    const float *v[3];
    for (size_t i = 0; i < 3; i++) {
        const struct tl_vector *vector = &list->as.list.items[i]->as.vector;
        assert_int_equal(vector->dimension, 384);
        v[i] = vector->data;
    }
    double near = 0, far = 0, square = 0;
    for (size_t i = 0; i < 384; i++) {
        near += (double)v[0][i] * v[1][i];
        far += (double)v[0][i] * v[2][i];
        square += (double)v[0][i] * v[0][i];
    }
    assert_true(fabs(square - 1) < 1e-5);
    assert_true(near > 0.5 && far < 0.2);
    tl_conformance_close(run);
}

/* A chunk is embedded as its title, heading and text on three lines. */
static void test_text_of_a_chunk(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_conformance_held *chunk = embed(run, chunk_value("Pragmas", "journal_mode", "Sets the journal mode."));
    struct tl_conformance_held *bare = embed(run, chunk_value("", "", "Sets the journal mode."));
    struct tl_conformance_held *joined = embed(run, text_value("Pragmas\njournal_mode\nSets the journal mode."));
    struct tl_conformance_held *text = embed(run, text_value("Sets the journal mode."));
    tl_conformance_finish(run);
    assert_true(vectors_equal(tl_conformance_outcome(chunk)->outputs[0], tl_conformance_outcome(joined)->outputs[0]));
    assert_true(vectors_equal(tl_conformance_outcome(bare)->outputs[0], tl_conformance_outcome(text)->outputs[0]));
    assert_false(vectors_equal(tl_conformance_outcome(bare)->outputs[0], tl_conformance_outcome(chunk)->outputs[0]));
    tl_conformance_close(run);
}

/* One question submitted after sixty chunks is in the next call. */
static void test_fairness(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_value *chunks[60];
    for (size_t i = 0; i < 60; i++)
        chunks[i] = text_value(texts[1]);
    struct tl_conformance_held *many = embed(run, tl_value_list(TL_TYPE_OF(TEXT, 0), chunks, 60));
    tl_conformance_step(run);
    struct tl_conformance_held *one = embed(run, text_value(texts[0]));
    tl_conformance_step(run);
    assert_true(tl_conformance_outcome(one)->finished);
    assert_false(tl_conformance_outcome(many)->finished);
    tl_conformance_finish(run);
    const struct tl_usage *usage = &tl_conformance_outcome(many)->usage;
    assert_int_equal(usage->units, 60);
    assert_int_equal(usage->tokens_in, usage->tokens_computed);
    assert_true(usage->batch_units > 8); /* texts of some 25 tokens share calls of 512 */
    assert_true(tl_conformance_outcome(one)->usage.batch_units > 1);
    tl_conformance_close(run);
}

static void test_long_text_is_cut(void **state) {
    (void)state;
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_str text = TL_STR_INIT;
    for (int i = 0; i < 600; i++)
        tl_str_puts(&text, "word ");
    struct tl_conformance_held *held = embed(run, text_value(text.data));
    struct tl_conformance_held *same = NULL;
    tl_str_truncate(&text, 510 * strlen("word "));
    same = embed(run, text_value(text.data)); /* fills the 512 tokens exactly, with [CLS] and [SEP] */
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(held)->usage.tokens_trimmed, 90);
    assert_int_equal(tl_conformance_outcome(held)->usage.tokens_computed, 512);
    assert_non_null(strstr(tl_conformance_outcome(held)->notice, "512"));
    assert_int_equal(tl_conformance_outcome(same)->usage.tokens_trimmed, 0);
    assert_string_equal(tl_conformance_outcome(same)->notice, "");
    assert_true(vectors_equal(tl_conformance_outcome(held)->outputs[0], tl_conformance_outcome(same)->outputs[0]));
    tl_str_fini(&text);
    tl_conformance_close(run);
}

static int prepare(void **state) {
    (void)state;
    const char *folder = getenv("TEOLA_TEST_MODELS");
    if (!folder) {
        fprintf(stderr, "TEOLA_TEST_MODELS is not set\n");
        return 1;
    }
    snprintf(settings, sizeof settings,
             "{\"model\": \"%s/all-minilm-l6-v2-f16.gguf\", \"model_digest\": \"abc\", \"context_size\": 512, "
             "\"threads\": 1}",
             folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_vectors),  cmocka_unit_test(test_text_of_a_chunk),
        cmocka_unit_test(test_fairness), cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_conformance),
    };
    return cmocka_run_group_tests(tests, prepare, NULL);
}

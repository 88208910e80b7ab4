/* rerank_engine_test.c: the conformance suite for late interaction on MiniLM, MaxSim against a
 * plain formula, and the cache of passages: same scores, less work, bounded bytes. */
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
#include "engine/conformance/conformance.h"
#include "engine/engines.h"
#include "engine/llama/rerank_engine.h"

static char settings[1024];

static const char *const passages[] = {
    "The capital of France is Paris, a city on the river Seine.",
    "Bananas are rich in potassium and grow in warm countries.",
    "WAL mode lets readers and a writer work at the same time.",
    "France is a country in western Europe with many rivers.",
    "",
};
static const char *const questions[] = {"What is the capital of France?", "How does WAL mode work?", "fruit", ""};

static struct tl_value *hit_value(size_t passage, uint32_t rank) {
    char id[32];
    snprintf(id, sizeof id, "0123456789abcdef:%zu", passage);
    const struct tl_chunk chunk = {.id = id, .uri = "a.txt", .title = "", .heading = "", .text = passages[passage],
                                   .length = strlen(passages[passage])};
    struct tl_hit hit = {.chunk = tl_value_chunk(&chunk), .retrieval = 1.0 / (rank + 1), .rank = rank};
    struct tl_value *value = tl_value_hit(&hit);
    tl_value_unref(hit.chunk);
    return value;
}

static struct tl_value *hits_value(const size_t *which, size_t count) {
    struct tl_value *items[16] = {0};
    for (size_t i = 0; i < count; i++)
        items[i] = hit_value(which[i], (uint32_t)i);
    return tl_value_list(TL_TYPE_OF(HIT, 0), items, count);
}

/* Scores depend on the shape of the call by rounding. */
static bool hits_equal(const struct tl_value *a, const struct tl_value *b) {
    if (!tl_type_equal(a->type, b->type))
        return false;
    if (a->type.depth > 0) {
        bool equal = a->as.list.count == b->as.list.count;
        for (size_t i = 0; equal && i < a->as.list.count; i++)
            equal = hits_equal(a->as.list.items[i], b->as.list.items[i]);
        return equal;
    }
    const struct tl_hit *x = &a->as.hit, *y = &b->as.hit;
    return tl_value_equal(x->chunk, y->chunk) && x->rank == y->rank && x->scored && y->scored &&
           fabs(x->score - y->score) < 2e-3;
}

enum { FLAT, NESTED, EMPTY, WRONG, KINDS };

static void make(struct tl_conformance *run, size_t kind, uint32_t variation, struct tl_conformance_item *item) {
    (void)run;
    item->op = TL_OP_SCORE;
    struct tl_value *hits;
    if (kind == FLAT) {
        const size_t which[] = {variation % 5, 3, 1, 3, 4};
        hits = hits_value(which, 5);
    } else if (kind == NESTED) {
        const size_t which[] = {0, 1, 2};
        struct tl_value *lists[] = {hits_value(which, 3), hits_value(which, 0), hits_value(which + 1, 2)};
        hits = tl_value_list(TL_TYPE_OF(HIT, 1), lists, 3);
    } else if (kind == EMPTY) {
        hits = tl_value_list(TL_TYPE_OF(HIT, 0), NULL, 0);
    } else {
        hits = tl_value_text("no hits", 7);
        item->fails = true;
    }
    const char *question = questions[variation % 4];
    tl_conformance_input(item, "hits", hits);
    tl_conformance_input(item, "query", tl_value_text(question, strlen(question)));
}

static const struct tl_conformance_subject subject = {
    .ops = &tl_rerank_engine, .settings = settings, .kinds = KINDS, .make = make, .equal = hits_equal};

static int settings_with(const char *more) {
    const char *folder = getenv("TEOLA_TEST_MODELS");
    if (!folder) {
        fprintf(stderr, "TEOLA_TEST_MODELS is not set\n");
        return 1;
    }
    snprintf(settings, sizeof settings, "{\"model\": \"%s/all-minilm-l6-v2-f16.gguf\", \"threads\": 1%s}", folder,
             more);
    return 0;
}

static void test_conformance(void **state) {
    (void)state;
    assert_int_equal(settings_with(", \"method\": \"maxsim\", \"cache_bytes\": 40000"), 0);
    tl_conformance_check(&subject);
}

static struct tl_conformance_held *score(struct tl_conformance *run, struct tl_value *hits, const char *question) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    item.op = TL_OP_SCORE;
    tl_conformance_input(&item, "hits", hits);
    tl_conformance_input(&item, "query", tl_value_text(question, strlen(question)));
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(held)->status, TL_OK);
    return held;
}

static double score_of(struct tl_conformance_held *held, size_t i) {
    return tl_conformance_outcome(held)->outputs[0]->as.list.items[i]->as.hit.score;
}

static void test_what_answers_scores_best(void **state) {
    (void)state;
    assert_int_equal(settings_with(""), 0);
    struct tl_conformance *run = tl_conformance_open(&subject);
    const size_t which[] = {1, 2, 0, 3, 0};
    struct tl_conformance_held *held = score(run, hits_value(which, 5), questions[0]);
    for (size_t i = 0; i < 4; i++)
        assert_true(i == 2 || score_of(held, 2) > score_of(held, i));
    assert_true(score_of(held, 3) > score_of(held, 0)); /* about France: better than bananas */
    assert_true(score_of(held, 2) == score_of(held, 4)); /* one passage, computed once */
    assert_true(score_of(held, 2) <= 1.001);
    /* The hits are the same otherwise, in their old order. */
    const struct tl_value *list = tl_conformance_outcome(held)->outputs[0];
    for (uint32_t i = 0; i < 5; i++)
        assert_int_equal(list->as.list.items[i]->as.hit.rank, i);
    /* A text against itself: every token finds itself. */
    const size_t same[] = {2};
    assert_true(fabs(score_of(score(run, hits_value(same, 1), passages[2]), 0) - 1) < 0.02);
    tl_conformance_close(run);
}

static void test_cache(void **state) {
    (void)state;
    assert_int_equal(settings_with(""), 0);
    struct tl_conformance *run = tl_conformance_open(&subject);
    struct tl_rerank_engine_state *engine = (struct tl_rerank_engine_state *)tl_conformance_engine(run);
    const size_t which[] = {0, 1, 2, 3};
    struct tl_conformance_held *first = score(run, hits_value(which, 4), questions[0]);
    struct tl_conformance_held *second = score(run, hits_value(which, 4), questions[0]);
    assert_int_equal(engine->cache.hits, 4);
    assert_int_equal(engine->cache.misses, 4);
    for (size_t i = 0; i < 4; i++)
        assert_true(fabs(score_of(first, i) - score_of(second, i)) < 2e-3);
    /* The second computed the question only. */
    assert_true(tl_conformance_outcome(second)->usage.tokens_computed < 12);
    assert_true(tl_conformance_outcome(first)->usage.tokens_computed > 40);
    tl_conformance_close(run);

    assert_int_equal(settings_with(", \"cache_bytes\": 12000"), 0);
    run = tl_conformance_open(&subject);
    engine = (struct tl_rerank_engine_state *)tl_conformance_engine(run);
    for (int i = 0; i < 3; i++) {
        score(run, hits_value(which, 4), questions[i]);
        assert_true(engine->cache.bytes <= 12000);
    }
    assert_true(engine->cache.evictions > 0);
    tl_conformance_close(run);
}

/* The int8 form against the formula in double. */
static void test_maxsim(void **state) {
    (void)state;
    enum { DIMENSION = 48, QUERY = 5, PASSAGE = 9 };
    float data[QUERY + PASSAGE][DIMENSION];
    const float *rows[QUERY + PASSAGE];
    uint32_t noise = 1;
    for (size_t r = 0; r < QUERY + PASSAGE; r++) {
        rows[r] = data[r];
        for (size_t i = 0; i < DIMENSION; i++) {
            noise = noise * 1664525u + 1013904223u;
            data[r][i] = (float)(noise >> 8) / 8388608.0f - 1.0f;
        }
    }
    double expected = 0;
    for (size_t q = 0; q < QUERY; q++) {
        double best = -1;
        for (size_t p = QUERY; p < QUERY + PASSAGE; p++) {
            double product = 0, a = 0, b = 0;
            for (size_t i = 0; i < DIMENSION; i++) {
                product += (double)data[q][i] * data[p][i];
                a += (double)data[q][i] * data[q][i];
                b += (double)data[p][i] * data[p][i];
            }
            best = fmax(best, product / sqrt(a * b));
        }
        expected += best / QUERY;
    }
    struct tl_llama_vectors *query = tl_llama_vectors_create(rows, QUERY, DIMENSION);
    struct tl_llama_vectors *passage = tl_llama_vectors_create(rows + QUERY, PASSAGE, DIMENSION);
    struct tl_llama_vectors *none = tl_llama_vectors_create(rows, 0, DIMENSION);
    assert_true(fabs(tl_llama_maxsim(query, passage) - expected) < 0.005);
    assert_true(fabs(tl_llama_maxsim(query, query) - 1) < 0.005);
    assert_true(tl_llama_maxsim(query, none) == 0 && tl_llama_maxsim(none, query) == 0);
    tl_llama_vectors_unref(query);
    tl_llama_vectors_unref(passage);
    tl_llama_vectors_unref(none);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_maxsim),
        cmocka_unit_test(test_what_answers_scores_best),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_conformance),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Tests fuse and aggregate "top": orders worked out by hand, ties, lanes, and independence of the order of inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "builtin/builtin_test_support.h"

static void check_order(struct tl_test_item *item, enum tl_primitive op, const char *expected) {
    char ids[512];
    struct tl_value *output = tl_test_item_execute(item, op);
    assert_string_equal(item->error.message, "");
    assert_non_null(output);
    assert_string_equal(tl_test_ids(output, ids, sizeof ids), expected);
    tl_value_unref(output);
}

static void test_fuse_by_reciprocal_rank(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "vector", tl_test_hits("a b c d"));
    tl_test_item_add(&item, "keyword", tl_test_hits("c a e"));
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_FUSE);
    assert_non_null(output);
    char ids[256];
    /* a: 1/61 + 1/62, c: 1/63 + 1/61, b: 1/62, e: 1/63, d: 1/64 */
    assert_string_equal(tl_test_ids(output, ids, sizeof ids), "a c b e d");
    const struct tl_hit *first = &output->as.list.items[0]->as.hit;
    assert_true(fabs(first->retrieval - (1.0 / 61 + 1.0 / 62)) < 1e-12);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(output->as.list.items[i]->as.hit.rank, i);
    }
    tl_value_unref(output);
    tl_attributes_set_integer(&item.attributes, &item.arena, "count", 2);
    check_order(&item, TL_OP_FUSE, "a c");
    /* With k = 0 the first places weigh more: a 1 + 1/2, c 1/3 + 1, b 1/2, e 1/3, d 1/4. */
    tl_attributes_set_integer(&item.attributes, &item.arena, "constant", 0);
    tl_attributes_set_integer(&item.attributes, &item.arena, "count", 0);
    check_order(&item, TL_OP_FUSE, "a c b e d");
    tl_test_item_fini(&item);
}

static void test_fuse_ties_by_chunk_id(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "one", tl_test_hits("b c"));
    tl_test_item_add(&item, "two", tl_test_hits("a d"));
    check_order(&item, TL_OP_FUSE, "a b c d");
    tl_test_item_fini(&item);
}

static struct tl_value *lanes(const char *first, const char *second) {
    struct tl_value *items[2] = {tl_test_hits(first), second != NULL ? tl_test_hits(second) : NULL};
    return tl_value_list(TL_TYPE_OF(HIT, 1), items, second != NULL ? 2 : 1);
}

static void test_fuse_lane_by_lane(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "vector", lanes("a b", "x"));
    tl_test_item_add(&item, "keyword", lanes("b c", ""));
    check_order(&item, TL_OP_FUSE, "b a c | x");
    tl_test_item_fini(&item);

    tl_test_item_init(&item);
    tl_test_item_add(&item, "vector", lanes("a b", "x"));
    tl_test_item_add(&item, "keyword", lanes("b c", NULL));
    assert_null(tl_test_item_execute(&item, TL_OP_FUSE));
    assert_string_equal(item.error.message, "lists of 2 and of 1 lanes cannot be fused lane by lane");
    tl_test_item_fini(&item);
}

static void test_top_joins_lanes(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "top");
    tl_test_item_add(&item, "question", tl_test_hits("a b c"));
    tl_test_item_add(&item, "rewrites", lanes("b d", "b a"));
    /* b: 1/62 + 1/61 + 1/61, a: 1/61 + 1/62, d: 1/62, c: 1/63 */
    check_order(&item, TL_OP_AGGREGATE, "b a d c");
    tl_attributes_set_integer(&item.attributes, &item.arena, "count", 3);
    check_order(&item, TL_OP_AGGREGATE, "b a d");
    tl_test_item_fini(&item);
}

/* Retrieval order a b c d; scores put d first. */
static void add_scored(struct tl_test_item *item) {
    struct tl_value *hits[4] = {
        tl_test_scored_hit("a", 0, 0.1),
        tl_test_scored_hit("b", 1, 0.7),
        tl_test_scored_hit("c", 2, 0.2),
        tl_test_scored_hit("d", 3, 0.9),
    };
    tl_attributes_set_string(&item->attributes, &item->arena, "mode", "top");
    tl_test_item_add(item, "hits", tl_value_list(TL_TYPE_OF(HIT, 0), hits, 4));
}

static void test_top_by_score_and_fused(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    add_scored(&item);
    /* fused: b 1/62 + 1/62, a 1/61 + 1/64, d 1/64 + 1/61, c 1/63 + 1/63: a and d are equal, the id decides */
    check_order(&item, TL_OP_AGGREGATE, "b a d c");
    tl_attributes_set_string(&item.attributes, &item.arena, "by", "score");
    check_order(&item, TL_OP_AGGREGATE, "d b c a");
    tl_attributes_set_string(&item.attributes, &item.arena, "by", "retrieval");
    check_order(&item, TL_OP_AGGREGATE, "a b c d");
    tl_attributes_set_string(&item.attributes, &item.arena, "by", "luck");
    assert_null(tl_test_item_execute(&item, TL_OP_AGGREGATE));
    assert_string_equal(item.error.message, "the attribute `by` is \"luck\"; expected retrieval, score or fused");
    tl_test_item_fini(&item);
}

static void test_top_keeps_best_score_and_puts_unscored_last(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "top");
    tl_attributes_set_string(&item.attributes, &item.arena, "by", "score");
    tl_test_item_add(&item, "one", tl_test_scored_hit("a", 0, 0.1));
    tl_test_item_add(&item, "two", tl_test_scored_hit("a", 5, 0.8));
    tl_test_item_add(&item, "three", tl_test_scored_hit("b", 1, 0.5));
    tl_test_item_add(&item, "four", tl_test_hit("c", 0));
    tl_test_item_add(&item, "five", tl_test_scored_hit("d", 0, NAN));
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    char ids[64];
    assert_string_equal(tl_test_ids(output, ids, sizeof ids), "a b c d");
    assert_true(output->as.list.items[0]->as.hit.score == 0.8);
    assert_false(output->as.list.items[3]->as.hit.scored);
    tl_value_unref(output);
    tl_test_item_fini(&item);
}

static void test_nothing_found(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "top");
    tl_test_item_add(&item, "one", tl_test_hits(""));
    tl_test_item_add(&item, "two", lanes("", ""));
    check_order(&item, TL_OP_AGGREGATE, "");
    tl_test_item_fini(&item);
    tl_test_item_init(&item);
    tl_test_item_add(&item, "one", tl_test_hits(""));
    check_order(&item, TL_OP_FUSE, "");
    tl_test_item_fini(&item);
}

/* Two lanes give the same result in either order (of three, sums might differ in the last bit): random rankings. */
static void test_result_does_not_depend_on_lane_order(void **state) {
    (void)state;
    uint32_t random = 12345;
    for (int round = 0; round < 200; round++) {
        char text[2][64];
        for (int lane = 0; lane < 2; lane++) {
            char letters[] = "abcdefgh";
            for (size_t i = 8; i > 1; i--) {
                random = random * 1664525u + 1013904223u;
                size_t k = (random >> 16) % i;
                char swap = letters[i - 1];
                letters[i - 1] = letters[k];
                letters[k] = swap;
            }
            for (size_t i = 0; i < 8; i++) {
                text[lane][2 * i] = letters[i];
                text[lane][2 * i + 1] = i < 7 ? ' ' : '\0';
            }
        }
        char first[64] = "", ids[64];
        for (int shift = 0; shift < 2; shift++) {
            struct tl_test_item item;
            tl_test_item_init(&item);
            tl_attributes_set_string(&item.attributes, &item.arena, "mode", "top");
            for (int lane = 0; lane < 2; lane++) {
                tl_test_item_add(&item, "lane", tl_test_hits(text[(lane + shift) % 2]));
            }
            struct tl_value *output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
            tl_test_ids(output, ids, sizeof ids);
            if (shift == 0) {
                memcpy(first, ids, sizeof first);
            }
            assert_string_equal(ids, first);
            tl_value_unref(output);
            tl_test_item_fini(&item);
        }
    }
}

static void test_wrong_inputs(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "hits", tl_test_text("no hits"));
    assert_null(tl_test_item_execute(&item, TL_OP_FUSE));
    assert_string_equal(item.error.message, "input `hits` has type text; expected hits");
    tl_test_item_fini(&item);

    tl_test_item_init(&item);
    tl_test_item_add(&item, "one", tl_test_hits("a"));
    tl_attributes_set_integer(&item.attributes, &item.arena, "count", -1);
    assert_null(tl_test_item_execute(&item, TL_OP_FUSE));
    assert_string_equal(item.error.message, "the attribute `count` is -1; expected 0 or more");
    tl_test_item_fini(&item);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fuse_by_reciprocal_rank),
        cmocka_unit_test(test_fuse_ties_by_chunk_id),
        cmocka_unit_test(test_fuse_lane_by_lane),
        cmocka_unit_test(test_top_joins_lanes),
        cmocka_unit_test(test_top_by_score_and_fused),
        cmocka_unit_test(test_top_keeps_best_score_and_puts_unscored_last),
        cmocka_unit_test(test_nothing_found),
        cmocka_unit_test(test_result_does_not_depend_on_lane_order),
        cmocka_unit_test(test_wrong_inputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

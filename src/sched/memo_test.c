/* Tests of the memo by itself: claims, eviction, keys. Runs that use it: memo_node_test.c. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "sched/memo.h"

/* ---- the table ---- */

static struct tl_memo_key key_of(unsigned number) {
    struct tl_memo_key key;
    char text[16];
    struct tl_sha256 *hash = tl_sha256_create();
    tl_sha256_update(hash, text, (size_t)snprintf(text, sizeof text, "%u", number));
    tl_sha256_digest(hash, key.bytes);
    tl_sha256_destroy(hash);
    return key;
}

static void ignore(void *context, const struct tl_memo_claim *claim, bool produces) {
    (void)context, (void)claim, (void)produces;
}

static void check(const struct tl_memo *memo) {
    struct tl_str why = TL_STR_INIT;
    if (!tl_memo_is_valid(memo, &why, ignore, NULL)) fail_msg("%s", why.data);
    tl_str_fini(&why);
}

static enum tl_memo_state claim_of(struct tl_memo *memo, unsigned number, double ms, struct tl_memo_claim *claim) {
    struct tl_memo_key key = key_of(number);
    struct tl_value *value = NULL;
    enum tl_memo_state state = tl_memo_claim(memo, &key, ms, claim, &value);
    assert_int_equal(value != NULL, state == TL_MEMO_KNOWN);
    if (value) assert_int_equal((int)value->as.number, (int)number);
    tl_value_unref(value);
    return state;
}

/* Computes it when nobody has; false when it was known. */
static bool use(struct tl_memo *memo, unsigned number, double ms) {
    struct tl_memo_claim claim = {0};
    if (claim_of(memo, number, ms, &claim) == TL_MEMO_KNOWN) return false;
    struct tl_value *value = tl_value_number(number);
    assert_null(tl_memo_produce(memo, &claim, value));
    tl_value_unref(value);
    check(memo);
    return true;
}

static void test_claims(void **state) {
    (void)state;
    struct tl_memo *memo = tl_memo_create(1 << 16);
    struct tl_memo_claim claims[5] = {0};
    assert_int_equal(claim_of(memo, 1, 10, &claims[0]), TL_MEMO_MINE);
    for (size_t i = 1; i < 5; i++) assert_int_equal(claim_of(memo, 1, 10, &claims[i]), TL_MEMO_AWAITED);
    check(memo);
    assert_null(tl_memo_give_up(memo, &claims[2])); /* one that waits */
    assert_ptr_equal(tl_memo_give_up(memo, &claims[0]), &claims[1]); /* the producer: the next in order takes over */
    assert_true(tl_memo_produces(&claims[1]));
    assert_false(tl_memo_produces(&claims[3]));
    check(memo);
    struct tl_value *value = tl_value_number(1);
    assert_ptr_equal(tl_memo_produce(memo, &claims[1], value), &claims[3]);
    assert_ptr_equal(claims[3].next, &claims[4]);
    assert_null(claims[4].next);
    tl_value_unref(value);
    check(memo);
    struct tl_memo_claim late = {0};
    assert_int_equal(claim_of(memo, 1, 10, &late), TL_MEMO_KNOWN);
    struct tl_memo_counters counters;
    tl_memo_get_counters(memo, &counters);
    assert_int_equal(counters.hits, 1);
    assert_int_equal(counters.misses, 2);
    assert_int_equal(counters.shared, 2);
    assert_int_equal(counters.entries, 1);
    assert_true(counters.ms_saved > 29.9 && counters.ms_saved < 30.1);
    /* Nobody is left: the entry goes. */
    assert_int_equal(claim_of(memo, 2, 10, &late), TL_MEMO_MINE);
    assert_null(tl_memo_give_up(memo, &late));
    assert_int_equal(claim_of(memo, 2, 10, &late), TL_MEMO_MINE);
    assert_null(tl_memo_give_up(memo, &late));
    check(memo);
    tl_memo_destroy(memo);
}

static void test_what_is_dear_and_used_stays(void **state) {
    (void)state;
    struct tl_memo *memo = tl_memo_create(20000);
    use(memo, 1, 1000);
    for (unsigned i = 2; i < 2000; i++) { /* far more than there is room for */
        use(memo, i, 1);
        if (i % 10 == 0) assert_false(use(memo, 1, 1000));
    }
    assert_false(use(memo, 1999, 1));
    assert_true(use(memo, 2, 1)); /* gone */
    struct tl_memo_counters counters;
    tl_memo_get_counters(memo, &counters);
    assert_true(counters.evictions > 1000);
    assert_true(counters.bytes <= 20000);
    assert_true(counters.entries > 20);
    /* It is not asked for any more: what is asked for pushes it out in time, however cheap. */
    for (unsigned round = 0; round < 1000; round++)
        for (unsigned i = 10000; i < 10300; i++) use(memo, i, 100);
    assert_true(use(memo, 1, 1000));
    tl_memo_destroy(memo);
}

static void test_what_is_too_large_is_passed_on_only(void **state) {
    (void)state;
    struct tl_memo *memo = tl_memo_create(1000);
    struct tl_memo_claim claims[2] = {0};
    char text[2000];
    memset(text, 'x', sizeof text);
    struct tl_value *value = tl_value_text(text, sizeof text);
    assert_int_equal(claim_of(memo, 1, 1, &claims[0]), TL_MEMO_MINE);
    assert_int_equal(claim_of(memo, 1, 1, &claims[1]), TL_MEMO_AWAITED);
    assert_ptr_equal(tl_memo_produce(memo, &claims[0], value), &claims[1]);
    tl_value_unref(value);
    check(memo);
    assert_int_equal(claim_of(memo, 1, 1, &claims[0]), TL_MEMO_MINE);
    tl_memo_give_up(memo, &claims[0]);
    tl_memo_destroy(memo);
}

/* ---- keys ---- */

static bool about_of(struct tl_memo_about about, struct tl_memo_key *key) {
    static const struct tl_attributes none;
    struct tl_sha256 *hash = tl_sha256_create();
    if (!about.attributes) about.attributes = &none;
    if (!about.tenant) about.tenant = "";
    if (!about.engine) about.engine = "store";
    about.op = about.op ? about.op : TL_OP_SEARCH;
    bool good = tl_memo_about_key(hash, &about, key);
    tl_sha256_destroy(hash);
    return good;
}

static void test_keys_tell_apart_what_matters(void **state) {
    (void)state;
    struct tl_arena arena;
    tl_arena_init(&arena);
    struct tl_attributes three = {0}, four = {0};
    tl_attributes_set_integer(&three, &arena, "count", 3);
    tl_attributes_set_integer(&four, &arena, "count", 4);
    struct tl_value *index[] = {NULL, tl_value_index("a", NULL, 1)}, *newer[] = {NULL, tl_value_index("a", NULL, 2)},
                    *other[] = {NULL, tl_value_index("b", NULL, 1)};
    const struct tl_memo_about abouts[] = {
        {.inputs = index, .input_count = 2},
        {.inputs = newer, .input_count = 2},
        {.inputs = other, .input_count = 2},
        {.inputs = index, .input_count = 2, .attributes = &three},
        {.inputs = index, .input_count = 2, .attributes = &four},
        {.inputs = index, .input_count = 2, .tenant = "t"},
        {.inputs = index, .input_count = 2, .engine = "storet"},
        {.inputs = index, .input_count = 2, .model = "m"},
        {.inputs = index, .input_count = 2, .model_digest = "m"},
        {.inputs = index, .input_count = 2, .op = TL_OP_MATCH},
        {.inputs = index, .input_count = 2, .element = 1},
    };
    enum { ABOUTS = sizeof abouts / sizeof abouts[0] };
    struct tl_memo_key keys[ABOUTS], again;
    for (size_t i = 0; i < ABOUTS; i++) {
        assert_true(about_of(abouts[i], &keys[i]));
        assert_true(about_of(abouts[i], &again));
        assert_memory_equal(&keys[i], &again, sizeof again);
        for (size_t k = 0; k < i; k++) assert_memory_not_equal(&keys[i], &keys[k], sizeof again);
    }
    for (size_t i = 0; i < 3; i++) tl_value_unref((struct tl_value *[]){index[1], newer[1], other[1]}[i]);
    tl_arena_fini(&arena);
}

static bool element_of(struct tl_value *value, struct tl_memo_key *key) {
    static const struct tl_memo_key about;
    struct tl_sha256 *hash = tl_sha256_create();
    bool good = tl_memo_element_key(hash, &about, value, key);
    tl_sha256_destroy(hash);
    tl_value_unref(value);
    return good;
}

static struct tl_value *pair(const char *a, const char *b) {
    struct tl_value *items[] = {tl_value_text(a, strlen(a)), tl_value_text(b, strlen(b))};
    return tl_value_list(TL_TYPE_OF(TEXT, 0), items, 2);
}

static struct tl_value *chunk(const char *title, const char *heading) {
    return tl_value_chunk(
        &(struct tl_chunk){.id = "i", .uri = "u", .title = title, .heading = heading, .text = "x", .length = 1});
}

static void test_keys_of_elements(void **state) {
    (void)state;
    static const float up[] = {0, 1}, down[] = {0, -1};
    struct tl_value *values[] = {pair("a", "bc"), pair("ab", "c"), tl_value_text("abc", 3), chunk("t", "h"),
                                 chunk("th", ""), tl_value_vector(up, 2), tl_value_vector(down, 2),
                                 tl_value_document(&(struct tl_document){.uri = "u", .data = "abc", .length = 3})};
    enum { VALUES = sizeof values / sizeof values[0] };
    struct tl_memo_key keys[VALUES];
    for (size_t i = 0; i < VALUES; i++) {
        assert_true(element_of(values[i], &keys[i]));
        for (size_t k = 0; k < i; k++) assert_memory_not_equal(&keys[i], &keys[k], sizeof keys[i]);
    }
    /* What may change, or lives in an engine. */
    assert_false(element_of(tl_value_index("a", NULL, 0), &keys[0]));
    assert_false(element_of(tl_value_document(&(struct tl_document){.uri = "/file"}), &keys[0]));
    assert_false(element_of(tl_value_kv(NULL, 3), &keys[0]));
    assert_true(element_of(pair("a", "bc"), &keys[1])); /* a refused key leaves nothing behind */
    assert_true(element_of(pair("a", "bc"), &keys[2]));
    assert_memory_equal(&keys[1], &keys[2], sizeof keys[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_claims),
        cmocka_unit_test(test_what_is_dear_and_used_stays),
        cmocka_unit_test(test_what_is_too_large_is_passed_on_only),
        cmocka_unit_test(test_keys_tell_apart_what_matters),
        cmocka_unit_test(test_keys_of_elements),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

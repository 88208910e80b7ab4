/* Tests of text_query: what becomes of words, and that no text becomes query syntax. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "engine/sqlite/text_query.h"

static void check(const char *text, const char *expected) {
    struct tl_str query = TL_STR_INIT;
    tl_text_query(text, strlen(text), &query);
    assert_string_equal(query.data, expected);
    tl_str_fini(&query);
}

static void test_words(void **state) {
    (void)state;
    check("", "");
    check("  ?!* ", "");
    check("write-ahead log", "\"write\" OR \"ahead\" OR \"log\"");
    check("What does sqlite3_open_v2() return?", "\"sqlite3_open_v2\" OR \"return\"");
    check("index Index INDEX", "\"index\"");
    check("Don't panic", "\"panic\"");
    check("what is it", "\"what\" OR \"is\" OR \"it\""); /* nothing but stop words: they are all there is */
    check("gr\xc3\xb6\xc3\x9f"
          "e \xe6\x97\xa5\xe6\x9c\xac",
          "\"gr\xc3\xb6\xc3\x9f"
          "e\" OR \"\xe6\x97\xa5\xe6\x9c\xac\"");
}

static void test_operators_are_words(void **state) {
    (void)state;
    check("title:secret NEAR(a b) \"quoted\" AND col*",
          "\"title\" OR \"secret\" OR \"NEAR\" OR \"b\" OR \"quoted\" OR \"col\"");
    check("\") OR 1=1 --", "\"1\"");
}

/* Every byte sequence gives an expression of quoted words: no quote inside, no byte outside. */
static void test_any_bytes(void **state) {
    (void)state;
    char text[200];
    for (uint64_t round = 0; round < 2000; round++) {
        size_t length = (size_t)(tl_hash_u64(round, 1) % sizeof text);
        for (size_t i = 0; i < length; i++)
            text[i] = (char)(tl_hash_u64(round * 1000 + i, 2) % (round % 2 ? 256 : 48));
        struct tl_str query = TL_STR_INIT;
        size_t words = tl_text_query(text, length, &query);
        assert_true(words <= TL_TEXT_QUERY_WORDS_MAX);
        assert_int_equal(strlen(query.data), query.length);
        size_t at = 0;
        for (size_t word = 0; word < words; word++) {
            if (word > 0) {
                assert_memory_equal(query.data + at, " OR ", 4);
                at += 4;
            }
            assert_int_equal(query.data[at], '"');
            const char *end = strchr(query.data + at + 1, '"');
            assert_non_null(end);
            assert_true(end > query.data + at + 1);
            at = (size_t)(end - query.data) + 1;
        }
        assert_int_equal(at, query.length);
        tl_str_fini(&query);
    }
}

static void test_bound(void **state) {
    (void)state;
    struct tl_str text = TL_STR_INIT, query = TL_STR_INIT;
    for (int i = 0; i < 5000; i++)
        tl_str_printf(&text, "word%d ", i);
    assert_int_equal(tl_text_query(text.data, text.length, &query), TL_TEXT_QUERY_WORDS_MAX);
    assert_true(query.length < 2000);
    tl_str_fini(&text);
    tl_str_fini(&query);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_operators_are_words),
        cmocka_unit_test(test_any_bytes),
        cmocka_unit_test(test_bound),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

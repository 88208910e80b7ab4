/* str_test.c: growing strings, escapes, nearest names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

static void grows_like_a_reference(void **state) {
    (void)state;
    struct tl_str str = TL_STR_INIT;
    static char expected[200000];
    size_t length = 0;
    srand(1);
    for (int step = 0; step < 3000; step++) {
        char piece[64];
        size_t size = (size_t)rand() % sizeof piece;
        for (size_t i = 0; i < size; i++)
            piece[i] = (char)(rand() % 256);
        switch (rand() % 5) {
        case 0:
            tl_str_putc(&str, 'c');
            expected[length++] = 'c';
            break;
        case 1: {
            size_t cut = length > 20 ? length - (size_t)rand() % 20 : length;
            tl_str_truncate(&str, cut);
            length = cut;
            break;
        }
        case 2:
            tl_str_printf(&str, "<%d>", 42);
            memcpy(expected + length, "<42>", 4);
            length += 4;
            break;
        default:
            tl_str_append(&str, piece, size);
            memcpy(expected + length, piece, size);
            length += size;
            break;
        }
        assert_int_equal(str.length, length);
        assert_int_equal(str.data[length], '\0');
        assert_memory_equal(str.data, expected, length);
    }
    tl_str_clear(&str);
    assert_string_equal(str.data, "");
    tl_str_puts(&str, "owned");
    char *owned = tl_str_detach(&str);
    assert_string_equal(owned, "owned");
    tl_mem_free(owned);
    owned = tl_str_detach(&str);
    assert_string_equal(owned, "");
    tl_mem_free(owned);
    tl_str_fini(&str);
    tl_str_fini(&str);
}

static void json_reads_back(void **state) {
    (void)state;
    for (int c = 1; c < 128; c++) {
        char text[] = {'a', (char)c, 'b', 0};
        struct tl_str str = TL_STR_INIT;
        tl_str_put_json(&str, text, 3);
        json_t *json = json_loads(str.data, JSON_DECODE_ANY, NULL);
        assert_non_null(json);
        assert_string_equal(json_string_value(json), text);
        json_decref(json);
        tl_str_fini(&str);
    }
    struct tl_str str = TL_STR_INIT;
    tl_str_put_json(&str, "\xFFx\0y", 4);
    assert_string_equal(str.data, "\"\xEF\xBF\xBDx\\u0000y\"");
    tl_str_clear(&str);
    tl_str_put_xml(&str, "<a b='\"&\x01\n", 10);
    assert_string_equal(str.data, "&lt;a b=&#39;&quot;&amp;\xEF\xBF\xBD\n");
    tl_str_fini(&str);
}

static void nearest_names(void **state) {
    (void)state;
    const char *const names[] = {"embed", "search", "rerank", "expand", "generate", "synthesize"};
    const size_t count = sizeof names / sizeof *names;
    assert_string_equal(tl_str_nearest("serach", names, count), "search");
    assert_string_equal(tl_str_nearest("synthesise", names, count), "synthesize");
    assert_string_equal(tl_str_nearest("embedd", names, count), "embed");
    assert_null(tl_str_nearest("quit", names, count));
    assert_null(tl_str_nearest("", names, count));
    assert_null(tl_str_nearest("x", names, 0));
    char giant[1000];
    memset(giant, 'e', sizeof giant);
    giant[999] = '\0';
    assert_null(tl_str_nearest(giant, names, count));
}

static void affixes(void **state) {
    (void)state;
    assert_true(tl_str_starts_with("hub:x", "hub:"));
    assert_false(tl_str_starts_with("hu", "hub:"));
    assert_true(tl_str_ends_with("a.gguf", ".gguf"));
    assert_false(tl_str_ends_with("guf", ".gguf"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(grows_like_a_reference),
        cmocka_unit_test(json_reads_back),
        cmocka_unit_test(nearest_names),
        cmocka_unit_test(affixes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

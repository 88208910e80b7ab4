/* utf8_test.c: borders and repair, checked over all short byte strings of interest. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/utf8.h"

static const unsigned char interesting[] = {'a',  0x80, 0x8F, 0x90, 0x9F, 0xA0, 0xBF, 0xC0, 0xC2, 0xDF,
                                            0xE0, 0xE2, 0xED, 0xEF, 0xF0, 0xF1, 0xF4, 0xF5, 0xFF};
enum { INTERESTING = sizeof interesting };

/* Whether some continuation makes data[0..length) well-formed, by trying. */
static bool completable(const char *data, size_t length) {
    char text[8];
    memcpy(text, data, length);
    for (int a = 0x80; a <= 0xBF; a++) {
        text[length] = (char)a;
        if (tl_utf8_is_valid(text, length + 1))
            return true;
        if (length <= 2)
            for (int b = 0x80; b <= 0xBF; b += 0x3F) {
                text[length + 1] = (char)b;
                if (tl_utf8_is_valid(text, length + 2))
                    return true;
                for (int c = 0x80; length == 1 && c <= 0xBF; c += 0x3F) {
                    text[length + 2] = (char)c;
                    if (tl_utf8_is_valid(text, length + 3))
                        return true;
                }
            }
    }
    return false;
}

static void check(const char *text, size_t length) {
    size_t expected = length;
    for (size_t back = 3; back >= 1; back--) /* the shortest such end counts */
        if (back <= length && (text[length - back] & 0xC0) != 0x80 &&
            !tl_utf8_is_valid(text + length - back, back) && completable(text + length - back, back))
            expected = length - back;
    assert_int_equal(tl_utf8_complete_prefix(text, length), expected);

    struct tl_str out = TL_STR_INIT;
    size_t replaced = tl_utf8_repair(text, length, &out);
    assert_true(tl_utf8_is_valid(out.data, out.length));
    assert_int_equal(replaced == 0, tl_utf8_is_valid(text, length));
    assert_int_equal(out.length, length + 2 * replaced);
    tl_str_fini(&out);

    if (tl_utf8_is_valid(text, length))
        for (size_t offset = 0; offset <= length; offset++) {
            size_t border = tl_utf8_border(text, length, offset);
            assert_true(border <= offset && offset - border <= 3);
            assert_true(tl_utf8_is_valid(text, border));
            assert_true(tl_utf8_is_valid(text + border, length - border));
        }
}

static void all_short_strings(void **state) {
    (void)state;
    char text[4];
    for (size_t a = 0; a < INTERESTING; a++)
        for (size_t b = 0; b < INTERESTING; b++)
            for (size_t c = 0; c < INTERESTING; c++)
                for (size_t d = 0; d < INTERESTING; d++) {
                    text[0] = (char)interesting[a];
                    text[1] = (char)interesting[b];
                    text[2] = (char)interesting[c];
                    text[3] = (char)interesting[d];
                    for (size_t length = 0; length <= 4; length++)
                        check(text, length);
                }
}

static void examples(void **state) {
    (void)state;
    assert_true(tl_utf8_is_valid("gr\xC3\xBC\xC3\x9F \xF0\x9F\x98\x80", 11));
    assert_false(tl_utf8_is_valid("\xED\xA0\x80", 3)); /* a surrogate */
    assert_false(tl_utf8_is_valid("\xC0\x80", 2));     /* overlong */
    assert_int_equal(tl_utf8_border("a\xF0\x9F\x98\x80z", 6, 4), 1);
    assert_int_equal(tl_utf8_border("a\xF0\x9F\x98\x80z", 6, 5), 5);
    assert_int_equal(tl_utf8_border("\x80\x80\x80\x80\x80\x80", 6, 5), 5); /* strays stand alone */
    assert_int_equal(tl_utf8_border("abc", 3, 99), 3);
}

static void letters(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool found;
    } cases[] = {
        {"", false},
        {"7, 8!", false},
        {"7a", true},
        {"\xE2\x80\xA6\xE2\x80\x9D", false}, /* an ellipsis, a quotation mark */
        {"\xF0\x9F\x98\x80", false},           /* a face */
        {"(\xC3\x9F)", true},
        {"\xE6\xB5\xB7", true},                /* the sea */
        {"\xFF\x80", false},
        {"\xFF" "b", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(tl_utf8_has_letter(cases[i].text, strlen(cases[i].text)), cases[i].found);
    assert_false(tl_utf8_has_letter("1\xC3\x9F", 2)); /* cut */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_short_strings),
        cmocka_unit_test(examples),
        cmocka_unit_test(letters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

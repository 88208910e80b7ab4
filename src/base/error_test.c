/* error_test.c: messages of struct tl_error: cutting, prefixing, arguments that alias. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/error.h"
#include "base/utf8.h"

static void every_status_has_a_name(void **state) {
    (void)state;
    for (int i = 0; i < TL_STATUS_COUNT; i++)
        for (int j = 0; j < i; j++)
            assert_string_not_equal(tl_status_name((enum tl_status)i), tl_status_name((enum tl_status)j));
    assert_string_equal(tl_status_name((enum tl_status)999), "unknown status");
}

static void sets_and_prefixes(void **state) {
    (void)state;
    struct tl_error error;
    assert_int_equal(tl_error_set(&error, TL_ERR_LIMIT, "%d of %d", 5, 4), TL_ERR_LIMIT);
    assert_string_equal(error.message, "5 of 4");
    assert_int_equal(tl_error_prefix(&error, "step %s", "two"), TL_ERR_LIMIT);
    assert_string_equal(error.message, "step two: 5 of 4");
    assert_int_equal(tl_error_set(&error, TL_ERR_IO, "again %s", error.message), TL_ERR_IO);
    assert_string_equal(error.message, "again step two: 5 of 4");
    assert_int_equal(tl_error_set(NULL, TL_ERR_IO, "nobody reads"), TL_ERR_IO);
}

static void cuts_at_a_border(void **state) {
    (void)state;
    for (size_t lead = 0; lead < 4; lead++) {
        char text[3 * TL_ERROR_MESSAGE_MAX];
        memset(text, 'a', lead);
        for (size_t i = lead; i + 3 < sizeof text; i += 3)
            memcpy(text + i, "\xE2\x82\xAC", 4);
        struct tl_error error;
        tl_error_set(&error, TL_ERR_INVALID, "%s", text);
        size_t length = strlen(error.message);
        assert_in_range(length, TL_ERROR_MESSAGE_MAX - 4, TL_ERROR_MESSAGE_MAX - 1);
        assert_string_equal(error.message + length - 3, "...");
        assert_true(tl_utf8_is_valid(error.message, length));
    }
    char exact[TL_ERROR_MESSAGE_MAX];
    memset(exact, 'x', sizeof exact - 1);
    exact[sizeof exact - 1] = '\0';
    struct tl_error error;
    tl_error_set(&error, TL_ERR_INVALID, "%s", exact);
    assert_string_equal(error.message, exact);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_a_name),
        cmocka_unit_test(sets_and_prefixes),
        cmocka_unit_test(cuts_at_a_border),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

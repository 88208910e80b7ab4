/* attributes_test.c: a sorted list of scalars: set, replace, remove, compare, print. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/attributes.h"

static void set_find_remove(void **state) {
    (void)state;
    struct tl_arena arena;
    struct tl_attributes list = {0}, copy;
    struct tl_str out = TL_STR_INIT;
    tl_arena_init(&arena);
    tl_attributes_print(&list, &out);
    assert_string_equal(out.data, "");
    tl_attributes_set_string(&list, &arena, "prompt", "say \"hi\"\n");
    tl_attributes_set_integer(&list, &arena, "count", 3);
    tl_attributes_set_number(&list, &arena, "top_p", 1);
    tl_attributes_set_number(&list, &arena, "heat", 0.1);
    tl_attributes_set_bool(&list, &arena, "live", true);
    tl_attributes_print(&list, &out);
    assert_string_equal(out.data, "{count=3, heat=0.1, live=true, prompt=\"say \\\"hi\\\"\\n\", top_p=1.0}");

    assert_int_equal(tl_attributes_integer(&list, "count", 9), 3);
    assert_true(tl_attributes_number(&list, "count", 9) == 3.0);
    assert_int_equal(tl_attributes_integer(&list, "heat", 9), 9);
    assert_true(tl_attributes_bool(&list, "live", false));
    assert_string_equal(tl_attributes_string(&list, "prompt", ""), "say \"hi\"\n");
    assert_string_equal(tl_attributes_string(&list, "absent", "x"), "x");

    tl_attributes_copy(&copy, &arena, &list);
    assert_true(tl_attributes_equal(&copy, &list));
    assert_int_equal(tl_attributes_hash(&copy, 5), tl_attributes_hash(&list, 5));
    tl_attributes_set_integer(&copy, &arena, "top_p", 1);
    assert_false(tl_attributes_equal(&copy, &list));
    assert_true(tl_attributes_hash(&copy, 5) != tl_attributes_hash(&list, 5));
    tl_attributes_remove(&copy, "top_p");
    tl_attributes_remove(&copy, "top_p");
    assert_null(tl_attributes_find(&copy, "top_p"));
    assert_int_equal(copy.count, list.count - 1);
    assert_non_null(tl_attributes_find(&list, "top_p"));
    tl_str_fini(&out);
    tl_arena_fini(&arena);
}

static void order_of_setting_does_not_matter(void **state) {
    (void)state;
    struct tl_arena arena;
    tl_arena_init(&arena);
    struct tl_attributes up = {0}, down = {0};
    for (int i = 0; i < 26; i++) {
        char a[] = {(char)('a' + i), 0}, z[] = {(char)('z' - i), 0};
        tl_attributes_set_integer(&up, &arena, a, i);
        tl_attributes_set_integer(&down, &arena, z, 25 - i);
    }
    assert_true(tl_attributes_equal(&up, &down));
    assert_int_equal(tl_attributes_hash(&up, 0), tl_attributes_hash(&down, 0));
    tl_arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(set_find_remove),
        cmocka_unit_test(order_of_setting_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

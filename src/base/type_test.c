/* type_test.c: types read back as they are printed; the table of primitives holds together. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/primitive.h"
#include "base/type.h"

static void print_and_parse(void **state) {
    (void)state;
    for (unsigned base = 0; base < TL_TYPE_COUNT; base++)
        for (unsigned depth = 0; depth <= TL_TYPE_MAX_DEPTH; depth++) {
            struct tl_type type = {.base = (uint8_t)base, .depth = (uint8_t)depth}, back;
            char text[24];
            assert_true(tl_type_parse(tl_type_print(type, text), &back));
            assert_true(tl_type_equal(type, back));
        }
}

static void plurals_and_rubbish(void **state) {
    (void)state;
    struct tl_type type;
    assert_true(tl_type_parse("documents", &type));
    assert_true(tl_type_equal(type, TL_TYPE_OF(DOCUMENT, 1)));
    assert_true(tl_type_parse("hits[]", &type));
    assert_true(tl_type_equal(type, TL_TYPE_OF(HIT, 2)));
    static const char *const wrong[] = {"", "s", "tex", "textss", "text[", "text[]x", "text[ ]", "text]", "kvs",
                                        "jsons", "text[][][][][]", "texts[][][][]", "Text", "[]"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_false(tl_type_parse(wrong[i], &type));
    assert_true(tl_type_equal(tl_type_element(tl_type_list(TL_TYPE_OF(KV, 0))), TL_TYPE_OF(KV, 0)));
}

static void primitives_are_found_by_name(void **state) {
    (void)state;
    for (unsigned op = 0; op < TL_OP_COUNT; op++) {
        const struct tl_primitive_info *info = tl_primitive_info((enum tl_primitive)op);
        assert_int_equal(tl_primitive_find(info->name), op);
        assert_non_null(strstr(info->signature, "->"));
        assert_true((info->flags & TL_PURE) == 0 || (info->flags & TL_EFFECTFUL) == 0);
        assert_non_null(tl_capability_name(info->capability));
    }
    assert_int_equal(tl_primitive_find("frobnicate"), TL_OP_COUNT);
    assert_string_equal(tl_capability_name(TL_CAPABILITY_LLM), "llm");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(print_and_parse),
        cmocka_unit_test(plurals_and_rubbish),
        cmocka_unit_test(primitives_are_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

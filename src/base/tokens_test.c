/* tokens_test.c: tokens by bytes; passages cover a document and repeat what they should, told by cutting it. */
#include "base/tokens.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void a_token_is_four_bytes_begun(void **state) {
    (void)state;
    assert_int_equal(tl_tokens_of_bytes(0), 0);
    assert_int_equal(tl_tokens_of_bytes(1), 1);
    assert_int_equal(tl_tokens_of_bytes(4), 1);
    assert_int_equal(tl_tokens_of_bytes(5), 2);
    assert_true(tl_tokens_of_bytes(UINT64_MAX) == UINT64_MAX / 4 + 1);
}

static void passages_are_as_many_as_cutting_gives(void **state) {
    (void)state;
    for (uint64_t size = 1; size <= 9; size++)
        for (uint64_t overlap = 0; overlap <= size + 1; overlap++)
            for (uint64_t tokens = 0; tokens <= 40; tokens++) {
                uint64_t step = tl_passage_step(size, overlap), cut = 0;
                for (uint64_t begin = 0; begin < tokens; begin += step, cut++)
                    if (begin + size >= tokens)
                        begin = tokens; /* the last one */
                assert_int_equal(tl_passages_of_tokens(tokens, size, step), cut);
            }
    assert_int_equal(tl_passages_of_tokens(12288, 256, tl_passage_step(256, 0)), 48);
    assert_int_equal(tl_passages_of_tokens(12288, 256, tl_passage_step(256, 30)), 55);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_token_is_four_bytes_begun),
        cmocka_unit_test(passages_are_as_many_as_cutting_gives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

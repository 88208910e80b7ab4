/* arena_test.c: alignment, zeroing, block growth, and arrays that grow (arena.h, mem.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdalign.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"

static void allocations_are_aligned_zeroed_and_apart(void **state) {
    (void)state;
    struct tl_arena arena;
    tl_arena_init(&arena);
    enum { COUNT = 3000 };
    static unsigned char *made[COUNT];
    static size_t sizes[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        sizes[i] = (i * 7919) % 900 + (i % 500 == 0 ? 100000 : 0);
        made[i] = tl_arena_alloc(&arena, sizes[i]);
        assert_int_equal((uintptr_t)made[i] % alignof(max_align_t), 0);
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(made[i][j], 0);
        memset(made[i], (int)(i % 255) + 1, sizes[i]);
    }
    for (size_t i = 0; i < COUNT; i++)
        for (size_t j = 0; j < sizes[i]; j++)
            assert_int_equal(made[i][j], i % 255 + 1);
    assert_true(arena.used <= arena.reserved);
    tl_arena_fini(&arena);
    assert_int_equal(arena.reserved, 0);
}

static void large_allocations_leave_the_block_in_use(void **state) {
    (void)state;
    struct tl_arena arena;
    tl_arena_init(&arena);
    tl_arena_alloc(&arena, 16);
    size_t before = arena.reserved;
    tl_arena_alloc(&arena, 4u << 20);
    size_t after = arena.reserved;
    assert_true(after - before >= 4u << 20);
    tl_arena_alloc(&arena, 16);
    assert_int_equal(arena.reserved, after);
    tl_arena_fini(&arena);
}

static void strings(void **state) {
    (void)state;
    struct tl_arena arena;
    tl_arena_init(&arena);
    assert_null(tl_arena_strdup(&arena, NULL));
    assert_string_equal(tl_arena_strdup(&arena, "abc"), "abc");
    assert_string_equal(tl_arena_strndup(&arena, "abcdef", 2), "ab");
    assert_string_equal(tl_arena_printf(&arena, "%d-%s", 7, "x"), "7-x");
    assert_memory_equal(tl_arena_copy(&arena, "\1\2", 2), "\1\2", 2);
    tl_arena_fini(&arena);
}

static void arrays_grow_and_keep_their_content(void **state) {
    (void)state;
    struct tl_arena arena;
    tl_arena_init(&arena);
    size_t in_arena = 0, in_heap = 0;
    uint32_t *a = NULL, *b = NULL;
    for (uint32_t i = 0; i < 10000; i++) {
        a = tl_arena_grow(&arena, a, &in_arena, i + 1, sizeof *a);
        b = tl_mem_grow(b, &in_heap, i + 1, sizeof *b);
        a[i] = b[i] = i;
    }
    for (uint32_t i = 0; i < 10000; i++) {
        assert_int_equal(a[i], i);
        assert_int_equal(b[i], i);
    }
    assert_in_range(in_heap, 10000, 15000);
    tl_mem_free(b);
    tl_arena_fini(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_zeroed_and_apart),
        cmocka_unit_test(large_allocations_leave_the_block_in_use),
        cmocka_unit_test(strings),
        cmocka_unit_test(arrays_grow_and_keep_their_content),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

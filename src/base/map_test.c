/* map_test.c: the map against a naive list under random operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"

enum { KEYS = 400 };

/* The reference: keys in order of insertion, found by walking. */
struct naive {
    int keys[KEYS];
    void *values[KEYS];
    size_t count;
};

static size_t naive_find(const struct naive *naive, int key) {
    size_t i = 0;
    while (i < naive->count && naive->keys[i] != key)
        i++;
    return i;
}

static void compare(const struct tl_map *map, const struct naive *naive) {
    size_t cursor = 0, i = 0;
    const char *key;
    void *value;
    while (tl_map_next(map, &cursor, &key, &value)) {
        assert_true(i < naive->count);
        assert_int_equal(atoi(key + 1), naive->keys[i]);
        assert_ptr_equal(value, naive->values[i]);
        i++;
    }
    assert_int_equal(i, naive->count);
    assert_int_equal(map->count, naive->count);
    assert_true(map->slot_count == 0 || map->slot_count >= 2 * map->used);
}

static void agrees_with_the_reference(void **state) {
    (void)state;
    static int storage[KEYS];
    struct tl_map map;
    struct naive naive = {.count = 0};
    tl_map_init(&map);
    srand(7);
    for (int step = 0; step < 60000; step++) {
        int key = rand() % KEYS;
        char name[16];
        snprintf(name, sizeof name, "k%d", key);
        size_t place = naive_find(&naive, key);
        bool present = place < naive.count;
        assert_int_equal(tl_map_has(&map, name), present);
        assert_ptr_equal(tl_map_get(&map, name), present ? naive.values[place] : NULL);
        /* Long phases of growing and of shrinking, so that tombstones pile up. */
        if (rand() % 100 < (step / 5000 % 2 == 0 ? 70 : 30)) {
            void *value = &storage[rand() % KEYS];
            assert_ptr_equal(tl_map_set(&map, name, value), present ? naive.values[place] : NULL);
            if (!present)
                naive.keys[naive.count++] = key;
            naive.values[place] = value;
        } else {
            assert_ptr_equal(tl_map_remove(&map, name), present ? naive.values[place] : NULL);
            if (present) {
                naive.count--;
                memmove(naive.keys + place, naive.keys + place + 1, (naive.count - place) * sizeof *naive.keys);
                memmove(naive.values + place, naive.values + place + 1, (naive.count - place) * sizeof *naive.values);
            }
        }
        if (step % 500 == 0)
            compare(&map, &naive);
    }
    compare(&map, &naive);
    tl_map_fini(&map);
}

static void empty_and_cycled(void **state) {
    (void)state;
    struct tl_map map;
    int value = 0;
    tl_map_init(&map);
    assert_null(tl_map_get(&map, "x"));
    assert_null(tl_map_remove(&map, "x"));
    for (int i = 0; i < 10000; i++) {
        tl_map_set(&map, "x", &value);
        assert_ptr_equal(tl_map_remove(&map, "x"), &value);
    }
    assert_int_equal(map.count, 0);
    assert_true(map.capacity <= 64); /* holes are reused, not piled up */
    tl_map_fini(&map);
    tl_map_fini(&map);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_reference),
        cmocka_unit_test(empty_and_cycled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* id_table_test.c: the table against a plain array, with random operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/hash.h"
#include "runtime/id_table.h"

#define IDS 300

static void as_a_plain_array(void **state) {
    (void)state;
    char values[IDS];
    bool present[IDS] = {false};
    size_t count = 0;
    struct tl_id_table table;
    tl_id_table_init(&table);
    assert_null(tl_id_table_get(&table, 1));
    assert_null(tl_id_table_remove(&table, 1));
    for (uint64_t round = 0; round < 50000; round++) {
        uint64_t random = tl_hash_u64(round, 9), i = random % IDS;
        /* Phases of growing and of shrinking. */
        bool add = (random >> 32) % 10 < (round / 5000 % 2 ? 3 : 7);
        if (add) {
            tl_id_table_set(&table, i + 1, &values[i]);
            count += !present[i];
        } else {
            assert_ptr_equal(tl_id_table_remove(&table, i + 1), present[i] ? &values[i] : NULL);
            count -= present[i];
        }
        present[i] = add;
        assert_int_equal(table.count, count);
        uint64_t other = (random >> 16) % IDS;
        assert_ptr_equal(tl_id_table_get(&table, other + 1), present[other] ? &values[other] : NULL);
    }
    size_t cursor = 0, seen = 0;
    for (char *value; (value = tl_id_table_next(&table, &cursor)); seen++)
        assert_true(present[value - values]);
    assert_int_equal(seen, count);
    tl_id_table_fini(&table);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(as_a_plain_array)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

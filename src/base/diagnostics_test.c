/* diagnostics_test.c: order and form of findings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "base/diagnostics.h"

static void sorted_and_stable(void **state) {
    (void)state;
    struct tl_diagnostics list;
    struct tl_str out = TL_STR_INIT;
    tl_diagnostics_init(&list, "a.yaml");
    tl_diagnostics_add(&list, TL_SEVERITY_ERROR, 3, 1, "third, first said");
    tl_diagnostics_add(&list, TL_SEVERITY_WARNING, 1, 9, "late in line %d", 1);
    tl_diagnostics_add(&list, TL_SEVERITY_ERROR, 3, 1, "third, then said");
    tl_diagnostics_add(&list, TL_SEVERITY_ERROR, 1, 2, "early");
    tl_diagnostics_add(&list, TL_SEVERITY_ERROR, 0, 0, "whole file");
    assert_int_equal(list.errors, 4);
    tl_diagnostics_print(&list, &out);
    assert_string_equal(out.data, "a.yaml: error: whole file\n"
                                  "a.yaml:1:2: error: early\n"
                                  "a.yaml:1:9: warning: late in line 1\n"
                                  "a.yaml:3:1: error: third, first said\n"
                                  "a.yaml:3:1: error: third, then said\n");
    tl_str_fini(&out);
    tl_diagnostics_fini(&list);
}

static void many(void **state) {
    (void)state;
    struct tl_diagnostics list;
    struct tl_str out = TL_STR_INIT;
    tl_diagnostics_init(&list, "b");
    for (unsigned i = 0; i < 1000; i++)
        tl_diagnostics_add(&list, TL_SEVERITY_ERROR, (i * 37) % 101 + 1, 0, "%u", i);
    tl_diagnostics_print(&list, &out);
    for (size_t i = 1; i < list.count; i++)
        assert_true(list.items[i - 1].line <= list.items[i].line);
    assert_true(tl_str_starts_with(out.data, "b:1: error: 0\n"));
    tl_str_fini(&out);
    tl_diagnostics_fini(&list);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(sorted_and_stable), cmocka_unit_test(many)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

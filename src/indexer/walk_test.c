/* Tests of walk: order, hidden names, links and loops, odd files, overlapping roots. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"
#include "indexer/walk.h"

static char top[PATH_MAX] = "/tmp/teola-walk-XXXXXX";

static char *at(const char *name) {
    static char path[PATH_MAX + 256];
    snprintf(path, sizeof path, "%s/%s", top, name);
    return path;
}

static void make_file(const char *name, size_t size) {
    FILE *file = fopen(at(name), "w");
    assert_non_null(file);
    for (size_t i = 0; i < size; i++)
        fputc('x', file);
    fclose(file);
}

static int group_setup(void **state) {
    (void)state;
    char *resolved;
    if (!mkdtemp(top) || !(resolved = realpath(top, NULL)))
        return -1;
    snprintf(top, sizeof top, "%s", resolved);
    free(resolved);
    mkdir(at("b"), 0700);
    mkdir(at("b/inner"), 0700);
    mkdir(at(".git"), 0700);
    mkdir(at("empty"), 0700);
    make_file("b/inner/z.txt", 3);
    make_file("b/2.txt", 2);
    make_file("b/10.txt", 1);
    make_file("a.txt", 7);
    make_file(".hidden", 1);
    make_file(".git/config", 1);
    make_file("c\nd.txt", 0);
    assert_int_equal(symlink("..", at("b/up")), 0);         /* a loop */
    assert_int_equal(symlink("b", at("y")), 0);             /* a directory twice */
    assert_int_equal(symlink("a.txt", at("link.txt")), 0);  /* a file by another name */
    assert_int_equal(symlink("nothing", at("w")), 0);
    assert_int_equal(mkfifo(at("x"), 0600), 0);
    return 0;
}

static int group_teardown(void **state) {
    (void)state;
    static const char *const names[] = {
        "b/inner/z.txt", "b/inner", "b/2.txt",  "b/10.txt", "b/up",     "b", "a.txt", ".hidden", ".git/config",
        ".git",          "empty",   "c\nd.txt", "y",        "link.txt", "w", "x",     ""};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        remove(at(names[i]));
    return 0;
}

struct seen {
    struct tl_str text;
    size_t left; /* stop after so many */
};

static bool note(void *context, const struct tl_walk_file *file) {
    struct seen *seen = context;
    assert_true(tl_str_starts_with(file->path, top));
    tl_str_printf(&seen->text, "%s", file->path + strlen(top) + 1);
    if (file->wrong)
        tl_str_printf(&seen->text, "(%s)", file->wrong);
    else
        tl_str_printf(&seen->text, "=%llu", (unsigned long long)file->size);
    tl_str_putc(&seen->text, ' ');
    return --seen->left > 0;
}

static void check(const char *const *paths, size_t count, size_t limit, const char *expected) {
    char **roots = NULL;
    assert_int_equal(tl_walk_roots(paths, count, &roots, NULL), TL_OK);
    struct seen seen = {TL_STR_INIT, limit};
    bool whole = tl_walk(roots, count, note, &seen);
    assert_string_equal(seen.text.data, expected);
    assert_int_equal(whole, seen.left > 0);
    tl_str_fini(&seen.text);
    tl_walk_roots_free(roots, count);
}

static void test_order_and_links(void **state) {
    (void)state;
    const char *const all[] = {top};
    check(all, 1, 100,
          "a.txt=7 b/10.txt=1 b/2.txt=2 b/inner/z.txt=3 c\nd.txt=0 link.txt=7 w(a symbolic link to nothing) "
          "x(neither a file nor a directory) ");
    check(all, 1, 3, "a.txt=7 b/10.txt=1 b/2.txt=2 ");
}

static void test_roots(void **state) {
    (void)state;
    char inner[PATH_MAX + 256], hidden[PATH_MAX + 256], dotted[PATH_MAX + 256];
    snprintf(inner, sizeof inner, "%s/b/inner", top);
    snprintf(hidden, sizeof hidden, "%s/.hidden", top);
    snprintf(dotted, sizeof dotted, "%s/b/../b//", top);
    const char *const overlapping[] = {inner, dotted}; /* the inner one is not given again */
    check(
        overlapping, 2, 100,
        "b/inner/z.txt=3 b/10.txt=1 b/2.txt=2 b/up(a symbolic link that leads out of the paths given; name its target "
        "to have it indexed) ");
    const char *const named[] = {hidden}; /* hidden, but named */
    check(named, 1, 100, ".hidden=1 ");
    const char *const missing[] = {top, "/nowhere/at/all"};
    char **roots = NULL;
    struct tl_error error = {0};
    assert_int_equal(tl_walk_roots(missing, 2, &roots, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nowhere/at/all"));
    assert_null(roots);
}

static void test_is_below(void **state) {
    (void)state;
    char docs[] = "/srv/docs", root[] = "/";
    char *one[] = {docs}, *everything[] = {root};
    assert_true(tl_walk_is_below(one, 1, "/srv/docs"));
    assert_true(tl_walk_is_below(one, 1, "/srv/docs/a/b"));
    assert_false(tl_walk_is_below(one, 1, "/srv/docs2/a"));
    assert_false(tl_walk_is_below(one, 1, "/srv"));
    assert_true(tl_walk_is_below(everything, 1, "/srv/docs"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_order_and_links),
        cmocka_unit_test(test_roots),
        cmocka_unit_test(test_is_below),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

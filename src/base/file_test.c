/* file_test.c: limits, atomic replacement, directories, the XDG places. */
#define _POSIX_C_SOURCE 200809L

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"

static char root[] = "/tmp/teola-file-test-XXXXXX";

static size_t entries(const char *directory) {
    DIR *dir = opendir(directory);
    assert_non_null(dir);
    size_t count = 0;
    while (readdir(dir) != NULL)
        count++;
    closedir(dir);
    return count - 2;
}

static void write_and_read(void **state) {
    (void)state;
    char path[64];
    struct tl_error error;
    struct tl_str text = TL_STR_INIT;
    snprintf(path, sizeof path, "%s/file", root);
    assert_int_equal(tl_file_write_atomic(path, "a\0b", 3, &error), TL_OK);
    assert_int_equal(tl_file_write_atomic(path, "longer", 6, &error), TL_OK);
    tl_str_puts(&text, ">");
    assert_int_equal(tl_file_read(path, 6, &text, &error), TL_OK);
    assert_string_equal(text.data, ">longer");
    assert_int_equal(tl_file_read(path, 5, &text, &error), TL_ERR_LIMIT);
    assert_string_equal(text.data, ">longer");
    assert_int_equal(entries(root), 1); /* no temporary file is left */
    assert_int_equal(tl_file_read("/dev/zero", 100000, &text, &error), TL_ERR_LIMIT);
    assert_string_equal(text.data, ">longer");
    assert_int_equal(tl_file_read(root, 10, &text, &error), TL_ERR_INVALID);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(tl_file_read(path, 5, &text, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, path));
    assert_int_equal(tl_file_write_atomic("/nonexistent/x", "", 0, &error), TL_ERR_NOT_FOUND);
    tl_str_fini(&text);
}

static void directories(void **state) {
    (void)state;
    char path[96];
    struct tl_error error;
    snprintf(path, sizeof path, "%s/a//b/c/", root);
    assert_int_equal(tl_file_make_directories(path, &error), TL_OK);
    assert_true(tl_file_is_directory(path));
    assert_int_equal(tl_file_make_directories(path, &error), TL_OK);
    snprintf(path, sizeof path, "%s/a/f", root);
    assert_int_equal(tl_file_write_atomic(path, "", 0, &error), TL_OK);
    assert_true(tl_file_exists(path));
    assert_false(tl_file_is_directory(path));
    snprintf(path, sizeof path, "%s/a/f/g", root);
    assert_int_equal(tl_file_make_directories(path, &error), TL_ERR_IO);
    assert_int_equal(tl_file_make_directories("", &error), TL_ERR_USAGE);
}

static void places(void **state) {
    (void)state;
    struct tl_error error;
    struct tl_str path = TL_STR_INIT;
    setenv("HOME", "/home/x", 1);
    unsetenv("XDG_CACHE_HOME");
    setenv("XDG_DATA_HOME", "/data", 1);
    setenv("XDG_CONFIG_HOME", "relative", 1);
    assert_int_equal(tl_file_cache_path("venv", &path, &error), TL_OK);
    assert_string_equal(path.data, "/home/x/.cache/teola/venv");
    tl_str_clear(&path);
    assert_int_equal(tl_file_data_path(NULL, &path, &error), TL_OK);
    assert_string_equal(path.data, "/data/teola");
    tl_str_clear(&path);
    assert_int_equal(tl_file_config_path("c", &path, &error), TL_OK);
    assert_string_equal(path.data, "/home/x/.config/teola/c");
    unsetenv("HOME");
    assert_int_equal(tl_file_cache_path(NULL, &path, &error), TL_ERR_USAGE);
    tl_str_fini(&path);
}

static int make_root(void **state) {
    (void)state;
    return mkdtemp(root) == NULL;
}

static int remove_root(void **state) {
    (void)state;
    static const char *const made[] = {"a/f", "a/b/c", "a/b", "a", ""};
    for (size_t i = 0; i < sizeof made / sizeof *made; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", root, made[i]);
        remove(path);
    }
    return tl_file_exists(root);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_and_read),
        cmocka_unit_test(directories),
        cmocka_unit_test(places),
    };
    return cmocka_run_group_tests(tests, make_root, remove_root);
}

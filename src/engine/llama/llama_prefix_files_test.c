/* llama_prefix_files_test.c: what was written is read again, by whoever made it with the same things; anything else is
 * noticed and removed; and all files together stay within their bound. */
#define _XOPEN_SOURCE 700

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/file.h"
#include "base/str.h"
#include "engine/llama/llama_prefix_files.h"
#include "engine/llama/prefix_test_support.h"

#define STATE 100

static struct tl_prefix_test cache;
static const int32_t ids[] = {1, 4093, 198, 2683, 359, 253};
static const size_t count = sizeof ids / sizeof ids[0];

static struct tl_prefix_files *open_files(const char *identity, uint64_t most_bytes) {
    struct tl_prefix_files *files = NULL;
    struct tl_error error = {0};
    if (tl_prefix_files_open(cache.folder, most_bytes, identity, &files, &error) != TL_OK)
        fail_msg("%s", error.message);
    return files;
}

static void fill(uint8_t state[STATE], unsigned seed) {
    for (size_t i = 0; i < STATE; i++)
        state[i] = (uint8_t)(seed * 31 + i * 7);
}

static enum tl_status read_state(const struct tl_prefix_files *files, size_t tokens, uint8_t state[STATE]) {
    struct tl_error error = {0};
    memset(state, 0, STATE);
    return tl_prefix_files_read(files, ids, tokens, state, STATE, &error);
}

static void write_state(const struct tl_prefix_files *files, size_t tokens, unsigned seed) {
    uint8_t state[STATE];
    struct tl_error error = {0};
    fill(state, seed);
    if (tl_prefix_files_write(files, ids, tokens, state, STATE, &error) != TL_OK)
        fail_msg("%s", error.message);
}

static int empty(void **state) {
    (void)state;
    tl_prefix_test_empty(&cache);
    return 0;
}

static void what_was_written_is_read(void **unused) {
    (void)unused;
    uint8_t state[STATE], expected[STATE];
    char path[400];
    struct stat info;
    fill(expected, 5);
    struct tl_prefix_files *files = open_files("model a", 1 << 20);
    assert_int_equal(read_state(files, count, state), TL_ERR_NOT_FOUND);
    write_state(files, count, 5);
    write_state(files, count, 6); /* it is there: nothing is written */
    tl_prefix_files_close(files);
    files = open_files("model a", 1 << 20);
    assert_int_equal(read_state(files, count, state), TL_OK);
    assert_memory_equal(state, expected, STATE);
    assert_int_equal(read_state(files, count - 1, state), TL_ERR_NOT_FOUND);
    tl_prefix_test_find(&cache, path);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0600);
    assert_int_equal(stat(cache.folder, &info), 0);
    assert_int_equal(info.st_mode & 07777, 0700);
    tl_prefix_files_close(files);
}

/* Another model, or llama.cpp: its file has another name; and under the same name it is not taken. */
static void another_identity_finds_nothing(void **unused) {
    (void)unused;
    uint8_t state[STATE];
    char path[400], other_path[400];
    struct tl_prefix_files *files = open_files("model a", 1 << 20), *other = open_files("model b", 1 << 20);
    write_state(other, count, 1);
    assert_int_equal(read_state(files, count, state), TL_ERR_NOT_FOUND);
    tl_prefix_test_find(&cache, other_path);
    struct tl_str content = TL_STR_INIT;
    struct tl_error error;
    assert_int_equal(tl_file_read(other_path, 1 << 20, &content, &error), TL_OK);
    unlink(other_path);
    write_state(files, count, 2);
    tl_prefix_test_find(&cache, path);
    assert_int_equal(tl_file_write_private(path, content.data, content.length, &error), TL_OK);
    assert_int_equal(read_state(files, count, state), TL_ERR_CORRUPT);
    assert_int_equal(tl_prefix_test_count(&cache), 0);
    tl_str_fini(&content);
    tl_prefix_files_close(files);
    tl_prefix_files_close(other);
}

/* Every byte flipped, every length shorter, one byte longer: noticed, removed, and written anew. */
static void damage_is_noticed(void **unused) {
    (void)unused;
    uint8_t state[STATE], expected[STATE];
    char path[400];
    fill(expected, 3);
    struct tl_prefix_files *files = open_files("model a", 1 << 20);
    write_state(files, count, 3);
    tl_prefix_test_find(&cache, path);
    struct tl_str content = TL_STR_INIT;
    struct tl_error error = {0};
    assert_int_equal(tl_file_read(path, 1 << 20, &content, &error), TL_OK);
    for (size_t i = 0; i < content.length; i++) {
        content.data[i] ^= (char)(1 << i % 8);
        assert_int_equal(tl_file_write_private(path, content.data, content.length, &error), TL_OK);
        assert_int_equal(read_state(files, count, state), TL_ERR_CORRUPT);
        assert_int_equal(tl_prefix_test_count(&cache), 0);
        content.data[i] ^= (char)(1 << i % 8);
    }
    tl_str_putc(&content, 'x');
    for (size_t length = 0; length <= content.length; length++) {
        if (length == content.length - 1)
            continue; /* the file as it was */
        assert_int_equal(tl_file_write_private(path, content.data, length, &error), TL_OK);
        assert_int_equal(tl_prefix_files_read(files, ids, count, state, STATE, &error), TL_ERR_CORRUPT);
        assert_non_null(strstr(error.message, "another size"));
        assert_int_equal(tl_prefix_test_count(&cache), 0);
    }
    write_state(files, count, 3);
    assert_int_equal(read_state(files, count, state), TL_OK);
    assert_memory_equal(state, expected, STATE);
    tl_str_fini(&content);
    tl_prefix_files_close(files);
}

/* What others can have written is not looked into: a file open to them, a link, a pipe, a folder that is theirs too. */
static void only_what_is_ours_is_trusted(void **unused) {
    (void)unused;
    uint8_t state[STATE];
    char path[400], aside[120];
    struct tl_prefix_files *files = open_files("model a", 1 << 20), *none = NULL;
    struct tl_error error = {0};
    write_state(files, count, 3);
    tl_prefix_test_find(&cache, path);
    assert_int_equal(chmod(path, 0620), 0);
    assert_int_equal(tl_prefix_files_read(files, ids, count, state, STATE, &error), TL_ERR_CORRUPT);
    assert_non_null(strstr(error.message, "does not belong to this user alone"));
    write_state(files, count, 3);
    snprintf(aside, sizeof aside, "%s/aside", cache.cache);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(symlink(aside, path), 0);
    assert_int_equal(read_state(files, count, state), TL_ERR_CORRUPT);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(read_state(files, count, state), TL_ERR_CORRUPT);
    assert_int_equal(tl_prefix_test_count(&cache), 0);
    assert_int_equal(chmod(cache.folder, 0750), 0);
    assert_int_equal(tl_prefix_files_open(cache.folder, 1 << 20, "model a", &none, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "chmod 700"));
    unlink(aside);
    tl_prefix_files_close(files);
}

/* Makes the file the one used so many seconds after the epoch. */
static void use_at(const struct tl_prefix_files *files, size_t tokens, time_t when) {
    struct timespec times[2] = {{.tv_sec = when}, {.tv_sec = when}};
    char path[400];
    assert_int_equal(tl_prefix_test_count(&cache), 0);
    write_state(files, tokens, (unsigned)tokens);
    tl_prefix_test_find(&cache, path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void the_oldest_go_first(void **unused) {
    (void)unused;
    uint8_t state[STATE];
    char path[400], kept[120];
    struct stat info;
    struct tl_error error = {0};
    struct tl_prefix_files *files = open_files("model a", 1 << 20);
    use_at(files, 2, 1000);
    tl_prefix_test_find(&cache, path);
    assert_int_equal(stat(path, &info), 0);
    uint64_t most = 3 * ((uint64_t)info.st_size + 8); /* three files, each of at most six tokens, hardly more */
    snprintf(kept, sizeof kept, "%s/kept", cache.cache);
    /* A file of 3 tokens that was used before, and what a dead process left before both. */
    assert_int_equal(rename(path, kept), 0);
    char second[400];
    use_at(files, 3, 900);
    tl_prefix_test_find(&cache, second);
    assert_int_equal(rename(kept, path), 0);
    char left[200];
    snprintf(left, sizeof left, "%s/some.kv.1-2-3.tmp", cache.folder);
    assert_int_equal(tl_file_write_private(left, state, 50, &error), TL_OK);
    struct timespec times[2] = {{.tv_sec = 500}, {.tv_sec = 500}};
    assert_int_equal(utimensat(AT_FDCWD, left, times, 0), 0);
    tl_prefix_files_close(files);

    files = open_files("model a", most);
    assert_int_equal(read_state(files, 3, state), TL_OK); /* now the one of 2 tokens is older */
    write_state(files, 4, 4);                             /* what was left goes */
    assert_int_equal(tl_prefix_test_count(&cache), 3);
    write_state(files, 5, 5);
    assert_int_equal(tl_prefix_test_count(&cache), 3);
    assert_int_equal(read_state(files, 2, state), TL_ERR_NOT_FOUND);
    assert_int_equal(read_state(files, 3, state), TL_OK);
    assert_int_equal(read_state(files, 5, state), TL_OK);
    tl_prefix_files_close(files);

    files = open_files("model a", STATE); /* not even one */
    assert_int_equal(tl_prefix_files_write(files, ids, 1, state, STATE, &error), TL_ERR_LIMIT);
    tl_prefix_files_close(files);
}

/* Two processes write, read and remove the same few files: each read gives the whole right state, or none. */
static void processes_do_not_disturb_each_other(void **unused) {
    (void)unused;
    pid_t child = fork();
    assert_true(child >= 0);
    struct tl_prefix_files *files = open_files("model a", 700);
    bool wrong = false;
    for (unsigned round = 0; round < 300 && !wrong; round++) {
        uint8_t state[STATE], expected[STATE];
        size_t tokens = 1 + round % count;
        struct tl_error error = {0};
        fill(expected, (unsigned)tokens);
        wrong = tl_prefix_files_write(files, ids, tokens, expected, STATE, &error) == TL_ERR_CORRUPT;
        enum tl_status status = read_state(files, tokens, state);
        wrong |= status == TL_OK ? memcmp(state, expected, STATE) != 0 : status != TL_ERR_NOT_FOUND;
    }
    tl_prefix_files_close(files);
    if (child == 0)
        _exit(wrong);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_false(wrong);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(what_was_written_is_read, empty),
        cmocka_unit_test_teardown(another_identity_finds_nothing, empty),
        cmocka_unit_test_teardown(damage_is_noticed, empty),
        cmocka_unit_test_teardown(only_what_is_ours_is_trusted, empty),
        cmocka_unit_test_teardown(the_oldest_go_first, empty),
        cmocka_unit_test_teardown(processes_do_not_disturb_each_other, empty),
    };
    if (!tl_prefix_test_open(&cache))
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tl_prefix_test_close(&cache);
    return failed;
}

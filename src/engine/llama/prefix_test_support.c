/* prefix_test_support.c: see prefix_test_support.h. */
#include "engine/llama/prefix_test_support.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file_test_support.h"
#include "engine/llama/llama_prefix_files.h"

bool tl_prefix_test_open(struct tl_prefix_test *test) {
    snprintf(test->cache, sizeof test->cache, "/tmp/teola-prefix-XXXXXX");
    if (!mkdtemp(test->cache))
        return false;
    snprintf(test->folder, sizeof test->folder, "%s/teola/prefixes", test->cache);
    return setenv("XDG_CACHE_HOME", test->cache, 1) == 0;
}

void tl_prefix_test_close(const struct tl_prefix_test *test) {
    tl_file_test_remove(test->cache);
}

size_t tl_prefix_test_count(const struct tl_prefix_test *test) {
    size_t count;
    uint64_t bytes;
    tl_prefix_files_sum(test->folder, &count, &bytes);
    return count;
}

void tl_prefix_test_find(const struct tl_prefix_test *test, char path[400]) {
    size_t found = 0;
    DIR *dir = opendir(test->folder);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        if (entry->d_name[0] != '.') {
            snprintf(path, 400, "%s/%s", test->folder, entry->d_name);
            found++;
        }
    closedir(dir);
    assert_int_equal(found, 1);
}

void tl_prefix_test_empty(const struct tl_prefix_test *test) {
    DIR *dir = opendir(test->folder);
    if (!dir)
        return;
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;)
        unlinkat(dirfd(dir), entry->d_name, 0);
    closedir(dir);
    chmod(test->folder, 0700);
}

/* prefix_test_support.h: a cache folder of a test's own, and the files with beginnings of prompts in it
 * (llama_prefix_files.h). */
#ifndef TL_ENGINE_PREFIX_TEST_SUPPORT_H
#define TL_ENGINE_PREFIX_TEST_SUPPORT_H

#include <stdbool.h>
#include <stddef.h>

struct tl_prefix_test {
    char cache[32];  /* is $XDG_CACHE_HOME */
    char folder[64]; /* where engines keep the files; made by the first one */
};

bool tl_prefix_test_open(struct tl_prefix_test *test);
void tl_prefix_test_close(const struct tl_prefix_test *test); /* removes all */

size_t tl_prefix_test_count(const struct tl_prefix_test *test);
/* The one file that is there; fails the test when there is none, or another. */
void tl_prefix_test_find(const struct tl_prefix_test *test, char path[400]);
/* Removes the files, and gives the folder its usual mode. */
void tl_prefix_test_empty(const struct tl_prefix_test *test);

#endif

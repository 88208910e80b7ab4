/* file_test_support.c: see file_test_support.h. */
#include "base/file_test_support.h"

#include <ftw.h>
#include <stdio.h>

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *place) {
    (void)info;
    (void)kind;
    (void)place;
    return remove(path);
}

int tl_file_test_remove(const char *folder) {
    return nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

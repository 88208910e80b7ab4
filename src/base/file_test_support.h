/* file_test_support.h: what tests do with folders. */
#ifndef TL_BASE_FILE_TEST_SUPPORT_H
#define TL_BASE_FILE_TEST_SUPPORT_H

/* Removes a folder with all that is in it; links are removed, not followed. Returns 0, or not 0 when something is left. */
int tl_file_test_remove(const char *folder);

#endif

/* golden.h: comparing text with a checked-in file. With TEOLA_UPDATE_GOLDEN=1 in the environment the file is
 * written instead; look at the difference before you commit it. */
#ifndef TEOLA_TESTS_WORKFLOW_GOLDEN_H
#define TEOLA_TESTS_WORKFLOW_GOLDEN_H

#include <stdbool.h>

#include "base/str.h"

/* Path of a file of the project; valid until the next call. */
const char *golden_path(const char *name);
/* Appends the file of the project, or fails the test. */
void golden_read(const char *name, struct tl_str *out);
bool golden_is_updating(void);
/* Fails the test, showing the first line that differs, unless the file holds `text`. */
void golden_check(const char *name, const char *text);

#endif

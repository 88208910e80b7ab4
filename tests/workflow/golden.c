#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "workflow/golden.h"

const char *golden_path(const char *name) {
    static char path[4096];
    const char *source = getenv("TEOLA_SOURCE_DIR");
    if (source == NULL)
        fail_msg("TEOLA_SOURCE_DIR is not set; run this by ctest");
    snprintf(path, sizeof path, "%s/%s", source, name);
    return path;
}

void golden_read(const char *name, struct tl_str *out) {
    struct tl_error error;
    if (tl_file_read(golden_path(name), 16 * 1024 * 1024, out, &error) != TL_OK)
        fail_msg("%s", error.message);
}

bool golden_is_updating(void) {
    const char *update = getenv("TEOLA_UPDATE_GOLDEN");
    return update != NULL && strcmp(update, "1") == 0;
}

void golden_check(const char *name, const char *text) {
    struct tl_str expected = TL_STR_INIT;
    if (golden_is_updating()) {
        struct tl_error error;
        if (tl_file_write_atomic(golden_path(name), text, strlen(text), &error) != TL_OK)
            fail_msg("%s", error.message);
        return;
    }
    golden_read(name, &expected);
    if (strcmp(expected.data, text) == 0) {
        tl_str_fini(&expected);
        return;
    }
    unsigned line = 1;
    size_t at = 0, start = 0;
    for (; expected.data[at] == text[at]; at++) {
        if (text[at] == '\n') {
            line++;
            start = at + 1;
        }
    }
    print_error("%s:%u differs\n  expected: %.*s\n  found:    %.*s\n", name, line,
                (int)strcspn(expected.data + start, "\n"), expected.data + start, (int)strcspn(text + start, "\n"),
                text + start);
    tl_str_fini(&expected);
    fail_msg("%s is not what it was; with TEOLA_UPDATE_GOLDEN=1 the test writes it anew", name);
}

/* stamp_test.c: digests that are kept, and models.lock.json (stamp.h, ledger.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_test_support.h"
#include "models/ledger.h"
#include "models/stamp.h"

static char folder[] = "/tmp/teola-stamp-test-XXXXXX";
static char file[64];
static struct tl_error error;

static void kept_until_the_file_changes(void **state) {
    (void)state;
    char first[TL_SHA256_HEX_SIZE], digest[TL_SHA256_HEX_SIZE];
    bool computed;
    assert_int_equal(tl_file_write_atomic(file, "one", 3, &error), TL_OK);
    assert_int_equal(tl_stamp_digest(file, first, &computed, &error), TL_OK);
    assert_true(computed);
    assert_int_equal(tl_stamp_digest(file, digest, &computed, &error), TL_OK);
    assert_false(computed);
    assert_string_equal(digest, first);

    assert_int_equal(tl_file_write_atomic(file, "two", 3, &error), TL_OK); /* same size, another inode */
    assert_int_equal(tl_stamp_digest(file, digest, &computed, &error), TL_OK);
    assert_true(computed);
    assert_string_not_equal(digest, first);

    assert_int_equal(chmod(file, 0600), 0); /* any change of the inode counts */
    assert_int_equal(chmod(file, 0644), 0);
    FILE *in_place = fopen(file, "r+b");
    assert_non_null(in_place);
    fputs("one", in_place);
    fclose(in_place);
    assert_int_equal(tl_stamp_renew(file, digest, &error), TL_OK);
    assert_string_equal(digest, first);
    assert_int_equal(tl_stamp_digest("/nonexistent", digest, &computed, &error), TL_ERR_NOT_FOUND);
    assert_int_equal(tl_stamp_digest(folder, digest, &computed, &error), TL_ERR_INVALID);
}

static void works_without_a_cache(void **state) {
    (void)state;
    char digest[TL_SHA256_HEX_SIZE];
    bool computed;
    setenv("XDG_CACHE_HOME", "/proc/nowhere", 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(tl_stamp_digest(file, digest, &computed, &error), TL_OK);
        assert_true(computed);
    }
    setenv("XDG_CACHE_HOME", folder, 1);
}

static void records_are_kept_side_by_side(void **state) {
    (void)state;
    struct tl_ledger_record record;
    char a[TL_SHA256_HEX_SIZE], b[TL_SHA256_HEX_SIZE];
    tl_sha256_hex("a", 1, a);
    tl_sha256_hex("b", 1, b);
    assert_int_equal(tl_ledger_read(folder, "x", &record, &error), TL_ERR_NOT_FOUND);
    tl_ledger_record_fini(&record);
    assert_int_equal(tl_ledger_write(folder, "x", 5, a, "from \"here\"", &error), TL_OK);
    assert_int_equal(tl_ledger_write(folder, "y", 6, b, "there", &error), TL_OK);
    assert_int_equal(tl_ledger_write(folder, "y", 7, a, "elsewhere", &error), TL_OK);
    assert_int_equal(tl_ledger_read(folder, "x", &record, &error), TL_OK);
    assert_int_equal(record.size, 5);
    assert_string_equal(record.sha256, a);
    assert_string_equal(record.origin.data, "from \"here\"");
    tl_ledger_record_fini(&record);
    assert_int_equal(tl_ledger_read(folder, "y", &record, &error), TL_OK);
    assert_int_equal(record.size, 7);
    tl_ledger_record_fini(&record);
}

static void damage_is_reported(void **state) {
    (void)state;
    static const char *const damaged[] = {"",    "{", "[]", "{\"x\": {}}", "{\"x\": {\"size\": 5, \"sha256\": \"y\"}}",
                                          "\xFF"};
    struct tl_ledger_record record;
    char path[96];
    snprintf(path, sizeof path, "%s/models.lock.json", folder);
    for (size_t i = 0; i < sizeof damaged / sizeof *damaged; i++) {
        assert_int_equal(tl_file_write_atomic(path, damaged[i], strlen(damaged[i]), &error), TL_OK);
        assert_int_equal(tl_ledger_read(folder, "x", &record, &error), TL_ERR_CORRUPT);
        assert_non_null(strstr(error.message, "models.lock.json"));
        tl_ledger_record_fini(&record);
    }
}

static int make_folder(void **state) {
    (void)state;
    if (mkdtemp(folder) == NULL)
        return 1;
    snprintf(file, sizeof file, "%s/file", folder);
    return setenv("XDG_CACHE_HOME", folder, 1);
}

static int remove_folder(void **state) {
    (void)state;
    return tl_file_test_remove(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(kept_until_the_file_changes),
        cmocka_unit_test(works_without_a_cache),
        cmocka_unit_test(records_are_kept_side_by_side),
        cmocka_unit_test(damage_is_reported),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

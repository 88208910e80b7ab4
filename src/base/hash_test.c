/* hash_test.c: SHA-256 against published vectors; spread and stability of the fast hash. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/hash.h"

static void sha256_vectors(void **state) {
    (void)state;
    char hex[TL_SHA256_HEX_SIZE];
    tl_sha256_hex("", 0, hex);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    tl_sha256_hex("abc", 3, hex);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    struct tl_sha256 *sha = tl_sha256_create();
    for (int i = 0; i < 1000000; i += 1000) {
        char block[1000];
        memset(block, 'a', sizeof block);
        tl_sha256_update(sha, block, sizeof block);
    }
    tl_sha256_finish(sha, hex);
    assert_string_equal(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

static void sha256_of_files(void **state) {
    (void)state;
    char hex[TL_SHA256_HEX_SIZE];
    struct tl_error error;
    assert_int_equal(tl_sha256_file("/dev/null", hex, &error), TL_OK);
    assert_string_equal(hex, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert_int_equal(tl_sha256_file("/nonexistent/file", hex, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/file"));
    assert_int_equal(tl_sha256_file("/", hex, &error), TL_ERR_IO);
}

static void known_values(void **state) {
    (void)state;
    /* Written to caches on disk: a change of these must be a decision. */
    assert_int_equal(tl_hash_bytes("", 0, 0), UINT64_C(0x6393d51c06c618dc));
    assert_int_equal(tl_hash_string("teola", 1), UINT64_C(0x91ff1daef836d542));
    assert_int_equal(tl_hash_u64(42, 0), UINT64_C(0xd4bf9421047861ce));
}

static void every_byte_and_the_length_count(void **state) {
    (void)state;
    unsigned char data[40] = {0};
    uint64_t seen[40 * 8 + 41];
    size_t count = 0;
    for (size_t length = 0; length <= sizeof data; length++)
        seen[count++] = tl_hash_bytes(data, length, 0);
    for (size_t bit = 0; bit < 8 * sizeof data; bit++) {
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
        seen[count++] = tl_hash_bytes(data, sizeof data, 0);
        data[bit / 8] ^= (unsigned char)(1u << bit % 8);
    }
    for (size_t i = 0; i < count; i++)
        for (size_t j = 0; j < i; j++)
            assert_true(seen[i] != seen[j]);
}

static void low_bits_are_spread(void **state) {
    (void)state;
    unsigned buckets[256] = {0};
    for (unsigned i = 0; i < 256 * 64; i++) {
        char key[16];
        snprintf(key, sizeof key, "key%u", i);
        buckets[tl_hash_string(key, 0) & 255]++;
    }
    for (size_t i = 0; i < 256; i++)
        assert_in_range(buckets[i], 24, 120); /* 64 expected, standard deviation 8 */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sha256_vectors),
        cmocka_unit_test(sha256_of_files),
        cmocka_unit_test(known_values),
        cmocka_unit_test(every_byte_and_the_length_count),
        cmocka_unit_test(low_bits_are_spread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

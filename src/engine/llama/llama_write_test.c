/* llama_write_test.c: stop strings across tokens, whole characters, and that what is passed on
 * piece by piece is the final text however the bytes are cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "engine/llama/llama_write.h"

/* Writes `bytes` in pieces of `step`; returns the text passed on, and checks it against the final one. */
static void write_in_steps(const char *bytes, size_t length, size_t step, const char *const *stops,
                           struct tl_str *out) {
    struct tl_llama_writer writer;
    tl_llama_writer_init(&writer);
    for (; stops && *stops; stops++)
        tl_llama_writer_add_stop(&writer, *stops);
    size_t taken;
    for (size_t at = 0; at < length && !writer.stopped; at += step) {
        tl_llama_writer_put(&writer, bytes + at, length - at < step ? length - at : step);
        const char *text = tl_llama_writer_take(&writer, &taken);
        assert_true(tl_utf8_is_valid(text, taken));
        tl_str_append(out, text, taken);
    }
    tl_llama_writer_end(&writer);
    const char *text = tl_llama_writer_take(&writer, &taken);
    tl_str_append(out, text, taken);
    assert_int_equal(out->length, writer.text.length);
    assert_memory_equal(out->data, writer.text.data, out->length);
    tl_llama_writer_fini(&writer);
}

static void expect(const char *bytes, size_t length, const char *const *stops, const char *expected) {
    for (size_t step = 1; step <= length; step++) {
        struct tl_str out = TL_STR_INIT;
        write_in_steps(bytes, length, step, stops, &out);
        assert_string_equal(out.data, expected);
        tl_str_fini(&out);
    }
}

#define BYTES(text) text, sizeof(text) - 1

static void test_plain(void **state) {
    (void)state;
    expect(BYTES("gr\xc3\xbc\xc3\x9f Gott \xf0\x9f\x98\x80!"), NULL, "gr\xc3\xbc\xc3\x9f Gott \xf0\x9f\x98\x80!");
}

static void test_rubbish_is_repaired(void **state) {
    (void)state;
    expect(BYTES("a\xff" "b\x00" "c"), NULL, "a\xef\xbf\xbd" "b\xef\xbf\xbd" "c");
    expect(BYTES("cut \xe2\x82"), NULL, "cut "); /* an unfinished sequence at the end is dropped */
}

static void test_stop_strings(void **state) {
    (void)state;
    static const char *const one[] = {"\n\n", NULL};
    expect(BYTES("first\nline\n\nsecond"), one, "first\nline");
    static const char *const several[] = {"Question:", "Quest", "END", "", NULL};
    expect(BYTES("an answer. Question: next"), several, "an answer. ");
    expect(BYTES("no stop: EN, Ques"), several, "no stop: EN, Ques"); /* held back, then given out at the end */
    expect(BYTES("END"), several, "");
    static const char *const accents[] = {"\xc3\xa9\xc3\xa8", NULL};
    expect(BYTES("x\xc3\xa9\xc3\xa9\xc3\xa8y"), accents, "x\xc3\xa9");
    static const char *const repeated[] = {"aab", NULL};
    expect(BYTES("aaaab tail"), repeated, "aa");
}

/* Text that cannot be the beginning of a stop string is passed on at once. */
static void test_nothing_is_held_back_for_long(void **state) {
    (void)state;
    struct tl_llama_writer writer;
    tl_llama_writer_init(&writer);
    tl_llama_writer_add_stop(&writer, "stop");
    size_t taken;
    tl_llama_writer_put(&writer, "hello st", 8);
    tl_llama_writer_take(&writer, &taken);
    assert_int_equal(taken, 6);
    tl_llama_writer_put(&writer, "ar", 2);
    tl_llama_writer_take(&writer, &taken);
    assert_int_equal(taken, 4);
    tl_llama_writer_fini(&writer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_rubbish_is_repaired),
        cmocka_unit_test(test_stop_strings),
        cmocka_unit_test(test_nothing_is_held_back_for_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

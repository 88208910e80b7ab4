/* chunker_test.c: what chunker.h promises, over fixed and random texts and several ways of counting. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "base/utf8.h"
#include "engine/documents/chunker.h"
#include "engine/documents/writer.h"

static uint64_t random_state;

static uint32_t random_below(uint32_t limit) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((random_state >> 33) % limit);
}

/* ---- ways to count ---- */

static size_t count_words(const void *context, const char *text, size_t length) {
    (void)context;
    size_t words = 0;
    for (size_t i = 0; i < length; i++)
        words += strchr(" \n\t", text[i]) == NULL && (i == 0 || strchr(" \n\t", text[i - 1]) != NULL);
    return words;
}

static size_t count_bytes(const void *context, const char *text, size_t length) {
    (void)context;
    (void)text;
    return length;
}

/* The whole has more tokens than its parts, as no real tokenizer does to that extent. */
static size_t count_superadditive(const void *context, const char *text, size_t length) {
    size_t words = count_words(context, text, length);
    return words + words / 4;
}

static size_t count_nothing(const void *context, const char *text, size_t length) {
    (void)context;
    (void)text;
    (void)length;
    return 0;
}

static size_t (*const counters[])(const void *, const char *, size_t) = {count_words, count_bytes, count_superadditive,
                                                                         count_nothing};

/* ---- texts ---- */

static struct tl_extracted extract(const char *text, size_t length, const char *type) {
    struct tl_extracted extracted;
    struct tl_error error = {TL_OK, ""};
    struct tl_document_source source = {"folder/name.txt", type, text, length};
    if (tl_document_extract(&source, &extracted, NULL, &error) != TL_OK)
        fail_msg("%s", error.message);
    return extracted;
}

static const char *const fragments[] = {
    "word",
    "Another",
    "sentence.",
    "Really?",
    "end!",
    "e.g.",
    "3.",
    "x",
    "\n",
    "\n\n",
    "\n# Heading\n\n",
    "\n## Sub\n\n",
    "\n- item ",
    "\n\n    code block\n\n",
    "supercalifragilistic",
    "日本語のテキストです。",
    "「引用」。",
    "中文没有空格，",
    "한국어 문장입니다.",
    "שלום עולם.",
    "مرحبا بالعالم؟",
    "e\xcc\x81\xcc\xa7\xcc\x84",
    "👨‍👩‍👧‍👦",
    "👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽👍🏽",
    "🇩🇪🇫🇷",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "\xc2\xa0",
    "         ",
    "\t",
};

static void make_text(struct tl_str *text, uint32_t pieces) {
    for (uint32_t i = 0; i < pieces; i++) {
        tl_str_puts(text, fragments[random_below(sizeof fragments / sizeof fragments[0])]);
        if (random_below(10) != 0)
            tl_str_putc(text, ' ');
    }
    tl_str_puts(text, " end.");
}

/* ---- the properties ---- */

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t';
}

static size_t code_points(const char *text, size_t length) {
    size_t count = 0;
    for (size_t i = 0; i < length; i++)
        count += ((unsigned char)text[i] & 0xc0) != 0x80;
    return count;
}

/* Cuts the document, checks every chunk, and returns how many there were. */
static size_t check_chunks(const struct tl_extracted *document, const struct tl_chunking *chunking) {
    struct tl_chunker *chunker = tl_chunker_create(document, "uri", chunking);
    struct tl_chunker *again = tl_chunker_create(document, "uri", chunking);
    struct tl_chunk chunk, same;
    size_t count = 0, covered = 0, former_begin = 0;
    while (tl_chunker_next(chunker, &chunk)) {
        assert_ptr_equal(chunk.text, document->text + chunk.begin);
        assert_int_equal(chunk.length, chunk.end - chunk.begin);
        assert_true(chunk.end > chunk.begin && chunk.end <= document->length);
        assert_false(is_blank(chunk.text[0]));
        assert_false(is_blank(chunk.text[chunk.length - 1]));
        assert_true(tl_utf8_is_valid(chunk.text, chunk.length));
        assert_true(tl_utf8_is_valid(chunk.heading, strlen(chunk.heading)));

        size_t tokens = chunking->counter.count(NULL, chunk.text, chunk.length);
        assert_int_equal(tokens, chunk.tokens);
        if (tokens > chunking->size)
            assert_int_equal(code_points(chunk.text, chunk.length), 1);

        for (size_t i = covered; i < chunk.begin; i++)
            assert_true(is_blank(document->text[i]));
        if (chunk.begin < covered) {
            assert_true(chunk.begin > former_begin);
            assert_true(chunking->counter.count(NULL, chunk.text, covered - chunk.begin) <= chunking->overlap);
        }
        assert_true(chunk.end > covered);
        covered = chunk.end;
        former_begin = chunk.begin;

        char id[32];
        snprintf(id, sizeof id, "%.16s:%zu", document->digest, count);
        assert_string_equal(chunk.id, id);
        assert_int_equal(chunk.ordinal, count);
        assert_string_equal(chunk.title, document->title);

        assert_true(tl_chunker_next(again, &same));
        assert_true(same.begin == chunk.begin && same.end == chunk.end);
        count++;
    }
    assert_false(tl_chunker_next(again, &same));
    assert_false(tl_chunker_next(chunker, &chunk));
    for (size_t i = covered; i < document->length; i++)
        assert_true(is_blank(document->text[i]));
    tl_chunker_destroy(chunker);
    tl_chunker_destroy(again);
    return count;
}

static void test_random_texts(void **state) {
    (void)state;
    static const uint32_t sizes[] = {16, 17, 40, 256};
    for (uint32_t seed = 1; seed <= 300; seed++) {
        random_state = seed;
        struct tl_str text = TL_STR_INIT;
        make_text(&text, 1 + random_below(seed % 10 == 0 ? 3000 : 300));
        struct tl_extracted document = extract(text.data, text.length, seed % 2 ? "text/markdown" : "text/plain");
        struct tl_chunking chunking = {.size = sizes[random_below(4)]};
        chunking.overlap = random_below(chunking.size / 2);
        chunking.counter = (struct tl_token_counter){counters[random_below(4)], NULL};
        assert_true(check_chunks(&document, &chunking) > 0);
        chunking.counter = tl_token_counter_approximate;
        assert_true(check_chunks(&document, &chunking) > 0);
        tl_extracted_fini(&document);
        tl_str_fini(&text);
    }
}

/* A word longer than a chunk, and one character that alone has too many tokens. */
static void test_endless_word(void **state) {
    (void)state;
    struct tl_str text = TL_STR_INIT;
    for (size_t i = 0; i < 10000; i++)
        tl_str_puts(&text, "\xc3\xa4");
    tl_str_puts(&text, " \xf0\x9f\x98\x80");
    struct tl_extracted document = extract(text.data, text.length, NULL);
    struct tl_chunking chunking = {16, 5, {count_bytes, NULL}};
    assert_int_equal(check_chunks(&document, &chunking), 20000 / 16 + 1);
    chunking.size = 2;
    chunking.overlap = 0;
    assert_int_equal(check_chunks(&document, &chunking), 10001);
    tl_extracted_fini(&document);
    tl_str_fini(&text);
}

struct expectation {
    const char *heading, *begins, *ends;
};

static void check_cuts(const char *text, const char *type, uint32_t size, uint32_t overlap,
                       const struct expectation *expected, size_t count) {
    struct tl_extracted document = extract(text, strlen(text), type);
    struct tl_chunking chunking = {size, overlap, {count_words, NULL}};
    assert_int_equal(check_chunks(&document, &chunking), count);
    struct tl_chunker *chunker = tl_chunker_create(&document, "uri", &chunking);
    struct tl_chunk chunk;
    for (size_t i = 0; i < count; i++) {
        assert_true(tl_chunker_next(chunker, &chunk));
        assert_string_equal(chunk.heading, expected[i].heading);
        assert_memory_equal(chunk.text, expected[i].begins, strlen(expected[i].begins));
        assert_memory_equal(chunk.text + chunk.length - strlen(expected[i].ends), expected[i].ends,
                            strlen(expected[i].ends));
    }
    tl_chunker_destroy(chunker);
    tl_extracted_fini(&document);
}

static void test_prefers_headings(void **state) {
    (void)state;
    static const struct expectation expected[] = {
        {"One", "One\n\nThe first", "words in it."},
        {"Two", "Two\n\nThe second", "follows here."},
    };
    check_cuts("# One\n\nThe first section has a paragraph of a dozen or so words in it.\n\n"
               "# Two\n\nThe second section is under another heading. Its text follows here.\n",
               "text/markdown", 20, 8, expected, 2);
}

static void test_prefers_sentences(void **state) {
    (void)state;
    static const struct expectation expected[] = {
        {"", "Mr. Smith", "version 3. of it."},
        {"", "He used version 3. of it.", "the very end."},
    };
    check_cuts("Mr. Smith came in e.g. by the door, with J. Doe. He used version 3. of it. "
               "Then he went away again and that is the very end.",
               "text/plain", 20, 7, expected, 2);
}

static void test_overlap_by_words(void **state) {
    (void)state;
    static const struct expectation expected[] = {
        {"", "a1 a2", "a16"},
        {"", "a14 a15 a16", "a29"},
        {"", "a27 a28 a29", "a31"},
    };
    check_cuts("a1 a2 a3 a4 a5 a6 a7 a8 a9 a10 a11 a12 a13 a14 a15 a16 a17 a18 a19 a20 a21 a22 a23 a24 a25 a26 a27 a28 "
               "a29 "
               "a30 a31",
               "text/plain", 16, 3, expected, 3);
}

static void test_ideographs(void **state) {
    (void)state;
    struct tl_str text = TL_STR_INIT;
    for (size_t i = 0; i < 20; i++)
        tl_str_puts(&text, "数据库是软件。");
    struct tl_extracted document = extract(text.data, text.length, NULL);
    struct tl_chunking chunking = {40, 9, tl_token_counter_approximate};
    check_chunks(&document, &chunking);
    struct tl_chunker *chunker = tl_chunker_create(&document, "uri", &chunking);
    struct tl_chunk chunk;
    while (tl_chunker_next(chunker, &chunk)) {
        assert_memory_equal(chunk.text, "数", 3);
        assert_memory_equal(chunk.text + chunk.length - 3, "。", 3);
    }
    tl_chunker_destroy(chunker);
    tl_extracted_fini(&document);
    tl_str_fini(&text);
}

/* Families, flags and accents stay whole even where a word without a space must be cut. */
static void test_graphemes_stay_whole(void **state) {
    (void)state;
    static const char family[] = "👨‍👩‍👧‍👦";
    struct tl_str text = TL_STR_INIT;
    for (size_t i = 0; i < 200; i++)
        tl_str_puts(&text, family);
    struct tl_extracted document = extract(text.data, text.length, NULL);
    struct tl_chunking chunking = {256, 30, {count_bytes, NULL}};
    check_chunks(&document, &chunking);
    struct tl_chunker *chunker = tl_chunker_create(&document, "uri", &chunking);
    struct tl_chunk chunk;
    while (tl_chunker_next(chunker, &chunk)) {
        assert_int_equal(chunk.begin % (sizeof family - 1), 0);
        assert_int_equal(chunk.end % (sizeof family - 1), 0);
    }
    tl_chunker_destroy(chunker);
    tl_extracted_fini(&document);
    tl_str_fini(&text);
}

static size_t bytes_counted;

static size_t count_work(const void *context, const char *text, size_t length) {
    bytes_counted += length;
    return count_words(context, text, length);
}

/* Work is linear: each byte is given to the tokenizer a few times, whatever the size of the document. */
static void test_linear_work(void **state) {
    (void)state;
    for (size_t words = 10000; words <= 1000000; words *= 10) {
        struct tl_str text = TL_STR_INIT;
        for (size_t i = 0; i < words; i++)
            tl_str_printf(&text, "w%zu%s", i, i % 11 == 10 ? ". " : " ");
        struct tl_extracted document = extract(text.data, text.length, NULL);
        struct tl_chunking chunking = {256, 30, {count_work, NULL}};
        struct tl_chunker *chunker = tl_chunker_create(&document, "uri", &chunking);
        struct tl_chunk chunk;
        size_t count = 0;
        bytes_counted = 0;
        while (tl_chunker_next(chunker, &chunk))
            count++;
        assert_in_range(count, words / 256, words / 180);
        assert_true(bytes_counted < 3 * document.length);
        tl_chunker_destroy(chunker);
        tl_extracted_fini(&document);
        tl_str_fini(&text);
    }
}

static void test_settings(void **state) {
    (void)state;
    struct tl_error error;
    assert_int_equal(tl_chunking_check(256, 30, &error), TL_OK);
    assert_int_equal(tl_chunking_check(16, 7, &error), TL_OK);
    assert_int_equal(tl_chunking_check(15, 0, &error), TL_ERR_USAGE);
    assert_int_equal(tl_chunking_check(100000, 0, &error), TL_ERR_USAGE);
    assert_int_equal(tl_chunking_check(16, 8, &error), TL_ERR_USAGE);
    assert_int_equal(tl_chunking_check(16, -1, &error), TL_ERR_USAGE);
    assert_string_equal(error.message, "chunk overlap is -1 tokens, expected 0 to less than half of the size of 16");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_texts),
        cmocka_unit_test(test_endless_word),
        cmocka_unit_test(test_prefers_headings),
        cmocka_unit_test(test_prefers_sentences),
        cmocka_unit_test(test_overlap_by_words),
        cmocka_unit_test(test_ideographs),
        cmocka_unit_test(test_graphemes_stay_whole),
        cmocka_unit_test(test_linear_work),
        cmocka_unit_test(test_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

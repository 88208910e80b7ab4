/* yaml_test.c: every node knows its place; what is beyond the part of YAML that we take is refused by name; sizes
 * are bounded. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/yaml.h"

struct fixture {
    struct tl_arena arena;
    struct tl_diagnostics findings;
    struct tl_str printed;
};

static const struct tl_yaml_node *read_bytes(struct fixture *fixture, const char *text, size_t length) {
    *fixture = (struct fixture){.printed = TL_STR_INIT};
    tl_arena_init(&fixture->arena);
    tl_diagnostics_init(&fixture->findings, "y");
    const struct tl_yaml_node *root = tl_yaml_read(&fixture->arena, text, length, &fixture->findings);
    tl_diagnostics_print(&fixture->findings, &fixture->printed);
    return root;
}

static void release(struct fixture *fixture) {
    tl_str_fini(&fixture->printed);
    tl_diagnostics_fini(&fixture->findings);
    tl_arena_fini(&fixture->arena);
}

static const struct tl_yaml_node *read_good(struct fixture *fixture, const char *text) {
    const struct tl_yaml_node *root = read_bytes(fixture, text, strlen(text));
    if (root == NULL || fixture->findings.count > 0)
        fail_msg("%s: %s", text, fixture->printed.data);
    return root;
}

static void expect_refusal(const char *text, size_t length, const char *printed) {
    struct fixture fixture;
    assert_null(read_bytes(&fixture, text, length));
    assert_string_equal(fixture.printed.data, printed);
    release(&fixture);
}

static void assert_place(const struct tl_yaml_node *node, unsigned line, unsigned column) {
    assert_non_null(node);
    assert_int_equal(node->line, line);
    assert_int_equal(node->column, column);
}

static void every_node_knows_its_place(void **state) {
    (void)state;
    struct fixture fixture;
    const struct tl_yaml_node *root = read_good(&fixture, "# a comment\n"
                                                          "name: x\n"
                                                          "list:\n"
                                                          "  - one\n"
                                                          "  - {two: 'zwei', drei: [3]}\n"
                                                          "text: |\n"
                                                          "  first\n"
                                                          "  second\n");
    assert_place(root, 2, 1);
    assert_int_equal(root->kind, TL_YAML_MAP);
    assert_int_equal(root->count, 3);
    assert_place(root->entries[1].key, 3, 1);
    assert_place(tl_yaml_get(root, "name"), 2, 7);
    assert_true(tl_yaml_get(root, "name")->plain);
    const struct tl_yaml_node *list = tl_yaml_get(root, "list");
    assert_int_equal(list->kind, TL_YAML_LIST);
    assert_int_equal(list->count, 2);
    assert_place(list, 4, 3);
    assert_place(list->items[0], 4, 5);
    assert_place(list->items[1], 5, 5);
    const struct tl_yaml_node *two = tl_yaml_get(list->items[1], "two");
    assert_place(two, 5, 11);
    assert_string_equal(two->text, "zwei");
    assert_false(two->plain);
    assert_place(tl_yaml_get(list->items[1], "drei")->items[0], 5, 26);
    assert_string_equal(tl_yaml_get(root, "text")->text, "first\nsecond\n");
    assert_null(tl_yaml_get(root, "absent"));
    assert_null(tl_yaml_get(list, "two")); /* a list has no keys */
    release(&fixture);
}

static void nothing_is_told_from_empty_text(void **state) {
    (void)state;
    static const char *const nothing[] = {"", "# only a comment\n", "---\n", "~", "null"};
    static const char *const something[] = {"''", "'~'", "\"null\"", "[]", "{}", "nil"};
    struct fixture fixture;
    for (size_t i = 0; i < sizeof nothing / sizeof nothing[0]; i++) {
        assert_true(tl_yaml_is_nothing(read_good(&fixture, nothing[i])));
        release(&fixture);
    }
    for (size_t i = 0; i < sizeof something / sizeof something[0]; i++) {
        assert_false(tl_yaml_is_nothing(read_good(&fixture, something[i])));
        release(&fixture);
    }
    assert_place(read_good(&fixture, "# only a comment\n"), 1, 1);
    release(&fixture);
}

static void values_are_described_as_people_call_them(void **state) {
    (void)state;
    static const struct {
        const char *text, *description;
    } cases[] = {
        {"[]", "an empty list"},
        {"[1]", "a list"},
        {"{}", "an empty mapping"},
        {"{a: 1}", "a mapping"},
        {"~", "nothing"},
        {"3", "3"},
        {"-1.5e3", "-1.5e3"},
        {"true", "true"},
        {"'3'", "the text \"3\""},
        {"abc", "the text \"abc\""},
        {"'a \"b\"'", "the text \"a \\\"b\\\"\""},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\xc3\xa4z", "the text \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"..."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct fixture fixture;
        struct tl_str description = TL_STR_INIT;
        tl_yaml_describe(read_good(&fixture, cases[i].text), &description);
        assert_string_equal(description.data, cases[i].description);
        tl_str_fini(&description);
        release(&fixture);
    }
}

static void what_we_do_not_take_is_refused_by_name(void **state) {
    (void)state;
    static const struct {
        const char *text, *printed;
    } cases[] = {
        {"a: &x 1\nb: *x\n", "y:2:4: error: YAML aliases ('*name') are not supported here: write the value out\n"},
        {"a: !!str 1\n", "y:1:4: error: YAML tags ('!...') are not supported here\n"},
        {"a: !own [1]\n", "y:1:4: error: YAML tags ('!...') are not supported here\n"},
        {"a: 1\n---\nb: 1\n", "y:2:1: error: a second YAML document begins here; expected one document in the file\n"},
        {"{[a]: 1}\n", "y:1:2: error: a mapping or list stands where a key was expected\n"},
        {"a: \"x\\0y\"\n", "y:1:4: error: the text contains a NUL character, which no text here may\n"},
        {"a: [\n", "y:2:1: error: this is not YAML: did not find expected node content (while parsing a flow node that "
                   "begins in line 2)\n"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        expect_refusal(cases[i].text, strlen(cases[i].text), cases[i].printed);
}

static void bytes_that_no_text_holds_are_shown(void **state) {
    (void)state;
    expect_refusal("a: b\nx\xff: c\n", 10, "y:2:2: error: this is not YAML: invalid leading UTF-8 octet\n");
    expect_refusal("name: \xc3", 7, "y:1:7: error: this is not YAML: incomplete UTF-8 octet sequence\n");
    expect_refusal("name: a\x07", 8, "y:1:8: error: this is not YAML: control characters are not allowed\n");
    expect_refusal("a: b\n\0", 6, "y:2:1: error: this is not YAML: control characters are not allowed\n");
}

/* All keys that are there twice are told, and the first value counts. */
static void no_key_comes_twice(void **state) {
    (void)state;
    static const char text[] = "a: 1\nb: {c: 1, c: 2}\na: 3\n";
    struct fixture fixture;
    const struct tl_yaml_node *root = read_bytes(&fixture, text, strlen(text));
    assert_string_equal(fixture.printed.data,
                        "y:2:11: error: the key 'c' is here a second time; the first is in line 2\n"
                        "y:3:1: error: the key 'a' is here a second time; the first is in line 1\n");
    assert_string_equal(tl_yaml_get(root, "a")->text, "1");
    release(&fixture);
}

/* One below each limit is taken, one above is refused. */
static void sizes_are_bounded(void **state) {
    (void)state;
    struct fixture fixture;
    struct tl_str text = TL_STR_INIT;
    for (int i = 0; i < TL_YAML_DEPTH; i++)
        tl_str_putc(&text, '[');
    for (int i = 0; i < TL_YAML_DEPTH; i++)
        tl_str_putc(&text, ']');
    read_good(&fixture, text.data);
    release(&fixture);
    tl_str_clear(&text);
    for (int i = 0; i <= TL_YAML_DEPTH; i++)
        tl_str_putc(&text, '[');
    expect_refusal(text.data, text.length, "y:1:65: error: lists and mappings are nested more than 64 deep\n");

    tl_str_clear(&text);
    while (text.length < TL_YAML_BYTES)
        tl_str_putc(&text, 'x');
    read_good(&fixture, text.data);
    release(&fixture);
    tl_str_putc(&text, 'x');
    expect_refusal(text.data, text.length, "y: error: the file has 1048577 bytes; expected at most 1 MiB\n");

    tl_str_clear(&text);
    for (int i = 0; i < TL_YAML_KEYS; i++)
        tl_str_printf(&text, "key%d: x\n", i);
    read_good(&fixture, text.data);
    release(&fixture);
    tl_str_puts(&text, "more: x\n");
    expect_refusal(text.data, text.length, "y:1001:1: error: the mapping has more than 1000 keys\n");

    tl_str_clear(&text);
    for (int i = 0; i < TL_YAML_NODES - 1; i++) /* the list is one, too */
        tl_str_puts(&text, "- x\n");
    read_good(&fixture, text.data);
    release(&fixture);
    tl_str_puts(&text, "- x\n");
    expect_refusal(text.data, text.length, "y:100000:3: error: too many values in one file; expected at most 100000\n");
    tl_str_fini(&text);
}

static void an_error_may_be_about_the_file(void **state) {
    (void)state;
    struct fixture fixture;
    const struct tl_yaml_node *root = read_good(&fixture, "a: 1");
    tl_yaml_error(&fixture.findings, tl_yaml_get(root, "a"), "%s is wrong", "a");
    tl_yaml_error(&fixture.findings, tl_yaml_get(root, "b"), "b is missing");
    tl_str_clear(&fixture.printed);
    tl_diagnostics_print(&fixture.findings, &fixture.printed);
    assert_string_equal(fixture.printed.data, "y: error: b is missing\ny:1:4: error: a is wrong\n");
    release(&fixture);
}

/* Whatever the bytes: a tree or a finding, never both missing, and nothing read that is not there. */
static void damaged_text_does_no_harm(void **state) {
    (void)state;
    static const char good[] = "a: {b: [1, 'x', \"y\\n\"]}\nc: |\n  text\nd: &e [~, true]\nf: >-\n  folded\n  lines\n";
    static const char marks[] = "[]{}:,&*!|>'\"\n -";
    srand(7);
    for (int round = 0; round < 2000; round++) {
        char *text = malloc(sizeof good - 1);
        assert_non_null(text);
        memcpy(text, good, sizeof good - 1);
        for (int change = 0; change <= round % 4; change++)
            text[(size_t)rand() % (sizeof good - 1)] = round % 2 == 0 ? (char)rand() : marks[rand() % 16];
        struct fixture fixture;
        const struct tl_yaml_node *root = read_bytes(&fixture, text, (size_t)rand() % sizeof good);
        assert_true(root != NULL || fixture.findings.errors > 0);
        release(&fixture);
        free(text);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_knows_its_place),
        cmocka_unit_test(nothing_is_told_from_empty_text),
        cmocka_unit_test(values_are_described_as_people_call_them),
        cmocka_unit_test(what_we_do_not_take_is_refused_by_name),
        cmocka_unit_test(bytes_that_no_text_holds_are_shown),
        cmocka_unit_test(no_key_comes_twice),
        cmocka_unit_test(sizes_are_bounded),
        cmocka_unit_test(an_error_may_be_about_the_file),
        cmocka_unit_test(damaged_text_does_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Malformed workflows: each of the hand-made ones gets exactly the messages in malformed.txt, at their lines and
 * columns; generated ones (a seeded generator changes good workflows) are refused with a place, or accepted and
 * decomposed. Under the sanitizers this is also a test for memory errors and leaks. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/mem.h"
#include "workflow/golden.h"
#include "workflow/workflow.h"

#define CASES "tests/workflow/malformed.txt"
#define BASE "tests/workflow/base.yaml"

/* ---- hand-made ---- */

static bool is_line(const char *line, size_t length, const char *wanted, size_t wanted_length) {
    while (length > 0 && *line == ' ') {
        line++;
        length--;
    }
    return length == wanted_length && memcmp(line, wanted, length) == 0;
}

/* Takes the first line that reads `wanted` out of the file; returns where it was, and its indentation. */
static size_t take_line(struct tl_str *file, const char *wanted, size_t length, size_t *indent) {
    for (size_t at = 0; at < file->length;) {
        size_t line_length = strcspn(file->data + at, "\n");
        if (is_line(file->data + at, line_length, wanted, length)) {
            *indent = strspn(file->data + at, " ");
            size_t next = at + line_length + 1;
            memmove(file->data + at, file->data + next, file->length - next + 1);
            file->length -= line_length + 1;
            return at;
        }
        at += line_length + 1;
    }
    fail_msg("%s has no line \"%.*s\"", BASE, (int)length, wanted);
    return 0;
}

/* Puts a line, indented, in at an offset; returns the offset after it. */
static size_t put_line(struct tl_str *file, size_t at, size_t indent, const char *line, size_t length) {
    struct tl_str rest = TL_STR_INIT;
    tl_str_append(&rest, file->data + at, file->length - at);
    tl_str_truncate(file, at);
    tl_str_printf(file, "%*s%.*s\n", (int)indent, "", (int)length, line);
    size_t after = file->length;
    tl_str_append(file, rest.data, rest.length);
    tl_str_fini(&rest);
    return after;
}

static void check_text(const char *text, size_t length, struct tl_str *messages) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "x.yaml");
    char directory[4096];
    strncpy(directory, golden_path("tests/workflow"), sizeof directory - 1);
    directory[sizeof directory - 1] = '\0';
    struct tl_workflow *workflow = tl_workflow_parse(text, length, "x.yaml", directory, &findings);
    assert_true((workflow == NULL) == (findings.errors > 0));
    tl_diagnostics_print(&findings, messages);
    tl_workflow_destroy(workflow);
    tl_diagnostics_fini(&findings);
}

/* Reads one case from `at`, its text and what is said about it, and appends both; returns where the next begins. */
static size_t run_case(const char *cases, size_t at, const struct tl_str *base, struct tl_str *out) {
    struct tl_str file = TL_STR_INIT, whole = TL_STR_INIT;
    tl_str_append(&file, base->data, base->length);
    size_t place = 0, indent = 0, title = at;
    bool edits = false;
    do {
        size_t length = strcspn(cases + at, "\n");
        const char *line = cases + at;
        char kind = length >= 2 && line[1] == ' ' ? line[0] : ' ';
        if (length == 1 && line[0] == '|')
            tl_str_putc(&whole, '\n');
        else if (kind == '-')
            place = take_line(&file, line + 2, length - 2, &indent);
        else if (kind == '+')
            place = put_line(&file, place, indent, line + 2, length - 2);
        else if (kind == '|')
            tl_str_printf(&whole, "%.*s\n", (int)length - 2, line + 2);
        if (at == title || strchr("-+|", kind) != NULL || (length == 1 && line[0] == '|'))
            tl_str_printf(out, "%.*s\n", (int)length, line);
        edits = edits || strchr("-+|", kind) != NULL;
        at += length + (cases[at + length] == '\n' ? 1 : 0);
    } while (cases[at] != '\0' && !tl_str_starts_with(cases + at, "=== "));
    if (!edits)
        fail_msg("%s: the case \"%.*s\" changes nothing", CASES, (int)strcspn(cases + title, "\n"), cases + title);
    const struct tl_str *text = whole.length > 0 ? &whole : &file;
    struct tl_str messages = TL_STR_INIT;
    check_text(text->data, text->length, &messages);
    if (strstr(messages.data, ": error: ") == NULL)
        fail_msg("%s: \"%.*s\" is accepted", CASES, (int)strcspn(cases + title, "\n"), cases + title);
    tl_str_append(out, messages.data, messages.length);
    tl_str_fini(&messages);
    tl_str_fini(&file);
    tl_str_fini(&whole);
    return at;
}

static void test_hand_made(void **state) {
    (void)state;
    struct tl_str cases = TL_STR_INIT, base = TL_STR_INIT, out = TL_STR_INIT;
    golden_read(CASES, &cases);
    golden_read(BASE, &base);
    const char *first = strstr(cases.data, "\n=== ");
    assert_non_null(first);
    size_t at = (size_t)(first - cases.data) + 1, count = 0;
    tl_str_append(&out, cases.data, at);
    for (; cases.data[at] != '\0'; count++)
        at = run_case(cases.data, at, &base, &out);
    assert_true(count >= 120);
    golden_check(CASES, out.data);
    tl_str_fini(&cases);
    tl_str_fini(&base);
    tl_str_fini(&out);
}

/* Thousands of mistakes: the first hundred are shown, and it takes no time to speak of. */
static void test_many_errors(void **state) {
    (void)state;
    struct tl_str text = TL_STR_INIT, messages = TL_STR_INIT;
    tl_str_puts(&text, "name: x\ninputs: {q: text}\noutputs: {a: $q}\nsteps:\n");
    for (int i = 0; i < 1000; i++)
        tl_str_printf(&text, "- {id: s%d, module: embed, texts: [$s%d.vectors, $t, $u], after: [s%d, zzz], bad: 1}\n",
                      i, (i + 1) % 1000, (i + 500) % 1000);
    check_text(text.data, text.length, &messages);
    size_t lines = 0;
    for (size_t i = 0; i < messages.length; i++)
        lines += messages.data[i] == '\n' ? 1 : 0;
    assert_int_equal(lines, 101);
    assert_non_null(strstr(messages.data, "errors; these are the first 100\n"));
    tl_str_fini(&text);
    tl_str_fini(&messages);
}

/* ---- generated ---- */

static uint64_t random_state;

static size_t random_below(size_t bound) {
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return (size_t)(random_state % bound);
}

struct lines {
    char **items;
    size_t count, capacity;
};

static void split(const char *text, struct lines *lines) {
    for (size_t at = 0; text[at] != '\0';) {
        size_t length = strcspn(text + at, "\n");
        lines->items = tl_mem_grow(lines->items, &lines->capacity, lines->count + 2, sizeof *lines->items);
        lines->items[lines->count++] = tl_mem_strndup(text + at, length);
        at += length + (text[at + length] == '\n' ? 1 : 0);
    }
}

static void replace_value(char **line, const char *value) {
    char *colon = strstr(*line, ": ");
    if (colon == NULL)
        return;
    struct tl_str made = TL_STR_INIT;
    tl_str_printf(&made, "%.*s: %s", (int)(colon - *line), *line, value);
    tl_mem_free(*line);
    *line = tl_str_detach(&made);
}

/* Changes one thing: a line goes, comes twice, changes place, indentation or value; or a byte changes. */
static void mutate(struct lines *lines) {
    static const char *const values[] = {
        "",
        "~",
        "3",
        "-1",
        "99999999999999999999",
        "1e400",
        "true",
        "\"\"",
        "[]",
        "{}",
        "[[[]]]",
        "{a: {b: c}}",
        "$",
        "$question",
        "$question.x",
        "$answer.answer",
        "$search.hits",
        "[$question, $expand.queries]",
        "{file: base.yaml}",
        "{file: ../x}",
        "\"{question}{{{hits}\"",
        "\"{#a}{/b}\"",
        "text",
        "hybrid",
        "tree",
        "&a b",
        "*a",
        "!!int 3",
        "'''",
        "|",
        "\"\\u0000\"",
        "\"\\xff\"",
    };
    size_t k = random_below(lines->count);
    char **line = &lines->items[k];
    size_t length = strlen(*line);
    size_t other = random_below(lines->count);
    switch (random_below(7)) {
    case 0:
        tl_mem_free(*line);
        memmove(line, line + 1, (lines->count - k - 1) * sizeof *line);
        lines->count--;
        break;
    case 1:
        lines->items = tl_mem_grow(lines->items, &lines->capacity, lines->count + 2, sizeof *lines->items);
        lines->items[lines->count++] = tl_mem_strdup(lines->items[k]);
        break;
    case 2: {
        char *swap = *line;
        *line = lines->items[other];
        lines->items[other] = swap;
        break;
    }
    case 3:
        replace_value(line, values[random_below(sizeof values / sizeof values[0])]);
        break;
    case 4:
        if (length > 0)
            (*line)[random_below(length)] = (char)random_below(256);
        break;
    case 5:
        if (length > 1) {
            size_t from = random_below(length);
            memmove(*line + from, *line + from + 1, length - from);
        }
        break;
    default: {
        char *colon = strstr(lines->items[other], ": ");
        if (colon != NULL) {
            char *value = tl_mem_strdup(colon + 2);
            replace_value(line, value);
            tl_mem_free(value);
        }
    }
    }
}

/* Parses, and decomposes what is accepted in all the ways that a query can come. Returns whether it was accepted. */
static bool survive(const char *text, size_t length) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "x.yaml");
    struct tl_workflow *workflow = tl_workflow_parse(text, length, "x.yaml", NULL, &findings);
    bool accepted = workflow != NULL;
    assert_true(accepted == (findings.errors == 0));
    for (size_t i = 0; i < findings.count; i++)
        assert_true(findings.items[i].line > 0 || findings.errors > 100);
    for (int way = 0; accepted && way < 3; way++) {
        const char *given[64];
        size_t count = 0;
        for (size_t i = 0; i < tl_workflow_input_count(workflow) && count < 64; i++) {
            const struct tl_workflow_input *input = tl_workflow_input(workflow, i);
            if (!input->optional || way == 0)
                given[count++] = input->name;
        }
        struct tl_query_shape shape = {.given = given, .given_count = count, .collection = way == 1};
        size_t errors = findings.errors;
        struct tl_graph *graph = tl_workflow_decompose(workflow, &shape, &findings);
        assert_true((graph == NULL) == (findings.errors > errors));
        tl_graph_destroy(graph);
    }
    tl_workflow_destroy(workflow);
    tl_diagnostics_fini(&findings);
    return accepted;
}

static void test_generated(void **state) {
    (void)state;
    static const char *const files[] = {BASE, "workflows/naive-rag.yaml", "workflows/advanced-rag.yaml"};
    size_t refused = 0, accepted = 0;
    for (size_t f = 0; f < sizeof files / sizeof files[0]; f++) {
        struct tl_str base = TL_STR_INIT;
        golden_read(files[f], &base);
        for (uint64_t seed = 1; seed <= 400; seed++) {
            random_state = seed * 0x9e3779b97f4a7c15u + f;
            struct lines lines = {0};
            split(base.data, &lines);
            size_t changes = 1 + random_below(4);
            for (size_t i = 0; i < changes; i++)
                mutate(&lines);
            struct tl_str text = TL_STR_INIT;
            for (size_t i = 0; i < lines.count; i++) {
                tl_str_printf(&text, "%s\n", lines.items[i]);
                tl_mem_free(lines.items[i]);
            }
            tl_mem_free(lines.items);
            if (survive(text.data, text.length))
                accepted++;
            else
                refused++;
            tl_str_fini(&text);
        }
        tl_str_fini(&base);
    }
    /* The generator is worth its name only when both happen often. */
    assert_true(refused >= 400);
    assert_true(accepted >= 100);
}

/* Every beginning of a file is some other file. */
static void test_cut_off(void **state) {
    (void)state;
    struct tl_str base = TL_STR_INIT;
    golden_read(BASE, &base);
    for (size_t length = 0; length < base.length; length += 3) {
        char *cut = tl_mem_strndup(base.data, length);
        survive(cut, length);
        tl_mem_free(cut);
    }
    assert_true(survive(base.data, base.length));
    tl_str_fini(&base);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_hand_made),
        cmocka_unit_test(test_many_errors),
        cmocka_unit_test(test_generated),
        cmocka_unit_test(test_cut_off),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

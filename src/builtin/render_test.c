/* Tests prompt templates: what is read, what is refused and where, how values read, which parts a prompt has. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "builtin/builtin_test_support.h"

static void check_refused(const char *json, const char *message) {
    struct tl_template *parsed;
    struct tl_error error = {.status = TL_OK};
    assert_int_equal(tl_template_parse(json, &parsed, &error), TL_ERR_INVALID);
    assert_null(parsed);
    assert_string_equal(error.message, message);
}

static void test_template_errors(void **state) {
    (void)state;
    const char *brace = "'{' must begin {name}, {#name} or {/name}; write {{ for the character itself";
    char message[256];
    static const struct {
        const char *json;
        int line, column;
    } bad_braces[] = {
        {"[[\"user\", \"a { b\"]]", 1, 3},     {"[[\"user\", \"{}\"]]", 1, 1},
        {"[[\"user\", \"ok\\n  {a b}\"]]", 2, 3}, {"[[\"user\", \"{\"]]", 1, 1},
        {"[[\"user\", \"\u00e4{1a}\"]]", 1, 2},     {"[[\"user\", \"{#}x{/}\"]]", 1, 1},
        {"[[\"user\", \"{name\"]]", 1, 1},
    };
    for (size_t i = 0; i < sizeof bad_braces / sizeof bad_braces[0]; i++) {
        snprintf(message, sizeof message, "prompt message 1, line %d, column %d: %s", bad_braces[i].line,
                 bad_braces[i].column, brace);
        check_refused(bad_braces[i].json, message);
    }
    check_refused("[[\"system\", \"\"], [\"user\", \"a } b\"]]",
                  "prompt message 2, line 1, column 3: '}' has no '{' before it; write }} for the character itself");
    check_refused("[[\"user\", \"{#a}x\"]]",
                  "prompt message 1, line 1, column 1: the section {#a} is not ended with {/a}");
    check_refused("[[\"user\", \"x{/a}\"]]",
                  "prompt message 1, line 1, column 2: {/name} ends a section that was not begun with {#name}");
    check_refused("[[\"user\", \"{#a}{#b}{/a}{/b}\"]]",
                  "prompt message 1, line 1, column 9: {/a} stands where {/b} was "
                  "expected: sections end in reverse order");
    check_refused("[[\"user\", \"{#a}{#a}{#a}{#a}{#a}{#a}{#a}{#a}{#a}\"]]",
                  "prompt message 1, line 1, column 33: more than 8 sections within each other");
    check_refused("[[\"robot\", \"x\"]]",
                  "prompt message 1: expected [role, text] with role system, user or assistant");
    check_refused("[[\"user\"]]", "prompt message 1: expected [role, text] with role system, user or assistant");
    check_refused("[3]", "prompt message 1: expected [role, text] with role system, user or assistant");
    check_refused("[]", "a template is a JSON array of 1 to 64 messages, each [role, text]");
    check_refused("{}", "a template is a JSON array of 1 to 64 messages, each [role, text]");
    struct tl_template *parsed;
    assert_int_equal(tl_template_parse("[", &parsed, NULL), TL_ERR_INVALID);
}

static void test_template_questions(void **state) {
    (void)state;
    struct tl_template *parsed;
    assert_int_equal(tl_template_parse("[[\"system\", \"Be {{short}}.\"],"
                                       " [\"user\", \"Q: {question}\\n{#answer}So far: {answer}{/answer}{hit}\"]]",
                                       &parsed, NULL),
                     TL_OK);
    const char *const *names;
    assert_int_equal(tl_template_names(parsed, &names), 3);
    assert_string_equal(names[0], "question");
    assert_string_equal(names[1], "answer");
    assert_string_equal(names[2], "hit");
    /* "Be {short}." | "Q: " | {question} | "\n" | "So far: " | {answer} | {hit} */
    assert_int_equal(tl_template_segments(parsed), 7);
    assert_int_equal(tl_template_needs(parsed, 0, &names), 0);
    assert_int_equal(tl_template_needs(parsed, 2, &names), 1);
    assert_string_equal(names[0], "question");
    assert_int_equal(tl_template_needs(parsed, 3, &names), 0);
    assert_int_equal(tl_template_needs(parsed, 4, &names), 1);
    assert_string_equal(names[0], "answer");
    assert_int_equal(tl_template_needs(parsed, 5, &names), 2);
    assert_string_equal(names[1], "answer");
    tl_template_destroy(parsed);
}

/* A prompt as text: one line a part: role message flags "text". */
static void print_prompt(const struct tl_value *prompt, struct tl_str *out) {
    static const char *const roles[] = {"system", "user", "assistant"};
    for (size_t i = 0; i < prompt->as.prompt.count; i++) {
        const struct tl_prompt_part *part = &prompt->as.prompt.parts[i];
        tl_str_printf(out, "%s %u %s%s%s", roles[part->role], part->message, part->flags & TL_PART_STATIC ? "S" : "",
                      part->flags & TL_PART_TRIMMABLE ? "T" : "", part->flags & TL_PART_OPEN ? "O" : "");
        tl_str_put_json(out, part->text, part->length);
        tl_str_putc(out, '\n');
    }
}

static void check_prompt(struct tl_test_item *item, const char *template, const char *expected) {
    tl_attributes_set_string(&item->attributes, &item->arena, "template", template);
    struct tl_value *prompt = tl_test_item_execute(item, TL_OP_RENDER);
    assert_string_equal(item->error.message, "");
    struct tl_str text = TL_STR_INIT;
    print_prompt(prompt, &text);
    assert_string_equal(text.data, expected);
    tl_str_fini(&text);
    tl_value_unref(prompt);
}

static void test_render_parts(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "question", tl_test_text("Who? {hit} {{"));
    tl_test_item_add(&item, "hit", tl_test_hit("a", 0));
    tl_test_item_add(&item, "index", tl_value_number(0));
    tl_attributes_set_string(&item.attributes, &item.arena, "trim", "other,hit");
    const char *template =
        "[[\"system\",\"Short.\"],[\"user\",\"Q: {question}\\n{hit}{#index}again{/index}{#question}!{/question}\"]]";
    check_prompt(&item, template,
                 "system 0 S\"Short.\"\n"
                 "user 1 S\"Q: \"\n"
                 "user 1 \"Who? {hit} {{\"\n"
                 "user 1 S\"\\n\"\n"
                 "user 1 T\"Title\\nText of a.\"\n"
                 "user 1 \"!\"\n");
    tl_attributes_set_integer(&item.attributes, &item.arena, "parts", 3);
    check_prompt(&item, template,
                 "system 0 S\"Short.\"\n"
                 "user 1 S\"Q: \"\n"
                 "user 1 O\"Who? {hit} {{\"\n");
    tl_attributes_set_integer(&item.attributes, &item.arena, "parts", 1);
    check_prompt(&item, template, "system 0 SO\"Short.\"\n");
    tl_attributes_set_integer(&item.attributes, &item.arena, "parts", 0);
    check_prompt(&item, template, "system 0 O\"\"\n");
    tl_attributes_set_integer(&item.attributes, &item.arena, "parts", 99);
    check_prompt(&item, "[[\"user\",\"{question}\"]]", "user 0 \"Who? {hit} {{\"\n");
    tl_test_item_fini(&item);
}

/* The first n segments of a template give the first parts of the whole, whatever n is. */
static void test_partial_prompt_is_prefix(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "question", tl_test_text("Who?"));
    tl_test_item_add(&item, "hits", tl_test_hits("a b"));
    tl_test_item_add(&item, "empty", tl_test_text(""));
    tl_attributes_set_string(
        &item.attributes, &item.arena, "template",
        "[[\"system\",\"S{#empty}x{/empty}\"],[\"user\",\"{empty}{question}\\n{#hits}{hits}.{/hits}z\"]]");
    struct tl_value *whole = tl_test_item_execute(&item, TL_OP_RENDER);
    assert_non_null(whole);
    for (int64_t n = 1; n < 9; n++) {
        tl_attributes_set_integer(&item.attributes, &item.arena, "parts", n);
        struct tl_value *part = tl_test_item_execute(&item, TL_OP_RENDER);
        assert_non_null(part);
        assert_true(part->as.prompt.count <= whole->as.prompt.count);
        for (size_t i = 0; i < part->as.prompt.count; i++) {
            const struct tl_prompt_part *a = &part->as.prompt.parts[i], *b = &whole->as.prompt.parts[i];
            assert_int_equal(a->length, b->length);
            assert_memory_equal(a->text, b->text, a->length);
            assert_int_equal(a->flags & ~(uint32_t)TL_PART_OPEN, b->flags);
            assert_int_equal(a->message, b->message);
        }
        tl_value_unref(part);
    }
    tl_value_unref(whole);
    tl_test_item_fini(&item);
}

static void test_empty_messages(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "none", tl_test_text(" "));
    check_prompt(&item, "[[\"system\",\"{#none}Only then.{/none}\"],[\"user\",\"Hi.\"]]", "user 1 S\"Hi.\"\n");
    check_prompt(&item, "[[\"user\",\"\"]]", "");
    tl_test_item_fini(&item);
    tl_test_item_init(&item);
    tl_test_item_add(&item, "none", tl_test_text(""));
    check_prompt(&item, "[[\"user\",\"{none}\"]]", "user 0 \"\"\n");
    tl_test_item_fini(&item);
}

static void check_value(struct tl_value *value, const char *expected) {
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "v", value);
    tl_attributes_set_string(&item.attributes, &item.arena, "template", "[[\"user\",\"{v}\"]]");
    struct tl_value *prompt = tl_test_item_execute(&item, TL_OP_RENDER);
    assert_non_null(prompt);
    assert_int_equal(prompt->as.prompt.parts[0].length, strlen(expected));
    assert_memory_equal(prompt->as.prompt.parts[0].text, expected, strlen(expected));
    tl_value_unref(prompt);
    tl_test_item_fini(&item);
}

static void test_how_values_read(void **state) {
    (void)state;
    check_value(tl_test_text("as it is\n"), "as it is\n");
    check_value(tl_value_number(3), "3");
    check_value(tl_value_number(-0.25), "-0.25");
    check_value(tl_value_bool(false), "false");
    check_value(tl_value_json(json_string("a \"b\"")), "a \"b\"");
    check_value(tl_value_json(json_pack("{s:i,s:[b]}", "b", 2, "a", 1)), "{\"a\":[true],\"b\":2}");
    check_value(tl_test_texts((const char *const[]){"x", "y"}, 2), "1. x\n2. y");
    check_value(tl_test_texts(NULL, 0), "");
    check_value(tl_test_chunk("1", "Title", "Heading", "Text."), "Title: Heading\nText.");
    check_value(tl_test_chunk("1", "Title", "Title", "Text."), "Title\nText.");
    check_value(tl_test_chunk("1", "", "Heading", "Text."), "Heading\nText.");
    check_value(tl_test_chunk("1", "", "", "Text."), "Text.");
    check_value(tl_test_hits("a b"), "[1] Title\nText of a.\n\n[2] Title\nText of b.");
    check_value(tl_test_hits(""), "(none)");
    struct tl_value *lanes[2] = {tl_test_hits("a"), tl_test_hits("b c")};
    check_value(tl_value_list(TL_TYPE_OF(HIT, 1), lanes, 2),
                "[1] Title\nText of a.\n\n[2] Title\nText of b.\n\n[3] Title\nText of c.");
}

static void test_render_errors(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    assert_null(tl_test_item_execute(&item, TL_OP_RENDER));
    assert_string_equal(item.error.message, "the attribute `template` is missing");
    tl_attributes_set_string(&item.attributes, &item.arena, "template", "[[\"user\",\"{x}\"]]");
    assert_null(tl_test_item_execute(&item, TL_OP_RENDER));
    assert_string_equal(item.error.message, "the prompt uses {x}, which is not among its inputs");
    tl_attributes_set_string(&item.attributes, &item.arena, "template", "[[\"user\",\"{#x}a{/x}\"]]");
    assert_null(tl_test_item_execute(&item, TL_OP_RENDER));
    tl_test_item_add(&item, "x", tl_value_control());
    assert_null(tl_test_item_execute(&item, TL_OP_RENDER));
    assert_string_equal(item.error.message, "{x} is a value of type control, which cannot stand in a prompt");
    tl_attributes_set_integer(&item.attributes, &item.arena, "parts", -1);
    assert_null(tl_test_item_execute(&item, TL_OP_RENDER));
    assert_string_equal(item.error.message, "the attribute `parts` is -1; expected 0 or more");
    tl_test_item_fini(&item);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_template_errors),     cmocka_unit_test(test_template_questions),
        cmocka_unit_test(test_render_parts),        cmocka_unit_test(test_partial_prompt_is_prefix),
        cmocka_unit_test(test_empty_messages),      cmocka_unit_test(test_how_values_read),
        cmocka_unit_test(test_render_errors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

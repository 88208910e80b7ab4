/* Tests constants, conditions, joining of lists and texts, and the reading of lists that models write. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "builtin/builtin_test_support.h"

static void test_constant(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    assert_null(tl_test_item_execute(&item, TL_OP_CONSTANT));
    assert_string_equal(item.error.message, "the attribute `value` is missing");
    tl_attributes_set_string(&item.attributes, &item.arena, "value", "No passage was found.");
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_CONSTANT);
    assert_string_equal(output->as.text.data, "No passage was found.");
    tl_value_unref(output);
    tl_test_item_fini(&item);
}

static void test_constant_texts(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "values", "[\"1\",\"zwei\",\"\"]");
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_CONSTANT);
    struct tl_value *expected = tl_test_texts((const char *const[]){"1", "zwei", ""}, 3);
    assert_true(tl_value_equal(output, expected));
    tl_value_unref(output);
    tl_value_unref(expected);
    const char *const wrong[] = {"[1]", "{}", "[\"1\"", "\"1\""};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        tl_attributes_set_string(&item.attributes, &item.arena, "values", wrong[i]);
        assert_null(tl_test_item_execute(&item, TL_OP_CONSTANT));
        assert_string_equal(item.error.message, "the attribute `values` is no JSON array of texts");
    }
    tl_test_item_fini(&item);
}

static void test_distinct(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "distinct");
    assert_null(tl_test_item_execute(&item, TL_OP_AGGREGATE));
    assert_string_equal(item.error.message, "it has 0 inputs; expected texts, or texts and a list");
    tl_test_item_add(&item, "texts", tl_test_texts((const char *const[]){"b", " \n", "a", " B\n", "", "ab", "a"}, 7));
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    struct tl_value *expected = tl_test_texts((const char *const[]){"b", "a", "ab"}, 3);
    assert_true(tl_value_equal(output, expected));
    tl_value_unref(output);
    tl_value_unref(expected);

    tl_test_item_add(&item, "list", tl_test_hits("p q r s t u v"));
    char ids[64];
    output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    assert_string_equal(tl_test_ids(output, ids, sizeof ids), "p r u");
    tl_value_unref(output);
    tl_test_item_fini(&item);

    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "distinct");
    tl_test_item_add(&item, "texts", tl_test_texts(NULL, 0));
    output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    assert_int_equal(output->as.list.count, 0);
    tl_value_unref(output);
    tl_test_item_add(&item, "list", tl_test_hits("p"));
    assert_null(tl_test_item_execute(&item, TL_OP_AGGREGATE));
    assert_string_equal(item.error.message, "there are 0 texts and 1 elements to choose from by them");
    tl_test_item_fini(&item);

    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "distinct");
    tl_test_item_add(&item, "texts", tl_test_hits("p"));
    assert_null(tl_test_item_execute(&item, TL_OP_AGGREGATE));
    assert_string_equal(item.error.message, "input `texts` is no list of texts");
    tl_test_item_fini(&item);
}

static bool holds(struct tl_value *value, const char *is, const char *to) {
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "value", value);
    tl_attributes_set_string(&item.attributes, &item.arena, "is", is);
    if (to != NULL) {
        tl_attributes_set_string(&item.attributes, &item.arena, "to", to);
    }
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_CONDITION);
    assert_non_null(output);
    bool result = output->as.boolean;
    tl_value_unref(output);
    tl_test_item_fini(&item);
    return result;
}

static void test_condition(void **state) {
    (void)state;
    assert_true(holds(tl_test_text("x"), "nonempty", NULL));
    assert_false(holds(tl_test_text(" \n"), "nonempty", NULL));
    assert_true(holds(tl_test_hits("a"), "nonempty", NULL));
    assert_false(holds(tl_test_hits(""), "nonempty", NULL));
    assert_true(holds(tl_test_hit("a", 0), "nonempty", NULL));
    assert_false(holds(tl_value_number(0), "nonempty", NULL));
    assert_false(holds(tl_value_json(json_null()), "nonempty", NULL));
    assert_false(holds(tl_value_json(json_array()), "nonempty", NULL));
    assert_true(holds(tl_value_json(json_integer(3)), "nonempty", NULL));
    assert_true(holds(tl_value_bool(true), "true", NULL));
    assert_true(holds(tl_test_text("True"), "true", NULL));
    assert_false(holds(tl_test_text("truely"), "true", NULL));
    assert_true(holds(tl_value_json(json_true()), "true", NULL));
    assert_true(holds(tl_test_text(" YES\n"), "equals", "yes"));
    assert_true(holds(tl_value_number(2.5), "equals", "2.5"));
    assert_true(holds(tl_value_json(json_string("no")), "equals", "no"));
    assert_false(holds(tl_test_hits("a"), "equals", "a"));

    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "value", tl_test_text("x"));
    tl_attributes_set_string(&item.attributes, &item.arena, "is", "equals");
    assert_null(tl_test_item_execute(&item, TL_OP_CONDITION));
    tl_attributes_set_string(&item.attributes, &item.arena, "is", "big");
    assert_null(tl_test_item_execute(&item, TL_OP_CONDITION));
    assert_string_equal(item.error.message, "the attribute `is` is \"big\"; expected nonempty, true or equals");
    tl_test_item_fini(&item);
}

static void test_concat(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "question", tl_test_text("q"));
    tl_test_item_add(&item, "rewrites", tl_test_texts((const char *const[]){"r1", "r2"}, 2));
    tl_test_item_add(&item, "none", tl_test_texts(NULL, 0));
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    struct tl_value *expected = tl_test_texts((const char *const[]){"q", "r1", "r2"}, 3);
    assert_true(tl_value_equal(output, expected));
    tl_value_unref(output);
    tl_value_unref(expected);

    tl_test_item_add(&item, "hits", tl_test_hits("a"));
    assert_null(tl_test_item_execute(&item, TL_OP_AGGREGATE));
    assert_string_equal(item.error.message, "input `hits` has type hit[]; expected text[] or an element of it");
    tl_test_item_fini(&item);

    tl_test_item_init(&item);
    tl_test_item_add(&item, "one", tl_test_text("1"));
    tl_test_item_add(&item, "two", tl_test_text("2"));
    output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    assert_int_equal(output->type.depth, 1);
    assert_int_equal(output->as.list.count, 2);
    tl_value_unref(output);
    tl_test_item_fini(&item);
}

static void test_flatten(void **state) {
    (void)state;
    struct tl_test_item item;
    struct tl_value *lists[] = {tl_test_texts((const char *const[]){"a", "b"}, 2), tl_test_texts(NULL, 0),
                                tl_test_texts((const char *const[]){"c"}, 1)};
    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "flatten");
    tl_test_item_add(&item, "slices", tl_value_list(TL_TYPE_OF(TEXT, 1), lists, 3));
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    struct tl_value *expected = tl_test_texts((const char *const[]){"a", "b", "c"}, 3);
    assert_true(tl_value_equal(output, expected));
    tl_value_unref(output);
    tl_value_unref(expected);
    tl_test_item_fini(&item);

    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "flatten");
    tl_test_item_add(&item, "slices", tl_value_list(TL_TYPE_OF(HIT, 1), NULL, 0));
    output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    assert_true(tl_type_equal(output->type, TL_TYPE_OF(HIT, 1)));
    assert_int_equal(output->as.list.count, 0);
    tl_value_unref(output);
    tl_test_item_fini(&item);

    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "flatten");
    tl_test_item_add(&item, "slices", tl_test_texts(NULL, 0));
    assert_null(tl_test_item_execute(&item, TL_OP_AGGREGATE));
    assert_string_equal(item.error.message, "it expects one input, a list of lists");
    tl_test_item_fini(&item);
}

static void test_join(void **state) {
    (void)state;
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "join");
    tl_test_item_add(&item, "a", tl_test_text("one"));
    tl_test_item_add(&item, "b", tl_test_texts((const char *const[]){"two", "", "three"}, 3));
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    assert_string_equal(output->as.text.data, "one\ntwo\n\nthree");
    tl_value_unref(output);
    tl_attributes_set_string(&item.attributes, &item.arena, "separator", ", ");
    output = tl_test_item_execute(&item, TL_OP_AGGREGATE);
    assert_string_equal(output->as.text.data, "one, two, , three");
    tl_value_unref(output);
    tl_test_item_add(&item, "c", tl_value_number(1));
    assert_null(tl_test_item_execute(&item, TL_OP_AGGREGATE));
    tl_attributes_set_string(&item.attributes, &item.arena, "mode", "glue");
    assert_null(tl_test_item_execute(&item, TL_OP_AGGREGATE));
    assert_string_equal(item.error.message,
                        "the attribute `mode` is \"glue\"; expected concat, top, join, distinct or flatten");
    tl_test_item_fini(&item);
}

static void check_parse(const char *text, const char *const *items, size_t count) {
    struct tl_test_item item;
    tl_test_item_init(&item);
    tl_test_item_add(&item, "text", tl_test_text(text));
    struct tl_value *output = tl_test_item_execute(&item, TL_OP_PARSE);
    struct tl_value *expected = tl_test_texts(items, count);
    assert_true(tl_value_equal(output, expected));
    tl_value_unref(output);
    tl_value_unref(expected);
    tl_test_item_fini(&item);
}

static void test_parse(void **state) {
    (void)state;
    check_parse("[\"a\", \"b c\"]", (const char *const[]){"a", "b c"}, 2);
    check_parse("Sure! [\"a\", 2, {\"k\": [1]}] Anything else?", (const char *const[]){"a", "2", "{\"k\":[1]}"}, 3);
    check_parse("- one\n* two\n\n 3. three\n(4) four\n-1 degrees\n3.5 is a number",
                (const char *const[]){"one", "two", "three", "four", "-1 degrees", "3.5 is a number"}, 6);
    check_parse("See [here] and\n[there]", (const char *const[]){"See [here] and", "[there]"}, 2);
    check_parse("[\"a\",\n \"b\",]", (const char *const[]){"a", "b"}, 2);
    check_parse("", NULL, 0);
    check_parse(" \n\n", NULL, 0);
    check_parse("[]", NULL, 0);
    check_parse("- \n(\n1", (const char *const[]){"-", "(", "1"}, 3);
}
/* What is whole before the list breaks off is taken, or it is a failure that says how much there was. */
static void test_broken_lists(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t whole;
    } cases[] = {
        {"[", 0},
        {"Queries: [\"cut", 0},
        {"[\"one\"", 1},
        {"[\"one\", ", 1},
        {"[\"one\", \"tw", 1},
        {"[\"one\", \"two\" and more", 2},
        {"[\"one\", \"two\", 12", 2}, /* perhaps 123 */
        {"[\"one\", nothing]", 1},
        {"[{\"a\": 1}, {\"a\"", 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        for (int fails = 0; fails < 2; fails++) {
            struct tl_test_item item;
            tl_test_item_init(&item);
            tl_test_item_add(&item, "text", tl_test_text(cases[i].text));
            if (fails) {
                tl_attributes_set_string(&item.attributes, &item.arena, "on_error", "fail");
            }
            struct tl_value *output = tl_test_item_execute(&item, TL_OP_PARSE);
            if (fails) {
                char message[96];
                snprintf(message, sizeof message, "the list that the model wrote breaks off after %zu whole items",
                         cases[i].whole);
                assert_null(output);
                assert_string_equal(item.error.message, message);
            } else {
                assert_int_equal(output->as.list.count, cases[i].whole);
            }
            tl_value_unref(output);
            tl_test_item_fini(&item);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_constant),
        cmocka_unit_test(test_constant_texts),
        cmocka_unit_test(test_distinct),
        cmocka_unit_test(test_condition),
        cmocka_unit_test(test_concat),
        cmocka_unit_test(test_flatten),
        cmocka_unit_test(test_join),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_broken_lists),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

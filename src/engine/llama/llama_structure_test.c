/* llama_structure_test.c: structured output with a real model: whatever it is asked, at temperature 0 and 1, the form
 * holds, most of the structure is not computed token by token, elements are passed on as they close, and what a
 * decode gives does not depend on its company. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_test_support.h"

static struct tl_conformance_subject subject = {.ops = &tl_llama_engine, .kinds = 1};
static char settings[1024];

static struct tl_conformance *open_engine(void) {
    tl_llama_test_settings(settings, sizeof settings,
                           "\"context_size\": 384, \"parallel\": 4, \"reserve\": 128, \"threads\": 1");
    subject.settings = settings;
    return tl_conformance_open(&subject);
}

static struct tl_conformance_held *submit(struct tl_conformance *run, const char *question, const char *format,
                                          const char *name, const char *value, int round) {
    struct tl_conformance_item item;
    struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(question), NULL);
    tl_llama_test_decode(run, kv, 100, &item);
    tl_attributes_set_string(&item.attributes, item.arena, "format", format);
    tl_attributes_set_string(&item.attributes, item.arena, name, value);
    tl_attributes_set_number(&item.attributes, item.arena, "temperature", round % 2);
    tl_attributes_set_integer(&item.attributes, item.arena, "seed", round);
    item.pieces = true;
    return tl_conformance_submit(run, &item);
}

static const struct tl_conformance_outcome *finished(struct tl_conformance *run, struct tl_conformance_held *held) {
    tl_conformance_finish(run);
    const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    if (outcome->status != TL_OK)
        fail_msg("%s", outcome->message);
    return outcome;
}

static const char *const questions[] = {"Ada Lovelace was born in London in 1815.", "Write \"quotes\", \\ and\nlines.",
                                        "7 8 9", "Say nothing."};

static void test_objects(void **state) {
    (void)state;
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":24},\"year\":{\"type\":"
        "\"integer\",\"minimum\":1000,\"maximum\":2100},\"city\":{\"enum\":[\"London\",\"Paris\",\"unknown\"]},"
        "\"alive\":"
        "{\"type\":\"boolean\"}},\"required\":[\"name\",\"year\",\"city\",\"alive\"]}";
    struct tl_conformance *run = open_engine();
    for (int round = 0; round < 8; round++) {
        const struct tl_conformance_outcome *outcome =
            finished(run, submit(run, questions[round / 2], "json", "schema", schema, round));
        const json_t *json = outcome->outputs[0]->as.json;
        assert_true(tl_type_equal(outcome->outputs[0]->type, TL_TYPE_OF(JSON, 0)));
        assert_int_equal(json_object_size(json), 4);
        assert_true(json_is_string(json_object_get(json, "name")));
        assert_in_range(json_integer_value(json_object_get(json, "year")), 1000, 2100);
        assert_non_null(strstr("London Paris unknown", json_string_value(json_object_get(json, "city"))));
        assert_true(json_is_boolean(json_object_get(json, "alive")));
        assert_string_equal(outcome->usage.finish, "stop");
        assert_true(2 * outcome->usage.tokens_forced > outcome->usage.tokens_out / 2);
        assert_true(outcome->usage.tokens_forced < outcome->usage.tokens_out);
    }
    tl_conformance_close(run);
}

static void test_arrays_are_passed_on_by_element(void **state) {
    (void)state;
    static const char schema[] =
        "{\"type\":\"array\",\"minItems\":2,\"maxItems\":3,\"items\":{\"type\":\"object\",\"properties\":{\"query\":"
        "{\"type\":\"string\",\"minLength\":3,\"maxLength\":30},\"weight\":{\"type\":\"number\",\"minimum\":0,"
        "\"maximum\":1}},\"required\":[\"query\",\"weight\"]}}";
    struct tl_conformance *run = open_engine();
    for (int round = 0; round < 4; round++) {
        struct tl_conformance_held *held = submit(run, questions[round], "json", "schema", schema, round);
        const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
        while (outcome->piece_count == 0 && !outcome->finished)
            tl_conformance_step(run);
        assert_false(outcome->finished); /* the first element is there while the others are written */
        finished(run, held);
        assert_true(tl_type_equal(outcome->outputs[0]->type, TL_TYPE_OF(JSON, 1)));
        assert_in_range(outcome->outputs[0]->as.list.count, 2, 3);
        assert_int_equal(outcome->piece_count, outcome->outputs[0]->as.list.count);
        assert_int_equal(outcome->usage.units, outcome->piece_count);
    }
    tl_conformance_close(run);
}

static void test_choices_and_calls(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine();
    for (int round = 0; round < 4; round++) {
        const struct tl_conformance_outcome *outcome =
            finished(run, submit(run, questions[round], "choice", "choices",
                                 "[\"a question\", \"a fact\", \"neither\"]", round));
        assert_non_null(strstr("a question, a fact, neither", outcome->outputs[0]->as.text.data));
        outcome = finished(run, submit(run, questions[round], "tool_call", "tools",
                                       "[{\"name\":\"search\",\"parameters\":{\"properties\":{\"query\":{\"type\":"
                                       "\"string\",\"maxLength\":20}},\"required\":[\"query\"]}},{\"name\":\"stop\"}]",
                                       round));
        assert_string_equal(outcome->usage.finish, "tool_calls");
        assert_int_equal(json_array_size(json_object_get(outcome->outputs[0]->as.json, "tool_calls")), 1);
    }
    tl_conformance_close(run);
}

/* Cut off by max_tokens the text is closed, and says so. */
static void test_length(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine();
    struct tl_conformance_item item;
    struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[0]), NULL);
    tl_llama_test_decode(run, kv, 12, &item);
    tl_attributes_set_string(&item.attributes, item.arena, "format", "json");
    tl_attributes_set_string(&item.attributes, item.arena, "schema",
                             "{\"properties\":{\"story\":{\"type\":\"string\",\"minLength\":300},\"end\":{\"type\":"
                             "\"integer\",\"minimum\":5}},\"required\":[\"story\",\"end\"]}");
    const struct tl_conformance_outcome *outcome = finished(run, tl_conformance_submit(run, &item));
    assert_string_equal(outcome->usage.finish, "length");
    assert_int_equal(outcome->usage.tokens_out, 12);
    const json_t *json = outcome->outputs[0]->as.json;
    assert_true(json_string_length(json_object_get(json, "story")) >= 300);
    assert_int_equal(json_integer_value(json_object_get(json, "end")), 5);
    tl_conformance_close(run);
}

/* A list that breaks off is what there is of it, or a failure, as asked. */
static void test_lists_that_break_off(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine();
    for (int round = 0; round < 2; round++) {
        struct tl_conformance_item item;
        struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[0]), NULL);
        tl_llama_test_decode(run, kv, 20, &item);
        tl_attributes_set_string(&item.attributes, item.arena, "format", "list");
        tl_attributes_set_integer(&item.attributes, item.arena, "items", 40);
        tl_attributes_set_string(&item.attributes, item.arena, "on_error", round == 0 ? "skip" : "fail");
        struct tl_conformance_held *held = tl_conformance_submit(run, &item);
        tl_conformance_finish(run);
        const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
        assert_int_equal(outcome->status, round == 0 ? TL_OK : TL_ERR_ENGINE);
        if (round == 1)
            assert_non_null(strstr(outcome->message, "breaks off"));
    }
    tl_conformance_close(run);
}

/* The same seed, alone and beside others that draw too. */
static void test_company_changes_nothing(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine();
    struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(questions[0]), NULL);
    struct tl_conformance_held *held[4];
    for (int i = 0; i < 4; i++) {
        struct tl_conformance_item item;
        tl_llama_test_decode(run, tl_value_ref(kv), 8, &item);
        tl_attributes_set_number(&item.attributes, item.arena, "temperature", 0.2);
        tl_attributes_set_number(&item.attributes, item.arena, "frequency_penalty", 0.5);
        tl_attributes_set_integer(&item.attributes, item.arena, "seed", i == 1 ? 0 : i);
        held[i] = tl_conformance_submit(run, &item);
        if (i == 0)
            tl_conformance_finish(run);
    }
    tl_conformance_finish(run);
    const struct tl_value *alone = tl_conformance_outcome(held[0])->outputs[0];
    const struct tl_value *together = tl_conformance_outcome(held[1])->outputs[0];
    assert_string_equal(alone->as.text.data, together->as.text.data);
    tl_value_unref(kv);
    tl_conformance_close(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_objects),
        cmocka_unit_test(test_arrays_are_passed_on_by_element),
        cmocka_unit_test(test_choices_and_calls),
        cmocka_unit_test(test_length),
        cmocka_unit_test(test_lists_that_break_off),
        cmocka_unit_test(test_company_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* llama_layout_test.c: which layout follows from what was measured; what an engine says of its own; and that measuring
 * gives all the numbers, from the real model. Which of the two is faster here is nothing that a test may expect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "engine/engines.h"
#include "engine/llama/llama_layout.h"
#include "engine/llama/llama_test_support.h"

static bool near(double found, double expected) {
    return fabs(found - expected) < 1e-9;
}

/* Two chunks beside four writers give eight of the 64 tokens; 14 steps give the rest. */
static void test_the_number_that_is_compared(void **state) {
    (void)state;
    struct tl_llama_layout_times times = {.share = 3, .prompt = 400, .write = 30, .joint = 500};
    assert_true(near(tl_llama_layout_request(&times, 4, 128), 3 + 2 * 430 + 14 * 30));
    times.joint = 410; /* one call is better than two, then it is made */
    assert_true(near(tl_llama_layout_request(&times, 4, 128), 3 + 2 * 410 + 14 * 30));
    assert_true(near(tl_llama_layout_request(&times, 1, 64), 3 + 4 * 410 + 60 * 30));
    times.joint = 20; /* so small chunks that all is written beside them */
    assert_true(near(tl_llama_layout_request(&times, 4, 8), 3 + 32 * 20));
}

static size_t chosen(double stream, double unified) {
    return tl_llama_layout_choose((const double[TL_LLAMA_LAYOUTS]){stream, unified});
}

static void test_the_choice(void **state) {
    (void)state;
    assert_int_equal(chosen(1000, 900), TL_LLAMA_UNIFIED);
    assert_int_equal(chosen(1000, 969), TL_LLAMA_UNIFIED);
    assert_int_equal(chosen(1000, 975), TL_LLAMA_STREAM); /* hardly faster is not */
    assert_int_equal(chosen(1000, 1000), TL_LLAMA_STREAM);
    assert_int_equal(chosen(900, 1000), TL_LLAMA_STREAM);
}

static const json_t *kv_of(const json_t *choices) {
    return json_object_get(choices, "kv");
}

static const char *text_of(const json_t *choice, const char *key) {
    return json_string_value(json_object_get(choice, key));
}

/* What was measured on a CPU once: sharing is free there, and yet streams are faster. Were copying dear, they were not. */
static void test_the_report(void **state) {
    (void)state;
    struct tl_llama_layout_times times[TL_LLAMA_LAYOUTS] = {
        [TL_LLAMA_STREAM] = {.share = 2.2, .prompt = 370, .write = 30, .joint = 390},
        [TL_LLAMA_UNIFIED] = {.share = 0.02, .prompt = 420, .write = 33, .joint = 640},
    };
    json_t *choices = tl_llama_layout_report(times, 4, 128);
    assert_string_equal(text_of(choices, "used"), "stream");
    assert_string_equal(text_of(choices, "because"),
                        "measured: a request takes 1202 ms with streams, 1368 ms unified");
    const json_t *rows = json_object_get(choices, "measured"), *unified = json_array_get(rows, 1);
    assert_int_equal(json_array_size(rows), 2);
    assert_string_equal(text_of(unified, "kv"), "unified");
    assert_true(near(json_number_value(json_object_get(unified, "joint_ms")), 640));
    assert_true(near(json_number_value(json_object_get(unified, "request_ms")), 1368.02));
    json_decref(choices);
    times[TL_LLAMA_STREAM].share = 300;
    choices = tl_llama_layout_report(times, 4, 128);
    assert_string_equal(text_of(choices, "used"), "unified");
    json_decref(choices);
}

static void expect_lookup(const double ms[TL_LLAMA_LOOKUPS], int used, const char *because) {
    json_t *choice = tl_llama_lookup_report(ms);
    assert_int_equal(json_integer_value(json_object_get(choice, "used")), used);
    assert_string_equal(text_of(choice, "because"), because);
    assert_int_equal(json_array_size(json_object_get(choice, "measured")), TL_LLAMA_LOOKUPS);
    json_decref(choice);
}

/* On two CPU cores rows are dear; where they are nearly free, proposals pay. */
static void test_whether_proposals_pay(void **state) {
    (void)state;
    const double cores[TL_LLAMA_LOOKUPS] = {8.5, 23.5, 30, 44, 68}, wide[TL_LLAMA_LOOKUPS] = {8, 8.1, 8.4, 9, 12};
    expect_lookup(cores, 0, "measured: a token takes 8.5 ms without proposals, 13.8 ms with 3 at best");
    expect_lookup(wide, -1, "measured: a token takes 8.0 ms without proposals, 3.7 ms with 7 at best");
    const double hardly[TL_LLAMA_LOOKUPS] = {10, 15.8, 22, 30, 60}; /* 1.6 tokens for 15.8 ms */
    expect_lookup(hardly, 0, "measured: a token takes 10.0 ms without proposals, 9.9 ms with 1 at best");
}

/* What the engine makes of the settings, and what it says. */
static void expect_layout(const char *settings, const char *expected) {
    json_t *json = json_loads(settings, 0, NULL);
    struct tl_engine *engine = NULL;
    struct tl_error error = {0};
    enum tl_status status = tl_llama_engine.create("llm", json, &engine, &error);
    json_decref(json);
    if (status != TL_OK) {
        assert_string_equal(error.message, expected);
        return;
    }
    struct tl_engine_description description;
    tl_llama_engine.describe(engine, &description);
    assert_string_equal(description.layout, expected);
    tl_llama_engine.destroy(engine);
}

static void test_what_an_engine_says(void **state) {
    (void)state;
    static const char unmeasured[] = "stream (the default: not measured here, teola profile does)";
    expect_layout("{\"model\": \"x\"}", unmeasured);
    expect_layout("{\"model\": \"x\", \"kv\": \"auto\"}", unmeasured);
    expect_layout("{\"model\": \"x\", \"kv\": \"stream\"}", "stream (as set)");
    expect_layout("{\"model\": \"x\", \"kv\": \"unified\"}", "unified (as set)");
    expect_layout("{\"model\": \"x\", \"kv\": \"unified\", \"kv_because\": \"measured: so\"}",
                  "unified (measured: so)");
    expect_layout("{\"model\": \"x\", \"kv\": \"shared\"}",
                  "llama: setting kv must be \"auto\", \"stream\" or \"unified\"; found \"shared\"");
}

static bool is_stopped(void *context) {
    return *(const bool *)context;
}

static enum tl_status measure(const char *more, bool stopped, json_t **choices) {
    char settings[1024];
    struct tl_error error;
    const struct tl_engine_trial trial = {.budget = 1, .context = &stopped, .stop = is_stopped};
    tl_llama_test_settings(settings, sizeof settings, more);
    json_t *json = json_loads(settings, 0, NULL);
    enum tl_status status = tl_llama_engine.choose(json, &trial, choices, &error);
    json_decref(json);
    return status;
}

static void test_measuring(void **state) {
    (void)state;
    json_t *choices, *row;
    size_t i;
    static const char *const times[] = {"share_ms", "prompt_ms", "write_ms", "joint_ms", "request_ms"};
    assert_int_equal(measure("\"context_size\": 512, \"parallel\": 3, \"chunk\": 48, \"threads\": 1", false, &choices),
                     TL_OK);
    const json_t *kv = kv_of(choices);
    assert_int_equal(json_integer_value(json_object_get(kv, "writers")), 2);
    assert_int_equal(json_integer_value(json_object_get(kv, "chunk")), 48);
    json_array_foreach(json_object_get(kv, "measured"), i, row) {
        assert_string_equal(text_of(row, "kv"), tl_llama_layout_names[i]);
        for (size_t k = 0; k < sizeof times / sizeof times[0]; k++)
            assert_true(json_number_value(json_object_get(row, times[k])) > 0 || k == 0);
    }
    assert_int_equal(i, TL_LLAMA_LAYOUTS);
    const json_t *lookup = json_object_get(choices, "lookup");
    json_array_foreach(json_object_get(lookup, "measured"), i, row) {
        assert_int_equal(json_integer_value(json_object_get(row, "lookup")) + 1, tl_llama_lookup_rows[i]);
        assert_true(json_number_value(json_object_get(row, "call_ms")) > 0);
    }
    assert_int_equal(i, TL_LLAMA_LOOKUPS);
    json_decref(choices);
}

/* What was set by hand is not measured; where there is no choice, that is said. */
static void test_nothing_to_choose(void **state) {
    (void)state;
    json_t *choices;
    assert_int_equal(measure("\"kv\": \"unified\", \"lookup\": 0", false, &choices), TL_OK);
    assert_null(choices);
    assert_int_equal(
        measure("\"context_size\": 512, \"parallel\": 2, \"threads\": 1, \"kv\": \"unified\"", false, &choices), TL_OK);
    assert_null(kv_of(choices));
    assert_non_null(json_object_get(choices, "lookup"));
    json_decref(choices);
    assert_int_equal(measure("\"context_size\": 512, \"parallel\": 1, \"kv\": \"auto\"", false, &choices), TL_OK);
    assert_string_equal(text_of(kv_of(choices), "used"), "stream");
    assert_string_equal(text_of(kv_of(choices), "because"), "one sequence shares with nobody");
    json_decref(choices);
    assert_int_equal(measure("\"context_size\": 256, \"parallel\": 2", false, &choices), TL_OK);
    assert_string_equal(text_of(kv_of(choices), "because"), "sequences are too short for prefixes worth sharing");
    json_decref(choices);
    assert_int_equal(measure("\"context_size\": 512, \"parallel\": 2", true, &choices), TL_ERR_CANCELLED);
    assert_null(choices);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_number_that_is_compared),
        cmocka_unit_test(test_the_choice),
        cmocka_unit_test(test_the_report),
        cmocka_unit_test(test_whether_proposals_pay),
        cmocka_unit_test(test_what_an_engine_says),
        cmocka_unit_test(test_measuring),
        cmocka_unit_test(test_nothing_to_choose),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

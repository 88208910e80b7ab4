/* Tests of call: an engine driven without a runtime gives outputs, failures, and stops. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/call.h"

static struct tl_engine_caller *open_store(void) {
    struct tl_engine_caller *caller = NULL;
    struct tl_error error = {0};
    json_t *settings = json_pack("{s:s}", "path", "/nonexistent/teola-call.db");
    if (tl_engine_caller_open("sqlite", settings, &caller, &error) != TL_OK)
        fail_msg("%s", error.message);
    json_decref(settings);
    return caller;
}

/* A temporary collection with `count` chunks. */
static struct tl_value *ingest(struct tl_engine_caller *caller, size_t count, struct tl_usage *usage) {
    const float axis[2] = {1, 0};
    struct tl_value *chunks[16], *vectors[16];
    for (size_t i = 0; i < count; i++) {
        char id[32];
        snprintf(id, sizeof id, "%zu:0", i);
        const struct tl_chunk chunk =
            {.id = id, .uri = id, .title = "", .heading = "", .text = "stone river", .length = 11};
        chunks[i] = tl_value_chunk(&chunk);
        vectors[i] = tl_value_vector(axis, 2);
    }
    struct tl_value *inputs[] = {tl_value_list(TL_TYPE_OF(CHUNK, 0), chunks, count),
                                 tl_value_list(TL_TYPE_OF(VECTOR, 0), vectors, count), NULL};
    struct tl_value *index = NULL;
    struct tl_error error = {0};
    if (tl_engine_call(caller, TL_OP_INGEST, NULL, inputs, 3, &index, usage, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_value_unref(inputs[0]);
    tl_value_unref(inputs[1]);
    return index;
}

static void test_outputs_and_failures(void **state) {
    (void)state;
    struct tl_engine_caller *caller = open_store();
    struct tl_engine_description description;
    tl_engine_caller_describe(caller, &description);
    assert_int_equal(description.capabilities, 1u << TL_CAPABILITY_STORE);
    struct tl_usage usage;
    struct tl_value *inputs[] = {tl_value_text("river", 5), ingest(caller, 5, &usage)}, *hits = NULL;
    assert_int_equal(usage.units, 5);
    struct tl_error error = {0};
    assert_int_equal(tl_engine_call(caller, TL_OP_MATCH, NULL, inputs, 2, &hits, NULL, &error), TL_OK);
    assert_int_equal(hits->as.list.count, 5);
    tl_value_unref(hits);
    hits = NULL;
    assert_int_equal(tl_engine_call(caller, TL_OP_EMBED, NULL, inputs, 1, &hits, NULL, &error), TL_ERR_UNSUPPORTED);
    assert_null(hits);
    assert_non_null(strstr(error.message, "sqlite"));
    assert_int_equal(tl_engine_call(caller, TL_OP_MATCH, NULL, inputs, 2, &hits, NULL, &error), TL_OK); /* as before */
    tl_value_unref(hits);
    tl_value_unref(inputs[0]);
    tl_value_unref(inputs[1]);
    tl_engine_caller_close(caller);
}

static bool stop_at(void *context) {
    int *left = context;
    return --*left == 0;
}

static void test_stop(void **state) {
    (void)state;
    struct tl_engine_caller *caller = open_store();
    struct tl_value *texts[8], *hits = NULL;
    for (int i = 0; i < 8; i++)
        texts[i] = tl_value_text("stone", 5);
    struct tl_value *inputs[] = {tl_value_list(TL_TYPE_OF(TEXT, 0), texts, 8), ingest(caller, 3, NULL)};
    struct tl_error error = {0};
    int left = 4;
    tl_engine_caller_on_stop(caller, stop_at, &left);
    assert_int_equal(tl_engine_call(caller, TL_OP_MATCH, NULL, inputs, 2, &hits, NULL, &error), TL_ERR_CANCELLED);
    assert_int_equal(left, 0); /* asked between steps, and not again */
    left = 100;
    assert_int_equal(tl_engine_call(caller, TL_OP_MATCH, NULL, inputs, 2, &hits, NULL, &error), TL_OK);
    assert_int_equal(hits->as.list.count, 8);
    tl_value_unref(hits);
    tl_value_unref(inputs[0]);
    tl_value_unref(inputs[1]);
    tl_engine_caller_close(caller);
}

static void test_open_failures(void **state) {
    (void)state;
    struct tl_engine_caller *caller = NULL;
    struct tl_error error = {0};
    json_t *settings = json_pack("{s:i}", "no_such_setting", 1);
    assert_int_equal(tl_engine_caller_open("no such type", settings, &caller, &error), TL_ERR_NOT_FOUND);
    assert_int_equal(tl_engine_caller_open("sqlite", settings, &caller, &error), TL_ERR_INVALID);
    assert_null(caller);
    json_decref(settings);
    settings = json_pack("{s:s}", "path", "/etc/passwd"); /* created, but cannot be opened */
    assert_int_equal(tl_engine_caller_open("sqlite", settings, &caller, &error), TL_ERR_CORRUPT);
    assert_null(caller);
    json_decref(settings);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outputs_and_failures),
        cmocka_unit_test(test_stop),
        cmocka_unit_test(test_open_failures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

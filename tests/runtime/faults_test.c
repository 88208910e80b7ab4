/* faults_test.c: instances of one engine that differ, and engines that break as a whole: what others can do, they do; what is
 * broken is opened again, and later queries are not disturbed. */
#include "base/log.h"
#include "runtime/emulated.h"

static const char question[] = "{\"question\": \"Where does the amber river meet the coast?\"}";

/* The same engine on two devices: all goes to the fast one, and the answer is that of one instance. */
static void work_goes_to_the_faster_device(void **state) {
    (void)state;
    static const char instances[] = ", instances: [{scale: 1, device: slow}, {scale: 0.001, device: fast}]";
    struct tl_runtime *one = open_with_own("", "llm", ""), *two = open_with_own("", "llm", instances);
    struct tl_request request = ask(load(one, "naive-rag"), question);
    request.flags = TL_REQUEST_ITEMS;
    json_t *expected = finish(one, submit(one, &request), TL_OK);
    request.workflow = load(two, "naive-rag");
    json_t *result = finish(two, submit(two, &request), TL_OK);
    assert_true(json_equal(json_object_get(expected, "outputs"), json_object_get(result, "outputs")));
    assert_int_equal(items_on(result, "llm#1"), 0);
    assert_true(items_on(result, "llm#2") > 0);
    json_decref(expected);
    json_decref(result);
    tl_runtime_close(one);
    tl_runtime_close(two);
}

/* One of two instances breaks again and again: no query fails, and it comes back each time. */
static void another_instance_takes_over(void **state) {
    (void)state;
    enum { BREAK_AFTER = 3, MOST_QUERIES = 5000 };
    struct tl_runtime *runtime = open_with_own("", "embedder", ", instances: [{break_after: 3}, {}]");
    struct tl_request request = ask(load(runtime, "naive-rag"), question);
    request.flags = TL_REQUEST_ITEMS;
    size_t first = 0, queries = 0;
    for (; first <= 2 * BREAK_AFTER && queries < MOST_QUERIES; queries++) {
        json_t *result = finish(runtime, submit(runtime, &request), TL_OK);
        first += items_on(result, "embedder#1");
        json_decref(result);
    }
    assert_true(first > 2 * BREAK_AFTER); /* it was opened again twice */
    tl_runtime_close(runtime);
}

/* The only instance breaks in the middle of a query: that one fails and says why, a later one does not. */
static void the_only_instance_is_opened_again(void **state) {
    (void)state;
    enum { QUERIES = 5000 };
    struct tl_runtime *runtime = open_with_own("", "llm", ", break_after: 40");
    struct tl_request request = ask(load(runtime, "naive-rag"), question);
    unsigned failed = 0, done = 0, done_after = 0;
    for (unsigned i = 0; i < QUERIES && (failed == 0 || done_after < 3); i++) {
        struct tl_error error = {0};
        char *text = NULL;
        enum tl_status status = tl_runtime_wait(runtime, submit(runtime, &request), &text, &error);
        tl_free(text);
        if (status == TL_OK) {
            done++;
            done_after += failed > 0;
            continue;
        }
        failed++;
        assert_int_equal(status, TL_ERR_ENGINE);
        assert_non_null(strstr(error.message, "llm"));
        assert_true(strstr(error.message, "is broken") || strstr(error.message, "are lost"));
    }
    assert_true(failed > 0 && done > done_after && done_after == 3);
    tl_runtime_close(runtime);
}

/* Closed while an engine is broken or being opened again. */
static void closing_does_not_wait_for_a_repair(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct tl_runtime *runtime = open_with_own("", "llm", ", break_after: 1");
        struct tl_request request = ask(load(runtime, "naive-rag"), question);
        for (int k = 0; k < 3; k++)
            submit(runtime, &request);
        tl_runtime_close(runtime);
    }
}

int main(void) {
    tl_log_set_level(TL_LOG_ERROR);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_goes_to_the_faster_device),
        cmocka_unit_test(another_instance_takes_over),
        cmocka_unit_test(the_only_instance_is_opened_again),
        cmocka_unit_test(closing_does_not_wait_for_a_repair),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

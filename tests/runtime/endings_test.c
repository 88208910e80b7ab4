/* endings_test.c: the ways in which a run can end early: cancelled in every state, past its
 * deadline, by a primitive that fails, by the runtime's own end. Whatever happens, each run has one
 * outcome, the runtime closes, and the next run is not disturbed. */
#include "runtime/emulated.h"

#include <pthread.h>

static const char question[] = "{\"question\": \"Where does the amber river meet the coast?\"}";
static const char *const roles[] = {"llm", "embedder", "reranker", "store"};
#define ROLE_COUNT (sizeof roles / sizeof roles[0])

struct listener {
    struct tl_runtime *runtime;
    unsigned deltas, cancel_at;
    struct tl_str text;
};

static void count_and_cancel(void *context, tl_run_id run, const char *text, size_t length) {
    struct listener *listener = context;
    tl_str_append(&listener->text, text, length);
    if (++listener->deltas == listener->cancel_at)
        tl_runtime_cancel(listener->runtime, run);
}

/* In the middle of the answer: what was written is kept, and marked. */
static void cancelled_while_writing(void **state) {
    (void)state;
    for (unsigned at = 1; at <= 5; at += 2) {
        struct listener listener = {.runtime = open_emulated("llm.answer_tokens=100", "llm.scale=0.05", NULL),
                                    .cancel_at = at, .text = TL_STR_INIT};
        struct tl_request request = ask(load(listener.runtime, "naive-rag"), question);
        request.context = &listener;
        request.delta = count_and_cancel;
        json_t *result = finish(listener.runtime, submit(listener.runtime, &request), TL_ERR_CANCELLED);
        assert_string_equal(text_in(result, "status"), "cancelled");
        assert_string_equal(text_in(result, "text"), listener.text.data);
        assert_true(listener.deltas >= at && listener.deltas < 100);
        assert_null(json_object_get(result, "outputs"));
        json_decref(result);
        tl_runtime_close(listener.runtime);
        tl_str_fini(&listener.text);
    }
}

/* Right after submit, whatever state that is; a run beside it goes on. */
static void cancelled_at_once(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("llm.scale=0.01", NULL);
    tl_workflow_id workflow = load(runtime, "advanced-rag");
    for (int i = 0; i < 20; i++) {
        struct tl_request request = ask(workflow, question);
        tl_run_id kept = submit(runtime, &request), dropped = submit(runtime, &request);
        tl_runtime_cancel(runtime, dropped);
        tl_runtime_cancel(runtime, dropped);
        json_decref(finish(runtime, dropped, TL_ERR_CANCELLED));
        json_decref(finish(runtime, kept, TL_OK));
        tl_runtime_cancel(runtime, kept);
    }
    tl_runtime_close(runtime);
}

static void never_called(void *context, tl_run_id run, const char *text, size_t length) {
    (void)context, (void)run, (void)text, (void)length;
    fail_msg("an answer came from an engine that hangs");
}

/* An engine of any role hangs: the deadline ends the run, and the engine lets go of its item. */
static void a_deadline_ends_a_hanging_run(void **state) {
    (void)state;
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        char hang[32];
        snprintf(hang, sizeof hang, "%s.hang=true", roles[i]);
        struct tl_runtime *runtime = open_emulated(hang, NULL);
        struct tl_request request = ask(load(runtime, "advanced-rag"), question);
        request.timeout_ms = 60;
        request.delta = never_called;
        json_t *result = finish(runtime, submit(runtime, &request), TL_ERR_DEADLINE);
        assert_string_equal(text_in(result, "status"), "expired");
        assert_non_null(strstr(error_of(result), "deadline"));
        assert_true(json_number_value(json_object_get(json_object_get(result, "timings"), "total_ms")) >= 60);
        json_decref(result);
        tl_runtime_close(runtime);
    }
}

/* The configured timeout holds when a request says nothing. */
static void a_configured_timeout_holds(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("timeout=40ms", "llm.hang=true", NULL);
    struct tl_request request = ask(load(runtime, "naive-rag"), question);
    json_decref(finish(runtime, submit(runtime, &request), TL_ERR_DEADLINE));
    tl_runtime_close(runtime);
}

/* One run too many is refused before any work, with the time after which to try again. */
static void beyond_the_limit_a_run_is_refused(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("limits.runs=1", "llm.hang=true", NULL);
    struct tl_request request = ask(load(runtime, "naive-rag"), question);
    tl_run_id first = submit(runtime, &request);
    json_t *result = finish(runtime, submit(runtime, &request), TL_ERR_BUSY);
    assert_string_equal(text_in(result, "status"), "refused");
    assert_true(json_integer_value(json_object_get(result, "retry_after_ms")) >= 1);
    assert_non_null(strstr(error_of(result), "try again after"));
    assert_int_equal(json_integer_value(json_object_get(json_object_get(result, "usage"), "tokens_in")), 0);
    json_decref(result);
    tl_runtime_cancel(runtime, first);
    json_decref(finish(runtime, first, TL_ERR_CANCELLED));
    tl_runtime_close(runtime);
}

/* The error names the primitive, its inputs and what the engine said; a run after it is not disturbed. */
static void a_failing_primitive_is_named(void **state) {
    (void)state;
    static const char *const steps[] = {"answer/", "search/", "rerank/", "search/"};
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        char failing[32];
        snprintf(failing, sizeof failing, "%s.fail_every=1", roles[i]);
        struct tl_runtime *runtime = open_emulated(failing, NULL);
        tl_workflow_id workflow = load(runtime, i == 0 ? "naive-rag" : "advanced-rag");
        struct tl_request request = ask(workflow, question);
        json_t *result = finish(runtime, submit(runtime, &request), TL_ERR_ENGINE);
        assert_string_equal(text_in(result, "status"), "failed");
        assert_string_equal(text_in(json_object_get(result, "error"), "status"), tl_status_name(TL_ERR_ENGINE));
        assert_non_null(strstr(error_of(result), steps[i]));
        assert_non_null(strstr(error_of(result), "emulated failure"));
        json_decref(result);
        tl_runtime_close(runtime);
    }
    struct tl_runtime *runtime = open_emulated("reranker.fail_every=2", "retries=0", NULL);
    tl_workflow_id workflow = load(runtime, "advanced-rag");
    unsigned failed = 0, done = 0;
    for (int i = 0; i < 6; i++) {
        struct tl_request request = ask(workflow, question);
        struct tl_error error;
        tl_run_id run = submit(runtime, &request);
        enum tl_status status = tl_runtime_wait(runtime, run, NULL, &error);
        failed += status == TL_ERR_ENGINE;
        done += status == TL_OK;
    }
    assert_int_equal(failed + done, 6);
    assert_true(failed > 0);
    tl_runtime_close(runtime);
}

struct ends {
    pthread_mutex_t lock;
    unsigned count, cancelled;
};

static void count_end(void *context, tl_run_id run, enum tl_status status, const char *result) {
    struct ends *ends = context;
    (void)run;
    pthread_mutex_lock(&ends->lock);
    ends->count++;
    ends->cancelled += status == TL_ERR_CANCELLED && strstr(result, "\"cancelled\"") != NULL;
    pthread_mutex_unlock(&ends->lock);
}

/* Closing ends all runs: each is told so once, hanging engines included. */
static void closed_while_running(void **state) {
    (void)state;
    static const char *const slow[] = {"llm.scale=1", "llm.hang=true", "store.hang=true", "embedder.hang=true"};
    for (size_t i = 0; i < sizeof slow / sizeof slow[0]; i++) {
        struct ends ends = {.lock = PTHREAD_MUTEX_INITIALIZER};
        struct tl_runtime *runtime = open_emulated(slow[i], NULL);
        tl_workflow_id workflow = load(runtime, "advanced-rag");
        for (int k = 0; k < 8; k++) {
            struct tl_request request = ask(workflow, question);
            request.context = &ends;
            request.done = count_end;
            submit(runtime, &request);
        }
        tl_runtime_close(runtime);
        assert_int_equal(ends.count, 8);
        assert_int_equal(ends.cancelled, 8);
    }
}

/* A result that nobody fetches goes with the runtime; opened and closed with nothing in between is fine. */
static void closed_with_results_unfetched(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated(NULL);
    struct tl_request request = ask(load(runtime, "naive-rag"), question);
    tl_run_id first = submit(runtime, &request);
    submit(runtime, &request);
    json_decref(finish(runtime, first, TL_OK));
    tl_runtime_close(runtime);
    tl_runtime_close(open_emulated(NULL));
    tl_runtime_close(NULL);
}

struct waiting {
    struct tl_runtime *runtime;
    tl_run_id run;
    enum tl_status status;
};

static void *wait_for_run(void *argument) {
    struct waiting *waiting = argument;
    struct tl_error error;
    waiting->status = tl_runtime_wait(waiting->runtime, waiting->run, NULL, &error);
    return NULL;
}

/* Two threads wait for one run: one gets the result, the other hears that it has been fetched. */
static void two_wait_for_one(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("llm.scale=0.02", NULL);
    struct tl_request request = ask(load(runtime, "naive-rag"), question);
    tl_run_id run = submit(runtime, &request);
    struct waiting waiting[2] = {{runtime, run, 0}, {runtime, run, 0}};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, wait_for_run, &waiting[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_true((waiting[0].status == TL_OK) != (waiting[1].status == TL_OK));
    assert_true(waiting[0].status == TL_ERR_NOT_FOUND || waiting[1].status == TL_ERR_NOT_FOUND);
    tl_runtime_close(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cancelled_while_writing),
        cmocka_unit_test(cancelled_at_once),
        cmocka_unit_test(a_deadline_ends_a_hanging_run),
        cmocka_unit_test(a_configured_timeout_holds),
        cmocka_unit_test(beyond_the_limit_a_run_is_refused),
        cmocka_unit_test(a_failing_primitive_is_named),
        cmocka_unit_test(closed_while_running),
        cmocka_unit_test(closed_with_results_unfetched),
        cmocka_unit_test(two_wait_for_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

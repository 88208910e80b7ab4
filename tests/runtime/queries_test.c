/* queries_test.c: whole queries over emulated engines: answers, the result's content, many at
 * once, wrong requests, caches, engines that cannot be opened, and an idle runtime that sleeps. */
#include "runtime/emulated.h"

#include <pthread.h>
#include <sys/resource.h>
#include <time.h>

#include "runtime/report.h"
#include "runtime/runtime.h"

static const char question[] = "{\"question\": \"Where does the amber river meet the coast?\"}";

/* The shipped workflows answer from a collection and from documents, on every level with the same words. */
static void answers_are_the_same_on_every_level(void **state) {
    (void)state;
    static const char *const names[] = {"naive-rag", "advanced-rag"};
    struct tl_runtime *runtime = open_emulated(NULL);
    for (size_t n = 0; n < 2; n++) {
        tl_workflow_id workflow = load(runtime, names[n]);
        for (int from_documents = 0; from_documents < 2; from_documents++) {
            char *first = NULL;
            for (int level = TL_OPTIMIZE_OFF; level <= TL_OPTIMIZE_COST; level++) {
                const char *paths[] = {getenv("TEOLA_SOURCE_DIR")};
                struct tl_request request = ask(workflow, question);
                struct tl_str docs = TL_STR_INIT;
                tl_str_printf(&docs, "%s/workflows", paths[0]);
                paths[0] = docs.data;
                if (from_documents) {
                    request.collection = NULL;
                    request.documents = paths;
                    request.document_count = 1;
                }
                request.optimize = (enum tl_optimize)level;
                json_t *result = finish(runtime, submit(runtime, &request), TL_OK);
                const json_t *outputs = json_object_get(result, "outputs");
                assert_true(strlen(text_in(outputs, "answer")) > 20);
                assert_true(json_array_size(json_object_get(outputs, "sources")) > 0);
                char *dumped = json_dumps(outputs, JSON_SORT_KEYS);
                if (first)
                    assert_string_equal(first, dumped);
                else
                    first = tl_mem_strdup(dumped);
                free(dumped);
                json_decref(result);
                tl_str_fini(&docs);
            }
            tl_mem_free(first);
        }
    }
    tl_runtime_close(runtime);
}

struct heard {
    struct tl_str text;
    unsigned done;
    tl_run_id run;
    enum tl_status status;
    char *result;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static void hear(void *context, tl_run_id run, const char *text, size_t length) {
    struct heard *heard = context;
    (void)run;
    tl_str_append(&heard->text, text, length);
}

static void hear_end(void *context, tl_run_id run, enum tl_status status, const char *result) {
    struct heard *heard = context;
    pthread_mutex_lock(&heard->lock);
    heard->run = run;
    heard->status = status;
    heard->result = tl_mem_strdup(result);
    heard->done++;
    pthread_cond_signal(&heard->changed);
    pthread_mutex_unlock(&heard->lock);
}

/* Deltas add up to the answer; `done` comes once, after them, and takes the result. */
static void streams_and_calls_back(void **state) {
    (void)state;
    struct heard heard = {.text = TL_STR_INIT, .lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};
    struct tl_runtime *runtime = open_emulated(NULL);
    struct tl_request request = ask(load(runtime, "advanced-rag"), question);
    request.context = &heard;
    request.delta = hear;
    request.done = hear_end;
    request.flags = TL_REQUEST_ITEMS;
    tl_run_id run = submit(runtime, &request);
    pthread_mutex_lock(&heard.lock);
    while (heard.done == 0)
        pthread_cond_wait(&heard.changed, &heard.lock);
    pthread_mutex_unlock(&heard.lock);
    assert_int_equal(heard.run, run);
    assert_int_equal(heard.status, TL_OK);
    json_t *result = json_loads(heard.result, 0, NULL);
    assert_string_equal(text_in(result, "status"), "done");
    assert_string_equal(text_in(result, "workflow"), "advanced-rag");
    assert_string_equal(text_in(result, "text"), heard.text.data);
    assert_string_equal(text_in(json_object_get(result, "outputs"), "answer"), heard.text.data);

    /* Every item has times in order, and counters that add up. */
    json_int_t written = 0;
    size_t index;
    json_t *item;
    assert_true(json_array_size(json_object_get(result, "items")) >= 10);
    json_array_foreach(json_object_get(result, "items"), index, item) {
        assert_true(json_number_value(json_object_get(item, "ready_ms")) <=
                    json_number_value(json_object_get(item, "start_ms")));
        assert_true(json_number_value(json_object_get(item, "start_ms")) <=
                    json_number_value(json_object_get(item, "end_ms")));
        assert_true(json_integer_value(json_object_get(item, "batch_items")) >= 1);
        assert_true(json_string_length(json_object_get(item, "reason")) > 0);
        written += json_integer_value(json_object_get(item, "tokens_out"));
    }
    assert_int_equal(written, json_integer_value(json_object_get(json_object_get(result, "usage"), "tokens_out")));

    /* Timeline: a row of at most 100 columns for each kind; trace: a span for each item. */
    struct tl_str timeline = TL_STR_INIT;
    tl_report_timeline(result, true, &timeline);
    assert_non_null(strstr(timeline.data, "expand/decode"));
    for (const char *line = timeline.data; *line; line += strcspn(line, "\n"), line += *line == '\n')
        assert_true(strcspn(line, "\n") <= 100);
    json_t *trace = tl_report_trace(result);
    size_t spans = 0;
    json_array_foreach(json_object_get(trace, "traceEvents"), index, item) spans +=
        strcmp(text_in(item, "ph"), "X") == 0;
    assert_int_equal(spans, json_array_size(json_object_get(result, "items")));
    json_decref(trace);
    tl_str_fini(&timeline);

    struct tl_error error = {0};
    assert_int_not_equal(tl_runtime_wait(runtime, run, NULL, &error), TL_OK); /* the callback has the result */
    tl_runtime_close(runtime);
    assert_int_equal(heard.done, 1);
    json_decref(result);
    tl_str_fini(&heard.text);
    tl_mem_free(heard.result);
}

/* Eight at once give what each gives alone; two LLM instances share the work. */
static void eight_at_once_are_as_alone(void **state) {
    (void)state;
    enum { RUNS = 8 };
    struct tl_runtime *runtime = open_emulated("llm.instances=2", NULL);
    tl_workflow_id workflow = load(runtime, "advanced-rag");
    char *alone[RUNS];
    tl_run_id runs[RUNS];
    for (int together = 0; together < 2; together++)
        for (int i = 0; i < RUNS; i++) {
            char inputs[64];
            snprintf(inputs, sizeof inputs, "{\"question\": \"amber question %d\"}", i);
            struct tl_request request = ask(workflow, inputs);
            runs[i] = submit(runtime, &request);
            if (together)
                continue;
            json_t *result = finish(runtime, runs[i], TL_OK);
            alone[i] = json_dumps(json_object_get(result, "outputs"), JSON_SORT_KEYS);
            json_decref(result);
        }
    for (int i = RUNS; i-- > 0;) {
        json_t *result = finish(runtime, runs[i], TL_OK);
        char *outputs = json_dumps(json_object_get(result, "outputs"), JSON_SORT_KEYS);
        assert_string_equal(outputs, alone[i]);
        free(outputs);
        free(alone[i]);
        json_decref(result);
    }
    struct tl_runtime_counters counters;
    tl_runtime_get_counters(runtime, &counters);
    assert_in_range(counters.plans_made, 1, 3); /* one for each class of load: alone, two, more */
    assert_int_equal(counters.plans_cached, 2 * RUNS - counters.plans_made);
    tl_runtime_close(runtime);
}

struct caller {
    struct tl_runtime *runtime;
    tl_workflow_id workflow;
    unsigned number, ended;
};

static void *call_often(void *argument) {
    struct caller *caller = argument;
    for (unsigned i = 0; i < 20; i++) {
        struct tl_request request = ask(caller->workflow, question);
        struct tl_error error;
        tl_run_id run;
        char *result = NULL;
        if (tl_runtime_submit(caller->runtime, &request, &run, &error) != TL_OK)
            continue;
        if ((i + caller->number) % 3 == 0)
            tl_runtime_cancel(caller->runtime, run);
        enum tl_status status = tl_runtime_wait(caller->runtime, run, &result, &error);
        caller->ended += result && (status == TL_OK || status == TL_ERR_CANCELLED);
        tl_free(result);
    }
    return NULL;
}

static void many_threads_may_call(void **state) {
    (void)state;
    enum { CALLERS = 4 };
    struct tl_runtime *runtime = open_emulated("store.executor=pool", NULL);
    tl_workflow_id workflow = load(runtime, "naive-rag");
    struct caller callers[CALLERS];
    pthread_t threads[CALLERS];
    for (unsigned i = 0; i < CALLERS; i++) {
        callers[i] = (struct caller){runtime, workflow, i, 0};
        assert_int_equal(pthread_create(&threads[i], NULL, call_often, &callers[i]), 0);
    }
    for (unsigned i = 0; i < CALLERS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(callers[i].ended, 20);
    }
    tl_runtime_close(runtime);
}

/* ---- what is wrong is said before anything runs ---- */

static void expect_refusal(struct tl_runtime *runtime, const struct tl_request *request, enum tl_status expected,
                           const char *words) {
    struct tl_error error = {0};
    tl_run_id run;
    enum tl_status status = tl_runtime_submit(runtime, request, &run, &error);
    if (status != expected || !strstr(error.message, words))
        fail_msg("expected '%s' with \"%s\", got '%s': %s", tl_status_name(expected), words, tl_status_name(status),
                 error.message);
    assert_int_equal(run, 0);
}

static void wrong_requests_are_refused(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated(NULL);
    tl_workflow_id workflow = load(runtime, "naive-rag");
    const char *missing[] = {"/no/such/file"}, *here[] = {"."}, *passes[] = {"-prun"};
    struct tl_request request = ask(77, question);
    expect_refusal(runtime, &request, TL_ERR_NOT_FOUND, "no workflow 77");
    request = ask(workflow, "{\"question\": ");
    expect_refusal(runtime, &request, TL_ERR_USAGE, "not JSON");
    request = ask(workflow, "[1]");
    expect_refusal(runtime, &request, TL_ERR_USAGE, "JSON object");
    request = ask(workflow, "{\"question\": \" \\n\"}");
    expect_refusal(runtime, &request, TL_ERR_USAGE, "'question' is empty");
    request = ask(workflow, "{\"question\": 7}");
    expect_refusal(runtime, &request, TL_ERR_USAGE, "'question' is a number, but must be of type text");
    request = ask(workflow, "{\"qestion\": \"x\"}");
    expect_refusal(runtime, &request, TL_ERR_USAGE, "did you mean 'question'?");
    request = ask(workflow, NULL);
    expect_refusal(runtime, &request, TL_ERR_USAGE, "question");
    request = ask(workflow, question);
    request.collection = NULL;
    expect_refusal(runtime, &request, TL_ERR_USAGE, "documents");
    request.documents = missing;
    request.document_count = 1;
    expect_refusal(runtime, &request, TL_ERR_NOT_FOUND, "/no/such/file");
    request.collection = "things";
    request.documents = here;
    expect_refusal(runtime, &request, TL_ERR_USAGE, "both given");
    request = ask(workflow, question);
    request.passes = passes;
    request.pass_count = 1;
    expect_refusal(runtime, &request, TL_ERR_USAGE, "prun");
    request = ask(workflow, question);
    request.size = sizeof request + 8;
    expect_refusal(runtime, &request, TL_ERR_USAGE, "tl_request.size");

    struct tl_error error = {0};
    tl_workflow_id id;
    assert_int_equal(tl_runtime_load_workflow(runtime, "/no/such.yaml", &id, &error), TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "/no/such.yaml"));
    static const char broken[] = "name: x\nsteps:\n  - id: a\n    module: serch\n";
    assert_int_equal(tl_runtime_load_workflow_text(runtime, broken, strlen(broken), "mine", NULL, &id, &error),
                     TL_ERR_INVALID);
    assert_non_null(strstr(error.message, "mine:4:"));
    assert_non_null(strstr(error.message, "search"));
    assert_int_equal(tl_runtime_wait(runtime, 4711, NULL, &error), TL_ERR_NOT_FOUND);
    tl_runtime_cancel(runtime, 4711);
    tl_runtime_close(runtime);
}

static void a_missing_model_or_engine_is_named(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("llm.type=llama", "llm.model=/no/such/model.gguf", NULL);
    tl_workflow_id workflow = load(runtime, "naive-rag");
    struct tl_request request = ask(workflow, question);
    for (int twice = 0; twice < 2; twice++) {
        struct tl_error error = {0};
        tl_run_id run;
        assert_int_not_equal(tl_runtime_submit(runtime, &request, &run, &error), TL_OK);
        assert_non_null(strstr(error.message, "/no/such/model.gguf"));
        assert_non_null(strstr(error.message, "llm"));
    }
    static const char text[] = "name: odd\ninputs: {question: text}\nengines: {embedder: embeder}\nsteps:\n"
                               "  - id: e\n    module: embed\n    texts: $question\noutputs: {vector: $e.vectors}\n";
    tl_workflow_id odd = 0;
    struct tl_error error = {0};
    if (tl_runtime_load_workflow_text(runtime, text, strlen(text), "odd", NULL, &odd, &error) != TL_OK)
        fail_msg("%s", error.message);
    request = ask(odd, question);
    request.collection = NULL;
    expect_refusal(runtime, &request, TL_ERR_NOT_FOUND, "did you mean 'embedder'?");
    tl_runtime_close(runtime);
}

/* ---- idle ---- */

/* An idle runtime sleeps: no thread wakes up over and over, the loop not at all. */
static void idle_costs_nothing(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated(NULL);
    struct tl_error error = {0};
    assert_int_equal(tl_runtime_prepare(runtime, load(runtime, "advanced-rag"), &error), TL_OK);
    struct tl_request request = ask(load(runtime, "advanced-rag"), question);
    json_decref(finish(runtime, submit(runtime, &request), TL_OK));
    struct tl_runtime_counters before, after;
    struct rusage usage_before, usage_after;
    /* The time that passes is what is looked at here: nothing is waited for. */
    struct timespec moment = {.tv_nsec = 50000000}, span = {.tv_nsec = 500000000};
    nanosleep(&moment, NULL);
    tl_runtime_get_counters(runtime, &before);
    getrusage(RUSAGE_SELF, &usage_before);
    nanosleep(&span, NULL);
    getrusage(RUSAGE_SELF, &usage_after);
    tl_runtime_get_counters(runtime, &after);
    assert_int_equal(before.wakes, after.wakes);
    assert_true(usage_after.ru_nvcsw - usage_before.ru_nvcsw <= 10); /* this thread's own sleep, and a sanitizer's */
    tl_runtime_close(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_the_same_on_every_level),
        cmocka_unit_test(streams_and_calls_back),
        cmocka_unit_test(eight_at_once_are_as_alone),
        cmocka_unit_test(many_threads_may_call),
        cmocka_unit_test(wrong_requests_are_refused),
        cmocka_unit_test(a_missing_model_or_engine_is_named),
        cmocka_unit_test(idle_costs_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

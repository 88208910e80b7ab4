/* prewarm_test.c: what prompts begin with is computed before the first query and after a new one's plan, never in the
 * way of a query, and nobody hears of it. */
#define _XOPEN_SOURCE 700

#include "base/file_test_support.h"
#include "runtime/emulated.h"

#include <sched.h>

#include "runtime/runtime.h"

static const char question[] = "{\"question\": \"Where does the amber river meet the coast?\"}";

static uint64_t warmed(struct tl_runtime *runtime) {
    struct tl_runtime_counters counters;
    tl_runtime_get_counters(runtime, &counters);
    return counters.prefixes_warmed;
}

/* The runtime is idle: what is wanted comes by itself. */
static void wait_until_warmed(struct tl_runtime *runtime, uint64_t count) {
    while (warmed(runtime) < count)
        sched_yield();
}

static void prepare(struct tl_runtime *runtime, tl_workflow_id workflow) {
    struct tl_error error = {0};
    if (tl_runtime_prepare(runtime, workflow, &error) != TL_OK)
        fail_msg("%s", error.message);
}

/* Tokens that the first prefill of the answer found computed, and how many primitives ran. */
static json_int_t reused_by_first(const json_t *result, size_t *items) {
    const json_t *list = json_object_get(result, "items");
    *items = json_array_size(list);
    for (size_t i = 0; i < *items; i++) {
        const json_t *item = json_array_get(list, i);
        if (strstr(text_in(item, "primitive"), "prefill"))
            return json_integer_value(json_object_get(item, "tokens_reused"));
    }
    fail_msg("no prefill");
    return 0;
}

static json_t *query(struct tl_runtime *runtime, tl_workflow_id workflow) {
    struct tl_request request = ask(workflow, question);
    request.flags = TL_REQUEST_ITEMS;
    return finish(runtime, submit(runtime, &request), TL_OK);
}

/* Prepared: the first query already finds the static beginning, of at least 8 tokens, that both prompts of the naive
 * workflow have. */
static void the_first_query_finds_them(void **state) {
    (void)state;
    size_t items[2];
    json_int_t reused[2];
    for (int on = 0; on < 2; on++) {
        struct tl_runtime *runtime =
            open_emulated("llm.prefix_cache=true", on ? "prewarm=true" : "prewarm=false", NULL);
        tl_workflow_id workflow = load(runtime, "naive-rag");
        prepare(runtime, workflow);
        prepare(runtime, workflow);
        if (on)
            wait_until_warmed(runtime, 1);
        json_t *result = query(runtime, workflow);
        assert_int_equal(json_integer_value(json_object_get(result, "run")), 1); /* it is the first */
        reused[on] = reused_by_first(result, &items[on]);
        json_decref(result);
        assert_int_equal(warmed(runtime), on ? 1 : 0);
        tl_runtime_close(runtime);
    }
    assert_int_equal(reused[0], 0);
    assert_true(reused[1] >= 8);
    assert_int_equal(items[0], items[1]);
}

/* Not prepared: the plan of the first query brings them, and they are computed when it has ended. */
static void the_second_query_finds_them(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("llm.prefix_cache=true", NULL);
    tl_workflow_id workflow = load(runtime, "advanced-rag");
    size_t items;
    json_decref(query(runtime, workflow));
    wait_until_warmed(runtime, 2);
    json_t *result = query(runtime, workflow);
    assert_true(reused_by_first(result, &items) >= 8);
    json_decref(result);
    tl_runtime_close(runtime);
}

/* Engines that keep nothing are not bothered, engines that are not open are not opened. */
static void nothing_is_done_in_vain(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("llm.prefix_cache=false", NULL);
    tl_workflow_id workflow = load(runtime, "naive-rag");
    prepare(runtime, workflow);
    json_decref(query(runtime, workflow));
    json_decref(query(runtime, workflow));
    assert_int_equal(warmed(runtime), 0);
    tl_runtime_close(runtime);
}

/* An engine that never ends what it was given: a query gets past, and closing does not wait for ever. */
static void queries_and_closing_do_not_wait(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("llm.prefix_cache=true", "llm.hang=true", NULL);
    tl_workflow_id workflow = load(runtime, "naive-rag");
    for (int i = 0; i < 3; i++) {
        prepare(runtime, workflow);
        struct tl_request request = ask(workflow, question);
        tl_run_id run = submit(runtime, &request);
        tl_runtime_cancel(runtime, run);
        json_decref(finish(runtime, run, TL_ERR_CANCELLED));
    }
    assert_int_equal(warmed(runtime), 0);
    tl_runtime_close(runtime);
}

/* Queries come while beginnings are computed: cancelled and tried again, in the end they are all there: the advanced
 * workflow has two, of which one is the naive workflow's too. */
static void what_is_put_off_is_done_later(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("llm.prefix_cache=true", "llm.scale=0.05", NULL);
    tl_workflow_id workflows[] = {load(runtime, "naive-rag"), load(runtime, "advanced-rag")};
    for (int i = 0; i < 6; i++) {
        prepare(runtime, workflows[i % 2]);
        json_decref(query(runtime, workflows[(i + 1) % 2]));
    }
    wait_until_warmed(runtime, 2);
    json_decref(query(runtime, workflows[0]));
    assert_int_equal(warmed(runtime), 2);
    tl_runtime_close(runtime);
}

/* ---- the real engine ---- */

/* The language model is real; what it is asked about is made up. */
static struct tl_runtime *open_real(const char *prewarm, const char *files) {
    static const char engines[] =
        "engines:\n"
        "  llm: {type: llama, model: smollm2-135m-instruct-q8_0, threads: 1, context_size: 2048}\n"
        EMULATED("embedder", "") EMULATED("reranker", "") EMULATED("store", ", collection_chunks: 3")
        EMULATED("documents", ", executor: pool");
    const char *const settings[] = {prewarm, files};
    const struct tl_runtime_options options = {
        .size = sizeof options, .config_text = engines, .settings = settings, .setting_count = 2};
    setenv("TEOLA_MODELS", getenv("TEOLA_TEST_MODELS"), 1);
    return open_runtime(&options);
}

/* Without it the first query finds nothing and leaves its beginning to the second, which asks another question; with it
 * the first one finds it already. */
static void a_real_model_goes_on_from_them(void **state) {
    (void)state;
    json_int_t cold, second, prepared;
    size_t items;
    struct tl_runtime *runtime = open_real("prewarm=false", "llm.file_bytes=0");
    tl_workflow_id workflow = load(runtime, "naive-rag");
    json_t *result = query(runtime, workflow);
    cold = reused_by_first(result, &items);
    json_decref(result);
    struct tl_request request = ask(workflow, "{\"question\": \"Who built it?\"}");
    request.flags = TL_REQUEST_ITEMS;
    result = finish(runtime, submit(runtime, &request), TL_OK);
    second = reused_by_first(result, &items);
    json_decref(result);
    tl_runtime_close(runtime);

    runtime = open_real("prewarm=true", "llm.file_bytes=0");
    workflow = load(runtime, "naive-rag");
    prepare(runtime, workflow);
    wait_until_warmed(runtime, 1);
    result = query(runtime, workflow);
    prepared = reused_by_first(result, &items);
    json_decref(result);
    tl_runtime_close(runtime);

    assert_int_equal(cold, 0);
    assert_true(prepared > 8); /* "Answer in one short sentence." and "Question:" are more */
    assert_true(second >= prepared);
}

/* Nothing is computed ahead, but what one process had to compute, the next one reads from a file. */
static void the_next_process_reads_them(void **state) {
    (void)state;
    static const char text[] = "name: short\n"
                               "inputs: {question: text}\n"
                               "steps:\n"
                               "  - id: answer\n"
                               "    module: generate\n"
                               "    inputs: {question: $question}\n"
                               "    max_tokens: 4\n"
                               "    prompt:\n"
                               "      system: Answer in one short sentence, and name the place that is meant in it.\n"
                               "      user: \"The question is: {question}\"\n"
                               "outputs: {answer: $answer.text}\n";
    struct tl_error error = {0};
    json_int_t loaded[2], computed[2];
    for (int process = 0; process < 2; process++) {
        struct tl_runtime *runtime = open_real("prewarm=false", "llm.file_bytes=10000000");
        tl_workflow_id workflow;
        if (tl_runtime_load_workflow_text(runtime, text, strlen(text), "short", NULL, &workflow, &error) != TL_OK)
            fail_msg("%s", error.message);
        json_t *result = query(runtime, workflow), *usage = json_object_get(result, "usage");
        loaded[process] = json_integer_value(json_object_get(usage, "tokens_loaded"));
        computed[process] = json_integer_value(json_object_get(usage, "tokens_computed"));
        json_decref(result);
        tl_runtime_close(runtime);
    }
    assert_int_equal(loaded[0], 0);
    assert_true(loaded[1] >= 16);
    assert_int_equal(computed[1], computed[0] - loaded[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_query_finds_them),
        cmocka_unit_test(the_second_query_finds_them),
        cmocka_unit_test(nothing_is_done_in_vain),
        cmocka_unit_test(queries_and_closing_do_not_wait),
        cmocka_unit_test(what_is_put_off_is_done_later),
        cmocka_unit_test(a_real_model_goes_on_from_them),
        cmocka_unit_test(the_next_process_reads_them),
    };
    char cache[] = "/tmp/teola-prewarm-test-XXXXXX";
    if (!mkdtemp(cache))
        return 1;
    setenv("XDG_CACHE_HOME", cache, 1);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    tl_file_test_remove(cache);
    return failed;
}

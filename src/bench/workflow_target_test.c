/* workflow_target_test.c: a load of questions through a workflow on emulated engines that take no time: what is noted of
 * each, and the numbers that follow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/error.h"
#include "bench/workflow_summary.h"

static const char workflow_text[] =
    "name: ask\n"
    "inputs: {question: text}\n"
    "steps:\n"
    "  - {id: answer, module: generate, max_tokens: 8, prompt: \"{question}\", inputs: {question: $question}}\n"
    "outputs: {answer: $answer.text}\n";

static const char *const inputs[] = {"{\"question\": \"ash\"}", "{\"question\": \"bay\"}", "{\"question\": \"cay\"}"};

static struct tl_runtime *open_runtime(const char *settings) {
    struct tl_error error;
    struct tl_runtime *runtime;
    const struct tl_runtime_options options = {.size = sizeof options, .config_text = settings};
    if (tl_runtime_open(&options, &runtime, &error) != TL_OK)
        fail_msg("%s", error.message);
    return runtime;
}

static struct tl_bench_target *open_target(struct tl_runtime *runtime, uint64_t timeout_ms) {
    struct tl_error error;
    struct tl_bench_workflow workflow = {.runtime = runtime, .inputs = inputs, .input_count = 3};
    workflow.request.timeout_ms = timeout_ms;
    if (tl_runtime_load_workflow_text(runtime, workflow_text, strlen(workflow_text), "ask", NULL,
                                      &workflow.request.workflow, &error) != TL_OK)
        fail_msg("%s", error.message);
    struct tl_bench_target *target = tl_bench_workflow_target_open(&workflow);
    if (target->prepare(target, NULL, &error) != TL_OK)
        fail_msg("%s", error.message);
    return target;
}

/* Runs so many questions; the caller frees the drive and the load. */
static void drive_load(struct tl_bench_target *target, uint32_t requests, uint32_t clients, struct tl_bench_load *load,
                       struct tl_bench_drive *drive) {
    struct tl_error error;
    const struct tl_bench_mix mix = {
        .requests = requests, .concurrency = clients, .rate = clients ? 0 : 2000, .prompt = {1, 1}, .output = {1, 1}};
    assert_int_equal(tl_bench_load_make(&mix, 1, 0, load, &error), TL_OK);
    assert_int_equal(tl_bench_drive_run(drive, load, clients, target, NULL, &error), TL_OK);
}

static void notes_what_each_question_took(void **state) {
    (void)state;
    struct tl_bench_load load;
    struct tl_bench_drive drive;
    struct tl_bench_workflow_summary summary;
    struct tl_runtime *runtime = open_runtime("engines: {llm: {type: emulated, scale: 0}}\n");
    struct tl_bench_target *target = open_target(runtime, 0);
    for (uint32_t clients = 0; clients <= 2; clients += 2) {
        drive_load(target, 7, clients, &load, &drive);
        const struct tl_bench_outcome *outcomes = tl_bench_workflow_outcomes(target);
        for (size_t i = 0; i < 7; i++) {
            const struct tl_bench_record *record = &drive.records[i];
            assert_int_equal(outcomes[i].status, TL_OK);
            assert_true(outcomes[i].overhead_ms > 0);
            assert_true(record->first >= record->sent && record->finished >= record->first);
            assert_int_equal(record->usage.written, 8);
            assert_int_equal(record->usage.asked, drive.records[i % 3].usage.asked);
        }
        tl_bench_workflow_summarize(&drive, outcomes, &summary);
        assert_int_equal((int)summary.done, 7);
        assert_int_equal((int)summary.written, 56);
        assert_true(summary.p50 <= summary.p95 && summary.p95 <= summary.p99 && summary.mean > 0);
        json_t *each = tl_bench_workflow_each_json(&drive, outcomes);
        assert_int_equal(json_array_size(each), 7);
        json_decref(each);
        tl_bench_drive_fini(&drive);
        tl_bench_load_fini(&load);
    }
    target->close(target);
    tl_runtime_close(runtime);
}

/* The engine keeps what it is given for good, so one question runs, the others are refused, and that one's time is over. */
static void tells_refused_from_expired(void **state) {
    (void)state;
    struct tl_bench_load load;
    struct tl_bench_drive drive;
    struct tl_bench_workflow_summary summary;
    struct tl_runtime *runtime =
        open_runtime("engines: {llm: {type: emulated, scale: 0, hang: true}}\nlimits: {runs: 1}\nprewarm: false\n");
    struct tl_bench_target *target = open_target(runtime, 50);
    drive_load(target, 4, 4, &load, &drive);
    tl_bench_workflow_summarize(&drive, tl_bench_workflow_outcomes(target), &summary);
    assert_int_equal((int)summary.refused, 3);
    assert_int_equal((int)summary.expired, 1);
    assert_int_equal((int)summary.failed, 0);
    assert_int_equal((int)summary.done, 0);
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
    target->close(target);
    tl_runtime_close(runtime);
}

static void gives_up_what_runs(void **state) {
    (void)state;
    struct tl_error error;
    struct tl_bench_load load;
    struct tl_bench_drive drive;
    const volatile sig_atomic_t stop = 1;
    struct tl_runtime *runtime =
        open_runtime("engines: {llm: {type: emulated, scale: 0, hang: true}}\nprewarm: false\n");
    struct tl_bench_target *target = open_target(runtime, 0);
    const struct tl_bench_mix mix = {.requests = 3, .concurrency = 2, .prompt = {1, 1}, .output = {1, 1}};
    assert_int_equal(tl_bench_load_make(&mix, 1, 0, &load, &error), TL_OK);
    assert_int_equal(tl_bench_drive_run(&drive, &load, 2, target, &stop, &error), TL_ERR_CANCELLED);
    tl_bench_drive_fini(&drive);
    tl_bench_load_fini(&load);
    target->close(target);
    tl_runtime_close(runtime);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(notes_what_each_question_took),
        cmocka_unit_test(tells_refused_from_expired),
        cmocka_unit_test(gives_up_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* cmd_bench_test.c: the command as a user meets it: output, exit statuses, messages. Runs the program on emulated engines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <string.h>

#include "cli/cli_test_support.h"

static struct tl_str output = TL_STR_INIT;

/* Runs `teola bench ARGUMENTS`; what it prints (both streams) is in `output`. Returns its exit status. */
static int run(const char *arguments) {
    return tl_cli_test_command("bench", arguments, &output);
}

static void refuses(const char *arguments, const char *words) {
    assert_int_equal(run(arguments), 2);
    if (!strstr(output.data, words))
        fail_msg("bench %s: \"%s\" says nothing of \"%s\"", arguments, output.data, words);
}

static void wrong_use(void **state) {
    (void)state;
    refuses("", "say what to measure");
    refuses("lm", "did you mean 'llm'?");
    refuses("llm --mix share", "there is no mix 'share'");
    refuses("llm --prompt 5-3", "--prompt is '5-3', expected a number of tokens");
    refuses("llm --requests 0", "--requests is '0', expected a whole number from 1 to");
    refuses("llm --rate -1", "--rate is '-1'");
    refuses("llm --api text", "--api is 'text', expected chat or completions");
    refuses("llm --model x", "for a server: give its --url");
    refuses("llm --url host", "\"host\" is no URL");
    refuses("llm --concurency 3", "did you mean --concurrency?");
    refuses("llm --engine nothing --config tests/cli/emulated.yaml", "has no engine 'nothing'");
    refuses("llm --prompt 4 --config tests/cli/emulated.yaml", "a prompt begins with 4 tokens");
    assert_int_equal(run("llm --url http://127.0.0.1:1"), 1);
    assert_non_null(strstr(output.data, "127.0.0.1:1/v1/chat/completions"));
}

static void a_load(void **state) {
    (void)state;
    assert_int_equal(run("llm --config tests/cli/emulated.yaml --mix shared --requests 6 --repeats 2 --format json -q"),
                     0);
    json_t *report = json_loadb(output.data, output.length, 0, NULL);
    const json_t *median = json_object_get(report, "median");
    assert_int_equal((int)json_number_value(json_object_get(median, "requests_done")), 6);
    assert_int_equal((int)json_number_value(json_object_get(median, "requests_failed")), 0);
    assert_true(json_number_value(json_object_get(median, "prompt_tokens_asked")) > 0);
    assert_int_equal(json_array_size(json_object_get(report, "passes")), 2);
    assert_string_equal(json_string_value(json_object_get(json_object_get(report, "mix"), "name")), "shared");
    assert_null(json_object_get(median, "intruder_ttft_ms_p50"));
    json_decref(report);
    assert_int_equal(run("llm --config tests/cli/emulated.yaml --mix arrival"), 0);
    assert_non_null(strstr(output.data, "8 done, 0 failed"));
    assert_non_null(strstr(output.data, "while one came"));
    assert_int_equal(run("llm --config tests/cli/emulated.yaml --requests 5 --rate 1000 --set llm.fail_every=2"), 1);
    assert_int_equal(run("--help"), 0);
    assert_int_equal(run("llm --help"), 0);
}

static void a_workflow(void **state) {
    (void)state;
    refuses("workflow", "which workflow?");
    refuses("workflow naive-rag --rate 0", "--rate is '0', expected questions a second");
    refuses("workflow naive-rag --rate 1 --concurrency 2", "not both");
    refuses("workflow naive-rag --concurrency 1.5", "expected numbers of clients");
    refuses("workflow naive-rag --duration 3s", "--duration is for questions that come at a --rate");
    refuses("workflow naive-rag --arm quick", "'quick' is neither off, paper or cost");
    refuses("workflow naive-rag --arm=-prun", "is no pass");
    refuses("workflow naive-rag --each", "--each is for --format json");
    refuses("workflow naive-rag --question a --config tests/cli/emulated.yaml", "has nothing to index");
    refuses("workflow naive-ra", "did you mean 'naive-rag'?");
    assert_int_equal(run("workflow naive-rag --config tests/cli/emulated.yaml --question why --question what --docs "
                         "docs/cli.md --rate 200,400 --requests 5 --repeats 2 --arm off,policy=fifo --arm "
                         "cost,-stages,memo_bytes=0 --format json --each -q"),
                     0);
    json_t *report = json_loadb(output.data, output.length, 0, NULL);
    const json_t *points = json_object_get(report, "points"), *last = json_array_get(points, 3);
    assert_int_equal(json_array_size(points), 4);
    assert_string_equal(json_string_value(json_object_get(last, "arm")), "cost,-stages,memo_bytes=0");
    assert_int_equal((int)json_number_value(json_object_get(last, "rate")), 400);
    const json_t *pass = json_array_get(json_object_get(last, "passes"), 1);
    assert_int_equal((int)json_number_value(json_object_get(pass, "queries_done")), 5);
    assert_int_equal((int)json_number_value(json_object_get(pass, "units_remembered")), 0);
    assert_int_equal(json_array_size(json_object_get(pass, "each")), 5);
    json_decref(report);
    assert_int_equal(run("workflow naive-rag --config tests/cli/emulated.yaml --question why --docs docs/cli.md "
                         "--concurrency 2 --requests 4 --warmup 0 --set llm.fail_every=2 -q"),
                     1);
    assert_non_null(strstr(output.data, "failed, 0 refused, 0 expired"));
}

static int tear_down(void **state) {
    (void)state;
    tl_str_fini(&output);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_use),
        cmocka_unit_test(a_load),
        cmocka_unit_test(a_workflow),
    };
    return cmocka_run_group_tests(tests, NULL, tear_down);
}

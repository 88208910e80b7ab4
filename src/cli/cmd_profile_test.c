/* cmd_profile_test.c: what `teola profile` chooses for settings that are auto, as a user meets it: the numbers, the file,
 * what `teola doctor` says of it, and that it is not used any more when what it was measured for has changed. Runs the
 * program with a real model; which layout is faster here is nothing that a test may expect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/file.h"
#include "cli/cli_test_support.h"

static struct tl_str output = TL_STR_INIT;
static char folder[] = "/tmp/teola-profile-XXXXXX";

/* Runs `teola COMMAND --config <ours> ARGUMENTS...`; what it prints is in `output`: of doctor to both
 * streams. Returns its exit status. */
static int run(const char *command, const char *const *arguments) {
    char config[64];
    const char *words[16] = {command, "--config", config};
    snprintf(config, sizeof config, "%s/teola.yaml", folder);
    for (size_t i = 0; arguments[i]; i++)
        words[3 + i] = arguments[i];
    bool doctor = strcmp(command, "doctor") == 0;
    return tl_cli_test_run(words, doctor ? TL_CLI_TEST_BOTH_STREAMS : TL_CLI_TEST_OUTPUT, &output);
}

static void write_file(const char *name, const char *text) {
    char path[64];
    struct tl_error error;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    if (tl_file_write_atomic(path, text, strlen(text), &error) != TL_OK)
        fail_msg("%s", error.message);
}

static void configure(unsigned parallel) {
    char text[1024];
    snprintf(text, sizeof text,
             "profile: %s/profile.json\n"
             "engines:\n"
             "  llm: {type: llama, model: %s/smollm2-135m-instruct-q8_0.gguf, context_size: 512, parallel: %u,\n"
             "        chunk: 64, threads: 1}\n"
             "  embedder: {type: emulated}\n"
             "  reranker: {type: emulated}\n"
             "  store: {type: emulated}\n",
             folder, getenv("TEOLA_TEST_MODELS"), parallel);
    write_file("teola.yaml", text);
}

static void expect_doctor(const char *words) {
    static const char *const nothing[] = {NULL};
    run("doctor", nothing);
    if (!strstr(output.data, words))
        fail_msg("\"%s\" says nothing of \"%s\"", output.data, words);
}

/* The numbers are printed, and are in the file. Returns what was written; owned. */
static json_t *measure(void) {
    static const char *const arguments[] = {"--engine", "llm", "--budget", "1s", "-q", NULL};
    static const char *const words[] = {"llm            kv         ", "measured: a request takes ", "  share_ms ",
                                        "  prompt_ms ", "  write_ms ", "  joint_ms ", "  request_ms ",
                                        "llm            lookup     ", "  call_ms ", "  token_ms "};
    char path[64];
    assert_int_equal(run("profile", arguments), 0);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (!strstr(output.data, words[i]))
            fail_msg("\"%s\" says nothing of \"%s\"", output.data, words[i]);
    assert_true(strstr(output.data, "    * stream") || strstr(output.data, "    * unified"));
    snprintf(path, sizeof path, "%s/profile.json", folder);
    json_t *profile = json_load_file(path, 0, NULL);
    assert_non_null(profile);
    return profile;
}

static void the_layout_of_kv(void **state) {
    (void)state;
    static const char unmeasured[] = "stream (the default: not measured here, teola profile does)";
    configure(2);
    expect_doctor(unmeasured);
    json_t *profile = measure();
    const json_t *llm = json_object_get(json_object_get(profile, "engines"), "llm");
    const json_t *kv = json_object_get(json_object_get(llm, "choices"), "kv");
    const char *used = json_string_value(json_object_get(kv, "used"));
    assert_true(used && (strcmp(used, "stream") == 0 || strcmp(used, "unified") == 0));
    assert_int_equal(json_array_size(json_object_get(kv, "measured")), 2);
    struct tl_str words = TL_STR_INIT;
    tl_str_printf(&words, "%s (measured: a request takes ", used);
    expect_doctor(words.data);

    /* The other one: what the file says is done. */
    bool unified = strcmp(used, "unified") == 0;
    json_object_set_new((json_t *)kv, "used", json_string(unified ? "stream" : "unified"));
    char *text = json_dumps(profile, 0);
    write_file("profile.json", text);
    tl_str_clear(&words);
    tl_str_printf(&words, "%s (measured: a request takes ", unified ? "stream" : "unified");
    expect_doctor(words.data);

    /* An engine that the runtime opens is opened so. */
    static const char *const load[] = {"--load", NULL};
    struct tl_str logged = TL_STR_INIT;
    tl_str_printf(&logged, "engine llm: kv %s", words.data);
    setenv("TEOLA_LOG", "info", 1);
    run("doctor", load);
    unsetenv("TEOLA_LOG");
    assert_non_null(strstr(output.data, logged.data));
    tl_str_fini(&logged);

    /* Of another number of sequences, or another model, it says nothing. */
    configure(3);
    expect_doctor(unmeasured);
    configure(2);
    expect_doctor(words.data);
    json_object_set_new((json_t *)llm, "model_digest", json_string("of another model"));
    free(text);
    text = json_dumps(profile, 0);
    write_file("profile.json", text);
    expect_doctor(unmeasured);
    expect_doctor("model_digest was \"of another model\" and is ");
    tl_str_fini(&words);
    free(text);
    json_decref(profile);
}

static int set_up(void **state) {
    (void)state;
    unsetenv("TEOLA_PROFILE"); /* tests have none, else */
    return !getenv("TEOLA_TEST_MODELS") || !mkdtemp(folder);
}

static int tear_down(void **state) {
    (void)state;
    static const char *const files[] = {"teola.yaml", "profile.json", "profile.svg"};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char path[64];
        snprintf(path, sizeof path, "%s/%s", folder, files[i]);
        unlink(path);
    }
    tl_str_fini(&output);
    return rmdir(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_layout_of_kv),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

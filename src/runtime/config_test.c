/* config_test.c: sources and their precedence, merging, and what is said about what is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "opt/opt.h"
#include "runtime/config.h"

static struct tl_config *load_with(const char *text, const char *const *settings, size_t count, bool environment) {
    struct tl_diagnostics findings;
    struct tl_str printed = TL_STR_INIT;
    tl_diagnostics_init(&findings, "");
    const struct tl_config_options options = {
        .text = text, .settings = settings, .setting_count = count, .no_environment = !environment};
    struct tl_config *config = tl_config_load(&options, &findings);
    tl_diagnostics_print(&findings, &printed);
    if (!config)
        fail_msg("%s", printed.data);
    assert_int_equal(findings.count, 0);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&printed);
    return config;
}

static struct tl_config *load(const char *text) {
    return load_with(text, NULL, 0, false);
}

static const char *setting(const struct tl_config *config, const char *engine, const char *name) {
    const struct tl_config_engine *found = tl_config_find_engine(config, engine);
    assert_non_null(found);
    const char *text = json_string_value(json_object_get(found->settings, name));
    return text ? text : "";
}

/* Exactly these findings, as printed. */
static void expect(const char *text, const char *const *settings, size_t count, const char *findings_text) {
    struct tl_diagnostics findings;
    struct tl_str printed = TL_STR_INIT;
    tl_diagnostics_init(&findings, "");
    const struct tl_config_options options = {
        .text = text, .settings = settings, .setting_count = count, .no_environment = true};
    struct tl_config *config = tl_config_load(&options, &findings);
    assert_null(config);
    tl_diagnostics_print(&findings, &printed);
    assert_string_equal(printed.data, findings_text);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&printed);
}

static void an_empty_one_is_the_default(void **state) {
    (void)state;
    static const char *const texts[] = {"", "# nothing\n", "engines: {}\n"};
    for (size_t i = 0; i < 3; i++) {
        struct tl_config *config = load(texts[i]);
        assert_int_equal(tl_config_engine_count(config), 5);
        assert_string_equal(setting(config, "llm", "model"), "smollm2-135m-instruct-q8_0");
        assert_string_equal(setting(config, "embedder", "model"), "all-minilm-l6-v2-f16");
        assert_string_equal(setting(config, "reranker", "model"), "all-minilm-l6-v2-f16");
        assert_string_equal(setting(config, "documents", "tokenizer"), "all-minilm-l6-v2-f16");
        assert_string_equal(tl_config_find_engine(config, "llm")->device, "cpu");
        assert_int_equal(tl_config_optimize(config), TL_OPTIMIZE_COST);
        assert_string_equal(tl_config_policy(config), "critical_path");
        assert_int_equal(tl_config_timeout_ms(config), 0);
        assert_int_equal(tl_config_hang_after_ms(config), 60000);
        assert_true(strlen(tl_config_store_path(config)) > 0);
        tl_config_destroy(config);
    }
}

/* One line changes one setting; what follows from it follows. */
static void a_file_is_laid_over_the_defaults(void **state) {
    (void)state;
    struct tl_config *config = load("engines:\n"
                                    "  llm: {model: big}\n"
                                    "  embedder: {model: other}\n"
                                    "  judge: {type: llama, model: /m/judge.gguf, device: gpu0, instances: 2}\n"
                                    "devices: [cpu, gpu0]\n"
                                    "models: {big: /models/big.gguf}\n"
                                    "store: /data/s.db\n"
                                    "timeout: 1.5\n"
                                    "hang_after: 5m\n"
                                    "optimize: off\n");
    assert_int_equal(tl_config_engine_count(config), 6);
    assert_string_equal(tl_config_find_engine(config, "llm")->type, "llama");
    assert_string_equal(tl_config_model(config, setting(config, "llm", "model")), "/models/big.gguf");
    assert_string_equal(tl_config_model(config, "elsewhere"), "elsewhere");
    assert_string_equal(setting(config, "reranker", "model"), "other");
    assert_string_equal(setting(config, "documents", "tokenizer"), "other");
    assert_string_equal(tl_config_store_path(config), "/data/s.db");
    assert_string_equal(tl_config_find_engine(config, "judge")->device, "gpu0");
    assert_int_equal(tl_config_find_engine(config, "judge")->instances, 2);
    assert_int_equal(tl_config_timeout_ms(config), 1500);
    assert_int_equal(tl_config_hang_after_ms(config), 300000);
    assert_int_equal(tl_config_optimize(config), TL_OPTIMIZE_OFF);
    struct tl_str where = TL_STR_INIT;
    tl_config_where(config, "judge", "model", &where);
    assert_string_equal(where.data, "configuration:4:31: ");
    tl_str_fini(&where);
    tl_config_destroy(config);
}

/* Another type has other settings: those made for the former one do not stay. */
static void another_type_drops_the_former_settings(void **state) {
    (void)state;
    struct tl_config *config = load("engines: {llm: {device: slow, type: emulated, scale: 0}}\n");
    assert_null(json_object_get(tl_config_find_engine(config, "llm")->settings, "model"));
    assert_string_equal(tl_config_find_engine(config, "llm")->device, "slow");
    tl_config_destroy(config);
}

static void instances_may_have_devices_of_their_own(void **state) {
    (void)state;
    struct tl_config *config = load("devices: [cpu, a, b]\nengines:\n"
                                    "  llm: {type: emulated, device: [a, b]}\n"
                                    "  more: {type: emulated, device: [b], instances: 3}\n");
    const struct tl_config_engine *llm = tl_config_find_engine(config, "llm"),
                                  *more = tl_config_find_engine(config, "more");
    assert_int_equal(llm->instances, 2);
    assert_int_equal(llm->device_count, 2);
    assert_string_equal(llm->device, "a");
    assert_string_equal(llm->devices[1], "b");
    assert_int_equal(more->instances, 3);
    assert_int_equal(more->device_count, 1);
    tl_config_destroy(config);
    expect("devices: [a, b]\nengines: {llm: {type: emulated, device: [a, c]}}\n", NULL, 0,
           "configuration:2:41: error: engine 'llm': there is no device 'c'; did you mean 'a'?\n");
}

static int64_t integer_of(const struct tl_config_engine *engine, uint32_t instance, const char *key) {
    json_t *settings = tl_config_instance_written(engine, instance);
    int64_t value = json_integer_value(json_object_get(settings, key));
    json_decref(settings);
    return value;
}

static void instances_may_have_settings_of_their_own(void **state) {
    (void)state;
    struct tl_config *config =
        load("devices: [cpu, gpu0]\nengines:\n"
             "  llm: {model: x, threads: 3, instances: [{device: cpu, gpu_layers: 0}, {device: gpu0, threads: 1}]}\n"
             "  more: {type: emulated, device: gpu0, instances: [{scale: 2}, {}]}\n");
    const struct tl_config_engine *llm = tl_config_find_engine(config, "llm"),
                                  *more = tl_config_find_engine(config, "more");
    assert_int_equal(llm->instances, 2);
    assert_string_equal(llm->devices[0], "cpu");
    assert_string_equal(llm->devices[1], "gpu0");
    assert_int_equal(integer_of(llm, 0, "threads"), 3);
    assert_int_equal(integer_of(llm, 1, "threads"), 1);
    assert_null(json_object_get(llm->own[1], "gpu_layers"));
    assert_null(json_object_get(llm->own[0], "device"));
    assert_string_equal(setting(config, "llm", "model"), "x");
    assert_string_equal(more->devices[1], "gpu0");
    assert_int_equal(integer_of(more, 0, "scale"), 2);
    struct tl_str name = TL_STR_INIT;
    tl_config_instance_name(more, 1, &name);
    assert_string_equal(name.data, "more#2");
    tl_str_fini(&name);
    tl_config_destroy(config);
    expect("devices: [cpu, gpu0]\nengines:\n  llm:\n    instances:\n"
           "      - {device: gpu1, threads: 1}\n"
           "      - {model: other}\n"
           "      - {thread: 1}\n"
           "      - 3\n"
           "      - {instances: 2, gpu_layers: many}\n",
           NULL, 0,
           "configuration:5:18: error: engine 'llm': there is no device 'gpu1'; did you mean 'gpu0'?\n"
           "configuration:6:17: error: engine 'llm': 'model' is the same for all instances, because results must not "
           "depend on where they are computed; set it for the engine, or name another engine\n"
           "configuration:7:18: error: engines.llm: engine type 'llama' has no setting 'thread'; did you mean "
           "'threads'?\n"
           "configuration:8:9: error: engine 'llm': an instance must be a mapping such as {device: gpu0}\n"
           "configuration:9:21: error: engine 'llm': an instance has no 'instances' of its own\n");
    expect("engines: {llm: {instances: []}}\n", NULL, 0,
           "configuration:1:28: error: engine 'llm': 'instances' must be an integer from 1 to 64, or a list with the "
           "settings of each\n");
}

static void a_word_is_not_a_model(void **state) {
    (void)state;
    struct tl_config *config = load("engines: {documents: {tokenizer: approximate}}\n");
    json_t *settings = NULL;
    struct tl_error error = {0};
    assert_int_equal(
        tl_config_engine_settings(config, tl_config_find_engine(config, "documents"), &settings, &error), TL_OK);
    assert_string_equal(json_string_value(json_object_get(settings, "tokenizer")), "approximate");
    json_decref(settings);
    tl_config_destroy(config);
}

static void flags_win_over_environment_over_file(void **state) {
    (void)state;
    static const char text[] = "engines: {llm: {model: file}, llm_judge: {type: llama, model: file}}\n"
                               "timeout: 1s\nstore: /file\n";
    static const char *const flags[] = {"llm.model=flag", "timeout=3s"};
    setenv("TEOLA_LLM_MODEL", "environment", 1);
    setenv("TEOLA_LLM_JUDGE_MODEL", "judge", 1);
    setenv("TEOLA_TIMEOUT", "2s", 1);
    setenv("TEOLA_STORE", "/environment", 1);
    setenv("TEOLA_OPTIMIZE", "paper", 1);
    struct tl_config *config = load_with(text, NULL, 0, true);
    assert_string_equal(setting(config, "llm", "model"), "environment");
    assert_string_equal(setting(config, "llm_judge", "model"), "judge");
    assert_int_equal(tl_config_timeout_ms(config), 2000);
    assert_string_equal(tl_config_store_path(config), "/environment");
    assert_int_equal(tl_config_optimize(config), TL_OPTIMIZE_PAPER);
    tl_config_destroy(config);
    config = load_with(text, flags, 2, true);
    assert_string_equal(setting(config, "llm", "model"), "flag");
    assert_int_equal(tl_config_timeout_ms(config), 3000);
    tl_config_destroy(config);
    unsetenv("TEOLA_LLM_MODEL");
    unsetenv("TEOLA_LLM_JUDGE_MODEL");
    unsetenv("TEOLA_TIMEOUT");
    unsetenv("TEOLA_STORE");
    unsetenv("TEOLA_OPTIMIZE");
}

static void variables_are_replaced(void **state) {
    (void)state;
    setenv("TL_TEST_NAME", "from-environment", 1);
    unsetenv("TL_TEST_ABSENT");
    struct tl_config *config = load("engines: {llm: {model: '${TL_TEST_NAME}-x'}, "
                                    "embedder: {model: '${TL_TEST_ABSENT:-y}$$z'}}\n");
    assert_string_equal(setting(config, "llm", "model"), "from-environment-x");
    assert_string_equal(setting(config, "embedder", "model"), "y$z");
    tl_config_destroy(config);
    expect("engines:\n  llm:\n    model: ${TL_TEST_ABSENT}\n", NULL, 0,
           "configuration:3:12: error: the environment variable TL_TEST_ABSENT is not set; set it, or write "
           "${TL_TEST_ABSENT:-otherwise}\n");
}

/* All at once, each with its place and what was expected. */
static void what_is_wrong_is_said(void **state) {
    (void)state;
    expect("engins: {}\nstore: x\n", NULL, 0,
           "configuration:1:1: error: unknown setting 'engins'; did you mean 'engines'?\n");
    expect("engines:\n"
           "  llm: {modle: x, instances: 0}\n"
           "  embedder: {type: embd}\n"
           "  extra: {model: x}\n"
           "devices: [cpu]\n"
           "optimize: fast\n"
           "policy: lifo\n"
           "timeout: soon\n",
           NULL, 0,
           "configuration:2:16: error: engines.llm: engine type 'llama' has no setting 'modle'; did you mean 'model'?\n"
           "configuration:2:30: error: engine 'llm': 'instances' must be an integer from 1 to 64, or a list with the "
           "settings of each\n"
           "configuration:3:20: error: engine 'embedder': unknown type 'embd'; did you mean 'embed'?\n"
           "configuration:4:10: error: engine 'extra' has no type; expected 'type: ' one of documents, embed, "
           "emulated, llama, "
           "rerank, sqlite\n"
           "configuration:6:11: error: 'optimize' must be off, paper or cost, not 'fast'\n"
           "configuration:7:9: error: there is no policy 'lifo'; there are critical_path, fifo, topology, throughput, "
           "per_invocation\n"
           "configuration:8:10: error: 'timeout' must be a time such as 500ms, 30s or 2m\n");
    expect("limits: {runs: many, work: soon, tenant_run: 3}\nretries: -1\nhang_after: later\n", NULL, 0,
           "configuration:1:16: error: limits: 'runs' must be a whole number of runs; 0: no limit\n"
           "configuration:1:28: error: limits: 'work' must be a time such as 30s or 2m; 0: no limit\n"
           "configuration:1:46: error: limits: unknown limit 'tenant_run'; did you mean 'tenant_runs'?\n"
           "configuration:2:10: error: 'retries' must be a whole number from 0 to 10\n"
           "configuration:3:13: error: 'hang_after' must be a time such as 60s or 5m; none or 0: never\n");
    expect("limits: 3\n", NULL, 0,
           "configuration:1:9: error: 'limits' must be a mapping such as {runs: 100, tenant_runs: 20}\n");
    expect("engines: [llm]\n", NULL, 0,
           "configuration:1:10: error: 'engines' must be a mapping from names to settings\n");
    expect("engines: {llm: x}\n", NULL, 0,
           "configuration:1:16: error: engine 'llm' must be a mapping such as {type: llama, model: NAME}\n");
    expect("devices: [cpu, gpu0]\nengines: {llm: {device: gpu1}}\n", NULL, 0,
           "configuration:2:25: error: engine 'llm': there is no device 'gpu1'; did you mean 'gpu0'?\n");
    expect("store: [\n", NULL, 0,
           "configuration:2:1: error: this is not YAML: did not find expected node content (while parsing a flow node "
           "that begins in line 2)\n");
    expect("store: a\nstore: b\n", NULL, 0,
           "configuration:2:1: error: the key 'store' is here a second time; the first is in line 1\n");
    expect("- llm\n", NULL, 0,
           "configuration:1:1: error: expected a mapping such as 'engines: {llm: {model: NAME}}'\n");
    expect("models:\n  'a/b': [x]\nengines: {'c/d': {type: emulated, device: [3]}}\n", NULL, 0,
           "configuration:2:10: error: model 'a/b' must be a path or the name of a model\n"
           "configuration:3:43: error: engine 'c/d': 'device' must be the name of a device, or a list of names\n");
    static const char *const flags[] = {"nonsense", "tmeout=4"};
    expect("", flags, 2,
           "configuration: error: 'nonsense' is no setting; expected ENGINE.SETTING=VALUE, such as llm.model=NAME, or "
           "timeout=30s\n"
           "configuration: error: 'tmeout=4' cannot be set here; expected ENGINE.SETTING=VALUE, or timeout\n");
}

/* Aliases, with which a small file could stand for a huge one, are no part of it, nor is nesting without end. */
static void bombs_are_refused(void **state) {
    (void)state;
    expect("models:\n  a: &a [x, x]\n  b: [*a, *a]\n", NULL, 0,
           "configuration:3:7: error: YAML aliases ('*name') are not supported here: write the value out\n");
    struct tl_str bomb = TL_STR_INIT;
    for (int i = 0; i < 5000; i++)
        tl_str_puts(&bomb, "[");
    expect(bomb.data, NULL, 0, "configuration:1:65: error: lists and mappings are nested more than 64 deep\n");
    tl_str_fini(&bomb);
}

static void expect_passes(const struct tl_config *config, const char *expected) {
    size_t count;
    const char *const *passes = tl_config_passes(config, &count);
    struct tl_str all = TL_STR_INIT;
    for (size_t i = 0; i < count; i++)
        tl_str_printf(&all, "%s ", passes[i]);
    assert_string_equal(all.data, expected);
    tl_str_fini(&all);
}

static void memory_is_bounded(void **state) {
    (void)state;
    struct tl_config *config = load("");
    assert_int_equal(tl_config_memo_bytes(config), 64 << 20);
    tl_config_destroy(config);
    config = load("memo_bytes: 0\n");
    assert_int_equal(tl_config_memo_bytes(config), 0);
    tl_config_destroy(config);
    config = load_with("memo_bytes: 0\n", (const char *const[]){"memo_bytes=1000"}, 1, true);
    assert_int_equal(tl_config_memo_bytes(config), 1000);
    tl_config_destroy(config);
    expect(
        "memo_bytes: much\n", NULL, 0,
        "configuration:1:13: error: 'memo_bytes' must be a whole number of bytes, such as 67108864, or 0 to remember "
        "nothing\n");
}

static void passes_and_prewarming_are_switched(void **state) {
    (void)state;
    struct tl_config *config = load("");
    expect_passes(config, "");
    assert_true(tl_config_prewarm(config));
    tl_config_destroy(config);
    config = load("passes: [-split_prefill, '+share']\nprewarm: false\n");
    expect_passes(config, "-split_prefill +share ");
    assert_false(tl_config_prewarm(config));
    tl_config_destroy(config);

    setenv("TEOLA_PASSES", "-all,+prune", 1);
    setenv("TEOLA_PREWARM", "false", 1);
    config = load_with("passes: [-share]\n", NULL, 0, true);
    expect_passes(config, "-all +prune ");
    assert_false(tl_config_prewarm(config));
    tl_config_destroy(config);
    config = load_with("", (const char *const[]){"passes=-stages", "prewarm=true", "hang_after=none"}, 3, true);
    assert_int_equal(tl_config_hang_after_ms(config), 0);
    expect_passes(config, "-stages ");
    assert_true(tl_config_prewarm(config));
    tl_config_destroy(config);
    unsetenv("TEOLA_PASSES");
    unsetenv("TEOLA_PREWARM");

    struct tl_str refused = TL_STR_INIT;
    tl_str_puts(&refused,
                "configuration:1:9: error: 'passes': \"split\" is no pass: write \"-name\" or \"+name\", where "
                "the name is all");
    for (size_t i = 0; i < tl_opt_pass_count(); i++)
        tl_str_printf(&refused, ", %s", tl_opt_pass_name(i));
    tl_str_putc(&refused, '\n');
    expect("passes: [split]\n", NULL, 0, refused.data);
    tl_str_fini(&refused);
    expect("passes: [[-share]]\nprewarm: soon\n", NULL, 0,
           "configuration:1:9: error: 'passes' must be a list such as [-split_prefill]\n"
           "configuration:2:10: error: 'prewarm' must be true or false\n");
}

static void durations(void **state) {
    (void)state;
    static const struct {
        const char *text;
        bool good;
        uint64_t ms;
    } cases[] = {{"500ms", true, 500},   {"30s", true, 30000}, {"2m", true, 120000}, {"1h", true, 3600000},
                 {"1.5", true, 1500},    {"0", true, 0},       {"", false, 0},       {"s", false, 0},
                 {"-1s", false, 0},      {"5 s", false, 0},    {"1e99h", false, 0},  {"nan", false, 0},
                 {"10parsec", false, 0}, {".", false, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint64_t ms = 0;
        assert_int_equal(tl_duration_parse(cases[i].text, &ms), cases[i].good);
        if (cases[i].good)
            assert_int_equal(ms, cases[i].ms);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_one_is_the_default),
        cmocka_unit_test(a_file_is_laid_over_the_defaults),
        cmocka_unit_test(another_type_drops_the_former_settings),
        cmocka_unit_test(instances_may_have_devices_of_their_own),
        cmocka_unit_test(instances_may_have_settings_of_their_own),
        cmocka_unit_test(a_word_is_not_a_model),
        cmocka_unit_test(flags_win_over_environment_over_file),
        cmocka_unit_test(variables_are_replaced),
        cmocka_unit_test(what_is_wrong_is_said),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(memory_is_bounded),
        cmocka_unit_test(passes_and_prewarming_are_switched),
        cmocka_unit_test(durations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* costs_test.c: what a configuration makes of a profile: what holds is used, what is stale or malformed is said, and
 * emulated engines go by their settings. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "runtime/costs.h"

static const char configuration[] = "engines:\n"
                                    "  embedder: {type: emulated, embed_ms: 7, embed_token_ms: 1}\n"
                                    "  reranker: {type: emulated}\n"
                                    "  llm: {type: emulated}\n"
                                    "  documents: {type: documents, tokenizer: approximate}\n"
                                    "  store: {type: sqlite, path: /nowhere/store.db}\n";

static char folder[] = "/tmp/teola-costs-XXXXXX", path[64];

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/profile.json", folder);
    return 0;
}

static int remove_folder(void **state) {
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void write_profile(const char *format, uint32_t threads) {
    struct tl_str text = TL_STR_INIT;
    struct tl_error error;
    tl_str_printf(&text,
                  "{\"version\": 1, \"engines\": {\"store\": {\"type\": \"%s\", \"device\": \"cpu\", "
                  "\"model_digest\": \"\", \"threads\": %u, \"written\": \"2026-01-02T03:04:05Z\", \"settings\": {}, "
                  "\"kinds\": {\"search\": {\"fit\": {\"base\": 2, \"unit\": 3, \"token\": 0}, \"limit\": 0, "
                  "\"samples\": 45, \"median_error\": 0.01}}}}}",
                  format, threads);
    if (tl_file_write_atomic(path, text.data, text.length, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_str_fini(&text);
}

static struct tl_cost *costs(struct tl_str *notices) {
    struct tl_diagnostics findings;
    tl_diagnostics_init(&findings, "");
    const struct tl_config_options options = {.text = configuration, .no_environment = true};
    struct tl_config *config = tl_config_load(&options, &findings);
    if (!config)
        fail_msg("%s", findings.items[0].message);
    struct tl_cost *cost = tl_runtime_costs(config, path, notices);
    tl_config_destroy(config);
    tl_diagnostics_fini(&findings);
    return cost;
}

static void expect(bool measured, double search_ms, const char *notice) {
    struct tl_str notices = TL_STR_INIT;
    struct tl_cost *cost = costs(&notices);
    struct tl_cost_work search = {TL_OP_SEARCH, 4, 0, 0, 0}, embed = {TL_OP_EMBED, 1, 10, 0, 0};
    assert_int_equal(tl_cost_is_measured(cost, "store"), measured);
    assert_true(fabs(tl_cost_item(cost, "store", &search) - search_ms) < 1e-9);
    assert_true(fabs(tl_cost_item(cost, "embedder", &embed) - 17) < 1e-9);
    assert_true(tl_cost_is_measured(cost, "embedder"));
    if (*notice ? !strstr(notices.data, notice) : notices.length > 0)
        fail_msg("\"%s\", expected \"%s\"", notices.data, notice);
    tl_str_fini(&notices);
    tl_cost_unref(cost);
}

static void what_holds_is_used(void **state) {
    (void)state;
    struct tl_cost *defaults = tl_cost_create();
    struct tl_cost_work search = {TL_OP_SEARCH, 4, 0, 0, 0};
    double otherwise = tl_cost_item(defaults, "store", &search);
    uint32_t threads = tl_cost_threads(NULL);
    tl_cost_unref(defaults);
    unlink(path);
    expect(false, otherwise, "");
    write_profile("sqlite", threads);
    expect(true, 14, "");
    write_profile("postgres", threads);
    expect(false, otherwise, "what the profile says of engine 'store' is not used: type was \"postgres\" and is "
                             "\"sqlite\"; measure again with 'teola profile --engine store'\n");
    write_profile("sqlite", threads + 1);
    expect(false, otherwise, "threads were");
    write_profile("sqlite\", \"kinds\": {}, \"type\": \"x", threads);
    expect(false, otherwise, "the profile is not used: ");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_holds_is_used)};
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

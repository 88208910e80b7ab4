/* simulated_test.c: what a query asks of engines is the same in real time and in simulation: the same plan, passages of the
 * same size. Told by counts; how long it takes is for bench/evaluation/reality.py. */
#include "runtime/emulated.h"

#include <unistd.h>

#include "scenario/result.h"
#include "scenario/scenario.h"

#define ENGINES                                                                           \
    "engines:\n"                                                                          \
    "  embedder: {type: emulated, device: gpu0, serves: [embed], scale: 0.001}\n"          \
    "  reranker: {type: emulated, device: gpu1, serves: [rerank], scale: 0.001}\n"         \
    "  store: {type: emulated, device: store, serves: [store], scale: 0.001}\n"            \
    "  llm: {type: emulated, device: gpu2, serves: [llm], scale: 0.001}\n"                 \
    "  documents: {type: emulated, device: documents, serves: [documents], scale: 0.001}\n" \
    "memo_bytes: 0\n"                                                                     \
    "profile: none\n"

/* 20 tokens, as the scenario's questions have. */
static const char question[] =
    "{\"question\": \"ash bay cay den elm fen gap hut ice jet key log map net oak pea ash bay cay den?\"}";

/* What one engine was asked. */
struct asked {
    uint64_t items, tokens;
};

static struct asked asked_really(const json_t *result, const char *engine) {
    struct asked asked = {0};
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(result, "items"), index, item) {
        if (strcmp(text_in(item, "engine"), engine) != 0)
            continue;
        asked.items++;
        asked.tokens += (uint64_t)json_integer_value(json_object_get(item, "tokens_in"));
    }
    return asked;
}

static json_t *really(const char *workflow, const char *level, const char *file) {
    struct tl_runtime_options options = {.size = sizeof options, .config_text = ENGINES "prewarm: false\n"};
    const char *documents[] = {file};
    struct tl_runtime *runtime = open_runtime(&options);
    struct tl_request request = ask(load(runtime, workflow), question);
    assert_true(tl_optimize_parse(level, &request.optimize));
    request.flags = TL_REQUEST_ITEMS;
    if (file) {
        request.collection = NULL;
        request.documents = documents;
        request.document_count = 1;
    }
    json_t *result = finish(runtime, submit(runtime, &request), TL_OK);
    tl_runtime_close(runtime);
    return result;
}

static struct tl_scenario *scenario_of(const char *workflow, const char *level, uint32_t tokens) {
    struct tl_str text = TL_STR_INIT;
    struct tl_diagnostics findings;
    tl_str_printf(&text, ENGINES "optimize: %s\nruns: 1\nload:\n  - workflow: %s/workflows/%s.yaml\n    rate: 1\n",
                  level, getenv("TEOLA_SOURCE_DIR"), workflow);
    if (tokens > 0)
        tl_str_printf(&text, "    documents: {count: 1, tokens: %u}\n", tokens);
    else
        tl_str_puts(&text, "    collection: things\n");
    tl_diagnostics_init(&findings, "");
    struct tl_scenario *scenario =
        tl_scenario_read(&(struct tl_scenario_options){.path = "x.yaml", .text = text.data}, &findings);
    tl_diagnostics_print(&findings, &text);
    if (!scenario)
        fail_msg("%s", text.data);
    tl_diagnostics_fini(&findings);
    tl_str_fini(&text);
    return scenario;
}

static void compare(const char *workflow, const char *level, const char *file, uint32_t tokens) {
    struct tl_scenario *scenario = scenario_of(workflow, level, tokens);
    struct tl_scenario_result *simulated;
    struct tl_error error;
    if (tl_scenario_run(scenario, NULL, &simulated, &error) != TL_OK)
        fail_msg("%s", error.message);
    json_t *real = really(workflow, level, file);
    assert_int_equal(simulated->engine_count, 5);
    for (size_t i = 0; i < simulated->engine_count; i++) {
        const struct engine_result *engine = &simulated->engines[i];
        struct asked asked = asked_really(real, engine->name);
        if (asked.items != engine->items || asked.tokens != engine->tokens_in)
            fail_msg("%s, %s, %s: %s was given %llu primitives of %llu tokens, and %llu of %llu in simulation",
                     workflow, level, file ? "documents" : "collection", engine->name, (unsigned long long)asked.items,
                     (unsigned long long)asked.tokens, (unsigned long long)engine->items,
                     (unsigned long long)engine->tokens_in);
    }
    json_decref(real);
    tl_scenario_result_destroy(simulated);
    tl_scenario_destroy(scenario);
}

static void engines_are_asked_the_same(void **state) {
    (void)state;
    static const char *const workflows[] = {"naive-rag", "advanced-rag"}, *const levels[] = {"off", "paper", "cost"};
    /* 0: a collection; else of 2 and 54 passages, all of 256 tokens, so that it does not matter which are found. */
    static const uint32_t sizes[] = {0, 482, 12234};
    char file[] = "/tmp/teola-documents-XXXXXX"; /* as long as the names in a scenario: passages bear it as title */
    int descriptor = mkstemp(file);
    assert_true(descriptor >= 0);
    for (size_t s = 0; s < sizeof sizes / sizeof sizes[0]; s++) {
        assert_int_equal(ftruncate(descriptor, (off_t)sizes[s] * 4), 0);
        for (size_t w = 0; w < 2; w++)
            for (size_t l = 0; l < 3; l++)
                compare(workflows[w], levels[l], sizes[s] > 0 ? file : NULL, sizes[s]);
    }
    close(descriptor);
    unlink(file);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_are_asked_the_same),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

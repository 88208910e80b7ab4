/* memory_test.c: what one query has computed serves the next: over emulated engines, and with the real models that
 * embed, search and rerank. What counts is how much engines were given. */
#include "runtime/emulated.h"

#include <sys/stat.h>
#include <unistd.h>

#include "indexer/indexer.h"
#include "runtime/report.h"

static const char question[] = "{\"question\": \"Where does the amber river meet the coast?\"}";

/* Units of the primitive that engines computed for the run; `remembered`: that came from memory instead. */
static json_int_t units_of(const json_t *result, const char *primitive, bool remembered) {
    json_int_t units = 0;
    size_t index;
    json_t *item;
    json_array_foreach(json_object_get(result, "items"), index, item) if (
        strcmp(text_in(item, "primitive"), primitive) == 0 &&
        (strcmp(text_in(item, "engine"), "memory") == 0) == remembered) units +=
        json_integer_value(json_object_get(item, "units"));
    return units;
}

static json_int_t remembered_units(const json_t *result) {
    return json_integer_value(json_object_get(json_object_get(result, "usage"), "units_remembered"));
}

static json_t *answer(struct tl_runtime *runtime, struct tl_request request) {
    request.flags = TL_REQUEST_ITEMS;
    return finish(runtime, submit(runtime, &request), TL_OK);
}

static void assert_same_answer(const json_t *a, const json_t *b) {
    assert_true(json_equal(json_object_get(a, "outputs"), json_object_get(b, "outputs")));
}

/* Equal questions share all that is pure; other tenants, other questions, plans without `share` do not. */
static void equal_questions_share(void **state) {
    (void)state;
    static const char *const apart[] = {"-share"};
    struct tl_runtime *runtime = open_emulated(NULL);
    struct tl_request request = ask(load(runtime, "advanced-rag"), question);
    json_t *first = answer(runtime, request), *second = answer(runtime, request);
    assert_true(units_of(first, "embed", false) > 0);
    assert_int_equal(units_of(second, "embed", false), 0);
    assert_int_equal(units_of(second, "embed", true),
                     units_of(first, "embed", false) + units_of(first, "embed", true));
    assert_int_equal(units_of(second, "score", false), 0);
    assert_true(remembered_units(second) > 0);
    assert_same_answer(first, second);
    struct tl_str timeline = TL_STR_INIT;
    tl_report_timeline(second, true, &timeline);
    assert_non_null(strstr(timeline.data, " memory "));
    assert_non_null(strstr(timeline.data, "from memory: "));
    tl_str_fini(&timeline);

    request.tenant = "another";
    json_t *stranger = answer(runtime, request);
    assert_int_equal(units_of(stranger, "embed", false), units_of(first, "embed", false));
    request.tenant = NULL;
    request.passes = apart;
    request.pass_count = 1;
    json_t *alone = answer(runtime, request);
    assert_int_equal(remembered_units(alone), 0);
    assert_same_answer(first, alone);
    request.pass_count = 0;
    request.optimize = TL_OPTIMIZE_OFF;
    json_t *plain = answer(runtime, request);
    assert_int_equal(remembered_units(plain), 0);
    json_t *results[] = {first, second, stranger, alone, plain};
    for (size_t i = 0; i < 5; i++) json_decref(results[i]);
    tl_runtime_close(runtime);
}

static void it_can_be_turned_off(void **state) {
    (void)state;
    struct tl_runtime *runtime = open_emulated("memo_bytes=0", NULL);
    struct tl_request request = ask(load(runtime, "advanced-rag"), question);
    json_t *first = answer(runtime, request), *second = answer(runtime, request);
    assert_int_equal(remembered_units(second), 0);
    assert_int_equal(units_of(second, "embed", false), units_of(first, "embed", false));
    assert_same_answer(first, second);
    json_decref(first);
    json_decref(second);
    tl_runtime_close(runtime);
}

/* ---- real models ---- */

static char *scratch_file(const char *folder, const char *name, const char *text) {
    struct tl_str path = TL_STR_INIT;
    tl_str_printf(&path, "%s/%s", folder, name);
    FILE *file = text ? fopen(path.data, "w") : NULL;
    if (text && (!file || fputs(text, file) < 0 || fclose(file) != 0))
        fail_msg("%s cannot be written", path.data);
    return tl_str_detach(&path);
}

static const char rivers[] = "# Rivers\n\nThe amber river rises in the northern hills and meets the coast at Selm.\n";
static const char towns[] = "# Towns\n\nSelm is a harbour town. Its market is held on the third day of the week.\n";

static void index_folder(const char *folder, const char *store) {
    const char *models = getenv("TEOLA_TEST_MODELS");
    struct tl_str model = TL_STR_INIT;
    tl_str_printf(&model, "%s/all-minilm-l6-v2-f16.gguf", models ? models : "");
    json_t *embed = json_pack("{s:s, s:i}", "model", model.data, "threads", 1);
    struct tl_index_options options = {
        .paths = &folder, .path_count = 1, .collection = "things", .store = store, .embed = embed, .chunk_overlap = -1};
    struct tl_index_report report;
    struct tl_error error = {0};
    if (tl_index_run(&options, &report, &error) != TL_OK)
        fail_msg("%s", error.message);
    json_decref(embed);
    tl_str_fini(&model);
}

/* What embeds, searches and reranks is real; only the answer's words are made up. */
static struct tl_runtime *open_real(const char *store) {
    setenv("TEOLA_MODELS", getenv("TEOLA_TEST_MODELS"), 1);
    struct tl_str path = TL_STR_INIT;
    tl_str_printf(&path, "store=%s", store);
    const char *settings[] = {path.data, "embedder.threads=1", "reranker.threads=1"};
    struct tl_runtime_options options = {.size = sizeof options,
                                         .config_text = "engines: {llm: {type: emulated, scale: 0}}\n",
                                         .settings = settings,
                                         .setting_count = 3};
    struct tl_runtime *runtime = open_runtime(&options);
    tl_str_fini(&path);
    return runtime;
}

/* A collection is searched anew when it has changed, and only then. */
static void real_models_are_not_asked_twice(void **state) {
    (void)state;
    char folder[] = "/tmp/teola-memory-XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *store = scratch_file(folder, "store.db", NULL), *docs = scratch_file(folder, "docs", NULL);
    assert_int_equal(mkdir(docs, 0700), 0);
    char *first_file = scratch_file(docs, "rivers.md", rivers);
    index_folder(docs, store);

    struct tl_runtime *runtime = open_real(store);
    struct tl_request request = ask(load(runtime, "advanced-rag"), question);
    json_t *first = answer(runtime, request), *second = answer(runtime, request);
    assert_true(units_of(first, "embed", false) > 0);
    assert_true(units_of(first, "search", false) > 0);
    assert_int_equal(units_of(second, "embed", false), 0);
    assert_int_equal(units_of(second, "search", false), 0);
    assert_int_equal(units_of(second, "score", false), 0);
    assert_true(json_number_value(json_object_get(json_object_get(second, "usage"), "ms_saved")) > 0);
    assert_same_answer(first, second);

    char *second_file = scratch_file(docs, "towns.md", towns);
    index_folder(docs, store); /* another program may do this at any time */
    json_t *third = answer(runtime, request);
    assert_int_equal(units_of(third, "embed", false), 0);
    assert_int_equal(units_of(third, "search", false) + units_of(third, "search", true),
                     units_of(first, "search", false) + units_of(first, "search", true));
    assert_true(units_of(third, "search", false) > 0);
    assert_true(json_array_size(json_object_get(json_object_get(third, "outputs"), "sources")) >
                json_array_size(json_object_get(json_object_get(first, "outputs"), "sources")));

    /* Documents given with the query: read again, but embedded once. */
    request.collection = NULL;
    request.documents = (const char *const *)&docs;
    request.document_count = 1;
    json_t *given = answer(runtime, request), *again = answer(runtime, request);
    assert_true(units_of(given, "embed", false) >= 2);
    assert_int_equal(units_of(again, "embed", false), 0);
    assert_true(units_of(again, "search", false) > 0); /* a collection of the run's own */
    assert_same_answer(given, again);

    json_t *results[] = {first, second, third, given, again};
    for (size_t i = 0; i < 5; i++) json_decref(results[i]);
    tl_runtime_close(runtime);
    const char *files[] = {first_file, second_file, docs};
    for (size_t i = 0; i < 3; i++) assert_int_equal(remove(files[i]), 0);
    assert_int_equal(unlink(store), 0);
    assert_int_equal(rmdir(folder), 0);
    char *names[] = {store, docs, first_file, second_file};
    for (size_t i = 0; i < 4; i++) tl_mem_free(names[i]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_questions_share),
        cmocka_unit_test(it_can_be_turned_off),
        cmocka_unit_test(real_models_are_not_asked_twice),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

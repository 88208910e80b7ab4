/* profiler_test.c: what is measured becomes a profile that can be read, of all that the engine serves; what the engine
 * counts is what the points say. Engines are emulated without time, so nothing here depends on a clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "profiler/profiler.h"

struct progress {
    unsigned calls, stop_after;
    double last;
};

static void on_progress(void *context, const char *engine, double share) {
    struct progress *progress = context;
    assert_string_equal(engine, "all");
    assert_true(share >= progress->last && share <= 1);
    progress->last = share;
    progress->calls++;
}

static bool is_stopped(void *context) {
    const struct progress *progress = context;
    return progress->stop_after && progress->calls >= progress->stop_after;
}

static const char all_kinds[] = "{\"scale\": 0, \"sequences\": 8, \"batch\": 32, \"context_tokens\": 1400}";

/* Without time for more, the first round measures the cheapest points of each kind. */
static const uint64_t least = 1, plenty = UINT64_C(600000000000);

static enum tl_status measure(const char *settings, uint64_t budget, struct progress *progress, json_t **part,
                              struct tl_error *error) {
    json_t *json = json_loads(settings, 0, NULL);
    const struct tl_profiler_engine engine = {"all", "emulated", "cpu", json, json, 8};
    const struct tl_profiler_options options = {budget, 1, progress, on_progress, is_stopped};
    enum tl_status status = tl_profiler_measure(&engine, &options, part, error);
    json_decref(json);
    return status;
}

static const json_t *point_of(const json_t *part, const char *kind, size_t position) {
    const json_t *found = json_object_get(json_object_get(json_object_get(part, "kinds"), kind), "points");
    return json_array_get(found, position);
}

static json_int_t integer_of(const json_t *point, const char *key) {
    return (json_int_t)json_number_value(json_object_get(point, key));
}

static void every_kind_that_is_served_is_measured(void **state) {
    (void)state;
    struct progress progress = {0};
    json_t *part;
    struct tl_error error = {0};
    if (measure(all_kinds, least, &progress, &part, &error) != TL_OK)
        fail_msg("%s", error.message);
    static const char *const kinds[] = {"chunk", "embed", "ingest", "search", "match", "score", "prefill", "decode"};
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        assert_non_null(point_of(part, kinds[i], 0));
    assert_int_equal(json_object_size(json_object_get(part, "kinds")), sizeof kinds / sizeof kinds[0]);
    assert_int_equal(progress.calls, 4 * sizeof kinds / sizeof kinds[0]);
    size_t samples;
    tl_profiler_spread(part, &samples);
    assert_int_equal(samples, 1);
    assert_int_equal(integer_of(point_of(part, "embed", 0), "units"), 1);
    assert_true(integer_of(point_of(part, "embed", 0), "tokens") > 4);
    json_decref(part);
}

static void all_points_are_measured_as_often_as_time_allows(void **state) {
    (void)state;
    struct progress progress = {0};
    json_t *part;
    struct tl_error error = {0};
    const char *settings = "{\"scale\": 0, \"serves\": [\"llm\"], \"sequences\": 8, \"context_tokens\": 1400, "
                           "\"prefix_cache\": false}";
    if (measure(settings, plenty, &progress, &part, &error) != TL_OK)
        fail_msg("%s", error.message);
    size_t samples;
    tl_profiler_spread(part, &samples);
    assert_int_equal(samples, 9);
    /* Each number of rows up to those that the engine has sequences for: kernels do not take all of them equally well. */
    const json_t *decode = json_object_get(json_object_get(json_object_get(part, "kinds"), "decode"), "fit");
    json_t *rows = json_loads("[1, 2, 3, 4, 5, 6, 7, 8]", 0, NULL);
    assert_true(json_equal(json_object_get(decode, "rows"), rows));
    json_decref(rows);
    /* Prompts stand behind a prefix, whose tokens are not computed again. */
    for (size_t i = 0; i < 7; i++) {
        const json_t *point = point_of(part, "prefill", i);
        assert_true(integer_of(point, "tokens") > 0);
        assert_true(integer_of(point, "context") % 512 == 0 || integer_of(point, "context") > 512);
    }
    json_decref(part);
}

static void what_is_measured_can_be_read_and_drawn(void **state) {
    (void)state;
    struct progress progress = {0};
    json_t *part;
    struct tl_error error = {0};
    assert_int_equal(measure(all_kinds, least, &progress, &part, &error), TL_OK);
    json_t *profile = json_pack("{s:i, s:{s:o}}", "version", TL_COST_PROFILE_VERSION, "engines", "all", part);
    char *text = json_dumps(profile, 0);
    struct tl_cost *cost;
    if (tl_cost_parse(text, strlen(text), "profile", &cost, &error) != TL_OK)
        fail_msg("%s", error.message);
    assert_true(tl_cost_is_measured(cost, "all"));
    assert_true(tl_cost_get_quality(cost, "all", TL_OP_EMBED).samples >= 4);
    assert_int_not_equal(tl_cost_batch(cost, "all", TL_OP_EMBED), 0);

    struct tl_str why = TL_STR_INIT, svg = TL_STR_INIT;
    json_t *settings = json_loads(all_kinds, 0, NULL);
    const struct tl_cost_identity now = {"emulated", "cpu", "", settings};
    assert_true(tl_cost_check_engine(cost, "all", &now, &why));
    tl_profiler_draw(profile, &svg);
    assert_true(tl_str_starts_with(svg.data, "<svg") && tl_str_ends_with(svg.data, "</svg>\n"));
    assert_non_null(strstr(svg.data, "all: prefill"));

    json_t *report;
    const struct tl_profiler_engine engine = {"all", "emulated", "cpu", settings, settings, 8};
    const struct tl_profiler_options options = {least, 2, NULL, NULL, NULL};
    assert_int_equal(tl_profiler_check(&engine, cost, &options, &report, &error), TL_OK);
    assert_non_null(json_object_get(point_of(report, "score", 0), "predicted_ms"));
    assert_true(integer_of(point_of(report, "score", 0), "units") !=
                integer_of(point_of(profile, "score", 0), "units"));
    json_decref(report);
    json_decref(settings);
    tl_str_fini(&why);
    tl_str_fini(&svg);
    tl_cost_unref(cost);
    json_decref(profile);
    free(text);
}

static void a_stop_ends_it(void **state) {
    (void)state;
    struct progress progress = {.stop_after = 5};
    json_t *part;
    struct tl_error error = {0};
    assert_int_equal(measure(all_kinds, least, &progress, &part, &error), TL_ERR_CANCELLED);
    assert_null(part);
    assert_int_equal(progress.calls, 5);
}

static void what_cannot_be_measured_is_said(void **state) {
    (void)state;
    struct progress progress = {0};
    json_t *part;
    struct tl_error error = {0};
    assert_int_equal(measure("{\"scale\": 0, \"serves\": [\"web\", \"tool\"]}", least, &progress, &part, &error),
                     TL_ERR_UNSUPPORTED);
    assert_int_equal(measure("{\"scale\": 0, \"fail_every\": 7}", least, &progress, &part, &error), TL_ERR_ENGINE);
    assert_non_null(strstr(error.message, "emulated failure"));
    assert_int_equal(measure("{\"scale\": -1}", least, &progress, &part, &error), TL_ERR_INVALID);
    assert_null(part);
}

/* Of an engine that cannot be opened nothing is left, whether or not it has something to choose first. */
static void what_cannot_be_opened_is_said(void **state) {
    (void)state;
    static const char *const settings[] = {"{\"model\": \"/nowhere.gguf\"}",
                                           "{\"model\": \"/nowhere.gguf\", \"kv\": \"stream\"}"};
    for (size_t i = 0; i < 2; i++) {
        json_t *json = json_loads(settings[i], 0, NULL), *part;
        struct tl_error error = {0};
        const struct tl_profiler_engine engine = {"llm", "llama", "cpu", json, json, 8};
        const struct tl_profiler_options options = {least, 1, NULL, NULL, NULL};
        assert_int_not_equal(tl_profiler_measure(&engine, &options, &part, &error), TL_OK);
        assert_non_null(strstr(error.message, "/nowhere.gguf"));
        assert_null(part);
        json_decref(json);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_that_is_served_is_measured),
        cmocka_unit_test(all_points_are_measured_as_often_as_time_allows),
        cmocka_unit_test(what_is_measured_can_be_read_and_drawn),
        cmocka_unit_test(a_stop_ends_it),
        cmocka_unit_test(what_cannot_be_measured_is_said),
        cmocka_unit_test(what_cannot_be_opened_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

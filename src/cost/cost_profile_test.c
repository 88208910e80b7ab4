/* cost_profile_test.c: a profile gives the models that it says; what is malformed is named with its place; what was
 * measured under other circumstances is not used. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "cost/cost.h"

static const char good[] =
    "{\"version\": 1, \"engines\": {"
    "\"embedder\": {\"type\": \"embed\", \"device\": \"cpu\", \"model_digest\": \"abc\", \"threads\": 2,"
    " \"written\": \"2026-01-02T03:04:05Z\", \"settings\": {\"context_size\": 512},"
    " \"kinds\": {\"embed\": {\"fit\": {\"base\": 3, \"unit\": 0.5, \"token\": 0.25}, \"limit\": 32,"
    "  \"samples\": 40, \"median_error\": 0.05, \"points\": []}}},"
    "\"llm\": {\"type\": \"llama\", \"device\": \"cpu\", \"model_digest\": \"def\", \"threads\": 2,"
    " \"written\": \"2026-01-02T03:04:05Z\", \"settings\": {},"
    " \"choices\": {\"kv\": {\"used\": \"unified\", \"because\": \"so it was\"}},"
    " \"iteration\": {\"base\": 1, \"tokens\": 128, \"sequences\": 8},"
    " \"kinds\": {\"prefill\": {\"fit\": {\"chunk\": 10, \"prompt\": 2, \"attend\": 0.5}, \"samples\": 9,"
    "   \"median_error\": 0.1},"
    "  \"decode\": {\"fit\": {\"look\": 2, \"rows\": [1, 2, 4], \"step\": [8, 20, 30]}, \"samples\": 12,"
    "   \"median_error\": 0.02}}}}}";

static void near(double found, double expected, int line) {
    if (!(fabs(found - expected) < 1e-6))
        fail_msg("line %d: %.6f, expected %.6f", line, found, expected);
}
#define assert_near(found, expected) near((found), (expected), __LINE__)

static struct tl_cost *parsed(void) {
    struct tl_cost *cost;
    struct tl_error error;
    if (tl_cost_parse(good, strlen(good), "profile.json", &cost, &error) != TL_OK)
        fail_msg("%s", error.message);
    return cost;
}

static double call(const struct tl_cost *cost, const char *engine, struct tl_cost_work work) {
    return tl_cost_call(cost, engine, &work, 1);
}

static double item(const struct tl_cost *cost, const char *engine, struct tl_cost_work work) {
    return tl_cost_item(cost, engine, &work);
}

static void a_profile_gives_its_models(void **state) {
    (void)state;
    struct tl_cost *cost = parsed();
    assert_true(tl_cost_is_measured(cost, "embedder"));
    assert_false(tl_cost_is_measured(cost, "reranker"));
    assert_string_equal(tl_cost_written(cost, "llm"), "2026-01-02T03:04:05Z");
    assert_string_equal(tl_cost_written(cost, "reranker"), "");
    assert_near(call(cost, "embedder", (struct tl_cost_work){TL_OP_EMBED, 4, 100, 0, 0}), 3 + 2 + 25);
    assert_near(item(cost, "embedder", (struct tl_cost_work){TL_OP_EMBED, 65, 100, 0, 0}), 9 + 32.5 + 25);
    assert_int_equal(tl_cost_batch(cost, "embedder", TL_OP_EMBED), 1); /* the base is small beside 256 tokens */
    assert_int_equal(tl_cost_get_quality(cost, "embedder", TL_OP_EMBED).samples, 40);
    assert_near(tl_cost_get_quality(cost, "llm", TL_OP_PARTIAL_DECODE).median_error, 0.02);

    /* 100 new tokens behind 400: they have 450 before them at the mean. */
    assert_near(call(cost, "llm", (struct tl_cost_work){TL_OP_PREFILL, 1, 100, 400, 0}), 1 + 10 + 200 + 22.5);
    assert_near(call(cost, "llm", (struct tl_cost_work){TL_OP_PREFILL, 1, 256, 0, 0}), 2 * 11 + 512 + 16.384);
    assert_near(call(cost, "llm", (struct tl_cost_work){TL_OP_DECODE, 1, 0, 0, 9}), 1 + 8);
    assert_near(call(cost, "llm", (struct tl_cost_work){TL_OP_DECODE, 3, 0, 0, 9}), 1 + 25);
    assert_near(call(cost, "llm", (struct tl_cost_work){TL_OP_DECODE, 8, 0, 500, 9}), 1 + 50 + 8);
    struct tl_cost_work both[] = {{TL_OP_DECODE, 2, 0, 0, 9}, {TL_OP_FULL_PREFILL, 1, 10, 0, 0}};
    assert_near(tl_cost_call(cost, "llm", both, 2), 1 + 20 + 10 + 20 + 0.025);
    /* The first of 11 tokens came with the prompt; the others have 1000 to 1010 before them. */
    assert_near(item(cost, "llm", (struct tl_cost_work){TL_OP_DECODE, 1, 0, 1000, 11}), 10 * (1 + 8 + 2 * 1.005));
    assert_int_equal(tl_cost_batch(cost, "llm", TL_OP_DECODE), 8); /* two rows are worse than one, more are better */
    tl_cost_unref(cost);
}

/* `good` with `from` replaced by `to`. */
static char *changed(const char *from, const char *to) {
    struct tl_str out = TL_STR_INIT;
    const char *at = strstr(good, from);
    assert_non_null(at);
    tl_str_append(&out, good, (size_t)(at - good));
    tl_str_printf(&out, "%s%s", to, at + strlen(from));
    return tl_str_detach(&out);
}

static void what_is_malformed_is_named_with_its_place(void **state) {
    (void)state;
    static const struct {
        const char *from, *to, *message;
        enum tl_status status;
    } cases[] = {
        {"\"version\": 1", "\"version\": 2", "profile.json: version is 2, but this program reads version 1",
         TL_ERR_UNSUPPORTED},
        {"\"version\": 1, ", "", "profile.json: version is missing, expected a whole number", TL_ERR_INVALID},
        {"\"base\": 3", "\"base\": \"3\"",
         "profile.json: engines.embedder.kinds.embed.fit.base is \"3\", expected a number from 0 on", TL_ERR_INVALID},
        {"\"base\": 3", "\"base\": -3", "fit.base is -3, expected a number from 0 on", TL_ERR_INVALID},
        {"\"limit\": 32", "\"limit\": 1.5", "embed.limit is 1.5, expected a whole number", TL_ERR_INVALID},
        {"\"embed\": {\"fit\"", "\"embeds\": {\"fit\"", "kinds.embeds is {", TL_ERR_INVALID},
        {"\"embed\": {\"fit\"", "\"map\": {\"fit\"", "expected the name of a primitive that engines compute",
         TL_ERR_INVALID},
        {"\"rows\": [1, 2, 4]", "\"rows\": [1, 2, 2]", "engines.llm.kinds.decode.fit.rows is [1,2,2], expected a list",
         TL_ERR_INVALID},
        {"[8, 20, 30]", "[8, 20]", "fit.step is [8,20], expected a list of as many numbers as rows", TL_ERR_INVALID},
        {"\"prefill\": {", "\"score\": {", "kinds.score.limit is missing", TL_ERR_INVALID},
        {"\"iteration\": {", "\"iterations\": {", "engines.llm.iteration is missing, expected an object",
         TL_ERR_INVALID},
        {"\"threads\": 2", "\"threads\": null", "engines.embedder.threads is null, expected a whole number",
         TL_ERR_INVALID},
        {"\"choices\": {\"kv\": {\"used\": \"unified\", \"because\": \"so it was\"}}", "\"choices\": 7",
         "engines.llm.choices is 7, expected an object", TL_ERR_INVALID},
        {"{\"used\": \"unified\"", "{\"used\": 1.5", "engines.llm.choices.kv.used is 1.5, expected a text or a whole",
         TL_ERR_INVALID},
        {"{\"version\"", "[\"version\"", "profile.json:1:", TL_ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char *text = changed(cases[i].from, cases[i].to);
        struct tl_cost *cost;
        struct tl_error error;
        assert_int_equal(tl_cost_parse(text, strlen(text), "profile.json", &cost, &error), cases[i].status);
        assert_null(cost);
        if (!strstr(error.message, cases[i].message))
            fail_msg("\"%s\", expected \"%s\"", error.message, cases[i].message);
        tl_mem_free(text);
    }
}

static bool holds(struct tl_cost_identity now, const char *settings, const char *why) {
    struct tl_cost *cost = parsed();
    struct tl_str found = TL_STR_INIT;
    json_t *json = json_loads(settings, 0, NULL);
    now.settings = json;
    uint64_t version = tl_cost_version(cost);
    bool holding = tl_cost_check_engine(cost, "embedder", &now, &found);
    assert_int_equal(tl_cost_is_measured(cost, "embedder"), holding);
    assert_int_equal(tl_cost_version(cost) == version, holding);
    assert_true(tl_cost_is_measured(cost, "llm"));
    assert_string_equal(found.data, why);
    json_decref(json);
    tl_str_fini(&found);
    tl_cost_unref(cost);
    return holding;
}

static void a_profile_of_other_circumstances_is_not_used(void **state) {
    (void)state;
    const char *settings = "{\"model\": \"/a\", \"threads\": 2, \"context_size\": 512}";
    struct tl_cost_identity now = {"embed", "cpu", "abc", NULL};
    assert_true(holds(now, settings, ""));
    assert_false(holds((struct tl_cost_identity){"embed", "cpu", "abd", NULL}, settings,
                       "model_digest was \"abc\" and is \"abd\""));
    assert_false(holds((struct tl_cost_identity){"rerank", "gpu0", "abc", NULL}, settings,
                       "type was \"embed\" and is \"rerank\"; device was \"cpu\" and is \"gpu0\""));
    assert_false(holds(now, "{\"threads\": 1, \"context_size\": 512}", "threads were 2 and are 1"));
    assert_false(holds(now, "{\"threads\": 2, \"context_size\": 64}",
                       "settings were {\"context_size\":512} and are {\"context_size\":64}"));

    struct tl_cost *cost = parsed();
    struct tl_str why = TL_STR_INIT;
    assert_false(tl_cost_check_engine(cost, "reranker", &now, &why));
    assert_string_equal(why.data, "");
    tl_str_fini(&why);
    tl_cost_unref(cost);
}

/* The settings that an engine is opened with. */
static void expect_filled(const struct tl_cost *cost, const char *written, const char *expected) {
    json_t *settings = json_loads(written, 0, NULL), *filled = json_loads(expected, 0, NULL);
    tl_cost_fill_choices(tl_cost_choices(cost, "llm"), settings);
    assert_true(json_equal(settings, filled));
    json_decref(settings);
    json_decref(filled);
}

/* What was chosen by measuring stands for what is auto or not written, and not for what was written by hand. It goes
 * when the model is another one, or any setting that the measurements hold for. */
static void choices_hold_as_long_as_the_profile(void **state) {
    (void)state;
    static const char unified[] = "{\"kv\": \"unified\", \"kv_because\": \"so it was\"}";
    struct tl_cost *cost = parsed();
    expect_filled(cost, "{}", unified);
    expect_filled(cost, "{\"kv\": \"auto\"}", unified);
    expect_filled(cost, "{\"kv\": \"stream\"}", "{\"kv\": \"stream\"}");
    assert_null(tl_cost_choices(cost, "embedder"));
    assert_null(tl_cost_choices(cost, "nobody"));
    struct tl_cost_identity now = {"llama", "cpu", "def", NULL};
    struct tl_str why = TL_STR_INIT;
    json_t *settings = json_loads("{\"threads\": 2}", 0, NULL);
    now.settings = settings;
    assert_true(tl_cost_check_engine(cost, "llm", &now, &why));
    expect_filled(cost, "{}", unified);
    now.model_digest = "fed";
    assert_false(tl_cost_check_engine(cost, "llm", &now, &why));
    assert_string_equal(why.data, "model_digest was \"def\" and is \"fed\"");
    assert_null(tl_cost_choices(cost, "llm"));
    expect_filled(cost, "{}", "{}");
    json_decref(settings);
    tl_cost_unref(cost);

    cost = parsed();
    now.model_digest = "def";
    settings = json_loads("{\"threads\": 2, \"parallel\": 16}", 0, NULL);
    now.settings = settings;
    assert_false(tl_cost_check_engine(cost, "llm", &now, &why));
    expect_filled(cost, "{}", "{}");
    json_decref(settings);
    tl_str_fini(&why);
    tl_cost_unref(cost);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_profile_gives_its_models),
        cmocka_unit_test(what_is_malformed_is_named_with_its_place),
        cmocka_unit_test(a_profile_of_other_circumstances_is_not_used),
        cmocka_unit_test(choices_hold_as_long_as_the_profile),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

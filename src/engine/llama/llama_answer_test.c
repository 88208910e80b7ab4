/* llama_answer_test.c: formats by a vocabulary alone: rows of logits at random, and rows that want a certain text.
 * Whatever the rows are, what comes out has its form; and what is fed is what comes out, token for token. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/utf8.h"
#include "engine/llama/llama_answer.h"

static struct llama_model *model;
static struct tl_llama_pieces pieces;
static struct tl_llama_candidates scratch;
static float *logits;

static int open_vocabulary(void **state) {
    (void)state;
    char path[512];
    const char *folder = getenv("TEOLA_TEST_MODELS");
    assert_non_null(folder);
    snprintf(path, sizeof path, "%s/smollm2-135m-instruct-q8_0.gguf", folder);
    struct llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    tl_llama_start();
    model = llama_model_load_from_file(path, params);
    assert_non_null(model);
    tl_llama_pieces_init(&pieces, llama_model_get_vocab(model));
    logits = malloc(pieces.count * sizeof *logits);
    return 0;
}

static int close_vocabulary(void **state) {
    (void)state;
    free(logits);
    tl_llama_candidates_fini(&scratch);
    tl_llama_pieces_fini(&pieces);
    llama_model_free(model);
    return 0;
}

/* ---- a decode without a model ---- */

struct decode {
    struct tl_arena arena;
    struct tl_attributes attributes;
    struct tl_llama_answer answer;
    struct tl_llama_tokens fed;
    struct tl_str deltas;
    size_t rows;
};

static void begin(struct decode *decode, const char *format, const char *name, const char *value) {
    *decode = (struct decode){.deltas = TL_STR_INIT};
    tl_arena_init(&decode->arena);
    tl_attributes_set_string(&decode->attributes, &decode->arena, "format", format);
    if (name)
        tl_attributes_set_string(&decode->attributes, &decode->arena, name, value);
}

static void start(struct decode *decode) {
    struct tl_error error;
    if (tl_llama_answer_init(&decode->answer, &pieces, &decode->attributes, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_llama_answer_begin(&decode->answer, &decode->fed);
}

static void end(struct decode *decode) {
    tl_llama_answer_fini(&decode->answer);
    tl_llama_tokens_fini(&decode->fed);
    tl_str_fini(&decode->deltas);
    tl_arena_fini(&decode->arena);
}

static bool step(struct decode *decode) {
    size_t length;
    enum tl_llama_answer_progress progress =
        tl_llama_answer_next(&decode->answer, &scratch, logits, &decode->fed);
    assert_int_not_equal(progress, TL_LLAMA_ANSWER_NAN);
    decode->rows++;
    const char *delta = tl_llama_answer_delta(&decode->answer, &length);
    tl_str_append(&decode->deltas, delta, length);
    return progress == TL_LLAMA_ANSWER_GOES_ON;
}

static void put_fed(const struct decode *decode, struct tl_str *out) {
    for (size_t i = 0; i < decode->fed.count; i++) {
        size_t length;
        const char *piece = tl_llama_piece(&pieces, decode->fed.ids[i], &length);
        tl_str_append(out, piece, length);
    }
}

/* ---- a writer that wants a certain text ---- */

/* Writes `wanted` in tokens as long as possible, wherever the format lets it. */
static void write_wanted(struct decode *decode, const char *wanted) {
    bool goes_on = true;
    while (goes_on) {
        struct tl_str fed = TL_STR_INIT;
        put_fed(decode, &fed);
        size_t same = 0;
        while (same < fed.length && wanted[same] == fed.data[same])
            same++;
        assert_int_equal(same, fed.length); /* what was fed is what is wanted so far */
        tl_str_fini(&fed);
        llama_token best = llama_vocab_eos(pieces.vocab);
        size_t best_length = 0;
        for (size_t i = 0; i < pieces.count; i++) {
            size_t length;
            const char *piece = tl_llama_piece(&pieces, (llama_token)i, &length);
            logits[i] = -(float)(i % 97);
            if (length > best_length && length <= strlen(wanted + same) && memcmp(wanted + same, piece, length) == 0) {
                best = (llama_token)i;
                best_length = length;
            }
        }
        logits[best] = 50;
        goes_on = step(decode);
    }
}

static json_t *output_of(struct decode *decode) {
    struct tl_value *outputs[TL_LLAMA_ANSWER_OUTPUTS];
    assert_int_equal(tl_llama_answer_outputs(&decode->answer, outputs), 1);
    json_t *json = tl_value_to_json(outputs[0]);
    tl_value_unref(outputs[0]);
    return json;
}

#define PERSON \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\"},\"age\":{\"type\":\"integer\"},\"tags\":" \
    "{\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"alive\":{\"type\":\"boolean\"}},\"required\":[\"name\"," \
    "\"age\",\"tags\",\"alive\"]}"

static void test_what_is_wanted_comes_out(void **state) {
    (void)state;
    const char *wanted =
        "{\"name\": \"Ada \\\"L\\\" \xc3\xa9\xf0\x9f\x98\x80\", \"age\": 36, \"tags\": [\"a, b\", \"]\"], "
        "\"alive\": false}";
    struct decode decode;
    begin(&decode, "json", "schema", PERSON);
    start(&decode);
    struct tl_str opening = TL_STR_INIT;
    put_fed(&decode, &opening);
    assert_string_equal(opening.data, "{\"name\": \""); /* forced, up to the first choice */
    tl_str_fini(&opening);
    write_wanted(&decode, wanted);
    assert_string_equal(decode.answer.finish, "stop");
    assert_string_equal(decode.deltas.data, wanted);
    json_t *found = output_of(&decode), *expected = json_loads(wanted, 0, NULL);
    assert_true(json_equal(found, expected));
    assert_true(decode.answer.forced > decode.answer.written / 4);
    json_decref(found);
    json_decref(expected);
    end(&decode);
}

/* Another style of white space, and tokens that hold the end of a value and more: the same JSON. */
static void test_other_white_space_is_understood(void **state) {
    (void)state;
    static const char *const pieces_wanted[] = {"Bob\",\"", " 12\n", "]", " true"};
    struct decode decode;
    begin(&decode, "json", "schema", PERSON);
    start(&decode);
    for (size_t i = 0; i < 4; i++) {
        struct tl_llama_tokens next = {0};
        tl_llama_tokenize(pieces.vocab, pieces_wanted[i], strlen(pieces_wanted[i]), false, &next);
        for (size_t k = 0; k < next.count; k++) {
            for (size_t n = 0; n < pieces.count; n++)
                logits[n] = 0;
            logits[next.ids[k]] = 50;
            bool goes_on = step(&decode);
            assert_int_equal(goes_on, !(i == 3 && k + 1 == next.count));
            size_t length;
            const char *piece = tl_llama_piece(&pieces, next.ids[k], &length);
            if (memchr(piece, '"', length)) /* the value is over, and what follows is forced */
                break;
        }
        tl_llama_tokens_fini(&next);
    }
    assert_string_equal(decode.deltas.data, "{\"name\": \"Bob\", \"age\": 12, \"tags\": [], \"alive\": true}");
    end(&decode);
}

/* ---- rows at random ---- */

static uint64_t random_state;

static void random_row(void) {
    for (size_t i = 0; i < pieces.count; i++) {
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        logits[i] = (float)(random_state >> 40) * 0x1p-22f;
    }
}

static bool one_of(const json_t *value, const char *names) {
    return json_is_string(value) && strstr(names, json_string_value(value));
}

static void test_any_rows_give_valid_json(void **state) {
    (void)state;
    const char *schema =
        "{\"type\":\"array\",\"minItems\":1,\"maxItems\":3,\"items\":{\"type\":\"object\",\"properties\":{\"kind\":"
        "{\"enum\":[\"red\",\"reddish\",\"blue\"]},\"note\":{\"type\":\"string\",\"maxLength\":9},\"size\":{\"type\":"
        "\"number\",\"minimum\":1,\"maximum\":20},\"more\":{\"type\":[\"null\",\"integer\"]}},\"required\":[\"kind\","
        "\"size\"]}}";
    for (int round = 0; round < 20; round++) {
        struct decode decode;
        random_state = (uint64_t)round;
        begin(&decode, "json", "schema", schema);
        tl_attributes_set_number(&decode.attributes, &decode.arena, "temperature", round % 2);
        tl_attributes_set_integer(&decode.attributes, &decode.arena, "seed", round);
        tl_attributes_set_integer(&decode.attributes, &decode.arena, "max_tokens", round % 3 ? 90 : 7 + round / 3);
        start(&decode);
        do
            random_row();
        while (step(&decode));
        bool whole = strcmp(decode.answer.finish, "stop") == 0;
        struct tl_str fed = TL_STR_INIT;
        put_fed(&decode, &fed);
        /* The last tokens are not fed; what was is the beginning of the text. */
        assert_true(fed.length <= decode.deltas.length && memcmp(fed.data, decode.deltas.data, fed.length) == 0);
        tl_str_fini(&fed);
        json_t *found = output_of(&decode), *again = json_loads(decode.deltas.data, 0, NULL), *item;
        assert_true(json_equal(found, again));
        assert_in_range(json_array_size(found), 1, 3);
        assert_int_equal(tl_llama_answer_units(&decode.answer), json_array_size(found));
        size_t i;
        json_array_foreach(found, i, item) {
            assert_true(one_of(json_object_get(item, "kind"), "red reddish blue"));
            double size = json_number_value(json_object_get(item, "size"));
            assert_true(size >= 1 && size <= 20);
            assert_true(!json_object_get(item, "note") || json_is_string(json_object_get(item, "note")));
        }
        assert_true(whole || decode.answer.written >= 7);
        json_decref(found);
        json_decref(again);
        end(&decode);
    }
}

static void test_choices(void **state) {
    (void)state;
    int found[3] = {0};
    static const char *const texts[] = {"yes", "no", "not sure"};
    for (int round = 0; round < 16; round++) {
        struct decode decode;
        random_state = (uint64_t)round + 100;
        begin(&decode, "choice", "choices", "[\"yes\", \"no\", \"not sure\"]");
        start(&decode);
        do
            random_row();
        while (step(&decode));
        struct tl_value *outputs[TL_LLAMA_ANSWER_OUTPUTS];
        assert_int_equal(tl_llama_answer_outputs(&decode.answer, outputs), 1);
        int match = -1;
        for (int i = 0; i < 3; i++)
            if (strcmp(outputs[0]->as.text.data, texts[i]) == 0)
                match = i;
        assert_true(match >= 0);
        found[match]++;
        assert_string_equal(decode.deltas.data, texts[match]);
        tl_value_unref(outputs[0]);
        end(&decode);
    }
    assert_true(found[0] > 0 && found[1] + found[2] > 0);
}

static void test_lists_of_bounded_length(void **state) {
    (void)state;
    int counts[7] = {0};
    for (int round = 0; round < 20; round++) {
        struct decode decode;
        random_state = (uint64_t)round + 500;
        begin(&decode, "list", NULL, NULL);
        tl_attributes_set_integer(&decode.attributes, &decode.arena, "items", 6);
        tl_attributes_set_integer(&decode.attributes, &decode.arena, "min_items", 2);
        tl_attributes_set_integer(&decode.attributes, &decode.arena, "item_tokens", 5);
        start(&decode);
        do
            random_row();
        while (step(&decode));
        size_t count = tl_llama_answer_units(&decode.answer);
        assert_in_range(count, 2, 6);
        counts[count]++;
        assert_string_equal(decode.answer.finish, "stop");
        end(&decode);
    }
    assert_true(counts[2] > 0 && counts[2] < 20); /* the model, here chance, has ended some */
}

/* ---- tools ---- */

#define TOOLS \
    "[{\"type\":\"function\",\"function\":{\"name\":\"weather\",\"parameters\":{\"type\":\"object\",\"properties\":" \
    "{\"city\":{\"type\":\"string\",\"maxLength\":12},\"days\":{\"type\":\"integer\",\"minimum\":1,\"maximum\":7}}," \
    "\"required\":[\"city\"]}}},{\"name\":\"now\"}]"

static void test_forced_calls(void **state) {
    (void)state;
    for (int round = 0; round < 16; round++) {
        struct decode decode;
        pieces.style = (enum tl_tools_style)(round % 4);
        random_state = (uint64_t)round + 900;
        begin(&decode, "tool_call", "tools", TOOLS);
        tl_attributes_set_number(&decode.attributes, &decode.arena, "temperature", round / 4 % 2);
        start(&decode);
        do
            random_row();
        while (step(&decode));
        json_t *found = output_of(&decode), *calls = json_object_get(found, "tool_calls");
        assert_int_equal(json_array_size(calls), 1);
        json_t *call = json_array_get(calls, 0), *arguments = json_object_get(call, "arguments");
        assert_string_equal(decode.answer.finish, "tool_calls");
        if (one_of(json_object_get(call, "name"), "weather"))
            assert_true(json_is_string(json_object_get(arguments, "city")));
        else
            assert_int_equal(json_object_size(arguments), 0);
        json_decref(found);
        end(&decode);
    }
    pieces.style = TL_TOOLS_PLAIN;
}

static void test_calls_in_text(void **state) {
    (void)state;
    static const char *const wanted[] = {"It is warm.",
                                         "<tool_call>\n{\"name\": \"now\", \"arguments\": {}}\n</tool_call>"};
    for (size_t i = 0; i < 2; i++) {
        struct decode decode;
        begin(&decode, "tool_call", "tools", TOOLS);
        tl_attributes_set_string(&decode.attributes, &decode.arena, "tool_choice", "auto");
        start(&decode);
        write_wanted(&decode, wanted[i]);
        json_t *found = output_of(&decode);
        assert_string_equal(json_string_value(json_object_get(found, "content")), i == 0 ? wanted[0] : "");
        assert_int_equal(json_array_size(json_object_get(found, "tool_calls")), i);
        assert_string_equal(decode.answer.finish, i == 0 ? "stop" : "tool_calls");
        json_decref(found);
        end(&decode);
    }
}

/* ---- sampling ---- */

static void test_logprobs(void **state) {
    (void)state;
    struct decode decode;
    begin(&decode, "text", "logit_bias", "{\"1000\": 2}");
    tl_attributes_set_integer(&decode.attributes, &decode.arena, "logprobs", 2);
    tl_attributes_set_integer(&decode.attributes, &decode.arena, "max_tokens", 2);
    start(&decode);
    for (int i = 0; i < 2; i++) {
        for (size_t k = 0; k < pieces.count; k++)
            logits[k] = -INFINITY;
        logits[1000] = logf(0.1f); /* with the bias the likeliest */
        logits[1001] = logf(0.3f);
        logits[1002] = logf(0.2f);
        step(&decode);
    }
    struct tl_value *outputs[TL_LLAMA_ANSWER_OUTPUTS];
    assert_int_equal(tl_llama_answer_outputs(&decode.answer, outputs), 2);
    json_t *first = json_array_get(outputs[1]->as.json, 0), *top = json_object_get(first, "top_logprobs");
    double biased = 0.1 * exp(2), sum = biased + 0.5;
    assert_int_equal(json_array_size(outputs[1]->as.json), 2);
    assert_int_equal(json_integer_value(json_object_get(first, "id")), 1000);
    assert_true(fabs(json_number_value(json_object_get(first, "logprob")) - log(biased / sum)) < 1e-5);
    assert_int_equal(json_array_size(top), 2);
    json_t *second = json_array_get(top, 1);
    assert_int_equal(json_integer_value(json_object_get(second, "id")), 1001);
    assert_true(fabs(json_number_value(json_object_get(second, "logprob")) - log(0.3 / sum)) < 1e-5);
    tl_value_unref(outputs[0]);
    tl_value_unref(outputs[1]);
    end(&decode);
}

static void test_wrong_attributes(void **state) {
    (void)state;
    static const char *const wrong[][4] = {
        {"text", "logit_bias", "[]", "logit_bias"},
        {"text", "logit_bias", "{\"x\": 1}", "'x'"},
        {"text", "logit_bias", "{\"1\": 101}", "100"},
        {"text", "logit_bias", "{\"99999999\": 1}", "99999999"},
        {"text", "stop", "{}", "stop"},
        {"json", "schema", "nonsense", "schema"},
        {"json", "schema", "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"strin\"}}}",
         "schema.properties.a.type"},
        {"choice", NULL, NULL, "choices"},
        {"choice", "choices", "[]", "choices"},
        {"choice", "choices", "[1]", "choices"},
        {"tool_call", NULL, NULL, "tools"},
        {"tool_call", "tools", "[]", "tools"},
        {"tool_call", "tools", "[{\"name\":\"f\",\"parameters\":{\"type\":\"x\"}}]", "tools[0].parameters.type"},
        {"haiku", NULL, NULL, "haiku"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct decode decode;
        struct tl_error error = {0};
        begin(&decode, wrong[i][0], wrong[i][1], wrong[i][2]);
        assert_int_not_equal(tl_llama_answer_init(&decode.answer, &pieces, &decode.attributes, &error), TL_OK);
        if (!strstr(error.message, wrong[i][3]))
            fail_msg("%zu: %s", i, error.message);
        tl_arena_fini(&decode.arena);
        tl_str_fini(&decode.deltas);
    }
    static const char *const ranges[][2] = {
        {"temperature", "-1"},
        {"top_p", "1.5"},
        {"frequency_penalty", "3"},
        {"presence_penalty", "-3"},
        {"repetition_penalty", "0"},
        {"max_tokens", "0"},
        {"logprobs", "21"},
        {"top_k", "-1"},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof ranges[0]; i++) {
        struct decode decode;
        struct tl_error error = {0};
        begin(&decode, "text", NULL, NULL);
        double value = strtod(ranges[i][1], NULL);
        if (value == floor(value) && strstr("max_tokens logprobs top_k", ranges[i][0]))
            tl_attributes_set_integer(&decode.attributes, &decode.arena, ranges[i][0], (int64_t)value);
        else
            tl_attributes_set_number(&decode.attributes, &decode.arena, ranges[i][0], value);
        assert_int_equal(tl_llama_answer_init(&decode.answer, &pieces, &decode.attributes, &error), TL_ERR_INVALID);
        assert_non_null(strstr(error.message, ranges[i][0]));
        tl_arena_fini(&decode.arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_wanted_comes_out),
        cmocka_unit_test(test_other_white_space_is_understood),
        cmocka_unit_test(test_any_rows_give_valid_json),
        cmocka_unit_test(test_choices),
        cmocka_unit_test(test_lists_of_bounded_length),
        cmocka_unit_test(test_forced_calls),
        cmocka_unit_test(test_calls_in_text),
        cmocka_unit_test(test_logprobs),
        cmocka_unit_test(test_wrong_attributes),
    };
    return cmocka_run_group_tests(tests, open_vocabulary, close_vocabulary);
}

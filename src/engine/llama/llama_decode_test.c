/* llama_decode_test.c: what a decode promises: bounds, stop strings, streaming, seeds, lists that
 * are valid whatever the model says, trimming that is reported, and failures that stay with
 * their item. */
#include <ctype.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <cmocka.h>

#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_test_support.h"

static struct tl_conformance_subject subject = {.ops = &tl_llama_engine, .kinds = 1};
static char settings[1024];

static struct tl_conformance *open_engine(const char *more) {
    tl_llama_test_settings(settings, sizeof settings, more);
    subject.settings = settings;
    return tl_conformance_open(&subject);
}

#define SMALL "\"context_size\": 256, \"parallel\": 4, \"reserve\": 64, \"threads\": 1"

static struct tl_llama_engine *engine_of(struct tl_conformance *run) {
    return (struct tl_llama_engine *)tl_conformance_engine(run);
}

static struct tl_value *ask(struct tl_conformance *run, const char *question) {
    return tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask(question), NULL);
}

static const char *text_of(struct tl_conformance_held *held) {
    const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    if (outcome->status != TL_OK)
        fail_msg("%s", outcome->message);
    return outcome->outputs[0]->as.text.data;
}

/* One decode alone, with one attribute set (NULL: none). */
static struct tl_conformance_held *decode_with(struct tl_conformance *run, struct tl_value *kv, int64_t max_tokens,
                                               const char *name, const char *value) {
    struct tl_conformance_item item;
    tl_llama_test_decode(run, tl_value_ref(kv), max_tokens, &item);
    if (name)
        tl_attributes_set_string(&item.attributes, item.arena, name, value);
    item.stream = true;
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    return held;
}

/* With ignore_eos the model's own end is never chosen: exactly max_tokens are written. */
static void test_ignores_the_end(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine(SMALL);
    struct tl_value *kv = ask(run, "Say hi.");
    struct tl_conformance_held *own = decode_with(run, kv, 90, NULL, NULL);
    assert_string_equal(tl_conformance_outcome(own)->usage.finish, "stop");
    struct tl_conformance_item item;
    tl_llama_test_decode(run, kv, 90, &item);
    tl_attributes_set_bool(&item.attributes, item.arena, "ignore_eos", true);
    struct tl_conformance_held *forced = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(forced)->usage.tokens_out, 90);
    assert_string_equal(tl_conformance_outcome(forced)->usage.finish, "length");
    const char *text = text_of(own);
    assert_memory_equal(text_of(forced), text, strlen(text));
    tl_conformance_close(run);
}

static void test_bounds_and_stops(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine(SMALL);
    struct tl_value *kv = ask(run, "Count from one to ten in words.");
    struct tl_conformance_held *free_running = decode_with(run, kv, 24, NULL, NULL);
    const char *text = text_of(free_running);
    assert_true(strlen(text) > 16);
    assert_true(tl_conformance_outcome(free_running)->usage.tokens_out <= 24);
    assert_string_equal(tl_conformance_outcome(free_running)->deltas.data, text);
    struct tl_conformance_held *cut = decode_with(run, kv, 5, NULL, NULL);
    assert_int_equal(tl_conformance_outcome(cut)->usage.tokens_out, 5);
    assert_string_equal(tl_conformance_outcome(cut)->usage.finish, "length");

    /* A stop string from the middle of the text, across tokens: the text ends right before it. */
    char stop[8], list[64];
    snprintf(stop, sizeof stop, "%.5s", text + 9);
    json_t *stops = json_pack("[s,s]", "never written", stop);
    char *encoded = json_dumps(stops, 0);
    snprintf(list, sizeof list, "%s", encoded);
    free(encoded);
    json_decref(stops);
    struct tl_conformance_held *stopped = decode_with(run, kv, 24, "stop", list);
    size_t end = (size_t)(strstr(text, stop) - text);
    assert_int_equal(strlen(text_of(stopped)), end);
    assert_memory_equal(text_of(stopped), text, end);
    assert_string_equal(tl_conformance_outcome(stopped)->deltas.data, text_of(stopped));
    assert_string_equal(tl_conformance_outcome(stopped)->usage.finish, "stop");
    assert_true(tl_conformance_outcome(stopped)->usage.tokens_out <
                tl_conformance_outcome(free_running)->usage.tokens_out);
    tl_value_unref(kv);
    tl_conformance_close(run);
}

static void test_wrong_attributes_are_refused(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine(SMALL);
    struct tl_value *kv = ask(run, "Hello");
    static const char *const wrong[][2] = {{"stop", "no array"}, {"stop", "[1]"}, {"format", "haiku"}};
    for (size_t i = 0; i < 3; i++) {
        struct tl_conformance_held *held = decode_with(run, kv, 4, wrong[i][0], wrong[i][1]);
        assert_int_not_equal(tl_conformance_outcome(held)->status, TL_OK);
        assert_non_null(strstr(tl_conformance_outcome(held)->message, wrong[i][0]));
    }
    struct tl_conformance_held *none = decode_with(run, kv, 0, NULL, NULL);
    assert_int_equal(tl_conformance_outcome(none)->status, TL_ERR_INVALID);
    tl_value_unref(kv);
    tl_conformance_close(run);
}

static void test_seeds(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine(SMALL);
    struct tl_value *kv = ask(run, "Write something about the sea.");
    struct tl_conformance_held *held[3];
    for (size_t i = 0; i < 3; i++) {
        struct tl_conformance_item item;
        tl_llama_test_decode(run, tl_value_ref(kv), 16, &item);
        tl_attributes_set_number(&item.attributes, item.arena, "temperature", 1.5);
        tl_attributes_set_integer(&item.attributes, item.arena, "seed", i / 2);
        held[i] = tl_conformance_submit(run, &item);
        tl_conformance_finish(run);
    }
    assert_string_equal(text_of(held[0]), text_of(held[1]));
    assert_string_not_equal(text_of(held[0]), text_of(held[2]));
    tl_value_unref(kv);
    tl_conformance_close(run);
}

/* Any two items begin differently, none is empty, all have letters and no control characters. */
static void check_list(const struct tl_value *list, size_t most) {
    assert_true(list->as.list.count <= most);
    for (size_t i = 0; i < list->as.list.count; i++) {
        const struct tl_text *text = &list->as.list.items[i]->as.text;
        bool letter = false;
        for (size_t k = 0; k < text->length; k++) {
            assert_true((unsigned char)text->data[k] >= 0x20);
            letter |= isalpha((unsigned char)text->data[k]) || (unsigned char)text->data[k] >= 0x80;
        }
        assert_true(letter);
        assert_true(text->data[0] != ' ' && text->data[text->length - 1] != ' ');
        for (size_t k = 0; k < i; k++)
            assert_true(strcasecmp(text->data, list->as.list.items[k]->as.text.data) != 0);
    }
}

static void test_lists(void **state) {
    (void)state;
    struct tl_conformance *run =
        open_engine("\"context_size\": 384, \"parallel\": 4, \"reserve\": 128, \"threads\": 1");
    static const char *const questions[] = {"Rewrite in other words: How do I create an index in SQLite?",
                                            "List three search queries for: bread recipe",
                                            "Write \"quotes\", back\\slashes and\nnew lines.", "7 8 9"};
    for (int round = 0; round < 8; round++) {
        struct tl_conformance_item item;
        tl_llama_test_decode(run, ask(run, questions[round % 4]), 120, &item);
        tl_attributes_set_string(&item.attributes, item.arena, "format", "list");
        tl_attributes_set_integer(&item.attributes, item.arena, "items", 3);
        tl_attributes_set_integer(&item.attributes, item.arena, "item_tokens", 12);
        tl_attributes_set_number(&item.attributes, item.arena, "temperature", round < 4 ? 0 : 1);
        tl_attributes_set_integer(&item.attributes, item.arena, "seed", round);
        item.pieces = true;
        struct tl_conformance_held *held = tl_conformance_submit(run, &item);
        const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
        while (outcome->piece_count == 0 && tl_conformance_step(run)) {
        }
        assert_false(outcome->finished); /* the first item is passed on while the others are written */
        tl_conformance_finish(run);
        assert_int_equal(outcome->status, TL_OK);
        assert_int_equal(outcome->outputs[0]->as.list.count, 3);
        assert_int_equal(outcome->piece_count, 3);
        assert_int_equal(outcome->usage.units, 3);
        check_list(outcome->outputs[0], 3);
    }
    /* The bound of all tokens ends a list early: fewer items, each whole. */
    struct tl_conformance_item item;
    tl_llama_test_decode(run, ask(run, questions[0]), 14, &item);
    tl_attributes_set_string(&item.attributes, item.arena, "format", "list");
    tl_attributes_set_integer(&item.attributes, item.arena, "items", 8);
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(held)->status, TL_OK);
    check_list(tl_conformance_outcome(held)->outputs[0], 7);
    tl_conformance_close(run);
}

static void test_trimming_is_reported(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine(SMALL);
    struct tl_str large = TL_STR_INIT;
    for (int i = 0; i < 400; i++)
        tl_str_puts(&large, "word ");
    const struct tl_prompt_part parts[] = {
        {TL_ROLE_USER, 0, TL_PART_TRIMMABLE, large.data, large.length}, {TL_ROLE_USER, 0, 0, " Why?", 5}};
    struct tl_conformance_held *held =
        tl_llama_test_prefill(run, TL_OP_PREFILL, tl_value_prompt(parts, 2), NULL);
    tl_conformance_finish(run);
    const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    assert_int_equal(outcome->status, TL_OK);
    assert_true(outcome->usage.tokens_trimmed > 200 && outcome->usage.tokens_in <= 192);
    assert_non_null(strstr(outcome->notice, "cut"));
    /* Writing stops at the end of the context, and says so. */
    struct tl_conformance_held *decoded = decode_with(run, outcome->outputs[0], 500, NULL, NULL);
    if (tl_conformance_outcome(decoded)->usage.tokens_out + outcome->usage.tokens_in >= 256)
        assert_non_null(strstr(tl_conformance_outcome(decoded)->notice, "256"));
    /* The same text as a part that may not be cut is refused with numbers. */
    held = tl_llama_test_prefill(run, TL_OP_PREFILL, tl_llama_test_ask(large.data), NULL);
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(held)->status, TL_ERR_LIMIT);
    assert_non_null(strstr(tl_conformance_outcome(held)->message, "192"));
    assert_non_null(strstr(tl_conformance_outcome(held)->message, "256"));
    tl_str_fini(&large);
    tl_conformance_close(run);
}

/* ---- failures ---- */

struct fault {
    uint64_t calls, first, last; /* calls of llama_decode that fail: first to last */
    uint64_t poisoned;           /* item whose logits become NaN; 0: none */
};

static int32_t failing_decode(void *context, int32_t result) {
    struct fault *fault = context;
    uint64_t call = ++fault->calls;
    return call >= fault->first && call <= fault->last ? -3 : result;
}

static void poison(void *context, const struct tl_item *item, const float *logits, size_t count) {
    const struct fault *fault = context;
    if (item->id == fault->poisoned)
        ((float *)logits)[count / 2] = NAN;
}

/* A decode that waits for the only sequence finds its saved prefix when its turn comes, and computes none of it. */
static void test_waiting_for_the_only_sequence(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine("\"context_size\": 256, \"parallel\": 1, \"reserve\": 64, \"threads\": 1");
    struct tl_value *saved = ask(run, "Count from one to ten in words.");
    struct tl_value *other = ask(run, "Write something about the sea.");
    struct tl_llm_counters before = tl_llama_count(engine_of(run));
    assert_int_equal(before.saves, 1);
    struct tl_conformance_item item;
    tl_llama_test_decode(run, tl_value_ref(other), 8, &item);
    struct tl_conformance_held *first = tl_conformance_submit(run, &item);
    tl_conformance_step(run);
    tl_llama_test_decode(run, tl_value_ref(saved), 8, &item);
    struct tl_conformance_held *second = tl_conformance_submit(run, &item);
    for (size_t i = 0; i < 4; i++)
        tl_conformance_step(run);
    assert_false(tl_conformance_outcome(first)->finished);
    struct tl_llm_counters waiting = tl_llama_count(engine_of(run));
    assert_int_equal(waiting.saves, before.saves);
    assert_int_equal(waiting.saved_bytes, before.saved_bytes);
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(second)->usage.tokens_computed, 0);
    assert_int_equal(tl_llama_count(engine_of(run)).lost, 0);
    assert_true(strlen(text_of(first)) > 0 && strlen(text_of(second)) > 0);
    tl_value_unref(saved);
    tl_value_unref(other);
    tl_conformance_close(run);
}

/* The row behind a prompt is computed with it and kept: each decode of the kv value begins with it, and one token takes no
 * call. Rows are bounded; beyond that a decode computes the prompt's last token, and writes the same. */
static void test_the_first_token_takes_no_call(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine("\"context_size\": 256, \"parallel\": 2, \"reserve\": 64, \"threads\": 1");
    struct tl_llama_engine *engine = engine_of(run);
    struct tl_value *kv = ask(run, "Name three colours.");
    struct tl_llm_counters filled = tl_llama_count(engine);
    assert_int_equal(engine->rows, 1);
    const struct tl_conformance_outcome *outcome =
        tl_conformance_outcome(decode_with(run, kv, 6, "ignore_eos", "true"));
    struct tl_llm_counters counters = tl_llama_count(engine);
    assert_int_equal(outcome->usage.tokens_out, 6);
    assert_int_equal(outcome->usage.tokens_computed, 0);
    assert_int_equal(counters.write_calls - filled.write_calls, 5);
    assert_int_equal(counters.fill_calls, filled.fill_calls);
    decode_with(run, kv, 1, "ignore_eos", "true"); /* ends before anything is computed */
    assert_int_equal(tl_llama_count(engine).write_calls, counters.write_calls);

    struct tl_value *kept[9];
    for (size_t i = 0; i < 9; i++)
        kept[i] = ask(run, "Name three colours.");
    assert_int_equal(engine->rows, 8); /* four for each that computes */
    struct tl_llm_counters before = tl_llama_count(engine);
    struct tl_conformance_held *held = decode_with(run, kept[8], 6, "ignore_eos", "true");
    assert_string_equal(text_of(held), outcome->outputs[0]->as.text.data);
    assert_int_equal(tl_conformance_outcome(held)->usage.tokens_computed, 1);
    assert_int_equal(tl_llama_count(engine).write_calls - before.write_calls, 6);
    for (size_t i = 0; i < 9; i++)
        tl_value_unref(kept[i]);
    tl_conformance_step(run); /* takes back what was released */
    assert_int_equal(engine->rows, 1);
    tl_value_unref(kv);
    tl_conformance_close(run);
}

/* What is looked up is written as it would be without, in fewer calls, whatever is proposed and in whatever format. */
static void test_looking_up(void **state) {
    (void)state;
    static const char *const question = "Repeat word for word: The quick brown fox jumps over the lazy dog. The quick "
                                        "brown fox jumps over the lazy dog.";
    char texts[2][2][512];
    uint64_t calls[2], written[2];
    for (int looks = 0; looks < 2; looks++) {
        struct tl_conformance *run =
            open_engine(looks ? "\"context_size\": 256, \"reserve\": 64, \"threads\": 1, \"lookup\": 7"
                              : "\"context_size\": 256, \"reserve\": 64, \"threads\": 1");
        struct tl_value *kv = ask(run, question);
        struct tl_conformance_held *plain = decode_with(run, kv, 32, NULL, NULL);
        const struct tl_conformance_outcome *outcome = tl_conformance_outcome(plain);
        snprintf(texts[looks][0], sizeof texts[looks][0], "%s", text_of(plain));
        assert_string_equal(outcome->deltas.data, text_of(plain));
        written[looks] = outcome->usage.tokens_out;
        calls[looks] = tl_llama_count(engine_of(run)).write_calls;
        struct tl_conformance_held *stopped = decode_with(run, kv, 32, "stop", "[\"lazy\"]");
        snprintf(texts[looks][1], sizeof texts[looks][1], "%s", text_of(stopped));
        struct tl_llm_counters counters = tl_llama_count(engine_of(run));
        assert_int_equal(outcome->usage.tokens_drafted + tl_conformance_outcome(stopped)->usage.tokens_drafted,
                         counters.drafted);
        assert_int_equal(outcome->usage.tokens_accepted + tl_conformance_outcome(stopped)->usage.tokens_accepted,
                         counters.accepted);
        assert_true(looks ? counters.accepted > 5 : counters.drafted == 0);
        struct tl_conformance_held *list = decode_with(run, kv, 40, "format", "list");
        assert_int_equal(tl_conformance_outcome(list)->status, TL_OK);
        tl_llm_check(engine_of(run)->core);
        tl_value_unref(kv);
        tl_conformance_close(run);
    }
    assert_string_equal(texts[0][0], texts[1][0]);
    assert_string_equal(texts[0][1], texts[1][1]);
    assert_int_equal(written[0], written[1]);
    assert_true(written[0] > 12 && calls[1] + 5 < calls[0]);
}

static void test_failures_stay_with_their_item(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine(SMALL);
    struct tl_value *kv = ask(run, "Name a colour.");
    struct fault fault = {0};
    struct tl_conformance_held *expected = decode_with(run, kv, 8, NULL, NULL);
    engine_of(run)->hooks = (struct tl_llama_hooks){.context = &fault, .decode = failing_decode, .logits = poison};

    /* A call of three fails; tried one by one, the second fails again, the others go on. */
    struct tl_conformance_held *held[3];
    for (size_t i = 0; i < 3; i++) {
        struct tl_conformance_item item;
        tl_llama_test_decode(run, tl_value_ref(kv), 8, &item);
        held[i] = tl_conformance_submit(run, &item);
    }
    while (fault.calls < 2)
        tl_conformance_step(run);
    /* The next call of the three, and the second of those made alone. */
    fault.first = fault.last = fault.calls + 1;
    engine_of(run)->hooks.decode = failing_decode;
    tl_conformance_step(run);
    tl_conformance_finish(run);
    for (size_t i = 0; i < 3; i++) /* a failure that does not repeat costs a retry and nothing else */
        assert_string_equal(text_of(held[i]), text_of(expected));

    struct tl_conformance_item item;
    for (size_t i = 0; i < 3; i++) {
        tl_llama_test_decode(run, tl_value_ref(kv), 8, &item);
        held[i] = tl_conformance_submit(run, &item);
    }
    fault = (struct fault){.poisoned = tl_conformance_item_of(held[1])->id};
    tl_conformance_finish(run);
    assert_int_equal(tl_conformance_outcome(held[1])->status, TL_ERR_ENGINE);
    assert_non_null(strstr(tl_conformance_outcome(held[1])->message, "not a number"));
    assert_string_equal(text_of(held[0]), text_of(expected));
    assert_string_equal(text_of(held[2]), text_of(expected));

    /* A failure that stays: every item fails with a sentence, and the engine works on afterwards. */
    fault = (struct fault){.first = 1, .last = UINT64_MAX};
    tl_llama_test_decode(run, tl_value_ref(kv), 8, &item);
    held[0] = tl_conformance_submit(run, &item);
    held[1] = tl_llama_test_prefill(run, TL_OP_PREFILL, tl_llama_test_ask("Another one"), NULL);
    tl_conformance_finish(run);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(tl_conformance_outcome(held[i])->status, TL_ERR_ENGINE);
        assert_non_null(strstr(tl_conformance_outcome(held[i])->message, "position"));
    }
    engine_of(run)->hooks = (struct tl_llama_hooks){0};
    assert_string_equal(text_of(decode_with(run, kv, 8, NULL, NULL)), text_of(expected));
    tl_value_unref(kv);
    tl_conformance_close(run);
}

/* Handles outlive the engine. Nothing can be decoded from one of another engine; a prefill with one computes what it
 * does not know. */
static void test_handles_of_others(void **state) {
    (void)state;
    struct tl_conformance *first = open_engine(SMALL);
    struct tl_value *kv = ask(first, "Hello");
    tl_conformance_close(first);
    struct tl_conformance *second = open_engine(SMALL);
    struct tl_conformance_held *held = decode_with(second, kv, 4, NULL, NULL);
    assert_int_equal(tl_conformance_outcome(held)->status, TL_ERR_INVALID);
    held = tl_llama_test_prefill(second, TL_OP_FULL_PREFILL, tl_llama_test_ask("Hello"), tl_value_ref(kv));
    tl_conformance_finish(second);
    const struct tl_usage *usage = &tl_conformance_outcome(held)->usage;
    assert_int_equal(tl_conformance_outcome(held)->status, TL_OK);
    assert_int_equal(usage->tokens_reused, 0);
    assert_int_equal(usage->tokens_computed, usage->tokens_in);
    tl_conformance_close(second);
    tl_value_unref(kv);
}

static void *drop(void *kv) {
    tl_value_unref(kv);
    return NULL;
}

/* The last reference of a handle may go on any thread while the engine computes. */
static void test_released_on_other_threads(void **state) {
    (void)state;
    struct tl_conformance *run = open_engine(SMALL);
    pthread_t threads[6];
    struct tl_value *base = ask(run, "Hello");
    for (size_t i = 0; i < 6; i++) {
        struct tl_value *kv = tl_llama_test_kv(run, TL_OP_FULL_PREFILL, tl_llama_test_ask("Hello"), tl_value_ref(base));
        struct tl_conformance_item item;
        tl_llama_test_decode(run, tl_value_ref(base), 3, &item);
        tl_conformance_submit(run, &item);
        assert_int_equal(pthread_create(&threads[i], NULL, drop, kv), 0);
        tl_conformance_step(run);
    }
    tl_value_unref(base);
    for (size_t i = 0; i < 6; i++)
        pthread_join(threads[i], NULL);
    tl_conformance_finish(run);
    tl_conformance_close(run);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bounds_and_stops),
        cmocka_unit_test(test_ignores_the_end),
        cmocka_unit_test(test_wrong_attributes_are_refused),
        cmocka_unit_test(test_seeds),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_trimming_is_reported),
        cmocka_unit_test(test_waiting_for_the_only_sequence),
        cmocka_unit_test(test_the_first_token_takes_no_call),
        cmocka_unit_test(test_looking_up),
        cmocka_unit_test(test_failures_stay_with_their_item),
        cmocka_unit_test(test_handles_of_others),
        cmocka_unit_test(test_released_on_other_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

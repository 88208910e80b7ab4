/* llama_switches_test.c: what shortens decoding, each on and off (settings jump_forward, ask_first, lookup): the same text
 * comes out, in as many calls and questions as each says.
 * The rows of logits are made up here, from the number of choices made before, so that a comparison does not depend on
 * how a machine rounds calls of several rows. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "engine/engines.h"
#include "engine/llama/llama_internal.h"
#include "engine/llama/llama_test_support.h"

/* What a decode did, as seen from outside. */
struct seen {
    uint64_t choices, fed; /* rows that something was chosen by; tokens that went into the model */
    size_t largest;        /* of the ranges fed */
    struct tl_usage usage;
    char text[2048];       /* what came out, as JSON */
};

struct decode {
    const char *format, *name, *value; /* an attribute */
    int64_t temperature, seed;
};

static void make_row(void *context, const struct tl_item *item, const float *logits, size_t count) {
    struct seen *seen = context;
    (void)item;
    uint64_t row = seen->choices++;
    for (size_t i = 0; i < count; i++)
        ((float *)(uintptr_t)logits)[i] = (float)(tl_hash_u64(i, row) >> 40) * 0x1p-20f;
}

static void note_fed(void *context, const struct tl_item *item, size_t position, const llama_token *ids, size_t count) {
    struct seen *seen = context;
    (void)item;
    (void)position;
    (void)ids;
    seen->fed += count;
    seen->largest = count > seen->largest ? count : seen->largest;
}

#define PERSON \
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":20},\"kind\":{\"enum\":" \
    "[\"person\",\"place\"]},\"year\":{\"type\":\"integer\",\"minimum\":1000,\"maximum\":2100}},\"required\":" \
    "[\"name\",\"kind\",\"year\"]}"
#define REPEATING \
    "{\"type\":\"array\",\"minItems\":3,\"maxItems\":3,\"items\":{\"type\":\"object\",\"properties\":{\"is it so\":" \
    "{\"type\":\"boolean\"}},\"required\":[\"is it so\"]}}"
#define TOOLS \
    "[{\"name\":\"search\",\"parameters\":{\"properties\":{\"query\":{\"type\":\"string\",\"maxLength\":20}}," \
    "\"required\":[\"query\"]}},{\"name\":\"stop\"}]"

static const struct decode decodes[] = {
    {"list", "on_error", "skip", 0, 0},
    {"json", "schema", PERSON, 0, 0},
    {"json", "schema", PERSON, 1, 7},
    {"choice", "choices", "[\"the first of the two\", \"the first of the three\", \"the first one\"]", 0, 0},
    {"tool_call", "tools", TOOLS, 0, 0},
    {"json", "schema", REPEATING, 0, 0},
};

enum { DECODES = sizeof decodes / sizeof decodes[0] };

static void write_one(struct tl_conformance *run, const struct decode *decode, struct seen *seen) {
    struct tl_llama_engine *engine = (struct tl_llama_engine *)tl_conformance_engine(run);
    struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask("Write something."), NULL);
    struct tl_conformance_item item;
    tl_llama_test_decode(run, kv, 32, &item);
    tl_attributes_set_string(&item.attributes, item.arena, "format", decode->format);
    tl_attributes_set_string(&item.attributes, item.arena, decode->name, decode->value);
    tl_attributes_set_number(&item.attributes, item.arena, "temperature", (double)decode->temperature);
    tl_attributes_set_integer(&item.attributes, item.arena, "seed", decode->seed);
    *seen = (struct seen){0};
    engine->hooks = (struct tl_llama_hooks){.context = seen, .fed = note_fed, .logits = make_row};
    struct tl_conformance_held *held = tl_conformance_submit(run, &item);
    tl_conformance_finish(run);
    engine->hooks = (struct tl_llama_hooks){0};
    const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    if (outcome->status != TL_OK)
        fail_msg("%s", outcome->message);
    json_t *json = tl_value_to_json(outcome->outputs[0]);
    size_t length = json_dumpb(json, seen->text, sizeof seen->text - 1, JSON_ENCODE_ANY);
    assert_in_range(length, 1, sizeof seen->text - 1);
    seen->usage = outcome->usage;
    json_decref(json);
    tl_llm_check(engine->core);
}

/* All decodes with these settings. */
static void write_all(const char *switches, struct seen *seen) {
    static char settings[1024], all[1024];
    snprintf(all, sizeof all, "\"context_size\": 256, \"parallel\": 1, \"reserve\": 64, \"threads\": 1%s", switches);
    tl_llama_test_settings(settings, sizeof settings, all);
    const struct tl_conformance_subject subject = {.ops = &tl_llama_engine, .settings = settings, .kinds = 1};
    struct tl_conformance *run = tl_conformance_open(&subject);
    for (size_t i = 0; i < DECODES; i++)
        write_one(run, &decodes[i], &seen[i]);
    tl_conformance_close(run);
}

/* All on, whether it pays or not. */
static struct seen plain[DECODES];

static int write_plain(void **state) {
    (void)state;
    write_all(", \"jump_forward\": 1", plain);
    return 0;
}

/* With it a call for each choice; without it one for each token. */
static void test_jump_forward(void **state) {
    (void)state;
    static struct seen stepped[DECODES], measured[DECODES];
    write_all(", \"jump_forward\": 0", stepped);
    write_all("", measured);
    for (size_t i = 0; i < DECODES; i++) {
        const struct seen *on = &plain[i], *off = &stepped[i];
        assert_string_equal(on->text, off->text);
        assert_int_equal(on->usage.tokens_out, off->usage.tokens_out);
        assert_int_equal(on->usage.tokens_forced, off->usage.tokens_forced);
        assert_int_equal(on->choices, off->choices);
        assert_int_equal(on->fed, off->fed);
        assert_int_equal(off->largest, 1);
        assert_int_equal(on->usage.calls, on->choices); /* something is forced before each first choice */
        assert_int_equal(off->usage.calls, off->fed);
        assert_true(on->usage.calls < off->usage.calls && on->usage.tokens_forced > 0);
        assert_string_equal(on->text, measured[i].text); /* in as many calls as pays */
        assert_in_range(measured[i].usage.calls, on->usage.calls, off->usage.calls);
    }
}

/* With it as few as need be are asked about; without it all, in every choice. */
static void test_ask_first(void **state) {
    (void)state;
    static struct seen masked[DECODES];
    write_all(", \"jump_forward\": 1, \"ask_first\": false", masked);
    for (size_t i = 0; i < DECODES; i++) {
        const struct seen *on = &plain[i], *off = &masked[i];
        assert_int_equal(off->usage.tokens_asked % off->choices, 0);
        assert_in_range(off->usage.tokens_asked / off->choices, 49000, 50000); /* the vocabulary */
        assert_in_range(on->usage.tokens_refused, 1, on->choices);
        assert_true(on->usage.tokens_asked > on->choices);
        if (decodes[i].temperature > 0) /* another draw */
            continue;
        assert_true(on->usage.tokens_asked < off->usage.tokens_asked);
        assert_string_equal(on->text, off->text);
        assert_int_equal(on->usage.calls, off->usage.calls);
        assert_int_equal(on->usage.tokens_refused, off->usage.tokens_refused);
    }
}

/* Proposals may be of what the format writes, too; each that is right saves a call. */
static void test_looking_up_too(void **state) {
    (void)state;
    static struct seen stepped[DECODES], looked_up[DECODES], both[DECODES];
    write_all(", \"jump_forward\": 0", stepped);
    write_all(", \"jump_forward\": 0, \"lookup\": 7", looked_up);
    write_all(", \"jump_forward\": 1, \"lookup\": 7", both);
    uint64_t accepted = 0;
    for (size_t i = 0; i < DECODES; i++) {
        assert_string_equal(plain[i].text, looked_up[i].text);
        assert_string_equal(plain[i].text, both[i].text);
        assert_int_equal(stepped[i].usage.calls - looked_up[i].usage.calls, looked_up[i].usage.tokens_accepted);
        assert_true(both[i].usage.calls <= plain[i].usage.calls);
        accepted += looked_up[i].usage.tokens_accepted;
    }
    assert_true(accepted > 0);
}

/* What does not fit is refused with the same sentence, whether it is fed at once or not. */
static void test_what_does_not_fit(void **state) {
    (void)state;
    char messages[2][512];
    for (int jumps = 0; jumps < 2; jumps++) {
        char settings[1024];
        tl_llama_test_settings(settings, sizeof settings,
                               jumps ? "\"context_size\": 64, \"reserve\": 1, \"threads\": 1"
                                     : "\"context_size\": 64, \"reserve\": 1, \"threads\": 1, \"jump_forward\": 0");
        const struct tl_conformance_subject subject = {.ops = &tl_llama_engine, .settings = settings, .kinds = 1};
        struct tl_conformance *run = tl_conformance_open(&subject);
        struct tl_value *kv = tl_llama_test_kv(run, TL_OP_PREFILL, tl_llama_test_ask("Write."), NULL);
        struct tl_conformance_item item;
        tl_llama_test_decode(run, kv, 8, &item);
        tl_attributes_set_string(&item.attributes, item.arena, "format", "json");
        tl_attributes_set_string(
            &item.attributes, item.arena, "schema",
            "{\"type\":\"object\",\"properties\":{\"a member with a name that is far longer than "
            "what is left of the context when the prompt stands in it, as it goes on, and on, and "
            "on, and on, and on, and on, and on\":{\"type\":\"boolean\"}},\"required\":[\"a member "
            "with a name that is far longer than what is left of the context when the prompt "
            "stands in it, as it goes on, and on, and on, and on, and on, and on, and on\"]}");
        struct tl_conformance_held *held = tl_conformance_submit(run, &item);
        tl_conformance_finish(run);
        assert_int_equal(tl_conformance_outcome(held)->status, TL_ERR_LIMIT);
        snprintf(messages[jumps], sizeof messages[jumps], "%s", tl_conformance_outcome(held)->message);
        tl_conformance_close(run);
    }
    assert_string_equal(messages[0], messages[1]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jump_forward),
        cmocka_unit_test(test_ask_first),
        cmocka_unit_test(test_looking_up_too),
        cmocka_unit_test(test_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, write_plain, NULL);
}

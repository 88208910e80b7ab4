/* emulated_llm_test.c: an emulated language model shows what engine/llm decides: what is shared is computed once, who is
 * preempted loses nothing, KV is never more than there is room for, and nothing of it is left in the end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/emulated/virtual.h"
#include "engine/engines.h"

/* An item and what became of it. */
struct held {
    struct tl_item item; /* first */
    struct tl_attributes attributes;
    struct tl_value *input, *output; /* owned */
    struct tl_usage usage;
    struct tl_str text; /* deltas */
    bool ended;
};

struct machine {
    struct tl_engine *engine;
    struct tl_emit emit;
    struct tl_emulated_world world;
    struct tl_arena arena;
    double ms;
};

static void on_spend(void *context, uint64_t nanoseconds) {
    ((struct machine *)context)->ms += (double)nanoseconds / 1e6;
}

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    struct held *held = (struct held *)item;
    (void)context;
    assert_int_equal(count, 1);
    held->output = outputs[0];
    held->usage = *usage;
    held->ended = true;
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    (void)context, (void)item, (void)status;
    fail_msg("%s", message);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    (void)context;
    tl_str_append(&((struct held *)item)->text, text, length);
}

static void open_machine(struct machine *machine, const char *settings) {
    struct tl_error error = {0};
    json_t *json = json_loads(settings, 0, NULL);
    assert_non_null(json);
    *machine = (struct machine){0};
    machine->emit = (struct tl_emit){.context = machine, .done = on_done, .fail = on_fail, .delta = on_delta};
    machine->world = (struct tl_emulated_world){.context = machine, .spend = on_spend};
    tl_arena_init(&machine->arena);
    if (tl_emulated_engine.create("llm", json, &machine->engine, &error) != TL_OK)
        fail_msg("%s", error.message);
    json_decref(json);
    tl_emulated_join(machine->engine, &machine->world);
    assert_int_equal(tl_emulated_engine.open(machine->engine, &machine->emit, &error), TL_OK);
}

static struct tl_emulated_kv kv_of(const struct machine *machine) {
    struct tl_emulated_kv kv;
    tl_emulated_get_kv(machine->engine, &kv);
    return kv;
}

static void close_machine(struct machine *machine) {
    assert_int_equal(machine->world.resources, 0);
    tl_emulated_engine.close(machine->engine);
    tl_emulated_engine.destroy(machine->engine);
    tl_arena_fini(&machine->arena);
}

static void submit(struct machine *machine, struct held *held, enum tl_primitive op, double rank,
                   struct tl_value *input) {
    static const char *const names[] = {"prompt"};
    held->input = input;
    held->item = (struct tl_item){.op = op,
                                  .attributes = &held->attributes,
                                  .label = "item",
                                  .inputs = &held->input,
                                  .input_names = names,
                                  .input_count = 1,
                                  .rank = rank,
                                  .stream = op == TL_OP_DECODE};
    struct tl_item *items[] = {&held->item};
    tl_emulated_engine.submit(machine->engine, items, 1);
}

static void drop(struct held *held) {
    assert_true(held->ended);
    tl_value_unref(held->input);
    tl_value_unref(held->output);
    tl_str_fini(&held->text);
    *held = (struct held){.ended = false};
}

/* One iteration, in which KV stays within its bound. */
static bool step(struct machine *machine) {
    bool more = tl_emulated_engine.step(machine->engine);
    struct tl_emulated_kv kv = kv_of(machine);
    assert_true(kv.tokens <= kv.most && kv.most <= kv.limit);
    return more;
}

static void finish(struct machine *machine) {
    while (step(machine)) {
    }
}

/* A prompt of `shared` tokens that all have, static ones, and `own` others. */
static struct tl_value *prompt_of(size_t shared, size_t own, unsigned number) {
    struct tl_str first = TL_STR_INIT, second = TL_STR_INIT;
    for (size_t bytes = strlen("\n<1>\n"); bytes < 4 * shared; bytes++)
        tl_str_putc(&first, (char)('a' + bytes % 23));
    for (size_t i = 0; i < own; i++)
        tl_str_printf(&second, "%c%03zu", (char)('A' + number), i);
    const struct tl_prompt_part parts[] = {{TL_ROLE_USER, 0, TL_PART_STATIC, first.data, first.length},
                                           {TL_ROLE_USER, 0, 0, second.data, second.length}};
    struct tl_value *prompt = tl_value_prompt(parts, 2);
    tl_str_fini(&first);
    tl_str_fini(&second);
    return prompt;
}

enum { QUERIES = 8, SHARED = 400, OWN = 100, WORDS = 20 };

/* Eight prompts at once that begin alike. */
static void ask_all(struct machine *machine, uint64_t *computed, uint64_t *reused) {
    struct held prefills[QUERIES] = {{.ended = false}}, decodes[QUERIES] = {{.ended = false}};
    *computed = *reused = 0;
    for (unsigned i = 0; i < QUERIES; i++)
        submit(machine, &prefills[i], TL_OP_PREFILL, 0, prompt_of(SHARED, OWN, i));
    finish(machine);
    for (unsigned i = 0; i < QUERIES; i++) {
        assert_int_equal(prefills[i].usage.tokens_in, SHARED + OWN);
        *computed += prefills[i].usage.tokens_computed;
        *reused += prefills[i].usage.tokens_reused;
        submit(machine, &decodes[i], TL_OP_DECODE, 0, tl_value_ref(prefills[i].output));
    }
    finish(machine);
    for (unsigned i = 0; i < QUERIES; i++) {
        assert_int_equal(decodes[i].usage.tokens_out, WORDS);
        assert_int_equal(decodes[i].usage.calls, WORDS - 1); /* the first follows from the prompt */
        drop(&prefills[i]);
        drop(&decodes[i]);
    }
}

static void what_is_shared_is_computed_once(void **state) {
    (void)state;
    struct machine machine;
    open_machine(&machine, "{\"serves\": [\"llm\"], \"iteration_tokens\": 256}");
    uint64_t computed, reused;
    ask_all(&machine, &computed, &reused);
    assert_int_equal(computed, SHARED + QUERIES * OWN);
    assert_int_equal(reused, (QUERIES - 1) * SHARED);
    struct tl_emulated_kv kv = kv_of(&machine);
    assert_int_equal(kv.work.waits, QUERIES - 1);
    /* Five iterations for 1,200 prompt tokens, then one for each word but the first. */
    assert_true(machine.ms > 5 * 18 + 0.24 * 1200 + (WORDS - 1) * (18 + 0.4 * (QUERIES - 1)) - 0.001);
    assert_true(machine.ms < 5 * 18 + 0.24 * 1200 + (WORDS - 1) * (18 + 0.4 * (QUERIES - 1)) + 0.001);
    /* The shared beginning is pinned, and nothing is held by anybody. */
    assert_int_equal(kv.work.pinned_bytes, SHARED);
    assert_int_equal(kv.work.handles + kv.work.requests, 0);
    close_machine(&machine);
}

static void without_a_prefix_cache_nothing_is_shared_or_left(void **state) {
    (void)state;
    struct machine machine;
    open_machine(&machine, "{\"serves\": [\"llm\"], \"prefix_cache\": false}");
    uint64_t computed, reused;
    ask_all(&machine, &computed, &reused);
    assert_int_equal(computed, QUERIES * (SHARED + OWN));
    assert_int_equal(reused, 0);
    struct tl_emulated_kv kv = kv_of(&machine);
    assert_int_equal(kv.tokens, 0);
    assert_int_equal(kv.work.resident + kv.work.saved + kv.work.handles + kv.work.requests, 0);
    close_machine(&machine);
}

/* More than there is room for: what is held goes to main memory and comes back, or is computed again. */
static void too_little_room_is_enough(void **state) {
    (void)state;
    static const char *const settings[] = {
        "{\"serves\": [\"llm\"], \"context_tokens\": 600, \"kv_tokens\": 1300, \"prefix_cache\": false}",
        "{\"serves\": [\"llm\"], \"context_tokens\": 600, \"kv_tokens\": 1300, \"host_tokens\": 0}",
        "{\"serves\": [\"llm\"], \"context_tokens\": 600, \"kv_tokens\": 600, \"transfer_token_ms\": 0.1}",
    };
    for (size_t i = 0; i < 3; i++) {
        struct machine machine;
        uint64_t computed, reused;
        open_machine(&machine, settings[i]);
        ask_all(&machine, &computed, &reused);
        struct tl_emulated_kv kv = kv_of(&machine);
        assert_true(kv.most > 500);
        assert_int_equal(kv.work.saves > 0, i != 1 || kv.work.saves > 0);
        assert_int_equal(kv.work.lost > 0, i == 1); /* no main memory: prefilled again when it is written from */
        assert_int_equal(i == 0 ? kv.tokens : 0, 0);
        close_machine(&machine);
    }
}

/* The text that a prompt leads to, with another query of higher rank that comes after `after` words; 0: none. */
static struct tl_str written(struct machine *machine, size_t after) {
    struct held prefill = {.ended = false}, decode = {.ended = false}, other = {.ended = false};
    submit(machine, &prefill, TL_OP_PREFILL, 0, prompt_of(0, 50, 1));
    finish(machine);
    submit(machine, &decode, TL_OP_DECODE, 0, tl_value_ref(prefill.output));
    for (size_t i = 1; i < after; i++)
        assert_true(step(machine));
    if (after > 0)
        submit(machine, &other, TL_OP_PREFILL, 100, prompt_of(0, 50, 2));
    if (after > 0) {
        step(machine);
        assert_true(other.ended && !decode.ended);
    }
    finish(machine);
    struct tl_str text = TL_STR_INIT;
    tl_str_append(&text, decode.text.data, decode.text.length);
    assert_int_equal(text.length, decode.output->as.text.length);
    drop(&prefill);
    drop(&decode);
    if (after > 0)
        drop(&other);
    return text;
}

static void who_is_preempted_loses_nothing(void **state) {
    (void)state;
    static const char settings[] = "{\"serves\": [\"llm\"], \"sequences\": 1, \"preempt_margin\": 10}";
    struct machine alone, both;
    open_machine(&alone, settings);
    open_machine(&both, settings);
    struct tl_str text = written(&alone, 0), same = written(&both, 7);
    assert_string_equal(text.data, same.data);
    struct tl_emulated_kv kv = kv_of(&both);
    assert_int_equal(kv.work.preemptions, 1);
    assert_int_equal(kv.work.lost, 0);
    /* All that the other one adds is its own prefill, but for the token that all prompts begin with. */
    assert_true(both.ms > alone.ms + 18 + 0.24 * 50 && both.ms < alone.ms + 18 + 0.24 * 52);
    tl_str_fini(&text);
    tl_str_fini(&same);
    close_machine(&alone);
    close_machine(&both);
}

/* An iteration is one call: what writes and the first prompt beside it. */
static void a_prompt_goes_with_what_writes(void **state) {
    (void)state;
    struct machine machine;
    struct held prefill = {.ended = false}, decode = {.ended = false}, other = {.ended = false};
    open_machine(&machine, "{\"serves\": [\"llm\"], \"iteration_tokens\": 32}");
    submit(&machine, &prefill, TL_OP_PREFILL, 0, prompt_of(0, 50, 1));
    finish(&machine);
    submit(&machine, &decode, TL_OP_DECODE, 0, tl_value_ref(prefill.output));
    step(&machine);
    assert_int_equal(kv_of(&machine).work.joint_calls, 0);
    double before = machine.ms;
    submit(&machine, &other, TL_OP_PREFILL, 0, prompt_of(0, 60, 2));
    step(&machine);
    assert_int_equal(kv_of(&machine).work.joint_calls, 1);
    assert_true(machine.ms > before + 18 + 0.24 * 32 - 0.001 && machine.ms < before + 18 + 0.24 * 32 + 0.001);
    finish(&machine);
    assert_int_equal(kv_of(&machine).work.joint_calls, 2);
    drop(&prefill);
    drop(&decode);
    drop(&other);
    close_machine(&machine);
}

/* The prefill gave the first word: it is there when the decode is accepted. */
static void the_first_word_takes_no_time(void **state) {
    (void)state;
    struct machine machine;
    struct held prefill = {.ended = false}, decode = {.ended = false}, one = {.ended = false};
    open_machine(&machine, "{\"serves\": [\"llm\"]}");
    submit(&machine, &prefill, TL_OP_PREFILL, 0, prompt_of(0, 50, 1));
    finish(&machine);
    double before = machine.ms;
    submit(&machine, &decode, TL_OP_DECODE, 0, tl_value_ref(prefill.output));
    assert_int_equal(decode.text.length, 3);
    tl_attributes_set_integer(&one.attributes, &machine.arena, "max_tokens", 1);
    submit(&machine, &one, TL_OP_DECODE, 0, tl_value_ref(prefill.output));
    assert_true(one.ended && machine.ms <= before);
    finish(&machine);
    assert_true(machine.ms > before + (WORDS - 1) * 18 - 0.001 && machine.ms < before + (WORDS - 1) * 18 + 0.001);
    drop(&prefill);
    drop(&decode);
    drop(&one);
    close_machine(&machine);
}

/* The same prompt once more: its last token is computed again, for the one after it. */
static void a_known_prompt_takes_an_iteration(void **state) {
    (void)state;
    struct machine machine;
    struct held first = {.ended = false}, again = {.ended = false};
    open_machine(&machine, "{\"serves\": [\"llm\"]}");
    submit(&machine, &first, TL_OP_PREFILL, 0, prompt_of(0, 50, 1));
    finish(&machine);
    double before = machine.ms;
    submit(&machine, &again, TL_OP_PREFILL, 0, prompt_of(0, 50, 1));
    finish(&machine);
    assert_int_equal(again.usage.tokens_computed, 1);
    assert_true(machine.ms > before + 18.239 && machine.ms < before + 18.241);
    drop(&first);
    drop(&again);
    close_machine(&machine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shared_is_computed_once),
        cmocka_unit_test(without_a_prefix_cache_nothing_is_shared_or_left),
        cmocka_unit_test(too_little_room_is_enough),
        cmocka_unit_test(who_is_preempted_loses_nothing),
        cmocka_unit_test(a_prompt_goes_with_what_writes),
        cmocka_unit_test(the_first_word_takes_no_time),
        cmocka_unit_test(a_known_prompt_takes_an_iteration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

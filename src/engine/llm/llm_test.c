/* llm_test.c: the core against a model that has none: who is served when, what is computed twice and what is not, and
 * at every row of random runs, that each sequence holds exactly the tokens that it should. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/llm/llm_test_support.h"

static const struct tl_llm_limits usual = {.sequences = 4,
                                           .context_tokens = 256,
                                           .call_tokens = 64,
                                           .chunk = 32,
                                           .chunk_least = 8,
                                           .cache_bytes = 4096,
                                           .pin_bytes = 256,
                                           .preempt_margin = 0.5};

/* Tokens [0, shared) of a family, then tokens of its own. */
static void spell(int32_t *ids, size_t count, size_t shared, int32_t family, int32_t own) {
    for (size_t i = 0; i < count; i++)
        ids[i] = (int32_t)i + 1000 * (i < shared ? family : own);
}

static struct tl_llm_request *ask(struct tl_llm_test_world *world, size_t count, size_t shared, int32_t own,
                                  double rank) {
    int32_t ids[TL_LLM_TEST_CONTEXT];
    spell(ids, count, shared, 1, own);
    return tl_llm_submit(world->core, &(struct tl_llm_ask){.ids = ids, .count = count, .rank = rank, .open = true});
}

static struct tl_llm_request *ask_decode(struct tl_llm_test_world *world, size_t count, size_t shared, int32_t own,
                                         size_t writes) {
    int32_t ids[TL_LLM_TEST_CONTEXT];
    spell(ids, count, shared, 1, own);
    return tl_llm_submit(world->core,
                         &(struct tl_llm_ask){.ids = ids, .count = count, .decode = true, .reserve = writes});
}

/* Writes tokens that follow from the position until `reserve` of them are there. */
static void write_on(struct tl_llm_test_world *world, struct tl_llm_request *request,
                     const struct tl_llm_range *range) {
    (void)range;
    if (request->tokens.count >= request->prompt_count + request->reserve) {
        tl_llm_end(world->core, request);
        return;
    }
    int32_t id = 500000 + (int32_t)request->tokens.count;
    tl_llm_append(world->core, request, &id, 1, 0);
}

static struct tl_llm_test_world usual_world(void) {
    return (struct tl_llm_test_world){.seed = 1, .wrote = write_on};
}

static size_t run_out(struct tl_llm_test_world *world) {
    size_t steps = 0;
    while (tl_llm_first(world->core)) {
        tl_llm_test_step(world);
        assert_true(++steps < 10000);
    }
    return steps;
}

/* ---- what is computed ---- */

static void test_a_shared_prefix_is_computed_once(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &usual, false);
    for (int32_t i = 0; i < 8; i++)
        ask(&world, 120, 100, 2 + i, 0);
    run_out(&world);
    struct tl_llm_counters counters = tl_llm_count(world.core);
    assert_int_equal(counters.asked, 8 * 120);
    assert_int_equal(counters.computed, 100 + 8 * 20);
    assert_int_equal(counters.reused, 7 * 100);
    assert_int_equal(counters.waits, 7);
    tl_llm_test_close(&world);
}

static void test_an_answer_is_reused_by_what_follows_it(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &usual, false);
    ask_decode(&world, 50, 50, 0, 20);
    run_out(&world);
    int32_t ids[90];
    spell(ids, 90, 50, 1, 7);
    for (int32_t i = 50; i < 70; i++)
        ids[i] = 500000 + i;
    tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 90, .open = true});
    run_out(&world);
    struct tl_llm_counters counters = tl_llm_count(world.core);
    assert_int_equal(counters.reused, 70);
    assert_int_equal(counters.computed, 50 + 20);
    tl_llm_test_close(&world);
}

static void test_salts_share_nothing(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &usual, false);
    int32_t ids[60];
    spell(ids, 60, 60, 1, 0);
    for (uint64_t i = 0; i < 4; i++)
        tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 60, .open = true, .salt = i % 2});
    run_out(&world);
    assert_int_equal(tl_llm_count(world.core).computed, 120);
    tl_llm_test_close(&world);
}

/* Three decodes of one prompt: computed once, its last token by each. */
static void test_forks(void **state) {
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        struct tl_llm_test_world world = usual_world();
        tl_llm_test_open(&world, &usual, layout == 1);
        ask(&world, 59, 59, 0, 0); /* as a closed prompt of 60, whose last token is left to the decode */
        run_out(&world);
        for (int i = 0; i < 3; i++)
            ask_decode(&world, 60, 60, 0, 5);
        run_out(&world);
        struct tl_llm_counters counters = tl_llm_count(world.core);
        assert_int_equal(counters.computed, 59 + 3);
        assert_int_equal(counters.lost, 0);
        assert_int_equal(counters.shares, layout == 1 ? 2 : 0);
        assert_int_equal(counters.loads, layout == 1 ? 0 : 2);
        assert_int_equal(counters.saves, layout == 1 ? 0 : 1); /* one snapshot serves both */
        tl_llm_test_close(&world);
    }
}

static size_t known_rows;

static void note_row(struct tl_llm_test_world *world, struct tl_llm_request *request) {
    (void)world, (void)request;
    known_rows++;
}

/* A prompt whose last row is kept: decodes begin without a call, and its last token is computed once for all of them; once
 * more for the next such prompt, though its KV is there. */
static void test_a_known_row_saves_a_call(void **state) {
    (void)state;
    for (int layout = 0; layout < 2; layout++) {
        struct tl_llm_test_world world = usual_world();
        world.row = note_row;
        tl_llm_test_open(&world, &usual, layout == 1);
        int32_t ids[60];
        spell(ids, 60, 60, 1, 0);
        for (size_t round = 0; round < 2; round++) {
            known_rows = 0;
            struct tl_llm_counters before = tl_llm_count(world.core);
            tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 60, .row = true});
            run_out(&world);
            struct tl_llm_counters filled = tl_llm_count(world.core);
            assert_int_equal(known_rows, 1);
            assert_int_equal(filled.computed - before.computed, round == 0 ? 60 : 1);
            struct tl_llm_ask decode = {.ids = ids, .count = 60, .decode = true, .row = true, .reserve = 5};
            for (int i = 0; i < 3; i++)
                tl_llm_submit(world.core, &decode);
            size_t steps = run_out(&world);
            struct tl_llm_counters counters = tl_llm_count(world.core);
            assert_int_equal(counters.computed, filled.computed);
            assert_int_equal(counters.lost, 0);
            assert_int_equal(counters.written - filled.written, 3 * 5); /* also the last one is fed here */
            assert_int_equal(counters.write_calls - filled.write_calls, 5);
            assert_int_equal(steps, 5);
        }
        /* What the format forces is fed first: then the row is of no use, and the last token is not fed again. */
        struct tl_llm_counters before = tl_llm_count(world.core);
        tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids,
                                                       .count = 60,
                                                       .decode = true,
                                                       .row = true,
                                                       .forced = ids,
                                                       .forced_count = 2,
                                                       .reserve = 4});
        run_out(&world);
        assert_int_equal(tl_llm_count(world.core).computed, before.computed);
        assert_int_equal(tl_llm_count(world.core).written - before.written, 4);
        /* Its KV has gone: computed again, without a row more. */
        tl_llm_clear(world.core, true);
        before = tl_llm_count(world.core);
        tl_llm_submit(world.core,
                      &(struct tl_llm_ask){.ids = ids, .count = 60, .decode = true, .row = true, .reserve = 3});
        run_out(&world);
        assert_int_equal(tl_llm_count(world.core).lost - before.lost, 60);
        assert_int_equal(tl_llm_count(world.core).write_calls - before.write_calls, 3);
        tl_llm_test_close(&world);
    }
}

/* Pinned prefixes stay when all else goes, and go by last use beyond their bound. */
static void test_pins(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &usual, false);
    int32_t ids[100];
    for (int32_t family = 1; family <= 4; family++) {
        spell(ids, 100, 80, family, 9);
        tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 100, .open = true, .pin = 80});
        run_out(&world);
    }
    struct tl_llm_counters counters = tl_llm_count(world.core);
    assert_int_equal(counters.pinned, 3); /* 3 x 80 of 256 bytes */
    assert_int_equal(counters.pinned_bytes, 240);
    tl_llm_clear(world.core, false);
    counters = tl_llm_count(world.core);
    assert_int_equal(counters.saved, 3);
    assert_int_equal(counters.resident, 0);
    spell(ids, 100, 80, 4, 11);
    tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 100, .open = true, .pin = 80});
    run_out(&world);
    assert_int_equal(tl_llm_count(world.core).reused, 80);
    assert_int_equal(tl_llm_count(world.core).pinned, 3);
    tl_llm_test_close(&world);
}

/* A beginning that was pinned elsewhere: only what is missing is asked for, and nothing of it is computed. */
static void test_pins_that_are_given(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &usual, false);
    int32_t ids[100], spelt[100];
    spell(ids, 100, 80, 1, 9);
    const struct tl_llm_ask asked = {.ids = ids, .count = 100, .open = true, .pin = 80};
    struct tl_llm_request *request = tl_llm_submit(world.core, &asked);
    assert_int_equal(tl_llm_pin_missing(world.core, request), 80);
    tl_llm_test_give(&world, request);
    assert_int_equal(tl_llm_pin_missing(world.core, request), 0);
    run_out(&world);
    struct tl_llm_counters counters = tl_llm_count(world.core);
    assert_int_equal(counters.given, 80);
    assert_int_equal(counters.reused, 80);
    assert_int_equal(counters.computed, 20);
    assert_int_equal(counters.pinned_bytes, 80);
    const struct tl_llm_copy *copy = tl_llm_next_pinned(world.core, NULL);
    assert_int_equal(copy->mark.length, 80);
    assert_int_equal(copy->saved_length, 80);
    tl_llm_tree_spell(&copy->mark, spelt);
    assert_memory_equal(spelt, ids, 80 * sizeof *ids);
    assert_null(tl_llm_next_pinned(world.core, copy));
    /* Another one that has 40 tokens in common with it. */
    spell(ids, 100, 40, 1, 7);
    request = tl_llm_submit(world.core, &asked);
    assert_int_equal(tl_llm_pin_missing(world.core, request), 40);
    /* Short ones are not worth it. */
    const struct tl_llm_ask few = {.ids = ids + 50, .count = 20, .open = true, .pin = 10};
    struct tl_llm_request *other = tl_llm_submit(world.core, &few);
    assert_int_equal(tl_llm_pin_missing(world.core, other), 0);
    run_out(&world);
    tl_llm_test_close(&world);
}

/* Pins in rotation, one more than there is room for: what is pinned no more stays saved as long as there is room, and is
 * pinned again without being saved again. */
static void test_pins_in_rotation(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.sequences = 1;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &limits, false);
    int32_t ids[100];
    uint64_t saves = 0;
    for (int32_t round = 0; round < 12; round++) {
        spell(ids, 100, 80, 1 + round % 4, 20 + round);
        tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 100, .open = true, .pin = 80});
        run_out(&world);
        struct tl_llm_counters counters = tl_llm_count(world.core);
        assert_int_equal(counters.pinned, round < 3 ? round + 1 : 3);
        if (round >= 4) {
            assert_int_equal(counters.computed, 4 * 100 + (round - 3) * 20);
            assert_int_equal(counters.saves - saves, 1); /* what was in the sequence before, with its own end */
        }
        saves = counters.saves;
    }
    tl_llm_test_close(&world);
}

/* What somebody holds outlives what nobody does, whatever was used last. */
static void keep_handle(struct tl_llm_test_world *world, struct tl_llm_request *request) {
    struct tl_llm_handle **handle = request->user;
    if (handle)
        *handle = tl_llm_handle_create(world->core, request);
    tl_llm_end(world->core, request);
}

static void test_held_prefixes_go_last(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.sequences = 1;
    limits.cache_bytes = 250;
    struct tl_llm_test_world world = usual_world();
    world.filled = keep_handle;
    tl_llm_test_open(&world, &limits, false);
    struct tl_llm_handle *handle = NULL;
    ask(&world, 100, 0, 2, 0)->user = &handle;
    run_out(&world);
    for (int32_t i = 3; i < 9; i++) {
        ask(&world, 100, 0, i, 0);
        run_out(&world);
    }
    ask(&world, 120, 0, 2, 0);
    run_out(&world);
    assert_int_equal(tl_llm_count(world.core).reused, 100);
    assert_true(tl_llm_count(world.core).evicted > 0);
    tl_llm_handle_release(world.core, handle);
    tl_llm_test_close(&world);
}

static void test_nothing_is_kept_that_nobody_holds(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.held_only = true;
    struct tl_llm_test_world world = usual_world();
    world.filled = keep_handle;
    tl_llm_test_open(&world, &limits, false);
    struct tl_llm_handle *handle = NULL;
    ask(&world, 100, 60, 2, 0)->user = &handle;
    ask(&world, 100, 60, 3, 0);
    run_out(&world);
    struct tl_llm_counters counters = tl_llm_count(world.core);
    assert_int_equal(counters.reused, 60);
    assert_true(counters.resident > 0);
    tl_llm_handle_release(world.core, handle);
    counters = tl_llm_count(world.core);
    assert_int_equal(counters.resident + counters.saved, 0);
    tl_llm_test_close(&world);
}

/* Sequences that cannot be cut: only what is whole is reused, and that is. */
static void test_models_that_cannot_be_cut(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.whole_only = true;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &limits, false);
    ask(&world, 60, 60, 0, 0);
    run_out(&world);
    ask(&world, 100, 40, 2, 0); /* parts in the middle of what is there */
    run_out(&world);
    assert_int_equal(tl_llm_count(world.core).reused, 0);
    ask(&world, 100, 60, 3, 0);
    ask(&world, 100, 60, 4, 0);
    run_out(&world);
    assert_int_equal(tl_llm_count(world.core).reused, 120);
    assert_int_equal(tl_llm_count(world.core).computed, 60 + 100 + 40 + 40);
    tl_llm_test_close(&world);
}

/* ---- order ---- */

static struct tl_llm_request *finished[64];
static size_t finished_count;

static void note_end(struct tl_llm_test_world *world, struct tl_llm_request *request) {
    finished[finished_count++] = request;
    tl_llm_end(world->core, request);
}

static void test_prompts_in_turn_by_rank(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    world.filled = note_end;
    finished_count = 0;
    tl_llm_test_open(&world, &usual, false);
    const struct tl_llm_request *low = ask(&world, 80, 0, 2, 1), *high = ask(&world, 80, 0, 3, 3),
                                *middle = ask(&world, 80, 0, 4, 2);
    tl_llm_test_step(&world);
    assert_int_equal(world.prompt_rows, usual.chunk);
    assert_int_equal(high->filled, usual.chunk); /* all of the step went into the first */
    assert_int_equal(low->filled + middle->filled, 0);
    run_out(&world);
    assert_ptr_equal(finished[0], high);
    assert_ptr_equal(finished[1], middle);
    assert_ptr_equal(finished[2], low);
    tl_llm_test_close(&world);
}

/* A request that waits for a prefix lends its rank to who computes it. */
static void test_waiting_lends_its_rank(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &usual, false);
    struct tl_llm_request *low = ask(&world, 200, 150, 2, 1), *middle = ask(&world, 200, 0, 3, 2);
    tl_llm_test_step(&world);
    assert_int_equal(middle->filled, 32);
    while (low->filled == 0) { /* its turn comes when `middle` is done, or when someone important wants its prefix */
        ask(&world, 180, 150, 5, 9);
        tl_llm_test_step(&world);
    }
    assert_true(middle->filled < 200);
    run_out(&world);
    tl_llm_test_close(&world);
}

/* However many of higher rank keep coming, nobody waits for ever. */
static void test_nobody_starves(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &usual, false);
    ask(&world, 90, 0, 2, 0);
    const struct tl_llm_request *low = tl_llm_first(world.core);
    uint64_t arrival = low->arrival;
    size_t steps = 0;
    for (int32_t own = 3;; own++, steps++) {
        while (tl_llm_count(world.core).requests < 9)
            ask(&world, 90, 0, own++, 5);
        tl_llm_test_step(&world);
        if (!tl_llm_first(world.core) || tl_llm_first(world.core)->arrival != arrival)
            break;
        assert_true(steps < 300);
    }
    assert_true(steps > 10); /* it did let others go first */
    run_out(&world);
    tl_llm_test_close(&world);
}

/* A request of much higher rank takes a sequence from a lower one, which goes on later where it was. */
static void test_preempted_work_is_not_lost(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.sequences = 1;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &limits, false);
    ask(&world, 39, 39, 0, 0);
    run_out(&world);
    struct tl_llm_request *decode = ask_decode(&world, 40, 40, 0, 30);
    for (int i = 0; i < 12; i++)
        tl_llm_test_step(&world);
    size_t written = decode->tokens.count;
    assert_true(written > 45);
    ask(&world, 60, 0, 3, 0.4); /* not by so little */
    tl_llm_test_step(&world);
    assert_int_equal(tl_llm_count(world.core).preemptions, 0);
    ask(&world, 60, 0, 4, 1);
    tl_llm_test_step(&world);
    assert_int_equal(tl_llm_count(world.core).preemptions, 1);
    assert_int_equal(decode->state, TL_LLM_WAITING);
    run_out(&world);
    struct tl_llm_counters counters = tl_llm_count(world.core);
    assert_int_equal(counters.computed, 40 + 60 + 60);
    assert_int_equal(counters.written, 30);
    assert_int_equal(counters.lost, 0);
    tl_llm_test_close(&world);
}

/* What only works ahead holds no sequence that a decode could write in. */
static void test_working_ahead_gives_way(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.sequences = 1;
    limits.preempt_margin = -1;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &limits, false);
    const struct tl_llm_request *ahead = ask(&world, 200, 0, 2, 9);
    tl_llm_test_step(&world);
    assert_int_equal(ahead->filled, 32);
    ask_decode(&world, 10, 0, 3, 12);
    tl_llm_test_step(&world);
    assert_int_equal(ahead->state, TL_LLM_WAITING);
    for (int i = 0; i < 10; i++)
        tl_llm_test_step(&world);
    assert_int_equal(ahead->filled, 0); /* it waits until the other has written */
    run_out(&world);
    assert_int_equal(tl_llm_count(world.core).computed, 200 + 10); /* and goes on where it was */
    assert_int_equal(tl_llm_count(world.core).preemptions, 1);
    tl_llm_test_close(&world);
}

/* Decodes go on beside a long prompt, one token a step, and the prompt's share is what time allows. */
static void test_a_step_keeps_its_bound(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.quantum_ms = 20;
    struct tl_llm_test_world world = usual_world();
    world.ms_row = 1;
    tl_llm_test_open(&world, &limits, false);
    assert_int_equal(tl_llm_chunk(world.core, 0), 32); /* nothing measured yet */
    const struct tl_llm_request *decodes[2];
    for (int32_t i = 0; i < 2; i++)
        decodes[i] = ask_decode(&world, 33, 0, 2 + i, 60);
    while (decodes[1]->state != TL_LLM_WRITING || decodes[1]->tokens.count < 36)
        tl_llm_test_step(&world);
    ask(&world, 200, 0, 7, 5);
    size_t before = decodes[0]->tokens.count;
    for (size_t i = 1; i <= 5; i++) {
        tl_llm_test_step(&world);
        assert_int_equal(world.prompt_rows, 18); /* 20 ms less the 2 of two written rows */
        assert_int_equal(decodes[0]->tokens.count, before + i);
    }
    limits.quantum_ms = 1;
    run_out(&world);
    tl_llm_test_close(&world);

    world = usual_world();
    world.ms_row = 1;
    tl_llm_test_open(&world, &limits, false);
    ask(&world, 200, 0, 7, 5);
    tl_llm_test_step(&world);
    tl_llm_test_step(&world);
    assert_int_equal(world.prompt_rows, 8); /* chunk_least */
    run_out(&world);
    tl_llm_test_close(&world);
}

/* So few that they would not be begun are not left over either. */
static void test_no_small_rests(void **state) {
    (void)state;
    for (size_t rest = 8; rest <= 9; rest++) {
        struct tl_llm_test_world world = usual_world();
        struct tl_llm_limits limits = usual;
        world.ms_row = 1;
        limits.quantum_ms = 20;
        tl_llm_test_open(&world, &limits, false);
        ask(&world, 64, 0, 7, 5);
        run_out(&world); /* what a token takes is known */
        ask(&world, 20 + rest, 1, 8, 5);
        tl_llm_test_step(&world);
        assert_int_equal(world.prompt_rows, rest <= limits.chunk_least ? 20 + rest : 20u);
        run_out(&world);
        tl_llm_test_close(&world);
    }
}

/* Two rows in one call are taken apart where that was measured to be faster. */
static void test_few_rows_singly(void **state) {
    (void)state;
    for (int slow = 0; slow < 2; slow++) {
        struct tl_llm_test_world world = usual_world();
        tl_llm_test_open(&world, &usual, false);
        struct tl_llm_range range = {0};
        for (int i = 0; i < 16; i++) {
            tl_llm_measured(world.core, &(struct tl_llm_call){&range, 1, 1, 1, 0}, 8.5);
            tl_llm_measured(world.core, &(struct tl_llm_call){&range, 2, 2, 2, 0}, slow ? 23.5 : 10);
        }
        ask_decode(&world, 1, 0, 2, 9);
        ask_decode(&world, 1, 0, 3, 9);
        tl_llm_test_step(&world);
        assert_int_equal(world.calls, slow ? 2 : 1);
        assert_int_equal(world.rows, 2);
        run_out(&world);
        tl_llm_test_close(&world);
    }
}

static void test_looking_up(void **state) {
    (void)state;
    static const int32_t ids[] = {1, 2, 3, 4, 9, 2, 3, 5, 1, 2, 3};
    int32_t out[8];
    assert_int_equal(tl_llm_lookup(ids, 11, out, 8), 8); /* behind 1 2 3, not the later 2 3 */
    assert_memory_equal(out, ids + 3, 8 * sizeof *out);
    assert_int_equal(tl_llm_lookup(ids, 11, out, 2), 2);
    assert_int_equal(tl_llm_lookup(ids, 7, out, 8), 4); /* 9 2 3 is new, 2 3 is not */
    assert_memory_equal(out, ids + 3, 4 * sizeof *out);
    assert_int_equal(tl_llm_lookup(ids, 6, out, 8), 0);
    assert_int_equal(tl_llm_lookup(ids, 2, out, 8), 0);
    assert_int_equal(tl_llm_lookup(ids, 0, out, 8), 0);
    static const int32_t repeated[] = {7, 7, 7, 7};
    assert_int_equal(tl_llm_lookup(repeated, 4, out, 8), 1);
}

/* An answer that repeats its prompt: what is written is known before, and proposals are right as long as it does. */
static size_t propose_calls;

static void write_proposed(struct tl_llm_test_world *world, struct tl_llm_request *request,
                           const struct tl_llm_range *range) {
    size_t drafted = range->logits - 1, right = 0, certain = request->tokens.count - drafted;
    propose_calls++;
    while (right < drafted && request->tokens.ids[certain + right] == request->tokens.ids[certain + right - 40])
        right++;
    if (drafted > 0)
        tl_llm_reject(world->core, request, drafted - right);
    if (request->tokens.count >= request->prompt_count + request->reserve) {
        tl_llm_end(world->core, request);
        return;
    }
    int32_t next = request->tokens.ids[request->tokens.count - 40];
    tl_llm_append(world->core, request, &next, 1, 0);
    tl_llm_draft(world->core, request, 100);
}

/* Returns in how many calls 80 tokens were written. `row` ms a row beside `call` ms a call. */
static size_t count_proposing_calls(double call, double row, bool always) {
    struct tl_llm_limits limits = usual;
    limits.draft = 7;
    limits.draft_always = always;
    struct tl_llm_test_world world = usual_world();
    world.wrote = write_proposed;
    world.ms_call = call;
    world.ms_row = row;
    tl_llm_test_open(&world, &limits, false);
    propose_calls = 0;
    ask_decode(&world, 41, 41, 0, 80);
    run_out(&world);
    struct tl_llm_counters counters = tl_llm_count(world.core);
    assert_true(counters.accepted <= counters.drafted);
    tl_llm_test_close(&world);
    return propose_calls;
}

static void test_proposals_where_they_pay(void **state) {
    (void)state;
    assert_true(count_proposing_calls(10, 0.1, true) < 20);   /* eight tokens a call */
    assert_true(count_proposing_calls(10, 0.1, false) < 30);  /* after trying */
    size_t dear = count_proposing_calls(0, 10, false);        /* rows are all that costs */
    assert_true(dear > 40 && dear < 81); /* three calls of each size to know it, then none */
}

static void write_repeating(struct tl_llm_test_world *world, struct tl_llm_request *request,
                            const struct tl_llm_range *range) {
    (void)range;
    int32_t next = request->tokens.ids[request->tokens.count - 20];
    tl_llm_append(world->core, request, &next, 1, 0);
}

/* How many are proposed by what calls of 1, 2, 4, 8 and 16 rows took, of 15 that are found. `unknown`: a size that was not
 * timed. */
static size_t choose_proposals(const double ms[5], int unknown, double acceptance) {
    struct tl_llm_limits limits = usual;
    limits.draft = 15;
    struct tl_llm_test_world world = usual_world();
    world.wrote = write_repeating;
    tl_llm_test_open(&world, &limits, false);
    struct tl_llm_range range = {0};
    for (int i = 0; i < 5; i++)
        for (int k = 0; i != unknown && k < 3; k++)
            tl_llm_measured(world.core, &(struct tl_llm_call){&range, 1, (size_t)1 << i, true, 0}, ms[i]);
    int32_t ids[60];
    for (int32_t i = 0; i < 60; i++)
        ids[i] = i % 20;
    struct tl_llm_request *request =
        tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 60, .decode = true, .reserve = 90});
    for (int i = 0; i < 4; i++)
        tl_llm_test_step(&world);
    request->acceptance = acceptance;
    size_t count = tl_llm_draft(world.core, request, 100);
    tl_llm_end(world.core, request);
    tl_llm_test_close(&world);
    return count;
}

static void test_the_choice_follows_what_was_measured(void **state) {
    (void)state;
    static const double usual_cpu[] = {10, 12, 20, 50, 100}, free_rows[] = {10, 10, 10, 10, 10},
                        dear[] = {10, 20, 40, 80, 160};
    /* Tokens a call by acceptance: 1.6, 2.18, 2.46, 2.5 of 0.6; 1.9, 3.44, 5.70, 8.15 of 0.9. */
    assert_int_equal(choose_proposals(usual_cpu, -1, 0.6), 1); /* 1.6/12 against 1/10 and 2.18/20 */
    assert_int_equal(choose_proposals(usual_cpu, -1, 0.9), 3); /* 3.44/20 against 1.9/12 and 5.70/50 */
    assert_int_equal(choose_proposals(usual_cpu, -1, 0.1), 0); /* 1.1/12 against 1/10 */
    assert_int_equal(choose_proposals(free_rows, -1, 0.6), 15);
    assert_int_equal(choose_proposals(dear, -1, 0.9), 0);
    assert_int_equal(choose_proposals(usual_cpu, 3, 0.6), 7); /* tried, to know */
    assert_int_equal(choose_proposals(usual_cpu, 0, 0.9), 0); /* nothing to compare with yet */
}

/* What is certain is written together where that was not slower; where it is not known; and beside others. */
static void test_together_where_it_pays(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    world.wrote = write_repeating;
    tl_llm_test_open(&world, &usual, false);
    int32_t ids[60];
    for (int32_t i = 0; i < 60; i++)
        ids[i] = i % 20;
    const struct tl_llm_ask ask = {.ids = ids, .count = 60, .decode = true, .reserve = 90};
    struct tl_llm_request *request = tl_llm_submit(world.core, &ask);
    for (int i = 0; i < 4; i++)
        tl_llm_test_step(&world);
    assert_true(tl_llm_together(world.core, request, 2)); /* nothing was measured */
    static const struct {
        size_t rows;
        double ms;
    } calls[] = {{1, 10}, {2, 28}, {8, 52}};
    struct tl_llm_range range = {0};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++)
        for (int k = 0; k < 3; k++)
            tl_llm_measured(world.core, &(struct tl_llm_call){&range, 1, calls[i].rows, true, 0}, calls[i].ms);
    assert_false(tl_llm_together(world.core, request, 2));
    assert_true(tl_llm_together(world.core, request, 3)); /* not known */
    assert_true(tl_llm_together(world.core, request, 8));
    assert_true(tl_llm_together(world.core, request, 100));
    ids[0] = 7;
    struct tl_llm_request *other = tl_llm_submit(world.core, &ask);
    for (int i = 0; i < 4; i++)
        tl_llm_test_step(&world);
    assert_true(tl_llm_together(world.core, request, 2));
    tl_llm_end(world.core, other);
    tl_llm_end(world.core, request);
    tl_llm_test_close(&world);
}

static void test_cells_are_bounded(void **state) {
    (void)state;
    struct tl_llm_limits limits = usual;
    limits.cells = 256;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &limits, true);
    for (int32_t i = 0; i < 6; i++)
        ask_decode(&world, 80, 0, 2 + i, 20);
    while (tl_llm_first(world.core)) {
        tl_llm_test_step(&world);
        size_t cells = 0;
        for (size_t s = 0; s < limits.sequences; s++)
            cells += world.length[s];
        assert_true(cells <= 256);
    }
    tl_llm_test_close(&world);
}

static void test_what_can_never_fit_is_refused(void **state) {
    (void)state;
    struct tl_llm_test_world world = usual_world();
    tl_llm_test_open(&world, &usual, false);
    static const int32_t ids[300] = {0};
    assert_null(tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 257}));
    assert_null(tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 256, .decode = true}));
    assert_null(tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .decode = true}));
    assert_null(tl_llm_submit(
        world.core, &(struct tl_llm_ask){.ids = ids, .count = 200, .decode = true, .forced = ids, .forced_count = 56}));
    assert_non_null(tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 256}));
    assert_non_null(tl_llm_submit(world.core, &(struct tl_llm_ask){.ids = ids, .count = 0, .open = true}));
    run_out(&world);
    tl_llm_test_close(&world);
}

/* ---- mixes of requests, as bench/ sends them ---- */

/* Eight clients, each with one query at a time: a prefill of a shared and an own part, then a decode. */
struct mix {
    struct tl_llm_test_world world; /* first */
    size_t queries, prefixes, begun, done;
    size_t pin;
};

#define MIX_SHARED 400
#define MIX_OWN 100
#define MIX_WRITTEN 30

static void begin_query(struct mix *mix) {
    if (mix->begun == mix->queries)
        return;
    int32_t ids[MIX_SHARED + MIX_OWN];
    size_t query = mix->begun++;
    spell(ids, MIX_SHARED + MIX_OWN, MIX_SHARED, 1 + (int32_t)(query % mix->prefixes), 100 + (int32_t)query);
    tl_llm_submit(mix->world.core,
                  &(struct tl_llm_ask){.ids = ids, .count = MIX_SHARED + MIX_OWN, .pin = mix->pin});
}

static void decode_query(struct tl_llm_test_world *world, struct tl_llm_request *request) {
    struct tl_llm_tokens tokens = request->tokens;
    if (request->prompt_count > MIX_SHARED)
        tl_llm_submit(world->core, &(struct tl_llm_ask){.ids = tokens.ids,
                                                        .count = request->prompt_count,
                                                        .decode = true,
                                                        .reserve = MIX_WRITTEN});
    tl_llm_end(world->core, request);
}

static void end_query(struct tl_llm_test_world *world, struct tl_llm_request *request,
                      const struct tl_llm_range *range) {
    struct mix *mix = (struct mix *)world;
    bool last = request->tokens.count >= request->prompt_count + request->reserve;
    write_on(world, request, range);
    if (!last)
        return;
    mix->done++;
    begin_query(mix);
}

/* Prompt tokens computed. `warm`: each prefix was asked for before, alone. */
static uint64_t run_mix(size_t queries, size_t prefixes, bool warm) {
    struct mix *mix = tl_mem_zalloc(sizeof *mix);
    mix->queries = queries;
    mix->prefixes = prefixes;
    mix->pin = warm ? MIX_SHARED : 0;
    mix->world = (struct tl_llm_test_world){.seed = 1, .wrote = end_query, .filled = decode_query};
    const struct tl_llm_limits limits = {.sequences = 8,
                                         .context_tokens = TL_LLM_TEST_CONTEXT,
                                         .call_tokens = 256,
                                         .chunk = 256,
                                         .chunk_least = 32,
                                         .cache_bytes = 22000, /* tokens: half a GiB of a model with 23 KB a token */
                                         .pin_bytes = 10000,
                                         .preempt_margin = 1};
    tl_llm_test_open(&mix->world, &limits, false);
    for (size_t i = 0; warm && i < prefixes; i++) {
        int32_t ids[MIX_SHARED];
        spell(ids, MIX_SHARED, MIX_SHARED, 1 + (int32_t)i, 0);
        tl_llm_submit(mix->world.core,
                      &(struct tl_llm_ask){.ids = ids, .count = MIX_SHARED, .pin = MIX_SHARED, .open = true});
        run_out(&mix->world);
    }
    uint64_t before = tl_llm_count(mix->world.core).computed;
    for (size_t i = 0; i < 8; i++)
        begin_query(mix);
    run_out(&mix->world);
    assert_int_equal(mix->done, queries);
    uint64_t computed = tl_llm_count(mix->world.core).computed - before;
    assert_int_equal(tl_llm_count(mix->world.core).lost, 0);
    tl_llm_test_close(&mix->world);
    tl_mem_free(mix);
    return computed;
}

static void test_mixes(void **state) {
    (void)state;
    assert_int_equal(run_mix(32, 1, false), MIX_SHARED + 32 * MIX_OWN);
    assert_int_equal(run_mix(48, 16, false), 16 * MIX_SHARED + 48 * MIX_OWN);
    assert_int_equal(run_mix(48, 16, true), 48 * MIX_OWN);
}

/* ---- random runs ---- */

/* What the test knows of a request that it submitted. */
struct ticket {
    struct tl_llm_request *request; /* NULL: over */
    struct tl_llm_handle *handle;
    uint32_t ends, rows; /* rows: behind its prompt that were computed */
};

#define TICKETS 400

struct random_run {
    struct tl_llm_test_world world; /* first */
    struct ticket tickets[TICKETS];
    size_t submitted;
};

static void finish(struct tl_llm_test_world *world, struct tl_llm_request *request) {
    struct ticket *ticket = request->user;
    assert_ptr_equal(ticket->request, request);
    ticket->request = NULL;
    ticket->ends++;
    tl_llm_end(world->core, request);
}

static void finish_filled(struct tl_llm_test_world *world, struct tl_llm_request *request) {
    struct ticket *ticket = request->user;
    assert_false(request->decode);
    assert_int_equal(ticket->rows, request->row);
    if (tl_llm_test_draw(world, 2) == 0)
        ticket->handle = tl_llm_handle_create(world->core, request);
    finish(world, request);
}

static bool finish_failed(struct tl_llm_test_world *world, struct tl_llm_request *request) {
    if (tl_llm_test_draw(world, 2) == 0)
        return false;
    finish(world, request);
    return true;
}

static void note_ticket_row(struct tl_llm_test_world *world, struct tl_llm_request *request) {
    (void)world;
    ((struct ticket *)request->user)->rows++;
}

/* Accepts some of the proposals, appends what was "sampled", and perhaps new proposals. */
static void write_randomly(struct tl_llm_test_world *world, struct tl_llm_request *request,
                           const struct tl_llm_range *range) {
    if (range && range->logits > 1)
        tl_llm_reject(world->core, request, tl_llm_test_draw(world, range->logits));
    size_t end = request->prompt_count + request->reserve;
    if (request->tokens.count >= end || request->tokens.count >= 256 - 8) {
        finish(world, request);
        return;
    }
    int32_t ids[6];
    size_t count = 1 + tl_llm_test_draw(world, 3), drafted = world->whole_only ? 0 : tl_llm_test_draw(world, 4);
    for (size_t i = 0; i < count + drafted; i++)
        ids[i] = (int32_t)tl_llm_test_draw(world, 3);
    tl_llm_append(world->core, request, ids, count + drafted, drafted);
}

static void submit_randomly(struct random_run *run) {
    struct tl_llm_test_world *world = &run->world;
    struct ticket *ticket = &run->tickets[run->submitted];
    int32_t ids[256];
    const struct ticket *earlier = run->submitted ? &run->tickets[tl_llm_test_draw(world, run->submitted)] : NULL;
    size_t shared = tl_llm_test_draw(world, 5) * 20, count = tl_llm_test_draw(world, 3) * 30 + 1 + shared;
    spell(ids, count, shared, (int32_t)tl_llm_test_draw(world, 3), 10 + (int32_t)tl_llm_test_draw(world, 4));
    struct tl_llm_ask ask = {.user = ticket,
                             .ids = ids,
                             .count = count,
                             .pin = tl_llm_test_draw(world, 2) * shared,
                             .open = tl_llm_test_draw(world, 2) == 0,
                             .row = tl_llm_test_draw(world, 2) == 0,
                             .rank = (double)tl_llm_test_draw(world, 4),
                             .salt = tl_llm_test_draw(world, 10) == 0};
    if (earlier && earlier->handle && earlier->handle->tokens.count > 0 && tl_llm_test_draw(world, 2) == 0) {
        ask.ids = earlier->handle->tokens.ids;
        ask.count = earlier->handle->tokens.count;
        ask.salt = earlier->handle->salt;
        ask.decode = true;
        ask.row = earlier->rows > 0;
        ask.reserve = tl_llm_test_draw(world, 30);
        ask.forced = ids;
        ask.forced_count = tl_llm_test_draw(world, 3);
    }
    ticket->request = tl_llm_submit(world->core, &ask);
    assert_non_null(ticket->request);
    if (tl_llm_pin_missing(world->core, ticket->request) > 0 && tl_llm_test_draw(world, 3) == 0)
        tl_llm_test_give(world, ticket->request);
    run->submitted++;
}

static void drop_randomly(struct random_run *run) {
    struct ticket *ticket = &run->tickets[tl_llm_test_draw(&run->world, run->submitted)];
    if (ticket->request && tl_llm_test_draw(&run->world, 3) == 0) {
        finish(&run->world, ticket->request);
    } else if (ticket->handle) {
        tl_llm_handle_release(run->world.core, ticket->handle);
        ticket->handle = NULL;
    }
}

static void run_randomly(uint64_t seed) {
    struct random_run *run = tl_mem_zalloc(sizeof *run);
    struct tl_llm_test_world *world = &run->world;
    bool faults = seed % 2, share = seed % 3 == 0;
    *world = (struct tl_llm_test_world){.seed = seed,
                                        .save_fails = faults * 10,
                                        .load_fails = faults * 10,
                                        .trim_fails = faults * 5,
                                        .call_fails = faults * 3,
                                        .ms_row = seed % 4 ? 0.5 : 0,
                                        .ms_call = 2,
                                        .wrote = write_randomly,
                                        .row = note_ticket_row,
                                        .filled = finish_filled,
                                        .failed = finish_failed};
    const struct tl_llm_limits limits = {.sequences = 1 + (uint32_t)(seed % 7),
                                         .running = (uint32_t)(seed % 3),
                                         .context_tokens = 256,
                                         .cells = seed % 5 == 0 ? 300 : 0,
                                         .call_tokens = 40,
                                         .chunk = 1 + (uint32_t)(seed % 37),
                                         .chunk_least = (uint32_t)(seed % 9),
                                         .quantum_ms = seed % 4 ? 12 : 0,
                                         .cache_bytes = seed % 6 * 150,
                                         .pin_bytes = seed % 5 * 60,
                                         .idle_steps = seed % 4 == 3 ? 3 : 0,
                                         .patience = 1 + (uint32_t)(seed % 11),
                                         .preempt_margin = seed % 4 == 1 ? -1 : 0.5,
                                         .whole_only = seed % 8 == 5 && !share,
                                         .held_only = seed % 6 == 4,
                                         .joined = seed % 10 == 7,
                                         .streams = seed % 3 != 1};
    tl_llm_test_open(world, &limits, share);
    size_t steps = 0;
    while (run->submitted < TICKETS || tl_llm_first(world->core)) {
        while (run->submitted < TICKETS && tl_llm_test_draw(world, 3) > 0)
            submit_randomly(run);
        if (run->submitted > 0 && tl_llm_test_draw(world, 4) == 0)
            drop_randomly(run);
        tl_llm_test_step(world);
        assert_true(++steps < 200000);
    }
    for (size_t i = 0; i < TICKETS; i++) {
        assert_int_equal(run->tickets[i].ends, 1);
        if (run->tickets[i].handle)
            tl_llm_handle_release(world->core, run->tickets[i].handle);
    }
    tl_llm_clear(world->core, false);
    struct tl_llm_counters counters = tl_llm_count(world->core);
    assert_int_equal(counters.resident, 0);
    assert_int_equal(counters.saved, counters.pinned);
    tl_llm_test_close(world);
    tl_mem_free(run);
}

static void test_random_runs(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        run_randomly(seed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_shared_prefix_is_computed_once),
        cmocka_unit_test(test_an_answer_is_reused_by_what_follows_it),
        cmocka_unit_test(test_salts_share_nothing),
        cmocka_unit_test(test_forks),
        cmocka_unit_test(test_a_known_row_saves_a_call),
        cmocka_unit_test(test_pins),
        cmocka_unit_test(test_pins_that_are_given),
        cmocka_unit_test(test_pins_in_rotation),
        cmocka_unit_test(test_held_prefixes_go_last),
        cmocka_unit_test(test_nothing_is_kept_that_nobody_holds),
        cmocka_unit_test(test_models_that_cannot_be_cut),
        cmocka_unit_test(test_prompts_in_turn_by_rank),
        cmocka_unit_test(test_waiting_lends_its_rank),
        cmocka_unit_test(test_nobody_starves),
        cmocka_unit_test(test_preempted_work_is_not_lost),
        cmocka_unit_test(test_working_ahead_gives_way),
        cmocka_unit_test(test_a_step_keeps_its_bound),
        cmocka_unit_test(test_no_small_rests),
        cmocka_unit_test(test_few_rows_singly),
        cmocka_unit_test(test_looking_up),
        cmocka_unit_test(test_proposals_where_they_pay),
        cmocka_unit_test(test_the_choice_follows_what_was_measured),
        cmocka_unit_test(test_together_where_it_pays),
        cmocka_unit_test(test_cells_are_bounded),
        cmocka_unit_test(test_what_can_never_fit_is_refused),
        cmocka_unit_test(test_mixes),
        cmocka_unit_test(test_random_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

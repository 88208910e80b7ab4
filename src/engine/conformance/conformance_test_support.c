/* conformance_test_support.c: the checks of conformance.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "base/mem.h"
#include "engine/conformance/conformance.h"

/* A repeatable sequence of numbers. */
struct random {
    uint64_t state;
};

static uint32_t random_below(struct random *random, uint32_t bound) {
    random->state = tl_hash_u64(random->state + 1, UINT64_C(0x7e01a));
    return (uint32_t)(random->state >> 33) % bound;
}

/* ---- settings ---- */

static void expect_refusal(const struct tl_conformance_subject *subject, json_t *settings, const char *name) {
    struct tl_engine *engine = NULL;
    struct tl_error error = {0};
    enum tl_status status = subject->ops->create("subject", settings, &engine, &error);
    if (status != TL_ERR_INVALID)
        fail_msg("setting '%s': create gave '%s', expected an invalid-setting error", name, tl_status_name(status));
    if (!strstr(error.message, name))
        fail_msg("the message does not name the setting '%s': %s", name, error.message);
    json_decref(settings);
}

static void check_settings(const struct tl_conformance_subject *subject) {
    json_t *good = json_loads(subject->settings, 0, NULL);
    assert_non_null(good);
    json_t *unknown = json_copy(good);
    json_object_set_new(unknown, "no_such_setting", json_integer(1));
    expect_refusal(subject, unknown, "no_such_setting");
    const char *name;
    json_t *value;
    json_object_foreach(good, name, value) {
        json_t *wrong = json_copy(good);
        json_object_set_new(wrong, name, json_is_object(value) ? json_string("x") : json_object());
        expect_refusal(subject, wrong, name);
    }
    /* Created and dropped, never opened. */
    struct tl_engine *engine = NULL;
    struct tl_error error = {0};
    if (subject->ops->create("never opened", good, &engine, &error) != TL_OK)
        fail_msg("create: %s", error.message);
    subject->ops->destroy(engine);
    json_decref(good);
}

/* ---- description ---- */

static void describe(struct tl_conformance *run, const struct tl_conformance_subject *subject,
                     struct tl_engine_description *description) {
    *description = (struct tl_engine_description){0};
    subject->ops->describe(tl_conformance_engine(run), description);
    assert_int_not_equal(description->capabilities, 0);
    assert_int_equal(description->capabilities & ~((1u << TL_CAPABILITY_COUNT) - 1), 0);
    assert_non_null(description->model);
    assert_non_null(description->model_digest);
    assert_int_equal(description->executor == TL_EXECUTOR_LOOP, subject->ops->step == NULL);
}

static void check_same_description(const struct tl_engine_description *a, const struct tl_engine_description *b) {
    assert_int_equal(a->capabilities, b->capabilities);
    assert_int_equal(a->executor, b->executor);
    assert_int_equal(a->batch_units, b->batch_units);
    assert_int_equal(a->batch_tokens, b->batch_tokens);
    assert_int_equal(a->sequences, b->sequences);
    assert_int_equal(a->context_tokens, b->context_tokens);
    assert_int_equal(a->dimension, b->dimension);
    assert_int_equal(a->streams, b->streams);
    assert_int_equal(a->keeps_kv, b->keeps_kv);
    assert_string_equal(a->model, b->model);
    assert_string_equal(a->model_digest, b->model_digest);
}

/* ---- items ---- */

static struct tl_conformance_held *submit(struct tl_conformance *run, const struct tl_conformance_subject *subject,
                                          size_t kind, uint32_t variation, bool *incomparable, bool *fails) {
    struct tl_conformance_item item;
    tl_conformance_item_init(run, &item);
    subject->make(run, kind, variation, &item);
    *incomparable = item.incomparable;
    *fails = item.fails;
    return tl_conformance_submit(run, &item);
}

static void check_usage(const struct tl_usage *usage) {
    assert_true(usage->tokens_reused <= usage->tokens_in);
    assert_true(usage->tokens_computed <= usage->tokens_in);
    assert_true(usage->tokens_reused + usage->tokens_computed <= usage->tokens_in);
}

/* What holds for every finished item, cancelled or not. */
static void check_outcome(struct tl_conformance_held *held, bool cancelled, bool fails) {
    const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    const struct tl_item *item = tl_conformance_item_of(held);
    assert_true(outcome->finished);
    if (outcome->status != TL_OK) {
        if (!(fails || (cancelled && outcome->status == TL_ERR_CANCELLED)))
            fail_msg("%s failed: %s", item->label, outcome->message);
        return;
    }
    if (fails)
        fail_msg("%s was done, but must have been refused", item->label);
    check_usage(&outcome->usage);
    if (outcome->piece_count > 0 || (item->pieces && outcome->output_count > 0)) {
        const struct tl_value *list = outcome->outputs[0];
        assert_true(list->type.depth > 0);
        assert_true(outcome->piece_count <= list->as.list.count);
        for (size_t i = 0; i < outcome->piece_count; i++)
            assert_true(tl_value_equal(outcome->pieces[i], list->as.list.items[i]));
    }
    if (outcome->deltas.length > 0) {
        const struct tl_value *text = outcome->outputs[0];
        assert_true(tl_type_equal(text->type, TL_TYPE_OF(TEXT, 0)));
        assert_int_equal(text->as.text.length, outcome->deltas.length);
        assert_memory_equal(text->as.text.data, outcome->deltas.data, outcome->deltas.length);
    }
}

/* Results of items run alone, to compare with those of the same items in company. */
struct reference {
    struct tl_value **outputs;
    size_t output_count;
    bool comparable;
    bool fails;
};

static size_t variations_of(const struct tl_conformance_subject *subject) {
    return subject->variations ? subject->variations : 4;
}

static void check_equal(const struct tl_conformance_subject *subject, const struct reference *reference,
                        struct tl_conformance_held *held) {
    const struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
    if (outcome->status != TL_OK || !reference->comparable)
        return;
    assert_int_equal(outcome->output_count, reference->output_count);
    for (size_t i = 0; i < outcome->output_count; i++)
        if (!(subject->equal ? subject->equal : tl_value_equal)(outcome->outputs[i], reference->outputs[i])) {
            char *alone = json_dumps(tl_value_to_json(reference->outputs[i]), JSON_ENCODE_ANY);
            char *together = json_dumps(tl_value_to_json(outcome->outputs[i]), JSON_ENCODE_ANY);
            fail_msg("%s: differs in company:\nalone    %.600s\ntogether %.600s", tl_conformance_item_of(held)->label,
                     alone, together);
        }
}

static struct reference *run_alone(struct tl_conformance *run, const struct tl_conformance_subject *subject) {
    size_t variations = variations_of(subject);
    struct reference *references = tl_mem_zalloc(subject->kinds * variations * sizeof *references);
    for (size_t kind = 0; kind < subject->kinds; kind++)
        for (uint32_t variation = 0; variation < variations; variation++) {
            struct reference *reference = &references[kind * variations + variation];
            bool incomparable;
            struct tl_conformance_held *held = submit(run, subject, kind, variation, &incomparable, &reference->fails);
            tl_conformance_finish(run);
            check_outcome(held, false, reference->fails);
            tl_conformance_cancel(run, held); /* too late, and without effect */
            struct tl_conformance_outcome *outcome = tl_conformance_outcome(held);
            reference->comparable = !incomparable;
            if (!incomparable) {
                reference->outputs = tl_mem_alloc((outcome->output_count + 1) * sizeof *reference->outputs);
                for (size_t i = 0; i < outcome->output_count; i++)
                    reference->outputs[i] = tl_value_ref(outcome->outputs[i]);
                reference->output_count = outcome->output_count;
            }
            tl_conformance_release(held);
        }
    return references;
}

static void free_references(const struct tl_conformance_subject *subject, struct reference *references) {
    for (size_t i = 0; i < subject->kinds * variations_of(subject); i++) {
        for (size_t k = 0; k < references[i].output_count; k++)
            tl_value_unref(references[i].outputs[k]);
        tl_mem_free(references[i].outputs);
    }
    tl_mem_free(references);
}

/* One round of a random order; with `cancels`, about a third of the items is cancelled on the way. */
static void random_round(struct tl_conformance *run, const struct tl_conformance_subject *subject,
                         const struct reference *references, uint64_t seed, bool cancels) {
    struct random random = {seed};
    uint32_t variations = (uint32_t)variations_of(subject);
    size_t total = subject->items ? subject->items : 12;
    struct tl_conformance_held **held = tl_mem_zalloc(total * sizeof(struct tl_conformance_held *));
    const struct reference **expected = tl_mem_zalloc(total * sizeof *expected);
    bool *cancelled = tl_mem_zalloc(total * sizeof *cancelled);
    size_t submitted = 0;
    while (submitted < total) {
        uint32_t dice = random_below(&random, 10);
        if (dice < 5) {
            uint32_t choice = random_below(&random, (uint32_t)subject->kinds * variations);
            bool incomparable, fails;
            held[submitted] =
                submit(run, subject, choice / variations, choice % variations, &incomparable, &fails);
            expected[submitted++] = &references[choice];
        } else if (dice < 7 && cancels && submitted > 0) {
            size_t chosen = random_below(&random, (uint32_t)submitted); /* may be finished: must be ignored */
            if (!tl_conformance_outcome(held[chosen])->finished)
                cancelled[chosen] = true;
            tl_conformance_cancel(run, held[chosen]);
        } else {
            tl_conformance_step(run);
        }
    }
    tl_conformance_finish(run);
    for (size_t i = 0; i < total; i++) {
        check_outcome(held[i], cancelled[i], expected[i]->fails);
        check_equal(subject, expected[i], held[i]);
        tl_conformance_release(held[i]);
    }
    tl_mem_free(held);
    tl_mem_free(expected);
    tl_mem_free(cancelled);
}

static void check_at_rest(struct tl_conformance *run, const struct tl_conformance_subject *subject) {
    /* Released handles may be taken back at the next step. */
    for (int i = 0; i < 3 && tl_conformance_step(run); i++) {
    }
    assert_false(tl_conformance_step(run));
    if (subject->check_at_rest)
        subject->check_at_rest(tl_conformance_engine(run));
}

static void check_foreign_primitive(struct tl_conformance *run, const struct tl_engine_description *description) {
    for (int op = 0; op < TL_OP_COUNT; op++) {
        enum tl_capability capability = tl_primitive_info((enum tl_primitive)op)->capability;
        if (description->capabilities & (1u << capability))
            continue;
        struct tl_conformance_item item;
        tl_conformance_item_init(run, &item);
        item.op = (enum tl_primitive)op;
        struct tl_conformance_held *held = tl_conformance_submit(run, &item);
        tl_conformance_finish(run);
        assert_int_not_equal(tl_conformance_outcome(held)->status, TL_OK);
        return;
    }
}

/* Submits every kind, takes some steps, closes: each item ends, done or cancelled. */
static void check_close_with_items(const struct tl_conformance_subject *subject, int steps) {
    struct tl_conformance *run = tl_conformance_open(subject);
    struct tl_conformance_held **held = tl_mem_zalloc(subject->kinds * sizeof(struct tl_conformance_held *));
    bool *fails = tl_mem_zalloc(subject->kinds * sizeof *fails);
    for (size_t kind = 0; kind < subject->kinds; kind++) {
        bool incomparable;
        held[kind] = submit(run, subject, kind, 1, &incomparable, &fails[kind]);
    }
    for (int i = 0; i < steps; i++)
        tl_conformance_step(run);
    tl_conformance_stop(run);
    for (size_t kind = 0; kind < subject->kinds; kind++)
        check_outcome(held[kind], true, fails[kind]);
    tl_mem_free(held);
    tl_mem_free(fails);
    tl_conformance_close(run);
}

void tl_conformance_check(const struct tl_conformance_subject *subject) {
    assert_true(subject->kinds > 0);
    check_settings(subject);
    tl_conformance_close(tl_conformance_open(subject)); /* opened, nothing asked */

    struct tl_conformance *run = tl_conformance_open(subject);
    struct tl_engine_description before, after;
    describe(run, subject, &before);
    struct reference *references = run_alone(run, subject);
    check_at_rest(run, subject);
    check_foreign_primitive(run, &before);
    size_t rounds = subject->rounds ? subject->rounds : 4;
    for (size_t round = 0; round < rounds; round++) {
        random_round(run, subject, references, round + 1, round % 2 == 1);
        check_at_rest(run, subject);
    }
    describe(run, subject, &after);
    check_same_description(&before, &after);

    /* A second instance beside the first gives the same results. */
    struct tl_conformance *second = tl_conformance_open(subject);
    random_round(second, subject, references, 99, false);
    check_at_rest(second, subject);
    tl_conformance_close(second);
    tl_conformance_close(run);
    free_references(subject, references);

    check_close_with_items(subject, 0);
    check_close_with_items(subject, 2);
}

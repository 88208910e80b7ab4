/* drive_test_support.c: an instance driven on one thread, with what it reports recorded and
 * checked on the way: one outcome per item, pieces in order, nothing after the outcome. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "engine/conformance/conformance.h"

struct tl_conformance_held {
    struct tl_item item; /* first: emit gets its address */
    struct tl_conformance_item made;
    struct tl_conformance_outcome outcome;
    struct tl_conformance *run;
    bool released;
};

struct tl_conformance {
    const struct tl_conformance_subject *subject;
    struct tl_engine *engine;
    struct tl_emit emit;
    struct tl_arena arena;
    struct tl_conformance_held **held;
    size_t count, capacity;
    size_t unfinished;
    bool closed;
};

static _Atomic uint64_t next_id = 1;

/* An engine may free its item-related state in emit calls, but the item is ours: it must be one of ours. */
static struct tl_conformance_outcome *outcome_of(void *context, struct tl_item *item) {
    struct tl_conformance_held *held = (struct tl_conformance_held *)item;
    assert_ptr_equal(held->run, context);
    if (held->outcome.finished)
        fail_msg("item %llu (%s): reported again after its outcome", (unsigned long long)item->id, item->label);
    return &held->outcome;
}

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    struct tl_conformance_outcome *outcome = outcome_of(context, item);
    struct tl_conformance *run = context;
    run->unfinished--;
    outcome->finished = true;
    outcome->status = TL_OK;
    outcome->outputs = tl_mem_alloc((count ? count : 1) * sizeof *outputs);
    for (size_t i = 0; i < count; i++) {
        assert_non_null(outputs[i]);
        outcome->outputs[i] = outputs[i];
    }
    outcome->output_count = count;
    if (usage)
        outcome->usage = *usage;
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    struct tl_conformance_outcome *outcome = outcome_of(context, item);
    struct tl_conformance *run = context;
    assert_int_not_equal(status, TL_OK);
    assert_non_null(message);
    if (strlen(message) < 8)
        fail_msg("item %s failed (%s) without a sentence: '%s'", item->label, tl_status_name(status), message);
    run->unfinished--;
    outcome->finished = true;
    outcome->status = status;
    snprintf(outcome->message, sizeof outcome->message, "%s", message);
}

static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    struct tl_conformance_outcome *outcome = outcome_of(context, item);
    assert_true(item->pieces);
    assert_non_null(value);
    assert_int_equal(position, outcome->piece_count);
    outcome->pieces =
        tl_mem_grow(outcome->pieces, &outcome->piece_capacity, outcome->piece_count + 1, sizeof(struct tl_value *));
    outcome->pieces[outcome->piece_count++] = value;
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    struct tl_conformance_outcome *outcome = outcome_of(context, item);
    assert_true(item->stream);
    tl_str_append(&outcome->deltas, text, length);
}

static void on_notice(void *context, struct tl_item *item, const char *message) {
    struct tl_conformance_outcome *outcome = outcome_of(context, item);
    assert_true(strlen(message) >= 8);
    snprintf(outcome->notice, sizeof outcome->notice, "%s", message);
}

struct tl_conformance *tl_conformance_open(const struct tl_conformance_subject *subject) {
    json_error_t json_error;
    json_t *settings = json_loads(subject->settings, 0, &json_error);
    if (!settings)
        fail_msg("the subject's settings are no JSON: %s", json_error.text);
    struct tl_conformance *run = tl_mem_zalloc(sizeof *run);
    run->subject = subject;
    tl_arena_init(&run->arena);
    run->emit = (struct tl_emit){run, on_done, on_fail, on_piece, on_delta, on_notice, NULL};
    struct tl_error error = {0};
    if (subject->ops->create("subject", settings, &run->engine, &error) != TL_OK)
        fail_msg("create: %s", error.message);
    json_decref(settings);
    assert_ptr_equal(run->engine->ops, subject->ops);
    assert_string_equal(run->engine->name, "subject");
    if (subject->ops->open(run->engine, &run->emit, &error) != TL_OK)
        fail_msg("open: %s", error.message);
    return run;
}

static void release_inputs(struct tl_conformance_item *item) {
    for (size_t i = 0; i < item->input_count; i++)
        tl_value_unref(item->inputs[i]);
    item->input_count = 0;
}

void tl_conformance_release(struct tl_conformance_held *held) {
    if (held->released)
        return;
    assert_true(held->outcome.finished);
    held->released = true;
    release_inputs(&held->made);
    for (size_t i = 0; i < held->outcome.output_count; i++)
        tl_value_unref(held->outcome.outputs[i]);
    for (size_t i = 0; i < held->outcome.piece_count; i++)
        tl_value_unref(held->outcome.pieces[i]);
    tl_mem_free(held->outcome.outputs);
    tl_mem_free(held->outcome.pieces);
    held->outcome.outputs = held->outcome.pieces = NULL;
    held->outcome.output_count = held->outcome.piece_count = 0;
    tl_str_fini(&held->outcome.deltas);
}

void tl_conformance_stop(struct tl_conformance *run) {
    run->subject->ops->close(run->engine);
    run->closed = true;
    assert_int_equal(run->unfinished, 0); /* close has failed what was held */
}

void tl_conformance_close(struct tl_conformance *run) {
    if (!run->closed)
        tl_conformance_stop(run);
    for (size_t i = 0; i < run->count; i++)
        tl_conformance_release(run->held[i]); /* handles may be released after close, before destroy */
    run->subject->ops->destroy(run->engine);
    for (size_t i = 0; i < run->count; i++)
        tl_mem_free(run->held[i]);
    tl_mem_free(run->held);
    tl_arena_fini(&run->arena);
    tl_mem_free(run);
}

struct tl_engine *tl_conformance_engine(struct tl_conformance *run) {
    return run->engine;
}

void tl_conformance_item_init(struct tl_conformance *run, struct tl_conformance_item *item) {
    *item = (struct tl_conformance_item){.arena = &run->arena};
}

void tl_conformance_input(struct tl_conformance_item *item, const char *name, struct tl_value *value) {
    assert_true(item->input_count < TL_CONFORMANCE_INPUTS);
    item->input_names[item->input_count] = name;
    item->inputs[item->input_count++] = value;
}

struct tl_conformance_held *tl_conformance_submit(struct tl_conformance *run, struct tl_conformance_item *made) {
    struct tl_conformance_held *held = tl_mem_zalloc(sizeof *held);
    run->held = tl_mem_grow(run->held, &run->capacity, run->count + 1, sizeof *run->held);
    run->held[run->count++] = held;
    run->unfinished++;
    held->run = run;
    held->made = *made;
    tl_str_init(&held->outcome.deltas);
    held->item = (struct tl_item){
        .id = next_id++,
        .op = made->op,
        .attributes = &held->made.attributes,
        .label = tl_primitive_info(made->op)->name,
        .inputs = held->made.inputs,
        .input_names = held->made.input_names,
        .input_count = held->made.input_count,
        .rank = 1,
        .tenant = made->tenant,
        .stream = made->stream,
        .pieces = made->pieces,
    };
    struct tl_item *item = &held->item;
    run->subject->ops->submit(run->engine, &item, 1);
    return held;
}

void tl_conformance_cancel(struct tl_conformance *run, struct tl_conformance_held *held) {
    run->subject->ops->cancel(run->engine, &held->item);
}

bool tl_conformance_step(struct tl_conformance *run) {
    if (run->subject->ops->step)
        return run->subject->ops->step(run->engine);
    assert_non_null(run->subject->pump);
    if (run->unfinished > 0)
        run->subject->pump(run->engine);
    return run->unfinished > 0;
}

void tl_conformance_finish(struct tl_conformance *run) {
    bool more = true;
    while (run->unfinished > 0) {
        if (!more)
            fail_msg("step says that nothing is left, but %zu items have no outcome", run->unfinished);
        more = tl_conformance_step(run);
    }
}

struct tl_conformance_outcome *tl_conformance_outcome(struct tl_conformance_held *held) {
    return &held->outcome;
}

const struct tl_item *tl_conformance_item_of(const struct tl_conformance_held *held) {
    return &held->item;
}

struct tl_value *tl_conformance_compute(struct tl_conformance *run, struct tl_conformance_item *item) {
    struct tl_conformance_held *held = tl_conformance_submit(run, item);
    while (!held->outcome.finished)
        if (!tl_conformance_step(run) && !held->outcome.finished)
            fail_msg("%s: the engine stopped before the outcome", held->item.label);
    if (held->outcome.status != TL_OK)
        fail_msg("%s: %s", held->item.label, held->outcome.message);
    assert_true(held->outcome.output_count > 0);
    struct tl_value *value = tl_value_ref(held->outcome.outputs[0]);
    tl_conformance_release(held);
    return value;
}

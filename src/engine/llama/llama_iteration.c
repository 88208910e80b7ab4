/* llama_iteration.c: one step of the llama engine.
 *
 * A step gives sequences to waiting items, feeds every writing item its next token in one
 * call, and then computes up to `chunk` tokens of prompts. Decodes and prompt tokens go in calls
 * of their own: together they took as long or longer in every layout that was measured.
 * Waiting items are served strictly in their order (rank, then arrival): who is first waits for
 * the next sequence, and nobody overtakes, so nobody starves within a rank.
 *
 * What may be computed is decided here; llama_engine.c and llama_item.c know no batch. */
#include "engine/llama/llama_internal.h"

#include "base/error.h"
#include "base/mem.h"

/* Consecutive tokens of one item in a call, from the end of its span on. */
struct row_range {
    struct tl_llama_item *held;
    size_t count;
    bool logits;       /* of the last one */
    int32_t last_row;  /* its row in the batch */
};

/* ---- computing ---- */

static int32_t call(struct tl_llama_engine *engine, struct row_range *ranges, size_t count) {
    struct llama_batch *batch = &engine->batch;
    batch->n_tokens = 0;
    for (size_t i = 0; i < count; i++) {
        struct tl_llama_item *held = ranges[i].held;
        const struct tl_llama_span *span = held->span;
        /* The library aborts the process on what it finds wrong here. */
        TL_ASSERT((size_t)batch->n_tokens + ranges[i].count <= engine->batch_tokens);
        TL_ASSERT(span->sequence >= 0 && (uint32_t)span->sequence < engine->sequences);
        TL_ASSERT(span->length + ranges[i].count <= held->tokens.count);
        TL_ASSERT(span->length + ranges[i].count <= engine->context_tokens);
        for (size_t k = 0; k < ranges[i].count; k++) {
            int32_t row = batch->n_tokens++;
            batch->token[row] = held->tokens.ids[span->length + k];
            batch->pos[row] = (llama_pos)(span->length + k);
            batch->n_seq_id[row] = 1;
            batch->seq_id[row][0] = span->sequence;
            batch->logits[row] = ranges[i].logits && k + 1 == ranges[i].count;
            ranges[i].last_row = row;
        }
        if (engine->hooks.fed)
            engine->hooks.fed(engine->hooks.context, held->item, span->length, held->tokens.ids + span->length,
                              ranges[i].count);
    }
    int32_t result = llama_decode(engine->context, *batch);
    if (engine->hooks.decode)
        result = engine->hooks.decode(engine->hooks.context, result);
    return result;
}

static void deliver(struct tl_llama_engine *engine, const struct row_range *range, size_t sequences) {
    struct tl_llama_item *held = range->held;
    held->span->length += range->count;
    held->computed += range->count;
    if (sequences > held->batch_units)
        held->batch_units = (uint32_t)sequences;
    if (!held->decode || held->state == TL_LLAMA_FILLING)
        return;
    held->pending -= range->count;
    if (!range->logits)
        return;
    float *logits = llama_get_logits_ith(engine->context, range->last_row);
    if (!logits)
        tl_llama_item_fail(engine, held, TL_ERR_ENGINE, "llama.cpp gave no logits for the token at position %zu",
                           held->span->length);
    else
        tl_llama_item_logits(engine, held, logits);
}

/* Computes the ranges. When a call of several fails each is tried alone, so that what goes wrong
 * with one item fails that item only. Items may be finished and gone afterwards. */
static void compute(struct tl_llama_engine *engine, struct row_range *ranges, size_t count) {
    int32_t result = call(engine, ranges, count);
    if (result == 0) {
        for (size_t i = 0; i < count; i++)
            deliver(engine, &ranges[i], count);
        return;
    }
    for (size_t i = 0; i < count; i++)
        tl_llama_span_repair(engine, ranges[i].held->span);
    if (count > 1) {
        for (size_t i = 0; i < count; i++)
            compute(engine, &ranges[i], 1);
        return;
    }
    struct tl_llama_item *held = ranges[0].held;
    tl_llama_item_fail(engine, held, TL_ERR_ENGINE,
                       "llama.cpp could not compute %zu tokens at position %zu (its code %d)", ranges[0].count,
                       held->span->length, (int)result);
}

/* ---- composing ---- */

/* Gives sequences to waiting items, in order. */
static void admit(struct tl_llama_engine *engine) {
    for (struct tl_llama_item *held = engine->items, *next; held; held = next) {
        next = held->next;
        if (held->state != TL_LLAMA_WAITING)
            continue;
        if (!held->decode && tl_llama_reusable(held, held->target) == held->target) {
            held->reused = held->target;
            tl_llama_item_filled(engine, held); /* nothing to compute: no sequence needed */
            continue;
        }
        if (!tl_llama_span_acquire(engine, held, held->target))
            return;
        held->state = TL_LLAMA_FILLING;
        if (held->span->length >= held->target)
            tl_llama_item_filled(engine, held);
    }
}

/* Feeds every writing item what it has pending: one token, or a few that a list forces. */
static void write_all(struct tl_llama_engine *engine) {
    struct row_range *ranges = tl_mem_alloc(engine->sequences * sizeof *ranges);
    size_t count = 0, rows = 0;
    for (struct tl_llama_item *held = engine->items; held && count < engine->sequences; held = held->next) {
        size_t room = engine->batch_tokens - rows;
        if (held->state != TL_LLAMA_WRITING || room == 0)
            continue;
        size_t take = held->pending < room ? held->pending : room;
        ranges[count++] = (struct row_range){.held = held, .count = take, .logits = take == held->pending};
        rows += take;
    }
    if (count > 0) {
        engine->counters.decode_calls++;
        compute(engine, ranges, count);
    }
    tl_mem_free(ranges);
}

static struct tl_llama_item *first_filling(const struct tl_llama_engine *engine) {
    struct tl_llama_item *held = engine->items;
    while (held && held->state != TL_LLAMA_FILLING)
        held = held->next;
    return held;
}

/* Computes prompt tokens, at most `chunk` of them: of the first item, and of the next ones as far
 * as the budget goes. A call each: in a layout of streams, sequences of different lengths would
 * be computed one after the other anyway. */
static void fill(struct tl_llama_engine *engine) {
    size_t budget = (size_t)engine->chunk;
    struct tl_llama_item *held;
    while (budget > 0 && (held = first_filling(engine)) != NULL) {
        size_t missing = held->target - held->span->length;
        size_t take = missing < budget ? missing : budget;
        budget -= take;
        struct row_range range = {.held = held, .count = take};
        engine->counters.fill_calls++;
        bool last = take == missing;
        uint64_t id = held->item->id;
        compute(engine, &range, 1);
        held = first_filling(engine); /* the same one, unless it failed */
        if (last && held && held->item->id == id)
            tl_llama_item_filled(engine, held);
    }
}

void tl_llama_iterate(struct tl_llama_engine *engine) {
    engine->steps++;
    tl_llama_drain(engine);
    admit(engine);
    write_all(engine);
    fill(engine);
}

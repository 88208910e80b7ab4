/* llama_iteration.c: one step of the llama engine: the rows that engine/llm has chosen are computed, and what came of
 * them goes to their items. */
#include "base/clock.h"
#include "base/error.h"
#include "engine/llama/llama_internal.h"

static struct tl_llama_item *held_of(const struct tl_llm_range *range) {
    return range->request->user;
}

static int32_t run(struct tl_llama_engine *engine, const struct tl_llm_call *call) {
    struct llama_batch *batch = &engine->batch;
    batch->n_tokens = 0;
    for (size_t i = 0; i < call->count; i++) {
        const struct tl_llm_range *range = &call->ranges[i];
        const int32_t *ids = range->request->tokens.ids + range->first;
        /* The library aborts the process on what it finds wrong here. */
        TL_ASSERT((size_t)batch->n_tokens + range->count <= engine->batch_tokens);
        TL_ASSERT(range->sequence < engine->sequences);
        TL_ASSERT(range->first + range->count <= engine->context_tokens);
        for (size_t k = 0; k < range->count; k++) {
            int32_t row = batch->n_tokens++;
            batch->token[row] = ids[k];
            batch->pos[row] = (llama_pos)(range->first + k);
            batch->n_seq_id[row] = 1;
            batch->seq_id[row][0] = (llama_seq_id)range->sequence;
            batch->logits[row] = range->count - k <= range->logits;
        }
        if (engine->hooks.fed)
            engine->hooks.fed(engine->hooks.context, held_of(range)->item, range->first, ids, range->count);
    }
    int32_t result = llama_decode(engine->context, *batch);
    llama_synchronize(engine->context);
    if (engine->hooks.decode)
        result = engine->hooks.decode(engine->hooks.context, result);
    return result;
}

/* `end` is the row behind the range's last one. */
static void deliver(struct tl_llama_engine *engine, const struct tl_llm_range *range, size_t sequences, int32_t end) {
    struct tl_llama_item *held = held_of(range);
    if (sequences > held->batch_units)
        held->batch_units = (uint32_t)sequences;
    tl_llm_computed(engine->core, range->request, range->count);
    if (range->logits > 0 && !range->request->decode)
        tl_llama_item_keep_row(engine, held, end - 1);
    else if (range->logits > 0)
        tl_llama_item_rows(engine, held, end - (int32_t)range->logits, range->logits);
}

/* When a call of several fails each is tried alone, so that what goes wrong with one item fails that item only. */
static void compute(struct tl_llama_engine *engine, const struct tl_llm_call *call) {
    uint64_t begin = tl_clock_now();
    int32_t result = run(engine, call), row = 0;
    if (result == 0) {
        tl_llm_measured(engine->core, call, (double)(tl_clock_now() - begin) / (double)TL_NS_PER_MS);
        for (size_t i = 0; i < call->count; i++) {
            row += (int32_t)call->ranges[i].count;
            deliver(engine, &call->ranges[i], call->count, row);
        }
        return;
    }
    for (size_t i = 0; i < call->count; i++)
        tl_llm_broken(engine->core, call->ranges[i].request);
    for (size_t i = 0; i < call->count && call->count > 1; i++) {
        struct tl_llm_range alone = call->ranges[i];
        if (alone.request->filled == alone.first) /* else it begins anew, in a later step */
            compute(engine, &(struct tl_llm_call){
                                .ranges = &alone, .count = 1, .rows = alone.count, .writers = alone.writes});
    }
    if (call->count == 1)
        tl_llama_item_fail(engine, held_of(&call->ranges[0]), TL_ERR_ENGINE,
                           "llama.cpp could not compute %zu tokens at position %zu (its code %d)",
                           call->ranges[0].count, call->ranges[0].first, (int)result);
}

/* What needs no call: prefills that are complete, and first tokens by rows that were kept. */
static void go_on(struct tl_llama_engine *engine) {
    struct tl_llm_request *request;
    while ((request = tl_llm_next_filled(engine->core)) != NULL)
        tl_llama_item_filled(engine, request->user);
    while ((request = tl_llm_next_ready(engine->core)) != NULL)
        tl_llama_item_ready(engine, request->user);
}

void tl_llama_iterate(struct tl_llama_engine *engine) {
    engine->rows -= tl_llm_handles_drain(engine->handles);
    tl_llama_prefix_read(engine);
    tl_llm_arrange(engine->core);
    go_on(engine);
    struct tl_llm_call call;
    while (tl_llm_next_call(engine->core, &call)) {
        compute(engine, &call);
        go_on(engine);
    }
}

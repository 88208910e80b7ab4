/* llama_item.c: one item of the llama engine: reading what it asks for, following it from
 * prompt to text, and its outcome. */
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/llama/llama_internal.h"

/* ---- outcomes ---- */

/* Frees the item and ends its request; its outcome is reported by the caller. */
static void forget(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    if (held->request)
        tl_llm_end(engine->core, held->request);
    engine->rows -= held->row != NULL;
    tl_mem_free(held->row);
    tl_llama_answer_fini(&held->answer);
    tl_llama_tokens_fini(&held->certain);
    tl_mem_free(held);
}

void tl_llama_item_fail(struct tl_llama_engine *engine, struct tl_llama_item *held, enum tl_status status,
                        const char *format, ...) {
    struct tl_error error;
    va_list args;
    va_start(args, format);
    tl_error_setv(&error, status, format, args);
    va_end(args);
    struct tl_item *item = held->item;
    engine->failed |= status == TL_ERR_ENGINE;
    forget(engine, held);
    engine->emit->fail(engine->emit->context, item, status, error.message);
}

static struct tl_usage usage_of(const struct tl_llama_item *held) {
    const struct tl_llm_request *request = held->request;
    struct tl_usage usage = {
        .units = 1,
        .tokens_computed = request->computed,
        .tokens_trimmed = held->trimmed,
        .batch_units = held->batch_units,
        .tokens_reused = request->reused,
        .tokens_loaded = held->loaded < request->reused ? held->loaded : request->reused,
        .tokens_out = held->answer.written,
        .tokens_forced = held->answer.forced,
        .tokens_drafted = request->proposed,
        .tokens_accepted = request->accepted,
        .tokens_asked = held->answer.sampler.asked,
        .tokens_refused = held->answer.sampler.refused,
        .tokens_in = request->prompt_count,
    };
    if (request->decode) {
        usage.units = tl_llama_answer_units(&held->answer);
        usage.finish = held->answer.finish;
        usage.calls = request->calls;
        usage.tokens_computed = request->prompt_count - request->reused; /* rows of what was written do not count */
    }
    return usage;
}

/* ---- inputs ---- */

static struct tl_value *input_named(const struct tl_item *item, const char *name) {
    for (size_t i = 0; i < item->input_count; i++)
        if (strcmp(item->input_names[i], name) == 0)
            return item->inputs[i];
    return NULL;
}

static bool is_kv(const struct tl_value *value) {
    return value && tl_type_equal(value->type, TL_TYPE_OF(KV, 0));
}

/* On whose behalf: what is cached for one tenant is not found by another. */
static uint64_t salt_of(const struct tl_item *item) {
    if (!item->tenant || !*item->tenant)
        return 0;
    char hex[TL_SHA256_HEX_SIZE];
    tl_sha256_hex(item->tenant, strlen(item->tenant), hex);
    return tl_hash_string(hex, 0);
}

/* Hands the item to the core. `held` is its request's user from then on. */
static enum tl_status submit(struct tl_llama_engine *engine, struct tl_llama_item *held, struct tl_llm_ask *ask,
                             struct tl_error *error) {
    ask->user = held;
    ask->rank = held->item->rank;
    if (held->certain.count == 0 || ask->count + held->certain.count < engine->context_tokens)
        held->request = tl_llm_submit(engine->core, ask);
    if (held->request)
        return TL_OK;
    return tl_error_set(error, TL_ERR_LIMIT,
                        "the prompt has %zu tokens and the context holds %u (setting context_size)", ask->count,
                        engine->context_tokens);
}

/* ---- prefill ---- */

/* Rows of logits that are kept for each item that computes; beyond these a decode computes its prompt's last token. */
#define ROWS_KEPT 4

/* Room for the row behind a prompt: the decode that follows begins with it instead of a call, however many decodes. */
static void reserve_row(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    if (engine->rows < ROWS_KEPT * (size_t)engine->sequences)
        held->row = tl_mem_try_alloc(engine->vocabulary * sizeof *held->row);
    engine->rows += held->row != NULL;
}

void tl_llama_item_keep_row(struct tl_llama_engine *engine, struct tl_llama_item *held, int32_t index) {
    const float *row = llama_get_logits_ith(engine->context, index);
    if (row)
        memcpy(held->row, row, engine->vocabulary * sizeof *held->row);
    else
        tl_llama_item_fail(engine, held, TL_ERR_ENGINE, "llama.cpp gave no logits for the token at position %zu",
                           held->request->filled - 1);
}

/* A kv input is not looked at for more than its kind: what it stands for is found in the cache by the tokens, as is
 * what any other item left there; one that is another engine's is as good as none. */
static enum tl_status read_prefill(struct tl_llama_engine *engine, struct tl_llama_item *held, struct tl_error *error) {
    const struct tl_item *item = held->item;
    const struct tl_value *prompt = input_named(item, "prompt"), *kv = input_named(item, "kv");
    if (!prompt || !tl_type_equal(prompt->type, TL_TYPE_OF(PROMPT, 0)))
        return tl_error_set(error, TL_ERR_INVALID, "the input prompt is missing or not a prompt");
    if (kv && !is_kv(kv))
        return tl_error_set(error, TL_ERR_INVALID, "the input kv is not a prefix");
    int64_t reserve = tl_attributes_integer(item->attributes, "reserve", engine->reserve);
    if (reserve < 1 || reserve >= engine->context_tokens)
        reserve = engine->context_tokens / 2;
    struct tl_llama_tokens tokens = {0};
    struct tl_llm_ask ask = {.salt = salt_of(item)};
    enum tl_status status =
        tl_llama_prompt_tokens(&engine->template, &prompt->as.prompt, engine->context_tokens - (size_t)reserve, &tokens,
                               &ask.open, &held->trimmed, error);
    if (status != TL_OK) {
        tl_error_prefix(error, "context of %u tokens (setting context_size), %lld of them reserved for the answer",
                        engine->context_tokens, (long long)reserve);
    } else {
        ask.ids = tokens.ids;
        ask.count = tokens.count;
        if (!ask.open && tokens.count > 0)
            reserve_row(engine, held);
        ask.row = held->row != NULL;
        if (engine->pin_bytes > 0)
            ask.pin = tl_llama_prompt_static(&engine->template, &prompt->as.prompt, &tokens);
        held->unread = ask.pin > 0;
        status = submit(engine, held, &ask, error);
    }
    tl_llama_tokens_fini(&tokens);
    return status;
}

void tl_llama_item_filled(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    struct tl_item *item = held->item;
    const struct tl_emit *emit = engine->emit;
    if (held->trimmed > 0) {
        char notice[160];
        snprintf(notice, sizeof notice, "%zu tokens were cut from retrieved text to fit the context of %u tokens",
                 held->trimmed, engine->context_tokens);
        emit->notice(emit->context, item, notice);
    }
    struct tl_resource *handle = tl_llm_handles_add(engine->handles, held->request, held->row);
    held->row = NULL;
    struct tl_value *kv = tl_value_kv(handle, (uint32_t)held->request->prompt_count);
    const struct tl_usage usage = usage_of(held);
    forget(engine, held);
    emit->done(emit->context, item, &kv, 1, &usage);
}

/* ---- decode ---- */

static enum tl_status read_decode(struct tl_llama_engine *engine, struct tl_llama_item *held, struct tl_error *error) {
    enum tl_status status = tl_llama_answer_init(&held->answer, &engine->pieces, held->item->attributes, error);
    if (status != TL_OK)
        return status;
    const struct tl_value *kv = input_named(held->item, "kv");
    if (!is_kv(kv) || !kv->as.kv.resource)
        return tl_error_set(error, TL_ERR_INVALID, "the input kv is missing or not a prefix");
    if (kv->as.kv.resource->owner != engine)
        return tl_error_set(error, TL_ERR_INVALID, "the prefix belongs to another engine than '%s'", engine->base.name);
    const struct tl_llm_handle *prefix = tl_llm_handles_prefix(kv->as.kv.resource);
    if (prefix->open || prefix->tokens.count == 0)
        return tl_error_set(error, TL_ERR_INVALID, "the prefix is of a prompt that goes on: prefill all of it first");
    held->first = tl_llm_handles_attached(kv->as.kv.resource);
    held->answer.sampler.asks_all = !engine->ask_first;
    /* With a row to go on from, it is seen then how what is forced is fed. */
    struct tl_llama_tokens together = {0};
    bool later = engine->jump_forward == 0 || (engine->jump_forward < 0 && held->first);
    struct tl_llama_tokens *forced = later ? &held->certain : &together;
    tl_llama_answer_follows(&held->answer, prefix->tokens.ids, prefix->tokens.count);
    tl_llama_answer_begin(&held->answer, forced);
    status = submit(engine, held,
                    &(struct tl_llm_ask){.ids = prefix->tokens.ids,
                                         .count = prefix->tokens.count,
                                         .forced = together.ids,
                                         .forced_count = together.count,
                                         .reserve = held->answer.max_tokens,
                                         .decode = true,
                                         .row = held->first != NULL,
                                         .salt = prefix->salt},
                    error);
    tl_llama_tokens_fini(&together);
    return status;
}

/* Passes on what has become certain: text for the user, and elements of a list from `before` on. */
static void pass_on(struct tl_llama_engine *engine, struct tl_llama_item *held, size_t before) {
    const struct tl_emit *emit = engine->emit;
    size_t length;
    const char *text = tl_llama_answer_delta(&held->answer, &length);
    if (length > 0 && held->item->stream)
        emit->delta(emit->context, held->item, text, length);
    for (size_t i = before; held->item->pieces && i < tl_llama_answer_piece_count(&held->answer); i++)
        emit->piece(emit->context, held->item, i, tl_llama_answer_piece(&held->answer, i));
}

static void finish_decode(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    const struct tl_emit *emit = engine->emit;
    struct tl_item *item = held->item;
    if (tl_llama_answer_is_broken(&held->answer)) {
        tl_llama_item_fail(engine, held, TL_ERR_ENGINE,
                           "the list that the model wrote breaks off after %zu whole items of %zu",
                           tl_llama_answer_units(&held->answer), held->answer.list.least);
        return;
    }
    struct tl_value *outputs[TL_LLAMA_ANSWER_OUTPUTS];
    size_t count = tl_llama_answer_outputs(&held->answer, outputs);
    if (count == 0) {
        tl_llama_item_fail(engine, held, TL_ERR_NO_MEMORY, "out of memory for what was written");
        return;
    }
    if (held->limited_by_context) {
        char notice[160];
        snprintf(notice, sizeof notice, "writing stopped after %zu tokens, at the end of the context of %u tokens",
                 held->answer.written, engine->context_tokens);
        emit->notice(emit->context, item, notice);
    }
    const struct tl_usage usage = usage_of(held);
    forget(engine, held);
    emit->done(emit->context, item, outputs, count, &usage);
}

/* Lets the answer choose by one row, the one behind `fed` tokens; what is fed for it goes to `next`. */
static enum tl_llama_answer_progress choose(struct tl_llama_engine *engine, struct tl_llama_item *held, float *logits,
                                            size_t fed, struct tl_llama_tokens *next) {
    if (engine->hooks.logits)
        engine->hooks.logits(engine->hooks.context, held->item, logits, engine->vocabulary);
    size_t before = tl_llama_answer_piece_count(&held->answer);
    enum tl_llama_answer_progress progress = tl_llama_answer_next(&held->answer, &engine->candidates, logits, next);
    if (progress == TL_LLAMA_ANSWER_GOES_ON && fed + next->count > engine->context_tokens) {
        held->limited_by_context = true;
        tl_llama_answer_end(&held->answer);
        progress = TL_LLAMA_ANSWER_ENDED;
    }
    if (progress != TL_LLAMA_ANSWER_NAN)
        pass_on(engine, held, before);
    return progress;
}

static bool jumps(const struct tl_llama_engine *engine, const struct tl_llama_item *held, size_t count) {
    return engine->jump_forward < 0 ? tl_llm_together(engine->core, held->request, count) : engine->jump_forward > 0;
}

/* What is fed behind a row: chosen by it, unless something that was forced before has yet to be fed. */
static enum tl_llama_answer_progress go_on(struct tl_llama_engine *engine, struct tl_llama_item *held, float *logits,
                                           size_t fed, struct tl_llama_tokens *next) {
    struct tl_llama_tokens *certain = &held->certain;
    enum tl_llama_answer_progress progress = TL_LLAMA_ANSWER_GOES_ON;
    if (held->certain_fed == certain->count) {
        certain->count = held->certain_fed = 0;
        progress = choose(engine, held, logits, fed, certain);
    }
    size_t left = progress == TL_LLAMA_ANSWER_GOES_ON ? certain->count - held->certain_fed : 0;
    for (size_t count = left > 1 && !jumps(engine, held, left) ? 1 : left; count > 0; count--)
        tl_llama_tokens_push(next, certain->ids[held->certain_fed++]);
    return progress;
}

/* How many more tokens may be proposed. */
static size_t left_to_write(const struct tl_llama_item *held) {
    const struct tl_llama_answer *answer = &held->answer;
    return answer->max_tokens > answer->written ? answer->max_tokens - answer->written - 1 : 0;
}

/* After a row that is not of a proposal that was right: what is fed next, or how the item ends. `end` is the position
 * behind the row's token. */
static void proceed(struct tl_llama_engine *engine, struct tl_llama_item *held, size_t end,
                    enum tl_llama_answer_progress progress, const llama_token *ids, size_t count) {
    if (progress == TL_LLAMA_ANSWER_NAN) {
        tl_llama_item_fail(engine, held, TL_ERR_ENGINE, "the model's output at position %zu is not a number", end - 1);
    } else if (progress == TL_LLAMA_ANSWER_ENDED) {
        finish_decode(engine, held);
    } else {
        tl_llm_append(engine->core, held->request, ids, count, 0);
        tl_llm_draft(engine->core, held->request, left_to_write(held));
    }
}

void tl_llama_item_ready(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    struct tl_llama_tokens next = {0};
    size_t end = held->request->tokens.count;
    memcpy(engine->scratch, held->first, engine->vocabulary * sizeof *engine->scratch);
    held->batch_units = held->batch_units > 0 ? held->batch_units : 1;
    enum tl_llama_answer_progress progress = go_on(engine, held, engine->scratch, end, &next);
    proceed(engine, held, end, progress, next.ids, next.count);
    tl_llama_tokens_fini(&next);
}

void tl_llama_item_rows(struct tl_llama_engine *engine, struct tl_llama_item *held, int32_t first, size_t count) {
    struct tl_llm_request *request = held->request;
    size_t drafted = count - 1, right = 0, certain = request->tokens.count - drafted, same = 0;
    struct tl_llama_tokens next = {0};
    enum tl_llama_answer_progress progress = TL_LLAMA_ANSWER_GOES_ON;
    float *logits = NULL;
    /* As long as what is chosen was proposed, the next row is of use. */
    while (progress == TL_LLAMA_ANSWER_GOES_ON && same == next.count) {
        logits = llama_get_logits_ith(engine->context, first + (int32_t)right);
        if (!logits)
            break;
        next.count = same = 0;
        progress = go_on(engine, held, logits, certain + right, &next);
        while (same < next.count && right < drafted && request->tokens.ids[certain + right] == next.ids[same]) {
            same++;
            right++;
        }
    }
    if (logits && progress != TL_LLAMA_ANSWER_NAN && drafted > 0)
        tl_llm_reject(engine->core, request, drafted - right);
    if (logits)
        proceed(engine, held, certain + right, progress, next.ids + same, next.count - same);
    else
        tl_llama_item_fail(engine, held, TL_ERR_ENGINE, "llama.cpp gave no logits for the token at position %zu",
                           certain + right - 1);
    tl_llama_tokens_fini(&next);
}

/* ---- submit ---- */

void tl_llama_item_submit(struct tl_llama_engine *engine, struct tl_item *item) {
    struct tl_llama_item *held = tl_mem_zalloc(sizeof *held);
    held->item = item;
    struct tl_error error = {0};
    enum tl_status status;
    if (item->op == TL_OP_DECODE || item->op == TL_OP_PARTIAL_DECODE)
        status = read_decode(engine, held, &error);
    else if (item->op == TL_OP_PREFILL || item->op == TL_OP_PARTIAL_PREFILL || item->op == TL_OP_FULL_PREFILL)
        status = read_prefill(engine, held, &error);
    else
        status = tl_error_set(&error, TL_ERR_UNSUPPORTED, "an engine of type 'llama' serves prefill and decode only");
    if (status != TL_OK)
        tl_llama_item_fail(engine, held, status, "%s", error.message);
}

/* llama_item.c: one item of the llama engine: reading what it asks for, following it from
 * prompt to text, and its outcome. */
#include "engine/llama/llama_internal.h"

#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/mem.h"

/* ---- list of items ---- */

static void link_item(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    struct tl_llama_item **link = &engine->items;
    while (*link && (*link)->item->rank >= held->item->rank)
        link = &(*link)->next;
    held->next = *link;
    *link = held;
    engine->counters.items++;
}

/* Takes the item from the engine and frees what it held; its outcome is reported by the caller. */
static void forget(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    for (struct tl_llama_item **link = &engine->items; *link; link = &(*link)->next)
        if (*link == held) {
            *link = held->next;
            engine->counters.items--;
            break;
        }
    tl_llama_span_release(engine, held);
    if (held->source)
        tl_llama_prefix_leave(engine, held->source);
    tl_llama_tokens_fini(&held->tokens);
    tl_llama_answer_fini(&held->answer);
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
    forget(engine, held);
    engine->emit->fail(engine->emit->context, item, status, error.message);
}

static struct tl_usage usage_of(const struct tl_llama_item *held) {
    struct tl_usage usage = {
        .units = 1,
        .tokens_computed = held->computed,
        .tokens_trimmed = held->trimmed,
        .batch_units = held->batch_units,
        .tokens_reused = held->reused,
        .tokens_out = held->answer.written,
        .tokens_forced = held->answer.forced,
        .tokens_in = held->prompt_count,
    };
    if (held->decode) {
        usage.units = tl_llama_answer_units(&held->answer);
        usage.finish = held->answer.finish;
        usage.tokens_computed = held->prompt_count - held->reused; /* rows that feed what was written do not count */
    }
    return usage;
}

/* ---- prefill ---- */

static struct tl_value *input_named(const struct tl_item *item, const char *name) {
    for (size_t i = 0; i < item->input_count; i++)
        if (strcmp(item->input_names[i], name) == 0)
            return item->inputs[i];
    return NULL;
}

/* The prefix behind a kv input; NULL with *error set when it is not one of ours. */
static struct tl_llama_prefix *prefix_of(const struct tl_llama_engine *engine, const struct tl_value *kv,
                                         struct tl_error *error) {
    if (!kv || !tl_type_equal(kv->type, TL_TYPE_OF(KV, 0))) {
        tl_error_set(error, TL_ERR_INVALID, "the input kv is missing or not a prefix");
        return NULL;
    }
    if (!kv->as.kv.resource || kv->as.kv.resource->owner != engine) {
        tl_error_set(error, TL_ERR_INVALID, "the prefix belongs to another engine than '%s'", engine->base.name);
        return NULL;
    }
    return ((struct tl_llama_handle *)kv->as.kv.resource)->prefix;
}

static enum tl_status read_prefill(struct tl_llama_engine *engine, struct tl_llama_item *held, struct tl_error *error) {
    const struct tl_item *item = held->item;
    const struct tl_value *prompt = input_named(item, "prompt");
    const struct tl_value *kv = input_named(item, "kv");
    if (!prompt || !tl_type_equal(prompt->type, TL_TYPE_OF(PROMPT, 0)))
        return tl_error_set(error, TL_ERR_INVALID, "the input prompt is missing or not a prompt");
    if (kv) {
        held->source = prefix_of(engine, kv, error);
        if (!held->source)
            return error->status;
        tl_llama_prefix_use(held->source);
    }
    int64_t reserve = tl_attributes_integer(item->attributes, "reserve", engine->reserve);
    if (reserve < 1 || reserve >= engine->context_tokens)
        reserve = engine->context_tokens / 2;
    size_t limit = engine->context_tokens - (size_t)reserve;
    enum tl_status status = tl_llama_prompt_tokens(&engine->template, &prompt->as.prompt, limit, &held->tokens,
                                                   &held->open, &held->trimmed, error);
    if (status != TL_OK)
        return tl_error_prefix(error,
                               "context of %u tokens (setting context_size), %lld of them reserved for the answer",
                               engine->context_tokens, (long long)reserve);
    held->prompt_count = held->tokens.count;
    held->target = held->tokens.count - (!held->open && held->tokens.count > 0);
    return TL_OK;
}

static void finish_prefill(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    struct tl_item *item = held->item;
    const struct tl_emit *emit = engine->emit;
    if (held->trimmed > 0) {
        char notice[160];
        snprintf(notice, sizeof notice, "%zu tokens were cut from retrieved text to fit the context of %u tokens",
                 held->trimmed, engine->context_tokens);
        emit->notice(emit->context, item, notice);
    }
    struct tl_value *kv = tl_value_kv(tl_llama_handle_create(engine, held), (uint32_t)held->prompt_count);
    const struct tl_usage usage = usage_of(held);
    forget(engine, held);
    emit->done(emit->context, item, &kv, 1, &usage);
}

void tl_llama_item_filled(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    if (held->decode) {
        held->state = TL_LLAMA_WRITING;
        held->pending = held->tokens.count - held->span->length;
    } else {
        finish_prefill(engine, held);
    }
}

/* ---- decode ---- */

static enum tl_status read_decode(struct tl_llama_engine *engine, struct tl_llama_item *held, struct tl_error *error) {
    enum tl_status status = tl_llama_answer_init(&held->answer, &engine->pieces, held->item->attributes, error);
    if (status != TL_OK)
        return status;
    struct tl_llama_prefix *source = prefix_of(engine, input_named(held->item, "kv"), error);
    if (!source)
        return error->status;
    if (source->open || source->tokens.count == 0)
        return tl_error_set(error, TL_ERR_INVALID, "the prefix is of a prompt that goes on: prefill all of it first");
    tl_llama_prefix_use(source);
    held->source = source;
    tl_llama_tokens_append(&held->tokens, source->tokens.ids, source->tokens.count);
    held->prompt_count = held->tokens.count;
    held->target = held->tokens.count - 1;
    tl_llama_answer_begin(&held->answer, &held->tokens);
    if (held->tokens.count >= engine->context_tokens)
        return tl_error_set(error, TL_ERR_LIMIT,
                            "the prompt has %zu tokens and the context holds %u (setting context_size)",
                            held->prompt_count, engine->context_tokens);
    return TL_OK;
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

void tl_llama_item_logits(struct tl_llama_engine *engine, struct tl_llama_item *held, float *logits) {
    if (engine->hooks.logits)
        engine->hooks.logits(engine->hooks.context, held->item, logits, engine->vocabulary);
    struct tl_llama_tokens next = {0};
    size_t before = tl_llama_answer_piece_count(&held->answer);
    enum tl_llama_answer_progress progress =
        tl_llama_answer_next(&held->answer, &engine->candidates, logits, &next);
    if (progress == TL_LLAMA_ANSWER_GOES_ON && held->tokens.count + next.count > engine->context_tokens) {
        held->limited_by_context = true;
        tl_llama_answer_end(&held->answer);
        progress = TL_LLAMA_ANSWER_ENDED;
    }
    tl_llama_tokens_append(&held->tokens, next.ids, progress == TL_LLAMA_ANSWER_GOES_ON ? next.count : 0);
    held->pending = next.count;
    tl_llama_tokens_fini(&next);
    if (progress == TL_LLAMA_ANSWER_NAN) {
        tl_llama_item_fail(engine, held, TL_ERR_ENGINE, "the model's output at position %zu is not a number",
                           held->span->length);
        return;
    }
    pass_on(engine, held, before);
    if (progress == TL_LLAMA_ANSWER_ENDED)
        finish_decode(engine, held);
}

/* ---- submit ---- */

void tl_llama_item_submit(struct tl_llama_engine *engine, struct tl_item *item) {
    struct tl_llama_item *held = tl_mem_zalloc(sizeof *held);
    held->item = item;
    held->decode = item->op == TL_OP_DECODE || item->op == TL_OP_PARTIAL_DECODE;
    struct tl_error error = {0};
    enum tl_status status;
    if (held->decode)
        status = read_decode(engine, held, &error);
    else if (item->op == TL_OP_PREFILL || item->op == TL_OP_PARTIAL_PREFILL || item->op == TL_OP_FULL_PREFILL)
        status = read_prefill(engine, held, &error);
    else
        status = tl_error_set(&error, TL_ERR_UNSUPPORTED, "an engine of type 'llama' serves prefill and decode only");
    link_item(engine, held);
    if (status != TL_OK)
        tl_llama_item_fail(engine, held, status, "%s", error.message);
}

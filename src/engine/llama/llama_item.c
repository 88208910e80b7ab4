/* llama_item.c: one item of the llama engine: reading what it asks for, following it from
 * prompt to text, and its outcome. */
#include "engine/llama/llama_internal.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/attributes.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"

#define MOST_LIST_ITEMS 64
#define MOST_STOPS 16

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
    if (held->is_list)
        tl_llama_list_fini(&held->list);
    else if (held->decode)
        tl_llama_writer_fini(&held->writer);
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
        .units = held->is_list ? held->list.count : 1,
        .tokens_computed = held->computed,
        .tokens_trimmed = held->trimmed,
        .batch_units = held->batch_units,
        .tokens_reused = held->reused,
        .tokens_out = held->written,
        .tokens_in = held->prompt_count,
    };
    if (held->decode) {
        usage.finish = held->limited ? "length" : "stop";
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

static enum tl_status read_stops(struct tl_llama_item *held, struct tl_error *error) {
    const char *text = tl_attributes_string(held->item->attributes, "stop", NULL);
    if (!text)
        return TL_OK;
    json_t *stops = json_loads(text, 0, NULL);
    enum tl_status status = TL_OK;
    if (!json_is_array(stops) || json_array_size(stops) > MOST_STOPS)
        status = tl_error_set(error, TL_ERR_INVALID, "attribute stop must be a JSON array of at most %d strings",
                              MOST_STOPS);
    size_t index;
    json_t *stop;
    if (status == TL_OK)
        json_array_foreach(stops, index, stop) {
            if (json_is_string(stop))
                tl_llama_writer_add_stop(&held->writer, json_string_value(stop));
            else
                status = tl_error_set(error, TL_ERR_INVALID, "attribute stop must hold strings only");
        }
    json_decref(stops);
    return status;
}

static bool within(double value, double least, double most) {
    return value >= least && value <= most;
}

static enum tl_status read_sampling(struct tl_llama_item *held, struct tl_error *error) {
    const struct tl_attributes *attributes = held->item->attributes;
    double temperature = tl_attributes_number(attributes, "temperature", 0);
    double top_p = tl_attributes_number(attributes, "top_p", 1);
    double min_p = tl_attributes_number(attributes, "min_p", 0);
    int64_t top_k = tl_attributes_integer(attributes, "top_k", 0);
    int64_t max_tokens = tl_attributes_integer(attributes, "max_tokens", 256);
    if (!within(temperature, 0, 100) || !within(top_p, 0, 1) || !within(min_p, 0, 1) || top_k < 0 || max_tokens < 1)
        return tl_error_set(error, TL_ERR_INVALID,
                            "temperature must be from 0 to 100, top_p and min_p from 0 to 1, top_k at least 0 and "
                            "max_tokens at least 1; found %g, %g, %g, %lld, %lld",
                            temperature, top_p, min_p, (long long)top_k, (long long)max_tokens);
    uint64_t seed = (uint64_t)tl_attributes_integer(attributes, "seed", 0);
    held->sampler = (struct tl_llama_sampler){temperature, top_p, min_p, (size_t)top_k, tl_hash_u64(seed, 1)};
    held->max_tokens = (size_t)max_tokens;
    held->ignores_end = tl_attributes_bool(attributes, "ignore_eos", false) && !held->is_list;
    return TL_OK;
}

/* Makes the item's list or writer according to its format. */
static enum tl_status read_format(struct tl_llama_engine *engine, struct tl_llama_item *held, struct tl_error *error) {
    const struct tl_attributes *attributes = held->item->attributes;
    const char *format = tl_attributes_string(attributes, "format", "text");
    tl_llama_writer_init(&held->writer);
    if (strcmp(format, "text") == 0)
        return read_stops(held, error);
    if (strcmp(format, "list") != 0)
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "format '%s' is not known; it must be text or list", format);
    int64_t items = tl_attributes_integer(attributes, "items", 3);
    int64_t item_tokens = tl_attributes_integer(attributes, "item_tokens", 48);
    if (items < 1 || items > MOST_LIST_ITEMS || item_tokens < 1 || item_tokens > engine->context_tokens)
        return tl_error_set(error, TL_ERR_INVALID,
                            "a list has from 1 to %d items of at least 1 token; found %lld of %lld", MOST_LIST_ITEMS,
                            (long long)items, (long long)item_tokens);
    tl_llama_writer_fini(&held->writer);
    held->is_list = true;
    tl_llama_list_init(&held->list, engine->vocab, (size_t)items, (size_t)item_tokens);
    return TL_OK;
}

static enum tl_status read_decode(struct tl_llama_engine *engine, struct tl_llama_item *held, struct tl_error *error) {
    enum tl_status status = read_format(engine, held, error);
    if (status == TL_OK)
        status = read_sampling(held, error);
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
    if (held->is_list) {
        size_t before = held->tokens.count;
        tl_llama_list_begin(&held->list, &held->tokens);
        held->written = held->tokens.count - before;
    }
    if (held->tokens.count >= engine->context_tokens)
        return tl_error_set(error, TL_ERR_LIMIT,
                            "the prompt has %zu tokens and the context holds %u (setting context_size)",
                            held->prompt_count, engine->context_tokens);
    return TL_OK;
}

static void take_delta(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    size_t length;
    const char *text = tl_llama_writer_take(&held->writer, &length);
    if (length > 0 && held->item->stream)
        engine->emit->delta(engine->emit->context, held->item, text, length);
}

static void finish_decode(struct tl_llama_engine *engine, struct tl_llama_item *held) {
    const struct tl_emit *emit = engine->emit;
    struct tl_item *item = held->item;
    struct tl_value *output;
    if (held->is_list) {
        for (size_t i = 0; i < held->list.count; i++)
            tl_value_ref(held->list.items[i]);
        output = tl_value_list(TL_TYPE_OF(TEXT, 0), held->list.items, held->list.count);
    } else {
        tl_llama_writer_end(&held->writer);
        take_delta(engine, held);
        output = tl_value_text(held->writer.text.data, held->writer.text.length);
    }
    if (!output) {
        tl_llama_item_fail(engine, held, TL_ERR_NO_MEMORY, "out of memory for the text written");
        return;
    }
    if (held->limited_by_context) {
        char notice[160];
        snprintf(notice, sizeof notice, "writing stopped after %zu tokens, at the end of the context of %u tokens",
                 held->written, engine->context_tokens);
        emit->notice(emit->context, item, notice);
    }
    const struct tl_usage usage = usage_of(held);
    forget(engine, held);
    emit->done(emit->context, item, &output, 1, &usage);
}

/* Appends what is fed next. False: the context is full, or all tokens are written. */
static bool goes_on(struct tl_llama_engine *engine, struct tl_llama_item *held, const struct tl_llama_tokens *next) {
    held->written += next->count;
    held->limited_by_context = held->tokens.count + next->count > engine->context_tokens;
    held->limited = held->limited_by_context || held->written >= held->max_tokens;
    if (held->limited)
        return false;
    tl_llama_tokens_append(&held->tokens, next->ids, next->count);
    held->pending = next->count;
    return true;
}

/* Reports list items that have become complete. */
static void take_pieces(struct tl_llama_engine *engine, struct tl_llama_item *held, size_t before) {
    for (size_t i = before; held->item->pieces && i < held->list.count; i++)
        engine->emit->piece(engine->emit->context, held->item, i, tl_value_ref(held->list.items[i]));
}

static void take_list_token(struct tl_llama_engine *engine, struct tl_llama_item *held, llama_token id) {
    struct tl_llama_tokens next = {0};
    size_t before = held->list.count;
    bool complete = tl_llama_list_take(&held->list, id, &next) == TL_LLAMA_LIST_COMPLETE;
    take_pieces(engine, held, before);
    if (complete)
        held->written++; /* the token that ended it */
    bool more = !complete && goes_on(engine, held, &next);
    tl_llama_tokens_fini(&next);
    if (more)
        return;
    before = held->list.count;
    tl_llama_list_end(&held->list);
    take_pieces(engine, held, before);
    finish_decode(engine, held);
}

static void take_text_token(struct tl_llama_engine *engine, struct tl_llama_item *held, llama_token id) {
    if (llama_vocab_is_eog(engine->vocab, id)) {
        finish_decode(engine, held);
        return;
    }
    char piece[256];
    int32_t length = llama_token_to_piece(engine->vocab, id, piece, sizeof piece, 0, false);
    if (length < 0) { /* longer than the buffer */
        char *large = tl_mem_alloc((size_t)-length);
        length = llama_token_to_piece(engine->vocab, id, large, -length, 0, false);
        tl_llama_writer_put(&held->writer, large, length > 0 ? (size_t)length : 0);
        tl_mem_free(large);
    } else {
        tl_llama_writer_put(&held->writer, piece, (size_t)length);
    }
    take_delta(engine, held);
    llama_token ids[1] = {id};
    const struct tl_llama_tokens next = {ids, 1, 1};
    if (!goes_on(engine, held, &next) || held->writer.stopped) {
        held->limited = held->limited && !held->writer.stopped;
        finish_decode(engine, held);
    }
}

void tl_llama_item_logits(struct tl_llama_engine *engine, struct tl_llama_item *held, float *logits) {
    if (engine->hooks.logits)
        engine->hooks.logits(engine->hooks.context, held->item, logits, engine->vocabulary);
    llama_token id;
    for (;;) {
        id = tl_llama_sample(&held->sampler, &engine->candidates, logits, engine->vocabulary,
                             held->is_list ? tl_llama_list_allows : NULL, &held->list);
        if (id < 0 || !held->ignores_end || !llama_vocab_is_eog(engine->vocab, id))
            break;
        logits[id] = -INFINITY;
    }
    if (id == TL_LLAMA_SAMPLE_NAN) {
        tl_llama_item_fail(engine, held, TL_ERR_ENGINE, "the model's output at position %zu is not a number",
                           held->span->length);
    } else if (id == TL_LLAMA_SAMPLE_REFUSED) { /* lists only: nothing that the model would write is allowed */
        size_t before = held->list.count;
        tl_llama_list_end(&held->list);
        take_pieces(engine, held, before);
        finish_decode(engine, held);
    } else if (held->is_list) {
        take_list_token(engine, held, id);
    } else {
        take_text_token(engine, held, id);
    }
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

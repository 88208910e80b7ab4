#include <string.h>

#include "base/mem.h"
#include "server/emulate_impl.h"

/* ---- answers ---- */

static void put_id(const struct exchange *exchange, struct tl_str *out) {
    tl_str_printf(out, "\"id\":\"%s-%llu\",\"created\":%lld,\"model\":", exchange->chat ? "chatcmpl" : "cmpl",
                  (unsigned long long)exchange->number, (long long)exchange->created);
    const char *model = exchange->model ? exchange->model : "emulated";
    tl_str_put_json(out, model, strlen(model));
}

static json_t *usage_json(const struct exchange *exchange, const struct tl_usage *decode) {
    json_int_t prompt = (json_int_t)exchange->prompt_usage.tokens_in, written = (json_int_t)decode->tokens_out;
    return json_pack("{s:I, s:I, s:I, s:{s:I}}", "prompt_tokens", prompt, "completion_tokens", written, "total_tokens",
                     prompt + written, "prompt_tokens_details", "cached_tokens",
                     (json_int_t)exchange->prompt_usage.tokens_reused);
}

/* One event: `text` (NULL: none) and, at the end, why it ended. */
static void stream_text(struct exchange *exchange, const char *text, size_t length, const char *finish) {
    struct tl_str out = TL_STR_INIT;
    tl_str_putc(&out, '{');
    put_id(exchange, &out);
    tl_str_printf(&out, ",\"object\":\"%s\",\"choices\":[{\"index\":0,",
                  exchange->chat ? "chat.completion.chunk" : "text_completion");
    tl_str_puts(&out, exchange->chat ? "\"delta\":{" : "\"text\":");
    if (exchange->chat && !exchange->begun)
        tl_str_puts(&out, text ? "\"role\":\"assistant\"," : "\"role\":\"assistant\"");
    if (exchange->chat && text)
        tl_str_puts(&out, "\"content\":");
    if (text || !exchange->chat)
        tl_str_put_json(&out, text ? text : "", length);
    tl_str_puts(&out, exchange->chat ? "},\"finish_reason\":" : ",\"finish_reason\":");
    if (finish)
        tl_str_printf(&out, "\"%s\"}]}", finish);
    else
        tl_str_puts(&out, "null}]}");
    tl_exchange_stream(exchange, out.data, out.length);
    tl_str_fini(&out);
}

static void stream_usage(struct exchange *exchange, const struct tl_usage *decode) {
    struct tl_str out = TL_STR_INIT;
    json_t *usage = usage_json(exchange, decode);
    char *text = json_dumps(usage, JSON_COMPACT);
    tl_str_putc(&out, '{');
    put_id(exchange, &out);
    tl_str_printf(&out, ",\"object\":\"%s\",\"choices\":[],\"usage\":%s}",
                  exchange->chat ? "chat.completion.chunk" : "text_completion", text);
    free(text);
    json_decref(usage);
    tl_exchange_stream(exchange, out.data, out.length);
    tl_str_fini(&out);
}

static json_t *whole_answer(const struct exchange *exchange, const struct tl_value *output,
                            const struct tl_usage *usage, const char *finish) {
    json_t *choice = exchange->chat ? json_pack("{s:i, s:{s:s, s:s#}, s:s}", "index", 0, "message", "role", "assistant",
                                                "content", output->as.text.data, (int)output->as.text.length,
                                                "finish_reason", finish)
                                    : json_pack("{s:i, s:s#, s:s}", "index", 0, "text", output->as.text.data,
                                                (int)output->as.text.length, "finish_reason", finish);
    struct tl_str id = TL_STR_INIT;
    tl_str_printf(&id, "%s-%llu", exchange->chat ? "chatcmpl" : "cmpl", (unsigned long long)exchange->number);
    json_t *answer = json_pack("{s:s, s:s, s:I, s:s, s:[o], s:o}", "id", id.data, "object",
                               exchange->chat ? "chat.completion" : "text_completion", "created",
                               (json_int_t)exchange->created, "model", exchange->model ? exchange->model : "emulated",
                               "choices", choice, "usage", usage_json(exchange, usage));
    tl_str_fini(&id);
    return answer;
}

/* ---- the two jobs ---- */

void tl_emulate_text_delta(void *context, const char *text, size_t length) {
    stream_text(context, text, length, NULL);
}

static void on_decoded(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                       const char *message) {
    (void)status;
    struct exchange *exchange = context;
    exchange->job = NULL;
    if (!output) {
        tl_exchange_fail(exchange, 500, "%s", message);
        return;
    }
    const char *finish = usage->finish ? usage->finish : "length";
    if (!exchange->streaming) {
        tl_exchange_answer(exchange, whole_answer(exchange, output, usage, finish));
        return;
    }
    stream_text(exchange, NULL, 0, finish);
    if (exchange->with_usage)
        stream_usage(exchange, usage);
    tl_exchange_stream(exchange, "[DONE]", 6);
    tl_exchange_end_stream(exchange);
}

static void on_prefilled(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                         const char *message) {
    struct exchange *exchange = context;
    exchange->job = NULL;
    if (!output) {
        tl_exchange_fail(exchange, status == TL_ERR_LIMIT ? 400 : 500, "%s", message);
        return;
    }
    exchange->prompt_usage = *usage;
    struct tl_value *kv = tl_value_ref(output);
    tl_exchange_submit(exchange, TL_OP_DECODE, &kv, 1, exchange->streaming, on_decoded);
}

/* Settings that both routes know. False: the exchange has failed. */
static bool read_settings(struct exchange *exchange) {
    const json_t *body = exchange->body;
    const json_t *most = json_object_get(body, "max_completion_tokens");
    if (!most)
        most = json_object_get(body, "max_tokens");
    if (most && !json_is_null(most) && (!json_is_integer(most) || json_integer_value(most) < 1)) {
        tl_exchange_fail(exchange, 400, "max_tokens must be a positive integer");
        return false;
    }
    if (json_is_integer(most))
        tl_attributes_set_integer(&exchange->attributes, &exchange->arena, "max_tokens", json_integer_value(most));
    if (json_is_integer(json_object_get(body, "seed")))
        tl_attributes_set_integer(&exchange->attributes, &exchange->arena, "seed",
                                  json_integer_value(json_object_get(body, "seed")));
    if (json_is_true(json_object_get(body, "ignore_eos")))
        tl_attributes_set_bool(&exchange->attributes, &exchange->arena, "ignore_eos", true);
    exchange->streaming = json_is_true(json_object_get(body, "stream"));
    exchange->with_usage =
        json_is_true(json_object_get(json_object_get(body, "stream_options"), "include_usage"));
    return true;
}

static void prefill(struct exchange *exchange, const struct tl_prompt_part *parts, size_t count) {
    struct tl_value *prompt = tl_value_prompt(parts, count);
    tl_exchange_submit(exchange, TL_OP_PREFILL, &prompt, 1, false, on_prefilled);
}

/* The text of a message: a string, or a list of parts {"type": "text", "text"}. False: something else. */
static bool content_of(const json_t *content, struct tl_str *out) {
    if (json_is_string(content)) {
        tl_str_append(out, json_string_value(content), json_string_length(content));
        return true;
    }
    if (!json_is_array(content))
        return json_is_null(content);
    for (size_t i = 0; i < json_array_size(content); i++) {
        const json_t *text = json_object_get(json_array_get(content, i), "text");
        if (!json_is_string(text))
            return false;
        tl_str_append(out, json_string_value(text), json_string_length(text));
    }
    return true;
}

void tl_emulate_chat(struct exchange *exchange) {
    const json_t *messages = json_object_get(exchange->body, "messages");
    size_t count = json_array_size(messages);
    exchange->chat = true;
    if (count == 0) {
        tl_exchange_fail(exchange, 400, "messages must be a list with at least one message");
        return;
    }
    struct tl_prompt_part *parts = tl_arena_alloc(&exchange->arena, count * sizeof *parts);
    for (size_t i = 0; i < count; i++) {
        const json_t *message = json_array_get(messages, i);
        const char *role = json_string_value(json_object_get(message, "role"));
        struct tl_str text = TL_STR_INIT;
        bool ok = role && content_of(json_object_get(message, "content"), &text);
        if (ok)
            parts[i] = (struct tl_prompt_part){
                .role = strcmp(role, "system") == 0 || strcmp(role, "developer") == 0 ? TL_ROLE_SYSTEM
                        : strcmp(role, "assistant") == 0                              ? TL_ROLE_ASSISTANT
                                                                                      : TL_ROLE_USER,
                .message = (uint32_t)i,
                .text = tl_arena_strndup(&exchange->arena, text.data, text.length),
                .length = text.length,
            };
        tl_str_fini(&text);
        if (!ok) {
            tl_exchange_fail(exchange, 400, "messages[%zu] must have a role, and text as its content", i);
            return;
        }
    }
    if (read_settings(exchange))
        prefill(exchange, parts, count);
}

void tl_emulate_completions(struct exchange *exchange) {
    const json_t *prompt = json_object_get(exchange->body, "prompt");
    if (json_array_size(prompt) == 1)
        prompt = json_array_get(prompt, 0);
    if (!json_is_string(prompt)) {
        tl_exchange_fail(exchange, 400, "prompt must be a text");
        return;
    }
    struct tl_prompt_part part = {
        .role = TL_ROLE_USER, .text = json_string_value(prompt), .length = json_string_length(prompt)};
    if (read_settings(exchange))
        prefill(exchange, &part, 1);
}

/* llama_logprobs.c: see llama_logprobs.h. */
#include "engine/llama/llama_logprobs.h"

#include <math.h>

#include "base/utf8.h"

void tl_llama_logprobs_init(struct tl_llama_logprobs *logprobs, size_t most) {
    *logprobs = (struct tl_llama_logprobs){.tokens = json_array(), .most = most};
}

void tl_llama_logprobs_fini(struct tl_llama_logprobs *logprobs) {
    json_decref(logprobs->tokens);
    *logprobs = (struct tl_llama_logprobs){0};
}

void tl_llama_logprobs_look(struct tl_llama_logprobs *logprobs, const float *logits, size_t count) {
    float top = -INFINITY;
    for (size_t i = 0; i < count; i++)
        top = logits[i] > top ? logits[i] : top;
    double sum = 0;
    logprobs->best_count = 0;
    for (size_t i = 0; i < count; i++) {
        sum += expf(logits[i] - top);
        size_t at = logprobs->best_count;
        if (at == logprobs->most && (at == 0 || !(logits[i] > logprobs->best[at - 1].logit)))
            continue;
        at -= at == logprobs->most; /* the last one makes room */
        for (; at > 0 && logits[i] > logprobs->best[at - 1].logit; at--)
            logprobs->best[at] = logprobs->best[at - 1];
        logprobs->best[at].id = (llama_token)i;
        logprobs->best[at].logit = logits[i];
        logprobs->best_count += logprobs->best_count < logprobs->most;
    }
    logprobs->norm = top + log(sum);
}

static json_t *describe(const struct tl_llama_logprobs *logprobs, const struct tl_llama_pieces *pieces, llama_token id,
                        float logit) {
    size_t length;
    const char *piece = tl_llama_piece(pieces, id, &length);
    struct tl_str text = TL_STR_INIT;
    tl_utf8_repair(piece, length, &text);
    json_t *bytes = json_array(), *token = json_stringn(text.data, text.length);
    for (size_t i = 0; i < length; i++)
        json_array_append_new(bytes, json_integer((unsigned char)piece[i]));
    tl_str_fini(&text);
    double logprob = isfinite(logit) ? logit - logprobs->norm : -9999;
    return json_pack("{s:o, s:i, s:o, s:f}", "token", token ? token : json_string(""), "id", (int)id, "bytes", bytes,
                     "logprob", logprob < 0 ? logprob : 0.0);
}

void tl_llama_logprobs_chose(struct tl_llama_logprobs *logprobs, const struct tl_llama_pieces *pieces, llama_token id,
                             float logit) {
    json_t *chosen = describe(logprobs, pieces, id, logit), *top = json_array();
    for (size_t i = 0; i < logprobs->best_count; i++)
        json_array_append_new(top, describe(logprobs, pieces, logprobs->best[i].id, logprobs->best[i].logit));
    json_object_set_new(chosen, "top_logprobs", top);
    json_array_append_new(logprobs->tokens, chosen);
}

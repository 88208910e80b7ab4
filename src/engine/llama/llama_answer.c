/* llama_answer.c: see llama_answer.h. */
#include "engine/llama/llama_answer.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"

void tl_llama_answer_fini(struct tl_llama_answer *answer) {
    tl_llama_sampler_fini(&answer->sampler);
    tl_llama_writer_fini(&answer->writer);
    tl_llama_list_fini(&answer->list);
    tl_llama_structure_fini(&answer->structure);
    tl_llama_logprobs_fini(&answer->logprobs);
    json_decref(answer->tools);
    json_decref(answer->message);
}

static bool is_text(const struct tl_llama_answer *answer) {
    return answer->format == TL_LLAMA_FORMAT_TEXT || answer->format == TL_LLAMA_FORMAT_TOOL_TEXT;
}

/* ---- writing ---- */

void tl_llama_answer_follows(struct tl_llama_answer *answer, const llama_token *prompt, size_t count) {
    tl_llama_sampler_saw(&answer->sampler, prompt, count, false);
}

void tl_llama_answer_begin(struct tl_llama_answer *answer, struct tl_llama_tokens *forced) {
    size_t before = forced->count;
    if (answer->format == TL_LLAMA_FORMAT_LIST) {
        tl_llama_list_begin(&answer->list, forced);
    } else if (!is_text(answer)) {
        const char *opening =
            answer->format == TL_LLAMA_FORMAT_TOOL_CALL ? tl_tools_opening(answer->pieces->style) : "";
        tl_llama_tokenize(answer->pieces->vocab, opening, strlen(opening), true, forced);
        tl_llama_structure_begin(&answer->structure, forced);
    }
    answer->written += forced->count - before;
    answer->forced += forced->count - before;
}

static void finish(struct tl_llama_answer *answer, const char *why) {
    if (is_text(answer))
        tl_llama_writer_end(&answer->writer);
    else if (answer->format == TL_LLAMA_FORMAT_LIST)
        tl_llama_list_end(&answer->list);
    else
        tl_llama_structure_close(&answer->structure);
    answer->finish = why;
    if (answer->tools) {
        const struct tl_str *text = is_text(answer) ? &answer->writer.text : &answer->structure.text;
        answer->message = tl_tools_read(text->data, text->length, answer->tools);
        if (strcmp(why, "stop") == 0 && json_array_size(json_object_get(answer->message, "tool_calls")) > 0)
            answer->finish = "tool_calls";
    }
}

/* Whether the format lets the token be chosen now; of type tl_llama_allows. */
static bool allows(void *context, llama_token id) {
    struct tl_llama_answer *answer = context;
    if (is_text(answer))
        return !answer->ignores_end || !tl_llama_piece_ends(answer->pieces, id);
    if (answer->format == TL_LLAMA_FORMAT_LIST)
        return tl_llama_list_allows(&answer->list, id);
    return tl_llama_structure_allows(&answer->structure, id);
}

/* A control token has no text but where it is the mark of a call. */
static void put_control(struct tl_llama_answer *answer, llama_token id) {
    char text[64];
    int32_t length = llama_token_to_piece(answer->pieces->vocab, id, text, sizeof text, 0, true);
    if (length > 0)
        tl_llama_writer_put(&answer->writer, text, (size_t)length);
}

static void take_text(struct tl_llama_answer *answer, llama_token id, struct tl_llama_tokens *next) {
    if (tl_llama_piece_ends(answer->pieces, id)) {
        finish(answer, "stop");
        return;
    }
    size_t length;
    const char *piece = tl_llama_piece(answer->pieces, id, &length);
    tl_llama_writer_put(&answer->writer, piece, length);
    if (length == 0 && answer->format == TL_LLAMA_FORMAT_TOOL_TEXT)
        put_control(answer, id);
    tl_llama_tokens_push(next, id);
    if (answer->writer.stopped)
        finish(answer, "stop");
}

/* Takes a chosen token; appends what is fed for it. */
static void take(struct tl_llama_answer *answer, llama_token id, struct tl_llama_tokens *next) {
    if (is_text(answer)) {
        take_text(answer, id, next);
    } else if (answer->format == TL_LLAMA_FORMAT_LIST) {
        if (tl_llama_list_take(&answer->list, id, next) == TL_LLAMA_LIST_COMPLETE) {
            answer->written++; /* the token that ended it */
            finish(answer, "stop");
        }
    } else if (!tl_llama_structure_take(&answer->structure, id, next)) {
        finish(answer, "stop");
    }
}

enum tl_llama_answer_progress tl_llama_answer_next(struct tl_llama_answer *answer, struct tl_llama_candidates *scratch,
                                                   float *logits, struct tl_llama_tokens *next) {
    size_t vocabulary = answer->pieces->count, before = next->count;
    tl_llama_sampler_adjust(&answer->sampler, logits, vocabulary);
    if (answer->logprobs.tokens)
        tl_llama_logprobs_look(&answer->logprobs, logits, vocabulary);
    bool bound = !is_text(answer) || answer->ignores_end;
    llama_token id =
        tl_llama_sample(&answer->sampler, scratch, logits, vocabulary, bound ? allows : NULL, answer);
    if (id == TL_LLAMA_SAMPLE_NAN)
        return TL_LLAMA_ANSWER_NAN;
    if (id == TL_LLAMA_SAMPLE_REFUSED) { /* nothing that the model can write is allowed */
        finish(answer, "stop");
        return TL_LLAMA_ANSWER_ENDED;
    }
    tl_llama_sampler_saw(&answer->sampler, &id, 1, true);
    if (answer->logprobs.tokens)
        tl_llama_logprobs_chose(&answer->logprobs, answer->pieces, id, logits[id]);
    take(answer, id, next);
    size_t fed = next->count - before;
    answer->written += fed;
    answer->forced += fed > 0 ? fed - 1 : 0;
    if (!answer->finish && answer->written >= answer->max_tokens)
        finish(answer, "length");
    if (!answer->finish)
        return TL_LLAMA_ANSWER_GOES_ON;
    next->count = before;
    return TL_LLAMA_ANSWER_ENDED;
}

void tl_llama_answer_end(struct tl_llama_answer *answer) {
    finish(answer, "length");
}

/* ---- what came of it ---- */

static struct tl_value *list_of(struct tl_type type, struct tl_value **items, size_t count) {
    for (size_t i = 0; i < count; i++)
        tl_value_ref(items[i]);
    return tl_value_list(type, items, count);
}

static struct tl_value *make_output(const struct tl_llama_answer *answer) {
    const struct tl_llama_structure *structure = &answer->structure;
    const struct tl_str *text = is_text(answer) ? &answer->writer.text : &structure->text;
    json_t *json;
    switch (answer->format) {
    case TL_LLAMA_FORMAT_LIST: return list_of(TL_TYPE_OF(TEXT, 0), answer->list.items, answer->list.count);
    case TL_LLAMA_FORMAT_JSON:
        if (structure->is_array)
            return list_of(TL_TYPE_OF(JSON, 0), structure->elements, structure->element_count);
        json = json_loadb(text->data, text->length, JSON_DECODE_ANY, NULL);
        break;
    case TL_LLAMA_FORMAT_TOOL_CALL:
    case TL_LLAMA_FORMAT_TOOL_TEXT: json = json_incref(answer->message); break;
    default: return tl_value_text(text->data, text->length);
    }
    return json ? tl_value_json(json) : NULL;
}

size_t tl_llama_answer_outputs(const struct tl_llama_answer *answer,
                               struct tl_value *outputs[TL_LLAMA_ANSWER_OUTPUTS]) {
    outputs[0] = make_output(answer);
    if (!outputs[0])
        return 0;
    if (!answer->logprobs.tokens)
        return 1;
    outputs[1] = tl_value_json(json_incref(answer->logprobs.tokens));
    if (outputs[1])
        return 2;
    tl_value_unref(outputs[0]);
    return 0;
}

bool tl_llama_answer_is_broken(const struct tl_llama_answer *answer) {
    return answer->must_be_whole && answer->format == TL_LLAMA_FORMAT_LIST && answer->list.count < answer->list.least;
}

size_t tl_llama_answer_units(const struct tl_llama_answer *answer) {
    bool list = answer->format == TL_LLAMA_FORMAT_LIST || answer->structure.is_array;
    return list ? tl_llama_answer_piece_count(answer) : 1;
}

const char *tl_llama_answer_delta(struct tl_llama_answer *answer, size_t *length) {
    *length = 0;
    if (is_text(answer))
        return tl_llama_writer_take(&answer->writer, length);
    if (answer->format == TL_LLAMA_FORMAT_LIST)
        return "";
    const struct tl_str *text = &answer->structure.text;
    const char *from = text->data + answer->passed_on;
    *length = tl_schema_certain(&answer->structure.state, text->length) - answer->passed_on;
    answer->passed_on += *length;
    return from;
}

size_t tl_llama_answer_piece_count(const struct tl_llama_answer *answer) {
    return answer->format == TL_LLAMA_FORMAT_LIST ? answer->list.count : answer->structure.element_count;
}

struct tl_value *tl_llama_answer_piece(const struct tl_llama_answer *answer, size_t position) {
    bool list = answer->format == TL_LLAMA_FORMAT_LIST;
    return tl_value_ref(list ? answer->list.items[position] : answer->structure.elements[position]);
}

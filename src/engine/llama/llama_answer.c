/* llama_answer.c: see llama_answer.h. */
#include "engine/llama/llama_answer.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"

#define MOST_LIST_ITEMS 64
#define MOST_ITEM_TOKENS (1 << 20)
#define MOST_STOPS 16

/* ---- attributes ---- */

static enum tl_status read_stops(struct tl_llama_answer *answer, const struct tl_attributes *attributes,
                                 struct tl_error *error) {
    const char *text = tl_attributes_string(attributes, "stop", NULL);
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
                tl_llama_writer_add_stop(&answer->writer, json_string_value(stop));
            else
                status = tl_error_set(error, TL_ERR_INVALID, "attribute stop must hold strings only");
        }
    json_decref(stops);
    return status;
}

static bool within(double value, double least, double most) {
    return value >= least && value <= most;
}

static enum tl_status read_sampling(struct tl_llama_answer *answer, const struct tl_attributes *attributes,
                                    struct tl_error *error) {
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
    answer->sampler = (struct tl_llama_sampler){temperature, top_p, min_p, (size_t)top_k, tl_hash_u64(seed, 1)};
    answer->max_tokens = (size_t)max_tokens;
    return TL_OK;
}

static enum tl_status read_list(struct tl_llama_answer *answer, const struct tl_attributes *attributes,
                                struct tl_error *error) {
    int64_t items = tl_attributes_integer(attributes, "items", 3);
    int64_t item_tokens = tl_attributes_integer(attributes, "item_tokens", 48);
    if (items < 1 || items > MOST_LIST_ITEMS || item_tokens < 1 || item_tokens > MOST_ITEM_TOKENS)
        return tl_error_set(error, TL_ERR_INVALID,
                            "a list has from 1 to %d items of at least 1 token; found %lld of %lld", MOST_LIST_ITEMS,
                            (long long)items, (long long)item_tokens);
    answer->format = TL_LLAMA_FORMAT_LIST;
    tl_llama_list_init(&answer->list, answer->pieces, (size_t)items, (size_t)item_tokens);
    return TL_OK;
}

static enum tl_status read_format(struct tl_llama_answer *answer, const struct tl_attributes *attributes,
                                  struct tl_error *error) {
    const char *format = tl_attributes_string(attributes, "format", "text");
    if (strcmp(format, "list") == 0)
        return read_list(answer, attributes, error);
    if (strcmp(format, "text") != 0)
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "format '%s' is not known; it must be text or list", format);
    answer->ignores_end = tl_attributes_bool(attributes, "ignore_eos", false);
    tl_llama_writer_init(&answer->writer);
    return read_stops(answer, attributes, error);
}

enum tl_status tl_llama_answer_init(struct tl_llama_answer *answer, const struct tl_llama_pieces *pieces,
                                    const struct tl_attributes *attributes, struct tl_error *error) {
    *answer = (struct tl_llama_answer){.pieces = pieces};
    enum tl_status status = read_sampling(answer, attributes, error);
    if (status != TL_OK)
        return status;
    status = read_format(answer, attributes, error);
    if (status != TL_OK)
        tl_llama_answer_fini(answer);
    return status;
}

void tl_llama_answer_fini(struct tl_llama_answer *answer) {
    tl_llama_writer_fini(&answer->writer);
    tl_llama_list_fini(&answer->list);
}

/* ---- writing ---- */

void tl_llama_answer_begin(struct tl_llama_answer *answer, struct tl_llama_tokens *forced) {
    size_t before = forced->count;
    if (answer->format == TL_LLAMA_FORMAT_LIST)
        tl_llama_list_begin(&answer->list, forced);
    answer->written += forced->count - before;
    answer->forced += forced->count - before;
}

static void finish(struct tl_llama_answer *answer, const char *why) {
    if (answer->format == TL_LLAMA_FORMAT_TEXT)
        tl_llama_writer_end(&answer->writer);
    else
        tl_llama_list_end(&answer->list);
    answer->finish = why;
}

/* Whether the format lets the token be chosen now; of type tl_llama_allows. */
static bool allows(void *context, llama_token id) {
    struct tl_llama_answer *answer = context;
    if (answer->format == TL_LLAMA_FORMAT_LIST)
        return tl_llama_list_allows(&answer->list, id);
    return !tl_llama_piece_ends(answer->pieces, id);
}

/* Takes a chosen token; appends what is fed for it. */
static void take(struct tl_llama_answer *answer, llama_token id, struct tl_llama_tokens *next) {
    if (answer->format == TL_LLAMA_FORMAT_LIST) {
        if (tl_llama_list_take(&answer->list, id, next) != TL_LLAMA_LIST_COMPLETE)
            return;
        answer->written++; /* the token that ended it */
        finish(answer, "stop");
        return;
    }
    if (tl_llama_piece_ends(answer->pieces, id)) {
        finish(answer, "stop");
        return;
    }
    size_t length;
    const char *piece = tl_llama_piece(answer->pieces, id, &length);
    tl_llama_writer_put(&answer->writer, piece, length);
    tl_llama_tokens_push(next, id);
}

enum tl_llama_answer_progress tl_llama_answer_next(struct tl_llama_answer *answer, struct tl_llama_candidates *scratch,
                                                   float *logits, struct tl_llama_tokens *next) {
    bool bound = answer->format != TL_LLAMA_FORMAT_TEXT || answer->ignores_end;
    llama_token id =
        tl_llama_sample(&answer->sampler, scratch, logits, answer->pieces->count, bound ? allows : NULL, answer);
    if (id == TL_LLAMA_SAMPLE_NAN)
        return TL_LLAMA_ANSWER_NAN;
    if (id == TL_LLAMA_SAMPLE_REFUSED) { /* nothing that the model would write is allowed */
        finish(answer, "stop");
        return TL_LLAMA_ANSWER_ENDED;
    }
    size_t before = next->count;
    take(answer, id, next);
    size_t fed = next->count - before;
    answer->written += fed;
    answer->forced += fed > 0 ? fed - 1 : 0;
    if (!answer->finish && answer->format == TL_LLAMA_FORMAT_TEXT && answer->writer.stopped)
        finish(answer, "stop");
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

static struct tl_value *make_output(const struct tl_llama_answer *answer) {
    if (answer->format == TL_LLAMA_FORMAT_TEXT)
        return tl_value_text(answer->writer.text.data, answer->writer.text.length);
    for (size_t i = 0; i < answer->list.count; i++)
        tl_value_ref(answer->list.items[i]);
    return tl_value_list(TL_TYPE_OF(TEXT, 0), answer->list.items, answer->list.count);
}

size_t tl_llama_answer_outputs(const struct tl_llama_answer *answer,
                               struct tl_value *outputs[TL_LLAMA_ANSWER_OUTPUTS]) {
    outputs[0] = make_output(answer);
    return outputs[0] != NULL;
}

size_t tl_llama_answer_units(const struct tl_llama_answer *answer) {
    return answer->format == TL_LLAMA_FORMAT_LIST ? answer->list.count : 1;
}

const char *tl_llama_answer_delta(struct tl_llama_answer *answer, size_t *length) {
    if (answer->format == TL_LLAMA_FORMAT_TEXT)
        return tl_llama_writer_take(&answer->writer, length);
    *length = 0;
    return "";
}

size_t tl_llama_answer_piece_count(const struct tl_llama_answer *answer) {
    return answer->list.count;
}

struct tl_value *tl_llama_answer_piece(const struct tl_llama_answer *answer, size_t position) {
    return tl_value_ref(answer->list.items[position]);
}

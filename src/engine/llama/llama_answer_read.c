/* llama_answer_read.c: the attributes of a decode. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/llama/llama_answer.h"

#define MOST_LIST_ITEMS 64
#define MOST_ITEM_TOKENS (1 << 20)
#define MOST_STOPS 16
#define MOST_CHOICES 1000
#define MOST_BIASES 1024

struct reader {
    struct tl_llama_answer *answer;
    const struct tl_attributes *attributes;
    struct tl_error *error;
};

/* ---- numbers ---- */

/* The number, or the default; outside the range an error is set, of which the first stays. */
static double number(const struct reader *reader, const char *name, double otherwise, double least, double most) {
    double value = tl_attributes_number(reader->attributes, name, otherwise);
    if (!(value >= least && value <= most) && reader->error->status == TL_OK)
        tl_error_set(reader->error, TL_ERR_INVALID, "%s must be from %g to %g, found %g", name, least, most, value);
    return value;
}

static int64_t integer(const struct reader *reader, const char *name, int64_t otherwise, int64_t least, int64_t most) {
    int64_t value = tl_attributes_integer(reader->attributes, name, otherwise);
    if ((value < least || value > most) && reader->error->status == TL_OK)
        tl_error_set(reader->error, TL_ERR_INVALID, "%s must be from %lld to %lld, found %lld", name, (long long)least,
                     (long long)most, (long long)value);
    return value;
}

/* ---- JSON ---- */

/* The attribute's JSON, owned; NULL when it is absent, or, with an error, when it is no such thing. */
static json_t *json_of(const struct reader *reader, const char *name, json_type type, const char *expected) {
    const char *text = tl_attributes_string(reader->attributes, name, NULL);
    if (!text)
        return NULL;
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    if (json && json_typeof(json) == type)
        return json;
    json_decref(json);
    tl_error_set(reader->error, TL_ERR_INVALID, "attribute %s must be %s", name, expected);
    return NULL;
}

/* An array of 1 to `most` texts, as pointers into *json, which is owned as the array is; NULL as above. */
static const char **texts_of(const struct reader *reader, const char *name, size_t most, json_t **json, size_t *count) {
    char expected[64];
    snprintf(expected, sizeof expected, "a JSON array of at most %zu strings", most);
    *json = json_of(reader, name, JSON_ARRAY, expected);
    *count = json_array_size(*json);
    bool good = *count <= most;
    for (size_t i = 0; good && i < *count; i++)
        good = json_is_string(json_array_get(*json, i));
    if (!good)
        tl_error_set(reader->error, TL_ERR_INVALID, "attribute %s must be %s", name, expected);
    if (!*json || !good)
        return NULL;
    const char **texts = tl_mem_alloc((*count + 1) * sizeof *texts);
    for (size_t i = 0; i < *count; i++)
        texts[i] = json_string_value(json_array_get(*json, i));
    return texts;
}

/* ---- sampling ---- */

static void read_biases(const struct reader *reader) {
    struct tl_llama_sampler *sampler = &reader->answer->sampler;
    json_t *json = json_of(reader, "logit_bias", JSON_OBJECT, "a JSON object of token ids and numbers");
    size_t count = json_object_size(json);
    if (count > MOST_BIASES)
        tl_error_set(reader->error, TL_ERR_INVALID, "logit_bias names %zu tokens, at most %d are supported", count,
                     MOST_BIASES);
    sampler->biases = tl_mem_alloc((count + 1) * sizeof *sampler->biases);
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value) {
        char *end;
        unsigned long id = strtoul(name, &end, 10);
        double bias = json_number_value(value);
        bool is_token = *name >= '0' && *name <= '9' && *end == '\0' && id < reader->answer->pieces->count;
        if (!is_token || !json_is_number(value) || !(bias >= -100 && bias <= 100))
            tl_error_set(reader->error, TL_ERR_INVALID,
                         "logit_bias must give ids of tokens, below %zu, a number from -100 to 100 each; found '%.32s'",
                         reader->answer->pieces->count, name);
        if (reader->error->status != TL_OK)
            break;
        sampler->biases[sampler->bias_count++] = (struct tl_llama_bias){(llama_token)id, (float)bias};
    }
    json_decref(json);
}

static void read_sampling(const struct reader *reader) {
    struct tl_llama_answer *answer = reader->answer;
    answer->sampler = (struct tl_llama_sampler){
        .temperature = number(reader, "temperature", 0, 0, 100),
        .top_p = number(reader, "top_p", 1, 0, 1),
        .min_p = number(reader, "min_p", 0, 0, 1),
        .top_k = (size_t)integer(reader, "top_k", 0, 0, INT32_MAX),
        .repetition = number(reader, "repetition_penalty", 1, 0.01, 100),
        .frequency = number(reader, "frequency_penalty", 0, -2, 2),
        .presence = number(reader, "presence_penalty", 0, -2, 2),
        .random = tl_hash_u64((uint64_t)tl_attributes_integer(reader->attributes, "seed", 0), 1),
    };
    answer->max_tokens = (size_t)integer(reader, "max_tokens", 256, 1, INT32_MAX);
    int64_t logprobs = integer(reader, "logprobs", -1, -1, TL_LLAMA_LOGPROBS_MAX);
    if (logprobs >= 0 && logprobs <= TL_LLAMA_LOGPROBS_MAX)
        tl_llama_logprobs_init(&answer->logprobs, (size_t)logprobs);
    if (reader->error->status == TL_OK)
        read_biases(reader);
}

/* ---- formats ---- */

static void read_text(const struct reader *reader) {
    struct tl_llama_answer *answer = reader->answer;
    answer->ignores_end = tl_attributes_bool(reader->attributes, "ignore_eos", false);
    tl_llama_writer_init(&answer->writer);
    json_t *json;
    size_t count;
    const char **stops = texts_of(reader, "stop", MOST_STOPS, &json, &count);
    for (size_t i = 0; stops && i < count; i++)
        tl_llama_writer_add_stop(&answer->writer, stops[i]);
    tl_mem_free(stops);
    json_decref(json);
}

static void read_list(const struct reader *reader) {
    int64_t items = integer(reader, "items", 3, 1, MOST_LIST_ITEMS);
    int64_t least = integer(reader, "min_items", items, 1, items);
    int64_t item_tokens = integer(reader, "item_tokens", 48, 1, MOST_ITEM_TOKENS);
    reader->answer->must_be_whole = strcmp(tl_attributes_string(reader->attributes, "on_error", "skip"), "fail") == 0;
    if (reader->error->status == TL_OK)
        tl_llama_list_init(&reader->answer->list, reader->answer->pieces, (size_t)least, (size_t)items,
                           (size_t)item_tokens);
}

static void take_schema(const struct reader *reader, struct tl_schema *schema) {
    if (schema)
        tl_llama_structure_init(&reader->answer->structure, reader->answer->pieces, schema);
}

static void read_json(const struct reader *reader) {
    json_t *json = tl_attributes_find(reader->attributes, "schema")
                       ? json_of(reader, "schema", JSON_OBJECT, "a JSON Schema, which is an object")
                       : json_pack("{s:s}", "type", "object");
    struct tl_schema *schema = NULL;
    if (json)
        tl_schema_compile(json, "schema", &schema, reader->error);
    take_schema(reader, schema);
    json_decref(json);
}

static void read_choice(const struct reader *reader) {
    json_t *json;
    size_t count;
    struct tl_schema *schema = NULL;
    const char **texts = texts_of(reader, "choices", MOST_CHOICES, &json, &count);
    if (texts)
        tl_schema_compile_choice(texts, count, &schema, reader->error);
    else if (reader->error->status == TL_OK)
        tl_error_set(reader->error, TL_ERR_INVALID, "format choice needs the attribute choices");
    take_schema(reader, schema);
    tl_mem_free(texts);
    json_decref(json);
}

static void read_tool_call(const struct reader *reader) {
    struct tl_llama_answer *answer = reader->answer;
    const char *choice = tl_attributes_string(reader->attributes, "tool_choice", "required");
    bool required = strcmp(choice, "required") == 0;
    answer->tools = json_of(reader, "tools", JSON_ARRAY, "a JSON array of tools");
    struct tl_schema *schema = NULL;
    if (!answer->tools && reader->error->status == TL_OK)
        tl_error_set(reader->error, TL_ERR_INVALID, "format tool_call needs the attribute tools");
    else if (!required && strcmp(choice, "auto") != 0)
        tl_error_set(reader->error, TL_ERR_INVALID, "tool_choice must be required or auto, found '%.32s'", choice);
    if (reader->error->status == TL_OK) /* they must be well-formed where no call is forced, too */
        tl_schema_compile_call(answer->tools, tl_tools_arguments(answer->pieces->style), &schema, reader->error);
    if (required) {
        take_schema(reader, schema);
        return;
    }
    tl_schema_free(schema);
    answer->format = TL_LLAMA_FORMAT_TOOL_TEXT;
    read_text(reader);
}

static void read_format(const struct reader *reader) {
    static const struct {
        const char *name;
        enum tl_llama_format format;
        void (*read)(const struct reader *reader);
    } formats[] = {
        {"text", TL_LLAMA_FORMAT_TEXT, read_text},
        {"list", TL_LLAMA_FORMAT_LIST, read_list},
        {"json", TL_LLAMA_FORMAT_JSON, read_json},
        {"choice", TL_LLAMA_FORMAT_CHOICE, read_choice},
        {"tool_call", TL_LLAMA_FORMAT_TOOL_CALL, read_tool_call},
    };
    const char *wanted = tl_attributes_string(reader->attributes, "format", "text");
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++)
        if (strcmp(formats[i].name, wanted) == 0) {
            reader->answer->format = formats[i].format;
            formats[i].read(reader);
            return;
        }
    tl_error_set(reader->error, TL_ERR_UNSUPPORTED,
                 "format '%.32s' is not known; it must be text, list, json, choice or tool_call", wanted);
}

enum tl_status tl_llama_answer_init(struct tl_llama_answer *answer, const struct tl_llama_pieces *pieces,
                                    const struct tl_attributes *attributes, struct tl_error *error) {
    struct tl_error found = {0};
    const struct reader reader = {answer, attributes, &found};
    *answer = (struct tl_llama_answer){.pieces = pieces};
    read_sampling(&reader);
    if (found.status == TL_OK)
        read_format(&reader);
    if (found.status == TL_OK)
        return TL_OK;
    tl_llama_answer_fini(answer);
    if (error)
        *error = found;
    return found.status;
}

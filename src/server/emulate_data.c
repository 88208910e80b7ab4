#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "server/emulate_impl.h"

/* ---- JSON to values ---- */

/* A list of texts from a text or a list of texts; objects give their "text". NULL: it is something else. */
static struct tl_value *texts_of(const json_t *json) {
    bool single = json_is_string(json);
    size_t count = single ? 1 : json_array_size(json), made = 0;
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *));
    for (size_t i = 0; i < count; i++) {
        const json_t *text = single ? json : json_array_get(json, i);
        if (json_is_object(text))
            text = json_object_get(text, "text");
        if (json_is_string(text))
            items[made++] = tl_value_text(json_string_value(text), json_string_length(text));
    }
    struct tl_value *list = NULL;
    if (count > 0 && made == count) {
        list = tl_value_list(TL_TYPE_OF(TEXT, 0), items, count);
    } else {
        for (size_t i = 0; i < made; i++)
            tl_value_unref(items[i]);
    }
    tl_mem_free(items);
    return list;
}

static struct tl_value *vector_of(const json_t *json) {
    size_t count = json_array_size(json);
    float *data = tl_mem_alloc((count + 1) * sizeof *data);
    bool ok = count > 0;
    for (size_t i = 0; i < count; i++) {
        const json_t *number = json_array_get(json, i);
        ok = ok && json_is_number(number);
        data[i] = (float)json_number_value(number);
    }
    struct tl_value *vector = ok ? tl_value_vector(data, (uint32_t)count) : NULL;
    tl_mem_free(data);
    return vector;
}

/* A list of vectors; NULL: it is something else. */
static struct tl_value *vectors_of(const json_t *json) {
    size_t count = json_array_size(json), made = 0;
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *));
    while (made < count && (items[made] = vector_of(json_array_get(json, made))))
        made++;
    struct tl_value *list = NULL;
    if (made == count) {
        list = tl_value_list(TL_TYPE_OF(VECTOR, 0), items, count);
    } else {
        for (size_t i = 0; i < made; i++)
            tl_value_unref(items[i]);
    }
    tl_mem_free(items);
    return list;
}

/* The texts as chunks of `uri`. */
static struct tl_value *chunks_of(const struct tl_value *texts, const char *uri) {
    size_t count = texts->as.list.count;
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *));
    for (size_t i = 0; i < count; i++) {
        const struct tl_text *text = &texts->as.list.items[i]->as.text;
        char id[48];
        snprintf(id, sizeof id, "%016x:%zu", 0u, i);
        items[i] = tl_value_chunk(&(struct tl_chunk){
            .id = id, .uri = uri, .title = "", .heading = "", .text = text->data, .length = text->length,
            .end = text->length, .ordinal = (uint32_t)i});
    }
    struct tl_value *list = tl_value_list(TL_TYPE_OF(CHUNK, 0), items, count);
    tl_mem_free(items);
    return list;
}

/* ---- ends of jobs ---- */

/* True when there is an output; else the exchange has failed. */
static bool is_done(struct exchange *exchange, const struct tl_value *output, const char *message) {
    exchange->job = NULL;
    if (!output)
        tl_exchange_fail(exchange, 500, "%s", message);
    return output != NULL;
}

static void on_embedded(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                        const char *message) {
    (void)status;
    struct exchange *exchange = context;
    if (!is_done(exchange, output, message))
        return;
    json_t *data = json_array();
    for (size_t i = 0; i < output->as.list.count; i++) {
        const struct tl_vector *vector = &output->as.list.items[i]->as.vector;
        json_t *numbers = json_array();
        for (uint32_t k = 0; k < vector->dimension; k++)
            json_array_append_new(numbers, json_real((double)vector->data[k]));
        json_array_append_new(data, json_pack("{s:s, s:I, s:o}", "object", "embedding", "index", (json_int_t)i,
                                              "embedding", numbers));
    }
    json_int_t tokens = (json_int_t)usage->tokens_in;
    tl_exchange_answer(exchange, json_pack("{s:s, s:s, s:o, s:{s:I, s:I}}", "object", "list", "model",
                                           exchange->model ? exchange->model : "emulated", "data", data, "usage",
                                           "prompt_tokens", tokens, "total_tokens", tokens));
}

static void on_scored(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                      const char *message) {
    (void)status;
    struct exchange *exchange = context;
    if (!is_done(exchange, output, message))
        return;
    size_t count = output->as.list.count;
    struct tl_hit *hits = tl_arena_alloc(&exchange->arena, (count + 1) * sizeof *hits);
    for (size_t i = 0; i < count; i++) { /* best first; stable */
        struct tl_hit hit = output->as.list.items[i]->as.hit;
        size_t at = i;
        for (; at > 0 && hits[at - 1].score < hit.score; at--)
            hits[at] = hits[at - 1];
        hits[at] = hit;
    }
    const json_t *top = json_object_get(exchange->body, "top_n");
    if (json_is_integer(top) && json_integer_value(top) >= 0 && (size_t)json_integer_value(top) < count)
        count = (size_t)json_integer_value(top);
    json_t *results = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(results, json_pack("{s:I, s:f}", "index", (json_int_t)hits[i].rank, "relevance_score",
                                                 hits[i].score));
    tl_exchange_answer(exchange, json_pack("{s:s, s:o, s:{s:I}}", "model",
                                           exchange->model ? exchange->model : "emulated", "results", results, "usage",
                                           "total_tokens", (json_int_t)usage->tokens_in));
}

static void on_ingested(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                        const char *message) {
    (void)status;
    if (is_done(context, output, message))
        tl_exchange_answer(context, json_pack("{s:I}", "rows", (json_int_t)usage->units));
}

static json_t *hits_json(const struct tl_value *hits) {
    json_t *list = json_array();
    for (size_t i = 0; i < hits->as.list.count; i++) {
        const struct tl_hit *hit = &hits->as.list.items[i]->as.hit;
        const struct tl_chunk *chunk = &hit->chunk->as.chunk;
        json_array_append_new(list, json_pack("{s:s, s:s, s:s#, s:f}", "id", chunk->id, "uri", chunk->uri, "text",
                                              chunk->text, (int)chunk->length, "score", hit->retrieval));
    }
    return list;
}

static void on_found(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                     const char *message) {
    (void)status, (void)usage;
    struct exchange *exchange = context;
    if (!is_done(exchange, output, message))
        return;
    json_t *hits;
    if (output->type.depth > 1) {
        hits = json_array();
        for (size_t i = 0; i < output->as.list.count; i++)
            json_array_append_new(hits, hits_json(output->as.list.items[i]));
    } else {
        hits = hits_json(output);
    }
    tl_exchange_answer(exchange, json_pack("{s:o}", "hits", hits));
}

static void on_tool_done(void *context, struct tl_value *output, const struct tl_usage *usage, enum tl_status status,
                         const char *message) {
    (void)status, (void)usage;
    if (is_done(context, output, message))
        tl_exchange_answer(context, json_pack("{s:O}", "result", output->as.json));
}

/* ---- routes ---- */

void tl_emulate_embeddings(struct exchange *exchange) {
    struct tl_value *texts = texts_of(json_object_get(exchange->body, "input"));
    if (!texts) {
        tl_exchange_fail(exchange, 400, "input must be a text or a list of texts");
        return;
    }
    tl_exchange_submit(exchange, TL_OP_EMBED, &texts, 1, false, on_embedded);
}

void tl_emulate_rerank(struct exchange *exchange) {
    const json_t *query = json_object_get(exchange->body, "query");
    struct tl_value *texts = texts_of(json_object_get(exchange->body, "documents"));
    if (!texts || !json_is_string(query)) {
        tl_value_unref(texts);
        tl_exchange_fail(exchange, 400, "query must be a text, and documents a list of texts");
        return;
    }
    struct tl_value *chunks = chunks_of(texts, "");
    size_t count = chunks->as.list.count;
    struct tl_value **hits = tl_mem_alloc((count + 1) * sizeof(struct tl_value *));
    for (size_t i = 0; i < count; i++)
        hits[i] = tl_value_hit(&(struct tl_hit){.chunk = chunks->as.list.items[i], .rank = (uint32_t)i});
    struct tl_value *inputs[2] = {tl_value_list(TL_TYPE_OF(HIT, 0), hits, count),
                                  tl_value_text(json_string_value(query), json_string_length(query))};
    tl_mem_free(hits);
    tl_value_unref(chunks);
    tl_value_unref(texts);
    tl_exchange_submit(exchange, TL_OP_SCORE, inputs, 2, false, on_scored);
}

static const char *collection_of(const struct exchange *exchange) {
    const char *name = json_string_value(json_object_get(exchange->body, "collection"));
    return name ? name : "default";
}

void tl_emulate_ingest(struct exchange *exchange) {
    const json_t *given = json_object_get(exchange->body, "vectors");
    struct tl_value *texts = texts_of(json_object_get(exchange->body, "texts"));
    struct tl_value *vectors = vectors_of(given);
    if (!texts || !vectors || (given && vectors->as.list.count != texts->as.list.count)) {
        tl_value_unref(texts);
        tl_value_unref(vectors);
        tl_exchange_fail(exchange, 400, "texts must be a list of texts, and vectors, if given, one vector for each");
        return;
    }
    tl_attributes_set_string(&exchange->attributes, &exchange->arena, "collection", collection_of(exchange));
    struct tl_value *inputs[3] = {chunks_of(texts, collection_of(exchange)), vectors, NULL};
    tl_value_unref(texts);
    tl_exchange_submit(exchange, TL_OP_INGEST, inputs, 3, false, on_ingested);
}

void tl_emulate_search(struct exchange *exchange) {
    const json_t *body = exchange->body, *vector = json_object_get(body, "vector"),
                 *vectors = json_object_get(body, "vectors"), *query = json_object_get(body, "query"),
                 *queries = json_object_get(body, "queries"), *count = json_object_get(body, "count");
    struct tl_value *what = vector    ? vector_of(vector)
                            : vectors ? vectors_of(vectors)
                            : query   ? json_is_string(query)
                                            ? tl_value_text(json_string_value(query), json_string_length(query))
                                            : NULL
                                      : texts_of(queries);
    if (!what) {
        tl_exchange_fail(exchange, 400,
                         "one of vector, vectors, query and queries must be given, with numbers or texts");
        return;
    }
    if (json_is_integer(count))
        tl_attributes_set_integer(&exchange->attributes, &exchange->arena, "count", json_integer_value(count));
    struct tl_value *inputs[2] = {what, tl_value_index(collection_of(exchange), NULL, 0)};
    tl_exchange_submit(exchange, vector || vectors ? TL_OP_SEARCH : TL_OP_MATCH, inputs, 2, false, on_found);
}

void tl_emulate_web_search(struct exchange *exchange) {
    const json_t *query = json_object_get(exchange->body, "query");
    if (!json_is_string(query)) {
        tl_exchange_fail(exchange, 400, "query must be a text");
        return;
    }
    struct tl_value *text = tl_value_text(json_string_value(query), json_string_length(query));
    tl_exchange_submit(exchange, TL_OP_WEB_SEARCH, &text, 1, false, on_found);
}

void tl_emulate_tool(struct exchange *exchange) {
    struct tl_value *call = tl_value_json(json_incref(exchange->body));
    tl_exchange_submit(exchange, TL_OP_TOOL, &call, 1, false, on_tool_done);
}

/* value_compare.c: equality of values and their form as JSON (declared in value.h). */
#include <string.h>

#include "base/error.h"
#include "base/str.h"
#include "base/utf8.h"
#include "base/value.h"

static bool bytes_equal(const char *a, size_t a_length, const char *b, size_t b_length) {
    return a_length == b_length && (a_length == 0 || memcmp(a, b, a_length) == 0);
}

static bool strings_equal(const char *a, const char *b) {
    if (a == NULL || b == NULL)
        return a == b;
    return strcmp(a, b) == 0;
}

static bool documents_equal(const struct tl_document *a, const struct tl_document *b) {
    return strings_equal(a->uri, b->uri) && strings_equal(a->media_type, b->media_type) &&
           (a->data == NULL) == (b->data == NULL) &&
           (a->data ? bytes_equal(a->data, a->length, b->data, b->length) : a->length == b->length);
}

static bool chunks_equal(const struct tl_chunk *a, const struct tl_chunk *b) {
    return strings_equal(a->id, b->id) && strings_equal(a->uri, b->uri) && strings_equal(a->title, b->title) &&
           strings_equal(a->heading, b->heading) && bytes_equal(a->text, a->length, b->text, b->length) &&
           a->begin == b->begin && a->end == b->end && a->ordinal == b->ordinal && a->tokens == b->tokens;
}

static bool hits_equal(const struct tl_hit *a, const struct tl_hit *b) {
    return a->retrieval == b->retrieval && a->rank == b->rank && a->scored == b->scored &&
           (!a->scored || a->score == b->score) && tl_value_equal(a->chunk, b->chunk);
}

static bool prompts_equal(const struct tl_prompt *a, const struct tl_prompt *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++) {
        const struct tl_prompt_part *left = &a->parts[i], *right = &b->parts[i];
        if (left->role != right->role || left->message != right->message || left->flags != right->flags ||
            !bytes_equal(left->text, left->length, right->text, right->length))
            return false;
    }
    return true;
}

static bool lists_equal(const struct tl_list *a, const struct tl_list *b) {
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!tl_value_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

bool tl_value_equal(const struct tl_value *a, const struct tl_value *b) {
    if (a == b)
        return true;
    if (!tl_type_equal(a->type, b->type))
        return false;
    if (a->type.depth > 0)
        return lists_equal(&a->as.list, &b->as.list);
    switch ((enum tl_base_type)a->type.base) {
    case TL_TYPE_TEXT: return bytes_equal(a->as.text.data, a->as.text.length, b->as.text.data, b->as.text.length);
    case TL_TYPE_DOCUMENT: return documents_equal(&a->as.document, &b->as.document);
    case TL_TYPE_CHUNK: return chunks_equal(&a->as.chunk, &b->as.chunk);
    case TL_TYPE_VECTOR:
        return a->as.vector.dimension == b->as.vector.dimension &&
               memcmp(a->as.vector.data, b->as.vector.data, a->as.vector.dimension * sizeof(float)) == 0;
    case TL_TYPE_HIT: return hits_equal(&a->as.hit, &b->as.hit);
    case TL_TYPE_JSON: return json_equal(a->as.json, b->as.json) != 0;
    case TL_TYPE_BOOL: return a->as.boolean == b->as.boolean;
    case TL_TYPE_NUMBER: return a->as.number == b->as.number;
    case TL_TYPE_PROMPT: return prompts_equal(&a->as.prompt, &b->as.prompt);
    case TL_TYPE_KV: return a->as.kv.resource == b->as.kv.resource && a->as.kv.tokens == b->as.kv.tokens;
    case TL_TYPE_INDEX:
        return a->as.index.resource == b->as.index.resource && a->as.index.version == b->as.index.version &&
               strings_equal(a->as.index.collection, b->as.index.collection);
    case TL_TYPE_CONTROL: return true;
    case TL_TYPE_COUNT: break;
    }
    TL_BUG("value of unknown type %u", (unsigned)a->type.base);
}

/* A JSON string of any bytes: what is not UTF-8 becomes U+FFFD; NUL is kept. */
static json_t *string_json(const char *data, size_t length) {
    json_t *json = json_stringn(data, length);
    if (json != NULL)
        return json;
    struct tl_str repaired = TL_STR_INIT;
    tl_utf8_repair(data, length, &repaired);
    json = json_stringn(repaired.data, repaired.length);
    tl_str_fini(&repaired);
    return json;
}

static json_t *text_json(const char *text) {
    return text == NULL ? json_null() : string_json(text, strlen(text));
}

static json_t *document_json(const struct tl_document *document) {
    json_t *json = json_object();
    json_object_set_new(json, "uri", text_json(document->uri));
    if (document->media_type != NULL)
        json_object_set_new(json, "media_type", text_json(document->media_type));
    if (document->data != NULL)
        json_object_set_new(json, "bytes", json_integer((json_int_t)document->length));
    return json;
}

static json_t *chunk_json(const struct tl_chunk *chunk) {
    json_t *json = json_object();
    json_object_set_new(json, "id", text_json(chunk->id));
    json_object_set_new(json, "uri", text_json(chunk->uri));
    json_object_set_new(json, "title", text_json(chunk->title));
    json_object_set_new(json, "heading", text_json(chunk->heading));
    json_object_set_new(json, "text", string_json(chunk->text, chunk->length));
    json_object_set_new(json, "begin", json_integer((json_int_t)chunk->begin));
    json_object_set_new(json, "end", json_integer((json_int_t)chunk->end));
    json_object_set_new(json, "ordinal", json_integer(chunk->ordinal));
    json_object_set_new(json, "tokens", json_integer(chunk->tokens));
    return json;
}

static json_t *number_json(double number) {
    json_t *json = json_real(number); /* NULL for what JSON cannot write */
    return json == NULL ? json_null() : json;
}

static json_t *hit_json(const struct tl_hit *hit) {
    json_t *json = json_object();
    json_object_set_new(json, "rank", json_integer(hit->rank));
    json_object_set_new(json, "retrieval", number_json(hit->retrieval));
    if (hit->scored)
        json_object_set_new(json, "score", number_json(hit->score));
    json_object_set_new(json, "chunk", tl_value_to_json(hit->chunk));
    return json;
}

static json_t *prompt_json(const struct tl_prompt *prompt) {
    static const char *const roles[] = {"system", "user", "assistant"};
    json_t *json = json_array();
    for (size_t i = 0; i < prompt->count; i++) {
        const struct tl_prompt_part *part = &prompt->parts[i];
        json_t *item = json_object();
        json_object_set_new(item, "message", json_integer(part->message));
        json_object_set_new(item, "role", json_string(roles[part->role]));
        json_object_set_new(item, "text", string_json(part->text, part->length));
        json_array_append_new(json, item);
    }
    return json;
}

json_t *tl_value_to_json(const struct tl_value *value) {
    json_t *json;
    if (value->type.depth > 0) {
        json = json_array();
        for (size_t i = 0; i < value->as.list.count; i++)
            json_array_append_new(json, tl_value_to_json(value->as.list.items[i]));
        return json;
    }
    switch ((enum tl_base_type)value->type.base) {
    case TL_TYPE_TEXT: return string_json(value->as.text.data, value->as.text.length);
    case TL_TYPE_DOCUMENT: return document_json(&value->as.document);
    case TL_TYPE_CHUNK: return chunk_json(&value->as.chunk);
    case TL_TYPE_HIT: return hit_json(&value->as.hit);
    case TL_TYPE_PROMPT: return prompt_json(&value->as.prompt);
    case TL_TYPE_JSON: return json_deep_copy(value->as.json); /* no reference is shared between threads */
    case TL_TYPE_BOOL: return json_boolean(value->as.boolean);
    case TL_TYPE_NUMBER: return number_json(value->as.number);
    case TL_TYPE_VECTOR:
        json = json_object();
        json_object_set_new(json, "dimension", json_integer(value->as.vector.dimension));
        return json;
    case TL_TYPE_KV:
        json = json_object();
        json_object_set_new(json, "tokens", json_integer(value->as.kv.tokens));
        return json;
    case TL_TYPE_INDEX:
        json = json_object();
        json_object_set_new(json, "collection", text_json(value->as.index.collection));
        return json;
    case TL_TYPE_CONTROL: return json_null();
    case TL_TYPE_COUNT: break;
    }
    TL_BUG("value of unknown type %u", (unsigned)value->type.base);
}

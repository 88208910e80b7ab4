/* memo_key.c: from the content of values to keys. Everything is written with its type and length in front, so that no two
 * different contents give the same bytes. */
#include <string.h>

#include "base/error.h"
#include "sched/memo.h"

static void put_number(struct tl_sha256 *hash, uint64_t number) {
    uint8_t bytes[8];
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(number >> (8 * i));
    tl_sha256_update(hash, bytes, sizeof bytes);
}

static void put_real(struct tl_sha256 *hash, double real) {
    uint64_t bits;
    memcpy(&bits, &real, sizeof bits);
    put_number(hash, bits);
}

static void put_bytes(struct tl_sha256 *hash, const char *data, size_t length) {
    put_number(hash, length);
    tl_sha256_update(hash, data, length);
}

static void put_text(struct tl_sha256 *hash, const char *text) {
    put_bytes(hash, text ? text : "", text ? strlen(text) : 0);
}

static void put_chunk(struct tl_sha256 *hash, const struct tl_chunk *chunk) {
    put_text(hash, chunk->id);
    put_text(hash, chunk->uri);
    put_text(hash, chunk->title);
    put_text(hash, chunk->heading);
    put_bytes(hash, chunk->text, chunk->length);
    put_number(hash, chunk->begin);
    put_number(hash, chunk->end);
    put_number(hash, ((uint64_t)chunk->ordinal << 32) | chunk->tokens);
}

static bool put_value(struct tl_sha256 *hash, const struct tl_value *value) {
    put_number(hash, value ? ((uint64_t)value->type.base << 8) | value->type.depth : UINT64_MAX);
    if (!value) return true; /* an optional input that is absent */
    if (value->type.depth > 0) {
        put_number(hash, value->as.list.count);
        for (size_t i = 0; i < value->as.list.count; i++)
            if (!put_value(hash, value->as.list.items[i])) return false;
        return true;
    }
    switch (value->type.base) {
    case TL_TYPE_TEXT: put_bytes(hash, value->as.text.data, value->as.text.length); return true;
    case TL_TYPE_CHUNK: put_chunk(hash, &value->as.chunk); return true;
    case TL_TYPE_HIT: /* `score`, which alone takes hits, looks at the passage and at nothing of where it was found */
        put_chunk(hash, &value->as.hit.chunk->as.chunk);
        return true;
    case TL_TYPE_VECTOR:
        put_bytes(hash, (const char *)value->as.vector.data,
                  value->as.vector.dimension * sizeof *value->as.vector.data);
        return true;
    case TL_TYPE_DOCUMENT:
        if (!value->as.document.data) return false; /* the file may change */
        put_text(hash, value->as.document.uri);
        put_text(hash, value->as.document.media_type);
        put_bytes(hash, value->as.document.data, value->as.document.length);
        return true;
    case TL_TYPE_INDEX:
        if (value->as.index.resource || value->as.index.version == 0) return false;
        put_text(hash, value->as.index.collection);
        put_number(hash, value->as.index.version);
        return true;
    case TL_TYPE_NUMBER: put_real(hash, value->as.number); return true;
    case TL_TYPE_BOOL: put_number(hash, value->as.boolean); return true;
    default: return false;
    }
}

static void put_attribute(struct tl_sha256 *hash, const struct tl_attribute *attribute) {
    put_text(hash, attribute->name);
    put_number(hash, attribute->kind);
    switch (attribute->kind) {
    case TL_ATTRIBUTE_INTEGER: put_number(hash, (uint64_t)attribute->as.integer); break;
    case TL_ATTRIBUTE_NUMBER: put_real(hash, attribute->as.number); break;
    case TL_ATTRIBUTE_BOOL: put_number(hash, attribute->as.boolean); break;
    case TL_ATTRIBUTE_STRING: put_text(hash, attribute->as.string); break;
    }
}

bool tl_memo_about_key(struct tl_sha256 *hash, const struct tl_memo_about *about, struct tl_memo_key *key) {
    bool good = true;
    put_text(hash, about->tenant);
    put_text(hash, tl_primitive_info(about->op)->name);
    put_text(hash, about->engine);
    put_text(hash, about->model);
    put_text(hash, about->model_digest);
    put_number(hash, about->attributes->count);
    for (size_t i = 0; i < about->attributes->count; i++) put_attribute(hash, &about->attributes->items[i]);
    put_number(hash, about->input_count);
    for (size_t i = 0; i < about->input_count && good; i++)
        if (i != about->element) good = put_value(hash, about->inputs[i]);
    tl_sha256_digest(hash, key->bytes);
    return good;
}

bool tl_memo_element_key(struct tl_sha256 *hash, const struct tl_memo_key *about, const struct tl_value *element,
                         struct tl_memo_key *key) {
    tl_sha256_update(hash, about->bytes, sizeof about->bytes);
    bool good = put_value(hash, element);
    tl_sha256_digest(hash, key->bytes);
    return good;
}

#include "base/value.h"

#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/tokens.h"

/* Sums the sizes of the strings and arrays of one block; 0 stays 0 only by overflow. */
static bool add_size(size_t *total, size_t amount) {
    return !__builtin_add_overflow(*total, amount, total);
}

static size_t length_of(const char *text) {
    return text == NULL ? 0 : strlen(text);
}

/* A value with `payload` bytes behind it, or NULL. *end is the first payload byte. */
static struct tl_value *create(struct tl_type type, size_t payload, char **end) {
    size_t size = sizeof(struct tl_value);
    if (!add_size(&size, payload))
        return NULL;
    struct tl_value *value = tl_mem_try_alloc(size);
    if (value == NULL)
        return NULL;
    memset(value, 0, sizeof *value);
    atomic_init(&value->references, 1);
    value->type = type;
    value->bytes = size;
    *end = (char *)(value + 1);
    return value;
}

/* As create, for values of fixed size: a control structure. */
static struct tl_value *create_small(enum tl_base_type base) {
    char *end;
    struct tl_value *value = create((struct tl_type){.base = (uint8_t)base}, 0, &end);
    if (value == NULL)
        TL_BUG("out of memory");
    return value;
}

/* Copies `length` bytes and a NUL to *end and moves it on. */
static const char *put_bytes(char **end, const char *data, size_t length) {
    char *copy = *end;
    if (length > 0)
        memcpy(copy, data, length);
    copy[length] = '\0';
    *end += length + 1;
    return copy;
}

static const char *put_string(char **end, const char *text) {
    return put_bytes(end, text, length_of(text));
}

struct tl_value *tl_value_text(const char *data, size_t length) {
    size_t payload = 1;
    char *end;
    if (!add_size(&payload, length))
        return NULL;
    struct tl_value *value = create(TL_TYPE_OF(TEXT, 0), payload, &end);
    if (value == NULL)
        return NULL;
    value->as.text = (struct tl_text){.data = put_bytes(&end, data, length), .length = length};
    return value;
}

struct tl_value *tl_value_document(const struct tl_document *document) {
    size_t data_length = document->data == NULL ? 0 : document->length;
    size_t payload = 3;
    char *end;
    if (!add_size(&payload, length_of(document->uri)) || !add_size(&payload, length_of(document->media_type)) ||
        !add_size(&payload, data_length))
        return NULL;
    struct tl_value *value = create(TL_TYPE_OF(DOCUMENT, 0), payload, &end);
    if (value == NULL)
        return NULL;
    struct tl_document *copy = &value->as.document;
    copy->uri = put_string(&end, document->uri);
    copy->media_type = document->media_type == NULL ? NULL : put_string(&end, document->media_type);
    copy->data = document->data == NULL ? NULL : put_bytes(&end, document->data, data_length);
    copy->length = document->length;
    return value;
}

struct tl_value *tl_value_chunk(const struct tl_chunk *chunk) {
    size_t payload = 5;
    char *end;
    if (!add_size(&payload, length_of(chunk->id)) || !add_size(&payload, length_of(chunk->uri)) ||
        !add_size(&payload, length_of(chunk->title)) || !add_size(&payload, length_of(chunk->heading)) ||
        !add_size(&payload, chunk->length))
        return NULL;
    struct tl_value *value = create(TL_TYPE_OF(CHUNK, 0), payload, &end);
    if (value == NULL)
        return NULL;
    struct tl_chunk *copy = &value->as.chunk;
    *copy = *chunk;
    copy->id = put_string(&end, chunk->id);
    copy->uri = put_string(&end, chunk->uri);
    copy->title = put_string(&end, chunk->title);
    copy->heading = put_string(&end, chunk->heading);
    copy->text = put_bytes(&end, chunk->text, chunk->length);
    return value;
}

struct tl_value *tl_value_hit(const struct tl_hit *hit) {
    TL_ASSERT(hit->chunk != NULL && tl_type_equal(hit->chunk->type, TL_TYPE_OF(CHUNK, 0)));
    struct tl_value *value = create_small(TL_TYPE_HIT);
    value->as.hit = *hit;
    tl_value_ref(hit->chunk);
    return value;
}

struct tl_value *tl_value_vector(const float *data, uint32_t dimension) {
    size_t payload;
    char *end;
    if (__builtin_mul_overflow((size_t)dimension, sizeof *data, &payload))
        return NULL;
    struct tl_value *value = create(TL_TYPE_OF(VECTOR, 0), payload, &end);
    if (value == NULL)
        return NULL;
    if (payload > 0)
        memcpy(end, data, payload);
    value->as.vector = (struct tl_vector){.data = (const float *)(const void *)end, .dimension = dimension};
    return value;
}

struct tl_value *tl_value_prompt(const struct tl_prompt_part *parts, size_t count) {
    size_t payload;
    char *end;
    if (__builtin_mul_overflow(count, sizeof *parts, &payload))
        return NULL;
    for (size_t i = 0; i < count; i++)
        if (!add_size(&payload, parts[i].length) || !add_size(&payload, 1))
            return NULL;
    struct tl_value *value = create(TL_TYPE_OF(PROMPT, 0), payload, &end);
    if (value == NULL)
        return NULL;
    struct tl_prompt_part *copy = (struct tl_prompt_part *)(void *)end;
    end += count * sizeof *copy;
    for (size_t i = 0; i < count; i++) {
        copy[i] = parts[i];
        copy[i].text = put_bytes(&end, parts[i].text, parts[i].length);
    }
    value->as.prompt = (struct tl_prompt){.parts = copy, .count = count};
    return value;
}

struct tl_value *tl_value_kv(struct tl_resource *resource, uint32_t tokens) {
    struct tl_value *value = create_small(TL_TYPE_KV);
    value->as.kv = (struct tl_kv){.resource = resource, .tokens = tokens};
    return value;
}

struct tl_value *tl_value_index(const char *collection, struct tl_resource *resource, uint64_t version) {
    size_t payload = length_of(collection) + 1;
    char *end;
    struct tl_value *value = create(TL_TYPE_OF(INDEX, 0), payload, &end);
    if (value == NULL) {
        if (resource != NULL)
            resource->release(resource);
        return NULL;
    }
    value->as.index = (struct tl_index){
        .collection = put_string(&end, collection),
        .resource = resource,
        .version = version,
    };
    return value;
}

/* About what the tree takes in memory; its depth is bounded by jansson's parser. */
static size_t json_bytes(const json_t *json) {
    enum { NODE = 48, MEMBER = 64 }; /* a jansson value; a hash table pair besides its key */
    size_t bytes = NODE;
    const char *key;
    json_t *item;
    size_t index;
    switch (json_typeof(json)) {
    case JSON_STRING: bytes += json_string_length(json) + 1; break;
    case JSON_ARRAY:
        json_array_foreach(json, index, item) {
            bytes += sizeof item + json_bytes(item);
        }
        break;
    case JSON_OBJECT:
        json_object_foreach((json_t *)(uintptr_t)json, key, item) {
            bytes += MEMBER + strlen(key) + 1 + json_bytes(item);
        }
        break;
    default: break;
    }
    return bytes;
}

struct tl_value *tl_value_json(json_t *json) {
    TL_ASSERT(json != NULL);
    struct tl_value *value = create_small(TL_TYPE_JSON);
    value->as.json = json;
    value->bytes += json_bytes(json);
    return value;
}

struct tl_value *tl_value_number(double number) {
    struct tl_value *value = create_small(TL_TYPE_NUMBER);
    value->as.number = number;
    return value;
}

struct tl_value *tl_value_bool(bool boolean) {
    struct tl_value *value = create_small(TL_TYPE_BOOL);
    value->as.boolean = boolean;
    return value;
}

struct tl_value *tl_value_control(void) {
    return create_small(TL_TYPE_CONTROL);
}

struct tl_value *tl_value_list(struct tl_type element, struct tl_value *const *items, size_t count) {
    for (size_t i = 0; i < count; i++)
        TL_ASSERT(items[i] != NULL && tl_type_equal(items[i]->type, element));
    size_t payload;
    char *end;
    struct tl_value *value = NULL;
    if (!__builtin_mul_overflow(count, sizeof *items, &payload))
        value = create(tl_type_list(element), payload, &end);
    if (value == NULL) {
        for (size_t i = 0; i < count; i++)
            tl_value_unref(items[i]);
        return NULL;
    }
    struct tl_value **copy = (struct tl_value **)(void *)end;
    if (count > 0)
        memcpy(copy, items, payload);
    value->as.list = (struct tl_list){.items = copy, .count = count};
    return value;
}

struct tl_value *tl_value_ref(struct tl_value *value) {
    /* Relaxed suffices: who refs already holds a reference. */
    uint32_t before = atomic_fetch_add_explicit(&value->references, 1, memory_order_relaxed);
    if (before == 0 || before == UINT32_MAX)
        TL_BUG("reference to a value with %u references", (unsigned)before);
    return value;
}

static void release(struct tl_resource *resource) {
    if (resource != NULL)
        resource->release(resource);
}

/* Depth of recursion: TL_TYPE_MAX_DEPTH lists, a hit, a chunk. */
void tl_value_unref(struct tl_value *value) {
    if (value == NULL)
        return;
    /* Acquire: all other threads' reads are done. Not a fence, which the thread sanitizer cannot see. */
    uint32_t before = atomic_fetch_sub_explicit(&value->references, 1, memory_order_acq_rel);
    if (before == 0)
        TL_BUG("value released once too often");
    if (before > 1)
        return;
    if (value->type.depth > 0) {
        for (size_t i = 0; i < value->as.list.count; i++)
            tl_value_unref(value->as.list.items[i]);
    } else {
        switch ((enum tl_base_type)value->type.base) {
        case TL_TYPE_HIT: tl_value_unref(value->as.hit.chunk); break;
        case TL_TYPE_KV: release(value->as.kv.resource); break;
        case TL_TYPE_INDEX: release(value->as.index.resource); break;
        case TL_TYPE_JSON: json_decref(value->as.json); break;
        default: break;
        }
    }
    tl_mem_free(value);
}

size_t tl_value_units(const struct tl_value *value) {
    return value->type.depth > 0 ? value->as.list.count : 1;
}

uint64_t tl_value_leaves(const struct tl_value *value) {
    uint64_t leaves = 0;
    if (value->type.depth == 0)
        return 1;
    for (size_t i = 0; i < value->as.list.count; i++)
        leaves += tl_value_leaves(value->as.list.items[i]);
    return leaves;
}

static uint64_t tokens_of_prompt(const struct tl_prompt *prompt) {
    uint64_t bytes = 0;
    for (size_t i = 0; i < prompt->count; i++)
        bytes += prompt->parts[i].length;
    return tl_tokens_of_bytes(bytes);
}

uint64_t tl_value_tokens(const struct tl_value *value) {
    uint64_t tokens = 0;
    if (!value)
        return 0;
    if (value->type.depth > 0) {
        for (size_t i = 0; i < value->as.list.count; i++)
            tokens += tl_value_tokens(value->as.list.items[i]);
        return tokens;
    }
    switch ((enum tl_base_type)value->type.base) {
    case TL_TYPE_TEXT: return tl_tokens_of_bytes(value->as.text.length);
    case TL_TYPE_DOCUMENT: return tl_tokens_of_bytes(value->as.document.length);
    case TL_TYPE_CHUNK:
        return value->as.chunk.tokens ? value->as.chunk.tokens : tl_tokens_of_bytes(value->as.chunk.length);
    case TL_TYPE_HIT: return tl_value_tokens(value->as.hit.chunk);
    case TL_TYPE_KV: return value->as.kv.tokens;
    case TL_TYPE_PROMPT: return tokens_of_prompt(&value->as.prompt);
    default: return 0;
    }
}

#include "profiler/material.h"

#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"

void tl_material_words(uint32_t tokens, uint64_t salt, struct tl_str *out) {
    static const char *const words[] = {
        "the",
        "table",
        "holds",
        "rows",
        "and",
        "columns",
        "each",
        "row",
        "has",
        "a",
        "key",
        "that",
        "finds",
        "it",
        "when",
        "query",
        "reads",
        "file",
        "from",
        "disk",
        "page",
        "by",
        "memory",
        "is",
        "faster",
        "than",
        "network",
        "but",
        "small",
        "index",
        "tree",
        "node",
        "points",
        "to",
        "its",
        "parent",
        "and",
        "child",
        "every",
        "write",
        "begins",
        "with",
        "log",
        "entry",
        "which",
        "keeps",
        "order",
        "of",
        "changes",
        "if",
        "power",
        "fails",
        "then",
        "data",
        "remains",
        "safe",
        "until",
        "commit",
        "returns",
        "status",
        "code",
        "zero",
        "means",
        "done",
    };
    for (uint32_t i = 0; i < tokens; i++) { /* words this common are a token each */
        uint64_t choice = tl_hash_u64(i, salt);
        tl_str_printf(out, "%s%s", out->length ? " " : "", words[choice % (sizeof words / sizeof words[0])]);
    }
}

struct tl_value *tl_material_text(uint32_t tokens, uint64_t salt) {
    struct tl_str text = TL_STR_INIT;
    tl_material_words(tokens, salt, &text);
    struct tl_value *value = tl_value_text(text.data, text.length);
    tl_str_fini(&text);
    return value;
}

struct tl_value *tl_material_chunk(uint32_t tokens, uint64_t salt) {
    struct tl_str text = TL_STR_INIT, id = TL_STR_INIT;
    tl_material_words(tokens, salt, &text);
    tl_str_printf(&id, "%016llx:0", (unsigned long long)tl_hash_u64(salt, 7));
    struct tl_value *value = tl_value_chunk(&(struct tl_chunk){
        .id = id.data,
        .uri = "measured",
        .title = "",
        .heading = "",
        .text = text.data,
        .length = text.length,
        .end = text.length,
        .tokens = tokens,
    });
    tl_str_fini(&id);
    tl_str_fini(&text);
    return value;
}

static struct tl_value *hit_of(uint32_t tokens, uint64_t salt) {
    struct tl_value *chunk = tl_material_chunk(tokens, salt);
    struct tl_value *hit = tl_value_hit(&(struct tl_hit){.chunk = chunk, .retrieval = 1});
    tl_value_unref(chunk);
    return hit;
}

static struct tl_value *document_of(uint32_t tokens, uint64_t salt) {
    struct tl_str text = TL_STR_INIT;
    tl_material_words(tokens, salt, &text);
    struct tl_value *value = tl_value_document(&(struct tl_document){
        .uri = "measured.txt", .media_type = "text/plain", .data = text.data, .length = text.length});
    tl_str_fini(&text);
    return value;
}

static struct tl_value *list_of(struct tl_value *(*make)(uint32_t size, uint64_t salt), struct tl_type type,
                                size_t count, uint32_t size, uint64_t salt) {
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *));
    for (size_t i = 0; i < count; i++)
        items[i] = make(size, tl_hash_u64(i, salt));
    struct tl_value *list = tl_value_list(type, items, count);
    tl_mem_free(items);
    return list;
}

struct tl_value *tl_material_texts(size_t count, uint32_t tokens, uint64_t salt) {
    return list_of(tl_material_text, TL_TYPE_OF(TEXT, 0), count, tokens, salt);
}

struct tl_value *tl_material_chunks(size_t count, uint32_t tokens, uint64_t salt) {
    return list_of(tl_material_chunk, TL_TYPE_OF(CHUNK, 0), count, tokens, salt);
}

struct tl_value *tl_material_hits(size_t count, uint32_t tokens, uint64_t salt) {
    return list_of(hit_of, TL_TYPE_OF(HIT, 0), count, tokens, salt);
}

struct tl_value *tl_material_documents(size_t count, uint32_t tokens, uint64_t salt) {
    return list_of(document_of, TL_TYPE_OF(DOCUMENT, 0), count, tokens, salt);
}

static struct tl_value *vector_of(uint32_t dimension, uint64_t salt) {
    float *data = tl_mem_alloc((dimension + 1) * sizeof *data);
    double square = 0;
    for (uint32_t i = 0; i < dimension; i++) {
        data[i] = (float)((double)(tl_hash_u64(i, salt) % 2001) / 1000 - 1);
        square += (double)data[i] * data[i];
    }
    for (uint32_t i = 0; i < dimension; i++)
        data[i] = (float)(data[i] / sqrt(square > 0 ? square : 1));
    struct tl_value *value = tl_value_vector(data, dimension);
    tl_mem_free(data);
    return value;
}

struct tl_value *tl_material_vectors(size_t count, uint32_t dimension, uint64_t salt) {
    return list_of(vector_of, TL_TYPE_OF(VECTOR, 0), count, dimension, salt);
}

struct tl_value *tl_material_prompt(const char *begin, const char *rest, bool open) {
    const uint32_t last = open ? TL_PART_OPEN : 0;
    const struct tl_prompt_part parts[2] = {
        {TL_ROLE_USER, 0, rest ? 0 : last, begin, strlen(begin)},
        {TL_ROLE_USER, 0, last, rest, rest ? strlen(rest) : 0},
    };
    return tl_value_prompt(parts, rest ? 2 : 1);
}

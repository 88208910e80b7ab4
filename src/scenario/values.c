/* values.c: what queries bring: texts of so many tokens, in words of three letters and a space. */
#include <stdio.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "scenario/scenario_impl.h"

enum { LIST_ITEMS = 3 };

static char *words(uint32_t tokens, uint64_t salt) {
    static const char known[][TL_TOKEN_BYTES + 1] = {"ash ", "bay ", "cay ", "den ", "elm ", "fen ", "gap ", "hut ",
                                                     "ice ", "jet ", "key ", "log ", "map ", "net ", "oak ", "pea "};
    char *text = tl_mem_alloc((size_t)tokens * TL_TOKEN_BYTES + 1);
    uint64_t state = tl_hash_u64(salt, 3);
    for (uint32_t i = 0; i < tokens; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        memcpy(text + (size_t)i * TL_TOKEN_BYTES, known[state >> 60], TL_TOKEN_BYTES);
    }
    text[(size_t)tokens * TL_TOKEN_BYTES] = '\0';
    return text;
}

static struct tl_value *text_value(uint32_t tokens, uint64_t salt) {
    char *text = words(tokens, salt);
    struct tl_value *value = tl_value_text(text, (size_t)tokens * TL_TOKEN_BYTES);
    tl_mem_free(text);
    return value;
}

/* Of so many bytes, which the engine makes up, as it does for a file that a query names. */
static struct tl_value *document_value(const struct tl_scenario_load *load, uint64_t salt, uint32_t number) {
    char uri[48];
    snprintf(uri, sizeof uri, "document-%016llx-%u", (unsigned long long)salt, number);
    return tl_value_document(
        &(struct tl_document){.uri = uri, .length = (size_t)load->document_tokens * TL_TOKEN_BYTES});
}

static struct tl_value *chunk_value(const struct tl_scenario_load *load, uint64_t salt, uint32_t number) {
    char *text = words(load->chunk_tokens, tl_hash_u64(salt, number));
    char id[40];
    snprintf(id, sizeof id, "%016llx:%u", (unsigned long long)salt, number);
    struct tl_value *value = tl_value_chunk(&(struct tl_chunk){.id = id,
                                                               .uri = "document",
                                                               .title = "",
                                                               .heading = "",
                                                               .text = text,
                                                               .length = (size_t)load->chunk_tokens * TL_TOKEN_BYTES,
                                                               .ordinal = number,
                                                               .tokens = load->chunk_tokens});
    tl_mem_free(text);
    return value;
}

static struct tl_value *list_value(const struct tl_scenario_load *load, struct tl_type element, uint64_t salt) {
    bool documents = element.base == TL_TYPE_DOCUMENT, chunks = element.base == TL_TYPE_CHUNK;
    uint32_t count = documents ? load->document_count : chunks ? load->chunk_count : LIST_ITEMS;
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *)), *list = NULL;
    uint32_t made = 0;
    uint64_t all = load->same_documents && (documents || chunks) ? 0 : salt;
    for (; made < count; made++) {
        items[made] = documents ? document_value(load, all, made)
                      : chunks  ? chunk_value(load, all, made)
                                : tl_scenario_value(load, element, tl_hash_u64(salt, made));
        if (!items[made])
            break;
    }
    if (made == count)
        list = tl_value_list(element, items, count);
    for (uint32_t i = 0; !list && i < made; i++)
        tl_value_unref(items[i]);
    tl_mem_free(items);
    return list;
}

struct tl_value *tl_scenario_value(const struct tl_scenario_load *load, struct tl_type type, uint64_t salt) {
    if (type.depth > 0)
        return list_value(load, tl_type_element(type), salt);
    switch (type.base) {
    case TL_TYPE_TEXT: return text_value(load->question_tokens, salt);
    case TL_TYPE_DOCUMENT: return document_value(load, load->same_documents ? 0 : salt, 0);
    case TL_TYPE_CHUNK: return chunk_value(load, load->same_documents ? 0 : salt, 0);
    case TL_TYPE_NUMBER: return tl_value_number(1);
    case TL_TYPE_BOOL: return tl_value_bool(false);
    case TL_TYPE_JSON: return tl_value_json(json_object());
    case TL_TYPE_INDEX: return tl_value_index(load->collection ? load->collection : "collection", NULL, 0);
    default: return NULL;
    }
}

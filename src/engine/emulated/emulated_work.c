/* emulated_work.c: what embedder, reranker, store, documents, web and tools give. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "base/utf8.h"
#include "engine/emulated/emulated.h"

/* ---- values of any depth ---- */

static size_t text_bytes(const struct tl_value *value) {
    if (value->type.depth > 0) {
        size_t bytes = 0;
        for (size_t i = 0; i < value->as.list.count; i++)
            bytes += text_bytes(value->as.list.items[i]);
        return bytes;
    }
    switch (value->type.base) {
    case TL_TYPE_TEXT: return value->as.text.length;
    case TL_TYPE_CHUNK: return value->as.chunk.length;
    case TL_TYPE_HIT: return value->as.hit.chunk->as.chunk.length;
    default: return 0;
    }
}

/* Applies fn to everything of `base_depth` levels; lists around it keep their shape. `type` is what fn gives. */
static struct tl_value *map(const struct tl_value *value, uint8_t base_depth, struct tl_type type,
                            struct tl_value *(*fn)(void *context, const struct tl_value *value), void *context) {
    if (value->type.depth <= base_depth)
        return fn(context, value);
    size_t count = value->as.list.count;
    struct tl_type element = type;
    for (uint8_t depth = base_depth + 1; depth < value->type.depth; depth++)
        element = tl_type_list(element);
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *));
    for (size_t i = 0; i < count; i++)
        items[i] = map(value->as.list.items[i], base_depth, type, fn, context);
    struct tl_value *list = tl_value_list(element, items, count);
    tl_mem_free(items);
    return list;
}

/* ---- embed, score ---- */

static struct tl_value *embed_one(void *context, const struct tl_value *value) {
    const struct emulated_engine *engine = context;
    bool chunk = value->type.base == TL_TYPE_CHUNK;
    return tl_emulated_vector(chunk ? value->as.chunk.text : value->as.text.data,
                              chunk ? value->as.chunk.length : value->as.text.length,
                              (uint32_t)engine->settings.dimension);
}

static struct tl_value *score_one(void *context, const struct tl_value *value) {
    struct emulated_asked *query = context;
    struct tl_hit hit = value->as.hit;
    const struct tl_chunk *chunk = &hit.chunk->as.chunk;
    hit.scored = true;
    hit.score = tl_emulated_overlap(query, chunk->text, chunk->length);
    return tl_value_hit(&hit);
}

static struct tl_value *score(const struct tl_item *item) {
    struct emulated_asked query;
    tl_emulated_ask(&query, item->inputs[1]->as.text.data, item->inputs[1]->as.text.length);
    return map(item->inputs[0], 0, TL_TYPE_OF(HIT, 0), score_one, &query);
}

/* ---- store ---- */

void tl_emulated_collection_unref(struct emulated_collection *collection) {
    if (!collection || --collection->references > 0)
        return;
    for (size_t i = 0; i < collection->count; i++) {
        tl_value_unref(collection->chunks[i]);
        tl_value_unref(collection->vectors[i]);
    }
    tl_mem_free(collection->chunks);
    tl_mem_free(collection->vectors);
    tl_mem_free(collection->name);
    tl_mem_free(collection);
}

static void put(struct emulated_collection *collection, struct tl_value *chunk, struct tl_value *vector) {
    size_t need = collection->count + 1;
    collection->chunks = tl_mem_grow(collection->chunks, &collection->chunk_capacity, need, sizeof(struct tl_value *));
    collection->vectors =
        tl_mem_grow(collection->vectors, &collection->vector_capacity, need, sizeof(struct tl_value *));
    collection->chunks[collection->count] = chunk;
    collection->vectors[collection->count++] = vector;
}

static struct emulated_collection *create_collection(const char *name) {
    struct emulated_collection *collection = tl_mem_zalloc(sizeof *collection);
    collection->references = 1;
    collection->name = tl_mem_strdup(name);
    return collection;
}

static struct emulated_collection *find_permanent(const struct emulated_engine *engine, const char *name) {
    struct emulated_collection *collection = engine->collections;
    while (collection && strcmp(collection->name, name) != 0)
        collection = collection->next;
    return collection;
}

static struct emulated_collection *add_permanent(struct emulated_engine *engine, const char *name) {
    struct emulated_collection *collection = create_collection(name);
    collection->next = engine->collections;
    engine->collections = collection;
    return collection;
}

struct temporary {
    struct tl_resource resource; /* first */
    struct emulated_collection *collection;
    struct tl_emulated_world *world; /* NULL: real time */
};

static void release_temporary(struct tl_resource *resource) {
    struct temporary *temporary = (struct temporary *)resource;
    if (temporary->world)
        temporary->world->resources--;
    tl_emulated_collection_unref(temporary->collection);
    tl_mem_free(temporary);
}

/* The collection that an index value names; a permanent one that nobody has filled is made up. */
static struct emulated_collection *collection_of(struct emulated_engine *engine, const struct tl_index *index,
                                                 struct tl_error *error) {
    if (index->resource) {
        if (index->resource->owner == engine)
            return ((struct temporary *)index->resource)->collection;
        tl_error_set(error, TL_ERR_ENGINE, "the temporary collection belongs to another engine");
        return NULL;
    }
    struct emulated_collection *collection = find_permanent(engine, index->collection);
    if (!collection && engine->settings.collection_chunks == 0) {
        tl_error_set(error, TL_ERR_NOT_FOUND, "there is no collection '%s'", index->collection);
        return NULL;
    }
    if (!collection) {
        collection = add_permanent(engine, index->collection);
        for (uint32_t i = 0; i < engine->settings.collection_chunks; i++) {
            struct tl_value *chunk =
                tl_emulated_chunk(index->collection, i, (uint32_t)engine->settings.collection_words);
            put(collection, chunk, embed_one(engine, chunk));
        }
    }
    return collection;
}

static struct tl_value *ingest(struct emulated_engine *engine, const struct tl_item *item, struct tl_error *error) {
    bool rows = item->op == TL_OP_INGEST; /* else a new collection without any */
    const struct tl_value *chunks = rows ? item->inputs[0] : NULL, *vectors = rows ? item->inputs[1] : NULL;
    const struct tl_value *into = rows && item->input_count > 2 ? item->inputs[2] : NULL;
    const char *name = tl_attributes_string(item->attributes, "collection", NULL);
    struct emulated_collection *collection;
    struct temporary *temporary = NULL;
    if (into) {
        collection = collection_of(engine, &into->as.index, error);
    } else if (name) {
        collection = find_permanent(engine, name);
        collection = collection ? collection : add_permanent(engine, name);
    } else {
        collection = create_collection(NULL);
    }
    if (!collection)
        return NULL;
    for (size_t i = 0; rows && i < chunks->as.list.count; i++)
        put(collection, tl_value_ref(chunks->as.list.items[i]),
            i < vectors->as.list.count ? tl_value_ref(vectors->as.list.items[i]) : NULL);
    bool is_temporary = into ? into->as.index.resource != NULL : !name;
    if (!is_temporary)
        return tl_value_index(into ? into->as.index.collection : name, NULL, collection->count);
    temporary = tl_mem_zalloc(sizeof *temporary);
    temporary->resource =
        (struct tl_resource){.release = release_temporary, .handle = ++engine->temporaries, .owner = engine};
    temporary->collection = collection;
    temporary->world = engine->world;
    if (temporary->world)
        temporary->world->resources++;
    if (into)
        collection->references++;
    return tl_value_index("(temporary)", &temporary->resource, 0);
}

struct found {
    struct tl_value *chunk;
    double score;
};

static int better(const void *a, const void *b) {
    const struct found *x = a, *y = b;
    if (x->score > y->score || x->score < y->score)
        return x->score > y->score ? -1 : 1;
    return strcmp(x->chunk->as.chunk.id, y->chunk->as.chunk.id);
}

struct search {
    const struct emulated_collection *collection;
    size_t count;
};

static struct tl_value *search_one(void *context, const struct tl_value *query) {
    const struct search *search = context;
    size_t all = search->collection->count, found_count = 0;
    struct found *found = tl_mem_alloc((all + 1) * sizeof *found);
    bool by_text = query->type.base == TL_TYPE_TEXT;
    struct emulated_asked asked;
    if (by_text)
        tl_emulated_ask(&asked, query->as.text.data, query->as.text.length);
    for (size_t i = 0; i < all; i++) {
        struct tl_value *chunk = search->collection->chunks[i], *vector = search->collection->vectors[i];
        double score = by_text  ? tl_emulated_overlap(&asked, chunk->as.chunk.text, chunk->as.chunk.length)
                       : vector ? tl_emulated_dot(query, vector)
                                : -1;
        if (!by_text || score > 0)
            found[found_count++] = (struct found){chunk, score};
    }
    qsort(found, found_count, sizeof *found, better);
    if (found_count > search->count)
        found_count = search->count;
    struct tl_value **hits = tl_mem_alloc((found_count + 1) * sizeof(struct tl_value *));
    for (size_t i = 0; i < found_count; i++)
        hits[i] =
            tl_value_hit(&(struct tl_hit){.chunk = found[i].chunk, .retrieval = found[i].score, .rank = (uint32_t)i});
    struct tl_value *list = tl_value_list(TL_TYPE_OF(HIT, 0), hits, found_count);
    tl_mem_free(hits);
    tl_mem_free(found);
    return list;
}

/* Without a query no collection is looked at, and none made up: as if there had been no search. */
static struct tl_value *search(struct emulated_engine *engine, const struct tl_item *item, struct tl_error *error) {
    int64_t count = tl_attributes_integer(item->attributes, "count", 16);
    bool asked = tl_value_leaves(item->inputs[0]) > 0;
    struct search search = {.count = count > 0 ? (size_t)count : 0};
    if (asked)
        search.collection = collection_of(engine, &item->inputs[1]->as.index, error);
    return asked && !search.collection ? NULL : map(item->inputs[0], 0, TL_TYPE_OF(HIT, 1), search_one, &search);
}

/* ---- documents, web, tools ---- */

/* How a document becomes passages (base/tokens.h). */
struct cutting {
    const struct tl_document *document;
    uint64_t tokens;     /* of the document */
    uint64_t size, step; /* most tokens of a passage, and how many it begins behind the one before */
    uint64_t passages;
    uint64_t content; /* hash of its bytes, when they are given */
};

/* The text of a given document from one token to another, whole characters. */
static struct tl_value *cut(const struct cutting *cutting, uint32_t ordinal, size_t begin, size_t end) {
    const struct tl_document *document = cutting->document;
    struct tl_str id = TL_STR_INIT;
    begin = tl_utf8_border(document->data, document->length, begin);
    end = tl_utf8_border(document->data, document->length, end);
    tl_str_printf(&id, "%016llx:%u", (unsigned long long)cutting->content, ordinal);
    struct tl_chunk chunk = {
        .id = id.data, .uri = document->uri, .title = document->uri, .heading = "", .text = document->data + begin,
        .length = end - begin, .begin = begin, .end = end, .ordinal = ordinal,
        .tokens = (uint32_t)tl_tokens_of_bytes(end - begin),
    };
    struct tl_value *value = tl_value_chunk(&chunk);
    tl_str_fini(&id);
    return value;
}

static struct tl_value *passage(const struct cutting *cutting, uint32_t ordinal) {
    uint64_t begin = ordinal * cutting->step, rest = cutting->tokens - begin;
    uint64_t tokens = rest < cutting->size ? rest : cutting->size;
    if (cutting->document->data)
        return cut(cutting, ordinal, begin * TL_TOKEN_BYTES, (begin + tokens) * TL_TOKEN_BYTES);
    return tl_emulated_chunk(cutting->document->uri, ordinal, (uint32_t)tokens);
}

/* Files are not read: what they would hold is made up, as much as their size says. */
static struct cutting cutting_of(const struct emulated_engine *engine, const struct tl_item *item,
                                 const struct tl_value *document) {
    int64_t size = tl_attributes_integer(item->attributes, "size", 256);
    int64_t overlap = tl_attributes_integer(item->attributes, "overlap", 30);
    struct cutting cutting = {.document = &document->as.document, .tokens = tl_value_tokens(document)};
    cutting.size = size > 0 ? (uint64_t)size : 1;
    cutting.step = tl_passage_step(cutting.size, overlap > 0 ? (uint64_t)overlap : 0);
    if (!cutting.document->data && cutting.tokens == 0) /* nobody knows how large it is */
        cutting.tokens = cutting.size + cutting.step * (uint64_t)(engine->settings.document_chunks - 1);
    cutting.passages = tl_passages_of_tokens(cutting.tokens, cutting.size, cutting.step);
    return cutting;
}

static struct tl_value *chunk_documents(struct emulated_engine *engine, const struct tl_item *item,
                                        struct tl_error *error) {
    const uint64_t most = 1000000;
    const struct tl_list *documents = &item->inputs[0]->as.list;
    uint64_t all = 0, count = 0;
    for (size_t d = 0; d < documents->count && all <= most; d++)
        all += cutting_of(engine, item, documents->items[d]).passages;
    if (all > most) {
        tl_error_set(error, TL_ERR_LIMIT, "the documents have more than %llu passages", (unsigned long long)most);
        return NULL;
    }
    struct tl_value **chunks = tl_mem_alloc((all + 1) * sizeof(struct tl_value *));
    for (size_t d = 0; d < documents->count; d++) {
        struct cutting cutting = cutting_of(engine, item, documents->items[d]);
        if (cutting.document->data)
            cutting.content = tl_hash_bytes(cutting.document->data, cutting.document->length, 3);
        for (uint64_t i = 0; i < cutting.passages; i++)
            chunks[count++] = passage(&cutting, (uint32_t)i);
    }
    for (size_t i = 0; item->pieces && i < count; i++)
        engine->emit->piece(engine->emit->context, (struct tl_item *)item, i, tl_value_ref(chunks[i]));
    struct tl_value *list = tl_value_list(TL_TYPE_OF(CHUNK, 0), chunks, count);
    tl_mem_free(chunks);
    return list;
}

static struct tl_value *web_search(const struct tl_item *item) {
    enum { FOUND = 5 };
    struct tl_value *hits[FOUND];
    struct tl_str uri = TL_STR_INIT;
    tl_str_printf(&uri, "https://example.org/%016llx",
                  (unsigned long long)tl_hash_bytes(item->inputs[0]->as.text.data, item->inputs[0]->as.text.length, 5));
    for (uint32_t i = 0; i < FOUND; i++) {
        struct tl_value *chunk = tl_emulated_chunk(uri.data, i, 40);
        hits[i] = tl_value_hit(&(struct tl_hit){.chunk = chunk, .retrieval = 1.0 / (i + 1), .rank = i});
        tl_value_unref(chunk);
    }
    tl_str_fini(&uri);
    return tl_value_list(TL_TYPE_OF(HIT, 0), hits, FOUND);
}

/* ---- all of them ---- */

enum tl_status tl_emulated_measure(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error) {
    const struct tl_item *item = job->item;
    enum tl_capability capability = tl_primitive_info(item->op)->capability;
    if (!(engine->settings.capabilities & (1u << capability)))
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "%s cannot execute %s: it serves %s not", engine->base.name,
                            tl_primitive_info(item->op)->name, tl_capability_name(capability));
    if (capability == TL_CAPABILITY_LLM || item->op == TL_OP_COLLECTION)
        return TL_OK;
    const struct tl_value *first = item->inputs[0];
    job->units = item->op == TL_OP_WEB_SEARCH || item->op == TL_OP_TOOL ? 1 : tl_value_leaves(first);
    job->tokens = tl_tokens_of_bytes(text_bytes(first));
    if (item->op == TL_OP_SCORE)
        job->tokens += job->units * tl_tokens_of_bytes(text_bytes(item->inputs[1]));
    job->left = job->units;
    job->usage.units = job->units;
    if (capability == TL_CAPABILITY_EMBED || capability == TL_CAPABILITY_RERANK)
        job->usage.tokens_in = job->usage.tokens_computed = job->tokens;
    return TL_OK;
}

struct tl_value *tl_emulated_result(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error) {
    const struct tl_item *item = job->item;
    switch (item->op) {
    case TL_OP_EMBED: return map(item->inputs[0], 0, TL_TYPE_OF(VECTOR, 0), embed_one, engine);
    case TL_OP_SCORE: return score(item);
    case TL_OP_COLLECTION:
    case TL_OP_INGEST: return ingest(engine, item, error);
    case TL_OP_SEARCH:
    case TL_OP_MATCH: return search(engine, item, error);
    case TL_OP_CHUNK: return chunk_documents(engine, item, error);
    case TL_OP_WEB_SEARCH: return web_search(item);
    case TL_OP_TOOL: return tl_value_json(json_deep_copy(item->inputs[0]->as.json));
    default:
        tl_error_set(error, TL_ERR_UNSUPPORTED, "%s is not emulated", tl_primitive_info(item->op)->name);
        return NULL;
    }
}

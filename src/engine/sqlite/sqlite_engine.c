/* sqlite_engine.c: engine type "sqlite": ingest, search and match over collections of a store
 * file, or over a query's own collection in memory.
 *
 * Items wait in a list, best rank first, then in order of submission. A step does one piece of the
 * first: one query of a search or match, one document of an ingest; so a cancel waits for one
 * of these. The store's file is opened when the first item needs it: a query that brings
 * its own documents leaves no file behind.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/engines.h"
#include "engine/settings.h"
#include "engine/sqlite/sqlite_temporary.h"
#include "engine/sqlite/store.h"

#define COUNT_DEFAULT 16

struct held_item {
    struct held_item *next;
    struct tl_item *item;
    size_t done; /* queries answered; chunks ingested */
    size_t count; /* queries; chunks */
    struct tl_value **queries; /* search, match: leaves of the input, borrowed */
    struct tl_value **results; /* a hit[] for each; owned */
    struct tl_sqlite_temporary *temporary; /* ingest: the target, when it is temporary; a reference */
    struct tl_collection *collection;      /* ingest: the target, when it is lasting and known */
    const char *name;                      /* ingest: its name; NULL: temporary */
};

struct sqlite_engine {
    struct tl_engine base;
    const struct tl_emit *emit;
    char *path, *vec0, *model, *model_digest; /* settings; NULL: default */
    int64_t dimension;                        /* setting: of collections made without vectors; 0: none */
    struct tl_store *store;                   /* NULL until needed */
    struct held_item *first;
    pthread_mutex_t versions_lock; /* of what stands below */
    struct tl_store *versions;     /* a connection of its own, for other threads; NULL until needed */
};

static struct sqlite_engine *engine_of(struct tl_engine *engine) { return (struct sqlite_engine *)engine; }

/* ---- life ---- */

static void sqlite_destroy(struct tl_engine *base) {
    struct sqlite_engine *engine = engine_of(base);
    tl_store_close(engine->store);
    tl_store_close(engine->versions);
    pthread_mutex_destroy(&engine->versions_lock);
    tl_mem_free(engine->path);
    tl_mem_free(engine->vec0);
    tl_mem_free(engine->model);
    tl_mem_free(engine->model_digest);
    tl_mem_free(engine->base.name);
    tl_mem_free(engine);
}

static enum tl_status sqlite_create(const char *name, const json_t *settings, struct tl_engine **out,
                                    struct tl_error *error) {
    struct sqlite_engine *engine = tl_mem_zalloc(sizeof *engine);
    engine->base.ops = &tl_sqlite_engine;
    engine->base.name = tl_mem_strdup(name);
    pthread_mutex_init(&engine->versions_lock, NULL);
    const struct tl_setting table[] = {
        {.name = "path", .text = &engine->path},
        {.name = "vec0", .text = &engine->vec0},
        {.name = "model", .text = &engine->model},
        {.name = "model_digest", .text = &engine->model_digest},
        {.name = "dimension", .integer = &engine->dimension, .minimum = 0, .maximum = TL_STORE_DIMENSION_MAX},
    };
    enum tl_status status = tl_settings_read("sqlite", settings, table, sizeof table / sizeof table[0], error);
    if (status != TL_OK) {
        sqlite_destroy(&engine->base);
        return status;
    }
    *out = &engine->base;
    return TL_OK;
}

/* Tries what every item will need: SQLite with sqlite-vec; and the file, when there is one. */
static enum tl_status sqlite_open(struct tl_engine *base, const struct tl_emit *emit, struct tl_error *error) {
    struct sqlite_engine *engine = engine_of(base);
    engine->emit = emit;
    struct tl_sqlite_temporary *probe = NULL;
    enum tl_status status = tl_sqlite_temporary_create(engine->vec0, &probe, error);
    tl_sqlite_temporary_unref(probe);
    if (status != TL_OK)
        return status;
    struct tl_store_options options = {.path = engine->path, .vec0 = engine->vec0};
    status = tl_store_open(&options, &engine->store, error);
    return status == TL_ERR_NOT_FOUND ? TL_OK : status;
}

static void sqlite_describe(const struct tl_engine *base, struct tl_engine_description *description) {
    (void)base;
    *description = (struct tl_engine_description){
        .capabilities = 1u << TL_CAPABILITY_STORE,
        .executor = TL_EXECUTOR_POOL,
        .model = "",
        .model_digest = "",
    };
}

static enum tl_status need_store(struct sqlite_engine *engine, bool create, struct tl_error *error) {
    if (engine->store)
        return TL_OK;
    const struct tl_store_options options = {.path = engine->path, .vec0 = engine->vec0, .create = create};
    return tl_store_open(&options, &engine->store, error);
}

static uint64_t sqlite_version(struct tl_engine *base, const char *name) {
    struct sqlite_engine *engine = engine_of(base);
    const struct tl_store_options options = {.path = engine->path, .vec0 = engine->vec0};
    struct tl_collection *collection;
    struct tl_collection_info info = {.version = 0};
    struct tl_error error;
    pthread_mutex_lock(&engine->versions_lock);
    if ((engine->versions || tl_store_open(&options, &engine->versions, &error) == TL_OK) &&
        tl_collection_open(engine->versions, name, &collection, &error) == TL_OK)
        tl_collection_describe(collection, &info);
    pthread_mutex_unlock(&engine->versions_lock);
    return info.version;
}

/* ---- items ---- */

static void free_item(struct held_item *held) {
    for (size_t i = 0; held->results && i < held->done; i++)
        tl_value_unref(held->results[i]);
    tl_mem_free(held->queries);
    tl_mem_free(held->results);
    tl_sqlite_temporary_unref(held->temporary);
    tl_mem_free(held);
}

static void unlink_item(struct sqlite_engine *engine, struct held_item *held) {
    struct held_item **link = &engine->first;
    while (*link != held)
        link = &(*link)->next;
    *link = held->next;
}

static void fail_item(struct sqlite_engine *engine, struct held_item *held, enum tl_status status,
                      const char *message) {
    struct tl_item *item = held->item;
    unlink_item(engine, held);
    free_item(held);
    engine->emit->fail(engine->emit->context, item, status, message);
}

/* Reports the item as done with `output`, which is taken. */
static void finish_item(struct sqlite_engine *engine, struct held_item *held, struct tl_value *output) {
    if (!output) {
        fail_item(engine, held, TL_ERR_NO_MEMORY, "out of memory for the result");
        return;
    }
    struct tl_item *item = held->item;
    const struct tl_usage usage = {.units = held->count, .batch_units = held->count > 0};
    unlink_item(engine, held);
    free_item(held);
    engine->emit->done(engine->emit->context, item, &output, 1, &usage);
}

static size_t count_leaves(const struct tl_value *value) {
    if (value->type.depth == 0)
        return 1;
    size_t count = 0;
    for (size_t i = 0; i < value->as.list.count; i++)
        count += count_leaves(value->as.list.items[i]);
    return count;
}

static struct tl_value **write_leaves(struct tl_value *value, struct tl_value **out) {
    if (value->type.depth == 0) {
        *out++ = value;
        return out;
    }
    for (size_t i = 0; i < value->as.list.count; i++)
        out = write_leaves(value->as.list.items[i], out);
    return out;
}

/* The results in the shape of the queries; each reference is taken from where *next points.
 * NULL when memory is out: what was taken then is released already. */
static struct tl_value *shape_results(const struct tl_value *queries, struct tl_value ***next) {
    if (queries->type.depth == 0) {
        struct tl_value *result = **next;
        *(*next)++ = NULL;
        return result;
    }
    size_t count = queries->as.list.count, made = 0;
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof(struct tl_value *));
    while (made < count && (items[made] = shape_results(queries->as.list.items[made], next)) != NULL)
        made++;
    struct tl_value *list = NULL;
    if (made == count)
        list = tl_value_list((struct tl_type){TL_TYPE_HIT, queries->type.depth}, items, count);
    else
        while (made > 0)
            tl_value_unref(items[--made]);
    tl_mem_free(items);
    return list;
}

static void insert_by_rank(struct sqlite_engine *engine, struct held_item *held) {
    struct held_item **link = &engine->first;
    while (*link && (*link)->item->rank >= held->item->rank)
        link = &(*link)->next;
    held->next = *link;
    *link = held;
}

/* ---- search and match ---- */

/* The collection that an index value stands for; NULL with TL_OK for one without content. */
static enum tl_status find_collection(struct sqlite_engine *engine, const struct tl_index *index,
                                      struct tl_collection **collection, struct tl_error *error) {
    *collection = NULL;
    if (index->resource) {
        if (index->resource->owner != engine)
            return tl_error_set(error, TL_ERR_INVALID, "the index belongs to another engine than \"%s\"",
                                engine->base.name);
        *collection = tl_sqlite_temporary_collection(tl_sqlite_temporary_of(index->resource));
        return TL_OK;
    }
    enum tl_status status = need_store(engine, false, error);
    return status == TL_OK ? tl_collection_open(engine->store, index->collection, collection, error) : status;
}

static struct tl_value *no_hits(void) { return tl_value_list(TL_TYPE_OF(HIT, 0), NULL, 0); }

static enum tl_status answer(struct sqlite_engine *engine, const struct held_item *held, struct tl_value **hits,
                             struct tl_error *error) {
    const struct tl_item *item = held->item;
    const struct tl_value *query = held->queries[held->done];
    int64_t count = tl_attributes_integer(item->attributes, "count", COUNT_DEFAULT);
    if (count < 1 || count > TL_STORE_COUNT_MAX)
        return tl_error_set(error, TL_ERR_INVALID, "attribute 'count' is %" PRId64 ", but must be 1 to %d", count,
                            TL_STORE_COUNT_MAX);
    struct tl_collection *collection = NULL;
    enum tl_status status = find_collection(engine, &item->inputs[1]->as.index, &collection, error);
    if (status != TL_OK)
        return status;
    if (!collection) {
        *hits = no_hits();
        return *hits ? TL_OK : tl_error_set(error, TL_ERR_NO_MEMORY, "out of memory for the result");
    }
    if (item->op == TL_OP_MATCH)
        return tl_collection_match(collection, query->as.text.data, query->as.text.length, (size_t)count, hits, error);
    status = tl_collection_check_model(collection, engine->model, engine->model_digest, query->as.vector.dimension,
                                       error);
    if (status == TL_OK)
        status = tl_collection_search(collection, &query->as.vector, (size_t)count, hits, error);
    return status;
}

/* Answers the next query, or delivers when there is none left. */
static void step_queries(struct sqlite_engine *engine, struct held_item *held) {
    if (held->done < held->count) {
        struct tl_error error = {0};
        enum tl_status status = answer(engine, held, &held->results[held->done], &error);
        if (status != TL_OK) {
            fail_item(engine, held, status, error.message);
            return;
        }
        held->done++;
    }
    if (held->done == held->count) {
        struct tl_value **next = held->results;
        finish_item(engine, held, shape_results(held->item->inputs[0], &next));
    }
}

/* ---- ingest ---- */

static const struct tl_chunk *chunk_at(const struct held_item *held, size_t i) {
    return &held->item->inputs[0]->as.list.items[i]->as.chunk;
}

static const struct tl_vector *vector_at(const struct held_item *held, size_t i) {
    return &held->item->inputs[1]->as.list.items[i]->as.vector;
}

/* Where the chunks go: `into`, the attribute's collection, or a new temporary one. */
static enum tl_status find_target(struct sqlite_engine *engine, struct held_item *held, struct tl_error *error) {
    const struct tl_item *item = held->item;
    const struct tl_value *into = item->input_count > 2 ? item->inputs[2] : NULL;
    held->name = tl_attributes_string(item->attributes, "collection", NULL);
    if (into && into->as.index.resource) {
        if (held->name)
            return tl_error_set(error, TL_ERR_INVALID,
                                "the index to extend is a temporary one, but attribute 'collection' names \"%s\"",
                                held->name);
        if (into->as.index.resource->owner != engine)
            return tl_error_set(error, TL_ERR_INVALID, "the index to extend belongs to another engine than \"%s\"",
                                engine->base.name);
        held->temporary = tl_sqlite_temporary_of(into->as.index.resource);
        tl_sqlite_temporary_ref(held->temporary);
        return TL_OK;
    }
    if (into) {
        if (held->name && strcmp(held->name, into->as.index.collection) != 0)
            return tl_error_set(error, TL_ERR_INVALID,
                                "the index to extend is \"%s\", but attribute 'collection' names \"%s\"",
                                into->as.index.collection, held->name);
        held->name = into->as.index.collection;
    }
    return held->name ? TL_OK : tl_sqlite_temporary_create(engine->vec0, &held->temporary, error);
}

/* Opens or makes the target's collection for vectors like the next one, or like the setting says. */
static enum tl_status need_collection(struct sqlite_engine *engine, struct held_item *held,
                                      struct tl_collection **collection, struct tl_error *error) {
    uint32_t dimension = held->count ? vector_at(held, held->done)->dimension : (uint32_t)engine->dimension;
    if (held->temporary)
        return tl_sqlite_temporary_prepare(held->temporary, dimension, collection, error);
    enum tl_status status = need_store(engine, true, error);
    if (status != TL_OK)
        return status;
    const struct tl_collection_spec spec = {
        .name = held->name,
        .model = engine->model,
        .model_digest = engine->model_digest,
        .dimension = dimension,
    };
    status = tl_collection_create(engine->store, &spec, collection, error);
    held->collection = *collection;
    return status;
}

/* The length of a chunk id's content key: what comes before ':'. */
static size_t key_length(const struct tl_chunk *chunk) { return strcspn(chunk->id, ":"); }

static bool same_document(const struct tl_chunk *a, const struct tl_chunk *b) {
    size_t length = key_length(a);
    return length == key_length(b) && memcmp(a->id, b->id, length) == 0 && strcmp(a->uri, b->uri) == 0;
}

/* Ingests the chunks from `done` on that belong to one document, in one transaction. */
static enum tl_status ingest_document(struct sqlite_engine *engine, struct held_item *held, struct tl_error *error) {
    struct tl_collection *collection = NULL;
    enum tl_status status = need_collection(engine, held, &collection, error);
    if (status != TL_OK)
        return status;
    const struct tl_chunk *first = chunk_at(held, held->done);
    char *key = tl_mem_strndup(first->id, key_length(first));
    const struct tl_store_document document = {.uri = first->uri, .sha256 = key, .title = first->title};
    status = tl_document_begin(collection, &document, held->temporary ? TL_DOCUMENT_BESIDE : TL_DOCUMENT_EXTEND, error);
    tl_mem_free(key);
    size_t end = held->done;
    for (; status == TL_OK && end < held->count && same_document(first, chunk_at(held, end)); end++)
        status = tl_document_add(collection, chunk_at(held, end), vector_at(held, end), error);
    if (status == TL_OK)
        status = tl_document_commit(collection, error);
    if (status == TL_OK)
        held->done = end;
    return status;
}

static struct tl_value *ingested_index(struct sqlite_engine *engine, const struct held_item *held) {
    if (held->temporary)
        return tl_sqlite_temporary_index(held->temporary, engine);
    struct tl_collection_info info = {.version = 0};
    if (held->collection)
        tl_collection_describe(held->collection, &info);
    return tl_value_index(held->name, NULL, info.version);
}

static void step_ingest(struct sqlite_engine *engine, struct held_item *held) {
    struct tl_error error = {0};
    enum tl_status status = TL_OK;
    if (!held->temporary && !held->name)
        status = find_target(engine, held, &error);
    struct tl_collection *made = NULL;
    if (status == TL_OK && held->done < held->count)
        status = ingest_document(engine, held, &error);
    else if (status == TL_OK && held->name && engine->dimension) /* without chunks: it shall exist all the same */
        status = need_collection(engine, held, &made, &error);
    if (status != TL_OK)
        fail_item(engine, held, status, error.message);
    else if (held->done == held->count)
        finish_item(engine, held, ingested_index(engine, held));
}

/* ---- the contract ---- */

/* What is wrong with the item's inputs, or NULL. */
static const char *check_inputs(const struct tl_item *item) {
    struct tl_value *const *inputs = item->inputs;
    if (item->input_count < 2 || !inputs[0] || !inputs[1])
        return "two inputs are needed";
    if (item->op == TL_OP_INGEST) {
        if (!tl_type_equal(inputs[0]->type, TL_TYPE_OF(CHUNK, 1)) ||
            !tl_type_equal(inputs[1]->type, TL_TYPE_OF(VECTOR, 1)))
            return "the inputs of ingest must be chunk[] and vector[]";
        if (inputs[0]->as.list.count != inputs[1]->as.list.count)
            return "ingest needs as many vectors as chunks";
        if (item->input_count > 2 && inputs[2] && !tl_type_equal(inputs[2]->type, TL_TYPE_OF(INDEX, 0)))
            return "the input 'into' of ingest must be an index";
        return NULL;
    }
    if (inputs[0]->type.base != (item->op == TL_OP_SEARCH ? TL_TYPE_VECTOR : TL_TYPE_TEXT))
        return item->op == TL_OP_SEARCH ? "the query of search must be vectors" : "the query of match must be texts";
    if (inputs[0]->type.depth >= TL_TYPE_MAX_DEPTH)
        return "the queries are nested too deep";
    if (!tl_type_equal(inputs[1]->type, TL_TYPE_OF(INDEX, 0)))
        return "the second input must be an index";
    return NULL;
}

static void submit_item(struct sqlite_engine *engine, struct tl_item *item) {
    const struct tl_emit *emit = engine->emit;
    if (item->op != TL_OP_COLLECTION && item->op != TL_OP_INGEST && item->op != TL_OP_SEARCH &&
        item->op != TL_OP_MATCH) {
        emit->fail(emit->context, item, TL_ERR_UNSUPPORTED,
                   "an engine of type 'sqlite' serves collection, ingest, search and match only");
        return;
    }
    const char *wrong = item->op == TL_OP_COLLECTION ? NULL : check_inputs(item);
    if (wrong) {
        emit->fail(emit->context, item, TL_ERR_INVALID, wrong);
        return;
    }
    struct held_item *held = tl_mem_zalloc(sizeof *held);
    held->item = item;
    held->count = item->op == TL_OP_COLLECTION ? 0 : count_leaves(item->inputs[0]);
    insert_by_rank(engine, held);
    if (item->op == TL_OP_INGEST || item->op == TL_OP_COLLECTION)
        return;
    held->queries = tl_mem_try_alloc((held->count + 1) * sizeof(struct tl_value *));
    held->results = tl_mem_try_alloc((held->count + 1) * sizeof(struct tl_value *));
    if (!held->queries || !held->results)
        fail_item(engine, held, TL_ERR_NO_MEMORY, "out of memory for the queries");
    else
        write_leaves(item->inputs[0], held->queries);
}

static void sqlite_submit(struct tl_engine *base, struct tl_item **items, size_t count) {
    for (size_t i = 0; i < count; i++)
        submit_item(engine_of(base), items[i]);
}

static bool sqlite_step(struct tl_engine *base) {
    struct sqlite_engine *engine = engine_of(base);
    struct held_item *held = engine->first;
    if (held && (held->item->op == TL_OP_INGEST || held->item->op == TL_OP_COLLECTION))
        step_ingest(engine, held);
    else if (held)
        step_queries(engine, held);
    return engine->first != NULL;
}

static void sqlite_cancel(struct tl_engine *base, struct tl_item *item) {
    struct sqlite_engine *engine = engine_of(base);
    for (struct held_item *held = engine->first; held; held = held->next) {
        if (held->item == item) {
            fail_item(engine, held, TL_ERR_CANCELLED, "cancelled before it was done");
            return;
        }
    }
}

static void sqlite_close(struct tl_engine *base) {
    struct sqlite_engine *engine = engine_of(base);
    while (engine->first)
        fail_item(engine, engine->first, TL_ERR_CANCELLED, "the engine was closed before this was done");
    tl_store_close(engine->store);
    engine->store = NULL;
}

const struct tl_engine_ops tl_sqlite_engine = {
    .type = "sqlite",
    .description = "collections in one SQLite file: vectors (sqlite-vec) and full text (FTS5)",
    .create = sqlite_create,
    .open = sqlite_open,
    .describe = sqlite_describe,
    .submit = sqlite_submit,
    .step = sqlite_step,
    .cancel = sqlite_cancel,
    .close = sqlite_close,
    .destroy = sqlite_destroy,
    .version = sqlite_version,
};

/* store_collection.c: the register of collections: make, open, compare, list, drop. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/sqlite/store_internal.h"

#define NAME_MAX_LENGTH 63

static const char select_collection[] = "SELECT id, model, model_digest, dimension, chunk_size, chunk_overlap, "
                                        TL_STORE_VERSION " FROM collections WHERE name = ?1";

bool tl_collection_name_valid(const char *name) {
    size_t length = strlen(name);
    if (length == 0 || length > NAME_MAX_LENGTH)
        return false;
    if (!((name[0] >= 'a' && name[0] <= 'z') || name[0] == '_'))
        return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static enum tl_status check_name(const char *name, struct tl_error *error) {
    if (tl_collection_name_valid(name))
        return TL_OK;
    return tl_error_set(error, TL_ERR_USAGE,
                        "\"%.80s\" cannot name a collection: a name is 1 to %d of a-z, 0-9, '_' and '-', and starts "
                        "with a letter or '_'",
                        name, NAME_MAX_LENGTH);
}

void tl_collection_free(struct tl_collection *collection) {
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        sqlite3_finalize(collection->statements[i]);
    tl_mem_free(collection->name);
    tl_mem_free(collection->model);
    tl_mem_free(collection->model_digest);
    tl_mem_free(collection->title);
    tl_mem_free(collection->scratch);
    tl_mem_free(collection);
}

/* Removes the handle from its store and frees it. */
static void forget(struct tl_collection *collection) {
    struct tl_collection **link = &collection->store->collections;
    while (*link != collection)
        link = &(*link)->next;
    *link = collection->next;
    tl_collection_free(collection);
}

enum tl_status tl_collection_refresh(struct tl_collection *collection, struct tl_error *error) {
    struct tl_store *store = collection->store;
    sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_READ_VERSION, error);
    if (!statement)
        return error->status;
    sqlite3_bind_int64(statement, 1, collection->id);
    enum tl_status status = TL_OK;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        collection->version = (uint64_t)sqlite3_column_int64(statement, 0);
    else if (rc == SQLITE_DONE)
        status = tl_error_set(error, TL_ERR_NOT_FOUND, "the collection \"%s\" has been dropped from %s meanwhile",
                              collection->name, store->path);
    else
        status = tl_store_fail(store, collection->name, error);
    sqlite3_reset(statement);
    return status;
}

/* "a, b, c", at most ten of them. */
static void put_names(struct tl_store *store, struct tl_str *out) {
    sqlite3_stmt *statement = tl_store_prepare(store, "SELECT name FROM collections ORDER BY name LIMIT 10", "", NULL);
    while (statement && sqlite3_step(statement) == SQLITE_ROW)
        tl_str_printf(out, "%s%s", out->length ? ", " : "", tl_store_column_text(statement, 0));
    sqlite3_finalize(statement);
}

/* Reads the register's row; *collection stays NULL when there is none. A handle of a collection
 * that was dropped and made anew meanwhile is replaced. */
static enum tl_status find(struct tl_store *store, const char *name, struct tl_collection **out,
                           struct tl_error *error) {
    *out = NULL;
    sqlite3_stmt *row = tl_store_prepare(store, select_collection, name, error);
    if (!row)
        return error->status;
    sqlite3_bind_text(row, 1, name, -1, SQLITE_STATIC);
    int rc = sqlite3_step(row);
    enum tl_status status = TL_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = tl_store_fail(store, name, error);

    struct tl_collection *known = store->collections;
    while (known && strcmp(known->name, name) != 0)
        known = known->next;
    if (known && known != store->writing && status == TL_OK &&
        (rc == SQLITE_DONE || sqlite3_column_int64(row, 0) != known->id)) {
        forget(known);
        known = NULL;
    }
    if (rc == SQLITE_ROW && known) {
        known->version = (uint64_t)sqlite3_column_int64(row, 6);
        *out = known;
    } else if (rc == SQLITE_ROW) {
        int64_t dimension = sqlite3_column_int64(row, 3);
        if (dimension < 1 || dimension > TL_STORE_DIMENSION_MAX) {
            status = tl_error_set(error, TL_ERR_CORRUPT, "%s is damaged: the collection \"%s\" has %" PRId64
                                  " dimensions", store->path, name, dimension);
            goto out;
        }
        struct tl_collection *collection = tl_mem_zalloc(sizeof *collection);
        collection->store = store;
        collection->id = sqlite3_column_int64(row, 0);
        collection->name = tl_mem_strdup(name);
        collection->model = tl_mem_strdup(tl_store_column_text(row, 1));
        collection->model_digest = tl_mem_strdup(tl_store_column_text(row, 2));
        collection->dimension = (uint32_t)dimension;
        collection->chunk_size = (uint32_t)sqlite3_column_int64(row, 4);
        collection->chunk_overlap = (uint32_t)sqlite3_column_int64(row, 5);
        collection->version = (uint64_t)sqlite3_column_int64(row, 6);
        collection->scratch = tl_mem_alloc(collection->dimension * sizeof *collection->scratch);
        collection->next = store->collections;
        store->collections = collection;
        *out = collection;
    }
out:
    sqlite3_finalize(row);
    return status;
}

enum tl_status tl_collection_open(struct tl_store *store, const char *name, struct tl_collection **collection,
                                  struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    *collection = NULL;
    enum tl_status status = check_name(name, error);
    if (status == TL_OK)
        status = find(store, name, collection, error);
    if (status != TL_OK || *collection)
        return status;

    struct tl_str names = TL_STR_INIT;
    put_names(store, &names);
    status = tl_error_set(error, TL_ERR_NOT_FOUND,
                          "there is no collection \"%s\" in %s (%s%s); make it with `teola index PATH --collection %s`",
                          name, store->path, names.length ? "it has " : "it is empty", names.data, name);
    tl_str_fini(&names);
    return status;
}

/* Inserts the row and makes the two index tables, in one transaction. */
static enum tl_status make(struct tl_store *store, const struct tl_collection_spec *spec, struct tl_error *error) {
    enum tl_status status = TL_OK;
    sqlite3_stmt *insert = tl_store_prepare(
        store,
        "INSERT INTO collections(name, model, model_digest, dimension, vector_format, chunk_size, chunk_overlap,"
        " version, created) VALUES (?1, ?2, ?3, ?4, 'float32', ?5, ?6, 1, unixepoch())",
        spec->name, error);
    if (!insert)
        return error->status;
    sqlite3_bind_text(insert, 1, spec->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 2, spec->model ? spec->model : "", -1, SQLITE_STATIC);
    sqlite3_bind_text(insert, 3, spec->model_digest ? spec->model_digest : "", -1, SQLITE_STATIC);
    sqlite3_bind_int64(insert, 4, spec->dimension);
    sqlite3_bind_int64(insert, 5, spec->chunk_size);
    sqlite3_bind_int64(insert, 6, spec->chunk_overlap);
    if (sqlite3_step(insert) != SQLITE_DONE)
        status = tl_store_fail(store, spec->name, error);
    sqlite3_finalize(insert);
    if (status != TL_OK)
        return status;

    /* Text is stored once, in chunks: the full-text index keeps no copy (content=''), so what
     * is deleted from it has to be told to it again. */
    char tables[320];
    snprintf(tables, sizeof tables,
             "CREATE VIRTUAL TABLE c#_vectors USING vec0(embedding float[%" PRIu32 "], chunk_size=%d);"
             "CREATE VIRTUAL TABLE c#_text USING fts5(title, heading, body, content='',"
             " tokenize='porter unicode61')",
             spec->dimension, store->memory ? TL_STORE_BLOCK_MEMORY : TL_STORE_BLOCK_FILE);
    char *sql = tl_store_with_id(tables, sqlite3_last_insert_rowid(store->db));
    status = tl_store_run(store, sql, spec->name, error);
    tl_mem_free(sql);
    return status;
}

enum tl_status tl_collection_check_model(const struct tl_collection *collection, const char *model,
                                         const char *model_digest, uint32_t dimension, struct tl_error *error) {
    bool other_digest = model_digest && *model_digest && *collection->model_digest &&
                        strcmp(model_digest, collection->model_digest) != 0;
    bool other_dimension = dimension && dimension != collection->dimension;
    if (!other_digest && !other_dimension)
        return TL_OK;
    return tl_error_set(error, TL_ERR_INVALID,
                        "the collection \"%s\" was indexed with the embedding model %s (digest %.12s, %" PRIu32
                        " dimensions), but this is %s (digest %.12s, %" PRIu32
                        " dimensions); use that model, or drop the collection and index again",
                        collection->name, *collection->model ? collection->model : "(unnamed)",
                        *collection->model_digest ? collection->model_digest : "unknown", collection->dimension,
                        model && *model ? model : "(unnamed)", model_digest && *model_digest ? model_digest : "unknown",
                        dimension ? dimension : collection->dimension);
}

static enum tl_status check_chunking(const struct tl_collection *collection, const struct tl_collection_spec *spec,
                                     struct tl_error *error) {
    bool other_size = spec->chunk_size && spec->chunk_size != collection->chunk_size;
    bool other_overlap = spec->chunk_overlap && spec->chunk_overlap != collection->chunk_overlap;
    if (!other_size && !other_overlap)
        return TL_OK;
    return tl_error_set(error, TL_ERR_INVALID,
                        "the collection \"%s\" has chunks of %" PRIu32 " tokens with an overlap of %" PRIu32
                        "; to change that, drop it and index again",
                        collection->name, collection->chunk_size, collection->chunk_overlap);
}

enum tl_status tl_collection_create(struct tl_store *store, const struct tl_collection_spec *spec,
                                    struct tl_collection **collection, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    *collection = NULL;
    enum tl_status status = check_name(spec->name, error);
    if (status == TL_OK && store->writing)
        TL_BUG("a collection is made while a document is open");
    if (status == TL_OK)
        status = find(store, spec->name, collection, error);
    if (status == TL_OK && !*collection) {
        if (spec->dimension < 1 || spec->dimension > TL_STORE_DIMENSION_MAX)
            return tl_error_set(error, TL_ERR_INVALID,
                                "the collection \"%s\" cannot have vectors of %" PRIu32 " dimensions: 1 to %d are "
                                "possible", spec->name, spec->dimension, TL_STORE_DIMENSION_MAX);
        status = tl_store_run(store, "BEGIN IMMEDIATE", spec->name, error);
        if (status != TL_OK)
            return status;
        status = find(store, spec->name, collection, error); /* another process may have been quicker */
        if (status == TL_OK && !*collection)
            status = make(store, spec, error);
        if (status == TL_OK)
            status = tl_store_run(store, "COMMIT", spec->name, error);
        if (status != TL_OK)
            sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
        if (status == TL_OK && !*collection)
            status = find(store, spec->name, collection, error);
    }
    if (status == TL_OK)
        status = tl_collection_check_model(*collection, spec->model, spec->model_digest, spec->dimension, error);
    if (status == TL_OK)
        status = check_chunking(*collection, spec, error);
    if (status != TL_OK)
        *collection = NULL;
    return status;
}

void tl_collection_describe(const struct tl_collection *collection, struct tl_collection_info *info) {
    *info = (struct tl_collection_info){
        .name = collection->name,
        .model = collection->model,
        .model_digest = collection->model_digest,
        .dimension = collection->dimension,
        .chunk_size = collection->chunk_size,
        .chunk_overlap = collection->chunk_overlap,
        .version = collection->version,
    };
}

enum tl_status tl_store_list(struct tl_store *store, bool (*each)(void *context, const struct tl_collection_info *info),
                             void *context, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    static const char sql[] =
        "SELECT n.name, n.model, n.model_digest, n.dimension, n.chunk_size, n.chunk_overlap, " TL_STORE_VERSION ","
        " (SELECT count(*) FROM documents AS d WHERE d.collection = n.id),"
        " (SELECT count(*) FROM chunks AS c JOIN documents AS d ON d.id = c.document WHERE d.collection = n.id),"
        " (SELECT coalesce(sum(length(CAST(c.text AS BLOB))), 0) FROM chunks AS c"
        " JOIN documents AS d ON d.id = c.document WHERE d.collection = n.id)"
        " FROM collections AS n ORDER BY n.name";
    sqlite3_stmt *statement = tl_store_prepare(store, sql, "listing collections", error);
    if (!statement)
        return error->status;
    enum tl_status status = TL_OK;
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        struct tl_collection_info info = {
            .name = tl_store_column_text(statement, 0),
            .model = tl_store_column_text(statement, 1),
            .model_digest = tl_store_column_text(statement, 2),
            .dimension = (uint32_t)sqlite3_column_int64(statement, 3),
            .chunk_size = (uint32_t)sqlite3_column_int64(statement, 4),
            .chunk_overlap = (uint32_t)sqlite3_column_int64(statement, 5),
            .version = (uint64_t)sqlite3_column_int64(statement, 6),
            .documents = (uint64_t)sqlite3_column_int64(statement, 7),
            .chunks = (uint64_t)sqlite3_column_int64(statement, 8),
            .bytes = (uint64_t)sqlite3_column_int64(statement, 9),
        };
        info.bytes += info.chunks * info.dimension * sizeof(float);
        if (!each(context, &info))
            break;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = tl_store_fail(store, "listing collections", error);
    sqlite3_finalize(statement);
    return status;
}

enum tl_status tl_store_drop(struct tl_store *store, const char *name, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    if (store->writing)
        TL_BUG("a collection is dropped while a document is open");
    enum tl_status status = tl_store_run(store, "BEGIN IMMEDIATE", name, error);
    if (status != TL_OK)
        return status;
    struct tl_collection *collection = NULL;
    status = tl_collection_open(store, name, &collection, error);
    if (status == TL_OK) {
        char *sql = tl_store_with_id("DROP TABLE c#_vectors; DROP TABLE c#_text;"
                                     "DELETE FROM documents WHERE collection = #;"
                                     "DELETE FROM collections WHERE id = #",
                                     collection->id);
        forget(collection); /* a table in use by one of its statements could not be dropped */
        status = tl_store_run(store, sql, name, error);
        tl_mem_free(sql);
    }
    if (status == TL_OK)
        status = tl_store_run(store, "COMMIT", name, error);
    if (status != TL_OK) {
        sqlite3_exec(store->db, "ROLLBACK", NULL, NULL, NULL);
        return status;
    }
    if (!store->memory)
        sqlite3_exec(store->db, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
    return TL_OK;
}

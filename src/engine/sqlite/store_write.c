/* store_write.c: documents in and out, one transaction each.
 *
 * The full-text index keeps no text of its own, so a chunk is deleted from it by giving it the
 * same title, heading and text again; they are read from the rows, therefore the rows go last.
 */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/sqlite/store_internal.h"

/* A vector whose squared length is within this of 1 counts as normalised. */
#define NORM_TOLERANCE 1e-4

static void end_transaction(struct tl_collection *collection) {
    collection->store->writing = NULL;
    collection->document = 0;
    tl_mem_free(collection->title);
    collection->title = NULL;
}

void tl_document_rollback(struct tl_collection *collection) {
    if (collection->store->writing != collection)
        return;
    for (size_t i = 0; i < STATEMENT_COUNT; i++)
        if (collection->statements[i])
            sqlite3_reset(collection->statements[i]);
    sqlite3_exec(collection->store->db, "ROLLBACK", NULL, NULL, NULL);
    end_transaction(collection);
}

/* Starts a write transaction of the collection. */
static enum tl_status begin(struct tl_collection *collection, struct tl_error *error) {
    struct tl_store *store = collection->store;
    if (store->writing)
        TL_BUG("a second document is begun while one is open");
    enum tl_status status = tl_store_run(store, "BEGIN IMMEDIATE", "writing", error);
    if (status != TL_OK)
        return status;
    store->writing = collection;
    status = tl_collection_refresh(collection, error);
    if (status != TL_OK)
        tl_document_rollback(collection);
    return status;
}

/* Ends it: with a new version when the content has changed. */
static enum tl_status commit(struct tl_collection *collection, bool changed, struct tl_error *error) {
    struct tl_store *store = collection->store;
    enum tl_status status = TL_OK;
    uint64_t version = collection->version;
    if (changed) {
        sqlite3_stmt *next = tl_collection_statement(collection, STATEMENT_NEXT_VERSION, error);
        if (!next) {
            status = error->status;
        } else {
            sqlite3_bind_int64(next, 1, collection->id);
            if (sqlite3_step(next) == SQLITE_ROW)
                version = (uint64_t)sqlite3_column_int64(next, 0);
            else
                status = tl_store_fail(store, "writing", error);
            sqlite3_reset(next);
        }
    }
    if (status == TL_OK)
        status = tl_store_run(store, "COMMIT", "writing", error);
    if (status != TL_OK) {
        tl_document_rollback(collection);
        return status;
    }
    collection->version = version;
    end_transaction(collection);
    return TL_OK;
}

/* Runs a statement whose only parameter is a row id. */
static enum tl_status run_with_id(struct tl_collection *collection, enum store_statement which, int64_t id,
                                  struct tl_error *error) {
    sqlite3_stmt *statement = tl_collection_statement(collection, which, error);
    if (!statement)
        return error->status;
    sqlite3_bind_int64(statement, 1, id);
    return tl_collection_execute(collection, statement, "writing", error);
}

static enum tl_status delete_document(struct tl_collection *collection, int64_t id, struct tl_error *error) {
    enum tl_status status = run_with_id(collection, STATEMENT_DELETE_TEXTS, id, error);
    if (status == TL_OK)
        status = run_with_id(collection, STATEMENT_DELETE_VECTORS, id, error);
    if (status == TL_OK)
        status = run_with_id(collection, STATEMENT_DELETE_DOCUMENT, id, error); /* and its chunks, by the foreign key */
    return status;
}

static enum tl_status delete_chunk(struct tl_collection *collection, int64_t id, struct tl_error *error) {
    enum tl_status status = run_with_id(collection, STATEMENT_DELETE_TEXT, id, error);
    if (status == TL_OK)
        status = run_with_id(collection, STATEMENT_DELETE_VECTOR, id, error);
    if (status == TL_OK)
        status = run_with_id(collection, STATEMENT_DELETE_CHUNK, id, error);
    return status;
}

/* The row of a document with this content key (NULL: any), or 0; copies its title. */
static enum tl_status find_row(struct tl_collection *collection, const char *uri, const char *sha256, int64_t *id,
                               char **title, struct tl_error *error) {
    *id = 0;
    *title = NULL;
    sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_FIND_DOCUMENT, error);
    if (!statement)
        return error->status;
    sqlite3_bind_int64(statement, 1, collection->id);
    sqlite3_bind_text(statement, 2, uri, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, sha256, -1, SQLITE_STATIC);
    int rc = sqlite3_step(statement);
    enum tl_status status = TL_OK;
    if (rc == SQLITE_ROW) {
        *id = sqlite3_column_int64(statement, 0);
        *title = tl_mem_strdup(tl_store_column_text(statement, 5));
    } else if (rc != SQLITE_DONE) {
        status = tl_store_fail(collection->store, "reading", error);
    }
    sqlite3_reset(statement);
    return status;
}

/* Deletes everything under this uri; *deleted says whether there was something. */
static enum tl_status delete_uri(struct tl_collection *collection, const char *uri, bool *deleted,
                                 struct tl_error *error) {
    *deleted = false;
    for (;;) {
        int64_t id = 0;
        char *title = NULL;
        enum tl_status status = find_row(collection, uri, NULL, &id, &title, error);
        tl_mem_free(title);
        if (status == TL_OK && id)
            status = delete_document(collection, id, error);
        if (status != TL_OK || !id)
            return status;
        *deleted = true;
    }
}

static enum tl_status add_document(struct tl_collection *collection, const struct tl_store_document *document,
                                   struct tl_error *error) {
    sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_ADD_DOCUMENT, error);
    if (!statement)
        return error->status;
    const char *title = document->title ? document->title : "";
    sqlite3_bind_int64(statement, 1, collection->id);
    sqlite3_bind_text(statement, 2, document->uri, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 3, document->sha256 ? document->sha256 : "", -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, (int64_t)document->size);
    sqlite3_bind_int64(statement, 5, document->modified);
    sqlite3_bind_text(statement, 6, title, -1, SQLITE_STATIC);
    enum tl_status status = tl_collection_execute(collection, statement, "writing", error);
    if (status != TL_OK)
        return status;
    collection->document = sqlite3_last_insert_rowid(collection->store->db);
    collection->title = tl_mem_strdup(title);
    return TL_OK;
}

enum tl_status tl_document_begin(struct tl_collection *collection, const struct tl_store_document *document,
                                 enum tl_document_mode mode, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    enum tl_status status = begin(collection, error);
    if (status != TL_OK)
        return status;

    if (mode != TL_DOCUMENT_REPLACE) {
        int64_t row = 0;
        char *title = NULL;
        status = find_row(collection, document->uri, document->sha256 ? document->sha256 : "", &row, &title, error);
        if (status == TL_OK && row) {
            collection->document = row;
            collection->title = title;
            return TL_OK;
        }
        tl_mem_free(title);
    }
    bool deleted = false;
    if (status == TL_OK && mode != TL_DOCUMENT_BESIDE)
        status = delete_uri(collection, document->uri, &deleted, error);
    if (status == TL_OK)
        status = add_document(collection, document, error);
    if (status != TL_OK)
        tl_document_rollback(collection);
    return status;
}

enum tl_status tl_collection_normalise(const struct tl_collection *collection, const struct tl_vector *vector,
                                       const float **out, struct tl_error *error) {
    if (vector->dimension != collection->dimension)
        return tl_error_set(error, TL_ERR_INVALID,
                            "the collection \"%s\" holds vectors of %" PRIu32 " dimensions (model %s), this one has %"
                            PRIu32, collection->name, collection->dimension,
                            *collection->model ? collection->model : "unnamed", vector->dimension);
    double squares = 0;
    for (uint32_t i = 0; i < vector->dimension; i++)
        squares += (double)vector->data[i] * (double)vector->data[i];
    if (!(squares > 0) || !isfinite(squares))
        return tl_error_set(error, TL_ERR_INVALID, "a vector has no direction: it is zero or not finite");
    *out = vector->data;
    if (fabs(squares - 1) > NORM_TOLERANCE) {
        double scale = 1 / sqrt(squares);
        for (uint32_t i = 0; i < vector->dimension; i++)
            collection->scratch[i] = (float)(vector->data[i] * scale);
        *out = collection->scratch;
    }
    return TL_OK;
}

/* Deletes the open document's chunk of this ordinal, if there is one. */
static enum tl_status delete_ordinal(struct tl_collection *collection, uint32_t ordinal, struct tl_error *error) {
    sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_FIND_CHUNK, error);
    if (!statement)
        return error->status;
    sqlite3_bind_int64(statement, 1, collection->document);
    sqlite3_bind_int64(statement, 2, ordinal);
    int rc = sqlite3_step(statement);
    int64_t old = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    enum tl_status status = TL_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = tl_store_fail(collection->store, "reading", error);
    sqlite3_reset(statement);
    return status == TL_OK && old ? delete_chunk(collection, old, error) : status;
}

static enum tl_status add_chunk(struct tl_collection *collection, const struct tl_chunk *chunk, const float *vector,
                                struct tl_error *error) {
    const char *heading = chunk->heading ? chunk->heading : "";
    sqlite3_stmt *row = tl_collection_statement(collection, STATEMENT_ADD_CHUNK, error);
    if (!row)
        return error->status;
    sqlite3_bind_int64(row, 1, collection->document);
    sqlite3_bind_int64(row, 2, chunk->ordinal);
    sqlite3_bind_text(row, 3, chunk->id, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 4, heading, -1, SQLITE_STATIC);
    sqlite3_bind_text(row, 5, chunk->text, (int)chunk->length, SQLITE_STATIC);
    sqlite3_bind_int64(row, 6, (int64_t)chunk->begin);
    sqlite3_bind_int64(row, 7, (int64_t)chunk->end);
    sqlite3_bind_int64(row, 8, chunk->tokens);
    enum tl_status status = tl_collection_execute(collection, row, "writing", error);
    if (status != TL_OK)
        return status;
    int64_t id = sqlite3_last_insert_rowid(collection->store->db);

    sqlite3_stmt *vectors = tl_collection_statement(collection, STATEMENT_ADD_VECTOR, error);
    if (!vectors)
        return error->status;
    sqlite3_bind_int64(vectors, 1, id);
    sqlite3_bind_blob(vectors, 2, vector, (int)(collection->dimension * sizeof *vector), SQLITE_STATIC);
    status = tl_collection_execute(collection, vectors, "writing a vector", error);
    if (status != TL_OK)
        return status;

    sqlite3_stmt *text = tl_collection_statement(collection, STATEMENT_ADD_TEXT, error);
    if (!text)
        return error->status;
    sqlite3_bind_int64(text, 1, id);
    sqlite3_bind_text(text, 2, collection->title, -1, SQLITE_STATIC);
    sqlite3_bind_text(text, 3, heading, -1, SQLITE_STATIC);
    sqlite3_bind_text(text, 4, chunk->text, (int)chunk->length, SQLITE_STATIC);
    return tl_collection_execute(collection, text, "writing full text", error);
}

enum tl_status tl_document_add(struct tl_collection *collection, const struct tl_chunk *chunk,
                               const struct tl_vector *vector, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    if (collection->store->writing != collection)
        TL_BUG("a chunk is added while no document is open");
    enum tl_status status = TL_OK;
    const float *data = NULL;
    if (chunk->length > TL_STORE_TEXT_MAX)
        status = tl_error_set(error, TL_ERR_LIMIT, "a chunk of %zu bytes is larger than the store takes (%u)",
                              chunk->length, TL_STORE_TEXT_MAX);
    if (status == TL_OK)
        status = tl_collection_normalise(collection, vector, &data, error);
    if (status == TL_OK)
        status = delete_ordinal(collection, chunk->ordinal, error);
    if (status == TL_OK)
        status = add_chunk(collection, chunk, data, error);
    if (status != TL_OK)
        tl_document_rollback(collection);
    return status;
}

enum tl_status tl_document_commit(struct tl_collection *collection, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    if (collection->store->writing != collection)
        TL_BUG("a commit while no document is open");
    enum tl_status status = run_with_id(collection, STATEMENT_END_DOCUMENT, collection->document, error);
    if (status != TL_OK) {
        tl_document_rollback(collection);
        return status;
    }
    return commit(collection, true, error);
}

enum tl_status tl_document_touch(struct tl_collection *collection, const char *uri, uint64_t size, int64_t modified,
                                 struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    enum tl_status status = begin(collection, error);
    if (status != TL_OK)
        return status;
    sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_TOUCH_DOCUMENT, error);
    if (!statement) {
        status = error->status;
    } else {
        sqlite3_bind_int64(statement, 1, collection->id);
        sqlite3_bind_text(statement, 2, uri, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 3, (int64_t)size);
        sqlite3_bind_int64(statement, 4, modified);
        status = tl_collection_execute(collection, statement, "writing", error);
    }
    if (status != TL_OK) {
        tl_document_rollback(collection);
        return status;
    }
    return commit(collection, false, error);
}

enum tl_status tl_document_remove(struct tl_collection *collection, const char *uri, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    enum tl_status status = begin(collection, error);
    if (status != TL_OK)
        return status;
    bool deleted = false;
    status = delete_uri(collection, uri, &deleted, error);
    if (status != TL_OK) {
        tl_document_rollback(collection);
        return status;
    }
    return commit(collection, deleted, error);
}

enum tl_status tl_collection_compact(struct tl_collection *collection, bool *done, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    *done = false;
    sqlite3_stmt *count = tl_collection_statement(collection, STATEMENT_COUNT_ROWS, error);
    if (!count)
        return error->status;
    uint64_t rows = 0, blocks = 0;
    bool counted = sqlite3_step(count) == SQLITE_ROW;
    if (counted) {
        rows = (uint64_t)sqlite3_column_int64(count, 0);
        blocks = (uint64_t)sqlite3_column_int64(count, 1);
    }
    sqlite3_reset(count);
    if (!counted)
        return tl_store_fail(collection->store, "counting vectors", error);
    uint64_t block = collection->store->memory ? TL_STORE_BLOCK_MEMORY : TL_STORE_BLOCK_FILE;
    if (blocks * block <= 2 * rows + block)
        return TL_OK;

    enum tl_status status = begin(collection, error);
    if (status != TL_OK)
        return status;
    char *sql = tl_store_with_id("CREATE TEMP TABLE moved AS SELECT rowid AS id, embedding FROM c#_vectors;"
                                 "DELETE FROM c#_vectors;"
                                 "INSERT INTO c#_vectors(rowid, embedding) SELECT id, embedding FROM moved ORDER BY id;"
                                 "DROP TABLE moved",
                                 collection->id);
    status = tl_store_run(collection->store, sql, "compacting", error);
    tl_mem_free(sql);
    if (status != TL_OK) {
        tl_document_rollback(collection);
        return status;
    }
    status = commit(collection, false, error);
    *done = status == TL_OK;
    if (*done && !collection->store->memory)
        sqlite3_exec(collection->store->db, "PRAGMA incremental_vacuum", NULL, NULL, NULL);
    return status;
}

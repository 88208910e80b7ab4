/* store_read.c: what is in a collection, as rows: one document, all of them, a dump of everything. */
#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "engine/sqlite/store_internal.h"

/* The present row of FIND_DOCUMENT or EACH_DOCUMENT; strings are borrowed from the statement. */
static struct tl_store_document document_row(sqlite3_stmt *statement) {
    return (struct tl_store_document){
        .uri = tl_store_column_text(statement, 1),
        .sha256 = tl_store_column_text(statement, 2),
        .size = (uint64_t)sqlite3_column_int64(statement, 3),
        .modified = sqlite3_column_int64(statement, 4),
        .title = tl_store_column_text(statement, 5),
        .chunks = (uint64_t)sqlite3_column_int64(statement, 6),
        .indexed = sqlite3_column_int64(statement, 7),
    };
}

enum tl_status tl_document_find(struct tl_collection *collection, const char *uri, struct tl_str *strings,
                                struct tl_store_document *document, bool *found, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    *found = false;
    sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_FIND_DOCUMENT, error);
    if (!statement)
        return error->status;
    sqlite3_bind_int64(statement, 1, collection->id);
    sqlite3_bind_text(statement, 2, uri, -1, SQLITE_STATIC);
    enum tl_status status = TL_OK;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        *found = true;
        *document = document_row(statement);
        const char **const fields[] = {&document->uri, &document->sha256, &document->title};
        size_t offsets[3];
        for (size_t i = 0; i < 3; i++) {
            offsets[i] = strings->length;
            tl_str_append(strings, *fields[i], strlen(*fields[i]) + 1);
        }
        for (size_t i = 0; i < 3; i++)
            *fields[i] = strings->data + offsets[i];
    } else if (rc != SQLITE_DONE) {
        status = tl_store_fail(collection->store, "reading", error);
    }
    sqlite3_reset(statement);
    return status;
}

enum tl_status tl_document_each(struct tl_collection *collection,
                                bool (*each)(void *context, const struct tl_store_document *document), void *context,
                                struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_EACH_DOCUMENT, error);
    if (!statement)
        return error->status;
    sqlite3_bind_int64(statement, 1, collection->id);
    enum tl_status status = TL_OK;
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW) {
        struct tl_store_document document = document_row(statement);
        if (!each(context, &document))
            break;
    }
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = tl_store_fail(collection->store, "reading", error);
    sqlite3_reset(statement);
    return status;
}

struct dump {
    bool (*write)(void *context, const char *data, size_t length);
    void *context;
};

/* Writes the chunks of one document. */
static enum tl_status dump_chunks(struct tl_collection *collection, int64_t document, const struct dump *dump,
                                  bool *go_on, struct tl_error *error) {
    sqlite3_stmt *row = tl_collection_statement(collection, STATEMENT_DUMP_CHUNKS, error);
    if (!row)
        return error->status;
    sqlite3_bind_int64(row, 1, document);
    enum tl_status status = TL_OK;
    struct tl_str line = TL_STR_INIT;
    int rc;
    while (*go_on && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        char text[TL_SHA256_HEX_SIZE], vector[TL_SHA256_HEX_SIZE];
        const char *heading = tl_store_column_text(row, 2);
        tl_sha256_hex(tl_store_column_text(row, 3), (size_t)sqlite3_column_bytes(row, 3), text);
        const void *blob = sqlite3_column_blob(row, 7);
        tl_sha256_hex(blob ? blob : "", (size_t)sqlite3_column_bytes(row, 7), vector);
        tl_str_clear(&line);
        tl_str_printf(&line, "chunk %lld %s ", (long long)sqlite3_column_int64(row, 0), tl_store_column_text(row, 1));
        tl_str_put_json(&line, heading, strlen(heading));
        tl_str_printf(&line, " bytes %lld-%lld tokens %lld text %s vector %s\n",
                      (long long)sqlite3_column_int64(row, 4), (long long)sqlite3_column_int64(row, 5),
                      (long long)sqlite3_column_int64(row, 6), text, vector);
        *go_on = dump->write(dump->context, line.data, line.length);
    }
    if (*go_on && rc != SQLITE_DONE)
        status = tl_store_fail(collection->store, "reading", error);
    sqlite3_reset(row);
    tl_str_fini(&line);
    return status;
}

enum tl_status tl_collection_dump(struct tl_collection *collection,
                                  bool (*write)(void *context, const char *data, size_t length), void *context,
                                  struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    struct dump dump = {write, context};
    enum tl_status status = tl_collection_read_begin(collection, error);
    if (status != TL_OK)
        return status;
    sqlite3_stmt *row = tl_collection_statement(collection, STATEMENT_EACH_DOCUMENT, error);
    if (!row) {
        tl_collection_read_end(collection);
        return error->status;
    }
    sqlite3_bind_int64(row, 1, collection->id);
    struct tl_str line = TL_STR_INIT;
    tl_str_printf(&line, "collection %s model %s %s dimension %" PRIu32 " chunks of %" PRIu32 " overlap %" PRIu32 "\n",
                  collection->name, collection->model, collection->model_digest, collection->dimension,
                  collection->chunk_size, collection->chunk_overlap);
    bool go_on = write(context, line.data, line.length);
    int rc = SQLITE_DONE;
    while (go_on && status == TL_OK && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        struct tl_store_document document = document_row(row);
        tl_str_clear(&line);
        tl_str_puts(&line, "document ");
        tl_str_put_json(&line, document.uri, strlen(document.uri));
        tl_str_printf(&line, " sha256 %s size %" PRIu64 " title ", document.sha256, document.size);
        tl_str_put_json(&line, document.title, strlen(document.title));
        tl_str_printf(&line, " chunks %" PRIu64 "\n", document.chunks);
        go_on = write(context, line.data, line.length);
        if (go_on)
            status = dump_chunks(collection, sqlite3_column_int64(row, 0), &dump, &go_on, error);
    }
    if (status == TL_OK && go_on && rc != SQLITE_DONE)
        status = tl_store_fail(collection->store, "reading", error);
    sqlite3_reset(row);
    tl_collection_read_end(collection);
    tl_str_fini(&line);
    return status;
}

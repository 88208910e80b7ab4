/* store_sql.c: short forms for SQLite calls, and the one place where SQLite's codes become
 * our statuses and sentences. */
#include <inttypes.h>
#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/sqlite/store_internal.h"

enum tl_status tl_store_fail(const struct tl_store *store, const char *doing, struct tl_error *error) {
    const char *path = store->path;
    const char *message = sqlite3_errmsg(store->db);
    switch (sqlite3_errcode(store->db) & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
        return tl_error_set(error, TL_ERR_BUSY,
                            "%s: %s: another process is writing to this file; try again when it is done", path, doing);
    case SQLITE_NOTADB:
        return tl_error_set(error, TL_ERR_CORRUPT, "%s is not a Teola store: it is no SQLite file", path);
    case SQLITE_CORRUPT:
        return tl_error_set(error, TL_ERR_CORRUPT,
                            "%s is damaged (%s: %s); restore it from a backup, or delete it and index again", path,
                            doing, message);
    case SQLITE_FULL:
        return tl_error_set(error, TL_ERR_IO, "%s: %s: the disk is full", path, doing);
    case SQLITE_IOERR:
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
        return tl_error_set(error, TL_ERR_IO, "%s: %s: %s", path, doing, message);
    case SQLITE_NOMEM:
        return tl_error_set(error, TL_ERR_NO_MEMORY, "%s: %s: out of memory", path, doing);
    case SQLITE_TOOBIG:
        return tl_error_set(error, TL_ERR_LIMIT, "%s: %s: a value is larger than the store takes", path, doing);
    case SQLITE_INTERRUPT:
        return tl_error_set(error, TL_ERR_CANCELLED, "%s: %s: interrupted", path, doing);
    default:
        return tl_error_set(error, TL_ERR_ENGINE, "%s: %s: %s", path, doing, message);
    }
}

enum tl_status tl_store_run(struct tl_store *store, const char *sql, const char *doing, struct tl_error *error) {
    if (sqlite3_exec(store->db, sql, NULL, NULL, NULL) != SQLITE_OK)
        return tl_store_fail(store, doing, error);
    return TL_OK;
}

sqlite3_stmt *tl_store_prepare(struct tl_store *store, const char *sql, const char *doing, struct tl_error *error) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3(store->db, sql, -1, 0, &statement, NULL) != SQLITE_OK) {
        tl_store_fail(store, doing, error);
        return NULL;
    }
    return statement;
}

char *tl_store_with_id(const char *sql, int64_t id) {
    struct tl_str text = TL_STR_INIT;
    for (const char *c = sql; *c; c++) {
        if (*c == '#')
            tl_str_printf(&text, "%" PRId64, id);
        else
            tl_str_putc(&text, *c);
    }
    return tl_str_detach(&text);
}

sqlite3_stmt *tl_collection_statement(struct tl_collection *collection, enum store_statement which,
                                      struct tl_error *error) {
    static const char *const templates[STATEMENT_COUNT] = {
#define X(id, sql) [STATEMENT_##id] = sql,
        TL_STORE_STATEMENTS(X)
#undef X
    };
    sqlite3_stmt *statement = collection->statements[which];
    if (!statement) {
        char *sql = tl_store_with_id(templates[which], collection->id);
        int rc = sqlite3_prepare_v3(collection->store->db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL);
        tl_mem_free(sql);
        if (rc != SQLITE_OK) {
            /* Its tables are gone when another process has dropped the collection meanwhile. */
            if (which == STATEMENT_READ_VERSION || tl_collection_refresh(collection, error) == TL_OK)
                tl_store_fail(collection->store, collection->name, error);
            return NULL;
        }
        collection->statements[which] = statement;
    }
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return statement;
}

enum tl_status tl_collection_execute(struct tl_collection *collection, sqlite3_stmt *statement, const char *doing,
                                     struct tl_error *error) {
    enum tl_status status = TL_OK;
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW)
        ;
    if (rc != SQLITE_DONE)
        status = tl_store_fail(collection->store, doing, error);
    sqlite3_reset(statement);
    return status;
}

const char *tl_store_column_text(sqlite3_stmt *statement, int column) {
    const unsigned char *text = sqlite3_column_text(statement, column);
    return text ? (const char *)text : "";
}

enum tl_status tl_collection_read_begin(struct tl_collection *collection, struct tl_error *error) {
    struct tl_store *store = collection->store;
    if (store->writing)
        return TL_OK;
    enum tl_status status = tl_store_run(store, "BEGIN", "reading", error);
    if (status != TL_OK)
        return status;
    status = tl_collection_refresh(collection, error);
    if (status != TL_OK)
        tl_collection_read_end(collection);
    return status;
}

void tl_collection_read_end(struct tl_collection *collection) {
    if (!collection->store->writing)
        sqlite3_exec(collection->store->db, "COMMIT", NULL, NULL, NULL);
}

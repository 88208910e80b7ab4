/* store_internal.h: what the files of the store share: its structs, the tables, and short
 * forms for SQLite calls. Nothing outside this folder includes it.
 *
 * Tables (docs/collections.md explains them):
 *     collections, documents, chunks    plain tables, one row each
 *     c<ID>_vectors                     vec0, one per collection: its dimension is part of its definition
 *     c<ID>_text                        FTS5, one per collection: so bm25 counts words in it alone
 * <ID> is collections.id, an integer of ours that is never used twice: no user text ever becomes part
 * of a statement. Both index tables use chunks.id as their rowid.
 */
#ifndef TL_ENGINE_SQLITE_STORE_INTERNAL_H
#define TL_ENGINE_SQLITE_STORE_INTERNAL_H

#include <sqlite3.h>

#include "engine/sqlite/store.h"

#define TL_STORE_APPLICATION_ID 0x54454f4c /* "TEOL" in the file's header */
#define TL_STORE_SCHEMA_VERSION 1

/* A collection's version, of its row. With its id, which is never used twice: one that is dropped and made anew counts
 * from the start again, and must not pass for what it was before. */
#define TL_STORE_VERSION "((id << 32) + version)"

/* Statements that a collection keeps prepared; '#' stands for its id, ?1 in those that
 * name the collection's row. */
#define TL_STORE_STATEMENTS(X)                                                                                       \
    X(READ_VERSION, "SELECT " TL_STORE_VERSION " FROM collections WHERE id = ?1")                                    \
    X(NEXT_VERSION, "UPDATE collections SET version = version + 1 WHERE id = ?1 RETURNING " TL_STORE_VERSION)        \
    X(FIND_DOCUMENT, "SELECT id, uri, sha256, size, modified, title, chunks, indexed FROM documents"                 \
                     " WHERE collection = ?1 AND uri = ?2 AND (?3 IS NULL OR sha256 = ?3)")                         \
    X(EACH_DOCUMENT, "SELECT id, uri, sha256, size, modified, title, chunks, indexed FROM documents"                 \
                     " WHERE collection = ?1 ORDER BY uri, sha256")                                                  \
    X(ADD_DOCUMENT, "INSERT INTO documents(collection, uri, sha256, size, modified, title, chunks, indexed)"         \
                    " VALUES (?1, ?2, ?3, ?4, ?5, ?6, 0, 0)")                                                        \
    X(END_DOCUMENT, "UPDATE documents SET chunks = (SELECT count(*) FROM chunks WHERE document = ?1),"               \
                    " indexed = unixepoch() WHERE id = ?1")                                                          \
    X(TOUCH_DOCUMENT, "UPDATE documents SET size = ?3, modified = ?4 WHERE collection = ?1 AND uri = ?2")            \
    X(DELETE_TEXTS, "INSERT INTO c#_text(c#_text, rowid, title, heading, body)"                                      \
                    " SELECT 'delete', c.id, d.title, c.heading, c.text FROM chunks AS c"                            \
                    " JOIN documents AS d ON d.id = c.document WHERE c.document = ?1")                               \
    X(DELETE_VECTORS, "DELETE FROM c#_vectors WHERE rowid IN (SELECT id FROM chunks WHERE document = ?1)")           \
    X(DELETE_DOCUMENT, "DELETE FROM documents WHERE id = ?1")                                                        \
    X(FIND_CHUNK, "SELECT id FROM chunks WHERE document = ?1 AND ordinal = ?2")                                      \
    X(DELETE_TEXT, "INSERT INTO c#_text(c#_text, rowid, title, heading, body)"                                       \
                   " SELECT 'delete', c.id, d.title, c.heading, c.text FROM chunks AS c"                             \
                   " JOIN documents AS d ON d.id = c.document WHERE c.id = ?1")                                      \
    X(DELETE_VECTOR, "DELETE FROM c#_vectors WHERE rowid = ?1")                                                      \
    X(DELETE_CHUNK, "DELETE FROM chunks WHERE id = ?1")                                                              \
    X(ADD_CHUNK, "INSERT INTO chunks(document, ordinal, key, heading, text, begin_byte, end_byte, tokens)"           \
                 " VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")                                                         \
    X(ADD_VECTOR, "INSERT INTO c#_vectors(rowid, embedding) VALUES (?1, ?2)")                                        \
    X(ADD_TEXT, "INSERT INTO c#_text(rowid, title, heading, body) VALUES (?1, ?2, ?3, ?4)")                          \
    X(NEAREST, "SELECT rowid, distance FROM c#_vectors WHERE embedding MATCH ?1 AND k = ?2")                         \
    X(MATCHING, "SELECT rowid, bm25(c#_text, 2.0, 1.0, 1.0) AS score FROM c#_text WHERE c#_text MATCH ?1"            \
                " ORDER BY score LIMIT ?2")                                                                          \
    X(READ_CHUNK, "SELECT c.key, d.uri, d.title, c.heading, c.text, c.begin_byte, c.end_byte, c.ordinal, c.tokens"   \
                  " FROM chunks AS c JOIN documents AS d ON d.id = c.document WHERE c.id = ?1")                      \
    X(DUMP_CHUNKS, "SELECT c.ordinal, c.key, c.heading, c.text, c.begin_byte, c.end_byte, c.tokens, v.embedding"     \
                   " FROM chunks AS c LEFT JOIN c#_vectors AS v ON v.rowid = c.id WHERE c.document = ?1"             \
                   " ORDER BY c.ordinal")                                                                            \
    X(COUNT_ROWS, "SELECT count(*), (SELECT count(*) FROM c#_vectors_chunks) FROM c#_vectors_rowids")

enum store_statement {
#define X(id, sql) STATEMENT_##id,
    TL_STORE_STATEMENTS(X)
#undef X
    STATEMENT_COUNT
};

struct tl_store {
    sqlite3 *db;
    char *path;                        /* as opened; for messages */
    bool memory;                       /* ":memory:" */
    struct tl_collection *collections; /* open handles */
    struct tl_collection *writing;     /* the collection whose document is open, or NULL */
};

struct tl_collection {
    struct tl_store *store;
    struct tl_collection *next;
    int64_t id;
    char *name, *model, *model_digest;
    uint32_t dimension, chunk_size, chunk_overlap;
    uint64_t version;
    sqlite3_stmt *statements[STATEMENT_COUNT]; /* prepared at first use */
    int64_t document;                          /* row of the open document */
    char *title;                               /* of the open document: what the text index gets */
    float *scratch;                            /* `dimension` floats, for normalising */
};

/* Rows of vectors that one storage block of vec0 holds: large for files (a block is one
 * blob and is scanned at once), small for a query's few dozen chunks, where a block of 1,024
 * would clear 1.5 MB first. */
#define TL_STORE_BLOCK_FILE 1024
#define TL_STORE_BLOCK_MEMORY 64

/* In all functions below `error` is not NULL: the public ones see to it. */

/* Turns the database's present error into a status and a sentence "PATH: doing: why". */
enum tl_status tl_store_fail(const struct tl_store *store, const char *doing, struct tl_error *error);

/* Runs one constant statement without parameters or rows. */
enum tl_status tl_store_run(struct tl_store *store, const char *sql, const char *doing, struct tl_error *error);

/* Prepares `sql` for one use; the caller finalizes it. NULL with *error set on failure. */
sqlite3_stmt *tl_store_prepare(struct tl_store *store, const char *sql, const char *doing, struct tl_error *error);

/* The collection's own prepared statement, reset and without old bindings; NULL on failure. */
sqlite3_stmt *tl_collection_statement(struct tl_collection *collection, enum store_statement which,
                                      struct tl_error *error);

/* Steps a statement that gives no rows, and resets it. */
enum tl_status tl_collection_execute(struct tl_collection *collection, sqlite3_stmt *statement, const char *doing,
                                     struct tl_error *error);

/* Column as text, "" for NULL; valid until the next step or reset. */
const char *tl_store_column_text(sqlite3_stmt *statement, int column);

/* Replaces each '#' of `sql` by the id. Returns owned. */
char *tl_store_with_id(const char *sql, int64_t id);

/* Reads the version; TL_ERR_NOT_FOUND when somebody else has dropped the collection. */
enum tl_status tl_collection_refresh(struct tl_collection *collection, struct tl_error *error);

void tl_collection_free(struct tl_collection *collection); /* finalizes its statements */

/* The vector as stored and compared: of length 1, so that its distance from another one orders as
 * the cosine does. *out is the vector's own data or the collection's scratch space. */
enum tl_status tl_collection_normalise(const struct tl_collection *collection, const struct tl_vector *vector,
                                       const float **out, struct tl_error *error);

/* Wraps several reads into one snapshot, in which the collection exists; an open document is
 * snapshot enough. */
enum tl_status tl_collection_read_begin(struct tl_collection *collection, struct tl_error *error);
void tl_collection_read_end(struct tl_collection *collection);

#endif

/* store.h: collections of documents in one SQLite file: vectors, full text, citations.
 *
 * A store is one file (or memory, for a query's own documents) with any number of
 * collections; a collection holds documents, their chunks, one vector per chunk (sqlite-vec)
 * and a full-text index (FTS5) over title, heading and text. It remembers the embedding
 * model that its vectors come from and refuses another one.
 *
 * Life: open a store, create or open a collection, then search; or write document by
 * document (begin, add, commit). A document's old content goes and its new content comes in
 * one transaction, so a reader sees either, and a killed writer leaves either.
 *
 * Threads: a store and its collections are used by one thread at a time, any thread. Other
 * threads and processes open the same file for themselves; readers never wait for a writer,
 * a second writer waits for a bounded time and then gets TL_ERR_BUSY.
 *
 * Results do not depend on the order of writing: ties are broken by chunk id, then uri.
 */
#ifndef TL_ENGINE_SQLITE_STORE_H
#define TL_ENGINE_SQLITE_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "base/value.h"
#include "teola/status.h"

#define TL_STORE_COUNT_MAX 1000        /* most hits of one search */
#define TL_STORE_DIMENSION_MAX 8192    /* of vectors; what sqlite-vec takes */
#define TL_STORE_TEXT_MAX (16u << 20)  /* most bytes of one chunk's text */

struct tl_store;
struct tl_collection;

struct tl_store_options {
    const char *path;     /* NULL: tl_store_default_path(); ":memory:" for one that lives in memory */
    const char *vec0;     /* path of the sqlite-vec extension; NULL: looked for, see tl_store_find_vec0 */
    bool create;          /* make the file when there is none; else that is TL_ERR_NOT_FOUND */
    uint32_t busy_ms;     /* longest wait for another writer; 0: 10,000 */
};

/* Appends $XDG_DATA_HOME/teola/store.db or ~/.local/share/teola/store.db. */
enum tl_status tl_store_default_path(struct tl_str *out, struct tl_error *error);

/* Appends the path of sqlite-vec's shared object: $TEOLA_VEC0 when set, else `setting` when given, else
 * vec0.so in the data directory, else in ../lib/teola beside the program's directory.
 * TL_ERR_NOT_FOUND with how to get it when there is none. */
enum tl_status tl_store_find_vec0(const char *setting, struct tl_str *out, struct tl_error *error);

/* Opens the file and checks that it is ours: TL_ERR_CORRUPT when it is no SQLite file, belongs to
 * another program, was written by a newer version, or is damaged. */
enum tl_status tl_store_open(const struct tl_store_options *options, struct tl_store **store, struct tl_error *error);
void tl_store_close(struct tl_store *store); /* closes its collections; an open document is rolled back; NULL is allowed */
const char *tl_store_path(const struct tl_store *store); /* borrowed */

/* ---- Collections ---- */

/* What a collection is made of. Empty strings and zeros mean "not stated". */
struct tl_collection_spec {
    const char *name;         /* ^[a-z_][a-z0-9_-]{0,62}$ */
    const char *model;        /* of the embeddings; name for people */
    const char *model_digest; /* SHA-256 of its weights, hex */
    uint32_t dimension;       /* required when the collection is made */
    uint32_t chunk_size;      /* tokens */
    uint32_t chunk_overlap;   /* tokens */
};

struct tl_collection_info {
    const char *name, *model, *model_digest;
    uint32_t dimension, chunk_size, chunk_overlap;
    uint64_t version;   /* changes with every change of content; none that a dropped one of the same name had */
    uint64_t documents; /* filled by tl_store_list only, as chunks and bytes are */
    uint64_t chunks;
    uint64_t bytes;     /* of text and vectors, without indexes */
};

bool tl_collection_name_valid(const char *name);

/* Opens an existing collection. TL_ERR_NOT_FOUND names those that exist. The handle belongs to the
 * store and stays valid until it is closed or the collection is dropped through it; opening again
 * gives the same handle. */
enum tl_status tl_collection_open(struct tl_store *store, const char *name, struct tl_collection **collection,
                                  struct tl_error *error);

/* Opens the collection or makes it. TL_ERR_INVALID when it exists with another model digest,
 * dimension, chunk size or overlap than the spec states. */
enum tl_status tl_collection_create(struct tl_store *store, const struct tl_collection_spec *spec,
                                    struct tl_collection **collection, struct tl_error *error);

/* TL_ERR_INVALID, naming both sides, unless the collection's vectors come from this model.
 * An empty digest or a zero dimension is not compared. */
enum tl_status tl_collection_check_model(const struct tl_collection *collection, const char *model,
                                         const char *model_digest, uint32_t dimension, struct tl_error *error);

/* Facts as of the last open, create or commit through this handle; strings are borrowed. */
void tl_collection_describe(const struct tl_collection *collection, struct tl_collection_info *info);

/* Calls `each` for every collection in order of name; stops when it returns false. */
enum tl_status tl_store_list(struct tl_store *store, bool (*each)(void *context, const struct tl_collection_info *info),
                             void *context, struct tl_error *error);

/* Deletes the collection with all its content and gives the space back to the file system. */
enum tl_status tl_store_drop(struct tl_store *store, const char *name, struct tl_error *error);

/* ---- Writing ---- */

struct tl_store_document {
    const char *uri;      /* unique in its collection, but for TL_DOCUMENT_BESIDE */
    const char *sha256;   /* of the content; any stable key, "" when not known yet */
    uint64_t size;        /* bytes */
    int64_t modified;     /* file time in ns, 0: not to be trusted */
    const char *title;
    uint64_t chunks;      /* filled when read */
    int64_t indexed;      /* seconds since 1970; filled when read */
};

enum tl_document_mode {
    TL_DOCUMENT_REPLACE, /* what the collection holds under this uri goes away in the same transaction */
    TL_DOCUMENT_EXTEND,  /* the same when sha256 differs; with equal sha256 chunks are added to it,
                          * an equal ordinal replaces: writing a part twice changes nothing */
    TL_DOCUMENT_BESIDE,  /* as EXTEND, but other content under this uri stays: a query's own documents
                          * may share a name */
};

/* Starts a document's transaction; takes the file's writer lock. Only one document per store
 * can be open. After any failure below the document is rolled back already. */
enum tl_status tl_document_begin(struct tl_collection *collection, const struct tl_store_document *document,
                                 enum tl_document_mode mode, struct tl_error *error);
/* Adds one chunk with its vector, which is normalised if it is not. */
enum tl_status tl_document_add(struct tl_collection *collection, const struct tl_chunk *chunk,
                               const struct tl_vector *vector, struct tl_error *error);
/* Makes it durable against a kill of the process and visible to others; the version changes. */
enum tl_status tl_document_commit(struct tl_collection *collection, struct tl_error *error);
void tl_document_rollback(struct tl_collection *collection); /* nothing when none is open */

/* Records a new file time for unchanged content; not a change of version. */
enum tl_status tl_document_touch(struct tl_collection *collection, const char *uri, uint64_t size, int64_t modified,
                                 struct tl_error *error);
enum tl_status tl_document_remove(struct tl_collection *collection, const char *uri, struct tl_error *error);

/* Reads one document's row; *found says whether there is one. Strings are appended to `strings`
 * and borrowed from it by *document until it changes. */
enum tl_status tl_document_find(struct tl_collection *collection, const char *uri, struct tl_str *strings,
                                struct tl_store_document *document, bool *found, struct tl_error *error);

/* Calls `each` for every document in order of uri (bytes); stops when it returns false. The
 * callback must not write to the store. */
enum tl_status tl_document_each(struct tl_collection *collection,
                                bool (*each)(void *context, const struct tl_store_document *document), void *context,
                                struct tl_error *error);

/* Rebuilds the vector table when replaced documents have left more than half of it empty;
 * *done says whether it did. One transaction. */
enum tl_status tl_collection_compact(struct tl_collection *collection, bool *done, struct tl_error *error);

/* ---- Reading ---- */

/* The `count` chunks nearest to the vector, best first, as a value hit[]; `retrieval` is the cosine. */
enum tl_status tl_collection_search(struct tl_collection *collection, const struct tl_vector *vector, size_t count,
                                    struct tl_value **hits, struct tl_error *error);

/* The `count` chunks that match the words of the text best, as a value hit[]; `retrieval` is the bm25
 * score, higher is better. Any text is allowed: it is never read as query syntax. */
enum tl_status tl_collection_match(struct tl_collection *collection, const char *text, size_t length, size_t count,
                                   struct tl_value **hits, struct tl_error *error);

/* Appends the whole content as text, a line per document, chunk and vector hash, sorted, without times
 * and row numbers: two collections with the same content give the same bytes. Calls `write` with pieces. */
enum tl_status tl_collection_dump(struct tl_collection *collection,
                                  bool (*write)(void *context, const char *data, size_t length), void *context,
                                  struct tl_error *error);

#endif

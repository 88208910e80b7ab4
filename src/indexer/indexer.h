/* indexer.h: files into a collection: what `teola index` does, without its words and bars.
 *
 * A run walks the paths twice: first to see what has changed (by size and time as recorded), so
 * that the time left can be told, then to do it. A changed file is read whole, hashed, and,
 * unless the content is what the collection has, extracted, cut into chunks, embedded slice by
 * slice and written in one transaction; chunks of larger documents go to the store in portions
 * within that transaction, so memory holds one file and a bounded number of chunks.
 *
 * Killed or stopped at any moment, the collection holds whole documents only, and another
 * run completes it. Slices never span documents: the vectors of a document do not depend
 * on what was indexed with it.
 */
#ifndef TL_INDEXER_INDEXER_H
#define TL_INDEXER_INDEXER_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "teola/status.h"

/* What happened to one file. */
enum tl_index_event {
    TL_INDEX_ADDED,
    TL_INDEX_REPLACED,
    TL_INDEX_UNCHANGED,
    TL_INDEX_REMOVED, /* pruned */
    TL_INDEX_SKIPPED, /* detail says why */
};

struct tl_index_progress {
    uint64_t documents, documents_total; /* that seemed changed at the start */
    uint64_t bytes, bytes_total;         /* of these */
    uint64_t chunks;                     /* embedded so far */
    const char *uri;                     /* being worked on; borrowed for the call */
};

struct tl_index_report {
    uint64_t added, replaced, unchanged, removed, skipped; /* documents */
    uint64_t chunks, tokens; /* embedded; tokens as the model counts them, with titles */
    uint64_t bytes;          /* of documents added and replaced */
    bool created;            /* the collection is new */
    bool compacted;
};

struct tl_index_options {
    const char *const *paths;
    size_t path_count;
    const char *collection;
    const char *store; /* file; NULL: the default one */
    const char *vec0;  /* sqlite-vec; NULL: searched */
    const json_t *embed; /* settings of the engine type "embed"; its "model" is a file */
    const char *model;   /* name of that model for people; NULL: its file's name */
    uint32_t chunk_size;    /* tokens; 0: as the collection has, else the default */
    int64_t chunk_overlap;  /* tokens; -1: as the collection has, else the default */
    bool prune;             /* drop documents below the paths whose files are gone */

    /* All optional. Called on the caller's thread; uri and detail are borrowed for the call. */
    void (*event)(void *context, enum tl_index_event event, const char *uri, const char *detail);
    void (*progress)(void *context, const struct tl_index_progress *progress);
    bool (*stop)(void *context); /* asked often; true: roll the open document back and return TL_ERR_CANCELLED */
    void *context;
};

/* Runs to the end, or to the first failure that is no matter of one document alone. *report is
 * filled in any case. */
enum tl_status tl_index_run(const struct tl_index_options *options, struct tl_index_report *report,
                            struct tl_error *error);

/* Writes a document's uri for people into `out`: control characters and malformed bytes as escapes, cut
 * with "..." when it does not fit. Returns out. */
char *tl_index_print_uri(const char *uri, char *out, size_t size);

#endif

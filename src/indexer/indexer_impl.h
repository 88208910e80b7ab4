/* indexer_impl.h: what the files of the indexer share: the state of one run. */
#ifndef TL_INDEXER_INDEXER_IMPL_H
#define TL_INDEXER_INDEXER_IMPL_H

#include "base/str.h"
#include "engine/call.h"
#include "engine/documents/chunker.h"
#include "engine/sqlite/store.h"
#include "engine/tokenizer.h"
#include "indexer/indexer.h"
#include "indexer/walk.h"

/* Chunks embedded by one call; a stop is seen within a call too. */
#define TL_INDEX_SLICE 8
/* Chunks held before a document's transaction begins: smaller documents hold the store's writer lock
 * for milliseconds, not while they are embedded. About 3 MB with 384 dimensions. */
#define TL_INDEX_HELD 1024

struct tl_index_run {
    const struct tl_index_options *options;
    struct tl_index_report *report;
    char **roots; /* as tl_walk_roots gives them */
    struct tl_store *store;
    struct tl_collection *collection;
    struct tl_engine_caller *embed;    /* NULL until the first document that needs it */
    struct tl_tokenizer *tokenizer;    /* the same */
    char *model_digest;                /* of the settings' model */
    struct tl_chunking chunking;
    struct tl_index_progress progress;
    struct tl_str strings;             /* scratch for document rows */
    enum tl_status status;             /* the first failure inside of a walk */
    struct tl_error *error;
};

/* Loads tokenizer and embedding model, once. */
enum tl_status tl_index_need_model(struct tl_index_run *run);

/* Brings the collection up to date with one file; a failure of the document alone is reported
 * and gives TL_OK. */
enum tl_status tl_index_file(struct tl_index_run *run, const struct tl_walk_file *file);

/* Whether the collection has this file with the same size and time. */
enum tl_status tl_index_is_recorded(struct tl_index_run *run, const struct tl_walk_file *file, bool *recorded);

bool tl_index_stopped(const struct tl_index_run *run);
void tl_index_event(struct tl_index_run *run, enum tl_index_event event, const char *uri, const char *detail);
void tl_index_progress(struct tl_index_run *run);

#endif

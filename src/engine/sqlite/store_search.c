/* store_search.c: search by vector and by words.
 *
 * Both searches work alike: ask the index for (row, score) pairs in order of score, one more
 * than wanted; while the last one wanted ties with the last one got, ask for more, so that
 * every candidate of the tie is seen; read the chunks; sort by score, chunk id, uri.
 */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/sqlite/store_internal.h"
#include "engine/sqlite/text_query.h"

#define CANDIDATES_MAX 4096 /* sqlite-vec's bound of k */

struct candidate {
    int64_t row;
    double score;           /* higher is better */
    struct tl_value *chunk; /* owned */
};

/* Runs NEAREST or MATCHING, whose first parameter is bound, for up to `want` candidates. */
static enum tl_status fetch(struct tl_collection *collection, sqlite3_stmt *statement, bool cosine, size_t want,
                            struct candidate *candidates, size_t *count, struct tl_error *error) {
    sqlite3_reset(statement);
    sqlite3_bind_int64(statement, 2, (int64_t)want);
    *count = 0;
    int rc;
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && *count < want) {
        double value = sqlite3_column_double(statement, 1);
        candidates[*count] = (struct candidate){
            .row = sqlite3_column_int64(statement, 0),
            .score = cosine ? 1 - value * value / 2 : -value, /* of two vectors of length 1; bm25 is negative in FTS5 */
        };
        ++*count;
    }
    enum tl_status status = TL_OK;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE)
        status = tl_store_fail(collection->store, "searching", error);
    sqlite3_reset(statement);
    return status;
}

static enum tl_status read_chunk(struct tl_collection *collection, struct candidate *candidate,
                                 struct tl_error *error) {
    sqlite3_stmt *row = tl_collection_statement(collection, STATEMENT_READ_CHUNK, error);
    if (!row)
        return error->status;
    sqlite3_bind_int64(row, 1, candidate->row);
    enum tl_status status = TL_OK;
    int rc = sqlite3_step(row);
    if (rc == SQLITE_ROW) {
        struct tl_chunk chunk = {
            .id = tl_store_column_text(row, 0),
            .uri = tl_store_column_text(row, 1),
            .title = tl_store_column_text(row, 2),
            .heading = tl_store_column_text(row, 3),
            .text = tl_store_column_text(row, 4),
            .length = (size_t)sqlite3_column_bytes(row, 4),
            .begin = (uint64_t)sqlite3_column_int64(row, 5),
            .end = (uint64_t)sqlite3_column_int64(row, 6),
            .ordinal = (uint32_t)sqlite3_column_int64(row, 7),
            .tokens = (uint32_t)sqlite3_column_int64(row, 8),
        };
        candidate->chunk = tl_value_chunk(&chunk);
        if (!candidate->chunk)
            status = tl_error_set(error, TL_ERR_NO_MEMORY, "a chunk of %zu bytes does not fit into memory",
                                  chunk.length);
    } else if (rc == SQLITE_DONE) {
        status = tl_error_set(error, TL_ERR_CORRUPT,
                              "%s is damaged: an index of \"%s\" names a chunk that is not there; drop the collection "
                              "and index again", collection->store->path, collection->name);
    } else {
        status = tl_store_fail(collection->store, "reading a chunk", error);
    }
    sqlite3_reset(row);
    return status;
}

static int compare_candidates(const void *left, const void *right) {
    const struct candidate *a = left, *b = right;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    int order = strcmp(a->chunk->as.chunk.id, b->chunk->as.chunk.id);
    return order ? order : strcmp(a->chunk->as.chunk.uri, b->chunk->as.chunk.uri);
}

/* The first `count` candidates as a value hit[]; NULL when memory is out. */
static struct tl_value *make_hits(const struct candidate *candidates, size_t count) {
    struct tl_value **items = tl_mem_alloc((count ? count : 1) * sizeof *items);
    size_t made = 0;
    for (; made < count; made++) {
        struct tl_hit hit = {
            .chunk = candidates[made].chunk, .retrieval = candidates[made].score, .rank = (uint32_t)made};
        items[made] = tl_value_hit(&hit);
        if (!items[made])
            break;
    }
    struct tl_value *list = NULL;
    if (made == count)
        list = tl_value_list(TL_TYPE_OF(HIT, 0), items, count);
    else
        while (made > 0)
            tl_value_unref(items[--made]);
    tl_mem_free(items);
    return list;
}

/* Candidates of a bound statement in their final order, as hits. */
static enum tl_status collect(struct tl_collection *collection, sqlite3_stmt *statement, bool cosine, size_t count,
                              struct tl_value **hits, struct tl_error *error) {
    struct candidate *candidates = NULL;
    size_t got = 0;
    size_t want = count + 1;
    enum tl_status status;
    for (;;) {
        candidates = tl_mem_realloc(candidates, want * sizeof *candidates);
        status = fetch(collection, statement, cosine, want, candidates, &got, error);
        bool open_tie = got == want && candidates[count - 1].score == candidates[got - 1].score;
        if (status != TL_OK || !open_tie || want == CANDIDATES_MAX)
            break;
        want = want > CANDIDATES_MAX / 4 ? CANDIDATES_MAX : want * 4;
    }
    if (status != TL_OK)
        got = 0;

    for (size_t i = 0; i < got && status == TL_OK; i++)
        status = read_chunk(collection, &candidates[i], error);
    if (status == TL_OK) {
        qsort(candidates, got, sizeof *candidates, compare_candidates);
        *hits = make_hits(candidates, got < count ? got : count);
        if (!*hits)
            status = tl_error_set(error, TL_ERR_NO_MEMORY, "%zu hits do not fit into memory", count);
    }
    for (size_t i = 0; i < got; i++)
        tl_value_unref(candidates[i].chunk);
    tl_mem_free(candidates);
    return status;
}

static enum tl_status check_count(size_t count, struct tl_error *error) {
    if (count >= 1 && count <= TL_STORE_COUNT_MAX)
        return TL_OK;
    return tl_error_set(error, TL_ERR_INVALID, "a search for %zu hits: 1 to %d are possible", count,
                        TL_STORE_COUNT_MAX);
}

enum tl_status tl_collection_search(struct tl_collection *collection, const struct tl_vector *vector, size_t count,
                                    struct tl_value **hits, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    *hits = NULL;
    enum tl_status status = check_count(count, error);
    const float *data = NULL;
    if (status == TL_OK)
        status = tl_collection_normalise(collection, vector, &data, error);
    if (status == TL_OK)
        status = tl_collection_read_begin(collection, error);
    if (status != TL_OK)
        return status;
    sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_NEAREST, error);
    if (statement) {
        sqlite3_bind_blob(statement, 1, data, (int)(collection->dimension * sizeof *data), SQLITE_STATIC);
        status = collect(collection, statement, true, count, hits, error);
        sqlite3_clear_bindings(statement);
    } else {
        status = error->status;
    }
    tl_collection_read_end(collection);
    return status;
}

enum tl_status tl_collection_match(struct tl_collection *collection, const char *text, size_t length, size_t count,
                                   struct tl_value **hits, struct tl_error *error) {
    struct tl_error scratch;
    if (!error)
        error = &scratch;
    *hits = NULL;
    enum tl_status status = check_count(count, error);
    if (status != TL_OK)
        return status;
    struct tl_str query = TL_STR_INIT;
    if (tl_text_query(text, length, &query) == 0) {
        *hits = make_hits(NULL, 0);
        return *hits ? TL_OK : tl_error_set(error, TL_ERR_NO_MEMORY, "out of memory");
    }
    status = tl_collection_read_begin(collection, error);
    if (status == TL_OK) {
        sqlite3_stmt *statement = tl_collection_statement(collection, STATEMENT_MATCHING, error);
        if (statement) {
            sqlite3_bind_text(statement, 1, query.data, (int)query.length, SQLITE_STATIC);
            status = collect(collection, statement, false, count, hits, error);
            sqlite3_clear_bindings(statement);
        } else {
            status = error->status;
        }
        tl_collection_read_end(collection);
    }
    tl_str_fini(&query);
    return status;
}

/* document.c: one file into the collection: unchanged, or extracted, cut, embedded, written. */
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "indexer/indexer_impl.h"

/* A file whose time is this young may change again without a visible change of its time, so its
 * time is not recorded as proof: the next run hashes it. */
#define YOUNG_NS INT64_C(2000000000)

/* Enough of a file's beginning to tell binary content from text. */
#define HEAD_BYTES 8192

/* Chunks with their vectors that wait to be written. */
struct held {
    struct tl_value *chunks[TL_INDEX_HELD + TL_INDEX_SLICE];
    struct tl_value *vectors[TL_INDEX_HELD + TL_INDEX_SLICE];
    size_t embedded; /* of `count`, have vectors */
    size_t count;
};

static void drop_held(struct held *held) {
    for (size_t i = 0; i < held->count; i++) {
        tl_value_unref(held->chunks[i]);
        if (i < held->embedded)
            tl_value_unref(held->vectors[i]);
    }
    held->count = held->embedded = 0;
}

static int64_t trusted_time(int64_t modified) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec - modified;
    return age > YOUNG_NS ? modified : 0;
}

/* Gives the chunks from held->embedded on their vectors. */
static enum tl_status embed(struct tl_index_run *run, struct held *held) {
    size_t count = held->count - held->embedded;
    if (count == 0)
        return TL_OK;
    struct tl_value *items[TL_INDEX_SLICE];
    TL_ASSERT(count <= TL_INDEX_SLICE);
    for (size_t i = 0; i < count; i++)
        items[i] = tl_value_ref(held->chunks[held->embedded + i]);
    struct tl_value *chunks = tl_value_list(TL_TYPE_OF(CHUNK, 0), items, count);
    if (!chunks)
        return tl_error_set(run->error, TL_ERR_NO_MEMORY, "out of memory for a slice of %zu chunks", count);
    struct tl_value *vectors = NULL;
    struct tl_usage usage;
    enum tl_status status = tl_engine_call(run->embed, TL_OP_EMBED, NULL, &chunks, 1, &vectors, &usage, run->error);
    tl_value_unref(chunks);
    if (status != TL_OK)
        return status;
    for (size_t i = 0; i < count; i++)
        held->vectors[held->embedded + i] = tl_value_ref(vectors->as.list.items[i]);
    tl_value_unref(vectors);
    held->embedded = held->count;
    run->progress.chunks += count;
    run->report->chunks += count;
    run->report->tokens += usage.tokens_computed;
    return TL_OK;
}

/* Writes what is held; begins the document's transaction when it has not begun. */
static enum tl_status flush(struct tl_index_run *run, struct held *held, const struct tl_store_document *document,
                            bool *begun) {
    enum tl_status status = TL_OK;
    if (!*begun)
        status = tl_document_begin(run->collection, document, TL_DOCUMENT_REPLACE, run->error);
    *begun = status == TL_OK;
    for (size_t i = 0; i < held->count && status == TL_OK; i++)
        status = tl_document_add(run->collection, &held->chunks[i]->as.chunk, &held->vectors[i]->as.vector, run->error);
    drop_held(held);
    return status;
}

/* Takes the chunker's next chunks, at most one slice. False at the document's end. */
static bool take_slice(struct tl_chunker *chunker, struct held *held, uint64_t *end, bool *out_of_memory) {
    for (size_t i = 0; i < TL_INDEX_SLICE; i++) {
        struct tl_chunk chunk;
        if (!tl_chunker_next(chunker, &chunk))
            return false;
        struct tl_value *value = tl_value_chunk(&chunk);
        if (!value) {
            *out_of_memory = true;
            return false;
        }
        held->chunks[held->count++] = value;
        *end = chunk.end;
    }
    return true;
}

/* Cuts, embeds and writes one extracted document, in one transaction. */
static enum tl_status write_document(struct tl_index_run *run, const struct tl_extracted *extracted,
                                     const struct tl_store_document *document) {
    enum tl_status status = TL_OK;
    struct tl_chunker *chunker = tl_chunker_create(extracted, document->uri, &run->chunking);
    struct held *held = tl_mem_zalloc(sizeof *held);
    uint64_t bytes_before = run->progress.bytes;
    bool begun = false, more = true, out_of_memory = false;
    while (more && status == TL_OK) {
        uint64_t end = 0;
        more = take_slice(chunker, held, &end, &out_of_memory);
        if (out_of_memory)
            status = tl_error_set(run->error, TL_ERR_NO_MEMORY, "out of memory for a chunk of %s", document->uri);
        else if (tl_index_stopped(run))
            status = tl_error_set(run->error, TL_ERR_CANCELLED, "interrupted");
        if (status == TL_OK)
            status = embed(run, held);
        if (status == TL_OK && held->count >= TL_INDEX_HELD)
            status = flush(run, held, document, &begun);
        if (status == TL_OK && end > 0) {
            run->progress.bytes =
                bytes_before + (uint64_t)((double)document->size * (double)end / (double)extracted->length);
            tl_index_progress(run);
        }
    }
    if (status == TL_OK)
        status = flush(run, held, document, &begun);
    if (status == TL_OK)
        status = tl_document_commit(run->collection, run->error);
    if (status != TL_OK)
        tl_document_rollback(run->collection);
    run->progress.bytes = bytes_before;
    drop_held(held);
    tl_mem_free(held);
    tl_chunker_destroy(chunker);
    return status;
}

enum tl_status tl_index_is_recorded(struct tl_index_run *run, const struct tl_walk_file *file, bool *recorded) {
    struct tl_store_document row;
    bool found = false;
    tl_str_clear(&run->strings);
    enum tl_status status = tl_document_find(run->collection, file->path, &run->strings, &row, &found, run->error);
    *recorded = found && row.modified != 0 && row.modified == file->modified && row.size == file->size;
    return status;
}

/* What is wrong with a document, without the name that the message begins with. */
static const char *without_name(const char *uri, const char *message) {
    char name[TL_ERROR_MESSAGE_MAX];
    tl_document_print_uri(uri, name, sizeof name);
    size_t length = strlen(name);
    if (strncmp(message, name, length) != 0)
        return message;
    message += length;
    return message + strspn(message, ": ");
}

/* A changed document that gives no text any more must not be found by its old one. */
static enum tl_status skip(struct tl_index_run *run, const char *uri, const char *why, bool known) {
    tl_index_event(run, TL_INDEX_SKIPPED, uri, without_name(uri, why));
    return known ? tl_document_remove(run->collection, uri, run->error) : TL_OK;
}

/* Extracts and writes a document whose content the collection does not have. */
static enum tl_status replace(struct tl_index_run *run, const struct tl_walk_file *file, const char *data,
                              size_t length, int64_t modified, bool known) {
    static const struct tl_document_limits limits = TL_DOCUMENT_LIMITS_DEFAULT;
    const struct tl_document_source source = {.uri = file->path, .data = data, .length = length};
    struct tl_extracted extracted = {0};
    struct tl_error why = {0};
    enum tl_status status = tl_document_extract(&source, &extracted, &limits, &why);
    if (tl_document_is_skip(status))
        return skip(run, file->path, why.message, known);
    if (status != TL_OK)
        return tl_error_set(run->error, status, "%s", why.message);

    const struct tl_store_document document = {
        .uri = file->path,
        .sha256 = extracted.digest,
        .size = length,
        .modified = length == file->size ? modified : 0, /* it changed between stat and read */
        .title = extracted.title,
    };
    status = tl_index_need_model(run);
    if (status == TL_OK)
        status = write_document(run, &extracted, &document);
    tl_extracted_fini(&extracted);
    if (status != TL_OK)
        return status;
    run->report->bytes += length;
    tl_index_event(run, known ? TL_INDEX_REPLACED : TL_INDEX_ADDED, file->path, "");
    return TL_OK;
}

/* Binary by its beginning: not worth reading whole, at this run and at every one that follows. */
static bool is_binary(const char *path) {
    char head[HEAD_BYTES];
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t length = read(fd, head, sizeof head);
    close(fd);
    return length > 0 && tl_media_detect(path, NULL, head, (size_t)length) == TL_MEDIA_BINARY;
}

enum tl_status tl_index_file(struct tl_index_run *run, const struct tl_walk_file *file) {
    static const struct tl_document_limits limits = TL_DOCUMENT_LIMITS_DEFAULT;
    int64_t modified = trusted_time(file->modified);
    struct tl_store_document row;
    bool known = false;
    tl_str_clear(&run->strings);
    enum tl_status status = tl_document_find(run->collection, file->path, &run->strings, &row, &known, run->error);
    if (status != TL_OK)
        return status;
    if (is_binary(file->path))
        return skip(run, file->path, "is binary: no text, Markdown, HTML or PDF", known);

    char *data = NULL;
    size_t length = 0;
    struct tl_error why = {0};
    status = tl_document_read(file->path, &limits, &data, &length, &why);
    if (tl_document_is_skip(status)) /* unreadable now: what the collection has of it may still be right */
        return skip(run, file->path, why.message, false);
    if (status != TL_OK)
        return tl_error_set(run->error, status, "%s", why.message);

    char digest[TL_SHA256_HEX_SIZE];
    tl_sha256_hex(data, length, digest);
    if (known && strcmp(row.sha256, digest) == 0) {
        if (length == file->size && modified && (row.modified != modified || row.size != length))
            status = tl_document_touch(run->collection, file->path, length, modified, run->error);
        if (status == TL_OK)
            tl_index_event(run, TL_INDEX_UNCHANGED, file->path, "");
    } else {
        status = replace(run, file, data, length, modified, known);
    }
    free(data);
    return status;
}

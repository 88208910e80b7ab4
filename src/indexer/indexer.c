/* indexer.c: a run from the paths to the report; document.c does the single file. */
#include "indexer/indexer.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/mem.h"
#include "indexer/indexer_impl.h"

/* ---- small things ---- */

char *tl_index_print_uri(const char *uri, char *out, size_t size) { return tl_document_print_uri(uri, out, size); }

bool tl_index_stopped(const struct tl_index_run *run) {
    return run->options->stop && run->options->stop(run->options->context);
}

void tl_index_event(struct tl_index_run *run, enum tl_index_event event, const char *uri, const char *detail) {
    uint64_t *const counters[] = {
        [TL_INDEX_ADDED] = &run->report->added,         [TL_INDEX_REPLACED] = &run->report->replaced,
        [TL_INDEX_UNCHANGED] = &run->report->unchanged, [TL_INDEX_REMOVED] = &run->report->removed,
        [TL_INDEX_SKIPPED] = &run->report->skipped,
    };
    ++*counters[event];
    if (run->options->event)
        run->options->event(run->options->context, event, uri, detail);
}

void tl_index_progress(struct tl_index_run *run) {
    if (run->options->progress)
        run->options->progress(run->options->context, &run->progress);
}

static const char *model_path(const struct tl_index_run *run) {
    const char *path = json_string_value(json_object_get(run->options->embed, "model"));
    return path ? path : "";
}

static const char *model_name(const struct tl_index_run *run) {
    if (run->options->model)
        return run->options->model;
    const char *slash = strrchr(model_path(run), '/');
    return slash ? slash + 1 : model_path(run);
}

/* ---- model ---- */

/* The digest as the settings give it, else of the file itself. */
static enum tl_status find_digest(struct tl_index_run *run) {
    const char *given = json_string_value(json_object_get(run->options->embed, "model_digest"));
    if (given && *given) {
        run->model_digest = tl_mem_strdup(given);
        return TL_OK;
    }
    char digest[TL_SHA256_HEX_SIZE];
    enum tl_status status = tl_sha256_file(model_path(run), digest, run->error);
    if (status == TL_OK)
        run->model_digest = tl_mem_strdup(digest);
    return status;
}

static size_t count_tokens(const void *context, const char *text, size_t length) {
    return tl_tokenizer_count(context, text, length);
}

enum tl_status tl_index_need_model(struct tl_index_run *run) {
    if (run->embed)
        return TL_OK;
    enum tl_status status = tl_engine_caller_open("embed", run->options->embed, &run->embed, run->error);
    if (status != TL_OK)
        return status;
    tl_engine_caller_on_stop(run->embed, run->options->stop, run->options->context);
    status = tl_tokenizer_open(model_path(run), &run->tokenizer, run->error);
    if (status != TL_OK)
        return status;
    run->chunking.counter = (struct tl_token_counter){count_tokens, run->tokenizer};

    struct tl_engine_description description;
    tl_engine_caller_describe(run->embed, &description);
    if (description.context_tokens && run->chunking.size > description.context_tokens)
        return tl_error_set(run->error, TL_ERR_INVALID,
                            "chunks of %" PRIu32 " tokens are longer than the %" PRIu32
                            " tokens that the embedding model %s reads; choose a smaller chunk size",
                            run->chunking.size, description.context_tokens, model_name(run));
    return TL_OK;
}

/* ---- collection ---- */

static enum tl_status make_collection(struct tl_index_run *run) {
    const struct tl_index_options *options = run->options;
    run->chunking.size = options->chunk_size ? options->chunk_size : TL_CHUNK_SIZE;
    run->chunking.overlap = options->chunk_overlap >= 0 ? (uint32_t)options->chunk_overlap : TL_CHUNK_OVERLAP;
    if (options->chunk_overlap < 0 && run->chunking.overlap >= run->chunking.size / 2)
        run->chunking.overlap = run->chunking.size / 8;
    enum tl_status status = tl_chunking_check(run->chunking.size, run->chunking.overlap, run->error);
    if (status == TL_OK)
        status = tl_index_need_model(run);
    if (status != TL_OK)
        return status;
    struct tl_engine_description description;
    tl_engine_caller_describe(run->embed, &description);
    const struct tl_collection_spec spec = {
        .name = options->collection,
        .model = model_name(run),
        .model_digest = run->model_digest,
        .dimension = description.dimension,
        .chunk_size = run->chunking.size,
        .chunk_overlap = run->chunking.overlap,
    };
    run->report->created = true;
    return tl_collection_create(run->store, &spec, &run->collection, run->error);
}

/* Takes the settings of a collection that exists; other ones than stated are an error. */
static enum tl_status adopt_collection(struct tl_index_run *run) {
    const struct tl_index_options *options = run->options;
    enum tl_status status =
        tl_collection_check_model(run->collection, model_name(run), run->model_digest, 0, run->error);
    if (status != TL_OK)
        return status;
    struct tl_collection_info info;
    tl_collection_describe(run->collection, &info);
    bool other_size = options->chunk_size && options->chunk_size != info.chunk_size;
    bool other_overlap = options->chunk_overlap >= 0 && options->chunk_overlap != info.chunk_overlap;
    if (info.chunk_size && (other_size || other_overlap))
        return tl_error_set(run->error, TL_ERR_INVALID,
                            "the collection \"%s\" has chunks of %" PRIu32 " tokens with an overlap of %" PRIu32
                            "; to change that, drop it (`teola index --drop --collection %s`) and index again",
                            info.name, info.chunk_size, info.chunk_overlap, info.name);
    run->chunking.size = info.chunk_size ? info.chunk_size : TL_CHUNK_SIZE;
    run->chunking.overlap = info.chunk_size ? info.chunk_overlap : TL_CHUNK_OVERLAP;
    return TL_OK;
}

static enum tl_status open_collection(struct tl_index_run *run) {
    const struct tl_index_options *options = run->options;
    const struct tl_store_options store = {.path = options->store, .vec0 = options->vec0, .create = true};
    enum tl_status status = tl_store_open(&store, &run->store, run->error);
    if (status == TL_OK)
        status = find_digest(run);
    if (status != TL_OK)
        return status;
    status = tl_collection_open(run->store, options->collection, &run->collection, run->error);
    if (status == TL_OK)
        return adopt_collection(run);
    return status == TL_ERR_NOT_FOUND ? make_collection(run) : status;
}

/* ---- the two walks ---- */

static bool stop_walk(struct tl_index_run *run) {
    if (run->status == TL_OK && tl_index_stopped(run))
        run->status = tl_error_set(run->error, TL_ERR_CANCELLED, "interrupted");
    return run->status != TL_OK;
}

static bool count_file(void *context, const struct tl_walk_file *file) {
    struct tl_index_run *run = context;
    bool recorded = file->wrong != NULL;
    if (!recorded)
        run->status = tl_index_is_recorded(run, file, &recorded);
    if (!recorded) {
        run->progress.documents_total++;
        run->progress.bytes_total += file->size;
    }
    return !stop_walk(run);
}

static bool index_file(void *context, const struct tl_walk_file *file) {
    struct tl_index_run *run = context;
    if (stop_walk(run))
        return false;
    bool recorded = false;
    if (file->wrong) {
        tl_index_event(run, TL_INDEX_SKIPPED, file->path, file->wrong);
        return true;
    }
    run->status = tl_index_is_recorded(run, file, &recorded);
    if (run->status == TL_OK && recorded) {
        tl_index_event(run, TL_INDEX_UNCHANGED, file->path, "");
    } else if (run->status == TL_OK) {
        run->progress.uri = file->path;
        tl_index_progress(run);
        run->status = tl_index_file(run, file);
        run->progress.documents++;
        run->progress.bytes += file->size;
        tl_index_progress(run);
    }
    return run->status == TL_OK;
}

/* ---- prune ---- */

struct gone {
    struct tl_index_run *run;
    char **uris; /* owned */
    size_t count, capacity;
};

static bool collect_gone(void *context, const struct tl_store_document *document) {
    struct gone *gone = context;
    struct stat facts;
    if (!tl_walk_is_below(gone->run->roots, gone->run->options->path_count, document->uri))
        return true;
    bool there = stat(document->uri, &facts) == 0 ? S_ISREG(facts.st_mode) : errno != ENOENT && errno != ENOTDIR;
    if (there)
        return true;
    gone->uris = tl_mem_grow(gone->uris, &gone->capacity, gone->count + 1, sizeof *gone->uris);
    gone->uris[gone->count++] = tl_mem_strdup(document->uri);
    return true;
}

static enum tl_status prune(struct tl_index_run *run) {
    struct gone gone = {.run = run};
    enum tl_status status = tl_document_each(run->collection, collect_gone, &gone, run->error);
    for (size_t i = 0; i < gone.count; i++) {
        if (status == TL_OK && tl_index_stopped(run))
            status = tl_error_set(run->error, TL_ERR_CANCELLED, "interrupted");
        if (status == TL_OK)
            status = tl_document_remove(run->collection, gone.uris[i], run->error);
        if (status == TL_OK)
            tl_index_event(run, TL_INDEX_REMOVED, gone.uris[i], "");
        tl_mem_free(gone.uris[i]);
    }
    tl_mem_free(gone.uris);
    return status;
}

/* ---- the run ---- */

static enum tl_status run_all(struct tl_index_run *run) {
    const struct tl_index_options *options = run->options;
    enum tl_status status = open_collection(run);
    if (status != TL_OK)
        return status;
    tl_walk(run->roots, options->path_count, count_file, run);
    if (run->status == TL_OK)
        tl_walk(run->roots, options->path_count, index_file, run);
    status = run->status;
    if (status == TL_OK && options->prune)
        status = prune(run);
    if (status == TL_OK)
        status = tl_collection_compact(run->collection, &run->report->compacted, run->error);
    return status;
}

enum tl_status tl_index_run(const struct tl_index_options *options, struct tl_index_report *report,
                            struct tl_error *error) {
    struct tl_error scratch;
    struct tl_index_run run = {.options = options, .report = report, .error = error ? error : &scratch};
    *report = (struct tl_index_report){0};
    tl_str_init(&run.strings);
    enum tl_status status = tl_walk_roots(options->paths, options->path_count, &run.roots, run.error);
    if (status == TL_OK)
        status = run_all(&run);
    tl_engine_caller_close(run.embed);
    tl_tokenizer_close(run.tokenizer);
    tl_store_close(run.store);
    tl_walk_roots_free(run.roots, options->path_count);
    tl_mem_free(run.model_digest);
    tl_str_fini(&run.strings);
    return status;
}

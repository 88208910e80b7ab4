/* documents_engine.c: see documents_engine.h. Items are served in the order of their arrival. */
#include "engine/documents/documents_engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "engine/documents/chunker.h"
#include "engine/tokenizer.h"

#define CHUNKS_PER_STEP 256
#define APPROXIMATE "approximate"

/* An item being worked on. */
struct job {
    struct job *next;
    struct tl_item *item;
    size_t next_document;          /* index of the document to read next */
    size_t used_documents;         /* documents that gave chunks */
    struct tl_extracted extracted; /* of the document being cut */
    struct tl_chunker *chunker;    /* NULL: between two documents */
    struct tl_value **chunks;      /* one reference each */
    size_t count, capacity;
    struct tl_usage usage;
    struct tl_error last_skip; /* why the last document was left out */
};

struct documents_engine {
    struct tl_engine base;
    struct tl_document_limits limits;
    char *tokenizer_path;           /* owned */
    char *pdftotext;                /* owned; NULL: searched */
    struct tl_tokenizer *tokenizer; /* NULL: counts are approximate */
    const struct tl_emit *emit;
    struct job *first, *last; /* oldest first */
};

static struct documents_engine *self_of(struct tl_engine *engine) {
    return (struct documents_engine *)engine;
}

static size_t count_with_tokenizer(const void *context, const char *text, size_t length) {
    return tl_tokenizer_count(context, text, length);
}

static enum tl_status read_integer(const char *name, const json_t *value, json_int_t low, json_int_t high,
                                   json_int_t *out, struct tl_error *error) {
    if (!json_is_integer(value) || json_integer_value(value) < low || json_integer_value(value) > high)
        return tl_error_set(error, TL_ERR_INVALID,
                            "setting %s is not an integer from %" JSON_INTEGER_FORMAT " to %" JSON_INTEGER_FORMAT, name,
                            low, high);
    *out = json_integer_value(value);
    return TL_OK;
}

static enum tl_status read_string(const char *name, const json_t *value, char **out, struct tl_error *error) {
    if (!json_is_string(value) || json_string_length(value) == 0)
        return tl_error_set(error, TL_ERR_INVALID, "setting %s is not a path", name);
    *out = tl_mem_strdup(json_string_value(value));
    return TL_OK;
}

static enum tl_status read_settings(struct documents_engine *self, const json_t *settings, struct tl_error *error) {
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)settings, key, value) {
        enum tl_status status = TL_OK;
        json_int_t number = 0;
        if (strcmp(key, "tokenizer") == 0) {
            status = read_string(key, value, &self->tokenizer_path, error);
        } else if (strcmp(key, "pdftotext") == 0) {
            status = read_string(key, value, &self->pdftotext, error);
        } else if (strcmp(key, "max_bytes") == 0) {
            status = read_integer(key, value, 1, INT32_MAX, &number, error);
            self->limits.max_bytes = (size_t)number;
        } else if (strcmp(key, "pdf_seconds") == 0) {
            status = read_integer(key, value, 1, 3600, &number, error);
            self->limits.pdf_seconds = (unsigned)number;
        } else {
            status = tl_error_set(error, TL_ERR_INVALID,
                                  "unknown setting %s, expected tokenizer, max_bytes, pdf_seconds or pdftotext", key);
        }
        if (status != TL_OK)
            return status;
    }
    if (self->tokenizer_path == NULL)
        return tl_error_set(error, TL_ERR_INVALID,
                            "setting tokenizer is missing: the path of the embedding model, or \"%s\"", APPROXIMATE);
    self->limits.pdftotext = self->pdftotext;
    return TL_OK;
}

static void engine_destroy(struct tl_engine *engine) {
    struct documents_engine *self = self_of(engine);
    tl_tokenizer_close(self->tokenizer);
    tl_mem_free(self->tokenizer_path);
    tl_mem_free(self->pdftotext);
    tl_mem_free(self->base.name);
    tl_mem_free(self);
}

static enum tl_status engine_create(const char *name, const json_t *settings, struct tl_engine **engine,
                                    struct tl_error *error) {
    struct documents_engine *self = tl_mem_zalloc(sizeof *self);
    self->base.ops = &tl_documents_engine;
    self->base.name = tl_mem_strdup(name);
    self->limits = (struct tl_document_limits)TL_DOCUMENT_LIMITS_DEFAULT;
    enum tl_status status = read_settings(self, settings, error);
    if (status != TL_OK) {
        engine_destroy(&self->base);
        return tl_error_prefix(error, "engine %s", name);
    }
    *engine = &self->base;
    return TL_OK;
}

static enum tl_status engine_open(struct tl_engine *engine, const struct tl_emit *emit, struct tl_error *error) {
    struct documents_engine *self = self_of(engine);
    self->emit = emit;
    if (strcmp(self->tokenizer_path, APPROXIMATE) == 0)
        return TL_OK;
    return tl_tokenizer_open(self->tokenizer_path, &self->tokenizer, error);
}

static void engine_describe(const struct tl_engine *engine, struct tl_engine_description *description) {
    (void)engine;
    *description = (struct tl_engine_description){
        .capabilities = 1u << TL_CAPABILITY_DOCUMENTS,
        .executor = TL_EXECUTOR_POOL,
        .streams = true,
        .model = "",
        .model_digest = "",
    };
}

static void engine_submit(struct tl_engine *engine, struct tl_item **items, size_t count) {
    struct documents_engine *self = self_of(engine);
    for (size_t i = 0; i < count; i++) {
        struct job *job = tl_mem_zalloc(sizeof *job);
        job->item = items[i];
        items[i]->engine_data = job;
        if (self->last != NULL)
            self->last->next = job;
        else
            self->first = job;
        self->last = job;
    }
}

static void finish_document(struct job *job) {
    tl_chunker_destroy(job->chunker);
    job->chunker = NULL;
    tl_extracted_fini(&job->extracted);
}

/* Takes the job out of the queue and frees it with the chunks it still holds. */
static void drop(struct documents_engine *self, struct job *job) {
    struct job *former = NULL;
    for (struct job *other = self->first; other != job; other = other->next)
        former = other;
    if (former != NULL)
        former->next = job->next;
    else
        self->first = job->next;
    if (self->last == job)
        self->last = former;
    finish_document(job);
    for (size_t i = 0; i < job->count; i++)
        tl_value_unref(job->chunks[i]);
    tl_mem_free(job->chunks);
    job->item->engine_data = NULL;
    tl_mem_free(job);
}

static void fail(struct documents_engine *self, struct job *job, enum tl_status status, const char *message) {
    struct tl_item *item = job->item;
    drop(self, job);
    self->emit->fail(self->emit->context, item, status, message);
}

static void succeed(struct documents_engine *self, struct job *job) {
    struct tl_value *list = tl_value_list(TL_TYPE_OF(CHUNK, 0), job->chunks, job->count);
    if (list == NULL) {
        fail(self, job, TL_ERR_NO_MEMORY, "no memory for the list of chunks");
        return;
    }
    job->count = 0; /* the list has the references now */
    struct tl_item *item = job->item;
    struct tl_usage usage = job->usage;
    drop(self, job);
    self->emit->done(self->emit->context, item, &list, 1, &usage);
}

static const struct tl_value *documents_of(const struct job *job) {
    return job->item->input_count > 0 ? job->item->inputs[0] : NULL;
}

/* All documents are through. */
static void conclude(struct documents_engine *self, struct job *job) {
    size_t count = tl_value_units(documents_of(job));
    if (count == 0 || job->used_documents > 0) {
        succeed(self, job);
        return;
    }
    struct tl_error error;
    if (count == 1)
        tl_error_set(&error, job->last_skip.status, "%s", job->last_skip.message);
    else
        tl_error_set(&error, job->last_skip.status, "none of %zu documents could be used; the last: %s", count,
                     job->last_skip.message);
    fail(self, job, error.status, error.message);
}

static struct tl_chunking chunking_of(const struct documents_engine *self, const struct job *job) {
    struct tl_chunking chunking = {
        .size = (uint32_t)tl_attributes_integer(job->item->attributes, "size", TL_CHUNK_SIZE),
        .overlap = (uint32_t)tl_attributes_integer(job->item->attributes, "overlap", TL_CHUNK_OVERLAP),
        .counter = tl_token_counter_approximate,
    };
    if (self->tokenizer != NULL)
        chunking.counter = (struct tl_token_counter){count_with_tokenizer, self->tokenizer};
    return chunking;
}

/* Reads the next document and makes it ready to be cut. */
static void read_document(struct documents_engine *self, struct job *job) {
    const struct tl_document *document = &documents_of(job)->as.list.items[job->next_document++]->as.document;
    struct tl_document_source source = {document->uri, document->media_type, document->data, document->length};
    struct tl_error error = {TL_OK, ""};
    enum tl_status status = tl_document_extract(&source, &job->extracted, &self->limits, &error);
    if (status != TL_OK) {
        job->last_skip = error;
        char notice[TL_ERROR_MESSAGE_MAX + 32];
        snprintf(notice, sizeof notice, "left out: %s", error.message);
        self->emit->notice(self->emit->context, job->item, notice);
        return;
    }
    if (job->extracted.repaired > 0) {
        char name[256], notice[512];
        snprintf(notice, sizeof notice, "%s has %zu malformed bytes, each read as U+FFFD",
                 tl_document_print_uri(document->uri, name, sizeof name), job->extracted.repaired);
        self->emit->notice(self->emit->context, job->item, notice);
    }
    struct tl_chunking chunking = chunking_of(self, job);
    job->chunker = tl_chunker_create(&job->extracted, document->uri, &chunking);
    job->used_documents++;
}

/* Cuts some chunks. The job may be gone afterwards. */
static void cut_chunks(struct documents_engine *self, struct job *job) {
    struct tl_chunk chunk;
    for (size_t i = 0; i < CHUNKS_PER_STEP; i++) {
        if (!tl_chunker_next(job->chunker, &chunk)) {
            finish_document(job);
            return;
        }
        struct tl_value *value = tl_value_chunk(&chunk);
        if (value == NULL) {
            fail(self, job, TL_ERR_NO_MEMORY, "no memory for a chunk");
            return;
        }
        job->chunks = tl_mem_grow(job->chunks, &job->capacity, job->count + 1, sizeof(struct tl_value *));
        job->chunks[job->count] = value;
        job->usage.units++;
        job->usage.tokens_in += chunk.tokens;
        if (job->item->pieces)
            self->emit->piece(self->emit->context, job->item, job->count, tl_value_ref(value));
        job->count++;
    }
}

/* A wrong item is failed here, so that nothing else has to look at it again. */
static bool is_acceptable(struct documents_engine *self, struct job *job) {
    const struct tl_value *documents = documents_of(job);
    struct tl_error error;
    if (job->item->op != TL_OP_CHUNK || documents == NULL || !tl_type_equal(documents->type, TL_TYPE_OF(DOCUMENT, 1))) {
        fail(self, job, TL_ERR_USAGE, "a documents engine executes chunk, on a list of documents");
        return false;
    }
    enum tl_status status =
        tl_chunking_check(tl_attributes_integer(job->item->attributes, "size", TL_CHUNK_SIZE),
                          tl_attributes_integer(job->item->attributes, "overlap", TL_CHUNK_OVERLAP), &error);
    if (status != TL_OK)
        fail(self, job, status, error.message);
    return status == TL_OK;
}

static bool engine_step(struct tl_engine *engine) {
    struct documents_engine *self = self_of(engine);
    struct job *job = self->first;
    if (job == NULL)
        return false;
    bool fresh = job->chunker == NULL && job->next_document == 0;
    if (!fresh || is_acceptable(self, job)) {
        if (job->chunker != NULL)
            cut_chunks(self, job);
        else if (job->next_document < tl_value_units(documents_of(job)))
            read_document(self, job);
        else
            conclude(self, job);
    }
    return self->first != NULL;
}

static void engine_cancel(struct tl_engine *engine, struct tl_item *item) {
    struct documents_engine *self = self_of(engine);
    for (struct job *job = self->first; job != NULL; job = job->next) {
        if (job->item == item) {
            fail(self, job, TL_ERR_CANCELLED, "cancelled");
            return;
        }
    }
}

static void engine_close(struct tl_engine *engine) {
    struct documents_engine *self = self_of(engine);
    while (self->first != NULL)
        fail(self, self->first, TL_ERR_CANCELLED, "the engine was closed");
}

const struct tl_engine_ops tl_documents_engine = {
    .type = "documents",
    .description = "reads text, Markdown, HTML and PDF, and cuts it into chunks",
    .create = engine_create,
    .open = engine_open,
    .describe = engine_describe,
    .submit = engine_submit,
    .step = engine_step,
    .cancel = engine_cancel,
    .close = engine_close,
    .destroy = engine_destroy,
};

/* rerank_engine.c: engine type "rerank": scores hits against a question.
 *
 * maxsim   late interaction over the token vectors of an embedding model (llama_maxsim.h).
 *          The item's first text is the question, then each distinct passage that the cache
 *          does not hold; a passage is scored when its vectors arrive and then only cached.
 * cross    a cross-encoder reads each pair of question and passage and gives its score
 *          (rank pooling); the texts are the pairs, one for each distinct passage.
 *
 * Scores stand in the hits in their old order: sorting, and fusing with the retrieval order,
 * belongs to whoever aggregates. */
#include "engine/llama/rerank_engine.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/engines.h"
#include "engine/llama/llama_leaves.h"
#include "engine/settings.h"

/* A passage of an item; several hits may show the same one. */
struct passage {
    const struct tl_chunk *chunk;    /* borrowed from the input */
    char *key;                       /* "<id>:<hash of the text>"; owned */
    struct tl_llama_vectors *cached; /* found in the cache at submit; owned until scored */
    double score;
};

struct rerank_item {
    struct tl_llama_job job; /* first: jobs are cast back */
    struct tl_value **hits; /* borrowed leaves of the input */
    size_t hit_count;
    size_t *passage_of;     /* for each hit its passage */
    struct passage *passages;
    size_t passage_count;
    size_t *text_passage;   /* for each text of the job its passage (the question's entry is unused) */
    struct tl_llama_vectors *query;
};

static struct tl_rerank_engine_state *engine_of(struct tl_engine *engine) {
    return (struct tl_rerank_engine_state *)engine;
}

/* ---- life ---- */

static void rerank_destroy(struct tl_engine *base) {
    struct tl_rerank_engine_state *engine = engine_of(base);
    tl_llama_vectors_cache_fini(&engine->cache);
    tl_llama_encoder_close(&engine->encoder);
    tl_mem_free(engine->model);
    tl_mem_free(engine->model_name);
    tl_mem_free(engine->model_digest);
    tl_mem_free(engine->gpu_devices);
    tl_mem_free(engine->base.name);
    tl_mem_free(engine);
}

static enum tl_status rerank_create(const char *name, const json_t *settings, struct tl_engine **out,
                                    struct tl_error *error) {
    struct tl_rerank_engine_state *engine = tl_mem_zalloc(sizeof *engine);
    engine->base.ops = &tl_rerank_engine;
    engine->base.name = tl_mem_strdup(name);
    engine->context_size = 512;
    engine->gpu_layers = -1;
    engine->cache_bytes = 64 << 20;
    tl_llama_vectors_cache_init(&engine->cache, 0);
    char *method = NULL;
    const struct tl_setting table[] = {
        {.name = "model", .text = &engine->model, .required = true},
        {.name = "model_digest", .text = &engine->model_digest},
        {.name = "method", .text = &method},
        {.name = "threads", .integer = &engine->threads, .minimum = 0, .maximum = GGML_MAX_N_THREADS},
        {.name = "context_size", .integer = &engine->context_size, .minimum = 32, .maximum = 8192},
        {.name = "gpu_layers", .integer = &engine->gpu_layers, .minimum = -1, .maximum = 10000},
        {.name = "gpu_devices", .text = &engine->gpu_devices},
        {.name = "cache_bytes", .integer = &engine->cache_bytes, .minimum = 0, .maximum = 1e12},
    };
    enum tl_status status = tl_settings_read("rerank", settings, table, sizeof table / sizeof table[0], error);
    engine->cross = method && strcmp(method, "cross") == 0;
    if (status == TL_OK && method && !engine->cross && strcmp(method, "maxsim") != 0)
        status = tl_error_set(error, TL_ERR_INVALID,
                              "engine type 'rerank': setting 'method' is '%s', but must be maxsim or cross", method);
    tl_mem_free(method);
    if (status != TL_OK) {
        rerank_destroy(&engine->base);
        return status;
    }
    engine->cache.limit = (size_t)engine->cache_bytes;
    engine->model_name = tl_llama_model_name(engine->model);
    *out = &engine->base;
    return TL_OK;
}

static struct tl_llama_encoder_settings encoder_settings(const struct tl_rerank_engine_state *engine) {
    return (struct tl_llama_encoder_settings){
        .model = engine->model,
        .threads = engine->threads,
        .batch_tokens = engine->context_size,
        .gpu_layers = engine->gpu_layers,
        .gpu_devices = engine->gpu_devices,
        .pooling = engine->cross ? LLAMA_POOLING_TYPE_RANK : LLAMA_POOLING_TYPE_NONE,
    };
}

static enum tl_status rerank_memory(const struct tl_engine *base, struct tl_engine_memory *memory,
                                    struct tl_error *error) {
    const struct tl_llama_encoder_settings settings =
        encoder_settings((const struct tl_rerank_engine_state *)base);
    return tl_llama_encoder_memory(&settings, memory, error);
}

static enum tl_status rerank_open(struct tl_engine *base, const struct tl_emit *emit, struct tl_error *error) {
    struct tl_rerank_engine_state *engine = engine_of(base);
    engine->emit = emit;
    const struct tl_llama_encoder_settings settings = encoder_settings(engine);
    enum tl_status status = tl_llama_encoder_open(&engine->encoder, &settings, error);
    if (status != TL_OK)
        return status;
    if (engine->cross)
        engine->pair_template = llama_model_chat_template(engine->encoder.model, "rerank");
    return TL_OK;
}

static void rerank_describe(const struct tl_engine *base, struct tl_engine_description *description) {
    const struct tl_rerank_engine_state *engine = (const struct tl_rerank_engine_state *)base;
    *description = (struct tl_engine_description){
        .capabilities = 1u << TL_CAPABILITY_RERANK,
        .executor = TL_EXECUTOR_DEVICE,
        .batch_units = engine->encoder.batch_texts,
        .batch_tokens = engine->encoder.batch_tokens,
        .context_tokens = engine->encoder.text_tokens,
        .model = engine->model_name,
        .model_digest = engine->model_digest ? engine->model_digest : "",
    };
}

/* ---- items ---- */

static void free_item(struct rerank_item *held) {
    for (size_t i = 0; i < held->passage_count; i++) {
        tl_mem_free(held->passages[i].key);
        tl_llama_vectors_unref(held->passages[i].cached);
    }
    tl_llama_vectors_unref(held->query);
    tl_mem_free(held->hits);
    tl_mem_free(held->passage_of);
    tl_mem_free(held->passages);
    tl_mem_free(held->text_passage);
    tl_llama_job_fini(&held->job);
    tl_mem_free(held);
}

/* The input's hits with their scores; NULL when memory is out. */
static struct tl_value *scored_hits(const struct rerank_item *held) {
    struct tl_value **leaves = tl_mem_try_alloc((held->hit_count + 1) * sizeof *leaves);
    if (!leaves)
        return NULL;
    for (size_t i = 0; i < held->hit_count; i++) {
        struct tl_hit hit = held->hits[i]->as.hit;
        hit.scored = true;
        hit.score = held->passages[held->passage_of[i]].score;
        leaves[i] = tl_value_hit(&hit);
    }
    struct tl_value *output = tl_llama_reshape(held->job.item->inputs[0], TL_TYPE_HIT, leaves);
    tl_mem_free(leaves);
    return output;
}

/* Reports the item's outcome and forgets it. */
static void finish_item(struct tl_rerank_engine_state *engine, struct rerank_item *held) {
    struct tl_value *output = NULL;
    if (held->job.status == TL_OK) {
        output = scored_hits(held);
        if (!output)
            tl_llama_job_fail(&held->job, TL_ERR_NO_MEMORY, "out of memory for the scored hits");
    }
    tl_llama_job_report(&held->job, &engine->jobs, &engine->encoder, engine->emit, output, held->hit_count);
    free_item(held);
}

/* Finds the distinct passages among the hits, and which of them have to be computed. */
static void find_passages(struct tl_rerank_engine_state *engine, struct rerank_item *held) {
    struct tl_map seen;
    tl_map_init(&seen);
    held->job.count = engine->cross ? 0 : 1; /* the question */
    for (size_t i = 0; i < held->hit_count; i++) {
        const struct tl_chunk *chunk = &held->hits[i]->as.hit.chunk->as.chunk;
        uint64_t hash = tl_hash_bytes(chunk->text, chunk->length, tl_hash_string(chunk->title, 0));
        struct tl_str key = TL_STR_INIT;
        tl_str_printf(&key, "%s:%016llx", chunk->id, (unsigned long long)hash);
        struct passage *known = tl_map_get(&seen, key.data);
        if (known) {
            held->passage_of[i] = (size_t)(known - held->passages);
            tl_str_fini(&key);
            continue;
        }
        struct passage *passage = &held->passages[held->passage_count];
        *passage = (struct passage){.chunk = chunk, .key = tl_str_detach(&key)};
        tl_map_set(&seen, passage->key, passage);
        held->passage_of[i] = held->passage_count;
        if (!engine->cross)
            passage->cached = tl_llama_vectors_cache_get(&engine->cache, passage->key);
        if (!passage->cached)
            held->text_passage[held->job.count++] = held->passage_count;
        held->passage_count++;
    }
    tl_map_fini(&seen);
}

static bool check_types(const struct tl_item *item) {
    return item->op == TL_OP_SCORE && item->input_count == 2 && item->inputs[0]->type.base == TL_TYPE_HIT &&
           tl_type_equal(item->inputs[1]->type, TL_TYPE_OF(TEXT, 0));
}

static void submit_item(struct tl_rerank_engine_state *engine, struct tl_item *item) {
    if (!check_types(item)) {
        engine->emit->fail(engine->emit->context, item, TL_ERR_UNSUPPORTED,
                           "an engine of type 'rerank' serves the primitive 'score' of hits and one text only");
        return;
    }
    struct rerank_item *held = tl_mem_zalloc(sizeof *held);
    held->job.item = item;
    held->job.rank = item->rank;
    held->hit_count = tl_llama_leaf_count(item->inputs[0]);
    size_t room = held->hit_count + 1;
    held->hits = tl_mem_try_alloc(room * sizeof(struct tl_value *));
    held->passage_of = tl_mem_try_alloc(room * sizeof *held->passage_of);
    held->passages = tl_mem_try_alloc(room * sizeof *held->passages);
    held->text_passage = tl_mem_try_alloc(room * sizeof *held->text_passage);
    tl_llama_jobs_push(&engine->jobs, &held->job);
    if (!held->hits || !held->passage_of || !held->passages || !held->text_passage) {
        tl_llama_job_fail(&held->job, TL_ERR_NO_MEMORY, "out of memory for the list of hits");
        finish_item(engine, held);
        return;
    }
    tl_llama_leaves(item->inputs[0], held->hits);
    if (held->hit_count > 0)
        find_passages(engine, held);
    if (held->job.count == 0)
        finish_item(engine, held);
}

static void rerank_submit(struct tl_engine *base, struct tl_item **items, size_t count) {
    for (size_t i = 0; i < count; i++)
        submit_item(engine_of(base), items[i]);
}

static void rerank_cancel(struct tl_engine *base, struct tl_item *item) {
    struct tl_rerank_engine_state *engine = engine_of(base);
    struct tl_llama_job *job = tl_llama_jobs_find(&engine->jobs, item);
    if (!job)
        return;
    tl_llama_job_fail(job, TL_ERR_CANCELLED, "cancelled before all hits were scored");
    finish_item(engine, (struct rerank_item *)job);
}

static void rerank_close(struct tl_engine *base) {
    struct tl_rerank_engine_state *engine = engine_of(base);
    while (engine->jobs.first) {
        tl_llama_job_fail(engine->jobs.first, TL_ERR_CANCELLED, "the engine was closed before all hits were scored");
        finish_item(engine, (struct rerank_item *)engine->jobs.first);
    }
}

/* ---- computing ---- */

/* The template of the model file with its two places filled. Only the template's own text may
 * become special tokens. Cut at the end of the passage when it is too long. */
static void template_tokens(struct tl_rerank_engine_state *engine, struct tl_llama_job *job,
                            const struct tl_text *query, const struct tl_str *passage, struct tl_llama_tokens *out) {
    const struct llama_vocab *vocab = engine->encoder.vocab;
    const char *at = engine->pair_template;
    struct tl_llama_tokens tail = {0};
    bool passed = false; /* the passage: what follows it must not be cut off */
    size_t begin = out->count;
    while (*at) {
        struct tl_llama_tokens *to = passed ? &tail : out;
        const char *brace = strchr(at, '{');
        size_t literal = brace ? (size_t)(brace - at) : strlen(at);
        tl_llama_tokenize(vocab, at, literal, true, to);
        at += literal;
        if (tl_str_starts_with(at, "{query}")) {
            tl_llama_tokenize(vocab, query->data, query->length, false, to);
            at += strlen("{query}");
        } else if (tl_str_starts_with(at, "{document}")) {
            tl_llama_tokenize(vocab, passage->data, passage->length, false, to);
            at += strlen("{document}");
            passed = true;
        } else if (*at) {
            tl_llama_tokenize(vocab, at++, 1, true, to);
        }
    }
    size_t wanted = out->count - begin + tail.count, limit = engine->encoder.text_tokens;
    job->tokens_in += wanted;
    if (wanted > limit) {
        job->tokens_trimmed += wanted - limit;
        job->cut_texts++;
        if (tail.count > limit)
            tail.count = limit;
        out->count = begin + limit - tail.count;
    }
    tl_llama_tokens_append(out, tail.ids, tail.count);
    tl_llama_tokens_fini(&tail);
}

/* [CLS] question [SEP] passage [SEP], in the model's own special tokens; models of the XLM-RoBERTa
 * family (unigram vocabulary) have two between the texts. The question gets at most half. */
static void pair_tokens(struct tl_rerank_engine_state *engine, struct tl_llama_job *job, const struct tl_text *query,
                        const struct tl_str *passage, struct tl_llama_tokens *out) {
    const struct tl_llama_encoder *encoder = &engine->encoder;
    int separators = llama_vocab_type(encoder->vocab) == LLAMA_VOCAB_TYPE_UGM ? 2 : 1;
    size_t begin = out->count, limit = encoder->text_tokens, trimmed = 0;
    tl_llama_tokens_append(out, encoder->prefix.ids, encoder->prefix.count);
    tl_llama_tokenize(encoder->vocab, query->data, query->length, false, out);
    if (out->count - begin > limit / 2) {
        trimmed = out->count - begin - limit / 2;
        out->count = begin + limit / 2;
    }
    for (int i = 0; i < separators; i++)
        tl_llama_tokens_append(out, encoder->suffix.ids, encoder->suffix.count);
    tl_llama_tokenize(encoder->vocab, passage->data, passage->length, false, out);
    size_t total = out->count - begin + encoder->suffix.count;
    if (total > limit) {
        trimmed += total - limit;
        out->count -= total - limit;
    }
    tl_llama_tokens_append(out, encoder->suffix.ids, encoder->suffix.count);
    job->tokens_in += out->count - begin + trimmed;
    job->tokens_trimmed += trimmed;
    job->cut_texts += trimmed > 0;
}

static void text_tokens(void *context, struct tl_llama_job *job, size_t text, struct tl_llama_tokens *out) {
    struct tl_rerank_engine_state *engine = context;
    const struct rerank_item *held = (const struct rerank_item *)job;
    const struct tl_text *query = &job->item->inputs[1]->as.text;
    if (!engine->cross && text == 0) {
        tl_llama_encoder_frame(&engine->encoder, job, query->data, query->length, out);
        return;
    }
    struct tl_str passage = TL_STR_INIT;
    tl_llama_chunk_text(held->passages[held->text_passage[text]].chunk, &passage);
    if (!engine->cross)
        tl_llama_encoder_frame(&engine->encoder, job, passage.data, passage.length, out);
    else if (engine->pair_template)
        template_tokens(engine, job, query, &passage, out);
    else
        pair_tokens(engine, job, query, &passage, out);
    tl_str_fini(&passage);
}

/* Token vectors of the question or of a passage. The question comes first: it is text 0, and
 * calls deliver in the order in which they were packed. */
static void take_vectors(struct tl_rerank_engine_state *engine, struct rerank_item *held, size_t text,
                         const float *const *rows, size_t count) {
    size_t special = engine->encoder.prefix.count + engine->encoder.suffix.count;
    struct tl_llama_vectors *vectors = tl_llama_vectors_create(rows + engine->encoder.prefix.count, count - special,
                                                               engine->encoder.dimension);
    if (!vectors) {
        tl_llama_job_fail(&held->job, TL_ERR_NO_MEMORY, "out of memory for the token vectors of a passage");
        return;
    }
    if (text > 0) {
        struct passage *passage = &held->passages[held->text_passage[text]];
        passage->score = tl_llama_maxsim(held->query, vectors);
        tl_llama_vectors_cache_put(&engine->cache, passage->key, vectors);
        tl_llama_vectors_unref(vectors);
        return;
    }
    held->query = vectors;
    for (size_t i = 0; i < held->passage_count; i++) {
        struct passage *passage = &held->passages[i];
        if (!passage->cached)
            continue;
        passage->score = tl_llama_maxsim(vectors, passage->cached);
        tl_llama_vectors_unref(passage->cached);
        passage->cached = NULL;
    }
}

static void text_done(void *context, struct tl_llama_job *job, size_t text, const float *const *vectors, size_t count,
                      const char *failure) {
    struct tl_rerank_engine_state *engine = context;
    struct rerank_item *held = (struct rerank_item *)job;
    if (failure)
        tl_llama_job_fail(job, TL_ERR_ENGINE, failure);
    else if (job->status == TL_OK && engine->cross)
        held->passages[held->text_passage[text]].score = vectors[0][0];
    else if (job->status == TL_OK)
        take_vectors(engine, held, text, vectors, count);
    if (tl_llama_job_delivered(job))
        finish_item(engine, held);
}

static bool rerank_step(struct tl_engine *base) {
    struct tl_rerank_engine_state *engine = engine_of(base);
    const struct tl_llama_encoder_owner owner = {engine, text_tokens, text_done};
    tl_llama_encoder_step(&engine->encoder, &engine->jobs, &owner);
    return engine->jobs.first != NULL;
}

const struct tl_engine_ops tl_rerank_engine = {
    .type = "rerank",
    .description = "scores of passages against a question: late interaction or a cross-encoder, on this machine",
    .create = rerank_create,
    .open = rerank_open,
    .describe = rerank_describe,
    .memory = rerank_memory,
    .submit = rerank_submit,
    .step = rerank_step,
    .cancel = rerank_cancel,
    .close = rerank_close,
    .destroy = rerank_destroy,
};

/* emulated_engine.c: the emulated engine's contract: settings, the queue, batches and their time. */
#include <fcntl.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/mem.h"
#include "engine/emulated/emulated.h"
#include "engine/engines.h"
#include "engine/settings.h"

static struct emulated_engine *of(struct tl_engine *base) {
    return (struct emulated_engine *)base;
}

/* ---- settings ---- */

static const char *const served_names[] = {"documents", "embed", "rerank", "store", "llm", "web", "tool"};
static const enum tl_capability served[] = {TL_CAPABILITY_DOCUMENTS, TL_CAPABILITY_EMBED, TL_CAPABILITY_RERANK,
                                            TL_CAPABILITY_STORE,     TL_CAPABILITY_LLM,   TL_CAPABILITY_WEB,
                                            TL_CAPABILITY_TOOL};
#define SERVED_COUNT (sizeof served / sizeof served[0])

static enum tl_status read_serves(const json_t *serves, uint32_t *capabilities, struct tl_error *error) {
    if (!json_is_array(serves) || json_array_size(serves) == 0)
        return tl_error_set(error, TL_ERR_INVALID,
                            "engine type 'emulated': setting 'serves' must be a list such as [llm, embed]");
    *capabilities = 0;
    size_t index;
    json_t *value;
    json_array_foreach(serves, index, value) {
        const char *name = json_string_value(value);
        size_t at = 0;
        while (at < SERVED_COUNT && !(name && strcmp(name, served_names[at]) == 0))
            at++;
        if (at == SERVED_COUNT)
            return tl_error_set(error, TL_ERR_INVALID,
                                "engine type 'emulated': setting 'serves' has '%s'; expected documents, embed, rerank, "
                                "store, llm, web or tool",
                                name ? name : "?");
        *capabilities |= 1u << served[at];
    }
    return TL_OK;
}

static const struct emulated_settings rtx3090 = {
    .batch = 64,
    .sequences = 32,
    .iteration_tokens = 2048,
    .context_tokens = 4096,
    .kv_tokens = 24000,
    .host_tokens = 8000,
    .dimension = 64,
    .answer_tokens = 20,
    .list_tokens = 20,
    .document_chunks = 4,
    .collection_chunks = 64,
    .collection_words = 64,
    .scale = 1,
    .embed_ms = 25,
    .embed_token_ms = 0.1,
    .score_ms = 14,
    .score_token_ms = 0.017,
    .ingest_ms = 15,
    .ingest_row_ms = 0.5,
    .search_ms = 2,
    .search_query_ms = 1.3,
    .document_ms = 1,
    .web_ms = 350,
    .tool_ms = 200,
    .iteration_ms = 18,
    .prompt_token_ms = 0.24,
    .sequence_ms = 0.4,
    .preempt_margin = 10000,
    .prefix_cache = true,
};

static enum tl_status read_settings(struct emulated_settings *s, const json_t *settings, struct tl_error *error) {
    char *executor = tl_mem_strdup("device");
    const double most_ms = 1e6;
    /* clang-format off */
    const struct tl_setting table[] = {
        {.name = "executor", .text = &executor},
        {.name = "scale", .number = &s->scale, .minimum = 0, .maximum = 1000},
        {.name = "batch", .integer = &s->batch, .minimum = 1, .maximum = 65536},
        {.name = "sequences", .integer = &s->sequences, .minimum = 1, .maximum = 8192},
        {.name = "iteration_tokens", .integer = &s->iteration_tokens, .minimum = 1, .maximum = 1e6},
        {.name = "context_tokens", .integer = &s->context_tokens, .minimum = 1, .maximum = 1e7},
        {.name = "kv_tokens", .integer = &s->kv_tokens, .minimum = 1, .maximum = 1e9},
        {.name = "host_tokens", .integer = &s->host_tokens, .minimum = 0, .maximum = 1e9},
        {.name = "dimension", .integer = &s->dimension, .minimum = 1, .maximum = 8192},
        {.name = "answer_tokens", .integer = &s->answer_tokens, .minimum = 1, .maximum = 1e5},
        {.name = "list_tokens", .integer = &s->list_tokens, .minimum = 1, .maximum = 1e5},
        {.name = "list_spread", .integer = &s->list_spread, .minimum = 0, .maximum = 1000},
        {.name = "document_chunks", .integer = &s->document_chunks, .minimum = 1, .maximum = 1e5},
        {.name = "collection_chunks", .integer = &s->collection_chunks, .minimum = 0, .maximum = 1e5},
        {.name = "collection_words", .integer = &s->collection_words, .minimum = 1, .maximum = 1e5},
        {.name = "list_broken", .integer = &s->list_broken, .minimum = 0, .maximum = 1e9},
        {.name = "fail_every", .integer = &s->fail_every, .minimum = 0, .maximum = 1e9},
        {.name = "break_after", .integer = &s->break_after, .minimum = 0, .maximum = 1e9},
        {.name = "hang", .boolean = &s->hang},
        {.name = "wait_for", .text = &s->wait_for},
        {.name = "prefix_cache", .boolean = &s->prefix_cache},
        {.name = "preempt_margin", .number = &s->preempt_margin, .minimum = -1, .maximum = 1e15},
        {.name = "embed_ms", .number = &s->embed_ms, .maximum = most_ms},
        {.name = "embed_token_ms", .number = &s->embed_token_ms, .maximum = most_ms},
        {.name = "score_ms", .number = &s->score_ms, .maximum = most_ms},
        {.name = "score_token_ms", .number = &s->score_token_ms, .maximum = most_ms},
        {.name = "ingest_ms", .number = &s->ingest_ms, .maximum = most_ms},
        {.name = "ingest_row_ms", .number = &s->ingest_row_ms, .maximum = most_ms},
        {.name = "search_ms", .number = &s->search_ms, .maximum = most_ms},
        {.name = "search_query_ms", .number = &s->search_query_ms, .maximum = most_ms},
        {.name = "document_ms", .number = &s->document_ms, .maximum = most_ms},
        {.name = "web_ms", .number = &s->web_ms, .maximum = most_ms},
        {.name = "tool_ms", .number = &s->tool_ms, .maximum = most_ms},
        {.name = "iteration_ms", .number = &s->iteration_ms, .maximum = most_ms},
        {.name = "prompt_token_ms", .number = &s->prompt_token_ms, .maximum = most_ms},
        {.name = "sequence_ms", .number = &s->sequence_ms, .maximum = most_ms},
        {.name = "transfer_token_ms", .number = &s->transfer_token_ms, .maximum = most_ms},
    };
    /* clang-format on */
    json_t *scalars = json_copy((json_t *)settings);
    const json_t *serves = json_object_get(settings, "serves");
    json_object_del(scalars, "serves");
    enum tl_status status = tl_settings_read("emulated", scalars, table, sizeof table / sizeof table[0], error);
    json_decref(scalars);
    if (status == TL_OK && serves)
        status = read_serves(serves, &s->capabilities, error);
    if (s->kv_tokens < s->context_tokens) /* the longest prompt fits */
        s->kv_tokens = s->context_tokens;
    s->pool = strcmp(executor, "pool") == 0;
    if (status == TL_OK && !s->pool && strcmp(executor, "device") != 0)
        status =
            tl_error_set(error, TL_ERR_INVALID,
                         "engine type 'emulated': setting 'executor' is '%s', but must be device or pool", executor);
    tl_mem_free(executor);
    return status;
}

/* ---- life ---- */

static enum tl_status emulated_create(const char *name, const json_t *settings, struct tl_engine **out,
                                      struct tl_error *error) {
    struct emulated_settings read = rtx3090;
    for (size_t i = 0; i < SERVED_COUNT; i++)
        read.capabilities |= 1u << served[i];
    read.wait_for = tl_mem_strdup("");
    enum tl_status status = read_settings(&read, settings, error);
    if (status != TL_OK) {
        tl_mem_free(read.wait_for);
        return status;
    }
    struct emulated_engine *engine = tl_mem_zalloc(sizeof *engine);
    engine->base.ops = &tl_emulated_engine;
    engine->base.name = tl_mem_strdup(name);
    engine->settings = read;
    *out = &engine->base;
    return TL_OK;
}

static enum tl_status emulated_open(struct tl_engine *base, const struct tl_emit *emit, struct tl_error *error) {
    (void)error;
    of(base)->emit = emit;
    tl_emulated_llm_create(of(base));
    return TL_OK;
}

void tl_emulated_join(struct tl_engine *base, struct tl_emulated_world *world) {
    TL_ASSERT(base->ops == &tl_emulated_engine);
    of(base)->world = world;
}

static void emulated_describe(const struct tl_engine *base, struct tl_engine_description *description) {
    const struct emulated_settings *settings = &((const struct emulated_engine *)base)->settings;
    bool llm = settings->capabilities & (1u << TL_CAPABILITY_LLM);
    *description = (struct tl_engine_description){
        .capabilities = settings->capabilities,
        .executor = settings->pool ? TL_EXECUTOR_POOL : TL_EXECUTOR_DEVICE,
        .batch_units = (uint32_t)(llm && settings->sequences > settings->batch ? settings->sequences : settings->batch),
        .batch_tokens = llm ? (uint32_t)settings->iteration_tokens : 0,
        .sequences = llm ? (uint32_t)settings->sequences : 0,
        .context_tokens = llm ? (uint32_t)settings->context_tokens : 0,
        .dimension = settings->capabilities & (1u << TL_CAPABILITY_EMBED) ? (uint32_t)settings->dimension : 0,
        .streams = true,
        .keeps_kv = true,
        .keeps_prefixes = llm && settings->prefix_cache && settings->host_tokens > 0,
        .model = "emulated",
        .model_digest = "",
    };
}

static void emulated_destroy(struct tl_engine *base) {
    struct emulated_engine *engine = of(base);
    while (engine->collections) {
        struct emulated_collection *collection = engine->collections;
        engine->collections = collection->next;
        tl_emulated_collection_unref(collection);
    }
    tl_emulated_llm_destroy(engine);
    tl_mem_free(engine->settings.wait_for);
    tl_mem_free(engine->base.name);
    tl_mem_free(engine);
}

/* ---- items ---- */

void tl_emulated_finish(struct emulated_engine *engine, struct emulated_job *job, struct tl_value *output,
                        const struct tl_error *error) {
    const struct tl_emit *emit = engine->emit;
    if (output)
        emit->done(emit->context, job->item, &output, 1, &job->usage);
    else
        emit->fail(emit->context, job->item, error ? error->status : TL_ERR_NO_MEMORY,
                   error ? error->message : "no memory for the output");
    for (size_t i = 0; i < job->piece_count; i++)
        tl_value_unref(job->pieces[i]);
    tl_mem_free(job->pieces);
    tl_value_unref(job->formatted);
    tl_str_fini(&job->text);
    tl_mem_free(job);
}

static bool is_broken(const struct emulated_engine *engine) {
    int64_t after = engine->settings.break_after;
    return after > 0 && engine->submitted > (uint64_t)after;
}

/* Every nth, for tests; all when it is broken. */
static enum tl_status fail_on_purpose(struct emulated_engine *engine, struct tl_error *error) {
    int64_t every = engine->settings.fail_every;
    engine->submitted++;
    if (is_broken(engine))
        return tl_error_set(error, TL_ERR_ENGINE, "the emulated engine is broken (break_after: %lld)",
                            (long long)engine->settings.break_after);
    if (every == 0 || engine->submitted % (uint64_t)every != 0)
        return TL_OK;
    return tl_error_set(error, TL_ERR_ENGINE, "emulated failure of item %llu (fail_every: %lld)",
                        (unsigned long long)engine->submitted, (long long)every);
}

static void accept(struct emulated_engine *engine, struct tl_item *item) {
    struct tl_error error = {0};
    struct emulated_job *job = tl_mem_zalloc(sizeof *job);
    bool llm = tl_primitive_info(item->op)->capability == TL_CAPABILITY_LLM;
    tl_str_init(&job->text);
    job->item = item;
    enum tl_status status = fail_on_purpose(engine, &error);
    if (status == TL_OK)
        status = tl_emulated_measure(engine, job, &error);
    if (status == TL_OK && llm)
        status = tl_emulated_llm_submit(engine, job, &error);
    if (status != TL_OK) {
        tl_emulated_finish(engine, job, NULL, &error);
        return;
    }
    if (llm)
        return;
    struct emulated_job **link = &engine->first;
    while (*link && (*link)->item->rank >= item->rank)
        link = &(*link)->next;
    job->next = *link;
    *link = job;
}

static void emulated_submit(struct tl_engine *base, struct tl_item **items, size_t count) {
    for (size_t i = 0; i < count; i++)
        accept(of(base), items[i]);
}

static void unlink_job(struct emulated_job **link) {
    *link = (*link)->next;
}

static void emulated_cancel(struct tl_engine *base, struct tl_item *item) {
    struct emulated_engine *engine = of(base);
    if (tl_emulated_llm_cancel(engine, item))
        return;
    for (struct emulated_job **link = &engine->first; *link; link = &(*link)->next) {
        if ((*link)->item != item)
            continue;
        struct emulated_job *job = *link;
        struct tl_error error = {0};
        unlink_job(link);
        tl_error_set(&error, TL_ERR_CANCELLED, "cancelled");
        tl_emulated_finish(engine, job, NULL, &error);
        return;
    }
}

static void emulated_close(struct tl_engine *base) {
    struct emulated_engine *engine = of(base);
    while (engine->first)
        emulated_cancel(base, engine->first->item);
    tl_emulated_llm_clear(engine);
}

/* ---- batches ---- */

/* What of a job goes into the batch that is being formed; 0: nothing. */
static uint64_t share_of(const struct emulated_engine *engine, const struct emulated_job *job, enum tl_primitive op,
                         uint64_t taken) {
    if (job->item->op != op)
        return 0;
    uint64_t most = op == TL_OP_INGEST ? 4 * (uint64_t)engine->settings.batch : (uint64_t)engine->settings.batch;
    if (op == TL_OP_WEB_SEARCH || op == TL_OP_TOOL)
        return job->left;
    uint64_t free_units = most - taken, share = job->left < free_units ? job->left : free_units;
    return job->item->slice > 0 && share > job->item->slice ? job->item->slice : share;
}

static double batch_ms(const struct emulated_settings *s, enum tl_primitive op, uint64_t units, double tokens) {
    switch (op) {
    case TL_OP_EMBED: return s->embed_ms + s->embed_token_ms * tokens;
    case TL_OP_SCORE: return s->score_ms + s->score_token_ms * tokens;
    case TL_OP_INGEST: return s->ingest_ms + s->ingest_row_ms * (double)units;
    case TL_OP_SEARCH:
    case TL_OP_MATCH: return s->search_ms + s->search_query_ms * (double)units;
    case TL_OP_CHUNK: return s->document_ms * (double)units;
    case TL_OP_WEB_SEARCH: return s->web_ms;
    case TL_OP_TOOL: return s->tool_ms;
    default: return 0;
    }
}

static void sleep_until(uint64_t end) {
    for (uint64_t now; (now = tl_clock_now()) < end;) {
        struct timespec rest = {.tv_sec = (time_t)((end - now) / TL_NS_PER_S),
                                .tv_nsec = (long)((end - now) % TL_NS_PER_S)};
        nanosleep(&rest, NULL);
    }
}

static void spend(struct emulated_engine *engine, uint64_t begin, double ms) {
    uint64_t duration = (uint64_t)(ms * 1e6);
    engine->due = begin + duration;
    if (engine->world)
        engine->world->spend(engine->world->context, duration);
    else
        sleep_until(engine->due);
}

/* Longer pauses are not of threads that wake up late, and what is later than that stays late. */
static const uint64_t LONGEST_PAUSE = 5 * TL_NS_PER_MS, LATEST = 50 * TL_NS_PER_MS;

/* What goes on without a pause goes on from the time at which the last quantum was due: a text of a hundred iterations
 * is not a hundred times as late as threads are that wake up. */
static uint64_t quantum_begins(const struct emulated_engine *engine) {
    uint64_t now = tl_clock_now();
    bool goes_on = engine->left != 0 && now - engine->left < LONGEST_PAUSE && now - engine->due < LATEST;
    return goes_on ? engine->due : now;
}

static double price_of(const struct emulated_engine *engine, enum tl_primitive op, uint64_t units, double tokens) {
    const struct tl_emulated_world *world = engine->world;
    if (!world || !world->price)
        return engine->settings.scale * batch_ms(&engine->settings, op, units, tokens);
    struct tl_emulated_work work = {.op = op, .units = (uint32_t)units, .tokens = (uint32_t)(tokens + 0.5)};
    return world->price(world->context, &engine->base, &work, 1);
}

/* One batch of the first job's primitive. */
static void step_batch(struct emulated_engine *engine, enum tl_primitive op, uint64_t begin) {
    uint64_t units = 0;
    double tokens = 0;
    for (const struct emulated_job *job = engine->first; job; job = job->next) {
        uint64_t share = share_of(engine, job, op, units);
        units += share;
        tokens += job->units ? (double)job->tokens * (double)share / (double)job->units : 0;
    }
    spend(engine, begin, price_of(engine, op, units, tokens));
    uint64_t taken = 0;
    struct emulated_job **link = &engine->first;
    while (*link) {
        struct emulated_job *job = *link;
        uint64_t share = share_of(engine, job, op, taken);
        bool in_batch = share > 0 || (job->item->op == op && job->left == 0);
        taken += share;
        job->left -= share;
        if (in_batch && job->usage.batch_units < units)
            job->usage.batch_units = (uint32_t)units;
        if (!in_batch || job->left > 0) {
            link = &job->next;
            continue;
        }
        struct tl_error error = {.status = TL_ERR_NO_MEMORY, .message = "no memory for the output"};
        unlink_job(link);
        tl_emulated_finish(engine, job, tl_emulated_result(engine, job, &error), &error);
    }
}

/* Until whoever writes to that FIFO has closed it; not at all when there is none any more. */
static void wait_for(const char *path) {
    char byte;
    int file = *path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    while (read(file, &byte, 1) > 0)
        ;
    close(file);
}

static bool emulated_step(struct tl_engine *base) {
    struct emulated_engine *engine = of(base);
    if (!engine->world)
        wait_for(engine->settings.wait_for);
    if (engine->settings.hang)
        return false; /* nothing to compute until a cancel comes */
    uint64_t begin = engine->world ? 0 : quantum_begins(engine);
    if (tl_emulated_llm_holds(engine) && !(engine->first && engine->llm_was_last)) {
        double ms;
        if (tl_emulated_ahead_pass(engine, &ms)) {
            spend(engine, begin, ms);
        } else {
            spend(engine, begin, tl_emulated_llm_plan(engine));
            tl_emulated_llm_advance(engine);
        }
        engine->llm_was_last = true;
    } else if (engine->first) {
        step_batch(engine, engine->first->item->op, begin);
        engine->llm_was_last = false;
    }
    bool more = engine->first || tl_emulated_llm_holds(engine);
    engine->left = more && !engine->world ? tl_clock_now() : 0;
    if (is_broken(engine) && !more && !engine->told_broken && engine->emit->broken) {
        engine->told_broken = true;
        engine->emit->broken(engine->emit->context, "the emulated engine is broken");
    }
    return more;
}

const struct tl_engine_ops tl_emulated_engine = {
    .type = "emulated",
    .description = "latency models of any engine, with made-up but repeatable results",
    .create = emulated_create,
    .open = emulated_open,
    .describe = emulated_describe,
    .submit = emulated_submit,
    .step = emulated_step,
    .cancel = emulated_cancel,
    .close = emulated_close,
    .destroy = emulated_destroy,
};

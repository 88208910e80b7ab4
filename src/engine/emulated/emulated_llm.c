/* emulated_llm.c: the emulated LLM: engine/llm decides what is computed and kept; here is what an iteration takes.
 *
 * A token is four bytes of the prompt's canonical text, its id these bytes: prompts that begin alike have the same ids,
 * however they were cut into parts. KV is a number of tokens in each sequence, kept apart from the core's own books to
 * check them. All calls of a step are one iteration, those of decodes with a prompt (joined) and of further prompts.
 *
 * The iteration that ends a prefill gives the first token too: so the decode knows it when it is accepted, and begins
 * by feeding it. A kv value knows it as well, so a whole prompt that is just what its kv value has needs nothing; one
 * whose KV was there otherwise has its last token computed again, for the one after it. */
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "engine/emulated/emulated.h"
#include "engine/llm/handles.h"

/* Sequences in which nobody computes keep their KV as long as there is room in kv_tokens, one for each LEAST_KEPT of
 * them at most. */
#define LEAST_KEPT 64
#define MOST_IDLE 512

/* ---- KV ---- */

static void set_resident(struct emulated_llm *llm, uint32_t sequence, uint64_t tokens) {
    llm->tokens += tokens - llm->resident[sequence];
    llm->resident[sequence] = tokens;
}

static void *save(void *context, uint32_t sequence, size_t length, uint64_t *bytes) {
    struct emulated_llm *llm = context;
    TL_ASSERT(llm->resident[sequence] == length);
    llm->moved_ms += llm->transfer_token_ms * (double)length;
    *bytes = length;
    return llm; /* there is nothing to keep */
}

static bool load(void *context, uint32_t sequence, const void *saved, size_t length) {
    struct emulated_llm *llm = context;
    TL_ASSERT(llm->resident[sequence] == 0 && saved == llm);
    llm->moved_ms += llm->transfer_token_ms * (double)length;
    set_resident(llm, sequence, length);
    return true;
}

static void drop(void *context, void *saved) {
    TL_ASSERT(saved == context);
}

static bool trim(void *context, uint32_t sequence, size_t length) {
    struct emulated_llm *llm = context;
    TL_ASSERT(llm->resident[sequence] >= length);
    set_resident(llm, sequence, length);
    return true;
}

static bool share(void *context, uint32_t from, uint32_t to, size_t length) {
    struct emulated_llm *llm = context;
    TL_ASSERT(llm->resident[from] >= length && llm->resident[to] == 0);
    set_resident(llm, to, length);
    return true;
}

/* ---- life ---- */

void tl_emulated_llm_create(struct emulated_engine *engine) {
    const struct emulated_settings *s = &engine->settings;
    struct emulated_llm *llm = tl_mem_zalloc(sizeof *llm);
    uint64_t sequences = (uint64_t)s->sequences, idle = (uint64_t)s->kv_tokens / LEAST_KEPT;
    uint64_t rows = (uint64_t)s->iteration_tokens;
    const struct tl_llm_limits limits = {
        .sequences = (uint32_t)(sequences + (idle < MOST_IDLE ? idle : MOST_IDLE)),
        .running = (uint32_t)sequences,
        .context_tokens = (uint32_t)s->context_tokens,
        .cells = (uint64_t)s->kv_tokens,
        .call_tokens = (uint32_t)(rows + sequences),
        .chunk = (uint32_t)s->iteration_tokens,
        .chunk_least = 1,
        .cache_bytes = (uint64_t)s->host_tokens,
        .pin_bytes = s->prefix_cache ? (uint64_t)s->host_tokens : 0,
        .preempt_margin = s->preempt_margin,
        .held_only = !s->prefix_cache,
        .joined = true,
    };
    const struct tl_llm_storage storage = {llm, save, load, drop, trim, share};
    llm->core = tl_llm_create(&limits, &storage);
    llm->handles = tl_llm_handles_create(llm->core, engine, engine->world ? &engine->world->resources : NULL);
    llm->resident = tl_mem_zalloc(limits.sequences * sizeof *llm->resident);
    llm->transfer_token_ms = s->transfer_token_ms;
    engine->llm = llm;
}

void tl_emulated_llm_destroy(struct emulated_engine *engine) {
    struct emulated_llm *llm = engine->llm;
    if (!llm)
        return;
    tl_llm_handles_close(llm->handles);
    tl_llm_destroy(llm->core);
    tl_mem_free(llm->resident);
    tl_mem_free(llm->works);
    tl_mem_free(llm->ids);
    tl_mem_free(llm);
}

bool tl_emulated_llm_holds(const struct emulated_engine *engine) {
    return tl_llm_first(engine->llm->core) != NULL;
}

/* Its outcome; the job's request ends with it. */
static void finish(struct emulated_engine *engine, struct emulated_job *job, struct tl_value *output,
                   const struct tl_error *error) {
    if (job->request)
        tl_llm_end(engine->llm->core, job->request);
    tl_emulated_finish(engine, job, output, error);
}

bool tl_emulated_llm_cancel(struct emulated_engine *engine, const struct tl_item *item) {
    tl_emulated_ahead_pay(engine);
    struct tl_llm_request *request = tl_llm_first(engine->llm->core);
    while (request && item && ((struct emulated_job *)request->user)->item != item)
        request = request->next;
    if (!request)
        return false;
    struct tl_error error = {0};
    tl_error_set(&error, TL_ERR_CANCELLED, "cancelled");
    finish(engine, request->user, NULL, &error);
    return true;
}

void tl_emulated_llm_clear(struct emulated_engine *engine) {
    while (tl_emulated_llm_cancel(engine, NULL)) {
    }
    tl_llm_handles_drain(engine->llm->handles);
    tl_llm_clear(engine->llm->core, true);
}

/* ---- tokens ---- */

struct tokens {
    int32_t *ids;
    size_t count;
    size_t fixed; /* whole ones at the beginning that are static */
};

static struct tokens tokens_of(const struct tl_prompt *prompt) {
    struct tl_str text = TL_STR_INIT;
    size_t fixed = 0, bytes = 0;
    bool leading = true;
    for (size_t i = 0; i < prompt->count; i++)
        bytes += prompt->parts[i].length + sizeof "\n<0>\n";
    tl_str_reserve(&text, bytes);
    for (size_t i = 0; i < prompt->count; i++) {
        const struct tl_prompt_part *part = &prompt->parts[i];
        leading = leading && part->flags & TL_PART_STATIC;
        if (i == 0 || part->message != prompt->parts[i - 1].message)
            tl_str_printf(&text, "\n<%d>\n", (int)part->role);
        tl_str_append(&text, part->text, part->length);
        if (leading)
            fixed = text.length;
    }
    struct tokens tokens = {.count = (size_t)tl_tokens_of_bytes(text.length), .fixed = fixed / sizeof(int32_t)};
    tokens.ids = tl_mem_zalloc((tokens.count + 1) * sizeof *tokens.ids); /* the last one filled up with zeros */
    if (text.length > 0)
        memcpy(tokens.ids, text.data, text.length);
    tl_str_fini(&text);
    return tokens;
}

static const struct tl_llm_handle *prefix_of(const struct emulated_engine *engine, const struct tl_value *value) {
    bool own = value && value->as.kv.resource && value->as.kv.resource->owner == engine;
    return own ? tl_llm_handles_prefix(value->as.kv.resource) : NULL;
}

/* Without a prefix cache a prompt shares KV with nobody but those that its handle is given to. */
static uint64_t salt_of(struct emulated_engine *engine, const struct tl_item *item,
                        const struct tl_llm_handle *prefix) {
    if (!engine->settings.prefix_cache)
        return prefix ? prefix->salt : ++engine->llm->salts;
    return item->tenant && *item->tenant ? tl_hash_string(item->tenant, 0) : 0;
}

/* ---- items in ---- */

static bool is_decode(const struct emulated_job *job) {
    return job->item->op == TL_OP_DECODE || job->item->op == TL_OP_PARTIAL_DECODE;
}

static enum tl_status submit(struct emulated_engine *engine, struct emulated_job *job, const struct tl_llm_ask *asked,
                             struct tl_error *error) {
    struct tl_llm_ask ask = *asked;
    ask.user = job;
    ask.rank = job->item->rank;
    job->request = tl_llm_submit(engine->llm->core, &ask);
    if (job->request)
        return TL_OK;
    return tl_error_set(error, TL_ERR_LIMIT, "the prompt has %zu tokens, but the context holds %lld", ask.count,
                        (long long)engine->settings.context_tokens);
}

static enum tl_status submit_prefill(struct emulated_engine *engine, struct emulated_job *job,
                                     struct tl_error *error) {
    const struct tl_item *item = job->item;
    /* A prefix that another instance holds is as good as none: the whole prompt is here. */
    const struct tl_llm_handle *prefix = prefix_of(engine, item->input_count > 1 ? item->inputs[1] : NULL);
    struct tokens tokens = tokens_of(&item->inputs[0]->as.prompt);
    bool same = prefix && prefix->tokens.count == tokens.count &&
                memcmp(prefix->tokens.ids, tokens.ids, tokens.count * sizeof *tokens.ids) == 0;
    job->follows = same || tokens.count == 0 || item->op == TL_OP_PARTIAL_PREFILL;
    job->usage.units = 1;
    job->usage.tokens_in = tokens.count;
    enum tl_status status = submit(engine, job,
                                   &(struct tl_llm_ask){.ids = tokens.ids,
                                                        .count = tokens.count,
                                                        .pin = engine->settings.prefix_cache ? tokens.fixed : 0,
                                                        .open = true, /* all of it: the first token comes with it */
                                                        .salt = salt_of(engine, item, prefix)},
                                   error);
    tl_mem_free(tokens.ids);
    return status;
}

static void finish_decode(struct emulated_engine *engine, struct emulated_job *job) {
    struct tl_error error = {.status = TL_ERR_NO_MEMORY, .message = "no memory for the output"};
    job->usage.calls = job->request ? job->request->calls : 0;
    finish(engine, job, tl_emulated_written(engine, job, &error), &error);
}

/* Its first byte is in no text. */
int32_t tl_emulated_llm_id(const struct emulated_job *job, uint64_t written) {
    return (int32_t)(tl_hash_u64(job->hash, written) | 0xff);
}

static int32_t last_id(const struct emulated_job *job) {
    return tl_emulated_llm_id(job, job->usage.tokens_out - job->left);
}

static enum tl_status submit_decode(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error) {
    const struct tl_llm_handle *prefix = prefix_of(engine, job->item->inputs[0]);
    if (!prefix)
        return tl_error_set(error, TL_ERR_ENGINE, "the kv handle belongs to another engine");
    size_t count = prefix->tokens.count, context = (size_t)engine->settings.context_tokens;
    uint64_t most = (uint64_t)tl_attributes_integer(job->item->attributes, "max_tokens", 256);
    uint64_t room = context > count ? context - count : 1;
    most = most < room ? most : room;
    job->hash = tl_hash_bytes(prefix->tokens.ids, count * sizeof *prefix->tokens.ids,
                              (uint64_t)tl_attributes_integer(job->item->attributes, "seed", 0));
    enum tl_status status = tl_emulated_write_begin(engine, job, most, error);
    if (status != TL_OK)
        return status;
    if (job->left > 0 && !engine->settings.hang)
        tl_emulated_write_words(engine, job, 1);
    if (job->left == 0 && !engine->settings.hang) {
        job->usage.batch_units = 1;
        finish_decode(engine, job);
        return TL_OK;
    }
    /* What it goes on from: the prompt, whose KV is there, and the first token. */
    int32_t *ids = tl_mem_alloc((count + 1) * sizeof *ids);
    memcpy(ids, prefix->tokens.ids, count * sizeof *ids);
    ids[count] = last_id(job);
    const struct tl_llm_ask ask = {
        .ids = ids, .count = count + 1, .reserve = (size_t)most - 1, .decode = true, .salt = prefix->salt};
    status = submit(engine, job, &ask, error);
    tl_mem_free(ids);
    return status;
}

enum tl_status tl_emulated_llm_submit(struct emulated_engine *engine, struct emulated_job *job,
                                      struct tl_error *error) {
    tl_emulated_ahead_pay(engine);
    tl_llm_handles_drain(engine->llm->handles);
    return is_decode(job) ? submit_decode(engine, job, error) : submit_prefill(engine, job, error);
}

/* ---- an iteration ---- */

/* The job has part in this iteration. */
static void join(struct emulated_llm *llm, struct emulated_job *job) {
    llm->together += !job->active;
    job->active = true;
}

static void add_work(struct emulated_llm *llm, enum tl_primitive op, uint64_t tokens, uint64_t context) {
    llm->works = tl_mem_grow(llm->works, &llm->work_capacity, llm->work_count + 1, sizeof *llm->works);
    llm->works[llm->work_count++] =
        (struct tl_emulated_work){.op = op, .units = 1, .tokens = (uint32_t)tokens, .context = (uint32_t)context};
}

/* Prefills that found all of their prompt. Returns how many tokens are computed again. */
static uint64_t join_cached(struct emulated_engine *engine) {
    uint64_t again = 0, most = (uint64_t)engine->settings.iteration_tokens;
    for (struct tl_llm_request *request = tl_llm_first(engine->llm->core); request; request = request->next) {
        struct emulated_job *job = request->user;
        if (request->state != TL_LLM_FILLED || (!job->follows && again == most))
            continue;
        again += !job->follows;
        if (!job->follows)
            add_work(engine->llm, TL_OP_PREFILL, 1, request->prompt_count);
        join(engine->llm, job);
    }
    return again;
}

double tl_emulated_llm_ms(const struct emulated_engine *engine, uint64_t prompt, uint64_t sequences) {
    const struct emulated_settings *s = &engine->settings;
    const struct tl_emulated_world *world = engine->world;
    if (world && world->price)
        return world->price(world->context, &engine->base, engine->llm->works, engine->llm->work_count);
    return s->scale * (s->iteration_ms + s->prompt_token_ms * (double)prompt +
                       s->sequence_ms * (double)(sequences > 1 ? sequences - 1 : 0));
}

double tl_emulated_llm_plan(struct emulated_engine *engine) {
    struct emulated_llm *llm = engine->llm;
    tl_emulated_ahead_pay(engine);
    tl_llm_handles_drain(llm->handles);
    if (!tl_llm_arrange(llm->core))
        return 0;
    llm->together = 0;
    llm->work_count = 0;
    uint64_t prompt = join_cached(engine), sequences = 0, most = (uint64_t)engine->settings.iteration_tokens;
    struct tl_llm_call call;
    while (tl_llm_next_call(llm->core, &call)) {
        for (size_t i = 0; i < call.count; i++) {
            const struct tl_llm_range *range = &call.ranges[i];
            bool writes = range->writes;
            size_t count = writes || range->count <= most - prompt ? range->count : (size_t)(most - prompt);
            struct emulated_job *job = range->request->user;
            sequences += range->logits > 0;
            prompt += writes ? 0 : count;
            if (count == 0)
                continue;
            TL_ASSERT(range->first == llm->resident[range->sequence]);
            add_work(llm, writes ? TL_OP_DECODE : TL_OP_PREFILL, writes ? 0 : count, range->first);
            set_resident(llm, range->sequence, range->first + count);
            join(llm, job);
            job->writes = range->logits > 0;
            tl_llm_computed(llm->core, range->request, count);
        }
    }
    TL_ASSERT(llm->together > 0 && llm->tokens <= (uint64_t)engine->settings.kv_tokens);
    if (llm->tokens > llm->most)
        llm->most = llm->tokens;
    double ms = engine->settings.scale * llm->moved_ms;
    llm->moved_ms = 0;
    if (prompt > 0 || sequences > 0)
        ms += tl_emulated_llm_ms(engine, prompt, sequences);
    return ms;
}

static void finish_prefill(struct emulated_engine *engine, struct emulated_job *job) {
    const struct tl_llm_request *request = job->request;
    uint64_t tokens = request->prompt_count;
    job->usage.tokens_reused = request->reused == tokens && !job->follows ? tokens - 1 : request->reused;
    job->usage.tokens_computed = tokens - job->usage.tokens_reused;
    struct tl_resource *resource = tl_llm_handles_add(engine->llm->handles, request, NULL);
    finish(engine, job, tl_value_kv(resource, (uint32_t)tokens), NULL);
}

/* The token of this iteration, from a sequence that decodes. */
static void write_on(struct emulated_engine *engine, struct emulated_job *job) {
    job->writes = false;
    tl_emulated_write_words(engine, job, 1);
    if (job->left == 0) {
        finish_decode(engine, job);
        return;
    }
    const int32_t id = last_id(job);
    tl_llm_append(engine->llm->core, job->request, &id, 1, 0);
}

void tl_emulated_llm_advance(struct emulated_engine *engine) {
    struct emulated_llm *llm = engine->llm;
    for (struct tl_llm_request *request = tl_llm_first(llm->core), *next; request; request = next) {
        struct emulated_job *job = request->user;
        next = request->next;
        if (!job->active)
            continue;
        job->active = false;
        if (job->usage.batch_units < llm->together)
            job->usage.batch_units = llm->together;
        if (request->state == TL_LLM_FILLED)
            finish_prefill(engine, job);
        else if (job->writes)
            write_on(engine, job);
    }
    tl_emulated_ahead_look(engine);
}

void tl_emulated_get_kv(const struct tl_engine *base, struct tl_emulated_kv *kv) {
    struct emulated_engine *engine = (struct emulated_engine *)base;
    *kv = (struct tl_emulated_kv){.limit = (uint64_t)engine->settings.kv_tokens};
    if (!engine->llm)
        return;
    tl_emulated_ahead_pay(engine);
    tl_llm_handles_drain(engine->llm->handles);
    kv->work = tl_llm_count(engine->llm->core);
    kv->tokens = engine->llm->tokens;
    kv->most = engine->llm->most;
    kv->postponed = engine->llm->postponed;
}

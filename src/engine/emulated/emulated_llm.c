/* emulated_llm.c: the emulated LLM: prompts as canonical text, iterations, words by hash. */
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/emulated/emulated.h"

/* What a kv handle stands for: the prompt's text, in a form that does not depend on how it was cut into parts. */
struct emulated_kv {
    struct tl_resource resource; /* first */
    char *text;
    size_t length;
    struct tl_emulated_world *world; /* NULL: real time */
};

static void release_kv(struct tl_resource *resource) {
    struct emulated_kv *kv = (struct emulated_kv *)resource;
    if (kv->world)
        kv->world->resources--;
    tl_mem_free(kv->text);
    tl_mem_free(kv);
}

static void canonical(const struct tl_prompt *prompt, struct tl_str *out) {
    for (size_t i = 0; i < prompt->count; i++) {
        const struct tl_prompt_part *part = &prompt->parts[i];
        if (i == 0 || part->message != prompt->parts[i - 1].message)
            tl_str_printf(out, "\n<%d>\n", (int)part->role);
        tl_str_append(out, part->text, part->length);
    }
}

static const struct emulated_kv *kv_of(const struct emulated_engine *engine, const struct tl_value *value) {
    return value && value->as.kv.resource && value->as.kv.resource->owner == engine
               ? (const struct emulated_kv *)value->as.kv.resource
               : NULL;
}

static size_t common_prefix(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t length = a_length < b_length ? a_length : b_length, i = 0;
    while (i < length && a[i] == b[i])
        i++;
    return i;
}

/* The longest of the kept beginnings that this text has too, in bytes. */
static size_t kept_prefix(const struct emulated_engine *engine, const struct tl_str *text) {
    size_t longest = 0;
    for (size_t i = 0; i < engine->prefix_count; i++) {
        size_t length = strlen(engine->prefixes[i]);
        length = common_prefix(text->data, text->length, engine->prefixes[i], length);
        longest = length > longest ? length : longest;
    }
    return longest;
}

/* Keeps the static beginning of a prompt that has been computed. */
static void keep_prefix(struct emulated_engine *engine, const struct tl_prompt *prompt) {
    struct tl_prompt beginning = {.parts = prompt->parts};
    while (beginning.count < prompt->count && prompt->parts[beginning.count].flags & TL_PART_STATIC)
        beginning.count++;
    struct tl_str text = TL_STR_INIT;
    canonical(&beginning, &text);
    if (text.length > kept_prefix(engine, &text)) {
        engine->prefixes = tl_mem_grow(engine->prefixes, &engine->prefix_capacity, engine->prefix_count + 1,
                                       sizeof *engine->prefixes);
        engine->prefixes[engine->prefix_count++] = tl_str_detach(&text);
    }
    tl_str_fini(&text);
}

static enum tl_status start_prefill(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error) {
    const struct tl_item *item = job->item;
    /* A prefix that another instance holds is as good as none: the whole prompt is here. */
    const struct emulated_kv *kv = kv_of(engine, item->input_count > 1 ? item->inputs[1] : NULL);
    canonical(&item->inputs[0]->as.prompt, &job->text);
    uint64_t tokens = tl_emulated_tokens(job->text.length), reused = 0;
    if (tokens > (uint64_t)engine->settings.context_tokens)
        return tl_error_set(error, TL_ERR_LIMIT, "the prompt has %llu tokens, but the context holds %lld",
                            (unsigned long long)tokens, (long long)engine->settings.context_tokens);
    if (kv)
        reused = common_prefix(job->text.data, job->text.length, kv->text, kv->length) / 4;
    uint64_t kept = kept_prefix(engine, &job->text) / 4;
    if (kept > reused)
        reused = kept;
    job->usage.units = 1;
    job->usage.tokens_in = tokens;
    job->usage.tokens_reused = reused;
    job->usage.tokens_computed = tokens - reused;
    job->left = tokens - reused;
    return TL_OK;
}

/* How many items a list gets: as asked, give or take list_spread. */
static uint32_t items_of(const struct emulated_engine *engine, uint64_t hash, uint64_t asked) {
    uint64_t spread = (uint64_t)engine->settings.list_spread;
    uint64_t items = asked + (spread ? tl_hash_u64(hash, 9) % (2 * spread + 1) : 0);
    return (uint32_t)(items > spread ? items - spread : 0);
}

/* Whether the list breaks off. Follows from the prompt alone, like all else that is written. */
static bool is_broken(const struct emulated_engine *engine, uint64_t hash) {
    return engine->settings.list_broken && tl_hash_u64(hash, 10) % (uint64_t)engine->settings.list_broken == 0;
}

static enum tl_status start_decode(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error) {
    const struct tl_item *item = job->item;
    const struct emulated_kv *kv = kv_of(engine, item->inputs[0]);
    if (!kv)
        return tl_error_set(error, TL_ERR_ENGINE, "the kv handle belongs to another engine");
    uint64_t most = (uint64_t)tl_attributes_integer(item->attributes, "max_tokens", 256);
    bool list = strcmp(tl_attributes_string(item->attributes, "format", "text"), "list") == 0;
    job->hash = tl_hash_bytes(kv->text, kv->length, (uint64_t)tl_attributes_integer(item->attributes, "seed", 0));
    if (tl_attributes_find(item->attributes, "logprobs"))
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "an emulated model has no log probabilities");
    uint64_t tokens;
    enum tl_status status = tl_emulated_formatted(item->attributes, job->hash, &job->formatted, &tokens, error);
    if (status != TL_OK)
        return status;
    if (job->formatted) {
        job->usage.tokens_out = tokens < most ? tokens : most;
        job->usage.units = tl_value_units(job->formatted);
    } else if (list) {
        uint64_t words = (uint64_t)tl_attributes_integer(item->attributes, "item_tokens", 48);
        if (words > (uint64_t)engine->settings.list_tokens)
            words = (uint64_t)engine->settings.list_tokens;
        job->words = (uint32_t)(words ? words : 1);
        job->list_items = items_of(engine, job->hash, (uint64_t)tl_attributes_integer(item->attributes, "items", 3));
        while (job->list_items > 0 && (uint64_t)job->list_items * job->words > most)
            job->list_items--;
        job->list = true;
        job->broken = job->list_items > 0 && is_broken(engine, job->hash);
        if (job->broken)
            job->list_items = (uint32_t)(tl_hash_u64(job->hash, 11) % job->list_items);
        job->pieces = tl_mem_zalloc((job->list_items + 1) * sizeof(struct tl_value *));
        job->usage.tokens_out = (uint64_t)job->list_items * job->words + (job->broken ? (job->words + 1) / 2 : 0);
        job->usage.units = job->list_items;
    } else {
        uint64_t usual = (uint64_t)engine->settings.answer_tokens;
        job->words = (uint32_t)(most < usual ? most : usual);
        job->usage.tokens_out = job->words;
        job->usage.units = 1;
    }
    job->left = job->usage.tokens_out;
    return TL_OK;
}

static bool is_decode(const struct emulated_job *job) {
    return job->item->op == TL_OP_DECODE || job->item->op == TL_OP_PARTIAL_DECODE;
}

enum tl_status tl_emulated_llm_start(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error) {
    job->llm = true;
    return is_decode(job) ? start_decode(engine, job, error) : start_prefill(engine, job, error);
}

/* Writes the next word; a list's item becomes a piece with its last word. */
static void write_word(struct emulated_engine *engine, struct emulated_job *job) {
    uint64_t written = job->usage.tokens_out - job->left;
    size_t before = job->text.length;
    if (job->formatted) {
        job->left--;
        return;
    }
    tl_emulated_word(job->hash, written, job->text.length == 0, &job->text);
    job->left--;
    if (!job->list) {
        if (job->left == 0)
            tl_str_putc(&job->text, '.');
        if (job->item->stream)
            engine->emit->delta(engine->emit->context, job->item, job->text.data + before, job->text.length - before);
    } else if ((written + 1) % job->words == 0 && job->piece_count < job->list_items) {
        struct tl_value *piece = tl_value_text(job->text.data, job->text.length);
        job->pieces[job->piece_count++] = piece;
        if (job->item->pieces)
            engine->emit->piece(engine->emit->context, job->item, job->piece_count - 1, tl_value_ref(piece));
        tl_str_clear(&job->text);
    }
}

static struct tl_value *prefilled(struct emulated_engine *engine, struct emulated_job *job) {
    if (engine->settings.prefixes)
        keep_prefix(engine, &job->item->inputs[0]->as.prompt);
    struct emulated_kv *kv = tl_mem_zalloc(sizeof *kv);
    kv->resource.release = release_kv;
    kv->resource.owner = engine;
    kv->length = job->text.length;
    kv->text = tl_str_detach(&job->text);
    kv->world = engine->world;
    if (kv->world)
        kv->world->resources++;
    return tl_value_kv(&kv->resource, (uint32_t)job->usage.tokens_in);
}

static struct tl_value *decoded(struct emulated_engine *engine, struct emulated_job *job, struct tl_error *error) {
    struct tl_value *formatted = job->formatted;
    if (formatted) {
        bool pieces = job->item->pieces && formatted->type.depth > 0;
        for (size_t i = 0; pieces && i < formatted->as.list.count; i++)
            engine->emit->piece(engine->emit->context, job->item, i, tl_value_ref(formatted->as.list.items[i]));
        job->formatted = NULL;
        return formatted;
    }
    if (!job->list)
        return tl_value_text(job->text.data, job->text.length);
    if (job->broken && strcmp(tl_attributes_string(job->item->attributes, "on_error", "skip"), "fail") == 0) {
        tl_error_set(error, TL_ERR_ENGINE, "the list that the model wrote breaks off after %u whole items",
                     job->list_items);
        return NULL;
    }
    struct tl_value *list = tl_value_list(TL_TYPE_OF(TEXT, 0), job->pieces, job->piece_count);
    job->piece_count = 0; /* the list has the references now */
    return list;
}

static bool begins(const struct emulated_job *job) {
    return job->left == job->usage.tokens_out;
}

/* New prompt tokens that this iteration computes for each job are taken in the order of the list. */
double tl_emulated_llm_plan(struct emulated_engine *engine) {
    uint64_t prompt = 0, sequences = 0;
    for (struct emulated_job *job = engine->first; job; job = job->next) {
        if (!job->llm)
            continue;
        if (is_decode(job)) /* the first token came with the prefill */
            sequences += begins(job) ? job->left > 1 : job->left > 0;
        else
            prompt += job->left;
    }
    if (prompt > (uint64_t)engine->settings.iteration_tokens)
        prompt = (uint64_t)engine->settings.iteration_tokens;
    if (prompt == 0 && sequences == 0)
        return 0;
    return engine->settings.iteration_ms + engine->settings.prompt_token_ms * (double)prompt +
           engine->settings.sequence_ms * (double)(sequences > 1 ? sequences - 1 : 0);
}

void tl_emulated_llm_advance(struct emulated_engine *engine) {
    uint64_t budget = (uint64_t)engine->settings.iteration_tokens;
    uint32_t together = 0;
    for (struct emulated_job *job = engine->first; job; job = job->next)
        together += job->llm;
    struct emulated_job **link = &engine->first;
    while (*link) {
        struct emulated_job *job = *link;
        if (!job->llm) {
            link = &job->next;
            continue;
        }
        if (job->usage.batch_units < together)
            job->usage.batch_units = together;
        if (is_decode(job)) {
            bool first_too = begins(job);
            if (job->left > 0)
                write_word(engine, job);
            if (first_too && job->left > 0)
                write_word(engine, job);
        } else {
            uint64_t share = job->left < budget ? job->left : budget;
            job->left -= share;
            budget -= share;
        }
        if (job->left > 0) {
            link = &job->next;
            continue;
        }
        *link = job->next;
        struct tl_error error = {.status = TL_ERR_NO_MEMORY, .message = "no memory for the output"};
        tl_emulated_finish(engine, job, is_decode(job) ? decoded(engine, job, &error) : prefilled(engine, job), &error);
    }
}

/* emulated_write.c: what an emulated decode writes: words by a hash of the prompt, lists of them, forms. */
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "engine/emulated/emulated.h"

#define TOKEN_BYTES 4 /* a word and the space before it */

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

static void begin_list(struct emulated_engine *engine, struct emulated_job *job, uint64_t most) {
    const struct tl_attributes *attributes = job->item->attributes;
    uint64_t words = (uint64_t)tl_attributes_integer(attributes, "item_tokens", 48);
    if (words > (uint64_t)engine->settings.list_tokens)
        words = (uint64_t)engine->settings.list_tokens;
    job->words = (uint32_t)(words ? words : 1);
    job->list_items = items_of(engine, job->hash, (uint64_t)tl_attributes_integer(attributes, "items", 3));
    while (job->list_items > 0 && (uint64_t)job->list_items * job->words > most)
        job->list_items--;
    job->list = true;
    job->broken = job->list_items > 0 && is_broken(engine, job->hash);
    if (job->broken)
        job->list_items = (uint32_t)(tl_hash_u64(job->hash, 11) % job->list_items);
    job->pieces = tl_mem_zalloc((job->list_items + 1) * sizeof(struct tl_value *));
    job->usage.tokens_out = (uint64_t)job->list_items * job->words + (job->broken ? (job->words + 1) / 2 : 0);
    job->usage.units = job->list_items;
}

enum tl_status tl_emulated_write_begin(struct emulated_engine *engine, struct emulated_job *job, uint64_t most,
                                       struct tl_error *error) {
    const struct tl_attributes *attributes = job->item->attributes;
    if (tl_attributes_find(attributes, "logprobs"))
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "an emulated model has no log probabilities");
    uint64_t tokens;
    enum tl_status status = tl_emulated_formatted(attributes, job->hash, &job->formatted, &tokens, error);
    if (status != TL_OK)
        return status;
    if (job->formatted) {
        job->usage.tokens_out = tokens < most ? tokens : most;
        job->usage.units = tl_value_units(job->formatted);
    } else if (strcmp(tl_attributes_string(attributes, "format", "text"), "list") == 0) {
        begin_list(engine, job, most);
    } else {
        uint64_t usual = (uint64_t)engine->settings.answer_tokens;
        job->words = (uint32_t)(most < usual ? most : usual);
        tl_str_reserve(&job->text, (size_t)job->words * TOKEN_BYTES);
        job->usage.tokens_out = job->words;
        job->usage.units = 1;
    }
    job->left = job->usage.tokens_out;
    return TL_OK;
}

static void write_text(struct emulated_engine *engine, struct emulated_job *job, uint64_t written, uint64_t count) {
    size_t before = job->text.length;
    tl_emulated_words(job->hash, written, (size_t)count, &job->text);
    if (job->left == 0)
        tl_str_putc(&job->text, '.');
    if (job->item->stream)
        engine->emit->delta(engine->emit->context, job->item, job->text.data + before, job->text.length - before);
}

static void write_list_word(struct emulated_engine *engine, struct emulated_job *job, uint64_t written) {
    tl_emulated_words(job->hash, written, 1, &job->text);
    if ((written + 1) % job->words != 0 || job->piece_count == job->list_items)
        return;
    struct tl_value *piece = tl_value_text(job->text.data, job->text.length);
    job->pieces[job->piece_count++] = piece;
    if (job->item->pieces)
        engine->emit->piece(engine->emit->context, job->item, job->piece_count - 1, tl_value_ref(piece));
    tl_str_clear(&job->text);
}

void tl_emulated_write_words(struct emulated_engine *engine, struct emulated_job *job, uint64_t count) {
    uint64_t written = job->usage.tokens_out - job->left;
    job->left -= count;
    if (job->formatted)
        return;
    if (!job->list)
        write_text(engine, job, written, count);
    for (uint64_t i = 0; job->list && i < count; i++)
        write_list_word(engine, job, written + i);
}

uint64_t tl_emulated_write_unseen(const struct emulated_job *job) {
    uint64_t unseen = job->left - 1;
    if (job->formatted || !job->list || !job->item->pieces || job->piece_count == job->list_items)
        return unseen;
    uint64_t written = job->usage.tokens_out - job->left, piece = job->words - written % job->words - 1;
    return piece < unseen ? piece : unseen;
}

struct tl_value *tl_emulated_written(struct emulated_engine *engine, struct emulated_job *job,
                                     struct tl_error *error) {
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

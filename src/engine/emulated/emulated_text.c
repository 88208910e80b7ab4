/* emulated_text.c: texts and vectors that follow from their inputs alone. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/tokens.h"
#include "engine/emulated/emulated.h"

/* Three letters and a space: each is one token when it is read again, as it was when it was written. */
static const char *const words[] = {
    "ash", "bay", "cay", "den", "elm", "fen", "gap", "hut", "ice", "jet", "key", "lea", "mud", "nut", "oak", "pit",
    "ray", "sea", "tor", "urn", "vat", "web", "yew", "zoo", "arc", "bog", "cob", "dam", "eel", "fog", "gum", "hay",
    "ivy", "jar", "kit", "log", "map", "net", "orb", "peg", "rim", "sod", "tar", "vow", "wax", "yak", "zip", "ewe",
};

#define WORD_COUNT (sizeof words / sizeof words[0])

void tl_emulated_word(uint64_t hash, uint64_t n, bool first, struct tl_str *out) {
    const char *word = words[tl_hash_u64(hash + n, 1) % WORD_COUNT];
    tl_str_putc(out, first ? (char)toupper((unsigned char)word[0]) : ' ');
    tl_str_puts(out, first ? word + 1 : word);
}

/* Calls fn with the hash of each word, in lower case. */
static void each_word(const char *text, size_t length, void (*fn)(void *context, uint64_t hash), void *context) {
    char word[64];
    size_t used = 0;
    for (size_t i = 0; i <= length; i++) {
        unsigned char c = i < length ? (unsigned char)text[i] : ' ';
        if (isalnum(c) || c >= 0x80) {
            if (used < sizeof word)
                word[used++] = (char)tolower(c);
        } else if (used > 0) {
            fn(context, tl_hash_bytes(word, used, 7));
            used = 0;
        }
    }
}

struct bag {
    float *data;
    uint32_t dimension;
};

static void put_in_bag(void *context, uint64_t hash) {
    struct bag *bag = context;
    bag->data[hash % bag->dimension] += hash >> 63 ? 1.0f : -1.0f;
}

struct tl_value *tl_emulated_vector(const char *text, size_t length, uint32_t dimension) {
    struct bag bag = {tl_mem_zalloc(dimension * sizeof(float)), dimension};
    each_word(text, length, put_in_bag, &bag);
    double norm = 0;
    for (uint32_t i = 0; i < dimension; i++)
        norm += (double)bag.data[i] * (double)bag.data[i];
    if (norm <= 0) {
        bag.data[0] = 1;
        norm = 1;
    }
    for (uint32_t i = 0; i < dimension; i++)
        bag.data[i] = (float)((double)bag.data[i] / sqrt(norm));
    struct tl_value *value = tl_value_vector(bag.data, dimension);
    tl_mem_free(bag.data);
    return value;
}

double tl_emulated_dot(const struct tl_value *a, const struct tl_value *b) {
    double sum = 0;
    for (uint32_t i = 0; i < a->as.vector.dimension && i < b->as.vector.dimension; i++)
        sum += (double)a->as.vector.data[i] * (double)b->as.vector.data[i];
    return sum;
}

#define MOST_WORDS 512

struct word_set {
    uint64_t hashes[MOST_WORDS];
    size_t count;
};

static bool contains(const struct word_set *set, uint64_t hash) {
    for (size_t i = 0; i < set->count; i++)
        if (set->hashes[i] == hash)
            return true;
    return false;
}

static void put_in_set(void *context, uint64_t hash) {
    struct word_set *set = context;
    if (set->count < MOST_WORDS && !contains(set, hash))
        set->hashes[set->count++] = hash;
}

double tl_emulated_overlap(const char *query, size_t query_length, const char *text, size_t length) {
    struct word_set asked = {.count = 0}, there = {.count = 0};
    each_word(query, query_length, put_in_set, &asked);
    each_word(text, length, put_in_set, &there);
    size_t shared = 0;
    for (size_t i = 0; i < asked.count; i++)
        shared += contains(&there, asked.hashes[i]);
    return asked.count ? (double)shared / (double)asked.count : 0;
}

struct tl_value *tl_emulated_chunk(const char *uri, uint32_t ordinal, uint32_t count) {
    uint64_t hash = tl_hash_u64(ordinal, tl_hash_string(uri, 3));
    struct tl_str text = TL_STR_INIT, id = TL_STR_INIT;
    const uint32_t most = 64; /* a long passage goes on without words, which takes little time to make and to read */
    for (uint32_t i = 0; i < count && i < most; i++)
        tl_emulated_word(hash, i, i == 0, &text);
    for (uint32_t i = most; i < count; i++)
        tl_str_puts(&text, " ...");
    tl_str_putc(&text, '.');
    tl_str_printf(&id, "%016llx:%u", (unsigned long long)tl_hash_string(uri, 3), ordinal);
    struct tl_chunk chunk = {
        .id = id.data,
        .uri = uri,
        .title = uri,
        .heading = "",
        .text = text.data,
        .length = text.length,
        .begin = (uint64_t)ordinal * 1000,
        .end = (uint64_t)ordinal * 1000 + text.length,
        .ordinal = ordinal,
        .tokens = (uint32_t)tl_tokens_of_bytes(text.length),
    };
    struct tl_value *value = tl_value_chunk(&chunk);
    tl_str_fini(&text);
    tl_str_fini(&id);
    return value;
}

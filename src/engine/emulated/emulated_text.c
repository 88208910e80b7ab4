/* emulated_text.c: texts and vectors that follow from their inputs alone. */
#include <ctype.h>
#include <limits.h>
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
#define WORD_LETTERS 3

void tl_emulated_words(uint64_t hash, uint64_t n, size_t count, struct tl_str *out) {
    if (count == 0)
        return;
    tl_str_reserve(out, out->length + count * (1 + WORD_LETTERS));
    for (size_t i = 0; i < count; i++) {
        char *end = out->data + out->length;
        bool first = out->length == 0;
        *end = ' ';
        memcpy(end + !first, words[tl_hash_u64(hash + n + i, 1) % WORD_COUNT], WORD_LETTERS);
        if (first)
            *end = (char)toupper((unsigned char)*end);
        out->length += WORD_LETTERS + !first;
    }
    out->data[out->length] = '\0';
}

/* What a byte of a word is in lower case; 0: it is not of a word. Letters and digits are, and all that is not ASCII. */
#define IN(c, first, last) ((c) >= (first) && (c) <= (last))
#define LOWER(c) (IN(c, 'A', 'Z') ? (c) + ('a' - 'A') : IN(c, 'a', 'z') || IN(c, '0', '9') || (c) >= 0x80 ? (c) : 0)
#define LOWER_4(c) LOWER(c), LOWER((c) + 1), LOWER((c) + 2), LOWER((c) + 3)
#define LOWER_16(c) LOWER_4(c), LOWER_4((c) + 4), LOWER_4((c) + 8), LOWER_4((c) + 12)
#define LOWER_64(c) LOWER_16(c), LOWER_16((c) + 16), LOWER_16((c) + 32), LOWER_16((c) + 48)
static const unsigned char lower[UCHAR_MAX + 1] = {LOWER_64(0), LOWER_64(64), LOWER_64(128), LOWER_64(192)};

#define LONGEST_WORD 64

/* Calls fn with each word, in lower case; of long ones the beginning. Inlined, fn too: texts are read letter by letter. */
static inline __attribute__((always_inline)) void each_word(const char *text, size_t length,
                                                            void (*fn)(void *context, const char *word, size_t length),
                                                            void *context) {
    char word[LONGEST_WORD];
    size_t used = 0;
    for (size_t i = 0; i <= length; i++) {
        unsigned char c = i < length ? lower[(unsigned char)text[i]] : 0;
        if (c) {
            if (used < sizeof word)
                word[used++] = (char)c;
        } else if (used > 0) {
            fn(context, word, used);
            used = 0;
        }
    }
}

struct bag {
    float *data;
    uint32_t dimension;
};

static void put_in_bag(void *context, const char *word, size_t length) {
    struct bag *bag = context;
    uint64_t hash = tl_hash_bytes(word, length, 7);
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

/* A word as a number: of up to eight bytes itself, else its hash. */
static uint64_t number_of(const char *word, size_t length) {
    uint64_t number = 0;
    if (length > sizeof number)
        return tl_hash_bytes(word, length, 7);
    for (size_t i = 0; i < length; i++)
        number |= (uint64_t)(unsigned char)word[i] << (8 * i);
    return number;
}

static uint16_t *chain_of(struct emulated_asked *asked, uint64_t word) {
    return &asked->first[((word * UINT64_C(0x9e3779b97f4a7c15)) >> 32) % EMULATED_CHAINS];
}

/* 0: it is not there. */
static uint16_t place_of(const struct emulated_asked *asked, uint16_t first, uint64_t word) {
    uint16_t place = first;
    while (place && asked->words[place] != word)
        place = asked->next[place];
    return place;
}

static void ask(void *context, const char *word, size_t length) {
    struct emulated_asked *asked = context;
    uint64_t number = number_of(word, length);
    uint16_t *chain = chain_of(asked, number);
    if (asked->count == EMULATED_MOST_ASKED || place_of(asked, *chain, number))
        return;
    asked->words[++asked->count] = number;
    asked->found[asked->count] = 0;
    asked->next[asked->count] = *chain;
    *chain = (uint16_t)asked->count;
}

static void look_for(void *context, const char *word, size_t length) {
    struct emulated_asked *asked = context;
    uint64_t number = number_of(word, length);
    uint16_t place = place_of(asked, *chain_of(asked, number), number);
    if (!place || asked->found[place] == asked->text)
        return;
    asked->found[place] = asked->text;
    asked->shared++;
}

void tl_emulated_ask(struct emulated_asked *asked, const char *query, size_t length) {
    memset(asked->first, 0, sizeof asked->first);
    asked->count = 0;
    asked->text = 0;
    each_word(query, length, ask, asked);
}

double tl_emulated_overlap(struct emulated_asked *asked, const char *text, size_t length) {
    asked->text++;
    asked->shared = 0;
    each_word(text, length, look_for, asked);
    return asked->count ? (double)asked->shared / (double)asked->count : 0;
}

struct tl_value *tl_emulated_chunk(const char *uri, uint32_t ordinal, uint32_t count) {
    uint64_t hash = tl_hash_u64(ordinal, tl_hash_string(uri, 3));
    struct tl_str text = TL_STR_INIT, id = TL_STR_INIT;
    const uint32_t most = 64; /* a long passage goes on without words, which takes little time to make and to read */
    tl_emulated_words(hash, 0, count < most ? count : most, &text);
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

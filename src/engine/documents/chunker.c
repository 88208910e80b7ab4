/* chunker.c: a window of pieces moves over the text. Its tokens are summed piece by piece, each counted
 * once; since a tokenizer may count a whole a little differently from its parts, the chosen chunk is
 * counted as a whole, and made smaller in the rare case that it has too many. */
#include "engine/documents/chunker.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engine/documents/pieces.h"

#define HEADING_MAX 200        /* bytes of a heading that are kept */
#define BYTES_PER_TOKEN_MAX 32 /* more in a chunk of `size` tokens is white space or one endless word */
#define CACHE_SLOTS 4096       /* a power of two */

/* Tokens of a word seen before. Most words of a text have been, and counting one by a model's tokenizer
 * costs about a microsecond. Equal hash and length are taken for equal words: the final count of each
 * chunk does not depend on it. */
struct cached_count {
    uint64_t hash;
    uint32_t length, tokens;
};

struct tl_chunker {
    const struct tl_extracted *document;
    const char *uri;
    struct tl_chunking chunking;
    struct tl_piece_reader reader;
    struct tl_piece *pieces; /* the window: the overlap, then what comes next */
    size_t count, capacity;
    size_t overlap; /* pieces at its start that were in the former chunk */
    size_t mark;    /* first mark beyond the start of the last chunk */
    size_t heading; /* index + 1 of the mark whose text is in `heading_text`; 0: none */
    uint32_t ordinal;
    bool at_end; /* of the text: no more pieces to read */
    char id[16 + 1 + 10 + 1];
    char heading_text[HEADING_MAX + 1];
    struct cached_count cache[CACHE_SLOTS];
};

static size_t count_approximately(const void *context, const char *text, size_t length) {
    (void)context;
    size_t tokens = 0, word = 0; /* bytes of the word so far */
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c == ' ' || c == '\n' || c == '\t') {
            word = 0;
        } else if (c >= 0xe3 || (c < 0x80 && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9'))) {
            tokens++; /* an ideograph or an emoji, or a sign */
            word = 0;
            while (c >= 0xe3 && i + 1 < length && ((unsigned char)text[i + 1] & 0xc0) == 0x80)
                i++;
        } else if (word++ % 4 == 0) {
            tokens++;
        }
    }
    return tokens;
}

const struct tl_token_counter tl_token_counter_approximate = {count_approximately, NULL};

enum tl_status tl_chunking_check(int64_t size, int64_t overlap, struct tl_error *error) {
    if (size < TL_CHUNK_SIZE_MIN || size > TL_CHUNK_SIZE_MAX)
        return tl_error_set(error, TL_ERR_USAGE, "chunk size is %" PRId64 " tokens, expected %d to %d", size,
                            TL_CHUNK_SIZE_MIN, TL_CHUNK_SIZE_MAX);
    if (overlap < 0 || overlap >= size / 2)
        return tl_error_set(error, TL_ERR_USAGE,
                            "chunk overlap is %" PRId64 " tokens, expected 0 to less than half of the size of %" PRId64,
                            overlap, size);
    return TL_OK;
}

struct tl_chunker *tl_chunker_create(const struct tl_extracted *document, const char *uri,
                                     const struct tl_chunking *chunking) {
    struct tl_chunker *chunker = tl_mem_zalloc(sizeof *chunker);
    chunker->document = document;
    chunker->uri = uri;
    chunker->chunking = *chunking;
    chunker->reader.document = document;
    return chunker;
}

void tl_chunker_destroy(struct tl_chunker *chunker) {
    if (chunker == NULL)
        return;
    tl_mem_free(chunker->pieces);
    tl_mem_free(chunker);
}

static size_t count_tokens(const struct tl_chunker *chunker, size_t begin, size_t end) {
    return chunker->chunking.counter.count(chunker->chunking.counter.context, chunker->document->text + begin,
                                           end - begin);
}

static uint32_t count_piece(struct tl_chunker *chunker, const struct tl_piece *piece) {
    uint32_t length = (uint32_t)(piece->end - piece->begin);
    uint64_t hash = tl_hash_bytes(chunker->document->text + piece->begin, length, length);
    struct cached_count *slot = &chunker->cache[hash & (CACHE_SLOTS - 1)];
    if (slot->length != length || slot->hash != hash)
        *slot = (struct cached_count){hash, length, (uint32_t)count_tokens(chunker, piece->begin, piece->end)};
    return slot->tokens;
}

static void append_piece(struct tl_chunker *chunker, struct tl_piece piece) {
    piece.tokens = count_piece(chunker, &piece);
    chunker->pieces = tl_mem_grow(chunker->pieces, &chunker->capacity, chunker->count + 1, sizeof *chunker->pieces);
    chunker->pieces[chunker->count++] = piece;
}

/* Number of pieces at the start of the window that fit into `budget` tokens, and by bytes into any
 * chunk. Reads on until one does not fit or the text ends. */
static size_t fit(struct tl_chunker *chunker, size_t budget) {
    size_t tokens = 0, most_bytes = (size_t)chunker->chunking.size * BYTES_PER_TOKEN_MAX;
    for (size_t i = 0;; i++) {
        struct tl_piece next;
        if (i == chunker->count) {
            if (chunker->at_end || !tl_piece_next(&chunker->reader, &next)) {
                chunker->at_end = true;
                return i;
            }
            append_piece(chunker, next);
        }
        const struct tl_piece *piece = &chunker->pieces[i];
        tokens += piece->tokens;
        if (tokens > budget || piece->end - chunker->pieces[0].begin > most_bytes)
            return i;
    }
}

static void drop_pieces(struct tl_chunker *chunker, size_t count) {
    chunker->count -= count;
    memmove(chunker->pieces, chunker->pieces + count, chunker->count * sizeof *chunker->pieces);
}

/* What a border adds to the fullness (0 to 1) of the chunk that ends there: a sentence's end is better
 * than a word's unless the chunk gets half as full by it, a paragraph's than a sentence's unless it
 * costs 15% of the size, a heading's than a paragraph's likewise. */
static double worth(enum tl_border border) {
    switch (border) {
    case TL_BORDER_INSIDE:
        return -1;
    case TL_BORDER_WORD:
        return 0;
    case TL_BORDER_LINE:
        return 0.35;
    case TL_BORDER_SENTENCE:
        return 0.5;
    case TL_BORDER_PARAGRAPH:
        return 0.65;
    case TL_BORDER_HEADING:
        break;
    }
    return 0.8;
}

/* The best number of pieces for the chunk, more than the overlap and at most `most`. */
static size_t choose(const struct tl_chunker *chunker, size_t most) {
    if (most == chunker->count && chunker->at_end)
        return most;
    double best_worth = -2;
    size_t best = most, tokens = 0;
    for (size_t i = 0; i < most; i++) {
        tokens += chunker->pieces[i].tokens;
        if (i < chunker->overlap)
            continue;
        double value = (double)tokens / chunker->chunking.size + worth(chunker->pieces[i + 1].border);
        if (value >= best_worth) {
            best_worth = value;
            best = i + 1;
        }
    }
    return best;
}

/* A piece that alone has more tokens than a chunk may have becomes two; false when it is one character. */
static bool split_first(struct tl_chunker *chunker) {
    struct tl_piece first = chunker->pieces[0];
    const char *text = chunker->document->text + first.begin;
    size_t length = first.end - first.begin;
    size_t half = tl_utf8_border(text, length, length / 2);
    if (half == 0) {
        for (half = 1; half < length && ((unsigned char)text[half] & 0xc0) == 0x80;)
            half++;
        if (half == length)
            return false;
    }
    append_piece(chunker, first); /* makes room; its value is overwritten by the move */
    memmove(chunker->pieces + 1, chunker->pieces, (chunker->count - 1) * sizeof *chunker->pieces);
    chunker->pieces[0].end = first.begin + half;
    chunker->pieces[1].begin = first.begin + half;
    chunker->pieces[1].border = TL_BORDER_INSIDE;
    for (size_t i = 0; i < 2; i++)
        chunker->pieces[i].tokens = count_piece(chunker, &chunker->pieces[i]);
    return true;
}

/* Decides how many pieces the next chunk has; 0 at the end of the text. */
static size_t next_cut(struct tl_chunker *chunker, size_t *tokens) {
    size_t budget = chunker->chunking.size, most = SIZE_MAX;
    while (true) {
        size_t fitting = fit(chunker, budget);
        if (fitting > most)
            fitting = most;
        if (fitting <= chunker->overlap && most != SIZE_MAX && most > chunker->overlap)
            fitting = chunker->overlap + 1; /* the budget was cut by more than was needed */
        if (chunker->count == chunker->overlap)
            return 0; /* nothing but the overlap is left */
        if (fitting <= chunker->overlap && chunker->overlap > 0) {
            drop_pieces(chunker, chunker->overlap); /* no room for anything new after it */
            chunker->overlap = 0;
            budget = chunker->chunking.size;
            most = SIZE_MAX;
            continue;
        }
        bool single = false;
        if (fitting == 0) {
            single = !split_first(chunker);
            if (!single) {
                budget = chunker->chunking.size;
                most = SIZE_MAX;
                continue;
            }
        }
        size_t cut = single ? 1 : choose(chunker, fitting);
        *tokens = count_tokens(chunker, chunker->pieces[0].begin, chunker->pieces[cut - 1].end);
        if (*tokens <= chunker->chunking.size || single)
            return cut;
        size_t excess = *tokens - chunker->chunking.size;
        budget = budget > excess ? budget - excess : 0;
        most = cut - 1;
    }
}

/* How many of the last pieces of a chunk of `cut` pieces the next chunk begins with. */
static size_t choose_overlap(const struct tl_chunker *chunker, size_t cut) {
    if (chunker->pieces[cut].border == TL_BORDER_HEADING)
        return 0;
    size_t tokens = 0, sentence = cut, word = cut;
    for (size_t i = cut - 1; i > 0; i--) {
        tokens += chunker->pieces[i].tokens;
        if (tokens > chunker->chunking.overlap)
            break;
        if (chunker->pieces[i].border > TL_BORDER_WORD)
            sentence = i;
        if (chunker->pieces[i].border > TL_BORDER_INSIDE)
            word = i;
        if (chunker->pieces[i].border == TL_BORDER_HEADING)
            break;
    }
    size_t start = sentence < cut ? sentence : word;
    while (start < cut && (chunker->pieces[start].border == TL_BORDER_INSIDE ||
                           count_tokens(chunker, chunker->pieces[start].begin, chunker->pieces[cut - 1].end) >
                               chunker->chunking.overlap))
        start++;
    return cut - start;
}

/* The heading, or the page, that `begin` is under. */
static const char *heading_above(struct tl_chunker *chunker, size_t begin) {
    const struct tl_extracted *document = chunker->document;
    while (chunker->mark < document->mark_count && document->marks[chunker->mark].offset <= begin)
        chunker->mark++;
    if (chunker->mark == 0 || chunker->heading == chunker->mark)
        return chunker->heading_text;
    chunker->heading = chunker->mark;
    const struct tl_mark *mark = &document->marks[chunker->mark - 1];
    if (mark->level == 0) {
        snprintf(chunker->heading_text, sizeof chunker->heading_text, "page %u", (unsigned)mark->page);
        return chunker->heading_text;
    }
    const char *text = document->text + mark->offset;
    size_t length = mark->length < HEADING_MAX ? mark->length : tl_utf8_border(text, mark->length, HEADING_MAX);
    for (size_t i = 0; i < length; i++)
        chunker->heading_text[i] = text[i] == '\n' || text[i] == '\t' ? ' ' : text[i];
    chunker->heading_text[length] = '\0';
    return chunker->heading_text;
}

bool tl_chunker_next(struct tl_chunker *chunker, struct tl_chunk *chunk) {
    size_t tokens = 0, cut = next_cut(chunker, &tokens);
    if (cut == 0)
        return false;
    size_t begin = chunker->pieces[0].begin, end = chunker->pieces[cut - 1].end;
    snprintf(chunker->id, sizeof chunker->id, "%.16s:%" PRIu32, chunker->document->digest, chunker->ordinal);
    *chunk = (struct tl_chunk){
        .id = chunker->id,
        .uri = chunker->uri,
        .title = chunker->document->title,
        .heading = heading_above(chunker, begin),
        .text = chunker->document->text + begin,
        .length = end - begin,
        .begin = begin,
        .end = end,
        .ordinal = chunker->ordinal++,
        .tokens = (uint32_t)tokens,
    };
    chunker->overlap = cut < chunker->count ? choose_overlap(chunker, cut) : 0;
    drop_pieces(chunker, cut - chunker->overlap);
    return true;
}

/* chunker.h: cuts an extracted text into passages for retrieval, one at a time and in order, so that
 * memory does not grow with the document and time is linear in it.
 *
 * What holds for every chunk:
 *   - text == extracted[begin..end), which begins and ends with something other than white space and
 *     never lies inside a UTF-8 sequence
 *   - tokens, counted on the chunk as a whole, is at most `size` (unless a single character has more)
 *   - everything of the document but white space is in some chunk
 *   - it shares with the former chunk whole sentences, else whole words, of at most `overlap` tokens,
 *     and nothing across a heading
 *   - the same text and settings give the same chunks
 *
 * Where to cut: of all places that keep the chunk within `size`, the one with the best sum of how full
 * the chunk gets (0 to 1) and how good the border is: see `worth` in chunker.c. */
#ifndef TL_ENGINE_DOCUMENTS_CHUNKER_H
#define TL_ENGINE_DOCUMENTS_CHUNKER_H

#include "base/value.h"
#include "engine/documents/documents.h"

#define TL_CHUNK_SIZE 256
#define TL_CHUNK_OVERLAP 30
#define TL_CHUNK_SIZE_MIN 16
#define TL_CHUNK_SIZE_MAX 32768

/* Counts tokens of a text without special tokens. Called with whole UTF-8 sequences only. */
struct tl_token_counter {
    size_t (*count)(const void *context, const char *text, size_t length);
    const void *context;
};

/* About as most tokenizers count: one per 4 bytes of a word and one per ideograph. For when the
 * vocabulary of the embedding model is not at hand. */
extern const struct tl_token_counter tl_token_counter_approximate;

struct tl_chunking {
    uint32_t size;    /* most tokens of a chunk */
    uint32_t overlap; /* most tokens shared with the former chunk */
    struct tl_token_counter counter;
};

/* TL_ERR_USAGE with a sentence when size is out of range, or overlap not below half of size. */
enum tl_status tl_chunking_check(int64_t size, int64_t overlap, struct tl_error *error);

struct tl_chunker;

/* Borrows document and uri until destroy; copies chunking, which has passed the check. */
struct tl_chunker *tl_chunker_create(const struct tl_extracted *document, const char *uri,
                                     const struct tl_chunking *chunking);
void tl_chunker_destroy(struct tl_chunker *chunker); /* NULL is allowed */

/* The next chunk; false at the end. What it points to lives until the next call. */
bool tl_chunker_next(struct tl_chunker *chunker, struct tl_chunk *chunk);

#endif

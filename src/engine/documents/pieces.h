/* pieces.h: cuts a text into the pieces that chunks are made of: words, ideographs, and parts of words
 * that are too long. Between pieces lies nothing but white space; each knows what kind of border is
 * before it. */
#ifndef TL_ENGINE_DOCUMENTS_PIECES_H
#define TL_ENGINE_DOCUMENTS_PIECES_H

#include <stdbool.h>

#include "engine/documents/documents.h"

/* From worse to better places to cut. */
enum tl_border {
    TL_BORDER_INSIDE, /* of a word */
    TL_BORDER_WORD,
    TL_BORDER_LINE,
    TL_BORDER_SENTENCE,
    TL_BORDER_PARAGRAPH,
    TL_BORDER_HEADING,
};

#define TL_PIECE_BYTES 64 /* a piece has no more */

struct tl_piece {
    size_t begin, end;     /* bytes of the text */
    uint32_t tokens;       /* filled by the chunker */
    enum tl_border border; /* before it */
};

struct tl_piece_reader {
    const struct tl_extracted *document;
    size_t position;    /* end of the last piece */
    size_t next_mark;   /* first mark at or after it */
    size_t heading_end; /* end of the last heading begun */
    bool cut;           /* the last piece ended for its length, not at the end of a word */
};

/* The next piece; false at the end of the text. `tokens` is left 0. */
bool tl_piece_next(struct tl_piece_reader *reader, struct tl_piece *piece);

#endif

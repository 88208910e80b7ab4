/* writer.h: the extracted text under construction. Loaders say what they meet (text, a block
 * border, a heading, a list item); the writer keeps the invariants stated for struct
 * tl_extracted: no double spaces outside verbatim text, no control characters, one empty line
 * between blocks. Borders are remembered and written only when more text comes, so that empty
 * elements leave no trace.
 *
 * Input must be well-formed UTF-8 in whole sequences. The first failure (limit, memory) sticks:
 * later calls do nothing, `status` tells. */
#ifndef TL_ENGINE_DOCUMENTS_WRITER_H
#define TL_ENGINE_DOCUMENTS_WRITER_H

#include "engine/documents/documents.h"

#define TL_WRITER_LISTS 16 /* lists nested deeper are numbered as the last of these */

struct tl_writer_list {
    bool ordered;
    uint32_t number; /* of the next item */
};

struct tl_writer {
    char *data; /* owned */
    size_t length, capacity;
    size_t limit; /* most bytes of text */
    struct tl_mark *marks;
    size_t mark_count, mark_capacity;
    enum tl_status status;

    /* what must be written before the next text */
    unsigned newlines; /* 0 to 2: at least that many line ends */
    bool space, cell, bullet;
    uint8_t heading; /* level of a heading whose text has not begun */
    uint32_t page;   /* number of a page whose text has not begun; 0: none */

    size_t open_heading; /* index + 1 of the mark whose text is being written; 0: none */
    struct tl_writer_list lists[TL_WRITER_LISTS];
    size_t list_depth; /* may exceed TL_WRITER_LISTS */
};

void tl_writer_init(struct tl_writer *writer, size_t limit);
void tl_writer_fini(struct tl_writer *writer);

void tl_writer_text(struct tl_writer *writer, const char *data, size_t length);     /* white space collapses */
void tl_writer_verbatim(struct tl_writer *writer, const char *data, size_t length); /* spaces and line ends are kept */
void tl_writer_line(struct tl_writer *writer);                                      /* what follows begins a line */
void tl_writer_block(struct tl_writer *writer);                                     /* what follows begins a block */
void tl_writer_cell(struct tl_writer *writer); /* what follows is another cell of the row: a tab between them */
void tl_writer_heading_begin(struct tl_writer *writer, unsigned level);
void tl_writer_heading_end(struct tl_writer *writer);
void tl_writer_page(struct tl_writer *writer, uint32_t number); /* what follows is on this page */
void tl_writer_list_begin(struct tl_writer *writer, bool ordered, uint32_t first);
void tl_writer_list_end(struct tl_writer *writer);
void tl_writer_item(struct tl_writer *writer); /* "- " or "3. " before what follows */

/* Moves text and marks into *out (title and the rest are left alone) and empties the writer.
 * Returns the sticky status; TL_ERR_INVALID when no text was written. */
enum tl_status tl_writer_finish(struct tl_writer *writer, struct tl_extracted *out);

#endif

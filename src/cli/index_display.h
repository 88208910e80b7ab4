/* index_display.h: what `teola index` shows while it runs: a bar on a terminal, a line every ten seconds
 * elsewhere, a line per document with -v; and the skipped documents, kept for the end. */
#ifndef TL_CLI_INDEX_DISPLAY_H
#define TL_CLI_INDEX_DISPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "indexer/indexer.h"

struct tl_index_skip {
    char *uri, *reason; /* owned */
};

struct tl_index_display {
    bool terminal, quiet, verbose;
    bool open;            /* an unfinished line is on the terminal */
    uint64_t start, last; /* clock: of the run, of the last line */
    struct tl_index_skip *skips; /* at most 10,000; the report counts all */
    size_t skip_count, skip_capacity;
};

void tl_index_display_init(struct tl_index_display *display, bool quiet, bool verbose);
void tl_index_display_fini(struct tl_index_display *display);

/* The callbacks of struct tl_index_options, whose context is the display. */
void tl_index_display_progress(void *context, const struct tl_index_progress *progress);
void tl_index_display_event(void *context, enum tl_index_event event, const char *uri, const char *detail);

void tl_index_display_close_line(struct tl_index_display *display);
double tl_index_display_seconds(const struct tl_index_display *display); /* since the start */

/* Names the skipped documents on stderr, the first twenty of `total`. */
void tl_index_display_skips(const struct tl_index_display *display, uint64_t total);

#endif

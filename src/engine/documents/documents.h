/* documents.h: from a file's bytes to its text. Used by the documents engine, which cuts
 * documents given with a query, and by whoever fills a collection.
 *
 * Formats: plain text, Markdown, HTML, PDF; see docs/documents.md for what each keeps. All
 * input is untrusted: sizes are bounded before memory is taken, no loader recurses, time is
 * linear in the input, and PDF is read by a confined child process.
 *
 * A document that cannot be used is no failure of the caller's work: tl_document_is_skip
 * tells the statuses that mean "leave this one out and say why" from the others.
 * All functions may be called from several threads at once. */
#ifndef TL_ENGINE_DOCUMENTS_DOCUMENTS_H
#define TL_ENGINE_DOCUMENTS_DOCUMENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "teola/status.h"

enum tl_media {
    TL_MEDIA_TEXT,
    TL_MEDIA_MARKDOWN,
    TL_MEDIA_HTML,
    TL_MEDIA_PDF,
    TL_MEDIA_BINARY, /* none of the above: not read */
};

/* The type of a document: what `media_type` says ("text/html; charset=..."; NULL or unknown
 * to us: not given), else what the content's first bytes say, else the ending of the name,
 * else text or binary by content. A name or type alone never makes binary content text. */
enum tl_media tl_media_detect(const char *name, const char *media_type, const char *data, size_t length);
const char *tl_media_name(enum tl_media media); /* "text/markdown"; binary: "application/octet-stream" */

struct tl_document_limits {
    size_t max_bytes;      /* of a document, and of the text extracted from it */
    unsigned pdf_seconds;  /* time for pdftotext, of the clock and of the CPU */
    const char *pdftotext; /* path of the program; NULL: searched in PATH */
};

#define TL_DOCUMENT_MAX_BYTES ((size_t)256 << 20)
#define TL_DOCUMENT_PDF_SECONDS 30
#define TL_DOCUMENT_LIMITS_DEFAULT {TL_DOCUMENT_MAX_BYTES, TL_DOCUMENT_PDF_SECONDS, NULL}

/* A document before extraction. Everything is borrowed for the call. */
struct tl_document_source {
    const char *uri;        /* path, or the name of given bytes */
    const char *media_type; /* NULL: found out */
    const char *data;       /* NULL: read from the path `uri` */
    size_t length;
};

/* A place in the extracted text: a heading, or the start of a page. */
struct tl_mark {
    size_t offset;   /* of the heading's first byte, or of the page's */
    uint32_t length; /* of the heading's text; 0 for a page */
    uint32_t page;   /* number of the page, from 1; 0 for a heading */
    uint8_t level;   /* 1 to 6 for a heading; 0 for a page */
};

/* The text of a document. It is well-formed UTF-8 without control characters other than
 * '\n' and '\t'; lines end in '\n' without blanks before it; blocks (paragraphs, headings,
 * lists, code) are separated by exactly one empty line; it does not end with white space and
 * is never empty. */
struct tl_extracted {
    enum tl_media media;
    char *text; /* owned, NUL-terminated */
    size_t length;
    char *title;           /* owned; the document's own, else its file name; never empty */
    struct tl_mark *marks; /* owned; ascending offsets */
    size_t mark_count;
    size_t repaired;                 /* malformed bytes that became U+FFFD */
    char digest[TL_SHA256_HEX_SIZE]; /* SHA-256 of the document's bytes */
};

/* Reads a regular file whole: never blocks on a FIFO, never opens a device.
 * `*data` is owned (free), NUL-terminated beyond `*length`.
 * TL_ERR_NOT_FOUND, TL_ERR_IO (no permission, read error), TL_ERR_UNSUPPORTED (directory, FIFO,
 * socket, device), TL_ERR_LIMIT (larger than limits->max_bytes), TL_ERR_NO_MEMORY. */
enum tl_status tl_document_read(const char *path, const struct tl_document_limits *limits, char **data, size_t *length,
                                struct tl_error *error);

/* Extracts the text of one document. On failure *out holds nothing. Besides the statuses of
 * tl_document_read: TL_ERR_UNSUPPORTED (binary; no pdftotext), TL_ERR_LIMIT (too large, too
 * slow), TL_ERR_INVALID (empty, no text in it, broken or protected PDF). Messages name the uri. */
enum tl_status tl_document_extract(const struct tl_document_source *source, struct tl_extracted *out,
                                   const struct tl_document_limits *limits, struct tl_error *error);
void tl_extracted_fini(struct tl_extracted *extracted); /* zeroed or failed ones are allowed */

/* True for what concerns this document alone: leave it out, report the message, go on. */
bool tl_document_is_skip(enum tl_status status);

/* Writes `uri` for people into out: control characters and malformed bytes as \n, \t or \xHH, cut
 * with "..." when it does not fit (`size` is at least 8). Returns out. */
char *tl_document_print_uri(const char *uri, char *out, size_t size);

#endif

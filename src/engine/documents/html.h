/* html.h: the readable text of an HTML page, by libxml2's parser as a stream of events: no tree is
 * built, so memory is bounded by the text, and nothing of ours or of the parser's recurses.
 *
 * Left out: what is not text of the page (scripts, styles, templates, drawings, form controls),
 * what the page itself hides, and what repeats on every page of a site: <nav>, <footer>, the roles
 * and the class names listed in html_elements.c. A page that has no other text is read with them. */
#ifndef TL_ENGINE_DOCUMENTS_HTML_H
#define TL_ENGINE_DOCUMENTS_HTML_H

#include "base/str.h"
#include "engine/documents/writer.h"

/* `data` is well-formed UTF-8 without NULs. `title` gets the content of <title>, with white space
 * collapsed; it stays empty when there is none. TL_ERR_LIMIT: a tag with more attributes than any
 * page has; TL_ERR_NO_MEMORY. A failure of the writer is its own (sticky) matter. The message is
 * a clause without a subject. */
enum tl_status tl_html_extract(const char *data, size_t length, struct tl_writer *writer, struct tl_str *title,
                               struct tl_error *error);

/* The same for a piece of HTML inside other text: nothing is taken for a site's frame, <title> is
 * left out. */
enum tl_status tl_html_extract_fragment(const char *data, size_t length, struct tl_writer *writer,
                                        struct tl_error *error);

/* Appends the UTF-8 of a character reference, "&amp;", "&#228;" or "&#xe4;"; the reference itself
 * when it names no character. */
void tl_html_decode_reference(const char *reference, size_t length, struct tl_str *out);

/* What an element means for its text. */
enum tl_html_role {
    TL_HTML_INLINE, /* nothing: its text is part of the line */
    TL_HTML_SKIP,   /* never text */
    TL_HTML_SITE,   /* the same on every page of a site */
    TL_HTML_BLOCK,
    TL_HTML_LINE, /* begins a line: <br>, <tr>, <dt> */
    TL_HTML_CELL,
    TL_HTML_ITEM,
    TL_HTML_LIST,
    TL_HTML_ORDERED_LIST,
    TL_HTML_HEADING,
    TL_HTML_PRE,
    TL_HTML_SUPERSCRIPT, /* a power keeps its sign: 2^31 */
    TL_HTML_TITLE,
};

/* By name, in lower case; unknown elements are inline. */
enum tl_html_role tl_html_element_role(const char *name);

/* What attributes make of an element: TL_HTML_SKIP (hidden), TL_HTML_SITE, or TL_HTML_INLINE when
 * they say nothing. `attributes` is libxml2's array: name, value, ..., NULL; it may be NULL. */
enum tl_html_role tl_html_attribute_role(const unsigned char *const *attributes);

#endif

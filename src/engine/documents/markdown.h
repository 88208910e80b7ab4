/* markdown.h: the readable text of Markdown (GitHub's dialect), by md4c. Headings, lists, tables and code
 * keep their form as text; marks of emphasis and the targets of links go; HTML in it is read as HTML.
 * Front matter (between lines of "---" or "+++" at the start) is left out, its `title` is used. */
#ifndef TL_ENGINE_DOCUMENTS_MARKDOWN_H
#define TL_ENGINE_DOCUMENTS_MARKDOWN_H

#include "base/str.h"
#include "engine/documents/writer.h"

/* `data` is well-formed UTF-8 without NULs. `title` gets the front matter's title, if any. The
 * message is a clause without a subject. */
enum tl_status tl_markdown_extract(const char *data, size_t length, struct tl_writer *writer, struct tl_str *title,
                                   struct tl_error *error);

#endif

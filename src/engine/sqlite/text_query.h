/* text_query.h: what a person typed, as a query of SQLite's full-text search. */
#ifndef TL_ENGINE_SQLITE_TEXT_QUERY_H
#define TL_ENGINE_SQLITE_TEXT_QUERY_H

#include <stddef.h>

#include "base/str.h"

#define TL_TEXT_QUERY_WORDS_MAX 64 /* distinct words; what follows is ignored */

/* Appends the distinct words of the text, each in double quotes, joined by OR; English stop
 * words are left out unless nothing else is there. Whatever the text is, the result is a
 * valid FTS5 expression whose only operator is ours, or empty when the text has no word.
 * Returns the number of words. */
size_t tl_text_query(const char *text, size_t length, struct tl_str *out);

#endif

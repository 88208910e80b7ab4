/* utf8.h: UTF-8 borders and repair, over utf8proc. */
#ifndef TL_BASE_UTF8_H
#define TL_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* True when the bytes are well-formed UTF-8 (no surrogates, no overlong forms). */
bool tl_utf8_is_valid(const char *data, size_t length);

/* The largest n <= length such that data[0..n) does not end inside a sequence that
 * could still be completed: what can be passed on of a stream of bytes. */
size_t tl_utf8_complete_prefix(const char *data, size_t length);

/* The largest n <= offset that is the start of a sequence (or 0). */
size_t tl_utf8_border(const char *data, size_t length, size_t offset);

/* Whether a letter of any script stands in the text; malformed bytes are none. */
bool tl_utf8_has_letter(const char *data, size_t length);

/* Appends the text with each malformed byte replaced by U+FFFD; returns how many were. */
size_t tl_utf8_repair(const char *data, size_t length, struct tl_str *out);

#endif

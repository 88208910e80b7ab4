/* encoding.h: whatever a text file is encoded in becomes well-formed UTF-8. */
#ifndef TL_ENGINE_DOCUMENTS_ENCODING_H
#define TL_ENGINE_DOCUMENTS_ENCODING_H

#include <stdbool.h>
#include <stddef.h>

#include "teola/status.h"

/* Text in UTF-8: borrowed from the input where that already was, else owned. */
struct tl_utf8_text {
    const char *data;
    size_t length;
    char *owned;     /* NULL: data is borrowed */
    size_t repaired; /* malformed bytes or units that became U+FFFD */
};

/* Decides by byte order mark (UTF-8, UTF-16), then: contains NUL: binary; well-formed UTF-8:
 * that; else `charset` when it is one that web pages use and we know (NULL: none given), else
 * UTF-8 with its malformed bytes replaced, as long as they are few.
 * TL_ERR_UNSUPPORTED: binary, or neither UTF-8 nor declared; TL_ERR_NO_MEMORY. The message is
 * a clause without a subject: "is binary (...)". */
enum tl_status tl_encoding_to_utf8(const char *data, size_t length, const char *charset, struct tl_utf8_text *out,
                                   struct tl_error *error);
void tl_utf8_text_fini(struct tl_utf8_text *text);

/* True when the bytes begin with the byte order mark of UTF-16. */
bool tl_encoding_is_utf16(const char *data, size_t length);

/* The charset that an HTML page declares in its first 1024 bytes, in lower case, or "". */
void tl_encoding_html_charset(const char *data, size_t length, char out[32]);

#endif

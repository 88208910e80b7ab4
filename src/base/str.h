/* str.h: a growing byte string. Invariant: data is never NULL and data[length] == '\0'.
 * TL_STR_INIT or tl_str_init starts it; tl_str_fini frees it and leaves it initialised. */
#ifndef TL_BASE_STR_H
#define TL_BASE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

struct tl_str {
    char *data;
    size_t length;
    size_t capacity; /* 0: data points to a shared empty string */
};

extern char tl_str_empty[1];
#define TL_STR_INIT {tl_str_empty, 0, 0}

void tl_str_init(struct tl_str *str);
void tl_str_fini(struct tl_str *str);
void tl_str_clear(struct tl_str *str); /* length 0, memory kept */
void tl_str_reserve(struct tl_str *str, size_t capacity);
void tl_str_append(struct tl_str *str, const char *data, size_t length);
void tl_str_puts(struct tl_str *str, const char *text);
void tl_str_putc(struct tl_str *str, char c);
void tl_str_printf(struct tl_str *str, const char *format, ...) __attribute__((format(printf, 2, 3)));
void tl_str_vprintf(struct tl_str *str, const char *format, va_list args);
/* Appends `text` as a JSON string with its quotes; bytes that are not UTF-8 become U+FFFD. */
void tl_str_put_json(struct tl_str *str, const char *text, size_t length);
/* Appends `text` escaped for XML text and attributes. */
void tl_str_put_xml(struct tl_str *str, const char *text, size_t length);
void tl_str_truncate(struct tl_str *str, size_t length);
char *tl_str_detach(struct tl_str *str); /* returns owned; str becomes empty */

bool tl_str_starts_with(const char *text, const char *prefix);
bool tl_str_ends_with(const char *text, const char *suffix);

/* The candidate nearest to `name` by edit distance, or NULL when none is within
 * a third of the longer length: for "did you mean". */
const char *tl_str_nearest(const char *name, const char *const *candidates, size_t count);

#endif

#include "base/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Shared by all empty strings, never written: every writer reserves first. */
char tl_str_empty[1];

void tl_str_init(struct tl_str *str) {
    *str = (struct tl_str)TL_STR_INIT;
}

void tl_str_fini(struct tl_str *str) {
    if (str->capacity > 0)
        tl_mem_free(str->data);
    tl_str_init(str);
}

void tl_str_clear(struct tl_str *str) {
    tl_str_truncate(str, 0);
}

/* `capacity` counts bytes without the terminating NUL. */
void tl_str_reserve(struct tl_str *str, size_t capacity) {
    if (capacity == SIZE_MAX)
        TL_BUG("string of %zu bytes", capacity);
    if (capacity < str->capacity)
        return;
    bool fresh = str->capacity == 0;
    str->data = tl_mem_grow(fresh ? NULL : str->data, &str->capacity, capacity + 1, 1);
    if (fresh)
        str->data[0] = '\0';
}

void tl_str_append(struct tl_str *str, const char *data, size_t length) {
    if (length == 0)
        return;
    size_t total;
    if (__builtin_add_overflow(str->length, length, &total))
        TL_BUG("string of more than %zu bytes", SIZE_MAX);
    tl_str_reserve(str, total);
    memcpy(str->data + str->length, data, length);
    str->length = total;
    str->data[total] = '\0';
}

void tl_str_puts(struct tl_str *str, const char *text) {
    tl_str_append(str, text, strlen(text));
}

void tl_str_putc(struct tl_str *str, char c) {
    tl_str_append(str, &c, 1);
}

void tl_str_printf(struct tl_str *str, const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_str_vprintf(str, format, args);
    va_end(args);
}

void tl_str_vprintf(struct tl_str *str, const char *format, va_list args) {
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0)
        TL_BUG("format \"%s\" failed", format);
    size_t total;
    if (__builtin_add_overflow(str->length, (size_t)length, &total))
        TL_BUG("string of more than %zu bytes", SIZE_MAX);
    tl_str_reserve(str, total);
    vsnprintf(str->data + str->length, (size_t)length + 1, format, again);
    va_end(again);
    str->length = total;
}

void tl_str_put_json(struct tl_str *str, const char *text, size_t length) {
    struct tl_str repaired = TL_STR_INIT;
    if (!tl_utf8_is_valid(text, length)) {
        tl_utf8_repair(text, length, &repaired);
        text = repaired.data;
        length = repaired.length;
    }
    tl_str_putc(str, '"');
    size_t plain = 0; /* start of the run that needs no escape */
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f)
            continue;
        tl_str_append(str, text + plain, i - plain);
        plain = i + 1;
        switch (c) {
        case '"': tl_str_puts(str, "\\\""); break;
        case '\\': tl_str_puts(str, "\\\\"); break;
        case '\n': tl_str_puts(str, "\\n"); break;
        case '\r': tl_str_puts(str, "\\r"); break;
        case '\t': tl_str_puts(str, "\\t"); break;
        default: tl_str_printf(str, "\\u%04x", c); break;
        }
    }
    tl_str_append(str, text + plain, length - plain);
    tl_str_putc(str, '"');
    tl_str_fini(&repaired);
}

void tl_str_put_xml(struct tl_str *str, const char *text, size_t length) {
    struct tl_str repaired = TL_STR_INIT;
    if (!tl_utf8_is_valid(text, length)) {
        tl_utf8_repair(text, length, &repaired);
        text = repaired.data;
        length = repaired.length;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        switch (c) {
        case '&': tl_str_puts(str, "&amp;"); break;
        case '<': tl_str_puts(str, "&lt;"); break;
        case '>': tl_str_puts(str, "&gt;"); break;
        case '"': tl_str_puts(str, "&quot;"); break;
        case '\'': tl_str_puts(str, "&#39;"); break;
        default:
            /* XML 1.0 has no way to write the other control characters. */
            if (c < 0x20 && c != '\t' && c != '\n' && c != '\r')
                tl_str_puts(str, "\xEF\xBF\xBD");
            else
                tl_str_putc(str, (char)c);
        }
    }
    tl_str_fini(&repaired);
}

void tl_str_truncate(struct tl_str *str, size_t length) {
    if (length > str->length)
        TL_BUG("a string of %zu bytes cannot be cut to %zu", str->length, length);
    str->length = length;
    if (str->capacity > 0)
        str->data[length] = '\0';
}

char *tl_str_detach(struct tl_str *str) {
    char *data = str->capacity > 0 ? str->data : tl_mem_strndup("", 0);
    tl_str_init(str);
    return data;
}

bool tl_str_starts_with(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool tl_str_ends_with(const char *text, const char *suffix) {
    size_t length = strlen(text), tail = strlen(suffix);
    return tail <= length && memcmp(text + length - tail, suffix, tail) == 0;
}

#define NEAREST_MAX 64 /* longer names are not compared: nobody mistypes them by a few letters */

static size_t min_size(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Insertions, deletions, substitutions and swaps of neighbours (optimal string alignment). */
static size_t edit_distance(const char *a, size_t a_length, const char *b, size_t b_length) {
    size_t rows[3][NEAREST_MAX + 1];
    size_t *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_length; j++)
        before[j] = above[j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            size_t cost = above[j - 1] + (a[i - 1] != b[j - 1]);
            cost = min_size(cost, min_size(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost = min_size(cost, before[j - 2] + 1);
            row[j] = cost;
        }
        size_t *oldest = before;
        before = above;
        above = row;
        row = oldest;
    }
    return above[b_length];
}

const char *tl_str_nearest(const char *name, const char *const *candidates, size_t count) {
    size_t length = strlen(name);
    if (length > NEAREST_MAX)
        return NULL;
    const char *nearest = NULL;
    size_t best = SIZE_MAX;
    for (size_t i = 0; i < count; i++) {
        size_t candidate_length = strlen(candidates[i]);
        if (candidate_length > NEAREST_MAX)
            continue;
        size_t longer = length > candidate_length ? length : candidate_length;
        size_t distance = edit_distance(name, length, candidates[i], candidate_length);
        if (distance * 3 <= longer && distance < best) {
            best = distance;
            nearest = candidates[i];
        }
    }
    return nearest;
}

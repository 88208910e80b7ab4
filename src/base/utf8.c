#include "base/utf8.h"

#include <stdint.h>
#include <utf8proc.h>

/* Length of the well-formed sequence at data[0..length), 0 when there is none. */
static size_t sequence(const unsigned char *data, size_t length) {
    if (data[0] < 0x80)
        return 1;
    utf8proc_int32_t codepoint;
    utf8proc_ssize_t got = utf8proc_iterate(data, length < 4 ? (utf8proc_ssize_t)length : 4, &codepoint);
    return got > 0 ? (size_t)got : 0;
}

bool tl_utf8_is_valid(const char *data, size_t length) {
    const unsigned char *bytes = (const unsigned char *)data;
    size_t i = 0;
    while (i < length) {
        size_t step = sequence(bytes + i, length - i);
        if (step == 0)
            return false;
        i += step;
    }
    return true;
}

/* Length that the sequence with this first byte has, 0 when no sequence starts so. */
static size_t expected_length(unsigned char first) {
    if (first < 0x80)
        return 1;
    if (first >= 0xC2 && first <= 0xDF)
        return 2;
    if ((first & 0xF0) == 0xE0)
        return 3;
    if (first >= 0xF0 && first <= 0xF4)
        return 4;
    return 0;
}

static bool is_continuation(unsigned char c) {
    return (c & 0xC0) == 0x80;
}

/* Whether bytes[0..count), a first byte and continuation bytes, begin some well-formed
 * sequence of more than `count` bytes. The second byte decides (Unicode table 3-7). */
static bool can_be_completed(const unsigned char *bytes, size_t count) {
    if (expected_length(bytes[0]) <= count)
        return false;
    if (count < 2)
        return true;
    switch (bytes[0]) {
    case 0xE0: return bytes[1] >= 0xA0;
    case 0xED: return bytes[1] <= 0x9F;
    case 0xF0: return bytes[1] >= 0x90;
    case 0xF4: return bytes[1] <= 0x8F;
    default: return true;
    }
}

size_t tl_utf8_complete_prefix(const char *data, size_t length) {
    const unsigned char *bytes = (const unsigned char *)data;
    for (size_t back = 1; back <= 3 && back <= length; back++) {
        const unsigned char *first = bytes + length - back;
        if (is_continuation(*first))
            continue;
        return can_be_completed(first, back) ? length - back : length;
    }
    return length;
}

bool tl_utf8_has_letter(const char *data, size_t length) {
    const unsigned char *bytes = (const unsigned char *)data;
    for (size_t i = 0; i < length; i++) {
        utf8proc_int32_t character;
        if (utf8proc_iterate(bytes + i, (utf8proc_ssize_t)(length - i), &character) <= 0)
            continue;
        utf8proc_category_t category = utf8proc_category(character);
        if (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO)
            return true;
    }
    return false;
}

size_t tl_utf8_border(const char *data, size_t length, size_t offset) {
    const unsigned char *bytes = (const unsigned char *)data;
    if (offset >= length)
        return length;
    for (size_t back = 1; back <= 3 && back <= offset && is_continuation(bytes[offset]); back++) {
        size_t start = offset - back;
        if (is_continuation(bytes[start]))
            continue;
        /* A stray continuation byte is a (malformed) sequence of its own. */
        return sequence(bytes + start, length - start) > back ? start : offset;
    }
    return offset;
}

size_t tl_utf8_repair(const char *data, size_t length, struct tl_str *out) {
    const unsigned char *bytes = (const unsigned char *)data;
    size_t replaced = 0, plain = 0, i = 0;
    while (i < length) {
        size_t step = sequence(bytes + i, length - i);
        if (step > 0) {
            i += step;
            continue;
        }
        tl_str_append(out, data + plain, i - plain);
        tl_str_puts(out, "\xEF\xBF\xBD");
        replaced++;
        plain = ++i;
    }
    tl_str_append(out, data + plain, length - plain);
    return replaced;
}

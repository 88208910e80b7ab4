/* encoding.c: see encoding.h. iconv is asked for a fixed set of charsets only: its rarer
 * converters have a history of defects that input must not be able to reach. */
#include "engine/documents/encoding.h"

#include <errno.h>
#include <iconv.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "base/error.h"
#include "base/utf8.h"

/* More than one malformed byte in this many is no UTF-8 text with a few broken places. */
#define MALFORMED_SHARE 8

/* Labels as web pages write them, and the charset that browsers take each for. */
static const struct {
    const char *label, *charset;
} charsets[] = {
    {"ascii", "WINDOWS-1252"},
    {"us-ascii", "WINDOWS-1252"},
    {"iso-8859-1", "WINDOWS-1252"},
    {"iso8859-1", "WINDOWS-1252"},
    {"latin1", "WINDOWS-1252"},
    {"windows-1252", "WINDOWS-1252"},
    {"cp1252", "WINDOWS-1252"},
    {"iso-8859-2", "ISO-8859-2"},
    {"iso-8859-3", "ISO-8859-3"},
    {"iso-8859-4", "ISO-8859-4"},
    {"iso-8859-5", "ISO-8859-5"},
    {"iso-8859-6", "ISO-8859-6"},
    {"iso-8859-7", "ISO-8859-7"},
    {"iso-8859-8", "ISO-8859-8"},
    {"iso-8859-9", "WINDOWS-1254"},
    {"iso-8859-10", "ISO-8859-10"},
    {"iso-8859-13", "ISO-8859-13"},
    {"iso-8859-14", "ISO-8859-14"},
    {"iso-8859-15", "ISO-8859-15"},
    {"iso-8859-16", "ISO-8859-16"},
    {"windows-1250", "WINDOWS-1250"},
    {"windows-1251", "WINDOWS-1251"},
    {"windows-1253", "WINDOWS-1253"},
    {"windows-1254", "WINDOWS-1254"},
    {"windows-1255", "WINDOWS-1255"},
    {"windows-1256", "WINDOWS-1256"},
    {"windows-1257", "WINDOWS-1257"},
    {"windows-1258", "WINDOWS-1258"},
    {"koi8-r", "KOI8-R"},
    {"koi8-u", "KOI8-U"},
    {"macintosh", "MACINTOSH"},
    {"shift_jis", "CP932"},
    {"shift-jis", "CP932"},
    {"sjis", "CP932"},
    {"euc-jp", "EUC-JP"},
    {"gb2312", "GB18030"},
    {"gbk", "GB18030"},
    {"gb18030", "GB18030"},
    {"big5", "BIG5"},
    {"euc-kr", "CP949"},
};

static const char replacement[] = "\xef\xbf\xbd";

static const char *find_charset(const char *label) {
    for (size_t i = 0; label != NULL && i < sizeof charsets / sizeof charsets[0]; i++)
        if (strcasecmp(label, charsets[i].label) == 0)
            return charsets[i].charset;
    return NULL;
}

bool tl_encoding_is_utf16(const char *data, size_t length) {
    return length >= 2 && (memcmp(data, "\xff\xfe", 2) == 0 || memcmp(data, "\xfe\xff", 2) == 0);
}

static enum tl_status no_memory(struct tl_error *error, size_t bytes) {
    return tl_error_set(error, TL_ERR_NO_MEMORY, "needs %zu bytes of memory that are not there", bytes);
}

static size_t put_code_point(char *out, uint32_t c) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | (c >> 6));
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | (c >> 12));
        out[1] = (char)(0x80 | ((c >> 6) & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | (c >> 18));
    out[1] = (char)(0x80 | ((c >> 12) & 0x3f));
    out[2] = (char)(0x80 | ((c >> 6) & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static uint32_t utf16_unit(const unsigned char *data, bool little) {
    return little ? (uint32_t)(data[0] | data[1] << 8) : (uint32_t)(data[0] << 8 | data[1]);
}

/* Lone surrogates and an odd last byte become U+FFFD. NUL characters are binary here too. */
static enum tl_status from_utf16(const char *data, size_t length, struct tl_utf8_text *out, struct tl_error *error) {
    const unsigned char *bytes = (const unsigned char *)data;
    bool little = bytes[0] == 0xff;
    size_t room = length / 2 * 3 + 4; /* a unit becomes at most 3 bytes */
    char *text = malloc(room);
    if (text == NULL)
        return no_memory(error, room);
    size_t used = 0, repaired = 0, i = 2;
    for (; i + 1 < length; i += 2) {
        uint32_t c = utf16_unit(bytes + i, little);
        if (c == 0) {
            free(text);
            return tl_error_set(error, TL_ERR_UNSUPPORTED, "is binary (UTF-16 mark, but a NUL character at byte %zu)",
                                i);
        }
        if (c >= 0xd800 && c < 0xe000) {
            uint32_t low = c < 0xdc00 && i + 3 < length ? utf16_unit(bytes + i + 2, little) : 0;
            if (low >= 0xdc00 && low < 0xe000) {
                c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
                i += 2;
            } else {
                c = 0xfffd;
                repaired++;
            }
        }
        used += put_code_point(text + used, c);
    }
    if (i < length) {
        used += put_code_point(text + used, 0xfffd);
        repaired++;
    }
    *out = (struct tl_utf8_text){text, used, text, repaired};
    return TL_OK;
}

static enum tl_status from_charset(const char *data, size_t length, const char *charset, struct tl_utf8_text *out,
                                   struct tl_error *error) {
    iconv_t converter = iconv_open("UTF-8", charset);
    if (converter == (iconv_t)-1)
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "is encoded in %s, which this system's iconv does not know",
                            charset);
    size_t room = length * 4 + 4; /* no character of these charsets takes more than 4 bytes in UTF-8 */
    char *text = malloc(room);
    if (text == NULL) {
        iconv_close(converter);
        return no_memory(error, room);
    }
    char *in = (char *)data, *end = text;
    size_t in_left = length, room_left = room, repaired = 0;
    while (in_left > 0 && iconv(converter, &in, &in_left, &end, &room_left) == (size_t)-1) {
        if (errno == E2BIG || in_left == 0 || room_left < 4)
            break;
        memcpy(end, replacement, 3);
        end += 3;
        room_left -= 3;
        in++;
        in_left--;
        repaired++;
    }
    iconv_close(converter);
    *out = (struct tl_utf8_text){text, (size_t)(end - text), text, repaired};
    return TL_OK;
}

/* Length of the well-formed sequence that begins at data[0..length); 0 when none does. */
static size_t sequence(const char *data, size_t length) {
    if ((unsigned char)data[0] < 0x80)
        return 1;
    utf8proc_int32_t c;
    utf8proc_ssize_t size =
        utf8proc_iterate((const utf8proc_uint8_t *)data, length < 4 ? (utf8proc_ssize_t)length : 4, &c);
    return size > 0 ? (size_t)size : 0;
}

/* As tl_utf8_repair, but counts first: a document with too much to repair costs no memory, and
 * one that is too large for the memory fails alone. */
static enum tl_status repair(const char *data, size_t length, struct tl_utf8_text *out, struct tl_error *error) {
    size_t malformed = 0;
    for (size_t i = 0, size; i < length; i += size > 0 ? size : 1)
        malformed += (size = sequence(data + i, length - i)) == 0;
    if (malformed > length / MALFORMED_SHARE + 1)
        return tl_error_set(error, TL_ERR_UNSUPPORTED,
                            "is no UTF-8 text (%zu of its %zu bytes are malformed): if it is text, convert it first, "
                            "for example with iconv -f ISO-8859-1 -t UTF-8",
                            malformed, length);
    size_t room = length + 2 * malformed + 1;
    char *text = malloc(room);
    if (text == NULL)
        return no_memory(error, room);
    size_t used = 0;
    for (size_t i = 0, size; i < length; i += size > 0 ? size : 1) {
        size = sequence(data + i, length - i);
        memcpy(text + used, size > 0 ? data + i : replacement, size > 0 ? size : 3);
        used += size > 0 ? size : 3;
    }
    *out = (struct tl_utf8_text){text, used, text, malformed};
    return TL_OK;
}

enum tl_status tl_encoding_to_utf8(const char *data, size_t length, const char *charset, struct tl_utf8_text *out,
                                   struct tl_error *error) {
    *out = (struct tl_utf8_text){0};
    if (tl_encoding_is_utf16(data, length))
        return from_utf16(data, length, out, error);
    if (length >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0) {
        data += 3;
        length -= 3;
    }
    const char *nul = memchr(data, '\0', length);
    if (nul != NULL)
        return tl_error_set(error, TL_ERR_UNSUPPORTED, "is binary (a NUL at byte %zu)", (size_t)(nul - data));
    if (tl_utf8_is_valid(data, length)) {
        *out = (struct tl_utf8_text){data, length, NULL, 0};
        return TL_OK;
    }
    const char *known = find_charset(charset);
    if (known != NULL)
        return from_charset(data, length, known, out, error);
    return repair(data, length, out, error);
}

void tl_utf8_text_fini(struct tl_utf8_text *text) {
    free(text->owned);
    *text = (struct tl_utf8_text){0};
}

void tl_encoding_html_charset(const char *data, size_t length, char out[32]) {
    static const char key[] = "charset";
    out[0] = '\0';
    if (length > 1024)
        length = 1024;
    for (size_t i = 0; i + sizeof key < length; i++) {
        if (strncasecmp(data + i, key, sizeof key - 1) != 0)
            continue;
        i += sizeof key - 1;
        while (i < length && memchr(" \t\n\r", data[i], 4) != NULL)
            i++;
        if (i >= length || data[i] != '=')
            continue;
        i++;
        while (i < length && memchr(" \t\n\r\"'", data[i], 6) != NULL)
            i++;
        size_t used = 0;
        while (i < length && used < 31 && memchr(" \t\n\r\"';/>", data[i], 9) == NULL && data[i] > ' ' &&
               data[i] < 0x7f) {
            char c = data[i++];
            out[used++] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
        }
        out[used] = '\0';
        return;
    }
}

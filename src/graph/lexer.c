#include "graph/lexer.h"

#include <stdarg.h>
#include <string.h>

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define DIGITS "0123456789"
#define NAME_BYTES LETTERS DIGITS "-."

static void skip_space(struct tl_lexer *lexer) {
    for (;;) {
        if (*lexer->at == '#' || *lexer->at == '!')
            lexer->at += strcspn(lexer->at, "\n");
        if (*lexer->at == '\0' || strchr(" \t\r\n", *lexer->at) == NULL)
            return;
        if (*lexer->at++ == '\n') {
            lexer->line++;
            lexer->line_start = lexer->at;
        }
    }
}

void tl_lexer_init(struct tl_lexer *lexer, const char *text, struct tl_diagnostics *findings) {
    *lexer = (struct tl_lexer){.at = text, .line_start = text, .line = 1, .findings = findings};
    skip_space(lexer);
}

bool tl_lexer_fail(struct tl_lexer *lexer, const char *format, ...) {
    if (lexer->failed)
        return false;
    struct tl_str message = TL_STR_INIT;
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&message, format, args);
    va_end(args);
    tl_diagnostics_add(lexer->findings, TL_SEVERITY_ERROR, lexer->line, (unsigned)(lexer->at - lexer->line_start) + 1,
                       "%s", message.data);
    tl_str_fini(&message);
    lexer->failed = true;
    return false;
}

bool tl_lexer_expected(struct tl_lexer *lexer, const char *what) {
    size_t length = strspn(lexer->at, NAME_BYTES);
    if (*lexer->at == '\0')
        return tl_lexer_fail(lexer, "expected %s, found the end of the text", what);
    if ((unsigned char)*lexer->at < ' ' || (unsigned char)*lexer->at > '~')
        return tl_lexer_fail(lexer, "expected %s, found the byte 0x%02x", what, (unsigned char)*lexer->at);
    return tl_lexer_fail(lexer, "expected %s, found \"%.*s\"", what, (int)(length == 0 ? 1 : length > 40 ? 40
                                                                                                         : length),
                         lexer->at);
}

bool tl_lexer_at_end(struct tl_lexer *lexer) {
    return *lexer->at == '\0';
}

bool tl_lexer_peek(struct tl_lexer *lexer, char c) {
    return !lexer->failed && *lexer->at == c;
}

bool tl_lexer_take(struct tl_lexer *lexer, char c) {
    if (!tl_lexer_peek(lexer, c))
        return false;
    lexer->at++;
    skip_space(lexer);
    return true;
}

bool tl_lexer_need(struct tl_lexer *lexer, char c) {
    const char what[] = {'"', c, '"', '\0'};
    return tl_lexer_take(lexer, c) || tl_lexer_expected(lexer, what);
}

bool tl_lexer_take_word(struct tl_lexer *lexer, const char *word) {
    size_t length = strlen(word);
    if (lexer->failed || strspn(lexer->at, NAME_BYTES) != length || memcmp(lexer->at, word, length) != 0)
        return false;
    lexer->at += length;
    skip_space(lexer);
    return true;
}

bool tl_lexer_peek_name_before(struct tl_lexer *lexer, char c) {
    struct tl_lexer ahead = *lexer;
    ahead.at += strspn(ahead.at, NAME_BYTES);
    if (lexer->failed || ahead.at == lexer->at)
        return false;
    skip_space(&ahead);
    return *ahead.at == c;
}

static bool take_run(struct tl_lexer *lexer, size_t length, struct tl_str *out) {
    tl_str_clear(out);
    tl_str_append(out, lexer->at, length);
    lexer->at += length;
    skip_space(lexer);
    return true;
}

bool tl_lexer_name(struct tl_lexer *lexer, const char *what, struct tl_str *out) {
    if (lexer->failed || *lexer->at == '\0' || strchr(LETTERS, *lexer->at) == NULL)
        return tl_lexer_expected(lexer, what);
    return take_run(lexer, strspn(lexer->at, NAME_BYTES), out);
}

bool tl_lexer_scalar(struct tl_lexer *lexer, const char *what, struct tl_str *out) {
    size_t length = strspn(lexer->at, NAME_BYTES "+");
    if (lexer->failed || length == 0)
        return tl_lexer_expected(lexer, what);
    return take_run(lexer, length, out);
}

bool tl_lexer_unsigned(struct tl_lexer *lexer, const char *what, uint32_t *out) {
    size_t length = strspn(lexer->at, DIGITS);
    if (lexer->failed || length == 0)
        return tl_lexer_expected(lexer, what);
    uint64_t value = 0;
    for (size_t i = 0; i < length && value <= UINT32_MAX; i++)
        value = value * 10 + (uint64_t)(lexer->at[i] - '0');
    if (value > UINT32_MAX)
        return tl_lexer_fail(lexer, "this number is too large");
    *out = (uint32_t)value;
    lexer->at += length;
    return true;
}

bool tl_lexer_skip(struct tl_lexer *lexer) {
    skip_space(lexer);
    return true;
}

/* Reads four hex digits. */
static bool take_hex(struct tl_lexer *lexer, uint32_t *code) {
    *code = 0;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef0123456789ABCDEF";
        const char *found = *lexer->at == '\0' ? NULL : strchr(digits, *lexer->at);
        if (found == NULL)
            return tl_lexer_expected(lexer, "four hex digits");
        *code = *code * 16 + (uint32_t)(found - digits) % 16;
        lexer->at++;
    }
    return true;
}

static void put_utf8(struct tl_str *out, uint32_t code) {
    if (code < 0x80) {
        tl_str_putc(out, (char)code);
    } else if (code < 0x800) {
        tl_str_putc(out, (char)(0xc0 | code >> 6));
        tl_str_putc(out, (char)(0x80 | (code & 0x3f)));
    } else if (code < 0x10000) {
        tl_str_putc(out, (char)(0xe0 | code >> 12));
        tl_str_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        tl_str_putc(out, (char)(0x80 | (code & 0x3f)));
    } else {
        tl_str_putc(out, (char)(0xf0 | code >> 18));
        tl_str_putc(out, (char)(0x80 | (code >> 12 & 0x3f)));
        tl_str_putc(out, (char)(0x80 | (code >> 6 & 0x3f)));
        tl_str_putc(out, (char)(0x80 | (code & 0x3f)));
    }
}

static bool take_unicode(struct tl_lexer *lexer, struct tl_str *out) {
    uint32_t code, low;
    if (!take_hex(lexer, &code))
        return false;
    if (code >= 0xd800 && code < 0xdc00 && lexer->at[0] == '\\' && lexer->at[1] == 'u') {
        lexer->at += 2;
        if (!take_hex(lexer, &low))
            return false;
        if (low < 0xdc00 || low > 0xdfff)
            return tl_lexer_fail(lexer, "half of a surrogate pair");
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    }
    if (code == 0 || (code >= 0xd800 && code <= 0xdfff))
        return tl_lexer_fail(lexer, "\\u%04x cannot stand in a string", code);
    put_utf8(out, code);
    return true;
}

static bool take_escape(struct tl_lexer *lexer, struct tl_str *out) {
    static const char escapes[] = "\"\\/bfnrt", bytes[] = "\"\\/\b\f\n\r\t";
    char c = *lexer->at;
    if (c == 'u') {
        lexer->at++;
        return take_unicode(lexer, out);
    }
    const char *found = c == '\0' ? NULL : strchr(escapes, c);
    if (found == NULL)
        return tl_lexer_expected(lexer, "an escape of JSON strings");
    tl_str_putc(out, bytes[found - escapes]);
    lexer->at++;
    return true;
}

bool tl_lexer_string(struct tl_lexer *lexer, const char *what, struct tl_str *out) {
    if (lexer->failed || *lexer->at != '"')
        return tl_lexer_expected(lexer, what);
    tl_str_clear(out);
    lexer->at++;
    while (*lexer->at != '"') {
        if (*lexer->at == '\0' || *lexer->at == '\n')
            return tl_lexer_expected(lexer, "the end of the string");
        if (*lexer->at != '\\') {
            tl_str_putc(out, *lexer->at++);
            continue;
        }
        lexer->at++;
        if (!take_escape(lexer, out))
            return false;
    }
    lexer->at++;
    skip_space(lexer);
    return true;
}

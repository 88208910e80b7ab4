/* pieces.c: see pieces.h. Each byte is looked at a bounded number of times. */
#include "engine/documents/pieces.h"

#include <string.h>
#include <utf8proc.h>

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t';
}

/* Scripts that are written without spaces, and their punctuation: each character is a piece. */
static bool is_ideographic(utf8proc_int32_t c) {
    return (c >= 0x2e80 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) || (c >= 0xff01 && c <= 0xff9f) ||
           (c >= 0x20000 && c <= 0x3ffff);
}

/* Belongs to the ideograph before it: a line does not begin with it either. */
static bool is_closing(utf8proc_int32_t c) {
    switch (c) {
    case 0x3001: /* 、 */
    case 0x3002: /* 。 */
    case 0x3009: /* 〉 */
    case 0x300b: /* 》 */
    case 0x300d: /* 」 */
    case 0x300f: /* 』 */
    case 0x3011: /* 】 */
    case 0xff01: /* ！ */
    case 0xff09: /* ） */
    case 0xff0c: /* ， */
    case 0xff0e: /* ． */
    case 0xff1a: /* ： */
    case 0xff1b: /* ； */
    case 0xff1f: /* ？ */
        return true;
    default:
        return false;
    }
}

static bool ends_sentence(utf8proc_int32_t c) {
    switch (c) {
    case '.':
    case '!':
    case '?':
    case 0x2026: /* … */
    case 0x3002: /* 。 */
    case 0xff01: /* ！ */
    case 0xff0e: /* ． */
    case 0xff1f: /* ？ */
    case 0x0589: /* Armenian */
    case 0x061f: /* Arabic question mark */
    case 0x06d4: /* Urdu */
    case 0x0964: /* Devanagari danda */
    case 0x0965:
    case 0x1362: /* Ethiopic */
        return true;
    default:
        return false;
    }
}

/* Quotes and brackets that may stand between the end of a sentence and the space after it. */
static bool may_follow_sentence(utf8proc_int32_t c) {
    return c == '"' || c == '\'' || c == ')' || c == ']' || c == '*' || c == '_' || c == 0x201d || c == 0x2019 ||
           c == 0xbb || c == 0x300d || c == 0x300f || c == 0xff09;
}

static utf8proc_int32_t character_at(const struct tl_extracted *document, size_t at, size_t *size) {
    utf8proc_int32_t c;
    size_t left = document->length - at;
    utf8proc_ssize_t got =
        utf8proc_iterate((const utf8proc_uint8_t *)document->text + at, (utf8proc_ssize_t)(left < 4 ? left : 4), &c);
    *size = got > 0 ? (size_t)got : 1; /* the text is well-formed: it is never 1 for this reason */
    return c;
}

/* The character that ends before `at`, which moves to its first byte. */
static utf8proc_int32_t character_before(const struct tl_extracted *document, size_t *at) {
    do
        --*at;
    while (*at > 0 && ((unsigned char)document->text[*at] & 0xc0) == 0x80);
    size_t size;
    return character_at(document, *at, &size);
}

/* Whether a sentence ends at `end` and another may begin at `begin`. Not after numbers ("3."), single
 * letters ("J.", "e.g.") and before lower case. */
static bool is_sentence_border(const struct tl_extracted *document, size_t end, size_t begin) {
    char next = document->text[begin];
    if (next >= 'a' && next <= 'z')
        return false;
    size_t at = end, floor = end > TL_PIECE_BYTES ? end - TL_PIECE_BYTES : 0;
    utf8proc_int32_t c = 0;
    while (at > floor) {
        c = character_before(document, &at);
        if (!may_follow_sentence(c))
            break;
    }
    if (!ends_sentence(c))
        return false;
    if (c != '.')
        return true;
    size_t letters = 0, digits = 0;
    while (at > floor && !is_blank(document->text[at - 1]) && document->text[at - 1] != '.') {
        at--;
        if (document->text[at] >= '0' && document->text[at] <= '9')
            digits++;
        else
            letters++;
    }
    return letters > 1 || (letters == 1 && digits > 0) || digits > 2;
}

/* Moves to the next thing that is not white space; *lines counts the line ends passed. */
static bool skip_blanks(struct tl_piece_reader *reader, size_t *lines) {
    const struct tl_extracted *document = reader->document;
    *lines = 0;
    while (reader->position < document->length && is_blank(document->text[reader->position]))
        *lines += document->text[reader->position++] == '\n';
    return reader->position < document->length;
}

static enum tl_border border_before(struct tl_piece_reader *reader, size_t former_end, size_t lines) {
    const struct tl_extracted *document = reader->document;
    size_t begin = reader->position;
    bool heading = false;
    size_t former_heading_end = reader->heading_end;
    for (; reader->next_mark < document->mark_count && document->marks[reader->next_mark].offset <= begin;
         reader->next_mark++) {
        const struct tl_mark *mark = &document->marks[reader->next_mark];
        if (mark->level == 0)
            continue;
        heading = true;
        reader->heading_end = mark->offset + mark->length;
    }
    if (former_end == 0)
        return TL_BORDER_HEADING;
    if (former_end <= former_heading_end)
        return TL_BORDER_WORD; /* within a heading, between two, or before its text: keep them together */
    if (heading)
        return TL_BORDER_HEADING;
    if (lines >= 2)
        return TL_BORDER_PARAGRAPH;
    if (reader->cut)
        return TL_BORDER_INSIDE;
    if (is_sentence_border(document, former_end, begin))
        return TL_BORDER_SENTENCE;
    return lines == 1 ? TL_BORDER_LINE : TL_BORDER_WORD;
}

/* End of the piece that begins at `begin`: of its word, or of its ideograph, or, in a word that is too
 * long, the last place that does not tear what is seen as one character (an emoji with its modifiers,
 * a letter with its accents); if there is none, a border between code points. */
static size_t piece_end(const struct tl_extracted *document, size_t begin, bool *cut) {
    size_t size, at = begin, whole = begin;
    utf8proc_int32_t state = 0, former = character_at(document, at, &size);
    bool ideographic = is_ideographic(former);
    *cut = false;
    for (at += size; at < document->length && !is_blank(document->text[at]); at += size) {
        utf8proc_int32_t c = character_at(document, at, &size);
        bool whole_here = true;
        if (former < 0x80 && c < 0x80)
            state = 0; /* a fresh start for the next pair that needs the tables */
        else
            whole_here = utf8proc_grapheme_break_stateful(former, c, &state);
        former = c;
        if (whole_here)
            whole = at;
        if (whole_here && is_closing(c) && at + size - begin <= TL_PIECE_BYTES)
            continue;
        if (whole_here && (ideographic || is_ideographic(c)))
            return at;
        if (at + size - begin > TL_PIECE_BYTES) {
            *cut = true;
            return whole > begin ? whole : at;
        }
    }
    return at;
}

bool tl_piece_next(struct tl_piece_reader *reader, struct tl_piece *piece) {
    size_t former_end = reader->position, lines;
    if (!skip_blanks(reader, &lines))
        return false;
    bool blanks = reader->position > former_end;
    reader->cut = reader->cut && !blanks;
    piece->border = border_before(reader, former_end, lines);
    piece->begin = reader->position;
    piece->end = piece_end(reader->document, piece->begin, &reader->cut);
    piece->tokens = 0;
    reader->position = piece->end;
    return true;
}

/* llama_list.c: see llama_list.h. */
#include "engine/llama/llama_list.h"

#include <ctype.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"

#define START_WORDS 4

void tl_llama_list_init(struct tl_llama_list *list, const struct tl_llama_pieces *pieces, size_t least, size_t wanted,
                        size_t item_tokens) {
    *list = (struct tl_llama_list){
        .pieces = pieces, .least = least, .wanted = wanted, .item_tokens = item_tokens, .raw = TL_STR_INIT};
    list->items = tl_mem_zalloc(wanted * sizeof(struct tl_value *));
    list->starts = tl_mem_zalloc(wanted * sizeof(char *));
}

void tl_llama_list_fini(struct tl_llama_list *list) {
    for (size_t i = 0; i < list->count; i++) {
        tl_value_unref(list->items[i]);
        tl_mem_free(list->starts[i]);
    }
    tl_mem_free(list->items);
    tl_mem_free(list->starts);
    tl_str_fini(&list->raw);
}

void tl_llama_list_begin(struct tl_llama_list *list, struct tl_llama_tokens *forced) {
    tl_llama_tokenize(list->pieces->vocab, "[\"", 2, false, forced);
}

/* ---- what is inside an item ---- */

/* Length of the JSON string content that is whole: no escape and no UTF-8 sequence begun. */
static size_t whole_length(const struct tl_str *raw) {
    size_t length = tl_utf8_complete_prefix(raw->data, raw->length);
    size_t slashes = 0;
    while (slashes < length && raw->data[length - 1 - slashes] == '\\')
        slashes++;
    return length - slashes % 2;
}

/* Appends the content without its escapes (\" \\ \/ are the only ones) and without spaces around it. */
static void unescape(const char *raw, size_t length, struct tl_str *out) {
    size_t begin = out->length;
    for (size_t i = 0; i < length; i++) {
        if (raw[i] == '\\' && i + 1 < length)
            i++;
        if (raw[i] != ' ' || out->length > begin)
            tl_str_putc(out, raw[i]);
    }
    while (out->length > begin && out->data[out->length - 1] == ' ')
        tl_str_truncate(out, out->length - 1);
}

/* True when the text, lower-cased, begins with the start of an earlier item; or, when it is to end
 * here, is itself the beginning of one. */
static bool repeats(const struct tl_llama_list *list, const char *text, size_t length, bool ends) {
    for (size_t i = 0; i < list->count; i++) {
        const char *start = list->starts[i];
        size_t at = 0;
        while (at < length && start[at] && tolower((unsigned char)text[at]) == (unsigned char)start[at])
            at++;
        if (!start[at] || (ends && at == length))
            return true;
    }
    return false;
}

/* The first words of an item, lower case; returns owned. */
static char *start_of(const char *text, size_t length) {
    size_t end = 0;
    for (int words = 0; end < length && words < START_WORDS; words++) {
        while (end < length && text[end] == ' ')
            end++;
        while (end < length && text[end] != ' ')
            end++;
    }
    char *start = tl_mem_strndup(text, end);
    for (size_t i = 0; i < end; i++)
        start[i] = (char)tolower((unsigned char)start[i]);
    return start;
}

/* ---- bytes of an item ---- */

/* Offset of the unescaped quote that ends the item in the bytes appended to `raw` from `from` on; -1: none. */
static ptrdiff_t closing_quote(const struct tl_str *raw, size_t from) {
    size_t slashes = 0;
    while (slashes < from && raw->data[from - 1 - slashes] == '\\')
        slashes++;
    bool escaped = slashes % 2 == 1;
    for (size_t i = from; i < raw->length; i++) {
        if (!escaped && raw->data[i] == '"')
            return (ptrdiff_t)i;
        escaped = !escaped && raw->data[i] == '\\';
    }
    return -1;
}

/* Whether the content may stand in the list: no control characters, only the escapes that
 * unescape knows, well-formed as far as it goes. */
static bool well_formed(const struct tl_str *raw) {
    bool escaped = false;
    for (size_t i = 0; i < raw->length; i++) {
        unsigned char c = (unsigned char)raw->data[i];
        if (c < 0x20 || c == 0x7f || (escaped && !strchr("\"\\/", c)))
            return false;
        escaped = !escaped && c == '\\';
    }
    return tl_utf8_is_valid(raw->data, tl_utf8_complete_prefix(raw->data, raw->length));
}

/* ---- between items, when the model may end the list ---- */

/* What the first byte that is no white space says: ',' goes on, ']' ends; 0: neither. */
static char decision(const char *text, size_t length) {
    size_t at = 0;
    while (at < length && (text[at] == ' ' || text[at] == '\n'))
        at++;
    return at < length && (text[at] == ',' || text[at] == ']') ? text[at] : 0;
}

static char decision_of(const struct tl_llama_list *list, llama_token id) {
    size_t length;
    const char *piece = tl_llama_piece(list->pieces, id, &length);
    return tl_llama_piece_ends(list->pieces, id) ? ']' : decision(piece, length);
}

/* ---- one token, inside an item or between two ---- */

bool tl_llama_list_allows(void *context, llama_token id) {
    struct tl_llama_list *list = context;
    if (list->between)
        return decision_of(list, id) != 0;
    size_t before = list->raw.length;
    bool ends = tl_llama_piece_ends(list->pieces, id);
    if (!ends) {
        size_t length;
        const char *piece = tl_llama_piece(list->pieces, id, &length);
        if (length == 0)
            return false;
        tl_str_append(&list->raw, piece, length);
        ptrdiff_t quote = closing_quote(&list->raw, before);
        ends = quote >= 0;
        if (ends)
            tl_str_truncate(&list->raw, (size_t)quote);
    }
    struct tl_str text = TL_STR_INIT;
    unescape(list->raw.data, whole_length(&list->raw), &text);
    bool allowed = well_formed(&list->raw) && !repeats(list, text.data, text.length, ends);
    if (ends)
        allowed = allowed && whole_length(&list->raw) == list->raw.length && tl_utf8_has_letter(text.data, text.length);
    else if (list->used + 1 >= (list->item_tokens + 1) / 2) /* the bound may close it: a letter must come by now */
        allowed = allowed && tl_utf8_has_letter(text.data, text.length);
    else
        allowed = allowed && (text.length > 0 || list->raw.length > whole_length(&list->raw));
    tl_str_fini(&text);
    tl_str_truncate(&list->raw, before);
    return allowed;
}

/* Turns the current content into an item and opens the next one's. */
static void close_item(struct tl_llama_list *list) {
    struct tl_str text = TL_STR_INIT;
    unescape(list->raw.data, whole_length(&list->raw), &text);
    list->starts[list->count] = start_of(text.data, text.length);
    list->items[list->count] = tl_value_text(text.data, text.length);
    if (!list->items[list->count])
        TL_BUG("out of memory for a list item of at most a few hundred bytes");
    list->count++;
    tl_str_fini(&text);
    tl_str_clear(&list->raw);
    list->used = 0;
}

/* An item was closed, and the model may have decided what comes next in the same token. `written` is what is to be
 * tokenised anew behind the last token that was fed. */
static enum tl_llama_list_progress go_on(struct tl_llama_list *list, char decided, struct tl_str *written,
                                         struct tl_llama_tokens *forced) {
    if (list->count == list->wanted || (list->count >= list->least && decided == ']'))
        return TL_LLAMA_LIST_COMPLETE;
    list->between = list->count >= list->least && decided == 0;
    if (!list->between)
        tl_str_puts(written, ", \"");
    tl_llama_tokenize(list->pieces->vocab, written->data, written->length, false, forced);
    return TL_LLAMA_LIST_ITEM;
}

static enum tl_llama_list_progress take_in_item(struct tl_llama_list *list, llama_token id,
                                                struct tl_llama_tokens *forced) {
    struct tl_str written = TL_STR_INIT;
    bool closes = tl_llama_piece_ends(list->pieces, id);
    char decided = closes ? ']' : 0;
    if (!closes) {
        size_t length, before = list->raw.length;
        const char *piece = tl_llama_piece(list->pieces, id, &length);
        tl_str_append(&list->raw, piece, length);
        ptrdiff_t quote = closing_quote(&list->raw, before);
        closes = quote >= 0;
        if (closes) {
            decided = decision(list->raw.data + quote + 1, list->raw.length - (size_t)quote - 1);
            tl_str_truncate(&list->raw, (size_t)quote);
            tl_str_append(&written, list->raw.data + before, list->raw.length - before);
        } else {
            tl_llama_tokens_push(forced, id);
        }
        list->used++;
        closes = closes || list->used >= list->item_tokens;
    }
    enum tl_llama_list_progress progress = TL_LLAMA_LIST_GOES_ON;
    if (closes) {
        close_item(list);
        tl_str_putc(&written, '"');
        progress = go_on(list, decided, &written, forced);
    }
    tl_str_fini(&written);
    return progress;
}

enum tl_llama_list_progress tl_llama_list_take(struct tl_llama_list *list, llama_token id,
                                               struct tl_llama_tokens *forced) {
    size_t before = forced->count;
    enum tl_llama_list_progress progress;
    if (list->between) {
        struct tl_str written = TL_STR_INIT;
        progress = go_on(list, decision_of(list, id), &written, forced);
        tl_str_fini(&written);
    } else {
        progress = take_in_item(list, id, forced);
    }
    if (progress == TL_LLAMA_LIST_COMPLETE)
        forced->count = before;
    return progress;
}

void tl_llama_list_end(struct tl_llama_list *list) {
    if (!list->between && list->count < list->wanted && tl_utf8_has_letter(list->raw.data, whole_length(&list->raw)))
        close_item(list);
}

/* writer.c: see writer.h. Text is scanned once and copied in runs of ordinary bytes. */
#include "engine/documents/writer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tl_writer_init(struct tl_writer *writer, size_t limit) {
    *writer = (struct tl_writer){.limit = limit};
}

void tl_writer_fini(struct tl_writer *writer) {
    free(writer->data);
    free(writer->marks);
    *writer = (struct tl_writer){0};
}

static bool reserve(struct tl_writer *writer, size_t extra) {
    if (writer->status != TL_OK)
        return false;
    if (extra > writer->limit - writer->length) {
        writer->status = TL_ERR_LIMIT;
        return false;
    }
    size_t need = writer->length + extra + 1;
    if (need <= writer->capacity)
        return true;
    size_t capacity = writer->capacity + writer->capacity / 2 + 4096;
    if (capacity < need)
        capacity = need;
    char *data = realloc(writer->data, capacity);
    if (data == NULL) {
        writer->status = TL_ERR_NO_MEMORY;
        return false;
    }
    writer->data = data;
    writer->capacity = capacity;
    return true;
}

static void append(struct tl_writer *writer, const char *data, size_t length) {
    if (!reserve(writer, length))
        return;
    memcpy(writer->data + writer->length, data, length);
    writer->length += length;
}

static void add_mark(struct tl_writer *writer, struct tl_mark mark) {
    if (writer->status != TL_OK)
        return;
    if (writer->mark_count == writer->mark_capacity) {
        size_t capacity = writer->mark_capacity + writer->mark_capacity / 2 + 32;
        struct tl_mark *marks = realloc(writer->marks, capacity * sizeof *marks);
        if (marks == NULL) {
            writer->status = TL_ERR_NO_MEMORY;
            return;
        }
        writer->marks = marks;
        writer->mark_capacity = capacity;
    }
    writer->marks[writer->mark_count++] = mark;
}

/* Removes blanks at the end of the last line. */
static void strip_blanks(struct tl_writer *writer) {
    while (writer->length > 0 && (writer->data[writer->length - 1] == ' ' || writer->data[writer->length - 1] == '\t'))
        writer->length--;
}

/* Line ends at the end of the text, at most 2; an empty text counts as a block border. */
static unsigned trailing_newlines(const struct tl_writer *writer) {
    if (writer->length == 0)
        return 2;
    if (writer->data[writer->length - 1] != '\n')
        return 0;
    return writer->length >= 2 && writer->data[writer->length - 2] == '\n' ? 2 : 1;
}

static void write_bullet(struct tl_writer *writer) {
    char text[16] = "- ";
    if (writer->list_depth > 0) {
        size_t top = writer->list_depth < TL_WRITER_LISTS ? writer->list_depth : TL_WRITER_LISTS;
        struct tl_writer_list *list = &writer->lists[top - 1];
        if (list->ordered)
            snprintf(text, sizeof text, "%u. ", (unsigned)list->number++);
    }
    append(writer, text, strlen(text));
}

/* Writes what was put off. Called before every visible byte. */
static void flush(struct tl_writer *writer) {
    if (writer->newlines > 0) {
        strip_blanks(writer);
        for (unsigned have = trailing_newlines(writer); have < writer->newlines; have++)
            append(writer, "\n", 1);
    } else if (trailing_newlines(writer) == 0) {
        if (writer->cell)
            append(writer, "\t", 1);
        else if (writer->space && writer->data[writer->length - 1] != ' ' && writer->data[writer->length - 1] != '\t')
            append(writer, " ", 1);
    }
    writer->newlines = 0;
    writer->space = writer->cell = false;
    if (writer->bullet) {
        writer->bullet = false;
        write_bullet(writer);
    }
    if (writer->page != 0) {
        add_mark(writer, (struct tl_mark){.offset = writer->length, .page = writer->page});
        writer->page = 0;
    }
    if (writer->heading != 0) {
        add_mark(writer, (struct tl_mark){.offset = writer->length, .level = writer->heading});
        writer->heading = 0;
        writer->open_heading = writer->mark_count;
    }
}

static bool pending(const struct tl_writer *writer) {
    return writer->newlines > 0 || writer->space || writer->cell || writer->bullet || writer->page != 0 ||
           writer->heading != 0;
}

static void put(struct tl_writer *writer, const char *data, size_t length) {
    if (writer->status == TL_OK && pending(writer))
        flush(writer);
    append(writer, data, length);
}

static void verbatim_newline(struct tl_writer *writer) {
    if (writer->newlines > 0 || writer->status != TL_OK)
        return; /* a line is going to begin anyway */
    strip_blanks(writer);
    if (trailing_newlines(writer) < 2)
        append(writer, "\n", 1);
}

/* What a character is to the writer. */
enum kind { KIND_PLAIN, KIND_SPACE, KIND_NEWLINE, KIND_DROP };

/* Classifies the sequence at data[0..length), whose size goes to *size. Dropped: control
 * characters (U+0000 to U+001F, U+007F to U+009F), soft hyphens and byte order marks. */
static enum kind classify(const char *data, size_t length, size_t *size) {
    unsigned char c = (unsigned char)data[0];
    *size = 1;
    switch (c) {
    case ' ':
    case '\t':
        return KIND_SPACE;
    case '\n':
        return KIND_NEWLINE;
    case '\r':
        if (length > 1 && data[1] == '\n')
            *size = 2;
        return KIND_NEWLINE;
    case '\v':
    case '\f':
        return KIND_NEWLINE;
    default:
        break;
    }
    if (c < 0x20 || c == 0x7f)
        return KIND_DROP;
    if (c == 0xc2 && length >= 2) {
        unsigned char next = (unsigned char)data[1];
        *size = 2;
        if (next == 0xa0)
            return KIND_SPACE;
        return next < 0xa0 || next == 0xad ? KIND_DROP : KIND_PLAIN;
    }
    if (c == 0xef && length >= 3) {
        *size = 3;
        return (unsigned char)data[1] == 0xbb && (unsigned char)data[2] == 0xbf ? KIND_DROP : KIND_PLAIN;
    }
    return KIND_PLAIN;
}

static void write_text(struct tl_writer *writer, const char *data, size_t length, bool verbatim) {
    size_t i = 0;
    while (i < length && writer->status == TL_OK) {
        size_t begin = i, size = 0;
        enum kind kind = KIND_PLAIN;
        while (i < length && (kind = classify(data + i, length - i, &size)) == KIND_PLAIN)
            i += size;
        if (i > begin)
            put(writer, data + begin, i - begin);
        if (i >= length)
            break;
        if (kind == KIND_NEWLINE && verbatim)
            verbatim_newline(writer);
        else if (kind == KIND_SPACE && verbatim)
            put(writer, data[i] == '\t' ? "\t" : " ", 1);
        else if (kind != KIND_DROP)
            writer->space = true;
        i += size;
    }
}

void tl_writer_text(struct tl_writer *writer, const char *data, size_t length) {
    write_text(writer, data, length, false);
}

void tl_writer_verbatim(struct tl_writer *writer, const char *data, size_t length) {
    write_text(writer, data, length, true);
}

void tl_writer_line(struct tl_writer *writer) {
    if (writer->newlines < 1)
        writer->newlines = 1;
}

void tl_writer_block(struct tl_writer *writer) {
    if (!writer->bullet) /* the first block of an item stands on the item's own line */
        writer->newlines = 2;
}

void tl_writer_cell(struct tl_writer *writer) {
    writer->cell = true;
}

void tl_writer_heading_begin(struct tl_writer *writer, unsigned level) {
    tl_writer_heading_end(writer);
    writer->heading = (uint8_t)level;
}

void tl_writer_heading_end(struct tl_writer *writer) {
    if (writer->open_heading > 0) {
        struct tl_mark *mark = &writer->marks[writer->open_heading - 1];
        size_t length = writer->length - mark->offset;
        while (length > 0 && strchr(" \t\n", writer->data[mark->offset + length - 1]) != NULL)
            length--;
        mark->length = length < UINT32_MAX ? (uint32_t)length : UINT32_MAX;
        writer->open_heading = 0;
    }
    writer->heading = 0;
    tl_writer_block(writer);
}

void tl_writer_page(struct tl_writer *writer, uint32_t number) {
    writer->page = number;
    tl_writer_block(writer);
}

void tl_writer_list_begin(struct tl_writer *writer, bool ordered, uint32_t first) {
    writer->bullet = false;
    if (writer->list_depth == 0)
        tl_writer_block(writer);
    else
        tl_writer_line(writer);
    if (writer->list_depth < TL_WRITER_LISTS)
        writer->lists[writer->list_depth] = (struct tl_writer_list){ordered, first};
    writer->list_depth++;
}

void tl_writer_list_end(struct tl_writer *writer) {
    writer->bullet = false;
    if (writer->list_depth > 0)
        writer->list_depth--;
    if (writer->list_depth == 0)
        tl_writer_block(writer);
    else
        tl_writer_line(writer);
}

void tl_writer_item(struct tl_writer *writer) {
    tl_writer_line(writer);
    writer->bullet = true;
}

enum tl_status tl_writer_finish(struct tl_writer *writer, struct tl_extracted *out) {
    tl_writer_heading_end(writer);
    while (writer->length > 0 && strchr(" \t\n", writer->data[writer->length - 1]) != NULL)
        writer->length--;
    enum tl_status status = writer->status;
    if (status == TL_OK && writer->length == 0)
        status = TL_ERR_INVALID;
    if (status == TL_OK) {
        /* Marks may stand where blanks were stripped from the end. */
        while (writer->mark_count > 0 && writer->marks[writer->mark_count - 1].offset >= writer->length)
            writer->mark_count--;
        writer->data[writer->length] = '\0';
        out->text = writer->data;
        out->length = writer->length;
        out->marks = writer->marks;
        out->mark_count = writer->mark_count;
        writer->data = NULL;
        writer->marks = NULL;
    }
    tl_writer_fini(writer);
    return status;
}

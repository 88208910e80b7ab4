/* markdown.c: from md4c's callbacks to the writer. md4c keeps its own stack on the heap. */
#include "engine/documents/markdown.h"

#include <md4c.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "engine/documents/html.h"

#define FRONT_MATTER_MAX 65536

/* md4c makes more of some texts than their size: a row of two bytes has as many cells as the table has
 * columns, and each use of a link's definition is given its whole target. Counted in about nanoseconds. */
#define WORK_MAX UINT64_C(1000000000)
#define WORK_PER_CELL 32

struct reader {
    struct tl_writer *writer;
    struct tl_str html; /* the HTML block being collected */
    bool in_code, in_html;
    uint64_t work; /* see WORK_MAX */
    enum tl_status status;
    struct tl_error *error;
};

static int outcome(const struct reader *reader) {
    return reader->work > WORK_MAX || reader->status != TL_OK || reader->writer->status != TL_OK;
}

static int enter_block(MD_BLOCKTYPE type, void *detail, void *context) {
    struct reader *reader = context;
    struct tl_writer *writer = reader->writer;
    switch (type) {
    case MD_BLOCK_UL:
        tl_writer_list_begin(writer, false, 1);
        break;
    case MD_BLOCK_OL:
        tl_writer_list_begin(writer, true, ((MD_BLOCK_OL_DETAIL *)detail)->start);
        break;
    case MD_BLOCK_LI:
        tl_writer_item(writer);
        break;
    case MD_BLOCK_H:
        tl_writer_block(writer);
        tl_writer_heading_begin(writer, ((MD_BLOCK_H_DETAIL *)detail)->level);
        break;
    case MD_BLOCK_CODE:
        reader->in_code = true;
        tl_writer_block(writer);
        break;
    case MD_BLOCK_HTML:
        reader->in_html = true;
        tl_str_clear(&reader->html);
        break;
    case MD_BLOCK_TR:
        tl_writer_line(writer);
        break;
    case MD_BLOCK_TH:
    case MD_BLOCK_TD:
        reader->work += WORK_PER_CELL;
        tl_writer_cell(writer);
        break;
    case MD_BLOCK_QUOTE:
    case MD_BLOCK_HR:
    case MD_BLOCK_P:
    case MD_BLOCK_TABLE:
        tl_writer_block(writer);
        break;
    case MD_BLOCK_DOC:
    case MD_BLOCK_THEAD:
    case MD_BLOCK_TBODY:
        break;
    }
    return outcome(reader);
}

static int leave_block(MD_BLOCKTYPE type, void *detail, void *context) {
    (void)detail;
    struct reader *reader = context;
    struct tl_writer *writer = reader->writer;
    switch (type) {
    case MD_BLOCK_UL:
    case MD_BLOCK_OL:
        tl_writer_list_end(writer);
        break;
    case MD_BLOCK_H:
        tl_writer_heading_end(writer);
        break;
    case MD_BLOCK_HTML:
        reader->in_html = false;
        reader->status = tl_html_extract_fragment(reader->html.data, reader->html.length, writer, reader->error);
        break;
    case MD_BLOCK_CODE:
        reader->in_code = false;
        tl_writer_block(writer);
        break;
    case MD_BLOCK_P:
    case MD_BLOCK_QUOTE:
    case MD_BLOCK_TABLE:
        tl_writer_block(writer);
        break;
    case MD_BLOCK_DOC:
    case MD_BLOCK_LI:
    case MD_BLOCK_HR:
    case MD_BLOCK_THEAD:
    case MD_BLOCK_TBODY:
    case MD_BLOCK_TR:
    case MD_BLOCK_TH:
    case MD_BLOCK_TD:
        break;
    }
    return outcome(reader);
}

static int enter_span(MD_SPANTYPE type, void *detail, void *context) {
    struct reader *reader = context;
    if (type == MD_SPAN_A)
        reader->work += ((MD_SPAN_A_DETAIL *)detail)->href.size + ((MD_SPAN_A_DETAIL *)detail)->title.size;
    if (type == MD_SPAN_IMG)
        reader->work += ((MD_SPAN_IMG_DETAIL *)detail)->src.size + ((MD_SPAN_IMG_DETAIL *)detail)->title.size;
    return outcome(reader);
}

static int leave_span(MD_SPANTYPE type, void *detail, void *context) {
    (void)type;
    (void)detail;
    return outcome(context);
}

static int text(MD_TEXTTYPE type, const MD_CHAR *data, MD_SIZE size, void *context) {
    struct reader *reader = context;
    struct tl_writer *writer = reader->writer;
    switch (type) {
    case MD_TEXT_HTML: /* of a block; tags inside a paragraph say nothing about its text */
        if (reader->in_html)
            tl_str_append(&reader->html, data, size);
        break;
    case MD_TEXT_CODE:
        if (reader->in_code)
            tl_writer_verbatim(writer, data, size);
        else
            tl_writer_text(writer, data, size);
        break;
    case MD_TEXT_ENTITY: {
        struct tl_str decoded = TL_STR_INIT;
        tl_html_decode_reference(data, size, &decoded);
        tl_writer_text(writer, decoded.data, decoded.length);
        tl_str_fini(&decoded);
        break;
    }
    case MD_TEXT_BR:
        tl_writer_line(writer);
        break;
    case MD_TEXT_SOFTBR:
        tl_writer_text(writer, " ", 1);
        break;
    case MD_TEXT_NORMAL:
    case MD_TEXT_LATEXMATH:
        tl_writer_text(writer, data, size);
        break;
    case MD_TEXT_NULLCHAR:
        break;
    }
    return outcome(reader);
}

/* Takes the value of a line `title: "..."` or `title = "..."`. */
static void front_matter_line(const char *line, size_t length, struct tl_str *title) {
    static const char key[] = "title";
    if (length < sizeof key || memcmp(line, key, sizeof key - 1) != 0 || title->length > 0)
        return;
    const char *end = line + length;
    line += sizeof key - 1;
    while (line < end && *line == ' ')
        line++;
    if (line == end || (*line != ':' && *line != '='))
        return;
    line++;
    while (line < end && strchr(" \t\"'", *line) != NULL)
        line++;
    while (end > line && strchr(" \t\r\"'", end[-1]) != NULL)
        end--;
    tl_str_append(title, line, (size_t)(end - line));
}

/* Length of the front matter with its fences; 0 when there is none. */
static size_t front_matter(const char *data, size_t length, struct tl_str *title) {
    if (length < 4 || (memcmp(data, "---", 3) != 0 && memcmp(data, "+++", 3) != 0))
        return 0;
    const char *fence = data, *end = data + (length < FRONT_MATTER_MAX ? length : FRONT_MATTER_MAX);
    struct tl_str found = TL_STR_INIT;
    bool first = true;
    for (const char *line = data, *next; line < end; line = next, first = false) {
        const char *newline = memchr(line, '\n', (size_t)(end - line));
        next = newline != NULL ? newline + 1 : end;
        size_t size = (size_t)((newline != NULL ? newline : end) - line);
        while (size > 0 && strchr(" \t\r", line[size - 1]) != NULL)
            size--;
        bool is_fence = size == 3 && memcmp(line, fence, 3) == 0;
        if (first && !is_fence)
            break;
        if (!first && size == 0 && line == data + 4)
            break; /* a rule and an empty line: no front matter */
        if (!first && (is_fence || (size == 3 && memcmp(line, "...", 3) == 0))) {
            tl_str_append(title, found.data, found.length);
            tl_str_fini(&found);
            return (size_t)(next - data);
        }
        if (!first)
            front_matter_line(line, size, &found);
    }
    tl_str_fini(&found);
    return 0;
}

enum tl_status tl_markdown_extract(const char *data, size_t length, struct tl_writer *writer, struct tl_str *title,
                                   struct tl_error *error) {
    size_t skipped = front_matter(data, length, title);
    data += skipped;
    length -= skipped;
    if (length > UINT32_MAX / 2)
        return tl_error_set(error, TL_ERR_LIMIT, "has %zu bytes, more than the Markdown parser takes", length);
    MD_PARSER parser = {
        .flags = MD_DIALECT_GITHUB,
        .enter_block = enter_block,
        .leave_block = leave_block,
        .enter_span = enter_span,
        .leave_span = leave_span,
        .text = text,
    };
    /* md4c is told the length, and yet looks for line ends with strcspn: there must be a NUL. */
    char *terminated = malloc(length + 1);
    if (terminated == NULL)
        return tl_error_set(error, TL_ERR_NO_MEMORY, "needs %zu bytes of memory that are not there", length);
    memcpy(terminated, data, length);
    terminated[length] = '\0';
    struct reader reader = {.writer = writer, .html = TL_STR_INIT, .error = error};
    int result = md_parse(terminated, (MD_SIZE)length, &parser, &reader);
    tl_str_fini(&reader.html);
    free(terminated);
    if (reader.status != TL_OK)
        return reader.status;
    if (reader.work > WORK_MAX)
        return tl_error_set(error, TL_ERR_LIMIT,
                            "is no usual Markdown: a table with far more cells than text, or a long "
                            "link used very often");
    return result == -1 && writer->status == TL_OK
               ? tl_error_set(error, TL_ERR_NO_MEMORY, "could not be parsed for lack of memory")
               : TL_OK;
}

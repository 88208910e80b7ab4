/* html.c: from libxml2's SAX events to the writer. The parser closes what a page leaves open, so
 * every start has its end; a depth counter and the depth at which leaving out began are all the
 * state that nesting needs. */
#include "engine/documents/html.h"

#include <libxml/HTMLparser.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <utf8proc.h>

#include "base/error.h"

#define TITLE_MAX 512

/* Bytes given to the parser at once. */
#define PIECE 16384

/* The parser takes quadratic time in two places: it compares each attribute of a tag with all
 * others of the tag, and looks for each end tag through all open elements. Both are counted in
 * comparisons, about 2 ns each. */
#define WORK_MAX UINT64_C(1000000000)
#define ATTRIBUTES_MAX 20000 /* of one tag */

struct reader {
    htmlParserCtxtPtr parser;
    struct tl_writer *writer;
    struct tl_str *title;
    bool with_site;      /* read navigation too */
    size_t depth;        /* open elements */
    size_t skip_from;    /* depth of the element that is left out; 0: none */
    size_t site_from;    /* depth of the outermost element that repeats on every page; 0: none */
    size_t pre_from;     /* depth of the outermost <pre>; 0: none */
    size_t heading_from; /* depth of the heading that is read; 0: none */
    bool in_title, has_title;
    bool superscript; /* one has begun, and no text of it came yet */
    bool stopped;     /* no more events are wanted */
    uint64_t work;    /* comparisons made by the parser, see WORK_MAX */
    size_t looked_at; /* bytes of an unfinished tag when its attributes were last counted */
};

static void stop(struct reader *reader) {
    reader->stopped = true;
    xmlStopParser(reader->parser);
}

static void spend(struct reader *reader, uint64_t work) {
    reader->work += work;
    if (reader->work >= WORK_MAX && !reader->stopped)
        stop(reader);
}

/* Top headings say what a page is about even where a site marks its whole head as not for search. */
static bool is_read(const struct reader *reader) {
    return reader->skip_from == 0 && (reader->site_from == 0 || reader->with_site || reader->heading_from != 0);
}

static void start_element(void *context, const xmlChar *xml_name, const xmlChar **attributes) {
    struct reader *reader = context;
    const char *name = (const char *)xml_name;
    reader->depth++;
    uint64_t count = 0;
    while (attributes != NULL && attributes[2 * count] != NULL)
        count++;
    spend(reader, count * count);
    if (reader->skip_from != 0)
        return;
    enum tl_html_role role = tl_html_element_role(name);
    enum tl_html_role marked = tl_html_attribute_role(attributes);
    bool whole_page = strcmp(name, "body") == 0 || strcmp(name, "html") == 0 || strcmp(name, "main") == 0;
    if (role == TL_HTML_SKIP || (marked == TL_HTML_SKIP && !whole_page)) {
        reader->skip_from = reader->depth;
        return;
    }
    if ((role == TL_HTML_SITE || (marked == TL_HTML_SITE && !whole_page)) && reader->site_from == 0)
        reader->site_from = reader->depth;

    bool top_heading = role == TL_HTML_HEADING && name[1] <= '2';
    if (top_heading && reader->heading_from == 0)
        reader->heading_from = reader->depth;
    if (!is_read(reader))
        return;
    struct tl_writer *writer = reader->writer;
    switch (role) {
    case TL_HTML_BLOCK:
    case TL_HTML_SITE:
        tl_writer_block(writer);
        break;
    case TL_HTML_LINE:
        tl_writer_line(writer);
        break;
    case TL_HTML_CELL:
        tl_writer_cell(writer);
        break;
    case TL_HTML_ITEM:
        tl_writer_item(writer);
        break;
    case TL_HTML_LIST:
    case TL_HTML_ORDERED_LIST:
        tl_writer_list_begin(writer, role == TL_HTML_ORDERED_LIST, 1);
        break;
    case TL_HTML_HEADING:
        tl_writer_block(writer);
        tl_writer_heading_begin(writer, (unsigned)(name[1] - '0'));
        break;
    case TL_HTML_PRE:
        tl_writer_block(writer);
        if (reader->pre_from == 0)
            reader->pre_from = reader->depth;
        break;
    case TL_HTML_TITLE:
        reader->in_title = !reader->has_title;
        break;
    case TL_HTML_SUPERSCRIPT:
        reader->superscript = true;
        break;
    case TL_HTML_INLINE:
    case TL_HTML_SKIP:
        break;
    }
}

static void close_element(struct reader *reader, const char *name) {
    struct tl_writer *writer = reader->writer;
    switch (tl_html_element_role(name)) {
    case TL_HTML_BLOCK:
    case TL_HTML_SITE:
        tl_writer_block(writer);
        break;
    case TL_HTML_PRE:
        tl_writer_block(writer);
        if (reader->pre_from == reader->depth)
            reader->pre_from = 0;
        break;
    case TL_HTML_LIST:
    case TL_HTML_ORDERED_LIST:
        tl_writer_list_end(writer);
        break;
    case TL_HTML_HEADING:
        tl_writer_heading_end(writer);
        break;
    case TL_HTML_LINE:
    case TL_HTML_ITEM:
        if (strcmp(name, "br") != 0)
            tl_writer_line(writer);
        break;
    case TL_HTML_TITLE:
        reader->has_title = reader->has_title || reader->in_title;
        reader->in_title = false;
        break;
    case TL_HTML_SUPERSCRIPT:
        reader->superscript = false;
        break;
    case TL_HTML_CELL:
    case TL_HTML_INLINE:
    case TL_HTML_SKIP:
        break;
    }
}

static void end_element(void *context, const xmlChar *name) {
    struct reader *reader = context;
    if (is_read(reader))
        close_element(reader, (const char *)name);
    if (reader->skip_from == reader->depth)
        reader->skip_from = 0;
    if (reader->site_from == reader->depth)
        reader->site_from = 0;
    if (reader->heading_from == reader->depth)
        reader->heading_from = 0;
    if (reader->depth > 0)
        reader->depth--;
}

static void title_text(struct reader *reader, const char *data, size_t length) {
    for (size_t i = 0; i < length && reader->title->length < TITLE_MAX; i++) {
        if (memchr(" \t\n\r\f", data[i], 5) == NULL)
            tl_str_putc(reader->title, data[i]);
        else if (reader->title->length > 0 && reader->title->data[reader->title->length - 1] != ' ')
            tl_str_putc(reader->title, ' ');
    }
}

static void characters(void *context, const xmlChar *xml_text, int length) {
    struct reader *reader = context;
    const char *text = (const char *)xml_text;
    if (reader->in_title)
        title_text(reader, text, (size_t)length);
    if (reader->in_title || !is_read(reader) || length <= 0)
        return;
    if (reader->superscript) { /* "2<sup>31</sup>" is not "231" */
        reader->superscript = false;
        if (text[0] >= '0' && text[0] <= '9')
            tl_writer_text(reader->writer, "^", 1);
    }
    if (reader->pre_from != 0)
        tl_writer_verbatim(reader->writer, text, (size_t)length);
    else
        tl_writer_text(reader->writer, text, (size_t)length);
    if (reader->writer->status != TL_OK)
        stop(reader);
}

/* Of a body or a page, see feed_page; real instructions say nothing of the text either. */
static void end_of_page(void *context, const xmlChar *target, const xmlChar *content) {
    (void)target;
    (void)content;
    tl_writer_block(((struct reader *)context)->writer);
}

static void ignore_message(void *context, const char *format, ...) {
    (void)context;
    (void)format;
}

/* Told of every defect of the page. A wrong end tag costs the parser walks over all open elements,
 * so that in a page of nothing but nesting and such tags time is quadratic. */
static void count_defect(void *context, xmlErrorPtr problem) {
    (void)problem;
    spend(context, 8 * ((struct reader *)context)->depth); /* 8: measured on the worst such page */
}

static const xmlSAXHandler handler = {
    .startElement = start_element,
    .endElement = end_element,
    .characters = characters,
    .ignorableWhitespace = characters,
    .cdataBlock = characters,
    .processingInstruction = end_of_page,
    .warning = ignore_message,
    .error = ignore_message,
    .fatalError = ignore_message,
    .serror = count_defect,
    .initialized = XML_SAX2_MAGIC,
};

/* Number of attributes in the tag that begins here and has no end yet; 0 when it has one. */
static size_t count_attributes(const unsigned char *tag, const unsigned char *end) {
    size_t count = 0;
    while (tag < end) {
        bool value = false;
        while (tag < end && strchr(" \t\n\r\f/", *tag) != NULL)
            tag++;
        for (; tag < end && strchr(" \t\n\r\f", *tag) == NULL; tag++) {
            if (*tag == '>')
                return 0;
            if (value && (*tag == '"' || *tag == '\'')) {
                const unsigned char *close = memchr(tag + 1, *tag, (size_t)(end - tag - 1));
                tag = close != NULL ? close : end - 1;
            }
            value = *tag == '=';
        }
        count++;
    }
    return count;
}

/* The parser waits for the end of a tag: while that is far, what it has of the tag is looked at
 * each time its size has doubled. */
static void check_unfinished(struct reader *reader) {
    const xmlParserInput *input = reader->parser->input;
    size_t waiting = input != NULL ? (size_t)(input->end - input->cur) : 0;
    if (waiting < 4 * PIECE) {
        reader->looked_at = 4 * PIECE;
        return;
    }
    if (waiting < 2 * reader->looked_at)
        return;
    reader->looked_at = waiting;
    bool tag = *input->cur == '<' && ((input->cur[1] | 0x20) >= 'a' && (input->cur[1] | 0x20) <= 'z');
    if (tag && count_attributes(input->cur, input->end) > ATTRIBUTES_MAX)
        spend(reader, WORK_MAX);
}

static void feed(struct reader *reader, const char *data, size_t length) {
    for (size_t i = 0; i < length && !reader->stopped; i += PIECE) {
        htmlParseChunk(reader->parser, data + i, length - i < PIECE ? (int)(length - i) : PIECE, 0);
        check_unfinished(reader);
    }
}

/* For the parser the page is over at </html>, or at any end tag that nothing is open before, and what
 * follows is lost: where pages were joined, a whole page. So it gets a body that is never closed. */
static void feed_page(struct reader *reader, const char *data, size_t length) {
    static const char body[] = "<html><body>", instruction[] = "<?"; /* what the tag becomes: it ends at the same > */
    const char *end = data + length, *from = data;
    feed(reader, body, sizeof body - 1);
    for (const char *tag = data; (tag = memmem(tag, (size_t)(end - tag), "</", 2)) != NULL && !reader->stopped;) {
        tag += 2;
        if (end - tag < 4 || (strncasecmp(tag, "html", 4) != 0 && strncasecmp(tag, "body", 4) != 0))
            continue;
        feed(reader, from, (size_t)(tag - 2 - from));
        feed(reader, instruction, sizeof instruction - 1);
        from = tag;
    }
    feed(reader, from, (size_t)(end - from));
}

static enum tl_status parse(struct reader *reader, const char *data, size_t length, struct tl_error *error) {
    xmlSAXHandler sax = handler;
    htmlParserCtxtPtr parser = htmlCreatePushParserCtxt(&sax, reader, NULL, 0, NULL, XML_CHAR_ENCODING_UTF8);
    if (parser == NULL)
        return tl_error_set(error, TL_ERR_NO_MEMORY, "could not be parsed for lack of memory");
    reader->parser = parser;
    reader->looked_at = 4 * PIECE;
    htmlCtxtUseOptions(parser, HTML_PARSE_RECOVER | HTML_PARSE_NONET | HTML_PARSE_NODEFDTD | HTML_PARSE_IGNORE_ENC);
    feed_page(reader, data, length);
    if (!reader->stopped)
        htmlParseChunk(parser, NULL, 0, 1);
    const xmlError *problem = xmlCtxtGetLastError(parser);
    bool no_memory = problem != NULL && problem->code == XML_ERR_NO_MEMORY;
    if (parser->myDoc != NULL)
        xmlFreeDoc(parser->myDoc);
    htmlFreeParserCtxt(parser);
    if (reader->work >= WORK_MAX)
        return tl_error_set(error, TL_ERR_LIMIT,
                            "is no usual HTML: elements nested %zu deep, or a tag with thousands of attributes",
                            reader->depth);
    return no_memory ? tl_error_set(error, TL_ERR_NO_MEMORY, "could not be parsed for lack of memory") : TL_OK;
}

enum tl_status tl_html_extract(const char *data, size_t length, struct tl_writer *writer, struct tl_str *title,
                               struct tl_error *error) {
    xmlInitParser();
    size_t before = writer->length;
    struct reader reader = {.writer = writer, .title = title};
    enum tl_status status = parse(&reader, data, length, error);
    if (status == TL_OK && writer->status == TL_OK && writer->length == before) {
        reader = (struct reader){.writer = writer, .title = title, .with_site = true, .has_title = title->length > 0};
        status = parse(&reader, data, length, error);
    }
    return status;
}

enum tl_status tl_html_extract_fragment(const char *data, size_t length, struct tl_writer *writer,
                                        struct tl_error *error) {
    xmlInitParser();
    struct reader reader = {.writer = writer, .with_site = true, .has_title = true};
    return parse(&reader, data, length, error);
}

void tl_html_decode_reference(const char *reference, size_t length, struct tl_str *out) {
    char name[33];
    uint32_t code = 0;
    if (length >= 3 && length < sizeof name && reference[0] == '&' && reference[length - 1] == ';') {
        memcpy(name, reference + 1, length - 2);
        name[length - 2] = '\0';
        if (name[0] == '#') {
            bool hex = name[1] == 'x' || name[1] == 'X';
            char *end;
            unsigned long number = strtoul(name + (hex ? 2 : 1), &end, hex ? 16 : 10);
            code = *end == '\0' && number <= 0x10ffff ? (uint32_t)number : 0;
        } else {
            const htmlEntityDesc *entity = htmlEntityLookup((const xmlChar *)name);
            code = entity != NULL ? entity->value : 0;
        }
    }
    utf8proc_uint8_t utf8[4];
    utf8proc_ssize_t size = utf8proc_codepoint_valid((utf8proc_int32_t)code) && code != 0
                                ? utf8proc_encode_char((utf8proc_int32_t)code, utf8)
                                : 0;
    if (size > 0)
        tl_str_append(out, (const char *)utf8, (size_t)size);
    else
        tl_str_append(out, reference, length);
}

/* extract.c: one document from its bytes to text, title and marks: reads, detects, decodes, and calls
 * the loader of its format. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/utf8.h"
#include "engine/documents/documents.h"
#include "engine/documents/encoding.h"
#include "engine/documents/html.h"
#include "engine/documents/markdown.h"
#include "engine/documents/pdf.h"
#include "engine/documents/writer.h"

#define TITLE_MAX 300

/* The charset in "text/html; charset=..." (as a server told it), else in the page itself. */
static void declared_charset(const struct tl_document_source *source, const char *data, size_t length, char out[32]) {
    out[0] = '\0';
    if (source->media_type != NULL)
        tl_encoding_html_charset(source->media_type, strlen(source->media_type) + 1, out);
    if (out[0] == '\0')
        tl_encoding_html_charset(data, length, out);
    if (out[0] == '\0') /* malformed UTF-8 that nobody called UTF-8: as browsers take it */
        memcpy(out, "windows-1252", sizeof "windows-1252");
}

static enum tl_status load_text(const struct tl_document_source *source, const char *data, size_t length,
                                struct tl_writer *writer, struct tl_str *title, struct tl_extracted *out,
                                struct tl_error *error) {
    char charset[32] = "";
    if (out->media == TL_MEDIA_HTML)
        declared_charset(source, data, length, charset);
    struct tl_utf8_text text;
    enum tl_status status = tl_encoding_to_utf8(data, length, charset, &text, error);
    if (status != TL_OK)
        return status;
    out->repaired = text.repaired;
    if (out->media == TL_MEDIA_HTML)
        status = tl_html_extract(text.data, text.length, writer, title, error);
    else if (out->media == TL_MEDIA_MARKDOWN)
        status = tl_markdown_extract(text.data, text.length, writer, title, error);
    else
        tl_writer_verbatim(writer, text.data, text.length);
    tl_utf8_text_fini(&text);
    return status;
}

static enum tl_status load(const struct tl_document_source *source, const char *data, size_t length,
                           const struct tl_document_limits *limits, struct tl_str *title, struct tl_extracted *out,
                           struct tl_error *error) {
    if (length == 0)
        return tl_error_set(error, TL_ERR_INVALID, "is empty");
    if (length > limits->max_bytes)
        return tl_error_set(error, TL_ERR_LIMIT, "has %zu bytes, more than the limit of %zu", length,
                            limits->max_bytes);
    out->media = tl_media_detect(source->uri, source->media_type, data, length);
    struct tl_writer writer;
    tl_writer_init(&writer, limits->max_bytes);
    enum tl_status status;
    if (out->media == TL_MEDIA_BINARY)
        status = tl_error_set(error, TL_ERR_UNSUPPORTED, "is binary: no text, Markdown, HTML or PDF");
    else if (out->media == TL_MEDIA_PDF)
        status = tl_pdf_extract(data, length, limits, &writer, title, &out->repaired, error);
    else
        status = load_text(source, data, length, &writer, title, out, error);
    if (status != TL_OK) {
        tl_writer_fini(&writer);
        return status;
    }
    status = tl_writer_finish(&writer, out);
    if (status == TL_ERR_LIMIT)
        return tl_error_set(error, status, "holds more text than the limit of %zu bytes", limits->max_bytes);
    if (status == TL_ERR_NO_MEMORY)
        return tl_error_set(error, status, "holds more text than there is memory");
    if (status != TL_OK)
        return tl_error_set(error, status, "holds no text%s",
                            out->media == TL_MEDIA_PDF ? " (scanned pages? OCR them first, for example with ocrmypdf)"
                                                       : "");
    return TL_OK;
}

/* A title is one line: white space collapses, and what is long is cut. Takes what is already UTF-8. */
static char *clean_title(const char *text, size_t length) {
    struct tl_str title = TL_STR_INIT;
    for (size_t i = 0; i < length && title.length < TITLE_MAX; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c > 0x20 && c != 0x7f)
            tl_str_putc(&title, (char)c);
        else if (title.length > 0 && title.data[title.length - 1] != ' ')
            tl_str_putc(&title, ' ');
    }
    tl_str_truncate(&title, tl_utf8_complete_prefix(title.data, title.length));
    while (title.length > 0 && title.data[title.length - 1] == ' ')
        tl_str_truncate(&title, title.length - 1);
    if (title.length == 0) {
        tl_str_fini(&title);
        return NULL;
    }
    return tl_str_detach(&title);
}

static char *file_name(const char *uri) {
    size_t length = strlen(uri);
    while (length > 1 && uri[length - 1] == '/')
        length--;
    const char *slash = memrchr(uri, '/', length);
    size_t skip = slash != NULL && (size_t)(slash - uri) + 1 < length ? (size_t)(slash - uri) + 1 : 0;
    struct tl_str repaired = TL_STR_INIT; /* names of files are bytes */
    tl_utf8_repair(uri + skip, length - skip, &repaired);
    char *title = clean_title(repaired.data, repaired.length);
    tl_str_fini(&repaired);
    return title != NULL ? title : tl_mem_strdup("document");
}

/* The document's own title, else its first top heading, else the name of its file. */
static void set_title(struct tl_extracted *out, const struct tl_str *own, const char *uri) {
    struct tl_str valid = TL_STR_INIT;
    tl_utf8_repair(own->data, own->length, &valid);
    out->title = clean_title(valid.data, valid.length);
    tl_str_fini(&valid);
    for (size_t i = 0; i < out->mark_count && out->title == NULL; i++)
        if (out->marks[i].level == 1)
            out->title = clean_title(out->text + out->marks[i].offset, out->marks[i].length);
    if (out->title == NULL)
        out->title = file_name(uri);
}

enum tl_status tl_document_extract(const struct tl_document_source *source, struct tl_extracted *out,
                                   const struct tl_document_limits *limits, struct tl_error *error) {
    static const struct tl_document_limits defaults = TL_DOCUMENT_LIMITS_DEFAULT;
    if (limits == NULL)
        limits = &defaults;
    *out = (struct tl_extracted){0};
    const char *data = source->data;
    size_t length = source->length;
    char *owned = NULL;
    if (data == NULL) {
        enum tl_status status = tl_document_read(source->uri, limits, &owned, &length, error);
        if (status != TL_OK)
            return status;
        data = owned;
    }
    struct tl_error cause = {TL_OK, ""};
    struct tl_str title = TL_STR_INIT;
    tl_sha256_hex(data, length, out->digest);
    enum tl_status status = load(source, data, length, limits, &title, out, &cause);
    free(owned);
    if (status == TL_OK) {
        set_title(out, &title, source->uri);
    } else {
        char name[256];
        tl_extracted_fini(out);
        tl_error_set(error, status, "%s %s", tl_document_print_uri(source->uri, name, sizeof name), cause.message);
    }
    tl_str_fini(&title);
    return status;
}

void tl_extracted_fini(struct tl_extracted *extracted) {
    free(extracted->text);
    tl_mem_free(extracted->title);
    free(extracted->marks);
    *extracted = (struct tl_extracted){0};
}

bool tl_document_is_skip(enum tl_status status) {
    switch (status) {
    case TL_ERR_INVALID:
    case TL_ERR_NOT_FOUND:
    case TL_ERR_IO:
    case TL_ERR_LIMIT:
    case TL_ERR_UNSUPPORTED:
    case TL_ERR_NO_MEMORY: /* of this document's size: others may fit */
        return true;
    default:
        return false;
    }
}

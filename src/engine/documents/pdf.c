/* pdf.c: pdftotext gets the bytes on its standard input, so that no name of a document is ever an
 * argument. With -htmlmeta it writes a small HTML head (whose <title> is the document's), <pre>, the
 * plain text with a form feed after each page, and </pre>. */
#include "engine/documents/pdf.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/error.h"
#include "engine/documents/confined.h"
#include "engine/documents/encoding.h"
#include "engine/documents/html.h"

#define PDF_MEMORY ((size_t)2 << 30)

static const char *const arguments[] = {"pdftotext", "-enc", "UTF-8", "-eol", "unix", "-htmlmeta", "-", "-", NULL};

/* What pdftotext said, in our words where that helps. */
static enum tl_status broken(const struct tl_confined_result *result, struct tl_error *error) {
    if (strstr(result->complaint, "Incorrect password") != NULL)
        return tl_error_set(error, TL_ERR_INVALID, "is protected by a password");
    if (result->exit_code == 3)
        return tl_error_set(error, TL_ERR_INVALID, "does not permit that its text is copied");
    if (result->exit_code < 0)
        return tl_error_set(error, TL_ERR_INVALID,
                            "is broken, or needs more time or memory than allowed (pdftotext was "
                            "ended by a signal)");
    size_t line = strcspn(result->complaint, "\n");
    return tl_error_set(error, TL_ERR_INVALID, "is a broken PDF (pdftotext: %.*s)", line > 0 ? (int)line : 15,
                        line > 0 ? result->complaint : "no explanation");
}

/* Decodes the references in the title; leaves out what programs put there by themselves. */
static void read_title(const char *head, size_t length, struct tl_str *title) {
    static const char open[] = "<title>", word[] = "Microsoft Word - ";
    const char *begin = memmem(head, length, open, sizeof open - 1);
    if (begin == NULL)
        return;
    begin += sizeof open - 1;
    const char *end = memmem(begin, length - (size_t)(begin - head), "</title>", 8);
    if (end == NULL)
        return;
    struct tl_str decoded = TL_STR_INIT;
    while (begin < end) {
        const char *semicolon = *begin == '&' ? memchr(begin, ';', (size_t)(end - begin)) : NULL;
        size_t size = semicolon != NULL ? (size_t)(semicolon - begin) + 1 : 1;
        if (size > 1)
            tl_html_decode_reference(begin, size, &decoded);
        else
            tl_str_putc(&decoded, *begin);
        begin += size;
    }
    const char *text = decoded.data;
    if (strncmp(text, word, sizeof word - 1) == 0)
        text += sizeof word - 1;
    if (strcasecmp(text, "untitled") != 0)
        tl_str_puts(title, text);
    tl_str_fini(&decoded);
}

/* Writes a page, with rows of dots as in tables of contents (". . . . .") cut to one "...". */
static void write_page(struct tl_writer *writer, const char *page, size_t length) {
    size_t plain = 0;
    for (size_t i = 0; i < length; i++) {
        if (page[i] != '.')
            continue;
        size_t end = i, dots = 0;
        for (; end < length && (page[end] == '.' || (page[end] == ' ' && dots > 0)); end++)
            dots += page[end] == '.';
        if (dots >= 5) {
            tl_writer_verbatim(writer, page + plain, i - plain);
            tl_writer_verbatim(writer, "... ", 4);
            plain = end;
        }
        i = end - 1;
    }
    tl_writer_verbatim(writer, page + plain, length - plain);
}

static void write_pages(struct tl_writer *writer, const char *text, size_t length) {
    const char *end = text + length;
    for (uint32_t number = 1; text < end; number++) {
        const char *feed = memchr(text, '\f', (size_t)(end - text));
        const char *page_end = feed != NULL ? feed : end;
        tl_writer_page(writer, number);
        write_page(writer, text, (size_t)(page_end - text));
        text = feed != NULL ? feed + 1 : end;
    }
}

static enum tl_status read_output(struct tl_confined_result *result, struct tl_writer *writer, struct tl_str *title,
                                  size_t *repaired, struct tl_error *error) {
    static const char open[] = "<pre>\n", close[] = "</pre>";
    for (char *nul = result->output;
         (nul = memchr(nul, '\0', result->length - (size_t)(nul - result->output))) != NULL;)
        *nul = ' ';
    struct tl_utf8_text text;
    enum tl_status status = tl_encoding_to_utf8(result->output, result->length, NULL, &text, error);
    if (status != TL_OK)
        return status;
    const char *begin = memmem(text.data, text.length, open, sizeof open - 1);
    const char *end = text.data + text.length;
    if (begin == NULL) {
        tl_utf8_text_fini(&text);
        return tl_error_set(error, TL_ERR_UNSUPPORTED,
                            "could not be read: this pdftotext does not write what is expected "
                            "(is it poppler's?)");
    }
    read_title(text.data, (size_t)(begin - text.data), title);
    begin += sizeof open - 1;
    const char *last = memrchr(begin, '<', (size_t)(end - begin));
    while (last != NULL && ((size_t)(end - last) < sizeof close - 1 || memcmp(last, close, sizeof close - 1) != 0))
        last = memrchr(begin, '<', (size_t)(last - begin)); /* </html>, </body> come after it */
    write_pages(writer, begin, (size_t)((last != NULL ? last : end) - begin));
    *repaired = text.repaired;
    tl_utf8_text_fini(&text);
    return TL_OK;
}

enum tl_status tl_pdf_extract(const char *data, size_t length, const struct tl_document_limits *limits,
                              struct tl_writer *writer, struct tl_str *title, size_t *repaired,
                              struct tl_error *error) {
    char found[PATH_MAX];
    const char *program = limits->pdftotext;
    if (program == NULL && tl_confined_find("pdftotext", found, sizeof found))
        program = found;
    if (program == NULL)
        return tl_error_set(error, TL_ERR_UNSUPPORTED,
                            "is a PDF, and pdftotext is not installed (Debian, Ubuntu: apt install poppler-utils)");
    struct tl_confined run = {program, arguments, data, length, limits->pdf_seconds, PDF_MEMORY, limits->max_bytes};
    struct tl_confined_result result;
    enum tl_status status = tl_confined_run(&run, &result, error);
    if (status == TL_ERR_NOT_FOUND)
        return tl_error_set(error, TL_ERR_UNSUPPORTED,
                            "is a PDF, and %s cannot be run (Debian, Ubuntu: apt install poppler-utils)", program);
    if (status != TL_OK)
        return status;
    if (result.exit_code != 0 || result.length == 0)
        status = broken(&result, error);
    else
        status = read_output(&result, writer, title, repaired, error);
    free(result.output);
    return status;
}

/* media.c: what kind of document this is. */
#include <string.h>
#include <strings.h>

#include "base/utf8.h"
#include "engine/documents/documents.h"
#include "engine/documents/encoding.h"

static const struct {
    const char *name;
    enum tl_media media;
} types[] =
    {
        {"text/plain", TL_MEDIA_TEXT},
        {"text/markdown", TL_MEDIA_MARKDOWN},
        {"text/x-markdown", TL_MEDIA_MARKDOWN},
        {"text/html", TL_MEDIA_HTML},
        {"application/xhtml+xml", TL_MEDIA_HTML},
        {"application/pdf", TL_MEDIA_PDF},
        {"application/octet-stream", TL_MEDIA_BINARY},
},
  endings[] = {
      {".txt", TL_MEDIA_TEXT},          {".text", TL_MEDIA_TEXT},    {".md", TL_MEDIA_MARKDOWN},
      {".markdown", TL_MEDIA_MARKDOWN}, {".mkd", TL_MEDIA_MARKDOWN}, {".mdown", TL_MEDIA_MARKDOWN},
      {".html", TL_MEDIA_HTML},         {".htm", TL_MEDIA_HTML},     {".xhtml", TL_MEDIA_HTML},
      {".pdf", TL_MEDIA_PDF},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const char *tl_media_name(enum tl_media media) {
    switch (media) {
    case TL_MEDIA_TEXT:
        return "text/plain";
    case TL_MEDIA_MARKDOWN:
        return "text/markdown";
    case TL_MEDIA_HTML:
        return "text/html";
    case TL_MEDIA_PDF:
        return "application/pdf";
    case TL_MEDIA_BINARY:
        break;
    }
    return "application/octet-stream";
}

/* Viewers take a PDF whose mark is anywhere in the first 1024 bytes; in text that only quotes the mark
 * it hardly stands at the start of a line. */
static bool has_pdf_mark(const char *data, size_t length) {
    size_t window = length < 1024 ? length : 1024;
    const char *mark = memmem(data, window, "%PDF-", 5);
    return mark != NULL && (mark == data || mark[-1] == '\n' || mark[-1] == '\r');
}

/* Whether the first thing that is not white space, a comment or an XML declaration is an HTML tag. */
static bool has_html_mark(const char *data, size_t length) {
    if (length > 4096)
        length = 4096;
    const char *end = data + length;
    if (length >= 3 && memcmp(data, "\xef\xbb\xbf", 3) == 0)
        data += 3;
    while (data < end) {
        if (strchr(" \t\n\r\f", *data) != NULL && *data != '\0') {
            data++;
            continue;
        }
        size_t left = (size_t)(end - data);
        bool comment = left >= 4 && memcmp(data, "<!--", 4) == 0;
        bool declaration = left >= 5 && memcmp(data, "<?xml", 5) == 0;
        if (!comment && !declaration)
            return (left >= 14 && strncasecmp(data, "<!doctype html", 14) == 0) ||
                   (left >= 6 && strncasecmp(data, "<html", 5) == 0 && strchr(" \t\n\r>", data[5]) != NULL);
        const char *close = memmem(data, left, comment ? "-->" : "?>", comment ? 3 : 2);
        if (close == NULL)
            return false;
        data = close + (comment ? 3 : 2);
    }
    return false;
}

static bool ends_with(const char *name, const char *ending) {
    size_t length = strlen(name), size = strlen(ending);
    return length > size && strcasecmp(name + length - size, ending) == 0;
}

enum tl_media tl_media_detect(const char *name, const char *media_type, const char *data, size_t length) {
    if (media_type != NULL) {
        size_t size = strcspn(media_type, "; \t");
        for (size_t i = 0; i < COUNT(types); i++)
            if (strlen(types[i].name) == size && strncasecmp(media_type, types[i].name, size) == 0)
                return types[i].media;
    }
    if (has_pdf_mark(data, length))
        return TL_MEDIA_PDF;
    for (size_t i = 0; name != NULL && i < COUNT(endings); i++)
        if (ends_with(name, endings[i].name))
            return endings[i].media;
    if (has_html_mark(data, length))
        return TL_MEDIA_HTML;
    if (!tl_encoding_is_utf16(data, length) && memchr(data, '\0', length) != NULL)
        return TL_MEDIA_BINARY;
    return TL_MEDIA_TEXT;
}

/* html_elements.c: which elements are text, which are borders, which are left out. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "engine/documents/html.h"

struct element {
    const char *name;
    enum tl_html_role role;
};

/* Sorted by name. */
static const struct element elements[] = {
    {"address", TL_HTML_BLOCK},   {"applet", TL_HTML_SKIP},    {"article", TL_HTML_BLOCK},
    {"aside", TL_HTML_BLOCK},     {"audio", TL_HTML_SKIP},     {"blockquote", TL_HTML_BLOCK},
    {"body", TL_HTML_BLOCK},      {"br", TL_HTML_LINE},        {"button", TL_HTML_SKIP},
    {"canvas", TL_HTML_SKIP},     {"caption", TL_HTML_BLOCK},  {"center", TL_HTML_BLOCK},
    {"datalist", TL_HTML_SKIP},   {"dd", TL_HTML_LINE},        {"details", TL_HTML_BLOCK},
    {"dir", TL_HTML_LIST},        {"div", TL_HTML_BLOCK},      {"dl", TL_HTML_BLOCK},
    {"dt", TL_HTML_LINE},         {"fieldset", TL_HTML_BLOCK}, {"figcaption", TL_HTML_BLOCK},
    {"figure", TL_HTML_BLOCK},    {"footer", TL_HTML_SITE},    {"form", TL_HTML_BLOCK},
    {"h1", TL_HTML_HEADING},      {"h2", TL_HTML_HEADING},     {"h3", TL_HTML_HEADING},
    {"h4", TL_HTML_HEADING},      {"h5", TL_HTML_HEADING},     {"h6", TL_HTML_HEADING},
    {"header", TL_HTML_BLOCK},    {"hr", TL_HTML_BLOCK},       {"iframe", TL_HTML_SKIP},
    {"input", TL_HTML_SKIP},      {"legend", TL_HTML_BLOCK},   {"li", TL_HTML_ITEM},
    {"listing", TL_HTML_PRE},     {"main", TL_HTML_BLOCK},     {"map", TL_HTML_SKIP},
    {"menu", TL_HTML_LIST},       {"nav", TL_HTML_SITE},       {"noembed", TL_HTML_SKIP},
    {"noframes", TL_HTML_SKIP},   {"noscript", TL_HTML_SKIP},  {"object", TL_HTML_SKIP},
    {"ol", TL_HTML_ORDERED_LIST}, {"optgroup", TL_HTML_SKIP},  {"option", TL_HTML_SKIP},
    {"p", TL_HTML_BLOCK},         {"plaintext", TL_HTML_PRE},  {"pre", TL_HTML_PRE},
    {"script", TL_HTML_SKIP},     {"search", TL_HTML_SITE},    {"section", TL_HTML_BLOCK},
    {"select", TL_HTML_SKIP},     {"style", TL_HTML_SKIP},     {"summary", TL_HTML_BLOCK},
    {"sup", TL_HTML_SUPERSCRIPT}, {"svg", TL_HTML_SKIP},       {"table", TL_HTML_BLOCK},
    {"td", TL_HTML_CELL},         {"template", TL_HTML_SKIP},  {"textarea", TL_HTML_SKIP},
    {"th", TL_HTML_CELL},         {"title", TL_HTML_TITLE},    {"tr", TL_HTML_LINE},
    {"ul", TL_HTML_LIST},         {"video", TL_HTML_SKIP},     {"xmp", TL_HTML_PRE},
};

/* Values of role= (WAI-ARIA) that mark what surrounds a page's content. */
static const char *const site_roles[] = {"navigation", "search", "contentinfo", "menu", "menubar"};

/* Names in class= that by common use mark navigation, or by their meaning ask indexers to pass. */
static const char *const site_classes[] = {
    "nav",        "navbar",  "navigation", "menu",    "breadcrumb",       "breadcrumbs",
    "pagination", "noindex", "nosearch",   "noprint", "robots-nocontent", "searchmenu",
};

static int compare(const void *name, const void *item) {
    return strcmp(name, ((const struct element *)item)->name);
}

enum tl_html_role tl_html_element_role(const char *name) {
    const struct element *found =
        bsearch(name, elements, sizeof elements / sizeof elements[0], sizeof elements[0], compare);
    return found == NULL ? TL_HTML_INLINE : found->role;
}

/* Whether one of the words of `value`, separated by white space, is one of `names`. */
static bool has_word(const char *value, const char *const *names, size_t count) {
    static const char blanks[] = " \t\n\r\f";
    for (const char *word = value + strspn(value, blanks); *word != '\0';) {
        size_t length = strcspn(word, blanks);
        for (size_t i = 0; i < count; i++)
            if (strlen(names[i]) == length && strncasecmp(word, names[i], length) == 0)
                return true;
        word += length;
        word += strspn(word, blanks);
    }
    return false;
}

/* Whether a style= says display:none. */
static bool is_display_none(const char *style) {
    static const char wanted[] = "display:none";
    size_t matched = 0;
    for (; *style != '\0'; style++) {
        char c = *style >= 'A' && *style <= 'Z' ? (char)(*style - 'A' + 'a') : *style;
        if (c == ' ' || c == '\t' || c == '\n')
            continue;
        if (c != wanted[matched])
            matched = 0;
        if (c == wanted[matched] && wanted[++matched] == '\0')
            return true;
    }
    return false;
}

enum tl_html_role tl_html_attribute_role(const unsigned char *const *attributes) {
    enum tl_html_role role = TL_HTML_INLINE;
    for (; attributes != NULL && attributes[0] != NULL; attributes += 2) {
        const char *name = (const char *)attributes[0];
        const char *value = attributes[1] != NULL ? (const char *)attributes[1] : "";
        if (strcmp(name, "hidden") == 0 || (strcmp(name, "aria-hidden") == 0 && strcasecmp(value, "true") == 0) ||
            (strcmp(name, "style") == 0 && is_display_none(value)))
            return TL_HTML_SKIP;
        if (strcmp(name, "data-nosnippet") == 0 ||
            (strcmp(name, "role") == 0 && has_word(value, site_roles, sizeof site_roles / sizeof site_roles[0])) ||
            (strcmp(name, "class") == 0 && has_word(value, site_classes, sizeof site_classes / sizeof site_classes[0])))
            role = TL_HTML_SITE;
    }
    return role;
}

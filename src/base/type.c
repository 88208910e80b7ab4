#include "base/type.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"

static const char *const base_names[TL_TYPE_COUNT] = {
#define X(id, name) [TL_TYPE_##id] = name,
    TL_BASE_TYPES(X)
#undef X
};

const char *tl_base_type_name(enum tl_base_type base) {
    TL_ASSERT((unsigned)base < TL_TYPE_COUNT);
    return base_names[base];
}

bool tl_type_equal(struct tl_type a, struct tl_type b) {
    return a.base == b.base && a.depth == b.depth;
}

char *tl_type_print(struct tl_type type, char out[24]) {
    TL_ASSERT(type.depth <= TL_TYPE_MAX_DEPTH);
    snprintf(out, 24, "%s", tl_base_type_name((enum tl_base_type)type.base));
    for (unsigned i = 0; i < type.depth; i++)
        memcpy(out + strlen(out), "[]", sizeof "[]");
    return out;
}

/* The bases whose plural a user may write for a list. */
static bool has_plural(enum tl_base_type base) {
    return base != TL_TYPE_JSON && base != TL_TYPE_KV && base != TL_TYPE_INDEX && base != TL_TYPE_CONTROL;
}

bool tl_type_parse(const char *text, struct tl_type *type) {
    size_t word = strcspn(text, "[");
    unsigned levels = 0;
    for (const char *rest = text + word; *rest != '\0'; rest += 2) {
        if (rest[0] != '[' || rest[1] != ']' || levels == TL_TYPE_MAX_DEPTH)
            return false;
        levels++;
    }
    for (unsigned base = 0; base < TL_TYPE_COUNT; base++) {
        size_t length = strlen(base_names[base]);
        if (length > word || memcmp(text, base_names[base], length) != 0)
            continue;
        bool plural = word == length + 1 && text[length] == 's' && has_plural((enum tl_base_type)base);
        if (word != length && !plural)
            continue;
        if (levels + plural > TL_TYPE_MAX_DEPTH)
            return false;
        *type = (struct tl_type){.base = (uint8_t)base, .depth = (uint8_t)(levels + plural)};
        return true;
    }
    return false;
}

struct tl_type tl_type_element(struct tl_type list) {
    TL_ASSERT(list.depth > 0);
    list.depth--;
    return list;
}

struct tl_type tl_type_list(struct tl_type element) {
    TL_ASSERT(element.depth < TL_TYPE_MAX_DEPTH);
    element.depth++;
    return element;
}

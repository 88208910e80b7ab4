/* template.h: a parsed prompt template, for this folder only.
 *
 * The template language has three forms and no more: {name} inserts an input, {#name}...{/name} is left
 * out when that input is empty, {{ and }} stand for braces. Nothing that is inserted is looked at again,
 * so a document that contains "{question}" or "{{" reaches the model as it is.
 */
#ifndef TL_BUILTIN_TEMPLATE_H
#define TL_BUILTIN_TEMPLATE_H

#include "base/arena.h"
#include "builtin/builtin.h"

#define TL_TEMPLATE_SECTION_DEPTH 8 /* sections within sections */
#define TL_TEMPLATE_NAME_LENGTH 64
#define TL_TEMPLATE_MESSAGES 64

struct tl_segment {
    uint32_t message;
    const char *text;         /* literal text with braces undone; NULL for an insertion */
    size_t length;
    const char *const *needs; /* sections around it, outermost first; then the name of an insertion */
    uint32_t need_count;
    uint32_t section_count;   /* how many of `needs` are sections */
};

struct tl_template {
    struct tl_arena arena; /* holds everything below, the template itself is on the heap */
    enum tl_role *roles;   /* per message */
    uint32_t message_count;
    struct tl_segment *segments;
    size_t segment_count, segment_capacity;
    const char **names;
    size_t name_count, name_capacity;
};

#endif

/* literal.c: sorted sets of texts, and which of them a frame may write. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "schema/schema_impl.h"

static int by_text(const void *a, const void *b) {
    const struct tl_schema_literal *x = a, *y = b;
    int order = memcmp(x->text, y->text, x->length < y->length ? x->length : y->length);
    return order != 0 ? order : (x->length > y->length) - (x->length < y->length);
}

struct tl_schema_literals tl_schema_literals_make(struct tl_arena *arena, struct tl_schema_literal *items,
                                                  size_t count) {
    qsort(items, count, sizeof *items, by_text);
    size_t kept = 0;
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || by_text(&items[kept - 1], &items[i]) != 0)
            items[kept++] = items[i];
    return (struct tl_schema_literals){tl_arena_copy(arena, items, kept * sizeof *items), (uint32_t)kept};
}

bool tl_schema_range_put(const struct tl_schema_literals *literals, struct tl_schema_range *range, unsigned char byte) {
    uint32_t low = range->low, at = range->at;
    while (low < range->high &&
           (literals->items[low].length <= at || (unsigned char)literals->items[low].text[at] < byte))
        low++;
    uint32_t high = low;
    while (high < range->high && (unsigned char)literals->items[high].text[at] == byte)
        high++;
    if (low == high)
        return false;
    *range = (struct tl_schema_range){low, high, at + 1};
    return true;
}

/* ---- what containers write ---- */

enum { GOES_ON,
       ENDS };

#define TEXT(text, next) \
    { \
        text, sizeof(text) - 1, next}
static const struct tl_schema_literal array_opens[] = {TEXT("[", GOES_ON), TEXT("[]", ENDS)};
static const struct tl_schema_literal array_continues[] = {TEXT(", ", GOES_ON), TEXT("]", ENDS)};
static const struct tl_schema_literal map_opens[] = {TEXT("{", GOES_ON), TEXT("{}", ENDS)};
static const struct tl_schema_literal map_continues[] = {TEXT(", ", GOES_ON), TEXT("}", ENDS)};
static const struct tl_schema_literal colon[] = {TEXT(": ", GOES_ON)};

/* Both of two literals, or one alone. */
static struct tl_schema_literals some(const struct tl_schema_literal two[2], bool first, bool second) {
    return (struct tl_schema_literals){first ? two : two + 1, (uint32_t)first + (uint32_t)second};
}

struct tl_schema_literals tl_schema_choices(const struct tl_schema *schema, const struct tl_schema_frame *frame) {
    const struct tl_schema_node *node = &schema->nodes[frame->node];
    bool opens = frame->phase == TL_SCHEMA_OPEN;
    switch (node->kind) {
    case TL_SCHEMA_LITERALS: return node->as.literals;
    case TL_SCHEMA_OBJECT: return node->as.object.after[frame->count];
    case TL_SCHEMA_MAP:
        if (frame->phase == TL_SCHEMA_KEY)
            return (struct tl_schema_literals){colon, 1};
        return some(opens ? map_opens : map_continues, true, true);
    case TL_SCHEMA_ARRAY:
        return some(opens ? array_opens : array_continues, frame->count < node->as.array.most,
                    frame->count >= node->as.array.least);
    default: TL_BUG("a frame of kind %d writes no literals", (int)node->kind);
    }
}

const struct tl_schema_node *tl_schema_following(const struct tl_schema *schema, const struct tl_schema_frame *frame,
                                                 const struct tl_schema_literal *literal) {
    const struct tl_schema_node *node = &schema->nodes[frame->node];
    switch (node->kind) {
    case TL_SCHEMA_OBJECT:
        return literal->next < node->as.object.count ? &schema->nodes[node->as.object.values[literal->next]] : NULL;
    case TL_SCHEMA_MAP: /* where a name may stand, its value must find room too */
        return literal->next == ENDS ? NULL : &schema->nodes[node->as.map.value];
    case TL_SCHEMA_ARRAY: return literal->next == ENDS ? NULL : &schema->nodes[node->as.array.item];
    default: return NULL;
    }
}

/* llama_leaves.c: see llama_leaves.h. */
#include "engine/llama/llama_leaves.h"

#include <string.h>

#include "base/mem.h"

size_t tl_llama_leaf_count(const struct tl_value *value) {
    if (value->type.depth == 0)
        return 1;
    size_t count = 0;
    for (size_t i = 0; i < value->as.list.count; i++)
        count += tl_llama_leaf_count(value->as.list.items[i]);
    return count;
}

struct tl_value **tl_llama_leaves(struct tl_value *value, struct tl_value **out) {
    if (value->type.depth == 0) {
        *out++ = value;
        return out;
    }
    for (size_t i = 0; i < value->as.list.count; i++)
        out = tl_llama_leaves(value->as.list.items[i], out);
    return out;
}

/* Takes leaves from *next on. NULL when memory is out: the leaves of this part are released then too. */
static struct tl_value *reshape(const struct tl_value *shape, enum tl_base_type base, struct tl_value *const **next) {
    if (shape->type.depth == 0)
        return *(*next)++;
    size_t count = shape->as.list.count;
    struct tl_value **items = tl_mem_try_alloc((count + 1) * sizeof *items);
    bool complete = items != NULL;
    for (size_t i = 0; i < count; i++) {
        struct tl_value *item = reshape(shape->as.list.items[i], base, next);
        if (items)
            items[i] = item;
        else
            tl_value_unref(item);
        complete = complete && item;
    }
    struct tl_type element = {(uint8_t)base, (uint8_t)(shape->type.depth - 1)};
    struct tl_value *list = NULL;
    if (complete)
        list = tl_value_list(element, items, count);
    else
        for (size_t i = 0; items && i < count; i++)
            tl_value_unref(items[i]);
    tl_mem_free(items);
    return list;
}

struct tl_value *tl_llama_reshape(const struct tl_value *shape, enum tl_base_type base,
                                  struct tl_value *const *leaves) {
    return reshape(shape, base, &leaves);
}

void tl_llama_chunk_text(const struct tl_chunk *chunk, struct tl_str *out) {
    const char *lines[] = {chunk->title, chunk->heading};
    for (size_t i = 0; i < 2; i++)
        if (lines[i] && lines[i][0])
            tl_str_printf(out, "%s\n", lines[i]);
    tl_str_append(out, chunk->text, chunk->length);
}

#include "base/arena.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"

#define FIRST_BLOCK ((size_t)4096)
#define LAST_BLOCK ((size_t)1 << 20)

struct tl_arena_block {
    struct tl_arena_block *next;
    size_t used, size; /* of memory[] */
    alignas(max_align_t) unsigned char memory[];
};

void tl_arena_init(struct tl_arena *arena) {
    *arena = (struct tl_arena){0};
}

void tl_arena_fini(struct tl_arena *arena) {
    struct tl_arena_block *block = arena->blocks;
    while (block != NULL) {
        struct tl_arena_block *next = block->next;
        tl_mem_free(block);
        block = next;
    }
    tl_arena_init(arena);
}

/* Puts a block with room for `size` at the front, or, when the allocation is too large to
 * share one, behind the front block, whose rest stays in use. */
static struct tl_arena_block *add_block(struct tl_arena *arena, size_t size) {
    size_t usual = FIRST_BLOCK;
    while (usual < LAST_BLOCK && usual <= arena->reserved)
        usual *= 2;
    size_t room = usual - sizeof(struct tl_arena_block);
    bool shared = size <= room;
    if (!shared)
        room = size;
    size_t total;
    if (__builtin_add_overflow(room, sizeof(struct tl_arena_block), &total))
        TL_BUG("arena allocation of %zu bytes", size);
    struct tl_arena_block *block = tl_mem_alloc(total);
    block->used = 0;
    block->size = room;
    if (shared || arena->blocks == NULL) {
        block->next = arena->blocks;
        arena->blocks = block;
    } else {
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    }
    arena->reserved += total;
    return block;
}

void *tl_arena_alloc(struct tl_arena *arena, size_t size) {
    const size_t align = alignof(max_align_t);
    if (size > SIZE_MAX - align)
        TL_BUG("arena allocation of %zu bytes", size);
    size_t rounded = size == 0 ? align : (size + align - 1) / align * align;
    struct tl_arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < rounded)
        block = add_block(arena, rounded);
    void *memory = block->memory + block->used;
    block->used += rounded;
    arena->used += rounded;
    memset(memory, 0, rounded);
    return memory;
}

void *tl_arena_copy(struct tl_arena *arena, const void *data, size_t size) {
    void *copy = tl_arena_alloc(arena, size);
    if (size > 0)
        memcpy(copy, data, size);
    return copy;
}

char *tl_arena_strdup(struct tl_arena *arena, const char *text) {
    return text == NULL ? NULL : tl_arena_strndup(arena, text, strlen(text));
}

char *tl_arena_strndup(struct tl_arena *arena, const char *text, size_t length) {
    if (length == SIZE_MAX)
        TL_BUG("arena string of %zu bytes", length);
    char *copy = tl_arena_alloc(arena, length + 1);
    if (length > 0)
        memcpy(copy, text, length);
    return copy;
}

char *tl_arena_printf(struct tl_arena *arena, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0)
        TL_BUG("format \"%s\" failed", format);
    char *text = tl_arena_alloc(arena, (size_t)length + 1);
    vsnprintf(text, (size_t)length + 1, format, again);
    va_end(again);
    return text;
}

void *tl_arena_grow(struct tl_arena *arena, void *array, size_t *capacity, size_t need, size_t element_size) {
    if (need <= *capacity)
        return array;
    size_t grown = *capacity + *capacity / 2;
    if (grown < *capacity || grown < need)
        grown = need;
    if (grown < 4)
        grown = 4;
    size_t size;
    if (__builtin_mul_overflow(grown, element_size, &size))
        TL_BUG("arena array of %zu elements of %zu bytes", grown, element_size);
    void *moved = tl_arena_alloc(arena, size);
    if (*capacity > 0)
        memcpy(moved, array, *capacity * element_size);
    *capacity = grown;
    return moved;
}

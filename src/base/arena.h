/* arena.h: memory that is freed all at once. Blocks double in size from 4 KiB to 1 MiB;
 * an allocation never moves. What leaves the arena's owner is copied or reference-counted. */
#ifndef TL_BASE_ARENA_H
#define TL_BASE_ARENA_H

#include <stddef.h>

struct tl_arena_block;

struct tl_arena {
    struct tl_arena_block *blocks; /* newest first */
    size_t used;                   /* bytes handed out */
    size_t reserved;               /* bytes taken from the heap */
};

void tl_arena_init(struct tl_arena *arena);
void tl_arena_fini(struct tl_arena *arena);

/* Returns zeroed memory, aligned for any type; never NULL (aborts when memory is out). */
void *tl_arena_alloc(struct tl_arena *arena, size_t size);
void *tl_arena_copy(struct tl_arena *arena, const void *data, size_t size);
char *tl_arena_strdup(struct tl_arena *arena, const char *text); /* NULL gives NULL */
char *tl_arena_strndup(struct tl_arena *arena, const char *text, size_t length);
char *tl_arena_printf(struct tl_arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Like tl_mem_grow for an arena array: the old array stays behind in the arena. */
void *tl_arena_grow(struct tl_arena *arena, void *array, size_t *capacity, size_t need, size_t element_size);

#endif

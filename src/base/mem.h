/* mem.h: allocation. Control structures abort with a message when memory is out;
 * anything whose size comes from input uses the try_ forms and fails the one request. */
#ifndef TL_BASE_MEM_H
#define TL_BASE_MEM_H

#include <stddef.h>

void *tl_mem_alloc(size_t size);                 /* returns owned, uninitialised; aborts on failure */
void *tl_mem_zalloc(size_t size);                /* returns owned, zeroed; aborts on failure */
void *tl_mem_realloc(void *memory, size_t size); /* as realloc; aborts on failure */
void *tl_mem_try_alloc(size_t size);             /* returns owned or NULL */
char *tl_mem_strdup(const char *text);           /* NULL gives NULL */
char *tl_mem_strndup(const char *text, size_t length);
void tl_mem_free(void *memory);                  /* NULL is allowed */

/* Makes room for `need` elements: returns the (possibly moved) array and updates
 * *capacity, growing by at least one half. Aborts on failure or overflow.
 *     v->items = tl_mem_grow(v->items, &v->capacity, v->count + 1, sizeof *v->items); */
void *tl_mem_grow(void *array, size_t *capacity, size_t need, size_t element_size);

#endif

#include "base/mem.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Noreturn void out_of_memory(size_t size) {
    fprintf(stderr, "teola: out of memory: %zu bytes could not be allocated\n", size);
    fflush(stderr);
    abort();
}

void *tl_mem_try_alloc(size_t size) {
    return malloc(size == 0 ? 1 : size);
}

void *tl_mem_alloc(size_t size) {
    void *memory = tl_mem_try_alloc(size);
    if (memory == NULL)
        out_of_memory(size);
    return memory;
}

void *tl_mem_zalloc(size_t size) {
    void *memory = calloc(1, size == 0 ? 1 : size);
    if (memory == NULL)
        out_of_memory(size);
    return memory;
}

void *tl_mem_realloc(void *memory, size_t size) {
    void *moved = realloc(memory, size == 0 ? 1 : size);
    if (moved == NULL)
        out_of_memory(size);
    return moved;
}

char *tl_mem_strdup(const char *text) {
    return text == NULL ? NULL : tl_mem_strndup(text, strlen(text));
}

char *tl_mem_strndup(const char *text, size_t length) {
    if (length == SIZE_MAX)
        out_of_memory(length);
    char *copy = tl_mem_alloc(length + 1);
    if (length > 0)
        memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

void tl_mem_free(void *memory) {
    free(memory);
}

void *tl_mem_grow(void *array, size_t *capacity, size_t need, size_t element_size) {
    if (need <= *capacity)
        return array;
    size_t grown = *capacity + *capacity / 2;
    if (grown < *capacity || grown < need)
        grown = need;
    if (grown < 8 && element_size <= SIZE_MAX / 8)
        grown = 8;
    size_t size;
    if (__builtin_mul_overflow(grown, element_size, &size))
        out_of_memory(SIZE_MAX);
    array = tl_mem_realloc(array, size);
    *capacity = grown;
    return array;
}

#include "base/diagnostics.h"

#include <string.h>

#include "base/mem.h"

void tl_diagnostics_init(struct tl_diagnostics *list, const char *file) {
    *list = (struct tl_diagnostics){.file = tl_mem_strdup(file == NULL ? "" : file)};
}

void tl_diagnostics_fini(struct tl_diagnostics *list) {
    for (size_t i = 0; i < list->count; i++)
        tl_mem_free(list->items[i].message);
    tl_mem_free(list->items);
    tl_mem_free(list->file);
    *list = (struct tl_diagnostics){0};
}

void tl_diagnostics_add(struct tl_diagnostics *list, enum tl_severity severity, unsigned line, unsigned column,
                        const char *format, ...) {
    va_list args;
    va_start(args, format);
    tl_diagnostics_add_list(list, severity, line, column, format, args);
    va_end(args);
}

void tl_diagnostics_add_list(struct tl_diagnostics *list, enum tl_severity severity, unsigned line, unsigned column,
                             const char *format, va_list args) {
    struct tl_str message = TL_STR_INIT;
    tl_str_vprintf(&message, format, args);
    list->items = tl_mem_grow(list->items, &list->capacity, list->count + 1, sizeof *list->items);
    list->items[list->count++] = (struct tl_diagnostic){
        .severity = severity,
        .line = line,
        .column = column,
        .message = tl_str_detach(&message),
    };
    if (severity == TL_SEVERITY_ERROR)
        list->errors++;
}

static bool comes_before(const struct tl_diagnostic *a, const struct tl_diagnostic *b) {
    return a->line != b->line ? a->line < b->line : a->column < b->column;
}

/* Merge sort, bottom up: qsort is not stable. */
static void sort(struct tl_diagnostics *list) {
    size_t count = list->count;
    struct tl_diagnostic *from = list->items;
    struct tl_diagnostic *to = tl_mem_alloc(count * sizeof *to);
    struct tl_diagnostic *spare = to;
    for (size_t width = 1; width < count; width *= 2) {
        for (size_t start = 0; start < count; start += 2 * width) {
            size_t middle = start + width < count ? start + width : count;
            size_t end = middle + width < count ? middle + width : count;
            size_t left = start, right = middle;
            for (size_t i = start; i < end; i++) {
                bool take_right = left == middle || (right < end && comes_before(&from[right], &from[left]));
                to[i] = from[take_right ? right++ : left++];
            }
        }
        struct tl_diagnostic *swap = from;
        from = to;
        to = swap;
    }
    if (from != list->items)
        memcpy(list->items, from, count * sizeof *from);
    tl_mem_free(spare);
}

void tl_diagnostics_print(struct tl_diagnostics *list, struct tl_str *out) {
    if (list->count > 1)
        sort(list);
    for (size_t i = 0; i < list->count; i++) {
        const struct tl_diagnostic *item = &list->items[i];
        tl_str_puts(out, list->file);
        if (item->line > 0)
            tl_str_printf(out, ":%u", item->line);
        if (item->line > 0 && item->column > 0)
            tl_str_printf(out, ":%u", item->column);
        tl_str_printf(out, ": %s: %s\n", item->severity == TL_SEVERITY_ERROR ? "error" : "warning", item->message);
    }
}

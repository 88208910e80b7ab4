/* distinct.c: of texts that were written independently of each other, those that say something new.
 *
 * Kept is what is not blank and not the same as an earlier one, but for the case of a to z and white space around it.
 * With a second list, of as many elements, what stands in that list at the places of the kept texts is the result. So
 * work on each element may be done before or after it is known which ones are kept:
 *
 *     work(distinct(texts)) = distinct(texts, work(texts))
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "builtin/builtin_impl.h"

/* The text without white space around it. */
static const char *trimmed(const struct tl_value *value, size_t *length) {
    const char *begin = value->as.text.data, *end = begin + value->as.text.length;
    while (begin < end && memchr(" \t\r\n\f\v", *begin, 6) != NULL)
        begin++;
    while (end > begin && memchr(" \t\r\n\f\v", end[-1], 6) != NULL)
        end--;
    *length = (size_t)(end - begin);
    return begin;
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool is_same(const char *a, const char *b, size_t length) {
    size_t i = 0;
    while (i < length && lower(a[i]) == lower(b[i]))
        i++;
    return i == length;
}

static bool is_new(struct tl_value *const *texts, size_t position) {
    size_t length, other_length;
    const char *text = trimmed(texts[position], &length);
    bool found = length == 0;
    for (size_t i = 0; i < position && !found; i++) {
        const char *other = trimmed(texts[i], &other_length);
        found = other_length == length && is_same(text, other, length);
    }
    return !found;
}

enum tl_status tl_builtin_distinct(const struct tl_item *item, struct tl_value **output, struct tl_error *error) {
    if (item->input_count == 0 || item->input_count > 2)
        return tl_error_set(error, TL_ERR_INVALID, "it has %zu inputs; expected texts, or texts and a list",
                            item->input_count);
    const struct tl_value *texts = item->inputs[0], *list = item->inputs[item->input_count - 1];
    if (!tl_type_equal(texts->type, TL_TYPE_OF(TEXT, 1)) || list->type.depth == 0)
        return tl_error_set(error, TL_ERR_INVALID, "input `%s` is no list%s",
                            item->input_names[list->type.depth == 0 ? item->input_count - 1 : 0],
                            list->type.depth == 0 ? "" : " of texts");
    if (texts->as.list.count != list->as.list.count)
        return tl_error_set(error, TL_ERR_INVALID, "there are %zu texts and %zu elements to choose from by them",
                            texts->as.list.count, list->as.list.count);
    struct tl_value **kept = tl_mem_alloc((list->as.list.count + 1) * sizeof *kept);
    size_t count = 0;
    for (size_t i = 0; i < list->as.list.count; i++)
        if (is_new(texts->as.list.items, i))
            kept[count++] = tl_value_ref(list->as.list.items[i]);
    struct tl_value *made = tl_value_list(tl_type_element(list->type), kept, count);
    tl_mem_free(kept);
    return tl_builtin_finish(made, output, error);
}

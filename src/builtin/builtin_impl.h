/* builtin_impl.h: the functions behind tl_builtin_execute, one per primitive or mode; for this folder only.
 * Each writes one reference to *output, or fails with a sentence and leaves it alone. */
#ifndef TL_BUILTIN_BUILTIN_IMPL_H
#define TL_BUILTIN_BUILTIN_IMPL_H

#include "builtin/builtin.h"

enum tl_status tl_builtin_render(const struct tl_item *item, struct tl_value **output, struct tl_error *error);
enum tl_status tl_builtin_fuse(const struct tl_item *item, struct tl_value **output, struct tl_error *error);
enum tl_status tl_builtin_top(const struct tl_item *item, struct tl_value **output, struct tl_error *error);
enum tl_status tl_builtin_concat(const struct tl_item *item, struct tl_value **output, struct tl_error *error);
enum tl_status tl_builtin_join(const struct tl_item *item, struct tl_value **output, struct tl_error *error);
enum tl_status tl_builtin_distinct(const struct tl_item *item, struct tl_value **output, struct tl_error *error);
enum tl_status tl_builtin_flatten(const struct tl_item *item, struct tl_value **output, struct tl_error *error);
enum tl_status tl_builtin_parse(const struct tl_item *item, struct tl_value **output, struct tl_error *error);

/* Whether a condition or a section takes the value as nothing: text of white space alone, an empty list,
 * false, the number 0, JSON null or empty. Everything else is something. */
bool tl_builtin_is_empty(const struct tl_value *value);

/* The constructors return NULL when an allocation sized by input fails; this turns that into a status. */
enum tl_status tl_builtin_finish(struct tl_value *value, struct tl_value **output, struct tl_error *error);

#endif

/* builtin.h: the primitives that need no engine: render, parse, condition, aggregate, fuse, constant.
 * Pure functions over values, microseconds each; the scheduler calls them inside its step.
 * Their attributes are listed in base/primitive.h. */
#ifndef TL_BUILTIN_BUILTIN_H
#define TL_BUILTIN_BUILTIN_H

#include "engine/engine_impl.h"

/* Executes item->op. Writes `count` outputs (one reference each) or fails with a sentence. */
enum tl_status tl_builtin_execute(const struct tl_item *item, struct tl_value **outputs, size_t count, struct tl_error *error);

/* ---- prompt templates, shared with the workflow checker ---- */
struct tl_template;

/* Parses a template attribute: a JSON array of [role, text] (see primitive.h, `render`). */
enum tl_status tl_template_parse(const char *json, struct tl_template **parsed, struct tl_error *error);
void tl_template_destroy(struct tl_template *parsed);
/* Names used as {name} or {#name}, each once, in order of first use; borrowed. */
size_t tl_template_names(const struct tl_template *parsed, const char *const **names);
/* Number of segments: maximal runs of literal text, and insertions. */
size_t tl_template_segments(const struct tl_template *parsed);

#endif

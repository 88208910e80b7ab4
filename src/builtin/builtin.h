/* builtin.h: the primitives that need no engine: render, parse, condition, aggregate, fuse, constant.
 * Pure functions over values, microseconds each; the scheduler calls them inside its step.
 * Their attributes are listed in base/primitive.h; the files here say the rest:
 *
 *   builtin.c    tl_builtin_execute: which function, how many outputs
 *   template.c   reading prompt templates             render.c   filling them
 *   rank.c       fuse, and aggregate "top"            list.c     aggregate "concat", "flatten" and "join", parse
 *   distinct.c   aggregate "distinct"
 */
#ifndef TL_BUILTIN_BUILTIN_H
#define TL_BUILTIN_BUILTIN_H

#include "engine/engine_impl.h"

/* Executes item->op. Writes `count` outputs (one reference each) or fails with a sentence. */
enum tl_status tl_builtin_execute(const struct tl_item *item, struct tl_value **outputs, size_t count,
                                  struct tl_error *error);

/* ---- prompt templates, shared with the workflow checker and the passes ---- */
struct tl_template;

/* Parses a template attribute: a JSON array of [role, text] (see primitive.h, `render`). */
enum tl_status tl_template_parse(const char *json, struct tl_template **parsed, struct tl_error *error);
void tl_template_destroy(struct tl_template *parsed);
/* Names used as {name} or {#name}, each once, in order of first use; borrowed. */
size_t tl_template_names(const struct tl_template *parsed, const char *const **names);
/* Number of segments: maximal runs of literal text, and insertions. Borders of messages and of
 * sections end a run. */
size_t tl_template_segments(const struct tl_template *parsed);
/* The names that must be known before segment `position` can be rendered: those of the sections
 * around it, outermost first, then its own when it is an insertion; borrowed. None: literal text
 * that every query has. */
size_t tl_template_needs(const struct tl_template *parsed, size_t position, const char *const **names);
/* Bytes of literal text in segment `position`; 0 when it is an insertion. */
size_t tl_template_literal(const struct tl_template *parsed, size_t position);
/* Whether a value of this type can be inserted: text, number, bool, json, chunk, hit and lists of them. */
bool tl_template_takes(struct tl_type type);

#endif

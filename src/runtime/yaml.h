/* yaml.h: a YAML document as a JSON value, with the position of every value in the file.
 * Scalars follow YAML 1.2's core schema: null, true, false, integers, decimals; everything
 * else, and whatever is quoted, is a string. Nesting and size are bounded, anchors included. */
#ifndef TL_RUNTIME_YAML_H
#define TL_RUNTIME_YAML_H

#include <jansson.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diagnostics.h"
#include "base/map.h"

struct tl_yaml_mark {
    unsigned line, column; /* from 1 */
};

struct tl_yaml {
    json_t *root;        /* owned; a null value for an empty document */
    struct tl_map marks; /* "/engines/llm/model" → struct tl_yaml_mark *, of the value; "" is the root */
    struct tl_arena arena;
};

/* Findings say what is wrong and where; returns false when there is any. Always needs tl_yaml_fini. */
bool tl_yaml_parse(struct tl_yaml *yaml, const char *text, size_t length, struct tl_diagnostics *findings);
void tl_yaml_fini(struct tl_yaml *yaml);

/* Position of the value at `path` or of the nearest value around it; {0, 0} when there is none. */
struct tl_yaml_mark tl_yaml_where(const struct tl_yaml *yaml, const char *path);

/* One scalar by the rules above; returns owned. */
json_t *tl_yaml_scalar(const char *text);

#endif

/* source.h: the user's YAML file as a tree in which every node knows its place, so that whatever is
 * found wrong with it later can be shown at its line and column.
 *
 * YAML is large; we take the part that configuration needs and refuse the rest by name: no aliases
 * (a short file could stand for a huge one), no tags, one document, no key twice. Limits are below. */
#ifndef TL_WORKFLOW_SOURCE_H
#define TL_WORKFLOW_SOURCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diagnostics.h"
#include "base/str.h"

#define TL_SOURCE_BYTES (1024 * 1024)
#define TL_SOURCE_DEPTH 64     /* mappings and lists within each other */
#define TL_SOURCE_NODES 100000
#define TL_SOURCE_KEYS 1000    /* of one mapping */

enum tl_source_kind { TL_SOURCE_SCALAR, TL_SOURCE_LIST, TL_SOURCE_MAP };

struct tl_source_entry;

struct tl_source {
    enum tl_source_kind kind;
    unsigned line, column;           /* from 1 */
    bool plain;                      /* SCALAR: written without quotes, so it may be a number, true or nothing */
    const char *text;                /* SCALAR: UTF-8 without NUL bytes; else NULL */
    const struct tl_source **items;  /* LIST: elements */
    struct tl_source_entry *entries; /* MAP: in the order written */
    size_t count, capacity;
};

struct tl_source_entry {
    const struct tl_source *key; /* a scalar */
    const struct tl_source *value;
};

/* Reads the file into `arena`. NULL, with a finding, when it is not YAML or beyond the part that we take. */
const struct tl_source *tl_source_read(struct tl_arena *arena, const char *text, size_t length,
                                       struct tl_diagnostics *findings);

/* The value of `key`, or NULL. */
const struct tl_source *tl_source_get(const struct tl_source *map, const char *key);

/* Whether nothing was written: an empty plain scalar, ~ or null. */
bool tl_source_is_nothing(const struct tl_source *source);

/* Appends what a person would call it: `the text "abc"`, `3`, `a list`, `nothing`. Long texts are cut. */
void tl_source_describe(const struct tl_source *source, struct tl_str *out);

#endif

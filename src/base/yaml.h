/* yaml.h: a user's YAML file as a tree in which every node knows its place, so that whatever is
 * found wrong with it later can be shown at its line and column. Workflows, the configuration and
 * lists of models are read with it; what a scalar means is theirs to say.
 *
 * YAML is large; we take the part that configuration needs and refuse the rest by name: no aliases
 * (a short file could stand for a huge one), no tags, one document, no key twice. Limits are below. */
#ifndef TL_BASE_YAML_H
#define TL_BASE_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "base/arena.h"
#include "base/diagnostics.h"
#include "base/str.h"

#define TL_YAML_BYTES (1024 * 1024)
#define TL_YAML_DEPTH 64     /* mappings and lists within each other */
#define TL_YAML_NODES 100000
#define TL_YAML_KEYS 1000    /* of one mapping */

enum tl_yaml_kind { TL_YAML_SCALAR, TL_YAML_LIST, TL_YAML_MAP };

struct tl_yaml_entry;

struct tl_yaml_node {
    enum tl_yaml_kind kind;
    unsigned line, column;           /* from 1 */
    bool plain;                      /* SCALAR: written without quotes, so it may be a number, true or nothing */
    const char *text;                /* SCALAR: UTF-8 without NUL bytes; else NULL */
    const struct tl_yaml_node **items;  /* LIST: elements */
    struct tl_yaml_entry *entries; /* MAP: in the order written */
    size_t count, capacity;
};

struct tl_yaml_entry {
    const struct tl_yaml_node *key; /* a scalar */
    const struct tl_yaml_node *value;
};

/* Reads the file into `arena`; one that holds nothing is an empty plain scalar. NULL, with a finding, when it is
 * not YAML or beyond the part that we take. A key that is there twice is a finding too, but reading goes on: look at
 * findings->errors before taking the tree for what was meant. */
const struct tl_yaml_node *tl_yaml_read(struct tl_arena *arena, const char *text, size_t length,
                                        struct tl_diagnostics *findings);

/* The value of `key`, or NULL. */
const struct tl_yaml_node *tl_yaml_get(const struct tl_yaml_node *map, const char *key);

/* Whether nothing was written: an empty plain scalar, ~ or null. */
bool tl_yaml_is_nothing(const struct tl_yaml_node *node);

/* Appends what a person would call it: `the text "abc"`, `3`, `a list`, `nothing`. Long texts are cut. */
void tl_yaml_describe(const struct tl_yaml_node *node, struct tl_str *out);

/* Adds an error at the node; NULL: about the file as a whole. */
void tl_yaml_error(struct tl_diagnostics *findings, const struct tl_yaml_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif

/* value.h: what flows along data edges. A value is immutable once published (handed to
 * the scheduler or an emit function) and reference-counted with atomic counts, because
 * engines read inputs on their own threads. A list holds one reference to each element.
 *
 * Values that stand for something an engine holds (a KV prefix, a temporary collection)
 * carry a struct tl_resource: its release function is called exactly once, when the last
 * reference goes, on whatever thread that happens, and must neither block nor call back
 * into the scheduler. So nothing held by an engine can outlive its last user.
 */
#ifndef TL_BASE_VALUE_H
#define TL_BASE_VALUE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/type.h"

struct tl_resource {
    void (*release)(struct tl_resource *self); /* frees self too */
    uint64_t handle;                           /* meaning belongs to the engine */
    const void *owner;                         /* the engine instance: only it may use the handle */
};

struct tl_text {
    const char *data; /* NUL-terminated; UTF-8 */
    size_t length;
};

struct tl_document {
    const char *uri;        /* path or name given by the user */
    const char *media_type; /* NULL: found out by name and content */
    const char *data;       /* NULL: read from the path `uri` */
    size_t length;          /* of data, or of the file, bytes; without data 0: not known */
};

struct tl_chunk {
    const char *id;      /* stable: "<first 16 hex digits of the document's SHA-256>:<ordinal>" */
    const char *uri;
    const char *title;   /* of the document; "" when it has none */
    const char *heading; /* nearest heading above; "" when none */
    const char *text;
    size_t length;          /* of text, bytes */
    uint64_t begin, end;    /* byte range in the document's extracted text */
    uint32_t ordinal;       /* position in its document, from 0 */
    uint32_t tokens;        /* by the embedding model's tokenizer, without special tokens */
};

struct tl_hit {
    struct tl_value *chunk; /* type chunk; one reference held */
    double retrieval;       /* score of the retrieval order: higher is better; comparable within one list only */
    uint32_t rank;          /* place in its retrieval list, from 0 */
    bool scored;            /* a reranker has filled `score` */
    double score;           /* reranker's score: higher is better */
};

struct tl_vector {
    const float *data; /* L2-normalised */
    uint32_t dimension;
};

enum tl_role { TL_ROLE_SYSTEM, TL_ROLE_USER, TL_ROLE_ASSISTANT };

enum tl_part_flags {
    TL_PART_STATIC = 1,    /* the same for every query of the workflow */
    TL_PART_TRIMMABLE = 2, /* retrieved text: may be cut at its end when the context is too small */
    TL_PART_OPEN = 4,      /* the prompt ends here for now; more follows (partial prefill) */
};

struct tl_prompt_part {
    enum tl_role role;
    uint32_t message; /* parts with the same number form one message; ascending */
    uint32_t flags;
    const char *text;
    size_t length;
};

struct tl_prompt {
    struct tl_prompt_part *parts;
    size_t count;
};

struct tl_kv {
    struct tl_resource *resource;
    uint32_t tokens; /* tokens in the prefix */
};

struct tl_index {
    const char *collection;       /* name in the store */
    struct tl_resource *resource; /* temporary collections only: dropped on release; else NULL */
    uint64_t version;             /* changes with every change of content; 0: unknown */
};

struct tl_list {
    struct tl_value **items;
    size_t count;
};

struct tl_value {
    _Atomic uint32_t references;
    struct tl_type type;
    size_t bytes; /* memory of this value and the payloads it alone owns; elements of lists not included */
    union {
        struct tl_text text;
        struct tl_document document;
        struct tl_chunk chunk;
        struct tl_hit hit;
        struct tl_vector vector;
        struct tl_prompt prompt;
        struct tl_kv kv;
        struct tl_index index;
        struct tl_list list; /* when type.depth > 0 */
        json_t *json;        /* owned; never modified; engines on other threads only read */
        double number;
        bool boolean;
    } as;
};

/* All constructors copy what they are given, return one reference, and return NULL only
 * when an input-sized allocation fails. Payloads live in the value's own block. */
struct tl_value *tl_value_text(const char *data, size_t length);
struct tl_value *tl_value_document(const struct tl_document *document);
struct tl_value *tl_value_chunk(const struct tl_chunk *chunk);
struct tl_value *tl_value_hit(const struct tl_hit *hit); /* takes a reference of hit->chunk of its own */
struct tl_value *tl_value_vector(const float *data, uint32_t dimension);
struct tl_value *tl_value_prompt(const struct tl_prompt_part *parts, size_t count);
struct tl_value *tl_value_kv(struct tl_resource *resource, uint32_t tokens);                     /* takes resource */
struct tl_value *tl_value_index(const char *collection, struct tl_resource *resource, uint64_t version); /* takes resource */
struct tl_value *tl_value_json(json_t *json); /* takes json */
struct tl_value *tl_value_number(double number);
struct tl_value *tl_value_bool(bool boolean);
struct tl_value *tl_value_control(void);
/* A list of `element` type. Takes the references in items[0..count), not the array. */
struct tl_value *tl_value_list(struct tl_type element, struct tl_value *const *items, size_t count);

struct tl_value *tl_value_ref(struct tl_value *value); /* returns value */
void tl_value_unref(struct tl_value *value);           /* NULL is allowed */

/* Number of elements: of a list its count, of anything else 1. */
size_t tl_value_units(const struct tl_value *value);
/* Elements on all levels of lists: of anything that is no list 1. */
uint64_t tl_value_leaves(const struct tl_value *value);
/* Tokens of all of its texts: as many as were counted (chunks, KV), else by their bytes (tokens.h). NULL: 0. */
uint64_t tl_value_tokens(const struct tl_value *value);

/* Deep equality of content; resources compare by identity. */
bool tl_value_equal(const struct tl_value *a, const struct tl_value *b);

/* The value as JSON for people and tests (vectors as {"dimension": n}); returns owned. */
json_t *tl_value_to_json(const struct tl_value *value);

#endif

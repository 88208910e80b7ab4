/* type.h: the types of ports and values: a base and how often it is wrapped in a list.
 * Printed as base followed by "[]" per level: `hit[][]` is a list of hits per query. */
#ifndef TL_BASE_TYPE_H
#define TL_BASE_TYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*            name       what one value is */
#define TL_BASE_TYPES(X)                                                      \
    X(TEXT,     "text")     /* UTF-8 bytes */                                 \
    X(DOCUMENT, "document") /* a file or given bytes, before extraction */    \
    X(CHUNK,    "chunk")    /* a passage of a document, with its citation */  \
    X(VECTOR,   "vector")   /* one embedding */                               \
    X(HIT,      "hit")      /* a chunk found, with its ranks and scores */    \
    X(JSON,     "json")     /* any JSON value */                              \
    X(BOOL,     "bool")                                                       \
    X(NUMBER,   "number")                                                     \
    X(PROMPT,   "prompt")   /* a filled prompt: messages made of parts */     \
    X(KV,       "kv")       /* a prefix held by an LLM engine */              \
    X(INDEX,    "index")    /* a collection that can be searched */           \
    X(CONTROL,  "control")  /* no data: it has happened */

enum tl_base_type {
#define X(id, name) TL_TYPE_##id,
    TL_BASE_TYPES(X)
#undef X
    TL_TYPE_COUNT
};

#define TL_TYPE_MAX_DEPTH 4

struct tl_type {
    uint8_t base;  /* enum tl_base_type */
    uint8_t depth; /* list levels around it, at most TL_TYPE_MAX_DEPTH */
};

#define TL_TYPE_OF(base_id, list_depth) ((struct tl_type){TL_TYPE_##base_id, (list_depth)})

const char *tl_base_type_name(enum tl_base_type base);
bool tl_type_equal(struct tl_type a, struct tl_type b);
/* Writes "hit[][]" into out (at least 24 bytes) and returns out. */
char *tl_type_print(struct tl_type type, char out[24]);
/* Reads what tl_type_print writes; also the plural names users write in workflows
 * ("texts", "documents", "hits", ...) for one list level. False when it is no type. */
bool tl_type_parse(const char *text, struct tl_type *type);
struct tl_type tl_type_element(struct tl_type list); /* depth - 1; depth 0 is a bug */
struct tl_type tl_type_list(struct tl_type element); /* depth + 1 */

#endif

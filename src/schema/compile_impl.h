/* compile_impl.h: what the files that make a schema share:
 *
 *     compile.c   JSON Schema → nodes        nodes.c    places for messages, nodes of each kind
 *     values.c    enum and const             call.c     schemas of choices and of calls of tools
 *     depth.c     how deep a value must be, from all nodes together */
#ifndef TL_SCHEMA_COMPILE_IMPL_H
#define TL_SCHEMA_COMPILE_IMPL_H

#include "schema/schema_impl.h"

#define TL_SCHEMA_NONE UINT32_MAX      /* no node: there was an error */
#define TL_SCHEMA_PROPERTIES_MAX 63    /* of one object: with its end as many readings as are followed */
#define TL_SCHEMA_VALUES_MAX 1000      /* of one enum */
#define TL_SCHEMA_VALUE_BYTES_MAX 4096 /* of one of them, as JSON */

/* Where we are, for messages: a chain on the stack. */
struct tl_schema_place {
    const struct tl_schema_place *outer;
    const char *name;   /* of a member */
    size_t position;    /* of an element, when `name` is NULL */
    size_t level;
};

struct tl_schema_known {
    const json_t *json;
    uint32_t node;
};

struct tl_schema_compile {
    struct tl_schema *schema;
    const json_t *document;        /* that references point into */
    struct tl_schema_known *known; /* the node of each schema met, so that references end in it */
    size_t known_count, known_capacity;
    uint32_t anything;             /* node of any JSON value; NONE: not made yet */
    struct tl_error *error;
};

/* ---- compile.c ---- */
/* The node of a schema; NONE after an error. */
uint32_t tl_schema_compile_node(struct tl_schema_compile *compile, const json_t *json,
                                const struct tl_schema_place *place);
void tl_schema_compile_begin(struct tl_schema_compile *compile, struct tl_error *error);
/* Hands over the schema, or frees it when there is no root. */
enum tl_status tl_schema_compile_end(struct tl_schema_compile *compile, uint32_t root,
                                     const struct tl_schema_place *place, struct tl_schema **schema);

/* ---- nodes.c ---- */
/* Reports "<place>: <sentence>"; returns NONE. */
uint32_t tl_schema_fail(const struct tl_schema_compile *compile, const struct tl_schema_place *place,
                        const char *format, ...) __attribute__((format(printf, 3, 4)));
struct tl_schema_place tl_schema_member(const struct tl_schema_place *outer, const char *name);
struct tl_schema_place tl_schema_element(const struct tl_schema_place *outer, size_t position);

static inline struct tl_schema_node *tl_schema_node_at(const struct tl_schema_compile *compile, uint32_t index) {
    return &compile->schema->nodes[index]; /* until the next node is added */
}
uint32_t tl_schema_add_node(struct tl_schema_compile *compile, enum tl_schema_kind kind);
uint32_t tl_schema_add_string(struct tl_schema_compile *compile, uint64_t least, uint64_t most);
/* The text must live as long as the schema. */
struct tl_schema_literal tl_schema_literal_of(const char *text, uint32_t next);
uint32_t tl_schema_add_literals(struct tl_schema_compile *compile, struct tl_schema_literal *items, size_t count);
void tl_schema_set_any_of(struct tl_schema_compile *compile, uint32_t index, const uint32_t *nodes, size_t count);
/* Makes the node an object. Names are JSON strings, values their nodes; both in the arena. */
void tl_schema_set_object(struct tl_schema_compile *compile, uint32_t index, char *const *names, uint32_t *values,
                          const bool *required, size_t count);
uint32_t tl_schema_anything(struct tl_schema_compile *compile); /* the node of any JSON value */
char *tl_schema_quoted(struct tl_schema_compile *compile, const char *text); /* as JSON, in the arena */

/* ---- values.c ---- */
/* Makes the node one of the values of `const` or `enum`. */
bool tl_schema_compile_values(struct tl_schema_compile *compile, uint32_t index, const json_t *json,
                              const struct tl_schema_place *place);

/* ---- depth.c ---- */
/* Fills the depths of all nodes and replaces members of ANY_OF that are ANY_OF by theirs. */
void tl_schema_measure(struct tl_schema *schema);

#endif

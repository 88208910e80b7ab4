/* schema.h: a JSON Schema as a machine over bytes: what may be written next, what must be, whether it
 * may end here. It knows nothing of models and tokens; whoever writes asks it byte by byte.
 *
 * The text is written in one form: members in the order of the schema, ", " and ": " as separators and
 * no other white space, numbers without exponents. So most of the structure has only one next byte and
 * can be written without asking anybody:
 *
 *     forced: {"name": "   free: Ada Lovelace   forced: ", "age":   free:  36   forced: }
 *
 * Taken of JSON Schema (docs/engines.md has the table): type (also a list of types), properties,
 * required, additionalProperties, items, minItems, maxItems, enum, const, minLength, maxLength, minimum,
 * maximum, exclusiveMinimum, exclusiveMaximum, anyOf, oneOf (as anyOf), allOf of one, $ref into the same
 * document, also recursive. What only describes is ignored; anything else is an error that names the
 * place, because a constraint that is silently dropped is worse than none.
 *
 * Invariant: no dead ends. From every state reached by tl_schema_put the text can be completed, within
 * TL_SCHEMA_NESTING levels. */
#ifndef TL_SCHEMA_SCHEMA_H
#define TL_SCHEMA_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "teola/status.h"

#define TL_SCHEMA_NESTING 24 /* values within each other in what is written */
#define TL_SCHEMA_WAYS 64    /* readings of what was written that are followed at once */

struct tl_schema; /* immutable once made; may be shared between threads */

/* Compiles a schema. `name` is what messages call it: "<name>.properties.age.type: ...". Borrows all. */
enum tl_status tl_schema_compile(const json_t *json, const char *name, struct tl_schema **schema,
                                 struct tl_error *error);

/* One of the given texts, as they are: no JSON. At least one, none empty. */
enum tl_status tl_schema_compile_choice(const char *const *texts, size_t count, struct tl_schema **schema,
                                        struct tl_error *error);

/* A call of one of the tools, as an object of two members. `tools` is an array as in the OpenAI API, or of
 * its functions alone: {"name", "parameters": schema}. `arguments` is the name of the second member. */
enum tl_status tl_schema_compile_call(const json_t *tools, const char *arguments, struct tl_schema **schema,
                                      struct tl_error *error);

void tl_schema_free(struct tl_schema *schema); /* NULL is allowed */
bool tl_schema_is_array(const struct tl_schema *schema);

/* A set of bytes. */
struct tl_schema_bytes {
    uint64_t words[4];
};

static inline bool tl_schema_bytes_has(const struct tl_schema_bytes *set, unsigned char byte) {
    return (set->words[byte >> 6] >> (byte & 63) & 1) != 0;
}

/* How far a text has got. Zeroed memory may be passed to fini and as the target of copy. */
struct tl_schema_state {
    const struct tl_schema *schema; /* borrowed */
    struct tl_schema_way *ways;     /* readings of what was written, distinct; at least one */
    size_t count, capacity;
    struct tl_schema_way *next;     /* scratch of put */
    size_t next_count, next_capacity;
};

void tl_schema_state_init(struct tl_schema_state *state, const struct tl_schema *schema);
void tl_schema_state_fini(struct tl_schema_state *state);
void tl_schema_state_copy(struct tl_schema_state *to, const struct tl_schema_state *from);

/* Writes a byte. False: it may not stand here, and nothing has changed. */
bool tl_schema_put(struct tl_schema_state *state, unsigned char byte);
/* The bytes that may be written next; none when the text has ended. */
void tl_schema_next(const struct tl_schema_state *state, struct tl_schema_bytes *set);
/* The byte that must come next; -1 when there is a choice, to end included, or the text has ended. */
int tl_schema_forced(const struct tl_schema_state *state);

bool tl_schema_may_end(const struct tl_schema_state *state); /* what was written is complete */
bool tl_schema_has_ended(const struct tl_schema_state *state); /* and nothing can follow it */

/* Between values: what was written last is structure, or ended a string; nothing is half written. */
bool tl_schema_at_border(const struct tl_schema_state *state);

/* The writer wants to say no more here. Ends a number, or the whole text, where it may end; a string by
 * the quote that is then appended to `text`. False: it must go on, and nothing has changed. */
bool tl_schema_settle(struct tl_schema_state *state, struct tl_str *text);

/* Completes the text, of which `text` is what was written so far, by as little as the schema allows.
 * A character or an escape that was begun is taken back. The text has ended then. */
void tl_schema_close(struct tl_schema_state *state, struct tl_str *text);

/* Of `length` bytes written, those that tl_schema_close will not take back. */
size_t tl_schema_certain(const struct tl_schema_state *state, size_t length);

/* Of a schema that is an array: elements that are complete in every reading; SIZE_MAX once the text has ended. */
size_t tl_schema_elements(const struct tl_schema_state *state);
/* Whether nothing but the array is open: no byte of a separator or of another element was written. */
bool tl_schema_between_elements(const struct tl_schema_state *state);

#endif

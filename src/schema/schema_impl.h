/* schema_impl.h: the compiled schema and the state of a text, for this folder only.
 *
 *     compile.c   JSON Schema → nodes          state.c    readings of a text, byte by byte
 *     number.c    numbers within bounds         string.c   characters, escapes, their count
 *     literal.c   sorted sets of texts          close.c    the shortest completion
 *
 * A node says what a value may be; a frame is a node being written; a way is a stack of frames, the
 * innermost last. There is more than one way where what was written can be read in several: after "12"
 * in an array a number may be over or go on, and two members of anyOf may begin alike. */
#ifndef TL_SCHEMA_SCHEMA_IMPL_H
#define TL_SCHEMA_SCHEMA_IMPL_H

#include "base/arena.h"
#include "schema/schema.h"

enum tl_schema_kind {
    TL_SCHEMA_LITERALS, /* one of some texts: enum, const, true, null */
    TL_SCHEMA_STRING,
    TL_SCHEMA_NUMBER,
    TL_SCHEMA_OBJECT,   /* members with names of their own */
    TL_SCHEMA_MAP,      /* members of one kind with any names */
    TL_SCHEMA_ARRAY,
    TL_SCHEMA_ANY_OF,   /* never a frame: one of its nodes is */
};

/* A text, and what follows it: an index whose meaning belongs to the node. */
struct tl_schema_literal {
    const char *text;
    uint32_t length;
    uint32_t next;
};

/* Sorted by bytes, a text before those that it begins, none twice. */
struct tl_schema_literals {
    const struct tl_schema_literal *items;
    uint32_t count;
};

struct tl_schema_node {
    enum tl_schema_kind kind;
    uint32_t depth; /* frames that a value of it needs at least; UINT32_MAX: there is no finite one */
    union {
        struct tl_schema_literals literals;
        struct {
            uint64_t least, most; /* characters */
        } string;
        struct {
            bool whole;
            int64_t low, high; /* in units of 1, or of TL_SCHEMA_UNITS of a whole */
        } number;
        struct {
            uint32_t *values;                  /* node of each member */
            struct tl_schema_literals *after;  /* [i]: what may stand behind i members: names, or the end */
            uint32_t count;
        } object;
        struct {
            uint32_t key, value;
        } map;
        struct {
            uint32_t item;
            uint64_t least, most; /* elements */
        } array;
        struct {
            uint32_t *nodes; /* none of them ANY_OF */
            uint32_t count;
        } any_of;
    } as;
};

struct tl_schema {
    struct tl_arena arena; /* holds everything below */
    struct tl_schema_node *nodes;
    size_t node_count, node_capacity;
    uint32_t root;
};

#define TL_SCHEMA_UNLIMITED UINT64_MAX

/* ---- frames ---- */

enum tl_schema_phase {
    TL_SCHEMA_OPEN,  /* nothing was written; of a container its bracket is next */
    TL_SCHEMA_KEY,   /* MAP: a name is being written, or has been */
    TL_SCHEMA_VALUE, /* MAP: a value */
    TL_SCHEMA_NEXT,  /* containers: a value is complete */
    TL_SCHEMA_CONTENT, /* STRING: characters */
    TL_SCHEMA_ESCAPE,  /* STRING: behind a backslash */
    TL_SCHEMA_HEX,     /* STRING: behind \u, `rest` digits to come */
    TL_SCHEMA_TAIL,    /* STRING: in a character, `rest` bytes to come */
    TL_SCHEMA_MINUS,   /* NUMBER */
    TL_SCHEMA_DIGITS,
    TL_SCHEMA_POINT,
    TL_SCHEMA_DECIMALS,
};

/* A range of literals that begin with the `at` bytes written. */
struct tl_schema_range {
    uint32_t low, high, at;
};

struct tl_schema_frame {
    uint32_t node;
    uint32_t phase; /* enum tl_schema_phase */
    uint64_t count; /* STRING: characters; ARRAY: elements; OBJECT: members, those left out included */
    union {
        struct tl_schema_range range; /* LITERALS, containers */
        struct {
            uint8_t rest, unit;       /* bytes to come; bytes of it written */
            uint8_t low, high;        /* TAIL: bounds of the next byte */
            uint32_t value;           /* HEX: digits so far */
        } character;
        struct {
            uint64_t value;           /* all digits so far */
            uint8_t digits, decimals; /* before and behind the point */
            bool negative;
        } number;
    } as;
};

/* Frames of unused depth are not looked at; no frames: the text is complete. */
struct tl_schema_way {
    uint32_t depth;
    struct tl_schema_frame frames[TL_SCHEMA_NESTING];
};

/* ---- literal.c ---- */

/* Sorts, and drops what is there twice. The texts are borrowed. */
struct tl_schema_literals tl_schema_literals_make(struct tl_arena *arena, struct tl_schema_literal *items,
                                                  size_t count);
/* Narrows the range to those that go on with `byte`; false: none does. */
bool tl_schema_range_put(const struct tl_schema_literals *literals, struct tl_schema_range *range, unsigned char byte);

/* What a frame that is no STRING or NUMBER may write now. */
struct tl_schema_literals tl_schema_choices(const struct tl_schema *schema, const struct tl_schema_frame *frame);
/* The node whose value follows the literal in that frame; NULL: none, the frame ends. */
const struct tl_schema_node *tl_schema_following(const struct tl_schema *schema, const struct tl_schema_frame *frame,
                                                 const struct tl_schema_literal *literal);

/* ---- string.c, number.c: one byte of a value; false: it may not stand here, and nothing changed ---- */
bool tl_schema_string_put(const struct tl_schema_node *node, struct tl_schema_frame *frame, unsigned char byte,
                          bool *ended);
bool tl_schema_number_put(const struct tl_schema_node *node, struct tl_schema_frame *frame, unsigned char byte);
bool tl_schema_number_may_end(const struct tl_schema_node *node, const struct tl_schema_frame *frame);
bool tl_schema_number_may_go_on(const struct tl_schema_node *node, const struct tl_schema_frame *frame);

/* Sets the bounds of a number; NULL: none. False: no number that is written is within them. */
bool tl_schema_number_bound(struct tl_schema_node *node, const json_t *minimum, const json_t *above,
                            const json_t *maximum, const json_t *below);

/* ---- state.c ---- */
static inline const struct tl_schema_frame *tl_schema_top(const struct tl_schema_way *way) {
    return &way->frames[way->depth - 1];
}
/* Whether the literal leads on within the nesting that is left to the way. */
bool tl_schema_usable(const struct tl_schema *schema, const struct tl_schema_way *way,
                      const struct tl_schema_literal *literal);

#endif

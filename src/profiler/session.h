/* session.h: one engine that is being measured: the driver, and what its measurements need beforehand (a filled
 * collection, prefixes). Does single measurements; which, and how often, is measure.c's. */
#ifndef TL_PROFILER_SESSION_H
#define TL_PROFILER_SESSION_H

#include "profiler/driver.h"

/* What to measure: a kind of call at one size. */
struct tl_shape {
    enum tl_primitive op;
    uint32_t units;   /* texts, pairs, rows, queries, documents; of decode: rows */
    uint32_t tokens;  /* of each; of prefill: new ones */
    uint32_t context; /* of an LLM: tokens before them */
};

/* What one measurement gave; amounts as the engine counted them. */
struct tl_sample {
    double ms; /* of decode: of an iteration */
    double units, tokens, context;
};

struct tl_session_prefix {
    uint32_t context;
    struct tl_str text;
    struct tl_value *open, *closed; /* kv; NULL until they are needed */
};

enum { TL_SESSION_PREFIXES = 16,
       TL_SESSION_ROWS = 1000 };

struct tl_session {
    struct tl_driver driver;
    uint32_t dimension;          /* of vectors for a store */
    struct tl_value *collection; /* of TL_SESSION_ROWS; NULL until it is needed */
    struct tl_session_prefix prefixes[TL_SESSION_PREFIXES];
    size_t prefix_count;
    uint64_t salt;               /* of the next text */
};

enum tl_status tl_session_open(struct tl_session *session, const char *type, const char *name, const json_t *settings,
                               uint32_t dimension, struct tl_error *error);
void tl_session_close(struct tl_session *session); /* also after a failed open */

/* True when the engine can compute it: it serves the kind, has so many sequences, so long a context. */
bool tl_session_fits(const struct tl_session *session, const struct tl_shape *shape);
enum tl_status tl_session_measure(struct tl_session *session, const struct tl_shape *shape, struct tl_sample *sample,
                                  struct tl_error *error);

#endif

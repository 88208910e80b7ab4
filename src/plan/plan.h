/* plan.h: the plan: a graph frozen for execution. Immutable, reference-counted, shared by
 * all runs of the same (workflow, settings, profile); the scheduler reads it, never changes it.
 *
 * Differs from the graph: everything is an index into flat arrays, so instantiating a body is
 * one allocation and no search; and what the scheduler asks at every step is precomputed:
 * how many things each node waits for, who uses each output, which outer values a region holds.
 *
 * A source is where an input comes from: `up` levels of bodies outwards (0: the same body
 * instance), then a slot of that body instance. Slots of a body: first its parameters, then the
 * outputs of its nodes in order. A body instance thus has slot_count values, no more.
 */
#ifndef TL_PLAN_PLAN_H
#define TL_PLAN_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/value.h"
#include "cost/cost.h"
#include "graph/graph.h"

struct tl_plan_source {
    uint16_t up;   /* bodies outwards */
    uint16_t slot; /* in that body; TL_PLAN_NO_SLOT: an optional input that is absent */
};
#define TL_PLAN_NO_SLOT UINT16_MAX

struct tl_plan_node {
    enum tl_primitive op;
    enum tl_capability capability;
    uint32_t flags;               /* of the primitive */
    const char *label, *step;
    uint32_t engine;              /* index into tl_plan.engines; TL_PLAN_NO_ENGINE for builtins and regions */
    const struct tl_attributes *attributes;
    const struct tl_plan_source *inputs; /* in the order of the signature, absent optional ones included */
    const char *const *input_names;
    uint16_t input_count;
    uint16_t first_output, output_count; /* its slots in its body */
    const uint16_t *waits;        /* nodes of the same body that must be complete first (control and order) */
    uint16_t wait_count;
    const uint16_t *waiters;      /* the reverse: nodes of the same body that wait for this one */
    uint16_t waiter_count;
    struct tl_plan_body *bodies[2]; /* of regions */
    const struct tl_plan_source *captures; /* of regions: the outer slots that its bodies, and all bodies in them,
                                     use as inputs or results; each once; seen from this node's body (up = 0: a slot of
                                     that); held until the region is complete */
    uint16_t capture_count;
    bool streamed;                /* map: takes items as they come */
    bool continues;               /* takes over the place with the engine that the node before it gives up */
    bool pieces;                  /* some streamed map takes this node's list items as they come */
    double cost_ms;               /* predicted, of one item alone on its engine; of regions what opening them takes */
    double rank;                  /* upward rank: predicted ms from its start to the end of the query */
    uint32_t critical;            /* how often it stands on the critical path; 0: not on it */
};

struct tl_plan_body {
    struct tl_plan_body *outer;   /* body around it; NULL: root */
    uint16_t parameter_count, node_count, slot_count, result_count;
    const struct tl_plan_node *nodes;
    const struct tl_plan_source *results;
    const char *const *result_names;
    const uint16_t *slot_uses;    /* per slot of this body, the number of
                                       - inputs of its own nodes (regions too) with that source and up = 0,
                                       - its own results with that source and up = 0,
                                       - its own region nodes with that source and up = 0 among their captures.
                                     What is in nested bodies counts only through captures. So a value may go when
                                     so many nodes and results of this body instance are complete; 0: at once */
    const struct tl_output *slots;/* name and type of each */
    uint32_t number;              /* index in tl_plan.bodies */
};

#define TL_PLAN_NO_ENGINE UINT32_MAX

/* A node of the critical path; `times`: in so many instances that follow one another (rounds of a fold). */
struct tl_plan_step {
    const struct tl_plan_node *node;
    uint32_t times;
};

/* Two of its nodes, one right after the other; NULL: the start, the end. */
struct tl_plan_link {
    const struct tl_plan_node *from, *to;
};

/* What prompts begin with whatever the query: an open prompt of static parts. */
struct tl_plan_prefix {
    uint32_t engine; /* index into tl_plan.engines */
    struct tl_value *prompt; /* one reference */
};

struct tl_plan {
    _Atomic uint32_t references;
    struct tl_arena arena;
    const char *name;
    struct tl_plan_body *root;
    struct tl_plan_body **bodies;
    uint32_t body_count;
    const char *const *engines;   /* names of the engines used */
    uint32_t engine_count;
    const bool *measured;         /* per engine: predictions rest on measurements, not on stated defaults */
    const double *work_ms;        /* per engine: predicted, of all that a run asks of it, each item alone */
    struct tl_plan_step *critical; /* the longest way through the plan, in the order in which its nodes begin */
    size_t critical_count;
    struct tl_plan_link *links;
    size_t link_count;
    double critical_ms;           /* of all of it: the largest rank */
    struct tl_plan_prefix *prefixes;
    size_t prefix_count;
    bool shares;                  /* runs may use what others have computed, and leave it to others (sched/memo.h); set
                                     by whoever freezes, false by default */
    uint64_t hash;                /* tl_graph_hash of the graph */
    struct tl_graph *graph;       /* the e-graph that it was frozen from; owned; for explain and draw */
};

/* What is assumed of a query before it runs. */
enum {
    TL_PLAN_ASSUMED_TEXT = 16,        /* tokens of a text that the query brings: a question */
    TL_PLAN_ASSUMED_DOCUMENTS = 4,    /* documents that the query brings */
    TL_PLAN_ASSUMED_DOCUMENT = 3072,  /* tokens of one of them */
    TL_PLAN_ASSUMED_PASSAGE = 256,    /* tokens of a chunk or hit */
    TL_PLAN_ASSUMED_WRITTEN = 64,     /* tokens of an answer, when max_tokens allows so many */
    TL_PLAN_ASSUMED_WRITTEN_ITEM = 16 /* tokens of an item of a written list, when item_tokens allows so many */
};

/* Freezes a verified graph. Takes the graph (also on failure). Verifies it first: TL_ERR_INVALID
 * tells the first finding. TL_ERR_LIMIT when a body has more than 65,534 values or uses of values. `cost` is borrowed
 * for the call; NULL: predictions are the defaults. */
enum tl_status tl_plan_freeze(struct tl_graph *graph, const struct tl_cost *cost, struct tl_plan **plan,
                              struct tl_error *error);
struct tl_plan *tl_plan_ref(struct tl_plan *plan);
void tl_plan_unref(struct tl_plan *plan); /* NULL is allowed */

/* ---- explain and draw ---- */
/* The plan as stable text: the e-graph, per node engine, predicted ms, rank and why it waits, the critical path. */
void tl_plan_explain(const struct tl_plan *plan, struct tl_str *out);
/* What the predictions rest on: "measured", "defaults, not measured here", or which of them for which engines. */
void tl_plan_put_basis(const struct tl_plan *plan, struct tl_str *out);
/* The same as JSON: {"graph", "nodes", "measured", "critical_ms", "critical_path"}. Returns owned. */
json_t *tl_plan_to_json(const struct tl_plan *plan);

/* One graph of a picture. */
struct tl_drawing {
    const struct tl_graph *graph;
    const struct tl_plan *plan; /* of this graph: its figures are shown and its critical path is bold; NULL: neither */
    const char *title;          /* stands above it */
};

/* Graphviz DOT of graphs side by side: colours by engine, regions as boxes, data edges solid, control edges dashed,
 * order edges dotted and grey. Appends. */
void tl_graph_draw_dot(const struct tl_drawing *drawings, size_t count, struct tl_str *out);
/* The same as one SVG picture, laid out by graphviz' program `dot`; TL_ERR_NOT_FOUND names the package when it is
 * missing. */
enum tl_status tl_graph_draw_svg(const struct tl_drawing *drawings, size_t count, struct tl_str *out,
                                 struct tl_error *error);
/* The same as one page that needs nothing else: the pictures fitted to the window, details of each node, and below them
 * `notes`, what the passes did (text, lines; NULL: none). */
enum tl_status tl_graph_draw_html(const struct tl_drawing *drawings, size_t count, const char *notes,
                                  struct tl_str *out, struct tl_error *error);

/* ---- the plan cache: what a plan is made from → plan; bounded, least recently used goes. May be called from any
 * thread. ---- */

/* All that may make a plan another one, but for what is the same as long as the cache is there: the configuration. */
struct tl_plan_origin {
    const char *workflow;      /* its digest */
    const char *const *given;  /* inputs that the query brings, in the order of the workflow's */
    size_t given_count;
    bool collection;           /* the query names a collection */
    int level;                 /* enum tl_optimize */
    const char *const *passes; /* left out or put back, in this order */
    size_t pass_count;
    uint64_t cost_version;     /* tl_cost_version */
    uint64_t load;             /* what it was chosen for (choice/choice.h); 0: for any load */
    uint64_t engines_version;  /* changes when an engine describes itself in another way than before */
};

struct tl_plan_key {
    uint64_t high, low;
};
struct tl_plan_key tl_plan_key(const struct tl_plan_origin *origin);

struct tl_plan_cache;
struct tl_plan_cache *tl_plan_cache_create(size_t capacity); /* plans; at least 1 */
void tl_plan_cache_destroy(struct tl_plan_cache *cache);
/* A reference, or NULL. */
struct tl_plan *tl_plan_cache_get(struct tl_plan_cache *cache, struct tl_plan_key key);
/* Takes a reference of its own; a plan that stood under the key goes. */
void tl_plan_cache_put(struct tl_plan_cache *cache, struct tl_plan_key key, struct tl_plan *plan);
void tl_plan_cache_counters(struct tl_plan_cache *cache, uint64_t *hits, uint64_t *misses, size_t *entries);

#endif

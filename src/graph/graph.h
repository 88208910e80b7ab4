/* graph.h: the p-graph and e-graph: primitives with typed ports, edges and nested regions.
 *
 * A graph has one root body. A body is a list of nodes in an order in which each stands
 * after what it uses (definition before use), a `parameters` node whose outputs are the
 * body's parameters, and named results. A node whose operation is a region (map, fold,
 * reduce, cond, loop) owns one body, cond two (then, else); the bodies are instantiated at
 * run time as their items arrive, so nothing here depends on how many there will be.
 *
 *   region   inputs               parameters of its body      results of its body    outputs
 *   map      items:T[]            item:T, index:number        any number r_j:T_j     r_j:T_j[]
 *   map with attribute slice      item:T[] (at most that many)
 *   fold     items:T[] initial:U  item:T, index:number,       carried:U              result:U
 *                                 carried:U
 *   reduce   items:T[] initial:T  group:T[], level:number     result:T               result:T
 *   cond     holds:bool           none                        r_j:T_j, both bodies   r_j:T_j
 *   loop     initial:T            carried:T, index:number     carried:T, again:bool  result:T
 * A fold of no items gives `initial`; a reduce of no items gives `initial`, of one item that
 * item. A reduce groups by position (items 0..k-1, k..2k-1, ... then their results), never by
 * time of arrival, so its result does not depend on timing.
 *
 * Uses. A data edge is an input that names a port of another node: of the same body, or of
 * any body around it (values of outer bodies are used directly; there is no capture list).
 * Waits. A control edge (the user wrote `after:`) or an order edge (only the order in which
 * the steps were written) joins two nodes of the same body. Only order edges may be pruned.
 *
 * Ownership. A graph owns an arena; nodes, names, attributes live in it and die with it.
 * Node numbers are unique in the graph and ascend in order of creation; printing renumbers,
 * so that equal graphs print equally.
 *
 * Outputs set by the builder ("!" in the signature) are checked by the verifier all the same:
 *   aggregate   mode concat: T[], where each input is T or T[]; top: hit[] of hits of any depth; join: text of
 *               text or text[]; distinct: as the last of texts[] and a list; flatten: T[] of T[][]
 *   decode      text, or text[] with format="list"
 *   map, cond   one for each result of the body
 *
 * Text form (print and parse), one node a line, regions indented; see docs/graph.md:
 *
 *     graph "small" {
 *       parameters (question: text, index: index)
 *       %1: vector = embed "search/embed" @embedder (input: $question)
 *       %2: hit[] = search "search/search" @store (query: %1, index: $index) {count=3}
 *       %3: text[] = map "answer/each" (items: %2) after %1 order %2 {
 *         parameters (item: hit, index: number)
 *         %4: prompt = render "answer/render" (question: $question, context: $item) {template="..."}
 *         %5: kv = prefill "answer/prefill" @llm (prompt: %4)
 *         %6: text = decode "answer/decode" @llm (kv: %5) {max_tokens=64}
 *         results (text: %6)
 *       }
 *       results (answers: %3)
 *     }
 * `$name` is a parameter of the innermost body that has one of that name, `$^name` of the next one outwards;
 * `%n` is the only output of a node, `%n.port` one of several ("%3: text[] a, hit[] b = ..." names them). A
 * single output's name is left out when it is that of the signature, of the body's result, or of its base type.
 * Attributes stand in braces before a region's own brace: `map ... {slice=16} {`.
 */
#ifndef TL_GRAPH_GRAPH_H
#define TL_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/attributes.h"
#include "base/diagnostics.h"
#include "base/primitive.h"
#include "base/str.h"
#include "base/type.h"
#include "teola/status.h"

struct tl_node;
struct tl_body;

enum tl_edge_kind {
    TL_EDGE_DATA,
    TL_EDGE_CONTROL,
    TL_EDGE_ORDER,
};

/* A use of one output port. */
struct tl_ref {
    struct tl_node *node; /* NULL: none */
    uint32_t port;
};

struct tl_input {
    const char *name; /* port name of the signature, or of its own for variadic ones */
    struct tl_ref from;
};

struct tl_output {
    const char *name;
    struct tl_type type;
};

struct tl_wait {
    struct tl_node *node; /* of the same body, before this one */
    enum tl_edge_kind kind; /* CONTROL or ORDER */
};

struct tl_node {
    uint32_t number;
    enum tl_primitive op;
    const char *step;   /* id of the workflow step it comes from; "" for none */
    const char *label;  /* "step/name": unique among siblings; shown to people */
    const char *engine; /* name of the engine in the configuration; NULL for builtins and regions */
    struct tl_attributes attributes;
    struct tl_input *inputs;
    size_t input_count, input_capacity;
    struct tl_output *outputs;
    size_t output_count, output_capacity;
    struct tl_wait *waits;
    size_t wait_count, wait_capacity;
    struct tl_body *body;       /* that it stands in */
    struct tl_body *regions[2]; /* that it owns; NULL otherwise */
};

struct tl_result {
    const char *name;
    struct tl_ref from; /* a node of this body or of one around it */
};

struct tl_body {
    struct tl_graph *graph;
    struct tl_node *owner;      /* region node; NULL: root */
    struct tl_node *parameters; /* op PARAMETERS; not in `nodes` */
    struct tl_node **nodes;     /* definition before use */
    size_t node_count, node_capacity;
    struct tl_result *results;
    size_t result_count, result_capacity;
};

/* Bodies inside bodies; keeps every recursive walk within the stack. */
#define TL_GRAPH_MOST_NESTING 64

struct tl_graph {
    struct tl_arena arena;
    const char *name;
    struct tl_body *root;
    uint32_t next_number;
};

/* ---- building (build.c) ---- */
struct tl_graph *tl_graph_create(const char *name);
void tl_graph_destroy(struct tl_graph *graph);
struct tl_ref tl_graph_add_parameter(struct tl_body *body, const char *name, struct tl_type type);
/* Appends a node; regions get their empty bodies (parameters are added by tl_graph_begin_region).
 * `label` is the name after the step: "step/" is put before it unless it begins so already. `engine` is
 * NULL for builtins and regions. */
struct tl_node *tl_graph_add(struct tl_body *body, enum tl_primitive op, const char *step, const char *label,
                             const char *engine);
/* Inputs stand in the order of the signature whatever the order of the calls; those of a variadic port
 * in the order of the calls. */
void tl_graph_connect(struct tl_node *node, const char *input, struct tl_ref from);
/* Infers the outputs of `node` from its signature and inputs (elementwise depth included).
 * For "!" signatures the builder calls tl_graph_add_output. TL_ERR_INVALID names node and port. */
enum tl_status tl_graph_infer(struct tl_node *node, struct tl_error *error);
struct tl_ref tl_graph_add_output(struct tl_node *node, const char *name, struct tl_type type);
struct tl_ref tl_graph_output(struct tl_node *node, uint32_t port);
struct tl_type tl_graph_type(struct tl_ref ref);
/* At most one wait for each node: CONTROL replaces ORDER, not the reverse. */
void tl_graph_wait(struct tl_node *node, struct tl_node *on, enum tl_edge_kind kind);
bool tl_graph_unwait(struct tl_node *node, struct tl_node *on, enum tl_edge_kind kind);
void tl_graph_add_result(struct tl_body *body, const char *name, struct tl_ref from);
/* After a region's inputs are connected (and `slice` is set): gives its body (or bodies) the parameters of the table above. */
enum tl_status tl_graph_begin_region(struct tl_node *region, struct tl_error *error);
/* After its bodies are complete: sets the region's outputs from the results. */
enum tl_status tl_graph_end_region(struct tl_node *region, struct tl_error *error);

/* ---- questions and changes for passes (query.c) ---- */
/* Calls fn for every use (data input or body result) of any port of `node`, in all bodies. */
void tl_graph_each_use(struct tl_node *node,
                       void (*fn)(void *context, struct tl_node *user, size_t input, struct tl_body *result_of,
                                  size_t result),
                       void *context);
/* A region may begin before this input is there: `initial` of a fold or reduce, which the first instance alone, or the
 * result of no items, waits for. (A streamed map begins before its list is whole, but not before its first item.) */
bool tl_graph_is_late_input(const struct tl_node *node, size_t input);
/* Calls fn for every node of the same body that must be complete before `node` is: those whose values it
 * or a node inside its regions uses, and those that it waits for. A node may come more than once. */
void tl_graph_each_predecessor(const struct tl_node *node,
                               void (*fn)(void *context, struct tl_node *before, enum tl_edge_kind kind),
                               void *context);
size_t tl_graph_use_count(struct tl_ref ref);
/* Every use of `from` becomes one of `to`; the caller sees to it that `to` stands before them. */
void tl_graph_replace_uses(struct tl_ref from, struct tl_ref to);
/* Removes a node without users (else it is a bug). Those that wait for it wait for what it waited for:
 * by control edges where both were, else by order edges. */
void tl_graph_remove(struct tl_node *node);
/* Moves a node to stand right before `before` of `body` (NULL: at its end), any body of the same graph.
 * Waits stay as they are: when the body changes, the caller removes those that join the two bodies. */
void tl_graph_move(struct tl_node *node, struct tl_body *body, struct tl_node *before);
bool tl_graph_body_contains(const struct tl_body *outer, const struct tl_body *inner); /* itself included */
/* The input called `name`, or NULL. */
const struct tl_input *tl_graph_find_input(const struct tl_node *node, const char *name);
const struct tl_primitive_info *tl_graph_info(const struct tl_node *node);

/* ---- verify, print, parse, clone, hash ---- */
/* Collects every finding; the graph is printed with them inline by tl_graph_print_findings. */
bool tl_graph_verify(const struct tl_graph *graph, struct tl_diagnostics *findings);
void tl_graph_print(const struct tl_graph *graph, struct tl_str *out);
/* The graph's text with each finding on a line of its own below the node that it is about. */
void tl_graph_print_findings(const struct tl_graph *graph, struct tl_str *out);
struct tl_graph *tl_graph_parse(const char *text, struct tl_diagnostics *findings); /* NULL when there are errors */
struct tl_graph *tl_graph_clone(const struct tl_graph *graph);
/* Structural: equal for graphs that print equally. */
uint64_t tl_graph_hash(const struct tl_graph *graph);

/* ---- signatures of primitives (signature.c) ---- */
#define TL_SIGNATURE_PORTS 4
#define TL_SIGNATURE_ALTERNATIVES 4
struct tl_signature_port {
    char name[24];                                   /* "" for the variadic port */
    struct tl_type types[TL_SIGNATURE_ALTERNATIVES]; /* what it accepts */
    uint8_t type_count;                              /* 0: any type, or a type variable */
    char variable;                                   /* the letter of a type variable, 'T'; 0: none */
    uint8_t variable_depth;                          /* list levels around the variable */
    bool optional, variadic;
};
struct tl_signature {
    struct tl_signature_port inputs[TL_SIGNATURE_PORTS], outputs[TL_SIGNATURE_PORTS];
    uint8_t input_count, output_count;
    bool outputs_by_builder; /* "!" */
};
/* Thread-safe; the result lives for ever. */
const struct tl_signature *tl_signature_of(enum tl_primitive op);
/* The place among `inputs` of the port called `name`, or of the variadic one that takes any name;
 * input_count when there is none. */
size_t tl_signature_find_input(const struct tl_signature *signature, const char *name);

#endif

/* primitive.h: the table of task primitives: one line says everything that graph, passes,
 * scheduler and engines need to know of a kind of work. Region operations (map, fold, ...)
 * are in the same table, so that a node is always one of these.
 *
 * Capability: what an engine must be able to do to execute it; BUILTIN is executed by the
 *   runtime itself (microseconds, no blocking); REGION is never executed: the scheduler
 *   instantiates its body.
 * Flags:
 *   BATCHABLE   inputs are independent: lists may be cut into slices or joined with other queries'
 *   SPLITTABLE  the output is divisible in meaning: pieces may be passed on before it is complete
 *   PURE        same inputs and attributes, same outputs: may be memoised, shared, retried
 *   EFFECTFUL   changes something outside the run: a barrier to reordering and retry
 *   ELEMENTWISE also accepts its first input with more list levels; the output gets as many more
 */
#ifndef TL_BASE_PRIMITIVE_H
#define TL_BASE_PRIMITIVE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/type.h"

enum tl_capability {
    TL_CAPABILITY_BUILTIN,
    TL_CAPABILITY_REGION,
    TL_CAPABILITY_DOCUMENTS, /* reads files, extracts text, cuts chunks */
    TL_CAPABILITY_EMBED,
    TL_CAPABILITY_RERANK,
    TL_CAPABILITY_STORE,     /* ingest, search, match */
    TL_CAPABILITY_LLM,
    TL_CAPABILITY_WEB,
    TL_CAPABILITY_TOOL,
    TL_CAPABILITY_COUNT
};

enum tl_primitive_flags {
    TL_BATCHABLE = 1,
    TL_SPLITTABLE = 2,
    TL_PURE = 4,
    TL_EFFECTFUL = 8,
    TL_ELEMENTWISE = 16,
};

/* Signature language: "name:type name:type -> name:type", a port per word.
 *   type   as printed by tl_type_print; alternatives with '|'; "any" matches every type;
 *          'T is a type variable bound by its first use ("items:'T[] -> out:'T")
 *   name?  optional input; name*  any number of inputs, each with a name of its own
 *   -> !   outputs are set by whoever builds the node (parameters, region results) */
/*    id               name              capability flags                                signature */
#define TL_PRIMITIVES(X)                                                                                             \
    X(PARAMETERS,      "parameters",      BUILTIN,   0,                                  "-> !")                     \
    X(CONSTANT,        "constant",        BUILTIN,   TL_PURE,                            "-> !")                     \
    X(RENDER,          "render",          BUILTIN,   TL_PURE,                            "*:any -> prompt:prompt")   \
    X(PARSE,           "parse",           BUILTIN,   TL_PURE,                            "text:text -> items:text[]") \
    X(CONDITION,       "condition",       BUILTIN,   TL_PURE,                            "value:any -> holds:bool")  \
    X(AGGREGATE,       "aggregate",       BUILTIN,   TL_PURE,                            "*:any -> !")               \
    X(FUSE,            "fuse",            BUILTIN,   TL_PURE | TL_ELEMENTWISE,           "*:hit[] -> hits:hit[]")    \
    X(CHUNK,           "chunk",           DOCUMENTS, TL_BATCHABLE | TL_SPLITTABLE | TL_PURE, "documents:document[] -> chunks:chunk[]") \
    X(EMBED,           "embed",           EMBED,     TL_BATCHABLE | TL_PURE | TL_ELEMENTWISE, "input:text|chunk -> vector:vector") \
    X(COLLECTION,      "collection",      STORE,     0,                                  "-> index:index")           \
    X(INGEST,          "ingest",          STORE,     TL_BATCHABLE | TL_EFFECTFUL,        "chunks:chunk[] vectors:vector[] into?:index -> index:index") \
    X(SEARCH,          "search",          STORE,     TL_BATCHABLE | TL_PURE | TL_ELEMENTWISE, "query:vector index:index -> hits:hit[]") \
    X(MATCH,           "match",           STORE,     TL_BATCHABLE | TL_PURE | TL_ELEMENTWISE, "query:text index:index -> hits:hit[]") \
    X(SCORE,           "score",           RERANK,    TL_BATCHABLE | TL_PURE | TL_ELEMENTWISE, "hits:hit[] query:text -> hits:hit[]") \
    X(WEB_SEARCH,      "web_search",      WEB,       TL_BATCHABLE,                       "query:text -> hits:hit[]") \
    X(TOOL,            "tool",            TOOL,      TL_EFFECTFUL,                       "call:json -> result:json") \
    X(PREFILL,         "prefill",         LLM,       TL_BATCHABLE | TL_PURE,             "prompt:prompt -> kv:kv")   \
    X(PARTIAL_PREFILL, "partial_prefill", LLM,       TL_BATCHABLE | TL_PURE,             "prompt:prompt kv?:kv -> kv:kv") \
    X(FULL_PREFILL,    "full_prefill",    LLM,       TL_BATCHABLE | TL_PURE,             "prompt:prompt kv:kv -> kv:kv") \
    X(DECODE,          "decode",          LLM,       TL_BATCHABLE | TL_SPLITTABLE,       "kv:kv -> !")               \
    X(PARTIAL_DECODE,  "partial_decode",  LLM,       TL_BATCHABLE | TL_SPLITTABLE,       "kv:kv -> !")               \
    X(MAP,             "map",             REGION,    0,                                  "items:'T[] -> !")          \
    X(FOLD,            "fold",            REGION,    0,                                  "items:'T[] initial:'U -> result:'U") \
    X(REDUCE,          "reduce",          REGION,    0,                                  "items:'T[] initial:'T -> result:'T") \
    X(COND,            "cond",            REGION,    0,                                  "holds:bool -> !")          \
    X(LOOP,            "loop",            REGION,    0,                                  "initial:'T -> result:'T")

enum tl_primitive {
#define X(id, name, capability, flags, signature) TL_OP_##id,
    TL_PRIMITIVES(X)
#undef X
    TL_OP_COUNT
};

struct tl_primitive_info {
    const char *name;
    enum tl_capability capability;
    uint32_t flags;
    const char *signature;
};

const struct tl_primitive_info *tl_primitive_info(enum tl_primitive op);
/* TL_OP_COUNT when there is no such name. */
enum tl_primitive tl_primitive_find(const char *name);
const char *tl_capability_name(enum tl_capability capability); /* "embed" */

/* ---- Attributes that primitives read (all optional; defaults in parentheses) ----
 * constant   value:string (as text), or values:string, a JSON array of strings (as text[])
 * render     template:string, a JSON array of [role, text]; {name} is replaced by the input of that name,
 *            {#name}...{/name} is left out when that input is empty, {{ and }} stand for braces.
 *            Inserted text is never expanded again. trim:string, comma-separated names of inputs that may be trimmed.
 *            parts:integer, render only the first `parts` template segments and leave the prompt open (all).
 * condition  is:string "nonempty" | "true" | "equals", to:string
 * aggregate  mode:string "concat" (joins lists of one element type, single elements count as lists of one),
 *            "top" (hits of all inputs and levels flattened, distinct by chunk id, best first),
 *            count:integer (for top: how many to keep; 0 all),
 *            by:string "retrieval" | "score" | "fused" (for top; default fused when scored, else retrieval)
 *            "join" (texts to one text), separator:string
 *            "distinct" (of texts, those that are not blank and not the same as an earlier one but for the case of a
 *            to z and white space around; with a second list, of as many elements, those at the same places in it)
 *            "flatten" (of one list of lists, the elements of these one after the other)
 * fuse       count:integer (16) constant:integer, the k of reciprocal rank fusion (60)
 * chunk      size:integer tokens (256), overlap:integer tokens (30)
 * embed      (none: the engine's configuration rules)
 * collection (none) a new, empty collection of the run's own, dropped after its last use
 * ingest     collection:string (a temporary one when absent)
 * search     count:integer (16)           match  count:integer (16)
 * score      (none)
 * decode     max_tokens:integer (256) temperature:number (0) top_p:number (1) top_k:integer (0) min_p:number (0)
 *            seed:integer (0), stop:string (JSON array of strings), ignore_eos:bool (false) write to max_tokens
 *            repetition_penalty:number (1) frequency_penalty:number (0) presence_penalty:number (0)
 *            logit_bias:string (JSON object of token ids and numbers)
 *            logprobs:integer (absent: none) likeliest alternatives told per token, 0 to 20; a second output, json
 *            format:string "text" (text) | "list" (text[]) | "json" (json; json[] when the schema is an array) |
 *            "choice" (text) | "tool_call" (json)
 *            list: items:integer (3) min_items:integer (items) item_tokens:integer bound per item (48)
 *            json: schema:string (JSON Schema; absent: any object)   choice: choices:string (JSON array of strings)
 *            tool_call: tools:string (JSON array as in the OpenAI API), tool_choice:string "required" | "auto"
 *            (required); the output is {"content", "tool_calls": [{"name", "arguments"}]}
 *            on_error:string, of a list that breaks off or cannot be read: "skip" gives the items that are whole, none
 *            maybe; "fail" is a failure (skip). A list of fewer items than were asked for, or of none, is no error
 *            continues:bool (false) it takes over the place with the engine that the prefill of its kv gives up
 * parse      on_error:string as decode
 * map        streamed:bool (false) items are taken as they come
 *            slice:integer, items are cut into lists of at most `slice` (absent: single items)
 * fold       slice:integer, as map: each instance takes a list of at most `slice` items (absent: single items)
 * reduce     arity:integer, results combined at once (2)
 * loop       limit:integer, most iterations (8)
 */

#endif

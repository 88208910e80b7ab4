/* workflow.h: what the user wrote (struct tl_workflow), checked, and its decomposition into a p-graph.
 *
 * YAML → tl_workflow_parse → struct tl_workflow (immutable; all findings at once with file:line:column)
 *      → tl_workflow_decompose (+ what the query brings) → struct tl_graph (the p-graph)
 *
 * Steps form a chain in the order written: the nodes of a step that have no predecessor in it wait
 * (order edges) for the nodes of the former step that have no successor in it. `$step.output` and
 * `$input` are data edges. `after: step` gives control edges instead of order edges.
 *
 * A step output is a bundle of lanes: usually one value; `expand` gives two (the question as asked
 * and the list of rewrites), so that consumers can serve each lane as soon as it is there.
 */
#ifndef TL_WORKFLOW_WORKFLOW_H
#define TL_WORKFLOW_WORKFLOW_H

#include "base/diagnostics.h"
#include "graph/graph.h"
#include "teola/status.h"

struct tl_workflow; /* fields in workflow_impl.h, for this folder only */

struct tl_workflow_input {
    const char *name;
    struct tl_type type;
    bool optional;
};

/* Reads and checks a workflow file. `name` is shown in findings; prompt files are found relative to
 * `directory` (never outside it; NULL: prompt files are refused). NULL when there are errors. Warnings may remain in
 * findings, which is either zeroed or initialised. */
struct tl_workflow *tl_workflow_parse(const char *text, size_t length, const char *name, const char *directory,
                                      struct tl_diagnostics *findings);
struct tl_workflow *tl_workflow_load(const char *path, struct tl_diagnostics *findings);
void tl_workflow_destroy(struct tl_workflow *workflow);

const char *tl_workflow_name(const struct tl_workflow *workflow);
const char *tl_workflow_description(const struct tl_workflow *workflow);
const char *tl_workflow_digest(const struct tl_workflow *workflow); /* SHA-256 of the text and its prompt files */
size_t tl_workflow_input_count(const struct tl_workflow *workflow);
const struct tl_workflow_input *tl_workflow_input(const struct tl_workflow *workflow, size_t position);
size_t tl_workflow_output_count(const struct tl_workflow *workflow);
const char *tl_workflow_output(const struct tl_workflow *workflow, size_t position);
/* Roles that it uses ("llm", "embedder", ...), with the engine name written for each. */
size_t tl_workflow_engine_count(const struct tl_workflow *workflow);
void tl_workflow_engine(const struct tl_workflow *workflow, size_t position, const char **role, const char **engine,
                        enum tl_capability *capability);

/* What of the query changes the graph. */
struct tl_query_shape {
    /* Names of the inputs that this query gives. When "documents" is not given and a collection is,
     * an `index` step becomes the parameter `collection` of type index. */
    const char *const *given;
    size_t given_count;
    bool collection; /* the query names a permanent collection */
};

/* Builds the p-graph: parameters are the given inputs and, if so, `collection`; results the outputs.
 * Fails (findings) when a needed input is not given. Returns owned. */
struct tl_graph *tl_workflow_decompose(const struct tl_workflow *workflow, const struct tl_query_shape *shape,
                                       struct tl_diagnostics *findings);

/* The JSON Schema of workflow files, made from the module and setting tables. Appends. */
void tl_workflow_schema(struct tl_str *out);

#endif

/* graph_impl.h: what the files of src/graph share and nobody else needs. */
#ifndef TL_GRAPH_GRAPH_IMPL_H
#define TL_GRAPH_GRAPH_IMPL_H

#include "graph/graph.h"

/* Checks the inputs of `node` against its signature: names, presence, types. Adds a finding at
 * `line` for each thing that is wrong and returns false if there was one. When all is well and
 * the signature gives the outputs, `outputs` holds their types. (infer.c) */
bool tl_graph_check_inputs(const struct tl_node *node, unsigned line, struct tl_diagnostics *findings,
                           struct tl_type outputs[TL_SIGNATURE_PORTS]);

/* A parameter or a result that the table of regions in graph.h prescribes. */
struct tl_region_port {
    const char *name;
    struct tl_type type;
};

#define TL_REGION_PORTS 3

/* The parameters that the body of `region` must have; returns how many. The region's inputs must be well typed. */
size_t tl_graph_region_parameters(const struct tl_node *region, struct tl_region_port ports[TL_REGION_PORTS]);
/* The results that its body must have; returns how many, or SIZE_MAX when any will do (map, cond). */
size_t tl_graph_region_results(const struct tl_node *region, struct tl_region_port ports[TL_REGION_PORTS]);
/* Checks the bodies' results against that, as tl_graph_check_inputs does. */
bool tl_graph_check_results(const struct tl_node *region, unsigned line, struct tl_diagnostics *findings);

/* Kinds, ranges and choices of the attributes; unknown ones are a warning. (attribute.c) */
void tl_graph_check_attributes(const struct tl_node *node, unsigned line, struct tl_diagnostics *findings);
/* The outputs of a node that is no region and whose signature leaves them to the builder. Its inputs must be
 * well typed. (attribute.c) */
void tl_graph_check_built_outputs(const struct tl_node *node, unsigned line, struct tl_diagnostics *findings);

/* Letters, digits, '_', '-' and '.', the first a letter or '_': what stands unquoted in the text form. */
bool tl_graph_name_valid(const char *name);

/* The name that the text form leaves out: what a single output is called unless it says otherwise. */
const char *tl_graph_usual_output_name(const struct tl_node *node);

/* Prints, and fills lines[node->number] with the line on which each node stands (from 1). */
void tl_graph_print_lines(const struct tl_graph *graph, struct tl_str *out, unsigned *lines);

#endif

/* inputs.h: what a query brings, as values: its inputs from JSON, its documents from paths. */
#ifndef TL_RUNTIME_INPUTS_H
#define TL_RUNTIME_INPUTS_H

#include <jansson.h>

#include "base/value.h"
#include "choice/choice.h"
#include "teola/status.h"
#include "workflow/workflow.h"

/* Bounds on what one query may bring. */
#define TL_INPUT_MOST_BYTES ((size_t)16 << 20)
#define TL_INPUT_MOST_DOCUMENTS 100000
#define TL_INPUT_MOST_DEPTH 64 /* of directories */

/* Parses a request's inputs: a JSON object (NULL: an empty one). Names that the workflow does not
 * have are refused with the nearest that it has. */
enum tl_status tl_inputs_parse(const struct tl_workflow *workflow, const char *text, json_t **inputs,
                               struct tl_error *error);

/* One value of the type from JSON: texts, numbers, booleans, any JSON, documents (a path, or
 * {"uri", "text", "media_type"}) and lists of these. A text must hold more than white space. */
enum tl_status tl_inputs_value(const char *name, struct tl_type type, const json_t *json, struct tl_value **value,
                               struct tl_error *error);

/* Files and directories to a list of documents, which are read later; their sizes are known. Directories are walked in
 * the order of their names, without hidden entries and without following links to directories;
 * the same order every time. TL_ERR_NOT_FOUND names a path that is not there; TL_ERR_INVALID when
 * nothing is found. */
enum tl_status tl_inputs_documents(const char *const *paths, size_t count, struct tl_value **documents,
                                   struct tl_error *error);

/* How much a query brings: inputs as tl_inputs_parse gives them, and the documents beside them (NULL: none). */
void tl_inputs_measure(const struct tl_workflow *workflow, const json_t *inputs, const struct tl_value *documents,
                       struct tl_choice_load *load);

#endif

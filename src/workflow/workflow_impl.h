/* workflow_impl.h: the checked workflow, and what checking and decomposing share; for this folder only.
 *
 *   workflow.c    life cycle, questions                           check.c             YAML tree → struct tl_workflow
 *   module.c      the table of modules; module_<name>.c, one each   check_setting.c     one setting
 *   prompt.c      a prompt as written → a template                check_reference.c   $step.output
 *   schema.c      tables → JSON Schema                            decompose.c         struct tl_workflow → p-graph
 *   reference.c   tables → Markdown                               build.c             what modules build nodes with
 *                                                                 parallel.c          lists of items written at once
 */
#ifndef TL_WORKFLOW_WORKFLOW_IMPL_H
#define TL_WORKFLOW_WORKFLOW_IMPL_H

#include "base/hash.h"
#include "workflow/module.h"

#define TL_WORKFLOW_STEPS_MAX 1000
#define TL_WORKFLOW_REFERENCES_MAX 16 /* in one setting */
#define TL_WORKFLOW_ERRORS_MAX 100    /* then checking ends: nobody reads more */

/* `$question` or `$search.hits`, resolved. */
struct tl_reference {
    const struct tl_yaml_node *source;
    const char *name; /* of TL_SETTING_INPUTS: what the prompt calls it; else "" */
    bool known;       /* false: wrong, and reported */
    size_t input;     /* position, when `step` is NULL */
    const struct tl_step *step;
    size_t output;    /* of the step's module */
};

/* A setting of a step: as written, or the default. */
struct tl_setting_value {
    const struct tl_yaml_node *source; /* NULL: not written */
    int64_t integer;                /* INTEGER; BOOL: 0 or 1 */
    double number;                  /* of INTEGER too */
    const char *string;             /* STRING, CHOICE; STRINGS: a JSON array; PROMPT: the template of `render` */
    struct tl_reference *references;
    size_t reference_count;
};

struct tl_step {
    const char *id;
    const struct tl_workflow *workflow;
    const struct tl_yaml_node *source;
    const struct tl_module *module;           /* NULL: wrong, and reported */
    size_t position;
    struct tl_setting_value *values;          /* as module->settings */
    const char *engines[TL_ROLE_COUNT];       /* name of the engine for each role of the module */
    const struct tl_yaml_node *after_source;     /* NULL: `after` is not written */
    size_t *after;                            /* positions of earlier steps */
    size_t after_count;
    struct tl_lanes lanes[TL_MODULE_OUTPUTS_MAX];
    bool used;                                /* something refers to an output or waits for it */
};

struct tl_workflow_result {
    const char *name;
    struct tl_reference *references;
    size_t reference_count;
};

struct tl_workflow_role {
    enum tl_engine_role role;
    const char *engine;
};

struct tl_workflow {
    struct tl_arena arena; /* holds everything below */
    const char *name, *description;
    char digest[TL_SHA256_HEX_SIZE];
    struct tl_workflow_input *inputs;
    const struct tl_yaml_node **input_sources;
    bool *inputs_used;
    size_t input_count;
    const char *engines[TL_ROLE_COUNT]; /* as `engines:` says, or the defaults */
    const char *on_error;               /* "skip" or "fail": of what a model wrote and cannot be read */
    struct tl_step *steps;
    size_t step_count;
    struct tl_workflow_result *results;
    size_t result_count;
    struct tl_workflow_role *roles;     /* used by the steps, each pair of role and engine once */
    size_t role_count;
};

/* ---- checking ---- */
struct tl_check {
    struct tl_workflow *workflow;
    const char *directory;     /* of prompt files; NULL: there are none */
    struct tl_sha256 *digest;  /* of all that was read */
    struct tl_diagnostics *findings;
    size_t errors;             /* found, of which findings show the first TL_WORKFLOW_ERRORS_MAX */
};

/* Whether no more errors will be shown. */
bool tl_check_is_enough(const struct tl_check *check);
void tl_check_error(struct tl_check *check, const struct tl_yaml_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
void tl_check_warning(struct tl_check *check, const struct tl_yaml_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Reports "<what>: expected <expected>, found <source>". */
void tl_check_expected(struct tl_check *check, const struct tl_yaml_node *source, const char *what,
                       const char *expected);
/* Appends "; did you mean 'x'?" when a candidate is near, then "; <title>: a, b, c". */
void tl_check_suggest(struct tl_str *out, const char *name, const char *title, const char *const *candidates,
                      size_t count);
/* Reports each key of the mapping that is not in the list: "<what> '<key>'", with a suggestion. */
void tl_check_keys(struct tl_check *check, const struct tl_yaml_node *map, const char *what, const char *title,
                   const char *const *keys, size_t count);
/* Letters, digits and underscores, not a digit first, at most 64. */
bool tl_check_is_name(const char *text);
/* The text of a scalar, or NULL after a finding "<what>: expected <expected>, found ...". */
const char *tl_check_text(struct tl_check *check, const struct tl_yaml_node *source, const char *what,
                          const char *expected);

/* check.c: everything, into check->workflow. */
void tl_check_workflow(struct tl_check *check, const struct tl_yaml_node *root);
/* Reads a mapping from roles (a bit each in `roles`) to names of engines; what it does not name stays. */
void tl_check_engines(struct tl_check *check, const struct tl_yaml_node *map, const char *where, uint32_t roles,
                      const char *engines[TL_ROLE_COUNT]);

/* check_setting.c: fills step->values. */
void tl_check_settings(struct tl_check *check, struct tl_step *step);
const struct tl_setting_value *tl_step_value(const struct tl_step *step, const char *name); /* a name of its module */

/* parallel.c: whether the step writes a list whose items are decoded at the same time. */
bool tl_step_is_parallel(const struct tl_step *step);

/* check_reference.c. `step` is the one that refers; NULL: the workflow's outputs. */
void tl_check_reference(struct tl_check *check, const struct tl_step *step, const struct tl_yaml_node *source,
                        const char *what, struct tl_reference *reference);
/* One reference or a list of at least one; returns how many. */
size_t tl_check_references(struct tl_check *check, const struct tl_step *step, const struct tl_yaml_node *source,
                           const char *what, struct tl_reference **references);
/* Fills step->after. */
void tl_check_after(struct tl_check *check, struct tl_step *step);
/* All lanes of the references in order; count 0 when one is not known. False: there are more than TL_LANES_MAX. */
bool tl_reference_lanes(const struct tl_workflow *workflow, const struct tl_reference *references, size_t count,
                        struct tl_lanes *lanes);
/* Reports references that are not all to one of these types, or to more than one value where `single` is wanted. */
void tl_check_accepted(struct tl_check *check, const struct tl_yaml_node *source, const char *what, uint32_t accepts,
                       bool single, const struct tl_reference *references, size_t count);

/* prompt.c: reads the prompt, or the module's own when none is written, into value->string. */
void tl_check_prompt(struct tl_check *check, const struct tl_step *step, const struct tl_setting *setting,
                     const char *what, struct tl_setting_value *value);

/* Appends the text of a file in the workflow's directory, which becomes part of the digest; false after a finding. */
bool tl_check_read_file(struct tl_check *check, const struct tl_yaml_node *source, const char *what, const char *name,
                        struct tl_str *text);

/* check_json.c: reads a value as JSON text into value->string; NULL after a finding. */
void tl_check_json(struct tl_check *check, const char *what, struct tl_setting_value *value);

/* ---- decomposing ---- */
struct tl_build {
    const struct tl_workflow *workflow;
    struct tl_body *root;
    struct tl_ref *inputs;        /* per input; documents not given: no node */
    struct tl_ref collection;     /* no node: the query names none */
    struct tl_bundle *outputs;    /* per step TL_MODULE_OUTPUTS_MAX */
};

/* All lanes that a setting refers to. */
void tl_build_bundle(const struct tl_build *build, const struct tl_step *step, const char *setting,
                     struct tl_bundle *bundle);
/* The same as one value: several lanes of texts are joined to one list, of hits to one ranking. */
struct tl_ref tl_build_single(const struct tl_build *build, const struct tl_step *step, const char *setting);
/* Joins the lanes of a bundle, unless it is one value already, by a node "merge_<name>" of the step, or
 * "output_<name>" of none (`step` NULL). */
struct tl_ref tl_build_merge(const struct tl_build *build, const struct tl_step *step, const char *name,
                             const struct tl_bundle *bundle);
/* What the references give, as one value. */
struct tl_ref tl_build_references(const struct tl_build *build, const char *name, const struct tl_reference *references,
                                  size_t count);
/* All lanes of hits as one ranking of distinct hits; `keep` 0: all, `by` NULL: see aggregate. */
struct tl_ref tl_build_top(const struct tl_step *step, struct tl_body *body, const char *label,
                           const struct tl_bundle *hits, int64_t keep, const char *by);
/* The references of a setting of kind INPUTS as one value each; returns how many names there are. */
size_t tl_build_named(const struct tl_build *build, const struct tl_step *step, const struct tl_setting_value *inputs,
                      const char *names[TL_WORKFLOW_REFERENCES_MAX], struct tl_ref values[TL_WORKFLOW_REFERENCES_MAX]);
/* Whether a template uses the name. */
bool tl_build_uses(const char *template, const char *name);
/* Adds a node in `body` with the engine of `role` (TL_ROLE_COUNT: none). The label of lane l > 0 is "<label>_<l + 1>". */
struct tl_node *tl_build_node(const struct tl_step *step, struct tl_body *body, enum tl_primitive op, const char *label,
                              size_t lane, enum tl_engine_role role);
/* Sets the outputs from the inputs, which checking has seen to fit; returns the first output. */
struct tl_ref tl_build_finish(struct tl_node *node);
void tl_build_begin_region(struct tl_node *region);
struct tl_ref tl_build_end_region(struct tl_node *region); /* returns its first output */
/* Attributes, in the graph's memory. */
void tl_build_set_integer(struct tl_node *node, const char *name, int64_t value);
void tl_build_set_number(struct tl_node *node, const char *name, double value);
void tl_build_set_string(struct tl_node *node, const char *name, const char *value);
/* A text known in advance. */
struct tl_ref tl_build_constant(const struct tl_step *step, struct tl_body *body, const char *label, const char *text);
/* Sets decode's attributes from the step's sampling settings, as far as the module has them. */
void tl_build_set_sampling(const struct tl_step *step, struct tl_node *decode);
/* A node that fills a prompt; the caller connects its inputs, then calls tl_build_prefill, which returns the kv. */
struct tl_node *tl_build_render(const struct tl_step *step, struct tl_body *body, const char *template,
                                const char *trim);
struct tl_ref tl_build_prefill(const struct tl_step *step, struct tl_node *render);
/* A decode from `kv` with the step's settings of sampling; its output is still to be added. */
struct tl_node *tl_build_decode(const struct tl_step *step, struct tl_body *body, struct tl_ref kv);
/* A list whose items are written at the same time, by a prompt that may use {number} and {count} beside its inputs. */
struct tl_build_list {
    const char *template, *trim; /* as tl_build_render has them */
    const char *const *names;    /* of the inputs that the template uses */
    const struct tl_ref *inputs;
    size_t input_count;
    int64_t items;
};
/* parallel.c: the distinct texts of it. The step has the settings max_tokens, item_tokens and stop. */
struct tl_ref tl_build_parallel(const struct tl_step *step, struct tl_body *root, const struct tl_build_list *list);
/* Appends the template with the number in place of {count}. */
void tl_build_fill_count(const char *template, int64_t count, struct tl_str *out);
/* Decodes text by the step's sampling settings. */
struct tl_ref tl_build_text(const struct tl_step *step, struct tl_body *body, struct tl_ref kv);

#endif

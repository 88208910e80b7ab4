/* module.h: what a module is: a table of its settings, a table of its outputs, and three functions.
 *
 * A module is one file, module_<name>.c, and one entry in module.c. Its tables are all that checking,
 * documentation and the JSON Schema know of it: nothing is written down twice.
 *
 * Words. A *lane* is one value with its type as the graph will have it; an output is a *bundle* of
 * lanes, usually one. `expand` gives two (the question, and the list of rewrites), so that whoever
 * consumes them can serve each as soon as it is there. Checking works on the lanes' types, building
 * on the lanes themselves; both go through the same module functions in the same order. */
#ifndef TL_WORKFLOW_MODULE_H
#define TL_WORKFLOW_MODULE_H

#include "base/yaml.h"
#include "graph/graph.h"
#include "workflow/workflow.h"

struct tl_step;
struct tl_check;
struct tl_build;

/* What an engine is used for. The names are the keys of `engines:`. */
enum tl_engine_role {
    TL_ROLE_LLM,
    TL_ROLE_EMBEDDER,
    TL_ROLE_RERANKER,
    TL_ROLE_STORE,
    TL_ROLE_DOCUMENTS,
    TL_ROLE_COUNT
};

struct tl_engine_role_info {
    const char *name; /* also the engine's name unless `engines:` says otherwise */
    enum tl_capability capability;
    const char *description;
};
extern const struct tl_engine_role_info tl_engine_roles[TL_ROLE_COUNT];

enum tl_setting_kind {
    TL_SETTING_INTEGER,
    TL_SETTING_NUMBER,
    TL_SETTING_BOOL,
    TL_SETTING_STRING,
    TL_SETTING_STRINGS,   /* a text or a list of texts */
    TL_SETTING_CHOICE,    /* one of `choices` */
    TL_SETTING_PROMPT,    /* see prompt.c */
    TL_SETTING_REFERENCE, /* one reference or a list of them */
    TL_SETTING_INPUTS,    /* a mapping from names to references */
    TL_SETTING_JSON,      /* a value as JSON has them, written in YAML, or {file: path} of a JSON file */
};

/* A name that a prompt may insert. */
struct tl_placeholder {
    const char *name; /* NULL ends a list */
    bool needed;      /* a prompt without it is probably a mistake: a warning */
    const char *description;
};

/* What a prompt may use, and the one that stands for it when none is written. */
struct tl_prompt_form {
    const char *mode; /* value of the setting `mode` that it belongs to; NULL: the module has no modes */
    bool parallel;    /* the one when the setting `parallel` is true */
    const struct tl_placeholder *placeholders; /* NULL ends a list of forms */
    const char *system, *user;
};

struct tl_setting {
    const char *name;
    enum tl_setting_kind kind;
    bool required;
    double least, most;                        /* INTEGER, NUMBER: range, both ends included */
    const char *otherwise;                     /* default, as it would be written; NULL: none */
    const char *const *choices;                /* CHOICE: NULL-terminated */
    const struct tl_prompt_form *forms;        /* PROMPT: one per mode; NULL: it may use what `inputs` names, and
                                                  in a parallel list {number} and {count} */
    uint32_t accepts;                          /* REFERENCE, INPUTS: a bit for each tl_base_type */
    bool single;                               /* REFERENCE: one value, no list */
    const char *modes;                         /* values of the setting that selects (see below) that it belongs to:
                                                  "vector hybrid"; NULL: all */
    const char *description;
};

#define TL_ACCEPTS(base_id) (1u << TL_TYPE_##base_id)

struct tl_module_output {
    const char *name;
    const char *type; /* for people: "hits" */
    const char *description;
};

#define TL_LANES_MAX 32
struct tl_lanes {
    struct tl_type types[TL_LANES_MAX];
    size_t count; /* 0: not known, because of an error that has been reported */
};
struct tl_bundle {
    struct tl_ref lanes[TL_LANES_MAX];
    size_t count;
};

#define TL_MODULE_OUTPUTS_MAX 2

struct tl_module {
    const char *name;
    const char *description;
    const struct tl_setting *settings;
    size_t setting_count;
    const struct tl_module_output *outputs;
    size_t output_count; /* at most TL_MODULE_OUTPUTS_MAX */
    uint32_t roles;      /* a bit for each enum tl_engine_role that it needs */
    /* What the tables cannot say, such as settings that need each other; NULL: nothing. */
    void (*check)(struct tl_check *check, const struct tl_step *step);
    /* The lanes of each output, from the checked settings. */
    void (*lanes)(const struct tl_step *step, struct tl_lanes *outputs);
    /* Adds the step's nodes and fills outputs[0..output_count). */
    void (*build)(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs);
};

extern const struct tl_module *const tl_modules[];
extern const size_t tl_module_count;
const struct tl_module *tl_module_find(const char *name); /* NULL when there is none */

/* The setting on which it depends which others a step may have: `mode`, or `format`. */
const char *tl_module_selector(const struct tl_module *module);

/* Appends "vector or hybrid". */
void tl_setting_put_modes(const struct tl_setting *setting, struct tl_str *out);

/* The reference documentation of all modules in Markdown, from their tables: a heading and two tables each. */
void tl_module_reference(struct tl_str *out);

/* The settings of whatever writes text with a language model. `tokens` is the default of max_tokens. */
#define TL_SAMPLING_SETTINGS(tokens) \
    {.name = "max_tokens", \
     .kind = TL_SETTING_INTEGER, \
     .least = 1, \
     .most = 32768, \
     .otherwise = (tokens), \
     .description = "most tokens to write"}, \
        {.name = "temperature", \
         .kind = TL_SETTING_NUMBER, \
         .least = 0, \
         .most = 2, \
         .otherwise = "0", \
         .description = "0: the likeliest token always, so that the same question gets the same answer"}, \
        {.name = "top_p", \
         .kind = TL_SETTING_NUMBER, \
         .least = 0, \
         .most = 1, \
         .otherwise = "1", \
         .description = "sample from the likeliest tokens that together have this probability"}, \
        {.name = "top_k", \
         .kind = TL_SETTING_INTEGER, \
         .least = 0, \
         .most = 1000, \
         .otherwise = "0", \
         .description = "sample from so many tokens at most; 0: no bound"}, \
        {.name = "min_p", \
         .kind = TL_SETTING_NUMBER, \
         .least = 0, \
         .most = 1, \
         .otherwise = "0", \
         .description = "leave out tokens less likely than this share of the likeliest"}, \
        {.name = "seed", \
         .kind = TL_SETTING_INTEGER, \
         .least = 0, \
         .most = 4294967295.0, \
         .otherwise = "0", \
         .description = "start of the random numbers"}, \
        {.name = "repetition_penalty", \
         .kind = TL_SETTING_NUMBER, \
         .least = 0.01, \
         .most = 10, \
         .otherwise = "1", \
         .description = "above 1: tokens that stand in the prompt or were written become less likely"}, \
        {.name = "frequency_penalty", \
         .kind = TL_SETTING_NUMBER, \
         .least = -2, \
         .most = 2, \
         .otherwise = "0", \
         .description = "taken off a token's logit for each time that it was written"}, \
        {.name = "presence_penalty", \
         .kind = TL_SETTING_NUMBER, \
         .least = -2, \
         .most = 2, \
         .otherwise = "0", \
         .description = "taken off a token's logit when it was written"}, \
        {.name = "logit_bias", \
         .kind = TL_SETTING_JSON, \
         .description = "a mapping from token ids to numbers from -100 to 100 that are added to their logits"}, \
    { \
        .name = "stop", .kind = TL_SETTING_STRINGS, \
        .description = "texts at which writing ends; they are not part of the answer" \
    }

#endif

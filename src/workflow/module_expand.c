/* module_expand.c: rewrites of the question, so that a search finds what the user's own words would not:
 *
 *     question → render → prefill → decode (a list)      queries = question, list
 *
 * With `parallel: true` the rewrites are asked for one by one, all at the same time (parallel.c).
 *
 * The question as asked is always the first lane: a small model writes poor rewrites, and a search must
 * never depend on them. How many the model really writes is its own affair; nothing here counts on it. */
#include <string.h>

#include "workflow/workflow_impl.h"

static const struct tl_placeholder placeholders[] = {
    {"question", true, "the question as asked"},
    {"count", false, "the setting `count`"},
    {NULL, false, NULL},
};

static const struct tl_placeholder parallel_placeholders[] = {
    {"question", true, "the question as asked"},
    {"number", true, "which rewrite is asked for, from 1; everything before it is read once for all of them"},
    {"count", false, "the setting `count`"},
    {NULL, false, NULL},
};

static const struct tl_prompt_form forms[] = {
    {.placeholders = placeholders,
     .system = "You write search queries. Give {count} different queries that would find the answer to the question, "
               "as a JSON list.",
     .user = "Question: How can I copy a database while a program is using it?\n"
             "Queries: [\"online backup of a live database\", \"backup API\", \"copy database file in use\"]\n"
             "\n"
             "Question: {question}\n"
             "Queries:"},
    {.parallel = true,
     .placeholders = parallel_placeholders,
     .system = "You write search queries. Give a short query that would find the answer to the question.",
     .user = "Question: How can I copy a database while a program is using it?\n"
             "Query 1: online backup of a live database\n"
             "Query 2: backup API\n"
             "Query 3: copy database file in use\n"
             "\n"
             "Question: {question}\n"
             "Query {number}:"},
    {.placeholders = NULL},
};

static const char *const on_error[] = {"skip", "fail", NULL};

static const struct tl_setting settings[] = {
    {.name = "question",
     .kind = TL_SETTING_REFERENCE,
     .accepts = TL_ACCEPTS(TEXT),
     .single = true,
     .required = true,
     .description = "the question to rewrite"},
    {.name = "count",
     .kind = TL_SETTING_INTEGER,
     .least = 1,
     .most = 16,
     .otherwise = "3",
     .description = "how many rewrites to ask for"},
    {.name = "item_tokens",
     .kind = TL_SETTING_INTEGER,
     .least = 4,
     .most = 256,
     .otherwise = "32",
     .description = "most tokens of one rewrite"},
    {.name = "parallel",
     .kind = TL_SETTING_BOOL,
     .otherwise = "false",
     .description = "write the rewrites at the same time, none of which then knows the others "
                    "([what changes](#lists-written-in-parallel))"},
    {.name = "prompt",
     .kind = TL_SETTING_PROMPT,
     .forms = forms,
     .description = "asks for the list; the engine writes its brackets and quotes itself"},
    {.name = "on_error",
     .kind = TL_SETTING_CHOICE,
     .choices = on_error,
     .description =
         "when the list breaks off or cannot be read: go on with the rewrites that are whole, if any (`skip`), "
         "or let the run fail (`fail`); unless written as the workflow says"},
    TL_SAMPLING_SETTINGS("256"),
};

static const struct tl_module_output outputs[] = {
    {"queries", "texts", "the question as asked, always first, and the rewrites"},
};

static void lanes(const struct tl_step *step, struct tl_lanes *outputs_of_step) {
    (void)step;
    outputs_of_step[0] = (struct tl_lanes){.types = {TL_TYPE_OF(TEXT, 0), TL_TYPE_OF(TEXT, 1)}, .count = 2};
}

static void check(struct tl_check *check, const struct tl_step *step) {
    const struct tl_setting_value *chosen = tl_step_value(step, "on_error");
    if (tl_step_is_parallel(step) && chosen->source != NULL)
        tl_check_warning(check, chosen->source,
                         "step '%s': on_error: this does nothing: a list that is written in parallel never breaks off",
                         step->id);
}

/* The list as one text of the model. */
static struct tl_ref build_list(const struct tl_step *step, struct tl_body *root, struct tl_ref question) {
    int64_t count = tl_step_value(step, "count")->integer;
    struct tl_str template = TL_STR_INIT;
    tl_build_fill_count(tl_step_value(step, "prompt")->string, count, &template);
    struct tl_node *render = tl_build_render(step, root, template.data, NULL);
    tl_str_fini(&template);
    tl_graph_connect(render, "question", question);
    struct tl_ref kv = tl_build_prefill(step, render);

    struct tl_node *decode = tl_build_node(step, root, TL_OP_DECODE, "decode", 0, TL_ROLE_LLM);
    tl_graph_connect(decode, "kv", kv);
    tl_build_set_sampling(step, decode);
    tl_build_set_string(decode, "format", "list");
    tl_build_set_integer(decode, "items", count);
    tl_build_set_integer(decode, "item_tokens", tl_step_value(step, "item_tokens")->integer);
    const char *chosen = tl_step_value(step, "on_error")->string;
    if (strcmp(chosen != NULL ? chosen : step->workflow->on_error, "fail") == 0)
        tl_build_set_string(decode, "on_error", "fail"); /* skip is decode's default */
    tl_build_finish(decode);
    return tl_graph_add_output(decode, "items", TL_TYPE_OF(TEXT, 1));
}

static void build(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs_of_step) {
    struct tl_ref question = tl_build_single(build, step, "question"), items;
    const char *template = tl_step_value(step, "prompt")->string, *const names[] = {"question"};
    if (tl_step_is_parallel(step))
        items = tl_build_parallel(step, build->root,
                                  &(struct tl_build_list){.template = template,
                                                          .names = names,
                                                          .inputs = &question,
                                                          .input_count = tl_build_uses(template, "question"),
                                                          .items = tl_step_value(step, "count")->integer});
    else
        items = build_list(step, build->root, question);
    outputs_of_step[0] = (struct tl_bundle){.lanes = {question, items}, .count = 2};
}

const struct tl_module tl_module_expand = {
    .name = "expand",
    .description = "Rewrites the question in several ways for the search.",
    .settings = settings,
    .setting_count = sizeof settings / sizeof settings[0],
    .outputs = outputs,
    .output_count = sizeof outputs / sizeof outputs[0],
    .roles = 1u << TL_ROLE_LLM,
    .check = check,
    .lanes = lanes,
    .build = build,
};

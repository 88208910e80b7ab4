/* module_synthesize.c: an answer from passages.
 *
 *     one_shot   render(question, all hits) → prefill → decode
 *     refine     fold over the hits, best first: render(question, hit, answer so far) → prefill → decode
 *     tree       map over the hits: render(question, hit) → prefill → decode
 *                reduce(arity): render(question, answers) → prefill → decode
 *
 * The default prompts put what is known first to the front (instructions, question, passage, then the answer
 * so far), so that a later call's prompt can be prefilled while an earlier answer is still being written.
 *
 * Without any hit, refine and tree give the setting `empty_answer` and ask no model. one_shot asks with
 * "(none)" in place of the passages; its default prompt says what to answer then. */
#include <string.h>

#include "base/error.h"
#include "workflow/workflow_impl.h"

static const char *const modes[] = {"one_shot", "refine", "tree", NULL};

static const struct tl_placeholder one_shot_placeholders[] = {
    {"question", true, "the question"},
    {"hits", true, "all passages, numbered; `(none)` when there is none"},
    {NULL, false, NULL},
};
static const struct tl_placeholder refine_placeholders[] = {
    {"question", true, "the question"},
    {"hit", true, "one passage"},
    {"answer", true, "the answer so far"},
    {"index", false,
     "number of the passage from 0: a section {#index}...{/index} is left out with the first one, where "
     "there is no answer yet"},
    {NULL, false, NULL},
};
static const struct tl_placeholder tree_placeholders[] = {
    {"question", true, "the question"},
    {"hit", true, "one passage"},
    {NULL, false, NULL},
};
static const struct tl_placeholder combine_placeholders[] = {
    {"question", true, "the question"},
    {"answers", true, "the answers to combine, numbered"},
    {NULL, false, NULL},
};

static const char instruction[] = "Answer in one short sentence.";

static const struct tl_prompt_form prompt_forms[] = {
    {.mode = "one_shot",
     .placeholders = one_shot_placeholders,
     .system = instruction,
     .user = "Question: {question}\n\nPassages:\n{hits}\n\n"
             "Answer the question from the passages; if they do not hold the answer, say so: {question}"},
    {.mode = "refine",
     .placeholders = refine_placeholders,
     .system = instruction,
     .user =
         "Question: {question}\n\nPassage:\n{hit}\n\n"
         "{#index}Answer so far: {answer}\nRepeat this answer unless the passage gives a better one.\n\n{/index}"
         "Answer the question: {question}"},
    {.mode = "tree",
     .placeholders = tree_placeholders,
     .system = instruction,
     .user = "Question: {question}\n\nPassage:\n{hit}\n\nAnswer the question from the passage: {question}"},
    {.placeholders = NULL},
};
static const struct tl_prompt_form combine_forms[] = {
    {.mode = "tree", .placeholders = combine_placeholders, .system = instruction,
     .user = "Question: {question}\n\nAnswers found:\n{answers}\n\nAnswer the question from these answers: {question}"},
    {.placeholders = NULL},
};

static const struct tl_setting settings[] = {
    {.name = "question",
     .kind = TL_SETTING_REFERENCE,
     .accepts = TL_ACCEPTS(TEXT),
     .single = true,
     .required = true,
     .description = "what to answer"},
    {.name = "hits",
     .kind = TL_SETTING_REFERENCE,
     .accepts = TL_ACCEPTS(HIT),
     .required = true,
     .description = "the passages to answer from"},
    {.name = "mode",
     .kind = TL_SETTING_CHOICE,
     .choices = modes,
     .otherwise = "one_shot",
     .description =
         "all passages in one prompt (`one_shot`); passage after passage, each improving the answer (`refine`); "
         "an answer from each passage, then combined (`tree`)"},
    {.name = "prompt", .kind = TL_SETTING_PROMPT, .forms = prompt_forms, .description = "asks for an answer"},
    {.name = "combine_prompt",
     .kind = TL_SETTING_PROMPT,
     .forms = combine_forms,
     .modes = "tree",
     .description = "asks for one answer from several"},
    {.name = "arity",
     .kind = TL_SETTING_INTEGER,
     .least = 2,
     .most = 16,
     .otherwise = "4",
     .modes = "tree",
     .description = "how many answers to combine at once"},
    {.name = "empty_answer",
     .kind = TL_SETTING_STRING,
     .modes = "refine tree",
     .otherwise = "No passage was found that could answer this question.",
     .description = "the answer when there are no passages; no model is asked then"},
    TL_SAMPLING_SETTINGS("128"),
};

static const struct tl_module_output outputs[] = {
    {"answer", "text", "the answer"},
};

static void lanes(const struct tl_step *step, struct tl_lanes *outputs_of_step) {
    (void)step;
    outputs_of_step[0] = (struct tl_lanes){.types = {TL_TYPE_OF(TEXT, 0)}, .count = 1};
}

/* The parameter of a region's body with this name. */
static struct tl_ref parameter(const struct tl_node *region, const char *name) {
    struct tl_node *parameters = region->regions[0]->parameters;
    for (uint32_t i = 0; i < parameters->output_count; i++)
        if (strcmp(parameters->outputs[i].name, name) == 0)
            return tl_graph_output(parameters, i);
    TL_BUG("region \"%s\" has no parameter \"%s\"", region->label, name);
}

/* What the prompts of this step can insert; no node: not in this mode. */
struct insertions {
    struct tl_ref question, hits, hit, answer, index, answers;
};

/* render → prefill → decode with the prompt in `setting`; only what it uses is connected. */
static struct tl_ref ask(const struct tl_step *step, struct tl_body *body, const char *setting,
                         const struct insertions *insertions) {
    const struct {
        const char *name;
        struct tl_ref from;
    } all[] = {
        {"question", insertions->question}, {"hits", insertions->hits},   {"hit", insertions->hit},
        {"answer", insertions->answer},     {"index", insertions->index}, {"answers", insertions->answers},
    };
    const char *template = tl_step_value(step, setting)->string;
    const char *trim = insertions->hits.node != NULL ? "hits" : insertions->hit.node != NULL ? "hit" : NULL;
    struct tl_node *render = tl_build_render(step, body, template, trim);
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        if (all[i].from.node != NULL && tl_build_uses(template, all[i].name))
            tl_graph_connect(render, all[i].name, all[i].from);
    return tl_build_text(step, body, tl_build_prefill(step, render));
}

static struct tl_ref build_refine(const struct tl_step *step, struct tl_body *root, struct tl_ref question,
                                  struct tl_ref hits) {
    struct tl_ref initial = tl_build_constant(step, root, "initial", tl_step_value(step, "empty_answer")->string);
    struct tl_node *fold = tl_build_node(step, root, TL_OP_FOLD, "refine", 0, TL_ROLE_COUNT);
    tl_graph_connect(fold, "items", hits);
    tl_graph_connect(fold, "initial", initial);
    tl_build_begin_region(fold);
    struct insertions insertions = {
        .question = question,
        .hit = parameter(fold, "item"),
        .answer = parameter(fold, "carried"),
        .index = parameter(fold, "index"),
    };
    tl_graph_add_result(fold->regions[0], "carried", ask(step, fold->regions[0], "prompt", &insertions));
    return tl_build_end_region(fold);
}

static struct tl_ref build_tree(const struct tl_step *step, struct tl_body *root, struct tl_ref question,
                                struct tl_ref hits) {
    struct tl_node *map = tl_build_node(step, root, TL_OP_MAP, "each", 0, TL_ROLE_COUNT);
    tl_graph_connect(map, "items", hits);
    tl_build_begin_region(map);
    struct insertions of_hit = {.question = question, .hit = parameter(map, "item")};
    tl_graph_add_result(map->regions[0], "answer", ask(step, map->regions[0], "prompt", &of_hit));
    struct tl_ref answers = tl_build_end_region(map);

    struct tl_ref initial = tl_build_constant(step, root, "initial", tl_step_value(step, "empty_answer")->string);
    struct tl_node *reduce = tl_build_node(step, root, TL_OP_REDUCE, "combine", 0, TL_ROLE_COUNT);
    tl_graph_connect(reduce, "items", answers);
    tl_graph_connect(reduce, "initial", initial);
    tl_build_set_integer(reduce, "arity", tl_step_value(step, "arity")->integer);
    tl_build_begin_region(reduce);
    struct insertions of_group = {.question = question, .answers = parameter(reduce, "group")};
    tl_graph_add_result(reduce->regions[0], "result", ask(step, reduce->regions[0], "combine_prompt", &of_group));
    return tl_build_end_region(reduce);
}

static void build(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs_of_step) {
    struct tl_ref question = tl_build_single(build, step, "question");
    struct tl_ref hits = tl_build_single(build, step, "hits");
    const char *mode = tl_step_value(step, "mode")->string;
    struct tl_ref answer;
    if (strcmp(mode, "refine") == 0)
        answer = build_refine(step, build->root, question, hits);
    else if (strcmp(mode, "tree") == 0)
        answer = build_tree(step, build->root, question, hits);
    else
        answer = ask(step, build->root, "prompt", &(struct insertions){.question = question, .hits = hits});
    outputs_of_step[0] = (struct tl_bundle){.lanes = {answer}, .count = 1};
}

const struct tl_module tl_module_synthesize = {
    .name = "synthesize",
    .description = "Answers a question from passages.",
    .settings = settings,
    .setting_count = sizeof settings / sizeof settings[0],
    .outputs = outputs,
    .output_count = sizeof outputs / sizeof outputs[0],
    .roles = 1u << TL_ROLE_LLM,
    .lanes = lanes,
    .build = build,
};

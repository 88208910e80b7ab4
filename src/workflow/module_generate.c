/* module_generate.c: one prompt, one output. The prompt may use whatever `inputs` names:
 *
 *     inputs → render → prefill → decode
 *
 * With `n` several decodes go on from the one prefill; with `parallel: true` a list is written item by item, all at the
 * same time (parallel.c). */
#include <jansson.h>
#include <string.h>

#include "schema/schema.h"
#include "workflow/workflow_impl.h"

#define RENDERABLE \
    (TL_ACCEPTS(TEXT) | TL_ACCEPTS(HIT) | TL_ACCEPTS(NUMBER) | TL_ACCEPTS(BOOL) | TL_ACCEPTS(JSON))

#define ANSWERS_MAX 16

static const char *const formats[] = {"text", "list", "json", "choice", "tool_call", NULL};
static const char *const tool_choices[] = {"required", "auto", NULL};

static const struct tl_setting settings[] = {
    {.name = "inputs",
     .kind = TL_SETTING_INPUTS,
     .accepts = RENDERABLE,
     .required = true,
     .description = "what the prompt may insert: a name of your own for each, and a reference"},
    {.name = "parallel",
     .kind = TL_SETTING_BOOL,
     .modes = "list",
     .otherwise = "false",
     .description = "write the texts at the same time, none of which then knows the others "
                    "([what changes](#lists-written-in-parallel))"},
    {.name = "prompt",
     .kind = TL_SETTING_PROMPT,
     .required = true,
     .description = "uses the names in `inputs`, and in a parallel list `number`, which text is asked for from 1, and "
                    "`count`, how many there are"},
    {.name = "n",
     .kind = TL_SETTING_INTEGER,
     .modes = "text choice",
     .least = 2,
     .most = ANSWERS_MAX,
     .description = "so many answers to the prompt, which is read once, with the seeds `seed`, `seed` + 1, ...; the "
                    "output is texts then"},
    {.name = "format",
     .kind = TL_SETTING_CHOICE,
     .choices = formats,
     .otherwise = "text",
     .description = "what the model may write: any text, a list of texts, JSON by a schema, one of some texts, or a "
                    "call of a tool; the output is text, texts, JSON (a list of JSON when the schema is an array), "
                    "text, JSON"},
    {.name = "items",
     .kind = TL_SETTING_INTEGER,
     .modes = "list",
     .least = 1,
     .most = 64,
     .otherwise = "3",
     .description = "how many texts"},
    {.name = "min_items",
     .kind = TL_SETTING_INTEGER,
     .modes = "list",
     .least = 1,
     .most = 64,
     .description = "from how many texts on the model may end the list; exactly `items` when not written"},
    {.name = "item_tokens",
     .kind = TL_SETTING_INTEGER,
     .modes = "list",
     .least = 4,
     .most = 4096,
     .otherwise = "48",
     .description = "most tokens of one text"},
    {.name = "schema",
     .kind = TL_SETTING_JSON,
     .modes = "json",
     .description = "a JSON Schema ([which parts of it](engines.md#structured-output)); any object when not written"},
    {.name = "choices", .kind = TL_SETTING_STRINGS, .modes = "choice", .description = "the texts to choose from"},
    {.name = "tools",
     .kind = TL_SETTING_JSON,
     .modes = "tool_call",
     .description = "a list of tools as in the OpenAI API, or of their functions: name, description, parameters"},
    {.name = "tool_choice",
     .kind = TL_SETTING_CHOICE,
     .choices = tool_choices,
     .modes = "tool_call",
     .otherwise = "required",
     .description = "a call in any case, or text and calls as the model likes"},
    TL_SAMPLING_SETTINGS("256"),
};

static const struct tl_module_output outputs[] = {
    {"text", "text, texts or JSON", "what the model wrote, by `format`"},
};

/* The schema, owned; NULL when none is written, or, with *error filled, when it is wrong. */
static struct tl_schema *schema_of(const struct tl_step *step, struct tl_error *error) {
    const char *text = tl_step_value(step, "schema")->string;
    *error = (struct tl_error){0};
    if (text == NULL)
        return NULL;
    json_t *json = json_loads(text, JSON_DECODE_ANY, NULL);
    struct tl_schema *schema = NULL;
    tl_schema_compile(json, "schema", &schema, error);
    json_decref(json);
    return schema;
}

static const struct tl_yaml_node *source_of(const struct tl_step *step, const char *name) {
    const struct tl_yaml_node *source = tl_step_value(step, name)->source;
    return source != NULL ? source : step->source;
}

static void check_choices(struct tl_check *check, const struct tl_step *step) {
    if (tl_step_value(step, "choices")->string == NULL)
        tl_check_error(check, step->source, "step '%s': format choice needs the setting choices", step->id);
}

static void check_tools(struct tl_check *check, const struct tl_step *step) {
    const char *text = tl_step_value(step, "tools")->string;
    json_t *json = text != NULL ? json_loads(text, JSON_DECODE_ANY, NULL) : NULL;
    struct tl_schema *schema = NULL;
    struct tl_error error;
    if (text == NULL)
        tl_check_error(check, source_of(step, "tools"), "step '%s': format tool_call needs the setting tools",
                       step->id);
    else if (tl_schema_compile_call(json, "arguments", &schema, &error) != TL_OK)
        tl_check_error(check, source_of(step, "tools"), "step '%s': %s", step->id, error.message);
    tl_schema_free(schema);
    json_decref(json);
}

/* What does nothing, or has two meanings. */
static void check_several(struct tl_check *check, const struct tl_step *step) {
    const struct tl_setting_value *n = tl_step_value(step, "n"), *least = tl_step_value(step, "min_items"),
                                  *inputs = tl_step_value(step, "inputs");
    if (n->source != NULL && tl_step_value(step, "temperature")->number <= 0)
        tl_check_warning(check, n->source, "step '%s': n: all answers will be the same, because the temperature is 0",
                         step->id);
    if (!tl_step_is_parallel(step))
        return;
    if (least->source != NULL)
        tl_check_warning(check, least->source,
                         "step '%s': min_items: this does nothing in a list that is written in parallel", step->id);
    for (size_t i = 0; i < inputs->reference_count; i++)
        if (strcmp(inputs->references[i].name, "number") == 0 || strcmp(inputs->references[i].name, "count") == 0)
            tl_check_error(check, inputs->references[i].source,
                           "step '%s': inputs: {%s} is the list's own in a list that is written in parallel; expected "
                           "another name",
                           step->id, inputs->references[i].name);
}

static void check(struct tl_check *check, const struct tl_step *step) {
    const char *format = tl_step_value(step, "format")->string;
    const struct tl_setting_value *least = tl_step_value(step, "min_items");
    struct tl_error error;
    if (format == NULL)
        return;
    tl_schema_free(schema_of(step, &error));
    if (error.status != TL_OK)
        tl_check_error(check, source_of(step, "schema"), "step '%s': %s", step->id, error.message);
    check_several(check, step);
    if (strcmp(format, "choice") == 0)
        check_choices(check, step);
    if (strcmp(format, "tool_call") == 0)
        check_tools(check, step);
    if (least->source != NULL && least->integer > tl_step_value(step, "items")->integer)
        tl_check_error(check, least->source, "step '%s': min_items: expected at most items, which is %lld", step->id,
                       (long long)tl_step_value(step, "items")->integer);
}

static struct tl_type type_of(const struct tl_step *step) {
    const char *format = tl_step_value(step, "format")->string;
    struct tl_error error;
    if (format == NULL || strcmp(format, "text") == 0 || strcmp(format, "choice") == 0)
        return TL_TYPE_OF(TEXT, tl_step_value(step, "n")->integer > 0);
    if (strcmp(format, "list") == 0)
        return TL_TYPE_OF(TEXT, 1);
    struct tl_schema *schema = schema_of(step, &error);
    bool array = schema != NULL && tl_schema_is_array(schema);
    tl_schema_free(schema);
    return TL_TYPE_OF(JSON, array);
}

static void lanes(const struct tl_step *step, struct tl_lanes *outputs_of_step) {
    outputs_of_step[0] = (struct tl_lanes){.types = {type_of(step)}, .count = 1};
}

/* What belongs to the format, as far as it is written. */
static void set_format(const struct tl_step *step, struct tl_node *decode) {
    static const char *const integers[] = {"items", "min_items", "item_tokens"};
    static const char *const strings[] = {"schema", "choices", "tools", "tool_choice"};
    const char *format = tl_step_value(step, "format")->string;
    if (strcmp(format, "text") == 0)
        return;
    tl_build_set_string(decode, "format", format);
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++)
        if (tl_step_value(step, integers[i])->source != NULL)
            tl_build_set_integer(decode, integers[i], tl_step_value(step, integers[i])->integer);
    for (size_t i = 0; i < sizeof strings / sizeof strings[0]; i++)
        if (tl_step_value(step, strings[i])->source != NULL)
            tl_build_set_string(decode, strings[i], tl_step_value(step, strings[i])->string);
}

/* One answer for each seed, all from the same prefix. */
static struct tl_ref build_answers(const struct tl_build *build, const struct tl_step *step, struct tl_ref kv) {
    struct tl_bundle answers = {.count = (size_t)tl_step_value(step, "n")->integer};
    for (size_t i = 0; i < answers.count; i++) {
        struct tl_node *decode = tl_build_node(step, build->root, TL_OP_DECODE, "decode", i, TL_ROLE_LLM);
        tl_graph_connect(decode, "kv", kv);
        tl_build_set_sampling(step, decode);
        tl_build_set_integer(decode, "seed", (uint32_t)(tl_step_value(step, "seed")->integer + (int64_t)i));
        set_format(step, decode);
        tl_build_finish(decode);
        answers.lanes[i] = tl_graph_add_output(decode, "text", TL_TYPE_OF(TEXT, 0));
    }
    return tl_build_merge(build, step, "answers", &answers);
}

static void build(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs_of_step) {
    const struct tl_setting_value *inputs = tl_step_value(step, "inputs");
    const char *template = tl_step_value(step, "prompt")->string;
    struct tl_ref values[TL_WORKFLOW_REFERENCES_MAX], *output = &outputs_of_step[0].lanes[0];
    const char *names[TL_WORKFLOW_REFERENCES_MAX];
    struct tl_str trim = TL_STR_INIT;
    size_t count = tl_build_named(build, step, inputs, names, values);
    outputs_of_step[0].count = 1;
    for (size_t i = 0; i < count; i++)
        if (tl_graph_type(values[i]).base == TL_TYPE_HIT)
            tl_str_printf(&trim, "%s%s", trim.length > 0 ? "," : "", names[i]);
    if (tl_step_is_parallel(step)) {
        *output = tl_build_parallel(step, build->root,
                                    &(struct tl_build_list){.template = template,
                                                            .trim = trim.data,
                                                            .names = names,
                                                            .inputs = values,
                                                            .input_count = count,
                                                            .items = tl_step_value(step, "items")->integer});
        tl_str_fini(&trim);
        return;
    }
    struct tl_node *render = tl_build_render(step, build->root, template, trim.data);
    tl_str_fini(&trim);
    for (size_t i = 0; i < count; i++)
        tl_graph_connect(render, names[i], values[i]);
    struct tl_ref kv = tl_build_prefill(step, render);
    if (tl_step_value(step, "n")->integer > 0) {
        *output = build_answers(build, step, kv);
        return;
    }
    struct tl_node *decode = tl_build_decode(step, build->root, kv);
    set_format(step, decode);
    *output = tl_graph_add_output(decode, "text", type_of(step));
}

const struct tl_module tl_module_generate = {
    .name = "generate",
    .description = "Writes a text, or JSON, from a prompt that may use any outputs of earlier steps.",
    .settings = settings,
    .setting_count = sizeof settings / sizeof settings[0],
    .outputs = outputs,
    .output_count = sizeof outputs / sizeof outputs[0],
    .roles = 1u << TL_ROLE_LLM,
    .check = check,
    .lanes = lanes,
    .build = build,
};

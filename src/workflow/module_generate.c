/* module_generate.c: one prompt, one text. The prompt may use whatever `inputs` names:
 *
 *     inputs → render → prefill → decode */
#include "workflow/workflow_impl.h"

#define RENDERABLE                                                                                                    \
    (TL_ACCEPTS(TEXT) | TL_ACCEPTS(HIT) | TL_ACCEPTS(NUMBER) | TL_ACCEPTS(BOOL) | TL_ACCEPTS(JSON))

static const struct tl_setting settings[] = {
    {.name = "inputs", .kind = TL_SETTING_INPUTS, .accepts = RENDERABLE, .required = true,
     .description = "what the prompt may insert: a name of your own for each, and a reference"},
    {.name = "prompt", .kind = TL_SETTING_PROMPT, .required = true, .description = "uses the names in `inputs`"},
    TL_SAMPLING_SETTINGS("256"),
};

static const struct tl_module_output outputs[] = {
    {"text", "text", "what the model wrote"},
};

static void lanes(const struct tl_step *step, struct tl_lanes *outputs_of_step) {
    (void)step;
    outputs_of_step[0] = (struct tl_lanes){.types = {TL_TYPE_OF(TEXT, 0)}, .count = 1};
}

static void build(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs_of_step) {
    const struct tl_setting_value *inputs = tl_step_value(step, "inputs");
    struct tl_ref values[TL_WORKFLOW_REFERENCES_MAX];
    const char *names[TL_WORKFLOW_REFERENCES_MAX];
    struct tl_str trim = TL_STR_INIT;
    size_t count = tl_build_named(build, step, inputs, names, values);
    for (size_t i = 0; i < count; i++)
        if (tl_graph_type(values[i]).base == TL_TYPE_HIT)
            tl_str_printf(&trim, "%s%s", trim.length > 0 ? "," : "", names[i]);

    struct tl_node *render = tl_build_render(step, build->root, tl_step_value(step, "prompt")->string, trim.data);
    tl_str_fini(&trim);
    for (size_t i = 0; i < count; i++)
        tl_graph_connect(render, names[i], values[i]);
    outputs_of_step[0].lanes[0] = tl_build_text(step, build->root, tl_build_prefill(step, render));
    outputs_of_step[0].count = 1;
}

const struct tl_module tl_module_generate = {
    .name = "generate",
    .description = "Writes a text from a prompt that may use any outputs of earlier steps.",
    .settings = settings,
    .setting_count = sizeof settings / sizeof settings[0],
    .outputs = outputs,
    .output_count = sizeof outputs / sizeof outputs[0],
    .roles = 1u << TL_ROLE_LLM,
    .lanes = lanes,
    .build = build,
};

/* module_embed.c: one vector for each text, lane by lane. `search` embeds what it is given by itself; this
 * module is for workflows that use the same vectors twice. */
#include "workflow/workflow_impl.h"

static const struct tl_setting settings[] = {
    {.name = "texts", .kind = TL_SETTING_REFERENCE, .accepts = TL_ACCEPTS(TEXT), .required = true,
     .description = "what to embed"},
};

static const struct tl_module_output outputs[] = {
    {"vectors", "vectors", "a vector for each text, in the same order"},
};

static void lanes(const struct tl_step *step, struct tl_lanes *outputs_of_step) {
    const struct tl_setting_value *texts = tl_step_value(step, "texts");
    tl_reference_lanes(step->workflow, texts->references, texts->reference_count, &outputs_of_step[0]);
    for (size_t i = 0; i < outputs_of_step[0].count; i++)
        outputs_of_step[0].types[i].base = TL_TYPE_VECTOR;
}

static void build(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs_of_step) {
    struct tl_bundle texts;
    tl_build_bundle(build, step, "texts", &texts);
    for (size_t i = 0; i < texts.count; i++) {
        struct tl_node *embed = tl_build_node(step, build->root, TL_OP_EMBED, "embed", i, TL_ROLE_EMBEDDER);
        tl_graph_connect(embed, "input", texts.lanes[i]);
        outputs_of_step[0].lanes[i] = tl_build_finish(embed);
    }
    outputs_of_step[0].count = texts.count;
}

const struct tl_module tl_module_embed = {
    .name = "embed",
    .description = "Turns texts into vectors. `search` does this by itself; embed where the vectors are used twice.",
    .settings = settings,
    .setting_count = sizeof settings / sizeof settings[0],
    .outputs = outputs,
    .output_count = sizeof outputs / sizeof outputs[0],
    .roles = 1u << TL_ROLE_EMBEDDER,
    .lanes = lanes,
    .build = build,
};

/* module_rerank.c: scores the hits of each lane against the question as asked, then takes the best at the join:
 *
 *     hits of a lane → score ─┬→ aggregate top N, distinct
 *     hits of a lane → score ─┘
 *
 * Scoring looks at one passage at a time, so scoring lane by lane and scoring all at once give the same. */
#include "workflow/workflow_impl.h"

static const char *const orders[] = {"fused", "score", "retrieval", NULL};

static const struct tl_setting settings[] = {
    {.name = "question",
     .kind = TL_SETTING_REFERENCE,
     .accepts = TL_ACCEPTS(TEXT),
     .single = true,
     .required = true,
     .description = "what the passages shall answer"},
    {.name = "hits",
     .kind = TL_SETTING_REFERENCE,
     .accepts = TL_ACCEPTS(HIT),
     .required = true,
     .description = "the passages; the same one from several queries counts once"},
    {.name = "top",
     .kind = TL_SETTING_INTEGER,
     .least = 1,
     .most = 1000,
     .otherwise = "3",
     .description = "how many to keep"},
    {.name = "by",
     .kind = TL_SETTING_CHOICE,
     .choices = orders,
     .otherwise = "fused",
     .description =
         "the reranker's order (`score`), that of the search (`retrieval`), or both joined by reciprocal rank "
         "(`fused`)"},
};

static const struct tl_module_output outputs[] = {
    {"hits", "hits", "the best passages, best first"},
};

static void lanes(const struct tl_step *step, struct tl_lanes *outputs_of_step) {
    (void)step;
    outputs_of_step[0] = (struct tl_lanes){.types = {TL_TYPE_OF(HIT, 1)}, .count = 1};
}

static void build(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs_of_step) {
    struct tl_bundle hits, scored;
    tl_build_bundle(build, step, "hits", &hits);
    struct tl_ref question = tl_build_single(build, step, "question");
    for (size_t i = 0; i < hits.count; i++) {
        struct tl_node *score = tl_build_node(step, build->root, TL_OP_SCORE, "score", i, TL_ROLE_RERANKER);
        tl_graph_connect(score, "hits", hits.lanes[i]);
        tl_graph_connect(score, "query", question);
        scored.lanes[i] = tl_build_finish(score);
    }
    scored.count = hits.count;
    outputs_of_step[0].lanes[0] = tl_build_top(step, build->root, "top", &scored, tl_step_value(step, "top")->integer,
                                               tl_step_value(step, "by")->string);
    outputs_of_step[0].count = 1;
}

const struct tl_module tl_module_rerank = {
    .name = "rerank",
    .description = "Reads each passage against the question and keeps the best.",
    .settings = settings,
    .setting_count = sizeof settings / sizeof settings[0],
    .outputs = outputs,
    .output_count = sizeof outputs / sizeof outputs[0],
    .roles = 1u << TL_ROLE_RERANKER,
    .lanes = lanes,
    .build = build,
};

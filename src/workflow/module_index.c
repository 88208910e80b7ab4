/* module_index.c: documents given with the query become a collection that lives as long as the query:
 *
 *     documents → chunk → embed ─┐
 *                   └────────────┴→ ingest → collection
 *
 * When the query brings no documents but names a collection, the step adds no nodes and stands for it. */
#include "workflow/workflow_impl.h"

static const struct tl_setting settings[] = {
    {.name = "documents", .kind = TL_SETTING_REFERENCE, .accepts = TL_ACCEPTS(DOCUMENT),
     .description = "the documents; without them, or when the query gives none, the collection that the query names"},
    {.name = "chunk_size", .kind = TL_SETTING_INTEGER, .least = 16, .most = 8192, .otherwise = "256",
     .description = "most tokens of a passage, counted as the embedding model does"},
    {.name = "overlap", .kind = TL_SETTING_INTEGER, .least = 0, .most = 4096, .otherwise = "30",
     .description = "tokens that a passage repeats from the one before; less than half of `chunk_size`"},
};

static const struct tl_module_output outputs[] = {
    {"collection", "collection", "what `search` searches"},
};

static void check(struct tl_check *check, const struct tl_step *step) {
    const struct tl_setting_value *size = tl_step_value(step, "chunk_size"), *overlap = tl_step_value(step, "overlap");
    if (overlap->integer * 2 >= size->integer)
        tl_check_error(check, overlap->source != NULL ? overlap->source : size->source,
                       "step '%s': overlap: expected less than half of chunk_size, found %lld of %lld", step->id,
                       (long long)overlap->integer, (long long)size->integer);
}

static void lanes(const struct tl_step *step, struct tl_lanes *outputs_of_step) {
    (void)step;
    outputs_of_step[0] = (struct tl_lanes){.types = {TL_TYPE_OF(INDEX, 0)}, .count = 1};
}

/* Whether the query gives any of the documents that the step refers to. */
static bool has_documents(const struct tl_bundle *documents) {
    for (size_t i = 0; i < documents->count; i++)
        if (documents->lanes[i].node != NULL)
            return true;
    return false;
}

static void build(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs_of_step) {
    struct tl_bundle all, given = {.count = 0};
    outputs_of_step[0].count = 1;
    tl_build_bundle(build, step, "documents", &all);
    if (!has_documents(&all)) {
        outputs_of_step[0].lanes[0] = build->collection;
        return;
    }
    for (size_t i = 0; i < all.count; i++)
        if (all.lanes[i].node != NULL)
            given.lanes[given.count++] = all.lanes[i];

    struct tl_node *chunk = tl_build_node(step, build->root, TL_OP_CHUNK, "chunk", 0, TL_ROLE_DOCUMENTS);
    tl_graph_connect(chunk, "documents", tl_build_merge(build, step, "documents", &given));
    tl_build_set_integer(chunk, "size", tl_step_value(step, "chunk_size")->integer);
    tl_build_set_integer(chunk, "overlap", tl_step_value(step, "overlap")->integer);
    struct tl_ref chunks = tl_build_finish(chunk);

    struct tl_node *embed = tl_build_node(step, build->root, TL_OP_EMBED, "embed", 0, TL_ROLE_EMBEDDER);
    tl_graph_connect(embed, "input", chunks);
    struct tl_ref vectors = tl_build_finish(embed);

    struct tl_node *ingest = tl_build_node(step, build->root, TL_OP_INGEST, "ingest", 0, TL_ROLE_STORE);
    tl_graph_connect(ingest, "chunks", chunks);
    tl_graph_connect(ingest, "vectors", vectors);
    outputs_of_step[0].lanes[0] = tl_build_finish(ingest);
}

const struct tl_module tl_module_index = {
    .name = "index",
    .description = "Makes documents searchable: cuts them into passages, embeds these, and puts them into a "
                   "collection of the query's own, which goes when the query ends.",
    .settings = settings,
    .setting_count = sizeof settings / sizeof settings[0],
    .outputs = outputs,
    .output_count = sizeof outputs / sizeof outputs[0],
    .roles = 1u << TL_ROLE_DOCUMENTS | 1u << TL_ROLE_EMBEDDER | 1u << TL_ROLE_STORE,
    .check = check,
    .lanes = lanes,
    .build = build,
};

/* module_search.c: finds passages, for each lane of queries on its own:
 *
 *     mode vector    query → embed → search
 *     mode keyword   query → match
 *     mode hybrid    query → embed → search ─┬→ fuse
 *                       └──→ match ──────────┘
 *
 * A lane of one query gives hits; a lane of a list of queries a list of hits for each. */
#include <string.h>

#include "workflow/workflow_impl.h"

static const char *const modes[] = {"vector", "keyword", "hybrid", NULL};

static const struct tl_setting settings[] = {
    {.name = "queries",
     .kind = TL_SETTING_REFERENCE,
     .accepts = TL_ACCEPTS(TEXT),
     .description = "what to look for; every one is searched for on its own"},
    {.name = "collection",
     .kind = TL_SETTING_REFERENCE,
     .accepts = TL_ACCEPTS(INDEX),
     .single = true,
     .required = true,
     .description = "where to look"},
    {.name = "mode",
     .kind = TL_SETTING_CHOICE,
     .choices = modes,
     .otherwise = "hybrid",
     .description = "by meaning (`vector`), by words (`keyword`), or both joined by reciprocal rank (`hybrid`)"},
    {.name = "top_k",
     .kind = TL_SETTING_INTEGER,
     .least = 1,
     .most = 1000,
     .otherwise = "16",
     .description = "how many passages to find for each query"},
    {.name = "vectors",
     .kind = TL_SETTING_REFERENCE,
     .accepts = TL_ACCEPTS(VECTOR),
     .modes = "vector hybrid",
     .description =
         "the vectors of the queries, when a step `embed` has made them; for `vector` then in place of `queries`"},
    {.name = "candidates",
     .kind = TL_SETTING_INTEGER,
     .least = 1,
     .most = 1000,
     .otherwise = "16",
     .modes = "hybrid",
     .description = "how many passages each of both ways finds before they are joined; never less than `top_k`"},
    {.name = "rank_constant",
     .kind = TL_SETTING_INTEGER,
     .least = 1,
     .most = 1000,
     .otherwise = "60",
     .modes = "hybrid",
     .description = "the k of reciprocal rank fusion: the larger, the less the very first places weigh"},
};

static const struct tl_module_output outputs[] = {
    {"hits", "hits", "the passages found, best first, for each query"},
};

static bool is_mode(const struct tl_step *step, const char *mode) {
    return strcmp(tl_step_value(step, "mode")->string, mode) == 0;
}

/* What the hits follow, lane by lane: the queries, or the vectors where they stand alone. */
static const struct tl_setting_value *lead(const struct tl_step *step) {
    const struct tl_setting_value *queries = tl_step_value(step, "queries");
    return queries->reference_count > 0 ? queries : tl_step_value(step, "vectors");
}

static void check(struct tl_check *check, const struct tl_step *step) {
    const struct tl_setting_value *queries = tl_step_value(step, "queries"), *vectors = tl_step_value(step, "vectors");
    if (queries->source == NULL && (vectors->source == NULL || !is_mode(step, "vector"))) {
        tl_check_error(check, step->source, "step '%s': the setting 'queries' is missing; expected what to look for, "
                       "such as queries: $question", step->id);
        return;
    }
    struct tl_lanes of_queries, of_vectors;
    tl_reference_lanes(step->workflow, queries->references, queries->reference_count, &of_queries);
    tl_reference_lanes(step->workflow, vectors->references, vectors->reference_count, &of_vectors);
    if (of_queries.count == 0 || of_vectors.count == 0)
        return;
    bool same = of_queries.count == of_vectors.count;
    for (size_t i = 0; same && i < of_queries.count; i++)
        same = of_queries.types[i].depth == of_vectors.types[i].depth;
    if (!same)
        tl_check_error(check, vectors->source,
                       "step '%s': vectors: expected the vectors of 'queries', found those of something else",
                       step->id);
}

static void lanes(const struct tl_step *step, struct tl_lanes *outputs_of_step) {
    const struct tl_setting_value *value = lead(step);
    tl_reference_lanes(step->workflow, value->references, value->reference_count, &outputs_of_step[0]);
    for (size_t i = 0; i < outputs_of_step[0].count; i++) {
        struct tl_type *type = &outputs_of_step[0].types[i];
        *type = (struct tl_type){TL_TYPE_HIT, (uint8_t)(type->depth + 1)};
    }
}

/* A search by meaning or a match by words: what of the collection is nearest to the query. */
static struct tl_ref add_lookup(struct tl_build *build, const struct tl_step *step, enum tl_primitive op, size_t lane,
                                struct tl_ref query, struct tl_ref collection, int64_t count) {
    struct tl_node *lookup = tl_build_node(step, build->root, op, tl_primitive_info(op)->name, lane, TL_ROLE_STORE);
    tl_graph_connect(lookup, "query", query);
    tl_graph_connect(lookup, "index", collection);
    tl_build_set_integer(lookup, "count", count);
    return tl_build_finish(lookup);
}

static struct tl_ref add_embed(struct tl_build *build, const struct tl_step *step, size_t lane, struct tl_ref query) {
    struct tl_node *embed = tl_build_node(step, build->root, TL_OP_EMBED, "embed", lane, TL_ROLE_EMBEDDER);
    tl_graph_connect(embed, "input", query);
    return tl_build_finish(embed);
}

static struct tl_ref add_fuse(struct tl_build *build, const struct tl_step *step, size_t lane, struct tl_ref vector,
                              struct tl_ref keyword, int64_t count) {
    struct tl_node *fuse = tl_build_node(step, build->root, TL_OP_FUSE, "fuse", lane, TL_ROLE_COUNT);
    tl_graph_connect(fuse, "vector", vector);
    tl_graph_connect(fuse, "keyword", keyword);
    tl_build_set_integer(fuse, "count", count);
    const struct tl_setting_value *constant = tl_step_value(step, "rank_constant");
    if (constant->source != NULL)
        tl_build_set_integer(fuse, "constant", constant->integer);
    return tl_build_finish(fuse);
}

static void build(struct tl_build *build, const struct tl_step *step, struct tl_bundle *outputs_of_step) {
    struct tl_bundle queries, vectors;
    tl_build_bundle(build, step, "queries", &queries);
    tl_build_bundle(build, step, "vectors", &vectors);
    struct tl_ref collection = tl_build_single(build, step, "collection");
    int64_t top_k = tl_step_value(step, "top_k")->integer, candidates = tl_step_value(step, "candidates")->integer;
    bool hybrid = is_mode(step, "hybrid"), keyword = is_mode(step, "keyword");
    int64_t count = hybrid && candidates > top_k ? candidates : top_k;

    size_t lane_count = queries.count > 0 ? queries.count : vectors.count;
    for (size_t i = 0; i < lane_count; i++) {
        struct tl_ref by_meaning = {0}, by_words = {0};
        if (!keyword) {
            struct tl_ref vector = vectors.count > 0 ? vectors.lanes[i] : add_embed(build, step, i, queries.lanes[i]);
            by_meaning = add_lookup(build, step, TL_OP_SEARCH, i, vector, collection, count);
        }
        if (keyword || hybrid)
            by_words = add_lookup(build, step, TL_OP_MATCH, i, queries.lanes[i], collection, count);
        outputs_of_step[0].lanes[i] = hybrid    ? add_fuse(build, step, i, by_meaning, by_words, top_k)
                                      : keyword ? by_words
                                                : by_meaning;
    }
    outputs_of_step[0].count = lane_count;
}

const struct tl_module tl_module_search = {
    .name = "search",
    .description = "Finds passages in a collection: by meaning, by words, or by both.",
    .settings = settings,
    .setting_count = sizeof settings / sizeof settings[0],
    .outputs = outputs,
    .output_count = sizeof outputs / sizeof outputs[0],
    .roles = 1u << TL_ROLE_EMBEDDER | 1u << TL_ROLE_STORE,
    .check = check,
    .lanes = lanes,
    .build = build,
};

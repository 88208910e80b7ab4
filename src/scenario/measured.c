/* measured.c: an emulated engine in the place of a real one, by what was measured of that.
 *
 * An emulated engine's model is simpler than a measured one's (engine/emulated/emulated.h): straight lines. They are laid
 * through two predictions each, at sizes that are usual: passages of 256 tokens, prompts of 512, 1 and 8 rows that
 * decode. */
#include <string.h>

#include "base/error.h"
#include "scenario/scenario_impl.h"

static const struct {
    const char *type, *serves;
} stands_for[] = {
    {"llama", "llm"}, {"embed", "embed"}, {"rerank", "rerank"}, {"sqlite", "store"}, {"documents", "documents"}};

static double call(const struct tl_cost *cost, const char *engine, enum tl_primitive op, uint32_t units,
                   uint32_t tokens) {
    struct tl_cost_work work = {.op = op, .units = units, .tokens = tokens, .tokens_out = 1};
    return tl_cost_call(cost, engine, &work, 1);
}

static void set(json_t *settings, const char *key, double value) {
    json_object_set_new(settings, key, json_real(value > 0 ? value : 0));
}

/* base + slope x amount through two calls; `tokens` of each unit, 0: amounts are units. */
static void set_line(json_t *settings, const struct tl_cost *cost, const char *engine, enum tl_primitive op,
                     uint32_t tokens, const char *base_key, const char *slope_key) {
    enum { FEW = 1, MORE = 8 };
    double few = call(cost, engine, op, FEW, FEW * tokens), more = call(cost, engine, op, MORE, MORE * tokens);
    double amount = tokens ? tokens : 1, slope = (more - few) / ((MORE - FEW) * amount);
    slope = slope > 0 ? slope : 0;
    set(settings, slope_key, slope);
    set(settings, base_key, few - slope * FEW * amount);
}

static void set_llm(json_t *settings, const struct tl_cost *cost, const struct tl_config_engine *engine) {
    enum { PROMPT = 512, ROWS = 8 };
    static const struct {
        const char *from, *to;
    } names[] = {{"parallel", "sequences"}, {"context_size", "context_tokens"}};
    double one = call(cost, engine->name, TL_OP_DECODE, 1, 0), rows = call(cost, engine->name, TL_OP_DECODE, ROWS, 0);
    double prompt = call(cost, engine->name, TL_OP_PREFILL, 1, PROMPT);
    set(settings, "iteration_ms", one);
    set(settings, "sequence_ms", (rows - one) / (ROWS - 1));
    set(settings, "prompt_token_ms", (prompt - one) / PROMPT);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        json_t *value = json_object_get(engine->settings, names[i].from);
        if (json_is_integer(value) && json_integer_value(value) > 0)
            json_object_set(settings, names[i].to, value);
    }
}

static json_t *measured(const struct tl_cost *cost, const struct tl_config_engine *engine, const char *serves) {
    json_t *settings = json_pack("{s:[s]}", "serves", serves);
    const char *name = engine->name;
    if (strcmp(serves, "llm") == 0)
        set_llm(settings, cost, engine);
    else if (strcmp(serves, "embed") == 0)
        set_line(settings, cost, name, TL_OP_EMBED, TL_COST_TYPICAL_TOKENS, "embed_ms", "embed_token_ms");
    else if (strcmp(serves, "rerank") == 0)
        set_line(settings, cost, name, TL_OP_SCORE, TL_COST_TYPICAL_TOKENS, "score_ms", "score_token_ms");
    else if (strcmp(serves, "documents") == 0)
        set(settings, "document_ms", call(cost, name, TL_OP_CHUNK, 1, 0));
    else {
        set_line(settings, cost, name, TL_OP_INGEST, 0, "ingest_ms", "ingest_row_ms");
        set_line(settings, cost, name, TL_OP_SEARCH, 0, "search_ms", "search_query_ms");
    }
    return settings;
}

enum tl_status tl_scenario_emulate(const struct tl_config_engine *engine, const struct tl_cost *cost,
                                   json_t **settings, struct tl_error *error) {
    const char *serves = NULL;
    if (strcmp(engine->type, "emulated") == 0) {
        *settings = json_deep_copy(engine->settings);
        return TL_OK;
    }
    for (size_t i = 0; i < sizeof stands_for / sizeof stands_for[0]; i++)
        if (strcmp(stands_for[i].type, engine->type) == 0)
            serves = stands_for[i].serves;
    if (!serves || !tl_cost_is_measured(cost, engine->name))
        return tl_error_set(error, TL_ERR_INVALID,
                            "engine '%s' of type %s cannot be simulated: %s; or give it 'type: emulated'",
                            engine->name, engine->type,
                            serves ? "nothing was measured of it (teola profile measures)"
                                   : "engines of this type are not measured");
    *settings = measured(cost, engine, serves);
    return TL_OK;
}

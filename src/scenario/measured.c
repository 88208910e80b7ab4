/* measured.c: an emulated engine in the place of a real one. Its times come from what was measured of that (struct
 * tl_sim_config.cost); its settings say what it serves and how much it holds, and what is found and
 * written is as long as plans assume. */
#include <string.h>

#include "base/error.h"
#include "plan/plan.h"
#include "scenario/scenario_impl.h"

static const struct {
    const char *type, *serves;
} stands_for[] = {
    {"llama", "llm"}, {"embed", "embed"}, {"rerank", "rerank"}, {"sqlite", "store"}, {"documents", "documents"}};

/* What both kinds of engine have under different names. */
static const struct {
    const char *from, *to;
} same[] = {{"parallel", "sequences"}, {"context_size", "context_tokens"}, {"dimension", "dimension"}};

enum tl_status tl_scenario_emulate(const struct tl_config_engine *engine, uint32_t instance,
                                   const struct tl_cost *cost, json_t **settings, struct tl_error *error) {
    const char *serves = NULL;
    if (strcmp(engine->type, "emulated") == 0) {
        *settings = tl_config_instance_written(engine, instance);
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
    *settings = json_pack("{s:[s], s:i, s:i, s:i}", "serves", serves, "collection_words", TL_PLAN_ASSUMED_PASSAGE,
                          "answer_tokens", TL_PLAN_ASSUMED_WRITTEN, "list_tokens", TL_PLAN_ASSUMED_WRITTEN_ITEM);
    for (size_t i = 0; i < sizeof same / sizeof same[0]; i++) {
        json_t *value = json_object_get(engine->settings, same[i].from);
        if (json_is_integer(value) && json_integer_value(value) > 0)
            json_object_set(*settings, same[i].to, value);
    }
    return TL_OK;
}

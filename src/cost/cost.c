/* cost.c: the life of a cost: its engines, and its version. */
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "cost/cost_impl.h"

struct tl_cost *tl_cost_create(void) {
    struct tl_cost *cost = tl_mem_zalloc(sizeof *cost);
    cost->references = 1;
    cost->version = 1;
    return cost;
}

struct tl_cost *tl_cost_ref(struct tl_cost *cost) {
    cost->references++;
    return cost;
}

static void destroy_engine(struct cost_engine *engine) {
    tl_mem_free(engine->name);
    json_decref(engine->profile);
    tl_mem_free(engine);
}

void tl_cost_unref(struct tl_cost *cost) {
    if (!cost || --cost->references > 0)
        return;
    for (size_t i = 0; i < cost->count; i++)
        destroy_engine(cost->engines[i]);
    tl_mem_free(cost->engines);
    tl_mem_free(cost);
}

struct cost_engine *tl_cost_find(const struct tl_cost *cost, const char *engine) {
    for (size_t i = 0; cost && i < cost->count; i++)
        if (strcmp(cost->engines[i]->name, engine) == 0)
            return cost->engines[i];
    return NULL;
}

struct cost_engine *tl_cost_replace(struct tl_cost *cost, const char *name) {
    struct cost_engine *engine = tl_mem_zalloc(sizeof *engine);
    engine->name = tl_mem_strdup(name);
    for (size_t i = 0; i < TL_OP_COUNT; i++) {
        engine->factors[i].factor = 1;
        engine->factors[i].told = 1;
    }
    for (size_t i = 0; i < cost->count; i++) {
        if (strcmp(cost->engines[i]->name, name) != 0)
            continue;
        destroy_engine(cost->engines[i]);
        cost->engines[i] = engine;
        return engine;
    }
    cost->engines = tl_mem_grow(cost->engines, &cost->capacity, cost->count + 1, sizeof(struct cost_engine *));
    cost->engines[cost->count++] = engine;
    return engine;
}

void tl_cost_changed(struct tl_cost *cost, uint64_t what) {
    cost->version = tl_hash_u64(what, cost->version);
}

uint64_t tl_cost_version(const struct tl_cost *cost) {
    return cost ? cost->version : 0;
}

bool tl_cost_is_measured(const struct tl_cost *cost, const char *name) {
    const struct cost_engine *engine = tl_cost_find(cost, name);
    return engine && engine->measured;
}

void tl_cost_add_default(struct tl_cost *cost, const char *engine) {
    if (tl_cost_find(cost, engine))
        return;
    tl_cost_replace(cost, engine);
    tl_cost_changed(cost, tl_hash_string(engine, 1));
}

struct tl_cost_quality tl_cost_get_quality(const struct tl_cost *cost, const char *name, enum tl_primitive op) {
    const struct cost_engine *engine = tl_cost_find(cost, name);
    return engine ? engine->quality[tl_cost_kind(op)] : (struct tl_cost_quality){0};
}

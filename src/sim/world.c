/* world.c: setting a simulation up, giving it load, and looking at it. */
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "builtin/builtin.h"
#include "engine/engines.h"
#include "sim/sim_impl.h"

static double price(void *context, const struct tl_engine *engine, const struct tl_emulated_work *works,
                    size_t count) {
    enum { PARTS = 64 }; /* that are one call's; so many sequences are rare */
    const struct tl_sim *sim = context;
    struct tl_cost_work parts[PARTS];
    double ms = 0;
    for (size_t done = 0, now; done < count; done += now) {
        now = count - done < PARTS ? count - done : PARTS;
        for (size_t i = 0; i < now; i++) {
            const struct tl_emulated_work *work = &works[done + i];
            parts[i] = (struct tl_cost_work){
                .op = work->op, .units = work->units, .tokens = work->tokens, .context = work->context};
        }
        ms += tl_cost_call(sim->cost, engine->name, parts, now);
    }
    return ms;
}

struct tl_sim *tl_sim_create(const struct tl_sim_config *config) {
    struct tl_sim *sim = tl_mem_zalloc(sizeof *sim);
    sim->config = *config;
    sim->random = tl_hash_u64(config->seed, 5);
    sim->world = (struct tl_emulated_world){.context = sim, .spend = tl_sim_let_pass, .ahead = !config->each};
    tl_actions_init(&sim->actions);
    tl_str_init(&sim->violation);
    sim->cost = config->cost ? tl_cost_ref(config->cost) : tl_cost_create();
    sim->world.price = config->cost ? price : NULL;
    sim->sched = tl_sched_create(
        &(struct tl_sched_config){.policy = config->policy,
                                  .builtin = tl_builtin_execute,
                                  .memo_bytes = config->memo_bytes,
                                  .limits = config->limits,
                                  .retries = config->retries,
                                  .hang_after_ms = config->hang_after_ms,
                                  .cost = sim->cost});
    return sim;
}

void tl_sim_forget(struct sim_request *request) {
    for (size_t i = 0; i < request->input_count; i++) tl_value_unref(request->inputs[i]);
    tl_mem_free(request->tenant);
    tl_mem_free(request);
}

void tl_sim_forget_run(struct tl_sim *sim, uint64_t number) {
    struct sim_run *run = sim->runs[number - 1];
    if (!run) return;
    tl_mem_free(run->result.message);
    json_decref(run->result.outputs);
    tl_plan_unref(run->plan);
    tl_mem_free(run);
    sim->runs[number - 1] = NULL;
}

void tl_sim_release(struct tl_sim *sim) {
    tl_sched_destroy(sim->sched);
    tl_cost_unref(sim->cost);
    for (size_t i = 0; i < sim->instance_count; i++) {
        struct tl_engine *engine = sim->instances[i].engine;
        engine->ops->close(engine);
        engine->ops->destroy(engine);
        tl_mem_free(sim->instances[i].cancels);
        tl_mem_free((char *)sim->instances[i].about.engine);
        json_decref(sim->instances[i].settings);
    }
    for (size_t i = 0; i < sim->run_count; i++) tl_sim_forget_run(sim, i + 1);
    for (size_t i = 0; i < sim->item_count; i++) tl_mem_free(sim->items[i].label);
    tl_mem_free(sim->instances);
    tl_mem_free(sim->views);
    tl_mem_free(sim->runs);
    tl_mem_free(sim->items);
    tl_mem_free(sim->places);
    tl_mem_free(sim->heap);
    tl_mem_free(sim->events);
    tl_mem_free(sim->unused);
    tl_actions_fini(&sim->actions);
    tl_str_fini(&sim->violation);
    tl_mem_free(sim);
}

uint32_t tl_sim_add_device(struct tl_sim *sim, const char *name) { return tl_sched_add_device(sim->sched, name); }

/* The times of an engine's first instance are the engine's; what has other settings has times of its own: their name in
 * the cost model is in `own` then. */
static void add_times(struct tl_sim *sim, const char *name, const json_t *settings, struct tl_str *own) {
    const json_t *first = NULL;
    size_t before = 0;
    for (size_t i = 0; i < sim->instance_count; i++)
        if (strcmp(sim->instances[i].about.engine, name) == 0 && before++ == 0) first = sim->instances[i].settings;
    if (before > 0 && json_equal((json_t *)first, (json_t *)settings)) return;
    if (before > 0) tl_str_printf(own, "%s#%zu", name, before + 1);
    tl_cost_add_emulated(sim->cost, before > 0 ? own->data : name, settings);
}

enum tl_status tl_sim_add_engine(struct tl_sim *sim, const char *name, const json_t *settings, uint32_t device,
                                 struct tl_error *error) {
    struct tl_engine *engine = NULL;
    struct tl_engine_description description = {0};
    json_t *none = json_object();
    enum tl_status status = tl_emulated_engine.create(name, settings ? settings : none, &engine, error);
    json_decref(none);
    if (status != TL_OK) return tl_error_prefix(error, "engine '%s'", name);
    tl_emulated_join(engine, &sim->world);
    status = engine->ops->open(engine, tl_sim_emit(sim), error);
    if (status != TL_OK) {
        engine->ops->destroy(engine);
        return status;
    }
    engine->ops->describe(engine, &description);
    if (description.executor != TL_EXECUTOR_DEVICE) device = TL_SCHED_NO_DEVICE;
    sim->instances = tl_mem_grow(sim->instances, &sim->instance_capacity, sim->instance_count + 1,
                                 sizeof *sim->instances);
    uint32_t number = tl_sched_add_instance(sim->sched, name, &description, device, engine);
    struct tl_str own = TL_STR_INIT;
    if (!sim->config.cost) add_times(sim, name, settings, &own);
    if (own.length > 0) tl_sched_set_times(sim->sched, number, own.data);
    tl_str_fini(&own);
    sim->instances[sim->instance_count++] =
        (struct sim_instance){.engine = engine,
                              .settings = json_copy((json_t *)settings),
                              .about = {.engine = tl_mem_strdup(name), .device = device}};
    return TL_OK;
}

void tl_sim_break(struct tl_sim *sim, const struct tl_sim_fault *fault) {
    TL_ASSERT(fault->at >= sim->now && fault->until >= fault->at && fault->instance < sim->instance_count);
    struct sim_event event = {.kind = SIM_FAULT,
                              .at = fault->at,
                              .instance = fault->instance,
                              .fault = fault->kind,
                              .until = fault->until,
                              .stall = fault->stall,
                              .factor = fault->factor,
                              .probability = fault->probability};
    TL_ASSERT(fault->kind != TL_SIM_HANG || fault->until < UINT64_MAX);
    tl_sim_schedule(sim, &event);
    if (fault->until == UINT64_MAX) return;
    event.kind = SIM_FAULT_OVER;
    event.at = fault->until;
    tl_sim_schedule(sim, &event);
}

uint64_t tl_sim_submit(struct tl_sim *sim, const struct tl_sim_request *request) {
    size_t count = request->input_count;
    struct sim_request *kept = tl_mem_zalloc(sizeof *kept + count * sizeof(struct tl_value *));
    kept->input_count = count;
    kept->timeout = request->timeout;
    kept->leave = request->leave;
    kept->priority = request->priority;
    kept->tenant = request->tenant ? tl_mem_strdup(request->tenant) : NULL;
    for (size_t i = 0; i < count; i++) kept->inputs[i] = request->inputs[i];
    size_t run = ++sim->run_count;
    sim->runs = tl_mem_grow(sim->runs, &sim->run_capacity, run, sizeof(struct sim_run *));
    TL_ASSERT(request->at >= sim->now);
    struct sim_run *added = tl_mem_zalloc(sizeof *added);
    added->result.submitted = request->at;
    added->plan = tl_plan_ref(request->plan);
    sim->runs[run - 1] = added;
    tl_sim_schedule(sim, &(struct sim_event){.kind = SIM_SUBMIT, .at = request->at, .run = run, .request = kept});
    return run;
}

/* ---- looking ---- */

uint64_t tl_sim_now(const struct tl_sim *sim) { return sim->now; }

const struct tl_sim_result *tl_sim_result(const struct tl_sim *sim, uint64_t run) {
    TL_ASSERT(run >= 1 && run <= sim->run_count);
    return sim->runs[run - 1] ? &sim->runs[run - 1]->result : NULL;
}

const struct tl_sim_item *tl_sim_items(const struct tl_sim *sim, size_t *count) {
    *count = sim->item_count;
    return sim->items;
}

const struct tl_sim_instance *tl_sim_instances(struct tl_sim *sim, size_t *count) {
    tl_mem_free(sim->views);
    sim->views = tl_mem_zalloc((sim->instance_count + 1) * sizeof *sim->views);
    for (size_t i = 0; i < sim->instance_count; i++) sim->views[i] = sim->instances[i].about;
    *count = sim->instance_count;
    return sim->views;
}

void tl_sim_get_counters(const struct tl_sim *sim, struct tl_sched_counters *counters) {
    tl_sched_get_counters(sim->sched, counters);
}

size_t tl_sim_queued(const struct tl_sim *sim, uint32_t instance) { return tl_sched_queued(sim->sched, instance); }

struct tl_cost *tl_sim_cost(const struct tl_sim *sim) { return sim->cost; }

uint64_t tl_sim_trace_hash(const struct tl_sim *sim) { return sim->trace; }

uint64_t tl_sim_resources(const struct tl_sim *sim) { return sim->world.resources; }

const char *tl_sim_violation(struct tl_sim *sim) {
    if (sim->heap_count > 0 || sim->violation.length > 0) return sim->violation.data;
    struct tl_sched_counters counters;
    tl_sched_get_counters(sim->sched, &counters);
    for (size_t i = 0; i < sim->run_count; i++)
        if (sim->runs[i] && sim->runs[i]->result.endings != 1)
            tl_str_printf(&sim->violation, "run %zu ended %u times\n", i + 1, sim->runs[i]->result.endings);
    if (counters.items_queued || counters.items_held)
        tl_str_printf(&sim->violation, "%zu items are queued and %zu held although nothing is left to happen\n",
                      counters.items_queued, counters.items_held);
    if (sim->world.resources)
        tl_str_printf(&sim->violation, "%llu prefixes or temporary collections are alive although no run is\n",
                      (unsigned long long)sim->world.resources);
    return sim->violation.data;
}

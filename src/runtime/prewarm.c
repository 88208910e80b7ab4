/* prewarm.c: what the prompts of a workflow begin with is computed while nothing else is to do, by runs of the
 * runtime's own: the engine keeps it, and the next query's prompts go on from there.
 *
 * Plans bring their prefixes here when they are made. Each is computed once, by a run of one primitive, when no run is
 * live and no caller is about to submit one; on engines that are open already and that keep such prefixes, so no model
 * is loaded for it. When a query comes meanwhile, the run is cancelled (the engine stops within one quantum of work)
 * and tried again later. These runs have ids of their own range and no record, so no result, timeline or counter of
 * runs knows of them. All of it belongs to the loop thread. */
#include <stdatomic.h>
#include <string.h>

#include "base/error.h"
#include "base/log.h"
#include "base/mem.h"
#include "graph/graph.h"
#include "runtime/runtime_impl.h"

#define MOST_PREFIXES 1024             /* that are remembered; later ones are left to the queries */
#define OWN_RUN (UINT64_C(1) << 63)    /* ids of these runs */
static const double lowest_priority = -1e12;

enum state { WANTED, RUNNING, DONE };

struct tl_prefix {
    struct tl_runtime_engine *engine;
    struct tl_value *prompt; /* reference */
    enum state state;
};

static bool is_known(const struct tl_prewarm *prewarm, const struct tl_runtime_engine *engine,
                     const struct tl_value *prompt) {
    for (size_t i = 0; i < prewarm->count; i++)
        if (prewarm->prefixes[i].engine == engine && tl_value_equal(prewarm->prefixes[i].prompt, prompt))
            return true;
    return false;
}

void tl_runtime_prewarm_add(struct tl_runtime *runtime, const struct tl_plan *plan) {
    struct tl_prewarm *prewarm = &runtime->prewarm;
    for (size_t i = 0; i < plan->prefix_count; i++) {
        const struct tl_plan_prefix *found = &plan->prefixes[i];
        struct tl_runtime_engine *engine = tl_runtime_find_engine(runtime, plan->engines[found->engine]);
        if (!engine || prewarm->count == MOST_PREFIXES || is_known(prewarm, engine, found->prompt))
            continue;
        prewarm->prefixes =
            tl_mem_grow(prewarm->prefixes, &prewarm->capacity, prewarm->count + 1, sizeof *prewarm->prefixes);
        prewarm->prefixes[prewarm->count++] = (struct tl_prefix){engine, tl_value_ref(found->prompt), WANTED};
        prewarm->wanted++;
    }
}

/* Open, and worth it. */
static bool can_keep(struct tl_runtime *runtime, const struct tl_runtime_engine *engine) {
    const struct tl_instance *instance = &engine->instances[0];
    pthread_mutex_lock(&runtime->lock);
    bool can = instance->state == TL_INSTANCE_OPEN && instance->description.keeps_prefixes;
    pthread_mutex_unlock(&runtime->lock);
    return can;
}

/* prompt → partial_prefill on that engine. */
static struct tl_plan *make_plan(const char *engine) {
    struct tl_graph *graph = tl_graph_create("prefix");
    struct tl_ref prompt = tl_graph_add_parameter(graph->root, "prompt", TL_TYPE_OF(PROMPT, 0));
    struct tl_node *prefill = tl_graph_add(graph->root, TL_OP_PARTIAL_PREFILL, "", "prefix", engine);
    struct tl_error error;
    struct tl_plan *plan;
    tl_graph_connect(prefill, "prompt", prompt);
    if (tl_graph_infer(prefill, &error) != TL_OK)
        TL_BUG("%s", error.message);
    tl_graph_add_result(graph->root, "kv", tl_graph_output(prefill, 0));
    if (tl_plan_freeze(graph, NULL, &plan, &error) != TL_OK)
        TL_BUG("%s", error.message);
    return plan;
}

static void start(struct tl_runtime *runtime, struct tl_prefix *prefix) {
    struct tl_prewarm *prewarm = &runtime->prewarm;
    struct tl_event event = {.kind = TL_EVENT_RUN_SUBMITTED};
    event.as.submitted.run = prewarm->run = OWN_RUN | ++prewarm->started;
    event.as.submitted.plan = make_plan(prefix->engine->config->name);
    event.as.submitted.inputs = (struct tl_value *[]){tl_value_ref(prefix->prompt)};
    event.as.submitted.input_count = 1;
    event.as.submitted.priority = lowest_priority;
    prefix->state = RUNNING;
    tl_runtime_step(runtime, &event);
}

void tl_runtime_prewarm_go_on(struct tl_runtime *runtime) {
    struct tl_prewarm *prewarm = &runtime->prewarm;
    struct tl_sched_counters counters;
    if (prewarm->wanted == 0 || prewarm->run || runtime->cancelling_all)
        return;
    tl_sched_get_counters(runtime->sched, &counters);
    if (counters.runs_live > 0 || atomic_load_explicit(&runtime->submitting, memory_order_acquire) > 0)
        return;
    for (size_t i = 0; i < prewarm->count && !prewarm->run; i++)
        if (prewarm->prefixes[i].state == WANTED && can_keep(runtime, prewarm->prefixes[i].engine))
            start(runtime, &prewarm->prefixes[i]);
}

void tl_runtime_prewarm_yield(struct tl_runtime *runtime) {
    struct tl_event event = {.kind = TL_EVENT_CANCEL};
    event.as.cancel.run = runtime->prewarm.run;
    if (runtime->prewarm.run)
        tl_runtime_step(runtime, &event);
}

bool tl_runtime_prewarm_finished(struct tl_runtime *runtime, const struct tl_action *action) {
    struct tl_prewarm *prewarm = &runtime->prewarm;
    if (!(action->as.finished.run & OWN_RUN))
        return false;
    enum tl_status status = action->as.finished.status;
    for (size_t i = 0; i < action->as.finished.output_count; i++)
        tl_value_unref(action->as.finished.outputs[i]);
    size_t i = 0;
    while (prewarm->prefixes[i].state != RUNNING)
        i++;
    prewarm->prefixes[i].state = status == TL_ERR_CANCELLED ? WANTED : DONE;
    prewarm->wanted -= status != TL_ERR_CANCELLED;
    prewarm->run = 0;
    if (status == TL_OK)
        atomic_fetch_add_explicit(&prewarm->warmed, 1, memory_order_relaxed);
    else if (status != TL_ERR_CANCELLED)
        tl_log(TL_LOG_WARN, "what prompts begin with could not be computed ahead: %s", action->as.finished.message);
    return true;
}

void tl_runtime_prewarm_fini(struct tl_runtime *runtime) {
    for (size_t i = 0; i < runtime->prewarm.count; i++)
        tl_value_unref(runtime->prewarm.prefixes[i].prompt);
    tl_mem_free(runtime->prewarm.prefixes);
}

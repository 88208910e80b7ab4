/* sim.c: events, and what each of them does. */
#include "sim/sim.h"

#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "sim/sim_impl.h"

/* ---- randomness and the trace ---- */

/* Evenly in 0..1, without 1. */
static double draw(struct tl_sim *sim) {
    sim->random = tl_hash_u64(sim->random, 11);
    return (double)(sim->random >> 11) * 0x1p-53;
}

static void trace(struct tl_sim *sim, uint64_t value) { sim->trace = tl_hash_u64(value, sim->trace); }

/* ---- what engines say ---- */

void tl_sim_let_pass(void *context, uint64_t nanoseconds) {
    struct tl_sim *sim = context;
    const struct sim_instance *instance = &sim->instances[sim->stepping];
    double factor = sim->config.jitter > 0 ? 1 + sim->config.jitter * (2 * draw(sim) - 1) : 1;
    if (instance->factor > 0) factor *= instance->factor;
    sim->spent += (uint64_t)((double)nanoseconds * factor);
    if (instance->stalling > 0 && draw(sim) < instance->stalling) sim->spent += instance->stall;
    if (instance->hangs_until > sim->now + sim->spent) sim->spent = instance->hangs_until - sim->now;
}

static void place(const struct tl_sim *sim, struct sim_event *event) {
    event->instance = tl_sched_item_instance(event->item);
    event->epoch = sim->instances[event->instance].epoch;
}

static void on_done(void *context, struct tl_item *item, struct tl_value **outputs, size_t count,
                    const struct tl_usage *usage) {
    struct tl_sim *sim = context;
    struct sim_event event = {.kind = SIM_OUTCOME, .at = sim->now + sim->spent, .item = item, .count = (uint32_t)count};
    place(sim, &event);
    TL_ASSERT(count <= SIM_OUTPUTS);
    for (size_t i = 0; i < count; i++) event.outputs[i] = outputs[i];
    event.usage = *usage;
    double failing = sim->instances[event.instance].failing;
    if (sim->config.failure > 0 && draw(sim) < sim->config.failure) event.status = TL_ERR_ENGINE;
    if (failing > 0 && draw(sim) < failing) event.status = TL_ERR_ENGINE;
    tl_sim_schedule(sim, &event);
}

static void on_fail(void *context, struct tl_item *item, enum tl_status status, const char *message) {
    struct tl_sim *sim = context;
    if (sim->muted) return;
    struct sim_event event = {.kind = SIM_OUTCOME, .at = sim->now + sim->spent, .item = item, .status = status};
    event.message = tl_mem_strdup(message);
    place(sim, &event);
    tl_sim_schedule(sim, &event);
}

static void on_piece(void *context, struct tl_item *item, size_t position, struct tl_value *value) {
    struct tl_sim *sim = context;
    struct sim_event event = {.kind = SIM_PIECE, .at = sim->now + sim->spent, .item = item, .count = 1};
    event.outputs[0] = value;
    event.position = position;
    place(sim, &event);
    tl_sim_schedule(sim, &event);
}

static void on_delta(void *context, struct tl_item *item, const char *text, size_t length) {
    (void)text, (void)length;
    struct tl_sim *sim = context;
    struct sim_run *run = sim->runs[tl_sched_item_run(item) - 1];
    if (run && run->result.first_text == 0) run->result.first_text = sim->now + sim->spent;
}

static void on_notice(void *context, struct tl_item *item, const char *message) {
    (void)context, (void)item, (void)message;
}

/* ---- what the scheduler wants ---- */

static void record_start(struct tl_sim *sim, uint32_t instance, struct tl_item *item) {
    sim->items = tl_mem_grow(sim->items, &sim->item_capacity, sim->item_count + 1, sizeof *sim->items);
    sim->items[sim->item_count] = (struct tl_sim_item){
        .run = tl_sched_item_run(item),
        .label = tl_mem_strdup(item->label),
        .op = item->op,
        .instance = instance,
        .ready = tl_sched_item_ready(item),
        .start = sim->now,
    };
    for (size_t i = 0; i < item->input_count; i++) {
        const struct tl_value *value = item->inputs[i];
        if (value && value->type.depth == 0 && value->type.base == TL_TYPE_KV && value->as.kv.resource &&
            value->as.kv.resource->owner == sim->instances[instance].engine)
            sim->items[sim->item_count].prefix = value->as.kv.tokens;
    }
    /* Item numbers ascend in order of becoming ready, starts do not: a table from number to place. */
    sim->places = tl_mem_grow(sim->places, &sim->place_capacity, item->id + 1, sizeof *sim->places);
    sim->places[item->id] = sim->item_count++;
}

static struct tl_sim_item *recorded(struct tl_sim *sim, const struct tl_item *item) {
    return sim->config.record ? &sim->items[sim->places[item->id]] : NULL;
}

/* The instance gets the items and computes one quantum; what comes of it is scheduled for the quantum's end. */
static void act_run(struct tl_sim *sim, const struct tl_action *action) {
    uint32_t number = action->as.run.instance;
    struct tl_item **items = action->as.run.items;
    struct sim_instance *instance = &sim->instances[number];
    struct tl_engine *engine = instance->engine;
    TL_ASSERT(!instance->computing);
    trace(sim, number);
    for (size_t i = 0; i < action->as.run.count; i++) {
        trace(sim, tl_hash_string(items[i]->label, tl_sched_item_run(items[i])));
        sim->runs[tl_sched_item_run(items[i]) - 1]->result.items++;
        if (sim->config.record) record_start(sim, number, items[i]);
    }
    sim->stepping = number;
    if (action->as.run.count > 0) engine->ops->submit(engine, items, action->as.run.count);
    bool more = engine->ops->step(engine);
    instance->computing = true;
    instance->held += action->as.run.count;
    if (sim->config.watch.quantum)
        sim->config.watch.quantum(sim->config.watch.context, number, sim->now, sim->now + sim->spent,
                                  action->as.run.count, instance->held);
    instance->about.busy += sim->spent;
    instance->about.quanta++;
    instance->about.items += action->as.run.count;
    tl_sim_schedule(sim, &(struct sim_event){.kind = SIM_QUANTUM_OVER,
                                             .at = sim->now + sim->spent,
                                             .instance = number,
                                             .epoch = instance->epoch,
                                             .more = more});
    sim->spent = 0;
}

static void act_cancel(struct tl_sim *sim, const struct tl_action *action) {
    struct sim_instance *instance = &sim->instances[action->as.cancel.instance];
    struct tl_item *item = action->as.cancel.item;
    if (!instance->computing) {
        instance->engine->ops->cancel(instance->engine, item);
        return;
    }
    instance->cancels = tl_mem_grow(instance->cancels, &instance->cancel_capacity, instance->cancel_count + 1,
                                    sizeof(struct tl_item *));
    instance->cancels[instance->cancel_count++] = item;
}

/* What it still holds fails, and that is heard before it is back. */
static void reopen(struct tl_sim *sim, uint32_t number) {
    struct sim_instance *instance = &sim->instances[number];
    instance->hung = false;
    instance->cancel_count = 0;
    instance->engine->ops->close(instance->engine);
    tl_sim_schedule(sim, &(struct sim_event){
                             .kind = SIM_REOPENED, .at = sim->now, .instance = number, .epoch = instance->epoch});
}

static void act_hung(struct tl_sim *sim, const struct tl_action *action) {
    trace(sim, tl_hash_u64(action->as.hung.instance, action->as.hung.silent));
    sim->instances[action->as.hung.instance].hung = true;
    if (!sim->instances[action->as.hung.instance].computing) reopen(sim, action->as.hung.instance);
}

static json_t *outputs_of(const struct tl_plan *plan, const struct tl_action *action) {
    json_t *outputs = json_object();
    for (size_t i = 0; i < action->as.finished.output_count; i++)
        json_object_set_new(outputs, plan->root->result_names[i], tl_value_to_json(action->as.finished.outputs[i]));
    return outputs;
}

static void act_finished(struct tl_sim *sim, const struct tl_action *action) {
    struct sim_run *run = sim->runs[action->as.finished.run - 1];
    trace(sim, tl_hash_u64(action->as.finished.run, action->as.finished.status));
    if (!run) TL_BUG("run %llu has ended again", (unsigned long long)action->as.finished.run);
    struct tl_sim_result *result = &run->result;
    result->ended = sim->now;
    if (++result->endings > 1) return;
    result->status = action->as.finished.status;
    result->message = tl_mem_strdup(action->as.finished.message);
    result->retry_after_ms = action->as.finished.retry_after_ms;
    bool told = sim->config.watch.ended != NULL;
    if (result->status == TL_OK && !told) result->outputs = outputs_of(run->plan, action);
    for (size_t i = 0; i < action->as.finished.output_count; i++) tl_value_unref(action->as.finished.outputs[i]);
    if (!told) return;
    sim->config.watch.ended(sim->config.watch.context, action->as.finished.run, result);
    tl_sim_forget_run(sim, action->as.finished.run);
}

/* Whatever has happened before it. */
static bool leads_to_step(const struct tl_sim *sim, const struct sim_event *event) {
    switch (event->kind) {
    case SIM_SUBMIT: return true;
    case SIM_OUTCOME:
    case SIM_PIECE:
    case SIM_QUANTUM_OVER: return event->epoch == sim->instances[event->instance].epoch;
    default: return false;
    }
}

static void step(struct tl_sim *sim, struct tl_event *event) {
    event->now = sim->now;
    const struct sim_event *next = tl_sim_next(sim);
    event->follows = next && next->at == sim->now && leads_to_step(sim, next);
    trace(sim, tl_hash_u64(sim->now, event->kind));
    tl_sched_step(sim->sched, event, &sim->actions);
    for (size_t i = 0; i < sim->actions.count; i++) {
        const struct tl_action *action = &sim->actions.items[i];
        switch (action->kind) {
        case TL_ACTION_RUN: act_run(sim, action); break;
        case TL_ACTION_CANCEL_ITEM: act_cancel(sim, action); break;
        case TL_ACTION_INSTANCE_HUNG: act_hung(sim, action); break;
        case TL_ACTION_RUN_FINISHED: act_finished(sim, action); break;
        case TL_ACTION_RECALLED: break;
        case TL_ACTION_WAKE: sim->wake = action->as.wake.at; break;
        }
    }
    if (sim->config.check && ++sim->steps % sim->config.check == 0 && sim->violation.length == 0)
        tl_sched_is_valid(sim->sched, &sim->violation);
}

/* ---- events ---- */

static void tell_of_item(struct tl_sim *sim, const struct sim_event *event) {
    struct tl_sim_item item = {
        .run = tl_sched_item_run(event->item),
        .label = (char *)event->item->label,
        .op = event->item->op,
        .instance = event->instance,
        .ready = tl_sched_item_ready(event->item),
        .start = tl_sched_item_started(event->item),
        .end = sim->now,
        .status = event->status,
        .usage = event->usage,
    };
    sim->config.watch.item(sim->config.watch.context, &item);
}

static void do_outcome(struct tl_sim *sim, struct sim_event *event) {
    struct tl_sim_item *story = recorded(sim, event->item);
    sim->instances[event->instance].held--;
    if (sim->config.watch.item) tell_of_item(sim, event);
    struct tl_event out;
    memset(&out, 0, sizeof out);
    if (story) {
        story->end = sim->now;
        story->status = event->status;
        story->usage = event->usage;
    }
    if (event->status == TL_OK) {
        out.kind = TL_EVENT_ITEM_DONE;
        out.as.done.item = event->item;
        out.as.done.outputs = event->outputs;
        out.as.done.count = event->count;
        out.as.done.usage = event->usage;
    } else {
        for (uint32_t i = 0; i < event->count; i++) tl_value_unref(event->outputs[i]);
        out.kind = TL_EVENT_ITEM_FAILED;
        out.as.failed.item = event->item;
        out.as.failed.status = event->status;
        out.as.failed.message = event->message ? event->message : "an injected failure";
    }
    step(sim, &out);
    tl_mem_free(event->message);
}

static void do_piece(struct tl_sim *sim, const struct sim_event *event) {
    struct tl_event out = {.kind = TL_EVENT_ITEM_PIECE};
    struct tl_sim_item *story = recorded(sim, event->item);
    if (story) story->pieces++;
    out.as.piece.item = event->item;
    out.as.piece.position = event->position;
    out.as.piece.value = event->outputs[0];
    step(sim, &out);
}

static void do_quantum_over(struct tl_sim *sim, const struct sim_event *event) {
    struct sim_instance *instance = &sim->instances[event->instance];
    struct tl_event out = {.kind = TL_EVENT_STEP_DONE};
    out.as.step.instance = event->instance;
    out.as.step.more = event->more;
    instance->computing = false;
    /* As an executor does: what was cancelled meanwhile goes before the next quantum begins. */
    for (size_t i = 0; i < instance->cancel_count; i++)
        instance->engine->ops->cancel(instance->engine, instance->cancels[i]);
    instance->cancel_count = 0;
    step(sim, &out);
    if (instance->hung) reopen(sim, event->instance);
}

static void bring_back(struct tl_sim *sim, uint32_t number) {
    struct tl_event out = {.kind = TL_EVENT_INSTANCE_BACK};
    out.as.step.instance = number;
    step(sim, &out);
}

static void do_submit(struct tl_sim *sim, const struct sim_event *event) {
    struct sim_request *request = event->request;
    struct tl_event out = {.kind = TL_EVENT_RUN_SUBMITTED};
    out.as.submitted.run = event->run;
    out.as.submitted.plan = tl_plan_ref(sim->runs[event->run - 1]->plan);
    out.as.submitted.inputs = request->inputs;
    out.as.submitted.input_count = request->input_count;
    out.as.submitted.deadline = request->timeout ? sim->now + request->timeout : 0;
    out.as.submitted.priority = request->priority;
    out.as.submitted.tenant = request->tenant;
    if (request->leave)
        tl_sim_schedule(sim,
                        &(struct sim_event){.kind = SIM_LEAVE, .at = sim->now + request->leave, .run = event->run});
    step(sim, &out);
    tl_mem_free(request->tenant);
    tl_mem_free(request);
}

static void do_leave(struct tl_sim *sim, uint64_t run) {
    struct tl_event out = {.kind = TL_EVENT_CANCEL};
    if (!sim->runs[run - 1] || sim->runs[run - 1]->result.endings > 0) return;
    out.as.cancel.run = run;
    step(sim, &out);
}

/* The engine drops what it holds, and what it was about to say is not said. */
static void lose(struct tl_sim *sim, uint32_t number) {
    struct sim_instance *instance = &sim->instances[number];
    struct tl_event out = {.kind = TL_EVENT_INSTANCE_LOST};
    instance->epoch++;
    instance->computing = false;
    instance->held = 0;
    instance->hung = false;
    instance->cancel_count = 0;
    sim->muted = true;
    instance->engine->ops->close(instance->engine);
    sim->muted = false;
    out.as.step.instance = number;
    step(sim, &out);
}

static void do_fault(struct tl_sim *sim, const struct sim_event *event) {
    struct sim_instance *instance = &sim->instances[event->instance];
    bool over = event->kind == SIM_FAULT_OVER;
    switch (event->fault) {
    case TL_SIM_SLOW: instance->factor = over ? 0 : event->factor; break;
    case TL_SIM_HANG: instance->hangs_until = over ? 0 : event->until; break;
    case TL_SIM_FAIL: instance->failing = over ? 0 : event->probability; break;
    case TL_SIM_STALL:
        instance->stalling = over ? 0 : event->probability;
        instance->stall = event->stall;
        break;
    case TL_SIM_LOST:
        if (over) {
            bring_back(sim, event->instance);
        } else {
            lose(sim, event->instance);
        }
        break;
    }
}

static void drop(struct sim_event *event) {
    for (uint32_t i = 0; i < event->count; i++) tl_value_unref(event->outputs[i]);
    tl_mem_free(event->message);
}

/* The clock goes on. */
static void pass(struct tl_sim *sim, uint64_t now) {
    if (now <= sim->now) return;
    if (sim->config.watch.passed) sim->config.watch.passed(sim->config.watch.context, sim->now, now);
    sim->now = now;
}

bool tl_sim_advance(struct tl_sim *sim) {
    const struct sim_event *next = tl_sim_next(sim);
    if (sim->wake && (!next || sim->wake < next->at)) {
        struct tl_event out = {.kind = TL_EVENT_TIME};
        pass(sim, sim->wake);
        sim->wake = 0;
        step(sim, &out);
        return true;
    }
    if (!next) return false;
    struct sim_event event = tl_sim_take(sim);
    pass(sim, event.at);
    bool of_engine = event.kind == SIM_OUTCOME || event.kind == SIM_PIECE || event.kind == SIM_QUANTUM_OVER ||
                     event.kind == SIM_REOPENED;
    if (of_engine && event.epoch != sim->instances[event.instance].epoch) {
        drop(&event);
        return true;
    }
    switch (event.kind) {
    case SIM_OUTCOME: do_outcome(sim, &event); break;
    case SIM_PIECE: do_piece(sim, &event); break;
    case SIM_QUANTUM_OVER: do_quantum_over(sim, &event); break;
    case SIM_SUBMIT: do_submit(sim, &event); break;
    case SIM_LEAVE: do_leave(sim, event.run); break;
    case SIM_REOPENED: bring_back(sim, event.instance); break;
    case SIM_FAULT:
    case SIM_FAULT_OVER: do_fault(sim, &event); break;
    }
    return true;
}

void tl_sim_run(struct tl_sim *sim) {
    while (tl_sim_advance(sim))
        ;
}

void tl_sim_run_until(struct tl_sim *sim, uint64_t at) {
    for (;;) {
        const struct sim_event *next = tl_sim_next(sim);
        bool event = next && next->at <= at;
        bool wake = sim->wake && sim->wake <= at;
        if (!event && !wake) break;
        tl_sim_advance(sim);
    }
    pass(sim, at);
}

/* ---- making one ---- */

const struct tl_emit *tl_sim_emit(struct tl_sim *sim) {
    sim->emit = (struct tl_emit){
        .context = sim, .done = on_done, .fail = on_fail, .piece = on_piece, .delta = on_delta, .notice = on_notice};
    return &sim->emit;
}

/* Ends what still runs at the present time, and waits for what engines hold. */
static void end_all(struct tl_sim *sim) {
    for (uint64_t run = 1; run <= sim->run_count; run++) do_leave(sim, run);
    tl_sim_run(sim);
}

void tl_sim_destroy(struct tl_sim *sim) {
    if (!sim) return;
    for (size_t i = 0; i < sim->heap_count; i++) { /* those that have not come yet never will */
        struct sim_event *event = &sim->events[sim->heap[i].event];
        if (event->kind != SIM_SUBMIT) continue;
        tl_sim_forget(event->request);
        event->kind = SIM_LEAVE;
    }
    end_all(sim);
    tl_sim_release(sim);
}

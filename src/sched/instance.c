/* instance.c: the graph tier: body instances, slots, and counting what each node still waits for. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "sched/sched_impl.h"

/* ---- tasks ---- */

static void push_task(struct tl_sched *sched, struct task task) {
    sched->tasks = tl_mem_grow(sched->tasks, &sched->task_capacity, sched->task_count + 1, sizeof *sched->tasks);
    sched->tasks[sched->task_count++] = task;
}

void tl_node_ready(struct node_state *node) {
    node->phase = NODE_READY;
    push_task(node->instance->run->sched, (struct task){.node = node});
}

static void node_missing_less(struct node_state *node) {
    TL_ASSERT(node->missing > 0);
    if (--node->missing == 0) tl_node_ready(node);
}

static void instance_missing_less(struct body_instance *instance) {
    TL_ASSERT(instance->missing > 0);
    if (--instance->missing > 0) return;
    push_task(instance->run->sched, (struct task){.instance = instance});
}

/* ---- slots ---- */

struct slot *tl_instance_slot(struct body_instance *instance, struct tl_plan_source source) {
    for (uint16_t up = source.up; up > 0; up--) instance = instance->outer;
    return &instance->slots[source.slot];
}

static void free_slot_content(struct slot *slot) {
    tl_value_unref(slot->value);
    slot->value = NULL;
    for (size_t i = 0; i < slot->piece_count; i++) tl_value_unref(slot->pieces[i]);
    slot->piece_count = 0;
}

static void give_back_use(struct body_instance *instance, struct tl_plan_source source) {
    if (source.slot == TL_PLAN_NO_SLOT || source.up > 0)
        return; /* outer values are held by the region around, see captures */
    struct slot *slot = &instance->slots[source.slot];
    TL_ASSERT(slot->uses > 0);
    /* A region that began no instance (no items, the other branch) is complete before what it captures is there;
     * the value goes when it comes. */
    if (--slot->uses == 0 && slot->ready) free_slot_content(slot);
}

void tl_instance_set_slot(struct body_instance *instance, uint32_t index, struct tl_value *value) {
    struct slot *slot = &instance->slots[index];
    TL_ASSERT(!slot->ready && value);
    slot->ready = true;
    slot->value = value;
    struct waiter *waiter = slot->waiters;
    slot->waiters = NULL;
    for (; waiter; waiter = waiter->next) {
        if (waiter->node)
            node_missing_less(waiter->node);
        else
            instance_missing_less(waiter->instance);
    }
    struct subscriber *subscriber = slot->subscribers;
    slot->subscribers = NULL;
    for (; subscriber; subscriber = subscriber->next) tl_region_take(subscriber->region, value);
    if (slot->uses == 0) free_slot_content(slot);
}

void tl_instance_piece(struct body_instance *instance, uint32_t index, size_t position, struct tl_value *value) {
    struct slot *slot = &instance->slots[index];
    if (slot->ready || (position < slot->piece_count && slot->pieces[position])) {
        tl_value_unref(value);
        return;
    }
    size_t before = slot->piece_count;
    slot->pieces = tl_mem_grow(slot->pieces, &slot->piece_capacity, position + 1, sizeof *slot->pieces);
    if (position >= before) {
        memset(slot->pieces + before, 0, (position + 1 - before) * sizeof *slot->pieces);
        slot->piece_count = position + 1;
    }
    slot->pieces[position] = value;
    for (struct subscriber *subscriber = slot->subscribers; subscriber; subscriber = subscriber->next)
        tl_region_piece(subscriber->region, position, value);
}

/* ---- body instances ---- */

struct body_instance *tl_instance_create(struct run *run, const struct tl_plan_body *body, struct body_instance *outer,
                                         struct node_state *owner, uint32_t level, uint32_t index) {
    if (run->instance_count >= run->sched->config.most_instances) {
        if (run->phase == RUN_LIVE)
            tl_run_fail(run, TL_ERR_LIMIT, "%s: the run would need more than %u region instances",
                        owner ? owner->plan->label : run->plan->name, run->sched->config.most_instances);
        return NULL;
    }
    struct body_instance *instance = tl_arena_alloc(&run->arena, sizeof *instance);
    instance->body = body;
    instance->run = run;
    instance->outer = outer;
    instance->owner = owner;
    instance->level = level;
    instance->index = index;
    instance->slots = tl_arena_alloc(&run->arena, body->slot_count * sizeof *instance->slots);
    instance->nodes = tl_arena_alloc(&run->arena, body->node_count * sizeof *instance->nodes);
    for (uint32_t i = 0; i < body->slot_count; i++) instance->slots[i].uses = body->slot_uses[i];
    for (uint32_t i = 0; i < body->node_count; i++) {
        instance->nodes[i].instance = instance;
        instance->nodes[i].plan = &body->nodes[i];
    }
    instance->next = run->instances;
    run->instances = instance;
    run->instance_count++;
    return instance;
}

/* A region may open without an input: it subscribes to it once the rest is there. */
static bool waits_for_input(const struct tl_plan_node *plan, uint32_t input) {
    return !tl_region_opens_without(plan, input) && plan->inputs[input].slot != TL_PLAN_NO_SLOT;
}

bool tl_instance_wait(struct body_instance *instance, struct tl_plan_source source, struct node_state *node,
                      struct body_instance *result_of) {
    struct slot *slot = tl_instance_slot(instance, source);
    if (slot->ready) return false;
    struct waiter *waiter = tl_arena_alloc(&instance->run->arena, sizeof *waiter);
    waiter->node = node;
    waiter->instance = result_of;
    waiter->next = slot->waiters;
    slot->waiters = waiter;
    return true;
}

void tl_instance_start(struct body_instance *instance) {
    const struct tl_plan_body *body = instance->body;
    struct tl_sched *sched = instance->run->sched;
    instance->missing = body->node_count;
    for (uint32_t r = 0; r < body->result_count; r++)
        if (tl_instance_wait(instance, body->results[r], NULL, instance)) instance->missing++;
    for (uint32_t n = 0; n < body->node_count; n++) {
        struct node_state *node = &instance->nodes[n];
        node->missing = node->plan->wait_count;
        for (uint32_t i = 0; i < node->plan->input_count; i++)
            if (waits_for_input(node->plan, i) && tl_instance_wait(instance, node->plan->inputs[i], node, NULL))
                node->missing++;
        if (node->missing == 0) tl_node_ready(node);
    }
    if (instance->missing == 0) push_task(sched, (struct task){.instance = instance});
}

void tl_node_complete(struct node_state *node) {
    struct body_instance *instance = node->instance;
    const struct tl_plan_node *plan = node->plan;
    TL_ASSERT(node->phase != NODE_COMPLETE);
    node->phase = NODE_COMPLETE;
    for (uint32_t i = 0; i < plan->input_count; i++) give_back_use(instance, plan->inputs[i]);
    for (uint32_t i = 0; i < plan->capture_count; i++) give_back_use(instance, plan->captures[i]);
    for (uint32_t i = 0; i < plan->waiter_count; i++) node_missing_less(&instance->nodes[plan->waiters[i]]);
    instance_missing_less(instance);
}

static void complete_root(struct body_instance *instance) {
    struct run *run = instance->run;
    uint32_t count = instance->body->result_count;
    struct tl_value **outputs = tl_mem_zalloc((count + 1) * sizeof *outputs);
    for (uint32_t i = 0; i < count; i++)
        outputs[i] = tl_value_ref(tl_instance_slot(instance, instance->body->results[i])->value);
    for (uint32_t i = 0; i < count; i++) give_back_use(instance, instance->body->results[i]);
    tl_run_end(run, TL_OK, "", outputs);
}

static void complete_instance(struct body_instance *instance) {
    instance->complete = true;
    if (!instance->owner) {
        complete_root(instance);
        return;
    }
    tl_region_instance_complete(instance);
    for (uint32_t i = 0; i < instance->body->result_count; i++) give_back_use(instance, instance->body->results[i]);
}

/* ---- executing a ready node ---- */

const char *tl_node_label(const struct node_state *node) {
    struct tl_str label = TL_STR_INIT;
    tl_str_puts(&label, node->plan->label);
    const struct body_instance *chain[16];
    size_t depth = 0;
    for (const struct body_instance *at = node->instance; at->owner && depth < 16; at = at->outer) chain[depth++] = at;
    while (depth-- > 0) {
        const struct body_instance *at = chain[depth];
        if (at->owner->plan->op == TL_OP_REDUCE)
            tl_str_printf(&label, "[%u.%u]", at->level, at->index);
        else if (at->owner->plan->op != TL_OP_COND)
            tl_str_printf(&label, "[%u]", at->index);
    }
    const char *kept = tl_arena_strndup(&node->instance->run->arena, label.data, label.length);
    tl_str_fini(&label);
    return kept;
}

/* The output of the reduce that combines the list in the slot; UINT32_MAX when none does. A reduce of one item gives
 * that item. */
static uint32_t reduced_to(const struct body_instance *instance, uint32_t slot) {
    for (uint32_t n = 0; n < instance->body->node_count; n++) {
        const struct tl_plan_node *node = &instance->body->nodes[n];
        if (node->op == TL_OP_REDUCE && node->inputs[0].up == 0 && node->inputs[0].slot == slot)
            return node->first_output;
    }
    return UINT32_MAX;
}

static bool result_streams(const struct body_instance *instance, uint32_t slot) {
    const struct tl_plan_body *body = instance->body;
    if (body->slots[slot].type.base != TL_TYPE_TEXT || body->slots[slot].type.depth > 0) return false;
    if (body->result_count == 0 || body->results[0].up > 0 || body->results[0].slot != slot)
        return false; /* the text for the user is the first result, all the way up */
    if (!instance->owner) return true;
    uint32_t output = instance->owner->plan->first_output;
    switch (instance->owner->plan->op) {
    case TL_OP_FOLD:
    case TL_OP_REDUCE:
        if (!tl_region_is_last(instance)) return false;
        break;
    case TL_OP_COND: break;
    case TL_OP_MAP:
        output = tl_region_is_only(instance) ? reduced_to(instance->outer, output) : UINT32_MAX;
        if (output == UINT32_MAX) return false;
        break;
    default: return false;
    }
    return result_streams(instance->outer, output);
}

bool tl_node_streams_to_user(const struct node_state *node) {
    return (node->plan->flags & TL_SPLITTABLE) && node->plan->output_count > 0 &&
           result_streams(node->instance, node->plan->first_output);
}

static void execute_builtin(struct node_state *node) {
    struct run *run = node->instance->run;
    struct tl_sched *sched = run->sched;
    const struct tl_plan_node *plan = node->plan;
    enum { FEW = 16 };
    struct tl_value *few_inputs[FEW], *few_outputs[FEW];
    struct tl_value **inputs = few_inputs, **outputs = few_outputs;
    if (plan->input_count > FEW) inputs = tl_arena_alloc(&run->arena, plan->input_count * sizeof *inputs);
    if (plan->output_count > FEW) outputs = tl_arena_alloc(&run->arena, plan->output_count * sizeof *outputs);
    for (uint32_t i = 0; i < plan->input_count; i++)
        inputs[i] =
            plan->inputs[i].slot == TL_PLAN_NO_SLOT ? NULL : tl_instance_slot(node->instance, plan->inputs[i])->value;
    struct tl_item item = {
        .op = plan->op,
        .attributes = plan->attributes,
        .label = plan->label,
        .inputs = inputs,
        .input_names = plan->input_names,
        .input_count = plan->input_count,
    };
    struct tl_error error = {0};
    sched->counters.builtins++;
    enum tl_status status = sched->config.builtin(&item, outputs, plan->output_count, &error);
    if (status != TL_OK) {
        tl_run_fail(run, status, "%s (%s): %s", tl_node_label(node), tl_primitive_info(plan->op)->name, error.message);
        return;
    }
    for (uint32_t i = 0; i < plan->output_count; i++)
        tl_instance_set_slot(node->instance, plan->first_output + i, outputs[i]);
    tl_node_complete(node);
}

static void execute_on_engine(struct node_state *node) {
    if (node->recall)
        tl_recall_go_on(node);
    else if (!tl_recall_begin(node))
        tl_engine_enqueue(node);
}

static void execute(struct node_state *node) {
    switch (node->plan->capability) {
    case TL_CAPABILITY_BUILTIN: execute_builtin(node); break;
    case TL_CAPABILITY_REGION: tl_region_open(node); break;
    default: execute_on_engine(node); break;
    }
}

void tl_sched_drain(struct tl_sched *sched) {
    while (sched->task_head < sched->task_count) {
        struct task task = sched->tasks[sched->task_head++];
        struct run *run = task.node ? task.node->instance->run : task.instance->run;
        if (run->phase != RUN_LIVE) continue; /* memory of ended runs stays until the end of the step */
        if (task.node)
            execute(task.node);
        else
            complete_instance(task.instance);
    }
    sched->task_head = sched->task_count = 0;
}

/* ---- outcomes of items ---- */

static void describe_inputs(const struct tl_item *item, struct tl_str *out) {
    for (size_t i = 0; i < item->input_count; i++) {
        const struct tl_value *value = item->inputs[i];
        char type[24];
        if (!value) continue;
        tl_str_printf(out, "%s%s: ", out->length ? ", " : "", item->input_names[i]);
        if (value->type.depth > 0)
            tl_str_printf(out, "%zu × %s", value->as.list.count, tl_type_print(tl_type_element(value->type), type));
        else if (value->type.base == TL_TYPE_TEXT)
            tl_str_printf(out, "text of %zu bytes", value->as.text.length);
        else if (value->type.base == TL_TYPE_KV)
            tl_str_printf(out, "kv of %u tokens", value->as.kv.tokens);
        else if (value->type.base == TL_TYPE_INDEX)
            tl_str_printf(out, "index \"%s\"", value->as.index.collection);
        else if (value->type.base == TL_TYPE_PROMPT) {
            size_t bytes = 0;
            for (size_t p = 0; p < value->as.prompt.count; p++) bytes += value->as.prompt.parts[p].length;
            tl_str_printf(out, "prompt of %zu bytes", bytes);
        } else
            tl_str_puts(out, tl_type_print(value->type, type));
    }
}

static void fail_for(struct node_state *node, const struct tl_item *item, enum tl_status status, const char *message) {
    struct run *run = node->instance->run;
    struct tl_str inputs = TL_STR_INIT;
    describe_inputs(item, &inputs);
    tl_run_fail(run, status == TL_OK ? TL_ERR_ENGINE : status, "%s (%s on \"%s\"): %s [%s]", item->label,
                tl_primitive_info(item->op)->name, run->plan->engines[node->plan->engine], message, inputs.data);
    tl_str_fini(&inputs);
}

/* Of an item that was given up: its node has gone on without it. */
static void drop_outcome(struct tl_sched *sched, struct sched_item *item, const struct tl_event *event) {
    TL_ASSERT(item->node->instance->run->sched == sched);
    if (event->kind == TL_EVENT_ITEM_PIECE) {
        tl_value_unref(event->as.piece.value);
        return;
    }
    tl_engine_item_back(item, NULL);
    if (event->kind == TL_EVENT_ITEM_DONE)
        for (size_t i = 0; i < event->as.done.count; i++) tl_value_unref(event->as.done.outputs[i]);
    tl_watch_forget(item);
}

void tl_item_outcome(struct tl_sched *sched, const struct tl_event *event) {
    struct sched_item *item = (struct sched_item *)(event->kind == TL_EVENT_ITEM_DONE     ? event->as.done.item
                                                    : event->kind == TL_EVENT_ITEM_FAILED ? event->as.failed.item
                                                                                          : event->as.piece.item);
    struct node_state *node = item->node;
    struct run *run = node->instance->run;
    if (item->abandoned) {
        drop_outcome(sched, item, event);
        return;
    }
    TL_ASSERT(run->sched == sched && node->phase == NODE_HELD);
    if (event->kind == TL_EVENT_ITEM_PIECE) {
        size_t position = event->as.piece.position;
        item->shown = true;
        if (run->phase == RUN_LIVE && tl_recall_position(node, &position))
            tl_instance_piece(node->instance, node->plan->first_output, position, event->as.piece.value);
        else
            tl_value_unref(event->as.piece.value);
        return;
    }
    tl_engine_item_back(item, event->kind == TL_EVENT_ITEM_DONE ? &event->as.done.usage : NULL);
    if (run->phase != RUN_LIVE) {
        if (event->kind == TL_EVENT_ITEM_DONE)
            for (size_t i = 0; i < event->as.done.count; i++) tl_value_unref(event->as.done.outputs[i]);
        tl_run_may_be_over(run);
        return;
    }
    if (event->kind == TL_EVENT_ITEM_FAILED) {
        sched->counters.items_failed++;
        item->shown |= event->as.failed.shown;
        if (tl_fault_retry(item, event->as.failed.status)) return;
        fail_for(node, &item->item, event->as.failed.status, event->as.failed.message);
        return;
    }
    sched->counters.items_done++;
    TL_ASSERT(event->as.done.count == node->plan->output_count);
    if (node->recall) {
        tl_recall_done(node, event->as.done.outputs[0]);
        return;
    }
    for (uint32_t i = 0; i < node->plan->output_count; i++)
        tl_instance_set_slot(node->instance, node->plan->first_output + i, event->as.done.outputs[i]);
    tl_node_complete(node);
}

/* memo_node.c: nodes whose results may come from the memo.
 *
 * A pure primitive over a list is looked up element by element, any other as a whole. What is known is taken; what
 * somebody computes just now is awaited; the rest makes the item that an engine gets. The node is complete when no
 * element is missing, so without an engine when all are known.
 *
 *     begin ──► all known: complete
 *           ──► an item of what is MINE ──► done: remembered, given to those who await it ──► missing: AWAITING
 *           ──► nothing is MINE: AWAITING ──► others' results ──► complete
 *                                         ──► a producer's run ends early: its elements are MINE now, an item of them
 *
 * A producer is always a node of a live run that has an item with an engine or in a queue, or is on the task list to get
 * one (`todo`): an element that a node takes over while its own item is out waits for that, no longer. Nodes never wait
 * for each other in a circle, because whoever produces something does not wait for anything before it. An item that an
 * urgent run awaits goes as early as that run's own would. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

static bool may_be_remembered(const struct node_state *node) {
    const struct tl_plan_node *plan = node->plan;
    const struct run *run = node->instance->run;
    if (!run->sched->memo || !run->plan->shares || !(plan->flags & TL_PURE) || plan->output_count != 1) return false;
    switch (plan->capability) {
    case TL_CAPABILITY_DOCUMENTS:
    case TL_CAPABILITY_EMBED:
    case TL_CAPABILITY_RERANK: return true;
    case TL_CAPABILITY_STORE: return !run->changes_store; /* then an index's version says too little about it */
    default: return false; /* an LLM's prefixes are kept by its engine */
    }
}

/* Predicted ms of one element when all of them are computed together. */
static double ms_of_element(const struct node_state *node, const struct tl_value *list, size_t count) {
    struct tl_sched *sched = node->instance->run->sched;
    uint64_t units = tl_value_units(list), tokens = tl_value_tokens(list);
    if (node->plan->op == TL_OP_SCORE)
        tokens += units * tl_value_tokens(tl_instance_slot(node->instance, node->plan->inputs[1])->value);
    struct tl_cost_work work = {.op = node->plan->op,
                                .units = units > UINT32_MAX ? UINT32_MAX : (uint32_t)units,
                                .tokens = tokens > UINT32_MAX ? UINT32_MAX : (uint32_t)tokens};
    return tl_cost_item(sched->config.cost, node->instance->run->plan->engines[node->plan->engine], &work) /
           (double)count;
}

/* ---- an item of what has to be computed ---- */

static struct tl_value *element(const struct recall *recall, uint32_t position) {
    return recall->whole ? recall->input : recall->input->as.list.items[position];
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

/* Turns `todo` into the item that is handed to an engine. What is taken over comes in the order of those who gave it up;
 * it is computed in that of the list, so that all of it is the list itself. */
static void compute(struct recall *recall) {
    struct node_state *node = recall->node;
    TL_ASSERT(!recall->part && recall->todo_count > 0);
    qsort(recall->todo, recall->todo_count, sizeof *recall->todo, ascending);
    memcpy(recall->out, recall->todo, recall->todo_count * sizeof *recall->out);
    recall->out_count = recall->todo_count;
    recall->todo_count = 0;
    if (recall->whole || recall->out_count == recall->count) {
        recall->part = tl_value_ref(recall->input);
    } else {
        struct tl_value **items = tl_mem_alloc(recall->out_count * sizeof *items);
        for (uint32_t i = 0; i < recall->out_count; i++) items[i] = tl_value_ref(element(recall, recall->out[i]));
        recall->part = tl_value_list(tl_type_element(recall->input->type), items, recall->out_count);
        tl_mem_free(items);
    }
    tl_engine_enqueue(node);
}

static void complete(struct recall *recall) {
    struct node_state *node = recall->node;
    struct body_instance *instance = node->instance;
    struct tl_sched *sched = instance->run->sched;
    uint16_t output = node->plan->first_output;
    TL_ASSERT(recall->missing == 0 && !recall->part);
    if (recall->known + recall->shared > 0) {
        struct tl_action *action = tl_sched_act(sched, TL_ACTION_RECALLED);
        action->as.recalled.run = instance->run->id;
        action->as.recalled.label = tl_run_keep_text(sched, tl_node_label(node));
        action->as.recalled.op = node->plan->op;
        action->as.recalled.ready = recall->begun;
        action->as.recalled.known = recall->known;
        action->as.recalled.shared = recall->shared;
        action->as.recalled.ms_saved = recall->ms * (recall->known + recall->shared);
    }
    struct tl_value *value = recall->whole ? recall->values[0]
                                           : tl_value_list(tl_type_element(instance->body->slots[output].type),
                                                           recall->values, recall->count);
    recall->count = 0; /* its references have gone into the value */
    tl_instance_set_slot(instance, output, value);
    tl_node_complete(node);
}

/* To regions that take list items as they come: those at the front of the list. */
static void pass_on(struct recall *recall) {
    struct node_state *node = recall->node;
    if (!node->plan->pieces || recall->whole) return;
    for (; recall->passed < recall->count && recall->values[recall->passed]; recall->passed++)
        if (node->instance->run->phase == RUN_LIVE) /* what a region begins may reach a limit */
            tl_instance_piece(node->instance, node->plan->first_output, recall->passed,
                              tl_value_ref(recall->values[recall->passed]));
}

/* Whatever comes next for a node without an item. */
static void go_on(struct recall *recall) {
    pass_on(recall);
    if (recall->node->instance->run->phase != RUN_LIVE) return;
    if (recall->todo_count > 0)
        compute(recall);
    else if (recall->missing == 0)
        complete(recall);
    else
        recall->node->phase = NODE_AWAITING;
}

void tl_recall_go_on(struct node_state *node) { go_on(node->recall); }

/* Takes value. */
static void put(struct recall *recall, uint32_t position, struct tl_value *value) {
    TL_ASSERT(!recall->values[position] && recall->missing > 0);
    recall->values[position] = value;
    recall->missing--;
}

/* A result that was computed for an equal element, as this one's; a new reference. Hits are equal for `score` when their
 * passages are: the score is taken over, where the passage was found stays this hit's own. */
static struct tl_value *as_own(const struct tl_value *own, struct tl_value *result) {
    if (own->type.base != TL_TYPE_HIT || own->type.depth != result->type.depth) return tl_value_ref(result);
    if (own->type.depth == 0) {
        struct tl_hit hit = own->as.hit;
        hit.scored = result->as.hit.scored;
        hit.score = result->as.hit.score;
        return tl_value_hit(&hit);
    }
    size_t count = own->as.list.count;
    if (count != result->as.list.count) return tl_value_ref(result); /* as the engine gave it */
    struct tl_value **items = tl_mem_alloc((count + 1) * sizeof *items);
    for (size_t i = 0; i < count; i++) items[i] = as_own(own->as.list.items[i], result->as.list.items[i]);
    struct tl_value *list = tl_value_list(tl_type_element(result->type), items, count);
    tl_mem_free(items);
    return list;
}

/* ---- a node becomes ready ---- */

static bool key_of_all(const struct node_state *node, struct tl_value *const *inputs, struct tl_memo_key *key) {
    const struct run *run = node->instance->run;
    struct tl_sched *sched = run->sched;
    const struct group *group = &sched->groups[run->groups[node->plan->engine]];
    const struct tl_engine_description *description = &sched->instances[group->instances[0]].description;
    struct tl_memo_about about = {
        .op = node->plan->op,
        .attributes = node->plan->attributes,
        .tenant = run->tenant,
        .engine = group->name,
        .model = description->model,
        .model_digest = description->model_digest,
        .inputs = inputs,
        .input_count = node->plan->input_count,
        .element = 0,
    };
    return tl_memo_about_key(sched->hash, &about, key);
}

static struct recall *create(struct node_state *node, struct tl_value *input, uint32_t count, bool whole) {
    struct run *run = node->instance->run;
    struct recall *recall = tl_arena_alloc(&run->arena, sizeof *recall);
    recall->node = node;
    recall->input = input;
    recall->whole = whole;
    recall->count = recall->missing = count;
    recall->values = tl_arena_alloc(&run->arena, count * sizeof(struct tl_value *));
    recall->claims = tl_arena_alloc(&run->arena, count * sizeof *recall->claims);
    recall->todo = tl_arena_alloc(&run->arena, count * sizeof *recall->todo);
    recall->out = tl_arena_alloc(&run->arena, count * sizeof *recall->out);
    recall->begun = run->sched->now;
    recall->next = run->recalls;
    run->recalls = recall;
    node->recall = recall;
    return recall;
}

bool tl_recall_begin(struct node_state *node) {
    struct run *run = node->instance->run;
    struct tl_sched *sched = run->sched;
    if (!may_be_remembered(node)) return false;
    enum { MOST_INPUTS = 4 };
    struct tl_value *inputs[MOST_INPUTS];
    if (node->plan->input_count > MOST_INPUTS) return false;
    for (uint32_t i = 0; i < node->plan->input_count; i++)
        inputs[i] = node->plan->inputs[i].slot == TL_PLAN_NO_SLOT
                        ? NULL
                        : tl_instance_slot(node->instance, node->plan->inputs[i])->value;
    const uint32_t lists = TL_BATCHABLE | TL_ELEMENTWISE;
    bool whole = (node->plan->flags & lists) != lists || inputs[0]->type.depth == 0;
    size_t count = whole ? 1 : inputs[0]->as.list.count;
    struct tl_memo_key about, *keys;
    if (count == 0 || count > UINT32_MAX || !key_of_all(node, inputs, &about)) return false;
    keys = tl_mem_alloc(count * sizeof *keys);
    for (size_t i = 0; i < count; i++) {
        if (tl_memo_element_key(sched->hash, &about, whole ? inputs[0] : inputs[0]->as.list.items[i], &keys[i]))
            continue;
        tl_mem_free(keys);
        return false;
    }
    struct recall *recall = create(node, inputs[0], (uint32_t)count, whole);
    recall->ms = ms_of_element(node, inputs[0], count);
    for (uint32_t i = 0; i < recall->count; i++) {
        struct tl_value *value;
        recall->claims[i].owner = recall;
        recall->claims[i].position = i;
        switch (tl_memo_claim(sched->memo, &keys[i], recall->ms, &recall->claims[i], &value)) {
        case TL_MEMO_KNOWN:
            recall->known++;
            put(recall, i, as_own(element(recall, i), value));
            tl_value_unref(value);
            break;
        case TL_MEMO_MINE: recall->todo[recall->todo_count++] = i; break;
        case TL_MEMO_AWAITED: {
            const struct recall *producer = tl_memo_producer(&recall->claims[i])->owner;
            if (producer != recall) tl_engine_hasten(producer->node, node);
            break;
        }
        }
    }
    tl_mem_free(keys);
    go_on(recall);
    return true;
}

/* ---- what engines say ---- */

struct tl_value *tl_recall_part(const struct node_state *node) { return node->recall ? node->recall->part : NULL; }

bool tl_recall_position(const struct node_state *node, size_t *position) {
    const struct recall *recall = node->recall;
    if (!recall || recall->whole) return true;
    if (*position >= recall->out_count) return false;
    *position = recall->out[*position];
    return true;
}

/* A result that `from` has computed, for somebody who waited for it. */
static void give(const struct recall *from, struct tl_memo_claim *claim, struct tl_value *value) {
    struct recall *recall = claim->owner;
    recall->shared++;
    put(recall, claim->position, as_own(element(recall, claim->position), value));
    bool enough = recall->missing == 0 || recall->node->plan->pieces;
    if (recall != from && enough && recall->node->phase == NODE_AWAITING) tl_node_ready(recall->node);
}

void tl_recall_done(struct node_state *node, struct tl_value *output) {
    struct recall *recall = node->recall;
    struct tl_sched *sched = node->instance->run->sched;
    tl_value_unref(recall->part);
    recall->part = NULL;
    if (!recall->whole && (output->type.depth == 0 || output->as.list.count != recall->out_count)) {
        tl_run_fail(node->instance->run, TL_ERR_ENGINE, "%s (%s): %zu results came for %u elements",
                    tl_node_label(node), tl_primitive_info(node->plan->op)->name, tl_value_units(output),
                    recall->out_count);
        tl_value_unref(output);
        return;
    }
    for (uint32_t i = 0; i < recall->out_count; i++) {
        struct tl_value *value = recall->whole ? output : output->as.list.items[i];
        put(recall, recall->out[i], tl_value_ref(value));
        struct tl_memo_claim *claim = tl_memo_produce(sched->memo, &recall->claims[recall->out[i]], value);
        for (struct tl_memo_claim *next; claim; claim = next) {
            next = claim->next;
            claim->next = claim->previous = NULL;
            give(recall, claim, value);
        }
    }
    recall->out_count = 0;
    tl_value_unref(output);
    go_on(recall);
}

/* ---- a run ends ---- */

/* A node of a live run computes what a run that has ended would have. */
static void take_over(struct tl_memo_claim *claim) {
    struct recall *recall = claim->owner;
    recall->todo[recall->todo_count++] = claim->position;
    if (recall->node->phase == NODE_AWAITING) tl_node_ready(recall->node); /* else its item is out */
}

void tl_recall_end_run(struct run *run) {
    struct tl_memo *memo = run->sched->memo;
    /* First those that wait, so that no heir is of this run. */
    for (int pass = 0; pass < 2; pass++)
        for (struct recall *recall = run->recalls; recall; recall = recall->next)
            for (uint32_t i = 0; i < recall->count; i++) {
                struct tl_memo_claim *claim = &recall->claims[i];
                if (!claim->entry || (pass == 0 && tl_memo_produces(claim))) continue;
                struct tl_memo_claim *heir = tl_memo_give_up(memo, claim);
                if (heir) take_over(heir);
            }
}

void tl_recall_free_run(struct run *run) {
    for (struct recall *recall = run->recalls; recall; recall = recall->next) {
        for (uint32_t i = 0; i < recall->count; i++) tl_value_unref(recall->values[i]);
        tl_value_unref(recall->part);
    }
}

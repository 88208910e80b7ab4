/* world_test_support.c: see the header. Future events stand in a binary heap by (time, number). */
#include "sched/world_test_support.h"

#include <limits.h>
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/mem.h"
#include "builtin/builtin.h"
#include "sched/sched_impl.h"

struct future {
    uint64_t at, number;
    enum tl_event_kind kind;
    struct tl_item *item;
    uint32_t instance, epoch;
    bool failing;
    size_t position; /* of a piece */
};

struct held {
    struct tl_item *item;
    struct tl_value **outputs; /* computed when the item is taken; NULL: it fails */
    size_t output_count;
    unsigned quanta;           /* left, of DEVICE and POOL instances; MUTE: none will do */
    bool cancelled;
    uint64_t hash;             /* of the item, when it was taken */
};

#define MUTE UINT_MAX

struct place { /* an instance */
    enum tl_executor executor;
    uint32_t epoch; /* how often it was lost: what it was about to say before is not said */
    bool busy;      /* a quantum is in flight */
    bool hung;      /* given up: when it answers it is closed and opened anew */
    struct held *held;
    size_t count, capacity;
};

struct world {
    struct world_options options;
    struct tl_sched *sched;
    struct tl_actions actions;
    struct place *places;
    size_t place_count;
    struct future *heap;
    size_t heap_count, heap_capacity;
    uint64_t now, number, random, wake, runs, trace;
    struct world_outcome *outcomes; /* by run id - 1 */
    size_t outcome_capacity;
    struct tl_str order, streams;
    const char *tenant;
    double priority;
    uint64_t units;
};

static uint64_t next_random(struct world *world) {
    return world->random = tl_hash_u64(world->random, UINT64_C(0x9e3779b97f4a7c15));
}

static bool earlier(const struct future *a, const struct future *b) {
    return a->at != b->at ? a->at < b->at : a->number < b->number;
}

static void schedule(struct world *world, struct future future) {
    future.epoch = world->places[future.instance].epoch;
    future.number = ++world->number;
    world->heap = tl_mem_grow(world->heap, &world->heap_capacity, world->heap_count + 1, sizeof *world->heap);
    size_t i = world->heap_count++;
    for (; i > 0 && earlier(&future, &world->heap[(i - 1) / 2]); i = (i - 1) / 2)
        world->heap[i] = world->heap[(i - 1) / 2];
    world->heap[i] = future;
}

static struct future pop(struct world *world) {
    struct future top = world->heap[0], last = world->heap[--world->heap_count];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= world->heap_count) break;
        if (child + 1 < world->heap_count && earlier(&world->heap[child + 1], &world->heap[child])) child++;
        if (!earlier(&world->heap[child], &last)) break;
        world->heap[i] = world->heap[child];
        i = child;
    }
    if (world->heap_count) world->heap[i] = last;
    return top;
}

/* ---- values that depend on inputs alone ---- */

struct tl_value *world_value(struct tl_type type, uint64_t seed) {
    if (type.depth > 0) {
        struct tl_value *items[8];
        size_t count = (size_t)(tl_hash_u64(seed, 1) % 5);
        for (size_t i = 0; i < count; i++) items[i] = world_value(tl_type_element(type), tl_hash_u64(seed, 2 + i));
        return tl_value_list(tl_type_element(type), items, count);
    }
    char text[32];
    int length = snprintf(text, sizeof text, "%016llx", (unsigned long long)seed);
    switch (type.base) {
    case TL_TYPE_CHUNK:
        return tl_value_chunk(&(struct tl_chunk){
            .id = text, .uri = "u", .title = "t", .heading = "", .text = text, .length = (size_t)length});
    case TL_TYPE_DOCUMENT:
        return tl_value_document(&(struct tl_document){.uri = text, .data = text, .length = (size_t)length});
    case TL_TYPE_HIT: {
        struct tl_value *chunk = world_value(TL_TYPE_OF(CHUNK, 0), seed);
        struct tl_value *hit = tl_value_hit(&(struct tl_hit){.chunk = chunk, .retrieval = (double)(seed % 1000)});
        tl_value_unref(chunk);
        return hit;
    }
    case TL_TYPE_VECTOR: return tl_value_vector(&(float){(float)(seed % 1024)}, 1);
    case TL_TYPE_NUMBER: return tl_value_number((double)(seed % 100000));
    case TL_TYPE_BOOL: return tl_value_bool(seed % 2);
    case TL_TYPE_JSON: return tl_value_json(json_integer((json_int_t)(seed % 1000000)));
    case TL_TYPE_PROMPT:
        return tl_value_prompt(&(struct tl_prompt_part){.role = TL_ROLE_USER, .text = text, .length = (size_t)length},
                               1);
    case TL_TYPE_KV: return tl_value_kv(NULL, (uint32_t)(seed % 1000));
    case TL_TYPE_INDEX: return tl_value_index(text, NULL, 0);
    case TL_TYPE_CONTROL: return tl_value_control();
    default: return tl_value_text(text, (size_t)length);
    }
}

/* With the numbers of vectors, which people are not shown. */
static json_t *to_json(const struct tl_value *value) {
    if (value->type.base != TL_TYPE_VECTOR) return tl_value_to_json(value);
    json_t *array = json_array();
    for (size_t i = 0; value->type.depth > 0 && i < value->as.list.count; i++)
        json_array_append_new(array, to_json(value->as.list.items[i]));
    for (size_t i = 0; value->type.depth == 0 && i < value->as.vector.dimension; i++)
        json_array_append_new(array, json_real((double)value->as.vector.data[i]));
    return array;
}

static uint64_t hash_value(const struct tl_value *value, uint64_t seed) {
    if (!value) return tl_hash_u64(0, seed);
    json_t *json = to_json(value);
    char *text = json_dumps(json, JSON_COMPACT | JSON_ENCODE_ANY | JSON_SORT_KEYS);
    uint64_t hash = tl_hash_string(text, seed);
    free(text);
    json_decref(json);
    return hash;
}

/* `first`: what stands for the first input. */
static uint64_t hash_with(const struct tl_item *item, const struct tl_value *first) {
    uint64_t hash = tl_attributes_hash(item->attributes, item->op);
    for (size_t i = 0; i < item->input_count; i++)
        hash = hash_value(i ? item->inputs[i] : first, tl_hash_string(item->input_names[i], hash));
    return hash;
}

static uint64_t hash_item(const struct tl_item *item) {
    return hash_with(item, item->input_count ? item->inputs[0] : NULL);
}

/* What a primitive that works on each list item by itself makes of the list: of each what it makes of that alone. */
static struct tl_value *each(const struct tl_item *item, struct tl_type type) {
    const struct tl_list *list = &item->inputs[0]->as.list;
    struct tl_value **results = tl_mem_zalloc((list->count + 1) * sizeof(struct tl_value *));
    for (size_t i = 0; i < list->count; i++)
        results[i] = world_value(tl_type_element(type), tl_hash_u64(hash_with(item, list->items[i]), 0));
    struct tl_value *value = tl_value_list(tl_type_element(type), results, list->count);
    tl_mem_free(results);
    return value;
}

/* The same hits with a score that follows from their passages and the item's other inputs. */
static struct tl_value *scored(const struct tl_item *item, const struct tl_value *hits) {
    if (hits->type.depth == 0) {
        struct tl_hit hit = hits->as.hit;
        hit.scored = true;
        hit.score = (double)(hash_with(item, hit.chunk) % 1000);
        return tl_value_hit(&hit);
    }
    const struct tl_list *list = &hits->as.list;
    struct tl_value **results = tl_mem_zalloc((list->count + 1) * sizeof(struct tl_value *));
    for (size_t i = 0; i < list->count; i++) results[i] = scored(item, list->items[i]);
    struct tl_value *value = tl_value_list(tl_type_element(hits->type), results, list->count);
    tl_mem_free(results);
    return value;
}

/* Prompts are only carried around here, so a digest of what would be filled in stands for them. */
static enum tl_status builtin(const struct tl_item *item, struct tl_value **outputs, size_t count,
                              struct tl_error *error) {
    if (item->op == TL_OP_RENDER)
        outputs[0] = world_value(TL_TYPE_OF(PROMPT, 0), hash_item(item));
    else if (item->op == TL_OP_CONDITION)
        outputs[0] = world_value(TL_TYPE_OF(BOOL, 0), hash_item(item));
    else
        return tl_builtin_execute(item, outputs, count, error);
    return TL_OK;
}

/* ---- engines ---- */

/* How long something takes that usually takes up to `usual`. */
static uint64_t delay(struct world *world, uint32_t instance, uint64_t usual) {
    uint64_t time = 1 + next_random(world) % usual;
    if (world->options.slow && instance % 2) time *= 10;
    if (world->options.hang > 0 && (double)(next_random(world) % 1000000) < world->options.hang * 1e6)
        time += UINT64_C(1000000);
    return time;
}

static void release(struct tl_resource *resource) { tl_mem_free(resource); }

/* A prefix or a collection that lives in the instance. */
static struct tl_value *resident(struct world *world, uint32_t instance, struct tl_type type, uint64_t seed) {
    struct tl_resource *resource = tl_mem_zalloc(sizeof *resource);
    resource->release = release;
    resource->owner = &world->places[instance];
    if (type.base == TL_TYPE_KV) return tl_value_kv(resource, (uint32_t)(seed % 1000));
    char text[32];
    snprintf(text, sizeof text, "%016llx", (unsigned long long)seed);
    return tl_value_index(text, resource, 0);
}

static struct tl_value *make(struct world *world, uint32_t instance, struct tl_type type, uint64_t seed) {
    bool resides = type.depth == 0 && (type.base == TL_TYPE_KV || type.base == TL_TYPE_INDEX);
    return world->options.keep && resides ? resident(world, instance, type, seed) : world_value(type, seed);
}

static void take(struct world *world, uint32_t instance, struct tl_item *item) {
    struct place *place = &world->places[instance];
    const struct tl_plan_node *plan = ((struct sched_item *)item)->node->plan;
    const struct tl_output *slots = ((struct sched_item *)item)->node->instance->body->slots;
    struct held held = {.item = item, .quanta = 1 + (unsigned)(next_random(world) % 3), .hash = hash_item(item)};
    bool failing = (double)(next_random(world) % 1000000) < world->options.failure * 1e6;
    bool mute = world->options.mute > 0 && (double)(next_random(world) % 1000000) < world->options.mute * 1e6;
    if (mute && place->executor != TL_EXECUTOR_LOOP) held.quanta = MUTE;
    const uint32_t lists = TL_BATCHABLE | TL_ELEMENTWISE;
    bool by_element = (plan->flags & lists) == lists && item->inputs[0]->type.depth > 0;
    world->units += item->input_count && item->inputs[0] ? tl_value_units(item->inputs[0]) : 1;
    if (!failing) {
        held.output_count = plan->output_count;
        held.outputs = tl_mem_zalloc((held.output_count + 1) * sizeof *held.outputs);
        for (size_t i = 0; i < held.output_count; i++)
            held.outputs[i] =
                item->op == TL_OP_SCORE ? scored(item, item->inputs[0])
                : by_element            ? each(item, slots[plan->first_output + i].type)
                                        : make(world, instance, slots[plan->first_output + i].type, tl_hash_u64(held.hash, i));
    }
    place->held = tl_mem_grow(place->held, &place->capacity, place->count + 1, sizeof *place->held);
    place->held[place->count++] = held;
    tl_str_printf(&world->order, "%s%s", world->order.length ? " " : "", item->label);
    if (item->stream) tl_str_printf(&world->streams, "%s%s", world->streams.length ? " " : "", item->label);
    if (place->executor != TL_EXECUTOR_LOOP) return;
    uint64_t at = world->now + delay(world, instance, 1000);
    if (item->pieces && !failing && held.outputs[0]->type.depth > 0)
        for (size_t i = 0; i < held.outputs[0]->as.list.count; i++, at += 1 + next_random(world) % 100)
            schedule(world,
                     (struct future){
                         .at = at, .kind = TL_EVENT_ITEM_PIECE, .item = item, .instance = instance, .position = i});
    schedule(world, (struct future){.at = at,
                                    .kind = failing ? TL_EVENT_ITEM_FAILED : TL_EVENT_ITEM_DONE,
                                    .item = item,
                                    .instance = instance});
}

static struct held *find_held(struct world *world, uint32_t instance, const struct tl_item *item) {
    struct place *place = &world->places[instance];
    for (size_t i = 0; i < place->count; i++)
        if (place->held[i].item == item) return &place->held[i];
    return NULL;
}

static void step(struct world *world, struct tl_event *event);

static void report(struct world *world, uint32_t instance, struct held *found) {
    struct place *place = &world->places[instance];
    struct held held = *found;
    *found = place->held[--place->count];
    if (place->hung && held.hash != hash_item(held.item)) /* what was lent to it is still what it was */
        fail_msg("seed %llu: an item changed while it was lent", (unsigned long long)world->options.seed);
    struct tl_event event = {.now = world->now};
    if (held.outputs) {
        event.kind = TL_EVENT_ITEM_DONE;
        event.as.done.item = held.item;
        event.as.done.outputs = held.outputs;
        event.as.done.count = held.output_count;
    } else {
        event.kind = TL_EVENT_ITEM_FAILED;
        event.as.failed.item = held.item;
        event.as.failed.status = held.cancelled ? TL_ERR_CANCELLED : TL_ERR_ENGINE;
        event.as.failed.message = held.cancelled ? "cancelled" : "injected failure";
    }
    step(world, &event);
    tl_mem_free(held.outputs);
}

static void send_piece(struct world *world, struct held *held, size_t position) {
    struct tl_event event = {.kind = TL_EVENT_ITEM_PIECE, .now = world->now};
    event.as.piece.item = held->item;
    event.as.piece.position = position;
    event.as.piece.value = tl_value_ref(held->outputs[0]->as.list.items[position]);
    step(world, &event);
}

/* An instance that was given up has answered: what it still holds fails when it is closed. */
static void reopen(struct world *world, uint32_t instance) {
    struct place *place = &world->places[instance];
    while (place->count > 0) {
        struct held *held = &place->held[place->count - 1];
        for (size_t i = 0; i < held->output_count; i++) tl_value_unref(held->outputs[i]);
        tl_mem_free(held->outputs);
        held->outputs = NULL;
        held->cancelled = true;
        report(world, instance, held);
    }
    place->hung = false;
    place->epoch++;
    world_find(world, instance);
}

/* The end of a quantum: items whose quanta are over are reported in random order, then STEP_DONE. */
static void finish_quantum(struct world *world, uint32_t instance) {
    struct place *place = &world->places[instance];
    for (size_t i = 0; i < place->count; i++)
        if (place->held[i].quanta > 0 && place->held[i].quanta != MUTE) place->held[i].quanta--;
    place->busy = false;
    size_t ready = 0;
    do {
        ready = 0;
        size_t pick = SIZE_MAX;
        for (size_t i = 0; i < place->count; i++)
            if (place->held[i].quanta == 0 && next_random(world) % ++ready == 0) pick = i;
        if (pick == SIZE_MAX) break;
        struct tl_item *item = place->held[pick].item;
        if (item->pieces && place->held[pick].outputs && place->held[pick].outputs[0]->type.depth > 0) {
            size_t count = place->held[pick].outputs[0]->as.list.count;
            for (size_t i = 0; i < count; i++)
                if (next_random(world) % 4) /* an engine may skip announcing the last ones */
                    send_piece(world, find_held(world, instance, item), i);
                else
                    break;
        }
        report(world, instance, find_held(world, instance, item));
    } while (ready > 0);
    struct tl_event event = {.kind = TL_EVENT_STEP_DONE, .now = world->now};
    event.as.step.instance = instance;
    for (size_t i = 0; i < place->count; i++) event.as.step.more |= place->held[i].quanta != MUTE;
    step(world, &event);
    if (place->hung) reopen(world, instance);
}

/* ---- actions ---- */

static void finished(struct world *world, const struct tl_action *action) {
    struct world_outcome *outcome = &world->outcomes[action->as.finished.run - 1];
    assert_false(outcome->finished);
    outcome->finished = true;
    outcome->status = action->as.finished.status;
    outcome->message = tl_mem_strdup(action->as.finished.message);
    outcome->at = world->now;
    outcome->retry_after_ms = action->as.finished.retry_after_ms;
    if (outcome->status != TL_OK) return;
    json_t *all = json_array();
    for (size_t i = 0; i < action->as.finished.output_count; i++) {
        json_array_append_new(all, to_json(action->as.finished.outputs[i]));
        tl_value_unref(action->as.finished.outputs[i]);
    }
    outcome->outputs = json_dumps(all, JSON_COMPACT | JSON_SORT_KEYS);
    json_decref(all);
}

static void act(struct world *world, const struct tl_action *action) {
    switch (action->kind) {
    case TL_ACTION_RUN: {
        uint32_t instance = action->as.run.instance;
        for (size_t i = 0; i < action->as.run.count; i++) take(world, instance, action->as.run.items[i]);
        world->trace = tl_hash_u64(action->as.run.count, tl_hash_u64(instance, world->trace));
        if (world->places[instance].executor == TL_EXECUTOR_LOOP) break;
        world->places[instance].busy = true;
        schedule(world, (struct future){.at = world->now + delay(world, instance, 1000),
                                        .kind = TL_EVENT_STEP_DONE,
                                        .instance = instance});
        break;
    }
    case TL_ACTION_CANCEL_ITEM: {
        struct held *held = find_held(world, action->as.cancel.instance, action->as.cancel.item);
        if (!held) break; /* the instance was lost */
        held->cancelled = true;
        if (held->quanta == MUTE)
            schedule(world, (struct future){.at = world->now + 1,
                                            .kind = TL_EVENT_ITEM_DONE,
                                            .item = held->item,
                                            .instance = action->as.cancel.instance});
        else
            held->quanta = held->quanta ? 1 : 0;
        break;
    }
    case TL_ACTION_INSTANCE_HUNG: {
        struct place *place = &world->places[action->as.hung.instance];
        place->hung = true;
        if (!place->busy)
            schedule(world, (struct future){
                                .at = world->now + 1, .kind = TL_EVENT_TIME, .instance = action->as.hung.instance});
        break;
    }
    case TL_ACTION_RUN_FINISHED:
        world->trace = tl_hash_u64(action->as.finished.run, world->trace);
        finished(world, action);
        break;
    case TL_ACTION_RECALLED: break;
    case TL_ACTION_WAKE: world->wake = action->as.wake.at; break;
    }
}

static void step(struct world *world, struct tl_event *event) {
    world->trace = tl_hash_u64(event->kind, tl_hash_u64(event->now, world->trace));
    tl_sched_step(world->sched, event, &world->actions);
    for (size_t i = 0; i < world->actions.count; i++) act(world, &world->actions.items[i]);
    if (!world->options.check) return;
    struct tl_str why = TL_STR_INIT;
    if (!tl_sched_is_valid(world->sched, &why))
        fail_msg("seed %llu, after event %d: %s", (unsigned long long)world->options.seed, (int)event->kind, why.data);
    tl_str_fini(&why);
}

/* ---- public ---- */

struct world *world_create(const struct world_options *options) {
    struct world *world = tl_mem_zalloc(sizeof *world);
    world->options = *options;
    world->random = tl_hash_u64(options->seed, 7);
    world->now = 1;
    tl_str_init(&world->order);
    tl_str_init(&world->streams);
    tl_actions_init(&world->actions);
    struct tl_sched_config config = {.policy = options->policy,
                                     .builtin = builtin,
                                     .memo_bytes = options->memo_bytes,
                                     .retries = options->retries,
                                     .hang_after_ms = options->hang_after_ms,
                                     .cost = options->cost,
                                     .limits = options->limits};
    world->sched = tl_sched_create(&config);
    unsigned devices = options->devices ? options->devices : 1;
    for (unsigned d = 0; d < devices; d++) tl_sched_add_device(world->sched, "cpu");
    unsigned instances = options->instances ? options->instances : 1;
    world->place_count = options->engine_count * instances;
    world->places = tl_mem_zalloc((world->place_count + 1) * sizeof *world->places);
    for (size_t e = 0; e < options->engine_count; e++) {
        enum tl_executor executor = (enum tl_executor)(next_random(world) % 3);
        for (unsigned i = 0; i < instances; i++) {
            struct tl_engine_description description = {.capabilities = UINT32_MAX,
                                                        .executor = executor,
                                                        .batch_units = options->batch_units,
                                                        .model = "",
                                                        .model_digest = ""};
            uint32_t device =
                executor == TL_EXECUTOR_DEVICE ? (uint32_t)(next_random(world) % devices) : TL_SCHED_NO_DEVICE;
            uint32_t number = tl_sched_add_instance(world->sched, options->engines[e], &description, device,
                                                    &world->places[e * instances + i]);
            world->places[number].executor = executor;
        }
    }
    for (unsigned i = 0; i < options->losses; i++) {
        uint32_t instance = (uint32_t)(next_random(world) % world->place_count);
        uint64_t at = 1 + next_random(world) % 20000, back = at + 1 + next_random(world) % 5000;
        schedule(world, (struct future){.at = at, .kind = TL_EVENT_INSTANCE_LOST, .instance = instance});
        schedule(world, (struct future){.at = back, .kind = TL_EVENT_INSTANCE_BACK, .instance = instance});
    }
    return world;
}

void world_destroy(struct world *world) {
    for (size_t i = 0; i < world->place_count; i++) {
        assert_int_equal(world->places[i].count, 0);
        tl_mem_free(world->places[i].held);
    }
    for (uint64_t i = 0; i < world->runs; i++) {
        assert_true(world->outcomes[i].finished);
        tl_mem_free(world->outcomes[i].message);
        free(world->outcomes[i].outputs);
    }
    tl_mem_free(world->outcomes);
    tl_mem_free(world->places);
    tl_mem_free(world->heap);
    tl_actions_fini(&world->actions);
    tl_str_fini(&world->order);
    tl_str_fini(&world->streams);
    tl_sched_destroy(world->sched);
    tl_mem_free(world);
}

uint64_t world_submit(struct world *world, struct tl_plan *plan, struct tl_value **inputs, size_t count,
                      uint64_t deadline) {
    world->outcomes = tl_mem_grow(world->outcomes, &world->outcome_capacity, world->runs + 1, sizeof *world->outcomes);
    world->outcomes[world->runs] = (struct world_outcome){0};
    struct tl_event event = {.kind = TL_EVENT_RUN_SUBMITTED, .now = world->now};
    event.as.submitted.run = ++world->runs;
    event.as.submitted.plan = tl_plan_ref(plan);
    event.as.submitted.inputs = inputs;
    event.as.submitted.input_count = count;
    event.as.submitted.deadline = deadline;
    event.as.submitted.tenant = world->tenant;
    event.as.submitted.priority = world->priority;
    step(world, &event);
    return world->runs;
}

void world_set_tenant(struct world *world, const char *tenant) { world->tenant = tenant; }

void world_set_priority(struct world *world, double priority) { world->priority = priority; }

void world_lose(struct world *world, uint32_t instance) {
    struct place *place = &world->places[instance];
    struct tl_event event = {.kind = TL_EVENT_INSTANCE_LOST, .now = world->now};
    place->epoch++;
    for (size_t i = 0; i < place->count; i++) {
        for (size_t k = 0; k < place->held[i].output_count; k++) tl_value_unref(place->held[i].outputs[k]);
        tl_mem_free(place->held[i].outputs);
    }
    place->count = 0;
    place->hung = place->busy = false;
    event.as.step.instance = instance;
    step(world, &event);
}

void world_find(struct world *world, uint32_t instance) {
    struct tl_event event = {.kind = TL_EVENT_INSTANCE_BACK, .now = world->now};
    event.as.step.instance = instance;
    step(world, &event);
}

void world_cancel(struct world *world, uint64_t run) {
    struct tl_event event = {.kind = TL_EVENT_CANCEL, .now = world->now};
    event.as.cancel.run = run;
    step(world, &event);
}

bool world_advance(struct world *world) {
    bool timer_first = world->wake && (world->heap_count == 0 || world->wake < world->heap[0].at);
    if (timer_first) {
        world->now = world->wake > world->now ? world->wake : world->now;
        struct tl_event event = {.kind = TL_EVENT_TIME, .now = world->now};
        step(world, &event);
        return true;
    }
    if (world->heap_count == 0) return false;
    struct future future = pop(world);
    world->now = future.at > world->now ? future.at : world->now;
    if (future.kind == TL_EVENT_INSTANCE_LOST)
        world_lose(world, future.instance);
    else if (future.kind == TL_EVENT_INSTANCE_BACK)
        world_find(world, future.instance);
    else if (future.epoch != world->places[future.instance].epoch)
        return true; /* it was lost meanwhile */
    else if (future.kind == TL_EVENT_TIME)
        reopen(world, future.instance);
    else if (future.kind == TL_EVENT_STEP_DONE)
        finish_quantum(world, future.instance);
    else if (future.kind == TL_EVENT_ITEM_PIECE)
        send_piece(world, find_held(world, future.instance, future.item), future.position);
    else
        report(world, future.instance, find_held(world, future.instance, future.item));
    return true;
}

void world_run(struct world *world) { while (world_advance(world)); }

uint64_t world_now(const struct world *world) { return world->now; }

const struct world_outcome *world_result(const struct world *world, uint64_t run) { return &world->outcomes[run - 1]; }

const struct tl_sched *world_sched(const struct world *world) { return world->sched; }

uint64_t world_trace(const struct world *world) { return world->trace; }

const char *world_order(const struct world *world) { return world->order.data; }

uint64_t world_units(const struct world *world) { return world->units; }

const char *world_streams(const struct world *world) { return world->streams.data; }

/* region.c: regions at run time: which body instances exist, and what becomes of their results.
 *
 * map     one instance per item (or slice), all independent; its outputs are lists in the order of items
 * fold    one instance per item, each created with the item; `carried` of instance i is the result of i - 1
 * reduce  a tree by position: group g of level l + 1 combines results g*k .. g*k + k - 1 of level l as soon as
 *         all of them are there; a group of one passes through. So the shape depends on the number of items
 *         alone, never on the order in which results arrive
 * cond    one instance of the body that the predicate chooses
 * loop    one instance at a time, until `again` is false or the limit is reached
 *
 * A region opens as soon as its items are there. Only a streamed map opens before its list is whole; a fold and a
 * reduce open before `initial` is there, which is the first instance's `carried`, or the result when there are no items.
 *
 * What follows a region may count on all its inputs and all that the region's body uses being there: a search in a lane
 * comes after the ingest, and so does what comes after the lanes. A region that opened without an input is complete only
 * when that has come, and a map, fold or reduce that begins no instance only when what its body would have used is there.
 * A cond promises it for the branch that it takes alone.
 */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "sched/sched_impl.h"

/* Results of one level of a reduce; level 0 are the items themselves. */
struct reduce_level {
    struct tl_value **values; /* references */
    size_t count;             /* of this level, once known (the list of items is whole before a reduce opens) */
};

enum { INPUT_ITEMS = 0,
       INPUT_INITIAL = 1 };

enum { PARAMETER_ITEM = 0,
       PARAMETER_INDEX = 1,
       PARAMETER_CARRIED = 2 };

static struct tl_value *input_value(const struct node_state *node, uint32_t input) {
    return tl_instance_slot(node->instance, node->plan->inputs[input])->value;
}

static struct tl_type output_element(const struct node_state *node, uint32_t output) {
    return tl_type_element(node->instance->body->slots[node->plan->first_output + output].type);
}

/* Completes the region node with one value per output; references are taken. */
static void complete_region(struct node_state *node, struct tl_value **outputs) {
    for (uint32_t i = 0; i < node->plan->output_count; i++)
        tl_instance_set_slot(node->instance, node->plan->first_output + i, outputs[i]);
    tl_node_complete(node);
}

static struct tl_value *result_of(struct body_instance *instance, uint32_t result) {
    return tl_instance_slot(instance, instance->body->results[result])->value;
}

bool tl_region_opens_without(const struct tl_plan_node *plan, uint32_t input) {
    if (plan->op == TL_OP_FOLD || plan->op == TL_OP_REDUCE) return input == INPUT_INITIAL;
    return plan->streamed && input == INPUT_ITEMS;
}

/* An input that the region opened without is told to it by tl_region_take when it comes. */
static void subscribe(struct node_state *node, uint32_t input) {
    struct slot *slot = tl_instance_slot(node->instance, node->plan->inputs[input]);
    struct subscriber *subscriber = tl_arena_alloc(&node->instance->run->arena, sizeof *subscriber);
    subscriber->region = node;
    subscriber->next = slot->subscribers;
    slot->subscribers = subscriber;
}

/* All instances of the region are complete. True when it must still wait: for inputs that it opened without and, when
 * it began no instance, for what its body would have used. It is opened again then. */
static bool end_waits(struct node_state *node) {
    struct region *region = node->region;
    const struct tl_plan_node *plan = node->plan;
    if (region->ending) return false; /* opened again */
    region->ending = true;
    for (uint32_t i = 0; i < plan->input_count; i++)
        if (tl_region_opens_without(plan, i) && tl_instance_wait(node->instance, plan->inputs[i], node, NULL))
            node->missing++;
    for (uint32_t i = 0; region->begun == 0 && i < plan->capture_count; i++)
        if (tl_instance_wait(node->instance, plan->captures[i], node, NULL)) node->missing++;
    if (node->missing > 0) node->phase = NODE_WAITING;
    return node->missing > 0;
}

/* ---- map ---- */

static int64_t slice_of(const struct node_state *node) {
    return tl_attributes_integer(node->plan->attributes, "slice", 0);
}

static void map_reserve(struct node_state *node, size_t count) {
    struct region *region = node->region;
    if (count <= region->result_capacity) return;
    size_t rows = node->plan->output_count;
    size_t capacity = region->result_capacity + region->result_capacity / 2;
    if (capacity < count) capacity = count;
    struct tl_value **grown = tl_mem_zalloc((rows ? rows : 1) * capacity * sizeof *grown);
    for (size_t r = 0; r < rows && region->result_capacity; r++)
        memcpy(grown + r * capacity, region->results + r * region->result_capacity,
               region->result_capacity * sizeof *grown);
    tl_mem_free(region->results);
    region->results = grown;
    region->result_capacity = capacity;
}

/* Takes item. */
static void map_begin(struct node_state *node, size_t position, struct tl_value *item) {
    struct body_instance *instance =
        tl_instance_create(node->instance->run, node->plan->bodies[0], node->instance, node, 0, (uint32_t)position);
    if (!instance) {
        tl_value_unref(item);
        return;
    }
    node->region->begun++;
    tl_instance_set_slot(instance, PARAMETER_ITEM, item);
    tl_instance_set_slot(instance, PARAMETER_INDEX, tl_value_number((double)position));
    tl_instance_start(instance);
}

static void map_maybe_complete(struct node_state *node) {
    struct region *region = node->region;
    if (!region->closed || region->finished < region->total) return;
    if (end_waits(node)) return;
    uint32_t count = node->plan->output_count;
    struct tl_value **outputs = tl_mem_zalloc((count + 1) * sizeof *outputs);
    for (uint32_t r = 0; r < count; r++)
        outputs[r] =
            tl_value_list(output_element(node, r), region->results + r * region->result_capacity, region->total);
    tl_mem_free(region->results); /* its references went into the lists */
    region->results = NULL;
    region->result_capacity = 0;
    complete_region(node, outputs);
    tl_mem_free(outputs);
}

static struct tl_value *slice_item(struct tl_value *list, size_t position, size_t slice) {
    size_t begin = position * slice;
    size_t count = list->as.list.count - begin < slice ? list->as.list.count - begin : slice;
    for (size_t i = 0; i < count; i++) tl_value_ref(list->as.list.items[begin + i]);
    return tl_value_list(tl_type_element(list->type), list->as.list.items + begin, count);
}

static void map_close_list(struct node_state *node, struct tl_value *list) {
    struct region *region = node->region;
    size_t slice = (size_t)slice_of(node);
    size_t count = list->as.list.count;
    region->list = list;
    region->closed = true;
    region->total = slice ? (count + slice - 1) / slice : count;
    if (region->begun > region->total) {
        tl_run_fail(node->instance->run, TL_ERR_ENGINE,
                    "%s: %zu list items were passed on early but the whole list has %zu", tl_node_label(node),
                    region->begun, region->total);
        return;
    }
    map_reserve(node, region->total);
    while (region->begun < region->total && node->instance->run->phase == RUN_LIVE) {
        size_t position = region->begun;
        map_begin(node, position,
                  slice ? slice_item(list, position, slice) : tl_value_ref(list->as.list.items[position]));
    }
    if (node->instance->run->phase == RUN_LIVE) map_maybe_complete(node);
}

/* Pieces begin in order of position: what comes early waits in the slot until the list is whole. */
void tl_region_piece(struct node_state *node, size_t position, struct tl_value *value) {
    if (node->plan->op != TL_OP_MAP || position != node->region->begun || slice_of(node) > 0) return;
    map_reserve(node, position + 1);
    map_begin(node, position, tl_value_ref(value));
}

static void map_open(struct node_state *node) {
    struct slot *slot = tl_instance_slot(node->instance, node->plan->inputs[INPUT_ITEMS]);
    if (slot->ready) {
        map_close_list(node, slot->value);
        return;
    }
    TL_ASSERT(node->plan->streamed);
    subscribe(node, INPUT_ITEMS);
    for (size_t i = 0; i < slot->piece_count && slot->pieces[i]; i++) tl_region_piece(node, i, slot->pieces[i]);
}

static void map_instance_complete(struct body_instance *instance) {
    struct node_state *node = instance->owner;
    struct region *region = node->region;
    for (uint32_t r = 0; r < node->plan->output_count; r++) {
        struct tl_value *value = tl_value_ref(result_of(instance, r));
        region->results[r * region->result_capacity + instance->index] = value;
        if (node->plan->pieces)
            tl_instance_piece(node->instance, node->plan->first_output + r, instance->index, tl_value_ref(value));
    }
    region->finished++;
    map_maybe_complete(node);
}

/* ---- fold ---- */

static void fold_maybe_complete(struct node_state *node) {
    struct region *region = node->region;
    if (region->finished < region->total || end_waits(node)) return;
    struct tl_value *output = region->total > 0 ? region->results[0] : tl_value_ref(input_value(node, INPUT_INITIAL));
    if (region->total > 0) region->results[0] = NULL;
    complete_region(node, &output);
}

static void fold_begin(struct node_state *node, struct tl_value *list, size_t position) {
    struct region *region = node->region;
    size_t slice = (size_t)slice_of(node);
    struct body_instance *instance = tl_instance_create(node->instance->run, node->plan->bodies[0], node->instance,
                                                        node, 0, (uint32_t)position);
    if (!instance) return;
    region->instances[position] = instance;
    region->begun++;
    tl_instance_set_slot(instance, PARAMETER_ITEM,
                         slice ? slice_item(list, position, slice) : tl_value_ref(list->as.list.items[position]));
    tl_instance_set_slot(instance, PARAMETER_INDEX, tl_value_number((double)position));
    struct slot *initial = tl_instance_slot(node->instance, node->plan->inputs[INPUT_INITIAL]);
    if (position == 0 && initial->ready)
        tl_instance_set_slot(instance, PARAMETER_CARRIED, tl_value_ref(initial->value));
    else if (position == 0)
        subscribe(node, INPUT_INITIAL);
    tl_instance_start(instance);
}

static void fold_open(struct node_state *node) {
    struct region *region = node->region;
    struct run *run = node->instance->run;
    struct tl_value *list = input_value(node, INPUT_ITEMS);
    size_t slice = (size_t)slice_of(node), count = list->as.list.count;
    if (!region->closed) {
        region->closed = true;
        region->total = slice ? (count + slice - 1) / slice : count;
        region->instances = tl_arena_alloc(&run->arena, region->total * sizeof(struct body_instance *));
        for (size_t i = 0; i < region->total && run->phase == RUN_LIVE; i++) fold_begin(node, list, i);
    }
    if (run->phase == RUN_LIVE) fold_maybe_complete(node);
}

static void fold_instance_complete(struct body_instance *instance) {
    struct node_state *node = instance->owner;
    struct region *region = node->region;
    struct tl_value *carried = tl_value_ref(result_of(instance, 0));
    region->finished++;
    if (instance->index + 1 < region->total) {
        tl_instance_set_slot(region->instances[instance->index + 1], PARAMETER_CARRIED, carried);
    } else {
        /* An instance may be complete before the ones in front of it only if its result does not hang on
         * `carried`; the region is complete when all are. */
        region->results = tl_mem_zalloc(sizeof *region->results);
        region->results[0] = carried;
    }
    fold_maybe_complete(node);
}

/* ---- reduce ---- */

static size_t reduce_arity(const struct node_state *node) {
    int64_t arity = tl_attributes_integer(node->plan->attributes, "arity", 2);
    return arity < 2 ? 2 : (size_t)arity;
}

/* Called when the last level's only value is there, or there are no items. */
static void reduce_complete(struct node_state *node) {
    struct region *region = node->region;
    if (end_waits(node)) return;
    struct tl_value *output;
    if (region->level_count > 0) {
        struct reduce_level *last = &region->levels[region->level_count - 1];
        output = last->values[0];
        last->values[0] = NULL;
    } else {
        output = tl_value_ref(input_value(node, INPUT_INITIAL));
    }
    complete_region(node, &output);
}

/* Takes value. */
static void reduce_offer(struct node_state *node, size_t level, size_t position, struct tl_value *value) {
    struct region *region = node->region;
    size_t arity = reduce_arity(node);
    for (;;) {
        struct reduce_level *at = &region->levels[level];
        at->values[position] = value;
        if (at->count == 1) {
            reduce_complete(node);
            return;
        }
        size_t group = position / arity, begin = group * arity;
        size_t size = at->count - begin < arity ? at->count - begin : arity;
        for (size_t i = 0; i < size; i++)
            if (!at->values[begin + i]) return;
        if (size > 1) {
            struct body_instance *instance = tl_instance_create(node->instance->run, node->plan->bodies[0],
                                                                node->instance, node, (uint32_t)level, (uint32_t)group);
            if (!instance) return;
            region->begun++;
            struct tl_type element = node->instance->body->slots[node->plan->first_output].type;
            tl_instance_set_slot(instance, 0, tl_value_list(element, at->values + begin, size));
            memset(at->values + begin, 0, size * sizeof *at->values); /* references went into the list */
            tl_instance_set_slot(instance, 1, tl_value_number((double)level));
            tl_instance_start(instance);
            return;
        }
        value = at->values[begin];
        at->values[begin] = NULL;
        level++;
        position = group;
    }
}

static void reduce_begin(struct node_state *node) {
    struct region *region = node->region;
    struct run *run = node->instance->run;
    struct tl_value *list = input_value(node, INPUT_ITEMS);
    size_t count = list->as.list.count, arity = reduce_arity(node);
    region->closed = true;
    region->total = count;
    for (size_t n = count; n > 0; n = (n + arity - 1) / arity) {
        region->levels =
            tl_mem_grow(region->levels, &region->level_capacity, region->level_count + 1, sizeof *region->levels);
        struct reduce_level *level = &region->levels[region->level_count++];
        level->values = tl_arena_alloc(&run->arena, n * sizeof(struct tl_value *));
        level->count = n;
        if (n == 1) break;
    }
    for (size_t i = 0; i < count && run->phase == RUN_LIVE; i++)
        reduce_offer(node, 0, i, tl_value_ref(list->as.list.items[i]));
}

static void reduce_open(struct node_state *node) {
    bool again = node->region->closed;
    if (!again) reduce_begin(node);
    if (again || node->region->total == 0) reduce_complete(node);
}

/* ---- loop ---- */

/* Takes carried. */
static void loop_begin(struct node_state *node, uint32_t index, struct tl_value *carried) {
    struct body_instance *instance =
        tl_instance_create(node->instance->run, node->plan->bodies[0], node->instance, node, 0, index);
    if (!instance) {
        tl_value_unref(carried);
        return;
    }
    node->region->begun++;
    tl_instance_set_slot(instance, 0, carried);
    tl_instance_set_slot(instance, 1, tl_value_number((double)index));
    tl_instance_start(instance);
}

static void loop_instance_complete(struct body_instance *instance) {
    struct node_state *node = instance->owner;
    int64_t limit = tl_attributes_integer(node->plan->attributes, "limit", 8);
    struct tl_value *carried = tl_value_ref(result_of(instance, 0));
    bool again = result_of(instance, 1)->as.boolean;
    node->region->finished++;
    if (again && (int64_t)instance->index + 1 < limit)
        loop_begin(node, instance->index + 1, carried);
    else
        complete_region(node, &carried);
}

/* ---- cond ---- */

static void cond_open(struct node_state *node) {
    const struct tl_plan_body *body = node->plan->bodies[input_value(node, 0)->as.boolean ? 0 : 1];
    struct body_instance *instance = tl_instance_create(node->instance->run, body, node->instance, node, 0, 0);
    if (!instance) return;
    node->region->begun++;
    tl_instance_start(instance);
}

static void cond_instance_complete(struct body_instance *instance) {
    struct node_state *node = instance->owner;
    uint32_t count = node->plan->output_count;
    struct tl_value **outputs = tl_mem_zalloc((count + 1) * sizeof *outputs);
    for (uint32_t r = 0; r < count; r++) outputs[r] = tl_value_ref(result_of(instance, r));
    complete_region(node, outputs);
    tl_mem_free(outputs);
}

/* ---- all of them ---- */

void tl_region_open(struct node_state *node) {
    node->phase = NODE_OPEN;
    if (!node->region) node->region = tl_arena_alloc(&node->instance->run->arena, sizeof *node->region);
    switch (node->plan->op) {
    case TL_OP_MAP: map_open(node); break;
    case TL_OP_FOLD: fold_open(node); break;
    case TL_OP_REDUCE: reduce_open(node); break;
    case TL_OP_COND: cond_open(node); break;
    case TL_OP_LOOP: loop_begin(node, 0, tl_value_ref(input_value(node, 0))); break;
    default: TL_BUG("%s is not a region", tl_primitive_info(node->plan->op)->name);
    }
}

void tl_region_take(struct node_state *node, struct tl_value *value) {
    if (node->plan->op == TL_OP_MAP)
        map_close_list(node, value);
    else
        tl_instance_set_slot(node->region->instances[0], PARAMETER_CARRIED, tl_value_ref(value));
}

void tl_region_instance_complete(struct body_instance *instance) {
    switch (instance->owner->plan->op) {
    case TL_OP_MAP: map_instance_complete(instance); break;
    case TL_OP_FOLD: fold_instance_complete(instance); break;
    case TL_OP_REDUCE:
        instance->owner->region->finished++;
        reduce_offer(instance->owner, instance->level + 1, instance->index, tl_value_ref(result_of(instance, 0)));
        break;
    case TL_OP_COND: cond_instance_complete(instance); break;
    case TL_OP_LOOP: loop_instance_complete(instance); break;
    default: TL_BUG("%s is not a region", tl_primitive_info(instance->owner->plan->op)->name);
    }
}

bool tl_region_is_last(const struct body_instance *instance) {
    const struct region *region = instance->owner->region;
    if (instance->owner->plan->op == TL_OP_FOLD) return region->closed && instance->index + 1 == region->total;
    return instance->level + 2 == region->level_count; /* reduce: the next level is the last */
}

bool tl_region_is_only(const struct body_instance *instance) {
    const struct region *region = instance->owner->region;
    return region->closed && region->total == 1;
}

void tl_region_fini(struct node_state *node) {
    struct region *region = node->region;
    if (!region) return;
    if (region->results) {
        size_t rows = node->plan->op == TL_OP_FOLD ? 1 : node->plan->output_count;
        size_t columns = node->plan->op == TL_OP_FOLD ? 1 : region->result_capacity;
        for (size_t i = 0; i < rows * columns; i++) tl_value_unref(region->results[i]);
        tl_mem_free(region->results);
    }
    for (size_t l = 0; l < region->level_count; l++)
        for (size_t i = 0; i < region->levels[l].count; i++) tl_value_unref(region->levels[l].values[i]);
    tl_mem_free(region->levels);
    region->levels = NULL;
    region->level_count = 0;
}

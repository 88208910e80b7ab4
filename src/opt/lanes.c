/* lanes.c: see lanes.h. */
#include "opt/lanes.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "opt/change.h"

/* A use, outside the lanes, of something that was taken in. */
struct outside_use {
    struct tl_ref *place; /* the input or result that names it */
    struct tl_ref of;
};

struct lanes {
    struct tl_ref list;
    bool without_waits; /* take only what waits for nothing but its inputs */
    struct tl_body *body;
    struct tl_node **taken; /* in order */
    size_t taken_count, taken_capacity;
    bool *inside;  /* by number: taken in */
    bool *tainted; /* by number: taken in, or depends on something taken in */
    struct outside_use *uses;
    size_t use_count, use_capacity;
};

static bool of_lanes(const struct lanes *lanes, struct tl_ref ref) {
    return lanes->inside[ref.node->number] || (ref.node == lanes->list.node && ref.port == lanes->list.port);
}

/* Elements come in here: the first input, or any input of a variadic first port. */
static bool is_element_input(const struct tl_signature *signature, size_t position) {
    return position == 0 || signature->inputs[0].variadic;
}

/* The list levels that the port needs by itself. */
static unsigned needed_depth(const struct tl_signature *signature, struct tl_type type) {
    const struct tl_signature_port *port = &signature->inputs[0];
    for (size_t i = 0; i < port->type_count; i++)
        if (port->types[i].base == type.base) return port->types[i].depth;
    return 0;
}

static bool can_take(const struct lanes *lanes, const struct tl_node *node) {
    uint32_t flags = tl_graph_info(node)->flags;
    if (node->regions[0] || !(flags & TL_ELEMENTWISE) || (flags & TL_EFFECTFUL)) return false;
    const struct tl_signature *signature = tl_signature_of(node->op);
    if (node->input_count == 0 || !of_lanes(lanes, node->inputs[0].from)) return false;
    for (size_t i = 0; i < node->input_count; i++) {
        struct tl_ref from = node->inputs[i].from;
        bool comes_in = of_lanes(lanes, from);
        if (is_element_input(signature, i)) {
            struct tl_type type = tl_graph_type(from);
            if (!comes_in || type.depth <= needed_depth(signature, type)) return false;
        } else if (comes_in || lanes->tainted[from.node->number])
            return false;
    }
    for (size_t i = 0; i < node->wait_count; i++)
        if (lanes->without_waits || lanes->tainted[node->waits[i].node->number]) return false;
    return true;
}

static void collect(struct lanes *lanes) {
    struct tl_body *body = lanes->body;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        if (node == lanes->list.node) continue;
        if (can_take(lanes, node)) {
            lanes->inside[node->number] = true;
            lanes->taken =
                tl_mem_grow(lanes->taken, &lanes->taken_capacity, lanes->taken_count + 1, sizeof *lanes->taken);
            lanes->taken[lanes->taken_count++] = node;
        }
        if (lanes->inside[node->number] || tl_opt_depends_on_marked(node, lanes->tainted))
            lanes->tainted[node->number] = true;
    }
}

static void note_outside_use(void *context, struct tl_node *user, size_t input, struct tl_body *result_of,
                             size_t result) {
    struct lanes *lanes = context;
    if (user && lanes->inside[user->number]) return;
    struct tl_ref *place = user ? &user->inputs[input].from : &result_of->results[result].from;
    lanes->uses = tl_mem_grow(lanes->uses, &lanes->use_capacity, lanes->use_count + 1, sizeof *lanes->uses);
    lanes->uses[lanes->use_count++] = (struct outside_use){.place = place, .of = *place};
}

/* Moves the nodes into the region's body, over one element instead of the list. */
static void move_in(struct lanes *lanes, struct tl_node *region, struct tl_ref element) {
    struct tl_body *inner = region->regions[0];
    for (size_t i = 0; i < lanes->taken_count; i++) {
        struct tl_node *node = lanes->taken[i];
        tl_opt_move_waits(node, region);
        tl_opt_replace_waits(node, region);
        tl_graph_move(node, inner, NULL);
        for (size_t k = 0; k < node->input_count; k++)
            if (node->inputs[k].from.node == lanes->list.node && node->inputs[k].from.port == lanes->list.port)
                node->inputs[k].from = element;
        struct tl_error error;
        if (tl_graph_infer(node, &error) != TL_OK) TL_BUG("lanes: %s", error.message);
    }
}

static bool has_result(const struct tl_body *body, const char *name) {
    for (size_t i = 0; i < body->result_count; i++)
        if (strcmp(body->results[i].name, name) == 0) return true;
    return false;
}

/* The slices that the region's output is a list of, as one list. */
static struct tl_ref flatten(struct tl_node *region, uint32_t output) {
    struct tl_body *body = region->body;
    struct tl_arena *arena = &body->graph->arena;
    const char *label = tl_opt_unique_label(body, tl_arena_printf(arena, "%s/joined", region->step));
    struct tl_node *node = tl_graph_add(body, TL_OP_AGGREGATE, region->step, label, NULL);
    tl_attributes_set_string(&node->attributes, arena, "mode", "flatten");
    tl_graph_connect(node, "slices", tl_graph_output(region, output));
    struct tl_error error;
    if (tl_graph_infer(node, &error) != TL_OK) TL_BUG("lanes: %s", error.message);
    return tl_graph_add_output(node, "list", tl_type_element(region->outputs[output].type));
}

/* One result per port that is used outside; the outside uses then name the region's output, or what is made of it. */
static void join(struct lanes *lanes, struct tl_node *region) {
    struct tl_body *inner = region->regions[0];
    uint32_t *output_of = tl_mem_zalloc((lanes->use_count + 1) * sizeof *output_of);
    for (size_t i = 0; i < lanes->use_count; i++) {
        struct tl_ref of = lanes->uses[i].of;
        uint32_t output = 0;
        while (output < inner->result_count &&
               (inner->results[output].from.node != of.node || inner->results[output].from.port != of.port))
            output++;
        if (output == inner->result_count) {
            const char *name = tl_arena_printf(&inner->graph->arena, "r%u", output);
            while (has_result(inner, name)) name = tl_arena_printf(&inner->graph->arena, "%s_", name);
            tl_graph_add_result(inner, name, of);
        }
        output_of[i] = output;
    }
    struct tl_error error;
    if (tl_graph_end_region(region, &error) != TL_OK) TL_BUG("lanes: %s", error.message);
    struct tl_ref *joined = tl_mem_zalloc((region->output_count + 1) * sizeof *joined);
    for (uint32_t i = 0; i < region->output_count; i++)
        joined[i] = tl_attributes_find(&region->attributes, "slice") ? flatten(region, i) : tl_graph_output(region, i);
    for (size_t i = 0; i < lanes->use_count; i++) *lanes->uses[i].place = joined[output_of[i]];
    tl_mem_free(joined);
    tl_mem_free(output_of);
}

static void lanes_init(struct lanes *lanes, struct tl_ref list) {
    size_t nodes = list.node->body->graph->next_number + 1;
    *lanes = (struct lanes){.list = list, .body = list.node->body};
    lanes->inside = tl_mem_zalloc(nodes * sizeof *lanes->inside);
    lanes->tainted = tl_mem_zalloc(nodes * sizeof *lanes->tainted);
}

static void lanes_fini(struct lanes *lanes) {
    tl_mem_free(lanes->taken);
    tl_mem_free(lanes->uses);
    tl_mem_free(lanes->inside);
    tl_mem_free(lanes->tainted);
}

static void note_outside_uses(struct lanes *lanes) {
    for (size_t i = 0; i < lanes->taken_count; i++) tl_graph_each_use(lanes->taken[i], note_outside_use, lanes);
}

static bool is_waited_for(const struct tl_node *node) {
    for (size_t i = 0; i < node->body->node_count; i++)
        for (size_t k = 0; k < node->body->nodes[i]->wait_count; k++)
            if (node->body->nodes[i]->waits[k].node == node) return true;
    return false;
}

/* Whether one value alone of what was taken in is used or waited for outside. */
static bool has_one_end(const struct lanes *lanes) {
    bool one = lanes->use_count > 0;
    for (size_t i = 0; i < lanes->use_count && one; i++)
        one = lanes->uses[i].of.node == lanes->uses[0].of.node && lanes->uses[i].of.port == lanes->uses[0].of.port;
    for (size_t i = 0; i < lanes->taken_count && one; i++)
        one = lanes->taken[i] == lanes->uses[0].of.node || !is_waited_for(lanes->taken[i]);
    return one;
}

static unsigned count_engines(const struct lanes *lanes) {
    unsigned count = 0;
    for (size_t i = 0; i < lanes->taken_count; i++) {
        const char *engine = lanes->taken[i]->engine;
        bool is_new = engine != NULL;
        for (size_t k = 0; k < i && is_new; k++)
            is_new = !lanes->taken[k]->engine || strcmp(lanes->taken[k]->engine, engine) != 0;
        count += is_new;
    }
    return count;
}

struct tl_node *tl_opt_lanes(struct tl_ref list, const struct tl_lanes_options *options, size_t *taken_in) {
    struct tl_graph *graph = list.node->body->graph;
    struct lanes lanes;
    struct tl_node *region = NULL;
    lanes_init(&lanes, list);
    lanes.without_waits = options->slice > 0;
    collect(&lanes);
    note_outside_uses(&lanes);
    if (lanes.taken_count > 0 && count_engines(&lanes) >= options->engines &&
        (options->slice == 0 || has_one_end(&lanes))) {
        const char *label = tl_opt_unique_label(
            lanes.body, tl_arena_printf(&graph->arena, "%s/%s", lanes.taken[0]->step, options->name));
        region = tl_graph_add(lanes.body, TL_OP_MAP, lanes.taken[0]->step, label, NULL);
        tl_graph_connect(region, "items", list);
        if (options->streamed) tl_attributes_set_bool(&region->attributes, &graph->arena, "streamed", true);
        if (options->slice > 0)
            tl_attributes_set_integer(&region->attributes, &graph->arena, "slice", options->slice);
        struct tl_error error;
        if (tl_graph_begin_region(region, &error) != TL_OK) TL_BUG("lanes: %s", error.message);
        move_in(&lanes, region, (struct tl_ref){region->regions[0]->parameters, 0});
        join(&lanes, region);
        tl_opt_sort(lanes.body);
    }
    if (taken_in) *taken_in = lanes.taken_count;
    lanes_fini(&lanes);
    return region;
}

/* ---- into a map that is there ---- */

/* The users of a node: how many, the last one, and whether all of them are in the lanes. */
struct users {
    const struct lanes *lanes; /* NULL: not asked */
    struct tl_node *last;      /* NULL: a result of a body */
    size_t count;
    bool all_inside;
};

static void note_user(void *context, struct tl_node *user, size_t input, struct tl_body *result_of, size_t result) {
    (void)input, (void)result_of, (void)result;
    struct users *users = context;
    users->last = user;
    users->count++;
    if (users->lanes) users->all_inside = users->all_inside && user && users->lanes->inside[user->number];
}

/* The choice of distinct elements that the map's output goes through and nothing else takes; NULL: there is none. */
static struct tl_node *choice_after(struct tl_node *map) {
    struct users users = {0};
    tl_graph_each_use(map, note_user, &users);
    struct tl_node *choice = users.last;
    bool found = users.count == 1 && choice && choice->body == map->body && choice->op == TL_OP_AGGREGATE &&
                 choice->input_count == 1 && choice->wait_count == 0 && !is_waited_for(choice) &&
                 strcmp(tl_attributes_string(&choice->attributes, "mode", ""), "distinct") == 0;
    return found ? choice : NULL;
}

/* What has gone through the lanes is chosen from as the elements were, which `choice` has done until it was removed:
 * by the elements' own texts. */
static void choose_after(struct lanes *lanes, struct tl_node *map, struct tl_node *choice, struct tl_ref texts) {
    struct tl_arena *arena = &lanes->body->graph->arena;
    struct tl_node **made = tl_mem_zalloc((map->output_count + 1) * sizeof *made);
    for (size_t i = 0; i < lanes->use_count; i++) {
        struct tl_ref of = *lanes->uses[i].place;
        if (!made[of.port]) {
            const char *label = tl_opt_unique_label(lanes->body, choice->label);
            struct tl_node *node = tl_graph_add(lanes->body, TL_OP_AGGREGATE, choice->step, label, NULL);
            tl_attributes_copy(&node->attributes, arena, &choice->attributes);
            tl_graph_connect(node, "texts", texts);
            tl_graph_connect(node, "list", of);
            struct tl_error error;
            if (tl_graph_infer(node, &error) != TL_OK) TL_BUG("lanes: %s", error.message);
            tl_graph_add_output(node, "list", tl_graph_type(of));
            made[of.port] = node;
        }
        *lanes->uses[i].place = tl_graph_output(made[of.port], 0);
    }
    tl_mem_free(made);
}

bool tl_opt_lanes_into(struct tl_node *map, size_t *taken_in) {
    if (map->op != TL_OP_MAP || tl_attributes_find(&map->attributes, "slice") || is_waited_for(map)) return false;
    struct tl_node *choice = choice_after(map);
    struct users users = {.all_inside = true};
    tl_graph_each_use(map, note_user, &users);
    if (users.count == 0 || !users.last) return false;
    struct tl_ref texts = choice ? choice->inputs[0].from : (struct tl_ref){0};
    for (size_t i = 0; !choice && i < users.last->input_count; i++)
        if (users.last->inputs[i].from.node == map) texts = users.last->inputs[i].from;
    struct lanes lanes;
    lanes_init(&lanes, choice ? tl_graph_output(choice, 0) : texts);
    lanes.without_waits = true;
    lanes.tainted[map->number] = true;
    collect(&lanes);
    users = (struct users){.lanes = &lanes, .all_inside = true};
    tl_graph_each_use(lanes.list.node, note_user, &users);
    bool fits = users.count > 0 && users.all_inside;
    if (fits) {
        note_outside_uses(&lanes);
        move_in(&lanes, map, map->regions[0]->results[texts.port].from);
        join(&lanes, map);
        if (choice) {
            tl_graph_remove(choice);
            choose_after(&lanes, map, choice, texts);
        }
        tl_opt_sort(lanes.body);
    }
    if (taken_in) *taken_in = lanes.taken_count;
    lanes_fini(&lanes);
    return fits;
}

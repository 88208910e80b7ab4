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
    struct tl_lanes_options options;
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
        if (lanes->tainted[node->waits[i].node->number]) return false;
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
static void move_in(struct lanes *lanes, struct tl_node *region) {
    struct tl_body *inner = region->regions[0];
    struct tl_ref element = {inner->parameters, 0};
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

/* One result per port that is used outside; the outside uses then name the region's output. */
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
            char *name = tl_arena_printf(&inner->graph->arena, "r%u", output);
            tl_graph_add_result(inner, name, of);
        }
        output_of[i] = output;
    }
    struct tl_error error;
    if (tl_graph_end_region(region, &error) != TL_OK) TL_BUG("lanes: %s", error.message);
    for (size_t i = 0; i < lanes->use_count; i++) *lanes->uses[i].place = tl_graph_output(region, output_of[i]);
    tl_mem_free(output_of);
}

struct tl_node *tl_opt_lanes(struct tl_ref list, const struct tl_lanes_options *options, size_t *taken_in) {
    struct tl_graph *graph = list.node->body->graph;
    struct lanes lanes = {.list = list, .options = *options, .body = list.node->body};
    lanes.inside = tl_mem_zalloc((graph->next_number + 1) * sizeof *lanes.inside);
    lanes.tainted = tl_mem_zalloc((graph->next_number + 1) * sizeof *lanes.tainted);
    struct tl_node *region = NULL;
    collect(&lanes);
    if (lanes.taken_count > 0) {
        for (size_t i = 0; i < lanes.taken_count; i++) tl_graph_each_use(lanes.taken[i], note_outside_use, &lanes);
        const char *label = tl_opt_unique_label(
            lanes.body, tl_arena_printf(&graph->arena, "%s/%s", lanes.taken[0]->step, options->name));
        region = tl_graph_add(lanes.body, TL_OP_MAP, lanes.taken[0]->step, label, NULL);
        tl_graph_connect(region, "items", list);
        if (options->streamed) tl_attributes_set_bool(&region->attributes, &graph->arena, "streamed", true);
        struct tl_error error;
        if (tl_graph_begin_region(region, &error) != TL_OK) TL_BUG("lanes: %s", error.message);
        move_in(&lanes, region);
        join(&lanes, region);
        tl_opt_sort(lanes.body);
    }
    if (taken_in) *taken_in = lanes.taken_count;
    tl_mem_free(lanes.taken);
    tl_mem_free(lanes.uses);
    tl_mem_free(lanes.inside);
    tl_mem_free(lanes.tainted);
    return region;
}

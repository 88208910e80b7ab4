/* draw_edges.c: the edges of a drawing: data solid, control dashed, order dotted, the critical path bold. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "plan/draw_impl.h"

/* What a place in the drawing is that a value comes from. */
struct end {
    char id[48];
    const struct tl_node *node; /* parameters: that of their body */
    uint32_t port;
};

/* The places that a value comes from: a box or a parameter; for a region's output, whatever makes the result inside;
 * for a cond's, that of both branches. */
#define MOST_ENDS 8
struct ends {
    struct end items[MOST_ENDS];
    size_t count;
};

static void add_end(struct ends *ends, struct tl_ref ref, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void add_end(struct ends *ends, struct tl_ref ref, const char *format, ...) {
    if (ends->count == MOST_ENDS)
        return;
    struct end *end = &ends->items[ends->count++];
    va_list args;
    va_start(args, format);
    vsnprintf(end->id, sizeof end->id, format, args);
    va_end(args);
    end->node = ref.node;
    end->port = ref.port;
}

bool tl_draw_passes_through(const struct tl_body *body, size_t result) {
    return body->owner->op == TL_OP_COND && body->results[result].from.node->body != body;
}

static void find_ends(const struct tl_draw *draw, struct tl_ref ref, struct ends *ends) {
    const struct tl_node *node = ref.node;
    if (node->op == TL_OP_PARAMETERS)
        add_end(ends, ref, "g%zu_p%u_%u", draw->number, node->number, ref.port);
    else if (node->regions[0] == NULL)
        add_end(ends, ref, "g%zu_n%u", draw->number, node->number);
    for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
        const struct tl_body *body = node->regions[r];
        if (ref.port >= body->result_count)
            continue;
        if (tl_draw_passes_through(body, ref.port))
            add_end(ends, body->results[ref.port].from, "g%zu_t%u_%zu_%u", draw->number, node->number, r, ref.port);
        else
            find_ends(draw, body->results[ref.port].from, ends);
    }
}

/* A node inside a region (or the primitive itself), for edges that mean the region as a whole. */
static void put_anchor(struct tl_draw *draw, const struct tl_node *node) {
    tl_str_printf(draw->out, "g%zu_%c%u", draw->number, node->regions[0] == NULL ? 'n' : 'a', node->number);
}

bool tl_draw_shows_parameter(const struct tl_body *body, uint32_t port) {
    return body->owner == NULL || tl_graph_use_count(tl_graph_output(body->parameters, port)) > 0;
}

bool tl_draw_repeats_parameter(const struct tl_body *body, uint32_t port) {
    return body->owner == NULL && tl_graph_use_count(tl_graph_output(body->parameters, port)) > 2;
}

/* ---- the critical path ---- */

/* Does `to` come right after `from` on it? NULL: the start, the end. */
static bool is_link(const struct tl_draw *draw, const struct tl_node *from, const struct tl_node *to) {
    if (draw->plan == NULL)
        return false;
    const struct tl_plan_node *before = from == NULL ? NULL : draw->frozen[from->number];
    const struct tl_plan_node *after = to == NULL ? NULL : draw->frozen[to->number];
    for (size_t i = 0; i < draw->plan->link_count; i++)
        if (draw->plan->links[i].from == before && draw->plan->links[i].to == after)
            return true;
    return false;
}

static const char *input_of_parameter(const char *parameter) {
    static const struct {
        const char *parameter, *input;
    } from[] = {{"item", "items"}, {"group", "items"}, {"carried", "initial"}};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++)
        if (strcmp(from[i].parameter, parameter) == 0)
            return from[i].input;
    return NULL;
}

static bool is_handed_on(const char *parameter) {
    return strcmp(parameter, "carried") == 0 || strcmp(parameter, "group") == 0;
}

static bool end_is_critical(const struct tl_draw *draw, const struct end *end, const struct tl_node *user);

/* Does the path come into a region by this parameter? */
static bool enters_by(const struct tl_draw *draw, const struct tl_node *region, const char *parameter) {
    const char *name = input_of_parameter(parameter);
    const struct tl_input *input = name != NULL ? tl_graph_find_input(region, name) : NULL;
    struct ends ends = {.count = 0};
    if (input != NULL)
        find_ends(draw, input->from, &ends);
    for (size_t i = 0; i < ends.count; i++)
        if (end_is_critical(draw, &ends.items[i], region))
            return true;
    return false;
}

static bool end_is_critical(const struct tl_draw *draw, const struct end *end, const struct tl_node *user) {
    if (end->node->op != TL_OP_PARAMETERS)
        return is_link(draw, end->node, user);
    const struct tl_body *body = end->node->body;
    const char *name = end->node->outputs[end->port].name;
    if (body->owner == NULL)
        return is_link(draw, NULL, user);
    if (is_handed_on(name) && body->owner->op != TL_OP_MAP && is_link(draw, body->results[0].from.node, user))
        return true;
    return is_link(draw, body->owner, user) && enters_by(draw, body->owner, name);
}

/* ---- data ---- */

#define BOLD ", penwidth=2.6, color=\"" TL_DRAW_CRITICAL "\""

/* A parameter that is drawn beside each of its users. */
static void draw_repeated(struct tl_draw *draw, const struct end *end, const char *to) {
    tl_str_printf(draw->out, "%s_%s [shape=ellipse, fillcolor=\"" TL_DRAW_VALUE "\", fontsize=9, height=0.18, "
                             "margin=\"0.04,0.01\", label=", end->id, to);
    tl_draw_put_quoted(draw->out, end->node->outputs[end->port].name);
    tl_str_puts(draw->out, "];\n");
}

/* Edges from all that the value comes from to the place `to` of `user` (NULL: the end); `more`: further attributes. */
static void draw_data(struct tl_draw *draw, struct tl_ref from, const char *to, const struct tl_node *user,
                      const char *input, const char *more) {
    struct ends ends = {.count = 0};
    char type[24];
    find_ends(draw, from, &ends);
    for (size_t i = 0; i < ends.count; i++) {
        const struct end *end = &ends.items[i];
        bool repeats = end->node->op == TL_OP_PARAMETERS && end->id[strcspn(end->id, "_") + 1] == 'p' &&
                       tl_draw_repeats_parameter(end->node->body, end->port);
        if (repeats)
            draw_repeated(draw, end, to);
        tl_str_printf(draw->out, "%s", end->id);
        if (repeats)
            tl_str_printf(draw->out, "_%s", to);
        tl_str_printf(draw->out, " -> %s [tooltip=\"%s: %s\"%s%s];\n", to, input,
                      tl_type_print(tl_graph_type(from), type), more, end_is_critical(draw, end, user) ? BOLD : "");
    }
}

/* From a value into a region: to the parameter that it becomes, or to the frame. */
static void draw_region_input(struct tl_draw *draw, const struct tl_node *region, const struct tl_input *input) {
    const struct tl_node *parameters = region->regions[0]->parameters;
    char to[48], more[64];
    for (uint32_t port = 0; port < parameters->output_count; port++) {
        const char *becomes = input_of_parameter(parameters->outputs[port].name);
        if (becomes == NULL || strcmp(becomes, input->name) != 0 || !tl_draw_shows_parameter(region->regions[0], port))
            continue;
        snprintf(to, sizeof to, "g%zu_p%u_%u", draw->number, parameters->number, port);
        draw_data(draw, input->from, to, region, input->name, "");
        return;
    }
    snprintf(to, sizeof to, "g%zu_a%u", draw->number, region->number);
    snprintf(more, sizeof more, ", lhead=cluster_g%zu_n%u", draw->number, region->number);
    draw_data(draw, input->from, to, region, input->name, more);
}

static bool drawn_before(const struct tl_node *node, size_t input) {
    for (size_t i = 0; i < input; i++)
        if (node->inputs[i].from.node == node->inputs[input].from.node &&
            node->inputs[i].from.port == node->inputs[input].from.port)
            return true;
    return false;
}

static void draw_waits(struct tl_draw *draw, const struct tl_node *node) {
    struct tl_str *out = draw->out;
    for (size_t i = 0; i < node->wait_count; i++) {
        struct tl_node *on = node->waits[i].node;
        struct ends ends = {.count = 0};
        bool critical = is_link(draw, on, node);
        if (on->output_count > 0)
            find_ends(draw, tl_graph_output(on, 0), &ends);
        if (ends.count > 0) { /* the last node inside a region, so that the arrow does not start at its top */
            tl_str_puts(out, ends.items[0].id);
            critical = critical || is_link(draw, ends.items[0].node, node);
        } else {
            put_anchor(draw, on);
        }
        tl_str_puts(out, " -> ");
        put_anchor(draw, node);
        tl_str_puts(out, node->waits[i].kind == TL_EDGE_CONTROL
                             ? " [style=dashed, penwidth=1.6, color=\"" TL_DRAW_AFTER "\", tooltip=\"after\""
                             : " [style=dotted, tooltip=\"order\"");
        if (on->regions[0] != NULL)
            tl_str_printf(out, ", ltail=cluster_g%zu_n%u", draw->number, on->number);
        if (node->regions[0] != NULL)
            tl_str_printf(out, ", lhead=cluster_g%zu_n%u", draw->number, node->number);
        tl_str_printf(out, "%s];\n", critical ? BOLD : "");
    }
}

/* Does the path go on with a user of this parameter once `from` is there? */
static bool goes_round(const struct tl_draw *draw, const struct tl_body *body, uint32_t port,
                       const struct tl_node *from) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->input_count; k++)
            if (node->inputs[k].from.node == body->parameters && node->inputs[k].from.port == port &&
                is_link(draw, from, node))
                return true;
    }
    return false;
}

/* What a body hands to its next instance. */
static void draw_carried(struct tl_draw *draw, const struct tl_node *region) {
    const struct tl_body *body = region->regions[0];
    const char *name = region->op == TL_OP_REDUCE ? "group" : "carried";
    bool carries = region->op == TL_OP_FOLD || region->op == TL_OP_LOOP || region->op == TL_OP_REDUCE;
    for (uint32_t port = 0; carries && port < body->parameters->output_count; port++) {
        if (strcmp(body->parameters->outputs[port].name, name) != 0 || !tl_draw_shows_parameter(body, port))
            continue;
        if (body->results[0].from.node == body->parameters)
            continue;
        struct ends ends = {.count = 0};
        find_ends(draw, body->results[0].from, &ends);
        for (size_t i = 0; i < ends.count; i++)
            tl_str_printf(
                draw->out,
                "%s -> g%zu_p%u_%u [tooltip=\"next\", constraint=false, arrowhead=vee, fontcolor=\"" TL_DRAW_INK
                "\", fontsize=9, label=\"next\"%s];\n",
                ends.items[i].id, draw->number, body->parameters->number, port,
                goes_round(draw, body, port, ends.items[i].node) ? BOLD : ", penwidth=0.7");
    }
}

/* Results of a cond's branch that are made outside it. */
static void draw_passed_through(struct tl_draw *draw, const struct tl_node *cond, size_t branch) {
    const struct tl_body *body = cond->regions[branch];
    char to[48];
    for (size_t i = 0; i < body->result_count; i++) {
        if (!tl_draw_passes_through(body, i))
            continue;
        snprintf(to, sizeof to, "g%zu_t%u_%zu_%zu", draw->number, cond->number, branch, i);
        draw_data(draw, body->results[i].from, to, cond, body->results[i].name, "");
    }
}

void tl_draw_edges(struct tl_draw *draw, const struct tl_body *body) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->input_count; k++) {
            if (drawn_before(node, k))
                continue;
            if (node->regions[0] != NULL) {
                draw_region_input(draw, node, &node->inputs[k]);
                continue;
            }
            char to[48];
            snprintf(to, sizeof to, "g%zu_n%u", draw->number, node->number);
            draw_data(draw, node->inputs[k].from, to, node, node->inputs[k].name, "");
        }
        draw_waits(draw, node);
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
            tl_draw_edges(draw, node->regions[r]);
            draw_passed_through(draw, node, r);
        }
        if (node->regions[0] != NULL)
            draw_carried(draw, node);
    }
}

void tl_draw_results(struct tl_draw *draw, const struct tl_body *root) {
    for (size_t i = 0; i < root->result_count; i++) {
        char to[48];
        snprintf(to, sizeof to, "g%zu_r%zu", draw->number, i);
        tl_str_printf(draw->out, "%s [shape=ellipse, peripheries=2, fillcolor=\"" TL_DRAW_VALUE "\", label=", to);
        tl_draw_put_quoted(draw->out, root->results[i].name);
        tl_str_puts(draw->out, "];\n");
        draw_data(draw, root->results[i].from, to, NULL, "result", "");
    }
}

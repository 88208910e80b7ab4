/* draw.c: graphs as Graphviz DOT.
 *
 * A primitive is a box: its operation in bold, its step and name below, then the attributes that
 * matter; the colour says which engine executes it. A region is a frame around its body with a title
 * such as "map over hits"; its items come in at the parameter `item`, and what a body hands to its next
 * instance goes back by a thin arrow. Data edges are solid, control edges dashed, order edges dotted.
 *
 * The background is transparent, boxes are light with dark text, and everything outside a box is
 * drawn in colours that have enough contrast on white and on black. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "plan/plan.h"

#define INK "#767676"   /* lines and free text: 4.5:1 on white and on black */
#define AFTER "#c0571f" /* control edges */
#define PLAIN "#f4f4f4" /* builtins */
#define VALUE "#dddddd" /* parameters and results */

static const char *const palette[] = {"#a6cee3", "#b2df8a", "#fdbf6f", "#cab2d6", "#fb9a99",
                                      "#ffed6f", "#8dd3c7", "#fccde5", "#d9c3a5", "#bebada"};

struct drawing {
    struct tl_str *out;
    size_t graph;         /* position of the graph at hand */
    const char **engines; /* in the order in which they are met; the place gives the colour */
    size_t engine_count, engine_capacity;
};

/* ---- names ---- */

static size_t engine_place(struct drawing *drawing, const char *engine) {
    for (size_t i = 0; i < drawing->engine_count; i++)
        if (strcmp(drawing->engines[i], engine) == 0)
            return i;
    drawing->engines = tl_mem_grow(drawing->engines, &drawing->engine_capacity, drawing->engine_count + 1,
                                   sizeof *drawing->engines);
    drawing->engines[drawing->engine_count] = engine;
    return drawing->engine_count++;
}

static const char *colour_of(struct drawing *drawing, const struct tl_node *node) {
    if (node->engine == NULL)
        return PLAIN;
    return palette[engine_place(drawing, node->engine) % (sizeof palette / sizeof *palette)];
}

/* An attribute value in double quotes. */
static void put_quoted(struct tl_str *out, const char *text) {
    tl_str_putc(out, '"');
    for (; *text != '\0'; text++) {
        if (*text == '"' || *text == '\\')
            tl_str_putc(out, '\\');
        tl_str_putc(out, *text == '\n' ? ' ' : *text);
    }
    tl_str_putc(out, '"');
}

static void put_text(struct tl_str *out, const char *text) {
    tl_str_put_xml(out, text, strlen(text));
}

/* What a value is called where it is made. */
static const char *value_name(struct tl_ref ref) {
    return ref.node->outputs[ref.port].name;
}

/* The nodes of the drawing that a value comes from: a box or a parameter; for a region's output, whatever makes the
 * result inside; for a cond's, that of both branches. */
#define MOST_ENDS 8
struct ends {
    char ids[MOST_ENDS][48];
    size_t count;
};

static void add_end(struct ends *ends, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add_end(struct ends *ends, const char *format, ...) {
    if (ends->count == MOST_ENDS)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(ends->ids[ends->count++], sizeof ends->ids[0], format, args);
    va_end(args);
}

static bool passes_through(const struct tl_body *body, size_t result) {
    return body->owner->op == TL_OP_COND && body->results[result].from.node->body != body;
}

static void find_ends(const struct drawing *drawing, struct tl_ref ref, struct ends *ends) {
    const struct tl_node *node = ref.node;
    if (node->op == TL_OP_PARAMETERS)
        add_end(ends, "g%zu_p%u_%u", drawing->graph, node->number, ref.port);
    else if (node->regions[0] == NULL)
        add_end(ends, "g%zu_n%u", drawing->graph, node->number);
    for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
        const struct tl_body *body = node->regions[r];
        if (ref.port >= body->result_count)
            continue;
        if (passes_through(body, ref.port))
            add_end(ends, "g%zu_t%u_%zu_%u", drawing->graph, node->number, r, ref.port);
        else
            find_ends(drawing, body->results[ref.port].from, ends);
    }
}

/* A node inside a region (or the primitive itself), for edges that mean the region as a whole. */
static void put_anchor(struct drawing *drawing, const struct tl_node *node) {
    if (node->regions[0] == NULL)
        tl_str_printf(drawing->out, "g%zu_n%u", drawing->graph, node->number);
    else
        tl_str_printf(drawing->out, "g%zu_a%u", drawing->graph, node->number);
}

/* ---- boxes ---- */

/* Attributes that a reader of the picture wants to see; the rest is in the text form. */
static const char *const shown[] = {"mode", "count", "size", "format", "items", "max_tokens", "parts"};

static void put_attributes(struct drawing *drawing, const struct tl_node *node) {
    bool first = true;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const struct tl_attribute *attribute = tl_attributes_find(&node->attributes, shown[i]);
        if (attribute == NULL)
            continue;
        tl_str_puts(drawing->out, first ? "<br/><font point-size=\"9\" color=\"#333333\">" : ", ");
        first = false;
        if (attribute->kind == TL_ATTRIBUTE_STRING)
            put_text(drawing->out, attribute->as.string);
        else
            tl_str_printf(drawing->out, "%s %lld", attribute->name, (long long)attribute->as.integer);
    }
    if (!first)
        tl_str_puts(drawing->out, "</font>");
}

static void draw_box(struct drawing *drawing, const struct tl_node *node) {
    struct tl_str *out = drawing->out;
    tl_str_printf(out, "g%zu_n%u [fillcolor=\"%s\", label=<<b>", drawing->graph, node->number,
                  colour_of(drawing, node));
    put_text(out, tl_graph_info(node)->name);
    tl_str_puts(out, "</b><br/><font point-size=\"9\">");
    put_text(out, node->label);
    tl_str_puts(out, "</font>");
    put_attributes(drawing, node);
    tl_str_puts(out, ">");
    if (node->engine != NULL) {
        tl_str_puts(out, ", tooltip=");
        put_quoted(out, node->engine);
    }
    tl_str_puts(out, "];\n");
}

static bool is_used(struct tl_ref ref) {
    return tl_graph_use_count(ref) > 0;
}

static bool is_shown(const struct tl_body *body, uint32_t port) {
    return body->owner == NULL || is_used(tl_graph_output(body->parameters, port));
}

/* Parameters that nobody uses are left out inside regions: `index` mostly is. */
static void draw_parameters(struct drawing *drawing, const struct tl_body *body) {
    for (uint32_t i = 0; i < body->parameters->output_count; i++) {
        if (!is_shown(body, i))
            continue;
        tl_str_printf(drawing->out, "g%zu_p%u_%u [shape=ellipse, fillcolor=\"" VALUE "\", label=", drawing->graph,
                      body->parameters->number, i);
        put_quoted(drawing->out, body->parameters->outputs[i].name);
        tl_str_puts(drawing->out, "];\n");
    }
}

/* "hits" for a list that is called after what is in it, "queries" for one that has a name. */
static void put_list_name(struct tl_str *out, const struct tl_node *region) {
    struct tl_ref from = region->inputs[0].from;
    const char *name = value_name(from);
    bool usual = strcmp(name, tl_base_type_name((enum tl_base_type)tl_graph_type(from).base)) == 0;
    tl_str_printf(out, "%s%s", name, usual ? "s" : "");
}

static void put_title(struct tl_str *out, const struct tl_node *region) {
    long long slice = tl_attributes_integer(&region->attributes, "slice", 0);
    switch (region->op) {
    case TL_OP_MAP:
        tl_str_puts(out, "map over ");
        put_list_name(out, region);
        if (slice > 0)
            tl_str_printf(out, ", slices of %lld", slice);
        if (tl_attributes_bool(&region->attributes, "streamed", false))
            tl_str_puts(out, ", as they come");
        break;
    case TL_OP_FOLD:
        tl_str_puts(out, "fold over ");
        put_list_name(out, region);
        break;
    case TL_OP_REDUCE:
        tl_str_puts(out, "reduce ");
        put_list_name(out, region);
        tl_str_printf(out, ", %lld at a time", (long long)tl_attributes_integer(&region->attributes, "arity", 2));
        break;
    case TL_OP_COND: tl_str_printf(out, "if %s", region->inputs[0].from.node->label); break;
    case TL_OP_LOOP:
        tl_str_printf(out, "loop, at most %lld times",
                      (long long)tl_attributes_integer(&region->attributes, "limit", 8));
        break;
    default: TL_BUG("%s is no region", tl_graph_info(region)->name);
    }
}

static void draw_frame_start(struct drawing *drawing, const struct tl_node *region, const char *part) {
    struct tl_str *out = drawing->out, title = TL_STR_INIT;
    if (part[0] == '\0')
        put_title(&title, region);
    else
        tl_str_puts(&title, part);
    tl_str_printf(out, "subgraph cluster_g%zu_n%u%s {\n", drawing->graph, region->number, part);
    tl_str_puts(out, "style=\"rounded\"; peripheries=1; color=\"" INK "\"; fontcolor=\"" INK "\"; fontsize=11; "
                     "labeljust=l; label=");
    put_quoted(out, title.data);
    tl_str_puts(out, ";\n");
    if (part[0] == '\0') {
        tl_str_puts(out, "tooltip=");
        put_quoted(out, region->label);
        tl_str_puts(out, ";\n");
    }
    tl_str_fini(&title);
}

static void draw_body(struct drawing *drawing, const struct tl_body *body) {
    draw_parameters(drawing, body);
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        if (node->regions[0] == NULL) {
            draw_box(drawing, node);
            continue;
        }
        draw_frame_start(drawing, node, "");
        tl_str_printf(drawing->out, "g%zu_a%u [shape=point, style=invis, width=0, label=\"\"];\n", drawing->graph,
                      node->number);
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
            if (node->op == TL_OP_COND)
                draw_frame_start(drawing, node, r == 0 ? "then" : "else");
            draw_body(drawing, node->regions[r]);
            for (size_t k = 0; k < node->regions[r]->result_count; k++) {
                if (!passes_through(node->regions[r], k))
                    continue;
                tl_str_printf(drawing->out, "g%zu_t%u_%zu_%zu [shape=ellipse, fillcolor=\"" VALUE "\", label=",
                              drawing->graph, node->number, r, k);
                put_quoted(drawing->out, node->regions[r]->results[k].name);
                tl_str_puts(drawing->out, "];\n");
            }
            if (node->op == TL_OP_COND)
                tl_str_puts(drawing->out, "}\n");
        }
        tl_str_puts(drawing->out, "}\n");
    }
}

/* ---- edges ---- */

/* Edges from all that the value comes from to the node `to`; `more` are further attributes. */
static void draw_data(struct drawing *drawing, struct tl_ref from, const char *to, const char *input,
                      const char *more) {
    struct ends ends = {.count = 0};
    char type[24];
    find_ends(drawing, from, &ends);
    for (size_t i = 0; i < ends.count; i++)
        tl_str_printf(drawing->out, "%s -> %s [tooltip=\"%s: %s\"%s];\n", ends.ids[i], to, input,
                      tl_type_print(tl_graph_type(from), type), more);
}

/* From a value into a region: to the parameter that it becomes, or to the frame. */
static void draw_region_input(struct drawing *drawing, const struct tl_node *region, const struct tl_input *input) {
    static const struct {
        const char *input, *parameter;
    } becomes[] = {{"items", "item"}, {"items", "group"}, {"initial", "carried"}};
    const struct tl_node *parameters = region->regions[0]->parameters;
    char to[48], more[64];
    for (size_t i = 0; i < sizeof becomes / sizeof *becomes; i++)
        for (uint32_t port = 0; strcmp(becomes[i].input, input->name) == 0 && port < parameters->output_count; port++) {
            if (strcmp(parameters->outputs[port].name, becomes[i].parameter) != 0 ||
                !is_shown(region->regions[0], port))
                continue;
            snprintf(to, sizeof to, "g%zu_p%u_%u", drawing->graph, parameters->number, port);
            draw_data(drawing, input->from, to, input->name, "");
            return;
        }
    snprintf(to, sizeof to, "g%zu_a%u", drawing->graph, region->number);
    snprintf(more, sizeof more, ", lhead=cluster_g%zu_n%u", drawing->graph, region->number);
    draw_data(drawing, input->from, to, input->name, more);
}

static bool drawn_before(const struct tl_node *node, size_t input) {
    for (size_t i = 0; i < input; i++)
        if (node->inputs[i].from.node == node->inputs[input].from.node &&
            node->inputs[i].from.port == node->inputs[input].from.port)
            return true;
    return false;
}

static void draw_waits(struct drawing *drawing, const struct tl_node *node) {
    struct tl_str *out = drawing->out;
    for (size_t i = 0; i < node->wait_count; i++) {
        struct tl_node *on = node->waits[i].node;
        struct ends ends = {.count = 0};
        if (on->output_count > 0)
            find_ends(drawing, tl_graph_output(on, 0), &ends);
        if (ends.count > 0) /* the last node inside a region, so that the arrow does not start at its top */
            tl_str_puts(out, ends.ids[0]);
        else
            put_anchor(drawing, on);
        tl_str_puts(out, " -> ");
        put_anchor(drawing, node);
        tl_str_puts(out, node->waits[i].kind == TL_EDGE_CONTROL
                             ? " [style=dashed, penwidth=1.6, color=\"" AFTER "\", tooltip=\"after\""
                             : " [style=dotted, tooltip=\"order\"");
        if (on->regions[0] != NULL)
            tl_str_printf(out, ", ltail=cluster_g%zu_n%u", drawing->graph, on->number);
        if (node->regions[0] != NULL)
            tl_str_printf(out, ", lhead=cluster_g%zu_n%u", drawing->graph, node->number);
        tl_str_puts(out, "];\n");
    }
}

/* What a body hands to its next instance. */
static void draw_carried(struct drawing *drawing, const struct tl_node *region) {
    const struct tl_body *body = region->regions[0];
    const char *name = region->op == TL_OP_REDUCE ? "group" : "carried";
    bool carries = region->op == TL_OP_FOLD || region->op == TL_OP_LOOP || region->op == TL_OP_REDUCE;
    for (uint32_t port = 0; carries && port < body->parameters->output_count; port++) {
        if (strcmp(body->parameters->outputs[port].name, name) != 0 || !is_shown(body, port))
            continue;
        if (body->results[0].from.node == body->parameters)
            continue;
        char to[48];
        snprintf(to, sizeof to, "g%zu_p%u_%u", drawing->graph, body->parameters->number, port);
        draw_data(drawing, body->results[0].from, to, "next",
                  ", constraint=false, penwidth=0.7, arrowhead=vee, fontcolor=\"" INK "\", fontsize=9, label=\"next\"");
    }
}

/* Results of a cond's branch that are made outside it. */
static void draw_passed_through(struct drawing *drawing, const struct tl_node *cond, size_t branch) {
    const struct tl_body *body = cond->regions[branch];
    char to[48];
    for (size_t i = 0; i < body->result_count; i++) {
        if (!passes_through(body, i))
            continue;
        snprintf(to, sizeof to, "g%zu_t%u_%zu_%zu", drawing->graph, cond->number, branch, i);
        draw_data(drawing, body->results[i].from, to, body->results[i].name, "");
    }
}

static void draw_edges(struct drawing *drawing, const struct tl_body *body) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->input_count; k++) {
            if (drawn_before(node, k))
                continue;
            if (node->regions[0] != NULL) {
                draw_region_input(drawing, node, &node->inputs[k]);
                continue;
            }
            char to[48];
            snprintf(to, sizeof to, "g%zu_n%u", drawing->graph, node->number);
            draw_data(drawing, node->inputs[k].from, to, node->inputs[k].name, "");
        }
        draw_waits(drawing, node);
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
            draw_edges(drawing, node->regions[r]);
            draw_passed_through(drawing, node, r);
        }
        if (node->regions[0] != NULL)
            draw_carried(drawing, node);
    }
}

static void draw_results(struct drawing *drawing, const struct tl_body *root) {
    for (size_t i = 0; i < root->result_count; i++) {
        tl_str_printf(drawing->out, "g%zu_r%zu [shape=ellipse, peripheries=2, fillcolor=\"" VALUE "\", label=",
                      drawing->graph, i);
        put_quoted(drawing->out, root->results[i].name);
        tl_str_puts(drawing->out, "];\n");
        char to[48];
        snprintf(to, sizeof to, "g%zu_r%zu", drawing->graph, i);
        draw_data(drawing, root->results[i].from, to, "result", "");
    }
}

/* ---- legend ---- */

struct edge_kinds {
    bool control, order;
};

static void find_edge_kinds(const struct tl_body *body, struct edge_kinds *kinds) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->wait_count; k++) {
            kinds->control |= node->waits[k].kind == TL_EDGE_CONTROL;
            kinds->order |= node->waits[k].kind == TL_EDGE_ORDER;
        }
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            find_edge_kinds(node->regions[r], kinds);
    }
}

static void draw_legend(struct drawing *drawing, const struct tl_graph *const *graphs, size_t count) {
    struct tl_str *out = drawing->out;
    struct edge_kinds kinds = {false, false};
    for (size_t i = 0; i < count; i++)
        find_edge_kinds(graphs[i]->root, &kinds);
    tl_str_puts(out, "labelloc=b; fontsize=11; fontcolor=\"" INK "\"; label=<<table border=\"0\" cellborder=\"0\" "
                     "cellspacing=\"3\"><tr>");
    for (size_t i = 0; i < drawing->engine_count; i++) {
        tl_str_printf(out, "<td bgcolor=\"%s\"><font color=\"#111111\"> ",
                      palette[i % (sizeof palette / sizeof *palette)]);
        put_text(out, drawing->engines[i]);
        tl_str_puts(out, " </font></td>");
    }
    tl_str_puts(out, "<td bgcolor=\"" PLAIN "\"><font color=\"#111111\"> builtin </font></td>"
                     "<td>\xe2\x94\x80\xe2\x94\x80 data</td>");
    if (kinds.control)
        tl_str_puts(out, "<td><font color=\"" AFTER "\">\xe2\x95\xb6 \xe2\x95\xb6 after</font></td>");
    if (kinds.order)
        tl_str_puts(out, "<td>\xc2\xb7\xc2\xb7\xc2\xb7\xc2\xb7 order of the steps</td>");
    tl_str_puts(out, "</tr></table>>;\n");
}

void tl_graph_draw_dot(const struct tl_graph *const *graphs, const char *const *titles, size_t count,
                       struct tl_str *out) {
    struct drawing drawing = {.out = out};
    tl_str_puts(out, "digraph teola {\n"
                     "compound=true; bgcolor=\"transparent\"; fontname=\"Helvetica\"; nodesep=0.18; ranksep=0.22;\n"
                     "node [shape=box, style=\"filled,rounded\", color=\"" INK "\", fontname=\"Helvetica\", "
                     "fontsize=11, fontcolor=\"#111111\", margin=\"0.08,0.04\", height=0.3];\n"
                     "edge [color=\"" INK "\", arrowsize=0.6, fontname=\"Helvetica\"];\n");
    for (size_t i = 0; i < count; i++) {
        drawing.graph = i;
        tl_str_printf(
            out, "subgraph cluster_g%zu {\nperipheries=0; labelloc=t; fontcolor=\"" INK "\"; fontsize=14; label=", i);
        put_quoted(out, titles[i]);
        tl_str_puts(out, ";\n");
        draw_body(&drawing, graphs[i]->root);
        draw_edges(&drawing, graphs[i]->root);
        draw_results(&drawing, graphs[i]->root);
        tl_str_puts(out, "}\n");
    }
    draw_legend(&drawing, graphs, count);
    tl_str_puts(out, "}\n");
    tl_mem_free(drawing.engines);
}

/* draw.c: graphs as Graphviz DOT.
 *
 * A primitive is a box: its operation in bold and what it is predicted to take, its step and name below, then the
 * attributes that matter; the colour says which engine executes it. A region is a frame around its body with a title
 * such as "map over hits"; its items come in at the parameter `item`, and what a body hands to its next instance goes
 * back by a thin arrow. Data edges are solid, control edges dashed, order edges dotted; boxes and edges of the critical
 * path are bold.
 *
 * The background is transparent, boxes are light with dark text, and everything outside a box is
 * drawn in colours that have enough contrast on white and on black. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "plan/draw_impl.h"

static const char *const palette[] = {"#a6cee3", "#b2df8a", "#fdbf6f", "#cab2d6", "#fb9a99",
                                      "#ffed6f", "#8dd3c7", "#fccde5", "#d9c3a5", "#bebada"};

const char *tl_draw_colour(size_t engine) {
    return palette[engine % (sizeof palette / sizeof *palette)];
}

/* ---- names ---- */

void tl_draw_put_quoted(struct tl_str *out, const char *text) {
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

static void put_ms(struct tl_str *out, double ms) {
    tl_str_printf(out, ms < 9.95 ? "%.1f ms" : "%.0f ms", ms);
}

/* ---- boxes ---- */

/* Attributes that a reader of the picture wants to see; the rest is in the text form. */
static const char *const shown[] = {"mode", "count", "size", "format", "items", "max_tokens", "parts"};

static void put_attributes(struct tl_str *out, const struct tl_node *node) {
    bool first = true;
    for (size_t i = 0; i < sizeof shown / sizeof *shown; i++) {
        const struct tl_attribute *attribute = tl_attributes_find(&node->attributes, shown[i]);
        if (attribute == NULL)
            continue;
        tl_str_puts(out, first ? "<br/><font point-size=\"9\" color=\"#333333\">" : ", ");
        first = false;
        if (attribute->kind == TL_ATTRIBUTE_STRING)
            put_text(out, attribute->as.string);
        else
            tl_str_printf(out, "%s %lld", attribute->name, (long long)attribute->as.integer);
    }
    if (!first)
        tl_str_puts(out, "</font>");
}

/* "embed on embedder, 513 ms": what a pointer that rests on the box is told. */
static void put_tooltip(const struct tl_draw *draw, const struct tl_node *node, const struct tl_plan_node *frozen) {
    struct tl_str text = TL_STR_INIT;
    tl_str_printf(&text, "%s on %s", tl_graph_info(node)->name, node->engine ? node->engine : "the runtime itself");
    if (frozen != NULL) {
        tl_str_puts(&text, ", ");
        put_ms(&text, frozen->cost_ms);
        tl_str_puts(&text, " predicted, ");
        put_ms(&text, frozen->rank);
        tl_str_puts(&text, " to the end");
    }
    tl_str_puts(draw->out, ", tooltip=");
    tl_draw_put_quoted(draw->out, text.data);
    tl_str_fini(&text);
}

static const char *colour_of(const struct tl_draw *draw, const struct tl_node *node) {
    for (size_t i = 0; i < draw->engine_count && node->engine != NULL; i++)
        if (strcmp(draw->engines[i], node->engine) == 0)
            return tl_draw_colour(i);
    return TL_DRAW_PLAIN;
}

static void draw_box(const struct tl_draw *draw, const struct tl_node *node) {
    struct tl_str *out = draw->out;
    const struct tl_plan_node *frozen = draw->plan != NULL ? draw->frozen[node->number] : NULL;
    tl_str_printf(out, "g%zu_n%u [id=\"g%zu_n%u\", fillcolor=\"%s\"", draw->number, node->number, draw->number,
                  node->number, colour_of(draw, node));
    if (frozen != NULL && frozen->critical > 0)
        tl_str_puts(out, ", penwidth=2.6, color=\"" TL_DRAW_CRITICAL "\"");
    tl_str_puts(out, ", label=<<b>");
    put_text(out, tl_graph_info(node)->name);
    tl_str_puts(out, "</b>");
    if (frozen != NULL && node->engine != NULL) {
        tl_str_puts(out, "<font point-size=\"9\">  ");
        if (frozen->critical > 1)
            tl_str_printf(out, "%u \xc3\x97 ", frozen->critical);
        put_ms(out, frozen->cost_ms);
        tl_str_puts(out, "</font>");
    }
    tl_str_puts(out, "<br/><font point-size=\"9\">");
    put_text(out, node->label);
    tl_str_puts(out, "</font>");
    put_attributes(out, node);
    tl_str_puts(out, ">");
    put_tooltip(draw, node, frozen);
    tl_str_puts(out, "];\n");
}

static void draw_parameters(struct tl_draw *draw, const struct tl_body *body) {
    for (uint32_t i = 0; i < body->parameters->output_count; i++) {
        if (!tl_draw_shows_parameter(body, i) || tl_draw_repeats_parameter(body, i))
            continue;
        tl_str_printf(draw->out, "g%zu_p%u_%u [shape=ellipse, fillcolor=\"" TL_DRAW_VALUE "\", label=", draw->number,
                      body->parameters->number, i);
        tl_draw_put_quoted(draw->out, body->parameters->outputs[i].name);
        tl_str_puts(draw->out, "];\n");
    }
}

/* "hits" for a list that is called after what is in it, "queries" for one that has a name. */
static void put_list_name(struct tl_str *out, const struct tl_node *region) {
    struct tl_ref from = region->inputs[0].from;
    const char *name = from.node->outputs[from.port].name;
    bool usual = strcmp(name, tl_base_type_name((enum tl_base_type)tl_graph_type(from).base)) == 0;
    tl_str_printf(out, "%s%s", name, usual ? "s" : "");
}

static void put_slices(struct tl_str *out, const struct tl_node *region) {
    long long slice = tl_attributes_integer(&region->attributes, "slice", 0);
    if (slice > 0)
        tl_str_printf(out, ", slices of %lld", slice);
}

static void put_title(struct tl_str *out, const struct tl_node *region) {
    switch (region->op) {
    case TL_OP_MAP:
        tl_str_puts(out, "map over ");
        put_list_name(out, region);
        put_slices(out, region);
        if (tl_attributes_bool(&region->attributes, "streamed", false))
            tl_str_puts(out, ", as they come");
        break;
    case TL_OP_FOLD:
        tl_str_puts(out, "fold over ");
        put_list_name(out, region);
        put_slices(out, region);
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

static void draw_frame_start(struct tl_draw *draw, const struct tl_node *region, const char *part) {
    struct tl_str *out = draw->out, title = TL_STR_INIT;
    if (part[0] == '\0')
        put_title(&title, region);
    else
        tl_str_puts(&title, part);
    tl_str_printf(out, "subgraph cluster_g%zu_n%u%s {\n", draw->number, region->number, part);
    tl_str_puts(out, "style=\"rounded\"; peripheries=1; color=\"" TL_DRAW_INK "\"; fontcolor=\"" TL_DRAW_INK
                     "\"; fontsize=11; "
                     "labeljust=l; label=");
    tl_draw_put_quoted(out, title.data);
    tl_str_puts(out, ";\n");
    if (part[0] == '\0') {
        tl_str_puts(out, "tooltip=");
        tl_draw_put_quoted(out, region->label);
        tl_str_puts(out, ";\n");
    }
    tl_str_fini(&title);
}

static void draw_body(struct tl_draw *draw, const struct tl_body *body);

static void draw_region(struct tl_draw *draw, const struct tl_node *node) {
    draw_frame_start(draw, node, "");
    tl_str_printf(draw->out, "g%zu_a%u [shape=point, style=invis, width=0, label=\"\"];\n", draw->number, node->number);
    for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
        if (node->op == TL_OP_COND)
            draw_frame_start(draw, node, r == 0 ? "then" : "else");
        draw_body(draw, node->regions[r]);
        for (size_t k = 0; k < node->regions[r]->result_count; k++) {
            if (!tl_draw_passes_through(node->regions[r], k))
                continue;
            tl_str_printf(draw->out, "g%zu_t%u_%zu_%zu [shape=ellipse, fillcolor=\"" TL_DRAW_VALUE "\", label=",
                          draw->number, node->number, r, k);
            tl_draw_put_quoted(draw->out, node->regions[r]->results[k].name);
            tl_str_puts(draw->out, "];\n");
        }
        if (node->op == TL_OP_COND)
            tl_str_puts(draw->out, "}\n");
    }
    tl_str_puts(draw->out, "}\n");
}

static void draw_body(struct tl_draw *draw, const struct tl_body *body) {
    draw_parameters(draw, body);
    for (size_t i = 0; i < body->node_count; i++)
        if (body->nodes[i]->regions[0] == NULL)
            draw_box(draw, body->nodes[i]);
        else
            draw_region(draw, body->nodes[i]);
}

/* ---- what the picture as a whole shows ---- */

struct engine_list {
    const char **items;
    size_t count, capacity;
};

static void collect_engines(struct engine_list *engines, const struct tl_body *body) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        size_t k = 0;
        while (node->engine != NULL && k < engines->count && strcmp(engines->items[k], node->engine) != 0)
            k++;
        if (node->engine != NULL && k == engines->count) {
            engines->items = tl_mem_grow(engines->items, &engines->capacity, k + 1, sizeof *engines->items);
            engines->items[engines->count++] = node->engine;
        }
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            collect_engines(engines, node->regions[r]);
    }
}

const char **tl_draw_engines(const struct tl_drawing *drawings, size_t count, size_t *engine_count) {
    struct engine_list engines = {0};
    for (size_t i = 0; i < count; i++)
        collect_engines(&engines, drawings[i].graph->root);
    *engine_count = engines.count;
    return engines.items;
}

static void find_edge_kinds(const struct tl_body *body, struct tl_draw_edge_kinds *kinds) {
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

struct tl_draw_edge_kinds tl_draw_edge_kinds(const struct tl_drawing *drawings, size_t count) {
    struct tl_draw_edge_kinds kinds = {false, false, false};
    for (size_t i = 0; i < count; i++) {
        find_edge_kinds(drawings[i].graph->root, &kinds);
        kinds.critical |= drawings[i].plan != NULL && drawings[i].plan->critical_count > 0;
    }
    return kinds;
}

static void draw_legend(struct tl_str *out, const char *const *engines, size_t engine_count,
                        struct tl_draw_edge_kinds kinds) {
    tl_str_puts(out, "labelloc=b; fontsize=11; fontcolor=\"" TL_DRAW_INK
                     "\"; label=<<table border=\"0\" cellborder=\"0\" cellspacing=\"3\"><tr>");
    for (size_t i = 0; i < engine_count; i++) {
        tl_str_printf(out, "<td bgcolor=\"%s\"><font color=\"#111111\"> ", tl_draw_colour(i));
        put_text(out, engines[i]);
        tl_str_puts(out, " </font></td>");
    }
    tl_str_puts(out, "<td bgcolor=\"" TL_DRAW_PLAIN "\"><font color=\"#111111\"> builtin </font></td>"
                     "<td>\xe2\x94\x80\xe2\x94\x80 data</td>");
    if (kinds.control)
        tl_str_puts(out, "<td><font color=\"" TL_DRAW_AFTER "\">\xe2\x95\xb6 \xe2\x95\xb6 after</font></td>");
    if (kinds.order)
        tl_str_puts(out, "<td>\xc2\xb7\xc2\xb7\xc2\xb7\xc2\xb7 order of the steps</td>");
    if (kinds.critical)
        tl_str_puts(out, "<td><font color=\"" TL_DRAW_CRITICAL
                         "\"><b>\xe2\x94\x81\xe2\x94\x81 critical path</b></font></td>");
    tl_str_puts(out, "</tr></table>>;\n");
}

/* ---- the graph ---- */

/* The frozen form of each node, by number. */
static void find_frozen(const struct tl_plan_node **frozen, const struct tl_body *body,
                        const struct tl_plan_body *plan) {
    for (size_t i = 0; i < body->node_count; i++) {
        frozen[body->nodes[i]->number] = &plan->nodes[i];
        for (size_t r = 0; r < 2 && body->nodes[i]->regions[r] != NULL; r++)
            find_frozen(frozen, body->nodes[i]->regions[r], plan->nodes[i].bodies[r]);
    }
}

static void draw_start(struct tl_str *out) {
    tl_str_puts(out,
                "digraph teola {\n"
                "compound=true; bgcolor=\"transparent\"; fontname=\"Helvetica\"; nodesep=0.18; ranksep=0.22;\n"
                "node [shape=box, style=\"filled,rounded\", color=\"" TL_DRAW_INK
                "\", fontname=\"Helvetica\", fontsize=11, fontcolor=\"#111111\", margin=\"0.08,0.04\", height=0.3];\n"
                "edge [color=\"" TL_DRAW_INK "\", arrowsize=0.6, fontname=\"Helvetica\"];\n");
}

static void draw_graph(const struct tl_drawing *drawing, size_t number, const char *const *engines,
                       size_t engine_count, struct tl_str *out) {
    struct tl_draw draw = {
        .out = out,
        .number = number,
        .plan = drawing->plan,
        .frozen = tl_mem_zalloc(drawing->graph->next_number * sizeof *draw.frozen),
        .engines = engines,
        .engine_count = engine_count,
    };
    if (drawing->plan != NULL)
        find_frozen(draw.frozen, drawing->graph->root, drawing->plan->root);
    draw_body(&draw, drawing->graph->root);
    tl_draw_edges(&draw, drawing->graph->root);
    tl_draw_results(&draw, drawing->graph->root);
    tl_mem_free(draw.frozen);
}

void tl_draw_one(const struct tl_drawing *drawing, size_t number, const char *const *engines, size_t engine_count,
                 struct tl_str *out) {
    draw_start(out);
    draw_graph(drawing, number, engines, engine_count, out);
    tl_str_puts(out, "}\n");
}

void tl_graph_draw_dot(const struct tl_drawing *drawings, size_t count, struct tl_str *out) {
    size_t engine_count;
    const char **engines = tl_draw_engines(drawings, count, &engine_count);
    draw_start(out);
    for (size_t i = 0; i < count; i++) {
        tl_str_printf(out,
                      "subgraph cluster_g%zu {\nperipheries=0; labelloc=t; fontcolor=\"" TL_DRAW_INK
                      "\"; fontsize=14; label=",
                      i);
        tl_draw_put_quoted(out, drawings[i].title);
        tl_str_puts(out, ";\n");
        draw_graph(&drawings[i], i, engines, engine_count, out);
        tl_str_puts(out, "}\n");
    }
    draw_legend(out, engines, engine_count, tl_draw_edge_kinds(drawings, count));
    tl_str_puts(out, "}\n");
    tl_mem_free(engines);
}

/* page.c: drawings as one page that needs nothing else: the pictures fitted to the window, beside them the critical
 * path or, for the box under the pointer, all that is known of it, and below them what the passes did. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "plan/draw_impl.h"

static const char style[] =
    ":root{color-scheme:light dark;--ink:#1c1c1e;--quiet:#5f5f66;--back:#ffffff;--card:#f6f6f8;--line:#d5d5da;"
    "--critical:#b81d57}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#ececf0;--quiet:#a5a5ae;--back:#17171a;--card:#222226;--line:#"
    "3a3a40;"
    "--critical:#ff7aa8}}\n"
    "*{box-sizing:border-box}body{margin:0;padding:8px 14px;font:13px/1.4 system-ui,sans-serif;color:var(--ink);"
    "background:var(--back)}\n"
    "header{display:flex;flex-wrap:wrap;gap:4px 18px;align-items:center;min-height:30px}h1{font-size:17px;margin:0}"
    "h2{font-size:14px;margin:0 0 6px}\n"
    ".legend{display:flex;flex-wrap:wrap;gap:4px 10px;align-items:center;margin:0;padding:0;list-style:none;"
    "color:var(--quiet)}\n"
    ".chip{border:1px solid #767676;border-radius:5px;padding:0 8px;color:#111}\n"
    ".rule{display:inline-block;width:26px;margin-right:6px;vertical-align:middle;border-top:1px solid " TL_DRAW_INK
    "}\n"
    ".after{border-top:2px dashed " TL_DRAW_AFTER "}.order{border-top:1px dotted " TL_DRAW_INK
    "}.critical{border-top:3px solid " TL_DRAW_CRITICAL "}\n"
    "main{display:flex;gap:14px;margin-top:6px;align-items:flex-start}\n"
    "figure{margin:0;flex:1 1 0;min-width:0}\n"
    "figcaption{color:var(--quiet);text-align:center;font-size:14px}figure svg{display:block;width:100%;height:auto;"
    "max-height:max(calc(100vh - 84px),420px)}\n"
    "aside{flex:0 0 310px;max-height:calc(100vh - 62px);overflow:auto;background:var(--card);border:1px solid "
    "var(--line);"
    "border-radius:8px;padding:10px 12px}\n"
    "table{border-collapse:collapse;width:100%}td{padding:1px 0;vertical-align:top;overflow-wrap:anywhere}"
    "td:last-child{text-align:right;white-space:nowrap;padding-left:8px;font-variant-numeric:tabular-nums}\n"
    "dl{display:grid;grid-template-columns:max-content 1fr;gap:2px 10px;margin:0}dt{color:var(--quiet)}"
    "dd{margin:0;overflow-wrap:anywhere;white-space:pre-wrap}\n"
    "tr.sum td{border-top:1px solid var(--line);font-weight:600}.mark{color:var(--critical);font-weight:600}\n"
    "small{color:var(--quiet)}section{margin:14px 0;max-width:110ch}pre{margin:0;white-space:pre-wrap;"
    "font:12px/1.5 ui-monospace,monospace}\n"
    ".titles text{paint-order:stroke;stroke:var(--back);stroke-width:4px;stroke-linejoin:round;fill:var(--quiet)}\n"
    "g.node{cursor:default}g.node:hover path,g.node:focus path,g.node.kept path{stroke:var(--ink);stroke-width:3}"
    "g.node:focus{outline:none}\n"
    "@media(max-width:900px){main{flex-direction:column}figure,aside{flex:none;width:100%}"
    "figure svg{max-height:none}}\n";

/* Details of a box come up when the pointer is on it or it has the focus; a click keeps them. */
static const char script[] =
    "const nodes=JSON.parse(document.getElementById('nodes').textContent),box=document.getElementById('details'),"
    "first=box.innerHTML;let kept=null;\n"
    "function show(g){box.replaceChildren();const n=nodes[g.id];const h=document.createElement('h2');"
    "h.textContent=n.title;box.append(h);const l=document.createElement('dl');"
    "for(const[k,v]of n.rows){const t=document.createElement('dt'),d=document.createElement('dd');t.textContent=k;"
    "d.textContent=v;l.append(t,d)}box.append(l)}\n"
    "function back(){kept?show(kept):box.innerHTML=first}\n"
    "for(const g of document.querySelectorAll('g.node')){if(!nodes[g.id])continue;g.setAttribute('tabindex','0');"
    "g.addEventListener('mouseenter',()=>show(g));g.addEventListener('mouseleave',back);"
    "g.addEventListener('focus',()=>show(g));g.addEventListener('blur',back);"
    "g.addEventListener('click',e=>{e.stopPropagation();if(kept)kept.classList.remove('kept');kept=kept===g?null:g;"
    "if(kept){kept.classList.add('kept');show(kept)}else back()})}\n"
    "document.addEventListener('click',e=>{if(kept&&!box.contains(e.target)){kept.classList.remove('kept');kept=null;"
    "back()}});\n";

static void put_text(struct tl_str *out, const char *text) {
    tl_str_put_xml(out, text, strlen(text));
}

/* ---- details ---- */

static void add_row(json_t *rows, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
static void add_row(json_t *rows, const char *name, const char *format, ...) {
    struct tl_str text = TL_STR_INIT;
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&text, format, args);
    va_end(args);
    json_t *value = json_stringn(text.data, text.length);
    json_array_append_new(rows, json_pack("[s, o]", name, value != NULL ? value : json_string("")));
    tl_str_fini(&text);
}

static void add_figures(json_t *rows, const struct tl_plan_node *frozen) {
    if (frozen->critical > 1)
        add_row(rows, "predicted", "%.1f ms, %u times one after the other", frozen->cost_ms, frozen->critical);
    else
        add_row(rows, "predicted", "%.1f ms", frozen->cost_ms);
    add_row(rows, "to the end", "%.1f ms", frozen->rank);
    add_row(rows, "critical", "%s", frozen->critical > 0 ? "on the critical path" : "no");
}

static const char *engine_name(const struct tl_node *node) {
    return node->engine != NULL ? node->engine : "none: the runtime itself";
}

static json_t *node_rows(const struct tl_node *node, const struct tl_plan_node *frozen) {
    json_t *rows = json_array();
    char type[24];
    add_row(rows, "label", "%s", node->label);
    add_row(rows, "engine", "%s", engine_name(node));
    if (frozen != NULL)
        add_figures(rows, frozen);
    for (size_t i = 0; i < node->input_count; i++) {
        const struct tl_node *from = node->inputs[i].from.node;
        bool parameter = from->op == TL_OP_PARAMETERS;
        add_row(rows, "takes", "%s: %s from %s", node->inputs[i].name,
                tl_type_print(tl_graph_type(node->inputs[i].from), type),
                parameter ? from->outputs[node->inputs[i].from.port].name : from->label);
    }
    for (size_t i = 0; i < node->wait_count; i++)
        add_row(rows, node->waits[i].kind == TL_EDGE_CONTROL ? "after" : "order", "%s", node->waits[i].node->label);
    for (uint32_t i = 0; i < node->output_count; i++)
        add_row(rows, "gives", "%s: %s", node->outputs[i].name, tl_type_print(node->outputs[i].type, type));
    for (size_t i = 0; i < node->attributes.count; i++) {
        const struct tl_attributes one = {&node->attributes.items[i], 1, 1};
        struct tl_str text = TL_STR_INIT;
        if (one.items->kind == TL_ATTRIBUTE_STRING)
            tl_str_puts(&text, one.items->as.string);
        else
            tl_attributes_print(&one, &text);
        const char *value = one.items->kind == TL_ATTRIBUTE_STRING ? text.data : strchr(text.data, '=');
        add_row(rows, one.items->name, "%s", value == NULL ? text.data : value + (*value == '='));
        tl_str_fini(&text);
    }
    return rows;
}

static void add_nodes(json_t *nodes, const struct tl_body *body, const struct tl_plan_body *plan, size_t number) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        const struct tl_plan_node *frozen = plan != NULL ? &plan->nodes[i] : NULL;
        char id[48];
        snprintf(id, sizeof id, "p%zu-g%zu_n%u", number, number, node->number);
        if (node->regions[0] == NULL)
            json_object_set_new(nodes, id, json_pack("{s:s, s:o}", "title", tl_graph_info(node)->name, "rows",
                                                     node_rows(node, frozen)));
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            add_nodes(nodes, node->regions[r], frozen != NULL ? frozen->bodies[r] : NULL, number);
    }
}

/* A script ends at "</script>", and not even there once "<!--" and "<script" stood in it. */
static void put_script_json(struct tl_str *out, const char *json) {
    for (size_t length; *json != '\0'; json += length) {
        length = strcspn(json, "<");
        tl_str_append(out, json, length);
        if (json[length] == '<') {
            tl_str_puts(out, "\\u003c");
            length++;
        }
    }
}

static void put_nodes(struct tl_str *out, const struct tl_drawing *drawings, size_t count) {
    json_t *nodes = json_object();
    for (size_t i = 0; i < count; i++)
        add_nodes(nodes, drawings[i].graph->root, drawings[i].plan != NULL ? drawings[i].plan->root : NULL, i);
    char *text = json_dumps(nodes, JSON_COMPACT);
    tl_str_puts(out, "<script type=\"application/json\" id=\"nodes\">");
    put_script_json(out, text != NULL ? text : "{}");
    tl_str_puts(out, "</script>\n");
    free(text);
    json_decref(nodes);
}

/* ---- the page ---- */

static void put_chip(struct tl_str *out, const char *colour, const char *name) {
    tl_str_printf(out, "<li class=\"chip\" style=\"background:%s\">", colour);
    put_text(out, name);
    tl_str_puts(out, "</li>");
}

static void put_header(struct tl_str *out, const struct tl_drawing *drawings, size_t count, const char *const *engines,
                       size_t engine_count) {
    struct tl_draw_edge_kinds kinds = tl_draw_edge_kinds(drawings, count);
    tl_str_puts(out, "<header><h1>");
    put_text(out, drawings[0].graph->name);
    tl_str_puts(out, "</h1><ul class=\"legend\">");
    for (size_t i = 0; i < engine_count; i++)
        put_chip(out, tl_draw_colour(i), engines[i]);
    put_chip(out, TL_DRAW_PLAIN, "builtin");
    tl_str_puts(out, "<li><span class=\"rule\"></span>data</li>");
    if (kinds.control)
        tl_str_puts(out, "<li><span class=\"rule after\"></span>after</li>");
    if (kinds.order)
        tl_str_puts(out, "<li><span class=\"rule order\"></span>order of the steps</li>");
    if (kinds.critical)
        tl_str_puts(out, "<li><span class=\"rule critical\"></span>critical path</li>");
    tl_str_puts(out, "</ul></header>\n");
}

/* The critical path of the last graph that has one: what is read beside the pictures at first. */
static void put_critical_path(struct tl_str *out, const struct tl_drawing *drawings, size_t count) {
    const struct tl_plan *plan = NULL;
    for (size_t i = 0; i < count; i++)
        plan = drawings[i].plan != NULL ? drawings[i].plan : plan;
    tl_str_puts(out, "<aside id=\"details\" aria-live=\"polite\">");
    if (plan != NULL) {
        tl_str_puts(out, "<h2>Critical path</h2><table>");
        for (size_t i = 0; i < plan->critical_count; i++) {
            const struct tl_plan_step *step = &plan->critical[i];
            if (step->node->engine == TL_PLAN_NO_ENGINE)
                continue;
            tl_str_printf(out, "<tr><td>%s <small>", tl_primitive_info(step->node->op)->name);
            put_text(out, step->node->label);
            if (step->times > 1)
                tl_str_printf(out, ", %u &times; %.1f", step->times, step->node->cost_ms);
            tl_str_printf(out, "</small></td><td>%.1f ms</td></tr>", step->node->cost_ms * step->times);
        }
        tl_str_printf(out, "<tr class=\"sum\"><td>predicted</td><td>%.0f ms</td></tr></table><p><small>Figures: ",
                      plan->critical_ms);
        tl_plan_put_basis(plan, out);
        tl_str_puts(out, ".</small></p>");
    }
    tl_str_puts(out, "<p><small>Point at a box for what is known of it; click to keep it.</small></p></aside>\n");
}

static enum tl_status put_figures(struct tl_str *out, const struct tl_drawing *drawings, size_t count,
                                  const char *const *engines, size_t engine_count, struct tl_error *error) {
    enum tl_status status = TL_OK;
    for (size_t i = 0; i < count && status == TL_OK; i++) {
        struct tl_draw_picture picture;
        status = tl_draw_picture(&drawings[i], i, engines, engine_count, &picture, error);
        if (status == TL_OK) {
            /* Wide pictures get more of the window's width, and none is blown up beyond its size. */
            tl_str_printf(out, "<figure style=\"flex-grow:%.0f;max-width:%.0fpt\"><figcaption>", picture.width,
                          picture.width * 1.1);
            tl_draw_put_title(&drawings[i], out);
            tl_str_printf(out,
                          "</figcaption>\n<svg viewBox=\"0 0 %.2f %.2f\" preserveAspectRatio=\"xMidYMin meet\" "
                          "role=\"img\">\n",
                          picture.width, picture.height);
            tl_str_append(out, picture.elements.data, picture.elements.length);
            tl_str_puts(out, "</svg></figure>\n");
        }
        tl_str_fini(&picture.elements);
    }
    return status;
}

enum tl_status tl_graph_draw_html(const struct tl_drawing *drawings, size_t count, const char *notes,
                                  struct tl_str *out, struct tl_error *error) {
    size_t engine_count, start = out->length;
    const char **engines = tl_draw_engines(drawings, count, &engine_count);
    tl_str_puts(out, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>");
    put_text(out, drawings[0].graph->name);
    tl_str_printf(out, "</title>\n<style>\n%s</style></head>\n<body>\n", style);
    put_header(out, drawings, count, engines, engine_count);
    tl_str_puts(out, "<main>\n");
    enum tl_status status = put_figures(out, drawings, count, engines, engine_count, error);
    put_critical_path(out, drawings, count);
    tl_str_puts(out, "</main>\n");
    if (notes != NULL) {
        tl_str_puts(out, "<section><h2>What the passes did</h2><pre>");
        put_text(out, notes);
        tl_str_puts(out, "</pre></section>\n");
    }
    put_nodes(out, drawings, count);
    tl_str_printf(out, "<script>\n%s</script>\n</body></html>\n", script);
    tl_mem_free(engines);
    if (status != TL_OK)
        tl_str_truncate(out, start);
    return status;
}

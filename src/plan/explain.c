/* explain.c: a plan as text for people: the graph that runs, then a line for each primitive: who executes it, how long
 * that is predicted to take, how far it is from the end of the query, and what it waits for; then the critical path.
 * The numbers are those of the printed graph. The text depends on the graph and the profile alone, so it can be
 * compared and kept under version control. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "plan/plan.h"

struct row {
    const struct tl_plan_node *frozen;
    struct tl_str name, waits;
    const char *engine;
};

struct table {
    struct row *rows;
    size_t count, capacity;
    unsigned *numbers; /* by node number: as printed */
    size_t name_width, engine_width;
};

static void put_wait(struct tl_str *out, const char *text) {
    tl_str_printf(out, "%s%s", out->length == 0 ? "" : ", ", text);
}

/* What an input waits for; nothing when it is there from the start or an earlier input waits for the same. */
static void put_input(const struct table *table, const struct tl_node *node, size_t input, struct tl_str *out) {
    struct tl_ref from = node->inputs[input].from;
    bool parameter = from.node->op == TL_OP_PARAMETERS;
    char text[32];
    for (size_t i = 0; i < input; i++)
        if (node->inputs[i].from.node == from.node && (!parameter || node->inputs[i].from.port == from.port))
            return;
    if (!parameter) {
        snprintf(text, sizeof text, "%%%u", table->numbers[from.node->number]);
        put_wait(out, text);
    } else if (from.node->body == node->body && node->body->owner != NULL) {
        put_wait(out, from.node->outputs[from.port].name);
    }
}

static void put_waits(struct table *table, const struct tl_node *node, struct tl_str *out) {
    for (size_t i = 0; i < node->input_count; i++)
        put_input(table, node, i, out);
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < node->wait_count; i++) {
            char text[32];
            if (node->waits[i].kind != (k == 0 ? TL_EDGE_CONTROL : TL_EDGE_ORDER))
                continue;
            snprintf(text, sizeof text, "%s %%%u", k == 0 ? "after" : "order",
                     table->numbers[node->waits[i].node->number]);
            put_wait(out, text);
        }
    if (out->length == 0)
        tl_str_puts(out, "nothing");
}

static const char *engine_of(const struct tl_plan *plan, const struct tl_plan_node *node) {
    if (node->engine != TL_PLAN_NO_ENGINE)
        return plan->engines[node->engine];
    return node->capability == TL_CAPABILITY_REGION ? "-" : "builtin";
}

static void add_rows(struct table *table, const struct tl_plan *plan, const struct tl_body *body,
                     const struct tl_plan_body *frozen, unsigned depth) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        table->rows = tl_mem_grow(table->rows, &table->capacity, table->count + 1, sizeof *table->rows);
        struct row *row = &table->rows[table->count++];
        *row = (struct row){.frozen = &frozen->nodes[i], .name = TL_STR_INIT, .waits = TL_STR_INIT};
        table->numbers[node->number] = (unsigned)table->count;
        row->engine = engine_of(plan, row->frozen);
        tl_str_printf(&row->name, "%*s%%%zu %s %s", (int)(2 * depth), "", table->count, tl_graph_info(node)->name,
                      node->label);
        put_waits(table, node, &row->waits);
        if (row->name.length > table->name_width)
            table->name_width = row->name.length;
        if (strlen(row->engine) > table->engine_width)
            table->engine_width = strlen(row->engine);
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            add_rows(table, plan, node->regions[r], frozen->nodes[i].bodies[r], depth + 1);
    }
}

/* Builtins and the opening of regions take hundredths of a millisecond: nothing to read about. */
static bool is_told(const struct tl_plan_step *step) {
    return step->node->engine != TL_PLAN_NO_ENGINE;
}

void tl_plan_put_basis(const struct tl_plan *plan, struct tl_str *out) {
    uint32_t measured = 0;
    for (uint32_t i = 0; i < plan->engine_count; i++)
        measured += plan->measured[i];
    if (measured == 0 || measured == plan->engine_count) {
        tl_str_puts(out, measured == 0 ? "defaults, not measured here" : "measured");
        return;
    }
    for (int k = 0; k < 2; k++) {
        tl_str_puts(out, k == 0 ? "measured for" : "; defaults for");
        bool first = true;
        for (uint32_t i = 0; i < plan->engine_count; i++) {
            if (plan->measured[i] != (k == 0))
                continue;
            tl_str_printf(out, "%s %s", first ? "" : ",", plan->engines[i]);
            first = false;
        }
    }
}

static void put_critical_path(const struct tl_plan *plan, const struct table *table, struct tl_str *out) {
    tl_str_printf(out, "\ncritical path: %.0f ms predicted (", plan->critical_ms);
    tl_plan_put_basis(plan, out);
    tl_str_puts(out, ")\n");
    for (size_t i = 0; i < plan->critical_count; i++) {
        const struct tl_plan_step *step = &plan->critical[i];
        const struct tl_plan_node *node = step->node;
        if (!is_told(step))
            continue;
        size_t row = 0;
        while (table->rows[row].frozen != node)
            row++;
        struct tl_str name = TL_STR_INIT;
        tl_str_printf(&name, "%%%zu %s %s", row + 1, tl_primitive_info(node->op)->name, node->label);
        tl_str_printf(out, "%-*s  %-*s  %7.1f", (int)table->name_width, name.data, (int)table->engine_width,
                      engine_of(plan, node), node->cost_ms * step->times);
        if (step->times > 1)
            tl_str_printf(out, "  %u x %.1f", step->times, node->cost_ms);
        tl_str_putc(out, '\n');
        tl_str_fini(&name);
    }
}

void tl_plan_explain(const struct tl_plan *plan, struct tl_str *out) {
    struct table table = {.name_width = strlen("primitive"), .engine_width = strlen("engine")};
    table.numbers = tl_mem_zalloc(plan->graph->next_number * sizeof *table.numbers);
    add_rows(&table, plan, plan->graph->root, plan->root, 0);
    tl_graph_print(plan->graph, out);
    tl_str_printf(out, "\n%-*s  %-*s       ms    rank  waits for\n", (int)table.name_width, "primitive",
                  (int)table.engine_width, "engine");
    for (size_t i = 0; i < table.count; i++) {
        struct row *row = &table.rows[i];
        tl_str_printf(out, "%-*s  %-*s  ", (int)table.name_width, row->name.data, (int)table.engine_width, row->engine);
        if (row->frozen->capability == TL_CAPABILITY_REGION)
            tl_str_puts(out, "      -");
        else
            tl_str_printf(out, "%7.1f", row->frozen->cost_ms);
        tl_str_printf(out, "  %6.0f  %s%s\n", row->frozen->rank, row->waits.data,
                      row->frozen->streamed ? " (items as they come)" : "");
    }
    put_critical_path(plan, &table, out);
    for (size_t i = 0; i < table.count; i++) {
        tl_str_fini(&table.rows[i].name);
        tl_str_fini(&table.rows[i].waits);
    }
    tl_mem_free(table.rows);
    tl_mem_free(table.numbers);
}

static json_t *node_json(const struct tl_plan *plan, const struct tl_plan_node *node) {
    json_t *object = json_pack("{s:s, s:s, s:s}", "primitive", tl_primitive_info(node->op)->name, "label", node->label,
                               "step", node->step);
    json_object_set_new(object, "engine",
                        node->engine == TL_PLAN_NO_ENGINE ? json_null() : json_string(plan->engines[node->engine]));
    json_object_set_new(object, "ms", json_real(node->cost_ms));
    json_object_set_new(object, "rank", json_real(node->rank));
    json_object_set_new(object, "critical", json_integer(node->critical));
    return object;
}

static json_t *body_json(const struct tl_plan *plan, const struct tl_plan_body *body) {
    json_t *nodes = json_array();
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_plan_node *node = &body->nodes[i];
        json_t *object = node_json(plan, node);
        for (size_t r = 0; r < 2 && node->bodies[r] != NULL; r++)
            json_object_set_new(object, r == 0 ? "body" : "else", body_json(plan, node->bodies[r]));
        json_array_append_new(nodes, object);
    }
    return nodes;
}

json_t *tl_plan_to_json(const struct tl_plan *plan) {
    struct tl_str text = TL_STR_INIT;
    json_t *measured = json_object(), *path = json_array();
    tl_graph_print(plan->graph, &text);
    for (uint32_t i = 0; i < plan->engine_count; i++)
        json_object_set_new(measured, plan->engines[i], json_boolean(plan->measured[i]));
    for (size_t i = 0; i < plan->critical_count; i++) {
        const struct tl_plan_step *step = &plan->critical[i];
        if (is_told(step))
            json_array_append_new(path, json_pack("{s:s, s:i, s:f}", "label", step->node->label, "times",
                                                  (int)step->times, "ms", step->node->cost_ms * step->times));
    }
    json_t *plan_json = json_pack("{s:s, s:o, s:o, s:f, s:o}", "graph", text.data, "nodes", body_json(plan, plan->root),
                                  "measured", measured, "critical_ms", plan->critical_ms, "critical_path", path);
    tl_str_fini(&text);
    return plan_json;
}

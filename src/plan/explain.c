/* explain.c: a plan as text for people: the graph that runs, then a line for each primitive: who executes
 * it, what it waits for, and how far it is from the end of the query. The numbers are those of the
 * printed graph. The text depends on the graph alone, so it can be compared and kept under version control. */
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

void tl_plan_explain(const struct tl_plan *plan, struct tl_str *out) {
    struct table table = {.name_width = strlen("primitive"), .engine_width = strlen("engine")};
    table.numbers = tl_mem_zalloc(plan->graph->next_number * sizeof *table.numbers);
    add_rows(&table, plan, plan->graph->root, plan->root, 0);
    tl_graph_print(plan->graph, out);
    tl_str_printf(out, "\n%-*s  %-*s  rank  waits for\n", (int)table.name_width, "primitive", (int)table.engine_width,
                  "engine");
    for (size_t i = 0; i < table.count; i++) {
        struct row *row = &table.rows[i];
        tl_str_printf(out, "%-*s  %-*s  %4.0f  %s%s\n", (int)table.name_width, row->name.data, (int)table.engine_width,
                      row->engine, row->frozen->rank, row->waits.data,
                      row->frozen->streamed ? " (items as they come)" : "");
        tl_str_fini(&row->name);
        tl_str_fini(&row->waits);
    }
    tl_mem_free(table.rows);
    tl_mem_free(table.numbers);
}

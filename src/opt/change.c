/* change.c: see change.h. */
#include "opt/change.h"

#include <string.h>

#include "base/error.h"
#include "base/mem.h"

static bool label_taken(const struct tl_body *body, const char *label) {
    for (size_t i = 0; i < body->node_count; i++)
        if (strcmp(body->nodes[i]->label, label) == 0) return true;
    return false;
}

const char *tl_opt_unique_label(const struct tl_body *body, const char *wanted) {
    const char *label = wanted;
    for (unsigned n = 2; label_taken(body, label); n++)
        label = tl_arena_printf(&body->graph->arena, "%s_%u", wanted, n);
    return label;
}

struct marks {
    const bool *marked;
    bool found;
};

static void look_at(void *context, struct tl_node *before, enum tl_edge_kind kind) {
    (void)kind;
    struct marks *marks = context;
    marks->found = marks->found || marks->marked[before->number];
}

bool tl_opt_depends_on_marked(const struct tl_node *node, const bool *marked) {
    struct marks marks = {.marked = marked};
    tl_graph_each_predecessor(node, look_at, &marks);
    return marks.found;
}

void tl_opt_sort(struct tl_body *body) {
    /* Repeatedly the first node that depends on none of those still to be placed. */
    bool *waiting = tl_mem_zalloc((body->graph->next_number + 1) * sizeof *waiting);
    for (size_t i = 0; i < body->node_count; i++) waiting[body->nodes[i]->number] = true;
    for (size_t placed = 0; placed < body->node_count; placed++) {
        size_t next = placed;
        for (; next < body->node_count; next++) {
            waiting[body->nodes[next]->number] = false; /* a node may not wait for itself */
            bool free = !tl_opt_depends_on_marked(body->nodes[next], waiting);
            waiting[body->nodes[next]->number] = true;
            if (free) break;
        }
        if (next == body->node_count) TL_BUG("body of \"%s\" has a cycle", body->owner ? body->owner->label : "root");
        struct tl_node *node = body->nodes[next];
        memmove(&body->nodes[placed + 1], &body->nodes[placed], (next - placed) * sizeof *body->nodes);
        body->nodes[placed] = node;
        waiting[node->number] = false;
    }
    tl_mem_free(waiting);
}

void tl_opt_move_waits(struct tl_node *from, struct tl_node *to) {
    while (from->wait_count > 0) {
        struct tl_wait wait = from->waits[0];
        tl_graph_unwait(from, wait.node, wait.kind);
        tl_graph_wait(to, wait.node, wait.kind);
    }
}

void tl_opt_replace_waits(struct tl_node *of, struct tl_node *by) {
    const struct tl_body *body = of->body;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *waiter = body->nodes[i];
        for (size_t k = 0; k < waiter->wait_count;) {
            struct tl_wait wait = waiter->waits[k];
            if (wait.node != of || !tl_graph_unwait(waiter, of, wait.kind)) {
                k++;
                continue;
            }
            tl_graph_wait(waiter, by, wait.kind);
            k = 0; /* the list of waits has changed */
        }
    }
}

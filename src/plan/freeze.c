/* freeze.c: from a verified graph to the flat, immutable plan: bodies get their numbers and nodes their places, then
 * bodies, nodes and sources are written into the plan's arena. What is predicted of nodes comes from estimate.c and
 * rank.c. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "plan/plan_impl.h"

#define MOST_SLOTS (TL_PLAN_NO_SLOT - 1)

/* What is known of each node, by its number. */
struct place {
    uint32_t position;     /* among the nodes of its body */
    uint16_t first_output; /* its first slot */
    struct tl_plan_node *frozen;
};

struct freezer {
    struct tl_graph *graph;
    struct tl_plan *plan;
    struct place *places;
    struct tl_prediction *predictions;
    struct tl_body **bodies; /* outermost first, as they get their numbers */
    size_t body_capacity;
    const char **engines;
    size_t engine_capacity;
};

/* ---- limits ---- */

static enum tl_status check_body(const struct tl_body *body, struct tl_error *error) {
    const char *where = body->owner == NULL ? "the graph" : body->owner->label;
    size_t slots = body->parameters->output_count;
    size_t uses = body->result_count + body->node_count; /* a region holds each outer value once */
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        slots += node->output_count;
        uses += node->input_count;
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
            enum tl_status status = check_body(node->regions[r], error);
            if (status != TL_OK)
                return status;
        }
    }
    if (slots > MOST_SLOTS || uses > UINT16_MAX)
        return tl_error_set(error, TL_ERR_LIMIT,
                            "%s holds %zu values and uses values %zu times, the limits are %u and %u", where,
                            slots, uses, MOST_SLOTS, UINT16_MAX);
    return TL_OK;
}

static enum tl_status check_graph(const struct tl_graph *graph, struct tl_error *error) {
    struct tl_diagnostics findings;
    enum tl_status status = TL_OK;
    tl_diagnostics_init(&findings, graph->name);
    if (!tl_graph_verify(graph, &findings)) {
        size_t first = 0;
        while (findings.items[first].severity != TL_SEVERITY_ERROR)
            first++;
        status = tl_error_set(error, TL_ERR_INVALID, "graph \"%s\": %s", graph->name, findings.items[first].message);
    }
    tl_diagnostics_fini(&findings);
    return status != TL_OK ? status : check_body(graph->root, error);
}

static struct place *place_of(struct freezer *freezer, const struct tl_node *node) {
    return &freezer->places[node->number];
}

/* ---- numbering ---- */

static void number_body(struct freezer *freezer, struct tl_body *body) {
    freezer->bodies = tl_mem_grow(freezer->bodies, &freezer->body_capacity, freezer->plan->body_count + 1,
                                  sizeof *freezer->bodies);
    freezer->bodies[freezer->plan->body_count++] = body;
    size_t slot = body->parameters->output_count;
    for (size_t i = 0; i < body->node_count; i++) {
        struct tl_node *node = body->nodes[i];
        struct place *place = place_of(freezer, node);
        place->position = (uint32_t)i;
        place->first_output = (uint16_t)slot;
        slot += node->output_count;
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            number_body(freezer, node->regions[r]);
    }
}

static struct tl_plan_body *frozen(struct freezer *freezer, const struct tl_body *body) {
    for (uint32_t i = 0; i < freezer->plan->body_count; i++)
        if (freezer->bodies[i] == body)
            return freezer->plan->bodies[i];
    TL_BUG("a body of another graph");
}

static uint32_t engine_number(struct freezer *freezer, const char *engine) {
    if (engine == NULL)
        return TL_PLAN_NO_ENGINE;
    uint32_t count = freezer->plan->engine_count;
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(freezer->engines[i], engine) == 0)
            return i;
    freezer->engines = tl_mem_grow(freezer->engines, &freezer->engine_capacity, count + 1, sizeof *freezer->engines);
    freezer->engines[count] = engine;
    return freezer->plan->engine_count++;
}

/* ---- writing ---- */

static struct tl_plan_source source_of(struct freezer *freezer, const struct tl_body *from, struct tl_ref ref) {
    struct tl_plan_source source = {0};
    for (; from != ref.node->body; from = from->owner->body)
        source.up++;
    source.slot = (uint16_t)(place_of(freezer, ref.node)->first_output + ref.port);
    return source;
}

struct captures {
    struct tl_plan_source *items;
    size_t count, capacity;
};

/* Notes a use that stands `inside` bodies below the one that the captures are seen from. */
static void capture(struct captures *captures, struct tl_plan_source source, uint16_t inside) {
    if (source.up < inside)
        return;
    source.up = (uint16_t)(source.up - inside);
    for (size_t i = 0; i < captures->count; i++)
        if (captures->items[i].up == source.up && captures->items[i].slot == source.slot)
            return;
    captures->items = tl_mem_grow(captures->items, &captures->capacity, captures->count + 1, sizeof *captures->items);
    captures->items[captures->count++] = source;
}

static void collect_captures(struct freezer *freezer, const struct tl_body *body, uint16_t inside,
                             struct captures *captures) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->input_count; k++)
            capture(captures, source_of(freezer, body, node->inputs[k].from), inside);
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            collect_captures(freezer, node->regions[r], (uint16_t)(inside + 1), captures);
    }
    for (size_t i = 0; i < body->result_count; i++)
        capture(captures, source_of(freezer, body, body->results[i].from), inside);
}

static void write_inputs(struct freezer *freezer, const struct tl_node *node, struct tl_plan_node *out) {
    const struct tl_signature *signature = tl_signature_of(node->op);
    size_t most = node->input_count + signature->input_count;
    struct tl_plan_source *sources = tl_arena_alloc(&freezer->plan->arena, most * sizeof *sources);
    const char **names = tl_arena_alloc(&freezer->plan->arena, most * sizeof *names);
    size_t count = 0, given = 0;
    /* The graph keeps inputs in the order of the signature: absent optional ones leave a gap. */
    for (size_t p = 0; p < signature->input_count; p++) {
        bool found = false;
        while (given < node->input_count && tl_signature_find_input(signature, node->inputs[given].name) == p) {
            sources[count] = source_of(freezer, node->body, node->inputs[given].from);
            names[count++] = node->inputs[given++].name;
            found = true;
        }
        if (!found && !signature->inputs[p].variadic) {
            sources[count] = (struct tl_plan_source){.slot = TL_PLAN_NO_SLOT};
            names[count++] = signature->inputs[p].name;
        }
    }
    TL_ASSERT(given == node->input_count);
    out->inputs = sources;
    out->input_names = names;
    out->input_count = (uint16_t)count;
}

static int by_number(const void *a, const void *b) {
    uint16_t left = *(const uint16_t *)a, right = *(const uint16_t *)b;
    return (left > right) - (left < right);
}

static void write_node(struct freezer *freezer, const struct tl_node *node, struct tl_plan_node *out) {
    struct tl_arena *arena = &freezer->plan->arena;
    const struct tl_primitive_info *info = tl_graph_info(node);
    const struct place *place = place_of(freezer, node);
    out->op = node->op;
    out->capability = info->capability;
    out->flags = info->flags;
    out->label = node->label;
    out->step = node->step;
    out->engine = engine_number(freezer, node->engine);
    out->attributes = &node->attributes;
    out->first_output = place->first_output;
    out->output_count = (uint16_t)node->output_count;
    out->continues = tl_attributes_bool(&node->attributes, "continues", false);
    out->streamed = node->op == TL_OP_MAP && tl_attributes_bool(&node->attributes, "streamed", false);
    out->cost_ms = freezer->predictions[node->number].cost;
    out->rank = freezer->predictions[node->number].rank;
    write_inputs(freezer, node, out);

    uint16_t *waits = tl_arena_alloc(arena, node->wait_count * sizeof *waits);
    for (size_t i = 0; i < node->wait_count; i++)
        waits[i] = (uint16_t)place_of(freezer, node->waits[i].node)->position;
    qsort(waits, node->wait_count, sizeof *waits, by_number);
    out->waits = waits;
    out->wait_count = (uint16_t)node->wait_count;

    struct captures captures = {0};
    for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
        out->bodies[r] = frozen(freezer, node->regions[r]);
        collect_captures(freezer, node->regions[r], 1, &captures);
    }
    out->captures = tl_arena_copy(arena, captures.items, captures.count * sizeof *captures.items);
    out->capture_count = (uint16_t)captures.count;
    tl_mem_free(captures.items);
}

static void write_waiters(struct freezer *freezer, struct tl_plan_node *nodes, size_t count) {
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < nodes[i].wait_count; k++)
            nodes[nodes[i].waits[k]].waiter_count++;
    uint16_t **waiters = tl_mem_zalloc((count + 1) * sizeof *waiters);
    for (size_t i = 0; i < count; i++) {
        waiters[i] = tl_arena_alloc(&freezer->plan->arena, nodes[i].waiter_count * sizeof **waiters);
        nodes[i].waiters = waiters[i];
        nodes[i].waiter_count = 0;
    }
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < nodes[i].wait_count; k++) {
            size_t on = nodes[i].waits[k];
            waiters[on][nodes[on].waiter_count++] = (uint16_t)i;
        }
    tl_mem_free(waiters);
}

static void count_uses(const struct tl_plan_source *sources, size_t count, uint16_t *uses) {
    for (size_t i = 0; i < count; i++)
        if (sources[i].up == 0 && sources[i].slot != TL_PLAN_NO_SLOT)
            uses[sources[i].slot]++;
}

static void write_body(struct freezer *freezer, const struct tl_body *body, struct tl_plan_body *out) {
    struct tl_arena *arena = &freezer->plan->arena;
    size_t slots = body->parameters->output_count;
    for (size_t i = 0; i < body->node_count; i++)
        slots += body->nodes[i]->output_count;
    struct tl_output *outputs = tl_arena_alloc(arena, slots * sizeof *outputs);
    uint16_t *uses = tl_arena_alloc(arena, slots * sizeof *uses);
    struct tl_plan_node *nodes = tl_arena_alloc(arena, body->node_count * sizeof *nodes);
    struct tl_plan_source *results = tl_arena_alloc(arena, body->result_count * sizeof *results);
    const char **names = tl_arena_alloc(arena, body->result_count * sizeof *names);

    for (size_t i = 0; i < body->parameters->output_count; i++)
        outputs[i] = body->parameters->outputs[i];
    for (size_t i = 0; i < body->node_count; i++) {
        place_of(freezer, body->nodes[i])->frozen = &nodes[i];
        write_node(freezer, body->nodes[i], &nodes[i]);
        for (size_t k = 0; k < body->nodes[i]->output_count; k++)
            outputs[nodes[i].first_output + k] = body->nodes[i]->outputs[k];
        count_uses(nodes[i].inputs, nodes[i].input_count, uses);
        count_uses(nodes[i].captures, nodes[i].capture_count, uses);
    }
    for (size_t i = 0; i < body->result_count; i++) {
        results[i] = source_of(freezer, body, body->results[i].from);
        names[i] = body->results[i].name;
    }
    count_uses(results, body->result_count, uses);
    write_waiters(freezer, nodes, body->node_count);

    out->outer = body->owner == NULL ? NULL : frozen(freezer, body->owner->body);
    out->parameter_count = (uint16_t)body->parameters->output_count;
    out->node_count = (uint16_t)body->node_count;
    out->slot_count = (uint16_t)slots;
    out->result_count = (uint16_t)body->result_count;
    out->nodes = nodes;
    out->results = results;
    out->result_names = names;
    out->slot_uses = uses;
    out->slots = outputs;
}

/* Marks the nodes whose list a streamed map takes item by item. */
static void mark_pieces(struct freezer *freezer, const struct tl_body *body) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        if (node->op == TL_OP_MAP && tl_attributes_bool(&node->attributes, "streamed", false)) {
            const struct tl_node *source = node->inputs[0].from.node;
            if (source->op != TL_OP_PARAMETERS)
                place_of(freezer, source)->frozen->pieces = true;
        }
    }
}

static const struct tl_plan_node *frozen_node(struct freezer *freezer, const struct tl_node *node) {
    return node == NULL ? NULL : place_of(freezer, node)->frozen;
}

/* Marks the nodes of the critical path and takes it over. */
static void write_critical_path(struct freezer *freezer, const struct tl_critical_path *path) {
    struct tl_plan *plan = freezer->plan;
    plan->critical = tl_arena_alloc(&plan->arena, path->count * sizeof *plan->critical);
    plan->critical_count = path->count;
    for (size_t i = 0; i < path->count; i++) {
        struct tl_plan_node *node = place_of(freezer, path->nodes[i].node)->frozen;
        node->critical = path->nodes[i].times;
        plan->critical[i] = (struct tl_plan_step){node, path->nodes[i].times};
    }
    plan->links = tl_arena_alloc(&plan->arena, path->link_count * sizeof *plan->links);
    plan->link_count = path->link_count;
    for (size_t i = 0; i < path->link_count; i++)
        plan->links[i] = (struct tl_plan_link){frozen_node(freezer, path->links[i].from),
                                               frozen_node(freezer, path->links[i].to)};
    plan->critical_ms = path->count > 0 ? plan->critical[0].node->rank : 0;
}

static void write_engines(struct freezer *freezer, const struct tl_cost *cost) {
    struct tl_plan *plan = freezer->plan;
    bool *measured = tl_arena_alloc(&plan->arena, plan->engine_count * sizeof *measured);
    double *work = tl_arena_alloc(&plan->arena, plan->engine_count * sizeof *work);
    plan->engines = tl_arena_copy(&plan->arena, freezer->engines, plan->engine_count * sizeof *freezer->engines);
    for (uint32_t i = 0; i < plan->engine_count; i++)
        measured[i] = tl_cost_is_measured(cost, plan->engines[i]);
    plan->measured = measured;
    for (uint32_t b = 0; b < plan->body_count; b++)
        for (size_t i = 0; i < freezer->bodies[b]->node_count; i++) {
            const struct tl_node *node = freezer->bodies[b]->nodes[i];
            const struct tl_prediction *prediction = &freezer->predictions[node->number];
            if (node->engine != NULL)
                work[engine_number(freezer, node->engine)] += prediction->cost * prediction->times;
        }
    plan->work_ms = work;
}

enum tl_status tl_plan_freeze(struct tl_graph *graph, const struct tl_cost *cost, struct tl_plan **plan,
                              struct tl_error *error) {
    *plan = NULL;
    enum tl_status status = check_graph(graph, error);
    if (status != TL_OK) {
        tl_graph_destroy(graph);
        return status;
    }
    struct freezer freezer = {.graph = graph, .plan = tl_mem_zalloc(sizeof **plan)};
    struct tl_plan *made = freezer.plan;
    struct tl_critical_path path = {0};
    freezer.places = tl_mem_zalloc(graph->next_number * sizeof *freezer.places);
    freezer.predictions = tl_mem_zalloc(graph->next_number * sizeof *freezer.predictions);
    made->references = 1;
    tl_arena_init(&made->arena);
    made->name = graph->name;
    made->hash = tl_graph_hash(graph);
    made->graph = graph;

    tl_plan_estimate(graph, cost, freezer.predictions);
    tl_plan_rank(graph, freezer.predictions, &path);
    number_body(&freezer, graph->root);
    made->bodies = tl_arena_alloc(&made->arena, made->body_count * sizeof *made->bodies);
    for (uint32_t i = 0; i < made->body_count; i++) {
        made->bodies[i] = tl_arena_alloc(&made->arena, sizeof **made->bodies);
        made->bodies[i]->number = i;
    }
    made->root = made->bodies[0];
    for (uint32_t i = 0; i < made->body_count; i++)
        write_body(&freezer, freezer.bodies[i], made->bodies[i]);
    for (uint32_t i = 0; i < made->body_count; i++)
        mark_pieces(&freezer, freezer.bodies[i]);
    write_engines(&freezer, cost);
    write_critical_path(&freezer, &path);
    tl_plan_find_prefixes(made);

    tl_critical_path_fini(&path);
    tl_mem_free(freezer.places);
    tl_mem_free(freezer.predictions);
    tl_mem_free(freezer.bodies);
    tl_mem_free(freezer.engines);
    *plan = made;
    return TL_OK;
}

struct tl_plan *tl_plan_ref(struct tl_plan *plan) {
    plan->references++;
    return plan;
}

void tl_plan_unref(struct tl_plan *plan) {
    if (plan == NULL || --plan->references > 0)
        return;
    for (size_t i = 0; i < plan->prefix_count; i++)
        tl_value_unref(plan->prefixes[i].prompt);
    tl_graph_destroy(plan->graph);
    tl_arena_fini(&plan->arena);
    tl_mem_free(plan);
}

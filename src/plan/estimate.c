/* estimate.c: what each node of a graph has to do, as far as it can be known before the run, and the
 * time that the cost model gives for it.
 *
 * Sizes go forward through the graph with the values: how many elements a list has on each level, and how many tokens
 * one element is long. What only a run can know is assumed, by the table below and that of plan.h; docs/graph.md repeats
 * them. Ranks and the critical path come from these figures, so they order work; they promise nothing of a particular
 * run. */
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/tokens.h"
#include "builtin/builtin.h"
#include "plan/plan_impl.h"

enum {
    ASSUMED_JSON = 64,             /* tokens of a JSON value */
    ASSUMED_ITEMS = 4,             /* elements of a list about which nothing is said */
    ASSUMED_ROUNDS = 2,            /* of a loop, when its limit allows so many */
};
static const double builtin_ms = 0.01; /* of a primitive that the runtime executes itself, and of opening a region */

struct size {
    double counts[TL_TYPE_MAX_DEPTH]; /* elements on each list level, outermost first */
    double tokens;                    /* of one element */
};

struct estimator {
    const struct tl_cost *cost;
    struct tl_prediction *predictions;
    struct size *sizes;    /* of all outputs */
    uint32_t *first;       /* by node number: its first output's place in `sizes` */
    size_t size_count;
};

static struct size *size_of(struct estimator *estimator, struct tl_ref ref) {
    return &estimator->sizes[estimator->first[ref.node->number] + ref.port];
}

static double units_of(const struct size *size, struct tl_type type) {
    double units = 1;
    for (size_t i = 0; i < type.depth; i++)
        units *= size->counts[i];
    return units;
}

static double total_tokens(struct estimator *estimator, struct tl_ref ref) {
    const struct size *size = size_of(estimator, ref);
    return units_of(size, tl_graph_type(ref)) * size->tokens;
}

static double least(double a, double b) {
    return a < b ? a : b;
}

/* ---- sizes ---- */

static double assumed_tokens(struct tl_type type) {
    switch ((enum tl_base_type)type.base) {
    case TL_TYPE_TEXT: return TL_PLAN_ASSUMED_TEXT;
    case TL_TYPE_DOCUMENT: return TL_PLAN_ASSUMED_DOCUMENT;
    case TL_TYPE_CHUNK:
    case TL_TYPE_HIT: return TL_PLAN_ASSUMED_PASSAGE;
    case TL_TYPE_JSON: return ASSUMED_JSON;
    default: return 1;
    }
}

/* What is assumed of a value about which nothing is known. */
static struct size assumed(struct tl_type type) {
    struct size size = {.tokens = assumed_tokens(type)};
    for (size_t i = 0; i < type.depth; i++)
        size.counts[i] = type.base == TL_TYPE_DOCUMENT ? TL_PLAN_ASSUMED_DOCUMENTS : ASSUMED_ITEMS;
    return size;
}

static struct size *input_size(struct estimator *estimator, const struct tl_node *node, size_t input) {
    return size_of(estimator, node->inputs[input].from);
}

/* Literal text of the segments that are rendered, and what is inserted between. */
static double prompt_tokens(struct estimator *estimator, const struct tl_node *render) {
    struct tl_template *parsed;
    if (tl_template_parse(tl_attributes_string(&render->attributes, "template", "[]"), &parsed, NULL) != TL_OK)
        return TL_PLAN_ASSUMED_TEXT;
    double tokens = 0;
    size_t segments = tl_template_segments(parsed);
    int64_t wanted = tl_attributes_integer(&render->attributes, "parts", (int64_t)segments);
    for (size_t s = 0; s < segments && (int64_t)s < wanted; s++) {
        size_t literal = tl_template_literal(parsed, s);
        const char *const *names;
        size_t count = tl_template_needs(parsed, s, &names);
        const struct tl_input *input = literal == 0 && count > 0 ? tl_graph_find_input(render, names[count - 1]) : NULL;
        tokens += input ? total_tokens(estimator, input->from) : (double)tl_tokens_of_bytes(literal);
    }
    tl_template_destroy(parsed);
    return tokens;
}

static struct size written(const struct tl_node *decode) {
    double most = (double)tl_attributes_integer(&decode->attributes, "max_tokens", 256);
    struct size size = {.tokens = least(most, TL_PLAN_ASSUMED_WRITTEN)};
    if (decode->outputs[0].type.depth > 0) {
        size.counts[0] = (double)tl_attributes_integer(&decode->attributes, "items", ASSUMED_ITEMS);
        size.tokens =
            least((double)tl_attributes_integer(&decode->attributes, "item_tokens", 48), TL_PLAN_ASSUMED_WRITTEN_ITEM);
        if (size.counts[0] * size.tokens > most)
            size.tokens = most / size.counts[0];
    }
    return size;
}

/* The texts of a JSON array, which are taken for equally long. */
static struct size constant_list(const struct tl_node *node) {
    const char *text = tl_attributes_string(&node->attributes, "values", "[]");
    json_t *values = json_loads(text, 0, NULL);
    double count = (double)json_array_size(values);
    json_decref(values);
    double bytes = (double)strlen(text) / (count < 1 ? 1 : count);
    return (struct size){.counts = {count}, .tokens = (double)tl_tokens_of_bytes((uint64_t)ceil(bytes))};
}

static struct size element_of(struct size list) {
    memmove(list.counts, list.counts + 1, (TL_TYPE_MAX_DEPTH - 1) * sizeof *list.counts);
    return list;
}

static struct size aggregated(struct estimator *estimator, const struct tl_node *node) {
    const char *mode = tl_attributes_string(&node->attributes, "mode", "");
    if (strcmp(mode, "distinct") == 0)
        return *input_size(estimator, node, node->input_count - 1);
    if (strcmp(mode, "flatten") == 0) {
        struct size lists = *input_size(estimator, node, 0), list = element_of(lists);
        list.counts[0] *= lists.counts[0];
        return list;
    }
    struct size size = assumed(node->outputs[0].type);
    double units = 0, tokens = 0;
    for (size_t i = 0; i < node->input_count; i++) {
        units += units_of(input_size(estimator, node, i), tl_graph_type(node->inputs[i].from));
        tokens += total_tokens(estimator, node->inputs[i].from);
    }
    int64_t most = tl_attributes_integer(&node->attributes, "count", 0);
    if (node->outputs[0].type.depth == 0) {
        size.tokens = tokens;
    } else {
        size.counts[0] = most > 0 ? least(units, (double)most) : units;
        size.tokens = units > 0 ? tokens / units : size.tokens;
    }
    return size;
}

/* What an elementwise primitive makes of its first input: the same lists, with one of `count` elements in each. */
static struct size found(struct estimator *estimator, const struct tl_node *node, int64_t otherwise) {
    struct size size = assumed(node->outputs[0].type);
    const struct size *from = input_size(estimator, node, 0);
    size_t depth = node->outputs[0].type.depth;
    for (size_t i = 0; i + 1 < depth; i++)
        size.counts[i] = from->counts[i];
    if (depth > 0)
        size.counts[depth - 1] = (double)tl_attributes_integer(&node->attributes, "count", otherwise);
    return size;
}

/* Passages repeat the end of the one before. */
static struct size chunked(struct estimator *estimator, const struct tl_node *node) {
    const struct size *documents = input_size(estimator, node, 0);
    int64_t size = tl_attributes_integer(&node->attributes, "size", 256);
    int64_t overlap = tl_attributes_integer(&node->attributes, "overlap", 30);
    uint64_t most = size > 0 ? (uint64_t)size : 1, step = tl_passage_step(most, overlap > 0 ? (uint64_t)overlap : 0);
    double passages = (double)tl_passages_of_tokens((uint64_t)ceil(documents->tokens), most, step);
    double repeated = passages > 1 ? (passages - 1) * (double)(most - step) : 0;
    return (struct size){.counts = {units_of(documents, tl_graph_type(node->inputs[0].from)) * passages},
                         .tokens = passages > 0 ? (documents->tokens + repeated) / passages : 0};
}

/* Of the first output of a node that is no region. */
static struct size output_size(struct estimator *estimator, const struct tl_node *node) {
    const char *text;
    switch (node->op) {
    case TL_OP_CONSTANT:
        if (node->outputs[0].type.depth > 0)
            return constant_list(node);
        text = tl_attributes_string(&node->attributes, "value", "");
        return (struct size){.tokens = (double)tl_tokens_of_bytes(strlen(text))};
    case TL_OP_RENDER: return (struct size){.tokens = prompt_tokens(estimator, node)};
    case TL_OP_PREFILL:
    case TL_OP_PARTIAL_PREFILL:
    case TL_OP_FULL_PREFILL:
    case TL_OP_SCORE:
    case TL_OP_EMBED: return *input_size(estimator, node, 0);
    case TL_OP_DECODE:
    case TL_OP_PARTIAL_DECODE: return written(node);
    case TL_OP_AGGREGATE: return aggregated(estimator, node);
    case TL_OP_FUSE:
    case TL_OP_SEARCH:
    case TL_OP_MATCH: return found(estimator, node, 16);
    case TL_OP_CHUNK: return chunked(estimator, node);
    default: return node->output_count > 0 ? assumed(node->outputs[0].type) : (struct size){.tokens = 0};
    }
}

/* ---- work ---- */

static uint32_t whole(double value) {
    return value < 1 ? 0 : value > 1e9 ? 1000000000
                                       : (uint32_t)(value + 0.5);
}

static struct tl_cost_work work_of(struct estimator *estimator, const struct tl_node *node) {
    struct tl_cost_work work = {.op = node->op, .units = 1};
    if (node->input_count == 0)
        return work;
    struct tl_ref first = node->inputs[0].from;
    double units = units_of(size_of(estimator, first), tl_graph_type(first)), tokens = total_tokens(estimator, first);
    double known = node->input_count > 1 ? size_of(estimator, node->inputs[1].from)->tokens : 0;
    switch (tl_graph_info(node)->capability) {
    case TL_CAPABILITY_LLM:
        if (node->op == TL_OP_DECODE || node->op == TL_OP_PARTIAL_DECODE) {
            const struct size *size = size_of(estimator, (struct tl_ref){(struct tl_node *)node, 0});
            work.context = whole(tokens);
            work.tokens_out = whole(units_of(size, node->outputs[0].type) * size->tokens);
        } else {
            work.context = whole(known);
            work.tokens = whole(tokens > known ? tokens - known : 0);
        }
        return work;
    case TL_CAPABILITY_RERANK: tokens += units * known; break; /* the query stands in every pair */
    default: break;
    }
    work.units = whole(units) < 1 ? 1 : whole(units);
    work.tokens = whole(tokens);
    return work;
}

static double cost_of(struct estimator *estimator, const struct tl_node *node) {
    if (node->engine == NULL)
        return builtin_ms;
    struct tl_cost_work work = work_of(estimator, node);
    double ms = tl_cost_item(estimator->cost, node->engine, &work);
    return ms > builtin_ms ? ms : builtin_ms;
}

/* ---- the walk ---- */

static void estimate_body(struct estimator *estimator, const struct tl_body *body, double times);

/* Lists that grow from node to node stay numbers to reckon with. */
static const double most_counted = 1e9;

static struct size bounded(struct size size) {
    for (size_t i = 0; i < TL_TYPE_MAX_DEPTH; i++)
        size.counts[i] = least(size.counts[i], most_counted);
    size.tokens = least(size.tokens, most_counted);
    return size;
}

static struct size list_of(struct size element, double count) {
    memmove(element.counts + 1, element.counts, (TL_TYPE_MAX_DEPTH - 1) * sizeof *element.counts);
    element.counts[0] = count;
    return element;
}

/* A region's first input is its list (or what a cond and a loop begin with). */
static void set_parameters(struct estimator *estimator, const struct tl_node *region, const struct tl_body *body,
                           double slice) {
    struct size items = *input_size(estimator, region, 0);
    double arity = (double)tl_attributes_integer(&region->attributes, "arity", 2);
    for (uint32_t port = 0; port < body->parameters->output_count; port++) {
        struct tl_ref ref = tl_graph_output(body->parameters, port);
        const char *name = body->parameters->outputs[port].name;
        struct size size = assumed(tl_graph_type(ref));
        if (strcmp(name, "item") == 0)
            size = slice > 0 ? list_of(element_of(items), least(items.counts[0], slice)) : element_of(items);
        else if (strcmp(name, "group") == 0)
            size = list_of(element_of(items), least(items.counts[0], arity));
        else if (strcmp(name, "carried") == 0 && tl_graph_type(ref).base == TL_TYPE_TEXT)
            size.tokens = TL_PLAN_ASSUMED_WRITTEN; /* what the former round has written */
        *size_of(estimator, ref) = size;
    }
}

static uint32_t rounds_of(const struct tl_node *region, double items) {
    double arity = (double)tl_attributes_integer(&region->attributes, "arity", 2), rounds = 1;
    switch (region->op) {
    case TL_OP_FOLD: rounds = items; break;
    case TL_OP_REDUCE:
        for (rounds = 0; items > 1; rounds++)
            items = ceil(items / (arity < 2 ? 2 : arity));
        break;
    case TL_OP_LOOP:
        rounds = least((double)tl_attributes_integer(&region->attributes, "limit", 8), ASSUMED_ROUNDS);
        break;
    default: break;
    }
    return rounds < 1 ? 1 : whole(rounds);
}

/* Instances of its body; both branches of a condition count. */
static double instances_of(const struct tl_node *region, double items, uint32_t rounds) {
    double arity = (double)tl_attributes_integer(&region->attributes, "arity", 2), instances = 0;
    switch (region->op) {
    case TL_OP_MAP: return items;
    case TL_OP_REDUCE:
        for (uint32_t i = 0; i < rounds; i++)
            instances += items = ceil(items / (arity < 2 ? 2 : arity));
        return instances;
    default: return rounds;
    }
}

static void estimate_region(struct estimator *estimator, const struct tl_node *region, double times) {
    double slice = (double)tl_attributes_integer(&region->attributes, "slice", 0);
    double items = input_size(estimator, region, 0)->counts[0];
    if (slice > 0)
        items = ceil(items / slice);
    uint32_t rounds = rounds_of(region, items);
    for (size_t r = 0; r < 2 && region->regions[r] != NULL; r++) {
        set_parameters(estimator, region, region->regions[r], slice);
        estimate_body(estimator, region->regions[r], least(times * instances_of(region, items, rounds), most_counted));
    }
    estimator->predictions[region->number] =
        (struct tl_prediction){.cost = builtin_ms, .rounds = rounds, .times = times};
    for (uint32_t port = 0; port < region->output_count; port++) {
        struct size size = *size_of(estimator, region->regions[0]->results[port].from);
        *size_of(estimator, (struct tl_ref){(struct tl_node *)region, port}) =
            bounded(region->op == TL_OP_MAP ? list_of(size, items) : size);
    }
}

/* `times`: its instances in a run. */
static void estimate_body(struct estimator *estimator, const struct tl_body *body, double times) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        if (node->regions[0] != NULL) {
            estimate_region(estimator, node, times);
            continue;
        }
        for (uint32_t port = 0; port < node->output_count; port++)
            *size_of(estimator, (struct tl_ref){(struct tl_node *)node, port}) =
                bounded(port == 0 ? output_size(estimator, node) : assumed(node->outputs[port].type));
        estimator->predictions[node->number] =
            (struct tl_prediction){.cost = cost_of(estimator, node), .rounds = 1, .times = times};
    }
}

/* Gives the outputs of all nodes their places. */
static void place_body(struct estimator *estimator, const struct tl_body *body) {
    estimator->first[body->parameters->number] = (uint32_t)estimator->size_count;
    estimator->size_count += body->parameters->output_count;
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        estimator->first[node->number] = (uint32_t)estimator->size_count;
        estimator->size_count += node->output_count;
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            place_body(estimator, node->regions[r]);
    }
}

void tl_plan_estimate(const struct tl_graph *graph, const struct tl_cost *cost, struct tl_prediction *predictions) {
    struct estimator estimator = {.cost = cost, .predictions = predictions};
    estimator.first = tl_mem_zalloc(graph->next_number * sizeof *estimator.first);
    place_body(&estimator, graph->root);
    estimator.sizes = tl_mem_zalloc((estimator.size_count + 1) * sizeof *estimator.sizes);
    for (uint32_t port = 0; port < graph->root->parameters->output_count; port++) {
        struct tl_ref ref = tl_graph_output(graph->root->parameters, port);
        *size_of(&estimator, ref) = assumed(tl_graph_type(ref));
    }
    estimate_body(&estimator, graph->root, 1);
    tl_mem_free(estimator.sizes);
    tl_mem_free(estimator.first);
}

#include "graph/random_test_support.h"

#include <stdio.h>

#include "base/error.h"
#include "base/mem.h"

uint64_t tl_random_next(struct tl_random *random) { /* splitmix64 */
    uint64_t z = random->state += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint32_t tl_random_below(struct tl_random *random, uint32_t bound) {
    return bound == 0 ? 0 : (uint32_t)(tl_random_next(random) % bound);
}

bool tl_random_chance(struct tl_random *random, uint32_t percent) {
    return tl_random_below(random, 100) < percent;
}

struct maker {
    struct tl_graph *graph;
    struct tl_random random;
    struct tl_ref *values; /* visible here, outermost first */
    size_t count, capacity;
    unsigned names;        /* for unique labels */
};

static void offer(struct maker *maker, struct tl_ref value) {
    maker->values = tl_mem_grow(maker->values, &maker->capacity, maker->count + 1, sizeof *maker->values);
    maker->values[maker->count++] = value;
}

static struct tl_node *add(struct maker *maker, struct tl_body *body, enum tl_primitive op) {
    const struct tl_primitive_info *info = tl_primitive_info(op);
    char step[16], label[64];
    const char *engine = NULL;
    if (info->capability != TL_CAPABILITY_BUILTIN && info->capability != TL_CAPABILITY_REGION)
        engine = tl_capability_name(info->capability);
    snprintf(step, sizeof step, "s%u", maker->names / 4);
    snprintf(label, sizeof label, "%s/%s%u", step, info->name, maker->names++);
    return tl_graph_add(body, op, step, label, engine);
}

static struct tl_ref infer(struct maker *maker, struct tl_node *node) {
    struct tl_error error;
    if (tl_graph_infer(node, &error) != TL_OK)
        TL_BUG("random graph: %s", error.message);
    for (size_t i = 0; i < node->output_count; i++)
        offer(maker, tl_graph_output(node, (uint32_t)i));
    return tl_graph_output(node, 0);
}

static struct tl_ref give(struct maker *maker, struct tl_node *node, const char *name, struct tl_type type) {
    tl_graph_add_output(node, name, type);
    return infer(maker, node);
}

/* Picks a visible value of this base with least..most list levels, later ones more often. */
static bool pick(struct maker *maker, enum tl_base_type base, unsigned least, unsigned most, struct tl_ref *found) {
    uint32_t back = tl_random_below(&maker->random, (uint32_t)maker->count);
    size_t start = maker->count - tl_random_below(&maker->random, 1 + back);
    for (size_t i = 0; i < maker->count; i++) {
        struct tl_ref ref = maker->values[(start + maker->count - 1 - i) % maker->count];
        struct tl_type type = tl_graph_type(ref);
        if (type.base == base && type.depth >= least && type.depth <= most) {
            *found = ref;
            return true;
        }
    }
    return false;
}

/* A text made here: a constant, or what a model answers to a prompt. */
static struct tl_ref make_constant(struct maker *maker, struct tl_body *body) {
    struct tl_node *node = add(maker, body, TL_OP_CONSTANT);
    char text[32];
    snprintf(text, sizeof text, "text \"%u\"\n", maker->names);
    tl_attributes_set_string(&node->attributes, &maker->graph->arena, "value", text);
    return give(maker, node, "text", TL_TYPE_OF(TEXT, 0));
}

static struct tl_ref make_prompt(struct maker *maker, struct tl_body *body) {
    static const enum tl_base_type bases[] = {TL_TYPE_TEXT, TL_TYPE_HIT, TL_TYPE_CHUNK};
    struct tl_node *node = add(maker, body, TL_OP_RENDER);
    struct tl_str template = TL_STR_INIT;
    tl_str_puts(&template, "[[\"user\",\"Answer.");
    unsigned inputs = 1 + tl_random_below(&maker->random, 3);
    for (unsigned i = 0; i < inputs; i++) {
        struct tl_ref value;
        char name[16];
        if (!pick(maker, bases[tl_random_below(&maker->random, 3)], 0, 1, &value))
            continue;
        snprintf(name, sizeof name, "part%u", i);
        tl_graph_connect(node, name, value);
        tl_str_printf(&template, " {%s}", name);
    }
    tl_str_puts(&template, "\"]]");
    tl_attributes_set_string(&node->attributes, &maker->graph->arena, "template", template.data);
    tl_str_fini(&template);
    return infer(maker, node);
}

static struct tl_ref make_answer(struct maker *maker, struct tl_body *body) {
    struct tl_random *random = &maker->random;
    struct tl_arena *arena = &maker->graph->arena;
    struct tl_ref prompt = make_prompt(maker, body), kv;
    struct tl_node *node;
    if (tl_random_chance(random, 60)) {
        node = add(maker, body, TL_OP_PREFILL);
        tl_graph_connect(node, "prompt", prompt);
        kv = infer(maker, node);
    } else {
        node = add(maker, body, TL_OP_PARTIAL_PREFILL);
        tl_graph_connect(node, "prompt", prompt);
        kv = infer(maker, node);
        node = add(maker, body, TL_OP_FULL_PREFILL);
        tl_graph_connect(node, "kv", kv);
        tl_graph_connect(node, "prompt", prompt);
        kv = infer(maker, node);
    }
    node = add(maker, body, tl_random_chance(random, 80) ? TL_OP_DECODE : TL_OP_PARTIAL_DECODE);
    tl_graph_connect(node, "kv", kv);
    tl_attributes_set_integer(&node->attributes, arena, "max_tokens", 1 + tl_random_below(random, 32));
    tl_attributes_set_number(&node->attributes, arena, "temperature", tl_random_below(random, 10) / 10.0);
    if (tl_random_chance(random, 30)) {
        tl_attributes_set_string(&node->attributes, arena, "format", "list");
        tl_attributes_set_integer(&node->attributes, arena, "items", 1 + tl_random_below(random, 4));
        struct tl_ref items = give(maker, node, "items", TL_TYPE_OF(TEXT, 1));
        node = add(maker, body, TL_OP_AGGREGATE);
        tl_graph_connect(node, "items", items);
        tl_attributes_set_string(&node->attributes, arena, "mode", "join");
    }
    return give(maker, node, "text", TL_TYPE_OF(TEXT, 0));
}

/* Documents, cut, embedded and stored. */
static void make_index(struct maker *maker, struct tl_body *body) {
    struct tl_ref documents, index;
    if (!pick(maker, TL_TYPE_DOCUMENT, 1, 1, &documents))
        return;
    struct tl_node *node = add(maker, body, TL_OP_CHUNK);
    tl_graph_connect(node, "documents", documents);
    struct tl_ref chunks = infer(maker, node);
    node = add(maker, body, TL_OP_EMBED);
    tl_graph_connect(node, "input", chunks);
    struct tl_ref vectors = infer(maker, node);
    bool into = tl_random_chance(&maker->random, 30) && pick(maker, TL_TYPE_INDEX, 0, 0, &index);
    if (!into && tl_random_chance(&maker->random, 20)) {
        index = infer(maker, add(maker, body, TL_OP_COLLECTION));
        into = true;
    }
    node = add(maker, body, TL_OP_INGEST);
    tl_graph_connect(node, "vectors", vectors);
    if (into)
        tl_graph_connect(node, "into", index);
    tl_graph_connect(node, "chunks", chunks);
    infer(maker, node);
}

static void make_search(struct maker *maker, struct tl_body *body) {
    struct tl_ref index, text, hits;
    struct tl_node *node;
    if (!pick(maker, TL_TYPE_INDEX, 0, 0, &index) || !pick(maker, TL_TYPE_TEXT, 0, 2, &text))
        return;
    node = add(maker, body, TL_OP_EMBED);
    tl_graph_connect(node, "input", text);
    struct tl_ref vector = infer(maker, node);
    node = add(maker, body, TL_OP_SEARCH);
    tl_graph_connect(node, "query", vector);
    tl_graph_connect(node, "index", index);
    tl_attributes_set_integer(&node->attributes, &maker->graph->arena, "count",
                              1 + tl_random_below(&maker->random, 16));
    hits = infer(maker, node);
    if (tl_random_chance(&maker->random, 50)) {
        node = add(maker, body, TL_OP_MATCH);
        tl_graph_connect(node, "query", text);
        tl_graph_connect(node, "index", index);
        struct tl_ref more = infer(maker, node);
        node = add(maker, body, TL_OP_FUSE);
        tl_graph_connect(node, "vector", hits);
        tl_graph_connect(node, "text", more);
        hits = infer(maker, node);
    }
    if (tl_random_chance(&maker->random, 50) && pick(maker, TL_TYPE_TEXT, 0, 0, &text)) {
        node = add(maker, body, TL_OP_SCORE);
        tl_graph_connect(node, "hits", hits);
        tl_graph_connect(node, "query", text);
        hits = infer(maker, node);
    }
    node = add(maker, body, TL_OP_AGGREGATE);
    tl_graph_connect(node, "hits", hits);
    if (tl_random_chance(&maker->random, 50) && pick(maker, TL_TYPE_HIT, 1, 3, &hits))
        tl_graph_connect(node, "more", hits);
    tl_attributes_set_string(&node->attributes, &maker->graph->arena, "mode", "top");
    give(maker, node, "hits", TL_TYPE_OF(HIT, 1));
}

static void make_outside(struct maker *maker, struct tl_body *body) {
    struct tl_ref value;
    if (tl_random_chance(&maker->random, 50) && pick(maker, TL_TYPE_TEXT, 0, 0, &value)) {
        struct tl_node *node = add(maker, body, TL_OP_WEB_SEARCH);
        tl_graph_connect(node, "query", value);
        infer(maker, node);
    } else if (pick(maker, TL_TYPE_JSON, 0, 0, &value)) {
        struct tl_node *node = add(maker, body, TL_OP_TOOL);
        tl_graph_connect(node, "call", value);
        infer(maker, node);
    }
}

static void make_list(struct maker *maker, struct tl_body *body) {
    struct tl_ref value;
    struct tl_node *node;
    if (tl_random_chance(&maker->random, 30) && pick(maker, TL_TYPE_TEXT, 0, 0, &value)) {
        node = add(maker, body, TL_OP_PARSE);
        tl_graph_connect(node, "text", value);
        infer(maker, node);
        return;
    }
    node = add(maker, body, TL_OP_AGGREGATE);
    tl_attributes_set_string(&node->attributes, &maker->graph->arena, "mode", "concat");
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%u", i);
        if (pick(maker, TL_TYPE_TEXT, 0, 1, &value))
            tl_graph_connect(node, name, value);
    }
    give(maker, node, "texts", TL_TYPE_OF(TEXT, 1));
}

static struct tl_ref make_condition(struct maker *maker, struct tl_body *body) {
    struct tl_ref value;
    if (!pick(maker, TL_TYPE_TEXT, 0, 1, &value))
        value = make_constant(maker, body);
    struct tl_node *node = add(maker, body, TL_OP_CONDITION);
    tl_graph_connect(node, "value", value);
    if (tl_graph_type(value).depth > 0 || tl_random_chance(&maker->random, 50)) {
        tl_attributes_set_string(&node->attributes, &maker->graph->arena, "is", "nonempty");
    } else {
        tl_attributes_set_string(&node->attributes, &maker->graph->arena, "is", "equals");
        tl_attributes_set_string(&node->attributes, &maker->graph->arena, "to", "yes");
    }
    return infer(maker, node);
}

static void make_nodes(struct maker *maker, struct tl_body *body, unsigned nodes, unsigned nesting);

/* Fills one body: its parameters become visible, and are hidden again with all that it made. */
static void fill(struct maker *maker, struct tl_node *region, unsigned which, unsigned nesting) {
    struct tl_body *body = region->regions[which];
    size_t before = maker->count;
    for (size_t i = 0; i < body->parameters->output_count; i++)
        offer(maker, tl_graph_output(body->parameters, (uint32_t)i));
    make_nodes(maker, body, tl_random_below(&maker->random, 5), nesting - 1);
    struct tl_ref text = make_answer(maker, body);
    switch (region->op) {
    case TL_OP_MAP:
        tl_graph_add_result(body, "text", text);
        if (tl_random_chance(&maker->random, 40)) {
            struct tl_ref other = maker->values[tl_random_below(&maker->random, (uint32_t)maker->count)];
            if (tl_graph_type(other).depth < 3)
                tl_graph_add_result(body, "other", other);
        }
        break;
    case TL_OP_LOOP:
        tl_graph_add_result(body, "carried", text);
        tl_graph_add_result(body, "again", make_condition(maker, body));
        break;
    case TL_OP_COND: tl_graph_add_result(body, "answer", text); break;
    case TL_OP_FOLD: tl_graph_add_result(body, "carried", text); break;
    default: tl_graph_add_result(body, "result", text); break;
    }
    maker->count = before;
}

static void make_region(struct maker *maker, struct tl_body *body, unsigned nesting) {
    static const enum tl_primitive ops[] = {TL_OP_MAP, TL_OP_MAP, TL_OP_FOLD, TL_OP_REDUCE, TL_OP_COND, TL_OP_LOOP};
    static const enum tl_base_type bases[] = {TL_TYPE_TEXT, TL_TYPE_HIT, TL_TYPE_CHUNK, TL_TYPE_VECTOR};
    enum tl_primitive op = ops[tl_random_below(&maker->random, 6)];
    enum tl_base_type base = op == TL_OP_REDUCE ? TL_TYPE_TEXT : bases[tl_random_below(&maker->random, 4)];
    struct tl_arena *arena = &maker->graph->arena;
    struct tl_ref items = {0};
    bool has_items = op != TL_OP_COND && op != TL_OP_LOOP;
    if (has_items && !pick(maker, base, 1, op == TL_OP_REDUCE ? 1 : 2, &items) &&
        !pick(maker, TL_TYPE_TEXT, 1, 1, &items))
        return;
    struct tl_ref initial = {0};
    if (op == TL_OP_FOLD || op == TL_OP_REDUCE || op == TL_OP_LOOP)
        initial = make_constant(maker, body);
    else if (op == TL_OP_COND)
        initial = make_condition(maker, body);
    struct tl_node *region = add(maker, body, op);
    if (has_items)
        tl_graph_connect(region, "items", items);
    if (initial.node != NULL)
        tl_graph_connect(region, op == TL_OP_COND ? "holds" : "initial", initial);
    if (op == TL_OP_MAP && tl_random_chance(&maker->random, 30))
        tl_attributes_set_integer(&region->attributes, arena, "slice", 1 + tl_random_below(&maker->random, 8));
    if (op == TL_OP_MAP && tl_random_chance(&maker->random, 30))
        tl_attributes_set_bool(&region->attributes, arena, "streamed", true);
    if (op == TL_OP_REDUCE)
        tl_attributes_set_integer(&region->attributes, arena, "arity", 2 + tl_random_below(&maker->random, 3));
    if (op == TL_OP_LOOP)
        tl_attributes_set_integer(&region->attributes, arena, "limit", 1 + tl_random_below(&maker->random, 3));
    struct tl_error error;
    if (tl_graph_begin_region(region, &error) != TL_OK)
        TL_BUG("random graph: %s", error.message);
    fill(maker, region, 0, nesting);
    if (op == TL_OP_COND)
        fill(maker, region, 1, nesting);
    if (tl_graph_end_region(region, &error) != TL_OK)
        TL_BUG("random graph: %s", error.message);
    for (size_t i = 0; i < region->output_count; i++)
        offer(maker, tl_graph_output(region, (uint32_t)i));
}

static void make_nodes(struct maker *maker, struct tl_body *body, unsigned nodes, unsigned nesting) {
    while (body->node_count < nodes) {
        size_t before = body->node_count;
        switch (tl_random_below(&maker->random, nesting > 0 ? 10 : 7)) {
        case 0: make_constant(maker, body); break;
        case 1: make_answer(maker, body); break;
        case 2: make_index(maker, body); break;
        case 3: make_search(maker, body); break;
        case 4: make_outside(maker, body); break;
        case 5: make_list(maker, body); break;
        case 6: make_condition(maker, body); break;
        default: make_region(maker, body, nesting); break;
        }
        if (body->node_count == before)
            make_constant(maker, body);
        while (before > 0 && tl_random_chance(&maker->random, 40))
            tl_graph_wait(body->nodes[before], body->nodes[tl_random_below(&maker->random, (uint32_t)before)],
                          tl_random_chance(&maker->random, 30) ? TL_EDGE_CONTROL : TL_EDGE_ORDER);
    }
}

struct tl_graph *tl_random_graph(uint64_t seed, const struct tl_random_shape *shape) {
    char name[40];
    snprintf(name, sizeof name, "random %llu", (unsigned long long)seed);
    struct maker maker = {.graph = tl_graph_create(name), .random = {seed}};
    struct tl_body *root = maker.graph->root;
    offer(&maker, tl_graph_add_parameter(root, "question", TL_TYPE_OF(TEXT, 0)));
    offer(&maker, tl_graph_add_parameter(root, "documents", TL_TYPE_OF(DOCUMENT, 1)));
    offer(&maker, tl_graph_add_parameter(root, "queries", TL_TYPE_OF(TEXT, 1)));
    offer(&maker, tl_graph_add_parameter(root, "index", TL_TYPE_OF(INDEX, 0)));
    offer(&maker, tl_graph_add_parameter(root, "call", TL_TYPE_OF(JSON, 0)));
    offer(&maker, tl_graph_add_parameter(root, "texts", TL_TYPE_OF(TEXT, 2)));
    make_nodes(&maker, root, shape->nodes, shape->nesting);
    tl_graph_add_result(root, "answer", make_answer(&maker, root));
    for (unsigned i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "extra%u", i);
        tl_graph_add_result(root, name, maker.values[tl_random_below(&maker.random, (uint32_t)maker.count)]);
    }
    tl_mem_free(maker.values);
    return maker.graph;
}

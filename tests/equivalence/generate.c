#include "equivalence/generate.h"

#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "graph/random_test_support.h"

struct maker {
    struct tl_graph *graph;
    struct tl_arena *arena;
    struct tl_random random;
    struct tl_ref *values; /* visible here, outermost first */
    size_t count, capacity;
    unsigned names;
    bool strict;           /* each step of a body stands after the one before, by order edges */
    bool changes_world;
};

static uint32_t below(struct maker *maker, uint32_t bound) { return tl_random_below(&maker->random, bound); }

static bool chance(struct maker *maker, uint32_t percent) { return tl_random_chance(&maker->random, percent); }

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
    if (tl_graph_infer(node, &error) != TL_OK) TL_BUG("random graph: %s", error.message);
    for (size_t i = 0; i < node->output_count; i++) offer(maker, tl_graph_output(node, (uint32_t)i));
    return tl_graph_output(node, 0);
}

static struct tl_ref give(struct maker *maker, struct tl_node *node, const char *name, struct tl_type type) {
    tl_graph_add_output(node, name, type);
    return infer(maker, node);
}

static void set_integer(struct maker *maker, struct tl_node *node, const char *name, int64_t value) {
    tl_attributes_set_integer(&node->attributes, maker->arena, name, value);
}

static void set_string(struct maker *maker, struct tl_node *node, const char *name, const char *value) {
    tl_attributes_set_string(&node->attributes, maker->arena, name, value);
}

/* Picks a visible value of this base with least..most list levels, later ones more often. */
static bool pick(struct maker *maker, enum tl_base_type base, unsigned least, unsigned most, struct tl_ref *found) {
    uint32_t back = below(maker, (uint32_t)maker->count);
    size_t start = maker->count - below(maker, 1 + back);
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

/* ---- texts and answers ---- */

static struct tl_ref make_constant(struct maker *maker, struct tl_body *body) {
    static const char *const texts[] = {
        "", "ash", "Answer with care.", "{not a name}", "den \"oak\"\n", "[\"elm\", \"fen\"]", "So: [\"gap\", \"hu"};
    struct tl_node *node = add(maker, body, TL_OP_CONSTANT);
    set_string(maker, node, "value", texts[below(maker, sizeof texts / sizeof texts[0])]);
    return give(maker, node, "text", TL_TYPE_OF(TEXT, 0));
}

/* One message of the template, with up to `most` insertions. */
static void put_message(struct maker *maker, struct tl_node *render, struct tl_str *template, const char *role,
                        unsigned most, const struct tl_ref *must) {
    static const enum tl_base_type bases[] = {TL_TYPE_TEXT, TL_TYPE_TEXT, TL_TYPE_HIT, TL_TYPE_CHUNK, TL_TYPE_NUMBER};
    static const char *const literals[] = {"Use this: ", "\\n\\nPassage:\\n", "Write ", " and then ",
                                           "Be brief. {{}} "};
    tl_str_printf(template, "[\"%s\",\"%s", role, literals[below(maker, 5)]);
    unsigned insertions = below(maker, most + 1);
    for (unsigned i = 0; i < insertions + (must != NULL); i++) {
        struct tl_ref value;
        char name[24];
        bool is_must = must && i == insertions;
        if (is_must)
            value = *must;
        else if (!pick(maker, bases[below(maker, 5)], 0, 1, &value))
            continue;
        snprintf(name, sizeof name, "part%zu", render->input_count);
        tl_graph_connect(render, name, value);
        if (!is_must && chance(maker, 20))
            tl_str_printf(template, "{#%s}so far {%s} {/%s}", name, name, name);
        else
            tl_str_printf(template, "{%s}", name);
        tl_str_puts(template, literals[below(maker, 5)]);
        if (chance(maker, 20)) tl_str_printf(template, "{%s}", name);
    }
    tl_str_puts(template, "\"]");
}

static struct tl_ref make_prompt(struct maker *maker, struct tl_body *body, const struct tl_ref *must) {
    struct tl_node *node = add(maker, body, TL_OP_RENDER);
    struct tl_str template = TL_STR_INIT;
    tl_str_putc(&template, '[');
    if (chance(maker, 50)) {
        put_message(maker, node, &template, "system", 1, NULL);
        tl_str_putc(&template, ',');
    }
    put_message(maker, node, &template, "user", 3, must);
    tl_str_putc(&template, ']');
    set_string(maker, node, "template", template.data);
    tl_str_fini(&template);
    return infer(maker, node);
}

static struct tl_ref make_prefix(struct maker *maker, struct tl_body *body, const struct tl_ref *must) {
    struct tl_ref prompt = make_prompt(maker, body, must);
    struct tl_node *node = add(maker, body, TL_OP_PREFILL);
    tl_graph_connect(node, "prompt", prompt);
    return infer(maker, node);
}

static struct tl_ref decode(struct maker *maker, struct tl_body *body, struct tl_ref kv) {
    struct tl_node *node = add(maker, body, TL_OP_DECODE);
    tl_graph_connect(node, "kv", kv);
    set_integer(maker, node, "max_tokens", 1 + below(maker, 12));
    set_integer(maker, node, "seed", below(maker, 3));
    return give(maker, node, "text", TL_TYPE_OF(TEXT, 0));
}

/* What becomes of a broken list. Most go on, else few workflows would be run to their end. */
static void set_on_error(struct maker *maker, struct tl_node *node) {
    if (chance(maker, 20)) set_string(maker, node, "on_error", chance(maker, 15) ? "fail" : "skip");
}

static struct tl_ref decode_list(struct maker *maker, struct tl_body *body, struct tl_ref kv) {
    struct tl_node *node = add(maker, body, TL_OP_DECODE);
    tl_graph_connect(node, "kv", kv);
    set_string(maker, node, "format", "list");
    set_integer(maker, node, "items", 1 + below(maker, 4));
    set_integer(maker, node, "item_tokens", 1 + below(maker, 6));
    set_on_error(maker, node);
    return give(maker, node, "items", TL_TYPE_OF(TEXT, 1));
}

/* Texts that are written each on its own, some of them equal, and of these the distinct ones, mostly. */
static struct tl_ref decode_each(struct maker *maker, struct tl_body *body) {
    static const char *const lists[] = {"[]", "[\"1\"]", "[\"1\",\"2\",\"3\"]", "[\"1\",\"2\",\"1\",\" \"]"};
    struct tl_ref items;
    if (chance(maker, 70) || !pick(maker, TL_TYPE_TEXT, 1, 1, &items)) {
        struct tl_node *numbers = add(maker, body, TL_OP_CONSTANT);
        set_string(maker, numbers, "values", lists[below(maker, 4)]);
        items = give(maker, numbers, "values", TL_TYPE_OF(TEXT, 1));
    }
    struct tl_node *map = add(maker, body, TL_OP_MAP);
    tl_graph_connect(map, "items", items);
    struct tl_error error;
    if (tl_graph_begin_region(map, &error) != TL_OK) TL_BUG("random graph: %s", error.message);
    struct tl_body *inner = map->regions[0];
    struct tl_ref item = {inner->parameters, 0};
    size_t before = maker->count;
    bool plain = chance(maker, 30); /* the item alone is asked for: equal items have equal texts */
    struct tl_ref kv = {0};
    if (plain) {
        struct tl_node *render = add(maker, inner, TL_OP_RENDER);
        tl_graph_connect(render, "number", item);
        set_string(maker, render, "template", "[[\"user\",\"Write number {number}.\"]]");
        struct tl_ref prompt = infer(maker, render);
        struct tl_node *prefill = add(maker, inner, TL_OP_PREFILL);
        tl_graph_connect(prefill, "prompt", prompt);
        kv = infer(maker, prefill);
    } else {
        kv = make_prefix(maker, inner, &item);
    }
    tl_graph_add_result(inner, "text", decode(maker, inner, kv));
    maker->count = before;
    if (tl_graph_end_region(map, &error) != TL_OK) TL_BUG("random graph: %s", error.message);
    struct tl_ref texts = tl_graph_output(map, 0);
    if (chance(maker, 25)) {
        offer(maker, texts);
        return texts;
    }
    struct tl_node *choice = add(maker, body, TL_OP_AGGREGATE);
    tl_graph_connect(choice, "texts", texts);
    set_string(maker, choice, "mode", "distinct");
    return give(maker, choice, "texts", TL_TYPE_OF(TEXT, 1));
}

static struct tl_ref make_answer(struct maker *maker, struct tl_body *body, const struct tl_ref *must) {
    struct tl_ref kv = make_prefix(maker, body, must);
    if (chance(maker, 15)) decode(maker, body, kv); /* two answers to one prompt */
    return decode(maker, body, kv);
}

/* ---- collections ---- */

static void make_index(struct maker *maker, struct tl_body *body) {
    struct tl_ref documents, index, chunks;
    if (!pick(maker, TL_TYPE_DOCUMENT, 1, 1, &documents)) return;
    struct tl_node *node = add(maker, body, TL_OP_CHUNK);
    tl_graph_connect(node, "documents", documents);
    set_integer(maker, node, "size", 8 << below(maker, 3));
    set_integer(maker, node, "overlap", 2); /* less than a passage, else each token would begin one */
    chunks = infer(maker, node);
    node = add(maker, body, TL_OP_EMBED);
    tl_graph_connect(node, "input", chunks);
    struct tl_ref vectors = infer(maker, node);
    /* Into one that others use only where the order of steps is defined. */
    bool into = maker->strict && !body->owner && chance(maker, 40) && pick(maker, TL_TYPE_INDEX, 0, 0, &index);
    node = add(maker, body, TL_OP_INGEST);
    tl_graph_connect(node, "chunks", chunks);
    tl_graph_connect(node, "vectors", vectors);
    if (into) {
        tl_graph_connect(node, "into", index);
        maker->changes_world = true; /* it may be one of the parameters */
    }
    infer(maker, node);
}

static struct tl_ref top(struct maker *maker, struct tl_body *body, struct tl_ref hits) {
    static const char *const by[] = {"retrieval", "score", "fused"};
    struct tl_ref more;
    struct tl_node *node = add(maker, body, TL_OP_AGGREGATE);
    tl_graph_connect(node, "hits", hits);
    if (chance(maker, 30) && pick(maker, TL_TYPE_HIT, 1, 3, &more)) tl_graph_connect(node, "more", more);
    set_string(maker, node, "mode", "top");
    set_integer(maker, node, "count", below(maker, 5));
    if (chance(maker, 60)) set_string(maker, node, "by", by[below(maker, 3)]);
    return give(maker, node, "hits", TL_TYPE_OF(HIT, 1));
}

static void search(struct maker *maker, struct tl_body *body, struct tl_ref text, struct tl_ref index) {
    struct tl_node *node = add(maker, body, TL_OP_EMBED);
    tl_graph_connect(node, "input", text);
    struct tl_ref vector = infer(maker, node), hits;
    node = add(maker, body, TL_OP_SEARCH);
    tl_graph_connect(node, "query", vector);
    tl_graph_connect(node, "index", index);
    set_integer(maker, node, "count", 1 + below(maker, 6));
    hits = infer(maker, node);
    if (chance(maker, 40)) {
        node = add(maker, body, TL_OP_MATCH);
        tl_graph_connect(node, "query", text);
        tl_graph_connect(node, "index", index);
        struct tl_ref more = infer(maker, node);
        node = add(maker, body, TL_OP_FUSE);
        tl_graph_connect(node, "vector", hits);
        tl_graph_connect(node, "text", more);
        hits = infer(maker, node);
    }
    if (chance(maker, 50) && pick(maker, TL_TYPE_TEXT, 0, 0, &text)) {
        node = add(maker, body, TL_OP_SCORE);
        tl_graph_connect(node, "hits", hits);
        tl_graph_connect(node, "query", text);
        hits = infer(maker, node);
    }
    if (chance(maker, 80)) top(maker, body, hits);
}

static void make_search(struct maker *maker, struct tl_body *body) {
    struct tl_ref index, text;
    if (pick(maker, TL_TYPE_INDEX, 0, 0, &index) && pick(maker, TL_TYPE_TEXT, 0, chance(maker, 20) ? 2 : 1, &text))
        search(maker, body, text, index);
}

/* What a query rewriter does: a list, each item embedded and searched. */
static void make_expansion(struct maker *maker, struct tl_body *body) {
    struct tl_ref index;
    struct tl_ref items = chance(maker, 40) ? decode_each(maker, body)
                                            : decode_list(maker, body, make_prefix(maker, body, NULL));
    if (chance(maker, 80) && pick(maker, TL_TYPE_INDEX, 0, 0, &index)) search(maker, body, items, index);
}

/* An ingest into a collection of the same name that a parameter has: the two know each other by the user's word. */
static void make_named(struct maker *maker, struct tl_body *body, struct tl_ref notes) {
    struct tl_ref documents, text;
    if (!pick(maker, TL_TYPE_DOCUMENT, 1, 1, &documents) || !pick(maker, TL_TYPE_TEXT, 0, 1, &text)) return;
    size_t first = body->node_count;
    if (chance(maker, 50)) search(maker, body, text, notes); /* what was in it before */
    size_t before = body->node_count;
    struct tl_node *node = add(maker, body, TL_OP_CHUNK);
    tl_graph_connect(node, "documents", documents);
    struct tl_ref chunks = infer(maker, node);
    node = add(maker, body, TL_OP_EMBED);
    tl_graph_connect(node, "input", chunks);
    struct tl_ref vectors = infer(maker, node);
    struct tl_node *ingest = add(maker, body, TL_OP_INGEST);
    tl_graph_connect(ingest, "chunks", chunks);
    tl_graph_connect(ingest, "vectors", vectors);
    set_string(maker, ingest, "collection", "notes");
    infer(maker, ingest);
    enum tl_edge_kind kind = chance(maker, 50) ? TL_EDGE_CONTROL : TL_EDGE_ORDER;
    for (size_t i = first; i < before; i++) tl_graph_wait(ingest, body->nodes[i], kind);
    size_t after = body->node_count;
    search(maker, body, text, notes);
    kind = chance(maker, 50) ? TL_EDGE_CONTROL : TL_EDGE_ORDER;
    for (size_t i = after; i < body->node_count; i++) tl_graph_wait(body->nodes[i], ingest, kind);
    maker->changes_world = true;
}

/* ---- the rest ---- */

static void make_outside(struct maker *maker, struct tl_body *body) {
    struct tl_ref value;
    if (chance(maker, 50) && pick(maker, TL_TYPE_TEXT, 0, 0, &value)) {
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
    if (chance(maker, 25) && pick(maker, TL_TYPE_TEXT, 0, 0, &value)) {
        node = add(maker, body, TL_OP_PARSE);
        tl_graph_connect(node, "text", value);
        set_on_error(maker, node);
        infer(maker, node);
        return;
    }
    bool join = chance(maker, 30);
    node = add(maker, body, TL_OP_AGGREGATE);
    set_string(maker, node, "mode", join ? "join" : "concat");
    for (unsigned i = 0; i < 3; i++) {
        char name[16];
        snprintf(name, sizeof name, "v%u", i);
        if (pick(maker, TL_TYPE_TEXT, 0, 1, &value)) tl_graph_connect(node, name, value);
    }
    give(maker, node, "texts", TL_TYPE_OF(TEXT, join ? 0 : 1));
}

/* The same primitive a second time, with the same inputs: what `share` is for. */
static void make_double(struct maker *maker, struct tl_body *body) {
    if (body->node_count == 0) return;
    const struct tl_node *old = body->nodes[below(maker, (uint32_t)body->node_count)];
    const struct tl_primitive_info *info = tl_primitive_info(old->op);
    if (!(info->flags & TL_PURE) || old->regions[0] || old->op == TL_OP_RENDER) return;
    for (size_t i = 0; i < old->input_count; i++) /* another place in the order may mean other contents */
        if (tl_graph_type(old->inputs[i].from).base == TL_TYPE_INDEX && !maker->strict && maker->changes_world) return;
    struct tl_node *node = add(maker, body, old->op);
    tl_attributes_copy(&node->attributes, maker->arena, &old->attributes);
    if (chance(maker, 20)) set_integer(maker, node, "count", 2);
    for (size_t i = 0; i < old->input_count; i++) tl_graph_connect(node, old->inputs[i].name, old->inputs[i].from);
    if (tl_signature_of(old->op)->outputs_by_builder)
        for (size_t i = 0; i < old->output_count; i++)
            tl_graph_add_output(node, old->outputs[i].name, old->outputs[i].type);
    infer(maker, node);
}

static struct tl_ref make_condition(struct maker *maker, struct tl_body *body) {
    struct tl_ref value;
    switch (below(maker, 4)) {
    case 0: value = decode_list(maker, body, make_prefix(maker, body, NULL)); break;
    case 1:
        if (pick(maker, TL_TYPE_NUMBER, 0, 0, &value)) break;
        __attribute__((fallthrough));
    case 2:
        if (pick(maker, TL_TYPE_HIT, 1, 1, &value)) break;
        __attribute__((fallthrough));
    default:
        if (!pick(maker, TL_TYPE_TEXT, 0, 1, &value)) value = make_constant(maker, body);
    }
    struct tl_node *node = add(maker, body, TL_OP_CONDITION);
    tl_graph_connect(node, "value", value);
    if (tl_graph_type(value).base == TL_TYPE_TEXT && tl_graph_type(value).depth == 0 && chance(maker, 40)) {
        set_string(maker, node, "is", "equals");
        set_string(maker, node, "to", "ash");
    } else {
        set_string(maker, node, "is", "nonempty");
    }
    return infer(maker, node);
}

/* ---- regions ---- */

static void make_steps(struct maker *maker, struct tl_body *body, unsigned nodes, unsigned nesting);

/* The parameter of a body that its result must depend on, else the order of instances would not show. */
static struct tl_ref essential(const struct tl_node *region, struct tl_body *body) {
    for (size_t i = 0; i < body->parameters->output_count; i++) {
        const char *name = body->parameters->outputs[i].name;
        if (strcmp(name, "carried") == 0 || strcmp(name, "group") == 0 || strcmp(name, "item") == 0) {
            struct tl_ref ref = tl_graph_output(body->parameters, (uint32_t)i);
            enum tl_base_type base = (enum tl_base_type)tl_graph_type(ref).base;
            bool fits = base == TL_TYPE_TEXT || base == TL_TYPE_HIT || base == TL_TYPE_CHUNK;
            if (fits && !(region->op == TL_OP_FOLD && strcmp(name, "item") == 0)) return ref;
        }
    }
    return (struct tl_ref){0};
}

/* Fills one body: its parameters become visible, and are hidden again with all that it made. */
static void fill(struct maker *maker, struct tl_node *region, unsigned which, unsigned nesting) {
    struct tl_body *body = region->regions[which];
    size_t before = maker->count;
    for (size_t i = 0; i < body->parameters->output_count; i++)
        offer(maker, tl_graph_output(body->parameters, (uint32_t)i));
    make_steps(maker, body, below(maker, 6), nesting - 1);
    struct tl_ref must = essential(region, body);
    struct tl_ref text = make_answer(maker, body, must.node ? &must : NULL);
    switch (region->op) {
    case TL_OP_MAP:
        tl_graph_add_result(body, "text", text);
        for (size_t i = before; i < maker->count; i++)
            if (tl_graph_type(maker->values[i]).depth < 3 && chance(maker, 25)) {
                tl_graph_add_result(body, "other", maker->values[i]);
                break;
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

/* Known from the start, written on purpose, or any text that there is. */
static struct tl_ref make_initial(struct maker *maker, struct tl_body *body) {
    struct tl_ref text;
    if (chance(maker, 40)) return make_answer(maker, body, NULL);
    return chance(maker, 40) && pick(maker, TL_TYPE_TEXT, 0, 0, &text) ? text : make_constant(maker, body);
}

static void make_region(struct maker *maker, struct tl_body *body, unsigned nesting) {
    static const enum tl_primitive ops[] = {TL_OP_MAP, TL_OP_MAP, TL_OP_FOLD, TL_OP_REDUCE, TL_OP_COND, TL_OP_LOOP};
    static const enum tl_base_type bases[] = {TL_TYPE_TEXT, TL_TYPE_HIT, TL_TYPE_CHUNK, TL_TYPE_HIT};
    enum tl_primitive op = ops[below(maker, 6)];
    enum tl_base_type base = op == TL_OP_REDUCE ? TL_TYPE_TEXT : bases[below(maker, 4)];
    struct tl_ref items = {0}, initial = {0};
    bool has_items = op != TL_OP_COND && op != TL_OP_LOOP;
    if (has_items && !pick(maker, base, 1, op == TL_OP_REDUCE ? 1 : 2, &items) &&
        !pick(maker, TL_TYPE_TEXT, 1, 1, &items))
        return;
    if (op == TL_OP_FOLD || op == TL_OP_REDUCE || op == TL_OP_LOOP)
        initial = make_initial(maker, body);
    else if (op == TL_OP_COND)
        initial = make_condition(maker, body);
    struct tl_node *region = add(maker, body, op);
    if (has_items) tl_graph_connect(region, "items", items);
    if (initial.node) tl_graph_connect(region, op == TL_OP_COND ? "holds" : "initial", initial);
    if (op == TL_OP_MAP && chance(maker, 25)) set_integer(maker, region, "slice", 1 + below(maker, 3));
    if (op == TL_OP_MAP && chance(maker, 30))
        tl_attributes_set_bool(&region->attributes, maker->arena, "streamed", true);
    if (op == TL_OP_REDUCE) set_integer(maker, region, "arity", 2 + below(maker, 3));
    if (op == TL_OP_LOOP) set_integer(maker, region, "limit", 1 + below(maker, 3));
    struct tl_error error;
    if (tl_graph_begin_region(region, &error) != TL_OK) TL_BUG("random graph: %s", error.message);
    fill(maker, region, 0, nesting);
    if (op == TL_OP_COND) fill(maker, region, 1, nesting);
    if (tl_graph_end_region(region, &error) != TL_OK) TL_BUG("random graph: %s", error.message);
    for (size_t i = 0; i < region->output_count; i++) offer(maker, tl_graph_output(region, (uint32_t)i));
}

/* ---- steps and their order ---- */

/* What keeps it from beginning: inputs and waits. What the bodies of a region use does not, nor a late input. */
static bool follows(const struct tl_node *node, const struct tl_node *before) {
    for (size_t i = 0; i < node->input_count; i++)
        if (node->inputs[i].from.node == before && !tl_graph_is_late_input(node, i)) return true;
    for (size_t i = 0; i < node->wait_count; i++)
        if (node->waits[i].node == before) return true;
    return false;
}

/* All of [second, end) comes after all of [first, second): the entries of the one wait for the ends of the other. */
static void put_in_order(struct tl_body *body, size_t first, size_t second, enum tl_edge_kind kind) {
    size_t end = body->node_count;
    for (size_t i = second; i < end; i++) {
        bool entry = true;
        for (size_t k = second; k < i && entry; k++) entry = !follows(body->nodes[i], body->nodes[k]);
        if (!entry) continue;
        for (size_t k = first; k < second; k++) {
            bool last = true;
            for (size_t j = k + 1; j < second && last; j++) last = !follows(body->nodes[j], body->nodes[k]);
            if (last) tl_graph_wait(body->nodes[i], body->nodes[k], kind);
        }
    }
}

static void make_step(struct maker *maker, struct tl_body *body, unsigned nesting) {
    switch (below(maker, nesting > 0 ? 14 : 10)) {
    case 0: make_constant(maker, body); break;
    case 1: make_answer(maker, body, NULL); break;
    case 2: make_index(maker, body); break;
    case 3: make_search(maker, body); break;
    case 4: make_outside(maker, body); break;
    case 5: make_list(maker, body); break;
    case 6: make_condition(maker, body); break;
    case 7: make_expansion(maker, body); break;
    case 8: make_double(maker, body); break;
    case 9: make_search(maker, body); break;
    default: make_region(maker, body, nesting); break;
    }
}

static void make_steps(struct maker *maker, struct tl_body *body, unsigned nodes, unsigned nesting) {
    size_t former = 0;
    bool strict = maker->strict && (!body->owner || chance(maker, 60));
    while (body->node_count < nodes) {
        size_t start = body->node_count;
        make_step(maker, body, nesting);
        if (body->node_count == start) make_constant(maker, body);
        if (strict && start > 0)
            put_in_order(body, former, start, chance(maker, 20) ? TL_EDGE_CONTROL : TL_EDGE_ORDER);
        else if (start > 0 && chance(maker, 30))
            tl_graph_wait(body->nodes[start], body->nodes[below(maker, (uint32_t)start)],
                          chance(maker, 40) ? TL_EDGE_CONTROL : TL_EDGE_ORDER);
        former = start;
    }
}

/* ---- inputs ---- */

static void put_words(struct maker *maker, struct tl_str *out, uint32_t count) {
    static const char *const words[] = {"ash", "bay", "cay", "den", "elm", "fen", "gap", "hut",
                                        "ice", "jet", "key", "lea", "oak", "Sea", "{x}", "fog."};
    for (uint32_t i = 0; i < count; i++)
        tl_str_printf(out, "%s%s", i ? " " : "", words[below(maker, sizeof words / sizeof words[0])]);
}

static struct tl_value *words(struct maker *maker, uint32_t count) {
    struct tl_str text = TL_STR_INIT;
    put_words(maker, &text, count);
    struct tl_value *value = tl_value_text(text.data, text.length);
    tl_str_fini(&text);
    return value;
}

static struct tl_value *word_list(struct maker *maker) {
    struct tl_value *items[4];
    uint32_t count = below(maker, 5);
    for (uint32_t i = 0; i < count; i++) items[i] = words(maker, below(maker, 6));
    return tl_value_list(TL_TYPE_OF(TEXT, 0), items, count);
}

static struct tl_value *documents(struct maker *maker) {
    struct tl_value *items[3];
    uint32_t count = below(maker, 4);
    for (uint32_t i = 0; i < count; i++) {
        char uri[24];
        struct tl_str text = TL_STR_INIT;
        snprintf(uri, sizeof uri, "document-%u", i);
        put_words(maker, &text, below(maker, 80));
        items[i] = tl_value_document(&(struct tl_document){.uri = uri, .data = text.data, .length = text.length});
        tl_str_fini(&text);
    }
    return tl_value_list(TL_TYPE_OF(DOCUMENT, 0), items, count);
}

static struct tl_ref parameter(struct maker *maker, struct generated *out, const char *name, struct tl_type type,
                               struct tl_value *value) {
    out->inputs[out->input_count++] = value;
    return tl_graph_add_parameter(maker->graph->root, name, type);
}

void generate(uint64_t seed, struct generated *out) {
    char name[40];
    snprintf(name, sizeof name, "random %llu", (unsigned long long)seed);
    struct maker maker = {.graph = tl_graph_create(name), .random = {seed}};
    struct tl_body *root = maker.graph->root;
    maker.arena = &maker.graph->arena;
    maker.strict = chance(&maker, 60);
    memset(out, 0, sizeof *out);
    offer(&maker, parameter(&maker, out, "question", TL_TYPE_OF(TEXT, 0), words(&maker, 1 + below(&maker, 8))));
    offer(&maker, parameter(&maker, out, "documents", TL_TYPE_OF(DOCUMENT, 1), documents(&maker)));
    offer(&maker, parameter(&maker, out, "queries", TL_TYPE_OF(TEXT, 1), word_list(&maker)));
    offer(&maker, parameter(&maker, out, "library", TL_TYPE_OF(INDEX, 0), tl_value_index("library", NULL, 0)));
    offer(&maker, parameter(&maker, out, "call", TL_TYPE_OF(JSON, 0), tl_value_json(json_pack("{s:i}", "n", 7))));
    struct tl_value *lists[] = {word_list(&maker), word_list(&maker)};
    offer(&maker, parameter(&maker, out, "texts", TL_TYPE_OF(TEXT, 2), tl_value_list(TL_TYPE_OF(TEXT, 1), lists, 2)));
    struct tl_ref notes = parameter(&maker, out, "notes", TL_TYPE_OF(INDEX, 0), tl_value_index("notes", NULL, 0));
    bool named = chance(&maker, 30);
    unsigned nodes = chance(&maker, 50) ? 30 + below(&maker, 20) : 2 + below(&maker, 20);
    if (named) make_named(&maker, root, notes);
    size_t first = root->node_count;
    make_steps(&maker, root, nodes, 3);
    /* What the steps do to collections, one called notes included, comes after what has been done before. */
    if (named && maker.strict && first > 0)
        for (size_t i = first; i < root->node_count; i++)
            for (size_t k = 0; k < first; k++) tl_graph_wait(root->nodes[i], root->nodes[k], TL_EDGE_ORDER);
    tl_graph_add_result(root, "answer", make_answer(&maker, root, NULL));
    for (size_t i = 0, extra = 0; i < maker.count; i++) {
        struct tl_ref value = maker.values[i];
        if (value.node->op == TL_OP_PARAMETERS || tl_graph_use_count(value) > 0) continue;
        snprintf(name, sizeof name, "extra%zu", extra++);
        tl_graph_add_result(root, name, value);
    }
    tl_mem_free(maker.values);
    out->graph = maker.graph;
    out->changes_world = maker.changes_world;
}

void generated_fini(struct generated *generated) {
    tl_graph_destroy(generated->graph);
    for (size_t i = 0; i < generated->input_count; i++) tl_value_unref(generated->inputs[i]);
}

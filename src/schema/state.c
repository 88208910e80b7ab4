/* state.c: the readings of a text, byte by byte. */
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "schema/schema_impl.h"

static size_t way_bytes(uint32_t depth) {
    return offsetof(struct tl_schema_way, frames) + depth * sizeof(struct tl_schema_frame);
}

static void copy_way(struct tl_schema_way *to, const struct tl_schema_way *from) {
    memcpy(to, from, way_bytes(from->depth));
}

static bool same_way(const struct tl_schema_way *a, const struct tl_schema_way *b) {
    return a->depth == b->depth && memcmp(a->frames, b->frames, a->depth * sizeof a->frames[0]) == 0;
}

static const struct tl_schema_node *node_of(const struct tl_schema_state *state, const struct tl_schema_frame *frame) {
    return &state->schema->nodes[frame->node];
}

static bool is_scalar(const struct tl_schema_node *node) {
    return node->kind == TL_SCHEMA_STRING || node->kind == TL_SCHEMA_NUMBER;
}

bool tl_schema_usable(const struct tl_schema *schema, const struct tl_schema_way *way,
                      const struct tl_schema_literal *literal) {
    const struct tl_schema_node *following = tl_schema_following(schema, tl_schema_top(way), literal);
    return !following || following->depth <= TL_SCHEMA_NESTING - way->depth;
}

static bool any_usable(const struct tl_schema *schema, const struct tl_schema_way *way,
                       const struct tl_schema_literals *literals) {
    const struct tl_schema_range *range = &tl_schema_top(way)->as.range;
    for (uint32_t i = range->low; i < range->high; i++)
        if (tl_schema_usable(schema, way, &literals->items[i]))
            return true;
    return false;
}

/* ---- adding a reading to the next state ---- */

/* Beyond TL_SCHEMA_WAYS readings the later ones are given up: each that stays can be completed. */
static void add(struct tl_schema_state *state, const struct tl_schema_way *way) {
    for (size_t i = 0; i < state->next_count; i++)
        if (same_way(&state->next[i], way))
            return;
    if (state->next_count == TL_SCHEMA_WAYS)
        return;
    state->next = tl_mem_grow(state->next, &state->next_capacity, state->next_count + 1, sizeof *state->next);
    copy_way(&state->next[state->next_count++], way);
}

/* Begins to choose among the literals that the top frame may write. */
static void choose(const struct tl_schema *schema, struct tl_schema_way *way) {
    struct tl_schema_frame *top = &way->frames[way->depth - 1];
    top->as.range = (struct tl_schema_range){0, tl_schema_choices(schema, top).count, 0};
}

static void push_one(struct tl_schema_state *state, struct tl_schema_way *way, uint32_t node) {
    struct tl_schema_frame *frame = &way->frames[way->depth++];
    memset(frame, 0, sizeof *frame);
    frame->node = node;
    if (!is_scalar(&state->schema->nodes[node]))
        choose(state->schema, way);
    add(state, way);
    way->depth--;
}

/* Begins a value inside the way's top frame. */
static void push(struct tl_schema_state *state, struct tl_schema_way *way, uint32_t index) {
    const struct tl_schema_node *node = &state->schema->nodes[index];
    if (node->kind != TL_SCHEMA_ANY_OF) {
        push_one(state, way, index);
        return;
    }
    for (uint32_t i = 0; i < node->as.any_of.count; i++)
        if (state->schema->nodes[node->as.any_of.nodes[i]].depth <= TL_SCHEMA_NESTING - way->depth)
            push_one(state, way, node->as.any_of.nodes[i]);
}

/* The value of the top frame is complete. */
static void pop(struct tl_schema_state *state, struct tl_schema_way *way) {
    if (--way->depth > 0) {
        struct tl_schema_frame *top = &way->frames[way->depth - 1];
        const struct tl_schema_node *node = node_of(state, top);
        if (node->kind != TL_SCHEMA_MAP || top->phase != TL_SCHEMA_KEY) /* a name is followed by a colon */
            top->phase = TL_SCHEMA_NEXT;
        top->count += node->kind == TL_SCHEMA_ARRAY;
        choose(state->schema, way);
    }
    add(state, way);
}

/* ---- one byte ---- */

/* A literal of the top frame is complete. */
static void follow(struct tl_schema_state *state, struct tl_schema_way *way, const struct tl_schema_literal *literal) {
    struct tl_schema_frame *top = &way->frames[way->depth - 1];
    const struct tl_schema_node *node = node_of(state, top);
    if (!tl_schema_following(state->schema, top, literal)) {
        pop(state, way);
        return;
    }
    memset(&top->as, 0, sizeof top->as);
    switch (node->kind) {
    case TL_SCHEMA_OBJECT:
        top->count = literal->next + 1u;
        push(state, way, node->as.object.values[literal->next]);
        break;
    case TL_SCHEMA_ARRAY: push(state, way, node->as.array.item); break;
    default: /* MAP */
        top->phase = top->phase == TL_SCHEMA_KEY ? TL_SCHEMA_VALUE : TL_SCHEMA_KEY;
        push(state, way, top->phase == TL_SCHEMA_KEY ? node->as.map.key : node->as.map.value);
    }
}

static void put_literal(struct tl_schema_state *state, struct tl_schema_way *way, unsigned char byte) {
    struct tl_schema_range *range = &way->frames[way->depth - 1].as.range;
    struct tl_schema_literals literals = tl_schema_choices(state->schema, tl_schema_top(way));
    if (!tl_schema_range_put(&literals, range, byte) || !any_usable(state->schema, way, &literals))
        return;
    const struct tl_schema_literal *first = &literals.items[range->low];
    bool complete = first->length == range->at;
    range->low += complete;
    if (range->low < range->high && any_usable(state->schema, way, &literals))
        add(state, way);
    if (complete && tl_schema_usable(state->schema, way, first))
        follow(state, way, first);
}

static void put_scalar(struct tl_schema_state *state, struct tl_schema_way *way, unsigned char byte) {
    struct tl_schema_frame *top = &way->frames[way->depth - 1];
    const struct tl_schema_node *node = node_of(state, top);
    bool ended = false;
    if (node->kind == TL_SCHEMA_STRING ? !tl_schema_string_put(node, top, byte, &ended)
                                       : !tl_schema_number_put(node, top, byte))
        return;
    if (node->kind == TL_SCHEMA_STRING ? !ended : tl_schema_number_may_go_on(node, top))
        add(state, way);
    if (node->kind == TL_SCHEMA_STRING ? ended : tl_schema_number_may_end(node, top))
        pop(state, way);
}

static void swap(struct tl_schema_state *state) {
    struct tl_schema_way *ways = state->ways;
    size_t capacity = state->capacity;
    state->ways = state->next;
    state->count = state->next_count;
    state->capacity = state->next_capacity;
    state->next = ways;
    state->next_capacity = capacity;
}

bool tl_schema_put(struct tl_schema_state *state, unsigned char byte) {
    state->next_count = 0;
    for (size_t i = 0; i < state->count; i++) {
        if (state->ways[i].depth == 0)
            continue;
        struct tl_schema_way way;
        copy_way(&way, &state->ways[i]);
        if (is_scalar(node_of(state, tl_schema_top(&way))))
            put_scalar(state, &way, byte);
        else
            put_literal(state, &way, byte);
    }
    if (state->next_count == 0)
        return false;
    swap(state);
    return true;
}

/* ---- what may come ---- */

static void include(struct tl_schema_bytes *set, unsigned char byte) {
    set->words[byte >> 6] |= UINT64_C(1) << (byte & 63);
}

static void next_of_scalar(const struct tl_schema_node *node, const struct tl_schema_frame *top,
                           struct tl_schema_bytes *set) {
    for (unsigned byte = 0; byte < 256; byte++) {
        struct tl_schema_frame frame = *top;
        bool ended;
        if (node->kind == TL_SCHEMA_STRING ? tl_schema_string_put(node, &frame, (unsigned char)byte, &ended)
                                           : tl_schema_number_put(node, &frame, (unsigned char)byte))
            include(set, (unsigned char)byte);
    }
}

void tl_schema_next(const struct tl_schema_state *state, struct tl_schema_bytes *set) {
    *set = (struct tl_schema_bytes){0};
    for (size_t i = 0; i < state->count; i++) {
        const struct tl_schema_way *way = &state->ways[i];
        if (way->depth == 0)
            continue;
        const struct tl_schema_frame *top = tl_schema_top(way);
        if (is_scalar(node_of(state, top))) {
            next_of_scalar(node_of(state, top), top, set);
            continue;
        }
        struct tl_schema_literals literals = tl_schema_choices(state->schema, top);
        for (uint32_t k = top->as.range.low; k < top->as.range.high; k++)
            if (tl_schema_usable(state->schema, way, &literals.items[k]))
                include(set, (unsigned char)literals.items[k].text[top->as.range.at]);
    }
}

int tl_schema_forced(const struct tl_schema_state *state) {
    if (tl_schema_may_end(state))
        return -1;
    struct tl_schema_bytes set;
    tl_schema_next(state, &set);
    int only = -1;
    for (int i = 0; i < 4; i++) {
        uint64_t word = set.words[i];
        if (word == 0)
            continue;
        if (only >= 0 || (word & (word - 1)) != 0)
            return -1;
        only = i * 64 + __builtin_ctzll(word);
    }
    return only;
}

bool tl_schema_may_end(const struct tl_schema_state *state) {
    for (size_t i = 0; i < state->count; i++)
        if (state->ways[i].depth == 0)
            return true;
    return false;
}

bool tl_schema_has_ended(const struct tl_schema_state *state) {
    return state->count == 1 && state->ways[0].depth == 0;
}

bool tl_schema_at_border(const struct tl_schema_state *state) {
    for (size_t i = 0; i < state->count; i++) {
        const struct tl_schema_way *way = &state->ways[i];
        if (way->depth == 0)
            continue;
        const struct tl_schema_frame *top = tl_schema_top(way);
        const struct tl_schema_node *node = node_of(state, top);
        if (is_scalar(node) || node->kind == TL_SCHEMA_LITERALS)
            return false;
        if (top->as.range.at > 0 && tl_schema_forced(state) < 0)
            return false;
    }
    return true;
}

/* ---- elements of an array ---- */

/* In a reading that has ended all are complete. */
size_t tl_schema_elements(const struct tl_schema_state *state) {
    uint64_t least = UINT64_MAX;
    for (size_t i = 0; i < state->count; i++) {
        const struct tl_schema_way *way = &state->ways[i];
        if (way->depth > 0 && way->frames[0].count < least)
            least = way->frames[0].count;
    }
    return (size_t)least;
}

bool tl_schema_between_elements(const struct tl_schema_state *state) {
    for (size_t i = 0; i < state->count; i++)
        if (state->ways[i].depth != 1 || state->ways[i].frames[0].as.range.at != 0)
            return false;
    return true;
}

/* ---- life ---- */

void tl_schema_state_init(struct tl_schema_state *state, const struct tl_schema *schema) {
    *state = (struct tl_schema_state){.schema = schema};
    struct tl_schema_way way = {0};
    push(state, &way, schema->root);
    swap(state);
    TL_ASSERT(state->count > 0);
}

void tl_schema_state_fini(struct tl_schema_state *state) {
    tl_mem_free(state->ways);
    tl_mem_free(state->next);
    *state = (struct tl_schema_state){0};
}

void tl_schema_state_copy(struct tl_schema_state *to, const struct tl_schema_state *from) {
    to->schema = from->schema;
    to->count = from->count;
    to->ways = tl_mem_grow(to->ways, &to->capacity, from->count, sizeof *to->ways);
    for (size_t i = 0; i < from->count; i++)
        copy_way(&to->ways[i], &from->ways[i]);
}

/* close.c: ending a text before its writer would: a value that was begun is settled, or the whole
 * completed by as little as the schema allows. */
#include "base/error.h"
#include "schema/schema_impl.h"

static const struct tl_schema_node *top_node(const struct tl_schema_state *state, const struct tl_schema_way *way) {
    return &state->schema->nodes[tl_schema_top(way)->node];
}

/* Keeps the readings of one kind; false, and all stay, when there is none or all are. */
static bool keep(struct tl_schema_state *state, bool (*wanted)(const struct tl_schema_state *state,
                                                               const struct tl_schema_way *way)) {
    size_t kept = 0;
    for (size_t i = 0; i < state->count; i++)
        kept += wanted(state, &state->ways[i]);
    if (kept == 0 || kept == state->count)
        return false;
    kept = 0;
    for (size_t i = 0; i < state->count; i++)
        if (wanted(state, &state->ways[i]))
            state->ways[kept++] = state->ways[i];
    state->count = kept;
    return true;
}

static bool is_complete(const struct tl_schema_state *state, const struct tl_schema_way *way) {
    (void)state;
    return way->depth == 0;
}

static bool is_between(const struct tl_schema_state *state, const struct tl_schema_way *way) {
    return way->depth == 0 || (top_node(state, way)->kind != TL_SCHEMA_NUMBER &&
                               top_node(state, way)->kind != TL_SCHEMA_STRING &&
                               tl_schema_top(way)->phase != TL_SCHEMA_OPEN && tl_schema_top(way)->as.range.at == 0);
}

static bool in_string(const struct tl_schema_state *state, const struct tl_schema_way *way) {
    return way->depth > 0 && top_node(state, way)->kind == TL_SCHEMA_STRING &&
           tl_schema_top(way)->phase == TL_SCHEMA_CONTENT;
}

bool tl_schema_settle(struct tl_schema_state *state, struct tl_str *text) {
    if (tl_schema_has_ended(state))
        return true;
    if (tl_schema_may_end(state)) /* not the only reading, so some go */
        return keep(state, is_complete);
    if (keep(state, is_between))
        return true;
    for (size_t i = 0; i < state->count; i++)
        if (in_string(state, &state->ways[i])) {
            if (!tl_schema_put(state, '"'))
                return false;
            tl_str_putc(text, '"');
            return true;
        }
    return false;
}

/* ---- completing ---- */

/* Keeps the reading that is nearest to its end. */
static void keep_nearest(struct tl_schema_state *state) {
    size_t best = 0;
    uint32_t best_depth = UINT32_MAX, best_need = UINT32_MAX;
    for (size_t i = 0; i < state->count; i++) {
        const struct tl_schema_way *way = &state->ways[i];
        uint32_t need = way->depth > 0 ? top_node(state, way)->depth : 0;
        if (way->depth < best_depth || (way->depth == best_depth && need < best_need)) {
            best = i;
            best_depth = way->depth;
            best_need = need;
        }
    }
    state->ways[0] = state->ways[best];
    state->count = 1;
}

/* A byte with which the number may end; if there is none, one with which it may go on. */
static unsigned char shortest_of_number(const struct tl_schema_node *node, const struct tl_schema_frame *top) {
    static const char order[] = "0123456789.-";
    unsigned char first = 0;
    for (const char *at = order; *at; at++) {
        struct tl_schema_frame frame = *top;
        if (!tl_schema_number_put(node, &frame, (unsigned char)*at))
            continue;
        if (tl_schema_number_may_end(node, &frame))
            return (unsigned char)*at;
        first = first ? first : (unsigned char)*at;
    }
    return first;
}

/* The next byte of the shortest way on. */
static unsigned char shortest(const struct tl_schema_state *state) {
    const struct tl_schema_way *way = &state->ways[0];
    const struct tl_schema_frame *top = tl_schema_top(way);
    const struct tl_schema_node *node = top_node(state, way);
    if (node->kind == TL_SCHEMA_STRING)
        return top->phase == TL_SCHEMA_OPEN || top->count >= node->as.string.least ? '"' : ' ';
    if (node->kind == TL_SCHEMA_NUMBER)
        return shortest_of_number(node, top);
    struct tl_schema_literals literals = tl_schema_choices(state->schema, top);
    const struct tl_schema_literal *best = NULL;
    for (uint32_t i = top->as.range.low; i < top->as.range.high; i++) {
        const struct tl_schema_literal *other = &literals.items[i];
        if (!tl_schema_usable(state->schema, way, other))
            continue;
        /* To end comes last in `next`, before it the member that may not be left out. */
        if (!best || other->next > best->next || (other->next == best->next && other->length < best->length))
            best = other;
    }
    return best ? (unsigned char)best->text[top->as.range.at] : 0;
}

size_t tl_schema_certain(const struct tl_schema_state *state, size_t length) {
    size_t begun = 0;
    for (size_t i = 0; i < state->count; i++) {
        const struct tl_schema_way *way = &state->ways[i];
        if (way->depth > 0 && top_node(state, way)->kind == TL_SCHEMA_STRING &&
            tl_schema_top(way)->as.character.unit > begun)
            begun = tl_schema_top(way)->as.character.unit;
    }
    return length - begun;
}

void tl_schema_close(struct tl_schema_state *state, struct tl_str *text) {
    keep_nearest(state);
    if (state->ways[0].depth > 0 && top_node(state, &state->ways[0])->kind == TL_SCHEMA_STRING) {
        struct tl_schema_frame *top = &state->ways[0].frames[state->ways[0].depth - 1];
        if (top->phase != TL_SCHEMA_OPEN) {
            tl_str_truncate(text, text->length - top->as.character.unit);
            top->as.character.unit = 0;
            top->phase = TL_SCHEMA_CONTENT;
        }
    }
    while (!tl_schema_has_ended(state)) {
        unsigned char byte = shortest(state);
        if (!tl_schema_put(state, byte))
            TL_BUG("a text of %zu bytes that was allowed cannot be completed", text->length);
        tl_str_putc(text, (char)byte);
        keep_nearest(state);
    }
}

/* depth.c: how deep a value of each node must be: by this nothing is begun that has no room to end. */
#include <string.h>

#include "base/mem.h"
#include "schema/compile_impl.h"

/* Replaces members of an ANY_OF that are themselves ANY_OF by theirs. */
static void gather(const struct tl_schema *schema, uint32_t index, bool *seen, uint32_t *nodes, size_t *count) {
    if (seen[index])
        return;
    seen[index] = true;
    const struct tl_schema_node *node = &schema->nodes[index];
    if (node->kind != TL_SCHEMA_ANY_OF) {
        nodes[(*count)++] = index;
        return;
    }
    for (uint32_t i = 0; i < node->as.any_of.count; i++)
        gather(schema, node->as.any_of.nodes[i], seen, nodes, count);
}

static void flatten(struct tl_schema *schema) {
    struct tl_schema_node *flat = tl_mem_alloc(schema->node_count * sizeof *flat);
    uint32_t *nodes = tl_mem_alloc(schema->node_count * sizeof *nodes);
    bool *seen = tl_mem_alloc(schema->node_count);
    memcpy(flat, schema->nodes, schema->node_count * sizeof *flat);
    for (uint32_t i = 0; i < schema->node_count; i++) {
        if (flat[i].kind != TL_SCHEMA_ANY_OF)
            continue;
        size_t count = 0;
        memset(seen, 0, schema->node_count);
        gather(schema, i, seen, nodes, &count);
        flat[i].as.any_of.nodes = tl_arena_copy(&schema->arena, nodes, count * sizeof *nodes);
        flat[i].as.any_of.count = (uint32_t)count;
    }
    memcpy(schema->nodes, flat, schema->node_count * sizeof *flat);
    tl_mem_free(flat);
    tl_mem_free(nodes);
    tl_mem_free(seen);
}

/* The depth that a value of the node needs by what is known of the others. */
static uint32_t depth_of(const struct tl_schema *schema, const struct tl_schema_node *node) {
    uint32_t most = 0, least = TL_SCHEMA_NONE;
    switch (node->kind) {
    case TL_SCHEMA_OBJECT:
        for (uint32_t done = 0; done < node->as.object.count;) {
            /* A member stands alone, or last, behind those before it exactly when it is required. */
            const struct tl_schema_literals *after = &node->as.object.after[done];
            uint32_t last = 0;
            for (uint32_t i = 0; i < after->count; i++)
                last = after->items[i].next > last ? after->items[i].next : last;
            if (last == node->as.object.count)
                break;
            uint32_t depth = schema->nodes[node->as.object.values[last]].depth;
            most = depth > most ? depth : most;
            done = last + 1;
        }
        return most == TL_SCHEMA_NONE ? TL_SCHEMA_NONE : most + 1;
    case TL_SCHEMA_ARRAY:
        if (node->as.array.least > 0)
            most = schema->nodes[node->as.array.item].depth;
        return most == TL_SCHEMA_NONE ? TL_SCHEMA_NONE : most + 1;
    case TL_SCHEMA_ANY_OF:
        for (uint32_t i = 0; i < node->as.any_of.count; i++)
            if (schema->nodes[node->as.any_of.nodes[i]].depth < least)
                least = schema->nodes[node->as.any_of.nodes[i]].depth;
        return least;
    default: return 1;
    }
}

void tl_schema_measure(struct tl_schema *schema) {
    flatten(schema);
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < schema->node_count; i++) {
            uint32_t depth = depth_of(schema, &schema->nodes[i]);
            changed |= depth < schema->nodes[i].depth;
            schema->nodes[i].depth = depth < schema->nodes[i].depth ? depth : schema->nodes[i].depth;
        }
    }
}

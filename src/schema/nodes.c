/* nodes.c: see compile_impl.h. */
#include <string.h>

#include "base/error.h"
#include "schema/compile_impl.h"

/* ---- messages ---- */

static void put_place(const struct tl_schema_place *place, struct tl_str *out) {
    if (place->outer)
        put_place(place->outer, out);
    if (!place->name)
        tl_str_printf(out, "[%zu]", place->position);
    else
        tl_str_printf(out, "%s%.64s", place->outer ? "." : "", place->name);
}

uint32_t tl_schema_fail(const struct tl_schema_compile *compile, const struct tl_schema_place *place,
                        const char *format, ...) {
    struct tl_str message = TL_STR_INIT;
    put_place(place, &message);
    tl_str_puts(&message, ": ");
    va_list args;
    va_start(args, format);
    tl_str_vprintf(&message, format, args);
    va_end(args);
    tl_error_set(compile->error, TL_ERR_INVALID, "%s", message.data);
    tl_str_fini(&message);
    return TL_SCHEMA_NONE;
}

struct tl_schema_place tl_schema_member(const struct tl_schema_place *outer, const char *name) {
    return (struct tl_schema_place){.outer = outer, .name = name, .level = outer->level + 1};
}

struct tl_schema_place tl_schema_element(const struct tl_schema_place *outer, size_t position) {
    return (struct tl_schema_place){.outer = outer, .position = position, .level = outer->level + 1};
}

/* ---- nodes ---- */

uint32_t tl_schema_add_node(struct tl_schema_compile *compile, enum tl_schema_kind kind) {
    struct tl_schema *schema = compile->schema;
    schema->nodes = tl_arena_grow(&schema->arena, schema->nodes, &schema->node_capacity, schema->node_count + 1,
                                  sizeof *schema->nodes);
    schema->nodes[schema->node_count] = (struct tl_schema_node){.kind = kind, .depth = TL_SCHEMA_NONE};
    return (uint32_t)schema->node_count++;
}

uint32_t tl_schema_add_string(struct tl_schema_compile *compile, uint64_t least, uint64_t most) {
    uint32_t index = tl_schema_add_node(compile, TL_SCHEMA_STRING);
    tl_schema_node_at(compile, index)->as.string.least = least;
    tl_schema_node_at(compile, index)->as.string.most = most;
    return index;
}

struct tl_schema_literal tl_schema_literal_of(const char *text, uint32_t next) {
    return (struct tl_schema_literal){text, (uint32_t)strlen(text), next};
}

uint32_t tl_schema_add_literals(struct tl_schema_compile *compile, struct tl_schema_literal *items, size_t count) {
    uint32_t index = tl_schema_add_node(compile, TL_SCHEMA_LITERALS);
    tl_schema_node_at(compile, index)->as.literals = tl_schema_literals_make(&compile->schema->arena, items, count);
    return index;
}

void tl_schema_set_any_of(struct tl_schema_compile *compile, uint32_t index, const uint32_t *nodes, size_t count) {
    struct tl_schema_node *node = tl_schema_node_at(compile, index);
    node->kind = TL_SCHEMA_ANY_OF;
    node->as.any_of.nodes = tl_arena_copy(&compile->schema->arena, nodes, count * sizeof *nodes);
    node->as.any_of.count = (uint32_t)count;
}

char *tl_schema_quoted(struct tl_schema_compile *compile, const char *text) {
    struct tl_str quoted = TL_STR_INIT;
    tl_str_put_json(&quoted, text, strlen(text));
    char *kept = tl_arena_strndup(&compile->schema->arena, quoted.data, quoted.length);
    tl_str_fini(&quoted);
    return kept;
}

/* What may stand behind the first `done` members: the next required one, what is optional before it, or the
 * end. Whenever one may be chosen so, `done` is 0 or the one before it was written: never only left out. */
static struct tl_schema_literals after_members(struct tl_schema_compile *compile, char *const *names,
                                               const bool *required, size_t count, size_t done) {
    struct tl_arena *arena = &compile->schema->arena;
    struct tl_schema_literal items[TL_SCHEMA_PROPERTIES_MAX + 1];
    size_t used = 0, i = done;
    const char *before = done == 0 ? "{" : ", ";
    for (bool needed = false; i < count && !needed; i++) {
        items[used++] = tl_schema_literal_of(tl_arena_printf(arena, "%s%s: ", before, names[i]), (uint32_t)i);
        needed = required[i];
    }
    if (used == 0 || !required[i - 1])
        items[used++] = tl_schema_literal_of(done == 0 ? "{}" : "}", (uint32_t)count);
    return tl_schema_literals_make(arena, items, used);
}

void tl_schema_set_object(struct tl_schema_compile *compile, uint32_t index, char *const *names, uint32_t *values,
                          const bool *required, size_t count) {
    TL_ASSERT(count <= TL_SCHEMA_PROPERTIES_MAX);
    struct tl_schema_literals *after = tl_arena_alloc(&compile->schema->arena, (count + 1) * sizeof *after);
    for (size_t i = 0; i <= count; i++)
        after[i] = after_members(compile, names, required, count, i);
    struct tl_schema_node *node = tl_schema_node_at(compile, index);
    node->kind = TL_SCHEMA_OBJECT;
    node->as.object.values = values;
    node->as.object.after = after;
    node->as.object.count = (uint32_t)count;
}

uint32_t tl_schema_anything(struct tl_schema_compile *compile) {
    if (compile->anything != TL_SCHEMA_NONE)
        return compile->anything;
    uint32_t any = compile->anything = tl_schema_add_node(compile, TL_SCHEMA_ANY_OF);
    struct tl_schema_literal words[] = {tl_schema_literal_of("true", 0), tl_schema_literal_of("false", 0),
                                        tl_schema_literal_of("null", 0)};
    uint32_t nodes[5] = {tl_schema_add_string(compile, 0, TL_SCHEMA_UNLIMITED),
                         tl_schema_add_node(compile, TL_SCHEMA_NUMBER), tl_schema_add_literals(compile, words, 3),
                         tl_schema_add_node(compile, TL_SCHEMA_MAP), tl_schema_add_node(compile, TL_SCHEMA_ARRAY)};
    tl_schema_number_bound(tl_schema_node_at(compile, nodes[1]), NULL, NULL, NULL, NULL);
    tl_schema_node_at(compile, nodes[3])->as.map.key = tl_schema_add_string(compile, 1, TL_SCHEMA_UNLIMITED);
    tl_schema_node_at(compile, nodes[3])->as.map.value = any;
    tl_schema_node_at(compile, nodes[4])->as.array.item = any;
    tl_schema_node_at(compile, nodes[4])->as.array.most = TL_SCHEMA_UNLIMITED;
    tl_schema_set_any_of(compile, any, nodes, 5);
    return any;
}

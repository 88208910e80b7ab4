/* tree_test.c: the tree against a naive list of sequences, under random operations over so few different tokens that
 * everything branches, splits and merges all the time. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/hash.h"
#include "engine/llm/tree.h"

#define MOST 48   /* marks */
#define LONGEST 24 /* tokens */

struct entry {
    struct tl_llm_mark mark;
    int32_t ids[LONGEST];
    uint64_t salt;
};

struct world {
    struct tl_llm_tree tree;
    struct entry entries[MOST];
    size_t count;
    uint64_t state;
    int32_t alphabet;
};

static uint64_t draw(struct world *world, uint64_t below) {
    world->state = tl_hash_u64(world->state, 77);
    return (world->state >> 11) % below;
}

static void draw_ids(struct world *world, int32_t ids[LONGEST]) {
    for (size_t i = 0; i < LONGEST; i++)
        ids[i] = (int32_t)draw(world, (uint64_t)world->alphabet) - 1;
    if (world->count == 0 || draw(world, 3) == 0)
        return;
    /* usually the beginning of another one */
    memcpy(ids, world->entries[draw(world, world->count)].ids, draw(world, LONGEST + 1) * sizeof *ids);
}

static size_t common(const int32_t *a, size_t a_length, const int32_t *b, size_t b_length) {
    size_t same = 0;
    while (same < a_length && same < b_length && a[same] == b[same])
        same++;
    return same;
}

static size_t reach_of(const struct entry *entry, uint64_t salt, const int32_t *ids, size_t count) {
    return entry->salt == salt ? common(entry->ids, entry->mark.length, ids, count) : 0;
}

static struct entry *entry_of(const struct tl_llm_mark *mark) {
    return (struct entry *)mark; /* its first member */
}

static void check_find(struct world *world, enum tl_llm_mark_kind kind) {
    int32_t ids[LONGEST];
    draw_ids(world, ids);
    size_t count = draw(world, LONGEST + 1);
    uint64_t salt = draw(world, 2);
    size_t best = 0, reaching = 0, whole = 0, found = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct entry *entry = &world->entries[i];
        size_t reach = entry->mark.kind == kind ? reach_of(entry, salt, ids, count) : 0;
        best = reach > best ? reach : best;
        if (reach == entry->mark.length && reach > whole)
            whole = reach;
    }
    for (size_t i = 0; i < world->count && best > 0; i++)
        reaching += world->entries[i].mark.kind == kind && reach_of(&world->entries[i], salt, ids, count) == best;
    struct tl_llm_match match = tl_llm_tree_find(&world->tree, salt, ids, count, kind);
    assert_int_equal(match.length, best);
    for (const struct tl_llm_mark *mark = NULL; (mark = tl_llm_tree_next(match.node, kind, mark)) != NULL;) {
        bool reaches = reach_of(entry_of(mark), salt, ids, count) == best;
        assert_int_equal(reaches, mark->length >= best);
        found += reaches;
    }
    assert_int_equal(found, reaching);
    const struct tl_llm_mark *longest = tl_llm_tree_find_whole(&world->tree, salt, ids, count, kind);
    assert_int_equal(longest ? longest->length : 0, whole);
    if (longest)
        assert_int_equal(reach_of(entry_of(longest), salt, ids, count), whole);
}

static void check_sharing(struct world *world) {
    if (world->count == 0)
        return;
    const struct entry *entry = &world->entries[draw(world, world->count)];
    enum tl_llm_mark_kind kind = (enum tl_llm_mark_kind)draw(world, TL_LLM_MARK_KINDS);
    size_t from = draw(world, LONGEST), shared = 0, reach = 0;
    for (size_t i = 0; i < world->count; i++) {
        const struct entry *other = &world->entries[i];
        size_t same = reach_of(other, entry->salt, entry->ids, entry->mark.length);
        if (other != entry && other->mark.kind == entry->mark.kind && same > shared)
            shared = same;
        if (other->mark.kind == kind && same > reach)
            reach = same;
    }
    assert_int_equal(tl_llm_tree_shared(&entry->mark), shared);
    assert_int_equal(tl_llm_tree_reaches(&entry->mark, from, kind), reach > from);
}

static void insert(struct world *world) {
    if (world->count == MOST)
        return;
    struct entry *entry = &world->entries[world->count];
    int32_t ids[LONGEST];
    draw_ids(world, ids);
    *entry = (struct entry){.salt = draw(world, 2)};
    memcpy(entry->ids, ids, sizeof ids);
    entry->mark.kind = (enum tl_llm_mark_kind)draw(world, TL_LLM_MARK_KINDS);
    entry->mark.length = draw(world, LONGEST + 1);
    if (world->count > 0 && draw(world, 4) == 0) {
        const struct entry *like = &world->entries[draw(world, world->count)];
        memcpy(entry->ids, like->ids, sizeof entry->ids);
        entry->salt = like->salt;
        entry->mark.length = draw(world, like->mark.length + 1);
        tl_llm_tree_insert_like(&entry->mark, &like->mark);
        world->count++;
        return;
    }
    tl_llm_tree_insert(&world->tree, entry->salt, entry->ids, &entry->mark);
    world->count++;
}

/* Entries stay where they are in memory, as marks do: the last one is put back in under the freed one's place. */
static void delete(struct world *world, size_t index) {
    struct entry *entry = &world->entries[index], *last = &world->entries[--world->count];
    tl_llm_tree_remove(&world->tree, &entry->mark);
    assert_null(entry->mark.node);
    if (entry == last)
        return;
    tl_llm_tree_remove(&world->tree, &last->mark);
    *entry = *last;
    tl_llm_tree_insert(&world->tree, entry->salt, entry->ids, &entry->mark);
}

static void run(uint64_t seed, size_t operations) {
    struct world world = {.state = seed, .alphabet = 2 + (int32_t)(seed % 3)};
    for (size_t i = 0; i < operations; i++) {
        uint64_t what = draw(&world, 8);
        if (what < 3) {
            insert(&world);
        } else if (what < 5 && world.count > 0) {
            delete (&world, draw(&world, world.count));
        } else if (world.count > 0) {
            struct entry *entry = &world.entries[draw(&world, world.count)];
            tl_llm_tree_move(&world.tree, &entry->mark, entry->ids, draw(&world, LONGEST + 1));
        }
        tl_llm_tree_check(&world.tree);
        for (int kind = 0; kind < TL_LLM_MARK_KINDS; kind++)
            check_find(&world, (enum tl_llm_mark_kind)kind);
        check_sharing(&world);
    }
    while (world.count > 0)
        delete (&world, draw(&world, world.count));
    assert_int_equal(world.tree.root_count, 0); /* nothing is left without marks */
    tl_llm_tree_fini(&world.tree);
}

static void test_against_a_list(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++)
        run(seed, 400);
}

/* A sequence that grows token by token stays one node; a fork cuts it; when the fork goes it is one again. */
static void test_growing_and_forking(void **state) {
    (void)state;
    int32_t ids[64];
    for (int32_t i = 0; i < 64; i++)
        ids[i] = i;
    struct tl_llm_tree tree = {0};
    struct tl_llm_mark first = {.kind = TL_LLM_COPY, .length = 1}, second = {.kind = TL_LLM_COPY, .length = 33};
    tl_llm_tree_insert(&tree, 0, ids, &first);
    for (size_t length = 2; length <= 64; length++)
        tl_llm_tree_move(&tree, &first, ids, length);
    assert_int_equal(first.node->count, 64);
    int32_t other[33];
    memcpy(other, ids, sizeof other);
    other[32] = -5;
    tl_llm_tree_insert(&tree, 0, other, &second);
    assert_ptr_equal(first.node->parent, second.node->parent);
    assert_int_equal(first.node->parent->count, 32);
    assert_int_equal(tl_llm_tree_shared(&first), 32);
    tl_llm_tree_remove(&tree, &second);
    assert_int_equal(first.node->count, 64);
    tl_llm_tree_move(&tree, &first, ids, 10);
    assert_int_equal(first.node->count, 10); /* nobody needs the other tokens */
    tl_llm_tree_remove(&tree, &first);
    tl_llm_tree_fini(&tree);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_a_list),
        cmocka_unit_test(test_growing_and_forking),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The plan cache against a naive list in order of use, with random operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/random_test_support.h"
#include "plan/plan.h"

#define KEYS 40

static struct tl_plan *make_plan(void) {
    struct tl_graph *graph = tl_graph_create("plan");
    struct tl_ref question = tl_graph_add_parameter(graph->root, "question", TL_TYPE_OF(TEXT, 0));
    tl_graph_add_result(graph->root, "question", question);
    struct tl_plan *plan;
    assert_int_equal(tl_plan_freeze(graph, NULL, &plan, NULL), TL_OK);
    return plan;
}

struct reference {
    uint64_t keys[KEYS]; /* newest first */
    struct tl_plan *plans[KEYS];
    size_t count;
};

static size_t place_of(const struct reference *reference, uint64_t key) {
    size_t i = 0;
    while (i < reference->count && reference->keys[i] != key)
        i++;
    return i;
}

/* Moves or inserts to the front; cut to `capacity`. */
static void use(struct reference *reference, uint64_t key, struct tl_plan *plan, size_t capacity) {
    size_t place = place_of(reference, key);
    if (place == reference->count && reference->count < capacity)
        reference->count++;
    if (place == reference->count)
        place--;
    memmove(&reference->keys[1], &reference->keys[0], place * sizeof *reference->keys);
    memmove(&reference->plans[1], &reference->plans[0], place * sizeof *reference->plans);
    reference->keys[0] = key;
    reference->plans[0] = plan;
}

static void agrees_with_a_list(void **state) {
    (void)state;
    struct tl_random random = {7};
    struct tl_plan *plans[8];
    for (size_t i = 0; i < 8; i++)
        plans[i] = make_plan();
    for (size_t capacity = 1; capacity <= 20; capacity++) {
        struct tl_plan_cache *cache = tl_plan_cache_create(capacity);
        struct reference reference = {.count = 0};
        uint64_t hits = 0, misses = 0, counted_hits, counted_misses;
        size_t entries;
        for (unsigned step = 0; step < 2000; step++) {
            uint64_t key = tl_random_below(&random, KEYS);
            if (tl_random_chance(&random, 40)) {
                struct tl_plan *plan = plans[tl_random_below(&random, 8)];
                tl_plan_cache_put(cache, (struct tl_plan_key){key / 7, key}, plan);
                use(&reference, key, plan, capacity);
                continue;
            }
            size_t place = place_of(&reference, key);
            struct tl_plan *found = tl_plan_cache_get(cache, (struct tl_plan_key){key / 7, key});
            assert_ptr_equal(found, place < reference.count ? reference.plans[place] : NULL);
            hits += found != NULL;
            misses += found == NULL;
            if (found != NULL)
                use(&reference, key, found, capacity);
            tl_plan_unref(found);
        }
        tl_plan_cache_counters(cache, &counted_hits, &counted_misses, &entries);
        assert_int_equal(counted_hits, hits);
        assert_int_equal(counted_misses, misses);
        assert_int_equal(entries, reference.count);
        assert_true(hits > 0 && misses > 0);
        tl_plan_cache_destroy(cache);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(plans[i]->references, 1);
        tl_plan_unref(plans[i]);
    }
}

static void a_plan_outlives_its_place(void **state) {
    (void)state;
    struct tl_plan_cache *cache = tl_plan_cache_create(1);
    struct tl_plan *first = make_plan(), *second = make_plan();
    tl_plan_cache_put(cache, (struct tl_plan_key){1, 1}, first);
    tl_plan_unref(first);
    struct tl_plan *held = tl_plan_cache_get(cache, (struct tl_plan_key){1, 1});
    tl_plan_cache_put(cache, (struct tl_plan_key){1, 2}, second);
    assert_null(tl_plan_cache_get(cache, (struct tl_plan_key){1, 1}));
    assert_string_equal(held->name, "plan");
    tl_plan_unref(held);
    tl_plan_unref(second);
    tl_plan_cache_destroy(cache);
    tl_plan_cache_destroy(NULL);
}

/* Every member of the origin counts, and what stands in lists does not run together. */
static void each_part_makes_another_key(void **state) {
    (void)state;
    const char *const question[] = {"question"}, *const both[] = {"question", "documents"}, *const joined[] = {
        "questiondocuments"}, *const without[] = {"-share"};
    const struct tl_plan_origin origins[] = {
        {.workflow = "a", .given = question, .given_count = 1, .level = 1, .cost_version = 1, .engines_version = 1},
        {.workflow = "b", .given = question, .given_count = 1, .level = 1, .cost_version = 1, .engines_version = 1},
        {.workflow = "a", .given = both, .given_count = 2, .level = 1, .cost_version = 1, .engines_version = 1},
        {.workflow = "a", .given = joined, .given_count = 1, .level = 1, .cost_version = 1, .engines_version = 1},
        {.workflow = "a", .given_count = 0, .level = 1, .cost_version = 1, .engines_version = 1},
        {.workflow = "a", .given = question, .given_count = 1, .level = 2, .cost_version = 1, .engines_version = 1},
        {.workflow = "a", .given = question, .given_count = 1, .level = 1, .cost_version = 2, .engines_version = 1},
        {.workflow = "a", .given = question, .given_count = 1, .level = 1, .cost_version = 1, .engines_version = 2},
        {.workflow = "a", .given = question, .given_count = 1, .collection = true, .level = 1, .cost_version = 1,
         .engines_version = 1},
        {.workflow = "a", .given = question, .given_count = 1, .level = 1, .passes = without, .pass_count = 1,
         .cost_version = 1, .engines_version = 1},
        {.workflow = "a", .given = both, .given_count = 1, .level = 1, .passes = &both[1], .pass_count = 1,
         .cost_version = 1, .engines_version = 1},
    };
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        struct tl_plan_key key = tl_plan_key(&origins[i]), again = tl_plan_key(&origins[i]);
        assert_true(key.high == again.high && key.low == again.low);
        for (size_t k = 0; k < i; k++) {
            struct tl_plan_key other = tl_plan_key(&origins[k]);
            assert_true(key.high != other.high && key.low != other.low);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_part_makes_another_key),
        cmocka_unit_test(agrees_with_a_list),
        cmocka_unit_test(a_plan_outlives_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

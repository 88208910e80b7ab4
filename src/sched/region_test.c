/* Regions that open before all their inputs are there: a fold, and a reduce, before `initial`. In virtual time; the
 * scheduler's invariants are checked after every step by the world. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "plan/plan_test_support.h"
#include "sched/world_test_support.h"

static const char *const engines[] = {"embedder", "store", "llm"};

static struct tl_value *texts(size_t count) {
    struct tl_value *items[8];
    for (size_t i = 0; i < count; i++) items[i] = tl_value_text("t", 1);
    return tl_value_list(TL_TYPE_OF(TEXT, 0), items, count);
}

/* Where `label` stands in the order in which engines got items; SIZE_MAX: nowhere. */
static size_t place_of(const struct world *world, const char *label) {
    const char *at = strstr(world_order(world), label);
    return at ? (size_t)(at - world_order(world)) : SIZE_MAX;
}

/* `initial` is written by a model; the early prefill of each instance does not need it. */
static const char fold_graph[] =
    "graph \"fold\" {\n"
    "  parameters (items:text[], question:text)\n"
    "  %1: prompt = render \"a/render\" (question: $question) {template=\"x\"}\n"
    "  %2: kv = prefill \"a/prefill\" @llm (prompt: %1)\n"
    "  %3: text draft = decode \"a/decode\" @llm (kv: %2)\n"
    "  %4: text result = fold \"f/fold\" (items: $items, initial: %3) {\n"
    "    parameters (item:text, index:number, carried:text)\n"
    "    %5: prompt = render \"f/render\" (item: $item) {template=\"x\"}\n"
    "    %6: kv = partial_prefill \"f/early\" @llm (prompt: %5)\n"
    "    %7: prompt = render \"f/render_2\" (item: $item, carried: $carried) {template=\"x\"}\n"
    "    %8: kv = full_prefill \"f/full\" @llm (prompt: %7, kv: %6)\n"
    "    %9: text text = decode \"f/decode\" @llm (kv: %8)\n"
    "    results (carried: %9)\n"
    "  }\n"
    "  %10: vector = embed \"z/after\" @embedder (input: $question) after %4\n"
    "  results (text: %4, last: %10)\n"
    "}\n";

static struct world *run_fold(struct tl_plan *plan, uint64_t seed, size_t items, uint64_t *run) {
    struct world *world = world_create(&(struct world_options){
        .seed = seed, .engines = engines, .engine_count = 3, .check = true, .devices = 1, .batch_units = 4});
    struct tl_value *inputs[] = {texts(items), tl_value_text("q", 1)};
    *run = world_submit(world, plan, inputs, 2, 0);
    return world;
}

static void test_fold_begins_before_initial(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(fold_graph);
    for (size_t items = 0; items <= 3; items++) {
        char *first = NULL;
        for (uint64_t seed = 1; seed < 20; seed++) {
            uint64_t run;
            struct world *world = run_fold(plan, seed, items, &run);
            world_run(world);
            assert_int_equal(world_result(world, run)->status, TL_OK);
            if (!first) first = tl_mem_strdup(world_result(world, run)->outputs);
            assert_string_equal(world_result(world, run)->outputs, first);
            if (items > 0) {
                assert_true(place_of(world, "f/early[0]") < place_of(world, "a/decode"));
                assert_true(place_of(world, "f/full[0]") > place_of(world, "a/decode"));
                assert_true(place_of(world, "z/after") > place_of(world, "f/decode"));
            } else {
                assert_true(place_of(world, "z/after") > place_of(world, "a/decode"));
            }
            world_destroy(world);
        }
        tl_mem_free(first);
    }
    tl_plan_unref(plan);
}

/* A cancel at every moment leaves nothing, in particular between the region's beginning and its initial value. */
static void test_cancel_before_initial(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(fold_graph);
    for (unsigned moment = 0;; moment++) {
        uint64_t run;
        struct world *world = run_fold(plan, 3, 2, &run);
        bool over = false;
        for (unsigned i = 0; i < moment && !over; i++) over = !world_advance(world);
        world_cancel(world, run);
        world_run(world);
        assert_true(world_result(world, run)->finished);
        world_destroy(world);
        if (over) break;
    }
    tl_plan_unref(plan);
}

/* Neither body needs `initial`: each region is complete only when it is there nevertheless. */
static const char unneeded[] = "graph \"unneeded\" {\n"
                               "  parameters (items:text[], question:text)\n"
                               "  %1: prompt = render \"a/render\" (question: $question) {template=\"x\"}\n"
                               "  %2: kv = prefill \"a/prefill\" @llm (prompt: %1)\n"
                               "  %3: text draft = decode \"a/decode\" @llm (kv: %2)\n"
                               "  %4: text result = %s \"r/region\" (items: $items, initial: %3) {\n"
                               "    parameters (%s)\n"
                               "    results (%s)\n"
                               "  }\n"
                               "  %5: vector = embed \"z/after\" @embedder (input: $question) after %4\n"
                               "  results (text: %4, last: %5)\n"
                               "}\n";

static char *put_region(const char *op, const char *parameters, const char *results) {
    const char *const values[] = {op, parameters, results};
    struct tl_str text = TL_STR_INIT;
    size_t next = 0;
    for (const char *at = unneeded; *at; at++) {
        if (at[0] == '%' && at[1] == 's') {
            tl_str_puts(&text, values[next++]);
            at++;
        } else {
            tl_str_putc(&text, *at);
        }
    }
    return tl_str_detach(&text);
}

static void test_region_ends_after_all_its_inputs(void **state) {
    (void)state;
    char *graphs[] = {
        put_region("fold", "item:text, index:number, carried:text", "carried: $item"),
        put_region("fold", "item:text, index:number, carried:text", "carried: $carried"),
        put_region("reduce", "group:text[], level:number", "result: $question"),
    };
    for (size_t g = 0; g < sizeof graphs / sizeof *graphs; g++) {
        struct tl_plan *plan = tl_plan_test_parse(graphs[g]);
        for (size_t items = 0; items <= 5; items++) {
            uint64_t run;
            struct world *world = run_fold(plan, 7 + items, items, &run);
            world_run(world);
            assert_int_equal(world_result(world, run)->status, TL_OK);
            assert_string_equal(world_order(world), "a/prefill a/decode z/after");
            world_destroy(world);
        }
        tl_plan_unref(plan);
        tl_mem_free(graphs[g]);
    }
}

/* A fold in a fold: the inner one's initial value is what the outer instance is given. */
static const char nested[] =
    "graph \"nested\" {\n"
    "  parameters (items:text[], question:text)\n"
    "  %1: text result = fold \"o/fold\" (items: $items, initial: $question) {\n"
    "    parameters (item:text, index:number, carried:text)\n"
    "    %2: text result = fold \"i/fold\" (items: $items, initial: $carried) {\n"
    "      parameters (item:text, index:number, carried:text)\n"
    "      %3: prompt = render \"i/render\" (item: $item, outer: $^item) {template=\"x\"}\n"
    "      %4: kv = partial_prefill \"i/early\" @llm (prompt: %3)\n"
    "      %5: prompt = render \"i/render_2\" (item: $item, carried: $carried) {template=\"x\"}\n"
    "      %6: kv = full_prefill \"i/full\" @llm (prompt: %5, kv: %4)\n"
    "      %7: text text = decode \"i/decode\" @llm (kv: %6)\n"
    "      results (carried: %7)\n"
    "    }\n"
    "    results (carried: %2)\n"
    "  }\n"
    "  results (text: %1)\n"
    "}\n";

static void test_nested_folds_all_begin_at_once(void **state) {
    (void)state;
    struct tl_plan *plan = tl_plan_test_parse(nested);
    uint64_t run;
    struct world *world = run_fold(plan, 5, 3, &run);
    world_run(world);
    assert_int_equal(world_result(world, run)->status, TL_OK);
    for (int outer = 0; outer < 3; outer++)
        for (int inner = 0; inner < 3; inner++) {
            char early[32];
            snprintf(early, sizeof early, "i/early[%d][%d]", outer, inner);
            assert_true(place_of(world, early) < place_of(world, "i/decode[1][0]"));
        }
    world_destroy(world);
    tl_plan_unref(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold_begins_before_initial),
        cmocka_unit_test(test_cancel_before_initial),
        cmocka_unit_test(test_region_ends_after_all_its_inputs),
        cmocka_unit_test(test_nested_folds_all_begin_at_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

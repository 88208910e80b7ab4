/* Predictions, ranks and the critical path: each kind of region by hand, random graphs by what must hold of all; and
 * what prompts begin with. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <string.h>

#include "graph/graph_test_support.h"
#include "graph/random_test_support.h"
#include "plan/plan.h"

/* One text embedded takes 10 ms, one search 20, one pass over a prompt 100, each token after the first 1. */
static struct tl_cost *make_cost(void) {
    struct tl_cost *cost = tl_cost_create();
    json_t *embedder = json_pack("{s:f, s:f}", "embed_ms", 10.0, "embed_token_ms", 0.0);
    json_t *store = json_pack("{s:f, s:f}", "search_ms", 20.0, "search_query_ms", 0.0);
    json_t *llm = json_pack("{s:f, s:f, s:f, s:i}", "iteration_ms", 1.0, "prompt_token_ms", 0.0, "sequence_ms", 0.0,
                            "iteration_tokens", 100000);
    tl_cost_add_emulated(cost, "embedder", embedder);
    tl_cost_add_emulated(cost, "store", store);
    tl_cost_add_emulated(cost, "llm", llm);
    json_decref(embedder);
    json_decref(store);
    json_decref(llm);
    return cost;
}

static struct tl_plan *plan_of(const char *text) {
    struct tl_cost *cost = make_cost();
    struct tl_plan *plan;
    struct tl_error error = {.message = ""};
    if (tl_plan_freeze(tl_graph_test_parse(text), cost, &plan, &error) != TL_OK)
        fail_msg("%s", error.message);
    tl_cost_unref(cost);
    return plan;
}

static bool near(double a, double b) {
    return fabs(a - b) < 0.5; /* builtins and openings of regions are hundredths */
}

static uint32_t times_of(const struct tl_plan *plan, const char *label) {
    uint32_t times = 0;
    for (size_t i = 0; i < plan->critical_count; i++)
        if (strcmp(plan->critical[i].node->label, label) == 0)
            times += plan->critical[i].times;
    return times;
}

static double path_ms(const struct tl_plan *plan) {
    double ms = 0;
    for (size_t i = 0; i < plan->critical_count; i++)
        ms += plan->critical[i].node->cost_ms * plan->critical[i].times;
    return ms;
}

/* The longer of two branches counts; what nobody uses must end too. */
static void branches(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of("graph \"g\" {\n"
                                   "  parameters (question: text, index: index)\n"
                                   "  %1: vector = embed \"a/embed\" @embedder (input: $question)\n"
                                   "  %2: hit[] = search \"a/search\" @store (query: %1, index: $index)\n"
                                   "  %3: vector = embed \"b/embed\" @embedder (input: $question)\n"
                                   "  %4: vector = embed \"c/unused\" @embedder (input: $question) after %2\n"
                                   "  results (hits: %2, vector: %3)\n"
                                   "}\n");
    assert_true(near(plan->critical_ms, 40) && near(path_ms(plan), plan->critical_ms));
    assert_int_equal(plan->critical_count, 3);
    assert_true(near(plan->root->nodes[0].rank, 40) && near(plan->root->nodes[2].rank, 10));
    assert_int_equal(plan->root->nodes[2].critical, 0);
    assert_int_equal(plan->root->nodes[3].critical, 1);
    assert_true(plan->measured[0] && plan->measured[1]);
    tl_plan_unref(plan);
}

/* Four hits: what waits for the former answer is done four times in a row, the embedding of a hit once. */
static void rounds_of_a_fold(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of("graph \"g\" {\n"
                                   "  parameters (texts: text[], empty: text)\n"
                                   "  %1: text = fold \"f/fold\" (items: $texts, initial: $empty) {\n"
                                   "    parameters (item: text, index: number, carried: text)\n"
                                   "    %2: vector = embed \"f/embed\" @embedder (input: $item)\n"
                                   "    %3: prompt = render \"f/render\" (former: $carried, item: $item) after %2\n"
                                   "    %4: kv = prefill \"f/prefill\" @llm (prompt: %3)\n"
                                   "    %5: text = decode \"f/decode\" @llm (kv: %4) {max_tokens=11}\n"
                                   "    %6: vector = embed \"f/unused\" @embedder (input: %5)\n"
                                   "    results (carried: %5)\n"
                                   "  }\n"
                                   "  results (text: %1)\n"
                                   "}\n");
    const struct tl_plan_node *fold = &plan->root->nodes[0], *body = fold->bodies[0]->nodes;
    assert_int_equal(times_of(plan, "f/decode"), 4);
    assert_int_equal(times_of(plan, "f/prefill"), 4);
    assert_int_equal(times_of(plan, "f/embed"), 1);
    assert_int_equal(times_of(plan, "f/unused"), 0);
    double round = body[2].cost_ms + body[3].cost_ms;
    assert_true(body[3].cost_ms > 9 && near(plan->critical_ms, 10 + 4 * round));
    assert_true(near(path_ms(plan), plan->critical_ms) && near(fold->rank, plan->critical_ms));
    assert_true(near(body[3].rank, body[3].cost_ms + 3 * round) && near(body[4].rank, 10));
    tl_plan_unref(plan);
}

/* Four texts by two: two levels. A loop: the rounds that are assumed. */
static void rounds_of_reduce_and_loop(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of("graph \"g\" {\n"
                                   "  parameters (texts: text[], empty: text)\n"
                                   "  %1: text = reduce \"r/reduce\" (items: $texts, initial: $empty) {arity=2} {\n"
                                   "    parameters (group: text[], level: number)\n"
                                   "    %2: prompt = render \"r/render\" (group: $group)\n"
                                   "    %3: kv = prefill \"r/prefill\" @llm (prompt: %2)\n"
                                   "    %4: text = decode \"r/decode\" @llm (kv: %3) {max_tokens=11}\n"
                                   "    results (result: %4)\n"
                                   "  }\n"
                                   "  %5: text = loop \"l/loop\" (initial: %1) {limit=8} {\n"
                                   "    parameters (carried: text, index: number)\n"
                                   "    %6: prompt = render \"l/render\" (carried: $carried)\n"
                                   "    %7: kv = prefill \"l/prefill\" @llm (prompt: %6)\n"
                                   "    %8: text = decode \"l/decode\" @llm (kv: %7) {max_tokens=21}\n"
                                   "    %9: bool = condition \"l/again\" (value: %8) {is=\"nonempty\"}\n"
                                   "    results (carried: %8, again: %9)\n"
                                   "  }\n"
                                   "  results (text: %5)\n"
                                   "}\n");
    assert_int_equal(times_of(plan, "r/decode"), 2);
    assert_int_equal(times_of(plan, "l/decode"), 2);
    assert_true(near(path_ms(plan), plan->critical_ms) && near(plan->root->nodes[0].rank, plan->critical_ms));
    /* Three calls for four texts: two, then one. */
    const struct tl_plan_node *reduce = plan->root->nodes[0].bodies[0]->nodes,
                              *loop = plan->root->nodes[1].bodies[0]->nodes;
    double call = reduce[1].cost_ms + reduce[2].cost_ms, round = loop[1].cost_ms + loop[2].cost_ms;
    assert_int_equal(plan->engine_count, 1);
    assert_true(near(plan->work_ms[0], 3 * call + 2 * round));
    tl_plan_unref(plan);
}

/* One instance of a map; the longer branch of a cond. Values of outer bodies lead into the middle of a body. */
static void maps_and_conds(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of("graph \"g\" {\n"
                                   "  parameters (texts: text[], question: text, index: index)\n"
                                   "  %1: vector = embed \"q/embed\" @embedder (input: $question)\n"
                                   "  %2: hit[][] hits = map \"m/map\" (items: $texts) {\n"
                                   "    parameters (item: text, index: number)\n"
                                   "    %3: prompt = render \"m/render\" (item: $item)\n"
                                   "    %4: hit[] = search \"m/search\" @store (query: %1, index: $^index) after %3\n"
                                   "    results (hits: %4)\n"
                                   "  }\n"
                                   "  %5: bool = condition \"c/any\" (value: %2) {is=\"nonempty\"}\n"
                                   "  %6: vector = cond \"c/cond\" (holds: %5) {\n"
                                   "    %7: vector = embed \"c/then\" @embedder (input: $question)\n"
                                   "    results (vector: %7)\n"
                                   "  } else {\n"
                                   "    results (vector: %1)\n"
                                   "  }\n"
                                   "  results (vector: %6, hits: %2)\n"
                                   "}\n");
    assert_true(near(plan->critical_ms, 40) && near(path_ms(plan), plan->critical_ms));
    assert_int_equal(times_of(plan, "q/embed"), 1);
    assert_int_equal(times_of(plan, "m/search"), 1);
    assert_int_equal(times_of(plan, "m/render"), 0);
    assert_int_equal(times_of(plan, "c/then"), 1);
    assert_string_equal(plan->engines[0], "embedder");
    assert_true(near(plan->work_ms[0], 20) && near(plan->work_ms[1], 4 * 20)); /* four searches */
    tl_plan_unref(plan);
}

static double largest_rank(const struct tl_plan_body *body) {
    double largest = 0;
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_plan_node *node = &body->nodes[i];
        largest = node->rank > largest ? node->rank : largest;
        assert_true(node->cost_ms > 0 && node->rank >= node->cost_ms);
        for (size_t r = 0; r < 2 && node->bodies[r] != NULL; r++)
            assert_true(largest_rank(node->bodies[r]) < node->rank);
    }
    return largest;
}

static void random_paths_sum_to_the_largest_rank(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct tl_random_shape shape = {.nodes = 4 + (unsigned)(seed % 24), .nesting = (unsigned)(seed % 5)};
        struct tl_graph *graph = tl_random_graph(seed, &shape);
        struct tl_cost *cost = make_cost();
        struct tl_plan *plan;
        assert_int_equal(tl_plan_freeze(graph, cost, &plan, NULL), TL_OK);
        double largest = largest_rank(plan->root);
        assert_true(plan->critical_ms == largest);
        if (fabs(path_ms(plan) - largest) > 1e-6 * largest)
            fail_msg("seed %llu: the path takes %f, the largest rank is %f", (unsigned long long)seed, path_ms(plan),
                     largest);
        for (size_t i = 0; i < plan->critical_count; i++)
            assert_int_equal(plan->critical[i].node->critical, plan->critical[i].times);
        tl_plan_unref(plan);
        tl_cost_unref(cost);
    }
}

/* ---- prefixes ---- */

static void prompts_begin_with_static_text(void **state) {
    (void)state;
    struct tl_plan *plan = plan_of(
        "graph \"g\" {\n"
        "  parameters (question: text, hits: hit[])\n"
        "  %1: prompt = render \"a/part\" (question: $question) "
        "{parts=3, template=\"[[\\\"system\\\",\\\"Be brief.\\\"],[\\\"user\\\",\\\"Q: {question} H: {hits}\\\"]]\"}\n"
        "  %2: kv = partial_prefill \"a/partial\" @llm (prompt: %1)\n"
        "  %3: text[] texts = map \"a/each\" (items: $hits) {\n"
        "    parameters (item: hit, index: number)\n"
        "    %4: prompt = render \"a/render\" (question: $question, hits: $item) "
        "{template=\"[[\\\"system\\\",\\\"Be brief.\\\"],[\\\"user\\\",\\\"Q: {question} H: {hits}\\\"]]\"}\n"
        "    %5: kv = full_prefill \"a/full\" @llm (prompt: %4, kv: %2)\n"
        "    %6: text = decode \"a/decode\" @llm (kv: %5)\n"
        "    results (texts: %6)\n"
        "  }\n"
        "  %7: prompt = render \"b/render\" (question: $question) "
        "{template=\"[[\\\"user\\\",\\\"{question} {#question}static?{/question}\\\"]]\"}\n"
        "  %8: kv = prefill \"b/prefill\" @llm (prompt: %7)\n"
        "  %9: prompt = render \"c/render\" () {template=\"[[\\\"user\\\",\\\"Always the same\\\"]]\"}\n"
        "  %10: kv = prefill \"c/prefill\" @judge (prompt: %9)\n"
        "  %11: text = decode \"c/decode\" @judge (kv: %10)\n"
        "  %12: text = decode \"b/decode\" @llm (kv: %8)\n"
        "  results (texts: %3, b: %12, c: %11)\n"
        "}\n");
    assert_int_equal(plan->prefix_count, 2);
    assert_string_equal(plan->engines[plan->prefixes[0].engine], "llm");
    const struct tl_prompt *prompt = &plan->prefixes[0].prompt->as.prompt;
    assert_int_equal(prompt->count, 2);
    assert_string_equal(prompt->parts[0].text, "Be brief.");
    assert_string_equal(prompt->parts[1].text, "Q: ");
    assert_int_equal(prompt->parts[0].flags, TL_PART_STATIC);
    assert_int_equal(prompt->parts[1].flags, TL_PART_STATIC | TL_PART_OPEN);
    assert_string_equal(plan->engines[plan->prefixes[1].engine], "judge");
    assert_int_equal(plan->prefixes[1].prompt->as.prompt.parts[0].flags, TL_PART_STATIC);
    tl_plan_unref(plan);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(branches),
        cmocka_unit_test(rounds_of_a_fold),
        cmocka_unit_test(rounds_of_reduce_and_loop),
        cmocka_unit_test(maps_and_conds),
        cmocka_unit_test(random_paths_sum_to_the_largest_rank),
        cmocka_unit_test(prompts_begin_with_static_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

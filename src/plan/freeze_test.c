/* Freezing: slots, sources, uses, captures and waits of a small graph by hand, and of random graphs
 * against a reference that walks the graph itself. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "graph/graph_test_support.h"
#include "graph/random_test_support.h"
#include "plan/plan.h"

static struct tl_plan *freeze(struct tl_graph *graph) {
    struct tl_plan *plan;
    struct tl_error error = {.message = ""};
    enum tl_status status = tl_plan_freeze(graph, NULL, &plan, &error);
    if (status != TL_OK)
        print_error("%s\n", error.message);
    assert_int_equal(status, TL_OK);
    return plan;
}

static const char *const answers =
    "graph \"answers\" {\n"
    "  parameters (question: text, index: index)\n"
    "  %1: vector = embed \"search/embed\" @embedder (input: $question)\n"
    "  %2: hit[] = search \"search/search\" @store (query: %1, index: $index)\n"
    "  %3: text = constant \"answer/empty\" () after %1 order %2 {value=\"\"}\n"
    "  %4: text = fold \"answer/refine\" (items: %2, initial: %3) order %1, %2 {\n"
    "    parameters (item: hit, index: number, carried: text)\n"
    "    %5: prompt = render \"answer/render\" (question: $question, hit: $item, hits: %2, former: $carried)\n"
    "    %6: kv = partial_prefill \"answer/prefill\" @llm (prompt: %5)\n"
    "    %7: text[] = map \"answer/each\" (items: %2) {\n"
    "      parameters (item: hit, index: number)\n"
    "      %8: prompt = render \"answer/render\" (former: $carried, question: $question, hit: $item)\n"
    "      %9: kv = prefill \"answer/prefill\" @llm (prompt: %8)\n"
    "      %10: text = decode \"answer/decode\" @llm (kv: %9)\n"
    "      results (text: %10)\n"
    "    }\n"
    "    %11: text = decode \"answer/decode\" @llm (kv: %6)\n"
    "    results (carried: %11)\n"
    "  }\n"
    "  results (answer: %4, hits: %2, question: $question)\n"
    "}\n";

static void assert_source(struct tl_plan_source source, unsigned up, unsigned slot) {
    assert_int_equal(source.up, up);
    assert_int_equal(source.slot, slot);
}

static void small_graph_by_hand(void **state) {
    (void)state;
    struct tl_plan *plan = freeze(tl_graph_test_parse(answers));
    const struct tl_plan_body *root = plan->root, *fold, *map;
    assert_int_equal(plan->body_count, 3);
    assert_int_equal(plan->engine_count, 3);
    assert_string_equal(plan->engines[0], "embedder");
    assert_string_equal(plan->engines[2], "llm");
    assert_int_equal(root->slot_count, 6);
    assert_int_equal(root->node_count, 4);
    assert_string_equal(root->slots[1].name, "index");
    assert_int_equal(root->slots[3].type.base, TL_TYPE_HIT);

    /* question: embed, the fold's capture, a result; hits: the fold's input and capture, a result. */
    const uint16_t uses[] = {3, 1, 1, 3, 1, 1};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(root->slot_uses[i], uses[i]);

    const struct tl_plan_node *search = &root->nodes[1], *empty = &root->nodes[2], *refine = &root->nodes[3];
    assert_string_equal(search->input_names[0], "query");
    assert_source(search->inputs[0], 0, 2);
    assert_source(search->inputs[1], 0, 1);
    assert_int_equal(empty->wait_count, 2);
    assert_int_equal(empty->waits[0], 0);
    assert_int_equal(empty->waits[1], 1);
    assert_int_equal(root->nodes[0].waiter_count, 2);
    assert_int_equal(root->nodes[0].waiters[0], 2);
    assert_int_equal(root->nodes[0].waiters[1], 3);
    assert_int_equal(refine->engine, TL_PLAN_NO_ENGINE);

    assert_int_equal(refine->capture_count, 2);
    assert_source(refine->captures[0], 0, 0);
    assert_source(refine->captures[1], 0, 3);
    fold = refine->bodies[0];
    assert_ptr_equal(fold->outer, root);
    assert_int_equal(fold->parameter_count, 3);
    assert_source(fold->nodes[0].inputs[0], 1, 0);
    assert_source(fold->nodes[0].inputs[1], 0, 0);
    assert_source(fold->nodes[0].inputs[2], 1, 3);

    /* An absent optional input leaves a gap. */
    assert_int_equal(fold->nodes[1].input_count, 2);
    assert_string_equal(fold->nodes[1].input_names[1], "kv");
    assert_source(fold->nodes[1].inputs[1], 0, TL_PLAN_NO_SLOT);

    /* carried: the render and the map's capture. */
    assert_int_equal(fold->slot_uses[2], 2);
    const struct tl_plan_node *each = &fold->nodes[2];
    assert_int_equal(each->capture_count, 2);
    assert_source(each->captures[0], 0, 2);
    assert_source(each->captures[1], 1, 0);
    assert_source(each->inputs[0], 1, 3);
    map = each->bodies[0];
    assert_source(map->nodes[0].inputs[0], 1, 2);
    assert_source(map->nodes[0].inputs[1], 2, 0);
    assert_int_equal(map->slot_uses[1], 0);

    tl_plan_unref(plan);
}

static void streamed_maps_ask_for_pieces(void **state) {
    (void)state;
    struct tl_plan *plan = freeze(tl_graph_test_parse("graph \"g\" {\n"
                                                      "  parameters (kv: kv)\n"
                                                      "  %1: text[] items = decode \"decode\" @llm (kv: $kv) {format=\"list\"}\n"
                                                      "  %2: vector[] = map \"stream\" (items: %1) {streamed=true} {\n"
                                                      "    parameters (item: text, index: number)\n"
                                                      "    %3: vector = embed \"embed\" @embedder (input: $item)\n"
                                                      "    results (vector: %3)\n"
                                                      "  }\n"
                                                      "  %4: text[] = map \"whole\" (items: %1) {\n"
                                                      "    parameters (item: text, index: number)\n"
                                                      "    results (text: $item)\n"
                                                      "  }\n"
                                                      "  results (vectors: %2, texts: %4)\n"
                                                      "}\n"));
    assert_true(plan->root->nodes[0].pieces);
    assert_true(plan->root->nodes[1].streamed);
    assert_false(plan->root->nodes[1].pieces);
    assert_false(plan->root->nodes[2].streamed);
    tl_plan_unref(plan);
}

/* ---- against a reference ---- */

struct uses {
    const struct tl_node *of;
    uint32_t port;
    size_t count;
};

static bool used_inside(const struct tl_body *body, const struct uses *uses) {
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->input_count; k++)
            if (node->inputs[k].from.node == uses->of && node->inputs[k].from.port == uses->port)
                return true;
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++)
            if (used_inside(node->regions[r], uses))
                return true;
    }
    for (size_t i = 0; i < body->result_count; i++)
        if (body->results[i].from.node == uses->of && body->results[i].from.port == uses->port)
            return true;
    return false;
}

static size_t count_uses(const struct tl_body *body, struct tl_ref ref) {
    struct uses uses = {.of = ref.node, .port = ref.port};
    for (size_t i = 0; i < body->node_count; i++) {
        const struct tl_node *node = body->nodes[i];
        for (size_t k = 0; k < node->input_count; k++)
            uses.count += node->inputs[k].from.node == ref.node && node->inputs[k].from.port == ref.port;
        uses.count += (node->regions[0] != NULL && used_inside(node->regions[0], &uses)) ||
                      (node->regions[1] != NULL && used_inside(node->regions[1], &uses));
    }
    for (size_t i = 0; i < body->result_count; i++)
        uses.count += body->results[i].from.node == ref.node && body->results[i].from.port == ref.port;
    return uses.count;
}

static void compare_body(const struct tl_body *body, const struct tl_plan_body *frozen) {
    size_t slot = 0;
    assert_int_equal(frozen->node_count, body->node_count);
    for (size_t n = 0; n <= body->node_count; n++) {
        struct tl_node *node = n == 0 ? body->parameters : body->nodes[n - 1];
        for (uint32_t port = 0; port < node->output_count; port++, slot++) {
            assert_string_equal(frozen->slots[slot].name, node->outputs[port].name);
            assert_int_equal(frozen->slot_uses[slot], count_uses(body, tl_graph_output(node, port)));
        }
    }
    assert_int_equal(frozen->slot_count, slot);
    for (size_t n = 0; n < body->node_count; n++) {
        const struct tl_node *node = body->nodes[n];
        const struct tl_plan_node *out = &frozen->nodes[n];
        assert_ptr_equal(out->label, node->label);
        assert_int_equal(out->wait_count, node->wait_count);
        for (size_t k = 0; k < out->wait_count; k++) {
            const struct tl_plan_node *on = &frozen->nodes[out->waits[k]];
            assert_true(out->waits[k] < n && on->rank > out->rank);
            bool back = false;
            for (size_t w = 0; w < on->waiter_count; w++)
                back |= on->waiters[w] == n;
            assert_true(back);
        }
        for (size_t r = 0; r < 2 && node->regions[r] != NULL; r++) {
            assert_ptr_equal(out->bodies[r]->outer, frozen);
            compare_body(node->regions[r], out->bodies[r]);
            for (size_t k = 0; k < out->bodies[r]->node_count; k++)
                assert_true(out->bodies[r]->nodes[k].rank < out->rank);
        }
    }
}

/* Every source leads to a value that exists before it is used: nodes of lower position, or outer ones. */
static void check_sources(const struct tl_plan_body *body) {
    for (size_t n = 0; n < body->node_count; n++) {
        const struct tl_plan_node *node = &body->nodes[n];
        for (size_t i = 0; i < node->input_count; i++) {
            const struct tl_plan_body *in = body;
            if (node->inputs[i].slot == TL_PLAN_NO_SLOT)
                continue;
            for (unsigned up = node->inputs[i].up; up > 0; up--)
                in = in->outer;
            assert_true(node->inputs[i].slot < in->slot_count);
            if (in == body)
                assert_true(node->inputs[i].slot < node->first_output);
        }
        for (size_t r = 0; r < 2 && node->bodies[r] != NULL; r++)
            check_sources(node->bodies[r]);
    }
}

static void random_graphs_against_the_reference(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        struct tl_random_shape shape = {.nodes = 4 + (unsigned)(seed % 24), .nesting = (unsigned)(seed % 5)};
        struct tl_graph *graph = tl_random_graph(seed, &shape);
        uint64_t hash = tl_graph_hash(graph);
        struct tl_plan *plan = freeze(graph);
        assert_int_equal(plan->hash, hash);
        compare_body(graph->root, plan->root);
        check_sources(plan->root);
        tl_plan_unref(plan);
    }
}

/* ---- refusals, references ---- */

static void bad_graphs_are_refused(void **state) {
    (void)state;
    struct tl_plan *plan;
    struct tl_error error;
    struct tl_graph *graph = tl_graph_test_parse("graph \"g\" {\n"
                                                 "  %1: text = constant \"c\" ()\n"
                                                 "  %2: vector = embed \"e\" (input: %1)\n"
                                                 "  results (v: %2)\n}");
    assert_int_equal(tl_plan_freeze(graph, NULL, &plan, &error), TL_ERR_INVALID);
    assert_null(plan);
    assert_string_equal(error.message, "graph \"g\": embed \"e\": it has no engine (needs one for embed)");

    graph = tl_graph_create("wide");
    for (unsigned i = 0; i < 65535; i++) {
        char name[16];
        snprintf(name, sizeof name, "c%u", i);
        tl_graph_add_output(tl_graph_add(graph->root, TL_OP_CONSTANT, "", name, NULL), "text", TL_TYPE_OF(TEXT, 0));
    }
    tl_graph_add_result(graph->root, "c", tl_graph_output(graph->root->nodes[0], 0));
    assert_int_equal(tl_plan_freeze(graph, NULL, &plan, &error), TL_ERR_LIMIT);
    assert_string_equal(error.message, "the graph holds 65535 values and uses values 65536 times, the limits are 65534 "
                                       "and 65535");
}

/* A list that doubles 1,100 times has more elements than a number can tell, and its plan is made all the same. */
static void endless_lists_are_predicted(void **state) {
    (void)state;
    struct tl_str text = TL_STR_INIT;
    tl_str_puts(&text, "graph \"g\" {\n  parameters (first: text[], initial: text)\n"
                       "  %1: text[] = aggregate \"a/1\" (x: $first, y: $first) {mode=\"concat\"}\n");
    for (int i = 2; i <= 1100; i++)
        tl_str_printf(&text, "  %%%d: text[] = aggregate \"a/%d\" (x: %%%d, y: %%%d) {mode=\"concat\"}\n", i, i, i - 1,
                      i - 1);
    tl_str_puts(&text, "  %1101: text = reduce \"a/join\" (items: %1100, initial: $initial) {\n"
                       "    parameters (group: text[], level: number)\n"
                       "    %1102: text = aggregate \"a/all\" (x: $group) {mode=\"join\"}\n"
                       "    results (result: %1102)\n"
                       "  }\n"
                       "  %1103: vector[] = embed \"a/embed\" @embedder (input: %1100)\n"
                       "  results (text: %1101, vectors: %1103)\n}\n");
    struct tl_plan *plan = freeze(tl_graph_test_parse(text.data));
    assert_true(isfinite(plan->critical_ms));
    tl_plan_unref(plan);
    tl_str_fini(&text);
}

static void references_keep_a_plan(void **state) {
    (void)state;
    struct tl_plan *plan = freeze(tl_graph_test_parse(answers));
    assert_ptr_equal(tl_plan_ref(plan), plan);
    tl_plan_unref(plan);
    assert_string_equal(plan->name, "answers");
    tl_plan_unref(plan);
    tl_plan_unref(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_graph_by_hand),
        cmocka_unit_test(streamed_maps_ask_for_pieces),
        cmocka_unit_test(random_graphs_against_the_reference),
        cmocka_unit_test(bad_graphs_are_refused),
        cmocka_unit_test(endless_lists_are_predicted),
        cmocka_unit_test(references_keep_a_plan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Drawing: what is in the picture is told by golden files (tests/golden); here: odd names, random graphs,
 * and what can go wrong with the child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/random_test_support.h"
#include "plan/plan.h"

static size_t count(const char *text, const char *what) {
    size_t found = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        found++;
    return found;
}

static void draw(const struct tl_graph *const *graphs, const char *const *titles, size_t graph_count,
                 struct tl_str *svg) {
    struct tl_str dot = TL_STR_INIT;
    struct tl_error error = {.message = ""};
    tl_graph_draw_dot(graphs, titles, graph_count, &dot);
    if (tl_graph_draw_svg(dot.data, dot.length, svg, &error) != TL_OK)
        print_error("%s\n%s\n", dot.data, error.message);
    assert_string_equal(error.message, "");
    tl_str_fini(&dot);
}

static size_t count_boxes(const struct tl_body *body) {
    size_t boxes = 0;
    for (size_t i = 0; i < body->node_count; i++) {
        boxes += body->nodes[i]->regions[0] == NULL;
        for (size_t r = 0; r < 2 && body->nodes[i]->regions[r] != NULL; r++)
            boxes += count_boxes(body->nodes[i]->regions[r]);
    }
    return boxes;
}

/* Every primitive is one box, its operation in bold, in a picture that graphviz accepts. */
static void random_graphs_are_drawn(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct tl_random_shape shape = {.nodes = 6 + (unsigned)seed, .nesting = (unsigned)(seed % 4)};
        struct tl_graph *graph = tl_random_graph(seed, &shape);
        struct tl_str svg = TL_STR_INIT;
        const char *title = "random";
        draw((const struct tl_graph *const *)&graph, &title, 1, &svg);
        assert_int_equal(count(svg.data, "font-weight=\"bold\""), count_boxes(graph->root));
        tl_str_fini(&svg);
        tl_graph_destroy(graph);
    }
}

static void odd_names_are_escaped(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_create("g");
    struct tl_node *node = tl_graph_add(graph->root, TL_OP_CONSTANT, "", "<b>\"&\\ \n'{|}", NULL);
    tl_graph_add_result(graph->root, "r", tl_graph_add_output(node, "text", TL_TYPE_OF(TEXT, 0)));
    struct tl_str svg = TL_STR_INIT;
    const struct tl_graph *graphs[] = {graph, graph};
    draw(graphs, (const char *const[]){"a \"title\" \\N <i>", ""}, 2, &svg);
    assert_int_equal(count(svg.data, "&lt;b&gt;"), 2);
    assert_int_equal(count(svg.data, "a &quot;title&quot; \\N &lt;i&gt;"), 1);
    tl_str_fini(&svg);
    tl_graph_destroy(graph);
}

static void failures_are_told(void **state) {
    (void)state;
    struct tl_str svg = TL_STR_INIT;
    struct tl_error error;
    tl_str_puts(&svg, "before");
    assert_int_equal(tl_graph_draw_svg("digraph {", 9, &svg, &error), TL_ERR_INVALID);
    assert_string_equal(error.message, "dot could not draw the graph (it ended with code 1)");
    assert_string_equal(svg.data, "before");

    char *path = tl_mem_strdup(getenv("PATH"));
    setenv("PATH", "/nonexistent", 1);
    assert_int_equal(tl_graph_draw_svg("digraph {}", 10, &svg, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "install the package graphviz"));
    setenv("PATH", path, 1);
    tl_mem_free(path);
    tl_str_fini(&svg);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_are_drawn),
        cmocka_unit_test(odd_names_are_escaped),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Drawing: what is in the picture is told by golden files (tests/golden); here: odd names, random graphs,
 * and what can go wrong with the child process. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/random_test_support.h"
#include "plan/draw_impl.h"

static size_t count(const char *text, const char *what) {
    size_t found = 0;
    for (const char *at = text; (at = strstr(at, what)) != NULL; at += strlen(what))
        found++;
    return found;
}

static void draw(const struct tl_drawing *drawings, size_t drawing_count, struct tl_str *svg) {
    struct tl_error error = {.message = ""};
    if (tl_graph_draw_svg(drawings, drawing_count, svg, &error) != TL_OK)
        fail_msg("%s", error.message);
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
        draw(&(struct tl_drawing){graph, NULL, "random"}, 1, &svg);
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
    draw((const struct tl_drawing[]){{graph, NULL, "a \"title\" \\N <i>"}, {graph, NULL, ""}}, 2, &svg);
    assert_int_equal(count(svg.data, "&lt;b&gt;"), 2);
    assert_int_equal(count(svg.data, "a &quot;title&quot; \\N &lt;i&gt;"), 1);
    tl_str_fini(&svg);
    tl_graph_destroy(graph);
}

static size_t count_unnamed(const char *page) {
    size_t unnamed = 0;
    for (const char *at = page; (at = strstr(at, " id=\"p0-")) != NULL; at++) {
        char name[64];
        size_t length = strcspn(at + 5, "\"");
        assert_true(length < 32);
        snprintf(name, sizeof name, " id=\"%.*s\"", (int)length, at + 5);
        assert_int_equal(count(page, name), 1);
        snprintf(name, sizeof name, "\"%.*s\":{", (int)length, at + 5);
        unnamed += strncmp(at + 5, "p0-g0_n", 7) == 0 && count(page, name) != 1;
    }
    return unnamed;
}

/* Names are unique, each box has its details, nothing is fetched, and no text of a workflow becomes markup. */
static void pages_need_nothing_else(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        struct tl_random_shape shape = {.nodes = 6 + (unsigned)seed, .nesting = (unsigned)seed};
        struct tl_graph *graph = tl_random_graph(seed, &shape);
        struct tl_node *node = tl_graph_add(graph->root, TL_OP_CONSTANT, "", "odd", NULL);
        tl_attributes_set_string(&node->attributes, &graph->arena, "value", "</script><script>alert(1)</script>");
        tl_graph_add_result(graph->root, "odd", tl_graph_add_output(node, "text", TL_TYPE_OF(TEXT, 0)));
        struct tl_plan *plan;
        assert_int_equal(tl_plan_freeze(graph, NULL, &plan, NULL), TL_OK);
        struct tl_str page = TL_STR_INIT;
        struct tl_error error = {.message = ""};
        const struct tl_drawing drawings[] = {{graph, plan, "a"}, {graph, plan, "b <c>"}};
        if (tl_graph_draw_html(drawings, 2, "notes & <more>\n", &page, &error) != TL_OK)
            fail_msg("%s", error.message);
        assert_int_equal(count(page.data, "</script>"), 2);
        assert_int_equal(count(page.data, "<svg"), 2);
        assert_int_equal(count(page.data, "http"), 0);
        assert_int_equal(count(page.data, "notes &amp; &lt;more&gt;"), 1);
        assert_int_equal(count(page.data, "b &lt;c&gt;: "), 1);
        assert_int_equal(count_unnamed(page.data), 0);
        tl_str_fini(&page);
        tl_plan_unref(plan);
    }
}

static void failures_are_told(void **state) {
    (void)state;
    struct tl_str svg = TL_STR_INIT;
    struct tl_error error;
    tl_str_puts(&svg, "before");
    assert_int_equal(tl_draw_lay_out("digraph {", 9, &svg, &error), TL_ERR_INVALID);
    assert_string_equal(error.message, "dot could not draw the graph (it ended with code 1)");
    assert_string_equal(svg.data, "before");

    char *path = tl_mem_strdup(getenv("PATH"));
    setenv("PATH", "/nonexistent", 1);
    assert_int_equal(tl_draw_lay_out("digraph {}", 10, &svg, &error), TL_ERR_NOT_FOUND);
    assert_non_null(strstr(error.message, "install the package graphviz"));
    setenv("PATH", path, 1);
    tl_mem_free(path);
    tl_str_fini(&svg);
}

/* What prompts contain is told in the page's details, and must not be taken for the page's own. */
static void page_contains_any_text(void **state) {
    (void)state;
    struct tl_graph *graph = tl_graph_create("</title><script>");
    struct tl_node *node = tl_graph_add(graph->root, TL_OP_CONSTANT, "", "text", NULL);
    tl_attributes_set_string(&node->attributes, &graph->arena, "value", "<!-- <script> </script> -->");
    tl_graph_add_result(graph->root, "r", tl_graph_add_output(node, "text", TL_TYPE_OF(TEXT, 0)));
    struct tl_str page = TL_STR_INIT;
    struct tl_error error;
    assert_int_equal(tl_graph_draw_html(&(struct tl_drawing){graph, NULL, "<script>"}, 1, "<script>", &page, &error),
                     TL_OK);
    const char *nodes = strstr(page.data, "id=\"nodes\">");
    assert_non_null(nodes);
    nodes += strlen("id=\"nodes\">");
    assert_null(memchr(nodes, '<', strcspn(nodes, "\n") - strlen("</script>")));
    assert_non_null(strstr(nodes, "\\u003c!-- \\u003cscript> \\u003c/script> -->"));
    assert_int_equal(count(page.data, "<script"), 2); /* the details and the page's own */
    assert_int_equal(count(page.data, "<title>"), 1 + count(strstr(page.data, "<svg"), "<title>"));
    tl_str_fini(&page);
    tl_graph_destroy(graph);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_graphs_are_drawn),
        cmocka_unit_test(odd_names_are_escaped),
        cmocka_unit_test(page_contains_any_text),
        cmocka_unit_test(pages_need_nothing_else),
        cmocka_unit_test(failures_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

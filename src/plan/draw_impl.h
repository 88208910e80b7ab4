/* draw_impl.h: what the files that draw graphs share; for this folder only.
 *
 *     draw.c        boxes and frames, the whole in DOT
 *     draw_edges.c  the edges between them
 *     dot.c         graphviz' program as a child
 *     picture.c     what it has laid out as one SVG
 *     page.c        the same as a page */
#ifndef TL_PLAN_DRAW_IMPL_H
#define TL_PLAN_DRAW_IMPL_H

#include "plan/plan.h"

#define TL_DRAW_INK "#767676"      /* lines and free text: 4.5:1 on white and on black */
#define TL_DRAW_AFTER "#c0571f"    /* control edges */
#define TL_DRAW_CRITICAL "#d9306b" /* the critical path */
#define TL_DRAW_PLAIN "#f4f4f4"    /* builtins */
#define TL_DRAW_VALUE "#dddddd"    /* parameters and results */

/* One graph while it is drawn. */
struct tl_draw {
    struct tl_str *out;
    size_t number;                        /* of the graph in the picture: names begin with "g<number>_" */
    const struct tl_plan *plan;           /* NULL: no figures */
    const struct tl_plan_node **frozen;   /* by node number; NULL without a plan */
    const char *const *engines;           /* of the whole picture: the place gives the colour */
    size_t engine_count;
};

/* The engines of all graphs, in the order in which they are met; owned. */
const char **tl_draw_engines(const struct tl_drawing *drawings, size_t count, size_t *engine_count);
const char *tl_draw_colour(size_t engine);
/* DOT of graph `number` alone, without title and legend. */
void tl_draw_one(const struct tl_drawing *drawing, size_t number, const char *const *engines, size_t engine_count,
                 struct tl_str *out);

struct tl_draw_edge_kinds {
    bool control, order, critical;
};
struct tl_draw_edge_kinds tl_draw_edge_kinds(const struct tl_drawing *drawings, size_t count);

/* ---- draw_edges.c ---- */
void tl_draw_edges(struct tl_draw *draw, const struct tl_body *body);
void tl_draw_results(struct tl_draw *draw, const struct tl_body *root);
/* Inside regions, parameters that nobody uses are not shown: `index` mostly is not. */
bool tl_draw_shows_parameter(const struct tl_body *body, uint32_t port);
/* Parameters of the root that many use are drawn beside each user: no lines across the whole picture. */
bool tl_draw_repeats_parameter(const struct tl_body *body, uint32_t port);
/* A branch of a cond hands on a value that is made outside it. */
bool tl_draw_passes_through(const struct tl_body *body, size_t result);
/* A DOT string in double quotes. */
void tl_draw_put_quoted(struct tl_str *out, const char *text);

/* ---- dot.c ---- */
/* Runs `dot -Tsvg`; appends what it prints. */
enum tl_status tl_draw_lay_out(const char *dot, size_t length, struct tl_str *svg, struct tl_error *error);

/* ---- picture.c ---- */
struct tl_draw_picture {
    double width, height;
    struct tl_str elements; /* SVG elements, names unique by the graph's number */
};
/* Lays out one graph. elements are the caller's, also on failure. */
enum tl_status tl_draw_picture(const struct tl_drawing *drawing, size_t number, const char *const *engines,
                               size_t engine_count, struct tl_draw_picture *picture, struct tl_error *error);
/* "as it runs: 7186 ms predicted", as XML text. */
void tl_draw_put_title(const struct tl_drawing *drawing, struct tl_str *out);

#endif

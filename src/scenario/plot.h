/* plot.h: curves and bars as SVG; for this folder only. Colours are those of the page's style (html.c): series 0 to 7. */
#ifndef TL_SCENARIO_PLOT_H
#define TL_SCENARIO_PLOT_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { PLOT_COLOURS = 8 };

struct plot {
    struct tl_str *out;
    double width, height, left, top, right, bottom; /* px: of all; margins */
    double x_least, x_most, y_most;                 /* values; y begins at 0 */
};

/* Begins a figure with a caption, axes and grid. */
struct plot tl_plot_begin(struct tl_str *out, const char *caption, const char *x_unit, double x_least, double x_most,
                          double y_most);
double tl_plot_x(const struct plot *plot, double x); /* px */
double tl_plot_y(const struct plot *plot, double y);
void tl_plot_line(const struct plot *plot, const double *x, const double *y, size_t count, size_t colour, bool dashed);
void tl_plot_points(const struct plot *plot, const double *x, const double *y, size_t count, size_t colour);
/* A dashed vertical line with a word. */
void tl_plot_mark(const struct plot *plot, double x, const char *word, size_t colour);
void tl_plot_end(const struct plot *plot);

/* What the colours stand for, as a line of the page. */
void tl_plot_key(struct tl_str *out, const char *const *names, const size_t *colours, size_t count);

/* A distance of ticks, 1, 2 or 5 times a power of ten, for about so many of them. */
double tl_plot_step(double range, int about);
void tl_plot_text(struct tl_str *out, const char *text); /* escaped */

#endif

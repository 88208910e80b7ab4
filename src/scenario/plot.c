/* plot.c: see plot.h. */
#include "scenario/plot.h"

#include <math.h>
#include <string.h>

void tl_plot_text(struct tl_str *out, const char *text) {
    tl_str_put_xml(out, text, strlen(text));
}

double tl_plot_step(double range, int about) {
    if (!(range > 0))
        return 1;
    double step = range / about, power = pow(10, floor(log10(step))), lead = step / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

double tl_plot_x(const struct plot *plot, double x) {
    double inner = plot->width - plot->left - plot->right;
    return plot->left + inner * (x - plot->x_least) / (plot->x_most - plot->x_least);
}

double tl_plot_y(const struct plot *plot, double y) {
    double inner = plot->height - plot->top - plot->bottom;
    return plot->height - plot->bottom - inner * (y < plot->y_most ? y : plot->y_most) / plot->y_most;
}

static void put_axes(const struct plot *plot, const char *x_unit) {
    double x_step = tl_plot_step(plot->x_most - plot->x_least, 7), y_step = tl_plot_step(plot->y_most, 5);
    for (double y = 0; y <= plot->y_most * 1.0001; y += y_step)
        tl_str_printf(plot->out,
                      "<path class=\"grid\" d=\"M%.1f %.1fH%.1f\"/><text x=\"%.1f\" y=\"%.1f\" "
                      "text-anchor=\"end\">%g</text>\n",
                      plot->left, tl_plot_y(plot, y), plot->width - plot->right, plot->left - 6,
                      tl_plot_y(plot, y) + 4, y);
    for (double x = ceil(plot->x_least / x_step) * x_step; x <= plot->x_most * 1.0001; x += x_step)
        tl_str_printf(plot->out, "<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g%s</text>\n", tl_plot_x(plot, x),
                      plot->height - plot->bottom + 16, fabs(x) < x_step / 1000 ? 0 : x, x_unit);
}

struct plot tl_plot_begin(struct tl_str *out, const char *caption, const char *x_unit, double x_least, double x_most,
                          double y_most) {
    struct plot plot = {.out = out, .width = 620, .height = 260, .left = 46, .top = 10, .right = 22, .bottom = 26};
    plot.x_least = x_least;
    plot.x_most = x_most > x_least ? x_most : x_least + 1;
    plot.y_most = y_most > 0 ? y_most : 1;
    tl_str_printf(out, "<svg viewBox=\"0 0 %.0f %.0f\" role=\"img\" aria-label=\"", plot.width, plot.height);
    tl_plot_text(out, caption);
    tl_str_puts(out, "\">\n");
    put_axes(&plot, x_unit);
    return plot;
}

void tl_plot_line(const struct plot *plot, const double *x, const double *y, size_t count, size_t colour,
                  bool dashed) {
    if (count == 0)
        return;
    tl_str_printf(plot->out, "<path class=\"line s%zu%s\" d=\"", colour % PLOT_COLOURS, dashed ? " dashed" : "");
    for (size_t i = 0; i < count; i++)
        tl_str_printf(plot->out, "%c%.1f %.1f", i ? 'L' : 'M', tl_plot_x(plot, x[i]), tl_plot_y(plot, y[i]));
    tl_str_puts(plot->out, "\"/>\n");
}

void tl_plot_points(const struct plot *plot, const double *x, const double *y, size_t count, size_t colour) {
    tl_str_printf(plot->out, "<path class=\"points s%zu\" d=\"", colour % PLOT_COLOURS);
    for (size_t i = 0; i < count; i++)
        tl_str_printf(plot->out, "M%.1f %.1fh0", tl_plot_x(plot, x[i]), tl_plot_y(plot, y[i]));
    tl_str_puts(plot->out, "\"/>\n");
}

void tl_plot_mark(const struct plot *plot, double x, const char *word, size_t colour) {
    if (x < plot->x_least || x > plot->x_most)
        return;
    tl_str_printf(plot->out, "<path class=\"mark s%zu\" d=\"M%.1f %.1fV%.1f\"/><text x=\"%.1f\" y=\"%.1f\">",
                  colour % PLOT_COLOURS, tl_plot_x(plot, x), plot->top, plot->height - plot->bottom,
                  tl_plot_x(plot, x) + 4, plot->height - plot->bottom - 6);
    tl_plot_text(plot->out, word);
    tl_str_puts(plot->out, "</text>\n");
}

void tl_plot_end(const struct plot *plot) {
    tl_str_puts(plot->out, "</svg>\n");
}

void tl_plot_key(struct tl_str *out, const char *const *names, const size_t *colours, size_t count) {
    tl_str_puts(out, "<p class=\"key\">");
    for (size_t i = 0; i < count; i++) {
        tl_str_printf(out, "<span><i class=\"f%zu\"></i>", colours[i] % PLOT_COLOURS);
        tl_plot_text(out, names[i]);
        tl_str_puts(out, "</span> ");
    }
    tl_str_puts(out, "</p>\n");
}

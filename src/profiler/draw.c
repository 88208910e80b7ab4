/* draw.c: a profile as a picture: for each engine and kind a panel with what was measured (filled) and what the model
 * says (a ring), over the amount of work, both axes logarithmic. Where filled and ring part, the model is wrong. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "profiler/profiler.h"

enum { PANEL_WIDTH = 300,
       PANEL_HEIGHT = 240,
       LEFT = 56,
       RIGHT = 14,
       TOP = 46,
       BOTTOM = 40,
       COLUMNS = 3,
       HEAD = 48 };

struct axis {
    double low, high; /* decades: log10 */
    double from, to;  /* px */
};

static double along(const struct axis *axis, double value) {
    double share = (log10(value) - axis->low) / (axis->high - axis->low);
    return axis->from + share * (axis->to - axis->from);
}

static struct axis axis_of(double least, double most, double from, double to) {
    double low = log10(least), high = log10(most), room = 0.06 * (high - low) + 0.05;
    return (struct axis){low - room, high + room, from, to};
}

/* What a panel's horizontal axis counts. */
static const char *amount_of(enum tl_primitive op, const json_t *points) {
    if (op == TL_OP_DECODE)
        return "rows";
    return json_object_get(json_array_get(points, 0), "tokens") ? "tokens" : "units";
}

static double get(const json_t *object, const char *key) {
    return json_number_value(json_object_get(object, key));
}

static double predict(const struct tl_cost *cost, const char *engine, enum tl_primitive op, const json_t *point) {
    double units = get(point, op == TL_OP_DECODE ? "rows" : "units");
    struct tl_cost_work work = {
        .op = op,
        .units = units > 0 ? (uint32_t)units : 1,
        .tokens = (uint32_t)lround(get(point, "tokens")),
        .context = (uint32_t)lround(get(point, "context")),
        .tokens_out = 2,
    };
    return tl_cost_call(cost, engine, &work, 1);
}

static void put_ticks(struct tl_str *svg, const struct axis *x, const struct axis *y) {
    static const double steps[] = {1, 2, 5};
    for (int decade = -3; decade < 7; decade++)
        for (size_t i = 0; i < 3; i++) {
            double value = steps[i] * pow(10, decade), at = log10(value);
            if (at > x->low && at < x->high)
                tl_str_printf(svg, "<text class=\"t\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">%g</text>\n",
                              along(x, value), y->from + 14, value);
            if (at > y->low && at < y->high)
                tl_str_printf(svg,
                              "<path class=\"g\" d=\"M%.1f %.1fH%.1f\"/><text class=\"t\" x=\"%.1f\" y=\"%.1f\" "
                              "text-anchor=\"end\">%g</text>\n",
                              x->from, along(y, value), x->to, x->from - 5, along(y, value) + 3.5, value);
        }
}

static void put_points(struct tl_str *svg, const struct tl_cost *cost, const char *engine, enum tl_primitive op,
                       const json_t *points, double left, double top) {
    double least_x = INFINITY, most_x = 0, least_y = INFINITY, most_y = 0;
    const char *amount = amount_of(op, points);
    size_t index;
    json_t *point;
    json_array_foreach((json_t *)points, index, point) {
        double x = get(point, amount), ms = get(point, "ms"), model = predict(cost, engine, op, point);
        least_x = fmin(least_x, x);
        most_x = fmax(most_x, x);
        least_y = fmin(least_y, model > 0 ? fmin(ms, model) : ms);
        most_y = fmax(most_y, fmax(ms, model));
    }
    if (!(least_x > 0 && least_y > 0))
        return;
    struct axis across = axis_of(least_x, most_x, left + LEFT, left + PANEL_WIDTH - RIGHT);
    struct axis up = axis_of(least_y, most_y, top + PANEL_HEIGHT - BOTTOM, top + TOP);
    put_ticks(svg, &across, &up);
    tl_str_printf(svg, "<text class=\"t\" x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%s</text>\n",
                  left + PANEL_WIDTH - RIGHT, top + PANEL_HEIGHT - 8, amount);
    json_array_foreach((json_t *)points, index, point) {
        double x = along(&across, get(point, amount)), measured = along(&up, get(point, "ms"));
        double ms = predict(cost, engine, op, point), model = along(&up, ms > 0 ? ms : least_y);
        tl_str_printf(svg,
                      "<path class=\"e\" d=\"M%.1f %.1fV%.1f\"/><circle class=\"m\" cx=\"%.1f\" cy=\"%.1f\" r=\"3\"/>"
                      "<circle class=\"p\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>\n",
                      x, measured, model, x, measured, x, model);
    }
}

static void put_panel(struct tl_str *svg, const struct tl_cost *cost, const char *engine, const char *kind_name,
                      const json_t *kind, size_t position) {
    double left = (double)(position % COLUMNS) * PANEL_WIDTH;
    double top = HEAD + (double)(position / COLUMNS) * PANEL_HEIGHT;
    tl_str_printf(svg, "<text class=\"h\" x=\"%.1f\" y=\"%.1f\">", left + LEFT, top + 18);
    tl_str_put_xml(svg, engine, strlen(engine));
    tl_str_printf(svg,
                  ": %s</text><text class=\"t\" x=\"%.1f\" y=\"%.1f\">ms; median error %.1f %%, %d samples</text>\n",
                  kind_name, left + LEFT, top + 34, 100 * get(kind, "median_error"), (int)get(kind, "samples"));
    put_points(svg, cost, engine, tl_primitive_find(kind_name), json_object_get(kind, "points"), left, top);
}

static struct tl_cost *cost_of(const json_t *profile) {
    struct tl_cost *cost;
    struct tl_error error;
    char *text = json_dumps(profile, JSON_COMPACT);
    if (tl_cost_parse(text, strlen(text), "profile", &cost, &error) != TL_OK)
        TL_BUG("%s", error.message);
    free(text);
    return cost;
}

void tl_profiler_draw(const json_t *profile, struct tl_str *svg) {
    struct tl_cost *cost = cost_of(profile);
    struct tl_str panels = TL_STR_INIT;
    size_t count = 0;
    const char *name, *kind_name;
    json_t *part, *kind;
    json_object_foreach(json_object_get(profile, "engines"), name, part) {
        json_object_foreach(json_object_get(part, "kinds"), kind_name, kind)
            put_panel(&panels, cost, name, kind_name, kind, count++);
    }
    size_t rows = (count + COLUMNS - 1) / COLUMNS;
    tl_str_printf(svg,
                  "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%zu\" font-family=\"sans-serif\">\n"
                  "<style>.h{font-size:14px;font-weight:bold}.t{font-size:11px;fill:#555}.g{stroke:#ddd}"
                  ".e{stroke:#b33}.m{fill:#246}.p{fill:none;stroke:#b33}</style>\n"
                  "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n"
                  "<text class=\"h\" x=\"%d\" y=\"22\">What the engines' work takes: measured (dots) and by the model "
                  "(rings)</text>\n",
                  COLUMNS * PANEL_WIDTH, HEAD + rows * PANEL_HEIGHT, LEFT);
    tl_str_append(svg, panels.data, panels.length);
    tl_str_puts(svg, "</svg>\n");
    tl_str_fini(&panels);
    tl_cost_unref(cost);
}

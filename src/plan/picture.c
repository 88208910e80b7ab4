/* picture.c: what graphviz has laid out, put side by side as one SVG. Each graph is laid out by itself, so that neither
 * bends to the other's ranks.
 *
 * Graphviz names every element and repeats the names of the DOT in <title>, which viewers show beside the pointer. Here
 * names are made unique in the picture, and a title says what the tooltip should. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mem.h"
#include "plan/draw_impl.h"

#define TITLE 26   /* height of the line with the titles */
#define LEGEND 30  /* height of the line with the legend */
#define GAP 40     /* between two graphs */
#define FONT "Helvetica,Arial,sans-serif"

/* ---- one layout ---- */

static bool begins(const char *at, const char *end, const char *what) {
    size_t length = strlen(what);
    return (size_t)(end - at) >= length && memcmp(at, what, length) == 0;
}

/* Behind the next `what`, or `end`. */
static const char *behind(const char *at, const char *end, const char *what) {
    const char *found = strstr(at, what);
    return found != NULL && found < end ? found + strlen(what) : end;
}

/* Copies graphviz' elements up to `end`; the titles of frames come last, over the edges that cross them. */
static void put_elements(struct tl_str *out, const char *at, const char *end, size_t number) {
    static const char id[] = " id=\"", link[] = "<a xlink:title=\"", frame[] = " class=\"cluster\"";
    struct tl_str titles = TL_STR_INIT;
    bool in_frame = false;
    for (const char *next; at < end; at = next) {
        if (begins(at, end, "<!--")) {
            next = behind(at, end, "-->\n");
        } else if (begins(at, end, "<title>")) {
            next = behind(at, end, "</title>\n");
        } else if (in_frame && begins(at, end, "<text")) {
            next = behind(at, end, "</text>\n");
            tl_str_append(&titles, at, (size_t)(next - at));
        } else if (begins(at, end, id)) {
            tl_str_printf(out, "%sp%zu-", id, number);
            next = at + strlen(id);
        } else if (begins(at, end, link)) {
            const char *text = at + strlen(link);
            size_t length = strcspn(text, "\"");
            tl_str_printf(out, "<a><title>%.*s</title>", (int)length, text);
            next = behind(text + length, end, ">");
        } else {
            if (begins(at, end, frame))
                in_frame = true;
            else if (begins(at, end, " class=\""))
                in_frame = false;
            next = at + 1;
            while (next < end && *next != '<' && *next != ' ')
                next++;
            tl_str_append(out, at, (size_t)(next - at));
        }
    }
    /* Inside the last group, which holds all and moves it into place. */
    static const char closing[] = "</g>\n";
    tl_str_truncate(out, out->length - (tl_str_ends_with(out->data, closing) ? strlen(closing) : 0));
    tl_str_printf(out, "<g class=\"titles\">\n%s</g>\n%s", titles.data, closing);
    tl_str_fini(&titles);
}

enum tl_status tl_draw_picture(const struct tl_drawing *drawing, size_t number, const char *const *engines,
                               size_t engine_count, struct tl_draw_picture *picture, struct tl_error *error) {
    struct tl_str dot = TL_STR_INIT, svg = TL_STR_INIT;
    *picture = (struct tl_draw_picture){.elements = TL_STR_INIT};
    tl_draw_one(drawing, number, engines, engine_count, &dot);
    enum tl_status status = tl_draw_lay_out(dot.data, dot.length, &svg, error);
    const char *box = status == TL_OK ? strstr(svg.data, "viewBox=\"") : NULL;
    const char *start = box != NULL ? strchr(box, '>') : NULL, *end = NULL;
    for (const char *at = start; at != NULL && (at = strstr(at, "</svg>")) != NULL; at++)
        end = at;
    if (status == TL_OK && end == NULL)
        status = tl_error_set(error, TL_ERR_INVALID, "dot printed no picture");
    if (status == TL_OK) {
        char *rest;
        double numbers[4];
        const char *at = box + strlen("viewBox=\"");
        for (size_t i = 0; i < 4; i++, at = rest)
            numbers[i] = strtod(at, &rest);
        picture->width = numbers[2];
        picture->height = numbers[3];
        put_elements(&picture->elements, start + 1, end, number);
    }
    tl_str_fini(&dot);
    tl_str_fini(&svg);
    return status;
}

/* ---- side by side ---- */

static void put_text(struct tl_str *out, const char *text) {
    tl_str_put_xml(out, text, strlen(text));
}

void tl_draw_put_title(const struct tl_drawing *drawing, struct tl_str *out) {
    put_text(out, drawing->title);
    if (drawing->plan != NULL && drawing->plan->critical_count > 0)
        tl_str_printf(out, ": %.0f ms predicted", drawing->plan->critical_ms);
}

struct legend {
    struct tl_str *out;
    double x, y;
};

/* About as wide as the text is in the legend's font. */
static double width_of(const char *text) {
    return 6.1 * (double)strlen(text);
}

static void put_legend_colour(struct legend *legend, const char *colour, const char *name) {
    double width = width_of(name) + 14;
    tl_str_printf(legend->out,
                  "<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"18\" rx=\"4\" fill=\"%s\" stroke=\"" TL_DRAW_INK
                  "\"/><text x=\"%.1f\" y=\"%.1f\" fill=\"#111111\" text-anchor=\"middle\">",
                  legend->x, legend->y, width, colour, legend->x + width / 2, legend->y + 13);
    put_text(legend->out, name);
    tl_str_puts(legend->out, "</text>\n");
    legend->x += width + 8;
}

static void put_legend_line(struct legend *legend, const char *colour, const char *more, const char *name) {
    tl_str_printf(legend->out,
                  "<path d=\"M%.1f %.1fh26\" stroke=\"%s\"%s/><text x=\"%.1f\" y=\"%.1f\" fill=\"" TL_DRAW_INK
                  "\">%s</text>\n",
                  legend->x, legend->y + 9, colour, more, legend->x + 31, legend->y + 13, name);
    legend->x += 31 + width_of(name) + 12;
}

/* Returns how wide it is. */
static double put_legend(struct tl_str *out, double y, const char *const *engines, size_t engine_count,
                         struct tl_draw_edge_kinds kinds) {
    struct legend legend = {out, 10, y};
    for (size_t i = 0; i < engine_count; i++)
        put_legend_colour(&legend, tl_draw_colour(i), engines[i]);
    put_legend_colour(&legend, TL_DRAW_PLAIN, "builtin");
    put_legend_line(&legend, TL_DRAW_INK, "", "data");
    if (kinds.control)
        put_legend_line(&legend, TL_DRAW_AFTER, " stroke-width=\"1.6\" stroke-dasharray=\"5 3\"", "after");
    if (kinds.order)
        put_legend_line(&legend, TL_DRAW_INK, " stroke-dasharray=\"1 3\"", "order of the steps");
    if (kinds.critical)
        put_legend_line(&legend, TL_DRAW_CRITICAL, " stroke-width=\"2.6\"", "critical path");
    return legend.x;
}

static void put_pictures(struct tl_str *out, const struct tl_drawing *drawings, const struct tl_draw_picture *pictures,
                         size_t count) {
    double x = 0;
    for (size_t i = 0; i < count; i++) {
        tl_str_printf(out,
                      "<text x=\"%.1f\" y=\"18\" fill=\"" TL_DRAW_INK "\" font-size=\"14\" text-anchor=\"middle\">",
                      x + pictures[i].width / 2);
        tl_draw_put_title(&drawings[i], out);
        tl_str_printf(out, "</text>\n<svg x=\"%.2f\" y=\"%d\" width=\"%.2f\" height=\"%.2f\">\n", x, TITLE,
                      pictures[i].width, pictures[i].height);
        tl_str_append(out, pictures[i].elements.data, pictures[i].elements.length);
        tl_str_puts(out, "</svg>\n");
        x += pictures[i].width + GAP;
    }
}

enum tl_status tl_graph_draw_svg(const struct tl_drawing *drawings, size_t count, struct tl_str *out,
                                 struct tl_error *error) {
    struct tl_str legend = TL_STR_INIT;
    struct tl_draw_picture *pictures = tl_mem_zalloc((count + 1) * sizeof *pictures);
    double width = 0, height = 0;
    size_t engine_count, made = 0;
    const char **engines = tl_draw_engines(drawings, count, &engine_count);
    enum tl_status status = TL_OK;
    for (; made < count && status == TL_OK; made++) {
        status = tl_draw_picture(&drawings[made], made, engines, engine_count, &pictures[made], error);
        width += pictures[made].width + (made > 0 ? GAP : 0);
        height = pictures[made].height > height ? pictures[made].height : height;
    }
    if (status == TL_OK) {
        double legend_width = put_legend(&legend, TITLE + height + 6, engines, engine_count,
                                         tl_draw_edge_kinds(drawings, count));
        width = legend_width > width ? legend_width : width;
        height += TITLE + LEGEND;
        tl_str_printf(out,
                      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" "
                      "width=\"%.0f\" height=\"%.0f\" viewBox=\"0 0 %.2f %.2f\" font-family=\"" FONT
                      "\" font-size=\"11\">\n",
                      width, height, width, height);
        put_pictures(out, drawings, pictures, count);
        tl_str_append(out, legend.data, legend.length);
        tl_str_puts(out, "</svg>\n");
    }
    for (size_t i = 0; i < made; i++)
        tl_str_fini(&pictures[i].elements);
    tl_mem_free(pictures);
    tl_mem_free(engines);
    tl_str_fini(&legend);
    return status;
}

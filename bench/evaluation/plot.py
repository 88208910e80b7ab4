"""Small SVG plots without libraries: panels of lines, and bars. Readable on light and dark pages."""
import html
import math

COLOURS = ["#8c564b", "#e377c2", "#ff7f0e", "#1f77b4", "#2ca02c", "#9467bd", "#17becf", "#bcbd22"]
STYLE = """<style>
text { font: 12px system-ui, sans-serif; fill: #222 } .title { font-weight: 600 } .small { font-size: 11px }
.axis { stroke: #555; fill: none } .grid { stroke: #ddd } .back { fill: #fff } .bound { stroke: #555; stroke-dasharray: 5 4 }
@media (prefers-color-scheme: dark) { text { fill: #ddd } .axis { stroke: #aaa } .grid { stroke: #444 } .back { fill: #1b1b1b }
.bound { stroke: #bbb } }
</style>"""


def ticks(most):
    """Round steps from 0, at most six."""
    step = 10 ** math.floor(math.log10(most))
    for factor in (0.2, 0.5, 1, 2, 5):
        if most / (step * factor) <= 6:
            step *= factor
            break
    return [i * step for i in range(int(most / step + 1e-9) + 1)]


def number(value):
    return f"{value:.10g}"


def svg(width, height, parts):
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}">\n'
            f'{STYLE}\n<rect class="back" width="{width}" height="{height}"/>\n' + "\n".join(parts) + "\n</svg>\n")


def text(x, y, what, anchor="start", kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" class="{kind}">{html.escape(what)}</text>'


def line(points, colour, bound):
    way = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    paint = 'class="bound"' if bound else f'stroke="{colour}"'
    return f'<polyline points="{way}" fill="none" stroke-width="1.8" {paint}/>'


def panel(left, top, width, height, title, series, most, x_label, logarithmic=False):
    """`series`: (colour, is a bound, [(x, y)]). y is cut off at `most`."""
    xs = [x for _, _, points in series for x, _ in points]
    scale = math.log if logarithmic else float
    low, high = scale(min(xs)), scale(max(xs))
    across = lambda x: left + (scale(x) - low) / (high - low or 1) * width
    down = lambda y: top + height - min(y, most) / most * height
    parts = [text(left, top - 8, title, kind="title")]
    for tick in ticks(most):
        parts.append(f'<line class="grid" x1="{left}" x2="{left + width}" y1="{down(tick):.1f}" y2="{down(tick):.1f}"/>')
        parts.append(text(left - 6, down(tick) + 4, number(tick), "end", "small"))
    for x in sorted(set(xs)):
        parts.append(text(across(x), top + height + 16, number(x), "middle", "small"))
    parts.append(text(left + width / 2, top + height + 32, x_label, "middle", "small"))
    parts.append(f'<path class="axis" d="M{left},{top} V{top + height} H{left + width}"/>')
    for colour, bound, points in series:
        shown = []
        for i, (x, y) in enumerate(points):
            if y > most and i > 0:  # to where it leaves the panel
                x0, y0 = points[i - 1]
                shown.append((across(x0 + (x - x0) * (most - y0) / (y - y0)), down(most)))
                break
            if y > most:
                break
            shown.append((across(x), down(y)))
        if shown:
            parts.append(line(shown, colour, bound))
        if not bound:
            parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in shown if y > top + 0.1]
    return parts


def panels(titles, names, values, limits, x_label, logarithmic=False):
    """Panels side by side, two in a row. values[title][name]: [(x, y)], or no such name; "bound" is dashed."""
    parts, wide, high = [], 360, 220
    for i, title in enumerate(titles):
        series = [(COLOURS[k % len(COLOURS)], name == "bound", values[title][name])
                  for k, name in enumerate(names) if name in values[title]]
        left, top = 60 + i % 2 * (wide + 80), 40 + i // 2 * (high + 80)
        parts += panel(left, top, wide, high, title, series, limits[title], x_label, logarithmic)
    rows = (len(titles) + 1) // 2
    top = 40 + rows * (high + 80) - 12
    for k, name in enumerate(names):
        x, y = 60 + k % 3 * 280, top + k // 3 * 20
        parts.append(line([(x, y), (x + 24, y)], COLOURS[k % len(COLOURS)], name == "bound"))
        parts.append(text(x + 30, y + 4, name))
    return svg(60 + 2 * (wide + 80) - 50, top + (len(names) + 2) // 3 * 20, parts)


def bars(title, names, groups, values, unit):
    """Horizontal bars: for each name one of each group. values[name][group]."""
    most = max(values[name][group] for name in names for group in groups)
    parts, left, wide, thick = [text(10, 20, title, kind="title")], 250, 460, 11
    y = 36
    for name in names:
        parts.append(text(left - 8, y + thick * len(groups) / 2 + 4, name, "end"))
        for k, group in enumerate(groups):
            length = values[name][group] / most * wide
            parts.append(f'<rect x="{left}" y="{y:.1f}" width="{length:.1f}" height="{thick - 2}" fill="{COLOURS[k + 3]}"/>')
            parts.append(text(left + length + 5, y + 9, f"{values[name][group]:.2f} {unit}", kind="small"))
            y += thick
        y += 9
    for k, group in enumerate(groups):
        parts.append(f'<rect x="{left + k * 150}" y="{y + 2:.1f}" width="10" height="10" fill="{COLOURS[k + 3]}"/>')
        parts.append(text(left + k * 150 + 15, y + 11, group, kind="small"))
    return svg(left + wide + 90, int(y + 24), parts)

"""One curve as an SVG: axes, grid, the measured points with their values. Readable on light and dark pages."""

import math
from xml.sax.saxutils import escape

from row import number

WIDTH, HEIGHT = 520, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 24, 44, 48


def ticks(top, count=5):
    """Round values from 0 up to the first one that is not below `top`; about `count` steps."""
    if top <= 0:
        return [0, 1]
    rough = top / count
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * (1 - 1e-9))
    return [step * i for i in range(math.ceil(top / step - 1e-9) + 1)]


def short(value):
    """5,000,000 as 5 M."""
    for size, letter in ((1e6, " M"), (1e3, " k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def svg(title, x_label, y_label, points, limit=None):
    """The whole document. `points`: (x, y), x ascending and not negative. `limit`: a dashed line at that height."""
    x_ticks = ticks(max(x for x, _ in points))
    y_ticks = ticks(max([y for _, y in points] + ([limit] if limit else [])) * 1.1)

    def at_x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * value / x_ticks[-1]

    def at_y(value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / y_ticks[-1]

    def text(x, y, words, anchor="middle", extra=""):
        return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" {extra}>{escape(words)}</text>'

    def level(value, look):
        return f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at_y(value):.1f}" y2="{at_y(value):.1f}" {look}/>'

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        text(LEFT, 22, title, "start", 'font-size="14" font-weight="bold"'),
        text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, x_label),
        text(LEFT, TOP - 8, y_label, "start", 'fill="#555555"'),
    ]
    for value in y_ticks:
        parts.append(level(value, 'stroke="#dddddd"'))
        parts.append(text(LEFT - 8, at_y(value) + 4, short(value), "end"))
    parts += [text(at_x(value), HEIGHT - BOTTOM + 18, short(value)) for value in x_ticks]
    if limit:
        parts.append(level(limit, 'stroke="#c0392b" stroke-dasharray="6 4"'))
        parts.append(text(WIDTH - RIGHT, at_y(limit) - 5, f"target {number(limit)}", "end", 'fill="#c0392b"'))
    path = " ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in points)
    parts.append(f'<polyline points="{path}" fill="none" stroke="#1f6feb" stroke-width="2"/>')
    parts += [f'<circle cx="{at_x(x):.1f}" cy="{at_y(y):.1f}" r="3.5" fill="#1f6feb">'
              f"<title>{short(x)}: {number(y)}</title></circle>" for x, y in points]
    return "\n".join([*parts, "</svg>", ""])

"""Score over labelled rows as an SVG, one panel a data set, readable on light and dark pages.

Rows from left to right on a logarithmic scale, share of right answers upwards; a band is the interval over draws and
judged rows. Dashes are the untrained model, dots the most frequent label.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.adopting.sets import SETS
from benchmarks.adopting.summary import Group, Table

__all__ = ["NAMES", "draw"]

NAMES: Mapping[str, str] = {
    "soft": "soft prompt",
    "lora": "LoRA",
    "embeddings": "embeddings + logistic regression",
    "tfidf": "TF-IDF + logistic regression",
    "few-shot": "few-shot text prompt",
}

#: Okabe & Ito's palette, which colour-blind readers can tell apart too.
COLOURS: Mapping[str, str] = {
    "soft": "#d55e00",
    "lora": "#0072b2",
    "embeddings": "#cc79a7",
    "tfidf": "#009e73",
    "few-shot": "#e69f00",
}

WIDTH, HEIGHT, PER_LINE = 245, 205, 4
LEFT, RIGHT, TOP, BOTTOM, FOOT = 40, 12, 42, 24, 58
FIRST, LAST, TICKS = 16, 2000, (16, 64, 256, 1000)

STYLE = """
  text { font: 11px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 12px }
  .quiet { fill: #57606a } .paper { fill: #fff } .frame { fill: none; stroke: #afb8c1 } .grid { stroke: #eaeef2 }
  .zero, .most { stroke: #57606a; fill: none } .zero { stroke-dasharray: 5 3 } .most { stroke-dasharray: 1 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .paper { fill: #161a1f } .frame { stroke: #59636e }
    .grid { stroke: #262c33 } .zero, .most { stroke: #9198a1 }
  }
"""


def draw(table: Table, names: Sequence[str]) -> str:
    """The picture.

    Args:
        table: What was measured.
        names: Of the sets, a panel each.
    """
    width, height = WIDTH * min(PER_LINE, len(names)), HEIGHT * math.ceil(len(names) / PER_LINE) + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>Score against labelled rows on {len(names)} data sets</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for n, name in enumerate(names):
        x, y = WIDTH * (n % PER_LINE), HEIGHT * (n // PER_LINE)
        parts.append(f'<g transform="translate({x} {y})">{_panel(table, name)}</g>')
    return "\n".join([*parts, _legend(height - FOOT), "</svg>", ""])


def _panel(table: Table, name: str) -> str:
    lines = {one: _points(table, name, one) for one in NAMES}
    levels = {kind: table.get(name, kind) for kind in ("zero-shot", "majority")}
    heights = [end for points in lines.values() for _, group in points for end in _ends(group)]
    heights += [group.scores[0] for group in levels.values() if group is not None]
    bottom, top = math.floor(10 * min(heights, default=0.0)) / 10, math.ceil(10 * max(heights, default=1.0)) / 10

    def across(rows: int) -> float:
        return LEFT + 8 + (WIDTH - LEFT - RIGHT - 16) * math.log(rows / FIRST) / math.log(LAST / FIRST)

    def up(score: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (score - bottom) / max(0.1, top - bottom)

    parts = [
        f'<text class="title" x="{LEFT}" y="18">{escape(name)}</text>',
        f'<text class="quiet" x="{LEFT}" y="33">{escape(SETS[name].about)}</text>',
    ]
    for tenth in range(round(10 * bottom), round(10 * top) + 1, 2 if top - bottom > 0.5 else 1):
        y = up(tenth / 10)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="quiet" x="{LEFT - 5}" y="{y + 4:.1f}" text-anchor="end">{10 * tenth}%</text>')
    for rows in TICKS:
        parts.append(
            f'<text class="quiet" x="{across(rows):.1f}" y="{HEIGHT - 8}" text-anchor="middle">{rows:,}</text>'
        )
    for kind, style in (("zero-shot", "zero"), ("majority", "most")):
        if (group := levels[kind]) is not None:
            parts.append(f'<path class="{style}" d="M{LEFT} {up(group.scores[0]):.1f}H{WIDTH - RIGHT}"/>')
    inside = f'width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
    parts.append(f'<rect class="frame" x="{LEFT}" y="{TOP}" {inside}/>')
    for one, points in reversed(lines.items()):
        found = [(across(rows), up(group.interval.estimate), *map(up, _ends(group))) for rows, group in points]
        parts.append(_line(found, COLOURS[one]))
    return "".join(parts)


def _line(points: Sequence[tuple[float, float, float, float]], colour: str) -> str:
    """A band, a line, a dot a size; a single point has a bar instead of a band."""
    if not points:
        return ""
    dots = "".join(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y, _, _ in points)
    if len(points) == 1:
        ((x, _, low, high),) = points
        return f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-opacity=".5"/>{dots}'
    line = "L".join(f"{x:.1f} {y:.1f}" for x, y, _, _ in points)
    edges = [f"{x:.1f} {high:.1f}" for x, _, _, high in points]
    edges += [f"{x:.1f} {low:.1f}" for x, _, low, _ in reversed(points)]
    band = f'<path d="M{"L".join(edges)}Z" fill="{colour}" fill-opacity=".13"/>'
    return f'{band}<path d="M{line}" fill="none" stroke="{colour}" stroke-width="1.8"/>{dots}'


def _points(table: Table, name: str, contender: str) -> list[tuple[int, Group]]:
    return [(rows, group) for rows in table.sizes if (group := table.get(name, contender, rows)) is not None]


def _ends(group: Group) -> tuple[float, float]:
    return group.interval.low, group.interval.high


def _legend(top: int) -> str:
    parts, x = [], 14
    for one, words in NAMES.items():
        parts.append(f'<path d="M{x} {top + 16}h18" stroke="{COLOURS[one]}" stroke-width="3"/>')
        parts.append(f'<text x="{x + 23}" y="{top + 20}">{escape(words)}</text>')
        x += 50 + 6 * len(words)
    x = 14
    for style, words in (("zero", "the untrained model"), ("most", "the most frequent label")):
        parts.append(f'<path class="{style}" d="M{x} {top + 38}h18"/>')
        parts.append(f'<text x="{x + 23}" y="{top + 42}">{words}</text>')
        x += 50 + 6 * len(words)
    about = "across: labelled rows; up: right answers on 300 rows; bands: 95 %, over draws and judged rows"
    parts.append(f'<text class="quiet" x="{x + 10}" y="{top + 42}">{about}</text>')
    return "".join(parts)

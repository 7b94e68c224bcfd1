"""Score over labelled rows as an SVG, one panel a data set, readable on light and dark pages.

Rows from left to right on a logarithmic scale, share of right answers upwards; a band is the interval over draws and
judged rows. Dashes are the untrained model, dots the most frequent label.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

from benchmarks.adopting.sets import SETS
from benchmarks.adopting.summary import Group, Table
from benchmarks.rig.panels import Layout

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

LAYOUT = Layout(width=245, height=205, per_line=4, left=40, right=12, top=42, bottom=24, foot=58)
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
    return LAYOUT.sheet(
        [_panel(table, name) for name in names],
        title=f"Score against labelled rows on {len(names)} data sets",
        style=STYLE,
        legend=_legend(LAYOUT.below(len(names))),
        columns=min(LAYOUT.per_line, len(names)),
    )


def _panel(table: Table, name: str) -> str:
    lines = {one: _points(table, name, one) for one in NAMES}
    levels = {kind: table.get(name, kind) for kind in ("zero-shot", "majority")}
    heights = [end for points in lines.values() for _, group in points for end in _ends(group)]
    heights += [group.scores[0] for group in levels.values() if group is not None]
    panel, left = LAYOUT.panel(heights), LAYOUT.left

    def across(rows: int) -> float:
        return left + 8 + (LAYOUT.end - left - 16) * math.log(rows / FIRST) / math.log(LAST / FIRST)

    parts = [
        f'<text class="title" x="{left}" y="18">{escape(name)}</text>',
        f'<text class="quiet" x="{left}" y="33">{escape(SETS[name].about)}</text>',
        panel.grid(every=2 if panel.high - panel.low > 0.5 else 1, style="quiet"),
    ]
    for rows in TICKS:
        x, y = across(rows), LAYOUT.height - 8
        parts.append(f'<text class="quiet" x="{x:.1f}" y="{y}" text-anchor="middle">{rows:,}</text>')
    for kind, style in (("zero-shot", "zero"), ("majority", "most")):
        if (group := levels[kind]) is not None:
            parts.append(panel.level(group.scores[0], style))
    parts.append(panel.frame())
    for one, points in reversed(lines.items()):
        found = [
            (across(rows), panel.up(group.interval.estimate), *map(panel.up, _ends(group))) for rows, group in points
        ]
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

"""Score against time as an SVG, one panel a data set, readable on light and dark pages.

Each contender is a point: everything it took (choosing and all seeds) from left to right on a logarithmic scale, mean
score upwards, with the interval as a bar.
"""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from benchmarks.rig.panels import Layout

from .plan import CONTENDERS

__all__ = ["draw"]

LAYOUT = Layout(width=300, height=210, per_line=3, left=44, right=26, top=30, bottom=34, foot=64)

#: Okabe & Ito's palette tells the contenders apart for colour-blind readers too; shapes do so without colour.
MARKS: Mapping[str, tuple[str, str]] = {
    "after": ("#d55e00", "circle"),
    "before": ("#e69f00", "circle"),
    "peft": ("#56b4e9", "square"),
    "peft_best": ("#0072b2", "square"),
    "tfidf": ("#009e73", "triangle"),
    "probe": ("#cc79a7", "triangle"),
}

STYLE = """
  text { font: 11px system-ui, sans-serif; fill: #333 } .title { font-weight: 600; font-size: 12px }
  .paper { fill: #fff } .frame { fill: none; stroke: #999 } .grid { stroke: #ddd }
  .dash { stroke: #888; stroke-dasharray: 4 3 }
  @media (prefers-color-scheme: dark) {
    text { fill: #ddd } .paper { fill: #161a1f } .frame { stroke: #777 } .grid { stroke: #333 } .dash { stroke: #999 }
  }
"""


def draw(report: Mapping[str, Any]) -> str:
    """The picture of a report, as SVG."""
    problems = report["problems"]
    return LAYOUT.sheet(
        [_panel(problem, report["clock"]) for problem in problems],
        title=f"{report['title']}: score against time",
        style=STYLE,
        legend=_legend(report, LAYOUT.width * LAYOUT.per_line, LAYOUT.below(len(problems))),
    )


def _panel(problem: Mapping[str, Any], clock: str) -> str:
    points = {
        name: (max(one["search"][clock] + one["train"][clock], 0.1), one["score"])
        for name, one in problem["contenders"].items()
        if name in MARKS
    }
    majority = problem["contenders"].get("majority")
    scores = [score[key] for _, score in points.values() for key in ("low", "high")]
    scores += [majority["score"]["estimate"]] if majority else []
    panel, left = LAYOUT.panel(scores), LAYOUT.left
    times = [time for time, _ in points.values()] or [1.0]
    first, last = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times) * 1.01))

    def across(time: float) -> float:
        return left + (LAYOUT.end - left) * (math.log10(time) - first) / max(1, last - first)

    parts = [f'<text class="title" x="{left}" y="20">{escape(problem["name"])}</text>', panel.grid(unit=" %", gap=6)]
    for power in range(first, last + 1):
        x = across(10**power)
        parts.append(f'<text x="{x:.1f}" y="{LAYOUT.height - 18}" text-anchor="middle">{10.0**power:g} s</text>')
    if majority:
        parts.append(panel.level(majority["score"]["estimate"], "dash"))
    parts.append(panel.frame())
    for name, (time, score) in points.items():
        colour, shape = MARKS[name]
        x, low, high = across(time), panel.up(score["low"]), panel.up(score["high"])
        parts.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-width="2"/>')
        parts.append(_mark(shape, x, panel.up(score["estimate"]), colour))
    return "".join(parts)


def _mark(shape: str, x: float, y: float, colour: str) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="5" fill="{colour}"/>'
    if shape == "square":
        return f'<rect x="{x - 4.5:.1f}" y="{y - 4.5:.1f}" width="9" height="9" fill="{colour}"/>'
    return f'<path d="M{x:.1f} {y - 6:.1f}l6 10h-12z" fill="{colour}"/>'


def _legend(report: Mapping[str, Any], width: int, top: int) -> str:
    there = [name for name in MARKS if any(name in one["contenders"] for one in report["problems"])]
    parts = []
    for n, name in enumerate(there):
        line, place = divmod(n, LAYOUT.per_line)
        x, y = 20 + place * (width - 20) / LAYOUT.per_line, top + 14 + 18 * line
        colour, shape = MARKS[name]
        parts.append(_mark(shape, x, y, colour) + f'<text x="{x + 12}" y="{y + 4}">{escape(CONTENDERS[name])}</text>')
    unit = "processor seconds on one thread" if report["clock"] == "cpu_seconds" else "seconds"
    words = (
        f"across: {unit} for choosing and all seeds; up: right answers on the judged rows, 95 % bars; dashes: majority"
    )
    return "".join(parts) + f'<text x="14" y="{top + LAYOUT.foot - 10}">{escape(words)}</text>'

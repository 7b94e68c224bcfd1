"""Score against time as an SVG, one panel a data set, readable on light and dark pages.

Each contender is a point: everything it took (choosing and all seeds) from left to right on a logarithmic scale, mean
score upwards, with the interval as a bar.
"""

import math
from collections.abc import Mapping
from html import escape
from typing import Any

from .plan import CONTENDERS

__all__ = ["draw"]

WIDTH, HEIGHT, PER_LINE = 300, 210, 3
LEFT, RIGHT, TOP, BOTTOM = 44, 26, 30, 34
FOOT = 64

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
    lines = math.ceil(len(problems) / PER_LINE)
    width, height = WIDTH * PER_LINE, HEIGHT * lines + FOOT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(report['title'])}: score against time</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for n, problem in enumerate(problems):
        x, y = WIDTH * (n % PER_LINE), HEIGHT * (n // PER_LINE)
        parts.append(f'<g transform="translate({x} {y})">{_panel(problem, report["clock"])}</g>')
    parts.append(_legend(report, width, HEIGHT * lines))
    return "\n".join([*parts, "</svg>", ""])


def _panel(problem: Mapping[str, Any], clock: str) -> str:
    points = {
        name: (max(one["search"][clock] + one["train"][clock], 0.1), one["score"])
        for name, one in problem["contenders"].items()
        if name in MARKS
    }
    majority = problem["contenders"].get("majority")
    scores = [score[key] for _, score in points.values() for key in ("low", "high")]
    scores += [majority["score"]["estimate"]] if majority else []
    bottom = math.floor(10 * min(scores, default=0.0)) / 10
    top = math.ceil(10 * max(scores, default=1.0)) / 10
    times = [time for time, _ in points.values()] or [1.0]
    first, last = math.floor(math.log10(min(times))), math.ceil(math.log10(max(times) * 1.01))

    def across(time: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(time) - first) / max(1, last - first)

    def up(score: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (score - bottom) / max(0.1, top - bottom)

    parts = [f'<text class="title" x="{LEFT}" y="20">{escape(problem["name"])}</text>']
    for tenth in range(round(10 * bottom), round(10 * top) + 1):
        y = up(tenth / 10)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10 * tenth} %</text>')
    for power in range(first, last + 1):
        x = across(10**power)
        parts.append(f'<text x="{x:.1f}" y="{HEIGHT - 18}" text-anchor="middle">{10.0**power:g} s</text>')
    if majority:
        parts.append(f'<path class="dash" d="M{LEFT} {up(majority["score"]["estimate"]):.1f}H{WIDTH - RIGHT}"/>')
    parts.append(
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>'
    )
    for name, (time, score) in points.items():
        colour, shape = MARKS[name]
        x, low, high = across(time), up(score["low"]), up(score["high"])
        parts.append(f'<path d="M{x:.1f} {low:.1f}V{high:.1f}" stroke="{colour}" stroke-width="2"/>')
        parts.append(_mark(shape, x, up(score["estimate"]), colour))
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
        x, y = 20 + (n % PER_LINE) * (width - 20) / PER_LINE, top + 14 + 18 * (n // PER_LINE)
        colour, shape = MARKS[name]
        parts.append(_mark(shape, x, y, colour) + f'<text x="{x + 12}" y="{y + 4}">{escape(CONTENDERS[name])}</text>')
    unit = "processor seconds on one thread" if report["clock"] == "cpu_seconds" else "seconds"
    words = (
        f"across: {unit} for choosing and all seeds; up: right answers on the judged rows, 95 % bars; dashes: majority"
    )
    return "".join(parts) + f'<text x="14" y="{top + FOOT - 10}">{escape(words)}</text>'

"""Score against what a training costs, one panel a data set, as SVG for light and dark pages.

Across: processor seconds of one training, on a logarithmic scale; up: mean score, with its interval as a bar. Methods
are numbered, because more than eight colours cannot be told apart; the colour says where the soft tokens stand.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape

from .findings import Finding

__all__ = ["draw"]

WIDTH, HEIGHT, PER_LINE = 380, 270, 2
LEFT, RIGHT, TOP, BOTTOM = 48, 20, 34, 40
LINE, LEGEND_COLUMNS = 20, 3

_STYLE = """<style>
  text { font: 12px system-ui, sans-serif; fill: #24292f } .title { font-weight: 600; font-size: 14px }
  .quiet { fill: #6e7781 } .paper { fill: #fff } .frame { fill: none; stroke: #8c959f } .grid { stroke: #d8dee4 }
  .dot { stroke: #fff; stroke-width: 1 } .number { font-size: 10px; font-weight: 600; fill: #fff }
  .after { fill: #0969da } .before { fill: #bc4c00 } .none { fill: #6e7781 }
  .bar { stroke-width: 2; opacity: 0.45 }
  .bar.after { stroke: #0969da } .bar.before { stroke: #bc4c00 } .bar.none { stroke: #6e7781 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .quiet { fill: #9198a1 } .paper { fill: #0d1117 } .frame { stroke: #656c76 }
    .grid { stroke: #21262d } .dot { stroke: #0d1117 } .number { fill: #0d1117 }
    .after { fill: #58a6ff } .before { fill: #f0883e } .none { fill: #9198a1 }
    .bar.after { stroke: #58a6ff } .bar.before { stroke: #f0883e } .bar.none { stroke: #9198a1 } }
</style>"""


def draw(found: Mapping[str, Mapping[str, Finding]], *, title: str, places: Mapping[str, str]) -> str:
    """The picture.

    Args:
        found: Findings by problem and way.
        title: Above everything, for readers of screens.
        places: Of every way: ``after``, ``before`` or ``none``.
    """
    names = [name for name in places if any(name in by_way for by_way in found.values())]
    numbers = {name: n for n, name in enumerate(names, start=1)}
    top = math.ceil(len(found) / PER_LINE) * HEIGHT
    width, height = WIDTH * PER_LINE, top + LINE * math.ceil(len(names) / LEGEND_COLUMNS) + 2 * LINE
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" role="img">',
        f"<title>{escape(title)}</title>",
        _STYLE,
        f'<rect class="paper" width="{width}" height="{height}"/>',
    ]
    for n, (problem, by_way) in enumerate(found.items()):
        at = f"translate({WIDTH * (n % PER_LINE)} {HEIGHT * (n // PER_LINE)})"
        parts.append(f'<g transform="{at}">{_panel(problem, by_way, numbers, places)}</g>')
    parts.append(_legend(numbers, places, width, top))
    return "\n".join([*parts, "</svg>", ""])


def ticks(low: float, high: float) -> list[float]:
    """Round numbers, three a power of ten, from the last clearly below ``low`` to the first clearly above ``high``.

    >>> ticks(4, 60)
    [2.0, 5.0, 10.0, 20.0, 50.0, 100.0]
    >>> ticks(1, 1)
    [0.5, 1.0, 2.0]
    """
    first, last = math.floor(math.log10(low)) - 1, math.ceil(math.log10(high)) + 1
    every = [factor * 10.0**power for power in range(first, last + 1) for factor in (1, 2, 5)]
    below, above = [one for one in every if one <= low / 1.2], [one for one in every if one >= high * 1.2]
    return [one for one in every if below[-1] <= one <= above[0]]


def _panel(problem: str, by_way: Mapping[str, Finding], numbers: Mapping[str, int], places: Mapping[str, str]) -> str:
    bottom = math.floor(20 * min(one["score"]["low"] for one in by_way.values())) / 20
    top = math.ceil(20 * max(one["score"]["high"] for one in by_way.values())) / 20
    marks = ticks(*_ends([one["train_seconds"] for one in by_way.values()]))
    first, last = math.log10(marks[0]), math.log10(marks[-1])

    def across(seconds: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (math.log10(seconds) - first) / (last - first)

    def up(score: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (score - bottom) / (top - bottom)

    parts = [f'<text class="title" x="{LEFT}" y="22">{escape(problem)}</text>']
    for step in range(round(20 * bottom), round(20 * top) + 1, 2 if top - bottom > 0.3 else 1):
        y = up(step / 20)
        parts.append(f'<path class="grid" d="M{LEFT} {y:.1f}H{WIDTH - RIGHT}"/>')
        parts.append(f'<text class="quiet" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{5 * step} %</text>')
    for mark in marks[:: 1 + len(marks) // 8]:
        parts.append(
            f'<text class="quiet" x="{across(mark):.1f}" y="{HEIGHT - 22}" text-anchor="middle">{mark:g} s</text>'
        )
    parts.append(
        f'<rect class="frame" x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"/>'
    )
    spots = {name: (across(one["train_seconds"]), up(one["score"]["estimate"])) for name, one in by_way.items()}
    for name, (x, _) in spots.items():
        ends = [up(by_way[name]["score"][end]) for end in ("low", "high")]
        parts.append(f'<path class="bar {places[name]}" d="M{x:.1f} {ends[0]:.1f}V{ends[1]:.1f}"/>')
    parts += [_dot(x, y, numbers[name], places[name]) for name, (x, y) in spots.items()]
    return "".join(parts)


def _ends(values: Sequence[float]) -> tuple[float, float]:
    return max(min(values), 0.01), max(max(values), 0.01)


def _dot(x: float, y: float, number: int, place: str) -> str:
    return (
        f'<circle class="dot {place}" cx="{x:.1f}" cy="{y:.1f}" r="8"/>'
        f'<text class="number" x="{x:.1f}" y="{y + 3.5:.1f}" text-anchor="middle">{number}</text>'
    )


def _legend(numbers: Mapping[str, int], places: Mapping[str, str], width: int, top: int) -> str:
    parts = []
    for n, (name, number) in enumerate(numbers.items()):
        x, y = 24 + (n % LEGEND_COLUMNS) * width / LEGEND_COLUMNS, top + 12 + LINE * (n // LEGEND_COLUMNS)
        parts.append(_dot(x, y, number, places[name]) + f'<text x="{x + 14:.1f}" y="{y + 4:.1f}">{escape(name)}</text>')
    words = (
        "across: processor seconds of one training; up: right answers, 95 % bars; blue: after the text, orange: before"
    )
    y = top + 24 + LINE * math.ceil(len(numbers) / LEGEND_COLUMNS)
    return "".join(parts) + f'<text class="quiet" x="16" y="{y}">{words}</text>'

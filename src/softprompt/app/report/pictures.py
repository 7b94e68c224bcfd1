"""The report's pictures as inline SVG: cost against quality, learning curves, reliability.

Numbers in circles are those of the table, so no label covers another. Colours and type come from the page's sheet by
class; every picture says in words what it shows.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from softprompt.core.words import duration

__all__ = ["HUES", "Mark", "cost_quality", "learning_curves", "nice_scale", "reliability"]

#: Colours of the sheet, ``.c0`` to ``.c5``.
HUES = 6

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 640.0, 340.0, 54.0, 18.0, 14.0, 56.0
_FLOOR = _HEIGHT - _BOTTOM

#: Across a circle with a number, and a little room.
_CIRCLE = 24.0

#: Seconds at which the scale of times has a word.
_TIMES = (0.001, 0.01, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36_000.0, 864_000.0)

Document = Mapping[str, Any]
Number = float | int

#: Across and down, in the picture's units.
Place = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Mark:
    """A contender in the picture of cost and quality.

    Attributes:
        number: Of its line in the table.
        name: For tooltips.
        x: Its cost, above 0.
        score: With ``estimate``, ``low`` and ``high``.
        own: Whether it is what the table is about.
    """

    number: int
    name: str
    x: Number
    score: Document
    own: bool = False


@dataclass(frozen=True, slots=True)
class _Plane:
    """From numbers to places of the picture."""

    x: tuple[float, float]
    y: tuple[float, float]
    log: bool = False

    def at(self, x: Number, y: Number) -> Place:
        """The place of a point; one beyond the scale stands at its edge."""
        across, down = self.beyond(x, y)
        return across, min(_FLOOR, max(_TOP, down))

    def beyond(self, x: Number, y: Number) -> Place:
        """The same, wherever it is."""
        low, high, value = (math.log(v) if self.log else float(v) for v in (*self.x, x))
        across = (value - low) / (high - low) if high > low else 0.5
        up = (y - self.y[0]) / (self.y[1] - self.y[0])
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * across, _FLOOR - (_FLOOR - _TOP) * up

    def frame(self, ticks: Sequence[tuple[Number, str]], *, across: str, up: Callable[[float], str]) -> Markup:
        """Axes, lines at round scores, and what runs along."""
        parts = []
        for value in _ticks(*self.y):
            y = self.at(self.x[0], value)[1]
            line = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>')
            told = Markup('<text x="{}" y="{:.1f}" class="end">{}</text>')
            parts.append(line.format(_LEFT, _WIDTH - _RIGHT, y, y) + told.format(_LEFT - 8, y + 4, up(value)))
        for tick, text in ticks:
            x = self.at(tick, self.y[0])[0]
            parts.append(Markup('<text x="{:.1f}" y="{}" class="middle">{}</text>').format(x, _FLOOR + 20, text))
        parts.append(
            Markup('<text x="{:.1f}" y="{}" class="middle quiet">{}</text>').format(
                (_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 6, across
            )
        )
        return Markup("").join(parts)


def cost_quality(marks: Sequence[Mark], *, across: str, scale: tuple[Number, Number], share: bool) -> Markup:
    """Scores with intervals over what they cost, on a scale of multiples.

    >>> score = {"estimate": 0.8, "low": 0.7, "high": 0.9}
    >>> picture = cost_quality([Mark(1, "a", 2.0, score, own=True)], across="time to learn", scale=(0, 1), share=True)
    >>> picture.count("<circle")
    1
    """
    costs = [mark.x for mark in marks]
    low, high = min(costs) / 2, max(costs) * 2
    plane = _Plane((low, high), (float(scale[0]), float(scale[1])), log=True)
    times = [time for time in _TIMES if low <= time <= high]
    ticks = [(time, duration(time)) for time in times[:: max(1, math.ceil(len(times) / 6))]]
    parts = [plane.frame(ticks, across=across, up=_told(share))]
    places = _apart({mark.number: plane.at(mark.x, mark.score["estimate"]) for mark in marks})
    for mark in sorted(marks, key=lambda one: one.own):
        x, y = places[mark.number]
        ends = [plane.at(mark.x, mark.score[end])[1] for end in ("low", "high") if mark.score[end] is not None]
        group = Markup('<g class="{}"><title>{}</title>').format("own" if mark.own else "mark", mark.name)
        if len(ends) == 2:
            line = '<line class="range" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>'
            group += Markup(line).format(x, *ends)
        circle = (
            '<circle cx="{0:.1f}" cy="{1:.1f}" r="11"/><text x="{0:.1f}" y="{2:.1f}" class="middle number">{3}</text>'
        )
        parts.append(group + Markup(circle).format(x, y, y + 4.5, mark.number) + Markup("</g>"))
    return _picture(parts, f"scores of {len(marks)} contenders over {across}")


def _apart(places: Mapping[int, Place]) -> dict[int, Place]:
    """Circles that would cover each other, side by side: scores stay, the later one moves to the right.

    >>> _apart({1: (60.0, 100.0), 2: (61.0, 104.0), 3: (60.0, 180.0)})
    {1: (60.0, 100.0), 3: (60.0, 180.0), 2: (84.0, 104.0)}
    """
    found: dict[int, Place] = {}
    for number, (x, y) in sorted(places.items(), key=lambda one: (one[1][0], one[0])):
        while close := [a for a, b in found.values() if math.hypot(a - x, b - y) < _CIRCLE]:
            x = max(close) + _CIRCLE
        found[number] = x, y
    return found


def learning_curves(curve: Document, *, share: bool) -> Markup:
    """Score by number of labelled rows, with bands over the draws, and what the law says beyond, as unsure as it is."""
    lines = [one for one in curve["curves"] if one["by_size"]]
    values = [
        value
        for one in lines
        for found in one["by_size"].values()
        for value in (found["estimate"], found["low"], found["high"])
        if value is not None
    ]
    ahead = [one["score"] for line in lines for one in line["forecasts"]]
    values += [one[end] for one in ahead for end in ("estimate", "low", "high") if one[end] is not None]
    scale = nice_scale(values, share=share)
    rows = [int(size) for one in lines for size in one["by_size"]]
    farthest = max([*rows, *(found["rows"] for one in lines for found in one["forecasts"])])
    plane = _Plane((float(min(rows)), float(farthest)), scale, log=True)
    sizes = sorted(set(rows))
    # the last two sizes may be neighbours: the one before the last goes
    shown = [size for size in sizes[:-1] if size < 0.75 * sizes[-1]] + sizes[-1:]
    parts = [plane.frame([(size, f"{size:,}") for size in shown], across="labelled rows", up=_told(share))]
    for n, one in enumerate(lines):
        parts.append(_curve(one, n % HUES, plane))
    return _picture(parts, f"{curve['metric']} by number of labelled rows")


def _curve(line: Document, hue: int, plane: _Plane) -> Markup:
    found = {int(size): score for size, score in line["by_size"].items()}
    points = [plane.at(size, score["estimate"]) for size, score in found.items()]
    parts = [Markup('<g class="c{}"><title>{}</title>').format(hue, line["name"])]
    seen, beyond = list(found.items()), [(int(one["rows"]), one["score"]) for one in line["forecasts"]]
    parts += [_band(seen, "band", plane), _band([*seen[-1:], *beyond], "band ahead", plane)]
    parts.append(Markup('<polyline class="line" points="{}"/>').format(_path(points)))
    parts += [Markup('<circle class="point" cx="{:.1f}" cy="{:.1f}" r="3.5"/>').format(*point) for point in points]
    if line["forecasts"]:
        ahead = [plane.at(one["rows"], one["score"]["estimate"]) for one in line["forecasts"]]
        parts.append(Markup('<polyline class="line ahead" points="{}"/>').format(_path([points[-1], *ahead])))
    return Markup("").join(parts) + Markup("</g>")


def _band(scores: Sequence[tuple[int, Document]], kind: str, plane: _Plane) -> Markup:
    """The intervals of scores by number of rows, as an area; none without two of them."""
    sure = [(rows, one) for rows, one in scores if one["low"] is not None and one["high"] is not None]
    if len(sure) < 2:
        return Markup("")
    outline = [plane.beyond(rows, one["high"]) for rows, one in sure]
    outline += [plane.beyond(rows, one["low"]) for rows, one in reversed(sure)]
    return Markup('<polygon class="{}" points="{}"/>').format(kind, _path(_within(outline)))


def reliability(found: Mapping[str, Document]) -> Markup:
    """Share right by how sure the answers were, of each line; on the diagonal both are the same."""
    plane = _Plane((0.0, 1.0), (0.0, 1.0))
    ticks = [(value, f"{100 * value:.0f}") for value in (0.0, 0.25, 0.5, 0.75, 1.0)]
    start, end = plane.at(0, 0), plane.at(1, 1)
    diagonal = '<line class="diagonal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'
    parts = [plane.frame(ticks, across="how sure, %", up=_told(share=True)), Markup(diagonal).format(*start, *end)]
    for n, (name, calibration) in enumerate(found.items()):
        parts.append(Markup('<g class="c{}"><title>{}</title>').format(n % HUES, name))
        bins = calibration["bins"]
        most = max(one["rows"] for one in bins)
        centres = [plane.at(one["confidence"], one["right"]["estimate"]) for one in bins]
        parts.append(Markup('<polyline class="line thin" points="{}"/>').format(_path(centres)))
        for one, (x, y) in zip(bins, centres, strict=True):
            ends = [plane.at(0, one["right"][bound])[1] for bound in ("low", "high")]
            line = '<line class="whisker" x1="{0:.1f}" x2="{0:.1f}" y1="{1:.1f}" y2="{2:.1f}"/>'
            circle = '<circle class="point" cx="{:.1f}" cy="{:.1f}" r="{:.1f}"><title>{} rows</title></circle>'
            parts.append(Markup(line).format(x, *ends))
            parts.append(Markup(circle).format(x, y, 2.5 + 5 * math.sqrt(one["rows"] / most), one["rows"]))
        parts.append(Markup("</g>"))
    return _picture(parts, "share of right answers by how sure they were")


def nice_scale(values: Sequence[float], *, share: bool) -> tuple[float, float]:
    """Ends of a scale that hold the values, at round numbers; shares stay between 0 and 1.

    >>> nice_scale([0.52, 0.71, 0.83], share=True), nice_scale([3.0, 41.0], share=False)
    ((0.5, 0.9), (0.0, 50.0))
    """
    low, high = min(values, default=0.0), max(values, default=1.0)
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-6)))
    step = 0.1 if share and step < 0.1 else step
    ends = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    found = (max(0.0, ends[0]), min(1.0, ends[1])) if share else ends
    return (round(found[0], 9), round(found[1], 9)) if found[1] > found[0] else (found[0], found[0] + step)


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two ends, at most seven."""
    span = high - low
    step = next(s for s in (m * 10.0**e for e in range(-6, 9) for m in (1, 2, 2.5, 5)) if span / s <= 6)
    return [round(n * step, 9) for n in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def _told(share: bool) -> Callable[[float], str]:
    return (lambda value: f"{100 * value:.4g}") if share else (lambda value: f"{value:.4g}")


def _within(outline: Sequence[Place]) -> Sequence[Place]:
    """The part of an area between the lowest and the highest score of the scale.

    Edges are cut where they cross an end, one end after the other: Sutherland, Hodgman, CACM 17 (1974) 32-42.
    """
    for end, side in ((_TOP, 1.0), (_FLOOR, -1.0)):
        kept: list[Place] = []
        for before, point in zip((*outline[-1:], *outline[:-1]), outline, strict=True):
            inside, came = side * (point[1] - end) >= 0, side * (before[1] - end) >= 0
            if inside != came:
                part = (end - before[1]) / (point[1] - before[1])
                kept.append((before[0] + part * (point[0] - before[0]), end))
            if inside:
                kept.append(point)
        outline = kept
    return outline


def _path(points: Sequence[Place]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)


def _picture(parts: Sequence[Markup], label: str) -> Markup:
    head = Markup('<svg class="chart" role="img" aria-label="{}" viewBox="0 0 {:.0f} {:.0f}">')
    return head.format(label, _WIDTH, _HEIGHT) + Markup("").join(parts) + Markup("</svg>")

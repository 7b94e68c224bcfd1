"""What a sweep found, as one self-contained SVG: what decides, and score against length. Light and dark.

Knows trials as plain data; writes text and nothing else.
"""

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from softprompt.lab.sweep.study import Trial
from softprompt.lab.training.curves import ticks

__all__ = ["by_length", "picture"]

_WIDTH, _LEFT, _RIGHT, _TOP, _BAR, _PANEL = 520.0, 110.0, 20.0, 30.0, 22.0, 190.0

_STYLE = """
svg.sps:root{color-scheme:light dark;color:light-dark(#1c2126,#e7eaed)}
.sps{color:inherit;font:13px system-ui,sans-serif;max-width:100%;height:auto}
.sps text{fill:currentColor}.sps .h{font-weight:600}.sps .q{opacity:.75}
.sps line{stroke:currentColor;stroke-opacity:.16}
.sps rect,.sps circle{fill:#0067a5;fill:light-dark(#0067a5,#56b4f5)}
.sps .o{fill-opacity:.3}
.sps path{fill:none;stroke-width:1.8;stroke:#c04a00;stroke:light-dark(#c04a00,#ff9a4a)}
"""


def by_length(trials: Sequence[Trial], *, name: str = "length") -> list[dict[str, Any]]:
    """The best score of every length that was tried to the end, the shortest first.

    >>> trials = [Trial(0, {"length": 5}, "complete", 0.5), Trial(1, {"length": 5}, "complete", 0.7)]
    >>> by_length([*trials, Trial(2, {"length": 1}, "pruned", 0.9)])
    [{'length': 5, 'score': 0.7, 'trials': 2}]
    """
    found: dict[int, list[float]] = {}
    for one in trials:
        if one.state == "complete" and one.score is not None and isinstance(one.values.get(name), int):
            found.setdefault(one.values[name], []).append(one.score)
    return [{"length": length, "score": max(found[length]), "trials": len(found[length])} for length in sorted(found)]


def picture(trials: Sequence[Trial], importance: Mapping[str, float], *, score: str, name: str = "length") -> str:
    """Bars of what decides the score, and below them every trial by its length.

    Args:
        trials: Of the sweep.
        importance: By name, summing to 1; no bars where it is empty.
        score: What the score is called.
        name: Of the length in the space; where it was not varied, trials stand in their order instead.

    Returns:
        An ``<svg>`` element; a file of it opens in any browser.

    >>> drawn = picture([Trial(0, {"length": 5}, "complete", 0.5)], {"rate": 0.8, "length": 0.2}, score="accuracy")
    >>> drawn.count("<rect"), drawn.count("<circle")
    (2, 1)
    """
    parts, top = [], _TOP
    if importance:
        parts.append(f'<text class="h" x="0" y="{top - 12:.0f}">what decides</text>')
        for key, share in importance.items():
            parts.append(_bar(key, share, top))
            top += _BAR
        top += 34
    judged = [one for one in trials if one.score is not None and math.isfinite(one.score)]
    lengths = {one.values.get(name) for one in judged if isinstance(one.values.get(name), int)}
    where = name if len(lengths) > 1 else "trial"
    parts.append(f'<text class="h" x="0" y="{top - 12:.0f}">{escape(score)} by {escape(where)}</text>')
    parts += _scatter(judged, where, top) if judged else []
    height = top + _PANEL + 40
    return (
        f'<svg class="sps" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH:.0f} {height:.0f}" '
        f'width="{_WIDTH:.0f}" role="img"><title>What a sweep of {len(trials)} trials found</title>'
        f"<style>{_STYLE}</style>{''.join(parts)}</svg>"
    )


def _bar(key: str, share: float, top: float) -> str:
    width = max(1.0, share * (_WIDTH - _LEFT - _RIGHT - 40))
    words = f'<text x="{_LEFT - 8:.0f}" y="{top + 13:.0f}" text-anchor="end">{escape(key)}</text>'
    told = f'<text class="q" x="{_LEFT + width + 6:.1f}" y="{top + 13:.0f}">{100 * share:.0f} %</text>'
    return f'{words}<rect x="{_LEFT:.0f}" y="{top + 3:.0f}" width="{width:.1f}" height="13" rx="2"/>{told}'


def _scatter(trials: Sequence[Trial], where: str, top: float) -> list[str]:
    """Dots, faint where a trial was given up, and a line through the best of each length."""
    places = {one.number: float(one.number if where == "trial" else one.values.get(where, 0)) for one in trials}
    scores = {one.number: float(one.score or 0.0) for one in trials}
    low, high = min(scores.values()), max(scores.values())
    room = (high - low) * 0.08 or 0.05
    low, high = low - room, high + room
    first, last = min(places.values()), max(places.values())
    log = where != "trial" and first > 0

    def x(value: float | int) -> float:
        scale = math.log if log else float
        span = scale(last) - scale(first)
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * ((scale(value) - scale(first)) / span if span else 0.5)

    def y(value: float) -> float:
        return top + _PANEL * (high - value) / (high - low)

    parts = []
    for tick in (tick for tick in ticks(low, high) if low <= tick <= high):
        line = f'<line x1="{_LEFT:.0f}" x2="{_WIDTH - _RIGHT:.0f}" y1="{y(tick):.1f}" y2="{y(tick):.1f}"/>'
        parts.append(
            f'{line}<text class="q" x="{_LEFT - 8:.0f}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>'
        )
    there = set(places.values())
    for value in sorted(there if len(there) < 8 else {first, last}):
        parts.append(
            f'<text class="q" x="{x(value):.1f}" y="{top + _PANEL + 18:.0f}" text-anchor="middle">{value:g}</text>'
        )
    if where != "trial" and (best := by_length(trials, name=where)):
        points = " L".join(f"{x(one['length']):.1f} {y(one['score']):.1f}" for one in best)
        parts.append(f'<path d="M{points}"/>')
    for one in trials:
        faint = "" if one.state == "complete" else ' class="o"'
        title = ", ".join(f"{key} {value}" for key, value in one.values.items())
        told = f"<title>trial {one.number}: {scores[one.number]:.3f}; {escape(title)}</title>"
        parts.append(
            f'<circle{faint} cx="{x(places[one.number]):.1f}" cy="{y(scores[one.number]):.1f}" r="4">{told}</circle>'
        )
    return parts

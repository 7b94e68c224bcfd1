"""Pictures as inline SVG: positions in per cent of the width, so that they fit any column without distortion.

Colours and type come from the page's style sheet by class. Every picture says in words what it shows.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup

__all__ = ["axis", "bars", "interval_row"]

Number = float | int


def interval_row(interval: Mapping[str, Any], *, reference: Number | None = None, strong: bool = False) -> Markup:
    """A score as a dot on its interval, on a scale from 0 to 1; a dashed line marks the reference.

    >>> print(interval_row({"estimate": 0.5, "low": 0.4, "high": 0.6}))
    <svg class="dots" role="img" aria-label="50 percent, 40 to 60" width="100%" height="24">...
    """
    estimate = interval["estimate"] or 0.0
    low = estimate if interval["low"] is None else interval["low"]
    high = estimate if interval["high"] is None else interval["high"]
    parts = [Markup('<line class="rail" x1="0" x2="100%" y1="12" y2="12"/>')]
    if reference is not None:
        x = _at(reference)
        parts.append(Markup('<line class="reference" x1="{0}" x2="{0}" y1="0" y2="24"/>').format(x))
    parts.append(Markup('<line class="range" x1="{}" x2="{}" y1="12" y2="12"/>').format(_at(low), _at(high)))
    radius = 5.5 if strong else 4.5
    parts.append(Markup('<circle class="dot" cx="{}" cy="12" r="{}"/>').format(_at(estimate), radius))
    label = f"{100 * estimate:.0f} percent, {100 * low:.0f} to {100 * high:.0f}"
    head = Markup('<svg class="dots" role="img" aria-label="{}" width="100%" height="24">').format(label)
    return head + Markup("").join(parts) + Markup("</svg>")


def axis(ticks: Sequence[Number] = (0, 0.25, 0.5, 0.75, 1)) -> Markup:
    """The scale above the dots, in per cent."""
    parts = []
    for tick in ticks:
        anchor = {ticks[0]: "start", ticks[-1]: "end"}.get(tick, "middle")
        sign = "\u202f%" if tick == ticks[-1] else ""
        mark = Markup('<text x="{}" y="11" text-anchor="{}">{:.0f}{}</text>')
        parts.append(mark.format(_at(tick), anchor, 100 * tick, sign))
    head = Markup('<svg class="axis" aria-hidden="true" width="100%" height="16">')
    return head + Markup("").join(parts) + Markup("</svg>")


def bars(rows: Sequence[tuple[str, str, Number, int, str]]) -> Markup:
    """Bars of lengths that can be compared.

    Args:
        rows: Name, value in words, length, number of pieces it is made of, class (``main`` or ``other``).

    >>> print(bars([("one reading", "10 ms", 10, 1, "main"), ("two", "20 ms", 20, 2, "other")]))
    <div class="bars"><div class="bar main"><div class="bar-words"><span>one reading</span><strong>10 ms</strong>...
    """
    longest = max((row[2] for row in rows), default=1) or 1
    return Markup('<div class="bars">') + Markup("").join(_bar(row, longest) for row in rows) + Markup("</div>")


def _bar(row: tuple[str, str, Number, int, str], longest: Number) -> Markup:
    name, value, length, pieces, kind = row
    whole = 100 * length / longest
    gap = 0.6 if pieces > 1 else 0.0
    each = max((whole - gap * (pieces - 1)) / pieces, 0.3)
    rects = Markup("").join(
        Markup('<rect x="{:.2f}%" y="0" width="{:.2f}%" height="14" rx="2"/>').format(n * (each + gap), each)
        for n in range(pieces)
    )
    words = Markup('<div class="bar-words"><span>{}</span><strong>{}</strong></div>').format(name, value)
    picture = Markup('<svg width="100%" height="14" aria-hidden="true">') + rects + Markup("</svg>")
    return Markup('<div class="bar {}">').format(kind) + words + picture + Markup("</div>")


def _at(share: Number) -> str:
    """A place on the scale; a little room at both ends, so that no dot is cut."""
    return f"{2 + 96 * share:.2f}%"

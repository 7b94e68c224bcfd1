"""Pictures as inline SVG: positions in per cent of the width, so that they fit any column without distortion.

Colours and type come from the page's style sheet by class. Every picture says in words what it shows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup

__all__ = ["Bar", "axis", "bars", "interval_row"]

Number = float | int


@dataclass(frozen=True, slots=True)
class Bar:
    """A bar with its words.

    Attributes:
        name: What it is.
        value: Its length in words.
        length: Its length.
        pieces: What it is made of, all alike.
        kind: Class of the style sheet.
    """

    name: str
    value: str
    length: Number
    pieces: int = 1
    kind: Literal["main", "second", "other"] = "main"


def interval_row(
    interval: Mapping[str, Any],
    *,
    reference: Number | None = None,
    strong: bool = False,
    scale: tuple[Number, Number] = (0, 1),
    factor: Number = 100,
) -> Markup:
    """A score as a dot on its interval; a dashed line marks the reference. What leaves the scale ends at its end.

    Args:
        interval: With ``estimate``, ``low`` and ``high``.
        reference: Where the dashed line stands.
        strong: Whether it is what the table is about.
        scale: Its ends.
        factor: What numbers are told in: 100 for per cent.

    >>> print(interval_row({"estimate": 0.5, "low": 0.4, "high": 0.6}))
    <svg class="dots" role="img" aria-label="50 percent, 40 to 60" width="100%" height="24">...
    """
    estimate = interval["estimate"] or 0.0
    low = estimate if interval["low"] is None else interval["low"]
    high = estimate if interval["high"] is None else interval["high"]
    parts = [Markup('<line class="rail" x1="0" x2="100%" y1="12" y2="12"/>')]
    if reference is not None:
        x = _at(reference, scale)
        parts.append(Markup('<line class="reference" x1="{0}" x2="{0}" y1="0" y2="24"/>').format(x))
    parts.append(
        Markup('<line class="range" x1="{}" x2="{}" y1="12" y2="12"/>').format(_at(low, scale), _at(high, scale))
    )
    radius = 5.5 if strong else 4.5
    parts.append(Markup('<circle class="dot" cx="{}" cy="12" r="{}"/>').format(_at(estimate, scale), radius))
    told = [f"{factor * value:.0f}" if factor == 100 else f"{value:.3g}" for value in (estimate, low, high)]
    label = f"{told[0]}{' percent' if factor == 100 else ''}, {told[1]} to {told[2]}"
    head = Markup('<svg class="dots" role="img" aria-label="{}" width="100%" height="24">').format(label)
    return head + Markup("").join(parts) + Markup("</svg>")


def axis(
    ticks: Sequence[Number] = (0, 0.25, 0.5, 0.75, 1), *, scale: tuple[Number, Number] = (0, 1), factor: Number = 100
) -> Markup:
    """The scale above the dots, in per cent unless another factor is given."""
    parts = []
    for tick in ticks:
        anchor = {ticks[0]: "start", ticks[-1]: "end"}.get(tick, "middle")
        sign = "\u202f%" if tick == ticks[-1] and factor == 100 else ""
        mark = Markup('<text x="{}" y="11" text-anchor="{}">{:.10g}{}</text>')
        parts.append(mark.format(_at(tick, scale), anchor, round(factor * tick, 6), sign))
    head = Markup('<svg class="axis" aria-hidden="true" width="100%" height="16">')
    return head + Markup("").join(parts) + Markup("</svg>")


def bars(rows: Sequence[Bar]) -> Markup:
    """Bars whose lengths can be compared.

    >>> print(bars([Bar("one reading", "10 ms", 10), Bar("two", "20 ms", 20, pieces=2, kind="other")]))
    <div class="bars"><div class="bar main"><div class="bar-words"><span>one reading</span><strong>10 ms</strong>...
    """
    longest = max((row.length for row in rows), default=1) or 1
    return Markup('<div class="bars">') + Markup("").join(_bar(row, longest) for row in rows) + Markup("</div>")


def _bar(row: Bar, longest: Number) -> Markup:
    whole = 100 * row.length / longest
    gap = 0.6 if row.pieces > 1 else 0.0
    each = max((whole - gap * (row.pieces - 1)) / row.pieces, 0.3)
    rects = Markup("").join(
        Markup('<rect x="{:.2f}%" y="0" width="{:.2f}%" height="14" rx="2"/>').format(n * (each + gap), each)
        for n in range(row.pieces)
    )
    words = Markup('<div class="bar-words"><span>{}</span><strong>{}</strong></div>').format(row.name, row.value)
    picture = Markup('<svg width="100%" height="14" aria-hidden="true">') + rects + Markup("</svg>")
    return Markup('<div class="bar {}">').format(row.kind) + words + picture + Markup("</div>")


def _at(value: Number, scale: tuple[Number, Number] = (0, 1)) -> str:
    """A place on the scale; a little room at both ends, so that no dot is cut."""
    share = (value - scale[0]) / (scale[1] - scale[0])
    return f"{2 + 96 * min(1.0, max(0.0, share)):.2f}%"

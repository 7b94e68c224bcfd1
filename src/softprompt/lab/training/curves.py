"""Loss and score by step as one self-contained SVG: no script, no font, no file beside it; light and dark.

Knows outcomes; writes text and nothing else.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from html import escape

from softprompt.lab.training.outcome import Outcome

__all__ = ["curves", "ticks"]

_WIDTH, _PANEL, _LEFT, _RIGHT, _TOP, _GAP = 480.0, 150.0, 52.0, 14.0, 34.0, 46.0
_FAR = 1e12  # numbers beyond are those of a prompt that diverges: no picture
_ENTRIES = 8

#: Okabe and Ito's hues, darkened for white and lightened for black, so that every line has a contrast of at least 3:1.
_HUES = (
    ("#0067a5", "#56b4f5"),
    ("#c04a00", "#ff9a4a"),
    ("#00795a", "#3fcfa2"),
    ("#a03b84", "#f28ccd"),
    ("#866a00", "#e3c64c"),
    ("#5a50c8", "#aaa5ff"),
)

#: As a file it follows the reader's system; inside a page that page's scheme (a notebook's theme).
#: Programs that do not know light-dark() draw the light hues, or by the reader's system.
_STYLE = (
    """
svg.spc:root{color-scheme:light dark;color:light-dark(#1c2126,#e7eaed)}
.spc{color:inherit;font:13px system-ui,sans-serif;max-width:100%;height:auto}
.spc text{fill:currentColor}.spc .h{font-weight:600}.spc .q{opacity:.75}
.spc .g{stroke:currentColor;stroke-opacity:.16}.spc .a{stroke:currentColor;stroke-opacity:.5}
.spc path{fill:none;stroke-width:1.8;stroke-linejoin:round;stroke-linecap:round}
.spc .g,.spc .a{stroke-width:1}
.spc circle{fill:none;stroke-width:1.8}
"""
    + "".join(
        f".spc .c{i}{{stroke:{light};stroke:light-dark({light},{dark})}}\n" for i, (light, dark) in enumerate(_HUES)
    )
    + "@supports not (color:light-dark(red,red)){@media (prefers-color-scheme:dark){svg.spc:root{color:#e7eaed}"
    + "".join(f".spc .c{i}{{stroke:{dark}}}" for i, (_, dark) in enumerate(_HUES))
    + "}}"
)


#: Colour, dash, points, and where the ring stands.
Line = tuple[str, str, Sequence[tuple[int, float]], tuple[int, float] | None]


def curves(outcomes: Mapping[str, Outcome], *, score: str = "score", title: str = "Training") -> str:
    """Training loss and validation score of all prompts by step; a ring marks the step that is kept.

    Args:
        outcomes: By name, e.g. ``seed 0``.
        score: What the validation score is called.
        title: For screen readers and tooltips.

    Returns:
        An ``<svg>`` element; a file of it opens in any browser.

    >>> from softprompt.core.tensors import PromptTensors
    >>> ends = Outcome(PromptTensors(), 0.8, 0.4, 10, "finished", ((10, 0.5),), ((0, 0.2, 1.6), (10, 0.8, 0.4)))
    >>> curves({"seed 0": ends}).count('class="c0"')
    3
    """
    names = list(outcomes)
    kept = [(f"c{i % len(_HUES)}", _dash(i), outcome) for i, outcome in enumerate(outcomes.values())]
    legend = _legend(names)
    top = _TOP + 20 * max((line for _, line, _ in legend), default=0)
    steps = [step for one in outcomes.values() for step, _ in one.losses]
    last = max([1, *steps, *(step for one in outcomes.values() for step, _, _ in one.evaluations)])
    parts = [_entry(x, y, i, name) for i, (x, y, name) in enumerate(legend)]
    losses: list[Line] = [(colour, dash, one.losses, None) for colour, dash, one in kept]
    scores: list[Line] = [
        (colour, dash, [(step, value) for step, value, _ in one.evaluations], (one.step, one.value))
        for colour, dash, one in kept
    ]
    parts += _panel("training loss", losses, top, last)
    parts += _panel(f"validation {score}", scores, top + _PANEL + _GAP, last)
    height = top + 2 * _PANEL + _GAP + 40
    parts.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, height - 6, "step", anchor="middle", kind="q"))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="spc" role="img" width="{_WIDTH:.0f}" height="{height:.0f}" '
        f'viewBox="0 0 {_WIDTH:.0f} {height:.0f}"><title>{escape(title)}</title><style>{_STYLE}</style>'
        + "".join(parts)
        + "</svg>"
    )


def _panel(name: str, lines: Sequence[Line], top: float, last: int) -> Iterable[str]:
    """Axes, grid and lines of one quantity."""
    finite = [(c, d, [(x, y) for x, y in points if abs(y) < _FAR], mark) for c, d, points, mark in lines]
    values = [y for _, _, points, _ in finite for _, y in points]
    scale = ticks(min(values, default=0.0), max(values, default=1.0))
    low, high = scale[0], scale[-1]

    def x(step: int) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * step / max(last, 1)

    def y(value: float) -> float:
        return top + _PANEL * (1 - (value - low) / (high - low))

    yield _text(_LEFT, top - 9, name, kind="h")
    for value in scale:
        yield f'<path class="g" d="M{x(0):.1f} {y(value):.1f}H{x(last):.1f}"/>'
        yield _text(_LEFT - 7, y(value) + 4.5, f"{value:.4g}", anchor="end", kind="q")
    for step in (int(tick) for tick in ticks(0.0, float(last)) if tick == int(tick)):
        if step <= last:
            yield f'<path class="a" d="M{x(step):.1f} {y(low):.1f}v4"/>'
            yield _text(x(step), y(low) + 18, str(step), anchor="middle", kind="q")
    for colour, dash, points, mark in finite:
        if points:
            way = "L".join(f"{x(step):.1f} {y(value):.1f}" for step, value in points)
            yield f'<path class="{colour}"{dash} d="M{way}"/>'
        if mark and low <= mark[1] <= high:
            yield f'<circle class="{colour}" cx="{x(mark[0]):.1f}" cy="{y(mark[1]):.1f}" r="4.5"/>'


def _legend(names: Sequence[str]) -> list[tuple[float, int, str]]:
    """Place (x, line) and text of each entry; one prompt needs none."""
    if len(names) < 2:
        return []
    shown = [name if len(name) <= 28 else f"{name[:27]}…" for name in names[:_ENTRIES]]
    if len(names) > _ENTRIES:
        shown.append(f"and {len(names) - _ENTRIES} more")
    placed: list[tuple[float, int, str]] = []
    x, line = 8.0, 1
    for name in shown:
        width = 32 + 6.6 * len(name)
        if x > 8 and x + width > _WIDTH:
            x, line = 8.0, line + 1
        placed.append((x, line, name))
        x += width
    return placed


def _entry(x: float, line: int, index: int, name: str) -> str:
    y = 20.0 * line - 4
    stroke = (
        "" if index >= _ENTRIES else f'<path class="c{index % len(_HUES)}"{_dash(index)} d="M{x:.0f} {y - 4:.0f}h18"/>'
    )
    return stroke + _text(x + 24, y, name)


def _dash(index: int) -> str:
    """Colours come back dashed: nothing is told by colour alone."""
    return ("", ' stroke-dasharray="6 4"', ' stroke-dasharray="2 4"')[index // len(_HUES) % 3]


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "") -> str:
    css = f' class="{kind}"' if kind else ""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"{css}>{escape(text)}</text>'


def ticks(low: float, high: float, *, count: int = 4) -> list[float]:
    """Round numbers from below ``low`` to above ``high``, about ``count`` of them.

    >>> ticks(0.13, 0.58)
    [0.0, 0.2, 0.4, 0.6]
    >>> ticks(2.0, 2.0)
    [1.0, 2.0, 3.0]
    """
    if high - low <= 1e-9 * max(1.0, abs(low), abs(high)):
        around = max(1.0, abs(low) / 10)
        low, high = low - around, high + around
    raw = (high - low) / (count - 1)
    unit = 10.0 ** math.floor(math.log10(raw))
    step = next(unit * factor for factor in (1, 2, 2.5, 5, 10) if unit * factor >= raw * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    return [round(n * step, 12) for n in range(first, math.ceil(high / step - 1e-9) + 1)]

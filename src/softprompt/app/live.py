"""Progress in a notebook: one display that draws itself anew, with loss and score as they come.

At most two pictures a second; outside a notebook nothing is shown and IPython is not imported.
"""

import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from softprompt.app.watch import Point, Watcher
from softprompt.core.cards import Card, Notice, draw
from softprompt.core.tensors import PromptTensors
from softprompt.core.words import amount, duration, fact
from softprompt.lab.training.curves import curves
from softprompt.lab.training.outcome import Outcome

__all__ = ["Live", "watcher_here"]

#: Seconds between two pictures, and that something may take unseen.
PAUSE, PATIENCE = 0.5, 2.0

#: Points of a line of losses; of twice as many, neighbours are averaged.
MOST_POINTS = 120


class Shown(Protocol):
    """A display that can be drawn anew."""

    def update(self, html: str) -> None: ...


def watcher_here() -> Watcher:
    """A live display in a notebook, silence elsewhere.

    >>> type(watcher_here()).__name__
    'Watcher'
    """
    ipython: Any = sys.modules.get("IPython")  # a notebook has imported it
    shell = ipython.get_ipython() if ipython else None
    return Live(_Display) if shell is not None and hasattr(shell, "kernel") else Watcher()


class _Display:
    """IPython's display handle."""

    def __init__(self, html: str) -> None:
        from IPython.display import HTML, display

        self._html, self._handle = HTML, display(HTML(html), display_id=True)

    def update(self, html: str) -> None:
        self._handle.update(self._html(html))


class Live(Watcher):
    """A display that is drawn anew while something runs.

    Args:
        open_display: Shows HTML and returns what it can be replaced by.
        clock: Seconds.
    """

    def __init__(self, open_display: Callable[[str], Shown], *, clock: Callable[[], float] = time.monotonic) -> None:
        self._open, self._clock = open_display, clock
        self._shown: Shown | None = None
        self._begun, self._drawn = clock(), -math.inf
        self._name, self._unit, self._trained = "", "", ""
        self._total: int | None = None
        self._done = 0
        self._facts: Mapping[str, object] = {}
        self._notes: list[str] = []
        self._lines: dict[str, _Lines] = {}

    def stage(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        self._name, self._total, self._unit, self._done, self._facts = name, total, unit, 0, {}
        self._draw()

    def advance(self, done: int, **facts: object) -> None:
        self._done, self._facts = done, {**self._facts, **facts}
        self._draw()

    def point(self, point: Point) -> None:
        if point.stage != self._trained:
            self._trained, self._lines = point.stage, {}
        for name in {**point.losses, **point.scores}:
            self._lines.setdefault(name, _Lines()).add(name, point)

    def note(self, text: str) -> None:
        self._notes.append(text)
        self._draw()

    def done(self) -> None:
        """The display keeps how long it took and the notes; what came of it, its own card shows."""
        if self._shown is None and not self._notes:
            return
        self._show(Card("progress", f"done after {duration(self._clock() - self._begun)}", notices=self._notices()))

    def _draw(self) -> None:
        now = self._clock()
        early = not self._lines and now - self._begun < PATIENCE
        if early or now - self._drawn < PAUSE:
            return
        counted = [amount(self._done, self._total, self._unit)] if self._done else []
        facts = [fact(name, value) for name, value in self._facts.items() if value is not None]
        picture = curves({name: line.outcome() for name, line in self._lines.items()}) if self._lines else ""
        headline = ", ".join([*counted, *facts])
        self._show(Card("progress", self._name, headline=headline, notices=self._notices(), picture=picture))
        self._drawn = self._clock()  # a browser that is slow is asked less often

    def _notices(self) -> list[Notice]:
        return [Notice(note) for note in self._notes]

    def _show(self, card: Card) -> None:
        if self._shown is None:
            self._shown = self._open(draw(card))
        else:
            self._shown.update(draw(card))


class _Lines:
    """Loss and score of one prompt as they come."""

    def __init__(self) -> None:
        self._losses: list[tuple[int, float]] = []
        self._looks: list[tuple[int, float, float]] = []

    def add(self, name: str, point: Point) -> None:
        if math.isfinite(loss := point.losses.get(name, math.nan)):
            self._losses.append((point.step, loss))
        if math.isfinite(score := point.scores.get(name, math.nan)):
            self._looks.append((point.step, score, point.held_losses.get(name, math.nan)))
        if len(self._losses) > 2 * MOST_POINTS:
            pairs = zip(self._losses[::2], self._losses[1::2], strict=False)
            self._losses = [(right[0], (left[1] + right[1]) / 2) for left, right in pairs]

    def outcome(self) -> Outcome:
        """As the picture of a finished training takes it; nothing is kept yet, so no ring is drawn."""
        return Outcome(PromptTensors(), math.nan, math.nan, 0, "finished", tuple(self._losses), tuple(self._looks))

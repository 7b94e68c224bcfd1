"""How a recipe tells what it is doing; faces subclass this, the default is silent."""

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Point", "Watcher"]


@dataclass(frozen=True, slots=True)
class Point:
    """Numbers of a training at one step, by the name of the prompt (``seed 0``, ``fold 1``, ``rate 0.1``).

    Attributes:
        stage: ``probe`` or ``train``.
        step: Steps done.
        steps: Steps planned.
        losses: Training loss of the step.
        scores: Validation score, where the step was followed by a look.
        held_losses: Validation loss there.
    """

    stage: str
    step: int
    steps: int
    losses: Mapping[str, float] = field(default_factory=dict)
    scores: Mapping[str, float] = field(default_factory=dict)
    held_losses: Mapping[str, float] = field(default_factory=dict)


class Watcher:
    """Hears of stages, progress and remarks. Recipes never print."""

    def stage(self, name: str, *, total: int | None = None, unit: str = "") -> None:
        """A stage begins; the one before is over."""

    def advance(self, done: int, **facts: object) -> None:
        """So much of the stage is done; ``facts`` are worth showing (loss, metric, tokens a second, seconds left)."""

    def point(self, point: Point) -> None:
        """A step was taken or looked at."""

    def note(self, text: str) -> None:
        """Something the user should know."""

    def done(self) -> None:
        """Nothing more will come."""

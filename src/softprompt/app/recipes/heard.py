"""What a training tells, passed on: to the log of the run folder, to the watcher, to the trackers."""

import math
import statistics
import time
from collections.abc import Mapping

from softprompt.app.recipes.folder import RunFolder
from softprompt.app.tracking import Session
from softprompt.app.watch import Point, Watcher
from softprompt.lab.distillation import TEACHERS
from softprompt.lab.training.outcome import Event

__all__ = ["Heard"]

STAGES = {
    "probe": "probe the learning rate",
    "train": "train",
    f"{TEACHERS}: probe": "probe the learning rate of the teachers",
    f"{TEACHERS}: train": "train a prompt for each task, to teach them together",
}


class Heard:
    """Who is told of one training.

    Args:
        folder: Its log.
        watcher: Stages, progress and points.
        session: Points.
        name: Of the run, which the names of its prompts need not repeat.
    """

    def __init__(self, folder: RunFolder, watcher: Watcher, session: Session, *, name: str) -> None:
        self.folder, self.watcher, self.session, self.name = folder, watcher, session, name
        self.stage = ""
        self.begun = time.perf_counter()
        self.tokens = 0
        self.score: float | None = None

    def read(self, done: int, total: int) -> None:
        """Tokens read, and tokens in all."""
        if self.stage != "read":
            self._next("read the texts once", "read", total, "tokens")
        self.watcher.advance(done)

    def event(self, stage: str, event: Event) -> None:
        """A step, a look, a checkpoint or a note of a stage."""
        if self.stage != stage:
            self._next(STAGES[stage], stage, event.steps, "steps")
        if event.kind == "evaluate":
            self.score = _score(stage, event.values)
            self.folder.log("evaluate", stage=stage, step=event.step, values=event.values)
            scores, held = self._named(event, event.values), self._named(event, event.losses)
            self._tell(Point(stage, event.step, event.steps, scores=scores, held_losses=held))
        elif event.kind == "step":
            self.tokens += event.live_tokens
            elapsed = time.perf_counter() - self.begun
            mean = sum(event.losses.values()) / max(1, len(event.losses))
            self._tell(Point(stage, event.step, event.steps, losses=self._named(event, event.losses)))
            self.watcher.advance(event.step, loss=mean, score=self.score, tokens_per_s=self.tokens / max(elapsed, 1e-9))
            self.folder.log("step", stage=stage, step=event.step, losses=event.losses, seconds=round(event.seconds, 4))
        else:
            self.folder.log(event.kind, stage=stage, step=event.step)

    def _tell(self, point: Point) -> None:
        self.session.point(point)
        self.watcher.point(point)

    def _named(self, event: Event, numbers: Mapping[int, float]) -> dict[str, float]:
        """Numbers by the name of their prompt: ``fold 1`` instead of ``topic, fold 1``."""
        found = {}
        for number, value in numbers.items():
            name = event.names.get(number, f"prompt {number}")
            found["all rows" if name == self.name else name.removeprefix(f"{self.name}, ")] = value
        return found

    def _next(self, name: str, stage: str, total: int, unit: str) -> None:
        self.stage, self.begun, self.tokens = stage, time.perf_counter(), 0
        self.watcher.stage(name, total=total, unit=unit)


def _score(stage: str, values: Mapping[int, float]) -> float | None:
    """What the bar says of a look: of rates that are tried the best one's score, of folds and seeds their mean.

    >>> _score("train", {0: 0.5, 1: 0.7, 2: math.nan}), _score("probe", {0: 0.5, 1: 0.7})
    (0.6, 0.7)
    """
    finite = [value for value in values.values() if math.isfinite(value)]
    if not finite:
        return None
    return max(finite) if stage.endswith("probe") else statistics.fmean(finite)

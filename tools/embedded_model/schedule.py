"""When the learning rate rises, stays and falls: warm-up, stable, decay (Hu et al. 2024, arXiv:2404.06395).

The stable phase ends by steps, by active minutes or at a person's word, and can be taken up again tomorrow from the
checkpoint written before the decay. Knows nothing of models.
"""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

LONGEST_STEP_SECONDS = 60.0  # what seemed to take longer was paused from outside: the rest is not counted
RECENT_STEPS = 50


@dataclass(frozen=True)
class Schedule:
    """Linear warm-up, a plateau, and a linear decay of `decay_steps` down to `floor`.

    With neither `total_steps` nor `max_minutes` the plateau lasts until somebody asks for the decay.
    """

    warmup_steps: int = 100
    decay_steps: int = 500
    floor: float = 0.02
    total_steps: int | None = None
    max_minutes: float | None = None

    def scale(self, step: int, decay_start: int | None) -> float:
        """The factor on every learning rate at a step (counted from 0).

        >>> plan = Schedule(warmup_steps=4, decay_steps=10, floor=0.0)
        >>> [plan.scale(step, 20) for step in (0, 3, 20, 25, 29)]
        [0.25, 1.0, 1.0, 0.5, 0.1]
        """
        rise = min(1.0, (step + 1) / max(1, self.warmup_steps))
        if decay_start is None:
            return rise
        return min(rise, max(self.floor, (self.decay_steps - (step - decay_start)) / self.decay_steps))

    def decay_is_due(self, step: int, *, minutes: float, minutes_per_step: float, asked: bool) -> bool:
        """Whether the decay starts now: it was asked for, or starting later would overrun the steps or minutes.

        >>> Schedule(decay_steps=10, max_minutes=60).decay_is_due(500, minutes=51, minutes_per_step=1, asked=False)
        True
        """
        by_steps = self.total_steps is not None and step + self.decay_steps >= self.total_steps
        known_pace = step >= max(1, self.warmup_steps)  # the first steps compile and tell little
        by_time = self.max_minutes is not None and minutes + self.decay_steps * minutes_per_step >= self.max_minutes
        return asked or by_steps or (by_time and known_pace)

    def is_over(self, step: int, decay_start: int | None) -> bool:
        """Whether the decay, and with it the run, has ended."""
        return decay_start is not None and step >= decay_start + self.decay_steps


@dataclass
class ActiveTime:
    """Seconds a run has really worked: pauses (a stopped process, a sleeping machine) do not count."""

    seconds: float = 0.0
    _last: float | None = field(default=None, repr=False)
    _recent: deque[float] = field(default_factory=lambda: deque(maxlen=RECENT_STEPS), repr=False)

    def tick(self, now: float) -> None:
        """Note the start of the work, and then the end of each step, at monotonic time `now`.

        >>> clock = ActiveTime()
        >>> for now in (100.0, 140.0, 9000.0):  # paused after the first step
        ...     clock.tick(now)
        >>> clock.seconds, clock.per_step
        (100.0, 50.0)
        """
        if self._last is not None:
            self._recent.append(min(now - self._last, LONGEST_STEP_SECONDS))
            self.seconds += self._recent[-1]
        self._last = now

    @property
    def per_step(self) -> float:
        """Mean seconds of the recent steps; 0 before the first."""
        return fmean(self._recent) if self._recent else 0.0


def decay_asked(folder: Path) -> bool:
    """Whether somebody has put a file `DECAY` into the run folder."""
    return (folder / "DECAY").exists()

"""What a training tells while it runs, and what became of each prompt. Plain data."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from softprompt.core.tensors import PromptTensors

__all__ = ["Event", "Outcome", "Progress", "Stop"]

Stop = Literal["finished", "patience", "diverged", "pruned", "interrupted", "time"]


@dataclass(frozen=True)
class Event:
    """What a callback is told.

    Attributes:
        kind: ``step``, ``evaluate``, ``checkpoint`` or ``note``.
        step: Steps done.
        steps: Steps planned.
        losses: Training loss of the step by prompt; validation loss by prompt (``evaluate``).
        values: Validation score by prompt (``evaluate``).
        rate_factor: Where the schedule stands.
        live_tokens: Tokens that went through the model.
        seconds: Time of the step, of the evaluation, or of writing the checkpoint.
        seconds_left: Forecast to the end of this training, None before the first step.
        memory_bytes: Memory of the process, or of the accelerator where the model is on one.
        text: What the user should know (``note``).
        names: Of the prompts, for people: a seed, a fold, a rate.
    """

    kind: Literal["step", "evaluate", "checkpoint", "note"]
    step: int
    steps: int
    losses: Mapping[int, float] = field(default_factory=dict)
    values: Mapping[int, float] = field(default_factory=dict)
    rate_factor: float = 0.0
    live_tokens: int = 0
    seconds: float = 0.0
    seconds_left: float | None = None
    memory_bytes: int = 0
    text: str = ""
    names: Mapping[int, str] = field(default_factory=dict)

    @property
    def tokens_per_second(self) -> float:
        """Live tokens a second in this step.

        >>> Event("step", 1, 10, live_tokens=300, seconds=0.5).tokens_per_second
        600.0
        """
        return self.live_tokens / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of one prompt.

    Attributes:
        tensors: At its best validation score, or at the last look.
        value: That score; -inf where no evaluation was finite, nan for a prompt without validation rows.
        loss: Validation loss there.
        step: Where that was.
        stop: Why it ended.
        losses: (step, mean training loss since the evaluation before).
        evaluations: (step, score, validation loss).
    """

    tensors: PromptTensors
    value: float
    loss: float
    step: int
    stop: Stop
    losses: tuple[tuple[int, float], ...] = ()
    evaluations: tuple[tuple[int, float, float], ...] = ()


@dataclass
class Progress:
    """Where one prompt stands; everything here goes into the checkpoint."""

    value: float = -math.inf
    loss: float = math.inf
    step: int = 0
    stale: int = 0
    stop: Stop | None = None
    losses: list[tuple[int, float]] = field(default_factory=list)
    evaluations: list[tuple[int, float, float]] = field(default_factory=list)

    def judged(self, step: int, value: float, loss: float, *, better: bool, patience: int) -> None:
        """Take note of an evaluation, and whether it is the best so far; without progress for too long it ends."""
        self.evaluations.append((step, value, loss))
        if better:
            self.value, self.loss, self.step, self.stale = value, loss, step, 0
            return
        self.stale += 1
        if self.stale >= patience:
            self.stop = "patience"

    def unjudged(self, step: int) -> None:
        """Take note of a look at a prompt that has no validation rows."""
        self.value, self.step = math.nan, step

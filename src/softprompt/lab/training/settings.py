"""Settings of a training: one dial, ``effort``, sets every default that is left open."""

import math
from typing import Annotated, Literal

from pydantic import Field, ValidationInfo, field_validator

from softprompt.core.config import Settings

__all__ = ["EFFORTS", "PASSES", "Effort", "TrainingSettings"]

Effort = Literal["quick", "normal", "thorough"]


#: With fewer validation rows a look's score is mostly luck, and the vectors at the end of the schedule do better than
#: those of the best look: see docs/training.md.
FEW_ROWS = 200

#: Steps that are larger still overflow a float32 inside the optimiser.
MAX_RATE = 1e30


#: How often each row is seen, where the bounds of an effort allow: with 800 and 1,600 rows more was better up to about
#: that, and brought little beyond. Measured on the embedded model, see docs/training.md.
PASSES = 5


class Defaults(Settings):
    """What an effort stands for."""

    steps: int
    most: int
    seeds: int
    probe_steps: int
    rates: tuple[float, ...]
    evaluations: int
    patience: int

    def steps_for(self, num_rows: int, batch_size: int) -> int:
        """As many steps as see each row :data:`PASSES` times, within the bounds of the effort.

        >>> [EFFORTS["quick"].steps_for(rows, 16) for rows in (0, 240, 800, 1600, 4000)]
        [150, 150, 250, 500, 500]
        """
        return min(max(self.steps, math.ceil(PASSES * num_rows / batch_size)), self.most)


#: Rates are in units of the table's scale (see the methods): 0.1 moves a number by a tenth of what is typical. Measured
#: on the embedded model, see docs/training.md.
EFFORTS: dict[Effort, Defaults] = {
    "quick": Defaults(steps=150, most=500, seeds=1, probe_steps=25, rates=(0.03, 0.1, 0.3), evaluations=6, patience=4),
    "normal": Defaults(
        steps=300, most=1000, seeds=3, probe_steps=50, rates=(0.03, 0.1, 0.3), evaluations=10, patience=5
    ),
    "thorough": Defaults(
        steps=1000, most=3000, seeds=5, probe_steps=100, rates=(0.003, 0.01, 0.03, 0.1, 0.3), evaluations=20, patience=8
    ),
}


class TrainingSettings(Settings):
    """How prompts are trained. What is None follows from ``effort``."""

    effort: Effort = Field("normal", description="one dial for all defaults below")
    steps: int | None = Field(
        None, ge=1, description="optimiser steps; None: as the effort has them, more for many rows"
    )
    batch_size: int = Field(16, ge=1, description="rows a step")
    seeds: tuple[int, ...] | None = Field(
        None, min_length=1, description="one prompt is trained a seed; their spread is reported"
    )
    rate: float | None = Field(
        None, gt=0, le=MAX_RATE, description="learning rate in units of the table's scale; None probes"
    )
    rates: tuple[Annotated[float, Field(gt=0, le=MAX_RATE)], ...] | None = Field(
        None, min_length=1, description="rates of the probe"
    )
    probe_steps: int | None = Field(None, ge=1, description="steps of the probe")
    schedule: Literal["cosine", "linear", "constant"] = Field("cosine", description="of the rate, after the warm-up")
    warmup: float = Field(0.06, ge=0, lt=1, description="share of the steps with rising rate")
    optimizer: Literal["adamw", "adafactor"] = Field("adamw", description="adafactor keeps less state")
    weight_decay: float = Field(0.0, ge=0, description="decoupled, in units of the scale")
    clip: float | None = Field(1.0, gt=0, description="norm of a prompt's gradient at most; None: no clipping")
    class_weights: Literal["none", "balanced"] = Field(
        "none", description="balanced: rows of every label weigh as much together as those of any other"
    )
    smoothing: float = Field(0.0, ge=0, lt=1, description="label smoothing of the choice objective")
    noise: float = Field(0.0, ge=0, description="standard deviation of noise on the vectors, in units of the scale")
    dropout: float = Field(0.0, ge=0, lt=1, description="share of the vectors' numbers that are 0 in a step")
    adversarial: float = Field(
        0.0, ge=0, description="also learn where a step of this size (RMS) hurts most, in units of the scale; 2 passes"
    )
    max_rms: float | None = Field(
        None, gt=0, description="upper bound of each vector's RMS, in units of the scale; None: no bound"
    )
    evaluations: int | None = Field(None, ge=1, description="looks at the validation rows, evenly spaced")
    patience: int | None = Field(None, ge=1, description="looks without progress before a prompt stops")
    keep: Literal["auto", "best", "last"] = Field(
        "auto",
        description="best: the look that did best on validation rows; last: looks choose and stop nothing; auto: last "
        "where fewer than 200 rows judge",
    )
    validation_rows: int | None = Field(
        None, ge=1, description="rows a look; None: as many as cost a third of the training; the best is judged on all"
    )
    order_seed: int = Field(0, description="order of the rows, the same for all prompts")
    micro_tokens: int | None = Field(None, ge=1, description="live tokens in one backward pass; None: by memory")
    recompute: Literal["auto", "always", "never"] = Field(
        "auto", description="recompute layers instead of keeping them"
    )
    checkpoint_every: float = Field(30.0, gt=0, description="seconds between checkpoints")
    max_time: float | None = Field(None, gt=0, description="seconds for the whole run")
    cache_memory: int | None = Field(
        None, ge=0, description="bytes of frozen states in RAM; None: a third of what is free"
    )
    cache_device: int | None = Field(None, ge=0, description="bytes on the accelerator; None: a third of what is free")
    cache_file: int | None = Field(
        None, ge=0, description="bytes in a mapped file, for what does not fit into RAM; None: a third of the free disk"
    )
    keep_cache: bool = Field(False, description="leave the state file for the next run over the same texts")

    @field_validator("keep_cache")
    @classmethod
    def _has_room(cls, value: bool, others: ValidationInfo) -> bool:
        if value and others.data.get("cache_file") == 0:
            raise ValueError("it leaves a file, and cache_file: 0 allows none; leave one of the two out")
        return value

    def resolved(self, num_rows: int = 0) -> "TrainingSettings":
        """The same with nothing left open that the effort decides.

        Args:
            num_rows: To learn from; more rows get more steps, see :meth:`Defaults.steps_for`.

        >>> TrainingSettings(effort="quick").resolved().seeds
        (0,)
        >>> TrainingSettings(effort="quick").resolved(1600).steps, TrainingSettings(steps=7).resolved(1600).steps
        (500, 7)
        """
        base = EFFORTS[self.effort]
        seeds = tuple(range(base.seeds)) if self.seeds is None else self.seeds
        open_ = {name: getattr(base, name) for name in ("probe_steps", "rates", "evaluations", "patience")}
        open_ |= {"steps": base.steps_for(num_rows, self.batch_size)}
        filled = {name: value for name, value in open_.items() if getattr(self, name) is None}
        return self.model_copy(update={**filled, "seeds": seeds})

    def keeps(self, num_rows: int) -> Literal["best", "last"]:
        """What is kept of a prompt that so many validation rows judge.

        >>> TrainingSettings().keeps(60), TrainingSettings().keeps(1000), TrainingSettings(keep="best").keeps(60)
        ('last', 'best', 'best')
        """
        if self.keep == "auto":
            return "last" if num_rows < FEW_ROWS else "best"
        return self.keep

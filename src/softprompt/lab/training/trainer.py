"""K prompts trained in one process over one model and one set of frozen states.

Clipping, schedule, early stopping and the handling of not-finite numbers are per prompt, so K prompts together are K
prompts alone. The order of the rows and the noise are functions of seed and step, so a resumed run needs nothing but
its step.

Knows methods, rows and the model; no templates and no files but its checkpoint. It never prints: progress, tracking and
interruption live in the callbacks.
"""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from softprompt.core.records import Batch, Row
from softprompt.core.tensors import PromptTensors
from softprompt.data.loader import Order, micro_batches
from softprompt.lab.training import checkpoint
from softprompt.lab.training.optimisers import PromptOptimiser, scheduled
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.methods.base import Method
from softprompt.model.prompted import PromptedModel, num_tokens
from softprompt.model.states import StateStore

__all__ = ["Event", "Outcome", "Trainer"]

Stop = Literal["finished", "patience", "diverged", "interrupted", "time"]


@dataclass(frozen=True)
class Event:
    """What a callback is told.

    Attributes:
        kind: ``step``, ``evaluate`` or ``checkpoint``.
        step: Steps done.
        steps: Steps planned.
        losses: Training loss of the step by prompt.
        values: Validation score by prompt (``evaluate``).
        rate_factor: Where the schedule stands.
        live_tokens: Tokens that went through the model.
        seconds: Time of the step.
    """

    kind: Literal["step", "evaluate", "checkpoint"]
    step: int
    steps: int
    losses: Mapping[int, float] = field(default_factory=dict)
    values: Mapping[int, float] = field(default_factory=dict)
    rate_factor: float = 0.0
    live_tokens: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What became of one prompt.

    Attributes:
        tensors: At its best validation score.
        value: That score.
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
class _Progress:
    """Where one prompt stands; everything here goes into the checkpoint."""

    value: float = -math.inf
    loss: float = math.inf
    step: int = 0
    stale: int = 0
    stop: Stop | None = None
    losses: list[tuple[int, float]] = field(default_factory=list)
    evaluations: list[tuple[int, float, float]] = field(default_factory=list)


class Trainer:
    """One training.

    Args:
        model: The frozen model.
        method: K prompts at their starts.
        problem: Rows of the K prompts.
        settings: Resolved.
        rates: Peak rate by prompt.
        store: Frozen states, filled; None computes every row whole.
        path: Of the checkpoint; None keeps none.
        pins: What must not change between a checkpoint and its resumption.
        on_event: Called after every step, evaluation and checkpoint.
        clock: Seconds.
    """

    def __init__(  # noqa: PLR0913 - the parts of a training, each its own thing
        self,
        model: PromptedModel,
        method: Method[Any],
        problem: Problem,
        *,
        settings: TrainingSettings,
        rates: Sequence[float],
        store: StateStore | None = None,
        path: Path | None = None,
        pins: Mapping[str, Any] | None = None,
        on_event: Callable[[Event], None] = lambda event: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.model, self.method, self.problem, self.settings = model, method, problem, settings
        self.store, self.path, self.pins = store, path, dict(pins or {})
        self.on_event, self.clock = on_event, clock
        assert settings.steps, "settings are not resolved"
        assert settings.evaluations, "settings are not resolved"
        self.steps = settings.steps
        self.optimisers = [
            PromptOptimiser(
                method.parameters_of(k), rate=rates[k], kind=settings.optimizer, weight_decay=settings.weight_decay
            )
            for k in range(problem.num_prompts)
        ]
        self.progress = [_Progress() for _ in range(problem.num_prompts)]
        self.best = [self._copy(k) for k in range(problem.num_prompts)]
        self.step = 0
        self._merged: dict[int, Row] = {}
        self._merged_for: tuple[int, ...] = ()
        indices = [i for i in range(len(problem.train[0])) if any(rows[i] is not None for rows in problem.train)]
        self._indices = indices
        lengths = [num_tokens(self._row(i, tuple(range(problem.num_prompts)))) for i in indices]
        self.order = Order(lengths, batch_size=settings.batch_size, seed=0)
        self._every = max(1, math.ceil(self.steps / settings.evaluations))
        self._recent: list[dict[int, float]] = []
        self._validation_rows: tuple[tuple[int, ...], list[int], list[Row]] | None = None

    @property
    def active(self) -> tuple[int, ...]:
        """Prompts that are still trained."""
        return tuple(k for k, one in enumerate(self.progress) if one.stop is None)

    # --- the loop

    def run(self) -> list[Outcome]:
        """Train to the end, or from the checkpoint to the end; Ctrl-C and the time limit keep the best so far.

        Raises:
            TrainingError: ``training.resume_mismatch``, ``training.bad_checkpoint``.
            ResourceError: The disk is full; the checkpoint before is untouched.
        """
        if self.path is not None and self.path.exists():
            self._resume()
        start = saved = self.clock()
        try:
            if self.step == 0 and not self.progress[0].evaluations:
                self._evaluate()
            while self.step < self.steps and self.active:
                self._step()
                if self.step % self._every == 0 or self.step == self.steps:
                    self._evaluate()
                now = self.clock()
                if self.path is not None and (now - saved >= self.settings.checkpoint_every):
                    self._save()
                    saved = now
                if self.settings.max_time is not None and now - start >= self.settings.max_time:
                    self._end("time")
        except KeyboardInterrupt:
            if self.path is not None:
                self._save()
            self._end("interrupted")
        self._end("finished")
        return [self._outcome(k) for k in range(self.problem.num_prompts)]

    def _step(self) -> None:
        start = self.clock()
        _, positions = self.order[self.step]
        indices = [self._indices[i] for i in positions]
        factor = scheduled(self.step, self.steps, warmup=self.settings.warmup, shape=self.settings.schedule)
        live = sum(num_tokens(row) for row in self._rows(indices, self.active))
        losses = self._update(indices, self.active, factor)
        self.step += 1
        self._recent.append(losses)
        self.on_event(
            Event(
                "step",
                self.step,
                self.steps,
                losses=losses,
                rate_factor=factor,
                live_tokens=live,
                seconds=self.clock() - start,
            )
        )

    def _update(self, indices: Sequence[int], prompts: tuple[int, ...], factor: float) -> dict[int, float]:
        """One optimiser step of the given prompts on the given examples; returns their losses.

        Prompts share lines, and a not-finite number of one would spread to its neighbours through masked attention. So
        when a joint step is not finite, every prompt takes it alone, and only those that are to blame are stopped.
        """
        rows = self._rows(indices, prompts)
        sums = self._backward(rows) if rows else {}
        if len(prompts) > 1 and not self._finite(sums):
            for optimiser in self.optimisers:
                optimiser.zero()
            alone = [self._update(indices, (k,), factor) for k in prompts]
            return {k: loss for losses in alone for k, loss in losses.items()}
        for k, (total, weight) in sums.items():
            norm = self.optimisers[k].step(factor=factor, divide=max(weight, 1e-12), clip=self.settings.clip)
            if not math.isfinite(norm) or not math.isfinite(total):
                self._diverged(k)
        self.method.after_step()
        return {k: total / max(weight, 1e-12) for k, (total, weight) in sums.items()}

    def _finite(self, sums: Mapping[int, tuple[float, float]]) -> bool:
        return all(math.isfinite(total) for total, _ in sums.values()) and all(
            bool(parameter.grad.isfinite().all())
            for k in sums
            for parameter in self.method.parameters_of(k)
            if parameter.grad is not None
        )

    def _backward(self, rows: Sequence[Row]) -> dict[int, tuple[float, float]]:
        """Gradients of the summed losses; returns sum of losses and of weights by prompt."""
        sums: dict[int, tuple[float, float]] = {}
        budget = self.settings.micro_tokens or (1 << 60)
        noise = self._noise() if self.settings.noise else None
        for piece in micro_batches([num_tokens(row) for row in rows], token_budget=budget):
            batch = Batch(tuple(rows[i] for i in piece))
            tensors = self.method(noise=noise)
            state = self.store.get(batch) if self.store is not None else None
            scores = self.model.scores(
                batch, state, prompts=tensors, checkpoint=self.settings.recompute == "always" and state is None
            )
            losses = self.problem.losses(scores, batch.rows, smoothing=self.settings.smoothing)
            torch.stack([loss for loss, _ in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
            for k, (loss, weight) in losses.items():
                total, count = sums.get(k, (0.0, 0.0))
                sums[k] = (total + float(loss.detach()), count + float(weight))
        return sums

    def _noise(self) -> Callable[[int, str, torch.Size], Tensor]:
        seeds = self.problem.seeds or range(self.problem.num_prompts)

        def draw(prompt: int, slot: str, shape: torch.Size) -> Tensor:
            name = sum(map(ord, slot))
            generator = torch.Generator().manual_seed((seeds[prompt] << 40) + (name << 24) + self.step)
            return torch.randn(shape, generator=generator) * self.settings.noise

        return draw

    # --- judging

    def _evaluate(self) -> None:
        active, indices, rows = self._validation()
        values: dict[int, float] = {}
        with torch.no_grad():
            tensors = self.method()
            scores = self.model.score_all(rows, store=self.store, prompts=tensors)
        for k in active:
            one = self.progress[k]
            mine = scores[k]
            values[k] = self.problem.judge(k, mine, [indices[i] for i in mine.rows.tolist()])
            ((_, (loss, weight)),) = self.problem.losses({k: mine}, rows, smoothing=0.0).items()
            mean = float(loss) / max(float(weight), 1e-12)
            recent = [losses[k] for losses in self._recent if k in losses]
            if recent:
                one.losses.append((self.step, sum(recent) / len(recent)))
            one.evaluations.append((self.step, values[k], mean))
            if (values[k], -mean) > (one.value, -one.loss):
                one.value, one.loss, one.step, one.stale = values[k], mean, self.step, 0
                self.best[k] = self._copy(k)
            else:
                one.stale += 1
                if one.stale >= (self.settings.patience or 1):
                    one.stop = "patience"
        self._recent.clear()
        self.on_event(Event("evaluate", self.step, self.steps, values=values))

    def _validation(self) -> tuple[tuple[int, ...], list[int], list[Row]]:
        """Prompts, example indices and merged rows to judge; kept until a prompt stops."""
        if self._validation_rows is None or self._validation_rows[0] != self.active:
            part = self.problem.validation
            found = [(i, self.problem.merged(part, i, self.active)) for i in range(len(part[0]))]
            there = [(i, row) for i, row in found if row is not None]
            self._validation_rows = (self.active, [i for i, _ in there], [row for _, row in there])
        return self._validation_rows

    # --- prompts that end

    def _diverged(self, k: int) -> None:
        """Back to the best, and no further: its numbers must not reach its neighbours."""
        self.progress[k].stop = "diverged"
        self._restore(k, self.best[k])

    def _end(self, why: Stop) -> None:
        for one in self.progress:
            one.stop = one.stop or why

    def _copy(self, k: int) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.method.named_parameters_of(k)}

    @torch.no_grad()
    def _restore(self, k: int, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self.method.named_parameters_of(k):
            parameter.copy_(tensors[name])

    def _outcome(self, k: int) -> Outcome:
        one = self.progress[k]
        self._restore(k, self.best[k])
        assert one.stop is not None
        return Outcome(
            self.method.materialise()[k],
            one.value,
            one.loss,
            one.step,
            one.stop,
            tuple(one.losses),
            tuple(one.evaluations),
        )

    def _rows(self, indices: Sequence[int], prompts: tuple[int, ...]) -> list[Row]:
        """The rows that ask the given prompts about the given examples, less those that ask none."""
        return [row for i in indices if (row := self._row(i, prompts)).target]

    def _row(self, index: int, prompts: tuple[int, ...]) -> Row:
        if prompts != self._merged_for:
            self._merged, self._merged_for = {}, prompts
        if index not in self._merged:
            self._merged[index] = self.problem.merged(self.problem.train, index, prompts) or Row(())
        return self._merged[index]

    # --- checkpoints

    def _save(self) -> None:
        assert self.path is not None
        tensors = {f"method.{name}": value for name, value in self.method.state_dict().items()}
        for k, optimiser in enumerate(self.optimisers):
            tensors |= {f"optimiser.{k}.{name}": value for name, value in optimiser.tensors().items()}
            tensors |= {f"best.{k}.{name}": value for name, value in self.best[k].items()}
        meta = {
            "pins": self.pins,
            "step": self.step,
            "recent": [{str(k): loss for k, loss in losses.items()} for losses in self._recent],
            "progress": [vars(one) for one in self.progress],
        }
        checkpoint.write(self.path, tensors, meta)
        self.on_event(Event("checkpoint", self.step, self.steps))

    def _resume(self) -> None:
        assert self.path is not None
        tensors, meta = checkpoint.read(self.path)
        checkpoint.check_pins(self.pins, meta["pins"])
        self.step = meta["step"]
        self._recent = [{int(k): loss for k, loss in losses.items()} for losses in meta["recent"]]
        self.progress = [
            _Progress(**{**one, **{name: [tuple(e) for e in one[name]] for name in ("losses", "evaluations")}})
            for one in meta["progress"]
        ]
        self.method.load_state_dict(_below(tensors, "method."))
        for k, optimiser in enumerate(self.optimisers):
            optimiser.restore(_below(tensors, f"optimiser.{k}."))
            self.best[k] = _below(tensors, f"best.{k}.")


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

"""K prompts trained in one process over one model and one set of frozen states.

Clipping, schedule, early stopping and the handling of not-finite numbers are per prompt, so K prompts together are K
prompts alone; prompts that share parameters are one group in all of this, and the law holds for groups. The order of
the rows and the noise are functions of seed and step, so a resumed run needs nothing but its step.

Knows methods, rows and the model; no templates and no files but its checkpoint. It never prints: progress, tracking and
interruption live in the callbacks.
"""

import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
from torch import Tensor

from softprompt.core.errors import ResourceError
from softprompt.core.files import tidy
from softprompt.data.loader import Order
from softprompt.lab.training import checkpoint
from softprompt.lab.training.gradients import Asked, DoesNotFit, Gradients, Sums
from softprompt.lab.training.looks import Look, Looks
from softprompt.lab.training.memory import memory_in_use
from softprompt.lab.training.optimisers import PromptOptimiser, scheduled
from softprompt.lab.training.outcome import Event, Outcome, Progress, Stop
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.backbones.weights.quantised import require_training
from softprompt.model.methods.base import Method
from softprompt.model.prompted import PromptedModel
from softprompt.model.states import StateStore

__all__ = ["Ends", "Event", "Outcome", "Trainer", "row_order"]

#: Step and score by prompt, after a look -> the prompts that are not worth going on with.
Ends = Callable[[int, Mapping[int, float]], Collection[int]]

#: Of one group: by prompt the sum of its weighted losses and of the weights; the gradients of the group's parameters.
Part = tuple[dict[int, tuple[float, float]], list[Tensor | None]]


def row_order(lengths: Sequence[int], settings: TrainingSettings) -> tuple[list[int], Order]:
    """Examples that anybody learns from, and the order of these positions: batches of similar length, shuffled.

    One order, of ``order_seed``, serves all prompts: they learn from a text at the same time, and it is read once.
    """
    places = [i for i, length in enumerate(lengths) if length]
    order = Order([lengths[i] for i in places], batch_size=settings.batch_size, seed=settings.order_seed)
    return places, order


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
        ends: Says after a look which prompts to give up; their memory is freed.
        clock: Seconds.

    Raises:
        ModelError: ``model.cannot_train`` for a model that gives no right gradient.
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
        ends: Ends = lambda step, values: (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        require_training(model.backbone.spec)
        self.method, self.problem, self.settings = method, problem, settings
        if settings.keep == "best":
            problem.require_judged()
        self.keeps = [settings.keeps(sum(row is not None for row in rows)) for rows in problem.validation]
        self.path, self.pins = path, dict(pins or {})
        self.on_event, self.ends, self.clock = on_event, ends, clock
        assert settings.steps, "settings are not resolved"
        assert settings.evaluations, "settings are not resolved"
        self.steps = settings.steps
        self.gradients = Gradients(model, method, problem, settings, store)
        self.looks = Looks(model, method, problem, settings, store)
        self.groups = method.groups
        self.optimisers = [
            PromptOptimiser(
                (parameter for k in group for parameter in method.parameters_of(k)),
                rate=rates[group[0]],
                kind=settings.optimizer,
                weight_decay=settings.weight_decay,
            )
            for group in self.groups
        ]
        self.progress = [Progress() for _ in range(problem.num_prompts)]
        self.best = [self._copy(k) for k in range(problem.num_prompts)]
        self.step = 0
        self.notes: list[str] = []
        self._places, self.order = row_order(problem.row_lengths, settings)
        self._every = max(1, math.ceil(self.steps / settings.evaluations))
        self._recent: list[dict[int, float]] = []
        self._evaluated = -1
        self._apart = False
        self._torn = False
        self._merged: dict[int, Asked | None] = {}
        self._merged_for: tuple[int, ...] = ()
        self._device = model.backbone.spec.device
        self._step_seconds, self._look_seconds = 0.0, 0.0

    @property
    def active(self) -> tuple[int, ...]:
        """Prompts that are still trained; prompts of a group end together."""
        return tuple(k for k, one in enumerate(self.progress) if one.stop is None)

    @property
    def _active_groups(self) -> list[int]:
        return [g for g, group in enumerate(self.groups) if self.progress[group[0]].stop is None]

    # --- the loop

    def run(self) -> list[Outcome]:
        """Train to the end, or from the checkpoint to the end; Ctrl-C and the time limit keep the best so far.

        Raises:
            TrainingError: ``training.resume_mismatch``, ``training.bad_checkpoint``.
            ResourceError: ``resource.out_of_memory``. A disk that is full ends nothing: it is a note.
        """
        start = saved = self.clock()
        if self.path is not None:
            tidy(self.path)
            if self.path.exists():
                self._resume()
        try:
            while True:
                if self._due():
                    self._evaluate()
                if self.step >= self.steps or not self.active:
                    self._save()
                    break
                if self._is_late(start):
                    self._save()
                    if self._evaluated != self.step:
                        self._evaluate()
                    self._end("time")
                    break
                if self.clock() - saved >= self.settings.checkpoint_every:
                    self._save()
                    saved = self.clock()
                self._step()
            if self.looks.partial:
                self._judge_best()
        except KeyboardInterrupt:
            if not self._torn:
                self._save()
            self._end("interrupted")
        self._end("finished")
        return [self._outcome(k) for k in range(self.problem.num_prompts)]

    def _due(self) -> bool:
        if self._evaluated == self.step or not self.active:
            return False
        return self.step % self._every == 0 or self.step >= self.steps

    def _is_late(self, start: float) -> bool:
        """Whether the time is up, less what a last look takes."""
        limit = self.settings.max_time
        return limit is not None and self.clock() - start + self._look_seconds >= limit

    @contextmanager
    def _whole(self) -> Iterator[None]:
        """Ctrl-C in here leaves some prompts changed and others not: that is no state to write down."""
        self._torn = True
        yield
        self._torn = False

    # --- learning

    def _step(self) -> None:
        start = self.clock()
        prompts = self.active
        _, positions = self.order[self.step]
        rows = self._rows([self._places[i] for i in positions], prompts)
        factor = scheduled(self.step, self.steps, warmup=self.settings.warmup, shape=self.settings.schedule)
        losses = self._update(rows, [self._places[i] for i in positions], prompts, factor)
        self.gradients.forget()
        seconds = self.clock() - start
        self._step_seconds = seconds if not self._step_seconds else 0.9 * self._step_seconds + 0.1 * seconds
        self._tell("step", losses=losses, rate_factor=factor, live=sum(one.live for one in rows), seconds=seconds)

    def _update(
        self, rows: Sequence[Asked], indices: Sequence[int], prompts: tuple[int, ...], factor: float
    ) -> dict[int, float]:
        """One optimiser step of all prompts; returns their losses.

        Prompts share lines, and a not-finite number of one would spread to its neighbours through masked attention. So
        when a joint step is not finite, every prompt takes it alone, and only those that are to blame are stopped.
        """
        parts = self._joint(rows) if not self._apart else None
        if parts is None:
            parts = {}
            for g in self._active_groups:
                parts |= self._alone(g, indices)
        losses: dict[int, float] = {}
        with self._whole():
            for g, (sums, grads) in parts.items():
                for parameter, grad in zip(self.optimisers[g].parameters, grads, strict=True):
                    parameter.grad = grad
                weight = max(sum(weight for _, weight in sums.values()), 1e-12)
                norm = self.optimisers[g].step(factor=factor, divide=weight, clip=self.settings.clip)
                losses |= {k: total / max(weight, 1e-12) for k, (total, weight) in sums.items()}
                if not math.isfinite(norm) or not all(math.isfinite(total) for total, _ in sums.values()):
                    self._diverged(g)
            self.method.after_step()
            self.step += 1
            self._recent.append(losses)
        return losses

    def _joint(self, rows: Sequence[Asked]) -> "dict[int, Part] | None":
        """Sums and gradients of all groups in one pass; None where it is not finite or does not fit."""
        self.gradients.forget()
        try:
            sums = self.gradients(rows, step=self.step) if rows else {}
        except DoesNotFit:
            if len(self._active_groups) == 1:
                raise self._too_large() from None
            self._apart = True
            return None
        found = {g: self._part(g, sums) for g, group in enumerate(self.groups) if any(k in sums for k in group)}
        finite = all(
            all(math.isfinite(total) for total, _ in own.values())
            and all(grad is None or bool(grad.isfinite().all()) for grad in grads)
            for own, grads in found.values()
        )
        return found if finite or len(found) == 1 else None

    def _alone(self, g: int, indices: Sequence[int]) -> "dict[int, Part]":
        self.gradients.forget()
        rows = [self.problem.merged(self.problem.train, i, self.groups[g]) for i in indices]
        asked = [self.gradients.asked(row) for row in rows if row is not None]
        try:
            sums = self.gradients(asked, step=self.step) if asked else {}
        except DoesNotFit:
            raise self._too_large() from None
        return {g: self._part(g, sums)} if sums else {}

    def _part(self, g: int, sums: Sums) -> "Part":
        own = {k: sums[k] for k in self.groups[g] if k in sums}
        return own, [parameter.grad for parameter in self.optimisers[g].parameters]

    def _too_large(self) -> ResourceError:
        return ResourceError(
            "resource.out_of_memory",
            "one row of one prompt needs more memory than the device has",
            cure="lower max_tokens, set training.recompute: always, or use a smaller dtype",
        )

    def _rows(self, indices: Sequence[int], prompts: tuple[int, ...]) -> list[Asked]:
        """The rows that ask the given prompts about the given examples, less those that ask none."""
        if prompts != self._merged_for:
            self._merged, self._merged_for = {}, prompts
        for i in indices:
            if i not in self._merged:
                row = self.problem.merged(self.problem.train, i, prompts)
                self._merged[i] = None if row is None else self.gradients.asked(row)
        return [asked for i in indices if (asked := self._merged[i]) is not None]

    # --- judging

    def _evaluate(self) -> None:
        start = self.clock()
        looks = self.looks(self.active)
        with self._whole():
            for k in self.active:
                one = self.progress[k]
                recent = [losses[k] for losses in self._recent if k in losses]
                if recent:
                    one.losses.append((self.step, sum(recent) / len(recent)))
            for g in self._active_groups:
                if self._takes(g, looks):
                    for k in self.groups[g]:
                        self.best[k] = self._copy(k)
            self._recent.clear()
            self._evaluated = self.step
        self._look_seconds = self.clock() - start
        values, losses = ({k: look[i] for k, look in looks.items()} for i in (0, 1))
        for k in self.ends(self.step, {k: values[k] for k in self.active if k in values}):
            self._prune(k)
        self._tell("evaluate", values=values, losses=losses, seconds=self._look_seconds)

    def _takes(self, g: int, looks: Look) -> bool:
        """Whether a group is to be kept as it is now; it may end here.

        It is better than before if its mean score is (equal scores: the lower mean loss). Where looks choose nothing,
        every one takes the place of the one before.
        """
        judged = [k for k in self.groups[g] if k in looks]
        for k in set(self.groups[g]).difference(judged):
            self.progress[k].unjudged(self.step)
        if any(math.isnan(looks[k][0]) for k in judged):
            self._diverged(g)
            return False
        now = [fmean(looks[k][i] for k in judged) for i in (0, 1)] if judged else [0.0, 0.0]
        best = [fmean(getattr(self.progress[k], name) for k in judged) for name in ("value", "loss") if judged]
        chosen = any(self.keeps[k] == "best" for k in judged)
        better = not chosen or (now[0], -now[1]) > (best[0], -best[1])
        for k in judged:
            self.progress[k].judged(self.step, *looks[k], better=better, patience=self.settings.patience or 1)
        return better

    def _judge_best(self) -> None:
        """The best of each prompt on all validation rows."""
        prompts = tuple(k for k, one in enumerate(self.progress) if math.isfinite(one.value) and self.best[k])
        for k, tensors in enumerate(self.best):
            self._restore(k, tensors)
        for k, (value, loss) in (self.looks(prompts, all_rows=True) if prompts else {}).items():
            self.progress[k].value, self.progress[k].loss = value, loss

    # --- prompts that end

    def _diverged(self, g: int) -> None:
        """Back to the best, and no further: its numbers must not reach its neighbours."""
        for k in self.groups[g]:
            self.progress[k].stop = "diverged"
            self._restore(k, self.best[k])

    def _prune(self, k: int) -> None:
        """Give a prompt up: it stays as it is, and what only learning needs is freed."""
        g = next(g for g, group in enumerate(self.groups) if k in group)
        for one in self.groups[g]:
            self.progress[one].stop = "pruned"
            self.best[one] = {}
        self.optimisers[g].free()

    def _end(self, why: Stop) -> None:
        for one in self.progress:
            one.stop = one.stop or why

    def _copy(self, k: int) -> dict[str, Tensor]:
        return {name: parameter.detach().clone() for name, parameter in self.method.named_parameters_of(k)}

    @torch.no_grad()
    def _restore(self, k: int, tensors: Mapping[str, Tensor]) -> None:
        for name, parameter in self.method.named_parameters_of(k) if tensors else ():
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

    # --- telling

    def _tell(self, kind: Any, *, live: int = 0, **facts: Any) -> None:
        left = None
        if self._step_seconds:
            looks = (self.steps - self.step) // self._every
            left = (self.steps - self.step) * self._step_seconds + looks * self._look_seconds
        self.on_event(
            Event(
                kind,
                self.step,
                self.steps,
                live_tokens=live,
                seconds_left=left,
                memory_bytes=memory_in_use(self._device),
                **facts,
            )
        )

    # --- checkpoints

    def _save(self) -> None:
        """Write the checkpoint; where that fails the one before stays, and the training goes on with a note."""
        if self.path is None:
            return
        start = self.clock()
        tensors = {f"method.{name}": value for name, value in self.method.state_dict().items()}
        for g, optimiser in enumerate(self.optimisers):
            tensors |= {f"optimiser.{g}.{name}": value for name, value in optimiser.tensors().items()}
        for k, best in enumerate(self.best):
            tensors |= {f"best.{k}.{name}": value for name, value in best.items()}
        meta = {
            "pins": self.pins,
            "step": self.step,
            "evaluated": self._evaluated,
            "micro_tokens": self.gradients.micro_tokens,
            "apart": self._apart,
            "recent": [{str(k): loss for k, loss in losses.items()} for losses in self._recent],
            "progress": [vars(one) for one in self.progress],
        }
        try:
            checkpoint.write(self.path, tensors, meta)
        except ResourceError as error:
            text = f"no checkpoint at step {self.step}: {error}"
            if not self.notes:  # said once, tried again every time
                self.notes.append(text)
                self._tell("note", text=text)
            return
        self._tell("checkpoint", seconds=self.clock() - start)

    def _resume(self) -> None:
        assert self.path is not None
        tensors, meta = checkpoint.read(self.path)
        checkpoint.check_pins(self.pins, meta["pins"])
        self.step, self._evaluated = meta["step"], meta["evaluated"]
        self.gradients.micro_tokens, self._apart = meta["micro_tokens"], meta["apart"]
        self._recent = [{int(k): loss for k, loss in losses.items()} for losses in meta["recent"]]
        self.progress = [
            Progress(**{**one, **{name: [tuple(e) for e in one[name]] for name in ("losses", "evaluations")}})
            for one in meta["progress"]
        ]
        self.method.load_state_dict(_below(tensors, "method."))
        for g, optimiser in enumerate(self.optimisers):
            optimiser.restore(_below(tensors, f"optimiser.{g}."))
        self.best = [_below(tensors, f"best.{k}.") for k in range(len(self.best))]


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}

"""The gradients of one step: in pieces that fit the memory, what is drawn a function of seed and step.

Knows methods, rows and the model; no optimiser and no schedule.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from softprompt.core.records import Batch, Row
from softprompt.data.loader import micro_batches
from softprompt.lab.training.perturbations import Adversary, drawn
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.backbones.base import Backbone
from softprompt.model.methods.base import Method, Perturbation
from softprompt.model.prompted import PromptedModel
from softprompt.model.states import StateStore

__all__ = ["Asked", "DoesNotFit", "Gradients", "Sums", "live_tokens"]

#: By prompt: sum of the weighted losses, sum of the weights.
Sums = Mapping[int, tuple[float, float]]


class DoesNotFit(Exception):
    """Even one row a piece needs more memory than there is."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A row that asks some prompts, and how many of its tokens are live."""

    row: Row
    live: int


def live_tokens(backbone: Backbone, row: Row, *, cached: bool) -> int:
    """Tokens of a row that go through the model in a step: those before the first soft slot only if not cached.

    >>> from softprompt.core.records import Node, Readout, Soft, Text
    >>> from softprompt.testing import tiny
    >>> row = Row((Node(Text((5, 6, 7))), Node(Soft("soft", 2), 0), Node(Readout(), 1)))
    >>> live_tokens(tiny(), row, cached=True), live_tokens(tiny(), row, cached=False)
    (2, 5)
    """
    return backbone.plan(Batch((row,)), frozen="soft" if cached else None).live_tokens


class Gradients:
    """Puts gradients of summed losses into a method's parameters.

    Args:
        model: The frozen model.
        method: K prompts.
        problem: For losses and seeds.
        settings: Smoothing, perturbations, memory.
        store: Frozen states; None computes every row whole.
    """

    def __init__(
        self,
        model: PromptedModel,
        method: Method[Any],
        problem: Problem,
        settings: TrainingSettings,
        store: StateStore | None,
    ) -> None:
        self.model, self.method, self.problem, self.settings, self.store = model, method, problem, settings, store
        self.micro_tokens = settings.micro_tokens or (1 << 60)

    def asked(self, row: Row) -> Asked:
        """The row with its live tokens counted: those before the first soft slot are live only without a store."""
        return Asked(row, live_tokens(self.model.backbone, row, cached=self.store is not None))

    def __call__(self, rows: Sequence[Asked], *, step: int) -> Sums:
        """Add up the gradients of one step; where memory runs out, smaller pieces are tried from the start.

        Raises:
            DoesNotFit: One row is too much. The parameters have no gradients then.
        """
        while True:
            pieces = micro_batches([asked.live for asked in rows], token_budget=self.micro_tokens)
            try:
                return self._passes([[rows[i] for i in piece] for piece in pieces], step)
            except torch.OutOfMemoryError:
                self.forget()
                largest = max((len(piece) * rows[piece[0]].live for piece in pieces if len(piece) > 1), default=0)
                if not largest:
                    raise DoesNotFit from None
                self.micro_tokens = largest // 2

    def forget(self) -> None:
        """No gradients."""
        for parameter in self.method.parameters():
            parameter.grad = None

    def _passes(self, pieces: Sequence[Sequence[Asked]], step: int) -> Sums:
        """One pass over the rows, or a second one where the first found the vectors to be weakest."""
        seeds = self.problem.seeds or range(self.problem.num_prompts)
        change = drawn(self.settings, seeds=seeds, step=step)
        if not self.settings.adversarial:
            return self._pass(pieces, change)
        adversary = Adversary(self.settings.adversarial, change)
        first, second = self._pass(pieces, adversary.watch), self._pass(pieces, adversary.attack)
        return {k: (total + second[k][0], weight + second[k][1]) for k, (total, weight) in first.items()}

    def _pass(self, pieces: Sequence[Sequence[Asked]], change: Perturbation | None) -> Sums:
        sums: dict[int, tuple[float, float]] = {}
        for piece in pieces:
            batch = Batch(tuple(asked.row for asked in piece))
            state = self.store.get(batch) if self.store is not None else None
            scores = self.model.scores(
                batch,
                state,
                prompts=self.method(perturb=change),
                checkpoint=self.settings.recompute == "always" and state is None,
            )
            losses = self.problem.losses(scores, batch.rows, smoothing=self.settings.smoothing)
            torch.stack([loss for loss, _ in losses.values()]).sum().backward()  # type: ignore[no-untyped-call]
            for k, (loss, weight) in losses.items():
                total, count = sums.get(k, (0.0, 0.0))
                sums[k] = (total + float(loss.detach()), count + float(weight))
        return sums

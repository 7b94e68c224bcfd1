"""Looks at the validation rows: scores and losses of several prompts, each untouched by its neighbours' faults.

With many validation rows a look is at a fixed part of them, drawn once, so that looking never dominates a training; the
best of each prompt is judged on all of them at the end.

Knows rows and the model; no optimiser.
"""

import math
import random
from collections.abc import Sequence
from typing import Any

import torch

from softprompt.core.records import Row
from softprompt.lab.training.problem import Problem
from softprompt.lab.training.settings import TrainingSettings
from softprompt.model.methods.base import Method
from softprompt.model.prompted import PromptedModel, Scores
from softprompt.model.states import StateStore

__all__ = ["Look", "Looks", "part_of", "rows_a_look"]

#: (score, mean validation loss) by prompt; not a number where a prompt's scores are not.
Look = dict[int, tuple[float, float]]

#: Validation rows that are always looked at, whatever they cost.
FEWEST_ROWS = 100


def rows_a_look(settings: TrainingSettings) -> int:
    """How many rows one evaluation reads: without a setting as many as cost a third of the training (a training row
    costs about three forwards), and no fewer than 100.

    >>> rows_a_look(TrainingSettings(steps=400, batch_size=16, evaluations=10).resolved())
    640
    """
    if settings.validation_rows is not None:
        return settings.validation_rows
    assert settings.steps, "settings are not resolved"
    assert settings.evaluations, "settings are not resolved"
    return max(FEWEST_ROWS, settings.steps * settings.batch_size // settings.evaluations)


def part_of(rows: Sequence[Row | None], count: int) -> list[Row | None]:
    """At most ``count`` of the rows, at their places; the same part for rows at the same places."""
    there = [i for i, row in enumerate(rows) if row is not None]
    if len(there) <= count:
        return list(rows)
    kept = set(random.Random("looks").sample(there, count))
    return [row if i in kept else None for i, row in enumerate(rows)]


class Looks:
    """Judges prompts of one training.

    Args:
        model: The frozen model.
        method: K prompts.
        problem: Validation rows and judge.
        settings: How many rows a look reads.
        store: Frozen states.
    """

    def __init__(
        self,
        model: PromptedModel,
        method: Method[Any],
        problem: Problem,
        settings: TrainingSettings,
        store: StateStore | None,
    ) -> None:
        self.model, self.method, self.problem, self.store = model, method, problem, store
        count = rows_a_look(settings)
        self.part = [part_of(rows, count) for rows in problem.validation]
        self.partial = any(
            row is not None and kept is None
            for rows, part in zip(problem.validation, self.part, strict=True)
            for row, kept in zip(rows, part, strict=True)
        )
        self.judged = tuple(any(row is not None for row in rows) for rows in problem.validation)
        self._batch_tokens = 4096
        self._rows: tuple[object, list[int], list[Row]] | None = None

    @torch.no_grad()
    def __call__(self, prompts: Sequence[int], *, all_rows: bool = False) -> Look:
        """Score and loss of the given prompts as they are now; prompts without validation rows are left out."""
        prompts = [k for k in prompts if self.judged[k]]
        if not prompts:
            return {}
        found = self._scores(prompts, all_rows)
        if len(prompts) > 1 and any(one.values.isnan().any() for one in found.values()):
            # A number that is none spreads to neighbours in the same line through masked attention.
            return {k: look for alone in prompts for k, look in self((alone,), all_rows=all_rows).items()}
        _, indices, rows = self._merged(prompts, all_rows)
        return {k: self._judged(k, found[k], indices, rows) for k in prompts}

    def _judged(self, k: int, scores: Scores, indices: Sequence[int], rows: Sequence[Row]) -> tuple[float, float]:
        ((_, (loss, weight)),) = self.problem.losses({k: scores}, rows, smoothing=0.0).items()
        mean = float(loss) / max(float(weight), 1e-12)
        if scores.values.isnan().any() or not math.isfinite(mean):
            return math.nan, math.nan
        return self.problem.judge(k, scores, [indices[i] for i in scores.rows.tolist()]), mean

    def _scores(self, prompts: Sequence[int], all_rows: bool) -> dict[int, Scores]:
        _, _, rows = self._merged(prompts, all_rows)
        tensors = self.method()
        while True:
            try:
                return self.model.score_all(rows, store=self.store, prompts=tensors, batch_tokens=self._batch_tokens)
            except torch.OutOfMemoryError:
                if self._batch_tokens == 1:
                    raise
                self._batch_tokens //= 2

    def _merged(self, prompts: Sequence[int], all_rows: bool) -> tuple[object, list[int], list[Row]]:
        """Example indices and merged rows to judge; kept until other prompts are asked for."""
        key = (tuple(prompts), all_rows)
        if self._rows is None or self._rows[0] != key:
            part = self.problem.validation if all_rows else self.part
            found = [(i, self.problem.merged(part, i, prompts)) for i in range(len(part[0]))]
            there = [(i, row) for i, row in found if row is not None]
            self._rows = (key, [i for i, _ in there], [row for _, row in there])
        return self._rows

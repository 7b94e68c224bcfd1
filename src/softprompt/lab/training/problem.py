"""What a training learns from: rows of K prompts over the same examples, and how a prompt is judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import torch
from torch import Tensor

from softprompt.core.errors import DataError, TrainingError
from softprompt.core.records import Answer, Row, merge
from softprompt.model.objectives import OBJECTIVES
from softprompt.model.prompted import Scores, num_tokens

__all__ = ["Problem"]

#: (prompt, scores, indices of the validation examples) -> score, higher is better.
Judge = Callable[[int, Scores, Sequence[int]], float]


@dataclass(frozen=True)
class Problem:
    """Rows by prompt and example; None where a prompt does not learn from (or is not judged by) an example.

    Attributes:
        train: ``train[k][i]`` asks prompt k about example i, with its target.
        validation: Likewise; a prompt that has no row here is kept as it is at the last look.
        objectives: Name in :data:`softprompt.model.objectives.OBJECTIVES`, by prompt.
        judge: Validation score of a prompt.
        seeds: Of each prompt's noise; its index if empty.
        lengths: By training example, in tokens: rows of similar length are learnt together. The order of the rows
            depends on nothing else, so a prompt meets the same batches whoever is trained beside it. Measured if empty.

    Raises:
        TrainingError: ``training.no_rows`` for a prompt with nothing to learn from.
        DataError: ``data.no_target``, ``data.unknown_label`` for a row without a usable target.
    """

    train: Sequence[Sequence[Row | None]]
    validation: Sequence[Sequence[Row | None]]
    objectives: Sequence[str]
    judge: Judge
    seeds: Sequence[int] = field(default=())
    lengths: Sequence[int] = field(default=())

    def __post_init__(self) -> None:
        _require_rows(self.train, "learn from")
        for part in (self.train, self.validation):
            for k, rows in enumerate(part):
                for i, row in enumerate(rows):
                    if row is not None:
                        _check_target(row, k, i)

    def require_judged(self) -> None:
        """Refuse prompts whose best look cannot be told.

        Raises:
            TrainingError: ``training.no_rows``.
        """
        _require_rows(self.validation, "be judged by")

    @property
    def num_prompts(self) -> int:
        """K."""
        return len(self.train)

    @cached_property
    def row_lengths(self) -> tuple[int, ...]:
        """Tokens of each training example: as given, or of its longest row; 0 where nobody learns from it."""
        if self.lengths:
            return tuple(self.lengths)
        return tuple(max((num_tokens(row) for row in rows if row), default=0) for rows in zip(*self.train, strict=True))

    def merged(self, part: Sequence[Sequence[Row | None]], index: int, prompts: Sequence[int]) -> Row | None:
        """One row that asks all given prompts about one example."""
        rows = [row for k in prompts if (row := part[k][index]) is not None]
        return merge(rows) if rows else None

    def losses(
        self, scores: dict[int, Scores], rows: Sequence[Row], *, smoothing: float
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """By prompt: sum of the weighted losses (with a graph) and sum of the weights."""
        result = {}
        for prompt, found in scores.items():
            weights = torch.tensor([row.weight_for(prompt) for row in rows])
            targets = _targets(rows, prompt, width=found.values.shape[1]).to(found.rows.device)[found.rows]
            name = self.objectives[prompt]
            # free text has no candidates among which something could be shared
            loss, count = OBJECTIVES[name](found, targets, smoothing=0.0 if name == "likelihood" else smoothing)
            weight = weights.to(loss)[found.rows]
            result[prompt] = ((loss * weight).sum(), (count * weight).sum())
        return result


def _targets(rows: Sequence[Row], prompt: int, *, width: int) -> Tensor:
    """What the rows ask of a prompt, [n], or [n, C] where one of them asks for shares; a filler for other rows."""
    given = [row.target.get(prompt) for row in rows]
    if not any(isinstance(one, tuple) for one in given):
        return torch.tensor([-1 if one is None else one for one in given])
    shares = torch.zeros(len(rows), width)
    for line, one in zip(shares, given, strict=True):
        if isinstance(one, tuple):
            line[: len(one)] = torch.tensor(one)
        elif one is not None:
            line[one] = 1.0
    return shares


def _require_rows(part: Sequence[Sequence[Row | None]], purpose: str) -> None:
    for k, rows in enumerate(part):
        if not any(row is not None for row in rows):
            raise TrainingError("training.no_rows", f"prompt {k} has no row to {purpose}", cure="give at least one")


def _check_target(row: Row, prompt: int, index: int) -> None:
    target = row.target.get(prompt)
    if target is None or (isinstance(target, int) and target < 0):
        raise DataError("data.no_target", f"row {index} has no right answer for prompt {prompt}", cure="label the row")
    answers = sum(isinstance(node.segment, Answer) and node.segment.prompt_index == prompt for node in row.nodes)
    last = target if isinstance(target, int) else len(target) - 1
    if answers and last >= answers:
        raise DataError(
            "data.unknown_label", f"row {index}: the right answer is number {last} (from 0) of {answers} candidates"
        )

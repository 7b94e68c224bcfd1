"""What a training learns from: rows of K prompts over the same examples, and how a prompt is judged."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from softprompt.core.records import Row, merge
from softprompt.model.objectives import OBJECTIVES, choice
from softprompt.model.prompted import Scores

__all__ = ["Problem"]

#: (prompt, scores, indices of the validation examples) -> score, higher is better.
Judge = Callable[[int, Scores, Sequence[int]], float]


@dataclass(frozen=True)
class Problem:
    """Rows by prompt and example; None where a prompt does not learn from (or is not judged by) an example.

    Attributes:
        train: ``train[k][i]`` asks prompt k about example i, with its target.
        validation: Likewise.
        objectives: Name in :data:`softprompt.model.objectives.OBJECTIVES`, by prompt.
        judge: Validation score of a prompt.
        seeds: Of each prompt: noise, and with ``order="own"`` the order of the rows.
    """

    train: Sequence[Sequence[Row | None]]
    validation: Sequence[Sequence[Row | None]]
    objectives: Sequence[str]
    judge: Judge
    seeds: Sequence[int] = field(default=())

    @property
    def num_prompts(self) -> int:
        """K."""
        return len(self.train)

    def merged(self, part: Sequence[Sequence[Row | None]], index: int, prompts: Sequence[int]) -> Row | None:
        """One row that asks all given prompts about one example."""
        rows = [row for k in prompts if (row := part[k][index]) is not None]
        return merge(rows) if rows else None

    def losses(
        self, scores: dict[int, Scores], rows: Sequence[Row], *, smoothing: float
    ) -> dict[int, tuple[Tensor, Tensor]]:
        """By prompt: sum of the weighted losses (with a graph) and sum of the weights."""
        weights = torch.tensor([row.weight for row in rows])
        result = {}
        for prompt, found in scores.items():
            targets = torch.tensor([row.target.get(prompt, -1) for row in rows], device=found.rows.device)[found.rows]
            name = self.objectives[prompt]
            loss, count = (
                choice(found, targets, smoothing=smoothing) if name == "choice" else OBJECTIVES[name](found, targets)
            )
            weight = weights.to(loss)[found.rows]
            result[prompt] = ((loss * weight).sum(), (count * weight).sum())
        return result

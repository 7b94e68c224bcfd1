"""What is minimised, stated for every run.

* ``choice``: cross-entropy of the softmax over the candidates' scores. For *classify* and *choose*, whether the
  scores are whole-sequence log-probabilities (words) or a head's (label vectors).
* ``likelihood``: negative log-probability of the right answer a token. For *generate*.

Each gives a numerator and a denominator a row, so that micro-batches add up to the batch exactly.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.model.prompted import Scores

__all__ = ["OBJECTIVES", "Objective", "choice", "likelihood"]

#: (scores, index of the right candidate by row) -> (loss by row, its weight in the mean by row).
Objective = Callable[[Scores, Int[Tensor, " n"]], tuple[Float[Tensor, " n"], Float[Tensor, " n"]]]


def choice(
    scores: Scores, targets: Int[Tensor, " n"], *, smoothing: float = 0.0
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """-log softmax(scores)[target]; with label smoothing the mean over the candidates is mixed in.

    >>> scores = Scores(torch.tensor([0]), torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.long))
    >>> round(float(choice(scores, torch.tensor([2]))[0]), 4)
    1.3863
    """
    logs = scores.values.float().log_softmax(-1)
    loss = -logs.gather(1, targets[:, None])[:, 0]
    if smoothing:
        there = scores.lengths > 0
        uniform = -logs.masked_fill(~there, 0).sum(1) / there.sum(1)
        loss = (1 - smoothing) * loss + smoothing * uniform
    return loss, torch.ones_like(loss)


def likelihood(
    scores: Scores, targets: Int[Tensor, " n"], *, smoothing: float = 0.0
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """-log p(answer), weighted by its tokens, so that the mean is the loss a token; smoothing has no meaning here."""
    assert not smoothing, "label smoothing belongs to the choice objective"
    loss = -scores.values.float().gather(1, targets[:, None])[:, 0]
    return loss, scores.lengths.gather(1, targets[:, None])[:, 0].float()


OBJECTIVES: dict[str, Objective] = {"choice": choice, "likelihood": likelihood}

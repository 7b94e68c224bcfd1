"""What is minimised, stated for every run.

* ``choice``: cross-entropy of the softmax over the candidates' scores. For *classify* and *choose*, whether the
  scores are whole-sequence log-probabilities (words) or a head's (label vectors).
* ``likelihood``: negative log-probability of the right answer a token. For *generate*.
* ``labels``: binary cross-entropy of each label's own yes or no, the mean over the labels. For *multilabel*.
* ``score``: cross-entropy and ranked probability score against the shares of the two anchors beside the number. For
  *score*; measured against either alone and squared error of the expected value, see docs/task-kinds.md.

Each gives a numerator and a denominator a row, so that micro-batches add up to the batch exactly.
"""

from typing import Protocol

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.model.prompted import Scores

__all__ = ["OBJECTIVES", "Objective", "choice", "graded", "labels", "likelihood"]


class Objective(Protocol):
    """A loss of rows."""

    def __call__(
        self, scores: Scores, targets: Tensor, *, smoothing: float = 0.0
    ) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
        """Loss by row, and its weight in the mean.

        Args:
            scores: Of the candidates.
            targets: By row the index of the right candidate, [n], or what each candidate ought to get, [n, C].
            smoothing: Share of the target that all candidates get alike.
        """
        ...


def choice(
    scores: Scores, targets: Tensor, *, smoothing: float = 0.0
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """-log softmax(scores)[target], or -sum_k t_k log softmax(scores)_k for shares t of the candidates.

    Shares are what a teacher says, or a part of it beside the right answer. With label smoothing the mean over the
    candidates is mixed in.

    >>> scores = Scores(torch.tensor([0]), torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.long))
    >>> round(float(choice(scores, torch.tensor([2]))[0]), 4)
    1.3863
    >>> round(float(choice(scores, torch.tensor([[0.7, 0.1, 0.1, 0.1]]))[0]), 4)
    1.3863
    """
    logs = scores.values.float().log_softmax(-1)
    there = scores.lengths > 0
    if targets.ndim == 1:
        loss = -logs.gather(1, targets[:, None])[:, 0]
    else:
        loss = -(targets * logs.masked_fill(~there, 0)).sum(1)
    if smoothing:
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


def labels(
    scores: Scores, targets: Float[Tensor, "n C"], *, smoothing: float = 0.0
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Mean over the labels of -t log p - (1 - t) log(1 - p), p = sigmoid(score); smoothing mixes 1/2 into t.

    >>> scores = Scores(torch.tensor([0]), torch.zeros(1, 2), torch.ones(1, 2, dtype=torch.long))
    >>> round(float(labels(scores, torch.tensor([[1.0, 0.0]]))[0]), 4)
    0.6931
    """
    wanted = (1 - smoothing) * targets + smoothing / 2
    loss = torch.nn.functional.binary_cross_entropy_with_logits(scores.values.float(), wanted, reduction="none").mean(1)
    return loss, torch.ones_like(loss)


def graded(
    scores: Scores, targets: Float[Tensor, "n C"], *, smoothing: float = 0.0
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Cross-entropy plus ranked probability score, for shares t of ordered anchors that sum to 1.

    -sum_k t_k log p_k + sum_k (P_k - T_k)^2 with p = softmax(scores) and cumulated P, T. By the second part an error of
    two anchors costs more than one of one; alone it has no gradient left where p is sure of a wrong anchor, and the
    first part has. Smoothing mixes 1/C into the shares.

    Source: Epstein, J. Appl. Meteorology 8 (1969) 985-987.

    >>> scores = Scores(torch.tensor([0]), torch.zeros(1, 4), torch.ones(1, 4, dtype=torch.long))
    >>> round(float(graded(scores, torch.tensor([[0.0, 0.5, 0.5, 0.0]]))[0]), 4)
    1.5113
    """
    wanted = (1 - smoothing) * targets + smoothing / targets.shape[1]
    logs = scores.values.float().log_softmax(-1)
    distance = (logs.exp().cumsum(1) - wanted.cumsum(1)).square().sum(1)
    loss = -(wanted * logs).sum(1) + distance
    return loss, torch.ones_like(loss)


OBJECTIVES: dict[str, Objective] = {
    "choice": choice,
    "likelihood": likelihood,
    "labels": labels,
    "score": graded,
}

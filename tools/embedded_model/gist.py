"""A third objective: half of each state should tell what has been read so far.

The gist of a text is the weighted mean of its tokens' vectors (vectors.py) less what all texts have in common, each
entry in units of its spread: the sentence embedding of Arora et al. 2017, which costs no labels and is hard to beat
with few. The model is asked for its direction in the last entries of its final states: at every token, the gist of the
text up to there; at the reading tokens behind a text, which are drawn at random and mean nothing, that of the whole
text. Knows states and vectors; nothing of models and files.
"""

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

SHORTEST = 4  # tokens before a gist is asked for


@dataclass(frozen=True)
class Gist:
    """What the gist of a text is made of.

    Attributes:
        vectors: Each token's direction times its weight, float32 [V, D].
        weights: What each token tells, float32 [V].
        centre: Mean of many texts' weighted means, [D].
        spread: Their deviation, [D].
    """

    vectors: Tensor
    weights: Tensor
    centre: Tensor
    spread: Tensor

    @classmethod
    def of(cls, directions: Tensor, weights: Tensor, sample: Tensor) -> "Gist":
        """With centre and spread of some texts, [B, T], each as a whole."""
        vectors = directions * weights[:, None]
        means = vectors[sample].sum(1) / weights[sample].sum(1, keepdim=True)
        return cls(vectors, weights, means.mean(0), means.std(0).clamp(min=1e-6))

    def __call__(self, ids: Tensor) -> Tensor:
        """The gist of each text up to each of its tokens: unit vectors, float32 [B, T, D].

        >>> import torch
        >>> gist = Gist(torch.eye(2), torch.ones(2), centre=torch.zeros(2), spread=torch.ones(2))
        >>> [[round(value, 2) for value in found] for found in gist(torch.tensor([[0, 1, 1]]))[0].tolist()]
        [[1.0, 0.0], [0.71, 0.71], [0.45, 0.89]]
        """
        means = self.vectors[ids].cumsum(1) / self.weights[ids].cumsum(1).unsqueeze(-1)
        return functional.normalize((means - self.centre) / self.spread, dim=-1)


def gist_loss(states: Tensor, targets: Tensor) -> Tensor:
    """One minus the cosine to the gist: mean over the texts' tokens plus mean over the reading tokens.

    Args:
        states: Final states of texts and reading tokens, [B, T + R, H]; the last D entries are asked.
        targets: From a `Gist`, [B, T, D].

    >>> import torch
    >>> targets = Gist(torch.eye(2), torch.ones(2), torch.zeros(2), torch.ones(2))(torch.tensor([[0, 1, 1, 1, 1, 0]]))
    >>> states = torch.cat([targets, targets[:, -1:]], dim=1)
    >>> abs(round(gist_loss(states, targets).item(), 4)), round(gist_loss(-states, targets).item(), 4)
    (0.0, 4.0)
    """
    length, size = targets.shape[1:]
    told = states[..., -size:].float()
    reading = told.shape[1] - length
    loss = 1 - functional.cosine_similarity(told[:, SHORTEST:length], targets[:, SHORTEST:], dim=-1).mean()
    if reading:
        loss = loss + 1 - functional.cosine_similarity(told[:, length:], targets[:, -1:], dim=-1).mean()
    return loss

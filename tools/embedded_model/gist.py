"""A third objective: half of each state should tell what has been read so far.

The gist of a text is the direction of the weighted mean of its tokens' vectors (vectors.py): the sentence embedding of
Arora et al. 2017, which costs no labels and is hard to beat with few. The model is asked for it in the last entries of
its final states: at every token, the gist of the text up to there; at the reading tokens behind a text, which are drawn
at random and mean nothing, the gist of the whole text. Knows states and vectors; nothing of models and files.
"""

from torch import Tensor
from torch.nn import functional

SHORTEST = 4  # tokens before a gist is asked for


def gists(ids: Tensor, directions: Tensor, weights: Tensor) -> Tensor:
    """The gist of each text up to each of its tokens: unit vectors, float32 [B, T, D].

    Args:
        ids: Texts, [B, T].
        directions: A vector a token, [V, D].
        weights: What each token tells, [V].

    >>> import torch
    >>> found = gists(torch.tensor([[0, 1, 1]]), torch.eye(2), torch.tensor([1.0, 2.0]))
    >>> [[round(value, 2) for value in gist] for gist in found[0].tolist()]
    [[1.0, 0.0], [0.45, 0.89], [0.24, 0.97]]
    """
    summed = (directions[ids] * weights[ids].unsqueeze(-1)).cumsum(1)
    return functional.normalize(summed, dim=-1)


def gist_loss(states: Tensor, targets: Tensor) -> Tensor:
    """One minus the cosine to the gist: mean over the texts' tokens plus mean over the reading tokens.

    Args:
        states: Final states of texts and reading tokens, [B, T + R, H]; the last D entries are asked.
        targets: From `gists`, [B, T, D].

    >>> import torch
    >>> targets = gists(torch.tensor([[0, 1, 1, 1, 1, 0]]), torch.eye(2), torch.ones(2))
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

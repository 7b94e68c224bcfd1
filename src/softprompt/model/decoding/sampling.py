"""Drawing tokens: which ones are likely enough, and one draw a row that no other row of the batch can change.

Temperature, then top-k, then top-p (nucleus: Holtzman et al. 2020, arXiv:1904.09751), in the order and with the limits
of transformers' warpers. A draw inverts the distribution function at one uniform number, so each row needs one number a
token from a generator of its own, and no generator on the device.
"""

import hashlib
import random
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.core.records import Node, Soft

__all__ = ["draw", "likely", "row_random"]


def likely(
    scores: Float[Tensor, "B V"], *, temperature: float = 1.0, top_k: int | None = None, top_p: float = 1.0
) -> tuple[Float[Tensor, "B V"], Int[Tensor, "B V"]]:
    """Probabilities to draw with, likeliest first, and the tokens they belong to; 0 for what is not likely enough.

    Args:
        scores: Logits or log-probabilities; -inf for what is not allowed.
        temperature: They are divided by it.
        top_k: Keep the k likeliest, and what is as likely as the last of them.
        top_p: Of these, keep the likeliest that together reach this probability.

    >>> probabilities, tokens = likely(torch.tensor([[0.5, 0.2, 0.3]]).log(), top_p=0.6)
    >>> [round(p, 3) for p in probabilities[0].tolist()], tokens[0].tolist()
    ([0.625, 0.375, 0.0], [0, 2, 1])
    """
    ranked, tokens = (scores / temperature).sort(dim=-1, descending=True, stable=True)
    if top_k is not None and top_k < ranked.shape[-1]:
        ranked = ranked.masked_fill(ranked < ranked[:, top_k - 1 : top_k], -torch.inf)
    probabilities = ranked.softmax(-1)
    if top_p < 1:
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= top_p, 0)
        probabilities = probabilities / probabilities.sum(-1, keepdim=True)
    return probabilities, tokens


def draw(
    probabilities: Float[Tensor, "B V"], tokens: Int[Tensor, "B V"], uniform: Sequence[float]
) -> Int[Tensor, " B"]:
    """One token a row: the first at which the summed probability passes the row's number from [0, 1).

    >>> draw(torch.tensor([[0.6, 0.4, 0.0]] * 3), torch.tensor([[7, 5, 3]] * 3), [0.0, 0.59, 0.61]).tolist()
    [7, 7, 5]
    """
    summed = probabilities.cumsum(-1)
    target = torch.tensor(uniform, dtype=summed.dtype, device=summed.device)[:, None] * summed[:, -1:]
    place = torch.searchsorted(summed, target, right=True)
    # A number that rounds up to the whole sum would fall behind the last token that can be drawn.
    last = (probabilities > 0).sum(-1, keepdim=True) - 1
    return tokens.gather(1, place.minimum(last)).squeeze(1)


def row_random(path: Sequence[Node], seed: int) -> random.Random:
    """The generator of one branch, from the seed and what the branch holds: equal in any batch, under any prompt index.

    Args:
        path: The nodes from the root to the end of the branch.
        seed: Of the run.

    >>> from softprompt.core.records import Text
    >>> path = [Node(Text((5, 6), "text")), Node(Soft("soft", 3, 1), 0)]
    >>> moved = [path[0], Node(Soft("soft", 3, 0), 0)]
    >>> row_random(path, 7).random() == row_random(moved, 7).random() != row_random(path, 8).random()
    True
    """
    parts = [(s.slot, s.length) if isinstance(s, Soft) else getattr(s, "ids", ()) for s in (n.segment for n in path)]
    return random.Random(hashlib.sha256(repr((seed, parts)).encode()).digest())

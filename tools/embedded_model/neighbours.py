"""A second objective: what the model knows at the end of a text should tell its neighbour from other texts.

Two stretches of one text that follow each other are about the same thing. Each is read by itself, behind it a few
tokens drawn from the vocabulary, and the state of the last one has to be nearer to the neighbour's than to that of any
other stretch of the batch (InfoNCE; van den Oord et al. 2018, equation 4; neighbouring stretches as in Izacard et al.
2022, "Unsupervised Dense Information Retrieval with Contrastive Learning"). The drawn tokens are what soft tokens after
a text start from, so the model learns to be asked that way. Knows states; nothing of models and files.
"""

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.05
READING_TOKENS = 4


def reading_tokens(count: int, *, vocab_size: int, generator: torch.Generator) -> Tensor:
    """Tokens behind `count` texts, drawn evenly from the vocabulary without its special tokens, [count, 4]."""
    return torch.randint(2, vocab_size, (count, READING_TOKENS), generator=generator)


def neighbour_loss(states: Tensor, parts: int) -> Tensor:
    """Mean cross-entropy, in nats, of finding each stretch's neighbour among the other texts' stretches.

    Args:
        states: One a stretch, [B, H]; stretches 0 and 1, 2 and 3, ... are neighbours.
        parts: Stretches of one text that stand together; those that are no neighbours are left out.

    >>> near = torch.eye(2).repeat_interleave(2, 0)
    >>> bool(neighbour_loss(near, 2) < 0.01 < neighbour_loss(near[[0, 2, 1, 3]], 2))
    True
    """
    units = functional.normalize(states.float(), dim=1)
    index = torch.arange(len(states), device=states.device)
    neighbour = index ^ 1
    same_text = index[:, None] // parts == index // parts
    left_out = same_text & (index != neighbour[:, None])
    scores = (units @ units.T / TEMPERATURE).masked_fill(left_out, float("-inf"))
    return functional.cross_entropy(scores, neighbour)

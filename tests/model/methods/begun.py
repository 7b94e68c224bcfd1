"""Starts of prompts of several shapes, for tests of methods."""

import torch

from softprompt.core.tensors import Head
from softprompt.model.methods.starts import Start
from softprompt.model.methods.vocabulary import Vocabulary

WIDTH, HIDDEN = 6, 4


def words_at(scale: float, width: int = WIDTH) -> Vocabulary:
    """A vocabulary of 200 words whose table has a scale."""
    table = torch.randn(200, width, generator=torch.Generator().manual_seed(5)) * scale
    return Vocabulary(lambda ids: table[ids], lambda text: [len(text)], len(table))


def start(seed: int, *, lengths: dict[str, int], labels: int | None = None, scale: float = 0.02) -> Start:
    """Any vectors of the given lengths; the last of the first slot is an earlier prompt's."""
    rng = torch.Generator().manual_seed(seed)
    slots = {name: torch.randn(length, WIDTH, generator=rng) * scale for name, length in lengths.items()}
    head = None
    if labels is not None:
        head = Head(torch.randn(labels, HIDDEN, generator=rng) * 0.3, torch.randn(labels, generator=rng))
    return Start(slots, scale, seed, head, 0.3, words_at(scale), dict.fromkeys(list(lengths)[:1], 1))


STARTS = (
    start(0, lengths={"soft": 3}, labels=2),
    start(1, lengths={"tone": 2, "topic": 5}),
    start(2, lengths={"soft": 2}, labels=3, scale=4.0),
    start(3, lengths={}, labels=2),
)

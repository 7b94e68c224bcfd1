"""Starts of prompts of several shapes, for tests of methods."""

import torch

from softprompt.core.tensors import Head, SlotTensors
from softprompt.model.methods.starts import Layers, Start
from softprompt.model.methods.vocabulary import Vocabulary

WIDTH, HIDDEN = 6, 4


def words_at(scale: float, width: int = WIDTH) -> Vocabulary:
    """A vocabulary of 200 words whose table has a scale."""
    table = torch.randn(200, width, generator=torch.Generator().manual_seed(5)) * scale
    return Vocabulary(lambda ids: table[ids], lambda text: [len(text)], len(table))


def prefill(vectors: torch.Tensor, layer: int | None) -> SlotTensors:
    """Layers that make of vectors what they are, larger from layer to layer; two heads of three dimensions."""
    if layer is not None:
        return SlotTensors(hidden={layer: vectors * (layer + 1)})
    parts = [vectors.view(len(vectors), 2, WIDTH // 2).transpose(0, 1) * (n + 1) for n in range(3)]
    return SlotTensors(kv={n: (part, -2 * part) for n, part in enumerate(parts)})


LAYERS = Layers(3, prefill)


def start(seed: int, *, lengths: dict[str, int], labels: int | None = None, scale: float = 0.02) -> Start:
    """Any vectors of the given lengths; the last of the first slot is an earlier prompt's."""
    rng = torch.Generator().manual_seed(seed)
    slots = {name: torch.randn(length, WIDTH, generator=rng) * scale for name, length in lengths.items()}
    head = None
    if labels is not None:
        head = Head(torch.randn(labels, HIDDEN, generator=rng) * 0.3, torch.randn(labels, generator=rng))
    kept, layers = dict.fromkeys(list(lengths)[:1], 1), dict.fromkeys(lengths, LAYERS)
    return Start(slots, scale, seed, head, 0.3, words_at(scale), kept, layers)


STARTS = (
    start(0, lengths={"soft": 3}, labels=2),
    start(1, lengths={"tone": 2, "topic": 5}),
    start(2, lengths={"soft": 2}, labels=3, scale=4.0),
    start(3, lengths={}, labels=2),
)

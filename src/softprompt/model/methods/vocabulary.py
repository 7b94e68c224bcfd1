"""What start values may ask of a model: its vectors, its tokens and the scale of both, as callables.

Vectors are asked of the model (``embed``) and never read from a weight: some models multiply their embeddings on the
way in (splice rule 7). Knows no model and no tokenizer library.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["Embed", "OutputVectors", "TableStatistics", "Tokenize", "Vocabulary"]

#: Ids [n] on the CPU -> vectors [n, E] on any device, exactly as the model's first layer gets them.
Embed = Callable[[Tensor], Tensor]
#: Ids [n] on the CPU -> output vectors [n, H] and output biases [n] (None without): logits = vectors @ h + bias.
OutputVectors = Callable[[Tensor], tuple[Tensor, Tensor | None]]
#: Text -> ids, as plain text, nothing added.
Tokenize = Callable[[str], Sequence[int]]

_NUM_SAMPLES = 4096  # relative error of the RMS below 0.1 % from 256 dimensions on


@dataclass(frozen=True)
class TableStatistics:
    """Mean and standard deviation by dimension, and the root mean square over all numbers, of a table of vectors."""

    mean: Float[Tensor, " E"]
    std: Float[Tensor, " E"]
    rms: float

    @classmethod
    def measure(cls, vectors_of: Embed, *, size: int) -> Self:
        """Measured on at most 4096 rows, evenly spaced over a table of ``size`` rows: no randomness, the same for all.

        >>> TableStatistics.measure(lambda ids: torch.full((len(ids), 3), 2.0), size=10).rms
        2.0
        """
        ids = torch.linspace(0, size - 1, min(size, _NUM_SAMPLES), dtype=torch.float64).round().long()
        with torch.no_grad():
            vectors = vectors_of(ids).float()
            std, mean = torch.std_mean(vectors, dim=0, correction=0)
            return cls(mean, std, vectors.square().mean().sqrt().item())


@dataclass(frozen=True)
class Vocabulary:
    """The model's words as start values see them.

    Attributes:
        embed: Ids to vectors.
        tokenize: Text to ids.
        size: Number of rows of the embedding table.
        special: Ids that stand for no text.
        counts: How often a token occurs in the user's texts, where somebody counted.
    """

    embed: Embed
    tokenize: Tokenize
    size: int
    special: frozenset[int] = frozenset()
    counts: Mapping[int, int] | None = None

    def frequent(self, number: int) -> tuple[int, ...]:
        """The ``number`` most frequent ids that are not special: by :attr:`counts`, otherwise the lowest ids.

        Low ids are the frequent ones because byte-pair and unigram vocabularies are numbered in the order of merging or
        of probability (Lester et al. 2021 sample from the 5,000 most frequent in the same way).

        >>> words = Vocabulary(torch.nn.Embedding(9, 2), lambda text: (), 9, frozenset({0}), {0: 9, 7: 2, 5: 2, 6: 3})
        >>> words.frequent(2)
        (6, 5)
        """
        ids: Sequence[int] = range(self.size)
        if self.counts:
            counts = self.counts
            ids = sorted((token for token in counts if counts[token] > 0), key=lambda token: (-counts[token], token))
        return tuple(token for token in ids if token not in self.special)[:number]

    def vectors(self, ids: Sequence[int]) -> Float[Tensor, "n E"]:
        """Vectors of ``ids`` in fp32, without a graph."""
        with torch.no_grad():
            return self.embed(torch.tensor(list(ids), dtype=torch.long)).detach().float()

    @cached_property
    def statistics(self) -> TableStatistics:
        """Scale of the embedding table."""
        return TableStatistics.measure(self.embed, size=self.size)

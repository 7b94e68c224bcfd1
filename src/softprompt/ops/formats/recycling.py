"""Carrying vectors from one model to another by what their vocabularies share: a start for training, no more.

Tokens that stand for the same bytes in both models are pairs of vectors, and the map between the two tables that is
best in the sense of least squares is applied to the trained vectors:

    W = argmin sum_i |(x_i - mean x) W - (y_i - mean y)|^2        v -> (v - mean x) W + mean y

Label vectors are mapped in the same way between the output tables. How good the map is, is measured on tokens that were
not used for it: ``explained`` is the share of their variance that it tells.

Source: Lester, Yurtsever, Shakeri and Constant, Reducing Retraining by Recycling Parameter-Efficient Prompts, 2022
(vocabulary to vocabulary, linear).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.core.errors import PromptError
from softprompt.core.tensors import Head, PromptTensors, SlotTensors
from softprompt.core.tokens import Tokenizer
from softprompt.model.backbones.base import Backbone

__all__ = ["Bridge", "Carried", "carry", "shared_tokens"]

#: Pairs of vectors for each dimension of those to be mapped: with fewer the map fits everything and tells nothing.
PAIRS_A_DIMENSION = 2
_CHUNK = 4096
_HELD_OUT = 10  # every tenth pair judges the map

#: Ids -> vectors.
Table = Callable[[Int[Tensor, " n"]], Float[Tensor, "n _"]]


def shared_tokens(own: Tokenizer, other: Tokenizer) -> list[tuple[int, int]]:
    """Ids of the tokens that stand for the same bytes in both, in the order of ``own``; special tokens are none.

    >>> from softprompt.testing import tiny
    >>> pairs = shared_tokens(tiny().tokenizer, tiny("gpt2").tokenizer)
    >>> len(pairs), pairs[0]
    (256, (0, 0))
    """
    there = {data: token for token in reversed(range(other.vocab_size)) if (data := other.as_bytes(token))}
    here = ((token, own.as_bytes(token)) for token in range(own.vocab_size))
    return [(token, there[data]) for token, data in here if data and data in there]


@dataclass(frozen=True)
class _Sums:
    """What least squares needs of pairs of vectors, summed in double precision."""

    count: int
    x: Tensor
    y: Tensor
    xx: Tensor
    xy: Tensor
    yy: Tensor

    @classmethod
    def of(cls, x: Float[Tensor, "n a"], y: Float[Tensor, "n b"]) -> Self:
        x, y = x.double(), y.double()
        return cls(len(x), x.sum(0), y.sum(0), x.T @ x, x.T @ y, y.square().sum(0))

    def __add__(self, more: "_Sums") -> "_Sums":
        return _Sums(self.count + more.count, *(a + b for a, b in zip(self._tensors(), more._tensors(), strict=True)))

    def _tensors(self) -> tuple[Tensor, ...]:
        return self.x, self.y, self.xx, self.xy, self.yy


@dataclass(frozen=True)
class Bridge:
    """A linear map between two tables of vectors.

    Attributes:
        weight: W.
        source, target: Mean of the paired vectors.
        num_pairs: Tokens that both vocabularies have.
        explained: Share of the variance of held-out target vectors that the map tells: 1 for all, 0 for none.
    """

    weight: Float[Tensor, "a b"]
    source: Float[Tensor, " a"]
    target: Float[Tensor, " b"]
    num_pairs: int
    explained: float

    @classmethod
    def between(cls, source: Table, target: Table, pairs: Sequence[tuple[int, int]]) -> Self:
        """The map that least squares gives.

        >>> table = torch.nn.Embedding(60, 4).weight.detach()
        >>> same = Bridge.between(lambda ids: table[ids], lambda ids: 2 * table[ids] + 1, [(n, n) for n in range(60)])
        >>> round(same.explained, 3), torch.allclose(same(table), 2 * table + 1, atol=1e-4)
        (1.0, True)
        """
        learnt = _summed(source, target, [pair for n, pair in enumerate(pairs) if n % _HELD_OUT])
        judged = _summed(source, target, pairs[::_HELD_OUT])
        explained = _explained(*_solve(learnt), judged)
        weight, source_mean, target_mean = _solve(learnt + judged)
        return cls(weight, source_mean, target_mean, len(pairs), explained)

    def __call__(self, vectors: Float[Tensor, "n a"]) -> Float[Tensor, "n b"]:
        """Vectors of the source where they would stand in the target, in float32."""
        return ((vectors.detach().cpu().double() - self.source) @ self.weight + self.target).float()


@dataclass(frozen=True)
class Carried:
    """A prompt's numbers for another model.

    Attributes:
        tensors: Of the new prompt.
        num_shared: Tokens that both vocabularies have.
        explained: How well the embeddings' map tells vectors that it has not seen.
        explained_head: The same for label vectors; None where there are none.
    """

    tensors: PromptTensors
    num_shared: int
    explained: float
    explained_head: float | None


def carry(tensors: PromptTensors, source: Backbone, target: Backbone) -> Carried:
    """A prompt's vectors and label vectors, mapped; what is given stays as it is.

    Raises:
        PromptError: ``prompt.unsupported_conversion`` for keys, values and vectors inside the model,
            ``prompt.little_vocabulary``.
    """
    if any(slot.embed is None or slot.hidden or slot.kv for slot in tensors.slots.values()):
        message = "the prompt has numbers that enter inside the model: two models share no layers to map them by"
        raise PromptError("prompt.unsupported_conversion", message, cure="tune one with method plain, and convert that")
    pairs = shared_tokens(source.tokenizer, target.tokenizer)
    widths = [source.spec.embed_dim] if tensors.slots else []
    widths += [source.spec.head_dim] if tensors.head is not None else []
    if len(pairs) < PAIRS_A_DIMENSION * max(widths, default=1):
        message = (
            f"the vocabularies share {len(pairs):,} tokens; {PAIRS_A_DIMENSION * max(widths):,} are needed to map "
            f"vectors of {max(widths):,} numbers"
        )
        raise PromptError("prompt.little_vocabulary", message, cure="tune from the start for that model")
    embeds = Bridge.between(source.embed, target.embed, pairs)
    slots = {name: SlotTensors(embed=embeds(s.embed)) for name, s in tensors.slots.items() if s.embed is not None}
    head, explained = None, None
    if tensors.head is not None:
        outputs = Bridge.between(_outputs(source), _outputs(target), pairs)
        explained = outputs.explained
        head = Head(outputs(tensors.head.weight), tensors.head.bias.detach().cpu().float().clone())
    return Carried(PromptTensors(slots, head), len(pairs), embeds.explained, explained)


def _outputs(backbone: Backbone) -> Table:
    return lambda ids: backbone.output_vectors(ids)[0]


def _summed(source: Table, target: Table, pairs: Sequence[tuple[int, int]]) -> _Sums:
    parts = []
    with torch.no_grad():
        for start in range(0, len(pairs), _CHUNK):
            ids = torch.tensor(pairs[start : start + _CHUNK])
            parts.append(_Sums.of(source(ids[:, 0]).cpu(), target(ids[:, 1]).cpu()))
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _solve(sums: _Sums) -> tuple[Tensor, Tensor, Tensor]:
    """W and the two means; a hair of ridge keeps dimensions that never vary from dividing by nothing."""
    x, y = sums.x / sums.count, sums.y / sums.count
    xx = sums.xx - sums.count * torch.outer(x, x)
    xy = sums.xy - sums.count * torch.outer(x, y)
    ridge = 1e-8 * xx.diagonal().mean().clamp(min=1e-30) * torch.eye(len(x), dtype=torch.float64)
    return torch.linalg.solve(xx + ridge, xy), x, y


def _explained(weight: Tensor, source: Tensor, target: Tensor, judged: _Sums) -> float:
    """1 - squared error / variance on other pairs, from their sums."""
    offset = target - source @ weight
    error = judged.yy.sum() - 2 * (weight * judged.xy).sum() + (weight * (judged.xx @ weight)).sum()
    error += judged.count * offset.square().sum() + 2 * offset @ (weight.T @ judged.x - judged.y)
    around = judged.yy.sum() - 2 * target @ judged.y + judged.count * target.square().sum()
    return float(1 - error / around.clamp(min=1e-30))

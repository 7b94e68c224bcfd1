"""A faster attention for bf16 on CPUs: torch's definition, by matrix products instead of its fused kernel.

torch's fused CPU kernel multiplies small tiles and repacks them, and its backward pass alone took a quarter of a
training step. Batched products run near the processor's peak, so the scores are made by them, a few rows at a time,
and made again in the backward pass instead of being kept. One layer of 16 rows and 12 heads of 64, forward and
backward, milliseconds on one core of an AMD EPYC with avx512_bf16: 279 tokens 156 -> 81, 23 live tokens after 256
cached ones 21 -> 13. In float32 the fused kernel is as fast, so it stays.

Scores and their softmax are float32, as in the fused kernel; weights are rounded to bf16 before they meet the values.

The model is used as it is: while :class:`FastAttention` is active, a call of torch's ``scaled_dot_product_attention``
that fits is computed here, and every other goes on to torch.
"""

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["FastAttention", "attend", "fast_attention"]

#: Scores made at a time. Half and four times as many were 5 to 15 % slower.
CHUNK = 1 << 20

#: Queries a block where the mask is the causal triangle: keys behind the block's last query are not multiplied.
BLOCK = 128

#: Below so many queries (decoding) the fused kernel is as good.
FEWEST = 8


def fast_attention(embeds: Float[Tensor, "S L E"]) -> AbstractContextManager[object]:
    """What a forward over these embeddings runs in: :class:`FastAttention` where some call may fit, else nothing."""
    fits = embeds.device.type == "cpu" and embeds.dtype == torch.bfloat16 and embeds.shape[1] >= FEWEST
    return FastAttention() if fits else nullcontext()


class FastAttention(TorchFunctionMode):
    """Within it, ``scaled_dot_product_attention`` is computed by :func:`attend` where that is faster.

    >>> q = torch.randn(1, 2, 9, 4, dtype=torch.bfloat16)
    >>> with FastAttention():
    ...     fast = torch.nn.functional.scaled_dot_product_attention(q, q, q)
    >>> bool((fast - torch.nn.functional.scaled_dot_product_attention(q, q, q)).abs().max() < 0.1)
    True
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            call = _Call(*args, **kwargs)
            if call.fits():
                return attend(call.query, call.key, call.value, mask=call.mask, causal=call.causal, scale=call.scale)
        return func(*args, **kwargs)


class _Call:
    """The arguments of one call of ``scaled_dot_product_attention``."""

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        attn_mask: Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        scale: float | None = None,
        enable_gqa: bool = False,
    ) -> None:
        self.query, self.key, self.value, self.mask = query, key, value, attn_mask
        self.dropout, self.causal, self.scale, self.grouped = dropout_p, is_causal, scale, enable_gqa

    def fits(self) -> bool:
        """Whether :func:`attend` computes this, and faster."""
        query, key, mask = self.query, self.key, self.mask
        return (
            query.device.type == "cpu"
            and query.dtype == key.dtype == self.value.dtype == torch.bfloat16
            and _multiplies_bf16()
            and query.ndim == 4
            and query.shape[2] >= FEWEST
            and not self.dropout
            and (query.shape[1] == key.shape[1] or self.grouped)
            and (mask is None or (mask.ndim == 4 and not mask.requires_grad))
            and (not self.causal or (mask is None and query.shape[2] == key.shape[2]))
        )


@cache
def _multiplies_bf16() -> bool:
    """Whether the processor has bf16 products."""
    found = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    return bool(found.get("avx512_bf16") or found.get("amx_bf16"))


def attend(
    query: Float[Tensor, "B H L D"],
    key: Float[Tensor, "B G T D"],
    value: Float[Tensor, "B G T Dv"],
    *,
    mask: Tensor | None = None,
    causal: bool = False,
    scale: float | None = None,
) -> Float[Tensor, "B H L Dv"]:
    """softmax(scale * q k' + mask) v, as ``torch.nn.functional.scaled_dot_product_attention``.

    Args:
        query: H is a multiple of G; query head h reads key head h // (H // G).
        key: Keys.
        value: Values.
        mask: Broadcasts to [B, H, L, T]; boolean (True is seen) or added. A query that sees nothing gets the mean.
        causal: Query i sees keys up to i; needs L = T and no mask.
        scale: 1 / sqrt(D) if None.

    >>> q = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    >>> expected = torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
    >>> torch.allclose(attend(q, q, q, causal=True), expected)
    True
    """
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    added = _added(mask, _exact(query))
    out: Tensor = _Attention.apply(query, key, value, added, causal, scale)  # type: ignore[no-untyped-call]
    return out


def _added(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A boolean mask as one to be added."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


class _Attention(torch.autograd.Function):
    """Keeps queries, keys and values; everything between is made anew in the backward pass."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        query, key, value, mask, causal, scale = inputs
        # Laid out as the layer's next product reads it: heads side by side.
        out: Tensor = query.new_empty(len(query), query.shape[2], query.shape[1], value.shape[3]).transpose(1, 2)
        for rows in _rows(query, key, causal):
            keys, values = key[rows].to(_exact(key)).flatten(0, 1), value[rows].flatten(0, 1)
            for block, end in _blocks(query, key, causal):
                part = query[rows, :, block]
                bias = _bias(mask, rows, block, causal, query)
                weights = _weights(_fold(part, key), keys[:, :end], scale, bias, (*part.shape[:3], end))
                _unfold(torch.bmm(weights.to(values.dtype), values[:, :end]), out[rows, :, block])
        ctx.save_for_backward(query, key, value, mask)
        ctx.options = (causal, scale)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        query, key, value, mask = ctx.saved_tensors
        causal, scale = ctx.options
        dtype = query.dtype
        grads = torch.empty_like(query), torch.empty(key.shape, dtype=dtype), torch.empty(value.shape, dtype=dtype)
        for rows in _rows(query, key, causal):
            keys, values = key[rows].flatten(0, 1), value[rows].flatten(0, 1)
            exact = keys.to(_exact(keys))
            to_keys, to_values = _Sum(grads[1][rows].flatten(0, 1)), _Sum(grads[2][rows].flatten(0, 1))
            for block, end in _blocks(query, key, causal):
                part = query[rows, :, block]
                queries, above = _fold(part, key), _fold(gradients[0][rows, :, block], key)
                bias = _bias(mask, rows, block, causal, query)
                weights = _weights(queries, exact[:, :end], scale, bias, (*part.shape[:3], end))
                to_values.add(torch.bmm(weights.to(dtype).transpose(1, 2), above))
                to_weights = torch.bmm(above, values[:, :end].transpose(1, 2)).to(weights.dtype)
                # weights * (to_weights - sum(weights * to_weights)) in one pass
                to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype).to(dtype)
                to_keys.add(_product(to_scores.transpose(1, 2), queries, scale))
                _unfold(_product(to_scores, keys[:, :end], scale), grads[0][rows, :, block])
            to_keys.finish()
            to_values.finish()
        return (*grads, None, None, None)


class _Sum:
    """Adds up what several blocks of queries give to the first keys, in at least float32."""

    def __init__(self, target: Tensor) -> None:
        self.target = target
        self.total: Tensor | None = None

    def add(self, part: Tensor) -> None:
        if self.total is None and part.shape == self.target.shape:
            self.target.copy_(part)  # the only block: it sees all keys
            return
        if self.total is None:
            self.total = part.new_zeros(self.target.shape, dtype=_exact(part))
        self.total[:, : part.shape[1]] += part

    def finish(self) -> None:
        if self.total is not None:
            self.target.copy_(self.total)


def _exact(tensor: Tensor) -> torch.dtype:
    return torch.promote_types(tensor.dtype, torch.float32)


def _rows(query: Tensor, key: Tensor, causal: bool) -> Iterator[slice]:
    """Rows of the batch whose scores are made at a time."""
    count, heads, length, _ = query.shape
    block = min(length, BLOCK) if causal else length
    most = max(1, CHUNK // (heads * block * key.shape[2]))
    step = -(-count // -(-count // most))  # pieces of equal size
    return (slice(start, start + step) for start in range(0, count, step))


def _blocks(query: Tensor, key: Tensor, causal: bool) -> Iterator[tuple[slice, int]]:
    """Blocks of queries, and one behind the last key that each sees."""
    length = query.shape[2]
    if not causal:
        return iter([(slice(0, length), key.shape[2])])
    return ((slice(first, min(first + BLOCK, length)), min(first + BLOCK, length)) for first in range(0, length, BLOCK))


def _fold(part: Tensor, key: Tensor) -> Tensor:
    """[b, H, n, D] -> [b * G, (H / G) * n, D]: queries that read the same keys stand below each other."""
    rows, heads, count, width = part.shape
    groups = key.shape[1]
    return part.reshape(rows * groups, heads // groups * count, width)


def _unfold(part: Tensor, into: Tensor) -> None:
    """Inverse of :func:`_fold`, written into [b, H, n, D]."""
    into.copy_(part.view(into.shape))


def _bias(mask: Tensor | None, rows: slice, block: slice, causal: bool, query: Tensor) -> Tensor | None:
    """What is added to the scores of some rows and queries; broadcasts to [b, H, n, keys that they see]."""
    if causal:
        seen = torch.ones(block.stop - block.start, block.stop, dtype=torch.bool).tril(block.start)
        return _added(seen, _exact(query))
    if mask is None:
        return None
    part: Tensor = mask if mask.shape[0] == 1 else mask[rows]
    return part if mask.shape[2] == 1 else part[:, :, block]


def _weights(queries: Tensor, keys: Tensor, scale: float, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """Attention weights in at least float32; ``bias`` is added to the scores seen in ``shape``, [b, H, n, keys].

    Scores are not rounded to bf16: at a score of 30 that would be an error of a tenth in a weight.
    """
    scores = _product(queries.to(keys.dtype), keys.transpose(1, 2), scale)
    if bias is not None:
        scores.view(shape).add_(bias)
    return torch.softmax(scores, -1)


def _product(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """Product of ``a`` and ``b``, scaled before it is rounded."""
    return torch.baddbmm(a.new_empty(1, 1, 1), a, b, beta=0, alpha=scale)

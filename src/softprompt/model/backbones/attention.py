"""A faster attention for bf16 on CPUs: torch's definition, by matrix products instead of its fused kernel.

torch's fused CPU kernel multiplies small tiles and repacks them, and its backward pass alone took a quarter of a
training step. Batched products run near the processor's peak, so the scores are made by them, a few rows at a time.
The weights are kept for the backward pass where they are few, else made again. One layer of 16 rows and 12 heads of 64,
forward and backward, milliseconds on one core of an AMD EPYC with avx512_bf16: 279 tokens 162 -> 54 (made again: 73),
535 tokens 462 -> 176, 23 live tokens after 256 cached ones 23 -> 16. In float32 the fused kernel is as fast, so it
stays.

Two things that a general attention cannot know are left out: gradients of the keys and values that were read before and
never change, and copies of keys and values for the heads that share them.

Scores and their softmax are float32, as in the fused kernel; weights are rounded to bf16 before they meet the values.
The products that make the scores take bf16 numbers and give float32: oneDNN does that where float32 operands may be
read as bf16, which loses nothing of numbers that are bf16.

The model is used as it is: while :class:`FastAttention` is active, a call of torch's ``scaled_dot_product_attention``
that fits is computed here, and every other goes on to torch.
"""

import math
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor
from torch.overrides import TorchFunctionMode

__all__ = ["FastAttention", "attend", "fast_attention"]

#: Scores made at a time. Half and four times as many were 5 to 15 % slower.
CHUNK = 1 << 20

#: Most queries a block where the mask is the causal triangle: keys behind the block's last query are not multiplied.
BLOCK = 128

#: Most weights of a layer that are kept for its backward pass: 64 MiB in bf16.
KEPT = 1 << 25

#: Below so many queries (decoding) the fused kernel is as good, unless there is a way back: its own takes 7 to 16
#: milliseconds for 1 to 12 queries where this one takes 0.4 to 1.8 (16 rows, 8 heads of 64 that share 4, 43 and 256
#: keys).
FEWEST = 8


#: transformers asks this variable at every call whether heads that share keys and values get them without copies.
SHARED_HEADS = "TRANSFORMERS_SDPA_FORCE_GQA"


def fast_attention(embeds: Float[Tensor, "S L E"], *, frozen: int = 0) -> AbstractContextManager[object]:
    """What a forward over these embeddings runs in: :class:`FastAttention` where some call may fit, else nothing.

    Args:
        embeds: Of the live tokens.
        frozen: Columns of keys and values before theirs that need no gradient.
    """
    enough = embeds.shape[1] >= FEWEST or torch.is_grad_enabled()
    fits = embeds.device.type == "cpu" and embeds.dtype == torch.bfloat16 and enough
    return FastAttention(frozen) if fits else nullcontext()


class FastAttention(TorchFunctionMode):
    """Within it, ``scaled_dot_product_attention`` is computed by :func:`attend` where that is faster.

    Heads that share keys and values are given them without copies. A thread that meets the variable of another, or
    loses it, gets the same numbers: torch knows such heads too.

    Args:
        frozen: Columns before those of the queries that need no gradient, in calls over these and the queries' own.

    >>> q = torch.randn(1, 2, 9, 4, dtype=torch.bfloat16)
    >>> with FastAttention():
    ...     fast = torch.nn.functional.scaled_dot_product_attention(q, q, q)
    >>> bool((fast - torch.nn.functional.scaled_dot_product_attention(q, q, q)).abs().max() < 0.1)
    True
    """

    def __init__(self, frozen: int = 0) -> None:
        super().__init__()
        self.frozen = frozen
        self._shares = False

    def __enter__(self) -> Self:
        super().__enter__()  # type: ignore[no-untyped-call]
        self._shares = _multiplies_bf16() and SHARED_HEADS not in os.environ
        if self._shares:
            os.environ[SHARED_HEADS] = "1"
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)  # type: ignore[no-untyped-call]
        if self._shares:
            os.environ.pop(SHARED_HEADS, None)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func is torch.nn.functional.scaled_dot_product_attention:
            call = _Call(*args, **kwargs)
            if call.fits():
                frozen = self.frozen if call.key.shape[2] == self.frozen + call.query.shape[2] else 0
                return attend(
                    call.query,
                    call.key,
                    call.value,
                    mask=call.mask,
                    causal=call.causal,
                    scale=call.scale,
                    frozen=frozen,
                )
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
            and (query.shape[2] >= FEWEST or self.goes_back())
            and not self.dropout
            and (query.shape[1] == key.shape[1] or self.grouped)
            and (mask is None or (mask.ndim == 4 and not mask.requires_grad))
            and (not self.causal or (mask is None and query.shape[2] == key.shape[2]))
        )

    def goes_back(self) -> bool:
        """Whether a gradient will be asked for."""
        tensors = (self.query, self.key, self.value)
        return torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)


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
    frozen: int = 0,
) -> Float[Tensor, "B H L Dv"]:
    """softmax(scale * q k' + mask) v, as ``torch.nn.functional.scaled_dot_product_attention``.

    Args:
        query: H is a multiple of G; query head h reads key head h // (H // G).
        key: Keys.
        value: Values.
        mask: Broadcasts to [B, H, L, T]; boolean (True is seen) or added. A query that sees nothing gets the mean.
        causal: Query i sees keys up to i; needs L = T and no mask.
        scale: 1 / sqrt(D) if None.
        frozen: The first keys and values, whose gradients are not made: they are zeros. Not with ``causal``.

    >>> q = torch.randn(1, 2, 3, 4, dtype=torch.float64)
    >>> expected = torch.nn.functional.scaled_dot_product_attention(q, q, q, is_causal=True)
    >>> torch.allclose(attend(q, q, q, causal=True), expected)
    True
    """
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    added = _added(mask, torch.promote_types(query.dtype, torch.float32))
    out: Tensor = _Attention.apply(query, key, value, added, causal, scale, frozen)  # type: ignore[no-untyped-call]
    return out


def _added(mask: Tensor | None, dtype: torch.dtype) -> Tensor | None:
    """A boolean mask as one to be added."""
    if mask is None or mask.dtype != torch.bool:
        return mask
    return torch.zeros(mask.shape, dtype=dtype).masked_fill_(~mask, torch.finfo(dtype).min)


class _Attention(torch.autograd.Function):
    """Keeps queries, keys and values, and the weights where they are few; else these are made anew for the backward
    pass, and are the same."""

    @staticmethod
    def forward(ctx: Any, *inputs: Any) -> Tensor:
        query, key, value, mask, causal, scale, frozen = inputs
        # Laid out as the layer's next product reads it: heads side by side.
        out: Tensor = query.new_empty(len(query), query.shape[2], query.shape[1], value.shape[3]).transpose(1, 2)
        kept: list[Tensor] | None = (
            [] if any(ctx.needs_input_grad) and _num_weights(query, key, causal) <= KEPT else None
        )
        for rows in _rows(query, key, causal):
            keys, values = _exact(_flat(key[rows])), _flat(value[rows])
            for block, end in _blocks(query, key, causal):
                weights = _weights(query[rows, :, block], keys[:, :end], scale, _bias(mask, rows, block, causal))
                if kept is not None:
                    kept.append(weights)
                _unfold(torch.bmm(weights, values[:, :end]), out[rows, :, block])
        ctx.save_for_backward(query, key, value, mask, *(kept or ()))
        ctx.options = (causal, scale, frozen)
        return out

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor | None, ...]:
        query, key, value, mask, *kept = ctx.saved_tensors
        causal, scale, frozen = ctx.options
        # Laid out like what they are gradients of; never expanded.
        grads = tuple(torch.empty_like(part) for part in (query, key, value))
        for part in grads[1:]:
            part[:, :, :frozen].zero_()
        for rows in _rows(query, key, causal):
            keys, values = _flat(key[rows]), _flat(value[rows])
            exact = keys if kept else _exact(keys)
            to_keys, to_values = _Sum(grads[1][rows, :, frozen:]), _Sum(grads[2][rows, :, frozen:])
            for block, end in _blocks(query, key, causal):
                part = query[rows, :, block]
                bias = None if kept else _bias(mask, rows, block, causal)
                weights = kept.pop(0) if kept else _weights(part, exact[:, :end], scale, bias)
                queries, above = _fold(part, len(keys)), _fold(gradients[0][rows, :, block], len(keys))
                to_values.add(torch.bmm(weights[..., frozen:].transpose(1, 2), above))
                to_weights = torch.bmm(above, values[:, :end].transpose(1, 2))
                # weights * (to_weights - sum(weights * to_weights)) in one pass
                to_scores = torch._softmax_backward_data(to_weights, weights, -1, weights.dtype)
                to_keys.add(_product(to_scores[..., frozen:].transpose(1, 2), queries, scale))
                _unfold(_product(to_scores, keys[:, :end], scale), grads[0][rows, :, block])
            to_keys.finish()
            to_values.finish()
        return (*grads, None, None, None, None)


class _Sum:
    """Adds up what several blocks of queries give to the first keys, in at least float32."""

    def __init__(self, target: Float[Tensor, "b G T D"]) -> None:
        self.target = target
        self.total: Tensor | None = None

    def add(self, part: Float[Tensor, "bG t D"]) -> None:
        if self.total is None and part.shape[1] == self.target.shape[2]:
            _unfold(part, self.target)  # the only block: it sees all keys
            return
        if self.total is None:
            self.total = _exact(part.new_zeros(len(part), *self.target.shape[2:]))
        self.total[:, : part.shape[1]] += part

    def finish(self) -> None:
        if self.total is not None:
            _unfold(self.total, self.target)


def _exact(tensor: Tensor) -> Tensor:
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def _num_weights(query: Tensor, key: Tensor, causal: bool) -> int:
    """Weights of all blocks together."""
    each = sum((block.stop - block.start) * end for block, end in _blocks(query, key, causal))
    return int(query.shape[0] * query.shape[1] * each)


def _rows(query: Tensor, key: Tensor, causal: bool) -> Iterator[slice]:
    """Rows of the batch whose scores are made at a time."""
    count, heads, length, _ = query.shape
    block = min(length, BLOCK) if causal else length
    return _pieces(count, max(1, CHUNK // (heads * block * key.shape[2])))


def _blocks(query: Tensor, key: Tensor, causal: bool) -> Iterator[tuple[slice, int]]:
    """Blocks of queries, and one behind the last key that each sees."""
    length = query.shape[2]
    if not causal:
        return iter([(slice(0, length), key.shape[2])])
    return ((block, block.stop) for block in _pieces(length, BLOCK))


def _pieces(count: int, most: int) -> Iterator[slice]:
    """``count`` things in pieces of about equal size."""
    step = -(-count // -(-count // most))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _flat(part: Tensor) -> Tensor:
    """[b, G, T, D] -> [b * G, T, D]."""
    return part.flatten(0, 1)


def _fold(part: Tensor, pairs: int) -> Tensor:
    """[b, H, n, D] -> [b * G, (H / G) * n, D]: queries that read the same keys stand below each other."""
    return part.reshape(pairs, -1, part.shape[-1])


def _unfold(part: Tensor, into: Tensor) -> None:
    """Inverse of :func:`_fold`, written into [b, H, n, D]."""
    into.copy_(part.view(into.shape))


def _bias(mask: Tensor | None, rows: slice, block: slice, causal: bool) -> Tensor | None:
    """What is added to the scores of some rows and queries with the last keys that they see."""
    if causal:
        return _triangle(block.stop - block.start)
    if mask is None:
        return None
    part: Tensor = mask if mask.shape[0] == 1 else mask[rows]
    return part if mask.shape[2] == 1 else part[:, :, block]


@cache
def _triangle(count: int) -> Float[Tensor, "n n"]:
    """Added to the scores of a block with its own keys: a query sees no later one."""
    return torch.full((count, count), torch.finfo(torch.float32).min).triu(1)


def _weights(
    queries: Float[Tensor, "b H n D"], keys: Float[Tensor, "bG t D"], scale: float, bias: Tensor | None
) -> Float[Tensor, "bG Hn_G t"]:
    """Attention weights in the dtype of the queries, from scores in at least float32.

    Scores are not rounded to bf16: at a score of 30 that would be an error of a tenth in a weight.
    """
    with _bf16_read_as_such(queries):
        scores = _product(_exact(_fold(queries, len(keys))), keys.transpose(1, 2), scale)
    if bias is not None:
        scores.view(*queries.shape[:3], -1)[..., -bias.shape[-1] :].add_(bias)
    return torch.softmax(scores, -1).to(queries.dtype)


def _product(a: Tensor, b: Tensor, scale: float) -> Tensor:
    """Product of ``a`` and ``b``, scaled before it is rounded."""
    return torch.baddbmm(a.new_empty(1, 1, 1), a, b, beta=0, alpha=scale)


@contextmanager
def _bf16_read_as_such(numbers: Tensor) -> Iterator[None]:
    """Lets oneDNN multiply float32 copies of bf16 numbers by its bf16 products (torch 2.9 on), which is as exact and
    twice as fast. The setting is the process's own, so it stands no longer than the one product."""
    settings: Any = torch.backends.mkldnn
    if numbers.dtype != torch.bfloat16 or not hasattr(settings, "matmul"):
        yield
        return
    before = settings.matmul.fp32_precision
    settings.matmul.fp32_precision = "bf16"
    try:
        yield
    finally:
        settings.matmul.fp32_precision = before

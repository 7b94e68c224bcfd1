"""torch.compile where it is safe and stays bounded: the feed-forward blocks, in shapes that come again.

Whole layers would be compiled anew for each of them, because a layer's number and the contents of the cache are
constants to the compiler: three layers on six roads took 36 s of compilation and then hit torch's limit. A feed-forward
block knows neither its number nor a mask nor a cache; it works on each token by itself. So all blocks share what is
compiled for one, tokens of all rows stand in one line, and this is padded up to a bucket.

Off unless it is asked for: what it brings is measured in docs/models.md.
"""

import shutil
from collections.abc import Callable
from inspect import signature
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from softprompt.core.errors import ModelError

__all__ = ["bucket", "compile_blocks"]

#: Fewest tokens of a bucket; decoding is padded to it.
LEAST = 16


def bucket(tokens: int) -> int:
    """The size that tokens are padded to: four sizes for each doubling, so at most a quarter is wasted.

    >>> [bucket(n) for n in (1, 16, 17, 33, 100, 1000)]
    [16, 16, 20, 40, 112, 1024]
    """
    if tokens <= LEAST:
        return LEAST
    step = 1 << max(0, (tokens - 1).bit_length() - 3)
    return -(-tokens // step) * step


def compile_blocks(layers: list[nn.Module], *, backend: str | Callable[..., Any] = "inductor") -> int:
    """Compile the feed-forward blocks of layers, in place; returns how many there are.

    Args:
        layers: With their block under ``mlp``; experts, and blocks that are given more than states, stay as they are.
        backend: Of torch.compile.

    Raises:
        ModelError: ``model.cannot_compile`` without a C compiler, or without such blocks.
    """
    blocks = [block for layer in layers if isinstance(block := getattr(layer, "mlp", None), nn.Module)]
    blocks = [block for block in blocks if len(signature(block.forward).parameters) == 1 and not _routes(block)]
    if backend == "inductor" and not any(map(shutil.which, ("cc", "gcc", "clang", "cl"))):
        message = "torch.compile needs a C compiler, and there is none"
        raise ModelError("model.cannot_compile", message, cure="install gcc, or leave compile away")
    if not blocks:
        raise ModelError(
            "model.cannot_compile", "its layers have no block 'mlp' that could be compiled", cure="leave compile away"
        )
    for block in blocks:
        block.forward = _Bucketed(torch.compile(block.forward, backend=backend, dynamic=True))
    return len(blocks)


def _routes(block: nn.Module) -> bool:
    """Whether tokens go to experts, whose numbers of tokens are no bucket's."""
    return any("expert" in name or name in ("gate", "router") for name, _ in block.named_children())


class _Bucketed:
    """A block over tokens in one line, padded to a bucket; everything but a tensor goes through uncompiled."""

    def __init__(self, compiled: Callable[[Tensor], Tensor]) -> None:
        self.compiled = compiled

    def __call__(self, states: Float[Tensor, "*rows H"]) -> Float[Tensor, "*rows H"]:
        line = states.reshape(-1, states.shape[-1])
        padded = nn.functional.pad(line, (0, 0, 0, bucket(len(line)) - len(line)))
        return self.compiled(padded)[: len(line)].view(states.shape)

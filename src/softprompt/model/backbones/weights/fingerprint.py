"""Which model is this? A hash that touches every tensor and does not depend on the dtype it was loaded in.

Every parameter is hashed as bfloat16, the narrowest of the usual storage types that keeps the exponent: a checkpoint in
bfloat16 or float32 has the same fingerprint however it is loaded. A model that lives in float16 only is hashed from
there, which is the same for everybody who has that file.

A quantised model is another model than the plain one: its fingerprint begins with the scheme and goes over the packed
numbers and their scales.
"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from softprompt.model.backbones.weights.quantised import parts_of
from softprompt.model.backbones.weights.spread import present

__all__ = ["fingerprint"]


def fingerprint(model: nn.Module, *, quantised: str | None = None) -> str:
    """Hash over names, shapes and values of all parameters (32 hex digits); tied parameters count once.

    Args:
        model: On any devices.
        quantised: The scheme of its weights.

    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> _ = layer.weight.data[0, 0].add_(1)
    >>> before == fingerprint(layer)
    False
    """
    digest = hashlib.sha256()
    if quantised is not None:
        digest.update(f"quantised {quantised}".encode())
    for name, tensor in present(model) if quantised is None else _packed(model):
        digest.update(f"{name}{tuple(tensor.shape)}".encode())
        values = tensor.detach().to(device="cpu")
        if values.is_floating_point() or quantised is None:
            values = values.to(torch.bfloat16).reshape(-1).view(torch.int16)
        digest.update(values.contiguous().numpy().data)
    return digest.hexdigest()[:32]


def _packed(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    """What a quantised model keeps; bitsandbytes hands its scales over beside the weights."""
    for name, tensor in sorted(model.state_dict().items()):
        if isinstance(tensor, Tensor):
            yield from parts_of(name, tensor)

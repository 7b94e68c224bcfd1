"""Which model is this? A hash that touches every tensor and does not depend on the dtype it was loaded in.

Every parameter is hashed as bfloat16, the narrowest of the usual storage types that keeps the exponent: a checkpoint in
bfloat16 or float32 has the same fingerprint however it is loaded. A model that lives in float16 only is hashed from
there, which is the same for everybody who has that file.
"""

import hashlib

import torch
from torch import nn

__all__ = ["fingerprint"]


def fingerprint(model: nn.Module) -> str:
    """Hash over names, shapes and values of all parameters (32 hex digits); tied parameters count once.

    >>> layer = nn.Linear(2, 2)
    >>> before = fingerprint(layer)
    >>> _ = layer.weight.data[0, 0].add_(1)
    >>> before == fingerprint(layer)
    False
    """
    digest = hashlib.sha256()
    for name, parameter in sorted(model.named_parameters()):
        digest.update(f"{name}{tuple(parameter.shape)}".encode())
        values = parameter.detach().to(device="cpu", dtype=torch.bfloat16).reshape(-1)
        digest.update(values.view(torch.int16).numpy().data)
    return digest.hexdigest()[:32]

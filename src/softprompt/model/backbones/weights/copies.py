"""Copies of a model whose own weights may be trained, for what soft prompts are compared with.

The loaded model belongs to everybody: prompts, other contenders, a server. So whoever wants to change weights gets a
copy, and afterwards :func:`unchanged` proves, bit for bit, that the loaded model is what it was.

Knows modules and backbones; no tasks, no optimisers, no adapters.
"""

import copy
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from softprompt.core.errors import ModelError
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.weights.quantised import parts_of, require_training
from softprompt.model.backbones.weights.spread import require_whole

__all__ = ["exact_hash", "module_of", "require_copy", "trainable_copy", "unchanged"]


def module_of(backbone: Backbone) -> nn.Module:
    """The module that a backbone drives.

    Raises:
        ModelError: ``model.unsupported`` where it drives none of this process.
    """
    module = getattr(backbone, "model", None)
    if not isinstance(module, nn.Module):
        raise ModelError("model.unsupported", f"{backbone.spec.name} has no weights here that could be copied")
    return module


def require_copy(backbone: Backbone, *, share: bool = False) -> nn.Module:
    """The module to copy; refuses what :func:`trainable_copy` would, without a copy.

    Args:
        backbone: As loaded.
        share: Whether its tensors stay as they are, see there.

    Raises:
        ModelError: ``model.unsupported``; ``model.cannot_train`` for quantised weights that were to change, or that
            pass no right gradient; ``model.spread`` for weights that lie in several places.
    """
    module = module_of(backbone)
    require_whole(module, purpose="training its weights")
    require_training(backbone.spec)
    if backbone.spec.quantised is not None and not share:
        message = f"the weights of {backbone.spec.name} are quantised ({backbone.spec.quantised}): no step changes them"
        cure = "compare with LoRA, which adds to them, or with full fine-tuning of the plain model"
        raise ModelError("model.cannot_train", message, cure=cure)
    return module


def trainable_copy(backbone: Backbone, *, share: bool = False) -> Backbone:
    """A backbone over a copy of the model; everything is frozen until somebody unfreezes it.

    Args:
        backbone: As loaded; it is not touched.
        share: Use the same tensors instead of copies of them, in the same dtype: for a copy whose modules get
            additions (adapters) and whose tensors stay. Else the copy has tensors of its own, in fp32, because steps of
            usual size are lost in a 16-bit weight.

    Raises:
        ModelError: As :func:`require_copy`.

    >>> from softprompt.testing import tiny
    >>> loaded = tiny()
    >>> own = trainable_copy(loaded)
    >>> _ = next(module_of(own).parameters()).data.add_(1)
    >>> exact_hash(module_of(own)) == exact_hash(module_of(loaded))
    False
    """
    module = require_copy(backbone, share=share)
    shared: dict[int, Any] = {}
    if share:
        shared = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    own = copy.deepcopy(module, shared)
    if not share:
        own = own.float()
    own.eval().requires_grad_(False)
    clone: Any = copy.copy(backbone)
    clone.model = own
    clone.spec = backbone.spec if share else replace(backbone.spec, dtype=torch.float32)

    def embed(ids: Int[Tensor, "*n"]) -> Float[Tensor, "*n E"]:
        """With a graph where the table is trained; a loaded backbone builds none."""
        vectors: Tensor = clone.model.get_input_embeddings()(ids.to(clone.spec.device))
        return vectors

    clone.embed = embed
    return clone  # type: ignore[no-any-return]


def exact_hash(module: nn.Module) -> str:
    """Hash over names, dtypes and every bit of parameters and buffers, and over what is trained and in which mode.

    Unlike the fingerprint it sees a change in the last bit, and modules that somebody added.
    """
    found = hashlib.blake2b(digest_size=16)
    for name, part in module.named_modules():
        found.update(f"{name}:{type(part).__name__}:{part.training}".encode())
    tensors = (*module.named_parameters(), *module.named_buffers())
    for name, tensor in tensors:
        found.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}:{tensor.requires_grad}".encode())
        for _, part in parts_of(name, tensor):
            values = part.detach().to("cpu").contiguous().reshape(-1).view(torch.uint8)
            found.update(values.numpy().data)
    return found.hexdigest()


@contextmanager
def unchanged(backbone: Backbone, *, during: str) -> Iterator[None]:
    """Refuse to go on when the model was changed in here.

    Args:
        backbone: The loaded model.
        during: Who worked in here, for the message.

    Raises:
        ModelError: ``model.changed``.
    """
    module = module_of(backbone)
    before = exact_hash(module)
    yield
    if exact_hash(module) != before:
        message = f"{during} changed the loaded model: every number after it would be of another model"
        raise ModelError("model.changed", message, cure="load the model again; this is a fault of softprompt")

"""How what stands in soft slots enters a transformers model: through its cache, and on the way into its layers.

Keys and values enter where a layer hands its own to the cache; vectors, and what nobody sees yet, by hooks before the
layers during one call. The model is used as it is.

Knows transformers' caches and layers; no slots, no prompts.
"""

import inspect
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.cache_utils import DynamicLayer

from softprompt.core.errors import ModelError
from softprompt.core.tensors import State
from softprompt.model.backbones.splicing.slots import Layered, Vectors, Written

__all__ = ["enter", "entering", "going_into", "layered_cache", "write"]


class _Layer(DynamicLayer):
    """Keys and values of one layer: state, what stands beside the live tokens, and these, partly written over.

    An update may be made again while gradients are computed, so it starts from the same beginning each time.
    """

    def __init__(self, before: list[tuple[Tensor, Tensor]], written: Written | None, *, keep: bool) -> None:
        super().__init__()
        self.before, self.written, self.keep = before, written, keep

    def update(self, key_states: Tensor, value_states: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
        if self.written is not None:
            key_states = write(key_states, self.written.places, self.written.keys)
            value_states = write(value_states, self.written.places, self.written.values)
        place = key_states.device
        keys = torch.cat([*(keys.to(place) for keys, _ in self.before), key_states], dim=2)
        values = torch.cat([*(values.to(place) for _, values in self.before), value_states], dim=2)
        if self.keep:
            self.keys, self.values = keys, values
        return keys, values

    def get_seq_length(self) -> int:
        return sum(keys.shape[2] for keys, _ in self.before)


def write(own: Float[Tensor, "S G L D"], places: Int[Tensor, " n"], given: Float[Tensor, "n G D"]) -> Tensor:
    """Keys or values of live tokens with others at flat places of S and L."""
    by_token = own.transpose(1, 2)
    flat = by_token.reshape(-1, *by_token.shape[2:])
    return flat.index_copy(0, places.to(flat.device), given.to(flat)).view(by_token.shape).transpose(1, 2)


def layered_cache(state: State | None, layered: Layered, num_layers: int, *, keep: bool) -> DynamicCache:
    """A cache for one call that begins with a state and what stands beside the live tokens.

    Args:
        state: By line.
        layered: What enters.
        num_layers: Of the model.
        keep: Whether somebody wants the keys and values afterwards.
    """
    cache = DynamicCache()
    for n in range(num_layers):
        before = [] if state is None else [(state.keys[n], state.values[n])]
        before += [layered.beside[n]] if n in layered.beside else []
        cache.layers.append(_Layer(before, layered.written.get(n), keep=keep))
    return cache


@contextmanager
def entering(layers: list[nn.Module], layered: Layered | None, *, causal: bool = True) -> Iterator[None]:
    """During a call vectors enter their layers, and below them nobody sees their tokens.

    Args:
        layers: Of the model, in order.
        layered: What enters; None: nothing.
        causal: Whether a token sees those before it alone, where the layers are given no mask.
    """
    if layered is None:
        yield
        return
    handles = []
    if layered.since is not None and "position_bias" in inspect.signature(type(layers[0]).forward).parameters:
        handles.append(layers[0].register_forward_hook(_require_bias_apart))
    for n, layer in enumerate(layers):
        absent = None if layered.since is None else layered.since > n
        if absent is not None and bool(absent.any()):
            handles.append(layer.register_forward_pre_hook(_Hide(layer, absent, causal=causal), with_kwargs=True))
        if n in layered.hidden:
            handles.append(layer.register_forward_pre_hook(_Enter(layered.hidden[n])))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _require_bias_apart(layer: nn.Module, _args: Any, made: Any) -> None:
    """T5's first layer makes the position bias of all; in some versions of transformers with its own mask in it."""
    for part in made[1:] if isinstance(made, tuple) else ():
        if isinstance(part, Tensor) and float(part.detach().min()) <= torch.finfo(part.dtype).min / 2:
            raise ModelError(
                "model.unsupported_prompt",
                f"soft tokens that enter at a later layer have to be hidden below it, and {type(layer).__name__} of "
                "this transformers gives all layers the mask of the first",
                cure="use a newer transformers (5.23 was tested), or another method",
            )


@contextmanager
def going_into(layer: nn.Module) -> Iterator[list[Tensor]]:
    """What goes into a layer during calls."""
    found: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda _layer, args: found.append(args[0]))
    try:
        yield found
    finally:
        handle.remove()


def enter(hidden: Float[Tensor, "S L H"], vectors: Vectors) -> Float[Tensor, "S L H"]:
    """What goes into a layer, with vectors at their places."""
    flat = hidden.reshape(-1, hidden.shape[-1])
    return flat.index_copy(0, vectors.places.to(flat.device), vectors.values.to(flat)).view_as(hidden)


class _Enter:
    """Puts vectors into what goes into a layer."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def __call__(self, _layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        hidden, *others = args
        return (enter(hidden, self.vectors), *others)


class _Hide:
    """Takes columns out of a layer's mask; they see themselves, so that no row of the mask is empty."""

    def __init__(self, layer: nn.Module, absent: Bool[Tensor, "S W"], *, causal: bool) -> None:
        self.absent, self.causal = absent, causal
        names = list(inspect.signature(type(layer).forward).parameters)
        self.place = names.index("attention_mask") - 1 if "attention_mask" in names else None

    def __call__(
        self, layer: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]]:
        by_place = self.place is not None and self.place < len(args)
        mask = args[self.place] if by_place and self.place is not None else kwargs.get("attention_mask")
        if self.place is None or not (mask is None or (isinstance(mask, Tensor) and mask.ndim == 4)):
            raise ModelError(
                "model.unsupported_prompt",
                f"soft tokens that enter at a later layer have to be hidden below it, and {type(layer).__name__} takes "
                "no mask that could say so",
                cure="load the model with attention 'sdpa' or 'eager', or use another method",
            )
        self.absent = self.absent.to(args[0].device if mask is None else mask.device)
        hidden = self._without(mask, args[0].shape[1])
        if by_place:
            return (*args[: self.place], hidden, *args[self.place + 1 :]), kwargs
        return args, kwargs | {"attention_mask": hidden}

    def _without(self, mask: Tensor | None, columns: int) -> Tensor:
        width = self.absent.shape[1]
        physical = torch.arange(width, device=self.absent.device)
        token = physical[width - columns :, None]
        hidden = self.absent[:, None, None, :] & (physical != token)
        if mask is None:  # what transformers leaves out where all is seen, or all that comes before
            return (physical <= token) & ~hidden if self.causal else ~hidden
        return mask & ~hidden if mask.dtype == torch.bool else mask.masked_fill(hidden, torch.finfo(mask.dtype).min)

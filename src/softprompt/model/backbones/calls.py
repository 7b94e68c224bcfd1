"""One call of a transformers model: masks in the form it takes, the output layer only where it is read.

The model is used as it is. Nothing is patched but hooks on the output layer and on the last feed-forward block during a
call and, when checkpointing is asked for, the layers' forwards during a call; torch's attention is replaced by a faster
one where that computes the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from softprompt.core.tensors import State
from softprompt.model.backbones.attention import fast_attention
from softprompt.model.backbones.families import Family
from softprompt.model.backbones.splicing.splice import Inputs, tree_mask

__all__ = ["cache_of", "call", "checkpointed", "layers_of", "mask_for", "tensors_of"]


def call(
    model: PreTrainedModel,
    embeds: Float[Tensor, "S L E"],
    mask: Tensor | Mapping[str, Tensor],
    positions: Int[Tensor, "S L"],
    *,
    takes_positions: bool,
    cache: DynamicCache | None,
    keep: Int[Tensor, " N"],
    project: bool,
) -> tuple[Float[Tensor, "N H"], Float[Tensor, "N V"] | None]:
    """One forward.

    Args:
        model: In evaluation mode.
        embeds: Input embeddings.
        mask: 2D over cache and input, 4D, or 4D by kind of layer.
        positions: Logical positions.
        takes_positions: Whether the model's forward has ``position_ids``.
        cache: Mutated; None to keep nothing.
        keep: Flat indices into S * L.
        project: Whether logits are wanted.

    Returns:
        What the output layer gets at ``keep``, and its logits (scales and soft caps included).
    """
    caught: list[Tensor] = []

    def catch(_module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor]:
        kept = args[0].reshape(-1, args[0].shape[-1]).index_select(0, keep.to(args[0].device))
        caught.append(kept)
        # Without a reader of logits one row goes through, because the model insists on its output layer.
        return (kept if project else kept[:1].detach(),)

    arguments: dict[str, Any] = {"inputs_embeds": embeds, "attention_mask": mask, "use_cache": cache is not None}
    if cache is not None:
        arguments["past_key_values"] = cache
    if takes_positions:
        arguments["position_ids"] = positions
    handle = model.get_output_embeddings().register_forward_pre_hook(catch)
    try:
        with fast_attention(embeds, frozen=_num_frozen(cache)), _last_block_at(model, keep, embeds):
            logits = model(**arguments).logits
    finally:
        handle.remove()
    # Of a model on several devices the output layer may lie elsewhere than what goes in.
    logits = logits.reshape(-1, logits.shape[-1]).to(embeds.device) if project else None
    return caught[0].to(embeds.device), logits


def mask_for(inputs: Inputs, family: Family, config: Any, dtype: torch.dtype) -> Tensor | dict[str, Tensor]:
    """The 2D mask, or where lines branch a tree mask: boolean for sdpa, additive for eager; by kind of layer."""
    if inputs.ends is None:
        return inputs.mask

    def form(window: int | None) -> Tensor:
        seen = tree_mask(inputs, window=window)
        if config._attn_implementation != "eager":
            return seen
        return torch.zeros_like(seen, dtype=dtype).masked_fill(~seen, torch.finfo(dtype).min)

    windows = family.windows(config)
    if isinstance(windows, Mapping):
        return {kind: form(window) for kind, window in windows.items()}
    return form(windows)


def cache_of(state: State | None = None) -> DynamicCache:
    """A cache of its own for one call, built without the model's config: a sliding cache would drop keys."""
    cache = DynamicCache()
    for keys, values in () if state is None else zip(state.keys, state.values, strict=True):
        layer = _Layer()
        layer.update(keys, values)
        cache.layers.append(layer)
    return cache


class _Layer(DynamicLayer):
    """What was kept of a layer goes where the layer computes."""

    keys: Any
    values: Any

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        if self.is_initialized:
            self.keys, self.values = self.keys.to(key_states.device), self.values.to(key_states.device)
        found: tuple[Tensor, Tensor] = super().update(key_states, value_states, *args, **kwargs)
        return found


def tensors_of(cache: DynamicCache, *, device: torch.device) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Keys and values by layer, brought to one device."""
    layers = cache.layers
    return tuple(layer.keys.to(device) for layer in layers), tuple(layer.values.to(device) for layer in layers)


def _num_frozen(cache: DynamicCache | None) -> int:
    """Columns that a cache brings along and that nothing is learnt in, in every layer."""
    parts = [part for layer in cache.layers for part in (layer.keys, layer.values)] if cache is not None else []
    if not parts or any(part is None or part.requires_grad for part in parts):
        return 0
    return min(int(part.shape[2]) for part in parts)


def layers_of(model: PreTrainedModel) -> list[nn.Module]:
    """The decoder layers: the model's first list of as many modules as its config has layers."""
    config = model.config.get_text_config(decoder=True)
    lists = (module for module in model.modules() if isinstance(module, nn.ModuleList))
    return list(next(found for found in lists if len(found) == config.num_hidden_layers))


@contextmanager
def _last_block_at(model: PreTrainedModel, keep: Int[Tensor, " N"], embeds: Float[Tensor, "S L E"]) -> Iterator[None]:
    """The last layer's feed-forward block computes the tokens of ``keep`` alone and gives zeros for the others.

    It works on each token by itself and what it makes of a token goes nowhere but into that token's output, so nobody
    sees the zeros. Half of a layer's work or more, saved forwards and backwards.
    """
    few = 2 * len(keep) <= embeds.shape[0] * embeds.shape[1]  # asked first: a step of decoding reads every token
    block = getattr(layers_of(model)[-1], "mlp", None) if few else None
    if not isinstance(block, nn.Module):
        yield
        return
    shapes: list[torch.Size] = []

    def pick(_block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, Any] | None:
        if len(args) != 1 or kwargs:
            return None  # the block is given more than the tokens' states (Bloom: the residual)
        (states,) = args
        shapes.append(states.shape)
        picked = states.reshape(-1, states.shape[-1]).index_select(0, keep.to(states.device))
        return (picked[None],), {}

    def spread(_block: nn.Module, _args: object, made: Any) -> Any:
        if not shapes:
            return made
        shape = shapes.pop()
        states, *rest = made if isinstance(made, tuple) else (made,)  # experts may give their router's scores too
        empty = states.new_zeros(shape[:-1].numel(), states.shape[-1])
        states = empty.index_copy(0, keep.to(states.device), states[0]).view(*shape[:-1], -1)
        return (states, *rest) if isinstance(made, tuple) else states

    handles = (block.register_forward_pre_hook(pick, with_kwargs=True), block.register_forward_hook(spread))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _with_fast_attention(forward: Callable[..., Any], hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
    with fast_attention(hidden):
        return forward(hidden, *args, **kwargs)


@contextmanager
def checkpointed(layers: Sequence[nn.Module], *, enabled: bool) -> Iterator[None]:
    """Layers forget their activations and recompute them backwards; all but the last, with which backwards begins.

    transformers' own checkpointing does nothing in evaluation mode and drops the cache in training mode. The model is
    frozen and in evaluation mode, so there is no dropout whose random numbers would have to be kept.
    """
    layers = layers[:-1] if enabled else []
    originals = [layer.forward for layer in layers]
    own = [vars(layer).get("forward") for layer in layers]  # accelerate's, where it has put one there
    try:
        for layer, original in zip(layers, originals, strict=True):
            again = partial(_with_fast_attention, original)  # the backward pass runs outside of the call
            layer.forward = partial(recompute, again, use_reentrant=False, preserve_rng_state=False)
        yield
    finally:
        for layer, before in zip(layers, own, strict=True):
            vars(layer).pop("forward", None)
            if before is not None:
                layer.forward = before

"""Attention in encoders over states that were read before: observers see them, and they never see the observers.

Encoders of transformers take no cache of their own (BERT, RoBERTa and ELECTRA do as decoders; ALBERT, DistilBERT, MPNet
and DeBERTa not at all). So while :func:`observing` is active, every layer's attention is computed here: keys and values
of the text are put before those of the live tokens, and one mask over both says which are real. Three kinds:

* models that dispatch their attention by name: a function that is registered with transformers and chosen by the
  model's config while one of its layers runs;
* MPNet, whose attention adds a bias by distance, and DeBERTa-v2 and v3, whose keys and queries meet vectors of
  distances (He et al. 2021, equation 4): short attentions of their own.

Soft slots may be keys and values: they are put over those of the live tokens at their places. Vectors that enter at a
later layer are put over what goes into it; below, the mask leaves their tokens out.

Layers are numbered by the order of their calls, because ALBERT calls one module many times. Knows no lines and no
prompts.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cached_property, partial
from itertools import count
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute
from transformers import PreTrainedModel
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

from softprompt.core.tensors import State
from softprompt.model.backbones.disentangled import ATTENTIONS
from softprompt.model.backbones.entering import enter, write
from softprompt.model.backbones.splicing.slots import Layered
from softprompt.model.backbones.splicing.splice import Inputs

__all__ = ["View", "encoder_layers", "observing"]

#: The name of our attention in transformers' table.
NAME = "softprompt_observers"


@dataclass
class View:
    """What the tokens of one call see.

    Attributes:
        inputs: The lines.
        past: States of what was read before them, a row a line; None where nothing was.
        keep: Whether keys and values of the live tokens are collected, and what goes into the layers.
        layered: What soft slots put into the layers.
        keys: Collected, by layer.
        values: Collected, by layer.
        entered: Collected, by layer.
        shared: What the first layer makes for all.
    """

    inputs: Inputs
    past: State | None = None
    keep: bool = False
    layered: Layered = Layered()  # noqa: RUF009 - immutable
    keys: list[Tensor] = field(default_factory=list)
    values: list[Tensor] = field(default_factory=list)
    entered: list[Tensor] = field(default_factory=list)
    shared: dict[str, Tensor] = field(default_factory=dict)

    def extend(
        self, layer: int, keys: Float[Tensor, "S H L D"], values: Float[Tensor, "S H L D"]
    ) -> tuple[Float[Tensor, "S H W D"], Float[Tensor, "S H W D"]]:
        """Keys and values of everything that the live tokens of a layer see."""
        if (written := self.layered.written.get(layer)) is not None:
            keys = write(keys, written.places, written.keys)
            values = write(values, written.places, written.values)
        if self.keep:
            self.keys.append(keys)
            self.values.append(values)
        if self.past is None:
            return keys, values
        return torch.cat([self.past.keys[layer], keys], 2), torch.cat([self.past.values[layer], values], 2)

    @cached_property
    def mask(self) -> Bool[Tensor, "S 1 1 W"] | None:
        """Which keys are real; None where all are, which some kernels do faster."""
        inputs = self.inputs
        columns = inputs.ids.shape[1]
        if all(n == columns for n in inputs.counts) and all(n == inputs.state_width for n in inputs.starts):
            return None
        return inputs.mask[:, None, None]

    def enter(self, layer: int, hidden: Float[Tensor, "S L H"]) -> Float[Tensor, "S L H"]:
        """What goes into a layer, with the vectors that enter there."""
        found = self.layered.hidden.get(layer)
        entered = hidden if found is None else enter(hidden, found)
        if self.keep:
            self.entered.append(entered)
        return entered

    def mask_at(self, layer: int) -> Bool[Tensor, "S 1 1 W"] | None:
        """Which keys a layer sees."""
        since = self.layered.since
        if since is None or not bool((since > layer).any()):
            return self.mask
        return (self.inputs.mask & (since <= layer))[:, None, None]

    @cached_property
    def distances(self) -> Int[Tensor, "1 L W"]:
        """Position of the query less that of the key: of columns, for a line's tokens are physically contiguous."""
        columns = torch.arange(self.inputs.mask.shape[1], device=self.inputs.mask.device)
        return (columns[self.inputs.state_width :, None] - columns)[None]


@dataclass(frozen=True)
class _Layer:
    """The layer that is running."""

    view: View
    index: int

    @property
    def shared(self) -> dict[str, Tensor]:
        return self.view.shared

    @property
    def mask(self) -> Tensor | None:
        return self.view.mask_at(self.index)

    @property
    def distances(self) -> Tensor:
        return self.view.distances

    def extend(self, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        return self.view.extend(self.index, keys, values)


_RUNNING: ContextVar[_Layer] = ContextVar("softprompt_layer")


@contextmanager
def observing(model: PreTrainedModel, view: View, *, checkpoint: bool = False) -> Iterator[None]:
    """Within it, the model's layers attend as the view says.

    Args:
        model: An encoder.
        view: Of this call.
        checkpoint: Layers forget their activations and recompute them backwards; all but the last, with which backwards
            begins. The model is in evaluation mode, so there are no random numbers to be kept.
    """
    if NAME not in ALL_ATTENTION_FUNCTIONS:
        ALL_ATTENTION_FUNCTIONS.register(NAME, _observe)
    numbers = count()
    modules = encoder_layers(model)
    last = model.config.num_hidden_layers - 1

    def through(module: nn.Module, forward: Callable[..., Any], hidden: Tensor, *args: Any, **kwargs: Any) -> Any:
        layer = _Layer(view, next(numbers))
        args = (view.enter(layer.index, hidden), *args)
        run = partial(_run, model, module, forward, layer)
        if checkpoint and layer.index < last:
            return recompute(run, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)
        return run(*args, **kwargs)

    with _replaced({module: partial(through, module, module.forward) for module in modules}):
        yield


def encoder_layers(model: PreTrainedModel) -> list[nn.Module]:
    """The modules that hold one layer's weights: those of the innermost lists of modules."""
    lists = [module for module in model.base_model.modules() if isinstance(module, nn.ModuleList)]
    inner = [found for found in lists if not any(isinstance(m, nn.ModuleList) for one in found for m in one.modules())]
    return [module for found in inner for module in found]


def _run(
    model: PreTrainedModel, module: nn.Module, forward: Callable[..., Any], layer: _Layer, *args: Any, **kwargs: Any
) -> Any:
    """One layer with our attention; also when it is recomputed, outside of the call."""
    config = model.config
    attentions = {
        part: partial(attend, part, model.base_model, layer)
        for part in module.modules()
        if (attend := ATTENTIONS.get(type(part).__name__)) is not None
    }
    own, token = config._attn_implementation, _RUNNING.set(layer)
    config._attn_implementation = NAME
    try:
        with _replaced(attentions):
            return forward(*args, **kwargs)
    finally:
        config._attn_implementation = own
        _RUNNING.reset(token)


@contextmanager
def _replaced(forwards: Mapping[nn.Module, Callable[..., Any]]) -> Iterator[None]:
    """Modules with other forwards; what each had of its own comes back."""
    own = {module: vars(module).get("forward") for module in forwards}
    try:
        for module, forward in forwards.items():
            module.forward = forward
        yield
    finally:
        for module, before in own.items():
            vars(module).pop("forward", None)
            if before is not None:
                module.forward = before


def _observe(
    _module: nn.Module,
    query: Float[Tensor, "S H L D"],
    key: Float[Tensor, "S H L D"],
    value: Float[Tensor, "S H L D"],
    _mask: Tensor | None = None,
    scaling: float | None = None,
    **_: Any,
) -> tuple[Float[Tensor, "S L H D"], None]:
    """The attention that models dispatch to. The model's own mask knows the live tokens alone and is not asked."""
    layer = _RUNNING.get()
    key, value = layer.extend(key, value)
    made = nn.functional.scaled_dot_product_attention(query, key, value, attn_mask=layer.mask, scale=scaling)
    return made.transpose(1, 2).contiguous(), None

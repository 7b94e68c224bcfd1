"""The oracle for slots that enter the layers: transformers itself, one path, segment by segment through its own cache.

Keys and values are put into the cache where they stand. Vectors that enter at layer m are put over what goes into
layer m, and everything is run once for each such layer: below it, the tokens are left out of the plain 2D mask (but
count: they keep their positions). A decoder reads its side like this over the output of its encoder. Shares nothing
with the code under test.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from transformers import DynamicCache, EncoderDecoderCache
from transformers.models.bloom import modeling_bloom
from transformers.models.falcon import modeling_falcon

from softprompt.core.records import Answer, Readout, Row, Soft
from softprompt.core.tensors import PromptTensors, SlotTensors
from tests.laws.both_ways import since

__all__ = ["Decoder", "staged", "steps"]


def steps(
    backbone: Any, row: Row, index: int, prompts: Sequence[PromptTensors], *, nodes: Sequence[int] | None = None
) -> list[Tensor | SlotTensors]:
    """The path to a node (or some of it), segment by segment; empty where no slot on it enters the layers."""
    table = backbone.model.get_input_embeddings()
    parts: list[Tensor | SlotTensors] = []
    for at in row.path(index) if nodes is None else nodes:
        segment = row.nodes[at].segment
        if isinstance(segment, Soft):
            slot = prompts[segment.prompt_index].slots[segment.slot]
            parts.append(slot if slot.hidden or slot.kv else slot.embed)
        elif not isinstance(segment, Readout):
            ids = segment.ids[:-1] if isinstance(segment, Answer) else segment.ids
            parts.append(table(torch.tensor(ids, dtype=torch.long)))
    if not any(isinstance(part, SlotTensors) for part in parts):
        return []
    return [part for part in parts if isinstance(part, SlotTensors) or len(part)]


class Causal:
    """A causal model over its own cache."""

    def __init__(self, model: Any) -> None:
        self.model, self.layers = model, _layers(model)

    def cache(self) -> Any:
        return DynamicCache()

    def kept(self, cache: Any) -> DynamicCache:
        """Where keys and values go."""
        return cache

    def run(self, embeds: Tensor, mask: Tensor, cache: Any, *, states: bool) -> Tensor:
        places = torch.arange(mask.shape[1] - embeds.shape[1], mask.shape[1])[None]
        told = {} if "bloom" in self.model.config.model_type else {"position_ids": places}
        run = self.model.base_model if states else self.model
        out = run(inputs_embeds=embeds, attention_mask=mask, past_key_values=cache, use_cache=True, **told)
        return (out.last_hidden_state if states else out.logits)[0]


class Decoder:
    """A decoder over its own cache and the output [1, T, H] of its encoder."""

    def __init__(self, model: Any, memory: Tensor, scale: float) -> None:
        self.model, self.memory, self.scale = model, memory, scale
        named = model.get_decoder().named_modules()
        self.layers = next(module for name, module in named if name in ("block", "layers"))

    def cache(self) -> Any:
        return EncoderDecoderCache(DynamicCache(), DynamicCache())

    def kept(self, cache: Any) -> DynamicCache:
        return cache.self_attention_cache

    def run(self, embeds: Tensor, mask: Tensor, cache: Any, *, states: bool) -> Tensor:
        out = self.model(
            encoder_outputs=(self.memory,),
            decoder_inputs_embeds=embeds,
            decoder_attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            output_hidden_states=states,
        )
        return out.decoder_hidden_states[-1][0] * self.scale if states else out.logits[0]


def staged(model: Any, parts: Sequence[Tensor | SlotTensors], *, states: bool) -> Tensor:
    """Logits (or states under the output layer) [T, V] of one path; blank where there are only keys and values.

    Args:
        model: With an output layer, or a :class:`Decoder`.
        parts: Embeddings [n, E], or slots that enter the layers.
        states: States instead of logits.
    """
    levels = sorted({level for part in parts if isinstance(part, SlotTensors) for level in (*part.hidden, since(part))})
    entered: dict[int, Tensor] = {}
    level = 0
    model = model if isinstance(model, Decoder) else Causal(model)
    for following in [*(one for one in levels if one > 0), None]:
        out, caught = _run(model, parts, level, entered, following, states=states)
        if following is not None:
            given = {n: p.hidden[following] for n, p in enumerate(parts) if _has(p, following)}
            entered = caught | {n: vectors[None] for n, vectors in given.items()}
            level = following
    return out


def _has(part: Tensor | SlotTensors, level: int) -> bool:
    return isinstance(part, SlotTensors) and level in part.hidden


def _run(
    model: Any,
    parts: Sequence[Tensor | SlotTensors],
    level: int,
    entered: dict[int, Tensor],
    following: int | None,
    *,
    states: bool,
) -> tuple[Tensor, dict[int, Tensor]]:
    """All parts in order, with what goes into layer ``level`` replaced; caught is what goes into the following one."""
    layers, dtype = model.layers, model.model.dtype
    cache, seen, outs, caught = model.cache(), torch.zeros(1, 0, dtype=torch.long), [], {}
    for n, part in enumerate(parts):
        exists = not isinstance(part, SlotTensors) or since(part) <= level
        if isinstance(part, SlotTensors) and part.kv:
            length = part.length
            blank = tuple(torch.zeros_like(one) for one in part.kv[max(part.kv)])
            for layer in range(len(layers)):  # all layers of the families here are alike
                keys, values = part.kv.get(layer, blank)
                model.kept(cache).update(keys[None].to(dtype), values[None].to(dtype), layer)
            outs.append(torch.full((length, 1), torch.nan))
        else:
            length = part.length if isinstance(part, SlotTensors) else len(part)
            width = model.model.get_input_embeddings()(torch.tensor([0])).shape[-1]
            embeds = part if isinstance(part, Tensor) else part.embed
            embeds = torch.zeros(length, width, dtype=dtype) if embeds is None else embeds.to(dtype)
            mask = torch.cat([seen, torch.ones(1, length, dtype=torch.long)], 1)
            with ExitStack() as stack:
                if n in entered:
                    stack.enter_context(_at(layers[level], lambda hidden, n=n: entered[n].to(hidden)))
                if following is not None:
                    stack.enter_context(_at(layers[following], lambda hidden, n=n: caught.setdefault(n, hidden)))
                stack.enter_context(_positions_count_everything())
                outs.append(model.run(embeds[None], mask, cache, states=states))
        seen = torch.cat([seen, torch.full((1, length), int(exists))], 1)
    width = max(out.shape[1] for out in outs)
    return torch.cat([out.expand(-1, width) for out in outs]), caught


@contextmanager
def _at(layer: nn.Module, change: Any) -> Iterator[None]:
    handle = layer.register_forward_pre_hook(lambda _m, args: (change(args[0]), *args[1:]))
    try:
        yield
    finally:
        handle.remove()


@contextmanager
def _positions_count_everything() -> Iterator[None]:
    """ALiBi counts columns, left out or not; transformers counts those of the mask."""
    falcon, bloom = modeling_falcon.build_alibi_tensor, modeling_bloom.build_alibi_tensor
    with (
        patch.object(
            modeling_falcon, "build_alibi_tensor", lambda mask, *a, **k: falcon(torch.ones_like(mask), *a, **k)
        ),
        patch.object(modeling_bloom, "build_alibi_tensor", lambda mask, *a, **k: bloom(torch.ones_like(mask), *a, **k)),
    ):
        yield


def _layers(model: Any) -> nn.ModuleList:
    number = model.config.num_hidden_layers
    return next(m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == number)

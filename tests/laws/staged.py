"""The oracle for slots that enter the layers: transformers itself, one path, segment by segment through its own cache.

Keys and values are put into the cache where they stand. Vectors that enter at layer m are put over what goes into
layer m, and everything is run once for each such layer: below it, the tokens are left out of the plain 2D mask (but
count: they keep their positions). Shares nothing with the code under test.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.models.bloom import modeling_bloom
from transformers.models.falcon import modeling_falcon

from softprompt.core.records import Answer, Readout, Row, Soft
from softprompt.core.tensors import PromptTensors, SlotTensors

__all__ = ["staged", "steps"]


def steps(backbone: Any, row: Row, index: int, prompts: Sequence[PromptTensors]) -> list[Tensor | SlotTensors]:
    """The path to a node, segment by segment; empty where no slot on it enters the layers."""
    table = backbone.model.get_input_embeddings()
    parts: list[Tensor | SlotTensors] = []
    for at in row.path(index):
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


def staged(model: Any, parts: Sequence[Tensor | SlotTensors], *, states: bool) -> Tensor:
    """Logits (or states under the output layer) [T, V] of one path; blank where there are only keys and values.

    Args:
        model: With an output layer.
        parts: Embeddings [n, E], or slots that enter the layers.
        states: States instead of logits.
    """
    levels = sorted({level for part in parts if isinstance(part, SlotTensors) for level in (*part.hidden, since(part))})
    entered: dict[int, Tensor] = {}
    level = 0
    for following in [*(one for one in levels if one > 0), None]:
        out, caught = _run(model, parts, level, entered, following, states=states)
        if following is not None:
            given = {n: p.hidden[following] for n, p in enumerate(parts) if _has(p, following)}
            entered = caught | {n: vectors[None] for n, vectors in given.items()}
            level = following
    return out


def since(part: SlotTensors) -> int:
    return 0 if part.embed is not None else min((*part.hidden, *part.kv))


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
    layers = _layers(model)
    cache, seen, outs, caught = DynamicCache(), torch.zeros(1, 0, dtype=torch.long), [], {}
    for n, part in enumerate(parts):
        exists = not isinstance(part, SlotTensors) or since(part) <= level
        if isinstance(part, SlotTensors) and part.kv:
            length, (_, shapes) = part.length, (0, _shapes(model))
            for layer, (groups, dk, dv) in enumerate(shapes):
                blank = torch.zeros(groups, length, dk), torch.zeros(groups, length, dv)
                keys, values = part.kv.get(layer, blank)
                cache.update(keys[None].to(model.dtype), values[None].to(model.dtype), layer)
            outs.append(torch.full((length, 1), torch.nan))
        else:
            length = part.length if isinstance(part, SlotTensors) else len(part)
            width = model.get_input_embeddings()(torch.tensor([0])).shape[-1]
            embeds = part if isinstance(part, Tensor) else part.embed
            embeds = torch.zeros(length, width, dtype=model.dtype) if embeds is None else embeds.to(model.dtype)
            places = torch.arange(seen.shape[1], seen.shape[1] + length)[None]
            mask = torch.cat([seen, torch.ones(1, length, dtype=torch.long)], 1)
            with ExitStack() as stack:
                if n in entered:
                    stack.enter_context(_at(layers[level], lambda hidden, n=n: entered[n].to(hidden)))
                if following is not None:
                    stack.enter_context(_at(layers[following], lambda hidden, n=n: caught.setdefault(n, hidden)))
                stack.enter_context(_positions_count_everything())
                told = {} if "bloom" in model.config.model_type else {"position_ids": places}
                run = model.base_model if states else model
                out = run(
                    inputs_embeds=embeds[None], attention_mask=mask, past_key_values=cache, use_cache=True, **told
                )
            outs.append((out.last_hidden_state if states else out.logits)[0])
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


def _shapes(model: Any) -> list[tuple[int, int, int]]:
    """(G, Dk, Dv) by layer."""
    cache = DynamicCache()
    with torch.no_grad():
        model(torch.tensor([[1]]), past_key_values=cache, use_cache=True)
    return [(one.keys.shape[1], one.keys.shape[3], one.values.shape[3]) for one in cache.layers]

"""The oracle for slots that enter the layers of a model that reads both ways: one line, plain forwards of transformers.

Keys and values are put over what the model's own projections make. Vectors that enter at layer m are put over what goes
into layer m, and the line is read once for each such layer: below it, the columns are left out of the mask. Shares
nothing with the code under test.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from softprompt.core.tensors import SlotTensors

__all__ = ["Placed", "read_both_ways", "since"]

#: First column of a slot that enters the layers, and what it holds.
Placed = tuple[int, SlotTensors]

KEYS = {"key", "k", "k_lin", "k_proj", "key_proj"}
VALUES = {"value", "v", "v_lin", "v_proj", "value_proj"}


def since(slot: SlotTensors) -> int:
    """The first layer in which a slot exists."""
    return 0 if slot.embed is not None else min((*slot.hidden, *slot.kv))


def read_both_ways(body: nn.Module, run: Callable[[Tensor], Any], placed: Sequence[Placed], length: int) -> Any:
    """What ``run`` gives in the end.

    Args:
        body: The encoder.
        run: Reads the line, given which columns [T] nobody sees.
        placed: Slots that enter the layers.
        length: T.
    """
    levels = sorted({level for _, slot in placed for level in (*slot.hidden, since(slot)) if level > 0})
    entered: Tensor | None = None
    for level, following in zip([0, *levels], [*levels, None], strict=True):
        absent = torch.zeros(length, dtype=torch.bool)
        for at, slot in placed:
            absent[at : at + slot.length] |= since(slot) > level
        with _hooked(body, level, entered, following, placed) as caught:
            out = run(absent)
        if following is not None:
            (entered,) = caught
            for at, slot in placed:
                if following in slot.hidden:
                    vectors = slot.hidden[following][None].to(entered)
                    entered = torch.cat([entered[:, :at], vectors, entered[:, at + slot.length :]], dim=1)
    return out


@contextmanager
def _hooked(
    body: nn.Module, level: int, entered: Tensor | None, following: int | None, placed: Sequence[Placed]
) -> Iterator[list[Tensor]]:
    """Layers by the order of their calls, because ALBERT calls one module for all."""
    caught: list[Tensor] = []
    running: dict[str, Any] = {"layer": -1, "made": set()}

    def begin(_layer: nn.Module, args: tuple[Any, ...]) -> tuple[Any, ...]:
        running["layer"] += 1
        running["made"] = set()
        if running["layer"] == following:
            caught.append(args[0])
        replaced = entered is not None and running["layer"] == level
        return (entered if replaced else args[0], *args[1:])

    def over(which: int) -> Callable[..., Tensor]:
        def hook(module: nn.Module, _args: Any, made: Tensor) -> Tensor:
            if module in running["made"]:  # DeBERTa's keys of distances
                return made
            running["made"].add(module)
            for at, slot in placed:
                if (pair := slot.kv.get(running["layer"])) is not None:
                    mine = pair[which].transpose(0, 1).flatten(1)[None].to(made)
                    made = torch.cat([made[:, :at], mine, made[:, at + slot.length :]], dim=1)
            return made

        return hook

    layers = _layers(body)
    handles = [layer.register_forward_pre_hook(begin) for layer in layers]
    for layer in layers:
        for name, module in layer.named_modules():
            last = name.rpartition(".")[2]
            if last in KEYS | VALUES and isinstance(module, nn.Linear):
                handles.append(module.register_forward_hook(over(int(last in VALUES))))
    try:
        yield caught
    finally:
        for handle in handles:
            handle.remove()


def _layers(body: nn.Module) -> list[nn.Module]:
    """Modules whose name ends in a number below ``layer``, ``layers``, ``block`` or ``albert_layers``."""
    outer = ("layer", "layers", "block", "albert_layers")
    named = [(name.split("."), module) for name, module in body.named_modules()]
    found = [(path, module) for path, module in named if path[-1].isdigit() and path[-2] in outer]
    return [one for path, one in found if not any(path[: len(other)] == other != path for other, _ in found)]

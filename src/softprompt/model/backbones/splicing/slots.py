"""What soft slots put into the layers of a model: keys and values, and vectors that enter at a later layer.

A slot of P tokens takes P logical positions in every layer, whatever it is made of. Its tokens

* exist from layer ``since`` on: 0 with vectors among the embeddings, otherwise the first layer that is given anything.
  Below, nobody sees them;
* are replaced by ``hidden`` vectors on the way into the layers that have some, and go on from there as tokens do;
* or are keys and values, of every layer from ``since`` on, and nothing else.

Keys and values compute nothing: their tokens need no query. Where a tree mask is taken, they stand beside the live
tokens and cost next to nothing (:mod:`~softprompt.model.backbones.splicing.asides`), and so they do where lines begin
with them (:mod:`~softprompt.model.backbones.splicing.leading`). Elsewhere they stand among them, with their keys and
values written over: models without a tree mask count columns, for windows and for ALiBi. Nothing can be read directly
behind such a slot, because there is no state to be read.

Knows lines and tensors, no architecture.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from softprompt.core.errors import ModelError
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.splicing.lines import Line, SoftRun
from softprompt.model.backbones.splicing.splice import Inputs, slot_of

__all__ = ["Layered", "Shapes", "Vectors", "Written", "checked", "enters_layers", "layered"]


#: (G, Dk, Dv) by layer.
Shapes = Sequence[tuple[int, int, int]]


class Vectors(NamedTuple):
    """Vectors at flat places (line * L + column) of the live tokens."""

    places: Int[Tensor, " n"]
    values: Float[Tensor, "n H"]


class Written(NamedTuple):
    """Keys and values at flat places of the live tokens."""

    places: Int[Tensor, " n"]
    keys: Float[Tensor, "n G Dk"]
    values: Float[Tensor, "n G Dv"]


@dataclass(frozen=True)
class Layered:
    """What the slots of a batch put into the layers, by layer.

    Attributes:
        beside: Keys [S, G, N, Dk] and values [S, G, N, Dv] of the columns between state and live tokens.
        written: Over the keys and values of live tokens.
        hidden: Over what goes into a layer.
        since: By column [S, W] the first layer in which it exists; None where all exist in all.
    """

    beside: Mapping[int, tuple[Tensor, Tensor]] = field(default_factory=dict)
    written: Mapping[int, Written] = field(default_factory=dict)
    hidden: Mapping[int, Vectors] = field(default_factory=dict)
    since: Int[Tensor, "S W"] | None = None


def enters_layers(prompts: Iterable[PromptTensors]) -> bool:
    """Whether some slot holds more than vectors among the embeddings."""
    return any(slot.hidden or slot.kv for prompt in prompts for slot in prompt.slots.values())


def _since(slot: SlotTensors) -> int:
    """The first layer in which a slot exists."""
    return 0 if slot.embed is not None else min((*slot.hidden, *slot.kv))


class _Pool:
    """Soft tokens of a batch in one row of numbers each, every slot once; number 0 is padding."""

    def __init__(self, prompts: Sequence[PromptTensors]) -> None:
        self.prompts = prompts
        self.first: dict[tuple[int, str], int] = {}
        self.slots: list[SlotTensors] = []
        self.size = 1

    def rows(self, run: SoftRun) -> range:
        """Numbers of a run's tokens."""
        key = run.prompt, run.slot
        if key not in self.first:
            self.first[key] = self.size
            self.slots.append(slot_of(self.prompts, run))
            self.size += run.length
        first = self.first[key] + run.offset
        return range(first, first + run.num)


def layered(
    lines: Sequence[Line],
    prompts: Sequence[PromptTensors],
    inputs: Inputs,
    state: State | None,
    *,
    shapes: Shapes,
    width: int,
    like: Tensor,
) -> Layered | None:
    """What the slots of a batch put into the layers; None where it is nothing.

    Args:
        lines: The batch.
        prompts: By prompt index.
        inputs: The lines as tensors.
        state: By line.
        shapes: (G, Dk, Dv) by layer.
        width: H, of what goes from layer to layer.
        like: Gives device and dtype.

    Raises:
        ModelError: ``model.unsupported_prompt`` for tensors that do not fit the model or the rows.
    """
    late = None if state is None else state.since
    if late is None and not enters_layers(prompts):
        return None
    columns = inputs.ids.shape[1]
    places: list[int] = []
    owners: list[tuple[SlotTensors, int]] = []  # by place: the slot, and which of its tokens
    since = torch.zeros(inputs.mask.shape, dtype=torch.long)
    if late is not None:
        since[:, : inputs.state_width] = late.cpu()
    pool = _Pool(prompts)
    asides: list[list[int]] = []
    for number, line in enumerate(lines):
        asides.append([])
        for run in line.soft:
            slot = checked(slot_of(prompts, run), run, shapes, width)
            if slot.hidden or slot.kv:
                places.extend(range(number * columns + run.at, number * columns + run.at + run.num))
                owners.extend((slot, run.offset + n) for n in range(run.num))
                at = inputs.mask.shape[1] - columns + run.at
                since[number, at : at + run.num] = _since(slot)
        for aside in line.asides:
            slot = checked(slot_of(prompts, aside.run), aside.run, shapes, width)
            at = inputs.state_width + len(asides[-1])
            since[number, at : at + aside.run.num] = _since(slot)
            asides[-1].extend(pool.rows(aside.run))
    return Layered(
        _columns(pool, asides, shapes, like),
        {layer: _written(places, owners, layer, like) for layer in _layers(owners, "kv")},
        {layer: _hidden(places, owners, layer, like) for layer in _layers(owners, "hidden")},
        since.to(like.device) if bool(since.any()) else None,
    )


def _layers(owners: Iterable[tuple[SlotTensors, int]], part: str) -> list[int]:
    """Layers to which some of the slots bring something."""
    slots = {id(slot): slot for slot, _ in owners}.values()
    return sorted({layer for slot in slots for layer in getattr(slot, part)})


def _columns(
    pool: _Pool, asides: Sequence[Sequence[int]], shapes: Shapes, like: Tensor
) -> dict[int, tuple[Tensor, Tensor]]:
    """Keys and values beside the lines, by layer; zeros where a slot does not exist yet, and as padding."""
    width = max(map(len, asides))
    if not width:
        return {}
    index = torch.tensor([[*row, *[0] * (width - len(row))] for row in asides]).to(like.device)

    def spread(parts: Sequence[Tensor]) -> Tensor:
        stacked = torch.cat([part.to(like) for part in parts], dim=1)
        return stacked.index_select(1, index.flatten()).view(len(stacked), *index.shape, -1).transpose(0, 1)

    found = {}
    for layer, (groups, dk, dv) in enumerate(shapes):
        blank = like.new_zeros(groups, 1, dk), like.new_zeros(groups, 1, dv)
        pairs = [slot.kv.get(layer, tuple(part.expand(-1, slot.length, -1) for part in blank)) for slot in pool.slots]
        keys, values = zip(blank, *pairs, strict=True)
        found[layer] = spread(keys), spread(values)
    return found


def _picked(
    places: Sequence[int], owners: Sequence[tuple[SlotTensors, int]], layer: int, part: str
) -> tuple[list[int], list[SlotTensors], list[int]]:
    """Places of the soft tokens that have something for a layer; their slots, once each; and rows in these."""
    slots: dict[int, tuple[SlotTensors, int]] = {}
    size = 0
    found: list[int] = []
    rows: list[int] = []
    for place, (slot, token) in zip(places, owners, strict=True):
        if layer in getattr(slot, part):
            if id(slot) not in slots:
                slots[id(slot)] = slot, size
                size += slot.length
            found.append(place)
            rows.append(slots[id(slot)][1] + token)
    return found, [slot for slot, _ in slots.values()], rows


def _written(places: Sequence[int], owners: Sequence[tuple[SlotTensors, int]], layer: int, like: Tensor) -> Written:
    found, slots, rows = _picked(places, owners, layer, "kv")
    index = torch.tensor(rows).to(like.device)
    keys, values = (
        torch.cat([slot.kv[layer][n].to(like) for slot in slots], dim=1).transpose(0, 1).index_select(0, index)
        for n in (0, 1)
    )
    return Written(torch.tensor(found).to(like.device), keys, values)


def _hidden(places: Sequence[int], owners: Sequence[tuple[SlotTensors, int]], layer: int, like: Tensor) -> Vectors:
    found, slots, rows = _picked(places, owners, layer, "hidden")
    vectors = torch.cat([slot.hidden[layer].to(like) for slot in slots])
    return Vectors(torch.tensor(found).to(like.device), vectors.index_select(0, torch.tensor(rows).to(like.device)))


def checked(slot: SlotTensors, run: SoftRun, shapes: Shapes, width: int) -> SlotTensors:
    """The slot, if its tensors fit the model's layers and the rows.

    Raises:
        ModelError: ``model.unsupported_prompt``.
    """
    where = f"slot {run.slot!r} of prompt {run.prompt}"
    own = "use the prompt with its own template and the model it was trained for"
    if beyond := sorted(layer for layer in {*slot.hidden, *slot.kv} if layer >= len(shapes)):
        came = (
            f"{where} holds tensors for layer {beyond[-1]}, the model has {len(shapes)} layers (0 to {len(shapes) - 1})"
        )
        raise ModelError("model.unsupported_prompt", came, cure=own)
    if slot.kv and (slot.embed is not None or slot.hidden):
        came = ", ".join(name for name, _ in slot.tensors())
        message = f"{where} holds {came}: keys and values stand alone, their tokens compute nothing"
        raise ModelError("model.unsupported_prompt", message, cure="give the vectors a slot of their own")
    fitting: list[tuple[str, torch.Size, tuple[int, ...]]] = [
        (f"hidden.{m}", vectors.shape, (run.length, width)) for m, vectors in sorted(slot.hidden.items())
    ]
    for layer, (keys, values) in sorted(slot.kv.items()):
        groups, dk, dv = shapes[layer]
        fitting.append((f"keys.{layer}", keys.shape, (groups, run.length, dk)))
        fitting.append((f"values.{layer}", values.shape, (groups, run.length, dv)))
    for name, shape, needed in fitting:
        if tuple(shape) != needed:
            came, fits = (" x ".join(map(str, sizes)) for sizes in (shape, needed))
            message = f"{where} holds {name} of {came} numbers, the rows and the model need {fits}"
            raise ModelError("model.unsupported_prompt", message, cure=own)
    missing = [layer for layer in range(min(slot.kv, default=0), len(shapes)) if slot.kv and layer not in slot.kv]
    if missing:
        message = f"{where} has keys and values from layer {min(slot.kv)} on, and none for layer {missing[0]}"
        raise ModelError("model.unsupported_prompt", message, cure="give them for every layer from the first on")
    return slot

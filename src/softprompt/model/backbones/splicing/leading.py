"""Keys and values that lines begin with: to what follows they are states like those of a text that was read before.

So they need no columns of their own. Where all lines of a batch begin with as many of them, they are taken out of the
lines and put behind the lines' states; other batches are left as they are, for lines of different length would leave a
gap before the shorter ones, and models that count columns would misjudge it.

For models without a tree mask: lines are simple chains. Knows lines and tensors, no architecture.
"""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.splicing.lines import Line, Lowered, Place, SoftRun
from softprompt.model.backbones.splicing.slots import Shapes, checked
from softprompt.model.backbones.splicing.splice import slot_of

__all__ = ["lead"]


def lead(
    lowered: Lowered, prompts: Sequence[PromptTensors], state: State | None, *, shapes: Shapes, width: int, like: Tensor
) -> tuple[Lowered, State | None]:
    """The batch without the keys and values that its lines begin with, and their states with them.

    Args:
        lowered: A batch of chains; nothing is read directly behind keys and values.
        prompts: By prompt index.
        state: By line.
        shapes: (G, Dk, Dv) by layer.
        width: H, of what goes from layer to layer.
        like: Gives device and dtype.

    Raises:
        ModelError: ``model.unsupported_prompt`` for tensors that do not fit the model or the rows.
    """
    runs = [_leading(line, prompts) for line in lowered.lines]
    counts = {sum(run.num for run in each) for each in runs}
    if len(counts) != 1 or not (count := counts.pop()):
        return lowered, state
    slots = [[checked(slot_of(prompts, run), run, shapes, width) for run in each] for each in runs]
    found = State(*_columns(slots, shapes, like), tuple(count for _ in runs), since=_since(slots, like.device))
    return _without(lowered, count), found if state is None else _behind(state, found)


def _leading(line: Line, prompts: Sequence[PromptTensors]) -> list[SoftRun]:
    """The runs of keys and values at the beginning of a line."""
    found: list[SoftRun] = []
    for run in line.soft:
        if run.at != sum(one.num for one in found) or not slot_of(prompts, run).kv:
            break
        found.append(run)
    return found


def _columns(
    slots: Sequence[Sequence[SlotTensors]], shapes: Shapes, like: Tensor
) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """Keys [S, G, P, Dk] and values by layer, each distinct beginning made once; zeros where a slot does not exist."""
    distinct = list({tuple(map(id, each)): each for each in slots}.values())
    number = {tuple(map(id, each)): n for n, each in enumerate(distinct)}
    index = torch.tensor([number[tuple(map(id, each))] for each in slots]).to(like.device)

    def column(layer: int, part: int) -> Tensor:
        groups, *widths = shapes[layer]
        rows = [
            torch.cat(
                [
                    slot.kv[layer][part].to(like)
                    if layer in slot.kv
                    else like.new_zeros(groups, slot.length, widths[part])
                    for slot in each
                ],
                dim=1,
            )
            for each in distinct
        ]
        return torch.stack(rows).index_select(0, index)

    layers = range(len(shapes))
    return tuple(column(layer, 0) for layer in layers), tuple(column(layer, 1) for layer in layers)


def _since(slots: Sequence[Sequence[SlotTensors]], device: torch.device) -> Tensor | None:
    """By column the first layer in which it exists; None where all exist in all."""
    found = torch.tensor([[min(slot.kv) for slot in each for _ in range(slot.length)] for each in slots])
    return found.to(device) if bool(found.any()) else None


def _without(lowered: Lowered, count: int) -> Lowered:
    """Lines less their first ``count`` tokens, which still have their positions."""

    def line(one: Line) -> Line:
        return replace(
            one,
            start=one.start + count,
            ids=one.ids[count:],
            parents=[max(-1, parent - count) for parent in one.parents[count:]],
            positions=one.positions[count:],
            soft=[run._replace(at=run.at - count) for run in one.soft if run.at >= count],
        )

    def place(one: Place) -> Place:
        return one._replace(at=one.at - count)

    return Lowered(
        [line(one) for one in lowered.lines],
        lowered.trunks,
        [one._replace(reads=tuple(read._replace(at=read.at - count) for read in one.reads)) for one in lowered.answers],
        [place(one) for one in lowered.readouts],
        [place(one) for one in lowered.ends],
    )


def _behind(state: State, found: State) -> State:
    """States that are padded on the left, and as many more tokens of each."""
    assert state.since is None, "states of texts exist in every layer"
    since = None if found.since is None else torch.nn.functional.pad(found.since, (state.width, 0))
    return State(
        tuple(torch.cat(pair, dim=2) for pair in zip(state.keys, found.keys, strict=True)),
        tuple(torch.cat(pair, dim=2) for pair in zip(state.values, found.values, strict=True)),
        tuple(length + more for length, more in zip(state.lengths, found.lengths, strict=True)),
        state.memory,
        since,
    )

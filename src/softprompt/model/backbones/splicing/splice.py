"""The one place where prompt tensors meet embeddings, masks, positions and keys/values.

Rules learnt from wrong results; each has a test that fails without it:

* The frozen part is padded on the left, the live part on the right, so the two are physically contiguous; a gap gives
  wrong logits with sliding windows and ALiBi.
* Mask AND positions are always given: without them a restart of positions is taken for packed sequences, and GPT-2
  counts padding.
* A tree mask (4D) only where lines branch; then the sliding window is added here, by logical position.
* The cache is built without the model's config, so all layers keep all keys and the mask alone applies the window; each
  call gets a cache object of its own, because a forward mutates it.
* Padding attends to itself, so that no row of a mask is empty (NaN would spread through the values).
* Keys and values that stand beside the tokens lie between state and live part; where each of them is seen is said by
  logical position, so this needs the tree mask.

Knows lines and tensors, no architecture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softprompt.core.errors import ModelError
from softprompt.core.tensors import PromptTensors, SlotTensors, State
from softprompt.model.backbones.splicing.lines import Line, SoftRun

__all__ = ["Beside", "Inputs", "by_line", "insert", "lay_out", "roll", "slot_of", "tree_mask"]


@dataclass(frozen=True)
class Beside:
    """N columns of keys and values beside the live tokens of S lines.

    Attributes:
        positions: Logical positions.
        first: First live token that sees the column.
        last: One behind the last that does; equal to ``first`` for padding.
    """

    positions: Int[Tensor, "S N"]
    first: Int[Tensor, "S N"]
    last: Int[Tensor, "S N"]


@dataclass(frozen=True)
class Inputs:
    """Lines as tensors: S lines, L live columns after T columns of state, and between them N of keys and values.

    Attributes:
        ids: 0 at soft places and padding.
        positions: Logical positions; padding repeats the last one, which is always a valid slot.
        mask: Which of the W = T + N + L columns are real.
        ends: By live column one behind its last descendant; None where no line branches and N is 0.
        starts: Number of state tokens by line.
        counts: Number of live tokens by line.
        state_width: T.
        beside: None where N is 0.
    """

    ids: Int[Tensor, "S L"]
    positions: Int[Tensor, "S L"]
    mask: Bool[Tensor, "S W"]
    ends: Int[Tensor, "S L"] | None
    starts: tuple[int, ...]
    counts: tuple[int, ...]
    state_width: int
    beside: Beside | None = None


def lay_out(lines: Sequence[Line], state_width: int, device: torch.device) -> Inputs:
    """Pad lines on the right, put the (left-padded) state of ``state_width`` columns in front."""
    starts, counts = [line.start for line in lines], [len(line.ids) for line in lines]
    columns = max(1, *counts)
    ids, positions, ends = [], [], []
    asides = [_num_asides(line) for line in lines]
    branches = any(line.branches for line in lines) or any(asides)
    for line, n in zip(lines, counts, strict=True):
        pad = columns - n
        ids.append(line.ids + [0] * pad)
        positions.append(line.positions + [line.positions[-1] if n else line.start] * pad)
        if branches:
            ends.append(line.ends() + list(range(n + 1, columns + 1)))
    if not state_width:
        assert not any(starts), "lines with a trunk need its state"
    edges = torch.tensor([[state_width - start, state_width + n] for start, n in zip(starts, counts, strict=True)])
    physical = torch.arange(state_width + columns)
    mask = (physical >= edges[:, :1]) & (physical < edges[:, 1:])
    beside = None
    if any(asides):
        beside = _beside(lines, max(asides), device)
        real = torch.arange(max(asides)) < torch.tensor(asides)[:, None]
        mask = torch.cat([mask[:, :state_width], real, mask[:, state_width:]], dim=1)
    return Inputs(
        torch.tensor(ids).to(device),
        torch.tensor(positions).to(device),
        mask.to(device),
        torch.tensor(ends).to(device) if branches else None,
        tuple(starts),
        tuple(counts),
        state_width,
        beside,
    )


def _num_asides(line: Line) -> int:
    """Tokens of a line that stand beside it."""
    return sum(aside.run.num for aside in line.asides)


def _beside(lines: Sequence[Line], width: int, device: torch.device) -> Beside:
    """Padded on the right by columns that nobody sees."""
    rows = [
        [(aside.position + n, aside.first, aside.last) for aside in line.asides for n in range(aside.run.num)]
        for line in lines
    ]
    columns = torch.tensor([row + [(0, 0, 0)] * (width - len(row)) for row in rows]).to(device)
    return Beside(*columns.unbind(-1))


def insert(
    embeds: Float[Tensor, "S L E"], lines: Sequence[Line], prompts: Sequence[PromptTensors]
) -> Float[Tensor, "S L E"]:
    """Put the soft tokens' vectors into their places, in the dtype of the embeddings.

    Raises:
        ModelError: ``model.unsupported_prompt`` for slots without tensors, of another width, or of another length than
            the rows say.
    """
    columns = embeds.shape[1]
    places: list[int] = []
    sources: list[int] = []
    pool: list[Tensor] = []
    starts: dict[tuple[int, str, int], int] = {}
    size = 0
    for number, line in enumerate(lines):
        for run in line.soft:
            key = (run.prompt, run.slot, run.length)
            if key not in starts:
                vectors = _vectors(prompts, run, embeds.shape[2])
                if vectors is None:
                    continue
                pool.append(vectors)
                starts[key] = size
                size += run.length
            at, first = number * columns + run.at, starts[key] + run.offset
            places.extend(range(at, at + run.num))
            sources.extend(range(first, first + run.num))
    if not places:
        return embeds
    vectors = torch.cat([vectors.to(embeds) for vectors in pool])
    picked = vectors.index_select(0, torch.tensor(sources).to(embeds.device))
    flat = embeds.reshape(-1, embeds.shape[2])
    return flat.index_copy(0, torch.tensor(places).to(embeds.device), picked).view_as(embeds)


def slot_of(prompts: Sequence[PromptTensors], run: SoftRun) -> SlotTensors:
    """What a run of soft tokens is made of.

    Raises:
        ModelError: ``model.unsupported_prompt`` where nothing is there.
    """
    where = f"slot {run.slot!r} of prompt {run.prompt}"
    if run.prompt >= len(prompts):
        raise ModelError("model.unsupported_prompt", f"{where} is asked for, and there are {len(prompts)} prompts")
    tensors = prompts[run.prompt].slots.get(run.slot)
    if tensors is None or not (tensors.embed is not None or tensors.hidden or tensors.kv):
        raise ModelError("model.unsupported_prompt", f"{where} holds nothing; the rows need {run.length} soft tokens")
    return tensors


def _vectors(prompts: Sequence[PromptTensors], run: SoftRun, width: int) -> Tensor | None:
    """The vectors among the embeddings; None for a slot that meets the model in its layers."""
    tensors = slot_of(prompts, run)
    if tensors.embed is None:
        return None
    where = f"slot {run.slot!r} of prompt {run.prompt}"
    if tensors.embed.shape != (run.length, width):
        came = " x ".join(map(str, tensors.embed.shape))
        raise ModelError(
            "model.unsupported_prompt",
            f"{where} holds {came} numbers (vectors x width), the rows and the model need {run.length} x {width}",
            cure="use the prompt with its own template and the model it was trained for",
        )
    return tensors.embed


def tree_mask(inputs: Inputs, *, window: int | None) -> Bool[Tensor, "S 1 L W"]:
    """Who sees whom where lines branch: every live token sees the state and its own ancestors.

    Args:
        inputs: The lines; some branch.
        window: Sliding window in tokens: a token sees itself and the ``window - 1`` logical positions before it.
    """
    assert inputs.ends is not None, "no line branches: the 2D mask serves"
    lines, columns = inputs.ids.shape
    token = torch.arange(columns, device=inputs.ids.device)
    ancestors = (token <= token[:, None]) & (token[:, None] < inputs.ends[:, None, :])
    state = inputs.mask[:, None, : inputs.state_width].expand(lines, columns, -1)
    beside = inputs.beside
    if beside is None:
        seen = torch.cat([state, ancestors], dim=2)
    else:
        asides = (token[:, None] >= beside.first[:, None, :]) & (token[:, None] < beside.last[:, None, :])
        seen = torch.cat([state, asides, ancestors], dim=2)
    if window is not None:
        seen = seen & (inputs.positions[:, :, None] - _logical(inputs)[:, None, :] < window)
    return seen[:, None]


def _logical(inputs: Inputs) -> Int[Tensor, "S W"]:
    """Logical positions of all columns."""
    before = inputs.mask[:, : inputs.state_width].long().cumsum(1) - 1
    beside = [] if inputs.beside is None else [inputs.beside.positions]
    return torch.cat([before, *beside, inputs.positions], dim=1)


def by_line(state: State, lines: Sequence[Line]) -> State:
    """One row of state a line, from one row a trunk; lines without a trunk get an empty one."""
    order = [line.trunk for line in lines]
    if all(trunk is not None for trunk in order):
        return state.take([trunk for trunk in order if trunk is not None])
    return State.stack([state.row(0, 0) if trunk is None else state.row(trunk) for trunk in order])


def roll(
    keys: Sequence[Tensor], values: Sequence[Tensor], inputs: Inputs, since: Int[Tensor, "S W"] | None = None
) -> State:
    """State of lines after a forward: from left-padded state and right-padded live part to left padding only.

    Args:
        keys: Per layer [S, G, W, D].
        values: Per layer.
        inputs: What went in; lines must be simple chains.
        since: By column the first layer in which it exists; None where all exist in all.
    """
    assert inputs.ends is None or inputs.beside is not None, "the state of a branching line is no sequence"
    if inputs.beside is not None or since is not None:
        return _in_order(keys, values, inputs, since)
    columns, width, device = inputs.ids.shape[1], inputs.state_width, inputs.ids.device
    lengths = tuple(start + count for start, count in zip(inputs.starts, inputs.counts, strict=True))
    longest = max(lengths)
    if all(count == columns for count in inputs.counts):
        drop = width + columns - longest
        return State(tuple(k[:, :, drop:] for k in keys), tuple(v[:, :, drop:] for v in values), lengths)
    # Line s occupies the physical columns [width - start, width + count); its last column moves to longest - 1.
    shifts = [width + count - longest for count in inputs.counts]
    source = torch.tensor(shifts)[:, None] + torch.arange(longest)
    empty = (source < width - torch.tensor(inputs.starts)[:, None]).to(device)[:, None, :, None]
    index = source.clamp(min=0).to(device)[:, None, :, None]

    def move(part: Tensor) -> Tensor:
        return part.gather(2, index.expand(-1, part.shape[1], -1, part.shape[3])).masked_fill(empty, 0)

    return State(tuple(move(k) for k in keys), tuple(move(v) for v in values), lengths)


def _in_order(
    keys: Sequence[Tensor], values: Sequence[Tensor], inputs: Inputs, since: Int[Tensor, "S W"] | None
) -> State:
    """The columns of every line by logical position, which in a chain is a place of its own."""
    counts = inputs.mask.sum(1, keepdim=True)
    longest = int(counts.max())
    target = torch.where(inputs.mask, _logical(inputs) + longest - counts, longest)  # padding goes where it is cut off
    columns = torch.arange(inputs.mask.shape[1], device=target.device).expand_as(target)
    source = target.new_zeros(len(target), longest + 1).scatter(1, target, columns)[:, :longest]
    empty = torch.arange(longest, device=target.device) < longest - counts

    def move(part: Tensor) -> Tensor:
        index = source[:, None, :, None].expand(-1, part.shape[1], -1, part.shape[3])
        return part.gather(2, index).masked_fill(empty[:, None, :, None], 0)

    begin = None if since is None else since.gather(1, source).masked_fill(empty, 0)
    lengths = tuple(counts[:, 0].tolist())
    return State(tuple(move(k) for k in keys), tuple(move(v) for v in values), lengths, since=begin)

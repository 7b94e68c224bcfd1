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

Knows lines and tensors, no architecture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from softprompt.core.errors import ModelError
from softprompt.core.tensors import PromptTensors, State
from softprompt.model.backbones.lines import Line, SoftRun

__all__ = ["Inputs", "by_line", "insert", "lay_out", "roll", "tree_mask"]


@dataclass(frozen=True)
class Inputs:
    """Lines as tensors: S lines, L live columns after T columns of state.

    Attributes:
        ids: 0 at soft places and padding.
        positions: Logical positions; padding repeats the last one, which is always a valid slot.
        mask: Which of the W = T + L columns are real.
        ends: By live column one behind its last descendant; None where no line branches.
        starts: Number of state tokens by line.
        counts: Number of live tokens by line.
        state_width: T.
    """

    ids: Int[Tensor, "S L"]
    positions: Int[Tensor, "S L"]
    mask: Bool[Tensor, "S W"]
    ends: Int[Tensor, "S L"] | None
    starts: tuple[int, ...]
    counts: tuple[int, ...]
    state_width: int


def lay_out(lines: Sequence[Line], state_width: int, device: torch.device) -> Inputs:
    """Pad lines on the right, put the (left-padded) state of ``state_width`` columns in front."""
    starts, counts = [line.start for line in lines], [len(line.ids) for line in lines]
    columns = max(1, *counts)
    ids, positions, ends = [], [], []
    branches = any(line.branches for line in lines)
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
    return Inputs(
        torch.tensor(ids).to(device),
        torch.tensor(positions).to(device),
        ((physical >= edges[:, :1]) & (physical < edges[:, 1:])).to(device),
        torch.tensor(ends).to(device) if branches else None,
        tuple(starts),
        tuple(counts),
        state_width,
    )


def insert(
    embeds: Float[Tensor, "S L E"], lines: Sequence[Line], prompts: Sequence[PromptTensors]
) -> Float[Tensor, "S L E"]:
    """Put the soft tokens' vectors into their places, in the dtype of the embeddings.

    Raises:
        ModelError: ``model.unsupported_prompt`` for slots with tensors that are not embeddings, of another width, or of
            another length than the rows say.
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
                pool.append(_vectors(prompts, run, embeds.shape[2]))
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


def _vectors(prompts: Sequence[PromptTensors], run: SoftRun, width: int) -> Tensor:
    where = f"slot {run.slot!r} of prompt {run.prompt}"
    if run.prompt >= len(prompts):
        raise ModelError("model.unsupported_prompt", f"{where} is asked for, and there are {len(prompts)} prompts")
    tensors = prompts[run.prompt].slots.get(run.slot)
    if tensors is None or tensors.embed is None or tensors.hidden or tensors.kv:
        came = "nothing" if tensors is None else ", ".join(name for name, _ in tensors.tensors()) or "nothing"
        raise ModelError("model.unsupported_prompt", f"{where} holds {came}; causal models take 'embed' here")
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
    seen = torch.cat([state, ancestors], dim=2)
    if window is not None:
        before = inputs.mask[:, : inputs.state_width].long().cumsum(1) - 1
        logical = torch.cat([before, inputs.positions], dim=1)
        seen = seen & (inputs.positions[:, :, None] - logical[:, None, :] < window)
    return seen[:, None]


def by_line(state: State, lines: Sequence[Line]) -> State:
    """One row of state a line, from one row a trunk; lines without a trunk get an empty one."""
    order = [line.trunk for line in lines]
    if all(trunk is not None for trunk in order):
        return state.take([trunk for trunk in order if trunk is not None])
    return State.stack([state.row(0, 0) if trunk is None else state.row(trunk) for trunk in order])


def roll(keys: Sequence[Tensor], values: Sequence[Tensor], inputs: Inputs) -> State:
    """State of lines after a forward: from left-padded state and right-padded live part to left padding only.

    Args:
        keys: Per layer [S, G, T + L, D].
        values: Per layer.
        inputs: What went in; lines must be simple chains.
    """
    assert inputs.ends is None, "the state of a branching line is no sequence"
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

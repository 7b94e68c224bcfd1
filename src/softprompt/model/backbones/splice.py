"""The one place where prompt tensors meet embeddings, masks, positions and keys/values.

Rules learnt from wrong results; each has a test that fails without it:

* The frozen part is padded on the left, the live part on the right, so the two are physically contiguous; a gap gives wrong
  logits with sliding windows and ALiBi.
* Mask AND positions are always given: without them a restart of positions is taken for packed sequences, and GPT-2 counts
  padding.
* A tree mask (4D) only where lines branch; then the sliding window is added here, by logical position.
* The cache is built without the model's config, so all layers keep all keys and the mask alone applies the window; each call
  gets a cache object of its own, because a forward mutates it.
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
from softprompt.model.backbones.lowering import Line

__all__ = ["Inputs", "insert", "lay_out", "roll", "tree_mask"]


@dataclass(frozen=True)
class Inputs:
    """Lines as tensors: S lines, L live columns after T columns of state.

    Attributes:
        ids: 0 at soft places and padding.
        positions: Logical positions; padding repeats the last one, which is always a valid slot.
        live: Which of the L columns are real.
        mask: 2D over state and live columns.
        parents: Column of the token before within the live part, -1 for the end of the state; padding is its own parent.
        widths: Number of state tokens by line.
    """

    ids: Int[Tensor, "S L"]
    positions: Int[Tensor, "S L"]
    live: Bool[Tensor, "S L"]
    mask: Bool[Tensor, "S T+L"]
    parents: Int[Tensor, "S L"]
    state_width: int
    branches: bool


def lay_out(lines: Sequence[Line], state: State | None, device: torch.device) -> Inputs:
    """Pad lines on the right, put the (left-padded) state in front."""
    columns = max(1, max(len(line.ids) for line in lines))
    width = state.width if state is not None else 0
    ids, positions, parents, live, mask = [], [], [], [], []
    for line in lines:
        n, pad = len(line.ids), columns - len(line.ids)
        end = line.positions[-1] if n else line.start
        ids.append(line.ids + [0] * pad)
        positions.append(line.positions + [end] * pad)
        parents.append(line.parents + list(range(n, columns)))
        live.append([True] * n + [False] * pad)
        mask.append([False] * (width - line.start) + [True] * line.start + live[-1] if width else live[-1])
    return Inputs(
        torch.tensor(ids, device=device),
        torch.tensor(positions, device=device),
        torch.tensor(live, device=device),
        torch.tensor(mask, device=device),
        torch.tensor(parents, device=device),
        width,
        any(line.branches for line in lines),
    )


def insert(
    embeds: Float[Tensor, "S L E"], lines: Sequence[Line], prompts: Sequence[PromptTensors]
) -> Float[Tensor, "S L E"]:
    """Put the soft tokens' vectors into their places, in the dtype of the embeddings.

    Raises:
        ModelError: ``model.unsupported_prompt`` for slots with tensors that are not embeddings, or of another width.
    """
    columns = embeds.shape[1]
    places: list[int] = []
    sources: list[int] = []
    pool: list[Tensor] = []
    starts: dict[tuple[int, str], int] = {}
    size = 0
    for number, line in enumerate(lines):
        for at, prompt, slot, offset in line.soft:
            if (prompt, slot) not in starts:
                vectors = _vectors(prompts, prompt, slot, embeds.shape[2])
                starts[prompt, slot] = size
                pool.append(vectors)
                size += vectors.shape[0]
            places.append(number * columns + at)
            sources.append(starts[prompt, slot] + offset)
    if not places:
        return embeds
    vectors = torch.cat(pool).to(embeds.dtype)
    picked = vectors.index_select(0, torch.tensor(sources, device=embeds.device))
    flat = embeds.reshape(-1, embeds.shape[2])
    return flat.index_copy(0, torch.tensor(places, device=embeds.device), picked).view_as(embeds)


def _vectors(prompts: Sequence[PromptTensors], prompt: int, slot: str, width: int) -> Tensor:
    tensors = prompts[prompt].slots.get(slot)
    if tensors is None or tensors.embed is None or tensors.hidden or tensors.kv:
        came = "nothing" if tensors is None else ", ".join(name for name, _ in tensors.tensors()) or "nothing"
        raise ModelError(
            "model.unsupported_prompt",
            f"slot {slot!r} of prompt {prompt} holds {came}; causal models take 'embed' here",
        )
    if tensors.embed.shape[1] != width:
        raise ModelError(
            "model.unsupported_prompt",
            f"slot {slot!r} of prompt {prompt} has vectors of width {tensors.embed.shape[1]}, the model's are {width} wide",
        )
    return tensors.embed


def tree_mask(inputs: Inputs, *, window: int | None) -> Bool[Tensor, "S 1 L T+L"]:
    """Who sees whom where lines branch: every live token sees the state and its own ancestors.

    Args:
        inputs: The lines.
        window: Sliding window in tokens: a token sees itself and the ``window - 1`` logical positions before it.
    """
    lines, columns = inputs.ids.shape
    device = inputs.ids.device
    # Ancestors by columns: a row is its parent's row plus itself. Parents stand before children.
    ancestors = torch.eye(columns, dtype=torch.bool, device=device).repeat(lines, 1, 1)
    index = torch.arange(lines, device=device)
    for column in range(columns):
        parent = inputs.parents[:, column]
        known = (parent >= 0) & (parent != column)
        ancestors[:, column] |= ancestors[index, parent.clamp(min=0)] & known[:, None]
    state = inputs.mask[:, None, : inputs.state_width].expand(-1, columns, -1)
    seen = torch.cat([state & inputs.live[:, :, None], ancestors], dim=2)
    if window is not None:
        before = inputs.mask[:, : inputs.state_width].long()
        logical = torch.cat([before.cumsum(1) - 1, inputs.positions], dim=1)
        seen = seen & (inputs.positions[:, :, None] - logical[:, None, :] < window)
    return seen[:, None]


def roll(keys: Sequence[Tensor], values: Sequence[Tensor], inputs: Inputs, starts: Sequence[int]) -> State:
    """State of lines after a forward: from left-padded state and right-padded live part to left padding only.

    Args:
        keys: Per layer [S, G, T + L, D].
        values: Per layer.
        inputs: What went in; lines must be simple chains.
        starts: State tokens by line.
    """
    assert not inputs.branches, "the state of a branching line is no sequence"
    counts = inputs.live.sum(1)
    lengths = tuple(start + count for start, count in zip(starts, counts.tolist(), strict=True))
    columns, width = inputs.ids.shape[1], inputs.state_width
    longest = max(lengths)
    if bool((counts == columns).all()):
        drop = width + columns - longest
        return State(tuple(k[:, :, drop:] for k in keys), tuple(v[:, :, drop:] for v in values), lengths)
    # Line s occupies the physical columns [width - start, width + count); its last column moves to longest - 1.
    shift = (width + counts - longest)[:, None]
    source = torch.arange(longest, device=counts.device)[None, :] + shift
    empty = source < (width - torch.tensor(starts, device=counts.device))[:, None]
    source = source.clamp(min=0)

    def move(part: Tensor) -> Tensor:
        index = source[:, None, :, None].expand(-1, part.shape[1], -1, part.shape[3])
        return part.gather(2, index).masked_fill(empty[:, None, :, None], 0)

    return State(tuple(move(k) for k in keys), tuple(move(v) for v in values), lengths)

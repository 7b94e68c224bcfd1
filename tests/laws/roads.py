"""The roads on which the same rows can be computed, and what "equal" means (architecture, section 5)."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from softprompt.core.records import Batch, Row
from softprompt.core.tensors import PromptTensors
from softprompt.model.backbones.base import Backbone, Output, Want

__all__ = ["ROADS", "Seen", "assert_equal", "assert_gradients_equal", "gradients", "travel"]

#: (kind, row, prompt, candidate or number) -> score, state or logits.
Seen = dict[tuple[str, int, int, int], Tensor]

#: Road -> (whether branches share a line, what is frozen and read before).
ROADS: Mapping[str, tuple[bool, str | None]] = {
    "repeated rows": (False, None),
    "tree": (True, None),
    "repeated rows on states": (False, "soft"),
    "tree on states": (True, "soft"),
    "repeated rows on a compiled prompt": (False, "field"),
    "tree on a compiled prompt": (True, "field"),
}


def travel(
    backbone: Backbone,
    rows: Sequence[Row],
    prompts: Sequence[PromptTensors],
    road: str = "repeated rows",
    *,
    checkpoint: bool = False,
) -> Seen:
    """Everything that can be read of the rows, all in one batch."""
    tree, frozen = ROADS[road]
    batch = Batch(tuple(rows))
    spec = backbone.spec
    backbone.spec = replace(spec, tree=spec.tree and tree)
    try:
        state = None
        if frozen is not None and backbone.trunks(batch, frozen=frozen):  # type: ignore[arg-type]
            state = backbone.read(batch, prompts, frozen=frozen)  # type: ignore[arg-type]
        output = backbone.forward(
            batch,
            prompts,
            state,
            want=Want(last=_predicts(backbone)),
            frozen=frozen or "soft",
            checkpoint=checkpoint,  # type: ignore[arg-type]
        )
        return _seen(output, rows, last=_predicts(backbone))
    finally:
        backbone.spec = spec


def _predicts(backbone: Backbone) -> bool:
    """Whether the model has an output layer: a bare encoder has none."""
    return backbone.spec.kind != "masked" or backbone.marks.mask is not None  # type: ignore[attr-defined]


def _seen(output: Output, rows: Sequence[Row], *, last: bool = True) -> Seen:
    seen: Seen = {}
    for prompt, scores in output.answers.items():
        pairs = zip(scores.rows.tolist(), scores.candidates.tolist(), scores.scores, strict=True)
        seen |= {("answer", row, prompt, candidate): score for row, candidate, score in pairs}
    for prompt, hidden in output.readouts.items():
        pairs = zip(hidden.rows.tolist(), hidden.values, strict=True)
        seen |= {("readout", row, prompt, 0): value for row, value in pairs}
    if not last:
        return seen
    assert output.last is not None
    owners = [number for number, row in enumerate(rows) for _ in range(_num_ends(row))]
    for n, (row, logits) in enumerate(zip(owners, output.last, strict=True)):
        seen["last", row, -1, n - owners.index(row)] = logits
    return seen


def _num_ends(row: Row) -> int:
    inner = {node.parent for node in row.nodes}
    kinds = ("Text", "Soft")
    return sum(i not in inner and type(node.segment).__name__ in kinds for i, node in enumerate(row.nodes))


def assert_equal(left: Seen, right: Seen, *, tolerance: float = 1e-5) -> None:
    """Equal by the house's law: max|a - b| <= tolerance * max(1, max|b|)."""
    assert left.keys() == right.keys()
    for key, value in left.items():
        value, other = value.detach(), right[key].detach()
        difference = float((value - other).abs().max())
        assert difference <= tolerance * max(1.0, float(other.abs().max())), f"{key}: off by {difference:.2e}"


def gradients(seen: Seen, prompts: Sequence[PromptTensors]) -> list[Tensor]:
    """Of a loss that weighs everything seen differently, with respect to all soft vectors."""
    weighted = [value.sum() * (1 + n % 3) for n, (_, value) in enumerate(sorted(seen.items()))]
    leaves = [tensor for prompt in prompts for _, tensor in prompt.tensors()]
    found = torch.autograd.grad(torch.stack(weighted).sum(), leaves, allow_unused=True)
    return [torch.zeros_like(leaf) if grad is None else grad for leaf, grad in zip(leaves, found, strict=True)]


def assert_gradients_equal(left: Sequence[Tensor], right: Sequence[Tensor], *, tolerance: float = 1e-5) -> None:
    """Equal relative to the largest of all gradients."""
    largest = max(float(gradient.abs().max()) for gradient in right)
    assert largest > 0, "the loss does not depend on the soft vectors"
    for a, b in zip(left, right, strict=True):
        assert float((a - b).abs().max()) <= tolerance * largest

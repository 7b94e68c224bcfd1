"""From rows to the point where their answers begin: every branch read, what branches share read once.

Knows rows and the backbone; nothing of how an answer goes on.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from softprompt.core.records import Answer, Batch, Node, Readout, Row, Soft
from softprompt.core.tensors import PromptTensors, State
from softprompt.model.backbones.base import Backbone, Want
from softprompt.model.backbones.splicing.lines import Trunk

__all__ = ["Branch", "Prefilled", "prefill"]


@dataclass(frozen=True)
class Branch:
    """One place where an answer begins.

    Attributes:
        row: Index of the row.
        root: Index of the node that the branch starts from.
        prompt: Prompt index of the last soft slot before the answer; 0 where there is none.
        path: The nodes from the root to here.
    """

    row: int
    root: int
    prompt: int
    path: tuple[Node, ...]


@dataclass(frozen=True)
class Prefilled:
    """B branches at the point where their answers begin: logits of the first token, and all that was read."""

    branches: tuple[Branch, ...]
    logits: Float[Tensor, "B V"]
    state: State


def prefill(
    backbone: Backbone, rows: Sequence[Row], prompts: Sequence[PromptTensors], prefix: State | None
) -> Prefilled:
    """Read rows; one branch a leaf, in order.

    Args:
        backbone: The frozen model.
        rows: Trees without answers and readouts.
        prompts: By prompt index.
        prefix: What ``backbone.read(batch, prompts, frozen="field")`` gave: one row for all, or one a trunk.

    Raises:
        ModelError: Whatever the backbone's forward raises, e.g. ``model.empty_row`` for a branch without a token.
    """
    batch = Batch(tuple(rows))
    branches = tuple(branch for index, row in enumerate(batch) for branch in _branches(row, index))
    reads = any(isinstance(node.segment, Answer | Readout) for row in batch for node in row.nodes)
    assert not reads, "rows to decode end where the answer begins"
    if prefix is not None:
        state: State | None = _spread(prefix, backbone.trunks(batch, frozen="field"))
    else:
        state = _read_shared(backbone, batch, branches)
    output = backbone.forward(
        batch, prompts, state, want=Want(last=True, state=True), frozen="soft" if prefix is None else "field"
    )
    assert output.last is not None
    assert output.state is not None
    assert len(branches) == len(output.last) == len(output.state), "one line a branch"
    return Prefilled(branches, output.last, output.state)


def _branches(row: Row, index: int) -> list[Branch]:
    """Leaves in the order in which a walk from the roots meets them: the order of the backbone's output."""
    children = row.children()
    found: list[Branch] = []

    def walk(node: int) -> None:
        for child in children.get(node, ()):
            walk(child)
        if node not in children:
            steps = row.path(node)
            path = tuple(row.nodes[i] for i in steps)
            soft = [n.segment.prompt_index for n in path if isinstance(n.segment, Soft)]
            found.append(Branch(index, steps[0], soft[-1] if soft else 0, path))

    for root in row.roots():
        walk(root)
    return found


def _spread(prefix: State, trunks: Sequence[Trunk]) -> State:
    """One row of the prefix for each trunk, cut where a trunk is shorter (its last token is needed live)."""
    assert trunks, "nothing stands before the first field"
    assert len(prefix) in (1, len(trunks)), "a prefix has one row, or one a trunk"
    order = range(len(trunks)) if len(prefix) == len(trunks) else [0] * len(trunks)
    lengths = [trunk.length for trunk in trunks]
    assert all(prefix.lengths[i] >= n for i, n in zip(order, lengths, strict=True)), "the prefix is another prompt's"
    if all(prefix.lengths[i] == n for i, n in zip(order, lengths, strict=True)):
        return prefix.take(order)
    return State.stack([prefix.row(i, n) for i, n in zip(order, lengths, strict=True)])


def _read_shared(backbone: Backbone, batch: Batch, branches: Sequence[Branch]) -> State | None:
    """States of the rows' beginnings, equal ones read once; None where no two branches share one."""
    trunks = backbone.trunks(batch)
    first: dict[tuple[object, ...], int] = {}
    order = [first.setdefault(trunk.key, len(first)) for trunk in trunks]
    roots = {(trunk.row, trunk.root) for trunk in trunks}
    sharing = sum((branch.row, branch.root) in roots for branch in branches)
    if sharing == len(first):
        return None
    distinct = [trunks[order.index(number)] for number in range(len(first))]
    return backbone.reread([trunk.ids for trunk in distinct]).take(order)

"""A prompted model for variants of one text: what they have in common is read once.

A text with a word less begins as the whole text does. So the first row is read once, up to where its branches begin,
soft tokens included; every other row goes on from the state at its first difference. On average half of the text is
never read again, and of a change near the end almost nothing is.

Knows rows and causal models; no templates, no tasks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

from softprompt.core.records import Batch, Node, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, State
from softprompt.model.backbones.base import Backbone
from softprompt.model.compiled import CompiledModel
from softprompt.model.prompted import PromptedModel, Scores
from softprompt.model.states import StateStore

__all__ = ["VariantModel", "shared_length", "split_at"]


class _Token(NamedTuple):
    """One place of a chain: a token, or a soft one."""

    node: int
    offset: int
    content: object


class VariantModel(CompiledModel):
    """Scores rows that resemble the first of them.

    >>> import torch
    >>> from softprompt.core.records import Answer
    >>> from softprompt.model.prompted import PromptedModel
    >>> from softprompt.testing import tiny
    >>> row = lambda ids: Row((Node(Text(ids, "text")), Node(Answer((9, 257), 0), 0), Node(Answer((8, 257), 1), 0)))
    >>> rows = [row((5, 6, 7, 8)), row((5, 6, 8)), row((6, 7, 8))]
    >>> together = VariantModel(tiny()).score_all(rows)[0].values
    >>> torch.allclose(together, PromptedModel(tiny()).score_all(rows)[0].values, atol=1e-4)
    True
    """

    def __init__(self, backbone: Backbone, prompts: Sequence[PromptTensors] = ()) -> None:
        super().__init__(backbone, prompts)
        self._whole: State | None = None

    def score_all(
        self,
        rows: Sequence[Row],
        *,
        store: StateStore | None = None,
        prompts: Sequence[PromptTensors] | None = None,
        batch_tokens: int = 4096,
    ) -> dict[int, Scores]:
        assert store is None, "variants of a text are not worth keeping"
        shared = [shared_length(row, rows[0]) for row in rows]
        alone = not self.backbone.trunks(Batch((_chain(rows[0]),)), frozen=self.frozen)  # read both ways: all is new
        if len(rows) < 2 or alone or not all(_goes_on(*pair) for pair in zip(rows, shared, strict=True)):
            plain = PromptedModel(self.backbone, self.prompts)
            return plain.score_all(rows, prompts=prompts, batch_tokens=batch_tokens)
        tensors = self.prompts if prompts is None else prompts
        self._whole = (
            self.backbone.read(Batch((_chain(rows[0]),)), tensors, frozen=self.frozen) if any(shared) else None
        )
        split = [split_at(row, length) for row, length in zip(rows, shared, strict=True)]
        return super().score_all(split, prompts=prompts, batch_tokens=batch_tokens)

    def shared_state(self, batch: Batch) -> State | None:
        """Of every row what it has in common with the first of all, cut from the one reading."""
        trunks = self.backbone.trunks(batch, frozen=self.frozen)
        if not trunks or self._whole is None:
            return None
        return State.stack([self._whole.row(0, trunk.length) for trunk in trunks])


def shared_length(row: Row, other: Row) -> int:
    """Tokens from the beginning that two rows share, soft ones included, before their branches begin.

    A token of text is left over, from which the row goes on.

    >>> row = lambda ids: Row((Node(Text(ids, "text")), Node(Soft("soft", 2), 0)))
    >>> shared_length(row((5, 6, 7)), row((5, 6, 8))), shared_length(row((5, 6)), row((5, 6)))
    (2, 1)
    """
    own, others = list(_tokens(row)), list(_tokens(other))
    pairs = enumerate(zip(own, others, strict=False))
    length = next((n for n, (a, b) in pairs if a.content != b.content), min(len(own), len(others)))
    length = min(length, len(own) - 1, len(others) - 1)
    while length > 0 and not isinstance(row.nodes[own[length].node].segment, Text):
        length -= 1
    return max(0, length)


def split_at(row: Row, length: int) -> Row:
    """The row with its first ``length`` tokens as what is the same for every request, and the rest as a field.

    >>> nodes = Node(Text((5, 6, 7), "text")), Node(Soft("soft", 2), 0)
    >>> [node.segment for node in split_at(Row(nodes), 1).nodes[:2]]
    [Text(ids=(5,), field=None), Text(ids=(6, 7), field='variant')]
    """
    tokens = list(_tokens(row))
    cut, offset = tokens[length].node, tokens[length].offset
    nodes: list[Node] = []
    where: list[int] = []
    for index, node in enumerate(row.nodes):
        parent = None if node.parent is None else where[node.parent]
        segment = node.segment
        if isinstance(segment, Text) and index <= cut:
            head = segment.ids[:offset] if index == cut else segment.ids
            if head:
                nodes.append(replace(node, segment=Text(head), parent=parent))
                parent = len(nodes) - 1
            if index == cut:
                nodes.append(replace(node, segment=Text(segment.ids[offset:], "variant"), parent=parent))
        else:
            nodes.append(replace(node, parent=parent))
        where.append(len(nodes) - 1)
    return replace(row, nodes=tuple(nodes))


def _tokens(row: Row) -> Iterator[_Token]:
    """The places of the chain at the beginning of a row, up to where it branches or is read."""
    children = row.children()
    below = children.get(None, [])
    while len(below) == 1 and isinstance(segment := row.nodes[below[0]].segment, Text | Soft):
        if isinstance(segment, Text):
            yield from (_Token(below[0], n, token) for n, token in enumerate(segment.ids))
        else:
            key = (segment.prompt_index, segment.slot, segment.length)
            yield from (_Token(below[0], n, (*key, n)) for n in range(segment.length))
        below = children.get(below[0], [])


def _chain(row: Row) -> Row:
    """The chain at the beginning alone, as what is the same for every request."""
    kept = list(dict.fromkeys(token.node for token in _tokens(row)))
    segments = [row.nodes[i].segment for i in kept]
    plain = [Text(segment.ids) if isinstance(segment, Text) else segment for segment in segments]
    return Row(tuple(Node(segment, n - 1 if n else None) for n, segment in enumerate(plain)))


def _goes_on(row: Row, length: int) -> bool:
    """Whether a row can go on after so many shared tokens: from a token of text."""
    tokens = list(_tokens(row))
    return length < len(tokens) and isinstance(row.nodes[tokens[length].node].segment, Text)

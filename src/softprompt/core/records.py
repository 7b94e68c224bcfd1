"""The rows of a run as plain data: examples, and what a template makes of them.

A :class:`Row` is a tree of segments. Prompts, candidate answers and ensemble members are siblings under one parent, so
one reading of the text serves them all. There is no padding, no mask and no position here: the position of a node's
first token is the end of its parent, and how a tree meets a model is the backbone's business.

Knows nothing of files, templates or models, and imports no torch.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

__all__ = ["Answer", "Batch", "Example", "Node", "Readout", "Row", "Segment", "Soft", "Text", "content_hash", "merge"]


@dataclass(frozen=True, slots=True)
class Example:
    """One row of the user's data.

    Attributes:
        fields: The texts a template can name, by field.
        target: The label name (classify), the index or text of the right candidate (choose), the reference text or
            texts (generate), the names of the labels (multilabel), the number (score); None when unlabelled.
        id: The user's id or the content hash; unique within a data set.
        weight: Weight of the row in the loss.
        group: Rows of one group never stand on two sides of a split.
        candidates: The candidate answers of this row (choose), else None.
        source: Where the row comes from, as ``file:line``.
    """

    fields: Mapping[str, str]
    target: Any = None
    id: str = ""
    weight: float = 1.0
    group: str | None = None
    candidates: tuple[str, ...] | None = None
    source: str = ""

    @property
    def content(self) -> str:
        """Hash of the fields (16 hex digits): equal texts have equal content, whatever their label.

        >>> Example({"text": "hi"}).content == Example({"text": "hi"}, target="x", id="7").content
        True
        """
        text = json.dumps(sorted(self.fields.items()), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    @property
    def question(self) -> str:
        """Hash of what is asked (16 hex digits): the fields, and the candidates where the row has its own.

        >>> Example({"text": "hi"}).question == Example({"text": "hi"}, candidates=("a", "b")).question
        False
        """
        text = json.dumps([self.content, self.candidates], ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Text:
    """Token ids of fixed text; ``field`` names the input field they come from, None for the template's own words."""

    ids: tuple[int, ...]
    field: str | None = None

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Soft:
    """A place of ``length`` learned vectors: slot ``slot`` of prompt ``prompt_index``."""

    slot: str
    length: int
    prompt_index: int = 0

    def __len__(self) -> int:
        return self.length


@dataclass(frozen=True, slots=True)
class Answer:
    """A candidate answer, terminator included; nothing stands after it.

    Its score is the log-probability of all its tokens given the ancestors (law 9). Where a candidate is a question of
    its own, its no stands ``against`` its yes: the score of the candidate is then the log-odds, yes less no.
    """

    ids: tuple[int, ...]
    candidate: int = 0
    prompt_index: int = 0
    against: bool = False

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Readout:
    """A place without tokens where the head of a prompt (label vectors) reads the state of the last token before it."""

    prompt_index: int = 0

    def __len__(self) -> int:
        return 0


Segment = Text | Soft | Answer | Readout


@dataclass(frozen=True, slots=True)
class Node:
    """A segment with its place in the tree: ``parent`` is the index of an earlier node, None for a root."""

    segment: Segment
    parent: int | None = None
    side: Literal["main", "encoder", "decoder"] = "main"
    sees: Literal["causal", "both", "observer"] = "causal"


@dataclass(frozen=True, slots=True)
class Row:
    """A tree of segments, parents before children.

    Attributes:
        nodes: The tree.
        id: Content hash of what can be frozen; rows with equal id share cached states.
        weight: Weight in the loss.
        group: For clustered statistics.
        target: By prompt index, the index of the right candidate, or what each candidate ought to get; a prompt that
            is absent does not train on this row (fold masks are per row and prompt).
        weights: Weight by prompt index, where it is not ``weight``.

    >>> row = Row((Node(Text((5, 6), "text")), Node(Soft("soft", 2), 0), Node(Answer((9, 0)), 1)))
    >>> row.path(2)
    (0, 1, 2)
    >>> row.trunk(0)
    (0,)
    """

    nodes: tuple[Node, ...]
    id: str = ""
    weight: float = 1.0
    group: str | None = None
    target: Mapping[int, int | tuple[float, ...]] = field(default_factory=dict)
    weights: Mapping[int, float] = field(default_factory=dict)

    def weight_for(self, prompt: int) -> float:
        """Weight in the loss of one prompt.

        >>> Row((), weight=2.0, weights={1: 0.5}).weight_for(1)
        0.5
        """
        return self.weights.get(prompt, self.weight)

    def roots(self) -> tuple[int, ...]:
        """Indices of the nodes without a parent."""
        return tuple(i for i, node in enumerate(self.nodes) if node.parent is None)

    def children(self) -> dict[int | None, list[int]]:
        """Indices of the children by parent, in order."""
        result: dict[int | None, list[int]] = {}
        for i, node in enumerate(self.nodes):
            result.setdefault(node.parent, []).append(i)
        return result

    def path(self, index: int) -> tuple[int, ...]:
        """Node indices from the root to ``index``, both included."""
        steps = [index]
        while (parent := self.nodes[steps[-1]].parent) is not None:
            steps.append(parent)
        return tuple(reversed(steps))

    def trunk(self, root: int) -> tuple[int, ...]:
        """The frozen chain below ``root``: text nodes up to the first soft slot, answer, readout or branching.

        Nothing in it depends on a trainable number, so its states can be computed once.
        """
        children = self.children()
        chain: list[int] = []
        index: int | None = root
        while index is not None and isinstance(self.nodes[index].segment, Text):
            chain.append(index)
            below = children.get(index, [])
            index = below[0] if len(below) == 1 else None
        return tuple(chain)

    def for_prompt(self, index: int) -> "Row":
        """The same row asked by another prompt; for rows that ask one prompt only.

        >>> Row((Node(Text((5,))), Node(Readout(0), 0)), target={0: 2}).for_prompt(4).target
        {4: 2}
        """
        nodes = tuple(
            node if isinstance(node.segment, Text) else replace(node, segment=replace(node.segment, prompt_index=index))
            for node in self.nodes
        )
        return replace(self, nodes=nodes, target=dict(zip([index], self.target.values(), strict=False)))

    def trunk_ids(self, root: int) -> tuple[int, ...]:
        """Token ids of :meth:`trunk`."""
        ids: list[int] = []
        for i in self.trunk(root):
            segment = self.nodes[i].segment
            assert isinstance(segment, Text)
            ids.extend(segment.ids)
        return tuple(ids)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows that go through the model together; ragged."""

    rows: tuple[Row, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)


def merge(rows: Sequence[Row]) -> Row:
    """One row that asks everything the given rows ask, reading equal beginnings once.

    The rows' trees are joined like a trie: children with equal segment under one parent become one node. Targets
    are united (each prompt index must stand in at most one row with a target), and so are weights; id and group come
    from the first.

    >>> text = Node(Text((5, 6), "text"))
    >>> ask = lambda k: Row((text, Node(Soft("soft", 2, k), 0), Node(Readout(k), 1)), target={k: 0})
    >>> both = merge([ask(0), ask(1)])
    >>> [node.parent for node in both.nodes], dict(both.target)
    ([None, 0, 1, 0, 3], {0: 0, 1: 0})
    """
    nodes: list[Node] = []
    seen: dict[tuple[int | None, Segment, str, str], int] = {}
    target: dict[int, int | tuple[float, ...]] = {}
    weights: dict[int, float] = {}
    for row in rows:
        where: list[int] = []
        for node in row.nodes:
            parent = None if node.parent is None else where[node.parent]
            key = (parent, node.segment, node.side, node.sees)
            if key not in seen:
                seen[key] = len(nodes)
                nodes.append(Node(node.segment, parent, node.side, node.sees))
            where.append(seen[key])
        for prompt, right in row.target.items():
            if row.weight_for(prompt) != rows[0].weight:
                weights[prompt] = row.weight_for(prompt)
            assert target.setdefault(prompt, right) == right, f"two rows have different targets for prompt {prompt}"
    first = rows[0]
    return Row(tuple(nodes), first.id, first.weight, first.group, target, weights)


def content_hash(ids: Iterable[int]) -> str:
    """Hash of token ids (16 hex digits): the id of a frozen text.

    >>> content_hash((1, 2)) == content_hash([1, 2]) != content_hash((12,))
    True
    """
    return hashlib.sha256(",".join(map(str, ids)).encode()).hexdigest()[:16]

"""From row trees to lines of tokens: what the model really has to compute.

A *line* is one sequence of the batch that goes through the model. Each root of a row starts a line of its own; below it,
branches either share the line (tree mask, where the model takes one) or become lines of their own (repeated rows, the
default lowering). The *trunk* of a line is the chain at its beginning that does not have to be computed again: up to the
first soft slot in training, up to the first input field when a prompt is compiled.

Answers under one parent are joined into a trie of tokens, so a shared beginning is computed once. The last token of an
answer (its terminator) is only predicted, never fed.

Pure Python on ids: knows no tensors, no masks and no model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from softprompt.core.records import Answer, Batch, Readout, Row, Soft, Text

__all__ = ["Frozen", "Line", "Lowered", "Trunk", "lower", "trunks"]

#: Where the part that is not computed again ends: at the first soft slot (training) or at the first input field (use).
Frozen = Literal["soft", "field"]


@dataclass(frozen=True, slots=True)
class Trunk:
    """The frozen beginning of one line: which nodes, how many tokens, and a key that equal trunks share."""

    row: int
    root: int
    nodes: tuple[int, ...]
    length: int
    key: tuple[object, ...]


@dataclass(slots=True)
class Line:
    """Live tokens of one sequence.

    Attributes:
        row: Index of the row in the batch.
        trunk: Index into the batch's trunks, None where nothing is frozen.
        start: Position of the first live token.
        ids: Token ids; 0 at soft places.
        parents: Index of the token before, in the line; -1 is the end of the trunk.
        positions: Logical positions.
        soft: (index in the line, prompt, slot, offset in the slot) of soft tokens.
    """

    row: int
    trunk: int | None
    start: int
    ids: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    soft: list[tuple[int, int, str, int]] = field(default_factory=list)

    def add(self, token: int, parent: int) -> int:
        """Append a token after ``parent``; returns its index."""
        self.ids.append(token)
        self.parents.append(parent)
        self.positions.append(self.start if parent < 0 else self.positions[parent] + 1)
        return len(self.ids) - 1

    @property
    def branches(self) -> bool:
        """Whether the tokens are not one simple chain."""
        return any(parent != i - 1 for i, parent in enumerate(self.parents))


@dataclass(slots=True)
class Lowered:
    """A batch as lines, and where its readers stand.

    Attributes:
        lines: The sequences.
        trunks: Frozen beginnings by index.
        answers: (prompt, row, candidate, [(line, token index, token to predict), ...]) for each candidate.
        readouts: (prompt, row, line, token index) for each place where a head reads.
        ends: (row, line, token index) of the last token of each branch without an answer or readout.
    """

    lines: list[Line] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)
    answers: list[tuple[int, int, int, list[tuple[int, int, int]]]] = field(default_factory=list)
    readouts: list[tuple[int, int, int, int]] = field(default_factory=list)
    ends: list[tuple[int, int, int]] = field(default_factory=list)

    @property
    def num_live(self) -> int:
        """Tokens that go through the model."""
        return sum(len(line.ids) for line in self.lines)


def trunks(batch: Batch | Sequence[Row], *, frozen: Frozen = "soft") -> list[Trunk]:
    """The frozen beginnings of a batch, in the order in which :func:`lower` numbers them; empty ones are left out.

    >>> from softprompt.core.records import Node
    >>> row = Row((Node(Text((5, 6), "text")), Node(Soft("s", 2), 0), Node(Answer((9, 0)), 1)))
    >>> [trunk.length for trunk in trunks([row])], trunks([row], frozen="field")
    ([2], [])
    """
    found = []
    for index, row in enumerate(batch):
        children = row.children()
        for root in row.roots():
            trunk = _trunk(row, index, root, children, frozen)
            if trunk.length:
                found.append(trunk)
    return found


def _trunk(row: Row, index: int, root: int, children: dict[int | None, list[int]], frozen: Frozen) -> Trunk:
    nodes: list[int] = []
    key: list[object] = []
    at: int | None = root
    while at is not None:
        segment = row.nodes[at].segment
        if isinstance(segment, (Answer, Readout)):
            break
        if frozen == "soft" and isinstance(segment, Soft):
            break
        if frozen == "field" and isinstance(segment, Text) and segment.field is not None:
            break
        nodes.append(at)
        key.append((segment.prompt_index, segment.slot, segment.length) if isinstance(segment, Soft) else segment.ids)
        below = children.get(at, [])
        at = below[0] if len(below) == 1 else None
    length = sum(len(row.nodes[i].segment) for i in nodes)
    # A reader needs the output of the token before it, so that token has to stay live.
    below = children.get(nodes[-1], []) if nodes else []
    if not below or any(isinstance(row.nodes[i].segment, (Answer, Readout)) for i in below):
        length = max(0, length - 1)
    return Trunk(index, root, tuple(nodes), length, (length, *key))


def lower(batch: Batch | Sequence[Row], *, tree: bool, frozen: Frozen | None = "soft") -> Lowered:
    """Lay a batch out as lines.

    Args:
        batch: The rows.
        tree: Whether branches may share a line.
        frozen: What counts as frozen; None computes everything.

    >>> from softprompt.core.records import Node
    >>> nodes = (Node(Text((5, 6), "text")), Node(Soft("s", 2), 0), Node(Answer((9, 0), 0), 1), Node(Answer((8, 0), 1), 1))
    >>> [len(line.ids) for line in lower([Row(nodes)], tree=True).lines]
    [4]
    >>> [len(line.ids) for line in lower([Row(nodes)], tree=False).lines]
    [3, 3]
    """
    out = Lowered()
    for index, row in enumerate(batch):
        children = row.children()
        for root in row.roots():
            trunk = _trunk(row, index, root, children, frozen) if frozen else None
            if trunk is not None and trunk.length:
                out.trunks.append(trunk)
                number: int | None = len(out.trunks) - 1
            else:
                trunk = number = None
            _Walk(out, row, index, children, tree=tree, trunk=trunk, number=number).run(root)
    return out


class _Walk:
    """Depth-first over one root. A branch that leaves from inside a chain copies the path, unless trees are taken."""

    def __init__(
        self,
        out: Lowered,
        row: Row,
        index: int,
        children: dict[int | None, list[int]],
        *,
        tree: bool,
        trunk: Trunk | None,
        number: int | None,
    ) -> None:
        self.out, self.row, self.index, self.children, self.tree = out, row, index, children, tree
        self.skip, self.number = trunk.length if trunk else 0, number

    def run(self, root: int) -> None:
        self._node(root, self._new(), -1, self.skip)

    def _new(self) -> int:
        self.out.lines.append(Line(self.index, self.number, self.skip))
        return len(self.out.lines) - 1

    def _tip(self, line: int, last: int) -> tuple[int, int]:
        """Where a token may be added after token ``last``: here, or at the end of a new line with the same path."""
        source = self.out.lines[line]
        if self.tree or last == len(source.ids) - 1:
            return line, last
        path = []
        while last >= 0:
            path.append(last)
            last = source.parents[last]
        number = self._new()
        target = self.out.lines[number]
        soft = {at: place for at, *place in source.soft}
        for token in reversed(path):
            at = target.add(source.ids[token], len(target.ids) - 1)
            if token in soft:
                target.soft.append((at, *soft[token]))  # type: ignore[arg-type]
        return number, len(target.ids) - 1

    def _node(self, node: int, line: int, last: int, skip: int) -> None:
        """Add the tokens of ``node`` after token ``last``, less the ``skip`` first, and go on below it."""
        segment = self.row.nodes[node].segment
        if skip < len(segment):
            line, last = self._tip(line, last)
        target = self.out.lines[line]
        if isinstance(segment, Text):
            for token in segment.ids[skip:]:
                last = target.add(token, last)
        elif isinstance(segment, Soft):
            for offset in range(skip, segment.length):
                last = target.add(0, last)
                target.soft.append((last, segment.prompt_index, segment.slot, offset))
        below = self.children.get(node, [])
        if not below:
            self.out.ends.append((self.index, line, last))
        answers: list[Answer] = []
        for child in below:
            segment_below = self.row.nodes[child].segment
            if isinstance(segment_below, Answer):
                answers.append(segment_below)
            elif isinstance(segment_below, Readout):
                assert last >= 0, "a readout needs a token before it"
                self.out.readouts.append((segment_below.prompt_index, self.index, line, last))
            else:
                self._node(child, line, last, max(0, skip - len(segment)))
        if answers:
            self._answers(answers, line, last)

    def _answers(self, answers: list[Answer], line: int, last: int) -> None:
        """Join candidate answers into a trie of tokens after token ``last``."""
        assert last >= 0, "an answer needs a token before it"
        trie: dict[tuple[int, ...], tuple[int, int]] = {(): (line, last)}
        for answer in answers:
            reads = []
            for n, token in enumerate(answer.ids):
                reads.append((*trie[answer.ids[:n]], token))
                path = answer.ids[: n + 1]
                if n + 1 < len(answer.ids) and path not in trie:
                    where, at = self._tip(*trie[answer.ids[:n]])
                    trie[path] = where, self.out.lines[where].add(token, at)
            self.out.answers.append((answer.prompt_index, self.index, answer.candidate, reads))

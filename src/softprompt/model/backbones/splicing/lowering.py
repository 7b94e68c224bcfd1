"""From row trees to lines of tokens: what the model really has to compute.

A *line* is one sequence of the batch that goes through the model. Each root of a row starts a line of its own; below
it, branches either share the line (tree mask, where the model takes one) or become lines of their own (repeated rows).
The *trunk* of a line is the chain at its beginning that does not have to be computed again: up to the first soft slot
in training, up to the first input field when a prompt is compiled.

Answers under one parent are joined into a trie of tokens, so a shared beginning is computed once. The last token of an
answer (its terminator) is only predicted, never fed.

Pure Python on ids: knows no tensors, no masks and no model. It runs in every training step, so tokens are added by
segments, not one by one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Readout, Row, Segment, Soft, Text
from softprompt.model.backbones.splicing.lines import Candidate, Line, Lowered, Place, Read, SoftRun, Trunk

__all__ = ["Frozen", "chain", "lower", "trunks"]

#: Where the part that is not computed again ends: at the first soft slot (training) or at the first input field (use).
Frozen = Literal["soft", "field"]


def trunks(batch: Iterable[Row], *, frozen: Frozen = "soft") -> list[Trunk]:
    """The frozen beginnings of a batch, in the order in which :func:`lower` numbers them; empty ones are left out.

    >>> from softprompt.core.records import Node
    >>> row = Row((Node(Text((5, 6), "text")), Node(Soft("s", 2), 0), Node(Answer((9, 0)), 1)))
    >>> [trunk.length for trunk in trunks([row])], trunks([row], frozen="field")
    ([2], [])
    """
    found = []
    for index, row in enumerate(batch):
        children = row.children()
        for root in children.get(None, ()):
            trunk = _trunk(row, index, root, children, frozen)
            if trunk.length:
                found.append(trunk)
    return found


def _trunk(row: Row, index: int, root: int, children: dict[int | None, list[int]], frozen: Frozen) -> Trunk:
    nodes: list[int] = []
    key: list[object] = []
    length = 0
    at: int | None = root
    while at is not None:
        segment = row.nodes[at].segment
        if isinstance(segment, Text):
            if frozen == "field" and segment.field is not None:
                break
            key.append(segment.ids)
        elif isinstance(segment, Soft) and frozen == "field":
            key.append((segment.prompt_index, segment.slot, segment.length))
        else:
            break
        nodes.append(at)
        length += len(segment)
        below = children.get(at, ())
        at = below[0] if len(below) == 1 else None
    if length and _is_read(row, nodes[-1], children):
        length -= 1
    return Trunk(index, root, tuple(nodes), length, (length, *key))


def _is_read(row: Row, node: int, children: dict[int | None, list[int]]) -> bool:
    """Whether something reads after the last token of ``node``, which then has to stay live."""
    below = children.get(node)
    if not below:
        return True
    for child in below:
        segment = row.nodes[child].segment
        if isinstance(segment, (Answer, Readout)) or (not len(segment) and _is_read(row, child, children)):
            return True
    return False


def chain(row: Row, trunk: Trunk) -> Line:
    """The tokens of a trunk as a line that starts at position 0.

    >>> from softprompt.core.records import Node
    >>> row = Row((Node(Text((5, 6), "text")), Node(Answer((9, 0)), 0)))
    >>> chain(row, trunks([row])[0]).ids
    [5]
    """
    line = Line(trunk.row, None, 0)
    for node in trunk.nodes:
        _append(line, row.nodes[node].segment, len(line.ids) - 1)
    return line.fork(trunk.length - 1)


def _append(line: Line, segment: Segment, after: int, skip: int = 0) -> int:
    """Add the tokens of a text or soft slot, less the ``skip`` first; returns the index of the last."""
    if isinstance(segment, Text):
        return line.extend(segment.ids[skip:] if skip else segment.ids, after)
    assert isinstance(segment, Soft)
    count = segment.length - skip
    if count > 0:
        line.soft.append(SoftRun(len(line.ids), segment.prompt_index, segment.slot, skip, count, segment.length))
    return line.extend([0] * count, after)


def lower(batch: Iterable[Row], *, tree: bool, frozen: Frozen | None = "soft") -> Lowered:
    """Lay a batch out as lines.

    Args:
        batch: The rows.
        tree: Whether branches may share a line.
        frozen: What counts as frozen; None computes everything.

    Raises:
        ModelError: ``model.empty_row`` where an answer or head has no token before it.

    >>> from softprompt.core.records import Node
    >>> nodes = (Node(Text((5, 6))), Node(Soft("s", 2), 0), Node(Answer((9, 0), 0), 1), Node(Answer((8, 0), 1), 1))
    >>> [len(line.ids) for line in lower([Row(nodes)], tree=True).lines]
    [4]
    >>> [len(line.ids) for line in lower([Row(nodes)], tree=False).lines]
    [3, 3]
    """
    out = Lowered()
    for index, row in enumerate(batch):
        children = row.children()
        for root in children.get(None, ()):
            trunk = _trunk(row, index, root, children, frozen) if frozen else None
            if trunk is None or not trunk.length:
                out.lines.append(Line(index, None, 0))
            else:
                out.trunks.append(trunk)
                out.lines.append(Line(index, len(out.trunks) - 1, trunk.length))
            start = out.lines[-1].start
            _Walk(out, row, index, children, tree).node(root, len(out.lines) - 1, -1, start)
    return out


@dataclass(slots=True)
class _Walk:
    """Depth-first over one root. A branch that leaves from inside a chain copies the path, unless trees are taken."""

    out: Lowered
    row: Row
    index: int
    children: dict[int | None, list[int]]
    tree: bool

    def tip(self, line: int, last: int) -> int:
        """The line in which a token may be added after token ``last``: this one, or a new one with the same path."""
        source = self.out.lines[line]
        if self.tree or last == len(source.ids) - 1:
            return line
        self.out.lines.append(source.fork(last))
        return len(self.out.lines) - 1

    def node(self, node: int, line: int, last: int, skip: int) -> None:
        """Add the tokens of ``node`` after token ``last``, less the ``skip`` first, and go on below it."""
        segment = self.row.nodes[node].segment
        if skip < len(segment):
            line = self.tip(line, last)
            last = _append(self.out.lines[line], segment, last, skip)
        skip = max(0, skip - len(segment))
        below = self.children.get(node, ())
        if not below:
            self.out.ends.append(self.place(-1, line, last))
        answers: list[Answer] = []
        for child in below:
            segment = self.row.nodes[child].segment
            if isinstance(segment, Answer):
                answers.append(segment)
            elif isinstance(segment, Readout):
                self.out.readouts.append(self.place(segment.prompt_index, line, last))
            else:
                self.node(child, line, last, skip)
        if answers:
            self.answers(answers, self.place(-1, line, last))

    def place(self, prompt: int, line: int, last: int) -> Place:
        """Where something reads: there has to be a token."""
        if last < 0:
            raise ModelError(
                "model.empty_row",
                "a row has no token before the place where its answer is read",
                cure="put {bos}, soft tokens or words before it",
            )
        return Place(prompt, self.index, line, last)

    def answers(self, answers: Sequence[Answer], after: Place) -> None:
        """Join candidate answers into a trie of tokens; in the order of their ids, so that it grows depth-first."""
        trie: dict[tuple[int, ...], tuple[int, int]] = {(): (after.line, after.at)}
        for ids in sorted({answer.ids for answer in answers}):
            assert ids, "an answer holds at least its terminator"
            for n in range(1, len(ids)):
                if ids[:n] not in trie:
                    line, last = trie[ids[: n - 1]]
                    line = self.tip(line, last)
                    trie[ids[:n]] = line, self.out.lines[line].extend(ids[n - 1 : n], last)
        for answer in answers:
            reads = tuple(Read(*trie[answer.ids[:n]], token) for n, token in enumerate(answer.ids))
            self.out.answers.append(Candidate(answer.prompt_index, self.index, answer.candidate, reads, answer.against))

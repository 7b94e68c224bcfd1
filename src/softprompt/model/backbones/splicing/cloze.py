"""From row trees to lines for masked models: every reading is a sequence of its own, with masks where it is read.

The same rows that causal models read from left to right are read here like this. A *path* runs from a root to where
something is read.

* **Soft tokens before the text, or none**: everything on the path sees everything; the line is computed whole.
* **Soft tokens after a field** (splice rule 9): the text before the first of them is the *trunk*. It is read alone,
  both ways, closed like a text in pre-training, and never sees what follows; so it can be computed once. What follows
  are *observers*: they see the trunk and each other, and their positions go on where it ends.

Behind the path stand the answer's tokens as masks and then the closing token, as a text ends in pre-training. An
answer's terminator is that closing token: it is there, and is not scored. The score is the left-to-right
pseudo-log-likelihood of Kauf & Ivanova (2023), the answer taken as one word: token i is predicted with the tokens
before it present and those from i on masked, so that a rare word's pieces do not give each other away. Answers of
equal length share their first line, and of one token all of it.

Where label vectors read, a mask is read, as if an answer of one token began there; a model without a trained mask head
is read at the token before. A row that is nothing but a chain of text with several readouts (a linear probe) is one
line: those inside read their own token of it.

Pure Python on ids: knows no tensors and no model.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Readout, Row, Soft, Text
from softprompt.model.backbones.splicing.lines import Candidate, Line, Lowered, Place, Read, SoftRun, Trunk

__all__ = ["Marks", "cannot_write", "cloze", "cloze_trunks", "no_mask_head"]


@dataclass(frozen=True, slots=True)
class Marks:
    """The special tokens of lines.

    Attributes:
        close: Stands behind a text and at the end of a line.
        mask: Stands for what is predicted; None without a trained mask head.
    """

    close: int
    mask: int | None


def cloze_trunks(batch: Iterable[Row], marks: Marks) -> list[Trunk]:
    """The frozen texts of a batch, in the order in which :func:`cloze` numbers them; closed, with what closes them.

    >>> from softprompt.core.records import Node
    >>> row = Row((Node(Text((5, 6), "text")), Node(Soft("s", 2), 0), Node(Answer((9, 0)), 1)))
    >>> cloze_trunks([row], Marks(close=0, mask=1))[0].key
    (3, (5, 6), (0,))
    """
    return cloze(batch, marks).trunks


def cloze(batch: Iterable[Row], marks: Marks, *, ends: bool = False) -> Lowered:
    """Lay a batch out as lines.

    Args:
        batch: The rows.
        marks: Special tokens.
        ends: Whether the ends of branches are read, too.

    Raises:
        ModelError: ``model.empty_row`` where an answer or head has no token before it; ``model.no_mask_head`` for
            answers in words where no head was trained to predict them; ``model.empty_answer``.

    >>> from softprompt.core.records import Node
    >>> nodes = (Node(Text((5, 6))), Node(Soft("s", 2), 0), Node(Answer((9, 0), 0), 1), Node(Answer((8, 7, 0), 1), 1))
    >>> [line.ids for line in cloze([Row(nodes)], Marks(close=0, mask=1)).lines]
    [[5, 6, 0, 0, 1, 0], [5, 6, 0, 0, 1, 1, 0], [5, 6, 0, 0, 8, 1, 0]]
    """
    out = Lowered()
    for index, row in enumerate(batch):
        children = row.children()
        walk = _Walk(out, row, index, children, marks, ends)
        if _is_probe(row, children):
            walk.probe()
        else:
            for root in children.get(None, ()):
                walk.node(root, ())
    return out


def _append(line: Line, segment: object) -> None:
    """Add the tokens of a text or soft slot."""
    last = len(line.ids) - 1
    if isinstance(segment, Text):
        line.extend(segment.ids, last)
        return
    assert isinstance(segment, Soft)
    if segment.length:
        line.soft.append(SoftRun(len(line.ids), segment.prompt_index, segment.slot, 0, segment.length, segment.length))
    line.extend([0] * segment.length, last)


def _is_probe(row: Row, children: dict[int | None, list[int]]) -> bool:
    """Whether the row is one chain of text with readouts and nothing else."""
    if not all(isinstance(node.segment, Text | Readout) for node in row.nodes):
        return False
    texts = [[i for i in below if isinstance(row.nodes[i].segment, Text)] for below in children.values()]
    return all(len(below) <= 1 for below in texts)


@dataclass(slots=True)
class _Walk:
    """Depth-first over one row."""

    out: Lowered
    row: Row
    index: int
    children: dict[int | None, list[int]]
    marks: Marks
    ends: bool
    trunks: dict[tuple[int, ...], int] = field(default_factory=dict)

    def node(self, node: int, above: tuple[int, ...]) -> None:
        """Read what is asked below a node, then go on below it."""
        path = (*above, node)
        if isinstance(self.row.nodes[node].segment, Soft):
            self.trunk(path)  # numbered whether anything is read below or not
        below = self.children.get(node, ())
        segments = [self.row.nodes[child].segment for child in below]
        answers = [segment for segment in segments if isinstance(segment, Answer)]
        readouts = [segment for segment in segments if isinstance(segment, Readout)]
        if answers or readouts or (self.ends and not below):
            reader = _Reader(self, path)
            self.out.answers.extend(map(reader.answer, answers))
            self.out.readouts.extend(reader.place(readout.prompt_index) for readout in readouts)
            if not below:
                self.out.ends.append(reader.place(-1))
        for child, segment in zip(below, segments, strict=True):
            if not isinstance(segment, Answer | Readout):
                self.node(child, path)

    def probe(self) -> None:
        """All readouts of a chain of text, in one line."""
        path = tuple(i for i, node in enumerate(self.row.nodes) if isinstance(node.segment, Text))
        reader = _Reader(self, path)
        inside = {node: sum(len(self.row.nodes[i].segment) for i in path[: n + 1]) for n, node in enumerate(path)}
        for node in self.row.nodes:
            if isinstance(node.segment, Readout):
                place = reader.place(node.segment.prompt_index)
                if node.parent is not None and node.parent != path[-1]:
                    place = place._replace(at=inside[node.parent] - 1)
                if place.at < 0:
                    raise _empty()
                self.out.readouts.append(place)
        if self.ends and not self.children.get(path[-1]):
            self.out.ends.append(reader.place(-1))

    def trunk(self, path: tuple[int, ...]) -> int | None:
        """Number of the frozen text at the beginning of a path; None where there is none."""
        segments = [self.row.nodes[i].segment for i in path]
        first = next((n for n, segment in enumerate(segments) if isinstance(segment, Soft)), 0)
        texts = [segment for segment in segments[:first] if isinstance(segment, Text)]
        if not any(text.field is not None for text in texts) or not any(map(len, texts)):
            return None
        nodes = path[:first]
        if nodes not in self.trunks:
            key = [*(text.ids for text in texts), (self.marks.close,)]
            length = sum(map(len, key))
            self.trunks[nodes] = len(self.out.trunks)
            self.out.trunks.append(Trunk(self.index, path[0], nodes, length, (length, *key)))
        return self.trunks[nodes]


class _Reader:
    """The lines in which the places behind one path are read."""

    def __init__(self, walk: _Walk, path: tuple[int, ...]) -> None:
        self.walk, self.marks = walk, walk.marks
        trunk = walk.trunk(path)
        found = walk.out.trunks[trunk] if trunk is not None else None
        self.base = Line(walk.index, trunk, found.length if found else 0)
        for node in path[len(found.nodes) if found else 0 :]:
            _append(self.base, walk.row.nodes[node].segment)
        if not self.base.ids:
            raise _empty()
        self.lines: dict[tuple[int, tuple[int, ...]], int] = {}

    def place(self, prompt: int) -> Place:
        """Where a head reads: at a mask, or without a mask head at the last token."""
        last = len(self.base.ids) - 1
        if self.marks.mask is None:
            return Place(prompt, self.walk.index, self._line((), 0), last)
        return Place(prompt, self.walk.index, self._line((), 1), last + 1)

    def answer(self, answer: Answer) -> Candidate:
        """Where the tokens of an answer are predicted; its terminator closes the line and is not predicted."""
        if self.marks.mask is None:
            raise no_mask_head("this model")
        ids = answer.ids[:-1]
        if not ids:
            raise ModelError("model.empty_answer", "an answer has no tokens, and a masked model scores tokens alone")
        first = len(self.base.ids)
        reads = tuple(Read(self._line(ids[:n], len(ids) - n), first + n, token) for n, token in enumerate(ids))
        return Candidate(answer.prompt_index, self.walk.index, answer.candidate, reads, answer.against)

    def _line(self, known: Sequence[int], masks: int) -> int:
        """The line that goes on with some tokens, then masks, then closes."""
        key = (masks, tuple(known))
        if key not in self.lines:
            line = self.base.fork(len(self.base.ids) - 1)
            line.extend((*known, *self._behind(masks)), len(line.ids) - 1)
            self.lines[key] = len(self.walk.out.lines)
            self.walk.out.lines.append(line)
        return self.lines[key]

    def _behind(self, masks: int) -> Iterator[int]:
        if masks:
            assert self.marks.mask is not None
            yield from [self.marks.mask] * masks
        yield self.marks.close


def cannot_write(name: str) -> ModelError:
    """What a masked model says that is asked for text."""
    return ModelError(
        "model.cannot_write",
        f"{name} fills in masks and cannot write text from left to right",
        cure="ask for one of several answers (classify, choose), or use a causal or seq2seq model",
    )


def no_mask_head(name: str) -> ModelError:
    """What an encoder says that is asked for words."""
    return ModelError(
        "model.no_mask_head",
        f"{name} has no trained head that predicts words at masks, so it cannot score answers in words",
        cure="choose 'answers: vectors'",
    )


def _empty() -> ModelError:
    return ModelError(
        "model.empty_row",
        "a row has no token before the place where its answer is read",
        cure="put {bos}, soft tokens or words before it",
    )

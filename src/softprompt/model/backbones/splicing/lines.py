"""Sequences of tokens as they go through a model, and the places in them that are read.

Plain data between :mod:`~softprompt.model.backbones.splicing.lowering`, which makes it from row trees, and
:mod:`~softprompt.model.backbones.splicing.splice` and :mod:`~softprompt.model.backbones.readers`, which make tensors
of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

__all__ = ["Aside", "Candidate", "Line", "Lowered", "Place", "Read", "SoftRun", "Trunk"]


@dataclass(frozen=True, slots=True)
class Trunk:
    """The frozen beginning of one line.

    Attributes:
        row: Index of the row in the batch.
        root: Where it starts.
        nodes: The chain; of the last node the end may be missing.
        length: Tokens.
        key: Equal for equal trunks: the length, then the ids of each text and (prompt, slot, length) of each soft slot.
    """

    row: int
    root: int
    nodes: tuple[int, ...]
    length: int
    key: tuple[object, ...]

    @property
    def ids(self) -> tuple[int, ...]:
        """Tokens of a trunk of text.

        >>> Trunk(0, 0, (0, 1), 3, (3, (5, 6), (7, 8))).ids
        (5, 6, 7)
        """
        return tuple(token for ids in self.key[1:] if isinstance(ids, tuple) for token in ids)[: self.length]


class SoftRun(NamedTuple):
    """Soft tokens from index ``at`` of a line: ``num`` of a prompt's slot of ``length`` tokens, from ``offset`` on."""

    at: int
    prompt: int
    slot: str
    offset: int
    num: int
    length: int


class Aside(NamedTuple):
    """A run of soft tokens that are keys and values only and stand beside a line's tokens instead of among them.

    ``run.at`` is where it would stand; its first token has ``position``; live tokens ``first <= i < last`` see it.
    """

    run: SoftRun
    position: int
    first: int
    last: int


class Place(NamedTuple):
    """A token that is read: of a prompt where a head reads, of -1 at the end of a branch."""

    prompt: int
    row: int
    line: int
    at: int


class Read(NamedTuple):
    """After token ``at`` of a line, ``token`` is predicted."""

    line: int
    at: int
    token: int


class Candidate(NamedTuple):
    """A candidate answer and all its predictions, terminator included; or what is said against the candidate."""

    prompt: int
    row: int
    candidate: int
    reads: tuple[Read, ...]
    against: bool = False


@dataclass(slots=True)
class Line:
    """Live tokens of one sequence, parents before children.

    Attributes:
        row: Index of the row in the batch.
        trunk: Index into the batch's trunks, None where nothing is frozen.
        start: Position of the first live token.
        ids: Token ids; 0 at soft places.
        parents: Index of the token before, in the line; -1 is the end of the trunk.
        positions: Logical positions.
        soft: Where soft tokens stand.
        branches: Whether the tokens are not one simple chain.
        asides: Keys and values that stand beside the tokens.
    """

    row: int
    trunk: int | None
    start: int
    ids: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    soft: list[SoftRun] = field(default_factory=list)
    branches: bool = False
    asides: list[Aside] = field(default_factory=list)

    @property
    def length(self) -> int:
        """Tokens of the longest path, the trunk included."""
        beside = max((aside.position + aside.run.num for aside in self.asides), default=0)
        return max(beside, max(self.positions, default=self.start - 1) + 1)

    def extend(self, ids: Sequence[int], after: int) -> int:
        """Add a chain of tokens after token ``after`` (-1: at the start); returns the index of its last one."""
        if not ids:
            return after
        first = len(self.ids)
        position = self.start if after < 0 else self.positions[after] + 1
        self.ids.extend(ids)
        self.parents.append(after)
        self.parents.extend(range(first, first + len(ids) - 1))
        self.positions.extend(range(position, position + len(ids)))
        self.branches |= after != first - 1
        return len(self.ids) - 1

    def fork(self, last: int) -> "Line":
        """A line of its own with the tokens up to ``last``; only of a simple chain."""
        assert not self.branches, "a branching line is not copied: its branches share it"
        n = last + 1
        soft = [run._replace(num=min(run.num, n - run.at)) for run in self.soft if run.at < n]
        return Line(self.row, self.trunk, self.start, self.ids[:n], self.parents[:n], self.positions[:n], soft)

    def ends(self) -> list[int]:
        """By token: one behind its last descendant. Tokens stand in depth-first order, so i descends from j (or is j)
        exactly where ``j <= i < ends[j]``.

        >>> line = Line(0, None, 0)
        >>> line.extend((7, 8), line.extend((5,), -1)), line.extend((9,), 0)
        (2, 3)
        >>> line.ends(), line.branches
        ([4, 3, 3, 4], True)
        """
        ends = list(range(1, len(self.ids) + 1))
        for i in range(len(ends) - 1, 0, -1):
            if self.parents[i] >= 0:
                ends[self.parents[i]] = max(ends[self.parents[i]], ends[i])
        return ends


@dataclass(slots=True)
class Lowered:
    """A batch as lines, and where its readers stand.

    Attributes:
        lines: The sequences.
        trunks: Frozen beginnings by index.
        answers: The candidates.
        readouts: Where heads read.
        ends: The last token of each branch without an answer or readout.
    """

    lines: list[Line] = field(default_factory=list)
    trunks: list[Trunk] = field(default_factory=list)
    answers: list[Candidate] = field(default_factory=list)
    readouts: list[Place] = field(default_factory=list)
    ends: list[Place] = field(default_factory=list)

    @property
    def num_live(self) -> int:
        """Tokens that go through the model."""
        return sum(len(line.ids) for line in self.lines)

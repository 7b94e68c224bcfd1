"""Row trees of an encoder-decoder: what the encoder reads, and the decoder's trees below it.

An encoder reads a chain of segments as a whole, so two chains that differ anywhere have nothing in common, and one that
goes on is another one. A decoder's tree is a row of its own that reads one such chain: the rest is the lowering of
causal rows. Segments that say no side belong to the encoder, up to the answer; nothing of the encoder stands below the
decoder.

The model's own marks stand around both sides: what its tokenizer writes at the end of a text, and what a decoder
begins with. Soft slots that a decoder's side begins with may stand before that opening: keys and values have no state
to be read, and behind them the opening has one.

Pure Python on ids: knows no tensors and no model.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text
from softprompt.model.backbones.splicing.lines import Line, Lowered, Trunk
from softprompt.model.backbones.splicing.lowering import Frozen, chain, lower

__all__ = ["Frame", "Reading", "Sides", "is_decoder", "split"]


@dataclass(frozen=True, slots=True)
class Frame:
    """The model's own marks.

    Attributes:
        closing: Tokens at the end of every text that the encoder reads.
        opening: Tokens that the decoder begins with; at least one.
    """

    closing: tuple[int, ...]
    opening: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Reading:
    """One chain that the encoder reads: its tokens, closing included, and its trunk where its states are frozen."""

    line: Line
    trunk: Trunk | None


@dataclass(slots=True)
class Sides:
    """A batch in two parts.

    Attributes:
        readings: What the encoder reads, in the order of the rows.
        decoders: Trees of the decoder.
        owners: By decoder tree the index of its row.
        memories: By decoder tree the index of its reading.
    """

    readings: list[Reading] = field(default_factory=list)
    decoders: list[Row] = field(default_factory=list)
    owners: list[int] = field(default_factory=list)
    memories: list[int] = field(default_factory=list)

    @property
    def trunks(self) -> list[Trunk]:
        """The frozen readings."""
        return [reading.trunk for reading in self.readings if reading.trunk is not None]

    def lower(self, *, tree: bool) -> Lowered:
        """The decoders' trees as lines; ``Line.row`` is the number of the tree, other rows those of the batch."""
        lowered = lower(self.decoders, tree=tree, frozen=None)
        return replace(
            lowered,
            answers=[one._replace(row=self.owners[one.row]) for one in lowered.answers],
            readouts=[place._replace(row=self.owners[place.row]) for place in lowered.readouts],
            ends=[place._replace(row=self.owners[place.row]) for place in lowered.ends],
        )


def is_decoder(node: Node) -> bool:
    """Whether a node stands on the decoder's side by itself; what stands below the decoder does too.

    >>> is_decoder(Node(Answer((5, 0)))), is_decoder(Node(Text((5,)), side="decoder")), is_decoder(Node(Text((5,))))
    (True, True, False)
    """
    return node.side == "decoder" or isinstance(node.segment, Answer | Readout)


def _never(_slot: Soft) -> bool:
    return False


def split(
    batch: Iterable[Row],
    frame: Frame,
    *,
    frozen: Frozen | None = "soft",
    opens: Callable[[Soft], bool] = _never,
) -> Sides:
    """Take the rows of a batch apart.

    Args:
        batch: The rows.
        frame: The model's own marks.
        frozen: What makes a reading frozen: that it holds no soft slot, or no field; None: nothing does.
        opens: Slots that stand before the decoder's opening where nothing but such slots stands before them.

    Raises:
        ModelError: ``model.empty_row`` where the encoder gets no token; ``model.unsupported_prompt`` for a part of the
            encoder below one of the decoder.

    >>> nodes = Node(Text((5, 6), "text")), Node(Soft("s", 2), 0, side="decoder"), Node(Answer((9, 1)), 1)
    >>> sides = split([Row(nodes)], Frame(closing=(1,), opening=(0,)))
    >>> sides.readings[0].line.ids, sides.trunks[0].ids, [node.segment for node in sides.decoders[0].nodes[:2]]
    ([5, 6, 1], (5, 6, 1), [Text(ids=(0,), field=None), Soft(slot='s', length=2, prompt_index=0)])
    >>> first = split([Row(nodes)], Frame(closing=(1,), opening=(0,)), opens=lambda slot: slot.slot == "s")
    >>> [type(node.segment).__name__ for node in first.decoders[0].nodes]
    ['Soft', 'Text', 'Answer']
    """
    out = Sides()
    for index, row in enumerate(batch):
        _Walk(out, row, index, row.children(), frame, frozen, opens).below(None, ())
    return out


@dataclass(slots=True)
class _Walk:
    """Depth-first over the encoder's side of one row."""

    out: Sides
    row: Row
    index: int
    children: dict[int | None, list[int]]
    frame: Frame
    frozen: Frozen | None
    opens: Callable[[Soft], bool]

    def below(self, node: int | None, path: tuple[int, ...]) -> None:
        """What follows the chain ``path``, whose last node is ``node``: runs of decoder trees, and longer chains.

        Decoder trees are taken in runs between the chains that go on, so that branches come in their own order.
        """
        children = self.children.get(node, [])
        memory: int | None = None
        for decoder, run in groupby(children, lambda child: is_decoder(self.row.nodes[child])):
            if decoder:
                memory = self.read(path) if memory is None else memory
                self.add(self.tree(list(run)), memory)
            else:
                for child in run:
                    self.below(child, (*path, child))
        if not children and node is not None:
            self.add(self.tree([]), self.read(path))

    def add(self, decoder: Row, memory: int) -> None:
        self.out.decoders.append(decoder)
        self.out.owners.append(self.index)
        self.out.memories.append(memory)

    def read(self, path: tuple[int, ...]) -> int:
        """A new reading; returns its number."""
        segments = [self.row.nodes[node].segment for node in path]
        key: list[object] = []
        open_end = self.frozen is None
        for segment in segments:
            if isinstance(segment, Text):
                key.append(segment.ids)
                open_end |= self.frozen == "field" and segment.field is not None
            elif isinstance(segment, Soft):
                key.append((segment.prompt_index, segment.slot, segment.length))
                open_end |= self.frozen == "soft"
        length = sum(map(len, segments))
        text = Trunk(self.index, path[0] if path else 0, path, length, (length, *key))
        line = chain(self.row, text)
        line.extend(self.frame.closing, len(line.ids) - 1)
        if not line.ids:
            raise ModelError(
                "model.empty_row",
                "the encoder of a row gets no token",
                cure="put words, a field or soft tokens before the place where the answer is read",
            )
        whole = len(line.ids)
        frozen = replace(text, length=whole, key=(whole, *key, self.frame.closing))
        self.out.readings.append(Reading(line, None if open_end else frozen))
        return len(self.out.readings) - 1

    def tree(self, roots: Sequence[int]) -> Row:
        """The decoder's trees below some siblings, each behind the opening or slots that stand before it."""
        grown = _Decoder(self.frame.opening)
        where: dict[int | None, int | None] = {}
        inside = set(roots)
        for i, node in enumerate(self.row.nodes):
            if i not in inside and node.parent not in inside:
                continue
            if node.side == "encoder":
                message = "a part of the encoder stands below one of the decoder"
                raise ModelError("model.unsupported_prompt", message, cure="put it before the <decoder> mark")
            inside.add(i)
            parent = None if i in roots else where[node.parent]
            first = isinstance(node.segment, Soft) and self.opens(node.segment)
            where[i] = grown.add(node, parent, first=first)
        return grown.row()


class _Decoder:
    """A decoder's trees while they grow."""

    def __init__(self, opening: tuple[int, ...]) -> None:
        self.opening = opening
        self.nodes: list[Node] = []
        self.begins: dict[int | None, int | None] = {None: None}  # what stands before an opening -> its last child

    def add(self, node: Node, parent: int | None, *, first: bool) -> int:
        """Put a node below another, or below an opening there; returns its number.

        Args:
            node: The node.
            parent: Number of the other; None: a root.
            first: Whether it stands before the opening, if its parent does.
        """
        begins = first and parent in self.begins
        if parent in self.begins and not first:
            parent = self.opened(parent)
        at = self._append(replace(node, parent=parent))
        if begins:
            self.begins[parent], self.begins[at] = at, None
        return at

    def opened(self, parent: int | None) -> int:
        """The opening below a node; a new one where a slot has come between, so that branches keep their order."""
        last = self.begins[parent]
        if last is None or last in self.begins:
            last = self.begins[parent] = self._append(Node(Text(self.opening), parent))
        return last

    def row(self) -> Row:
        """What has grown; what ends before an opening gets one."""
        for at in [at for at, last in self.begins.items() if last is None]:
            self.opened(at)
        return Row(tuple(self.nodes))

    def _append(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1

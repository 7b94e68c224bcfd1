"""Small random row trees, and prompts to go with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import torch
from hypothesis import strategies as st

from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.backbones.base import Backbone
from softprompt.testing import FAMILIES, SEQ2SEQ

__all__ = ["EOS", "EVERY", "LAYERED", "SLOTS", "Kind", "prompts_for", "rows_of", "sided", "sketches"]

EOS = 257

#: Families whose rows are trees that are read from left to right, or read whole and then written.
EVERY = (*FAMILIES, *SEQ2SEQ)

#: Slots by prompt: named alike, of different lengths.
SLOTS: Sequence[dict[str, int]] = ({"a": 3, "b": 1}, {"a": 2, "b": 4}, {"a": 3, "b": 1})


#: What a slot holds, and from which layer on.
Kind = tuple[Literal["embed", "kv", "hidden"], int]

#: Kinds of :data:`SLOTS`: prompts that meet the model among its embeddings, in all layers, and in the later ones.
LAYERED: Sequence[dict[str, Kind]] = (
    {"a": ("kv", 0), "b": ("embed", 0)},
    {"a": ("hidden", 2), "b": ("kv", 1)},
    {"a": ("embed", 0), "b": ("hidden", 1)},
)


def prompts_for(
    backbone: Backbone,
    *,
    seed: int = 0,
    slots: Sequence[dict[str, int]] = SLOTS,
    kinds: Sequence[dict[str, Kind]] | None = None,
    decoder: bool = False,
) -> list[PromptTensors]:
    """Random tensors, vectors of the size of the model's own embeddings; leaves of a graph.

    Args:
        backbone: For which they are.
        seed: Of the numbers.
        slots: Lengths of the slots, by prompt.
        kinds: What they hold; a layer beyond the last is the last.
        decoder: Whether they stand on the decoder's side.
    """
    generator = torch.Generator().manual_seed(seed)
    spec = backbone.spec
    scale = float(backbone.embed(torch.arange(200)).float().std())
    dtype = torch.float64 if spec.dtype == torch.float64 else torch.float32
    layers = backbone.slot_shapes(decoder=decoder)

    def drawn(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator, dtype=dtype)

    def slot(length: int, kind: Kind) -> SlotTensors:
        match kind:
            case "embed", _:
                return SlotTensors(embed=(scale * drawn(length, spec.embed_dim)).requires_grad_())
            case "hidden", layer:
                width = backbone.model.config.hidden_size  # type: ignore[attr-defined]
                return SlotTensors(hidden={min(layer, len(layers) - 1): drawn(length, width).requires_grad_()})
            case _, first:
                shapes = list(enumerate(layers))[first:]
                return SlotTensors(
                    kv={
                        layer: (drawn(g, length, dk).requires_grad_(), drawn(g, length, dv).requires_grad_())
                        for layer, (g, dk, dv) in shapes
                    }
                )

    kinds = [dict.fromkeys(each, ("embed", 0)) for each in slots] if kinds is None else kinds
    return [
        PromptTensors({name: slot(n, kind[name]) for name, n in each.items()})
        for each, kind in zip(slots, kinds, strict=True)
    ]


#: A row as plain data: (segment type, its arguments, parent) by node. Rows are made of it outside the strategy, because
#: the executed annotations of softprompt draw random numbers, which hypothesis forbids while it draws.
Sketch = list[tuple[type, tuple[Any, ...], int | None]]


def rows_of(sketches: Sequence[Sketch]) -> list[Row]:
    """The rows that were drawn."""
    return [Row(tuple(Node(kind(*values), parent) for kind, values, parent in sketch)) for sketch in sketches]


def sided(backbone: Backbone, rows: Sequence[Row]) -> list[Row]:
    """The rows, and for an encoder-decoder the same once more with parts on the decoder's side.

    The decoder begins at a soft slot below something, and at every third node.
    """
    if backbone.spec.kind != "seq2seq":
        return list(rows)
    return [*rows, *map(_with_decoder, rows)]


def _with_decoder(row: Row) -> Row:
    nodes: list[Node] = []
    for number, node in enumerate(row.nodes):
        below = node.parent is not None and nodes[node.parent].side == "decoder"
        begins = number % 3 == 2 or (node.parent is not None and isinstance(node.segment, Soft))
        side = "main" if isinstance(node.segment, Answer | Readout) else "decoder" if below or begins else "encoder"
        nodes.append(replace(node, side=side))
    return replace(row, nodes=tuple(nodes))


@dataclass
class _Grower:
    """Draws one row depth-first, so that node order is reading order."""

    draw: st.DrawFn
    kinds: Sequence[dict[str, Kind]] | None
    nodes: Sketch = field(default_factory=list)
    readers: int = 0

    def text(self, parent: int | None, *, least: int) -> int:
        ids = self.draw(st.lists(st.integers(0, 255), min_size=least, max_size=9))
        return self.add(parent, Text, tuple(ids), self.draw(st.sampled_from(["text", None])))

    def soft(self, parent: int | None) -> int:
        prompt = self.draw(st.integers(0, len(SLOTS) - 1))
        slot = self.draw(st.sampled_from(["a", "b"]))
        node = self.add(parent, Soft, slot, SLOTS[prompt][slot], prompt)
        stateless = self.kinds is not None and self.kinds[prompt][slot][0] == "kv"
        return self.text(node, least=1) if stateless else node  # behind keys and values nothing can be read

    def add(self, parent: int | None, kind: type, *values: object) -> int:
        self.nodes.append((kind, values, parent))
        return len(self.nodes) - 1

    def below(self, parent: int, depth: int) -> None:
        """Children: branches, and what is read here."""
        for _ in range(self.draw(st.integers(0, 2)) if depth else 0):
            child = self.soft(parent) if self.draw(st.booleans()) else self.text(parent, least=0)
            self.below(child, depth - 1)
        if self.draw(st.booleans()):
            self.answers(parent)
        if self.draw(st.booleans()):
            self.add(parent, Readout, self.readers)
            self.readers += 1

    def answers(self, parent: int) -> None:
        """Candidates from few tokens, so that one often begins another; the shortest is its terminator alone."""
        words = st.lists(st.integers(5, 7), max_size=3)
        for ids in self.draw(st.lists(words, min_size=1, max_size=3)):
            self.add(parent, Answer, (*ids, EOS), len(self.nodes), self.draw(st.integers(0, 2)))


@st.composite
def sketches(draw: st.DrawFn, kinds: Sequence[dict[str, Kind]] | None = None) -> Sketch:
    """Rows with one or two roots that begin with text or a soft slot, and branches, answers and heads below.

    Args:
        draw: Given by hypothesis.
        kinds: What the slots hold; vectors among the embeddings if None.
    """
    grower = _Grower(draw, kinds)
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        root = grower.soft(None) if draw(st.sampled_from([True, False, False])) else grower.text(None, least=1)
        grower.below(root, depth=3)
    return grower.nodes

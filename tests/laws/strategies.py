"""Small random row trees, and prompts to go with them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from hypothesis import strategies as st

from softprompt.core.records import Answer, Node, Readout, Row, Soft, Text
from softprompt.core.tensors import PromptTensors, SlotTensors
from softprompt.model.backbones.base import Backbone

__all__ = ["EOS", "SLOTS", "prompts_for", "rows_of", "sketches"]

EOS = 257

#: Slots by prompt: named alike, of different lengths.
SLOTS: Sequence[dict[str, int]] = ({"a": 3, "b": 1}, {"a": 2, "b": 4}, {"a": 3, "b": 1})


def prompts_for(backbone: Backbone, *, seed: int = 0, slots: Sequence[dict[str, int]] = SLOTS) -> list[PromptTensors]:
    """Random vectors of the size of the model's own embeddings; leaves of a graph."""
    generator = torch.Generator().manual_seed(seed)
    scale = float(backbone.embed(torch.arange(200)).float().std())
    dtype = torch.float64 if backbone.spec.dtype == torch.float64 else torch.float32

    def vectors(length: int) -> torch.Tensor:
        return (scale * torch.randn(length, backbone.spec.embed_dim, generator=generator, dtype=dtype)).requires_grad_()

    return [PromptTensors({slot: SlotTensors(embed=vectors(n)) for slot, n in each.items()}) for each in slots]


#: A row as plain data: (segment type, its arguments, parent) by node. Rows are made of it outside the strategy, because
#: the executed annotations of softprompt draw random numbers, which hypothesis forbids while it draws.
Sketch = list[tuple[type, tuple[Any, ...], int | None]]


def rows_of(sketches: Sequence[Sketch]) -> list[Row]:
    """The rows that were drawn."""
    return [Row(tuple(Node(kind(*values), parent) for kind, values, parent in sketch)) for sketch in sketches]


@dataclass
class _Grower:
    """Draws one row depth-first, so that node order is reading order."""

    draw: st.DrawFn
    nodes: Sketch = field(default_factory=list)
    readers: int = 0

    def text(self, parent: int | None, *, least: int) -> int:
        ids = self.draw(st.lists(st.integers(0, 255), min_size=least, max_size=9))
        return self.add(parent, Text, tuple(ids), self.draw(st.sampled_from(["text", None])))

    def soft(self, parent: int | None) -> int:
        prompt = self.draw(st.integers(0, len(SLOTS) - 1))
        slot = self.draw(st.sampled_from(["a", "b"]))
        return self.add(parent, Soft, slot, SLOTS[prompt][slot], prompt)

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
def sketches(draw: st.DrawFn) -> Sketch:
    """Rows with one or two roots that begin with text or a soft slot, and branches, answers and heads below."""
    grower = _Grower(draw)
    for _ in range(draw(st.sampled_from([1, 1, 2]))):
        root = grower.soft(None) if draw(st.sampled_from([True, False, False])) else grower.text(None, least=1)
        grower.below(root, depth=3)
    return grower.nodes

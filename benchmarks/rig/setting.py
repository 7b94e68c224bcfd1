"""What is measured: a model of a given shape with random weights, and rows of random ids.

Weights and texts are random because time and memory do not depend on them. The losses of both sides are compared all
the same, so the initialisation is wide enough that a wrong mask or position would show.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

import torch
import transformers as hf

from softprompt.core.records import Answer, Node, Row, Segment, Soft, Text
from softprompt.model.backbones.base import Backbone
from softprompt.model.backbones.loading import DTYPES, wrap
from softprompt.model.methods.starts import Start
from softprompt.testing import tiny_tokenizer

__all__ = ["SHAPES", "Setting", "Shape", "backbone_of", "row_of", "start_of", "texts_of"]


@dataclass(frozen=True)
class Shape:
    """Shape of a Llama-like model with tied embeddings."""

    layers: int
    hidden: int
    heads: int
    inner: int
    vocabulary: int


SHAPES = {
    "small": Shape(layers=12, hidden=768, heads=12, inner=2048, vocabulary=50_304),
    "tiny": Shape(layers=2, hidden=32, heads=2, inner=64, vocabulary=320),
}

#: " It was": two words of the template between soft tokens and answer.
WORDS = (300, 301)

#: Two labels of one token, each with its terminator: two predictions over the whole vocabulary a row.
ANSWERS = ((302, 257), (303, 257))


@dataclass(frozen=True)
class Setting:
    """One line of the benchmark: plain data, so that it can be handed to a process of its own."""

    tokens: int = 256
    batch: int = 16
    vectors: int = 20
    shape: str = "small"
    dtype: str = "bf16"
    device: str = "cpu"
    threads: int = 2
    seed: int = 0

    def to(self, **changes: Any) -> "Setting":
        """The same with changes."""
        return replace(self, **changes)

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "model": asdict(SHAPES[self.shape])}


def backbone_of(setting: Setting) -> Backbone:
    """A Llama-shaped model with random weights, made directly in its dtype and on its device."""
    shape, dtype = SHAPES[setting.shape], DTYPES[setting.dtype]
    config = hf.LlamaConfig(
        vocab_size=shape.vocabulary,
        hidden_size=shape.hidden,
        num_hidden_layers=shape.layers,
        num_attention_heads=shape.heads,
        intermediate_size=shape.inner,
        max_position_embeddings=1024,
        tie_word_embeddings=True,
        initializer_range=0.05,
        bos_token_id=256,
        eos_token_id=257,
        pad_token_id=258,
    )
    torch.manual_seed(setting.seed)
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(setting.device):
            model = hf.LlamaForCausalLM(config)
    finally:
        torch.set_default_dtype(before)
    return wrap(model, tiny_tokenizer(), name=f"llama-{shape.layers}x{shape.hidden}")


def texts_of(setting: Setting, count: int, *, tokens: int | None = None) -> list[tuple[int, ...]]:
    """``count`` different texts of random ids."""
    generator = torch.Generator().manual_seed(setting.seed + 1)
    high = SHAPES[setting.shape].vocabulary
    ids = torch.randint(304, high, (count, tokens or setting.tokens), generator=generator)
    return [tuple(text) for text in ids.tolist()]


def row_of(setting: Setting, text: tuple[int, ...], label: int, *, after: bool) -> Row:
    """``{text}<soft 20> It was {answer}`` or ``<soft 20>{text} It was {answer}``."""
    body: Segment = Text(text, "text")
    soft: Segment = Soft("soft", setting.vectors)
    parts = [body, soft] if after else [soft, body]
    parts += [Text(WORDS), Answer(ANSWERS[label])]
    nodes = tuple(Node(part, None if i == 0 else i - 1) for i, part in enumerate(parts))
    return Row(nodes, target={0: 0})


def start_of(setting: Setting, backbone: Backbone) -> Start:
    """Vectors of sampled vocabulary, as both sides start."""
    generator = torch.Generator().manual_seed(setting.seed + 2)
    ids = torch.randint(304, SHAPES[setting.shape].vocabulary, (setting.vectors,), generator=generator)
    vectors = backbone.embed(ids).float()
    return Start({"soft": vectors}, scale=float(vectors.square().mean().sqrt()))

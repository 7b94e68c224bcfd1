"""How well a model reads texts: bits per byte, beside what it needs for texts of the kind that it was trained on.

    bits per byte = - sum over texts of log2 p(text) / bytes of the texts in UTF-8

A model that was not trained on a language pays about twice as much for it, whatever the task; no prompt repairs that.
Bytes and not tokens are counted, so that models with different tokenizers can be compared.

A reference is read from ``reference.json`` in the model's folder, where its makers have put one; without it nothing is
judged. The limit was measured on the embedded model, see docs/first-hour.md.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from softprompt.core.errors import ModelError
from softprompt.core.records import Answer, Batch, Node, Row, Text
from softprompt.model.backbones.base import Backbone

__all__ = ["FOREIGN", "Fluency", "Reference", "read_reference", "reading_cost"]

#: Times the dearest reference from which a model does not know a kind of text. Measured on the embedded model (dearest
#: reference 1.846): 24 English data sets 0.8 to 1.4, other languages 1.7 (Russian) to 3.0 (Chinese), Python 1.8.
FOREIGN = 1.6
LEAST_BYTES = 400  #: of sample below which nothing is said
NUM_TEXTS, NUM_CHARS = 32, 600  #: sample: so many texts, spread evenly, and so much of each
_BATCH = 8


@dataclass(frozen=True, slots=True)
class Reference:
    """What a model needs for held-out texts of its training.

    Attributes:
        bits_per_byte: By corpus.
        language: That it was trained on.
        source: Where the figures come from.
    """

    bits_per_byte: dict[str, float]
    language: str
    source: str


@dataclass(frozen=True, slots=True)
class Fluency:
    """What a model needs for a user's texts.

    Attributes:
        bits_per_byte: Over the sample.
        num_texts, num_bytes: Of the sample.
        reference: Of the model, None where its makers give none.
    """

    bits_per_byte: float
    num_texts: int
    num_bytes: int
    reference: Reference | None = None

    @property
    def times(self) -> float | None:
        """How many times the dearest reference."""
        return None if self.reference is None else self.bits_per_byte / max(self.reference.bits_per_byte.values())

    @property
    def foreign(self) -> bool | None:
        """Whether the model does not know this kind of text; None when that cannot be said."""
        return None if self.times is None or self.num_bytes < LEAST_BYTES else self.times > FOREIGN

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON."""
        return {**asdict(self), "times": self.times, "foreign": self.foreign}


def reading_cost(backbone: Backbone, texts: Sequence[str], *, reference: Reference | None = None) -> Fluency:
    """Bits per byte of a sample of texts under a model.

    Args:
        backbone: The model.
        texts: All of them; the sample is spread evenly, and the same for the same texts.
        reference: Of the model.
    """
    some = [text.strip()[:NUM_CHARS] for text in texts if text.strip()]
    step = max(1, len(some) // NUM_TEXTS)
    some = some[::step][:NUM_TEXTS]
    rows, num_bytes = [], 0
    for text in some:
        row, size = _row(text, backbone)
        if row is not None:
            rows.append(row)
            num_bytes += size
    nats = 0.0
    with torch.inference_mode():
        for start in range(0, len(rows), _BATCH):
            scores = backbone.forward(Batch(tuple(rows[start : start + _BATCH]))).answers[0].scores
            nats -= float(scores.double().sum())
    return Fluency(nats / math.log(2) / max(1, num_bytes), len(rows), num_bytes, reference)


def _row(text: str, backbone: Backbone) -> tuple[Row | None, int]:
    """A text as the answer to nothing, so that its score is its log-probability; without a beginning of sequence the
    first token is given. Returns the bytes that are scored, too."""
    tokenizer = backbone.tokenizer
    ids = tokenizer.encode(text)[: backbone.spec.max_positions - 1]
    first, rest, given = ids[:1], ids[1:], len(tokenizer.decode(ids[:1]).encode())
    if tokenizer.bos_id is not None:
        first, rest, given = (tokenizer.bos_id,), ids, 0
    if not rest:
        return None, 0
    scored = len(tokenizer.decode(ids).encode()) - given
    return Row((Node(Text(first)), Node(Answer(rest), 0)), target={0: 0}), scored


def read_reference(folder: Path) -> Reference | None:
    """The ``reference.json`` of a model's folder, None where there is none.

    Raises:
        ModelError: ``model.unreadable``: the file is not what it should be.
    """
    path = folder / "reference.json"
    if not path.is_file():
        return None
    try:
        found = json.loads(path.read_text("utf-8"))
        bits = {str(name): float(value) for name, value in found["bits_per_byte"].items()}
        if not bits or min(bits.values()) <= 0:
            raise ValueError("no bits per byte above 0")
        return Reference(bits, str(found["language"]), str(found["source"]))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"reference.json is no reference: {error}"
        cure = "remove it, or write bits_per_byte by corpus, language and source"
        raise ModelError("model.unreadable", message, cure=cure).at(str(path)) from None

"""What a template consists of, and how its parts are written down again.

Knows nothing of tokens, examples or tasks.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = [
    "AnswerPlace",
    "Bos",
    "Decoder",
    "Field",
    "OptionalPart",
    "Part",
    "Slot",
    "Special",
    "Words",
    "escape",
    "unparse",
]


@dataclass(frozen=True, slots=True)
class Words:
    """The template's own text."""

    text: str


@dataclass(frozen=True, slots=True)
class Field:
    """A place for the text of an input field."""

    name: str


@dataclass(frozen=True, slots=True)
class Slot:
    """A place of ``length`` learned vectors; a name that stands twice shares them, None is a name of its own."""

    length: int
    name: str | None = None
    start_text: str | None = None


@dataclass(frozen=True, slots=True)
class Bos:
    """The model's beginning-of-sequence token."""


@dataclass(frozen=True, slots=True)
class Decoder:
    """Where an encoder-decoder stops reading and begins to write: the end of one side and the start of the other."""


@dataclass(frozen=True, slots=True)
class AnswerPlace:
    """Where the answer begins."""


@dataclass(frozen=True, slots=True)
class Special:
    """Text of a chat skeleton: special-token strings in it are special tokens."""

    text: str


@dataclass(frozen=True, slots=True)
class OptionalPart:
    """Words and fields that are left out when one of the fields is empty."""

    parts: tuple[Words | Field, ...]


Part = Words | Field | Slot | Bos | Decoder | AnswerPlace | Special | OptionalPart


def unparse(parts: Sequence[Part]) -> str:
    """The canonical text of parts: parsing it gives the same parts.

    >>> unparse([Words("a {brace} "), Slot(5, None, 'the "it" of'), Words(" "), AnswerPlace()])
    'a {{brace}} <soft 5 "the ""it"" of"> {answer}'
    """
    followers: list[Part | None] = [*parts[1:], None]
    return "".join(_write(part, after) for part, after in zip(parts, followers, strict=True))


def escape(text: str) -> str:
    """Any text as template words: what has a meaning in templates is doubled.

    >>> escape("set {x} <soft 3>")
    'set {{x}} <<soft 3>'
    """
    text = text.replace("{", "{{").replace("}", "}}")
    return re.sub(r"<+(?=soft(?![^\W\d])|decoder>)", lambda run: run[0] * 2, text)


def _write(part: Part, after: Part | None) -> str:
    match part:
        case Words(text):
            written = escape(text)
            if isinstance(after, Slot | Decoder):  # "<" right before a slot would double the slot's own bracket
                bare = written.rstrip("<")
                written = bare + 2 * written[len(bare) :]
            return written
        case Field(name):
            return f"{{{name}}}"
        case Slot(length, name, start_text):
            start = None if start_text is None else _quote(start_text)
            return f"<{' '.join(filter(None, ('soft', str(length), name, start)))}>"
        case Special(text):
            return f"{{special {_quote(text)}}}"
        case OptionalPart(parts):
            return f"{{?{unparse(parts)}?}}"
        case Bos():
            return "{bos}"
        case Decoder():
            return "<decoder>"
        case AnswerPlace():
            return "{answer}"


def _quote(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'

r"""Which text a row consists of, segment by segment, before anything is a token.

Segments are tokenised one by one, so that a text's tokens never depend on its neighbours. A word and the blank before
it are usually one token; therefore **blanks at the end of a segment move to the front of the next text or answer**,
past soft slots, and vanish where that text begins with white space itself. A line end stays with the words before it:
it is mostly a token of its own, or one with the mark before it (``":\n"`` in the vocabularies of Llama 3 and Qwen), and
never one with the word behind it. No blank moves from the encoder's side to the decoder's.

Knows nothing of tokens.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from softprompt.model.templates.parts import Bos, Decoder, Field, OptionalPart, Part, Slot, Special, Words
from softprompt.model.templates.turns import Turns

__all__ = ["Piece", "SlotSpec", "TextPiece", "assemble", "join", "name_slots", "resolve"]

_BLANKS_AT_END = re.compile(r"[^\S\r\n]+\Z")


@dataclass(frozen=True, slots=True)
class SlotSpec:
    """One set of learned vectors: its name, how many, and the text that their start values may come from."""

    name: str
    length: int
    start_text: str | None = None


@dataclass(frozen=True, slots=True)
class TextPiece:
    """Text that is tokenised as one segment; ``special`` text belongs to a chat skeleton, or to a field's turns."""

    text: str
    field: str | None = None
    special: bool = False


Piece = TextPiece | SlotSpec | Bos | Decoder


def join(lead: str, text: str) -> str:
    """``text`` with the blank that moved to it; a blank is not doubled and does not move to nothing.

    >>> join(" ", "delivery"), join(" ", " delivery"), join(" ", "")
    (' delivery', ' delivery', '')
    """
    return text if not text or text[0].isspace() else lead + text


def resolve(parts: Sequence[Part], texts: Mapping[str, str]) -> tuple[Part, ...]:
    """The parts of one row: an optional part is left out where one of its fields is empty or white space."""
    kept: list[Part] = []
    for part in parts:
        if not isinstance(part, OptionalPart):
            kept.append(part)
        elif all(texts[inner.name].strip() for inner in part.parts if isinstance(inner, Field)):
            kept.extend(part.parts)
    return tuple(kept)


def assemble(
    parts: Sequence[Part],
    texts: Mapping[str, str],
    slots: Sequence[SlotSpec] = (),
    *,
    turns: Turns | None = None,
    begins: str = "",
) -> tuple[list[Piece], str]:
    """The segments of a row and the blank that its answer begins with.

    Args:
        parts: Parts without optional ones, see :func:`resolve`.
        texts: Text by field.
        slots: The spec of each place of a slot in order, see :func:`name_slots`; without them slots are left out.
        turns: What stands around the turns of a field that is a conversation.
        begins: The blank that the first word of an encoder's and of a decoder's text begins with.

    Raises:
        TemplateError: ``template.chat``: a turn that has no place.

    >>> pieces, lead = assemble((Field("text"), Words(" It was ")), {"text": "Where is it?"})
    >>> [piece.text for piece in pieces], lead
    (['Where is it?', ' It was'], ' ')
    """
    pieces: list[Piece] = []
    lead = begins
    specs = iter(slots)
    for part in parts:
        match part:
            case Words(text):
                placed = [TextPiece(text)]
            case Field(name) if turns is not None:
                placed = [
                    TextPiece(said, name, special)
                    for turn in turns.write(texts[name])
                    for said, special in zip(turn, (True, False), strict=True)
                ]
            case Field(name):
                placed = [TextPiece(texts[name], field=name)]
            case Special(text):
                placed = [TextPiece(text, special=True)]
            case Slot():
                pieces.extend(spec for spec in [next(specs, None)] if spec)
                continue
            case Bos():
                pieces.append(part)
                continue
            case Decoder():
                pieces.append(part)
                lead = begins
                continue
            case _:  # the answer's place; optional parts are resolved
                continue
        for piece in placed:
            whole = join(lead, piece.text)
            body = _BLANKS_AT_END.sub("", whole)
            lead = whole[len(body) :] if piece.text else lead
            if body:
                pieces.append(TextPiece(body, piece.field, piece.special))
    return pieces, lead


def name_slots(parts: Sequence[Part]) -> tuple[SlotSpec, ...]:
    """The spec of every place of a slot, in order; places of one name share one spec, places without a name get one.

    >>> [spec.name for spec in name_slots([Slot(5), Slot(3, "tone"), Slot(5), Slot(3, "tone")])]
    ['soft', 'tone', 'soft_2', 'tone']
    """
    places = [part for part in parts if isinstance(part, Slot)]
    taken = {place.name for place in places}
    numbered = ("soft" if n == 1 else f"soft_{n}" for n in range(1, 2 * len(places) + 1))
    free = (name for name in numbered if name not in taken)
    starts = {place.name: place.start_text for place in reversed(places) if place.start_text}
    return tuple(
        SlotSpec(place.name, place.length, starts.get(place.name))
        if place.name
        else SlotSpec(next(free), place.length, place.start_text)
        for place in places
    )

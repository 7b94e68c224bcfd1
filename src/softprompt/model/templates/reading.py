"""What stands before a row's answer, as tokens that fit: the only place where texts are tokenised and cut.

Splice rule 11: every segment is tokenised by itself, user text with all special tokens disabled; only the skeleton of a
chat may hold special tokens. Only the text of fields is ever cut; the template's words and soft slots stand whole.

Knows tokens through the :class:`~softprompt.core.tokens.Tokenizer` protocol; knows no tasks.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from softprompt.core.errors import TemplateError
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates.parts import Bos, Decoder, Field, Part
from softprompt.model.templates.segments import Piece, SlotSpec, TextPiece, assemble, resolve
from softprompt.model.templates.template import Template
from softprompt.model.templates.truncation import allot, shorten
from softprompt.model.templates.windows import cut_windows

__all__ = ["Reader", "Reading"]


@dataclass(frozen=True)
class Reading:
    """The segments before an answer.

    Attributes:
        pieces: Each segment with its token ids (none for a soft slot and for where the decoder begins), empty ones left
            out.
        lead: The blank that the answer begins with.
        uncut: Tokens that each field had before cutting.
    """

    pieces: tuple[tuple[Piece, tuple[int, ...]], ...]
    lead: str
    uncut: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def fields(self) -> dict[str, int]:
        """Tokens by field, as they stand in the row."""
        result: dict[str, int] = {}
        for piece, ids in self.pieces:
            if isinstance(piece, TextPiece) and piece.field is not None:
                result[piece.field] = result.get(piece.field, 0) + len(ids)
        return result

    @cached_property
    def slots(self) -> int:
        """Soft tokens."""
        return sum(piece.length for piece, _ in self.pieces if isinstance(piece, SlotSpec))

    @cached_property
    def words(self) -> int:
        """Tokens of the template's own words, beginning of sequence and chat skeleton included."""
        return sum(len(ids) for _, ids in self.pieces) - sum(self.fields.values())

    @property
    def total(self) -> int:
        """All tokens before the answer."""
        return self.words + self.slots + sum(self.fields.values())


class Reader:
    """Turns the fields of an example into a :class:`Reading` of at most ``max_tokens`` tokens, the answer included.

    Raises:
        TemplateError: ``template.too_long`` when the soft slots alone fill a row.
    """

    def __init__(self, template: Template, tokenizer: Tokenizer, *, max_tokens: int) -> None:
        slots = sum(spec.length for spec in template.slots_in_place)
        if slots >= max_tokens:
            message = f"{slots} soft tokens do not fit into rows of at most {max_tokens} tokens"
            raise TemplateError("template.too_long", message, cure="shorten the slots")
        self.template = template
        self.tokenizer = tokenizer
        self.max_tokens = max_tokens
        # An encoder-decoder learnt whole texts as its tokenizer writes them, many with a blank before the first word.
        self._begins = str(getattr(tokenizer, "first_blank", "")) if template.sided else ""
        # the template's own words come back in every row
        self._encode_words = lru_cache(maxsize=1024)(tokenizer.encode)
        self._encode_skeleton = lru_cache(maxsize=1024)(tokenizer.encode_skeleton)

    def read(self, fields: Mapping[str, str], *, reserve: Callable[[str], int]) -> Reading:
        """The segments of one example.

        Args:
            fields: Text by field.
            reserve: Tokens to keep free for an answer that begins with the given blank.

        Raises:
            TemplateError: ``template.missing_field``, ``template.too_long``.
        """
        texts = self.template.texts(fields)
        parts = resolve(self.template.parts, texts)
        reading = self._encode(parts, texts)
        if reading.total + reserve(reading.lead) > self.max_tokens:
            reading = self._cut(parts, texts, reading, reserve)
        return reading

    def windows(self, fields: Mapping[str, str], *, reserve: Callable[[str], int]) -> tuple[list[dict[str, str]], int]:
        """The texts of every window of one example, and the tokens behind the last; other fields are cut as in a row.

        Args:
            fields: Text by field; the template names one to be read in windows.
            reserve: As in :meth:`read`.

        Raises:
            TemplateError: ``template.missing_field``, ``template.too_long``.
        """
        name, settings = self.template.windowed, self.template.windows
        assert name is not None, "no field is read in windows"
        assert settings is not None
        texts = self.template.texts(fields)
        parts = resolve(self.template.parts, texts)
        full = self._encode(parts, texts)
        room = self.max_tokens - reserve(full.lead) - full.words - full.slots
        over = sum(full.fields.values()) - room
        while over > 0:
            kept = self._allot(full, room, reserve)
            found, lost = [dict(texts)], 0
            if kept[name] < full.fields[name]:
                budget, count = self._measure(full, name, kept[name])
                pieces, lost = cut_windows(texts[name], budget=budget, settings=settings, count=count)
                found = [{**texts, name: piece} for piece in pieces] or [{**texts, name: ""}]
            for other, budget in kept.items():
                if other != name and budget < full.fields[other]:
                    shorter = self._shorten(full, other, texts[other], budget)
                    found = [{**one, other: shorter} for one in found]
            over = max(self._encode(parts, one).total for one in found) + reserve(full.lead) - self.max_tokens
            if over <= 0:
                return found, lost
            room -= over
        return [texts], 0

    def _allot(self, full: Reading, room: int, reserve: Callable[[str], int]) -> dict[str, int]:
        kept = allot(full.fields, room=room, order=self.template.truncate)
        if kept is None:
            raise self._too_long(full, reserve(full.lead))
        return kept

    def _cut(
        self, parts: Sequence[Part], texts: dict[str, str], full: Reading, reserve: Callable[[str], int]
    ) -> Reading:
        """Cut fields until all fits; where blanks at the seams cost a token more than planned, there is less room."""
        room = self.max_tokens - reserve(full.lead) - full.words - full.slots
        while True:
            kept = self._allot(full, room, reserve)
            shorter = dict(texts)
            for name, budget in kept.items():
                if budget < full.fields[name]:
                    shorter[name] = self._shorten(full, name, texts[name], budget)
            reading = self._encode(parts, shorter)
            over = reading.total + reserve(reading.lead) - self.max_tokens
            if over <= 0:
                return replace(reading, uncut=full.fields)
            room -= over

    def _shorten(self, full: Reading, name: str, text: str, budget: int) -> str:
        """The text of a field cut to ``budget`` tokens, shared evenly where the field stands several times."""
        budget, count = self._measure(full, name, budget)
        keep = self.template.keep.get(name, "head")
        return shorten(text, budget=budget, keep="head" if keep == "windows" else keep, count=count)

    def _measure(self, full: Reading, name: str, budget: int) -> tuple[int, Callable[[str], int]]:
        """Tokens for one place of a field, and how many a text takes there."""
        if self.template.turns is not None:
            return budget, lambda part: self._count_turns(name, part)
        places = [piece.text for piece, _ in full.pieces if isinstance(piece, TextPiece) and piece.field == name]
        blank = places[0][: len(places[0]) - len(places[0].lstrip())]
        return budget // len(places), lambda part: len(self.tokenizer.encode(blank + part.lstrip()))

    def _count_turns(self, name: str, text: str) -> int:
        """Tokens of a conversation with all that stands around its turns; of one that has no place, too many."""
        try:
            return self._encode((Field(name),), {name: text}).fields.get(name, 0)
        except TemplateError:
            return self.max_tokens + 1

    def _encode(self, parts: Sequence[Part], texts: Mapping[str, str]) -> Reading:
        pieces, lead = assemble(
            parts, texts, self.template.slots_in_place, turns=self.template.turns, begins=self._begins
        )
        encoded = [(piece, self._ids(piece)) for piece in pieces]
        kept = tuple((piece, ids) for piece, ids in encoded if ids or isinstance(piece, SlotSpec | Decoder))
        reading = Reading(kept, lead)
        return replace(reading, uncut=reading.fields)

    def _ids(self, piece: Piece) -> tuple[int, ...]:
        match piece:
            case TextPiece(text, special=True):
                return self._encode_skeleton(text)
            case TextPiece(text, field=None):
                return self._encode_words(text)
            case TextPiece(text):
                return self.tokenizer.encode(text)
            case Bos() if self.tokenizer.bos_id is not None:
                return (self.tokenizer.bos_id,)
            case _:
                return ()

    def _too_long(self, full: Reading, answer: int) -> TemplateError:
        cuttable = full.fields if self.template.truncate is None else self.template.truncate
        whole = {name: count for name, count in full.fields.items() if name not in cuttable}
        counts = {"the template's words": full.words, "soft tokens": full.slots, **whole, "the answer": answer}
        listed = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
        message = f"what cannot be cut takes {sum(counts.values())} tokens, a row has {self.max_tokens}: {listed}"
        more = ", or name more fields under truncate" if whole else ""
        return TemplateError("template.too_long", message, cure=f"shorten one of these{more}")

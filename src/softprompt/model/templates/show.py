"""What a template makes of one example, for people: parts, tokens, what is read once, and what that saves.

Yields data and lines; prints nothing.
"""

from dataclasses import asdict, dataclass
from typing import Any

from softprompt.core.records import Answer, Example
from softprompt.core.tokens import Tokenizer
from softprompt.model.templates.parts import Bos, Decoder
from softprompt.model.templates.rows import RowBuilder, frozen_pieces
from softprompt.model.templates.segments import Piece, SlotSpec, TextPiece

__all__ = ["AnswerView", "PartView", "TemplateView", "show", "visible"]

_MARKS = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽"})
_MAX_TOKENS_SHOWN = 24  # of one part in a line; the data holds all


def visible(text: str) -> str:
    r"""Text with its white space drawn.

    >>> visible(" It was\n")
    '·It·was⏎'
    """
    return text.translate(_MARKS)


@dataclass(frozen=True, slots=True)
class PartView:
    """One segment before the answer; ``tokens`` are drawn with their blanks, ``frozen`` ones are read once."""

    kind: str
    name: str | None
    text: str
    tokens: tuple[str, ...]
    num_tokens: int
    frozen: bool


@dataclass(frozen=True, slots=True)
class AnswerView:
    """One candidate answer, terminator included in the count."""

    text: str
    tokens: tuple[str, ...]
    num_tokens: int


@dataclass(frozen=True, slots=True)
class TemplateView:
    """A template at work on one example.

    Attributes:
        template: Its canonical text.
        placement: Where the soft slots stand.
        example: Whether a row of the user's data is shown, else a stand-in.
        parts: Segments before the answer.
        answers: Candidate answers, none for free text.
        frozen: Tokens that are read once for each example.
        live: Tokens that every training step computes, the answers' included.
        cut: Tokens that are not read, by field.
        max_tokens: The longest row.
        cost: What the split means, in a sentence.
        windows: Rows that the example is read in; the first of them is shown.
    """

    template: str
    placement: str
    example: bool
    parts: tuple[PartView, ...]
    answers: tuple[AnswerView, ...]
    frozen: int
    live: int
    cut: dict[str, int]
    max_tokens: int
    cost: str
    windows: int = 1

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)

    def lines(self, *, max_answers: int | None = None) -> list[str]:
        """A page for a terminal.

        Args:
            max_answers: Candidate answers to spell out; None: all.
        """
        lines = ["  ".join(("", "tokens", f"{'state':6}", f"{'part':12}", "text, cut into tokens"))]
        for part in self.parts:
            state = "frozen" if part.frozen else "live"
            name = part.kind if part.name is None else f"{part.kind} {part.name}"
            lines.append(f"  {part.num_tokens:6}  {state:6}  {name:12}  {_row(part.tokens) or part.text}")
        shown = self.answers[:max_answers]
        for answer in shown:
            lines.append(f"  {answer.num_tokens:6}  {'live':6}  {'answer':12}  {_row(answer.tokens)}")
        if rest := len(self.answers) - len(shown):
            lines.append(f"  {'':6}  {'live':6}  {'answer':12}  and {rest} more")
        lines += ["", f"placement: {self.placement}. {self.cost}"]
        if not self.example:
            lines.append("The fields hold a stand-in: show a row of your data for real lengths.")
        if self.windows > 1:
            lines.append(f"read in {self.windows} windows, of which this is the first")
        lines += [f"cut to {self.max_tokens} tokens: {name} loses {count}" for name, count in self.cut.items()]
        return lines


def show(builder: RowBuilder, example: Example | None = None) -> TemplateView:
    """What the builder makes of an example, or of a stand-in where there is none.

    Raises:
        TemplateError: as :meth:`RowBuilder.row`.
    """
    template, tokenizer = builder.template, builder.tokenizer
    stand_in = Example(dict.fromkeys(template.fields, "Some text stands here."), candidates=("one way", "another way"))
    split = builder.split(example or stand_in)
    shown = split.parts[0]
    pieces = builder.reading(shown).pieces
    num_frozen = frozen_pieces([piece for piece, _ in pieces])
    parts = tuple(_part(piece, ids, tokenizer, frozen=i < num_frozen) for i, (piece, ids) in enumerate(pieces))
    row = builder.row(shown, target=False)
    segments = [node.segment for node in row.nodes if isinstance(node.segment, Answer)]
    says = builder.task.candidates(shown) or ()
    answers = tuple(
        AnswerView(say, _drawn(tokenizer, segment.ids), len(segment))
        for say, segment in zip(says, segments, strict=False)  # label vectors have no tokens
    )
    frozen = sum(part.num_tokens for part in parts if part.frozen)
    total = sum(part.num_tokens for part in parts) + sum(answer.num_tokens for answer in answers)
    return TemplateView(
        template=str(template),
        placement=template.placement,
        example=example is not None,
        parts=parts,
        answers=answers,
        frozen=frozen,
        live=total - frozen,
        cut=dict(split.cut),
        max_tokens=builder.max_tokens,
        cost=_cost(template.placement, frozen, total),
        windows=len(split.parts),
    )


def _part(piece: Piece, ids: tuple[int, ...], tokenizer: Tokenizer, *, frozen: bool) -> PartView:
    match piece:
        case SlotSpec(name, length, start_text):
            start = "" if start_text is None else f', starting from "{start_text}"'
            return PartView("soft", name, f"{length} learned vectors{start}", (), length, frozen)
        case TextPiece(text, field, special):
            kind = "chat" if special else "words" if field is None else "field"
            return PartView(kind, field, visible(text), _drawn(tokenizer, ids), len(ids), frozen)
        case Bos():
            return PartView("bos", None, "", _drawn(tokenizer, ids), len(ids), frozen)
        case Decoder():
            return PartView("decoder", None, "here the model begins to write", (), 0, frozen)


def _drawn(tokenizer: Tokenizer, ids: tuple[int, ...]) -> tuple[str, ...]:
    return tuple(visible(tokenizer.piece(token)) for token in ids)


def _row(tokens: tuple[str, ...]) -> str:
    """Tokens side by side; the middle of many is left out."""
    if len(tokens) <= _MAX_TOKENS_SHOWN:
        return "|".join(tokens)
    half = _MAX_TOKENS_SHOWN // 2
    return "|".join((*tokens[:half], f" ... {len(tokens) - 2 * half} more ... ", *tokens[-half:]))


def _cost(placement: str, frozen: int, total: int) -> str:
    """The price of the placement in a sentence; a share of tokens is about the share of time."""
    live = f"{total - frozen} of {total} tokens ({(total - frozen) / total:.0%})"
    match placement:
        case "none":
            return "No soft tokens: a text prompt, nothing to train."
        case "before":
            return f"The soft tokens change how the text is read: a training step computes {live}."
        case _:
            return f"{frozen} tokens are read once for each example; a training step computes {live}."

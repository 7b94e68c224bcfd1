"""When an answer ends, what its text is, and how its text is told while it is still being written.

Knows the tokenizer's way back to text and the constraint; no model and no tensors.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Self

from softprompt.core.decoding import DEFAULT_LENGTH, Decoding
from softprompt.model.decoding.constraints import Constraint

__all__ = ["Finish", "Line", "Rules", "Teller"]

#: Why an answer ended: with its terminator; at ``max_new_tokens`` or the end of the context; at a stop text, or because
#: its constraint allows nothing more.
Finish = Literal["terminator", "length", "stop"]


@dataclass(frozen=True, slots=True)
class Line:
    """An answer so far: one row of the state while it is unfinished.

    Attributes:
        ids: Its tokens.
        logprob: Their log-probability under the model, whatever was allowed or likely enough to be drawn.
        allowed: Tokens that may follow; None for all but ``banned``.
        banned: Tokens that may not follow.
    """

    ids: tuple[int, ...] = ()
    logprob: float = 0.0
    allowed: Collection[int] | None = None
    banned: Collection[int] = ()


@dataclass(frozen=True)
class Rules:
    """When the answers to one branch of a row end.

    Attributes:
        terminators: Tokens that end an answer.
        limit: Longest answer in tokens.
        minimum: Tokens before a terminator is allowed.
        stop: Texts that end an answer.
        constraint: What may be written; then ``minimum`` and ``stop`` have no say.
        decode: Ids to text.
    """

    terminators: frozenset[int]
    limit: int
    minimum: int
    stop: tuple[str, ...]
    constraint: Constraint | None
    decode: Callable[[Sequence[int]], str]

    @classmethod
    def of(
        cls,
        settings: Decoding,
        *,
        terminator: int,
        room: int,
        constraint: Constraint | None,
        decode: Callable[[Sequence[int]], str],
    ) -> Self:
        """The rules of a branch whose context has room for ``room`` more tokens."""
        terminators = frozenset({terminator, *settings.terminators})
        limit = min(settings.max_new_tokens or DEFAULT_LENGTH, room)
        if constraint is not None:
            return cls(terminators, limit, 0, (), constraint, decode)
        return cls(terminators, limit, settings.min_new_tokens, settings.stop, None, decode)

    def begin(self) -> tuple[Line, Finish | None]:
        """The empty answer; finished where no allowed answer fits into the room."""
        line = self._line((), 0.0)
        return line, "length" if line.allowed is not None and not line.allowed else None

    def extend(self, line: Line, token: int, logprob: float) -> tuple[Line, Finish | None]:
        """The answer with one token more, and why it ends there, if it does."""
        ids = (*line.ids, token)
        if token in self.terminators:
            return Line(ids, line.logprob + logprob), "terminator"
        after = self._line(ids, line.logprob + logprob)
        if (after.allowed is not None and not after.allowed) or (self.stop and self._stop_at(self.decode(ids)) >= 0):
            return after, "stop"
        return after, "length" if len(ids) >= self.limit else None

    def _line(self, ids: tuple[int, ...], logprob: float) -> Line:
        allowed = self.constraint.allowed(ids, room=self.limit - len(ids)) if self.constraint else None
        return Line(ids, logprob, allowed, self.terminators if len(ids) < self.minimum else ())

    def _stop_at(self, text: str) -> int:
        """Where the first stop text begins, -1 where there is none."""
        return min((at for stop in self.stop if (at := text.find(stop)) >= 0), default=-1)

    def text(self, ids: Sequence[int], finished: Finish) -> str:
        """Text of a finished answer, without its terminator or stop text."""
        text = self.decode(ids[:-1] if finished == "terminator" else ids)
        at = self._stop_at(text)
        return text if at < 0 else text[:at]

    def certain(self, ids: Sequence[int]) -> str:
        """The beginning of an unfinished answer's text that no later token changes.

        Held back: a character whose bytes are not complete, and what may be the beginning of a stop text.
        """
        text = self.decode(ids).rstrip("\ufffd")
        held = [n for stop in self.stop for n in range(1, len(stop)) if text.endswith(stop[:n])]
        return text[: len(text) - max(held, default=0)]


class Teller:
    """Turns an answer that grows into pieces of text; joined, they are the text of the finished answer."""

    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self._tokens = 0
        self._characters = 0

    def tell(self, ids: Sequence[int], finished: Finish | None) -> Iterator[tuple[int, str]]:
        """The tokens that are new since the last call, each with the text that became certain by it."""
        for n in range(self._tokens + 1, len(ids) + 1):
            ends = finished is not None and n == len(ids)
            text = self.rules.text(ids, finished) if ends and finished else self.rules.certain(ids[:n])
            piece, self._characters = text[self._characters :], max(self._characters, len(text))
            self._tokens = n
            yield ids[n - 1], piece
